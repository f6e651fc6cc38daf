//! Layering: A-RFM scores, and the layers of the reference policy (`docs/REFERENCE_POLICY.md`).

use crate::calc::answer::Answer;
use crate::calc::fields::{Fields, Taken};
use crate::layer;
use crate::layer::Features;
use crate::scenario::{Consent, LayerMode, Layering, UnknownUsers};

/// The layers of the reference policy with their lowest scores, in units of 0.0001. Lower scores
/// belong to `vip`.
const BANDS: [(u16, &str); 3] = [(8_000, "early"), (6_000, "regular"), (3_000, "high_value")];

pub(super) fn arfm(fields: &Fields<'_>) -> Taken<Answer> {
    let features = Features {
        last_use_secs: fields.nullable("last_use_time")?,
        use_count: fields.nullable("use_count")?,
        user_value: fields.nullable("user_value")?,
        accept_score: fields.nullable("accept_score")?,
    };
    let as_of = if features.last_use_secs.is_some() {
        fields.number("as_of")?
    } else {
        fields.nullable("as_of")?.unwrap_or(0.0)
    };
    let weights = if fields.has("weights") {
        weights(fields, "weights")?
    } else {
        [0.2, 0.2, 0.3, 0.3]
    };
    let caps = |fields: &Fields<'_>| {
        Ok([
            fields.number_or("recency_days", 30.0, "a number above 0", |x| x > 0.0)?,
            fields.number_or("use_count", 100.0, "a number above 0", |x| x > 0.0)?,
            fields.number_or("user_value", 100_000.0, "a number above 0", |x| x > 0.0)?,
        ])
    };
    let [recency, use_count, user_value] = if fields.has("caps") {
        fields.object("caps", caps)?
    } else {
        [30.0, 100.0, 100_000.0]
    };
    let layering = Layering {
        mode: LayerMode::Threshold,
        weights,
        recency_cap_secs: recency * 86_400.0,
        use_count_cap: use_count,
        user_value_cap: user_value,
        unknown: fields.choice("unknown", &UnknownUsers::ALL, UnknownUsers::ALL[0].1)?,
        consent: Consent::OptIn,
    };
    let parts = layer::parts(&features, &layering, as_of);
    let score = layer::score(&parts, &layering.weights);
    let mut answer = Answer::default();
    for (name, part) in ["r", "f", "m", "a"].into_iter().zip(parts.values) {
        answer.put(name, part);
    }
    answer.put("score", f64::from(score) / 10_000.0);
    // A user without any feature is placed as `sluice layer` places it.
    let is_protected = features.is_unknown() && layering.unknown == UnknownUsers::Protect;
    let band = BANDS.iter().find(|(from, _)| score >= *from && !is_protected);
    answer.put("layer", band.map_or("vip", |(_, name)| *name));
    Ok(answer)
}

/// Reads `N` weights in 0..=1 that sum to 1.
pub(super) fn weights<const N: usize>(fields: &Fields<'_>, name: &'static str) -> Taken<[f64; N]> {
    let expected = format!("{N} numbers from 0 to 1 that sum to 1");
    let weights = fields.numbers_where(name, &expected, |w| (0.0..=1.0).contains(&w))?;
    match <[f64; N]>::try_from(weights) {
        Ok(weights) if (weights.iter().sum::<f64>() - 1.0).abs() <= 1e-9 => Ok(weights),
        _ => Err(fields.refuse(name, &expected)),
    }
}

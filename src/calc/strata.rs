//! One effect from several strata or stages.

use crate::calc::answer::Answer;
use crate::calc::arms;
use crate::calc::arms::{ArmInput, both, is_rare};
use crate::calc::fields::{Fields, Taken};
use crate::stats::dist::norm_isf;
use crate::stats::moments::{Moments, RatioSums};
use crate::stats::p_value::Ends;
use crate::stats::stages::{Combined, StageEffect};
use crate::stats::two_proportions::TwoByTwo;
use crate::stats::{Reason, proportion, stages};

/// A stratum: its effect, and the distances from the effect to the ends of its interval. `None` for
/// the distances if nothing says how far they are.
type Stratum = (StageEffect, Option<[f64; 2]>);

/// The effect of a stratum. Proportions with few events, or few non-events, take the ends of
/// Newcombe's interval, so that no event is not taken for certainty.
fn stratum(control: &ArmInput, treatment: &ArmInput, z: f64) -> Result<Stratum, Reason> {
    let (c, t) = (control.estimate()?, treatment.estimate()?);
    let n_arms = [control.n(), treatment.n()];
    let variance = c.variance() + t.variance();
    let effect = StageEffect {
        effect_size: t.estimate - c.estimate,
        variance,
        n_users: n_arms[0] + n_arms[1],
        n_arms,
        influences: Vec::new(),
    };
    let reach = match (control, treatment) {
        (ArmInput::Proportion(c), ArmInput::Proportion(t)) if is_rare(c) || is_rare(t) => {
            let ends = proportion::newcombe(t.share(), t.n, c.share(), c.n, z);
            Some([
                effect.effect_size - ends.ci_lower,
                ends.ci_upper - effect.effect_size,
            ])
        }
        _ => (variance > 0.0).then(|| [z * variance.sqrt(); 2]),
    };
    Ok((effect, reach))
}

pub(super) fn stratified(fields: &Fields<'_>) -> Taken<Answer> {
    let alpha = fields.alpha()?;
    let strata = fields.objects("strata", |fields| both(fields, arms::any))?;
    let z = norm_isf(0.5 * alpha);
    // A stratum needs data in both arms. Others are left out.
    let used = strata.iter().filter_map(|(c, t)| stratum(c, t, z).ok());
    let (effects, reach): (Vec<StageEffect>, Vec<Option<[f64; 2]>>) = used.unzip();
    let all = stages::combine(&effects, alpha).ok_or(Reason::NoData);
    let mut answer = Answer::default();
    answer.put_known(
        "pooled",
        pooled(&strata).map(|(effect_size, std_error)| part(effect_size, std_error)),
    );
    let combined = |combined: Combined, weight: fn(&StageEffect) -> f64| {
        let mut part = part(combined.effect_size, combined.std_error);
        // Every stratum with a weight needs an interval of its own.
        let is_known =
            |(effect, reach): (&StageEffect, &Option<[f64; 2]>)| reach.is_some() || weight(effect) == 0.0;
        let ends = if effects.iter().zip(&reach).all(is_known) {
            let reach: Vec<[f64; 2]> = reach.iter().map(|reach| reach.unwrap_or_default()).collect();
            Ok(Ends::from(stages::square_and_add(&effects, &reach, weight)))
        } else {
            Err(Reason::NoVariance)
        };
        part.put_ends(["ci_lower", "ci_upper"], ends);
        part
    };
    answer.put_known(
        "population_weighted",
        all.map(|all| combined(all.population_weighted, StageEffect::by_users)),
    );
    answer.put_known(
        "precision_weighted",
        all.and_then(|all| {
            let mean = all.precision_weighted.ok_or(Reason::NoVariance)?;
            Ok(combined(mean, StageEffect::by_precision))
        }),
    );
    answer.put_known(
        "mantel_haenszel",
        all.map(|all| combined(all.mantel_haenszel, StageEffect::by_mantel_haenszel)),
    );
    answer.put_known(
        "q",
        all.and_then(|all| {
            all.q
                .filter(|_| all.precision_weighted.is_some())
                .ok_or(Reason::NoVariance)
        }),
    );
    answer.put_known(
        "q_p_value",
        all.and_then(|all| all.q_p_value.ok_or(Reason::TooFewRows)),
    );
    answer.put("n_strata", effects.len());
    if effects.len() < strata.len() {
        answer.because("strata without data in both arms are left out");
    }
    Ok(answer)
}

fn part(effect_size: f64, std_error: f64) -> Answer {
    let mut part = Answer::default();
    part.put("effect_size", effect_size);
    part.put_known(
        "std_error",
        if std_error > 0.0 {
            Ok(std_error)
        } else {
            Err(Reason::NoVariance)
        },
    );
    part
}

/// The effect of the arms summed over all strata. It is biased if the shares of the arms differ
/// between strata (Simpson's paradox), and is shown for comparison only.
fn pooled(strata: &[(ArmInput, ArmInput)]) -> Result<(f64, f64), Reason> {
    let sum = |which: fn(&(ArmInput, ArmInput)) -> &ArmInput| {
        strata
            .iter()
            .map(which)
            .try_fold(None, add)
            .and_then(|arm| arm.ok_or(Reason::NoData)?.estimate())
    };
    let (c, t) = (sum(|stratum| &stratum.0)?, sum(|stratum| &stratum.1)?);
    Ok((t.estimate - c.estimate, c.std_error.hypot(t.std_error)))
}

fn add(sum: Option<ArmInput>, more: &ArmInput) -> Result<Option<ArmInput>, Reason> {
    let pair = |a: [f64; 2], b: [f64; 2]| [a[0] + b[0], a[1] + b[1]];
    Ok(Some(match (sum, more) {
        (None, ArmInput::Proportion(a)) => ArmInput::Proportion(*a),
        (None, ArmInput::Mean(a)) => ArmInput::Mean(*a),
        (None, ArmInput::Ratio(a)) => ArmInput::Ratio(*a),
        (None, ArmInput::Clusters(a)) => ArmInput::Clusters(a.clone()),
        (Some(ArmInput::Proportion(a)), ArmInput::Proportion(b)) => ArmInput::Proportion(TwoByTwo {
            n: a.n + b.n,
            x: a.x + b.x,
        }),
        (Some(ArmInput::Mean(a)), ArmInput::Mean(b)) => ArmInput::Mean(merge(&a, b)),
        (Some(ArmInput::Ratio(a)), ArmInput::Ratio(b)) => ArmInput::Ratio(RatioSums {
            n: a.n + b.n,
            num: pair(a.num, b.num),
            den: pair(a.den, b.den),
            num_den: a.num_den + b.num_den,
        }),
        (Some(ArmInput::Clusters(a)), ArmInput::Clusters(b)) => ArmInput::Clusters([a, b.clone()].concat()),
        _ => return Err(Reason::NotAdditive),
    }))
}

/// The moments of two merged samples (Chan et al., 1979).
fn merge(a: &Moments, b: &Moments) -> Moments {
    if a.n == 0.0 {
        return *b;
    }
    let n = a.n + b.n;
    let shift = b.mean - a.mean;
    let squares = (a.n - 1.0).max(0.0) * a.var + (b.n - 1.0).max(0.0) * b.var + shift * shift * a.n * b.n / n;
    Moments {
        n,
        mean: a.mean + shift * b.n / n,
        var: squares / (n - 1.0).max(1.0),
    }
}

//! Designs: sequential boundaries, ramps and sample sizes.

use crate::calc::answer::Answer;
use crate::calc::arms;
use crate::calc::fields::{Fields, Taken};
use crate::calc::input::Input;
use crate::ramp::exact::{ExactRamp, RuinRisk, risk_of_ruin_step};
use crate::stats::confidence_sequence::{Family, Stitching, Tuning};
use crate::stats::dist::norm_isf;
use crate::stats::group_sequential::{Sides, Spending, crossings};
use crate::stats::p_value::Alternative;
use crate::stats::power::{Baseline, Comparison, NullVariance, rule_of_three};
use crate::stats::{Reason, group_sequential};

/// Reads a spending function: `obf`, `pocock`, `{"kim_demets": rho}` or `{"hsd": gamma}`.
fn spending(fields: &Fields<'_>) -> Taken<Spending> {
    if fields.raw("spending").is_some_and(Input::is_object) {
        return fields.object("spending", |fields| {
            if fields.has("kim_demets") {
                fields.positive("kim_demets").map(Spending::KimDeMets)
            } else {
                fields.number("hsd").map(Spending::HwangShihDeCani)
            }
        });
    }
    fields.choice(
        "spending",
        &[("obf", Spending::ObrienFleming), ("pocock", Spending::Pocock)],
        Spending::ObrienFleming,
    )
}

/// Reads the information at each look: increasing numbers above 0.
fn information(fields: &Fields<'_>) -> Taken<Vec<f64>> {
    let information = fields.numbers_where("information", "a list of rising numbers above 0", |t| t > 0.0)?;
    if information.is_empty() || information.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(fields.refuse("information", "a list of rising numbers above 0"));
    }
    Ok(information)
}

pub(super) fn group_sequential(fields: &Fields<'_>) -> Taken<Answer> {
    let information = information(fields)?;
    let alpha = fields.alpha()?;
    let sides = match fields.number_or("sides", 1.0, "1 or 2", |sides| sides == 1.0 || sides == 2.0)? {
        2.0 => Sides::Two,
        _ => Sides::One,
    };
    let fixed = if fields.has("z") {
        Some(fields.numbers_where("z", "a list of numbers of at least 0", |z| z >= 0.0)?)
    } else {
        None
    };
    if fixed.as_ref().is_some_and(|z| z.len() != information.len()) {
        return Err(fields.refuse("z", "as many numbers as in information"));
    }
    let spending = spending(fields)?;
    if fixed.is_none() && information[information.len() - 1] > 1.0 + 1e-9 {
        return Err(fields.refuse(
            "information",
            "fractions of the planned information, up to 1, where a spending function is used",
        ));
    }
    let (bounds, alpha_spent) = match fixed {
        Some(z) => {
            let stops = crossings(&information, &z, sides, 0.0);
            (
                Ok(z.into_iter().map(Some).collect::<Vec<_>>()),
                stops.map(|stops| running(&stops)),
            )
        }
        None => {
            let design = group_sequential::design(&information, alpha, sides, spending);
            (
                design.clone().map(|design| design.bounds),
                design.map(|design| design.alpha_spent),
            )
        }
    };
    let z: Result<Vec<f64>, Reason> = bounds
        .clone()
        .map(|bounds| bounds.into_iter().map(|z| z.unwrap_or(f64::INFINITY)).collect());
    let stops = |drift: f64| z.clone().and_then(|z| crossings(&information, &z, sides, drift));
    let mut answer = Answer::default();
    if bounds
        .as_ref()
        .is_ok_and(|bounds| bounds.iter().any(Option::is_none))
    {
        answer.because("a look at which nothing is spent has no boundary");
    }
    answer.put_known("bounds", bounds);
    answer.put_known("alpha_spent", alpha_spent);
    answer.put_known("type1", stops(0.0).map(|stops| stops.iter().sum::<f64>()));
    if fields.has("drift") {
        // The drift is the mean of z at information 1.
        let stops = stops(fields.number("drift")?);
        answer.put_known("power", stops.clone().map(|stops| running(&stops)));
        answer.put_known("stop_probability", stops);
    }
    Ok(answer)
}

fn running(stops: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    stops
        .iter()
        .map(|stop| {
            sum += stop;
            sum
        })
        .collect()
}

/// The rule for the boundaries of a ramp's gates.
#[derive(Clone, Copy, PartialEq)]
enum Gate {
    Naive,
    Bonferroni,
    Spend(Spending),
}

pub(super) fn ramp(fields: &Fields<'_>) -> Taken<Answer> {
    let shares = fields.numbers_where("shares", "a list of numbers from 0 to 1", |e| {
        (0.0..=1.0).contains(&e)
    })?;
    let n = if fields.raw("n").is_some_and(Input::is_number) {
        vec![fields.amount("n")?; shares.len()]
    } else {
        fields.numbers_where("n", "a list of numbers of at least 0", |n| n >= 0.0)?
    };
    if n.len() != shares.len() || n.is_empty() {
        return Err(fields.refuse("n", "as many numbers as in shares"));
    }
    let sigma2 = fields.positive("sigma2")?;
    let delta = fields.number("delta")?;
    let alpha = fields.alpha()?;
    let gates = &[
        ("naive", Gate::Naive),
        ("bonferroni", Gate::Bonferroni),
        ("obf", Gate::Spend(Spending::ObrienFleming)),
        ("pocock", Gate::Spend(Spending::Pocock)),
    ];
    let gate = fields.choice("gate", gates, Gate::Naive)?;
    let given = if fields.has("c") {
        Some(fields.numbers("c")?)
    } else {
        None
    };
    let ramp = ExactRamp { shares, n, sigma2 };
    let (_, gated) = ramp.gates();
    if given.as_ref().is_some_and(|c| c.len() != gated.len()) {
        return Err(fields.refuse(
            "c",
            &format!("one number per stage with a control ({})", gated.len()),
        ));
    }
    let last = gated.last().copied().unwrap_or(1.0);
    let c: Result<Vec<Option<f64>>, Reason> = match (given, gate) {
        (Some(c), _) => Ok(c.into_iter().map(Some).collect()),
        (None, Gate::Naive) => Ok(vec![Some(norm_isf(alpha)); gated.len()]),
        (None, Gate::Bonferroni) => Ok(vec![
            Some(norm_isf(alpha / gated.len().max(1) as f64));
            gated.len()
        ]),
        (None, Gate::Spend(spending)) => {
            let fractions: Vec<f64> = gated.iter().map(|information| information / last).collect();
            group_sequential::design(&fractions, alpha, Sides::One, spending).map(|design| design.bounds)
        }
    };
    let z: Result<Vec<f64>, Reason> = c
        .clone()
        .map(|c| c.into_iter().map(|c| c.unwrap_or(f64::INFINITY)).collect());
    let outcome = z.and_then(|z| ramp.outcome(&z, delta));
    let mut answer = Answer::default();
    answer.put("information", ramp.information());
    answer.put("information_cumulative", gated);
    answer.put_known("c", c);
    answer.put_known(
        "stop_probability",
        outcome.clone().map(|outcome| outcome.stop_probability),
    );
    answer.put_known("p_rollback", outcome.clone().map(|outcome| outcome.p_rollback));
    answer.put_known(
        "expected_exposed",
        outcome.clone().map(|outcome| outcome.expected_exposed),
    );
    answer.put_known(
        "expected_harm",
        outcome.map(|outcome| outcome.expected_exposed * (-delta).max(0.0)),
    );
    Ok(answer)
}

pub(super) fn risk_of_ruin(fields: &Fields<'_>) -> Taken<Answer> {
    let risk = RuinRisk {
        budget: fields.number("budget")?,
        posterior: (fields.number("post_mean")?, fields.amount("post_var")?),
        sigma2: fields.amount("sigma2")?,
        delta: fields.number_where("delta", "a number between 0 and 1/2", |delta| {
            delta > 0.0 && delta < 0.5
        })?,
        cap: fields.number_or("cap", 1e15, "a number of at least 0", |cap| cap >= 0.0)?,
    };
    let mut answer = Answer::default();
    answer.put_known("m_max", risk_of_ruin_step(&risk));
    Ok(answer)
}

/// The names of the families. Their parameters are read later.
#[derive(Clone, Copy, PartialEq)]
enum FamilyName {
    Normal,
    GammaExponential,
    BetaBinomial,
    PolyStitching,
}

pub(super) fn confidence_sequence(fields: &Fields<'_>) -> Taken<Answer> {
    let names = &[
        ("normal-mixture", FamilyName::Normal),
        ("gamma-exponential", FamilyName::GammaExponential),
        ("beta-binomial", FamilyName::BetaBinomial),
        ("poly-stitching", FamilyName::PolyStitching),
    ];
    let name = fields.choice("family", names, FamilyName::Normal)?;
    let (v, alpha) = (fields.amount("v")?, fields.alpha()?);
    let mut answer = Answer::default();
    if name == FamilyName::PolyStitching {
        let least = if fields.has("v_min") { "v_min" } else { "v_opt" };
        let stitching = Stitching {
            v_min: fields.positive(least)?,
            c: fields.number_or("c", 0.0, "a number", |_| true)?,
            s: fields.number_or("s", 1.4, "a number above 1", |s| s > 1.0)?,
            eta: fields.number_or("eta", 2.0, "a number above 1", |eta| eta > 1.0)?,
        };
        answer.put("boundary", stitching.boundary(v, alpha));
        return Ok(answer);
    }
    let one_sided = if fields.has("sides") {
        fields.number_where("sides", "1 or 2", |sides| sides == 1.0 || sides == 2.0)? == 1.0
    } else if fields.has("is_one_sided") {
        fields.flag_or("is_one_sided", true)?
    } else {
        fields.flag_or("one_sided", true)?
    };
    let most = if one_sided { 0.5 } else { 1.0 };
    let tuning = Tuning {
        v_opt: fields.positive("v_opt")?,
        alpha_opt: fields.number_or(
            "alpha_opt",
            0.05,
            "a number between 0 and 1 (1/2 if one-sided)",
            |a| a > 0.0 && a < most,
        )?,
        one_sided,
    };
    let family = match name {
        FamilyName::GammaExponential => Family::GammaExponential {
            c: fields.positive("c")?,
        },
        FamilyName::BetaBinomial => Family::BetaBinomial {
            g: fields.positive("g")?,
            h: fields.positive("h")?,
        },
        _ => Family::NormalMixture,
    };
    answer.put_known("boundary", family.boundary(v, alpha, tuning));
    Ok(answer)
}

/// The kind of the metric.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Proportion,
    Mean,
    Ratio,
}

pub(super) fn power(fields: &Fields<'_>) -> Taken<Answer> {
    let kinds = &[
        ("proportion", Kind::Proportion),
        ("mean", Kind::Mean),
        ("ratio", Kind::Ratio),
    ];
    let kind = fields.choice(
        "kind",
        kinds,
        if fields.has("p") {
            Kind::Proportion
        } else {
            Kind::Mean
        },
    )?;
    let baseline = if kind == Kind::Proportion {
        Baseline::Proportion(fields.number_where("p", "a number between 0 and 1", |p| p > 0.0 && p < 1.0)?)
    } else {
        Baseline::Mean {
            var: fields.positive("var")?,
        }
    };
    let mean = if kind == Kind::Proportion {
        fields.nullable("p")?
    } else {
        fields.nullable("mean")?
    };
    let variances = &[
        ("pooled", NullVariance::Pooled),
        ("unpooled", NullVariance::Unpooled),
        ("arcsine", NullVariance::Arcsine),
    ];
    let comparison = Comparison {
        baseline,
        ratio: fields.number_or("ratio", 1.0, "a number above 0", |r| r > 0.0)?,
        alternative: fields.choice("alternative", arms::ALTERNATIVES, Alternative::TwoSided)?,
        alpha: fields.alpha()?,
        by_t: fields.choice("method", &[("z", false), ("t", true)], false)?,
        null_variance: fields.choice("null_variance", variances, NullVariance::Pooled)?,
        design_effect: fields.number_or("design_effect", 1.0, "a number above 0", |d| d > 0.0)?,
    };
    if comparison.by_t && kind == Kind::Proportion {
        return Err(fields.refuse("method", "z for proportions"));
    }
    let n = if fields.has("n_total") {
        Some(fields.number_where("n_total", "a number above 2", |n| n > 2.0)?)
    } else {
        None
    };
    let effect = if fields.has("effect") {
        let fits =
            |d: f64| d != 0.0 && !matches!(baseline, Baseline::Proportion(p) if p + d <= 0.0 || p + d >= 1.0);
        Some(fields.number_where(
            "effect",
            "a difference other than 0 that leaves a proportion between 0 and 1",
            fits,
        )?)
    } else {
        None
    };
    let power = if fields.has("power") {
        Some(fields.level_or("power", 0.8)?)
    } else {
        None
    };
    let is_detectable = effect.is_none();
    let (n, effect, power) = match (n, effect, power) {
        (Some(n), Some(effect), None) => (Ok(n), Ok(effect), Ok(comparison.power(n, effect))),
        (None, Some(effect), Some(power)) => (comparison.n_total(effect, power), Ok(effect), Ok(power)),
        (Some(n), None, Some(power)) => (Ok(n), comparison.effect(n, power), Ok(power)),
        _ => return Err(fields.refuse("power", "two of n_total, effect and power")),
    };
    let arm = |share: f64| n.map(|n| n * share);
    let [control, treatment] = [1.0, comparison.ratio].map(|part| arm(part / (1.0 + comparison.ratio)));
    // A size just above a whole number by rounding needs no further row.
    let rows = |n: f64| (n * (1.0 - 1e-9)).ceil();
    let mut answer = Answer::default();
    answer.put_known("n_total", n);
    answer.put_known("effect", effect);
    answer.put_known("power", power);
    answer.put_known("n_control", control);
    answer.put_known("n_treatment", treatment);
    answer.put_known("rows_control", control.map(rows));
    answer.put_known("rows_treatment", treatment.map(rows));
    if let Some(mean) = mean.filter(|mean| *mean != 0.0) {
        answer.put_known("rel_effect", effect.map(|effect| effect / mean));
    }
    if let (true, Alternative::TwoSided, Ok(n), Ok(power)) = (is_detectable, comparison.alternative, n, power)
    {
        let [below, above] = comparison.effects(n, power);
        for (name, effect) in [("effect_below", below), ("effect_above", above)] {
            match effect {
                Ok(effect) => answer.put(name, effect),
                Err(_) => answer.miss_for(name, "no effect on this side of 0 reaches the power"),
            }
        }
    }
    if let (Kind::Proportion, Ok(n)) = (kind, n) {
        // The upper bound of a rate if no row shows an event.
        answer.put("no_event_upper", rule_of_three(n, comparison.alpha));
    }
    Ok(answer)
}

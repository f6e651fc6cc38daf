//! Quality: the QoS score of a set of rates.

use crate::calc::answer::Answer;
use crate::calc::fields::{Fields, Taken};
use crate::calc::input::Input;
use crate::calc::layering::weights;
use crate::metric::BadRateOf;
use crate::scenario::QosConfig;
use crate::stats::Reason;
use crate::{layer, qos};

pub(super) fn qos(fields: &Fields<'_>) -> Taken<Answer> {
    let share = |name| {
        if fields.has(name) {
            fields.share(name).map(Some)
        } else {
            Ok(None)
        }
    };
    let (bad, available) = (share("bad_rate")?, share("availability")?);
    let latency = if fields.has("latency_ms") {
        Some(fields.amount("latency_ms")?)
    } else {
        None
    };
    let (tools, tasks, complaints) = (
        share("tool_success_rate")?,
        share("task_completion_rate")?,
        share("complaint_rate")?,
    );
    let weights = if fields.raw("weights").is_some_and(Input::is_list) {
        weights(fields, "weights")?
    } else {
        fields.choice(
            "weights",
            &[("high_risk", [0.3, 0.2, 0.5]), ("low_risk", [0.4, 0.3, 0.3])],
            [0.3, 0.2, 0.5],
        )?
    };
    let max_latency_ms = fields.number_or("max_latency_ms", 5_000.0, "a number above 0", |ms| ms > 0.0)?;
    let config = QosConfig {
        weights,
        max_latency_ms,
        bad_rate_of: BadRateOf::Rated,
    };
    // A part of the score needs its own rates only. The whole score needs all rates.
    let rates = qos::Rates {
        bad_rate: bad.unwrap_or(0.0),
        availability: available.unwrap_or(0.0),
        latency_ms: latency.unwrap_or(0.0),
        tool_success_rate: tools.unwrap_or(0.0),
        task_completion_rate: tasks.unwrap_or(0.0),
        complaint_rate: complaints.unwrap_or(0.0),
    };
    let found = qos::qos(&rates, &config);
    let (u, t, b) = (
        bad.is_some(),
        available.is_some() && latency.is_some() && tools.is_some(),
        tasks.is_some() && complaints.is_some(),
    );
    let mut answer = Answer::default();
    for (name, value, is_known) in [
        ("u", found.u, u),
        ("t", found.t, t),
        ("b", found.b, b),
        ("qos", found.qos, u && t && b),
    ] {
        answer.put_known(name, if is_known { Ok(value) } else { Err(Reason::NoData) });
    }
    if u && t && b {
        answer.put("qos_rounded", f64::from(layer::round_score(found.qos)) / 10_000.0);
    }
    Ok(answer)
}

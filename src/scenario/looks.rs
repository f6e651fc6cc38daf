//! The looks of a group-sequential ramp, from the times of its stages alone.

use crate::base::time::{DAY, Micros};
use crate::scenario::plan::Layer;
use crate::scenario::stages::Stage;

/// Returns the times of the looks at a stage, rising, microseconds, UTC: at the end of the dwell and
/// every 24 hours from then on, up to the stage's end. A stage that ends within a window before a
/// look has that look at its end, because a dwell may fall short by less than a window.
///
/// # References
/// `docs/METHODS.md#gates-of-a-ramp`.
pub fn look_times(stage: &Stage, layer: &Layer, window: Micros) -> Vec<Micros> {
    let first = stage.start + layer.dwell.max(window);
    let mut times: Vec<Micros> = Vec::new();
    let mut due = first;
    while due - window <= stage.end {
        let at = due.min(stage.end);
        if at > stage.start && times.last().is_none_or(|last| at > *last) {
            times.push(at);
        }
        due += DAY;
    }
    times
}

/// Returns the stages since the layer last opened: those after the last stage at ratio 0. Empty if
/// the layer is closed.
pub fn since_opening(stages: &[Stage]) -> std::ops::Range<usize> {
    let closed = stages
        .iter()
        .rposition(|stage| stage.ratio == crate::bucket::Ratio::ZERO);
    closed.map_or(0, |idx| idx + 1)..stages.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::HOUR;
    use crate::bucket::Ratio;
    use crate::scenario::{Overrides, Scenario};
    use std::path::Path;

    #[test]
    fn looks_are_at_the_dwell_and_then_daily() {
        let text = r#"
            as_of = "2026-01-10"
            plan = { id = "p", start = "2026-01-01", baseline = "a", candidate = "b" }
            input = { users_from_traffic = true, traffic = [{ path = "t.csv" }] }
            layer = [{ id = "all", dwell_hours = 48 }]
        "#;
        let scenario = Scenario::parse(text, "test", Path::new(""), &Overrides::default()).unwrap();
        let check = |hours: i64, window: i64, expected: &[i64]| {
            let stage = Stage {
                start: 5 * HOUR,
                end: (5 + hours) * HOUR,
                ratio: Ratio::FULL,
                changing_since: None,
                mixed_since: None,
            };
            let found: Vec<i64> = look_times(&stage, &scenario.plan.layers[0], window * HOUR)
                .into_iter()
                .map(|at| at / HOUR - 5)
                .collect();
            assert_eq!(found, expected, "{hours} h, window {window} h");
        };
        check(0, 1, &[]);
        check(46, 1, &[]);
        check(47, 1, &[47]);
        check(48, 1, &[48]);
        check(60, 1, &[48]);
        check(71, 1, &[48, 71]);
        check(100, 1, &[48, 72, 96]);
        check(72, 24, &[48, 72]);
        check(24, 24, &[24]);
    }

    #[test]
    fn a_closed_layer_begins_anew() {
        let of = |shares: &[f64]| {
            let stages: Vec<Stage> = shares
                .iter()
                .map(|share| Stage {
                    start: 0,
                    end: 0,
                    ratio: Ratio::try_from_share(*share).unwrap(),
                    changing_since: None,
                    mixed_since: None,
                })
                .collect();
            since_opening(&stages)
        };
        assert_eq!(of(&[0.0, 0.1, 0.5]), 1..3);
        assert_eq!(of(&[0.1, 0.0, 0.2]), 2..3);
        assert_eq!(of(&[0.1, 0.0]), 2..2);
        assert_eq!(of(&[0.1, 0.05]), 0..2);
    }
}

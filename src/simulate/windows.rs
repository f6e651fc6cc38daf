//! The windows of a simulation: the traffic and the candidate's values in each of them.

use crate::base::time::{HOUR, Micros, Zone};
use crate::scenario::{HOURS_A_WEEK, Plan, World, WorldLayer};

/// Computes the traffic of each window with a mean of 1, and the probability that a user visits in
/// it.
pub(super) fn pace(
    layer: &WorldLayer,
    (plan, zone): (&Plan, &Zone),
    n_windows: u32,
    activity: f64,
) -> Vec<[f64; 2]> {
    let of_window = |idx: u32| {
        let start = plan.start + i64::from(idx) * plan.window;
        // The traffic of a long window is the mean over its hours.
        let hours = (plan.window / HOUR).clamp(1, HOURS_A_WEEK as i64);
        let weight = |hour: i64| {
            layer
                .rhythm
                .get(zone.hour_of_week(start + hour * HOUR))
                .copied()
                .unwrap_or(1.0)
        };
        let pace = (0..hours).map(weight).sum::<f64>() / hours as f64;
        [pace, -(-activity * pace).exp_m1()]
    };
    (0..n_windows).map(of_window).collect()
}

/// Computes the candidate's value of a metric in each window.
pub(super) fn candidate_values(
    world: &World,
    metric: &str,
    layer: usize,
    value: f64,
    is_proportion: bool,
    n_windows: u32,
    window: Micros,
) -> Vec<f64> {
    let effects: Vec<_> = world
        .effects
        .iter()
        .filter(|effect| effect.metric == metric && effect.layer_idx.is_none_or(|idx| idx == layer))
        .collect();
    let at = |idx: u32| {
        let since = i64::from(idx) * window;
        let is_on = |during: Option<(Micros, Micros)>| {
            during.is_none_or(|(from, length)| since >= from && since - from < length)
        };
        let sum: f64 = effects
            .iter()
            .filter(|effect| is_on(effect.during))
            .map(|effect| effect.effect)
            .sum();
        if is_proportion {
            (value + sum).clamp(0.0, 1.0)
        } else {
            value + sum
        }
    };
    (0..n_windows).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, Scenario};

    #[test]
    fn a_rhythm_has_the_hours_of_the_zone() {
        // The first windows of a plan that starts on 2026-03-08, a Sunday, at 00:00 in New York,
        // when clocks skip 02:00.
        let check = |zone: &str, expected: [f64; 4]| {
            let text = format!(
                "time_zone = \"{zone}\"\nas_of = \"2026-03-09\"\n\
                 plan = {{ id = \"p\", start = \"2026-03-08T05:00:00Z\", baseline = \"a\", candidate = \"b\" }}\n\
                 input = {{ users_from_traffic = true, traffic = [{{ path = \"t.csv\" }}] }}\n\
                 layer = [{{ id = \"all\" }}]\n"
            );
            let scenario =
                Scenario::parse(&text, "t", std::path::Path::new(""), &Overrides::default()).unwrap();
            let layer = WorldLayer {
                n_users: 1.0,
                turns_per_user_day: 1.0,
                weekly_active: 0.5,
                rhythm: (0..168).map(f64::from).collect(),
            };
            let found = pace(&layer, (&scenario.plan, &scenario.time_zone), 4, 0.1);
            assert_eq!(
                found.iter().map(|[pace, _]| *pace).collect::<Vec<_>>(),
                expected,
                "{zone}"
            );
        };
        check("America/New_York", [144.0, 145.0, 147.0, 148.0]);
        check("UTC", [149.0, 150.0, 151.0, 152.0]);
        check("Asia/Kolkata", [154.0, 155.0, 156.0, 157.0]);
    }
}

//! Contradictions in a plan: what was promised against what the plan's own numbers give.

use crate::base::time::DAY;
use crate::bucket::Ratio;
use crate::scenario::{Claim, DecisionPolicy, Plan};
use crate::words::plan as sentence;
use crate::words::{Count, Days, Number, Percent, Text};

/// Difference between a stated and a computed share, as a part of the computed share, from which the
/// stated share is wrong. Rounding to one digit is off by less.
const ROUNDING: f64 = 0.5;

/// Returns the contradictions of a plan, as texts. `n_users` are the users of each layer.
pub fn contradictions(plan: &Plan, n_users: &[f64]) -> Vec<Text> {
    let mut found = wrong_claims(plan);
    found.extend(late(plan, plan.promised_days, Deadline::Promised));
    found.extend(first_steps(plan, n_users));
    found
}

/// The shares of users that a source states and that are not the quotient of its own numbers.
pub(crate) fn wrong_claims(plan: &Plan) -> Vec<Text> {
    let share = |claim: &Claim| claim.users as f64 / claim.of as f64;
    let is_wrong = |claim: &&Claim| (claim.share - share(claim)).abs() > ROUNDING * share(claim);
    let text = |claim: &Claim| {
        sentence::wrong_claim(
            Count(claim.users),
            Count(claim.of),
            Percent(share(claim)),
            Percent(claim.share),
            &claim.source,
        )
    };
    plan.claims.iter().filter(is_wrong).map(text).collect()
}

/// Where a number of days comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// The plan's promise.
    Promised,
    /// The end of a simulation.
    Horizon,
}

/// The last layer whose dwells alone take longer than `days`. `None` if all layers can be at the end
/// of their ladders by then, or if dwells are not enforced, as under the policy `point`.
pub(crate) fn late(plan: &Plan, days: Option<f64>, deadline: Deadline) -> Option<Text> {
    let days = days.filter(|_| plan.policy.decision == DecisionPolicy::Interval)?;
    let shortest = shortest_days(plan);
    let longest = shortest.iter().copied().fold(0.0, f64::max);
    let layer = shortest.iter().position(|days| *days == longest)?;
    (longest > days).then(|| {
        let name = plan.layer_name(&plan.layers[layer].id);
        match deadline {
            Deadline::Promised => sentence::late_for_plan(Days(longest), name, Days(days)),
            Deadline::Horizon => sentence::late_for_horizon(Days(longest), name, Days(days)),
        }
    })
}

/// The first steps that reach more users than the cap of all users allows.
fn first_steps(plan: &Plan, n_users: &[f64]) -> Vec<Text> {
    let Some(cap) = plan.policy.exposure_cap else {
        return Vec::new();
    };
    let allowed = cap * n_users.iter().sum::<f64>();
    let of_layer = |(layer, n_users): (&crate::scenario::Layer, &f64)| {
        let first = layer.next_step(Ratio::ZERO)?;
        let reached = first.share() * n_users;
        (reached > allowed).then(|| {
            sentence::first_step_above_cap(
                plan.layer_name(&layer.id),
                first,
                Number(reached.round()),
                Percent(cap),
                Number(allowed.round()),
            )
        })
    };
    plan.layers.iter().zip(n_users).filter_map(of_layer).collect()
}

/// Days until each layer can be at the end of its ladder: its own dwells after those of the layers
/// before it.
fn shortest_days(plan: &Plan) -> Vec<f64> {
    let mut days = vec![0.0; plan.layers.len()];
    // A chain has at most as many layers as the plan, so as many passes are enough.
    for _ in 0..plan.layers.len() {
        for (idx, layer) in plan.layers.iter().enumerate() {
            let before = layer.after.iter().map(|before| days[*before]).fold(0.0, f64::max);
            let n_dwells = layer.steps().count().saturating_sub(1);
            days[idx] = before + n_dwells as f64 * layer.dwell as f64 / DAY as f64;
        }
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, Scenario};
    use std::path::Path;

    #[test]
    fn the_case_study_contradicts_itself() {
        let path = Path::new("scenarios/ecommerce.toml");
        let text = std::fs::read_to_string(path).unwrap();
        let scenario = Scenario::parse(&text, "test", Path::new(""), &Overrides::default()).unwrap();
        let users = [25e3, 500e3, 3.5e6, 750e3, 225e3];
        let found = contradictions(&scenario.plan, &users);
        let english: Vec<&str> = found.iter().map(|text| text.en.as_str()).collect();
        assert_eq!(
            english,
            [
                "45,000 of 5,000,000 users are 0.9%, not 0.09% (article A, case study).",
                "The dwells alone take 21 days until the layer VIP users is at the end of its ladder; the plan promises 10 days.",
                "The first step of Internal testers, 100%, alone reaches 25,000 users; the cap of 0.1% of all users allows 5,000.",
                "The first step of Early adopters, 10%, alone reaches 50,000 users; the cap of 0.1% of all users allows 5,000.",
                "The first step of Regular users, 1%, alone reaches 35,000 users; the cap of 0.1% of all users allows 5,000.",
                "The first step of High-value users, 10%, alone reaches 75,000 users; the cap of 0.1% of all users allows 5,000.",
                "The first step of VIP users, 10%, alone reaches 22,500 users; the cap of 0.1% of all users allows 5,000.",
            ]
        );
        assert!(found.iter().all(|text| !text.zh.is_empty()));
        assert_eq!(
            found[0].zh,
            "5,000,000 名用户中的 45,000 名是 0.9%，而不是 0.09%（article A, case study）。"
        );
    }

    #[test]
    fn rounded_claims_are_not_wrong() {
        let claim = |users, share| {
            let text = format!(
                "as_of = \"2026-01-10\"\n\
                 plan = {{ id = \"p\", start = \"2026-01-01\", baseline = \"a\", candidate = \"b\" }}\n\
                 input = {{ users_from_traffic = true, traffic = [{{ path = \"t.csv\" }}] }}\n\
                 layer = [{{ id = \"all\" }}]\n\
                 claim = [{{ users = {users}, of = 1000, share = {share}, source = \"s\" }}]\n"
            );
            let scenario = Scenario::parse(&text, "test", Path::new(""), &Overrides::default()).unwrap();
            wrong_claims(&scenario.plan).len()
        };
        assert_eq!(claim(149, 0.1), 0);
        assert_eq!(claim(0, 0.0), 0);
        assert_eq!(claim(9, 0.0009), 1);
        assert_eq!(claim(9, 0.09), 1);
        assert_eq!(claim(0, 0.1), 1);
    }
}

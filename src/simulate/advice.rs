//! Plans over all their worlds: whether each keeps the budget, and which one to take.

use crate::scenario::Budget;
use crate::simulate::document::{Chance, Finding, Forecast, PlanForecast};
use crate::words::simulate as sentence;
use crate::words::{Days, Percent, Text};

/// A plan over all worlds.
#[derive(Debug, Clone)]
pub struct PlanLine<'a> {
    /// The id of the plan.
    pub plan: &'a str,
    /// The world with the largest harm.
    pub worst: &'a PlanForecast,
    /// The largest over worlds without harm; `None` without such a world.
    pub p_false_rollback: Option<Chance>,
    /// The largest over harmful worlds; `None` without such a world.
    pub p_missed: Option<Chance>,
    /// The shortest mean over worlds without harm, hours; `None` if no run of them gets there.
    pub hours_to_full: Option<f64>,
    /// Whether the plan keeps the limits of errors.
    pub verdict: BudgetVerdict,
}

/// Whether a plan keeps the limits of errors in the budget of the scenario: `max_false_rollback` and
/// `max_missed`. The harm limit belongs to `--optimize`, which knows the harm at `mde`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetVerdict {
    /// The intervals of both probabilities lie within it.
    Keeps,
    /// An interval lies above it.
    Breaks,
    /// An interval holds the limit, or a kind of world is missing.
    Unclear,
}

impl BudgetVerdict {
    /// The verdict as a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keeps => "keeps",
            Self::Breaks => "breaks",
            Self::Unclear => "unclear",
        }
    }

    fn new(limits: [(Option<Chance>, f64); 2]) -> Self {
        let is_above =
            |(chance, limit): &(Option<Chance>, f64)| chance.is_some_and(|c| c.ci.ci_lower > *limit);
        let is_within =
            |(chance, limit): &(Option<Chance>, f64)| chance.is_some_and(|c| c.ci.ci_upper <= *limit);
        if limits.iter().any(is_above) {
            Self::Breaks
        } else if limits.iter().all(is_within) {
            Self::Keeps
        } else {
            Self::Unclear
        }
    }
}

impl<'a> PlanLine<'a> {
    /// The line of each plan, in the order of the scenario.
    pub fn all(forecast: &'a Forecast, budget: &Budget) -> Vec<Self> {
        let mut names: Vec<&str> = forecast.plans.iter().map(|plan| plan.plan.as_str()).collect();
        names.dedup();
        names
            .into_iter()
            .filter_map(|name| {
                let worlds: Vec<&PlanForecast> =
                    forecast.plans.iter().filter(|plan| plan.plan == name).collect();
                Self::new(name, &worlds, budget)
            })
            .collect()
    }

    fn new(plan: &'a str, worlds: &[&'a PlanForecast], budget: &Budget) -> Option<Self> {
        let harm = |world: &PlanForecast| match (&world.cost, &budget.metric) {
            (Some(cost), _) => cost.mean,
            (None, Some(metric)) => world.harm.get(metric).and_then(|harm| harm.mean),
            (None, None) => world.harm.values().next().and_then(|harm| harm.mean),
        };
        let worst = worlds
            .iter()
            .copied()
            .max_by(|a, b| harm(a).unwrap_or(0.0).total_cmp(&harm(b).unwrap_or(0.0)))?;
        let largest = |pick: fn(&PlanForecast) -> Option<Chance>| {
            worlds
                .iter()
                .filter_map(|world| pick(world))
                .max_by(|a, b| a.p.total_cmp(&b.p))
        };
        let (p_false_rollback, p_missed) = (largest(|w| w.p_false_rollback), largest(|w| w.p_missed));
        let hours = worlds
            .iter()
            .filter(|world| !world.is_harmful)
            .filter_map(|world| world.hours_to_full.mean);
        Some(Self {
            plan,
            worst,
            p_false_rollback,
            p_missed,
            hours_to_full: hours.min_by(f64::total_cmp),
            verdict: BudgetVerdict::new([
                (p_false_rollback, budget.max_false_rollback),
                (p_missed, budget.max_missed),
            ]),
        })
    }
}

/// What to do with the plans: the fastest that keeps the limits of errors, or how to find one.
/// `findings` are the contradictions in the plans.
pub fn advice(lines: &[PlanLine<'_>], budget: &Budget, findings: &[Finding]) -> Text {
    let (false_rollback, missed) = (Percent(budget.max_false_rollback), Percent(budget.max_missed));
    let fastest = lines
        .iter()
        .filter(|line| line.verdict == BudgetVerdict::Keeps)
        .filter_map(|line| Some((line, line.hours_to_full?)))
        .min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((line, hours)) = fastest {
        let contradicts = findings
            .iter()
            .any(|finding| finding.plans.iter().any(|plan| plan == line.plan));
        let take = sentence::take_plan(line.plan, false_rollback, missed, Days(hours / 24.0));
        return if contradicts {
            Text::sentences(&[take, sentence::contradicts()])
        } else {
            take
        };
    }
    let unclear: Vec<String> = lines
        .iter()
        .filter(|line| line.verdict == BudgetVerdict::Unclear)
        .map(|line| format!("\"{}\"", line.plan))
        .collect();
    if unclear.is_empty() {
        sentence::no_plan(false_rollback, missed)
    } else {
        sentence::none_proved(false_rollback, missed, unclear)
    }
}

#[cfg(test)]
mod tests {
    use crate::simulate::advice::BudgetVerdict;
    use crate::simulate::document::Chance;

    #[test]
    fn a_budget_is_kept_only_when_the_intervals_prove_it() {
        let chance = |n| Some(Chance::from_counts(n, 500));
        let check = |false_rollbacks, missed, expected| {
            assert_eq!(
                BudgetVerdict::new([(false_rollbacks, 0.05), (missed, 0.1)]),
                expected
            );
        };
        check(chance(2), chance(0), BudgetVerdict::Keeps);
        check(chance(70), chance(0), BudgetVerdict::Breaks);
        check(chance(2), chance(500), BudgetVerdict::Breaks);
        check(chance(24), chance(0), BudgetVerdict::Unclear);
        check(chance(2), None, BudgetVerdict::Unclear);
        check(None, chance(500), BudgetVerdict::Breaks);
    }
}

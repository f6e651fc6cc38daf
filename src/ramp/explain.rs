//! Explains the checks that block: finds the numbers of an outlook for each kind of check.

use crate::analysis::{Analysis, LayerAnalysis, StageAnalysis};
use crate::base::number::{amount, number};
use crate::base::time;
use crate::base::time::{HOUR, Micros};
use crate::bucket::Ratio;
use crate::metric::Metric;
use crate::ramp::coverage::Coverage;
use crate::ramp::outlook::{
    Outlook, Place, Undecided, beyond_margin, current_stage, days_text, growing_outlook, kind_and_metric,
    violated,
};
use crate::ramp::reach::{GuardrailGrowth, MAX_DAYS, QosGrowth, days_of, least_groups, visits_of};
use crate::ramp::slices_check::SLICES;
use crate::ramp::verdict::{Check, CheckOutcome, Verdict};
use crate::scenario::Plan;
use crate::stats::Reason;
use crate::stats::non_inferiority::HarmVerdict;
use crate::words::slices;

/// The inputs that all outlooks of a schedule share.
#[derive(Debug, Clone, Copy)]
pub struct Outlooks<'a> {
    plan: &'a Plan,
    metrics: &'a [Metric],
    coverage: Option<Coverage<'a>>,
    as_of: Micros,
}

impl<'a> Outlooks<'a> {
    /// The outlooks of an analysis under a plan.
    pub fn new(plan: &'a Plan, analysis: &'a Analysis) -> Self {
        Self {
            plan,
            metrics: &analysis.metrics,
            coverage: Coverage::from_analysis(analysis),
            as_of: analysis.as_of,
        }
    }

    /// The outlook of the first check of a trace that blocks. `None` for a promotion, and for a
    /// rollback, after which nothing is left to decide.
    pub fn of_trace(&self, place: Place<'_>, trace: &[Check]) -> Option<Outlook> {
        let mut blocking = trace
            .iter()
            .filter(|check| matches!(check.outcome, CheckOutcome::Block(_)));
        let first = blocking.next()?;
        (first.outcome != CheckOutcome::Block(Verdict::Rollback)).then(|| Outlook {
            also_open: blocking.map(|check| check.check.clone()).collect(),
            ..self.of(place, first)
        })
    }

    /// The outlook of a check that blocks, or that could not be made.
    pub fn of(&self, place: Place<'_>, check: &Check) -> Outlook {
        let (kind, metric) = kind_and_metric(&check.check);
        let action = |text: &str| Outlook::action(check, text);
        match (kind, metric) {
            ("guardrail" | "clear" | "signal", Some(metric)) => self.guardrail(place, check, kind, metric),
            ("qos" | "qos_floor", _) => self.qos(place, check, kind),
            ("evidence", _) => self.evidence(place, check),
            ("min_users", _) => self.min_users(place, check),
            ("dwell", _) => self.dwell(place, check),
            ("after", _) => self.after(place, check),
            ("cool_down", _) => {
                self.instant(check, place.rolled_back.map(|at| at + self.plan.policy.cool_down))
            }
            ("freeze", _) => {
                let freeze = self
                    .plan
                    .freezes
                    .iter()
                    .find(|freeze| freeze.contains(&self.as_of));
                self.instant(check, freeze.map(|freeze| freeze.end))
            }
            ("approval", _) => {
                let next = place.layer.next_step(place.ratio).unwrap_or(place.ratio);
                Outlook::action(
                    check,
                    format!(
                        "an [[approval]] by a person: layer = \"{}\", candidate = \"{}\", ratio = {}",
                        place.layer.id,
                        self.plan.candidate,
                        next.share()
                    ),
                )
            }
            ("srm" | "leak" | "crossover" | "assignment", _) => {
                action("find why users are missing from an arm or in the wrong one, then measure again")
            }
            ("coverage", _) => {
                action("ids and releases in the log as the users table and the plan write them")
            }
            (SLICES, _) => Outlook::action(check, slices::remedy()).because(Undecided::BeyondLimit),
            ("new_release" | "rollback_scope", _) => action("a new release"),
            ("ladder", _) => action("nothing: the layer is at the end of its ladder, and checks continue"),
            _ => Outlook::action(check, check.text()),
        }
    }

    fn guardrail(&self, place: Place<'_>, check: &Check, kind: &str, metric: &str) -> Outlook {
        let guardrails = &self.plan.guardrails;
        let idx = guardrails.iter().position(|guardrail| guardrail.metric == metric);
        let found = current_stage(place).zip(idx);
        let found = found.and_then(|(stage, idx)| Some((stage, idx, stage.guardrails.get(idx)?.judged)));
        let Some((stage, idx, judged)) = found else {
            return Outlook::action(check, check.text());
        };
        if let Some(reason) = judged.reason {
            return self.unknown(place, check, reason, Some(metric));
        }
        let numbers = (check.value, check.interval, check.limit);
        let (Some(harm), Some(interval), Some(margin)) = numbers else {
            return Outlook::action(check, format!("a new release: {}", check.detail))
                .because(Undecided::BeyondLimit);
        };
        let unit = self.metrics.iter().find(|other| other.id == metric);
        let unit = unit.map_or("ms", |metric| &metric.unit);
        let limit = guardrails[idx].limit.unwrap_or(margin);
        if kind != "clear" || judged.verdict == HarmVerdict::Violated {
            return violated(check, (harm, margin, limit), unit);
        }
        let grows = match self.growth(place, stage, idx) {
            Ok(grows) => grows,
            Err(reason) => return self.unknown(place, check, reason, Some(metric)),
        };
        let distance = interval.ci_upper - margin;
        if harm >= margin {
            let outlook = beyond_margin(check, (harm, margin), &grows, place.ratio, days_of(stage));
            return outlook.distant(distance, unit);
        }
        let outlook = Outlook::action(check, String::new());
        if distance > 0.0 {
            let asks = format!("clear a margin of {}", number(margin));
            let margin_that_can = grows.upper(MAX_DAYS, place.ratio);
            let outlook = outlook.distant(distance, unit);
            return growing_outlook(outlook, place, stage, &grows, &asks, margin_that_can);
        }
        let asks = format!("clear the limit {} of its own value", number(limit));
        growing_outlook(outlook, place, stage, &grows, &asks, None)
    }

    /// The growth of a guardrail of the stage in force. The other guardrails stay as they are:
    /// Holm's correction covers all.
    fn growth(
        &self,
        place: Place<'_>,
        stage: &StageAnalysis,
        idx: usize,
    ) -> Result<GuardrailGrowth<'_>, Reason> {
        let n_eligible = place.analyzed.map_or(0, |layer| layer.n_eligible);
        let of = |idx| {
            let of = (&self.plan.policy, self.plan.guardrails.as_slice(), idx);
            GuardrailGrowth::from_stage(of, stage, n_eligible, self.metrics)
        };
        let mut grows = of(idx)?;
        for (other, input) in (0..).zip(&mut grows.inputs) {
            if let Some(now) = of(other).ok().filter(|_| other != idx) {
                *input = now.input(days_of(stage), stage.ratio);
            }
        }
        Ok(grows)
    }

    fn qos(&self, place: Place<'_>, check: &Check, kind: &str) -> Outlook {
        let Some(stage) = current_stage(place) else {
            return Outlook::action(check, check.text());
        };
        let arm = match stage.qos.candidate.result() {
            Ok(arm) => arm,
            Err(reason) => return self.unknown(place, check, reason, None),
        };
        let (threshold, qos) = (check.limit.unwrap_or(place.layer.qos_threshold), arm.value.qos);
        if kind == "qos_floor" || qos < threshold {
            let what = if kind == "qos_floor" { "floor" } else { "threshold" };
            let text = format!(
                "QoS {qos:.4} lies {} below the {what} {threshold}: a new release that reaches it, or a lower {what}",
                number(threshold - qos)
            );
            return Outlook::action(check, text)
                .because(Undecided::BeyondLimit)
                .distant(threshold - qos, "score");
        }
        let n_eligible = place.analyzed.map_or(0, |layer| layer.n_eligible);
        let of = (&self.plan.policy, threshold);
        let grows = QosGrowth::from_stage(of, &arm, stage, n_eligible);
        let lower = check.interval.map_or(threshold, |interval| interval.ci_lower);
        let outlook = Outlook::action(check, String::new()).distant(threshold - lower, "score");
        let asks = format!("raise the interval of QoS above {threshold}");
        growing_outlook(outlook, place, stage, &grows, &asks, None)
    }

    /// The outlook of a check whose number is not known.
    fn unknown(&self, place: Place<'_>, check: &Check, reason: Reason, metric: Option<&str>) -> Outlook {
        let coverage = self.coverage.as_ref();
        let missing = match metric {
            Some(metric) => coverage.and_then(|coverage| coverage.missing_columns(metric)),
            None => coverage.and_then(Coverage::missing_rates),
        };
        let name = metric.unwrap_or("QoS");
        match reason {
            Reason::NoColumn => {
                let missing = missing.unwrap_or_else(|| format!("the log lacks a column that {name} needs"));
                let or = metric.map_or("", |_| ", or remove the guardrail");
                let text = format!("{missing}: map it in [[input.traffic]].columns{or}");
                Outlook::action(check, text).because(Undecided::NoColumn)
            }
            Reason::TooFewClusters => {
                let text = match least_groups(place.ratio) {
                    Some((n_groups, least)) => format!(
                        "{} has {n_groups} bucket groups, and an error needs 20: {least} or more of the layer",
                        place.ratio
                    ),
                    None => format!("users in at least 20 bucket groups in each arm with a value of {name}"),
                };
                let mut outlook = Outlook::action(check, text).because(Undecided::TooFewClusters);
                outlook.next_ratio_that_can = least_groups(place.ratio).map(|(_, least)| least);
                outlook
            }
            Reason::NoData => Outlook::action(check, format!("rows of both releases with a value of {name}"))
                .because(Undecided::NoData),
            reason => {
                Outlook::action(check, format!("{name} is not known: {reason}")).because(Undecided::NoData)
            }
        }
    }

    fn evidence(&self, place: Place<'_>, check: &Check) -> Outlook {
        let is_current = |stage: &&StageAnalysis| stage.ratio == place.ratio && stage.start == place.since;
        let text = match place.analyzed.and_then(LayerAnalysis::current) {
            None => "rows of users of this layer in the log".to_owned(),
            Some(stage) if is_current(&stage) => format!(
                "rows of {}: check that production serves it to {} of the layer's users, and that the log names it",
                self.plan.candidate, place.ratio
            ),
            Some(_) => format!(
                "replay and analyze the log under the ratios in force: give `--state` with the state, or write the \
                 change to {} at {} as an [[operation]]",
                place.ratio,
                time::format(place.since)
            ),
        };
        Outlook::action(check, text).because(Undecided::NoData)
    }

    fn min_users(&self, place: Place<'_>, check: &Check) -> Outlook {
        let (Some(n), Some(least)) = (check.value, check.limit) else {
            return Outlook::action(check, check.text());
        };
        let mut outlook = Outlook::action(check, String::new()).distant(least - n, "users");
        let n_eligible = place.analyzed.map_or(0, |layer| layer.n_eligible);
        let stage = current_stage(place).filter(|stage| n > 0.0 && stage.end > stage.start);
        let Some(stage) = stage else {
            outlook.text = format!("{} more users: none has come yet", amount(least - n));
            return outlook.because(Undecided::NoData);
        };
        let (visits, share) = (visits_of(stage, 1, n_eligible), place.ratio.share());
        outlook.users_needed = Some((least - n) as u64);
        let all = n_eligible as f64 * share;
        if n_eligible > 0 && all < least {
            let enough = |ratio: &Ratio| n_eligible as f64 * ratio.share() >= least;
            outlook.next_ratio_that_can = place
                .layer
                .steps()
                .find(|step| *step > place.ratio && enough(step));
            let next = outlook.next_ratio_that_can.map_or_else(
                || "a smaller min_users, or a larger layer".to_owned(),
                |next| format!("{next} has them, or a smaller min_users"),
            );
            outlook.text = format!(
                "{} eligible users at {} are fewer than {}: {next}",
                amount(all.round()),
                place.ratio,
                amount(least)
            );
            return outlook.because(Undecided::TooFewUsers);
        }
        let now = days_of(stage);
        let days = visits.days_for(least, share).map(|days| (days - now).max(0.0));
        match days.filter(|days| *days <= MAX_DAYS) {
            Some(days) => {
                outlook.days_needed = Some(days);
                outlook.undecided = None;
                outlook.text = format!(
                    "{} more users: {} at today's traffic ({} users a day so far)",
                    amount(least - n),
                    days_text(days),
                    amount(n / now)
                );
                outlook
            }
            None => {
                outlook.text = format!(
                    "{} more users do not come within a year at today's traffic: a larger ratio, or a smaller \
                     min_users",
                    amount(least - n)
                );
                outlook.because(Undecided::NotWithinAYear)
            }
        }
    }

    fn dwell(&self, place: Place<'_>, check: &Check) -> Outlook {
        let at = self.plan.window_start(place.since) + place.layer.dwell;
        let hours = (at - self.as_of).max(0) as f64 / HOUR as f64;
        let text = format!(
            "{} more hours at {}: until {}",
            number(hours),
            place.ratio,
            time::format(at)
        );
        Outlook::action(check, text)
            .distant(hours, "h")
            .at(at, self.as_of)
    }

    /// A check that passes at an instant.
    fn instant(&self, check: &Check, at: Option<Micros>) -> Outlook {
        match at {
            Some(at) => {
                let hours = (at - self.as_of).max(0) as f64 / HOUR as f64;
                Outlook::action(check, format!("nothing but time: until {}", time::format(at)))
                    .distant(hours, "h")
                    .at(at, self.as_of)
            }
            None => Outlook::action(check, check.text()),
        }
    }

    /// The layers that a closed layer waits for, with the steps and dwells that they have left.
    fn after(&self, place: Place<'_>, check: &Check) -> Outlook {
        let waited = place.layer.after.iter();
        let waited = waited.filter_map(|idx| Some((&self.plan.layers[*idx], place.tenant_states.get(*idx)?)));
        let (mut last, mut is_known) = (self.as_of, true);
        let mut waits = Vec::new();
        for (before, state) in waited.filter(|(before, state)| state.ratio < before.last_step()) {
            let failed = state.rolled_back.as_ref();
            if failed.is_some_and(|(_, release)| *release == self.plan.candidate) {
                is_known = false;
                waits.push(format!("{} is rolled back and needs a new release", before.id));
                continue;
            }
            let n_steps = before.steps().filter(|step| *step > state.ratio).count() as i64;
            // A closed layer opens without a dwell.
            let full = if state.ratio == Ratio::ZERO {
                self.as_of + (n_steps - 1) * before.dwell
            } else {
                self.plan.window_start(state.since) + n_steps * before.dwell
            };
            last = last.max(full);
            let s = if n_steps == 1 { "" } else { "s" };
            waits.push(format!(
                "{} has to rise from {} to {} ({n_steps} step{s} of {} h)",
                before.id,
                state.ratio,
                before.last_step(),
                number(before.dwell as f64 / HOUR as f64)
            ));
        }
        if waits.is_empty() {
            return Outlook::action(check, check.text());
        }
        let waits = waits.join(", ");
        if is_known {
            Outlook::action(check, format!("{waits}: not before {}", time::format(last))).at(last, self.as_of)
        } else {
            Outlook::action(check, waits)
        }
    }
}

#[cfg(test)]
mod tests;

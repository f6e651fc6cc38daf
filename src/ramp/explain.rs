//! Explains the checks that block: finds the numbers of an outlook for each kind of check.

use crate::analysis::{Analysis, LayerAnalysis, StageAnalysis};
use crate::base::time::{HOUR, Micros};
use crate::bucket::Ratio;
use crate::metric::Metric;
use crate::ramp::coverage::Coverage;
use crate::ramp::outlook::{
    Outlook, Place, Undecided, beyond_margin, current_stage, growing_outlook, kind_and_metric, round_up,
    violated,
};
use crate::ramp::reach::{GuardrailGrowth, MAX_DAYS, QosGrowth, days_of, least_groups, visits_of};
use crate::ramp::slices_check::SLICES;
use crate::ramp::verdict::{Check, CheckOutcome, Verdict};
use crate::scenario::Plan;
use crate::stats::Reason;
use crate::stats::non_inferiority::HarmVerdict;
use crate::words::outlook::{self as sentence, DaysNeeded};
use crate::words::ramp::{Beside, LimitBeside};
use crate::words::slices;
use crate::words::{Count, Hours, Measured, Number, Text};

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
        let action = |text: Text| Outlook::action(check, text);
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
                let share = next.share().to_string();
                action(sentence::write_approval(
                    &place.layer.id,
                    &self.plan.candidate,
                    share,
                ))
            }
            ("srm" | "leak" | "crossover" | "assignment", _) => action(sentence::find_missing_users()),
            ("coverage", _) => action(sentence::write_known_ids()),
            (SLICES, _) => Outlook::action(check, slices::remedy()).because(Undecided::BeyondLimit),
            ("new_release" | "rollback_scope", _) => action(sentence::needs_new_release()),
            ("ladder", _) => action(sentence::nothing_to_decide()),
            ("in_force", _) => action(sentence::publish_again()),
            _ => Outlook::action(check, check.text()),
        }
    }

    fn guardrail(&self, place: Place<'_>, check: &Check, kind: &str, metric: &str) -> Outlook {
        let (guardrails, term) = (&self.plan.guardrails, self.plan.term(metric));
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
            return Outlook::action(check, sentence::count_within(term)).because(Undecided::BeyondLimit);
        };
        let limit = guardrails[idx].limit;
        if kind != "clear" || judged.verdict == HarmVerdict::Violated {
            return violated(check, &term, (harm, margin, limit));
        }
        let grows = match self.growth(place, stage, idx) {
            Ok(grows) => grows,
            Err(reason) => return self.unknown(place, check, reason, Some(metric)),
        };
        let distance = interval.ci_upper - margin;
        if harm >= margin {
            let at = (place.ratio, days_of(stage));
            let outlook = beyond_margin(check, &term, (harm, margin), &grows, at);
            return outlook.distant(distance, term.unit);
        }
        let outlook = Outlook::action(check, Text::default());
        if distance > 0.0 {
            let asks = sentence::clear_margin(term, term.difference(margin));
            let margin_that_can = grows.upper(MAX_DAYS, place.ratio);
            let margin_that_can = margin_that_can.filter(|margin| *margin > 0.0);
            let margin_that_can =
                margin_that_can.map(|margin| Text::of_say(&term.difference(round_up(margin))));
            let outlook = outlook.distant(distance, term.unit);
            return growing_outlook(outlook, place, stage, &grows, asks, margin_that_can);
        }
        let asks = match limit {
            Some(value) => {
                let unit = term.unit;
                sentence::clear_limit(term, Measured { value, unit })
            }
            None => sentence::clear_margin(term, term.difference(margin)),
        };
        growing_outlook(outlook, place, stage, &grows, asks, None)
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
            let by = Number(threshold - qos);
            let limit = LimitBeside {
                limit: threshold,
                value: qos,
            };
            let text = if kind == "qos_floor" {
                sentence::qos_below_floor(Beside(qos, threshold), by, limit)
            } else {
                sentence::qos_below(Beside(qos, threshold), by, limit)
            };
            return Outlook::action(check, text)
                .because(Undecided::BeyondLimit)
                .distant(threshold - qos, "score");
        }
        let n_eligible = place.analyzed.map_or(0, |layer| layer.n_eligible);
        let of = (&self.plan.policy, threshold);
        let grows = QosGrowth::from_stage(of, &arm, stage, n_eligible);
        let lower = check.interval.map_or(threshold, |interval| interval.ci_lower);
        let outlook = Outlook::action(check, Text::default()).distant(threshold - lower, "score");
        let asks = sentence::raise_qos(Number(threshold));
        growing_outlook(outlook, place, stage, &grows, asks, None)
    }

    /// The outlook of a check whose number is not known.
    fn unknown(&self, place: Place<'_>, check: &Check, reason: Reason, metric: Option<&str>) -> Outlook {
        let coverage = self.coverage.as_ref();
        let missing = match metric {
            Some(metric) => coverage.and_then(|coverage| coverage.missing_columns(metric)),
            None => coverage.and_then(Coverage::missing_rates),
        };
        let name = match metric {
            Some(metric) => Text::of_say(&self.plan.term(metric)),
            None => Text::from("QoS"),
        };
        match reason {
            Reason::NoColumn => {
                let missing = missing.unwrap_or_else(|| sentence::lacks_column(name));
                let text = match metric {
                    Some(_) => sentence::map_column_or_drop(missing),
                    None => sentence::map_column(missing),
                };
                Outlook::action(check, text).because(Undecided::NoColumn)
            }
            Reason::TooFewClusters => {
                let groups = least_groups(place.ratio);
                let text = match groups {
                    Some((n_groups, least)) => {
                        sentence::needs_groups(place.ratio, Count(n_groups.into()), least)
                    }
                    None => sentence::needs_groups_of(name),
                };
                let mut outlook = Outlook::action(check, text).because(Undecided::TooFewClusters);
                outlook.next_ratio_that_can = groups.map(|(_, least)| least);
                outlook
            }
            Reason::NoData => Outlook::action(check, sentence::needs_rows(name)).because(Undecided::NoData),
            reason => {
                let name = match metric {
                    Some(metric) => self.plan.term(metric).subject(),
                    None => name,
                };
                Outlook::action(check, sentence::not_known(name, reason)).because(Undecided::NoData)
            }
        }
    }

    fn evidence(&self, place: Place<'_>, check: &Check) -> Outlook {
        let is_current = |stage: &&StageAnalysis| stage.ratio == place.ratio && stage.start == place.since;
        let text = match place.analyzed.and_then(LayerAnalysis::current) {
            None => sentence::needs_layer_rows(),
            Some(stage) if is_current(&stage) => {
                sentence::needs_candidate_rows(&self.plan.candidate, place.ratio)
            }
            Some(_) => sentence::replay_under(place.ratio, self.plan.when(place.since)),
        };
        Outlook::action(check, text).because(Undecided::NoData)
    }

    fn min_users(&self, place: Place<'_>, check: &Check) -> Outlook {
        let (Some(n), Some(least)) = (check.value, check.limit) else {
            return Outlook::action(check, check.text());
        };
        let mut outlook = Outlook::action(check, Text::default()).distant(least - n, "users");
        let missing = Number(least - n);
        let n_eligible = place.analyzed.map_or(0, |layer| layer.n_eligible);
        let stage = current_stage(place).filter(|stage| n > 0.0 && stage.end > stage.start);
        let Some(stage) = stage else {
            let outlook = outlook.saying(sentence::none_came(missing));
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
            let next = match outlook.next_ratio_that_can {
                Some(next) => sentence::next_has_them(next),
                None => sentence::smaller_min_users(),
            };
            let few = sentence::too_few_at(Count(all.round() as u64), place.ratio, Count(least as u64));
            let outlook = outlook.saying(Text::sentences(&[few, next]));
            return outlook.because(Undecided::TooFewUsers);
        }
        let now = days_of(stage);
        let days = visits.days_for(least, share).map(|days| (days - now).max(0.0));
        match days.filter(|days| *days <= MAX_DAYS) {
            Some(days) => {
                outlook.days_needed = Some(days);
                outlook.undecided = None;
                let a_day = Number(n / now);
                outlook.saying(sentence::users_in(missing, DaysNeeded(days), a_day))
            }
            None => outlook
                .saying(sentence::users_never(missing))
                .because(Undecided::NotWithinAYear),
        }
    }

    fn dwell(&self, place: Place<'_>, check: &Check) -> Outlook {
        let at = self.plan.window_start(place.since) + place.layer.dwell;
        let hours = (at - self.as_of).max(0) as f64 / HOUR as f64;
        let text = sentence::more_time(Hours(hours), place.ratio, self.plan.when(at));
        Outlook::action(check, text)
            .distant(hours, "h")
            .at(at, self.as_of)
    }

    /// A check that passes at an instant.
    fn instant(&self, check: &Check, at: Option<Micros>) -> Outlook {
        match at {
            Some(at) => {
                let hours = (at - self.as_of).max(0) as f64 / HOUR as f64;
                Outlook::action(check, sentence::until(self.plan.when(at)))
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
            let name = self.plan.layer_name(&before.id);
            let failed = state.rolled_back.as_ref();
            if failed.is_some_and(|(_, release)| *release == self.plan.candidate) {
                is_known = false;
                waits.push(sentence::before_rolled_back(name));
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
            let (from, to) = (state.ratio, before.last_step());
            let dwell = Hours(before.dwell as f64 / HOUR as f64);
            waits.push(if n_steps == 1 {
                sentence::before_one_step(name, from, to, dwell)
            } else {
                sentence::before_steps(name, from, to, Count(n_steps.unsigned_abs()), dwell)
            });
        }
        if waits.is_empty() {
            return Outlook::action(check, check.text());
        }
        if is_known {
            waits.push(sentence::not_before(self.plan.when(last)));
            Outlook::action(check, Text::sentences(&waits)).at(last, self.as_of)
        } else {
            Outlook::action(check, Text::sentences(&waits))
        }
    }
}

#[cfg(test)]
mod tests;

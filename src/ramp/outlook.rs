//! The outlook of a layer that keeps its ratio: which check blocks it, how far the check is from
//! passing, and what would decide it.

use serde::{Deserialize, Serialize};

use crate::analysis::{LayerAnalysis, StageAnalysis};
use crate::base::time::{DAY, Micros};
use crate::bucket::Ratio;
use crate::ramp::reach::{Growing, GuardrailGrowth, MAX_DAYS, days_of, days_until, next_ratio};
use crate::ramp::state::LayerState;
use crate::ramp::verdict::Check;
use crate::scenario::Layer;
use crate::words::guardrail::MetricTerm;
use crate::words::outlook::{self as sentence, DaysNeeded};
use crate::words::{Count, Measured, Number, Text};

/// Days after which a faster ratio is worth a word.
const SLOW_DAYS: f64 = 30.0;

/// The reason for which no number of days decides a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecided {
    /// The estimate lies beyond the limit: more data of the same effect do not pass the check.
    BeyondLimit,
    /// The evidence of the step does not decide within a year at today's traffic.
    NotWithinAYear,
    /// The step has fewer eligible users than the check needs.
    TooFewUsers,
    /// An arm has fewer than 20 bucket groups with data.
    TooFewClusters,
    /// The log lacks a column that the check reads.
    NoColumn,
    /// The log has no row, or no traffic, from which a time could be computed.
    NoData,
    /// The check needs an action, another layer or an instant, and no further data.
    NotData,
}

/// What would decide a check that blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// Name of the check, as in the trace.
    pub check: String,
    /// Id of the metric. `None` for checks that are about no metric.
    pub metric: Option<String>,
    /// Distance to passing, above 0, in `unit`. `None` if the check has no number.
    pub distance: Option<f64>,
    /// Unit of the distance: the metric's unit, `users`, `h`, `score` (of QoS, 0..=1), `share` or
    /// `p`. `None` without a distance.
    pub unit: Option<String>,
    /// Number of further users of the candidate at the ratio in force until the check passes, if the
    /// effect stays as it is. `None` if no number of users passes it, and from counters.
    pub users_needed: Option<u64>,
    /// Days from now until the check passes at today's traffic, if the effect stays as it is, or
    /// until the instant at which it passes. `None` if none is known.
    pub days_needed: Option<f64>,
    /// Reason for the lack of `days_needed`. `None` if there are days.
    pub undecided: Option<Undecided>,
    /// The smallest margin that this step can clear within a year for a release without an effect,
    /// in the metric's unit. Of QoS, the smallest distance from the threshold. `None` for checks
    /// without an interval.
    pub smallest_decidable: Option<f64>,
    /// The smallest larger ratio that decides, if the ratio in force does not within 30 days.
    /// `None` if there is none, or if none is needed.
    pub next_ratio_that_can: Option<Ratio>,
    /// Days at that ratio until it decides. `None` without such a ratio.
    pub next_ratio_days: Option<f64>,
    /// Names of the later checks that block too. Empty if the first one is the only one.
    #[serde(default)]
    pub also_open: Vec<String>,
    /// The outlook as a sentence.
    pub text: String,
    /// The same in Chinese. Empty in documents of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text_zh: String,
}

/// A layer whose check is explained.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The layer, with its settings in the plan.
    pub layer: &'a Layer,
    /// The ratio in force.
    pub ratio: Ratio,
    /// Start of the ratio in force, microseconds, UTC.
    pub since: Micros,
    /// Time of the last rollback, microseconds, UTC. `None` if there was none.
    pub rolled_back: Option<Micros>,
    /// States of all layers of the tenant, in plan order. Empty if other layers play no part.
    pub tenant_states: &'a [LayerState],
    /// The analysis of the layer. `None` if the log has no data on it.
    pub analyzed: Option<&'a LayerAnalysis>,
}

impl Outlook {
    /// Whether something has to happen or to be shown before the check passes. At the end of a
    /// ladder nothing is left to decide.
    pub fn is_open(&self) -> bool {
        self.check != "ladder"
    }

    /// The text in every language.
    pub fn own_text(&self) -> Text {
        Text {
            en: self.text.clone(),
            zh: self.text_zh.clone(),
        }
    }

    /// The text, with the names of the later checks that block too.
    pub fn sentence(&self) -> Text {
        let text = self.own_text();
        if self.also_open.is_empty() {
            text
        } else {
            Text::sentences(&[text, sentence::also_open(&self.also_open)])
        }
    }

    /// An outlook without numbers, for checks that need an action and no data.
    pub(super) fn action(check: &Check, text: impl Into<Text>) -> Self {
        let Text {
            en: text,
            zh: text_zh,
        } = text.into();
        let (kind, metric) = kind_and_metric(&check.check);
        let distance = check.value.zip(check.limit).map(|(value, limit)| value - limit);
        let unit = match kind {
            "leak" | "crossover" | "assignment" | "coverage" => "share",
            "srm" => "p",
            _ => "",
        };
        Self {
            check: check.check.clone(),
            metric: metric.map(str::to_owned),
            distance: distance.map(f64::abs).filter(|_| !unit.is_empty()),
            unit: (!unit.is_empty() && distance.is_some()).then(|| unit.to_owned()),
            users_needed: None,
            days_needed: None,
            undecided: Some(Undecided::NotData),
            smallest_decidable: None,
            next_ratio_that_can: None,
            next_ratio_days: None,
            also_open: Vec::new(),
            text,
            text_zh,
        }
    }

    /// Sets the text.
    pub(super) fn saying(mut self, text: Text) -> Self {
        Text {
            en: self.text,
            zh: self.text_zh,
        } = text;
        self
    }

    pub(super) fn because(mut self, undecided: Undecided) -> Self {
        self.undecided = Some(undecided);
        self
    }

    pub(super) fn distant(mut self, distance: f64, unit: &str) -> Self {
        (self.distance, self.unit) = (Some(distance), Some(unit.to_owned()));
        self
    }

    /// Sets the instant at which the check passes.
    pub(super) fn at(mut self, at: Micros, as_of: Micros) -> Self {
        self.days_needed = Some((at - as_of).max(0) as f64 / DAY as f64);
        self.undecided = None;
        self
    }
}

/// The kind of a check, and its metric.
pub(super) fn kind_and_metric(check: &str) -> (&str, Option<&str>) {
    check
        .split_once(':')
        .map_or((check, None), |(kind, metric)| (kind, Some(metric)))
}

/// The stage in force, if the analysis is about it.
pub(super) fn current_stage(place: Place<'_>) -> Option<&StageAnalysis> {
    let stage = place.analyzed.and_then(LayerAnalysis::current)?;
    (stage.ratio == place.ratio && stage.end > stage.start).then_some(stage)
}

/// The outlook of a guardrail whose violation is shown.
pub(super) fn violated(
    check: &Check,
    term: &MetricTerm<'_>,
    (harm, margin, limit): (f64, f64, Option<f64>),
) -> Outlook {
    if let Some(limit) = limit.filter(|_| harm <= margin) {
        let limit = Measured {
            value: limit,
            unit: term.unit,
        };
        let text = sentence::own_value_within(term, limit);
        return Outlook::action(check, text).because(Undecided::BeyondLimit);
    }
    let beyond = (harm - margin).max(0.0);
    let text = sentence::harm_within(term, term.difference(margin), term.difference(beyond));
    let outlook = Outlook::action(check, text).because(Undecided::BeyondLimit);
    if beyond > 0.0 {
        outlook.distant(beyond, term.unit)
    } else {
        outlook
    }
}

/// The outlook of a guardrail whose estimated harm lies beyond the margin, without being shown.
pub(super) fn beyond_margin(
    check: &Check,
    term: &MetricTerm<'_>,
    (harm, margin): (f64, f64),
    grows: &GuardrailGrowth<'_>,
    (ratio, now): (Ratio, f64),
) -> Outlook {
    let [harm, margin] = [harm, margin].map(|value| term.difference(value));
    let text = match grows.days_until_violated(ratio, now) {
        Some(days) => sentence::never_clears_shown(term, harm, margin, DaysNeeded(days - now)),
        None => sentence::never_clears(term, harm, margin),
    };
    let mut outlook = Outlook::action(check, text).because(Undecided::BeyondLimit);
    outlook.smallest_decidable = grows.half_width(MAX_DAYS, ratio);
    outlook
}

/// Fills in the numbers of a check whose interval has to shrink. `asks` is what the interval has to
/// do, as in "clear the margin of 2 points", and `margin_that_can` the margin that it clears within
/// a year.
pub(super) fn growing_outlook(
    mut outlook: Outlook,
    place: Place<'_>,
    stage: &StageAnalysis,
    grows: &dyn Growing,
    asks: Text,
    margin_that_can: Option<Text>,
) -> Outlook {
    let (ratio, now) = (place.ratio, days_of(stage));
    let days = days_until(grows, ratio, now);
    outlook.smallest_decidable = grows.half_width(MAX_DAYS, ratio);
    let faster = match days {
        Some(days) if days - now <= SLOW_DAYS => None,
        _ => next_ratio(grows, &place.layer.ladder, ratio, SLOW_DAYS)
            .or_else(|| next_ratio(grows, &place.layer.ladder, ratio, MAX_DAYS)),
    };
    let faster = faster.filter(|(_, other)| days.is_none_or(|days| *other < days - now));
    (outlook.next_ratio_that_can, outlook.next_ratio_days) = faster.unzip();
    let can = faster.map(|(next, days)| sentence::larger_ratio(next, DaysNeeded(days)));
    match days {
        Some(days) => decided_in(outlook, place, stage, grows, (days, asks, can)),
        None => not_within_a_year(outlook, place, asks, (can, margin_that_can)),
    }
}

/// Fills in the days and users until an interval decides.
fn decided_in(
    mut outlook: Outlook,
    place: Place<'_>,
    stage: &StageAnalysis,
    grows: &dyn Growing,
    (days, asks, can): (f64, Text, Option<Text>),
) -> Outlook {
    let (ratio, now) = (place.ratio, days_of(stage));
    let more = (days - now).max(0.0);
    (outlook.days_needed, outlook.undecided) = (Some(more), None);
    let is_counted = place.analyzed.is_some_and(|layer| layer.n_eligible > 0);
    let text = if is_counted {
        let n_now = stage.users.candidate as f64;
        let n = (grows.users(days, ratio) - grows.users(now, ratio))
            .max(0.0)
            .ceil();
        outlook.users_needed = Some(n as u64);
        // Near the size of the layer, users who return bring the evidence.
        let returns = n < 0.1 * n_now;
        let users = match (n == 1.0, returns) {
            (true, true) => sentence::one_more_user_and_rows(),
            (true, false) => sentence::one_more_user(),
            (false, true) => sentence::more_users_and_rows(Number(n)),
            (false, false) => sentence::more_users(Number(n)),
        };
        sentence::grows_users(DaysNeeded(more), ratio, users, asks, Number(n_now / now))
    } else {
        sentence::grows(DaysNeeded(more), ratio, asks)
    };
    let texts: Vec<Text> = std::iter::once(text).chain(can).collect();
    outlook.saying(Text::sentences(&texts))
}

/// Says that a step cannot decide within a year, and what can.
fn not_within_a_year(
    mut outlook: Outlook,
    place: Place<'_>,
    asks: Text,
    (can, margin): (Option<Text>, Option<Text>),
) -> Outlook {
    outlook.undecided = Some(Undecided::NotWithinAYear);
    let n_eligible = place.analyzed.map_or(0, |layer| layer.n_eligible);
    let ratio = place.ratio;
    let mut texts = vec![if n_eligible > 0 {
        let n_all = n_eligible as f64 * ratio.share();
        sentence::users_cannot(Count(n_all.round() as u64), ratio, asks)
    } else {
        sentence::traffic_cannot(ratio, asks)
    }];
    match (can, margin) {
        (Some(can), margin) => {
            texts.extend(margin.map(sentence::at_best));
            texts.push(can);
        }
        (None, Some(margin)) => texts.push(sentence::no_larger_ratio_but(margin)),
        (None, None) => texts.push(sentence::no_larger_ratio()),
    }
    outlook.saying(Text::sentences(&texts))
}

/// The next number with two significant digits.
pub(crate) fn round_up(value: f64) -> f64 {
    let unit = 10_f64.powi(value.abs().log10().floor() as i32 - 1);
    // Rounding errors of the unit must not show.
    let rounded = (value / unit - 1e-9).ceil() * unit;
    format!("{rounded:.12}").parse().unwrap_or(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_so_that_they_suffice() {
        let says = |value: f64, expected: f64| assert_eq!(round_up(value), expected);
        says(0.0312, 0.032);
        says(0.03, 0.03);
        says(0.0301, 0.031);
        says(123.0, 130.0);
    }
}

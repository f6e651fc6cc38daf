//! Sentences on a metric of the candidate against its margin: what changed, by how much, and what is
//! allowed.

use crate::stats::Interval;
use crate::stats::non_inferiority::{HarmVerdict, is_beyond_margin};
use crate::words::lang::Lang;
use crate::words::metrics::metric_name;
use crate::words::style::{Difference, Measured, bare_difference};
use crate::words::text::{Say, Text, texts};

/// A metric in a sentence: its id, its name in the scenario, its unit and its good direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MetricTerm<'a> {
    /// The id.
    pub(crate) id: &'a str,
    /// The display name of the scenario. `None` for the built-in name, or the id without one.
    pub(crate) name: Option<&'a Text>,
    /// The unit, as the metric declares it.
    pub(crate) unit: &'a str,
    /// Whether larger values are better.
    pub(crate) is_higher_better: bool,
}

impl MetricTerm<'_> {
    /// The metric at the start of a sentence.
    pub(crate) fn subject(&self) -> Text {
        Text::new(|lang| {
            let name = self.say(lang);
            match (lang, name.strip_prefix("the ")) {
                (Lang::En, Some(rest)) => format!("The {rest}"),
                _ => name,
            }
        })
    }

    fn measured(&self, value: f64) -> Measured<'_> {
        Measured {
            value,
            unit: self.unit,
        }
    }

    /// A difference without its sign and with its unit.
    pub(crate) fn difference(&self, value: f64) -> Difference<'_> {
        Difference {
            value: value.abs(),
            unit: self.unit,
        }
    }

    /// A difference without its sign. Its unit stands elsewhere in the sentence.
    fn bare(&self, value: f64) -> Text {
        Text::new(|lang| bare_difference(value.abs(), self.unit, lang))
    }
}

/// The metric within a sentence: the complaint rate, 投诉率.
impl Say for MetricTerm<'_> {
    fn say(&self, lang: Lang) -> String {
        if let Some(name) = self.name {
            return name.of(lang).to_owned();
        }
        let known = metric_name(self.id);
        match lang {
            Lang::En if !known.zh.is_empty() => format!("the {}", known.en),
            _ => known.of(lang).to_owned(),
        }
    }
}

/// The comparison of a metric of both releases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comparison<'a> {
    /// The metric.
    pub(crate) metric: MetricTerm<'a>,
    /// The values of baseline and candidate. `None` if they are not at hand.
    pub(crate) values: Option<[f64; 2]>,
    /// The effect in the bad direction.
    pub(crate) harm: f64,
    /// The interval of the harm.
    pub(crate) interval: Interval,
    /// The margin of the harm, at least 0.
    pub(crate) margin: f64,
    /// The absolute limit of the candidate's own value. `None` without one.
    pub(crate) limit: Option<f64>,
}

texts! {
    rose(metric, from, to): "{metric} rose from {from} to {to}", "{metric}由 {from} 升至 {to}";
    fell(metric, from, to): "{metric} fell from {from} to {to}", "{metric}由 {from} 降至 {to}";
    stayed(metric, at): "{metric} stayed at {at}", "{metric}仍为 {at}";
    is_higher(metric, by): "{metric} is {by} higher than the baseline's", "{metric}比基线高 {by}";
    is_lower(metric, by): "{metric} is {by} lower than the baseline's", "{metric}比基线低 {by}";
    is_equal(metric): "{metric} equals the baseline's", "{metric}与基线相同";
    between_more(low, high): "between {low} and {high} more", "多 {low} 至 {high}";
    between_less(low, high): "between {low} and {high} less", "少 {low} 至 {high}";
    around(low, high): "between {low} less and {high} more", "介于少 {low} 与多 {high} 之间";
    at_least_more(low): "at least {low} more", "至少增加 {low}";
    at_most_less(low): "at most {low} less", "至多减少 {low}";
    at_most_more(high): "at most {high} more", "至多增加 {high}";
    at_least_less(high): "at least {high} less", "至少减少 {high}";
    no_bounds(): "the interval has no bounds", "区间无界";
    allowed(margin): "{margin} allowed", "允许 {margin}";
    allowed_more(margin): "up to {margin} more allowed", "允许多 {margin}";
    allowed_less(margin): "up to {margin} less allowed", "允许少 {margin}";
    with_interval(moved, span, allowed): "{moved} ({span}, {allowed}).", "{moved}（{span}，{allowed}）。";
    within_margin(): "That is within the margin.", "在界限之内。";
    not_shown(): "A harm beyond the margin is not shown.", "尚不能证明超出界限。";
    beyond_limit(moved, limit): "{moved}: beyond its limit of {limit}.", "{moved}，超出限值 {limit}。";
    maybe_higher(moved, joint, by, allowed):
        "{moved}{joint} may be up to {by} higher; {allowed} is allowed.",
        "{moved}{joint}最多可能高 {by}，允许 {allowed}。";
    maybe_lower(moved, joint, by, allowed):
        "{moved}{joint} may be up to {by} lower; {allowed} is allowed.",
        "{moved}{joint}最多可能低 {by}，允许 {allowed}。";
    maybe_any(moved):
        "{moved}. How much worse it may be is not known yet.",
        "{moved}，最多可能差多少尚不可知。";
    maybe_beyond_limit(moved, limit):
        "{moved}. Its own value may lie beyond the limit of {limit}.",
        "{moved}，其数值可能超出限值 {limit}。";
    not_enough_evidence(): "Not enough evidence yet.", "证据尚不足。";
    takes_min_margin():
        "The margin is `min_margin`, because the relative margin is smaller.",
        "相对界限更小，因此取 `min_margin` 为界限。";
    margin_of_zero():
        "The margin is 0, a share of a baseline of 0: set `min_margin`.",
        "基线为 0，相对界限也为 0：请设置 `min_margin`。";
    count_of(metric, n, max):
        "{metric}: {n} of the candidate, {max} allowed.",
        "{metric}：候选 {n} 起，允许 {max} 起。";
    count_above(metric, max):
        "{metric}: more cases of the candidate than the {max} allowed.",
        "{metric}：候选超过允许的 {max} 起。";
    count_within(metric, max):
        "{metric}: no more cases of the candidate than the {max} allowed.",
        "{metric}：候选未超过允许的 {max} 起。";
    not_compared(metric, reason): "{metric} cannot be compared: {reason}.", "{metric}无法比较：{reason}。";
}

/// Which sentence a check needs about a comparison that is unclear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// The check blocks until the metric is safe.
    Safety,
    /// The check blocks only a harm that is shown.
    Harm,
}

impl Comparison<'_> {
    /// The comparison as sentences, with its verdict.
    pub(crate) fn sentence(&self, verdict: HarmVerdict, asks: Asks) -> Text {
        match (verdict, asks) {
            (HarmVerdict::Violated, _) => self.violated(),
            (HarmVerdict::Safe, _) => Text::sentences(&[self.with_interval(), within_margin()]),
            (HarmVerdict::Unclear, Asks::Harm) => Text::sentences(&[self.with_interval(), not_shown()]),
            (HarmVerdict::Unclear, Asks::Safety) => self.unclear(),
        }
    }

    /// Whether more of the metric is worse.
    fn more_is_worse(&self) -> bool {
        !self.metric.is_higher_better
    }

    /// Candidate minus baseline.
    fn effect(&self) -> f64 {
        if self.more_is_worse() {
            self.harm
        } else {
            -self.harm
        }
    }

    /// The values of both releases, if they are those of the harm.
    fn known_values(&self) -> Option<[f64; 2]> {
        let [from, to] = self.values?;
        let accuracy = 1e-6 * from.abs().max(to.abs());
        ((to - from - self.effect()).abs() <= accuracy).then_some([from, to])
    }

    /// What changed, as a clause.
    fn moved(&self) -> Text {
        let metric = self.metric.subject();
        match self.known_values() {
            Some([from, to]) => {
                let texts = [from, to].map(|value| self.metric.measured(value));
                let [from_text, to_text] = texts.map(|text| text.say(Lang::En));
                match texts {
                    [at, _] if from_text == to_text => stayed(metric, at),
                    [at, then] if to > from => rose(metric, at, then),
                    [at, then] => fell(metric, at, then),
                }
            }
            None if self.harm == 0.0 => is_equal(metric),
            None if self.effect() > 0.0 => is_higher(metric, self.metric.difference(self.harm)),
            None => is_lower(metric, self.metric.difference(self.harm)),
        }
    }

    /// The interval of candidate minus baseline, as a clause.
    fn span(&self) -> Text {
        let interval = if self.more_is_worse() {
            self.interval
        } else {
            self.interval.negated()
        };
        let (low, high) = (interval.ci_lower, interval.ci_upper);
        let full = |value| self.metric.difference(value);
        match (low.is_finite(), high.is_finite()) {
            (false, false) => no_bounds(),
            (true, false) if low >= 0.0 => at_least_more(full(low)),
            (true, false) => at_most_less(full(low)),
            (false, true) if high > 0.0 => at_most_more(full(high)),
            (false, true) => at_least_less(full(high)),
            _ if low >= 0.0 => between_more(self.metric.bare(low), full(high)),
            _ if high <= 0.0 => between_less(self.metric.bare(high), full(low)),
            _ => around(full(low), full(high)),
        }
    }

    fn with_interval(&self) -> Text {
        let is_worse = self.interval.ci_lower > 0.0 && self.interval.ci_upper.is_finite();
        let margin = self.metric.difference(self.margin);
        let allowed = if is_worse {
            allowed(self.metric.bare(self.margin))
        } else if self.more_is_worse() {
            allowed_more(margin)
        } else {
            allowed_less(margin)
        };
        with_interval(self.moved(), self.span(), allowed)
    }

    fn violated(&self) -> Text {
        let is_beyond_margin = is_beyond_margin(self.harm, self.interval, self.margin);
        match self.limit {
            Some(limit) if !is_beyond_margin => beyond_limit(self.moved(), self.metric.measured(limit)),
            _ => self.with_interval(),
        }
    }

    fn unclear(&self) -> Text {
        let upper = self.interval.ci_upper;
        let moved = self.moved();
        let found = match self.limit {
            Some(limit) if upper < self.margin => maybe_beyond_limit(moved, self.metric.measured(limit)),
            _ if upper.is_infinite() => maybe_any(moved),
            _ => {
                let joint = Text::new(|lang| match (lang, self.harm > 0.0) {
                    (Lang::En, true) => " and".to_owned(),
                    (Lang::En, false) => ", but".to_owned(),
                    (Lang::Zh, true) => "，".to_owned(),
                    (Lang::Zh, false) => "，但".to_owned(),
                });
                let (by, margin) = (self.metric.difference(upper), self.metric.bare(self.margin));
                if self.more_is_worse() {
                    maybe_higher(moved, joint, by, margin)
                } else {
                    maybe_lower(moved, joint, by, margin)
                }
            }
        };
        Text::sentences(&[found, not_enough_evidence()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLAINTS: MetricTerm<'_> = MetricTerm {
        id: "complaint_rate",
        name: None,
        unit: "share",
        is_higher_better: false,
    };

    fn compared(
        metric: MetricTerm<'_>,
        [from, to]: [f64; 2],
        interval: [f64; 2],
        margin: f64,
    ) -> Comparison<'_> {
        let sign = if metric.is_higher_better { -1.0 } else { 1.0 };
        Comparison {
            metric,
            values: Some([from, to]),
            harm: sign * (to - from),
            interval: Interval {
                ci_lower: interval[0],
                ci_upper: interval[1],
            },
            margin,
            limit: None,
        }
    }

    fn check(found: &Text, en: &str, zh: &str) {
        assert_eq!((found.en.as_str(), found.zh.as_str()), (en, zh));
    }

    #[test]
    fn a_harm_reads_as_a_person_says_it() {
        let found = compared(COMPLAINTS, [0.012, 0.112], [0.1, 0.124], 0.001);
        check(
            &found.sentence(HarmVerdict::Violated, Asks::Harm),
            "The complaint rate rose from 1.2% to 11.2% (between 10 and 12.4 points more, 0.1 allowed).",
            "投诉率由 1.2% 升至 11.2%（多 10 至 12.4 个百分点，允许 0.1）。",
        );
    }

    #[test]
    fn an_unclear_comparison_says_what_may_be() {
        let found = compared(COMPLAINTS, [0.014, 0.013], [-0.008, 0.006], 0.001);
        check(
            &found.sentence(HarmVerdict::Unclear, Asks::Safety),
            "The complaint rate fell from 1.4% to 1.3%, but may be up to 0.6 points higher; 0.1 is allowed. Not enough evidence yet.",
            "投诉率由 1.4% 降至 1.3%，但最多可能高 0.6 个百分点，允许 0.1。证据尚不足。",
        );
        check(
            &found.sentence(HarmVerdict::Unclear, Asks::Harm),
            "The complaint rate fell from 1.4% to 1.3% (between 0.8 points less and 0.6 points more, up to 0.1 points more allowed). A harm beyond the margin is not shown.",
            "投诉率由 1.4% 降至 1.3%（介于少 0.8 个百分点与多 0.6 个百分点之间，允许多 0.1 个百分点）。尚不能证明超出界限。",
        );
    }

    #[test]
    fn directions_units_and_missing_values() {
        let latency = MetricTerm {
            id: "latency_p95_ms",
            unit: "ms",
            ..COMPLAINTS
        };
        let found = compared(latency, [1000.0, 1000.0], [-20.0, f64::INFINITY], 200.0);
        check(
            &found.sentence(HarmVerdict::Unclear, Asks::Safety),
            "The 95th percentile of latency stayed at 1,000 ms. How much worse it may be is not known yet. Not enough evidence yet.",
            "95 分位延迟仍为 1,000 ms，最多可能差多少尚不可知。证据尚不足。",
        );
        let name = Text::from("Tasks done");
        let done = MetricTerm {
            id: "done",
            name: Some(&name),
            unit: "share",
            is_higher_better: true,
        };
        let found = compared(done, [0.8, 0.85], [-0.06, -0.04], 0.02);
        check(
            &found.sentence(HarmVerdict::Safe, Asks::Safety),
            "Tasks done rose from 80% to 85% (between 4 and 6 points more, up to 2 points less allowed). That is within the margin.",
            "Tasks done 由 80% 升至 85%（多 4 至 6 个百分点，允许少 2 个百分点）。在界限之内。",
        );
        // Values of another comparison are not shown.
        let other = Comparison {
            values: Some([0.1, 0.9]),
            ..found
        };
        assert!(
            other
                .sentence(HarmVerdict::Safe, Asks::Safety)
                .en
                .starts_with("Tasks done is 5 points higher"),
            "{other:?}"
        );
    }
}

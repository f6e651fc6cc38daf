//! A comparison of `gate_report.json`, read for people.

use serde_json::Value;

use crate::report::charts::Harm;
use crate::stats::Interval;
use crate::words::evals as says;
use crate::words::{Lang, Measured, P, Say, Text};

/// A comparison of a gate report, or one of its slices.
pub(super) struct Compared<'a> {
    of: &'a Value,
}

impl<'a> Compared<'a> {
    pub(super) fn new(of: &'a Value) -> Self {
        Self { of }
    }

    pub(super) fn text(&self, key: &str) -> &'a str {
        self.of[key].as_str().unwrap_or_default()
    }

    /// A count. `None` if the document has none.
    pub(super) fn n(&self, key: &str) -> Option<u64> {
        self.of[key].as_u64()
    }

    /// The ids of cases that got better (`gained`) or worse (`lost`).
    pub(super) fn cases(&self, key: &str) -> Vec<&'a str> {
        let cases = self.of[key].as_array().into_iter().flatten();
        cases.filter_map(Value::as_str).collect()
    }

    /// The name of the metric.
    pub(super) fn metric(&self) -> Text {
        says::eval_metric(self.text("metric"))
    }

    /// The mean of the baseline (0) or the candidate (1). `None` without pairs.
    pub(super) fn mean(&self, arm: usize, lang: Lang) -> Option<String> {
        let value = self.of["means"][arm].as_f64()?;
        let unit = self.text("unit");
        (self.n("n_pairs")? > 0).then(|| Measured { value, unit }.say(lang))
    }

    /// How much worse or better the candidate is. `None` without an interval.
    pub(super) fn change(&self) -> Option<Text> {
        let (_, interval, unit) = self.harm()?;
        Some(says::direction(interval, unit))
    }

    /// The largest harm that is allowed: relative margins are percentages. `None` without a margin.
    pub(super) fn allowed(&self) -> Option<Text> {
        match (self.relative_margin(), self.absolute_margin()) {
            (Some(share), _) => Some(says::size(share, says::RELATIVE)),
            (None, Some(margin)) => Some(says::size(margin, self.text("unit"))),
            (None, None) => None,
        }
    }

    pub(super) fn p_value(&self, lang: Lang) -> Option<String> {
        Some(P(self.of["p_value_adj"].as_f64()?).say(lang))
    }

    /// The outcome that the verdict stands for in a badge.
    pub(super) fn outcome(&self) -> &'static str {
        match self.text("verdict") {
            "safe" => "pass",
            "violated" => "fail",
            _ => "inconclusive",
        }
    }

    /// The harm in units of its margin, for a chart. `None` without an interval or a margin.
    pub(super) fn in_margins(&self, lang: Lang) -> Option<Harm<'a>> {
        let (point, interval, unit) = self.harm()?;
        let margin = match (unit == says::RELATIVE, self.relative_margin()) {
            (true, share) => share?,
            (false, _) => self.absolute_margin()?,
        };
        let metric = self.text("metric");
        Some(Harm {
            keys: vec![("metric", metric)],
            label: format!("{}: {}", self.text("suite"), self.metric().of(lang)),
            harm: point / margin,
            interval: Interval {
                ci_lower: interval.ci_lower / margin,
                ci_upper: interval.ci_upper / margin,
            },
            violated: self.text("verdict") == "violated",
        })
    }

    /// The harm with its interval and unit, relative where the document has the relative change.
    fn harm(&self) -> Option<(f64, Interval, &'a str)> {
        let of = self.of;
        let is_judged = self.text("interval_method") == "judge";
        let relative = Some(&of["relative"]).filter(|_| !is_judged);
        let (point, interval, unit) =
            match relative.and_then(|change| Some((change["change"].as_f64()?, change))) {
                Some((point, change)) => (point, ends(change)?, says::RELATIVE),
                None => (
                    of["difference"].as_f64()?,
                    ends(&of["interval"])?,
                    self.text("unit"),
                ),
            };
        Some(match self.lower_is_better() {
            true => (point, interval, unit),
            false => (-point, interval.negated(), unit),
        })
    }

    /// The direction of the metric. Documents of older versions show it by the sign of the harm; a
    /// harm of 0 has no sign, and the metric counts as one whose higher values are better.
    fn lower_is_better(&self) -> bool {
        let of = self.of;
        of["lower_is_better"].as_bool().unwrap_or_else(|| {
            let [harm, difference] = ["harm", "difference"].map(|key| of[key].as_f64());
            harm.is_some_and(|harm| harm != 0.0) && harm == difference
        })
    }

    fn absolute_margin(&self) -> Option<f64> {
        self.of["margin"].as_f64().filter(|margin| *margin > 0.0)
    }

    /// The margin as a share of the baseline's mean: `5%`.
    fn relative_margin(&self) -> Option<f64> {
        let text = self.of["margin_rule"].as_str()?.strip_suffix('%')?;
        let percent: f64 = text.trim().parse().ok()?;
        (percent.is_finite() && percent > 0.0).then_some(percent / 100.0)
    }
}

fn ends(interval: &Value) -> Option<Interval> {
    Some(Interval {
        ci_lower: interval["ci_lower"].as_f64()?,
        ci_upper: interval["ci_upper"].as_f64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn comparison(lower_is_better: bool, difference: f64) -> Value {
        let sign = if lower_is_better { 1.0 } else { -1.0 };
        json!({
            "suite": "golden", "metric": "passed", "unit": "share", "lower_is_better": lower_is_better,
            "n_pairs": 1200, "means": [0.8, 0.8 + difference], "difference": difference, "harm": sign * difference,
            "interval": {"ci_lower": -0.01, "ci_upper": 0.03}, "margin": 0.02, "margin_rule": 0.02,
            "verdict": "unclear",
        })
    }

    #[test]
    fn the_interval_of_a_difference_of_zero_keeps_its_side() {
        let check = |lower_is_better: bool, difference: f64, expected: [f64; 2]| {
            let value = comparison(lower_is_better, difference);
            let harm = Compared::new(&value).in_margins(Lang::En).unwrap();
            let found = [harm.interval.ci_lower, harm.interval.ci_upper];
            assert!(
                found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9),
                "{found:?}"
            );
        };
        check(true, 0.0, [-0.5, 1.5]);
        check(false, 0.0, [-1.5, 0.5]);
        check(true, 0.01, [-0.5, 1.5]);
        check(false, 0.01, [-1.5, 0.5]);
    }

    #[test]
    fn relative_margins_stay_relative() {
        let mut value = comparison(true, 0.0);
        value["metric"] = json!("cost_usd");
        value["unit"] = json!("USD");
        value["margin_rule"] = json!("5%");
        value["margin"] = json!(0.0005);
        value["relative"] = json!({"change": 0.1, "ci_lower": 0.05, "ci_upper": 0.15});
        let compared = Compared::new(&value);
        assert_eq!(compared.allowed().unwrap().en, "5%");
        assert_eq!(compared.change().unwrap().zh, "劣化 5% 至 15%");
        let harm = compared.in_margins(Lang::Zh).unwrap();
        assert!((harm.harm - 2.0).abs() < 1e-9 && (harm.interval.ci_upper - 3.0).abs() < 1e-9);
        assert_eq!(harm.label, "golden: 成本");
        // The relative change is not known: the difference has no place on the scale of the margin.
        value["relative"] = json!({"reason": "no_data"});
        let compared = Compared::new(&value);
        assert!(
            compared
                .in_margins(Lang::En)
                .is_some_and(|harm| harm.interval.ci_upper > 1.0)
        );
    }

    #[test]
    fn what_is_missing_is_absent() {
        let value = json!({"suite": "s", "metric": "m", "n_pairs": 0, "means": [0.0, 0.0]});
        let compared = Compared::new(&value);
        assert!(compared.change().is_none() && compared.allowed().is_none());
        assert!(compared.mean(0, Lang::En).is_none() && compared.in_margins(Lang::En).is_none());
        assert_eq!(compared.outcome(), "inconclusive");
    }
}

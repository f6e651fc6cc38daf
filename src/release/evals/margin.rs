//! Non-inferiority margins by kind of metric: absolute for shares, relative for cost, latency and
//! tokens.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::metric::Better;

/// The largest harm that is acceptable. It is above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Margin {
    /// In the unit of the metric.
    Absolute(f64),
    /// As a share of the baseline's mean: 0.05 is written `5%`.
    Relative(f64),
}

impl Margin {
    /// Parses a number such as `0.02`, or a percentage such as `5%`.
    ///
    /// # Errors
    /// The text is neither, or the number is not above 0.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            format!("expected a number above 0 such as 0.02, or a percentage such as 5%, found \"{text}\"")
        };
        let number = |text: &str| {
            let value = text.trim().parse::<f64>().ok();
            value
                .filter(|value| value.is_finite() && *value > 0.0)
                .ok_or_else(wrong)
        };
        match text.strip_suffix('%') {
            Some(percent) => Ok(Self::Relative(number(percent)? / 100.0)),
            None => Ok(Self::Absolute(number(text)?)),
        }
    }
}

impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(value) => write!(f, "{value}"),
            // The digits of the share, not those of a product with rounding.
            Self::Relative(share) => write!(f, "{}%", (share * 1e12).round() / 1e10),
        }
    }
}

impl Serialize for Margin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absolute(value) => serializer.serialize_f64(*value),
            Self::Relative(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Margin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl JsonSchema for Margin {
    fn schema_name() -> Cow<'static, str> {
        "Margin".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": "^ *[0-9.eE+-]+ *% *$"}
            ]
        })
    }
}

/// The margins of all metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Margin>", into = "BTreeMap<String, Margin>")]
pub struct Margins(BTreeMap<String, Margin>);

/// The key of the margin of metrics without one of their own.
const DEFAULT: &str = "default";

impl Default for Margins {
    fn default() -> Self {
        let margins = [
            (DEFAULT, Margin::Absolute(0.02)),
            ("cost_usd", Margin::Relative(0.05)),
            ("latency_ms", Margin::Relative(0.1)),
            ("tokens", Margin::Relative(0.05)),
        ];
        Self(margins.map(|(metric, margin)| (metric.to_owned(), margin)).into())
    }
}

impl From<BTreeMap<String, Margin>> for Margins {
    /// The default margins with `own` in their place.
    fn from(own: BTreeMap<String, Margin>) -> Self {
        Self::default().with(own)
    }
}

impl From<Margins> for BTreeMap<String, Margin> {
    fn from(margins: Margins) -> Self {
        margins.0
    }
}

impl Margins {
    /// The margins with those of the keys of `own` in their place.
    pub fn with(mut self, own: impl IntoIterator<Item = (String, Margin)>) -> Self {
        self.0.extend(own);
        self
    }

    /// The margin of a metric: its own; else `default`. An absolute default is a margin of shares.
    /// For other metrics it is a share of the baseline's mean: 0.02 is 2 %.
    pub fn of(&self, metric: &str, is_share: bool) -> Option<Margin> {
        if let Some(own) = self.0.get(metric) {
            return Some(*own);
        }
        match self.0.get(DEFAULT) {
            Some(Margin::Absolute(value)) if !is_share => Some(Margin::Relative(*value)),
            other => other.copied(),
        }
    }

    /// The metrics that have a margin of their own.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|name| *name != DEFAULT)
    }
}

/// Words in the names of metrics whose lower values are better.
const LOWER: [&str; 14] = [
    "cost",
    "latency",
    "token",
    "tokens",
    "toxicity",
    "bias",
    "hallucination",
    "perplexity",
    "error",
    "errors",
    "wer",
    "ter",
    "brier",
    "loss",
];

/// The good direction of a metric by its name: lower for costs, times, tokens, and names with a word
/// such as `toxicity`, `hallucination`, `perplexity` or `error`.
pub fn better_of(metric: &str) -> Better {
    let has_word = metric
        .to_lowercase()
        .split(|sign: char| !sign.is_alphanumeric())
        .any(|word| LOWER.contains(&word));
    if has_word { Better::Lower } else { Better::Higher }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_are_numbers_or_percentages() {
        let check = |text: &str, expected: Option<Margin>| {
            let found = Margin::parse(text);
            assert_eq!(found.clone().ok(), expected, "{text}: {found:?}");
        };
        check("0.02", Some(Margin::Absolute(0.02)));
        check("5%", Some(Margin::Relative(0.05)));
        check(" 12.5 % ", Some(Margin::Relative(0.125)));
        for wrong in ["", "%", "0", "-1", "0%", "NaN", "inf", "5 per cent"] {
            check(wrong, None);
        }
        assert_eq!(Margin::parse("7%").unwrap().to_string(), "7%");
        assert_eq!(Margin::parse("0.1%").unwrap().to_string(), "0.1%");
    }

    #[test]
    fn each_metric_has_the_margin_of_its_kind() {
        let margins = Margins::default().with([("helpful".to_owned(), Margin::Absolute(0.1))]);
        let check = |metric: &str, is_share: bool, expected: Margin| {
            assert_eq!(margins.of(metric, is_share), Some(expected), "{metric}");
        };
        check("passed", true, Margin::Absolute(0.02));
        check("cost_usd", false, Margin::Relative(0.05));
        check("latency_ms", false, Margin::Relative(0.1));
        check("helpful", true, Margin::Absolute(0.1));
        check("bleu", false, Margin::Relative(0.02));
    }

    #[test]
    fn directions_follow_the_words_of_a_name() {
        for metric in [
            "cost_usd",
            "latency_ms",
            "Hallucination",
            "word_perplexity,none",
            "error_rate",
        ] {
            assert_eq!(better_of(metric), Better::Lower, "{metric}");
        }
        for metric in [
            "passed",
            "faithfulness",
            "terse",
            "answer_relevancy",
            "exact_match,strict-match",
        ] {
            assert_eq!(better_of(metric), Better::Higher, "{metric}");
        }
    }
}

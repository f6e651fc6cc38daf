//! How a source of traces is read: its format, its scores, and what counts as a turn.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A source whose files are traces: spans, runs, observations or requests. The importer of its
/// format makes turns of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TraceSource {
    /// The system that wrote the files.
    pub format: TraceFormat,
    /// Outcomes from scores, by the canonical column that gets them.
    pub scores: BTreeMap<String, ScoreRule>,
    /// What counts as one turn.
    pub turns: TurnUnit,
    /// A table of prices for requests whose cost the files do not have.
    pub prices: Option<PathBuf>,
    /// The key of the scenario, or the options of the command line, that name the source: for
    /// messages.
    pub key: String,
}

/// The system that wrote a file of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TraceFormat {
    /// The content of each file shows it.
    #[default]
    Auto,
    /// OpenTelemetry: OTLP as JSON.
    Otlp,
    /// Langfuse: exports of traces, observations and scores.
    Langfuse,
    /// LiteLLM: spend logs and logged payloads.
    Litellm,
    /// MLflow traces.
    Mlflow,
    /// Phoenix: spans and annotations.
    Phoenix,
    /// LangSmith runs.
    Langsmith,
    /// Braintrust: logs by trace or by span.
    Braintrust,
    /// Helicone requests.
    Helicone,
}

impl TraceFormat {
    /// Every format with its word in a scenario, the default first.
    pub const ALL: [(&'static str, Self); 9] = [
        ("auto", Self::Auto),
        ("otlp", Self::Otlp),
        ("langfuse", Self::Langfuse),
        ("litellm", Self::Litellm),
        ("mlflow", Self::Mlflow),
        ("phoenix", Self::Phoenix),
        ("langsmith", Self::Langsmith),
        ("braintrust", Self::Braintrust),
        ("helicone", Self::Helicone),
    ];

    /// Returns the word of a format.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, format)| *format == self)
            .map_or("auto", |(name, _)| name)
    }
}

/// What counts as one turn in a source with a row a request and no tree of spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TurnUnit {
    /// A request.
    #[default]
    Request,
    /// All requests of a session.
    Session,
}

impl TurnUnit {
    /// Every unit with its word in a scenario, the default first.
    pub const ALL: [(&'static str, Self); 2] = [("request", Self::Request), ("session", Self::Session)];
}

/// How an outcome is read from scores, annotations or evaluations.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRule {
    /// The name of the score in the files.
    pub score: String,
    /// What makes the outcome true. `None` takes the score's own value.
    pub test: Option<ScoreTest>,
    /// What several scores of one turn give.
    pub combine: Combine,
}

/// A test of a score.
#[derive(Debug, Clone, PartialEq)]
pub enum ScoreTest {
    /// The label of the score is this text.
    Is(String),
    /// The value is at least this number.
    AtLeast(f64),
    /// The value is at most this number.
    AtMost(f64),
}

/// What several scores of one turn give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Combine {
    /// The latest score.
    #[default]
    Last,
    /// The mean of all scores.
    Mean,
    /// The largest score: of tests, whether any holds.
    Any,
}

impl Combine {
    /// Every option with its word in a scenario, the default first.
    pub const ALL: [(&'static str, Self); 3] =
        [("last", Self::Last), ("mean", Self::Mean), ("any", Self::Any)];
}

/// Columns that the importer computes and that no path or score may replace.
const FIXED: [&str; 2] = ["event_time", "trace_id"];

impl TraceSource {
    /// Checks that a path or a score may give a column.
    ///
    /// # Errors
    /// The importer computes the column itself.
    pub fn check_column(column: &str) -> Result<(), String> {
        if FIXED.contains(&column) {
            return Err(format!(
                "expected another column, found `{column}`, which the trace gives"
            ));
        }
        Ok(())
    }

    /// Checks that a score may give a column, beside the columns that paths give.
    ///
    /// # Errors
    /// The importer computes the column itself, or a path gives it.
    pub fn check_score(column: &str, columns: &BTreeMap<String, String>) -> Result<(), String> {
        if columns.contains_key(column) {
            return Err(format!("expected a path or a score for `{column}`, found both"));
        }
        Self::check_column(column)
    }
}

impl ScoreRule {
    /// Takes the value of a score as it is.
    pub fn value_of(score: impl Into<String>) -> Self {
        Self {
            score: score.into(),
            test: None,
            combine: Combine::Last,
        }
    }

    /// Parses `SCORE`, `SCORE=LABEL`, `SCORE>=NUMBER` or `SCORE<=NUMBER`, also within `last(...)`,
    /// `mean(...)` or `any(...)`.
    ///
    /// # Errors
    /// There is no name, or no number after `>=` or `<=`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let within = |word: &str| {
            let inner = text.trim().strip_prefix(word)?.strip_prefix('(')?;
            inner.strip_suffix(')')
        };
        match Combine::ALL
            .iter()
            .find_map(|(word, combine)| Some((within(word)?, *combine)))
        {
            Some((inner, combine)) => Ok(Self {
                combine,
                ..Self::parse_one(inner)?
            }),
            None => Self::parse_one(text),
        }
    }

    fn parse_one(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected SCORE, SCORE=LABEL, SCORE>=NUMBER or SCORE<=NUMBER, found \"{text}\"");
        let number = |text: &str| {
            let number = text
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite());
            number.ok_or_else(expected)
        };
        let (score, test) = if let Some((score, limit)) = text.split_once(">=") {
            (score, Some(ScoreTest::AtLeast(number(limit)?)))
        } else if let Some((score, limit)) = text.split_once("<=") {
            (score, Some(ScoreTest::AtMost(number(limit)?)))
        } else if let Some((score, label)) = text.split_once('=') {
            (score, Some(ScoreTest::Is(label.trim().to_owned())))
        } else {
            (text, None)
        };
        if score.trim().is_empty() {
            return Err(expected());
        }
        Ok(Self {
            test,
            ..Self::value_of(score.trim())
        })
    }

    /// The outcome that a score gives: 0 or 1 of a test, else its number. `None` if the score has no
    /// such value.
    pub fn value(&self, number: Option<f64>, label: Option<&str>) -> Option<f64> {
        let number = number.filter(|number| number.is_finite());
        let flag = |is_true: bool| Some(f64::from(u8::from(is_true)));
        match &self.test {
            None => number.or_else(|| number_of_label(label?)),
            Some(ScoreTest::Is(text)) => match label {
                Some(label) => flag(label.eq_ignore_ascii_case(text)),
                None => flag(number? == number_of_label(text)?),
            },
            Some(ScoreTest::AtLeast(limit)) => flag(number.or_else(|| number_of_label(label?))? >= *limit),
            Some(ScoreTest::AtMost(limit)) => flag(number.or_else(|| number_of_label(label?))? <= *limit),
        }
    }
}

/// The number that a label is: digits, or a truth value.
fn number_of_label(label: &str) -> Option<f64> {
    match label.trim() {
        text if text.eq_ignore_ascii_case("true") => Some(1.0),
        text if text.eq_ignore_ascii_case("false") => Some(0.0),
        text => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_gives_its_number_or_the_result_of_its_test() {
        let check = |rule: &str, number: Option<f64>, label: Option<&str>, expected: Option<f64>| {
            let rule = ScoreRule::parse(rule).unwrap();
            assert_eq!(
                rule.value(number, label),
                expected,
                "{rule:?} {number:?} {label:?}"
            );
        };
        check("csat", Some(4.0), None, Some(4.0));
        check("csat", None, Some("4"), Some(4.0));
        check("csat", None, Some("good"), None);
        check("csat", Some(f64::NAN), None, None);
        check("up", None, Some("True"), Some(1.0));
        check("feedback=thumbs_down", Some(0.0), Some("thumbs_down"), Some(1.0));
        check("feedback=thumbs_down", Some(1.0), Some("thumbs_up"), Some(0.0));
        check("feedback=false", Some(0.0), None, Some(1.0));
        check("feedback=thumbs_down", Some(0.0), None, None);
        check("resolved>=0.5", Some(0.5), None, Some(1.0));
        check("resolved>=0.5", Some(0.4), None, Some(0.0));
        check("resolved>=0.5", None, None, None);
        check("resolved<=0.5", Some(0.5), None, Some(1.0));
        check("any(resolved<=0.5)", Some(0.5), None, Some(1.0));
        let combine = |text: &str| ScoreRule::parse(text).unwrap().combine;
        assert_eq!(combine("csat"), Combine::Last);
        assert_eq!(combine("mean(csat)"), Combine::Mean);
        assert_eq!(combine("any(feedback=thumbs_down)"), Combine::Any);
        assert_eq!(ScoreRule::parse("median(csat)").unwrap().score, "median(csat)");
        for wrong in ["", "=x", "a>=", "a>=x", "a<=nan", "any()", "mean(=x)"] {
            assert!(ScoreRule::parse(wrong).is_err(), "{wrong}");
        }
    }
}

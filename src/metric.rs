//! The metric table: the numerator, the denominator, the direction of improvement and the delay of
//! each metric.
//!
//! Every stage reads these declarations: replay accumulates their [`Sum`]s, analysis estimates
//! them, guardrails name them, reports print them.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::base::time::{HOUR, Micros};
use crate::stats::effect::MetricForm;
use crate::words::Text;

/// Good direction of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Higher values are better (completion).
    Higher,
    /// Lower values are better (complaints, cost).
    Lower,
}

impl Better {
    /// Both directions with their words in a scenario.
    pub(crate) const ALL: [(&'static str, Self); 2] = [("higher", Self::Higher), ("lower", Self::Lower)];
}

/// The integer representation of a traffic column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// True or false, stored as 1 or 0.
    Flag,
    /// An integer, stored unchanged.
    Count,
    /// A real number, stored in units of 1e-6, rounded half to even.
    Real,
    /// Money in USD, stored in nano-USD (1e-9), rounded half to even.
    Usd,
}

impl ColumnKind {
    /// The number of integer units in one unit of the column.
    pub fn units(self) -> f64 {
        match self {
            Self::Flag | Self::Count => 1.0,
            Self::Real => 1e6,
            Self::Usd => 1e9,
        }
    }
}

/// The largest magnitude of a value in integer units, 2^53. Above it a double cannot represent all
/// integers, so a sum would not be exact.
pub const MAX_UNITS: f64 = 9_007_199_254_740_992.0;

impl ColumnKind {
    /// Converts a value to integer units, rounded half to even. `min` is the smallest legal value:
    /// 0 or minus infinity.
    ///
    /// # Errors
    /// A text with the expected values: a number of at least `min`, a number small enough to be
    /// exact, an integer for a count, 0 or 1 for a flag.
    pub fn quantize(self, value: f64, min: f64) -> Result<i64, String> {
        let scaled = value * self.units();
        if !value.is_finite() || value < min {
            return Err(if min == 0.0 {
                "a number >= 0".into()
            } else {
                "a number".into()
            });
        }
        if scaled.abs() > MAX_UNITS {
            return Err(format!("a number up to {}", MAX_UNITS / self.units()));
        }
        match self {
            Self::Flag if value != 0.0 && value != 1.0 => Err("true or false".into()),
            Self::Count if value.fract() != 0.0 => Err("a whole number".into()),
            _ => Ok(scaled.round_ties_even() as i64),
        }
    }

    /// Whether a value is not 0, but so small that it is stored as 0: at most half a unit.
    pub fn is_below_resolution(self, value: f64) -> bool {
        value != 0.0 && (value * self.units()).round_ties_even() == 0.0
    }

    /// Computes [`Self::quantize`] for many values at once. Returns `false` if a value is not
    /// legal, is so large that `quantize` must decide, or is [below the
    /// resolution](Self::is_below_resolution). `out` is then not valid.
    pub(crate) fn quantize_all(self, values: &[f64], min: f64, out: &mut [i64]) -> bool {
        // Doubles near 1.5 * 2^52 are 1 apart. Adding this number rounds half to even, and the
        // difference of the bits is the integer.
        const ROUND: f64 = 6_755_399_441_055_744.0;
        let units = self.units();
        let (mut legal, mut whole, mut flags) = (true, true, true);
        for (value, out) in values.iter().zip(out) {
            let scaled = value * units;
            let rounded = scaled + ROUND;
            legal &= (*value >= min) & (scaled.abs() <= MAX_UNITS / 4.0);
            // A value below the resolution is counted, which the reader of single values does.
            legal &= (rounded != ROUND) | (*value == 0.0);
            whole &= rounded - ROUND == scaled;
            flags &= (*value == 0.0) | (*value == 1.0);
            *out = (rounded.to_bits() as i64).wrapping_sub(ROUND.to_bits() as i64);
        }
        legal && (self != Self::Count || whole) && (self != Self::Flag || flags)
    }
}

/// A column as a metric reads it: its values, its values within limits, or the result of a test of
/// them.
///
/// ```
/// use sluice::metric::Reading;
/// assert_eq!(Reading::parse("latency_ms > 2000").unwrap().column, "latency_ms");
/// assert_eq!(Reading::parse("feature='refund'").unwrap().to_string(), "feature = 'refund'");
/// assert_eq!(Reading::parse("profit cap ..500").unwrap().column, "profit");
/// assert!(Reading::parse("mean of latency").is_none());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The name of the traffic column, or an expression of one row in square brackets.
    pub column: String,
    /// The test: 1 for a value that passes, 0 for one that does not, null for null. `None`: the
    /// values themselves.
    pub test: Option<Test>,
    /// The limits of each row's value. `None` with a test, or without limits.
    pub limits: Option<Limits>,
}

/// The limits of each row's value. A value beyond a limit counts as the limit.
///
/// # References
/// `docs/METHODS.md#limits-of-values`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limits {
    /// Limits in the unit of the column. At least one of them is not `None`.
    Values {
        /// The smallest value that counts in full.
        floor: Option<f64>,
        /// The largest value that counts in full.
        cap: Option<f64>,
    },
    /// Limits at a quantile of the baseline's first rows, 0.5..1. Replay computes them: the upper
    /// limit at the quantile, and the lower one at 1 minus the quantile. A column that has a
    /// minimum has no lower limit.
    Quantile(f64),
}

/// The words before the limits in the text of a reading.
const CAP: &str = " cap ";
const WINSORIZE: &str = " winsorize ";

impl Limits {
    /// Splits the text of a reading into its column and limits. `None` if it has no limits.
    fn split(text: &str) -> Option<(&str, Self)> {
        if let Some((column, quantile)) = text.split_once(WINSORIZE) {
            return Some((column, Self::Quantile(quantile.trim().parse().ok()?)));
        }
        let (column, limits) = text.split_once(CAP)?;
        let (floor, cap) = limits.split_once("..")?;
        let limit = |text: &str| match text.trim() {
            "" => Some(None),
            text => Some(Some(text.parse().ok().filter(|limit: &f64| limit.is_finite())?)),
        };
        let (floor, cap) = (limit(floor)?, limit(cap)?);
        Some((column, Self::Values { floor, cap }))
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |limit: &Option<f64>| limit.map_or_else(String::new, |limit| limit.to_string());
        match self {
            Self::Values { floor, cap } => write!(f, "{CAP}{}..{}", number(floor), number(cap)),
            Self::Quantile(quantile) => write!(f, "{WINSORIZE}{quantile}"),
        }
    }
}

/// A test of a column's values, which gives 1 or 0.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// A comparison with a finite number. True counts as 1, false as 0.
    Number(Comparison, f64),
    /// True if the text equals this one.
    Is(String),
    /// True if the text differs from this one.
    IsNot(String),
}

/// The comparison of a value with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Less than: `<`.
    Less,
    /// Less than or equal: `<=`.
    AtMost,
    /// Greater than: `>`.
    Greater,
    /// Greater than or equal: `>=`.
    AtLeast,
    /// Equal: `=`.
    Equal,
    /// Not equal: `!=`.
    Different,
}

/// Longer signs come first, because `<=` starts with `<`.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("!=", Comparison::Different),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

/// The brackets of an expression in the text of a reading.
const BRACKETS: [char; 2] = ['[', ']'];

/// The expression of a column. `None` for a column of the log.
fn expression_of(column: &str) -> Option<&str> {
    column.strip_prefix(BRACKETS[0])?.strip_suffix(BRACKETS[1])
}

impl Reading {
    /// The SQL expression whose values are read. `None` for a column of the log.
    pub fn expression(&self) -> Option<&str> {
        expression_of(&self.column)
    }

    /// Parses `column`, `column > 5` (also `<`, `>=`, `<=`, `=`, `!=`), `column = 'text'` (also
    /// `!=`), `column cap -5..5` (each limit may be left out) or `column winsorize 0.99`. `None` if
    /// the text has another form. An expression in square brackets stands for a column.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with(BRACKETS[0]) {
            let end = text.rfind(BRACKETS[1])? + 1;
            let limits = match &text[end..] {
                "" => None,
                rest => Some(Limits::split(rest).filter(|(column, _)| column.is_empty())?.1),
            };
            return Some(Self {
                column: text[..end].to_owned(),
                test: None,
                limits,
            });
        }
        if let Some((column, limits)) = Limits::split(text) {
            let plain = Self::parse(column).filter(|reading| reading.test.is_none())?;
            return Some(Self {
                limits: Some(limits),
                ..plain
            });
        }
        let end = text.find(['<', '>', '=', '!']).unwrap_or(text.len());
        let (column, rest) = (text[..end].trim(), text[end..].trim());
        let legal = !column.is_empty() && column.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !legal {
            return None;
        }
        if rest.is_empty() {
            return Some(Self {
                column: column.into(),
                test: None,
                limits: None,
            });
        }
        let (sign, comparison) = COMPARISONS.iter().find(|(sign, _)| rest.starts_with(sign))?;
        let value = rest[sign.len()..].trim();
        let quoted = value
            .strip_prefix('\'')
            .and_then(|value| value.strip_suffix('\''))
            .filter(|value| !value.contains('\''));
        let test = match (quoted, comparison) {
            (Some(text), Comparison::Equal) => Test::Is(text.into()),
            (Some(text), Comparison::Different) => Test::IsNot(text.into()),
            (Some(_), _) => return None,
            (None, comparison) => Test::Number(
                *comparison,
                value.parse().ok().filter(|value: &f64| value.is_finite())?,
            ),
        };
        Some(Self {
            column: column.into(),
            test: Some(test),
            limits: None,
        })
    }

    /// The integer representation: a flag for a test, otherwise that of the column.
    pub fn kind(&self) -> ColumnKind {
        if self.test.is_some() {
            ColumnKind::Flag
        } else {
            column_kind(&self.column)
        }
    }

    /// The reading without its limits: the values as the log has them.
    pub fn unlimited(self) -> Self {
        Self { limits: None, ..self }
    }

    /// Whether the reading tests the text of its column, and not a number.
    pub fn tests_text(&self) -> bool {
        matches!(self.test, Some(Test::Is(_) | Test::IsNot(_)))
    }
}

impl Test {
    /// Whether a number passes the test. It never passes a test of text.
    pub fn passes_number(&self, value: f64) -> bool {
        let Self::Number(comparison, limit) = self else {
            return false;
        };
        match comparison {
            Comparison::Less => value < *limit,
            Comparison::AtMost => value <= *limit,
            Comparison::Greater => value > *limit,
            Comparison::AtLeast => value >= *limit,
            Comparison::Equal => value == *limit,
            Comparison::Different => value != *limit,
        }
    }

    /// Whether a text, in UTF-8, passes the test. It never passes a test of numbers.
    pub fn passes_text(&self, value: &[u8]) -> bool {
        match self {
            Self::Number(..) => false,
            Self::Is(text) => value == text.as_bytes(),
            Self::IsNot(text) => value != text.as_bytes(),
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = &self.column;
        match &self.test {
            None => {
                f.write_str(column)?;
                self.limits.map_or(Ok(()), |limits| limits.fmt(f))
            }
            Some(Test::Is(text)) => write!(f, "{column} = '{text}'"),
            Some(Test::IsNot(text)) => write!(f, "{column} != '{text}'"),
            Some(Test::Number(comparison, limit)) => {
                let sign = COMPARISONS
                    .iter()
                    .find(|(_, c)| c == comparison)
                    .map_or("", |(sign, _)| sign);
                write!(f, "{column} {sign} {limit}")
            }
        }
    }
}

/// A quantity that is summed over rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sum {
    /// The number of rows: `rows` in a scenario.
    Rows,
    /// The sum of a column's values, or the number of rows that pass a test. The text is a
    /// [`Reading`]. Null adds 0.
    Of(String),
    /// The number of rows in which the column is not null. The text is a [`Reading`].
    Known(String),
    /// The number of rows whose value is beyond a limit. The text is a [`Reading`] with limits.
    Limited(String),
}

impl Sum {
    /// The reading of the sum; `None` for the number of rows.
    pub fn reading(&self) -> Option<Reading> {
        match self {
            Self::Rows => None,
            Self::Of(text) | Self::Known(text) | Self::Limited(text) => Reading::parse(text),
        }
    }

    /// The number of integer units in one unit of the sum.
    pub fn units(&self) -> f64 {
        match self {
            Self::Of(_) => self.reading().map_or(1.0, |reading| reading.kind().units()),
            Self::Rows | Self::Known(_) | Self::Limited(_) => 1.0,
        }
    }

    /// The name of the sum's column in the cube: `rows`, `sum_latency_ms`, `count_csat`. With a
    /// test or limits it is the sum's own text: `sum(latency_ms > 2000)`.
    pub fn column_name(&self) -> String {
        let is_plain = self.reading().is_some_and(|reading| {
            reading.test.is_none() && reading.limits.is_none() && reading.expression().is_none()
        });
        match self {
            Self::Of(text) if is_plain => format!("sum_{text}"),
            Self::Known(text) if is_plain => format!("count_{text}"),
            other => other.to_string(),
        }
    }

    /// Parses `rows`, `sum(column)` or `count(column)`, where the column may have a test; see
    /// [`Reading::parse`]. Another text in the parentheses is an expression of one row, which is
    /// checked when the log is opened. `None` if the text has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "rows" {
            return Some(Self::Rows);
        }
        let (function, rest) = text.split_once('(')?;
        let inner = rest.strip_suffix(')')?.trim();
        let reading = match Reading::parse(inner) {
            Some(reading) => reading.to_string(),
            // Anything that is no name and no test is an expression of one row.
            None if !inner.is_empty() && !inner.starts_with(BRACKETS[0]) => {
                format!("{}{inner}{}", BRACKETS[0], BRACKETS[1])
            }
            None => return None,
        };
        match function.trim() {
            "sum" => Some(Self::Of(reading)),
            "count" => Some(Self::Known(reading)),
            _ => None,
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| expression_of(text).unwrap_or(text).to_owned();
        match self {
            Self::Rows => f.write_str("rows"),
            Self::Of(column) => write!(f, "sum({})", shown(column)),
            Self::Known(column) => write!(f, "count({})", shown(column)),
            Self::Limited(column) => write!(f, "limited({})", shown(column)),
        }
    }
}

/// A declared metric: the sum of its numerator over the sum of its denominator, over a set of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Id of the metric, in ASCII, such as `bad_rate`.
    pub id: String,
    /// Display name of the metric for people, in any language. `None` for built-in metrics, and for
    /// metrics without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
    /// The quantity that the numerator sums over rows.
    pub numerator: Sum,
    /// The quantity that the denominator sums over rows.
    pub denominator: Sum,
    /// The direction in which the metric improves.
    pub better: Better,
    /// The unit of the quotient, for display: `share`, `ms`, `USD`.
    pub unit: String,
    /// The longest time between a row and its outcome, in microseconds. 0 if the outcome is in the
    /// row.
    pub delay: Micros,
    /// True for a share: the numerator counts some of the rows (or tool calls) that the denominator
    /// counts. Methods for proportions then apply. It follows from the sums, or from the scenario.
    pub proportion: bool,
}

impl Metric {
    /// Numerator and denominator, in this order.
    pub fn sums(&self) -> [&Sum; 2] {
        [&self.numerator, &self.denominator]
    }

    /// The form of the metric for inference. The resolution of a mean is one whole unit of its
    /// numerator.
    pub fn form(&self) -> MetricForm {
        if self.proportion {
            MetricForm::Proportion
        } else {
            MetricForm::Mean {
                resolution: 1.0 / self.numerator.units(),
            }
        }
    }

    /// The reading of the numerator, if its values have limits.
    pub fn limited_reading(&self) -> Option<Reading> {
        self.numerator
            .reading()
            .filter(|reading| reading.limits.is_some())
    }

    /// The sums from which the share of limited values comes: the number of rows whose value is
    /// beyond a limit, and the number of rows with a value. `None` if values have no limits.
    pub fn limited_sums(&self) -> Option<[Sum; 2]> {
        let reading = self.limited_reading()?;
        Some([
            Sum::Limited(reading.to_string()),
            Sum::Known(reading.unlimited().to_string()),
        ])
    }
}

/// Whether sums form a share: a flag, a test or known values over rows or known values, or tool
/// successes over tool calls. Inference checks that the numerator is at most the denominator.
pub(crate) fn is_proportion(numerator: &Sum, denominator: &Sum) -> bool {
    let counts_rows = |sum: &Sum| match sum {
        Sum::Rows | Sum::Known(_) | Sum::Limited(_) => true,
        Sum::Of(_) => sum
            .reading()
            .is_some_and(|reading| reading.kind() == ColumnKind::Flag),
    };
    let is_count_of_calls = [numerator, denominator]
        == [
            &Sum::Of("tool_successes".to_owned()),
            &Sum::Of("tool_calls".to_owned()),
        ];
    is_count_of_calls || *numerator != Sum::Rows && counts_rows(numerator) && counts_rows(denominator)
}

/// The traffic columns that built-in metrics and chargeback read, in canonical order, with their
/// integer representation.
pub const COLUMNS: &[(&str, ColumnKind)] = &[
    ("success", ColumnKind::Flag),
    ("latency_ms", ColumnKind::Real),
    ("tool_calls", ColumnKind::Count),
    ("tool_successes", ColumnKind::Count),
    ("task_completed", ColumnKind::Flag),
    ("bad", ColumnKind::Flag),
    ("complaint", ColumnKind::Flag),
    ("nps", ColumnKind::Real),
    ("csat", ColumnKind::Real),
    ("escalated", ColumnKind::Flag),
    ("refused", ColumnKind::Flag),
    ("incident", ColumnKind::Flag),
    ("tokens_in", ColumnKind::Count),
    ("tokens_out", ColumnKind::Count),
    ("cost_usd", ColumnKind::Usd),
    ("cached_tokens_in", ColumnKind::Count),
    ("cache_write_tokens_in", ColumnKind::Count),
    ("cache_write_1h_tokens_in", ColumnKind::Count),
    ("is_batch", ColumnKind::Flag),
    ("tool_cost_usd", ColumnKind::Usd),
];

/// The smallest legal value of a column. It is 0 for the built-in columns except `nps`; the other
/// columns have no minimum (minus infinity).
pub fn column_min(column: &str) -> f64 {
    let is_built_in = COLUMNS.iter().any(|(name, _)| *name == column);
    if is_built_in && column != "nps" {
        0.0
    } else {
        f64::NEG_INFINITY
    }
}

/// The integer representation of a column. A column that is not built in is a real number.
pub fn column_kind(column: &str) -> ColumnKind {
    COLUMNS
        .iter()
        .find(|(name, _)| *name == column)
        .map_or(ColumnKind::Real, |(_, kind)| *kind)
}

/// The rows that the denominator of the bad rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRateOf {
    /// Rows with a rating by the user.
    Rated,
    /// All rows. A row without a rating counts as not bad.
    All,
}

impl BadRateOf {
    /// Both denominators with their words in a scenario, the default first.
    pub(crate) const ALL: [(&'static str, Self); 2] = [("rated", Self::Rated), ("all", Self::All)];
}

/// Returns the built-in metrics, which need no declaration in the scenario.
pub fn built_in(bad_rate_of: BadRateOf) -> Vec<Metric> {
    let of = |c: &str| Sum::Of(c.to_owned());
    let known = |c: &str| Sum::Known(c.to_owned());
    let rate = |id: &str, column: &str, better| Metric {
        id: id.into(),
        name: None,
        numerator: of(column),
        denominator: known(column),
        better,
        unit: "share".into(),
        delay: 0,
        proportion: true,
    };
    let ratio = |id: &str, numerator: Sum, denominator: Sum, better, unit: &str| Metric {
        id: id.into(),
        name: None,
        proportion: is_proportion(&numerator, &denominator),
        numerator,
        denominator,
        better,
        unit: unit.into(),
        delay: 0,
    };
    use Better::{Higher, Lower};
    let mut bad_rate = rate("bad_rate", "bad", Lower);
    if bad_rate_of == BadRateOf::All {
        bad_rate.denominator = Sum::Rows;
    }
    let mut csat = ratio("csat_mean", of("csat"), known("csat"), Higher, "points");
    csat.delay = 48 * HOUR;
    vec![
        rate("availability", "success", Higher),
        ratio(
            "latency_mean_ms",
            of("latency_ms"),
            known("latency_ms"),
            Lower,
            "ms",
        ),
        ratio(
            "tool_success_rate",
            of("tool_successes"),
            of("tool_calls"),
            Higher,
            "share",
        ),
        rate("task_completion_rate", "task_completed", Higher),
        bad_rate,
        rate("complaint_rate", "complaint", Lower),
        ratio("nps_mean", of("nps"), known("nps"), Higher, "points"),
        csat,
        rate("escalation_rate", "escalated", Lower),
        rate("refusal_rate", "refused", Lower),
        rate("incident_rate", "incident", Lower),
        ratio(
            "tokens_in_mean",
            of("tokens_in"),
            known("tokens_in"),
            Lower,
            "tokens",
        ),
        ratio(
            "tokens_out_mean",
            of("tokens_out"),
            known("tokens_out"),
            Lower,
            "tokens",
        ),
        // Turns whose cost is not known are no turns without a cost.
        ratio(
            "cost_per_turn_usd",
            of("cost_usd"),
            known("cost_usd"),
            Lower,
            "USD",
        ),
        ratio(
            "cost_per_completed_task_usd",
            of("cost_usd"),
            of("task_completed"),
            Lower,
            "USD",
        ),
    ]
}

/// The metrics of QoS, in the order of the fields of `qos::Rates`.
pub const RATE_METRICS: [&str; 6] = [
    "bad_rate",
    "availability",
    "latency_mean_ms",
    "tool_success_rate",
    "task_completion_rate",
    "complaint_rate",
];

#[cfg(test)]
mod tests;

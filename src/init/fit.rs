//! How the values of a column fit a target, and the unit or the expression that they need.

use crate::base::time::Micros;
use crate::init::names::Name;
use crate::init::profile::{ColumnProfile, Native};
use crate::init::targets::Kind;
use crate::init::times::{OTHER_FORMS, groups_of_date, parse_other};
use crate::init::words::{are_flags, meaning, rating, sort};
use crate::replay::probable_unit;

/// How a column is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum How {
    /// As it is.
    Plain,
    /// In a unit.
    Unit(&'static str),
    /// Through an expression of SQL on the columns of the file.
    Derive(String),
    /// In a currency, whose rate the file does not say.
    Currency(&'static str),
}

/// The fit of a column's values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fit {
    /// 0..=1; 1 for values that say what they are.
    pub(crate) score: f64,
    pub(crate) how: How,
    /// What the values look like, for the comment.
    pub(crate) why: String,
    /// Whether another unit is possible.
    pub(crate) is_unsure: bool,
}

impl Fit {
    fn new(score: f64, how: How, why: impl Into<String>) -> Self {
        Self {
            score,
            how,
            why: why.into(),
            is_unsure: false,
        }
    }

    fn unsure(mut self) -> Self {
        self.is_unsure = true;
        self
    }
}

/// The fit of a column to a kind. `None` if its values cannot be read as that kind.
pub(crate) fn fit(kind: Kind, column: &str, profile: &ColumnProfile, name: &Name) -> Option<Fit> {
    if profile.n_known() == 0 || profile.native == Native::Other {
        return None;
    }
    match kind {
        Kind::Id => fit_id(profile),
        Kind::Label => fit_label(profile),
        Kind::Time => fit_time(profile),
        Kind::Duration => fit_duration(profile, name),
        Kind::Money => fit_money(column, profile, name),
        Kind::Value => fit_value(profile, name),
        Kind::Flag => fit_flag(profile),
        Kind::Success => fit_success(profile, name),
        Kind::Bad => fit_bad(profile, name),
        Kind::Count => fit_count(profile),
        Kind::Uses => numbers(profile, 0.0).map(|fit| Fit {
            why: "numbers of at least 0".into(),
            ..fit
        }),
        Kind::Points => numbers(profile, 0.0).filter(|_| profile.max <= 100.0),
        Kind::Promoter => numbers(profile, -100.0).filter(|_| profile.max <= 100.0),
        Kind::Acceptance => fit_acceptance(profile),
    }
}

fn fit_id(profile: &ColumnProfile) -> Option<Fit> {
    let is_key = !matches!(profile.native, Native::Bool | Native::Instant)
        && profile.share(profile.n_json) < 0.05
        && profile.share(profile.n_time) < 0.5
        && profile.longest <= 200;
    if !is_key || profile.n_null as f64 > 0.7 * profile.n as f64 {
        return None;
    }
    let n = profile.n_distinct();
    let why = format!("{n} distinct values in {} rows", profile.n);
    if profile.native == Native::Float {
        let is_whole = profile.n_whole == profile.n_number;
        let sql = format!("cast({} as bigint)", sql_name(&profile.name));
        return is_whole.then(|| {
            Fit::new(
                0.8,
                How::Derive(sql),
                "whole numbers that are stored as fractions",
            )
        });
    }
    let is_fraction = profile.is_numeric() && profile.n_whole < profile.n_number;
    (!is_fraction).then(|| Fit::new(if n < 2 { 0.3 } else { 1.0 }, How::Plain, why))
}

fn fit_label(profile: &ColumnProfile) -> Option<Fit> {
    let words = profile.few_words()?;
    let is_label = !matches!(profile.native, Native::Instant)
        && profile.share(profile.n_time) < 0.5
        && profile.share(profile.n_json) < 0.05
        && !(profile.is_numeric() && profile.n_whole < profile.n_number && !are_versions(profile));
    let n_null = profile.n_null as f64 / profile.n.max(1) as f64;
    let score = match words.len() {
        1 => 0.6,
        2..=50 => 1.0,
        _ => 0.6,
    };
    let why = format!("{} distinct values", words.len());
    (is_label && n_null < 0.8)
        .then(|| Fit::new(if n_null > 0.3 { 0.6 * score } else { score }, How::Plain, why))
}

/// Whether numbers such as 1.0 and 2.1 look like versions.
fn are_versions(profile: &ColumnProfile) -> bool {
    profile.native == Native::Text && profile.words.len() <= 12
}

fn fit_time(profile: &ColumnProfile) -> Option<Fit> {
    if profile.native == Native::Instant {
        return Some(Fit::new(1.0, How::Plain, "timestamps"));
    }
    let share = profile.share(profile.n_time);
    if share >= 0.5 {
        return Some(Fit::new(share, How::Plain, "times as text"));
    }
    if profile.is_numeric() {
        return fit_epoch(profile);
    }
    let (form, n) = profile
        .other_forms
        .iter()
        .max_by_key(|(idx, n)| (**n, std::cmp::Reverse(**idx)))?;
    let share = profile.share(*n);
    let form = OTHER_FORMS[*form];
    let sql = date_sql(&profile.name, form);
    let is_ambiguous = profile.other_forms.values().filter(|other| *other == n).count() > 1;
    let fit = Fit::new(
        0.95 * share,
        How::Derive(sql),
        format!("times in the form {form}"),
    );
    (share >= 0.5).then(|| if is_ambiguous { fit.unsure() } else { fit })
}

/// An expression that reads times in one of the other forms: parts of one digit get a zero, and the
/// date gets the order of ISO 8601.
fn date_sql(column: &str, form: &str) -> String {
    let padded = format!(
        r"regexp_replace({}, '(?-u:\b)(\d)(?-u:\b)', '0$1')",
        sql_name(column)
    );
    let groups = groups_of_date(form);
    format!(r"instant(regexp_replace({padded}, '^(\d+)\D(\d+)\D(\d+)日?', '{groups}'))")
}

/// Reads a text in the other form that most values of a column have. `None` for other texts.
pub(crate) fn parse_other_form(profile: &ColumnProfile, text: &str) -> Option<Micros> {
    let (form, _) = profile
        .other_forms
        .iter()
        .max_by_key(|(idx, n)| (**n, std::cmp::Reverse(**idx)))?;
    parse_other(OTHER_FORMS[*form], text.trim())
}

/// Epoch seconds of the years 1990 to 2100, and their thousandths.
const EPOCH: std::ops::Range<f64> = 6.3e8..4.1e9;

fn fit_epoch(profile: &ColumnProfile) -> Option<Fit> {
    let median = profile.quantile(0.5)?;
    let is_date = (19_000_101.0..21_001_232.0).contains(&profile.min)
        && profile.max < 21_001_232.0
        && profile.n_whole == profile.n_number
        && (1.0..13.0).contains(&((median / 100.0).floor() % 100.0));
    if is_date {
        if profile.native == Native::Text {
            return Some(Fit::new(0.95, How::Plain, "dates of eight digits"));
        }
        let sql = format!("instant(concat({}, ''))", sql_name(&profile.name));
        return Some(Fit::new(
            0.8,
            How::Derive(sql),
            "dates of eight digits, as numbers",
        ));
    }
    let units = [("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)];
    let (unit, scale) = units
        .into_iter()
        .find(|(_, scale)| EPOCH.contains(&(median / scale)))?;
    // Quantiles: single zeros are common, and are bad rows.
    let low = profile.quantile(0.02)?;
    let is_epoch = EPOCH.contains(&(low / scale)) && EPOCH.contains(&(profile.max / scale));
    let why = format!("numbers in the range of epoch {unit}");
    let how = if unit == "s" { How::Plain } else { How::Unit(unit) };
    is_epoch.then(|| Fit::new(0.95, how, why))
}

/// Numbers of at least a bound.
fn numbers(profile: &ColumnProfile, min: f64) -> Option<Fit> {
    let n_low = if min == 0.0 { profile.n_negative } else { 0 };
    let fits = profile.is_numeric() && profile.share(n_low) <= 0.02 && profile.quantile(0.01)? >= min;
    fits.then(|| Fit::new(1.0, How::Plain, range(profile)))
}

fn range(profile: &ColumnProfile) -> String {
    let text = crate::base::number::number;
    format!("numbers from {} to {}", text(profile.min), text(profile.max))
}

const MILLIS: &[&str] = &["ms", "msec", "millis", "millisecond", "milliseconds", "毫秒"];
const MICROS: &[&str] = &["us", "usec", "micros", "microsecond", "microseconds", "微秒"];
const NANOS: &[&str] = &["ns", "nsec", "nanos", "nano", "nanosecond", "nanoseconds", "纳秒"];
const SECONDS: &[&str] = &["s", "sec", "secs", "second", "seconds", "秒", "秒数"];
const MINUTES: &[&str] = &["min", "mins", "minute", "minutes", "分钟"];

fn fit_duration(profile: &ColumnProfile, name: &Name) -> Option<Fit> {
    numbers(profile, 0.0)?;
    let mean = profile.mean()?;
    // An instant is no length of time.
    if fit_epoch(profile).is_some() {
        return None;
    }
    let named = [
        (MILLIS, "ms"),
        (MICROS, "us"),
        (NANOS, "ns"),
        (SECONDS, "s"),
        (MINUTES, "min"),
    ];
    let named = named
        .into_iter()
        .find(|(words, _)| name.has(words))
        .map(|(_, unit)| unit);
    let by_values = probable_unit("latency_ms", mean);
    let text = crate::base::number::number(mean);
    let of_name = |how| Fit::new(1.0, how, format!("the name says the unit; the mean is {text}"));
    Some(match named {
        Some("ms") => match by_values {
            // A name that the values contradict.
            Some(other) if other != "s" || mean < 1.0 => Fit::new(
                0.9,
                How::Unit("ms"),
                format!("the name says ms; the mean is {text}"),
            )
            .unsure(),
            _ => of_name(How::Plain),
        },
        Some("min") => of_name(How::Derive(format!("{} * 60000", sql_name(&profile.name)))),
        Some(unit) => of_name(How::Unit(unit)),
        None => match by_values {
            Some(unit) => Fit::new(0.9, How::Unit(unit), format!("a mean of {text} fits {unit}")),
            None if mean < 120.0 && profile.n_whole * 2 < profile.n_number => {
                Fit::new(0.8, How::Unit("s"), format!("fractions with a mean of {text}")).unsure()
            }
            None => Fit::new(0.95, How::Plain, format!("a mean of {text} fits ms")),
        },
    })
}

const CENTS: &[&str] = &["cent", "cents", "分"];
const USD: &[&str] = &["usd", "dollar", "dollars", "美元"];
/// Currencies with the words that name them.
const CURRENCIES: [(&str, &[&str]); 4] = [
    ("CNY", &["cny", "rmb", "yuan", "元", "人民币"]),
    ("EUR", &["eur", "euro", "euros"]),
    ("GBP", &["gbp", "pound", "pounds"]),
    ("JPY", &["jpy", "yen", "日元"]),
];

fn fit_money(column: &str, profile: &ColumnProfile, name: &Name) -> Option<Fit> {
    numbers(profile, 0.0)?;
    let mean = profile.mean()?;
    let text = crate::base::number::number(mean);
    if name.has(USD) && !name.has(CENTS) {
        return Some(Fit::new(1.0, How::Plain, "the name says USD"));
    }
    let chinese_cents = name.has(&["分"]);
    if let Some((currency, _)) = CURRENCIES.iter().find(|(_, words)| name.has(words)) {
        return Some(Fit::new(
            0.9,
            How::Currency(currency),
            format!("the name says {currency}"),
        ));
    }
    if chinese_cents {
        return Some(Fit::new(
            0.9,
            How::Currency("cent"),
            "the name says 分, a hundredth of CNY",
        ));
    }
    if name.has(CENTS) {
        return Some(Fit::new(1.0, How::Unit("cent"), "the name says cents"));
    }
    Some(match probable_unit(column, mean) {
        Some(unit) => Fit::new(0.7, How::Unit(unit), format!("a mean of {text} fits {unit}")).unsure(),
        None => Fit::new(0.9, How::Plain, format!("a mean of {text} fits USD")),
    })
}

fn fit_value(profile: &ColumnProfile, name: &Name) -> Option<Fit> {
    // Refunds are negative.
    let fits = profile.is_numeric() && profile.share(profile.n_negative) < 0.2;
    let how = if name.has(CENTS) && !name.has(&["评分", "得分", "积分"]) {
        How::Unit("cent")
    } else {
        How::Plain
    };
    fits.then(|| Fit::new(1.0, how, range(profile)))
}

/// A case expression of SQL: false or true for words, null for others.
fn case(profile: &ColumnProfile, yes: &[&str], no: &[&str]) -> String {
    let name = sql_name(&profile.name);
    let list = |words: &[&str]| {
        words
            .iter()
            .map(|word| sql_text(word))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let when = |words: &[&str], result: &str| {
        if words.is_empty() {
            String::new()
        } else {
            format!(" when {name} in ({}) then {result}", list(words))
        }
    };
    format!("case{}{} end", when(yes, "true"), when(no, "false"))
}

/// At most this many words stand in an expression.
const MAX_CASES: usize = 24;

fn fit_flag(profile: &ColumnProfile) -> Option<Fit> {
    if profile.native == Native::Bool {
        return Some(Fit::new(1.0, How::Plain, "true and false"));
    }
    if profile.is_numeric() {
        if profile.min >= 0.0 && profile.max <= 1.0 {
            let is_flag = profile.n_whole == profile.n_number;
            return is_flag.then(|| Fit::new(1.0, How::Plain, "0 and 1"));
        }
        let is_count = profile.n_whole == profile.n_number && profile.min >= 0.0 && profile.max <= 1_000.0;
        let sql = format!("{} > 0", sql_name(&profile.name));
        return is_count.then(|| Fit::new(0.6, How::Derive(sql), range(profile)).unsure());
    }
    let words = profile.few_words()?;
    if are_flags(words.keys()) {
        return Some(Fit::new(1.0, How::Plain, "words for true and false"));
    }
    let sorted = sort(words, meaning);
    let fits = sorted.known >= 0.7 && !(sorted.yes.is_empty() && sorted.no.is_empty());
    let is_short = sorted.yes.len() + sorted.no.len() <= MAX_CASES;
    let why = format!("words such as {}", examples(sorted.yes.iter().chain(&sorted.no)));
    let how = How::Derive(case(profile, &sorted.yes, &sorted.no));
    (fits && is_short).then(|| Fit::new(0.9 * sorted.known, how, why))
}

fn examples<'a>(words: impl Iterator<Item = &'a &'a str>) -> String {
    words
        .take(3)
        .map(|word| format!("\"{word}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

const ERROR_WORDS: &[&str] = &[
    "error",
    "errors",
    "errored",
    "err",
    "failed",
    "failure",
    "fail",
    "exception",
    "timeout",
    "timed",
    "错误",
    "失败",
    "异常",
];

fn fit_success(profile: &ColumnProfile, name: &Name) -> Option<Fit> {
    let sql = sql_name(&profile.name);
    let is_error = name.has(ERROR_WORDS);
    let is_code = profile.is_numeric()
        && profile.min >= 100.0
        && profile.max < 600.0
        && profile.n_whole == profile.n_number;
    if is_code {
        return Some(Fit::new(
            1.0,
            How::Derive(format!("{sql} < 500")),
            "status codes of HTTP",
        ));
    }
    let flag = fit_flag(profile);
    if !is_error {
        return flag;
    }
    // Of an error, a value is the failure.
    match (profile.native, flag) {
        (Native::Bool, _) => Some(Fit::new(
            1.0,
            How::Derive(format!("not {sql}")),
            "true means an error",
        )),
        (_, Some(fit)) if fit.how == How::Plain && profile.is_numeric() => Some(Fit::new(
            1.0,
            How::Derive(format!("{sql} = 0")),
            "1 means an error",
        )),
        (_, Some(fit)) if fit.how == How::Plain => {
            let sorted = sort(&profile.words, meaning);
            Some(Fit::new(
                1.0,
                How::Derive(case(profile, &sorted.no, &sorted.yes)),
                "true means an error",
            ))
        }
        _ if profile.n_null > 0 => {
            let open: Vec<&str> = profile
                .words
                .keys()
                .map(String::as_str)
                .filter(|word| is_open(word))
                .collect();
            let or_open = if open.is_empty() {
                String::new()
            } else {
                let list: Vec<String> = open.iter().map(|word| sql_text(word)).collect();
                format!(" or {sql} in ({})", list.join(", "))
            };
            Some(Fit::new(
                0.9,
                How::Derive(format!("{sql} is null{or_open}")),
                "a value is there where something failed",
            ))
        }
        _ => None,
    }
}

fn is_open(word: &str) -> bool {
    meaning(word) == crate::init::words::Meaning::Open
}

fn fit_bad(profile: &ColumnProfile, name: &Name) -> Option<Fit> {
    let sql = sql_name(&profile.name);
    let is_good_flag = name.has(&["up", "like", "liked", "positive", "点赞", "赞"])
        && !name.has(&["down", "dislike", "踩", "点踩", "thumbs", "赞踩"]);
    if let Some(fit) = fit_flag(profile).filter(|fit| fit.how == How::Plain) {
        let is_score = name.has(&[
            "score", "rating", "stars", "评分", "评价", "feedback", "vote", "thumb", "thumbs", "反馈",
        ]) && !name.has(&["down", "bad", "negative"]);
        return match (is_good_flag || is_score, profile.native) {
            (true, Native::Bool) => {
                Some(Fit::new(0.7, How::Derive(format!("not {sql}")), "true means a good rating").unsure())
            }
            (true, _) if profile.is_numeric() => {
                Some(Fit::new(0.7, How::Derive(format!("{sql} = 0")), "1 means a good rating").unsure())
            }
            (true, _) => None,
            (false, _) => Some(fit),
        };
    }
    if profile.is_numeric() {
        if profile.min >= -1.0 && profile.min < 0.0 && profile.max <= 1.0 {
            let sql = format!("case when {sql} < 0 then true when {sql} > 0 then false end");
            return Some(Fit::new(
                0.95,
                How::Derive(sql),
                "-1 is a bad rating, 1 a good one",
            ));
        }
        let is_stars = profile.min >= 0.0 && profile.max <= 10.0 && profile.max > 2.0;
        let low = if profile.max <= 5.0 { 2.0 } else { 4.0 };
        let why = format!("ratings up to {}; up to {low} counts as bad", profile.max);
        return is_stars.then(|| Fit::new(0.7, How::Derive(format!("{sql} <= {low}")), why).unsure());
    }
    let words = profile.few_words()?;
    let sorted = sort(words, rating);
    let fits = sorted.known >= 0.7 && !(sorted.yes.is_empty() && sorted.no.is_empty());
    let why = format!(
        "ratings such as {}",
        examples(sorted.yes.iter().chain(&sorted.no))
    );
    fits.then(|| {
        Fit::new(
            0.95 * sorted.known,
            How::Derive(case(profile, &sorted.yes, &sorted.no)),
            why,
        )
    })
}

fn fit_count(profile: &ColumnProfile) -> Option<Fit> {
    let is_whole = profile.n_whole == profile.n_number;
    numbers(profile, 0.0).filter(|_| is_whole)
}

fn fit_acceptance(profile: &ColumnProfile) -> Option<Fit> {
    numbers(profile, 0.0)?;
    let sql = sql_name(&profile.name);
    Some(match profile.max {
        max if max <= 1.0 && profile.n_whole < profile.n_number => Fit::new(
            0.9,
            How::Derive(format!("{sql} * 10")),
            "shares from 0 to 1, on a scale of 10",
        ),
        max if max <= 10.0 => Fit::new(1.0, How::Plain, range(profile)),
        max if max <= 100.0 => Fit::new(
            0.8,
            How::Derive(format!("{sql} / 10")),
            "points up to 100, on a scale of 10",
        ),
        _ => return None,
    })
}

/// Words of SQL that are no names of columns without quotes.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "all", "and", "any", "as", "asc", "between", "by", "case", "cast", "cross", "date", "desc", "distinct",
    "else", "end", "exists", "false", "from", "full", "group", "having", "if", "in", "index", "interval",
    "is", "join", "left", "like", "limit", "not", "null", "offset", "on", "or", "order", "over",
    "position", "right", "select", "table", "then", "time", "timestamp", "true", "union", "user", "using",
    "value", "values", "when", "where", "with", "year", "month", "day", "hour",
];

/// The name of a column in an expression of SQL.
pub(crate) fn sql_name(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    if is_plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// A text in an expression of SQL.
pub(crate) fn sql_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests;

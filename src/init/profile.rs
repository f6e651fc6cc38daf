//! What the values of one column of a file have in common: types, ranges, distinct values.

use std::collections::{BTreeMap, HashSet};

use crate::base::hash::hash_id;
use crate::base::time::{Micros, SECOND};
use crate::init::times;

/// The largest number of distinct values whose texts are kept.
const MAX_WORDS: usize = 200;
/// The longest value whose text is kept, bytes.
const MAX_WORD: usize = 200;
/// The largest number of distinct values that are counted.
const MAX_DISTINCT: usize = 400_000;
/// The largest number of numbers that are kept for quantiles.
const MAX_NUMBERS: usize = 8_192;

/// One value of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Text(&'a str),
    Int(f64),
    Float(f64),
    Bool(bool),
    /// Microseconds, UTC.
    Instant(Micros),
    /// A value of a type that cannot be read: a list, an object, bytes.
    Other,
}

/// The type of a column in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Native {
    /// No value was seen.
    #[default]
    Nothing,
    Text,
    Int,
    Float,
    Bool,
    Instant,
    Other,
}

/// The counts of the values of a column. Numbers written as texts count as numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct ColumnProfile {
    /// Name of the column in the file.
    pub(crate) name: String,
    pub(crate) native: Native,
    /// Rows that were read.
    pub(crate) n: u64,
    pub(crate) n_null: u64,
    pub(crate) n_number: u64,
    pub(crate) n_whole: u64,
    pub(crate) n_negative: u64,
    /// Texts that are instants in a form that Sluice reads and no plain number.
    pub(crate) n_time: u64,
    /// Texts that start as an object or a list of JSON.
    pub(crate) n_json: u64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    sum: f64,
    /// Numbers, and instants as epoch seconds, for quantiles.
    numbers: Vec<f64>,
    stride: u64,
    n_offered: u64,
    /// Numbers of values by text; every distinct value unless `has_more_words`.
    pub(crate) words: BTreeMap<String, u64>,
    pub(crate) has_more_words: bool,
    distinct: HashSet<u64>,
    /// The first and the last instant.
    pub(crate) span: Option<(Micros, Micros)>,
    /// Numbers of times by their offset from UTC in seconds; `None` for a time without one.
    pub(crate) offsets: BTreeMap<Option<i32>, u64>,
    /// Numbers of texts by the other form of a time that they have: see [`times::OTHER_FORMS`].
    pub(crate) other_forms: BTreeMap<usize, u64>,
    /// The longest text, characters.
    pub(crate) longest: usize,
}

impl ColumnProfile {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            stride: 1,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, value: Scalar<'_>) {
        self.n += 1;
        match value {
            Scalar::Null => self.n_null += 1,
            Scalar::Text(text) if text.trim().is_empty() => self.n_null += 1,
            Scalar::Text(text) => self.add_text(text),
            Scalar::Int(value) => self.add_native_number(Native::Int, value),
            Scalar::Float(value) if value.is_nan() => self.n_null += 1,
            Scalar::Float(value) => self.add_native_number(Native::Float, value),
            Scalar::Bool(value) => {
                self.set_native(Native::Bool);
                self.add_word(if value { "true" } else { "false" });
            }
            Scalar::Instant(at) => {
                self.set_native(Native::Instant);
                self.add_instant(at);
                self.add_distinct(&at.to_le_bytes());
            }
            Scalar::Other => self.set_native(Native::Other),
        }
    }

    fn set_native(&mut self, native: Native) {
        self.native = match (self.native, native) {
            (Native::Nothing, new) => new,
            (old, new) if old == new => old,
            (Native::Int, Native::Float) | (Native::Float, Native::Int) => Native::Float,
            (Native::Other, _) | (_, Native::Other) => Native::Other,
            _ => Native::Text,
        };
    }

    fn add_native_number(&mut self, native: Native, value: f64) {
        self.set_native(native);
        self.add_number(value);
        let text = if value.fract() == 0.0 && value.abs() < 1e15 {
            format!("{value:.0}")
        } else {
            value.to_string()
        };
        self.add_word(&text);
    }

    fn add_text(&mut self, text: &str) {
        self.set_native(Native::Text);
        let trimmed = text.trim();
        self.add_word(text);
        self.longest = self.longest.max(trimmed.chars().take(10_000).count());
        if let Some(value) = plain_number(trimmed) {
            self.add_number(value);
        } else if let Some(time) = times::read(trimmed) {
            self.n_time += 1;
            *self.offsets.entry(time.offset).or_default() += 1;
            self.add_instant(time.at);
        } else {
            for form in times::other_forms(trimmed) {
                *self.other_forms.entry(form).or_default() += 1;
            }
            self.n_json += u64::from(trimmed.starts_with(['{', '[']));
        }
    }

    fn add_number(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.keep(value);
        self.n_number += 1;
        self.n_whole += u64::from(value.fract() == 0.0);
        self.n_negative += u64::from(value < 0.0);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
    }

    /// Keeps a number for quantiles: all of the first, and every second, fourth and so on later.
    fn keep(&mut self, value: f64) {
        if self.n_offered.is_multiple_of(self.stride) {
            if self.numbers.len() == MAX_NUMBERS {
                let mut idx = 0;
                self.numbers.retain(|_| {
                    idx += 1;
                    idx % 2 == 1
                });
                self.stride *= 2;
            }
            self.numbers.push(value);
        }
        self.n_offered += 1;
    }

    fn add_word(&mut self, text: &str) {
        self.add_distinct(text.as_bytes());
        if let Some(n) = self.words.get_mut(text) {
            *n += 1;
        } else if self.words.len() < MAX_WORDS && text.len() <= MAX_WORD {
            self.words.insert(text.to_owned(), 1);
        } else {
            self.has_more_words = true;
        }
    }

    fn add_distinct(&mut self, bytes: &[u8]) {
        if self.distinct.len() < MAX_DISTINCT {
            self.distinct.insert(hash_id(bytes));
        }
    }

    fn add_instant(&mut self, at: Micros) {
        self.keep(at as f64 / SECOND as f64);
        self.span = Some(
            self.span
                .map_or((at, at), |(first, last)| (first.min(at), last.max(at))),
        );
    }

    /// Rows with a value.
    pub(crate) fn n_known(&self) -> u64 {
        self.n - self.n_null
    }

    /// Distinct values, up to a bound of some hundred thousands.
    pub(crate) fn n_distinct(&self) -> u64 {
        self.distinct.len() as u64
    }

    /// Distinct values a known value; 1 for a column of keys. 0 without values.
    pub(crate) fn distinct_share(&self) -> f64 {
        let n = self.n_known().min(MAX_DISTINCT as u64);
        if n == 0 {
            return 0.0;
        }
        (self.n_distinct() as f64 / n as f64).min(1.0)
    }

    /// A part of the rows with a value, 0..=1; 0 without values.
    pub(crate) fn share(&self, n: u64) -> f64 {
        if self.n_known() == 0 {
            return 0.0;
        }
        n as f64 / self.n_known() as f64
    }

    /// The mean of the numbers. `None` without numbers.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.n_number > 0).then(|| self.sum / self.n_number as f64)
    }

    /// A quantile of the numbers, or of the instants in epoch seconds. `None` without any.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let mut sorted = self.numbers.clone();
        sorted.sort_by(f64::total_cmp);
        let idx = (q * (sorted.len().checked_sub(1)? as f64)).round() as usize;
        sorted.get(idx).copied()
    }

    /// Whether almost all values are numbers.
    pub(crate) fn is_numeric(&self) -> bool {
        self.share(self.n_number) >= 0.95
    }

    /// Whether all values are known and few.
    pub(crate) fn few_words(&self) -> Option<&BTreeMap<String, u64>> {
        (!self.has_more_words && !self.words.is_empty()).then_some(&self.words)
    }
}

/// A text that is a number of plain digits, with a point. Words such as `nan` are none.
fn plain_number(text: &str) -> Option<f64> {
    let first = text.trim_start_matches(['-', '+']).chars().next()?;
    if !first.is_ascii_digit() && first != '.' {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(values: &[&str]) -> ColumnProfile {
        let mut profile = ColumnProfile::new("c");
        values.iter().for_each(|value| profile.add(Scalar::Text(value)));
        profile
    }

    #[test]
    fn values_are_counted_by_what_they_are() {
        let check = |values: &[&str], [null, number, whole, time]: [u64; 4]| {
            let p = profile(values);
            assert_eq!(
                [p.n_null, p.n_number, p.n_whole, p.n_time],
                [null, number, whole, time],
                "{values:?}"
            );
        };
        check(&["1", " 2 ", "2.5", "", " "], [2, 3, 2, 0]);
        check(&["nan", "inf", "-", "1e3"], [0, 1, 1, 0]);
        check(
            &["2026-05-28", "2026-05-28 10:00:00", "2026-05-28T10:00:00+08:00"],
            [0, 0, 0, 3],
        );
        check(&["20260528", "1779926400"], [0, 2, 2, 0]);
    }

    #[test]
    fn quantiles_and_words_are_bounded() {
        let mut p = ColumnProfile::new("c");
        (0..100_000).for_each(|value| p.add(Scalar::Int(f64::from(value))));
        assert!(p.numbers.len() <= MAX_NUMBERS && p.has_more_words);
        let median = p.quantile(0.5).unwrap();
        assert!((median - 50_000.0).abs() < 1_000.0, "{median}");
        assert_eq!((p.n_distinct(), p.mean()), (100_000, Some(49_999.5)));
    }
}

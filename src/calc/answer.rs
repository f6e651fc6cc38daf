//! The answer of a calculation: named values in order, with the reasons for missing ones.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::stats::Reason;
use crate::stats::contrast::Contrast;
use crate::stats::p_value::{Ends, PValue};

/// A value of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Item {
    /// A finite number.
    Number(f64),
    /// A whole number of at least 0.
    Whole(u64),
    /// A text, written as a JSON string.
    Text(String),
    /// A boolean, written as `true` or `false`.
    Flag(bool),
    /// A missing value, written as null. The answer gives the reason, unless the method never has
    /// this value.
    Missing(()),
    /// A list of values.
    List(Vec<Item>),
    /// A nested answer.
    Part(Answer),
}

/// The answer of a calculation: values by name, in order. A missing value is null, with its reason
/// in the field `reason`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The values by name, in order.
    pub items: Vec<(&'static str, Item)>,
    /// The distinct reasons for missing values, and warnings.
    pub reasons: Vec<String>,
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, item) in &self.items {
            map.serialize_entry(name, item)?;
        }
        if !self.reasons.is_empty() {
            map.serialize_entry("reason", &self.reasons.join("; "))?;
        }
        map.end()
    }
}

impl Answer {
    /// Writes the fields of the JSON object without its braces. The output equals that of serde.
    /// Skipping the escapes of names, which need none, saves a fifth of a batch's time.
    pub(super) fn write_fields(&self, out: &mut Vec<u8>) {
        for (idx, (name, item)) in self.items.iter().enumerate() {
            if idx > 0 {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            match item {
                Item::Missing(()) => out.extend_from_slice(b"null"),
                // Writing to memory does not fail.
                item => drop(serde_json::to_writer(&mut *out, item)),
            }
        }
        if !self.reasons.is_empty() {
            out.extend_from_slice(if self.items.is_empty() {
                b"\"reason\":"
            } else {
                b",\"reason\":"
            });
            drop(serde_json::to_writer(out, &self.reasons.join("; ")));
        }
    }

    /// Adds a value. Numbers that are not finite become missing values.
    pub(super) fn put(&mut self, name: &'static str, item: impl Into<Item>) {
        let item = item.into();
        match item {
            Item::Number(x) if !x.is_finite() => self.miss(name, Reason::OutOfRange),
            Item::List(ref items)
                if items
                    .iter()
                    .any(|item| matches!(item, Item::Number(x) if !x.is_finite())) =>
            {
                self.because(&Reason::OutOfRange.to_string());
                let Item::List(items) = item else { return };
                let finite = |item| {
                    if matches!(item, Item::Number(x) if !f64::is_finite(x)) {
                        Item::Missing(())
                    } else {
                        item
                    }
                };
                self.items
                    .push((name, Item::List(items.into_iter().map(finite).collect())));
            }
            // Adding 0 turns -0 into 0.
            Item::Number(x) => self.items.push((name, Item::Number(x + 0.0))),
            item => self.items.push((name, item)),
        }
    }

    /// Adds a value, or a missing value with its reason.
    pub(super) fn put_known<T: Into<Item>>(&mut self, name: &'static str, value: Result<T, Reason>) {
        match value {
            Ok(value) => self.put(name, value),
            Err(reason) => self.miss(name, reason),
        }
    }

    /// Adds a missing value with its reason.
    pub(super) fn miss(&mut self, name: &'static str, reason: Reason) {
        self.miss_for(name, &reason.to_string());
    }

    /// Adds a missing value with the text of its reason.
    pub(super) fn miss_for(&mut self, name: &'static str, reason: &str) {
        self.because(reason);
        self.items.push((name, Item::Missing(())));
    }

    /// Adds a reason or a warning, unless it is present already.
    pub(super) fn because(&mut self, reason: &str) {
        if !self.reasons.iter().any(|other| other == reason) {
            self.reasons.push(reason.to_owned());
        }
    }

    /// Adds both ends of an interval. A one-sided interval has a missing end.
    pub(super) fn put_ends(&mut self, names: [&'static str; 2], ends: Result<Ends, Reason>) {
        for (name, end) in names
            .into_iter()
            .zip([|ends: Ends| ends.lower, |ends: Ends| ends.upper])
        {
            self.put_known(name, ends.and_then(|ends| end(ends).ok_or(Reason::OneSided)));
        }
    }

    pub(super) fn put_p_value(&mut self, p_value: Result<PValue, Reason>) {
        match p_value {
            Ok(p_value) => {
                self.put("p_value", p_value.p);
                if p_value.log10_p.is_finite() {
                    self.put("log10_p_value", p_value.log10_p);
                }
            }
            Err(reason) => self.miss("p_value", reason),
        }
    }

    /// Adds the comparison of two arms.
    pub(super) fn put_contrast(&mut self, contrast: &Contrast) {
        self.put("control", contrast.control);
        self.put("treatment", contrast.treatment);
        self.put("effect_size", contrast.effect_size);
        self.put_known(
            "rel_effect_size",
            contrast.relative.map(|relative| relative.rel_effect_size),
        );
        self.put_known("std_error", contrast.std_error.ok_or(Reason::NoVariance));
        self.put_optional("statistic", contrast.statistic);
        self.put_optional("df", contrast.df);
        self.put_p_value(contrast.p_value);
        self.put_ends(["ci_lower", "ci_upper"], contrast.ci);
        self.put_ends(
            ["rel_ci_lower", "rel_ci_upper"],
            contrast.relative.and_then(|relative| relative.ci),
        );
        if let Ok(Some(log_ci)) = contrast.relative.map(|relative| relative.log_ci) {
            self.put_ends(["rel_log_ci_lower", "rel_log_ci_upper"], Ok(log_ci));
        }
    }

    /// Adds a value that some methods do not have. A missing value gets no reason.
    pub(super) fn put_optional(&mut self, name: &'static str, value: Option<f64>) {
        match value {
            Some(value) => self.put(name, value),
            None => self.items.push((name, Item::Missing(()))),
        }
    }
}

impl From<f64> for Item {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<u64> for Item {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Item {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<bool> for Item {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

impl From<&str> for Item {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Answer> for Item {
    fn from(value: Answer) -> Self {
        Self::Part(value)
    }
}

impl<T: Into<Item>> From<Vec<T>> for Item {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Item>> From<Option<T>> for Item {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing(()), Into::into)
    }
}

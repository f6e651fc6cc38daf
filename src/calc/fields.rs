//! The input fields of a calculation, read from a JSON object. Each read states the expected form.

use serde_json::{Map, Value};
use std::cell::RefCell;

/// The reason why an input is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The path of the field, such as `control.n`; empty if the problem concerns the whole input.
    pub place: String,
    /// The expected form of the input, as text.
    pub expected: String,
    /// The value that was found, as text of at most 80 characters.
    pub found: String,
}

/// A result, or the [`Refusal`] of an input.
pub(super) type Taken<T> = Result<T, Refusal>;

/// The maximum number of characters of an input that an error repeats.
const MAX_FOUND: usize = 80;

/// An object whose fields are being read.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// The path of the object.
    path: Path<'a>,
    /// The names that were read. All other names are refused at the end.
    asked: RefCell<Vec<&'static str>>,
}

#[derive(Clone, Copy)]
enum Path<'a> {
    Top,
    Field(&'a Path<'a>, &'static str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn text(&self) -> String {
        match self {
            Self::Top => String::new(),
            Self::Field(Self::Top, name) => (*name).to_owned(),
            Self::Field(parent, name) => format!("{}.{name}", parent.text()),
            Self::Item(parent, idx) => format!("{}[{idx}]", parent.text()),
        }
    }
}

/// The words of a choice with their meanings.
pub(super) type Words<T> = &'static [(&'static str, T)];

impl<'a> Fields<'a> {
    /// Starts reading the whole input.
    pub(super) fn top(value: &'a Value) -> Taken<Self> {
        Self::new(value, Path::Top)
    }

    fn new(value: &'a Value, path: Path<'a>) -> Taken<Self> {
        match value {
            Value::Object(object) => Ok(Self {
                object,
                path,
                asked: RefCell::new(Vec::with_capacity(8)),
            }),
            other => Err(refusal(&path, "an object", other)),
        }
    }

    /// Refuses names that were never read, so that a misspelled option is not ignored.
    pub(super) fn finish(&self) -> Taken<()> {
        let asked = self.asked.borrow();
        match self.object.keys().find(|name| !asked.contains(&name.as_str())) {
            Some(name) => {
                let mut known = asked.clone();
                known.sort_unstable();
                known.dedup();
                let place = match self.path.text() {
                    path if path.is_empty() => name.clone(),
                    path => format!("{path}.{name}"),
                };
                Err(Refusal {
                    place,
                    expected: format!("only {}", known.join(", ")),
                    found: short(name),
                })
            }
            None => Ok(()),
        }
    }

    fn get(&self, name: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(name);
        self.object.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, name: &'static str) -> bool {
        self.get(name).is_some()
    }

    /// Builds the refusal of a field.
    pub(super) fn refuse(&self, name: &'static str, expected: &str) -> Refusal {
        refusal(
            &Path::Field(&self.path, name),
            expected,
            self.object.get(name).unwrap_or(&Value::Null),
        )
    }

    fn need(&self, name: &'static str, expected: &str) -> Taken<&'a Value> {
        self.get(name).ok_or_else(|| Refusal {
            place: Path::Field(&self.path, name).text(),
            expected: expected.to_owned(),
            found: "nothing".to_owned(),
        })
    }

    /// Converts a number, or a text that holds a number, because some programs write decimals as
    /// text. `None` for other values, NaN and infinities.
    fn finite(value: &Value) -> Option<f64> {
        let number = if let Value::String(text) = value {
            text.parse().ok()
        } else {
            value.as_f64()
        };
        number.filter(|number| number.is_finite())
    }

    /// Reads a finite number that passes `test`.
    pub(super) fn number_where(
        &self,
        name: &'static str,
        expected: &str,
        test: impl Fn(f64) -> bool,
    ) -> Taken<f64> {
        let value = self.need(name, expected)?;
        Self::finite(value)
            .filter(|number| test(*number))
            .ok_or_else(|| self.refuse(name, expected))
    }

    /// Reads a finite number that passes `test`, or returns `default` if the field is absent.
    pub(super) fn number_or(
        &self,
        name: &'static str,
        default: f64,
        expected: &str,
        test: impl Fn(f64) -> bool,
    ) -> Taken<f64> {
        if self.has(name) {
            self.number_where(name, expected, test)
        } else {
            Ok(default)
        }
    }

    /// Reads a finite number.
    pub(super) fn number(&self, name: &'static str) -> Taken<f64> {
        self.number_where(name, "a number", |_| true)
    }

    /// Reads a finite number; `None` for null or an absent field.
    pub(super) fn nullable(&self, name: &'static str) -> Taken<Option<f64>> {
        if self.has(name) {
            self.number(name).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Reads a number of at least 0.
    pub(super) fn amount(&self, name: &'static str) -> Taken<f64> {
        self.number_where(name, "a number of at least 0", |x| x >= 0.0)
    }

    /// Reads a number above 0.
    pub(super) fn positive(&self, name: &'static str) -> Taken<f64> {
        self.number_where(name, "a number above 0", |x| x > 0.0)
    }

    /// Reads a whole number of at least 0.
    pub(super) fn count(&self, name: &'static str) -> Taken<f64> {
        self.number_where(name, "a whole number of at least 0", |x| {
            x >= 0.0 && x.fract() == 0.0
        })
    }

    /// Reads a number in 0..=1.
    pub(super) fn share(&self, name: &'static str) -> Taken<f64> {
        self.number_where(name, "a number from 0 to 1", |x| (0.0..=1.0).contains(&x))
    }

    /// Reads a number between 0 and 1, exclusive, or returns `default` if the field is absent.
    pub(super) fn level_or(&self, name: &'static str, default: f64) -> Taken<f64> {
        self.number_or(name, default, "a number between 0 and 1", |x| x > 0.0 && x < 1.0)
    }

    /// Reads the error level `alpha`, 0.05 by default.
    pub(super) fn alpha(&self) -> Taken<f64> {
        self.level_or("alpha", 0.05)
    }

    /// Reads a boolean, or returns `default` if the field is absent.
    pub(super) fn flag_or(&self, name: &'static str, default: bool) -> Taken<bool> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.refuse(name, "true or false")),
        }
    }

    /// Reads one of some words, or returns `default` if the field is absent.
    pub(super) fn choice<T: Copy>(&self, name: &'static str, words: Words<T>, default: T) -> Taken<T> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        let found = value
            .as_str()
            .and_then(|text| words.iter().find(|(word, _)| *word == text));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(name, &format!("one of {}", names.join(", ")))
        })
    }

    /// Reads a text.
    pub(super) fn text(&self, name: &'static str) -> Taken<&'a str> {
        self.need(name, "a text")?
            .as_str()
            .ok_or_else(|| self.refuse(name, "a text"))
    }

    /// The field without conversion; `None` for null or an absent field.
    pub(super) fn raw(&self, name: &'static str) -> Option<&'a Value> {
        self.get(name)
    }

    /// Reads a list of finite numbers that pass `test`.
    pub(super) fn numbers_where(
        &self,
        name: &'static str,
        expected: &str,
        test: impl Fn(f64) -> bool,
    ) -> Taken<Vec<f64>> {
        let list = self
            .need(name, expected)?
            .as_array()
            .ok_or_else(|| self.refuse(name, expected))?;
        let path = Path::Field(&self.path, name);
        let numbers = list.iter().enumerate().map(|(idx, value)| {
            Self::finite(value)
                .filter(|x| test(*x))
                .ok_or_else(|| refusal(&Path::Item(&path, idx), expected, value))
        });
        numbers.collect()
    }

    /// Reads a list of finite numbers.
    pub(super) fn numbers(&self, name: &'static str) -> Taken<Vec<f64>> {
        self.numbers_where(name, "a list of numbers", |_| true)
    }

    /// Reads a list of whole numbers of at least 0.
    pub(super) fn counts(&self, name: &'static str) -> Taken<Vec<f64>> {
        self.numbers_where(name, "a list of whole numbers of at least 0", |x| {
            x >= 0.0 && x.fract() == 0.0
        })
    }

    /// Reads a list of lists of finite numbers that pass `test`.
    pub(super) fn rows_where(
        &self,
        name: &'static str,
        expected: &str,
        test: impl Fn(f64) -> bool,
    ) -> Taken<Vec<Vec<f64>>> {
        let list = self
            .need(name, expected)?
            .as_array()
            .ok_or_else(|| self.refuse(name, expected))?;
        let path = Path::Field(&self.path, name);
        let row = |(idx, value): (usize, &Value)| {
            let path = Path::Item(&path, idx);
            let row = value.as_array().ok_or_else(|| refusal(&path, expected, value))?;
            let number = |(idx, value): (usize, &Value)| {
                Self::finite(value)
                    .filter(|x| test(*x))
                    .ok_or_else(|| refusal(&Path::Item(&path, idx), expected, value))
            };
            row.iter().enumerate().map(number).collect()
        };
        list.iter().enumerate().map(row).collect()
    }

    /// Reads an object with `take`, which must read all of its fields.
    pub(super) fn object<T>(&self, name: &'static str, take: impl Fn(&Fields<'_>) -> Taken<T>) -> Taken<T> {
        let fields = Fields::new(self.need(name, "an object")?, Path::Field(&self.path, name))?;
        let taken = take(&fields)?;
        fields.finish()?;
        Ok(taken)
    }

    /// Reads a list of objects with `take`, which must read all of their fields.
    pub(super) fn objects<T>(
        &self,
        name: &'static str,
        take: impl Fn(&Fields<'_>) -> Taken<T>,
    ) -> Taken<Vec<T>> {
        let list = self
            .need(name, "a list of objects")?
            .as_array()
            .ok_or_else(|| self.refuse(name, "a list of objects"))?;
        let path = Path::Field(&self.path, name);
        let item = |(idx, value): (usize, &Value)| {
            let fields = Fields::new(value, Path::Item(&path, idx))?;
            let taken = take(&fields)?;
            fields.finish()?;
            Ok(taken)
        };
        list.iter().enumerate().map(item).collect()
    }
}

fn refusal(path: &Path<'_>, expected: &str, found: &Value) -> Refusal {
    Refusal {
        place: path.text(),
        expected: expected.to_owned(),
        found: if found.is_null() {
            "nothing".to_owned()
        } else {
            short(&found.to_string())
        },
    }
}

/// The text of an input, shortened for an error.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_FOUND) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

//! Input fields of a calculation: each is taken from a JSON object together with what is expected
//! of it.

use serde_json::{Map, Value};
use std::cell::RefCell;

/// What is wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Path of the field: `control.n`.
    pub place: String,
    /// What was expected there.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// Result with a [`Refusal`].
pub(super) type Taken<T> = Result<T, Refusal>;

/// Longest piece of an input that an error repeats.
const MAX_FOUND: usize = 80;

/// An object whose fields are being taken.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// Where the object is; empty at the top.
    path: Path<'a>,
    /// Names that were asked for, to find those that nobody wanted.
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

/// Words of a choice and what they mean.
pub(super) type Words<T> = &'static [(&'static str, T)];

impl<'a> Fields<'a> {
    /// The fields of the whole input.
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

    /// Refuses names that nobody asked for: a misspelt option must not be lost.
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

    /// A refusal of a field.
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

    /// A number, or digits in a text: some writers keep decimals that way.
    fn finite(value: &Value) -> Option<f64> {
        let number = if let Value::String(text) = value {
            text.parse().ok()
        } else {
            value.as_f64()
        };
        number.filter(|number| number.is_finite())
    }

    /// A finite number that passes a test.
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

    /// A number, or a default.
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

    /// A finite number.
    pub(super) fn number(&self, name: &'static str) -> Taken<f64> {
        self.number_where(name, "a number", |_| true)
    }

    /// A finite number, or null.
    pub(super) fn nullable(&self, name: &'static str) -> Taken<Option<f64>> {
        if self.has(name) {
            self.number(name).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A number of 0 or more.
    pub(super) fn amount(&self, name: &'static str) -> Taken<f64> {
        self.number_where(name, "a number of at least 0", |x| x >= 0.0)
    }

    /// A number above 0.
    pub(super) fn positive(&self, name: &'static str) -> Taken<f64> {
        self.number_where(name, "a number above 0", |x| x > 0.0)
    }

    /// A whole number of 0 or more.
    pub(super) fn count(&self, name: &'static str) -> Taken<f64> {
        self.number_where(name, "a whole number of at least 0", |x| {
            x >= 0.0 && x.fract() == 0.0
        })
    }

    /// A number from 0 to 1.
    pub(super) fn share(&self, name: &'static str) -> Taken<f64> {
        self.number_where(name, "a number from 0 to 1", |x| (0.0..=1.0).contains(&x))
    }

    /// A number between 0 and 1, without the ends, or a default.
    pub(super) fn level_or(&self, name: &'static str, default: f64) -> Taken<f64> {
        self.number_or(name, default, "a number between 0 and 1", |x| x > 0.0 && x < 1.0)
    }

    /// The error level: .05 unless given.
    pub(super) fn alpha(&self) -> Taken<f64> {
        self.level_or("alpha", 0.05)
    }

    /// True or false, or a default.
    pub(super) fn flag_or(&self, name: &'static str, default: bool) -> Taken<bool> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.refuse(name, "true or false")),
        }
    }

    /// One of some words, or a default.
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

    /// A text.
    pub(super) fn text(&self, name: &'static str) -> Taken<&'a str> {
        self.need(name, "a text")?
            .as_str()
            .ok_or_else(|| self.refuse(name, "a text"))
    }

    /// The field as it is.
    pub(super) fn raw(&self, name: &'static str) -> Option<&'a Value> {
        self.get(name)
    }

    /// Finite numbers that pass a test.
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

    /// Finite numbers.
    pub(super) fn numbers(&self, name: &'static str) -> Taken<Vec<f64>> {
        self.numbers_where(name, "a list of numbers", |_| true)
    }

    /// Whole numbers of 0 or more.
    pub(super) fn counts(&self, name: &'static str) -> Taken<Vec<f64>> {
        self.numbers_where(name, "a list of whole numbers of at least 0", |x| {
            x >= 0.0 && x.fract() == 0.0
        })
    }

    /// Lists of finite numbers that pass a test.
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

    /// An object, and what is made of its fields; all of them must be asked for.
    pub(super) fn object<T>(&self, name: &'static str, take: impl Fn(&Fields<'_>) -> Taken<T>) -> Taken<T> {
        let fields = Fields::new(self.need(name, "an object")?, Path::Field(&self.path, name))?;
        let taken = take(&fields)?;
        fields.finish()?;
        Ok(taken)
    }

    /// A list of objects, and what is made of each.
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

/// A piece of an input, no longer than an error should be.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_FOUND) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

//! The input fields of a calculation, read from a JSON object. Each read states the expected form.

use std::borrow::Cow;
use std::cell::RefCell;

use crate::calc::input::{Input, Pairs};

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
/// The similarity (Jaro-Winkler, 0..=1) from which an unknown name is taken for a misspelled one.
const SIMILAR: f64 = 0.85;

/// An object whose fields are being read.
pub(super) struct Fields<'a> {
    pairs: Pairs<'a>,
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

    /// The path of a field of this object.
    fn with(&self, name: &str) -> String {
        match self.text() {
            path if path.is_empty() => short(name),
            path => format!("{path}.{}", short(name)),
        }
    }
}

/// The words of a choice with their meanings.
pub(super) type Words<T> = &'static [(&'static str, T)];

impl<'a> Fields<'a> {
    /// Starts reading the whole input.
    pub(super) fn top(input: Input<'a>) -> Taken<Self> {
        Self::new(input, Path::Top)
    }

    fn new(input: Input<'a>, path: Path<'a>) -> Taken<Self> {
        match input.fields() {
            Some(Ok(pairs)) => Ok(Self {
                pairs,
                path,
                asked: RefCell::new(Vec::with_capacity(8)),
            }),
            Some(Err(twice)) => Err(Refusal {
                place: path.with(&twice),
                expected: "each name once".to_owned(),
                found: format!("{} twice", short(&twice)),
            }),
            None => Err(refusal(&path, "an object", Some(input))),
        }
    }

    /// Refuses names that were never read, so that a misspelled option is not ignored.
    pub(super) fn finish(&self) -> Taken<()> {
        let Some(name) = self.unread().next() else {
            return Ok(());
        };
        let mut known = self.asked.borrow().clone();
        known.sort_unstable();
        known.dedup();
        let meant = nearest(name, known.iter().copied());
        let meant = meant.map_or_else(String::new, |meant| format!(" (did you mean {meant}?)"));
        Err(Refusal {
            place: self.path.with(name),
            expected: format!("only {}{meant}", known.join(", ")),
            found: short(name),
        })
    }

    /// The names that were not read so far.
    fn unread(&self) -> impl Iterator<Item = &str> {
        let asked = self.asked.borrow().clone();
        let names = self.pairs.iter().map(|(name, _)| name.as_ref());
        names.filter(move |name| !asked.contains(name))
    }

    fn find(&self, name: &str) -> Option<Input<'a>> {
        self.pairs
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, input)| *input)
    }

    fn get(&self, name: &'static str) -> Option<Input<'a>> {
        self.asked.borrow_mut().push(name);
        self.find(name).filter(|input| !input.is_null())
    }

    /// The field `id` as it is written. Batches pass it through; no function uses it.
    pub(super) fn id(&self) -> Option<Input<'a>> {
        self.asked.borrow_mut().push("id");
        self.find("id")
    }

    pub(super) fn has(&self, name: &'static str) -> bool {
        self.get(name).is_some()
    }

    /// Builds the refusal of a field.
    pub(super) fn refuse(&self, name: &'static str, expected: &str) -> Refusal {
        refusal(&Path::Field(&self.path, name), expected, self.find(name))
    }

    fn need(&self, name: &'static str, expected: &str) -> Taken<Input<'a>> {
        self.get(name).ok_or_else(|| Refusal {
            place: self.path.with(name),
            expected: expected.to_owned(),
            found: match self.misspelled() {
                Some(other) => format!("nothing (but an unknown {})", short(other)),
                None => "nothing".to_owned(),
            },
        })
    }

    /// A name that is unknown so far and similar to a known one.
    fn misspelled(&self) -> Option<&str> {
        let asked = self.asked.borrow().clone();
        self.unread()
            .find(|name| nearest(name, asked.iter().copied()).is_some())
    }

    /// Reads a finite number that passes `test`.
    pub(super) fn number_where(
        &self,
        name: &'static str,
        expected: &str,
        test: impl Fn(f64) -> bool,
    ) -> Taken<f64> {
        let value = self.need(name, expected)?;
        value
            .number()
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
            Some(value) => value.flag().ok_or_else(|| self.refuse(name, "true or false")),
        }
    }

    /// Reads one of some words, or returns `default` if the field is absent.
    pub(super) fn choice<T: Copy>(&self, name: &'static str, words: Words<T>, default: T) -> Taken<T> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        let found = value
            .text()
            .and_then(|text| words.iter().find(|(word, _)| *word == text));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(name, &format!("one of {}", names.join(", ")))
        })
    }

    /// Reads a text. A whole number counts as the text of its digits, as in tables.
    pub(super) fn text(&self, name: &'static str) -> Taken<Cow<'a, str>> {
        let expected = "a text or a whole number";
        let input = self.need(name, expected)?;
        text_of(input).ok_or_else(|| self.refuse(name, &quoted(expected, input)))
    }

    /// Reads a text; the empty text if the field is absent.
    pub(super) fn text_or_empty(&self, name: &'static str) -> Taken<Cow<'a, str>> {
        if self.has(name) {
            self.text(name)
        } else {
            Ok(Cow::Borrowed(""))
        }
    }

    /// Reads a list of texts. Whole numbers count as the texts of their digits.
    pub(super) fn texts(&self, name: &'static str) -> Taken<Vec<Cow<'a, str>>> {
        let expected = "a list of texts or whole numbers";
        let path = Path::Field(&self.path, name);
        let item = |(idx, input): (usize, Input<'a>)| {
            let refuse = || refusal(&Path::Item(&path, idx), &quoted(expected, input), Some(input));
            text_of(input).ok_or_else(refuse)
        };
        self.list(name, expected)?
            .into_iter()
            .enumerate()
            .map(item)
            .collect()
    }

    fn list(&self, name: &'static str, expected: &str) -> Taken<Vec<Input<'a>>> {
        self.need(name, expected)?
            .items()
            .ok_or_else(|| self.refuse(name, expected))
    }

    /// The field without conversion; `None` for null or an absent field.
    pub(super) fn raw(&self, name: &'static str) -> Option<Input<'a>> {
        self.get(name)
    }

    /// Reads a list of finite numbers that pass `test`.
    pub(super) fn numbers_where(
        &self,
        name: &'static str,
        expected: &str,
        test: impl Fn(f64) -> bool,
    ) -> Taken<Vec<f64>> {
        let list = self.list(name, expected)?;
        let path = Path::Field(&self.path, name);
        let numbers = list.into_iter().enumerate().map(|(idx, value)| {
            value
                .number()
                .filter(|x| test(*x))
                .ok_or_else(|| refusal(&Path::Item(&path, idx), expected, Some(value)))
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
        let list = self.list(name, expected)?;
        let path = Path::Field(&self.path, name);
        let row = |(idx, value): (usize, Input<'a>)| {
            let path = Path::Item(&path, idx);
            let row = value
                .items()
                .ok_or_else(|| refusal(&path, expected, Some(value)))?;
            let number = |(idx, value): (usize, Input<'a>)| {
                value
                    .number()
                    .filter(|x| test(*x))
                    .ok_or_else(|| refusal(&Path::Item(&path, idx), expected, Some(value)))
            };
            row.into_iter().enumerate().map(number).collect()
        };
        list.into_iter().enumerate().map(row).collect()
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
        let list = self.list(name, "a list of objects")?;
        let path = Path::Field(&self.path, name);
        let item = |(idx, value): (usize, Input<'a>)| {
            let fields = Fields::new(value, Path::Item(&path, idx))?;
            let taken = take(&fields)?;
            fields.finish()?;
            Ok(taken)
        };
        list.into_iter().enumerate().map(item).collect()
    }
}

fn refusal(path: &Path<'_>, expected: &str, found: Option<Input<'_>>) -> Refusal {
    Refusal {
        place: path.text(),
        expected: expected.to_owned(),
        found: match found.filter(|input| !input.is_null()) {
            Some(input) => short(input.source()),
            None => "nothing".to_owned(),
        },
    }
}

/// A text, or the digits of a whole number.
fn text_of(input: Input<'_>) -> Option<Cow<'_, str>> {
    if input.is_whole() && input.source() != "-0" {
        return Some(Cow::Borrowed(input.source()));
    }
    input.text()
}

/// The expected form, with the way to write a number as a text.
fn quoted(expected: &str, input: Input<'_>) -> String {
    if input.is_number() {
        format!(
            "{expected} (in quotes, \"{}\", it is a text)",
            short(input.source())
        )
    } else {
        expected.to_owned()
    }
}

/// The most similar of some names; `None` if none is similar.
fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let name = plain(name);
    names
        .map(|other| (strsim::jaro_winkler(&name, &plain(other)), other))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

/// The text of an input, shortened for an error.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_FOUND) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

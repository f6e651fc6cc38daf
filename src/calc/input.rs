//! The JSON text of one input, read on demand. The order of fields and all digits of numbers are
//! kept, and a field that is given twice is refused.

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The names and values of an object, in the order in which they are written.
pub(super) type Pairs<'a> = Vec<(Cow<'a, str>, Input<'a>)>;

/// A valid JSON value, as its text without blanks around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Input<'a>(&'a str);

impl<'a> Input<'a> {
    /// Takes a text, if it is JSON.
    pub(super) fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str::<&RawValue>(text).map(Self::from)
    }

    /// The text of the value, as it is written.
    pub(super) fn source(self) -> &'a str {
        self.0
    }

    fn starts_with(self, start: char) -> bool {
        self.0.starts_with(start)
    }

    pub(super) fn is_null(self) -> bool {
        self.starts_with('n')
    }

    pub(super) fn is_object(self) -> bool {
        self.starts_with('{')
    }

    pub(super) fn is_list(self) -> bool {
        self.starts_with('[')
    }

    pub(super) fn is_number(self) -> bool {
        self.starts_with('-') || self.0.as_bytes()[0].is_ascii_digit()
    }

    /// Whether the value is a number without fraction and exponent.
    pub(super) fn is_whole(self) -> bool {
        self.is_number() && !self.0.contains(['.', 'e', 'E'])
    }

    /// `true` or `false`; `None` for other values.
    pub(super) fn flag(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The finite number that a number or a text holds. Some programs write decimals as text.
    pub(super) fn number(self) -> Option<f64> {
        let number: f64 = if self.is_number() {
            self.0.parse().ok()?
        } else {
            self.text()?.parse().ok()?
        };
        number.is_finite().then_some(number)
    }

    /// The text of a JSON string; `None` for other values.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            serde_json::from_str(self.0).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    /// The items of a list; `None` for other values.
    pub(super) fn items(self) -> Option<Vec<Self>> {
        if !self.is_list() {
            return None;
        }
        let items: Vec<&RawValue> = serde_json::from_str(self.0).ok()?;
        Some(items.into_iter().map(Self::from).collect())
    }

    /// The fields of an object in their order, or the name of a field that is given twice. `None`
    /// for other values.
    pub(super) fn fields(self) -> Option<Result<Pairs<'a>, String>> {
        if !self.is_object() {
            return None;
        }
        let fields: Fields<'a> = serde_json::from_str(self.0).ok()?;
        let is_twice = |(idx, (name, _)): (usize, &(Cow<'a, str>, Input<'a>))| {
            fields.0[..idx]
                .iter()
                .any(|(other, _)| other == name)
                .then(|| name.to_string())
        };
        Some(match fields.0.iter().enumerate().find_map(is_twice) {
            Some(name) => Err(name),
            None => Ok(fields.0),
        })
    }

    /// The value as a tree. The order of fields is lost.
    pub(super) fn tree(self) -> Value {
        serde_json::from_str(self.0).unwrap_or_default()
    }
}

impl<'a> From<&'a RawValue> for Input<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Self(raw.get())
    }
}

struct Fields<'a>(Pairs<'a>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(8);
                while let Some(name) = map.next_key::<&RawValue>()? {
                    let name = Input::from(name)
                        .text()
                        .ok_or_else(|| A::Error::custom("a name"))?;
                    pairs.push((name, map.next_value::<&RawValue>()?.into()));
                }
                Ok(Fields(pairs))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_digits_are_kept() {
        let input =
            Input::parse(r#" {"b": 123456789012345678901234567890, "a\u0031": [1, "x"], "c": null} "#)
                .unwrap();
        let fields = input.fields().unwrap().unwrap();
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_ref()).collect();
        assert_eq!(names, ["b", "a1", "c"]);
        assert_eq!(fields[0].1.source(), "123456789012345678901234567890");
        assert!(fields[0].1.is_whole() && fields[2].1.is_null());
        assert_eq!(fields[1].1.items().unwrap()[1].text().unwrap(), "x");
        let twice = Input::parse(r#"{"a": 1, "\u0061": 2}"#).unwrap();
        assert_eq!(twice.fields(), Some(Err("a".to_owned())));
        for bad in ["", "{", "0123", "{\"a\": 1} x", "[1,]", "nan"] {
            assert!(Input::parse(bad).is_err(), "{bad}");
        }
    }
}

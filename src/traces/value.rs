//! Values of rows: JSON, Parquet and CSV alike.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

use crate::base::time::{self, Micros};

/// A value of a row. Texts are borrowed from the row where they can be.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Value<'a> {
    #[default]
    Null,
    Flag(bool),
    Int(i64),
    Real(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    /// Keys and values in their order.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

const NULL: Value<'static> = Value::Null;

impl<'a> Value<'a> {
    /// The value of a key. Null if this is no object, or has no such key.
    pub(super) fn get(&self, key: &str) -> &Value<'a> {
        self.find(key).unwrap_or(&NULL)
    }

    fn find(&self, key: &str) -> Option<&Value<'a>> {
        match self {
            Self::Map(entries) => entries
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text of a value that is not empty: of a text, a number or a flag.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) if text.is_empty() => None,
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Int(number) => Some(number.to_string().into()),
            Self::Real(number) if number.is_finite() => Some(number.to_string().into()),
            Self::Flag(flag) => Some(if *flag { "true" } else { "false" }.into()),
            _ => None,
        }
    }

    /// A whole number: also in a text, and a real number without a fraction.
    pub(super) fn whole(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Real(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
            Self::Text(text) => text.parse().ok().or_else(|| {
                let text = text.trim();
                let whole = text.parse().ok();
                whole.or_else(|| Self::Real(text.parse().ok()?).whole())
            }),
            _ => None,
        }
    }

    /// A finite number: also in a text.
    pub(super) fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Int(number) => *number as f64,
            Self::Real(number) => *number,
            Self::Text(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// A truth value: also as a text or a number.
    pub(super) fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Int(0) => Some(false),
            Self::Int(1) => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("true") || text == "1" => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") || text == "0" => Some(false),
            _ => None,
        }
    }

    /// An instant in microseconds, UTC: a text in any form that Sluice reads, without an offset in
    /// UTC; a number of seconds, milliseconds, microseconds or nanoseconds since 1970 by its size.
    pub(super) fn instant(&self) -> Option<Micros> {
        match self {
            Self::Int(number) => Some(micros_of(*number)),
            Self::Real(seconds) if seconds.is_finite() && seconds.abs() < 1e11 => {
                Some((seconds * 1e6).round() as i64)
            }
            Self::Real(number) if number.is_finite() && number.abs() < 9e18 => {
                Some(micros_of(*number as i64))
            }
            Self::Text(text) => time::parse(text).ok().or_else(|| match Self::number_in(text)? {
                Self::Text(_) => None,
                number => number.instant(),
            }),
            _ => None,
        }
    }

    fn number_in(text: &str) -> Option<Value<'static>> {
        let text = text.trim();
        let whole = text.parse().map(Value::Int).ok();
        whole.or_else(|| text.parse().map(Value::Real).ok())
    }

    /// The object or list that a text holds as JSON; other values as they are.
    pub(super) fn parsed(&self) -> Cow<'_, Value<'a>> {
        match self {
            Self::Text(text) if text.trim_start().starts_with(['{', '[', '"']) => {
                match serde_json::from_str::<Value<'_>>(text) {
                    Ok(value) => Cow::Owned(value.into_owned()),
                    Err(_) => Cow::Borrowed(self),
                }
            }
            _ => Cow::Borrowed(self),
        }
    }

    /// A copy that borrows nothing.
    pub(super) fn into_owned<'b>(self) -> Value<'b> {
        match self {
            Self::Null => Value::Null,
            Self::Flag(flag) => Value::Flag(flag),
            Self::Int(number) => Value::Int(number),
            Self::Real(number) => Value::Real(number),
            Self::Text(text) => Value::Text(text.into_owned().into()),
            Self::List(values) => Value::List(values.into_iter().map(Value::into_owned).collect()),
            Self::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (key.into_owned().into(), value.into_owned()))
                    .collect(),
            ),
        }
    }

    /// The value at a path such as `metadata.user.id`: keys with points are found as they are, and
    /// texts that hold JSON are opened. Null if there is none.
    pub(super) fn at(&self, path: &str) -> Value<'a> {
        if path.is_empty() {
            return self.clone();
        }
        if let Some(found) = self.find(path) {
            return found.clone();
        }
        match self {
            Self::Map(entries) => {
                let below = |key: &str| {
                    let rest = path.strip_prefix(key)?;
                    rest.strip_prefix('.')
                };
                entries
                    .iter()
                    .filter_map(|(key, value)| Some(value.at(below(key)?)))
                    .find(|found| !found.is_null())
                    .unwrap_or_default()
            }
            Self::List(values) => {
                let (step, rest) = path.split_once('.').unwrap_or((path, ""));
                let element = step.parse::<usize>().ok().and_then(|idx| values.get(idx));
                element.map(|element| element.at(rest)).unwrap_or_default()
            }
            Self::Text(_) => match self.parsed() {
                Cow::Owned(value) => value.at(path).into_owned(),
                Cow::Borrowed(_) => Value::Null,
            },
            _ => Value::Null,
        }
    }

    /// The keys of an object.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let entries: &[(Cow<'a, str>, Value<'a>)] = match self {
            Self::Map(entries) => entries,
            _ => &[],
        };
        entries.iter().map(|(key, _)| key.as_ref())
    }

    /// The keys and values of an object.
    pub(super) fn entries(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list.
    pub(super) fn elements(&self) -> &[Value<'a>] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }
}

/// Whether a text has nothing but space.
#[inline]
pub(super) fn is_blank(text: &str) -> bool {
    // Most texts begin with a letter or a digit.
    let is_plain = text.as_bytes().first().is_some_and(u8::is_ascii_graphic);
    !is_plain && text.trim().is_empty()
}

/// Microseconds from a count since 1970 whose unit its size shows.
fn micros_of(number: i64) -> Micros {
    match number.unsigned_abs() {
        0..100_000_000_000 => number * 1_000_000,
        100_000_000_000..100_000_000_000_000 => number * 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => number,
        _ => number.div_euclid(1_000),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Value::Real(number as f64), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Value::Real(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            entries.push((key.0, map.next_value()?));
        }
        Ok(Value::Map(entries))
    }
}

/// A text that is borrowed if it has no escapes.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(text.to_owned().into()))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Reads an object and keeps only some of its keys.
pub(super) struct Picked<'k>(pub(super) &'k dyn Fn(&str) -> bool);

impl<'de> DeserializeSeed<'de> for Picked<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Picked<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            if (self.0)(&key.0) {
                entries.push((key.0, map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn paths_go_through_keys_with_points_lists_and_json_texts() {
        let row = value(
            r#"{"a.b":1,"a":{"c":"2"},"m":"{\"user\":{\"id\":\"u-1\"},\"n\":null}","l":[{"x":true}],"e":""}"#,
        );
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(row.at(path).text().as_deref(), expected, "{path}");
        };
        check("a.b", Some("1"));
        check("a.c", Some("2"));
        check("m.user.id", Some("u-1"));
        check("m.n", None);
        check("m.user.id.more", None);
        check("l.0.x", Some("true"));
        check("l.1.x", None);
        check("e", None);
        check("none", None);
    }

    #[test]
    fn a_text_of_spaces_is_blank() {
        for (text, expected) in [
            ("", true),
            (" \t\u{a0}\u{3000}", true),
            (" a", false),
            ("a", false),
            ("用", false),
        ] {
            assert_eq!(is_blank(text), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_and_instants_are_read_from_texts_and_by_size() {
        assert_eq!(value("\"900\"").whole(), Some(900));
        assert_eq!(value("\"9e2\"").whole(), Some(900));
        assert_eq!(value("1.5").whole(), None);
        assert_eq!(value("\"nan\"").number(), None);
        let at = 1_779_926_400_000_000;
        for text in [
            "1779926400",
            "1779926400.0",
            "1779926400000",
            "1779926400000000",
            "1779926400000000000",
            "\"1779926400000000000\"",
            "\"2026-05-28 00:00:00.000000\"",
            "\"2026-05-28T00:00:00\"",
            "\"2026-05-28T00:00:00Z\"",
            "\"2026-05-28T08:00:00+08:00\"",
        ] {
            assert_eq!(value(text).instant(), Some(at), "{text}");
        }
        assert_eq!(value("\"soon\"").instant(), None);
        assert_eq!(value("{}").instant(), None);
    }
}

//! Values within a JSON text, found by a path. The text is scanned and not made into a tree, so its
//! depth and size need no memory.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A text that begins like an object or a list and is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoJson;

/// The text of a value: the content of a string, the digits of a number, `true` or `false`, and
/// objects and lists as JSON without blanks. `None` for null, and for an empty text.
///
/// # Errors
/// The value is no JSON.
pub(super) fn text_of(value: &str) -> Result<Option<Cow<'_, str>>, NoJson> {
    let value = value.trim_ascii();
    Ok(match value.bytes().next() {
        None => None,
        Some(b'"') => Some(parse::<Text<'_>>(value)?.0),
        Some(b'{' | b'[') => Some(compact(value)),
        Some(_) if value == "null" => None,
        Some(_) => Some(value.into()),
    })
}

/// The text of the value at a path. `None` if there is none, or it is null. See
/// [`nested::at_path`](crate::input::nested::at_path) for the steps of a path.
///
/// # Errors
/// The text begins like an object or a list and is no JSON.
pub(super) fn at<'a>(text: &'a str, path: &[&str]) -> Result<Option<Cow<'a, str>>, NoJson> {
    let text = text.trim_ascii();
    let Some(step) = path.first() else {
        return text_of(text);
    };
    match text.bytes().next() {
        Some(b'{') => {
            let keys = prefixes(path);
            let found = pick(text, &keys)?;
            for (value, key) in found.into_iter().zip(&keys) {
                if let Some(value) = value
                    && let Some(found) = at(value, &path[key.n_steps..])?
                {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
        Some(b'[') => {
            let elements = elements(text)?;
            match step.parse::<usize>() {
                Ok(idx) => elements
                    .get(idx)
                    .map_or(Ok(None), |element| at(element.get(), &path[1..])),
                Err(_) => in_pairs(&elements, path),
            }
        }
        _ => Ok(None),
    }
}

/// The number of elements of a list, or of entries of an object. `None` for another value.
///
/// # Errors
/// The text begins like an object or a list and is no JSON.
pub(super) fn length(text: &str) -> Result<Option<i64>, NoJson> {
    let text = text.trim_ascii();
    Ok(match text.bytes().next() {
        Some(b'[') => Some(elements(text)?.len() as i64),
        Some(b'{') => Some(pick_counted::<&str>(text, &[])?.1),
        _ => None,
    })
}

/// The number of elements of a list whose value at a path has a text. `None` for another value.
///
/// # Errors
/// The text begins like an object or a list and is no JSON.
pub(super) fn count_where(text: &str, path: &[&str], value: &str) -> Result<Option<i64>, NoJson> {
    let text = text.trim_ascii();
    if !text.starts_with('[') {
        return Ok(None);
    }
    let mut n = 0;
    for element in elements(text)? {
        if at(element.get(), path)?.as_deref() == Some(value) {
            n += 1;
        }
    }
    Ok(Some(n))
}

/// The value of the first pair of a list whose key is the path or its start, the longest key first.
/// A pair is a text `key:value` or `key=value`, or an object with `key` or `name`, and `value`.
fn in_pairs<'a>(elements: &[&'a RawValue], path: &[&str]) -> Result<Option<Cow<'a, str>>, NoJson> {
    for Prefix { key, n_steps } in &prefixes(path) {
        let n_steps = *n_steps;
        for element in elements {
            let found = match element.get().bytes().next() {
                Some(b'"') => {
                    let text = parse::<Text<'a>>(element.get())?.0;
                    match after_key(&text, key) {
                        Some(rest) if n_steps == path.len() => Some(Cow::Owned(rest.to_owned())),
                        Some(rest) => at(rest, &path[n_steps..])?.map(|found| Cow::Owned(found.into_owned())),
                        None => None,
                    }
                }
                Some(b'{') => {
                    let found = pick(element.get(), &PAIR)?;
                    let name = found[0].or(found[1]).map_or(Ok(None), text_of)?;
                    match found[2].filter(|_| name.as_deref() == Some(key.as_str())) {
                        Some(value) => at(value, &path[n_steps..])?,
                        None => None,
                    }
                }
                _ => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

/// The names of the fields of a pair: the first or the second holds its key, the last its value.
pub(super) const PAIR: [&str; 3] = ["key", "name", "value"];

/// The text after `key:` or `key=`. `None` if a text has another start.
pub(super) fn after_key<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.strip_prefix(key)?.strip_prefix([':', '='])
}

/// The start of a path as a key, which may have points.
pub(super) struct Prefix {
    pub(super) key: String,
    /// Number of steps of the path.
    pub(super) n_steps: usize,
}

impl AsRef<str> for Prefix {
    fn as_ref(&self) -> &str {
        &self.key
    }
}

/// The starts of a path as keys, the longest first: the path `a.b` has the keys `a.b` and `a`.
pub(super) fn prefixes(path: &[&str]) -> Vec<Prefix> {
    let steps = (1..=path.len()).rev();
    steps
        .map(|n_steps| Prefix {
            key: path[..n_steps].join("."),
            n_steps,
        })
        .collect()
}

/// A JSON value without the blanks between its parts.
fn compact(value: &str) -> Cow<'_, str> {
    let (mut in_text, mut is_escaped) = (false, false);
    let mut is_blank = |byte: u8| {
        if in_text {
            in_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            return false;
        }
        in_text = byte == b'"';
        byte.is_ascii_whitespace()
    };
    let blanks: Vec<usize> = (value.bytes().enumerate())
        .filter(|(_, byte)| is_blank(*byte))
        .map(|(at, _)| at)
        .collect();
    if blanks.is_empty() {
        return value.into();
    }
    let mut text = String::with_capacity(value.len() - blanks.len());
    let mut start = 0;
    for blank in blanks {
        text.push_str(&value[start..blank]);
        start = blank + 1;
    }
    text.push_str(&value[start..]);
    text.into()
}

fn elements(text: &str) -> Result<Vec<&RawValue>, NoJson> {
    parse(text)
}

/// The values of some keys of an object, as JSON, in the order of `keys`.
///
/// # Errors
/// The text is no object.
pub(super) fn pick<'a, K: AsRef<str>>(object: &'a str, keys: &[K]) -> Result<Vec<Option<&'a str>>, NoJson> {
    pick_counted(object, keys).map(|(values, _)| values)
}

fn pick_counted<'a, K: AsRef<str>>(
    object: &'a str,
    keys: &[K],
) -> Result<(Vec<Option<&'a str>>, i64), NoJson> {
    let mut deserializer = serde_json::Deserializer::from_str(object);
    let found = Pick(keys).deserialize(&mut deserializer).map_err(|_| NoJson)?;
    deserializer.end().map_err(|_| NoJson)?;
    Ok(found)
}

fn parse<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, NoJson> {
    serde_json::from_str(text).map_err(|_| NoJson)
}

/// A text, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads the values of some keys of an object, and counts its entries.
struct Pick<'k, K>(&'k [K]);

impl<'de, K: AsRef<str>> DeserializeSeed<'de> for Pick<'_, K> {
    type Value = (Vec<Option<&'de str>>, i64);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, K: AsRef<str>> Visitor<'de> for Pick<'_, K> {
    type Value = (Vec<Option<&'de str>>, i64);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut found = vec![None; self.0.len()];
        let mut n = 0;
        while let Some(Text(key)) = entries.next_key::<Text<'de>>()? {
            n += 1;
            match self.0.iter().position(|wanted| wanted.as_ref() == key) {
                Some(idx) => found[idx] = Some(entries.next_value::<&'de RawValue>()?.get()),
                None => _ = entries.next_value::<IgnoredAny>()?,
            }
        }
        Ok((found, n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_paths() {
        let check = |text: &str, path: &str, expected: Result<Option<&str>, NoJson>| {
            let path: Vec<&str> = path.split('.').filter(|step| !step.is_empty()).collect();
            let found = at(text, &path);
            let found = found
                .as_ref()
                .map(|found| found.as_deref())
                .map_err(|error| *error);
            assert_eq!(found, expected, "{text} at {path:?}");
        };
        check(r#"{"a":{"b":"x"}}"#, "a.b", Ok(Some("x")));
        check(r#"{"a":{"b":[1, {"c": 2}]}}"#, "a.b", Ok(Some(r#"[1,{"c":2}]"#)));
        check(r#"{"a":{"b":1.50}}"#, "a.b", Ok(Some("1.50")));
        check(r#"{"a":{"b":true}}"#, "a.b", Ok(Some("true")));
        check(r#"{"a":{"b":null}}"#, "a.b", Ok(None));
        check(r#"{"a":1}"#, "a.b", Ok(None));
        check(r#"{"a":1}"#, "b", Ok(None));
        check(r#"{"a.b":"x","a":{"b":"y"}}"#, "a.b", Ok(Some("x")));
        check(r#"{"a.b":{"c":"x"}}"#, "a.b.c", Ok(Some("x")));
        check(r#"{"a.b":null,"a":{"b":"y"}}"#, "a.b", Ok(Some("y")));
        check(r#"["x","y"]"#, "1", Ok(Some("y")));
        check(r#"["x","y"]"#, "2", Ok(None));
        check(r#"["env:prod","release:v2"]"#, "release", Ok(Some("v2")));
        check(r#"["release=v=2"]"#, "release", Ok(Some("v=2")));
        check(r#"["release\u003av\u00e4"]"#, "release", Ok(Some("vä")));
        check(r#"["released:v2"]"#, "release", Ok(None));
        check(r#"["a:{\"b\":7}"]"#, "a.b", Ok(Some("7")));
        check(r#"[{"key":"a.b","value":{"s":"x"}}]"#, "a.b.s", Ok(Some("x")));
        check(
            r#"[{"name":"a","value":1},{"name":"b","value":2}]"#,
            "b",
            Ok(Some("2")),
        );
        check("plain text", "a", Ok(None));
        check("", "a", Ok(None));
        check("7", "a", Ok(None));
        check(r#"{"a":"#, "a", Err(NoJson));
        check(r#"{"b":"#, "a", Err(NoJson));
        check(r#"{"a":1}x"#, "a", Err(NoJson));
        check("[1,", "0", Err(NoJson));
        check(r#" {"a" : "x y" } "#, "a", Ok(Some("x y")));
        check(
            r#" { "a" : [ "x \" y" , 1 ] } "#,
            "",
            Ok(Some(r#"{"a":["x \" y",1]}"#)),
        );
        check("用户", "", Ok(Some("用户")));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        check(&format!(r#"{{"a":{deep},"b":"x"}}"#), "b", Ok(Some("x")));
    }

    #[test]
    fn elements_are_counted() {
        let check = |text: &str, length_is: Option<i64>, tools: Option<i64>| {
            assert_eq!(length(text), Ok(length_is), "{text}");
            assert_eq!(count_where(text, &["type"], "tool"), Ok(tools), "{text}");
        };
        check(
            r#"[{"type":"tool"},{"type":"llm"},{"type":"tool"},3]"#,
            Some(4),
            Some(2),
        );
        check("[]", Some(0), Some(0));
        check(r#"{"a":1,"b":2}"#, Some(2), None);
        check("7", None, None);
        check("", None, None);
        assert_eq!(length("[1,"), Err(NoJson));
    }
}

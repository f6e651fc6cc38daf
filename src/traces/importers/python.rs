//! Texts of Python's objects, which tables that pandas wrote as CSV have in place of JSON.

use crate::traces::value::Value;

/// The value of a JSON text, or of the text of a Python object such as `{'user': None}`. Other values,
/// and texts that are neither, stay as they are.
pub(super) fn opened<'a>(value: &Value<'a>) -> Value<'a> {
    let parsed = value.parsed().into_owned();
    let Value::Text(text) = &parsed else {
        return parsed;
    };
    if !text.starts_with(['{', '[']) {
        return parsed;
    }
    let json = json_of(text).map(|json| Value::Text(json.into()));
    match json.map(|json| json.parsed().into_owned().into_owned()) {
        Some(Value::Text(_)) | None => parsed,
        Some(found) => found,
    }
}

/// The text of a Python object as JSON: its quotes, escapes, and the words `None`, `True` and `False`.
fn json_of(text: &str) -> Option<String> {
    let mut json = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '\'' | '"' => rest = string(&rest[1..], c, &mut json)?,
            c if c.is_ascii_alphabetic() => {
                let end = rest
                    .find(|c: char| !c.is_ascii_alphabetic())
                    .unwrap_or(rest.len());
                json.push_str(match &rest[..end] {
                    "None" | "nan" => "null",
                    "True" => "true",
                    "False" => "false",
                    // The exponent of a number.
                    "e" | "E" => "e",
                    _ => return None,
                });
                rest = &rest[end..];
            }
            c => {
                json.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Some(json)
}

/// Appends a string as JSON. Returns what follows it.
fn string<'t>(text: &'t str, quote: char, json: &mut String) -> Option<&'t str> {
    let mut plain = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            json.push_str(&serde_json::to_string(&plain).ok()?);
            return text.get(at + 1..);
        }
        if c != '\\' {
            plain.push(c);
            continue;
        }
        let n_digits = match chars.next()?.1 {
            'n' => {
                plain.push('\n');
                continue;
            }
            't' => {
                plain.push('\t');
                continue;
            }
            'r' => {
                plain.push('\r');
                continue;
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other => {
                plain.push(other);
                continue;
            }
        };
        let digits: String = chars.by_ref().take(n_digits).map(|(_, c)| c).collect();
        plain.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_python_are_read_like_json() {
        let check = |text: &str, path: &str, expected: Option<&str>| {
            let found = opened(&Value::Text(text.into()));
            assert_eq!(found.at(path).text().as_deref(), expected, "{text}");
        };
        check("{'a': {'b': 'x'}}", "a.b", Some("x"));
        check(r#"{"a": "x"}"#, "a", Some("x"));
        check(r#"{'a': "it's", 'b': 'a "word"'}"#, "a", Some("it's"));
        check(r#"{'a': "it's", 'b': 'a "word"'}"#, "b", Some("a \"word\""));
        check(r"{'a': 'tab\t\x41\u7528\\'}", "a", Some("tab\tA用\\"));
        check("{'a': None, 'b': True, 'c': 1e-05}", "a", None);
        check("{'a': None, 'b': True, 'c': 1e-05}", "b", Some("true"));
        check("{'a': None, 'b': True, 'c': 1e-05}", "c", Some("0.00001"));
        check("[{'a': 7}]", "0.a", Some("7"));
        for text in ["{'a': array([1])}", "{'a': 'open", "{'a'", "plain", "{'\\"] {
            assert_eq!(
                opened(&Value::Text(text.into())),
                Value::Text(text.into()),
                "{text}"
            );
        }
    }
}

//! Reads and writes JSON documents, also in canonical form (RFC 8785).

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::io::Write;
use std::path::Path;
use std::{fmt, io};

use crate::base::digest;
use crate::base::error::{Error, FileResult, Result};
use crate::base::files::write_file;
use crate::base::limits::{Limit, read_limited};

/// Writes a document as indented JSON with a final newline. Keys are in declaration order.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json(path: &Path, document: &impl Serialize) -> Result<()> {
    write_file(path, |file| write_to(file, document).or_unwritable(path))
}

/// Writes a document in the form of [`to_json`], piece by piece.
fn write_to(sink: &mut impl Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *sink, document)?;
    sink.write_all(b"\n")
}

/// The SHA-256 digest of a document's text, which [`digest::sha256_of`] gives for the text of
/// [`to_json`]. The text is not held in memory.
pub(crate) fn digest_of(document: &impl Serialize) -> String {
    // The digest begins with the length, so the document is written twice. Counting and hashing
    // cannot fail.
    let mut length = Counted(0);
    let _ = write_to(&mut length, document);
    let mut hasher = digest::PartHasher::new(length.0);
    let _ = write_to(&mut hasher, document);
    hasher.finish()
}

/// Counts the bytes that are written to it.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Formats a document as indented JSON with a final newline.
pub fn to_json(document: &impl Serialize) -> String {
    // Serializing these types fails only for map keys that are not strings, which they do not have.
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// Reads a JSON document that Sluice wrote.
///
/// # Errors
/// When the file cannot be read or is not such a document.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read_limited(path, Limit::Document)?;
    parse_document(&bytes, &path.display().to_string())
}

/// A document of Sluice, which names its format and version in the key `schema`.
pub trait Document: serde::de::DeserializeOwned {
    /// The format and version that this program reads, such as `sluice.analysis/1`.
    const SCHEMA: &'static str;
}

/// Reads a document of Sluice and checks that it has the format that is expected.
///
/// # Errors
/// When the file cannot be read, has another format or version, or is not such a document.
pub fn read_document<T: Document>(path: &Path) -> Result<T> {
    let bytes = read_limited(path, Limit::Document)?;
    check_schema::<T>(&bytes, &path.display().to_string())?;
    parse_document(&bytes, &path.display().to_string())
}

/// Checks the key `schema` of a document.
///
/// # Errors
/// When the bytes are not a JSON object with the expected schema.
fn check_schema<T: Document>(bytes: &[u8], location: &str) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Header {
        #[serde(default)]
        schema: Option<String>,
    }
    let header: Header = parse_document(bytes, location)?;
    let found = match header.schema.as_deref() {
        Some(schema) if schema == T::SCHEMA => return Ok(()),
        Some(schema) => format!("`{schema}`"),
        None => "a document without `schema`".to_owned(),
    };
    let is_version = found.split('/').next() == format!("`{}", T::SCHEMA).split('/').next();
    let error = Error::input(
        location,
        format!("expected a document of schema `{}`, found {found}", T::SCHEMA),
    );
    Err(error.hint(if is_version {
        "another version of sluice wrote it: make it anew with this one"
    } else {
        "name the file of this kind"
    }))
}

/// Parses a JSON document that Sluice wrote. `location` names it in errors.
///
/// # Errors
/// When the bytes are not such a document.
pub(crate) fn parse_document<T: serde::de::DeserializeOwned>(bytes: &[u8], location: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::input(
            location,
            format!(
                "expected a document of Sluice {}, found: {error}",
                env!("CARGO_PKG_VERSION")
            ),
        )
    })
}

/// A JSON value without repeated keys. Two readers could read `{"a": 1, "a": 2}` as two different
/// documents with the same digest.
pub(crate) struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

/// Builds a [`Strict`] value. It refuses repeated keys, and numbers outside of double precision.
pub(crate) struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> std::result::Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number beyond double precision"))
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("a repeated key `{key}`")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// JSON with another value in place of the numbers NaN, Infinity and -Infinity, which Python writes
/// and JSON does not have; `None` if there is none outside of texts.
pub(crate) fn replace_nan(bytes: &[u8], by: &[u8]) -> Option<Vec<u8>> {
    const NAMES: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let mut out = Vec::new();
    let (mut is_text, mut from, mut idx) = (false, 0, 0);
    while idx < bytes.len() {
        match bytes[idx] {
            b'"' => is_text = !is_text,
            b'\\' if is_text => idx += 1,
            b'N' | b'I' | b'-' if !is_text => {
                if let Some(name) = NAMES.iter().find(|name| bytes[idx..].starts_with(name)) {
                    out.extend_from_slice(&bytes[from..idx]);
                    out.extend_from_slice(by);
                    idx += name.len();
                    from = idx;
                    continue;
                }
            }
            _ => {}
        }
        idx += 1;
    }
    (from > 0).then(|| {
        out.extend_from_slice(&bytes[from..]);
        out
    })
}

/// Refuses a JSON text whose values would need more memory than [`Limit::JsonMemory`]. The estimate
/// is that of the largest form: 700 bytes an object, 40 bytes any other value. Texts count as they
/// are.
///
/// # Errors
/// The text needs more memory. Texts that are no JSON are left to the parser.
pub(crate) fn check_memory(location: &str, bytes: &[u8]) -> Result<()> {
    const OBJECT: u64 = 700;
    const VALUE: u64 = 40;
    let limit = Limit::JsonMemory.value();
    // Two bytes make at most one object.
    if bytes.len() as u64 / 2 * OBJECT <= limit {
        return Ok(());
    }
    let (mut n_objects, mut n_values) = (0_u64, 0_u64);
    let mut is_text = false;
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => is_text = !is_text,
            b'\\' if is_text => _ = rest.next(),
            b'{' if !is_text => n_objects += 1,
            b'[' | b',' if !is_text => n_values += 1,
            _ => {}
        }
    }
    let needed = n_objects * OBJECT + n_values * VALUE + bytes.len() as u64;
    Limit::JsonMemory.check(location, needed)
}

/// Parses JSON and refuses objects with a repeated key. `location` names the file in errors.
///
/// # Errors
/// When the bytes are not exactly one JSON value without repeated keys.
pub fn parse_json(location: &str, bytes: &[u8]) -> Result<Value> {
    // Files of other systems sometimes start with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    check_memory(location, bytes)?;
    let strict: Strict = serde_json::from_slice(bytes)
        .map_err(|error| Error::input(location.to_owned(), format!("expected JSON, found {error}")))?;
    Ok(strict.0)
}

/// Parses JSON like [`parse_json`], and refuses whole numbers of more than 64 bits. A reader would
/// round them silently.
///
/// # Errors
/// As [`parse_json`], and when a whole number does not fit in 64 bits.
pub(crate) fn parse_exact_json(location: &str, bytes: &[u8]) -> Result<Value> {
    let value = parse_json(location, bytes)?;
    match oversized_integer(bytes) {
        None => Ok(value),
        Some(number) => Err(Error::input(
            location.to_owned(),
            format!("expected whole numbers of at most 64 bits, found {number}"),
        )
        .hint("write it as text, in quotes")),
    }
}

/// Finds a whole number that does not fit in 64 bits. A reader would round it silently.
fn oversized_integer(json: &[u8]) -> Option<&str> {
    let mut idx = 0;
    while idx < json.len() {
        let start = idx;
        idx += 1;
        match json[start] {
            b'"' => {
                while idx < json.len() && json[idx] != b'"' {
                    idx += if json[idx] == b'\\' { 2 } else { 1 };
                }
                idx += 1;
            }
            b'-' | b'0'..=b'9' => {
                let is_in_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                let rest = json[idx..].iter().position(|byte| !is_in_number(byte));
                idx = rest.map_or(json.len(), |len| idx + len);
                let number = std::str::from_utf8(&json[start..idx]).unwrap_or_default();
                let is_whole = !number.contains(['.', 'e', 'E']);
                if is_whole && number.parse::<u64>().is_err() && number.parse::<i64>().is_err() {
                    return Some(number);
                }
            }
            _ => {}
        }
    }
    None
}

/// The largest whole number that every reader of JSON takes exactly, 2^53 - 1.
const MAX_EXACT: u64 = (1 << 53) - 1;

/// Finds a whole number that has no canonical form of its own: in double precision it is the same
/// as its neighbor.
fn inexact_integer(value: &Value) -> Option<&Number> {
    match value {
        Value::Number(number) => {
            let is_exact = number.is_f64()
                || number.as_u64().is_some_and(|n| n <= MAX_EXACT)
                || number.as_i64().is_some_and(|n| n.unsigned_abs() <= MAX_EXACT);
            (!is_exact).then_some(number)
        }
        Value::Array(items) => items.iter().find_map(inexact_integer),
        Value::Object(fields) => fields.values().find_map(inexact_integer),
        _ => None,
    }
}

/// The canonical form (RFC 8785) of a value, and its digest as `sha256:<hex>`. The hexadecimal
/// digits are those of `sha256sum`.
///
/// # Errors
/// When the value has no canonical form.
pub fn canonical(location: &str, value: &Value) -> Result<(Vec<u8>, String)> {
    let bytes = serde_json_canonicalizer::to_vec(value).map_err(|error| {
        Error::input(
            location.to_owned(),
            format!("expected JSON with a canonical form, found: {error}"),
        )
    })?;
    let digest = digest::sha256_of_bytes(&bytes);
    Ok((bytes, digest))
}

/// The digest of [`canonical`], for documents of which no two may share a digest.
///
/// # Errors
/// When the value has a whole number beyond 2^53 - 1: in double precision it equals its neighbor,
/// so that two documents would have one digest.
pub(crate) fn exact_digest(location: &str, value: &Value) -> Result<String> {
    if let Some(number) = inexact_integer(value) {
        return Err(Error::input(
            location.to_owned(),
            format!("expected whole numbers from -(2^53 - 1) to 2^53 - 1, found {number}"),
        )
        .hint("larger numbers are not exact in JSON: write it as text, in quotes"));
    }
    Ok(canonical(location, value)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_outside_of_texts_is_replaced() {
        let check = |json: &str, expected: Option<&str>| {
            let found = replace_nan(json.as_bytes(), b"null").map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(found.as_deref(), expected, "{json}");
        };
        check("{\"a\": 1}", None);
        check("{\"a\": NaN}", Some("{\"a\": null}"));
        check("[NaN,-Infinity,Infinity]", Some("[null,null,null]"));
        check("{\"NaN\": \"Infinity \\\" NaN\", \"b\": -1}", None);
        check("\"\\", None);
    }

    #[test]
    fn a_key_twice_is_refused_at_any_depth() {
        assert!(parse_json("r", br#"{"a": {"b": [1, {"c": 1, "d": 2}]}}"#).is_ok());
        let error = parse_json("r", br#"{"a": {"b": [1, {"c": 1, "c": 2}]}}"#).unwrap_err();
        assert!(error.to_string().contains("a repeated key `c`"), "{error}");
        // Input that is nested too deeply is refused before it overflows the stack.
        assert!(parse_json("r", "[".repeat(1_000_000).as_bytes()).is_err());
        assert!(parse_json("r", b"1e999").is_err());
    }

    #[test]
    fn a_short_text_of_many_values_is_refused_before_it_is_parsed() {
        let check = |item: &str, n: usize, is_refused: bool| {
            let text = format!("[{}{item}]", format!("{item},").repeat(n));
            let found = check_memory("r", text.as_bytes()).is_err();
            assert_eq!(found, is_refused, "{n} times {item}");
        };
        check(r#"{"":0}"#, 1_200_000, true);
        check(r#"{"":0}"#, 1_000_000, false);
        check("0", 20_000_000, true);
        // Brackets within texts are no values.
        check(r#""{{{{{{{{{{{{{{{{[,\",,,{""#, 1_000_000, false);
    }

    #[test]
    fn numbers_that_readers_round_have_no_digest() {
        let check = |number: &str, expected: bool| {
            let text = format!(r#"{{"a": ["-1e3", {{"max_tokens": {number}}}]}}"#);
            let found = parse_exact_json("r", text.as_bytes()).and_then(|value| exact_digest("r", &value));
            assert_eq!(found.is_ok(), expected, "{number}");
        };
        for exact in [
            "0",
            "-1",
            "9007199254740991",
            "-9007199254740991",
            "1e30",
            "0.1",
            "4.50",
            "-2E-3",
        ] {
            check(exact, true);
        }
        let inexact = [
            "9007199254740992",
            "9007199254740993",
            "-9007199254740992",
            "9223372036854775807",
        ];
        for number in inexact
            .into_iter()
            .chain(["18446744073709551616", "-99999999999999999999"])
        {
            check(number, false);
        }
    }

    #[test]
    fn the_canonical_form_is_that_of_rfc_8785() {
        // The RFC's own example (section 3.2.2), with escapes and numbers.
        let text = r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#;
        let (bytes, _) = canonical("r", &parse_json("r", text.as_bytes()).unwrap()).unwrap();
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                        \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}

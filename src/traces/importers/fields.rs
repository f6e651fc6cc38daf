//! What the importers of rows read alike: ids, times, tokens, amounts, identities in metadata and tags.

use std::borrow::Cow;

use crate::traces::attributes::METADATA;
use crate::traces::importers::importer::{RowFault, wrong};
use crate::traces::record::{Field, NAMED, Nanos, Span};
use crate::traces::settings::Settings;
use crate::traces::sink::{Sink, nanos, pico_usd, text_of};
use crate::traces::value::{Value, is_blank};

/// Names before the point of a tag such as `release:r7`.
const TAGS: [(&str, Field); 7] = [
    ("release_id", Field::Release),
    ("release", Field::Release),
    ("tenant_id", Field::Tenant),
    ("tenant", Field::Tenant),
    ("feature", Field::Feature),
    ("user_layer", Field::Layer),
    ("layer", Field::Layer),
];

/// Longest name of an error's class.
const MAX_CLASS: usize = 80;

/// Whether a value says nothing: null, or an empty text.
pub(super) fn is_absent(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => is_blank(text),
        _ => false,
    }
}

/// An id that a row must have.
///
/// # Errors
/// There is none, or it is an object or a list.
pub(super) fn id_of<'a>(key: &str, value: &Value<'a>) -> Result<Cow<'a, str>, RowFault> {
    text_of(value).ok_or_else(|| wrong(key, "an id", value))
}

/// The id that the first of these keys has.
pub(super) fn first_id<'a>(row: &Value<'a>, keys: &[&str]) -> Result<Cow<'a, str>, RowFault> {
    let found = keys.iter().find_map(|key| text_of(row.get(key)));
    let key = keys.first().copied().unwrap_or_default();
    found.ok_or_else(|| wrong(key, "an id", row.get(key)))
}

/// An id that a row may have. Empty for none.
///
/// # Errors
/// It is an object or a list.
pub(super) fn optional_id<'a>(key: &str, value: &Value<'a>) -> Result<Cow<'a, str>, RowFault> {
    if is_absent(value) {
        return Ok("".into());
    }
    id_of(key, value)
}

/// An instant, in any unit.
///
/// # Errors
/// The value is no time.
pub(super) fn time_of(key: &str, value: &Value<'_>) -> Result<Option<Nanos>, RowFault> {
    read_optional(value, |value| value.instant().map(nanos)).ok_or_else(|| wrong(key, "a time", value))
}

/// A number of tokens.
///
/// # Errors
/// The value is no whole number, or is negative.
pub(super) fn count_of(key: &str, value: &Value<'_>) -> Result<Option<i64>, RowFault> {
    let tokens = |value: &Value<'_>| value.whole().filter(|tokens| *tokens >= 0);
    read_optional(value, tokens).ok_or_else(|| wrong(key, "a number of tokens, 0 or more", value))
}

/// An amount of USD, in pico-USD.
///
/// # Errors
/// The value is no amount: a text without a number, or a negative number.
pub(super) fn cost_of(key: &str, value: &Value<'_>) -> Result<Option<i64>, RowFault> {
    read_optional(value, |value| value.number().and_then(pico_usd))
        .ok_or_else(|| wrong(key, "an amount of USD, 0 or more", value))
}

/// `None` for a value that cannot be read, and `Some(None)` for a missing one.
fn read_optional<T>(value: &Value<'_>, read: impl Fn(&Value<'_>) -> Option<T>) -> Option<Option<T>> {
    if is_absent(value) {
        return Some(None);
    }
    read(value).map(Some)
}

/// The first value, or the second if the first is missing.
pub(super) fn either<'v, 'a>(first: &'v Value<'a>, second: &'v Value<'a>) -> &'v Value<'a> {
    if is_absent(first) { second } else { first }
}

/// Adds the identities of an object of metadata, or of its JSON text. Their ranks begin at `rank`.
pub(super) fn put_metadata<'a>(span: &mut Span<'a>, metadata: &Value<'a>, rank: u8) {
    let metadata = metadata.parsed();
    for (key, field, below) in METADATA {
        put(span, field, rank - 1 + below, metadata.get(key));
    }
}

/// Adds the texts of tags such as `release:r7`. Tags without a name say nothing certain. The ranks
/// from `rank` to `rank + 6` are used.
pub(super) fn put_tags(span: &mut Span<'_>, tags: &Value<'_>, rank: u8) {
    for tag in tags.parsed().elements() {
        let Some(tag) = text_of(tag) else { continue };
        let Some((name, text)) = tag.split_once([':', '=']) else {
            continue;
        };
        for (rank, (known, field)) in (rank..).zip(TAGS) {
            if name.trim() == known {
                span.put(field, rank, text.trim().to_owned());
            }
        }
    }
}

/// Adds a text, if the value has one.
pub(super) fn put<'a>(span: &mut Span<'a>, field: Field, rank: u8, value: &Value<'a>) {
    if let Some(text) = text_of(value) {
        span.put(field, rank, text);
    }
}

/// Adds the texts of the columns that the source names by their paths in a row.
pub(super) fn put_named<'a>(span: &mut Span<'a>, row: &Value<'a>, settings: &Settings) {
    for named in &settings.named {
        put(span, named.field, NAMED, &row.at(&named.path));
    }
}

/// Notes the keys of a row, if they are wanted.
pub(super) fn note_keys(sink: &mut Sink<'_>, row: &Value<'_>) {
    if sink.notes_keys {
        for key in row.keys() {
            sink.coverage.note_key(key);
            for inner in row.get(key).parsed().keys() {
                sink.coverage.note_key(&format!("{key}.{inner}"));
            }
        }
    }
}

/// The class of an error in its message: `TimeoutError` of `TimeoutError()Traceback ...`. `None` for
/// a message that begins with another text.
pub(super) fn error_class(message: &str) -> Option<&str> {
    let message = message.trim_start();
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let end = message.find(|c: char| !is_of_name(c)).unwrap_or(message.len());
    let is_ended = matches!(message[end..].chars().next(), None | Some('(' | ':'));
    (is_ended && (1..=MAX_CLASS).contains(&end)).then_some(&message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_metadata_are_read_by_known_names_only() {
        let row: Value<'_> = serde_json::from_str(
            r#"{"tags":"[\"release:r7\",\"tenant=t1\",\"r9\",\"x:y\"]","metadata":"{\"layer\":\"l2\",\"user_layer\":\"l1\",\"thread_id\":7,\"feature\":\" \"}"}"#,
        )
        .unwrap();
        let mut span = Span::default();
        put_metadata(&mut span, row.get("metadata"), 1);
        put_tags(&mut span, row.get("tags"), 20);
        let check =
            |field: Field, expected: Option<&str>| assert_eq!(span.text(field), expected, "{field:?}");
        check(Field::Release, Some("r7"));
        check(Field::Tenant, Some("t1"));
        check(Field::Layer, Some("l1"));
        check(Field::Session, Some("7"));
        check(Field::Feature, None);
        check(Field::User, None);
    }

    #[test]
    fn classes_of_errors_are_names_and_no_sentences() {
        let check = |message: &str, expected: Option<&str>| {
            assert_eq!(error_class(message), expected, "{message}");
        };
        check(
            "TimeoutError()Traceback (most recent call last)",
            Some("TimeoutError"),
        );
        check("openai.RateLimitError: 429", Some("openai.RateLimitError"));
        check("ValueError", Some("ValueError"));
        check("the user u-1001 has no order: 7", None);
        check("", None);
        check(": no name", None);
        check("用: x", None);
        check(&"x".repeat(81), None);
    }

    #[test]
    fn missing_values_are_none_and_wrong_ones_are_faults() {
        let value = |text: &str| Value::Text(text.to_owned().into());
        let map = Value::Map(Vec::new());
        assert_eq!(count_of("n", &Value::Null).unwrap(), None);
        assert_eq!(count_of("n", &value(" ")).unwrap(), None);
        assert_eq!(count_of("n", &value("900")).unwrap(), Some(900));
        assert!(count_of("n", &value("many")).is_err());
        assert_eq!(cost_of("c", &value("0.000207")).unwrap(), Some(207_000_000));
        assert!(cost_of("c", &Value::Real(-0.1)).is_err());
        assert!(time_of("t", &value("soon")).is_err());
        assert!(time_of("t", &map).is_err());
        assert_eq!(optional_id("p", &value("")).unwrap(), "");
        assert!(optional_id("p", &map).is_err());
        assert!(id_of("id", &Value::Null).is_err());
    }
}

use rand::{Rng, RngExt, SeedableRng};
use std::collections::BTreeMap;

use super::*;
use crate::scenario::TraceSource;
use crate::traces::attributes::{NamedKeys, says_is_error};
use crate::traces::importers::otlp_document::parse;
use crate::traces::settings::Settings;

/// Documents of all forms that the general reader knows, and with its faults.
const DOCUMENTS: &[&str] = &[
    "{}",
    "[]",
    "null",
    "{\"resourceSpans\":null}",
    "{\"resourceSpans\":{}}",
    "{\"resourceSpans\":[{}],\"more\":[{\"a\":[1,2,{\"b\":null}]}]}",
    r#"{"resourceSpans":[{"resource":null}]}"#,
    r#"{"resourceSpans":[{"resource":{"attributes":null}}]}"#,
    r#"{"resource_spans":[{"scope_spans":[{"spans":[{"trace_id":"a","span_id":1,"parent_span_id":null}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"status":null}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"status":{"code":2},"traceId":"\u0041","endTimeUnixNano":-0}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"status":{"code":"STATUS_CODE_ERROR"},"traceId":{"a":[1e2]}}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":18446744073709551616,"endTimeUnixNano":1e309}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":-9223372036854775808,"endTimeUnixNano":9223372036854775808}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"user.id","value":{"stringValue":"a"}},{"key":"user.id"},{"value":{"intValue":"1"}},{}]}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"value":{"intValue":"12"},"key":"user.id"},{"key":"none","value":{"intValue":"1"}}]}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"user.id","value":null},{"key":"user.id","value":{}},{"key":"user.id","value":[1]}]}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"none","value":{"a":1},"key":"user.id"},{"key":"user.id","value":1,"key":"none"}]}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"metadata","value":{"kvlistValue":{"values":[{"key":"user_id","value":{"stringValue":"u"}},1]}}}]}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"metadata","value":{"arrayValue":{"values":[{"intValue":1},{"boolValue":true}]}}},{"key":"cost_usd","value":{"doubleValue":0.25,"intValue":"7"}}]}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"user\u002eid","value":{"string\u0056alue":"a"}},{"key":"user.id","value":{"stringValue":"\ud800"}}]}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"user\u002eid","value":{"string\u0056alue":"a"}}]}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":7,"value":{"stringValue":"a"}}]}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"a.evaluations.0.name","value":{"stringValue":"\"q\"\n"}}]}],"spans":[{"events":[{"name":"e","timeUnixNano":"5","attributes":[{"key":"a","value":{}}]}]}]}]}]}"#,
    r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},"resource":{"attributes":[{"key":"service.version","value":{"stringValue":"用户"}}]},"scopeSpans":[{"spans":[{}]}],"scopeSpans":[{"spans":[{},{}]}]}]}"#,
    r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","eventName":"gen_ai.evaluation.result","traceId":"A","spanId":"b","attributes":[{"key":"gen_ai.evaluation.name","value":{"stringValue":"csat"}}]}]}]}]}"#,
    r#" { "resourceSpans" : [ { "scopeSpans" : [ { "spans" : [ { "traceId" : "a" , "attributes" : [ { "key" : "user.id" , "value" : { "stringValue" : "u" } } ] } ] } ] } ] } "#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"output.value","value":{"stringValue":"{\"a\":\"\n\"}"}},{"key":"output.value","value":{"stringValue":"{\"isError\":true}"}}]}]}]}]}"#,
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"output.value","value":{"stringValue":"{\"is\u0045rror\":true}"}},{"key":"output.value","value":{"intValue":"5"}}]}]}]}]}"#,
    r#"{"resourceSpans":[]}x"#,
    r#"{"resourceSpans":[]"#,
];

/// Pieces that a mutant has somewhere.
const PIECES: &[&str] = &[
    "null",
    "{}",
    "[]",
    "-1",
    "-0",
    "1e309",
    "\"x\"",
    "true",
    "\"\\ud800\"",
    "[[",
    "NaN",
    "用",
    "\"\"",
    ",",
    ":",
    "\\",
    "\"",
    "\t",
    " ",
    "}",
    "]",
    "\"key\":\"user.id\",",
    "\"value\":{\"stringValue\":\"v\"}",
    "99999999999999999999",
];

fn keys() -> NamedKeys {
    let columns = BTreeMap::from([("plan".to_owned(), "metadata.tenant_id".to_owned())]);
    NamedKeys::new(&Settings::new(&columns, &TraceSource::default()).unwrap())
}

/// Shortens the results of tools, which the fast reader does not read unless they may say that one failed.
fn shorten(span: &mut RawSpan<'_>) {
    for attribute in span
        .attributes
        .iter_mut()
        .filter(|attribute| attribute.wanted == Some(RESULT))
    {
        attribute.value = Value::Flag(says_is_error(&attribute.value));
    }
}

/// What the fast reader reads, the general reader reads alike.
fn check(text: &[u8], keys: &NamedKeys) -> bool {
    let mut is_scanned = true;
    for notes_keys in [false, true] {
        let reading = Reading { keys, notes_keys };
        let Some(mut found) = scan(text, reading, "") else {
            is_scanned = false;
            continue;
        };
        found.resources.iter_mut().for_each(|resource| {
            resource.written = None;
            resource.spans.iter_mut().for_each(shorten);
        });
        let mut expected = parse(text, reading);
        if let Ok(expected) = &mut expected {
            expected
                .resources
                .iter_mut()
                .flat_map(|resource| &mut resource.spans)
                .for_each(shorten);
        }
        assert_eq!(Some(found), expected.ok(), "{}", String::from_utf8_lossy(text));
    }
    is_scanned
}

#[test]
fn both_readers_agree() {
    let keys = keys();
    let is_scanned = |text: &&&str| check(text.as_bytes(), &keys);
    let n_scanned = DOCUMENTS.iter().filter(is_scanned).count();
    let reading = Reading {
        keys: &keys,
        notes_keys: false,
    };
    let n_read = DOCUMENTS
        .iter()
        .filter(|text| parse(text.as_bytes(), reading).is_ok())
        .count();
    // The general reader reads one more: its kind of a value has an escape.
    assert_eq!((n_scanned, n_read), (20, 21));
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut n_scanned = 0;
    for _ in 0..40_000 {
        let mut text = DOCUMENTS[rng.random_range(0..DOCUMENTS.len())]
            .as_bytes()
            .to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..=text.len());
            let end = (at + rng.random_range(0..12)).min(text.len());
            let piece = PIECES[rng.random_range(0..PIECES.len())].as_bytes();
            match rng.random_range(0..4) {
                0 => drop(text.splice(at..at, piece.iter().copied())),
                1 => drop(text.splice(at..end, piece.iter().copied())),
                2 => drop(text.drain(at..end)),
                _ if at < text.len() => text[at] = (rng.next_u32() & 0xff) as u8,
                _ => {}
            }
        }
        n_scanned += u32::from(check(&text, &keys));
    }
    assert!(n_scanned > 2_000, "{n_scanned}");
}

#[test]
fn a_known_resource_is_not_read_again() {
    let keys = keys();
    let read = |text: &str, known: &str, notes_keys: bool| {
        let reading = Reading {
            keys: &keys,
            notes_keys,
        };
        let document = scan(text.as_bytes(), reading, known).unwrap();
        let found = document.resources.iter();
        found
            .map(|resource| {
                (
                    resource.is_known,
                    resource.attributes.len(),
                    resource.written.map(str::to_owned),
                )
            })
            .collect::<Vec<_>>()
    };
    let one = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]}"#;
    let other = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"b"}}]}"#;
    let text = format!(r#"{{"resourceSpans":[{{"resource":{one}}},{{"resource": {other} }}]}}"#);
    let read_of = |written: &str| (false, 1, Some(written.to_owned()));
    assert_eq!(read(&text, "", false), [read_of(one), read_of(other)]);
    assert_eq!(read(&text, one, false), [(true, 0, None), read_of(other)]);
    assert_eq!(read(&text, other, false), [read_of(one), (true, 0, None)]);
    assert_eq!(read(&text, one, true), [read_of(one), read_of(other)]);
    // Of two resources the last counts.
    let text = format!(r#"{{"resourceSpans":[{{"resource":{one},"resource":{other}}}]}}"#);
    assert_eq!(read(&text, one, false), [read_of(other)]);
    assert_eq!(read(&text, other, false), [(true, 0, Some(one.to_owned()))]);
}

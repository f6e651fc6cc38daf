//! The names of Langfuse's public API, `traceId` and its kin, as those of its exports: `trace_id`.

use std::borrow::Cow;

use crate::traces::importers::fields::is_absent;
use crate::traces::value::Value;

/// Names of the API that are other words in the exports.
const OTHERS: [(&str, &str); 2] = [
    ("model", "provided_model_name"),
    ("calculated_total_cost", "total_cost"),
];

/// Keys by which a row of the API is known. Rows of exports have none of them.
const OF_API: [&str; 8] = [
    "traceId",
    "startTime",
    "userId",
    "sessionId",
    "projectId",
    "htmlPath",
    "createdAt",
    "updatedAt",
];

/// Whether a row has a key under the name of the exports or of the API.
pub(super) fn has_either(has: &dyn Fn(&str) -> bool, key: &str) -> bool {
    has(key) || has(&in_api(key))
}

/// `trace_id` as `traceId`.
fn in_api(name: &str) -> String {
    let mut is_after_line = false;
    let mut changed = String::with_capacity(name.len());
    for c in name.chars() {
        match (c, is_after_line) {
            ('_', _) => is_after_line = true,
            (c, true) => {
                changed.push(c.to_ascii_uppercase());
                is_after_line = false;
            }
            (c, false) => changed.push(c),
        }
    }
    changed
}

/// `traceId` as `trace_id`.
fn in_exports(name: &str) -> String {
    let mut changed = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            changed.push('_');
        }
        changed.push(c.to_ascii_lowercase());
    }
    let other = OTHERS.iter().find(|(of_api, _)| *of_api == changed);
    other.map_or(changed, |(_, name)| (*name).to_owned())
}

/// The row under the names of the exports. Of two keys of one name the first with a value is taken.
pub(super) fn plain_names<'v, 'a>(row: &'v Value<'a>) -> Cow<'v, Value<'a>> {
    if !row.keys().any(|key| OF_API.contains(&key)) {
        return Cow::Borrowed(row);
    }
    let mut entries: Vec<(Cow<'a, str>, Value<'a>)> = Vec::with_capacity(row.entries().len());
    for (key, value) in row.entries().iter().filter(|(_, value)| !is_absent(value)) {
        let name = in_exports(key);
        if !entries.iter().any(|(known, _)| *known == name) {
            entries.push((name.into(), value.clone()));
        }
    }
    let row = Value::Map(entries);
    match usage_of_older(&row) {
        Some(details) => with(row, "usage_details", details),
        None => Cow::Owned(row),
    }
}

/// The numbers of tokens of older servers, which had `usage` in place of `usageDetails`. Its units may
/// be others than tokens.
fn usage_of_older<'a>(row: &Value<'a>) -> Option<Value<'a>> {
    let usage = row.get("usage").parsed();
    let is_of_tokens = usage.get("unit").text().is_none_or(|unit| unit == "TOKENS");
    let has_details = !row.get("usage_details").parsed().entries().is_empty();
    if has_details || !is_of_tokens {
        return None;
    }
    let kinds = ["input", "output", "total"].map(|kind| (kind.into(), usage.get(kind).clone()));
    let kinds: Vec<_> = kinds.into_iter().filter(|(_, value)| !is_absent(value)).collect();
    (!kinds.is_empty()).then_some(Value::Map(kinds))
}

fn with<'v, 'a>(row: Value<'a>, key: &'static str, value: Value<'a>) -> Cow<'v, Value<'a>> {
    let Value::Map(mut entries) = row else {
        return Cow::Owned(row);
    };
    entries.retain(|(known, _)| known != key);
    entries.push((key.into(), value));
    Cow::Owned(Value::Map(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_api_are_those_of_the_exports() {
        let check = |of_api: &str, of_exports: &str| {
            assert_eq!(in_exports(of_api), of_exports);
            assert_eq!(in_exports(&in_api(of_exports)), of_exports);
        };
        check("parentObservationId", "parent_observation_id");
        check("isRootObservation", "is_root_observation");
        check("id", "id");
        check("model", "provided_model_name");
        check("calculatedTotalCost", "total_cost");
        check("totalCost", "total_cost");
    }

    #[test]
    fn rows_of_the_api_have_the_names_of_the_exports() {
        let check = |row: &str, path: &str, expected: Option<&str>| {
            let row: Value<'_> = serde_json::from_str(row).unwrap();
            let plain = plain_names(&row);
            assert_eq!(plain.at(path).text().as_deref(), expected, "{path}");
        };
        let row = r#"{"traceId":"t","model":"m","providedModelName":null,"usage":{"input":9,"output":1,
            "total":10,"unit":"TOKENS","totalCost":0.5},"totalCost":null,"calculatedTotalCost":2}"#;
        check(row, "trace_id", Some("t"));
        check(row, "provided_model_name", Some("m"));
        check(row, "total_cost", Some("2"));
        check(row, "usage_details.input", Some("9"));
        check(row, "usage_details.totalCost", None);
        let given = row.replace("\"usage\"", "\"usageDetails\":{\"input\":7},\"usage\"");
        check(&given, "usage_details.input", Some("7"));
        let empty = row.replace("\"usage\"", "\"usageDetails\":{},\"usage\"");
        check(&empty, "usage_details.input", Some("9"));
        check(&row.replace("TOKENS", "CHARACTERS"), "usage_details.input", None);
        check(r#"{"trace_id":"t","model":"m"}"#, "model", Some("m"));
    }
}

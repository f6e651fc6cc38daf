//! Exports of Helicone: a row a request, as JSON, JSON lines or CSV.
//!
//! There is no tree: a request is a turn unless sessions are declared as turns. Feedback and scores
//! are columns of the request, so that a turn, its scores and its group have one id.

use std::borrow::Cow;

use crate::scenario::TurnUnit;
use crate::traces::importers::fields::{
    cost_of, count_of, first_id, is_absent, note_keys, put, put_metadata, put_named, time_of,
};
use crate::traces::importers::importer::{Importer, RowFault, wrong};
use crate::traces::record::{Field, Flags, Nanos, Role, Span, Target, Usage};
use crate::traces::sink::{RawScore, Sink, text_of};
use crate::traces::value::Value;

/// The kinds of rows.
pub(in crate::traces) const IMPORTERS: &[Importer] = &[Importer {
    name: "Helicone requests",
    keys: KEYS,
    is_kind: |has| {
        has("request_created_at")
            && has("response_status")
            && (has("request_properties") || has("request_user_id"))
    },
    read,
}];

const KEYS: &[&str] = &[
    "request_id",
    "response_id",
    "request_created_at",
    "response_created_at",
    "updated_at",
    "response_status",
    "request_user_id",
    "request_properties",
    "properties",
    "request_path",
    "target_url",
    "request_model",
    "response_model",
    "model",
    "time_to_first_token",
    "prompt_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "prompt_cache_read_tokens",
    "prompt_cache_write_tokens",
    "cost",
    "costUSD",
    "prompt_id",
    "prompt_version",
    "feedback_id",
    "feedback_rating",
    "feedback_created_at",
    "scores",
];

/// The state of a request that has no answer yet.
const PENDING: i64 = -2;

/// What Helicone adds to the name of a score that is true or false.
const OF_FLAGS: &str = "-hcone-bool";

fn read(row: &Value<'_>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    note_keys(sink, row);
    let properties = properties_of(row);
    let mut span = span_of(row, &properties, sink.settings.unit)?;
    put_named(&mut span, row, sink.settings);
    sink.span(&span)?;
    for score in scores_of(row, &span)? {
        let target = Target::Trace(span.trace.clone(), span.id.clone());
        sink.score(&target, &score)?;
    }
    Ok(())
}

/// The span of a row with its properties.
fn span_of<'a>(row: &Value<'a>, properties: &Value<'a>, unit: TurnUnit) -> Result<Span<'a>, RowFault> {
    // A CSV has the id of the response only.
    let id = first_id(row, &["request_id", "response_id"])?;
    let (start, end) = (
        time_of("request_created_at", row.get("request_created_at"))?,
        time_of("response_created_at", row.get("response_created_at"))?,
    );
    let mut span = Span {
        id,
        role: role_of(row),
        start,
        end,
        first_token: first_token(row, start)?,
        version: time_of("updated_at", row.get("updated_at"))?
            .or(end)
            .or(start)
            .unwrap_or(0),
        usage: usage_of(row)?,
        flags: Flags(Flags::CACHE_BESIDE),
        ..Span::default()
    };
    span.cost = match cost_of("cost", row.get("cost"))? {
        Some(cost) => Some(cost),
        None => cost_of("costUSD", row.get("costUSD"))?,
    };
    put_texts(&mut span, row, properties);
    let session = span.text(Field::Session).map(str::to_owned);
    let is_of_session = unit == TurnUnit::Session && session.is_some();
    span.trace = match session {
        Some(session) if is_of_session => session.into(),
        _ => span.id.clone(),
    };
    span.group = span.trace.clone();
    span.flags.set(Flags::ONE_TURN, is_of_session);
    // Where a request is a turn, nothing says to which of them a call of a tool belongs.
    span.flags
        .set(Flags::LOOSE, span.role == Role::Tool && !is_of_session);
    let state = row.get("response_status");
    if !is_absent(state) {
        let code = state
            .whole()
            .ok_or_else(|| wrong("response_status", "a number of a state", state))?;
        // 0 is not known. States of Helicone itself are negative.
        if code != PENDING && !(0..400).contains(&code) {
            span.flags.set(Flags::ERROR, true);
            span.put(Field::ErrorType, 1, code.to_string());
        }
    }
    Ok(span)
}

/// The properties by names in lower case with `_`, without the prefix of their headers.
fn properties_of<'a>(row: &Value<'a>) -> Value<'a> {
    let places = ["request_properties", "properties"].map(|key| row.get(key));
    let place = places.into_iter().find(|place| !is_absent(place));
    let Some(place) = place else { return Value::Null };
    let opened = opened(place);
    let entries = opened.entries().iter().map(|(key, value)| {
        let name = key.to_ascii_lowercase().replace('-', "_");
        let name = name
            .strip_prefix("helicone_property_")
            .unwrap_or(&name)
            .to_owned();
        (Cow::Owned(name), value.clone())
    });
    Value::Map(entries.collect())
}

/// The object of a value. The CSV of Helicone doubles the quotes of a JSON text once too often.
fn opened<'a>(value: &Value<'a>) -> Value<'a> {
    let opened = value.parsed().into_owned();
    match &opened {
        Value::Text(text) if text.trim_start().starts_with("{\"\"") => {
            let text = Value::Text(text.replace("\"\"", "\"").into());
            text.parsed().into_owned().into_owned()
        }
        _ => opened,
    }
}

fn role_of(row: &Value<'_>) -> Role {
    let model = row.get("request_model").text().or(row.get("model").text());
    let is_tool = model.is_some_and(|model| model.starts_with("tool:"));
    let is_embedding = ["request_path", "target_url"].iter().any(|key| {
        let path = row.get(key).text();
        path.is_some_and(|path| path.contains("/embeddings") || path.contains("/rerank"))
    });
    match (is_tool, is_embedding) {
        (true, _) => Role::Tool,
        (_, true) => Role::Embedding,
        _ => Role::Inference,
    }
}

/// The time of the first token. Helicone writes 0 milliseconds where it knows none.
fn first_token(row: &Value<'_>, start: Option<Nanos>) -> Result<Option<Nanos>, RowFault> {
    let value = row.get("time_to_first_token");
    if is_absent(value) {
        return Ok(None);
    }
    let wait = value
        .number()
        .ok_or_else(|| wrong("time_to_first_token", "a number of milliseconds", value))?;
    let start = start.filter(|_| wait > 0.0);
    Ok(start.map(|start| start.saturating_add((wait * 1e6).round() as i64)))
}

/// The tokens. Cached ones are beside the input, and those of reasoning beside the output.
fn usage_of(row: &Value<'_>) -> Result<Usage, RowFault> {
    let tokens = |key: &str| count_of(key, row.get(key));
    let reasoning = tokens("reasoning_tokens")?;
    let output = tokens("completion_tokens")?;
    Ok(Usage {
        input: tokens("prompt_tokens")?,
        output: output.map(|output| output.saturating_add(reasoning.unwrap_or(0))),
        cache_read: tokens("prompt_cache_read_tokens")?,
        cache_write: tokens("prompt_cache_write_tokens")?,
        reasoning,
    })
}

fn put_texts<'a>(span: &mut Span<'a>, row: &Value<'a>, properties: &Value<'a>) {
    // A request without a user has its absence as a text.
    let user = text_of(row.get("request_user_id"));
    if let Some(user) = user.filter(|user| user != "null" && user != "undefined") {
        span.put(Field::User, 1, user);
    }
    put(span, Field::Session, 1, properties.get("helicone_session_id"));
    put_metadata(span, properties, 2);
    put(span, Field::Release, 30, properties.get("release"));
    put(span, Field::Tenant, 30, properties.get("tenant"));
    put(span, Field::Environment, 1, properties.get("environment"));
    put(span, Field::Agent, 1, properties.get("helicone_session_name"));
    put(span, Field::Model, 1, row.get("response_model"));
    put(span, Field::Model, 2, row.get("model"));
    put(span, Field::Model, 3, row.get("request_model"));
    if !is_absent(row.get("response_model")) {
        // Without it, the model of the request is already the one that answered.
        put(span, Field::RequestedModel, 1, row.get("request_model"));
    }
    put(span, Field::Prompt, 1, row.get("prompt_id"));
    put(span, Field::Prompt, 2, properties.get("helicone_prompt_id"));
    put(span, Field::PromptVersion, 1, row.get("prompt_version"));
}

/// The feedback of the user as the score `feedback`, and the scores of the row by their names.
fn scores_of<'a>(row: &Value<'a>, span: &Span<'_>) -> Result<Vec<RawScore<'a>>, RowFault> {
    let mut scores = Vec::new();
    let rating = row.get("feedback_rating");
    if !is_absent(rating) {
        let flag = rating
            .flag()
            .ok_or_else(|| wrong("feedback_rating", "true or false", rating))?;
        let at = time_of("feedback_created_at", row.get("feedback_created_at"))?;
        scores.push(RawScore {
            name: "feedback".into(),
            number: Some(f64::from(u8::from(flag))),
            label: Some(if flag { "true" } else { "false" }.into()),
            id: text_of(row.get("feedback_id")).unwrap_or_else(|| format!("{}:feedback", span.id).into()),
            at,
            version: at.unwrap_or(span.version),
        });
    }
    for (key, value) in opened(row.get("scores")).entries() {
        // Older exports have an object with the value and its type.
        let value = if value.entries().is_empty() {
            value
        } else {
            value.get("value")
        };
        if is_absent(value) {
            continue;
        }
        let number = value
            .number()
            .or_else(|| Some(f64::from(u8::from(value.flag()?))));
        let number = number.ok_or_else(|| wrong(&format!("scores.{key}"), "a number", value))?;
        scores.push(RawScore {
            name: key.strip_suffix(OF_FLAGS).unwrap_or(key).to_owned().into(),
            number: Some(number),
            label: None,
            id: format!("{}:{key}", span.id).into(),
            at: None,
            version: span.version,
        });
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value<'_> {
        serde_json::from_str(text).unwrap()
    }

    fn span(text: &str, unit: TurnUnit) -> Result<Span<'static>, RowFault> {
        let row = value(text).into_owned();
        span_of(&row, &properties_of(&row), unit)
    }

    const REQUEST: &str = r#"{"response_id":"res-1","response_created_at":"2026-05-28 00:01:02.429","response_status":200,"request_id":"req-1","request_created_at":"2026-05-28 00:01:01.000","request_user_id":"u-1001","request_properties":{"Helicone-Session-Id":"conv-1","Helicone-Session-Name":"cs","Release-Id":"r7","Helicone-Property-Tenant_Id":"t1","feature":"refund","User_Layer":"layer2","Environment":"prod"},"provider":"OPENAI","delay_ms":9999,"request_model":"gpt-4o-mini-2025-11","time_to_first_token":310,"total_tokens":198,"completion_tokens":40,"reasoning_tokens":20,"prompt_tokens":100,"prompt_cache_read_tokens":30,"prompt_cache_write_tokens":8,"scores":{"quality":90,"polite-hcone-bool":1},"cost":0.000207,"prompt_id":"cs_main","prompt_version":"6","feedback_rating":null,"updated_at":"2026-05-28 00:01:03.000"}"#;

    #[test]
    fn requests_have_tokens_of_all_kinds_cost_and_times() {
        let span = span(REQUEST, TurnUnit::Request).unwrap();
        assert_eq!(
            (&*span.group, &*span.trace, &*span.id, &*span.parent),
            ("req-1", "req-1", "req-1", "")
        );
        assert_eq!(
            (span.role, span.flags),
            (Role::Inference, Flags(Flags::CACHE_BESIDE))
        );
        let usage = Usage {
            input: Some(100),
            output: Some(60),
            cache_read: Some(30),
            cache_write: Some(8),
            reasoning: Some(20),
        };
        assert_eq!((span.usage, span.cost), (usage, Some(207_000_000)));
        let start = span.start.unwrap();
        // The time is that of the row, and not its column of milliseconds.
        assert_eq!(
            (span.end, span.first_token),
            (Some(start + 1_429_000_000), Some(start + 310_000_000))
        );
        assert_eq!(span.version, start + 2_000_000_000);
        let check =
            |field: Field, expected: Option<&str>| assert_eq!(span.text(field), expected, "{field:?}");
        check(Field::User, Some("u-1001"));
        check(Field::Session, Some("conv-1"));
        check(Field::Agent, Some("cs"));
        check(Field::Release, Some("r7"));
        check(Field::Tenant, Some("t1"));
        check(Field::Feature, Some("refund"));
        check(Field::Layer, Some("layer2"));
        check(Field::Environment, Some("prod"));
        check(Field::Model, Some("gpt-4o-mini-2025-11"));
        check(Field::RequestedModel, None);
        check(Field::Prompt, Some("cs_main"));
        check(Field::PromptVersion, Some("6"));
    }

    #[test]
    fn rows_of_csv_have_properties_with_quotes_that_are_doubled_twice() {
        let row = r#"{"response_id":"res-1","response_created_at":"2026-05-28T00:01:02.429Z","response_status":"200","request_created_at":"2026-05-28T00:01:01.000Z","request_properties":"{\"\"Release_Id\"\":\"\"r7\"\",\"\"feature\"\":\"\"\"\"}","request_user_id":"","model":"","prompt_tokens":"100","completion_tokens":"40","latency":"","cost":""}"#;
        let span = span(row, TurnUnit::Request).unwrap();
        assert_eq!(
            (&*span.id, span.usage.input, span.cost),
            ("res-1", Some(100), None)
        );
        assert_eq!(span.text(Field::Release), Some("r7"));
        for field in [Field::Feature, Field::User, Field::Model] {
            assert_eq!(span.text(field), None, "{field:?}");
        }
        let row = value(r#"{"properties":"{\"feature\":\"a\"}"}"#);
        assert_eq!(properties_of(&row).get("feature").text().as_deref(), Some("a"));
    }

    #[test]
    fn absent_users_and_first_tokens_are_none() {
        for user in ["null", "undefined", "", " "] {
            let text = format!(r#"{{"request_id":"r","request_user_id":"{user}","time_to_first_token":0}}"#);
            let span = span(&text, TurnUnit::Request).unwrap();
            assert_eq!((span.text(Field::User), span.first_token), (None, None), "{text}");
        }
    }

    #[test]
    fn states_that_are_no_success_are_errors() {
        let check = |state: &str, error: Option<&str>| {
            let text = format!(r#"{{"request_id":"r","response_status":{state}}}"#);
            let span = span(&text, TurnUnit::Request).unwrap();
            assert_eq!(
                (span.flags.has(Flags::ERROR), span.text(Field::ErrorType)),
                (error.is_some(), error)
            );
        };
        check("200", None);
        check("\"201\"", None);
        check("0", None);
        check("null", None);
        check("-2", None);
        check("429", Some("429"));
        check("500", Some("500"));
        check("-3", Some("-3"));
        assert!(span(r#"{"request_id":"r","response_status":"ok"}"#, TurnUnit::Request).is_err());
    }

    #[test]
    fn sessions_are_turns_where_they_are_declared() {
        let check = |row: &str, unit: TurnUnit, expected: (&str, u16)| {
            let span = span(row, unit).unwrap();
            let flags = span.flags.0 & !Flags::CACHE_BESIDE;
            assert_eq!(
                (&*span.group, &*span.trace, flags),
                (expected.0, expected.0, expected.1),
                "{row}"
            );
        };
        let tool =
            r#"{"request_id":"q","request_model":"tool:refund","properties":{"Helicone-Session-Id":"c"}}"#;
        check(tool, TurnUnit::Session, ("c", Flags::ONE_TURN));
        check(tool, TurnUnit::Request, ("q", Flags::LOOSE));
        check(r#"{"request_id":"q"}"#, TurnUnit::Session, ("q", 0));
        check(REQUEST, TurnUnit::Session, ("conv-1", Flags::ONE_TURN));
    }

    #[test]
    fn models_that_answered_and_roles() {
        let row =
            r#"{"request_id":"r","request_model":"a","response_model":"b","request_path":"/v1/embeddings"}"#;
        let found = span(row, TurnUnit::Request).unwrap();
        assert_eq!(
            (found.text(Field::Model), found.text(Field::RequestedModel)),
            (Some("b"), Some("a"))
        );
        assert_eq!(found.role, Role::Embedding);
        let row = r#"{"request_id":"r","request_model":"tool:refund"}"#;
        assert_eq!(span(row, TurnUnit::Request).unwrap().role, Role::Tool);
    }

    #[test]
    fn feedback_and_scores_are_scores_of_the_request() {
        let check = |row: &str, expected: &[(&str, f64, &str)]| {
            let row = value(row);
            let span = Span {
                id: "r".into(),
                ..Span::default()
            };
            let scores = scores_of(&row, &span).unwrap();
            let found: Vec<(&str, f64, &str)> = scores
                .iter()
                .map(|score| (&*score.name, score.number.unwrap(), &*score.id))
                .collect();
            assert_eq!(found, expected, "{row:?}");
        };
        check(
            REQUEST,
            &[
                ("quality", 90.0, "r:quality"),
                ("polite", 1.0, "r:polite-hcone-bool"),
            ],
        );
        check(
            r#"{"feedback_rating":false,"feedback_id":"f","feedback_created_at":"2026-05-28T00:00:00Z"}"#,
            &[("feedback", 0.0, "f")],
        );
        check(
            r#"{"feedback_rating":"true","scores":null}"#,
            &[("feedback", 1.0, "r:feedback")],
        );
        check(
            r#"{"scores":{"q":{"value":3,"valueType":"number"},"p":{"value":true},"n":null}}"#,
            &[("q", 3.0, "r:q"), ("p", 1.0, "r:p")],
        );
        let span = Span::default();
        assert!(scores_of(&value(r#"{"feedback_rating":"good"}"#), &span).is_err());
        assert!(scores_of(&value(r#"{"scores":{"q":"high"}}"#), &span).is_err());
    }

    #[test]
    fn missing_ids_and_wrong_types_are_faults() {
        for row in [
            "{}",
            r#"{"request_id":""}"#,
            r#"{"request_id":"r","request_created_at":"soon"}"#,
            r#"{"request_id":"r","cost":-1}"#,
            r#"{"request_id":"r","prompt_tokens":1.5}"#,
            r#"{"request_id":"r","time_to_first_token":"fast"}"#,
        ] {
            assert!(span(row, TurnUnit::Request).is_err(), "{row}");
        }
    }

    #[test]
    fn files_are_known_by_their_keys() {
        let is_kind = |keys: &[&str]| (IMPORTERS[0].is_kind)(&|key| keys.contains(&key));
        assert!(is_kind(&[
            "response_id",
            "response_status",
            "request_created_at",
            "request_properties"
        ]));
        assert!(!is_kind(&["request_id", "startTime", "call_type"]));
    }
}

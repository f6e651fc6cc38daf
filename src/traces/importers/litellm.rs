//! Logs of LiteLLM: rows of `LiteLLM_SpendLogs`, and the payloads that it writes into a bucket.
//!
//! A row is a request, and there is no tree. Requests of one session are in one group, so that calls
//! of tools over MCP, which are rows too, find the request before them.

use crate::scenario::TurnUnit;
use crate::traces::importers::fields::{
    cost_of, count_of, first_id, is_absent, note_keys, put, put_metadata, put_named, put_tags, time_of,
};
use crate::traces::importers::importer::{Importer, RowFault};
use crate::traces::importers::pages::read_page;
use crate::traces::record::{Field, Flags, Role, Span, Usage};
use crate::traces::sink::{Sink, text_of};
use crate::traces::value::Value;

/// The kinds of rows. A file is of the first kind that its keys fit.
pub(in crate::traces) const IMPORTERS: &[Importer] = &[
    Importer {
        name: "LiteLLM spend logs",
        keys: KEYS,
        is_kind: |has| has("request_id") && has("startTime") && (has("call_type") || has("spend")),
        read,
    },
    Importer {
        name: "LiteLLM payloads",
        keys: KEYS,
        is_kind: |has| has("id") && has("startTime") && has("call_type") && !has("request_id"),
        read,
    },
    // Answers of `/spend/logs/v2`.
    Importer {
        name: "LiteLLM pages",
        keys: &["data", "total_pages"],
        is_kind: |has| has("data") && has("total_pages"),
        read: |page, sink| read_page(IMPORTERS, "data", page, sink),
    },
];

const KEYS: &[&str] = &[
    "request_id",
    "id",
    "litellm_call_id",
    "trace_id",
    "session_id",
    "call_type",
    "mcp_namespaced_tool_name",
    "status",
    "error_information",
    "spend",
    "response_cost",
    "prompt_tokens",
    "completion_tokens",
    "startTime",
    "endTime",
    "completionStartTime",
    "updated_at",
    "stream",
    "model",
    "model_group",
    "end_user",
    "team_id",
    "organization_id",
    "agent_id",
    "request_tags",
    "metadata",
    "model_parameters",
];

/// The name under which the gateway tests its models itself.
const HEALTH_CHECK: &str = "litellm-internal-health-check";

/// Kinds of calls that are no request of a user.
const NO_REQUESTS: [&str; 8] = [
    "list_mcp_tools",
    "moderation",
    "batch",
    "file",
    "fine_tuning",
    "vector_store",
    "list_input_items",
    "container",
];

fn read(row: &Value<'_>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    note_keys(sink, row);
    let mut span = span_of(row, sink.settings.unit)?;
    put_named(&mut span, row, sink.settings);
    Ok(sink.span(&span)?)
}

/// The span of a row.
fn span_of<'a>(row: &Value<'a>, unit: TurnUnit) -> Result<Span<'a>, RowFault> {
    let id = first_id(row, &["request_id", "id", "litellm_call_id"])?;
    let metadata = row.get("metadata").parsed();
    let (start, end) = (
        time_of("startTime", row.get("startTime"))?,
        time_of("endTime", row.get("endTime"))?,
    );
    // An answer from the cache has the id of the request that filled it, and is a request of its own.
    let is_cached = row.get("cache_hit").flag() == Some(true);
    let request = id.clone();
    let id = match start.filter(|_| is_cached) {
        Some(start) => format!("{id}@{start}").into(),
        None => id,
    };
    let mut span = Span {
        id,
        role: role_of(row),
        start,
        end,
        version: time_of("updated_at", row.get("updated_at"))?
            .or(end)
            .or(start)
            .unwrap_or(0),
        ..Span::default()
    };
    put_texts(&mut span, row, &metadata);
    let is_true = |value: &Value<'_>| value.flag() == Some(true);
    let is_shadow = is_true(metadata.get("is_silent_experiment"));
    let is_tool = span.role == Role::Tool;
    let session = span.text(Field::Session).map(str::to_owned);
    // A mirrored request is no part of the turn that the user saw.
    let is_part = unit == TurnUnit::Session && session.is_some() && !is_tool && !is_shadow;
    span.group = session.map_or_else(|| request.clone(), Into::into);
    span.trace = if is_part || is_tool {
        span.group.clone()
    } else {
        request
    };
    span.flags.set(Flags::LOOSE, is_tool);
    span.flags.set(Flags::ONE_TURN, is_part);
    span.flags.set(Flags::SHADOW, is_shadow);
    // A request without a stream says its end: that is no time of a first token.
    span.first_token = time_of("completionStartTime", row.get("completionStartTime"))?
        .filter(|at| end.is_none_or(|end| *at < end));
    span.flags.set(Flags::STREAM, is_true(row.get("stream")));
    span.flags.set(Flags::EVAL, is_health_check(row, &metadata));
    let attempts = |key: &str| metadata.get(key).whole().unwrap_or(0).max(0);
    span.flags
        .set(Flags::FALLBACK, attempts("attempted_fallbacks") > 0);
    span.retries = u32::try_from(attempts("attempted_retries")).unwrap_or(u32::MAX);
    let has_failed = has_failed(row, &metadata);
    span.flags.set(Flags::ERROR, has_failed);
    if has_failed {
        put_error(&mut span, row, &metadata);
    }
    let cost = match cost_of("spend", row.get("spend"))? {
        Some(cost) => Some(cost),
        None => cost_of("response_cost", row.get("response_cost"))?,
    };
    // A request that failed costs nothing and counts as a request.
    span.cost = cost.or(has_failed.then_some(0));
    if !is_tool {
        span.usage = usage_of(row, &metadata, has_failed)?;
        // The details of a failed attempt are no tokens of its row, which are 0.
        let is_unbilled = span.usage.input == Some(0) && span.usage.output == Some(0);
        span.flags.set(Flags::CACHE_INSIDE, has_failed && is_unbilled);
    }
    Ok(span)
}

fn role_of(row: &Value<'_>) -> Role {
    let call = row.get("call_type").text().unwrap_or_default();
    let is_any = |parts: &[&str]| parts.iter().any(|part| call.contains(part));
    if call == "call_mcp_tool" || !is_absent(row.get("mcp_namespaced_tool_name")) {
        Role::Tool
    } else if is_any(&["embedding", "rerank"]) {
        Role::Embedding
    } else if is_any(&NO_REQUESTS) {
        Role::Other
    } else {
        Role::Inference
    }
}

/// The state of the row, else that of its metadata: a row of a tool repeats the metadata of its request.
fn has_failed(row: &Value<'_>, metadata: &Value<'_>) -> bool {
    let state = row.get("status");
    let state = if is_absent(state) {
        metadata.get("status")
    } else {
        state
    };
    state.text().is_some_and(|state| state == "failure")
}

fn put_error<'a>(span: &mut Span<'a>, row: &Value<'a>, metadata: &Value<'a>) {
    for (rank, place) in [(1, row), (3, metadata)] {
        let error = place.get("error_information").parsed();
        put(span, Field::ErrorType, rank, error.get("error_class"));
        put(span, Field::ErrorType, rank + 1, error.get("error_code"));
    }
}

fn is_health_check(row: &Value<'_>, metadata: &Value<'_>) -> bool {
    let is_name = |value: &Value<'_>| value.text().is_some_and(|text| text == HEALTH_CHECK);
    let tags = row.get("request_tags").parsed();
    tags.elements().iter().any(is_name)
        || is_name(row.get("team_id"))
        || ["user_api_key_alias", "user_api_key_team_id"]
            .iter()
            .any(|key| is_name(metadata.get(key)))
}

/// The texts of a row. `user` is the owner of the key, and no user of the service.
fn put_texts<'a>(span: &mut Span<'a>, row: &Value<'a>, metadata: &Value<'a>) {
    put(span, Field::User, 1, row.get("end_user"));
    put(span, Field::User, 2, metadata.get("user_api_key_end_user_id"));
    // What the client sent as `user`, where no proxy made it the end user.
    let parameters = row.get("model_parameters").parsed();
    put(span, Field::User, 40, parameters.get("user"));
    put(span, Field::Session, 1, row.get("session_id"));
    // The payloads have the session of the client there.
    put(span, Field::Session, 40, row.get("trace_id"));
    put_metadata(span, metadata.get("spend_logs_metadata"), 3);
    put_metadata(span, metadata.get("requester_metadata"), 13);
    put_tags(span, row.get("request_tags"), 23);
    put(span, Field::Tenant, 41, row.get("team_id"));
    put(span, Field::Tenant, 42, metadata.get("user_api_key_team_id"));
    put(span, Field::Tenant, 43, row.get("organization_id"));
    put(span, Field::Tenant, 44, metadata.get("user_api_key_org_id"));
    put(span, Field::Agent, 1, row.get("agent_id"));
    if span.role != Role::Tool {
        put(span, Field::Model, 1, row.get("model"));
        put(
            span,
            Field::RequestedModel,
            1,
            metadata.get("original_model_group"),
        );
        put(span, Field::RequestedModel, 2, row.get("model_group"));
    }
    let prompt = metadata.get("prompt_management_metadata").parsed();
    put(span, Field::Prompt, 1, prompt.get("prompt_id"));
    put(span, Field::PromptVersion, 1, prompt.get("prompt_version"));
    let logged = metadata.get("spend_logs_metadata").parsed();
    if let Some(reference) = text_of(logged.get("prompt_ref")) {
        // A name with its version, such as `cs_main@6`.
        let (name, version) = reference.split_once('@').unwrap_or((&reference, ""));
        span.put(Field::Prompt, 2, name.to_owned());
        span.put(Field::PromptVersion, 2, version.to_owned());
    }
}

/// The tokens. Cached ones are inside the input.
fn usage_of(row: &Value<'_>, metadata: &Value<'_>, has_failed: bool) -> Result<Usage, RowFault> {
    let tokens = |key: &str| count_of(key, row.get(key));
    let none = has_failed.then_some(0);
    let mut usage = Usage {
        input: tokens("prompt_tokens")?.or(none),
        output: tokens("completion_tokens")?.or(none),
        ..Usage::default()
    };
    if usage.input.is_none() && usage.output.is_none() {
        return Ok(usage);
    }
    // Older versions have the details under the second key alone.
    let places = ["usage_object", "additional_usage_values"];
    let first = |paths: &[&str]| {
        let keys = places
            .iter()
            .flat_map(|place| paths.iter().map(move |path| format!("{place}.{path}")));
        let mut found = keys.map(|key| (metadata.at(&key), key));
        let found = found.find(|(value, _)| !is_absent(value));
        found.map_or(Ok(None), |(value, key)| {
            count_of(&format!("metadata.{key}"), &value)
        })
    };
    usage.cache_read = first(&[
        "prompt_tokens_details.cached_tokens",
        "input_tokens_details.cached_tokens",
        "cache_read_input_tokens",
    ])?;
    usage.cache_write = first(&[
        "cache_creation_input_tokens",
        "prompt_tokens_details.cache_creation_tokens",
        "prompt_tokens_details.cache_write_tokens",
    ])?;
    usage.reasoning = first(&[
        "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens",
    ])?;
    Ok(usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::usage::Counted;

    fn value(text: &str) -> Value<'_> {
        serde_json::from_str(text).unwrap()
    }

    const REQUEST: &str = r#"{"request_id":"chatcmpl-1","call_type":"acompletion","spend":0.00021915,"total_tokens":1068,"prompt_tokens":937,"completion_tokens":131,"startTime":"2026-05-28 00:01:01.000","endTime":"2026-05-28 00:01:02.429","request_duration_ms":9999,"completionStartTime":"2026-05-28 00:01:01.310","model":"gpt-4o-mini-2025-11","model_id":"b3f1","model_group":"smart","user":"svc-cs-agent","metadata":{"user_api_key_team_id":"bu_electronics","spend_logs_metadata":{"release_id":"rel_2026_05_28_001","feature":"checkout_assist","prompt_ref":"cs_main@7"},"status":"success","error_information":null,"usage_object":{"prompt_tokens_details":{"cached_tokens":128}},"attempted_retries":0,"attempted_fallbacks":0,"is_silent_experiment":null},"cache_hit":"None","request_tags":["feature:other","release:other"],"team_id":"bu_electronics","organization_id":"org_1","end_user":"u-1001","session_id":"conv-0001","status":"success","mcp_namespaced_tool_name":null,"litellm_call_id":"5e1c-1","updated_at":"2026-05-28 00:01:02.429"}"#;

    #[test]
    fn requests_of_spend_logs_are_turns_within_the_group_of_their_session() {
        let row = value(REQUEST);
        let span = span_of(&row, TurnUnit::default()).unwrap();
        assert_eq!(
            (&*span.group, &*span.trace, &*span.id, &*span.parent),
            ("conv-0001", "chatcmpl-1", "chatcmpl-1", "")
        );
        assert_eq!((span.role, span.flags), (Role::Inference, Flags::default()));
        assert_eq!(
            (span.usage.input, span.usage.output, span.usage.cache_read),
            (Some(937), Some(131), Some(128))
        );
        assert_eq!(span.cost, Some(219_150_000));
        // The time is that of the row, and not its column of milliseconds.
        assert_eq!(span.end.unwrap() - span.start.unwrap(), 1_429_000_000);
        assert_eq!(span.first_token.unwrap() - span.start.unwrap(), 310_000_000);
        let check = |field: Field, expected: &str| assert_eq!(span.text(field), Some(expected), "{field:?}");
        check(Field::User, "u-1001");
        check(Field::Session, "conv-0001");
        check(Field::Release, "rel_2026_05_28_001");
        check(Field::Feature, "checkout_assist");
        check(Field::Tenant, "bu_electronics");
        check(Field::Model, "gpt-4o-mini-2025-11");
        check(Field::RequestedModel, "smart");
        check(Field::Prompt, "cs_main");
        check(Field::PromptVersion, "7");
    }

    #[test]
    fn rows_of_csv_are_the_same_spans() {
        let row = value(REQUEST);
        let metadata = serde_json::from_str::<serde_json::Value>(REQUEST).unwrap()["metadata"].to_string();
        let csv = |key: &str, value: &Value<'_>| match key {
            "metadata" => metadata.clone(),
            "request_tags" => r#"["feature:other","release:other"]"#.to_owned(),
            _ => value.text().unwrap_or_default().into_owned(),
        };
        let entries = row.entries().iter();
        let texts = entries.map(|(key, value)| (key.clone(), Value::Text(csv(key, value).into())));
        let texts = Value::Map(texts.collect());
        let unit = TurnUnit::default();
        assert_eq!(span_of(&texts, unit).unwrap(), span_of(&row, unit).unwrap());
    }

    #[test]
    fn payloads_have_times_in_seconds_and_a_cost_of_the_response() {
        let row = value(
            r#"{"id":"chatcmpl-1","trace_id":"t-1","session_id":"conv-0001","litellm_call_id":"5e1c-1","call_type":"acompletion","stream":true,"response_cost":0.000219,"status":"success","prompt_tokens":937,"completion_tokens":131,"startTime":1779926461.0,"endTime":1779926462.43,"completionStartTime":1779926462.43,"model":"m","model_group":"smart","metadata":{"user_api_key_team_id":"bu","user_api_key_end_user_id":"u-1001","prompt_management_metadata":{"prompt_id":"cs_main"},"spend_logs_metadata":null,"requester_metadata":{"release_id":"r1"}},"cache_hit":false,"request_tags":["feature:checkout_assist"],"end_user":""}"#,
        );
        let span = span_of(&row, TurnUnit::default()).unwrap();
        assert_eq!((&*span.group, &*span.trace), ("conv-0001", "chatcmpl-1"));
        assert_eq!(
            (span.start, span.end),
            (Some(1_779_926_461_000_000_000), Some(1_779_926_462_430_000_000))
        );
        assert_eq!(span.first_token, None);
        assert_eq!(span.cost, Some(219_000_000));
        assert!(span.flags.has(Flags::STREAM));
        let check = |field: Field, expected: &str| assert_eq!(span.text(field), Some(expected), "{field:?}");
        check(Field::User, "u-1001");
        check(Field::Release, "r1");
        check(Field::Feature, "checkout_assist");
        check(Field::Tenant, "bu");
        check(Field::Prompt, "cs_main");
    }

    #[test]
    fn failed_requests_stay_with_no_tokens_and_no_cost() {
        let check = |row: &str, error: Option<&str>| {
            let text =
                format!(r#"{{"request_id":"r","spend":0.0,"prompt_tokens":0,"completion_tokens":0,{row}}}"#);
            let row = value(&text);
            let span = span_of(&row, TurnUnit::default()).unwrap();
            assert_eq!(span.flags.has(Flags::ERROR), error.is_some(), "{text}");
            assert_eq!(span.text(Field::ErrorType), error, "{text}");
            let found = (span.usage.input, span.usage.output, span.cost);
            assert_eq!(found, (Some(0), Some(0), Some(0)), "{text}");
            (span.usage.cache_read, Counted::new(&span).input)
        };
        let cached = check(
            r#""status":"failure","metadata":{"error_information":{"error_code":"408","error_class":"Timeout"},"usage_object":{"prompt_tokens_details":{"cached_tokens":384}}}"#,
            Some("Timeout"),
        );
        // The row has no tokens, so that the cached ones of the attempt are not added to them.
        assert_eq!(cached, (Some(384), 0));
        check(
            r#""status":"failure","error_information":{"error_code":429}"#,
            Some("429"),
        );
        check(
            r#""metadata":{"status":"failure","error_information":{"error_class":"X"}}"#,
            Some("X"),
        );
        check(r#""status":"success","metadata":{"status":"failure"}"#, None);
        let row = value(r#"{"id":"r","status":"failure","response_cost":null}"#);
        let span = span_of(&row, TurnUnit::default()).unwrap();
        assert_eq!((span.usage.input, span.cost), (Some(0), Some(0)));
    }

    #[test]
    fn tools_over_mcp_belong_to_the_request_before_them_in_their_session() {
        let row = value(
            r#"{"request_id":"mcp-2","call_type":"call_mcp_tool","spend":0.0,"prompt_tokens":0,"completion_tokens":0,"model":"MCP: refund_api","model_group":"","session_id":"conv-0002","status":"failure","mcp_namespaced_tool_name":"refund/refund_api","metadata":{"status":"success","usage_object":{"prompt_tokens_details":{"cached_tokens":256}}}}"#,
        );
        for unit in [TurnUnit::Request, TurnUnit::Session] {
            let span = span_of(&row, unit).unwrap();
            assert_eq!(
                (span.role, &*span.trace, &*span.id),
                (Role::Tool, "conv-0002", "mcp-2")
            );
            assert_eq!(span.flags, Flags(Flags::LOOSE | Flags::ERROR));
            assert_eq!((span.usage, span.text(Field::Model)), (Usage::default(), None));
        }
    }

    #[test]
    fn sessions_are_turns_where_they_are_declared() {
        let check = |row: &str, expected: (&str, &str, bool)| {
            let row = value(row);
            let span = span_of(&row, TurnUnit::Session).unwrap();
            assert_eq!(
                (&*span.group, &*span.trace, span.flags.has(Flags::ONE_TURN)),
                expected
            );
        };
        check(r#"{"request_id":"r","session_id":"c"}"#, ("c", "c", true));
        check(r#"{"request_id":"r","session_id":""}"#, ("r", "r", false));
        check(r#"{"id":"r","trace_id":"t"}"#, ("t", "t", true));
        check(
            r#"{"id":"r","session_id":"c","metadata":{"is_silent_experiment":true}}"#,
            ("c", "r", false),
        );
    }

    #[test]
    fn mirrored_requests_retries_fallbacks_and_health_checks() {
        let check = |row: &str, flags: u16, retries: u32| {
            let text = format!(r#"{{"request_id":"r",{row}}}"#);
            let row = value(&text);
            let span = span_of(&row, TurnUnit::default()).unwrap();
            assert_eq!((span.flags.0, span.retries), (flags, retries), "{text}");
        };
        check(r#""metadata":{"is_silent_experiment":true}"#, Flags::SHADOW, 0);
        check(
            r#""metadata":"{\"is_silent_experiment\":\"true\"}""#,
            Flags::SHADOW,
            0,
        );
        check(r#""metadata":{"is_silent_experiment":null}"#, 0, 0);
        check(
            r#""metadata":{"attempted_retries":2,"attempted_fallbacks":1}"#,
            Flags::FALLBACK,
            2,
        );
        check(
            r#""request_tags":["litellm-internal-health-check"]"#,
            Flags::EVAL,
            0,
        );
        check(r#""team_id":"litellm-internal-health-check""#, Flags::EVAL, 0);
        let row = value(
            r#"{"request_id":"r","model":"b","model_group":"g2","metadata":{"original_model_group":"g1"}}"#,
        );
        let span = span_of(&row, TurnUnit::default()).unwrap();
        assert_eq!(span.text(Field::RequestedModel), Some("g1"));
    }

    #[test]
    fn a_release_that_no_row_names_is_none() {
        let row = value(
            r#"{"request_id":"r","call_type":"aresponses","model":"m","user":"owner","request_tags":[],"metadata":{}}"#,
        );
        let span = span_of(&row, TurnUnit::default()).unwrap();
        assert_eq!((span.text(Field::Release), span.text(Field::User)), (None, None));
        let row = value(r#"{"request_id":"r","request_tags":"[\"release:r7\"]"}"#);
        let span = span_of(&row, TurnUnit::default()).unwrap();
        assert_eq!(span.text(Field::Release), Some("r7"));
    }

    #[test]
    fn roles_are_those_of_the_kinds_of_calls() {
        let check = |call: &str, expected: Role| {
            let text = format!(r#"{{"call_type":"{call}"}}"#);
            assert_eq!(role_of(&value(&text)), expected, "{call}");
        };
        check("acompletion", Role::Inference);
        check("aresponses", Role::Inference);
        check("anthropic_messages", Role::Inference);
        check("", Role::Inference);
        check("aembedding", Role::Embedding);
        check("arerank", Role::Embedding);
        check("call_mcp_tool", Role::Tool);
        check("list_mcp_tools", Role::Other);
        check("amoderation", Role::Other);
        check("aretrieve_batch", Role::Other);
    }

    #[test]
    fn missing_ids_and_wrong_types_are_faults() {
        for row in [
            r#"{"call_type":"acompletion"}"#,
            r#"{"request_id":""}"#,
            r#"{"request_id":"r","startTime":"soon"}"#,
            r#"{"request_id":"r","spend":"free"}"#,
            r#"{"request_id":"r","prompt_tokens":[]}"#,
            r#"{"request_id":"r","prompt_tokens":1,"metadata":{"usage_object":{"cache_read_input_tokens":"x"}}}"#,
        ] {
            assert!(span_of(&value(row), TurnUnit::default()).is_err(), "{row}");
        }
    }

    #[test]
    fn files_are_known_by_their_keys() {
        let check = |keys: &[&str], expected: Option<&str>| {
            let has = |key: &str| keys.contains(&key);
            let found = IMPORTERS.iter().find(|importer| (importer.is_kind)(&has));
            assert_eq!(found.map(|importer| importer.name), expected, "{keys:?}");
        };
        check(
            &["request_id", "call_type", "startTime"],
            Some("LiteLLM spend logs"),
        );
        check(
            &["id", "trace_id", "call_type", "startTime"],
            Some("LiteLLM payloads"),
        );
        check(&["id", "trace_id", "start_time"], None);
    }
}

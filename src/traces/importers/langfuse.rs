//! Exports of Langfuse: traces, observations, enriched observations, scores and manifests.
//!
//! A trace is one turn. Its row has the texts of the turn; observations have tokens, cost and errors.
//! Every column but the core is optional, because users choose the groups of columns.

use crate::traces::importers::fields::{
    cost_of, count_of, first_id, is_absent, note_keys, put, put_metadata, put_named, put_tags, time_of,
};
use crate::traces::importers::importer::{Importer, RowFault, wrong};
use crate::traces::importers::langfuse_scores;
use crate::traces::record::{Field, Flags, Role, Span, Usage};
use crate::traces::sink::{Sink, text_of};
use crate::traces::value::Value;

/// The kinds of rows. A file is of the first kind that its keys fit.
pub(in crate::traces) const IMPORTERS: &[Importer] = &[
    Importer {
        name: "Langfuse manifest",
        keys: &["version", "window", "files"],
        is_kind: |has| has("window") && has("files"),
        read: |_, _| Ok(()),
    },
    Importer {
        name: "Langfuse scores",
        keys: langfuse_scores::KEYS,
        is_kind: |has| {
            has("id") && has("observation_id") && has("name") && (has("value") || has("string_value"))
        },
        read: langfuse_scores::read,
    },
    Importer {
        name: "Langfuse observations_v2",
        keys: OBSERVATION_KEYS,
        is_kind: |has| {
            is_observation(has)
                && [
                    "is_root_observation",
                    "trace_name",
                    "user_id",
                    "session_id",
                    "release",
                ]
                .iter()
                .any(|key| has(key))
        },
        read: read_observation,
    },
    Importer {
        name: "Langfuse observations",
        keys: OBSERVATION_KEYS,
        is_kind: |has| is_observation(has),
        read: read_observation,
    },
    Importer {
        name: "Langfuse traces",
        keys: TRACE_KEYS,
        is_kind: |has| {
            let is_trace = has("id") && has("timestamp") && has("project_id");
            is_trace && !has("trace_id") && !has("observation_id")
        },
        read: read_trace,
    },
];

const TRACE_KEYS: &[&str] = &[
    "id",
    "timestamp",
    "name",
    "environment",
    "metadata",
    "user_id",
    "session_id",
    "release",
    "version",
    "tags",
    "updated_at",
];

const OBSERVATION_KEYS: &[&str] = &[
    "id",
    "trace_id",
    "environment",
    "type",
    "parent_observation_id",
    "is_root_observation",
    "start_time",
    "end_time",
    "completion_start_time",
    "name",
    "trace_name",
    "metadata",
    "level",
    "status_message",
    "version",
    "release",
    "user_id",
    "session_id",
    "tags",
    "provided_model_name",
    "usage_details",
    "cost_details",
    "total_cost",
    "prompt_name",
    "prompt_version",
    "updated_at",
];

/// Rank of a version as the release: behind all releases.
const VERSION: u8 = 40;

/// Longest type of an error that is made from a message, in characters.
const MAX_ERROR_TYPE: usize = 80;

fn is_observation(has: &dyn Fn(&str) -> bool) -> bool {
    let is_known = has("parent_observation_id") || has("type") && has("project_id");
    has("id") && has("trace_id") && has("start_time") && is_known
}

fn read_trace(row: &Value<'_>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    read_span(row, sink, trace_of)
}

fn read_observation(row: &Value<'_>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    read_span(row, sink, observation_of)
}

fn read_span<'a>(
    row: &Value<'a>,
    sink: &mut Sink<'_>,
    span_of: fn(&Value<'a>) -> Result<Span<'a>, RowFault>,
) -> Result<(), RowFault> {
    note_keys(sink, row);
    let mut span = span_of(row)?;
    put_named(&mut span, row, sink.settings);
    Ok(sink.span(&span)?)
}

/// The row of a trace. It has no time of its end: the observations have it.
fn trace_of<'a>(row: &Value<'a>) -> Result<Span<'a>, RowFault> {
    let id = first_id(row, &["id"])?;
    let start = time_of("timestamp", row.get("timestamp"))?;
    let mut span = Span {
        group: id.clone(),
        trace: id,
        role: Role::Agent,
        flags: Flags(Flags::TRACE | Flags::ONE_TURN),
        start,
        version: time_of("updated_at", row.get("updated_at"))?
            .or(start)
            .unwrap_or(0),
        ..Span::default()
    };
    put_context(&mut span, row);
    put(&mut span, Field::Release, VERSION, row.get("version"));
    put(&mut span, Field::Agent, 2, row.get("name"));
    Ok(span)
}

/// An observation, enriched or not.
fn observation_of<'a>(row: &Value<'a>) -> Result<Span<'a>, RowFault> {
    let trace = first_id(row, &["trace_id"])?;
    let start = time_of("start_time", row.get("start_time"))?;
    let end = time_of("end_time", row.get("end_time"))?;
    let is_root = row.get("is_root_observation").flag() == Some(true);
    let parent = text_of(row.get("parent_observation_id")).filter(|_| !is_root);
    let role = role_of(row);
    let usage = usage_of(row)?;
    let mut span = Span {
        group: trace.clone(),
        trace,
        id: first_id(row, &["id"])?,
        parent: parent.unwrap_or_default(),
        role,
        flags: Flags(Flags::ONE_TURN),
        start,
        end,
        first_token: time_of("completion_start_time", row.get("completion_start_time"))?,
        version: time_of("updated_at", row.get("updated_at"))?
            .or(end)
            .or(start)
            .unwrap_or(0),
        usage,
        cost: total_cost(row)?,
        ..Span::default()
    };
    span.flags.set(Flags::CACHE_BESIDE, is_cache_beside(row, &usage));
    span.flags.set(Flags::STREAM, span.first_token.is_some());
    if row
        .get("level")
        .text()
        .is_some_and(|level| level.eq_ignore_ascii_case("ERROR"))
    {
        span.flags.set(Flags::ERROR, true);
        if let Some(message) = text_of(row.get("status_message")) {
            span.put(Field::ErrorType, 1, error_type(&message));
        }
    }
    put_context(&mut span, row);
    if span.parent.is_empty() {
        // The version of a step below is that of the step.
        put(&mut span, Field::Release, VERSION, row.get("version"));
    }
    if role == Role::Agent {
        put(&mut span, Field::Agent, 1, row.get("name"));
    }
    put(&mut span, Field::Agent, 2, row.get("trace_name"));
    put(&mut span, Field::Model, 1, row.get("provided_model_name"));
    put(&mut span, Field::Prompt, 1, row.get("prompt_name"));
    put(&mut span, Field::PromptVersion, 1, row.get("prompt_version"));
    Ok(span)
}

/// Adds the texts that traces and observations have alike, and whether they are part of a test.
fn put_context<'a>(span: &mut Span<'a>, row: &Value<'a>) {
    put(span, Field::User, 1, row.get("user_id"));
    put(span, Field::Session, 1, row.get("session_id"));
    put(span, Field::Release, 1, row.get("release"));
    put_metadata(span, row.get("metadata"), 2);
    put_tags(span, row.get("tags"), 20);
    put(span, Field::Environment, 1, row.get("environment"));
    let environment = row.get("environment").text().unwrap_or_default();
    // Langfuse's own judges and experiments, and the experiments of its clients.
    let is_test = environment.starts_with("langfuse-") || environment == "sdk-experiment";
    let metadata = row.get("metadata").parsed();
    let is_of_run = !is_absent(metadata.get("dataset_run_id"));
    span.flags.set(Flags::EVAL, is_test || is_of_run);
}

fn role_of(row: &Value<'_>) -> Role {
    let kind = row.get("type").text().unwrap_or_default().to_ascii_uppercase();
    match kind.as_str() {
        "GENERATION" => Role::Inference,
        "AGENT" | "CHAIN" => Role::Agent,
        "TOOL" => Role::Tool,
        "EMBEDDING" => Role::Embedding,
        "EVALUATOR" => Role::Evaluator,
        "" if !is_absent(row.get("provided_model_name")) => Role::Inference,
        _ => Role::Step,
    }
}

/// The tokens. Langfuse takes the kinds of tokens, such as cached, audio and reasoning ones, out of
/// `input` and `output`: all kinds together are the tokens. Cached ones stay apart here, because
/// [`Flags::CACHE_BESIDE`] says that they are to be added.
fn usage_of(row: &Value<'_>) -> Result<Usage, RowFault> {
    let details = row.get("usage_details").parsed();
    let mut usage = Usage::default();
    if is_absent(&details) {
        return Ok(usage);
    }
    if !matches!(&*details, Value::Map(_)) {
        return Err(wrong("usage_details", "an object of numbers of tokens", &details));
    }
    for (kind, value) in details.entries() {
        let Some(tokens) = count_of(&format!("usage_details.{kind}"), value)? else {
            continue;
        };
        let has = |part: &str| kind.contains(part);
        let sum = if has("total") {
            continue;
        } else if has("cache") && (has("creation") || has("write")) {
            &mut usage.cache_write
        } else if has("cache") {
            &mut usage.cache_read
        } else if kind.starts_with("output") {
            if has("reasoning") {
                usage.reasoning = Some(usage.reasoning.unwrap_or(0).saturating_add(tokens));
            }
            &mut usage.output
        } else if kind.starts_with("input") {
            &mut usage.input
        } else {
            continue;
        };
        *sum = Some(sum.unwrap_or(0).saturating_add(tokens));
    }
    Ok(usage)
}

/// Whether cached tokens lie beside the input. They do, unless the row's own total says that the input
/// has them.
fn is_cache_beside(row: &Value<'_>, usage: &Usage) -> bool {
    let details = row.get("usage_details").parsed();
    let plain = usage.input.unwrap_or(0).saturating_add(usage.output.unwrap_or(0));
    details.get("total").whole() != Some(plain)
}

/// The cost: the total, or the sum of its kinds.
fn total_cost(row: &Value<'_>) -> Result<Option<i64>, RowFault> {
    if let Some(cost) = cost_of("total_cost", row.get("total_cost"))? {
        return Ok(Some(cost));
    }
    let details = row.get("cost_details").parsed();
    if let Some(cost) = cost_of("cost_details.total", details.get("total"))? {
        return Ok(Some(cost));
    }
    let mut sum = None;
    for (kind, value) in details.entries() {
        if let Some(cost) = cost_of(&format!("cost_details.{kind}"), value)? {
            sum = Some(cost.saturating_add(sum.unwrap_or(0)));
        }
    }
    Ok(sum)
}

/// The type of an error from its message: the word before its first `:`, else its first line.
fn error_type(message: &str) -> String {
    let line = message.trim().lines().next().unwrap_or_default();
    let word = line.split_once(':').map(|(word, _)| word);
    let word = word.filter(|word| !word.is_empty() && !word.contains(char::is_whitespace));
    word.unwrap_or(line).chars().take(MAX_ERROR_TYPE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value<'_> {
        serde_json::from_str(text).unwrap()
    }

    const GENERATION: &str = r#"{"id":"ob-0-1","trace_id":"tr-0000","project_id":"cl_proj_01","environment":"production","type":"GENERATION","parent_observation_id":"ob-0-0","start_time":"2026-05-28 00:00:00.005000","end_time":"2026-05-28 00:00:00.815000","name":"chat","metadata":{},"level":"DEFAULT","status_message":null,"version":"6","provided_model_name":"gpt-4o-mini-2025-11","usage_details":{"input":"900","output":"120","input_cached_tokens":"30","total":"1050"},"cost_details":{"input":0.000135,"output":7.2e-05,"total":0.000207},"completion_start_time":"2026-05-28 00:00:00.310000","prompt_name":"cs_main","prompt_version":6,"total_cost":0.000207,"latency":810,"updated_at":"2026-05-28 00:00:00.815000"}"#;

    #[test]
    fn generations_have_tokens_of_quoted_numbers_cost_and_times() {
        let row = value(GENERATION);
        let span = observation_of(&row).unwrap();
        assert_eq!(
            (&*span.group, &*span.trace, &*span.id, &*span.parent),
            ("tr-0000", "tr-0000", "ob-0-1", "ob-0-0")
        );
        assert_eq!(span.role, Role::Inference);
        assert_eq!(span.usage.input, Some(900));
        assert_eq!(span.usage.cache_read, Some(30));
        assert_eq!(span.usage.output, Some(120));
        assert_eq!(span.cost, Some(207_000_000));
        // The column of the latency is in seconds or milliseconds: the times count.
        assert_eq!(span.end.unwrap() - span.start.unwrap(), 810_000_000);
        assert_eq!(span.first_token.unwrap() - span.start.unwrap(), 305_000_000);
        assert_eq!(span.version, span.end.unwrap());
        for flag in [Flags::ONE_TURN, Flags::CACHE_BESIDE, Flags::STREAM] {
            assert!(span.flags.has(flag), "{flag}");
        }
        assert!(!span.flags.has(Flags::EVAL | Flags::ERROR | Flags::TRACE));
        let check =
            |field: Field, expected: Option<&str>| assert_eq!(span.text(field), expected, "{field:?}");
        check(Field::Model, Some("gpt-4o-mini-2025-11"));
        check(Field::Prompt, Some("cs_main"));
        check(Field::PromptVersion, Some("6"));
        check(Field::User, None);
        check(Field::Agent, None);
    }

    #[test]
    fn the_total_says_whether_the_input_has_cached_tokens() {
        let check = |total: &str, expected: bool| {
            let text = format!(
                r#"{{"usage_details":{{"input":900,"output":"120","input_cached_tokens":128{total}}}}}"#
            );
            let row = value(&text);
            assert_eq!(
                is_cache_beside(&row, &usage_of(&row).unwrap()),
                expected,
                "{total}"
            );
        };
        check("", true);
        check(",\"total\":1148", true);
        check(",\"total\":\"1020\"", false);
    }

    #[test]
    fn all_kinds_of_tokens_together_are_the_tokens() {
        // Usage, then input, output, read from cache, written to cache, reasoning.
        let check = |usage: &str, expected: [Option<i64>; 5]| {
            let text = format!(r#"{{"usage_details":{usage}}}"#);
            let usage = usage_of(&value(&text)).unwrap();
            let found = [
                usage.input,
                usage.output,
                usage.cache_read,
                usage.cache_write,
                usage.reasoning,
            ];
            assert_eq!(found, expected, "{text}");
        };
        check("null", [None; 5]);
        check("\"\"", [None; 5]);
        check("{}", [None; 5]);
        check(r#"{"total":5}"#, [None; 5]);
        check(r#""{\"input\":\"1\"}""#, [Some(1), None, None, None, None]);
        check(
            r#"{"input":10,"input_audio_tokens":5,"output":20,"output_reasoning_tokens":7,"total":42}"#,
            [Some(15), Some(27), None, None, Some(7)],
        );
        check(
            r#"{"input":10,"cache_read_input_tokens":3,"cache_creation_input_tokens":4,"output":1}"#,
            [Some(10), Some(1), Some(3), Some(4), None],
        );
        check(r#"{"input":1,"output":null}"#, [Some(1), None, None, None, None]);
        assert!(usage_of(&value(r#"{"usage_details":{"input":"many"}}"#)).is_err());
        assert!(usage_of(&value(r#"{"usage_details":[1]}"#)).is_err());
    }

    #[test]
    fn cost_is_the_total_or_the_sum_of_its_kinds() {
        let check = |row: &str, expected: Option<i64>| {
            assert_eq!(total_cost(&value(row)).unwrap(), expected, "{row}")
        };
        check(
            r#"{"total_cost":"0.000207000000","cost_details":{"total":9}}"#,
            Some(207_000_000),
        );
        check(
            r#"{"total_cost":null,"cost_details":{"total":1e-12,"input":5}}"#,
            Some(1),
        );
        check(
            r#"{"cost_details":"{\"input\":1e-12,\"output\":\"2e-12\"}"}"#,
            Some(3),
        );
        check(r#"{"total_cost":"","cost_details":{}}"#, None);
        check(r#"{"total_cost":0}"#, Some(0));
        assert!(total_cost(&value(r#"{"total_cost":"free"}"#)).is_err());
    }

    #[test]
    fn traces_are_the_turn_itself_with_its_texts() {
        let row = value(
            r#"{"id":"tr-0001","timestamp":"2026-05-28 00:01:01.000000","name":"cs_agent","environment":"production","project_id":"cl_proj_01","metadata":{"tenant_id":"bu_electronics","feature":"checkout_assist","release_id":"other","user_layer":"layer2"},"user_id":"u-1001","session_id":"conv-0001","release":"rel_2026_05_28_001","version":"7","tags":["bu_electronics"],"updated_at":"2026-05-28 00:01:02.429999"}"#,
        );
        let span = trace_of(&row).unwrap();
        assert_eq!((&*span.group, &*span.id, span.end), ("tr-0001", "", None));
        assert!(span.flags.has(Flags::TRACE));
        assert_eq!(span.version - span.start.unwrap(), 1_429_999_000);
        let check = |field: Field, expected: &str| assert_eq!(span.text(field), Some(expected), "{field:?}");
        check(Field::User, "u-1001");
        check(Field::Session, "conv-0001");
        check(Field::Release, "rel_2026_05_28_001");
        check(Field::Tenant, "bu_electronics");
        check(Field::Feature, "checkout_assist");
        check(Field::Layer, "layer2");
        check(Field::Agent, "cs_agent");
        check(Field::Environment, "production");
        assert!(trace_of(&value(r#"{"id":"","timestamp":"2026-05-28"}"#)).is_err());
    }

    #[test]
    fn the_release_is_that_of_the_trace_then_of_metadata_then_the_version() {
        let check = |row: &str, expected: Option<&str>| {
            let text = format!(r#"{{"id":"t",{row}}}"#);
            assert_eq!(
                trace_of(&value(&text)).unwrap().text(Field::Release),
                expected,
                "{text}"
            );
        };
        check(
            r#""release":"a","metadata":{"release_id":"b"},"version":"c""#,
            Some("a"),
        );
        check(
            r#""release":"","metadata":"{\"release_id\":\"b\"}","version":"c""#,
            Some("b"),
        );
        check(r#""tags":["release:d"],"version":"c""#, Some("d"));
        check(r#""version":"c""#, Some("c"));
        check(r#""release":null,"version":"""#, None);
        let release = |parent: &str| {
            let text =
                format!(r#"{{"id":"o","trace_id":"t","parent_observation_id":"{parent}","version":"c"}}"#);
            let row = value(&text);
            let span = observation_of(&row).unwrap();
            span.text(Field::Release).map(str::to_owned)
        };
        assert_eq!((release("").as_deref(), release("p")), (Some("c"), None));
    }

    #[test]
    fn roles_are_those_of_the_types() {
        let check = |row: &str, expected: Role| assert_eq!(role_of(&value(row)), expected, "{row}");
        check(r#"{"type":"GENERATION"}"#, Role::Inference);
        check(r#"{"type":"AGENT"}"#, Role::Agent);
        check(r#"{"type":"CHAIN"}"#, Role::Agent);
        check(r#"{"type":"TOOL"}"#, Role::Tool);
        check(r#"{"type":"EMBEDDING"}"#, Role::Embedding);
        check(r#"{"type":"EVALUATOR"}"#, Role::Evaluator);
        check(r#"{"type":"RETRIEVER"}"#, Role::Step);
        check(r#"{"type":"SPAN","provided_model_name":"m"}"#, Role::Step);
        check(r#"{"provided_model_name":"m"}"#, Role::Inference);
        check("{}", Role::Step);
    }

    #[test]
    fn judges_and_experiments_are_no_traffic() {
        let check = |row: &str, expected: bool| {
            let text = format!(r#"{{"id":"o","trace_id":"t",{row}}}"#);
            assert_eq!(
                observation_of(&value(&text)).unwrap().flags.has(Flags::EVAL),
                expected,
                "{text}"
            );
        };
        check(r#""environment":"langfuse-llm-as-a-judge""#, true);
        check(r#""environment":"sdk-experiment""#, true);
        check(r#""metadata":{"dataset_run_id":"r"}"#, true);
        check(
            r#""environment":"production","metadata":{"dataset_run_id":""}"#,
            false,
        );
        check(r#""environment":"my-langfuse-app""#, false);
    }

    #[test]
    fn failed_observations_have_the_type_of_their_error() {
        let check = |level: &str, message: &str, expected: Option<&str>| {
            let text =
                format!(r#"{{"id":"o","trace_id":"t","level":"{level}","status_message":"{message}"}}"#);
            let row = value(&text);
            let span = observation_of(&row).unwrap();
            assert_eq!(span.flags.has(Flags::ERROR), level == "ERROR", "{text}");
            assert_eq!(span.text(Field::ErrorType), expected, "{text}");
        };
        check("ERROR", "RateLimitError: Error code: 429", Some("RateLimitError"));
        check("ERROR", "upstream timed out\\nstack", Some("upstream timed out"));
        check("ERROR", "", None);
        check("WARNING", "slow", None);
    }

    #[test]
    fn enriched_observations_have_empty_texts_for_none() {
        let row = value(
            r#"{"id":"o","trace_id":"t","type":"AGENT","parent_observation_id":"","name":"cs","user_id":"u","session_id":"","release":"r","provided_model_name":"","prompt_name":"","trace_name":"tn","is_root_observation":true,"metadata":{"session_id":"s"}}"#,
        );
        let span = observation_of(&row).unwrap();
        assert_eq!((&*span.parent, span.start, span.version), ("", None, 0));
        assert_eq!(span.text(Field::Session), Some("s"));
        assert_eq!(span.text(Field::Agent), Some("cs"));
        assert_eq!(span.text(Field::Model), None);
        // The parent of a root is in no file.
        let row =
            value(r#"{"id":"o","trace_id":"t","parent_observation_id":"far","is_root_observation":true}"#);
        assert_eq!(observation_of(&row).unwrap().parent, "");
        assert!(observation_of(&value(r#"{"id":"o","trace_id":null}"#)).is_err());
        assert!(observation_of(&value(r#"{"trace_id":"t"}"#)).is_err());
        assert!(observation_of(&value(r#"{"id":"o","trace_id":"t","start_time":"soon"}"#)).is_err());
    }

    #[test]
    fn files_are_known_by_their_keys() {
        let check = |keys: &[&str], expected: Option<&str>| {
            let has = |key: &str| keys.contains(&key);
            let found = IMPORTERS.iter().find(|importer| (importer.is_kind)(&has));
            assert_eq!(found.map(|importer| importer.name), expected, "{keys:?}");
        };
        check(
            &["version", "projectId", "window", "files"],
            Some("Langfuse manifest"),
        );
        check(TRACE_KEYS, None);
        check(&["id", "timestamp", "project_id"], Some("Langfuse traces"));
        check(langfuse_scores::KEYS, Some("Langfuse scores"));
        check(OBSERVATION_KEYS, Some("Langfuse observations_v2"));
        check(
            &[
                "id",
                "trace_id",
                "project_id",
                "type",
                "parent_observation_id",
                "start_time",
            ],
            Some("Langfuse observations"),
        );
        check(&["id", "trace_id", "start_time", "run_type"], None);
    }
}

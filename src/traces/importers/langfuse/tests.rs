//! Tests of exports and pages of Langfuse.

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
    let check = |field: Field, expected: Option<&str>| assert_eq!(span.text(field), expected, "{field:?}");
    check(Field::Model, Some("gpt-4o-mini-2025-11"));
    check(Field::Prompt, Some("cs_main"));
    check(Field::PromptVersion, Some("6"));
    check(Field::User, None);
    check(Field::Agent, None);
}

#[test]
fn the_total_says_whether_the_input_has_cached_tokens() {
    let check = |total: &str, expected: bool| {
        let text =
            format!(r#"{{"usage_details":{{"input":900,"output":"120","input_cached_tokens":128{total}}}}}"#);
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
    let check =
        |row: &str, expected: Option<i64>| assert_eq!(total_cost(&value(row)).unwrap(), expected, "{row}");
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
        let text = format!(r#"{{"id":"o","trace_id":"t","parent_observation_id":"{parent}","version":"c"}}"#);
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
        let text = format!(r#"{{"id":"o","trace_id":"t","level":"{level}","status_message":"{message}"}}"#);
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
    let row = value(r#"{"id":"o","trace_id":"t","parent_observation_id":"far","is_root_observation":true}"#);
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
    // The public API.
    check(&["data", "meta"], Some("Langfuse pages"));
    check(&["data", "total_pages"], None);
    check(
        &["id", "timestamp", "htmlPath", "observations"],
        Some("Langfuse traces"),
    );
    check(
        &["id", "traceId", "startTime", "type", "level"],
        Some("Langfuse observations"),
    );
    check(
        &["id", "traceId", "startTime", "parentObservationId", "traceName"],
        Some("Langfuse observations_v2"),
    );
    check(
        &["id", "traceId", "name", "value", "dataType"],
        Some("Langfuse scores"),
    );
    check(&["id", "startTime", "call_type"], None);
}

#[test]
fn observations_of_the_api_are_those_of_exports() {
    let of_api = r#"{"id":"ob-0-1","traceId":"tr-0000","projectId":"cl_proj_01","environment":"production","type":"GENERATION","parentObservationId":"ob-0-0","startTime":"2026-05-28T00:00:00.005Z","endTime":"2026-05-28T00:00:00.815Z","name":"chat","metadata":{},"level":"DEFAULT","statusMessage":null,"version":"6","model":"gpt-4o-mini-2025-11","usageDetails":{"input":900,"output":120,"input_cached_tokens":30,"total":1050},"costDetails":{"total":0.000207},"completionStartTime":"2026-05-28T00:00:00.310Z","promptName":"cs_main","promptVersion":6,"calculatedTotalCost":0.000207,"latency":0.81,"updatedAt":"2026-05-28T00:00:00.815Z"}"#;
    let row = value(of_api);
    let (of_api, of_export) = (plain_names(&row), value(GENERATION));
    assert_eq!(
        observation_of(&of_api).unwrap(),
        observation_of(&of_export).unwrap()
    );
}

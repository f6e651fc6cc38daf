//! Exports of Langfuse: traces, observations, enriched observations, scores and manifests.
//!
//! A trace is one turn. Its row has the texts of the turn; observations have tokens, cost and errors.
//! Every column but the core is optional, because users choose the groups of columns. The public API
//! has the same rows under names such as `traceId`, in pages with `data` and `meta`.

use crate::traces::importers::fields::{
    cost_of, count_of, first_id, is_absent, note_keys, put, put_metadata, put_named, put_tags, time_of,
};
use crate::traces::importers::importer::{Importer, RowFault, wrong};
use crate::traces::importers::langfuse_names::{has_either, plain_names};
use crate::traces::importers::langfuse_scores;
use crate::traces::importers::pages::{read_list, read_page};
use crate::traces::record::{Field, Flags, Role, Span, Usage};
use crate::traces::sink::{Sink, text_of};
use crate::traces::value::Value;

/// The kinds of rows. A file is of the first kind that its keys fit.
pub(in crate::traces) const IMPORTERS: &[Importer] = &[
    Importer {
        name: "Langfuse manifest",
        keys: &["version", "window", "files"],
        is_kind: |has| has("window") && has("files"),
        read: |row, sink| {
            note_keys(sink, row);
            Ok(())
        },
    },
    Importer {
        name: "Langfuse pages",
        keys: &["data", "meta"],
        is_kind: |has| has("data") && has("meta"),
        read: |page, sink| read_page(IMPORTERS, "data", page, sink),
    },
    Importer {
        name: "Langfuse scores",
        keys: langfuse_scores::KEYS,
        is_kind: |has| {
            let has = |key: &str| has_either(has, key);
            // The API leaves out ids that are null.
            let is_score = has("observation_id") || has("data_type");
            has("id") && is_score && has("name") && (has("value") || has("string_value"))
        },
        read: langfuse_scores::read,
    },
    Importer {
        name: "Langfuse observations_v2",
        keys: OBSERVATION_KEYS,
        is_kind: |has| {
            let enriched = [
                "is_root_observation",
                "trace_name",
                "user_id",
                "session_id",
                "release",
            ];
            is_observation(has) && enriched.iter().any(|key| has_either(has, key))
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
            let has = |key: &str| has_either(has, key);
            let is_trace = has("id") && has("timestamp") && (has("project_id") || has("html_path"));
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
    // Names of the API, and the rows within an answer for one trace.
    "userId",
    "sessionId",
    "updatedAt",
    "observations",
    "scores",
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
    // Names of the API.
    "traceId",
    "parentObservationId",
    "isRootObservation",
    "startTime",
    "endTime",
    "completionStartTime",
    "traceName",
    "statusMessage",
    "userId",
    "sessionId",
    "model",
    "providedModelName",
    "usage",
    "usageDetails",
    "costDetails",
    "totalCost",
    "calculatedTotalCost",
    "promptName",
    "promptVersion",
    "updatedAt",
];

/// Rank of a version as the release: behind all releases.
const VERSION: u8 = 40;

/// Longest type of an error that is made from a message, in characters.
const MAX_ERROR_TYPE: usize = 80;

fn is_observation(has: &dyn Fn(&str) -> bool) -> bool {
    let has = |key: &str| has_either(has, key);
    let is_known = has("parent_observation_id") || has("type") && (has("project_id") || has("level"));
    has("id") && has("trace_id") && has("start_time") && is_known
}

fn read_trace(row: &Value<'_>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    read_span(row, sink, trace_of)?;
    // The answer for one trace has the rows of its observations; others have their ids.
    let is_row = |row: &&Value<'_>| matches!(row, Value::Map(_));
    for (key, read) in [
        (
            "observations",
            read_observation as fn(&Value<'_>, &mut Sink<'_>) -> Result<(), RowFault>,
        ),
        ("scores", langfuse_scores::read),
    ] {
        let rows: Vec<Value<'_>> = row.get(key).elements().iter().filter(is_row).cloned().collect();
        sink.coverage.n_rows += u64::from(!rows.is_empty());
        read_list(&rows, sink, read)?;
    }
    Ok(())
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
    let mut span = span_of(&plain_names(row))?;
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
mod tests;

//! LangSmith: a row is a run, as the bulk export and the API have it.
//!
//! `session_id` is the project there, and `tenant_id` the workspace: both are not read. The user's
//! session and tenant are in `extra.metadata`.

use crate::traces::importers::fields::{
    cost_of, count_of, either, error_class, id_of, is_absent, note_keys, optional_id, put, put_metadata,
    put_named, time_of,
};
use crate::traces::importers::importer::{Importer, RowFault};
use crate::traces::importers::langsmith_feedback;
use crate::traces::importers::pages::read_page;
use crate::traces::record::{Field, Flags, Role, Span, Target};
use crate::traces::sink::{RawScore, Sink, text_of};
use crate::traces::value::Value;

pub(in crate::traces) const IMPORTERS: &[Importer] = &[
    Importer {
        name: "LangSmith runs",
        keys: &[
            "id",
            "trace_id",
            "parent_run_id",
            "run_type",
            "start_time",
            "end_time",
            "first_token_time",
            "error",
            "status",
            "extra",
            "outputs",
            "prompt_tokens",
            "completion_tokens",
            "prompt_token_details",
            "completion_token_details",
            "total_cost",
            "reference_example_id",
            "feedback_stats",
        ],
        is_kind: |has| has("id") && has("run_type"),
        read,
    },
    Importer {
        name: "LangSmith feedback",
        keys: langsmith_feedback::KEYS,
        is_kind: |has| has("run_id") && has("key") && (has("score") || has("value")),
        read: langsmith_feedback::read,
    },
    // Answers of `/runs/query`.
    Importer {
        name: "LangSmith pages",
        keys: &["runs", "cursors"],
        is_kind: |has| has("runs") && has("cursors"),
        read: |page, sink| read_page(IMPORTERS, "runs", page, sink),
    },
];

fn read<'a>(row: &Value<'a>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    note_keys(sink, row);
    let mut span = span_of(row)?;
    put_named(&mut span, row, sink.settings);
    sink.span(&span)?;
    let target = Target::Trace(span.trace.clone(), span.id.clone());
    for score in scores_of(row, &span) {
        sink.score(&target, &score)?;
    }
    Ok(())
}

fn span_of<'a>(row: &Value<'a>) -> Result<Span<'a>, RowFault> {
    let id = id_of("id", row.get("id"))?;
    let parent = optional_id("parent_run_id", row.get("parent_run_id"))?;
    // The trace has the id of its root.
    let trace = if parent.is_empty() {
        either(row.get("trace_id"), row.get("id"))
    } else {
        row.get("trace_id")
    };
    let trace = id_of("trace_id", trace)?;
    let start = time_of("start_time", row.get("start_time"))?;
    let end = time_of("end_time", row.get("end_time"))?;
    let kind = text_of(row.get("run_type"));
    let mut span = Span {
        group: trace.clone(),
        trace,
        id,
        role: role_of(kind.as_deref().unwrap_or_default(), parent.is_empty()),
        parent,
        flags: Flags(Flags::ONE_TURN),
        start,
        end,
        first_token: time_of("first_token_time", row.get("first_token_time"))?,
        // A run that is written again has ended.
        version: end.unwrap_or(0),
        cost: cost_of("total_cost", row.get("total_cost"))?,
        ..Span::default()
    };
    read_usage(row, &mut span)?;
    let error = text_of(row.get("error"));
    let status = text_of(row.get("status"));
    let is_failed = error.is_some() || status.is_some_and(|status| status == "error");
    span.flags.set(Flags::ERROR, is_failed);
    if let Some(class) = error.as_deref().and_then(error_class) {
        span.put(Field::ErrorType, 1, class.to_owned());
    }
    // A run on an example of a data set.
    let example = optional_id("reference_example_id", row.get("reference_example_id"))?;
    span.flags.set(Flags::EVAL, !example.is_empty());
    let extra = row.get("extra").parsed();
    let metadata = extra.get("metadata").parsed();
    put_metadata(&mut span, &metadata, 1);
    put(&mut span, Field::Model, 2, metadata.get("ls_model_name"));
    for (rank, key) in [(1, "model"), (2, "model_name")] {
        put(
            &mut span,
            Field::RequestedModel,
            rank,
            extra.get("invocation_params").get(key),
        );
    }
    Ok(span)
}

fn role_of(kind: &str, is_root: bool) -> Role {
    match kind {
        "llm" => Role::Inference,
        "chain" => Role::Agent,
        "tool" => Role::Tool,
        "embedding" => Role::Embedding,
        _ if is_root => Role::Agent,
        _ => Role::Step,
    }
}

/// Reads the tokens: of the run, else of what the model's wrapper wrote into its metadata or answer.
fn read_usage(row: &Value<'_>, span: &mut Span<'_>) -> Result<(), RowFault> {
    let usage = &mut span.usage;
    usage.input = count_of("prompt_tokens", row.get("prompt_tokens"))?;
    usage.output = count_of("completion_tokens", row.get("completion_tokens"))?;
    let input = row.get("prompt_token_details").parsed();
    let output = row.get("completion_token_details").parsed();
    let (mut input, mut output) = (input.into_owned(), output.into_owned());
    if usage.input.is_none() && usage.output.is_none() {
        let keys = ["extra.metadata.usage_metadata", "outputs.usage_metadata"];
        let found = keys.iter().map(|key| (*key, row.at(key)));
        let mut found = found.filter(|(_, value)| !is_absent(value));
        let (key, wrapped) = found.next().unwrap_or((keys[0], Value::Null));
        let wrapped = wrapped.parsed();
        if span.cost.is_none() {
            span.cost = cost_of(key, wrapped.get("total_cost"))?;
        }
        usage.input = count_of(key, wrapped.get("input_tokens"))?;
        usage.output = count_of(key, wrapped.get("output_tokens"))?;
        input = wrapped.get("input_token_details").clone();
        output = wrapped.get("output_token_details").clone();
    }
    usage.cache_read = count_of("prompt_token_details.cache_read", input.get("cache_read"))?;
    usage.cache_write = count_of("prompt_token_details.cache_creation", input.get("cache_creation"))?;
    usage.reasoning = count_of("completion_token_details.reasoning", output.get("reasoning"))?;
    // Runs of tools and the like have zeros.
    let is_of_model = matches!(span.role, Role::Inference | Role::Agent | Role::Embedding);
    if !is_of_model && !usage.has_tokens() {
        *usage = Default::default();
        span.cost = span.cost.filter(|cost| *cost > 0);
    }
    Ok(())
}

/// The scores of a run: the mean of each feedback, or the only label that was given.
fn scores_of<'a>(row: &Value<'a>, span: &Span<'a>) -> Vec<RawScore<'a>> {
    let stats = row.get("feedback_stats").parsed();
    let mut scores = Vec::new();
    for name in stats.keys() {
        let stat = stats.get(name).parsed();
        if stat.get("n").whole() == Some(0) {
            continue;
        }
        let values = stat.get("values").parsed();
        let mut labels = values.keys();
        let label = labels.next().filter(|_| labels.next().is_none());
        scores.push(RawScore {
            name: name.to_owned().into(),
            number: stat.get("avg").number(),
            label: label.map(|label| label.to_owned().into()),
            id: format!("{}/{name}", span.id).into(),
            at: None,
            version: span.version,
        });
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"id":"r-3","name":"cs_agent","run_type":"chain","start_time":"2026-05-28T00:03:03",
        "end_time":"2026-05-28T00:03:33","extra":{"metadata":{"user_id":"u-3090","session_id":"conv-0003",
        "tenant_id":"bu_books","release_id":"rel_1","revision_id":"git-7"}},"error":null,"tags":["rel_2"],
        "trace_id":"r-3","status":"success","parent_run_id":null,"session_id":"proj-uuid","tenant_id":"workspace",
        "total_tokens":1164,"prompt_tokens":1011,"completion_tokens":153,"total_cost":"0.0002",
        "first_token_time":null,"feedback_stats":{"user_score":{"n":1,"avg":1.0},"old":{"n":0,"avg":null},
        "thumbs":{"n":2,"avg":null,"values":{"up":2}}}}"#;

    fn value(text: &str) -> Value<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_root_run_has_the_identities_of_its_metadata_and_not_of_the_workspace() {
        let span = span_of(&value(ROW)).unwrap();
        for (field, expected) in [
            (Field::User, Some("u-3090")),
            (Field::Session, Some("conv-0003")),
            (Field::Tenant, Some("bu_books")),
            (Field::Release, Some("rel_1")),
        ] {
            assert_eq!(span.text(field), expected, "{field:?}");
        }
        assert_eq!((span.group.as_ref(), span.parent.as_ref()), ("r-3", ""));
        assert_eq!((span.usage.input, span.usage.output), (Some(1011), Some(153)));
        assert_eq!(span.cost, Some(200_000_000));
        assert_eq!(span.end.unwrap() - span.start.unwrap(), 30_000_000_000);
        assert_eq!((span.role, span.flags.0), (Role::Agent, Flags::ONE_TURN));
    }

    #[test]
    fn without_metadata_neither_project_nor_workspace_nor_revision_nor_tags_stand_in() {
        let row = ROW.replace("\"user_id\":\"u-3090\",\"session_id\":\"conv-0003\",", "");
        let row = row.replace("\"tenant_id\":\"bu_books\",\"release_id\":\"rel_1\",", "");
        let row = row.replace("\"metadata\":{\n        ", "\"metadata\":{");
        let span = span_of(&value(&row)).unwrap();
        assert_eq!(span.text(Field::Session), None);
        assert_eq!(span.text(Field::Tenant), None);
        assert_eq!(span.text(Field::Release), None);
    }

    #[test]
    fn json_texts_of_parquet_are_opened() {
        let row = r#"{"id":"r-4","trace_id":"r-3","parent_run_id":"r-3","run_type":"llm","start_time":1779926400000000,
            "extra":"{\"metadata\":{\"thread_id\":\"t-1\",\"ls_model_name\":\"m-1\",\"usage_metadata\":{\"input_tokens\":9,\"output_tokens\":2,\"input_token_details\":{\"cache_read\":4}}},\"invocation_params\":{\"model\":\"m\"}}"}"#;
        let span = span_of(&value(row)).unwrap();
        assert_eq!(span.text(Field::Session), Some("t-1"));
        assert_eq!(
            (span.text(Field::Model), span.text(Field::RequestedModel)),
            (Some("m-1"), Some("m"))
        );
        assert_eq!(
            (span.usage.input, span.usage.output, span.usage.cache_read),
            (Some(9), Some(2), Some(4))
        );
        assert_eq!(
            (span.role, span.end, span.parent.as_ref()),
            (Role::Inference, None, "r-3")
        );
    }

    #[test]
    fn errors_examples_and_tools() {
        let check = |from: &str, to: &str, flags: u16, class: Option<&str>| {
            let row = ROW.replace(from, to);
            let span = span_of(&value(&row)).unwrap();
            assert_eq!(
                (span.flags.0 & !Flags::ONE_TURN, span.text(Field::ErrorType)),
                (flags, class),
                "{to}"
            );
        };
        let timeout = "\"error\":\"TimeoutError()Traceback\"";
        check("\"error\":null", timeout, Flags::ERROR, Some("TimeoutError"));
        check("\"error\":null", "\"error\":\"\"", 0, None);
        check("\"success\"", "\"error\"", Flags::ERROR, None);
        check(
            "\"trace_id\"",
            "\"reference_example_id\":\"e-1\",\"trace_id\"",
            Flags::EVAL,
            None,
        );
        let row = r#"{"id":"r-5","trace_id":"r-3","parent_run_id":"r-3","run_type":"tool","prompt_tokens":0,
            "completion_tokens":0,"total_cost":0}"#;
        let span = span_of(&value(row)).unwrap();
        assert_eq!(
            (span.role, span.usage, span.cost),
            (Role::Tool, Default::default(), None)
        );
    }

    #[test]
    fn feedback_is_a_mean_or_the_only_label() {
        let row = value(ROW);
        let scores = scores_of(&row, &span_of(&row).unwrap());
        let found: Vec<_> = scores
            .iter()
            .map(|score| (score.name.as_ref(), score.number, score.label.as_deref()))
            .collect();
        assert_eq!(
            found,
            [("user_score", Some(1.0), None), ("thumbs", None, Some("up"))]
        );
    }

    #[test]
    fn wrong_values_are_faults_that_name_their_key() {
        let check = |from: &str, to: &str, expected: &str| match span_of(&value(&ROW.replace(from, to))) {
            Err(RowFault::Value { key, .. }) => assert_eq!(key, expected),
            other => panic!("{to}: {other:?}"),
        };
        check("\"id\":\"r-3\",", "\"id\":null,", "id");
        check(
            "\"trace_id\":\"r-3\",\"status\":\"success\",\"parent_run_id\":null",
            "\"parent_run_id\":\"r-1\"",
            "trace_id",
        );
        check("\"2026-05-28T00:03:33\"", "\"soon\"", "end_time");
        check("1011", "\"many\"", "prompt_tokens");
        check("\"0.0002\"", "\"-1\"", "total_cost");
    }
}

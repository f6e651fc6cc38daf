//! Braintrust: a row is a span, or a trace in the export *Logs (traces)*, which is its root span with
//! the metrics of all its spans.

use crate::traces::importers::fields::{
    cost_of, count_of, either, error_class, id_of, note_keys, optional_id, put, put_metadata, put_named,
    time_of,
};
use crate::traces::importers::importer::{Importer, RowFault, wrong};
use crate::traces::record::{Field, Flags, Role, Span, Target};
use crate::traces::sink::{RawScore, Sink, text_of};
use crate::traces::value::Value;

pub(in crate::traces) const IMPORTERS: &[Importer] = &[Importer {
    name: "Braintrust logs",
    keys: &[
        "id",
        "span_id",
        "root_span_id",
        "span_parents",
        "span_attributes",
        "created",
        "_xact_id",
        "metrics",
        "metadata",
        "scores",
        "error",
        "experiment_id",
    ],
    is_kind: |has| has("root_span_id"),
    read,
}];

fn read<'a>(row: &Value<'a>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    note_keys(sink, row);
    let mut span = span_of(row)?;
    put_named(&mut span, row, sink.settings);
    sink.span(&span)?;
    let target = Target::Trace(span.trace.clone(), span.id.clone());
    for score in scores_of(row, &span)? {
        sink.score(&target, &score)?;
    }
    Ok(())
}

fn span_of<'a>(row: &Value<'a>) -> Result<Span<'a>, RowFault> {
    let trace = id_of("root_span_id", row.get("root_span_id"))?;
    let parents = row.get("span_parents").parsed();
    let parent = match &*parents {
        Value::List(ids) => ids.first().unwrap_or(&Value::Null),
        Value::Null => &Value::Null,
        other => return Err(wrong("span_parents", "a list of ids", other)),
    };
    let parent = optional_id("span_parents", parent)?;
    let metrics = row.get("metrics").parsed();
    let start = time_of("metrics.start", either(metrics.get("start"), row.get("created")))?;
    let end = time_of("metrics.end", metrics.get("end"))?;
    let mut span = Span {
        group: trace.clone(),
        trace,
        id: id_of("span_id", either(row.get("span_id"), row.get("id")))?,
        parent,
        flags: Flags(Flags::ONE_TURN),
        start,
        end,
        // A number that grows with each write.
        version: count_of("_xact_id", row.get("_xact_id"))?.or(end).unwrap_or(0),
        cost: cost_of("metrics.estimated_cost", metrics.get("estimated_cost"))?,
        ..Span::default()
    };
    let usage = &mut span.usage;
    for (slot, key) in [
        (&mut usage.input, "prompt_tokens"),
        (&mut usage.output, "completion_tokens"),
        (&mut usage.cache_read, "prompt_cached_tokens"),
        (&mut usage.cache_write, "prompt_cache_creation_tokens"),
        (&mut usage.reasoning, "completion_reasoning_tokens"),
    ] {
        *slot = count_of(key, metrics.get(key))?;
    }
    let wait = metrics.get("time_to_first_token").number();
    let wait = wait.filter(|wait| (0.0..1e9).contains(wait));
    span.first_token = start
        .zip(wait)
        .map(|(start, wait)| start.saturating_add((wait * 1e9) as i64));
    let attributes = row.get("span_attributes").parsed();
    let kind = text_of(attributes.get("type"));
    let is_summary = !metrics.get("llm_calls").is_null();
    span.role = role_of(kind.as_deref().unwrap_or_default(), is_summary, &span);
    span.flags.set(Flags::ERROR, !row.get("error").is_null());
    put_error(row, &mut span);
    let experiment = optional_id("experiment_id", row.get("experiment_id"))?;
    let is_eval = !experiment.is_empty() || kind.is_some_and(|kind| kind == "eval");
    span.flags.set(Flags::EVAL, is_eval);
    let metadata = row.get("metadata").parsed();
    put_metadata(&mut span, &metadata, 1);
    put(&mut span, Field::Model, 2, metadata.get("model"));
    Ok(span)
}

fn role_of(kind: &str, is_summary: bool, span: &Span<'_>) -> Role {
    match kind {
        "score" | "scorer" => Role::Evaluator,
        "tool" => Role::Tool,
        "llm" if !is_summary => Role::Inference,
        "task" | "eval" => Role::Agent,
        "" if !is_summary && span.usage.has_tokens() => Role::Inference,
        _ if is_summary || span.parent.is_empty() => Role::Agent,
        _ => Role::Step,
    }
}

/// Adds the class of the error: of an object, or of a message.
fn put_error<'a>(row: &Value<'a>, span: &mut Span<'a>) {
    let error = row.get("error").parsed();
    put(span, Field::ErrorType, 1, error.get("type"));
    put(span, Field::ErrorType, 2, error.get("name"));
    let message = text_of(either(error.get("message"), &error));
    if let Some(class) = message.as_deref().and_then(error_class) {
        span.put(Field::ErrorType, 3, class.to_owned());
    }
}

/// The scores of a span. One without a value was not given.
fn scores_of<'a>(row: &Value<'a>, span: &Span<'a>) -> Result<Vec<RawScore<'a>>, RowFault> {
    let given = row.get("scores").parsed();
    let mut scores = Vec::new();
    for name in given.keys().filter(|name| !given.get(name).is_null()) {
        let value = given.get(name);
        let number = match value {
            Value::Flag(flag) => Some(f64::from(u8::from(*flag))),
            other => other.number(),
        };
        scores.push(RawScore {
            name: name.to_owned().into(),
            number: Some(number.ok_or_else(|| wrong(&format!("scores.{name}"), "a number", value))?),
            label: None,
            id: format!("{}/{name}", span.id).into(),
            at: None,
            version: span.version,
        });
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"id":"row-1","span_id":"s-2","root_span_id":"s-1","span_parents":["s-1"],"is_root":false,
        "created":"2026-05-28T00:00:00.000Z","_xact_id":"1000197000000000001","error":null,
        "span_attributes":{"name":"chat","type":"llm"},"scores":{"resolved":1,"csat":null},
        "metrics":{"start":1779926400.25,"end":1779926401.5,"prompt_tokens":900,"completion_tokens":120,
        "prompt_cached_tokens":300,"tokens":1020,"estimated_cost":0.000207,"time_to_first_token":0.5},
        "metadata":{"model":"gpt-4o-mini","user_id":"u-1","session_id":"c-1","release_id":"rel_1"}}"#;

    fn value(text: &str) -> Value<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_span_has_its_metrics_and_identities() {
        let span = span_of(&value(ROW)).unwrap();
        let ids = (span.group.as_ref(), span.id.as_ref(), span.parent.as_ref());
        assert_eq!(ids, ("s-1", "s-2", "s-1"));
        assert_eq!(span.role, Role::Inference);
        assert_eq!(span.start, Some(1_779_926_400_250_000_000));
        assert_eq!(span.end, Some(1_779_926_401_500_000_000));
        assert_eq!(span.first_token, Some(1_779_926_400_750_000_000));
        assert_eq!((span.usage.input, span.usage.output), (Some(900), Some(120)));
        assert_eq!(span.usage.cache_read, Some(300));
        assert_eq!(
            (span.cost, span.version),
            (Some(207_000_000), 1_000_197_000_000_000_001)
        );
        assert_eq!(span.text(Field::User), Some("u-1"));
        assert_eq!(span.text(Field::Release), Some("rel_1"));
        assert_eq!(span.text(Field::Model), Some("gpt-4o-mini"));
        assert_eq!(span.flags.0, Flags::ONE_TURN);
    }

    #[test]
    fn a_row_of_a_trace_is_its_agent_with_all_tokens() {
        for kind in ["llm", "task", "function"] {
            let row = ROW.replace("\"llm\"", &format!("\"{kind}\""));
            let row = row.replace("[\"s-1\"]", "null").replace("\"s-2\"", "\"s-1\"");
            let row = row.replace("\"tokens\"", "\"llm_calls\":2,\"tokens\"");
            let span = span_of(&value(&row)).unwrap();
            assert_eq!((span.role, span.parent.as_ref()), (Role::Agent, ""), "{kind}");
            assert_eq!(span.usage.input, Some(900));
        }
    }

    #[test]
    fn kinds_of_spans_say_their_roles() {
        let check = |kind: &str, expected: Role, is_eval: bool| {
            let row = ROW.replace("\"llm\"", &format!("\"{kind}\""));
            let span = span_of(&value(&row)).unwrap();
            assert_eq!(
                (span.role, span.flags.has(Flags::EVAL)),
                (expected, is_eval),
                "{kind}"
            );
        };
        check("score", Role::Evaluator, false);
        check("tool", Role::Tool, false);
        check("task", Role::Agent, false);
        check("eval", Role::Agent, true);
        check("function", Role::Step, false);
        check("", Role::Inference, false);
        let row = ROW.replace("\"is_root\"", "\"experiment_id\":\"e-1\",\"is_root\"");
        assert!(span_of(&value(&row)).unwrap().flags.has(Flags::EVAL));
    }

    #[test]
    fn errors_have_a_class_if_they_say_one() {
        let check = |error: &str, class: Option<&str>| {
            let row = ROW.replace("\"error\":null", &format!("\"error\":{error}"));
            let span = span_of(&value(&row)).unwrap();
            assert_eq!(
                (span.flags.has(Flags::ERROR), span.text(Field::ErrorType)),
                (true, class),
                "{error}"
            );
        };
        check("\"TimeoutError: late\"", Some("TimeoutError"));
        check("\"it failed\"", None);
        check("{\"name\":\"ApiError\",\"message\":\"bad\"}", Some("ApiError"));
        check("{}", None);
    }

    #[test]
    fn scores_that_were_not_given_are_none() {
        let row = value(ROW);
        let scores = scores_of(&row, &span_of(&row).unwrap()).unwrap();
        let found: Vec<_> = scores
            .iter()
            .map(|score| (score.name.as_ref(), score.number))
            .collect();
        assert_eq!(found, [("resolved", Some(1.0))]);
        let row = ROW.replace("\"csat\":null", "\"csat\":\"good\"");
        let row = value(&row);
        assert!(scores_of(&row, &span_of(&row).unwrap()).is_err());
    }

    #[test]
    fn wrong_values_are_faults_that_name_their_key() {
        let check = |from: &str, to: &str, expected: &str| match span_of(&value(&ROW.replace(from, to))) {
            Err(RowFault::Value { key, .. }) => assert_eq!(key, expected),
            other => panic!("{to}: {other:?}"),
        };
        check(
            "\"root_span_id\":\"s-1\"",
            "\"root_span_id\":\"\"",
            "root_span_id",
        );
        check("[\"s-1\"]", "\"s-1\"", "span_parents");
        check("1779926400.25", "\"soon\"", "metrics.start");
        check("900", "\"many\"", "prompt_tokens");
        check("0.000207", "-1", "metrics.estimated_cost");
    }
}

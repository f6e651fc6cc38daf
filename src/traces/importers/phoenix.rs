//! Phoenix: rows of spans, and annotations of spans, traces and sessions.
//!
//! An annotation of a span has no trace: it finds its span by the span's id. A table of spans has the
//! keys of attributes as columns, such as `attributes.llm.model_name`.

use std::borrow::Cow;

use crate::traces::attributes::{Facts, NamedKeys};
use crate::traces::importers::fields::{
    either, id_of, note_keys, optional_id, put, put_metadata, put_named, time_of,
};
use crate::traces::importers::importer::{Importer, RowFault, wrong};
use crate::traces::importers::pages::read_page;
use crate::traces::importers::python::opened;
use crate::traces::record::{Field, Flags, Span, Target, name_hash};
use crate::traces::settings::Settings;
use crate::traces::sink::{RawScore, Sink, text_of};
use crate::traces::value::Value;

pub(in crate::traces) const IMPORTERS: &[Importer] = &[
    Importer {
        name: "Phoenix spans",
        keys: &[
            "context",
            "parent_id",
            "span_kind",
            "start_time",
            "end_time",
            "status_code",
            "attributes",
            "events",
        ],
        is_kind: |has| has("span_kind") && (has("context") || has("context.trace_id")),
        read: read_span,
    },
    Importer {
        name: "Phoenix annotations",
        keys: &[
            "id",
            "span_id",
            "trace_id",
            "session_id",
            "name",
            "annotation_name",
            "identifier",
            "result",
            "created_at",
            "updated_at",
        ],
        is_kind: |has| {
            let is_named = has("name") || has("annotation_name");
            has("annotator_kind")
                && is_named
                && ["span_id", "trace_id", "session_id"].iter().any(|id| has(id))
        },
        read: read_annotation,
    },
    Importer {
        name: "Phoenix pages",
        keys: &["data", "next_cursor"],
        is_kind: |has| has("data") && has("next_cursor"),
        read: |page, sink| read_page(IMPORTERS, "data", page, sink),
    },
];

/// A score and what it belongs to.
type TargetScore<'a> = (Target<'a>, RawScore<'a>);

fn read_span<'a>(row: &Value<'a>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    note_keys(sink, row);
    let (span, scores) = span_of(row, sink.settings)?;
    sink.span(&span)?;
    for (target, score) in &scores {
        sink.score(target, score)?;
    }
    Ok(())
}

fn read_annotation<'a>(row: &Value<'a>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    note_keys(sink, row);
    let (target, score) = score_of(row)?;
    Ok(sink.score(&target, &score)?)
}

/// A span, and the scores in its attributes.
fn span_of<'a>(row: &Value<'a>, settings: &Settings) -> Result<(Span<'a>, Vec<TargetScore<'a>>), RowFault> {
    let trace = id_of("context.trace_id", &row.at("context.trace_id"))?.into_owned();
    let trace = Cow::<'a, str>::Owned(trace);
    let end = time_of("end_time", row.get("end_time"))?;
    let mut facts = Facts::new(Span {
        group: trace.clone(),
        trace,
        id: id_of("context.span_id", &row.at("context.span_id"))?
            .into_owned()
            .into(),
        parent: optional_id("parent_id", row.get("parent_id"))?,
        start: time_of("start_time", row.get("start_time"))?,
        end,
        version: end.unwrap_or(0),
        ..Span::default()
    });
    let is_failed = text_of(row.get("status_code")).is_some_and(|code| code.eq_ignore_ascii_case("ERROR"));
    facts.span.flags.set(Flags::ERROR, is_failed);
    let keys = NamedKeys::new(settings);
    let attributes = row.get("attributes").parsed();
    // Phoenix writes objects of metadata as flat keys too.
    let mut metadata = Vec::new();
    add_attributes(&mut facts, "", &attributes, &keys, settings, &mut metadata);
    let columns = row.entries().iter().filter_map(|(key, value)| {
        let key = key.strip_prefix("attributes.")?.to_owned();
        Some((key.into(), opened(value)))
    });
    let columns = Value::Map(columns.collect());
    add_attributes(&mut facts, "", &columns, &keys, settings, &mut metadata);
    add(
        &mut facts,
        "openinference.span.kind",
        row.get("span_kind"),
        &keys,
        settings,
    );
    let (mut span, scores) = facts.finish();
    put_metadata(&mut span, &Value::Map(metadata), 1);
    put_named(&mut span, row, settings);
    if span.flags.has(Flags::ERROR) {
        for event in row.get("events").parsed().elements() {
            put(
                &mut span,
                Field::ErrorType,
                2,
                &event.at("attributes.exception.type"),
            );
        }
    }
    Ok((span, scores))
}

/// Adds attributes, whose keys may be flat or objects within objects.
fn add_attributes<'a>(
    facts: &mut Facts<'a>,
    prefix: &str,
    attributes: &Value<'a>,
    keys: &NamedKeys,
    settings: &Settings,
    metadata: &mut Vec<(Cow<'a, str>, Value<'a>)>,
) {
    for key in attributes.keys() {
        let value = attributes.get(key);
        let path = format!("{prefix}{key}");
        if let Some(rest) = path.strip_prefix("metadata.") {
            metadata.push((rest.to_owned().into(), value.clone()));
        }
        if add(facts, &path, value, keys, settings) {
            continue;
        }
        match value {
            Value::Map(_) => add_attributes(facts, &format!("{path}."), value, keys, settings, metadata),
            // Tables have a list where rows have `annotations.0.annotation.name`.
            Value::List(values) if path.ends_with("annotations") || path.ends_with("evaluations") => {
                for (number, value) in values.iter().enumerate() {
                    add_attributes(
                        facts,
                        &format!("{path}.{number}."),
                        value,
                        keys,
                        settings,
                        metadata,
                    );
                }
            }
            _ => {}
        }
    }
}

/// Adds an attribute. Returns whether it is one that is read.
fn add<'a>(
    facts: &mut Facts<'a>,
    key: &str,
    value: &Value<'a>,
    keys: &NamedKeys,
    settings: &Settings,
) -> bool {
    let Some(wanted) = keys.wanted(key, false) else {
        return false;
    };
    facts.add(key, value.clone(), wanted, keys, settings, false);
    wanted.meaning.is_some()
}

/// The score of an annotation.
fn score_of<'a>(row: &Value<'a>) -> Result<TargetScore<'a>, RowFault> {
    let target = if let Some(id) = text_of(row.get("span_id")) {
        Target::Response(name_hash(&id))
    } else if let Some(trace) = text_of(row.get("trace_id")) {
        Target::Trace(trace, "".into())
    } else if let Some(session) = text_of(row.get("session_id")) {
        Target::Session(session)
    } else {
        return Err(wrong(
            "span_id",
            "a span, a trace or a session",
            row.get("span_id"),
        ));
    };
    let name = either(row.get("name"), row.get("annotation_name"));
    let at = time_of("created_at", row.get("created_at"))?;
    let written = time_of("updated_at", row.get("updated_at"))?;
    // Without an id of its own, an annotation is known by its name and identifier.
    let id = optional_id("id", either(row.get("id"), row.get("identifier")))?;
    let name = text_of(name).ok_or_else(|| wrong("name", "the name of the annotation", name))?;
    let score = RawScore {
        id: format!("{name}/{id}").into(),
        name,
        number: row.at("result.score").number(),
        label: text_of(&row.at("result.label")),
        at,
        version: written.or(at).unwrap_or(0),
    };
    Ok((target, score))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::TraceSource;
    use crate::traces::record::Role;

    const SPAN: &str = r#"{"id":"U3Bhbjoz","name":"cs_agent","context":{"trace_id":"t-3","span_id":"s-3"},
        "span_kind":"AGENT","parent_id":null,"start_time":"2026-05-28T00:03:03+00:00",
        "end_time":"2026-05-28T00:03:33+00:00","status_code":"ERROR","status_message":"",
        "attributes":{"openinference.span.kind":"AGENT","user.id":"u-3090","session.id":"conv-0003",
        "metadata":"{\"tenant_id\": \"bu_books\", \"release_id\": \"rel_1\"}"},
        "events":[{"name":"exception","attributes":{"exception.type":"TimeoutError"}}]}"#;
    const ANNOTATION: &str = r#"{"span_id":"s-3","name":"user_feedback","annotator_kind":"HUMAN",
        "result":{"label":"thumbs_down","score":0.0,"explanation":null},"identifier":"",
        "created_at":"2026-05-28T00:10:00+00:00","updated_at":"2026-05-28T00:11:00+00:00"}"#;

    fn span(text: &str) -> Result<Span<'_>, RowFault> {
        let settings = Settings::new(&std::collections::BTreeMap::new(), &TraceSource::default()).unwrap();
        let row = serde_json::from_str(text).unwrap();
        span_of(&row, &settings).map(|(span, _)| span)
    }

    fn score(text: &str) -> Result<TargetScore<'_>, RowFault> {
        score_of(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn metadata_is_read_as_json_text_as_flat_keys_and_as_objects() {
        let old = r#""metadata":"{\"tenant_id\": \"bu_books\", \"release_id\": \"rel_1\"}""#;
        for new in [
            old,
            r#""metadata.tenant_id":"bu_books","metadata.release_id":"rel_1""#,
            r#""metadata":{"tenant_id":"bu_books","release_id":"rel_1"}"#,
        ] {
            let row = SPAN.replace(old, new);
            let span = span(&row).unwrap();
            assert_eq!(span.text(Field::Tenant), Some("bu_books"), "{new}");
            assert_eq!(span.text(Field::Release), Some("rel_1"), "{new}");
            assert_eq!(span.text(Field::User), Some("u-3090"));
        }
    }

    #[test]
    fn a_row_of_a_table_is_the_same_span_and_has_the_same_scores() {
        let settings = Settings::new(&std::collections::BTreeMap::new(), &TraceSource::default()).unwrap();
        let check = |row: &str| {
            let row = serde_json::from_str(row).unwrap();
            let (span, scores) = span_of(&row, &settings).unwrap();
            let scores: Vec<_> = scores
                .iter()
                .map(|(target, score)| (target.clone(), score.number))
                .collect();
            assert_eq!((&*span.trace, &*span.id), ("t-3", "s-3"));
            assert_eq!(span.text(Field::Release), Some("rel_1"));
            assert_eq!(
                (span.usage.input, span.response),
                (Some(9), name_hash("answer-1"))
            );
            assert_eq!(scores, [(Target::Trace("t-3".into(), "s-3".into()), Some(0.9))]);
        };
        check(
            r#"{"context":{"trace_id":"t-3","span_id":"s-3"},"span_kind":"LLM","attributes":{
                "llm.token_count.prompt":9,"metadata.release_id":"rel_1","gen_ai.response.id":"answer-1",
                "evaluations.0.evaluation.name":"faithful","evaluations.0.evaluation.score":0.9}}"#,
        );
        check(
            r#"{"context.trace_id":"t-3","context.span_id":"s-3","span_kind":"LLM","parent_id":"",
                "attributes.llm.token_count.prompt":"9.0","attributes.metadata":"{'release_id': 'rel_1'}",
                "attributes.gen_ai.response.id":"answer-1",
                "attributes.evaluations":"[{'evaluation': {'name': 'faithful', 'score': 0.9}}]"}"#,
        );
    }

    #[test]
    fn a_span_has_its_kind_times_and_error() {
        let found = span(SPAN).unwrap();
        assert_eq!((found.role, found.parent.as_ref()), (Role::Agent, ""));
        assert_eq!(found.end.unwrap() - found.start.unwrap(), 30_000_000_000);
        assert!(found.flags.has(Flags::ERROR));
        assert_eq!(found.text(Field::ErrorType), Some("TimeoutError"));
        let row = SPAN.replace("\"openinference.span.kind\":\"AGENT\",", "");
        let row = row.replace("\"span_kind\":\"AGENT\"", "\"span_kind\":\"LLM\"");
        let row = row.replace(
            "\"user.id\":\"u-3090\"",
            "\"llm\":{\"token_count\":{\"prompt\":9,\"completion\":2}}",
        );
        let found = span(&row).unwrap();
        assert_eq!(
            (found.role, found.usage.input, found.usage.output),
            (Role::Inference, Some(9), Some(2))
        );
    }

    #[test]
    fn annotations_find_their_spans_traces_and_sessions() {
        let (target, found) = score(ANNOTATION).unwrap();
        assert_eq!(target, Target::Response(name_hash(&span(SPAN).unwrap().id)));
        assert_eq!(
            (found.number, found.label.as_deref()),
            (Some(0.0), Some("thumbs_down"))
        );
        assert_eq!(found.version - found.at.unwrap(), 60_000_000_000);
        let row = ANNOTATION.replace("span_id", "trace_id");
        assert_eq!(score(&row).unwrap().0, Target::Trace("s-3".into(), "".into()));
        let row = ANNOTATION.replace("span_id", "session_id");
        assert_eq!(score(&row).unwrap().0, Target::Session("s-3".into()));
    }

    #[test]
    fn wrong_values_are_faults_that_name_their_key() {
        let check = |found: Option<RowFault>, expected: &str| match found {
            Some(RowFault::Value { key, .. }) => assert_eq!(key, expected),
            other => panic!("{expected}: {other:?}"),
        };
        check(span(&SPAN.replace("\"t-3\"", "null")).err(), "context.trace_id");
        check(span(&SPAN.replace("\"s-3\"", "\"\"")).err(), "context.span_id");
        check(
            span(&SPAN.replace("2026-05-28T00:03:33+00:00", "soon")).err(),
            "end_time",
        );
        check(score(&ANNOTATION.replace("\"s-3\"", "null")).err(), "span_id");
        check(
            score(&ANNOTATION.replace("\"user_feedback\"", "null")).err(),
            "name",
        );
        check(
            score(&ANNOTATION.replace("2026-05-28T00:10:00+00:00", "soon")).err(),
            "created_at",
        );
    }
}

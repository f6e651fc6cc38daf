//! MLflow: a row is a trace, with its header in `info` and its spans in `data`.
//!
//! Tokens and cost are those of spans, never those of the header, which repeats them.

use std::borrow::Cow;

use crate::traces::attributes::{Facts, NamedKeys};
use crate::traces::importers::fields::{
    either, id_of, note_keys, optional_id, put, put_metadata, put_named, time_of,
};
use crate::traces::importers::importer::{Importer, RowFault, wrong};
use crate::traces::importers::python::opened;
use crate::traces::record::{Field, Flags, Nanos, Role, Span, Target};
use crate::traces::settings::Settings;
use crate::traces::sink::{RawScore, Sink, text_of};
use crate::traces::value::Value;

pub(in crate::traces) const IMPORTERS: &[Importer] = &[
    Importer {
        name: "MLflow traces",
        keys: &["info", "data"],
        is_kind: |has| has("info") && has("data"),
        read,
    },
    // What `search_traces` returns as a table, in CSV or Parquet.
    Importer {
        name: "MLflow table of traces",
        keys: &[
            "trace",
            "trace_id",
            "request_id",
            "state",
            "status",
            "request_time",
            "timestamp_ms",
            "trace_metadata",
            "request_metadata",
            "tags",
            "spans",
            "assessments",
        ],
        is_kind: |has| {
            let is_trace = has("trace_id") || has("request_id");
            is_trace && has("spans") && (has("trace_metadata") || has("request_metadata"))
        },
        read: |row, sink| read(&row_of_table(row), sink),
    },
];

/// A score and what it belongs to.
type TargetScore<'a> = (Target<'a>, RawScore<'a>);

fn read<'a>(row: &Value<'a>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    note_keys(sink, row);
    let (spans, scores) = trace_of(row, sink.settings)?;
    for span in &spans {
        sink.span(span)?;
    }
    for (target, score) in &scores {
        sink.score(target, score)?;
    }
    Ok(())
}

/// A row of a table as a trace: its column `trace` has all of it as JSON; older tables lack it.
fn row_of_table<'a>(row: &Value<'a>) -> Value<'a> {
    let trace = row.get("trace").parsed();
    let mut entries = row.entries().to_vec();
    if matches!(&*trace, Value::Map(_)) {
        // Names of columns stay, for the paths of a source.
        entries.extend(trace.into_owned().entries().iter().cloned());
        return Value::Map(entries);
    }
    // Cells of CSV may have objects of Python.
    let info = entries.iter().map(|(key, value)| (key.clone(), opened(value)));
    let spans = Value::Map(vec![("spans".into(), opened(row.get("spans")))]);
    let info = Value::Map(info.collect());
    entries.extend([("info".into(), info), ("data".into(), spans)]);
    Value::Map(entries)
}

fn trace_of<'a>(
    row: &Value<'a>,
    settings: &Settings,
) -> Result<(Vec<Span<'a>>, Vec<TargetScore<'a>>), RowFault> {
    let (info, data) = (row.get("info").parsed(), row.get("data").parsed());
    let mut header = header_of(&info)?;
    put_named(&mut header, row, settings);
    let keys = NamedKeys::new(settings);
    let raw_spans = data.get("spans").parsed();
    if matches!(&*raw_spans, Value::Text(_)) {
        return Err(wrong("spans", "a list of spans as JSON", &raw_spans));
    }
    let (mut spans, mut scores) = (Vec::new(), Vec::new());
    for raw in raw_spans.elements() {
        let (span, found) = span_of(raw, &header, &keys, settings)?;
        spans.push(span);
        scores.extend(found);
    }
    for raw in info.get("assessments").parsed().elements() {
        scores.extend(score_of(raw, &header.trace)?);
    }
    if spans.is_empty() {
        // The spans were lost or are elsewhere: the turn is known, its tokens are not.
        header.role = Role::Agent;
        header.flags.set(Flags::TRACE, true);
        spans.push(header);
        return Ok((spans, scores));
    }
    let has_top = spans.iter().any(|span| span.parent.is_empty());
    let tops = spans
        .iter_mut()
        .enumerate()
        .filter(|(idx, span)| span.parent.is_empty() || !has_top && *idx == 0);
    for (_, span) in tops {
        for text in &header.texts {
            span.put(text.field, text.rank, text.text.clone());
        }
        let failed = header.flags.has(Flags::ERROR);
        span.flags.set(Flags::ERROR, failed);
        // A span without a kind at the top is the agent.
        if span.role == Role::Other {
            span.role = Role::Agent;
        }
    }
    Ok((spans, scores))
}

/// What the header says about the whole trace.
fn header_of<'a>(info: &Value<'a>) -> Result<Span<'a>, RowFault> {
    let trace = id_of(
        "info.trace_id",
        either(info.get("trace_id"), info.get("request_id")),
    )?;
    let start = either(info.get("request_time"), info.get("timestamp_ms"));
    let start = time_of("info.request_time", start)?;
    let mut header = Span {
        group: trace.clone(),
        trace,
        flags: Flags(Flags::ONE_TURN),
        version: start.unwrap_or(0),
        start,
        ..Span::default()
    };
    let metadata = either(info.get("trace_metadata"), info.get("request_metadata")).parsed();
    let tags = info.get("tags").parsed();
    // `mlflow.user` is the account of the process, and no user of the agent.
    put(&mut header, Field::User, 1, metadata.get("mlflow.trace.user"));
    put(
        &mut header,
        Field::Session,
        1,
        metadata.get("mlflow.trace.session"),
    );
    for place in [&tags, &metadata] {
        put_metadata(&mut header, place, 1);
        put(&mut header, Field::Release, 5, place.get("mlflow.modelId"));
        let is_of_judge = text_of(place.get("mlflow.trace.sourceScorer")).is_some();
        header.flags.set(Flags::EVAL, is_of_judge);
    }
    let prompts = tags.get("mlflow.linkedPrompts").parsed();
    put(&mut header, Field::Prompt, 1, &prompts.at("0.name"));
    put(&mut header, Field::PromptVersion, 1, &prompts.at("0.version"));
    let state = text_of(either(info.get("state"), info.get("status")));
    let is_failed = state.is_some_and(|state| state == "ERROR");
    header.flags.set(Flags::ERROR, is_failed);
    Ok(header)
}

/// A span, and the scores in its attributes. Reads the spans of MLflow 2 too.
fn span_of<'a>(
    raw: &Value<'a>,
    header: &Span<'a>,
    keys: &NamedKeys,
    settings: &Settings,
) -> Result<(Span<'a>, Vec<TargetScore<'a>>), RowFault> {
    let context = raw.get("context");
    let id = id_of("span_id", either(raw.get("span_id"), context.get("span_id")))?;
    let parent = either(raw.get("parent_span_id"), raw.get("parent_id"));
    let end = either(raw.get("end_time_unix_nano"), raw.get("end_time"));
    let end = nanos_of("end_time_unix_nano", end)?;
    let start = either(raw.get("start_time_unix_nano"), raw.get("start_time"));
    let mut facts = Facts::new(Span {
        group: header.group.clone(),
        trace: header.trace.clone(),
        id: hex_id(id),
        parent: hex_id(optional_id("parent_span_id", parent)?),
        start: nanos_of("start_time_unix_nano", start)?,
        end,
        version: end.unwrap_or(0),
        flags: Flags(header.flags.0 & !Flags::ERROR),
        ..Span::default()
    });
    let status = text_of(either(raw.get("status").get("code"), raw.get("status_code")));
    let is_failed = status.is_some_and(|code| matches!(code.as_ref(), "STATUS_CODE_ERROR" | "ERROR"));
    facts.span.flags.set(Flags::ERROR, is_failed);
    let attributes = raw.get("attributes").parsed();
    for key in attributes.keys() {
        if let Some(wanted) = keys.wanted(key, false) {
            let value = plain(attributes.get(key));
            facts.add(key, value, wanted, keys, settings, false);
        }
    }
    let (mut span, scores) = facts.finish();
    if span.flags.has(Flags::ERROR) {
        for event in raw.get("events").parsed().elements() {
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

/// A value of an attribute, each of which is written as JSON. Objects and lists stay as texts.
fn plain<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::Text(text) if text == "null" => Value::Null,
        Value::Text(text) if text.starts_with('"') => value.parsed().into_owned(),
        other => other.clone(),
    }
}

/// Nanoseconds since 1970. `None` for 0 and for nothing.
fn nanos_of(key: &str, value: &Value<'_>) -> Result<Option<Nanos>, RowFault> {
    match value {
        Value::Null => Ok(None),
        other => match other.whole() {
            Some(nanos) => Ok(Some(nanos).filter(|nanos| *nanos != 0)),
            None => Err(wrong(key, "nanoseconds since 1970", other)),
        },
    }
}

/// Bytes of the id of a span.
const ID_BYTES: usize = 8;
/// Letters of base64 in the order of their values.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The id of a span in hex, by which assessments name it: spans have it in base64, those of MLflow 2
/// in hex after `0x`. Another text stays as it is.
fn hex_id(id: Cow<'_, str>) -> Cow<'_, str> {
    if let Some(hex) = id.strip_prefix("0x") {
        return hex.to_owned().into();
    }
    let Some(letters) = id.strip_suffix('=').filter(|letters| letters.len() == 11) else {
        return id;
    };
    let mut bits: u128 = 0;
    for letter in letters.bytes() {
        let Some(value) = BASE64.iter().position(|known| *known == letter) else {
            return id;
        };
        bits = bits << 6 | value as u128;
    }
    // 11 letters are 66 bits, of which the last 2 say nothing.
    format!("{:0width$x}", bits >> 2, width = 2 * ID_BYTES).into()
}

/// The score of an assessment. `None` for what is no score: an expected answer, or a replaced value.
fn score_of<'a>(raw: &Value<'a>, trace: &Cow<'a, str>) -> Result<Option<TargetScore<'a>>, RowFault> {
    let feedback = raw.get("feedback");
    if feedback.is_null() || raw.get("valid").flag() == Some(false) {
        return Ok(None);
    }
    let name = either(raw.get("name"), raw.get("assessment_name"));
    let value = feedback.get("value");
    let number = match value {
        Value::Flag(flag) => Some(f64::from(u8::from(*flag))),
        other => other.number(),
    };
    let at = time_of("assessments.create_time", raw.get("create_time"))?;
    let written = time_of("assessments.last_update_time", raw.get("last_update_time"))?;
    let score = RawScore {
        name: text_of(name)
            .ok_or_else(|| wrong("assessments.assessment_name", "the name of a score", name))?,
        number,
        label: text_of(value),
        id: optional_id("assessments.assessment_id", raw.get("assessment_id"))?,
        at,
        version: written.or(at).unwrap_or(0),
    };
    let span = hex_id(optional_id("assessments.span_id", raw.get("span_id"))?);
    Ok(Some((Target::Trace(trace.clone(), span), score)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::TraceSource;

    /// A trace that MLflow 3.17.2 wrote, without texts that are not read.
    const ROW: &str = r#"{"info": {"trace_id": "tr-28", "request_time": "2026-11-21T18:58:07.558Z", "state": "OK",
        "trace_metadata": {"mlflow.trace.tokenUsage": "{\"input_tokens\": 900, \"output_tokens\": 120}",
            "mlflow.user": "root", "mlflow.trace.session": "conv-0001", "mlflow.trace.user": "u-2044"},
        "assessments": [{"assessment_id": "a-33", "assessment_name": "user_thumbs",
            "create_time": "2026-11-21T18:58:07.575Z", "last_update_time": "2026-11-21T18:58:07.575Z",
            "feedback": {"value": false}, "valid": true}],
        "tags": {"mlflow.linkedPrompts": "[{\"name\": \"cs_main\", \"version\": \"7\"}]",
            "feature": "checkout_assist", "release_id": "rel_2026_05_28_001", "tenant_id": "bu_books"},
        "execution_duration_ms": 8}, "data": {"spans": [
        {"trace_id": "KIIRDClLZHYSSvUPWv8TaA==", "span_id": "CkFnvRhddVo=", "parent_span_id": "1mNFJ4nntaE=",
            "start_time_unix_nano": 1795287487566528538, "end_time_unix_nano": 1795287487566737148,
            "status": {"code": "STATUS_CODE_OK"}, "attributes": {"mlflow.spanType": "\"CHAT_MODEL\"",
            "mlflow.chat.tokenUsage": "{\"input_tokens\": 900, \"output_tokens\": 120, \"total_tokens\": 1020}",
            "mlflow.llm.model": "\"gpt-4o-mini-2025-11\"", "mlflow.llm.cost": "{\"total_cost\": 0.000207}"}},
        {"trace_id": "KIIRDClLZHYSSvUPWv8TaA==", "span_id": "cMTuX7R9iCM=", "parent_span_id": "1mNFJ4nntaE=",
            "start_time_unix_nano": 1795287487566829726, "end_time_unix_nano": 1795287487566925848,
            "events": [{"name": "exception", "attributes": {"exception.type": "ApiError"}}],
            "status": {"code": "STATUS_CODE_ERROR"}, "attributes": {"mlflow.spanType": "\"TOOL\""}},
        {"trace_id": "KIIRDClLZHYSSvUPWv8TaA==", "span_id": "1mNFJ4nntaE=", "parent_span_id": null,
            "start_time_unix_nano": 1795287487558587153, "end_time_unix_nano": 1795287487566996844,
            "status": {"code": "STATUS_CODE_OK"}, "attributes": {"mlflow.spanType": "\"AGENT\""}}]}}"#;

    fn read_row(text: &str) -> Result<(Vec<Span<'_>>, Vec<TargetScore<'_>>), RowFault> {
        let settings = Settings::new(&std::collections::BTreeMap::new(), &TraceSource::default()).unwrap();
        trace_of(&serde_json::from_str(text).unwrap(), &settings)
    }

    #[test]
    fn a_trace_has_the_tokens_of_its_spans_and_the_identities_of_its_header() {
        let (spans, scores) = read_row(ROW).unwrap();
        let roles: Vec<Role> = spans.iter().map(|span| span.role).collect();
        assert_eq!(roles, [Role::Inference, Role::Tool, Role::Agent]);
        let root = &spans[2];
        for (field, expected) in [
            (Field::User, Some("u-2044")),
            (Field::Session, Some("conv-0001")),
            (Field::Release, Some("rel_2026_05_28_001")),
            (Field::Tenant, Some("bu_books")),
            (Field::Feature, Some("checkout_assist")),
            (Field::Prompt, Some("cs_main")),
            (Field::PromptVersion, Some("7")),
            (Field::Model, None),
        ] {
            assert_eq!(root.text(field), expected, "{field:?}");
        }
        assert_eq!(root.end.unwrap() - root.start.unwrap(), 8_409_691);
        assert_eq!(root.usage, Default::default());
        assert!(!root.flags.has(Flags::ERROR) && root.flags.has(Flags::ONE_TURN));
        assert_eq!(
            (spans[0].usage.input, spans[0].usage.output),
            (Some(900), Some(120))
        );
        assert_eq!(spans[0].cost, Some(207_000_000));
        assert_eq!(spans[0].text(Field::Model), Some("gpt-4o-mini-2025-11"));
        assert_eq!(spans[0].parent, root.id);
        assert!(spans[1].flags.has(Flags::ERROR));
        assert_eq!(spans[1].text(Field::ErrorType), Some("ApiError"));
        assert!(
            spans
                .iter()
                .all(|span| span.group == "tr-28" && span.trace == "tr-28")
        );
        let (target, score) = &scores[0];
        assert_eq!(*target, Target::Trace("tr-28".into(), "".into()));
        assert_eq!((score.name.as_ref(), score.number), ("user_thumbs", Some(0.0)));
        assert_eq!(
            (score.label.as_deref(), score.id.as_ref()),
            (Some("false"), "a-33")
        );
    }

    #[test]
    fn rows_of_tables_are_the_same_traces() {
        let document: serde_json::Value = serde_json::from_str(ROW).unwrap();
        let (info, spans) = (&document["info"], &document["data"]["spans"]);
        let text = |value: &serde_json::Value| serde_json::Value::String(value.to_string());
        let new = serde_json::json!({"trace_id": "tr-28", "trace": document.to_string(),
            "trace_metadata": text(&info["trace_metadata"]), "spans": "[{'name': 'of Python'}]"});
        let old = serde_json::json!({"trace_id": "tr-28", "state": "OK", "request_time": info["request_time"],
            "trace_metadata": text(&info["trace_metadata"]), "tags": text(&info["tags"]),
            "assessments": text(&info["assessments"]), "spans": text(spans)});
        for table in [new, old] {
            let table = table.to_string();
            let row: Value<'_> = serde_json::from_str(&table).unwrap();
            let settings = Settings::new(&Default::default(), &TraceSource::default()).unwrap();
            let (spans, scores) = trace_of(&row_of_table(&row), &settings).unwrap();
            let (expected, expected_scores) = read_row(ROW).unwrap();
            assert_eq!((spans, scores.len()), (expected, expected_scores.len()));
        }
        let row = r#"{"trace_id": "tr-28", "trace_metadata": "{}", "spans": "[{'name': array([1])}]"}"#;
        let row: Value<'_> = serde_json::from_str(row).unwrap();
        let settings = Settings::new(&Default::default(), &TraceSource::default()).unwrap();
        assert!(trace_of(&row_of_table(&row), &settings).is_err());
    }

    #[test]
    fn the_account_of_the_process_is_no_user() {
        let row = ROW.replace(r#", "mlflow.trace.user": "u-2044""#, "");
        assert_eq!(read_row(&row).unwrap().0[2].text(Field::User), None);
    }

    #[test]
    fn traces_of_judges_are_evaluations_and_failed_ones_are_failures() {
        let flags = |row: &str| read_row(row).unwrap().0[2].flags;
        let row = ROW.replace("\"mlflow.user\"", "\"mlflow.trace.sourceScorer\"");
        assert!(flags(&row).has(Flags::EVAL));
        assert!(!flags(ROW).has(Flags::EVAL));
        assert!(flags(&ROW.replace("\"OK\"", "\"ERROR\"")).has(Flags::ERROR));
    }

    #[test]
    fn a_trace_without_spans_is_a_turn_without_tokens() {
        let (head, _) = ROW.split_once("\"data\"").unwrap();
        for data in ["{\"spans\": []}", "null"] {
            let row = format!("{head}\"data\": {data}}}");
            let (spans, _) = read_row(&row).unwrap();
            assert_eq!(spans.len(), 1);
            assert!(spans[0].flags.has(Flags::TRACE) && spans[0].id.is_empty());
            assert_eq!((spans[0].usage.input, spans[0].end), (None, None));
            assert_eq!(spans[0].text(Field::User), Some("u-2044"));
        }
    }

    #[test]
    fn expectations_and_replaced_assessments_are_no_scores() {
        let n_scores = |row: &str| read_row(row).unwrap().1.len();
        assert_eq!(n_scores(ROW), 1);
        assert_eq!(n_scores(&ROW.replace("\"feedback\"", "\"expectation\"")), 0);
        assert_eq!(n_scores(&ROW.replace("\"valid\": true", "\"valid\": false")), 0);
    }

    #[test]
    fn ids_are_hex_so_that_assessments_find_their_spans() {
        let check = |id: &str, expected: &str| assert_eq!(hex_id(id.into()), expected, "{id}");
        check("Q8EjfNU3ULM=", "43c1237cd53750b3");
        check("AAAAAAAAAAE=", "0000000000000001");
        check("0x43c1237cd53750b3", "43c1237cd53750b3");
        check("43c1237cd53750b3", "43c1237cd53750b3");
        check("not-base64!=", "not-base64!=");
        check("", "");
    }

    #[test]
    fn spans_of_mlflow_2_are_read() {
        let row = r#"{"info": {"request_id": "r-1", "timestamp_ms": 1779926400000, "status": "OK"}, "data": {"spans": [
            {"name": "a", "context": {"span_id": "0x01", "trace_id": "0x02"}, "parent_id": null,
             "start_time": 1779926400000000000, "end_time": 1779926400820000000, "status_code": "ERROR",
             "attributes": {"mlflow.spanType": "\"UNKNOWN\""}}]}}"#;
        let (spans, _) = read_row(row).unwrap();
        assert_eq!((spans[0].id.as_ref(), spans[0].role), ("01", Role::Agent));
        assert_eq!(spans[0].end.unwrap() - spans[0].start.unwrap(), 820_000_000);
        assert!(spans[0].flags.has(Flags::ERROR));
    }

    #[test]
    fn wrong_values_are_faults_that_name_their_key() {
        let check = |from: &str, to: &str, expected: &str| {
            let row = ROW.replace(from, to);
            match read_row(&row) {
                Err(RowFault::Value { key, .. }) => assert_eq!(key, expected),
                other => panic!("{to}: {other:?}"),
            }
        };
        check("\"trace_id\": \"tr-28\"", "\"trace_id\": \"\"", "info.trace_id");
        check("\"span_id\": \"CkFnvRhddVo=\"", "\"span_id\": null", "span_id");
        check("1795287487566528538", "\"soon\"", "start_time_unix_nano");
        check("\"2026-11-21T18:58:07.558Z\"", "\"soon\"", "info.request_time");
        check("\"user_thumbs\"", "null", "assessments.assessment_name");
    }
}

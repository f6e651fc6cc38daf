//! Scores of Langfuse: of an observation, a trace or a session. They may be later than their turns.

use std::borrow::Cow;

use crate::traces::coverage::count;
use crate::traces::importers::fields::{first_id, is_absent, note_keys, time_of};
use crate::traces::importers::importer::{RowFault, wrong};
use crate::traces::importers::langfuse_names::plain_names;
use crate::traces::record::Target;
use crate::traces::sink::{RawScore, Sink, text_of};
use crate::traces::value::Value;

/// The keys of a row that are read.
pub(super) const KEYS: &[&str] = &[
    "id",
    "timestamp",
    "trace_id",
    "observation_id",
    "session_id",
    "dataset_run_id",
    "name",
    "value",
    "string_value",
    "updated_at",
    "data_type",
    // Names of the API.
    "traceId",
    "observationId",
    "sessionId",
    "datasetRunId",
    "stringValue",
    "updatedAt",
    "dataType",
];

/// Why a score is passed over.
const OF_DATASET_RUN: &str = "scores of dataset runs";

/// Reads a score. Those of dataset runs are no scores of traffic.
pub(super) fn read(row: &Value<'_>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    note_keys(sink, row);
    match score_of(&plain_names(row))? {
        Some((target, score)) => Ok(sink.score(&target, &score)?),
        None => {
            count(&mut sink.coverage.passed_over, OF_DATASET_RUN, 1);
            Ok(())
        }
    }
}

/// The target of a score and its value. `None` for a score of a dataset run.
fn score_of<'a>(row: &Value<'a>) -> Result<Option<(Target<'a>, RawScore<'a>)>, RowFault> {
    let id = first_id(row, &["id"])?;
    if !is_absent(row.get("dataset_run_id")) {
        return Ok(None);
    }
    let target = match (text_of(row.get("trace_id")), text_of(row.get("session_id"))) {
        (Some(trace), _) => {
            let observation: Option<Cow<'a, str>> = text_of(row.get("observation_id"));
            Target::Trace(trace, observation.unwrap_or_default())
        }
        (None, Some(session)) => Target::Session(session),
        (None, None) => {
            return Err(wrong(
                "trace_id",
                "the id of a trace or a session",
                row.get("trace_id"),
            ));
        }
    };
    let value = row.get("value");
    let number = value
        .number()
        .or_else(|| Some(f64::from(u8::from(value.flag()?))));
    let kind = row.get("data_type").text().unwrap_or_default();
    let is_text = ["CATEGORICAL", "TEXT", "CORRECTION"].contains(&&*kind);
    if number.is_none() && !is_absent(value) && !is_text {
        return Err(wrong("value", "a number", value));
    }
    let at = time_of("timestamp", row.get("timestamp"))?;
    let name = text_of(row.get("name")).ok_or_else(|| wrong("name", "a name", row.get("name")))?;
    let score = RawScore {
        name,
        number,
        label: text_of(row.get("string_value")).or_else(|| text_of(value).filter(|_| is_text)),
        id,
        at,
        version: time_of("updated_at", row.get("updated_at"))?.or(at).unwrap_or(0),
    };
    Ok(Some((target, score)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn scores_belong_to_observations_traces_and_sessions() {
        let check = |row: &str, target: Target<'_>, number: Option<f64>, label: Option<&str>| {
            let text = format!(r#"{{"id":"s","name":"n","timestamp":"2026-05-30 00:00:00.000000",{row}}}"#);
            let row = value(&text);
            let (found, score) = score_of(&row).unwrap().unwrap();
            assert_eq!(
                (found, score.number, score.label.as_deref()),
                (target, number, label),
                "{text}"
            );
            assert_eq!(
                (score.at, score.version),
                (Some(1_780_099_200_000_000_000), score.at.unwrap()),
                "{text}"
            );
        };
        let trace = |span: &'static str| Target::Trace("t".into(), span.into());
        check(
            r#""trace_id":"t","observation_id":"o","value":0.97"#,
            trace("o"),
            Some(0.97),
            None,
        );
        check(
            r#""trace_id":"t","observation_id":null,"session_id":"c","value":"1""#,
            trace(""),
            Some(1.0),
            None,
        );
        check(
            r#""trace_id":"t","value":1.0,"string_value":"True""#,
            trace(""),
            Some(1.0),
            Some("True"),
        );
        check(
            r#""trace_id":"t","value":null,"string_value":"bad""#,
            trace(""),
            None,
            Some("bad"),
        );
        check(
            r#""trace_id":"t","value":"bad","data_type":"CATEGORICAL""#,
            trace(""),
            None,
            Some("bad"),
        );
        check(
            r#""trace_id":"","session_id":"c","value":4"#,
            Target::Session("c".into()),
            Some(4.0),
            None,
        );
        assert!(
            score_of(&value(r#"{"id":"s","name":"n","dataset_run_id":"r","value":1}"#))
                .unwrap()
                .is_none()
        );
        assert!(score_of(&value(r#"{"id":"s","name":"n","value":1}"#)).is_err());
        assert!(score_of(&value(r#"{"id":"s","trace_id":"t","value":1}"#)).is_err());
        assert!(score_of(&value(r#"{"id":"s","name":"n","trace_id":"t","value":"high"}"#)).is_err());
    }
}

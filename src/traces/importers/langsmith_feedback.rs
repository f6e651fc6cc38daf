//! Feedback of LangSmith: a row is a score of a run, with the time at which it was given.

use crate::traces::coverage::count;
use crate::traces::importers::fields::{either, id_of, is_absent, note_keys, optional_id, time_of};
use crate::traces::importers::importer::{RowFault, wrong};
use crate::traces::record::{Target, name_hash};
use crate::traces::sink::{RawScore, Sink, text_of};
use crate::traces::value::Value;

/// The keys of a row that are read.
pub(super) const KEYS: &[&str] = &[
    "id",
    "run_id",
    "trace_id",
    "key",
    "score",
    "value",
    "created_at",
    "modified_at",
    "is_root",
];

/// Why feedback is passed over.
const OF_EXPERIMENT: &str = "scores of experiments";

/// Reads a score. Feedback without a run is one of an experiment.
pub(super) fn read(row: &Value<'_>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    note_keys(sink, row);
    if is_absent(row.get("run_id")) && is_absent(row.get("trace_id")) {
        count(&mut sink.coverage.passed_over, OF_EXPERIMENT, 1);
        return Ok(());
    }
    let (target, score) = score_of(row)?;
    Ok(sink.score(&target, &score)?)
}

fn score_of<'a>(row: &Value<'a>) -> Result<(Target<'a>, RawScore<'a>), RowFault> {
    let run = optional_id("run_id", row.get("run_id"))?;
    let target = match text_of(row.get("trace_id")) {
        Some(trace) => Target::Trace(trace, run),
        None => Target::Response(name_hash(&run)),
    };
    let key = row.get("key");
    let name = text_of(key).ok_or_else(|| wrong("key", "the name of a score", key))?;
    let at = time_of("created_at", row.get("created_at"))?;
    let written = time_of("modified_at", row.get("modified_at"))?;
    let given = either(row.get("score"), row.get("value"));
    let flag = given.flag().map(|flag| f64::from(u8::from(flag)));
    let score = RawScore {
        name,
        number: given.number().or(flag),
        label: text_of(row.get("value")),
        id: id_of("id", row.get("id"))?,
        at,
        version: written.or(at).unwrap_or(0),
    };
    Ok((target, score))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_belongs_to_its_run() {
        let check = |row: &str, target: Target<'_>, number: Option<f64>, label: Option<&str>| {
            let text = format!(
                r#"{{"id":"f","key":"csat","created_at":"2026-05-30T00:00:00","modified_at":"2026-05-30T00:00:01",{row}}}"#
            );
            let row: Value<'_> = serde_json::from_str(&text).unwrap();
            let (found, score) = score_of(&row).unwrap();
            let found = (found, score.number, score.label.as_deref());
            assert_eq!(found, (target, number, label), "{text}");
            assert_eq!(score.version - score.at.unwrap(), 1_000_000_000);
        };
        let of_trace = || Target::Trace("t".into(), "r".into());
        check(
            r#""run_id":"r","trace_id":"t","score":4.0,"value":null"#,
            of_trace(),
            Some(4.0),
            None,
        );
        check(
            r#""run_id":"r","trace_id":"t","score":true"#,
            of_trace(),
            Some(1.0),
            None,
        );
        check(
            r#""run_id":"r","score":null,"value":"thumbs_down""#,
            Target::Response(name_hash("r")),
            None,
            Some("thumbs_down"),
        );
        let wrong = serde_json::from_str(r#"{"id":"f","run_id":"r","key":null,"score":1}"#).unwrap();
        assert!(score_of(&wrong).is_err());
    }
}

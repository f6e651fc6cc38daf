//! Batches of calculations: one JSON object per line, answered in order.

use rayon::prelude::*;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::calc::fields::Refusal;
use crate::calc::functions::{Function, parse};
use crate::calc::input::Input;

/// The answer to one line of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerLine {
    /// A JSON object without line breaks: the answer, or the error of the inputs.
    pub text: String,
    /// Whether the inputs were valid.
    pub is_good: bool,
}

#[derive(Serialize)]
struct Bad<'a> {
    id: Option<&'a RawValue>,
    error: BadInput,
}

#[derive(Serialize)]
struct BadInput {
    #[serde(rename = "where")]
    place: String,
    expected: String,
    found: String,
}

/// Parses one line and computes its answer.
pub fn answer_line(function: &Function, line: &str) -> AnswerLine {
    let line = line.trim_start_matches('\u{feff}');
    let fields = match parse(line) {
        Ok(fields) => fields,
        Err(refusal) => return bad(None, refusal),
    };
    let id = fields.id();
    match function.answer_fields(&fields) {
        Ok(answer) => {
            let mut bytes = Vec::with_capacity(512);
            bytes.push(b'{');
            if let Some(id) = id {
                bytes.extend_from_slice(b"\"id\":");
                bytes.extend_from_slice(id.source().as_bytes());
                bytes.push(b',');
            }
            answer.write_fields(&mut bytes);
            bytes.push(b'}');
            AnswerLine {
                text: String::from_utf8(bytes).unwrap_or_default(),
                is_good: true,
            }
        }
        Err(refusal) => bad(id, refusal),
    }
}

fn bad(id: Option<Input<'_>>, refusal: Refusal) -> AnswerLine {
    let error = BadInput {
        place: refusal.place,
        expected: refusal.expected,
        found: refusal.found,
    };
    AnswerLine {
        text: write(&Bad {
            id: id.and_then(|id| serde_json::from_str(id.source()).ok()),
            error,
        }),
        is_good: false,
    }
}

fn write(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

/// Answers lines on all threads. The answers keep the order of the lines.
pub fn answer_lines(function: &Function, lines: &[&str]) -> Vec<AnswerLine> {
    lines
        .par_iter()
        .with_min_len(64)
        .map(|line| answer_line(function, line))
        .collect()
}

//! A turn: what the spans of a root are together.

use crate::base::time::Micros;
use crate::traces::record::{Field, Nanos, Reader, Writer};
use crate::traces::settings::FIELDS;

/// Start, trace and root of a turn.
pub(super) type TurnKey = (Micros, String, String);

/// Columns that turns may lack: texts, then numbers. The table has them all, and says which of them have
/// no value at all.
pub(super) const OPTIONAL: [&str; FIELDS.len() + 10] = {
    let mut names = [""; FIELDS.len() + 10];
    let mut idx = 0;
    while idx < FIELDS.len() {
        names[idx] = FIELDS[idx].0;
        idx += 1;
    }
    let others = [
        "prompt_ref",
        "success",
        "latency_ms",
        "first_token_ms",
        "tokens_in",
        "cached_tokens_in",
        "cache_write_tokens_in",
        "tokens_out",
        "reasoning_tokens_out",
        "cost_usd",
    ];
    while idx < names.len() {
        names[idx] = others[idx - FIELDS.len()];
        idx += 1;
    }
    names
};

/// One turn of a user.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Turn {
    /// Start, microseconds, UTC.
    pub(super) event_time: Micros,
    pub(super) trace: String,
    /// Id of the root span. Empty if the trace itself is the root.
    pub(super) root: String,
    pub(super) is_shadow: bool,
    pub(super) is_eval: bool,
    pub(super) success: Option<bool>,
    pub(super) latency: Option<Nanos>,
    /// From the start to the first token that a model gave.
    pub(super) first_token: Option<Nanos>,
    pub(super) inference_calls: i64,
    pub(super) tool_calls: i64,
    pub(super) tool_successes: i64,
    pub(super) tokens_in: Option<i64>,
    pub(super) cached_tokens_in: Option<i64>,
    pub(super) cache_write_tokens_in: Option<i64>,
    pub(super) tokens_out: Option<i64>,
    pub(super) reasoning_tokens_out: Option<i64>,
    /// Cost in nano-USD.
    pub(super) cost: Option<i64>,
    pub(super) retries: i64,
    pub(super) is_fallback: bool,
    /// Texts by their field, in the order of fields.
    pub(super) texts: Vec<(Field, String)>,
    /// The scores that belong to the turn.
    pub(super) scores: Vec<TurnScore>,
    /// Hashes of the answers of models that a score may name. They are no part of the record.
    pub(super) responses: Vec<u64>,
}

/// A score of a turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TurnScore {
    /// Number of the rule that reads it.
    pub(super) rule: u8,
    /// When it was given. The smallest number if that is not known.
    pub(super) at: Nanos,
    pub(super) value: f64,
}

impl Turn {
    /// What makes a turn different from all others, in the order of the table.
    pub(super) fn key(&self) -> TurnKey {
        (self.event_time, self.trace.clone(), self.root.clone())
    }

    pub(super) fn text(&self, field: Field) -> Option<&str> {
        let found = self.texts.iter().find(|(known, _)| *known == field);
        found.map(|(_, text)| text.as_str())
    }

    /// Whether the turn lacks a value, by column of [`OPTIONAL`].
    pub(super) fn lacks(&self) -> [bool; OPTIONAL.len()] {
        let mut lacks = [true; OPTIONAL.len()];
        for (field, _) in &self.texts {
            if let Some(idx) = FIELDS.iter().position(|(_, known)| known == field) {
                lacks[idx] = false;
            } else if *field == Field::Prompt {
                lacks[FIELDS.len()] = false;
            }
        }
        let numbers = [
            self.success.is_none(),
            self.latency.is_none(),
            self.first_token.is_none(),
            self.tokens_in.is_none(),
            self.cached_tokens_in.is_none(),
            self.cache_write_tokens_in.is_none(),
            self.tokens_out.is_none(),
            self.reasoning_tokens_out.is_none(),
            self.cost.is_none(),
        ];
        lacks[FIELDS.len() + 1..].copy_from_slice(&numbers);
        lacks
    }

    /// Appends the record of the turn.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let out = &mut Writer(out);
        out.signed(self.event_time);
        out.text(&self.trace);
        out.text(&self.root);
        let success = match self.success {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        };
        out.0.push(
            u8::from(self.is_shadow)
                | u8::from(self.is_eval) << 1
                | u8::from(self.is_fallback) << 2
                | success << 3,
        );
        for number in [
            self.latency,
            self.first_token,
            self.tokens_in,
            self.cached_tokens_in,
            self.cache_write_tokens_in,
            self.tokens_out,
            self.reasoning_tokens_out,
            self.cost,
        ] {
            out.optional(number);
        }
        for number in [
            self.inference_calls,
            self.tool_calls,
            self.tool_successes,
            self.retries,
        ] {
            out.signed(number);
        }
        out.unsigned(self.texts.len() as u64);
        for (field, text) in &self.texts {
            out.0.push(field.code());
            out.text(text);
        }
        out.unsigned(self.scores.len() as u64);
        for score in &self.scores {
            out.0.push(score.rule);
            out.signed(score.at);
            out.real(score.value);
        }
    }

    /// Reads a record. `None` if it is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = &mut Reader(bytes);
        let event_time = bytes.signed()?;
        let (trace, root) = (bytes.text()?.to_owned(), bytes.text()?.to_owned());
        let flags = bytes.byte()?;
        let mut turn = Self {
            event_time,
            trace,
            root,
            is_shadow: flags & 1 != 0,
            is_eval: flags & 2 != 0,
            is_fallback: flags & 4 != 0,
            success: match flags >> 3 {
                0 => None,
                1 => Some(false),
                _ => Some(true),
            },
            latency: bytes.optional()?,
            first_token: bytes.optional()?,
            tokens_in: bytes.optional()?,
            cached_tokens_in: bytes.optional()?,
            cache_write_tokens_in: bytes.optional()?,
            tokens_out: bytes.optional()?,
            reasoning_tokens_out: bytes.optional()?,
            cost: bytes.optional()?,
            inference_calls: bytes.signed()?,
            tool_calls: bytes.signed()?,
            tool_successes: bytes.signed()?,
            retries: bytes.signed()?,
            texts: Vec::new(),
            scores: Vec::new(),
            responses: Vec::new(),
        };
        for _ in 0..bytes.unsigned()? {
            turn.texts
                .push((Field::from_code(bytes.byte()?), bytes.text()?.to_owned()));
        }
        for _ in 0..bytes.unsigned()? {
            turn.scores.push(TurnScore {
                rule: bytes.byte()?,
                at: bytes.signed()?,
                value: bytes.real()?,
            });
        }
        Some(turn)
    }
}

/// A record of the table's part: a turn, or a score that names no trace and belongs to a turn.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "turns are nearly all entries, and a box would be an allocation for each"
)]
pub(super) enum Entry {
    Turn(Turn),
    Score(TurnKey, TurnScore),
}

const TURN: u8 = 0;
const SCORE: u8 = 1;

impl Entry {
    /// Appends the record of a turn.
    pub(super) fn encode_turn(turn: &Turn, out: &mut Vec<u8>) {
        out.push(TURN);
        turn.encode(out);
    }

    /// Appends the record of a score of a turn.
    pub(super) fn encode_score((at, trace, root): &TurnKey, score: &TurnScore, out: &mut Vec<u8>) {
        let out = &mut Writer(out);
        out.0.push(SCORE);
        out.signed(*at);
        out.text(trace);
        out.text(root);
        out.0.push(score.rule);
        out.signed(score.at);
        out.real(score.value);
    }

    /// Reads a record. `None` if it is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        if *kind == TURN {
            return Turn::decode(rest).map(Self::Turn);
        }
        let bytes = &mut Reader(rest);
        let key = (
            bytes.signed()?,
            bytes.text()?.to_owned(),
            bytes.text()?.to_owned(),
        );
        let score = TurnScore {
            rule: bytes.byte()?,
            at: bytes.signed()?,
            value: bytes.real()?,
        };
        Some(Self::Score(key, score))
    }

    /// The start of the turn that a record is or belongs to.
    pub(super) fn time_of(bytes: &[u8]) -> Micros {
        let rest = bytes.get(1..).unwrap_or_default();
        Reader(rest).signed().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_back_as_they_were() {
        let turn = Turn {
            event_time: -5,
            trace: "t".into(),
            is_eval: true,
            success: Some(true),
            latency: Some(i64::MIN),
            cost: Some(0),
            tool_calls: 3,
            texts: vec![(Field::User, "用".into()), (Field::Named(9), "x".into())],
            scores: vec![TurnScore {
                rule: 1,
                at: i64::MIN,
                value: 0.5,
            }],
            ..Turn::default()
        };
        let mut bytes = Vec::new();
        turn.encode(&mut bytes);
        assert_eq!(Turn::decode(&bytes).as_ref(), Some(&turn));
        assert_eq!(Turn::decode(&bytes[..bytes.len() - 1]), None);
        let (key, score) = (turn.key(), turn.scores[0]);
        let check = |encode: &dyn Fn(&mut Vec<u8>), expected: Entry| {
            let mut bytes = Vec::new();
            encode(&mut bytes);
            assert_eq!(Entry::time_of(&bytes), -5);
            assert_eq!(Entry::decode(&bytes), Some(expected));
        };
        check(&|out| Entry::encode_turn(&turn, out), Entry::Turn(turn.clone()));
        check(
            &|out| Entry::encode_score(&key, &score, out),
            Entry::Score(key.clone(), score),
        );
    }
}

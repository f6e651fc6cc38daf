//! Where importers put what they read: records dealt by trace, and counts.

use std::borrow::Cow;

use crate::base::error::Result;
use crate::base::hash;
use crate::base::time::Micros;
use crate::traces::coverage::{Coverage, count};
use crate::traces::deal::{Deal, Hand};
use crate::traces::record::{Nanos, Score, Span, Target};
use crate::traces::settings::Settings;
use crate::traces::value::{Value, is_blank};

/// Bits of a hash that say the partition.
const PARTITION_BITS: u32 = 8;
/// The first partition of scores that name no trace.
pub(super) const LOOSE: i64 = 1 << PARTITION_BITS;

/// The partition of a group, or of the target of a score.
pub(super) fn partition_of(hash: u64) -> i64 {
    (hash >> (u64::BITS - PARTITION_BITS)) as i64
}

/// The receiver of one thread.
pub(super) struct Sink<'s> {
    pub(super) settings: &'s Settings,
    deal: &'s Deal,
    hand: Hand,
    record: Vec<u8>,
    pub(super) coverage: Coverage,
    /// Whether keys of rows are noted, for messages: in the first rows of a file.
    pub(super) notes_keys: bool,
}

/// A score as an importer reads it.
#[derive(Debug, Clone, Default)]
pub(super) struct RawScore<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) number: Option<f64>,
    pub(super) label: Option<Cow<'a, str>>,
    pub(super) id: Cow<'a, str>,
    pub(super) at: Option<Nanos>,
    pub(super) version: i64,
}

impl<'s> Sink<'s> {
    pub(super) fn new(settings: &'s Settings, deal: &'s Deal) -> Self {
        Self {
            settings,
            deal,
            hand: Hand::default(),
            record: Vec::new(),
            coverage: Coverage::default(),
            notes_keys: false,
        }
    }

    /// Adds a span.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub(super) fn span(&mut self, span: &Span<'_>) -> Result<()> {
        self.record.clear();
        span.encode(&mut self.record);
        let key = partition_of(hash::hash_id(span.group.as_bytes()));
        self.deal.add(&mut self.hand, key, &self.record)
    }

    /// Adds a score for each rule that reads it.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub(super) fn score(&mut self, target: &Target<'_>, raw: &RawScore<'_>) -> Result<()> {
        let settings = self.settings;
        let numbers = settings.rules_of(&raw.name);
        if numbers.is_empty() {
            count(&mut self.coverage.unmapped_scores, &raw.name, 1);
        }
        for number in numbers {
            let (column, rule) = &settings.rules[usize::from(*number)];
            let Some(value) = rule.value(raw.number, raw.label.as_deref()) else {
                let known = self.coverage.scores.entry(column.clone()).or_default();
                known.score.clone_from(&rule.score);
                known.n_without_value += 1;
                continue;
            };
            let score = Score {
                target: target.clone(),
                id: raw.id.as_ref().into(),
                rule: *number,
                value,
                at: raw.at,
                version: raw.version,
            };
            self.record.clear();
            score.encode(&mut self.record);
            let first = match target {
                Target::Trace(..) => 0,
                Target::Session(_) | Target::Response(_) => LOOSE,
            };
            let key = first + partition_of(target.hash());
            self.deal.add(&mut self.hand, key, &self.record)?;
        }
        Ok(())
    }

    /// Hands over what is left.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub(super) fn finish(mut self) -> Result<Coverage> {
        self.deal.take(&mut self.hand)?;
        Ok(self.coverage)
    }
}

/// The text of a value that a column takes: lists and objects have none.
pub(super) fn text_of<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Text(text) => (!is_blank(text)).then(|| text.clone()),
        other => other.text().map(|text| text.into_owned().into()),
    }
}

/// Nanoseconds of an instant in microseconds.
pub(super) fn nanos(at: Micros) -> Nanos {
    at.saturating_mul(1_000)
}

/// Pico-USD of an amount in USD. `None` for an amount that is not finite, is negative, or is 9 million
/// USD or more.
pub(super) fn pico_usd(amount: f64) -> Option<i64> {
    let pico = (amount * 1e12).round_ties_even();
    (0.0..9e18).contains(&pico).then_some(pico as i64)
}

//! `sluice check`: the columns of a source, and what was seen of their values.

use arrow_array::{BooleanArray, Float64Array, Int64Array, StringArray};
use hashbrown::HashSet;
use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::base::escape;
use crate::base::hash::hash_id;
use crate::base::number::{count, number, percent};
use crate::base::time;
use crate::base::time::{Micros, SECOND};
use crate::input::{Batch, RowFaults, Table, convert};
use crate::metric::{ColumnKind, Reading, column_kind};
use crate::scenario::{BreakdownBy, CONSENT, FEATURES, TagRule, TagTest};
use crate::study::checkup_document::ColumnCheck;

/// The largest number of values that are listed of a column.
const MAX_VALUES: usize = 4;
/// The largest number of texts that are counted.
const MAX_TEXTS: usize = 1_000;

/// The type of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A key, whose values are not shown.
    Id {
        is_required: bool,
    },
    Text,
    Instant {
        is_required: bool,
    },
    Flag,
    Real,
    Measured(Reading),
}

/// A column with what was seen of it.
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) n: u64,
    pub(crate) n_null: u64,
    n_true: u64,
    range: Option<(f64, f64)>,
    pub(crate) sum: f64,
    texts: BTreeMap<String, u64>,
    ids: HashSet<u64>,
}

impl Seen {
    fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            n: 0,
            n_null: 0,
            n_true: 0,
            range: None,
            sum: 0.0,
            texts: BTreeMap::new(),
            ids: HashSet::new(),
        }
    }

    /// Adds the values of a batch. `None` for a column that the source does not have.
    pub(crate) fn add(&mut self, values: Option<&Values>) {
        let seen = self;
        match values {
            None => {}
            Some(Values::Texts(texts)) => texts.iter().for_each(|text| seen.add_text(text)),
            Some(Values::Instants(times)) => times
                .iter()
                .for_each(|at| seen.add_number(at.map(|at| at as f64))),
            Some(Values::Flags(flags)) => flags
                .iter()
                .for_each(|flag| seen.add_number(flag.map(|flag| f64::from(u8::from(flag))))),
            Some(Values::Reals(reals)) => reals.iter().for_each(|value| seen.add_number(value)),
            Some(Values::Units(units, scale)) => units
                .iter()
                .for_each(|value| seen.add_number(value.map(|value| value as f64 / scale))),
        }
    }

    /// The first and the last instant, microseconds UTC. `None` for another column, or without values.
    pub(crate) fn span(&self) -> Option<(Micros, Micros)> {
        let range = self.range.filter(|_| matches!(self.kind, Kind::Instant { .. }))?;
        Some((range.0 as Micros, range.1 as Micros))
    }

    fn add_number(&mut self, value: Option<f64>) {
        self.n += 1;
        let Some(value) = value else {
            self.n_null += 1;
            return;
        };
        self.sum += value;
        self.n_true += u64::from(value == 1.0);
        let range = self.range.get_or_insert((value, value));
        *range = (range.0.min(value), range.1.max(value));
    }

    fn add_text(&mut self, value: Option<&str>) {
        self.n += 1;
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            self.n_null += 1;
            return;
        };
        if self.kind != Kind::Text {
            self.ids.insert(hash_id(value.as_bytes()));
        } else if let Some(n) = self.texts.get_mut(value) {
            *n += 1;
        } else if self.texts.len() < MAX_TEXTS {
            self.texts.insert(value.to_owned(), 1);
        }
    }
}

/// The values of a column in a batch.
pub(crate) enum Values {
    Texts(StringArray),
    Instants(Int64Array),
    Flags(BooleanArray),
    Reals(Float64Array),
    Units(Int64Array, f64),
}

/// A log of turns, or of outcomes that belong to turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    Traffic,
    Shadow,
    Outcomes,
}

pub(crate) fn columns_of_users(rules: &[&TagRule]) -> Vec<Seen> {
    let mut columns = vec![
        Seen::new("user_id", Kind::Id { is_required: true }),
        Seen::new("tenant_id", Kind::Text),
        Seen::new("last_use_time", Kind::Instant { is_required: false }),
    ];
    columns.extend(FEATURES[1..].iter().map(|name| Seen::new(name, Kind::Real)));
    columns.push(Seen::new(CONSENT, Kind::Flag));
    columns.extend(rules.iter().map(|rule| match rule.test {
        TagTest::Equals(_) => Seen::new(&rule.column, Kind::Text),
        TagTest::AtLeast(_) => Seen::new(&rule.column, Kind::Real),
    }));
    columns
}

pub(crate) fn columns_of_events() -> Vec<Seen> {
    vec![
        Seen::new("user_id", Kind::Id { is_required: true }),
        Seen::new("event_time", Kind::Instant { is_required: true }),
        Seen::new("value", Kind::Real),
        Seen::new("tenant_id", Kind::Text),
    ]
}

pub(crate) fn columns_of_log(measured: &[Reading], breakdowns: &[BreakdownBy], log: Log) -> Vec<Seen> {
    let is_turn = log == Log::Traffic;
    let mut columns = vec![
        Seen::new("event_time", Kind::Instant { is_required: is_turn }),
        Seen::new("user_id", Kind::Id { is_required: is_turn }),
        Seen::new("release_id", Kind::Text),
        Seen::new("tenant_id", Kind::Text),
        Seen::new("layer", Kind::Text),
        Seen::new("is_shadow", Kind::Flag),
        Seen::new("is_eval", Kind::Flag),
        Seen::new(
            "trace_id",
            Kind::Id {
                is_required: !is_turn,
            },
        ),
        Seen::new("session_id", Kind::Id { is_required: false }),
        Seen::new("propensity", Kind::Real),
    ];
    for reading in measured {
        if !columns.iter().any(|seen| seen.name == reading.column) {
            columns.push(Seen::new(
                &reading.column,
                if reading.tests_text() {
                    Kind::Text
                } else {
                    Kind::Measured(reading.clone())
                },
            ));
        }
    }
    for by in breakdowns {
        if let BreakdownBy::Column(column) = by
            && !columns.iter().any(|seen| seen.name == *column)
        {
            columns.push(Seen::new(column, Kind::Text));
        }
    }
    columns
}

pub(crate) fn read_column(
    batch: &Batch<'_>,
    idx: usize,
    kind: &Kind,
    faults: &mut RowFaults,
) -> Result<Option<Values>> {
    Ok(match kind {
        Kind::Id { is_required: true } => convert::required_text(batch, idx, faults)?.map(Values::Texts),
        Kind::Id { .. } | Kind::Text => convert::text(batch, idx)?.map(Values::Texts),
        Kind::Instant { .. } => convert::instant(batch, idx, faults)?.map(Values::Instants),
        Kind::Flag => convert::flag(batch, idx, faults)?.map(Values::Flags),
        Kind::Real => convert::real(batch, idx, f64::NEG_INFINITY, faults)?.map(Values::Reals),
        Kind::Measured(reading) => {
            let scale = reading.kind().units();
            convert::units(batch, idx, reading, faults)?.map(|units| Values::Units(units, scale))
        }
    })
}

pub(crate) fn column_check(seen: &Seen, table: &Table) -> ColumnCheck {
    let source = &table.source;
    let unit = source
        .units
        .get(&seen.name)
        .map_or_else(String::new, |unit| unit.name.clone());
    let from = match (source.constants.get(&seen.name), source.derive.get(&seen.name)) {
        (Some(text), _) => format!("constant \"{text}\""),
        (_, Some(expression)) => format!("expression {}", expression.text),
        _ if !table.has(&seen.name) => "absent".to_owned(),
        _ => format!("column {}", table.name_in_file(&seen.name)),
    };
    let kind = match &seen.kind {
        Kind::Id { .. } | Kind::Text => "text",
        Kind::Instant { .. } => "instant",
        Kind::Flag => "flag",
        Kind::Real => "number",
        Kind::Measured(reading) => match reading
            .test
            .as_ref()
            .map_or(column_kind(&reading.column), |_| ColumnKind::Flag)
        {
            ColumnKind::Flag => "flag",
            ColumnKind::Count => "whole number",
            ColumnKind::Real | ColumnKind::Usd => "number",
        },
    };
    ColumnCheck {
        column: seen.name.clone(),
        null_share: (seen.n > 0).then(|| seen.n_null as f64 / seen.n as f64),
        values: values_text(seen, kind),
        from,
        r#type: kind.to_owned(),
        unit,
    }
}

fn values_text(seen: &Seen, kind: &str) -> String {
    let n = seen.n - seen.n_null;
    if n == 0 {
        return String::new();
    }
    match (kind, seen.range) {
        ("instant", Some((first, last))) => {
            format!(
                "{} to {}",
                time::format(first as Micros / SECOND * SECOND),
                time::format(last as Micros / SECOND * SECOND)
            )
        }
        ("flag", _) => format!("{} true", percent(seen.n_true as f64 / n as f64)),
        (_, Some((min, max))) => format!(
            "{} to {}, mean {}",
            number(min),
            number(max),
            number(seen.sum / n as f64)
        ),
        _ if seen.kind != Kind::Text => {
            format!("{} distinct", count(seen.ids.len() as u64))
        }
        _ => {
            let mut texts: Vec<(&String, &u64)> = seen.texts.iter().collect();
            texts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            let shown: Vec<String> = texts
                .iter()
                .take(MAX_VALUES)
                .map(|(text, n_text)| {
                    let share = percent(**n_text as f64 / n as f64);
                    format!("{} {share}", escape::value(text))
                })
                .collect();
            let more = texts.len().saturating_sub(MAX_VALUES);
            if more > 0 {
                format!("{}, and {more} more", shown.join(", "))
            } else {
                shown.join(", ")
            }
        }
    }
}

//! The traffic log: one row per user turn.

use arrow_array::{Array, BooleanArray, Int64Array, StringArray};
use std::collections::BTreeMap;

use crate::base::error::Result;
use crate::base::time;
use crate::base::time::Micros;
use crate::input::batch::{Batch, RowFaults};
use crate::input::convert;
use crate::input::table::{Part, Table};
use crate::metric::Reading;
use crate::scenario::{Expression, OnBadRow, Source};

/// The canonical columns that identify a row.
pub(super) const COLUMNS: [&str; 10] = [
    "event_time",
    "user_id",
    "release_id",
    "tenant_id",
    "layer",
    "is_shadow",
    "is_eval",
    "trace_id",
    "session_id",
    "propensity",
];
/// Canonical columns that a source may rename although no metric reads them.
const PASSIVE: [&str; 1] = ["feature"];

/// Turns with typed columns. `None` for a column that the log does not have.
#[derive(Debug)]
pub struct TrafficBatch<'a> {
    /// The raw rows, for messages.
    pub raw: &'a Batch<'a>,
    /// Time of the turn, microseconds, UTC. Not null in a row that is used, if the reader requires
    /// it.
    pub event_time: Int64Array,
    /// Id of the user. Not null in a row that is used, if the reader requires it.
    pub user_id: StringArray,
    /// Id of the release that answered. Null if it is not known.
    pub release_id: StringArray,
    /// Name of the tenant. Null, or a missing column, means the tenant `default`.
    pub tenant_id: Option<StringArray>,
    /// Id of the layer that production recorded when it served the turn. `None` if the log has no
    /// such column.
    pub layer: Option<StringArray>,
    /// Whether the answer was produced beside the real one and not shown to the user. `None` if the
    /// log has no such column.
    pub is_shadow: Option<BooleanArray>,
    /// Whether the turn belongs to an evaluation run. `None` if the log has no such column.
    pub is_eval: Option<BooleanArray>,
    /// Id of the request. `None` if the log has no such column.
    pub trace_id: Option<StringArray>,
    /// Id of the conversation. `None` if the log has no such column.
    pub session_id: Option<StringArray>,
    /// Probability with which this release answered, in millionths: 1,000,000 is certainty. `None`
    /// if the log has no such column.
    pub propensity: Option<Int64Array>,
    /// The measured columns in the reader's order, as integers. The kind of a column decides its
    /// unit: nano-USD for money, millionths for real numbers.
    pub measured: Vec<Option<Int64Array>>,
    /// The columns of breakdowns, in the reader's order. `None` for a column that the log does not
    /// have.
    pub breakdowns: Vec<Option<StringArray>>,
    /// Rows of this batch that cannot be used and are left out.
    pub faults: &'a RowFaults,
}

/// A reader of a traffic log, part by part.
#[derive(Debug)]
pub struct TrafficReader {
    table: Table,
    measured: Vec<Reading>,
    breakdowns: Vec<String>,
    on_bad_row: OnBadRow,
    required: Vec<String>,
}

/// A source with the expressions of metrics, which read the columns of the source.
fn with_metrics(source: &Source, measured: &[Reading]) -> Source {
    let mut source = source.clone();
    for reading in measured {
        if let Some(text) = reading.expression() {
            let expression = Expression {
                is_canonical: true,
                ..Expression::new(text, format!("metric \"{text}\""))
            };
            source.derive.insert(reading.column.clone(), expression);
        }
    }
    source
}

impl TrafficReader {
    /// Opens a log. `measured` are the columns that metrics read, `breakdowns` those of breakdowns.
    /// Columns that the log does not have are `None` in its batches.
    ///
    /// # Errors
    /// There is no readable file, a required or renamed column is missing, or the source renames an
    /// unknown column.
    pub fn open(
        source: &Source,
        measured: &[Reading],
        breakdowns: &[String],
        on_bad_row: OnBadRow,
    ) -> Result<Self> {
        let required = ["event_time", "user_id", "release_id"];
        Self::open_with(source, &required, measured, breakdowns, on_bad_row)
    }

    /// Opens a log of which only some columns are required. A row may lack a value of any other
    /// column, the time and the user included.
    ///
    /// # Errors
    /// The same as for [`Self::open`].
    pub fn open_with(
        source: &Source,
        required: &[&str],
        measured: &[Reading],
        breakdowns: &[String],
        on_bad_row: OnBadRow,
    ) -> Result<Self> {
        let source = with_metrics(source, measured);
        Self::open_columns(&source, required, measured, breakdowns, on_bad_row)
    }

    /// Opens rows with other required columns, for example outcomes of logged requests.
    ///
    /// # Errors
    /// The same as for [`Self::open`].
    pub fn open_outcomes(
        source: &Source,
        required: &[&str],
        measured: &[Reading],
        on_bad_row: OnBadRow,
    ) -> Result<Self> {
        // Late outcomes have columns of their own. Expressions of metrics read those of answers.
        let has_answers = required.contains(&"release_id");
        let source = if has_answers {
            with_metrics(source, measured)
        } else {
            source.clone()
        };
        Self::open_columns(&source, required, measured, &[], on_bad_row)
    }

    fn open_columns(
        source: &Source,
        required: &[&str],
        measured: &[Reading],
        breakdowns: &[String],
        on_bad_row: OnBadRow,
    ) -> Result<Self> {
        let table = Table::open(source)?;
        let measured_names = measured.iter().map(|reading| reading.column.as_str());
        table.check_names(
            COLUMNS
                .into_iter()
                .chain(PASSIVE)
                .chain(measured_names)
                .chain(breakdowns.iter().map(String::as_str)),
        )?;
        table.check_columns(required)?;
        Ok(Self {
            table,
            measured: measured.to_vec(),
            breakdowns: breakdowns.to_vec(),
            on_bad_row,
            required: required.iter().map(|&column| column.to_owned()).collect(),
        })
    }

    /// Requires one more column. `why` says what needs it, for the hint of the error.
    ///
    /// # Errors
    /// A file does not have the column.
    pub(crate) fn require(mut self, column: &str, why: &str) -> Result<Self> {
        self.table.check_columns(&[column]).map_err(|error| {
            let hint = error
                .problems()
                .last()
                .and_then(|problem| problem.hint.as_deref());
            let hint = format!("{why}; {}", hint.unwrap_or_default());
            error.hint(hint)
        })?;
        self.required.push(column.to_owned());
        Ok(self)
    }

    /// Whether the reader requires a canonical column. Rows without a time or a user are bad if the
    /// reader requires these columns.
    pub fn requires(&self, column: &str) -> bool {
        self.required.iter().any(|required| required == column)
    }

    /// Returns the files and their parts.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Returns the columns that metrics read.
    pub fn measured(&self) -> &[Reading] {
        &self.measured
    }

    /// Returns the columns of breakdowns.
    pub fn breakdowns(&self) -> &[String] {
        &self.breakdowns
    }

    /// Whether the log has a canonical column.
    pub fn has(&self, column: &str) -> bool {
        self.table.has(column)
    }

    /// The canonical columns that the reader reads.
    fn wanted(&self) -> Vec<&str> {
        let measured = self.measured.iter().map(|reading| reading.column.as_str());
        let breakdowns = self.breakdowns.iter().map(String::as_str);
        COLUMNS.into_iter().chain(measured).chain(breakdowns).collect()
    }

    /// The columns of the files that the reader reads.
    ///
    /// # Errors
    /// An expression cannot be computed.
    pub(crate) fn columns_read(&self) -> Result<Vec<String>> {
        self.table.columns_read(&self.wanted())
    }

    /// Reads one part and passes each batch to `on_batch`. Returns the numbers of rows left out, by
    /// reason.
    ///
    /// # Errors
    /// The file cannot be read, a row is bad under the policy `error`, or `on_batch` fails.
    pub fn read(
        &self,
        part: Part,
        on_batch: &mut dyn FnMut(&TrafficBatch<'_>) -> Result<()>,
    ) -> Result<BTreeMap<String, u64>> {
        let wanted = self.wanted();
        let first_breakdown = COLUMNS.len() + self.measured.len();
        let propensity = Reading {
            column: "propensity".into(),
            test: None,
            limits: None,
        };
        let mut counts = BTreeMap::new();
        self.table.read(part, &wanted, &mut |batch| {
            let mut faults = batch.faults(self.on_bad_row)?;
            let event_time = convert::instant(&batch, 0, &mut faults)?;
            let event_time = event_time.unwrap_or_else(|| Int64Array::new_null(batch.n_rows));
            // A log for which no release is required may have columns that nothing filled.
            let text = if self.requires("release_id") {
                convert::text
            } else {
                convert::text_or_null
            };
            let user_id = if self.requires("user_id") {
                convert::required_text(&batch, 1, &mut faults)?
            } else {
                text(&batch, 1)?
            };
            let or_null =
                |texts: Option<StringArray>| texts.unwrap_or_else(|| StringArray::new_null(batch.n_rows));
            if self.requires("event_time") {
                for row in (0..batch.n_rows).filter(|row| event_time.is_null(*row)) {
                    faults.record(
                        &batch,
                        self.table.name_in_file("event_time"),
                        row,
                        time::EXPECTED,
                        &"none",
                    )?;
                }
            }
            let measured = self.read_measured(&batch, &mut faults)?;
            let typed = TrafficBatch {
                raw: &batch,
                event_time,
                user_id: or_null(user_id),
                release_id: or_null(text(&batch, 2)?),
                tenant_id: text(&batch, 3)?,
                layer: text(&batch, 4)?,
                is_shadow: convert::flag(&batch, 5, &mut faults)?,
                is_eval: convert::flag(&batch, 6, &mut faults)?,
                trace_id: text(&batch, 7)?,
                session_id: text(&batch, 8)?,
                propensity: convert::units(&batch, 9, &propensity, &mut faults)?,
                measured,
                breakdowns: (0..self.breakdowns.len())
                    .map(|idx| text(&batch, first_breakdown + idx))
                    .collect::<Result<_>>()?,
                faults: &faults,
            };
            on_batch(&typed)?;
            for (reason, n) in faults.into_counts() {
                *counts.entry(reason).or_default() += n;
            }
            Ok(())
        })?;
        Ok(counts)
    }

    fn read_measured(&self, batch: &Batch<'_>, faults: &mut RowFaults) -> Result<Vec<Option<Int64Array>>> {
        let column = |(offset, reading)| convert::units(batch, COLUMNS.len() + offset, reading, faults);
        self.measured.iter().enumerate().map(column).collect()
    }

    /// Reads outcomes: the trace id, the release if the source has it, and the measured columns.
    /// Returns the number of rows left out.
    ///
    /// # Errors
    /// The same as for [`Self::read`].
    pub(crate) fn read_outcomes(
        &self,
        part: Part,
        on_batch: &mut dyn FnMut(&Outcomes<'_>) -> Result<()>,
    ) -> Result<u64> {
        let wanted: Vec<&str> = COLUMNS
            .iter()
            .copied()
            .chain(self.measured.iter().map(|reading| reading.column.as_str()))
            .collect();
        let mut n_bad = 0;
        self.table.read(part, &wanted, &mut |batch| {
            let mut faults = batch.faults(self.on_bad_row)?;
            let Some(trace_id) = convert::required_text(&batch, 7, &mut faults)? else {
                return Ok(());
            };
            let measured = self.read_measured(&batch, &mut faults)?;
            let release_id = convert::text(&batch, 2)?;
            on_batch(&Outcomes {
                trace_id,
                release_id,
                measured,
                faults: &faults,
            })?;
            n_bad += faults.n_bad() as u64;
            Ok(())
        })?;
        Ok(n_bad)
    }
}

impl TrafficBatch<'_> {
    /// The measured values that are not 0 and are stored as 0: the index in `measured`, and the
    /// row.
    pub(crate) fn measured_below_resolution(&self) -> impl Iterator<Item = (usize, usize)> {
        self.faults
            .below_resolution()
            .iter()
            .filter_map(|(column, row)| Some((column.checked_sub(COLUMNS.len())?, *row)))
    }
}

/// Outcomes of logged requests.
pub(crate) struct Outcomes<'a> {
    /// Id of the request. Not null in a row that is used.
    pub(crate) trace_id: StringArray,
    /// Id of the release of the outcome. `None` if the source does not have it.
    pub(crate) release_id: Option<StringArray>,
    /// The measured columns in the reader's order, as integers. The kind of a column decides its
    /// unit: nano-USD for money, millionths for real numbers.
    pub(crate) measured: Vec<Option<Int64Array>>,
    /// Rows of this batch that cannot be used and are left out.
    pub(crate) faults: &'a RowFaults,
}

/// The columns that connect rows with users, requests and releases. None of them is required.
pub(crate) struct Links<'a> {
    /// The raw rows, for messages.
    pub(crate) raw: &'a Batch<'a>,
    /// Time of the turn, microseconds, UTC. `None` if the log has no such column.
    pub(crate) event_time: Option<Int64Array>,
    /// Text columns, in the order of [`Link`].
    texts: [Option<StringArray>; 6],
    flags: [Option<BooleanArray>; 2],
    /// Rows of this batch that cannot be used and are left out.
    pub(crate) faults: &'a RowFaults,
}

/// A text column of [`Links`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    User,
    Release,
    Tenant,
    Layer,
    Trace,
    Session,
}

impl Links<'_> {
    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.raw.n_rows
    }

    /// Returns a row's text. `None` for a missing, null or empty text.
    pub(crate) fn text(&self, link: Link, row: usize) -> Option<&str> {
        let texts = self.texts[link as usize]
            .as_ref()
            .filter(|texts| texts.is_valid(row))?;
        Some(texts.value(row)).filter(|text| !text.is_empty())
    }

    /// Returns a row's time, microseconds, UTC. `None` if it is missing.
    pub(crate) fn at(&self, row: usize) -> Option<Micros> {
        self.event_time
            .as_ref()
            .filter(|times| times.is_valid(row))
            .map(|times| times.value(row))
    }

    /// Whether the row's answer was produced beside the real one and not shown to the user.
    pub(crate) fn is_shadow(&self, row: usize) -> bool {
        self.flags[0]
            .as_ref()
            .is_some_and(|flags| flags.is_valid(row) && flags.value(row))
    }

    /// Whether the row belongs to an evaluation run.
    pub(crate) fn is_eval(&self, row: usize) -> bool {
        self.flags[1]
            .as_ref()
            .is_some_and(|flags| flags.is_valid(row) && flags.value(row))
    }
}

impl TrafficReader {
    /// Reads the columns of [`Links`]. Returns the number of rows left out.
    ///
    /// # Errors
    /// The same as for [`Self::read`]. A missing value is not a fault.
    pub(crate) fn read_links(
        &self,
        part: Part,
        on_batch: &mut dyn FnMut(&Links<'_>) -> Result<()>,
    ) -> Result<u64> {
        const WANTED: [&str; 9] = [
            "event_time",
            "user_id",
            "release_id",
            "tenant_id",
            "layer",
            "trace_id",
            "session_id",
            "is_shadow",
            "is_eval",
        ];
        let mut n_bad = 0;
        self.table.read(part, &WANTED, &mut |batch| {
            let mut faults = batch.faults(self.on_bad_row)?;
            let event_time = convert::instant(&batch, 0, &mut faults)?;
            let flags = [
                convert::flag(&batch, 7, &mut faults)?,
                convert::flag(&batch, 8, &mut faults)?,
            ];
            let text = |idx: usize| convert::text_or_null(&batch, idx);
            let texts = [text(1)?, text(2)?, text(3)?, text(4)?, text(5)?, text(6)?];
            n_bad += faults.n_bad() as u64;
            on_batch(&Links {
                raw: &batch,
                event_time,
                texts,
                flags,
                faults: &faults,
            })
        })?;
        Ok(n_bad)
    }
}

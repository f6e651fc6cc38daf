//! The layout of a cell: the sums that the metrics need, and their slots.

use crate::base::error::Error;
use crate::metric::{Reading, Sum};
use crate::replay::cube::CubeMeasure;
use crate::replay::limits::{self, QuantileLimits};

/// The sums of a cell and their sources. Slot 0 counts rows. A count of known values is stored as
/// the count of missing values, because most columns have few of them.
pub(super) struct Sums {
    pub(super) measures: Vec<CubeMeasure>,
    /// Measured columns, with the slots of their sums.
    pub(super) of: Vec<(usize, usize)>,
    /// Measured columns with limits, for the sums of their values within the limits.
    pub(super) limited: Vec<LimitedColumn>,
    /// Measured columns with limits, for the numbers of values beyond a limit.
    pub(super) beyond: Vec<LimitedColumn>,
    /// Measured columns, with the slots of their counts of missing values.
    pub(super) missing: Vec<(usize, usize)>,
    /// The slot of each measure.
    slots: Vec<Slot>,
    pub(super) n_slots: usize,
    /// The column that the latency histogram reads; `None` if no file has it.
    pub(super) latency: Option<usize>,
}

/// A measured column with limits in integer units, and a slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct LimitedColumn {
    pub(super) column: usize,
    pub(super) slot: usize,
    low: i64,
    high: i64,
}

impl LimitedColumn {
    /// The value within the limits.
    pub(super) fn within(&self, value: i64) -> i64 {
        value.max(self.low).min(self.high)
    }

    /// Whether the value is beyond a limit.
    pub(super) fn is_beyond(&self, value: i64) -> bool {
        value < self.low || value > self.high
    }
}

/// The source of a measure in a row of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Is(usize),
    /// The number of rows minus this slot.
    RowsBut(usize),
    /// No file has the column.
    Absent,
}

impl Sums {
    /// Creates the layout for the sums of some metrics. `present` says for each measured column
    /// whether any file has it. `of_quantiles` holds the limits that come from quantiles.
    pub(super) fn new(
        measures: &[Sum],
        measured: &[Reading],
        present: &[bool],
        of_quantiles: &[QuantileLimits],
    ) -> Self {
        let (mut of, mut missing, mut slots, mut n_slots) = (Vec::new(), Vec::new(), Vec::new(), 1);
        let (mut limited, mut beyond) = (Vec::new(), Vec::new());
        for sum in measures {
            let reading = sum.reading();
            let limits = reading
                .as_ref()
                .and_then(|reading| limits::in_units(reading, of_quantiles));
            let column = reading
                .map(Reading::unlimited)
                .and_then(|reading| measured.iter().position(|m| *m == reading));
            slots.push(match (sum, column.filter(|column| present[*column])) {
                (Sum::Rows, _) => Slot::Is(0),
                (_, None) => Slot::Absent,
                (Sum::Of(_) | Sum::Limited(_), Some(column)) => {
                    let is_sum = matches!(sum, Sum::Of(_));
                    match limits {
                        None => of.push((column, n_slots)),
                        Some([low, high]) => {
                            if is_sum { &mut limited } else { &mut beyond }.push(LimitedColumn {
                                column,
                                slot: n_slots,
                                low,
                                high,
                            })
                        }
                    }
                    n_slots += 1;
                    Slot::Is(n_slots - 1)
                }
                (Sum::Known(_), Some(column)) => {
                    missing.push((column, n_slots));
                    n_slots += 1;
                    Slot::RowsBut(n_slots - 1)
                }
            });
        }
        let measure = |(sum, slot): (&Sum, &Slot)| CubeMeasure {
            sum: sum.clone(),
            present: *slot != Slot::Absent,
        };
        let measures = measures.iter().zip(&slots).map(measure).collect();
        let latency = measured
            .iter()
            .position(|reading| reading.column == "latency_ms" && reading.test.is_none());
        let latency = latency.filter(|column| present[*column]);
        Self {
            measures,
            of,
            limited,
            beyond,
            missing,
            slots,
            n_slots,
            latency,
        }
    }

    /// Creates the layout for cubes that are merged: every measure has its own slot.
    pub(super) fn from_measures(measures: Vec<CubeMeasure>) -> Self {
        let slots: Vec<Slot> = (0..measures.len()).map(Slot::Is).collect();
        Self {
            n_slots: slots.len().max(1),
            measures,
            of: Vec::new(),
            limited: Vec::new(),
            beyond: Vec::new(),
            missing: Vec::new(),
            slots,
            latency: None,
        }
    }

    /// The number of sums of a cell.
    pub(super) fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// Converts a row of slots to a row of measures.
    pub(super) fn finish(&self, slots: &[i64], out: &mut Vec<i64>) {
        out.extend(self.slots.iter().map(|slot| match slot {
            Slot::Is(slot) => slots[*slot],
            Slot::RowsBut(slot) => slots[0] - slots[*slot],
            Slot::Absent => 0,
        }));
    }

    /// Converts a row of measures back to slots. Rows that were counted without the column count as
    /// rows with a missing value.
    pub(super) fn expand(&self, rows: i64, measures: &[i64], out: &mut [i64]) {
        out[0] = rows;
        for (slot, value) in self.slots.iter().zip(measures) {
            match slot {
                Slot::Is(slot) => out[*slot] = *value,
                Slot::RowsBut(slot) => out[*slot] = rows - value,
                Slot::Absent => {}
            }
        }
    }
}

/// The error for a sum that does not fit in 63 bits.
pub(super) fn overflow(what: &str) -> Error {
    Error::input(
        "traffic",
        format!("expected sums below 2^63, found an overflow in {what}"),
    )
    .hint("use a shorter plan.window_minutes, or check the column's unit")
}

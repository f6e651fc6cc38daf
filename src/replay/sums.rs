//! The layout of a cell: which sums the metrics need, and the slots that hold them.

use crate::base::error::Error;
use crate::metric::{Reading, Sum};
use crate::replay::cube::CubeMeasure;

/// What cells add up, and where each sum comes from. Slot 0 counts rows. A count of known values is
/// stored as the count of missing ones, because few columns miss any.
pub(super) struct Sums {
    pub(super) measures: Vec<CubeMeasure>,
    /// Measured columns and the slots of their sums.
    pub(super) of: Vec<(usize, usize)>,
    /// Measured columns and the slots of their missing values.
    pub(super) missing: Vec<(usize, usize)>,
    /// The slot of each measure.
    slots: Vec<Slot>,
    pub(super) n_slots: usize,
    /// The column that the latency histogram reads.
    pub(super) latency: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Is(usize),
    /// Rows minus this.
    RowsBut(usize),
    /// No file has the column.
    Absent,
}

impl Sums {
    /// The sums of some metrics over measured columns, of which `present` tells which any file has.
    pub(super) fn new(measures: &[Sum], measured: &[Reading], present: &[bool]) -> Self {
        let (mut of, mut missing, mut slots, mut n_slots) = (Vec::new(), Vec::new(), Vec::new(), 1);
        for sum in measures {
            let column = sum
                .reading()
                .and_then(|reading| measured.iter().position(|m| *m == reading));
            slots.push(match (sum, column.filter(|column| present[*column])) {
                (Sum::Rows, _) => Slot::Is(0),
                (_, None) => Slot::Absent,
                (Sum::Of(_), Some(column)) => {
                    of.push((column, n_slots));
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
            missing,
            slots,
            n_slots,
            latency,
        }
    }

    /// The sums of cubes that are merged: every measure in a slot of its own.
    pub(super) fn from_measures(measures: Vec<CubeMeasure>) -> Self {
        let slots: Vec<Slot> = (0..measures.len()).map(Slot::Is).collect();
        Self {
            n_slots: slots.len().max(1),
            measures,
            of: Vec::new(),
            missing: Vec::new(),
            slots,
            latency: None,
        }
    }

    /// Sums that are kept for a cell.
    pub(super) fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// A row of measures from a row of slots.
    pub(super) fn finish(&self, slots: &[i64], out: &mut Vec<i64>) {
        out.extend(self.slots.iter().map(|slot| match slot {
            Slot::Is(slot) => slots[*slot],
            Slot::RowsBut(slot) => slots[0] - slots[*slot],
            Slot::Absent => 0,
        }));
    }

    /// The other way round. Rows that were counted when a column was not there count as missing it.
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

pub(super) fn overflow(what: &str) -> Error {
    Error::input(
        "traffic",
        format!("expected sums that fit 63 bits, found an overflow in {what}"),
    )
    .hint("use a shorter plan.window_minutes, or check the column's unit")
}

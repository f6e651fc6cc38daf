//! Entry points for the benches of `benches/kernels`, which reach no private code. No part of the
//! program.

use std::cell::Cell;
use std::path::Path;

use crate::input::{FastPart, Mapping, STEP, STEP_WORDS, Table, Unsupported};

pub use crate::replay::kernels::{KeyedSums, UserIndex};

/// The result of a scan of a column.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scanned {
    /// The number of rows.
    pub n_rows: usize,
    /// The number of rows without a value.
    pub n_absent: usize,
    /// The sum of the numbers, or of the lengths of the texts.
    pub sum: f64,
}

/// A Parquet file with a column to scan.
pub struct ScanFile {
    table: Table,
}

impl ScanFile {
    /// Opens a file. `None` if it is no Parquet file.
    pub fn open(path: &Path) -> Option<Self> {
        let table = Table::from_parquet(path).ok()?;
        Some(Self { table })
    }

    /// Scans a column of numbers by the fast reader. `None` if the reader does not support it.
    pub fn numbers(&self, column: &str) -> Option<Scanned> {
        let copy = |values: &[f64], out: &mut [f64]| {
            out.copy_from_slice(values);
            true
        };
        self.scan(column, Mapping::Number(&copy)).ok()
    }

    /// Scans a column of texts by the fast reader, with their lengths. `None` if the reader does
    /// not support it. The second number counts the texts that were mapped: each distinct text of
    /// a dictionary once.
    pub fn texts(&self, column: &str) -> Option<(Scanned, usize)> {
        let n_mapped = Cell::new(0);
        let length = |text: &[u8]| {
            n_mapped.set(n_mapped.get() + 1);
            text.len() as f64
        };
        let scanned = self.scan(column, Mapping::Text(&length)).ok()?;
        Some((scanned, n_mapped.get()))
    }

    fn scan(&self, column: &str, mapping: Mapping<'_, f64>) -> Result<Scanned, Unsupported> {
        let mut scanned = Scanned::default();
        let (mut values, mut absent) = (vec![0.0; STEP], [0; STEP_WORDS]);
        for part in &self.table.parts {
            let part = FastPart::open(&self.table, *part)?;
            let mut scan = part.column(column, 0.0, mapping)?.ok_or(Unsupported)?;
            for start in (0..part.n_rows).step_by(STEP) {
                let values = &mut values[..(part.n_rows - start).min(STEP)];
                scanned.n_absent += scan.fill(values, &mut absent)?;
                scanned.sum += values.iter().sum::<f64>();
                scanned.n_rows += values.len();
            }
        }
        Ok(scanned)
    }
}

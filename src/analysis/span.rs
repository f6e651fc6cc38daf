//! The rows of some layers in the tables of a cube.

use std::ops::Range;

use crate::replay::{CellKey, Cells, CubeLayer, LayerKey};

/// Adjacent layers in the order of [`Cube::layers`]. Tables of a cube are sorted by layer, so the
/// rows of these layers are found by binary search.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerSpan {
    first: LayerKey,
    last: LayerKey,
}

impl LayerSpan {
    pub(super) fn one(layer: LayerKey) -> Self {
        Self {
            first: layer,
            last: layer,
        }
    }

    /// The span of some adjacent layers. It has no rows if there is no layer.
    pub(super) fn of(layers: &[CubeLayer]) -> Self {
        let none = [1, 0].map(|tenant| LayerKey { tenant, layer: 0 });
        let ends = layers.first().zip(layers.last());
        let [first, last] = ends.map_or(none, |(first, last)| [first.key(), last.key()]);
        Self { first, last }
    }

    /// The rows of the span in a table that is sorted by layer.
    pub(super) fn rows<T>(&self, table: &[T], key: impl Fn(&T) -> LayerKey) -> Range<usize> {
        let start = table.partition_point(|row| key(row) < self.first);
        start..start + table[start..].partition_point(|row| key(row) <= self.last)
    }
}

/// Some rows of a table of cells, with their sums.
pub(super) fn cells_of(cells: &Cells, rows: Range<usize>) -> impl Iterator<Item = (&CellKey, &[i64])> {
    let width = cells
        .values
        .len()
        .checked_div(cells.keys.len())
        .unwrap_or(0)
        .max(1);
    let values = &cells.values[rows.start * width..rows.end * width];
    cells.keys[rows].iter().zip(values.chunks_exact(width))
}

//! Reads the result columns of a layer table's row group directly from their pages.

use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use std::cell::RefCell;
use std::sync::Arc;

use crate::base::parquet_file::PageFile;
use crate::input::{ColumnScan, DEFAULT_TENANT, Mapping, STEP, STEP_WORDS, Unsupported};
use crate::layer::score::ten_thousandths;

/// One row of a layer table, without the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LayerRow {
    /// The score in ten-thousandths, 0..=10000.
    pub(super) score: u16,
    /// The index that the caller gave to the layer's id.
    pub(super) layer: u16,
    pub(super) eligible: bool,
    /// The index that the caller gave to the tenant's name.
    pub(super) tenant: u32,
}

/// Maps a name to an index. `None` refuses the name.
pub(super) type Number<'a> = &'a mut dyn FnMut(&str) -> Option<u32>;

/// Reads the users of a row group, in order. The caller maps layer ids and tenant names to indices.
///
/// # Errors
/// When the row group does not have the types that `sluice layer` writes, has an illegal value, or
/// has a name that the caller refuses.
pub(super) fn scan_row_group(
    file: &Arc<PageFile>,
    footer: &ArrowReaderMetadata,
    row_group: usize,
    layer_number: Number<'_>,
    tenant_number: Number<'_>,
) -> Result<Vec<LayerRow>, Unsupported> {
    // Names become indices page by page. A refused name becomes NaN, which is checked below.
    let (layer_number, tenant_number) = (RefCell::new(layer_number), RefCell::new(tenant_number));
    let number = |bytes: &[u8], numbers: &RefCell<Number<'_>>| {
        let number = std::str::from_utf8(bytes)
            .ok()
            .and_then(|name| (numbers.borrow_mut())(name));
        number.map_or(f64::NAN, f64::from)
    };
    let of_score = |scores: &[f64], out: &mut [f64]| {
        out.iter_mut()
            .zip(scores)
            .for_each(|(out, score)| *out = f64::from(ten_thousandths(*score)));
        scores.iter().all(|score| (0.0..=1.0).contains(score))
    };
    let of_layer = |id: &[u8]| number(id, &layer_number);
    let of_tenant = |name: &[u8]| {
        number(
            if name.is_empty() {
                DEFAULT_TENANT.as_bytes()
            } else {
                name
            },
            &tenant_number,
        )
    };
    let column = |name: &str| {
        footer
            .schema()
            .fields()
            .iter()
            .position(|field| field.name() == name)
    };
    let open = |column, mapping| ColumnScan::open(file, footer, row_group, column, f64::NAN, mapping);
    let mut scores = open(column("score").ok_or(Unsupported)?, Mapping::Number(&of_score))?;
    let mut layers = open(column("layer").ok_or(Unsupported)?, Mapping::Text(&of_layer))?;
    let mut flags = open(column("eligible").ok_or(Unsupported)?, Mapping::Flag([0.0, 1.0]))?;
    let mut tenants = column("tenant_id")
        .map(|column| open(column, Mapping::Text(&of_tenant)))
        .transpose()?;

    let n_rows =
        usize::try_from(footer.metadata().row_group(row_group).num_rows()).map_err(|_| Unsupported)?;
    // The footer's number of rows is not believed: the list grows with the rows that are there.
    let mut rows = Vec::new();
    let mut values: [Vec<f64>; 4] = std::array::from_fn(|_| vec![0.0; STEP]);
    let mut absent = [0; STEP_WORDS];
    for start in (0..n_rows).step_by(STEP) {
        let n = (n_rows - start).min(STEP);
        let [of_score, of_layer, of_flag, of_tenant] = values.each_mut().map(|values| &mut values[..n]);
        scores.fill(of_score, &mut absent)?;
        layers.fill(of_layer, &mut absent)?;
        flags.fill(of_flag, &mut absent)?;
        let n_without = match &mut tenants {
            Some(tenants) => tenants.fill(of_tenant, &mut absent)?,
            None => {
                of_tenant.fill(f64::NAN);
                n
            }
        };
        if n_without > 0 {
            let default = number(DEFAULT_TENANT.as_bytes(), &tenant_number);
            of_tenant
                .iter_mut()
                .filter(|tenant| tenant.is_nan())
                .for_each(|tenant| *tenant = default);
        }
        if values
            .iter()
            .any(|values| values[..n].iter().any(|value| value.is_nan()))
        {
            return Err(Unsupported);
        }
        let [of_score, of_layer, of_flag, of_tenant] = values.each_ref().map(|values| &values[..n]);
        rows.extend((0..n).map(|at| LayerRow {
            score: of_score[at] as u16,
            layer: of_layer[at] as u16,
            eligible: of_flag[at] > 0.5,
            tenant: of_tenant[at] as u32,
        }));
    }
    Ok(rows)
}

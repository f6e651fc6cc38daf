//! Writes CSV files. Texts that a spreadsheet would take as formulas get a `'` before them.

use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::{escape, files};

/// Formats a header and rows as CSV.
///
/// # Errors
/// A row has another number of fields than the header.
pub(crate) fn to_csv(fields: &[&str], rows: impl Iterator<Item = Vec<String>>) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Writes a header and rows to a file.
pub(crate) fn write_csv(path: &Path, fields: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<()> {
    files::write_file(path, |file| {
        let failed = |error: csv::Error| Error::write(path, error);
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(fields).map_err(failed)?;
        for row in rows {
            let row = row.iter().map(|field| escape::csv_field(field).into_owned());
            writer.write_record(row).map_err(failed)?;
        }
        writer.flush().or_unwritable(path)
    })
}

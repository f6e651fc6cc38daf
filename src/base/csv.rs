//! Writes CSV files.

use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::files;

/// Writes a header and rows to a file.
pub(crate) fn write_csv(path: &Path, fields: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<()> {
    files::write_file(path, |file| {
        let failed = |error: csv::Error| Error::write(path, error);
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(fields).map_err(failed)?;
        for row in rows {
            writer.write_record(row).map_err(failed)?;
        }
        writer.flush().or_unwritable(path)
    })
}

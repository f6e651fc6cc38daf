//! Files that people take away from a study: charts, tables, a workbook and a mail.

use std::path::{Path, PathBuf};

use crate::base::error::Result;
use crate::base::files::{StagedFolder, write_bytes};
use crate::base::json;
use crate::base::manifest::file;
use crate::ramp::RampState;
use crate::report::{self, ExportedFiles, Model};
use crate::words::Lang;

/// The files and folders to write. `None` for those that are not asked for.
#[derive(Debug, Clone, Default)]
pub struct Exports {
    /// A folder for each chart as SVG and PNG. It is replaced as a whole.
    pub charts: Option<PathBuf>,
    /// A folder for each table as CSV. It is replaced as a whole.
    pub tables: Option<PathBuf>,
    /// A file for the workbook.
    pub xlsx: Option<PathBuf>,
    /// A file for the mail.
    pub email: Option<PathBuf>,
}

impl Exports {
    /// The files and folders that are asked for.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.charts, &self.tables, &self.xlsx, &self.email]
            .into_iter()
            .flatten()
    }

    /// Whether anything is asked for.
    pub fn is_empty(&self) -> bool {
        self.paths().next().is_none()
    }
}

/// Writes what people take away from the study in `dir`. The table of operations
/// is that of `state`, else of the folder's own state. Returns warnings.
///
/// # Errors
/// A document is missing, a file cannot be written, or a folder has files that Sluice did not write.
pub fn export(dir: &Path, lang: Lang, state: Option<&RampState>, exports: &Exports) -> Result<Vec<String>> {
    let own_path = dir.join(file::STATE);
    let own: Option<RampState> = match state {
        None if own_path.exists() => Some(json::read_document(&own_path)?),
        _ => None,
    };
    let operations = state.or(own.as_ref()).map_or(&[][..], |state| &state.operations);
    // Charts and mail show what the report shows.
    let model: Model = super::pipeline::read_model(dir, state)?;
    let mut warnings = Vec::new();
    if let Some(folder) = &exports.charts {
        let files = report::chart_files(&model, lang)?;
        if let Some(warning) = &files.warning {
            warnings.push(warning.of(lang).to_owned());
        }
        write_folder(folder, &files, report::CHARTS_INDEX)?;
    }
    if let Some(folder) = &exports.tables {
        let files = report::table_files(&model, operations, lang)?;
        write_folder(folder, &files, report::TABLES_INDEX)?;
    }
    if let Some(path) = &exports.xlsx {
        write_bytes(path, &report::workbook(&model, operations, lang)?)?;
    }
    if let Some(path) = &exports.email {
        write_bytes(path, report::email(&model, lang)?.as_bytes())?;
    }
    Ok(warnings)
}

fn write_folder(folder: &Path, files: &ExportedFiles, index: &str) -> Result<()> {
    let staged = StagedFolder::begin(folder, index)?;
    for (name, bytes) in &files.files {
        write_bytes(&staged.path().join(name), bytes)?;
    }
    staged.commit()
}

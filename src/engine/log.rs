//! A log that the engine reads: its columns, before the scan.

use arrow_ipc::reader::StreamReader;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, FileResult, Result};
use crate::base::private_folder::PrivateFolder;
use crate::base::progress::Progress;
use crate::base::{json, open};
use crate::engine::job::Job;
use crate::engine::runner::{DESCRIBE, EngineRunner, JOB, write_driver};
use crate::input::TrafficReader;
use crate::scenario::Source;

/// The advice for a table without columns.
const NO_COLUMNS: &str = "an engine may take a file whose name has a `=` for a folder of a partition: rename \
     it, or let the tasks read files: --scan native";

/// The tables of a log, each as a file with its columns and without rows.
pub struct EngineLog {
    _folder: PrivateFolder,
    files: Vec<PathBuf>,
}

impl EngineLog {
    /// Asks the engine for the columns of the job's tables.
    ///
    /// # Errors
    /// When the engine fails, does not have a table, or finds no columns in it.
    pub fn describe(job: &Job, progress: &Progress) -> Result<Self> {
        let folder = PrivateFolder::create(&std::env::temp_dir(), "sluice-engine-")?;
        let path = folder.path();
        json::write_json(&path.join(JOB), job)?;
        write_driver(path)?;
        EngineRunner::new(job.clone(), progress)?.drive(path, &[(DESCRIBE, "")])?;
        let mut files = Vec::new();
        for (idx, table) in job.tables.iter().enumerate() {
            // Messages name the table.
            let below = path.join(idx.to_string());
            fs::create_dir(&below).or_unwritable(&below)?;
            let file = below.join(table.file_name());
            let found = path.join(format!("table-{idx}.arrow"));
            if !has_columns(&found)? {
                let found = "expected columns, the engine finds none";
                return Err(Error::input(table.place(), found).hint(NO_COLUMNS));
            }
            fs::rename(&found, &file).or_unreadable(&found)?;
            files.push(file);
        }
        Ok(Self {
            _folder: folder,
            files,
        })
    }

    /// The sources of the log, with the files in place of the tables.
    pub fn sources(&self, sources: &[Source]) -> Vec<Source> {
        let with_file = |(source, file): (&Source, &PathBuf)| Source {
            path: file.clone(),
            ..source.clone()
        };
        sources.iter().zip(&self.files).map(with_file).collect()
    }
}

/// Whether a file of an Arrow stream has columns.
fn has_columns(path: &Path) -> Result<bool> {
    let file = open::regular(path).or_unreadable(path)?;
    let stream = StreamReader::try_new(file, None).or_unreadable(path)?;
    Ok(!stream.schema().fields().is_empty())
}

/// Adds the columns that readers of the tables need to a job, and returns the names of the tables.
///
/// # Errors
/// When an expression cannot be computed.
pub fn add_columns(job: &mut Job, readers: &[TrafficReader]) -> Result<Vec<String>> {
    for (table, reader) in job.tables.iter_mut().zip(readers) {
        table.columns = reader.columns_read()?;
    }
    Ok(job.tables.iter().map(|table| table.name.clone()).collect())
}

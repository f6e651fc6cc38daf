//! The document of the traces that a study read.

use std::path::Path;

use crate::base::error::Result;
use crate::base::json;
use crate::base::json::Document;
use crate::base::manifest::file;
use crate::base::progress::Progress;
use crate::replay;
use crate::scenario::{Input, Scenario};
use crate::traces::{SourceCoverage, TracesDocument, turns_of};

/// What was read of the traces of an input. Empty for an input without traces.
///
/// # Errors
/// The traces cannot be read.
pub(crate) fn traces_of(input: &Input, progress: &Progress) -> Result<Vec<SourceCoverage>> {
    let mut sources = Vec::new();
    for (source, needs) in replay::logs(input) {
        if let (Some(traces), Some(coverage)) = (
            &source.traces,
            turns_of(source, needs, input.on_bad_row, progress)?.coverage,
        ) {
            sources.push(SourceCoverage {
                source: traces.key.clone(),
                path: source.name(),
                coverage,
            });
        }
    }
    Ok(sources)
}

/// Writes what was read of the traces of a scenario to `traces.json`. A scenario without traces gets no
/// such file.
///
/// # Errors
/// The traces cannot be read, or the file cannot be written.
pub(crate) fn write_traces(scenario: &Scenario, dir: &Path, progress: &Progress) -> Result<()> {
    let sources = traces_of(&scenario.input, progress)?;
    if sources.is_empty() {
        return Ok(());
    }
    let document = TracesDocument {
        schema: TracesDocument::SCHEMA.into(),
        sources,
    };
    json::write_json(&dir.join(file::TRACES), &document)
}

/// What was read of the traces of a study. Empty for a study without traces.
pub(super) fn read_traces(dir: &Path) -> Result<Vec<SourceCoverage>> {
    let path = dir.join(file::TRACES);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let document: TracesDocument = json::read_document(&path)?;
    Ok(document.sources)
}

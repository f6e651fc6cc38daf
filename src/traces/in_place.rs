//! Sources of traces that are read in place: their turns become a private table of the run.

use std::borrow::Cow;
use std::path::Path;

use crate::base::error::{Error, ErrorKind, FileResult, Result};
use crate::base::private_folder::create_file;
use crate::base::progress::Progress;
use crate::base::{advice, digest, json};
use crate::input::fetch;
use crate::scenario::{OnBadRow, Source, TraceFormat};
use crate::traces::coverage::Coverage;
use crate::traces::driver::{HELD, Target, import};
use crate::traces::files::open_files;

/// The name of the private table, as it is in documents.
const TURNS: &str = "turns.parquet";

/// The rows of a log as they are read: its files, or the turns of its traces.
pub struct Turns<'a> {
    /// The source with one row a turn.
    pub source: Cow<'a, Source>,
    /// What was read of the traces. `None` for files with a row a turn.
    pub coverage: Option<Coverage>,
}

/// The columns that a study cannot do without in every turn.
pub const IDS: [&str; 2] = ["user_id", "release_id"];

/// What the turns of a source must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A user in at least one turn, and a release in one, unless the source makes them.
    Ids,
    /// Nothing: costs alone.
    Nothing,
}

/// Whether files are traces, by their content. Files that cannot be read are none.
pub fn are_traces(path: &Path) -> bool {
    open_files(&[path.to_owned()], TraceFormat::Auto).is_ok()
}

/// An error of a log without the columns of a turn, with the way out if its files are traces.
pub fn hinted(source: &Source, error: Error) -> Error {
    let is_plain = source.traces.is_none() && source.sql.is_none();
    if is_plain && error.kind() == ErrorKind::Input && are_traces(&source.path) {
        let way = advice::either("format = \"auto\" of the source", "--format auto");
        return error.hint(match way {
            Some(way) => format!("the files are traces: say so: {way}"),
            None => {
                "the files are traces: make a table of them first: sluice import PATH --out turns.parquet"
                    .into()
            }
        });
    }
    error
}

/// A name of a file without signs that a path may read as a pattern.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
    name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

/// Returns the turns of a source. Traces are imported once a run, into a private table that is removed
/// at its end. Expressions and constants of the source are of its turns.
///
/// # Errors
/// The same as for [`import`].
pub fn turns_of<'a>(
    source: &'a Source,
    needs: Needs,
    on_bad_row: OnBadRow,
    progress: &Progress,
) -> Result<Turns<'a>> {
    let Some(traces) = &source.traces else {
        return Ok(Turns {
            source: Cow::Borrowed(source),
            coverage: None,
        });
    };
    let required: Vec<&str> = match needs {
        // A query may make any column.
        Needs::Ids if source.sql.is_none() => {
            let ids = IDS.into_iter();
            ids.filter(|column| !source.is_made(column)).collect()
        }
        _ => Vec::new(),
    };
    let identity = format!(
        "{:?}",
        (&source.path, &source.columns, traces, &required, on_bad_row)
    );
    let folder = format!(
        "traces-{}",
        digest::sha256_of_bytes(identity.as_bytes()).replace(':', "-")
    );
    let coverage_name = format!("{folder}/coverage.json");
    let shown = source.path.display().to_string();
    let name = format!("{folder}/{}.turns.parquet", plain(&source.name()));
    let path = fetch::made(&name, TURNS, &shown, &|path| {
        let file = create_file(path).or_unwritable(path)?;
        let target = Target {
            path,
            file,
            held: HELD,
            required: &required,
            state: None,
        };
        let paths = [source.path.clone()];
        let coverage = import(&paths, &source.columns, traces, on_bad_row, target, progress)?;
        json::write_json(&fetch::private_file(&coverage_name)?, &coverage)
    })?;
    let coverage = json::read_document(&fetch::private_file(&coverage_name)?)?;
    let columns = source.columns.keys();
    let turns = Source {
        path,
        columns: columns.map(|name| (name.clone(), name.clone())).collect(),
        traces: None,
        ..source.clone()
    };
    Ok(Turns {
        source: Cow::Owned(turns),
        coverage: Some(coverage),
    })
}

//! Limits of what a file or a server may claim: one table with names, defaults and units.
//!
//! A size that data states is not believed. It is compared with its limit before memory is reserved,
//! or while the bytes arrive. `--limit NAME=SIZE` changes a limit for one run.

use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::error::{Error, ErrorKind, Problem};
use crate::base::open;
use crate::base::similar::nearest;

/// A limit. The order is that of the table in `docs/reference/limits.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of a line or record of a text file.
    Line,
    /// Number of columns of a table.
    Columns,
    /// Bytes of text in one batch of decoded rows.
    Batch,
    /// Bytes of a Parquet page after decompression.
    Page,
    /// Number of rows of a Parquet row group, or of an Arrow record batch.
    RowGroupRows,
    /// Bytes of text that are kept of one Parquet row group.
    RowGroupText,
    /// Bytes of the wanted columns of an Arrow record batch, stored and unpacked.
    RecordBatch,
    /// Number of rows that a Parquet file may claim before memory is reserved for them.
    ClaimedRows,
    /// Bytes of a TOML file.
    Toml,
    /// Bytes of a JSON or YAML document.
    Document,
    /// Bytes of memory for the values of one JSON text.
    JsonMemory,
    /// Bytes of a member of an `.eval` archive.
    Member,
    /// Number of samples of an `.eval` archive.
    Samples,
    /// Number of objects below an address of an object store.
    ListKeys,
    /// Bytes of an answer of a server.
    Answer,
    /// Bytes of tables that a query holds in memory.
    Tables,
    /// Number of problems in an error, and of warnings of one kind.
    Findings,
}

/// The unit of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitUnit {
    /// Bytes, written as `64MiB`.
    Bytes,
    /// A number of things, written as `100000`.
    Count,
}

/// A row of the table of limits.
struct Row {
    limit: Limit,
    name: &'static str,
    default: u64,
    unit: LimitUnit,
    /// What the limit bounds, as the object of "expected at most N".
    what: &'static str,
    /// The reason for the limit, for the reference page.
    protects: &'static str,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const N: usize = 17;

/// The table of limits, in the order of [`Limit`].
const TABLE: [Row; N] = [
    Row {
        limit: Limit::Line,
        name: "line",
        default: 32 * MIB,
        unit: LimitUnit::Bytes,
        what: "in a line or record",
        protects: "A line of NDJSON, logged calls or evaluation results, or a record of CSV with its header, \
                   is held at once. Blank lines count with the line that follows them.",
    },
    Row {
        limit: Limit::Columns,
        name: "columns",
        default: 100_000,
        unit: LimitUnit::Count,
        what: "columns",
        protects: "The names of all columns of a table are held, also of those that are not read.",
    },
    Row {
        limit: Limit::Batch,
        name: "batch",
        default: 64 * MIB,
        unit: LimitUnit::Bytes,
        what: "of text in a batch",
        protects: "Rows are read in batches. A batch ends when its text reaches this size. It is no error.",
    },
    Row {
        limit: Limit::Page,
        name: "page",
        default: 64 * MIB,
        unit: LimitUnit::Bytes,
        what: "in a page of a Parquet column",
        protects: "A page is unpacked at once, one for each column and thread.",
    },
    Row {
        limit: Limit::RowGroupRows,
        name: "row-group-rows",
        default: 32 * MIB,
        unit: LimitUnit::Count,
        what: "rows in a row group or record batch",
        protects: "Scores and layers of a whole row group are held, some bytes a row.",
    },
    Row {
        limit: Limit::RowGroupText,
        name: "row-group-text",
        default: 256 * MIB,
        unit: LimitUnit::Bytes,
        what: "of decoded columns of a row group",
        protects: "`sluice layer` holds the columns of a whole row group where it cannot copy them.",
    },
    Row {
        limit: Limit::RecordBatch,
        name: "record-batch",
        default: 512 * MIB,
        unit: LimitUnit::Bytes,
        what: "of the wanted columns of a record batch",
        protects: "A record batch of Arrow is held at once, one for each thread.",
    },
    Row {
        limit: Limit::ClaimedRows,
        name: "claimed-rows",
        default: 8 * MIB,
        unit: LimitUnit::Count,
        what: "rows, or one row a byte",
        protects: "`sluice replay` reserves memory for the rows that a layer table claims. A file may always \
                   claim one row a byte.",
    },
    Row {
        limit: Limit::Toml,
        name: "toml",
        default: 4 * MIB,
        unit: LimitUnit::Bytes,
        what: "in a TOML file",
        protects: "Scenarios, policies, prices and budgets are parsed as a whole.",
    },
    Row {
        limit: Limit::Document,
        name: "document",
        default: 256 * MIB,
        unit: LimitUnit::Bytes,
        what: "in a document",
        protects: "A JSON or YAML document is read as a whole.",
    },
    Row {
        limit: Limit::JsonMemory,
        name: "json-memory",
        default: 768 * MIB,
        unit: LimitUnit::Bytes,
        what: "of memory for the values of a JSON text",
        protects: "A short JSON text can stand for a large tree. Its memory is estimated before it is parsed: \
                   700 bytes an object, 40 bytes any other value.",
    },
    Row {
        limit: Limit::Member,
        name: "member",
        default: 128 * MIB,
        unit: LimitUnit::Bytes,
        what: "in a member of an archive",
        protects: "A member of an `.eval` archive is unpacked at once.",
    },
    Row {
        limit: Limit::Samples,
        name: "samples",
        default: 2_000_000,
        unit: LimitUnit::Count,
        what: "samples in an archive",
        protects: "A small `.eval` archive may claim any number of samples.",
    },
    Row {
        limit: Limit::ListKeys,
        name: "list-keys",
        default: 200_000,
        unit: LimitUnit::Count,
        what: "objects and folders below an address",
        protects: "A list of objects is held. A server may send a list without end.",
    },
    Row {
        limit: Limit::Answer,
        name: "answer",
        default: 64 * MIB,
        unit: LimitUnit::Bytes,
        what: "in an answer of a server",
        protects: "An answer of Prometheus or of an object store is held at once.",
    },
    Row {
        limit: Limit::Tables,
        name: "tables",
        default: 1024 * MIB,
        unit: LimitUnit::Bytes,
        what: "of tables in memory",
        protects: "A query holds the columns that it names, of all its tables. Polars needs about as much again \
                   for a join, a sort or groups.",
    },
    Row {
        limit: Limit::Findings,
        name: "findings",
        default: 100,
        unit: LimitUnit::Count,
        what: "findings",
        protects: "An error lists this number of problems, and a warning this number of examples. It is no \
                   error to have more.",
    },
];

/// The values that [`Limit::set`] changed; 0 stands for the default.
static CHANGED: [AtomicU64; N] = [const { AtomicU64::new(0) }; N];

impl Limit {
    /// Returns all limits, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.limit)
    }

    /// Returns the limit with this name.
    ///
    /// # Errors
    /// No limit has the name. The text suggests the nearest name and lists all names.
    pub fn from_name(name: &str) -> Result<Self, String> {
        if let Some(row) = TABLE.iter().find(|row| row.name == name) {
            return Ok(row.limit);
        }
        let names = TABLE.map(|row| row.name);
        let near = nearest(name, names).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        Err(format!(
            "expected the name of a limit, found `{name}`: {near}limits are {}",
            names.join(", ")
        ))
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The unit of the value.
    pub fn unit(self) -> LimitUnit {
        self.row().unit
    }

    /// What the limit protects, in one or more sentences.
    pub fn protects(self) -> &'static str {
        self.row().protects
    }

    /// The default value as a text for the command line, such as `64MiB`.
    pub fn default_text(self) -> String {
        self.text(self.row().default)
    }

    /// The value in force, in bytes or as a number of things.
    pub fn value(self) -> u64 {
        match CHANGED[self as usize].load(Ordering::Relaxed) {
            0 => self.row().default,
            value => value,
        }
    }

    /// The value in force as a length in memory.
    pub fn size(self) -> usize {
        usize::try_from(self.value()).unwrap_or(usize::MAX)
    }

    /// Sets the value, at least 1. The program calls it once, before its work begins.
    pub fn set(self, value: u64) {
        CHANGED[self as usize].store(value.max(1), Ordering::Relaxed);
    }

    /// Returns an error if `found` exceeds the limit. `location` names the file and the place in it.
    ///
    /// # Errors
    /// See [`Limit::exceeded`].
    pub(crate) fn check(self, location: impl Display, found: u64) -> Result<(), Error> {
        if found <= self.value() {
            return Ok(());
        }
        Err(self.exceeded(location, found))
    }

    /// The error for input that states or has more than the limit.
    pub(crate) fn exceeded(self, location: impl Display, found: u64) -> Error {
        Error::new(ErrorKind::Input, self.problem(location, found))
    }

    /// The error for input that goes on beyond the limit, so that its size is not known.
    pub(crate) fn overrun(self, location: impl Display) -> Error {
        let found = format!("more than {}", self.text(self.value()));
        Error::new(
            ErrorKind::Input,
            self.problem_with(location, &found, self.value().saturating_mul(4)),
        )
    }

    /// The problem of [`Limit::exceeded`].
    pub(crate) fn problem(self, location: impl Display, found: u64) -> Problem {
        let shown = match self.unit() {
            LimitUnit::Bytes => format!("{found} bytes"),
            LimitUnit::Count => found.to_string(),
        };
        self.problem_with(location, &shown, found)
    }

    fn problem_with(self, location: impl Display, found: &str, needed: u64) -> Problem {
        let row = self.row();
        let (name, limit) = (row.name, self.text(self.value()));
        let raised = self.text(match row.unit {
            LimitUnit::Bytes => needed.div_ceil(MIB).saturating_mul(MIB),
            LimitUnit::Count => needed,
        });
        Problem::new(
            location.to_string(),
            format!(
                "expected at most {limit} {} (limit `{name}`), found {found}",
                row.what
            ),
        )
        .hint(format!(
            "if the input is right, raise it with --limit {name}={raised}; see docs/reference/limits.md"
        ))
    }

    /// A value as a text for the command line.
    fn text(self, value: u64) -> String {
        match self.unit() {
            LimitUnit::Count => value.to_string(),
            LimitUnit::Bytes if value.is_multiple_of(MIB) => format!("{}MiB", value / MIB),
            LimitUnit::Bytes if value.is_multiple_of(KIB) => format!("{}KiB", value / KIB),
            LimitUnit::Bytes => format!("{value}B"),
        }
    }
}

/// Reads a file whose size has a limit. The bytes are counted while they are read, so a device or a
/// pipe has the same limit.
///
/// # Errors
/// The file cannot be read, or it is larger than the limit.
pub(crate) fn read_limited(path: &Path, limit: Limit) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = open::regular(path)
        .and_then(|file| file.take(limit.value().saturating_add(1)).read_to_end(&mut bytes));
    read.map_err(|error| Error::read(path, error))?;
    if bytes.len() as u64 <= limit.value() {
        return Ok(bytes);
    }
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    Err(if size > limit.value() {
        limit.exceeded(path.display(), size)
    } else {
        limit.overrun(path.display())
    })
}

/// The first problems of an error, at most [`Limit::Findings`]. The last one then counts the others.
pub(crate) fn capped(mut problems: Vec<Problem>) -> Vec<Problem> {
    let n_all = problems.len();
    problems.truncate(Limit::Findings.size());
    let n_more = n_all - problems.len();
    if n_more > 0 {
        let problem = Problem::new("", format!("and at least {n_more} more problems"));
        problems.push(problem.hint("list more of them with --limit findings=..."));
    }
    problems
}

/// The first `findings` texts of a list, and the number of the others as a last text.
#[cfg_attr(not(feature = "stores"), allow(dead_code))]
pub(crate) fn first_findings(mut texts: Vec<String>, n_more: usize, what: &str) -> Vec<String> {
    let n_all = texts.len() + n_more;
    texts.truncate(Limit::Findings.size());
    if texts.len() < n_all {
        texts.push(format!("and {} more {what}", n_all - texts.len()));
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_found_by_its_name_and_has_its_own_row() {
        assert_eq!(Limit::all().count(), N);
        for limit in Limit::all() {
            assert_eq!(Limit::from_name(limit.name()), Ok(limit));
            assert_eq!(limit.row().limit, limit, "{} stands at its place", limit.name());
            assert!(limit.protects().ends_with('.'), "{}", limit.name());
        }
        let check = |name: &str, expected: &str| {
            let error = Limit::from_name(name).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("lines", "did you mean `line`?");
        check("x", "limits are line, columns");
    }

    #[test]
    fn an_error_names_place_limit_value_and_what_to_do() {
        let check = |limit: Limit, found: u64, expected: &str| {
            let error = limit.check("a.csv: row 7", found).unwrap_err().to_string();
            assert!(error.starts_with("a.csv: row 7: "), "{error}");
            assert!(error.contains(&format!("(limit `{}`)", limit.name())), "{error}");
            assert!(error.contains(expected), "{error}");
        };
        check(Limit::Line, 40_000_000, "found 40000000 bytes");
        check(Limit::Line, 40_000_000, "raise it with --limit line=39MiB");
        check(Limit::Columns, 200_000, "expected at most 100000 columns");
        check(Limit::Columns, 200_000, "--limit columns=200000");
        assert!(Limit::Page.check("f", 64 << 20).is_ok());
    }

    #[test]
    fn long_lists_end_with_a_count() {
        let check = |n: usize, n_more: usize, expected: Option<&str>| {
            let texts = first_findings(vec![String::new(); n], n_more, "layers");
            assert_eq!(texts.get(100).map(String::as_str), expected);
        };
        check(100, 0, None);
        check(101, 0, Some("and 1 more layers"));
        check(100, 7, Some("and 7 more layers"));
    }
}

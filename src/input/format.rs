//! File formats, recognized by file name.

use std::path::Path;

use crate::base::error::{Error, Result};
use crate::input::content::Content;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC, as a file (Feather) or as a stream.
    Arrow,
    /// Text with a header line and one record a line.
    Csv {
        /// Compression of the file.
        packing: Packing,
        /// Signs between and around values.
        dialect: Dialect,
    },
    /// One JSON object per line.
    Ndjson {
        /// Compression of the file.
        packing: Packing,
    },
    /// A JSON array of objects, or one JSON object per line: the first sign tells.
    Json {
        /// Compression of the file.
        packing: Packing,
    },
}

/// The compression of a text file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not compressed.
    None,
    /// gzip, also of several members.
    Gzip,
    /// zstd, also of several frames.
    Zstd,
}

/// The signs of a text file with columns: single bytes of ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between two values.
    pub delimiter: u8,
    /// Around values that contain the delimiter.
    pub quote: u8,
}

impl Dialect {
    /// Commas between values, double quotes around them.
    pub const COMMAS: Self = Self {
        delimiter: b',',
        quote: b'"',
    };
    /// Tabs between values, double quotes around them.
    const TABS: Self = Self {
        delimiter: b'\t',
        ..Self::COMMAS
    };
}

/// The endings of the names of readable files, for messages.
const ENDINGS: &str = ".parquet, .arrow, .ipc, .feather, .arrows, .csv, .tsv, .tab, .ndjson, .jsonl or .json; \
                       text also with .gz or .zst";

impl Format {
    /// Returns the format that the file's extension names. `None` for an unknown extension.
    pub fn by_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let packings = [(".gz", Packing::Gzip), (".zst", Packing::Zstd)];
        let packed = packings
            .into_iter()
            .find_map(|(ending, packing)| Some((name.strip_suffix(ending)?, packing)));
        let (stem, packing) = packed.unwrap_or((name.as_str(), Packing::None));
        let dialect = Dialect::COMMAS;
        Some(match stem.rsplit_once('.')?.1 {
            "parquet" if packing == Packing::None => Self::Parquet,
            "arrow" | "ipc" | "feather" | "arrows" if packing == Packing::None => Self::Arrow,
            "csv" => Self::Csv { packing, dialect },
            "tsv" | "tab" => Self::Csv {
                packing,
                dialect: Dialect::TABS,
            },
            "ndjson" | "jsonl" => Self::Ndjson { packing },
            "json" => Self::Json { packing },
            _ => return None,
        })
    }

    /// The name of a file without the endings of its format and compression: `a.csv.gz` and `a.parquet`
    /// are forms of one log, `a`. A name of no format is returned as it is.
    pub(crate) fn name_without(name: &str) -> &str {
        let packing = match Self::by_path(Path::new(name)) {
            None => return name,
            Some(Self::Csv { packing, .. } | Self::Ndjson { packing } | Self::Json { packing }) => packing,
            Some(_) => Packing::None,
        };
        let n_endings = if packing == Packing::None { 1 } else { 2 };
        (0..n_endings).fold(name, |name, _| {
            name.rsplit_once('.').map_or(name, |(rest, _)| rest)
        })
    }

    /// Returns the format of a file that is read.
    ///
    /// # Errors
    /// The extension is unknown. The error names the format of the content where its first bytes
    /// show it, and how to convert it.
    pub(super) fn of_input(path: &Path) -> Result<Self> {
        if let Some(format) = Self::by_path(path) {
            return Ok(format);
        }
        let content = Content::of_file(path);
        let found = match content {
            Some(content) => content.name().to_owned(),
            None => match path.extension() {
                Some(ending) => format!("`.{}`", ending.to_string_lossy()),
                None => "none".to_owned(),
            },
        };
        let error = Error::in_file(
            path,
            format!("expected a name that ends in {ENDINGS}, found {found}"),
        );
        Err(match content.and_then(|content| content.remedy(path)) {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }

    /// Whether a file's name says that it has another format than `own`: one that Sluice reads, or
    /// another known one. A name may have no extension, or an unknown one.
    pub fn is_named_otherwise(path: &Path, own: Option<Self>) -> bool {
        let is_packed = path
            .extension()
            .is_some_and(|ending| ending == "gz" || ending == "zst");
        match Self::by_path(path) {
            Some(format) => Some(format) != own,
            None => is_packed || Content::of_name(path).is_some(),
        }
    }

    /// Whether the format is text with commas, not compressed: what Sluice writes as `.csv`.
    pub fn is_plain_csv(self) -> bool {
        self == Self::Csv {
            packing: Packing::None,
            dialect: Dialect::COMMAS,
        }
    }

    /// Replaces the signs of a text file with columns. `None` keeps those of its name.
    pub(super) fn with_signs(self, delimiter: Option<u8>, quote: Option<u8>) -> Self {
        match self {
            Self::Csv { packing, dialect } => Self::Csv {
                packing,
                dialect: Dialect {
                    delimiter: delimiter.unwrap_or(dialect.delimiter),
                    quote: quote.unwrap_or(dialect.quote),
                },
            },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_name_in_every_format() {
        for name in [
            "d/a.csv",
            "d/a.CSV.gz",
            "d/a.jsonl.zst",
            "d/a.parquet",
            "d/a.arrow",
        ] {
            assert_eq!(Format::name_without(name), "d/a", "{name}");
        }
        // Another day, another part, and a name without a format are other logs.
        for name in ["d/a.1.csv", "d.csv/a", "a.log", "a.csv.1", "a.gz"] {
            assert_ne!(Format::name_without(name), "a", "{name}");
        }
        assert_eq!(Format::name_without("part.2026-03-02.csv.gz"), "part.2026-03-02");
    }

    #[test]
    fn formats_are_known_by_their_names() {
        let csv = |packing, dialect| Some(Format::Csv { packing, dialect });
        let check = |name: &str, expected: Option<Format>| {
            assert_eq!(Format::by_path(Path::new(name)), expected, "{name}");
        };
        check("a/b.parquet", Some(Format::Parquet));
        check("b.PARQUET", Some(Format::Parquet));
        check("b.parquet.gz", None);
        for name in ["b.arrow", "b.ipc", "b.feather", "b.arrows"] {
            check(name, Some(Format::Arrow));
        }
        check("b.arrow.zst", None);
        check("b.csv", csv(Packing::None, Dialect::COMMAS));
        check("b.csv.gz", csv(Packing::Gzip, Dialect::COMMAS));
        check("b.csv.zst", csv(Packing::Zstd, Dialect::COMMAS));
        check("b.tsv", csv(Packing::None, Dialect::TABS));
        check("b.tab.zst", csv(Packing::Zstd, Dialect::TABS));
        check(
            "b.jsonl",
            Some(Format::Ndjson {
                packing: Packing::None,
            }),
        );
        check(
            "b.ndjson.zst",
            Some(Format::Ndjson {
                packing: Packing::Zstd,
            }),
        );
        check(
            "b.json",
            Some(Format::Json {
                packing: Packing::None,
            }),
        );
        check(
            "b.json.gz",
            Some(Format::Json {
                packing: Packing::Gzip,
            }),
        );
        for name in ["b.gz", "b.txt", "b", "csv", "b.avro", "b.xlsx"] {
            check(name, None);
        }
    }
}

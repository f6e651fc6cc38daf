//! File formats, recognized by file name.

use std::path::Path;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated text with a header line.
    Csv {
        /// Whether the file is compressed with gzip.
        gzip: bool,
    },
    /// One JSON object per line.
    Ndjson {
        /// Whether the file is compressed with gzip.
        gzip: bool,
    },
}

impl Format {
    /// Returns the format that the file's extension names. `None` for an unknown extension.
    pub fn by_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let (stem, gzip) = name
            .strip_suffix(".gz")
            .map_or((name.as_str(), false), |stem| (stem, true));
        match stem.rsplit_once('.')?.1 {
            "parquet" if !gzip => Some(Self::Parquet),
            "csv" => Some(Self::Csv { gzip }),
            "ndjson" | "jsonl" => Some(Self::Ndjson { gzip }),
            _ => None,
        }
    }
}

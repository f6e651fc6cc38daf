//! Sources of rows: Parquet, CSV and NDJSON (plain or gzipped), as files, folders or globs, to canonical columns in Arrow batches.
//!
//! Another format is one more arm of `reader`; everything after it sees [`Batch`]es only.

mod batch;
pub(crate) mod convert;
mod events;
mod format;
#[cfg(feature = "stores")]
mod prometheus;
mod reader;
mod scan;
mod source;
mod traffic;
mod turns;
mod users;

pub use batch::{Batch, RowFaults};
pub use events::{EventSummary, UserFeatures, read_events};
pub use format::Format;
#[cfg(feature = "stores")]
pub use prometheus::Prometheus;
pub(crate) use scan::{ColumnScan, FlatPart, Mapping, NotFlat, STEP, STEP_WORDS, low_bits};
pub use source::{InputFile, Part, SourceFile, Table, find_files};
pub(crate) use traffic::{Link, Links};
pub use traffic::{TrafficBatch, TrafficReader};
pub(crate) use turns::{Column, Names, Turns, color, decode_turns, encode_turns, release, rows_without};
pub use users::{DEFAULT_TENANT, OnUsers, TagColumn, UserBatch, UserReader, tenant_at};

//! Sources of rows: Parquet, CSV and NDJSON (plain or gzipped), as files, folders or globs, to canonical columns in Arrow batches.
//!
//! Another format is one more arm of `reader`; everything after it sees [`Batch`]es only.

mod batch;
pub(crate) mod convert;
pub(crate) mod counters;
mod events;
pub(crate) mod fetch;
pub(super) mod file;
mod format;
#[cfg(feature = "stores")]
mod prometheus;
mod reader;
mod scan;
mod table;
mod traffic;
mod turns;
mod users;

pub use batch::{Batch, RowFaults};
pub use events::{EventSummary, UserFeatures, read_events};
pub use file::{InputFile, SourceFile, find_files};
pub use format::Format;
#[cfg(feature = "stores")]
pub use prometheus::Prometheus;
pub(crate) use scan::{ColumnScan, FlatPart, Mapping, NotFlat, STEP, STEP_WORDS, low_bits};
pub use table::{Part, Table};
pub(crate) use traffic::{Link, Links};
pub use traffic::{TrafficBatch, TrafficReader};
pub(crate) use turns::{Column, Names, Turns, color, decode_turns, encode_turns, release, rows_without};
pub use users::{DEFAULT_TENANT, OnUsers, TagColumn, UserBatch, UserReader, tenant_at};

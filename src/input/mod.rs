//! Sources of rows: Parquet, Arrow, CSV and JSON files, the text formats plain or compressed. A source
//! is a file, a folder, a glob, a URL or standard input. Its rows are read as canonical columns in Arrow
//! batches.
//!
//! A new format needs a match arm in `reader`. All later code reads [`Batch`]es only.

mod batch;
mod content;
pub(crate) mod convert;
pub(crate) mod counters;
mod csv;
#[cfg(feature = "frames")]
mod derived;
#[cfg(not(feature = "frames"))]
#[path = "underived.rs"]
mod derived;
#[cfg(feature = "frames")]
mod derived_steps;
#[cfg(not(feature = "frames"))]
#[path = "underived_steps.rs"]
mod derived_steps;
mod events;
mod fast_scan;
pub(crate) mod fetch;
pub(super) mod file;
mod format;
mod ids;
mod ipc;
mod ipc_layout;
mod json;
mod json_array;
#[cfg_attr(not(feature = "frames"), allow(dead_code))]
mod json_path;
#[cfg(feature = "frames")]
pub(crate) mod memory;
#[cfg_attr(not(feature = "frames"), allow(dead_code))]
pub(crate) mod nested;
#[cfg(feature = "stores")]
mod otel_genai;
pub(crate) mod partition;
#[cfg(feature = "stores")]
mod prometheus;
#[cfg(feature = "stores")]
mod prometheus_series;
mod reader;
mod skipped;
#[cfg(feature = "frames")]
mod sql_source;
#[cfg(not(feature = "frames"))]
#[path = "no_sql_source.rs"]
mod sql_source;
mod table;
mod text_file;
#[cfg(feature = "frames")]
mod text_types;
mod texts;
mod traffic;
mod turn_bytes;
mod turn_scan;
mod turns;
mod users;
mod want;

pub(crate) use batch::Fault;
pub use batch::{Batch, RowFaults};
pub use events::{EventOptions, EventSummary, UserDays, UserFeatures, open_events, read_events};
pub(crate) use fast_scan::{ColumnScan, FastPart, Mapping, STEP, STEP_WORDS, Unsupported, low_bits};
pub use file::{InputFile, SourceFile, find_files};
pub(crate) use file::{LACKING, Place, find_all_files};
pub use format::{Dialect, Format, Packing};
pub(crate) use ids::IdTexts;
#[cfg(feature = "stores")]
pub use prometheus::Prometheus;
#[cfg(all(feature = "stores", any(fuzzing, feature = "fuzzing")))]
pub(crate) use prometheus::gather;
pub(crate) use table::names_text;
pub use table::{Part, Table};
pub(crate) use text_file::open_text;
pub(crate) use traffic::{Link, Links};
pub use traffic::{TrafficBatch, TrafficReader};
pub(crate) use turn_bytes::{decode_turns, encode_turns, hash_rows};
pub(crate) use turns::{Column, NameCodes, Turns, release, rows_without, served_layer};
pub use users::{DEFAULT_TENANT, OnUsers, TagColumn, UserBatch, UserReader, tenant_at};

//! The base of all other modules: errors, files and documents, time, numbers, threads and memory.

pub(crate) mod at_work;
pub(crate) mod bitmap;
pub(crate) mod csv;
pub mod digest;
pub mod error;
pub mod files;
pub(crate) mod hash;
pub(crate) mod instant;
pub(crate) mod interner;
pub mod json;
pub mod likeness;
pub(crate) mod lock;
pub mod manifest;
pub(crate) mod memory;
pub mod number;
pub(crate) mod objects;
pub(crate) mod panics;
pub(crate) mod parallel;
pub(crate) mod parquet_io;
pub mod progress;
pub(crate) mod schema;
pub(crate) mod similar;
pub(crate) mod spill;
pub mod time;
pub(crate) mod toml_file;
pub(crate) mod url;

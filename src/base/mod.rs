//! The ground that every room stands on: errors, files, time, numbers, threads, memory.

pub mod error;
pub(crate) mod hash;
pub(crate) mod memory;
pub mod number;
pub(crate) mod objects;
pub mod output;
pub(crate) mod parallel;
pub(crate) mod parquet_io;
pub mod progress;
pub(crate) mod spill;
pub mod time;

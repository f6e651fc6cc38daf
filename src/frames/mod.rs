//! Expressions and SQL on columns, by Polars.

pub(crate) mod bridge;

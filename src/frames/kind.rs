//! The kinds of values that an expression of one row can have.

use arrow_schema::DataType;
use polars::prelude as pl;
use std::fmt;

use crate::frames::bridge::widened_type;

/// The kind of an expression's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No value in any row.
    Null,
    /// True or false.
    Flag,
    /// Whole numbers of 64 bits.
    Whole,
    /// Real numbers of double precision.
    Real,
    Text,
    /// Days of the calendar.
    Date,
    /// Instants, microseconds, UTC.
    Instant,
}

impl Kind {
    /// The kind of a column with this type.
    ///
    /// # Errors
    /// Expressions of one row have no such values: the reason, as `expected ..., found ...`.
    pub(crate) fn of(data_type: &DataType) -> Result<Self, String> {
        Ok(match widened_type(data_type)? {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Flag,
            DataType::Int64 | DataType::UInt64 => Self::Whole,
            DataType::Float64 => Self::Real,
            DataType::Utf8View | DataType::BinaryView => Self::Text,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(..) => Self::Instant,
            _ => return Err(format!("expected one value in a row, found {data_type}")),
        })
    }

    /// The type of the kind's values in Polars.
    pub(crate) fn data_type(self) -> pl::DataType {
        match self {
            Self::Null => pl::DataType::Null,
            Self::Flag => pl::DataType::Boolean,
            Self::Whole => pl::DataType::Int64,
            Self::Real => pl::DataType::Float64,
            Self::Text => pl::DataType::String,
            Self::Date => pl::DataType::Date,
            Self::Instant => pl::DataType::Datetime(pl::TimeUnit::Microseconds, None),
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Whole | Self::Real)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "no values",
            Self::Flag => "flags",
            Self::Whole => "whole numbers",
            Self::Real => "real numbers",
            Self::Text => "texts",
            Self::Date => "dates",
            Self::Instant => "instants",
        })
    }
}

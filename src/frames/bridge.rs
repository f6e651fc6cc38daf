//! Columns between Arrow, which reads the files, and Polars, which computes. They pass through the C
//! Data Interface, without a copy of their values.
//!
//! Every column is widened first: whole numbers to 64 bits, real numbers to double precision, texts
//! to views, instants to microseconds in UTC, without a zone. So no arithmetic wraps within a small type.

use arrow_array::ArrayRef;
use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi};
use arrow_array::{Array, make_array};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Fields, TimeUnit};
use polars::prelude as pl;
use polars::prelude::{CompatLevel, PlSmallStr, PolarsError, Series};
use polars_arrow::ffi::{self, ArrowArray, ArrowSchema};
use std::sync::Arc;

/// The type that a column is widened to.
///
/// # Errors
/// Polars has no such type: the reason, as `expected ..., found ...`.
pub(crate) fn widened_type(data_type: &DataType) -> Result<DataType, String> {
    use DataType as D;
    let inner = |field: &Arc<Field>| -> Result<Arc<Field>, String> {
        let data_type = widened_type(field.data_type())?;
        Ok(Arc::new(Field::new(field.name(), data_type, true)))
    };
    Ok(match data_type {
        D::Null | D::Boolean => data_type.clone(),
        D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::UInt8 | D::UInt16 | D::UInt32 => D::Int64,
        D::UInt64 => D::UInt64,
        D::Float16 | D::Float32 | D::Float64 => D::Float64,
        D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..) | D::Decimal256(..) => D::Float64,
        D::Utf8 | D::LargeUtf8 | D::Utf8View => D::Utf8View,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => D::BinaryView,
        D::Date32 | D::Date64 => D::Date32,
        D::Timestamp(..) => D::Timestamp(TimeUnit::Microsecond, None),
        D::Time32(_) | D::Time64(_) => D::Time64(TimeUnit::Nanosecond),
        D::Duration(_) => D::Duration(TimeUnit::Microsecond),
        D::Dictionary(_, value) => widened_type(value)?,
        D::List(field) | D::LargeList(field) | D::FixedSizeList(field, _) => D::LargeList(inner(field)?),
        D::Map(field, _) => D::LargeList(inner(field)?),
        D::Struct(fields) => D::Struct(fields.iter().map(inner).collect::<Result<Fields, _>>()?),
        other => {
            return Err(format!(
                "expected a type with one value of a known size, found {other}"
            ));
        }
    })
}

/// Widens a column. Values that do not fit become null.
///
/// # Errors
/// Polars has no such type, or Arrow has no such conversion.
pub(crate) fn widened(array: &ArrayRef) -> Result<ArrayRef, String> {
    let to = widened_type(array.data_type())?;
    if array.data_type() == &to {
        return Ok(Arc::clone(array));
    }
    let array = match array.data_type() {
        // A map is a list of its entries.
        DataType::Map(field, _) => {
            let list = DataType::List(Arc::clone(field));
            cast(array, &list).map_err(|error| unexpected(&error))?
        }
        _ => Arc::clone(array),
    };
    cast(&array, &to).map_err(|error| unexpected(&error))
}

/// Converts a column for Polars, widened.
///
/// # Errors
/// The same as for [`widened`].
pub(crate) fn to_series(name: &str, array: &ArrayRef) -> Result<Series, String> {
    let array = widened(array)?;
    let (array, schema) = to_ffi(&array.to_data()).map_err(|error| unexpected(&error))?;
    let array = import(array, &schema).map_err(|error| unexpected(&error))?;
    Series::try_from((PlSmallStr::from(name), array)).map_err(|error| unexpected(&error))
}

/// Converts a column from Polars, as one array.
///
/// # Errors
/// Arrow has no such type.
pub(crate) fn from_series(series: &Series) -> Result<ArrayRef, String> {
    // Arrow takes no column of nulls without a type from Polars.
    let series = match series.dtype() {
        pl::DataType::Null => series.cast(&pl::DataType::String),
        _ => Ok(series.rechunk()),
    };
    let series = series.map_err(|error| unexpected(&error))?;
    let field = series
        .dtype()
        .to_arrow_field(series.name().clone(), CompatLevel::newest());
    let array = series.to_arrow(0, CompatLevel::newest());
    export(array, &ffi::export_field_to_c(&field)).map_err(|error| unexpected(&error))
}

fn unexpected(error: &dyn std::fmt::Display) -> String {
    format!("expected a column that can be converted, found: {error}")
}

#[allow(unsafe_code)]
fn import(
    array: FFI_ArrowArray,
    schema: &FFI_ArrowSchema,
) -> Result<Box<dyn polars_arrow::array::Array>, PolarsError> {
    // SAFETY: both libraries define the structs of the C Data Interface, whose layout its
    // specification fixes. The array is moved, so that it is released once. The schema is only read.
    unsafe {
        let schema = &*std::ptr::from_ref(schema).cast::<ArrowSchema>();
        let array = std::mem::transmute::<FFI_ArrowArray, ArrowArray>(array);
        let field = ffi::import_field_from_c(schema)?;
        ffi::import_array_from_c(array, field.dtype)
    }
}

#[allow(unsafe_code)]
fn export(array: Box<dyn polars_arrow::array::Array>, schema: &ArrowSchema) -> Result<ArrayRef, ArrowError> {
    let array = ffi::export_array_to_c(array);
    // SAFETY: as for `import`.
    let data = unsafe {
        let schema = &*std::ptr::from_ref(schema).cast::<FFI_ArrowSchema>();
        from_ffi(std::mem::transmute::<ArrowArray, FFI_ArrowArray>(array), schema)?
    };
    Ok(make_array(data))
}

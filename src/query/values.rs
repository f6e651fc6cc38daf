//! Values of a result as texts and as JSON.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use serde_json::{Map, Number, Value};

use crate::base::time;

/// Whether the values of a type are numbers, which stand at the right of a column.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::UInt64 | DataType::Float64)
}

/// The name of a type for people: the words of docs/reference/query.md.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Int64 | DataType::UInt64 => "whole number".to_owned(),
        DataType::Float64 => "number".to_owned(),
        DataType::Boolean => "flag".to_owned(),
        DataType::Timestamp(..) => "instant".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(_) => "time of day".to_owned(),
        DataType::Duration(_) => "duration".to_owned(),
        DataType::Null => "null".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytes".to_owned(),
        DataType::LargeList(field) | DataType::List(field) => {
            format!("list of {}", type_name(field.data_type()))
        }
        DataType::Struct(fields) => {
            let fields = fields
                .iter()
                .map(|field| format!("{}: {}", field.name(), type_name(field.data_type())));
            format!("object of {}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A value as JSON: numbers, flags, texts, lists and objects; instants as RFC 3339. NaN and infinity,
/// which JSON has not, are null.
pub(crate) fn json(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float64 => {
            let number = Number::from_f64(array.as_primitive::<Float64Type>().value(row));
            number.map_or(Value::Null, Value::Number)
        }
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row)),
        DataType::List(_) => list(&array.as_list::<i32>().value(row)),
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            let object: Map<String, Value> = columns
                .map(|(field, column)| (field.name().clone(), json(column, row)))
                .collect();
            Value::Object(object)
        }
        DataType::Null => Value::Null,
        _ => text(array, row).map_or(Value::Null, Value::String),
    }
}

fn list(items: &ArrayRef) -> Value {
    (0..items.len()).map(|idx| json(items, idx)).collect()
}

/// A value as a text: all digits of numbers, instants as RFC 3339, durations in microseconds, bytes as
/// hexadecimal digits, lists and objects as JSON. `None` for null.
pub(crate) fn text(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Null => return None,
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Float64 => real(array.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(..) => time::format(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Duration(_) => array
            .as_primitive::<DurationMicrosecondType>()
            .value(row)
            .to_string(),
        DataType::BinaryView => hexadecimal(array.as_binary_view().value(row)),
        DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) => json(array, row).to_string(),
        _ => plain(array, row),
    })
}

/// A number with the fewest digits that read back to it.
fn real(value: f64) -> String {
    match Number::from_f64(value) {
        Some(number) => number.to_string(),
        None if value.is_nan() => "NaN".to_owned(),
        None => if value > 0.0 { "inf" } else { "-inf" }.to_owned(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whole numbers, flags, dates and times of day.
fn plain(array: &ArrayRef, row: usize) -> String {
    debug_assert!(array.as_primitive_opt::<Date32Type>().is_none() || array.len() > row);
    let options = FormatOptions::default();
    ArrayFormatter::try_new(array.as_ref(), &options)
        .map_or_else(|_| String::new(), |format| format.value(row).to_string())
}

/// A number for a table of people: at most six significant digits, and all digits of its integer part.
pub(crate) fn short(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    let Some(reals) = array.as_primitive_opt::<Float64Type>() else {
        return text(array, row);
    };
    let value = reals.value(row);
    let magnitude = value.abs().log10().floor();
    if value == 0.0 || !value.is_finite() || !(-4.0..15.0).contains(&magnitude) {
        return Some(match value.is_finite() {
            true => shortest(value, &format!("{value:.5e}")),
            false => real(value),
        });
    }
    let n_digits = (5 - magnitude as i32).max(0) as usize;
    Some(shortest(value, &format!("{value:.n_digits$}")))
}

/// The rounded text of a number without zeros at its end, or all its digits if those are fewer.
fn shortest(value: f64, rounded: &str) -> String {
    let (digits, exponent) = rounded
        .split_once('e')
        .map_or((rounded, ""), |(digits, exponent)| (digits, exponent));
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    };
    let rounded = match exponent {
        "" => digits.to_owned(),
        exponent => format!("{digits}e{exponent}"),
    };
    let all = real(value);
    let all = all.strip_suffix(".0").map_or(all.clone(), str::to_owned);
    if all.len() <= rounded.len() { all } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float64Array, Int64Array, StringViewArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    #[test]
    fn numbers_keep_their_digits_and_non_finite_ones_are_null_in_json() {
        let check = |value: f64, expected_text: &str, expected_short: &str, expected_json: &str| {
            let array: ArrayRef = Arc::new(Float64Array::from(vec![value]));
            assert_eq!(text(&array, 0).as_deref(), Some(expected_text));
            assert_eq!(short(&array, 0).as_deref(), Some(expected_short), "{value}");
            assert_eq!(json(&array, 0).to_string(), expected_json);
        };
        check(0.1 + 0.2, "0.30000000000000004", "0.3", "0.30000000000000004");
        check(0.5, "0.5", "0.5", "0.5");
        check(3.0, "3.0", "3", "3.0");
        check(-1_234_567.891, "-1234567.891", "-1234568", "-1234567.891");
        check(123.456_789, "123.456789", "123.457", "123.456789");
        check(1e-7, "1e-7", "1e-7", "1e-7");
        check(
            1.0 / 3.0 * 1e-6,
            "3.333333333333333e-7",
            "3.33333e-7",
            "3.333333333333333e-7",
        );
        check(0.0, "0.0", "0", "0.0");
        check(f64::NAN, "NaN", "NaN", "null");
        check(f64::INFINITY, "inf", "inf", "null");
        check(f64::NEG_INFINITY, "-inf", "-inf", "null");
    }

    #[test]
    fn other_values_have_one_text() {
        let check =
            |array: ArrayRef, expected: Option<&str>| assert_eq!(text(&array, 0).as_deref(), expected);
        check(Arc::new(Int64Array::from(vec![-7])), Some("-7"));
        check(Arc::new(Int64Array::from(vec![None])), None);
        check(Arc::new(StringViewArray::from(vec!["a\"b"])), Some("a\"b"));
        check(
            Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC")),
            Some("1970-01-01T00:00:01.5Z"),
        );
    }
}

//! Conversion of raw columns to typed columns. Every value is checked here once, so later stages
//! never see a NaN or an illegal value.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};

use crate::base::error::{Error, Result};
use crate::base::escape;
use crate::base::flag;
use crate::base::time;
use crate::base::time::SECOND;
use crate::input::batch::{Batch, RowFaults};
use crate::input::texts;
use crate::metric::{ColumnKind, Reading, column_kind, column_min};

/// Reads a text column, or a column whose values have one text: see [`texts::to_text`]. `None` if the
/// source does not have the column.
pub(crate) fn text(batch: &Batch<'_>, idx: usize) -> Result<Option<StringArray>> {
    let Some((name, array)) = batch.column(idx) else {
        return Ok(None);
    };
    let problem = match texts::to_text(array) {
        Ok(texts) => return Ok(Some(texts)),
        Err(problem) => problem,
    };
    let error = match problem.row {
        None => batch.wrong_type(name, problem.expected, &problem.found),
        Some(row) => Error::input(
            batch.location(name, row),
            format!(
                "expected {}, found {}",
                problem.expected,
                escape::value(&problem.found)
            ),
        ),
    };
    Err(problem.hint.into_iter().fold(error, Error::hint))
}

/// Reads a text column that is not required. It may have any type if all of its values are null.
pub(crate) fn text_or_null(batch: &Batch<'_>, idx: usize) -> Result<Option<StringArray>> {
    match batch.column(idx) {
        Some((_, array)) if array.logical_null_count() == array.len() => {
            Ok(Some(StringArray::new_null(array.len())))
        }
        _ => text(batch, idx),
    }
}

/// Reads a text column in which every row needs a value. A null or empty text is a fault.
pub(crate) fn required_text(
    batch: &Batch<'_>,
    idx: usize,
    faults: &mut RowFaults,
) -> Result<Option<StringArray>> {
    let Some(values) = text(batch, idx)? else {
        return Ok(None);
    };
    let name = batch.column(idx).map_or("", |(name, _)| name);
    for row in 0..values.len() {
        if values.is_null(row) || values.value(row).is_empty() {
            faults.record(batch, name, row, "a value", &"none")?;
        }
    }
    Ok(Some(values))
}

/// Reads numbers of at least `min`, in the unit that Sluice reads. A smaller number, NaN, or a number
/// that its declared unit makes infinite is a fault. Nulls stay null.
pub(crate) fn real(
    batch: &Batch<'_>,
    idx: usize,
    min: f64,
    faults: &mut RowFaults,
) -> Result<Option<Float64Array>> {
    read_real(batch, idx, (min, false), faults)
}

/// Reads numbers as [`real`] does. NaN and infinities are null: Python writes them for values that it
/// does not know.
pub(crate) fn real_or_nan(
    batch: &Batch<'_>,
    idx: usize,
    min: f64,
    faults: &mut RowFaults,
) -> Result<Option<Float64Array>> {
    read_real(batch, idx, (min, true), faults)
}

fn read_real(
    batch: &Batch<'_>,
    idx: usize,
    (min, is_nan_null): (f64, bool),
    faults: &mut RowFaults,
) -> Result<Option<Float64Array>> {
    let Some((name, array)) = batch.column(idx) else {
        return Ok(None);
    };
    let expected = if min == 0.0 { "a number >= 0" } else { "a number" };
    let values = if let Some(texts) = array.as_string_opt::<i32>() {
        parse_each(batch, name, texts, expected, faults, |text| {
            text.trim().parse::<f64>().ok()
        })?
        .into_iter()
        .collect()
    } else if array.data_type().is_numeric() || array.data_type() == &DataType::Null {
        cast_to(batch, name, array, &DataType::Float64)?
            .as_primitive::<Float64Type>()
            .clone()
    } else {
        return Err(batch.wrong_type(name, "numbers", array.data_type()));
    };
    let values = if is_nan_null {
        values
            .iter()
            .map(|value| value.filter(|value| value.is_finite()))
            .collect()
    } else {
        values
    };
    let unit = batch.unit(idx);
    let converted = |value: f64| unit.map_or(value, |unit| unit.convert(value));
    for (row, value) in values.iter().enumerate() {
        if let Some(value) = value
            && !(converted(value).is_finite() && value >= min)
        {
            faults.record(batch, name, row, expected, &value)?;
        }
    }
    Ok(Some(match unit {
        None => values,
        Some(_) => values.unary(converted),
    }))
}

/// Reads whether each row has a value: a true flag, or a text that is neither empty nor a word for
/// false or null.
pub(crate) fn text_or_flag(batch: &Batch<'_>, idx: usize) -> Result<Option<Vec<bool>>> {
    let Some((name, array)) = batch.column(idx) else {
        return Ok(None);
    };
    if let Some(flags) = array.as_boolean_opt() {
        return Ok(Some(flags.iter().map(|flag| flag == Some(true)).collect()));
    }
    let texts = cast_to(batch, name, array, &DataType::Utf8)?;
    let is_said = |text: &str| {
        !["", "false", "0", "no", "null", "none", "nan"].contains(&text.trim().to_ascii_lowercase().as_str())
    };
    Ok(Some(
        texts
            .as_string::<i32>()
            .iter()
            .map(|text| text.is_some_and(is_said))
            .collect(),
    ))
}

/// Reads flags: true or false, or 1 or 0. Nulls stay null.
pub(crate) fn flag(batch: &Batch<'_>, idx: usize, faults: &mut RowFaults) -> Result<Option<BooleanArray>> {
    flag_by(batch, idx, flag::parse, faults)
}

/// Reads flags as [`flag`] does, with other words for texts.
pub(crate) fn flag_by(
    batch: &Batch<'_>,
    idx: usize,
    parse: impl Fn(&str) -> Option<bool>,
    faults: &mut RowFaults,
) -> Result<Option<BooleanArray>> {
    let Some((name, array)) = batch.column(idx) else {
        return Ok(None);
    };
    const EXPECTED: &str = flag::EXPECTED;
    if let Some(flags) = array.as_boolean_opt() {
        return Ok(Some(flags.clone()));
    }
    let flags: Vec<Option<bool>> = if let Some(texts) = array.as_string_opt::<i32>() {
        parse_each(batch, name, texts, EXPECTED, faults, parse)?
    } else if array.data_type().is_numeric() || array.data_type() == &DataType::Null {
        let numbers = cast_to(batch, name, array, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        let mut flags = Vec::with_capacity(numbers.len());
        for (row, number) in numbers.iter().enumerate() {
            if let Some(number) = number
                && number != 0.0
                && number != 1.0
            {
                faults.record(batch, name, row, EXPECTED, &number)?;
            }
            flags.push(number.map(|number| number == 1.0));
        }
        flags
    } else {
        return Err(batch.wrong_type(name, EXPECTED, array.data_type()));
    };
    Ok(Some(flags.into_iter().collect()))
}

/// Reads instants as microseconds, UTC, from timestamps, dates, texts (see [`time::parse`]) or
/// numbers: epoch seconds, unless the column declares another unit. Nulls stay null.
pub(crate) fn instant(batch: &Batch<'_>, idx: usize, faults: &mut RowFaults) -> Result<Option<Int64Array>> {
    let Some((name, array)) = batch.column(idx) else {
        return Ok(None);
    };
    let unit = batch.unit(idx);
    let micros_of = |number: f64| time::from_seconds(unit.map_or(number, |unit| unit.convert(number)));
    let values: Int64Array = match array.data_type() {
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
            let micros = cast_to(
                batch,
                name,
                array,
                &DataType::Timestamp(TimeUnit::Microsecond, None),
            )?;
            for row in (0..array.len()).filter(|row| array.is_valid(*row) && micros.is_null(*row)) {
                faults.record(
                    batch,
                    name,
                    row,
                    time::EXPECTED,
                    &"one beyond the range of microseconds",
                )?;
            }
            cast_to(batch, name, &micros, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .clone()
        }
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            let mut values = Vec::with_capacity(texts.len());
            for (row, text) in texts.iter().enumerate() {
                let parse = |text: &str| match unit.and_then(|_| text.trim().parse::<f64>().ok()) {
                    Some(number) => micros_of(number),
                    None => time::parse(text),
                };
                let value = text.map(|text| (text, parse(text)));
                if let Some((text, Err(why))) = value {
                    faults.record(batch, name, row, time::EXPECTED, &why.found(text))?;
                }
                values.push(value.and_then(|(_, value)| value.ok()));
            }
            values.into_iter().collect()
        }
        other if other.is_numeric() => {
            let seconds = cast_to(batch, name, array, &DataType::Float64)?;
            let mut values = Vec::with_capacity(seconds.len());
            for (row, second) in seconds.as_primitive::<Float64Type>().iter().enumerate() {
                let micros = second.map(micros_of);
                if let (Some(second), Some(Err(why))) = (second, micros) {
                    faults.record(
                        batch,
                        name,
                        row,
                        "epoch seconds",
                        &why.explained(second.to_string()),
                    )?;
                }
                values.push(micros.and_then(Result::ok));
            }
            values.into_iter().collect()
        }
        DataType::Null => Int64Array::new_null(array.len()),
        other => return Err(batch.wrong_type(name, "instants", other)),
    };
    Ok(Some(values))
}

/// Reads instants as epoch seconds. Numbers are epoch seconds already, all other types go through
/// [`instant`].
pub(crate) fn epoch_secs(
    batch: &Batch<'_>,
    idx: usize,
    faults: &mut RowFaults,
) -> Result<Option<Float64Array>> {
    if batch
        .column(idx)
        .is_some_and(|(_, array)| array.data_type().is_numeric())
    {
        let seconds = real(batch, idx, f64::NEG_INFINITY, faults)?;
        let name = batch.column(idx).map_or("", |(name, _)| name);
        for (row, second) in seconds.iter().flatten().enumerate() {
            if let Some(second) = second.filter(|second| second.is_finite())
                && let Err(why) = time::from_seconds(second)
            {
                faults.record(
                    batch,
                    name,
                    row,
                    "epoch seconds",
                    &why.explained(second.to_string()),
                )?;
            }
        }
        return Ok(seconds);
    }
    let micros = instant(batch, idx, faults)?;
    Ok(micros.map(|micros| {
        micros
            .iter()
            .map(|value| value.map(|value| value as f64 / SECOND as f64))
            .collect()
    }))
}

/// Reads a measured column as integers: nano-USD for money, millionths for real numbers. A reading
/// with a test gives 1 for rows that pass it, else 0. Nulls stay null.
pub(crate) fn units(
    batch: &Batch<'_>,
    idx: usize,
    reading: &Reading,
    faults: &mut RowFaults,
) -> Result<Option<Int64Array>> {
    let Some((name, array)) = batch.column(idx) else {
        return Ok(None);
    };
    let (kind, min) = (column_kind(&reading.column), column_min(&reading.column));
    if let Some(test) = reading.test.as_ref().filter(|_| reading.tests_text()) {
        return Ok(text(batch, idx)?.map(|texts| {
            texts
                .iter()
                .map(|text| Some(i64::from(test.passes_text(text?.as_bytes()))))
                .collect()
        }));
    }
    let is_flag =
        kind == ColumnKind::Flag || (kind != ColumnKind::Count && array.data_type() == &DataType::Boolean);
    let values: Float64Array = if is_flag {
        // A column that a scenario defines may hold flags, which count as 0 and 1.
        let Some(flags) = flag(batch, idx, faults)? else {
            return Ok(None);
        };
        flags
            .iter()
            .map(|flag| flag.map(|flag| f64::from(u8::from(flag))))
            .collect()
    } else {
        let Some(values) = real(batch, idx, min, faults)? else {
            return Ok(None);
        };
        values
    };
    let mut units = Vec::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        // Illegal numbers have been recorded already.
        let Some(value) = value.filter(|value| value.is_finite() && *value >= min) else {
            units.push(None);
            continue;
        };
        units.push(match &reading.test {
            Some(test) => Some(i64::from(test.passes_number(value))),
            None => match kind.quantize(value, min) {
                Ok(units) => {
                    if kind.is_below_resolution(value) {
                        faults.record_below_resolution(idx, row);
                    }
                    Some(units)
                }
                Err(expected) => {
                    faults.record(batch, name, row, &expected, &value)?;
                    None
                }
            },
        });
    }
    Ok(Some(units.into_iter().collect()))
}

fn parse_each<T>(
    batch: &Batch<'_>,
    name: &str,
    texts: &StringArray,
    expected: &str,
    faults: &mut RowFaults,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>> {
    let mut values = Vec::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let value = text.and_then(&parse);
        if let (Some(text), None) = (text, &value) {
            let shown: String = text.chars().take(60).collect();
            faults.record(batch, name, row, expected, &format!("\"{shown}\""))?;
        }
        values.push(value);
    }
    Ok(values)
}

fn cast_to(batch: &Batch<'_>, name: &str, array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    cast(array, to).map_err(|error| batch.wrong_type(name, &to.to_string(), &error))
}

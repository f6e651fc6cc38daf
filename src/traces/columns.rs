//! Rows of Parquet and CSV as values.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, ListArray, MapArray, TimestampMicrosecondArray};
use arrow_cast::cast;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType, TimeUnit};

use crate::base::time;
use crate::traces::value::Value;

/// A column whose rows are read as values. Numbers and times are texts, which importers read as such.
pub(super) enum Column<'a> {
    Flag(&'a BooleanArray),
    Text(&'a dyn Array, ArrayFormatter<'a>),
    /// Microseconds since 1970.
    Time(TimestampMicrosecondArray),
    Struct(&'a dyn Array, Vec<(&'a str, Column<'a>)>),
    List(&'a ListArray, Box<Column<'a>>),
    Map(&'a MapArray, Box<(Column<'a>, Column<'a>)>),
}

/// The options of texts: a value that cannot be shown is an error.
const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_display_error(false);

impl<'a> Column<'a> {
    /// Prepares a column.
    ///
    /// # Errors
    /// Its type cannot be shown.
    pub(super) fn new(array: &'a dyn Array) -> Result<Self, ArrowError> {
        Ok(match array.data_type() {
            DataType::Boolean => Self::Flag(array.as_boolean()),
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns().iter();
                let named = fields
                    .iter()
                    .zip(columns)
                    .map(|(field, column)| Ok((field.name().as_str(), Self::new(column.as_ref())?)));
                Self::Struct(array, named.collect::<Result<_, ArrowError>>()?)
            }
            DataType::List(_) => {
                let list: &ListArray = array.as_list();
                Self::List(list, Box::new(Self::new(list.values().as_ref())?))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let (keys, values) = (map.keys().as_ref(), map.values().as_ref());
                Self::Map(map, Box::new((Self::new(keys)?, Self::new(values)?)))
            }
            // Texts of times need a database of zones, which the instants do not.
            DataType::Timestamp(..) => {
                let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                Self::Time(micros.as_primitive().clone())
            }
            _ => Self::Text(array, ArrayFormatter::try_new(array, &OPTIONS)?),
        })
    }

    /// The value of a row.
    ///
    /// # Errors
    /// The value cannot be shown, such as a time beyond the calendar.
    pub(super) fn value(&self, row: usize) -> Result<Value<'a>, ArrowError> {
        let is_null = match self {
            Self::Flag(flags) => flags.is_null(row),
            Self::Time(times) => times.is_null(row),
            Self::Text(array, _) | Self::Struct(array, _) => array.is_null(row),
            Self::List(list, _) => list.is_null(row),
            Self::Map(map, _) => map.is_null(row),
        };
        if is_null {
            return Ok(Value::Null);
        }
        Ok(match self {
            Self::Flag(flags) => Value::Flag(flags.value(row)),
            Self::Time(times) => Value::Text(time::format(times.value(row)).into()),
            Self::Text(_, formatter) => Value::Text(formatter.value(row).try_to_string()?.into()),
            Self::Struct(_, columns) => {
                let entry = |(name, column): &(&'a str, Self)| Ok(((*name).into(), column.value(row)?));
                Value::Map(columns.iter().map(entry).collect::<Result<_, ArrowError>>()?)
            }
            Self::List(list, values) => {
                let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
                Value::List(range.map(|at| values.value(at)).collect::<Result<_, _>>()?)
            }
            Self::Map(map, entries) => {
                let range = map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize;
                let entry = |at: usize| {
                    let key = entries.0.value(at)?;
                    let key = key.text().unwrap_or_default().into_owned();
                    Ok((key.into(), entries.1.value(at)?))
                };
                Value::Map(range.map(entry).collect::<Result<_, ArrowError>>()?)
            }
        })
    }
}

/// Passes the rows of columns to `on_row`, as objects with the columns that are there.
///
/// # Errors
/// A value cannot be shown, or the error of `on_row`.
pub(super) fn for_each_row<E: From<ArrowError>>(
    names: &[&str],
    arrays: &[ArrayRef],
    n_rows: usize,
    mut on_row: impl FnMut(usize, &Value<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let columns: Vec<Column<'_>> = arrays
        .iter()
        .map(|array| Column::new(array.as_ref()))
        .collect::<Result<_, ArrowError>>()?;
    for row in 0..n_rows {
        let entries = names.iter().zip(&columns);
        let entries = entries.map(|(name, column)| Ok(((*name).into(), column.value(row)?)));
        let value = Value::Map(entries.collect::<Result<_, ArrowError>>()?);
        on_row(row, &value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Decimal128Array;
    use arrow_array::builder::{Int64Builder, MapBuilder, StringBuilder};
    use arrow_array::types::Int32Type;
    use std::sync::Arc;

    #[test]
    fn maps_decimals_times_and_lists_are_values() {
        let mut usage = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        usage.keys().append_value("input");
        usage.values().append_value(900);
        usage.append(true).unwrap();
        usage.append(false).unwrap();
        let cost = Decimal128Array::from(vec![Some(207_000_000), None])
            .with_precision_and_scale(18, 12)
            .unwrap();
        let at = TimestampMicrosecondArray::from(vec![1_779_926_400_000_000; 2]).with_timezone("UTC");
        let tags = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(7)]), Some(vec![])]);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(usage.finish()),
            Arc::new(cost),
            Arc::new(at),
            Arc::new(tags),
        ];
        let mut rows = Vec::new();
        for_each_row::<ArrowError>(&["usage", "cost", "at", "tags"], &arrays, 2, |_, row| {
            rows.push((
                row.at("usage.input").whole(),
                row.get("cost").number(),
                row.get("at").instant(),
                row.get("tags").elements().len(),
            ));
            Ok(())
        })
        .unwrap();
        let at = Some(1_779_926_400_000_000);
        assert_eq!(rows, [(Some(900), Some(0.000_207), at, 1), (None, None, at, 0)]);
    }
}

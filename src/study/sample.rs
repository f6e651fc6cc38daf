//! Samples of the files of a source: values of any columns, spread over the parts.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};

use crate::base::error::{Error, Result};
use crate::init::{ColumnProfile, Scalar};
use crate::input::{Batch, Format, Part, Table};

/// The largest number of parts that are read.
const MAX_PARTS: usize = 32;

/// A sample of a table, as the profiles of its columns.
pub(crate) struct Sample {
    pub(crate) profiles: Vec<ColumnProfile>,
    /// Rows that were read.
    pub(crate) n_rows: u64,
    /// Whether every row was read.
    pub(crate) is_whole: bool,
}

/// Reads a sample of about `max_rows` rows of all columns.
///
/// # Errors
/// A part cannot be read.
pub(crate) fn sample(table: &Table, max_rows: u64) -> Result<Sample> {
    let mut names: Vec<String> = Vec::new();
    for name in table.files.iter().flat_map(|file| &file.columns) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let mut profiles: Vec<ColumnProfile> = names.iter().map(|name| ColumnProfile::new(name)).collect();
    let readable = readable(table, &names, max_rows)?;
    for (profile, _) in profiles
        .iter_mut()
        .zip(&readable)
        .filter(|(_, is_readable)| !**is_readable)
    {
        profile.add(Scalar::Other);
    }
    let wanted: Vec<usize> = (0..names.len()).filter(|idx| readable[*idx]).collect();
    let columns: Vec<&str> = wanted.iter().map(|idx| names[*idx].as_str()).collect();
    let parts = spread(&table.parts);
    let mut sample = Sample {
        profiles: Vec::new(),
        n_rows: 0,
        is_whole: parts.len() == table.parts.len(),
    };
    for part in &parts {
        let quota = (max_rows / parts.len() as u64).max(1);
        let mut held: Option<(Vec<Option<ArrayRef>>, usize)> = None;
        let mut taper = Taper::new(quota);
        sample.is_whole &= read_until(table, *part, &columns, quota, &mut |batch, n_rows| {
            let arrays: Vec<Option<ArrayRef>> =
                (0..columns.len()).map(|idx| batch.array(idx).cloned()).collect();
            if taper.takes(n_rows as u64) {
                held = None;
                sample.n_rows += n_rows as u64;
                add(&mut profiles, &wanted, &arrays, n_rows)
            } else {
                held = Some((arrays, n_rows));
                Ok(())
            }
        })?;
        sample.is_whole &= taper.n_left_out == 0;
        // The end of a text file has its newest rows.
        if let Some((arrays, n_rows)) = held {
            sample.n_rows += n_rows as u64;
            add(&mut profiles, &wanted, &arrays, n_rows)?;
        }
    }
    sample.profiles = profiles;
    Ok(sample)
}

/// Chooses parts from the first to the last at equal distances.
pub(crate) fn spread(parts: &[Part]) -> Vec<Part> {
    if parts.len() <= MAX_PARTS {
        return parts.to_vec();
    }
    let at = |idx: usize| parts[idx * (parts.len() - 1) / (MAX_PARTS - 1)];
    (0..MAX_PARTS).map(at).collect()
}

/// Chooses batches of a stream of unknown length: all at first, then fewer and fewer.
pub(crate) struct Taper {
    quota: u64,
    n_taken: u64,
    n_seen: u64,
    stride: u64,
    next_double: u64,
    pub(crate) n_left_out: u64,
}

impl Taper {
    pub(crate) fn new(quota: u64) -> Self {
        Self {
            quota,
            n_taken: 0,
            n_seen: 0,
            stride: 1,
            next_double: quota,
            n_left_out: 0,
        }
    }

    /// Whether the next batch is taken.
    pub(crate) fn takes(&mut self, n_rows: u64) -> bool {
        if self.n_taken >= self.next_double {
            self.stride *= 2;
            self.next_double = self.n_taken + (self.quota / 8).max(1);
        }
        let takes = self.n_seen.is_multiple_of(self.stride);
        self.n_seen += 1;
        if takes {
            self.n_taken += n_rows;
        } else {
            self.n_left_out += n_rows;
        }
        takes
    }
}

/// Reads a part of a table. A part that states its rows in advance is left after `quota` rows; the
/// others are read to their end. Returns whether the whole part was read.
///
/// # Errors
/// As for [`Table::read`].
pub(crate) fn read_until(
    table: &Table,
    part: Part,
    columns: &[&str],
    quota: u64,
    on_batch: &mut dyn FnMut(&Batch<'_>, usize) -> Result<()>,
) -> Result<bool> {
    let (mut n_read, mut is_full) = (0, false);
    let result = table.read(part, columns, &mut |batch| {
        n_read += batch.n_rows as u64;
        on_batch(&batch, batch.n_rows)?;
        is_full = part
            .n_rows
            .is_some_and(|n_rows| n_read >= quota && n_read < n_rows);
        // An error is the only way to leave a reader.
        if is_full {
            Err(Error::usage("enough rows"))
        } else {
            Ok(())
        }
    });
    match result {
        Err(_) if is_full => Ok(false),
        other => other.map(|()| true),
    }
}

/// Which columns hold one value a row. Lists and objects are not read.
fn readable(table: &Table, names: &[String], max_rows: u64) -> Result<Vec<bool>> {
    let mut readable = vec![true; names.len()];
    for file in &table.files {
        if let Some(footer) = &file.footer {
            for field in footer
                .schema()
                .fields()
                .iter()
                .filter(|field| field.data_type().is_nested())
            {
                if let Some(idx) = names.iter().position(|name| name == field.name()) {
                    readable[idx] = false;
                }
            }
        }
    }
    // Keys of JSON say nothing of their values in advance. One file of a table stands for the others.
    let first = table
        .parts
        .iter()
        .find(|part| matches!(table.files[part.file_idx].format, Format::Ndjson { .. }));
    if let Some(part) = first {
        let all: Vec<usize> = (0..names.len()).filter(|idx| readable[*idx]).collect();
        try_columns(table, *part, names, &all, max_rows, &mut readable)?;
    }
    Ok(readable)
}

/// Marks the columns whose values cannot be read, by halves.
fn try_columns(
    table: &Table,
    part: Part,
    names: &[String],
    wanted: &[usize],
    max_rows: u64,
    readable: &mut [bool],
) -> Result<()> {
    let columns: Vec<&str> = wanted.iter().map(|idx| names[*idx].as_str()).collect();
    let Err(error) = read_until(table, part, &columns, max_rows, &mut |_, _| Ok(())) else {
        return Ok(());
    };
    match wanted {
        [] => Err(error),
        [idx] => {
            readable[*idx] = false;
            // Without a readable column the file itself is wrong.
            if readable.iter().any(|is_readable| *is_readable) {
                Ok(())
            } else {
                Err(error)
            }
        }
        _ => {
            let (left, right) = wanted.split_at(wanted.len() / 2);
            try_columns(table, part, names, left, max_rows, readable)?;
            try_columns(table, part, names, right, max_rows, readable)
        }
    }
}

fn add(
    profiles: &mut [ColumnProfile],
    wanted: &[usize],
    arrays: &[Option<ArrayRef>],
    n_rows: usize,
) -> Result<()> {
    for (idx, array) in wanted.iter().zip(arrays) {
        let profile = &mut profiles[*idx];
        match array {
            Some(array) => add_array(profile, array),
            None => (0..n_rows).for_each(|_| profile.add(Scalar::Null)),
        }
    }
    Ok(())
}

/// Adds the values of an array to a profile.
fn add_array(profile: &mut ColumnProfile, array: &ArrayRef) {
    let of_type = |to: &DataType| cast(array, to).ok();
    let (is_float, to) = match array.data_type() {
        DataType::Boolean => {
            array
                .as_boolean()
                .iter()
                .for_each(|value| profile.add(value.map_or(Scalar::Null, Scalar::Bool)));
            return;
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            let to = DataType::Timestamp(TimeUnit::Microsecond, None);
            match of_type(&to) {
                Some(times) => times
                    .as_primitive::<TimestampMicrosecondType>()
                    .iter()
                    .for_each(|at| profile.add(at.map_or(Scalar::Null, Scalar::Instant))),
                None => profile.add(Scalar::Other),
            }
            return;
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => (true, DataType::Float64),
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => (*scale > 0, DataType::Float64),
        other if other.is_integer() => (false, DataType::Float64),
        _ => (false, DataType::Utf8),
    };
    let Some(values) = of_type(&to) else {
        return (0..array.len()).for_each(|_| profile.add(Scalar::Other));
    };
    if let Some(texts) = values.as_string_opt::<i32>() {
        texts
            .iter()
            .for_each(|text| profile.add(text.map_or(Scalar::Null, Scalar::Text)));
        return;
    }
    for value in values.as_primitive::<Float64Type>() {
        profile.add(match value {
            None => Scalar::Null,
            Some(value) if is_float => Scalar::Float(value),
            Some(value) => Scalar::Int(value),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taper_takes_all_of_a_short_stream_and_little_of_a_long_one() {
        let mut taper = Taper::new(1_000);
        assert!((0..10).all(|_| taper.takes(100)));
        let taken = (0..100_000).filter(|_| taper.takes(100)).count();
        assert!((10..60).contains(&taken), "{taken}");
    }

    #[test]
    fn parts_are_spread_from_the_first_to_the_last() {
        let part = |file_idx| Part {
            file_idx,
            row_group: None,
            first_row: 0,
            n_rows: None,
        };
        let parts: Vec<Part> = (0..365).map(part).collect();
        let chosen = spread(&parts);
        assert_eq!(
            (chosen.len(), chosen[0].file_idx, chosen[31].file_idx),
            (32, 0, 364)
        );
        assert_eq!(spread(&parts[..3]).len(), 3);
    }
}

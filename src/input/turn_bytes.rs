//! Turns as bytes, for partitions on disk and for tasks on other machines.

use twox_hash::XxHash3_128;

use crate::input::fast_scan::STEP;
use crate::input::turns::{Column, Turns};

/// Writes turns after a four-byte length. Each column stores the differences from its smallest
/// value, in as few bytes as they need.
pub(crate) fn encode_turns(turns: &mut Turns, out: &mut Vec<u8>) {
    let (n, start) = (turns.n, out.len());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(n as u32).to_le_bytes());
    for column in turns.columns() {
        let (min, width) = column.range(n);
        out.push(width as u8);
        out.push(u8::from(column.n_absent > 0));
        out.extend_from_slice(&min.to_le_bytes());
        if column.n_absent > 0 {
            column.absent[..n.div_ceil(64)]
                .iter()
                .for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        }
        for value in &column.values[..n] {
            out.extend_from_slice(&(*value as u64).wrapping_sub(min as u64).to_le_bytes()[..width]);
        }
    }
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Reads the output of [`encode_turns`] without its length. Returns the bytes after it; `None` for
/// bytes that it does not write.
pub(crate) fn decode_turns<'b>(mut bytes: &'b [u8], turns: &mut Turns) -> Option<&'b [u8]> {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let mut next = |n: usize| {
        let (head, rest) = bytes.split_at_checked(n)?;
        bytes = rest;
        Some(head)
    };
    turns.clear();
    let n = number(next(4)?) as usize;
    if n > STEP {
        return None;
    }
    turns.n = n;
    for column in turns.columns() {
        let (width, has_absent) = (usize::from(next(1)?[0]), next(1)?[0] == 1);
        let min = number(next(8)?);
        if has_absent {
            for word in 0..n.div_ceil(64) {
                column.absent[word] = number(next(8)?);
                column.n_absent += column.absent[word].count_ones() as usize;
            }
        }
        let values = next(n * width)?;
        for (row, value) in column.values[..n].iter_mut().enumerate() {
            *value = min.wrapping_add(number(&values[row * width..(row + 1) * width])) as i64;
        }
    }
    Some(bytes)
}

/// Passes on a hash of all values of each of some rows. It does not depend on other rows.
pub(crate) fn hash_rows(turns: &mut Turns, rows: &[u16], on_hash: &mut dyn FnMut(u128)) {
    let columns: Vec<&Column> = turns.columns().map(|column| &*column).collect();
    let mut bytes = Vec::with_capacity(columns.len() * 9);
    for row in rows.iter().map(|row| usize::from(*row)) {
        bytes.clear();
        for column in &columns {
            let is_absent = column.is_absent(row);
            bytes.push(u8::from(is_absent));
            if !is_absent {
                bytes.extend(column.values[row].to_le_bytes());
            }
        }
        on_hash(XxHash3_128::oneshot(&bytes));
    }
}

impl Column {
    /// Returns the smallest value, and the number of bytes (0, 1, 2, 4 or 8) of the largest
    /// difference from it.
    fn range(&self, n: usize) -> (i64, usize) {
        let values = &self.values[..n];
        let (min, max) = values.iter().fold((i64::MAX, i64::MIN), |(min, max), value| {
            (min.min(*value), max.max(*value))
        });
        let width = match (max as u64).wrapping_sub(min as u64) {
            0 => 0,
            1..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        };
        (min, width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_survive_a_file() {
        let mut turns = Turns::new(2, 1);
        turns.clear();
        let mut source = Turns::new(2, 1);
        source.n = STEP;
        for (idx, column) in source.columns().enumerate() {
            column.fill_with(STEP, |row| {
                ((row + idx) % 7 != 3).then(|| (row as i64 - 300).pow(idx as u32 % 6))
            });
        }
        for row in 0..700 {
            assert!(!turns.take(&mut source, row * 3 % STEP));
        }
        let mut bytes = Vec::new();
        encode_turns(&mut turns, &mut bytes);
        assert_eq!(
            u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize,
            bytes.len() - 4
        );
        let mut back = Turns::new(2, 1);
        decode_turns(&bytes[4..], &mut back);
        assert_eq!(back.n, turns.n);
        for (back, turns) in back.columns().zip(turns.columns()) {
            assert_eq!(
                (&back.values[..700], back.n_absent),
                (&turns.values[..700], turns.n_absent)
            );
            assert!((0..700).all(|row| back.is_absent(row) == turns.is_absent(row)));
        }
    }
}

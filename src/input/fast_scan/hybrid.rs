//! The hybrid encoding of Parquet: runs of one value, and values packed into bits.

use bytes::Bytes;

use crate::input::fast_scan::step::{Flat, STEP_WORDS, Unsupported, low_bits};

/// The largest width of a dictionary index, bits. A dictionary of one page needs no more.
const MAX_INDEX_BITS: u8 = 24;

/// The hybrid encoding of levels and dictionary indices: runs of one value, and bit-packed values.
pub(super) struct Hybrid {
    buf: Bytes,
    at: usize,
    bits: u8,
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    Same {
        value: u32,
        n_left: usize,
    },
    /// The number of values left, and the bit of the next one in the buffer.
    Packed {
        n_left: usize,
        bit: usize,
    },
}

impl Hybrid {
    pub(super) fn new(buf: Bytes, bits: u8) -> Flat<Self> {
        if bits > MAX_INDEX_BITS {
            return Err(Unsupported);
        }
        Ok(Self {
            buf,
            at: 0,
            bits,
            run: Run::Same { value: 0, n_left: 0 },
        })
    }

    fn next_run(&mut self) -> Flat<()> {
        let header = self.varint()?;
        if header & 1 == 1 {
            let n_bytes = (header >> 1)
                .checked_mul(usize::from(self.bits))
                .ok_or(Unsupported)?;
            let n_left = (header >> 1).checked_mul(8).ok_or(Unsupported)?;
            let end = self.at.checked_add(n_bytes).ok_or(Unsupported)?;
            // The last packed run of a page may be cut off after its last value.
            let n_there = (self.buf.len().min(end) - self.at) * 8;
            let n_left = if self.bits == 0 {
                n_left
            } else {
                n_left.min(n_there / usize::from(self.bits))
            };
            self.run = Run::Packed {
                n_left,
                bit: self.at * 8,
            };
            self.at = end.min(self.buf.len());
            if n_left == 0 {
                return Err(Unsupported);
            }
        } else {
            let n_bytes = usize::from(self.bits).div_ceil(8);
            let bytes = self.buf.get(self.at..self.at + n_bytes).ok_or(Unsupported)?;
            let value = bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u32::from(*byte));
            self.at += n_bytes;
            self.run = Run::Same {
                value,
                n_left: header >> 1,
            };
        }
        Ok(())
    }

    fn varint(&mut self) -> Flat<usize> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = *self.buf.get(self.at).ok_or(Unsupported)?;
            self.at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unsupported)
    }

    /// Reads values. Returns the largest.
    pub(super) fn read(&mut self, out: &mut [u32]) -> Flat<u32> {
        let (mut at, mut largest) = (0, 0);
        while at < out.len() {
            match &mut self.run {
                Run::Same { n_left: 0, .. } | Run::Packed { n_left: 0, .. } => self.next_run()?,
                Run::Same { value, n_left } => {
                    let n = (*n_left).min(out.len() - at);
                    out[at..at + n].fill(*value);
                    largest = largest.max(*value);
                    *n_left -= n;
                    at += n;
                }
                Run::Packed { n_left, bit } => {
                    let n = (*n_left).min(out.len() - at);
                    largest = largest.max(unpack(&self.buf, *bit, self.bits, &mut out[at..at + n]));
                    *bit += n * usize::from(self.bits);
                    *n_left -= n;
                    at += n;
                }
            }
        }
        Ok(largest)
    }

    /// Reads `n` levels of 0 and 1, and sets the bits, from bit `at` on, of rows with level 0.
    /// Returns the number of such rows.
    pub(super) fn mark_zeros(&mut self, n: usize, zeros: &mut [u64; STEP_WORDS], at: usize) -> Flat<usize> {
        let (mut done, mut n_zeros) = (0, 0);
        while done < n {
            let row = at + done;
            match &mut self.run {
                Run::Same { n_left: 0, .. } | Run::Packed { n_left: 0, .. } => self.next_run()?,
                Run::Same { value, n_left } => {
                    let run = (*n_left).min(n - done);
                    if *value == 0 {
                        let mut from = row;
                        while from < row + run {
                            let k = (64 - from % 64).min(row + run - from);
                            zeros[from / 64] |= low_bits(k) << (from % 64);
                            from += k;
                        }
                        n_zeros += run;
                    } else if *value != 1 {
                        return Err(Unsupported);
                    }
                    *n_left -= run;
                    done += run;
                }
                Run::Packed { n_left, bit } => {
                    let k = (*n_left).min(n - done).min(64 - row % 64).min(56);
                    let word = !(load(&self.buf, *bit / 8) >> (*bit % 8)) & low_bits(k);
                    zeros[row / 64] |= word << (row % 64);
                    n_zeros += word.count_ones() as usize;
                    *bit += k;
                    *n_left -= k;
                    done += k;
                }
            }
        }
        Ok(n_zeros)
    }
}

/// Unpacks values of `bits` bits each, from bit `start` on. Returns the largest. Bits after the end
/// are 0.
fn unpack(buf: &[u8], start: usize, bits: u8, out: &mut [u32]) -> u32 {
    let width = usize::from(bits);
    let mask = low_bits(width) as u32;
    let one = |bit: usize| (load(buf, bit / 8) >> (bit % 8)) as u32 & mask;
    let mut largest = 0;
    // Eight values end on a byte boundary. From there on, eight values are unpacked at a time.
    let n_head = (0..8)
        .find(|n| (start + n * width).is_multiple_of(8))
        .unwrap_or(0)
        .min(out.len());
    let (head, rest) = out.split_at_mut(n_head);
    for (idx, out) in head.iter_mut().enumerate() {
        *out = one(start + idx * width);
        largest = largest.max(*out);
    }
    let start = start + n_head * width;
    let (octets, tail) = rest.as_chunks_mut::<8>();
    let packed = buf.get(start / 8..).unwrap_or(&[]);
    let (n_done, of_octets) = unpack_octets(packed, bits, octets);
    largest = largest.max(of_octets);
    for (idx, out) in octets[n_done..]
        .as_flattened_mut()
        .iter_mut()
        .chain(tail)
        .enumerate()
    {
        *out = one(start + (n_done * 8 + idx) * width);
        largest = largest.max(*out);
    }
    largest
}

/// Unpacks groups of eight values while whole words can be read. Returns the number of groups, and
/// the largest value.
fn unpack_octets(packed: &[u8], bits: u8, octets: &mut [[u32; 8]]) -> (usize, u32) {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match bits {
                $($width => unpack_width::<$width>(packed, octets),)*
                _ => (0, 0),
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20)
}

/// Unpacks groups of eight values. The width is a constant, so all shifts are constants.
fn unpack_width<const WIDTH: usize>(packed: &[u8], octets: &mut [[u32; 8]]) -> (usize, u32) {
    let mask = (1_u128 << WIDTH) - 1;
    // With an odd width, the second four values start in the middle of a byte.
    let (second, shift) = (WIDTH / 2, WIDTH % 2 * 4);
    let mut largest = [0; 8];
    let mut n_done = 0;
    for (idx, out) in octets.iter_mut().enumerate() {
        let Some(bytes) = packed
            .get(idx * WIDTH..)
            .and_then(|rest| rest.first_chunk::<32>())
        else {
            break;
        };
        let word = |at: usize| {
            let mut word = [0; 16];
            word.copy_from_slice(&bytes[at..at + 16]);
            u128::from_le_bytes(word)
        };
        let (low, high) = (word(0), word(second) >> shift);
        for value in 0..4 {
            out[value] = (low >> (value * WIDTH) & mask) as u32;
            out[value + 4] = (high >> (value * WIDTH) & mask) as u32;
        }
        for (largest, value) in largest.iter_mut().zip(out.iter()) {
            *largest = (*largest).max(*value);
        }
        n_done = idx + 1;
    }
    (n_done, largest.into_iter().max().unwrap_or(0))
}

/// Loads eight bytes from `at` on. Bytes after the end are 0.
#[inline]
pub(super) fn load(buf: &[u8], at: usize) -> u64 {
    match buf.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => buf
            .get(at..)
            .unwrap_or(&[])
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_values_of_every_width_are_unpacked() {
        for bits in 1..=MAX_INDEX_BITS {
            let width = usize::from(bits);
            let values: Vec<u32> = (0..200_u32)
                .map(|idx| idx.wrapping_mul(2_654_435_761) & low_bits(width) as u32)
                .collect();
            let mut packed = vec![0_u8; (values.len() * width).div_ceil(8)];
            for (idx, value) in values.iter().enumerate() {
                for bit in (0..width).filter(|bit| value >> bit & 1 == 1) {
                    packed[(idx * width + bit) / 8] |= 1 << ((idx * width + bit) % 8);
                }
            }
            for (from, to) in [(0, 200), (0, 1), (3, 200), (5, 6), (8, 17), (199, 200), (7, 7)] {
                let mut out = vec![u32::MAX; to - from];
                let largest = unpack(&packed, from * width, bits, &mut out);
                assert_eq!(out, values[from..to], "{bits} bits, {from}..{to}");
                assert_eq!(
                    largest,
                    out.iter().copied().max().unwrap_or(0),
                    "{bits} bits, {from}..{to}"
                );
            }
        }
    }
}

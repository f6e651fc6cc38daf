//! Numbers as bytes, for the results of tasks that run on other machines: seven bits a byte, the low
//! bits first. Signed numbers alternate around zero.

use crate::base::block::damaged;
use crate::base::error::Result;

/// Numbers and texts that are written one after another.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn put(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn put_signed(&mut self, value: i64) {
        self.put((value << 1 ^ value >> 63) as u64);
    }

    /// Writes bytes after their number.
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        self.put(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// The number of bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what a [`Writer`] wrote.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all bytes are read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// When the bytes end, or a number has more than 64 bits.
    pub(super) fn next(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or_else(damaged)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged())
    }

    /// # Errors
    /// As [`Self::next`].
    pub(super) fn next_signed(&mut self) -> Result<i64> {
        let value = self.next()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A number that fits in a smaller type.
    ///
    /// # Errors
    /// As [`Self::next`], or when it does not fit.
    pub(super) fn next_as<T: TryFrom<u64>>(&mut self) -> Result<T> {
        T::try_from(self.next()?).map_err(|_| damaged())
    }

    /// The number of items that follow, each of at least `least` bytes.
    ///
    /// # Errors
    /// As [`Self::next`], or when so many cannot follow.
    pub(super) fn n_items(&mut self, least: usize) -> Result<usize> {
        let n: usize = self.next_as()?;
        if n.checked_mul(least).is_none_or(|bytes| bytes > self.0.len()) {
            return Err(damaged());
        }
        Ok(n)
    }

    /// # Errors
    /// As [`Self::next`].
    pub(super) fn next_bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.n_items(1)?;
        let (bytes, rest) = self.0.split_at(n);
        self.0 = rest;
        Ok(bytes)
    }

    /// # Errors
    /// When bytes are left.
    pub(super) fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let signed = [0, -1, 1, 63, -64, 64, i64::MAX, i64::MIN];
        let mut writer = Writer::default();
        numbers.into_iter().for_each(|number| writer.put(number));
        signed.into_iter().for_each(|number| writer.put_signed(number));
        writer.put_bytes(b"text");
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert!(numbers.into_iter().all(|number| reader.next().unwrap() == number));
        assert!(
            signed
                .into_iter()
                .all(|number| reader.next_signed().unwrap() == number)
        );
        assert_eq!(reader.next_bytes().unwrap(), b"text");
        reader.finish().unwrap();
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in [
            &[][..],
            &[0x80],
            &[0xff; 11],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert!(Reader::new(bytes).next().is_err(), "{bytes:?}");
        }
        assert!(Reader::new(&[9, 1, 2]).next_bytes().is_err());
        assert!(Reader::new(&[200, 1, 2]).n_items(8).is_err());
        assert!(Reader::new(&[1]).finish().is_err());
    }
}

//! MurmurHash3, x86, 32 bits (Appleby, public domain). Many feature-flag systems assign users with
//! it.

/// The 32-bit hash of bytes under a seed.
///
/// ```
/// assert_eq!(sluice::bucket::murmur3_x86_32(b"hello", 0), 0x248b_fa47);
/// ```
pub fn murmur3_x86_32(bytes: &[u8], seed: u32) -> u32 {
    Prefix::new(&[], seed).hash(bytes)
}

/// The state of the hash after a prefix. It saves work for many texts with the same prefix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix {
    hash: u32,
    n_bytes: u32,
    /// Bytes of the prefix that do not fill a word yet, and their number of bits.
    rest: u64,
    n_rest_bits: u32,
}

impl Prefix {
    pub(super) fn new(bytes: &[u8], seed: u32) -> Self {
        let (words, tail) = bytes.as_chunks::<4>();
        let hash = words
            .iter()
            .fold(seed, |hash, word| mix(hash, u32::from_le_bytes(*word)));
        Self {
            hash,
            n_bytes: bytes.len() as u32,
            rest: little_endian(tail),
            n_rest_bits: 8 * tail.len() as u32,
        }
    }

    /// The hash of the prefix followed by the bytes.
    #[inline]
    pub(super) fn hash(&self, bytes: &[u8]) -> u32 {
        let (mut hash, mut rest) = (self.hash, self.rest);
        let (words, tail) = bytes.as_chunks::<4>();
        for word in words {
            // The unprocessed bytes of the word before come first.
            let both = rest | u64::from(u32::from_le_bytes(*word)) << self.n_rest_bits;
            hash = mix(hash, both as u32);
            rest = both >> 32;
        }
        let both = rest | little_endian(tail) << self.n_rest_bits;
        if self.n_rest_bits as usize + 8 * tail.len() >= 32 {
            hash = mix(hash, both as u32);
            hash ^= scramble((both >> 32) as u32);
        } else {
            hash ^= scramble(both as u32);
        }
        hash ^= self.n_bytes.wrapping_add(bytes.len() as u32);
        hash ^= hash >> 16;
        hash = hash.wrapping_mul(0x85eb_ca6b);
        hash ^= hash >> 13;
        hash = hash.wrapping_mul(0xc2b2_ae35);
        hash ^ hash >> 16
    }
}

/// At most three bytes as a little-endian number.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn mix(hash: u32, word: u32) -> u32 {
    (hash ^ scramble(word))
        .rotate_left(13)
        .wrapping_mul(5)
        .wrapping_add(0xe654_6b64)
}

fn scramble(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51)
        .rotate_left(15)
        .wrapping_mul(0x1b87_3593)
}

#[cfg(test)]
mod tests {
    use crate::bucket::murmur3::{Prefix, murmur3_x86_32};

    #[test]
    fn published_values() {
        let check = |text: &[u8], seed: u32, expected: u32| assert_eq!(murmur3_x86_32(text, seed), expected);
        check(b"", 0, 0);
        check(b"", 1, 0x514e_28b7);
        check(b"", 0xffff_ffff, 0x81f1_6f39);
        check(b"test", 0, 0xba6b_d213);
        check(b"Hello, world!", 0, 0xc036_3e43);
        check(b"The quick brown fox jumps over the lazy dog", 0, 0x2e4f_f723);
        check(
            "用户42".as_bytes(),
            0,
            murmur3_x86_32(b"\xe7\x94\xa8\xe6\x88\xb742", 0),
        );
    }

    #[test]
    fn a_prefix_may_end_anywhere() {
        let text = "cs-agent-2026-05:u00012345".as_bytes();
        for len in 0..=text.len() {
            for end in 0..=len {
                assert_eq!(
                    Prefix::new(&text[..end], 7).hash(&text[end..len]),
                    murmur3_x86_32(&text[..len], 7),
                    "{end} of {len}"
                );
            }
        }
    }
}

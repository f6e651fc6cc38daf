//! MurmurHash3, x86, 32 bits (Appleby, public domain): the hash that most flag systems place users with.

/// The 32-bit hash of some bytes under a seed.
///
/// ```
/// assert_eq!(sluice::bucket::murmur3_x86_32(b"hello", 0), 0x248b_fa47);
/// ```
pub fn murmur3_x86_32(bytes: &[u8], seed: u32) -> u32 {
    let mut hash = seed;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        hash ^= scramble(u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let tail = chunks.remainder().iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
    hash ^= scramble(tail);
    hash ^= bytes.len() as u32;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

fn scramble(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

#[cfg(test)]
mod tests {
    use super::murmur3_x86_32;

    #[test]
    fn published_values() {
        let check = |text: &[u8], seed: u32, expected: u32| assert_eq!(murmur3_x86_32(text, seed), expected);
        check(b"", 0, 0);
        check(b"", 1, 0x514e_28b7);
        check(b"", 0xffff_ffff, 0x81f1_6f39);
        check(b"test", 0, 0xba6b_d213);
        check(b"Hello, world!", 0, 0xc036_3e43);
        check(b"The quick brown fox jumps over the lazy dog", 0, 0x2e4f_f723);
        check("用户42".as_bytes(), 0, murmur3_x86_32(b"\xe7\x94\xa8\xe6\x88\xb742", 0));
    }
}

//! Random words of ChaCha8, the same as those of [`ChaCha8Rng`]. They are made sixteen blocks at a
//! time, side by side in vector lanes on processors with AVX-512.

use rand::{Rng, SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;

/// Number of 32-bit words that are made at a time: 16 blocks of 16 words.
pub(crate) const WORDS: usize = 256;

/// Makes the words of one stream of a seed, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Blocks(Source);

#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "a generator stands beside a buffer that is larger"
)]
enum Source {
    OneByOne(ChaCha8Rng),
    #[cfg(target_arch = "x86_64")]
    Lanes(lanes::State),
}

impl Blocks {
    /// The words of `ChaCha8Rng::seed_from_u64(seed)` after `set_stream(stream)`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            return Self(Source::Lanes(lanes::State::new(&rng)));
        }
        Self(Source::OneByOne(rng))
    }

    /// The next words.
    #[inline]
    pub(crate) fn fill(&mut self, words: &mut [u32; WORDS]) {
        match &mut self.0 {
            Source::OneByOne(rng) => fill_one_by_one(rng, words),
            #[cfg(target_arch = "x86_64")]
            Source::Lanes(state) => state.fill(words),
        }
    }
}

fn fill_one_by_one(rng: &mut ChaCha8Rng, words: &mut [u32; WORDS]) {
    words.fill_with(|| rng.next_u32());
}

/// A generator of the same numbers as [`ChaCha8Rng`].
#[derive(Debug, Clone)]
pub(crate) struct WideChaCha8 {
    blocks: Blocks,
    words: [u32; WORDS],
    /// Number of words that were taken.
    taken: usize,
}

impl WideChaCha8 {
    /// A stream of a seed; see [`Blocks::new`].
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self {
            blocks: Blocks::new(seed, stream),
            words: [0; WORDS],
            taken: WORDS,
        }
    }

    /// Words that are not taken yet, at least one.
    #[inline]
    fn rest(&mut self) -> &[u32] {
        if self.taken == WORDS {
            self.blocks.fill(&mut self.words);
            self.taken = 0;
        }
        &self.words[self.taken..]
    }

    #[inline]
    fn word(&mut self) -> u32 {
        let word = self.rest()[0];
        self.taken += 1;
        word
    }
}

impl TryRng for WideChaCha8 {
    type Error = std::convert::Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.word())
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let [low, high] = match *self.rest() {
            [low, high, ..] => {
                self.taken += 2;
                [low, high]
            }
            _ => [self.word(), self.word()],
        };
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    /// The last word is taken whole, even if only a part of its bytes is needed.
    #[inline]
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let (whole, part) = bytes.as_chunks_mut::<4>();
        let mut left = whole;
        while !left.is_empty() {
            let rest = self.rest();
            let n = rest.len().min(left.len());
            let (now, later) = left.split_at_mut(n);
            now.iter_mut()
                .zip(rest)
                .for_each(|(bytes, word)| *bytes = word.to_le_bytes());
            self.taken += n;
            left = later;
        }
        if !part.is_empty() {
            part.copy_from_slice(&self.word().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

/// Sixteen blocks in the lanes of AVX-512.
#[cfg(target_arch = "x86_64")]
mod lanes {
    use rand_chacha::ChaCha8Rng;
    use std::arch::x86_64::{
        __m512i, _mm512_add_epi32, _mm512_cmplt_epu32_mask, _mm512_mask_add_epi32, _mm512_rol_epi32,
        _mm512_set1_epi32, _mm512_setr_epi32, _mm512_shuffle_i32x4, _mm512_storeu_si512,
        _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
        _mm512_xor_si512,
    };

    use super::WORDS;

    /// "expand 32-byte k", the first row of a block.
    const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
    /// Number of pairs of a round on columns and a round on diagonals.
    const DOUBLE_ROUNDS: usize = 4;

    /// What the next blocks are made of. It exists only on processors with AVX-512.
    #[derive(Debug, Clone)]
    pub(super) struct State {
        key: [u32; 8],
        stream: u64,
        /// Number of the next block.
        block: u64,
    }

    impl State {
        /// The state of a generator that made no words yet. The caller has found AVX-512.
        pub(super) fn new(rng: &ChaCha8Rng) -> Self {
            let mut key = [0; 8];
            let seed = rng.get_seed();
            let words = seed.as_chunks::<4>().0;
            key.iter_mut()
                .zip(words)
                .for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
            Self {
                key,
                stream: rng.get_stream(),
                block: 0,
            }
        }

        #[inline]
        pub(super) fn fill(&mut self, words: &mut [u32; WORDS]) {
            #[expect(unsafe_code, reason = "the compiler does not know what the processor has")]
            // SAFETY: a state is made only where AVX-512 was found.
            unsafe {
                self.fill_lanes(words);
            }
        }

        #[target_feature(enable = "avx512f")]
        fn fill_lanes(&mut self, words: &mut [u32; WORDS]) {
            let start = self.rows();
            let mut rows = start;
            for _ in 0..DOUBLE_ROUNDS {
                quarter_round(&mut rows, [0, 4, 8, 12]);
                quarter_round(&mut rows, [1, 5, 9, 13]);
                quarter_round(&mut rows, [2, 6, 10, 14]);
                quarter_round(&mut rows, [3, 7, 11, 15]);
                quarter_round(&mut rows, [0, 5, 10, 15]);
                quarter_round(&mut rows, [1, 6, 11, 12]);
                quarter_round(&mut rows, [2, 7, 8, 13]);
                quarter_round(&mut rows, [3, 4, 9, 14]);
            }
            for (row, start) in rows.iter_mut().zip(start) {
                *row = _mm512_add_epi32(*row, start);
            }
            store(rows, words);
            self.block = self.block.wrapping_add(16);
        }

        /// The words at the same place of the next sixteen blocks, place by place.
        #[target_feature(enable = "avx512f")]
        #[inline]
        fn rows(&self) -> [__m512i; 16] {
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let low = _mm512_add_epi32(splat(self.block as u32), lanes);
            let overflows = _mm512_cmplt_epu32_mask(low, lanes);
            let high = splat((self.block >> 32) as u32);
            let [k0, k1, k2, k3, k4, k5, k6, k7] = self.key;
            let [c0, c1, c2, c3] = CONSTANTS;
            [
                splat(c0),
                splat(c1),
                splat(c2),
                splat(c3),
                splat(k0),
                splat(k1),
                splat(k2),
                splat(k3),
                splat(k4),
                splat(k5),
                splat(k6),
                splat(k7),
                low,
                _mm512_mask_add_epi32(high, overflows, high, splat(1)),
                splat(self.stream as u32),
                splat((self.stream >> 32) as u32),
            ]
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn splat(word: u32) -> __m512i {
        _mm512_set1_epi32(word.cast_signed())
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn quarter_round(rows: &mut [__m512i; 16], [a, b, c, d]: [usize; 4]) {
        rows[a] = _mm512_add_epi32(rows[a], rows[b]);
        rows[d] = _mm512_rol_epi32::<16>(_mm512_xor_si512(rows[d], rows[a]));
        rows[c] = _mm512_add_epi32(rows[c], rows[d]);
        rows[b] = _mm512_rol_epi32::<12>(_mm512_xor_si512(rows[b], rows[c]));
        rows[a] = _mm512_add_epi32(rows[a], rows[b]);
        rows[d] = _mm512_rol_epi32::<8>(_mm512_xor_si512(rows[d], rows[a]));
        rows[c] = _mm512_add_epi32(rows[c], rows[d]);
        rows[b] = _mm512_rol_epi32::<7>(_mm512_xor_si512(rows[b], rows[c]));
    }

    /// Stores the blocks one after another: the transpose of `rows`.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn store(rows: [__m512i; 16], words: &mut [u32; WORDS]) {
        // Quarters of blocks: in `quarters[4 * q + j]`, part `p` is quarter `q` of block `4 * p + j`.
        let mut quarters = rows;
        for q in 0..4 {
            let [a, b, c, d] = [0, 1, 2, 3].map(|row| rows[4 * q + row]);
            let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            quarters[4 * q] = _mm512_unpacklo_epi64(ab_low, cd_low);
            quarters[4 * q + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);
            quarters[4 * q + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
            quarters[4 * q + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
        }
        let blocks = words.as_chunks_mut::<16>().0;
        for j in 0..4 {
            let [a, b, c, d] = [0, 4, 8, 12].map(|q| quarters[q + j]);
            let (ab_low, ab_high) = (
                _mm512_shuffle_i32x4::<0x44>(a, b),
                _mm512_shuffle_i32x4::<0xee>(a, b),
            );
            let (cd_low, cd_high) = (
                _mm512_shuffle_i32x4::<0x44>(c, d),
                _mm512_shuffle_i32x4::<0xee>(c, d),
            );
            let of_lane = [
                _mm512_shuffle_i32x4::<0x88>(ab_low, cd_low),
                _mm512_shuffle_i32x4::<0xdd>(ab_low, cd_low),
                _mm512_shuffle_i32x4::<0x88>(ab_high, cd_high),
                _mm512_shuffle_i32x4::<0xdd>(ab_high, cd_high),
            ];
            for (p, block) in of_lane.into_iter().enumerate() {
                let into: &mut [u32; 16] = &mut blocks[4 * p + j];
                #[expect(unsafe_code, reason = "a store takes a pointer")]
                // SAFETY: a block has sixteen words, as a vector has.
                unsafe {
                    _mm512_storeu_si512(into.as_mut_ptr().cast(), block);
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn at_block(state: &mut State, block: u64) {
        state.block = block;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(seed: u64, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        rng
    }

    #[test]
    fn numbers_are_those_of_the_crate() {
        for (seed, stream) in [(0, 0), (7, 1), (u64::MAX, 3 << 32 | 5)] {
            let (mut found, mut expected) = (WideChaCha8::new(seed, stream), expected(seed, stream));
            for turn in 0..2_000_usize {
                assert_eq!(found.next_u64(), expected.next_u64());
                // Words of 32 bits and bytes move the words of 64 bits across the ends of blocks.
                if turn % 7 == 0 {
                    assert_eq!(found.next_u32(), expected.next_u32());
                }
                let mut bytes = [vec![0; turn % 61], vec![0; turn % 61]];
                found.fill_bytes(&mut bytes[0]);
                expected.fill_bytes(&mut bytes[1]);
                assert_eq!(bytes[0], bytes[1], "{turn}");
            }
        }
    }

    /// Lanes and single blocks make the same words, also where the number of a block overflows its
    /// lower half.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn lanes_make_the_words_of_single_blocks() {
        if !std::arch::is_x86_feature_detected!("avx512f") {
            return;
        }
        for block in [0, (1 << 32) - 5, u64::MAX - 40] {
            let mut one_by_one = expected(9, 11);
            let mut lanes = lanes::State::new(&one_by_one);
            lanes::at_block(&mut lanes, block);
            one_by_one.set_word_pos(u128::from(block) * 16);
            let mut words = [[0; WORDS]; 2];
            for _ in 0..4 {
                lanes.fill(&mut words[0]);
                fill_one_by_one(&mut one_by_one, &mut words[1]);
                assert_eq!(words[0], words[1], "{block}");
            }
        }
    }
}

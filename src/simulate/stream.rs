//! The random stream of a run: words, and the normal deviates that they give.

use std::sync::LazyLock;

use rand::TryRng;
use rand_distr::{Distribution, StandardNormal};

use crate::base::chacha::{Blocks, WORDS};

/// Deviates of a group: those that are taken side by side.
pub(super) const LANES: usize = 8;
/// Number of words of 64 bits that are made at a time.
const N: usize = WORDS / 2;

/// The random stream of a run. Its words are those of `ChaCha8Rng`, and a normal deviate is that of
/// [`StandardNormal`]. Nearly all deviates take one word, and are computed for many words at a time.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    blocks: Blocks,
    words: [u64; N],
    /// The deviate of each word. The last lanes of a group may reach beyond the words.
    normals: [f64; N + LANES],
    /// Bits of the words that do not give a deviate alone.
    rejected: u128,
    /// Number of words that were taken.
    taken: usize,
}

impl Stream {
    /// A stream of a seed; see [`Blocks::new`].
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self {
            blocks: Blocks::new(seed, stream),
            words: [0; N],
            normals: [0.0; N + LANES],
            rejected: 0,
            taken: N,
        }
    }

    /// A normal deviate.
    #[inline]
    pub(super) fn normal(&mut self) -> f64 {
        if self.taken == N {
            self.refill();
        }
        if self.rejected >> self.taken & 1 == 0 {
            self.taken += 1;
            self.normals[self.taken - 1]
        } else {
            StandardNormal.sample(self)
        }
    }

    /// The next `n` normal deviates, up to a whole number of groups of lanes. Those beyond `n` are
    /// any finite numbers. `None`, and nothing is taken, where [`Self::normal`] has to draw them.
    #[inline]
    pub(super) fn normals(&mut self, n: usize) -> Option<&[[f64; LANES]]> {
        if self.taken == N {
            self.refill();
        }
        let (from, to) = (self.taken, self.taken + n);
        if to > N || (self.rejected >> from) & ((1 << n) - 1) != 0 {
            return None;
        }
        self.taken = to;
        let groups = from..from + n.next_multiple_of(LANES);
        Some(self.normals[groups].as_chunks().0)
    }

    #[cold]
    fn refill(&mut self) {
        let mut halves = [0; WORDS];
        self.blocks.fill(&mut halves);
        let pairs = halves.as_chunks::<2>().0;
        for (word, [low, high]) in self.words.iter_mut().zip(pairs) {
            *word = u64::from(*high) << 32 | u64::from(*low);
        }
        self.rejected = deviates(&self.words, &mut self.normals);
        self.taken = 0;
    }
}

impl TryRng for Stream {
    type Error = std::convert::Infallible;

    /// Takes a whole word.
    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.try_next_u64()? as u32)
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        if self.taken == N {
            self.refill();
        }
        self.taken += 1;
        Ok(self.words[self.taken - 1])
    }

    /// Takes whole words.
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.try_next_u64()?.to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

/// The edges of the layers of the ziggurat, from the widest to 0.
type Edges = [f64; 257];

/// The edges that [`StandardNormal`] uses: half an edge is its deviate of a word with 1/2 as position
/// in the layer.
static EDGES: LazyLock<Edges> = LazyLock::new(|| {
    std::array::from_fn(|layer| {
        if layer == 256 {
            return 0.0;
        }
        let position = 3.5_f64.to_bits() << 12;
        // The innermost layer also compares the second word with the density.
        let mut words = Words([position | layer as u64, u64::MAX].into_iter());
        let half: f64 = StandardNormal.sample(&mut words);
        2.0 * half
    })
});

/// A source of given words, then zeros.
struct Words<T>(T);

impl<T: Iterator<Item = u64>> TryRng for Words<T> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.next().unwrap_or(0))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(0);
        Ok(())
    }
}

/// The normal deviate of each word, by the ziggurat method of [`StandardNormal`]. Returns the bits of
/// the words that lie outside of the inner rectangle of their layer, and so need more words.
fn deviates(words: &[u64; N], normals: &mut [f64]) -> u128 {
    let edges = LazyLock::force(&EDGES);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        #[expect(unsafe_code, reason = "the compiler does not know what the processor has")]
        // SAFETY: AVX-512 was found.
        return unsafe { deviates_in_lanes(edges, words, normals) };
    }
    deviates_one_by_one(edges, words, normals)
}

fn deviates_one_by_one(edges: &Edges, words: &[u64; N], normals: &mut [f64]) -> u128 {
    let mut rejected = 0;
    for (idx, (word, normal)) in words.iter().zip(normals).enumerate() {
        let layer = (word & 0xff) as usize;
        // The upper 52 bits are a number in 2..4, and so a position in -1..1.
        let position = f64::from_bits(word >> 12 | 2.0_f64.to_bits()) - 3.0;
        *normal = position * edges[layer];
        rejected |= u128::from(normal.abs() >= edges[layer + 1]) << idx;
    }
    rejected
}

/// As [`deviates_one_by_one`], eight at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn deviates_in_lanes(edges: &Edges, words: &[u64; N], normals: &mut [f64]) -> u128 {
    use std::arch::x86_64::{
        _CMP_GE_OQ, _mm512_abs_pd, _mm512_and_si512, _mm512_castsi512_pd, _mm512_cmp_pd_mask,
        _mm512_i64gather_pd, _mm512_loadu_si512, _mm512_mul_pd, _mm512_or_si512, _mm512_set1_epi64,
        _mm512_set1_pd, _mm512_srli_epi64, _mm512_storeu_pd, _mm512_sub_pd,
    };
    let mut rejected = 0;
    let groups = words
        .as_chunks::<8>()
        .0
        .iter()
        .zip(normals.as_chunks_mut::<8>().0);
    for (idx, (words, normals)) in groups.enumerate() {
        #[expect(unsafe_code, reason = "loads, stores and gathers take pointers")]
        // SAFETY: words and normals are arrays of eight, and a layer is at most 255 of 257 edges.
        let (words, outer, inner) = unsafe {
            let words = _mm512_loadu_si512(words.as_ptr().cast());
            let layers = _mm512_and_si512(words, _mm512_set1_epi64(0xff));
            let outer = _mm512_i64gather_pd::<8>(layers, edges.as_ptr());
            (
                words,
                outer,
                _mm512_i64gather_pd::<8>(layers, edges.as_ptr().add(1)),
            )
        };
        let exponent = _mm512_set1_epi64(2.0_f64.to_bits().cast_signed());
        let position = _mm512_or_si512(_mm512_srli_epi64::<12>(words), exponent);
        let position = _mm512_sub_pd(_mm512_castsi512_pd(position), _mm512_set1_pd(3.0));
        let normal = _mm512_mul_pd(position, outer);
        #[expect(unsafe_code, reason = "a store takes a pointer")]
        // SAFETY: normals are an array of eight.
        unsafe {
            _mm512_storeu_pd(normals.as_mut_ptr(), normal);
        }
        let is_outside = _mm512_cmp_pd_mask::<_CMP_GE_OQ>(_mm512_abs_pd(normal), inner);
        rejected |= u128::from(is_outside) << (8 * idx);
    }
    rejected
}

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Deviates one by one, in groups, and words between them are those of the crates.
    #[test]
    fn draws_are_those_of_the_crates() {
        let (mut found, mut expected) = (Stream::new(3, 1 << 32 | 9), ChaCha8Rng::seed_from_u64(3));
        expected.set_stream(1 << 32 | 9);
        let (mut n_groups, mut n_refused) = (0, 0);
        for turn in 0..200_000_usize {
            let n = turn % 13 + 1;
            match found.normals(n) {
                Some(groups) => {
                    for normal in &groups.as_flattened()[..n] {
                        let of_crate: f64 = StandardNormal.sample(&mut expected);
                        assert_eq!(*normal, of_crate, "{turn}");
                    }
                    n_groups += 1;
                }
                None => n_refused += 1,
            }
            let of_crate: f64 = StandardNormal.sample(&mut expected);
            assert_eq!(found.normal(), of_crate, "{turn}");
            if turn % 3 == 0 {
                assert_eq!(found.next_u64(), expected.next_u64(), "{turn}");
                assert_eq!(found.random::<f64>(), expected.random::<f64>(), "{turn}");
            }
        }
        assert!(n_groups > 100_000 && n_refused > 10_000, "{n_groups} {n_refused}");
    }

    #[test]
    fn lanes_give_the_deviates_of_single_words() {
        assert_eq!(EDGES[256], 0.0);
        assert!(EDGES.is_sorted_by(|a, b| a > b));
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            let mut rng = ChaCha8Rng::seed_from_u64(4);
            for _ in 0..1_000 {
                let words: [u64; N] = std::array::from_fn(|_| rng.next_u64());
                let (mut one_by_one, mut in_lanes) = ([0.0; N], [0.0; N]);
                let rejected = deviates_one_by_one(&EDGES, &words, &mut one_by_one);
                #[expect(unsafe_code, reason = "the compiler does not know what the processor has")]
                // SAFETY: AVX-512 was found.
                let found = unsafe { deviates_in_lanes(&EDGES, &words, &mut in_lanes) };
                assert_eq!((found, in_lanes), (rejected, one_by_one));
                assert!(rejected.count_ones() < 16);
            }
        }
    }
}

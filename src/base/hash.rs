//! Hashes of ids: 64 bits that stand for a text in look-ups.

use twox_hash::XxHash3_64;

/// The hash of an id. Two of n ids share one with probability n² / 2^65: 1e-5 among 20 million.
#[inline]
pub(crate) fn hash_id(id: &[u8]) -> u64 {
    XxHash3_64::oneshot(id)
}

/// What an empty user id hashes to: no user has one, and hashes are not looked at one by one.
pub(crate) const EMPTY: u64 = 0;

/// The hash of a user's id under a seed. Should two users of a table share one, another seed tells
/// them apart.
#[inline]
pub(crate) fn hash_user_id(id: &[u8], seed: u64) -> u64 {
    if id.is_empty() {
        EMPTY
    } else {
        XxHash3_64::oneshot_with_seed(seed, id).max(1)
    }
}

/// The hash of two hashes: a user of a tenant, a session of a user.
#[inline]
pub(crate) fn join(a: u64, b: u64) -> u64 {
    // The high and the low half of a product depend on all bits of its factors; odd constants keep
    // either from being 0.
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd1b5_4a32_d192_ed03);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_matters_and_bits_are_even() {
        assert_ne!(join(1, 2), join(2, 1));
        let n = 100_000;
        for bit in [0, 13, 31, 40, 63] {
            let ones = (0..n)
                .filter(|i: &u64| join(7, hash_id(&i.to_le_bytes())) >> bit & 1 == 1)
                .count();
            // Binomial(100 000, .5): sd 158.
            assert!((49_200..50_800).contains(&ones), "bit {bit}: {ones}");
        }
    }
}

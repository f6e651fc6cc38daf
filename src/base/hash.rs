//! Hashes of ids, with 64 bits, for look-ups.

use twox_hash::XxHash3_64;

/// The hash of an id. The probability that two of n ids have the same hash is about n² / 2^65: 1e-5
/// for 20 million ids.
#[inline]
pub(crate) fn hash_id(id: &[u8]) -> u64 {
    XxHash3_64::oneshot(id)
}

/// The hash of an empty user id. No other user id has this hash.
pub(crate) const EMPTY: u64 = 0;

/// The hash of a user's id under a seed. If two users of a table have the same hash, another seed
/// separates them.
#[inline]
pub(crate) fn hash_user_id(id: &[u8], seed: u64) -> u64 {
    if id.is_empty() {
        EMPTY
    } else {
        XxHash3_64::oneshot_with_seed(seed, id).max(1)
    }
}

/// Combines two hashes, such as those of a tenant and a user, or of a session and a user. The order
/// matters.
#[inline]
pub(crate) fn join(a: u64, b: u64) -> u64 {
    // The two halves of a product together depend on all bits of its factors. The constants differ,
    // so that the order of the inputs matters.
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
            // Binomial(100,000, 0.5) has a standard deviation of 158.
            assert!((49_200..50_800).contains(&ones), "bit {bit}: {ones}");
        }
    }
}

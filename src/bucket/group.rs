//! Bucket groups: the finest unit of the cube, and the default clusters of variances.
//!
//! The width of a group grows with the ratio: one bucket below 1 %, ten buckets below 10 %, fifty
//! buckets above. See docs/METHODS.md#bucket-groups.

/// The number of bucket groups: 100 + 90 + 180.
pub const N_GROUPS: u16 = 370;

/// The group (0..=369) of a bucket (0..=9999).
///
/// ```
/// use sluice::bucket::{group_of, N_GROUPS};
/// assert_eq!(group_of(99), 99);
/// assert_eq!(group_of(109), 100);
/// assert_eq!(group_of(9_999), N_GROUPS - 1);
/// ```
pub fn group_of(bucket: u16) -> u16 {
    match bucket {
        0..100 => bucket,
        100..1_000 => 100 + (bucket - 100) / 10,
        _ => 190 + (bucket - 1_000) / 50,
    }
}

/// The first bucket of a group (0..=370). For `N_GROUPS` it is 10,000, the end of the buckets.
pub fn group_start(group: u16) -> u16 {
    match group {
        0..100 => group,
        100..190 => 100 + (group - 100) * 10,
        _ => 1_000 + (group - 190) * 50,
    }
}

/// The number of groups that lie completely below a bucket (0..=10000). At a ratio of that many
/// basis points, they are the clusters of the candidate.
pub fn groups_below(bucket: u16) -> u16 {
    match bucket {
        0..100 => bucket,
        100..1_000 => 100 + (bucket - 100) / 10,
        1_000..10_000 => 190 + (bucket - 1_000) / 50,
        _ => N_GROUPS,
    }
}

/// The number of buckets; they are numbered 0..=9999.
pub const N_BUCKETS: u16 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_runs_that_cover_all_buckets() {
        assert_eq!(group_start(N_GROUPS), 10_000);
        for bucket in 0..=10_000 {
            let below = (0..N_GROUPS)
                .filter(|group| group_start(group + 1) <= bucket)
                .count();
            assert_eq!(usize::from(groups_below(bucket)), below, "{bucket}");
        }
        for bucket in 0..10_000 {
            let group = group_of(bucket);
            assert!(group_start(group) <= bucket && bucket < group_start(group + 1));
        }
    }
}

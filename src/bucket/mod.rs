//! Bucket assignment: hashes of users to buckets, groups of buckets, and ratios.

mod group;
mod murmur3;
mod platform;
mod profile;
mod ratio;
pub mod systems;

pub use group::{N_BUCKETS, N_GROUPS, group_of, group_start, groups_below};
pub use murmur3::murmur3_x86_32;
pub use platform::{PLATFORMS, Platform};
pub use profile::{BucketHasher, Profile};
pub use ratio::Ratio;

//! Assignment profiles: the exact hash that production uses to place users.

use serde::{Deserialize, Serialize};

use super::{N_BUCKETS, murmur3::Prefix};

/// How users are placed in buckets 0..=9999.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "profile", rename_all = "snake_case")]
pub enum Profile {
    /// Sluice's own: `murmur3_x86_32(salt ":" user_id, 0)`, scaled to 0..=9999. Production uses the same, so a row in the wrong arm is a defect.
    Sluice {
        /// Text before the user's id; a new salt deals the users anew.
        salt: String,
    },
    /// Users were placed by something that Sluice cannot recompute. Buckets only deal users into random groups, as clusters of variances.
    External {
        /// See `Sluice`.
        salt: String,
    },
}

impl Profile {
    /// The user's bucket, 0..=9999. Ids are hashed as their UTF-8 bytes, never normalised.
    pub fn bucket(&self, user_id: &str) -> u16 {
        self.hasher().bucket(user_id.as_bytes())
    }

    /// For the buckets of many users.
    pub fn hasher(&self) -> BucketHasher {
        let (Self::Sluice { salt } | Self::External { salt }) = self;
        BucketHasher(Prefix::new(format!("{salt}:").as_bytes(), 0))
    }

    /// Whether production's placement can be recomputed from the user's id.
    pub fn is_recomputable(&self) -> bool {
        matches!(self, Self::Sluice { .. })
    }

    /// The profile's name in plans and outputs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sluice { .. } => "sluice",
            Self::External { .. } => "external",
        }
    }

    /// The salt.
    pub fn salt(&self) -> &str {
        let (Self::Sluice { salt } | Self::External { salt }) = self;
        salt
    }
}

/// A profile, ready for many users.
#[derive(Debug, Clone, Copy)]
pub struct BucketHasher(Prefix);

impl BucketHasher {
    /// See [`Profile::bucket`].
    #[inline]
    pub fn bucket(&self, user_id: &[u8]) -> u16 {
        ((u64::from(self.0.hash(user_id)) * u64::from(N_BUCKETS)) >> 32) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_even() {
        let profile = Profile::Sluice { salt: "plan".into() };
        let n_low = (0..100_000).filter(|i| profile.bucket(&format!("u{i}")) < 100).count();
        // Binomial(100 000, .01): mean 1000, sd 31.
        assert!((850..1150).contains(&n_low), "{n_low}");
    }
}

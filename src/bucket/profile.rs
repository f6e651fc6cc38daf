//! Assignment profiles: the exact hash that production uses to place users.

use serde::{Deserialize, Serialize};

use super::{N_BUCKETS, murmur3_x86_32};

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
        let (Self::Sluice { salt } | Self::External { salt }) = self;
        let mut bytes = Vec::with_capacity(salt.len() + 1 + user_id.len());
        bytes.extend_from_slice(salt.as_bytes());
        bytes.push(b':');
        bytes.extend_from_slice(user_id.as_bytes());
        let hash = u64::from(murmur3_x86_32(&bytes, 0));
        ((hash * u64::from(N_BUCKETS)) >> 32) as u16
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

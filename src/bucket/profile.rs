//! Assignment profiles: the exact hash that production uses to assign users to buckets.

use serde::{Deserialize, Serialize};

use crate::bucket::group::N_BUCKETS;
use crate::bucket::murmur3::Prefix;
use crate::bucket::platform::Platform;

/// The hash that assigns users to the buckets 0..=9999.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "profile", rename_all = "snake_case")]
pub enum Profile {
    /// Sluice's own hash: `murmur3_x86_32(salt ":" user_id, 0)`, scaled to 0..=9999. Production
    /// uses the same hash, so a row in the wrong arm is a defect.
    Sluice {
        /// The text before the user's id. A new salt assigns all users anew.
        salt: String,
    },
    /// The hash of another system, bit for bit as in its clients.
    Platform {
        /// The system that assigns users.
        platform: Platform,
        /// The key of the flag, for systems that include it in the hash.
        flag: String,
        /// The salt of the hash; see [`Platform::bucket`] for its role in each system.
        salt: String,
    },
    /// Users were assigned by a system that Sluice cannot recompute. Buckets only form random
    /// groups of users, the clusters of variances.
    External {
        /// The text before the user's id in Sluice's own hash.
        salt: String,
    },
}

impl Profile {
    /// The user's bucket, 0..=9999. The bytes of the id are hashed without normalization. A user
    /// whose id the system refuses is in bucket 9999, which only the ratio 1 includes.
    pub fn bucket(&self, user_id: &str) -> u16 {
        self.hasher().bucket(user_id.as_bytes())
    }

    /// Prepares the profile for the buckets of many users.
    pub fn hasher(&self) -> BucketHasher<'_> {
        match self {
            Self::Sluice { salt } | Self::External { salt } => {
                BucketHasher(Placement::Sluice(Prefix::new(format!("{salt}:").as_bytes(), 0)))
            }
            Self::Platform { platform, flag, salt } => {
                BucketHasher(Placement::Platform(*platform, flag, salt))
            }
        }
    }

    /// Whether the assignment in production can be recomputed from the user's id.
    pub fn is_recomputable(&self) -> bool {
        !matches!(self, Self::External { .. })
    }

    /// The name of the profile in plans and outputs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sluice { .. } => "sluice",
            Self::Platform { platform, .. } => platform.name(),
            Self::External { .. } => "external",
        }
    }

    /// The salt: the text that is hashed together with the id of a user.
    pub fn salt(&self) -> &str {
        let (Self::Sluice { salt } | Self::Platform { salt, .. } | Self::External { salt }) = self;
        salt
    }

    /// The key of the flag; `None` for profiles that do not belong to another system.
    pub fn flag(&self) -> Option<&str> {
        match self {
            Self::Platform { flag, .. } => Some(flag),
            _ => None,
        }
    }

    /// The smallest difference between two ratios that the profile can distinguish, in steps of
    /// 0.0001.
    pub fn step(&self) -> u16 {
        match self {
            Self::Platform { platform, .. } => platform.step(),
            _ => 1,
        }
    }

    /// The profile with this name, salt and flag; `None` for an unknown name. `sluice` and
    /// `external` ignore the flag.
    pub fn by_name(name: &str, flag: &str, salt: &str) -> Option<Self> {
        let salt = salt.to_owned();
        Some(match name {
            "sluice" => Self::Sluice { salt },
            "external" => Self::External { salt },
            _ => Self::Platform {
                platform: Platform::by_name(name)?,
                flag: flag.to_owned(),
                salt,
            },
        })
    }

    /// Warnings about a salt or flag that is likely to give unexpected assignments. Empty if there
    /// are none.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let hashed = [self.salt(), self.flag().unwrap_or_default()];
        if hashed.iter().any(|text| !text.is_ascii()) {
            warnings.push(format!(
                "salt or flag is not ASCII: clients of {} that hash UTF-8 and clients that hash UTF-16 assign users differently",
                self.name()
            ));
        }
        if self.salt().is_empty() {
            warnings.push(
                "the salt is empty: all plans with an empty salt give the candidate to the same users first"
                    .into(),
            );
        }
        warnings
    }
}

/// A profile, prepared for many users.
#[derive(Debug, Clone, Copy)]
pub struct BucketHasher<'a>(Placement<'a>);

#[derive(Debug, Clone, Copy)]
enum Placement<'a> {
    /// Murmur3 after a prefix.
    Sluice(Prefix),
    /// The hash of another system, with the flag and the salt that it hashes.
    Platform(Platform, &'a str, &'a str),
}

impl BucketHasher<'_> {
    /// The bucket of a user's id in UTF-8, 0..=9999; see [`Profile::bucket`].
    #[inline]
    pub fn bucket(&self, user_id: &[u8]) -> u16 {
        match &self.0 {
            Placement::Sluice(prefix) => {
                ((u64::from(prefix.hash(user_id)) * u64::from(N_BUCKETS)) >> 32) as u16
            }
            Placement::Platform(platform, flag, salt) => platform
                .bucket(flag, salt, &String::from_utf8_lossy(user_id))
                .unwrap_or(N_BUCKETS - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_even() {
        let profile = Profile::Sluice { salt: "plan".into() };
        let n_low = (0..100_000)
            .filter(|i| profile.bucket(&format!("u{i}")) < 100)
            .count();
        // Binomial(100,000, 0.01): mean 1000, standard deviation 31.
        assert!((850..1150).contains(&n_low), "{n_low}");
    }
}

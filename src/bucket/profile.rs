//! Assignment profiles: the exact hash that production uses to place users.

use serde::{Deserialize, Serialize};

use crate::bucket::group::N_BUCKETS;
use crate::bucket::murmur3::Prefix;
use crate::bucket::platform::Platform;

/// How users are placed in buckets 0..=9999.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "profile", rename_all = "snake_case")]
pub enum Profile {
    /// Sluice's own: `murmur3_x86_32(salt ":" user_id, 0)`, scaled to 0..=9999. Production uses the
    /// same, so a row in the wrong arm is a defect.
    Sluice {
        /// Text before the user's id; a new salt deals the users anew.
        salt: String,
    },
    /// Another system's hash: what its clients do, to the bit.
    Platform {
        /// Which system.
        platform: Platform,
        /// The flag's key, for systems that hash it.
        flag: String,
        /// See `Sluice`.
        salt: String,
    },
    /// Users were placed by something that Sluice cannot recompute. Buckets only deal users into
    /// random groups, as clusters of variances.
    External {
        /// See `Sluice`.
        salt: String,
    },
}

impl Profile {
    /// The user's bucket, 0..=9999. Ids are hashed as they are, never normalised. An id that a
    /// system refuses stands last: only everybody includes it.
    pub fn bucket(&self, user_id: &str) -> u16 {
        self.hasher().bucket(user_id.as_bytes())
    }

    /// For the buckets of many users.
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

    /// Whether production's placement can be recomputed from the user's id.
    pub fn is_recomputable(&self) -> bool {
        !matches!(self, Self::External { .. })
    }

    /// The profile's name in plans and outputs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sluice { .. } => "sluice",
            Self::Platform { platform, .. } => platform.name(),
            Self::External { .. } => "external",
        }
    }

    /// The salt.
    pub fn salt(&self) -> &str {
        let (Self::Sluice { salt } | Self::Platform { salt, .. } | Self::External { salt }) = self;
        salt
    }

    /// The flag's key, for systems that hash it.
    pub fn flag(&self) -> Option<&str> {
        match self {
            Self::Platform { flag, .. } => Some(flag),
            _ => None,
        }
    }

    /// The smallest ratio that can be told apart, in ten-thousandths.
    pub fn step(&self) -> u16 {
        match self {
            Self::Platform { platform, .. } => platform.step(),
            _ => 1,
        }
    }

    /// The same salt and flag in another system; `None` for a name that is none.
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

    /// What about this profile surprises people.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let hashed = [self.salt(), self.flag().unwrap_or_default()];
        if hashed.iter().any(|text| !text.is_ascii()) {
            warnings.push(format!(
                "salt or flag is not ASCII: clients of {} that hash UTF-8, and those that hash UTF-16, place users differently",
                self.name()
            ));
        }
        if self.salt().is_empty() {
            warnings.push(
                "the salt is empty: every plan without one gives the same users the candidate first".into(),
            );
        }
        warnings
    }
}

/// A profile, ready for many users.
#[derive(Debug, Clone, Copy)]
pub struct BucketHasher<'a>(Placement<'a>);

#[derive(Debug, Clone, Copy)]
enum Placement<'a> {
    /// Murmur3 behind a prefix.
    Sluice(Prefix),
    /// Another system, its flag and salt.
    Platform(Platform, &'a str, &'a str),
}

impl BucketHasher<'_> {
    /// See [`Profile::bucket`].
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
        // Binomial(100 000, .01): mean 1000, sd 31.
        assert!((850..1150).contains(&n_low), "{n_low}");
    }
}

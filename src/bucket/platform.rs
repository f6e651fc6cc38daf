//! Systems that assign users by their own hashes, on the common scale of buckets 0..=9999. A ratio
//! gives the candidate to the same users as that system does.

use serde::{Deserialize, Serialize};

use crate::bucket::group::N_BUCKETS;
use crate::bucket::systems;

/// A system that assigns users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Platform {
    /// GrowthBook, hash version 1, in steps of 0.1 %.
    #[serde(rename = "growthbook/1")]
    Growthbook1,
    /// GrowthBook, hash version 2, for clients that hash UTF-16.
    #[serde(rename = "growthbook/2")]
    Growthbook2,
    /// GrowthBook, hash version 2, for clients that hash UTF-8.
    #[serde(rename = "growthbook/2-utf8")]
    Growthbook2Utf8,
    /// Unleash, in steps of 1 %, for clients that hash UTF-8.
    #[serde(rename = "unleash")]
    Unleash,
    /// Unleash's Node client, in steps of 1 %.
    #[serde(rename = "unleash-node")]
    UnleashNode,
    /// LaunchDarkly, in steps of 0.01 %.
    #[serde(rename = "launchdarkly")]
    LaunchDarkly,
    /// flagd, fractional version 1.
    #[serde(rename = "flagd/1")]
    Flagd1,
    /// flagd, fractional version 2.
    #[serde(rename = "flagd/2")]
    Flagd2,
    /// flagd, fractional version 2, JavaScript core.
    #[serde(rename = "flagd/2-js")]
    Flagd2Js,
    /// flagd, fractional version 3.
    #[serde(rename = "flagd/3")]
    Flagd3,
    /// Optimizely.
    #[serde(rename = "optimizely")]
    Optimizely,
    /// PlanOut; ASCII ids only.
    #[serde(rename = "planout")]
    Planout,
    /// Statsig.
    #[serde(rename = "statsig")]
    Statsig,
    /// Eppo.
    #[serde(rename = "eppo")]
    Eppo,
    /// Flagsmith.
    #[serde(rename = "flagsmith")]
    Flagsmith,
    /// PostHog.
    #[serde(rename = "posthog")]
    Posthog,
    /// Split, in steps of 1 %. The salt must be a number.
    #[serde(rename = "split")]
    Split,
}

/// Each system with its name in plans and its smallest step of the ratio, in steps of 0.0001.
pub const PLATFORMS: [(Platform, &str, u16); 17] = [
    (Platform::Growthbook1, "growthbook/1", 10),
    (Platform::Growthbook2, "growthbook/2", 1),
    (Platform::Growthbook2Utf8, "growthbook/2-utf8", 1),
    (Platform::Unleash, "unleash", 100),
    (Platform::UnleashNode, "unleash-node", 100),
    (Platform::LaunchDarkly, "launchdarkly", 1),
    (Platform::Flagd1, "flagd/1", 1),
    (Platform::Flagd2, "flagd/2", 1),
    (Platform::Flagd2Js, "flagd/2-js", 1),
    (Platform::Flagd3, "flagd/3", 1),
    (Platform::Optimizely, "optimizely", 1),
    (Platform::Planout, "planout", 1),
    (Platform::Statsig, "statsig", 1),
    (Platform::Eppo, "eppo", 1),
    (Platform::Flagsmith, "flagsmith", 1),
    (Platform::Posthog, "posthog", 1),
    (Platform::Split, "split", 100),
];

impl Platform {
    /// The system with this name; `None` for an unknown name.
    pub fn by_name(name: &str) -> Option<Self> {
        PLATFORMS
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(platform, _, _)| *platform)
    }

    /// The name of the system in plans.
    pub fn name(self) -> &'static str {
        PLATFORMS
            .iter()
            .find(|(platform, _, _)| *platform == self)
            .map_or("", |(_, name, _)| name)
    }

    /// The smallest difference between two ratios that the system can distinguish, in steps of
    /// 0.0001.
    pub fn step(self) -> u16 {
        PLATFORMS
            .iter()
            .find(|(platform, _, _)| *platform == self)
            .map_or(1, |(_, _, step)| *step)
    }

    /// The user's bucket, 0..=9999. The system gives the user the candidate at a ratio if and only
    /// if the bucket is below the ratio. `None` for an id that the system refuses, and for a salt
    /// of Split that is not a number.
    ///
    /// `flag` and `salt` are the other inputs of the hash:
    ///
    /// - GrowthBook: the salt is the seed.
    /// - Unleash: the salt is the group.
    /// - Optimizely: the salt is the parent.
    /// - Eppo and Flagsmith: the salt is the key.
    /// - LaunchDarkly, PlanOut, Statsig and PostHog hash both the flag and the salt.
    /// - flagd hashes `salt:id`; version 3 hashes the pair `[salt, id]`.
    /// - Split: the salt is the seed, as a number.
    pub fn bucket(self, flag: &str, salt: &str, user_id: &str) -> Option<u16> {
        let whole = |bucket: u64| bucket as u16;
        Some(match self {
            Self::Growthbook1 => systems::growthbook_v1(salt, user_id) as u16 * 10,
            Self::Growthbook2 => systems::growthbook_v2(salt, user_id) as u16,
            Self::Growthbook2Utf8 => systems::growthbook_v2_utf8(salt, user_id) as u16,
            Self::Unleash => (systems::unleash(salt, user_id, 100, false) as u16 - 1) * 100,
            Self::UnleashNode => (systems::unleash_node(salt, user_id, 100, false) as u16 - 1) * 100,
            // LaunchDarkly's weights are in steps of 0.00001 and are divided as floats.
            Self::LaunchDarkly => {
                let share = systems::launchdarkly(flag, salt, None, user_id);
                first(|bps| share < f64::from(bps * 10) / 100_000.0)
            }
            Self::Flagd1 => {
                let percent = systems::flagd_v1(&format!("{salt}:{user_id}"));
                first(|bps| percent < f64::from(bps) / f64::from(N_BUCKETS) * 100.0)
            }
            Self::Flagd2 => whole(systems::flagd_v2(
                &format!("{salt}:{user_id}"),
                u64::from(N_BUCKETS),
            )),
            Self::Flagd2Js => whole(systems::flagd_v2_js(
                &format!("{salt}:{user_id}"),
                u64::from(N_BUCKETS),
            )),
            Self::Flagd3 => whole(systems::flagd_v3(
                &serde_json::json!([salt, user_id]),
                u64::from(N_BUCKETS),
            )),
            Self::Optimizely => whole(systems::optimizely(user_id, salt)),
            Self::Planout => {
                let share = systems::planout_share(systems::planout(flag, salt, user_id)?);
                first(|bps| share <= f64::from(bps) / f64::from(N_BUCKETS))
            }
            Self::Statsig => whole(systems::statsig(flag, salt, user_id)),
            Self::Eppo => whole(systems::eppo(salt, user_id, u64::from(N_BUCKETS))),
            Self::Flagsmith => {
                let percent = systems::flagsmith(&[salt, user_id]);
                first(|bps| percent <= f64::from(bps) / 100.0)
            }
            Self::Posthog => {
                let share = systems::posthog(flag, user_id, salt);
                first(|bps| share <= f64::from(bps) / 100.0 / 100.0)
            }
            Self::Split => (systems::split(user_id, salt.parse().ok()?) as u16 - 1) * 100,
        })
    }
}

/// The largest number of basis points at which the user does not get the candidate. `reaches` must
/// not become false again at a larger ratio, so a binary search finds it.
fn first(reaches: impl Fn(u32) -> bool) -> u16 {
    let (mut out, mut reached) = (0_u32, u32::from(N_BUCKETS));
    while reached - out > 1 {
        let middle = (out + reached) / 2;
        if reaches(middle) {
            reached = middle
        } else {
            out = middle
        }
    }
    out as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_deals_users_evenly_and_in_its_own_steps() {
        for (platform, name, step) in PLATFORMS {
            assert_eq!(Platform::by_name(name), Some(platform));
            let salt = if platform == Platform::Split { "7" } else { "plan" };
            let buckets: Vec<u16> = (0..20_000)
                .filter_map(|i| platform.bucket("agent", salt, &format!("u{i}")))
                .collect();
            assert_eq!(buckets.len(), 20_000, "{name}");
            assert!(
                buckets
                    .iter()
                    .all(|bucket| *bucket < N_BUCKETS && bucket % step == 0),
                "{name}"
            );
            // Binomial(20,000, 0.1): mean 2000, standard deviation 42.
            let n = buckets.iter().filter(|bucket| **bucket < 1_000).count();
            assert!((1_800..2_200).contains(&n), "{name}: {n}");
        }
        assert_eq!(Platform::Planout.bucket("a", "b", "用户"), None);
        assert_eq!(Platform::Split.bucket("a", "no number", "u"), None);
    }
}

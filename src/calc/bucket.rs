//! Assignment: the bucket and the variant of a user under a profile.

use serde_json::Value;
use std::borrow::Cow;

use crate::bucket::{Profile, systems};
use crate::calc::answer::Answer;
use crate::calc::fields::{Fields, Taken};
use crate::calc::input::Input;

/// The systems that assign users. Each reads the inputs that its own documentation names.
#[derive(Clone, Copy, PartialEq)]
enum System {
    Sluice,
    GrowthbookV1,
    GrowthbookV2,
    GrowthbookV2Utf8,
    GrowthbookUnknown,
    Unleash,
    UnleashNode,
    LaunchDarkly,
    FlagdV1,
    FlagdV2,
    FlagdV2Js,
    FlagdV3,
    Optimizely,
    Planout,
    Statsig,
    Eppo,
    Flagsmith,
    Posthog,
    Split,
}

const SYSTEMS: crate::calc::fields::Words<System> = &[
    ("sluice", System::Sluice),
    ("growthbook-1", System::GrowthbookV1),
    ("growthbook.hash.v1", System::GrowthbookV1),
    ("growthbook", System::GrowthbookV2),
    ("growthbook-2", System::GrowthbookV2),
    ("growthbook.hash.v2", System::GrowthbookV2),
    ("growthbook-2-utf8", System::GrowthbookV2Utf8),
    ("growthbook.hash.v2.utf8bytes", System::GrowthbookV2Utf8),
    ("growthbook.hash.unknown", System::GrowthbookUnknown),
    ("growthbook.feature.coverage", System::GrowthbookV2),
    ("unleash", System::Unleash),
    ("unleash.normalized", System::Unleash),
    ("unleash-node", System::UnleashNode),
    ("unleash.normalized.node", System::UnleashNode),
    ("launchdarkly", System::LaunchDarkly),
    ("launchdarkly.bucket", System::LaunchDarkly),
    ("flagd-1", System::FlagdV1),
    ("flagd.fractional.v1", System::FlagdV1),
    ("flagd-2", System::FlagdV2),
    ("flagd.fractional.v2", System::FlagdV2),
    ("flagd-2-js", System::FlagdV2Js),
    ("flagd.fractional.v2.js", System::FlagdV2Js),
    ("flagd", System::FlagdV3),
    ("flagd-3", System::FlagdV3),
    ("flagd.fractional.v3", System::FlagdV3),
    ("optimizely", System::Optimizely),
    ("optimizely.bucket", System::Optimizely),
    ("planout", System::Planout),
    ("planout.sha1", System::Planout),
    ("planout.sha1.error", System::Planout),
    ("statsig", System::Statsig),
    ("statsig.passPercentage", System::Statsig),
    ("eppo", System::Eppo),
    ("eppo.shard", System::Eppo),
    ("flagsmith", System::Flagsmith),
    ("flagsmith.percentage", System::Flagsmith),
    ("posthog", System::Posthog),
    ("posthog.hash", System::Posthog),
    ("split", System::Split),
    ("split.murmur", System::Split),
];

pub(super) fn bucket(fields: &Fields<'_>) -> Taken<Answer> {
    fields.text("profile")?;
    let mut answer = Answer::default();
    match fields.choice("profile", SYSTEMS, System::Sluice)? {
        System::Sluice => {
            let profile = Profile::Sluice {
                salt: fields.text("salt")?.into_owned(),
            };
            let bucket = profile.bucket(&fields.text("user_id")?);
            answer.put("bucket", u64::from(bucket));
            answer.put("value", f64::from(bucket) / 10_000.0);
        }
        system @ (System::GrowthbookV1
        | System::GrowthbookV2
        | System::GrowthbookV2Utf8
        | System::GrowthbookUnknown) => growthbook(fields, system, &mut answer)?,
        system @ (System::Unleash | System::UnleashNode) => {
            let (group, id) = (fields.text("groupId")?, fields.text("stickinessValue")?);
            let total =
                fields.number_or("totalWeight", 1_000.0, "a whole number from 1 to 1000000", |n| {
                    (1.0..=1e6).contains(&n) && n.fract() == 0.0
                })?;
            let place = if system == System::Unleash {
                systems::unleash
            } else {
                systems::unleash_node
            };
            answer.put("bucket", u64::from(place(&group, &id, 100, false)));
            answer.put("variant", u64::from(place(&group, &id, total as u32, true)));
        }
        System::LaunchDarkly => {
            let seed = if fields.has("seed") {
                Some(fields.number_where("seed", "a whole number within 2^53", |n| {
                    n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0
                })?)
            } else {
                None
            };
            let (flag, salt) = if seed.is_some() {
                (Cow::default(), Cow::default())
            } else {
                (fields.text("flagKey")?, fields.text("salt")?)
            };
            if seed.is_some() {
                // The flag's key and salt are accepted and ignored: the seed replaces them.
                let _ = (fields.raw("flagKey"), fields.raw("salt"));
            }
            let share = systems::launchdarkly(
                &flag,
                &salt,
                seed.map(|seed| seed as i64),
                &fields.text("contextKey")?,
            );
            answer.put("bucket", (share * 100_000.0) as u64);
            answer.put("value", share);
        }
        system @ (System::FlagdV1 | System::FlagdV2 | System::FlagdV2Js | System::FlagdV3) => {
            flagd(fields, system, &mut answer)?
        }
        System::Optimizely => {
            let bucket = systems::optimizely(&fields.text("bucketingId")?, &fields.text("parentId")?);
            answer.put("bucket", bucket);
            answer.put("value", bucket as f64 / 10_000.0);
        }
        System::Planout => match systems::planout(
            &fields.text("experiment_salt")?,
            &fields.text("salt")?,
            &fields.text("unit")?,
        ) {
            Some(hash) => {
                answer.put("bucket", hash % 10_000);
                answer.put("value", systems::planout_share(hash));
            }
            None => {
                answer.miss_for("bucket", "PlanOut hashes ASCII only");
                answer.miss_for("value", "PlanOut hashes ASCII only");
            }
        },
        System::Statsig => {
            let bucket = systems::statsig(
                &fields.text("configSalt")?,
                &fields.text("ruleSalt")?,
                &fields.text("unitID")?,
            );
            answer.put("bucket", bucket);
            answer.put("value", bucket as f64 / 10_000.0);
        }
        System::Eppo => {
            let total = fields.number_or("totalShards", 10_000.0, "a whole number from 1 to 2^32", |n| {
                (1.0..=4_294_967_296.0).contains(&n) && n.fract() == 0.0
            })?;
            answer.put(
                "bucket",
                systems::eppo(&fields.text("salt")?, &fields.text("subjectKey")?, total as u64),
            );
        }
        System::Flagsmith => {
            let ids = fields.texts("object_ids")?;
            let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
            answer.put("value", systems::flagsmith(&ids));
        }
        System::Posthog => {
            let (key, value) = (fields.text("key")?, fields.text("bucketing_value")?);
            let salt = fields.text_or_empty("salt")?;
            answer.put("value", systems::posthog(&key, &value, &salt));
        }
        System::Split => {
            let seed = fields.number_where("seed", "a whole number that fits 32 bits", |n| {
                n.fract() == 0.0 && (-2_147_483_648.0..4_294_967_296.0).contains(&n)
            })?;
            answer.put(
                "bucket",
                u64::from(systems::split(&fields.text("key")?, seed as i64 as u32)),
            );
        }
    }
    Ok(answer)
}

fn growthbook(fields: &Fields<'_>, system: System, answer: &mut Answer) -> Taken<()> {
    let (seed, value) = (fields.text("seed")?, fields.text("value")?);
    let version = fields.number_or(
        "hashVersion",
        if system == System::GrowthbookV1 { 1.0 } else { 2.0 },
        "a whole number",
        |n| n.fract() == 0.0,
    )?;
    let _ = (fields.raw("feature"), fields.raw("coverage"));
    let (bucket, of) = match (version, system) {
        (1.0, _) => (systems::growthbook_v1(&seed, &value), 1_000.0),
        (2.0, System::GrowthbookV2Utf8) => (systems::growthbook_v2_utf8(&seed, &value), 10_000.0),
        (2.0, _) => (systems::growthbook_v2(&seed, &value), 10_000.0),
        _ => {
            answer.miss_for("bucket", "GrowthBook knows hash versions 1 and 2");
            answer.miss_for("value", "GrowthBook knows hash versions 1 and 2");
            return Ok(());
        }
    };
    answer.put("bucket", u64::from(bucket));
    answer.put("value", f64::from(bucket) / of);
    Ok(())
}

/// The form of the text that flagd hashes if the flag has no `bucketBy`.
#[derive(Clone, Copy, PartialEq)]
enum FlagdForm {
    /// The short form. Versions 1 and 2 hash the joined flag key and targeting key, version 3
    /// hashes the list of the two.
    Shorthand,
    /// A rule that joins the flag key and the targeting key: the joined text in all versions.
    Cat,
}

fn flagd(fields: &Fields<'_>, system: System, answer: &mut Answer) -> Taken<()> {
    let whole = |n: f64| (1.0..=2_147_483_647.0).contains(&n) && n.fract() == 0.0;
    let weights = flagd_weights(fields)?;
    let has_weights = weights.is_some();
    let total = match &weights {
        Some(weights) => weights.iter().map(|(_, weight)| weight).sum::<u64>(),
        None => fields.number_or("totalWeight", 100.0, "a whole number from 1 to 2^31 - 1", whole)? as u64,
    };
    let forms = &[("shorthand", FlagdForm::Shorthand), ("cat", FlagdForm::Cat)];
    let form = fields.choice("form", forms, FlagdForm::Shorthand)?;
    let (text, value) = match fields.raw("bucketBy") {
        Some(_) if fields.has("form") => {
            return Err(fields.refuse("form", "form or bucketBy, not both"));
        }
        Some(value) => {
            // The keys of the flag and of the user are accepted and ignored: the value replaces
            // them.
            let _ = (fields.raw("flagKey"), fields.raw("targetingKey"));
            (value.text(), value.tree())
        }
        None => {
            let (flag, key) = (fields.text("flagKey")?, fields.text("targetingKey")?);
            let joined = format!("{flag}{key}");
            let value = match form {
                FlagdForm::Shorthand => Value::from(vec![flag, key]),
                FlagdForm::Cat => Value::from(joined.as_str()),
            };
            (Some(Cow::Owned(joined)), value)
        }
    };
    let text = || text.ok_or_else(|| fields.refuse("bucketBy", "a text"));
    // flagd walks the variants in the order in which they are written.
    let weights = weights.unwrap_or_default();
    let variant = if system == System::FlagdV1 {
        let percent = systems::flagd_v1(&text()?);
        answer.put("value", percent);
        let mut end = 0.0;
        weights.iter().find(|(_, weight)| {
            end += 100.0 * *weight as f64 / total as f64;
            percent < end
        })
    } else {
        let bucket = match system {
            System::FlagdV2 => systems::flagd_v2(&text()?, total),
            System::FlagdV2Js => systems::flagd_v2_js(&text()?, total),
            _ => systems::flagd_v3(&value, total),
        };
        answer.put("bucket", bucket);
        let mut end = 0;
        weights.iter().find(|(_, weight)| {
            end += weight;
            bucket < end
        })
    };
    match variant {
        _ if !has_weights => {}
        Some((name, _)) => answer.put("variant", name.as_ref()),
        None if total == 0 => answer.miss_for("variant", "the weights sum to 0"),
        None => answer.miss_for("variant", "the user is at 100 %, behind the last variant"),
    }
    Ok(())
}

/// The name of a variant and its weight.
type Weight<'a> = (Cow<'a, str>, u64);

/// Reads the weights of the variants in the order in which they are written: an object of whole
/// numbers, or a list of pairs.
fn flagd_weights<'a>(fields: &Fields<'a>) -> Taken<Option<Vec<Weight<'a>>>> {
    let Some(input) = fields.raw("weights") else {
        return Ok(None);
    };
    let refuse = |expected| fields.refuse("weights", expected);
    let expected = "an object of whole numbers, or a list of pairs [name, whole number]";
    let pair = |input: Input<'a>| match input.items().as_deref() {
        Some([name, weight]) => name.text().map(|name| (name, *weight)),
        _ => None,
    };
    let pairs: Option<Vec<_>> = match input.fields() {
        Some(Err(_)) => return Err(refuse("each variant once")),
        Some(Ok(pairs)) => Some(pairs),
        None => input
            .items()
            .and_then(|items| items.into_iter().map(pair).collect()),
    };
    let pairs = pairs.ok_or_else(|| refuse(expected))?;
    if (1..pairs.len()).any(|idx| pairs[..idx].iter().any(|(name, _)| *name == pairs[idx].0)) {
        return Err(refuse("each variant once"));
    }
    let whole = |w: f64| (0.0..=2_147_483_647.0).contains(&w) && w.fract() == 0.0;
    let weights: Option<Vec<Weight<'a>>> = pairs
        .into_iter()
        .map(|(name, weight)| Some((name, weight.number().filter(|w| whole(*w))? as u64)))
        .collect();
    weights.map(Some).ok_or_else(|| refuse(expected))
}

//! Tests of users assigned as other systems assign them.

use sluice::bucket::{PLATFORMS, Platform, systems};
use std::{collections::BTreeSet, fs};

use crate::support::{ecommerce, fails, ok, root, text};

/// The users who get the candidate in one layer at one ratio, under a profile.
fn listed(profile: &str, at: &str) -> BTreeSet<String> {
    let layers = ecommerce().join("layers.parquet");
    let list = ok(&[
        "who",
        "--plan",
        "scenarios/ecommerce.toml",
        "--layers",
        text(&layers),
        "--at",
        at,
        "--profile",
        profile,
        "--list",
    ]);
    list.lines()
        .skip(1)
        .filter(|line| line.contains(",early,"))
        .map(|line| line.split(',').next().unwrap().to_owned())
        .collect()
}

#[test]
fn users_are_those_of_the_system_and_ramps_are_nested() {
    // All users of the layer.
    let all = listed("sluice", "early=1");
    let scenario = fs::read_to_string(root().join("scenarios/ecommerce.toml")).unwrap();
    let id = scenario
        .lines()
        .find_map(|line| line.strip_prefix("id = "))
        .unwrap()
        .trim_matches('"')
        .to_owned();
    let salt = scenario
        .lines()
        .find_map(|line| line.strip_prefix("salt = "))
        .map_or(id, |salt| salt.trim_matches('"').to_owned());
    let ten = listed("growthbook/2", "early=0.1");
    let expected: BTreeSet<String> = all
        .iter()
        .filter(|user| systems::growthbook_v2(&salt, user) < 1_000)
        .cloned()
        .collect();
    assert!(
        ten == expected && ten.len() > 500,
        "{} {}",
        ten.len(),
        expected.len()
    );
    let unleash: BTreeSet<String> = all
        .iter()
        .filter(|user| systems::unleash(&salt, user, 100, false) <= 7)
        .cloned()
        .collect();
    assert_eq!(listed("unleash", "early=0.07"), unleash);
    for (platform, name, step) in PLATFORMS {
        if platform != Platform::Split {
            let ratio = |steps: u16| format!("early={}", f64::from(step.max(100) * steps) / 10_000.0);
            assert!(
                listed(name, &ratio(2)).is_subset(&listed(name, &ratio(5))),
                "{name}"
            );
        }
    }
}

#[test]
fn what_a_system_cannot_express_is_refused() {
    let layers = ecommerce().join("layers.parquet");
    let who = |more: &[&str]| {
        let mut args = vec![
            "who",
            "--plan",
            "scenarios/ecommerce.toml",
            "--layers",
            text(&layers),
        ];
        args.extend(more);
        fails(&args, 2)
    };
    let error = who(&["--at", "0.005", "--profile", "unleash"]);
    assert!(error.contains("steps of 1%") && error.contains("0.5%"), "{error}");
    let error = who(&["--at", "0.005", "--against", "unleash"]);
    assert!(error.contains("steps of 1%"), "{error}");
    let error = who(&["--at", "0.1", "--profile", "growthbok"]);
    assert!(error.contains("growthbook/2"), "{error}");
    // A plan with this profile is checked for every ratio of its ladders.
    let folder = tempfile::tempdir().unwrap();
    let scenario = fs::read_to_string(root().join("scenarios/ecommerce.toml")).unwrap();
    let changed = scenario
        .replacen("[plan]\n", "[plan]\nprofile = \"growthbook/1\"\n", 1)
        .replacen("initial_ratio = 0.01", "initial_ratio = 0.0005", 1);
    assert_ne!(scenario, changed);
    let path = folder.path().join("plan.toml");
    fs::write(&path, changed).unwrap();
    let error = fails(&["who", "--plan", text(&path), "--layers", text(&layers)], 2);
    assert!(error.contains("growthbook/1"), "{error}");
}

#[test]
fn two_assignments_are_counted_against_each_other() {
    let layers = ecommerce().join("layers.parquet");
    let count = |against: &str| -> u64 {
        let found = ok(&[
            "who",
            "--plan",
            "scenarios/ecommerce.toml",
            "--layers",
            text(&layers),
            "--at",
            "0.5",
            "--profile",
            "growthbook/2",
            "--against",
            against,
            "--json",
        ]);
        let rows: serde_json::Value = serde_json::from_str(&found).unwrap();
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row["n_disagree"].as_u64().unwrap())
            .sum()
    };
    // Ids and salts are ASCII, so UTF-8 and UTF-16 give the same buckets. Two unrelated hashes
    // agree on half of the users.
    assert_eq!(count("growthbook/2-utf8"), 0);
    assert!(count("unleash") > 50_000);
}

//! Tests of users in stores: consent that is withdrawn, entries that a store loses, and plans that
//! must not touch each other.

use std::{collections::BTreeSet, fmt::Write as _, fs};

use crate::{
    publish_support::{LAYERS, Small, id},
    servers::RedisServer,
    support::{fails, json, ok_json, sluice, text},
};

/// The entry of a user in force, as a reader finds it: the layer and the consent.
fn entry(server: &RedisServer, plan: &str, user: &str) -> String {
    let name = server.ask(&["GET", &format!("sluice:{{{plan}}}:current")]);
    let field = |field: &str| server.ask(&["HGET", &format!("sluice:{{{plan}}}:version:{name}"), field]);
    let number = |text: &str| text.parse::<u64>().unwrap();
    let (generation, since) = (number(&field("generation")), number(&field("since")));
    let value = server.ask(&["GET", &format!("sluice:{plan}:user:default:{user}")]);
    value
        .split('|')
        .filter_map(|entry| entry.split_once(':'))
        .find(|(own, _)| own.parse::<u64>().is_ok_and(|own| own <= generation))
        .filter(|(own, _)| number(own) >= since)
        .map_or_else(String::new, |(_, rest)| rest.to_owned())
}

#[test]
fn withdrawn_consent_reaches_every_store_while_layers_stay() {
    let small = Small::new("consent", "sluice");
    let frozen = small.layers("frozen", 0..700, 0);
    let study = small.study("study", &frozen, [0.5, 0.1, 0.0, 0.2], 0);
    let mut schedule = json(&study.join("schedule.json"));
    schedule["layers_digest"] = sluice::base::digest::blake3_of_file(&frozen).unwrap().into();
    fs::write(study.join("schedule.json"), schedule.to_string()).unwrap();
    let server = RedisServer::start(&[]);
    let (sluice_keys, harness_keys) = (server.url(), format!("{}?profile=harness-v1", server.url()));
    let releases = small.dir.path().join("releases");
    let publish = |more: &[&str]| {
        let mut args = vec![
            "publish",
            text(&study),
            "--json",
            "--to",
            &sluice_keys,
            "--to",
            &harness_keys,
            "--to",
            text(&releases),
        ];
        args.extend(more);
        ok_json(&args)
    };
    publish(&[]);

    // Tonight every user has another layer. User 0 withdraws, user 1 leaves, user 3 consents, user
    // 700 is new.
    let mut csv = String::from("user_id,segment,is_allow_gray\n");
    for n in (0..=700).filter(|n| *n != 1) {
        let consents = n == 3 || (n % 10 != 3 && n != 0);
        writeln!(csv, "{},{},{consents}", id(n), LAYERS[(n + 1) % 4]).unwrap();
    }
    let users = small.dir.path().join("tonight.csv");
    fs::write(&users, csv).unwrap();
    let tonight = small.dir.path().join("tonight.parquet");
    crate::support::ok(&[
        "layer",
        "--users",
        text(&users),
        "--config",
        text(&small.scenario),
        "--out",
        text(&tonight),
    ]);
    let report = publish(&["--layers", text(&tonight)]);
    for target in report["targets"].as_array().unwrap() {
        assert_eq!(target["outcome"], "applied", "{target:#}");
    }
    let layer = |n: usize| LAYERS[n % 4];
    let harness = |key: &str, n: usize| server.ask(&["GET", &format!("user:{key}:{}", id(n))]);
    for (n, consents) in [(0, 0), (1, 0), (2, 1), (3, 0), (4, 1), (13, 0)] {
        assert_eq!(
            entry(&server, "consent", &id(n)),
            format!("{}:{consents}", layer(n)),
            "user {n}"
        );
        assert_eq!(
            (harness("layer", n), harness("allow_gray", n)),
            (layer(n).to_owned(), consents.to_string())
        );
    }
    assert_eq!(
        entry(&server, "consent", &id(700)),
        "",
        "a user who is new has no frozen layer"
    );
    // The version in the folder holds the same table, and its list of files says so.
    let current = json(&releases.join("consent/current.json"));
    let version = releases.join("consent").join(current["folder"].as_str().unwrap());
    assert_eq!(
        current["publication"]["consent_digest"],
        sluice::base::digest::blake3_of_file(&tonight).unwrap()
    );
    let published = sluice::base::digest::sha256_of_file(&version.join("layers.parquet")).unwrap();
    assert_eq!(
        json(&version.join("objects.json"))["files"]["layers.parquet"]["digest"],
        published
    );
    // The same tables again change nothing; without the frozen table they are refused.
    for target in publish(&["--layers", text(&tonight)])["targets"]
        .as_array()
        .unwrap()
    {
        assert_eq!(target["outcome"], "unchanged", "{target:#}");
    }
    fs::remove_file(study.join("layers.parquet")).unwrap();
    let args = [
        "publish",
        text(&study),
        "--layers",
        text(&tonight),
        "--to",
        &sluice_keys,
    ];
    assert!(fails(&args, 3).contains("--frozen-layers"));
    let more = [&args[..], &["--frozen-layers", text(&frozen)]].concat();
    crate::support::ok(&more);
}

#[test]
fn users_that_a_server_loses_are_noticed_and_written_again() {
    let small = Small::new("lost", "sluice");
    let study = small.study(
        "study",
        &small.layers("users", 0..900, 0),
        [0.5, 0.1, 0.0, 0.2],
        0,
    );
    let server = RedisServer::start(&[]);
    for (profile, keys) in [
        ("sluice", "sluice:lost:user:default:"),
        ("harness-v1", "user:layer:"),
    ] {
        let url = format!("{}?profile={profile}", server.url());
        let publish = |more: &[&str]| {
            let mut args = vec!["publish", text(&study), "--json", "--to", &url];
            args.extend(more);
            ok_json(&args)["targets"][0].clone()
        };
        let all: BTreeSet<String> = (0..900).map(|n| format!("{keys}{}", id(n))).collect();
        let n_there = || {
            let mut args = vec!["EXISTS"];
            args.extend(all.iter().map(String::as_str));
            server.ask(&args)
        };
        assert_eq!(publish(&[])["outcome"], "applied");
        assert_eq!(publish(&[])["outcome"], "unchanged");
        // A third of the users is evicted: the sample finds it.
        for key in all.iter().step_by(3) {
            server.ask(&["DEL", key]);
        }
        assert_eq!(n_there(), "600");
        let report = publish(&[]);
        assert_eq!(report["outcome"], "applied", "{report:#}");
        assert!(
            report["warnings"].to_string().contains("missing or changed"),
            "{report:#}"
        );
        assert_eq!(
            (n_there().as_str(), &report["users"]["n_gone"]),
            ("900", &0.into()),
            "{report:#}"
        );
        // One user: --verify finds it.
        server.ask(&["DEL", &format!("{keys}{}", id(899))]);
        assert_eq!(publish(&["--verify"])["users"]["n_written"], 1);
        assert_eq!(n_there(), "900");
        assert_eq!(publish(&["--verify"])["outcome"], "unchanged");
    }
    // A server that evicts keys is named.
    server.ask(&["CONFIG", "SET", "maxmemory", "1gb"]);
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    let report = ok_json(&["publish", text(&study), "--json", "--to", &server.url()]);
    assert!(
        report["targets"][0]["warnings"]
            .to_string()
            .contains("allkeys-random")
    );
}

#[test]
fn a_write_that_is_dated_in_the_future_proves_nothing() {
    let small = Small::new("clock", "sluice");
    let study = small.study(
        "study",
        &small.layers("users", 0..100, 0),
        [0.5, 0.1, 0.0, 0.2],
        0,
    );
    let server = RedisServer::start(&[]);
    let url = server.url();
    let publish = || ok_json(&["publish", text(&study), "--json", "--to", &url])["targets"][0].clone();
    publish();
    assert_eq!(publish()["outcome"], "unchanged");
    let name = server.ask(&["GET", "sluice:{clock}:current"]);
    let year_2100 = "4102444800000000";
    server.ask(&[
        "HSET",
        &format!("sluice:{{clock}}:version:{name}"),
        "refreshed_at",
        year_2100,
    ]);
    let report = publish();
    assert_eq!(
        (&report["outcome"], &report["users"]["n_written"]),
        (&"applied".into(), &100.into())
    );
    assert_eq!(publish()["outcome"], "unchanged");
}

#[test]
fn patterns_in_the_id_of_a_plan_reach_no_other_plan() {
    let small = Small::new("cs-agent", "sluice");
    let study = small.study(
        "study",
        &small.layers("users", 0..300, 0),
        [0.5, 0.1, 0.0, 0.2],
        0,
    );
    let server = RedisServer::start(&[]);
    let url = server.url();
    let publish = |folder: &std::path::Path| {
        let output = sluice(&["publish", text(folder), "--to", &url]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    publish(&study);
    for plan in ["cs*", "cs?agent", "c[s]-agent"] {
        for n_users in [5, 4] {
            let other = small.study(
                "other",
                &small.layers("few", 0..n_users, 0),
                [0.5, 0.1, 0.0, 0.2],
                1,
            );
            let mut schedule = json(&other.join("schedule.json"));
            schedule["plan_id"] = plan.into();
            fs::write(other.join("schedule.json"), schedule.to_string()).unwrap();
            publish(&other);
        }
        for n in [0, 4, 5, 299] {
            let value = server.ask(&["GET", &format!("sluice:cs-agent:user:default:{}", id(n))]);
            assert_eq!(value.matches("::0").count(), 0, "{plan}: {value}");
        }
    }
}

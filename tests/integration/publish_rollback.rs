//! Tests of rollbacks: each target is closed as soon as it can be, whatever the other targets do or
//! hold.

use std::{fs, net::TcpListener, path::Path, process::Command, thread};

use crate::{
    postgres_server::{Folder, Server, publish},
    publish_support::Small,
    servers::{RedisServer, free_port},
    support::{ecommerce, fails, json, ok, sluice, text},
};

/// A server that accepts connections and never answers. It ends with the tests' process.
fn silent_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let connections: Vec<_> = listener.incoming().collect();
        drop(connections);
    });
    port
}

/// The outcomes of a publication by target, its exit code and its standard error.
fn run(study: &Path, to: &[&str], more: &[&str]) -> (Vec<String>, serde_json::Value, Option<i32>, String) {
    let mut args = vec!["publish", text(study), "--no-users", "--json"];
    to.iter().for_each(|to| args.extend(["--to", to]));
    args.extend(more);
    let output = sluice(&args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect(&stderr);
    let outcomes = report["targets"].as_array().unwrap().iter();
    let outcomes = outcomes.map(|target| target["outcome"].as_str().unwrap().to_owned());
    (outcomes.collect(), report.clone(), output.status.code(), stderr)
}

fn small(plan: &str) -> (Small, std::path::PathBuf) {
    let small = Small::new(plan, "sluice");
    let layers = small.layers("users", 0..200, 0);
    let study = small.study("study", &layers, [0.5, 0.1, 0.0, 0.2], 0);
    (small, study)
}

#[test]
fn a_rollback_closes_every_target_that_answers_and_names_the_others() {
    let (small, study) = small("closing");
    let (healthy, full) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let folder = small.dir.path().join("releases");
    let flags = small.dir.path().join("flags.json");
    let flags_to = format!("flagd:{}", text(&flags));
    let (healthy_to, full_to) = (healthy.url(), full.url());
    let answering = [healthy_to.as_str(), &full_to, text(&folder), &flags_to];
    assert_eq!(run(&study, &answering, &[]).0, vec!["applied"; 4]);

    // A pointer that was cut off, a server that takes nothing more, and two that never answer.
    let pointer = folder.join("closing/current.json");
    let whole = fs::read(&pointer).unwrap();
    fs::write(&pointer, &whole[..whole.len() / 2]).unwrap();
    full.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let port = silent_server();
    let silent_redis = format!("redis://:s3cret@127.0.0.1:{port}/0");
    let silent_postgres = format!("postgres://u:s3cret@127.0.0.1:{port}/db");
    let to = [&[silent_redis.as_str(), &silent_postgres][..], &answering].concat();
    let (outcomes, report, code, stderr) = run(&study, &to, &["--rollback", "--target-timeout", "8s"]);
    assert_eq!(code, Some(4), "{stderr}");
    assert_eq!(
        outcomes,
        ["failed", "failed", "applied", "applied", "applied", "applied"],
        "{report:#}"
    );
    let open: Vec<&str> = report["still_open"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a.as_str().unwrap())
        .collect();
    assert_eq!(open.len(), 2);
    assert!(open.iter().all(|address| address.contains(&port.to_string())) && !stderr.contains("s3cret"));
    // The silent targets come first on the command line, and are finished last.
    let line = |text: &str| {
        stderr
            .lines()
            .position(|line| line.starts_with(text))
            .expect(text)
    };
    let first_failure = line("error: ");
    for address in answering {
        let address = address.split('?').next().unwrap();
        assert!(line(&format!("applied: {address}")) < first_failure, "{stderr}");
    }
    assert!(stderr.contains("may still serve the candidate"));

    for server in [&healthy, &full] {
        let name = server.ask(&["GET", "sluice:{closing}:current"]);
        let fields = server.ask(&["HGETALL", &format!("sluice:{{closing}}:version:{name}")]);
        assert!(
            fields.contains("rolled_back") && !fields.contains("5000"),
            "{fields}"
        );
    }
    assert_eq!(json(&pointer)["publication"]["status"], "rolled_back");
    assert_eq!(
        json(&flags.with_extension("json.sluice.json"))["status"],
        "rolled_back"
    );
}

#[test]
fn a_pointer_that_is_broken_does_not_keep_a_candidate_open() {
    let (small, study) = small("pointers");
    let folder = small.dir.path().join("releases");
    let pointer = folder.join("pointers/current.json");
    for content in ["", "{", "[1]", "{\"schema\": \"sluice.current/9\"}", "\u{0}"] {
        run(&study, &[text(&folder)], &["--reopen"]);
        fs::write(&pointer, content).unwrap();
        let (outcomes, _, _, stderr) = run(&study, &[text(&folder)], &["--rollback"]);
        assert_eq!(outcomes, ["applied"], "{content:?}: {stderr}");
        let ratios = json(&pointer)["publication"]["ratios"].clone();
        assert!(ratios.as_array().unwrap().iter().all(|row| row["ratio"] == 0.0));
        // Ordinary publishing stops at what it does not know.
        fs::write(&pointer, content).unwrap();
        assert_eq!(run(&study, &[text(&folder)], &[]).0, ["failed"]);
        fs::remove_file(&pointer).unwrap();
    }
    // A pipe in place of the pointer is refused, not waited for.
    assert!(Command::new("mkfifo").arg(&pointer).status().unwrap().success());
    let (outcomes, _, _, stderr) = run(&study, &[text(&folder)], &[]);
    assert_eq!(outcomes, ["failed"]);
    assert!(stderr.contains("a named pipe"), "{stderr}");
}

#[test]
fn tables_of_other_types_fail_alone_and_are_closed_where_they_can_be() {
    let server = Server::start();
    let folder = Folder::new("types", 50, 0, 0.5);
    let redis = RedisServer::start(&[]);
    let (url, redis_url) = (server.url(), redis.url());
    let mut client = server.client();
    let cases = [
        "alter table assignment_load alter n_users type int",
        "alter table assignment_load alter n_users drop not null; update assignment_load set n_users = null",
        "alter table publication drop constraint publication_load_id_fkey; delete from assignment_load",
        "update publication set document = '[1]'",
        "alter table publication alter documents_digest type bytea using null",
        "alter table publication alter version drop not null; update publication set version = null",
        "drop table operation_log cascade",
        "alter table release_plan alter operator drop not null; update release_plan set operator = null",
        "alter table release_plan alter operator type int using 5",
        "drop table release_plan",
        "alter table ratio_schedule add column more int not null default 1, alter step type text using step::text",
    ];
    for tampering in cases {
        // The tables are made anew.
        client
            .batch_execute("drop schema if exists sluice cascade")
            .unwrap();
        let report = publish(folder.path(), &url, &["--no-users"]);
        assert_eq!(report["outcome"], "applied");
        client.batch_execute(tampering).unwrap();
        let (outcomes, report, _, stderr) = run(folder.dir.path(), &[&url, &redis_url], &["--rollback"]);
        assert_eq!(outcomes[1], "applied", "{tampering}: {stderr}");
        assert!(!stderr.contains("panicked"), "{tampering}: {stderr}");
        let n_open: i64 = client
            .query_one("select count(*) from ratio_schedule where ratio > 0", &[])
            .unwrap()
            .get(0);
        assert_eq!(n_open, 0, "{tampering}: {report:#}");
        let status: Option<String> = client
            .query_one("select document->>'status' from publication", &[])
            .unwrap()
            .get(0);
        assert_eq!(status.as_deref(), Some("rolled_back"), "{tampering}");
        // A dry run ends with a report, too.
        run(folder.dir.path(), &[&url], &["--dry-run"]);
    }
    // A schema in which another program has a table of the same name.
    for kind in ["bigint", "numeric", "text"] {
        client
            .batch_execute(&format!(
                "drop table if exists public.migration; create table public.migration (version {kind})"
            ))
            .unwrap();
        let other = format!("{url}?schema=public");
        let (outcomes, _, code, stderr) = run(folder.dir.path(), &[&other, &redis_url], &["--reopen"]);
        assert_eq!((outcomes[0].as_str(), code), ("failed", Some(4)), "{stderr}");
        assert!(stderr.contains("another program"), "{stderr}");
        assert_eq!(
            run(folder.dir.path(), &[&other, &redis_url], &["--rollback"]).0[1],
            "applied"
        );
    }
}

#[test]
fn a_file_that_cannot_be_written_does_not_lose_the_rollback() {
    let (small, study) = small("noted");
    let flags = small.dir.path().join("flags.json");
    let to = format!("flagd:{}", text(&flags));
    run(&study, &[&to], &[]);
    // The file is a folder now, so only its record can be written.
    fs::remove_file(&flags).unwrap();
    fs::create_dir(&flags).unwrap();
    assert_eq!(run(&study, &[&to], &["--rollback"]).0, ["failed"]);
    fs::remove_dir(&flags).unwrap();
    let (outcomes, _, _, stderr) = run(&study, &[&to], &[]);
    assert_eq!(outcomes, ["failed"]);
    assert!(stderr.contains("rolled back by hand"), "{stderr}");
    assert_eq!(run(&study, &[&to], &["--rollback"]).0, ["applied"]);
}

#[test]
fn the_gate_of_a_closed_layer_passes_no_check() {
    let study = ecommerce();
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate.json");
    let schedule = json(&study.join("schedule.json"));
    for layer in schedule["layers"].as_array().unwrap() {
        let to = format!(
            "gate:{}?layer={}&tenant={}",
            text(&gate),
            layer["layer"].as_str().unwrap(),
            layer["tenant"].as_str().unwrap()
        );
        run(study, &[&to], &["--reopen"]);
        let open = json(&gate);
        let is_open = layer["next_ratio"].as_f64().unwrap() > 0.0 && layer["verdict"] != "rollback";
        assert_eq!(open["qos"].is_number(), is_open, "{open}");
        run(study, &[&to], &["--rollback"]);
        let closed = json(&gate);
        assert_eq!(
            (&closed["qos"], &closed["n"]),
            (&serde_json::Value::Null, &0.into()),
            "{closed}"
        );
        assert_eq!(closed["verdict"], "rollback");
    }
    // A rollback needs no analysis.
    let copy = folder.path().join("study");
    fs::create_dir(&copy).unwrap();
    fs::copy(study.join("schedule.json"), copy.join("schedule.json")).unwrap();
    fs::write(copy.join("analysis.json"), "{").unwrap();
    let layer = &schedule["layers"][0];
    let to = format!(
        "gate:{}?layer={}&tenant={}",
        text(&gate),
        layer["layer"].as_str().unwrap(),
        layer["tenant"].as_str().unwrap()
    );
    fs::remove_file(&gate).unwrap();
    fs::remove_file(folder.path().join("gate.json.sluice.json")).unwrap();
    assert_eq!(run(&copy, &[&to], &["--rollback"]).0, ["applied"]);
}

#[test]
fn names_in_a_manifest_stay_inside_of_the_folder() {
    let small = Small::new("manifest", "sluice");
    let layers = small.layers("users", 0..50, 0);
    let study = small.study("study", &layers, [0.5, 0.1, 0.0, 0.2], 0);
    let target = small.dir.path().join("target/releases");
    fs::write(small.dir.path().join("secret"), "secret").unwrap();
    let digest = sluice::base::digest::sha256_of_file(&small.dir.path().join("secret")).unwrap();
    for name in [
        "../secret",
        "tables/../../secret",
        text(&small.dir.path().join("secret")),
        "a//b",
        "./schedule.json",
    ] {
        let manifest = serde_json::json!({
            "schema": "sluice.manifest/1", "version": "0", "name": "x", "scenario_digest": "", "seed": 1,
            "files": {name: {"digest": digest, "n_bytes": 6}}
        });
        fs::write(study.join("manifest.json"), manifest.to_string()).unwrap();
        let message = fails(&["publish", text(&study), "--no-users", "--to", text(&target)], 3);
        assert!(message.contains("inside of the folder"), "{message}");
    }
    fs::remove_file(study.join("manifest.json")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", study.join("report.md")).unwrap();
    let message = fails(&["publish", text(&study), "--no-users", "--to", text(&target)], 3);
    assert!(message.contains("a link to a file outside"), "{message}");
    assert!(!target.exists());
    fs::remove_file(study.join("report.md")).unwrap();
    ok(&["publish", text(&study), "--no-users", "--to", text(&target)]);
}

#[test]
fn what_targets_hold_is_read_back() {
    let (small, study) = small("held");
    let (redis, postgres) = (RedisServer::start(&[]), Server::start());
    let (redis_url, postgres_url) = (redis.url(), postgres.url());
    let harness_url = format!("redis://127.0.0.1:{}/1?profile=harness-v1", redis.port);
    let folder = small.dir.path().join("releases");
    let flags = format!("flagd:{}", text(&small.dir.path().join("flags.json")));
    let to = [
        redis_url.as_str(),
        &harness_url,
        &postgres_url,
        text(&folder),
        &flags,
    ];
    let status = |more: &[&str]| {
        let mut args = vec!["publish", text(&study), "--status", "--json"];
        to.iter().chain(more).for_each(|to| args.extend(["--to", to]));
        let output = sluice(&args);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (report["targets"].clone(), output.status.code())
    };
    let (targets, code) = status(&[]);
    let is_empty = |target: &serde_json::Value| target["held"].is_null() && target["error"].is_null();
    assert!(
        code == Some(0) && targets.as_array().unwrap().iter().all(is_empty),
        "{targets:#}"
    );

    let (_, report, ..) = run(&study, &to, &[]);
    for target in report["targets"].as_array().unwrap() {
        assert!(
            target["applied_at"].as_i64() > Some(1_700_000_000_000_000),
            "{target}"
        );
    }
    let (_, again, ..) = run(&study, &to, &[]);
    assert!(
        again["targets"]
            .as_array()
            .unwrap()
            .iter()
            .all(|target| target["applied_at"].is_null())
    );
    // One target is rolled back by hand, and one does not answer.
    assert_eq!(run(&study, &[&postgres_url], &["--rollback"]).0, ["applied"]);
    let dead = format!("redis://:s3cret@127.0.0.1:{}/0", free_port());
    let (targets, code) = status(&[&dead]);
    assert_eq!(code, Some(4));
    for (idx, target) in targets.as_array().unwrap().iter().enumerate() {
        let held = &target["held"];
        assert_eq!(target["error"].is_string(), idx == 5, "{target}");
        assert_eq!(held.is_null(), idx == 5, "{target}");
        assert_eq!(held["rolled_back_at"].is_i64(), idx == 2, "{target}");
        if idx < 5 && idx != 2 {
            assert_eq!(held["version"], report["version"], "{target}");
        }
    }
    let mut args = vec!["publish", text(&study), "--status"];
    to.iter().for_each(|to| args.extend(["--to", to]));
    let table = ok(&args);
    for expected in [
        "early 50%",
        "rolled_back, rolled back by hand at",
        "2026-05-28",
        "plan held",
    ] {
        assert!(table.contains(expected), "{table}");
    }
    // Another plan's publication in a file is not this plan's.
    let schedule = fs::read_to_string(study.join("schedule.json")).unwrap();
    fs::write(
        study.join("schedule.json"),
        schedule.replace("\"held\"", "\"other\""),
    )
    .unwrap();
    assert!(status(&[]).0.as_array().unwrap().iter().all(is_empty));
}

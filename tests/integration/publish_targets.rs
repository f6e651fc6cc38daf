//! Tests of several targets: all are planned first, then applied. A target that fails does not stop
//! the others.

use std::fs;

use crate::{
    publish_support::Small,
    servers::{RedisServer, free_port},
    support::{fails, json, ok, sluice, text},
};

fn outcomes(report: &serde_json::Value) -> Vec<&str> {
    report["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["outcome"].as_str().unwrap())
        .collect()
}

#[test]
fn publish_targets_fail_alone_and_the_next_run_finishes() {
    let small = Small::new("several", "flagd/3");
    let study = small.study(
        "study",
        &small.layers("users", 0..500, 0),
        [0.5, 0.1, 0.0, 0.2],
        0,
    );
    let server = RedisServer::start(&[]);
    let file = |name: &str| small.dir.path().join(name);
    let dead = format!("redis://:s3cret@127.0.0.1:{}/0", free_port());
    let (flags, grafana) = (
        format!("flagd:{}", text(&file("flags.json"))),
        format!("grafana:{}", text(&file("board.json"))),
    );
    let run = |more: &[&str]| {
        let url = server.url();
        let mut args = vec![
            "publish",
            text(&study),
            "--json",
            "--to",
            &url,
            "--to",
            &dead,
            "--to",
            &flags,
            "--to",
            &grafana,
        ];
        args.extend(more);
        let output = sluice(&args);
        let (stdout, stderr) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        assert!(
            !stdout.contains("s3cret") && !stderr.contains("s3cret"),
            "{stdout}{stderr}"
        );
        (
            output.status.code(),
            serde_json::from_str::<serde_json::Value>(&stdout).unwrap(),
            stderr,
        )
    };
    let (code, report, _) = run(&["--dry-run"]);
    assert_eq!(
        (code, outcomes(&report)),
        (Some(4), vec!["planned", "failed", "planned", "planned"])
    );
    assert!(!file("flags.json").exists() && server.ask(&["DBSIZE"]) == "0");

    let (code, report, stderr) = run(&[]);
    assert_eq!(
        (code, outcomes(&report)),
        (Some(4), vec!["applied", "failed", "applied", "applied"]),
        "{stderr}"
    );
    assert!(stderr.contains("expected a Redis server"), "{stderr}");
    let (code, report, _) = run(&[]);
    assert_eq!(
        (code, outcomes(&report)),
        (Some(4), vec!["unchanged", "failed", "unchanged", "unchanged"])
    );

    let (code, report, _) = run(&["--rollback"]);
    assert_eq!(
        (code, outcomes(&report)),
        (Some(4), vec!["applied", "failed", "applied", "applied"])
    );
    assert_eq!(json(&file("flags.json.sluice.json"))["status"], "rolled_back");
    let (_, report, stderr) = run(&[]);
    assert_eq!(
        outcomes(&report),
        vec!["failed"; 4],
        "nobody opens it again: {stderr}"
    );
    // A publication that stopped between two targets is finished by the next run.
    fs::remove_file(file("board.json")).unwrap();
    let (_, report, _) = run(&["--reopen"]);
    assert_eq!(outcomes(&report), ["applied", "failed", "applied", "applied"]);
}

#[test]
fn publish_targets_are_checked_before_anything_is_reached() {
    let small = Small::new("checked", "sluice");
    let layers = small.layers("users", 0..50, 0);
    let study = small.study("study", &layers, [0.5, 0.1, 0.0, 0.2], 0);
    let publish = |to: &[&str], code: i32| {
        let mut args = vec!["publish", text(&study)];
        to.iter().for_each(|to| args.extend(["--to", to]));
        fails(&args, code)
    };
    assert!(publish(&["rediss:x"], 2).contains("rediss://"));
    assert!(publish(&["reddis://h"], 2).contains("did you mean `redis:`?"));
    assert!(publish(&["redis://h/0", "redis://h/0?ttl=1h"], 2).contains("once"));
    assert!(publish(&["redis://h/0?tll=1h"], 2).contains("`tll`"));
    assert!(publish(&["redis://h/0?ttl=1x"], 4).contains("1x") || cfg!(not(feature = "stores")));
    // The schedule rests on another layer table.
    let mut schedule = json(&study.join("schedule.json"));
    schedule["layers_digest"] = "blake3:00".into();
    fs::write(study.join("schedule.json"), schedule.to_string()).unwrap();
    assert!(publish(&["redis://h/0"], 3).contains("layer table that the schedule rests on"));
    // A truncated table, or one with layers of another plan, is found before any target is reached.
    schedule.as_object_mut().unwrap().remove("layers_digest");
    fs::write(study.join("schedule.json"), schedule.to_string()).unwrap();
    let bytes = fs::read(&layers).unwrap();
    fs::write(study.join("layers.parquet"), &bytes[..bytes.len() / 2]).unwrap();
    assert!(publish(&["redis://h/0"], 3).contains("complete Parquet file"));
    fs::write(study.join("layers.parquet"), b"").unwrap();
    publish(&["redis://h/0"], 3);
    fs::copy(&layers, study.join("layers.parquet")).unwrap();
    fs::write(
        study.join("schedule.json"),
        schedule.to_string().replace("\"vip\"", "\"other\""),
    )
    .unwrap();
    assert!(publish(&["redis://h/0"], 3).contains("found \"vip\""));
    let nothing = small.dir.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    assert!(fails(&["publish", text(&nothing), "--to", "redis://h/0"], 3).contains("schedule.json"));
    ok(&["publish", "--help"]);
}

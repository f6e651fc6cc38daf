//! Tests of a plan's end: the plan that replaces it retires it in the same switch, or somebody by
//! hand. Then nothing opens it again by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::postgres_server::Server;
use crate::publish_support::Small;
use crate::servers::RedisServer;
use crate::support::{json, sluice, text};

/// A study of a plan with these ratios. It replaces the other plan, if one is named.
fn study(small: &Small, name: &str, ratios: [f64; 4], supersedes: Option<&str>) -> PathBuf {
    let layers = small.dir.path().join("users.parquet");
    let layers = if layers.exists() {
        layers
    } else {
        small.layers("users", 0..100, 0)
    };
    let dir = small.study(name, &layers, ratios, 0);
    let path = dir.join("schedule.json");
    let mut schedule = json(&path);
    if let Some(old) = supersedes {
        schedule["supersedes"] = old.into();
    }
    for layer in schedule["layers"].as_array_mut().unwrap() {
        layer["verdict"] = "hold".into();
    }
    fs::write(path, schedule.to_string()).unwrap();
    dir
}

/// Runs `sluice publish`. Returns the outcomes by target, the report and stderr.
fn run(args: &[&str], to: &[&str]) -> (Vec<String>, Value, String) {
    let mut all = vec!["publish", "--json"];
    all.extend(args);
    to.iter().for_each(|to| all.extend(["--to", to]));
    let output = sluice(&all);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).expect(&stderr);
    let outcomes = report["targets"].as_array().unwrap().iter();
    let outcomes = outcomes.map(|target| target["outcome"].as_str().unwrap().to_owned());
    (outcomes.collect(), report.clone(), stderr)
}

/// What targets hold of the plan of a study: status, and whether any ratio is above 0.
fn held(dir: &Path, to: &[&str]) -> Vec<Option<(String, bool)>> {
    let (_, report) = {
        let mut all = vec!["publish", text(dir), "--status", "--json"];
        to.iter().for_each(|to| all.extend(["--to", to]));
        let output = sluice(&all);
        (
            output.status,
            serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        )
    };
    let of = |target: &Value| {
        let held = target["held"].as_object()?;
        let ratios = held["ratios"].as_array().unwrap().iter();
        let is_open = ratios
            .map(|row| row["ratio"].as_f64().unwrap())
            .any(|ratio| ratio > 0.0);
        Some((held["status"].as_str().unwrap().to_owned(), is_open))
    };
    report["targets"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn a_plan_is_retired_by_the_one_that_replaces_it_or_by_hand() {
    let (old, new) = (Small::new("old", "sluice"), Small::new("new", "sluice"));
    let old_dir = study(&old, "study", [0.5, 0.1, 0.0, 0.2], None);
    let new_dir = study(&new, "study", [0.1, 0.1, 0.1, 0.1], Some("old"));
    let (redis, postgres) = (RedisServer::start(&[]), Server::start());
    let (redis_url, postgres_url) = (redis.url(), postgres.url());
    let harness_url = format!("redis://127.0.0.1:{}/1?profile=harness-v1", redis.port);
    let folder = old.dir.path().join("releases");
    let to = [redis_url.as_str(), &harness_url, &postgres_url, text(&folder)];
    assert_eq!(run(&[text(&old_dir)], &to).0, ["applied"; 4]);
    let open = Some(("running".to_owned(), true));
    let retired = Some(("retired".to_owned(), false));
    assert_eq!(held(&old_dir, &to), vec![open.clone(); 4]);

    // A rollback of the new plan, and a dry run, retire nothing.
    let (outcomes, report, _) = run(&[text(&new_dir), "--dry-run"], &to);
    assert_eq!(outcomes, ["planned"; 4]);
    for target in report["targets"].as_array().unwrap() {
        let changes = target["changes"].as_array().unwrap();
        assert!(
            changes
                .iter()
                .any(|change| change["what"] == "plan old" && change["after"] == "retired")
        );
    }
    assert_eq!(held(&old_dir, &to), vec![open.clone(); 4]);

    assert_eq!(run(&[text(&new_dir)], &to).0, ["applied"; 4]);
    assert_eq!(held(&old_dir, &to), vec![retired.clone(); 4]);
    assert_eq!(held(&new_dir, &to), vec![open.clone(); 4]);
    assert_eq!(run(&[text(&new_dir)], &to).0, ["unchanged"; 4]);
    // Old readers get the baseline, by the keys and rows that they know.
    let name = redis.ask(&["GET", "sluice:{old}:current"]);
    let fields = redis.ask(&["HGETALL", &format!("sluice:{{old}}:version:{name}")]);
    assert!(fields.contains("retired") && !fields.contains("5000"), "{fields}");
    // Both plans ramp `rel-2` in the same layers, so the keys of `harness-v1` have the new ratios.
    let ratio = redis.ask(&["-n", "1", "GET", "release:plan:rel-2:layer:early:ratio"]);
    assert_eq!(ratio, "0.1");
    let mut client = postgres.client();
    let sum = |client: &mut postgres::Client, plan: &str| -> f64 {
        let sql = "select sum(ratio)::float8 from ratio_schedule where plan_id = $1";
        client.query_one(sql, &[&plan]).unwrap().get(0)
    };
    assert_eq!(sum(&mut client, "old"), 0.0);
    assert!(sum(&mut client, "new") > 0.0);
    let n_logged: i64 = client
        .query_one(
            "select count(*) from operation_log where operation_type = 'retire' and plan_id = 'old'",
            &[],
        )
        .unwrap()
        .get(0);
    assert_eq!(n_logged, 3);

    // The nightly job of the old plan does not open it again; somebody can.
    let (outcomes, _, stderr) = run(&[text(&old_dir)], &to);
    assert_eq!(outcomes, ["failed"; 4]);
    assert!(
        stderr.contains("which was retired at") && stderr.contains("--reopen"),
        "{stderr}"
    );
    assert_eq!(run(&[text(&old_dir), "--rollback"], &to).0, ["applied"; 4]);
    assert_eq!(
        held(&old_dir, &to),
        vec![retired.clone(); 4],
        "a rollback is no reopening"
    );
    assert_eq!(run(&[text(&old_dir), "--reopen"], &to).0, ["applied"; 4]);
    assert_eq!(held(&old_dir, &to), vec![open.clone(); 4]);

    // By hand, without a folder.
    assert_eq!(run(&["--retire", "old", "--dry-run"], &to).0, ["planned"; 4]);
    assert_eq!(run(&["--retire", "old"], &to).0, ["applied"; 4]);
    assert_eq!(run(&["--retire", "old"], &to).0, ["unchanged"; 4]);
    assert_eq!(held(&old_dir, &to), vec![retired; 4]);
    assert_eq!(held(&new_dir, &to), vec![open; 4]);
    let (outcomes, report, _) = run(&["--retire", "another"], &to);
    assert_eq!(outcomes, ["unchanged"; 4]);
    assert!(
        report["targets"][0]["warnings"][0]
            .as_str()
            .unwrap()
            .contains("nothing of plan another")
    );
}

#[test]
fn a_file_holds_the_plan_that_replaces_the_other_one() {
    let (old, new) = (Small::new("old", "flagd/2"), Small::new("new", "flagd/2"));
    let old_dir = study(&old, "study", [0.5, 0.1, 0.0, 0.2], None);
    let new_dir = study(&new, "study", [0.1, 0.1, 0.1, 0.1], Some("old"));
    let path = old.dir.path().join("flags.json");
    let to = format!("flagd:{}", text(&path));
    assert_eq!(run(&[text(&old_dir)], &[&to]).0, ["applied"]);
    assert_eq!(run(&[text(&new_dir)], &[&to]).0, ["applied"]);
    let flags = json(&path)["flags"].clone();
    assert!(
        flags.get("old").is_none() && flags.get("new").is_some(),
        "{flags}"
    );
    assert_eq!(run(&[text(&new_dir)], &[&to]).0, ["unchanged"]);
    // A file of the old plan by itself is retired by hand.
    assert_eq!(run(&[text(&old_dir)], &[&to]).0, ["applied"]);
    assert_eq!(run(&["--retire", "old"], &[&to]).0, ["applied"]);
    assert_eq!(run(&["--retire", "old"], &[&to]).0, ["unchanged"]);
    assert_eq!(held(&old_dir, &[&to]), [Some(("retired".to_owned(), false))]);
}

#[test]
fn no_reader_sees_both_plans_serve() {
    let (old, new) = (Small::new("old", "sluice"), Small::new("new", "sluice"));
    let old_dir = study(&old, "study", [0.5, 0.1, 0.0, 0.2], None);
    let new_dir = study(&new, "study", [0.1, 0.1, 0.1, 0.1], Some("old"));
    let (redis, postgres) = (RedisServer::start(&[]), Server::start());
    let to = [redis.url(), postgres.url()];
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    run(&[text(&new_dir)], &to);
    let stop = Arc::new(AtomicBool::new(false));
    let both = "local n = 0 for _, plan in ipairs({'old', 'new'}) do local name = redis.call('GET', 'sluice:{' .. plan .. '}:current') \
                if name then local early = redis.call('HGET', 'sluice:{' .. plan .. '}:version:' .. name, 'ratio:default:early') \
                if early ~= '0' then n = n + 1 end end end return n";
    let (mut client, stopped, port) = (postgres.client(), Arc::clone(&stop), redis.port);
    let reader = thread::spawn(move || {
        let (mut seen, mut open_plans) = (0, [0_i64; 2]);
        while !stopped.load(Ordering::SeqCst) {
            let output = std::process::Command::new("redis-cli")
                .args(["-p", &port.to_string(), "EVAL", both, "0"])
                .output()
                .unwrap();
            let n: i64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
            open_plans[0] = open_plans[0].max(n);
            let sql = "select count(distinct plan_id) from ratio_schedule where ratio > 0";
            open_plans[1] = open_plans[1].max(client.query_one(sql, &[]).unwrap().get(0));
            seen += 1;
        }
        (seen, open_plans)
    });
    for _ in 0..5 {
        assert_eq!(run(&["--retire", "new"], &to).0, ["applied"; 2]);
        assert_eq!(run(&[text(&old_dir), "--reopen"], &to).0, ["applied"; 2]);
        assert_eq!(run(&[text(&new_dir), "--reopen"], &to).0, ["applied"; 2]);
    }
    stop.store(true, Ordering::SeqCst);
    let (seen, open_plans) = reader.join().unwrap();
    assert!(seen > 10, "{seen}");
    assert_eq!(open_plans, [1, 1]);
}

//! Tests of publishing to Redis with real servers that are killed and disconnected. An independent
//! consumer must route as `sluice who` says, and a reader checks versions during publication.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use crate::{
    publish_support::{LAYERS, Small, id},
    servers::{RedisServer, free_port, wait_for_port},
    support::{fails, ok_json, root, sluice, text},
};

const N: usize = 4_000;

/// Publishes a study to an address and returns the report.
fn publish(study: &Path, to: &str, more: &[&str]) -> serde_json::Value {
    let mut args = vec!["publish", text(study), "--to", to, "--json"];
    args.extend(more);
    ok_json(&args)
}

fn outcome(report: &serde_json::Value) -> &str {
    report["targets"][0]["outcome"].as_str().unwrap()
}

/// The users who get the candidate from an independent consumer.
fn routed(server: &RedisServer, profile: &str, small: &Small, n: usize) -> BTreeSet<String> {
    let mut child = Command::new("python3")
        .arg(root().join("tests/clients/middleware.py"))
        .args([
            &server.port.to_string(),
            profile,
            &small.plan,
            &format!("{}-salt", small.plan),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("hint: scripts/test installs python3");
    let mut input = child.stdin.take().unwrap();
    let ids: String = (0..n).map(|n| format!("{}\n", id(n))).collect();
    let writer = thread::spawn(move || input.write_all(ids.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn publish_redis_routes_exactly_the_users_that_who_lists() {
    let small = Small::new("routes", "sluice");
    let layers = small.layers("monday", 0..N, 0);
    let first = small.study("first", &layers, [0.5, 0.1, 0.0, 0.0001], 0);
    let second = small.study("second", &layers, [1.0, 0.0, 0.25, 0.0], 1);
    // On Tuesday every layer and every ratio changes, a hundred users are new, and a hundred are
    // gone.
    let tuesday = small.study(
        "tuesday",
        &small.layers("tuesday", 100..N + 100, 1),
        [0.5, 0.3, 0.1, 0.2],
        24,
    );
    for profile in ["sluice", "harness-v1"] {
        let server = RedisServer::start(&[]);
        let to = format!("{}?profile={profile}", server.url());
        let dry = publish(&first, &to, &["--dry-run"]);
        assert_eq!(outcome(&dry), "planned");
        assert_eq!(dry["targets"][0]["users"]["n_written"], N);
        assert_eq!(server.ask(&["DBSIZE"]), "0", "a dry run writes nothing");

        assert_eq!(outcome(&publish(&first, &to, &[])), "applied");
        let expected = small.who(&first);
        assert!(expected.len() > 400);
        assert_eq!(routed(&server, profile, &small, N), expected, "{profile}");
        assert_eq!(outcome(&publish(&first, &to, &[])), "unchanged");

        let report = publish(&second, &to, &[]);
        assert_eq!(
            (outcome(&report), &report["targets"][0]["users"]),
            ("applied", &serde_json::Value::Null)
        );
        assert_eq!(
            routed(&server, profile, &small, N),
            small.who(&second),
            "{profile}"
        );

        let dry = publish(&tuesday, &to, &["--dry-run"]);
        let report = publish(&tuesday, &to, &[]);
        assert_eq!(
            report["targets"][0]["users"]["n_written"],
            dry["targets"][0]["users"]["n_written"]
        );
        let expected = small.who(&tuesday);
        let mut found = routed(&server, profile, &small, N + 100);
        if profile == "sluice" {
            assert_eq!(report["targets"][0]["users"]["n_gone"], 100);
        } else {
            // Under the reference policy's keys, users who are gone keep their keys until these
            // expire.
            let gone: BTreeSet<String> = (0..100).map(id).collect();
            found.retain(|user| !gone.contains(user));
        }
        assert_eq!(found, expected, "{profile}");
        assert!(
            server
                .ask(&[
                    "TTL",
                    if profile == "sluice" {
                        "sluice:routes:user:default:u000700"
                    } else {
                        "user:layer:u000700"
                    }
                ])
                .parse::<i64>()
                .unwrap()
                > 0
        );

        let report = publish(&tuesday, &to, &["--rollback"]);
        assert_eq!(outcome(&report), "applied");
        assert!(routed(&server, profile, &small, N).is_empty());
        // The next nightly run does not open the candidate again.
        let output = sluice(&["publish", text(&tuesday), "--to", &to]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4));
        assert!(
            stderr.contains("rolled back by hand") && stderr.contains("--reopen"),
            "{stderr}"
        );
        publish(&tuesday, &to, &["--reopen"]);
        assert!(!routed(&server, profile, &small, N).is_empty());
    }
}

#[test]
fn publish_redis_writes_only_users_who_changed() {
    let small = Small::new("changed", "sluice");
    let server = RedisServer::start(&[]);
    let monday = small.study("monday", &small.layers("monday", 0..N, 0), [0.5; 4], 0);
    publish(&monday, &server.url(), &[]);
    // Only new users are written.
    let tuesday = small.study("tuesday", &small.layers("tuesday", 0..N + 7, 0), [0.5; 4], 1);
    let report = publish(&tuesday, &server.url(), &[]);
    assert_eq!(
        report["targets"][0]["users"],
        serde_json::json!({"n_users": N + 7, "n_written": 7, "n_gone": 0})
    );
    // Users who are gone are counted, and no other user is written.
    let wednesday = small.study("wednesday", &small.layers("wednesday", 5..N + 7, 0), [0.5; 4], 2);
    let report = publish(&wednesday, &server.url(), &[]);
    assert_eq!(
        report["targets"][0]["users"],
        serde_json::json!({"n_users": N + 2, "n_written": 0, "n_gone": 5})
    );
    assert_eq!(routed(&server, "sluice", &small, N + 7), small.who(&wednesday));
    // A key that was lost is written again with `--all-users`.
    server.ask(&["DEL", "sluice:changed:user:default:u000700"]);
    let report = publish(
        &wednesday,
        &server.url(),
        &["--all-users", "--max-qps", "1000000"],
    );
    assert_eq!(report["targets"][0]["users"]["n_written"], N + 2);
    assert_eq!(routed(&server, "sluice", &small, N + 7), small.who(&wednesday));
}

/// For each user, whether a version gives the candidate.
type Routing = BTreeMap<String, bool>;

/// Reads a plan repeatedly through pointer, version and users. Each result must equal one of the
/// known routings.
fn watch(
    port: u16,
    plan: &str,
    users: &[String],
    known: &[Routing],
    stop: &AtomicBool,
    n_looks: &AtomicU64,
) -> [u64; 2] {
    let mut n_of = [0; 2];
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/0")).unwrap();
        if connection.is_none() {
            connection = client.get_connection().ok();
        }
        let Some(link) = &mut connection else {
            sleep(Duration::from_millis(5));
            continue;
        };
        match look(link, plan, users) {
            Ok(Some(found)) => {
                let version = known.iter().position(|routing| *routing == found);
                let Some(version) = version else {
                    panic!("a mix of two versions: {found:?}\n{known:?}")
                };
                n_of[version] += 1;
                n_looks.fetch_add(1, Ordering::Relaxed);
            }
            Ok(None) => {}
            // The server does not answer.
            Err(_) => connection = None,
        }
    }
    n_of
}

/// Whether the fields of a version and the key of a user give the candidate.
fn gets_candidate(fields: &BTreeMap<String, String>, user: &str, value: &str) -> bool {
    let number = |name: &str| fields[name].parse::<u64>().unwrap();
    let entries = value.split('|').filter_map(|entry| entry.split_once(':'));
    let newest = entries
        .map(|(own, rest)| (own.parse::<u64>().unwrap(), rest))
        .find(|(own, _)| *own <= number("generation"));
    let place = newest
        .filter(|(own, _)| *own >= number("since"))
        .and_then(|(_, rest)| rest.rsplit_once(':'));
    let profile = sluice::bucket::Profile::Sluice {
        salt: fields["salt"].clone(),
    };
    place.is_some_and(|(layer, eligible)| {
        eligible == "1"
            && LAYERS.contains(&layer)
            && u64::from(profile.bucket(user)) < number(&format!("ratio:default:{layer}"))
    })
}

fn look(link: &mut redis::Connection, plan: &str, users: &[String]) -> redis::RedisResult<Option<Routing>> {
    let pointer = format!("sluice:{{{plan}}}:current");
    let Some(version) = redis::cmd("GET").arg(&pointer).query::<Option<String>>(link)? else {
        return Ok(None);
    };
    let fields: BTreeMap<String, String> = redis::cmd("HGETALL")
        .arg(format!("sluice:{{{plan}}}:version:{version}"))
        .query(link)?;
    let mut routing = Routing::new();
    for user in users {
        let value: Option<String> = redis::cmd("GET")
            .arg(format!("sluice:{plan}:user:default:{user}"))
            .query(link)?;
        routing.insert(
            user.clone(),
            gets_candidate(&fields, user, &value.unwrap_or_default()),
        );
    }
    // When the pointer changed in the meantime, the reads can belong to two versions.
    let after: Option<String> = redis::cmd("GET").arg(&pointer).query(link)?;
    Ok((after.as_ref() == Some(&version)).then_some(routing))
}

fn spawn(study: &Path, to: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["publish", text(study), "--to", to])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Two nights in which the layer of every user and every ratio differ.
fn two_nights(plan: &str, n: usize) -> (Small, [std::path::PathBuf; 2]) {
    let small = Small::new(plan, "sluice");
    let a = small.study("a", &small.layers("a", 0..n, 0), [1.0, 0.0, 1.0, 0.0], 0);
    let b = small.study("b", &small.layers("b", 0..n, 2), [0.0, 1.0, 0.0, 0.5], 1);
    (small, [a, b])
}

fn routings(small: &Small, studies: &[std::path::PathBuf; 2], users: &[String]) -> Vec<Routing> {
    let of = |study: &std::path::PathBuf| {
        let listed = small.who(study);
        users
            .iter()
            .map(|user| (user.clone(), listed.contains(user)))
            .collect()
    };
    studies.iter().map(of).collect()
}

#[test]
fn publish_redis_killed_at_any_moment_is_never_half_there() {
    let (small, studies) = two_nights("killed", 20_000);
    // The server keeps its data on disk, so that it can be killed too.
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let to = server.url();
    let users: Vec<String> = (0..40).map(|n| id(n * 499)).collect();
    let known = routings(&small, &studies, &users);
    assert_ne!(known[0], known[1]);
    publish(&studies[0], &to, &[]);
    let start = Instant::now();
    publish(&studies[1], &to, &[]);
    let whole = start.elapsed();
    let (stop, n_looks) = (AtomicBool::new(false), AtomicU64::new(0));
    let port = server.port;
    const ROUNDS: u32 = 10;
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(port, "killed", &users, &known, &stop, &n_looks));
        let mut n_killed = 0;
        for round in 0..ROUNDS {
            let night = &studies[(round % 2) as usize];
            let mut child = spawn(night, &to);
            sleep(whole.mul_f64(f64::from(round + 1) / f64::from(ROUNDS)));
            if round % 3 == 2 {
                // The server is killed instead of the publisher.
                server.restart();
            } else {
                child.kill().unwrap();
            }
            n_killed += u64::from(!child.wait().unwrap().success());
            if watcher.is_finished() {
                break;
            }
            // The lock of a killed publisher expires after some seconds. The test removes it
            // instead of waiting.
            server.ask(&["DEL", "sluice:{killed}:lock"]);
            if round % 4 != 3 {
                publish(night, &to, &[]);
                assert_eq!(outcome(&publish(night, &to, &[])), "unchanged");
            }
        }
        let n_before = n_looks.load(Ordering::Relaxed);
        publish(&studies[0], &to, &[]);
        while n_looks.load(Ordering::Relaxed) < n_before + 10 && !watcher.is_finished() {
            sleep(Duration::from_millis(5));
        }
        assert_eq!(routed(&server, "sluice", &small, 20_000), small.who(&studies[0]));
        stop.store(true, Ordering::Relaxed);
        let seen = watcher.join().unwrap();
        assert!(n_killed >= 4, "only {n_killed} of {ROUNDS} were cut off");
        assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
    });
}

#[test]
fn publish_redis_is_alone_and_a_rollback_does_not_wait() {
    let (small, [a, b]) = two_nights("alone", 2_000);
    let server = RedisServer::start(&[]);
    publish(&a, &server.url(), &[]);
    // Another process holds the lock and renews it.
    let (stop, key) = (AtomicBool::new(false), "sluice:{alone}:lock");
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut link = redis::Client::open(server.url())
                    .unwrap()
                    .get_connection()
                    .unwrap();
                let held: Option<String> = redis::cmd("GET").arg(key).query(&mut link).unwrap();
                if held.as_deref().is_none_or(|held| held == "other") {
                    redis::cmd("SET").arg(key).arg("other").exec(&mut link).unwrap();
                }
                sleep(Duration::from_millis(10));
            }
        });
        sleep(Duration::from_millis(50));
        let stderr = String::from_utf8(sluice(&["publish", text(&b), "--to", &server.url()]).stderr).unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(stderr.contains("another publication under way"), "{stderr}");
    });
    server.ask(&["SET", key, "other"]);
    assert_eq!(outcome(&publish(&a, &server.url(), &["--rollback"])), "applied");
    assert!(routed(&server, "sluice", &small, 2_000).is_empty());
}

#[test]
fn publish_redis_never_shows_a_password() {
    let (_small, [a, _]) = two_nights("secret", 500);
    let server = RedisServer::start(&["--requirepass", "s3cret-w0rd"]);
    let publish_with = |to: &str, env: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command
            .args(["publish", text(&a), "--to", to])
            .env_remove("REDIS_PASSWORD");
        if let Some(password) = env {
            command.env("REDIS_PASSWORD", password);
        }
        let output = command.output().unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        for secret in ["s3cret", "wr0ng"] {
            assert!(!said.contains(secret), "{said}");
        }
        (output.status.code(), said)
    };
    let at = |credentials: &str| format!("redis://{credentials}127.0.0.1:{}/0", server.port);
    for to in [at(""), at(":wr0ng@"), at("user:wr0ng@")] {
        let (code, said) = publish_with(&to, None);
        assert_eq!(code, Some(4), "{said}");
    }
    assert_eq!(publish_with(&at(":s3cret-w0rd@"), None).0, Some(0));
    let (code, said) = publish_with(&at(""), Some("s3cret-w0rd"));
    assert!(code == Some(0) && said.contains("unchanged"), "{said}");
    for to in [
        "redis://:s3cret@[:1",
        "redis:user:s3cret@host",
        "redis://:s3cret@h:99999999/0",
        "redis://:s3cret@h/0?profile=x",
        "redis://:s3cret@127.0.0.1:1/x",
    ] {
        let (code, said) = publish_with(to, None);
        assert!(code == Some(2) || code == Some(4), "{to}: {said}");
    }
}

#[test]
fn publish_redis_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let openssl = |args: &[&str]| {
        let output = Command::new("openssl")
            .args(args)
            .current_dir(folder.path())
            .output()
            .expect("hint: scripts/test installs openssl");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        "-days",
        "2",
        "-subj",
        "/CN=test ca",
    ]);
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "own.key",
        "-out",
        "own.csr",
        "-subj",
        "/CN=localhost",
    ]);
    fs::write(at("names"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        "own.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-out",
        "own.crt",
        "-days",
        "2",
        "-extfile",
        "names",
    ]);
    let port = free_port();
    let (cert, key, ca) = (at("own.crt"), at("own.key"), at("ca.crt"));
    let tls = [
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        text(&cert),
        "--tls-key-file",
        text(&key),
        "--tls-ca-cert-file",
        text(&ca),
        "--tls-auth-clients",
        "no",
    ];
    let _server = RedisServer::start(&tls);
    wait_for_port(port, "redis-server");
    let (_small, [a, _]) = two_nights("tls", 500);
    let publish_trusting = |ca: &Path| {
        Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args([
                "publish",
                text(&a),
                "--to",
                &format!("rediss://localhost:{port}/0"),
            ])
            .env("SSL_CERT_FILE", ca)
            .output()
            .unwrap()
    };
    let output = publish_trusting(&ca);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // A server with a certificate from an unknown authority is refused.
    fs::copy(at("ca.crt"), at("other.crt")).unwrap();
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "other.key",
        "-out",
        "other.crt",
        "-days",
        "2",
        "-subj",
        "/CN=other ca",
    ]);
    let output = publish_trusting(&at("other.crt"));
    assert_eq!(
        output.status.code(),
        Some(4),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn publish_redis_to_a_cluster() {
    let nodes: Vec<RedisServer> = (0..3)
        .map(|_| RedisServer::start(&["--cluster-enabled", "yes"]))
        .collect();
    let addresses: Vec<String> = nodes
        .iter()
        .map(|node| format!("127.0.0.1:{}", node.port))
        .collect();
    let output = Command::new("redis-cli")
        .args([
            "--cluster",
            "create",
            &addresses[0],
            &addresses[1],
            &addresses[2],
            "--cluster-yes",
        ])
        .output()
        .expect("hint: scripts/test installs redis-tools");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let start = Instant::now();
    while nodes
        .iter()
        .any(|node| !node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    {
        assert!(start.elapsed() < Duration::from_secs(30));
        sleep(Duration::from_millis(50));
    }
    let small = Small::new("cluster", "sluice");
    let monday = small.study(
        "monday",
        &small.layers("monday", 0..2_000, 0),
        [0.5, 0.1, 0.2, 1.0],
        0,
    );
    let tuesday = small.study(
        "tuesday",
        &small.layers("tuesday", 100..2_000, 1),
        [0.1, 0.5, 1.0, 0.0],
        1,
    );
    let to = format!("redis://{}?cluster=true", addresses[1]);
    for study in [&monday, &tuesday] {
        assert_eq!(outcome(&publish(study, &to, &[])), "applied");
        assert_eq!(outcome(&publish(study, &to, &[])), "unchanged");
        // A cluster client reads the keys, because they are distributed over all servers.
        let mut link = redis::cluster::ClusterClient::new(vec![format!("redis://{}", addresses[0])])
            .unwrap()
            .get_connection()
            .unwrap();
        let version: String = redis::cmd("GET")
            .arg("sluice:{cluster}:current")
            .query(&mut link)
            .unwrap();
        let fields: BTreeMap<String, String> = redis::cmd("HGETALL")
            .arg(format!("sluice:{{cluster}}:version:{version}"))
            .query(&mut link)
            .unwrap();
        let found: BTreeSet<String> = (0..2_000)
            .map(id)
            .filter(|user| {
                let value: Option<String> = redis::cmd("GET")
                    .arg(format!("sluice:cluster:user:default:{user}"))
                    .query(&mut link)
                    .unwrap();
                gets_candidate(&fields, user, &value.unwrap_or_default())
            })
            .collect();
        assert_eq!(found, small.who(study));
    }
    assert!(
        nodes
            .iter()
            .all(|node| node.ask(&["DBSIZE"]).parse::<u64>().unwrap() > 100)
    );
    let stderr = fails(
        &[
            "publish",
            text(&monday),
            "--to",
            &format!("{to}&profile=harness-v1"),
        ],
        2,
    );
    assert!(stderr.contains("in a cluster"), "{stderr}");
}

#[test]
fn publish_redis_a_rollback_stays_and_what_was_under_way_leaves_nothing() {
    for profile in ["sluice", "harness-v1"] {
        let small = Small::new("stays", "sluice");
        let a = small.study("a", &small.layers("a", 0..2_000, 0), [0.5, 0.0, 0.2, 0.0], 0);
        // Another table with other layers and a thousand more users.
        let b = small.study("b", &small.layers("b", 0..3_000, 1), [0.2, 0.6, 0.0, 0.3], 1);
        let c = small.study("c", &small.layers("c", 0..2_000, 2), [0.0, 0.3, 0.0, 0.9], 2);
        let closed = small.study("closed", &a.join("layers.parquet"), [0.0; 4], 3);
        let server = RedisServer::start(&[]);
        let to = format!("{}?profile={profile}", server.url());
        let refused = |study: &Path| {
            let output = sluice(&["publish", text(study), "--to", &to]);
            assert_eq!(
                output.status.code(),
                Some(4),
                "{profile}: {}",
                String::from_utf8_lossy(&output.stdout)
            );
            String::from_utf8(output.stderr).unwrap()
        };
        publish(&a, &to, &[]);
        let mut slow = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["publish", text(&b), "--to", &to, "--max-qps", "1000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(1_500));
        assert_eq!(outcome(&publish(&a, &to, &["--rollback"])), "applied");
        assert!(routed(&server, profile, &small, 3_000).is_empty());
        // Another table is published while the first is still being written. No entry of the first
        // may stay.
        publish(&c, &to, &["--reopen"]);
        assert_eq!(
            slow.wait().unwrap().code(),
            Some(4),
            "the publication that was under way goes on"
        );
        assert_eq!(
            routed(&server, profile, &small, 2_000),
            small.who(&c),
            "{profile}"
        );
        if profile == "sluice" {
            assert_eq!(
                routed(&server, profile, &small, 3_000),
                small.who(&c),
                "users of a table that never came into force"
            );
        }

        // A candidate that was taken back by hand stays so when all its ratios are 0.
        publish(&c, &to, &["--rollback"]);
        publish(&closed, &to, &[]);
        assert!(refused(&a).contains("--reopen"));
        // The table that was in force is written again after an incomplete publication of another
        // table.
        publish(&a, &to, &["--reopen"]);
        let mut child = spawn(&b, &format!("{to}&ttl=6d"));
        sleep(Duration::from_millis(30));
        child.kill().unwrap();
        child.wait().unwrap();
        server.ask(&["DEL", "sluice:{stays}:lock"]);
        publish(&a, &to, &[]);
        assert_eq!(
            routed(&server, profile, &small, 2_000),
            small.who(&a),
            "{profile}"
        );

        // A rollback succeeds although a key has the wrong type and the server is full.
        server.ask(&["SET", "sluice:salts", "x"]);
        server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
        assert_eq!(outcome(&publish(&a, &to, &["--rollback"])), "applied");
        assert!(routed(&server, profile, &small, 2_000).is_empty());
    }
}

#[test]
fn publish_redis_users_are_refreshed_before_they_expire() {
    let small = Small::new("fresh", "sluice");
    let a = small.study("a", &small.layers("a", 0..500, 0), [0.5; 4], 0);
    for profile in ["sluice", "harness-v1"] {
        let server = RedisServer::start(&[]);
        let to = format!("{}?profile={profile}", server.url());
        publish(&a, &to, &["--ttl", "2s"]);
        sleep(Duration::from_millis(2_200));
        assert!(routed(&server, profile, &small, 500).is_empty());
        // The default time to live is longer, but the written keys have expired.
        assert_eq!(
            publish(&a, &to, &[])["targets"][0]["users"]["n_written"],
            500,
            "{profile}"
        );
        assert_eq!(routed(&server, profile, &small, 500), small.who(&a));
    }
    let server = RedisServer::start(&[]);
    let to = format!("{}?profile=harness-v1&tenant=default", server.url());
    publish(&a, &to, &[]);
    let mut schedule = crate::support::json(&a.join("schedule.json"));
    for layer in schedule["layers"].as_array_mut().unwrap() {
        layer["tenant"] = "other".into();
    }
    fs::write(a.join("schedule.json"), schedule.to_string()).unwrap();
    let stderr = fails_quietly(&[
        "publish",
        text(&a),
        "--to",
        &format!("{}?profile=harness-v1&tenant=other", server.url()),
    ]);
    assert!(stderr.contains("tenant"), "{stderr}");
}

/// The stderr of a command that ends with exit code 4.
fn fails_quietly(args: &[&str]) -> String {
    let output = sluice(args);
    assert_eq!(output.status.code(), Some(4));
    String::from_utf8(output.stderr).unwrap()
}

//! Tests of publishing to PostgreSQL. Each test has its own server on a local port.

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use postgres::Client;
use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use crate::postgres_server::{Folder, IN_URL, PASSWORD, Reader, Server, look, publish};
use crate::small::Small;
use crate::support::{fails, json, sluice, text};

#[test]
fn a_study_arrives_whole_and_once() {
    let (server, small) = (Server::start(), Small::new());
    small.run();
    let out = small.path("out");
    let url = server.url();
    let planned = publish(text(&out), &url, &["--dry-run"]);
    assert_eq!(
        (
            planned["outcome"].as_str(),
            planned["users"]["n_written"].as_u64()
        ),
        (Some("planned"), Some(200))
    );
    let schemas = server
        .try_connect()
        .unwrap()
        .query_one("select count(*) from pg_namespace where nspname = 'sluice'", &[])
        .unwrap();
    assert_eq!(schemas.get::<_, i64>(0), 0, "a dry run made tables");

    let first = publish(text(&out), &url, &[]);
    assert_eq!(
        (first["outcome"].as_str(), first["users"]["n_written"].as_u64()),
        (Some("applied"), Some(200))
    );
    let mut client = server.client();
    for table in [
        "layer",
        "release_plan",
        "agent_version",
        "metric",
        "operation_log",
    ] {
        let mut csv = csv::Reader::from_path(out.join("tables").join(format!("{table}.csv"))).unwrap();
        let header = csv.headers().unwrap().clone();
        let n_rows: i64 = client
            .query_one(
                &format!("select count(*) from {table} where plan_id = 'small'"),
                &[],
            )
            .unwrap()
            .get(0);
        let records: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
        assert_eq!(n_rows, records.len() as i64, "{table}");
        let key = &header[0];
        for record in &records {
            let row = client
                .query_one(
                    &format!(
                        "select to_jsonb(t)::text from {table} t where {key} = $1 and plan_id = 'small'"
                    ),
                    &[&&record[0]],
                )
                .unwrap();
            let row: serde_json::Value = serde_json::from_str(row.get(0)).unwrap();
            for (name, field) in header.iter().zip(record) {
                let found = &row[name];
                let same = match found {
                    serde_json::Value::Null => field.is_empty(),
                    serde_json::Value::String(text) => {
                        text == field || sluice::base::time::parse(text) == sluice::base::time::parse(field)
                    }
                    serde_json::Value::Number(number) => number.as_f64() == field.parse().ok(),
                    other => *other == serde_json::from_str::<serde_json::Value>(field).unwrap(),
                };
                assert!(same, "{table}.{name}: {found} for {field}");
            }
        }
    }
    let gate = json(&out.join("gate_report.json"));
    let found = client
        .query_one(
            "select count(*), (select document::text from gate_report), max(check_no) from gate_result",
            &[],
        )
        .unwrap();
    let n_checks = gate["checks"].as_array().unwrap().len();
    assert_eq!(
        (found.get::<_, i64>(0), found.get::<_, i32>(2)),
        (n_checks as i64, n_checks as i32)
    );
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(found.get(1)).unwrap(),
        gate
    );
    let sql = "select user_id, (score * 10000)::integer, layer_id, eligible from layer_assignment where plan_id = 'small' and tenant_id = 'default'";
    let users = client.query(sql, &[]).unwrap();
    let mut users: Vec<(String, u16, String, bool, String)> = users
        .iter()
        .map(|row| {
            (
                row.get(0),
                row.get::<_, i32>(1) as u16,
                row.get(2),
                row.get(3),
                String::new(),
            )
        })
        .collect();
    users.sort();
    let mut expected = crate::layer_parquet::rows(&out.join("layers.parquet"));
    expected.sort();
    assert_eq!(users, expected);

    let before = server.everything();
    assert_eq!(publish(text(&out), &url, &[])["outcome"], "unchanged");
    assert_eq!(publish(text(&out), &url, &["--dry-run"])["outcome"], "unchanged");
    assert_eq!(server.everything(), before);
    // A row that was changed by hand is corrected.
    client
        .execute("update ratio_schedule set ratio = 0.1234", &[])
        .unwrap();
    assert_eq!(publish(text(&out), &url, &["--dry-run"])["outcome"], "planned");
    publish(text(&out), &url, &[]);
    let ratio = client
        .query_one("select ratio::text from ratio_schedule", &[])
        .unwrap()
        .get::<_, String>(0);
    assert_ne!(ratio, "0.1234");
    // The operation log refuses changes.
    assert!(client.execute("delete from operation_log", &[]).is_err());
    assert!(client.batch_execute("truncate operation_log").is_err());
}

#[test]
fn ratios_and_users_change_and_a_dry_run_counts_them() {
    let server = Server::start();
    let (first, second) = (Folder::new("p", 12_000, 0, 0.1), Folder::new("p", 12_000, 1, 0.5));
    let url = server.url();
    publish(first.path(), &url, &[]);
    let mut client = server.client();
    let names = client
        .query(
            "select user_id from layer_assignment where user_id !~ '^[0-9]' order by 1",
            &[],
        )
        .unwrap();
    let names: Vec<String> = names.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["e\u{301}", "é", "用户🦀"]);

    let before = server.everything();
    let planned = publish(second.path(), &url, &["--dry-run"]);
    // The other table changes the layer of two users in three.
    assert_eq!(
        planned["users"],
        serde_json::json!({"n_users": 12_000, "n_written": 8_000, "n_gone": 0})
    );
    assert_eq!(server.everything(), before, "a dry run wrote");
    let fewer = Folder::new("p", 9_000, 0, 0.1);
    let planned = publish(fewer.path(), &url, &["--dry-run"]);
    assert_eq!(
        planned["users"],
        serde_json::json!({"n_users": 9_000, "n_written": 0, "n_gone": 3_000})
    );

    // Publishing ratios alone keeps the users.
    let without = publish(second.path(), &url, &["--no-users"]);
    assert_eq!(
        (without["outcome"].as_str(), without["users"].is_null()),
        (Some("applied"), true)
    );
    let load = "select load_id from publication";
    assert_eq!(client.query_one(load, &[]).unwrap().get::<_, i32>(0), 1);
    publish(second.path(), &url, &[]);
    assert_eq!(client.query_one(load, &[]).unwrap().get::<_, i32>(0), 2);
    let n_early = "select count(*) from layer_assignment where layer_id = 'early'";
    assert_eq!(client.query_one(n_early, &[]).unwrap().get::<_, i64>(0), 8_000);
    // The previous load stays for transactions that began earlier. The load before it is dropped.
    let tables = |client: &mut Client| -> Vec<String> {
        let rows = client
            .query("select inhrelid::regclass::text from pg_inherits order by 1", &[])
            .unwrap();
        rows.iter()
            .map(|row| row.get::<_, String>(0))
            .filter(|name| name.starts_with("assignment_"))
            .collect()
    };
    assert_eq!(tables(&mut client), ["assignment_1", "assignment_2"]);
    publish(first.path(), &url, &[]);
    assert_eq!(tables(&mut client), ["assignment_2", "assignment_3"]);

    // A duplicate user is refused, and no rows of that load stay.
    let batch = RecordBatch::try_from_iter([
        ("user_id", Arc::new(Int64Array::from(vec![7, 8, 7])) as ArrayRef),
        (
            "score",
            Arc::new(Float64Array::from(vec![0.5, 0.5, 0.5])) as ArrayRef,
        ),
        ("layer", Arc::new(StringArray::from(vec!["early"; 3])) as ArrayRef),
        (
            "eligible",
            Arc::new(BooleanArray::from(vec![true; 3])) as ArrayRef,
        ),
    ])
    .unwrap();
    second.write_layers(&batch);
    second.write_schedule("p", 3, 0.5);
    let before = look(&mut client, "p");
    let stderr = sluice(&["publish", second.path(), "--to", &url]);
    assert_eq!(stderr.status.code(), Some(4));
    let stderr = String::from_utf8(stderr.stderr).unwrap();
    assert!(
        stderr.contains("every user once") && stderr.contains("(7, default)"),
        "{stderr}"
    );
    assert_eq!(look(&mut client, "p"), before);
    let planned = publish(second.path(), &url, &["--dry-run", "--no-users"]);
    assert!(
        planned["changes"]
            .to_string()
            .contains("a load that nothing points to"),
        "{planned}"
    );
    publish(first.path(), &url, &[]);
    assert_eq!(tables(&mut client), ["assignment_2", "assignment_3"]);
}

#[test]
fn kill_9_at_many_moments_and_readers_see_one_version() {
    let server = Server::start();
    let (first, second) = (Folder::new("p", 40_000, 0, 0.1), Folder::new("p", 40_000, 1, 0.5));
    let url = server.url();
    publish(first.path(), &url, &[]);
    let mut known = BTreeSet::from([look(&mut server.client(), "p")]);
    let reader = Reader::start(&server, "p");
    let mut n_killed = 0;
    for kill in 0..10 {
        let folder = if kill % 2 == 0 { &second } else { &first };
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["publish", folder.path(), "--to", &url, "--max-qps", "30000"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(200 + 250 * kill));
        child.kill().unwrap();
        n_killed += u32::from(!child.wait().unwrap().success());
        publish(folder.path(), &url, &[]);
        known.insert(look(&mut server.client(), "p"));
        assert_eq!(publish(folder.path(), &url, &[])["outcome"], "unchanged");
    }
    let (seen, n_looks) = reader.seen();
    assert_eq!(known.len(), 2);
    assert!(seen.is_subset(&known), "a mix: {:?}", seen.difference(&known));
    assert!(
        seen.len() == 2 && n_looks > 20,
        "{n_looks} looks at {} versions",
        seen.len()
    );
    assert!(n_killed >= 4, "only {n_killed} were killed before their end");
    let mut client = server.client();
    let n_tables: i64 = client
        .query_one(
            "select count(*) from pg_class where relname ~ '^assignment_[0-9]+$'",
            &[],
        )
        .unwrap()
        .get(0);
    let n_loads: i64 = client
        .query_one("select count(*) from assignment_load", &[])
        .unwrap()
        .get(0);
    assert_eq!((n_tables, n_loads), (2, 2), "leftovers of killed publishers");
}

#[test]
fn a_server_that_goes_away_and_connections_that_are_cut() {
    let mut server = Server::start();
    let (first, second) = (Folder::new("p", 40_000, 0, 0.1), Folder::new("p", 40_000, 1, 0.5));
    let url = server.url();
    publish(first.path(), &url, &[]);
    let before = look(&mut server.client(), "p");
    let begin = || {
        Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["publish", second.path(), "--to", &url, "--max-qps", "15000"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    // The administrator ends the connection during a copy.
    let child = begin();
    let mut client = server.client();
    for tried in 0.. {
        let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where query ilike 'copy %' and state = 'active'";
        if client.query_one(cut, &[]).unwrap().get::<_, i64>(0) > 0 {
            break;
        }
        assert!(tried < 200, "no connection copies");
        thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(
        stderr.contains("error: ") && !stderr.contains("s3cr3t") && stderr.contains("hint: "),
        "{stderr}"
    );
    assert_eq!(look(&mut client, "p"), before);

    // The server crashes and starts again.
    let child = begin();
    thread::sleep(Duration::from_millis(1_500));
    server.crash();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(4),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let stderr = fails(&["publish", second.path(), "--to", &url], 4);
    assert!(
        stderr.contains("takes the connection") && !stderr.contains("s3cr3t"),
        "{stderr}"
    );
    server.run();
    let mut client = server.client();
    assert_eq!(look(&mut client, "p"), before);
    publish(second.path(), &url, &[]);
    assert_ne!(look(&mut client, "p"), before);
    // A published version survives a crash.
    let after = look(&mut client, "p");
    server.crash();
    server.run();
    assert_eq!(look(&mut server.client(), "p"), after);
    assert_eq!(publish(second.path(), &url, &[])["outcome"], "unchanged");
}

#[test]
fn one_publisher_at_a_time() {
    let server = Server::start();
    let (first, second) = (Folder::new("p", 40_000, 0, 0.1), Folder::new("p", 10, 1, 0.5));
    let url = server.url();
    // An earlier publication creates the tables.
    publish(Folder::new("other", 10, 0, 0.1).path(), &url, &[]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["publish", first.path(), "--to", &url, "--max-qps", "3500"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(1_500));
    let stderr = fails(&["publish", second.path(), "--to", &url], 4);
    assert!(stderr.contains("another publisher at work"), "{stderr}");
    // A publication of another plan does not wait.
    assert_eq!(
        publish(Folder::new("other", 20, 1, 0.2).path(), &url, &[])["outcome"],
        "applied"
    );
    assert!(child.wait().unwrap().success());
    let mut client = server.client();
    let n_users = "select count(*) from layer_assignment where plan_id = $1";
    assert_eq!(
        client.query_one(n_users, &[&"p"]).unwrap().get::<_, i64>(0),
        40_000
    );
    assert_eq!(
        client.query_one(n_users, &[&"other"]).unwrap().get::<_, i64>(0),
        20
    );
    let ratios = client
        .query_one(
            "select string_agg(distinct plan_id || ratio, ' ' order by plan_id || ratio) from ratio_schedule",
            &[],
        )
        .unwrap();
    assert_eq!(ratios.get::<_, String>(0), "other0.2000 p0.1000");
}

#[test]
fn a_rollback_by_hand_is_logged_and_stays() {
    let (server, small) = (Server::start(), Small::new());
    small.run();
    let out = small.path("out");
    let url = server.url();
    publish(text(&out), &url, &[]);
    let mut client = server.client();
    let held: String = client
        .query_one("select ratio::text from ratio_schedule", &[])
        .unwrap()
        .get(0);
    let n_logged = "select count(*) from operation_log";
    let before: i64 = client.query_one(n_logged, &[]).unwrap().get(0);
    let back = publish(text(&out), &url, &["--rollback"]);
    assert_eq!(
        (back["outcome"].as_str(), back["users"].is_null()),
        (Some("applied"), true)
    );
    let row = client
        .query_one(
            "select o.old_value::text, o.new_value::text, o.operator, s.hi_bucket, s.state, r.status, r.layer_ratios->0->>'ratio',
                (select count(*) from layer_assignment)
             from operation_log o, ratio_schedule s, release_plan r where operation_type = 'rollback'",
            &[],
        )
        .unwrap();
    let texts: Vec<String> = [0, 1, 2, 4, 5, 6].iter().map(|idx| row.get(*idx)).collect();
    assert_eq!(texts[0], held);
    assert_eq!(
        texts[1..],
        ["0.0000", "sluice", "rolled_back", "rolled_back", "0.0"].map(str::to_owned)
    );
    assert_eq!((row.get::<_, i32>(3), row.get::<_, i64>(7)), (0, 200));
    // The next nightly run does not open the candidate again. `--reopen` does.
    let stderr = fails(&["publish", text(&out), "--to", &url], 4);
    assert!(stderr.contains("--reopen"), "{stderr}");
    publish(text(&out), &url, &["--reopen"]);
    let rows = client
        .query(
            "select operation_type from operation_log order by operate_time, operation_type",
            &[],
        )
        .unwrap();
    assert_eq!(rows.len() as i64, before + 2);
    assert_eq!(
        client
            .query_one("select ratio::text from ratio_schedule", &[])
            .unwrap()
            .get::<_, String>(0),
        held
    );
    assert_eq!(
        client
            .query_one("select status from release_plan", &[])
            .unwrap()
            .get::<_, String>(0),
        "running"
    );
    assert_eq!(publish(text(&out), &url, &[])["outcome"], "unchanged");
}

#[test]
fn what_cannot_be_published_says_why_without_secrets() {
    let server = Server::start();
    let folder = Folder::new("p", 10, 0, 0.1);
    let at =
        |credentials: &str, rest: &str| format!("postgres://{credentials}@127.0.0.1:{}/{rest}", server.port);
    for (url, expected) in [
        (
            at("admin:wr0ng-s3cr3t", "postgres"),
            "password authentication failed",
        ),
        (
            at(&format!("nobody-s3cr3t:{IN_URL}"), "postgres"),
            "password authentication failed",
        ),
        (
            at(&format!("admin:{IN_URL}"), "nowhere"),
            "\"nowhere\" does not exist",
        ),
        (at(&format!("admin:{IN_URL}"), "postgres?sslmode=require"), "TLS"),
        (
            "postgres://admin:s3cr3t@127.0.0.1:1/postgres".into(),
            "Connection refused",
        ),
    ] {
        let stderr = fails(&["publish", folder.path(), "--to", &url], 4);
        assert!(
            stderr.contains(expected)
                && !stderr.contains("wr0ng")
                && !stderr.contains("%40word")
                && !stderr.contains(PASSWORD),
            "{stderr}"
        );
    }
    for rest in [
        "postgres?schema=Bad\"",
        "postgres?sslmode=maybe",
        "postgres?scheme=x",
        "postgres?connections=0",
        "postgres?sslmode=require&sslrootcert=none.pem",
    ] {
        let stderr = fails(&["publish", folder.path(), "--to", &at("admin:s3cr3t", rest)], 2);
        assert!(!stderr.contains("s3cr3t"), "{stderr}");
    }
    // A password from the environment, and a schema with another name.
    let url = format!(
        "postgres://admin@127.0.0.1:{}/postgres?schema=releases_2",
        server.port
    );
    let status = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["publish", folder.path(), "--to", &url])
        .env("PGPASSWORD", PASSWORD)
        .status();
    assert!(status.unwrap().success());
    let mut client = server.client();
    assert_eq!(
        client
            .query_one("select count(*) from releases_2.layer_assignment", &[])
            .unwrap()
            .get::<_, i64>(0),
        10
    );

    // Tables of a newer program are not changed. Incomplete tables are completed.
    client
        .execute("insert into releases_2.migration (version) values (99)", &[])
        .unwrap();
    let url = format!("{}?schema=releases_2", server.url());
    let stderr = fails(&["publish", folder.path(), "--to", &url], 4);
    assert!(stderr.contains("found version 99"), "{stderr}");
    client.batch_execute("create schema sluice; create table sluice.migration (version integer primary key, applied_at timestamptz not null default now())").unwrap();
    assert_eq!(publish(folder.path(), &server.url(), &[])["outcome"], "applied");
    assert_eq!(
        client
            .query_one("select max(version) from sluice.migration", &[])
            .unwrap()
            .get::<_, i32>(0),
        1
    );
}

#[test]
fn encrypted_when_asked_and_only_to_whom_is_trusted() {
    let certificates = tempfile::tempdir().unwrap();
    let at = |name: &str| certificates.path().join(name);
    // A self-signed certificate that is not an authority.
    let request = "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = use\n[name]\nCN = localhost\n[use]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = DNS:localhost\n";
    fs::write(at("request.cnf"), request).unwrap();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-config",
            text(&at("request.cnf")),
        ])
        .args(["-keyout", text(&at("key.pem")), "-out", text(&at("cert.pem"))])
        .output()
        .expect("openssl is there. hint: apt-get install openssl, as scripts/test does");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for file in [certificates.path().to_owned(), at("key.pem"), at("cert.pem")] {
        if crate::support::is_root() {
            assert!(
                Command::new("chown")
                    .args(["nobody:nogroup", text(&file)])
                    .status()
                    .unwrap()
                    .success()
            );
        }
    }
    assert!(
        Command::new("chmod")
            .args(["755", text(certificates.path())])
            .status()
            .unwrap()
            .success()
    );
    let server = Server::start_with(&format!(
        "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nlog_connections = on\n",
        text(&at("cert.pem")),
        text(&at("key.pem"))
    ));
    let folder = Folder::new("p", 10, 0, 0.1);
    let url = |host: &str, rest: &str| {
        format!(
            "postgres://admin:{IN_URL}@{host}:{}/postgres?sslmode={rest}",
            server.port
        )
    };
    let stderr = fails(
        &["publish", folder.path(), "--to", &url("localhost", "require")],
        4,
    );
    assert!(
        stderr.contains("certificate") && stderr.contains("sslrootcert"),
        "{stderr}"
    );
    let trusted = format!("verify-full&sslrootcert={}", text(&at("cert.pem")));
    // The name in the certificate is checked, too.
    let stderr = fails(
        &["publish", folder.path(), "--to", &url("127.0.0.1", &trusted)],
        4,
    );
    assert!(stderr.contains("certificate"), "{stderr}");
    assert_eq!(
        publish(folder.path(), &url("localhost", &trusted), &[])["outcome"],
        "applied"
    );
    let log = fs::read_to_string(server.dir.path().join("log")).unwrap();
    assert!(
        log.contains("SSL enabled") && log.contains("application_name=sluice publish"),
        "{log}"
    );
}

//! Publishing to PostgreSQL: a server of its own for every test, on a port of this machine.

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use postgres::{Client, IsolationLevel, NoTls};
use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tempfile::TempDir;

use crate::{
    small::Small,
    support::{fails, json, ok, sluice, text},
};

const PASSWORD: &str = "s3cr3t/%@word";
const IN_URL: &str = "s3cr3t%2F%25%40word";

/// A PostgreSQL that ends with the test, however that ends.
struct Server {
    dir: TempDir,
    port: u16,
    process: Option<Child>,
}

fn binary(name: &str) -> PathBuf {
    let found = glob::glob("/usr/lib/postgresql/*/bin")
        .unwrap()
        .filter_map(Result::ok)
        .map(|bin| bin.join(name))
        .filter(|path| path.exists());
    found.max().unwrap_or_else(|| {
        panic!("{name} is missing. hint: apt-get install postgresql, as scripts/test does")
    })
}

/// A command that runs as somebody who is not root: PostgreSQL refuses root.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if crate::support::is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command
        .args(["--pdeathsig", "QUIT"])
        .arg(program)
        .env("LC_ALL", "C.UTF-8");
    command
}

impl Server {
    fn start() -> Self {
        Self::start_with("")
    }

    fn start_with(configuration: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(dir.path().join("password"), PASSWORD).unwrap();
        let own = |path: &Path, mode: &str| {
            if crate::support::is_root() {
                assert!(
                    Command::new("chown")
                        .args(["nobody:nogroup", text(path)])
                        .status()
                        .unwrap()
                        .success()
                );
            }
            assert!(
                Command::new("chmod")
                    .args([mode, text(path)])
                    .status()
                    .unwrap()
                    .success()
            );
        };
        own(dir.path(), "755");
        own(&data, "700");
        own(&dir.path().join("password"), "600");
        let made = unprivileged(&binary("initdb"))
            .args([
                "-D",
                text(&data),
                "-U",
                "admin",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--no-sync",
            ])
            .arg(format!("--pwfile={}", text(&dir.path().join("password"))))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // What this process loses when it is killed is what a test is about; what the machine would lose is not.
        fs::write(
            data.join("postgresql.auto.conf"),
            format!("fsync = off\nunix_socket_directories = ''\n{configuration}\n"),
        )
        .unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut server = Self {
            dir,
            port,
            process: None,
        };
        server.run();
        server
    }

    fn run(&mut self) {
        let log = fs::File::create(self.dir.path().join("log")).unwrap();
        let process = unprivileged(&binary("postgres"))
            .args([
                "-D",
                text(&self.dir.path().join("data")),
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        for _ in 0..300 {
            if self.try_connect().is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!(
            "the server does not start: {}",
            fs::read_to_string(self.dir.path().join("log")).unwrap()
        );
    }

    fn try_connect(&self) -> Result<Client, postgres::Error> {
        let mut config = postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user("admin")
            .password(PASSWORD)
            .dbname("postgres");
        config.connect(NoTls)
    }

    fn client(&self) -> Client {
        let mut client = self.try_connect().unwrap();
        client.batch_execute("set search_path to sluice").unwrap();
        client
    }

    fn url(&self) -> String {
        format!("postgres://admin:{IN_URL}@127.0.0.1:{}/postgres", self.port)
    }

    /// Stops it as a crash would.
    fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            // QUIT is an immediate stop of all its processes; nothing is written.
            _ = Command::new("kill")
                .args(["-QUIT", &process.id().to_string()])
                .status();
            _ = process.wait();
        }
    }

    /// Every table's rows, for a look at whether something was written.
    fn everything(&self) -> Vec<String> {
        let mut client = self.client();
        let tables = client.query(
            "select oid::regclass::text from pg_class where relnamespace = to_regnamespace('sluice') and relkind = 'r' order by 1",
            &[],
        );
        let of = |table: String, client: &mut Client| {
            let row = client
                .query_one(
                    &format!(
                        "select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from {table} t"
                    ),
                    &[],
                )
                .unwrap();
            format!("{table}: {}", row.get::<_, String>(0))
        };
        tables
            .unwrap()
            .iter()
            .map(|row| of(row.get(0), &mut client))
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

/// A folder with a schedule and a layer table of some users.
struct Folder {
    dir: TempDir,
}

const LAYERS: [&str; 2] = ["early", "守护"];
const TENANTS: [&str; 2] = ["default", "租户"];

impl Folder {
    /// `n_users` users of two tenants in two layers; `turn` deals them anew. Row groups of 5,000.
    fn new(plan: &str, n_users: usize, turn: usize, ratio: f64) -> Self {
        let folder = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let ids = |n: usize| match n {
            0 => "用户🦀".to_owned(),
            1 => "e\u{301}".to_owned(),
            2 => "é".to_owned(),
            n => n.to_string(),
        };
        let column = |of: &dyn Fn(usize) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..n_users).map(of)))
        };
        let batch = RecordBatch::try_from_iter([
            ("user_id", column(&ids)),
            (
                "score",
                Arc::new(Float64Array::from_iter_values(
                    (0..n_users).map(|n| (n % 10_001) as f64 / 10_000.0),
                )) as ArrayRef,
            ),
            (
                "layer",
                column(&|n| LAYERS[usize::from((n + turn).is_multiple_of(3))].to_owned()),
            ),
            (
                "eligible",
                Arc::new(BooleanArray::from_iter((0..n_users).map(|n| Some(n % 5 > 0)))) as ArrayRef,
            ),
            (
                "tenant_id",
                column(&|n| TENANTS[usize::from(n % 7 == 3)].to_owned()),
            ),
        ])
        .unwrap();
        folder.write_layers(&batch);
        folder.write_schedule(plan, turn, ratio);
        folder
    }

    fn write_layers(&self, batch: &RecordBatch) {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(5_000))
            .build();
        let file = fs::File::create(self.dir.path().join("layers.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
    }

    fn write_schedule(&self, plan: &str, turn: usize, ratio: f64) {
        let layers: Vec<serde_json::Value> = TENANTS
            .iter()
            .flat_map(|tenant| LAYERS.iter().map(move |layer| (tenant, layer)))
            .map(|(tenant, layer)| {
                serde_json::json!({
                    "tenant": tenant, "layer": layer, "verdict": "promote", "rolled_back": false, "ratio": 0, "next_ratio": ratio,
                    "lo_bucket": 0, "hi_bucket": (ratio * 10_000.0) as u16, "first_blocking": null, "reason": "it's \"好\"; drop table x",
                    "earliest_next": 1_780_000_000_123_456_i64, "trace": [],
                    "ramp": {"ladder": [0.1, 0.5, 1], "qos_threshold": 0.8, "qos_floor": 0.6, "dwell_hours": 72.5, "min_users": 100}
                })
            })
            .collect();
        let digest = sluice::base::digest::blake3_of_file(&self.dir.path().join("layers.parquet")).unwrap();
        let schedule = serde_json::json!({
            "schema": "sluice.schedule/1", "plan_id": plan, "baseline": "old", "candidate": format!("new{turn}"), "as_of": 1_780_000_000_000_000_i64,
            "evidence_digest": "sha256:e", "layers_digest": digest, "profile": "sluice", "salt": plan, "layers": layers
        });
        fs::write(self.dir.path().join("schedule.json"), schedule.to_string()).unwrap();
    }

    fn path(&self) -> &str {
        text(self.dir.path())
    }
}

fn publish(folder: &str, url: &str, more: &[&str]) -> serde_json::Value {
    let args: Vec<&str> = ["publish", folder, "--to", url, "--json"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    let report: serde_json::Value = serde_json::from_str(&ok(&args)).unwrap();
    report["targets"][0].clone()
}

/// What a reader makes of one snapshot: version, schedule and users of a plan.
const LOOK: &str = "select coalesce((select version from publication where plan_id = $1), '') || ' '
    || (select coalesce(string_agg(tenant || layer || ratio || release, ',' order by tenant, layer), '') from ratio_schedule where plan_id = $1) || ' '
    || (select count(*) || ',' || count(*) filter (where layer_id = 'early') || ',' || coalesce(min(load_id), 0) - coalesce(max(load_id), 0)
        from publication join assignment using (load_id) where plan_id = $1) || ' '
    || (select count(*) from layer_assignment where plan_id = $1)";

fn look(client: &mut Client, plan: &str) -> String {
    client.query_one(LOOK, &[&plan]).unwrap().get(0)
}

/// Looks all along: in single statements, and in transactions of several.
struct Reader {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<(BTreeSet<String>, usize)>>,
}

impl Reader {
    fn start(server: &Server, plan: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = [false, true]
            .map(|in_transaction| {
                let (stop, mut client) = (Arc::clone(&stop), server.client());
                thread::spawn(move || {
                    let (mut seen, mut n_looks) = (BTreeSet::new(), 0);
                    while !stop.load(Ordering::Relaxed) {
                        n_looks += 1;
                        if !in_transaction {
                            seen.insert(look(&mut client, plan));
                            continue;
                        }
                        let mut step = client
                            .build_transaction()
                            .isolation_level(IsolationLevel::RepeatableRead)
                            .start()
                            .unwrap();
                        // The snapshot is taken here; the tables are looked up later.
                        step.query_opt("select version from publication where plan_id = $1", &[&plan])
                            .unwrap();
                        thread::sleep(Duration::from_millis(300));
                        seen.insert(step.query_one(LOOK, &[&plan]).unwrap().get(0));
                    }
                    (seen, n_looks)
                })
            })
            .into();
        Self { stop, threads }
    }

    fn seen(self) -> (BTreeSet<String>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = (BTreeSet::new(), 0);
        for thread in self.threads {
            let (seen, n_looks) = thread.join().expect("a reader is never refused");
            all.0.extend(seen);
            all.1 += n_looks;
        }
        all
    }
}

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
    // A row that somebody changed is put right.
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
    // Nobody edits the log.
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
    // Of three users, turning changes the layer of two.
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

    // Ratios alone leave the users where they are.
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
    // The load before stays for transactions that began earlier; the one before that goes.
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

    // A user twice is refused, and nothing of it is left.
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
    // A connection that copies is cut by the administrator.
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

    // The server crashes, and comes back.
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
    // What is published outlives a crash.
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
    // Tables first, so that both see them.
    publish(Folder::new("other", 10, 0, 0.1).path(), &url, &[]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["publish", first.path(), "--to", &url, "--max-qps", "3500"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(1_500));
    let stderr = fails(&["publish", second.path(), "--to", &url], 4);
    assert!(stderr.contains("another publisher at work"), "{stderr}");
    // Another plan is nobody's business.
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
    // The nightly job does not open it again; somebody may.
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
    // A password from the environment, and a schema of another name.
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

    // Tables of a newer program are left alone; tables that are not finished are.
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
    // Signed by itself, but no authority: what may vouch for a server is not the server.
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
    // The name is checked, too.
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

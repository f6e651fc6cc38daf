//! A PostgreSQL server for one test, folders to publish to it, and readers that query it during the
//! test.

use arrow_array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray};
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

use crate::support::{is_root, ok_json, text};

pub(crate) const PASSWORD: &str = "s3cr3t/%@word";
pub(crate) const IN_URL: &str = "s3cr3t%2F%25%40word";

/// A PostgreSQL server that stops when the test ends, also after a panic.
pub(crate) struct Server {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    pub(crate) process: Option<Child>,
}

pub(crate) fn binary(name: &str) -> PathBuf {
    let found = glob::glob("/usr/lib/postgresql/*/bin")
        .unwrap()
        .filter_map(Result::ok)
        .map(|bin| bin.join(name))
        .filter(|path| path.exists());
    found.max().unwrap_or_else(|| {
        panic!("{name} is missing. hint: apt-get install postgresql, as scripts/test does")
    })
}

/// A command that does not run as root, because PostgreSQL refuses root.
pub(crate) fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command
        .args(["--pdeathsig", "QUIT"])
        .arg(program)
        .env("LC_ALL", "C.UTF-8");
    command
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    pub(crate) fn start_with(configuration: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(dir.path().join("password"), PASSWORD).unwrap();
        let own = |path: &Path, mode: &str| {
            if is_root() {
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
        // The tests kill the server process but not the machine, so `fsync` is not needed.
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

    pub(crate) fn run(&mut self) {
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

    pub(crate) fn try_connect(&self) -> Result<Client, postgres::Error> {
        let mut config = postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user("admin")
            .password(PASSWORD)
            .dbname("postgres");
        config.connect(NoTls)
    }

    pub(crate) fn client(&self) -> Client {
        let mut client = self.try_connect().unwrap();
        client.batch_execute("set search_path to sluice").unwrap();
        client
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://admin:{IN_URL}@127.0.0.1:{}/postgres", self.port)
    }

    /// Stops the server immediately, as in a crash.
    pub(crate) fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            // QUIT stops all processes of the server at once, and nothing is written.
            _ = Command::new("kill")
                .args(["-QUIT", &process.id().to_string()])
                .status();
            _ = process.wait();
        }
    }

    /// All rows of all tables, to detect any write.
    pub(crate) fn everything(&self) -> Vec<String> {
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

/// A folder with a schedule and a layer table.
pub(crate) struct Folder {
    pub(crate) dir: TempDir,
}

pub(crate) const LAYERS: [&str; 2] = ["early", "守护"];
pub(crate) const TENANTS: [&str; 2] = ["default", "租户"];

impl Folder {
    /// Makes `n_users` users of two tenants in two layers, in row groups of 5,000. Another `turn`
    /// assigns other layers.
    pub(crate) fn new(plan: &str, n_users: usize, turn: usize, ratio: f64) -> Self {
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

    pub(crate) fn write_layers(&self, batch: &RecordBatch) {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(5_000))
            .build();
        let file = fs::File::create(self.dir.path().join("layers.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
    }

    pub(crate) fn write_schedule(&self, plan: &str, turn: usize, ratio: f64) {
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

    pub(crate) fn path(&self) -> &str {
        text(self.dir.path())
    }
}

pub(crate) fn publish(folder: &str, url: &str, more: &[&str]) -> serde_json::Value {
    let args: Vec<&str> = ["publish", folder, "--to", url, "--json"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    let report: serde_json::Value = ok_json(&args);
    report["targets"][0].clone()
}

/// An SQL statement that returns version, schedule and users of a plan.
pub(crate) const LOOK: &str = "select coalesce((select version from publication where plan_id = $1), '') || ' '
    || (select coalesce(string_agg(tenant || layer || ratio || release, ',' order by tenant, layer), '') from ratio_schedule where plan_id = $1) || ' '
    || (select count(*) || ',' || count(*) filter (where layer_id = 'early') || ',' || coalesce(min(load_id), 0) - coalesce(max(load_id), 0)
        from publication join assignment using (load_id) where plan_id = $1) || ' '
    || (select count(*) from layer_assignment where plan_id = $1)";

pub(crate) fn look(client: &mut Client, plan: &str) -> String {
    client.query_one(LOOK, &[&plan]).unwrap().get(0)
}

/// Threads that query all the time, in single statements and in transactions of several statements.
pub(crate) struct Reader {
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) threads: Vec<thread::JoinHandle<(BTreeSet<String>, usize)>>,
}

impl Reader {
    pub(crate) fn start(server: &Server, plan: &'static str) -> Self {
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
                        // The snapshot is taken here. The tables are queried later.
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

    pub(crate) fn seen(self) -> (BTreeSet<String>, usize) {
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

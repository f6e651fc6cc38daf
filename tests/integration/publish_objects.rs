//! Tests of publishing to folders and to an S3 server that the test starts, and of inputs stored
//! there.

use std::{
    collections::BTreeMap,
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

use crate::{
    small::Small,
    support::{json, ok, ok_json, sluice, text, tree},
};

const SECRET: &str = "wJalr-s3cr3t-EXAMPLEKEY";
/// The server does not check signatures.
const CREDENTIAL: &str =
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
const BUCKET: &str = "releases";

/// The S3 server moto. It stops when the test ends.
struct Server {
    port: u16,
    process: Child,
    folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let program =
            env::var("SLUICE_MOTO").expect("SLUICE_MOTO names moto_server. hint: scripts/test installs it");
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let folder = tempfile::tempdir().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                &program,
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self {
            port,
            process,
            folder,
        };
        for _ in 0..300 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                server.put("", b"");
                return server;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!(
            "the server does not start: {}",
            fs::read_to_string(server.folder.path().join("log")).unwrap()
        );
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn object(&self, key: &str) -> String {
        format!(
            "{}/{BUCKET}{}{key}",
            self.endpoint(),
            if key.is_empty() { "" } else { "/" }
        )
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let request = ureq::put(self.object(key))
            .header("authorization", CREDENTIAL)
            .content_type("application/octet-stream");
        assert_eq!(request.send(bytes).unwrap().status(), 200);
    }

    fn get(&self, key: &str) -> Vec<u8> {
        ureq::get(self.object(key))
            .header("authorization", CREDENTIAL)
            .call()
            .unwrap()
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()
            .unwrap()
    }

    /// All objects, by key.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let list = String::from_utf8(self.get("")).unwrap();
        let keys = list
            .split("<Key>")
            .skip(1)
            .filter_map(|rest| rest.split("</Key>").next());
        keys.map(|key| (key.to_owned(), self.get(key))).collect()
    }

    fn current(&self, plan: &str) -> serde_json::Value {
        serde_json::from_slice(&self.get(&format!("p/{plan}/current.json"))).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command
            .args(args)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_ENDPOINT_URL", self.endpoint());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn publish(&self, folder: &Path, more: &[&str]) -> serde_json::Value {
        let args: Vec<&str> = ["publish", text(folder), "--to", "s3://releases/p", "--json"]
            .iter()
            .chain(more)
            .copied()
            .collect();
        let output = self.run(&args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["targets"][0].clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn folder_of(current: &serde_json::Value) -> String {
    current["folder"].as_str().unwrap().to_owned()
}

/// A study of the small scenario, and the same study with another ratio.
fn studies() -> (Small, PathBuf, PathBuf) {
    let small = Small::new();
    small.run();
    let (first, second) = (small.path("out"), small.path("second"));
    small.edit("study.toml", |text| text.replace("ratio = 0.5", "ratio = 0.25"));
    ok(&["run", text(&small.path("study.toml")), "--out", text(&second)]);
    (small, first, second)
}

#[test]
fn a_study_arrives_whole_and_once() {
    let (server, (small, first, second)) = (Server::start(), studies());
    let planned = server.publish(&first, &["--dry-run"]);
    assert_eq!(planned["outcome"], "planned");
    assert!(server.objects().is_empty(), "a dry run wrote");
    assert_eq!(server.publish(&first, &[])["outcome"], "applied");
    let folder = folder_of(&server.current("small"));
    let objects = server.objects();
    let below = format!("p/small/{folder}/");
    for (name, bytes) in tree(&first) {
        assert!(
            objects[&format!("{below}{}", name.display())] == bytes,
            "{} differs",
            name.display()
        );
    }
    let list: serde_json::Value = serde_json::from_slice(&objects[&format!("{below}objects.json")]).unwrap();
    let n_listed = list["files"].as_object().unwrap().len();
    // Listed are the files of the study and the publication. The list itself and the pointer are
    // two more objects.
    assert_eq!(
        (n_listed, objects.len()),
        (tree(&first).len() + 1, tree(&first).len() + 3)
    );
    assert_eq!(server.publish(&first, &[])["outcome"], "unchanged");
    assert_eq!(server.objects(), objects);

    server.publish(&second, &[]);
    let other = folder_of(&server.current("small"));
    assert!(
        other != folder && server.objects().contains_key(&format!("{below}schedule.json")),
        "the version before stays"
    );
    // A rollback writes no data again.
    let back = server.publish(&second, &["--rollback"]);
    assert_eq!(back["outcome"], "applied");
    let current = server.current("small");
    assert_eq!(
        (
            current["publication"]["ratios"][0]["ratio"].as_f64(),
            current["publication"]["status"].as_str()
        ),
        (Some(0.0), Some("rolled_back"))
    );
    let of_version = server
        .objects()
        .keys()
        .filter(|key| key.contains(&folder_of(&current)))
        .count();
    assert_eq!(of_version, 2);
    let refused = server.run(&["publish", text(&second), "--to", "s3://releases/p"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--reopen"));

    // Old versions are deleted on request. The version in force stays.
    let args = [
        "publish",
        text(&second),
        "--to",
        "s3://releases/p?keep=2",
        "--reopen",
    ];
    assert!(server.run(&args).status.success());
    let folders: std::collections::BTreeSet<String> = server
        .objects()
        .keys()
        .filter_map(|key| key.split('/').nth(2))
        .filter(|name| name.contains('-'))
        .map(str::to_owned)
        .collect();
    assert_eq!(folders.len(), 2);
    assert!(
        folders.contains(&other) && !folders.contains(&folder),
        "{folders:?}"
    );

    // A file that differs from the manifest is refused.
    small.edit("second/report.md", |text| text + "\nedited");
    let refused = server.run(&["publish", text(&second), "--to", "s3://releases/other"]);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("report.md"),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );
    assert!(!server.objects().keys().any(|key| key.starts_with("other")));
}

#[test]
fn a_large_file_goes_in_parts_and_comes_back_the_same() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let study = dir.path().join("study");
    fs::create_dir(&study).unwrap();
    let small = Small::new();
    small.run();
    fs::copy(small.path("out/schedule.json"), study.join("schedule.json")).unwrap();
    // 40 MB in which no two parts are equal.
    let large: Vec<u8> = (0..10_000_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(study.join("report.html"), &large).unwrap();
    server.publish(&study, &[]);
    let folder = folder_of(&server.current("small"));
    assert!(server.get(&format!("p/small/{folder}/report.html")) == large);
    assert_eq!(server.publish(&study, &[])["outcome"], "unchanged");
}

#[test]
fn kill_9_at_many_moments() {
    let (server, (_small, first, second)) = (Server::start(), studies());
    server.publish(&first, &[]);
    let versions = [folder_of(&server.current("small")), {
        server.publish(&second, &[]);
        folder_of(&server.current("small"))
    }];
    let (mut n_killed, mut n_early) = (0, 0);
    for kill in 0..8 {
        let (folder, other) = if kill % 2 == 0 {
            (&first, &second)
        } else {
            (&second, &first)
        };
        // A new prefix for each round, so that every object is written again.
        let prefix = format!("s3://releases/kill-{kill}");
        let publish = |folder: &Path, more: &[&str]| {
            let args: Vec<&str> = ["publish", text(folder), "--to", &prefix]
                .iter()
                .chain(more)
                .copied()
                .collect();
            server
                .command(&args)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        assert!(publish(other, &[]).wait().unwrap().success());
        let pointer = || -> serde_json::Value {
            serde_json::from_slice(&server.get(&format!("kill-{kill}/small/current.json"))).unwrap()
        };
        let before = folder_of(&pointer());
        let mut child = publish(folder, &["--max-qps", "20"]);
        thread::sleep(Duration::from_millis(150 + 250 * kill));
        child.kill().unwrap();
        n_killed += u32::from(!child.wait().unwrap().success());
        let now = folder_of(&pointer());
        assert!(versions.contains(&now));
        n_early += u32::from(now == before);
        // The version that the pointer names is complete.
        let list: serde_json::Value =
            serde_json::from_slice(&server.get(&format!("kill-{kill}/small/{now}/objects.json"))).unwrap();
        for (name, entry) in list["files"].as_object().unwrap() {
            let bytes = server.get(&format!("kill-{kill}/small/{now}/{name}"));
            assert_eq!(
                sluice::base::digest::sha256_of_bytes(&bytes),
                entry["digest"].as_str().unwrap(),
                "{name}"
            );
        }
        assert!(publish(folder, &[]).wait().unwrap().success());
        assert_ne!(folder_of(&pointer()), before);
    }
    assert!(
        n_killed >= 3 && n_early >= 3,
        "{n_killed} killed, {n_early} before the pointer"
    );
}

#[test]
fn of_two_publishers_one_loses() {
    let (server, (_small, first, second)) = (Server::start(), studies());
    // In the first round both publishers find no version, in the second both find the same version.
    for turn in 0..2 {
        let args = [
            "publish",
            text(&first),
            "--to",
            "s3://releases/p",
            "--max-qps",
            "6",
            if turn == 0 { "--no-users" } else { "--all-users" },
        ];
        let slow = server
            .command(&args)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(1_500));
        assert_eq!(
            server.publish(&second, if turn == 0 { &[] } else { &["--no-users"] })["outcome"],
            "applied"
        );
        let won = server.current("small");
        let output = slow.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{stderr}");
        assert!(
            stderr.contains("another publication changed the target") && stderr.contains(&folder_of(&won)),
            "{stderr}"
        );
        assert_eq!(server.current("small"), won);
    }
    // The publisher that lost runs again and finds the other version.
    let again = server.publish(&first, &[]);
    assert_eq!(
        (again["outcome"].as_str(), again["held"].is_string()),
        (Some("applied"), true)
    );
}

#[test]
fn what_cannot_be_published_says_why_without_secrets() {
    let (server, (_small, first, _second)) = (Server::start(), studies());
    let fails = |command: &mut Command, code: i32, expected: &str| {
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(
            stderr.contains(expected) && !stderr.contains("s3cr3t") && stderr.contains("error: "),
            "{stderr}"
        );
    };
    let to = |target: &str| server.command(&["publish", text(&first), "--to", target]);
    fails(&mut to("s3://nowhere/p"), 4, "NoSuchBucket");
    fails(
        to("s3://releases/p").env_remove("AWS_ACCESS_KEY_ID"),
        2,
        "credentials",
    );
    fails(
        to("s3://releases/p").env("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        4,
        "127.0.0.1:1",
    );
    fails(&mut to("s3://test:s3cr3t@releases/p"), 2, "no bucket name");
    fails(&mut to("s3://releases/p?keep=0"), 2, "1 to 10000");
    fails(&mut to("s3://releases/p?kept=1"), 2, "kept");
    fails(&mut to("s3://releases/p?endpoint=ftp://x"), 2, "endpoint");
    // An https endpoint never falls back to clear text. This server speaks clear text only.
    fails(
        to("s3://releases/p").env("AWS_ENDPOINT_URL", format!("https://127.0.0.1:{}", server.port)),
        4,
        "expected",
    );
}

#[test]
fn folders_are_published_to_like_stores() {
    let (small, first, second) = studies();
    let target = small.path("published");
    let publish = |folder: &Path, to: &str, more: &[&str]| -> serde_json::Value {
        let args: Vec<&str> = ["publish", text(folder), "--to", to, "--json"]
            .iter()
            .chain(more)
            .copied()
            .collect();
        ok_json(&args)["targets"][0].clone()
    };
    assert_eq!(
        publish(&first, text(&target), &["--dry-run"])["outcome"],
        "planned"
    );
    assert!(!target.exists());
    assert_eq!(publish(&first, text(&target), &[])["outcome"], "applied");
    let current = json(&target.join("small/current.json"));
    let folder = target.join("small").join(folder_of(&current));
    let mut found = tree(&folder);
    assert!(
        found.remove(Path::new("publication.json")).is_some()
            && found.remove(Path::new("objects.json")).is_some()
    );
    assert_eq!(found, tree(&first));
    assert_eq!(publish(&first, text(&target), &[])["outcome"], "unchanged");
    let with_keep = format!("file:{}?keep=1", text(&target));
    assert_eq!(publish(&second, &with_keep, &[])["outcome"], "applied");
    assert!(!folder.exists(), "a version beyond those that stay");
    // A file that is missing or truncated is written again.
    let folder = target
        .join("small")
        .join(folder_of(&json(&target.join("small/current.json"))));
    fs::write(folder.join("report.md"), "short").unwrap();
    assert_eq!(publish(&second, text(&target), &[])["outcome"], "applied");
    assert_eq!(
        fs::read(folder.join("report.md")).unwrap(),
        fs::read(second.join("report.md")).unwrap()
    );
    // A study cannot be published into its own folder.
    let inside = sluice(&["publish", text(&first), "--to", text(&first.join("published"))]);
    assert_eq!(inside.status.code(), Some(4));
    assert!(!first.join("published").exists());
}

#[test]
fn inputs_are_read_from_where_they_are_published() {
    let (server, small) = (Server::start(), Small::new());
    let temporary = tempfile::tempdir().unwrap();
    let users = fs::read_to_string(small.path("users.csv")).unwrap();
    let traffic = fs::read_to_string(small.path("traffic.csv")).unwrap();
    let (header, rows) = traffic.split_once('\n').unwrap();
    let half = rows.lines().count() / 2;
    let part = |n: usize| -> String {
        let rows = rows.lines().skip(n * half).take(half);
        [header]
            .into_iter()
            .chain(rows)
            .map(|line| format!("{line}\n"))
            .collect()
    };
    server.put("in/users.csv", users.as_bytes());
    server.put("in/traffic%20%E7%94%A8/dt=1/part.csv", part(0).as_bytes());
    server.put("in/traffic%20%E7%94%A8/dt=2/part.csv", part(1).as_bytes());
    server.put("in/traffic%20%E7%94%A8/dt=2/_SUCCESS", b"");
    // The same files on disk, and one study of each.
    fs::create_dir_all(small.path("traffic 用/dt=1")).unwrap();
    fs::create_dir_all(small.path("traffic 用/dt=2")).unwrap();
    small.write("traffic 用/dt=1/part.csv", part(0));
    small.write("traffic 用/dt=2/part.csv", part(1));
    small.edit("study.toml", |text| text.replace("traffic.csv", "traffic 用"));
    small.run();
    let from = |users: &str, traffic: &str| {
        small.edit("study.toml", |text| {
            let lines = text.lines().map(|line| match line {
                line if line.starts_with("users") => format!("users = {{ path = \"{users}\" }}\n"),
                line if line.starts_with("traffic") => format!("traffic = [{{ path = \"{traffic}\" }}]\n"),
                line => format!("{line}\n"),
            });
            lines.collect()
        });
        let mut command = server.command(&[
            "run",
            text(&small.path("study.toml")),
            "--out",
            text(&small.path("fetched")),
        ]);
        command.env("TMPDIR", temporary.path()).output().unwrap()
    };
    let output = from("s3://releases/in/users.csv", "s3://releases/in/traffic 用/");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // All files are equal except those with the digest of the scenario, which has other paths.
    for name in ["layers.parquet", "cube/cells.parquet", "cube/exposures.parquet"] {
        let [fetched, local] =
            ["fetched", "out"].map(|folder| fs::read(small.path(folder).join(name)).unwrap());
        assert!(fetched == local, "{name} differs");
    }
    let [fetched, local] = ["fetched", "out"].map(|folder| json(&small.path(folder).join("analysis.json")));
    assert_eq!(
        (&fetched["data"], &fetched["layers"]),
        (&local["data"], &local["layers"])
    );
    let output = from("s3://releases/in/*.csv", "s3://releases/in/**/part.csv");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    // A command that reads its layer table from the store.
    server.put(
        "tables/layers.parquet",
        &fs::read(small.path("out/layers.parquet")).unwrap(),
    );
    let who = |layers: &str| {
        let output = server.run(&[
            "who",
            "--plan",
            text(&small.path("study.toml")),
            "--layers",
            layers,
            "--json",
        ]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    assert_eq!(
        who("s3://releases/tables/layers.parquet"),
        who(text(&small.path("out/layers.parquet")))
    );

    // Errors name the URL of the input.
    server.put("bad/users.csv", b"user_id,use_count,is_allow_gray\na,many,true\n");
    let mut command = server.command(&[
        "layer",
        "--users",
        "s3://releases/bad/",
        "--as-of",
        "2026-05-25",
        "--out",
        text(&small.path("l.parquet")),
        "--absent",
        "last_use_time,user_value,accept_score",
    ]);
    let output = command.env("TMPDIR", temporary.path()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("s3://releases/bad/users.csv") && !stderr.contains("sluice-inputs"),
        "{stderr}"
    );
    for url in [
        "s3://releases/none",
        "s3://nowhere/x.csv",
        "s3://releases/in/*.parquet",
    ] {
        let output = server.run(&[
            "layer",
            "--users",
            url,
            "--as-of",
            "2026-05-25",
            "--out",
            text(&small.path("l.parquet")),
        ]);
        assert_eq!(
            output.status.code(),
            Some(3),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(
        fs::read_dir(temporary.path()).unwrap().count(),
        0,
        "copies are left"
    );
}

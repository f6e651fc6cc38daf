//! Tests of servers that do not behave: lists of objects with odd keys or without an end, answers of
//! another version, and large answers of Prometheus.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    sync::Arc,
    thread,
};
use tempfile::TempDir;

use crate::support::{root, text};

/// An answer: status, headers and body.
type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// A server that answers a request line with a function. It stops with the test's process.
struct Server(u16);

impl Server {
    fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                thread::spawn(move || serve(&stream, &*answer));
            }
        });
        Self(port)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0)
    }

    /// Runs the program in 4 GB of address space, with this server as its object store.
    fn run(&self, temporary: &Path, args: &[&str]) -> Output {
        Command::new("sh")
            .args(["-c", "ulimit -v 4000000; exec timeout 60 \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_sluice"))
            .args(args)
            .current_dir(root())
            .env("TMPDIR", temporary)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_ENDPOINT_URL", self.url())
            .output()
            .unwrap()
    }
}

/// Answers the requests of a connection.
fn serve(stream: &TcpStream, answer: &dyn Fn(&str) -> Answer) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 {
                return;
            }
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(n) = header.strip_prefix("content-length:") {
                length = n.trim().parse().unwrap();
            }
            if let Some(range) = header.strip_prefix("range:") {
                request = format!("{} range {range}", request.trim_end());
            }
        }
        _ = reader.by_ref().take(length).read_to_end(&mut Vec::new());
        let (status, headers, body) = answer(request.trim_end());
        let mut head = format!("HTTP/1.1 {status} X\r\n");
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            write!(head, "content-length: {}\r\n", body.len()).unwrap();
        }
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head.push_str("\r\n");
        let mut writer = stream;
        let body: &[u8] = if request.starts_with("HEAD") { b"" } else { &body };
        if writer
            .write_all(head.as_bytes())
            .and_then(|()| writer.write_all(body))
            .is_err()
        {
            return;
        }
    }
}

const USERS: &str = "user_id\na\n";
const MODIFIED: &str = "2026-05-01T00:00:00.000Z";

/// A page of a list.
fn page(keys: &[&str], token: Option<&str>) -> Vec<u8> {
    let mut page = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    for key in keys {
        let size = USERS.len();
        write!(
            page,
            "<Contents><Key>{key}</Key><LastModified>{MODIFIED}</LastModified><ETag>\"1\"</ETag>\
             <Size>{size}</Size></Contents>"
        )
        .unwrap();
    }
    if let Some(token) = token {
        write!(page, "<NextContinuationToken>{token}</NextContinuationToken>").unwrap();
    }
    page.push_str("</ListBucketResult>");
    page.into_bytes()
}

/// A part of an object with a tag.
fn object(tag: &str) -> Answer {
    let n = USERS.len();
    let headers = vec![
        ("etag", format!("\"{tag}\"")),
        ("last-modified", "Fri, 01 May 2026 00:00:00 GMT".to_owned()),
        ("content-range", format!("bytes 0-{}/{n}", n - 1)),
    ];
    (206, headers, USERS.into())
}

fn missing() -> Answer {
    (404, Vec::new(), Vec::new())
}

/// The arguments of `sluice layer` for a URL.
fn layer<'a>(url: &'a str, out: &'a str) -> Vec<&'a str> {
    let absent = "last_use_time,use_count,user_value,accept_score,is_allow_gray";
    let fixed = ["layer", "--users", url, "--as-of", "2026-05-25"];
    fixed
        .into_iter()
        .chain(["--absent", absent, "--out", out])
        .collect()
}

/// Layers the users of `s3://b/d/` on a server with a list, and returns the exit code and stderr.
fn layered(server: &Server, url: &str) -> (Option<i32>, String) {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("l.parquet");
    fs::create_dir(dir.path().join("tmp")).unwrap();
    let output = server.run(&dir.path().join("tmp"), &layer(url, text(&out)));
    let left = fs::read_dir(dir.path().join("tmp")).unwrap().count();
    assert_eq!(left, 0, "copies are left");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A store whose list has these keys.
fn store(keys: &'static [&'static str]) -> Server {
    Server::start(move |request| {
        if request.contains("list-type=2") {
            (200, Vec::new(), page(keys, None))
        } else if request.starts_with("HEAD") {
            missing()
        } else {
            object("1")
        }
    })
}

#[test]
fn keys_that_cannot_be_read_are_left_out_with_a_warning() {
    let check = |keys: &'static [&'static str], code: i32, expected: &[&str]| {
        let (found, stderr) = layered(&store(keys), "s3://b/d/");
        assert_eq!(found, Some(code), "{keys:?}: {stderr}");
        for expected in expected {
            assert!(stderr.contains(expected), "{expected} in {stderr}");
        }
    };
    check(&["d/a.csv"], 0, &[]);
    for odd in [
        &["d/a.csv", "d//b.csv"] as &[&str],
        &["d/a.csv", "d/../b.csv"],
        &["d/a.csv", "e/evil.csv"],
        &["d/a.csv", "d"],
        &["d/a.csv", "/d/b.csv"],
    ] {
        let warned = odd[1] != "d";
        let expected: &[&str] = if warned {
            &["warning: s3://b/d/: 1 listed keys are not read", odd[1]]
        } else {
            &[]
        };
        check(odd, 0, expected);
    }
    check(&["e/evil.csv"], 3, &["expected an object"]);
    check(&["a.csv", "d"], 3, &["expected an object"]);
    // A key that is the folder of another, and a key that is longer than a path: the second copy has
    // the same user, which names it.
    let same = ["expected one row per user"];
    check(&["d/a.csv", "d/a.csv/b.csv"], 3, &same);
    check(&["d/a.csv", concat!("d/", "0123456789", "/x/")], 0, &[]);
}

#[test]
fn long_keys_are_copied() {
    let long: &'static str = Box::leak(format!("d/{}.csv", "k".repeat(900)).into_boxed_str());
    let deep: &'static str = Box::leak(format!("d/{}a.csv", "k/".repeat(400)).into_boxed_str());
    for key in [long, deep] {
        let keys: &'static [&'static str] = Box::leak(Box::new([key]));
        let (code, stderr) = layered(&store(keys), "s3://b/d/");
        assert_eq!(code, Some(0), "{stderr}");
    }
}

#[test]
fn a_folder_with_a_long_name_and_keys_of_others_is_no_panic() {
    let (code, stderr) = layered(&store(&["d/a.csv"]), "s3://b/ddddddddddddddd/");
    assert_eq!(code, Some(3), "{stderr}");
    assert!(
        stderr.contains("expected an object") && !stderr.contains("panicked"),
        "{stderr}"
    );
}

#[test]
fn a_list_without_end_ends_at_the_limit() {
    for keys in [&[] as &[&str], &["d/a.csv"; 1_000]] {
        let body = page(keys, Some("again"));
        let server = Server::start(move |request| {
            if request.contains("list-type=2") {
                (200, Vec::new(), body.clone())
            } else {
                missing()
            }
        });
        let dir = TempDir::new().unwrap();
        let out = dir.path().join("l.parquet");
        let args = [
            &layer("s3://b/d/", text(&out))[..],
            &["--limit", "list-keys=20000"],
        ]
        .concat();
        let output = server.run(dir.path(), &args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(
            stderr.contains("s3://b/d") && stderr.contains("(limit `list-keys`)"),
            "{stderr}"
        );
    }
}

#[test]
fn an_answer_of_another_version_is_refused() {
    let server = |tag: &'static str| {
        Server::start(move |request| {
            if request.contains("list-type=2") {
                (200, Vec::new(), page(&["d/a.csv"], None))
            } else if request.starts_with("HEAD") {
                missing()
            } else {
                object(tag)
            }
        })
    };
    let (code, stderr) = layered(&server("2"), "s3://b/d/");
    assert_eq!(code, Some(3), "{stderr}");
    assert!(
        stderr.contains("the object has changed in the meantime"),
        "{stderr}"
    );
    assert_eq!(layered(&server("1"), "s3://b/d/").0, Some(0));
}

#[test]
fn copies_are_private_and_names_of_others_do_not_block() {
    let dir = TempDir::new().unwrap();
    let temporary = dir.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    // Pipes, links and folders with the names of former versions.
    for name in ["sluice-inputs-999999", "sluice-inputs-999998"] {
        fs::create_dir(temporary.join(name)).unwrap();
        let made = Command::new("mkfifo")
            .arg(temporary.join(name).join(".lock"))
            .status();
        assert!(made.unwrap().success());
    }
    std::os::unix::fs::symlink(dir.path(), temporary.join("sluice-inputs-999997")).unwrap();
    let watched = temporary.clone();
    let server = Server::start(move |request| {
        if request.contains("list-type=2") {
            return (200, Vec::new(), page(&["d/a.csv", "d/b.csv"], None));
        }
        if request.starts_with("HEAD") {
            return missing();
        }
        // The folder is looked at while the second object is asked for.
        let found = fs::read_dir(&watched).unwrap().flatten();
        let is_own = |name: &str| name.len() > "sluice-inputs-999999".len() + 20;
        let mut own = found.filter(|entry| is_own(&entry.file_name().to_string_lossy()));
        let own = own.next().unwrap().path();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&own), 0o700);
        if request.contains("b.csv") {
            assert_eq!(mode(&own.join("0/000000000/a.csv")), 0o600);
        }
        object("1")
    });
    let out = dir.path().join("l.parquet");
    let output = server.run(&temporary, &layer("s3://b/d/", text(&out)));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    // Both objects have the same user, so both were read.
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("expected one row per user"), "{stderr}");
    let left = fs::read_dir(&temporary).unwrap().count();
    assert_eq!(left, 3, "only the names of others stay");
}

/// Answers of Prometheus with unknown layers.
fn unknown_layers(n: usize) -> Vec<u8> {
    let series: Vec<String> = (0..n)
        .map(|idx| format!("{{\"metric\":{{\"layer\":\"unknown-{idx}\"}},\"values\":[[1779667260,\"1\"]]}}"))
        .collect();
    let series = series.join(",");
    format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{series}]}}}}")
        .into_bytes()
}

#[test]
fn answers_of_prometheus_have_a_limit_and_few_warnings() {
    let dir = TempDir::new().unwrap();
    let plan = dir.path().join("plan.toml");
    let scenario = "as_of = \"2026-05-25T02:00:00Z\"\n[plan]\nid = \"p\"\nstart = \"2026-05-25\"\n\
                    baseline = \"a\"\ncandidate = \"b\"\n[input]\nusers = { path = \"u.csv\" }\n\
                    [[layer]]\nid = \"all\"\n[[operation]]\nat = \"2026-05-25\"\nlayer = \"all\"\nratio = 0.5\n";
    fs::write(&plan, scenario).unwrap();
    let run = |server: &Server, more: &[&str]| {
        let out = dir.path().join("analysis.json");
        let url = server.url();
        let fixed = [
            "analyze",
            "--scenario",
            text(&plan),
            "--prometheus",
            &url,
            "--out",
            text(&out),
        ];
        let output = server.run(dir.path(), &[&fixed[..], more].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let body = unknown_layers(20_000);
    let many = Server::start(move |_| (200, Vec::new(), body.clone()));
    let (code, stderr) = run(&many, &[]);
    assert!(matches!(code, Some(0 | 3)), "{code:?} {stderr}");
    assert!(stderr.len() < 50_000, "{} bytes of messages", stderr.len());
    assert!(stderr.contains("more warnings about series"), "{stderr}");
    let (code, stderr) = run(&many, &["--limit", "answer=100kB"]);
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("(limit `answer`)"), "{stderr}");
}

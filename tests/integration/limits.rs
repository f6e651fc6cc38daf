//! Tests of limits: sizes that files state are not believed. The program runs in 4 GB of address
//! space.

use flate2::{Compression, write::GzEncoder};
use sluice::base::limits::{Limit, LimitUnit};
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

use crate::{
    small::{Small, USERS},
    support::{fails, ok, root, sluice, text},
};

/// Runs the program in 4 GB of address space.
fn limited(args: &[&str]) -> Output {
    Command::new("sh")
        .args([
            "-c",
            "ulimit -v 4000000; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_sluice"),
            "--threads",
            "2",
        ])
        .args(args)
        .current_dir(root())
        .output()
        .unwrap()
}

/// Runs the program in 4 GB of address space. It must fail with a code and texts.
pub(crate) fn refuses(args: &[&str], code: i32, expected: &[&str]) {
    let output = limited(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    for expected in expected {
        assert!(stderr.contains(expected), "{expected:?} in {stderr}");
    }
    assert!(stderr.len() < 100_000, "{} bytes of messages", stderr.len());
}

/// Runs the program in 4 GB of address space. It must succeed. Returns its stdout.
pub(crate) fn accepts(args: &[&str]) -> String {
    let output = limited(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn gzipped(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    for part in parts {
        packed.write_all(part.as_ref()).unwrap();
    }
    packed.finish().unwrap()
}

/// The arguments of `sluice layer` for a table without features.
pub(crate) fn layer<'a>(users: &'a Path, out: &'a Path) -> Vec<&'a str> {
    let absent = "last_use_time,use_count,user_value,accept_score,is_allow_gray";
    let fixed = ["layer", "--users", text(users), "--as-of", "2026-05-25"];
    fixed
        .into_iter()
        .chain(["--absent", absent, "--out", text(out)])
        .collect()
}

#[test]
fn the_page_lists_every_limit_with_its_default() {
    let page = fs::read_to_string(root().join("docs/reference/limits.md")).unwrap();
    let found: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = Limit::all()
        .map(|limit| {
            let unit = match limit.unit() {
                LimitUnit::Bytes => "bytes",
                LimitUnit::Count => "count",
            };
            let (name, default) = (limit.name(), limit.default_text());
            format!("| `{name}` | {default} | {unit} | {} |", limit.protects())
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_limit_of_the_command_line_is_known_and_has_a_size() {
    let check = |text: &str, expected: &str| {
        let stderr = String::from_utf8(sluice(&["schema", "prices", "--limit", text]).stderr).unwrap();
        assert!(stderr.contains(expected), "{text}: {stderr}");
    };
    check("lines=1MiB", "did you mean `line`?");
    check("lines=1MiB", "limits are line, columns, batch");
    check("line", "expected NAME=SIZE");
    check("line=much", "expected a size such as 300MB");
    check("columns=-1", "expected a whole number above 0");
    ok(&["schema", "prices", "--limit", "line=1MiB", "--limit", "columns=7"]);
}

/// Adds columns to a CSV text, with a 1 in each row.
fn widened(csv: &str, n_columns: usize) -> String {
    let names: String = (0..n_columns).map(|idx| format!(",c{idx}")).collect();
    let values = ",1".repeat(n_columns);
    let mut lines = csv.lines();
    let header = lines.next().unwrap();
    let rows = lines.map(|line| format!("{line}{values}\n"));
    std::iter::once(format!("{header}{names}\n"))
        .chain(rows)
        .collect()
}

#[test]
fn columns_that_are_not_read_take_no_memory() {
    let small = Small::new();
    small.run();
    let expected = fs::read(small.path("out/layers.parquet")).unwrap();
    let plain = ["users.csv", "traffic.csv"].map(|name| fs::read_to_string(small.path(name)).unwrap());
    for ending in ["csv", "csv.gz"] {
        let write = |name: &str, csv: &str| {
            let wide = widened(csv, 20_000);
            let bytes = if ending == "csv" {
                wide.into_bytes()
            } else {
                gzipped([wide])
            };
            small.write(&format!("{name}.{ending}"), bytes);
            small.path(&format!("{name}.{ending}"))
        };
        let users = write(
            "wide-users",
            &plain[0].lines().take(3).collect::<Vec<_>>().join("\n"),
        );
        let out = small.path("l.parquet");
        let features = "last_use_time,user_value,accept_score";
        let args = [
            "layer",
            "--users",
            text(&users),
            "--as-of",
            "2026-05-25",
            "--absent",
            features,
        ];
        accepts(&[&args[..], &["--out", text(&out)]].concat());
        write(
            "wide-traffic",
            &plain[1].lines().take(5).collect::<Vec<_>>().join("\n"),
        );
        let traffic = small.path(&format!("wide-traffic.{ending}"));
        let cube = small.path("cube");
        fs::remove_dir_all(&cube).ok();
        let layers = small.path("out/layers.parquet");
        let study = small.path("study.toml");
        accepts(&[
            "replay",
            "--scenario",
            text(&study),
            "--layers",
            text(&layers),
            "--traffic",
            text(&traffic),
            "--out",
            text(&cube),
        ]);
        let cases = write(
            "wide-cases",
            "case_id,release_id,passed,score_a\nx,r1,true,1\nx,r2,true,0\n",
        );
        accepts(&["evals", text(&cases)]);
        let events = write("wide-events", "user_id,event_time,value\na,2026-05-20,1\n");
        accepts(&[
            "layer",
            "--events",
            text(&events),
            "--as-of",
            "2026-05-25",
            "--out",
            text(&out),
            "--absent",
            "is_allow_gray",
        ]);
    }
    // A table of moderate width gives the same bytes as without the columns.
    small.write("users.csv", widened(&plain[0], 3_000));
    small.run();
    assert!(fs::read(small.path("out/layers.parquet")).unwrap() == expected);
}

#[test]
fn score_columns_that_are_read_make_smaller_batches() {
    let dir = tempfile::tempdir().unwrap();
    let scores: String = (0..20_000).map(|idx| format!(",score_{idx}")).collect();
    let row = |case: usize, release: &str| format!("c{case},{release}{}\n", ",0.5".repeat(20_000));
    let rows: String = (0..4).map(|case| row(case, "r1") + &row(case, "r2")).collect();
    let path = dir.path().join("e.csv");
    fs::write(&path, format!("case_id,release_id{scores}\n{rows}")).unwrap();
    let output = limited(&["evals", text(&path), "--json"]);
    assert_ne!(output.status.code(), None, "killed");
    assert_ne!(output.status.code(), Some(134));
}

#[test]
fn a_line_has_a_limit_in_every_text() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("l.parquet");
    let long = || std::iter::repeat_n(vec![b'x'; 1 << 20], 40);
    let blanks = || std::iter::repeat_n(vec![b' '; 1 << 20], 40);
    let breaks = || std::iter::repeat_n(vec![b'\n'; 1 << 20], 40);
    let check = |name: &str, parts: Vec<Vec<u8>>, location: &str| {
        let path = dir.path().join(name);
        if name.ends_with(".gz") {
            fs::write(&path, gzipped(parts)).unwrap();
        } else {
            fs::write(&path, parts.concat()).unwrap();
        }
        let location = format!("{}: {location}", path.display());
        let expected = [location.as_str(), "(limit `line`)", "--limit line=128MiB"];
        refuses(&layer(&path, &out), 3, &expected);
        fs::remove_file(&path).unwrap();
    };
    let with = |start: &str, parts: &mut dyn Iterator<Item = Vec<u8>>| {
        std::iter::once(start.as_bytes().to_vec())
            .chain(parts)
            .collect::<Vec<_>>()
    };
    check("h.csv", with("", &mut long()), "header");
    check("r.csv", with("user_id\na\n", &mut long()), "row 2");
    check("q.csv", with("user_id,b\na,1\nb,\"", &mut breaks()), "row 2");
    check("b.csv.gz", with("user_id\na\n", &mut breaks()), "row 2");
    check("l.csv.gz", with("user_id\n", &mut long()), "row 1");
    check(
        "k.ndjson",
        with("{\"user_id\": \"a\"}\n{\"", &mut long()),
        "line 2",
    );
    check(
        "s.ndjson.gz",
        with("{\"user_id\": \"a\"}\n", &mut blanks()),
        "line 2",
    );
    check(
        "n.ndjson.gz",
        with("{\"user_id\": \"a\"}\n", &mut breaks()),
        "line",
    );
    check("v.jsonl.gz", with("{\"user_id\": \"", &mut long()), "line 1");
    // Logged calls, and lines of evaluation tools.
    let calls = dir.path().join("calls.ndjson");
    fs::write(&calls, with("", &mut long()).concat()).unwrap();
    let bundle = "tests/samples/limits/tools.json";
    refuses(
        &["tools", "diff", bundle, bundle, "--calls", text(&calls)],
        3,
        &["line 1", "(limit `line`)"],
    );
    let lines = dir.path().join("e.jsonl");
    let first = "{\"promptIdx\": 0}\n";
    fs::write(&lines, with(first, &mut long()).concat()).unwrap();
    let args = ["evals", text(&lines)];
    refuses(&args, 3, &["e.jsonl: line"]);
    let first = dir.path().join("f.jsonl");
    fs::write(&first, with("", &mut blanks()).concat()).unwrap();
    refuses(&["evals", text(&first)], 3, &["(limit `line`)"]);
    // Lines of `sluice calc`.
    let inputs = dir.path().join("inputs.ndjson");
    fs::write(&inputs, with("{}\n", &mut long()).concat()).unwrap();
    let args = ["calc", "srm", "--batch", text(&inputs)];
    refuses(&args, 3, &["line 2", "(limit `line`)"]);
    // The limit can be raised and lowered.
    let path = dir.path().join("users.csv");
    fs::write(&path, format!("user_id\n{}\n", "x".repeat(5_000))).unwrap();
    let args = layer(&path, &out);
    accepts(&args);
    refuses(
        &[&args[..], &["--limit", "line=2kB"]].concat(),
        3,
        &["row 1", "2000B", "(limit `line`)"],
    );
}

#[test]
fn a_short_json_text_of_a_large_tree_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let calls = dir.path().join("calls.ndjson");
    let tree = "{\"\":0},".repeat(3_000_000);
    fs::write(&calls, format!("{{\"tool\": \"t\", \"arguments\": [{tree}0]}}\n")).unwrap();
    let bundle = "tests/samples/limits/tools.json";
    let expected = ["calls.ndjson: line 1", "(limit `json-memory`)"];
    refuses(
        &["tools", "diff", bundle, bundle, "--calls", text(&calls)],
        3,
        &expected,
    );
}

#[test]
fn ndjson_has_every_key_once_and_may_begin_with_a_mark() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("u.ndjson"), dir.path().join("l.parquet"));
    fs::write(&path, "\u{feff}{\"user_id\": \"a\"}\n{\"user_id\": \"b\"}\n").unwrap();
    ok(&layer(&path, &out));
    fs::write(
        &path,
        "{\"user_id\": \"a\"}\n{\"user_id\": \"b\", \"user_id\": \"c\"}\n",
    )
    .unwrap();
    let stderr = fails(&layer(&path, &out), 3);
    assert!(
        stderr.contains("line 2") && stderr.contains("a repeated key `user_id`"),
        "{stderr}"
    );
}

#[test]
fn names_of_columns_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, ndjson) = (dir.path().join("u.csv"), dir.path().join("u.ndjson"));
    let names: String = (0..200_000).map(|idx| format!(",{idx}")).collect();
    fs::write(&csv, format!("user_id{names}\n")).unwrap();
    let lines: String = (0..200_000).map(|idx| format!("{{\"{idx}\":1}}\n")).collect();
    fs::write(&ndjson, lines).unwrap();
    let out = dir.path().join("l.parquet");
    refuses(
        &layer(&csv, &out),
        3,
        &["(limit `columns`), found 200001", "--limit columns=200001"],
    );
    refuses(&layer(&ndjson, &out), 3, &["line 100001", "(limit `columns`)"]);
}

#[test]
fn documents_have_a_limit_and_errors_a_length() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.toml");
    let check = |scenario: &str, expected: &[&str]| {
        fs::write(&path, scenario).unwrap();
        refuses(
            &["run", text(&path), "--out", text(&dir.path().join("out"))],
            2,
            expected,
        );
    };
    check(
        &format!("{} = 1\n", "k".repeat(5 << 20)),
        &["s.toml", "(limit `toml`)", "--limit toml="],
    );
    let layers: String = (0..30_000)
        .map(|idx| format!("[[layer]]\nid = \"l{idx}\"\n"))
        .collect();
    check(&layers, &["layer: expected at most 100 layers, found 30000"]);
    let operation = "[[operation]]\nat = \"2026-05-25\"\nlayer = \"none\"\nratio = 7\n";
    check(&operation.repeat(20_000), &["more problems"]);
    let keys: String = (0..5_000).map(|idx| format!("k{idx} = 1\n")).collect();
    check(&keys, &["k0", "more problems"]);
}

#[test]
fn an_archive_has_every_member_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.eval");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in [
        ("header.json", r#"{"eval": {"task": "t"}}"#),
        ("hexder.json", r#"{"eval": {"task": "u"}}"#),
        ("summaries.json", r#"[{"id": 1, "scores": {"s": {"value": 1}}}]"#),
    ] {
        archive.start_file(name, options).unwrap();
        archive.write_all(content.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
    let args = ["evals", text(&path)];
    let before = String::from_utf8(sluice(&args).stderr).unwrap();
    assert!(!before.contains("twice"), "{before}");
    let text = fs::read(&path).unwrap();
    let name = b"hexder.json";
    let at: BTreeSet<usize> = (0..text.len())
        .filter(|at| text[*at..].starts_with(name))
        .collect();
    let mut twice = text.clone();
    for at in at {
        twice[at + 2] = b'a';
    }
    fs::write(&path, twice).unwrap();
    refuses(&args, 3, &["run.eval", "a member that is there twice"]);
}

#[test]
fn a_large_honest_table_is_read_in_little_memory() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("u.csv");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    let names: String = (0..3_000).map(|idx| format!(",c{idx}")).collect();
    let values = ",1".repeat(3_000);
    writeln!(file, "{}{names}", USERS.trim_end()).unwrap();
    for row in 0..3_000 {
        writeln!(file, "u{row},1,true{values}").unwrap();
    }
    file.flush().unwrap();
    let out = dir.path().join("l.parquet");
    let args = [
        "layer",
        "--users",
        text(&path),
        "--as-of",
        "2026-05-25",
        "--log",
        "json",
    ];
    let args = [
        &args[..],
        &[
            "--absent",
            "last_use_time,user_value,accept_score",
            "--out",
            text(&out),
        ],
    ]
    .concat();
    let output = limited(&args);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    let peaks = log.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["peak_memory_bytes"].as_u64()
    });
    let peak = peaks.max().unwrap();
    assert!(peak < 200 << 20, "{peak} bytes");
}

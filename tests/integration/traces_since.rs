//! Tests of `sluice import --since`: an import that goes on writes the table of an import of all files
//! at once, reads only what is new, and survives kills, rotations and lines that are not whole.

use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{arg, fails, json, kill_runs, ok, root, text};

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// The first night, nanoseconds.
const START: i64 = 1_779_926_400_000_000_000;
const DAY: i64 = 86_400_000_000_000;

fn attributes(pairs: &[(&str, Value)]) -> Value {
    let entries = pairs.iter().map(|(key, value)| {
        let kind = match value {
            Value::String(_) => "stringValue",
            _ => "doubleValue",
        };
        json!({ "key": key, "value": { kind: value } })
    });
    entries.collect()
}

/// A line with one span.
fn span(trace: &str, id: &str, parent: &str, at: i64, more: &[(&str, Value)]) -> String {
    let span = json!({
        "traceId": trace, "spanId": id, "parentSpanId": parent, "name": "x", "kind": 1,
        "startTimeUnixNano": at.to_string(), "endTimeUnixNano": (at + 500_000_000).to_string(),
        "attributes": attributes(more),
    });
    let resource = json!({ "attributes": attributes(&[("service.version", json!("rel_1"))]) });
    let document =
        json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": [span] }] }] });
    format!("{document}\n")
}

/// A line with one evaluation: of a trace, a session or an answer.
fn score(target: &[(&str, Value)], trace: &str, name: &str, value: u64, at: i64) -> String {
    let mut all = vec![
        ("gen_ai.evaluation.name", json!(name)),
        ("gen_ai.evaluation.score.value", json!(value as f64)),
    ];
    all.extend_from_slice(target);
    let record = json!({
        "timeUnixNano": at.to_string(), "eventName": "gen_ai.evaluation.result", "traceId": trace,
        "attributes": attributes(&all),
    });
    let document = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [record] }] }] });
    format!("{document}\n")
}

/// The lines of a trace that began in a night, each with the number of nights that it comes later.
fn trace(dice: &mut Dice, night: i64, number: i64) -> Vec<(u64, String)> {
    let id = format!("{:032x}", night * 1_000 + number + 1);
    let at = START + night * DAY + number * 60_000_000_000;
    let session = format!("c{}", number % 3 + night * 3);
    let user = format!("u{}", dice.roll(20));
    let chat = [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.usage.input_tokens", json!(200 + dice.roll(900))),
        ("gen_ai.usage.output_tokens", json!(dice.roll(90))),
        ("gen_ai.response.id", json!(format!("answer-{id}"))),
    ];
    let agent = [
        ("gen_ai.operation.name", json!("invoke_agent")),
        ("user.id", json!(user)),
        ("gen_ai.conversation.id", json!(session)),
    ];
    let tool = [("gen_ai.operation.name", json!("execute_tool"))];
    let late = |dice: &mut Dice| if dice.roll(4) == 0 { 1 + dice.roll(4) } else { 0 };
    let mut lines = vec![
        (late(dice), span(&id, "a1", "f0", at + 1_000, &chat)),
        (late(dice), span(&id, "a2", "f0", at + 2_000, &tool)),
        (late(dice), span(&id, "f0", "", at, &agent)),
    ];
    if dice.roll(3) == 0 {
        lines.push((dice.roll(6), score(&[], &id, "csat", dice.roll(5), at + 9_000)));
    }
    if dice.roll(4) == 0 {
        let target = [("gen_ai.conversation.id", json!(session))];
        lines.push((
            dice.roll(6),
            score(&target, "", "csat", dice.roll(5), at + 1_000_000_000),
        ));
    }
    if dice.roll(4) == 0 {
        let target = [("gen_ai.response.id", json!(format!("answer-{id}")))];
        lines.push((
            dice.roll(6),
            score(&target, "", "good", dice.roll(2), at + 1_000_000_000),
        ));
    }
    // A line that is sent again.
    if dice.roll(8) == 0 {
        lines.push((dice.roll(3), lines[0].1.clone()));
    }
    lines
}

/// A folder of logs that grow and rotate, and a folder with all that was ever whole in them.
struct Logs {
    dir: tempfile::TempDir,
}

impl Logs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Documents beside logs are not read, so they have folders of their own.
        for folder in ["log", "all", "log-objects", "all-objects"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let options = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(name));
        options.unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Adds lines to a log, in both folders.
    fn add(&self, name: &str, text: &str) {
        self.append(&format!("log/{name}"), text);
        self.append(&format!("all/{name}"), text);
    }

    fn args<'a>(&self, folder: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let path = |name: &str| arg(self.path(name));
        let options = ["--score", "csat=csat", "--score", "good=good>=1", "--out"];
        let mut paths = vec!["import", path(folder)];
        let objects = format!("{folder}-objects");
        if fs::read_dir(self.path(&objects)).unwrap().next().is_some() {
            paths.push(path(&objects));
        }
        [&paths[..], &options, &[path(out)], more].concat()
    }

    fn since(&self, more: &[&str]) -> Value {
        let state = ["--since", arg(self.path("state"))];
        ok(&self.args("log", "turns.parquet", &[&state, more].concat()));
        json(&self.path("turns.coverage.json"))
    }

    /// Checks that the table is that of an import of all files at once, and the coverage too.
    fn check_same(&self, night: &str) {
        ok(&self.args("all", "whole.parquet", &[]));
        let (found, expected) = (self.path("turns.parquet"), self.path("whole.parquet"));
        assert!(
            fs::read(found).unwrap() == fs::read(expected).unwrap(),
            "night {night}"
        );
        let coverage = |name: &str| {
            let mut coverage = json(&self.path(name));
            let keys = coverage.as_object_mut().unwrap();
            keys.remove("since");
            // A log that was packed has other bytes.
            keys.remove("n_bytes");
            coverage
        };
        assert_eq!(
            coverage("turns.coverage.json"),
            coverage("whole.coverage.json"),
            "night {night}"
        );
    }
}

fn number(coverage: &Value, key: &str) -> u64 {
    coverage["since"][key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key}: {coverage}"))
}

#[test]
fn thirty_six_nights_give_the_bytes_of_one_import() {
    let logs = Logs::new();
    let mut dice = Dice(7);
    let mut waiting: Vec<Vec<String>> = vec![Vec::new(); 50];
    let (mut n_amended, mut n_waiting, mut n_grown, mut n_read, mut cut) = (0, 0, 0, 0, String::new());
    for night in 0..36_usize {
        for number in 0..12 {
            for (delay, line) in trace(&mut dice, night as i64, number) {
                waiting[night + delay as usize].push(line);
            }
        }
        // The rest of the line that was not whole.
        logs.append("log/live.jsonl", &cut);
        match night % 6 {
            // The log gets another name, and another log its name; or it is packed, or moved away.
            3 => {
                let name = format!("live-{night}.jsonl");
                let (live, all) = (logs.path("log/live.jsonl"), logs.path("all/live.jsonl"));
                let bytes = fs::read(&live).unwrap();
                fs::rename(&all, logs.path(&format!("all/{name}"))).unwrap();
                match night / 6 % 4 {
                    0 => fs::rename(&live, logs.path(&format!("log/{name}"))).unwrap(),
                    1 => fs::rename(&live, logs.path(&format!("away-{night}"))).unwrap(),
                    2 => {
                        let packed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
                        fs::write(logs.path(&format!("log/{name}.zst")), packed).unwrap();
                    }
                    _ => {
                        let file = fs::File::create(logs.path(&format!("log/{name}.gz"))).unwrap();
                        let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
                        // Lines that were not there when the log was read last.
                        let late = waiting[night].pop().unwrap();
                        packer.write_all(&bytes).unwrap();
                        packer.write_all(late.as_bytes()).unwrap();
                        packer.finish().unwrap();
                        logs.append(&format!("all/{name}"), &late);
                    }
                }
                if live.exists() {
                    fs::remove_file(live).unwrap();
                }
                assert_eq!(cut, "");
            }
            // Files of one document each, without an end of line, and files of other systems.
            5 => {
                let lines: Vec<String> = waiting[night].drain(..3).collect();
                for (number, line) in lines.iter().enumerate() {
                    for all in ["log", "all"] {
                        let name = format!("{all}-objects/{night}-{number}.json");
                        fs::write(logs.path(&name), line.trim_end()).unwrap();
                    }
                }
                let others = ["litellm/LiteLLM_SpendLogs.csv", "mlflow/traces.jsonl"];
                if let Some(name) = others.get(night / 6) {
                    let end = name.rsplit_once('.').unwrap().1;
                    for all in ["log", "all"] {
                        let copy = logs.path(&format!("{all}/other-{night}.{end}"));
                        fs::copy(root().join("tests/data/traces").join(name), copy).unwrap();
                    }
                }
            }
            _ => {}
        }
        let lines: String = std::mem::take(&mut waiting[night]).concat();
        let last = lines.trim_end().rfind('\n').map_or(0, |at| at + 1);
        cut.clear();
        if night % 3 == 1 {
            // The last line is not whole yet; in the folder of all it comes the next night.
            let at = last + (lines.len() - last) / 2;
            logs.add("live.jsonl", &lines[..last]);
            logs.append("log/live.jsonl", &lines[last..at]);
            cut = lines[at..].to_owned();
        } else {
            logs.add("live.jsonl", &lines);
        }
        let threads = ["1", "2", "3"][night % 3];
        let limit = ["1MB", "2GB"][night % 2];
        let coverage = logs.since(&["--threads", threads, "--memory-limit", limit]);
        logs.check_same(&night.to_string());
        if !cut.is_empty() {
            logs.append("all/live.jsonl", &lines[last..]);
        }
        n_amended += number(&coverage, "n_amended_traces");
        n_waiting += number(&coverage, "n_waiting_bytes");
        n_grown += number(&coverage, "n_grown_files");
        n_read += number(&coverage, "n_read_bytes");
    }
    assert!(
        n_amended > 100 && n_waiting > 1_000 && n_grown > 20,
        "{n_amended} {n_waiting} {n_grown}"
    );
    // Each byte was read once, and packed logs again.
    let all = ["all", "all-objects"].map(|folder| crate::support::tree(&logs.path(folder)));
    let n_bytes: u64 = all.iter().flatten().map(|(_, bytes)| bytes.len() as u64).sum();
    assert!(n_read * 50 < n_bytes * 51, "{n_read} of {n_bytes}");
    // More than 32 files of records became one.
    let names = fs::read_dir(logs.path("state")).unwrap().count();
    assert!((3..12).contains(&names), "{names}");
    // A night without anything new changes nothing.
    let before = crate::support::tree(&logs.path("state"));
    let coverage = logs.since(&[]);
    assert_eq!(number(&coverage, "n_read_bytes"), 0);
    assert!(crate::support::tree(&logs.path("state")) == before);
    // Other prices need no other state.
    let prices = arg(root().join("datasets/prices.toml"));
    if Path::new(prices).exists() {
        logs.since(&["--prices", prices]);
    }
}

#[test]
fn one_thread_and_many_keep_the_same_bytes() {
    let logs = Logs::new();
    let mut dice = Dice(3);
    for number in 0..400 {
        let lines = trace(&mut dice, 0, number);
        let name = format!("{}.jsonl", number % 5);
        logs.add(
            &name,
            &lines.iter().map(|(_, line)| line.as_str()).collect::<String>(),
        );
    }
    let mut states = Vec::new();
    for (threads, limit) in [("1", "2GB"), ("3", "2GB"), ("2", "1MB")] {
        logs.since(&["--threads", threads, "--memory-limit", limit]);
        states.push(crate::support::tree(&logs.path("state")));
        fs::remove_dir_all(logs.path("state")).unwrap();
    }
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Two nights of a log: 200 traces, then some more lines.
fn two_nights() -> (Logs, String) {
    let logs = Logs::new();
    let mut dice = Dice(11);
    let (mut first, mut second) = (String::new(), String::new());
    for number in 0..200 {
        for (delay, line) in trace(&mut dice, 0, number) {
            if delay == 0 { &mut first } else { &mut second }.push_str(&line);
        }
    }
    logs.add("live.jsonl", &first);
    (logs, second)
}

#[test]
fn files_are_known_by_their_content() {
    let (logs, more) = two_nights();
    let read = |key: &str| number(&logs.since(&[]), key);
    assert_eq!(read("n_new_files"), 1);
    // Another name, and a copy under a third one.
    fs::rename(logs.path("log/live.jsonl"), logs.path("log/b.jsonl")).unwrap();
    fs::copy(logs.path("log/b.jsonl"), logs.path("log/c.jsonl")).unwrap();
    assert_eq!(read("n_known_files"), 2);
    assert_eq!(read("n_read_bytes"), 0);
    fs::remove_file(logs.path("log/c.jsonl")).unwrap();
    // More lines under another name again.
    logs.append("log/b.jsonl", &more);
    fs::rename(logs.path("log/b.jsonl"), logs.path("log/d.jsonl")).unwrap();
    assert_eq!(read("n_read_bytes"), more.len() as u64);
    // All files are away but one that is empty of news: the turns stay.
    let n_turns = json(&logs.path("turns.coverage.json"))["n_turns"].clone();
    fs::rename(logs.path("log/d.jsonl"), logs.path("d")).unwrap();
    logs.append("log/e.jsonl", &span("99", "1", "", START, &[]));
    let coverage = logs.since(&[]);
    assert_eq!(
        (number(&coverage, "n_missing_files"), &coverage["n_turns"]),
        (1, &n_turns)
    );
}

#[test]
fn a_log_whose_earlier_bytes_changed_is_refused() {
    let (logs, _) = two_nights();
    logs.since(&[]);
    let state = crate::support::tree(&logs.path("state"));
    let log = logs.path("log/live.jsonl");
    let whole = fs::read_to_string(&log).unwrap();
    let mut args = logs.args("log", "turns.parquet", &["--since", arg(logs.path("state"))]);
    let at = whole.rfind("\"u1").unwrap();
    let changed = format!("{}\"v1{}", &whole[..at], &whole[at + 3..]);
    for content in [&whole[..whole.len() / 2], &changed] {
        fs::write(&log, content).unwrap();
        let stderr = fails(&args, 3);
        assert!(stderr.contains("live.jsonl: expected the"), "{stderr}");
        assert!(stderr.contains("--since NEW"), "{stderr}");
    }
    // The rest of a document that was whole.
    let end = whole.trim_end();
    fs::write(&log, end).unwrap();
    fs::remove_dir_all(logs.path("state")).unwrap();
    logs.since(&[]);
    fs::write(&log, format!("{end} {{}}\n")).unwrap();
    let stderr = fails(&args, 3);
    assert!(
        stderr.contains("expected the end of the line at byte"),
        "{stderr}"
    );
    fs::write(&log, &whole).unwrap();
    assert_eq!(number(&logs.since(&[]), "n_read_bytes"), 1);
    // Another start under the same name is another log.
    fs::write(&log, span("77", "1", "", START, &[("user.id", json!("u"))])).unwrap();
    let coverage = logs.since(&[]);
    assert_eq!(number(&coverage, "n_replaced_files"), 1);
    // Other settings read other records.
    args.extend(["--column", "plan=metadata.plan"]);
    let stderr = fails(&args, 3);
    assert!(
        stderr.contains("expected --column as in earlier imports, none"),
        "{stderr}"
    );
    assert!(stderr.contains("found plan=metadata.plan"), "{stderr}");
    assert_eq!(state.len(), 2);
}

#[test]
fn a_state_that_is_damaged_or_foreign_is_refused() {
    let (logs, _) = two_nights();
    logs.since(&[]);
    let args = logs.args("log", "turns.parquet", &["--since", arg(logs.path("state"))]);
    let records = logs.path("state/records-000001.bin");
    let document = logs.path("state/import.json");
    let (bytes, text) = (
        fs::read(&records).unwrap(),
        fs::read_to_string(&document).unwrap(),
    );
    let check = |path: &Path, content: &[u8], expected: &str| {
        fs::write(path, content).unwrap();
        let stderr = fails(&args, 3);
        assert!(stderr.contains(expected), "{expected}: {stderr}");
        fs::write(&records, &bytes).unwrap();
        fs::write(&document, &text).unwrap();
    };
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    check(&records, &damaged, "found a damaged file");
    check(&records, &bytes[1..], "found a damaged file");
    check(
        &document,
        text.replace("\"record_format\": 1", "\"record_format\": 9")
            .as_bytes(),
        "version 9",
    );
    check(
        &document,
        text.replace("records-000001", "../records").as_bytes(),
        "expected names of files",
    );
    check(
        &document,
        text.replace("import-state/1", "import-state/2").as_bytes(),
        "import-state/1",
    );
    check(&document, b"{", "import.json");
    let file = arg(logs.path("turns.coverage.json"));
    let stderr = fails(&logs.args("log", "turns.parquet", &["--since", file]), 1);
    assert!(stderr.contains("expected a folder, found a file"), "{stderr}");
    fails(
        &logs.args("log", "turns.parquet", &["--since", arg(logs.path("log/state"))]),
        2,
    );
    logs.since(&[]);
}

#[test]
fn a_last_line_that_is_not_whole_waits_only_with_a_state() {
    let (logs, _) = two_nights();
    logs.append("log/live.jsonl", "{\"resourceSpans\":[{\"scope");
    logs.append("log/next.jsonl", "{\"resourceSpans\"");
    logs.append("log-objects/list.json", "[\n{\"resourceSpans\": []},\n");
    logs.append("log-objects/pretty.json", "{\n\"resourceSpans\": [\n");
    let coverage = logs.since(&[]);
    assert_eq!(number(&coverage, "n_waiting_files"), 4);
    let n_bytes = 25 + 16 + 25 + 21;
    assert_eq!(number(&coverage, "n_waiting_bytes"), n_bytes);
    let shown = ok(&logs.args("log", "turns.parquet", &["--since", arg(logs.path("state"))]));
    assert!(shown.contains("bytes that wait"), "{shown}");
    let stderr = fails(&logs.args("log", "whole.parquet", &[]), 3);
    assert!(stderr.contains("expected"), "{stderr}");
    // A line that is no JSON does not wait.
    logs.append("log/live.jsonl", "\"]oops}");
    let args = logs.args("log", "turns.parquet", &["--since", arg(logs.path("state"))]);
    let stderr = fails(&args, 3);
    assert!(stderr.contains("live.jsonl: line"), "{stderr}");
    // Bad rows may be dropped in a night of their own.
    logs.append("log/live.jsonl", "\n");
    let coverage = logs.since(&["--on-bad-row", "drop"]);
    assert_eq!(coverage["bad_rows"]["row: expected OTLP as JSON"], 1);
    let coverage = logs.since(&[]);
    assert_eq!(coverage["bad_rows"]["row: expected OTLP as JSON"], 1);
}

#[test]
fn a_killed_import_is_finished_by_the_next() {
    let (logs, more) = two_nights();
    logs.since(&[]);
    let copy = |from: &str, to: &str| {
        fs::remove_dir_all(logs.path(to)).ok();
        fs::create_dir(logs.path(to)).unwrap();
        for (name, bytes) in crate::support::tree(&logs.path(from)) {
            fs::write(logs.path(to).join(name), bytes).unwrap();
        }
    };
    copy("state", "earlier");
    logs.add("live.jsonl", &more);
    let args = logs.args("log", "turns.parquet", &["--since", arg(logs.path("state"))]);
    let started = Instant::now();
    logs.since(&[]);
    let whole = started.elapsed();
    let expected = crate::support::tree(&logs.path("state"));
    let owned: Vec<String> = args.iter().map(ToString::to_string).collect();
    kill_runs(
        &owned,
        whole,
        12,
        |_| copy("earlier", "state"),
        |k| {
            logs.since(&[]);
            let found = crate::support::tree(&logs.path("state"));
            let differs = |name: &&PathBuf| found.get(*name) != expected.get(*name);
            let names: Vec<&PathBuf> = found.keys().chain(expected.keys()).filter(differs).collect();
            assert!(names.is_empty(), "kill {k}: {names:?} differ");
            logs.check_same(&format!("kill {k}"));
        },
    );
    // Two at once.
    let lock = logs.path("state/.import.json.tmp.lock");
    let other = fs::File::create(&lock).unwrap();
    other.lock().unwrap();
    let stderr = fails(&args, 1);
    assert!(stderr.contains("another sluice process"), "{stderr}");
    drop(other);
    while crate::support::sluice(&args).status.code() == Some(1) {
        thread::sleep(Duration::from_millis(50));
    }
    assert!(!lock.exists());
}

#[test]
fn neither_the_memory_limit_nor_threads_change_a_byte_and_memory_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.jsonl");
    let mut file = std::io::BufWriter::new(fs::File::create(&log).unwrap());
    let mut dice = Dice(5);
    let padding = "x".repeat(2_000);
    let mut n_bytes = 0;
    for number in 0.. {
        let lines = trace(&mut dice, number / 900, number % 900);
        for (_, line) in &lines {
            let line = line.replacen('{', &format!("{{\"padding\":\"{padding}\","), 1);
            file.write_all(line.as_bytes()).unwrap();
            n_bytes += line.len();
        }
        if n_bytes > 300_000_000 {
            break;
        }
    }
    file.flush().unwrap();
    let import = |out: &str, limit: &str, threads: &str| {
        let out = dir.path().join(out);
        let args = ["import", text(&log), "--out", text(&out), "--score", "csat=csat"];
        let more = ["--memory-limit", limit, "--threads", threads, "--log", "json"];
        let output = crate::support::sluice(&[&args[..], &more].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        let line = stderr
            .lines()
            .find(|line| line.contains("peak_memory_bytes"))
            .unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        (
            fs::read(out).unwrap(),
            line["peak_memory_bytes"].as_u64().unwrap(),
        )
    };
    let (whole, _) = import("a.parquet", "4GB", "2");
    // The least memory is 110 MB and 35 MB a thread.
    for (limit, threads, most) in [("200MB", "2", 200_000_000), ("1MB", "1", 145_000_000)] {
        let (table, peak) = import("b.parquet", limit, threads);
        assert!(table == whole, "{limit}");
        assert!(peak < most, "{limit}: {peak}");
    }
}

//! Shared parts of the tests: the program, folders, and one run of the case study.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// The folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the program in the folder of the repository.
pub(crate) fn sluice(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(args)
        .current_dir(root())
        .env_remove("COLUMNS")
        .output()
        .expect("the program starts")
}

/// Runs a command that must succeed. Returns its stdout.
pub(crate) fn ok(args: &[&str]) -> String {
    let output = sluice(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must succeed and print JSON. Returns the document.
pub(crate) fn ok_json(args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&ok(args)).unwrap()
}

/// Runs a command that must fail with this exit code. Returns its stderr.
pub(crate) fn fails(args: &[&str], code: i32) -> String {
    let output = sluice(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    // Warnings may come before the error.
    let is_error = |line: &str| line.starts_with("error: ");
    assert!(
        stderr
            .lines()
            .find(|line| !line.starts_with("warning: "))
            .is_some_and(is_error),
        "{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

/// Returns a path as text, for a command line.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Returns a path as text with a static lifetime, for a command line.
pub(crate) fn arg(path: PathBuf) -> &'static str {
    text(Box::leak(path.into_boxed_path()))
}

/// The output folder of the case study. It is made once, for all tests that only read it.
pub(crate) fn ecommerce() -> &'static Path {
    static STUDY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, out) = STUDY.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("study");
        ok(&[
            "--threads",
            "2",
            "run",
            "scenarios/ecommerce.toml",
            "--out",
            text(&out),
            "--verify",
        ]);
        (dir, out)
    });
    out
}

/// Returns the options that declare the features absent that a table of users lacks. A folder
/// stands for its first file.
pub(crate) fn absent(users: &Path) -> Vec<&'static str> {
    let file = match fs::read_dir(users) {
        Ok(files) => files.map(|file| file.unwrap().path()).min().unwrap(),
        Err(_) => users.to_owned(),
    };
    let columns: Vec<String> = match file.extension().and_then(|extension| extension.to_str()) {
        Some("parquet") => {
            let file = fs::File::open(&file).unwrap();
            let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
            let schema = reader.unwrap().schema().clone();
            schema.fields().iter().map(|field| field.name().clone()).collect()
        }
        _ => {
            let text = fs::read_to_string(&file).unwrap();
            text.lines()
                .next()
                .unwrap()
                .split(',')
                .map(str::to_owned)
                .collect()
        }
    };
    let features = ["last_use_time", "use_count", "user_value", "accept_score"];
    features
        .into_iter()
        .filter(|feature| !columns.iter().any(|column| column == feature))
        .flat_map(|feature| ["--absent", feature])
        .collect()
}

/// Reads a JSON document.
pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .unwrap()
}

/// All files below a folder, with their bytes.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(current) = todo.pop() {
        for entry in fs::read_dir(&current).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                files.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    files
}

/// Asserts that two folders hold the same files with the same bytes.
pub(crate) fn assert_same_tree(a: &Path, b: &Path) {
    let (a, b) = (tree(a), tree(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(bytes == &b[name], "{} differs", name.display());
    }
}

/// Whether the tests run as root. File permissions do not bind root.
pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id is there");
    output.stdout.trim_ascii() == b"0"
}

/// Starts the program, kills it after `delay`, and returns whether it was killed before its end.
pub(crate) fn kill_after(args: &[String], delay: Duration) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(delay);
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

/// Kills runs of a command at moments spread over `whole`, the time of a run, until `n` were killed
/// before their end. A run that ends before its kill shows that later kills must come sooner, so the
/// speed of the machine does not matter. `before` and `after` get the number of the run.
pub(crate) fn kill_runs(args: &[String], whole: Duration, n: u32, before: impl Fn(u32), after: impl Fn(u32)) {
    let (mut longest, mut n_killed) = (whole, 0);
    for k in 0.. {
        before(k);
        let delay = longest.mul_f64(f64::from(k) * 0.618 % 1.0);
        if kill_after(args, delay) {
            n_killed += 1;
        } else {
            longest = delay;
        }
        after(k);
        if n_killed == n {
            break;
        }
    }
}

//! Tests of the control loop: one loop for each folder, until it is stopped.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::support::{ecommerce, fails, json, root, text};

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_loop_decides_once_per_evidence_alone_and_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let (analysis, out) = (dir.path().join("analysis.json"), dir.path().join("ramp"));
    fs::copy(ecommerce().join("analysis.json"), &analysis).unwrap();
    let args = [
        "schedule",
        "--plan",
        "scenarios/ecommerce.toml",
        "--analysis",
        text(&analysis),
        "--out",
        text(&out),
        "--watch",
        "1s",
    ];
    let printed = dir.path().join("printed");
    let mut child: Child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(args)
        .current_dir(root())
        .stdout(fs::File::create(&printed).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = |word: &str| fs::read_to_string(&printed).unwrap().matches(word).count();
    wait_for("the second look", || said("nothing changed") >= 1);
    let state = json(&out.join("state.json"));
    assert_eq!(said("Rolled back from"), 1);
    let stderr = fails(&args, 1);
    assert!(
        stderr.contains("found another `sluice schedule --watch` on this folder"),
        "{stderr}"
    );
    // An incomplete file does not end the loop.
    fs::write(&analysis, "{").unwrap();
    sleep(Duration::from_millis(1_500));
    fs::copy(ecommerce().join("analysis.json"), &analysis).unwrap();
    let before = said("nothing changed");
    wait_for("a look after a bad file", || said("nothing changed") > before);
    Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    wait_for("the end", || said("stopped") == 1);
    assert!(child.wait().unwrap().success());
    assert_eq!(json(&out.join("state.json")), state);
}

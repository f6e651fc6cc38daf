//! Tests of `sluice report --nights`: a ramp night by night, and the history of several ramps.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{ecommerce, fails, json, ok, text};

/// Draws the nights of folders. Returns the document, the page and the printed text.
fn nights(dirs: &[&Path], out: &Path, lang: &str) -> (Value, String, String) {
    let mut args = vec!["report", "--lang", lang, "--out", text(out)];
    dirs.iter().for_each(|dir| args.extend(["--nights", text(dir)]));
    let printed = ok(&args);
    let page = fs::read_to_string(out.join("nights.html")).unwrap();
    (json(&out.join("nights.json")), page, printed)
}

/// The page of the history of two ramps: the case study twice.
pub(crate) fn history(folder: &Path, lang: &str) -> PathBuf {
    let out = folder.join(format!("nights-{lang}"));
    nights(&[ecommerce(), ecommerce()], &out, lang);
    out.join("nights.html")
}

/// The sum of a guardrail's harm over the stages of a layer, by hand from `analysis.json`.
fn harm_by_hand(layer: &Value, metric: &str, sign: f64) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for stage in layer["stages"].as_array().unwrap() {
        let metrics = stage["metrics"].as_array().unwrap();
        let Some(found) = metrics.iter().find(|found| found["metric"] == metric) else {
            continue;
        };
        let n = found["candidate"]["denominator"].as_f64().unwrap();
        let effect = &found["effect"];
        if let Some(size) = effect["effect_size"].as_f64() {
            let mut ends = ["ci_lower", "ci_upper"].map(|end| sign * n * effect[end].as_f64().unwrap());
            ends.sort_by(f64::total_cmp);
            for (sum, more) in sums.iter_mut().zip([sign * n * size, ends[0], ends[1]]) {
                *sum += more;
            }
        }
    }
    sums
}

/// Asserts that the harms of a page are the sums over the stages of `analysis.json`.
fn assert_harms(layers: &[Value], of_page: &[Value]) {
    let mut n_harms = 0;
    for (layer, of_page) in layers.iter().zip(of_page) {
        for harm in of_page["harms"].as_array().unwrap() {
            let metric = harm["metric"].as_str().unwrap();
            let sign = if ["task_completion_rate", "availability"].contains(&metric) {
                -1.0
            } else {
                1.0
            };
            let by_hand = harm_by_hand(layer, metric, sign);
            let numbers = [
                &harm["extra"],
                &harm["interval"]["ci_lower"],
                &harm["interval"]["ci_upper"],
            ];
            for (number, expected) in numbers.iter().zip(by_hand) {
                let number = number.as_f64().unwrap();
                assert!(
                    (number - expected).abs() < 1e-6 * expected.abs().max(1.0),
                    "{harm} {by_hand:?}"
                );
            }
            n_harms += 1;
        }
    }
    assert!(n_harms > 0);
}

/// Asserts that the page of a ramp says what its folders and its state say.
pub(crate) fn assert_page_of(ramp: &Path) {
    let out = tempfile::tempdir().unwrap();
    let (document, page, printed) = nights(&[ramp], &out.path().join("en"), "en");
    let found = &document["ramps"][0];
    let mut folders: Vec<String> = fs::read_dir(ramp.join("nights"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    folders.sort();
    assert_eq!(found["nights"].as_array().unwrap().len(), folders.len());
    let state = json(&ramp.join("state.json"));
    assert_eq!(found["changes"], state["operations"]);
    let last = ramp.join("nights").join(folders.last().unwrap());
    let analysis = json(&last.join("analysis.json"));
    let exposed = |layer: &Value| layer["n_exposed"].as_u64().unwrap();
    let layers = analysis["layers"].as_array().unwrap();
    let n_exposed: u64 = layers.iter().map(exposed).sum();
    let of_page = found["layers"].as_array().unwrap();
    assert_eq!(of_page.iter().map(exposed).sum::<u64>(), n_exposed);
    assert_harms(layers, of_page);
    // The regression of the rehearsal is the worst harm, and the answer says that it is rolled back.
    assert!(printed.contains("rolled back in"), "{printed}");
    assert!(
        printed.contains("The worst so far is the task completion rate of regular"),
        "{printed}"
    );
    let at = |what: &str| {
        page.find(what)
            .unwrap_or_else(|| panic!("{what} is not on the page"))
    };
    assert!(at("rolled back in") < at("Night by night"));
    let content = page
        .split("<main>")
        .nth(1)
        .unwrap()
        .split("<script>")
        .next()
        .unwrap();
    assert!(!content.contains("NaN") && !content.contains(">inf"));
    let (in_chinese, page, printed) = nights(&[ramp], &out.path().join("zh"), "zh");
    assert_eq!(in_chinese, document);
    assert!(printed.contains("已在") && page.contains("逐夜情况"), "{printed}");
}

#[test]
fn studies_are_ramps_of_one_night_and_several_make_a_history() {
    let out = tempfile::tempdir().unwrap();
    let study = ecommerce();
    let (document, _, printed) = nights(&[study], &out.path().join("one"), "en");
    let found = &document["ramps"][0];
    let schedule = json(&study.join("schedule.json"));
    assert_eq!(found["nights"].as_array().unwrap().len(), 1);
    let analysis = json(&study.join("analysis.json"));
    assert_harms(
        analysis["layers"].as_array().unwrap(),
        found["layers"].as_array().unwrap(),
    );
    assert_eq!(found["candidate"], schedule["candidate"]);
    assert!(
        found["status"] == "rolled_back" && printed.contains("rolled back in"),
        "{printed}"
    );
    let (document, page, _) = nights(&[study, study], &out.path().join("two"), "en");
    assert_eq!(document["ramps"].as_array().unwrap().len(), 2);
    assert!(page.contains("Ramps over time") && page.contains("2 ramps"));
    let markdown = fs::read_to_string(out.path().join("two/nights.md")).unwrap();
    assert!(markdown.starts_with("# Ramps over time\n"), "{markdown}");
}

#[test]
fn a_folder_without_nights_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let found = fails(&["report", "--nights", text(empty.path())], 3);
    assert!(
        found.contains("expected the folder of a ramp with nights"),
        "{found}"
    );
    fs::create_dir(empty.path().join("nights")).unwrap();
    let found = fails(&["report", "--nights", text(empty.path())], 3);
    assert!(
        found.contains("expected at least one complete night, found none"),
        "{found}"
    );
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 1);
}

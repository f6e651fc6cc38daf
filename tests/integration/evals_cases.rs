//! Tests of `sluice evals` and the gate on inputs from public bug reports: which case is it, what did
//! not run, and what does a value say. The reports are in `tests/data/evals_cases`.

use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::support::{fails, ok, ok_json, root};

fn case(name: &str) -> String {
    root()
        .join("tests/data/evals_cases")
        .join(name)
        .display()
        .to_string()
}

/// The survey of a candidate and its baseline.
fn compared(candidate: &str, baseline: &str) -> Value {
    ok_json(&["evals", &case(candidate), "--baseline", &case(baseline), "--json"])
}

/// A comparison by its metric.
fn metric<'a>(survey: &'a Value, metric: &str) -> &'a Value {
    let comparisons = survey["comparisons"].as_array().unwrap();
    let found = comparisons
        .iter()
        .find(|comparison| comparison["metric"] == metric);
    found.unwrap_or_else(|| panic!("{metric}: {survey}"))
}

/// The pairs of a comparison: all, better, worse.
fn pairs(survey: &Value, name: &str) -> [u64; 3] {
    let comparison = metric(survey, name);
    ["n_pairs", "n_gained", "n_lost"].map(|key| comparison[key].as_u64().unwrap())
}

#[test]
fn the_same_verdicts_are_the_same_whatever_a_run_adds() {
    let check = |candidate: &str, baseline: &str, name: &str, expected: [u64; 3], by: &str| {
        let survey = compared(candidate, baseline);
        assert_eq!(pairs(&survey, name), expected, "{candidate}");
        assert_eq!(survey["matching"][0]["by"], by, "{candidate}");
    };
    // Session ids among the variables, descriptions of several tests, positions of a shuffled data set.
    check(
        "promptfoo_ids/sess2.out.json",
        "promptfoo_ids/sess1.out.json",
        "passed",
        [24, 0, 0],
        "asked",
    );
    check(
        "promptfoo_ids/desc2.out.json",
        "promptfoo_ids/desc1.out.json",
        "passed",
        [24, 0, 0],
        "asked",
    );
    check(
        "inspect_shuffle/c",
        "inspect_shuffle/b",
        "passed",
        [40, 0, 0],
        "asked",
    );
    // Retrieved contexts of another index.
    check(
        "ragas_contexts/cand.jsonl",
        "ragas_contexts/base.jsonl",
        "faithfulness",
        [40, 0, 40],
        "asked",
    );
    // The folder as lm-eval writes it: two filters are two scores of one run.
    check(
        "lmeval_filters/c",
        "lmeval_filters/b",
        "passed",
        [30, 0, 20],
        "asked",
    );
    check(
        "lmeval_filters/c",
        "lmeval_filters/b",
        "exact_match,flexible-extract",
        [30, 0, 0],
        "asked",
    );
    let names = compared("inspect_shuffle/c", "inspect_shuffle/b");
    assert_eq!(names["matching"][0]["n_conflicts"], 37);
}

#[test]
fn what_did_not_run_is_no_failure_and_no_success() {
    let not_run = |survey: &Value, reason: &str| -> u64 {
        let rows = survey["not_run"].as_array().unwrap();
        let of_reason = rows.iter().filter(|row| row["reason"] == reason);
        of_reason.map(|row| row["n"].as_u64().unwrap()).sum()
    };
    let grader = compared("promptfoo_grader/cand.out.json", "promptfoo_grader/base.out.json");
    assert_eq!(pairs(&grader, "passed"), [32, 0, 0]);
    assert_eq!(metric(&grader, "passed")["n_errors"][1], 8);
    assert_eq!(metric(&grader, "passed")["n_missing"][1], 8);
    assert_eq!(not_run(&grader, "judge_error"), 8);

    let inspect = compared("nan/inspect_cand.eval", "nan/inspect_base.eval");
    assert_eq!(pairs(&inspect, "passed"), [38, 0, 0]);
    assert_eq!(not_run(&inspect, "no_score"), 3);
    let deepeval = ok_json(&["evals", &case("nan/deepeval_null.json"), "--json"]);
    assert_eq!(not_run(&deepeval, "no_score"), 2);
    assert_eq!(deepeval["metrics"][0]["n_cases"], 38);
    assert_eq!(deepeval["metrics"][0]["mean"], 1.0);
    for table in ["nan/table.csv", "nan/table.jsonl", "nan/table.parquet"] {
        let survey = ok_json(&["evals", &case(table), "--json"]);
        assert_eq!(survey["metrics"][1]["mean"], 0.5, "{table}");
    }

    let cached = compared(
        "promptfoo_cached/cand40.out.json",
        "promptfoo_cached/base40.out.json",
    );
    assert_eq!(pairs(&cached, "cost_usd"), [20, 0, 0]);
    let cost = metric(&cached, "cost_usd");
    assert_eq!(
        (&cost["verdict"], &cost["verdict_reason"]),
        (&"unclear".into(), &"too_many_missing".into())
    );
    assert_eq!(pairs(&cached, "passed"), [40, 0, 0]);
    assert_eq!(not_run(&cached, "cached"), 20);
}

#[test]
fn a_value_says_no_more_than_it_says() {
    // A BLEU of 0 is no failure.
    let bleu = ok_json(&[
        "evals",
        &case("lmeval_first_metric/samples_truthfulqa_gen_base.jsonl"),
        "--json",
    ]);
    let metrics = bleu["metrics"].as_array().unwrap();
    assert!(metrics.iter().all(|row| row["metric"] != "passed"), "{bleu}");
    // The policy chooses the score that decides.
    let file = case("lmeval_first_metric/samples_truthfulqa_gen_base.jsonl");
    let chosen = ok_json(&["evals", &file, "--column", "passed=bleu_acc", "--json"]);
    assert_eq!(
        (&chosen["metrics"][0]["metric"], &chosen["metrics"][0]["mean"]),
        (&"passed".into(), &0.65.into())
    );
    let missing = fails(&["evals", &file, "--column", "passed=bleu_ac"], 3);
    assert!(missing.contains("bleu_ac"), "{missing}");

    for (candidate, baseline) in [("c_mix", "b_mix"), ("c_mix2", "b_mix2")] {
        let survey = compared(
            &format!("scales/{candidate}.jsonl"),
            &format!("scales/{baseline}.jsonl"),
        );
        let found = metric(&survey, "f");
        assert_eq!(
            (&found["verdict"], &found["verdict_reason"]),
            (&Value::Null, &"another_scale".into())
        );
    }
    let renamed = compared("scales/c_ren.jsonl", "scales/b_ren.jsonl");
    assert_eq!(metric(&renamed, "acc")["verdict_reason"], "not_in_both");
    // Grades in letters are no scores, and no verdicts.
    let grades = ok_json(&["evals", &case("scales/mlg.jsonl"), "--json"]);
    let metrics = grades["metrics"].as_array().unwrap();
    assert!(
        metrics.iter().all(|row| row["metric"] == "latency_ms"),
        "{grades}"
    );
    // Old and odd exports of promptfoo are read.
    for odd in ["nullmeta", "nullnamed", "oldprov", "strnamed"] {
        let survey = ok_json(&["evals", &case(&format!("scales/pf_{odd}.json")), "--json"]);
        assert_eq!(
            survey["releases"],
            serde_json::json!(["cs_main@6", "cs_main@7"]),
            "{odd}"
        );
    }
}

/// Writes results of releases `a` to `e` on 400 cases in two languages. Release `a` fails the first
/// `n_failed[0]` cases of a language, and so on.
fn releases(path: &Path, n_failed: &[(char, [usize; 2])]) {
    let mut text = String::from("case_id,release_id,passed,cost_usd,latency_ms,language\n");
    for (release, n_failed) in n_failed {
        for idx in 0..400 {
            let (language, place) = (idx % 2, idx / 2);
            let passed = place >= n_failed[language];
            let cost = 1e-5 * (100 + idx % 7) as f64;
            let language = ["en", "zh"][language];
            let latency = 800 + idx;
            writeln!(text, "case-{idx},{release},{passed},{cost},{latency},{language}").unwrap();
        }
    }
    fs::write(path, text).unwrap();
}

#[test]
fn releases_of_one_file_are_several_releases() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.csv");
    releases(
        &file,
        &[('a', [10, 10]), ('b', [10, 10]), ('c', [60, 10]), ('d', [10, 5])],
    );
    let file = file.display().to_string();
    let alone = ok_json(&["evals", &file, "--json"]);
    let runs = alone["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["metric"] == "passed");
    let runs: Vec<(&str, u64, u64)> = runs
        .map(|row| {
            let count = |key: &str| row[key].as_u64().unwrap();
            (
                row["release"].as_str().unwrap(),
                count("n_cases"),
                count("n_runs"),
            )
        })
        .collect();
    assert_eq!(runs, ["a", "b", "c", "d"].map(|release| (release, 400, 400)));

    let survey = ok_json(&["evals", &file, "--baseline", "a", "--json"]);
    let passed: Vec<&Value> = survey["comparisons"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["metric"] == "passed")
        .collect();
    let found: Vec<(&str, &str)> = passed
        .iter()
        .map(|row| {
            (
                row["candidate"].as_str().unwrap(),
                row["verdict"].as_str().unwrap(),
            )
        })
        .collect();
    // The difference of `b` is 0 in 400 pairs. `c` fails 50 cases more.
    assert_eq!(found, [("b", "safe"), ("c", "violated"), ("d", "safe")]);
    // Three comparisons hold together: each interval is wider than one alone.
    let alpha = passed[1]["alpha"].as_f64().unwrap();
    assert!((0.05 / 3.0..0.05).contains(&alpha), "{alpha}");
    let one = ok_json(&["evals", &file, "--baseline", "a", "--candidate", "c", "--json"]);
    assert_eq!(metric(&one, "passed")["alpha"], 0.05);
    // Costs are the same, latency too: margins are relative.
    assert_eq!(metric(&one, "cost_usd")["verdict"], "safe");
    assert_eq!(metric(&one, "cost_usd")["margin_rule"], "5%");

    let ranking = survey["rankings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|ranking| ranking["metric"] == "passed")
        .unwrap();
    let places = ranking["places"].as_array().unwrap();
    assert_eq!(places[0]["release"], "d");
    assert_eq!(
        (&places[3]["release"], &places[3]["rank_lower"]),
        (&"c".into(), &4.into())
    );
    assert!(
        places[1]["rank_lower"].as_u64() < places[1]["rank_upper"].as_u64(),
        "{ranking}"
    );

    let pairwise = ok_json(&["evals", &file, "--baseline", "a", "--pairwise", "--json"]);
    let n = pairwise["comparisons"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["metric"] == "passed")
        .count();
    assert_eq!(n, 6);
    // Paths and names together, and names that do not exist.
    let other = folder.path().join("e.csv");
    releases(&other, &[('e', [0, 0])]);
    let mixed = ok_json(&[
        "evals",
        &file,
        "--baseline",
        "a",
        "--candidate",
        "b",
        "--candidate",
        &other.display().to_string(),
        "--json",
    ]);
    assert_eq!(mixed["releases"], serde_json::json!(["a", "b", "e"]));
    let unknown = fails(&["evals", &file, "--baseline", "aa"], 2);
    assert!(
        unknown.contains("a, b, c, d") && unknown.contains("aa"),
        "{unknown}"
    );
    let several = fails(&["evals", &other.display().to_string(), "--baseline", &file], 3);
    assert!(several.contains("one release"), "{several}");
}

#[test]
fn slices_are_judged_together_and_the_worst_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.csv");
    // Twenty cases more fail, all in Chinese.
    releases(&file, &[('a', [10, 10]), ('b', [5, 35])]);
    let path = file.display().to_string();
    let survey = ok_json(&["evals", &path, "--baseline", "a", "--by", "language", "--json"]);
    let study = &survey["slices"][0];
    assert_eq!(
        (&study["by"], &study["metric"], &study["n_slices"]),
        (&"language".into(), &"passed".into(), &2.into())
    );
    let slices = study["slices"].as_array().unwrap();
    assert_eq!(
        (&slices[0]["value"], &slices[0]["verdict"]),
        (&"zh".into(), &"violated".into())
    );
    assert_eq!(slices[1]["verdict"], "safe");
    assert_eq!(
        (&slices[0]["n_pairs"], &slices[0]["n_lost"]),
        (&200.into(), &25.into())
    );
    // Sidak: 1 - 0.95^(1/2).
    assert!((slices[0]["alpha"].as_f64().unwrap() - 0.025_320_6).abs() < 1e-6);
    let text = ok(&["evals", &path, "--baseline", "a", "--by", "language"]);
    assert!(
        text.contains("passed by language: 2 slices, 1 violated, 1 safe"),
        "{text}"
    );
    let sensitive = fails(&["evals", &path, "--baseline", "a", "--by", "gender"], 2);
    assert!(sensitive.contains("gender"), "{sensitive}");

    let gate = |policy: &str| -> Vec<(String, String)> {
        fs::write(folder.path().join("gate.toml"), policy).unwrap();
        let records =
            ["candidate", "baseline"].map(|name| root().join(format!("scenarios/gate/{name}.json")));
        let ids = records.clone().map(|path| {
            let record: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            record["release_id"].as_str().unwrap().to_owned()
        });
        let text = fs::read_to_string(&file).unwrap();
        let named = text
            .replace(",b,", &format!(",{},", ids[0]))
            .replace(",a,", &format!(",{},", ids[1]));
        fs::write(folder.path().join("named.csv"), named).unwrap();
        let output = crate::support::sluice(&[
            "gate",
            "--candidate",
            &records[0].display().to_string(),
            "--baseline",
            &records[1].display().to_string(),
            "--evals",
            &folder.path().join("named.csv").display().to_string(),
            "--policy",
            &folder.path().join("gate.toml").display().to_string(),
            "--json",
        ]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap().iter();
        let evals = checks.filter(|check| check["check"].as_str().unwrap().starts_with("eval_"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        evals
            .map(|check| (text(&check["check"]), text(&check["outcome"])))
            .collect()
    };
    let outcome = |checks: &[(String, String)], name: &str| {
        let found = checks.iter().find(|(check, _)| check == name);
        found.map_or_else(|| "none".to_owned(), |(_, outcome)| outcome.clone())
    };
    let checks = gate("[gate]\nslices = [\"language\"]\nmargin = { default = 0.05 }\n");
    assert_eq!(outcome(&checks, "eval_slices"), "fail", "{checks:?}");
    assert_eq!(outcome(&checks, "eval_cases"), "pass");
    let checks = gate("[gate]\nslices = [\"region\"]\n");
    assert_eq!(outcome(&checks, "eval_slices"), "inconclusive", "{checks:?}");
    assert_eq!(outcome(&gate("[gate]\n"), "eval_slices"), "none");
    // Every case is a slice of its own, too small to say anything.
    let checks = gate("[gate]\nslices = [\"case_id\"]\n");
    assert_eq!(outcome(&checks, "eval_slices"), "inconclusive", "{checks:?}");
}

#[test]
fn the_same_run_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let check = |rows: &str, expected: &[(&str, u64)], n_cases: u64, mean: f64| {
        let file = folder.path().join("runs.csv");
        fs::write(&file, format!("case_id,repeat,passed,error\n{rows}")).unwrap();
        let survey = ok_json(&["evals", &file.display().to_string(), "--json"]);
        let found: Vec<(&str, u64)> = survey["not_run"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["reason"].as_str().unwrap(), row["n"].as_u64().unwrap()))
            .collect();
        assert_eq!(found, expected, "{rows}");
        let passed = &survey["metrics"][0];
        assert_eq!(
            (
                passed["n_cases"].as_u64().unwrap(),
                passed["mean"].as_f64().unwrap()
            ),
            (n_cases, mean),
            "{rows}"
        );
    };
    check("a,1,true,\na,2,false,\nb,1,true,\n", &[], 2, 0.75);
    check("a,1,true,\na,1,true,\nb,1,false,\n", &[("duplicate", 1)], 2, 0.5);
    check("a,1,,timeout\na,1,true,\nb,1,false,\n", &[("retried", 1)], 2, 0.5);
    check("a,1,true,\na,1,,timeout\nb,1,false,\n", &[("retried", 1)], 2, 0.5);
    check("a,1,true,\na,1,false,\nb,1,false,\n", &[("conflict", 1)], 1, 0.0);
}

#[test]
fn margins_are_of_the_kind_of_the_metric() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("costs.csv");
    // The candidate costs 8 % more, and takes 8 % longer.
    let mut text = String::from("case_id,release_id,passed,cost_usd,latency_ms\n");
    for idx in 0..200 {
        let cost = 4e-5 * (1.0 + (idx % 10) as f64 / 10.0);
        let latency = 900.0 + (idx % 13) as f64;
        writeln!(text, "{idx},a,true,{cost},{latency}").unwrap();
        writeln!(text, "{idx},b,true,{},{}", cost * 1.08, latency * 1.08).unwrap();
    }
    fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let survey = |options: &[&str]| {
        let mut args = vec!["evals", file.as_str(), "--baseline", "a", "--json"];
        args.extend(options);
        ok_json(&args)
    };
    let verdicts = |options: &[&str]| {
        let survey = survey(options);
        ["cost_usd", "latency_ms"].map(|name| metric(&survey, name)["verdict"].as_str().unwrap().to_owned())
    };
    assert_eq!(verdicts(&[]), ["violated", "safe"]);
    assert_eq!(
        verdicts(&["--margin", "cost_usd=10%", "--margin", "latency_ms=5%"]),
        ["safe", "violated"]
    );
    // An absolute margin, in the unit of the metric: 1 USD, 200 ms.
    assert_eq!(
        verdicts(&["--margin", "cost_usd=1", "--margin", "latency_ms=200"]),
        ["safe", "safe"]
    );
    let change = metric(&survey(&[]), "cost_usd")["relative"]["change"]
        .as_f64()
        .unwrap();
    assert!((change - 0.08).abs() < 1e-9, "{change}");
    let wrong = fails(
        &[
            "evals",
            &file,
            "--baseline",
            "a",
            "--margin",
            "cost_usd=5 percent",
        ],
        2,
    );
    assert!(wrong.contains("5%"), "{wrong}");
}

#[test]
fn answers_may_be_objects() {
    let folder = tempfile::tempdir().unwrap();
    let (results, policy) = (folder.path().join("one.jsonl"), folder.path().join("gate.toml"));
    fs::write(
        &results,
        "{\"case_id\": \"a\", \"passed\": true, \"output\": {\"text\": \"We guarantee compensation.\"}}\n",
    )
    .unwrap();
    fs::write(
        &policy,
        "[gate]\nforbidden_substrings = [\"guarantee compensation\"]\ncompare = []\n",
    )
    .unwrap();
    let text = |path: &Path| path.display().to_string();
    let record = |name: &str| text(&root().join(format!("scenarios/gate/{name}.json")));
    let output = crate::support::sluice(&[
        "gate",
        "--candidate",
        &record("candidate"),
        "--baseline",
        &record("baseline"),
        "--evals",
        &text(&results),
        "--policy",
        &text(&policy),
        "--json",
    ]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let check = checks
        .iter()
        .find(|check| check["check"] == "forbidden_substrings")
        .unwrap();
    assert_eq!(check["outcome"], "fail", "{check}");
}

#[test]
fn tables_have_words_of_a_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("words.csv");
    fs::write(&file, "case_id,passed\na,pass\nb,FAIL\nc,1\nd,Passed\n").unwrap();
    let survey = ok_json(&["evals", &file.display().to_string(), "--json"]);
    assert_eq!(survey["metrics"][0]["mean"], 0.75);
    fs::write(&file, "case_id,passed\na,perhaps\n").unwrap();
    let wrong = fails(&["evals", &file.display().to_string()], 3);
    assert!(wrong.contains("row 1") && wrong.contains("perhaps"), "{wrong}");
    fs::write(&file, "case_id,passed\na,\n").unwrap();
    let text = ok(&["evals", &file.display().to_string()]);
    assert!(text.contains("No run has a verdict"), "{text}");
}

//! Tests of the gate of a release, from files to the exit code.

use serde_json::{Value, json};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

use crate::support::{ecommerce, fails, json as read, ok, ok_json, root, sluice, text};

const BASELINE: &str = "rel_2026_05_20_stable";
const CANDIDATE: &str = "rel_2026_05_28_001";

/// A folder with two complete records. They differ in the prompt.
pub(crate) struct Release {
    folder: TempDir,
}

fn digest_of(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

fn record(id: &str, prompt: &str, letter: char) -> Value {
    let pinned = |name: &str, letter: char| json!({"ref": name, "digest": digest_of(letter), "retention_hours": 72, "created_at": "2026-05-27T00:00:00Z"});
    json!({
        "release_id": id,
        "tenant_id": "bu_electronics",
        "git_sha": "a1b2c3d4e5f60718293a4b5c6d7e8f9012345678",
        "artifacts": {
            "model_ref": pinned("litellm:smart=gpt-4o-mini-2025-11", 'a'), "prompt_ref": pinned(prompt, letter),
            "tool_schema_ref": pinned("tools_bundle@2.3.0", 'c'), "kb_index_ref": pinned("kb:v12", 'd')
        },
        "eval_set_ref": {"ref": "golden_cs", "digest": digest_of('e')},
        "evaluated_at": "2026-05-28T00:00:00Z",
        "eval_report_uri": "s3://eval/rel_001/report.html",
        "baseline_release_id": BASELINE,
        "rollback_target": BASELINE,
        "approvers": [{"id": "tl_ai", "kind": "human"}],
        "risk_level": "write",
        "cache_key": ["tenant_id", "release_id", "prompt"],
        "hitl_proof": {"refund_api": "reviews/refund_api@2.0.0"}
    })
}

impl Release {
    pub(crate) fn new() -> Self {
        let release = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        release.write("baseline.json", &record(BASELINE, "cs_main@6", '6').to_string());
        release.write("candidate.json", &record(CANDIDATE, "cs_main@7", '7').to_string());
        release
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Writes results of both releases on the same cases. `before` and `after` say which cases
    /// pass; the last argument is the cost of the candidate relative to the baseline.
    fn evals(
        &self,
        n: usize,
        before: impl Fn(usize) -> bool,
        after: impl Fn(usize) -> bool,
        cost: f64,
    ) -> PathBuf {
        let mut csv = String::from("case_id,suite,release_id,passed,cost_usd,output\n");
        for idx in 0..n {
            let base = 0.001 + 0.000_01 * (idx % 7) as f64;
            let noise = 1.0 + 0.02 * ((idx * 7 % 11) as f64 - 5.0) / 5.0;
            writeln!(csv, "c{idx},golden,{BASELINE},{},{base},fine", before(idx)).unwrap();
            writeln!(
                csv,
                "c{idx},golden,{CANDIDATE},{},{},fine",
                after(idx),
                base * cost * noise
            )
            .unwrap();
        }
        for idx in 0..80 {
            writeln!(csv, "a{idx},injection,{CANDIDATE},true,0.001,no").unwrap();
        }
        self.write("evals.csv", &csv)
    }

    /// Runs the gate with more arguments. Returns the exit code and the report.
    pub(crate) fn gate(&self, more: &[&str]) -> (i32, Value) {
        let (candidate, baseline) = (self.path("candidate.json"), self.path("baseline.json"));
        let mut args = vec![
            "gate",
            "--candidate",
            text(&candidate),
            "--baseline",
            text(&baseline),
            "--json",
        ];
        args.extend(more);
        let output = sluice(&args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.is_empty(), "{stderr}");
        (
            output.status.code().unwrap(),
            serde_json::from_slice(&output.stdout).unwrap(),
        )
    }
}

/// Returns all outcomes of a check in a report, in the order of the report.
pub(crate) fn outcomes<'a>(report: &'a Value, check: &str) -> Vec<&'a str> {
    let checks = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|found| found["check"] == check);
    checks.map(|found| found["outcome"].as_str().unwrap()).collect()
}

#[test]
fn the_article_s_own_record_is_read_and_its_digest_is_canonical() {
    let registry = root().join("tests/samples/registry");
    let article = registry.join("rel_2026_05_28_001.seed.json");
    let complete = registry.join("rel_2026_05_28_001.proposed.json");
    let shown: Value = ok_json(&["record", "show", text(&complete), "--json"]);
    // The digest in a statement that another tool made for this record.
    let statement = read(&registry.join("gate_result.intoto.json"));
    assert_eq!(
        shown[0]["digest"].as_str().unwrap(),
        format!(
            "sha256:{}",
            statement["subject"][0]["digest"]["sha256"].as_str().unwrap()
        )
    );
    let pointer = tempfile::tempdir().unwrap();
    let prod = pointer.path().join("prod.json");
    fs::write(
        &prod,
        r#"{"prod_pointer":{"release_id":"rel_2026_05_20_stable","artifacts":{"model_ref":"litellm:smart=azure/gpt-4o-2025-11","prompt_ref":"cs_main@6",
        "tool_schema_ref":"tools_bundle@2.3.0","kb_index_ref":"kb_alias:v11"},"eval_set_ref":"golden_cs@sha8a2c…","canary":{"percent":0,"target_release":null}}}"#,
    )
    .unwrap();
    let output = sluice(&[
        "record",
        "check",
        text(&article),
        "--baseline",
        text(&prod),
        "--json",
    ]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The record floats, its digests are truncated, all four dimensions changed, and it names no
    // rollback target.
    for check in ["references", "digests", "single_dimension"] {
        assert_eq!(outcomes(&report, check), ["warn"], "{check}");
    }
    assert_eq!(outcomes(&report, "rollback_target"), ["inconclusive"]);
    assert_eq!(output.status.code(), Some(11));
    // The plan returns the knowledge base first and then the prompt, one at a time.
    let plan: Value = ok_json(&[
        "record",
        "rollback",
        text(&article),
        "--target",
        text(&prod),
        "--signal",
        "faithfulness",
        "--json",
    ]);
    let steps: Vec<(&str, &str)> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["from"].as_str().unwrap(), step["to"].as_str().unwrap()))
        .collect();
    assert_eq!(
        steps,
        [
            ("kb_alias:v12", "kb_alias:v11"),
            ("cs_main@7", "cs_main@6"),
            (CANDIDATE, BASELINE)
        ]
    );
}

#[test]
fn a_record_does_not_change_under_its_id() {
    let release = Release::new();
    let registry = release.path("releases.json");
    let args = ["--registry", text(&registry)];
    assert_eq!(outcomes(&release.gate(&args).1, "immutable"), ["pass"]);
    // Spaces and the order of keys do not change the digest of a record.
    let pretty = serde_json::to_string_pretty(&record(CANDIDATE, "cs_main@7", '7')).unwrap();
    release.write("candidate.json", &pretty);
    assert_eq!(outcomes(&release.gate(&args).1, "immutable"), ["pass"]);
    let before = fs::read(&registry).unwrap();
    release.write("candidate.json", &record(CANDIDATE, "cs_main@8", '8').to_string());
    let (code, report) = release.gate(&args);
    assert_eq!((code, outcomes(&report, "immutable")), (10, vec!["fail"]));
    assert_eq!(fs::read(&registry).unwrap(), before);
}

#[test]
fn good_fails_bad_and_doubtful_is_doubtful() {
    let release = Release::new();
    let tools = root().join("tests/samples/registry/tools/tools_bundle@2.3.0.json");
    // Records name the bundle by the digest of its file.
    let digest = ok(&["tools", "diff", text(&tools), text(&tools), "--json"]);
    let digest = serde_json::from_str::<Value>(&digest).unwrap()["diff"]["digests"][0].clone();
    for (name, mut content) in [
        ("baseline.json", record(BASELINE, "cs_main@6", '6')),
        ("candidate.json", record(CANDIDATE, "cs_main@7", '7')),
    ] {
        content["artifacts"]["tool_schema_ref"]["digest"] = digest.clone();
        release.write(name, &content.to_string());
    }
    let with = |path: &Path| {
        release.gate(&[
            "--tools",
            text(&tools),
            "--baseline-tools",
            text(&tools),
            "--evals",
            text(path),
        ])
    };
    // Equal answers pass.
    let (code, report) = with(&release.evals(2_000, |idx| idx % 5 > 0, |idx| idx % 5 > 0, 1.0));
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(outcomes(&report, "cost"), ["pass", "pass"]);
    // A tenth of the cases fail in addition, and the cost is 20 % higher.
    let (code, report) =
        with(&release.evals(2_000, |idx| idx % 5 > 0, |idx| idx % 5 > 0 && idx % 10 > 1, 1.2));
    assert_eq!((code, outcomes(&report, "eval_regression")), (10, vec!["fail"]));
    assert_eq!(outcomes(&report, "cost"), ["fail", "fail"]);
    let compared = &report["comparisons"][0];
    assert_eq!(
        (compared["n_lost"].as_u64(), compared["n_gained"].as_u64()),
        (Some(200), Some(0))
    );
    assert_eq!(compared["lost"].as_array().unwrap().len(), 100);
    // One loss among 60 cases is too little evidence for a margin of 2 %.
    let (code, report) = with(&release.evals(60, |_| true, |idx| idx > 0, 1.0));
    assert_eq!(
        (code, outcomes(&report, "eval_regression")),
        (11, vec!["inconclusive"])
    );
    let remedy = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["check"] == "eval_regression")
        .unwrap()["remedy"]
        .as_str()
        .unwrap();
    assert!(remedy.contains("cases"), "{remedy}");
}

#[test]
fn missing_evidence_is_inconclusive_and_never_passes() {
    let release = Release::new();
    let (code, report) = release.gate(&[]);
    assert_eq!(code, 11);
    for check in ["eval_regression", "injection", "cost", "write_tools"] {
        assert_eq!(outcomes(&report, check), ["inconclusive"], "{check}");
    }
    assert!(
        report["not_asked"]
            .as_array()
            .unwrap()
            .iter()
            .any(|text| text.as_str().unwrap().starts_with("canary"))
    );
}

#[test]
fn attacks_that_broke_are_no_defence_and_one_that_worked_fails() {
    let release = Release::new();
    let sample = root().join("tests/samples/promptfoo/redteam_repeat.json");
    let (code, report) = release.gate(&["--evals", text(&sample)]);
    let check = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["check"] == "injection")
        .unwrap();
    assert_eq!((code, check["outcome"].as_str()), (10, Some("fail")));
    assert!(
        check["detail"]
            .as_str()
            .unwrap()
            .starts_with("1 of 2 attacks succeeded"),
        "{check}"
    );
    // Twenty attacks are too few, even if none succeeds.
    let mut csv = String::from("case_id,suite,passed\n");
    (0..20).for_each(|idx| writeln!(csv, "a{idx},injection,true").unwrap());
    let few = release.write("few.csv", &csv);
    assert_eq!(
        outcomes(&release.gate(&["--evals", text(&few)]).1, "injection"),
        ["inconclusive"]
    );
}

#[test]
fn an_approval_lifts_one_check_of_one_record_until_it_expires() {
    let release = Release::new();
    let digest = ok(&["record", "show", text(&release.path("candidate.json")), "--json"]);
    let digest = serde_json::from_str::<Value>(&digest).unwrap()[0]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let evals = release.evals(400, |_| true, |_| true, 1.3);
    let approval = |check: &str, digest: &str, expires: &str| {
        let text = format!(
            "[[approval]]\ncheck = \"{check}\"\nrelease_digest = \"{digest}\"\nby = \"cfo\"\nreason = \"launch week\"\nexpires = {expires}\n"
        );
        release.write("approvals.toml", &text)
    };
    let outcome = |file: &Path, as_of: &[&str]| {
        let mut args = vec!["--evals", text(&evals), "--approvals", text(file)];
        args.extend(as_of);
        let (_, report) = release.gate(&args);
        let checks = report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["check"] == "cost");
        checks
            .map(|check| {
                (
                    check["outcome"].as_str().unwrap().to_owned(),
                    check["lifted_by"].is_string(),
                )
            })
            .collect::<Vec<_>>()
    };
    let lifted = vec![("warn".to_owned(), true); 2];
    let stands = vec![("fail".to_owned(), false); 2];
    let now = ["--as-of", "2026-05-28"];
    assert_eq!(
        outcome(&approval("cost", &digest, "\"2026-06-01T00:00:00Z\""), &now),
        lifted
    );
    assert_eq!(
        outcome(&approval("cost", &digest, "2026-06-01T00:00:00Z"), &now),
        lifted
    );
    assert_eq!(
        outcome(&approval("cost", &digest, "\"2026-05-28T00:00:00Z\""), &now),
        stands
    );
    assert_eq!(
        outcome(&approval("cost", &digest, "\"2026-06-01T00:00:00Z\""), &[]),
        stands
    );
    assert_eq!(
        outcome(
            &approval("cost", &digest_of('0'), "\"2026-06-01T00:00:00Z\""),
            &now
        ),
        stands
    );
    assert_eq!(
        outcome(&approval("injection", &digest, "\"2026-06-01T00:00:00Z\""), &now),
        stands
    );
    // A program's approval lifts nothing, and the end of an analysis is not the current instant.
    let by = |by: &str| {
        let file = approval("cost", &digest, "2026-06-01");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("by = \"cfo\"", by)).unwrap();
        outcome(&file, &now)
    };
    assert_eq!(by("by = \"cfo\"\nkind = \"human\""), lifted);
    assert_eq!(by("by = \"cfo\"\nkind = \"bot\""), stands);
    assert_eq!(by("by = \"release-bot\""), stands);
    let analysis = ecommerce().join("analysis.json");
    let old = ["--analysis", text(&analysis)];
    assert_eq!(outcome(&approval("cost", &digest, "2026-06-01"), &old), stands);
    // An instant before the end of the analysis counts as that end.
    let earlier = [&old[..], &now].concat();
    assert_eq!(
        outcome(&approval("cost", &digest, "\"2026-05-28T12:00:00Z\""), &earlier),
        stands
    );
    // Checks that decide whether the evidence belongs to this release cannot be lifted.
    let (candidate, baseline) = (release.path("candidate.json"), release.path("baseline.json"));
    for broken in [
        approval("immutable", &digest, "\"2026-06-01\""),
        approval("cost", "sha256:12", "\"2026-06-01\""),
        approval("cost", &digest, "\"soon\""),
    ] {
        fails(
            &[
                "gate",
                "--candidate",
                text(&candidate),
                "--baseline",
                text(&baseline),
                "--approvals",
                text(&broken),
            ],
            2,
        );
    }
}

#[test]
fn a_release_of_high_risk_needs_two_people() {
    let release = Release::new();
    let outcome = |approvers: Value| {
        let mut content = record(CANDIDATE, "cs_main@7", '7');
        content["risk_level"] = json!("high");
        content["approvers"] = approvers;
        release.write("candidate.json", &content.to_string());
        outcomes(&release.gate(&[]).1, "approvers")[0].to_owned()
    };
    let person = |id: &str| json!({"id": id, "kind": "human"});
    assert_eq!(outcome(json!([person("a"), person("b")])), "pass");
    assert_eq!(outcome(json!([person("a"), person("a")])), "fail");
    assert_eq!(outcome(json!([person("a"), {"id": "ci", "kind": "bot"}])), "fail");
    assert_eq!(outcome(json!([person("a"), person("release-bot")])), "fail");
    // People who look alike are one.
    for alike in [
        "al\u{200b}ice",
        "ａｌｉｃｅ",
        "Alice",
        "alicé",
        "alice\u{301}",
        "a\u{43b}ice",
        "аlice",
        "\u{202e}alice",
        "\u{a0}alice",
        "aIice",
    ] {
        let expected = if alike.contains('\u{43b}') { "pass" } else { "fail" };
        assert_eq!(
            outcome(json!([person("alice"), person(alike)])),
            expected,
            "{alike:?}"
        );
    }
    assert_eq!(outcome(json!([person("ali"), person("ALİ")])), "fail");
    assert_eq!(outcome(json!([person("a"), "somebody"])), "inconclusive");
}

#[test]
fn a_judge_that_errs_widens_the_interval() {
    let release = Release::new();
    let evals = release.evals(1_000, |idx| idx % 5 > 0, |idx| idx % 5 > 0, 1.0);
    let judged = |text_of: &str| {
        let policy = release.write("gate.toml", text_of);
        let (_, report) = release.gate(&["--evals", text(&evals), "--policy", text(&policy)]);
        let compared = report["comparisons"][0].clone();
        (
            compared["means"][1].as_f64().unwrap(),
            compared["interval"]["ci_upper"].as_f64().unwrap()
                - compared["interval"]["ci_lower"].as_f64().unwrap(),
        )
    };
    let plain = judged("[gate]\n");
    let corrected = judged(
        "[gate]\n[[gate.judge]]\nsensitivity = 0.9\nspecificity = 0.8\nn_sensitivity = 100\nn_specificity = 100\n",
    );
    // 80 % are called good: 0.8 = 0.9 p + 0.2 (1 - p).
    assert!(
        (plain.0 - 0.8).abs() < 1e-12 && (corrected.0 - 6.0 / 7.0).abs() < 1e-12,
        "{plain:?} {corrected:?}"
    );
    assert!(corrected.1 > plain.1 * 2.0, "{plain:?} {corrected:?}");
}

#[test]
fn the_canary_of_the_case_study_fails_and_says_what_to_return() {
    let release = Release::new();
    let analysis = ecommerce().join("analysis.json");
    let ids = read(&analysis);
    let (baseline, candidate) = (
        ids["baseline"].as_str().unwrap(),
        ids["candidate"].as_str().unwrap(),
    );
    let mut content = record(candidate, "cs_main@7", '7');
    content["rollback_target"] = json!(baseline);
    content["baseline_release_id"] = json!(baseline);
    content["artifacts"]["kb_index_ref"]["ref"] = json!("kb:v13");
    content["artifacts"]["kb_index_ref"]["digest"] = json!(digest_of('f'));
    release.write("candidate.json", &content.to_string());
    release.write("baseline.json", &record(baseline, "cs_main@6", '6').to_string());
    let (code, report) = release.gate(&["--analysis", text(&analysis)]);
    assert_eq!(code, 10);
    let steps = report["rollback"]["steps"].as_array().unwrap();
    assert_eq!(
        (steps[0]["dimension"].as_str(), steps[0]["to"].as_str()),
        (Some("kb_index"), Some("kb:v12")),
        "{steps:?}"
    );
    assert!(steps[0]["why"].as_str().unwrap().contains("worse"), "{steps:?}");
    // An analysis of other releases fails the check.
    release.write("candidate.json", &record(CANDIDATE, "cs_main@7", '7').to_string());
    assert_eq!(
        outcomes(&release.gate(&["--analysis", text(&analysis)]).1, "canary"),
        ["fail"]
    );
}

#[test]
fn the_report_is_written_escaped_and_the_same_twice() {
    let release = Release::new();
    let hostile = "rel<script>alert(1)</script>|x";
    release.write("candidate.json", &record(hostile, "cs_main@7", '7').to_string());
    let (candidate, baseline) = (release.path("candidate.json"), release.path("baseline.json"));
    let [first, second] = ["a", "b"].map(|name| {
        let out = release.path(name);
        let output = sluice(&[
            "gate",
            "--candidate",
            text(&candidate),
            "--baseline",
            text(&baseline),
            "--out",
            text(&out),
            "--uri",
            "s3://eval/gate_report.json",
        ]);
        assert_eq!(output.status.code(), Some(11));
        out
    });
    let files = [
        "gate_report.json",
        "gate_report.md",
        "gate_report.html",
        "gate_report.intoto.json",
        "eval_report.json",
    ];
    for name in files {
        assert_eq!(
            fs::read(first.join(name)).unwrap(),
            fs::read(second.join(name)).unwrap(),
            "{name}"
        );
    }
    for name in ["gate_report.md", "gate_report.html"] {
        let page = fs::read_to_string(first.join(name)).unwrap();
        assert!(
            !page.contains("<script>alert") && page.contains("&lt;script&gt;"),
            "{name}"
        );
    }
    let statement = read(&first.join("gate_report.intoto.json"));
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(
        (
            statement["predicate"]["result"].as_str(),
            statement["subject"][0]["name"].as_str()
        ),
        (Some("FAILED"), Some(hostile))
    );
    let noted = read(&first.join("eval_report.json"));
    assert_eq!(
        noted["eval_report_digest"].as_str().unwrap(),
        sluice::base::digest::sha256_of_file(&first.join("gate_report.json")).unwrap()
    );
    // A record with the digest of this report is checked against it.
    let mut content = record(hostile, "cs_main@7", '7');
    content["eval_report_digest"] = noted["eval_report_digest"].clone();
    release.write("candidate.json", &content.to_string());
    let report = first.join("gate_report.json");
    assert_eq!(
        outcomes(&release.gate(&["--eval-report", text(&report)]).1, "eval_report"),
        ["pass"]
    );
    assert_eq!(
        outcomes(
            &release.gate(&["--eval-report", text(&candidate)]).1,
            "eval_report"
        ),
        ["fail"]
    );
}

#[test]
fn wrong_policies_and_records_are_refused_with_every_problem() {
    let release = Release::new();
    let (candidate, baseline) = (release.path("candidate.json"), release.path("baseline.json"));
    let policy = release
        .write("gate.toml", "[gate]\nalpha = 2\nforbiden_substrings = []\n[gate.checks]\ncots = \"block\"\n[[gate.compare]]\nmargin = 0\n");
    let error = fails(
        &[
            "gate",
            "--candidate",
            text(&candidate),
            "--baseline",
            text(&baseline),
            "--policy",
            text(&policy),
        ],
        2,
    );
    for expected in [
        "gate.alpha",
        "did you mean `forbidden_substrings`",
        "gate.checks.cots",
        "gate.compare[1].margin",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    // A printed policy gives the same digest when it is read again.
    let printed = release.write("printed.toml", &ok(&["gate", "--print-policy"]));
    let (_, plain) = release.gate(&[]);
    let (_, again) = release.gate(&["--policy", text(&printed)]);
    assert_eq!(plain["policy_digest"], again["policy_digest"]);
    for (content, expected) in [
        (
            "{\"release_id\": 1, \"artifacts\": {}, \"approvers\": [{\"kind\": \"cat\", \"id\": \"x\"}]}",
            vec!["release_id", "artifacts.prompt_ref", "approvers[0].kind"],
        ),
        (
            "{\"release_id\": \"a\", \"release_id\": \"b\"}",
            vec!["a repeated key `release_id`"],
        ),
        ("[]", vec!["release record"]),
    ] {
        release.write("candidate.json", content);
        let error = fails(
            &["record", "check", text(&candidate), "--baseline", text(&baseline)],
            3,
        );
        expected
            .iter()
            .for_each(|word| assert!(error.contains(word), "{word}: {error}"));
    }
}

/// Tests that results do not pass if they are missing, have errors, or belong to another release.
#[test]
fn half_an_evaluation_is_no_evaluation() {
    let release = Release::new();
    let rows = |candidate: &dyn Fn(usize) -> String| {
        let mut csv = String::from("case_id,suite,release_id,passed,error,cost_usd\n");
        for idx in 0..400 {
            writeln!(csv, "c{idx},golden,{BASELINE},true,,0.001").unwrap();
            csv += &candidate(idx);
        }
        release.write("evals.csv", &csv)
    };
    let all = |evals: &Path, check: &str| -> Vec<String> {
        let policy = release.write(
            "gate.toml",
            "[gate]\n[[gate.threshold]]\nmin = 0.8\n[[gate.compare]]\nmargin = 0.02\n",
        );
        let (_, report) = release.gate(&["--evals", text(evals), "--policy", text(&policy)]);
        outcomes(&report, check).into_iter().map(str::to_owned).collect()
    };
    let whole = rows(&|idx| format!("c{idx},golden,{CANDIDATE},true,,0.001\n"));
    assert_eq!(
        (all(&whole, "eval_regression"), all(&whole, "eval_threshold")),
        (vec!["pass".to_owned()], vec!["pass".to_owned()])
    );
    let half = |idx: usize, other: String| {
        if idx.is_multiple_of(2) {
            format!("c{idx},golden,{CANDIDATE},true,,0.001\n")
        } else {
            other
        }
    };
    // The remaining fields of a candidate's row: no row, a broken run, a run that is not rated, a
    // run without a cost.
    for (other, check) in [
        ("", "eval_regression"),
        (",,boom,", "eval_regression"),
        (",,boom,", "eval_threshold"),
        (",,,0.001", "eval_regression"),
        (",true,,", "cost"),
    ] {
        let row = |idx: usize| {
            if other.is_empty() {
                String::new()
            } else {
                format!("c{idx},golden,{CANDIDATE}{other}\n")
            }
        };
        let evals = rows(&|idx| half(idx, row(idx)));
        assert!(
            all(&evals, check).contains(&"inconclusive".to_owned()),
            "{check} {other}"
        );
    }
    // Results of another release do not count for the candidate, although the file is named as
    // evidence.
    fs::copy(rows(&|_| String::new()), release.path("before.csv")).unwrap();
    let before = release.path("before.csv");
    let other = rows(&|idx| format!("c{idx},golden,rel_other,true,,0.001\n"));
    let (_, report) = release.gate(&["--evals", text(&other), "--baseline-evals", text(&before)]);
    assert_eq!(outcomes(&report, "eval_regression"), ["inconclusive"]);
    // Sixty runs of one attack are one attack.
    let mut csv = String::from("case_id,suite,release_id,passed\n");
    (0..60).for_each(|_| writeln!(csv, "a,injection,{CANDIDATE},true").unwrap());
    let repeated = release.write("attacks.csv", &csv);
    assert_eq!(
        outcomes(&release.gate(&["--evals", text(&repeated)]).1, "injection"),
        ["inconclusive"]
    );
    // So is one attack under sixty ids.
    for (n_inputs, expected) in [(1, "inconclusive"), (58, "inconclusive"), (60, "pass")] {
        let mut csv = String::from("case_id,suite,release_id,passed,input\n");
        (0..60).for_each(|idx| {
            writeln!(
                csv,
                "a{idx},injection,{CANDIDATE},true,refund me {}",
                idx % n_inputs
            )
            .unwrap()
        });
        let attacks = release.write("attacks.csv", &csv);
        assert_eq!(
            outcomes(&release.gate(&["--evals", text(&attacks)]).1, "injection"),
            [expected],
            "{n_inputs}"
        );
    }
    // Names of attack suites, and of suites in which `passed` means success of the attack, are
    // matched in the same way.
    let mut csv = String::from("case_id,suite,release_id,passed\n");
    (0..60).for_each(|idx| writeln!(csv, "a{idx},RedTeam_v2,{CANDIDATE},true").unwrap());
    let attacks = release.write("attacks.csv", &csv);
    let policy = release.write(
        "gate.toml",
        "[gate.injection]\nsuites = [\"redteam\"]\npassed_means_success = [\"redteam\"]\n",
    );
    assert_eq!(
        outcomes(
            &release
                .gate(&["--evals", text(&attacks), "--policy", text(&policy)])
                .1,
            "injection"
        ),
        ["fail"]
    );
}

/// A bundle that the record does not name proves nothing about the release.
#[test]
fn another_bundle_proves_nothing() {
    let release = Release::new();
    let tools = root().join("tests/samples/registry/tools/tools_bundle@2.4.0.json");
    let (code, report) = release.gate(&["--tools", text(&tools)]);
    assert_eq!((code, outcomes(&report, "tool_bundle")), (10, vec!["fail"]));
    let mut content = record(CANDIDATE, "cs_main@7", '7');
    content["artifacts"]["tool_schema_ref"] = json!("tools_bundle@2.4.0");
    release.write("candidate.json", &content.to_string());
    assert_eq!(
        outcomes(&release.gate(&["--tools", text(&tools)]).1, "tool_bundle"),
        ["warn"]
    );
    content["artifacts"]["tool_schema_ref"] = json!("other@1.0.0");
    release.write("candidate.json", &content.to_string());
    assert_eq!(
        outcomes(&release.gate(&["--tools", text(&tools)]).1, "tool_bundle"),
        ["inconclusive"]
    );
    // C5 fails without proof that a person confirms.
    content["artifacts"]["tool_schema_ref"] = json!("tools_bundle@2.4.0");
    content["hitl_proof"] = json!({});
    release.write("candidate.json", &content.to_string());
    assert_eq!(
        outcomes(&release.gate(&["--tools", text(&tools)]).1, "write_tools"),
        ["fail"]
    );
}

/// A changed record must not pass as a new one, or as a record of another tenant.
#[test]
fn leaving_things_out_is_no_way_around() {
    let release = Release::new();
    let registry = release.path("releases.json");
    let args = ["--registry", text(&registry)];
    assert_eq!(outcomes(&release.gate(&args).1, "immutable"), ["pass"]);
    let mut content = record(CANDIDATE, "cs_main@8", '8');
    content.as_object_mut().unwrap().remove("tenant_id");
    release.write("candidate.json", &content.to_string());
    assert_eq!(outcomes(&release.gate(&args).1, "immutable"), ["fail"]);
    let mut content = record(CANDIDATE, "cs_main@7", '7');
    content["artifacts"]["kb_index_ref"]["digest"] = Value::Null;
    release.write("candidate.json", &content.to_string());
    assert_eq!(
        outcomes(&release.gate(&[]).1, "moved_reference"),
        ["inconclusive"]
    );
    let (candidate, baseline) = (release.path("candidate.json"), release.path("baseline.json"));
    content["release_id"] = json!(format!("{CANDIDATE} "));
    release.write("candidate.json", &content.to_string());
    fails(
        &[
            "gate",
            "--candidate",
            text(&candidate),
            "--baseline",
            text(&baseline),
        ],
        3,
    );
}

#[test]
fn calls_are_checked_without_the_tools_of_the_baseline() {
    let release = Release::new();
    let tools = root().join("tests/samples/registry/tools/tools_bundle@2.4.0.json");
    let line =
        json!({"trace_id": "t", "tool": "refund_api", "arguments": json!({"order_id": "o"}).to_string()});
    let calls = release.write("calls.ndjson", &format!("{line}\n"));
    let (_, report) = release.gate(&["--tools", text(&tools), "--calls", text(&calls)]);
    assert_eq!(outcomes(&report, "tool_arguments"), ["fail"]);
}

#[test]
fn columns_and_policies_are_read_as_they_are_meant() {
    let release = Release::new();
    let evals = release.evals(10, |_| true, |_| true, 1.0);
    let (candidate, baseline) = (release.path("candidate.json"), release.path("baseline.json"));
    let gate = [
        "gate",
        "--candidate",
        text(&candidate),
        "--baseline",
        text(&baseline),
    ];
    let columns = [
        "--baseline-evals",
        text(&evals),
        "--baseline-column",
        "suite=gender",
    ];
    let stderr = fails(&[&gate[..], &columns].concat(), 2);
    assert!(stderr.contains("not a sensitive attribute"), "{stderr}");
    let policy = release.write("gate.toml", "[gate]\ncost = [0.5]\n");
    let stderr = fails(&[&gate[..], &["--policy", text(&policy)]].concat(), 2);
    assert!(
        stderr.contains("gate.cost") && stderr.contains("found a list"),
        "{stderr}"
    );
    // The second of two wrong entries has its own position.
    let approvals = release.write(
        "a.toml",
        "[[approval]]\nx = 1\n[[approval]]\n[[approval]]\ny = 1\n",
    );
    let stderr = fails(&[&gate[..], &["--approvals", text(&approvals)]].concat(), 2);
    assert!(
        stderr.contains("approval[1].x") && stderr.contains("approval[3].y"),
        "{stderr}"
    );
}

#[test]
fn the_files_of_a_gate_are_written_together() {
    let release = Release::new();
    let out = release.path("out");
    release.gate(&["--out", text(&out)]);
    let names = || -> Vec<String> {
        let entries = fs::read_dir(&out).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let written = [
        "eval_report.json",
        "gate_report.html",
        "gate_report.intoto.json",
        "gate_report.json",
        "gate_report.md",
    ];
    assert_eq!(names(), written);
    // Another job writes one of them.
    let other = fs::File::create(out.join(".gate_report.json.tmp.lock")).unwrap();
    other.lock().unwrap();
    fs::write(out.join("gate_report.json"), "earlier").unwrap();
    let (candidate, baseline) = (release.path("candidate.json"), release.path("baseline.json"));
    let gate = [
        "gate",
        "--candidate",
        text(&candidate),
        "--baseline",
        text(&baseline),
        "--out",
        text(&out),
    ];
    assert!(fails(&gate, 1).contains("another sluice process"));
    assert_eq!(
        fs::read_to_string(out.join("gate_report.json")).unwrap(),
        "earlier"
    );
    drop(other);
    // A process that another test starts may hold the lock for a moment.
    while sluice(&gate).status.code() == Some(1) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(names(), written);
    assert_ne!(
        fs::read_to_string(out.join("gate_report.json")).unwrap(),
        "earlier"
    );
}

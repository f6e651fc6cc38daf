//! Tests of the gate's check of forbidden texts.

use serde_json::json;
use std::fmt::Write as _;

use crate::gate::{Release, outcomes};
use crate::support::{fails, text};

#[test]
fn forbidden_words_are_found_in_any_case_and_language() {
    let release = Release::new();
    let policy = release.write(
        "gate.toml",
        "[gate]\nforbidden_substrings = [\"Guaranteed Compensation\", \"保证赔偿\"]\n",
    );
    let results = |outputs: &[&str]| {
        let mut csv = String::from("case_id,passed,output\n");
        outputs
            .iter()
            .enumerate()
            .for_each(|(idx, output)| writeln!(csv, "c{idx},true,\"{output}\"").unwrap());
        release.write("evals.csv", &csv)
    };
    let outcome = |outputs: &[&str]| {
        let evals = results(outputs);
        outcomes(
            &release
                .gate(&["--policy", text(&policy), "--evals", text(&evals)])
                .1,
            "forbidden_substrings",
        )[0]
        .to_owned()
    };
    assert_eq!(outcome(&["fine", "we can look into it"]), "pass");
    assert_eq!(outcome(&["fine", "a GUARANTEED compensation"]), "fail");
    assert_eq!(outcome(&["我们保证赔偿您"]), "fail");
    assert_eq!(outcome(&["fine", ""]), "inconclusive");
    let mut many = vec!["fine"; 200];
    many.push("");
    assert_eq!(outcome(&many), "warn");
    // Texts are compared as people read them: with wide letters, invisible characters and other
    // blanks.
    for hidden in [
        "guaranteed\u{a0}compensation",
        "guar\u{200b}anteed   compensation",
        "ｇｕａｒａｎｔｅｅｄ compensation",
    ] {
        assert_eq!(outcome(&[hidden]), "fail", "{hidden}");
    }
    assert_eq!(outcome(&["", ""]), "inconclusive");
}

#[test]
fn forbidden_words_are_found_as_readers_see_them() {
    let release = Release::new();
    let found = |policy: &str, output: &str| {
        let policy = release.write("gate.toml", &format!("[gate]\n{policy}\n"));
        let row = json!({"case_id": "a", "passed": true, "output": output});
        let evals = release.write("evals.jsonl", &format!("{row}\n"));
        let report = release
            .gate(&["--policy", text(&policy), "--evals", text(&evals)])
            .1;
        let checks = report["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["check"] == "forbidden_substrings")
            .unwrap()
            .clone()
    };
    let words = "forbidden_substrings = [\"guarantee compensation\"]";
    let check = |output: &str, reading: &str| {
        let found = found(words, output);
        assert_eq!(found["outcome"], "fail", "{output:?}");
        let listed = json!([{"suite": "golden", "case_id": "a", "substring": "guarantee compensation", "reading": reading}]);
        assert_eq!(found["evidence"], listed, "{output:?}");
    };
    check("We guar\u{e0041}antee compensation.", "text");
    check("We \u{1b}[1mguarantee\u{1b}[0m compensation.", "terminal");
    check("We <b>guarantee</b>&nbsp;compensation.", "html");
    check(
        "We **guarantee** [compensation](https://example.com).",
        "markdown",
    );
    check("We guaran-\ntee compensation.", "joined_lines");
    assert_eq!(found(words, "We guarantee<br>d compensation")["outcome"], "pass");
    let detail = found(words, "**guarantee** compensation")["detail"].to_string();
    assert!(detail.contains("in a (read as markdown)"), "{detail}");
    // Letters and digits that look alike are one by option.
    assert_eq!(found(words, "We guarantee c0mpensation")["outcome"], "pass");
    let both = format!("{words}\nforbidden_confusables = true");
    let alike = found(&both, "We guarantee c0mpensation");
    assert_eq!(
        (&alike["outcome"], &alike["evidence"][0]["confusable"]),
        (&json!("fail"), &json!(true))
    );
    let wrong = release.write(
        "wrong.toml",
        "[gate]\nforbidden_substrings = [\"a\", \"\\u200b \"]\n",
    );
    let candidate = release.path("candidate.json");
    let baseline = release.path("baseline.json");
    let records = [
        "gate",
        "--candidate",
        text(&candidate),
        "--baseline",
        text(&baseline),
    ];
    let error = fails(&[&records[..], &["--policy", text(&wrong)]].concat(), 2);
    assert!(
        error.contains("gate.forbidden_substrings[2]: expected a text with a visible character"),
        "{error}"
    );
}

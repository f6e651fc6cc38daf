//! Tests that rules see through names: sensitive attributes under other names, approvals of other
//! releases, times and programs, and names that only look different.

use std::fs;

use crate::small::Small;
use crate::support::{ecommerce, fails, json, ok, ok_json, root, sluice, text};

#[test]
fn a_sensitive_column_is_refused_wherever_it_enters_a_rule() {
    let check = |edits: &[(&str, &str)], location: &str| {
        let small = Small::new();
        for (from, to) in edits {
            small.edit("study.toml", |text| {
                assert!(text.contains(from), "{from}");
                text.replace(from, to)
            });
        }
        let stderr = small.fails(2);
        assert!(
            stderr.contains(location) && stderr.contains("not a sensitive attribute"),
            "{edits:?}: {stderr}"
        );
    };
    let users = "path = \"users.csv\"";
    let traffic = "path = \"traffic.csv\"";
    let with_users = |columns: &str| format!("{users}, {columns}");
    let with_traffic = |columns: &str| format!("{traffic}, {columns}");
    let tag = (
        "id = \"all\"\n[[op",
        "id = \"all\"\ntags = [{ column = \"segment\", equals = \"f\" }]\n[[op",
    );
    check(
        &[(users, &with_users("columns = { segment = \"gender\" }")), tag],
        "input.users.columns.segment",
    );
    check(
        &[(users, &with_users("columns = { gender = \"segment\" }"))],
        "input.users.columns.gender",
    );
    check(
        &[(users, &with_users("columns = { user_value = \"userAge\" }"))],
        "input.users.columns.user_value",
    );
    check(
        &[(
            users,
            &with_users("columns = { use_count = { column = \"ages\", unit = \"s\" } }"),
        )],
        "input.users.columns.use_count",
    );
    check(
        &[(users, &with_users("constants = { xingbie = \"f\" }"))],
        "input.users.constants.xingbie",
    );
    check(
        &[(
            traffic,
            &with_traffic("columns = { feature = \"gen\u{200b}der\" }"),
        )],
        "input.traffic[1].columns.feature",
    );
    check(
        &[(traffic, &with_traffic("columns = { tenant_id = \"minzu\" }"))],
        "input.traffic[1].columns.tenant_id",
    );
    check(
        &[(traffic, &with_traffic("columns = { session_id = \"gender\" }"))],
        "input.traffic[1].columns.session_id",
    );
    check(
        &[(tag.0, &tag.1.replace("segment", "ｇender"))],
        "layer[1].tags[1].column",
    );
    for numerator in ["sum(genders1 = 'f')", "sum(isDisabled)", "count(marital_status)"] {
        let metric =
            format!("[[metric]]\nid = \"m\"\nnumerator = \"{numerator}\"\ndenominator = \"rows\"\n[[layer]]");
        check(&[("[[layer]]", &metric)], "metric[1].numerator");
    }
    let analysis = "[analysis]\nbreakdowns = [\"民族\"]\n[[layer]]";
    check(&[("[[layer]]", analysis)], "analysis.breakdowns[1]");
}

#[test]
fn a_sensitive_column_is_refused_on_the_command_line() {
    let small = Small::new();
    let log = small.path("traffic.csv");
    let check = |args: &[&str]| {
        let stderr = fails(args, 2);
        assert!(stderr.contains("not a sensitive attribute"), "{args:?}: {stderr}");
    };
    check(&["finops", "--traffic", text(&log), "--column", "feature=gender"]);
    check(&["evals", text(&log), "--column", "suite=種族"]);
    let users = small.path("users.csv");
    let out = small.path("l.parquet");
    let layer = [
        "layer",
        "--users",
        text(&users),
        "--as-of",
        "2026-05-25",
        "--out",
        text(&out),
    ];
    check(&[&layer[..], &["--column", "user_value=age_years"]].concat());
    let study = text(ecommerce());
    let flags = text(&small.path("flags.json")).to_owned();
    let target = format!("flagd:{flags}?attribute=userGender");
    check(&["publish", study, "--no-users", "--to", &target]);
    // A rollback is never refused for what its targets ask for.
    ok(&[
        "publish",
        study,
        "--no-users",
        "--to",
        &format!("flagd:{flags}?attribute=plan"),
    ]);
    ok(&["publish", study, "--rollback", "--to", &target]);
    // An exception needs a reason.
    let exception = ["--allow-column", "age_years="];
    assert_eq!(sluice(&[&layer[..], &exception].concat()).status.code(), Some(2));
}

#[test]
fn an_allowed_column_is_shown_with_its_reason() {
    let small = Small::new();
    let traffic = fs::read_to_string(small.path("traffic.csv")).unwrap();
    let lines = traffic.lines().enumerate();
    let with_column: String = lines
        .map(|(idx, line)| format!("{line},{}\n", if idx == 0 { "is_political" } else { "0" }))
        .collect();
    small.write("traffic.csv", with_column);
    let metric =
        "[[metric]]\nid = \"m\"\nnumerator = \"sum(is_political)\"\ndenominator = \"rows\"\n[[layer]]";
    small.edit("study.toml", |text| text.replace("[[layer]]", metric));
    assert!(small.fails(2).contains("[[allowed_column]]"));
    let allowed =
        |reason: &str| format!("\n[[allowed_column]]\ncolumn = \"is_political\"\nreason = \"{reason}\"\n");
    small.edit("study.toml", |text| text + &allowed("topic of the answer"));
    small.run();
    let study = json(&small.path("out/study.json"));
    assert_eq!(study["allowed_columns"][0]["column"], "is_political");
    assert_eq!(study["allowed_columns"][0]["reason"], "topic of the answer");
    for page in ["out/report.md", "out/report.html"] {
        let page = fs::read_to_string(small.path(page)).unwrap();
        assert!(page.contains("is_political") && page.contains("topic of the answer"));
    }
    small.edit("study.toml", |text| text.replace("topic of the answer", " "));
    assert!(small.fails(2).contains("allowed_column[1].reason"));
}

#[test]
fn an_approval_counts_for_one_release_in_the_time_of_the_plan_by_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = fs::read_to_string(root().join("scenarios/ecommerce.toml")).unwrap();
    let scenario = scenario.replace("id = \"early\"\n", "id = \"early\"\nsafety_critical = true\n");
    let plan = dir.path().join("plan.toml");
    let analysis = dir.path().join("analysis.json");
    let check = |approval: &str, expected: &str, reason: &str| {
        let approval = format!("[[approval]]\nlayer = \"early\"\nratio = 0.5\n{approval}\n");
        fs::write(&plan, format!("{scenario}\n{approval}")).unwrap();
        let cube = ecommerce().join("cube");
        ok(&[
            "analyze",
            "--cube",
            text(&cube),
            "--scenario",
            text(&plan),
            "--out",
            text(&analysis),
        ]);
        let decided = ok_json(&[
            "schedule",
            "--scenario",
            text(&plan),
            "--analysis",
            text(&analysis),
            "--out",
            text(&dir.path().join("out")),
            "--json",
        ]);
        let layers = decided["layers"].as_array().unwrap();
        let early = layers.iter().find(|layer| layer["layer"] == "early").unwrap();
        assert_eq!(early["verdict"], expected, "{approval}");
        let found = early["trace"].to_string();
        assert!(found.contains(reason), "{approval}: {found}");
    };
    let release = "candidate = \"cs-agent-2026.05\"\n";
    let at = "at = \"2026-05-26T09:00:00Z\"\n";
    let by = "by = \"li\"";
    check(&format!("{release}{at}{by}"), "promote", "li approved");
    check(&format!("{at}{by}"), "hold", "names no release");
    check(
        &format!("candidate = \"cs-agent-2026.04\"\n{at}{by}"),
        "hold",
        "is for cs-agent-2026.04",
    );
    check(
        &format!("{release}at = \"2020-01-01T00:00:00Z\"\n{by}"),
        "hold",
        "older than the plan",
    );
    check(
        &format!("{release}at = \"2026-05-30T00:00:00Z\"\n{by}"),
        "hold",
        "later than the known data",
    );
    check(
        &format!("{release}{at}by = \"release-b\u{43e}t\""),
        "hold",
        "by a program",
    );
    check(
        &format!("{release}{at}{by}\nkind = \"bot\""),
        "hold",
        "by a program",
    );
}

#[test]
fn names_with_invisible_characters_are_refused() {
    let check = |from: &str, to: &str, location: &str| {
        let small = Small::new();
        small.edit("study.toml", |text| text.replace(from, to));
        let stderr = small.fails(2);
        assert!(stderr.contains(location), "{to:?}: {stderr}");
    };
    for hidden in ['\u{200b}', '\u{feff}', '\u{202e}', '\u{a0}', '\u{ad}'] {
        let written = format!("candidate = \"ne{hidden}w\"");
        check("candidate = \"new\"", &written, "plan.candidate");
    }
    check(
        "baseline = \"old\"",
        "baseline = \"\u{2066}old\"",
        "plan.baseline",
    );
    // Two releases that look alike.
    check("candidate = \"new\"", "candidate = \"оld\"", "looks different");
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record.json");
    let show = |id: &str, tokens: &str| {
        let artifacts = "\"model_ref\": \"m@1\", \"prompt_ref\": \"p@1\", \
            \"tool_schema_ref\": null, \"kb_index_ref\": null";
        let text = format!(
            "{{\"release_id\": \"{id}\", \"artifacts\": {{{artifacts}}}, \
             \"settings\": {{\"max_tokens\": {tokens}}}}}"
        );
        fs::write(&record, text).unwrap();
        sluice(&["record", "show", text_of(&record)]).status.code()
    };
    assert_eq!(show("rel_1", "4096"), Some(0));
    assert_eq!(show("rel_\u{200b}1", "4096"), Some(3));
    assert_eq!(show("rel_\u{202e}1", "4096"), Some(3));
    // Numbers that two readers could take for each other have no digest.
    assert_eq!(show("rel_1", "9007199254740992"), Some(3));
    assert_eq!(show("rel_1", "9007199254740993"), Some(3));
    assert_eq!(show("rel_1", "18446744073709551617"), Some(3));
}

fn text_of(path: &std::path::Path) -> &str {
    text(path)
}

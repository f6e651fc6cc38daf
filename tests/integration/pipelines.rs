//! Tests of `--format`: annotations, JUnit, SARIF and comments of gates, evaluations, tools and
//! nights, in both languages; and the examples of pipelines in `deploy/ci`.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::gate::Release;
use crate::support::{ok, root, sluice, text};

/// The gate of the shipped release, which fails.
const GATE: [&str; 13] = [
    "gate",
    "--candidate",
    "scenarios/gate/candidate.json",
    "--baseline",
    "scenarios/gate/baseline.json",
    "--policy",
    "scenarios/gate/gate.toml",
    "--tools",
    "scenarios/gate/tools_bundle@2.4.0.json",
    "--baseline-tools",
    "scenarios/gate/tools_bundle@2.3.0.json",
    "--evals",
    "scenarios/gate/evals.csv",
];
const EVALS: [&str; 4] = [
    "evals",
    "scenarios/gate/evals.csv",
    "--baseline",
    "rel_2026_05_20_stable",
];
const TOOLS: [&str; 4] = [
    "tools",
    "diff",
    "scenarios/gate/tools_bundle@2.3.0.json",
    "scenarios/gate/tools_bundle@2.4.0.json",
];

/// Runs the program in the repository, without the variables of the pipeline that runs the tests.
fn run(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    for name in [
        "GITHUB_STEP_SUMMARY",
        "GITHUB_WORKSPACE",
        "CI_PROJECT_DIR",
        "COLUMNS",
    ] {
        command.env_remove(name);
    }
    command
        .args(args)
        .envs(variables.iter().copied())
        .current_dir(root())
        .output()
        .unwrap()
}

/// The output of a command in a format and a language, with its exit code.
fn formatted(command: &[&str], format: &str, lang: &str) -> (String, i32) {
    let output = run(&[command, &["--format", format, "--lang", lang]].concat(), &[]);
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (
        String::from_utf8(output.stdout).unwrap(),
        output.status.code().unwrap(),
    )
}

fn has_han(text: &str) -> bool {
    text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

/// An annotation: its kind, its properties and its message.
type Annotation = (String, Vec<(String, String)>, String);

/// One annotation: command, properties and message.
fn annotations(output: &str) -> Vec<Annotation> {
    let annotation = |line: &str| {
        let (head, message) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
        let (command, properties) = head.split_once(' ').unwrap();
        let property = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.replace("%3A", ":").replace("%2C", ","))
        };
        let properties = properties.split(',').map(property).collect();
        (command.to_owned(), properties, message.to_owned())
    };
    output.lines().map(annotation).collect()
}

#[test]
fn the_exit_code_and_the_bytes_do_not_depend_on_format_and_threads() {
    for (command, code) in [(&GATE[..], 10), (&EVALS[..], 0), (&TOOLS[..], 10)] {
        for format in ["github", "junit", "sarif", "markdown"] {
            for lang in ["en", "zh"] {
                let (output, found) = formatted(command, format, lang);
                assert_eq!(found, code, "{command:?} {format}");
                assert_eq!(has_han(&output), lang == "zh", "{command:?} {format}: {output}");
                let again = [command, &["--threads", "1", "--format", format, "--lang", lang]].concat();
                assert_eq!(output.as_bytes(), run(&again, &[]).stdout, "{command:?} {format}");
            }
        }
    }
    assert_eq!(
        run(&[&GATE[..], &["--format", "github", "--json"]].concat(), &[])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn annotations_have_the_file_and_the_line_of_the_key() {
    let (output, _) = formatted(&GATE, "github", "en");
    let annotations = annotations(&output);
    let levels: Vec<&str> = annotations
        .iter()
        .map(|(command, _, _)| command.as_str())
        .collect();
    let n = |level: &str| levels.iter().filter(|found| **found == level).count();
    assert_eq!((n("error"), n("warning"), n("notice")), (4, 5, 1), "{output}");
    assert!(
        levels[..4].iter().all(|level| *level == "error"),
        "failures come first: {output}"
    );
    let check = |title: &str, key: &str| {
        let titled = |(_, properties, _): &&(String, Vec<(String, String)>, String)| {
            properties.contains(&("title".to_owned(), title.to_owned()))
        };
        let (_, properties, _) = annotations.iter().find(titled).unwrap();
        let get = |name: &str| {
            properties
                .iter()
                .find(|(of, _)| of == name)
                .map(|(_, value)| value.as_str())
        };
        let content = fs::read_to_string(root().join(get("file").unwrap())).unwrap();
        let line = get("line").map(|line| content.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap());
        match key {
            "" => assert_eq!(line, None, "{title}"),
            key => assert!(line.unwrap().contains(key), "{title}: {line:?}"),
        }
    };
    check("single_dimension", "\"artifacts\"");
    check("eval_report", "\"release_id\"");
    check("tool_schema", "\"refund_api\"");
    check("cost", "");
    let (_, properties, message) = annotations.last().unwrap();
    assert_eq!(properties, &[("title".to_owned(), "sluice gate".to_owned())]);
    assert_eq!(
        message,
        "rel_2026_05_28_001 may not start: 4 of 24 checks failed."
    );
    let (tools, _) = formatted(&TOOLS, "github", "en");
    assert!(
        tools.contains("tools_bundle@2.4.0.json,line=6,title=became-required (refund_api /reason_code)::"),
        "{tools}"
    );
}

#[test]
fn files_outside_of_the_repository_are_not_named() {
    let release = Release::new();
    let [candidate, baseline] = ["candidate.json", "baseline.json"].map(|name| release.path(name));
    let command = [
        "gate",
        "--candidate",
        text(&candidate),
        "--baseline",
        text(&baseline),
    ];
    let format = ["--format", "github"];
    let output = run(&[&command[..], &format].concat(), &[]);
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.contains("::warning title=") && !output.contains("file="),
        "{output}"
    );
    // A workspace that holds the current folder is the root.
    let parent = root().parent().unwrap();
    let output = run(
        &[&TOOLS[..], &format].concat(),
        &[("GITHUB_WORKSPACE", text(parent))],
    );
    let folder = root().file_name().unwrap().to_str().unwrap();
    let expected = format!("file={folder}/scenarios/gate/tools_bundle@2.4.0.json,");
    assert!(String::from_utf8(output.stdout).unwrap().contains(&expected));
}

#[test]
fn the_job_summary_is_appended() {
    let dir = tempfile::tempdir().unwrap();
    let summary = dir.path().join("summary.md");
    fs::write(&summary, "before\n").unwrap();
    let args = [&GATE[..], &["--format", "github"]].concat();
    let output = run(&args, &[("GITHUB_STEP_SUMMARY", text(&summary))]);
    assert_eq!(output.status.code(), Some(10));
    let written = fs::read_to_string(&summary).unwrap();
    let (comment, _) = formatted(&GATE, "markdown", "en");
    assert_eq!(written, format!("before\n{comment}\n"));
    // Other formats write no summary.
    let junit = [&GATE[..], &["--format", "junit"]].concat();
    run(&junit, &[("GITHUB_STEP_SUMMARY", text(&summary))]);
    assert_eq!(fs::read_to_string(&summary).unwrap(), written);
    let output = run(&args, &[("GITHUB_STEP_SUMMARY", text(dir.path()))]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("hint: GITHUB_STEP_SUMMARY names"), "{stderr}");
}

/// An element of an XML document.
#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
}

impl Element {
    fn get(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|(of, _)| of == name);
        found.map_or_else(|| panic!("{} has no {name}", self.name), |(_, value)| value)
    }

    fn count(&self, name: &str) -> usize {
        let own = usize::from(self.name == name);
        own + self.children.iter().map(|child| child.count(name)).sum::<usize>()
    }
}

/// Parses the XML that Sluice writes: no comments, no CDATA. Panics where it is not well-formed.
fn xml(text: &str) -> Element {
    let body = text
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
        .unwrap();
    let mut open = vec![Element::default()];
    let mut rest = body;
    while let Some((content, tail)) = rest.split_once('<') {
        let is_text = content.trim().is_empty() || open.len() > 1;
        assert!(
            is_text && !content.contains('>') && entities_are_known(content),
            "{content}"
        );
        let (tag, tail) = tail.split_once('>').unwrap();
        rest = tail;
        if let Some(name) = tag.strip_prefix('/') {
            let closed = open.pop().unwrap();
            assert_eq!(closed.name, name);
            open.last_mut().unwrap().children.push(closed);
            continue;
        }
        let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut element = Element {
            name: name.to_owned(),
            ..Element::default()
        };
        let mut parts = attributes.split('"');
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            assert!(entities_are_known(value), "{value}");
            let key = key.trim().strip_suffix('=').unwrap().to_owned();
            assert!(
                element.attributes.iter().all(|(other, _)| *other != key),
                "{key} twice"
            );
            element.attributes.push((key, value.to_owned()));
        }
        if is_empty {
            open.last_mut().unwrap().children.push(element);
        } else {
            open.push(element);
        }
    }
    assert_eq!(open.len(), 1);
    open.pop().unwrap().children.pop().unwrap()
}

fn entities_are_known(text: &str) -> bool {
    let known = ["amp;", "lt;", "gt;", "quot;"];
    let mut parts = text.split('&').skip(1);
    parts.all(|part| known.iter().any(|entity| part.starts_with(entity)))
        && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

/// Checks the rules of JUnit files that docs/reference/pipelines.md lists.
fn check_junit(text: &str) -> Element {
    let suites = xml(text);
    assert_eq!(suites.name, "testsuites");
    let counts = |element: &Element| {
        let pairs = [
            ("tests", "testcase"),
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ];
        for (attribute, child) in pairs {
            assert_eq!(
                element.get(attribute),
                element.count(child).to_string(),
                "{attribute}"
            );
        }
    };
    counts(&suites);
    for suite in &suites.children {
        assert_eq!(suite.name, "testsuite");
        counts(suite);
        assert_eq!(suite.children[0].name, "properties");
        assert!(suite.children[0].children.iter().all(|property| {
            property.name == "property"
                && !property.get("name").is_empty()
                && property.get("value").len() < 5_000
        }));
        let mut names = Vec::new();
        for case in &suite.children[1..] {
            assert_eq!(case.name, "testcase");
            assert!(!names.contains(&case.get("name")), "{} twice", case.get("name"));
            names.push(case.get("name"));
            assert!(!case.get("classname").is_empty());
            let kinds: Vec<&str> = case.children.iter().map(|child| child.name.as_str()).collect();
            assert_eq!(kinds.len(), 1, "{kinds:?}");
            assert!(
                ["failure", "error", "skipped", "system-out"].contains(&kinds[0]),
                "{kinds:?}"
            );
        }
    }
    suites
}

#[test]
fn junit_files_keep_the_rules_of_their_readers() {
    for (command, failures, errors, skipped) in [
        (&GATE[..], "4", "1", "4"),
        (&EVALS[..], "1", "0", "0"),
        (&TOOLS[..], "5", "0", "0"),
    ] {
        for lang in ["en", "zh"] {
            let suites = check_junit(&formatted(command, "junit", lang).0);
            let found = ["failures", "errors", "skipped"].map(|name| suites.get(name));
            assert_eq!(found, [failures, errors, skipped], "{command:?}");
        }
    }
}

/// Checks a document against the parts of the SARIF 2.1.0 schema that Sluice uses: the keys that an
/// object may have, and those that it must have.
fn check_sarif(text: &str) -> Value {
    let document: Value = serde_json::from_str(text).unwrap();
    let keys = |value: &Value, required: &[&str], optional: &[&str]| {
        let object = value.as_object().unwrap_or_else(|| panic!("{value}"));
        for key in required {
            assert!(object.contains_key(*key), "{key} is missing in {value}");
        }
        for key in object.keys() {
            assert!(
                required.contains(&key.as_str()) || optional.contains(&key.as_str()),
                "{key}"
            );
        }
    };
    keys(&document, &["$schema", "version", "runs"], &[]);
    assert_eq!(document["version"], "2.1.0");
    let run = &document["runs"][0];
    keys(
        run,
        &["tool", "results"],
        &["automationDetails", "columnKind", "properties"],
    );
    let driver = &run["tool"]["driver"];
    keys(driver, &["name", "rules"], &["version"]);
    let rules = driver["rules"].as_array().unwrap();
    for rule in rules {
        keys(rule, &["id", "shortDescription"], &["properties"]);
        assert!(!rule["shortDescription"]["text"].as_str().unwrap().is_empty());
    }
    let mut prints = Vec::new();
    for result in run["results"].as_array().unwrap() {
        keys(
            result,
            &["ruleId", "ruleIndex", "level", "message", "partialFingerprints"],
            &["locations", "properties"],
        );
        assert_eq!(
            rules[result["ruleIndex"].as_u64().unwrap() as usize]["id"],
            result["ruleId"]
        );
        assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let print = result["partialFingerprints"]["sluiceFinding/v1"]
            .as_str()
            .unwrap();
        assert!(!prints.contains(&print), "{print} twice");
        prints.push(print);
        for location in result["locations"].as_array().into_iter().flatten() {
            keys(location, &["physicalLocation"], &[]);
            let place = &location["physicalLocation"];
            keys(place, &["artifactLocation"], &["region"]);
            let uri = place["artifactLocation"]["uri"].as_str().unwrap();
            assert!(
                !uri.starts_with('/') && !uri.contains([' ', '\\']) && !uri.contains("://"),
                "{uri}"
            );
            assert_eq!(place["artifactLocation"]["uriBaseId"], "%SRCROOT%");
            if !place["region"].is_null() {
                assert!(place["region"]["startLine"].as_u64().unwrap() > 0);
            }
        }
    }
    document
}

#[test]
fn sarif_files_fit_the_format() {
    for (command, n) in [(&GATE[..], 9), (&EVALS[..], 2), (&TOOLS[..], 5)] {
        for lang in ["en", "zh"] {
            let document = check_sarif(&formatted(command, "sarif", lang).0);
            let results = document["runs"][0]["results"].as_array().unwrap();
            assert_eq!(results.len(), n, "{command:?}");
            assert!(
                results.iter().all(|result| result["locations"].is_array()),
                "{command:?}"
            );
        }
    }
}

#[test]
fn comments_are_short_and_answer_first() {
    let (comment, _) = formatted(&GATE, "markdown", "en");
    let lines: Vec<&str> = comment.lines().collect();
    assert!(lines.len() <= 30, "{comment}");
    assert_eq!(
        lines[0],
        "**rel_2026_05_28_001 may not start: 4 of 24 checks failed.**"
    );
    assert!(
        lines[4].starts_with("| tool_schema | fail | 1 change from 2.3.0 to 2.4.0 can break callers: "),
        "{comment}"
    );
    assert!(
        comment.contains("<details><summary>15 passed, 4 not asked</summary>"),
        "{comment}"
    );
    assert!(
        lines
            .last()
            .unwrap()
            .starts_with("Next: To pass tool_schema: Give a new major version"),
        "{comment}"
    );
    let (comment, _) = formatted(&GATE, "markdown", "zh");
    assert!(
        comment.starts_with("**rel_2026_05_28_001 不能开始放量：24 项检查中 4 项未通过。**\n"),
        "{comment}"
    );
    let only_read = ["evals", "scenarios/gate/evals.csv"];
    let (comment, _) = formatted(&only_read, "markdown", "en");
    assert!(
        comment.starts_with("**2 releases read, with 6 mean values. Nothing is compared"),
        "{comment}"
    );
}

#[test]
fn hostile_names_break_out_of_no_format() {
    let release = Release::new();
    let hostile = "rel|</details><script>alert(1)</script> @all ![x](https://evil) %0A::error::y";
    let mut record: Value =
        serde_json::from_str(&fs::read_to_string(release.path("candidate.json")).unwrap()).unwrap();
    record["release_id"] = json!(hostile);
    record["artifacts"]["prompt_ref"] = json!("a | b </failure>@latest");
    let candidate = release.write("candidate.json", &record.to_string());
    let row = json!({"case_id": "c\n::error::x]]>", "suite": "s,\u{1b}[2J:::\"'<&", "release_id": hostile,
        "passed": false, "output": "bad word"});
    let evals = release.write("evals.jsonl", &format!("{row}\n"));
    let policy = release.write("gate.toml", "[gate]\nforbidden_substrings = [\"bad word\"]\n");
    let baseline = release.path("baseline.json");
    let command = [
        "gate",
        "--candidate",
        text(&candidate),
        "--baseline",
        text(&baseline),
        "--evals",
        text(&evals),
        "--policy",
        text(&policy),
    ];
    for lang in ["en", "zh"] {
        let (output, _) = formatted(&command, "github", lang);
        let found = annotations(&output);
        assert!(
            found
                .iter()
                .all(|(level, _, _)| ["error", "warning", "notice"].contains(&level.as_str()))
        );
        assert_eq!(found.iter().filter(|(level, _, _)| level == "notice").count(), 1);
        assert!(
            output.contains("%250A") && !output.contains('\u{1b}') && !output.contains('\u{202e}'),
            "{output}"
        );
        check_junit(&formatted(&command, "junit", lang).0);
        check_sarif(&formatted(&command, "sarif", lang).0);
        let (comment, _) = formatted(&command, "markdown", lang);
        assert!(comment.lines().count() <= 30, "{comment}");
        for word in ["<script>", "@all", "](https://", "\u{202e}", "\u{1b}"] {
            assert!(!comment.contains(word), "{word}: {comment}");
        }
        assert_eq!(comment.matches("</details>").count(), 1, "{comment}");
        // A row of a table has as many cells as its head.
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let table: Vec<usize> = comment
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(cells)
            .collect();
        assert!(table.iter().all(|n| *n == table[0]), "{comment}");
    }
}

/// Commands of `sluice` in the scripts of a pipeline, with its variables filled in.
fn commands(pipeline: &Value, variables: &mut Vec<(String, String)>, found: &mut Vec<String>) {
    match pipeline {
        Value::Object(fields) => {
            for key in ["env", "variables"] {
                for (name, value) in fields.get(key).and_then(Value::as_object).into_iter().flatten() {
                    variables.extend(value.as_str().map(|value| (name.clone(), value.to_owned())));
                }
            }
            for (key, value) in fields {
                let is_script = ["run", "script", "before_script", "after_script"].contains(&key.as_str());
                let scripts: Vec<&str> = match value {
                    Value::String(script) if is_script => vec![script],
                    Value::Array(scripts) if is_script => scripts.iter().filter_map(Value::as_str).collect(),
                    _ => Vec::new(),
                };
                let lines = scripts.iter().flat_map(|script| script.lines());
                found.extend(
                    lines
                        .filter(|line| line.starts_with("sluice "))
                        .map(str::to_owned),
                );
                commands(value, variables, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| commands(item, variables, found)),
        _ => {}
    }
}

#[test]
fn the_examples_of_pipelines_parse() {
    for (name, n) in [("github-actions.yml", 4), ("gitlab-ci.yml", 4)] {
        let path = root().join("deploy/ci").join(name);
        let pipeline: Value = serde_saphyr::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let (mut variables, mut found) = (Vec::new(), Vec::new());
        commands(&pipeline, &mut variables, &mut found);
        assert_eq!(found.len(), n, "{name}: {found:?}");
        for command in found {
            let mut line = command.clone();
            for (variable, value) in &variables {
                line = line.replace(&format!("${variable}"), value);
            }
            let words = line
                .split_whitespace()
                .take_while(|word| ![">", "||", "&&", "|"].contains(word));
            let words: Vec<String> = words.map(|word| word.trim_matches('"').to_owned()).collect();
            let parsed = sluice::cli::command().try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{name}: {command}: {}", parsed.unwrap_err());
        }
    }
    let page = fs::read_to_string(root().join("docs/reference/pipelines.md")).unwrap();
    for name in ["github-actions.yml", "gitlab-ci.yml"] {
        assert!(page.contains(&format!("../../deploy/ci/{name}")), "{name}");
    }
}

/// Runs a gate with JSON output. Returns its report.
fn report(args: &[&str]) -> Value {
    let output = run(&[args, &["--json"]].concat(), &[]);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn every_check_of_a_gate_has_a_chinese_text() {
    let release = Release::new();
    let [candidate, baseline] = ["candidate.json", "baseline.json"].map(|name| release.path(name));
    let records = [
        "gate",
        "--candidate",
        text(&candidate),
        "--baseline",
        text(&baseline),
    ];
    let sparse = release.write(
        "sparse.json",
        &json!({"release_id": "v3", "artifacts": {"model_ref": "gpt-4o", "prompt_ref": "main@latest",
            "tool_schema_ref": "tools@1", "kb_index_ref": "kb_alias:v1"}, "risk_level": "high"})
        .to_string(),
    );
    let off = release.write(
        "off.toml",
        "[gate]\nslices = [\"suite\"]\n[gate.checks]\ncost = \"off\"\n[[gate.threshold]]\nsuite = \"none\"\nmin = 0.8\n\
         [[gate.threshold]]\nmetric = \"pass^3\"\nmin = 0.8\n[[gate.threshold]]\nmetric = \"helpful\"\nmax = 0.8\n",
    );
    let analysis = crate::support::ecommerce().join("analysis.json");
    let evals = ["--evals", "scenarios/gate/evals.csv"];
    let gates: [Vec<&str>; 6] = [
        GATE.to_vec(),
        records.to_vec(),
        [&records[..], &evals, &["--policy", text(&off)]].concat(),
        vec![
            "gate",
            "--candidate",
            text(&sparse),
            "--baseline",
            text(&baseline),
        ],
        [&records[..], &["--analysis", text(&analysis)]].concat(),
        [
            &records[..],
            &["--tools", "scenarios/gate/tools_bundle@2.4.0.json"],
        ]
        .concat(),
    ];
    for gate in gates {
        let report = report(&gate);
        for check in report["checks"].as_array().unwrap() {
            let zh = check["detail_zh"].as_str().unwrap_or_default();
            assert!(has_han(zh), "{check:#}");
            assert!(!has_han(check["detail"].as_str().unwrap()), "{check:#}");
            let remedies = ["remedy", "remedy_zh"].map(|key| check[key].as_str());
            assert_eq!(remedies[0].is_some(), check["outcome"] != "pass", "{check:#}");
            assert_eq!(
                remedies[1].is_some_and(has_han),
                remedies[0].is_some(),
                "{check:#}"
            );
            let end = check["detail"].as_str().unwrap();
            assert!(end.ends_with('.') && zh.ends_with('。'), "{check:#}");
        }
        let [en, zh] = ["not_asked", "not_asked_zh"].map(|key| report[key].as_array().unwrap().len());
        assert_eq!(en, zh);
    }
}

/// The words of a text that look English, without names, ids, units and words within backticks.
fn english(text: &str) -> Vec<&str> {
    const NAMES: [&str; 12] = [
        "token",
        "trace",
        "schema",
        "wide",
        "shows",
        "also",
        "error",
        "pass",
        "fail",
        "warn",
        "inconclusive",
        "json",
    ];
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-.`@/:".contains(c));
    words
        .filter(|word| {
            word.len() > 3 && word.chars().all(|c| c.is_ascii_lowercase()) && !NAMES.contains(word)
        })
        .collect()
}

#[test]
fn the_terminal_speaks_chinese() {
    let tables = [
        (&EVALS[..], ["golden", "injection", "passed"].as_slice()),
        (&TOOLS[..], ["must", "given"].as_slice()),
    ];
    for (command, names) in tables {
        let printed = run(&[command, &["--lang", "zh"]].concat(), &[]);
        let printed = String::from_utf8(printed.stdout).unwrap();
        let english: Vec<&str> = english(&printed)
            .into_iter()
            .filter(|word| !names.contains(word))
            .collect();
        assert!(has_han(&printed) && english.is_empty(), "{english:?}: {printed}");
    }
    let printed = sluice(&[&GATE[..], &["--lang", "zh"]].concat());
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(
        printed.starts_with("rel_2026_05_28_001 不能开始放量：24 项检查中 4 项未通过。\n"),
        "{printed}"
    );
    assert!(
        printed.contains("如何通过：") && printed.contains("的门禁：未通过 fail"),
        "{printed}"
    );
}

/// The text of a page without tags, style and scripts.
fn text_of(page: &str) -> String {
    let mut text = String::new();
    let body = page.split_once("<body>").unwrap().1;
    for part in body.split('<') {
        let (tag, content) = part.split_once('>').unwrap_or(("", part));
        if !tag.starts_with("script") {
            text.push_str(content);
            text.push('\n');
        }
    }
    text
}

#[test]
fn the_page_of_the_gate_begins_with_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    for (lang, question, answer, short, passed) in [
        (
            "en",
            "May it start?",
            "may not start: 4 of 24 checks failed.",
            "no",
            "Checks that passed",
        ),
        (
            "zh",
            "可以开始放量吗？",
            "不能开始放量：24 项检查中 4 项未通过。",
            "不可以",
            "通过的检查",
        ),
    ] {
        let out = dir.path().join(lang);
        run(&[&GATE[..], &["--out", text(&out), "--lang", lang]].concat(), &[]);
        let page = fs::read_to_string(out.join("gate_report.html")).unwrap();
        let said = text_of(&page);
        let at = |what: &str| said.find(what).unwrap_or_else(|| panic!("{what}: {said}"));
        let order = [
            at(answer),
            at(question),
            at("tool_schema"),
            at("eval_regression"),
            at(passed),
        ];
        assert!(order.is_sorted(), "{order:?}: {said}");
        assert!(
            page.contains(&format!("<span class=\"badge fail\">{short}</span>")),
            "{said}"
        );
        assert!(page.find("<svg").unwrap() < page.find(passed).unwrap());
        assert!(page.contains("<details class=\"part\">") && page.contains("id=\"check-cost\""));
        let markdown = fs::read_to_string(out.join("gate_report.md")).unwrap();
        assert!(
            markdown.find(answer).unwrap() < markdown.find("| ").unwrap(),
            "{markdown}"
        );
        assert_eq!(has_han(&markdown), lang == "zh");
    }
}

#[test]
fn relative_margins_are_shown_as_relative() {
    let release = Release::new();
    let dir = release.path("out");
    let policy = release.write(
        "gate.toml",
        "[gate]\nslices = [\"suite\"]\n[[gate.compare]]\nmetric = \"cost_usd\"\nmargin = \"5%\"\n",
    );
    let mut args = GATE.to_vec();
    args[6] = text(&policy);
    args.extend(["--out", text(&dir)]);
    run(&args, &[]);
    let page = fs::read_to_string(dir.join("gate_report.html")).unwrap();
    let said = text_of(&page);
    assert!(
        said.contains("0.794% to 1.81% worse") && said.contains("\n5%\n"),
        "{said}"
    );
    assert!(
        said.contains("suite = golden") && said.contains("Slices, the worst first"),
        "{said}"
    );
}

#[test]
fn a_night_has_every_format() {
    let small = crate::small::Small::new();
    let scenario = small.path("study.toml");
    let night = |dir: &Path, more: &[&str]| {
        let args = ["night", text(&scenario), "--dir", text(dir), "--as-of"];
        let as_of = ["2026-05-28", "--now", "2026-05-28T06:00:00Z"];
        run(&[&args[..], &as_of, more].concat(), &[])
    };
    let plain = night(&small.path("plain"), &[]);
    let code = plain.status.code();
    let stderr = String::from_utf8_lossy(&plain.stderr);
    assert!(matches!(code, Some(0 | 10 | 11)), "{code:?}: {stderr}");
    for lang in ["en", "zh"] {
        let dir = small.path(lang);
        let formatted = |format: &str| {
            let output = night(&dir, &["--format", format, "--lang", lang]);
            assert_eq!(
                output.status.code(),
                code,
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout).unwrap()
        };
        let notices = annotations(&formatted("github"));
        let (_, _, answer) = notices.last().unwrap();
        assert!(
            answer.starts_with("new") && has_han(answer) == (lang == "zh"),
            "{answer}"
        );
        check_junit(&formatted("junit"));
        check_sarif(&formatted("sarif"));
        let comment = formatted("markdown");
        assert!(
            comment.lines().count() <= 30 && comment.contains("verdict (default / all)"),
            "{comment}"
        );
    }
}

#[test]
fn the_help_names_the_formats() {
    for command in ["gate", "evals", "night"] {
        let help = ok(&[command, "--help"]);
        assert!(
            help.contains("--format <FORMAT>") && help.contains("sarif"),
            "{command}: {help}"
        );
    }
    assert!(ok(&["tools", "diff", "--help"]).contains("--format <FORMAT>"));
}

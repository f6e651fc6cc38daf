//! SARIF 2.1.0, the format of code scanning.

use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::base::digest;
use crate::base::escape;
use crate::base::json::to_json;
use crate::pipeline::finding::{Finding, Findings, Level};
use crate::words::Lang;

/// The schema of the format.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// The base of all addresses: the root of the repository.
const BASE: &str = "%SRCROOT%";
/// The hexadecimal digits of a fingerprint.
const FINGERPRINT: usize = 32;

/// Returns a run with all rules, and a result for each finding that a reader has to look at, the
/// worst first. A fingerprint does not change with the numbers of its finding.
pub(super) fn sarif(findings: &Findings, lang: Lang) -> String {
    let mut rules: Vec<&Finding> = Vec::new();
    for finding in &findings.list {
        if rules.iter().all(|rule| rule.rule != finding.rule) {
            rules.push(finding);
        }
    }
    let mut n_of: BTreeMap<String, usize> = BTreeMap::new();
    let results: Vec<Value> = findings
        .open()
        .into_iter()
        .map(|finding| {
            let rule = rules.iter().position(|rule| rule.rule == finding.rule);
            let mut result = result(finding, lang);
            result["ruleIndex"] = json!(rule);
            let print = fingerprint(findings.command, finding);
            let n = n_of.entry(print.clone()).or_default();
            *n += 1;
            result["partialFingerprints"] = json!({"sluiceFinding/v1": format!("{print}:{n}")});
            result
        })
        .collect();
    let driver = json!({
        "name": "sluice",
        "version": env!("CARGO_PKG_VERSION"),
        "rules": rules.iter().map(|rule| self::rule(rule, lang)).collect::<Vec<_>>(),
    });
    let properties: BTreeMap<&str, &str> = findings
        .properties
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    to_json(&json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": driver},
            "automationDetails": {
                "id": format!("sluice/{}/", findings.command),
                "description": {"text": plain(findings.answer.of(lang))},
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": properties,
        }],
    }))
}

fn rule(of: &Finding, lang: Lang) -> Value {
    json!({
        "id": of.rule,
        "shortDescription": {"text": of.title.of(lang)},
        "properties": {"tags": [of.group]},
    })
}

fn result(finding: &Finding, lang: Lang) -> Value {
    let level = match finding.level {
        Level::Error => "error",
        Level::Inconclusive | Level::Warning => "warning",
        Level::Passed | Level::NotAsked => "note",
    };
    let found = finding.found.of(lang);
    let text = match &finding.remedy {
        Some(remedy) => format!("{found}\n{}", remedy.of(lang)),
        None => found.to_owned(),
    };
    let text = match finding.subject.as_str() {
        "" => text,
        subject => format!("{subject}: {text}"),
    };
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level,
        "message": {"text": plain(&text)},
        "properties": {"outcome": finding.level.name()},
    });
    if let Some(place) = &finding.place {
        let mut location = json!({"artifactLocation": {"uri": uri(&place.file), "uriBaseId": BASE}});
        if let Some(line) = place.line {
            location["region"] = json!({"startLine": line});
        }
        result["locations"] = json!([{"physicalLocation": location}]);
    }
    result
}

/// A text without the markup of SARIF's messages: links in square brackets, and gaps in braces.
/// Direction marks and controls are visible.
fn plain(text: &str) -> String {
    let text = escape::lines(text, &[]);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '[' | ']' => out.extend(['\\', c]),
            '{' | '}' => out.extend([c, c]),
            c => out.push(c),
        }
    }
    out
}

/// Identifies a finding in several runs: by its command, rule, subject and file.
fn fingerprint(command: &str, finding: &Finding) -> String {
    let file = finding.place.as_ref().map_or("", |place| place.file.as_str());
    let parts = json!([command, finding.rule, finding.subject, file]);
    let digest = digest::sha256_of_bytes(parts.to_string().as_bytes());
    let hex = digest.trim_start_matches("sha256:");
    hex.chars().take(FINGERPRINT).collect()
}

/// A relative path as a relative address: everything but unreserved characters is encoded.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::finding::example;

    #[test]
    fn addresses_are_relative_and_encoded() {
        assert_eq!(uri("a/tools@2.4.0.json"), "a/tools@2.4.0.json");
        assert_eq!(uri("a b/层#1%.json"), "a%20b/%E5%B1%82%231%25.json");
    }

    #[test]
    fn fingerprints_do_not_depend_on_numbers() {
        let mut findings = example();
        let prints = |findings: &Findings| -> Vec<String> {
            findings
                .open()
                .iter()
                .map(|finding| fingerprint("gate", finding))
                .collect()
        };
        let before = prints(&findings);
        findings.list[2].found = "Another text.".into();
        assert_eq!(prints(&findings), before);
        findings.list[2].subject = "early".into();
        assert_ne!(prints(&findings), before);
    }

    #[test]
    fn results_name_their_rules() {
        for lang in [Lang::En, Lang::Zh] {
            let document: Value = serde_json::from_str(&sarif(&example(), lang)).unwrap();
            let run = &document["runs"][0];
            let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
            let results = run["results"].as_array().unwrap();
            assert_eq!((rules.len(), results.len()), (5, 3));
            for result in results {
                let rule = &rules[result["ruleIndex"].as_u64().unwrap() as usize];
                assert_eq!(rule["id"], result["ruleId"]);
            }
            assert_eq!(results[0]["level"], "error");
            let place = &results[0]["locations"][0]["physicalLocation"];
            assert_eq!(place["artifactLocation"]["uri"], "release/candidate.json");
            assert_eq!(place["region"]["startLine"], 7);
            let first = results[0]["message"]["text"].as_str().unwrap();
            assert_eq!(
                first,
                if lang == Lang::En {
                    "No target.\nName one."
                } else {
                    "没有目标。\n请指定。"
                }
            );
        }
    }
}

//! `report.md` and `report.html`.

use std::fs;

use crate::support::{ecommerce, ok, root, text};

#[test]
fn the_page_is_self_contained() {
    let html = fs::read_to_string(ecommerce().join("report.html")).unwrap();
    assert!(html.contains("default-src 'none'"));
    for outside in ["<script", "src=", "@import", "url(", "<link", "<iframe"] {
        assert!(!html.contains(outside), "{outside}");
    }
    // The only address is the name of the SVG language.
    let addresses: Vec<&str> =
        html.match_indices("://").map(|(at, _)| (at.saturating_sub(4), "")).map(|(at, _)| &html[at..(at + 26).min(html.len())]).collect();
    assert!(addresses.iter().all(|a| *a == "http://www.w3.org/2000/svg"), "{addresses:?}");
    assert!(html.len() < 3_000_000);
    assert!(!html.contains("NaN") && !html.contains(">inf"));
}

#[test]
fn the_page_shows_what_was_decided() {
    let html = fs::read_to_string(ecommerce().join("report.html")).unwrap();
    for part in [
        "Users per layer",
        "A-RFM scores",
        "QoS over time: regular",
        "Harm in units of the margin",
        "Ratios over time",
        "Sample ratios",
        "Data quality",
        "sha256:",
        "尝鲜用户层",
        "class=\"badge rollback\"",
        "class=\"badge promote\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
    let n_figures = html.matches("<figure role=\"img\" aria-label=").count();
    assert_eq!(n_figures, html.matches("<svg").count());
    assert!(n_figures >= 6);
}

#[test]
fn text_of_others_cannot_become_markup() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = fs::read_to_string(root().join("scenarios/open-bandit.toml")).unwrap();
    let evil = "<img src=x onerror=alert(1)>\\\"'&|";
    let scenario = scenario
        .replace("../datasets", text(&root().join("datasets")))
        .replace("\"bts\"", &format!("\"bts{evil}\""))
        .replace("Real traffic", &format!("Real {} traffic", evil.replace('\\', "")))
        .replace("id = \"all\"", &format!("id = \"all\"\nname = \"{evil}\""));
    let path = dir.path().join("evil.toml");
    fs::write(&path, scenario).unwrap();
    let out = dir.path().join("out");
    ok(&["run", text(&path), "--out", text(&out)]);
    for name in ["report.html", "report.md"] {
        let page = fs::read_to_string(out.join(name)).unwrap();
        assert!(!page.contains("<img"), "{name}");
        assert!(page.contains("&lt;img"), "{name}");
    }
}

#[test]
fn markdown_tables_are_whole() {
    let page = fs::read_to_string(ecommerce().join("report.md")).unwrap();
    let mut width = 0;
    for line in page.lines() {
        let columns = line.replace("\\|", "").matches('|').count();
        if line.starts_with("| ") && width == 0 {
            width = columns;
        }
        if line.starts_with('|') {
            assert_eq!(columns, width, "{line}");
        } else {
            width = 0;
        }
    }
}

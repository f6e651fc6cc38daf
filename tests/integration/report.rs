//! Tests of `report.md` and `report.html`.

use std::fs;

use crate::support::{ecommerce, ok, root, text};

#[test]
fn the_page_is_self_contained() {
    let html = fs::read_to_string(ecommerce().join("report.html")).unwrap();
    assert!(html.contains("default-src 'none'"));
    assert!(!html.contains("unsafe-"));
    for outside in [
        " src=",
        "@import",
        "url(",
        "<link",
        "<iframe",
        " style=",
        " onclick=",
    ] {
        assert!(!html.contains(outside), "{outside}");
    }
    // The only URLs are the namespace of SVG and the home page of the chart library.
    let addresses: Vec<&str> = html
        .match_indices("http")
        .map(|(at, _)| html[at..].split(['"', ' ', '\'']).next().unwrap())
        .collect();
    let known = [
        "http://www.w3.org/2000/svg",
        "https://github.com/leeoniya/uPlot",
        "http-equiv=",
        "https://",
        "http",
    ];
    assert!(
        addresses.iter().all(|address| known.contains(address)),
        "{addresses:?}"
    );
    assert!(html.len() < 3_000_000);
    let content = html
        .split("<main>")
        .nth(1)
        .unwrap()
        .split("<script>")
        .next()
        .unwrap();
    assert!(!content.contains("NaN") && !content.contains(">inf") && !content.contains("null"));
}

#[test]
fn the_page_shows_what_was_decided() {
    let html = fs::read_to_string(ecommerce().join("report.html")).unwrap();
    for part in [
        "Users per layer",
        "A-RFM scores",
        "QoS over time: Regular users",
        "Harm in units of the margin",
        "Ratios over time",
        "Sample ratios",
        "Data quality",
        "sha256:",
        "Early adopters",
        "class=\"badge rollback\"",
        "class=\"badge promote\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
    let n_figures = html
        .matches("<div class=\"picture both\" role=\"img\" tabindex=\"0\" aria-label=")
        .count();
    // Each chart is drawn for wide and for narrow screens.
    assert_eq!(2 * n_figures, html.matches("<svg").count());
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
        .replace(
            "Real traffic",
            &format!("Real {} traffic", evil.replace('\\', "")),
        )
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

#[test]
fn a_report_in_another_language_is_redrawn_alike() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    ok(&[
        "run",
        "scenarios/open-bandit.toml",
        "--out",
        text(&out),
        "--lang",
        "zh",
    ]);
    let names = ["report.html", "report.md"];
    let drawn = names.map(|name| fs::read_to_string(out.join(name)).unwrap());
    assert!(drawn[0].contains("<html lang=\"zh-CN\">") && drawn.iter().all(|page| page.contains("放量决策")));
    ok(&["report", text(&out)]);
    assert!(
        names
            .iter()
            .zip(&drawn)
            .all(|(name, page)| fs::read_to_string(out.join(name)).unwrap() != *page)
    );
    ok(&["report", text(&out), "--lang", "zh"]);
    assert!(
        names
            .iter()
            .zip(&drawn)
            .all(|(name, page)| fs::read_to_string(out.join(name)).unwrap() == *page)
    );
}

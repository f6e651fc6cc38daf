//! Tests of the pages in headless Chromium. `scripts/test` installs Chromium and axe-core.

use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::chromium::{Tab, copy_of_documents, write};
use crate::nights_page::history;
use crate::support::{ecommerce, json as document, ok, root, text};

/// Makes a forecast page with few runs.
pub(crate) fn forecast(folder: &Path, lang: &str, change: impl Fn(String) -> String) -> PathBuf {
    let scenario = folder.join("ramp.toml");
    fs::write(
        &scenario,
        change(fs::read_to_string(root().join("scenarios/ramp.toml")).unwrap()),
    )
    .unwrap();
    let out = folder.join(format!("ramp-{lang}"));
    ok(&[
        "simulate",
        text(&scenario),
        "--out",
        text(&out),
        "--runs",
        "4",
        "--lang",
        lang,
    ]);
    out.join("report.html")
}

/// Makes the page of the gate example. `more` is added to the names of the candidate and its cases,
/// and to the outputs.
fn gate_page(folder: &Path, lang: &str, more: &str) -> PathBuf {
    let case = root().join("scenarios/gate");
    let mut record = document(&case.join("candidate.json"));
    // Ids of releases with invisible characters are refused.
    let visible = more.replace('\u{2028}', "");
    let id = format!("{}{visible}", record["release_id"].as_str().unwrap());
    record["release_id"] = json!(id);
    let candidate = folder.join("candidate.json");
    write(&candidate, &record);
    let evals = folder.join("evals.csv");
    let quoted = more.replace('"', "\"\"");
    let rows = fs::read_to_string(case.join("evals.csv")).unwrap();
    let rows = rows.replace("rel_2026_05_28_001", &format!("\"rel_2026_05_28_001{quoted}\""));
    fs::write(
        &evals,
        rows.lines()
            .map(|row| {
                if let Some(rest) = row.strip_prefix("case-") {
                    format!("\"{quoted}case-{}\"{}\n", &rest[..3], &rest[3..])
                } else {
                    format!("{row}\n")
                }
            })
            .collect::<String>(),
    )
    .unwrap();
    let out = folder.join(format!("gate-{lang}"));
    let [baseline, policy, old, new] = [
        "baseline.json",
        "gate.toml",
        "tools_bundle@2.3.0.json",
        "tools_bundle@2.4.0.json",
    ]
    .map(|name| case.join(name));
    let output = crate::support::sluice(&[
        "gate",
        "--candidate",
        text(&candidate),
        "--baseline",
        text(&baseline),
        "--policy",
        text(&policy),
        "--baseline-tools",
        text(&old),
        "--tools",
        text(&new),
        "--evals",
        text(&evals),
        "--out",
        text(&out),
        "--lang",
        lang,
    ]);
    assert_eq!(
        output.status.code(),
        Some(10),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    out.join("gate_report.html")
}

#[test]
fn charts_show_values_and_zoom() {
    let mut tab = Tab::new();
    tab.open(&ecommerce().join("report.html"));
    tab.draw_all();
    assert_eq!(tab.eval("document.querySelectorAll('.live').length"), 4);
    assert_eq!(tab.empty_charts(), 0);
    // Static pictures are for readers without scripts and for paper, so none is visible here.
    assert_eq!(
        tab.eval(
            "[...document.querySelectorAll('.drawn .picture')].filter((p) => p.checkVisibility()).length"
        ),
        0
    );

    let reset = "document.querySelectorAll('figure.drawn')[1].querySelector('.reset')";
    let area = "document.querySelectorAll('figure.drawn')[1].querySelector('.plot')";
    let value = "document.querySelectorAll('figure.drawn')[1].querySelector('.value').textContent";
    assert_eq!(tab.eval(&format!("{reset}.disabled")), true);
    tab.eval(&format!("{area}.scrollIntoView({{block: 'center'}})"));
    let place = tab.eval(&format!(
        "(() => {{ const r = {area}.querySelector('.u-over').getBoundingClientRect(); return [r.left, r.top, r.width]; }})()"
    ));
    let (left, y, width) = (
        place[0].as_f64().unwrap(),
        place[1].as_f64().unwrap() + 50.0,
        place[2].as_f64().unwrap(),
    );
    let mouse = |tab: &mut Tab, kind: &str, share: f64, buttons: u32| {
        let button = if kind == "mouseMoved" && buttons == 0 {
            "none"
        } else {
            "left"
        };
        tab.call(
            "Input.dispatchMouseEvent",
            json!({"type": kind, "x": left + width * share, "y": y, "button": button, "buttons": buttons, "clickCount": 1}),
        );
    };
    mouse(&mut tab, "mouseMoved", 0.1, 0);
    tab.holds(&format!("/^0\\.\\d+ \\[0\\.\\d+, [01]\\.\\d+\\]$/.test({value})"));
    let first = tab.eval(value);
    mouse(&mut tab, "mouseMoved", 0.6, 0);
    tab.holds(&format!("{value} !== {first}"));
    mouse(&mut tab, "mousePressed", 0.3, 1);
    mouse(&mut tab, "mouseMoved", 0.5, 1);
    mouse(&mut tab, "mouseMoved", 0.6, 1);
    mouse(&mut tab, "mouseReleased", 0.6, 0);
    tab.holds(&format!("!{reset}.disabled"));
    tab.eval(&format!("{reset}.click()"));
    tab.holds(&format!("{reset}.disabled"));

    // The same with the keyboard.
    tab.eval(&format!("{area}.focus()"));
    let before = tab.eval(value);
    tab.press("ArrowLeft");
    tab.press("ArrowLeft");
    tab.holds(&format!("{value} !== {before}"));
    tab.press("+");
    tab.holds(&format!("!{reset}.disabled"));
    tab.press("0");
    tab.holds(&format!("{reset}.disabled"));
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
fn filters_sorting_and_themes() {
    let mut tab = Tab::new();
    tab.media("screen", "light");
    tab.open(&ecommerce().join("report.html"));
    tab.draw_all();
    let seen = |of: &str| {
        format!(
            "[...new Set([...document.querySelectorAll('{of}')].filter((r) => r.getBoundingClientRect().height > 0).map((r) => r.dataset.layer))]"
        )
    };
    tab.choose("layer", "regular");
    // Parts about the whole study stay visible.
    for of in [
        "tbody tr[data-layer]",
        "figure[data-layer]",
        "li.card",
        "g.row",
        "details[data-layer]",
    ] {
        let layers = tab.eval(&seen(of));
        assert!(
            layers
                .as_array()
                .unwrap()
                .iter()
                .all(|layer| layer == "regular" || layer == ""),
            "{of}: {layers}"
        );
    }
    tab.holds("[...document.querySelectorAll('.legend')][0].querySelectorAll('li:not(.out)').length === 1");
    tab.choose("metric", "complaint_rate");
    assert_eq!(
        tab.eval("document.querySelectorAll('tbody tr[data-metric=complaint_rate]:not(.out)').length"),
        1
    );
    tab.eval("document.querySelector('.all').click()");
    assert_eq!(tab.eval("document.querySelectorAll('.out').length"), 0);

    // Sorting effects by interval follows the estimates, in both directions.
    let sorted = "(() => { const table = [...document.querySelectorAll('table')].find((t) => t.rows[1].cells[5]?.textContent.startsWith('[')); \
                  const th = table.tHead.rows[0].cells[5]; const at = () => [...table.tBodies[0].rows].map((r) => parseFloat(r.cells[4].textContent.replace(/,/g, ''))); \
                  th.firstChild.click(); const up = at(); const kind = th.ariaSort; th.firstChild.click(); const down = at(); \
                  return up.length > 9 && kind === 'ascending' && th.ariaSort === 'descending' \
                  && up.every((v, k) => k === 0 || up[k - 1] <= v) && down.every((v, k) => k === 0 || down[k - 1] >= v); })()";
    assert_eq!(tab.eval(sorted), true);
    let users = "(() => { const t = [...document.querySelectorAll('table')].find((t) => t.caption.textContent.startsWith('What happens')); \
                 t.tHead.rows[0].cells[1].firstChild.click(); return [...t.tBodies[0].rows].map((r) => r.cells[1].textContent); })()";
    assert_eq!(
        tab.eval(users),
        json!(["1,052", "8,998", "19,995", "29,992", "139,963"])
    );

    let paper = "getComputedStyle(document.body).backgroundColor";
    let light = tab.eval(paper);
    tab.eval("document.querySelector('.theme').click()");
    let dark = tab.eval(paper);
    assert_ne!(light, dark);
    assert_eq!(tab.empty_charts(), 0);
    tab.eval("document.querySelector('.theme').click()");
    assert_eq!(tab.eval(paper), light);

    tab.eval("document.querySelectorAll('details').forEach((part) => { part.open = false; })");
    // On paper there are no controls. Every row and every detail is visible, in light colors.
    tab.choose("layer", "vip");
    tab.media("print", "dark");
    for hidden in [".controls", ".live"] {
        assert_eq!(
            tab.eval(&format!(
                "[...document.querySelectorAll('{hidden}')].filter((part) => part.checkVisibility()).length"
            )),
            0,
            "{hidden}"
        );
    }
    tab.holds("[...document.querySelectorAll('details')].every((part) => part.open)");
    assert_eq!(
        tab.eval(
            "[...document.querySelectorAll('tbody tr, .picture')].every((part) => part.checkVisibility())"
        ),
        true
    );
    assert_eq!(tab.eval(paper), light);
    tab.media("screen", "light");
    tab.holds("![...document.querySelectorAll('details')].some((part) => part.open)");
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
fn names_cannot_run() {
    let evil = "</script><img src=x onerror=\"window.__pwned=1\">\u{2028}'\"&<!--";
    let dir = tempfile::tempdir().unwrap();
    copy_of_documents(dir.path());
    for name in [
        "study.json",
        "layers.summary.json",
        "analysis.json",
        "schedule.json",
        "gate_report.json",
    ] {
        let path = dir.path().join(name);
        let mut value = document(&path);
        value["why"] = if value["why"].is_null() {
            Value::Null
        } else {
            json!(evil)
        };
        poison(&mut value, evil);
        write(&path, &value);
    }
    ok(&["report", text(dir.path())]);
    let quoted = |text: &str| {
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\u{2028}', "")
    };
    let forecast = forecast(dir.path(), "en", |scenario| {
        scenario
            .replace("\"as hoped\"", &format!("\"{}\"", quoted(evil)))
            .replace("\"fixed time\"", &format!("\"fixed {}\"", quoted(evil)))
            .replace("The case study", &quoted(evil).replace("\\\"", "'"))
    });
    let mut tab = Tab::new();
    let gate = gate_page(dir.path(), "en", evil);
    for page in [dir.path().join("report.html"), forecast, gate] {
        tab.open(&page);
        tab.draw_all();
        tab.eval("[...document.querySelectorAll('select')].forEach((s) => { s.selectedIndex = 1; s.dispatchEvent(new Event('change')); })");
        assert_eq!(tab.eval("typeof window.__pwned"), "undefined");
        assert_eq!(tab.eval("document.querySelectorAll('img').length"), 0);
        assert_eq!(
            tab.eval("document.body.textContent.includes('<img src=x onerror=')"),
            true,
            "{}",
            page.display()
        );
        assert_eq!(tab.complaints(), Vec::<String>::new());
    }
}

/// Inserts markup into every name of a document.
fn poison(value: &mut Value, evil: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, evil)),
        Value::Object(fields) => {
            // A reason next to a verdict is a sentence. Every other reason is one of a few fixed
            // words.
            let is_verdict = fields.contains_key("next_ratio");
            for (key, field) in fields.iter_mut() {
                let is_name = [
                    "tenant",
                    "layer",
                    "metric",
                    "check",
                    "detail",
                    "remedy",
                    "candidate",
                    "baseline",
                    "name",
                ]
                .contains(&key.as_str())
                    || key == "reason" && is_verdict;
                match field {
                    Value::String(text) if is_name => text.push_str(evil),
                    other => poison(other, evil),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn pages_have_no_barriers() {
    let dir = tempfile::tempdir().unwrap();
    copy_of_documents(dir.path());
    let mut tab = Tab::new();
    tab.call("Page.setBypassCSP", json!({"enabled": true}));
    for lang in ["en", "zh"] {
        ok(&["report", text(dir.path()), "--lang", lang]);
        let pages = [
            dir.path().join("report.html"),
            forecast(dir.path(), lang, |scenario| scenario),
            gate_page(dir.path(), lang, ""),
            history(dir.path(), lang),
        ];
        for page in pages {
            tab.media("screen", "light");
            tab.open(&page);
            tab.draw_all();
            tab.eval("document.querySelectorAll('details').forEach((part) => { part.open = true; })");
            for scheme in ["light", "dark"] {
                tab.media("screen", scheme);
                assert_eq!(
                    tab.barriers(),
                    Vec::<String>::new(),
                    "{} in {lang}, {scheme}",
                    page.display()
                );
            }
            assert_eq!(tab.eval("document.documentElement.lang.slice(0, 2)"), lang);
            // All headings of the page are in its language.
            let is_foreign = "[...document.querySelectorAll('h2, th')].filter((part) => !/[\\u4e00-\\u9fff]/.test(part.textContent)).length";
            assert_eq!(tab.eval(is_foreign) == 0, lang == "zh");
        }
    }
}

#[test]
fn hundreds_of_curves_stay_small() {
    const TENANTS: usize = 100;
    let dir = tempfile::tempdir().unwrap();
    copy_of_documents(dir.path());
    for (name, field) in [
        ("layers.summary.json", "layers"),
        ("analysis.json", "layers"),
        ("schedule.json", "layers"),
    ] {
        let path = dir.path().join(name);
        let mut value = document(&path);
        let (start, as_of) = (
            value["start"].as_i64().unwrap_or(0),
            value["as_of"].as_i64().unwrap_or(0),
        );
        let mut layers = value[field].as_array().unwrap().clone();
        layers.retain(|layer| layer["layer"] == "early" || layer["layer"] == "regular");
        let all = (0..TENANTS).flat_map(|tenant| {
            layers.iter().cloned().map(move |mut layer| {
                layer["tenant"] = json!(format!("tenant {tenant}"));
                if let Some(series) = layer["series"].as_array_mut().filter(|series| !series.is_empty()) {
                    *series = two_weeks_of_hours(series, start, as_of);
                }
                layer
            })
        });
        value[field] = all.collect();
        write(&path, &value);
    }
    ok(&["report", text(dir.path())]);
    let path = dir.path().join("report.html");
    let html = fs::read_to_string(&path).unwrap();
    writeln!(
        io::stderr(),
        "a page of {} curves takes {} bytes",
        TENANTS * 4,
        html.len()
    )
    .unwrap();
    assert!(html.len() < 4_500_000, "{}", html.len());
    assert!(
        html.contains("points of curves"),
        "the page says that it is thinned"
    );
    let mut tab = Tab::new();
    tab.open(&path);
    tab.choose("tenant", "tenant 7");
    tab.draw_all();
    assert_eq!(
        tab.eval("document.querySelectorAll('figure.drawn[data-tenant=\"tenant 7\"]').length"),
        2
    );
    assert_eq!(tab.empty_charts(), 0);
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

/// Makes hourly points for two weeks from a shorter series, from `start` to `as_of`.
fn two_weeks_of_hours(series: &[Value], start: i64, as_of: i64) -> Vec<Value> {
    const HOURS: i64 = 336;
    let mut points = Vec::new();
    for arm in ["baseline", "candidate"] {
        let of_arm: Vec<&Value> = series.iter().filter(|point| point["arm"] == arm).collect();
        for hour in 0..if of_arm.is_empty() { 0 } else { HOURS } {
            let mut point = of_arm[hour as usize % of_arm.len()].clone();
            point["start"] = json!(start + (as_of - start) / HOURS * hour);
            point["end"] = json!(start + (as_of - start) / HOURS * (hour + 1));
            points.push(point);
        }
    }
    points
}

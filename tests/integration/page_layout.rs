//! Tests of what a reader sees first, on a phone, on paper and in both languages.
//!
//! Fonts differ between machines, so pictures are not compared. What is compared is the structure:
//! which blocks a page has, in which order, where they start and how wide they are.

use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::browser::forecast;
use crate::chromium::{Tab, copy_of_documents, write};
use crate::nights_page::history;
use crate::small::Small;
use crate::support::{ecommerce, json as document, ok, text};

/// A phone, a tablet and a desktop.
const SCREENS: [(u32, u32); 3] = [(390, 844), (768, 1024), (1280, 800)];

/// What does not fit: elements beyond the right edge, regions that scroll sideways, and texts wider
/// than their boxes. Everything folded is open.
const MISFITS: &str = "(() => { \
    document.querySelectorAll('details').forEach((part) => { part.open = true; }); \
    const seen = (e) => e.checkVisibility() && !e.closest('svg, .unseen, .u-wrap'); \
    const name = (e) => `${e.tagName}.${e.className}: ${e.textContent.slice(0, 60)}`; \
    const all = [...document.querySelectorAll('body *')].filter(seen); \
    const beyond = all.filter((e) => e.getBoundingClientRect().right > innerWidth + 1); \
    const cut = all.filter((e) => e.matches('.scroll, .picture, td, th, p, li, h1, h2, h3, summary, button, label') && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline' && e.clientWidth > 0); \
    return [...beyond, ...cut].slice(0, 9).map(name).concat(document.documentElement.scrollWidth > innerWidth ? ['the page scrolls sideways'] : []); })()";

/// Draws the case study in a language, into a folder of its own.
fn case_study(folder: &Path, lang: &str) -> PathBuf {
    copy_of_documents(folder);
    ok(&["report", text(folder), "--lang", lang]);
    folder.join("report.html")
}

/// The bounding boxes of elements: left, top, right and bottom.
fn boxes(tab: &mut Tab, of: &str) -> Vec<[f64; 4]> {
    let found = tab.eval(&format!(
        "[...document.querySelectorAll({})].filter((e) => e.checkVisibility()).map((e) => {{ const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; }})",
        json!(of)
    ));
    serde_json::from_value(found).unwrap()
}

#[test]
fn the_answer_is_on_the_first_screen() {
    let dir = tempfile::tempdir().unwrap();
    let mut tab = Tab::new();
    for lang in ["en", "zh"] {
        let page = case_study(dir.path(), lang);
        for scheme in ["light", "dark"] {
            tab.media("screen", scheme);
            for (width, height) in SCREENS {
                tab.size(width, height);
                tab.open(&page);
                let about = format!("{lang}, {scheme}, {width} px");
                for part in [
                    ".headline",
                    ".gate-line .badge",
                    "#layer-regular .badge",
                    "#layer-regular .ratio",
                    "#layer-regular .reason",
                ] {
                    let found = boxes(&mut tab, part);
                    let [[left, top, right, bottom]] = found[..] else {
                        panic!("{about}, {part}: {found:?}");
                    };
                    assert!(
                        left >= 0.0 && top >= 0.0 && right <= f64::from(width) && bottom <= f64::from(height),
                        "{about}, {part}: {found:?}"
                    );
                }
                // The rollback is the first card, and filters follow the answer.
                assert_eq!(
                    tab.eval("document.querySelector('.card').id"),
                    "layer-regular",
                    "{about}"
                );
                assert_eq!(
                    tab.eval("document.querySelector('.card .ratio').textContent"),
                    "1% → 0%"
                );
                let (answer, controls) = (boxes(&mut tab, ".answer"), boxes(&mut tab, ".controls"));
                assert!(controls[0][1] >= answer[0][3], "{about}");
            }
        }
    }
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
fn nothing_is_cut_on_any_screen() {
    let dir = tempfile::tempdir().unwrap();
    let mut tab = Tab::new();
    for lang in ["en", "zh"] {
        let pages = [
            case_study(dir.path(), lang),
            forecast(dir.path(), lang, |scenario| scenario),
            history(dir.path(), lang),
        ];
        for page in pages {
            for (width, height) in SCREENS {
                tab.size(width, height);
                tab.open(&page);
                tab.draw_all();
                assert_eq!(
                    tab.eval(MISFITS),
                    json!([]),
                    "{} in {lang} at {width} px",
                    page.display()
                );
                assert_eq!(tab.empty_charts(), 0);
            }
            // A finger needs 44 pixels.
            tab.size(390, 844);
            tab.open(&page);
            tab.draw_all();
            let small = "[...document.querySelectorAll('button, select, summary')].filter((e) => e.checkVisibility()) \
                         .map((e) => [e.getBoundingClientRect().height, e.textContent.slice(0, 30)]).filter(([height]) => height < 44)";
            assert_eq!(tab.eval(small), json!([]), "{}", page.display());
        }
    }
}

/// The margin and every interval lie inside of the picture, with and without the script.
#[test]
fn the_margin_is_always_in_view() {
    let dir = tempfile::tempdir().unwrap();
    let page = case_study(dir.path(), "en");
    let mut tab = Tab::new();
    for with_script in [true, false] {
        tab.call(
            "Emulation.setScriptExecutionDisabled",
            json!({"value": !with_script}),
        );
        for (width, height) in SCREENS {
            tab.size(width, height);
            tab.open(&page);
            tab.call("Emulation.setScriptExecutionDisabled", json!({"value": false}));
            let outside = tab.eval(
                "(() => { const svg = [...document.querySelectorAll('svg.rows')].filter((s) => s.checkVisibility())[0]; const of = svg.getBoundingClientRect(); \
                 const inside = (e) => { const r = e.getBoundingClientRect(); return r.left >= of.left - 1 && r.right <= of.right + 1; }; \
                 const margins = svg.querySelectorAll(':scope > path[stroke=\"var(--alarm)\"]'); const rows = [...svg.querySelectorAll('g.row path, g.row text')]; \
                 return [margins.length, rows.length > 20, [...margins, ...rows].filter((e) => !inside(e)).map((e) => e.outerHTML), of.right <= innerWidth && of.left >= 0]; })()",
            );
            assert_eq!(
                outside,
                json!([1, true, [], true]),
                "{width} px, script: {with_script}"
            );
        }
    }
}

#[test]
fn links_open_what_is_around_them() {
    let dir = tempfile::tempdir().unwrap();
    let page = case_study(dir.path(), "en");
    let mut tab = Tab::new();
    let shown = "(() => { const e = document.querySelector(':target'); const r = e?.getBoundingClientRect(); \
                 return !!e && e.checkVisibility() && r.top >= 0 && r.bottom <= innerHeight; })()";
    for id in [
        "layer-early",
        "gate-regular-guardrail-task_completion_rate",
        "early-guardrail-complaint_rate",
        "regular-clear-complaint_rate",
        "gate-coverage",
    ] {
        tab.open(&page);
        tab.eval(&format!("location.hash = {}", json!(id)));
        tab.holds(shown);
    }
    // A link to a layer that a filter hides takes the filter off.
    tab.choose("layer", "vip");
    tab.eval("location.hash = '#layer-regular'");
    tab.holds(shown);
    tab.eval("location.hash = '#%E0%A4%A'");
    let ids = "(() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); return ids.length - new Set(ids).size; })()";
    assert_eq!(tab.eval(ids), 0);
    let dead = "[...document.querySelectorAll('a.anchor')].filter((a) => !document.getElementById(decodeURIComponent(a.hash.slice(1)))).length";
    assert_eq!(tab.eval(dead), 0);
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
fn charts_are_saved_as_svg_and_png() {
    let dir = tempfile::tempdir().unwrap();
    let page = case_study(dir.path(), "zh");
    let mut tab = Tab::new();
    tab.call("Page.setDownloadBehavior", json!({"behavior": "deny"}));
    tab.open(&page);
    tab.draw_all();
    tab.eval(
        "window.saved = []; const url = URL.createObjectURL.bind(URL); \
         URL.createObjectURL = (blob) => { saved.push(blob); return url(blob); }; \
         for (const tool of document.querySelectorAll('figure .tool')) tool.click()",
    );
    let n_figures = tab
        .eval("document.querySelectorAll('figure').length")
        .as_u64()
        .unwrap();
    assert!(n_figures > 5);
    // Each PNG is drawn from one more SVG.
    tab.holds(&format!("saved.length === 3 * {n_figures}"));
    let texts = tab.eval(
        "Promise.all(saved.filter((blob) => blob.type === 'image/svg+xml').map((blob) => blob.text()))",
    );
    for svg in texts.as_array().unwrap() {
        let svg = svg.as_str().unwrap();
        assert!(svg.starts_with("<svg") && !svg.contains("var(--"), "{svg}");
        assert!(svg.contains("<title>") && svg.contains("<desc>") && svg.contains("width=\"720\""));
    }
    let pngs = tab.eval("saved.filter((blob) => blob.type === 'image/png').map((blob) => blob.size)");
    let pngs: Vec<u64> = serde_json::from_value(pngs).unwrap();
    assert_eq!(pngs.len() as u64, n_figures);
    assert!(pngs.iter().all(|size| *size > 3_000), "{pngs:?}");
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
fn paper_shows_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut tab = Tab::new();
    for lang in ["en", "zh"] {
        let page = case_study(dir.path(), lang);
        // The width of a sheet of A4 between its margins.
        tab.size(718, 1000);
        tab.media("print", "light");
        tab.open(&page);
        tab.holds("[...document.querySelectorAll('details')].every((part) => part.open)");
        let hidden = "[...document.querySelectorAll('main tr, main p, main .card, main figure')].filter((e) => !e.checkVisibility() && !e.closest('.unseen')).length";
        assert_eq!(tab.eval(hidden), 0, "{lang}");
        let beyond = "[...document.querySelectorAll('main *')].filter((e) => e.checkVisibility() && !e.closest('svg, .unseen') && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 99))";
        assert_eq!(tab.eval(beyond), json!([]), "{lang}");
        // Tables stay tables.
        assert_eq!(
            tab.eval("[...document.querySelectorAll('thead')].every((e) => e.checkVisibility())"),
            true
        );
        tab.media("screen", "light");
    }
}

/// A block a line: its name, where it starts and how wide it is, in steps of 10 pixels. Heights depend
/// on fonts and are left out.
fn blocks(tab: &mut Tab) -> String {
    let found = tab.eval(
        "[...document.querySelectorAll('header, .headline, .gate-line, .cards, .card:first-child, .first-check, .controls, main > h2, main > .scroll, main > figure, main > details')] \
         .map((e) => { const r = e.getBoundingClientRect(); const name = e.tagName.toLowerCase() + [...e.classList].map((c) => `.${c}`).join(''); \
         return [name, Math.round(r.left / 10) * 10, Math.round(r.width / 10) * 10, r.top]; })",
    );
    let found: Vec<(String, f64, f64, f64)> = serde_json::from_value(found).unwrap();
    let mut lines = String::new();
    let mut last = f64::NEG_INFINITY;
    for (name, left, width, top) in found {
        // The first card stands inside of its list.
        assert!(top >= last, "{name} stands above the block before it");
        last = top;
        let _ = writeln!(lines, "{name} at {left}, {width} wide");
    }
    lines
}

#[test]
fn every_language_and_theme_has_the_same_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let mut tab = Tab::new();
    for (width, height) in SCREENS {
        tab.size(width, height);
        let mut found: Vec<String> = Vec::new();
        for lang in ["en", "zh"] {
            let page = case_study(dir.path(), lang);
            for scheme in ["light", "dark"] {
                tab.media("screen", scheme);
                tab.open(&page);
                found.push(blocks(&mut tab));
            }
        }
        assert!(found.iter().all(|blocks| *blocks == found[0]), "{found:?}");
        insta::assert_snapshot!(format!("page_blocks_{width}"), found[0]);
    }
}

#[test]
fn a_study_without_the_candidate_says_so() {
    let small = Small::new();
    small.edit("traffic.csv", |text| text.replace(",new,", ",old,"));
    small.edit("study.toml", |text| text.replace("ratio = 0.5", "ratio = 0.0"));
    let mut tab = Tab::new();
    for (lang, says) in [
        ("en", "No row of the candidate yet: nothing to compare."),
        ("zh", "尚无候选版本的数据，无从比较。"),
    ] {
        ok(&[
            "run",
            text(&small.path("study.toml")),
            "--out",
            text(&small.path("out")),
            "--lang",
            lang,
        ]);
        tab.size(390, 844);
        tab.open(&small.path("out/report.html"));
        let headline = tab.eval("document.querySelector('.headline').textContent");
        assert!(headline.as_str().unwrap().ends_with(says), "{headline}");
        // The layer starts, and nothing is judged: the gate is not green.
        assert_eq!(
            tab.eval("document.querySelector('.gate-line .badge').classList.contains('inconclusive')"),
            true
        );
        assert_eq!(
            tab.eval("document.querySelectorAll('.answer .badge.pass').length"),
            0
        );
        let open = "[...document.querySelectorAll('main > p')].filter((p) => p.checkVisibility()).map((p) => p.textContent)";
        assert!(
            tab.eval(open).to_string().contains(says),
            "the empty chart says it too"
        );
        tab.draw_all();
        assert_eq!(tab.eval(MISFITS), json!([]));
    }
}

/// The case study with 12 tenants of 40 layers each.
fn many_layers(folder: &Path) -> PathBuf {
    copy_of_documents(folder);
    for name in ["layers.summary.json", "analysis.json", "schedule.json"] {
        let path = folder.join(name);
        let mut value = document(&path);
        let layers = value["layers"].as_array().unwrap().clone();
        let all = (0..12).flat_map(|tenant| {
            let layers = &layers;
            (0..40).map(move |idx| {
                // One layer of each tenant is rolled back, and one is promoted.
                let like = match idx {
                    0 => 2,
                    1 => 1,
                    _ => [0, 3, 4][idx % 3],
                };
                let mut layer = layers[like].clone();
                layer["tenant"] = json!(format!("tenant-{tenant:02}"));
                layer["layer"] = json!(format!("layer-{idx:02}"));
                layer
            })
        });
        value["layers"] = all.collect::<Value>();
        write(&path, &value);
    }
    ok(&["report", text(folder)]);
    folder.join("report.html")
}

#[test]
fn of_many_layers_those_that_matter_are_cards() {
    let dir = tempfile::tempdir().unwrap();
    let page = many_layers(dir.path());
    let size = std::fs::metadata(&page).unwrap().len();
    assert!(size < 5_000_000, "{size}");
    let mut tab = Tab::new();
    tab.size(390, 844);
    tab.open(&page);
    assert_eq!(
        tab.eval("document.querySelector('.headline').textContent"),
        "Stop: the candidate is rolled back in 12 of 480 layers. The ramp goes on in 12 of 480 layers. The other 456 keep their ratio."
    );
    assert_eq!(tab.eval("document.querySelectorAll('.card.rollback').length"), 12);
    let [[_, _, _, bottom]] = boxes(&mut tab, "li.card:first-child .reason")[..] else {
        panic!("one reason");
    };
    assert!(bottom <= 844.0, "{bottom}");
    let others = "[...document.querySelectorAll('.others > summary')].map((e) => e.textContent)";
    assert_eq!(
        tab.eval(others),
        json!([
            "12 more layers change or need a person",
            "456 layers keep their ratio"
        ])
    );
    // Long tables get the names of their columns from the script.
    assert_eq!(
        tab.eval("[document.querySelectorAll('table.bare').length > 0, document.querySelectorAll('table.bare td:not([data-label])').length]"),
        json!([true, 0])
    );
    // Every layer has one element that a link opens.
    assert_eq!(
        tab.eval("document.querySelectorAll('[id^=layer-tenant-]').length"),
        480
    );
    tab.eval("location.hash = '#layer-tenant-07-layer-33'");
    tab.holds("document.querySelector(':target')?.checkVisibility() ?? false");
    assert_eq!(tab.complaints(), Vec::<String>::new());
    assert!(ecommerce().join("report.html").exists());
}

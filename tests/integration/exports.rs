//! What people take away from a report, read again by other programs: pictures, tables, a workbook
//! and a mail.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::slices::{BREAKDOWNS, Log};
use crate::support::{fails, json as document, ok, sluice, text, tree};

/// Reads a workbook with the standard library of Python: the names of its sheets, and of each sheet
/// its cells with their kind, the number of its formulas, and whether its first row is frozen.
const READ_XLSX: &str = r#"
import sys, json, zipfile, re
import xml.etree.ElementTree as ET
M = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
book = zipfile.ZipFile(sys.argv[1])
assert book.testzip() is None
texts = ["".join(t.text or "" for t in item.iter(M + "t")) for item in ET.fromstring(book.read("xl/sharedStrings.xml"))]
names = [sheet.get("name") for sheet in ET.fromstring(book.read("xl/workbook.xml")).iter(M + "sheet")]
styles = ET.fromstring(book.read("xl/styles.xml"))
formats = {f.get("numFmtId"): f.get("formatCode") for f in styles.iter(M + "numFmt")}
kinds = [x.get("numFmtId") for x in styles.find(M + "cellXfs")]
found = []
for n, name in enumerate(names, 1):
    sheet = ET.fromstring(book.read("xl/worksheets/sheet%d.xml" % n))
    rows = []
    for row in sheet.iter(M + "row"):
        cells = {}
        for cell in row.iter(M + "c"):
            value = cell.find(M + "v")
            column = re.match("[A-Z]+", cell.get("r")).group()
            kind = kinds[int(cell.get("s", 0))]
            is_share = "%" in formats.get(kind, "") or kind in ("9", "10")
            if cell.get("t") == "s":
                cells[column] = texts[int(value.text)]
            elif is_share:
                cells[column] = {"share": float(value.text)}
            else:
                cells[column] = float(value.text)
        rows.append(cells)
    found.append({"name": name, "rows": rows, "n_formulas": len(list(sheet.iter(M + "f"))),
                  "n_links": len(list(sheet.iter(M + "hyperlink"))),
                  "frozen": [p.get("ySplit") for p in sheet.iter(M + "pane")]})
print(json.dumps(found))
"#;

fn python(script: &str, file: &Path) -> String {
    let output = Command::new("python3")
        .args(["-c", script, text(file)])
        .output()
        .expect("hint: scripts/test installs python3");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Writes everything in a language, and returns the folder and what was printed to stderr.
fn export(log: &Log, lang: &str, to: &str) -> (PathBuf, String) {
    let path = |name: &str| log.dir.path().join(format!("{to}/{name}"));
    let output = sluice(&[
        "report",
        text(&log.dir.path().join("out")),
        "--lang",
        lang,
        "--charts",
        text(&path("charts")),
        "--tables",
        text(&path("tables")),
        "--xlsx",
        text(&path("report.xlsx")),
        "--email",
        text(&path("mail.html")),
    ]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    (log.dir.path().join(to), stderr)
}

#[test]
fn everything_of_a_report_can_be_taken_away() {
    let log = Log::new(9);
    let study = log.run(BREAKDOWNS, "en");
    let (first, _) = export(&log, "en", "first");
    let (second, _) = export(&log, "en", "second");
    assert!(tree(&first) == tree(&second), "the same study, the same bytes");

    charts(&first.join("charts"));
    tables(&first.join("tables"), &study.schedule);
    workbook(&first.join("report.xlsx"), &study.schedule, &study.analysis);
    mail(&first.join("mail.html"));
}

fn charts(folder: &Path) {
    let index = document(&folder.join("charts.json"));
    let names: Vec<&String> = index["files"].as_object().unwrap().keys().collect();
    for name in ["harm", "layers", "ratios", "scores", "slices-early"] {
        for kind in ["png", "svg"] {
            let name = format!("{name}.{kind}");
            assert!(names.contains(&&name), "{name}: {names:?}");
        }
    }
    for name in names {
        let bytes = fs::read(folder.join(name)).unwrap();
        if name.ends_with(".png") {
            assert!(
                bytes.starts_with(b"\x89PNG") && bytes.len() > 1_000,
                "{name}: {}",
                bytes.len()
            );
            continue;
        }
        let read = "import sys, xml.etree.ElementTree as E\nroot = E.parse(sys.argv[1]).getroot()\nprint([root.tag.split('}')[1]] + [child.tag.split('}')[1] for child in root][:3])";
        let found = python(read, &folder.join(name));
        assert_eq!(found.trim(), "['svg', 'title', 'desc', 'rect']", "{name}");
        let svg = String::from_utf8(bytes).unwrap();
        assert!(
            !svg.contains("var(") && !svg.contains("<script") && !svg.contains("href"),
            "{name}"
        );
    }
}

/// The rows of a CSV file, by the names of columns.
fn read_csv(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

fn tables(folder: &Path, schedule: &Value) {
    let index = document(&folder.join("tables.json"));
    let names: Vec<&str> = index["files"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected =
        "costs data_quality decisions effects gate layers operations sample_ratios schedule slices";
    assert_eq!(names.join(" ").replace(".csv", ""), expected);
    let decisions = read_csv(&folder.join("decisions.csv"));
    assert_eq!(decisions.len(), 1);
    assert_eq!(
        decisions[0]["reason"],
        schedule["layers"][0]["reason"].as_str().unwrap()
    );
    assert_eq!(
        (decisions[0]["verdict"].as_str(), decisions[0]["ratio"].as_str()),
        ("hold", "0.5")
    );
    let slices = read_csv(&folder.join("slices.csv"));
    let worst = &slices[0];
    assert_eq!(
        (worst["value"].as_str(), worst["verdict"].as_str()),
        ("north", "violated")
    );
    assert!(worst["harm"].parse::<f64>().unwrap() > 0.03);
    let values: Vec<&str> = slices.iter().map(|row| row["value"].as_str()).collect();
    assert!(
        values.contains(&"'=1+1") && values.contains(&"<b>east</b>"),
        "{values:?}"
    );
}

fn workbook(path: &Path, schedule: &Value, analysis: &Value) {
    let sheets: Value = serde_json::from_str(&python(READ_XLSX, path)).unwrap();
    let sheets = sheets.as_array().unwrap();
    let names: Vec<&str> = sheets
        .iter()
        .map(|sheet| sheet["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "Decisions",
            "Effects",
            "Slices",
            "Schedule",
            "Operations",
            "Costs"
        ]
    );
    for sheet in sheets {
        assert_eq!((&sheet["n_formulas"], &sheet["n_links"]), (&json!(0), &json!(0)));
        assert_eq!(sheet["frozen"], json!(["1"]), "{}", sheet["name"]);
    }
    let cell = |sheet: usize, row: usize, title: &str| -> Value {
        let rows = sheets[sheet]["rows"].as_array().unwrap();
        let titles = rows[0].as_object().unwrap();
        let (column, _) = titles.iter().find(|(_, name)| *name == title).unwrap();
        rows[row][column].clone()
    };
    let decided = &schedule["layers"][0];
    assert_eq!(cell(0, 1, "reason"), decided["reason"]);
    assert_eq!(cell(0, 1, "ratio"), json!({ "share": 0.5 }));
    assert_eq!(
        cell(0, 1, "rows, candidate").as_f64(),
        decided["evidence"]["rows"]["candidate"].as_f64()
    );
    let stages = analysis["layers"][0]["stages"].as_array().unwrap();
    let metrics = stages.last().unwrap()["metrics"].as_array().unwrap();
    let effect = &metrics
        .iter()
        .find(|metric| metric["metric"] == "task_completion_rate")
        .unwrap()["effect"];
    assert_eq!(cell(1, 1, "metric"), "task_completion_rate");
    let [found, expected] =
        [&cell(1, 1, "effect"), &effect["effect_size"]].map(|value| value.as_f64().unwrap());
    // The cell is in percentage points.
    assert!((found - 100.0 * expected).abs() < 1e-9, "{found} {expected}");
    let slices = sheets[2]["rows"].as_array().unwrap();
    let formula_text = slices
        .iter()
        .find(|row| row.as_object().unwrap().values().any(|value| value == "=1+1"));
    assert!(
        formula_text.is_some(),
        "a text that looks like a formula stays a text"
    );
    assert_eq!(sheets[5]["rows"][1]["A"], "There is no row.");
}

fn mail(path: &Path) {
    let mail = fs::read_to_string(path).unwrap();
    assert!(mail.len() < 100_000, "{}", mail.len());
    for forbidden in ["<script", "<style", "<link", "http:", "https:", "<b>east"] {
        assert!(!mail.contains(forbidden), "{forbidden}");
    }
    let expected = [
        "Layers that keep their ratio: 1.",
        "In region north (",
        "policy.slices",
        "src=\"data:image/png;base64,",
        "alt=\"Harm in units",
        "report.html in the study&#39;s folder",
    ];
    for part in expected {
        assert!(mail.contains(part), "{part}: {mail}");
    }
}

#[test]
fn chinese_files_have_chinese_titles_and_say_when_letters_are_missing() {
    let log = Log::new(0);
    log.run(BREAKDOWNS, "zh");
    let (folder, stderr) = export(&log, "zh", "zh");
    let sheets: Value = serde_json::from_str(&python(READ_XLSX, &folder.join("report.xlsx"))).unwrap();
    let names: Vec<&str> = sheets
        .as_array()
        .unwrap()
        .iter()
        .map(|sheet| sheet["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["放量决策", "效应", "切片", "放量排期", "操作日志", "成本"]
    );
    assert_eq!(sheets[0]["rows"][0]["B"], "分层");
    let names = tree(&folder.join("charts"));
    let n = |kind: &str| {
        names
            .keys()
            .filter(|name| name.extension().is_some_and(|ext| ext == kind))
            .count()
    };
    assert!(n("svg") >= 5);
    // Without a Chinese font there are fewer pictures, and a warning that says how many.
    let n_missing = n("svg") - n("png");
    assert_eq!(n_missing > 0, stderr.contains("未生成 PNG"), "{stderr}");
    assert!(
        n_missing == 0 || stderr.contains(&format!("{n_missing} 张图")),
        "{stderr}"
    );
    assert!(
        fs::read_to_string(folder.join("mail.html"))
            .unwrap()
            .contains("保持 1 个")
    );
}

#[test]
fn a_mail_of_forty_layers_is_cut_and_says_so() {
    let log = Log::new(9);
    log.run(BREAKDOWNS, "en");
    let out = log.dir.path().join("out");
    let long = "A long sentence about this layer. ".repeat(60);
    for (name, is_cut) in [("analysis.json", false), ("schedule.json", true)] {
        let mut found = document(&out.join(name));
        let layer = found["layers"][0].clone();
        let copies = (0..480).map(|idx| {
            let mut copy = layer.clone();
            copy["tenant"] = format!("tenant {:02} & <co>", idx / 40).into();
            copy["layer"] = format!("layer-{:02}", idx % 40).into();
            if is_cut {
                copy["reason"] = long.as_str().into();
            }
            copy
        });
        found["layers"] = copies.collect();
        fs::write(out.join(name), found.to_string()).unwrap();
    }
    let path = log.dir.path().join("mail.html");
    ok(&["report", text(&out), "--email", text(&path)]);
    let mail = fs::read_to_string(&path).unwrap();
    assert!(mail.len() < 100_000, "{}", mail.len());
    assert!(
        mail.contains("Further layers in report.html of the study&#39;s folder: ")
            && mail.contains("Layers that keep their ratio: 480.")
    );
    assert!(mail.ends_with("</html>\n") && !mail.contains("<co>"));
}

#[test]
fn folders_of_others_are_not_replaced() {
    let log = Log::new(0);
    log.run("", "en");
    let out = log.dir.path().join("out");
    let folder = log.dir.path().join("mine");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("notes.txt"), "keep").unwrap();
    for option in ["--charts", "--tables"] {
        let stderr = fails(&["report", text(&out), option, text(&folder)], 1);
        assert!(stderr.contains("notes.txt"), "{stderr}");
        let stderr = fails(&["report", text(&out), option, text(&out)], 2);
        assert!(stderr.contains("outside of the output folder"), "{stderr}");
    }
    assert_eq!(fs::read_to_string(folder.join("notes.txt")).unwrap(), "keep");
    let analysis = out.join("analysis.json");
    for option in ["--xlsx", "--email"] {
        let stderr = fails(&["report", text(&out), option, text(&analysis)], 2);
        assert!(stderr.contains("differ from the input"), "{stderr}");
    }
}

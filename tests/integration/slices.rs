//! Guardrails in slices: a region loses nine points while its layer as a whole does not.

use serde_json::Value;
use std::fs;
use tempfile::TempDir;

use crate::{
    logs::Dice,
    support::{json, ok, text},
};

const SCENARIO: &str = r#"
why = "slices"
as_of = "2026-05-28"
[plan]
id = "slices"
start = "2026-05-25"
baseline = "old"
candidate = "new"
[input]
users = { path = "users.csv", absent = ["last_use_time", "use_count", "user_value", "accept_score"] }
traffic = [{ path = "traffic.csv" }]
[[layer]]
id = "early"
[[guardrail]]
metric = "task_completion_rate"
margin = 0.03
[[operation]]
at = "2026-05-25"
layer = "early"
ratio = 0.5
"#;

pub(crate) const BREAKDOWNS: &str = "[analysis]\nbreakdowns = [\"region\", \"device\"]\n";

pub(crate) struct Log {
    pub(crate) dir: TempDir,
}

impl Log {
    /// 4,000 users with nine turns each. A tenth of them is in the region north, whose tasks the
    /// candidate completes less often by `loss` percentage points.
    pub(crate) fn new(loss: u64) -> Self {
        let profile = sluice::bucket::Profile::Sluice {
            salt: "slices".into(),
        };
        let mut dice = Dice(5);
        let mut users = "user_id,is_allow_gray\n".to_owned();
        let mut traffic = "event_time,user_id,release_id,region,device,task_completed\n".to_owned();
        for user in 0..4_000 {
            users.push_str(&format!("u{user},true\n"));
            let is_new = profile.bucket(&format!("u{user}")) < 5_000;
            let region = match user % 20 {
                0 | 1 => "north",
                2 if user < 100 => "island",
                3..=6 => "",
                7..=12 => "south",
                _ => "<b>east</b>",
            };
            for turn in 0..9 {
                let (day, hour) = (turn / 3, dice.roll(24));
                let device = ["phone", "=1+1"][dice.roll(2) as usize];
                let rate = if is_new && region == "north" {
                    810 - 10 * loss
                } else {
                    810
                };
                let is_done = dice.roll(1_000) < rate;
                let release = if is_new { "new" } else { "old" };
                traffic.push_str(&format!(
                    "2026-05-{}T{hour:02}:30:00Z,u{user},{release},{region},{device},{is_done}\n",
                    25 + day
                ));
            }
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("users.csv"), users).unwrap();
        fs::write(dir.path().join("traffic.csv"), traffic).unwrap();
        Self { dir }
    }

    /// Runs the study with more tables in the scenario, and returns what it printed.
    pub(crate) fn run(&self, more: &str, lang: &str) -> Study {
        let path = |name: &str| self.dir.path().join(name);
        let scenario = SCENARIO.replace("[input]", &format!("{more}\n[input]"));
        fs::write(path("study.toml"), scenario).unwrap();
        let printed = ok(&[
            "run",
            text(&path("study.toml")),
            "--out",
            text(&path("out")),
            "--lang",
            lang,
        ]);
        Study {
            printed,
            analysis: json(&path("out/analysis.json")),
            schedule: json(&path("out/schedule.json")),
            gate: json(&path("out/gate_report.json")),
            page: fs::read_to_string(path("out/report.html")).unwrap(),
            markdown: fs::read_to_string(path("out/report.md")).unwrap(),
        }
    }
}

pub(crate) struct Study {
    pub(crate) printed: String,
    pub(crate) analysis: Value,
    pub(crate) schedule: Value,
    pub(crate) gate: Value,
    pub(crate) page: String,
    pub(crate) markdown: String,
}

impl Study {
    fn layer(&self) -> &Value {
        &self.schedule["layers"][0]
    }

    fn gate_check(&self, name: &str) -> Option<&Value> {
        let checks = self.gate["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == name)
    }

    /// The verdict on the guardrail in a slice.
    fn verdict(&self, column: &str, value: &str) -> &Value {
        let stages = self.analysis["layers"][0]["stages"].as_array().unwrap();
        let slices = stages.last().unwrap()["breakdowns"].as_array().unwrap();
        let is = |slice: &&Value| slice["column"] == column && slice["value"] == value;
        &slices.iter().find(is).unwrap()["guardrails"][0]["verdict"]
    }
}

#[test]
fn a_region_that_loses_nine_points_blocks_its_layer() {
    let log = Log::new(9);
    let study = log.run(BREAKDOWNS, "en");
    assert_eq!(study.verdict("region", "north"), "violated");
    assert_ne!(study.verdict("region", "south"), "violated");
    assert_ne!(study.verdict("device", "phone"), "violated");
    let whole = &study.analysis["layers"][0]["stages"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()["guardrails"][0];
    assert_ne!(whole["verdict"], "violated", "the layer as a whole: {whole}");

    let layer = study.layer();
    assert_eq!(
        (&layer["verdict"], &layer["first_blocking"]),
        (&"hold".into(), &"slices".into())
    );
    assert_eq!(layer["ratio"], layer["next_ratio"]);
    let reason = layer["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("In region north (")
            && reason.contains(" rows) the task completion rate fell from "),
        "{reason}"
    );
    assert!(reason.contains(" points worse, 3 points allowed)"), "{reason}");
    let zh = layer["reason_zh"].as_str().unwrap();
    assert!(
        zh.starts_with("切片 region 为 north（") && zh.contains("允许 3 个百分点"),
        "{zh}"
    );
    assert!(layer["outlook"]["text_zh"].as_str().unwrap().contains("新版本"));

    let check = study.gate_check("slices").unwrap();
    assert_eq!(
        (&check["outcome"], &study.gate["outcome"]),
        (&"fail".into(), &"fail".into())
    );
    assert!(
        check["remedy"].as_str().unwrap().contains("policy.slices"),
        "{check}"
    );

    let flat = study.printed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("slices:") || flat.contains("Slices:"), "{flat}");
    assert!(flat.contains("early: In region north ("), "{flat}");
    assert!(
        flat.contains("there is too little data to judge"),
        "the island: {flat}"
    );
    assert!(study.page.contains("Violated slices, the worst first"));
    assert!(study.page.contains(">region north</td>") && !study.page.contains("<b>east</b>"));
    assert!(study.page.contains("rows without region"));
    assert!(study.markdown.contains("| region north |") && study.markdown.contains("## Slices"));
}

#[test]
fn a_policy_that_warns_keeps_the_verdict() {
    let log = Log::new(9);
    let alone = log.run("", "en");
    let warned = log.run(&format!("{BREAKDOWNS}[policy]\nslices = \"warn\"\n"), "zh");
    let verdict = |study: &Study| {
        (
            study.layer()["verdict"].clone(),
            study.layer()["next_ratio"].clone(),
        )
    };
    assert_eq!(verdict(&alone), verdict(&warned));
    assert_ne!(warned.layer()["first_blocking"], "slices");
    let check = warned.gate_check("slices").unwrap();
    assert_eq!(check["outcome"], "warn");
    assert!(
        check["detail"]
            .as_str()
            .unwrap()
            .ends_with("The policy only warns of it."),
        "{check}"
    );
    assert!(alone.gate_check("slices").is_none(), "no slices, no check");
    assert!(
        warned.printed.contains("切片 region 为 north"),
        "{}",
        warned.printed
    );
    assert!(warned.page.contains("越界的切片"));
}

#[test]
fn slices_without_harm_block_nothing() {
    let log = Log::new(0);
    let study = log.run(BREAKDOWNS, "en");
    let verdicts = ["north", "south", "", "<b>east</b>", "island"];
    assert!(
        verdicts
            .iter()
            .all(|value| study.verdict("region", value) != "violated")
    );
    assert_ne!(study.layer()["first_blocking"], "slices");
    let check = study.gate_check("slices").unwrap();
    assert_eq!(check["outcome"], "pass");
    let detail = check["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("No guardrail is violated in 6 slices."),
        "{detail}"
    );
    assert!(
        detail.contains("In 1 slice (") && detail.contains("too little data to judge"),
        "{detail}"
    );
}

#[test]
fn an_unknown_policy_of_slices_is_refused() {
    let log = Log::new(0);
    let path = log.dir.path().join("study.toml");
    let scenario = SCENARIO.replace("[input]", "[policy]\nslices = \"ignore\"\n[input]");
    fs::write(&path, scenario).unwrap();
    let stderr = crate::support::fails(&["check", text(&path)], 2);
    assert!(
        stderr.contains("policy.slices") && stderr.contains("block"),
        "{stderr}"
    );
}

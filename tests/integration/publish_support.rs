//! Shared parts of the publishing tests: small studies with unusual ids, and the users who get the
//! candidate in them.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

use crate::support::{ok, text};

/// The layers of the small studies.
pub(crate) const LAYERS: [&str; 4] = ["early", "regular", "high_value", "vip"];

/// A plan with users, and its studies.
pub(crate) struct Small {
    pub(crate) dir: TempDir,
    pub(crate) scenario: PathBuf,
    pub(crate) plan: String,
}

/// User ids of several kinds: ASCII, Chinese, emoji, one letter in two encodings, whole numbers,
/// separators.
pub(crate) fn id(n: usize) -> String {
    match n % 7 {
        0 => format!("u{n:06}"),
        1 => format!("用户{n}"),
        2 => format!("🙂{n}"),
        3 => format!("e\u{301}{n}"),
        4 => format!("é{n}"),
        5 => n.to_string(),
        _ => format!("a:b|c%{n}"),
    }
}

impl Small {
    /// Makes a plan whose users are assigned by a profile.
    pub(crate) fn new(plan: &str, profile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut toml = format!(
            "why = \"a small plan\"\nseed = 1\nas_of = \"2026-05-28T00:00:00Z\"\n[plan]\nid = \"{plan}\"\nstart = \"2026-05-25T00:00:00Z\"\n\
             baseline = \"rel-1\"\ncandidate = \"rel-2\"\nprofile = \"{profile}\"\nsalt = \"{plan}-salt\"\n[input.users]\npath = \"users.csv\"\nabsent = [\"last_use_time\", \"use_count\", \"user_value\", \"accept_score\"]\n[layering]\nmode = \"threshold\"\n"
        );
        for (idx, layer) in LAYERS.iter().enumerate() {
            write!(
                toml,
                "[[layer]]\nid = \"{layer}\"\nname = \"第{idx}层\"\n{}initial_ratio = 0.1\nqos_threshold = 0.8\ndwell_hours = 24\n\
                 tags = [{{ column = \"segment\", equals = \"{layer}\" }}]\n",
                ["min_score = 0.9\n", "min_score = 0.8\n", "min_score = 0.7\n", ""][idx]
            )
            .unwrap();
        }
        let scenario = dir.path().join("plan.toml");
        fs::write(&scenario, toml).unwrap();
        Self {
            dir,
            scenario,
            plan: plan.to_owned(),
        }
    }

    /// Makes a layer table of users `from..to`. The layer of user `n` is that of `n + shift`.
    pub(crate) fn layers(&self, name: &str, users: std::ops::Range<usize>, shift: usize) -> PathBuf {
        let mut csv = String::from("user_id,segment,is_allow_gray\n");
        for n in users {
            // A tenth of the users did not consent.
            writeln!(csv, "{},{},{}", id(n), LAYERS[(n + shift) % 4], n % 10 != 3).unwrap();
        }
        let path = self.dir.path().join(format!("{name}.csv"));
        fs::write(&path, csv).unwrap();
        let table = self.dir.path().join(format!("{name}.parquet"));
        ok(&[
            "layer",
            "--users",
            text(&path),
            "--config",
            text(&self.scenario),
            "--out",
            text(&table),
        ]);
        table
    }

    /// Makes a study folder with a layer table and ratios that were decided at an hour.
    pub(crate) fn study(&self, name: &str, layers: &Path, ratios: [f64; 4], hour: i64) -> PathBuf {
        let folder = self.dir.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(layers, folder.join("layers.parquet")).unwrap();
        let layer = |idx: usize| {
            let ratio = ratios[idx];
            serde_json::json!({
                "tenant": "default", "layer": LAYERS[idx], "verdict": if ratio == 0.0 { "rollback" } else { "promote" }, "rolled_back": false,
                "ratio": 0.0, "next_ratio": ratio, "lo_bucket": 0, "hi_bucket": (ratio * 10_000.0).round() as u16,
                "ramp": {"ladder": [0.1, 0.5, 1.0], "qos_threshold": 0.8, "qos_floor": 0.6, "dwell_hours": 24.0, "min_users": 500},
                "first_blocking": null, "reason": "a test", "earliest_next": 1_780_016_400_000_000_i64, "trace": []
            })
        };
        let scenario = fs::read_to_string(&self.scenario).unwrap();
        let profile = scenario
            .lines()
            .find_map(|line| line.strip_prefix("profile = "))
            .unwrap()
            .trim_matches('"')
            .to_owned();
        let schedule = serde_json::json!({
            "schema": "sluice.schedule/1", "plan_id": self.plan, "baseline": "rel-1", "candidate": "rel-2",
            "as_of": 1_779_926_400_000_000_i64 + hour * 3_600_000_000, "evidence_digest": format!("sha256:{name}"), "profile": profile,
            "salt": format!("{}-salt", self.plan), "layers": (0..4).map(layer).collect::<Vec<_>>()
        });
        fs::write(folder.join("schedule.json"), schedule.to_string()).unwrap();
        folder
    }

    /// The users who get the candidate in a study, by `sluice who`.
    pub(crate) fn who(&self, study: &Path) -> BTreeSet<String> {
        self.who_at(study, text(&study.join("schedule.json")), &[])
    }

    /// The users who get the candidate at another step, by `sluice who` with more arguments.
    pub(crate) fn who_at(&self, study: &Path, at: &str, more: &[&str]) -> BTreeSet<String> {
        let layers = study.join("layers.parquet");
        let mut args = vec![
            "who",
            "--plan",
            text(&self.scenario),
            "--layers",
            text(&layers),
            "--at",
            at,
            "--list",
        ];
        args.extend(more);
        let list = ok(&args);
        let mut reader = csv::Reader::from_reader(list.as_bytes());
        reader
            .records()
            .map(|record| record.unwrap()[0].to_owned())
            .collect()
    }
}

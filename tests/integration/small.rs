//! A small study in files that a test can change: 200 users with two turns each, assigned as in the
//! plan.

use std::fs;
use tempfile::TempDir;

use crate::support::{fails, json, ok, text};

/// The header of the users file.
pub(crate) const USERS: &str = "user_id,use_count,is_allow_gray\n";
const TRAFFIC: &str = "event_time,user_id,release_id,success,latency_ms\n";

const SCENARIO: &str = r#"
why = "small"
as_of = "2026-05-28"
[plan]
id = "small"
start = "2026-05-25"
baseline = "old"
candidate = "new"
[input]
users = { path = "users.csv" }
traffic = [{ path = "traffic.csv" }]
[[layer]]
id = "all"
[[operation]]
at = "2026-05-25"
layer = "all"
ratio = 0.5
"#;

/// A small study: users `u0..u199` with two turns each, assigned as in the plan.
pub(crate) struct Small {
    pub(crate) dir: TempDir,
}

impl Small {
    pub(crate) fn new() -> Self {
        let small = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let profile = sluice::bucket::Profile::Sluice { salt: "small".into() };
        let (mut users, mut traffic) = (USERS.to_owned(), TRAFFIC.to_owned());
        for user in 0..200 {
            users.push_str(&format!("u{user},{user},true\n"));
            let release = if profile.bucket(&format!("u{user}")) < 5_000 {
                "new"
            } else {
                "old"
            };
            for hour in [1, 30] {
                traffic.push_str(&format!(
                    "2026-05-2{}T{:02}:00:00Z,u{user},{release},true,{}\n",
                    5 + hour / 24,
                    hour % 24,
                    100 + user
                ));
            }
        }
        small.write("users.csv", &users);
        small.write("traffic.csv", &traffic);
        small.write("study.toml", SCENARIO);
        small
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn edit(&self, name: &str, edit: impl Fn(String) -> String) {
        self.write(name, edit(fs::read_to_string(self.path(name)).unwrap()));
    }

    pub(crate) fn run(&self) -> String {
        ok(&[
            "run",
            text(&self.path("study.toml")),
            "--out",
            text(&self.path("out")),
        ])
    }

    pub(crate) fn fails(&self, code: i32) -> String {
        fails(
            &[
                "run",
                text(&self.path("study.toml")),
                "--out",
                text(&self.path("out")),
            ],
            code,
        )
    }

    pub(crate) fn rows(&self) -> serde_json::Value {
        json(&self.path("out/analysis.json"))["data"]["rows"].clone()
    }
}

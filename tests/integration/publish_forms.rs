//! Tests of files for other systems, read by the clients of those systems. The clients must choose
//! the same users as Sluice.

use serde_json::{Value, json};
use sluice::bucket::{Profile, Ratio};
use sluice::ramp::{LayerEvidence, LayerRamp, LayerSchedule, Schedule, Verdict};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

use crate::support::{fails, json, ok, root, text};

const BASELINE: &str = "rel-2026.10.9";
const CANDIDATE: &str = "rel-2026.11.3";

/// A schedule to publish.
pub(crate) struct Wish<'a> {
    pub(crate) profile: &'a str,
    pub(crate) salt: &'a str,
    pub(crate) flag: &'a str,
    /// Tenant, layer and ratio of each row of the schedule.
    pub(crate) ratios: &'a [(&'a str, &'a str, f64)],
}

/// Layers of one tenant with ratio 0, a small ratio, 0.5 and 1.
pub(crate) const LAYERS: [(&str, &str, f64); 4] = [
    ("default", "L1_new", 0.0),
    ("default", "L3_steady", 0.1),
    ("default", "沉睡-低AI接受", 0.5),
    ("default", "L4_all", 1.0),
];

impl Wish<'_> {
    /// Makes a folder with the schedule.
    pub(crate) fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let ratio = |share: f64| Ratio::try_from_share(share).unwrap();
        let layer = |(tenant, layer, share): &(&str, &str, f64)| LayerSchedule {
            tenant: (*tenant).into(),
            layer: (*layer).into(),
            verdict: if *share > 0.0 {
                Verdict::Promote
            } else {
                Verdict::Hold
            },
            rolled_back: false,
            ratio: Ratio::ZERO,
            next_ratio: ratio(*share),
            lo_bucket: 0,
            hi_bucket: ratio(*share).bps(),
            ramp: LayerRamp {
                ladder: [0.01, 0.1, 0.5, 1.0].map(ratio).to_vec(),
                qos_threshold: 0.8,
                qos_floor: 0.6,
                dwell_hours: 24.0,
                min_users: 500,
            },
            evidence: LayerEvidence::default(),
            first_blocking: None,
            reason: "every check passed".into(),
            reason_zh: String::new(),
            outlook: None,
            earliest_next: 1_795_305_600_000_000,
            trace: vec![],
        };
        let schedule = Schedule {
            promote_on_failed_gate: false,
            supersedes: None,
            schema: "sluice.schedule/1".into(),
            plan_id: "plan-2026-11-21".into(),
            baseline: BASELINE.into(),
            candidate: CANDIDATE.into(),
            as_of: 1_795_219_200_000_000,
            evidence_digest: "sha256:00".into(),
            layers_digest: None,
            profile: self.profile.into(),
            salt: self.salt.into(),
            flag: (!self.flag.is_empty()).then(|| self.flag.into()),
            layers: self.ratios.iter().map(layer).collect(),
        };
        fs::write(
            folder.path().join("schedule.json"),
            serde_json::to_string(&schedule).unwrap(),
        )
        .unwrap();
        folder
    }

    pub(crate) fn of(profile: &str) -> Wish<'_> {
        Wish {
            profile,
            salt: "cs-20261103",
            flag: "agent-release",
            ratios: &LAYERS,
        }
    }

    /// Publishes to a file. `kind` and `settings` are parts of the address. Returns the folder, the
    /// file and the report.
    pub(crate) fn publish(&self, kind: &str, name: &str, settings: &str) -> (TempDir, PathBuf, Value) {
        let folder = self.folder();
        let file = folder.path().join(name);
        let report = ok(&[
            "publish",
            text(folder.path()),
            "--to",
            &format!("{kind}:{}{settings}", file.display()),
            "--json",
        ]);
        (folder, file, serde_json::from_str(&report).unwrap())
    }
}

/// User ids of several kinds: numbers, words, other scripts, and equal letters with other bytes.
fn users() -> Vec<String> {
    let kinds: [fn(u32) -> String; 6] = [
        |n| n.to_string(),
        |n| format!("user-{n}"),
        |n| format!("用户{n}"),
        |n| format!("🦀{n}😀"),
        |n| format!("Jos\u{e9} {n}"),
        |n| format!("Jose\u{301} {n}"),
    ];
    (0..3_000).map(|n| kinds[n as usize % kinds.len()](n)).collect()
}

/// The folder into which `scripts/test` installs the clients of other systems.
fn clients() -> PathBuf {
    let folder = std::env::var_os("SLUICE_CLIENTS").map(PathBuf::from);
    folder
        .filter(|folder| folder.is_dir())
        .expect("hint: run scripts/test, which installs other systems' clients and sets SLUICE_CLIENTS to their folder")
}

/// Runs a script of `tests/clients` on a question and returns its answer.
pub(crate) fn ask(program: &str, script: &str, libraries: &[&str], question: &Value) -> Value {
    let variable = if program == "node" {
        "NODE_PATH"
    } else {
        "PYTHONPATH"
    };
    let libraries: Vec<PathBuf> = libraries.iter().map(|name| clients().join(name)).collect();
    let mut child = Command::new(program)
        .arg(root().join("tests/clients").join(script))
        .env(variable, std::env::join_paths(libraries).unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}\nhint: install {program}; scripts/test does"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(question.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A client that is asked about every user in every layer.
struct Client {
    system: &'static str,
    program: &'static str,
    script: &'static str,
    libraries: &'static [&'static str],
}

const GROWTHBOOK: Client = Client {
    system: "growthbook",
    program: "python3",
    script: "flags.py",
    libraries: &["python"],
};
const UNLEASH: Client = Client {
    system: "unleash",
    ..GROWTHBOOK
};
const LAUNCHDARKLY: Client = Client {
    system: "launchdarkly",
    ..GROWTHBOOK
};
const FLAGD_PYTHON_2: Client = Client {
    system: "flagd",
    ..GROWTHBOOK
};
const FLAGD_PYTHON_1: Client = Client {
    system: "flagd",
    libraries: &["python-flagd-1", "python"],
    ..GROWTHBOOK
};
const FLAGD_JS: Client = Client {
    system: "flagd",
    program: "node",
    script: "flags.cjs",
    libraries: &["node/node_modules"],
};

impl Client {
    /// Indices of the users who get the candidate, as one list for each context.
    fn choose(&self, file: &Path, flag: &str, users: &[String], contexts: &[Value]) -> Vec<Vec<usize>> {
        let question = json!({
            "system": self.system, "file": file, "flag": flag, "baseline": BASELINE, "candidate": CANDIDATE,
            "users": users, "contexts": contexts,
        });
        serde_json::from_value(ask(self.program, self.script, self.libraries, &question)).unwrap()
    }

    /// Publishes a schedule and compares the choice of the client with the buckets of Sluice for
    /// each user. `profile` is the profile that is expected to assign the users, `key` the key of
    /// the flag in the file.
    fn check(&self, wish: &Wish<'_>, profile: &str, key: &str) {
        let (_folder, file, report) = wish.publish(self.system, "flags.json", "");
        let warned = report["targets"][0]["warnings"]
            .to_string()
            .contains("assigns users differently from");
        assert_eq!(warned, wish.profile != profile, "{report}");
        let several = wish
            .ratios
            .iter()
            .any(|(tenant, _, _)| *tenant != wish.ratios[0].0);
        let users = users();
        let context = |(tenant, layer, _): &(&str, &str, f64)| {
            if several {
                json!({"layer": layer, "tenant": tenant})
            } else {
                json!({"layer": layer})
            }
        };
        let mut contexts: Vec<Value> = wish.ratios.iter().map(context).collect();
        // A context without attributes, or with an unknown layer, gets the baseline.
        contexts.extend([json!({}), json!({"layer": "no such layer", "tenant": "a"})]);
        let found = self.choose(&file, key, &users, &contexts);
        let placed = Profile::by_name(profile, key, wish.salt).unwrap();
        let buckets: Vec<u16> = users.iter().map(|user| placed.bucket(user)).collect();
        for ((tenant, layer, share), found) in wish.ratios.iter().zip(&found) {
            let ratio = Ratio::try_from_share(*share).unwrap();
            let expected: Vec<usize> = (0..users.len())
                .filter(|idx| ratio.reaches(buckets[*idx]))
                .collect();
            assert!(
                *found == expected,
                "{profile} {tenant} {layer}: {} against {}",
                found.len(),
                expected.len()
            );
        }
        assert!(found[wish.ratios.len()..].iter().all(Vec::is_empty), "{profile}");
    }
}

#[test]
fn growthbook_chooses_the_users_that_sluice_chooses() {
    GROWTHBOOK.check(&Wish::of("growthbook/2"), "growthbook/2", "agent-release");
    GROWTHBOOK.check(&Wish::of("growthbook/1"), "growthbook/1", "agent-release");
    // A plan with the hash of Sluice gets version 2 of GrowthBook, with the id of the plan as key.
    GROWTHBOOK.check(
        &Wish {
            flag: "",
            ..Wish::of("sluice")
        },
        "growthbook/2",
        "plan-2026-11-21",
    );
    // Salt and tenants in other scripts, and a ratio of one basis point.
    let ratios = [
        ("甲", "A", 0.0001),
        ("乙", "A", 0.9999),
        ("甲", "B", 0.0),
        ("乙", "B", 0.07),
    ];
    GROWTHBOOK.check(
        &Wish {
            salt: "agent-cs@2026.11.3:沉睡",
            ratios: &ratios,
            ..Wish::of("growthbook/2")
        },
        "growthbook/2",
        "agent-release",
    );
}

#[test]
fn unleash_chooses_the_users_that_sluice_chooses() {
    UNLEASH.check(&Wish::of("unleash"), "unleash", "agent-release");
    let ratios = [
        ("甲", "A", 0.01),
        ("乙", "A", 0.99),
        ("甲", "B", 0.0),
        ("乙", "B", 0.07),
    ];
    UNLEASH.check(
        &Wish {
            salt: "盐",
            ratios: &ratios,
            ..Wish::of("sluice")
        },
        "unleash",
        "agent-release",
    );
}

#[test]
fn launchdarkly_chooses_the_users_that_sluice_chooses() {
    LAUNCHDARKLY.check(&Wish::of("launchdarkly"), "launchdarkly", "agent-release");
    let ratios = [
        ("甲", "A", 0.0001),
        ("乙", "A", 0.9999),
        ("甲", "B", 0.0),
        ("乙", "B", 0.07),
    ];
    LAUNCHDARKLY.check(
        &Wish {
            salt: "盐",
            ratios: &ratios,
            ..Wish::of("sluice")
        },
        "launchdarkly",
        "agent-release",
    );
}

#[test]
fn flagd_chooses_the_users_that_sluice_chooses() {
    let ratios = [
        ("甲", "A", 0.0001),
        ("乙", "A", 0.9999),
        ("甲", "B", 0.0),
        ("乙", "B", 0.07),
    ];
    FLAGD_PYTHON_1.check(&Wish::of("flagd/2"), "flagd/2", "agent-release");
    FLAGD_PYTHON_1.check(
        &Wish {
            salt: "盐",
            ratios: &ratios,
            ..Wish::of("sluice")
        },
        "flagd/2",
        "agent-release",
    );
    FLAGD_JS.check(&Wish::of("flagd/2-js"), "flagd/2-js", "agent-release");
    FLAGD_JS.check(
        &Wish {
            salt: "盐",
            ratios: &ratios,
            ..Wish::of("flagd/2-js")
        },
        "flagd/2-js",
        "agent-release",
    );
    // Characters that JSON escapes, and characters with a meaning in text replacement.
    FLAGD_PYTHON_1.check(
        &Wish {
            salt: "a\"b\\1$&",
            ..Wish::of("flagd/2")
        },
        "flagd/2",
        "agent-release",
    );
    FLAGD_JS.check(
        &Wish {
            salt: "a\"b\\1$&",
            ..Wish::of("flagd/2-js")
        },
        "flagd/2-js",
        "agent-release",
    );
    // Version 3 hashes the key of the flag, so the key is the salt.
    FLAGD_PYTHON_2.check(&Wish::of("flagd/3"), "flagd/3", "cs-20261103");
    FLAGD_PYTHON_2.check(
        &Wish {
            salt: "盐",
            ratios: &ratios,
            ..Wish::of("flagd/3")
        },
        "flagd/3",
        "盐",
    );
}

#[test]
fn consent_is_asked_for_where_an_address_names_it() {
    let all = [("default", "L", 1.0)];
    let users = ["u1".to_owned()];
    for client in [GROWTHBOOK, UNLEASH, LAUNCHDARKLY, FLAGD_JS] {
        let wish = Wish {
            ratios: &all,
            ..Wish::of("sluice")
        };
        let (_folder, file, _) = wish.publish(
            client.system,
            "flags.json",
            "?consent=is_allow_gray&attribute=tier",
        );
        let yes = if client.system == "unleash" {
            json!("true")
        } else {
            json!(true)
        };
        let no = if client.system == "unleash" {
            json!("false")
        } else {
            json!(false)
        };
        let contexts = [
            json!({"tier": "L", "is_allow_gray": yes}),
            json!({"tier": "L", "is_allow_gray": no}),
            json!({"tier": "L"}),
            json!({"layer": "L"}),
        ];
        let found = client.choose(&file, "agent-release", &users, &contexts);
        assert_eq!(found, [vec![0], vec![], vec![], vec![]], "{}", client.system);
    }
}

#[test]
fn after_a_rollback_everybody_has_the_baseline() {
    let users = users();
    for client in [
        GROWTHBOOK,
        UNLEASH,
        LAUNCHDARKLY,
        FLAGD_PYTHON_1,
        FLAGD_PYTHON_2,
        FLAGD_JS,
    ] {
        let wish = Wish::of("sluice");
        let (folder, file, _) = wish.publish(client.system, "flags.json", "");
        let contexts: Vec<Value> = LAYERS
            .iter()
            .map(|(_, layer, _)| json!({"layer": layer}))
            .collect();
        let before = client.choose(&file, "agent-release", &users, &contexts);
        assert_eq!(before[3].len(), users.len(), "{}", client.system);
        let address = format!("{}:{}", client.system, file.display());
        ok(&["publish", text(folder.path()), "--to", &address, "--rollback"]);
        let after = client.choose(&file, "agent-release", &users, &contexts);
        assert!(after.iter().all(Vec::is_empty), "{}", client.system);
        // The next nightly run does not open the candidate again.
        let error = fails_to_publish(folder.path(), &address);
        assert!(error.contains("--reopen"), "{error}");
    }
}

/// The stderr of a publication whose target failed.
fn fails_to_publish(folder: &Path, address: &str) -> String {
    fails(&["publish", text(folder), "--to", address], 4)
}

#[test]
fn what_a_system_cannot_express_is_refused_and_nothing_is_written() {
    let check = |profile: &str, share: f64, address: &str, step: &str| {
        let ratios = [("default", "L", share)];
        let folder = Wish {
            ratios: &ratios,
            ..Wish::of(profile)
        }
        .folder();
        let file = folder.path().join("out");
        let error = fails_to_publish(folder.path(), &address.replace("FILE", text(&file)));
        assert!(
            error.contains(&format!("steps of {step}")) && error.contains("default / L"),
            "{address}: {error}"
        );
        assert!(!file.exists(), "{address}");
    };
    check("sluice", 0.005, "unleash:FILE", "1%");
    check("growthbook/1", 0.0005, "growthbook:FILE", "0.1%");
}

#[test]
fn unknown_settings_and_equal_names_are_refused() {
    let folder = Wish::of("sluice").folder();
    let file = folder.path().join("flags.json");
    let address = |settings: &str| format!("flagd:{}?{settings}", file.display());
    let error = fails(
        &["publish", text(folder.path()), "--to", &address("atribute=x")],
        2,
    );
    assert!(
        error.contains("atribute") && error.contains("tenant_attribute"),
        "{error}"
    );
    let error = fails_to_publish(folder.path(), &address("attribute=x&consent=x"));
    assert!(error.contains("different name"), "{error}");
    assert!(!file.exists());
}

#[test]
fn files_are_the_same_bytes_again_and_warn_of_what_surprises() {
    let wish = Wish {
        salt: "盐",
        ..Wish::of("sluice")
    };
    let (folder, file, report) = wish.publish("flagd", "flags.json", "");
    let warnings = report["targets"][0]["warnings"].to_string();
    assert!(
        warnings.contains("not ASCII") && warnings.contains("sluice who --profile flagd/2"),
        "{warnings}"
    );
    let (first, held) = (
        fs::read(&file).unwrap(),
        json(&folder.path().join("flags.json.sluice.json")),
    );
    assert_eq!(held["version"], report["version"]);
    let again = ok(&[
        "publish",
        text(folder.path()),
        "--to",
        &format!("flagd:{}", file.display()),
    ]);
    assert!(again.contains("unchanged"), "{again}");
    assert_eq!(fs::read(&file).unwrap(), first);
}

//! Tests of `sluice layer --previous` and `sluice who`, and of layers that stay fixed from the
//! start of a ramp.

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};
use parquet::file::properties::WriterProperties;
use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use crate::{
    layer_parquet::{rows, write},
    small::Small,
    support::{absent, arg, fails, json, ok, root, text},
};

/// Writes users with an id and a use count. A row group has 100 users.
fn write_users(path: &Path, users: &[(i64, i64)]) {
    let columns = vec![
        (
            "user_id",
            Arc::new(
                users
                    .iter()
                    .map(|(id, _)| Some(format!("u{id}")))
                    .collect::<StringArray>(),
            ) as ArrayRef,
        ),
        (
            "use_count",
            Arc::new(
                users
                    .iter()
                    .map(|(_, count)| Some(*count))
                    .collect::<Int64Array>(),
            ),
        ),
        (
            "accept_score",
            Arc::new(
                users
                    .iter()
                    .map(|(id, _)| Some((id % 11) as f64))
                    .collect::<Float64Array>(),
            ),
        ),
    ];
    write(
        path,
        columns,
        WriterProperties::builder()
            .set_max_row_group_row_count(Some(100))
            .build(),
    );
}

fn layer(users: &Path, out: &Path, more: &[&str]) -> serde_json::Value {
    ok(&[
        [
            "layer",
            "--users",
            text(users),
            "--as-of",
            "2026-05-25",
            "--out",
            text(out),
        ]
        .as_slice(),
        absent(users).as_slice(),
        more,
    ]
    .concat());
    json(&out.with_extension("summary.json"))
}

/// Counts the moves between two nights directly.
fn by_hand(before: &Path, after: &Path) -> BTreeMap<(Option<String>, Option<String>), u64> {
    let night = |path: &Path| {
        rows(path)
            .into_iter()
            .map(|row| (row.0, row.2))
            .collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (night(before), night(after));
    let mut moves = BTreeMap::new();
    for id in before
        .keys()
        .chain(after.keys().filter(|id| !before.contains_key(*id)))
    {
        *moves
            .entry((before.get(id).cloned(), after.get(id).cloned()))
            .or_default() += 1;
    }
    moves
}

#[test]
fn moves_since_last_night_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let first: Vec<(i64, i64)> = (0..3_000).map(|id| (id, id % 100)).collect();
    let mut second: Vec<(i64, i64)> = first
        .iter()
        .filter(|(id, _)| id % 200 != 3)
        .map(|(id, n)| (*id, if id % 7 == 0 { 100 } else { *n }))
        .collect();
    second.splice(500..500, (10_000..10_020).map(|id| (id, 50)));
    write_users(&at("first.parquet"), &first);
    layer(&at("first.parquet"), &at("l1.parquet"), &[]);
    for reversed in [false, true] {
        if reversed {
            second.reverse();
        }
        write_users(&at("second.parquet"), &second);
        let summary = layer(
            &at("second.parquet"),
            &at("l2.parquet"),
            &[
                "--previous",
                text(&at("l1.parquet")),
                "--changes",
                text(&at("c.parquet")),
            ],
        );
        let moves = &summary["moves"];
        let found: BTreeMap<(Option<String>, Option<String>), u64> = moves["moves"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| {
                let name = |key: &str| m[key].as_str().map(str::to_owned);
                ((name("from"), name("to")), m["n_users"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(found, by_hand(&at("l1.parquet"), &at("l2.parquet")));
        assert_eq!(
            (moves["n_new"].as_u64(), moves["n_gone"].as_u64()),
            (Some(20), Some(15))
        );
        assert!(moves["psi"][0]["psi"].as_f64().unwrap() > 0.0);

        // A store needs new users and users who moved, in the order of the table.
        let before: BTreeMap<String, String> = rows(&at("l1.parquet"))
            .into_iter()
            .map(|row| (row.0, row.2))
            .collect();
        let changed: Vec<_> = rows(&at("l2.parquet"))
            .into_iter()
            .filter(|row| before.get(&row.0) != Some(&row.2))
            .collect();
        assert!(changed.len() > 100);
        assert_eq!(rows(&at("c.parquet")), changed);
        layer(
            &at("second.parquet"),
            &at("only.parquet"),
            &["--previous", text(&at("l1.parquet")), "--changed-only"],
        );
        assert_eq!(rows(&at("only.parquet")), changed);
    }
    let left: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
    let stderr = fails(
        &[
            "layer",
            "--users",
            text(&at("second.parquet")),
            "--as-of",
            "2026-05-25",
            "--previous",
            text(&at("first.parquet")),
            "--out",
            text(&at("x.parquet")),
        ],
        3,
    );
    assert!(stderr.contains("expected a layer table"), "{stderr}");
}

/// Unchanged row groups are copied from the previous night. The result must equal a full
/// computation.
#[test]
fn unchanged_row_groups_are_reused_and_equal() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut users: Vec<(i64, i64)> = (0..1_000).map(|id| (id, id % 100)).collect();
    write_users(&at("users.parquet"), &users);
    layer(&at("users.parquet"), &at("l1.parquet"), &[]);
    // One row group changes, one is new, and in one an id changes while the use count stays.
    users[450].1 = 99;
    users[20].0 = 5_000;
    users.extend((2_000..2_050).map(|id| (id, 1)));
    write_users(&at("users.parquet"), &users);
    let with = layer(
        &at("users.parquet"),
        &at("with.parquet"),
        &["--previous", text(&at("l1.parquet"))],
    );
    // The acceptance is derived from the id, so three of eleven row groups differ.
    assert_eq!(with["n_reused_row_groups"], 8);
    let without = layer(&at("users.parquet"), &at("without.parquet"), &[]);
    assert_eq!(without["n_reused_row_groups"], 0);
    assert!(
        fs::read(at("with.parquet")).unwrap() == fs::read(at("without.parquet")).unwrap(),
        "reused row groups differ"
    );
    for key in [
        "layers",
        "score_histogram",
        "missing",
        "clamped",
        "n_unknown",
        "n_tagged",
    ] {
        assert_eq!(with[key], without[key], "{key}");
    }
    // These users have no recency, so another instant changes nothing. With a recency it changes
    // everything.
    let later = |users: &Path| {
        let args = [
            "layer",
            "--users",
            text(users),
            "--as-of",
            "2026-05-26",
            "--previous",
            arg(at("l1.parquet")),
            "--out",
            arg(at("later.parquet")),
        ];
        ok(&[&args[..], &absent(users)].concat());
        json(&at("later.summary.json"))["n_reused_row_groups"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(later(&at("users.parquet")), 8);
    let last: ArrayRef = Arc::new((0..50).map(|n| Some(1_779_000_000 + n)).collect::<Int64Array>());
    let ids: ArrayRef = Arc::new((0..50).map(Some).collect::<Int64Array>());
    write(
        &at("recent.parquet"),
        vec![("user_id", ids), ("last_use_time", last)],
        WriterProperties::builder().build(),
    );
    layer(&at("recent.parquet"), &at("l1.parquet"), &[]);
    assert_eq!(later(&at("recent.parquet")), 0);
}

/// A table that changed after the previous night must not be reused.
#[test]
fn a_changed_table_of_last_night_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let users: Vec<(i64, i64)> = (0..1_000).map(|id| (id, id % 100)).collect();
    write_users(&at("users.parquet"), &users);
    layer(&at("users.parquet"), &at("l1.parquet"), &[]);
    let honest = fs::read(at("l1.parquet")).unwrap();
    // Another table of the same shape, with the row-group digests of the first.
    let others: Vec<(i64, i64)> = (0..1_000).map(|id| (id, 100 - id % 100)).collect();
    write_users(&at("others.parquet"), &others);
    layer(&at("others.parquet"), &at("l2.parquet"), &[]);
    fs::copy(at("l2.parquet"), at("l1.parquet")).unwrap();
    let summary = layer(
        &at("users.parquet"),
        &at("l3.parquet"),
        &["--previous", text(&at("l1.parquet"))],
    );
    assert_eq!(summary["n_reused_row_groups"], 0);
    assert!(fs::read(at("l3.parquet")).unwrap() == honest);
    // The table is the same with and without row-group digests.
    layer(&at("users.parquet"), &at("l4.parquet"), &["--audit", "never"]);
    assert!(fs::read(at("l4.parquet")).unwrap() == honest);
}

/// A withdrawn consent must be reported as a change. A previous table that cannot be compared must
/// not replace anything.
#[test]
fn consent_is_a_change_and_a_wrong_previous_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let write = |consents: &dyn Fn(i64) -> bool| {
        let lines: String = (0..50)
            .map(|id| format!("u{id},{id},{}\n", consents(id)))
            .collect();
        fs::write(
            at("users.csv"),
            format!("user_id,use_count,is_allow_gray\n{lines}"),
        )
        .unwrap();
    };
    write(&|_| true);
    layer(&at("users.csv"), &at("l1.parquet"), &[]);
    write(&|id| id % 10 > 0);
    let summary = layer(
        &at("users.csv"),
        &at("l2.parquet"),
        &[
            "--previous",
            text(&at("l1.parquet")),
            "--changes",
            text(&at("c.parquet")),
        ],
    );
    assert_eq!(
        (
            summary["moves"]["n_consent_changed"].as_u64(),
            summary["moves"]["n_moved"].as_u64()
        ),
        (Some(5), Some(0))
    );
    let changed: Vec<(String, bool)> = rows(&at("c.parquet"))
        .into_iter()
        .map(|row| (row.0, row.3))
        .collect();
    assert_eq!(changed, [0, 10, 20, 30, 40].map(|id| (format!("u{id}"), false)));

    let before = crate::support::tree(dir.path());
    fs::write(at("no.parquet"), b"PAR1 not a table PAR1").unwrap();
    for more in [
        ["--previous", arg(at("no.parquet"))].as_slice(),
        &["--previous", arg(at("no.parquet")), "--changed-only"],
    ] {
        fails(
            &[
                &[
                    "layer",
                    "--users",
                    text(&at("users.csv")),
                    "--as-of",
                    "2026-05-25",
                    "--out",
                    text(&at("l2.parquet")),
                ],
                more,
            ]
            .concat(),
            3,
        );
    }
    fs::remove_file(at("no.parquet")).unwrap();
    assert!(crate::support::tree(dir.path()) == before, "files changed");
}

#[test]
fn two_jobs_do_not_write_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| arg(dir.path().join(name));
    fs::write(at("users.csv"), "user_id,use_count\na,1\n").unwrap();
    let args = [
        "layer",
        "--users",
        at("users.csv"),
        "--as-of",
        "2026-05-25",
        "--out",
        at("l.parquet"),
        "--absent",
        "last_use_time,user_value,accept_score",
    ];
    let other_job = fs::File::create(at(".l.parquet.tmp.lock")).unwrap();
    other_job.lock().unwrap();
    assert!(fails(&args, 1).contains("another sluice process is writing this output now"));
    assert!(
        fs::exists(at(".l.parquet.tmp.lock")).unwrap(),
        "the other job's file is not ours to remove"
    );
    // A killed job holds no lock, so the next job removes its file.
    drop(other_job);
    ok(&args);
    assert!(!fs::exists(at(".l.parquet.tmp.lock")).unwrap());
}

#[test]
fn nothing_that_is_read_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| arg(dir.path().join(name));
    fs::create_dir(at("in")).unwrap();
    fs::write(at("in/a.csv"), "user_id,event_time,value\nu1,2026-05-01,3\n").unwrap();
    fs::write(at("features.parquet"), "an event log by that name").unwrap();
    let base = ["--as-of", "2026-05-25"];
    let refused: [&[&str]; 6] = [
        &["--users", at("in"), "--out", at("in/a.csv")],
        &["--users", at("in"), "--out", at("in/l.parquet")],
        &["--users", at("in/*.csv"), "--out", at("in/a.csv")],
        &[
            "--events",
            at("in/a.csv"),
            "--out",
            at("l.parquet"),
            "--rfm-table",
            at("in/a.csv"),
        ],
        &[
            "--events",
            at("in/a.csv"),
            "--out",
            at("l.parquet"),
            "--rfm-table",
            at("l.parquet"),
        ],
        &["--events", at("features.parquet"), "--out", at("l.parquet")],
    ];
    for args in refused {
        let stderr = fails(&[&["layer"], args, &base].concat(), 2);
        assert!(
            stderr.contains("expected the output to differ")
                || stderr.contains("expected the output outside")
                || stderr.contains("expected different files"),
            "{stderr}"
        );
    }
    let small = Small::new();
    small.run();
    let (plan, layers) = (
        arg(small.path("study.toml")),
        arg(small.path("out/layers.parquet")),
    );
    assert!(
        fails(
            &[
                "who", "--plan", plan, "--layers", layers, "--at", "1", "--out", layers
            ],
            2
        )
        .contains("expected the output to differ")
    );
}

#[test]
fn who_gets_the_candidate() {
    let small = Small::new();
    small.run();
    let (plan, layers) = (small.path("study.toml"), small.path("out/layers.parquet"));
    let who =
        |more: &[&str]| ok(&[&["who", "--plan", text(&plan), "--layers", text(&layers)], more].concat());
    let profile = sluice::bucket::Profile::Sluice { salt: "small".into() };
    let reached = |bps: u16| {
        (0..200)
            .filter(|user| profile.bucket(&format!("u{user}")) < bps)
            .count()
    };
    let counts = |more: &[&str]| -> serde_json::Value {
        serde_json::from_str(&who(&[more, &["--json"]].concat())).unwrap()
    };
    assert_eq!(
        counts(&[])[0]["n_candidate"],
        reached(5_000),
        "the operations say .5"
    );
    assert_eq!(
        counts(&["--at", "2026-05-24"])[0]["n_candidate"],
        0,
        "before the plan"
    );
    assert_eq!(
        counts(&["--at", "2026-05-25"])[0]["n_candidate"],
        reached(5_000),
        "what changes at an instant is in force then"
    );
    assert_eq!(counts(&["--at", "0.1"])[0]["n_candidate"], reached(1_000));
    assert_eq!(counts(&["--at", "all=0.25"])[0]["n_candidate"], reached(2_500));
    let schedule = small.path("out/schedule.json");
    assert_eq!(
        counts(&["--at", text(&schedule)])[0]["ratio"],
        json(&schedule)["layers"][0]["next_ratio"]
    );

    // Steps are nested. A higher ratio only adds users, a lower ratio only removes users, and the
    // list has exactly these users.
    let switch = counts(&["--from", "0.25", "--at", "0.5"]);
    assert_eq!(
        (
            switch[0]["n_to_candidate"].as_u64(),
            switch[0]["n_to_baseline"].as_u64()
        ),
        (Some((reached(5_000) - reached(2_500)) as u64), Some(0))
    );
    assert_eq!(
        counts(&["--from", "0.5", "--at", "0"])[0]["n_to_baseline"],
        reached(5_000)
    );
    let list = who(&["--from", "0.25", "--at", "0.5", "--list"]);
    let listed: Vec<&str> = list
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect();
    let expected: Vec<String> = (0..200)
        .map(|user| format!("u{user}"))
        .filter(|id| (2_500..5_000).contains(&profile.bucket(id)))
        .collect();
    assert_eq!(listed, expected);
    who(&["--at", "0.5", "--out", text(&small.path("who.csv"))]);
    assert_eq!(
        fs::read_to_string(small.path("who.csv")).unwrap().lines().count(),
        reached(5_000) + 1
    );
    who(&["--at", "0.5", "--out", text(&small.path("who.parquet"))]);
    let stderr = fails(
        &[
            "who",
            "--plan",
            text(&plan),
            "--layers",
            text(&layers),
            "--at",
            "alll=0.5",
        ],
        2,
    );
    assert!(
        stderr.contains("expected one of the layers all, found `alll`"),
        "{stderr}"
    );
    let stderr = fails(
        &[
            "who",
            "--plan",
            text(&plan),
            "--layers",
            text(&layers),
            "--at",
            "0.00001",
        ],
        2,
    );
    assert!(stderr.contains("expected a ratio"), "{stderr}");
}

#[test]
fn a_plan_keeps_the_layers_it_started_with() {
    let small = Small::new();
    small.run();
    let state = json(&small.path("out/state.json"));
    let digest = state["layers_digest"].as_str().unwrap().to_owned();
    assert_eq!(
        digest,
        sluice::base::digest::blake3_of_file(&small.path("out/layers.parquet")).unwrap()
    );

    // The users of the next night would get other layers. The state refuses evidence on those
    // layers ...
    let at = |name: &str| small.path(name);
    let (plan, out) = (at("study.toml"), at("next"));
    small.edit("users.csv", |users| users.replace("u7,7,true", "u7,7,false"));
    let stages: [&[&str]; 3] = [
        &["layer", "--config", text(&plan), "--out", "l.parquet"],
        &[
            "replay",
            "--traffic",
            arg(at("traffic.csv")),
            "--layers",
            "l.parquet",
            "--plan",
            text(&plan),
            "--out",
            "cube",
        ],
        &[
            "analyze",
            "--cube",
            "cube",
            "--plan",
            text(&plan),
            "--out",
            "analysis.json",
        ],
    ];
    for stage in stages {
        let args: Vec<String> = stage
            .iter()
            .map(|arg| {
                if ["l.parquet", "cube", "analysis.json"].contains(arg) {
                    text(&at(arg)).to_owned()
                } else {
                    (*arg).to_owned()
                }
            })
            .collect();
        ok(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let schedule = [
        "schedule",
        "--plan",
        text(&plan),
        "--analysis",
        arg(at("analysis.json")),
        "--state",
        arg(at("out/state.json")),
        "--out",
        text(&out),
    ];
    let stderr = fails(&schedule, 3);
    assert!(
        stderr.contains("layer table that the ramp started with") && stderr.contains(&digest),
        "{stderr}"
    );

    // ... and a plan that pins the table makes every command refuse another table.
    small.edit("study.toml", |t| {
        t.replace(
            "id = \"small\"",
            &format!("id = \"small\"\nlayers_digest = \"{digest}\""),
        )
    });
    let replay = [
        "replay",
        "--traffic",
        arg(at("traffic.csv")),
        "--layers",
        arg(at("l.parquet")),
        "--plan",
        text(&plan),
        "--out",
        arg(at("cube2")),
    ];
    assert!(fails(&replay, 3).contains("that plan small pins"));
    assert!(
        fails(
            &["who", "--plan", text(&plan), "--layers", arg(at("l.parquet"))],
            3
        )
        .contains("that plan small pins")
    );
    ok(&[
        "who",
        "--plan",
        text(&plan),
        "--layers",
        arg(at("out/layers.parquet")),
    ]);
    // A plan can also pin the table by its SHA-256.
    let by_hand = sluice::base::digest::sha256_of_file(&at("out/layers.parquet")).unwrap();
    small.edit("study.toml", |t| t.replace(&digest, &by_hand));
    ok(&[
        "who",
        "--plan",
        text(&plan),
        "--layers",
        arg(at("out/layers.parquet")),
    ]);
    assert!(
        fails(
            &["who", "--plan", text(&plan), "--layers", arg(at("l.parquet"))],
            3
        )
        .contains("that plan small pins")
    );
    small.edit("study.toml", |t| t.replace("sha256:", "sha1:"));
    assert!(small.fails(2).contains("64 hexadecimal digits"));
}

/// Frequency, recency, T and monetary value of Lifetimes, by day and by week, and quintile scores
/// under both rules for ties.
#[test]
fn the_classic_summary_is_that_of_lifetimes() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let reference = |name: &str| -> Vec<Vec<f64>> {
        let mut text = String::new();
        let file = fs::File::open(root().join("datasets/cdnow").join(name)).unwrap();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
        text.lines()
            .skip(1)
            .map(|line| line.split(',').map(|field| field.parse().unwrap()).collect())
            .collect()
    };
    let scores = reference("rfm_scores_master_1997-09-30.csv.gz");
    let columns = ["user_id=customer_id", "event_time=date", "value=dollar_value"]
        .map(|pair| ["--column", pair])
        .concat();
    for (period, file) in [
        ("day", "rfm_master_1997-09-30_D.csv.gz"),
        ("week", "rfm_master_1997-09-30_W.csv.gz"),
    ] {
        for (ties, first_score) in [("first", 4), ("average", 5)] {
            let args = [
                "layer",
                "--events",
                "datasets/cdnow/transactions.csv.gz",
                "--as-of",
                "1997-10-01",
                "--out",
                arg(at("l.parquet")),
                "--absent",
                "accept_score,is_allow_gray",
            ];
            let rfm = [
                "--rfm-table",
                arg(at("rfm.csv")),
                "--rfm-period",
                period,
                "--rfm-ties",
                ties,
            ];
            ok(&[&args[..], &columns, &rfm].concat());
            let csv = fs::read_to_string(at("rfm.csv")).unwrap();
            let mut found: Vec<Vec<f64>> = csv
                .lines()
                .skip(1)
                .map(|line| line.split(',').map(|field| field.parse().unwrap()).collect())
                .collect();
            found.sort_by(|a, b| a[0].total_cmp(&b[0]));
            let expected = reference(file);
            assert_eq!(
                (found.len(), expected.len(), scores.len()),
                (23_570, 23_570, 23_570)
            );
            for ((found, expected), scores) in found.iter().zip(&expected).zip(&scores) {
                assert_eq!(found[..4], expected[..4], "{period}");
                assert!((found[4] - expected[4]).abs() < 1e-6, "{found:?} {expected:?}");
                // Days since the last purchase, number of purchases, total value; then their
                // scores.
                assert_eq!((found[5], found[6]), (scores[3], scores[1]));
                assert!((found[7] - scores[2]).abs() < 1e-9);
                let of_reference = [0, 2, 4].map(|measure| scores[first_score + measure]);
                assert_eq!(found[8..11], of_reference, "customer {} {ties}", found[0]);
            }
        }
    }
}

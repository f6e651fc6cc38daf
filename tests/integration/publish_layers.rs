//! Tests of layer tables that are published by themselves, read by an outside program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::postgres_server::{PASSWORD, Server, binary};
use crate::publish_forms::ask;
use crate::publish_support::{LAYERS, Small, id};
use crate::servers::RedisServer;
use crate::support::{fails, json as read_json, ok, ok_json, text};

/// The layer and the consent of every user of a night; users who are absent have none.
type Night = BTreeMap<String, Option<(String, bool)>>;

/// The users of two plans and of three nights: 500 users. Some move, come, leave and withdraw
/// consent.
struct Nights {
    small: Small,
    redis: RedisServer,
    postgres: Server,
}

impl Nights {
    fn start() -> Self {
        Self {
            small: Small::new("ramp", "sluice"),
            redis: RedisServer::start(&[]),
            postgres: Server::start(),
        }
    }

    /// Writes the layer table of a night, with the changes since the last one if it is named.
    fn table(&self, night: usize, leave: bool, since: Option<&Path>) -> (PathBuf, Night) {
        let mut csv = String::from("user_id,segment,is_allow_gray\n");
        let mut users = Night::new();
        for n in 0..500 + 10 * night {
            let user = id(n);
            if leave && n % 50 == night {
                users.insert(user, None);
                continue;
            }
            // A fiftieth of the users move each night.
            let layer = LAYERS[(n + (0..=night).filter(|night| n % 50 == 10 + night).count()) % 4];
            let consents = n % 10 != 3 && n % 50 != 20 + night;
            writeln!(csv, "{user},{layer},{consents}").unwrap();
            users.insert(user, Some((layer.to_owned(), consents)));
        }
        let path = |name: &str| self.small.dir.path().join(format!("{night}-{name}"));
        let (input, table, changes) = (path("users.csv"), path("layers.parquet"), path("changes.parquet"));
        fs::write(&input, csv).unwrap();
        let mut args = vec![
            "layer",
            "--users",
            text(&input),
            "--config",
            text(&self.small.scenario),
        ];
        args.extend(["--out", text(&table)]);
        if let Some(since) = since {
            args.extend(["--previous", text(since), "--changes", text(&changes)]);
        }
        ok(&args);
        (table, users)
    }

    fn args<'a>(&self, what: &'a Path, to: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec!["publish", text(what), "--json"];
        to.iter().for_each(|to| args.extend(["--to", to.as_str()]));
        args.extend(more);
        args
    }

    fn stores(&self) -> Vec<String> {
        vec![self.redis.url(), self.postgres.url()]
    }

    /// Publishes to both stores. Returns the outcomes and the numbers of users written and gone.
    fn publish(&self, what: &Path, more: &[&str]) -> Vec<(String, Option<(u64, u64)>)> {
        let to = self.stores();
        let report = ok_json(&self.args(what, &to, more));
        let of = |target: &Value| {
            let users = target["users"].as_object();
            let number = |users: &serde_json::Map<String, Value>, name: &str| users[name].as_u64().unwrap();
            (
                target["outcome"].as_str().unwrap().to_owned(),
                users.map(|users| (number(users, "n_written"), number(users, "n_gone"))),
            )
        };
        report["targets"].as_array().unwrap().iter().map(of).collect()
    }

    /// Asserts what an outside program reads under a plan in both stores.
    fn assert_read(&self, plan: &str, expected: &Night) {
        let users: Vec<&String> = expected.keys().collect();
        let question = json!({
            "redis": self.redis.port, "plan": plan, "users": users,
            "postgres": {"psql": binary("psql"), "port": self.postgres.port, "password": PASSWORD},
        });
        let found = ask("python3", "layers.py", &["python"], &question);
        let expected = serde_json::to_value(expected).unwrap();
        for store in ["redis", "postgres"] {
            assert_eq!(found[store], expected, "{store} {plan}");
        }
    }
}

fn applied(written: u64, gone: u64) -> (String, Option<(u64, u64)>) {
    ("applied".into(), Some((written, gone)))
}

#[test]
fn layers_of_the_night_lie_beside_the_frozen_table_of_a_plan() {
    let nights = Nights::start();
    let (first, frozen) = nights.table(0, false, None);
    let study = nights.small.study("study", &first, [0.5, 0.1, 0.0, 0.2], 0);
    nights.publish(&study, &[]);
    assert_eq!(nights.publish(&first, &[]), [applied(500, 0), applied(500, 0)]);
    assert!(
        nights
            .publish(&first, &[])
            .iter()
            .all(|(outcome, _)| outcome == "unchanged")
    );
    nights.assert_read("layers:layers", &frozen);

    // The second night, from the table of the first one: users move, come, leave and withdraw.
    let (second, moved) = nights.table(1, true, Some(&first));
    let changed = |before: &Night, after: &Night| {
        let is_changed =
            |(user, now): &(&String, &Option<_>)| now.is_some() && before.get(*user) != Some(*now);
        after.iter().filter(is_changed).count() as u64
    };
    let is_gone = |(user, now): &(&String, &Option<_>)| now.is_none() && frozen.contains_key(*user);
    let n_gone = moved.iter().filter(is_gone).count() as u64;
    let n_changed = changed(&frozen, &moved);
    assert!(n_gone > 5 && n_changed > 20 && n_changed < 60);
    let written = nights.publish(&second, &["--previous", text(&first)]);
    assert_eq!(written, [applied(n_changed, n_gone), applied(n_changed, 0)]);
    nights.assert_read("layers:layers", &moved);
    nights.assert_read("ramp", &frozen);
    let again = nights.publish(&second, &["--previous", text(&first), "--verify"]);
    assert!(
        again.iter().all(|(outcome, _)| outcome == "unchanged"),
        "{again:?}"
    );
    // A copy of the file is the same table.
    let copy = nights.small.dir.path().join("copy.parquet");
    fs::write(&copy, fs::read(&second).unwrap()).unwrap();
    assert!(
        nights
            .publish(&copy, &[])
            .iter()
            .all(|(outcome, _)| outcome == "unchanged")
    );

    // The third night comes back to all users, by its file of changes.
    let (third, last) = nights.table(2, false, Some(&second));
    let changes = nights.small.dir.path().join("2-changes.parquet");
    let n_changed = changed(&moved, &last);
    let written = nights.publish(&third, &["--changes", text(&changes)]);
    assert_eq!(written, [applied(n_changed, 0), applied(n_changed, 0)]);
    nights.assert_read("layers:layers", &last);
    nights.assert_read("ramp", &frozen);
    let again = nights.publish(&third, &["--changes", text(&changes)]);
    assert!(
        again.iter().all(|(outcome, _)| outcome == "unchanged"),
        "{again:?}"
    );

    // Another name is another table, and changes need their base.
    let to = nights.stores();
    let other = nights.args(&third, &to, &["--changes", text(&changes), "--name", "other"]);
    let message = fails(&other, 4);
    assert!(
        message.contains("the layer table that the changes start from")
            && message.contains("without --changes"),
        "{message}"
    );
    nights.publish(&first, &["--name", "other"]);
    nights.assert_read("layers:other", &frozen);
    nights.assert_read("layers:layers", &last);
    let message = fails(&nights.args(&second, &to, &["--changes", text(&changes)]), 3);
    assert!(
        message.contains("expected changes that lead to the table"),
        "{message}"
    );
    // The next publication of the plan leaves the layers of the night as they are.
    nights.publish(&study, &["--all-users"]);
    nights.assert_read("ramp", &frozen);
    nights.assert_read("layers:layers", &last);
}

#[test]
fn layers_of_a_night_in_which_users_left_are_whole_in_postgres() {
    let nights = Nights::start();
    let (first, before) = nights.table(0, false, None);
    nights.publish(&first, &[]);
    let (second, after) = nights.table(1, true, Some(&first));
    let changes = nights.small.dir.path().join("1-changes.parquet");
    let written = nights.publish(&second, &["--changes", text(&changes)]);
    let n_users = after.values().flatten().count() as u64;
    assert_eq!(written[1], applied(n_users, 0), "the whole table");
    // In Redis, users who left keep their entries until they expire.
    let until_then: Night = after
        .iter()
        .map(|(user, now)| {
            (
                user.clone(),
                now.clone().or_else(|| before.get(user).cloned().flatten()),
            )
        })
        .collect();
    let users: Vec<&String> = after.keys().collect();
    let question = json!({
        "redis": nights.redis.port, "plan": "layers:layers", "users": users,
        "postgres": {"psql": binary("psql"), "port": nights.postgres.port, "password": PASSWORD},
    });
    let found = ask("python3", "layers.py", &["python"], &question);
    assert_eq!(found["redis"], serde_json::to_value(until_then).unwrap());
    assert_eq!(found["postgres"], serde_json::to_value(after).unwrap());
}

#[test]
fn a_layer_table_goes_where_it_can_be_read() {
    let nights = Nights::start();
    let (table, _) = nights.table(0, false, None);
    let folder = nights.small.dir.path().join("releases");
    let flags = format!("flagd:{}", text(&nights.small.dir.path().join("flags.json")));
    let harness = format!("{}?profile=harness-v1", nights.redis.url());
    ok(&["publish", text(&table), "--to", text(&folder)]);
    let pointer = read_json(&folder.join("layers:layers/current.json"));
    assert_eq!(pointer["publication"]["schema"], "sluice.layers/1");
    let version = folder
        .join("layers:layers")
        .join(pointer["folder"].as_str().unwrap());
    assert_eq!(
        fs::read(version.join("layers.parquet")).unwrap(),
        fs::read(&table).unwrap()
    );
    let status = ok(&["publish", text(&table), "--status", "--to", text(&folder)]);
    assert!(
        status.contains("plan layers:layers") && status.contains("blake3:"),
        "{status}"
    );
    for to in [&flags, &harness] {
        let message = fails(&["publish", text(&table), "--to", to], 4);
        assert!(message.contains("takes a layer table by itself"), "{message}");
    }
    for (more, expected) in [
        (["--name", "user"], "other than `user`"),
        (["--name", "a:b"], "expected a name"),
        (["--layers", text(&table)], "expected a folder with schedule.json"),
    ] {
        let message = fails(
            &[&["publish", text(&table), "--to", text(&folder)][..], &more].concat(),
            2,
        );
        assert!(message.contains(expected), "{message}");
    }
}

//! The entry point of the fuzz target `redis`: everything that Sluice reads from answers of a server.

use redis::{FromRedisValue, parse_redis_value};
use std::collections::BTreeMap;
use std::str;

use crate::publish::options::Options;
use crate::publish::publication::Publication;
use crate::publish::redis::context::eviction_policy;
use crate::publish::redis::generations::{NextUsers, Writing, next_generation};
use crate::publish::redis::harness;
use crate::publish::redis::keys::{PlanKeys, write_value};
use crate::publish::redis::lock::other_holders;
use crate::publish::redis::users::values_of;
use crate::publish::redis::version::{Current, Generation};

const ADDRESS: &str = "redis://fuzz";

/// Reads bytes of the wire protocol as the answer to each of Sluice's commands.
pub(crate) fn answer(bytes: &[u8]) {
    let Ok(value) = parse_redis_value(bytes) else {
        return;
    };
    for n_keys in 0..4 {
        let found = values_of(vec![value.clone()], n_keys, ADDRESS).unwrap_or_default();
        for bytes in found.iter().flatten() {
            let _ = str::from_utf8(bytes).map(user);
        }
    }
    let Ok(value) = value.extract_error() else {
        return;
    };
    let _ = i64::from_redis_value(value.clone());
    let _ = <(u64, Vec<Vec<u8>>)>::from_redis_value(value.clone());
    if let Ok(Some(text)) = Option::<String>::from_redis_value(value.clone()) {
        user(&text);
        writing(&text);
        let _ = eviction_policy(&text);
        let _ = other_holders(&text, &PlanKeys::new("p").lock(), "mine", 0);
    }
    if let Ok(fields) = BTreeMap::from_redis_value(value) {
        hash(&fields);
    }
}

/// The value of a user's key. What is kept of it when a new entry is written must be read as before.
fn user(text: &str) {
    for since in 0..4 {
        let in_force = Generation { generation: 7, since };
        let Some(found) = in_force.assignment(text) else {
            continue;
        };
        let mut out = Vec::new();
        write_value(&mut out, 8, found, Some((7, found)));
        let again = str::from_utf8(&out).unwrap_or_default();
        assert_eq!(in_force.assignment(again), Some(found), "{again}");
    }
}

/// The record of a table that is being written.
fn writing(text: &str) {
    let Some(left) = Writing::parse(text) else {
        return;
    };
    assert_eq!(Writing::parse(&left.to_text()).as_ref(), Some(&left));
    rises(Generation::full(1), Some(&left), "another");
    rises(Generation::full(1), Some(&left), &left.layers_digest);
}

/// The generation to write must be above the one in force.
fn rises(in_force: Generation, left: Option<&Writing>, digest: &str) {
    for only_changed in [false, true] {
        let next = next_generation(in_force, left, digest, only_changed);
        assert!(next.since <= next.generation, "{in_force:?} {next:?}");
        assert!(next.generation > in_force.generation, "{in_force:?} {next:?}");
    }
}

/// The hash of a version, and the record of profile `harness-v1`.
fn hash(fields: &BTreeMap<String, String>) {
    if let Ok(current) = Current::from_fields("v.1".to_owned(), "key", fields, ADDRESS) {
        let next = NextUsers::from_current(Some(&current));
        let in_force = Generation {
            generation: next.generation,
            since: next.since,
        };
        rises(in_force, None, "");
        publication(&current.publication);
    }
    if let Ok(Some(current)) = harness::Current::from_fields("key", fields, ADDRESS) {
        publication(&current.publication);
    }
}

fn publication(found: &Publication) {
    let mut options = Options::at(0);
    options.rollback = true;
    let back = found.rolled_back(0).over(Some(found), &options);
    assert!(!back.is_open());
    let _ = (found.tenants(), found.platform(), found.flag_key());
}

//! Scores of users from Arrow arrays, with some values missing.

use crate::{random, share};
use arrow_array::{BooleanArray, Float64Array, StringArray};
use criterion::{Criterion, Throughput};
use sluice::base::time::DAY;
use sluice::input::UserBatch;
use sluice::layer::Kernel;
use sluice::scenario::{Overrides, Scenario};
use std::hint::black_box;
use std::path::Path;

const N_USERS: usize = 1 << 16;

/// Users; a share of them lacks each feature.
fn users(missing: f64) -> UserBatch {
    let words = random(N_USERS * 4);
    let ids: StringArray = (0..N_USERS).map(|idx| Some(format!("user-{idx}"))).collect();
    let feature = |column: usize, scale: f64| -> Option<Float64Array> {
        let values = &words[column * N_USERS..][..N_USERS];
        Some(
            values
                .iter()
                .map(|word| (share(word.rotate_left(32)) >= missing).then(|| (share(*word) * scale).floor()))
                .collect(),
        )
    };
    let consent: BooleanArray = words[..N_USERS].iter().map(|word| Some(word & 1 == 1)).collect();
    UserBatch {
        last_use_secs: feature(0, 30.0 * 86_400.0),
        use_count: feature(1, 120.0),
        user_value: feature(2, 1e5),
        accept_score: feature(3, 10.0),
        is_allow_gray: Some(consent),
        ..UserBatch::from_ids(ids, None)
    }
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let text = include_str!("../../scenarios/ecommerce.toml");
    let scenario = Scenario::parse(text, "ecommerce.toml", Path::new(""), &Overrides::default()).unwrap();
    let kernel = Kernel::new(&scenario.layering, &scenario.plan, 30 * DAY);
    let mut group = criterion.benchmark_group("score");
    group.throughput(Throughput::Elements(N_USERS as u64));
    for (name, missing) in [
        ("64k_users_0_percent_missing", 0.0),
        ("64k_users_10_percent_missing", 0.1),
    ] {
        let users = [users(missing)];
        group.bench_function(name, |bencher| {
            bencher.iter(|| kernel.score_batches(black_box(&users)));
        });
    }
    group.finish();
}

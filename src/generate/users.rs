//! Generates users. Activity and value are skewed: a few users have most of both.

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp, LogNormal, Normal};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::time::{DAY, SECOND};
use crate::base::{files, parallel, parquet_io};
use crate::generate::ecommerce::{Stream, stream};
use crate::scenario::Scenario;

const CHUNK: u64 = 65_536;
/// The share of users who are employees, marked by `user_type = "internal"`.
const INTERNAL: f64 = 0.005;
/// The share of customers who allow gray release.
const CONSENT: f64 = 0.97;
/// The share of customers without any known feature.
const UNKNOWN: f64 = 0.006;

/// The id of the user with this index.
pub(super) fn user_id(user: u64) -> String {
    format!("u{user:08}")
}

/// Writes the table of users.
pub(super) fn write(n_users: u64, scenario: &Scenario, path: &Path, progress: &Progress) -> Result<()> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("user_id", DataType::Utf8, false),
        Field::new(
            "last_use_time",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
        Field::new("use_count", DataType::Int64, true),
        Field::new("user_value", DataType::Float64, true),
        Field::new("accept_score", DataType::Float64, true),
        Field::new("is_allow_gray", DataType::Boolean, false),
        Field::new("user_type", DataType::Utf8, false),
    ]));
    let bar = progress.rows("generate", Some(n_users));
    files::write_file(path, |file| {
        let mut writer = parquet_io::BatchWriter::new(path, file, &schema)?;
        let n_chunks = n_users.div_ceil(CHUNK) as usize;
        parallel::map_in_order(
            n_chunks,
            |chunk| {
                let start = chunk as u64 * CHUNK;
                let n = (n_users - start).min(CHUNK);
                let columns = columns(
                    start,
                    n,
                    scenario,
                    &mut stream(scenario.seed, Stream::Users, 0, chunk as u64),
                )?;
                bar.advance(n);
                Ok(parquet_io::batch(&schema, columns))
            },
            |_, batch| writer.write(&batch),
        )?;
        writer.finish()
    })
}

fn columns(start: u64, n: u64, scenario: &Scenario, rng: &mut ChaCha8Rng) -> Result<Vec<ArrayRef>> {
    let bad =
        |error: &dyn std::fmt::Display| Error::usage(format!("expected legal distributions, found: {error}"));
    let days_ago = Exp::new(1.0 / 5.0).map_err(|e| bad(&e))?;
    let uses = LogNormal::new(2.2, 1.1).map_err(|e| bad(&e))?;
    let value = LogNormal::new(8.2, 1.4).map_err(|e| bad(&e))?;
    let accept = Normal::new(6.0, 2.0).map_err(|e| bad(&e))?;
    let reference = scenario.plan.start;
    let (mut last_use, mut use_count, mut user_value, mut accept_score) = (vec![], vec![], vec![], vec![]);
    let (mut allow, mut user_type) = (vec![], vec![]);
    for _ in 0..n {
        let internal = rng.random_bool(INTERNAL);
        let known = internal || !rng.random_bool(UNKNOWN);
        let days: f64 = days_ago.sample(rng);
        // Real tables have whole seconds, money in cents, and acceptance in halves.
        last_use.push(known.then_some(reference - ((days * DAY as f64) as i64 / SECOND) * SECOND));
        let count: f64 = uses.sample(rng);
        use_count.push(known.then_some(count.min(10_000.0) as i64));
        let yuan: f64 = value.sample(rng);
        user_value.push(known.then_some((yuan * 100.0).round() / 100.0));
        let score: f64 = accept.sample(rng);
        accept_score.push(known.then_some((score.clamp(0.0, 10.0) * 2.0).round() / 2.0));
        allow.push(internal | rng.random_bool(CONSENT));
        user_type.push(if internal { "internal" } else { "customer" });
        // One unused draw per user, so that a later column does not shift the others.
        rng.next_u32();
    }
    Ok(vec![
        Arc::new(StringArray::from_iter_values((start..start + n).map(user_id))),
        Arc::new(TimestampMicrosecondArray::from(last_use).with_timezone("UTC")),
        Arc::new(Int64Array::from(use_count)),
        Arc::new(Float64Array::from(user_value)),
        Arc::new(Float64Array::from(accept_score)),
        Arc::new(BooleanArray::from(allow)),
        Arc::new(StringArray::from(user_type)),
    ])
}

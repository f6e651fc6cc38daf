//! Generates traffic, one file per local day. The users' layers and buckets and the plan's ratio
//! history decide which release answers each turn.

use arrow_array::builder::{StringBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal, Poisson};
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::time::{DAY, HOUR, Micros, Zone};
use crate::base::{files, parallel, parquet_io, time};
use crate::generate::ecommerce::{Behavior, Stream, Truth, stream, truth};
use crate::layer::{DEFAULT_TENANT, Layers};
use crate::scenario::{Generate, Plan, Scenario, Stage, stages_of};

/// The number of users per chunk. A chunk's turns of one day are one row group.
const CHUNK: usize = 16_384;
/// The standard deviation of the logarithm of a user's activity.
const ACTIVITY_SIGMA: f64 = 0.9;
/// The largest difference between a user's completion rate and the average.
const USER_SPREAD: f64 = 0.08;
/// The share of turns that are rated. The shares surveyed for CSAT and for NPS follow.
const RATED: f64 = 0.4;
const CSAT: f64 = 0.2;
const NPS: f64 = 0.05;
/// The relative traffic of each hour of the customers' day.
const HOURS: [f64; 24] = [
    5., 3., 2., 1.5, 1.5, 2., 4., 7., 9., 11., 12., 10., 8., 10., 12., 13., 12., 11., 10., 11., 13., 14.,
    13., 9.,
];
/// The hour of the customers' day at 00:00 UTC, for a scenario without a time zone: the shop is in
/// China.
const HOUR_AT_UTC_MIDNIGHT: usize = 8;
const FEATURES: [&str; 3] = ["order", "refund", "presale"];
/// The price of an input token, in nano-USD. The price of an output token follows.
const PRICE_IN: f64 = 150.0;
const PRICE_OUT: f64 = 600.0;

/// Writes the log. Returns its number of turns.
pub(super) fn write(
    spec: &Generate,
    scenario: &Scenario,
    layers: &Layers,
    folder: &Path,
    progress: &Progress,
) -> Result<u64> {
    let (plan, zone) = (&scenario.plan, &scenario.time_zone);
    let model = Model {
        plan,
        layers,
        truth: truth(plan, spec),
        stages: (0..plan.layers.len())
            .map(|idx| stages_of(plan, DEFAULT_TENANT, idx, spec.until))
            .collect(),
        seed: scenario.seed,
        turns_per_user_day: spec.n_turns as f64
            / spec.n_users as f64
            / ((spec.until - plan.start) as f64 / DAY as f64).max(1e-9),
    };
    let schema = Arc::new(schema());
    let bar = progress.rows("generate", Some(spec.n_turns));
    let mut n_turns = 0;
    let mut start = plan.start;
    while start < spec.until {
        let day = Day::new(plan, zone, start, spec.until);
        let date = time::format_day(day.number);
        let path = folder.join(format!("dt={date}/part-0.parquet"));
        files::write_file(&path, |file| {
            let mut writer = parquet_io::BatchWriter::new(&path, file, &schema)?;
            parallel::map_in_order(
                layers.n_users().div_ceil(CHUNK),
                |chunk| {
                    let turns = model.day(chunk, &day)?;
                    bar.advance(turns.len() as u64);
                    Ok((
                        turns.len() as u64,
                        parquet_io::batch(&schema, model.columns(&turns, day.number)),
                    ))
                },
                |_, (n, batch)| {
                    n_turns += n;
                    writer.write(&batch)
                },
            )?;
            writer.finish()
        })?;
        start = day.end;
    }
    Ok(n_turns)
}

/// A local day, or the part of it in which there is traffic.
struct Day {
    /// The number of days since 1970-01-01.
    number: i64,
    /// The number of days since the plan's start, from 1.
    of_plan: u64,
    /// The first instant of the whole day.
    midnight: Micros,
    /// Relative traffic of each hour since midnight: 23 or 25 hours when clocks change.
    hours: Vec<f64>,
    start: Micros,
    end: Micros,
}

impl Day {
    /// The day that contains `start`, from there to its end or to `until`.
    fn new(plan: &Plan, zone: &Zone, start: Micros, until: Micros) -> Self {
        let number = zone.day(start);
        let (midnight, next) = (zone.day_start(number), zone.day_start(number + 1));
        let shift = if zone.is_utc() { HOUR_AT_UTC_MIDNIGHT } else { 0 };
        let n_hours = (next - midnight + HOUR - 1) / HOUR;
        let weight = |hour: i64| HOURS[(zone.hour_of_week(midnight + hour * HOUR) + shift) % 24];
        Self {
            number,
            of_plan: (zone.wall(start) - zone.wall(plan.start)).div_euclid(DAY) as u64 + 1,
            midnight,
            hours: (0..n_hours).map(weight).collect(),
            start,
            end: next.min(until),
        }
    }
}

/// The inputs of generated traffic.
struct Model<'a> {
    plan: &'a Plan,
    layers: &'a Layers,
    truth: Truth,
    stages: Vec<Vec<Stage>>,
    seed: u64,
    turns_per_user_day: f64,
}

/// One turn of a user.
struct Turn {
    at: Micros,
    user: usize,
    trace: u64,
    is_candidate: bool,
    feature: usize,
    success: bool,
    latency_ms: f64,
    tool_calls: i64,
    tool_successes: i64,
    task_completed: bool,
    bad: Option<bool>,
    complaint: bool,
    nps: Option<f64>,
    csat: Option<f64>,
    escalated: bool,
    refused: bool,
    tokens_in: i64,
    tokens_out: i64,
}

impl Model<'_> {
    /// Generates the turns of a chunk of users on a day, in time order.
    fn day(&self, chunk: usize, day: &Day) -> Result<Vec<Turn>> {
        let illegal = |error: &dyn std::fmt::Display| {
            Error::usage(format!("expected legal distributions, found: {error}"))
        };
        let mut traits = stream(self.seed, Stream::Traits, 0, chunk as u64);
        let mut rng = stream(self.seed, Stream::Turns, day.of_plan, chunk as u64);
        // The mean is 1, so that the expected number of turns equals the scenario's `n_turns`.
        let activity = LogNormal::new(-0.5 * ACTIVITY_SIGMA * ACTIVITY_SIGMA, ACTIVITY_SIGMA)
            .map_err(|e| illegal(&e))?;
        let mut turns = Vec::new();
        for user in chunk * CHUNK..((chunk + 1) * CHUNK).min(self.layers.n_users()) {
            let mean: f64 =
                self.turns_per_user_day * activity.sample(&mut traits) * (day.end - day.start) as f64
                    / DAY as f64;
            let shift = traits.random_range(-USER_SPREAD..USER_SPREAD);
            let n: f64 = Poisson::new(mean.max(1e-12))
                .map_err(|e| illegal(&e))?
                .sample(&mut rng);
            let bucket = self.plan.profile.bucket(self.layers.user_id(user));
            let layer = usize::from(self.layers.layer[user]);
            for _ in 0..n as u64 {
                let at = instant(day, &mut rng);
                let stages = &self.stages[layer];
                let ratio = stages[stages
                    .partition_point(|stage| stage.start <= at)
                    .saturating_sub(1)]
                .ratio;
                let is_candidate = self.layers.eligible[user] && ratio.reaches(bucket);
                let behavior = self.truth.behavior(layer, is_candidate, at);
                turns.push(turn(user, at, is_candidate, behavior, shift, &mut rng).map_err(|e| illegal(&e))?);
            }
        }
        turns.sort_by_key(|turn| turn.at);
        Ok(turns)
    }

    fn columns(&self, turns: &[Turn], day: i64) -> Vec<ArrayRef> {
        let (mut users, mut traces, mut sessions) =
            (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
        let mut releases = StringDictionaryBuilder::<Int32Type>::new();
        let mut features = StringDictionaryBuilder::<Int32Type>::new();
        let mut layers = StringDictionaryBuilder::<Int32Type>::new();
        for turn in turns {
            let id = self.layers.user_id(turn.user);
            users.append_value(id);
            traces.append_value(format!("{:016x}", turn.trace));
            sessions.append_value(format!("{id}-{day}"));
            releases.append_value(if turn.is_candidate {
                &self.plan.candidate
            } else {
                &self.plan.baseline
            });
            features.append_value(FEATURES[turn.feature]);
            layers.append_value(&self.plan.layers[usize::from(self.layers.layer[turn.user])].id);
        }
        let times = turns.iter().map(|t| t.at);
        let flags = |f: fn(&Turn) -> bool| -> ArrayRef {
            Arc::new(turns.iter().map(|t| Some(f(t))).collect::<BooleanArray>())
        };
        let maybe_reals = |f: fn(&Turn) -> Option<f64>| -> ArrayRef {
            Arc::new(turns.iter().map(f).collect::<Float64Array>())
        };
        let counts =
            |f: fn(&Turn) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(turns.iter().map(f))) };
        vec![
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
            Arc::new(users.finish()),
            Arc::new(releases.finish()),
            Arc::new(traces.finish()),
            Arc::new(sessions.finish()),
            Arc::new(features.finish()),
            Arc::new(layers.finish()),
            flags(|t| t.success),
            maybe_reals(|t| Some(t.latency_ms)),
            counts(|t| t.tool_calls),
            counts(|t| t.tool_successes),
            flags(|t| t.task_completed),
            Arc::new(turns.iter().map(|t| t.bad).collect::<BooleanArray>()),
            flags(|t| t.complaint),
            maybe_reals(|t| t.nps),
            maybe_reals(|t| t.csat),
            flags(|t| t.escalated),
            flags(|t| t.refused),
            flags(|_| false),
            counts(|t| t.tokens_in),
            counts(|t| t.tokens_out),
            maybe_reals(|t| Some((t.tokens_in as f64 * PRICE_IN + t.tokens_out as f64 * PRICE_OUT) / 1e9)),
        ]
    }
}

/// Draws an instant of a day, by the relative traffic of its hours.
fn instant(day: &Day, rng: &mut ChaCha8Rng) -> Micros {
    loop {
        let mut weight = rng.random_range(0.0..day.hours.iter().sum::<f64>());
        let mut hour = 0;
        while hour + 1 < day.hours.len() && weight >= day.hours[hour] {
            weight -= day.hours[hour];
            hour += 1;
        }
        // Logs have times in milliseconds.
        let at = day.midnight + hour as i64 * HOUR + rng.random_range(0..HOUR / 1_000) * 1_000;
        if (day.start..day.end).contains(&at) {
            return at;
        }
    }
}

/// Draws one turn. `shift` is the user's difference from the average completion rate.
fn turn(
    user: usize,
    at: Micros,
    is_candidate: bool,
    behavior: &Behavior,
    shift: f64,
    rng: &mut ChaCha8Rng,
) -> std::result::Result<Turn, rand_distr::NormalError> {
    const LATENCY_SIGMA: f64 = 0.5;
    let latency = LogNormal::new(
        behavior.latency_ms.ln() - 0.5 * LATENCY_SIGMA * LATENCY_SIGMA,
        LATENCY_SIGMA,
    )?;
    let tokens = LogNormal::new(-0.02, 0.2)?;
    let success = rng.random_bool(behavior.availability);
    let task_completed = rng.random_bool((behavior.task_completion_rate + shift).clamp(0.0, 1.0));
    let tool_calls = rng.random_range(0..4);
    let tool_successes = (0..tool_calls)
        .filter(|_| rng.random_bool(behavior.tool_success_rate))
        .count() as i64;
    let bad = rng.random_bool(RATED).then(|| rng.random_bool(behavior.bad_rate));
    let complaint = rng.random_bool(behavior.complaint_rate);
    let mood = f64::from(u8::from(task_completed));
    let csat = rng
        .random_bool(CSAT)
        .then(|| (2.0 + 2.0 * mood + rng.random_range(0..2) as f64).min(5.0));
    let nps = rng
        .random_bool(NPS)
        .then(|| 4.0 + 3.0 * mood + rng.random_range(0..4) as f64);
    let ms: f64 = latency.sample(rng);
    let length: f64 = tokens.sample(rng);
    Ok(Turn {
        at,
        user,
        trace: rng.random(),
        is_candidate,
        feature: rng.random_range(0..FEATURES.len()),
        success,
        latency_ms: (ms * 10.0).round() / 10.0,
        tool_calls,
        tool_successes,
        task_completed,
        bad,
        complaint,
        nps,
        csat,
        escalated: !task_completed && rng.random_bool(0.3),
        refused: rng.random_bool(0.01),
        tokens_in: (behavior.tokens_in * length).round() as i64,
        tokens_out: (behavior.tokens_out * length).round() as i64,
    })
}

fn schema() -> Schema {
    let dictionary = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Schema::new(vec![
        field(
            "event_time",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ),
        field("user_id", DataType::Utf8),
        field("release_id", dictionary()),
        field("trace_id", DataType::Utf8),
        field("session_id", DataType::Utf8),
        field("feature", dictionary()),
        field("layer", dictionary()),
        field("success", DataType::Boolean),
        field("latency_ms", DataType::Float64),
        field("tool_calls", DataType::Int64),
        field("tool_successes", DataType::Int64),
        field("task_completed", DataType::Boolean),
        field("bad", DataType::Boolean),
        field("complaint", DataType::Boolean),
        field("nps", DataType::Float64),
        field("csat", DataType::Float64),
        field("escalated", DataType::Boolean),
        field("refused", DataType::Boolean),
        field("incident", DataType::Boolean),
        field("tokens_in", DataType::Int64),
        field("tokens_out", DataType::Int64),
        field("cost_usd", DataType::Float64),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Overrides;

    #[test]
    fn days_and_hours_are_those_of_the_zone() {
        let check = |zone: &str, start: &str, days: &[(&str, &str, usize, f64)]| {
            let text = format!(
                "time_zone = \"{zone}\"\nas_of = \"{start}\"\n\
                 plan = {{ id = \"p\", start = \"{start}\", baseline = \"a\", candidate = \"b\" }}\n\
                 input = {{ users_from_traffic = true, traffic = [{{ path = \"t.csv\" }}] }}\n\
                 layer = [{{ id = \"all\" }}]\n"
            );
            let scenario = Scenario::parse(&text, "t", Path::new(""), &Overrides::default()).unwrap();
            let (mut at, mut of_plan) = (scenario.plan.start, 0);
            for (date, start, n_hours, first) in days {
                let day = Day::new(&scenario.plan, &scenario.time_zone, at, Micros::MAX);
                assert_eq!(
                    (time::format_day(day.number), time::format(day.start)),
                    ((*date).to_owned(), (*start).to_owned())
                );
                assert!(day.of_plan > of_plan, "each day has its own random stream");
                of_plan = day.of_plan;
                assert_eq!(
                    (day.hours.len(), day.hours[0]),
                    (*n_hours, *first),
                    "{zone} {date}"
                );
                let mut rng = stream(1, Stream::Turns, of_plan, 0);
                assert!((0..1_000).all(|_| (day.start..day.end).contains(&instant(&day, &mut rng))));
                at = day.end;
            }
        };
        check(
            "America/New_York",
            "2026-03-07",
            &[
                ("2026-03-07", "2026-03-07T05:00:00Z", 24, 5.0),
                ("2026-03-08", "2026-03-08T05:00:00Z", 23, 5.0),
                ("2026-03-09", "2026-03-09T04:00:00Z", 24, 5.0),
            ],
        );
        check(
            "America/New_York",
            "2026-11-01",
            &[
                ("2026-11-01", "2026-11-01T04:00:00Z", 25, 5.0),
                ("2026-11-02", "2026-11-02T05:00:00Z", 24, 5.0),
            ],
        );
        check(
            "Pacific/Apia",
            "2011-12-29",
            &[
                ("2011-12-29", "2011-12-29T10:00:00Z", 24, 5.0),
                ("2011-12-31", "2011-12-30T10:00:00Z", 24, 5.0),
            ],
        );
        // Without a zone, the customers are 8 hours ahead of the log's days.
        check(
            "UTC",
            "2026-05-25",
            &[
                ("2026-05-25", "2026-05-25T00:00:00Z", 24, 9.0),
                ("2026-05-26", "2026-05-26T00:00:00Z", 24, 9.0),
            ],
        );
    }
}

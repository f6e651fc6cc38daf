//! Features from events: the same as those of a plain computation, from any format, in the order of
//! the users' first rows.

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use sluice::base::error::Error;
use sluice::base::progress::Progress;
use sluice::base::time::{DAY, Micros, Zone, format};
use sluice::input::{EventOptions, EventSummary, UserFeatures, open_events, read_events};
use sluice::scenario::{Events, OnBadRow, Source};

const AS_OF: Micros = 20_000 * DAY;
/// The end of the events that the sums by day have.
const UNTIL: Micros = AS_OF + 3 * DAY;

/// A row of a log: user, tenant, instant and value.
#[derive(Debug, Clone)]
struct Row {
    user: String,
    tenant: Option<&'static str>,
    at: Micros,
    value: Option<f64>,
}

/// A fixed sequence of numbers that look random.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % n
    }
}

/// Rows with short and long ids, several tenants, days far apart and users with many days.
fn rows(n: usize) -> Vec<Row> {
    let mut draws = Draws(7);
    let mut row = || {
        let user = draws.below(60) * draws.below(5);
        let far = if draws.below(20) == 0 { 70_000 } else { 0 };
        let days = (draws.below(40) * draws.below(20) + far) as i64;
        Row {
            user: match user % 3 {
                0 => user.to_string(),
                1 => format!("user-{user:012}"),
                _ => format!("ü{user}"),
            },
            tenant: [
                None,
                Some(""),
                Some("default"),
                Some("t1"),
                Some("another tenant"),
            ][draws.below(5) as usize],
            at: AS_OF + 4 * DAY - days * DAY - draws.below(DAY as u64) as i64,
            value: (draws.below(9) > 0).then(|| draws.below(1_000_000) as f64 / 100.0 - 2_000.0),
        }
    };
    (0..n).map(|_| row()).collect()
}

fn write_csv(path: &Path, rows: &[Row], has_tenants: bool) {
    let mut text = String::from(if has_tenants {
        "user_id,event_time,value,tenant_id\n"
    } else {
        "user_id,event_time,value\n"
    });
    for row in rows {
        let value = row.value.map_or_else(String::new, |value| value.to_string());
        write!(text, "{},{},{value}", row.user, format(row.at)).unwrap();
        if has_tenants {
            write!(text, ",{}", row.tenant.unwrap_or_default()).unwrap();
        }
        text.push('\n');
    }
    fs::write(path, text).unwrap();
}

/// Writes row groups of 700 rows, so that several threads have work.
fn write_parquet(path: &Path, rows: &[Row], has_tenants: bool) {
    let users: StringArray = rows.iter().map(|row| Some(row.user.as_str())).collect();
    let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.at)).collect();
    let values: Float64Array = rows.iter().map(|row| row.value).collect();
    let tenants: StringArray = rows.iter().map(|row| row.tenant).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("user_id", Arc::new(users)),
        ("event_time", Arc::new(times)),
        ("value", Arc::new(values)),
    ];
    if has_tenants {
        columns.push(("tenant_id", Arc::new(tenants)));
    }
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(700))
        .build();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn read(path: &Path, threads: usize) -> Result<(UserFeatures, EventSummary), Error> {
    let events = Events {
        source: Source::at(path),
        use_window: 30 * DAY,
        value_window: 365 * DAY,
    };
    let options = EventOptions {
        as_of: AS_OF,
        observed_until: Some(UNTIL),
        on_bad_row: OnBadRow::Error,
        zone: &Zone::UTC,
    };
    let table = open_events(&events)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| read_events(&table, &events, &options, &Progress::silent()))
}

/// The features of one user by a plain computation.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    times: Vec<Micros>,
    value: i64,
    days: BTreeMap<i32, i64>,
    later: BTreeMap<i32, i64>,
}

/// Users in the order of their first rows, by tenant and id.
fn expected(rows: &[Row], has_tenants: bool) -> Vec<((String, String), Expected)> {
    let mut users: Vec<((String, String), Expected)> = Vec::new();
    for is_later in [false, true] {
        for row in rows
            .iter()
            .filter(|row| (row.at >= AS_OF) == is_later && row.at < UNTIL)
        {
            let tenant = row
                .tenant
                .filter(|name| has_tenants && !name.is_empty())
                .unwrap_or("default");
            let key = (tenant.to_owned(), row.user.clone());
            let idx = match users.iter().position(|(other, _)| *other == key) {
                Some(idx) => idx,
                None if is_later => continue,
                None => {
                    users.push((key, Expected::default()));
                    users.len() - 1
                }
            };
            let user = &mut users[idx].1;
            let value = row.value.map_or(0, |value| (value * 1e6).round() as i64);
            let days = if is_later { &mut user.later } else { &mut user.days };
            *days.entry(row.at.div_euclid(DAY) as i32).or_default() += value;
            if !is_later {
                user.times.push(row.at);
                user.value += if row.at >= AS_OF - 365 * DAY { value } else { 0 };
            }
        }
    }
    users
}

fn check(features: &UserFeatures, expected: &[((String, String), Expected)], has_tenants: bool) {
    assert_eq!(features.n_users(), expected.len());
    assert_eq!(features.tenant_id.is_some(), has_tenants);
    for (user, ((tenant, id), expected)) in expected.iter().enumerate() {
        assert_eq!(features.user_id.value(user), id);
        if let Some(tenants) = &features.tenant_id {
            assert_eq!(tenants.value(user), tenant);
        }
        let uses = expected
            .times
            .iter()
            .filter(|at| **at >= AS_OF - 30 * DAY)
            .count();
        let days: BTreeSet<i64> = expected.times.iter().map(|at| at.div_euclid(DAY)).collect();
        assert_eq!(Some(&features.first_event[user]), expected.times.iter().min());
        assert_eq!(Some(&features.last_event[user]), expected.times.iter().max());
        assert_eq!(features.n_events[user] as usize, expected.times.len());
        assert_eq!(features.n_days[user] as usize, days.len(), "{id}");
        assert_eq!(features.use_count[user] as usize, uses);
        assert_eq!(features.value_micros[user], expected.value);
        let of = |days: &BTreeMap<i32, i64>| days.iter().map(|(day, sum)| (*day, *sum)).collect::<Vec<_>>();
        assert_eq!(features.days.as_ref().unwrap().get(user), of(&expected.days));
        assert_eq!(
            features.later_days.as_ref().unwrap().get(user),
            of(&expected.later)
        );
    }
}

#[test]
fn features_are_those_of_a_plain_computation() {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows(5_000);
    for has_tenants in [false, true] {
        let expected = expected(&rows, has_tenants);
        let n_after = rows.iter().filter(|row| row.at >= AS_OF).count() as u64;
        let name = |name: &str| dir.path().join(format!("{name}-{has_tenants}"));
        let (csv, parquet, folder) = (name("a.csv"), name("b.parquet"), name("c"));
        let (csv, parquet) = (csv.with_extension("csv"), parquet.with_extension("parquet"));
        write_csv(&csv, &rows, has_tenants);
        write_parquet(&parquet, &rows, has_tenants);
        fs::create_dir(&folder).unwrap();
        write_parquet(&folder.join("1.parquet"), &rows[..2_000], has_tenants);
        write_csv(&folder.join("2.csv"), &rows[2_000..3_000], has_tenants);
        write_parquet(&folder.join("3.parquet"), &rows[3_000..], has_tenants);
        for path in [csv, parquet, folder] {
            for threads in [1, 3] {
                let (features, summary) = read(&path, threads).unwrap();
                check(&features, &expected, has_tenants);
                assert_eq!(summary.n_events + summary.n_after_as_of, rows.len() as u64);
                assert_eq!(
                    (summary.n_after_as_of, summary.n_users),
                    (n_after, expected.len() as u64)
                );
            }
        }
    }
}

#[test]
fn a_sum_that_does_not_fit_is_that_of_the_first_such_row() {
    let dir = tempfile::tempdir().unwrap();
    // A sum of 1,025 such values does not fit in 64 bits.
    let large = |idx: usize, sign: f64| Row {
        user: format!("u{}", idx % 2),
        tenant: None,
        at: AS_OF - DAY,
        value: Some(9.0e9 * sign),
    };
    let same: Vec<Row> = (0..3_000).map(|idx| large(idx, 1.0)).collect();
    // Each user's values cancel out in their order, but not in every order.
    let turning: Vec<Row> = (0..6_000)
        .map(|idx| large(idx, if idx / 2 % 2 == 0 { 1.0 } else { -1.0 }))
        .collect();
    for threads in [1, 3] {
        let path = dir.path().join("e.parquet");
        write_parquet(&path, &same, false);
        let error = read(&path, threads).unwrap_err().to_string();
        assert!(
            error.contains("column `value`, row 2049: expected values whose sum fits, found an overflow"),
            "{error}"
        );
        write_parquet(&path, &turning, false);
        let (features, _) = read(&path, threads).unwrap();
        assert_eq!((features.n_users(), &features.value_micros[..]), (2, &[0, 0][..]));
    }
}

//! Completeness of a log: the share of rows that can be traced to a release, its record and its
//! approvers.

use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::audit::chain::{Hold, links_of_record};
use crate::base::error::Result;
use crate::base::parallel;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::input::{DEFAULT_TENANT, Link, TrafficReader};
use crate::release::{DIMENSIONS, RecordIndex, UNKNOWN};
use crate::stats::{Known, Reason};

/// The number and share of rows that have a link.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkShare {
    /// Name of the link: `user`, `time`, `release`, `record` and others.
    pub link: &'static str,
    /// Number of rows that have it.
    pub n: u64,
    /// Share of all rows in the period, 0..=1. Not known if there are no rows.
    pub share: Known<f64>,
}

/// The rows of a release, and the links of its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseLinks {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant_id: String,
    /// Id of the release, or `unknown` for rows without a release.
    pub release_id: String,
    /// Number of rows of the release in the period.
    pub n_rows: u64,
    /// Number of rows with a user id.
    pub n_user: u64,
    /// Number of rows with a time.
    pub n_time: u64,
    /// Number of rows with a layer.
    pub n_layer: u64,
    /// Number of rows with a trace id.
    pub n_trace: u64,
    /// Whether the release has a record.
    pub has_record: bool,
    /// Whether all four artifacts (model, prompt, tools, knowledge base) are recorded, each with a
    /// fixed version or as absent.
    pub has_refs: bool,
    /// Whether the record names an evaluation report.
    pub has_eval_report: bool,
    /// Whether the record names an approver.
    pub has_approvers: bool,
    /// Names of the links that the record lacks; `record` without a record, `release` for rows
    /// without a release.
    pub missing: Vec<&'static str>,
}

/// The completeness of a log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Completeness {
    /// Number of rows in the period.
    pub n_rows: u64,
    /// Number of rows that could not be read.
    pub n_bad: u64,
    /// Number of rows outside of the period.
    pub n_outside: u64,
    /// Whether every row has every link.
    pub is_complete: bool,
    /// Columns of links that the log does not have. No row has these links.
    pub absent_columns: Vec<&'static str>,
    /// Number and share of rows that have each link.
    pub links: Vec<LinkShare>,
    /// Results by release, in order of falling numbers of rows.
    pub releases: Vec<ReleaseLinks>,
}

/// Numbers of a release's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct RowTally {
    n_rows: u64,
    n_user: u64,
    n_time: u64,
    n_layer: u64,
    n_trace: u64,
}

impl RowTally {
    fn add(&mut self, other: Self) {
        self.n_rows += other.n_rows;
        self.n_user += other.n_user;
        self.n_time += other.n_time;
        self.n_layer += other.n_layer;
        self.n_trace += other.n_trace;
    }
}

#[derive(Default)]
struct CompletenessState {
    /// Tallies by tenant and release. Rows without a release have the empty name, which no release
    /// has.
    by_tenant: BTreeMap<String, BTreeMap<String, RowTally>>,
    n_bad: u64,
    n_outside: u64,
}

impl CompletenessState {
    fn add(&mut self, tenant: &str, release: &str, counts: RowTally) {
        // The texts are copied once per release and not once per row.
        if let Some(sums) = self
            .by_tenant
            .get_mut(tenant)
            .and_then(|releases| releases.get_mut(release))
        {
            sums.add(counts);
        } else {
            self.by_tenant
                .entry(tenant.to_owned())
                .or_default()
                .insert(release.to_owned(), counts);
        }
    }
}

/// Counts the rows of a period that have each link.
///
/// # Errors
/// The log cannot be read.
pub fn completeness(
    period: Range<Option<Micros>>,
    reader: &TrafficReader,
    records: &RecordIndex,
    progress: &Progress,
) -> Result<Completeness> {
    let parts = &reader.table().parts;
    let bar = progress.rows("audit", reader.table().n_rows());
    let states = parallel::fold_parts(parts.len(), CompletenessState::default, |state, part| {
        let mut n_outside = 0;
        let n_bad = reader.read_links(parts[part], &mut |links| {
            bar.advance(links.len() as u64);
            for row in (0..links.len()).filter(|row| !links.faults.is_bad(*row)) {
                if !crate::audit::affected::is_within(&period, links.at(row)) {
                    n_outside += 1;
                    continue;
                }
                let has = |link: Link| u64::from(links.text(link, row).is_some());
                let counts = RowTally {
                    n_rows: 1,
                    n_user: has(Link::User),
                    n_time: u64::from(links.at(row).is_some()),
                    n_layer: has(Link::Layer),
                    n_trace: has(Link::Trace),
                };
                let release = links.text(Link::Release, row).unwrap_or_default();
                state.add(
                    links.text(Link::Tenant, row).unwrap_or(DEFAULT_TENANT),
                    release,
                    counts,
                );
            }
            Ok(())
        })?;
        state.n_bad += n_bad;
        state.n_outside += n_outside;
        Ok(())
    })?;
    let mut all = CompletenessState::default();
    for state in states {
        all.n_bad += state.n_bad;
        all.n_outside += state.n_outside;
        for (tenant, releases) in &state.by_tenant {
            releases
                .iter()
                .for_each(|(release, counts)| all.add(tenant, release, *counts));
        }
    }
    let columns = ["user_id", "event_time", "release_id", "layer", "trace_id"];
    let absent_columns = columns.into_iter().filter(|column| !reader.has(column));
    Ok(judge(&all, records, absent_columns.collect()))
}

fn judge(all: &CompletenessState, records: &RecordIndex, absent_columns: Vec<&'static str>) -> Completeness {
    let mut releases = Vec::new();
    let mut n_release = 0;
    for (tenant, tallies) in &all.by_tenant {
        for (release, tally) in tallies {
            let is_named = !release.is_empty();
            n_release += if is_named { tally.n_rows } else { 0 };
            let record = if is_named {
                records.find(tenant, release)
            } else {
                None
            };
            let links = record
                .map(|record| links_of_record(record, tenant, records))
                .unwrap_or_default();
            let has = |name: &str| {
                links
                    .iter()
                    .any(|link| link.link == name && link.hold != Hold::Missing)
            };
            releases.push(ReleaseLinks {
                tenant_id: tenant.clone(),
                release_id: if is_named {
                    release.clone()
                } else {
                    UNKNOWN.to_owned()
                },
                n_rows: tally.n_rows,
                n_user: tally.n_user,
                n_time: tally.n_time,
                n_layer: tally.n_layer,
                n_trace: tally.n_trace,
                has_record: record.is_some(),
                has_refs: DIMENSIONS.iter().all(|dimension| has(dimension.name())),
                has_eval_report: has("eval_report"),
                has_approvers: has("approvers"),
                missing: match record {
                    None if is_named => vec!["record"],
                    None => vec!["release"],
                    Some(_) => links
                        .iter()
                        .filter(|link| link.hold == Hold::Missing)
                        .map(|link| link.link)
                        .collect(),
                },
            });
        }
    }
    let n_rows = releases.iter().map(|release| release.n_rows).sum();
    let sum = |of: &dyn Fn(&ReleaseLinks) -> u64| releases.iter().map(of).sum::<u64>();
    let rows_if =
        |has: fn(&ReleaseLinks) -> bool| sum(&|release| if has(release) { release.n_rows } else { 0 });
    let links: Vec<LinkShare> = [
        ("user", sum(&|release| release.n_user)),
        ("time", sum(&|release| release.n_time)),
        ("release", n_release),
        ("layer", sum(&|release| release.n_layer)),
        ("trace", sum(&|release| release.n_trace)),
        ("record", rows_if(|release| release.has_record)),
        ("refs", rows_if(|release| release.has_refs)),
        ("eval_report", rows_if(|release| release.has_eval_report)),
        ("approvers", rows_if(|release| release.has_approvers)),
    ]
    .into_iter()
    .map(|(link, n)| {
        let share = if n_rows == 0 {
            Err(Reason::NoData)
        } else {
            Ok(n as f64 / n_rows as f64)
        };
        LinkShare {
            link,
            n,
            share: share.into(),
        }
    })
    .collect();
    releases.sort_by_key(|release| std::cmp::Reverse(release.n_rows));
    let is_complete = n_rows > 0 && all.n_bad == 0 && links.iter().all(|link| link.n == n_rows);
    Completeness {
        n_rows,
        n_bad: all.n_bad,
        n_outside: all.n_outside,
        is_complete,
        absent_columns,
        links,
        releases,
    }
}

//! The coverage of the evidence: the share of the log's rows whose user and release are known, and
//! the likely cause if they are not.

use std::collections::BTreeSet;

use crate::analysis::Analysis;
use crate::base::likeness::{Likeness, likeness};
use crate::metric::{Metric, RATE_METRICS, Sum};
use crate::replay::{Cube, RowCounts, UnknownIds, UserName};
use crate::words::ramp as sentence;
use crate::words::{Count, MetricName, Percent, Text};

/// Share of rows without a known user and release, above which a warning is given, 0..=1.
pub(crate) const UNCOVERED: f64 = 0.01;
/// The largest number of letters of an id in a message.
const MAX_LETTERS: usize = 40;

/// The rows and users that all verdicts of an analysis rest on.
#[derive(Debug, Clone, Copy)]
pub struct Coverage<'a> {
    rows: &'a RowCounts,
    unknown: &'a UnknownIds,
    /// The baseline and the candidate.
    releases: [&'a str; 2],
    n_users: u64,
    n_eligible: u64,
    metrics: &'a [Metric],
    /// The columns of metrics that the log does not have.
    missing: &'a [String],
    /// `guard.min_coverage` of the scenario.
    min: f64,
}

impl<'a> Coverage<'a> {
    /// Reads the coverage from an analysis. `None` for counters, which name no users.
    pub fn from_analysis(analysis: &'a Analysis) -> Option<Self> {
        (!analysis.data.layers_digest.is_empty()).then(|| Self {
            rows: &analysis.data.rows,
            unknown: &analysis.data.unknown,
            releases: [&analysis.baseline, &analysis.candidate],
            n_users: analysis.layers.iter().map(|layer| layer.n_users).sum(),
            n_eligible: analysis.layers.iter().map(|layer| layer.n_eligible).sum(),
            metrics: &analysis.metrics,
            missing: &analysis.data.missing_columns,
            min: analysis.policy.min_coverage,
        })
    }

    /// Reads the coverage from a cube. `min` is `guard.min_coverage` of the scenario.
    pub fn from_cube(cube: &'a Cube, min: f64) -> Self {
        Self {
            rows: &cube.counts,
            unknown: &cube.unknown,
            releases: [&cube.baseline, &cube.candidate],
            n_users: cube.layers.iter().map(|layer| layer.n_users).sum(),
            n_eligible: cube.layers.iter().map(|layer| layer.n_eligible).sum(),
            metrics: &[],
            missing: &[],
            min,
        }
    }

    /// Names the columns that a metric needs and the log does not have, as a clause such as "the log
    /// has no column `bad`". `None` if the log has them all.
    pub(crate) fn missing_columns(&self, metric: &str) -> Option<Text> {
        let needed = self.metrics.iter().find(|other| other.id == metric)?;
        let readings = needed.sums().into_iter().filter_map(Sum::reading);
        let columns: BTreeSet<String> = readings.map(|reading| reading.column).collect();
        let missing = columns.iter().filter(|column| self.missing.contains(column));
        let named: Vec<String> = missing.map(|column| format!("`{column}`")).collect();
        match named.as_slice() {
            [] => None,
            [one] => Some(sentence::no_column(one)),
            many => Some(sentence::no_columns(many)),
        }
    }

    /// Names the columns that QoS needs and the log does not have, by rate. `None` if the log has
    /// them all.
    pub(crate) fn missing_rates(&self) -> Option<Text> {
        let rate = |rate: &&str| {
            Some(sentence::rate_misses(
                MetricName(rate),
                self.missing_columns(rate)?,
            ))
        };
        let missing: Vec<Text> = RATE_METRICS.iter().filter_map(rate).collect();
        (!missing.is_empty()).then(|| sentence::clauses(&missing))
    }

    /// Share of rows with a known user and release, 0..=1. `None` if no row is between the plan's
    /// start and `as_of`.
    pub fn share(&self) -> Option<f64> {
        self.rows.coverage()
    }

    /// The smallest share of rows with which a verdict is valid, 0..=1.
    pub fn min(&self) -> f64 {
        self.min
    }

    /// Whether no verdict is valid: too few rows have a known user and release, or no user is
    /// eligible.
    pub fn is_invalid(&self) -> bool {
        self.n_eligible == 0 || self.share().is_some_and(|share| share < self.min)
    }

    /// Whether the rows need a look: the coverage is invalid, or more than 1 % of the rows have no
    /// known user and release.
    pub fn is_doubtful(&self) -> bool {
        self.is_invalid() || self.share().is_some_and(|share| 1.0 - share > UNCOVERED)
    }

    /// Describes the coverage without ids of users, for documents.
    pub fn describe(&self) -> Text {
        self.text(false)
    }

    /// Describes the coverage with examples of ids, for the terminal of the person who runs the
    /// command.
    pub fn describe_with_examples(&self) -> Text {
        self.text(true)
    }

    fn text(&self, with_examples: bool) -> Text {
        if self.n_users == 0 {
            return sentence::no_users();
        }
        if self.n_eligible == 0 {
            return sentence::no_consent(Count(self.n_users));
        }
        let (n, of) = (self.rows.n_unmatched(), self.rows.n_expected());
        if of == 0 {
            return sentence::no_rows_to_match();
        }
        if n == 0 {
            return sentence::all_matched(Count(of));
        }
        let mut parts = Vec::new();
        if self.rows.n_unknown_user > 0 {
            let rows = self.rows_text(self.rows.n_unknown_user);
            parts.push(sentence::unknown_user(rows, self.user_examples(with_examples)));
        }
        if self.rows.n_unknown_release > 0 || self.has_unknown_release() {
            let [baseline, candidate] = self.releases;
            let rows = match self.rows.n_unknown_release {
                0 => sentence::some_of_them(),
                n => self.rows_text(n),
            };
            let examples = self.release_examples();
            parts.push(sentence::unknown_release(rows, baseline, candidate, examples));
        }
        if self.rows.n_bad > 0 {
            let most = self.rows.bad_rows.iter().max_by_key(|(_, n)| **n);
            let reason = most.map_or_else(Text::default, |(reason, _)| sentence::in_brackets(reason));
            parts.push(sentence::unusable(self.rows_text(self.rows.n_bad), reason));
        }
        let causes = self.causes();
        if !causes.is_empty() {
            parts.push(sentence::likely_cause(causes));
        }
        if self.is_invalid() {
            parts.push(sentence::at_least_known(Percent(self.min)));
        }
        Text::sentences(&parts)
    }

    /// A number of rows beside all rows. Only all of them are 100%.
    fn rows_text(&self, n: u64) -> Text {
        let of = self.rows.n_expected();
        let share = n as f64 / of.max(1) as f64;
        let share = if n < of { share.min(0.9999) } else { share };
        sentence::share_of_rows(Count(n), Count(of), Percent(share))
    }

    fn has_unknown_release(&self) -> bool {
        self.rows.n_unknown_user > 0 && !self.unknown.releases.is_empty()
    }

    fn user_examples(&self, with_examples: bool) -> Text {
        let users = &self.unknown.users;
        if users.is_empty() || !with_examples {
            return Text::default();
        }
        let listed: Vec<&UserName> = users.iter().filter_map(|user| user.listed_as.as_ref()).collect();
        let listed = if listed.is_empty() {
            self.unknown.listed.iter().collect()
        } else {
            listed
        };
        sentence::log_and_table(
            quoted(users.iter().map(|user| user.user.id.as_str())),
            quoted(listed.into_iter().map(|user| user.id.as_str())),
        )
    }

    fn release_examples(&self) -> Text {
        let releases = &self.unknown.releases;
        if releases.is_empty() {
            return Text::default();
        }
        sentence::log_and_plan(
            quoted(releases.iter().map(String::as_str)),
            quoted(self.releases.into_iter()),
        )
    }

    /// The likely causes of unknown ids. Each is a way of writing in which an id of the log differs
    /// from an id that is known.
    fn causes(&self) -> Vec<Text> {
        let mut ways = BTreeSet::new();
        let mut tenants = BTreeSet::new();
        for user in &self.unknown.users {
            let Some(listed) = &user.listed_as else { continue };
            ways.extend(likeness(&user.user.id, &listed.id));
            if user.user.tenant != listed.tenant {
                let [log, table] = [&user.user.tenant, &listed.tenant].map(|tenant| short(tenant));
                tenants.insert([format!("{log:?}"), format!("{table:?}")]);
            }
        }
        for release in &self.unknown.releases {
            let known = self.releases.iter();
            ways.extend(known.flat_map(|known| likeness(release, known)));
        }
        let tenants = tenants
            .into_iter()
            .map(|[log, table]| sentence::other_tenant(log, table));
        ways.into_iter().map(way_text).chain(tenants).collect()
    }
}

/// A way of writing as text.
fn way_text(way: Likeness) -> Text {
    match way {
        Likeness::Decimal => sentence::decimals(),
        Likeness::Blanks => sentence::blanks(),
        Likeness::Case => sentence::letter_case(),
        Likeness::ZeroPadding => sentence::zeros(),
    }
}

/// Ids in quotation marks, so that blanks show.
fn quoted<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let ids: Vec<String> = ids.map(|id| format!("{:?}", short(id))).collect();
    ids.join(", ")
}

fn short(id: &str) -> String {
    match id.char_indices().nth(MAX_LETTERS) {
        Some((end, _)) => format!("{}…", &id[..end]),
        None => id.to_owned(),
    }
}

//! Checks the guards of a night. A night beyond a limit replaces and publishes nothing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::base::error::{Error, ErrorKind, Problem};
use crate::base::number::number;
use crate::base::time::{HOUR, Micros};
use crate::layer::LayerSummary;
use crate::metric::Sum;
use crate::replay::{Cube, RowCounts};
use crate::scenario::{GuardName, Guards};
use crate::words::notify as sentence;
use crate::words::{Count, Hours, Number, Percent, Text};

/// The result of a guard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardFinding {
    /// Key of the guard, such as `max_moved`.
    pub guard: GuardName,
    /// The value that was found, in the guard's unit. `None` if there is nothing to compare.
    pub value: Option<f64>,
    /// The limit.
    pub limit: f64,
    /// Whether the value is beyond the limit.
    pub is_beyond: bool,
    /// Whether `--accept` let it pass for this night.
    pub is_accepted: bool,
    /// What was found, as text.
    pub text: String,
    /// The same in Chinese. Empty in documents of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text_zh: String,
}

impl GuardFinding {
    /// What was found, in every language.
    pub fn found(&self) -> Text {
        Text {
            en: self.text.clone(),
            zh: self.text_zh.clone(),
        }
    }

    /// Whether the guard stops the night.
    pub fn stops(&self) -> bool {
        self.is_beyond && !self.is_accepted
    }
}

/// The guards of a scenario, and those that are accepted for one night.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuardRules<'a> {
    pub(crate) guards: &'a Guards,
    pub(crate) accepted: &'a [GuardName],
}

impl GuardRules<'_> {
    /// Judges a value that must not be above the limit. `None` without a value or a limit.
    fn at_most(
        &self,
        guard: GuardName,
        value: Option<f64>,
        text: impl FnOnce(f64) -> Text,
    ) -> Option<GuardFinding> {
        self.judge(guard, value?, |value, limit| value > limit, text)
    }

    /// Judges a value that must not be below the limit. `None` without a value or a limit.
    fn at_least(
        &self,
        guard: GuardName,
        value: Option<f64>,
        text: impl FnOnce(f64) -> Text,
    ) -> Option<GuardFinding> {
        self.judge(guard, value?, |value, limit| value < limit, text)
    }

    fn judge(
        &self,
        guard: GuardName,
        value: f64,
        is_beyond: impl Fn(f64, f64) -> bool,
        text: impl FnOnce(f64) -> Text,
    ) -> Option<GuardFinding> {
        let limit = self.guards.limit(guard)?;
        let Text {
            en: text,
            zh: text_zh,
        } = text(value);
        Some(GuardFinding {
            guard,
            value: Some(value),
            limit,
            is_beyond: is_beyond(value, limit),
            is_accepted: self.accepted.contains(&guard),
            text,
            text_zh,
        })
    }
}

/// Judges a layer table against that of the previous night.
pub(crate) fn of_layers(
    rules: &GuardRules<'_>,
    tonight: &LayerSummary,
    previous: Option<&LayerSummary>,
) -> Vec<GuardFinding> {
    let share = |n: u64, of: u64| (of > 0).then(|| n as f64 / of as f64);
    let rows_out: u64 = tonight.bad_rows.values().sum();
    let n_rows = tonight.n_users + tonight.n_duplicates + rows_out;
    let mut found = vec![
        rules.at_least(GuardName::MinUsers, Some(tonight.n_users as f64), |_| {
            sentence::n_users(Count(tonight.n_users))
        }),
        rules.at_most(GuardName::MaxBadRows, share(rows_out, n_rows), |value| {
            sentence::bad_user_rows(Count(rows_out), Count(n_rows), Percent(value))
        }),
    ];
    if let Some(moves) = &tonight.moves {
        let n_both = moves.n_stayed + moves.n_moved;
        let n_before = n_both + moves.n_gone;
        let psi = moves
            .psi
            .iter()
            .filter_map(|tenant| Some((tenant.psi?, &tenant.tenant)));
        let psi = psi.max_by(|a, b| a.0.total_cmp(&b.0));
        found.extend([
            rules.at_most(GuardName::MaxMoved, share(moves.n_moved, n_both), |value| {
                sentence::moved(Count(moves.n_moved), Count(n_both), Percent(value))
            }),
            rules.at_most(GuardName::MaxPsi, psi.map(|(psi, _)| psi), |value| {
                let tenant = psi.map_or("", |(_, tenant)| tenant);
                sentence::psi(Number(value), tenant)
            }),
            rules.at_most(GuardName::MaxNew, share(moves.n_new, tonight.n_users), |value| {
                sentence::new_users(Count(moves.n_new), Count(tonight.n_users), Percent(value))
            }),
            rules.at_most(GuardName::MaxGone, share(moves.n_gone, n_before), |value| {
                sentence::gone_users(Count(moves.n_gone), Count(n_before), Percent(value))
            }),
        ]);
    }
    let mut found: Vec<GuardFinding> = found.into_iter().flatten().collect();
    found.extend(previous.and_then(|previous| {
        let gone: Vec<&str> = known_features(previous)
            .difference(&known_features(tonight))
            .copied()
            .collect();
        let text = match gone.as_slice() {
            [] => sentence::user_columns_kept(),
            gone => sentence::user_columns_gone(gone),
        };
        same_columns(rules, gone.len(), text)
    }));
    found
}

/// The features that some user of a layer table has, and the consent.
fn known_features(summary: &LayerSummary) -> BTreeSet<&'static str> {
    let missing = &summary.missing;
    let n_missing = [
        ("last_use_time", missing.last_use_time),
        ("use_count", missing.use_count),
        ("user_value", missing.user_value),
        ("accept_score", missing.accept_score),
    ];
    let known = n_missing
        .into_iter()
        .filter(|(_, n)| *n < summary.n_users)
        .map(|(name, _)| name);
    known
        .chain((summary.n_eligible > 0).then_some("is_allow_gray"))
        .collect()
}

fn same_columns(rules: &GuardRules<'_>, n_gone: usize, text: Text) -> Option<GuardFinding> {
    let limit = rules
        .guards
        .limit(GuardName::SameColumns)
        .filter(|limit| *limit > 0.0)?;
    Some(GuardFinding {
        guard: GuardName::SameColumns,
        value: Some(n_gone as f64),
        limit,
        is_beyond: n_gone > 0,
        is_accepted: rules.accepted.contains(&GuardName::SameColumns),
        text: text.en,
        text_zh: text.zh,
    })
}

/// The rows that the previous night has counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowsBefore<'a> {
    pub(crate) counts: &'a RowCounts,
    pub(crate) as_of: Micros,
}

/// Judges the rows of a cube. Without a previous night, all of them are new.
pub(crate) fn of_rows(
    rules: &GuardRules<'_>,
    cube: &Cube,
    previous: Option<RowsBefore<'_>>,
) -> Vec<GuardFinding> {
    let before = previous.map_or_else(RowCounts::default, |previous| previous.counts.clone());
    let rows = &cube.counts;
    let n_new = rows.n_expected().saturating_sub(before.n_expected());
    let n_bad = rows.n_bad.saturating_sub(before.n_bad);
    let n_unmatched = rows.n_unmatched().saturating_sub(before.n_unmatched());
    let share = |n: u64| (n_new > 0).then(|| n as f64 / n_new as f64);
    let since = previous.map_or(cube.start, |previous| previous.as_of);
    let mut found = vec![
        rules.at_least(GuardName::MinRows, Some(n_new as f64), |_| {
            sentence::new_rows(Count(n_new))
        }),
        rules.at_most(GuardName::MaxBadRows, share(n_bad), |value| {
            sentence::bad_rows(Count(n_bad), Count(n_new), Percent(value))
        }),
        rules.at_least(
            GuardName::MinCoverage,
            share(n_new.saturating_sub(n_unmatched)),
            |value| {
                let n = n_new.saturating_sub(n_unmatched);
                sentence::covered_new(Count(n), Count(n_new), Percent(value))
            },
        ),
        rules.at_least(GuardName::MinCoverage, rows.coverage(), |value| {
            let of = rows.n_expected();
            let n = of.saturating_sub(rows.n_unmatched());
            sentence::covered_all(Count(n), Count(of), Percent(value))
        }),
        rules.at_most(GuardName::MaxAge, age(cube), |value| sentence::age(Hours(value))),
    ];
    if previous.is_some() {
        let gone = columns_gone(cube, since);
        let text = match gone.as_slice() {
            [] => sentence::log_columns_kept(),
            gone => sentence::log_columns_gone(gone),
        };
        found.push(same_columns(rules, gone.len(), text));
    }
    found.into_iter().flatten().collect()
}

/// Hours between the end of the last window with a row and `as_of`. `None` without rows.
fn age(cube: &Cube) -> Option<f64> {
    let last = cube.cells.keys.iter().map(|key| key.window).max()?;
    let end = cube.start + (i64::from(last) + 1) * cube.window;
    Some((cube.as_of - end).max(0) as f64 / HOUR as f64)
}

/// The columns whose values were known in some row before an instant, and in no row since then. A
/// window in which the instant lies counts as before.
fn columns_gone(cube: &Cube, since: Micros) -> Vec<String> {
    let first_new = (since - cube.start + cube.window - 1).div_euclid(cube.window);
    let known: Vec<(usize, String)> = cube
        .measures
        .iter()
        .enumerate()
        .filter(|(_, measure)| measure.present && matches!(measure.sum, Sum::Known(_)))
        .filter_map(|(idx, measure)| Some((idx, measure.sum.reading()?.column)))
        .collect();
    let mut sums = vec![[0_i64; 2]; known.len()];
    let mut n_new = 0_i64;
    for (key, values) in cube.cells.iter() {
        let is_new = i64::from(key.window) >= first_new;
        n_new += i64::from(is_new) * values[0];
        for (sums, (idx, _)) in sums.iter_mut().zip(&known) {
            sums[usize::from(is_new)] += values[*idx];
        }
    }
    let is_gone = |sums: &[i64; 2]| n_new > 0 && sums[0] > 0 && sums[1] == 0;
    let gone: BTreeSet<String> = sums
        .iter()
        .zip(known)
        .filter(|(sums, _)| is_gone(sums))
        .map(|(_, (_, column))| column)
        .collect();
    gone.into_iter().collect()
}

/// The error of guards that stop a night, one line each. `None` if no guard stops it.
pub(crate) fn error(found: &[GuardFinding]) -> Option<Error> {
    let problem = |finding: &GuardFinding| {
        let key = finding.guard.key();
        let expected = match finding.guard {
            GuardName::SameColumns => "the columns of the night before".to_owned(),
            GuardName::MinUsers | GuardName::MinRows | GuardName::MinCoverage => {
                format!("at least {}", number(finding.limit))
            }
            GuardName::MaxAge => format!("at most {} hours", number(finding.limit)),
            _ => format!("at most {}", number(finding.limit)),
        };
        let found = format!("expected {expected}, found: {}", finding.text);
        Problem::new(format!("guard.{key}"), found).hint(format!(
            "nothing was replaced or published: correct the input, or accept it for a night: --accept {key}"
        ))
    };
    let mut problems = found.iter().filter(|finding| finding.stops()).map(problem);
    let first = problems.next()?;
    Some(problems.fold(Error::new(ErrorKind::Input, first), Error::and))
}

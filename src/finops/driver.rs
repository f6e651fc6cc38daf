//! The chargeback: opens a log, scans it, and makes the bill.

use crate::base::error::{Error, Result};
use crate::base::parallel;
use crate::base::progress::Progress;
use crate::finops::bill::{BillLine, Chargeback, RobustUnitCost, UnitCost, Unpriced};
use crate::finops::clusters::{N_PARTS, Success, UserOnLine, users_of_part};
use crate::finops::key::By;
use crate::finops::measured::MeasuredColumn;
use crate::finops::question::ChargebackQuestion;
use crate::finops::scan::{ScanResult, Sums};
use crate::finops::{budget, scan};
use crate::input::TrafficReader;
use crate::metric::Reading;
use crate::scenario::{OnBadRow, Source};
use crate::stats::{Clusters, Known, Reason, jackknife};
use crate::traces::{Needs, turns_of};

/// Two-sided error level of the intervals.
pub(super) const ALPHA: f64 = 0.05;
/// USD of a nano-USD.
const USD: f64 = 1e-9;

/// Columns that a bill reads beside its keys and its measured columns.
const ROW_COLUMNS: [&str; 3] = ["event_time", "user_id", "session_id"];

/// Opens a log for the [`chargeback`] of a question. Neither users nor releases are required. Traces are
/// imported.
///
/// # Errors
/// The source has no readable files or lacks a required column: `event_time` if the bill depends on
/// it, and with sessions as successes `session_id` and `task_completed`.
pub fn open(
    source: &Source,
    question: &ChargebackQuestion<'_>,
    on_bad_row: OnBadRow,
    progress: &Progress,
) -> Result<TrafficReader> {
    let measured = MeasuredColumn::NAMES.map(|column| Reading {
        column: column.into(),
        test: None,
        limits: None,
    });
    let columns = By::ALL.map(|by| by.column().to_owned());
    let turns = turns_of(source, Needs::Nothing, on_bad_row, progress)?;
    let mut reader = TrafficReader::open_with(&turns.source, &[], &measured, &columns, on_bad_row)?;
    if question.needs_time() {
        let why = "a period, budgets and prices with a first instant need the time of each row";
        reader = reader.require("event_time", why)?;
    }
    let needed: &[&str] = if question.success == Success::Session {
        &["session_id", "task_completed"]
    } else {
        &[]
    };
    match needed.iter().find(|column| !reader.has(column)) {
        None => Ok(reader),
        Some(column) => Err(Error::in_file(
            &source.path,
            format!("expected a column `{column}`, by which sessions are successes, found none"),
        )
        .hint(format!(
            "if the column has another name, say so: --column {column}=...; or count tasks: --success task"
        ))),
    }
}

/// Sums the costs of a log's rows by line. The result does not depend on the number of threads or
/// the order of the files.
///
/// # Errors
/// The log cannot be read or was opened for another question, a row is bad under the policy
/// `error`, or a sum does not fit in `i64`.
pub fn chargeback(
    question: &ChargebackQuestion<'_>,
    reader: &TrafficReader,
    progress: &Progress,
) -> Result<Chargeback> {
    if question.needs_time() && !reader.requires("event_time") {
        return Err(Error::in_file(
            &reader.table().source.path,
            "expected a log that was opened for this question, found one whose rows may have no time",
        ));
    }
    let ScanResult {
        mut threads,
        lines,
        n_rows,
        n_outside,
        bad_rows,
        unpriced,
        budgets,
        has_key,
    } = scan::scan(question, reader, progress)?;
    threads.iter_mut().try_for_each(|(records, _)| records.finish())?;
    let mut total = Sums::default();
    lines.values().try_for_each(|sums| total.merge(sums))?;
    let n_lines = lines.len() as u32;
    let mut counted: Vec<Counted> = lines.values().chain([&total]).map(Counted::new).collect();
    parallel::map_in_order(
        N_PARTS,
        |part| users_of_part(&threads, part, question.success, n_lines),
        |_, users| {
            users
                .iter()
                .for_each(|user| counted[user.line as usize].add(user));
            Ok(())
        },
    )?;
    drop(threads);

    let columns = Columns::new(question, reader);
    let mut counted = counted.into_iter();
    let mut found: Vec<(&Vec<String>, BillLine)> = lines
        .iter()
        .zip(counted.by_ref())
        .map(|((keys, sums), counted)| (keys, columns.line(question.by, keys, sums, counted)))
        .collect();
    // Lines of equal cost keep the order of their keys.
    found.sort_by_key(|(_, line)| std::cmp::Reverse(line.cost_nano_usd));
    // The last entry belongs to all lines together.
    let counted = counted.next().unwrap_or_else(|| Counted::new(&total));
    let total = columns.line(&[], &[], &total, counted);
    let found: Vec<BillLine> = found.into_iter().map(|(_, line)| line).collect();
    let mut unknown_keys = By::ALL.to_vec();
    unknown_keys.retain(|by| !lines.is_empty() && !has_key[*by as usize]);
    let budgets = question
        .budgets
        .iter()
        .zip(&budgets)
        .map(|(budget, sums)| {
            let unknown = budget.keys().find(|by| unknown_keys.contains(by));
            let reason = unknown.map(|by| match reader.has(by.column()) {
                true => Reason::NoData,
                false => Reason::NoColumn,
            });
            budget::judge(budget, sums, reason)
        })
        .collect::<Result<_>>()?;
    Ok(Chargeback {
        by: question.by.to_vec(),
        success: question.success,
        from: question.from,
        until: question.until,
        n_rows,
        n_outside,
        bad_rows,
        absent_columns: absent_columns(reader),
        unknown_keys,
        lines: found,
        total,
        unpriced: unpriced
            .into_iter()
            .map(|(model_ref, n_rows)| Unpriced { model_ref, n_rows })
            .collect(),
        budgets,
    })
}

/// The columns that a bill reads and the log does not have.
fn absent_columns(reader: &TrafficReader) -> Vec<&'static str> {
    let keys = By::ALL.map(By::column);
    let columns = ROW_COLUMNS.into_iter().chain(keys).chain(MeasuredColumn::NAMES);
    columns.filter(|column| !reader.has(column)).collect()
}

/// Counts over a line's users, and their costs and successes.
pub(super) struct Counted {
    n_users: u64,
    n_sessions: u64,
    n_successes: u64,
    costs: UnitInputs,
    repriced: UnitInputs,
}

/// The inputs of a cost per success.
struct UnitInputs {
    /// Whether every row has a known cost.
    is_known: bool,
    /// Cost and successes of each user. `None` unless every row has a known cost and a user.
    clusters: Option<Vec<f64>>,
}

impl UnitInputs {
    fn new(sums: &Sums, n_known: u64) -> Self {
        let is_known = n_known == sums.n_rows;
        Self {
            is_known,
            clusters: (is_known && sums.n_without_user == 0).then(Vec::new),
        }
    }
}

impl Counted {
    fn new(sums: &Sums) -> Self {
        Self {
            n_users: 0,
            n_sessions: 0,
            n_successes: 0,
            costs: UnitInputs::new(sums, sums.n_cost),
            repriced: UnitInputs::new(sums, sums.n_repriced),
        }
    }

    fn add(&mut self, user: &UserOnLine) {
        self.n_users += u64::from(user.is_user);
        self.n_sessions += u64::from(user.n_sessions);
        self.n_successes += u64::from(user.n_successes);
        for (inputs, cost) in [(&mut self.costs, user.cost), (&mut self.repriced, user.repriced)] {
            if let Some(clusters) = &mut inputs.clusters {
                clusters.extend([cost as f64, f64::from(user.n_successes)]);
            }
        }
    }
}

/// The columns that the log has, and whether there are prices.
pub(super) struct Columns {
    users: bool,
    sessions: bool,
    outcomes: bool,
    costs: bool,
    tools: bool,
    tokens_in: bool,
    tokens_out: bool,
    prices: bool,
}

impl Columns {
    fn new(question: &ChargebackQuestion<'_>, reader: &TrafficReader) -> Self {
        let prices = question.prices.is_some();
        Self {
            users: reader.has("user_id"),
            sessions: reader.has("session_id"),
            outcomes: reader.has("task_completed"),
            costs: prices || reader.has("cost_usd"),
            tools: reader.has("tool_cost_usd"),
            tokens_in: reader.has("tokens_in"),
            tokens_out: reader.has("tokens_out"),
            prices,
        }
    }

    fn line(&self, by: &[By], keys: &[String], sums: &Sums, counted: Counted) -> BillLine {
        let n_cost_unknown = sums.n_rows - sums.n_cost;
        let coverage = if sums.n_rows == 0 {
            Err(Reason::NoData)
        } else {
            Ok(sums.n_cost as f64 / sums.n_rows as f64)
        };
        let no_users = self.no_users(sums);
        let n_users = match no_users {
            None | Some(Reason::Incomplete) => Ok(counted.n_users),
            Some(reason) => Err(reason),
        };
        let unit =
            |nano: i64, inputs: UnitInputs| self.unit_cost(nano, inputs, counted.n_successes, no_users);
        BillLine {
            keys: by
                .iter()
                .map(|by| by.column())
                .zip(keys.iter().cloned())
                .collect(),
            n_rows: sums.n_rows,
            n_users: n_users.into(),
            n_without_user: sums.n_without_user,
            n_without_release: sums.n_without_release,
            n_sessions: self.sessions.then_some(counted.n_sessions),
            n_successes: self.outcomes.then_some(counted.n_successes),
            n_outcome_unknown: sums.n_outcome_unknown,
            cost_nano_usd: sums.cost,
            n_cost_unknown,
            cost_unknown_reasons: sums.gaps.counts(),
            cost_coverage: coverage.into(),
            logged_nano_usd: sums.logged,
            n_logged: sums.n_logged,
            repriced_nano_usd: self.prices.then_some(sums.repriced),
            n_repriced: self.prices.then_some(sums.n_repriced),
            repriced_unknown_reasons: self.prices.then(|| sums.repriced_gaps.counts()),
            tool_cost_nano_usd: self.tools.then_some(sums.tools),
            tokens_in: self.tokens_in.then_some(sums.tokens_in),
            tokens_out: self.tokens_out.then_some(sums.tokens_out),
            usd_per_success: unit(sums.cost, counted.costs),
            usd_per_success_repriced: self.prices.then(|| unit(sums.repriced, counted.repriced)),
            shadow: sums.shadow,
            eval: sums.eval,
        }
    }

    /// The reason why the users of a line are not known. `None` if every row has one.
    fn no_users(&self, sums: &Sums) -> Option<Reason> {
        if !self.users {
            Some(Reason::NoColumn)
        } else if sums.n_without_user == 0 {
            None
        } else if sums.n_without_user == sums.n_rows {
            Some(Reason::NoData)
        } else {
            Some(Reason::Incomplete)
        }
    }

    fn unit_cost(
        &self,
        nano: i64,
        inputs: UnitInputs,
        n_successes: u64,
        no_users: Option<Reason>,
    ) -> UnitCost {
        let refused = |reason: Reason| UnitCost {
            estimate: Err(reason).into(),
            robust: Err(reason).into(),
        };
        if !self.outcomes || !self.costs {
            return refused(Reason::NoColumn);
        }
        if !inputs.is_known {
            return refused(Reason::Incomplete);
        }
        if n_successes == 0 {
            return refused(Reason::NoData);
        }
        UnitCost {
            estimate: Known::Value(nano as f64 * USD / n_successes as f64),
            robust: match no_users {
                Some(reason) => Err(reason).into(),
                None => robust_of(inputs.clusters.unwrap_or_default()).into(),
            },
        }
    }
}

/// The error of a cost per success, from the cost and the successes of each user.
fn robust_of(clusters: Vec<f64>) -> Result<RobustUnitCost, Reason> {
    // Users without a success have costs too, so they are clusters like all others.
    let found = jackknife::delete_one(&Clusters::from_sums(2, clusters), |sums| {
        (sums[1] > 0.0).then(|| sums[0] / sums[1])
    })?;
    // Equal costs have no spread, which is not a cost without an error.
    if found.std_error <= 0.0 {
        return Err(Reason::NoVariance);
    }
    let interval = found.interval(ALPHA);
    Ok(RobustUnitCost {
        std_error: found.std_error * USD,
        df: found.df,
        n_clusters: found.n_clusters,
        ci_lower: interval.ci_lower * USD,
        ci_upper: interval.ci_upper * USD,
    })
}

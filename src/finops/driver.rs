//! The chargeback: opens a log, scans it, and makes the bill.

use crate::base::error::{Error, Result};
use crate::base::parallel;
use crate::base::progress::Progress;
use crate::finops::bill::{BillLine, Chargeback, RobustUnitCost, UnitCost, Unpriced};
use crate::finops::clusters::{N_PARTS, Success, UserOnLine, users_of_part};
use crate::finops::question::{By, ChargebackQuestion};
use crate::finops::scan::{ScanResult, Sums};
use crate::finops::{budget, scan};
use crate::input::TrafficReader;
use crate::metric::Reading;
use crate::scenario::{OnBadRow, Source};
use crate::stats::{Clusters, Known, Reason, jackknife};

/// Two-sided error level of the intervals.
pub(super) const ALPHA: f64 = 0.05;

/// Opens a log for [`chargeback`].
///
/// # Errors
/// The source has no readable files or lacks a required column. With sessions as successes,
/// `session_id` and `task_completed` are required too.
pub fn open(source: &Source, success: Success, on_bad_row: OnBadRow) -> Result<TrafficReader> {
    let measured = scan::MeasuredColumn::NAMES.map(|column| Reading {
        column: column.into(),
        test: None,
        limits: None,
    });
    let columns = By::ALL.map(|by| by.column().to_owned());
    let reader = TrafficReader::open(source, &measured, &columns, on_bad_row)?;
    let needed: &[&str] = if success == Success::Session {
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
/// The log cannot be read, a row is bad under the policy `error`, or a sum does not fit in `i64`.
pub fn chargeback(
    question: &ChargebackQuestion<'_>,
    reader: &TrafficReader,
    progress: &Progress,
) -> Result<Chargeback> {
    let ScanResult {
        mut threads,
        lines,
        n_rows,
        n_outside,
        bad_rows,
        unpriced,
        budgets,
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
    let budgets = question
        .budgets
        .iter()
        .zip(&budgets)
        .map(|(budget, days)| budget::judge(budget, days))
        .collect::<Result<_>>()?;
    Ok(Chargeback {
        by: question.by.to_vec(),
        success: question.success,
        from: question.from,
        until: question.until,
        n_rows,
        n_outside,
        bad_rows,
        lines: found,
        total,
        unpriced: unpriced
            .into_iter()
            .map(|(model_ref, n_rows)| Unpriced { model_ref, n_rows })
            .collect(),
        budgets,
    })
}

/// Counts and cost pairs over a line's users.
pub(super) struct Counted {
    n_users: u64,
    n_sessions: u64,
    n_successes: u64,
    /// Cost and successes of each user. `None` unless every row has a known cost.
    costs: Option<Vec<f64>>,
    repriced: Option<Vec<f64>>,
}

impl Counted {
    fn new(sums: &Sums) -> Self {
        let clusters = |n_known: u64| (n_known == sums.n_rows).then(Vec::new);
        Self {
            n_users: 0,
            n_sessions: 0,
            n_successes: 0,
            costs: clusters(sums.n_cost),
            repriced: clusters(sums.n_repriced),
        }
    }

    fn add(&mut self, user: &UserOnLine) {
        self.n_users += 1;
        self.n_sessions += u64::from(user.n_sessions);
        self.n_successes += u64::from(user.n_successes);
        for (clusters, cost) in [(&mut self.costs, user.cost), (&mut self.repriced, user.repriced)] {
            if let Some(clusters) = clusters {
                clusters.extend([cost as f64, f64::from(user.n_successes)]);
            }
        }
    }
}

/// The columns that the log has, and whether there are prices.
pub(super) struct Columns {
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
        let unit =
            |nano: i64, clusters: Option<Vec<f64>>| self.unit_cost(nano, clusters, counted.n_successes);
        BillLine {
            keys: by
                .iter()
                .map(|by| by.column())
                .zip(keys.iter().cloned())
                .collect(),
            n_rows: sums.n_rows,
            n_users: counted.n_users,
            n_sessions: self.sessions.then_some(counted.n_sessions),
            n_successes: self.outcomes.then_some(counted.n_successes),
            n_outcome_unknown: sums.n_outcome_unknown,
            cost_nano_usd: sums.cost,
            n_cost_unknown,
            cost_coverage: coverage.into(),
            logged_nano_usd: sums.logged,
            n_logged: sums.n_logged,
            repriced_nano_usd: self.prices.then_some(sums.repriced),
            n_repriced: self.prices.then_some(sums.n_repriced),
            tool_cost_nano_usd: self.tools.then_some(sums.tools),
            tokens_in: self.tokens_in.then_some(sums.tokens_in),
            tokens_out: self.tokens_out.then_some(sums.tokens_out),
            usd_per_success: unit(sums.cost, counted.costs),
            usd_per_success_repriced: self.prices.then(|| unit(sums.repriced, counted.repriced)),
            shadow: sums.shadow,
            eval: sums.eval,
        }
    }

    fn unit_cost(&self, nano: i64, clusters: Option<Vec<f64>>, n_successes: u64) -> UnitCost {
        let refused = |reason: Reason| UnitCost {
            estimate: Err(reason).into(),
            robust: Err(reason).into(),
        };
        if !self.outcomes || !self.costs {
            return refused(Reason::NoColumn);
        }
        let Some(clusters) = clusters else {
            return refused(Reason::Incomplete);
        };
        if n_successes == 0 {
            return refused(Reason::NoData);
        }
        let usd = 1e-9;
        // Users without a success have costs too, so they are clusters like all others.
        let robust = jackknife::delete_one(&Clusters::from_sums(2, clusters), |sums| {
            (sums[1] > 0.0).then(|| sums[0] / sums[1])
        });
        // Equal costs have no spread, which is not a cost without an error.
        let robust = robust.and_then(|found| {
            if found.std_error > 0.0 {
                Ok(found)
            } else {
                Err(Reason::NoVariance)
            }
        });
        let robust = robust.map(|found| {
            let interval = found.interval(ALPHA);
            RobustUnitCost {
                std_error: found.std_error * usd,
                df: found.df,
                n_clusters: found.n_clusters,
                ci_lower: interval.ci_lower * usd,
                ci_upper: interval.ci_upper * usd,
            }
        });
        UnitCost {
            estimate: Known::Value(nano as f64 * usd / n_successes as f64),
            robust: robust.into(),
        }
    }
}

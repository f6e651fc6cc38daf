//! What the log's rows cost, charged to who caused them, and what a success costs.
//!
//! `scan` adds rows up by line and deals their users out to `clusters`; `budget` watches the days; what a success costs comes with the spread
//! between users as its error. Money is whole nano-USD throughout.

mod budget;
mod clusters;
mod prices;
mod scan;
mod table;

pub use budget::{Breach, Budget, BudgetUse, Per, Scope};
pub use clusters::Success;
pub use prices::{Price, Prices, model_name};
pub use table::write;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, path::Path};

use crate::base::error::{Error, ErrorKind, Problem, Result};
use crate::base::parallel;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::finops::clusters::{N_PARTS, UserOnLine, users_of_part};
use crate::finops::scan::{Found, Sums};
use crate::input::TrafficReader;
use crate::metric::Reading;
use crate::release::RecordIndex;
use crate::scenario::{OnBadRow, Source, read_toml};
use crate::stats::{Clusters, Known, Reason, jackknife};

/// What a row names nothing of.
pub(crate) const UNKNOWN: &str = "unknown";

/// Error level of the intervals.
const ALPHA: f64 = 0.05;

/// What lines are by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum By {
    /// The tenant.
    #[serde(rename = "tenant_id")]
    Tenant,
    /// The feature of the product.
    #[serde(rename = "feature")]
    Feature,
    /// The release that answered.
    #[serde(rename = "release_id")]
    Release,
    /// The model, by the log or by the release's record.
    #[serde(rename = "model_ref")]
    Model,
    /// The prompt, likewise.
    #[serde(rename = "prompt_ref")]
    Prompt,
}

impl By {
    /// All, in the order of a line.
    pub const ALL: [Self; 5] = [
        Self::Tenant,
        Self::Feature,
        Self::Release,
        Self::Model,
        Self::Prompt,
    ];

    /// The column.
    pub fn column(self) -> &'static str {
        match self {
            Self::Tenant => "tenant_id",
            Self::Feature => "feature",
            Self::Release => "release_id",
            Self::Model => "model_ref",
            Self::Prompt => "prompt_ref",
        }
    }

    /// The dimension of a column.
    pub fn of(column: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.column() == column)
    }
}

/// What to find out.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What lines are by, in this order; each once.
    pub by: &'a [By],
    /// What counts as a success.
    pub success: Success,
    /// Rows before are left out.
    pub from: Option<Micros>,
    /// Rows from here on are left out.
    pub until: Option<Micros>,
    /// Where models and prompts come from that the log does not name.
    pub records: Option<&'a RecordIndex>,
    /// What tokens cost.
    pub prices: Option<&'a Prices>,
    /// What may be spent.
    pub budgets: &'a [Budget],
    /// Beside it lie files of what does not fit in memory.
    pub near: &'a Path,
}

/// Rows that no user saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// Rows.
    pub n_rows: u64,
    /// What they cost, as far as it is known.
    pub cost_nano_usd: i64,
    /// Rows whose cost nobody knows.
    pub n_cost_unknown: u64,
}

/// What a success costs, USD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct UnitCost {
    /// The cost of all rows, failures too, by the number of successes.
    pub estimate: Known<f64>,
    /// How far chance between users reaches.
    pub robust: Known<RobustUnitCost>,
}

/// The error of a cost per success, USD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RobustUnitCost {
    /// Delete-one-user jackknife.
    pub std_error: f64,
    /// Satterthwaite's degrees of freedom.
    pub df: f64,
    /// Users.
    pub n_clusters: usize,
    /// Lower end of the 95 % interval.
    pub ci_lower: f64,
    /// Upper end.
    pub ci_upper: f64,
}

/// One line of the bill. Costs are those of rows that a user saw; a cost is what the log says or, where it says nothing, what the table of
/// prices says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// By what; empty in the total.
    #[serde(flatten)]
    pub keys: BTreeMap<&'static str, String>,
    /// Rows that a user saw.
    pub n_rows: u64,
    /// Distinct users.
    pub n_users: u64,
    /// Distinct sessions of users; `None` if the log has none.
    pub n_sessions: Option<u64>,
    /// Successes; `None` if the log does not say.
    pub n_successes: Option<u64>,
    /// Rows that do not say whether their task was completed: not counted as successes.
    pub n_outcome_unknown: u64,
    /// What is charged, as far as it is known.
    pub cost_nano_usd: i64,
    /// Rows whose cost nobody knows.
    pub n_cost_unknown: u64,
    /// Share of rows whose cost is known.
    pub cost_coverage: Known<f64>,
    /// Of rows whose cost is in the log.
    pub logged_nano_usd: i64,
    /// How many those are.
    pub n_logged: u64,
    /// By the table of prices; `None` without one.
    pub repriced_nano_usd: Option<i64>,
    /// Of how many rows the table says the price.
    pub n_repriced: Option<u64>,
    /// What tools cost, part of all costs; `None` if the log does not say.
    pub tool_cost_nano_usd: Option<i64>,
    /// Tokens in; `None` if the log does not say.
    pub tokens_in: Option<i64>,
    /// Tokens out; `None` if the log does not say.
    pub tokens_out: Option<i64>,
    /// What a success costs.
    pub usd_per_success: UnitCost,
    /// What it would cost by the table of prices; `None` without one.
    pub usd_per_success_repriced: Option<UnitCost>,
    /// Answers beside the real ones.
    pub shadow: Unseen,
    /// Evaluation runs.
    pub eval: Unseen,
}

/// A model that the table of prices does not have at the instants of some rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unpriced {
    /// Its reference.
    pub model_ref: String,
    /// Its rows without a price.
    pub n_rows: u64,
}

/// The bill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chargeback {
    /// What lines are by.
    pub by: Vec<By>,
    /// What counts as a success.
    pub success: Success,
    /// Rows before were left out.
    pub from: Option<Micros>,
    /// Rows from here on were left out.
    pub until: Option<Micros>,
    /// Rows of the log.
    pub n_rows: u64,
    /// Of them, outside of the period.
    pub n_outside: u64,
    /// Rows that could not be used, by reason.
    pub bad_rows: BTreeMap<String, u64>,
    /// The costliest first.
    pub lines: Vec<Line>,
    /// All lines together.
    pub total: Line,
    /// Models without a price, if there is a table of prices.
    pub unpriced: Vec<Unpriced>,
    /// The budgets, in the order of their file.
    pub budgets: Vec<BudgetUse>,
}

impl Chargeback {
    /// Whether any budget was passed.
    pub fn has_breach(&self) -> bool {
        self.budgets.iter().any(|used| !used.breaches.is_empty())
    }
}

/// Opens a log for [`chargeback`].
///
/// # Errors
/// A source without readable files or required columns, or without sessions where they are to be counted as successes.
pub fn open(source: &Source, success: Success, on_bad_row: OnBadRow) -> Result<TrafficReader> {
    let measured = scan::MEASURED.map(|column| Reading {
        column: column.into(),
        test: None,
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
        Some(column) => Err(Error::input(
            source.path.display().to_string(),
            format!("expected a column `{column}`, by which sessions are successes, found none"),
        )
        .hint(format!(
            "if the column has another name, say so: --column {column}=...; or count tasks: --success task"
        ))),
    }
}

/// Adds up what a log's rows cost, line by line. The result is the same on any number of threads and for any order of the files.
///
/// # Errors
/// A log that cannot be read, a bad row under the policy `error`, or a sum that no `i64` holds.
pub fn chargeback(
    question: &Question<'_>,
    reader: &TrafficReader,
    progress: &Progress,
) -> Result<Chargeback> {
    let Found {
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
    let mut counted: Vec<Counted> = lines.values().chain([&total]).map(Counted::of).collect();
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

    let columns = Columns::of(question, reader);
    let mut counted = counted.into_iter();
    let mut found: Vec<(&Vec<String>, Line)> = lines
        .iter()
        .zip(counted.by_ref())
        .map(|((keys, sums), counted)| (keys, columns.line(question.by, keys, sums, counted)))
        .collect();
    // The order of keys, where two cost the same.
    found.sort_by_key(|(_, line)| std::cmp::Reverse(line.cost_nano_usd));
    // The last one is that of all lines together.
    let counted = counted.next().unwrap_or_else(|| Counted::of(&total));
    let total = columns.line(&[], &[], &total, counted);
    let found: Vec<Line> = found.into_iter().map(|(_, line)| line).collect();
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

/// What is counted of a line's users.
struct Counted {
    n_users: u64,
    n_sessions: u64,
    n_successes: u64,
    /// Cost and successes, user by user; only where every row has a cost.
    costs: Option<Vec<f64>>,
    repriced: Option<Vec<f64>>,
}

impl Counted {
    fn of(sums: &Sums) -> Self {
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

/// What the log and the question have.
struct Columns {
    sessions: bool,
    outcomes: bool,
    costs: bool,
    tools: bool,
    tokens: [bool; 2],
    prices: bool,
}

impl Columns {
    fn of(question: &Question<'_>, reader: &TrafficReader) -> Self {
        let prices = question.prices.is_some();
        Self {
            sessions: reader.has("session_id"),
            outcomes: reader.has("task_completed"),
            costs: prices || reader.has("cost_usd"),
            tools: reader.has("tool_cost_usd"),
            tokens: ["tokens_in", "tokens_out"].map(|column| reader.has(column)),
            prices,
        }
    }

    fn line(&self, by: &[By], keys: &[String], sums: &Sums, counted: Counted) -> Line {
        let n_cost_unknown = sums.n_rows - sums.n_cost;
        let coverage = if sums.n_rows == 0 {
            Err(Reason::NoData)
        } else {
            Ok(sums.n_cost as f64 / sums.n_rows as f64)
        };
        let unit =
            |nano: i64, clusters: Option<Vec<f64>>| self.unit_cost(nano, clusters, counted.n_successes);
        Line {
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
            tokens_in: self.tokens[0].then_some(sums.tokens[0]),
            tokens_out: self.tokens[1].then_some(sums.tokens[1]),
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
        // Users without a success cost money, too, so they are clusters like all others.
        let robust = jackknife::delete_one(&Clusters::from_sums(2, clusters), |sums| {
            (sums[1] > 0.0).then(|| sums[0] / sums[1])
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

fn overflow(what: &str) -> Error {
    Error::input(
        "",
        format!("expected sums below 9.2 billion USD and 2^63, found more: {what}"),
    )
    .hint("check the units of cost_usd and tokens, or take a shorter period: --from, --until")
}

/// Reads a TOML file into what it should hold; all that is wrong is noted with the file's name.
fn toml_of<T: DeserializeOwned + Default>(place: &str, bytes: &[u8], problems: &mut Vec<Problem>) -> T {
    let mut wrong = Vec::new();
    let found = match std::str::from_utf8(bytes) {
        Ok(text) => read_toml(text, &mut wrong),
        Err(_) => {
            problems.push(Problem::new(place, "expected UTF-8, found other bytes"));
            T::default()
        }
    };
    problems.extend(wrong.into_iter().map(|problem| Problem {
        place: format!("{place}: {}", problem.place),
        ..problem
    }));
    found
}

/// What was read, unless something was wrong with it.
fn unless<T>(value: T, problems: Vec<Problem>) -> Result<T> {
    let mut problems = problems.into_iter();
    match problems.next() {
        None => Ok(value),
        Some(first) => Err(problems.fold(Error::new(ErrorKind::Input, first), Error::and)),
    }
}

/// Nano-USD as USD with nine digits: exact.
pub fn usd_text(nano: i64) -> String {
    let (sign, rest) = (if nano < 0 { "-" } else { "" }, nano.unsigned_abs());
    format!("{sign}{}.{:09}", rest / 1_000_000_000, rest % 1_000_000_000)
}

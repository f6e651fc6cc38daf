//! The scan of the log on all threads, which sums rows by line.

use hashbrown::HashMap;
use std::collections::BTreeMap;

use crate::base::bitmap;
use crate::base::error::Result;
use crate::base::progress::Progress;
use crate::base::time::{DayClock, Micros};
use crate::base::{hash, parallel};
use crate::finops::budget::{BudgetSums, Day, Fit, Scope, Spender};
use crate::finops::clusters::{ClusterRecord, HELD, Owner, Records};
use crate::finops::gap::{CostGap, Gaps};
use crate::finops::key::By;
use crate::finops::measured::MeasuredColumn;
use crate::finops::money::overflow;
use crate::finops::question::{ChargebackQuestion, Unseen};
use crate::input::{DEFAULT_TENANT, NameCodes, TrafficReader, Turns};
use crate::prices::{ModelPrices, NoCost, Usage};
use crate::release::{Dimension, UNKNOWN};

/// Sums of a line's rows. All amounts are in nano-USD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(super) n_rows: u64,
    pub(super) n_without_user: u64,
    pub(super) n_without_release: u64,
    pub(super) n_outcome_unknown: u64,
    /// Number of rows with a known cost, and the sum of these costs.
    pub(super) n_cost: u64,
    pub(super) cost: i64,
    pub(super) n_logged: u64,
    pub(super) logged: i64,
    pub(super) n_repriced: u64,
    pub(super) repriced: i64,
    pub(super) tools: i64,
    pub(super) tokens_in: i64,
    pub(super) tokens_out: i64,
    /// Rows without a known cost, and without one by the price table, by reason.
    pub(super) gaps: Gaps,
    pub(super) repriced_gaps: Gaps,
    pub(super) shadow: Unseen,
    pub(super) eval: Unseen,
}

fn add(sum: &mut i64, more: i64) -> Result<()> {
    *sum = sum
        .checked_add(more)
        .ok_or_else(|| overflow("the sum of a line"))?;
    Ok(())
}

impl Unseen {
    fn add(&mut self, cost: Option<i64>) -> Result<()> {
        self.n_rows += 1;
        self.n_cost_unknown += u64::from(cost.is_none());
        add(&mut self.cost_nano_usd, cost.unwrap_or(0))
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.n_rows += other.n_rows;
        self.n_cost_unknown += other.n_cost_unknown;
        add(&mut self.cost_nano_usd, other.cost_nano_usd)
    }
}

impl Sums {
    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        self.n_rows += other.n_rows;
        self.n_without_user += other.n_without_user;
        self.n_without_release += other.n_without_release;
        self.n_outcome_unknown += other.n_outcome_unknown;
        self.n_cost += other.n_cost;
        self.n_logged += other.n_logged;
        self.n_repriced += other.n_repriced;
        self.gaps.merge(&other.gaps);
        self.repriced_gaps.merge(&other.repriced_gaps);
        add(&mut self.cost, other.cost)?;
        add(&mut self.logged, other.logged)?;
        add(&mut self.repriced, other.repriced)?;
        add(&mut self.tools, other.tools)?;
        add(&mut self.tokens_in, other.tokens_in)?;
        add(&mut self.tokens_out, other.tokens_out)?;
        self.shadow.merge(&other.shadow)?;
        self.eval.merge(&other.eval)
    }
}

/// The sums of a scan, before the bill is made.
pub(crate) struct ScanResult {
    /// Records of each thread, and the common number of each of the thread's lines.
    pub(super) threads: Vec<(Records, Vec<u32>)>,
    /// Sums by the lines' keys.
    pub(super) lines: BTreeMap<Vec<String>, Sums>,
    pub(super) n_rows: u64,
    pub(super) n_outside: u64,
    pub(super) bad_rows: BTreeMap<String, u64>,
    pub(super) unpriced: BTreeMap<String, u64>,
    /// The sums of each budget.
    pub(super) budgets: Vec<BudgetSums>,
    /// Whether any row has a value of each key, in the log or its record, indexed by [`By`].
    pub(super) has_key: [bool; By::ALL.len()],
}

/// Data of all rows with the same tenant, feature, release, model and prompt.
struct CostCell<'a> {
    line: u32,
    has_release: bool,
    has_model: bool,
    model: String,
    prices: Option<&'a ModelPrices>,
    n_unpriced: u64,
    budgets: Vec<PayingBudget>,
}

/// A budget that covers a cell, or may cover it.
struct PayingBudget {
    budget_idx: usize,
    /// Whether the log says that it covers the cell.
    is_certain: bool,
    /// Whether it covers shadow and evaluation rows as well.
    pays_all: bool,
}

/// The key and the index of a cell.
struct LastCell {
    key: CellKey,
    cell: u32,
}

/// Hashes of a cell's texts, indexed by [`By`].
type CellKey = [i64; By::ALL.len()];

/// The costs of a budget by day, and the clock that numbers the days.
struct BudgetDays {
    clock: DayClock,
    days: HashMap<i64, Day>,
    /// Number of rows that the budget may cover.
    n_key_unknown: u64,
}

/// The state of one thread.
struct ScanState<'a> {
    question: &'a ChargebackQuestion<'a>,
    /// The texts behind hashes, indexed by [`By`].
    names: [HashMap<i64, String>; By::ALL.len()],
    cells: Vec<CostCell<'a>>,
    cell_of: HashMap<CellKey, u32>,
    /// Key and index of the previous row's cell. `None` before the first row.
    last: Option<LastCell>,
    lines: Vec<Sums>,
    line_of: HashMap<Vec<String>, u32>,
    records: Records,
    budgets: Vec<BudgetDays>,
    /// Whether any row has a value of each key, in the log or its record, indexed by [`By`].
    has_key: [bool; By::ALL.len()],
    has_cost: bool,
    has_tools: bool,
    n_rows: u64,
    n_outside: u64,
    bad_rows: BTreeMap<String, u64>,
}

/// Scans a log on all threads and sums its rows by line.
pub(super) fn scan(
    question: &ChargebackQuestion<'_>,
    reader: &TrafficReader,
    progress: &Progress,
) -> Result<ScanResult> {
    let names = NameCodes {
        baseline: "",
        candidate: "",
        layers: Vec::new(),
        refuse_unknown_release: None,
        seed: 0,
        wants_traces: false,
        wants_sessions: reader.has("session_id"),
        buckets: None,
    };
    let parts = &reader.table().parts;
    let bar = progress.rows("finops", reader.table().n_rows());
    let (has_cost, has_tools) = (reader.has("cost_usd"), reader.has("tool_cost_usd"));
    let states = parallel::fold_parts(
        parts.len(),
        || ScanState::new(question, has_cost, has_tools),
        |state, idx| {
            let bad = reader.turns(parts[idx], &names, &mut |turns| {
                bar.advance(turns.n as u64);
                state.take(turns)
            })?;
            for (reason, n) in bad {
                *state.bad_rows.entry(reason).or_default() += n;
            }
            Ok(())
        },
    )?;
    merge(states, question.budgets.len())
}

fn merge(states: Vec<ScanState<'_>>, n_budgets: usize) -> Result<ScanResult> {
    let mut found = ScanResult {
        threads: Vec::new(),
        lines: BTreeMap::new(),
        n_rows: 0,
        n_outside: 0,
        bad_rows: BTreeMap::new(),
        unpriced: BTreeMap::new(),
        budgets: vec![BudgetSums::default(); n_budgets],
        has_key: [false; By::ALL.len()],
    };
    for state in &states {
        for (keys, line) in &state.line_of {
            found
                .lines
                .entry(keys.clone())
                .or_default()
                .merge(&state.lines[*line as usize])?;
        }
    }
    let numbers: HashMap<&Vec<String>, u32> = found.lines.keys().zip(0..).collect();
    let number_lines = |state: &ScanState<'_>| {
        let mut line_of = vec![0; state.lines.len()];
        state
            .line_of
            .iter()
            .for_each(|(keys, line)| line_of[*line as usize] = numbers[keys]);
        line_of
    };
    let numbered: Vec<Vec<u32>> = states.iter().map(number_lines).collect();
    drop(numbers);
    for (state, line_of) in states.into_iter().zip(numbered) {
        found.threads.push((state.records, line_of));
        found.n_rows += state.n_rows;
        found.n_outside += state.n_outside;
        for (reason, n) in state.bad_rows {
            *found.bad_rows.entry(reason).or_default() += n;
        }
        for cell in state.cells.into_iter().filter(|cell| cell.n_unpriced > 0) {
            *found.unpriced.entry(cell.model).or_default() += cell.n_unpriced;
        }
        for (sums, more) in found.budgets.iter_mut().zip(state.budgets) {
            sums.n_key_unknown += more.n_key_unknown;
            for (day, cost) in more.days {
                sums.days.entry(day).or_default().merge(cost)?;
            }
        }
        for (any, has) in found.has_key.iter_mut().zip(state.has_key) {
            *any |= has;
        }
    }
    Ok(found)
}

/// The cost of a row, nano-USD. `None` for a cost that is not known.
#[derive(Debug, Clone, Copy)]
struct Cost {
    logged: Option<i64>,
    repriced: Option<i64>,
    tools: Option<i64>,
    /// Why the charged cost and the cost by the price table are not known.
    gap: Option<CostGap>,
    repriced_gap: Option<CostGap>,
}

impl Cost {
    /// Returns the charged cost, nano-USD: the logged cost, else the cost by the price table.
    /// `None` if both are missing.
    fn charged(&self) -> Option<i64> {
        self.logged.or(self.repriced)
    }
}

impl<'a> ScanState<'a> {
    fn new(question: &'a ChargebackQuestion<'a>, has_cost: bool, has_tools: bool) -> Self {
        Self {
            question,
            names: Default::default(),
            cells: Vec::new(),
            cell_of: HashMap::new(),
            last: None,
            lines: Vec::new(),
            line_of: HashMap::new(),
            records: Records::new(question.near, HELD),
            budgets: question
                .budgets
                .iter()
                .map(|budget| BudgetDays {
                    clock: DayClock::new(&budget.time_zone),
                    days: HashMap::new(),
                    n_key_unknown: 0,
                })
                .collect(),
            has_key: [false; By::ALL.len()],
            has_cost,
            has_tools,
            n_rows: 0,
            n_outside: 0,
            bad_rows: BTreeMap::new(),
        }
    }

    fn take(&mut self, turns: &mut Turns) -> Result<()> {
        for (names, new) in self.names.iter_mut().zip(&mut turns.names) {
            names.extend(new.drain(..));
        }
        self.n_rows += turns.n as u64;
        let (from, until) = (
            self.question.from.unwrap_or(Micros::MIN),
            self.question.until.unwrap_or(Micros::MAX),
        );
        for row in 0..turns.n {
            if bitmap::is_set(&turns.bad, row) {
                continue;
            }
            let at = turns.at.values[row];
            if at < from || at >= until {
                self.n_outside += 1;
                continue;
            }
            self.add(turns, row, at)?;
        }
        Ok(())
    }

    fn add(&mut self, turns: &Turns, row: usize, at: Micros) -> Result<()> {
        let cell = self.cell(turns, row);
        let cost = self.cost(turns, row, at, cell)?;
        let (line, charged) = (self.cells[cell].line, cost.charged());
        let has_release = self.cells[cell].has_release;
        let (is_shadow, is_eval) = (turns.is_shadow.values[row] != 0, turns.is_eval.values[row] != 0);
        for budget in &self.cells[cell].budgets {
            if budget.pays_all || !(is_shadow || is_eval) {
                let sums = &mut self.budgets[budget.budget_idx];
                if budget.is_certain {
                    sums.days.entry(sums.clock.day(at)).or_default().add(charged)?;
                } else {
                    sums.n_key_unknown += 1;
                }
            }
        }
        let sums = &mut self.lines[line as usize];
        if is_shadow {
            return sums.shadow.add(charged);
        }
        if is_eval {
            return sums.eval.add(charged);
        }
        let measured = |column: MeasuredColumn| column.value(turns, row);
        let completed = measured(MeasuredColumn::TaskCompleted);
        let has_user = turns.has_user(row);
        sums.n_rows += 1;
        sums.n_without_user += u64::from(!has_user);
        sums.n_without_release += u64::from(!has_release);
        sums.n_outcome_unknown += u64::from(completed.is_none());
        sums.n_cost += u64::from(charged.is_some());
        sums.n_logged += u64::from(cost.logged.is_some());
        sums.n_repriced += u64::from(cost.repriced.is_some());
        sums.gaps.add(cost.gap);
        sums.repriced_gaps.add(cost.repriced_gap);
        add(&mut sums.cost, charged.unwrap_or(0))?;
        add(&mut sums.logged, cost.logged.unwrap_or(0))?;
        add(&mut sums.repriced, cost.repriced.unwrap_or(0))?;
        add(&mut sums.tools, cost.tools.unwrap_or(0))?;
        add(
            &mut sums.tokens_in,
            measured(MeasuredColumn::TokensIn).unwrap_or(0),
        )?;
        add(
            &mut sums.tokens_out,
            measured(MeasuredColumn::TokensOut).unwrap_or(0),
        )?;
        let session = hash_of_text(&turns.session, row).map_or(0, |session| (session as u64).max(1));
        let owner = if has_user {
            Owner::user(turns.user_hash(row))
        } else {
            Owner::unknown(hash::join(turns.tenant.values[row] as u64, session))
        };
        self.records.push(ClusterRecord {
            owner,
            line,
            session,
            tasks: u32::from(completed == Some(1)),
            cost: charged.unwrap_or(0),
            repriced: cost.repriced.unwrap_or(0),
        })
    }

    fn cost(&mut self, turns: &Turns, row: usize, at: Micros, cell: usize) -> Result<Cost> {
        let measured = |column: MeasuredColumn| column.value(turns, row);
        // Without tool calls, the cost of tools is 0.
        let no_calls = || (measured(MeasuredColumn::ToolCalls) == Some(0)).then_some(0);
        let tools = if self.has_tools {
            measured(MeasuredColumn::ToolCostUsd).or_else(no_calls)
        } else {
            Some(0)
        };
        let with_tools = |cost: Option<i64>| match (cost, tools) {
            (Some(cost), Some(tools)) => cost
                .checked_add(tools)
                .map(Some)
                .ok_or_else(|| overflow("the cost of a row")),
            _ => Ok(None),
        };
        let logged = measured(MeasuredColumn::CostUsd);
        let priced = self.priced(turns, row, at, cell)?;
        let repriced = priced.as_ref().ok().copied();
        // Without a table, what is missing is the logged cost.
        let no_logged = match (self.has_cost, self.question.prices.is_some()) {
            (_, true) => priced.err(),
            (true, false) => Some(CostGap::NoCost),
            (false, false) => Some(CostGap::NoCostColumn),
        };
        let has_tokens = [MeasuredColumn::TokensIn, MeasuredColumn::TokensOut]
            .into_iter()
            .any(|column| measured(column).is_some());
        let has_failed = measured(MeasuredColumn::Success) == Some(0) && logged.is_none() && !has_tokens;
        let gap = |base: Option<i64>, reason: Option<CostGap>| match (base, tools) {
            (Some(_), Some(_)) => None,
            (Some(_), None) => Some(CostGap::NoToolCost),
            (None, _) if has_failed => Some(CostGap::FailedTurn),
            (None, _) => reason,
        };
        Ok(Cost {
            logged: with_tools(logged)?,
            repriced: with_tools(repriced)?,
            tools,
            gap: gap(logged.or(repriced), no_logged),
            repriced_gap: gap(repriced, priced.err()).filter(|_| self.question.prices.is_some()),
        })
    }

    /// The cost of a row's tokens by the price table, or the reason why there is none.
    fn priced(
        &mut self,
        turns: &Turns,
        row: usize,
        at: Micros,
        cell: usize,
    ) -> Result<std::result::Result<i64, CostGap>> {
        if self.question.prices.is_none() {
            return Ok(Err(CostGap::NoModelPrice));
        }
        let cell = &mut self.cells[cell];
        let measured = |column: MeasuredColumn| column.value(turns, row);
        let (tokens_in, tokens_out) = (
            measured(MeasuredColumn::TokensIn),
            measured(MeasuredColumn::TokensOut),
        );
        let usage = Usage {
            model: &cell.model,
            at,
            tokens_in: tokens_in.unwrap_or(0),
            cache_read: measured(MeasuredColumn::CachedTokensIn).unwrap_or(0),
            cache_write: measured(MeasuredColumn::CacheWriteTokensIn).unwrap_or(0),
            cache_write_1h: measured(MeasuredColumn::CacheWrite1hTokensIn).unwrap_or(0),
            tokens_out: tokens_out.unwrap_or(0),
            is_batch: measured(MeasuredColumn::IsBatch) == Some(1),
        };
        let cost = match cell.prices {
            Some(prices) => prices.cost_of(&usage),
            None => Err(NoCost::Model),
        };
        let is_unpriced = matches!(cost, Err(NoCost::Model | NoCost::Batch | NoCost::Time));
        cell.n_unpriced += u64::from(is_unpriced);
        if !is_unpriced && (tokens_in.is_none() || tokens_out.is_none()) {
            return Ok(Err(CostGap::NoTokens));
        }
        match cost {
            Ok(cost) => Ok(Ok(cost)),
            Err(reason) => match CostGap::of_price(reason, cell.has_model) {
                Some(gap) => Ok(Err(gap)),
                None => Err(overflow("the tokens of a row")),
            },
        }
    }

    /// Returns the index of a row's cell.
    fn cell(&mut self, turns: &Turns, row: usize) -> usize {
        let key: CellKey =
            std::array::from_fn(|column| hash_of_text(&turns.breakdowns[column], row).unwrap_or(0));
        if let Some(last) = self.last.as_ref().filter(|last| last.key == key) {
            return last.cell as usize;
        }
        let cell = match self.cell_of.get(&key) {
            Some(cell) => *cell,
            None => self.new_cell(key),
        };
        self.last = Some(LastCell { key, cell });
        cell as usize
    }

    fn new_cell(&mut self, key: CellKey) -> u32 {
        let question = self.question;
        let text = |by: By| {
            self.names[by as usize]
                .get(&key[by as usize])
                .filter(|_| key[by as usize] != 0)
                .map(String::as_str)
        };
        let tenant = text(By::Tenant).unwrap_or(DEFAULT_TENANT);
        let (release, feature) = (text(By::Release), text(By::Feature));
        let record = release.and_then(|release| question.records?.find(tenant, release));
        let of_record = |dimension: Dimension| {
            record
                .and_then(|record| record.artifact(dimension))
                .map(|artifact| artifact.reference.as_str())
        };
        let model = text(By::Model).or_else(|| of_record(Dimension::Model));
        let prompt = text(By::Prompt).or_else(|| of_record(Dimension::Prompt));
        let of_key = |by: By| match by {
            By::Tenant => text(By::Tenant),
            By::Feature => feature,
            By::Release => release,
            By::Model => model,
            By::Prompt => prompt,
        };
        let name = |by: &By| of_key(*by).unwrap_or(by.without_value()).to_owned();
        let keys: Vec<String> = question.by.iter().map(name).collect();
        for by in By::ALL {
            self.has_key[by as usize] |= of_key(by).is_some();
        }
        let spender = Spender {
            tenant,
            feature,
            release,
            model,
        };
        let paying = question.budgets.iter().enumerate();
        let paying = paying.filter_map(|(budget_idx, budget)| {
            let fit = budget.fit(spender);
            (fit != Fit::Other).then_some(PayingBudget {
                budget_idx,
                is_certain: fit == Fit::Pays,
                pays_all: budget.rows == Scope::All,
            })
        });
        let cell = CostCell {
            line: 0,
            has_release: release.is_some(),
            has_model: model.is_some(),
            model: model.unwrap_or(UNKNOWN).to_owned(),
            prices: question
                .prices
                .and_then(|prices| prices.of_model(model.unwrap_or(UNKNOWN))),
            n_unpriced: 0,
            budgets: paying.collect(),
        };
        let n_lines = self.lines.len() as u32;
        let line = *self.line_of.entry(keys).or_insert(n_lines);
        if line == n_lines {
            self.lines.push(Sums::default());
        }
        let number = self.cells.len() as u32;
        self.cells.push(CostCell { line, ..cell });
        self.cell_of.insert(key, number);
        number
    }
}

/// Returns the hash of a row's text. `None` for a missing or empty text.
fn hash_of_text(column: &crate::input::Column, row: usize) -> Option<i64> {
    let hash = column.values[row];
    (!column.is_absent(row) && hash != hash::hash_id(b"") as i64).then_some(hash)
}

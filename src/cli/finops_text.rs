//! The bill of `sluice finops` for people: one table, and what it does not show.

use console::measure_text_width;
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::number::{count, number};
use crate::cli::summary::{percent_of_count, shown};
use crate::cli::table::{Column, Table, column};
use crate::cli::terminal::Terminal;
use crate::cli::text::path_text;
use crate::finops::{BillLine, BudgetUse, By, Chargeback, CostGap, Per, UnitCost, Unseen};
use crate::release::UNKNOWN;
use crate::stats::{Known, Reason};

/// Lines that a terminal shows.
const SHOWN: usize = 40;
/// A number that does not exist. A note under the table says why.
const NONE: &str = "-";

/// A column of the table, and its text in a line.
type BillColumn = (Column, Box<dyn Fn(&BillLine) -> String>);

/// The table of the lines, the notes, the budgets and the written file.
pub(super) fn bill_text(bill: &Chargeback, out: Option<&Path>, terminal: &Terminal) -> String {
    let mut notes = String::new();
    rows_note(bill, &mut notes);
    keys_note(bill, &mut notes);
    users_note(bill, &mut notes);
    costs_note(bill, &mut notes);
    unit_notes(bill, &mut notes);
    bill.budgets
        .iter()
        .for_each(|used| budget_note(bill, used, &mut notes));
    let mut text = format!("{}\n{}", table_text(bill, terminal), terminal.fill(&notes));
    if let Some(path) = out {
        text.push_str(&format!("written:\n  {}\n", path_text(path)));
    }
    text
}

/// The table, with one column a key or, if that is too wide for the terminal, one for all keys.
fn table_text(bill: &Chargeback, terminal: &Terminal) -> String {
    let text = table(bill, false).render(terminal);
    let is_wide = |line: &str| {
        terminal
            .width
            .is_some_and(|width| measure_text_width(line) > width.into())
    };
    if text.lines().any(is_wide) {
        table(bill, true).render(terminal)
    } else {
        text
    }
}

fn table(bill: &Chargeback, joins_keys: bool) -> Table {
    let keys = shown_keys(bill);
    let columns = number_columns(bill, joins_keys);
    let titles = keys.iter().map(|by| by.column().to_owned()).collect();
    let titles = names(titles, joins_keys).into_iter().map(column);
    let titles = titles.map(|title| if joins_keys { title.wraps() } else { title });
    let numbers = columns.iter().map(|(column, _)| column.clone());
    let mut table = Table::new(titles.chain(numbers));
    let numbers = |line: &BillLine| columns.iter().map(|(_, cell)| cell(line)).collect::<Vec<_>>();
    for line in bill.lines.iter().take(SHOWN) {
        let name = |by: &By| {
            line.keys
                .get(by.column())
                .map_or_else(String::new, |name| shown(name))
        };
        let own = names(keys.iter().map(name).collect(), joins_keys);
        table.add_row([own, numbers(line)].concat());
    }
    if !keys.is_empty() {
        let mut own = vec!["all".to_owned()];
        own.resize(if joins_keys { 1 } else { keys.len() }, String::new());
        table.add_row([own, numbers(&bill.total)].concat());
    }
    table
}

/// The names of a line, as one text if they are joined.
fn names(names: Vec<String>, joins: bool) -> Vec<String> {
    if joins { vec![names.join(" / ")] } else { names }
}

/// The keys that say something. At least one is shown.
fn shown_keys(bill: &Chargeback) -> Vec<By> {
    let is_known = |by: &&By| !bill.unknown_keys.contains(by);
    let keys: Vec<By> = bill.by.iter().filter(is_known).copied().collect();
    match keys.is_empty() {
        true => bill.by.iter().take(1).copied().collect(),
        false => keys,
    }
}

/// The numbers of the lines. Beside joined keys there is no room for tokens.
fn number_columns(bill: &Chargeback, joins_keys: bool) -> Vec<BillColumn> {
    let total = &bill.total;
    let mut columns: Vec<BillColumn> = Vec::new();
    let mut add =
        |column: Column, cell: Box<dyn Fn(&BillLine) -> String>| columns.push((column.right(), cell));
    add(column("rows").rank(3), Box::new(|line| count(line.n_rows)));
    if total.n_users.value().is_some() {
        let users = |line: &BillLine| or_none(line.n_users.value().copied(), count);
        add(column("users").rank(2), Box::new(users));
    }
    if total.n_sessions.is_some() {
        let sessions = |line: &BillLine| or_none(line.n_sessions, count);
        add(column("sessions").wide(), Box::new(sessions));
    }
    if total.n_successes.is_some() {
        let successes = |line: &BillLine| or_none(line.n_successes, count);
        add(column("successes").rank(4), Box::new(successes));
    }
    let cost = |line: &BillLine| money(line.cost_nano_usd, line.n_rows - line.n_cost_unknown);
    add(column("cost USD"), Box::new(cost));
    let known = |line: &BillLine| share(line.n_rows - line.n_cost_unknown, line.n_rows);
    add(column("cost known").rank(1), Box::new(known));
    if total.tool_cost_nano_usd.is_some() {
        let tools = |line: &BillLine| or_none(line.tool_cost_nano_usd, usd);
        add(column("of it tools").wide(), Box::new(tools));
    }
    let tokens = |n: i64| count(n.unsigned_abs());
    let rank = if joins_keys { u8::MAX } else { 6 };
    if total.tokens_in.is_some() {
        let cell = move |line: &BillLine| or_none(line.tokens_in, tokens);
        add(column("tokens in").rank(rank), Box::new(cell));
    }
    if total.tokens_out.is_some() {
        let cell = move |line: &BillLine| or_none(line.tokens_out, tokens);
        add(column("tokens out").rank(rank), Box::new(cell));
    }
    if total.n_successes.is_some() {
        add(
            column("USD per success"),
            Box::new(|line| unit(&line.usd_per_success)),
        );
    }
    if total.repriced_nano_usd.is_some() {
        let logged = |line: &BillLine| money(line.logged_nano_usd, line.n_logged);
        add(column("logged USD").rank(5), Box::new(logged));
        let n = |line: &BillLine| line.n_repriced.unwrap_or(0);
        let repriced = move |line: &BillLine| money(line.repriced_nano_usd.unwrap_or(0), n(line));
        add(column("re-priced USD"), Box::new(repriced));
        let known = move |line: &BillLine| share(n(line), line.n_rows);
        add(column("price known").rank(5), Box::new(known));
    }
    if total.usd_per_success_repriced.is_some() && total.n_successes.is_some() {
        let cell = |line: &BillLine| {
            let cost = line.usd_per_success_repriced.as_ref();
            cost.map_or_else(|| NONE.to_owned(), unit)
        };
        add(column("USD per success, re-priced").wide(), Box::new(cell));
    }
    let unseen = |of: &Unseen| money(of.cost_nano_usd, of.n_rows - of.n_cost_unknown);
    if total.shadow.n_rows > 0 {
        add(
            column("shadow USD").wide(),
            Box::new(move |line| unseen(&line.shadow)),
        );
    }
    if total.eval.n_rows > 0 {
        add(
            column("eval USD").wide(),
            Box::new(move |line| unseen(&line.eval)),
        );
    }
    columns
}

fn or_none<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), text)
}

fn share(n: u64, of: u64) -> String {
    or_none((of > 0).then_some(of), |of| percent_of_count(n, of))
}

/// A sum of money over `n_known` rows. Without such a row it is not known.
fn money(nano: i64, n_known: u64) -> String {
    or_none((n_known > 0).then_some(nano), usd)
}

/// USD for people: whole cents from a dollar on, four significant digits below.
fn usd(nano: i64) -> String {
    let value = nano as f64 * 1e-9;
    if value.abs() >= 1.0 {
        format!("{value:.2}")
    } else {
        number(value)
    }
}

fn unit(cost: &UnitCost) -> String {
    let interval = cost.robust.value();
    let interval = interval.map(|robust| [robust.ci_lower, robust.ci_upper].map(number));
    match (&cost.estimate, interval) {
        (Known::Unknown { .. }, _) => NONE.to_owned(),
        (Known::Value(estimate), Some([lower, upper])) => {
            format!("{} ({lower} to {upper})", number(*estimate))
        }
        (Known::Value(estimate), None) => number(*estimate),
    }
}

fn rows_note(bill: &Chargeback, notes: &mut String) {
    let total = &bill.total;
    notes.push_str(&format!(
        "{} rows, {} seen by users",
        count(bill.n_rows),
        count(total.n_rows)
    ));
    let n_bad: u64 = bill.bad_rows.values().sum();
    let rest = [
        (bill.n_outside, "outside of the period"),
        (total.shadow.n_rows, "shadow"),
        (total.eval.n_rows, "evaluation"),
        (n_bad, "bad"),
    ];
    rest.iter()
        .filter(|(n, _)| *n > 0)
        .for_each(|(n, what)| notes.push_str(&format!(", {} {what}", count(*n))));
    notes.push('\n');
    if bill.lines.len() > SHOWN {
        notes.push_str(&format!(
            "{} more lines: --json or --out shows them all\n",
            bill.lines.len() - SHOWN
        ));
    }
}

/// Keys that no row has, and rows without a release.
fn keys_note(bill: &Chargeback, notes: &mut String) {
    let (absent, empty): (Vec<By>, Vec<By>) = bill
        .by
        .iter()
        .filter(|by| bill.unknown_keys.contains(by))
        .partition(|by| bill.absent_columns.contains(&by.column()));
    for (keys, what) in [(absent, "not in the log"), (empty, "empty in every row")] {
        let names: Vec<&str> = keys.iter().map(|by| by.column()).collect();
        if !names.is_empty() {
            notes.push_str(&format!("{what}: {}\n", names.join(", ")));
        }
    }
    let n = bill.total.n_without_release;
    if n > 0 && bill.by.contains(&By::Release) && !bill.unknown_keys.contains(&By::Release) {
        notes.push_str(&format!(
            "{} rows have no release_id: they are in the lines `{UNKNOWN}`\n",
            count(n)
        ));
    }
}

fn users_note(bill: &Chargeback, notes: &mut String) {
    let total = &bill.total;
    let what = if total.n_successes.is_some() {
        "no numbers of users and no intervals of costs per success"
    } else {
        "no numbers of users"
    };
    match total.n_users.reason() {
        Some(Reason::NoColumn) => {
            notes.push_str(&format!("{what}: the log does not have the column user_id\n"));
        }
        Some(_) => notes.push_str(&format!("{what}: no row of the log has a user_id\n")),
        None if total.n_without_user > 0 => notes.push_str(&format!(
            "{} rows have no user_id: all sums include them, the numbers of users do not\n",
            count(total.n_without_user)
        )),
        None => {}
    }
}

fn costs_note(bill: &Chargeback, notes: &mut String) {
    let total = &bill.total;
    if total.n_cost_unknown > 0 {
        notes.push_str(&format!(
            "{} rows have no known cost, and the sums leave them out:\n",
            count(total.n_cost_unknown)
        ));
        reasons_note(&total.cost_unknown_reasons, notes);
    }
    // Rows without a logged cost have their reasons above.
    let own = total
        .repriced_unknown_reasons
        .iter()
        .flatten()
        .filter_map(|(gap, n)| {
            let above = total.cost_unknown_reasons.get(gap).copied().unwrap_or(0);
            (*n > above).then(|| (*gap, n - above))
        });
    let own: BTreeMap<CostGap, u64> = own.collect();
    if !own.is_empty() {
        notes.push_str(&format!(
            "{} rows with a logged cost have no re-priced one:\n",
            count(own.values().sum())
        ));
        reasons_note(&own, notes);
    }
    for unpriced in &bill.unpriced {
        let n = count(unpriced.n_rows);
        notes.push_str(&if unpriced.model_ref == UNKNOWN {
            format!("no price: {n} rows name no model, in model_ref or in a record of --records\n")
        } else {
            format!("no price: {} ({n} rows)\n", shown(&unpriced.model_ref))
        });
    }
}

/// Numbers of rows by the reason why their cost is not known.
fn reasons_note(reasons: &BTreeMap<CostGap, u64>, notes: &mut String) {
    for (gap, n) in reasons {
        notes.push_str(&format!("  {}: {}\n", count(*n), gap.text()));
    }
}

/// The reasons why lines have no cost per success, or no interval.
fn unit_notes(bill: &Chargeback, notes: &mut String) {
    let total = &bill.total;
    if total.n_successes.is_none() {
        notes.push_str("no cost per success: the log does not have the column task_completed\n");
        return;
    }
    if total.n_outcome_unknown > 0 {
        notes.push_str(&format!(
            "{} rows do not say whether their task was completed: no successes\n",
            count(total.n_outcome_unknown)
        ));
    }
    let lines: Vec<&BillLine> = bill.lines.iter().filter(|line| line.n_rows > 0).collect();
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for line in &lines {
        let cost = &line.usd_per_success;
        let reason = match (cost.estimate.reason(), cost.robust.reason()) {
            (Some(reason), _) => no_estimate(reason),
            (None, Some(reason)) => no_interval(reason),
            (None, None) => None,
        };
        *reasons.entry(reason.unwrap_or_default()).or_default() += u64::from(reason.is_some());
    }
    for (reason, n) in reasons.into_iter().filter(|(_, n)| *n > 0) {
        let lines = match lines.len() as u64 {
            all if all == n => String::new(),
            all => format!(" in {} of {} lines", count(n), count(all)),
        };
        let (what, why) = reason.split_once(": ").unwrap_or((reason, ""));
        notes.push_str(&format!("{what}{lines}: {why}\n"));
    }
}

/// Why a line has no cost per success. `None` if another note says it.
fn no_estimate(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Incomplete => Some("no cost per success: the costs of some rows are not known"),
        Reason::NoColumn => Some("no cost per success: the log does not have the column cost_usd"),
        _ => Some("no cost per success: there is no success"),
    }
}

/// Why a line has no interval. `None` if another note says it.
fn no_interval(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::NoColumn | Reason::NoData => None,
        Reason::Incomplete => Some("no interval: some rows have no user"),
        Reason::TooFewClusters => Some("no interval: fewer than 20 users"),
        Reason::DominatingCluster => Some("no interval: one user has nearly all successes"),
        Reason::NoVariance => Some("no interval: all users have the same cost per success"),
        _ => Some("no interval: out of the range of double precision"),
    }
}

fn budget_note(bill: &Chargeback, used: &BudgetUse, notes: &mut String) {
    let budget = &used.budget;
    let zone = if budget.time_zone.is_utc() || budget.per == Per::Total {
        String::new()
    } else {
        format!(" ({})", budget.time_zone.name())
    };
    let per = match budget.per {
        Per::Day => "a day",
        Per::Month => "a month",
        Per::Total => "in total",
    };
    let rows = |n: u64, what: &str| match n {
        0 => String::new(),
        n => format!(", {} rows {what}", count(n)),
    };
    let of_unknown_cost = |n: u64| rows(n, "of unknown cost");
    let spent = match &used.spent_nano_usd {
        Known::Value(nano) => format!(
            "{}{}{}",
            usd(*nano),
            of_unknown_cost(used.n_cost_unknown),
            rows(used.n_key_unknown, "that it may pay for")
        ),
        Known::Unknown { .. } => {
            let keys = budget.keys().filter(|by| bill.unknown_keys.contains(by));
            let keys: Vec<&str> = keys.map(By::column).collect();
            format!(
                "not known: no row of the log has a value of {}",
                keys.join(" or ")
            )
        }
    };
    notes.push_str(&format!(
        "budget {}: {} USD {per}{zone}, spent {spent}\n",
        shown(&budget.name),
        usd(budget.limit_nano_usd)
    ));
    for breach in used.breaches.iter().take(SHOWN) {
        notes.push_str(&format!(
            "  passed in {} on {}: {} USD, {} over{}\n",
            breach.period,
            breach.first_day,
            usd(breach.spent_nano_usd),
            usd(breach.over_nano_usd),
            of_unknown_cost(breach.n_cost_unknown)
        ));
    }
    if used.breaches.len() > SHOWN {
        notes.push_str(&format!(
            "  and in {} more periods: --json shows them all\n",
            used.breaches.len() - SHOWN
        ));
    }
}

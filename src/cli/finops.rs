//! `sluice finops`: what a log's rows cost, and who pays.

use clap::{Args, ValueEnum};
use comfy_table::CellAlignment;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result, exit_code};
use crate::base::number::number;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::base::{files, json};
use crate::cli::summary::{new_table, percent_of_count, shown};
use crate::cli::terminal::{DONE, print};
use crate::cli::values::{
    BadRowArg, check_out, check_period, parse_column, parse_instant, source_with_columns,
};
use crate::finops;
use crate::finops::{BillLine, Budget, By, Chargeback, ChargebackQuestion, Per, Prices, Success, UnitCost};
use crate::release::{RecordIndex, read_records};
use crate::stats::Known;

/// Lines that a terminal shows.
const SHOWN: usize = 40;

/// Charge the cost of a traffic log to tenants, features, releases, models and prompts, and say
/// what a success costs
#[derive(Debug, Args)]
#[command(
    after_help = "A row costs what the log says (cost_usd, and tool_cost_usd where there is such a column) or, where it says nothing, what --prices says of its tokens. A cost that nobody knows is not 0: the line says of how many rows it is known, and refuses a cost per success.

Examples:
  sluice finops --traffic log/ --by tenant_id,feature
  sluice finops --traffic log/ --records releases/ --prices prices.toml --out bill.csv
  sluice finops --traffic log/ --by release_id --success session --from 2026-05-01 --until 2026-06-01 --json
  sluice finops --traffic log/ --budget budgets.toml --fail-on-breach

prices.toml (USD per million tokens; CSV and JSON with the same names will do):
  [[price]]
  model = \"gpt-4o-mini\"
  input = 0.15
  output = 0.60
  cached_input = 0.075   # optional
  from = \"2026-06-01\"    # optional

budgets.toml:
  [[budget]]
  tenant = \"shop\"        # optional, as feature, release, model
  usd = 250
  per = \"day\"            # or month, total"
)]
pub(super) struct FinopsArgs {
    /// Traffic: a file, a folder or a glob
    #[arg(long, value_name = "PATH")]
    traffic: PathBuf,
    /// A column under another name, such as cost_usd=price; may be given several times
    #[arg(long = "column", value_name = "NAME=COLUMN", value_parser = parse_column)]
    columns: Vec<(String, String)>,
    /// What lines are by, in this order
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', default_value = "tenant_id,feature,release_id,model_ref,prompt_ref", value_parser = parse_by)]
    by: Vec<By>,
    /// Release records: a file or a folder; they know model and prompt where the log does not
    #[arg(long, value_name = "PATH")]
    records: Option<PathBuf>,
    /// Prices of tokens by model: a .toml, .csv or .json file
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Budgets: a TOML file
    #[arg(long, value_name = "FILE")]
    budget: Option<PathBuf>,
    /// Exit with code 10 if a budget was passed
    #[arg(long, requires = "budget")]
    fail_on_breach: bool,
    /// What counts as a success: a completed task, or a session with one
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    success: SuccessArg,
    /// Leave out rows before this instant
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    from: Option<Micros>,
    /// Leave out rows from this instant on
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    until: Option<Micros>,
    /// What to do with a row that cannot be used: stop, or leave it out and count it
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    on_bad_row: BadRowArg,
    /// Write the lines to a file (.csv or .parquet)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum SuccessArg {
    /// Every row with task_completed
    #[default]
    Task,
    /// Every session with such a row
    Session,
}

fn parse_by(text: &str) -> std::result::Result<By, String> {
    By::from_column(text.trim())
        .ok_or_else(|| format!("expected one of {}", By::ALL.map(By::column).join(", ")))
}

pub(super) fn run(args: &FinopsArgs) -> Result<u8> {
    if let Some(by) = args
        .by
        .iter()
        .enumerate()
        .find_map(|(idx, by)| args.by[..idx].contains(by).then_some(by))
    {
        return Err(Error::usage(format!(
            "expected each column of --by once, found {} twice",
            by.column()
        )));
    }
    check_period(args.from, args.until)?;
    if let Some(path) = &args.out {
        check_out(path)?;
        let mut read = vec![args.traffic.clone()];
        read.extend(
            [&args.records, &args.prices, &args.budget]
                .into_iter()
                .flatten()
                .cloned(),
        );
        files::keep_apart(&read, &[path])?;
    }
    let success = match args.success {
        SuccessArg::Task => Success::Task,
        SuccessArg::Session => Success::Session,
    };
    let records = args
        .records
        .as_deref()
        .map(|path| read_records(path).map(RecordIndex::new))
        .transpose()?;
    let prices = args.prices.as_deref().map(Prices::read).transpose()?;
    let budgets = args
        .budget
        .as_deref()
        .map(Budget::read_all)
        .transpose()?
        .unwrap_or_default();
    let reader = finops::open(
        &source_with_columns(&args.traffic, &args.columns),
        success,
        args.on_bad_row.into(),
    )?;
    let nowhere = std::env::temp_dir().join("sluice-finops");
    let question = ChargebackQuestion {
        by: &args.by,
        success,
        from: args.from,
        until: args.until,
        records: records.as_ref(),
        prices: prices.as_ref(),
        budgets: &budgets,
        near: args.out.as_deref().unwrap_or(&nowhere),
    };
    let bill = finops::chargeback(&question, &reader, &Progress::on_terminal())?;
    if let Some(path) = &args.out {
        finops::write(&bill, path)?;
    }
    print(&if args.json {
        json::to_json(&bill)
    } else {
        text(&bill, args.out.as_deref())
    })?;
    Ok(if args.fail_on_breach && bill.has_breach() {
        exit_code::GATE_FAILED
    } else {
        DONE
    })
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
    match (&cost.estimate, &cost.robust) {
        (Known::Unknown { reason }, _) => reason.to_string(),
        (Known::Value(estimate), Known::Value(robust)) => {
            format!(
                "{} ({} to {})",
                number(*estimate),
                number(robust.ci_lower),
                number(robust.ci_upper)
            )
        }
        (Known::Value(estimate), Known::Unknown { reason }) => format!("{} ({reason})", number(*estimate)),
    }
}

fn text(bill: &Chargeback, out: Option<&Path>) -> String {
    let total = &bill.total;
    let mut table = new_table();
    let mut header: Vec<&str> = bill.by.iter().map(|by| by.column()).collect();
    header.extend(["rows", "users"]);
    header.extend(total.n_sessions.map(|_| "sessions"));
    header.extend(["successes", "cost USD", "known"]);
    header.extend(total.tool_cost_nano_usd.map(|_| "of it tools"));
    header.extend(total.tokens_in.map(|_| "tokens in"));
    header.extend(total.tokens_out.map(|_| "tokens out"));
    header.push("USD per success");
    if total.repriced_nano_usd.is_some() {
        header.extend([
            "logged USD",
            "re-priced USD",
            "known",
            "USD per success, re-priced",
        ]);
    }
    let unseen = [
        ("shadow USD", total.shadow.n_rows),
        ("eval USD", total.eval.n_rows),
    ];
    header.extend(unseen.iter().filter(|(_, n)| *n > 0).map(|(name, _)| *name));
    let n_columns = header.len();
    table.set_header(header);
    let row = |line: &BillLine, keys: Vec<String>| {
        let share = |n: u64| {
            if line.n_rows == 0 {
                "-".to_owned()
            } else {
                percent_of_count(n, line.n_rows)
            }
        };
        let mut row = keys;
        row.extend([line.n_rows.to_string(), line.n_users.to_string()]);
        row.extend(line.n_sessions.map(|n| n.to_string()));
        row.push(line.n_successes.map_or_else(|| "-".to_owned(), |n| n.to_string()));
        row.extend([usd(line.cost_nano_usd), share(line.n_rows - line.n_cost_unknown)]);
        row.extend(line.tool_cost_nano_usd.map(usd));
        row.extend(
            [line.tokens_in, line.tokens_out]
                .into_iter()
                .flatten()
                .map(|n| n.to_string()),
        );
        row.push(unit(&line.usd_per_success));
        if let (Some(repriced), Some(n), Some(cost)) = (
            line.repriced_nano_usd,
            line.n_repriced,
            &line.usd_per_success_repriced,
        ) {
            row.extend([usd(line.logged_nano_usd), usd(repriced), share(n), unit(cost)]);
        }
        for (of_total, own) in [(&total.shadow, &line.shadow), (&total.eval, &line.eval)] {
            row.extend((of_total.n_rows > 0).then(|| usd(own.cost_nano_usd)));
        }
        row
    };
    for line in bill.lines.iter().take(SHOWN) {
        table.add_row(row(
            line,
            bill.by
                .iter()
                .map(|by| {
                    line.keys
                        .get(by.column())
                        .map_or_else(String::new, |name| shown(name))
                })
                .collect(),
        ));
    }
    if !bill.by.is_empty() {
        table.add_row(row(
            total,
            (0..bill.by.len())
                .map(|idx| if idx == 0 { "all".to_owned() } else { String::new() })
                .collect(),
        ));
    }
    for idx in bill.by.len()..n_columns {
        if let Some(column) = table.column_mut(idx) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("{}\n\n", table.trim_fmt());
    notes(bill, &mut text);
    if let Some(path) = out {
        text.push_str(&format!("written:\n  {}\n", path.display()));
    }
    text
}

fn notes(bill: &Chargeback, text: &mut String) {
    let total = &bill.total;
    text.push_str(&format!("{} rows, {} seen by users", bill.n_rows, total.n_rows));
    let n_bad: u64 = bill.bad_rows.values().sum();
    let rest = [
        (bill.n_outside, "outside of the period"),
        (total.shadow.n_rows, "shadow"),
        (total.eval.n_rows, "evaluation"),
        (n_bad, "bad"),
    ];
    rest.iter()
        .filter(|(n, _)| *n > 0)
        .for_each(|(n, what)| text.push_str(&format!(", {n} {what}")));
    text.push('\n');
    if bill.lines.len() > SHOWN {
        text.push_str(&format!(
            "{} more lines: --json or --out shows them all\n",
            bill.lines.len() - SHOWN
        ));
    }
    if total.n_cost_unknown > 0 {
        text.push_str(&format!(
            "{} rows cost what nobody knows; the sums are without them: the log needs cost_usd, or --prices their models and tokens\n",
            total.n_cost_unknown
        ));
    }
    if total.n_outcome_unknown > 0 && total.n_successes.is_some() {
        text.push_str(&format!(
            "{} rows do not say whether their task was completed: no successes\n",
            total.n_outcome_unknown
        ));
    }
    for unpriced in &bill.unpriced {
        text.push_str(&format!(
            "no price: {} ({} rows)\n",
            shown(&unpriced.model_ref),
            unpriced.n_rows
        ));
    }
    for used in &bill.budgets {
        let budget = &used.budget;
        let per = match budget.per {
            Per::Day => "a day",
            Per::Month => "a month",
            Per::Total => "in total",
        };
        let unknown = |n: u64| {
            if n > 0 {
                format!(", {n} rows of unknown cost")
            } else {
                String::new()
            }
        };
        let name = shown(&budget.name);
        text.push_str(&format!(
            "budget {name}: {} USD {per}, spent {}{}\n",
            usd(budget.limit_nano_usd),
            usd(used.spent_nano_usd),
            unknown(used.n_cost_unknown)
        ));
        for breach in used.breaches.iter().take(SHOWN) {
            text.push_str(&format!(
                "  passed in {} on {}: {} USD, {} over{}\n",
                breach.period,
                breach.first_day,
                usd(breach.spent_nano_usd),
                usd(breach.over_nano_usd),
                unknown(breach.n_cost_unknown)
            ));
        }
        if used.breaches.len() > SHOWN {
            text.push_str(&format!(
                "  and in {} more periods: --json shows them all\n",
                used.breaches.len() - SHOWN
            ));
        }
    }
}

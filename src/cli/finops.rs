//! `sluice finops`: the cost of a log, and its chargeback.

use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

use crate::base::apart::Apart;
use crate::base::error::{Error, Result, exit_code};
use crate::base::number::{count, number};
use crate::base::time::{Micros, WrittenInstant, Zone};
use crate::base::{files, json};
use crate::cli::source_args::SourceArgs;
use crate::cli::summary::{percent_of_count, shown};
use crate::cli::table::{Column, Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::values::{BadRowArg, check_out, check_period, parse_allowed, parse_written};
use crate::finops;
use crate::finops::{BillLine, Budget, By, Chargeback, ChargebackQuestion, Per, Success, UnitCost};
use crate::prices::Prices;
use crate::release::{RecordIndex, read_records};
use crate::scenario::AllowedColumn;
use crate::stats::Known;

/// Lines that a terminal shows.
const SHOWN: usize = 40;

/// Charge the cost of a traffic log to tenants, features, releases, models and prompts, with the
/// cost per success
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/finops.txt"))]
pub(super) struct FinopsArgs {
    /// Traffic: a file, a folder or a glob
    #[arg(long, value_name = "PATH")]
    traffic: PathBuf,
    #[command(flatten)]
    source: SourceArgs,
    /// A column whose name contains a sensitive attribute and that may be used all the same, with
    /// the reason; repeatable
    #[arg(long = "allow-column", value_name = "COLUMN=REASON", value_parser = parse_allowed)]
    allowed: Vec<AllowedColumn>,
    /// Columns of the lines, in this order
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', default_value = "tenant_id,feature,release_id,model_ref,prompt_ref", value_parser = parse_by)]
    by: Vec<By>,
    /// Release records, a file or a folder: model and prompt where the log has none
    #[arg(long, value_name = "PATH")]
    records: Option<PathBuf>,
    /// Prices of tokens by model: a .toml, .csv or .json file
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Budgets: a TOML file
    #[arg(long, value_name = "FILE")]
    budget: Option<PathBuf>,
    /// End with exit code 10 if a budget was exceeded
    #[arg(long, requires = "budget")]
    fail_on_breach: bool,
    /// The unit of success: a completed task, or a session with one
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    success: SuccessArg,
    /// Leave out rows before this instant
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    from: Option<WrittenInstant>,
    /// Leave out rows from this instant on
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    until: Option<WrittenInstant>,
    /// Treatment of a row that cannot be used: stop, or leave it out and count it
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

pub(super) fn run(args: &FinopsArgs, terminal: &Terminal) -> Result<u8> {
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
    let out = args.out.as_deref().map(files::followed).transpose()?;
    if let Some(path) = &out {
        check_out(path)?;
        let mut read = vec![args.traffic.clone()];
        read.extend(
            [&args.records, &args.prices, &args.budget]
                .into_iter()
                .flatten()
                .cloned(),
        );
        Apart::new().reads(read).writes([path]).check()?;
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
    let zone = budgets
        .first()
        .map_or(Zone::UTC, |budget| budget.time_zone.clone());
    let (from, until) = period(args, &zone)?;
    let reader = finops::open(
        &args.source.source(&args.traffic, &args.allowed)?,
        success,
        args.on_bad_row.into(),
    )?;
    reader
        .table()
        .warnings()
        .iter()
        .for_each(|warning| terminal.warn(warning));
    let nowhere = std::env::temp_dir().join("sluice-finops");
    let question = ChargebackQuestion {
        by: &args.by,
        success,
        from,
        until,
        records: records.as_ref(),
        prices: prices.as_ref(),
        budgets: &budgets,
        near: out.as_deref().unwrap_or(&nowhere),
    };
    let stage = terminal.progress().stage("finops");
    let bill = finops::chargeback(&question, &reader, terminal.progress())?;
    stage.set_rows(bill.n_rows);
    if let Some(path) = &out {
        finops::write(&bill, path)?;
    }
    if args.json {
        print_json(&json::to_json(&bill))?;
    } else {
        terminal.print(&text(&bill, args.out.as_deref(), terminal))?;
    }
    Ok(if args.fail_on_breach && bill.has_breach() {
        exit_code::GATE_FAILED
    } else {
        DONE
    })
}

/// The period of --from and --until, in the zone of the budgets.
fn period(args: &FinopsArgs, zone: &Zone) -> Result<(Option<Micros>, Option<Micros>)> {
    let instant = |option: &str, written: Option<WrittenInstant>| {
        let instant = written.map(|written| written.resolve(option, zone)).transpose();
        instant.map_err(|problem| Error::scenario(vec![problem]))
    };
    let (from, until) = (instant("--from", args.from)?, instant("--until", args.until)?);
    check_period(from, until)?;
    Ok((from, until))
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

fn text(bill: &Chargeback, out: Option<&Path>, terminal: &Terminal) -> String {
    let total = &bill.total;
    let number_column = |title: &'static str| column(title).right();
    let mut columns: Vec<Column> = bill.by.iter().map(|by| column(by.column())).collect();
    columns.extend([number_column("rows").rank(3), number_column("users").rank(2)]);
    columns.extend(total.n_sessions.map(|_| number_column("sessions").wide()));
    columns.extend([
        number_column("successes").rank(4),
        number_column("cost USD"),
        number_column("cost known").rank(1),
    ]);
    columns.extend(
        total
            .tool_cost_nano_usd
            .map(|_| number_column("of it tools").wide()),
    );
    columns.extend(total.tokens_in.map(|_| number_column("tokens in").wide()));
    columns.extend(total.tokens_out.map(|_| number_column("tokens out").wide()));
    columns.push(number_column("USD per success"));
    if total.repriced_nano_usd.is_some() {
        columns.extend([
            number_column("logged USD").rank(5),
            number_column("re-priced USD"),
            number_column("price known").rank(5),
            number_column("USD per success, re-priced").wide(),
        ]);
    }
    let unseen = [
        ("shadow USD", total.shadow.n_rows),
        ("eval USD", total.eval.n_rows),
    ];
    let unseen = unseen.into_iter().filter(|(_, n)| *n > 0);
    columns.extend(unseen.map(|(name, _)| number_column(name).wide()));
    let mut table = Table::new(columns);
    let row = |line: &BillLine, keys: Vec<String>| {
        let share = |n: u64| {
            if line.n_rows == 0 {
                "-".to_owned()
            } else {
                percent_of_count(n, line.n_rows)
            }
        };
        let mut row = keys;
        row.extend([count(line.n_rows), count(line.n_users)]);
        row.extend(line.n_sessions.map(count));
        row.push(line.n_successes.map_or_else(|| "-".to_owned(), count));
        row.extend([usd(line.cost_nano_usd), share(line.n_rows - line.n_cost_unknown)]);
        row.extend(line.tool_cost_nano_usd.map(usd));
        row.extend(
            [line.tokens_in, line.tokens_out]
                .into_iter()
                .flatten()
                .map(|n| count(n.unsigned_abs())),
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
    let mut text = format!("{}\n", table.render(terminal));
    notes(bill, &mut text);
    if let Some(path) = out {
        text.push_str(&format!("written:\n  {}\n", path.display()));
    }
    text
}

fn notes(bill: &Chargeback, text: &mut String) {
    let total = &bill.total;
    text.push_str(&format!(
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
        .for_each(|(n, what)| text.push_str(&format!(", {} {what}", count(*n))));
    text.push('\n');
    if bill.lines.len() > SHOWN {
        text.push_str(&format!(
            "{} more lines: --json or --out shows them all\n",
            bill.lines.len() - SHOWN
        ));
    }
    if total.n_cost_unknown > 0 {
        text.push_str(&format!(
            "{} rows have no known cost, and the sums leave them out: the log needs cost_usd, or --prices with\ntheir models and tokens\n",
            count(total.n_cost_unknown)
        ));
    }
    if total.n_outcome_unknown > 0 && total.n_successes.is_some() {
        text.push_str(&format!(
            "{} rows do not say whether their task was completed: no successes\n",
            count(total.n_outcome_unknown)
        ));
    }
    for unpriced in &bill.unpriced {
        text.push_str(&format!(
            "no price: {} ({} rows)\n",
            shown(&unpriced.model_ref),
            count(unpriced.n_rows)
        ));
    }
    for used in &bill.budgets {
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
        let unknown = |n: u64| {
            if n > 0 {
                format!(", {n} rows of unknown cost")
            } else {
                String::new()
            }
        };
        let name = shown(&budget.name);
        text.push_str(&format!(
            "budget {name}: {} USD {per}{zone}, spent {}{}\n",
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

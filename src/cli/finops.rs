//! `sluice finops`: the cost of a log, and its chargeback.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

use crate::base::apart::Apart;
use crate::base::error::{Error, Result, exit_code};
use crate::base::time::{Micros, WrittenInstant, Zone};
use crate::base::{files, json};
use crate::cli::finops_text::bill_text;
use crate::cli::source_args::SourceArgs;
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::trace_args::TraceArgs;
use crate::cli::values::{BadRowArg, check_out, check_period, parse_allowed, parse_written};
use crate::finops;
use crate::finops::{Budget, By, ChargebackQuestion, Success};
use crate::prices::Prices;
use crate::release::{RecordIndex, read_records};
use crate::scenario::AllowedColumn;

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
    #[command(flatten)]
    log: TraceArgs,
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
    /// End with exit code 10 if a budget was exceeded, with 11 if the cost of a budget is not known
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
    let mut source = args.source.source(&args.traffic, &args.allowed)?;
    args.log.add_to(&mut source, args.prices.as_deref())?;
    let reader = finops::open(&source, &question, args.on_bad_row.into(), terminal.progress())?;
    reader
        .table()
        .warnings()
        .iter()
        .for_each(|warning| terminal.warn(warning));
    let stage = terminal.progress().stage("finops");
    let bill = finops::chargeback(&question, &reader, terminal.progress())?;
    stage.set_rows(bill.n_rows);
    if let Some(path) = &out {
        finops::write(&bill, path)?;
    }
    if args.json {
        print_json(&json::to_json(&bill))?;
    } else {
        terminal.print(&bill_text(&bill, args.out.as_deref(), terminal))?;
    }
    Ok(match args.fail_on_breach {
        true if bill.has_breach() => exit_code::GATE_FAILED,
        true if bill.has_unknown_budget() => exit_code::GATE_INCONCLUSIVE,
        _ => DONE,
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

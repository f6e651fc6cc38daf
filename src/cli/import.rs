//! `sluice import`: traces to a table of turns.

use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::apart::Apart;
use crate::base::error::{Error, FileResult, Result};
use crate::base::number::{count, percent};
use crate::base::{files, json, open};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::values::parse_column;
use crate::scenario::{OnBadRow, ScoreRule, SensitiveRule, TraceFormat, TraceSource, TurnUnit};
use crate::traces::{self, Coverage, Target};

/// Read traces of agents into a table with one row a turn
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/import.txt"))]
pub(super) struct ImportArgs {
    /// Traces: files, folders, globs or URLs
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Table of turns to write (.parquet); its coverage is written beside it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// System that wrote the files; auto: their content shows it
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = parse_format)]
    format: TraceFormat,
    /// A column by its path in the files, such as user_id=metadata.customer; repeatable
    #[arg(long = "column", value_name = "NAME=PATH", value_parser = parse_column)]
    columns: Vec<(String, String)>,
    /// An outcome from a score, such as "bad=user-feedback=thumbs_down" or
    /// "task_completed=resolved>=0.5"; repeatable
    #[arg(long = "score", value_name = "NAME=SCORE", value_parser = parse_score)]
    scores: Vec<(String, ScoreRule)>,
    /// Prices of tokens for requests without a cost (.toml, .csv, .json)
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// What is one turn in a log with a row a request: request or session
    #[arg(long, value_name = "UNIT", default_value = "request", value_parser = parse_unit)]
    turns: TurnUnit,
    /// What to do with a row that cannot be used: error or drop
    #[arg(long, value_name = "RULE", default_value = "error", value_parser = parse_rule)]
    on_bad_row: OnBadRow,
    /// Print the coverage as JSON
    #[arg(long)]
    json: bool,
}

/// One of several words.
fn word<T: Copy>(text: &str, all: &[(&'static str, T)]) -> Result<T, String> {
    let found = all
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
        format!("expected {}, found \"{text}\"", words.join(", "))
    })
}

fn parse_format(text: &str) -> Result<TraceFormat, String> {
    word(text, &traces::formats())
}

fn parse_unit(text: &str) -> Result<TurnUnit, String> {
    word(text, &TurnUnit::ALL)
}

fn parse_rule(text: &str) -> Result<OnBadRow, String> {
    word(text, &[("error", OnBadRow::Error), ("drop", OnBadRow::Drop)])
}

fn parse_score(text: &str) -> Result<(String, ScoreRule), String> {
    match text.split_once('=') {
        Some((name, score)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), ScoreRule::parse(score)?))
        }
        _ => Err("expected NAME=SCORE, such as csat=csat".to_owned()),
    }
}

pub(super) fn run(args: &ImportArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("import");
    if args.out.extension().is_none_or(|ending| ending != "parquet") {
        return Err(Error::usage(format!(
            "expected --out with a name that ends in .parquet, found {}",
            args.out.display()
        )));
    }
    let out = files::followed(&args.out)?;
    let coverage_path = out.with_extension("coverage.json");
    Apart::new()
        .reads(&args.paths)
        .reads(&args.prices)
        .writes([&out, &coverage_path])
        .check()?;
    let columns = columns(args)?;
    let traces = TraceSource {
        format: args.format,
        scores: scores(args, &columns)?,
        turns: args.turns,
        prices: args.prices.clone(),
        key: "sluice import".to_owned(),
    };
    let coverage = write(&args.paths, &columns, &traces, args.on_bad_row, &out, terminal)?;
    json::write_json(&coverage_path, &coverage)?;
    if args.json {
        print_json(&json::to_json(&coverage))?;
        return Ok(DONE);
    }
    let mut text = table(&coverage);
    text.push_str(&format!(
        "written:\n  {}\n  {}\n",
        out.display(),
        coverage_path.display()
    ));
    terminal.print(&text)?;
    Ok(DONE)
}

/// The columns that `--column` names.
fn columns(args: &ImportArgs) -> Result<BTreeMap<String, String>> {
    let rule = SensitiveRule {
        words: Vec::new(),
        allowed: Vec::new(),
    };
    let mut columns = BTreeMap::new();
    for (name, path) in &args.columns {
        let option = format!("--column {name}={path}");
        if let Err(problem) = rule.check_named(name, path) {
            let error = Error::usage(format!("{option}: {}", problem.message));
            return Err(error.hint(problem.hint.unwrap_or_default()));
        }
        if FIXED.contains(&name.as_str()) {
            return Err(Error::usage(format!(
                "{option}: expected another column, found `{name}`, which the trace gives"
            )));
        }
        if columns.insert(name.clone(), path.clone()).is_some() {
            return Err(twice(name));
        }
    }
    Ok(columns)
}

/// Columns whose values the importer computes, and that order the table.
const FIXED: [&str; 2] = ["event_time", "trace_id"];

/// The outcomes that `--score` names.
fn scores(args: &ImportArgs, columns: &BTreeMap<String, String>) -> Result<BTreeMap<String, ScoreRule>> {
    let mut scores = BTreeMap::new();
    for (name, rule) in &args.scores {
        if FIXED.contains(&name.as_str()) || columns.contains_key(name) {
            return Err(twice(name));
        }
        if scores.insert(name.clone(), rule.clone()).is_some() {
            return Err(twice(name));
        }
    }
    Ok(scores)
}

fn twice(name: &str) -> Error {
    Error::usage(format!("expected one option for the column `{name}`, found two"))
}

/// Writes the table beside its place and moves it there at the end.
fn write(
    paths: &[PathBuf],
    columns: &BTreeMap<String, String>,
    traces: &TraceSource,
    on_bad_row: OnBadRow,
    out: &Path,
    terminal: &Terminal,
) -> Result<Coverage> {
    let mut coverage = Coverage::default();
    open::create_folders(open::parent_of(out)).or_unwritable(out)?;
    files::write_file(out, |file| {
        let target = Target {
            path: out,
            file: file.get_ref().try_clone().or_unwritable(out)?,
            held: traces::HELD,
        };
        coverage = traces::import(paths, columns, traces, on_bad_row, target, terminal.progress())?;
        Ok(())
    })?;
    Ok(coverage)
}

/// The coverage as a table of lines.
fn table(coverage: &Coverage) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut line = |name: &str, value: String| lines.push((name.to_owned(), value));
    for (kind, n) in &coverage.files {
        line(&format!("files of {kind}"), count(*n));
    }
    line("rows", count(coverage.n_rows));
    for (reason, n) in &coverage.bad_rows {
        line(&format!("left out, {reason}"), count(*n));
    }
    line("traces", count(coverage.n_traces));
    line("turns", count(coverage.n_turns));
    let n_turns = coverage.n_turns.max(1) as f64;
    let share = |n: u64| format!("{} ({})", count(n), percent(n as f64 / n_turns));
    for (column, n) in &coverage.without {
        line(&format!("turns without {column}"), share(*n));
    }
    line("turns that failed", share(coverage.n_failed));
    for (name, n) in [
        ("turns of evaluations", coverage.n_eval),
        ("turns not shown to users", coverage.n_shadow),
        ("turns with another model", coverage.n_fallback),
        ("turns with retries", coverage.n_retried),
        ("traces without agents", coverage.n_traces_of_others),
        ("traces without a root", coverage.n_traces_without_root),
        ("traces of several roots", coverage.n_traces_of_several_roots),
        ("traces without a time", coverage.n_traces_without_time),
        ("traces whose clocks differ", coverage.n_traces_with_skew),
        ("spans sent again", coverage.n_repeated_spans),
    ] {
        if n > 0 {
            line(name, count(n));
        }
    }
    for (role, n) in &coverage.spans {
        line(&format!("spans: {role}"), count(*n));
    }
    for (rule, n) in &coverage.passed_over {
        line(&format!("not counted: {rule}"), count(*n));
    }
    let tokens = &coverage.tokens;
    line("input tokens", count(tokens.input.unsigned_abs()));
    line("  of them cached", count(tokens.cached_input.unsigned_abs()));
    line("output tokens", count(tokens.output.unsigned_abs()));
    if tokens.n_cache_beside > 0 {
        line(
            "spans with cached tokens beside input",
            count(tokens.n_cache_beside),
        );
    }
    let usd = |nano: i64| format!("{:.6} USD", nano as f64 / 1e9);
    if coverage.cost.n_logged > 0 {
        line("cost in the files", usd(coverage.cost.logged_nano_usd));
    }
    if coverage.cost.n_priced > 0 {
        line("cost by prices", usd(coverage.cost.priced_nano_usd));
    }
    line("turns without a cost", share(coverage.cost.n_turns_without));
    line("tool calls", count(coverage.tools.n_calls));
    line("  of them failed", count(coverage.tools.n_failed));
    for (column, score) in &coverage.scores {
        line(
            &format!("{column} from {}", score.score),
            format!(
                "{} joined, {} ambiguous, {} without a turn, {} late",
                count(score.n_joined),
                count(score.n_ambiguous),
                count(score.n_unjoined),
                count(score.n_late)
            ),
        );
    }
    for (name, n) in &coverage.unmapped_scores {
        line(
            &format!("score without a rule: {}", crate::base::escape::value(name)),
            count(*n),
        );
    }
    let width = lines
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    lines
        .into_iter()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

//! `sluice import`: traces to a table of turns.

use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::apart::Apart;
use crate::base::error::{Error, FileResult, Result};
use crate::base::memory::memory_limit;
use crate::base::{files, json, open};
use crate::cli::summary::coverage_text;
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::text::path_text;
use crate::cli::trace_args::{parse_format, parse_score, parse_unit, scores_by_column, twice};
use crate::cli::values::{BadRowArg, parse_column, parse_size};
use crate::scenario::{ScoreRule, SensitiveRule, TraceFormat, TraceSource, TurnUnit};
use crate::traces::{self, Coverage, State, Target};

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
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    on_bad_row: BadRowArg,
    /// Go on from earlier imports: read only what is new in the files. STATE is the folder that they
    /// made; the first import makes it
    #[arg(long, value_name = "STATE")]
    since: Option<PathBuf>,
    /// Memory for the job, such as 300MB; records beyond it are held on disk. Default: half of the
    /// machine's memory
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_limit: Option<u64>,
    /// Print the coverage as JSON
    #[arg(long)]
    json: bool,
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
        .writes(args.since.as_deref().map(State::document_of))
        .check()?;
    let columns = columns(args)?;
    let traces = TraceSource {
        format: args.format,
        scores: scores_by_column(&args.scores, &columns)?,
        turns: args.turns,
        prices: args.prices.clone(),
        key: "sluice import".to_owned(),
    };
    let import = |path: &Path, state: Option<&mut State>| {
        let mut coverage = Coverage::default();
        open::create_folders(open::parent_of(path)).or_unwritable(path)?;
        files::write_file(path, |file| {
            let target = Target {
                path: &out,
                file: file.get_ref().try_clone().or_unwritable(&out)?,
                held: traces::held(args.memory_limit.unwrap_or_else(memory_limit)),
                required: &traces::IDS,
                state,
            };
            let progress = terminal.progress();
            coverage = traces::import(
                &args.paths,
                &columns,
                &traces,
                args.on_bad_row.into(),
                target,
                progress,
            )?;
            Ok(())
        })?;
        Ok(coverage)
    };
    let coverage = match &args.since {
        None => {
            let coverage = import(&out, None)?;
            json::write_json(&coverage_path, &coverage)?;
            coverage
        }
        Some(folder) => {
            let mut state = State::open(folder)?;
            let staged = state.stage(&out)?;
            let coverage = import(&staged, Some(&mut state))?;
            state.add(&coverage_path, json::to_json(&coverage).as_bytes())?;
            state.commit()?;
            coverage
        }
    };
    if args.json {
        print_json(&json::to_json(&coverage))?;
        return Ok(DONE);
    }
    let mut text = coverage_text(&coverage, terminal.lang);
    text.push_str(&format!(
        "{}\n  {}\n  {}\n",
        terminal.text(&crate::words::commands::written()),
        path_text(&out),
        path_text(&coverage_path)
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
        TraceSource::check_column(name).map_err(|message| Error::usage(format!("{option}: {message}")))?;
        if columns.insert(name.clone(), path.clone()).is_some() {
            return Err(twice(name));
        }
    }
    Ok(columns)
}

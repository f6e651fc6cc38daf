//! `sluice init`: a scenario for files that somebody brings.

use clap::Args;
use std::path::PathBuf;

use crate::base::apart::Apart;
use crate::base::error::{Error, Result};
use crate::base::files;
use crate::cli::terminal::{DONE, Terminal, print_data};
use crate::cli::text::path_text;
use crate::study::{InitOptions, propose};

/// Propose a scenario for your own files: columns, units, releases, layers, guardrails
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/init.txt"))]
pub(super) struct InitArgs {
    /// Table of users: a file, a folder or a glob
    #[arg(long, value_name = "PATH")]
    users: Option<PathBuf>,
    /// Traffic log, one row a turn; repeatable, for a log of several sources
    #[arg(long, value_name = "PATH")]
    traffic: Vec<PathBuf>,
    /// Log of events that users are made from, in place of --users
    #[arg(long, value_name = "PATH")]
    events: Option<PathBuf>,
    /// File for the scenario; stdout by default
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an existing --out
    #[arg(long, requires = "out")]
    force: bool,
    /// Rows of each source that columns are guessed from
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
}

pub(super) fn run(args: &InitArgs, terminal: &Terminal) -> Result<u8> {
    let read = args.users.iter().chain(&args.traffic).chain(&args.events);
    Apart::new().reads(read).writes(&args.out).check()?;
    if let Some(out) = args.out.as_ref().filter(|out| out.exists() && !args.force) {
        return Err(Error::usage(format!(
            "expected an --out that does not exist, found {}",
            out.display()
        ))
        .hint("choose another name, or replace the file with --force"));
    }
    let options = InitOptions {
        users: args.users.clone(),
        events: args.events.clone(),
        traffic: args.traffic.clone(),
        out: args.out.clone(),
        max_rows: args.rows,
    };
    let proposal = propose(&options, terminal.progress())?;
    let lines = proposal.summary.join("\n");
    match &args.out {
        Some(out) => files::write_bytes(out, proposal.text.as_bytes())?,
        None => print_data(&proposal.text)?,
    }
    terminal.summarize(&lines);
    for problem in &proposal.problems {
        terminal.warn(&format!("the scenario cannot run as it is: {problem}"));
    }
    let file = args
        .out
        .as_ref()
        .map_or_else(|| "scenario.toml".to_owned(), |out| path_text(out));
    terminal.summarize(&format!(
        "next: sluice check {file}\n      sluice run {file} --out out"
    ));
    Ok(DONE)
}

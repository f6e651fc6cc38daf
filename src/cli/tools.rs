//! `sluice tools`: compares bundles of tool schemas, and checks logged calls against them.

use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;

use crate::base::error::{Result, exit_code};
use crate::base::{escape, json};
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::release::tools;
use crate::release::tools::{BundleDiff, Concern, Level, Replayed, ToolBundle};

/// Compare bundles of tool schemas, and find the callers that a change breaks
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/tools.txt"))]
pub(super) struct ToolsArgs {
    #[command(subcommand)]
    command: ToolsCommand,
}

#[derive(Debug, Subcommand)]
enum ToolsCommand {
    Diff(DiffArgs),
}

/// Print every change, with its rule, location and level. Exit code 10: a breaking change without
/// a major version and a migration, or a tool with more rights; 11: a part could not be compared
#[derive(Debug, Args)]
struct DiffArgs {
    /// The bundle before
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// The bundle after
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// Logged calls (one a line: trace_id, tool, arguments), checked against the new schemas
    #[arg(long, value_name = "FILE")]
    calls: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ToolsArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("tools");
    let ToolsCommand::Diff(args) = &args.command;
    let (before, after) = (ToolBundle::read(&args.before)?, ToolBundle::read(&args.after)?);
    let diff = tools::diff_bundles(&before, &after, false);
    let calls = args
        .calls
        .as_deref()
        .map(|path| tools::replay_arguments(path, Some(&before), &after))
        .transpose()?;
    if args.json {
        print_json(&json::to_json(&json!({"diff": diff, "calls": calls})))?;
    } else {
        terminal.print(&text(&diff, calls.as_deref(), terminal))?;
    }
    let unversioned = diff.changes_at(Concern::Version, Level::Error).next().is_some();
    let loosened = diff.changes_at(Concern::Safety, Level::Error).next().is_some();
    let unknown = diff
        .changes
        .iter()
        .any(|change| tools::NOT_COMPARED.contains(&change.rule))
        || calls.iter().flatten().any(|tool| tool.n_undecided > 0);
    Ok(match unknown {
        _ if unversioned || loosened => exit_code::GATE_FAILED,
        true => exit_code::GATE_INCONCLUSIVE,
        false => DONE,
    })
}

fn text(diff: &BundleDiff, calls: Option<&[Replayed]>, terminal: &Terminal) -> String {
    let mut table = Table::new([
        column("tool"),
        column("level"),
        column("rule").rank(2),
        column("where").rank(1),
        column("found").wraps(),
    ]);
    for change in &diff.changes {
        let place = match change.side {
            Some(side) => format!(
                "{} {}",
                if side == tools::Side::Input {
                    "input"
                } else {
                    "output"
                },
                change.path
            ),
            None => String::new(),
        };
        let tool = if change.tool.is_empty() {
            "(bundle)"
        } else {
            &change.tool
        };
        table.add_row([tool, change.level.name(), change.rule, &place, &change.detail].map(str::to_owned));
    }
    let versions = diff
        .versions
        .clone()
        .map(|version| version.unwrap_or_else(|| "no version".into()));
    let [both, gone, new] = diff.n_tools;
    let n = |level: Level| diff.changes.iter().filter(|change| change.level == level).count();
    let mut text = format!(
        "{} to {}: {both} tools in both, {gone} gone, {new} new; {} errors, {} warnings\n",
        escape::line(&versions[0]),
        escape::line(&versions[1]),
        n(Level::Error),
        n(Level::Warning)
    );
    if !diff.changes.is_empty() {
        text = format!("{}\n{text}", table.render(terminal));
    }
    for tool in calls.unwrap_or_default() {
        let examples = tool
            .examples
            .iter()
            .map(|example| format!("; {}: {} at {}", example.trace_id, example.rule, example.path));
        let line = format!("{}{}", tool.message(), examples.collect::<String>());
        text.push_str(&format!("{}\n", escape::line(&line)));
    }
    text
}

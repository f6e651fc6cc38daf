//! `sluice tools`: compares bundles of tool schemas, and checks logged calls against them.

use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;

use crate::base::error::{Result, exit_code};
use crate::base::{escape, json};
use crate::cli::format_args::FormatArgs;
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::pipeline;
use crate::release::tools;
use crate::release::tools::{BundleDiff, Concern, Level, Replayed, ToolBundle};
use crate::words::tools as says;
use crate::words::{Count, Text};

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
    #[command(flatten)]
    format: FormatArgs,
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
    if args.format.is_given() {
        let calls = calls.as_deref().unwrap_or_default();
        args.format
            .print(&pipeline::from_tools(&diff, calls, &args.after), terminal)?;
    } else if args.json {
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
    let lang = terminal.lang;
    let word = |text: Text| text.of(lang).to_owned();
    let mut table = Table::new([
        column(word(says::column_tool())),
        column(word(says::column_level())),
        column(word(says::column_rule())).rank(2),
        column(word(says::column_where())).rank(1),
        column(word(says::column_found())).wraps(),
    ]);
    for change in &diff.changes {
        let side = change.side.map(|side| match side {
            tools::Side::Input => says::side_input(),
            tools::Side::Output => says::side_output(),
        });
        let place = side.map_or_else(String::new, |side| format!("{} {}", side.of(lang), change.path));
        let tool = match change.tool.is_empty() {
            true => word(says::whole_bundle()),
            false => change.tool.clone(),
        };
        let found = word(change.text());
        table.add_row([
            tool,
            word(level(change.level)),
            change.rule.to_owned(),
            place,
            found,
        ]);
    }
    let [before, after] = diff.versions.clone().map(|version| match version {
        Some(version) => escape::line(&version).into_owned().into(),
        None => says::no_version(),
    });
    let [both, gone, new] = diff.n_tools.map(|n| Count(n as u64));
    let n = |level: Level| Count(diff.changes.iter().filter(|change| change.level == level).count() as u64);
    let (n_errors, n_warnings) = (n(Level::Error), n(Level::Warning));
    let summary = says::summary(before, after, both, gone, new, n_errors, n_warnings);
    let mut text = terminal.fill(summary.of(lang));
    if !diff.changes.is_empty() {
        text = format!("{}\n{text}", table.render(terminal));
    }
    for tool in calls.unwrap_or_default() {
        let examples = tool
            .examples
            .iter()
            .map(|example| format!(" {}: {} at {};", example.trace_id, example.rule, example.path));
        let examples = examples.collect::<String>();
        let line = format!("{}{}", tool.message().of(lang), examples.trim_end_matches(';'));
        text.push_str(&format!("{}\n", escape::line(&line)));
    }
    text
}

fn level(level: Level) -> Text {
    match level {
        Level::Error => says::level_error(),
        Level::Warning => says::level_warning(),
        Level::Info => says::level_info(),
    }
}

//! `sluice audit`: from a trace to the approvers of its release, and from a release to the users
//! that it reached.

use clap::Args;
use std::path::PathBuf;

use crate::audit;
use crate::audit::{Affected, AffectedQuestion, Chain, Completeness, Hold, WriteCalls};
use crate::base::apart::Apart;
use crate::base::error::{Error, Result, exit_code};
use crate::base::escape;
use crate::base::number::count;
use crate::base::time::Micros;
use crate::base::{files, json, time};
use crate::cli::source_args::SourceArgs;
use crate::cli::summary::{percent_of_count, shown};
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::text::path_text;
use crate::cli::trace_args::TraceArgs;
use crate::cli::values::{BadRowArg, check_out, check_period, parse_allowed, parse_instant};
use crate::release::tools::ToolBundle;
use crate::release::{RecordIndex, read_records};
use crate::scenario::AllowedColumn;
use crate::stats::{Known, Reason};

/// Rows that a terminal shows.
const SHOWN: usize = 20;

/// Follow a trace to its release, artifacts, evaluation and approvers; measure the share of a log
/// with a complete chain; list the users that a rolled-back release reached
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/audit.txt"))]
pub(super) struct AuditArgs {
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
    /// Release records: a file or a folder
    #[arg(long, value_name = "PATH", required_unless_present = "rolled_back")]
    records: Option<PathBuf>,
    /// Follow this trace; repeatable. Without it: the share of rows with a complete chain
    #[arg(long = "trace", value_name = "ID", conflicts_with_all = ["rolled_back", "from", "until"])]
    traces: Vec<String>,
    /// List the users that this release reached, and the writes of its tools
    #[arg(long, value_name = "RELEASE")]
    rolled_back: Option<String>,
    /// Leave out rows before this instant
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    from: Option<Micros>,
    /// Leave out rows from this instant on
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    until: Option<Micros>,
    /// Logged calls of tools, one JSON object a line: trace_id, tool, arguments
    #[arg(long, value_name = "FILE", requires = "rolled_back", requires = "tools")]
    tool_calls: Option<PathBuf>,
    /// The bundle of tools, which says which tools write
    #[arg(long, value_name = "BUNDLE", requires = "tool_calls")]
    tools: Option<PathBuf>,
    /// Write the affected requests or, with --tool-calls, the calls that wrote to a file (.csv or
    /// .parquet)
    #[arg(long, value_name = "FILE", requires = "rolled_back")]
    out: Option<PathBuf>,
    /// Treatment of a row that cannot be used: stop, or leave it out and count it
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    on_bad_row: BadRowArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &AuditArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("audit");
    check_period(args.from, args.until)?;
    if let Some(release) = &args.rolled_back {
        return rolled_back(args, release, terminal);
    }
    let Some(records) = &args.records else {
        return Err(Error::usage("expected --records, found none"));
    };
    let records = RecordIndex::new(read_records(records)?);
    let mut source = args.source.source(&args.traffic, &args.allowed)?;
    args.log.add_to(&mut source, None)?;
    let period = args.from..args.until;
    let reader = audit::open_period(&source, &period, args.on_bad_row.into(), terminal.progress())?;
    reader
        .table()
        .warnings()
        .iter()
        .for_each(|warning| terminal.warn(warning));
    let progress = terminal.progress();
    let is_complete = if args.traces.is_empty() {
        let found = audit::completeness(period, &reader, &records, progress)?;
        if args.json {
            print_json(&json::to_json(&found))?;
        } else {
            terminal.print(&completeness_text(&found, terminal))?;
        }
        found.is_complete
    } else {
        let mut traces: Vec<String> = Vec::new();
        args.traces
            .iter()
            .filter(|trace| !trace.is_empty())
            .for_each(|trace| {
                let key = audit::trace_key(trace);
                if !traces.iter().any(|other| audit::trace_key(other) == key) {
                    traces.push(trace.clone());
                }
            });
        if traces.is_empty() {
            return Err(Error::usage(
                "expected --trace to name a trace, found an empty name",
            ));
        }
        let chains = audit::chains(&traces, &reader, &records, progress)?;
        if args.json {
            print_json(&json::to_json(&chains))?;
        } else {
            terminal.print(&chains.iter().map(chain_text).collect::<Vec<_>>().join("\n"))?;
        }
        chains.iter().all(|chain| chain.is_complete)
    };
    Ok(if is_complete {
        DONE
    } else {
        exit_code::GATE_INCONCLUSIVE
    })
}

fn rolled_back(args: &AuditArgs, release: &str, terminal: &Terminal) -> Result<u8> {
    let out = args.out.as_deref().map(files::followed).transpose()?;
    if let Some(path) = &out {
        check_out(path)?;
        let mut read = vec![args.traffic.clone()];
        read.extend(
            [&args.tool_calls, &args.tools, &args.records]
                .into_iter()
                .flatten()
                .cloned(),
        );
        Apart::new().reads(read).writes([path]).check()?;
    }
    let calls = match (&args.tool_calls, &args.tools) {
        (Some(calls), Some(tools)) => Some(WriteCalls::read(calls, &ToolBundle::read(tools)?)?),
        _ => None,
    };
    let mut source = args.source.source(&args.traffic, &args.allowed)?;
    args.log.add_to(&mut source, None)?;
    let period = args.from..args.until;
    let reader = audit::open_affected(&source, &period, args.on_bad_row.into(), terminal.progress())?;
    reader
        .table()
        .warnings()
        .iter()
        .for_each(|warning| terminal.warn(warning));
    if calls.is_some() && !reader.has("trace_id") {
        return Err(Error::in_file(
            &args.traffic,
            "expected a column `trace_id`, by which calls are joined, found none",
        )
        .hint("if the column has another name, say so: --column trace_id=..."));
    }
    let question = AffectedQuestion { release, period };
    let progress = terminal.progress();
    let found = match &out {
        None => audit::affected(&question, &reader, calls, progress, &mut |_| Ok(()))?,
        Some(path) => audit::write(path, release, |on_rows| {
            audit::affected(&question, &reader, calls, progress, on_rows)
        })?,
    };
    if args.json {
        print_json(&json::to_json(&found))?;
    } else {
        terminal.print(&affected_text(&found, args, terminal))?;
    }
    Ok(DONE)
}

fn chain_text(chain: &Chain) -> String {
    let is_whole = if chain.is_complete {
        "complete"
    } else {
        "incomplete"
    };
    let mut text = format!(
        "trace {}: {} rows, {is_whole}\n",
        shown(&chain.trace_id),
        count(chain.n_rows)
    );
    if let Some(mend) = &chain.mend {
        text.push_str(&format!("  missing: {mend}\n"));
    }
    for row in &chain.rows {
        let what = [
            (row.row.is_shadow, " (shadow)"),
            (row.row.is_eval, " (evaluation)"),
        ];
        let what: String = what.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
        text.push_str(&format!("{}{what}\n", shown_whole(&row.row.place)));
        // Digests and paths stay whole, to be copied: no table.
        for link in &row.links {
            let hold = match link.hold {
                Hold::Firm => "ok",
                Hold::Weak => "weak",
                Hold::Missing => "missing",
            };
            let value = link.value.as_deref().map_or_else(|| "-".to_owned(), shown_whole);
            text.push_str(&format!("  {:<16} {hold:<8} {value}\n", link.link));
            for (name, detail) in [("digest", &link.digest), ("what to do", &link.mend)] {
                if let Some(detail) = detail {
                    text.push_str(&format!("  {:<16} {name}: {}\n", "", shown_whole(detail)));
                }
            }
        }
    }
    text
}

/// A text of others for a terminal, to its end: digests and places are no use in part.
fn shown_whole(text: &str) -> String {
    escape::line(text).into_owned()
}

fn completeness_text(found: &Completeness, terminal: &Terminal) -> String {
    let percent = |n: u64, of: u64| {
        if of == 0 {
            "-".to_owned()
        } else {
            percent_of_count(n, of)
        }
    };
    let mut table = Table::new([column("link"), column("rows").right(), column("share").right()]);
    for link in &found.links {
        table.add_row([link.link.to_owned(), count(link.n), percent(link.n, found.n_rows)]);
    }
    let mut text = format!(
        "{} rows, {}",
        count(found.n_rows),
        if found.is_complete {
            "complete"
        } else {
            "incomplete"
        }
    );
    let rest = [(found.n_outside, "outside of the period"), (found.n_bad, "bad")];
    rest.iter()
        .filter(|(n, _)| *n > 0)
        .for_each(|(n, what)| text.push_str(&format!(", {} {what}", count(*n))));
    text.push_str(&format!("\n\n{}\n", table.render(terminal)));
    if !found.absent_columns.is_empty() {
        let note = format!(
            "not in the log: {} (columns with other names: --column {}=...)",
            found.absent_columns.join(", "),
            found.absent_columns[0]
        );
        text.push_str(&format!("{}\n", terminal.fill(&note)));
    }
    let mut table = Table::new([
        column("tenant").rank(1),
        column("release"),
        column("rows").right(),
        column("user").right().rank(2),
        column("time").right().rank(2),
        column("layer").right().rank(2),
        column("trace").right().rank(2),
        column("missing").wraps(),
    ]);
    for release in found.releases.iter().take(SHOWN) {
        let share = |n: u64| percent(n, release.n_rows);
        table.add_row([
            shown(&release.tenant_id),
            shown(&release.release_id),
            count(release.n_rows),
            share(release.n_user),
            share(release.n_time),
            share(release.n_layer),
            share(release.n_trace),
            release.missing.join(", "),
        ]);
    }
    text.push_str(&table.render(terminal));
    if found.releases.len() > SHOWN {
        text.push_str(&format!(
            "{} more releases: --json shows them all\n",
            found.releases.len() - SHOWN
        ));
    }
    text
}

fn affected_text(found: &Affected, args: &AuditArgs, terminal: &Terminal) -> String {
    let mut text = format!(
        "{}: {} requests",
        shown(&found.release_id),
        count(found.n_requests)
    );
    if let Known::Value(n) = found.n_users {
        text.push_str(&format!(" of {} users", count(n)));
    }
    text.push_str(
        &found
            .n_sessions
            .map_or_else(String::new, |n| format!(" in {} sessions", count(n))),
    );
    if let (Some(first), Some(last)) = (found.first, found.last) {
        text.push_str(&format!(", {} to {}", time::format(first), time::format(last)));
    }
    text.push('\n');
    for (n, what) in [
        (found.n_without_user, "requests without a user"),
        (
            found.n_without_release,
            "requests without a release, which may be its own",
        ),
        (found.n_bad, "bad rows"),
    ] {
        if n > 0 {
            text.push_str(&format!("{} {what}\n", count(n)));
        }
    }
    if found.n_shadow + found.n_eval > 0 {
        text.push_str(&format!(
            "left out: {} shadow answers, {} rows of evaluation runs: no user saw them\n",
            count(found.n_shadow),
            count(found.n_eval)
        ));
    }
    if !found.releases.is_empty() {
        let names: Vec<String> = found.releases.iter().map(|name| shown(name)).collect();
        text.push_str(&format!("the log has releases {}\n", names.join(", ")));
    }
    if found.n_users.reason() == Some(Reason::NoColumn) {
        text.push_str("no number of users: the log does not have the column user_id\n");
    }
    text = terminal.fill(&text);
    if let (Some(calls), Some(tools)) = (&found.calls, &found.tools) {
        text.push_str(&format!("{} calls of tools that write\n", calls.len()));
        for tool in tools {
            let known = if tool.in_bundle {
                ""
            } else {
                " (not in the bundle: counted as one that writes)"
            };
            text.push_str(&format!("  {}: {}{known}\n", shown(&tool.tool), tool.n_calls));
        }
        let mut table = Table::new([
            column("tenant").rank(1),
            column("user"),
            column("time").rank(2),
            column("trace"),
            column("tool"),
            column("arguments").wide(),
        ]);
        for call in calls.iter().take(SHOWN) {
            let or_none = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), shown_whole);
            table.add_row([
                shown(&call.tenant_id),
                or_none(&call.user_id),
                call.event_time.map_or_else(|| "-".to_owned(), time::format),
                or_none(&call.trace_id),
                or_none(&call.tool),
                call.arguments_sha256
                    .clone()
                    .unwrap_or_else(|| "none, or no JSON".to_owned()),
            ]);
        }
        if !calls.is_empty() {
            text.push_str(&format!("\n{}", table.render(terminal)));
        }
        if calls.len() > SHOWN {
            text.push_str(&format!(
                "{} more: --json or --out shows them all\n",
                calls.len() - SHOWN
            ));
        }
    }
    if let Some(n) = found.n_calls_without_trace.filter(|n| *n > 0) {
        text.push_str(&format!(
            "{n} calls that write have no trace: their release is not known\n"
        ));
    }
    if let Some(n) = found.n_calls_elsewhere.filter(|n| *n > 0) {
        text.push_str(&format!(
            "{n} calls that write are in requests of other releases, or in none of the log\n"
        ));
    }
    if let Some(path) = &args.out {
        text.push_str(&format!("written:\n  {}\n", path_text(path)));
    }
    text
}

//! `sluice record`: reads, checks and compares release records.

use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;

use crate::base::apart::Apart;
use crate::base::error::{Error, Problem, Result};
use crate::base::json;
use crate::cli::registry::register;
use crate::cli::summary;
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::values::read_policy;
use crate::gate::{GateCheck, GateEvidence, GateOutcome};
use crate::release::{DIMENSIONS, ReleaseRecord, Signal, SignalKind};
use crate::words::Text;
use crate::words::commands as say;
use crate::{gate, release};

/// Read, check and compare release records: model + prompt + tool schema + knowledge base
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/record.txt"))]
pub(super) struct RecordArgs {
    #[command(subcommand)]
    command: RecordCommand,
}

#[derive(Debug, Subcommand)]
enum RecordCommand {
    Show(ShowArgs),
    Check(CheckArgs),
    Diff(DiffArgs),
    Rollback(RollbackArgs),
}

/// Print a record as Sluice reads it, with the digest of its canonical form (RFC 8785)
#[derive(Debug, Args)]
struct ShowArgs {
    /// A file or a folder of records
    #[arg(value_name = "RECORD")]
    records: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Check a record by itself and against its baseline; ends with 10 if a check fails, 11 if evidence
/// is missing
#[derive(Debug, Args)]
struct CheckArgs {
    /// The record
    #[arg(value_name = "RECORD")]
    record: PathBuf,
    /// The record of the release that users have today (or a `prod_pointer`)
    #[arg(long, value_name = "RECORD")]
    baseline: PathBuf,
    /// Other records, among them the rollback targets
    #[arg(long, value_name = "PATH")]
    records: Option<PathBuf>,
    /// File with the digests of known releases: adds the record, and fails if it changed
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// The gate's policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print the differences of two releases, dimension by dimension
#[derive(Debug, Args)]
struct DiffArgs {
    /// The record before
    #[arg(value_name = "BASELINE")]
    baseline: PathBuf,
    /// The record after
    #[arg(value_name = "CANDIDATE")]
    candidate: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print the dimension to roll back first, and its target
#[derive(Debug, Args)]
struct RollbackArgs {
    /// The release that got worse
    #[arg(value_name = "CANDIDATE")]
    candidate: PathBuf,
    /// The release to return to
    #[arg(long, value_name = "RECORD")]
    target: PathBuf,
    /// The signal that got worse: faithfulness, cost, tool_errors or latency; repeatable
    #[arg(long, value_name = "SIGNAL", required_unless_present = "analysis")]
    signal: Vec<String>,
    /// Analysis with the signals that got worse
    #[arg(long, value_name = "FILE")]
    analysis: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &RecordArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("record");
    match &args.command {
        RecordCommand::Show(args) => show(args, terminal),
        RecordCommand::Check(args) => check(args, terminal),
        RecordCommand::Diff(args) => diff(args, terminal),
        RecordCommand::Rollback(args) => rollback(args, terminal),
    }
}

fn show(args: &ShowArgs, terminal: &Terminal) -> Result<u8> {
    let records = release::read_records(&args.records)?;
    if args.json {
        print_json(&json::to_json(&records))?;
        return Ok(DONE);
    }
    for record in &records {
        let mut table = Table::new([column(""), column(&record.release_id).wraps()]);
        let mut row = |name: &str, value: Option<&str>| {
            table.add_row([name, value.unwrap_or("-")]);
        };
        row("tenant", record.tenant_id.as_deref());
        row("digest", Some(&record.digest));
        row("git_sha", record.git_sha.as_deref());
        for dimension in DIMENSIONS {
            row(
                dimension.name(),
                record
                    .artifact(dimension)
                    .map(|artifact| artifact.reference.as_str()),
            );
        }
        row(
            "eval_set",
            record
                .eval_set
                .as_ref()
                .map(|artifact| artifact.reference.as_str()),
        );
        row("eval_report", record.eval_report_uri.as_deref());
        row("rollback_target", record.rollback_target.as_deref());
        let approvers = record
            .approvers
            .iter()
            .map(|approver| approver.id.clone())
            .collect::<Vec<_>>()
            .join(", ");
        row("approvers", Some(&approvers));
        row(
            "in production",
            Some(if record.is_production { "yes" } else { "not said" }),
        );
        terminal.print(&format!("{}\n", table.render(terminal)))?;
    }
    Ok(DONE)
}

fn check(args: &CheckArgs, terminal: &Terminal) -> Result<u8> {
    Apart::new()
        .reads([&args.record, &args.baseline])
        .reads(args.records.iter().chain(&args.policy))
        .writes(&args.registry)
        .check()?;
    let candidate = ReleaseRecord::read(&args.record)?;
    let baseline = ReleaseRecord::read(&args.baseline)?;
    let records = args
        .records
        .as_deref()
        .map(release::read_records)
        .transpose()?
        .unwrap_or_default();
    let policy = args
        .policy
        .as_deref()
        .map(read_policy)
        .transpose()?
        .unwrap_or_default();
    let seen = args
        .registry
        .as_deref()
        .map(|path| register(path, &candidate))
        .transpose()?;
    let evidence = GateEvidence {
        records: &records,
        seen,
        ..GateEvidence::new(&candidate, &baseline)
    };
    let report = gate::gate_release(&evidence, &policy);
    let checks: Vec<GateCheck> = report
        .checks
        .into_iter()
        .filter(|check| ["record", "approval"].contains(&check.gate.as_str()))
        .collect();
    let outcome = checks
        .iter()
        .map(|check| check.outcome)
        .max()
        .unwrap_or(GateOutcome::Inconclusive);
    if args.json {
        print_json(&json::to_json(
            &json!({"release_id": candidate.release_id, "digest": candidate.digest, "outcome": outcome, "checks": checks}),
        ))?;
    } else {
        terminal.print(&format!(
            "{}\n{}: {}\n",
            summary::checks_table(&checks).render(terminal),
            candidate.release_id,
            outcome.name()
        ))?;
    }
    Ok(outcome.exit_code())
}

fn diff(args: &DiffArgs, terminal: &Terminal) -> Result<u8> {
    let (baseline, candidate) = (
        ReleaseRecord::read(&args.baseline)?,
        ReleaseRecord::read(&args.candidate)?,
    );
    let changes = release::changes(&baseline, &candidate);
    if args.json {
        print_json(&json::to_json(
            &json!({"baseline": baseline.release_id, "candidate": candidate.release_id, "changes": changes}),
        ))?;
        return Ok(DONE);
    }
    let mut table = Table::new([
        column(terminal.text(&say::dimension())),
        column(&baseline.release_id).wraps(),
        column(&candidate.release_id).wraps(),
        column(""),
    ]);
    for change in &changes {
        let name = |artifact: &Option<release::ArtifactRef>| {
            artifact
                .as_ref()
                .map_or_else(|| "-".to_owned(), |artifact| artifact.reference.clone())
        };
        let note = if change.moved {
            say::moved()
        } else if change.changed {
            say::changed()
        } else {
            Text::default()
        };
        table.add_row([
            change.dimension.name().to_owned(),
            name(&change.from),
            name(&change.to),
            terminal.text(&note),
        ]);
    }
    terminal.print(&table.render(terminal))?;
    Ok(DONE)
}

fn rollback(args: &RollbackArgs, terminal: &Terminal) -> Result<u8> {
    let (candidate, target) = (
        ReleaseRecord::read(&args.candidate)?,
        ReleaseRecord::read(&args.target)?,
    );
    let mut signals = match &args.analysis {
        Some(path) => release::signals_of(&json::read_document(path)?),
        None => Vec::new(),
    };
    for word in &args.signal {
        let kind = SignalKind::from_word(word).ok_or_else(|| {
            Error::new(
                crate::base::error::ErrorKind::Usage,
                Problem::new(
                    "--signal",
                    format!("expected faithfulness, cost, tool_errors or latency, found `{word}`"),
                ),
            )
        })?;
        signals.push(Signal {
            kind,
            metric: String::new(),
            place: String::new(),
            harm: None,
        });
    }
    let plan = release::rollback(&candidate, &target, signals);
    if args.json {
        print_json(&json::to_json(&plan))?;
        return Ok(DONE);
    }
    if plan.steps.is_empty() {
        terminal.print(&format!("{}\n", terminal.text(&say::nothing_is_worse())))?;
    }
    for (idx, step) in plan.steps.iter().enumerate() {
        let what = match (&step.dimension, &step.from, &step.to) {
            (Some(dimension), from, to) => {
                format!(
                    "{}: {} -> {}",
                    dimension.name(),
                    from.as_deref().unwrap_or("-"),
                    to.as_deref().unwrap_or("-")
                )
            }
            (None, Some(from), Some(to)) => format!("{from} -> {to}"),
            _ => terminal.text(&say::outside_of_the_record()),
        };
        terminal.print(&format!(
            "{}. {what}\n   {}\n",
            idx + 1,
            terminal.lang.pick(&step.why, &step.why_zh)
        ))?;
    }
    Ok(DONE)
}

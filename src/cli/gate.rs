//! `sluice gate`: records, tools, evaluations and canary of a release in one report.

use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

use crate::base::apart::Apart;
use crate::base::error::{Error, Result};
use crate::base::file_set::{EarlierCommit, FileSet};
use crate::base::time::Micros;
use crate::base::{digest, files, json};
use crate::cli::format_args::FormatArgs;
use crate::cli::gate_text;
use crate::cli::registry::register;
use crate::cli::source_args::SourceArgs;
use crate::cli::terminal::{DONE, Terminal, print_data, print_json};
use crate::cli::values::{parse_allowed, parse_column, parse_instant, read_policy};
use crate::gate::{Evals, GateEvidence};
use crate::input::SourceFile;
use crate::pipeline;
use crate::pipeline::GateFiles;
use crate::release::tools::ToolBundle;
use crate::release::{ReleaseRecord, evals, tools};
use crate::scenario::AllowedColumn;
use crate::words::Lang;
use crate::{gate, release, report};

/// Judge a release by its record, tools, evaluations and canary; ends with 0 (passed), 10 (failed)
/// or 11 (evidence is missing)
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/gate.txt"))]
pub(super) struct GateArgs {
    /// The candidate's record
    #[arg(long, value_name = "RECORD", required_unless_present = "print_policy")]
    candidate: Option<PathBuf>,
    /// The record of the release that users have today (or a `prod_pointer`)
    #[arg(long, value_name = "RECORD", required_unless_present = "print_policy")]
    baseline: Option<PathBuf>,
    /// Other records, among them the rollback targets
    #[arg(long, value_name = "PATH")]
    records: Option<PathBuf>,
    /// File with the digests of known releases: adds the candidate, and fails if it changed
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// The candidate's bundle of tools
    #[arg(long, value_name = "PATH")]
    tools: Option<PathBuf>,
    /// The baseline's bundle of tools
    #[arg(long, value_name = "PATH")]
    baseline_tools: Option<PathBuf>,
    /// Logged calls of tools (one a line: trace_id, tool, arguments), replayed against the
    /// candidate's schemas
    #[arg(long, value_name = "PATH", requires = "tools")]
    calls: Option<PathBuf>,
    /// Evaluation results, of both releases or of the candidate
    #[arg(long, value_name = "PATH")]
    evals: Option<PathBuf>,
    /// Evaluation results of the baseline
    #[arg(long, value_name = "PATH")]
    baseline_evals: Option<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
    /// The same for the baseline's results; by default as --column
    #[arg(long = "baseline-column", value_name = "NAME=COLUMN", value_parser = parse_column, requires = "baseline_evals")]
    baseline_columns: Vec<(String, String)>,
    /// A column whose name contains a sensitive attribute and that may be used all the same, with
    /// the reason; repeatable
    #[arg(long = "allow-column", value_name = "COLUMN=REASON", value_parser = parse_allowed)]
    allowed: Vec<AllowedColumn>,
    /// The report of the evaluation; its digest is in the record
    #[arg(long, value_name = "FILE")]
    eval_report: Option<PathBuf>,
    /// Analysis of a canary, from sluice analyze or sluice run
    #[arg(long, value_name = "FILE")]
    analysis: Option<PathBuf>,
    /// Thresholds, margins and the strictness of checks
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Approved exceptions, each for one check of one record until a date
    #[arg(long, value_name = "FILE")]
    approvals: Option<PathBuf>,
    /// The current instant, for approvals that expire; without it no approval counts
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    as_of: Option<Micros>,
    /// Address of the report in the statement and in the record of the evaluation
    #[arg(long, value_name = "URI", default_value = "gate_report.json")]
    uri: String,
    /// Write gate_report.json, .md, .html, the in-toto statement and eval_report.json into this
    /// folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    format: FormatArgs,
    /// Print the policy in use as TOML, and stop
    #[arg(long)]
    print_policy: bool,
}

pub(super) fn run(args: &GateArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("gate");
    keep_apart(args)?;
    let policy = args
        .policy
        .as_deref()
        .map(read_policy)
        .transpose()?
        .unwrap_or_default();
    let (Some(candidate), Some(baseline)) = (&args.candidate, &args.baseline) else {
        print_data(&policy.to_toml())?;
        return Ok(DONE);
    };
    if args.print_policy {
        print_data(&policy.to_toml())?;
        return Ok(DONE);
    }
    let mut inputs = Vec::new();
    let mut noted = |what: &str, path: &Path| -> Result<()> {
        // The name of a file, never where it lies on this machine.
        let name = path.file_name().map_or_else(
            || what.to_owned(),
            |name| format!("{what}: {}", name.to_string_lossy()),
        );
        if path.is_file() {
            inputs.push(SourceFile {
                name,
                digest: digest::sha256_of_file(path)?,
            });
        }
        Ok(())
    };
    noted("candidate", candidate)?;
    noted("baseline", baseline)?;
    let (candidate, baseline) = (ReleaseRecord::read(candidate)?, ReleaseRecord::read(baseline)?);
    let mut records = args
        .records
        .as_deref()
        .map(release::read_records)
        .transpose()?
        .unwrap_or_default();
    records.retain(|record| !record.is_production);
    let bundle = |path: &Option<PathBuf>| path.as_deref().map(ToolBundle::read).transpose();
    let (own_tools, baseline_tools) = (bundle(&args.tools)?, bundle(&args.baseline_tools)?);
    let calls = match (&args.calls, &own_tools) {
        (Some(path), Some(new)) => Some(tools::replay_arguments(path, baseline_tools.as_ref(), new)?),
        _ => None,
    };
    let baseline_columns = if args.baseline_columns.is_empty() {
        args.source.columns()
    } else {
        &args.baseline_columns
    };
    let options = evals::ReadOptions {
        with_outputs: !policy.forbidden_substrings.is_empty(),
        by: policy.slices.clone(),
    };
    let table = |path: &Option<PathBuf>, columns: &[(String, String)]| {
        let read = |path: &PathBuf| {
            evals::read_evals(&args.source.with_columns(path, columns, &args.allowed)?, &options)
        };
        path.as_ref().map(read).transpose()
    };
    let (own_evals, baseline_evals) = (
        table(&args.evals, args.source.columns())?,
        table(&args.baseline_evals, baseline_columns)?,
    );
    let others = [
        ("calls", &args.calls),
        ("analysis", &args.analysis),
        ("approvals", &args.approvals),
    ];
    for (what, path) in others {
        path.iter().try_for_each(|path| noted(what, path))?;
    }
    for (what, path, bundle) in [
        ("tools", &args.tools, &own_tools),
        ("baseline tools", &args.baseline_tools, &baseline_tools),
    ] {
        let name = path
            .as_deref()
            .and_then(Path::file_name)
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        inputs.extend(bundle.as_ref().map(|bundle| SourceFile {
            name: format!("{what}: {name}"),
            digest: bundle.digest.clone(),
        }));
    }
    inputs.extend(records.iter().map(|record| SourceFile {
        name: format!("record of {}", record.release_id),
        digest: record.digest.clone(),
    }));
    for (what, table) in [("evals", &own_evals), ("baseline evals", &baseline_evals)] {
        let named = |(file, format): &(SourceFile, evals::EvalFormat)| SourceFile {
            name: format!("{what} ({}): {}", format.name(), file.name),
            digest: file.digest.clone(),
        };
        inputs.extend(table.iter().flat_map(|table| &table.sources).map(named));
    }
    if let (Some(own), Some(before)) = (&own_evals, &baseline_evals) {
        let same = own.sources.iter().find(|(file, _)| {
            before
                .sources
                .iter()
                .any(|(other, _)| other.digest == file.digest)
        });
        if let Some((file, _)) = same.filter(|_| own.rows.iter().any(|row| row.release.is_none())) {
            return Err(Error::input(
                file.name.clone(),
                "expected results of two releases, found one file for both, whose rows name no release",
            ));
        }
    }
    let dealt = (own_evals.is_some() || baseline_evals.is_some()).then(|| {
        Evals::from_tables(
            &candidate,
            &baseline,
            [baseline_evals.as_ref(), own_evals.as_ref()],
        )
    });
    let analysis = args.analysis.as_deref().map(json::read_document).transpose()?;
    let approvals = args
        .approvals
        .as_deref()
        .map(|path| gate::parse_approvals(&files::read_text(path)?, &path.display().to_string()))
        .transpose()?
        .unwrap_or_default();
    let evidence = GateEvidence {
        records: &records,
        seen: args
            .registry
            .as_deref()
            .map(|path| register(path, &candidate))
            .transpose()?,
        tools: own_tools.as_ref(),
        baseline_tools: baseline_tools.as_ref(),
        calls: calls.as_deref(),
        evals: dealt.as_ref(),
        eval_report: args
            .eval_report
            .as_deref()
            .map(digest::sha256_of_file)
            .transpose()?,
        analysis: analysis.as_ref(),
        approvals: &approvals,
        as_of: args.as_of,
        inputs,
        ..GateEvidence::new(&candidate, &baseline)
    };
    let report = gate::gate_release(&evidence, &policy);
    if let Some(out) = &args.out {
        write(&report, &args.uri, out, terminal.lang)?;
    }
    if args.format.is_given() {
        let files = GateFiles {
            candidate: args.candidate.as_deref(),
            tools: args.tools.as_deref(),
            calls: args.calls.as_deref(),
            evals: args.evals.as_deref(),
            analysis: args.analysis.as_deref(),
        };
        args.format
            .print(&pipeline::from_gate(&report, &files), terminal)?;
    } else if args.json {
        print_json(&json::to_json(&report))?;
    } else {
        let n_others = dealt.as_ref().map_or(0, |dealt| dealt.n_others);
        let has_canary = evidence.analysis.is_some();
        terminal.print(&gate_text::text(&report, n_others, has_canary, terminal))?;
    }
    Ok(report.outcome.exit_code())
}

/// The files that the gate writes into a folder.
fn written(out: &Path) -> [PathBuf; 5] {
    [
        "gate_report.json",
        "gate_report.md",
        "gate_report.html",
        "eval_report.json",
        "gate_report.intoto.json",
    ]
    .map(|name| out.join(name))
}

/// Refuses to write what the gate reads. The registry is read and extended.
fn keep_apart(args: &GateArgs) -> Result<()> {
    let read = [
        &args.candidate,
        &args.baseline,
        &args.records,
        &args.tools,
        &args.baseline_tools,
        &args.calls,
        &args.evals,
        &args.baseline_evals,
        &args.eval_report,
        &args.analysis,
        &args.policy,
        &args.approvals,
    ];
    Apart::new()
        .reads(read.into_iter().flatten())
        .writes(args.out.iter().flat_map(|out| written(out)))
        .writes(&args.registry)
        .check()
}

fn write(report: &gate::GateReport, uri: &str, out: &Path, lang: Lang) -> Result<()> {
    if out.is_file() {
        return Err(Error::write(out, "expected a folder, found a file"));
    }
    let files = written(out);
    let text = json::to_json(report);
    let digest = digest::sha256_of_bytes(text.as_bytes());
    let subject = report.subjects.first();
    let reference = json!({
        "release_id": report.candidate,
        "release_digest": subject.map(|subject| subject.digest.clone()),
        "eval_report_uri": uri,
        "eval_report_digest": digest,
        "outcome": report.outcome,
    });
    let [json_path, md_path, html_path, reference_path, statement_path] = &files;
    // The statement names the digest of the report, so it is written last.
    let mut set = FileSet::begin(statement_path)?;
    set.add(json_path, text.as_bytes())?;
    set.add(md_path, report::gate_markdown(report, lang).as_bytes())?;
    set.add(html_path, report::gate_html(report, lang).as_bytes())?;
    set.add(reference_path, json::to_json(&reference).as_bytes())?;
    let statement = json::to_json(&report.statement(uri, &digest));
    set.commit(statement.as_bytes(), EarlierCommit::Remove)
}

//! `sluice report`: draws the report of a study.

use clap::Args;
use std::path::{Path, PathBuf};

use crate::base::apart::Apart;
use crate::base::error::{Error, Result};
use crate::base::{files, json, manifest};
use crate::cli::terminal::{DONE, Terminal};
use crate::cli::text::path_text;
use crate::ramp::RampState;
use crate::report::StudyDocument;
use crate::scenario::{Overrides, Scenario};
use crate::study;
use crate::study::Exports;
use crate::words::commands as say;
use crate::{night, report};

/// Draw report.md and report.html from a study's documents
#[derive(Debug, Args)]
#[command(
    after_help = include_str!("help/report.txt"),
    override_usage = "sluice report [OPTIONS] <DIR>\n       sluice report [OPTIONS] --nights <DIR>..."
)]
pub(super) struct ReportArgs {
    /// The study's folder, of sluice run or of the stage commands
    #[arg(required_unless_present = "nights", conflicts_with = "nights")]
    dir: Option<PathBuf>,
    /// The nights of a ramp on one page: the --dir of sluice night. Given several times, the history
    /// of several ramps
    #[arg(long, value_name = "DIR")]
    nights: Vec<PathBuf>,
    /// Folder for the page of the nights; the first --nights if absent
    #[arg(long, value_name = "DIR", requires = "nights")]
    out: Option<PathBuf>,
    /// The scenario of a study from the stage commands: writes study.json first
    #[arg(long, alias = "plan", value_name = "SCENARIO", conflicts_with = "nights")]
    scenario: Option<PathBuf>,
    /// State of the ramp: the report shows its log of changes, when they were decided and in force
    #[arg(long, value_name = "FILE", conflicts_with = "nights")]
    state: Option<PathBuf>,
    /// Write each chart as SVG and PNG to this folder, which is replaced as a whole
    #[arg(long, value_name = "DIR", conflicts_with = "nights")]
    charts: Option<PathBuf>,
    /// Write each table as CSV to this folder, which is replaced as a whole
    #[arg(long, value_name = "DIR", conflicts_with = "nights")]
    tables: Option<PathBuf>,
    /// Write a workbook: decisions, effects, slices, schedule, operations, costs
    #[arg(long, value_name = "FILE", conflicts_with = "nights")]
    xlsx: Option<PathBuf>,
    /// Write the report as HTML for mail, below 100 kB
    #[arg(long, value_name = "FILE", conflicts_with = "nights")]
    email: Option<PathBuf>,
}

pub(super) fn run(args: &ReportArgs, terminal: &Terminal) -> Result<u8> {
    match &args.dir {
        Some(dir) => study_report(args, dir, terminal),
        None => nights(args, terminal),
    }
}

/// Writes the page of the nights of a ramp, or of the history of several.
fn nights(args: &ReportArgs, terminal: &Terminal) -> Result<u8> {
    let Some(out) = args.out.as_ref().or(args.nights.first()) else {
        return Err(Error::usage("expected a study's folder, or --nights DIR"));
    };
    let [page, markdown, document] = ["nights.html", "nights.md", "nights.json"].map(|name| out.join(name));
    let folders = args.nights.iter().flat_map(|dir| night::folders_of(dir));
    Apart::new()
        .reads(folders.flat_map(|folder| documents_of(&folder).collect::<Vec<_>>()))
        .writes([&page, &markdown, &document])
        .check()?;
    let ramps = night::read_ramps(&args.nights, terminal.progress())?;
    json::write_json(&document, &ramps)?;
    files::write_bytes(
        &markdown,
        report::nights_markdown(&ramps, terminal.lang).as_bytes(),
    )?;
    files::write_bytes(&page, report::nights_html(&ramps, terminal.lang).as_bytes())?;
    terminal.print(&format!(
        "{}\n{}\n  {}\n  {}\n  {}\n",
        terminal
            .fill(&report::nights_summary(&ramps, terminal.lang))
            .trim_end(),
        terminal.text(&say::written()),
        path_text(&page),
        path_text(&markdown),
        path_text(&document)
    ))?;
    Ok(DONE)
}

fn study_report(args: &ReportArgs, dir: &Path, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("report");
    let written = [
        manifest::file::STUDY,
        manifest::file::REPORT_HTML,
        manifest::file::REPORT_MD,
    ];
    Apart::new()
        .reads(&args.scenario)
        .reads(&args.state)
        .reads(documents_of(dir))
        .writes(written.map(|name| dir.join(name)))
        .writes(args.xlsx.iter().chain(&args.email))
        .replaces(args.charts.iter().chain(&args.tables))
        .check()?;
    if let Some(path) = &args.scenario {
        let mut scenario = Scenario::load(path, &Overrides::default())?;
        study::carry_state(&mut scenario, args.state.as_deref())?;
        json::write_json(&dir.join(manifest::file::STUDY), &StudyDocument::new(&scenario))?;
    }
    let state: Option<RampState> = args.state.as_deref().map(json::read_document).transpose()?;
    study::report(dir, terminal.lang, state.as_ref())?;
    let exports = Exports {
        charts: args.charts.clone(),
        tables: args.tables.clone(),
        xlsx: args.xlsx.clone(),
        email: args.email.clone(),
    };
    if !exports.is_empty() {
        let warnings = study::export(dir, terminal.lang, state.as_ref(), &exports)?;
        warnings.iter().for_each(|warning| terminal.warn(warning));
    }
    let reports = [manifest::file::REPORT_HTML, manifest::file::REPORT_MD];
    let mut text = format!("{}\n", terminal.text(&say::written()));
    for path in reports.map(|name| dir.join(name)).iter().chain(exports.paths()) {
        text.push_str(&format!("  {}\n", path_text(path)));
    }
    terminal.print(&text)?;
    Ok(DONE)
}

/// The documents of a study that a report is made of.
fn documents_of(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let names = [
        manifest::file::ANALYSIS,
        manifest::file::SCHEDULE,
        manifest::file::GATE_REPORT,
        manifest::file::LAYER_SUMMARY,
        manifest::file::STATE,
        manifest::file::TRACES,
    ];
    let dir = dir.to_owned();
    names.into_iter().map(move |name| dir.join(name))
}

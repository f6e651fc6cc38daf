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
use crate::words::commands as say;
use crate::{night, report};

/// Draw report.md and report.html from a study's documents
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/report.txt"))]
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
    #[arg(long, alias = "plan", value_name = "SCENARIO")]
    scenario: Option<PathBuf>,
    /// State of the ramp: the report shows its log of changes, when they were decided and in force
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
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
    Apart::new().writes([&page, &markdown, &document]).check()?;
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
        .writes(written.map(|name| dir.join(name)))
        .check()?;
    if let Some(path) = &args.scenario {
        let mut scenario = Scenario::load(path, &Overrides::default())?;
        study::carry_state(&mut scenario, args.state.as_deref())?;
        json::write_json(&dir.join(manifest::file::STUDY), &StudyDocument::new(&scenario))?;
    }
    let state: Option<RampState> = args.state.as_deref().map(json::read_document).transpose()?;
    study::report(dir, terminal.lang, state.as_ref())?;
    let path = |name: &str| path_text(&dir.join(name));
    terminal.print(&format!(
        "{}\n  {}\n  {}\n",
        terminal.text(&say::written()),
        path(manifest::file::REPORT_HTML),
        path(manifest::file::REPORT_MD)
    ))?;
    Ok(DONE)
}

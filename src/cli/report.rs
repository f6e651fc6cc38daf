//! `sluice report`: draws the report of a study.

use clap::Args;
use std::path::PathBuf;

use crate::base::apart::Apart;
use crate::base::error::Result;
use crate::base::{json, manifest};
use crate::cli::terminal::{DONE, Terminal};
use crate::cli::text::path_text;
use crate::ramp::RampState;
use crate::report::StudyDocument;
use crate::scenario::{Overrides, Scenario};
use crate::study;

/// Draw report.md and report.html from a study's documents
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/report.txt"))]
pub(super) struct ReportArgs {
    /// The study's folder, of sluice run or of the stage commands
    dir: PathBuf,
    /// The scenario of a study from the stage commands: writes study.json first
    #[arg(long, alias = "plan", value_name = "SCENARIO")]
    scenario: Option<PathBuf>,
    /// State of the ramp: the report shows its log of changes, when they were decided and in force
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

pub(super) fn run(args: &ReportArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("report");
    let written = [
        manifest::file::STUDY,
        manifest::file::REPORT_HTML,
        manifest::file::REPORT_MD,
    ];
    Apart::new()
        .reads(&args.scenario)
        .reads(&args.state)
        .writes(written.map(|name| args.dir.join(name)))
        .check()?;
    if let Some(path) = &args.scenario {
        let mut scenario = Scenario::load(path, &Overrides::default())?;
        study::carry_state(&mut scenario, args.state.as_deref())?;
        json::write_json(
            &args.dir.join(manifest::file::STUDY),
            &StudyDocument::new(&scenario),
        )?;
    }
    let state: Option<RampState> = args.state.as_deref().map(json::read_document).transpose()?;
    study::report(&args.dir, terminal.lang, state.as_ref())?;
    let path = |name: &str| path_text(&args.dir.join(name));
    terminal.print(&format!(
        "written:\n  {}\n  {}\n",
        path(manifest::file::REPORT_HTML),
        path(manifest::file::REPORT_MD)
    ))?;
    Ok(DONE)
}

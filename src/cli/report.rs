//! `sluice report`: a study's documents to its report.

use clap::Args;
use std::path::PathBuf;

use crate::base::error::Result;
use crate::base::{json, manifest};
use crate::cli::terminal::{DONE, print};
use crate::report::{Lang, StudyDocument};
use crate::scenario::{Overrides, Scenario};
use crate::study;

/// Draw report.md and report.html from a study's documents
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sluice report out/ecommerce\n  sluice report stages --plan scenarios/ecommerce.toml"
)]
pub(super) struct ReportArgs {
    /// The study's folder: of `run`, or with what the stage commands wrote
    dir: PathBuf,
    /// Scenario of a study that the stage commands made: study.json is written first
    #[arg(long, value_name = "SCENARIO")]
    plan: Option<PathBuf>,
    /// Language of the report: en or zh
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    lang: Lang,
}

pub(super) fn run(args: &ReportArgs) -> Result<u8> {
    if let Some(plan) = &args.plan {
        let scenario = Scenario::load(plan, &Overrides::default())?;
        json::write_json(
            &args.dir.join(manifest::file::STUDY),
            &StudyDocument::new(&scenario),
        )?;
    }
    study::report(&args.dir, args.lang)?;
    let path = |name: &str| args.dir.join(name).display().to_string();
    print(&format!(
        "written:\n  {}\n  {}\n",
        path(manifest::file::REPORT_HTML),
        path(manifest::file::REPORT_MD)
    ))?;
    Ok(DONE)
}

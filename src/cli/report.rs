//! `sluice report`: a study's documents to its report.

use clap::Args;
use std::path::PathBuf;

use super::{DONE, print};
use crate::{error::Result, study};

/// Draw report.md and report.html from a study's documents
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sluice report out/ecommerce")]
pub(super) struct ReportArgs {
    /// The study's folder
    dir: PathBuf,
}

pub(super) fn run(args: &ReportArgs) -> Result<u8> {
    study::report(&args.dir)?;
    let path = |name: &str| args.dir.join(name).display().to_string();
    print(&format!("written:\n  {}\n  {}\n", path(study::file::REPORT_HTML), path(study::file::REPORT_MD)))?;
    Ok(DONE)
}

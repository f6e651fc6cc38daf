//! `--format`: results as pipelines read them.

use clap::Args;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use crate::base::error::{Error, Result};
use crate::cli::terminal::{Terminal, print_data};
use crate::pipeline;
use crate::pipeline::{Findings, Format};

/// The variable with the file of the job summary of GitHub Actions.
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";

#[derive(Debug, Args)]
pub(super) struct FormatArgs {
    /// Print findings for a pipeline: github, junit, sarif, or markdown for a pull request
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        conflicts_with = "json",
        hide_possible_values = true
    )]
    format: Option<Format>,
}

impl FormatArgs {
    /// Whether a format was asked for.
    pub(super) fn is_given(&self) -> bool {
        self.format.is_some()
    }

    /// Prints findings in the format. With `github`, a comment goes to the job summary too, if
    /// GitHub names its file.
    ///
    /// # Errors
    /// The summary or stdout cannot be written.
    pub(super) fn print(&self, findings: &Findings, terminal: &Terminal) -> Result<()> {
        let Some(format) = self.format else { return Ok(()) };
        if format == Format::Github
            && let Some(path) = std::env::var_os(SUMMARY).filter(|path| !path.is_empty())
        {
            let comment = pipeline::comment(findings, terminal.lang);
            append(PathBuf::from(path), &format!("{comment}\n"))?;
        }
        print_data(&pipeline::write(findings, format, terminal.lang))
    }
}

/// Appends to the job summary, which GitHub makes and other steps share.
fn append(path: PathBuf, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| {
            Error::write(&path, error).hint(format!(
                "{SUMMARY} names the file of the job summary: unset it, or let it name a file that can be written"
            ))
        })
}

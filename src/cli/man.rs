//! `sluice man`: manual pages.

use clap::Args;
use std::path::{Path, PathBuf};

use crate::base::error::{FileResult, Result};
use crate::base::files;
use crate::base::open;
use crate::cli::terminal::{DONE, Terminal};
use crate::cli::text::path_text;

/// Write a manual page for each command
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/man.txt"))]
pub(super) struct ManArgs {
    /// Folder for the pages: sluice.1, sluice-run.1 and so on
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Writes the pages of the command line `command`.
pub(super) fn run(args: &ManArgs, command: clap::Command, terminal: &Terminal) -> Result<u8> {
    open::create_folders(&args.dir).or_unwritable(&args.dir)?;
    let mut program = command.disable_help_subcommand(true);
    program.build();
    let n_pages = write_pages(&program, &args.dir)?;
    terminal.print(&format!(
        "written:\n  {} pages in {}\n",
        n_pages,
        path_text(&args.dir)
    ))?;
    Ok(DONE)
}

/// Writes the page of a command and of its subcommands; returns the number of pages.
fn write_pages(command: &clap::Command, dir: &Path) -> Result<usize> {
    let page = clap_mangen::Man::new(command.clone());
    let path = dir.join(page.get_filename());
    let mut bytes = Vec::new();
    page.render(&mut bytes).or_unwritable(&path)?;
    files::write_bytes(&path, &bytes)?;
    let mut n_pages = 1;
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        n_pages += write_pages(subcommand, dir)?;
    }
    Ok(n_pages)
}

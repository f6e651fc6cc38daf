//! `sluice completions`: completion scripts for shells.

use clap::Args;
use clap_complete::Shell;

use crate::base::error::Result;
use crate::cli::terminal::{DONE, print_data};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/completions.txt"))]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script for the command line `command`.
pub(super) fn run(args: &CompletionsArgs, mut command: clap::Command) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sluice", &mut script);
    print_data(&String::from_utf8_lossy(&script))?;
    Ok(DONE)
}

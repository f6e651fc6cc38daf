//! The `sluice` program: parse, dispatch, print the error, exit.

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match sluice::cli::dispatch(sluice::cli::Args::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            sluice::cli::print_error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

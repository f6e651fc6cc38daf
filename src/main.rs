//! The `sluice` program: parses the command line and runs the command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match sluice::cli::parse(std::env::args_os()) {
        Ok(args) => sluice::cli::main(args),
        Err(code) => code,
    }
}

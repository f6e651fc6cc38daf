//! `sluice generate`: synthetic users and traffic with a known truth.

use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

use crate::base::apart::Apart;
use crate::base::error::{Error, Result};
use crate::base::files::StagedFolder;
use crate::base::time::WrittenInstant;
use crate::cli::terminal::{DONE, Terminal};
use crate::cli::text::path_text;
use crate::cli::values::parse_written;
use crate::generate;
use crate::generate::DATA_FILE;
use crate::scenario::{Overrides, Scenario};
use crate::study;

/// The case study, for data without a scenario of one's own.
const ECOMMERCE: &str = include_str!("../../scenarios/ecommerce.toml");

/// Generate users and traffic with a known truth
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/generate.txt"))]
pub(super) struct GenerateArgs {
    /// The kind of data
    kind: Kind,
    /// Rows: users for `users`, the expected number of turns for `ecommerce`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    rows: Option<u64>,
    /// Number of users of `ecommerce`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4_000_000_000))]
    users: Option<u64>,
    /// Another seed
    #[arg(long)]
    seed: Option<u64>,
    /// Scenario with [input.generate], layers and ratio history; the shipped case study by default
    #[arg(long, value_name = "SCENARIO")]
    scenario: Option<PathBuf>,
    /// End of the traffic, in place of the scenario's as_of
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    as_of: Option<WrittenInstant>,
    /// State of a ramp: its log of changes counts beside the scenario's ratio history, so that the
    /// traffic follows what was decided
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// The case study: a customer-service agent of a shop
    Ecommerce,
    /// The case study's users alone
    Users,
}

pub(super) fn run(args: &GenerateArgs, terminal: &Terminal) -> Result<u8> {
    let overrides = Overrides {
        seed: args.seed,
        as_of: args.as_of,
        ..Overrides::default()
    };
    let mut scenario = match &args.scenario {
        Some(path) => Scenario::load(path, &overrides)?,
        None => {
            Scenario::parse(ECOMMERCE, "ecommerce", Path::new(""), &overrides).map_err(Error::scenario)?
        }
    };
    study::carry_state(&mut scenario, args.state.as_deref())?;
    if let Some(generate) = &mut scenario.input.generate {
        let (turns, users) = match args.kind {
            Kind::Ecommerce => (args.rows, args.users),
            Kind::Users => (None, args.rows.or(args.users)),
        };
        if args.as_of.is_some() {
            generate.until = scenario.as_of;
        }
        generate.n_turns = turns.unwrap_or(generate.n_turns);
        generate.n_users = users.unwrap_or(generate.n_users);
    }
    Apart::new()
        .reads(args.scenario.iter().chain(&args.state))
        .replaces([&args.out])
        .check()?;
    let _stage = terminal.progress().stage("generate");
    let staged = StagedFolder::begin(&args.out, DATA_FILE)?;
    match args.kind {
        Kind::Ecommerce => generate::generate(&scenario, staged.path(), terminal.progress()).map(|_| ())?,
        Kind::Users => generate::generate_users(&scenario, staged.path(), terminal.progress())?,
    }
    staged.commit()?;
    let written = terminal.text(&crate::words::commands::written());
    terminal.print(&format!("{written}\n  {}\n", path_text(&args.out)))?;
    Ok(DONE)
}

//! `sluice replay`: traffic to a cube.

use clap::Args;
use std::path::PathBuf;

use super::{DONE, parse_instant, print, source_at};
use crate::{
    error::{Error, Result},
    layer::Layers,
    output::{self, StagedFolder},
    progress::Progress,
    replay::CUBE_FILE,
    scenario::{Overrides, Scenario},
    study,
    time::Micros,
};

/// Reduce a traffic log to a cube
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sluice replay --traffic out/ecommerce/data/traffic --layers layers.parquet --plan scenarios/ecommerce.toml --out cube"
)]
pub(super) struct ReplayArgs {
    /// Traffic: a file, a folder or a glob; the scenario's own sources by default
    #[arg(long, value_name = "PATH")]
    traffic: Option<PathBuf>,
    /// Layer table, from `sluice layer`
    #[arg(long, value_name = "FILE")]
    layers: PathBuf,
    /// Scenario with the plan
    #[arg(long, value_name = "SCENARIO")]
    plan: PathBuf,
    /// Folder for the cube
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Look back from this instant instead of the scenario's as_of
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    as_of: Option<Micros>,
    /// Print where the rows went as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReplayArgs) -> Result<u8> {
    let mut scenario = Scenario::load(&args.plan, &Overrides { as_of: args.as_of, ..Overrides::default() })?;
    if let Some(path) = &args.traffic {
        let like = scenario.input.traffic.first().cloned();
        scenario.input.traffic = vec![source_at(path, like.as_ref())];
    }
    if scenario.input.traffic.is_empty() {
        return Err(Error::usage("expected --traffic, found none").hint("this scenario names no traffic of its own"));
    }
    let layers = Layers::read(&args.layers, &scenario.plan)?;
    let staged = StagedFolder::begin(&args.out, CUBE_FILE)?;
    let cube = study::replay(&scenario, None, &layers, staged.path(), &Progress::on_terminal())?;
    staged.commit()?;
    let rows = &cube.counts;
    print(&if args.json {
        output::to_json(rows)
    } else {
        format!(
            "{} rows to {} cells: baseline {}, candidate {}, ineligible {}, unknown release {}, unknown user {}, bad {}\nwritten:\n  {}\n",
            rows.n_rows,
            cube.keys.len(),
            rows.n_baseline,
            rows.n_candidate,
            rows.n_ineligible,
            rows.n_unknown_release,
            rows.n_unknown_user,
            rows.n_bad,
            args.out.display()
        )
    })?;
    Ok(DONE)
}

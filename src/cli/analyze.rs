//! `sluice analyze`: cube to analysis.

use clap::Args;
use std::path::PathBuf;

use super::{DONE, parse_instant, print};
use crate::{
    error::Result,
    number::number,
    output,
    replay::Cube,
    scenario::{Overrides, Scenario},
    stats::Known,
    study,
    time::Micros,
};

/// Infer QoS, sample ratios and effects from a cube
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sluice analyze --cube cube --plan scenarios/ecommerce.toml --out analysis.json")]
pub(super) struct AnalyzeArgs {
    /// Cube folder, from `sluice replay`
    #[arg(long, value_name = "DIR")]
    cube: PathBuf,
    /// Scenario with the plan
    #[arg(long, value_name = "SCENARIO")]
    plan: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The instant the cube was made for, if it was not the scenario's
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    as_of: Option<Micros>,
    /// Print the analysis as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &AnalyzeArgs) -> Result<u8> {
    let scenario = Scenario::load(&args.plan, &Overrides { as_of: args.as_of, ..Overrides::default() })?;
    let cube = Cube::read(&args.cube)?;
    let analysis = study::analyze(&scenario, &cube, &args.out)?;
    if args.json {
        print(&output::to_json(&analysis))?;
        return Ok(DONE);
    }
    let mut text = String::new();
    for layer in &analysis.layers {
        let Some(stage) = layer.current() else { continue };
        let qos = match &stage.qos.effect {
            Known::Value(e) => {
                format!("QoS {:+.4} [{:+.4}, {:+.4}]", e.effect_size, e.anytime.ci_lower, e.anytime.ci_upper)
            }
            Known::Unknown { reason } => format!("QoS effect not known: {reason}"),
        };
        let srm = stage.srm.map_or_else(|| "-".to_owned(), |srm| number(srm.p_value));
        text.push_str(&format!("{} / {} at {}: {qos}, SRM p {srm}\n", layer.tenant, layer.layer, stage.ratio));
    }
    text.push_str(&format!("written:\n  {}\n", args.out.display()));
    print(&text)?;
    Ok(DONE)
}

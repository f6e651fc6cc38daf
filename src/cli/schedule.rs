//! `sluice schedule`: analysis and state to the next ratios.

use clap::Args;
use std::path::PathBuf;

use super::{DONE, parse_instant, print};
use crate::{
    analysis::Analysis,
    error::{Error, Result},
    output,
    ramp::RampState,
    scenario::{Overrides, Scenario},
    study,
    time::Micros,
};

/// Decide every layer's next ratio and write the operation log
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sluice schedule --plan scenarios/ecommerce.toml --analysis analysis.json --out ramp\n  sluice schedule --plan scenarios/ecommerce.toml --analysis analysis.json --state ramp/state.json --out ramp"
)]
pub(super) struct ScheduleArgs {
    /// Scenario with the plan
    #[arg(long, value_name = "SCENARIO")]
    plan: PathBuf,
    /// Analysis, from `sluice analyze`
    #[arg(long, value_name = "FILE")]
    analysis: PathBuf,
    /// Where the ramp stands, from an earlier schedule; by default the plan's own operations say so
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Layer summary, from `sluice layer`: with it, gate_report.json is written too
    #[arg(long, value_name = "FILE")]
    layer_summary: Option<PathBuf>,
    /// Folder for schedule.json, state.json and tables/
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The instant the analysis was made for, if it was not the scenario's
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    as_of: Option<Micros>,
    /// Print the schedule as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ScheduleArgs) -> Result<u8> {
    let scenario = Scenario::load(&args.plan, &Overrides { as_of: args.as_of, ..Overrides::default() })?;
    let analysis: Analysis = output::read_json(&args.analysis)?;
    if analysis.scenario_digest != scenario.digest {
        return Err(Error::input(
            args.analysis.display().to_string(),
            format!("expected an analysis under {}, found one under another scenario", args.plan.display()),
        )
        .hint("make it anew with `sluice analyze`"));
    }
    let state: Option<RampState> = args.state.as_ref().map(|path| output::read_json(path)).transpose()?;
    let digest = output::sha256_of(&[output::to_json(&analysis).as_bytes()]);
    if state.as_ref().is_some_and(|state| state.evidence_digest.as_ref() == Some(&digest)) {
        print(if args.json { "{\"changed\": false}\n" } else { "the state rests on this evidence already: nothing changed\n" })?;
        return Ok(DONE);
    }
    let schedule = study::schedule(&scenario, &analysis, state.as_ref(), &args.out)?;
    if let Some(path) = &args.layer_summary {
        study::gate(&scenario, &output::read_json(path)?, &analysis, &schedule, &args.out)?;
    }
    if args.json {
        print(&output::to_json(&schedule))?;
        return Ok(DONE);
    }
    let mut text = String::new();
    for layer in &schedule.layers {
        text.push_str(&format!(
            "{} / {}: {} {} → {}: {}\n",
            layer.tenant,
            layer.layer,
            layer.verdict.name(),
            layer.ratio,
            layer.next_ratio,
            layer.reason
        ));
    }
    text.push_str(&format!("written:\n  {}\n", args.out.join(study::file::SCHEDULE).display()));
    print(&text)?;
    Ok(DONE)
}

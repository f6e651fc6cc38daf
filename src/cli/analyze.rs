//! `sluice analyze`: cube to analysis.

use clap::Args;
use std::path::PathBuf;

use super::{DONE, parse_instant, print, summary::new_table};
use crate::{
    analysis::Analysis,
    error::Result,
    number::number,
    output,
    replay::Cube,
    scenario::{Overrides, Scenario},
    stats::{Interval, Known, effect::Effect, quantile::QuantileEstimate},
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
    /// Show every stage, not only the current one
    #[arg(long)]
    all_stages: bool,
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
    let mut text = text(&analysis, args.all_stages);
    text.push_str(&format!("written:\n  {}\n", args.out.display()));
    print(&text)?;
    Ok(DONE)
}

/// Every layer's effects: those of the current stage, or of all.
fn text(analysis: &Analysis, all_stages: bool) -> String {
    let mut table = new_table();
    table.set_header(["tenant", "layer", "ratio", "metric", "baseline", "candidate", "effect", "one look", "every look", "p"]);
    let mut notes = String::new();
    for layer in &analysis.layers {
        let first = if all_stages { 0 } else { layer.stages.len().saturating_sub(1) };
        for stage in &layer.stages[first..] {
            let srm = stage.srm.map_or_else(|| "-".to_owned(), |srm| number(srm.p_value));
            let users = stage.users;
            notes.push_str(&format!(
                "{} / {} at {}: users {} baseline, {} candidate, {} in both; SRM p {srm}\n",
                layer.tenant, layer.layer, stage.ratio, users.baseline, users.candidate, users.crossover
            ));
            let mut add = |name: &str, control: Option<f64>, treatment: Option<f64>, effect: &Known<Effect>| {
                let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
                let interval = |ci: &Interval| format!("{} to {}", number(ci.ci_lower), number(ci.ci_upper));
                let cells = match effect {
                    Known::Value(e) => [number(e.effect_size), interval(&e.ci), interval(&e.anytime), number(e.p_value)],
                    Known::Unknown { reason } => [reason.to_string(), String::new(), String::new(), String::new()],
                };
                let place =
                    [layer.tenant.clone(), layer.layer.clone(), stage.ratio.to_string(), name.to_owned(), value(control), value(treatment)];
                table.add_row(place.into_iter().chain(cells));
            };
            let qos = &stage.qos;
            add("QoS", qos.baseline.value().map(|q| q.value.qos), qos.candidate.value().map(|q| q.value.qos), &qos.effect);
            for metric in &stage.metrics {
                add(&metric.metric, metric.baseline.estimate, metric.candidate.estimate, &metric.effect);
            }
            let quantiles = [
                ("latency_p50_ms", &stage.latency_p50_ms),
                ("latency_p95_ms", &stage.latency_p95_ms),
                ("latency_p99_ms", &stage.latency_p99_ms),
            ];
            for (name, latency) in quantiles {
                let point = |arm: &Known<QuantileEstimate>| arm.value().map(|q| q.estimate);
                add(name, point(&latency.baseline), point(&latency.candidate), &latency.effect);
            }
        }
    }
    format!("{}\n\n{notes}", table.trim_fmt())
}

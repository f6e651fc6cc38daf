//! `sluice calibrate`: do the methods hold on this traffic?

use clap::Args;
use comfy_table::CellAlignment;
use std::path::PathBuf;

use crate::analysis::{Calibration, Rate, calibrate};
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::time::Micros;
use crate::cli::summary::new_table;
use crate::cli::terminal::{DONE, print};
use crate::cli::values::parse_instant;
use crate::replay::Cube;
use crate::report::percent;
use crate::scenario::{Overrides, Scenario};
use crate::stats::Known;

/// Check error rates on your own log: A/A splits of the users who had the baseline
#[derive(Debug, Args)]
#[command(
    after_help = "Every effect between two random halves of the same users is false. False positives should be near alpha, coverage near
1 - alpha, SRM alarms near .1 %; `rows alone` shows what tests would do that take the rows of one user for independent.

Examples:
  sluice calibrate --cube cube --plan scenarios/ecommerce.toml
  sluice calibrate --cube cube --plan plan.toml --splits 5000 --layer early --out calibration.json"
)]
pub(super) struct CalibrateArgs {
    /// Cube folder, from `sluice replay`
    #[arg(long, value_name = "DIR")]
    cube: PathBuf,
    /// Scenario with the plan
    #[arg(long, value_name = "SCENARIO")]
    plan: PathBuf,
    /// The instant the cube was made for, if it was not the scenario's
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    as_of: Option<Micros>,
    /// Splits per layer and ratio
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(20..=1_000_000))]
    splits: u32,
    /// Seed of the splits; the scenario's by default
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Show this layer only
    #[arg(long, value_name = "LAYER")]
    layer: Option<String>,
    /// File for the result as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CalibrateArgs) -> Result<u8> {
    let scenario = Scenario::load(
        &args.plan,
        &Overrides {
            as_of: args.as_of,
            ..Overrides::default()
        },
    )?;
    let cube = Cube::read(&args.cube)?;
    if cube.plan_id != scenario.plan.id
        || !cube
            .layer_ids
            .iter()
            .eq(scenario.plan.layers.iter().map(|layer| &layer.id))
    {
        return Err(Error::in_file(
            &args.cube,
            format!(
                "expected a cube of plan {}, found one of {}",
                scenario.plan.id, cube.plan_id
            ),
        )
        .hint("make the cube anew with `sluice replay`"));
    }
    if let Some(layer) = &args.layer
        && !cube.layer_ids.contains(layer)
    {
        return Err(
            Error::usage(format!("expected a layer of the plan, found \"{layer}\""))
                .hint(format!("there are {}", cube.layer_ids.join(", "))),
        );
    }
    let mut calibration = calibrate(
        &cube,
        &scenario,
        args.splits as usize,
        args.seed.unwrap_or(scenario.seed),
    );
    if let Some(layer) = &args.layer {
        calibration.splits.retain(|split| split.layer == *layer);
    }
    if let Some(path) = &args.out {
        json::write_json(path, &calibration)?;
    }
    print(&if args.json {
        json::to_json(&calibration)
    } else {
        table(&calibration)
    })?;
    Ok(DONE)
}

fn table(calibration: &Calibration) -> String {
    let mut table = new_table();
    table.set_header([
        "tenant",
        "layer",
        "ratio",
        "clusters",
        "metric",
        "false positives",
        "coverage",
        "anytime",
        "rows alone",
        "SRM alarms",
    ]);
    let share = |rate: Option<&Rate>| {
        rate.map_or_else(
            || "-".to_owned(),
            |rate| format!("{:.1}% ± {:.1}", 100.0 * rate.rate, 100.0 * rate.mc_error),
        )
    };
    let known = |rate: &Known<Rate>| {
        rate.reason()
            .map_or_else(|| share(rate.value()), |reason| reason.to_string())
    };
    for split in &calibration.splits {
        for metric in &split.metrics {
            table.add_row([
                split.tenant.clone(),
                split.layer.clone(),
                format!("{}{}", split.ratio, if split.from_few_users { "*" } else { "" }),
                split.n_clusters.to_string(),
                metric.metric.clone(),
                known(&metric.false_positives),
                known(&metric.coverage),
                known(&metric.anytime_coverage),
                share(metric.naive_false_positives.as_ref()),
                known(&split.srm_alarms),
            ]);
        }
    }
    for column in 2..4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let note = if calibration.splits.iter().any(|split| split.from_few_users) {
        "* so few buckets are always dealt from the same few users: these rates vary more from log to log than their errors say\n"
    } else {
        ""
    };
    format!(
        "{} A/A splits per layer and ratio, alpha {}: nothing differs, so false positives should be near {}\n{}\n{note}",
        calibration.n_splits,
        calibration.alpha,
        percent(calibration.alpha),
        table.trim_fmt()
    )
}

//! `sluice calibrate`: error rates of the methods on a log.

use clap::Args;
use std::path::PathBuf;

use crate::analysis::{Calibration, Rate, calibrate};
use crate::base::error::{Error, Result};
use crate::base::number::count;
use crate::base::time::WrittenInstant;
use crate::base::{files, json};
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::text::fill;
use crate::cli::values::{check_json, parse_written};
use crate::replay::Cube;
use crate::scenario::{Overrides, Scenario};
use crate::stats::Known;
use crate::study::inputs;
use crate::words::checkup as words;
use crate::words::terminal as shared;
use crate::words::{Count, Number, Percent, Say, Text};

/// Measure error rates on a log: A/A splits of the users who had the baseline
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/calibrate.txt"))]
pub(super) struct CalibrateArgs {
    /// Cube folder, from `sluice replay`
    #[arg(long, value_name = "DIR")]
    cube: PathBuf,
    /// The scenario, with the plan
    #[arg(long, alias = "plan", value_name = "SCENARIO")]
    scenario: PathBuf,
    /// The instant the cube was made for, if it was not the scenario's
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    as_of: Option<WrittenInstant>,
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

pub(super) fn run(args: &CalibrateArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("calibrate");
    let scenario = Scenario::load(
        &args.scenario,
        &Overrides {
            as_of: args.as_of,
            ..Overrides::default()
        },
    )?;
    let out = args.out.as_deref().map(files::followed).transpose()?;
    out.iter().try_for_each(|path| check_json("--out", path))?;
    inputs::of_scenario(&args.scenario, &scenario)
        .reads([&args.cube])
        .writes(&out)
        .check()?;
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
        .hint("create the cube again with `sluice replay`"));
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
    if let Some(path) = &out {
        json::write_json(path, &calibration)?;
    }
    if args.json {
        print_json(&json::to_json(&calibration))?;
    } else {
        terminal.print(&table(&calibration, terminal))?;
    }
    Ok(DONE)
}

fn table(calibration: &Calibration, terminal: &Terminal) -> String {
    let lang = terminal.lang;
    let of = |title: Text| column(title.of(lang));
    let mut table = Table::new([
        of(shared::column_tenant()).rank(4),
        of(shared::column_layer()),
        of(shared::column_ratio()).right(),
        of(words::column_clusters()).right().rank(3),
        of(shared::column_metric()),
        of(words::column_false_positives()).right(),
        of(words::column_coverage()).right().rank(1),
        of(words::column_anytime()).right().wide(),
        of(words::column_rows_alone()).right().rank(2),
        of(words::column_srm_alarms()).right().wide(),
    ]);
    let share = |rate: Option<&Rate>| {
        rate.map_or_else(
            || "-".to_owned(),
            |rate| format!("{:.1}% ± {:.1}", 100.0 * rate.rate, 100.0 * rate.mc_error),
        )
    };
    let known = |rate: &Known<Rate>| {
        rate.reason()
            .map_or_else(|| share(rate.value()), |reason| reason.say(lang))
    };
    for split in &calibration.splits {
        for metric in &split.metrics {
            table.add_row([
                split.tenant.clone(),
                split.layer.clone(),
                format!("{}{}", split.ratio, if split.from_few_users { "*" } else { "" }),
                count(split.n_clusters as u64),
                metric.metric.clone(),
                known(&metric.false_positives),
                known(&metric.coverage),
                known(&metric.anytime_coverage),
                share(metric.naive_false_positives.as_ref()),
                known(&split.srm_alarms),
            ]);
        }
    }
    let line = |text: Text| format!("{}\n", fill(text.of(lang), terminal.width));
    let note = if calibration.splits.iter().any(|split| split.from_few_users) {
        line(words::few_users())
    } else {
        String::new()
    };
    let alpha = calibration.alpha;
    let head = words::splits(Count(calibration.n_splits as u64), Number(alpha), Percent(alpha));
    format!("{}\n{}\n{note}", line(head), table.render(terminal))
}

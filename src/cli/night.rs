//! `sluice night`: one night of a ramp, from the log to the stores and back.

use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::duration::parse_duration;
use crate::base::error::Result;
use crate::base::json;
use crate::base::time;
use crate::base::time::{Micros, WrittenInstant};
use crate::cli::notified::NotifiedArgs;
use crate::cli::table::{Table, column};
use crate::cli::terminal::{Terminal, print_json};
use crate::cli::text::path_text;
use crate::cli::values::{parse_guard, parse_instant, parse_size, parse_written};
use crate::night;
use crate::night::{NightOptions, NightOutcome};
use crate::publish;
use crate::scenario::GuardName;

/// Do everything that a job does in one night: replay what is new, decide, publish, keep the state
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/night.txt"))]
pub(super) struct NightArgs {
    /// The scenario file
    scenario: PathBuf,
    /// Folder of the ramp: its state, its frozen layers, and one folder for each night
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A target to publish to; repeatable
    #[arg(long, value_name = "TARGET")]
    to: Vec<String>,
    /// End of the night's data; by default the last whole window before now
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    as_of: Option<WrittenInstant>,
    /// Let a guard be beyond its limit this night; repeatable
    #[arg(long = "accept", value_name = "GUARD", value_parser = parse_guard)]
    accepted: Vec<GuardName>,
    /// Nights to keep
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    /// Write metrics of the job to this file (.prom), for the node exporter of Prometheus
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    #[command(flatten)]
    notified: NotifiedArgs,
    /// Publish ratios only, without the layers of users
    #[arg(long)]
    no_users: bool,
    /// Time limit of one answer of a target (default 60s)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    target_timeout: Option<Micros>,
    /// Limit of writes per second to a store
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_qps: Option<u32>,
    /// Time that a store keeps a user's layer without a refresh: 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ttl: Option<Micros>,
    /// Memory for the job, such as 300MB. Default: half of the machine's memory
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_limit: Option<u64>,
    /// Time of a rehearsal on an old log: changes are in force from then on
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    now: Option<Micros>,
    /// Print night.json
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &NightArgs, terminal: &Terminal) -> Result<u8> {
    let now = args.now.map_or_else(publish::now, Ok)?;
    let publication = publish::Options {
        ttl: args.ttl,
        max_qps: args.max_qps,
        target_timeout: args
            .target_timeout
            .map(|micros| Duration::from_micros(micros.unsigned_abs())),
        ..publish::Options::at(now)
    };
    let options = NightOptions {
        scenario: args.scenario.clone(),
        dir: args.dir.clone(),
        targets: args.to.clone(),
        as_of: args.as_of,
        now,
        is_rehearsal: args.now.is_some(),
        keep: args.keep as usize,
        accepted: args.accepted.clone(),
        lang: terminal.lang,
        with_users: !args.no_users,
        publication,
        sinks: args.notified.sinks()?,
        metrics: args.metrics.clone(),
        memory_limit: args.memory_limit,
    };
    let outcome = night::run(&options, terminal.progress())?;
    outcome.warnings.iter().for_each(|warning| terminal.warn(warning));
    for target in &outcome.report.targets {
        if let Some(error) = &target.error {
            terminal.print_error_text(error);
        }
    }
    if args.json {
        print_json(&json::to_json(&outcome.report))?;
    } else {
        terminal.print(&text(&outcome, terminal))?;
    }
    Ok(outcome.exit_code())
}

fn text(outcome: &NightOutcome, terminal: &Terminal) -> String {
    let (report, schedule) = (&outcome.report, &outcome.schedule);
    let mut text = format!(
        "{} against {}, as of {}{}\n\n",
        report.candidate,
        schedule.baseline,
        time::format(report.as_of),
        if outcome.was_finished {
            ": finished before, nothing changed"
        } else {
            ""
        }
    );
    let has_tenants = schedule
        .layers
        .iter()
        .any(|layer| layer.tenant != schedule.layers[0].tenant);
    let tenant = column("tenant");
    let mut table = Table::new([
        if has_tenants { tenant } else { tenant.wide() },
        column("layer"),
        column("verdict"),
        column("ratio").right(),
        column("next").right(),
        column("why").wraps(),
    ]);
    for layer in &schedule.layers {
        table.add_row([
            layer.tenant.as_str(),
            &layer.layer,
            layer.verdict.name(),
            &layer.ratio.to_string(),
            &layer.next_ratio.to_string(),
            &layer.reason,
        ]);
    }
    text.push_str(&table.render(terminal));
    text.push_str(&format!("\ngate: {}\n", report.gate.name()));
    for target in &report.targets {
        text.push_str(&format!("{:<9}  {}\n", target.outcome, target.target));
    }
    for finding in report.guards.iter().filter(|finding| finding.is_beyond) {
        text.push_str(&format!("accepted: {}: {}\n", finding.guard.key(), finding.text));
    }
    text.push_str(&format!("written:\n  {}\n", path_text(&outcome.folder)));
    text
}

//! `sluice night`: one night of a ramp, from the log to the stores and back.

use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::duration::parse_duration;
use crate::base::error::Result;
use crate::base::json;
use crate::base::time::{Micros, WrittenInstant};
use crate::cli::engine_args::EngineArgs;
use crate::cli::format_args::FormatArgs;
use crate::cli::log_args;
use crate::cli::notified::NotifiedArgs;
use crate::cli::ramp_text::{outcome_text, verdict_text};
use crate::cli::table::{Table, column};
use crate::cli::terminal::{Terminal, print_json};
use crate::cli::text::path_text;
use crate::cli::user_changes;
use crate::cli::values::{parse_guard, parse_instant, parse_size, parse_written};
use crate::night;
use crate::night::{NightEngine, NightOptions, NightOutcome};
use crate::pipeline;
use crate::publish;
use crate::scenario::GuardName;
use crate::words::commands::target_outcome;
use crate::words::terminal as words;
use crate::words::{Text, When};

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
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    format: FormatArgs,
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
        sinks: args.notified.sinks(terminal.lang)?,
        metrics: args.metrics.clone(),
        memory_limit: args.memory_limit,
        engine: match args.engine.options_of_stages()? {
            Some(engine) => Some(NightEngine {
                options: engine,
                users: user_changes::of_own_users()?,
                log: log_args::of_scenario(None)?,
            }),
            None => None,
        },
    };
    let outcome = night::run(&options, terminal.progress())?;
    outcome.warnings.iter().for_each(|warning| terminal.warn(warning));
    for target in &outcome.report.targets {
        if let Some(error) = &target.error {
            terminal.print_error_text(error);
        }
    }
    if args.format.is_given() {
        let findings = pipeline::from_night(&outcome, &args.scenario)?;
        args.format.print(&findings, terminal)?;
    } else if args.json {
        print_json(&json::to_json(&outcome.report))?;
    } else {
        terminal.print(&text(&outcome, terminal))?;
    }
    Ok(outcome.exit_code())
}

fn text(outcome: &NightOutcome, terminal: &Terminal) -> String {
    let (report, schedule, lang) = (&outcome.report, &outcome.schedule, terminal.lang);
    let at = When(report.as_of, &outcome.zone);
    let mut text = words::against(&report.candidate, &schedule.baseline, at)
        .of(lang)
        .to_owned();
    if outcome.was_finished {
        text.push_str(words::finished_before().of(lang));
    }
    text.push_str("\n\n");
    let has_tenants = schedule
        .layers
        .iter()
        .any(|layer| layer.tenant != schedule.layers[0].tenant);
    let of = |title: Text| column(title.of(lang));
    let tenant = of(words::column_tenant());
    let mut table = Table::new([
        if has_tenants { tenant } else { tenant.wide() },
        of(words::column_layer()),
        of(words::column_verdict()),
        of(words::column_ratio()).right(),
        of(words::column_next()).right(),
        of(words::column_why()).wraps(),
    ]);
    for layer in &schedule.layers {
        table.add_row([
            layer.tenant.as_str(),
            &layer.layer,
            verdict_text(layer.verdict).of(lang),
            &layer.ratio.to_string(),
            &layer.next_ratio.to_string(),
            layer.why().of(lang),
        ]);
    }
    text.push_str(&table.render(terminal));
    let gate = words::gate_is(outcome_text(report.gate));
    text.push_str(&format!("\n{}\n", gate.of(lang)));
    for target in &report.targets {
        let outcome = target_outcome(&target.outcome);
        let outcome = console::pad_str(outcome.of(lang), 9, console::Alignment::Left, None);
        text.push_str(&format!("{outcome}  {}\n", target.target));
    }
    for finding in report.guards.iter().filter(|finding| finding.is_beyond) {
        let accepted = words::accepted(finding.guard.key(), finding.found());
        text.push_str(&format!("{}\n", accepted.of(lang)));
    }
    text.push_str(&format!(
        "{}\n  {}\n",
        words::written().of(lang),
        path_text(&outcome.folder)
    ));
    text
}

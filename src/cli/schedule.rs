//! `sluice schedule`: analysis and state to the next ratios.

use clap::Args;
use rand::TryRng;
use rand::rngs::SysRng;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::analysis::Analysis;
use crate::base::error::{Error, FileResult, Result};
use crate::base::time::WrittenInstant;
use crate::base::{json, manifest, open};
use crate::cli::notified::{NotifiedArgs, notify};
use crate::cli::ramp_text::answer;
use crate::cli::summary;
use crate::cli::terminal::{DONE, Terminal, print_data, print_json};
use crate::cli::text::path_text;
use crate::cli::values::parse_written;
use crate::layer::LayerSummary;
use crate::ramp::RampState;
use crate::scenario::{Overrides, Scenario};
use crate::study;
use crate::study::inputs;
use crate::words::terminal as words;

/// Decide every layer's next ratio and write the operation log
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/schedule.txt"))]
pub(super) struct ScheduleArgs {
    /// The scenario, with the plan
    #[arg(long, alias = "plan", value_name = "SCENARIO")]
    scenario: PathBuf,
    /// Analysis, from `sluice analyze`
    #[arg(long, value_name = "FILE")]
    analysis: PathBuf,
    /// State of the ramp, from an earlier schedule; by default the scenario's operations
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Layer summary, from sluice layer: writes gate_report.json too
    #[arg(long, value_name = "FILE")]
    layer_summary: Option<PathBuf>,
    /// Folder for schedule.json, state.json and tables/
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The instant the analysis was made for, if it was not the scenario's
    #[arg(long, value_name = "INSTANT", value_parser = parse_written)]
    as_of: Option<WrittenInstant>,
    /// Decide again at this interval (30s, 15m, 1h), from the state in --out, until SIGTERM
    #[arg(long, value_name = "INTERVAL", value_parser = parse_interval)]
    watch: Option<Duration>,
    /// Print the schedule as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    notified: NotifiedArgs,
}

/// Held by the loop that watches a folder.
const LOCK: &str = ".watch.lock";

pub(super) fn run(args: &ScheduleArgs, terminal: &Terminal) -> Result<u8> {
    match args.watch {
        None => {
            // A loop that watches the folder has it alone.
            let _lock = if args.out.join(LOCK).exists() {
                Some(lock(&args.out)?)
            } else {
                None
            };
            once(args, args.state.as_deref(), terminal)
        }
        Some(interval) => watch(args, interval, terminal),
    }
}

fn once(args: &ScheduleArgs, state: Option<&Path>, terminal: &Terminal) -> Result<u8> {
    let sinks = args.notified.sinks(terminal.lang)?;
    let analysis: Analysis = json::read_document(&args.analysis)?;
    let mut scenario = scenario_of(args, &analysis)?;
    let written = |names: &[&str]| names.iter().map(|name| args.out.join(name)).collect::<Vec<_>>();
    // The state is the only document that a ramp continues in place.
    let other_state = state.filter(|state| !is_same_file(state, &args.out.join(manifest::file::STATE)));
    inputs::of_scenario(&args.scenario, &scenario)
        .reads([&args.analysis])
        .reads(other_state)
        .reads(&args.layer_summary)
        .writes(written(&[manifest::file::SCHEDULE, manifest::file::STATE]))
        .writes(written(&[manifest::file::TABLES, manifest::file::GATE_REPORT]))
        .check()?;
    let state: Option<RampState> = study::carry_state(&mut scenario, state)?;
    let layering: Option<LayerSummary> = args.layer_summary.as_deref().map(json::read_json).transpose()?;
    let digest = study::evidence_digest(&analysis);
    let is_decided = |state: &&RampState| state.evidence_digest.as_ref() == Some(&digest);
    if let Some(state) = state.as_ref().filter(is_decided) {
        let written = study::rewrite_schedule(&scenario, &analysis, state, layering.as_ref(), &args.out)?;
        return unchanged(args, &written, terminal);
    }
    let schedule = study::schedule(
        &scenario,
        &analysis,
        state.as_ref(),
        layering.as_ref(),
        &args.out,
        terminal.progress(),
    )?
    .schedule;
    let gate = args.out.join(manifest::file::GATE_REPORT);
    if layering.is_none() && gate.exists() {
        let warning = words::gate_of_other_evidence(gate.display().to_string());
        terminal.warn(warning.of(terminal.lang));
    }
    if let Some(warning) = summary::coverage_warning(&analysis) {
        terminal.warn(warning.of(terminal.lang));
    }
    notify(&sinks, &scenario, &schedule, None, terminal);
    for warning in summary::step_warnings(&scenario, &analysis) {
        terminal.warn(warning.of(terminal.lang));
    }
    if args.json {
        print_json(&json::to_json(&schedule))?;
        return Ok(DONE);
    }
    let mut text = String::new();
    let first = schedule.layers.first().map(|layer| layer.tenant.clone());
    let has_tenants = schedule
        .layers
        .iter()
        .any(|layer| Some(&layer.tenant) != first.as_ref());
    for layer in &schedule.layers {
        for line in answer(&scenario.plan, layer, has_tenants, terminal.lang) {
            text.push_str(&format!("{line}\n"));
        }
    }
    text.push_str(&format!(
        "{}\n  {}\n",
        words::written().of(terminal.lang),
        path_text(&args.out.join(manifest::file::SCHEDULE))
    ));
    terminal.print(&terminal.fill(&text))?;
    Ok(DONE)
}

/// Whether two paths lead to one file.
fn is_same_file(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(a).is_some() && real(a) == real(b)
}

/// Reports that the evidence was decided on before, and the files that were written again.
fn unchanged(args: &ScheduleArgs, written: &[PathBuf], terminal: &Terminal) -> Result<u8> {
    if args.json {
        print_data("{\"changed\": false}\n")?;
        return Ok(DONE);
    }
    let lang = terminal.lang;
    let mut text = format!("{}\n", words::nothing_changed().of(lang));
    if !written.is_empty() {
        text.push_str(&format!("{}\n", words::written_again().of(lang)));
        for name in written {
            text.push_str(&format!("  {}\n", path_text(&args.out.join(name))));
        }
    }
    terminal.print(&text)?;
    Ok(DONE)
}

/// The scenario that the analysis was made under: as the file says, or looking back from the
/// analysis' own instant.
fn scenario_of(args: &ScheduleArgs, analysis: &Analysis) -> Result<Scenario> {
    let load = |as_of: Option<WrittenInstant>| {
        Scenario::load(
            &args.scenario,
            &Overrides {
                as_of,
                ..Overrides::default()
            },
        )
    };
    let scenario = load(args.as_of)?;
    if analysis.scenario_digest == scenario.digest {
        return Ok(scenario);
    }
    let at_its_instant = load(Some(analysis.as_of.into()))?;
    if args.as_of.is_none() && analysis.scenario_digest == at_its_instant.digest {
        return Ok(at_its_instant);
    }
    Err(Error::in_file(
        &args.analysis,
        format!(
            "expected an analysis under {}, found one under another scenario",
            args.scenario.display()
        ),
    )
    .hint("make it anew with `sluice analyze`"))
}

/// The control loop: decides again and again, from the state that it wrote, until it is told to
/// stop. A decision that has begun is finished.
fn watch(args: &ScheduleArgs, interval: Duration, terminal: &Terminal) -> Result<u8> {
    open::create_folders(&args.out).or_unwritable(&args.out)?;
    let _lock = lock(&args.out)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).or_unwritable(&args.out)?;
    }
    let written = args.out.join(manifest::file::STATE);
    let mut is_first = true;
    while !stop.load(Ordering::Relaxed) {
        let state = if written.exists() {
            Some(written.as_path())
        } else {
            args.state.as_deref()
        };
        match once(args, state, terminal) {
            Ok(_) => {}
            // What is wrong from the start stays wrong; later on a file may be on its way.
            Err(error) if is_first => return Err(error),
            Err(error) => terminal.print_error(&error),
        }
        is_first = false;
        // A tenth of the interval at random, so that many loops do not look at the same moment.
        let luck = SysRng
            .try_next_u32()
            .map_or(0.0, |n| f64::from(n) / f64::from(u32::MAX));
        let jitter = interval.mul_f64(0.1 * luck);
        let until = Instant::now() + interval + jitter;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(
                Duration::from_millis(100).min(until.saturating_duration_since(Instant::now())),
            );
        }
    }
    terminal.print(&format!("{}\n", words::stopped().of(terminal.lang)))?;
    Ok(DONE)
}

/// One loop a folder.
fn lock(out: &Path) -> Result<File> {
    let path = out.join(LOCK);
    let file = open::lock_file(&path).or_unwritable(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let found = "expected to be alone, found another `sluice schedule --watch` on this folder";
            Err(Error::write(out, found).hint("stop the other one, or choose another --out"))
        }
        Err(TryLockError::Error(error)) => Err(Error::write(&path, error)),
    }
}

fn parse_interval(text: &str) -> std::result::Result<Duration, String> {
    let wrong = || format!("expected an interval such as 30s, 15m or 1h, found {text}");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    if number == 0 {
        Err(wrong())
    } else {
        Ok(Duration::from_secs(
            number.saturating_mul(seconds).min(u64::from(u32::MAX)),
        ))
    }
}

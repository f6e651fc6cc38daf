//! The driver of a night: what is done, in order, and what a run that was cut off left to do.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result, exit_code};
use crate::base::manifest::file;
use crate::base::memory::memory_limit;
use crate::base::progress::Progress;
use crate::base::time;
use crate::base::time::{Micros, WrittenInstant, Zone};
use crate::base::{files, json};
use crate::engine::{EngineOptions, EngineRunners, ScenarioText};
use crate::night::document::{NightReport, NightTarget};
use crate::night::folder::NightFolder;
use crate::night::force;
use crate::night::force::TakenBack;
use crate::night::metrics::NightMetrics;
use crate::night::study::{NightStudy, check_order};
use crate::notify::{Delivery, Origin, SendLimits, of_failure, of_guard, of_schedule, send};
use crate::publish;
use crate::publish::{LayerTables, PublicationParts, PublicationSource, TargetOutcome};
use crate::ramp::{RampState, Schedule};
use crate::scenario::{GuardName, Notify, Overrides, Scenario, UsersFrom};
use crate::study;
use crate::study::OnThreads;
use crate::study::guards::GuardRules;
use crate::study::{GuardFinding, inputs};
use crate::words::notify as words;
use crate::words::{Count, Lang, Text};

/// The options of a night.
#[derive(Debug, Clone)]
pub struct NightOptions {
    /// The scenario file.
    pub scenario: PathBuf,
    /// The folder of the ramp.
    pub dir: PathBuf,
    /// Addresses of the targets. Empty if the decisions are only written to the folder.
    pub targets: Vec<String>,
    /// End of the night's data; local to the scenario's time zone without an offset. `None` is the
    /// last whole window before `now`.
    pub as_of: Option<WrittenInstant>,
    /// The current time, microseconds, UTC.
    pub now: Micros,
    /// Whether `now` is the time of a rehearsal. Changes are then in force at `now`, whatever the
    /// clock says.
    pub is_rehearsal: bool,
    /// Number of nights to keep, at least 1.
    pub keep: usize,
    /// Guards that may be beyond their limits this night.
    pub accepted: Vec<GuardName>,
    /// Language of the report.
    pub lang: Lang,
    /// Whether the layers of users are published too.
    pub with_users: bool,
    /// Options of the publication.
    pub publication: publish::Options,
    /// Sinks of notifications, beside those of the scenario.
    pub sinks: Vec<Notify>,
    /// File for the metrics of the job. `None` for none.
    pub metrics: Option<PathBuf>,
    /// Memory for the job, bytes. `None` is half of the machine's.
    pub memory_limit: Option<u64>,
    /// The engine that layers users and scans the log. `None` for the threads of this program.
    pub engine: Option<NightEngine>,
}

/// The engine of a night.
#[derive(Debug, Clone)]
pub struct NightEngine {
    /// The engine, and how to reach it.
    pub options: EngineOptions,
    /// The options that change the users, in the form of a job.
    pub users: serde_json::Value,
    /// The options that change the log, in the form of a job.
    pub log: serde_json::Value,
}

/// The result of a night.
#[derive(Debug)]
pub struct NightOutcome {
    /// The report of the night.
    pub report: NightReport,
    /// The decisions of the night.
    pub schedule: Schedule,
    /// The folder of the night.
    pub folder: PathBuf,
    /// The zone of times in texts.
    pub zone: Zone,
    /// Whether an earlier run had finished the night already, so that nothing changed.
    pub was_finished: bool,
    /// Warnings for the person who runs the command.
    pub warnings: Vec<String>,
}

/// Runs one night: layers, replay, analysis, decisions, gate, report, publication, state.
///
/// # Errors
/// A guard stops the night, the folder belongs to another plan, another job is at work, or a stage
/// fails. Nothing is replaced or published then. A target that fails is no error: the report names
/// it, and the next night goes on.
pub fn run(options: &NightOptions, progress: &Progress) -> Result<NightOutcome> {
    let progress = progress.recorded();
    let (scenario, as_of) = load(options)?;
    let dir = &options.dir;
    let targets = publish::open(&options.targets, options.publication.answer_limit())?;
    inputs::of_scenario(&options.scenario, &scenario)
        .writes([file::STATE, file::LAYERS, file::LAYER_SUMMARY].map(|name| dir.join(name)))
        .writes(&options.metrics)
        .writes(targets.iter().filter_map(|target| target.file()))
        .writes(options.sinks.iter().filter_map(|sink| sink.to.file()))
        .replaces([NightFolder::nights_of(dir)])
        .check()?;
    let night = Night {
        options,
        progress: &progress,
        as_of,
        guards: RefCell::default(),
    };
    let mut result = night.run(scenario.clone());
    let sinks: Vec<Notify> = scenario.notify.iter().chain(&options.sinks).cloned().collect();
    match &mut result {
        Ok(outcome) => outcome.notify(&scenario, &sinks)?,
        Err(error) => {
            // The error itself is what the caller reports, so an outcome of its message is left out.
            night.notify_of(error, &scenario, &sinks);
        }
    }
    if let Some(path) = &options.metrics {
        night.write_metrics(path, &scenario.plan.id, result.as_ref())?;
    }
    result
}

impl NightOutcome {
    /// Sends what the night changed to all sinks that have not taken it yet, and notes it in
    /// `night.json`.
    fn notify(&mut self, scenario: &Scenario, sinks: &[Notify]) -> Result<()> {
        let place = self.folder.join(file::REPORT_HTML).display().to_string();
        let mut messages = of_schedule(&self.schedule, &scenario.time_zone, Some(&place));
        let failed: Vec<&NightTarget> = self.report.targets.iter().filter(|t| t.at.is_none()).collect();
        if let Some(first) = failed.first() {
            let origin = Origin {
                plan_id: Some(scenario.plan.id.clone()),
                candidate: Some(scenario.plan.candidate.clone()),
                as_of: Some(scenario.as_of),
                zone: scenario.time_zone.clone(),
                report: Some(place),
            };
            let why = first.error.as_deref().unwrap_or_default();
            let n_targets = Count(self.report.targets.len() as u64);
            let reason = words::targets_failed(Count(failed.len() as u64), n_targets, why);
            messages.push(of_failure(&origin, "publish", &reason));
        }
        let before = self.report.messages.clone();
        let is_sent = |sink: &str, id: &str| {
            before
                .iter()
                .any(|known| known.is_sent && known.sink == sink && known.id == id)
        };
        let sent = send(&messages, sinks, &is_sent, &SendLimits::default());
        if sent.is_empty() {
            return Ok(());
        }
        for delivery in &sent {
            if let Some(why) = &delivery.reason {
                self.warnings
                    .push(format!("not sent to {}: {why}", delivery.sink));
            }
        }
        let is_again = |known: &Delivery| {
            sent.iter()
                .any(|new| (&new.sink, &new.id) == (&known.sink, &known.id))
        };
        self.report.messages.retain(|known| !is_again(known));
        self.report.messages.extend(sent);
        json::write_json(&NightFolder::report(&self.folder), &self.report)
    }

    /// The exit code of the program: that of the gate, or 4 if a target failed.
    pub fn exit_code(&self) -> u8 {
        self.report.exit_code.unwrap_or(exit_code::UNEXPECTED)
    }
}

/// Loads the scenario at the night's instant.
fn load(options: &NightOptions) -> Result<(Scenario, Micros)> {
    let at = |as_of: WrittenInstant| {
        Scenario::load(
            &options.scenario,
            &Overrides {
                as_of: Some(as_of),
                ..Overrides::default()
            },
        )
    };
    let scenario = match options.as_of {
        Some(as_of) => at(as_of)?,
        None => {
            let now = at(options.now.into())?;
            at(now.plan.window_start(options.now).into())?
        }
    };
    if matches!(scenario.input.users, UsersFrom::Generator) || scenario.input.generate.is_some() {
        return Err(
            Error::usage("expected users and a log, found a scenario that generates them")
                .hint("write the data with `sluice generate`, and name its files in [input]"),
        );
    }
    if scenario.input.traffic.is_empty() {
        return Err(Error::usage("expected a log of traffic, found none")
            .hint("name it in [[input.traffic]]; `sluice layer` makes layers without a log"));
    }
    let as_of = scenario.as_of;
    if as_of > options.now {
        // A dwell would count hours that have not passed, and later nights would be refused.
        let [as_of, now] = [as_of, options.now].map(time::format);
        return Err(
            Error::usage(format!("expected an as_of up to now, {now}, found {as_of}"))
                .hint("check the date and its time zone; a rehearsal sets the clock with --now"),
        );
    }
    Ok((scenario, as_of))
}

/// The most messages about nights that did not end that are remembered.
const MAX_MESSAGES: usize = 100;

/// One night at work.
struct Night<'a> {
    options: &'a NightOptions,
    progress: &'a Progress,
    as_of: Micros,
    /// What the guards found so far.
    guards: RefCell<Vec<GuardFinding>>,
}

impl Night<'_> {
    /// Sends the error of the night to all sinks.
    fn notify_of(&self, error: &Error, scenario: &Scenario, sinks: &[Notify]) {
        let origin = Origin {
            plan_id: Some(scenario.plan.id.clone()),
            candidate: Some(scenario.plan.candidate.clone()),
            as_of: Some(self.as_of),
            zone: scenario.time_zone.clone(),
            report: None,
        };
        let first = error.problems().first();
        let guard = first.and_then(|problem| problem.location.strip_prefix("guard."));
        let message = match (guard, first) {
            (Some(guard), Some(problem)) => {
                let guards = self.guards.borrow();
                let is_named = |finding: &&GuardFinding| finding.stops() && finding.guard.key() == guard;
                let finding = guards.iter().find(is_named);
                let zh = finding.map(|finding| words::guard_limit(finding.found(), guard).zh);
                let reason = Text {
                    en: problem.message.clone(),
                    zh: zh.unwrap_or_default(),
                };
                of_guard(&origin, guard, &reason)
            }
            _ => of_failure(&origin, "night", &error.to_string().into()),
        };
        // A job that runs every few minutes says the same only once.
        let path = NightFolder::messages_of(&self.options.dir);
        let before: Vec<Delivery> = json::read_json(&path).unwrap_or_default();
        let is_sent = |sink: &str, id: &str| {
            before
                .iter()
                .any(|known| known.is_sent && known.sink == sink && known.id == id)
        };
        let sent = send(&[message], sinks, &is_sent, &SendLimits::default());
        if !sent.is_empty() && self.options.dir.is_dir() {
            let first = before.len().saturating_sub(MAX_MESSAGES);
            let all: Vec<&Delivery> = before[first..].iter().chain(&sent).collect();
            // The error of the night is what counts. A list that cannot be written is sent again.
            json::write_json(&path, &all).ok();
        }
    }

    fn write_metrics(
        &self,
        path: &Path,
        plan_id: &str,
        result: std::result::Result<&NightOutcome, &Error>,
    ) -> Result<()> {
        let stages = self.progress.records();
        let report = result.ok().map(|outcome| &outcome.report);
        let guards = self.guards.borrow();
        NightMetrics {
            plan_id,
            as_of: self.as_of,
            now: self.options.now,
            exit_code: result.map_or_else(Error::exit_code, NightOutcome::exit_code),
            report,
            guards: report.map_or(guards.as_slice(), |report| &report.guards),
            stages: &stages,
        }
        .write(path)
    }

    fn run(&self, mut scenario: Scenario) -> Result<NightOutcome> {
        let options = self.options;
        let folder = NightFolder::open(&options.dir)?;
        let nights = folder.nights()?;
        check_order(&nights, self.as_of)?;
        let mut warnings = Vec::new();
        let path = folder.night(self.as_of);
        let done = nights.iter().find(|(_, report)| report.as_of == self.as_of);
        let mut report = match done {
            Some((_, report)) => report.clone(),
            None => {
                let mut state = folder.read_state()?;
                if let Some(state) = &mut state {
                    self.read_back(&scenario, state, &mut warnings)?;
                }
                let at_night = state
                    .as_ref()
                    .map(|state| study::carry(&mut scenario, state))
                    .transpose()?;
                let text = match &options.engine {
                    Some(_) => files::read_text(&options.scenario)?,
                    None => String::new(),
                };
                let carried = |value: fn(&NightEngine) -> &serde_json::Value| {
                    options.engine.as_ref().map(value).cloned().unwrap_or_default()
                };
                let (of_users, of_log) = (
                    |_: &UsersFrom| Ok(carried(|engine| &engine.users)),
                    |_: Option<&Path>| Ok(carried(|engine| &engine.log)),
                );
                let on_engine = options.engine.as_ref().map(|engine| EngineRunners {
                    scenario: ScenarioText {
                        text: &text,
                        folder: options.scenario.parent().unwrap_or(Path::new("")),
                        found: &scenario,
                        state: state.as_ref(),
                    },
                    engine: &engine.options,
                    users: &of_users,
                    log: &of_log,
                    progress: self.progress,
                });
                let studied = NightStudy {
                    folder: &folder,
                    scenario: &scenario,
                    state: at_night.as_ref(),
                    state_before: state.as_ref(),
                    nights: &nights,
                    rules: GuardRules {
                        guards: &scenario.guards,
                        accepted: &options.accepted,
                    },
                    found: &self.guards,
                    lang: options.lang,
                    memory_limit: options.memory_limit.unwrap_or_else(memory_limit),
                    runners: on_engine.as_ref().map_or(&OnThreads, |engine| engine),
                }
                .run(self.progress)?;
                warnings.extend(studied.warnings);
                studied.report
            }
        };
        let was_finished = self.publish(&folder, &mut report, &mut warnings)?;
        folder.set_current(self.as_of)?;
        folder.prune(options.keep, self.as_of)?;
        let schedule = json::read_document(&path.join(file::SCHEDULE))?;
        Ok(NightOutcome {
            report,
            schedule,
            folder: path,
            zone: scenario.time_zone,
            was_finished,
            warnings,
        })
    }

    /// Publishes the night and notes what came into force. Returns whether an earlier run had done
    /// all of it.
    fn publish(
        &self,
        folder: &NightFolder,
        report: &mut NightReport,
        warnings: &mut Vec<String>,
    ) -> Result<bool> {
        let options = self.options;
        let path = folder.night(self.as_of);
        let was_finished = report.exit_code.is_some();
        let mut targets = publish::open(&options.targets, options.publication.answer_limit())?;
        let addresses: Vec<String> = targets.iter().map(|target| target.address()).collect();
        let mut state = self.begun_state(folder, &addresses)?;
        if report.publication_begun.is_none() {
            report.publication_begun = Some(options.now);
            json::write_json(&NightFolder::report(&path), report)?;
        }
        let tonight = NightFolder::tonight(&path);
        let frozen = folder.layers();
        let tables = LayerTables {
            newest: tonight.exists().then_some(tonight.as_path()),
            frozen: Some(&frozen),
        };
        let parts = if options.with_users {
            PublicationParts::All
        } else {
            PublicationParts::Ratios
        };
        let mut taken: Vec<NightTarget> = Vec::new();
        if !targets.is_empty() {
            let source = PublicationSource::open(&path, tables, parts, self.progress)?;
            let stage = self.progress.stage("publish");
            let published = publish::publish(
                &source,
                std::mem::take(&mut targets),
                &options.publication,
                self.progress,
                &mut |_| {},
            );
            drop(stage);
            for target in published.targets {
                warnings.extend(
                    target
                        .warnings
                        .iter()
                        .map(|warning| format!("{}: {warning}", target.target)),
                );
                let is_there = matches!(target.outcome, TargetOutcome::Applied | TargetOutcome::Unchanged);
                let at = if options.is_rehearsal {
                    options.now
                } else {
                    target.applied_at.map_or_else(publish::now, Ok)?
                };
                taken.push(NightTarget {
                    target: target.target,
                    outcome: target.outcome.name().to_owned(),
                    at: is_there.then_some(at),
                    error: target.error,
                });
            }
        }
        let has_failed = taken.iter().any(|target| target.at.is_none());
        let had_all = was_finished
            && !has_failed
            && taken
                .iter()
                .all(|target| target.outcome == TargetOutcome::Unchanged.name());
        force::end(&mut state, &taken);
        self.write_state(folder, &state)?;
        if had_all && report.targets.len() == taken.len() {
            return Ok(true);
        }
        report.targets = taken;
        report.stages = self.progress.records();
        report.exit_code = Some(if has_failed {
            exit_code::TARGET
        } else {
            report.gate.exit_code()
        });
        json::write_json(&NightFolder::report(&path), report)?;
        Ok(false)
    }

    /// The state of the ramp with the night's decisions, whose publication begins now. A run that
    /// was cut off has begun it already.
    fn begun_state(&self, folder: &NightFolder, targets: &[String]) -> Result<RampState> {
        let decided: RampState = json::read_document(&folder.night(self.as_of).join(file::STATE))?;
        if let Some(state) = folder.read_state()?
            && state.evidence_digest == decided.evidence_digest
            && state.operations.len() >= decided.operations.len()
        {
            return Ok(state);
        }
        let mut state = decided;
        force::begin(&mut state, self.as_of, self.options.now, targets);
        self.write_state(folder, &state)?;
        Ok(state)
    }

    fn write_state(&self, folder: &NightFolder, state: &RampState) -> Result<()> {
        if folder
            .read_state()
            .is_ok_and(|found| found.as_ref() == Some(state))
        {
            return Ok(());
        }
        json::write_json(&folder.state(), state)
    }

    /// Takes over rollbacks by hand that targets hold.
    fn read_back(
        &self,
        scenario: &Scenario,
        state: &mut RampState,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let options = self.options;
        if options.targets.is_empty() {
            return Ok(());
        }
        let plan = &scenario.plan;
        let stage = self.progress.stage("read_back");
        let targets = publish::open(&options.targets, options.publication.answer_limit())?;
        let addresses: Vec<String> = targets.iter().map(|target| target.address()).collect();
        let mut taken_back = Vec::new();
        for found in publish::read_back(&plan.id, targets, &options.publication) {
            match found.held {
                Ok(Some(held)) => {
                    let at = held.taken_back.get(&plan.candidate).copied();
                    taken_back.extend(at.map(|at| TakenBack {
                        target: found.target,
                        at: at.min(options.now),
                    }));
                }
                Ok(None) => {}
                Err(error) => warnings.push(format!("{} could not be read: {error}", found.target)),
            }
        }
        drop(stage);
        if force::honour(state, plan, &taken_back, &addresses) {
            let named: Vec<&str> = taken_back.iter().map(|taken| taken.target.as_str()).collect();
            warnings.push(format!(
                "{} was rolled back by hand at {}: its ratios are 0 in every target from now on",
                plan.candidate,
                named.join(", ")
            ));
        }
        Ok(())
    }
}

//! Publishes to all targets side by side, and reads back what they hold.

use std::path::Path;
use std::sync::Arc;

use crate::base::at_work;
use crate::base::error::Error;
use crate::base::progress::Progress;
use crate::publish::job::Job;
use crate::publish::options::Options;
use crate::publish::publication::PublicationSource;
use crate::publish::report::{PublishReport, TargetOutcome, TargetReport, TargetState};
use crate::publish::side_by_side::{Task, side_by_side};
use crate::publish::target::Target;
use crate::publish::timer::Timer;

/// Publishes to every target and reports each outcome. `on_finished` gets the report of a target as
/// soon as it is there. A failed target does not stop the others: each target is consistent by
/// itself, and the next run finishes the missing ones.
///
/// Targets of one server are written one after another, in the order of the command line; a rollback
/// goes in reverse. A target that does not answer within its limit has failed. Its thread is left
/// behind, and ends with the program at the latest.
pub fn publish(
    source: &PublicationSource,
    targets: Vec<Box<dyn Target>>,
    options: &Options,
    progress: &Progress,
    on_finished: &mut dyn FnMut(&TargetReport),
) -> PublishReport {
    let job = Arc::new(Job::new(source, options, progress));
    let targets = side_by_side(&job, targets, on_finished);
    let still_open = |report: &&TargetReport| options.rollback && report.outcome == TargetOutcome::Failed;
    PublishReport {
        schema: "sluice.publish/1".into(),
        plan_id: job.publication.plan_id.clone(),
        version: job.publication.version.clone(),
        gate: source.gate.as_ref().map(|gate| gate.outcome),
        kept_back: source
            .gate
            .as_ref()
            .map_or_else(Vec::new, |gate| gate.kept_back.clone()),
        still_open: targets
            .iter()
            .filter(still_open)
            .map(|report| report.target.clone())
            .collect(),
        targets,
    }
}

/// Retires a plan in every target, without a study folder: all its ratios become 0, and its status
/// is `retired`. A target that holds nothing of the plan is left as it is. Reports as [`publish`].
pub fn retire(
    plan_id: &str,
    targets: Vec<Box<dyn Target>>,
    options: &Options,
    progress: &Progress,
    on_finished: &mut dyn FnMut(&TargetReport),
) -> PublishReport {
    let retiring = Arc::new(Retiring {
        plan_id: plan_id.to_owned(),
        options: Options {
            rollback: true,
            retire: true,
            ..options.clone()
        },
        progress: progress.clone(),
    });
    let targets = side_by_side(&retiring, targets, on_finished);
    let is_open = |report: &&TargetReport| report.outcome == TargetOutcome::Failed;
    PublishReport {
        schema: "sluice.publish/1".into(),
        plan_id: plan_id.to_owned(),
        version: String::new(),
        gate: None,
        kept_back: Vec::new(),
        still_open: targets
            .iter()
            .filter(is_open)
            .map(|report| report.target.clone())
            .collect(),
        targets,
    }
}

/// The retirement of a plan in targets.
struct Retiring {
    plan_id: String,
    options: Options,
    progress: Progress,
}

impl Task for Retiring {
    type Report = TargetReport;

    fn options(&self) -> &Options {
        &self.options
    }

    fn run(&self, target: &mut dyn Target, timer: &Timer) -> TargetReport {
        let address = target.address();
        at_work::note(Path::new(&address));
        match target.held(&self.plan_id) {
            Ok(Some(held)) => Job::retiring(&held, &self.options, &self.progress).publish_to(target, timer),
            Ok(None) => {
                let mut report = TargetReport::new(address);
                report.outcome = TargetOutcome::Unchanged;
                report
                    .warnings
                    .push(format!("the target holds nothing of plan {}", self.plan_id));
                report
            }
            Err(error) => self.failed(address, &error),
        }
    }

    fn failed(&self, address: String, error: &Error) -> TargetReport {
        let mut report = TargetReport::new(address);
        report.fail(error);
        report
    }
}

impl Task for Job {
    type Report = TargetReport;

    fn options(&self) -> &Options {
        &self.options
    }

    fn run(&self, target: &mut dyn Target, timer: &Timer) -> TargetReport {
        self.publish_to(target, timer)
    }

    fn failed(&self, address: String, error: &Error) -> TargetReport {
        let mut report = TargetReport::new(address);
        report.fail(error);
        report
    }
}

/// Reads what every target holds of a plan, side by side, without writing. The results are in the
/// order of the targets. The time limit of one answer is that of the options.
pub fn read_back(plan_id: &str, targets: Vec<Box<dyn Target>>, options: &Options) -> Vec<TargetState> {
    let reading = Arc::new(Reading {
        plan_id: plan_id.to_owned(),
        options: options.clone(),
    });
    side_by_side(&reading, targets, &mut |_| {})
}

/// The reading of what targets hold.
struct Reading {
    plan_id: String,
    options: Options,
}

impl Task for Reading {
    type Report = TargetState;

    fn options(&self) -> &Options {
        &self.options
    }

    fn run(&self, target: &mut dyn Target, _timer: &Timer) -> TargetState {
        let address = target.address();
        at_work::note(Path::new(&address));
        match target.held(&self.plan_id) {
            Ok(held) => TargetState {
                target: address,
                held: Ok(held),
            },
            Err(error) => self.failed(address, &error),
        }
    }

    fn failed(&self, address: String, error: &Error) -> TargetState {
        TargetState {
            target: address,
            held: Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;

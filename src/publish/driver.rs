//! Publishes to all targets side by side. A target that fails, panics or does not answer delays no
//! other target.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::base::error::Error;
use crate::base::lock::lock;
use crate::base::panics;
use crate::base::progress::Progress;
use crate::publish::job::Job;
use crate::publish::options::Options;
use crate::publish::publication::PublicationSource;
use crate::publish::report::{PublishReport, TargetOutcome, TargetReport};
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
    let mut run = Run::start(&job, targets);
    while let Some(idx) = run.next() {
        if let Some(report) = &run.reports[idx] {
            on_finished(report);
        }
    }
    let still_open = |report: &&TargetReport| options.rollback && report.outcome == TargetOutcome::Failed;
    let targets: Vec<TargetReport> = run.reports.into_iter().flatten().collect();
    PublishReport {
        schema: "sluice.publish/1".into(),
        plan_id: job.publication.plan_id.clone(),
        version: job.publication.version.clone(),
        still_open: targets
            .iter()
            .filter(still_open)
            .map(|report| report.target.clone())
            .collect(),
        targets,
    }
}

/// The targets of one server that are not begun yet, with their positions on the command line.
type Queue = Arc<Mutex<VecDeque<(usize, Box<dyn Target>)>>>;

/// The targets under way.
struct Run {
    job: Arc<Job>,
    queues: Vec<Queue>,
    /// The position of each target's queue, by the target's position on the command line.
    queue_of: Vec<usize>,
    addresses: Vec<String>,
    timers: Vec<Timer>,
    /// The reports; `None` for targets that are not finished.
    reports: Vec<Option<TargetReport>>,
    sender: Sender<(usize, TargetReport)>,
    receiver: Receiver<(usize, TargetReport)>,
}

impl Run {
    fn start(job: &Arc<Job>, targets: Vec<Box<dyn Target>>) -> Self {
        let (sender, receiver) = channel();
        let n_targets = targets.len();
        let mut run = Self {
            job: Arc::clone(job),
            queues: Vec::new(),
            queue_of: Vec::new(),
            addresses: targets.iter().map(|target| target.address()).collect(),
            timers: (0..n_targets).map(|_| Timer::new(&job.options)).collect(),
            reports: (0..n_targets).map(|_| None).collect(),
            sender,
            receiver,
        };
        let mut servers: Vec<String> = Vec::new();
        for (idx, target) in targets.into_iter().enumerate() {
            let server = target.server();
            let queue = servers
                .iter()
                .position(|other| *other == server)
                .unwrap_or_else(|| {
                    servers.push(server);
                    run.queues.push(Queue::default());
                    servers.len() - 1
                });
            run.queue_of.push(queue);
            let mut queue = lock(&run.queues[queue]);
            if job.options.rollback {
                queue.push_front((idx, target));
            } else {
                queue.push_back((idx, target));
            }
        }
        for queue in 0..run.queues.len() {
            run.work_on(queue);
        }
        run
    }

    /// Starts a thread that publishes to the targets of a queue.
    fn work_on(&self, queue_idx: usize) {
        let (queue, job, sender) = (
            Arc::clone(&self.queues[queue_idx]),
            Arc::clone(&self.job),
            self.sender.clone(),
        );
        let timers = self.timers.clone();
        let begun = thread::Builder::new()
            .name("publish".into())
            .spawn(move || work(&queue, &job, &timers, &sender));
        if let Err(error) = begun {
            for (idx, target) in lock(&self.queues[queue_idx]).drain(..) {
                let mut report = TargetReport::new(target.address());
                report.fail(&Error::target(
                    target.address(),
                    format!("expected a thread to publish with, found: {error}"),
                ));
                let _ = self.sender.send((idx, report));
            }
        }
    }

    /// Waits until one more target is finished, and returns its position; `None` if all are.
    fn next(&mut self) -> Option<usize> {
        while self.reports.iter().any(Option::is_none) {
            match self.receiver.recv_timeout(self.until_next_limit()) {
                // A target whose limit was over may finish later. Its report stays.
                Ok((idx, _)) if self.reports[idx].is_some() => {}
                Ok((idx, report)) => {
                    self.reports[idx] = Some(report);
                    return Some(idx);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    if let Some(idx) = self.give_up_one() {
                        return Some(idx);
                    }
                }
            }
        }
        None
    }

    fn unfinished(&self) -> impl Iterator<Item = usize> {
        (0..self.reports.len()).filter(|idx| self.reports[*idx].is_none())
    }

    fn until_next_limit(&self) -> Duration {
        let left = self.unfinished().filter_map(|idx| self.timers[idx].left()).min();
        left.unwrap_or(Duration::from_millis(100))
            .clamp(Duration::from_millis(1), Duration::from_millis(100))
    }

    /// Reports a target whose limit is over as failed, and goes on with the other targets of its
    /// server.
    fn give_up_one(&mut self) -> Option<usize> {
        let idx = self
            .unfinished()
            .find(|idx| self.timers[*idx].left() == Some(Duration::ZERO))?;
        let limit = self.timers[idx].limit().as_secs_f64();
        let error = if self.job.options.rollback {
            Error::target(
                &self.addresses[idx],
                format!("expected the target to be closed within {limit} s, found it still at work"),
            )
            .hint("it may still serve the candidate: run the rollback again, with a longer --target-timeout if the target is slow")
        } else {
            Error::target(
                &self.addresses[idx],
                format!("expected an answer within {limit} s, found none"),
            )
            .hint("run it again to finish, with a longer --target-timeout if the target is slow")
        };
        let mut report = TargetReport::new(self.addresses[idx].clone());
        report.fail(&error);
        self.reports[idx] = Some(report);
        self.work_on(self.queue_of[idx]);
        Some(idx)
    }
}

/// Publishes to the targets of a queue until it is empty.
fn work(queue: &Queue, job: &Job, timers: &[Timer], sender: &Sender<(usize, TargetReport)>) {
    loop {
        let Some((idx, mut target)) = lock(queue).pop_front() else {
            return;
        };
        let timer = &timers[idx];
        timer.start();
        let report = panics::catch(|| job.run(target.as_mut(), timer));
        let report = report.unwrap_or_else(|text| after_panic(target.address(), &text));
        // The receiver is gone only if the program no longer waits.
        let _ = sender.send((idx, report));
    }
}

/// The report of a target whose publication panicked with a text.
fn after_panic(address: String, text: &str) -> TargetReport {
    let mut report = TargetReport::new(address.clone());
    let error = Error::target(
        address,
        format!("expected the target to take the publication, found a fault of Sluice: {text}"),
    );
    report.fail(&error.hint("please report it with the command and this message; other targets went on"));
    report
}

#[cfg(test)]
mod tests;

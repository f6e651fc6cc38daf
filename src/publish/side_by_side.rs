//! Work on all targets side by side. A target that fails, panics or does not answer delays no other
//! target.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::base::error::Error;
use crate::base::lock::lock;
use crate::base::panics;
use crate::publish::options::Options;
use crate::publish::target::Target;
use crate::publish::timer::Timer;

/// Work on one target.
pub(super) trait Task: Send + Sync + 'static {
    /// The result at one target.
    type Report: Send + 'static;

    /// The time limits, and the order of the targets of one server.
    fn options(&self) -> &Options;

    /// Does the work at one target.
    fn run(&self, target: &mut dyn Target, timer: &Timer) -> Self::Report;

    /// The result at the target `address`, which failed.
    fn failed(&self, address: String, error: &Error) -> Self::Report;
}

/// Works on every target, and returns the results in the order of the targets. `on_finished` gets
/// each result as soon as it is there.
///
/// Targets of one server are worked on one after another, in the order of the command line; a
/// rollback goes in reverse. A target that does not answer within its limit has failed. Its thread
/// is left behind, and ends with the program at the latest.
pub(super) fn side_by_side<T: Task>(
    task: &Arc<T>,
    targets: Vec<Box<dyn Target>>,
    on_finished: &mut dyn FnMut(&T::Report),
) -> Vec<T::Report> {
    let mut run = Run::start(task, targets);
    while let Some(idx) = run.next() {
        if let Some(report) = &run.reports[idx] {
            on_finished(report);
        }
    }
    run.reports.into_iter().flatten().collect()
}

/// The targets of one server that are not begun yet, with their positions on the command line.
type Queue = Arc<Mutex<VecDeque<(usize, Box<dyn Target>)>>>;

/// The targets under way.
struct Run<T: Task> {
    task: Arc<T>,
    queues: Vec<Queue>,
    /// The position of each target's queue, by the target's position on the command line.
    queue_of: Vec<usize>,
    addresses: Vec<String>,
    timers: Vec<Timer>,
    /// The reports; `None` for targets that are not finished.
    reports: Vec<Option<T::Report>>,
    sender: Sender<(usize, T::Report)>,
    receiver: Receiver<(usize, T::Report)>,
}

impl<T: Task> Run<T> {
    fn start(task: &Arc<T>, targets: Vec<Box<dyn Target>>) -> Self {
        let (sender, receiver) = channel();
        let n_targets = targets.len();
        let mut run = Self {
            task: Arc::clone(task),
            queues: Vec::new(),
            queue_of: Vec::new(),
            addresses: targets.iter().map(|target| target.address()).collect(),
            timers: (0..n_targets).map(|_| Timer::new(task.options())).collect(),
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
            if task.options().rollback {
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

    /// Starts a thread that works on the targets of a queue.
    fn work_on(&self, queue_idx: usize) {
        let (queue, task, sender) = (
            Arc::clone(&self.queues[queue_idx]),
            Arc::clone(&self.task),
            self.sender.clone(),
        );
        let timers = self.timers.clone();
        let begun = thread::Builder::new()
            .name("publish".into())
            .spawn(move || work(&queue, task.as_ref(), &timers, &sender));
        if let Err(error) = begun {
            for (idx, target) in lock(&self.queues[queue_idx]).drain(..) {
                let error = Error::target(
                    target.address(),
                    format!("expected a thread to work with, found: {error}"),
                );
                let _ = self
                    .sender
                    .send((idx, self.task.failed(target.address(), &error)));
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
        let error = if self.task.options().rollback {
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
        self.reports[idx] = Some(self.task.failed(self.addresses[idx].clone(), &error));
        self.work_on(self.queue_of[idx]);
        Some(idx)
    }
}

/// Works on the targets of a queue until it is empty.
fn work<T: Task>(queue: &Queue, task: &T, timers: &[Timer], sender: &Sender<(usize, T::Report)>) {
    loop {
        let Some((idx, mut target)) = lock(queue).pop_front() else {
            return;
        };
        let timer = &timers[idx];
        timer.start();
        let report = panics::catch(|| task.run(target.as_mut(), timer));
        let report = report.unwrap_or_else(|text| {
            let error = after_panic(target.address(), &text);
            task.failed(target.address(), &error)
        });
        // The receiver is gone only if the program no longer waits.
        let _ = sender.send((idx, report));
    }
}

/// The error of a target whose work panicked with a text.
fn after_panic(address: String, text: &str) -> Error {
    Error::target(
        address,
        format!("expected an answer of the target, found a fault of Sluice: {text}"),
    )
    .hint("please report it with the command and this message; other targets went on")
}

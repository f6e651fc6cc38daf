//! Sends notifications to all sinks side by side, with retries and time limits.

use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::{open, panics};
use crate::notify::attempt::Attempt;
use crate::notify::mail;
use crate::notify::message::Notification;
use crate::notify::sink::Sink;
#[cfg(feature = "stores")]
use crate::notify::web::Client;
use crate::scenario::{Notify, NotifyEvent, SinkKind};

/// Time limits and the number of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLimits {
    /// Longest time of one attempt.
    pub attempt: Duration,
    /// Longest time of all attempts together, for all sinks and notifications.
    pub total: Duration,
    /// Number of attempts for each notification and sink, at least 1.
    pub n_attempts: u32,
    /// Pause before the second attempt. Each later pause is twice as long. A random half of a pause
    /// is left out, so that many jobs do not come back at once.
    pub first_pause: Duration,
}

impl Default for SendLimits {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(10),
            total: Duration::from_secs(30),
            n_attempts: 3,
            first_pause: Duration::from_secs(1),
        }
    }
}

/// The outcome of one notification at one sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The sink's address without secrets. A second sink with the same text has ` (2)` behind it.
    pub sink: String,
    /// The event of the notification.
    pub event: NotifyEvent,
    /// Id of the notification.
    pub id: String,
    /// Whether the sink has taken the notification.
    pub is_sent: bool,
    /// Number of attempts. 0 if the sink's address or secret is missing.
    pub n_attempts: u32,
    /// Reason of the failure, without secrets. `None` if the notification was sent.
    pub reason: Option<String>,
}

/// Sends each notification to the sinks that take its event. Returns the outcomes in the order of
/// the sinks and, for each of them, of the notifications.
///
/// `is_sent` gets the name of a sink and the id of a notification. Where it returns true, the
/// notification was sent before: it is left out, and has no outcome. The call returns after
/// [`SendLimits::total`], except that a file on a disk that hangs can hold it longer.
pub fn send(
    notifications: &[Notification],
    sinks: &[Notify],
    is_sent: &(dyn Fn(&str, &str) -> bool + Sync),
    limits: &SendLimits,
) -> Vec<Delivery> {
    let end = Instant::now() + limits.total;
    let names = names(sinks);
    thread::scope(|scope| {
        let workers: Vec<_> = sinks
            .iter()
            .zip(&names)
            .map(|(notify, name)| {
                let wanted: Vec<Notification> = notifications
                    .iter()
                    .filter(|one| notify.on.contains(&one.event) && !is_sent(name, &one.id))
                    .map(|one| one.in_language(notify.lang))
                    .collect();
                scope.spawn(move || send_to(notify, name, &wanted, limits, end))
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_default())
            .collect()
    })
}

/// The names of sinks, which differ.
fn names(sinks: &[Notify]) -> Vec<String> {
    let shown: Vec<String> = sinks.iter().map(|notify| notify.to.to_string()).collect();
    shown
        .iter()
        .enumerate()
        .map(
            |(idx, name)| match shown[..idx].iter().filter(|other| *other == name).count() {
                0 => name.clone(),
                n => format!("{name} ({})", n + 1),
            },
        )
        .collect()
}

fn send_to(
    notify: &Notify,
    name: &str,
    notifications: &[Notification],
    limits: &SendLimits,
    end: Instant,
) -> Vec<Delivery> {
    if notifications.is_empty() {
        return Vec::new();
    }
    let sender = Sink::resolve(notify).and_then(Sender::new);
    notifications
        .iter()
        .map(|notification| {
            let (n_attempts, reason) = match &sender {
                Err(why) => (0, Some(why.clone())),
                // A fault of Sluice in one sink must not keep the others from their outcomes.
                Ok(sender) => panics::catch(|| attempts(sender, notification, limits, end))
                    .unwrap_or_else(|what| (1, Some(format!("a fault of sluice: {what}")))),
            };
            Delivery {
                sink: name.to_owned(),
                event: notification.event,
                id: notification.id.clone(),
                is_sent: reason.is_none(),
                n_attempts,
                reason,
            }
        })
        .collect()
}

/// Attempts to send a notification until it is sent, cannot be sent, or a limit is reached. Returns
/// the number of attempts, and the reason if it was not sent.
fn attempts(
    sender: &Sender,
    notification: &Notification,
    limits: &SendLimits,
    end: Instant,
) -> (u32, Option<String>) {
    let total = limits.total.as_secs_f64();
    let mut pause = limits.first_pause;
    let mut n_attempts = 0;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return (
                n_attempts,
                Some(format!("the time limit of {total} s for all attempts is over")),
            );
        }
        n_attempts += 1;
        let (why, asked) = match sender.attempt(notification, left.min(limits.attempt)) {
            Attempt::Sent => return (n_attempts, None),
            Attempt::Failed(why) => return (n_attempts, Some(why)),
            Attempt::Again(why, asked) => (why, asked),
        };
        if n_attempts >= limits.n_attempts {
            return (n_attempts, Some(why));
        }
        let wait = jittered(pause).max(asked.unwrap_or_default());
        if Instant::now() + wait >= end {
            let wait = wait.as_secs_f64().ceil();
            let why =
                format!("{why}; the next attempt, in {wait} s, is beyond the limit of {total} s for all");
            return (n_attempts, Some(why));
        }
        thread::sleep(wait);
        pause *= 2;
    }
}

/// A pause without a random part of its second half.
fn jittered(pause: Duration) -> Duration {
    let share = SysRng
        .try_next_u32()
        .map_or(0.0, |n| f64::from(n) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + 0.5 * share)
}

/// A sink with what it needs to send.
struct Sender {
    sink: Sink,
    #[cfg(feature = "stores")]
    client: Option<Client>,
}

impl Sender {
    #[cfg_attr(not(feature = "stores"), allow(clippy::unnecessary_wraps))]
    fn new(sink: Sink) -> Result<Self, String> {
        Ok(Self {
            #[cfg(feature = "stores")]
            client: sink.kind.is_web().then(|| Client::new(&sink)),
            sink,
        })
    }

    fn attempt(&self, notification: &Notification, limit: Duration) -> Attempt {
        match self.sink.kind {
            SinkKind::Mail => mail::send(&self.sink.location, notification, limit),
            SinkKind::File => append(Path::new(&self.sink.location), notification),
            #[cfg(feature = "stores")]
            _ => match &self.client {
                Some(client) => client.post(&self.sink, notification, limit),
                None => Attempt::Failed("no HTTP client".to_owned()),
            },
            #[cfg(not(feature = "stores"))]
            kind => Attempt::Failed(crate::notify::sink::without_web(kind)),
        }
    }
}

/// Appends one line of JSON to a file, which is created if it does not exist.
fn append(path: &Path, notification: &Notification) -> Attempt {
    // One write, so that lines of jobs that write at once stay whole.
    let line = format!("{}\n", serde_json::to_string(notification).unwrap_or_default());
    match open::append(path).and_then(|mut file| file.write_all(line.as_bytes())) {
        Ok(()) => Attempt::Sent,
        Err(error) => Attempt::Failed(format!("could not be written: {error}")),
    }
}

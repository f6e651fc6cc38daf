//! Notifications of commands that decide: the option `--notify`, and the outcomes as text.

use clap::Args;

use crate::base::error::Result;
use crate::cli::terminal::Terminal;
use crate::notify::{Delivery, SendLimits, of_schedule, parse_sinks, send};
use crate::ramp::Schedule;
use crate::scenario::Notify;

/// Sinks of notifications.
#[derive(Debug, Default, Args)]
pub(super) struct NotifiedArgs {
    /// Notify this sink of rollbacks, promotions and invalid data; may be given several times
    #[arg(long = "notify", value_name = "SINK")]
    addresses: Vec<String>,
}

impl NotifiedArgs {
    /// The sinks. Commands ask for them before they read anything.
    ///
    /// # Errors
    /// As for [`parse_sinks`].
    pub(super) fn sinks(&self) -> Result<Vec<Notify>> {
        parse_sinks("--notify", &self.addresses)
    }
}

/// Sends what a schedule changed to all sinks. A failure is a warning.
pub(super) fn notify(sinks: &[Notify], schedule: &Schedule, report: Option<&str>, terminal: &Terminal) {
    let notifications = of_schedule(schedule, report);
    for outcome in send(&notifications, sinks, &|_, _| false, &SendLimits::default()) {
        if !outcome.is_sent {
            terminal.warn(&format!(
                "notification of a {}: {}",
                outcome.event.name(),
                line(&outcome)
            ));
        }
    }
}

/// The outcome of a notification at a sink, as one line.
pub(super) fn line(outcome: &Delivery) -> String {
    let attempts = match outcome.n_attempts {
        1 => "1 attempt".to_owned(),
        n => format!("{n} attempts"),
    };
    match &outcome.reason {
        None => format!("sent to {} ({attempts})", outcome.sink),
        Some(why) => format!("not sent to {} ({attempts}): {why}", outcome.sink),
    }
}

//! Notifications of commands that decide: the option `--notify`, and the outcomes as text.

use clap::Args;

use crate::base::error::Result;
use crate::cli::terminal::Terminal;
use crate::notify::{Delivery, SendLimits, of_schedule, parse_sinks, send};
use crate::ramp::Schedule;
use crate::scenario::{Notify, Scenario};
use crate::words::commands as say;
use crate::words::{Count, Lang, Text};

/// Sinks of notifications.
#[derive(Debug, Default, Args)]
pub(super) struct NotifiedArgs {
    /// Notify this sink of rollbacks, promotions and invalid data; may be given several times
    #[arg(long = "notify", value_name = "SINK")]
    addresses: Vec<String>,
}

impl NotifiedArgs {
    /// The sinks, with texts in a language. Commands ask for them before they read anything.
    ///
    /// # Errors
    /// As for [`parse_sinks`].
    pub(super) fn sinks(&self, lang: Lang) -> Result<Vec<Notify>> {
        parse_sinks("--notify", &self.addresses, lang)
    }
}

/// Sends what a schedule changed to all sinks. A failure is a warning.
pub(super) fn notify(
    sinks: &[Notify],
    scenario: &Scenario,
    schedule: &Schedule,
    report: Option<&str>,
    terminal: &Terminal,
) {
    let notifications = of_schedule(schedule, &scenario.time_zone, report);
    for outcome in send(&notifications, sinks, &|_, _| false, &SendLimits::default()) {
        if !outcome.is_sent {
            let warning = say::notification_of(outcome.event.name(), line(&outcome));
            terminal.warn(&terminal.text(&warning));
        }
    }
}

/// The outcome of a notification at a sink, as one line.
pub(super) fn line(outcome: &Delivery) -> Text {
    let attempts = match outcome.n_attempts {
        1 => say::one_attempt(),
        n => say::attempts(Count(n.into())),
    };
    match &outcome.reason {
        None => say::sent(&outcome.sink, attempts),
        Some(why) => say::not_sent(&outcome.sink, attempts, why),
    }
}

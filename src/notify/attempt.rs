//! The outcome of one attempt to send a notification.

use std::time::Duration;

/// The outcome of one attempt.
#[derive(Debug, PartialEq)]
pub(super) enum Attempt {
    /// The sink has taken the notification.
    Sent,
    /// Another attempt may succeed: the reason, and the time that the sink asks to wait.
    Again(String, Option<Duration>),
    /// No other attempt would succeed, for this reason.
    Failed(String),
}

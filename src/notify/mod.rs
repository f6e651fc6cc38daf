//! Notifications: what a night did, sent to chats, mail, webhooks and files.
//!
//! [`of_schedule`], [`of_guard`] and [`of_failure`] build [`Notification`]s, and [`send`] sends them
//! to all sinks side by side. A failed notification is a [`Delivery`] with a reason, never an error.

mod attempt;
#[cfg(feature = "stores")]
mod formats;
mod mail;
mod message;
mod send;
#[cfg(feature = "stores")]
mod sign;
// Without an HTTP client no answer of a sink has to be shown.
#[cfg_attr(not(feature = "stores"), allow(dead_code))]
mod sink;
#[cfg(feature = "stores")]
mod web;

pub use message::{LayerNews, MAX_LAYERS, Notification, Origin, of_failure, of_guard, of_schedule, of_test};
pub use send::{Delivery, SendLimits, send};
pub use sink::parse_sinks;

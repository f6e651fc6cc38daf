//! Features from raw events: one pass over a log of events or transactions computes each user's
//! recency, frequency and value.

mod days;
mod features;
mod index;
mod key;
mod partition;
mod read;
mod scan;
mod slab;

pub use features::{UserDays, UserFeatures};
pub use read::{EventOptions, EventSummary, open_events, read_events};

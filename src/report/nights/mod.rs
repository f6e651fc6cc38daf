//! The pages of a whole ramp: its nights in one table, what they have cost so far, and the history
//! of several ramps.

mod chart;
mod harm;
mod markdown;
mod model;
mod page;
mod rows;

pub use harm::harms;
pub use markdown::{nights_markdown, nights_summary};
pub use model::{HarmSoFar, Night, NightDecision, NightsLayer, RampNights, Ramps};
pub use page::nights_html;

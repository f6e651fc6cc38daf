//! Redis: who is in which layer, the ratios, and one key that says which version is in force.
//!
//! Two sets of keys. Ours are versioned (`keys.rs`): users carry their layer under a generation,
//! ratios lie under a version, and a reader begins at the pointer, which switches in one step.
//! Those of the source document (`harness.rs`) have no versions: ratios go down before users are
//! written and up afterwards, each time all at once, so that nobody gets the candidate whom neither
//! version gives it.

mod context;
mod harness;
mod keys;
mod link;
mod lock;
pub(super) mod target;
mod users;
mod versioned;

//! Publishing to Redis: the layers of users, the ratios, and the key that names the version in
//! force.
//!
//! Redis can hold two sets of keys. Sluice's own keys (`keys.rs`) have versions: a user's layer is
//! stored under a generation, ratios under a version. A reader begins at the pointer, which
//! switches in one step.
//!
//! The keys of the reference policy (`harness.rs`, `docs/REFERENCE_POLICY.md`) have no versions.
//! Ratios that fall are written before the users, and ratios that rise after them, each group in
//! one step. A reader in between never serves the candidate to a user who gets it in neither
//! version.

mod context;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(super) mod fuzz;
mod generations;
mod harness;
mod keys;
mod link;
mod lock;
mod share;
pub(super) mod target;
mod users;
mod version;
mod versioned;

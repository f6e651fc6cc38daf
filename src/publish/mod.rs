//! What production stores consume: a schedule and its layers, put into every target in that
//! target's own form.
//!
//! Publishing is planned, then applied. Every target first says what it holds and what would
//! change, then takes the new version in one step: data first, then the pointer. A reader sees one
//! version or the other, never a mix. A target that holds the version already is left alone, so a
//! publication that was killed is finished by running it again. A rollback goes the same way,
//! through the targets in reverse.
//!
//! Where to look:
//! - `redis/versioned.rs` (`switch`) writes the ratios that Redis holds under Sluice's own keys.
//!   `redis/harness.rs` (`set_together`) writes them under the unversioned keys of profile
//!   `harness-v1`.
//! - A new target implements [`Target`] in a folder of its own; `targets.rs` names its kind and
//!   opens it.
//! - A new export format is a file in `exporters/` with a constant of type `ExportFormat`;
//!   `exporters/catalog.rs` lists it.

mod address;
mod document;
mod driver;
mod exporters;
mod objects;
mod options;
#[cfg(feature = "stores")]
mod pace;
#[cfg(feature = "stores")]
mod postgres;
mod publication;
#[cfg(feature = "stores")]
mod redis;
mod report;
mod target;
mod targets;

#[cfg(feature = "stores")]
pub use address::{Address, parse_duration};
pub use publication::{Publication, PublicationParts, PublicationSource, RatioRow};

pub use driver::publish;
pub use options::Options;
pub use report::{PublishReport, TargetOutcome, TargetReport};
pub use target::{Desired, Inspection, PlannedChange, Target, TargetUsers};
pub use targets::{kinds, open};

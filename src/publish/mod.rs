//! Publishing: writes a schedule and its layers to production stores, each in its own form.
//!
//! All targets are published side by side, each under a time limit of its own. A target is inspected
//! first: it reports its current content and the changes. Then it switches to the new version in one
//! step. The data is written first, the pointer last. A
//! reader sees one version or the other, never a mix. A target that already holds the version is
//! not written. A publication that was killed is finished by running it again. A
//! rollback closes what it can, even where a target's content cannot be read.
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
mod changes;
mod clock;
mod document;
mod driver;
mod exporters;
mod folder_gate;
mod job;
mod layer_table;
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
mod side_by_side;
mod target;
mod targets;
mod timer;

#[cfg(all(feature = "stores", any(fuzzing, feature = "fuzzing")))]
pub(crate) use crate::publish::redis::fuzz::answer as read_redis_answer;
pub use address::Address;
pub use folder_gate::{KeptBack, SourceGate};
pub use publication::{LayerTables, Publication, PublicationParts, PublicationSource, RatioRow};

pub use changes::LayerChanges;
pub use clock::now;
pub use driver::{publish, read_back, retire};
pub use layer_table::LastNight;
pub use options::Options;
pub use report::{PublishReport, PublishStatus, TargetHeld, TargetOutcome, TargetReport, TargetState};
pub use target::{Applied, Desired, Inspection, PlannedChange, Retirement, Target, TargetUsers};
pub use targets::{kinds, open};
pub use timer::Timer;

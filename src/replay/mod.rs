//! The traffic log, reduced to the cube in one scan.
//!
//! `driver` runs the replay on the inputs of `context`. `layer_table` reads the users into `users`,
//! found through `index`. Turns come from [`crate::input`] a step at a time, and `scan` gives them
//! to the threads' states. `state` finds the users of a step, assigns each row to a tenant, layer,
//! stage, release, window and bucket group (`strata`), and adds it up in a `sum_table`; `sums`
//! lists what is added, `breakdown`, `sessions` and `traces` are the optional parts. `finish`
//! counts distinct users from what `seen` keeps of each. What does not fit in memory is dealt into
//! partitions of users first (`partition`). `cube` is the result, `store` (with `columns`) writes
//! and reads it, and `user_store` keeps what merges need beside it. Cubes of different files
//! [`merge()`] to the cube of all of them.

mod breakdown;
mod columns;
mod context;
mod cube;
mod driver;
mod finish;
mod index;
mod layer_table;
mod merge;
mod partition;
mod scan;
mod seen;
mod sessions;
mod state;
mod store;
mod strata;
mod sum_table;
mod sums;
mod traces;
mod user_store;
mod users;

pub use crate::scenario::plan::{Arm, BreakdownBy};
pub use cube::{
    ActivityRow, Breakdown, CellKey, Cells, Cube, CubeLayer, CubeMeasure, CubeSource, Exposure, ExposureRow,
    LatencyRow, LayerKey, RowCounts, SessionRow, StageKey,
};
pub use merge::merge;
pub use store::CUBE_FILE;

pub use context::{Inputs, ReplayContext, open_outcomes, open_traffic};
pub use driver::replay;

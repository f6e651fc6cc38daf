//! The traffic log, reduced to the cube in one scan.
//!
//! Turns come from [`crate::input`] a step at a time. `state` finds their users in `users`, places each row by tenant, layer, stage,
//! release, window and bucket group, and adds it up in `keyed` sums; `finish` counts distinct users. What does not fit in memory
//! is dealt into partitions of users first (`partition`). Cubes of different files [`merge()`] to the cube of all of them.

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

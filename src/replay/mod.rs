//! Reduces the traffic log to the cube in one scan.
//!
//! `driver` runs the replay on the inputs of `context`. `layer_table` reads the users into `users`,
//! where `index` finds them by hash. [`crate::input`] reads turns in steps, and `scan` adds the
//! steps to the threads' states. `state` finds the users of a step, and assigns each row to a
//! tenant, layer, stage, release, window and bucket group (`strata`). It adds the row to a
//! `sum_table`. `sums` lists the sums, and `limits` holds the limits of values at a quantile of the
//! baseline's `first_rows`. `breakdown`, `sessions` and `traces` are the optional parts. `unknown`
//! keeps examples of ids that are not known. `finish` counts distinct users from the exposure of
//! each user (`seen`). Users who do not fit in
//! memory are first divided into partitions (`partition`), and a scan on many machines into `tasks`,
//! which `distributed` plans and merges. An engine may read the log itself (`engine_log`), whose digest
//! is then a `row_sum`. `cube` is the result. `store` writes and
//! reads it. `tables`, with `columns`, checks every value that is read, and `user_store` keeps the
//! data that merges also need.
//! [`merge()`] merges cubes of different files into the cube of all of them. A scan that continues
//! an earlier cube reads only the users of its log (`log_users`), and merges sorted sums
//! (`sorted_merge`) and users (`user_merge`).

mod breakdown;
mod bytes;
mod columns;
mod context;
mod count_table;
mod cube;
mod distributed;
mod driver;
mod engine_log;
mod facts;
mod finish;
mod first_rows;
mod index;
#[doc(hidden)]
pub(crate) mod kernels;
mod layer_table;
mod limits;
mod log_users;
mod merge;
mod partition;
mod plausible;
mod row_sum;
mod scan;
mod seen;
mod seen_block;
mod sessions;
mod sorted_merge;
mod state;
mod store;
mod strata;
mod sum_table;
mod sums;
mod tables;
mod tasks;
mod traces;
mod unknown;
mod user_merge;
mod user_store;
mod users;

pub use crate::scenario::plan::{Arm, BreakdownBy};
pub use cube::{
    ActivityRow, Breakdown, CellKey, Cells, Cube, CubeLayer, CubeMeasure, CubeSource, Exposure, ExposureRow,
    LatencyRow, LayerKey, RowCounts, SessionRow, StageKey,
};
pub use limits::QuantileLimits;
pub use merge::merge;
pub use plausible::implausible_means;
pub(crate) use plausible::{implausible_mean, probable_unit};
pub use store::CUBE_FILE;
pub use unknown::{UnknownIds, UnknownUser, UserName};

pub use context::{Inputs, ReplayContext, logs, open_outcomes, open_traffic, rule_of_turns};
pub use distributed::{MAX_PARTITIONS, TaskRunner, plan_tasks, replay_in_tasks};
pub use driver::replay;
pub use engine_log::read_rows;
pub use facts::{Facts, Since, Unit};
pub use tasks::{join_blocks, read_units};

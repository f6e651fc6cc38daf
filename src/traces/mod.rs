//! Traces of agents to turns: spans, runs, observations and requests of other systems.
//!
//! Importers read rows into records, which are dealt by trace to partitions that go to disk when they
//! are many. Each trace is folded into its turns. The turns are written in the order of their starts,
//! with the scores that belong to them. Neither the order of rows and files nor the number of threads
//! changes a byte of the table.
//!
//! An import that goes on keeps the records, and reads only what is new in the files. Its table is that
//! of an import of all files at once.

mod attributes;
mod columns;
mod coverage;
mod deal;
mod driver;
mod files;
mod fold;
mod importers;
mod in_place;
mod json;
mod kept;
mod kinds;
mod lines;
mod loose;
mod record;
mod settings;
mod since;
mod sink;
mod stages;
mod state;
mod table;
mod tail;
mod tree;
mod turn;
mod usage;
mod value;

pub use coverage::{
    CostCoverage, Coverage, ScoreCoverage, SinceCoverage, SourceCoverage, TokenCoverage, ToolCoverage,
    TracesDocument,
};
pub use driver::{HELD, Target, held, import};
pub(crate) use importers::catalog::formats;
pub use in_place::{IDS, Needs, Turns, are_traces, hinted, turns_of};
pub use state::State;

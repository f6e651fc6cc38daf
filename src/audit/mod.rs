//! Audit: the chain from a trace to its release and the people who approved it, the share of a log
//! that can be traced, and the users that a rolled-back release reached.

mod affected;
mod chain;
mod complete;
mod driver;
mod table;
mod trace;

pub use affected::{Affected, AffectedQuestion, AffectedRow, OnRows, ToolCount, WriteCalls, affected};
pub use chain::{ChainLink, Hold};
pub use complete::{Completeness, LinkShare, ReleaseLinks, completeness};
pub use table::write;

pub use driver::{Chain, RowChain, chains};

pub use trace::{TraceRow, open, open_affected, open_period, trace_key};

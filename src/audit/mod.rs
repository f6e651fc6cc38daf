//! From a trace to the release that answered it and to the people who approved it; the share of a
//! log that can be traced; the users that a rolled-back release reached.

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

pub use trace::{TraceRow, open};

//! From a trace to what answered it and who approved that; how much of a log can be traced so; and
//! whom a release reached that was rolled back.

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

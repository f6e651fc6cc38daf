//! The cost of a log's rows, charged to tenants, features, releases, models or prompts, and the
//! cost per success.
//!
//! `scan` sums rows by line and passes their users to `clusters`. `budget` checks the costs by day.
//! The error of the cost per success comes from the spread between users. Money is a whole number
//! of nano-USD everywhere.

mod bill;
mod budget;
pub(crate) mod clusters;
mod driver;
mod gap;
mod key;
mod measured;
mod money;
mod question;
pub(crate) mod scan;
mod table;

pub use budget::{Breach, Budget, BudgetUse, Per, Scope};
pub use clusters::Success;
pub use table::write;

pub use bill::{BillLine, Chargeback, RobustUnitCost, UnitCost, Unpriced};
pub use driver::{chargeback, open};
pub use gap::CostGap;
pub use key::By;
pub use money::usd_text;
pub use question::{ChargebackQuestion, Unseen};

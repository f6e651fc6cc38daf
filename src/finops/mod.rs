//! What the log's rows cost, charged to who caused them, and what a success costs.
//!
//! `scan` adds rows up by line and deals their users out to `clusters`; `budget` watches the days;
//! what a success costs comes with the spread between users as its error. Money is whole nano-USD
//! throughout.

mod bill;
mod budget;
pub(crate) mod clusters;
mod driver;
mod money;
mod prices;
mod question;
pub(crate) mod scan;
mod table;

pub use budget::{Breach, Budget, BudgetUse, Per, Scope};
pub use clusters::Success;
pub use prices::{Price, Prices, model_name};
pub use table::write;

pub use bill::{BillLine, Chargeback, RobustUnitCost, UnitCost, Unpriced};
pub use driver::{chargeback, open};
pub use money::usd_text;
pub use question::{By, ChargebackQuestion, Unseen};

//! Prices of tokens: a table by model, and the cost of a request by it.
//!
//! `read` parses a file into the table, `table` finds the price of a request, and `price` computes
//! its cost. Money is a whole number of nano-USD.

mod name;
mod price;
mod raw;
mod read;
mod table;

pub use name::model_name;
pub use price::{NoCost, Price, Usage};
pub use table::{ModelPrices, Prices};

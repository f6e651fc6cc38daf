//! PostgreSQL as a target: entity tables, the schedule, the gate's results, and who is in which
//! layer.
//!
//! Assignments are copied into a table that nobody reads yet; then one transaction of ordinary rows
//! changes everything a reader sees. The view `layer_assignment` follows the load that
//! `publication` names, so a reader's snapshot decides which table it sees, and no lock on what is
//! read is ever taken for the switch. The load before stays until the next one, for transactions
//! that began earlier.

mod assignments;
mod compare;
mod connect;
mod copy;
mod documents;
mod ratios;
mod schema;
pub(super) mod target;
mod tls;

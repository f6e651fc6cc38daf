//! PostgreSQL as a target: entity tables, the schedule, the results of the gate, and the layers of
//! users.
//!
//! Assignments are copied into a new table that has no readers. Then one transaction changes
//! ordinary rows, and with them everything that readers see. The view `layer_assignment` follows
//! the load that `publication` names, so a reader's snapshot decides which table it sees. The
//! switch takes no lock on tables that are read. The previous load is kept until the next load, for
//! transactions that began earlier.

mod assignments;
mod compare;
mod connect;
mod copy;
mod documents;
mod ratios;
mod rollback;
mod schema;
pub(super) mod target;
mod tls;

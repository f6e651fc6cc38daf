//! Expressions and SQL on columns, by Polars.

pub(crate) mod bridge;
mod call;
mod choice;
mod compile;
mod conjuncts;
mod convert;
mod derivation;
mod field;
mod functions;
mod kind;
mod names;
mod node;
mod parse;
#[cfg(test)]
mod tests;
mod tree;
mod wrong;

pub(crate) mod query;
mod reason;
mod rewrite;
mod row_order;
pub(crate) mod statement;
pub(crate) mod threads;

pub(crate) use conjuncts::conjuncts;
pub(crate) use derivation::{Derivation, Derived};
pub(crate) use field::{Access, Field};
pub(crate) use kind::Kind;

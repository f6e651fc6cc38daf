//! A compiled part of an expression: its values, their kind, and the rows in which it has none.

use polars::prelude::{DataType, Expr, lit};

use crate::frames::kind::Kind;

/// A literal of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Flag(bool),
    Whole(i64),
    Real(f64),
    Text(String),
}

/// The bound of whole numbers of 64 bits without a sign.
pub(crate) const BEYOND_WHOLE: f64 = MAX_WHOLE * 2.0 + 1e4;

/// A compiled part of an expression.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The values.
    pub(crate) expr: Expr,
    pub(crate) kind: Kind,
    /// Whether a row has no legal value: flags without nulls. `None` if every row has one.
    pub(crate) fault: Option<Expr>,
    /// The value of a literal.
    pub(crate) literal: Option<Literal>,
    /// The largest size of whole numbers.
    pub(crate) bound: f64,
    /// Whether it is a text of a file that states no types: it may be a number or an instant.
    pub(crate) is_untyped: bool,
}

/// The bound of whole numbers of 64 bits, with room for the rounding of doubles.
pub(crate) const MAX_WHOLE: f64 = 9.223_372_036_854_77e18;

impl Node {
    /// A node whose rows all have legal values.
    pub(crate) fn new(expr: Expr, kind: Kind) -> Self {
        Self {
            expr,
            kind,
            fault: None,
            literal: None,
            bound: f64::MAX,
            is_untyped: false,
        }
    }

    pub(crate) fn literal(value: Literal) -> Self {
        let (expr, kind, bound) = match &value {
            Literal::Null => (lit(polars::prelude::NULL), Kind::Null, 0.0),
            Literal::Flag(flag) => (lit(*flag), Kind::Flag, 0.0),
            // The type is fixed, so that it does not depend on what stands beside the literal.
            Literal::Whole(n) => (lit(*n).cast(DataType::Int64), Kind::Whole, (*n as f64).abs()),
            Literal::Real(x) => (lit(*x).cast(DataType::Float64), Kind::Real, f64::MAX),
            Literal::Text(text) => (lit(text.as_str()), Kind::Text, f64::MAX),
        };
        Self {
            expr,
            kind,
            fault: None,
            literal: Some(value),
            bound,
            is_untyped: false,
        }
    }

    #[must_use]
    pub(crate) fn with_fault(mut self, fault: Option<Expr>) -> Self {
        self.fault = fault;
        self
    }

    #[must_use]
    pub(crate) fn with_bound(mut self, bound: f64) -> Self {
        self.bound = bound;
        self
    }

    /// The text of a literal text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.literal {
            Some(Literal::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// Whether any of two has a fault.
pub(crate) fn either(a: Option<Expr>, b: Option<Expr>) -> Option<Expr> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.or(b)),
        (a, b) => a.or(b),
    }
}

/// The faults of several nodes.
pub(crate) fn faults<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Option<Expr> {
    nodes
        .into_iter()
        .fold(None, |all, node| either(all, node.fault.clone()))
}

/// A fault that counts only in rows where a condition, without nulls, holds.
pub(crate) fn guarded(condition: Expr, fault: Option<Expr>) -> Option<Expr> {
    fault.map(|fault| condition.and(fault))
}

/// A text as SQL quotes it.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

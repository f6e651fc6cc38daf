//! A budget of work, so that a small schema cannot keep a comparison busy for long.

use serde_json::Value;
use std::cell::Cell;

/// The work that one pair of schemas may always take: schemas and keywords visited.
const BASE: u64 = 300_000;
/// The work of a pair of schemas for each of their values, beside [`BASE`].
const PER_VALUE: u64 = 30;

/// A budget of work. It counts what is visited, not time, so that every machine decides alike.
#[derive(Debug)]
pub(super) struct Work {
    left: Cell<u64>,
}

impl Work {
    /// The budget of schemas with this number of values.
    pub(super) fn for_values(n_values: u64) -> Self {
        Self::new(BASE.saturating_add(PER_VALUE.saturating_mul(n_values)))
    }

    /// A budget of this size.
    pub(super) fn new(left: u64) -> Self {
        Self {
            left: Cell::new(left),
        }
    }

    /// Takes work from the budget. Returns whether it is not spent.
    pub(super) fn spend(&self, amount: u64) -> bool {
        self.left.set(self.left.get().saturating_sub(amount));
        !self.is_spent()
    }

    /// Whether nothing is left. What was found since then is no result.
    pub(super) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    /// The work that is left.
    pub(super) fn left(&self) -> u64 {
        self.left.get()
    }
}

/// The number of values in a JSON value, itself among them; a text counts for each 64 bytes.
pub(super) fn n_values(value: &Value) -> u64 {
    let (mut n, mut todo) = (0, vec![value]);
    while let Some(value) = todo.pop() {
        n += 1;
        match value {
            Value::Object(fields) => todo.extend(fields.values()),
            Value::Array(items) => todo.extend(items),
            Value::String(text) => n += text.len() as u64 / 64,
            _ => {}
        }
    }
    n
}

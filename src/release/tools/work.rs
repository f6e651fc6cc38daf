//! A budget of work, so that a small schema cannot keep a comparison busy for long.

use serde_json::Value;
use std::cell::Cell;

/// The work that one pair of schemas may always take: schemas and keywords visited.
const BASE: u64 = 300_000;
/// The work of a pair of schemas for each of their values, beside [`BASE`].
const PER_VALUE: u64 = 30;

/// The work of trying sample values, for one pair of schemas. Without it, less is decided.
const TESTS: u64 = 200_000;

/// A budget of work. It counts what is visited, not time, so that every machine decides alike.
#[derive(Debug)]
pub(super) struct Work {
    left: Cell<u64>,
    tests_left: Cell<u64>,
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
            tests_left: Cell::new(TESTS),
        }
    }

    /// The budget of many pairs, of which each takes a part with [`Self::within`].
    pub(super) fn of_many(n_values: u64) -> Self {
        Self {
            left: Cell::new(Self::for_values(n_values).left().saturating_mul(4)),
            tests_left: Cell::new(TESTS.saturating_mul(200)),
        }
    }

    /// Runs with the budget of schemas with this number of values, as far as this budget has it.
    pub(super) fn within<T>(&self, n_values: u64, run: impl FnOnce(&Self) -> T) -> T {
        let left = Self::for_values(n_values).left().min(self.left());
        let tests = TESTS.min(self.tests_left.get());
        let own = Self {
            left: Cell::new(left),
            tests_left: Cell::new(tests),
        };
        let result = run(&own);
        self.spend(left - own.left());
        self.spend_test(tests - own.tests_left.get());
        result
    }

    /// Takes work from the budget of tests. Returns whether it is not spent.
    pub(super) fn spend_test(&self, amount: u64) -> bool {
        let left = self.tests_left.get().saturating_sub(amount);
        self.tests_left.set(left);
        left > 0
    }

    /// Runs a test. Its work counts as work of tests only.
    pub(super) fn test<T>(&self, run: impl FnOnce() -> T) -> T {
        let before = self.left();
        let result = run();
        self.spend_test(before - self.left());
        self.left.set(before);
        result
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

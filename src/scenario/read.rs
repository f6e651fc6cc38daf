//! Reading and checking the text of a scenario.

use std::path::Path;

use crate::base::error::Problem;
use crate::base::toml_file::{parse_table, read_all};
use crate::metric::Metric;
use crate::scenario::check;
use crate::scenario::document::{Overrides, Scenario};

impl Scenario {
    /// Reads and checks the text of a scenario. Relative paths in it start at `folder`.
    ///
    /// # Errors
    /// Returns all problems of the text: a syntax error alone, or every unknown key, wrong type and
    /// illegal value together.
    pub fn parse(text: &str, name: &str, folder: &Path, overrides: &Overrides) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let raw = match parse_table(text) {
            Ok(table) => read_all(table, &mut problems),
            Err(problem) => return Err(vec![problem]),
        };
        check::check(raw, name, folder, overrides, text, problems)
    }

    /// Returns the metric with this id. `None` if there is none.
    pub fn metric(&self, id: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.id == id)
    }
}

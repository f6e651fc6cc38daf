//! Reads and checks a scenario file.

use std::path::Path;

use crate::base::digest;
use crate::base::error::{Error, Problem, Result};
use crate::base::toml_file::{parse_table, read_all};
use crate::metric::Metric;
use crate::scenario::check;
use crate::scenario::document::{Overrides, Scenario};

impl Scenario {
    /// Reads and checks a scenario file.
    ///
    /// # Errors
    /// A file that cannot be read or is not TOML; else every wrong key and value of it at once.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let problem = Problem::new(
                path.display().to_string(),
                format!("expected a scenario file, found: {error}"),
            );
            Error::scenario(vec![
                problem.hint("scenarios that ship with Sluice are in scenarios/"),
            ])
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path
            .file_stem()
            .map_or_else(|| "scenario".into(), |stem| stem.to_string_lossy().into_owned());
        Self::parse(&text, &name, folder, overrides).map_err(|problems| {
            let file = path.display();
            let placed = |p: Problem| Problem {
                place: if p.place.is_empty() {
                    file.to_string()
                } else {
                    format!("{file}: {}", p.place)
                },
                ..p
            };
            Error::scenario(problems.into_iter().map(placed).collect())
        })
    }

    /// Checks the text of a scenario; relative paths in it start at `folder`.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn parse(
        text: &str,
        name: &str,
        folder: &Path,
        overrides: &Overrides,
    ) -> std::result::Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let raw = match parse_table(text) {
            Ok(table) => read_all(table, &mut problems),
            Err(problem) => return Err(vec![problem]),
        };
        let digest = digest::sha256_of(&[text.as_bytes(), format!("{overrides:?}").as_bytes()]);
        check::check(raw, name, folder, overrides, digest, problems)
    }

    /// The layer with this id.
    pub fn layer_idx(&self, id: &str) -> Option<usize> {
        self.plan.layers.iter().position(|layer| layer.id == id)
    }

    /// The metric with this id.
    pub fn metric(&self, id: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.id == id)
    }
}

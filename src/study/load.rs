//! Loading of a scenario file.

use std::path::Path;

use crate::base::error::{Error, Problem, Result};
use crate::base::limits::{Limit, capped};
use crate::base::{json, open};
use crate::ramp::RampState;
use crate::scenario::{Overrides, Scenario};

/// Reads the state of a ramp, and adds its log of changes to the operations of the scenario's plan.
/// Returns the state at the scenario's `as_of`; `None` without a file.
///
/// # Errors
/// The file is no state of the plan, or the scenario's operations contradict its log.
pub fn carry_state(scenario: &mut Scenario, path: Option<&Path>) -> Result<Option<RampState>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let state: RampState = json::read_document(path)?;
    carry(scenario, &state).map(Some)
}

/// Adds a state's log of changes to the operations of the scenario's plan. Returns the state at the
/// scenario's `as_of`.
///
/// # Errors
/// The state belongs to another plan, or the scenario's operations contradict its log.
pub fn carry(scenario: &mut Scenario, state: &RampState) -> Result<RampState> {
    scenario.plan = state.carried_into(&scenario.plan)?;
    Ok(state.at(&scenario.plan, scenario.as_of))
}

impl Scenario {
    /// Reads and checks a scenario file. The scenario's name is the file's name without its
    /// extension.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML. Otherwise, all wrong keys and values of the file.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self> {
        let unreadable = |error: &dyn std::fmt::Display| {
            let problem = Problem::new(
                path.display().to_string(),
                format!("expected a scenario file, found: {error}"),
            );
            Error::scenario(vec![
                problem.hint("scenarios that ship with Sluice are in scenarios/"),
            ])
        };
        let size = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
        if size > Limit::Toml.value() {
            return Err(Error::scenario(vec![Limit::Toml.problem(path.display(), size)]));
        }
        let text = open::read_to_string(path).map_err(|error| unreadable(&error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path
            .file_stem()
            .map_or_else(|| "scenario".into(), |stem| stem.to_string_lossy().into_owned());
        Self::parse(&text, &name, folder, overrides).map_err(|problems| {
            let file = path.display();
            let placed = |p: Problem| Problem {
                location: if p.location.is_empty() {
                    file.to_string()
                } else {
                    format!("{file}: {}", p.location)
                },
                ..p
            };
            Error::scenario(capped(problems.into_iter().map(placed).collect()))
        })
    }
}

//! The stages of a whole study on an engine.

use serde_json::Value;
use std::path::Path;

use crate::base::error::Result;
use crate::base::progress::Progress;
use crate::engine::job::{Job, ScenarioText};
use crate::engine::options::EngineOptions;
use crate::engine::runner::EngineRunner;
use crate::input::Table;
use crate::layer::{LayerRunner, SMALL_TABLE};
use crate::replay::TaskRunner;
use crate::scenario::UsersFrom;
use crate::study::{LayerOptions, NewRunners, users_for_tasks};

/// The engine of a study, and what its jobs carry.
#[derive(Clone, Copy)]
pub struct EngineRunners<'a> {
    /// The scenario of the study.
    pub scenario: ScenarioText<'a>,
    /// The engine.
    pub engine: &'a EngineOptions,
    /// The options that change the users, in the form of the command line: from the users that are
    /// layered.
    pub users: &'a dyn Fn(&UsersFrom) -> Result<Value>,
    /// Where progress is shown.
    pub progress: &'a Progress,
    /// The options that change the log: from the path of the log, if it was generated.
    pub log: &'a dyn Fn(Option<&Path>) -> Result<Value>,
}

impl NewRunners for EngineRunners<'_> {
    /// Small tables, and users that tasks cannot read in parts, are layered by this program.
    fn layer(&self, users: &UsersFrom, options: &LayerOptions) -> Result<Option<Box<dyn LayerRunner>>> {
        let Ok(source) = users_for_tasks(self.scenario.found, users) else {
            return Ok(None);
        };
        if Table::open(source)?.n_rows().is_some_and(|n| n <= SMALL_TABLE) {
            return Ok(None);
        }
        let job = Job::layer(self.scenario, options, (self.users)(users)?, self.engine.clone())?;
        Ok(Some(Box::new(EngineRunner::new(job, self.progress)?)))
    }

    fn replay(&self, layers: &Path, generated: Option<&Path>) -> Result<Option<Box<dyn TaskRunner>>> {
        let job = Job::replay(self.scenario, layers, (self.log)(generated)?, self.engine.clone())?;
        Ok(Some(Box::new(EngineRunner::new(job, self.progress)?)))
    }
}

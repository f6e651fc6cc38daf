//! A job: what the tasks of a replay must know to open the same inputs on another machine.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::time::{Micros, WrittenInstant};
use crate::base::{files, json};
use crate::engine::options::{EngineOptions, Reader};
use crate::engine::path::absolute;
use crate::engine::tables::{CATALOG, LogTable, log_tables};
use crate::ramp::RampState;
use crate::replay::Facts;
use crate::scenario::{Input, Overrides, Scenario, Source};
use crate::study;

/// The form of a job and of the blocks of its tasks.
const SCHEMA: &str = "sluice.job/1";

/// A replay for an engine. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    schema: String,
    /// The version of the program that wrote the job.
    version: String,
    /// Id of the plan, which engines show.
    name: String,
    /// Content of the scenario.
    scenario: String,
    /// Folder that the scenario's paths start from.
    folder: PathBuf,
    /// The state of the ramp. `None` without a state.
    state: Option<RampState>,
    /// The end of the data, in microseconds UTC.
    as_of: Micros,
    /// The options of the command that change the sources, in the form of the command.
    pub options: serde_json::Value,
    /// Path of the layer table.
    pub layers: PathBuf,
    /// The tables of the log that the engine reads, one for each source. Empty if the tasks read files.
    #[serde(default)]
    pub tables: Vec<LogTable>,
    /// What the driver knows. `None` until it has planned the tasks.
    pub facts: Option<Facts>,
    /// The engine, and how to reach it. Tasks do not need it.
    #[serde(flatten)]
    pub engine: EngineOptions,
    /// The number of tasks that read.
    pub n_tasks: usize,
}

impl Job {
    /// A job of a scenario file, as `found` was read from it. `state` is the state of the ramp whose
    /// changes the scenario has.
    ///
    /// # Errors
    /// When the scenario cannot be read, or has a log that engines cannot read.
    pub fn new(
        scenario: &Path,
        found: &Scenario,
        state: Option<&RampState>,
        layers: &Path,
        options: serde_json::Value,
        engine: EngineOptions,
    ) -> Result<Self> {
        check_sources(found)?;
        let tables = match engine.scan {
            Reader::Native => refuse_catalogs(&found.input).map(|()| Vec::new())?,
            Reader::Engine => log_tables(&found.input.traffic)?,
        };
        let folder = scenario.parent().unwrap_or(Path::new(""));
        Ok(Self {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: found.plan.id.clone(),
            scenario: files::read_text(scenario)?,
            folder: absolute(folder)?,
            state: state.cloned(),
            as_of: found.as_of,
            options,
            layers: absolute(layers)?,
            tables,
            facts: None,
            engine,
            n_tasks: 1,
        })
    }

    /// Reads a job that a driver wrote.
    ///
    /// # Errors
    /// When the file is no job, or is one of another version of the program.
    pub fn read(path: &Path) -> Result<Self> {
        let document: serde_json::Value = json::read_json(path)?;
        let found = |key: &str| {
            document
                .get(key)
                .and_then(|value| value.as_str())
                .unwrap_or("none")
                .to_owned()
        };
        let version = env!("CARGO_PKG_VERSION");
        if found("schema") != SCHEMA || found("version") != version {
            return Err(Error::in_file(
                path,
                format!(
                    "expected a job ({SCHEMA}) of sluice {version}, which this executor has, found one of {} ({})",
                    found("version"),
                    found("schema")
                ),
            )
            .hint("give all executors the program of the driver"));
        }
        serde_json::from_value(document)
            .map_err(|error| Error::in_file(path, format!("expected a job, found {error}")))
    }

    /// The scenario of the job, before the options of the command line.
    ///
    /// # Errors
    /// When the scenario or the state is wrong.
    pub fn scenario(&self) -> Result<Scenario> {
        let overrides = Overrides {
            as_of: Some(WrittenInstant::from(self.as_of)),
            ..Overrides::default()
        };
        let mut scenario =
            Scenario::parse(&self.scenario, &self.name, &self.folder, &overrides).map_err(Error::scenario)?;
        if let Some(state) = &self.state {
            study::carry(&mut scenario, state)?;
        }
        Ok(scenario)
    }

    /// What the driver knows.
    ///
    /// # Errors
    /// When the job has not been planned.
    pub fn facts(&self) -> Result<&Facts> {
        self.facts
            .as_ref()
            .ok_or_else(|| Error::usage("expected a job that a driver has planned, found one without facts"))
    }
}

/// Refuses tables of catalogs, which have no files that tasks could open.
fn refuse_catalogs(input: &Input) -> Result<()> {
    let mut sources = input.traffic.iter().chain(&input.shadow).chain(&input.outcomes);
    let is_table = |source: &&Source| source.path.to_string_lossy().starts_with(CATALOG);
    match sources.find(is_table) {
        Some(table) => Err(Error::usage(format!(
            "expected files for --scan native, found the table {}",
            table.path.display()
        ))
        .hint("let the engine read the traffic: --scan engine")),
        None => Ok(()),
    }
}

/// Refuses sources that tasks on other machines cannot read in parts: traces, and queries over a whole
/// table.
fn check_sources(scenario: &Scenario) -> Result<()> {
    let input = &scenario.input;
    let sources = input.traffic.iter().chain(&input.shadow).chain(&input.outcomes);
    for source in sources {
        let path = source.path.display();
        if source.traces.is_some() {
            return Err(Error::usage(format!(
                "expected a log with a row a turn for an engine, found traces: {path}"
            ))
            .hint("import them first: sluice import TRACES --out turns.parquet"));
        }
        if source.sql.is_some() {
            return Err(Error::usage(format!(
                "expected a log without `sql` for an engine, found a query over {path}"
            ))
            .hint("a query needs all rows at once: write its result first, with sluice query"));
        }
    }
    Ok(())
}

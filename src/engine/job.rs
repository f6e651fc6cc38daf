//! A job: what the tasks of a layering or of a replay must know to open the same inputs on another
//! machine.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::time::{Micros, WrittenInstant};
use crate::engine::options::{EngineOptions, Reader};
use crate::engine::path::absolute;
use crate::engine::tables::{CATALOG, LogTable, log_tables};
use crate::layer::{Audit, LayerFacts};
use crate::ramp::RampState;
use crate::replay::Facts;
use crate::scenario::{Input, Overrides, Scenario, Source};
use crate::study;
use crate::study::LayerOptions;

/// The form of a job and of the blocks of its tasks.
const SCHEMA: &str = "sluice.job/2";

/// A layering or a replay for an engine. Paths are absolute.
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
    /// What the tasks do.
    pub work: Work,
    /// The tables of the log that the engine reads, one for each source. Empty if the tasks read files.
    #[serde(default)]
    pub tables: Vec<LogTable>,
    /// This program on the machine of the driver, which joins the counts of quotas.
    own: PathBuf,
    /// The engine, and how to reach it. Tasks do not need it.
    #[serde(flatten)]
    pub engine: EngineOptions,
    /// The number of tasks that read.
    pub n_tasks: usize,
}

/// What the tasks of a job do. Facts are `None` until the driver has planned the tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Score users, and write their layers.
    Layer {
        /// The options of the layering that tasks need.
        settings: LayerSettings,
        /// What the driver knows.
        facts: Option<LayerFacts>,
    },
    /// Reduce a log to a cube.
    Replay {
        /// Path of the layer table.
        layers: PathBuf,
        /// What the driver knows.
        facts: Option<Facts>,
    },
}

/// The options of a layering that its tasks need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerSettings {
    /// The instant from which recency is measured, microseconds, UTC.
    pub as_of: Micros,
    /// Whether the table is audited.
    pub audit: Audit,
    /// Layer table of the previous night. `None` for no reuse.
    pub previous: Option<PathBuf>,
}

/// A scenario as a job carries it.
#[derive(Debug, Clone, Copy)]
pub struct ScenarioText<'a> {
    /// Content of the file.
    pub text: &'a str,
    /// Folder that its paths start from.
    pub folder: &'a Path,
    /// The scenario as it was read, with the changes of `state`.
    pub found: &'a Scenario,
    /// The state of the ramp. `None` without a state.
    pub state: Option<&'a RampState>,
}

impl Job {
    /// A job that layers the users of a scenario. `options` are those of the command that change the
    /// users, in the form of the command.
    ///
    /// # Errors
    /// When a path is not known.
    pub fn layer(
        scenario: ScenarioText<'_>,
        layering: &LayerOptions,
        options: serde_json::Value,
        engine: EngineOptions,
    ) -> Result<Self> {
        let settings = LayerSettings {
            as_of: layering.as_of,
            audit: layering.audit,
            previous: layering.previous.as_deref().map(absolute).transpose()?,
        };
        Self::new(
            scenario,
            options,
            Work::Layer {
                settings,
                facts: None,
            },
            engine,
        )
    }

    /// A job that replays the log of a scenario on a layer table. `options` are those of the command
    /// that change the log, in the form of the command.
    ///
    /// # Errors
    /// When a path is not known, or the scenario has a log that engines cannot read.
    pub fn replay(
        scenario: ScenarioText<'_>,
        layers: &Path,
        options: serde_json::Value,
        engine: EngineOptions,
    ) -> Result<Self> {
        check_sources(scenario.found)?;
        let layers = absolute(layers)?;
        let tables = match engine.scan {
            Reader::Native => refuse_catalogs(&scenario.found.input).map(|()| Vec::new())?,
            Reader::Engine => log_tables(&scenario.found.input.traffic)?,
        };
        let work = Work::Replay { layers, facts: None };
        Ok(Self {
            tables,
            ..Self::new(scenario, options, work, engine)?
        })
    }

    fn new(
        scenario: ScenarioText<'_>,
        options: serde_json::Value,
        work: Work,
        engine: EngineOptions,
    ) -> Result<Self> {
        let own = std::env::current_exe()
            .map_err(|error| Error::usage(format!("expected the path of this program, found {error}")))?;
        Ok(Self {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: scenario.found.plan.id.clone(),
            scenario: scenario.text.to_owned(),
            folder: absolute(scenario.folder)?,
            state: scenario.state.cloned(),
            as_of: scenario.found.as_of,
            options,
            work,
            tables: Vec::new(),
            own,
            engine,
            n_tasks: 1,
        })
    }

    /// Whether two jobs do the same, apart from the engine and from what a driver plans.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let work = |job: &Self| match job.work.clone() {
            Work::Layer { settings, .. } => Work::Layer {
                settings,
                facts: None,
            },
            Work::Replay { layers, .. } => Work::Replay { layers, facts: None },
        };
        let of = |job: &Self| Self {
            work: work(job),
            own: PathBuf::new(),
            engine: EngineOptions::default(),
            n_tasks: 1,
            ..job.clone()
        };
        of(self) == of(other)
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
}

/// The facts of a job that a driver has planned.
///
/// # Errors
/// When there are none.
pub fn planned<T>(facts: Option<&T>) -> Result<&T> {
    facts.ok_or_else(|| Error::usage("expected a job that a driver has planned, found one without facts"))
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

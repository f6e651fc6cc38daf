//! The options that change the logs of a replay: `--traffic`, `--shadow`, `--outcomes`.

use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::cli::source_args::SourceArgs;
use crate::cli::trace_args::TraceArgs;
use crate::cli::values::source_at;
use crate::engine::absolute;
use crate::scenario::{Scenario, Source};

/// The traffic, and how it is read.
#[derive(Debug, Default, Args, Serialize, Deserialize)]
pub(super) struct TrafficArgs {
    /// Traffic: a file, a folder or a glob; the scenario's own sources by default
    #[arg(long, value_name = "PATH")]
    pub(super) traffic: Option<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    #[serde(skip)]
    traces: TraceArgs,
    /// Prices of tokens for requests of traces without a cost (.toml, .csv, .json)
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    prices: Option<PathBuf>,
}

/// What belongs to logged requests.
#[derive(Debug, Default, Args, Serialize, Deserialize)]
pub(super) struct OutcomeArgs {
    /// The candidate's answers to logged requests: a file, a folder or a glob, with trace_id and
    /// release_id
    #[arg(long, value_name = "PATH")]
    shadow: Option<PathBuf>,
    /// Outcomes that came after their rows were logged: a file, a folder or a glob, with trace_id
    #[arg(long, value_name = "PATH")]
    outcomes: Option<PathBuf>,
}

impl TrafficArgs {
    /// Changes the traffic of a scenario.
    ///
    /// # Errors
    /// As [`SourceArgs::add_to`] and [`TraceArgs::add_to`], or when there is no traffic.
    pub(super) fn add_to(&self, scenario: &mut Scenario) -> Result<()> {
        if let Some(path) = &self.traffic {
            let like = scenario.input.traffic.first().cloned();
            scenario.input.traffic = vec![source_at(path, like.as_ref())];
        }
        for source in &mut scenario.input.traffic {
            self.source.add_to(source, &scenario.sensitive)?;
            self.traces.add_to(source, self.prices.as_deref())?;
        }
        if scenario.input.traffic.is_empty() {
            return Err(Error::usage("expected --traffic, found none")
                .hint("this scenario names no traffic of its own"));
        }
        Ok(())
    }
}

impl OutcomeArgs {
    /// Changes the outcomes of a scenario.
    pub(super) fn add_to(&self, scenario: &mut Scenario) {
        let at = |path: &PathBuf, like: &[Source]| vec![source_at(path, like.first())];
        if let Some(path) = &self.shadow {
            scenario.input.shadow = at(path, &scenario.input.shadow);
        }
        if let Some(path) = &self.outcomes {
            scenario.input.outcomes = at(path, &scenario.input.outcomes);
        }
    }
}

/// What the command line of a replay says of the logs, as a job carries it. Paths are absolute.
#[derive(Serialize, Deserialize)]
pub(super) struct LogChanges<T, O> {
    pub(super) traffic: T,
    pub(super) outcomes: O,
    pub(super) sessions: bool,
}

impl LogChanges<TrafficArgs, OutcomeArgs> {
    /// Changes a scenario as the command line of the driver does.
    ///
    /// # Errors
    /// As [`TrafficArgs::add_to`].
    pub(super) fn add_to(&self, scenario: &mut Scenario) -> Result<()> {
        self.traffic.add_to(scenario)?;
        self.outcomes.add_to(scenario);
        scenario.input.count_sessions |= self.sessions;
        Ok(())
    }
}

/// The options of a command without options of logs, with the path of a generated log.
///
/// # Errors
/// As [`for_job`].
pub(super) fn of_scenario(traffic: Option<&Path>) -> Result<serde_json::Value> {
    let traffic = TrafficArgs {
        traffic: traffic.map(Path::to_owned),
        ..TrafficArgs::default()
    };
    for_job(&traffic, &OutcomeArgs::default(), false)
}

/// The options of the logs as a job carries them.
///
/// # Errors
/// When the working folder is not known.
pub(super) fn for_job(
    traffic: &TrafficArgs,
    outcomes: &OutcomeArgs,
    sessions: bool,
) -> Result<serde_json::Value> {
    let mut value = serde_json::json!(LogChanges {
        traffic,
        outcomes,
        sessions,
    });
    for (group, name, path) in [
        ("traffic", "traffic", &traffic.traffic),
        ("outcomes", "shadow", &outcomes.shadow),
        ("outcomes", "outcomes", &outcomes.outcomes),
    ] {
        if let Some(path) = path {
            value[group][name] = serde_json::json!(absolute(path)?);
        }
    }
    Ok(value)
}

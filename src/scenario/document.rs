//! The scenario document: [`Scenario`], and the overrides from the command line.

use crate::base::time::Micros;
use crate::metric::Metric;
use crate::scenario::input::Input;
use crate::scenario::layering::Layering;
use crate::scenario::plan::{BreakdownBy, Plan};
use crate::scenario::policy::{Expectation, QosConfig};
use crate::scenario::simulation::Simulation;

/// A study, checked.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file's stem: `ecommerce`.
    pub name: String,
    /// Why the study exists, for its reader.
    pub why: String,
    /// Seed of every random stream.
    pub seed: u64,
    /// The instant the study looks back from: later rows are not known yet.
    pub as_of: Micros,
    /// Where users and traffic come from.
    pub input: Input,
    /// How users are scored and sorted into layers.
    pub layering: Layering,
    /// What is ramped, and by which rules.
    pub plan: Plan,
    /// How quality is composed.
    pub qos: QosConfig,
    /// Every metric: the built-in ones, then the scenario's own.
    pub metrics: Vec<Metric>,
    /// What the cube's cells are broken down by: declared columns, and the user where users are the
    /// clusters.
    pub breakdowns: Vec<BreakdownBy>,
    /// What is simulated, if anything.
    pub simulation: Option<Simulation>,
    /// What `--verify` checks.
    pub expectations: Vec<Expectation>,
    /// Digest of the file's bytes and of the command line's overrides.
    pub digest: String,
}

/// What the command line changes in a scenario.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Look back from this instant instead.
    pub as_of: Option<Micros>,
    /// Another seed.
    pub seed: Option<u64>,
    /// Multiplies the users and turns of generated input.
    pub scale: Option<f64>,
}

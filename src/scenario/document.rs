//! The scenario document: [`Scenario`], and the overrides from the command line.

use crate::base::time::{Micros, WrittenInstant, Zone};
use crate::metric::Metric;
use crate::scenario::guard::Guards;
use crate::scenario::input::Input;
use crate::scenario::layering::Layering;
use crate::scenario::plan::{BreakdownBy, Plan};
use crate::scenario::policy::{Expectation, QosConfig};
use crate::scenario::sensitive::SensitiveRule;
use crate::scenario::simulation::Simulation;
use crate::scenario::sink::Notify;

/// A scenario after all checks: it holds legal values only.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Name of the study: the file's name without its extension, for example `ecommerce`.
    pub name: String,
    /// The purpose of the study, as text for its reader. Empty if the file gives none.
    pub why: String,
    /// Seed of every random stream. 0 by default.
    pub seed: u64,
    /// Zone of days, of hours of the week, and of dates and times without an offset. UTC by
    /// default.
    pub time_zone: Zone,
    /// End of the known data, exclusive, microseconds, UTC. Later rows are left out.
    pub as_of: Micros,
    /// The sources of users and traffic.
    pub input: Input,
    /// Rules that score users and assign them to layers.
    pub layering: Layering,
    /// The plan of the ramp.
    pub plan: Plan,
    /// Weights and limits of the QoS score.
    pub qos: QosConfig,
    /// The limits of the guards of a night.
    pub guards: Guards,
    /// All metrics: the built-in ones, then the scenario's own.
    pub metrics: Vec<Metric>,
    /// Breakdowns of the cube's cells: by the declared columns, and by user if users are the
    /// clusters.
    pub breakdowns: Vec<BreakdownBy>,
    /// The settings of simulations. `None` if the file has no `[simulate]`.
    pub simulation: Option<Simulation>,
    /// Sinks of notifications, for `sluice night`. Empty if the file has no `[[notify]]`.
    pub notify: Vec<Notify>,
    /// Results that `--verify` checks.
    pub expectations: Vec<Expectation>,
    /// The rule for sensitive attributes, with the columns that the file allows.
    pub sensitive: SensitiveRule,
    /// SHA-256 digest of the file's bytes and of the command line's overrides.
    pub digest: String,
}

/// Values that the command line sets in place of the file's. `None` keeps the file's value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// End of the known data, in place of `as_of` of the file. Without an offset it is local to the
    /// file's `time_zone`. Not before the plan's start. `None` keeps the file's value.
    pub as_of: Option<WrittenInstant>,
    /// Seed of every random stream, in place of `seed` of the file. `None` keeps the file's value.
    pub seed: Option<u64>,
    /// Factor on the users and turns of generated input, above 0 and at most 10,000. `None` is a
    /// factor of 1.
    pub scale: Option<f64>,
}

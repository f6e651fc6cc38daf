//! One TOML file says everything a study needs. `raw` mirrors the file; what comes out of [`Scenario::load`] can only hold legal values.

mod check;
mod check_input;
mod raw;
mod sensitive;
mod simulation;

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::base::error::{Error, Problem, Result};
use crate::base::output;
use crate::base::time::Micros;
use crate::bucket::{Profile, Ratio};
use crate::metric::{BadRateOf, Metric};
use crate::ramp::Verdict;
use crate::replay::BreakdownBy;

pub use sensitive::sensitive_word;
pub(crate) use simulation::HOURS_A_WEEK;
pub use simulation::{
    Boundary, Budget, Controller, PlanVariant, Rate, Simulation, World, WorldEffect, WorldLayer,
};

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
    /// What the cube's cells are broken down by: declared columns, and the user where users are the clusters.
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

/// Where the rows of a table come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// File, folder or glob.
    pub path: PathBuf,
    /// Canonical column -> column in the file.
    pub columns: BTreeMap<String, String>,
    /// Canonical column -> a fixed text for every row; `{row}` stands for the row's number in its file, from 0.
    pub constants: BTreeMap<String, String>,
}

/// Inputs of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Where users come from.
    pub users: UsersFrom,
    /// Traffic logs; none in a study that only layers.
    pub traffic: Vec<Source>,
    /// The candidate's answers to logged requests, by trace.
    pub shadow: Vec<Source>,
    /// Outcomes that came after their rows were logged, by trace.
    pub outcomes: Vec<Source>,
    /// Count distinct sessions: eight bytes each in the cube.
    pub count_sessions: bool,
    /// What a generator makes when `users` and `traffic` come from it.
    pub generate: Option<Generate>,
    /// What to do with a row that cannot be used.
    pub on_bad_row: OnBadRow,
    /// What to do with a second row for a user.
    pub on_duplicate_user: OnDuplicate,
    /// What to do with a row whose release is neither baseline nor candidate.
    pub on_unknown_release: OnUnknownRelease,
}

/// Where users come from.
#[derive(Debug, Clone, PartialEq)]
pub enum UsersFrom {
    /// A table with one row a user.
    Table(Source),
    /// A log of events or transactions, from which features are built.
    Events(Events),
    /// The users seen in the traffic, without features.
    Traffic,
    /// The generator.
    Generator,
}

/// An event or transaction log.
#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    /// Its files; canonical columns `user_id`, `event_time`, `value`.
    pub source: Source,
    /// `use_count` counts events this far back from `as_of`.
    pub use_window: Micros,
    /// `user_value` sums `value` this far back from `as_of`.
    pub value_window: Micros,
}

/// Size and faults of generated data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Generate {
    /// Users.
    pub n_users: u64,
    /// Expected number of turns over the whole log.
    pub n_turns: u64,
    /// End of the log, exclusive: the scenario file's `as_of`, whatever `--as-of` says.
    pub until: Micros,
    /// What goes wrong with the candidate.
    pub faults: Vec<Fault>,
}

/// A regression of the candidate in one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// Index of the layer.
    pub layer_idx: usize,
    /// First instant.
    pub from: Micros,
    /// End, exclusive.
    pub until: Micros,
    /// The candidate's rates while it lasts; `None` leaves a rate alone.
    pub task_completion_rate: Option<f64>,
    /// See `task_completion_rate`.
    pub complaint_rate: Option<f64>,
    /// Among rated turns.
    pub bad_rate: Option<f64>,
}

/// What to do with a row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadRow {
    /// Stop with an error that names it.
    Error,
    /// Leave it out and count it by reason.
    Drop,
}

/// What to do with a second row for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Stop with an error that names the user.
    Error,
    /// Keep the first in input order and count the others.
    KeepFirst,
}

/// What to do with a row whose release is neither baseline nor candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknownRelease {
    /// Count it in the `unknown` bucket; it is in no comparison.
    Count,
    /// Stop with an error that names the release.
    Error,
}

/// How users become layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Layering {
    /// By score bands or by shares.
    pub mode: LayerMode,
    /// Weights of R, F, M, A; they sum to 1 within 1e-9.
    pub weights: [f64; 4],
    /// Recency cap, seconds.
    pub recency_cap_secs: f64,
    /// Use count at which F is full.
    pub use_count_cap: f64,
    /// User value at which M is 0.
    pub user_value_cap: f64,
    /// Where users without any feature go.
    pub unknown: UnknownUsers,
    /// What a missing consent means.
    pub consent: Consent,
}

/// By score bands or by shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerMode {
    /// A layer starts at its `min_score`.
    Threshold,
    /// A layer takes its share of users, highest scores first.
    Quota,
}

/// Where users without any feature go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownUsers {
    /// Into the last, most protected layer.
    Protect,
    /// Where their score of .3 puts them.
    Score,
}

/// What a missing consent means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Only users who said yes are eligible.
    OptIn,
    /// Users are eligible unless they said no.
    OptOut,
}

/// A rule that puts a user into a layer before any score.
#[derive(Debug, Clone, PartialEq)]
pub struct TagRule {
    /// A column of the users table.
    pub column: String,
    /// What it must hold.
    pub test: TagTest,
}

/// What a tag column must hold.
#[derive(Debug, Clone, PartialEq)]
pub enum TagTest {
    /// This text.
    Equals(String),
    /// A number at least this large.
    AtLeast(f64),
}

/// What is ramped, and by which rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// ASCII slug.
    pub id: String,
    /// First instant of the plan; earlier rows are outside of it.
    pub start: Micros,
    /// The release users have today.
    pub baseline: String,
    /// The release being ramped.
    pub candidate: String,
    /// How production places users.
    pub profile: Profile,
    /// Digest of the layer table that the plan started with, if it pins one: comparisons rest on the layers of that moment.
    pub layers_digest: Option<String>,
    /// Length of a cube window, microseconds.
    pub window: Micros,
    /// Who signs operation-log rows.
    pub operator: String,
    /// Layers, most willing first; the last is the most protected.
    pub layers: Vec<Layer>,
    /// Single metrics that act before QoS.
    pub guardrails: Vec<Guardrail>,
    /// How verdicts are made.
    pub policy: Policy,
    /// Ratio changes so far, in time order.
    pub operations: Vec<Operation>,
    /// When nothing is promoted.
    pub freezes: Vec<Range<Micros>>,
    /// What people signed for.
    pub approvals: Vec<Approval>,
}

/// Somebody's signature under a ratio of a safety-critical layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Index of the layer.
    pub layer_idx: usize,
    /// For which release.
    pub candidate: String,
    /// Up to which ratio.
    pub ratio: Ratio,
    /// When.
    pub at: Micros,
    /// Who.
    pub by: String,
}

/// One risk band of users, with its ramp.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// ASCII slug.
    pub id: String,
    /// For people; may be Chinese.
    pub name: String,
    /// Threshold mode: scores from here up (the last layer takes the rest).
    pub min_score: Option<f64>,
    /// Quota mode: share of users that no tag rule took.
    pub quota: Option<f64>,
    /// Any of these puts a user here, before any score.
    pub tags: Vec<TagRule>,
    /// The ratio a layer opens with; 0 for the ladder's first.
    pub initial_ratio: Ratio,
    /// Ratios in rising order, the initial one among them.
    pub ladder: Vec<Ratio>,
    /// QoS from which the layer may go up.
    pub qos_threshold: f64,
    /// How long a ratio must have held, microseconds.
    pub dwell: Micros,
    /// Exposed users below which nothing is promoted.
    pub min_users: u64,
    /// Layers that must be full first, as indices.
    pub after: Vec<usize>,
    /// Every promotion needs an [`Approval`].
    pub safety_critical: bool,
}

impl Plan {
    /// Refuses a layer table that is not the one the plan pins.
    ///
    /// # Errors
    /// Another digest than the plan's.
    pub fn check_layers_digest(&self, digest: &str, path: &Path) -> Result<()> {
        match &self.layers_digest {
            // Pinned by hand, with the tool that every machine has.
            Some(pinned) if pinned.starts_with("sha256:") && output::sha256_of_file(path)? == *pinned => {
                Ok(())
            }
            Some(pinned) if pinned != digest => Err(Error::input(
                path.display().to_string(),
                format!(
                    "expected the layer table that plan {} pins, {pinned}, found {digest}",
                    self.id
                ),
            )
            .hint("layers are frozen at the plan's start: use the table of that night, or start a new plan")),
            _ => Ok(()),
        }
    }
}

impl Layer {
    /// The next step above a ratio, if there is one.
    pub fn next_step(&self, ratio: Ratio) -> Option<Ratio> {
        if ratio == Ratio::ZERO && self.initial_ratio > Ratio::ZERO {
            return Some(self.initial_ratio);
        }
        self.ladder.iter().copied().find(|step| *step > ratio)
    }

    /// The ratios that the layer goes through, from its first on.
    pub fn steps(&self) -> impl Iterator<Item = Ratio> {
        std::iter::successors(self.next_step(Ratio::ZERO), |ratio| self.next_step(*ratio))
    }

    /// The end of the ladder; below 1 it keeps a holdback.
    pub fn last_step(&self) -> Ratio {
        self.ladder.last().copied().unwrap_or(Ratio::FULL)
    }
}

/// A ratio change that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// When.
    pub at: Micros,
    /// Of which tenant; `None` for all.
    pub tenant: Option<String>,
    /// Index of the layer.
    pub layer_idx: usize,
    /// The new ratio.
    pub ratio: Ratio,
    /// Who.
    pub operator: String,
}

/// A metric that can stop a ramp by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guardrail {
    /// A metric's id, or `latency_p95_ms`.
    pub metric: String,
    /// What is not allowed.
    pub rule: GuardrailRule,
    /// The candidate's own value must not be worse than this, whatever the control does.
    pub limit: Option<f64>,
    /// What a violation does.
    #[serde(default)]
    pub action: Action,
}

impl Guardrail {
    /// Whether it takes a layer back for a harm above a margin: then schedules can be made to keep it.
    pub fn bounds_harm(&self) -> bool {
        self.action == Action::Rollback && !matches!(self.rule, GuardrailRule::MaxCount(_))
    }
}

/// What a violated guardrail does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The layer goes back to 0; and to go up, the guardrail must be safe.
    #[default]
    Rollback,
    /// The layer stays: a signal.
    Hold,
}

/// The metric id that names the 95th percentile of latency.
pub const LATENCY_P95: &str = "latency_p95_ms";

/// What a guardrail does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailRule {
    /// Worse than the control by more than this, in the metric's unit.
    Margin(f64),
    /// Worse than the control by more than this share of the control's value.
    RelativeMargin(f64),
    /// More events than this in the candidate.
    MaxCount(u64),
}

impl GuardrailRule {
    /// The margin in the metric's unit, given the control's value; `None` for counts.
    pub fn margin(self, control: f64) -> Option<f64> {
        match self {
            Self::Margin(margin) => Some(margin),
            Self::RelativeMargin(share) => Some(share * control.abs()),
            Self::MaxCount(_) => None,
        }
    }
}

/// How verdicts are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// `interval` weighs evidence, `point` follows the source document to the letter.
    pub decision: DecisionPolicy,
    /// Whether intervals may be looked at many times.
    pub sequential: Sequential,
    /// Error level of intervals and of guardrails.
    pub alpha: f64,
    /// Sample-ratio alarms below this p-value.
    pub srm_alpha: f64,
    /// Sample-ratio deviations below this share are called low impact.
    pub srm_min_deviation: f64,
    /// Share of a stage's users who may be seen in both arms; more, and users are not placed by bucket.
    pub max_crossover: f64,
    /// QoS below which a layer rolls back.
    pub qos_floor: f64,
    /// The QoS difference that intervals are tuned to see.
    pub qos_mde: f64,
    /// How long after a rollback nothing is promoted, microseconds.
    pub cool_down: Micros,
    /// What a rollback takes back.
    pub rollback_scope: RollbackScope,
    /// Largest share of all users that a rolled-back candidate may have reached.
    pub exposure_cap: Option<f64>,
    /// What a sample-ratio mismatch does.
    #[serde(default)]
    pub srm_action: OnTrouble,
    /// What missing evidence does.
    #[serde(default)]
    pub no_data_action: OnTrouble,
}

/// What to do where the evidence cannot be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTrouble {
    /// Stay.
    #[default]
    Hold,
    /// Back to 0.
    Rollback,
}

impl OnTrouble {
    /// The verdict, if staying is called `hold`.
    pub fn verdict(self, hold: Verdict) -> Verdict {
        match self {
            Self::Hold => hold,
            Self::Rollback => Verdict::Rollback,
        }
    }
}

/// How a verdict weighs its evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionPolicy {
    /// Bounds decide.
    Interval,
    /// Points decide.
    Point,
}

/// Whether intervals may be looked at many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sequential {
    /// Confidence sequences: valid at every look.
    Anytime,
    /// Ordinary intervals: valid at one look that was planned.
    Fixed,
}

/// What a rollback takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackScope {
    /// The layer that failed.
    Layer,
    /// Every layer of the plan.
    Plan,
}

/// How quality is composed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QosConfig {
    /// Weights of U, T, B.
    pub weights: [f64; 3],
    /// Mean latency at which the latency part is 0, ms.
    pub max_latency_ms: f64,
    /// What the bad rate divides by.
    pub bad_rate_of: BadRateOf,
}

/// A result that `--verify` checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// Tenant; `None` for every tenant.
    pub tenant: Option<String>,
    /// Index of the layer.
    pub layer_idx: usize,
    /// The verdict's name.
    pub verdict: String,
    /// The next ratio.
    pub next_ratio: Option<Ratio>,
}

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
            Ok(table) => raw::read_all(table, &mut problems),
            Err(problem) => return Err(vec![problem]),
        };
        let digest = output::sha256_of(&[text.as_bytes(), format!("{overrides:?}").as_bytes()]);
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

fn parse_table(text: &str) -> std::result::Result<toml::Table, Problem> {
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| {
            text[..span.start.min(text.len())].matches('\n').count() + 1
        });
        Problem::new(
            format!("line {line}"),
            format!("expected TOML, found: {}", error.message()),
        )
    })
}

/// Reads a TOML text into `T`, all that is wrong with it at once; what is wrong has its default.
pub(crate) fn read_toml<T: serde::de::DeserializeOwned + Default>(
    text: &str,
    problems: &mut Vec<Problem>,
) -> T {
    match parse_table(text) {
        Ok(table) => raw::read_all(table, problems),
        Err(problem) => {
            problems.push(problem);
            T::default()
        }
    }
}

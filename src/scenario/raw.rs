//! The scenario file as it is written: every key optional, nothing checked but its type.
//!
//! The doc comments of keys are the descriptions of the JSON Schema and of the reference page
//! (`docs/reference/scenario.md`). Words come from the lists that the checker uses; ranges and
//! defaults are held by `tests/integration/schema.rs`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::base::instant::RawInstant;
use crate::base::schema::words;
use crate::bucket::PLATFORMS;
use crate::scenario::input::{GENERATORS, OnBadRow, OnDuplicate, OnUnknownRelease};
use crate::scenario::plan::APPROVER_KINDS;
use crate::scenario::policy::{BOUNDARIES, VERDICTS};
use crate::scenario::raw_layering::{RawLayering, RawTag};
use crate::scenario::raw_name::RawName;
use crate::scenario::raw_notify::RawNotify;
use crate::scenario::raw_policy::{RawAnalysis, RawGuard, RawGuardrail, RawMetric, RawPolicy, RawQos};
use crate::scenario::raw_simulate::RawSimulate;
use crate::scenario::raw_source::{OneOrMany, RawEvents, RawSource, RawUsers};

/// A study as one TOML file: the plan of a ramp, its inputs, and the rules of its decisions.
///
/// Unknown keys are refused. Relative paths start at the scenario's folder. Ratios are shares of
/// 0 to 1 in steps of 0.0001.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["as_of", "plan", "input", "layer"]))]
pub(super) struct RawScenario {
    /// Reason for the study, for its readers.
    #[schemars(extend("default" = ""), example = &"Is the new agent safe for all users?")]
    pub(super) why: Option<String>,
    /// Seed of all random streams.
    #[schemars(range(max = i64::MAX), extend("default" = 0), example = 20_260_528)]
    pub(super) seed: Option<u64>,
    /// Time zone of days, hours, and dates and times without an offset: a name of the IANA
    /// database. Days have 23 or 25 hours when clocks change. Documents hold instants in UTC.
    #[schemars(extend("default" = "UTC"), example = &"Asia/Shanghai")]
    pub(super) time_zone: Option<String>,
    /// Instant that the study looks back from. Later rows of the log are not known yet.
    #[schemars(example = &"2026-05-29T00:00:00Z")]
    pub(super) as_of: Option<RawInstant>,
    pub(super) plan: RawPlan,
    pub(super) input: RawInput,
    pub(super) layering: RawLayering,
    /// Layers of users, the most willing first, the most protected last.
    #[schemars(length(min = 1, max = 100))]
    pub(super) layer: Vec<RawLayer>,
    /// Changes of ratios that have happened, in time order for each layer. A layer has at most 256
    /// ratios, one after another.
    pub(super) operation: Vec<RawOperation>,
    /// Periods in which nothing is promoted.
    pub(super) freeze: Vec<RawFreeze>,
    /// Signatures for ratios of layers with `safety_critical`.
    pub(super) approval: Vec<RawApproval>,
    /// Columns that layers, metrics and breakdowns may use although their names contain a sensitive
    /// attribute. Reports show them with their reasons.
    pub(super) allowed_column: Vec<RawAllowedColumn>,
    /// Shares of users that a source of the study states. Reports show those that are wrong.
    pub(super) claim: Vec<RawClaim>,
    pub(super) qos: RawQos,
    /// Metrics of the scenario, beside the built-in ones.
    pub(super) metric: Vec<RawMetric>,
    /// Metrics that can stop a ramp by themselves. An empty list turns all of them off.
    #[schemars(extend("x-default" = "`availability` 0.005, `task_completion_rate` 0.02 and \
        `complaint_rate` 0.001 as margins, `incident_rate` 0 as a count, `latency_p95_ms` 0.2 as a \
        relative margin"))]
    pub(super) guardrail: Option<Vec<RawGuardrail>>,
    pub(super) policy: RawPolicy,
    pub(super) guard: RawGuard,
    pub(super) analysis: RawAnalysis,
    pub(super) simulate: Option<RawSimulate>,
    /// Sinks that people are notified by: chats, e-mail, webhooks and files.
    #[schemars(length(max = 20))]
    pub(super) notify: Vec<RawNotify>,
    /// Results that `sluice run --verify` compares with the schedule.
    pub(super) expect: Vec<RawExpect>,
}

/// The plan of a ramp: the two releases, and how production places users.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["id", "start", "baseline", "candidate"]))]
pub(super) struct RawPlan {
    /// Id of the plan: ASCII letters, digits, `_`, `-`, `.`.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]+$"), example = &"cs-agent-2026-05")]
    pub(super) id: Option<String>,
    /// First instant of the plan, not after `as_of`. Layers are frozen then, and earlier rows are
    /// outside of the plan.
    #[schemars(example = &"2026-05-25T00:00:00Z")]
    pub(super) start: Option<RawInstant>,
    /// Id of the release that users have today.
    #[schemars(example = &"cs-bot-2026.03")]
    pub(super) baseline: Option<String>,
    /// Id of the release that is being ramped.
    #[schemars(example = &"cs-agent-2026.05")]
    pub(super) candidate: Option<String>,
    /// Salt of the hash that places users. A new salt gives the candidate to other users. Profile
    /// `split` takes its seed here, a whole number.
    #[schemars(extend("x-default" = "the plan's `id`"), example = &"ramp-7")]
    pub(super) salt: Option<String>,
    /// System whose hash places users. `external` says that placement cannot be recomputed. Ratios
    /// that a system cannot tell apart are refused.
    #[schemars(extend("enum" = profiles(), "default" = "sluice"), example = &"growthbook/2")]
    pub(super) profile: Option<String>,
    /// Key of the flag, for systems that hash it beside the salt.
    #[schemars(extend("x-default" = "the plan's `id`"), example = &"new-agent")]
    pub(super) flag: Option<String>,
    /// Id of the plan that this one replaces. Publishing this plan retires the other one in every
    /// target in the same switch: all its ratios become 0.
    #[schemars(
        regex(pattern = "^[A-Za-z0-9_.-]+$"),
        extend("x-default" = "none"),
        example = &"cs-agent-2026-04"
    )]
    pub(super) supersedes: Option<String>,
    /// Digest of the layer table that the plan started with: `blake3:` or `sha256:` and 64
    /// hexadecimal digits. Another table is refused. `state.json` has it.
    #[schemars(
        regex(pattern = "^(blake3|sha256):[0-9a-f]{64}$"),
        extend("x-default" = "none: the first schedule pins its table"),
        example = &"blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    )]
    pub(super) layers_digest: Option<String>,
    /// Length of a window of the cube.
    #[schemars(
        range(min = 1, max = 10_080),
        extend("default" = 60, "x-unit" = "minutes"),
        example = 30
    )]
    pub(super) window_minutes: Option<u32>,
    /// Length of the ramp that was promised. Reports say when dwells alone take longer.
    #[schemars(
        range(min = 0, max = 100_000),
        extend("x-unit" = "days", "x-default" = "none"),
        example = 10
    )]
    pub(super) promised_days: Option<f64>,
    /// Name that signs rows of the operation log.
    #[schemars(extend("default" = "sluice"), example = &"sluice-nightly")]
    pub(super) operator: Option<String>,
}

/// The inputs: users from exactly one of `users`, `events`, `users_from_traffic = true` and
/// `generate`, and the traffic log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawInput {
    /// Users and traffic that are generated, with a known truth.
    pub(super) generate: Option<RawGenerate>,
    /// The table of users, or several tables as `[[input.users]]`, for example one a tenant.
    pub(super) users: OneOrMany<RawUsers>,
    /// An event or transaction log, from which users and their features are made.
    pub(super) events: Option<RawEvents>,
    /// Whether users are those that the traffic names, without features.
    #[schemars(extend("default" = false), example = true)]
    pub(super) users_from_traffic: Option<bool>,
    /// Sources of the traffic log, one row a user turn. `generate` makes its own. Without traffic,
    /// only layers are made.
    pub(super) traffic: Vec<RawSource>,
    /// Further tables for `sql`, by the name that queries give to them.
    pub(super) tables: BTreeMap<String, RawSource>,
    /// Sources of shadow answers: the candidate's rows, paired with the log by `trace_id`.
    pub(super) shadow: Vec<RawSource>,
    /// Sources of late outcomes. They replace the measured columns of the row with their
    /// `trace_id`.
    pub(super) outcomes: Vec<RawSource>,
    /// Whether distinct sessions are counted. A session takes eight bytes of the cube.
    #[schemars(extend("default" = false), example = true)]
    pub(super) count_sessions: Option<bool>,
    /// Treatment of a row that cannot be read: an error, or left out and counted by reason.
    #[schemars(extend("enum" = words(&OnBadRow::ALL), "default" = OnBadRow::ALL[0].0), example = &"drop")]
    pub(super) on_bad_row: Option<String>,
    /// Treatment of a second row of a user: an error, or left out and counted.
    #[schemars(
        extend("enum" = words(&OnDuplicate::ALL), "default" = OnDuplicate::ALL[0].0),
        example = &"keep_first"
    )]
    pub(super) on_duplicate_user: Option<String>,
    /// Treatment of a row of a release that is neither baseline nor candidate: counted apart, or
    /// an error.
    #[schemars(
        extend("enum" = words(&OnUnknownRelease::ALL), "default" = OnUnknownRelease::ALL[0].0),
        example = &"error"
    )]
    pub(super) on_unknown_release: Option<String>,
}

/// Generated users and traffic.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["users", "turns"]))]
pub(super) struct RawGenerate {
    /// Kind of data.
    #[schemars(extend("enum" = words(&GENERATORS), "default" = GENERATORS[0].0), example = &"ecommerce")]
    pub(super) kind: Option<String>,
    /// Number of users.
    #[schemars(range(min = 1, max = 4_000_000_000_u64), example = 200_000)]
    pub(super) users: Option<u64>,
    /// Expected number of turns of the whole log.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), example = 2_000_000)]
    pub(super) turns: Option<u64>,
    /// Regressions of the candidate in a layer.
    pub(super) fault: Vec<RawFault>,
}

/// A regression of the candidate in one layer of generated data.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["layer", "from"]))]
pub(super) struct RawFault {
    /// Id of the layer.
    #[schemars(example = &"regular")]
    pub(super) layer: Option<String>,
    /// First instant of the regression.
    #[schemars(example = &"2026-05-28T00:00:00Z")]
    pub(super) from: Option<RawInstant>,
    /// End of the regression, exclusive.
    #[schemars(extend("x-default" = "`as_of`"), example = &"2026-05-28T12:00:00Z")]
    pub(super) until: Option<RawInstant>,
    /// Candidate's task completion rate while it lasts.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-unit" = "share", "x-default" = "unchanged"),
        example = 0.6
    )]
    pub(super) task_completion_rate: Option<f64>,
    /// Candidate's complaint rate while it lasts.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-unit" = "share", "x-default" = "unchanged"),
        example = 0.02
    )]
    pub(super) complaint_rate: Option<f64>,
    /// Candidate's rate of bad answers among rated turns while it lasts.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-unit" = "share", "x-default" = "unchanged"),
        example = 0.2
    )]
    pub(super) bad_rate: Option<f64>,
}

/// A layer: a band of users with a ramp of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["id"]))]
pub(super) struct RawLayer {
    /// Id of the layer: ASCII letters, digits, `_`, `-`, `.`.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]+$"), example = &"early")]
    pub(super) id: Option<String>,
    /// Name that people see: a text, or one in English and one in Chinese.
    #[schemars(extend("x-default" = "the layer's `id`"), example = &"Early adopters")]
    pub(super) name: Option<RawName>,
    /// Lowest score of the layer, in mode `threshold`. Scores fall from layer to layer. The last
    /// layer takes the rest and has none.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-unit" = "score", "x-default" = "none"),
        example = 0.8
    )]
    pub(super) min_score: Option<f64>,
    /// Share of the users without a matching tag, in mode `quota`. The last layer takes the rest.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-unit" = "share", "x-default" = "none"),
        example = 0.1
    )]
    pub(super) quota: Option<f64>,
    /// Rules that assign a user to the layer before any score. One matching rule is enough.
    pub(super) tags: Vec<RawTag>,
    /// Ratio that the layer opens with. 0 opens it with the first step of the ladder.
    #[schemars(
        range(min = 0, max = 1),
        extend("default" = 0, "x-unit" = "share"),
        example = 0.1
    )]
    pub(super) initial_ratio: Option<f64>,
    /// Ratios that the layer goes through, rising. A last one below 1 keeps a holdback.
    #[schemars(
        length(min = 1),
        inner(range(min = 0.0001, max = 1)),
        extend("default" = [0.1, 0.5, 1.0], "x-unit" = "share"),
        example = [0.05, 0.2, 1.0]
    )]
    pub(super) ladder: Option<Vec<f64>>,
    /// Smallest QoS for a promotion of the layer.
    #[schemars(
        range(min = 0, max = 1),
        extend("default" = 0.8, "x-unit" = "score"),
        example = 0.75
    )]
    pub(super) qos_threshold: Option<f64>,
    /// Time that a ratio must have held before the next one.
    #[schemars(
        range(min = 0, max = 1_000_000),
        extend("default" = 72, "x-unit" = "hours"),
        example = 24
    )]
    pub(super) dwell_hours: Option<f64>,
    /// Smallest number of users of the candidate for a promotion.
    #[schemars(
        range(max = i64::MAX),
        extend("default" = 100, "x-unit" = "users"),
        example = 1_000
    )]
    pub(super) min_users: Option<u64>,
    /// `policy.boundary` of the layer.
    #[schemars(
        extend("enum" = words(&BOUNDARIES), "x-default" = "that of `policy`"),
        example = &"kim_demets"
    )]
    pub(super) boundary: Option<String>,
    /// `policy.boundary_rho` of the layer's own boundary.
    #[schemars(
        range(min = 0.1, max = 20),
        extend("x-unit" = "exponent", "x-default" = "that of `policy`"),
        example = 1.5
    )]
    pub(super) boundary_rho: Option<f64>,
    /// `policy.boundary_gamma` of the layer's own boundary.
    #[schemars(
        range(min = -40, max = 40),
        extend("x-unit" = "parameter", "x-default" = "that of `policy`"),
        example = 1
    )]
    pub(super) boundary_gamma: Option<f64>,
    /// Ids of layers that must be at the end of their ladder first. `[]` opens the layer at once.
    #[schemars(extend("x-default" = "the layer before it"), example = Vec::<&str>::new())]
    pub(super) after: Option<Vec<String>>,
    /// Whether every promotion needs an `[[approval]]`.
    #[schemars(example = true)]
    pub(super) safety_critical: bool,
}

/// A change of a ratio that has happened.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["at", "layer", "ratio"]))]
pub(super) struct RawOperation {
    /// Instant of the change, not before `plan.start`.
    #[schemars(example = &"2026-05-25T00:00:00Z")]
    pub(super) at: Option<RawInstant>,
    /// Tenant whose ratio changed.
    #[schemars(extend("x-default" = "all tenants"), example = &"shop")]
    pub(super) tenant: Option<String>,
    /// Release whose ratio changed. The changes of an earlier candidate say nothing of a later one,
    /// so an entry that stays in the file when the plan gets another candidate needs this key.
    #[schemars(extend("x-default" = "`plan.candidate`"), example = &"cs-agent-2026.05")]
    pub(super) candidate: Option<String>,
    /// Id of the layer.
    #[schemars(example = &"early")]
    pub(super) layer: Option<String>,
    /// New ratio.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-unit" = "share"),
        example = 0.1
    )]
    pub(super) ratio: Option<f64>,
    /// Name of the person or program that changed the ratio.
    #[schemars(extend("default" = "sluice"), example = &"on-call")]
    pub(super) operator: Option<String>,
}

/// A period in which nothing is promoted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["from", "until"]))]
pub(super) struct RawFreeze {
    /// First instant.
    #[schemars(example = &"2026-05-27T12:00:00Z")]
    pub(super) from: Option<RawInstant>,
    /// End, exclusive, after `from`.
    #[schemars(example = &"2026-06-01T00:00:00Z")]
    pub(super) until: Option<RawInstant>,
}

/// An approval of a ratio of a layer with `safety_critical`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["layer", "ratio", "at", "by"]))]
pub(super) struct RawApproval {
    /// Id of the layer.
    #[schemars(example = &"early")]
    pub(super) layer: Option<String>,
    /// Release that is approved: the plan's candidate. An approval without it, or of another
    /// release, does not count.
    #[schemars(extend("x-default" = "none"), example = &"cs-agent-2026.05")]
    pub(super) candidate: Option<String>,
    /// Largest ratio that is approved.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-unit" = "share"),
        example = 0.5
    )]
    pub(super) ratio: Option<f64>,
    /// Instant of the approval. One before `plan.start` or after `as_of` does not count.
    #[schemars(example = &"2026-05-26T09:00:00Z")]
    pub(super) at: Option<RawInstant>,
    /// Name of the person who signed. A name with a word such as `bot`, `svc` or `pipeline` is that
    /// of a program, whose approval does not count.
    #[schemars(example = &"Ada Lovelace")]
    pub(super) by: Option<String>,
    /// Kind of the signer. The approval of a `bot` does not count.
    #[schemars(
        extend("enum" = words(&APPROVER_KINDS), "default" = APPROVER_KINDS[0].0),
        example = &"bot"
    )]
    pub(super) kind: Option<String>,
}

/// A column that a rule may use although its name contains a sensitive attribute.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["column", "reason"]))]
pub(super) struct RawAllowedColumn {
    /// Name of the column, as it is written in the scenario.
    #[schemars(length(min = 1), example = &"is_political")]
    pub(super) column: Option<String>,
    /// Reason why the column is no sensitive attribute of a user. Reports show it.
    #[schemars(length(min = 1), example = &"topic of the answer, not the user's opinion")]
    pub(super) reason: Option<String>,
}

/// A result that `sluice run --verify` compares with the schedule.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["layer", "verdict"]))]
pub(super) struct RawExpect {
    /// Tenant that the result is of.
    #[schemars(extend("x-default" = "all tenants"), example = &"shop")]
    pub(super) tenant: Option<String>,
    /// Id of the layer.
    #[schemars(example = &"early")]
    pub(super) layer: Option<String>,
    /// Verdict of the layer.
    #[schemars(extend("enum" = VERDICTS), example = &"promote")]
    pub(super) verdict: Option<String>,
    /// Next ratio of the layer.
    #[schemars(
        range(min = 0, max = 1),
        extend("x-unit" = "share", "x-default" = "not compared"),
        example = 0.5
    )]
    pub(super) next_ratio: Option<f64>,
}

/// A share of users that a source of the study states, with the numbers behind it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["users", "of", "share", "source"]))]
pub(super) struct RawClaim {
    /// Number of users that the source names.
    #[schemars(range(max = i64::MAX), extend("x-unit" = "users"), example = 45_000)]
    pub(super) users: Option<u64>,
    /// Number of all users that the source names.
    #[schemars(range(min = 1, max = i64::MAX), extend("x-unit" = "users"), example = 5_000_000)]
    pub(super) of: Option<u64>,
    /// Share that the source states.
    #[schemars(range(min = 0, max = 1), extend("x-unit" = "share"), example = 0.0009)]
    pub(super) share: Option<f64>,
    /// Name of the source.
    #[schemars(example = &"the incident report")]
    pub(super) source: Option<String>,
}

/// Returns the names of the assignment profiles.
fn profiles() -> Vec<&'static str> {
    let platforms = PLATFORMS.iter().map(|(_, name, _)| *name);
    ["sluice", "external"].into_iter().chain(platforms).collect()
}

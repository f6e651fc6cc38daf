//! The scenario: one TOML file that describes a study, from plan and policy to inputs and worlds.
//!
//! `raw` mirrors the file. `check` and the `check_*` files, one per subject, collect every problem.
//! A [`Scenario`] holds legal values only.

mod check;
mod check_input;
mod check_layers;
mod check_metrics;
mod check_notify;
mod check_plan;
mod check_policy;
mod check_simulation;
mod check_traces;
mod check_world;
mod checker;
mod document;
mod guard;
mod input;
mod layering;
mod looks;
pub(crate) mod plan;
mod policy;
pub(crate) mod raw;
mod raw_column;
mod raw_layering;
mod raw_name;
mod raw_notify;
mod raw_policy;
mod raw_score;
mod raw_simulate;
mod raw_source;
pub(crate) mod read;
pub(crate) mod rewrite;
mod schema;
mod sensitive;
mod sensitive_words;
mod simulation;
pub(crate) mod sink;
pub(crate) mod stages;
mod traces;
mod units;

pub use document::{Overrides, Scenario};
pub use guard::{GuardName, Guards};
pub use input::{
    CONSENT, Events, Expression, FEATURES, Fault, Generate, Input, LatestUntil, OnBadRow, OnDuplicate,
    OnUnknownRelease, Query, Source, UsersFrom, text_sign,
};
pub use layering::{Consent, LayerMode, Layering, TagRule, TagTest, UnknownUsers};
pub use looks::{look_times, since_opening};
pub use plan::{Approval, Arm, BreakdownBy, Claim, GateDesign, Layer, Operation, PerArm, Plan};
pub use policy::{
    Action, DecisionPolicy, Expectation, Guardrail, GuardrailRule, LATENCY_P95, OnTrouble, OwnPast, Policy,
    QosConfig, RollbackScope, Sequential, SlicePolicy,
};
pub use sensitive::{AllowedColumn, SensitiveRule, sensitive_word};
pub(crate) use simulation::HOURS_A_WEEK;
pub use simulation::{
    Boundary, Budget, Controller, PlanVariant, Rate, Simulation, World, WorldEffect, WorldLayer,
};
pub use sink::{Notify, NotifyEvent, SinkAddress, SinkKind, SinkLocation};
pub use stages::{MAX_STAGES, Stage, StageIndex, evidence_of, stages_of};
pub use traces::{Combine, ScoreRule, ScoreTest, TraceFormat, TraceSource, TurnUnit};
pub use units::Unit;

//! The keys of `[layering]` and of the tag rules of `[[layer]]` as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::schema::words;
use crate::scenario::layering::{Consent, LayerMode, PRESETS, UnknownUsers};

/// The rules that sort users into layers: scores of recency, frequency, value and acceptance.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLayering {
    /// Kind of cut: `threshold` cuts at scores (`layer.min_score`), `quota` at shares of users
    /// (`layer.quota`), highest scores first.
    #[schemars(extend("enum" = words(&LayerMode::ALL), "default" = LayerMode::ALL[0].0), example = &"quota")]
    pub(super) mode: Option<String>,
    /// Name of a set of weights for R, F, M, A: `default` 0.2, 0.2, 0.3, 0.3; `high_risk` 0.15,
    /// 0.15, 0.5, 0.2; `consumer` 0.2, 0.2, 0.2, 0.4.
    #[schemars(extend("enum" = words(&PRESETS), "default" = PRESETS[0].0), example = &"consumer")]
    pub(super) preset: Option<String>,
    /// Weights of R, F, M, A in place of the preset's. They sum to 1.
    #[schemars(
        length(equal = 4),
        inner(range(min = 0)),
        extend("x-default" = "those of `preset`"),
        example = [0.25, 0.25, 0.25, 0.25]
    )]
    pub(super) weights: Option<Vec<f64>>,
    /// Days since the last use at which recency is 0.
    #[schemars(
        range(min = 0.001, max = 100_000),
        extend("default" = 30, "x-unit" = "days"),
        example = 90
    )]
    pub(super) recency_cap_days: Option<f64>,
    /// Uses at which frequency is full.
    #[schemars(
        range(min = 1e-9, max = 1e15),
        extend("default" = 100, "x-unit" = "uses"),
        example = 50
    )]
    pub(super) use_count_cap: Option<f64>,
    /// Value of a user at which M is 0.
    #[schemars(
        range(min = 1e-9, max = 1e15),
        extend("default" = 100_000, "x-unit" = "currency of `user_value`"),
        example = 20_000
    )]
    pub(super) user_value_cap: Option<f64>,
    /// Layer of users without any feature: the last layer, or the layer of their score.
    #[schemars(
        extend("enum" = words(&UnknownUsers::ALL), "default" = UnknownUsers::ALL[0].0),
        example = &"score"
    )]
    pub(super) unknown: Option<String>,
    /// Meaning of a missing consent: not eligible, or eligible.
    #[schemars(extend("enum" = words(&Consent::ALL), "default" = Consent::ALL[0].0), example = &"opt_out")]
    pub(super) consent: Option<String>,
    /// More words that no column of a rule or a cut may contain.
    #[schemars(example = ["postcode"])]
    pub(super) sensitive: Vec<String>,
}

/// A rule of a tag: a column of the users table, and exactly one of `equals` and `at_least`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["column"]))]
pub(super) struct RawTag {
    /// Column of the users table.
    #[schemars(example = &"tier")]
    pub(super) column: Option<String>,
    /// Text that the column must hold.
    #[schemars(extend("x-default" = "none"), example = &"internal")]
    pub(super) equals: Option<String>,
    /// Number that the column must reach.
    #[schemars(extend("x-default" = "none"), example = 2)]
    pub(super) at_least: Option<f64>,
}

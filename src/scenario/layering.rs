//! The rules that assign users to layers: weights, caps, tag rules and consent.

/// The rules that assign users to layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Layering {
    /// Assignment by score thresholds or by quotas.
    pub mode: LayerMode,
    /// Weights of recency (R), frequency (F), monetary value (M) and acceptance (A). They are at
    /// least 0 and sum to 1 within 1e-9.
    pub weights: [f64; 4],
    /// Recency from which R is 0, seconds.
    pub recency_cap_secs: f64,
    /// Number of uses in the use window from which F is 1, above 0.
    pub use_count_cap: f64,
    /// User value from which M is 0, above 0, in the scenario's currency.
    pub user_value_cap: f64,
    /// Layer of users without any feature.
    pub unknown: UnknownUsers,
    /// Meaning of a missing consent.
    pub consent: Consent,
}

/// Weights of R, F, M, A by the name of their preset, the default first.
pub(super) const PRESETS: [(&str, [f64; 4]); 3] = [
    ("default", [0.2, 0.2, 0.3, 0.3]),
    ("high_risk", [0.15, 0.15, 0.5, 0.2]),
    ("consumer", [0.2, 0.2, 0.2, 0.4]),
];

/// The rule that assigns users to layers: by score thresholds, or by shares of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerMode {
    /// A layer takes the scores from its `min_score` up to the next higher layer.
    Threshold,
    /// A layer takes its share of users, in order of falling score.
    Quota,
}

impl LayerMode {
    /// Every mode with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 2] =
        [("threshold", Self::Threshold), ("quota", Self::Quota)];
}

/// The layer of users without any feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownUsers {
    /// The last layer, which is the most protected.
    Protect,
    /// The layer of their score. Missing features count as R = F = A = 0 and M = 1, so the score is
    /// the weight of M: 0.3 by default.
    Score,
}

impl UnknownUsers {
    /// Every option with its word in a scenario, the default first.
    pub(crate) const ALL: [(&'static str, Self); 2] = [("protect", Self::Protect), ("score", Self::Score)];
}

/// The meaning of a missing consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Only users who gave consent are eligible.
    OptIn,
    /// Users are eligible unless they refused.
    OptOut,
}

impl Consent {
    /// Every option with its word in a scenario, the default first.
    pub(super) const ALL: [(&'static str, Self); 2] = [("opt_in", Self::OptIn), ("opt_out", Self::OptOut)];
}

/// A rule that puts a user into a layer before any score.
#[derive(Debug, Clone, PartialEq)]
pub struct TagRule {
    /// A column of the users table.
    pub column: String,
    /// The condition on its value.
    pub test: TagTest,
}

/// The condition on a tag column's value.
#[derive(Debug, Clone, PartialEq)]
pub enum TagTest {
    /// The value equals this text.
    Equals(String),
    /// The value is a number of at least this size.
    AtLeast(f64),
}

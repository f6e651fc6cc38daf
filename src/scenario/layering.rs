//! How users become layers: weights, caps, tag rules, consent.

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

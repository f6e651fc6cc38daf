//! The inputs and settings that the layering passes share.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::base::time::Micros;
use crate::scenario::{Input, Layering, OnDuplicate, Plan};

/// The largest number of users that [`Audit::Auto`] audits.
pub const SMALL_TABLE: u64 = 1 << 20;

/// The inputs and settings of layering.
#[derive(Debug, Clone, Copy)]
pub struct LayerContext<'a> {
    /// Weights, caps and modes of the score.
    pub layering: &'a Layering,
    /// The plan, which has the layers, and the salt that orders users with equal scores.
    pub plan: &'a Plan,
    /// The instant up to which recency is measured, in microseconds UTC.
    pub as_of: Micros,
    /// The policy for a second row of the same user.
    pub on_duplicate_user: OnDuplicate,
    /// Whether to prove that every user has only one row.
    pub audit: Audit,
    /// Last night's layer table. Unchanged row groups are taken from it. `None` scores every row
    /// group.
    pub previous: Option<&'a Path>,
}

/// Whether to do the checks that scores do not need: the search for duplicate users, and the
/// digests of the input files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audit {
    /// Audits tables of up to 1,048,576 users, where the cost is small.
    #[default]
    Auto,
    /// Audits tables of any size.
    Always,
    /// Never audits.
    Never,
}

impl Audit {
    /// Whether a table of `n_users` users is audited. `None` is an unknown number, as in text
    /// files; `Auto` audits it.
    pub fn applies(self, n_users: Option<u64>) -> bool {
        match self {
            Self::Auto => n_users.is_none_or(|n| n <= SMALL_TABLE),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

impl<'a> LayerContext<'a> {
    /// Creates the context of a scenario's parts, without a previous night. `as_of` is in
    /// microseconds UTC.
    pub fn new(layering: &'a Layering, plan: &'a Plan, as_of: Micros, input: &Input, audit: Audit) -> Self {
        Self {
            layering,
            plan,
            as_of,
            on_duplicate_user: input.on_duplicate_user,
            audit,
            previous: None,
        }
    }
}

//! The inputs and settings that the layering passes share.

use clap::ValueEnum;
use std::path::Path;

use crate::base::time::Micros;
use crate::scenario::{Input, Layering, OnDuplicate, Plan};

/// Users up to which [`Audit::Auto`] audits.
pub const SMALL_TABLE: u64 = 1 << 20;

/// What layering needs to know.
#[derive(Debug, Clone, Copy)]
pub struct LayerContext<'a> {
    /// Weights, caps, modes.
    pub layering: &'a Layering,
    /// The layers, and the salt that splits ties.
    pub plan: &'a Plan,
    /// Recency is measured from here.
    pub as_of: Micros,
    /// What to do with a second row for a user.
    pub on_duplicate_user: OnDuplicate,
    /// Whether to prove that no user comes twice.
    pub audit: Audit,
    /// Last night's layer table: row groups of which nothing changed are taken from there.
    pub previous: Option<&'a Path>,
}

/// Whether to look at what the scores do not need: that no user comes twice, and the digests of the
/// input files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Audit {
    /// For up to 1,048,576 users, where it costs next to nothing.
    #[default]
    Auto,
    /// For any number of users.
    Always,
    /// Not at all.
    Never,
}

impl Audit {
    /// Whether a table of so many users is audited; `None` if that is not known beforehand, as in
    /// text files.
    pub fn applies(self, n_users: Option<u64>) -> bool {
        match self {
            Self::Auto => n_users.is_none_or(|n| n <= SMALL_TABLE),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

impl<'a> LayerContext<'a> {
    /// The context of a scenario's parts.
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

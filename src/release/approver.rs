//! The people and programs that approved a release.

use serde::Serialize;

use crate::base::time::Micros;

/// The kind of an approver: a person, a program, or unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApproverKind {
    /// The approver is a person.
    Human,
    /// The approver is a program. Its approval does not count.
    Bot,
    /// The record does not state the kind. It is never derived from a person's name.
    Unknown,
}

/// An approval that a record names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approver {
    /// The id of the approver: a name or an account.
    pub id: String,
    /// Whether the approver is a person or a program.
    pub kind: ApproverKind,
    /// The time of the approval, microseconds UTC; `None` if not recorded.
    pub at: Option<Micros>,
}

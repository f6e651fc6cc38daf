//! The interface of publishing targets: the desired content, the inspection and the changes.

use serde::Serialize;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::publish::changes::LayerChanges;
use crate::publish::options::Options;
use crate::publish::publication::Publication;
use crate::publish::timer::Timer;

/// The content to publish, with its options.
#[derive(Debug, Clone, Copy)]
pub struct Desired<'a> {
    /// The publication that the target must hold at the end.
    pub publication: &'a Publication,
    /// The plan that the publication replaces at this target; `None` if there is none to retire.
    pub retires: Option<&'a Retirement>,
    /// The folder that the publication comes from; `None` without a folder.
    pub dir: Option<&'a Path>,
    /// The path of the layer table; `None` if users are not published.
    pub layers: Option<&'a Path>,
    /// The users who changed since the night before; `None` if all are compared.
    pub changes: Option<&'a LayerChanges>,
    /// The manifest to publish in place of the folder's own; `None` if the folder's own holds.
    pub manifest: Option<&'a Path>,
    /// The options of the publication, such as a dry run.
    pub options: &'a Options,
    /// The clock of the target, to reset at every answer.
    pub timer: &'a Timer,
}

/// The retirement of the plan that a publication replaces.
#[derive(Debug, Clone)]
pub struct Retirement {
    /// The publication of the old plan that the target held when it was inspected.
    pub held: Publication,
    /// The publication of the old plan to switch to: every ratio is 0, and its status is retired.
    pub retired: Publication,
}

impl Retirement {
    /// Returns an error if the old plan's version at the target is no longer the inspected one.
    pub(super) fn refuse_change(&self, found: Option<&Publication>, address: &str) -> Result<()> {
        if found.is_some_and(|found| found.version == self.held.version) {
            return Ok(());
        }
        let message = format!(
            "expected plan {} to retire at version {}, found it changed",
            self.held.plan_id, self.held.version
        );
        Err(Error::target(address, message)
            .hint("another publication changed that plan in the meantime: run it again"))
    }
}

/// A difference between a target's content now and after publishing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedChange {
    /// The item that changes: a key, a table or a line of a file.
    pub what: String,
    /// The content now; `None` if the item does not exist.
    pub before: Option<String>,
    /// The content after publishing; `None` if the item is removed.
    pub after: Option<String>,
}

impl PlannedChange {
    /// Creates a change of the item `what`.
    pub fn new(what: impl Into<String>, before: Option<String>, after: Option<String>) -> Self {
        Self {
            what: what.into(),
            before,
            after,
        }
    }
}

/// Counts of a layer table's users at a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TargetUsers {
    /// The number of users in the table.
    pub n_users: u64,
    /// The number of users who are written because the target's entry differs or is missing.
    pub n_written: u64,
    /// The number of users at the target who are no longer in the table.
    pub n_gone: u64,
}

/// The content of a target, and its planned changes.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// The publication that the target holds; `None` if it holds none.
    pub current: Option<Publication>,
    /// The planned changes. Empty if the target already holds everything.
    pub changes: Vec<PlannedChange>,
    /// Counts of users; `None` if they were not counted.
    pub users: Option<TargetUsers>,
    /// Warnings about differences between the publication and its effect at the target. Empty if
    /// there are none.
    pub warnings: Vec<String>,
}

/// The result of writing a target.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Counts of users; `None` if no users were written.
    pub users: Option<TargetUsers>,
    /// Warnings about parts that could not be written although the publication is in force.
    pub warnings: Vec<String>,
}

/// A store, folder or file that receives publications.
pub trait Target: Send {
    /// The address, without credentials.
    fn address(&self) -> String;

    /// The server, folder or file behind the target. Targets of one server are written one after
    /// another: a rollback takes the server's lock by force.
    fn server(&self) -> String {
        self.address()
    }

    /// The file that the target writes; `None` for other targets. Two targets of one file would
    /// overwrite each other.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// Whether the target takes a layer table by itself, without a plan.
    fn takes_layers(&self) -> bool {
        false
    }

    /// Reads the publication of a plan that the target holds; `None` if it holds none of this plan.
    ///
    /// # Errors
    /// A target that cannot be reached, or whose content cannot be read.
    fn held(&mut self, plan_id: &str) -> Result<Option<Publication>>;

    /// Reads the target's content and plans the changes, without writing. With `count`, users are
    /// compared one by one.
    ///
    /// # Errors
    /// A target that cannot be reached, that holds content of another program, or that cannot
    /// express the publication.
    fn inspect(&mut self, desired: &Desired<'_>, count: bool, progress: &Progress) -> Result<Inspection>;

    /// Writes the publication. `current` is the publication that the inspection found.
    ///
    /// # Errors
    /// A target that refuses, changed since the inspection, or fails on the way. Its readers still
    /// see the previous content.
    fn apply(
        &mut self,
        desired: &Desired<'_>,
        current: Option<&Publication>,
        progress: &Progress,
    ) -> Result<Applied>;
}

#[cfg(not(feature = "stores"))]
pub(super) fn without_stores(kind: &str) -> Error {
    Error::usage(format!(
        "expected a target that this build can reach, found one of `{kind}`"
    ))
    .hint("build with `--features stores`, which is in the default features")
}

/// Returns an error if the target's version changed after the inspection. A rollback is never
/// refused.
pub(super) fn refuse_change(
    found: Option<&Publication>,
    inspected: Option<&Publication>,
    desired: &Desired<'_>,
    address: &str,
) -> Result<()> {
    let version =
        |publication: Option<&Publication>| publication.map(|publication| publication.version.clone());
    let (found, inspected) = (version(found), version(inspected));
    if desired.options.rollback || found == inspected || found.as_ref() == Some(&desired.publication.version)
    {
        return Ok(());
    }
    let show = |version: Option<String>| {
        version.map_or_else(|| "nothing".to_owned(), |version| format!("version {version}"))
    };
    Err(Error::target(
        address,
        format!("expected to replace {}, found {}", show(inspected), show(found)),
    )
    .hint("another publication changed the target in the meantime: run it again to see the changes"))
}

/// The warning that another plan assigns users with the same salt.
#[cfg(feature = "stores")]
pub(super) fn same_salt(plan_id: &str) -> String {
    format!("plan {plan_id} has the same salt: the same users get both candidates first")
}

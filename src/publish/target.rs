//! A target of publishing: what it is asked to hold, what it holds, what changes.

use serde::Serialize;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::publish::options::Options;
use crate::publish::publication::Publication;

/// What is to be published, and how.
#[derive(Debug, Clone, Copy)]
pub struct Desired<'a> {
    /// The content.
    pub publication: &'a Publication,
    /// The folder it comes from.
    pub dir: &'a Path,
    /// The layer table, if users are published too.
    pub layers: Option<&'a Path>,
    /// How.
    pub options: &'a Options,
}

/// Something that a target would hold otherwise than now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedChange {
    /// A key, a table, a line of a file.
    pub what: String,
    /// What is there now; `None` for nothing.
    pub before: Option<String>,
    /// What will be there; `None` for nothing.
    pub after: Option<String>,
}

impl PlannedChange {
    /// A change of something.
    pub fn new(what: impl Into<String>, before: Option<String>, after: Option<String>) -> Self {
        Self {
            what: what.into(),
            before,
            after,
        }
    }
}

/// Users of a layer table at a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TargetUsers {
    /// Users of the table.
    pub n_users: u64,
    /// Users who are written, because the target holds something else, or nothing, of them.
    pub n_written: u64,
    /// Users whom the table no longer has.
    pub n_gone: u64,
}

/// What a target holds, and what would change.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// What was published there last.
    pub current: Option<Publication>,
    /// What would change. Nothing, if the target holds everything already.
    pub changes: Vec<PlannedChange>,
    /// Users, if they were counted.
    pub users: Option<TargetUsers>,
    /// What a reader should know of what the target does with it.
    pub warnings: Vec<String>,
}

/// A place to publish to.
pub trait Target: Send {
    /// Its address, without credentials.
    fn address(&self) -> String;

    /// The file that it is, if it is one: two targets of one file would replace each other.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// Looks at what it holds; writes nothing. With `count`, users are compared one by one.
    ///
    /// # Errors
    /// A target that cannot be reached, or holds something that is not ours to replace, or cannot
    /// express what is wanted.
    fn inspect(&mut self, desired: &Desired<'_>, count: bool, progress: &Progress) -> Result<Inspection>;

    /// Makes it hold what is wanted.
    ///
    /// # Errors
    /// A target that refuses or is lost on the way: its readers see what they saw before.
    fn apply(
        &mut self,
        desired: &Desired<'_>,
        current: Option<&Publication>,
        progress: &Progress,
    ) -> Result<Option<TargetUsers>>;
}

#[cfg(not(feature = "stores"))]
pub(super) fn without_stores(kind: &str) -> Error {
    Error::usage(format!(
        "expected a target that this build can reach, found one of `{kind}`"
    ))
    .hint("build with `--features stores`, which is in the default features")
}

/// Refuses to go on where somebody else has published, or taken back, since the target was looked
/// at. A rollback goes on.
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
    .hint("somebody else published meanwhile: run it again to see what would change"))
}

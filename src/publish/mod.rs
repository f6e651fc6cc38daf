//! What production stores consume: a schedule and its layers, put into every target in that target's own form.
//!
//! Publishing is planned, then applied. Every target first says what it holds and what would change, then takes the new version in one
//! step: data first, then the pointer. A reader sees one version or the other, never a mix. A target that holds the version already is left alone,
//! so a publication that was killed is finished by running it again. A rollback goes the same way, through the targets in reverse.

mod address;
mod document;
mod forms;
mod objects;
#[cfg(feature = "stores")]
mod pace;
#[cfg(feature = "stores")]
mod postgres;
mod publication;
#[cfg(feature = "stores")]
mod redis;

#[cfg(feature = "stores")]
pub(crate) use address::percent_decoded;
pub use address::{Address, parse_duration};
pub use publication::{Parts, Publication, RatioRow, Source};

use serde::Serialize;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::time;
use crate::base::time::Micros;
use crate::bucket::Ratio;

/// How to publish.
#[derive(Debug, Clone)]
pub struct Options {
    /// Now, microseconds: for what expires, and as the instant of a rollback by hand.
    pub now: Micros,
    /// Only say what would change.
    pub dry_run: bool,
    /// Take the candidate back from everybody, whatever the schedule says.
    pub rollback: bool,
    /// Open a candidate again that somebody took back by hand.
    pub reopen: bool,
    /// Write every user, not only those that changed.
    pub all_users: bool,
    /// How long a store keeps a user's layer if nothing refreshes it, microseconds; the store's own default if `None`.
    pub ttl: Option<Micros>,
    /// Writes a second to a store; no limit if `None`.
    pub max_qps: Option<u32>,
}

impl Options {
    /// Publish now, with the defaults.
    pub fn at(now: Micros) -> Self {
        Self {
            now,
            dry_run: false,
            rollback: false,
            reopen: false,
            all_users: false,
            ttl: None,
            max_qps: None,
        }
    }
}

/// What is to be published, and how.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
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
pub struct Change {
    /// A key, a table, a line of a file.
    pub what: String,
    /// What is there now; `None` for nothing.
    pub before: Option<String>,
    /// What will be there; `None` for nothing.
    pub after: Option<String>,
}

impl Change {
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
pub struct UserCounts {
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
    pub held: Option<Publication>,
    /// What would change. Nothing, if the target holds everything already.
    pub changes: Vec<Change>,
    /// Users, if they were counted.
    pub users: Option<UserCounts>,
    /// What a reader should know of what the target does with it.
    pub warnings: Vec<String>,
}

/// A place to publish to.
pub trait Target: Send {
    /// Its address, without credentials.
    fn place(&self) -> String;

    /// The file that it is, if it is one: two targets of one file would replace each other.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// Looks at what it holds; writes nothing. With `count`, users are compared one by one.
    ///
    /// # Errors
    /// A target that cannot be reached, or holds something that is not ours to replace, or cannot express what is wanted.
    fn inspect(&mut self, wanted: &Wanted<'_>, count: bool, progress: &Progress) -> Result<Inspection>;

    /// Makes it hold what is wanted.
    ///
    /// # Errors
    /// A target that refuses or is lost on the way: its readers see what they saw before.
    fn apply(
        &mut self,
        wanted: &Wanted<'_>,
        held: Option<&Publication>,
        progress: &Progress,
    ) -> Result<Option<UserCounts>>;
}

/// What became of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds the publication now.
    Applied,
    /// It held it already.
    Unchanged,
    /// It would change: a dry run.
    Planned,
    /// It refused, or could not be reached; what it held before is in force.
    Failed,
}

impl Outcome {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Planned => "planned",
            Self::Failed => "failed",
        }
    }
}

/// A target's line in the report.
#[derive(Debug, Clone, Serialize)]
pub struct TargetReport {
    /// Its address, without credentials.
    pub target: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The version it held before.
    pub held: Option<String>,
    /// What changed, or would.
    pub changes: Vec<Change>,
    /// Users, if they are published there.
    pub users: Option<UserCounts>,
    /// What a reader should know.
    pub warnings: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What became of all targets.
#[derive(Debug, Clone, Serialize)]
pub struct PublishReport {
    /// Name and version of this document's form.
    pub schema: String,
    /// The plan's id.
    pub plan_id: String,
    /// The version that was published.
    pub version: String,
    /// Its targets, in the order of the command line.
    pub targets: Vec<TargetReport>,
}

impl PublishReport {
    /// Whether a target failed.
    pub fn has_failed(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.outcome == Outcome::Failed)
    }
}

/// Kinds of targets, as they are named in addresses.
pub fn kinds() -> Vec<&'static str> {
    let mut kinds = vec![
        "folder",
        "file",
        "s3",
        "redis",
        "rediss",
        "postgres",
        "postgresql",
    ];
    kinds.extend(forms::FORMS.iter().map(|form| form.kind));
    kinds
}

/// Makes targets ready; nothing is reached yet.
///
/// # Errors
/// An address or a setting that nobody knows, or two targets of one place.
pub fn open(addresses: &[String]) -> Result<Vec<Box<dyn Target>>> {
    let kinds = kinds();
    let mut targets: Vec<Box<dyn Target>> = Vec::new();
    for text in addresses {
        let address = Address::parse(text, &kinds)?;
        let target: Box<dyn Target> = match address.kind.as_str() {
            "folder" | "file" | "s3" => Box::new(objects::ObjectTarget::open(&address)?),
            #[cfg(feature = "stores")]
            "redis" | "rediss" => Box::new(redis::Redis::open(address)?),
            #[cfg(feature = "stores")]
            "postgres" | "postgresql" => Box::new(postgres::Postgres::open(&address)?),
            #[cfg(not(feature = "stores"))]
            kind @ ("redis" | "rediss" | "postgres" | "postgresql") => return Err(without_stores(kind)),
            kind => match forms::FORMS.iter().find(|form| form.kind == kind) {
                Some(form) => Box::new(document::Document::open(form, address)?),
                None => {
                    return Err(Error::usage(format!(
                        "expected a target of {}, found `{kind}`",
                        kinds.join(", ")
                    )));
                }
            },
        };
        if targets.iter().any(|other| {
            other.place() == target.place() || (other.file().is_some() && other.file() == target.file())
        }) {
            return Err(Error::usage(format!(
                "expected every target once, found {} twice",
                target.place()
            )));
        }
        targets.push(target);
    }
    Ok(targets)
}

#[cfg(not(feature = "stores"))]
fn without_stores(kind: &str) -> Error {
    Error::usage(format!(
        "expected a target that this build can reach, found one of `{kind}`"
    ))
    .hint("build with `--features stores`, which is in the default features")
}

/// Publishes to every target. A target that fails does not keep the others from going on: each is consistent by itself, and the next run
/// finishes what is missing.
pub fn publish(
    source: &Source,
    targets: &mut [Box<dyn Target>],
    options: &Options,
    progress: &Progress,
) -> PublishReport {
    let publication = if options.rollback {
        source.publication.rolled_back(options.now)
    } else {
        source.publication.clone()
    };
    // A rollback does not wait for users: everybody is where they were, and gets the baseline.
    let layers = if options.rollback {
        None
    } else {
        source.layers.as_deref()
    };
    let wanted = Wanted {
        publication: &publication,
        dir: &source.dir,
        layers,
        options,
    };

    let mut planned: Vec<(TargetReport, Option<Step>)> = targets
        .iter_mut()
        .map(|target| plan(target.as_mut(), &wanted, progress))
        .collect();
    if !options.dry_run {
        // First in, last out.
        let order: Vec<usize> = if options.rollback {
            (0..targets.len()).rev().collect()
        } else {
            (0..targets.len()).collect()
        };
        for idx in order {
            let (report, Some(step)) = &mut planned[idx] else {
                continue;
            };
            if report.outcome != Outcome::Planned {
                continue;
            }
            match targets[idx].apply(
                &Wanted {
                    publication: &step.publication,
                    ..wanted
                },
                step.held.as_ref(),
                progress,
            ) {
                Ok(users) => {
                    report.outcome = Outcome::Applied;
                    report.users = users.or(report.users);
                }
                Err(error) => fail(report, &error),
            }
        }
    }
    PublishReport {
        schema: "sluice.publish/1".into(),
        plan_id: publication.plan_id.clone(),
        version: publication.version.clone(),
        targets: planned.into_iter().map(|(report, _)| report).collect(),
    }
}

/// What is going to happen at a target.
struct Step {
    /// What it holds.
    held: Option<Publication>,
    /// What it will hold.
    publication: Publication,
}

fn plan(target: &mut dyn Target, wanted: &Wanted<'_>, progress: &Progress) -> (TargetReport, Option<Step>) {
    let mut report = TargetReport {
        target: target.place(),
        outcome: Outcome::Failed,
        held: None,
        changes: vec![],
        users: None,
        warnings: vec![],
        error: None,
    };
    let mut look = || {
        let inspection = target.inspect(wanted, wanted.options.dry_run, progress)?;
        let publication = wanted.publication.over(inspection.held.as_ref(), wanted.options);
        if let Some(held) = &inspection.held {
            refuse_reopening(held, wanted, &report.target)?;
        }
        // What was taken back there is a part of what will be held.
        let inspection = if publication == *wanted.publication {
            inspection
        } else {
            target.inspect(
                &Wanted {
                    publication: &publication,
                    ..*wanted
                },
                wanted.options.dry_run,
                progress,
            )?
        };
        Ok((inspection, publication))
    };
    match look() {
        Ok((inspection, publication)) => {
            if let Some(held) = inspection
                .held
                .as_ref()
                .filter(|held| held.as_of > publication.as_of)
            {
                let (theirs, ours) = (time::format(held.as_of), time::format(publication.as_of));
                report.warnings.push(format!(
                    "it held a schedule of {theirs}, which is newer than this one of {ours}"
                ));
            }
            report.warnings.extend(inspection.warnings);
            report.held = inspection.held.as_ref().map(|held| held.version.clone());
            report.users = inspection.users;
            if inspection.changes.is_empty() {
                report.outcome = Outcome::Unchanged;
            } else {
                report.outcome = Outcome::Planned;
                report.changes = ratio_changes(inspection.held.as_ref(), &publication);
                report.changes.extend(inspection.changes);
            }
            (
                report,
                Some(Step {
                    held: inspection.held,
                    publication,
                }),
            )
        }
        Err(error) => {
            fail(&mut report, &error);
            (report, None)
        }
    }
}

/// Refuses to go on where somebody else has published, or taken back, since the target was looked at. A rollback goes on.
fn refuse_change(
    found: Option<&Publication>,
    inspected: Option<&Publication>,
    wanted: &Wanted<'_>,
    place: &str,
) -> Result<()> {
    let version =
        |publication: Option<&Publication>| publication.map(|publication| publication.version.clone());
    let (found, inspected) = (version(found), version(inspected));
    if wanted.options.rollback || found == inspected || found.as_ref() == Some(&wanted.publication.version) {
        return Ok(());
    }
    let show = |version: Option<String>| {
        version.map_or_else(|| "nothing".to_owned(), |version| format!("version {version}"))
    };
    Err(Error::target(
        place,
        format!("expected to replace {}, found {}", show(inspected), show(found)),
    )
    .hint("somebody else published meanwhile: run it again to see what would change"))
}

fn fail(report: &mut TargetReport, error: &Error) {
    report.outcome = Outcome::Failed;
    report.error = Some(error.to_string());
}

/// A nightly job must not undo what somebody did by hand in the night.
fn refuse_reopening(held: &Publication, wanted: &Wanted<'_>, place: &str) -> Result<()> {
    let publication = wanted.publication;
    let Some(at) = held.taken_back.get(&publication.candidate) else {
        return Ok(());
    };
    if !publication.is_open() || wanted.options.reopen {
        return Ok(());
    }
    Err(Error::target(
        place,
        format!(
            "expected a release other than {}, which was taken back by hand at {}",
            publication.candidate,
            time::format(*at)
        ),
    )
    .hint("publish a new release, or this one again with --reopen"))
}

/// Says that another plan deals users as this one does.
#[cfg(feature = "stores")]
fn same_salt(plan_id: &str) -> String {
    format!("plan {plan_id} has the same salt: the same users are the first to get both candidates")
}

/// The ratios that differ, layer by layer.
fn ratio_changes(held: Option<&Publication>, wanted: &Publication) -> Vec<Change> {
    let show = |publication: &Publication, ratio: Ratio| format!("{ratio} {}", publication.candidate);
    let mut changes = Vec::new();
    for row in &wanted.ratios {
        let before = held.and_then(|held| {
            held.ratios
                .iter()
                .find(|old| (&old.tenant, &old.layer) == (&row.tenant, &row.layer))
        });
        let before = before.zip(held).map(|(old, held)| show(held, old.ratio));
        let after = show(wanted, row.ratio);
        if before.as_ref() != Some(&after) {
            changes.push(Change::new(
                format!("{} / {}", row.tenant, row.layer),
                before,
                Some(after),
            ));
        }
    }
    for old in held.into_iter().flat_map(|held| &held.ratios) {
        if !wanted
            .ratios
            .iter()
            .any(|row| (&old.tenant, &old.layer) == (&row.tenant, &row.layer))
        {
            let before = held.map(|held| show(held, old.ratio));
            changes.push(Change::new(
                format!("{} / {}", old.tenant, old.layer),
                before,
                None,
            ));
        }
    }
    changes
}

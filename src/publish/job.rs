//! The publication of one target: it plans the changes, then applies them.

use hashbrown::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::base::at_work;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::progress::Progress;
use crate::base::time;
use crate::bucket::Ratio;
use crate::publish::changes::LayerChanges;
use crate::publish::clock;
use crate::publish::options::Options;
use crate::publish::publication::{Publication, PublicationSource};
use crate::publish::report::{TargetOutcome, TargetReport};
use crate::publish::target::{Desired, Inspection, PlannedChange, Retirement, Target};
use crate::publish::timer::Timer;
use crate::ramp::RampStatus;

/// What every target must hold at the end.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) publication: Publication,
    dir: Option<PathBuf>,
    layers: Option<PathBuf>,
    changes: Option<LayerChanges>,
    manifest: Option<PathBuf>,
    pub(super) options: Options,
    progress: Progress,
}

/// The content of a target before and after this run.
struct PlannedTarget {
    /// The publication that the target holds; `None` if it holds none.
    current: Option<Publication>,
    /// The publication that the target will hold.
    publication: Publication,
    /// The plan to retire in the same switch; `None` if there is none.
    retirement: Option<Retirement>,
}

impl Job {
    /// The job of retiring what a target holds of a plan.
    pub(super) fn retiring(held: &Publication, options: &Options, progress: &Progress) -> Self {
        let publication = match held.retired_at {
            Some(_) => held.clone(),
            None => held.retired(options.now, None),
        };
        Self {
            publication,
            dir: None,
            layers: None,
            changes: None,
            manifest: None,
            options: options.clone(),
            progress: progress.clone(),
        }
    }

    pub(super) fn new(source: &PublicationSource, options: &Options, progress: &Progress) -> Self {
        let (publication, layers) = if options.rollback {
            // A rollback writes no users: their layers stay, and all ratios become 0.
            (source.publication.rolled_back(options.now), None)
        } else {
            (source.publication.clone(), source.layers.clone())
        };
        Self {
            publication,
            dir: source.dir.clone(),
            layers,
            changes: source.changes.clone(),
            manifest: source.manifest.clone(),
            options: options.clone(),
            progress: progress.clone(),
        }
    }

    /// Publishes to one target. Its report names a failure.
    pub(super) fn publish_to(&self, target: &mut dyn Target, timer: &Timer) -> TargetReport {
        at_work::note(Path::new(&target.address()));
        let desired = Desired {
            publication: &self.publication,
            retires: None,
            dir: self.dir.as_deref(),
            changes: self.changes.as_ref(),
            layers: self.layers.as_deref(),
            manifest: self.manifest.as_deref(),
            options: &self.options,
            timer,
        };
        let (mut report, planned) = plan(target, &desired, &self.progress);
        let Some(planned) = planned.filter(|_| report.outcome == TargetOutcome::Planned) else {
            return report;
        };
        if self.options.dry_run {
            return report;
        }
        let desired = Desired {
            publication: &planned.publication,
            retires: planned.retirement.as_ref(),
            ..desired
        };
        match target.apply(&desired, planned.current.as_ref(), &self.progress) {
            Ok(applied) => {
                report.outcome = TargetOutcome::Applied;
                report.applied_at = clock::now().ok();
                report.users = applied.users.or(report.users);
                report.warnings.extend(applied.warnings);
            }
            Err(error) => report.fail(&error),
        }
        report
    }
}

fn plan(
    target: &mut dyn Target,
    desired: &Desired<'_>,
    progress: &Progress,
) -> (TargetReport, Option<PlannedTarget>) {
    let mut report = TargetReport::new(target.address());
    match look(target, desired, progress, &report.target) {
        Ok((inspection, publication, retirement)) => {
            if let Some(current) = inspection
                .current
                .as_ref()
                .filter(|current| current.as_of > publication.as_of)
            {
                let (theirs, ours) = (time::format(current.as_of), time::format(publication.as_of));
                report.warnings.push(format!(
                    "the target held content of {theirs}, which is newer than this of {ours}"
                ));
            }
            report.warnings.extend(inspection.warnings);
            report.held = inspection.current.as_ref().map(|current| current.version.clone());
            report.users = inspection.users;
            if inspection.changes.is_empty() {
                report.outcome = TargetOutcome::Unchanged;
            } else {
                report.outcome = TargetOutcome::Planned;
                report.changes = ratio_changes(inspection.current.as_ref(), &publication);
                report.changes.extend(inspection.changes);
            }
            let planned = PlannedTarget {
                current: inspection.current,
                publication,
                retirement,
            };
            (report, Some(planned))
        }
        // Content that cannot be read is no reason to leave a candidate open.
        Err(error) if desired.options.rollback && error.kind() == ErrorKind::Target => {
            report.warnings.push(format!(
                "the target is closed although it could not be inspected: {error}"
            ));
            report.outcome = TargetOutcome::Planned;
            report.changes = ratio_changes(None, desired.publication);
            let planned = PlannedTarget {
                current: None,
                publication: desired.publication.clone(),
                retirement: None,
            };
            (report, Some(planned))
        }
        Err(error) => {
            report.fail(&error);
            (report, None)
        }
    }
}

/// Inspects a target. Returns the inspection, the publication that the target will hold, and the
/// retirement of the plan that it replaces.
fn look(
    target: &mut dyn Target,
    desired: &Desired<'_>,
    progress: &Progress,
    address: &str,
) -> Result<(Inspection, Publication, Option<Retirement>)> {
    if desired.publication.is_layers() && !target.takes_layers() {
        return Err(Error::target(
            address,
            "expected a target that takes a layer table by itself, found one of plans only",
        )
        .hint("redis: (without a profile), postgres:, s3: and folders do"));
    }
    let retirement = retirement(target, desired)?;
    let (mut inspection, publication) = look_at_plan(target, desired, progress, address)?;
    if let Some(Retirement { held, .. }) = &retirement {
        inspection.changes.push(PlannedChange::new(
            format!("plan {}", held.plan_id),
            Some(held.status.name().to_owned()),
            Some(RampStatus::Retired.name().to_owned()),
        ));
    }
    Ok((inspection, publication, retirement))
}

/// The retirement of the plan that the publication replaces; `None` if the target does not hold that
/// plan, or it is retired already.
fn retirement(target: &mut dyn Target, desired: &Desired<'_>) -> Result<Option<Retirement>> {
    let publication = desired.publication;
    let Some(old) = publication
        .supersedes
        .as_ref()
        .filter(|_| !desired.options.rollback)
    else {
        return Ok(None);
    };
    let held = target.held(old)?;
    desired.timer.answered();
    Ok(held
        .filter(|held| held.retired_at.is_none())
        .map(|held| Retirement {
            retired: held.retired(desired.options.now, Some(&publication.plan_id)),
            held,
        }))
}

fn look_at_plan(
    target: &mut dyn Target,
    desired: &Desired<'_>,
    progress: &Progress,
    address: &str,
) -> Result<(Inspection, Publication)> {
    let count = desired.options.dry_run;
    let inspection = target.inspect(desired, count, progress)?;
    desired.timer.answered();
    let publication = desired
        .publication
        .over(inspection.current.as_ref(), desired.options);
    if let Some(current) = &inspection.current {
        refuse_reopening(current, desired, address)?;
    }
    if publication == *desired.publication {
        return Ok((inspection, publication));
    }
    // The target's own rollbacks become part of its new content, so the changes are planned again.
    let desired = Desired {
        publication: &publication,
        ..*desired
    };
    let inspection = target.inspect(&desired, count, progress)?;
    desired.timer.answered();
    Ok((inspection, publication))
}

/// Refuses to open a candidate that was rolled back by hand, or a plan that was retired, unless the
/// options allow it. A nightly job must not undo either.
fn refuse_reopening(current: &Publication, desired: &Desired<'_>, address: &str) -> Result<()> {
    let publication = desired.publication;
    if !publication.is_open() || desired.options.reopen {
        return Ok(());
    }
    if let Some(at) = current
        .retired_at
        .filter(|_| current.plan_id == publication.plan_id)
    {
        let message = format!(
            "expected a plan other than {}, which was retired at {}",
            publication.plan_id,
            time::format(at)
        );
        return Err(Error::target(address, message)
            .hint("publish the plan that replaced it, or this one again with --reopen"));
    }
    let Some(at) = current.taken_back.get(&publication.candidate) else {
        return Ok(());
    };
    Err(Error::target(
        address,
        format!(
            "expected a release other than {}, which was rolled back by hand at {}",
            publication.candidate,
            time::format(*at)
        ),
    )
    .hint("publish a new release, or this one again with --reopen"))
}

/// The changes of ratios by tenant and layer, including layers that the new publication lacks.
fn ratio_changes(current: Option<&Publication>, desired: &Publication) -> Vec<PlannedChange> {
    let show = |publication: &Publication, ratio: Ratio| format!("{ratio} {}", publication.candidate);
    let old_rows = || current.into_iter().flat_map(|current| &current.ratios);
    let before: HashMap<(&str, &str), String> = current
        .into_iter()
        .flat_map(|current| {
            let rows = current.ratios.iter();
            rows.map(|row| (row.key(), show(current, row.ratio)))
        })
        .collect();
    let mut changes = Vec::new();
    for row in &desired.ratios {
        let before = before.get(&row.key());
        let after = show(desired, row.ratio);
        if before != Some(&after) {
            changes.push(PlannedChange::new(
                format!("{} / {}", row.tenant, row.layer),
                before.cloned(),
                Some(after),
            ));
        }
    }
    let kept: HashSet<(&str, &str)> = desired.ratios.iter().map(|row| row.key()).collect();
    changes.extend(old_rows().filter(|row| !kept.contains(&row.key())).map(|row| {
        PlannedChange::new(
            format!("{} / {}", row.tenant, row.layer),
            before.get(&row.key()).cloned(),
            None,
        )
    }));
    changes
}

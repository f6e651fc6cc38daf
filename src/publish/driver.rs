//! Plans the changes of every target, then applies them.

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::time;
use crate::bucket::Ratio;
use crate::publish::options::Options;
use crate::publish::publication::{Publication, PublicationSource};
use crate::publish::report::{PublishReport, TargetOutcome, TargetReport};
use crate::publish::target::{Desired, PlannedChange, Target};

/// Publishes to every target and reports each outcome. A failed target does not stop the others:
/// each target is consistent by itself, and the next run finishes the missing ones.
pub fn publish(
    source: &PublicationSource,
    targets: &mut [Box<dyn Target>],
    options: &Options,
    progress: &Progress,
) -> PublishReport {
    let publication = if options.rollback {
        source.publication.rolled_back(options.now)
    } else {
        source.publication.clone()
    };
    // A rollback writes no users: their layers stay, and all ratios become 0.
    let layers = if options.rollback {
        None
    } else {
        source.layers.as_deref()
    };
    let desired = Desired {
        publication: &publication,
        dir: &source.dir,
        layers,
        options,
    };

    let mut planned: Vec<(TargetReport, Option<PlannedTarget>)> = targets
        .iter_mut()
        .map(|target| plan(target.as_mut(), &desired, progress))
        .collect();
    if !options.dry_run {
        // A rollback runs in the reverse order of publishing.
        let order: Vec<usize> = if options.rollback {
            (0..targets.len()).rev().collect()
        } else {
            (0..targets.len()).collect()
        };
        for idx in order {
            let (report, Some(step)) = &mut planned[idx] else {
                continue;
            };
            if report.outcome != TargetOutcome::Planned {
                continue;
            }
            match targets[idx].apply(
                &Desired {
                    publication: &step.publication,
                    ..desired
                },
                step.current.as_ref(),
                progress,
            ) {
                Ok(users) => {
                    report.outcome = TargetOutcome::Applied;
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

/// The content of a target before and after this run.
pub(super) struct PlannedTarget {
    /// The publication that the target holds; `None` if it holds none.
    current: Option<Publication>,
    /// The publication that the target will hold.
    publication: Publication,
}

pub(super) fn plan(
    target: &mut dyn Target,
    desired: &Desired<'_>,
    progress: &Progress,
) -> (TargetReport, Option<PlannedTarget>) {
    let mut report = TargetReport {
        target: target.address(),
        outcome: TargetOutcome::Failed,
        held: None,
        changes: vec![],
        users: None,
        warnings: vec![],
        error: None,
    };
    let mut look = || {
        let inspection = target.inspect(desired, desired.options.dry_run, progress)?;
        let publication = desired
            .publication
            .over(inspection.current.as_ref(), desired.options);
        if let Some(current) = &inspection.current {
            refuse_reopening(current, desired, &report.target)?;
        }
        // The target's own rollbacks become part of its new content, so the changes are planned
        // again.
        let inspection = if publication == *desired.publication {
            inspection
        } else {
            target.inspect(
                &Desired {
                    publication: &publication,
                    ..*desired
                },
                desired.options.dry_run,
                progress,
            )?
        };
        Ok((inspection, publication))
    };
    match look() {
        Ok((inspection, publication)) => {
            if let Some(current) = inspection
                .current
                .as_ref()
                .filter(|current| current.as_of > publication.as_of)
            {
                let (theirs, ours) = (time::format(current.as_of), time::format(publication.as_of));
                report.warnings.push(format!(
                    "the target held a schedule of {theirs}, which is newer than this one of {ours}"
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
            (
                report,
                Some(PlannedTarget {
                    current: inspection.current,
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

pub(super) fn fail(report: &mut TargetReport, error: &Error) {
    report.outcome = TargetOutcome::Failed;
    report.error = Some(error.to_string());
}

/// Refuses to open a candidate that was rolled back by hand, unless the options allow it. A nightly
/// job must not undo a rollback by hand.
pub(super) fn refuse_reopening(current: &Publication, desired: &Desired<'_>, address: &str) -> Result<()> {
    let publication = desired.publication;
    let Some(at) = current.taken_back.get(&publication.candidate) else {
        return Ok(());
    };
    if !publication.is_open() || desired.options.reopen {
        return Ok(());
    }
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

/// The warning that another plan assigns users with the same salt.
#[cfg(feature = "stores")]
pub(super) fn same_salt(plan_id: &str) -> String {
    format!("plan {plan_id} has the same salt: the same users get both candidates first")
}

/// The changes of ratios by tenant and layer, including layers that the new publication lacks.
pub(super) fn ratio_changes(current: Option<&Publication>, desired: &Publication) -> Vec<PlannedChange> {
    let show = |publication: &Publication, ratio: Ratio| format!("{ratio} {}", publication.candidate);
    let mut changes = Vec::new();
    for row in &desired.ratios {
        let before = current.and_then(|current| {
            current
                .ratios
                .iter()
                .find(|old| (&old.tenant, &old.layer) == (&row.tenant, &row.layer))
        });
        let before = before.zip(current).map(|(old, current)| show(current, old.ratio));
        let after = show(desired, row.ratio);
        if before.as_ref() != Some(&after) {
            changes.push(PlannedChange::new(
                format!("{} / {}", row.tenant, row.layer),
                before,
                Some(after),
            ));
        }
    }
    for old in current.into_iter().flat_map(|current| &current.ratios) {
        if !desired
            .ratios
            .iter()
            .any(|row| (&old.tenant, &old.layer) == (&row.tenant, &row.layer))
        {
            let before = current.map(|current| show(current, old.ratio));
            changes.push(PlannedChange::new(
                format!("{} / {}", old.tenant, old.layer),
                before,
                None,
            ));
        }
    }
    changes
}

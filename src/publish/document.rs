//! Targets that are one file: a configuration or a change request of another system.
//!
//! The publication is written beside the file as `NAME.sluice.json`, so the next run can read the
//! version in force.

use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::base::{files, json, open};
use crate::publish::address::Address;
use crate::publish::exporters::format::ExportFormat;
use crate::publish::publication::Publication;
use crate::publish::target::{Applied, Desired, Inspection, PlannedChange, Target, refuse_change};

/// A target that is one file of an export format.
pub(super) struct DocumentTarget {
    format: &'static ExportFormat,
    address: Address,
    path: PathBuf,
}

impl DocumentTarget {
    pub(super) fn open(format: &'static ExportFormat, address: Address) -> Result<Self> {
        address.allow(format.settings)?;
        // A symbolic link is kept: the file that it points to is replaced.
        let path = std::path::absolute(&address.rest).unwrap_or_else(|_| PathBuf::from(&address.rest));
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        Ok(Self {
            format,
            address,
            path,
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn publication_path(&self) -> PathBuf {
        let mut name = self.path().as_os_str().to_owned();
        name.push(".sluice.json");
        name.into()
    }

    /// Reads the publication beside the file. In a rollback, an unreadable publication counts as
    /// missing.
    fn current(&self, is_rollback: bool) -> Result<Option<Publication>> {
        let path = self.publication_path();
        let found = read(&path).and_then(|text| {
            text.map(|text| Publication::from_json(&text, &path.display().to_string()))
                .transpose()
        });
        if is_rollback {
            Ok(found.unwrap_or_default())
        } else {
            found
        }
    }
}

impl Target for DocumentTarget {
    fn address(&self) -> String {
        self.address.to_string()
    }

    fn server(&self) -> String {
        self.path.display().to_string()
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn held(&mut self, plan_id: &str) -> Result<Option<Publication>> {
        let held = self.current(false)?;
        Ok(held.filter(|held| held.plan_id == plan_id))
    }

    fn inspect(&mut self, desired: &Desired<'_>, _count: bool, _progress: &Progress) -> Result<Inspection> {
        let after = (self.format.write)(desired, &self.address)?;
        let before = read(self.path())?;
        let current = self.current(desired.options.rollback)?;
        let mut changes = Vec::new();
        if before.as_ref() != Some(&after) {
            changes = match &before {
                Some(before) => line_changes(before, &after),
                None => vec![PlannedChange::new(
                    &self.address.rest,
                    None,
                    Some(format!("{} lines", after.lines().count())),
                )],
            };
        }
        if current.as_ref() != Some(desired.publication) {
            let version = current.as_ref().map(|current| current.version.clone());
            changes.push(PlannedChange::new(
                format!("{}.sluice.json", self.address.rest),
                version,
                Some(desired.publication.version.clone()),
            ));
        }
        Ok(Inspection {
            current,
            changes,
            users: None,
            warnings: (self.format.warnings)(desired.publication, &self.address),
        })
    }

    fn apply(
        &mut self,
        desired: &Desired<'_>,
        current: Option<&Publication>,
        _progress: &Progress,
    ) -> Result<Applied> {
        refuse_change(
            self.current(desired.options.rollback)?.as_ref(),
            current,
            desired,
            &self.address(),
        )?;
        let text = (self.format.write)(desired, &self.address)?;
        let refused = |error: Error| {
            Error::target(
                self.address(),
                error
                    .problems()
                    .first()
                    .map_or_else(String::new, |p| p.message.clone()),
            )
        };
        // The record comes first. If this run is cut off in between, the next one finds that the
        // file differs, and a rollback is not forgotten.
        json::write_json(&self.publication_path(), desired.publication).map_err(refused)?;
        files::write_bytes(self.path(), text.as_bytes()).map_err(refused)?;
        Ok(Applied::default())
    }
}

/// Reads the text of a file; `None` if it does not exist.
///
/// Folders and devices are errors, so they are never replaced.
fn read(path: &Path) -> Result<Option<String>> {
    let wrong = |found: &dyn std::fmt::Display| {
        Error::target(
            path.display().to_string(),
            format!("expected a file to replace, found {found}"),
        )
    };
    match std::fs::metadata(path) {
        Ok(about) if !about.is_file() => Err(wrong(&"a folder or a device")),
        Ok(_) => open::read(path)
            .map(|bytes| Some(String::from_utf8_lossy(&bytes).into_owned()))
            .map_err(|error| wrong(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(&error)),
    }
}

/// The lines that differ, compared by position after the common first and last lines are removed.
fn line_changes(before: &str, after: &str) -> Vec<PlannedChange> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same_start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same_start..], &new[same_start..]);
    let same_end = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old, new) = (&old[..old.len() - same_end], &new[..new.len() - same_end]);
    let line = |number: usize, before: Option<&&str>, after: Option<&&str>| {
        PlannedChange::new(
            format!("line {}", same_start + number + 1),
            before.map(|text| (*text).to_owned()),
            after.map(|text| (*text).to_owned()),
        )
    };
    (0..old.len().max(new.len()))
        .filter(|number| old.get(*number) != new.get(*number))
        .map(|number| line(number, old.get(number), new.get(number)))
        .collect()
}

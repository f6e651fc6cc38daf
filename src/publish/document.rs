//! Targets that are one file: a configuration or a change request of another system, written in one step.
//!
//! Beside it lies the publication that it realises, `NAME.sluice.json`, so that the next run knows what is in force.

use std::path::{Path, PathBuf};

use super::{Address, Change, Inspection, Publication, Target, UserCounts, Wanted, forms::Form};
use crate::{
    error::{Error, Result},
    output,
    progress::Progress,
};

/// A file to write.
pub(super) struct Document {
    form: &'static Form,
    address: Address,
}

impl Document {
    pub(super) fn open(form: &'static Form, address: Address) -> Result<Self> {
        address.allow(form.settings)?;
        Ok(Self { form, address })
    }

    fn path(&self) -> &Path {
        Path::new(&self.address.rest)
    }

    fn publication_path(&self) -> PathBuf {
        let mut name = self.path().as_os_str().to_owned();
        name.push(".sluice.json");
        name.into()
    }

    fn held(&self) -> Result<Option<Publication>> {
        let path = self.publication_path();
        match std::fs::read_to_string(&path) {
            Ok(text) => Publication::from_json(&text, &path.display().to_string()).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::target(path.display().to_string(), format!("expected a readable file, found: {error}"))),
        }
    }
}

impl Target for Document {
    fn place(&self) -> String {
        self.address.to_string()
    }

    fn inspect(&mut self, wanted: &Wanted<'_>, _count: bool, _progress: &Progress) -> Result<Inspection> {
        let after = (self.form.write)(wanted, &self.address)?;
        let before = match std::fs::read_to_string(self.path()) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::target(self.place(), format!("expected a file to replace, found: {error}"))),
        };
        let held = self.held()?;
        let mut changes = Vec::new();
        if before.as_ref() != Some(&after) {
            changes = match &before {
                Some(before) => line_changes(before, &after),
                None => vec![Change::new(self.path().display().to_string(), None, Some(format!("{} lines", after.lines().count())))],
            };
        }
        if held.as_ref() != Some(wanted.publication) {
            let version = held.as_ref().map(|held| held.version.clone());
            changes.push(Change::new(self.publication_path().display().to_string(), version, Some(wanted.publication.version.clone())));
        }
        Ok(Inspection { held, changes, users: None, warnings: (self.form.warnings)(wanted.publication, &self.address) })
    }

    fn apply(&mut self, wanted: &Wanted<'_>, _held: Option<&Publication>, _progress: &Progress) -> Result<Option<UserCounts>> {
        let text = (self.form.write)(wanted, &self.address)?;
        let refused = |error: Error| Error::target(self.place(), error.problems().first().map_or_else(String::new, |p| p.message.clone()));
        output::write_bytes(self.path(), text.as_bytes()).map_err(refused)?;
        output::write_json(&self.publication_path(), wanted.publication).map_err(refused)?;
        Ok(None)
    }
}

/// Lines that differ: those that only one side has, in order, between the first and the last difference.
fn line_changes(before: &str, after: &str) -> Vec<Change> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same_start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same_start..], &new[same_start..]);
    let same_end = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - same_end], &new[..new.len() - same_end]);
    let line = |number: usize, before: Option<&&str>, after: Option<&&str>| {
        Change::new(
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

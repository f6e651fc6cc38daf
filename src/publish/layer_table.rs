//! A layer table by itself, outside of any plan: its publication, and the users who changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::base::error::{Error, FileResult, Result};
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::base::{digest, parallel};
use crate::input::fetch;
#[cfg(feature = "stores")]
use crate::layer::write_gone;
use crate::layer::{LayerFileReader, check_previous, compare, digests_of_changes, write_changed};
use crate::publish::changes::LayerChanges;
use crate::publish::publication::{Publication, PublicationSource};

/// The night before, from which only users who changed are written.
#[derive(Debug, Clone, Copy)]
pub enum LastNight<'a> {
    /// The layer table of the night before.
    Table(&'a Path),
    /// The changes since then, as `sluice layer --changes` writes them.
    Changes(&'a Path),
}

impl PublicationSource {
    /// Opens a layer table to publish it by itself, under a name.
    ///
    /// # Errors
    /// A name that is no id, a file that is not a layer table or has a layer whose id contains `:` or
    /// `|`, or changes that lead to another table.
    pub fn of_layers(
        table: &Path,
        name: &str,
        last_night: Option<LastNight<'_>>,
        progress: &Progress,
    ) -> Result<Self> {
        check_name(name)?;
        check_layers(table)?;
        let found = digest::blake3_of_file(table)?;
        let changes = match last_night {
            None => None,
            Some(LastNight::Table(previous)) => Some(changes_since(previous, table, progress)?),
            Some(LastNight::Changes(path)) => {
                let (base, leads_to) = digests_of_changes(path)?;
                if leads_to != found {
                    let message =
                        format!("expected changes that lead to the table {found}, found {leads_to}");
                    return Err(Error::in_file(path, message)
                        .hint("name the table and the changes that one `sluice layer` wrote"));
                }
                Some(LayerChanges {
                    base,
                    changed: path.to_owned(),
                    gone: None,
                    must_apply: true,
                })
            }
        };
        Ok(Self {
            dir: None,
            publication: Publication::of_layers(name, found, written_at(table)?),
            gate: None,
            layers: Some(table.to_owned()),
            changes,
            manifest: None,
            consent: None,
        })
    }
}

/// Refuses names that are no ids. The name `user` would give users keys that a plan `layers` has.
fn check_name(name: &str) -> Result<()> {
    let is_slug = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if is_slug && name != "user" {
        return Ok(());
    }
    Err(Error::usage(format!(
        "expected a name of ASCII letters, digits, `_`, `-`, `.` other than `user`, found \"{name}\""
    )))
}

/// Reads the table once, and refuses what stores cannot hold.
fn check_layers(path: &Path) -> Result<()> {
    let file = LayerFileReader::open(path)?;
    let check_part = |part| {
        file.read(part, |rows| {
            let layers = (0..rows.len()).map(|row| rows.layers.value(row));
            match layers
                .into_iter()
                .find(|id| id.is_empty() || id.contains([':', '|']))
            {
                None => Ok(()),
                Some(id) => Err(Error::in_file(
                    path,
                    format!("expected ids of layers without `:` and `|`, found \"{id}\""),
                )),
            }
        })
    };
    parallel::map_in_order(file.n_parts(), check_part, |_, ()| Ok(()))
}

/// The users who changed since the table of the night before, and those who are gone.
fn changes_since(previous: &Path, table: &Path, progress: &Progress) -> Result<LayerChanges> {
    check_previous(previous)?;
    let (_, found) = compare(previous, table, progress)?;
    let changed = fetch::private_file("changed.parquet")?;
    write_changed(previous, table, &found, &changed)?;
    Ok(LayerChanges {
        base: digest::blake3_of_file(previous)?,
        changed,
        gone: Some(gone_since(previous, &found)?),
        must_apply: false,
    })
}

#[cfg(feature = "stores")]
fn gone_since(previous: &Path, found: &crate::layer::Changed) -> Result<PathBuf> {
    let gone = fetch::private_file("gone.parquet")?;
    write_gone(previous, found, &gone)?;
    Ok(gone)
}

#[cfg(not(feature = "stores"))]
fn gone_since(previous: &Path, _found: &crate::layer::Changed) -> Result<PathBuf> {
    Ok(previous.to_owned())
}

/// The instant at which a file was written, microseconds UTC.
fn written_at(path: &Path) -> Result<Micros> {
    let written = fs::metadata(path)
        .and_then(|about| about.modified())
        .or_unreadable(path)?;
    let since = written.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Micros::try_from(since.as_micros()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ids_that_no_plan_can_meet() {
        for (name, is_good) in [
            ("layers", true),
            ("nightly-2.eu_1", true),
            ("user", false),
            ("", false),
            ("a:b", false),
            ("a b", false),
            ("层", false),
        ] {
            assert_eq!(check_name(name).is_ok(), is_good, "{name}");
        }
    }
}

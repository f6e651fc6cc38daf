//! The folder of a ramp: its nights, the newest of them, and the lock.

use std::fs::{File, TryLockError};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::base::error::{Error, FileResult, Result};
use crate::base::manifest::file;
use crate::base::open;
use crate::base::time;
use crate::base::time::Micros;
use crate::base::{files, json};
use crate::night::document::NightReport;
use crate::ramp::RampState;

/// Name of the folder of nights.
const NIGHTS: &str = "nights";
/// Name of the link to the newest night.
const CURRENT: &str = "current";
/// Name of the lock file.
const LOCK: &str = ".night.lock";
/// Name of the report of a night, in the night's folder.
const NIGHT: &str = "night.json";
/// Name of the list of messages about nights that did not end.
const MESSAGES: &str = "messages.json";
/// Name of the state before the night's decisions, in the night's folder.
const STATE_BEFORE: &str = "state_before.json";
/// Name of the layer table of the night itself, in the night's folder.
const TONIGHT: &str = "tonight.parquet";

impl Drop for NightFolder {
    /// Removes what the writers of nights leave beside them: the folder's lock keeps others out.
    fn drop(&mut self) {
        for entry in fs::read_dir(Self::nights_of(&self.dir))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            let is_lock = name
                .to_str()
                .is_some_and(|name| name.starts_with('.') && name.ends_with(".lock"));
            if is_lock {
                fs::remove_file(entry.path()).ok();
            }
        }
    }
}

/// The folder of a ramp.
#[derive(Debug)]
pub struct NightFolder {
    dir: PathBuf,
    /// Keeps other jobs out until the value is dropped.
    _lock: File,
}

impl NightFolder {
    /// Opens or creates the folder of a ramp, and keeps other jobs out.
    ///
    /// # Errors
    /// Another job is at work in the folder, or the file system refuses.
    pub fn open(dir: &Path) -> Result<Self> {
        open::create_folders(&dir.join(NIGHTS)).or_unwritable(dir)?;
        let path = dir.join(LOCK);
        let lock = open::lock_file(&path).or_unwritable(&path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                dir: dir.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => {
                let found = "expected to be alone, found another `sluice night` on this folder";
                Err(Error::write(dir, found).hint("wait until it is finished, or choose another --dir"))
            }
            Err(TryLockError::Error(error)) => Err(Error::write(&path, error)),
        }
    }

    /// The folder of nights in the folder of a ramp.
    pub(super) fn nights_of(dir: &Path) -> PathBuf {
        dir.join(NIGHTS)
    }

    /// The name of the night that ends at an instant, such as `2026-05-29T00-00-00Z`.
    pub fn name(as_of: Micros) -> String {
        time::format(as_of).replace(':', "-")
    }

    /// The folder of a night.
    pub fn night(&self, as_of: Micros) -> PathBuf {
        self.named(&Self::name(as_of))
    }

    /// The folder of a night by its name.
    pub fn named(&self, name: &str) -> PathBuf {
        self.dir.join(NIGHTS).join(name)
    }

    /// The layer table of the plan's start.
    pub fn layers(&self) -> PathBuf {
        self.dir.join(file::LAYERS)
    }

    /// The summary of the layer table of the plan's start.
    pub fn layer_summary(&self) -> PathBuf {
        self.dir.join(file::LAYER_SUMMARY)
    }

    /// The state of the ramp.
    pub fn state(&self) -> PathBuf {
        self.dir.join(file::STATE)
    }

    /// The report of a night, in the night's folder.
    pub fn report(night: &Path) -> PathBuf {
        night.join(NIGHT)
    }

    /// The state that the night's decisions started from, in the night's folder.
    pub fn state_before(night: &Path) -> PathBuf {
        night.join(STATE_BEFORE)
    }

    /// The layer table that the night's users give, in the night's folder.
    pub fn tonight(night: &Path) -> PathBuf {
        night.join(TONIGHT)
    }

    /// The messages about nights that did not end, in the folder of a ramp.
    pub(super) fn messages_of(dir: &Path) -> PathBuf {
        dir.join(MESSAGES)
    }

    /// Reads the state of the ramp. `None` before the first night has ended.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_state(&self) -> Result<Option<RampState>> {
        let path = self.state();
        path.exists().then(|| json::read_document(&path)).transpose()
    }

    /// The reports of the nights that are complete on disk, by rising name. A night without a
    /// readable report is left out.
    ///
    /// # Errors
    /// The folder of nights cannot be read.
    pub fn nights(&self) -> Result<Vec<(String, NightReport)>> {
        Self::complete_nights(&self.dir)
    }

    /// As [`Self::nights`], for a reader of the folder of a ramp, who needs no lock.
    ///
    /// # Errors
    /// The folder of nights cannot be read.
    pub(super) fn complete_nights(dir: &Path) -> Result<Vec<(String, NightReport)>> {
        let folder = Self::nights_of(dir);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).or_unreadable(&folder)? {
            let entry = entry.or_unreadable(&folder)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.starts_with('.') || !entry.path().join(file::MANIFEST).exists() {
                continue;
            }
            if let Ok(report) = json::read_document(&Self::report(&entry.path())) {
                found.push((name, report));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// Makes `current` name a night, in one step.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn set_current(&self, as_of: Micros) -> Result<()> {
        let link = self.dir.join(CURRENT);
        let target = Path::new(NIGHTS).join(Self::name(as_of));
        if fs::read_link(&link).is_ok_and(|found| found == target) {
            return Ok(());
        }
        let next = files::beside(&link, "next");
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::write(&next, error)),
            _ => {}
        }
        symlink(&target, &next).or_unwritable(&next)?;
        fs::rename(&next, &link).or_unwritable(&link)
    }

    /// Removes the oldest nights until `keep` are left. The night of `as_of` and those that a pending
    /// change names stay.
    ///
    /// # Errors
    /// A folder cannot be removed.
    pub fn prune(&self, keep: usize, as_of: Micros) -> Result<()> {
        let nights = self.nights()?;
        let n_old = nights.len().saturating_sub(keep.max(1));
        for (name, _) in nights
            .iter()
            .take(n_old)
            .filter(|(name, _)| *name != Self::name(as_of))
        {
            let path = self.named(name);
            // The manifest goes first: a night that is cut off here is no night any more.
            fs::remove_file(path.join(file::MANIFEST)).or_unwritable(&path)?;
            fs::remove_dir_all(&path).or_unwritable(&path)?;
        }
        Ok(())
    }
}

//! A local or mounted folder as a store. Each file is written in one step, the pointer under a
//! lock.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};
use std::{fs, io, thread};

use crate::base::error::{Error, FileResult, Result};
use crate::base::manifest::FileEntry;
use crate::base::{digest, files, open};
use crate::publish::objects::store::Store;

pub(super) struct Folder {
    root: PathBuf,
}

/// The longest time that a rollback waits for a writer under way.
const PATIENCE: Duration = Duration::from_secs(3);

impl Folder {
    pub(super) fn new(path: &str) -> Self {
        Self {
            root: PathBuf::from(path),
        }
    }

    fn failed(&self, name: &str, error: &dyn std::fmt::Display) -> Error {
        Error::target(
            self.root.join(name).display().to_string(),
            format!("expected a readable and writable file, found: {error}"),
        )
    }
}

impl Folder {
    /// Opens the lock file of a small object.
    fn lock(&self, name: &str) -> Result<File> {
        let path = files::beside(&self.root.join(name), "lock");
        open::lock_file(&path).map_err(|error| self.failed(name, &error))
    }
}

/// Turns a "not found" error into `None`.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Turns a file error into an error of the target.
fn refused(error: Error) -> Error {
    match error.problems() {
        [problem] => Error::new(crate::base::error::ErrorKind::Target, problem.clone()),
        _ => error,
    }
}

impl Store for Folder {
    fn read(&self, name: &str) -> Result<Option<(Vec<u8>, String)>> {
        let bytes = there(open::read(&self.root.join(name))).map_err(|error| self.failed(name, &error))?;
        Ok(bytes.map(|bytes| {
            let tag = digest::sha256_of_bytes(&bytes);
            (bytes, tag)
        }))
    }

    fn has(&self, name: &str, entry: &FileEntry) -> Result<bool> {
        let path = self.root.join(name);
        let found = there(fs::metadata(&path)).map_err(|error| self.failed(name, &error))?;
        Ok(found.is_some_and(|found| found.len() == entry.n_bytes)
            && digest::sha256_of_file(&path).map_err(refused)? == entry.digest)
    }

    fn sizes(&self, folder: &str) -> Result<BTreeMap<String, u64>> {
        let path = self.root.join(folder);
        if !path.is_dir() {
            return Ok(BTreeMap::new());
        }
        let mut sizes = BTreeMap::new();
        for name in files::files_below(&path).map_err(refused)? {
            let found = fs::metadata(path.join(&name)).map_err(|error| self.failed(folder, &error))?;
            sizes.insert(name.display().to_string(), found.len());
        }
        Ok(sizes)
    }

    fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(folder)).map_err(|error| self.failed(folder, &error))? {
            let entry = entry.map_err(|error| self.failed(folder, &error))?;
            if entry.path().is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn written(&self, name: &str) -> Result<Option<i64>> {
        let found = there(fs::metadata(self.root.join(name)).and_then(|found| found.modified()))
            .map_err(|error| self.failed(name, &error))?;
        Ok(found.map(|written| {
            written
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
        }))
    }

    fn send(&self, name: &str, path: &Path, _entry: &FileEntry) -> Result<()> {
        let target = self.root.join(name);
        files::write_file(&target, |to| {
            let mut from = open::regular(path).or_unreadable(path)?;
            io::copy(&mut from, to).map(|_| ()).or_unwritable(&target)
        })
        .map_err(refused)
    }

    fn write(&self, name: &str, bytes: Vec<u8>, _entry: &FileEntry) -> Result<()> {
        files::write_bytes(&self.root.join(name), &bytes).map_err(refused)
    }

    fn swap(&self, name: &str, bytes: Vec<u8>, tag: Option<&str>) -> Result<bool> {
        let path = self.root.join(name);
        // A file system has no conditional replacement, so a lock protects the comparison and the
        // write.
        let lock = self.lock(name)?;
        lock.lock().map_err(|error| self.failed(name, &error))?;
        let current = self.read(name)?.map(|(_, tag)| tag);
        let is_same = current.as_deref() == tag;
        if is_same {
            files::write_bytes(&path, &bytes).map_err(refused)?;
        }
        drop(lock);
        Ok(is_same)
    }

    fn replace(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        // A writer that was suspended may hold the lock for ever. A lock that cannot be opened is no
        // reason to leave a candidate open either.
        let lock = self.lock(name).ok();
        let since = Instant::now();
        while lock.as_ref().is_some_and(|lock| lock.try_lock().is_err()) && since.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
        files::write_bytes(&self.root.join(name), &bytes).map_err(refused)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        files::remove_if_there(&path).map_err(refused)?;
        // Parent folders that are now empty are removed too. Other folders stay.
        let mut folder = path.parent();
        while let Some(path) = folder
            .filter(|path| path.starts_with(&self.root) && *path != self.root && fs::remove_dir(path).is_ok())
        {
            folder = path.parent();
        }
        Ok(())
    }
}

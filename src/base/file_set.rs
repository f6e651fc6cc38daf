//! Several files that are written together. Each is written and synced under another name first.
//! Then all are renamed, and the *commit file* is renamed last: it says that the others are whole.
//!
//! A job that is killed before the first rename leaves the previous files. A job that is killed
//! between two renames leaves the commit file old, or removes it before; so the next run with the
//! same inputs writes all files anew. Two jobs that write one set exclude each other.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::files::WriteLock;
use crate::base::{files, open};

/// What happens to the earlier commit file before the other files are renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EarlierCommit {
    /// It stays, because the next run reads it.
    Keep,
    /// It is removed, so that it never stands beside files of another run.
    Remove,
}

/// Files that are being written together.
#[derive(Debug)]
pub(crate) struct FileSet {
    commit: PathBuf,
    /// Keeps other jobs out.
    _lock: WriteLock,
    staged: Vec<StagedFile>,
    is_committed: bool,
}

/// A file of a set before its commit.
#[derive(Debug)]
struct StagedFile {
    /// The name while it is written.
    staged: PathBuf,
    path: PathBuf,
    /// Keeps out other writers of the path; `None` for the commit file, whose lock the set has.
    _lock: Option<WriteLock>,
}

impl FileSet {
    /// Starts a set whose commit file has this path.
    ///
    /// # Errors
    /// When the path is a folder or device, the file system refuses, or another job writes this
    /// set.
    pub(crate) fn begin(commit: &Path) -> Result<Self> {
        files::refuse_other_than_file(commit)?;
        open::create_folders(open::parent_of(commit)).map_err(|error| Error::write(commit, error))?;
        Ok(Self {
            commit: commit.to_owned(),
            _lock: WriteLock::take(commit)?,
            staged: Vec::new(),
            is_committed: false,
        })
    }

    /// Adds a file, and returns the path to write it to. It has the extension of the final name, and
    /// a part that others cannot guess. A file that was added and not written is removed by the
    /// commit.
    ///
    /// # Errors
    /// When the final path is a folder or a device, or another job writes it.
    pub(crate) fn stage(&mut self, path: &Path) -> Result<PathBuf> {
        files::refuse_other_than_file(path)?;
        open::create_folders(open::parent_of(path)).map_err(|error| Error::write(path, error))?;
        let lock = (path != self.commit).then(|| WriteLock::take(path)).transpose()?;
        files::remove_staged(path);
        let staged = files::staged_name(path);
        self.staged.push(StagedFile {
            staged: staged.clone(),
            path: path.to_owned(),
            _lock: lock,
        });
        Ok(staged)
    }

    /// Adds a file with these bytes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn add(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        let staged = self.stage(path)?;
        files::write_bytes(&staged, bytes)
    }

    /// Replaces all files, in the order in which they were added, and the commit file last.
    ///
    /// # Errors
    /// When the file system refuses. If it refuses the first steps, such as on a full disk, all
    /// previous files are unchanged.
    pub(crate) fn commit(mut self, bytes: &[u8], earlier: EarlierCommit) -> Result<()> {
        // The commit file is the last of the set.
        let commit = self.commit.clone();
        self.add(&commit, bytes)?;
        if earlier == EarlierCommit::Remove {
            files::remove_if_there(&commit)?;
        }
        for file in &self.staged {
            let StagedFile { staged, path, .. } = file;
            if staged.exists() {
                files::rename(staged, path)
            } else {
                files::remove_if_there(path)
            }
            .map_err(|error| error.hint("run the command again: it writes all files anew"))?;
        }
        self.is_committed = true;
        Ok(())
    }
}

impl Drop for FileSet {
    fn drop(&mut self) {
        // The locks still hold, so no other job writes these files.
        if !self.is_committed {
            for file in &self.staged {
                fs::remove_file(&file.staged).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_change_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let write = |text: &str, has_notes: bool| {
            let mut set = FileSet::begin(&path("state.json")).unwrap();
            set.add(&path("schedule.json"), text.as_bytes()).unwrap();
            let notes = set.stage(&path("notes.csv")).unwrap();
            if has_notes {
                fs::write(notes, text).unwrap();
            }
            set
        };
        write("1", true).commit(b"1", EarlierCommit::Keep).unwrap();
        assert_eq!(names(dir.path()), ["notes.csv", "schedule.json", "state.json"]);
        // A set without a commit changes nothing, and leaves nothing.
        drop(write("2", true));
        assert_eq!(names(dir.path()), ["notes.csv", "schedule.json", "state.json"]);
        assert_eq!(fs::read_to_string(path("schedule.json")).unwrap(), "1");
        // A file that was not written does not stay from an earlier run.
        write("3", false).commit(b"3", EarlierCommit::Remove).unwrap();
        assert_eq!(names(dir.path()), ["schedule.json", "state.json"]);
        assert_eq!(fs::read_to_string(path("state.json")).unwrap(), "3");
    }

    #[test]
    fn two_jobs_do_not_write_the_same_set() {
        let dir = tempfile::tempdir().unwrap();
        let commit = dir.path().join("state.json");
        let first = FileSet::begin(&commit).unwrap();
        let error = FileSet::begin(&commit).unwrap_err();
        assert!(error.to_string().contains("another sluice process"), "{error}");
        first.commit(b"{}", EarlierCommit::Keep).unwrap();
        FileSet::begin(&commit).unwrap();
        assert_eq!(names(dir.path()), ["state.json"]);
    }
}

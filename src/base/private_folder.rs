//! Private folders for temporary files, in a folder that all users of the machine share.

use rand::TryRng;
use rand::rngs::SysRng;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::base::error::{Error, FileResult, Result};

const LOCK: &str = ".lock";

/// A folder that only its owner can read, with a name that cannot be guessed. It is removed with
/// this value. The folder of a killed run is removed by a later run.
pub(crate) struct PrivateFolder {
    path: PathBuf,
    /// Locked while the folder is in use.
    _lock: File,
}

impl PrivateFolder {
    /// Creates a folder below `parent`, whose name begins with `prefix`. Removes folders of this
    /// prefix that belong to this user and to a run that is over.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub(crate) fn create(parent: &Path, prefix: &str) -> Result<Self> {
        let mut random = [0; 16];
        SysRng
            .try_fill_bytes(&mut random)
            .map_err(|error| Error::write(parent, error.to_string()))?;
        let own = std::process::id();
        let path = parent.join(format!("{prefix}{own}-{:032x}", u128::from_le_bytes(random)));
        // `mkdir` fails if the name exists, also as a link.
        DirBuilder::new().mode(0o700).create(&path).or_unwritable(&path)?;
        let lock = create_file(&path.join(LOCK)).or_unwritable(&path)?;
        lock.lock().or_unwritable(&path)?;
        let user = fs::symlink_metadata(&path).or_unreadable(&path)?.uid();
        for entry in fs::read_dir(parent).or_unreadable(parent)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(prefix) && entry.path() != path {
                remove_stale(&entry.path(), name[prefix.len()..].split('-').next(), user);
            }
        }
        Ok(Self { path, _lock: lock })
    }

    /// The path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // A folder that cannot be removed now is removed by a later run.
        fs::remove_dir_all(&self.path).ok();
    }
}

/// Creates a file that only its owner can read. An existing file or link of the name is an error.
///
/// # Errors
/// The file cannot be created.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Removes a folder of this user whose process is over and whose lock is free. Folders, files and
/// pipes of others stay, and are not opened.
fn remove_stale(path: &Path, process: Option<&str>, user: u32) {
    let is_own = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == user);
    let own = std::process::id().to_string();
    let is_over = process.is_some_and(|process| {
        process == own || !process.is_empty() && !Path::new("/proc").join(process).exists()
    });
    if !is_own || !is_over {
        return;
    }
    // A pipe would block, and a link may lead anywhere.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let lock = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path.join(LOCK));
    let is_free =
        lock.is_ok_and(|lock| lock.metadata().is_ok_and(|found| found.is_file()) && lock.try_lock().is_ok());
    if is_free {
        fs::remove_dir_all(path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn only_the_owner_reads_the_folder_and_its_files() {
        let parent = tempfile::tempdir().unwrap();
        let [a, b] = [(), ()].map(|()| PrivateFolder::create(parent.path(), "t-").unwrap());
        assert_ne!(a.path(), b.path());
        let file = a.path().join("users.csv");
        create_file(&file).unwrap();
        assert_eq!(
            [mode(a.path()), mode(&file), mode(&a.path().join(LOCK))],
            [0o700, 0o600, 0o600]
        );
        assert!(create_file(&file).is_err());
        let target = parent.path().join("target");
        symlink(&target, b.path().join("link")).unwrap();
        assert!(create_file(&b.path().join("link")).is_err());
        drop((a, b));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn folders_of_killed_runs_are_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        // No process has this number.
        for (folder, is_pipe) in [
            ("t-99999999", false),
            ("t-99999998-ab", false),
            ("t-99999997", true),
        ] {
            fs::create_dir(at(folder)).unwrap();
            let lock = at(folder).join(LOCK);
            if is_pipe {
                let made = std::process::Command::new("mkfifo").arg(&lock).status();
                assert!(made.unwrap().success());
            } else {
                fs::write(lock, "").unwrap();
            }
        }
        fs::create_dir(at("t-1")).unwrap();
        fs::write(at("t-1").join(LOCK), "").unwrap();
        fs::write(at("t-99999996"), "").unwrap();
        symlink(at("t-99999999"), at("t-99999995")).unwrap();
        let folder = PrivateFolder::create(parent.path(), "t-").unwrap();
        let stays = |name: &str| fs::symlink_metadata(at(name)).is_ok();
        assert!(!stays("t-99999999") && !stays("t-99999998-ab"));
        assert!(stays("t-99999997"), "its lock is a pipe");
        assert!(stays("t-1"), "its process is there");
        assert!(stays("t-99999996") && stays("t-99999995"), "they are no folders");
        assert!(folder.path().exists());
    }
}

//! Writes files and folders so that a killed job leaves the previous output unchanged. Files get a
//! temporary name, fsync and a rename. Folders are exchanged in one step.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::base::error::{Error, FileResult, Result};
use crate::base::limits::{Limit, read_limited};
use crate::base::open::{FILE_MODE, parent_of, sync_folder};
use crate::base::{advice, open};

/// Writes a file under a temporary name in the same folder, syncs it, and renames it to `path`. A
/// link at `path` is replaced; see [`followed`].
///
/// # Errors
/// When `write` returns an error or the file system refuses an operation. The temporary file is
/// then removed, and the previous file is unchanged.
pub fn write_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let io_error = |error: io::Error| Error::write(path, error);
    let folder = parent_of(path);
    refuse_other_than_file(path)?;
    open::create_folders(folder).map_err(io_error)?;
    let lock = WriteLock::take(path)?;
    let temporary = beside(path, &format!("{}.tmp", open::unguessable()));
    let attempt = || {
        let file = open::create_new(&temporary, FILE_MODE).map_err(io_error)?;
        let mut file = BufWriter::with_capacity(1 << 18, file);
        write(&mut file)?;
        let file = file.into_inner().map_err(|error| io_error(error.into_error()))?;
        file.sync_all().map_err(io_error)?;
        fs::rename(&temporary, path).map_err(io_error)
    };
    let result = attempt();
    if result.is_err() {
        fs::remove_file(&temporary).ok();
    }
    drop(lock);
    result?;
    sync_folder(folder).map_err(io_error)
}

/// Refuses an output path that is a folder or a device.
pub(super) fn refuse_other_than_file(path: &Path) -> Result<()> {
    if path.exists() && !path.is_file() {
        let found = "expected a file or an unused path, found a folder or a device";
        return Err(Error::write(path, found));
    }
    Ok(())
}

/// The error of an output that another process is writing.
fn busy(path: &Path) -> Error {
    Error::write(path, "another sluice process is writing this output now").hint(format!(
        "wait until it is finished, or choose another {}",
        advice::output()
    ))
}

/// The end of the name of a lock.
const LOCK: &str = "tmp.lock";

/// The right to write a file: a lock file beside it, which is removed at the end. The lock ends with
/// its process, so the file of a killed job can be taken over.
#[derive(Debug)]
pub(super) struct WriteLock {
    path: PathBuf,
    _file: File,
}

impl WriteLock {
    /// Takes the lock of a file, and removes the temporary files that a killed job left.
    ///
    /// # Errors
    /// Another process has the lock, or the file system refuses.
    pub(super) fn take(of: &Path) -> Result<Self> {
        let io_error = |error: io::Error| Error::write(of, error);
        let path = beside(of, LOCK);
        loop {
            let is_new = fs::symlink_metadata(&path).is_err();
            let file = open::lock_file(&path).map_err(io_error)?;
            if file.try_lock().is_err() {
                return Err(busy(of));
            }
            // Another process may have removed the file after it was opened and before it was
            // locked.
            let opened = file.metadata().map_err(io_error)?;
            let is_same = |named: fs::Metadata| (named.dev(), named.ino()) == (opened.dev(), opened.ino());
            if fs::symlink_metadata(&path).is_ok_and(is_same) {
                if !is_new {
                    remove_remains(of);
                }
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

/// Removes what a killed job left of a file: its lock, its staged and its temporary files. A file
/// that another process writes now is left alone.
pub(crate) fn clear_remains(of: &Path) {
    if beside(of, LOCK).exists()
        && let Ok(_lock) = WriteLock::take(of)
    {
        remove_staged(of);
    }
}

/// Removes the temporary files of a writer that was killed. What cannot be removed stays.
fn remove_remains(of: &Path) {
    let start = format!(".{}.", file_name(of));
    remove_if(of, |found| {
        let middle = found
            .strip_prefix(&start)
            .and_then(|rest| rest.strip_suffix(".tmp"));
        middle.is_some_and(open::is_unguessable)
    });
}

/// The name of a file while a set is written: `.next.PART.NAME`, where others cannot guess PART.
pub(super) fn staged_name(of: &Path) -> PathBuf {
    parent_of(of).join(format!(".next.{}.{}", open::unguessable(), file_name(of)))
}

/// Removes the files of [`staged_name`] that a killed job left, and the temporary files of their
/// writers. What cannot be removed stays.
pub(super) fn remove_staged(of: &Path) {
    let name = file_name(of);
    remove_if(of, |found| {
        let staged = found.trim_start_matches('.').strip_prefix("next.");
        let behind = staged.and_then(|staged| {
            let (part, rest) = staged.split_once('.')?;
            rest.strip_prefix(&name).filter(|_| open::is_unguessable(part))
        });
        behind
            .is_some_and(|behind| behind.is_empty() || behind.ends_with(".tmp") || behind.ends_with(".lock"))
    });
}

/// Removes the files beside a path whose names are remains.
fn remove_if(of: &Path, is_remain: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(parent_of(of)).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(&is_remain) {
            fs::remove_file(entry.path()).ok();
        }
    }
}

/// The file that a link of the command line leads to; another path as it is. Files of a folder
/// replace links, a file that the user names keeps its link.
///
/// # Errors
/// The link leads nowhere, or in a circle.
pub fn followed(path: &Path) -> Result<PathBuf> {
    if !fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Ok(path.to_owned());
    }
    fs::canonicalize(path).map_err(|_| leads_nowhere(path))
}

fn leads_nowhere(path: &Path) -> Error {
    Error::write(path, "expected a place to write, found a link that leads nowhere")
        .hint(format!("remove the link, or choose another {}", advice::output()))
}

/// Writes bytes with [`write_file`].
///
/// # Errors
/// As [`write_file`].
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_file(path, |file| file.write_all(bytes).or_unwritable(path))
}

/// A folder that is being written. It replaces the final folder in one step, or is removed.
///
/// A lock file beside it keeps a second job from writing the same folder. The lock ends with its
/// process, so a killed job leaves no lock. The lock file stays, because removing it would let two
/// jobs lock two files with the same name.
#[derive(Debug)]
pub struct StagedFolder {
    target: PathBuf,
    staging: PathBuf,
    _lock: File,
    committed: bool,
}

impl StagedFolder {
    /// Starts writing the next version of `target`. Remains of a killed job are removed first.
    ///
    /// `marker` is the name of a file that every finished folder of this kind has. A folder with
    /// other content is never replaced.
    ///
    /// # Errors
    /// When the folder cannot be created, has files that Sluice did not write, or is being written
    /// by another job.
    pub fn begin(target: &Path, marker: &str) -> Result<Self> {
        let io_error = |error: io::Error| Error::write(target, error);
        if target.as_os_str().is_empty() || target.file_name().is_none() {
            return Err(Error::usage(format!(
                "expected {} to name a folder, found `{}`",
                advice::output(),
                target.display()
            )));
        }
        if target.is_file() {
            return Err(Error::write(target, "expected a folder, found a file"));
        }
        // A symbolic link stays a link. The folder that it points to is replaced.
        let resolved = followed(target)?;
        let resolved = fs::canonicalize(&resolved).unwrap_or(resolved);
        let target = resolved.as_path();
        if let Some(foreign) = foreign_file(target, marker) {
            let found = format!(
                "expected an empty folder or an earlier output, found {}, which would be lost",
                foreign.display()
            );
            return Err(Error::write(target, found).hint(format!("choose another {}", advice::output())));
        }
        open::create_folders(parent_of(target)).map_err(io_error)?;
        let lock = open::lock_file(&beside(target, "lock")).map_err(io_error)?;
        if lock.try_lock().is_err() {
            return Err(busy(target));
        }
        restore(target).map_err(io_error)?;
        let staging = beside(target, "partial");
        remove_folder(&staging).map_err(io_error)?;
        open::create_folder(&staging).map_err(io_error)?;
        Ok(Self {
            target: target.to_owned(),
            staging,
            _lock: lock,
            committed: false,
        })
    }

    /// The path of the folder to write into.
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Replaces the final folder by this one, then removes the previous folder.
    ///
    /// # Errors
    /// When the file system refuses an operation. If it refuses the exchange, the previous folder
    /// stays in use.
    pub fn commit(mut self) -> Result<()> {
        let io_error = |error: io::Error| Error::write(&self.target, error);
        sync_tree(&self.staging).map_err(io_error)?;
        if self.target.exists() {
            match renameat_with(CWD, &self.staging, CWD, &self.target, RenameFlags::EXCHANGE) {
                Ok(()) => {}
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
                    exchange_by_renames(&self.staging, &self.target).map_err(io_error)?;
                }
                Err(errno) => return Err(Error::write(&self.target, io::Error::from(errno))),
            }
            remove_folder(&self.staging).map_err(io_error)?;
        } else {
            fs::rename(&self.staging, &self.target).map_err(io_error)?;
        }
        self.committed = true;
        sync_folder(parent_of(&self.target)).or_unwritable(&self.target)
    }
}

impl Drop for StagedFolder {
    fn drop(&mut self) {
        if !self.committed {
            remove_folder(&self.staging).ok();
        }
    }
}

/// Replaces a folder on a file system that cannot exchange two folders. Between the two renames no
/// folder has the final name: a job that is killed there leaves the previous folder beside it, and
/// the next job puts it back; see [`restore`].
fn exchange_by_renames(staging: &Path, target: &Path) -> io::Result<()> {
    let old = beside(target, "old");
    remove_folder(&old)?;
    fs::rename(target, &old)?;
    if let Err(error) = fs::rename(staging, target) {
        restore(target)?;
        return Err(error);
    }
    remove_folder(&old)
}

/// Puts a folder back that [`exchange_by_renames`] moved away and could not replace. What it left
/// beside a finished folder is removed.
fn restore(target: &Path) -> io::Result<()> {
    let old = beside(target, "old");
    match fs::symlink_metadata(&old) {
        Err(_) => Ok(()),
        Ok(found) if found.is_dir() && fs::symlink_metadata(target).is_err() => fs::rename(&old, target),
        // A link at this place is none of Sluice: removing it leaves what it leads to.
        Ok(_) => remove_folder(&old),
    }
}

/// Finds a file that Sluice did not write, according to the folder's marker. The marker is a
/// document of Sluice that lists the folder's files (`manifest.json`, `data.json` or `cube.json`).
/// `None` if Sluice wrote all files.
fn foreign_file(folder: &Path, marker: &str) -> Option<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Marker {
        schema: String,
        #[serde(default)]
        files: std::collections::BTreeMap<String, serde_json::Value>,
    }
    let found = entries_below(folder, true).ok()?;
    let marked: Option<Marker> = open::read(&folder.join(marker))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let own = |name: &Path| match &marked {
        Some(m) if m.schema.starts_with("sluice.") => {
            name == Path::new(marker) || m.files.contains_key(&name.display().to_string())
        }
        _ => false,
    };
    found.into_iter().find(|name| !own(name))
}

/// Makes `copy` a file with the bytes of `original`: a hard link if the file system allows it, else
/// a copy.
///
/// # Errors
/// When the file system refuses both.
pub fn link_or_copy(original: &Path, copy: &Path) -> Result<()> {
    let io_error = |error: io::Error| Error::write(copy, error);
    open::create_folders(parent_of(copy)).map_err(io_error)?;
    // A hard link to a link is a link, and a hard link keeps the permissions of its file.
    let is_plain = |found: fs::Metadata| found.is_file() && found.permissions().mode() & 0o7133 == 0;
    if fs::symlink_metadata(original).is_ok_and(is_plain) && fs::hard_link(original, copy).is_ok() {
        return Ok(());
    }
    let mut from = open::regular(original).or_unreadable(original)?;
    remove_if_there(copy)?;
    let mut to = open::create_new(copy, FILE_MODE).map_err(io_error)?;
    io::copy(&mut from, &mut to).map_err(io_error)?;
    Ok(())
}

/// Reads a file as UTF-8 text, of at most [`Limit::Toml`].
///
/// # Errors
/// When the file cannot be read, is too large, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read_limited(path, Limit::Toml)?).or_unreadable(path)
}

/// Lists every file below a folder, as sorted relative paths. Links to folders are left out: a
/// folder below `folder` is found by its own name, and other folders are none of it.
///
/// # Errors
/// When a folder cannot be listed.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    entries_below(folder, false)
}

/// Lists files, and links to folders if `with_links`, below a folder. No link to a folder is
/// followed, so circles end.
fn entries_below(folder: &Path, with_links: bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(current) = todo.pop() {
        for entry in fs::read_dir(&current).or_unreadable(&current)? {
            let entry = entry.or_unreadable(&current)?;
            let path = entry.path();
            let kind = entry.file_type().or_unreadable(&path)?;
            if kind.is_dir() {
                todo.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder)
                && (with_links || !kind.is_symlink() || !path.is_dir())
            {
                files.push(relative.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Renames a finished file to its final name.
///
/// # Errors
/// When `to` is not a file, or the file system refuses.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    let io_error = |error: io::Error| Error::write(to, error);
    refuse_other_than_file(to)?;
    fs::rename(from, to).map_err(io_error)?;
    sync_folder(parent_of(to)).map_err(io_error)
}

/// Removes a file if it exists.
///
/// # Errors
/// When the file system refuses.
pub fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path, error)),
        _ => Ok(()),
    }
}

/// The path `.name.<suffix>` in the same folder.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    parent_of(path).join(format!(".{}.{suffix}", file_name(path)))
}

/// The name of a file as text; `out` for a path without one.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| "out".into(), |name| name.to_string_lossy().into_owned())
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Syncs every folder of a tree. Its files were synced when they were written.
fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?.path();
        if entry.is_dir() {
            sync_tree(&entry)?;
        }
    }
    sync_folder(path)
}

#[cfg(test)]
mod tests;

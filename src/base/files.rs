//! Writes files and folders so that a killed job leaves the previous output unchanged. Files get a
//! temporary name, fsync and a rename. Folders are exchanged in one step.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::base::at_work;
use crate::base::error::{Error, FileResult, Result};

/// Writes a file under a temporary name in the same folder, syncs it, and renames it to `path`.
///
/// # Errors
/// When `write` returns an error or the file system refuses an operation. The temporary file is
/// then removed, and the previous file is unchanged.
pub fn write_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let io_error = |error: io::Error| Error::write(path, error);
    let folder = parent_of(path);
    if path.exists() && !path.is_file() {
        return Err(Error::write(
            path,
            "expected a file or an unused path, found a folder or a device",
        ));
    }
    fs::create_dir_all(folder).map_err(io_error)?;
    let temporary = beside(path, "tmp");
    let attempt = || {
        let mut file = BufWriter::with_capacity(
            1 << 18,
            lock_file(&temporary)?.ok_or_else(|| {
                Error::write(path, "another sluice process is writing this output now")
                    .hint("wait until it is finished, or choose another --out")
            })?,
        );
        write(&mut file)?;
        let file = file.into_inner().map_err(|error| io_error(error.into_error()))?;
        file.sync_all().map_err(io_error)?;
        fs::rename(&temporary, path).map_err(io_error)?;
        sync_folder(folder).map_err(io_error)
    };
    let result = attempt();
    if result.is_err() && !is_locked(&temporary) {
        fs::remove_file(&temporary).ok();
    }
    result
}

/// Opens and empties a temporary file for this process alone. `None` if another process is writing
/// it. The lock ends with its process, so the file of a killed job can be taken over.
fn lock_file(path: &Path) -> Result<Option<File>> {
    let io_error = |error: io::Error| Error::write(path, error);
    loop {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path)
            .map_err(io_error)?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        // Another process may have renamed the file after it was opened and before it was locked.
        // Then it must not be written here.
        let opened = file.metadata().map_err(io_error)?;
        if fs::metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino())) {
            file.set_len(0).map_err(io_error)?;
            return Ok(Some(file));
        }
    }
}

/// Whether another process is writing a temporary file.
fn is_locked(path: &Path) -> bool {
    OpenOptions::new()
        .write(true)
        .open(path)
        .is_ok_and(|file| file.try_lock().is_err())
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
                "expected --out to name a folder, found `{}`",
                target.display()
            )));
        }
        if target.is_file() {
            return Err(Error::write(target, "expected a folder, found a file"));
        }
        // A symbolic link stays a link. The folder that it points to is replaced.
        let resolved = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let target = resolved.as_path();
        if let Some(foreign) = foreign_file(target, marker) {
            let found = format!(
                "expected an empty folder or an earlier output, found {}, which would be lost",
                foreign.display()
            );
            return Err(Error::write(target, found).hint("choose another --out"));
        }
        fs::create_dir_all(parent_of(target)).map_err(io_error)?;
        let lock = create_file(&beside(target, "lock")).map_err(io_error)?;
        if lock.try_lock().is_err() {
            return Err(
                Error::write(target, "another sluice process is writing this output now")
                    .hint("wait until it is finished, or choose another --out"),
            );
        }
        let staging = beside(target, "partial");
        remove_folder(&staging).map_err(io_error)?;
        fs::create_dir(&staging).map_err(io_error)?;
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
                // The file system has no exchange, so two renames are used. Between them, no folder
                // has the final name.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
                    let old = beside(&self.target, "old");
                    remove_folder(&old).map_err(io_error)?;
                    fs::rename(&self.target, &old).map_err(io_error)?;
                    fs::rename(&self.staging, &self.target).map_err(io_error)?;
                    remove_folder(&old).map_err(io_error)?;
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
    let found = files_below(folder).ok()?;
    let marked: Option<Marker> = fs::read(folder.join(marker))
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
    fs::create_dir_all(parent_of(copy)).map_err(io_error)?;
    if fs::hard_link(original, copy).is_err() {
        fs::copy(original, copy).map_err(io_error)?;
    }
    Ok(())
}

/// Reads a file as UTF-8 text.
///
/// # Errors
/// When the file cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    at_work::note(path);
    fs::read_to_string(path).or_unreadable(path)
}

/// Lists every file below a folder, as sorted relative paths.
///
/// # Errors
/// When a folder cannot be listed.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(current) = todo.pop() {
        for entry in fs::read_dir(&current).or_unreadable(&current)? {
            let path = entry.or_unreadable(&current)?.path();
            if path.is_dir() {
                todo.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                files.push(relative.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Creates or empties a file that only its owner may write. The umask decides whether others may
/// read it.
fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(path)
}

/// The folder of a path; `.` for a bare file name.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Refuses to write a file that is also read, or two files with the same name.
///
/// # Errors
/// When an output is an input, is inside of an input folder, or is named twice.
pub fn keep_apart(read: &[PathBuf], written: &[&Path]) -> Result<()> {
    // A file that does not exist yet is identified by its folder and name.
    let real = |path: &Path| {
        let folder = fs::canonicalize(parent_of(path)).unwrap_or_else(|_| parent_of(path).to_owned());
        fs::canonicalize(path).unwrap_or_else(|_| folder.join(path.file_name().unwrap_or_default()))
    };
    let reads: Vec<PathBuf> = read.iter().map(|path| real(path)).collect();
    for (idx, path) in written.iter().enumerate() {
        let target = real(path);
        if reads.contains(&target) {
            return Err(Error::usage(format!(
                "expected --out to differ from the input, found {} for both",
                path.display()
            )));
        }
        if let Some(inside) = reads
            .iter()
            .find(|read| read.is_dir() && target.starts_with(read))
        {
            let found = format!(
                "expected the output outside of the input folder {}, found {}",
                inside.display(),
                path.display()
            );
            return Err(Error::usage(found).hint("the next run would read them as input"));
        }
        if written[..idx].iter().any(|other| real(other) == target) {
            return Err(Error::usage(format!(
                "expected different files to write, found {} twice",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Renames a finished file to its final name.
///
/// # Errors
/// When `to` is not a file, or the file system refuses.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    let io_error = |error: io::Error| Error::write(to, error);
    if to.exists() && !to.is_file() {
        return Err(Error::write(
            to,
            "expected a file or an unused path, found a folder or a device",
        ));
    }
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
    let name = path
        .file_name()
        .map_or_else(|| "out".into(), |name| name.to_string_lossy().into_owned());
    parent_of(path).join(format!(".{name}.{suffix}"))
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
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

//! Opens files of others without surprises: inputs must be regular files, and locks and temporary
//! files never follow a link.

use rustix::fs::OFlags;
use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::base::at_work;

/// The permissions of files that Sluice writes, less those of the umask.
pub(crate) const FILE_MODE: u32 = 0o644;
/// The permissions of folders that Sluice makes, less those of the umask.
const FOLDER_MODE: u32 = 0o755;

/// Opens a regular file for reading. Links are followed.
///
/// # Errors
/// The file cannot be opened, or is a folder, a named pipe, a socket or a device, which could wait
/// for ever or have no end.
pub(crate) fn regular(path: &Path) -> io::Result<File> {
    at_work::note(path);
    // Opening a device can have effects, so the name is looked at first. The open file is looked at
    // too, because the name may lead elsewhere by then.
    refuse_special(&fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NONBLOCK | OFlags::NOCTTY))
        .open(path)?;
    refuse_special(&file.metadata()?)?;
    Ok(file)
}

/// Reads a regular file.
///
/// # Errors
/// As [`regular`], and what reading it gives.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = regular(path)?;
    let mut bytes = Vec::with_capacity(file.metadata().map_or(0, |found| found.len() as usize));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a regular file as UTF-8 text.
///
/// # Errors
/// As [`read`], and bytes that are not UTF-8.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
}

fn refuse_special(found: &fs::Metadata) -> io::Result<()> {
    const IS_A_DIRECTORY: i32 = 21;
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(io::Error::from_raw_os_error(IS_A_DIRECTORY));
    }
    let what = if kind.is_fifo() {
        "a named pipe, expected a regular file"
    } else if kind.is_socket() {
        "a socket, expected a regular file"
    } else {
        "a device, expected a regular file"
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Opens a lock file, and creates it if it does not exist. It is not locked yet, and never changed.
///
/// # Errors
/// The file cannot be opened, or is a link or no regular file.
pub(crate) fn lock_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY))
        .open(path)
        .map_err(|error| match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => {
                let text = format!("a link at the place of the lock {}", path.display());
                io::Error::new(io::ErrorKind::InvalidInput, text)
            }
            Ok(found) => refuse_special(&found).err().unwrap_or(error),
            Err(_) => error,
        })?;
    refuse_special(&file.metadata()?)?;
    Ok(file)
}

/// Opens a file for appending, and creates it if it does not exist. A link at its place is an error.
///
/// # Errors
/// The file cannot be opened, or is a link or no regular file.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY))
        .open(path)?;
    refuse_special(&file.metadata()?)?;
    Ok(file)
}

/// Creates a file that did not exist before, for writing. A link at its place is an error.
///
/// # Errors
/// The file exists, or the file system refuses.
pub(crate) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(mode)
        .custom_flags(flags(OFlags::NOFOLLOW))
        .open(path)
}

/// Creates a file without a name in a folder, for its owner only. The kernel frees it when the job
/// ends, even if the job is killed.
///
/// # Errors
/// When the file system refuses.
pub(crate) fn nameless(folder: &Path) -> io::Result<File> {
    let unnamed = OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(flags(OFlags::TMPFILE))
        .open(folder);
    if let Ok(file) = unnamed {
        return Ok(file);
    }
    // The file system has no files without names: the name is removed at once.
    let path = folder.join(format!(".{}.spill", unguessable()));
    let file = create_new(&path, 0o600)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// A part of a file's name that others cannot guess: 16 hexadecimal digits.
pub(crate) fn unguessable() -> String {
    // The keys of the hash are random in each process.
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// Whether a text has the form of [`unguessable`].
pub(crate) fn is_unguessable(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Creates a folder and those above it, and syncs the folder of each new one.
///
/// # Errors
/// When the file system refuses.
pub(crate) fn create_folders(path: &Path) -> io::Result<()> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut current = path;
    while !current.as_os_str().is_empty() && !current.is_dir() {
        missing.push(current.to_owned());
        current = current.parent().unwrap_or(Path::new(""));
    }
    for folder in missing.iter().rev() {
        match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
            // Another process may have made it.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => {
                return Err(error);
            }
            _ => {}
        }
        match sync_folder(parent_of(folder)) {
            // A folder that cannot be listed cannot be synced.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Creates one folder that did not exist before.
///
/// # Errors
/// The folder exists, or the file system refuses.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER_MODE).create(path)
}

/// Writes a folder's names to the disk.
///
/// # Errors
/// When the folder cannot be opened, or the disk fails.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The folder of a path; `.` for a bare file name.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        symlink(at("file"), at("link")).unwrap();
        let fifo = std::process::Command::new("mkfifo")
            .arg(at("fifo"))
            .status()
            .unwrap();
        assert!(fifo.success());
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let check = |path: &Path, read_as: Option<&str>, locks: bool| {
            let found = read_to_string(path);
            assert_eq!(found.as_deref().ok(), read_as, "{}", path.display());
            assert_eq!(lock_file(path).is_ok(), locks, "{}", path.display());
        };
        check(&at("file"), Some("text"), true);
        check(&at("link"), Some("text"), false);
        check(&at("fifo"), None, false);
        check(&at("socket"), None, false);
        check(dir.path(), None, false);
        check(Path::new("/dev/zero"), None, false);
        check(&at("new"), None, true);
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "text");
        assert!(create_new(&at("link"), FILE_MODE).is_err());
    }

    #[test]
    fn nameless_files_have_no_name_and_names_cannot_be_guessed() {
        let dir = tempfile::tempdir().unwrap();
        let _file = nameless(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(is_unguessable(&unguessable()) && unguessable() != unguessable());
    }
}

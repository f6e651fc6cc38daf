//! Inputs in an object store. Each is copied once per run into a temporary folder, which is removed
//! at the end of the run.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use crate::base::error::{Error, ErrorKind, FileResult, Problem, Result};
use crate::base::lock::lock;
use crate::base::url::is_url;

/// The inputs that were fetched, by URL.
static FETCHED: Mutex<Option<Fetched>> = Mutex::new(None);

struct Fetched {
    folder: PathBuf,
    /// Locked while the folder is in use. A folder with a free lock belongs to a run that was
    /// killed.
    _lock: File,
    sources: BTreeMap<String, Fetch>,
}

struct Fetch {
    /// The folder that contains the files.
    root: PathBuf,
    /// Whether the URL names a folder. Then file names are relative to it.
    is_folder: bool,
    files: Vec<(PathBuf, String)>,
}

fn fetched() -> MutexGuard<'static, Option<Fetched>> {
    lock(&FETCHED)
}

/// Returns local copies of the objects behind a URL, sorted by name: one object, all readable
/// objects below a folder, or the matches of a glob. The first call downloads them.
///
/// # Errors
/// There is no such object, or the store cannot be reached.
pub(crate) fn fetch(url: &Path) -> Result<Vec<PathBuf>> {
    let url = url.to_string_lossy().into_owned();
    let mut state = fetched();
    if state
        .as_ref()
        .is_none_or(|state| !state.sources.contains_key(&url))
    {
        let state = match &mut *state {
            Some(state) => state,
            none => none.insert(begin()?),
        };
        let root = state.folder.join(state.sources.len().to_string());
        // The failed object is an input here, so the error is an input error and not a target
        // error.
        let wrong = |error: Error| match error.problems() {
            [problem] if error.kind() == ErrorKind::Target => Error::new(ErrorKind::Input, problem.clone()),
            _ => error,
        };
        let fetch = download(&url, &root).map_err(wrong)?;
        state.sources.insert(url.clone(), fetch);
    }
    let files = state
        .as_ref()
        .and_then(|state| state.sources.get(&url))
        .map(|fetch| fetch.files.iter().map(|(path, _)| path.clone()).collect());
    Ok(files.unwrap_or_default())
}

/// Returns a path to read: the path itself, or the local copy of the object behind a URL.
///
/// # Errors
/// The same as for [`fetch`]. Also if the URL matches several objects.
pub(crate) fn local_file(path: &Path) -> Result<PathBuf> {
    if !is_url(path) {
        return Ok(path.to_owned());
    }
    let mut files = fetch(path)?;
    match (files.pop(), files.len()) {
        (Some(file), 0) => Ok(file),
        (_, n) => Err(Error::in_file(
            path,
            format!("expected one object, found {}", n + 1),
        )),
    }
}

/// Returns the path of a file in the folder of this run, which only its user may read and which is
/// removed at the end.
///
/// # Errors
/// The folder cannot be made.
pub(crate) fn private_file(name: &str) -> Result<PathBuf> {
    let mut state = fetched();
    let state = match &mut *state {
        Some(state) => state,
        none => none.insert(begin()?),
    };
    Ok(state.folder.join(name))
}

/// Returns the local folder of a URL that names a folder. `None` for other URLs.
pub(crate) fn local_root(url: &Path) -> Option<PathBuf> {
    let state = fetched();
    let fetch = state.as_ref()?.sources.get(url.to_str()?)?;
    fetch.is_folder.then(|| fetch.root.clone())
}

/// Replaces the names of local copies in an error by their URLs.
pub(crate) fn named_as_asked(error: Error) -> Error {
    let state = fetched();
    let Some(state) = &*state else { return error };
    let mut names: Vec<(String, &str)> = state
        .sources
        .values()
        .flat_map(|fetch| &fetch.files)
        .map(|(path, url)| (path.display().to_string(), url.as_str()))
        .collect();
    // Longer names are replaced first, because a shorter one may be a part of them.
    names.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    let rename = |text: &str| {
        names.iter().fold(text.to_owned(), |text, (path, url)| {
            text.replace(path.as_str(), url)
        })
    };
    let mut problems = error.problems().iter().map(|problem| Problem {
        location: rename(&problem.location),
        message: rename(&problem.message),
        hint: problem.hint.as_deref().map(rename),
    });
    let Some(first) = problems.next() else {
        return error;
    };
    problems.fold(Error::new(error.kind(), first), Error::and)
}

/// Removes the local copies of this run.
pub(crate) fn remove_fetched() {
    if let Some(state) = fetched().take() {
        // A folder that cannot be removed now is removed by a later run.
        fs::remove_dir_all(&state.folder).ok();
    }
}

const FOLDER: &str = "sluice-inputs-";
const LOCK: &str = ".lock";

/// Makes a folder for this run, and removes the folders of runs that were killed.
fn begin() -> Result<Fetched> {
    let parent = std::env::temp_dir();
    let own = std::process::id().to_string();
    for entry in fs::read_dir(&parent).or_unreadable(&parent)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.strip_prefix(FOLDER) else {
            continue;
        };
        let is_over = process == own || !Path::new("/proc").join(process).exists();
        if is_over && File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok()) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
    let folder = parent.join(format!("{FOLDER}{own}"));
    let failed = |error| Error::write(&folder, error);
    fs::create_dir(&folder).map_err(failed)?;
    let lock = File::create(folder.join(LOCK)).map_err(failed)?;
    lock.lock().map_err(failed)?;
    Ok(Fetched {
        folder,
        _lock: lock,
        sources: BTreeMap::new(),
    })
}

#[cfg(not(feature = "stores"))]
fn download(url: &str, _root: &Path) -> Result<Fetch> {
    Err(
        Error::usage(format!("expected a path that this build can read, found {url}"))
            .hint("build with `--features stores`, which is in the default features"),
    )
}

#[cfg(feature = "stores")]
fn download(url: &str, root: &Path) -> Result<Fetch> {
    use crate::base::objects::bucket::{Bucket, Location};
    use crate::input::format::Format;
    use std::path::Component;

    let wrong = |message: &str| Error::input(url, message);
    let (location, key) = Location::parse(url.trim_start_matches("s3://"))?;
    let bucket = Bucket::open(&location)?;
    let is_hidden = |below: &str| below.split('/').any(|segment| segment.starts_with(['.', '_']));
    let folder = key.trim_end_matches('/');
    let (base, is_folder, objects) = if key.contains(['*', '?', '[']) {
        let pattern =
            glob::Pattern::new(&key).map_err(|error| wrong(&format!("expected a glob, found: {error}")))?;
        let plain: Vec<&str> = key
            .split('/')
            .take_while(|segment| !segment.contains(['*', '?', '[']))
            .collect();
        let base = plain.join("/");
        let depth = if key.contains("**") {
            usize::MAX
        } else {
            key.split('/').count() - plain.len() - 1
        };
        let options = glob::MatchOptions {
            require_literal_separator: true,
            ..glob::MatchOptions::default()
        };
        let mut objects = bucket.list_below(&base, depth)?;
        objects.retain(|object| pattern.matches_with(&object.key, options));
        (base, false, objects)
    } else if let Some(object) = if key.is_empty() || key.ends_with('/') {
        None
    } else {
        bucket.head(&key)?
    } {
        (
            folder
                .rsplit_once('/')
                .map_or_else(String::new, |(folder, _)| folder.to_owned()),
            false,
            vec![object],
        )
    } else {
        let mut objects = bucket.list_below(folder, usize::MAX)?;
        objects.retain(|object| {
            let below = object.key[folder.len()..].trim_start_matches('/');
            !is_hidden(below) && Format::by_path(Path::new(below)).is_some()
        });
        (folder.to_owned(), true, objects)
    };
    if objects.is_empty() {
        return Err(wrong(
            "expected an object, a folder with Parquet, CSV or NDJSON objects, or a glob that matches an object, found none",
        ));
    }
    let mut files = Vec::new();
    for object in objects {
        let below = Path::new(object.key[base.len()..].trim_start_matches('/'));
        if !below
            .components()
            .all(|component| matches!(component, Component::Normal(_)))
        {
            return Err(wrong(&format!(
                "expected keys that can be names of files, found {:?}",
                object.key
            )));
        }
        let path = root.join(below);
        let parent = path.parent().unwrap_or(root);
        fs::create_dir_all(parent).or_unwritable(parent)?;
        bucket.fetch(&object, &path)?;
        files.push((path, format!("s3://{}/{}", location.bucket, object.key)));
    }
    files.sort();
    Ok(Fetch {
        root: root.to_owned(),
        is_folder,
        files,
    })
}

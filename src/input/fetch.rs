//! Inputs in an object store, and standard input. Each is copied once per run into a private temporary
//! folder, which is removed at the end of the run.

use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::{fs, io};

use crate::base::error::{Error, ErrorKind, FileResult, Problem, Result};
use crate::base::lock::lock;
#[cfg(feature = "stores")]
use crate::base::objects::{Bucket, ObjectInfo, SkippedKeys};
use crate::base::private_folder::{PrivateFolder, create_file};
use crate::base::url::is_url;
use crate::input::content::{Content, HEAD, text_kind};
#[cfg(feature = "stores")]
use crate::input::format::Format;

/// The path that stands for standard input.
pub(crate) const STDIN: &str = "-";

/// The inputs that were fetched, by URL.
static FETCHED: Mutex<Option<Fetched>> = Mutex::new(None);

struct Fetched {
    folder: PrivateFolder,
    sources: BTreeMap<String, Fetch>,
}

/// The copies of the objects behind one URL.
struct Fetch {
    /// Whether the URL names a folder. Then file names are relative to it.
    is_folder: bool,
    files: Vec<Copied>,
    /// Objects that were not copied.
    warnings: Vec<String>,
}

/// A copy of an object.
struct Copied {
    path: PathBuf,
    url: String,
    /// The key below the folder or the constant part of a glob.
    name: PathBuf,
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
        let state = begun(&mut state)?;
        let root = state.folder.path().join(state.sources.len().to_string());
        // The failed object is an input here, so the error is an input error and not a target
        // error.
        let wrong = |error: Error| match error.problems() {
            [problem] if error.kind() == ErrorKind::Target => Error::new(ErrorKind::Input, problem.clone()),
            _ => error,
        };
        let fetch = if url == STDIN {
            spool(&root, &mut io::stdin().lock())?
        } else {
            download(&url, &root).map_err(wrong)?
        };
        state.sources.insert(url.clone(), fetch);
    }
    let files = state
        .as_ref()
        .and_then(|state| state.sources.get(&url))
        .map(|fetch| fetch.files.iter().map(|copied| copied.path.clone()).collect());
    Ok(files.unwrap_or_default())
}

/// The folder and the copies of this run, which begin with the first call.
fn begun(state: &mut Option<Fetched>) -> Result<&mut Fetched> {
    match state {
        Some(state) => Ok(state),
        none => Ok(none.insert(Fetched {
            folder: PrivateFolder::create(&std::env::temp_dir(), FOLDER)?,
            sources: BTreeMap::new(),
        })),
    }
}

/// Returns a path to read: the path itself, or the local copy of the object behind a URL.
///
/// # Errors
/// The same as for [`fetch`]. Also if the URL matches several objects.
pub(crate) fn local_file(path: &Path) -> Result<PathBuf> {
    if !is_url(path) && path != Path::new(STDIN) {
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
    Ok(begun(&mut state)?.folder.path().join(name))
}

/// Returns a private file that `make` writes in the first call, such as the result of a query. `called`
/// is its name in documents, `shown` stands for its path in messages.
///
/// # Errors
/// The file cannot be made.
pub(crate) fn made(
    name: &str,
    called: &str,
    shown: &str,
    make: &dyn Fn(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let path = private_file(name)?;
    // The lock is not held while the file is made, because that may fetch other inputs.
    if fetched()
        .as_ref()
        .is_some_and(|state| state.sources.contains_key(name))
    {
        return Ok(path);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).or_unwritable(folder)?;
    }
    make(&path)?;
    let copied = Copied {
        path: path.clone(),
        url: shown.to_owned(),
        name: PathBuf::from(called),
    };
    let fetch = Fetch {
        is_folder: true,
        files: vec![copied],
        warnings: Vec::new(),
    };
    begun(&mut fetched())?.sources.insert(name.to_owned(), fetch);
    Ok(path)
}

/// Returns the name of a copy below the folder that its URL names. `None` for other files.
pub(crate) fn name_below(copy: &Path) -> Option<PathBuf> {
    name_of_copy(copy, |fetch| fetch.is_folder)
}

/// Returns the name of a copy below the folder, or below the constant part of the glob, that its URL
/// names. `None` for other files.
pub(crate) fn below(copy: &Path) -> Option<PathBuf> {
    name_of_copy(copy, |_| true)
}

fn name_of_copy(copy: &Path, is_looked_at: impl Fn(&Fetch) -> bool) -> Option<PathBuf> {
    let state = fetched();
    let fetches = state
        .as_ref()?
        .sources
        .values()
        .filter(|fetch| is_looked_at(fetch));
    // Copies are numbered in the order of their paths.
    let mut found = fetches.filter_map(|fetch| {
        let idx = fetch
            .files
            .binary_search_by(|copied| copied.path.as_path().cmp(copy));
        Some(&fetch.files[idx.ok()?].name)
    });
    found.next().cloned()
}

/// Returns a warning for the objects behind a URL that were not copied.
pub(crate) fn warnings(url: &Path) -> Vec<String> {
    let state = fetched();
    let fetch = state
        .as_ref()
        .zip(url.to_str())
        .and_then(|(state, url)| state.sources.get(url));
    fetch.map_or_else(Vec::new, |fetch| fetch.warnings.clone())
}

/// Replaces the names of local copies in an error by their URLs.
pub(crate) fn named_as_asked(error: Error) -> Error {
    let state = fetched();
    let Some(state) = &*state else { return error };
    let mut names: Vec<(String, &str)> = state
        .sources
        .values()
        .flat_map(|fetch| &fetch.files)
        .map(|copied| (copied.path.display().to_string(), copied.url.as_str()))
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
    drop(fetched().take());
}

const FOLDER: &str = "sluice-inputs-";

/// Copies standard input into a private file, whose name shows the format of the content.
fn spool(root: &Path, input: &mut dyn Read) -> Result<Fetch> {
    let at = Path::new(STDIN);
    let mut head = Vec::new();
    input.take(HEAD as u64).read_to_end(&mut head).or_unreadable(at)?;
    if head.is_empty() {
        return Err(Error::in_file(
            at,
            "expected rows on standard input, found nothing",
        ));
    }
    let ending = stream_ending(&head)?;
    fs::create_dir_all(root).or_unwritable(root)?;
    let path = root.join(format!("stdin.{ending}"));
    let mut file = create_file(&path).or_unwritable(&path)?;
    io::copy(&mut head.as_slice().chain(input), &mut file).or_unwritable(&path)?;
    let copied = Copied {
        path,
        url: STDIN.to_owned(),
        name: PathBuf::from(STDIN),
    };
    Ok(Fetch {
        is_folder: true,
        files: vec![copied],
        warnings: Vec::new(),
    })
}

/// The extension of a file with this start.
fn stream_ending(head: &[u8]) -> Result<String> {
    let unpacked = |reader: &mut dyn Read| {
        let mut text = Vec::new();
        // The start of the text is enough, and its end is often cut off.
        reader.take(HEAD as u64).read_to_end(&mut text).ok();
        text
    };
    let text_of = |packing: &str, text: &[u8]| format!("{}.{packing}", text_kind(text));
    let Some(content) = Content::of_bytes(head) else {
        return Ok(text_kind(head).to_owned());
    };
    Ok(match content {
        Content::Parquet => "parquet".to_owned(),
        Content::Arrow | Content::ArrowStream => "arrow".to_owned(),
        Content::Gzip => text_of("gz", &unpacked(&mut MultiGzDecoder::new(head))),
        Content::Zstd => {
            let mut reader = zstd::stream::read::Decoder::new(head).or_unreadable(Path::new(STDIN))?;
            text_of("zst", &unpacked(&mut reader))
        }
        other => {
            let error = Error::in_file(
                Path::new(STDIN),
                format!("expected Parquet, Arrow, CSV or JSON, found {}", other.name()),
            );
            let remedy = other.remedy(Path::new("input"));
            return Err(remedy.into_iter().fold(error, Error::hint));
        }
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
    use crate::base::objects::Location;

    let (location, key) = Location::parse(url.trim_start_matches("s3://"))?;
    let bucket = Bucket::open(&location)?;
    let mut found = objects_of(&bucket, url, &key)?;
    if found.objects.is_empty() {
        return Err(Error::input(
            url,
            "expected an object, a folder with Parquet, Arrow, CSV or JSON objects, or a glob that matches an object, \
             found none",
        ));
    }
    let name_of = |key: &str| PathBuf::from(key[found.base.len()..].trim_start_matches('/'));
    found.objects.sort_by_cached_key(|object| name_of(&object.key));
    let mut files = Vec::new();
    for (idx, object) in found.objects.iter().enumerate() {
        // A folder for each copy: one key may be the folder of another, and a key may be longer than a
        // path. The numbers keep the order of the names.
        let name = name_of(&object.key);
        let folder = root.join(format!("{idx:09}"));
        fs::create_dir_all(&folder).or_unwritable(&folder)?;
        let path = folder.join(short_name(&name));
        bucket.fetch(object, &path)?;
        let url = format!("s3://{}/{}", location.bucket, object.key);
        files.push(Copied { path, url, name });
    }
    Ok(Fetch {
        is_folder: found.is_folder,
        files,
        warnings: warnings_of(url, &bucket.take_skipped()),
    })
}

/// The objects behind a URL.
#[cfg(feature = "stores")]
struct Found {
    objects: Vec<ObjectInfo>,
    /// The part of the keys that names of files leave out. All keys begin with it.
    base: String,
    is_folder: bool,
}

#[cfg(feature = "stores")]
fn objects_of(bucket: &Bucket, url: &str, key: &str) -> Result<Found> {
    let folder = key.trim_end_matches('/');
    if key.contains(['*', '?', '[']) {
        return matches_of(bucket, url, key);
    }
    let is_folder = key.is_empty() || key.ends_with('/');
    if let Some(object) = if is_folder { None } else { bucket.head(key)? } {
        let base = folder.rsplit_once('/').map_or("", |(folder, _)| folder);
        return Ok(Found {
            objects: vec![object],
            base: base.to_owned(),
            is_folder: false,
        });
    }
    let is_hidden = |below: &str| below.split('/').any(|part| part.starts_with(['.', '_']));
    let mut objects = bucket.list_below(folder, usize::MAX)?;
    objects.retain(|object| {
        let below = object.key[folder.len()..].trim_start_matches('/');
        !is_hidden(below) && Format::by_path(Path::new(below)).is_some()
    });
    Ok(Found {
        objects,
        base: folder.to_owned(),
        is_folder: true,
    })
}

/// The objects that match a glob.
#[cfg(feature = "stores")]
fn matches_of(bucket: &Bucket, url: &str, key: &str) -> Result<Found> {
    let pattern = glob::Pattern::new(key)
        .map_err(|error| Error::input(url, format!("expected a glob, found: {error}")))?;
    let plain: Vec<&str> = key
        .split('/')
        .take_while(|part| !part.contains(['*', '?', '[']))
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
    Ok(Found {
        objects,
        base,
        is_folder: false,
    })
}

/// The end of a key as the name of its copy, with its extension. Names of files have at most 255
/// bytes.
#[cfg(feature = "stores")]
fn short_name(key: &Path) -> String {
    const MAX_NAME: usize = 200;
    let name = key.file_name().unwrap_or_default().to_string_lossy();
    let start = name.ceil_char_boundary(name.len().saturating_sub(MAX_NAME));
    name[start..].to_owned()
}

#[cfg(feature = "stores")]
fn warnings_of(url: &str, skipped: &SkippedKeys) -> Vec<String> {
    if skipped.n == 0 {
        return Vec::new();
    }
    let examples: Vec<String> = skipped.examples.iter().map(|key| format!("{key:?}")).collect();
    vec![format!(
        "{url}: {} listed keys are not read: they are not below the address, or have an empty part, `.`, `..` \
         or a control character: {}",
        skipped.n,
        examples.join(", ")
    )]
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "stores")]
    #[test]
    fn copies_have_short_names_with_their_extensions() {
        use super::short_name;
        use std::path::Path;

        let check = |key: &str, expected: &str| assert_eq!(short_name(Path::new(key)), expected);
        check("a/b.csv", "b.csv");
        check("用.csv.gz", "用.csv.gz");
        let long = format!("a/{}.parquet", "用".repeat(300));
        let short = short_name(Path::new(&long));
        assert!(short.len() <= 200 && short.ends_with("用.parquet"), "{short}");
    }
}

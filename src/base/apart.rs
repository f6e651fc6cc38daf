//! Keeps the files that a command writes apart from those that it reads: nothing that is read is
//! ever written.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::base::error::{Error, Result};
use crate::base::open::parent_of;
use crate::base::url;

/// The files and folders that a command reads and writes.
#[derive(Debug, Clone, Default)]
pub struct Apart {
    reads: Vec<PathBuf>,
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// The identity of a file or folder: its device and inode.
type Identity = (u64, u64);

impl Apart {
    /// Nothing read and nothing written.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds inputs: files, folders and globs. URLs and `-`, standard input, are no files, and left out.
    #[must_use]
    pub fn reads<P: AsRef<Path>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        let paths = paths.into_iter().map(|path| path.as_ref().to_owned());
        self.reads
            .extend(paths.filter(|path| !url::is_url(path) && path != Path::new("-")));
        self
    }

    /// Adds files that are written.
    #[must_use]
    pub fn writes<P: AsRef<Path>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.files
            .extend(paths.into_iter().map(|path| path.as_ref().to_owned()));
        self
    }

    /// Adds folders that are replaced as a whole.
    #[must_use]
    pub fn replaces<P: AsRef<Path>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.folders
            .extend(paths.into_iter().map(|path| path.as_ref().to_owned()));
        self
    }

    /// Refuses an output that is an input, lies inside an input folder, or is named twice, and a
    /// folder that is replaced and holds an input. Files are compared by their paths without links
    /// and `..`, and by their device and inode.
    ///
    /// # Errors
    /// The first output that is not apart, as a wrong command line.
    pub fn check(&self) -> Result<()> {
        let reads: Vec<Place> = self.reads.iter().flat_map(|path| places(path)).collect();
        let outputs = self.files.iter().chain(&self.folders);
        let outputs: Vec<Place> = outputs.map(|path| Place::new(path)).collect();
        for (idx, output) in outputs.iter().enumerate() {
            let is_folder = idx >= self.files.len();
            if let Some(read) = reads.iter().find(|read| read.is(output)) {
                let found = format!("{} for both", output.given.display());
                let hint = format!("{} is read: choose another output", read.given.display());
                let message = format!("expected the output to differ from the input, found {found}");
                return Err(Error::usage(message).hint(hint));
            }
            if let Some(inside) = reads.iter().find(|read| read.holds(output)) {
                let found = format!(
                    "expected the output outside of the input folder {}, found {}",
                    inside.given.display(),
                    output.given.display()
                );
                return Err(Error::usage(found).hint("the next run would read it as input"));
            }
            if let Some(lost) = reads.iter().find(|read| is_folder && output.holds(read)) {
                let found = format!(
                    "expected inputs outside of the output folder {}, found {}",
                    output.given.display(),
                    lost.given.display()
                );
                return Err(Error::usage(found).hint("the folder is replaced as a whole: choose another one"));
            }
            if outputs[..idx].iter().any(|other| other.is(output)) {
                return Err(Error::usage(format!(
                    "expected different files to write, found {} twice",
                    output.given.display()
                )));
            }
        }
        Ok(())
    }
}

/// A path as given, and what it leads to.
struct Place {
    given: PathBuf,
    real: PathBuf,
    /// The file or folder; `None` if it does not exist yet.
    identity: Option<Identity>,
    /// The folders above it that exist.
    above: Vec<Identity>,
    /// A glob that the path stands for; its matches of today are places of their own.
    pattern: Option<glob::Pattern>,
}

/// The places that an input stands for: a path itself, or a glob with its matches.
fn places(path: &Path) -> Vec<Place> {
    let mut places = vec![Place::new(path)];
    let text = path.to_string_lossy();
    if places[0].identity.is_none() && text.contains(['*', '?', '[']) {
        // Matches are compared with outputs whose paths hold no links.
        let folder = parent_of(path);
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let name = path.file_name().map(|name| real.join(name));
        let pattern = name.as_deref().unwrap_or(path).to_string_lossy().into_owned();
        places[0].pattern = glob::Pattern::new(&pattern).ok();
        let matches = glob::glob(&text).into_iter().flatten().flatten();
        places.extend(matches.map(|path| Place::new(&path)));
    }
    places
}

impl Place {
    fn new(path: &Path) -> Self {
        // What does not exist yet is known by the lowest folder that exists.
        let mut missing = Vec::new();
        let mut base = path;
        let real = loop {
            match real_path(base) {
                Ok(real) => break missing.iter().rev().fold(real, |real, name| real.join(name)),
                Err(_) => match base.file_name() {
                    Some(name) if base != parent_of(base) => {
                        missing.push(name.to_owned());
                        base = parent_of(base);
                    }
                    _ => break path.to_owned(),
                },
            }
        };
        let above = real.ancestors().skip(1).filter_map(identity).collect();
        Self {
            given: path.to_owned(),
            identity: identity(&real),
            real,
            above,
            pattern: None,
        }
    }

    /// Whether two places are the same file or folder, or an input's glob matches the other one.
    fn is(&self, other: &Self) -> bool {
        let options = glob::MatchOptions {
            require_literal_separator: true,
            ..glob::MatchOptions::new()
        };
        self.real == other.real
            || (self.identity.is_some() && self.identity == other.identity)
            || self
                .pattern
                .as_ref()
                .is_some_and(|pattern| pattern.matches_path_with(&other.real, options))
    }

    /// Whether this folder holds the other place.
    fn holds(&self, other: &Self) -> bool {
        (self.real != other.real && other.real.starts_with(&self.real) && self.real.is_dir())
            || self.identity.is_some_and(|own| other.above.contains(&own))
    }
}

/// The path without links and `..`. A link that leads nowhere is known by its own name.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    })
}

fn identity(path: &Path) -> Option<Identity> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_read_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("in.csv"), "").unwrap();
        fs::create_dir_all(at("logs/day")).unwrap();
        fs::write(at("logs/a.csv"), "").unwrap();
        fs::hard_link(at("in.csv"), at("hard.csv")).unwrap();
        symlink(at("in.csv"), at("link.csv")).unwrap();
        symlink(at("logs"), at("link")).unwrap();
        let check = |read: &[&str], written: &[&str], replaced: &[&str], expected: Option<&str>| {
            let all = |names: &[&str]| names.iter().map(|name| at(name)).collect::<Vec<_>>();
            let apart = Apart::new()
                .reads(all(read))
                .writes(all(written))
                .replaces(all(replaced));
            match (apart.check(), expected) {
                (Ok(()), None) => {}
                (Err(error), Some(text)) if error.to_string().contains(text) => {
                    assert_eq!(error.exit_code(), 2);
                }
                (found, _) => panic!("{read:?} {written:?} {replaced:?}: {found:?}"),
            }
        };
        let (differ, outside, twice) = (
            Some("differ from the input"),
            Some("outside of the input folder"),
            Some("different files"),
        );
        let holds = Some("outside of the output folder");
        check(&[], &[], &[], None);
        check(&[], &["out"], &["out2"], None);
        check(&["in.csv", "logs"], &["out", "out2"], &["out3"], None);
        check(&["in.csv", "in.csv"], &["out"], &[], None);
        check(&["logs/day"], &["logs/out"], &[], None);
        check(&["logs"], &["logs2"], &["logs3"], None);
        check(&["in.csv"], &["in.csv"], &[], differ);
        check(&["in.csv"], &["out", "logs/../in.csv"], &[], differ);
        check(&["link.csv"], &["in.csv"], &[], differ);
        check(&["in.csv"], &["link.csv"], &[], differ);
        check(&["in.csv"], &["hard.csv"], &[], differ);
        check(&["new.csv"], &["new.csv"], &[], differ);
        check(&["none/new.csv"], &["none/new.csv"], &[], differ);
        check(&["logs"], &["logs"], &[], differ);
        check(&["logs"], &[], &["link"], differ);
        check(&["logs"], &["logs/out"], &[], outside);
        check(&["logs"], &["logs/day/out"], &[], outside);
        check(&["logs"], &[], &["logs/new/out"], outside);
        check(&["link"], &["logs/out"], &[], outside);
        check(&["logs"], &["link/out"], &[], outside);
        check(&["logs/*.csv"], &["logs/out.csv"], &[], differ);
        check(&["link/*.csv"], &["logs/out.csv"], &[], differ);
        check(&["logs/*.csv"], &["logs/a.csv"], &[], differ);
        check(
            &["logs/*.csv"],
            &["logs/out.parquet", "logs/day/x.csv"],
            &[],
            None,
        );
        check(&["logs/a.csv"], &[], &["logs"], holds);
        check(&["logs/a.csv"], &[], &["link"], holds);
        check(&["logs/a.csv"], &[], &["logs/day"], None);
        check(&["s3://b/logs"], &["logs/out"], &[], None);
        check(&[], &["out", "out"], &[], twice);
        check(&[], &["logs/out", "link/out"], &[], twice);
    }
}

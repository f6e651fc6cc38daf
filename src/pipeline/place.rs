//! Places in files of a repository: relative paths with `/`, and lines.

use std::path::{Component, Path, PathBuf};

use crate::pipeline::lines::Lines;

/// A file of the repository, and a line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path from the root of the repository, with `/` between its parts.
    pub file: String,
    /// The line, from 1. `None` if only the file is known.
    pub line: Option<usize>,
}

/// A file that a command read, with the lines of its keys.
pub(super) struct PlacedFile {
    file: String,
    lines: Option<Lines>,
}

impl PlacedFile {
    /// Reads the lines of a file. `None` for a file outside of the repository, and for a folder.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let file = from_root(path, &root()?)?;
        path.is_file().then(|| Self {
            file,
            lines: Lines::of_file(path),
        })
    }

    /// The place of the first of these keys that the file has, else of the file.
    pub(super) fn key(&self, keys: &[&str]) -> Place {
        let lines = self.lines.as_ref();
        self.at(lines.and_then(|lines| keys.iter().find_map(|key| lines.key(key))))
    }

    /// The place of the item whose `key` has this value, else of the file.
    pub(super) fn item(&self, key: &str, value: &str) -> Place {
        self.at(self.line_of_item(key, value))
    }

    /// The line of the item whose `key` has this value.
    pub(super) fn line_of_item(&self, key: &str, value: &str) -> Option<usize> {
        self.lines.as_ref()?.item(key, value)
    }

    /// The place of the first text with this value, else of the file.
    pub(super) fn value(&self, value: &str) -> Place {
        let lines = self.lines.as_ref();
        self.at(lines.and_then(|lines| lines.value(value)))
    }

    fn at(&self, line: Option<usize>) -> Place {
        Place {
            file: self.file.clone(),
            line,
        }
    }
}

/// The root of the repository: what GitHub and GitLab name as such, else the current folder.
fn root() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let named = ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"];
    let named = named.iter().filter_map(std::env::var_os).map(PathBuf::from);
    // Another job's folder is not the root of this one.
    let holds = |root: &PathBuf| root.is_absolute() && here.starts_with(root);
    Some(named.into_iter().find(holds).unwrap_or(here))
}

/// The path from the root. `None` if it lies elsewhere.
fn from_root(path: &Path, root: &Path) -> Option<String> {
    let whole = normal(&std::path::absolute(path).ok()?);
    let relative = whole.strip_prefix(normal(root)).ok()?;
    let parts: Option<Vec<&str>> = relative.iter().map(|part| part.to_str()).collect();
    parts.map(|parts| parts.join("/")).filter(|path| !path.is_empty())
}

/// A path without `.` and `..`, by its text alone.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_root() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(
                from_root(Path::new(path), Path::new("/home/ada/repo")).as_deref(),
                expected,
                "{path}"
            );
        };
        check("/home/ada/repo/a/b.json", Some("a/b.json"));
        check("/home/ada/repo/./a/../b.json", Some("b.json"));
        check("/home/ada/repo/../other/b.json", None);
        check("/etc/b.json", None);
        check("/home/ada/repo", None);
    }
}

//! Files of a folder or a glob that are not read, because they have other formats.

use std::collections::BTreeMap;
use std::path::Path;

/// The number of names in a warning.
const MAX_NAMES: usize = 3;

/// Files that are not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    names: Vec<String>,
    /// Numbers of files by the ending of their names.
    by_ending: BTreeMap<String, u64>,
}

impl Skipped {
    /// Adds a file. Hidden files, markers such as `_SUCCESS` and checksums are not counted.
    pub(super) fn add(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ending = path
            .extension()
            .map(|ending| ending.to_string_lossy().to_lowercase());
        if name.starts_with(['.', '_']) || ending.as_deref() == Some("crc") {
            return;
        }
        let ending = ending.map_or_else(|| "without an ending".to_owned(), |ending| format!(".{ending}"));
        *self.by_ending.entry(ending).or_default() += 1;
        self.names.push(name.into_owned());
        self.names.sort();
        self.names.truncate(MAX_NAMES);
    }

    /// The warning about the files below a source of this name. `None` if all were read.
    pub(super) fn warning(&self, source: &str) -> Option<String> {
        let n: u64 = self.by_ending.values().sum();
        if n == 0 {
            return None;
        }
        let counts: Vec<String> = self
            .by_ending
            .iter()
            .map(|(ending, n)| format!("{n} {ending}"))
            .collect();
        let more = if n > self.names.len() as u64 { ", ..." } else { "" };
        let files = if n == 1 { "1 file" } else { &format!("{n} files") };
        Some(format!(
            "{source}: skipped {files} of other formats ({}): {}{more}",
            counts.join(", "),
            self.names.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_counts_of_skipped_files() {
        let check = |names: &[&str], expected: Option<&str>| {
            let mut skipped = Skipped::default();
            names.iter().for_each(|name| skipped.add(Path::new(name)));
            assert_eq!(skipped.warning("logs").as_deref(), expected);
        };
        check(&[], None);
        check(&["a/_SUCCESS", "_metadata", ".a.csv.crc", "b.crc", ".x"], None);
        check(
            &["d/a.xlsx"],
            Some("logs: skipped 1 file of other formats (1 .xlsx): a.xlsx"),
        );
        check(
            &["z.xlsx", "README", "b.XLSX", "a.txt"],
            Some(
                "logs: skipped 4 files of other formats (1 .txt, 2 .xlsx, 1 without an ending): README, a.txt, b.XLSX, ...",
            ),
        );
    }
}

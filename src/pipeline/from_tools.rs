//! Findings of a comparison of tool bundles.

use std::path::{Path, PathBuf};

use crate::base::files;
use crate::pipeline::finding::{Finding, Findings, Level};
use crate::pipeline::place::{Place, PlacedFile};
use crate::release::tools;
use crate::release::tools::{BundleDiff, Concern, Replayed, ToolChange};
use crate::words::pipeline as says;
use crate::words::tools::rule;
use crate::words::{Text, Things};

/// Returns the findings of a comparison: one for each change, and one for each tool with logged
/// calls. Changes have the line of their tool in the bundle after, at `path`.
pub fn from_tools(diff: &BundleDiff, calls: &[Replayed], path: &Path) -> Findings {
    let bundle = Bundle::read(path);
    let mut list: Vec<Finding> = diff
        .changes
        .iter()
        .map(|change| of_change(change, diff, &bundle))
        .collect();
    list.extend(calls.iter().map(|tool| of_calls(tool, &bundle)));
    let (level, answer, next) = answer(diff, calls, &list);
    let [before, after] = &diff.versions;
    let [digest_before, digest_after] = &diff.digests;
    let properties = [
        ("version_before", before.clone().unwrap_or_default()),
        ("version_after", after.clone().unwrap_or_default()),
        ("digest_before", digest_before.clone()),
        ("digest_after", digest_after.clone()),
    ];
    Findings {
        command: "tools",
        level,
        answer,
        next,
        properties: properties
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect(),
        list,
    }
}

fn of_change(change: &ToolChange, diff: &BundleDiff, bundle: &Bundle) -> Finding {
    // A change that the version and the migration guide announce does not fail.
    let is_announced = || {
        diff.changes_at(Concern::Version, tools::Level::Error)
            .next()
            .is_none()
    };
    let level = match change.level {
        _ if tools::NOT_COMPARED.contains(&change.rule) => Level::Inconclusive,
        tools::Level::Error if change.concern == Concern::Schema && is_announced() => Level::Warning,
        tools::Level::Error => Level::Error,
        tools::Level::Warning => Level::Warning,
        tools::Level::Info => Level::Passed,
    };
    Finding {
        rule: change.rule.to_owned(),
        title: rule(change.rule),
        group: match change.concern {
            Concern::Schema => "schema",
            Concern::Safety => "safety",
            Concern::Words => "words",
            Concern::Version => "version",
        }
        .to_owned(),
        subject: change.node(),
        level,
        found: change.text(),
        remedy: None,
        place: bundle.place_of(&change.tool),
    }
}

fn of_calls(tool: &Replayed, bundle: &Bundle) -> Finding {
    let level = if tool.n_undecided > 0 {
        Level::Inconclusive
    } else if tool.n_rejected > 0 {
        Level::Warning
    } else {
        Level::Passed
    };
    Finding {
        rule: "logged-calls".to_owned(),
        title: says::tool_calls(),
        group: "calls".to_owned(),
        subject: tool.tool.clone(),
        level,
        found: tool.message(),
        remedy: None,
        place: bundle.place_of(&tool.tool),
    }
}

/// The answer of a comparison, and the next step. It follows the exit code: a breaking change that
/// its version announces does not fail.
fn answer(diff: &BundleDiff, calls: &[Replayed], list: &[Finding]) -> (Level, Text, Text) {
    let n_at = |concern| diff.changes_at(concern, tools::Level::Error).count();
    let (n_unannounced, n_loosened, n_breaking) = (
        n_at(Concern::Version),
        n_at(Concern::Safety),
        n_at(Concern::Schema),
    );
    let count = |level: Level| list.iter().filter(|finding| finding.level == level).count();
    let (n_unknown, n_warnings) = (count(Level::Inconclusive), count(Level::Warning));
    let is_unknown = n_unknown > 0 || calls.iter().any(|tool| tool.n_undecided > 0);
    let n = |n: usize| Things(n as u64, "change");
    if n_unannounced + n_loosened > 0 {
        let mut answer = vec![says::tools_must_not_ship()];
        answer.extend((n_unannounced > 0).then(|| match n_breaking {
            0 => says::tools_versions(Things(n_unannounced as u64, "place")),
            n_breaking => says::tools_breaks(n(n_breaking)),
        }));
        answer.extend((n_loosened > 0).then(|| says::tools_loosens(Things(n_loosened as u64, "place"))));
        (Level::Error, Text::sentences(&answer), says::tools_next_version())
    } else if is_unknown {
        let answer = says::tools_unknown(Things(n_unknown as u64, "place"));
        (Level::Inconclusive, answer, says::tools_next_compare())
    } else if n_breaking > 0 {
        let answer = says::tools_announced(n(n_breaking));
        (Level::Warning, answer, says::tools_next_look())
    } else if n_warnings > 0 {
        let answer = says::tools_warn(n(n_warnings));
        (Level::Warning, answer, says::tools_next_look())
    } else {
        (Level::Passed, says::tools_same(), says::tools_next_ship())
    }
}

/// The files of a bundle.
struct Bundle {
    files: Vec<PlacedFile>,
}

impl Bundle {
    fn read(path: &Path) -> Self {
        let paths: Vec<PathBuf> = if path.is_dir() {
            files::files_below(path).unwrap_or_default()
        } else {
            vec![path.to_owned()]
        };
        Self {
            files: paths.iter().filter_map(|path| PlacedFile::read(path)).collect(),
        }
    }

    /// The place of a tool: the file that names it, else the first file.
    fn place_of(&self, tool: &str) -> Option<Place> {
        let found = self.files.iter().map(|file| file.item("name", tool));
        let named = found
            .into_iter()
            .find(|place| place.line.is_some() && !tool.is_empty());
        named.or_else(|| Some(self.files.first()?.key(&[])))
    }
}

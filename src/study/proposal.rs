//! `sluice init`: what it is asked, its sources, and the texts about them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::base::number::{count, first_of, percent};
use crate::base::url;
use crate::init::{Draft, DraftSource, Guess, Role, zone_of_offset};
use crate::input::Table;
use crate::study::sample::Sample;

/// What `sluice init` looks at.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// A table of users.
    pub users: Option<PathBuf>,
    /// A log of events, in place of the table of users.
    pub events: Option<PathBuf>,
    /// Traffic logs.
    pub traffic: Vec<PathBuf>,
    /// The file that the scenario is written to. `None` for stdout.
    pub out: Option<PathBuf>,
    /// Rows of each source that columns are guessed from.
    pub max_rows: u64,
}

/// A proposed scenario.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The scenario, as TOML.
    pub text: String,
    /// Lines for the terminal: what was recognized, what is a guess, what is missing.
    pub summary: Vec<String>,
    /// What a person must mend before the scenario can run. Empty if a rehearsal went through.
    pub problems: Vec<String>,
}

/// A source with its sample.
pub(crate) struct Source {
    pub(crate) draft: DraftSource,
    pub(crate) sample: Sample,
    pub(crate) table: Table,
    pub(crate) label: String,
}

/// The path of a file as a scenario in `folder` names it.
pub(crate) fn scenario_path(path: &Path, folder: &Path) -> String {
    let is_here = folder.as_os_str().is_empty() || folder == Path::new(".");
    if url::is_url(path) || path.is_absolute() || is_here {
        return path.display().to_string();
    }
    let (Ok(path_from_root), Ok(folder)) = (std::path::absolute(path), std::path::absolute(folder)) else {
        return path.display().to_string();
    };
    let parts = |path: &Path| -> Vec<std::ffi::OsString> {
        let mut parts: Vec<std::ffi::OsString> = Vec::new();
        for part in path.components() {
            match part {
                Component::ParentDir => _ = parts.pop(),
                part => parts.push(part.as_os_str().to_owned()),
            }
        }
        parts
    };
    let (path, folder) = (parts(&path_from_root), parts(&folder));
    let n_same = path.iter().zip(&folder).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(std::ffi::OsString::from(".."), folder.len() - n_same);
    up.chain(path[n_same..].iter().cloned())
        .collect::<PathBuf>()
        .display()
        .to_string()
}

/// Short names that tell the sources apart.
pub(crate) fn distinct_names(sources: &[Source]) -> Vec<String> {
    let parts = |source: &Source| -> Vec<String> {
        let path = source.table.source.path.display().to_string();
        path.split(['/', '.'])
            .map(str::to_owned)
            .filter(|part| !part.is_empty())
            .collect()
    };
    let all: Vec<Vec<String>> = sources
        .iter()
        .filter(|source| source.draft.role == Role::Traffic)
        .map(parts)
        .collect();
    let of = |source: &Source| {
        let own = parts(source);
        let is_shared = |part: &String| {
            all.iter().filter(|parts| parts.contains(part)).count() == all.len() && all.len() > 1
        };
        let name = own
            .iter()
            .rev()
            .find(|part| !is_shared(part) && !is_format(part))
            .or(own.first());
        let plain = name.map_or("log", String::as_str);
        plain
            .chars()
            .map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' })
            .collect()
    };
    sources.iter().map(of).collect()
}

fn is_format(part: &str) -> bool {
    [
        "csv", "gz", "ndjson", "jsonl", "json", "parquet", "tsv", "txt", "zst",
    ]
    .contains(&part.to_ascii_lowercase().as_str())
}

/// Bytes of all files of a table.
pub(crate) fn n_bytes(table: &Table) -> u64 {
    table
        .files
        .iter()
        .filter_map(|file| std::fs::metadata(&file.path).ok())
        .map(|data| data.len())
        .sum()
}

/// The lines at the top of a proposed scenario.
pub(crate) fn header(options: &InitOptions, sources: &[Source]) -> Vec<String> {
    let of: Vec<String> = sources
        .iter()
        .map(|source| {
            let kind = if source.sample.is_whole {
                "all"
            } else {
                "a sample of"
            };
            format!("{kind} {} rows of {}", count(source.sample.n_rows), source.label)
        })
        .collect();
    let file = options
        .out
        .as_ref()
        .map_or_else(|| "scenario.toml".into(), |out| out.display().to_string());
    vec![
        format!("Proposed by `sluice init` from {}.", of.join(" and ")),
        "Lines with \"guess:\" are not certain. Read them before you trust a verdict.".into(),
        format!("Next: `sluice check {file}`, then `sluice run {file} --out out`."),
    ]
}

/// The zone of most offsets that the times have.
pub(crate) fn time_zone(sources: &[Source]) -> Option<(String, String)> {
    let mut offsets: BTreeMap<Option<i32>, u64> = BTreeMap::new();
    for source in sources {
        let times = ["event_time", "last_use_time"]
            .into_iter()
            .filter_map(|column| source.draft.guesses.get(column));
        let names: Vec<&str> = times.map(|guess| guess.file_column.as_str()).collect();
        for profile in source
            .sample
            .profiles
            .iter()
            .filter(|profile| names.contains(&profile.name.as_str()))
        {
            for (offset, n) in &profile.offsets {
                *offsets.entry(*offset).or_default() += n;
            }
        }
    }
    let (offset, n) = offsets.iter().max_by_key(|(offset, n)| (**n, **offset))?;
    let (offset, all) = ((*offset)?, offsets.values().sum::<u64>());
    let zone = zone_of_offset(offset).filter(|zone| zone != "UTC")?;
    let share = percent(*n as f64 / all as f64);
    let text = format!(
        "{}{:02}:{:02}",
        if offset < 0 { '-' } else { '+' },
        offset.abs() / 3_600,
        offset.abs() / 60 % 60
    );
    Some((
        zone,
        format!("{share} of the times have the offset {text}; days are those of this zone"),
    ))
}

/// The largest number of guesses that the summary lists.
const MAX_LISTED: usize = 12;

/// What was recognized, what is a guess, and what is missing.
pub(crate) fn summary(draft: &Draft, sources: &[Source]) -> Vec<String> {
    let mut lines = Vec::new();
    let drafts: Vec<&DraftSource> = draft.users.iter().chain(&draft.traffic).collect();
    for (source, of) in drafts.iter().zip(sources) {
        let (certain, unsure): (Vec<&Guess>, Vec<&Guess>) =
            source.guesses.used.iter().partition(|guess| guess.is_certain());
        let names = |guesses: &[&Guess]| {
            let shown: Vec<String> = guesses
                .iter()
                .map(|guess| format!("{} = {}", guess.column, guess.file_column))
                .collect();
            first_of(&shown, MAX_LISTED, ", ")
        };
        let n_columns = of.sample.profiles.len();
        lines.push(format!(
            "{}: {} rows looked at, {n_columns} columns",
            of.label,
            count(of.sample.n_rows)
        ));
        if !certain.is_empty() {
            lines.push(format!("  recognized: {}", names(&certain)));
        }
        if !unsure.is_empty() {
            lines.push(format!("  guessed: {}", names(&unsure)));
        }
        let constants: Vec<String> = source
            .constants
            .iter()
            .map(|(name, value, _)| format!("{name} = \"{value}\""))
            .collect();
        if !constants.is_empty() {
            lines.push(format!("  for all rows: {}", constants.join(", ")));
        }
        let sensitive: Vec<&str> = source
            .guesses
            .sensitive
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        if !sensitive.is_empty() {
            lines.push(format!("  sensitive, not used: {}", sensitive.join(", ")));
        }
    }
    if !draft.traffic.is_empty() {
        lines.push(format!(
            "releases: {} is the baseline, {} the candidate",
            draft.plan.baseline, draft.plan.candidate
        ));
    }
    let ids: Vec<&str> = draft.layers.iter().map(|layer| layer.id).collect();
    lines.push(format!("layers: {}", ids.join(", ")));
    let missing: Vec<&str> = draft
        .missing
        .iter()
        .map(|missing| missing.what.as_str())
        .collect();
    if !missing.is_empty() {
        lines.push(format!(
            "missing: {} (the scenario says what it costs)",
            missing.join(", ")
        ));
    }
    lines
}

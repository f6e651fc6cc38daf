//! The driver of `sluice generate`: writes generated data, or reuses complete data.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, FileResult, Result};
use crate::base::progress::Progress;
use crate::base::{digest, files, json};
use crate::generate::{ecommerce, traffic, users};
use crate::input::UserReader;
use crate::layer;
use crate::layer::{Audit, Layers, Users};
use crate::scenario::{Generate, OnBadRow, Plan, Scenario, Source, TagRule};

/// The document of a generated data set. It is written last, so a folder without it is incomplete.
pub const DATA_FILE: &str = "data.json";

pub(super) const USERS: &str = "users.parquet";

pub(super) const TRAFFIC: &str = "traffic";

/// The content of a data folder and the digest of its inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DataDocument {
    schema: String,
    recipe: String,
    n_users: u64,
    n_turns: u64,
    truth: ecommerce::Truth,
    files: BTreeMap<String, String>,
}

/// The sources of a generated data set, for the other stages.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedData {
    /// The table of users.
    pub users: Source,
    /// The traffic log, one file per local day.
    pub traffic: Source,
}

impl GeneratedData {
    /// Returns the sources in a data folder. The folder is not read.
    pub fn at(folder: &Path) -> Self {
        let source = |path: PathBuf| Source::at(path);
        Self {
            users: source(folder.join(USERS)),
            traffic: source(folder.join(TRAFFIC)),
        }
    }
}

/// Writes users, traffic and their truth into a folder. The same scenario gives the same bytes.
///
/// # Errors
/// When the scenario has no `[input.generate]`, or a file cannot be written.
pub fn generate(scenario: &Scenario, folder: &Path, progress: &Progress) -> Result<GeneratedData> {
    let spec = generator(scenario)?;
    let data = GeneratedData::at(folder);
    users::write(spec.n_users, scenario, &folder.join(USERS), progress)?;
    // The log records the users' real layers, so the same code computes them here and later.
    let rules: Vec<&TagRule> = scenario
        .plan
        .layers
        .iter()
        .flat_map(|layer| &layer.tags)
        .collect();
    let reader = UserReader::open(&data.users, rules, OnBadRow::Error)?;
    let ctx = layer::LayerContext::new(
        &scenario.layering,
        &scenario.plan,
        scenario.plan.start,
        &scenario.input,
        Audit::Never,
    );
    let layered = folder.join("layers.parquet");
    layer::layer_users(
        &ctx,
        &Users::Table(Box::new(reader)),
        &layered,
        &Progress::silent(),
    )?;
    let layers = Layers::read(&layered, &scenario.plan)?;
    fs::remove_file(&layered).or_unwritable(&layered)?;
    let n_turns = traffic::write(spec, scenario, &layers, &folder.join(TRAFFIC), progress)?;
    write_document(scenario, spec, recipe(scenario, spec), n_turns, folder)?;
    Ok(data)
}

/// Writes only the users into a folder: the same users that [`generate`] writes.
///
/// # Errors
/// As [`generate`].
pub fn generate_users(scenario: &Scenario, folder: &Path, progress: &Progress) -> Result<()> {
    let spec = generator(scenario)?;
    users::write(spec.n_users, scenario, &folder.join(USERS), progress)?;
    // The different recipe keeps a study from reusing this folder as data with traffic.
    write_document(
        scenario,
        spec,
        format!("users of {}", recipe(scenario, spec)),
        0,
        folder,
    )
}

/// The scenario's generator settings; an error if it has none.
pub(super) fn generator(scenario: &Scenario) -> Result<&Generate> {
    let missing = || {
        Error::usage(format!(
            "expected [input.generate] in scenario {}, found none",
            scenario.name
        ))
    };
    scenario.input.generate.as_ref().ok_or_else(missing)
}

/// Writes the document with the digests of all files in the folder.
pub(super) fn write_document(
    scenario: &Scenario,
    spec: &Generate,
    recipe: String,
    n_turns: u64,
    folder: &Path,
) -> Result<()> {
    let mut files = BTreeMap::new();
    for name in files::files_below(folder)? {
        files.insert(
            name.display().to_string(),
            digest::sha256_of_file(&folder.join(&name))?,
        );
    }
    let document = DataDocument {
        schema: "sluice.data/1".into(),
        recipe,
        n_users: spec.n_users,
        n_turns,
        truth: ecommerce::truth(&scenario.plan, spec),
        files,
    };
    json::write_json(&folder.join(DATA_FILE), &document)
}

/// Copies data that an earlier run made from the same recipe into a new folder. Files are linked
/// where the file system allows it. Returns `false` if no such data exists, or if a file differs
/// from its recorded digest.
///
/// # Errors
/// When a file cannot be linked or copied.
pub fn reuse(scenario: &Scenario, earlier: &Path, folder: &Path) -> Result<bool> {
    let Some(spec) = &scenario.input.generate else {
        return Ok(false);
    };
    let Ok(document) = json::read_json::<DataDocument>(&earlier.join(DATA_FILE)) else {
        return Ok(false);
    };
    if document.recipe != recipe(scenario, spec) {
        return Ok(false);
    }
    for (name, digest) in &document.files {
        if digest::sha256_of_file(&earlier.join(name)).as_ref() != Ok(digest) {
            return Ok(false);
        }
    }
    for name in document.files.keys().map(String::as_str).chain([DATA_FILE]) {
        files::link_or_copy(&earlier.join(name), &folder.join(name))?;
    }
    fs::metadata(folder.join(DATA_FILE))
        .map(|_| true)
        .or_unreadable(folder)
}

/// The SHA-256 digest of everything that the data depends on.
pub(super) fn recipe(scenario: &Scenario, spec: &Generate) -> String {
    let Plan {
        start,
        baseline,
        candidate,
        profile,
        layers,
        operations,
        ..
    } = &scenario.plan;
    let plan = format!("{start} {baseline} {candidate} {profile:?} {layers:?} {operations:?}");
    let zone = if scenario.time_zone.is_utc() {
        String::new()
    } else {
        format!(" {}", scenario.time_zone.name())
    };
    let data = format!(
        "{} {} {spec:?} {:?}{zone}",
        env!("CARGO_PKG_VERSION"),
        scenario.seed,
        scenario.layering
    );
    digest::sha256_of(&[plan.as_bytes(), data.as_bytes()])
}

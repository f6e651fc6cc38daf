//! The publication: the ratios in force, the plan they belong to, and the digests of their
//! evidence.

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, FileResult, Result};
use crate::base::manifest::{FileEntry, Manifest, file};
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::base::{digest, json, parallel};
use crate::bucket::{Platform, Ratio};
use crate::input::fetch;
use crate::layer::{ConsentChanges, LayerFileReader, write_with_consent};
use crate::publish::changes::LayerChanges;
use crate::publish::folder_gate::SourceGate;
use crate::publish::options::Options;
use crate::ramp::{LayerRamp, LayerSchedule, RampStatus, Schedule, Verdict};
use crate::report::StudyDocument;

const SCHEMA: &str = "sluice.publication/1";

/// The schema of a layer table by itself.
const LAYERS_SCHEMA: &str = "sluice.layers/1";

/// The document that every target holds, in the target's own form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Publication {
    /// The name and version of the document's schema.
    pub schema: String,
    /// The version: 16 hexadecimal digits of a SHA-256 digest of the other fields.
    pub version: String,
    /// Id of the plan, from the key `plan.id` of the scenario.
    pub plan_id: String,
    /// The display name of the plan; its id if it has no name.
    pub plan_name: String,
    /// Id of the plan that this one replaces; `None` if it replaces none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// Id of the baseline: the release that users have today.
    pub baseline: String,
    /// Id of the candidate: the release that is ramped.
    pub candidate: String,
    /// The time of the decision, microseconds UTC.
    pub as_of: Micros,
    /// The status of the ramp: running, completed, rolled back or retired.
    pub status: RampStatus,
    /// The time when the candidate was rolled back by hand, microseconds UTC; `None` if it was not.
    /// Such a candidate is opened again only on request.
    pub rolled_back_at: Option<Micros>,
    /// The time when the plan was retired, microseconds UTC; `None` if it was not. A retired plan is
    /// opened again only on request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Micros>,
    /// The candidates of the plan that were rolled back by hand and not opened again, with the time
    /// of each rollback, microseconds UTC.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken_back: BTreeMap<String, Micros>,
    /// The profile: the name of the rule by which production assigns users to buckets.
    pub profile: String,
    /// The salt: text that is hashed together with the user's id.
    pub salt: String,
    /// The key of the flag, for systems that hash it; `None` if the plan names none.
    pub flag: Option<String>,
    /// The digest of the analysis that the ratios are based on.
    pub evidence_digest: String,
    /// The digest of the layer table that the ratios are based on; `None` if it is not known.
    pub layers_digest: Option<String>,
    /// The digest of the newer layer table that consent was taken from; `None` if consent is that
    /// of the layer table that the schedule rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent_digest: Option<String>,
    /// The ratios by tenant and layer, in plan order.
    pub ratios: Vec<RatioRow>,
}

/// The ratio of a layer. Eligible users in buckets `lo_bucket..hi_bucket` get the candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatioRow {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant: String,
    /// Id of the layer in the plan, such as `early`.
    pub layer: String,
    /// The display name of the layer; its id if it has no name.
    pub name: String,
    /// Whether this candidate has been rolled back in the layer, now or earlier.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rolled_back: bool,
    /// The number of ladder steps taken; 0 at a ratio of 0.
    pub step: usize,
    /// The share of eligible users who get the candidate, 0..=1 in steps of 0.0001.
    pub ratio: Ratio,
    /// The first bucket of the candidate, 0..=10,000.
    pub lo_bucket: u16,
    /// The end of the candidate's buckets, exclusive, 0..=10,000.
    pub hi_bucket: u16,
    /// Verdict on the layer. Only a promotion or a rollback changes its ratio.
    pub verdict: Verdict,
    /// Text of the check that blocked the promotion, the reason for the promotion, or a note about
    /// a rollback by hand.
    pub reason: String,
    /// The earliest time at which the ratio may rise, microseconds UTC.
    pub not_before: Micros,
    /// The layer's rules in the plan: ladder, minimum time and number of users, QoS threshold and
    /// floor.
    #[serde(flatten)]
    pub ramp: LayerRamp,
}

impl RatioRow {
    /// The tenant and the layer, which name the row.
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.tenant, &self.layer)
    }
}

impl Publication {
    /// Builds the publication of a schedule. Display names of layers come from `study`, if present.
    pub fn new(schedule: &Schedule, study: Option<&StudyDocument>) -> Self {
        let name_of = |id: &str| {
            let name = study
                .and_then(|study| study.layers.iter().find(|(layer, _)| layer == id))
                .map(|(_, name)| name.en.clone());
            name.filter(|name| !name.is_empty())
                .unwrap_or_else(|| id.to_owned())
        };
        let row = |layer: &LayerSchedule| RatioRow {
            tenant: layer.tenant.clone(),
            layer: layer.layer.clone(),
            name: name_of(&layer.layer),
            rolled_back: layer.rolled_back,
            step: layer
                .ramp
                .ladder
                .iter()
                .filter(|step| **step <= layer.next_ratio && layer.next_ratio > Ratio::ZERO)
                .count(),
            ratio: layer.next_ratio,
            lo_bucket: layer.lo_bucket,
            hi_bucket: layer.hi_bucket,
            verdict: layer.verdict,
            reason: layer.reason.clone(),
            not_before: layer.earliest_next,
            ramp: layer.ramp.clone(),
        };
        Self {
            schema: SCHEMA.into(),
            version: String::new(),
            plan_id: schedule.plan_id.clone(),
            supersedes: schedule.supersedes.clone(),
            plan_name: study.map_or_else(|| schedule.plan_id.clone(), |study| study.name.clone()),
            baseline: schedule.baseline.clone(),
            candidate: schedule.candidate.clone(),
            as_of: schedule.as_of,
            status: schedule.status(),
            rolled_back_at: None,
            retired_at: None,
            taken_back: BTreeMap::new(),
            profile: schedule.profile.clone(),
            salt: schedule.salt.clone(),
            flag: schedule.flag.clone(),
            evidence_digest: schedule.evidence_digest.clone(),
            layers_digest: schedule.layers_digest.clone(),
            consent_digest: None,
            ratios: schedule.layers.iter().map(row).collect(),
        }
        .named()
    }

    /// The publication of a layer table by itself. Its plan id is `layers:NAME`, which no plan can
    /// have, and it has no releases and no ratios. `as_of` is the instant of the table, microseconds
    /// UTC.
    pub(super) fn of_layers(name: &str, digest: String, as_of: Micros) -> Self {
        Self {
            schema: LAYERS_SCHEMA.into(),
            version: String::new(),
            plan_id: format!("layers:{name}"),
            supersedes: None,
            plan_name: name.to_owned(),
            baseline: String::new(),
            candidate: String::new(),
            as_of,
            status: RampStatus::Running,
            rolled_back_at: None,
            retired_at: None,
            taken_back: BTreeMap::new(),
            profile: String::new(),
            salt: String::new(),
            flag: None,
            evidence_digest: String::new(),
            layers_digest: Some(digest),
            consent_digest: None,
            ratios: Vec::new(),
        }
        .named()
    }

    /// Whether this is a layer table by itself, without a plan.
    pub fn is_layers(&self) -> bool {
        self.schema == LAYERS_SCHEMA
    }

    /// Returns a copy of the publication with every ratio at 0 and the candidate recorded as rolled
    /// back at `at`, microseconds UTC.
    #[must_use]
    pub fn rolled_back(&self, at: Micros) -> Self {
        let mut back = self.closed(at, Verdict::Rollback, "taken back by hand");
        for row in &mut back.ratios {
            row.rolled_back = true;
        }
        back.taken_back.insert(back.candidate.clone(), at);
        back.rolled_back_at = Some(at);
        back.status = RampStatus::RolledBack;
        back.named()
    }

    /// Returns a copy of the publication with every ratio at 0 and the plan recorded as retired at
    /// `at`, microseconds UTC. `successor` is the plan that replaces it; `None` for a retirement by
    /// hand.
    #[must_use]
    pub fn retired(&self, at: Micros, successor: Option<&str>) -> Self {
        let reason = successor.map_or_else(
            || "retired by hand".to_owned(),
            |successor| format!("retired: plan {successor} replaces this one"),
        );
        let mut retired = self.closed(at, Verdict::Hold, &reason);
        retired.retired_at = Some(at);
        retired.status = RampStatus::Retired;
        retired.named()
    }

    /// A copy with every ratio at 0 from `at` on. Its version is that of the original.
    fn closed(&self, at: Micros, verdict: Verdict, reason: &str) -> Self {
        let mut closed = self.clone();
        for row in &mut closed.ratios {
            row.step = 0;
            row.ratio = Ratio::ZERO;
            row.hi_bucket = row.lo_bucket;
            row.verdict = verdict;
            reason.clone_into(&mut row.reason);
        }
        closed.as_of = at;
        closed
    }

    /// The publication to write over `current`. Rollbacks by hand and a retirement of the
    /// plan that `current` records are kept, unless the options open this candidate again.
    #[must_use]
    pub fn over(&self, current: Option<&Self>, options: &Options) -> Self {
        let mut next = self.clone();
        let Some(current) = current else { return next };
        if self.is_layers() && current.layers_digest == self.layers_digest {
            // A copy of the file has the same users.
            next.as_of = current.as_of;
        }
        for (candidate, at) in &current.taken_back {
            if !(options.reopen && *candidate == next.candidate) {
                next.taken_back.entry(candidate.clone()).or_insert(*at);
            }
        }
        if !options.reopen && current.plan_id == next.plan_id && current.retired_at.is_some() {
            next.retired_at = current.retired_at;
            next.status = RampStatus::Retired;
        }
        if options.rollback && !options.retire && current.is_open() {
            // A rollback also closes the candidate that is open at the target, even if it is
            // another one.
            next.taken_back
                .entry(current.candidate.clone())
                .or_insert(options.now);
        }
        next.rolled_back_at = next.taken_back.get(&next.candidate).copied();
        next.named()
    }

    fn named(mut self) -> Self {
        self.version = String::new();
        let digest = digest::sha256_of_bytes(json::to_json(&self).as_bytes());
        self.version = digest.trim_start_matches("sha256:").chars().take(16).collect();
        self
    }

    /// Parses a publication that was read from `address`.
    ///
    /// # Errors
    /// Text that is not a publication.
    pub fn from_json(text: &str, address: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::target(
                address,
                format!("expected a publication of Sluice, found: {error}"),
            )
        })
    }

    /// Whether any layer has a ratio above 0.
    pub fn is_open(&self) -> bool {
        self.ratios.iter().any(|row| row.ratio > Ratio::ZERO)
    }

    /// The flag system that assigns users; `None` for Sluice's own assignment and unknown profiles.
    pub fn platform(&self) -> Option<Platform> {
        Platform::by_name(&self.profile)
    }

    /// The key of the flag for systems that have flags: the plan's key, or the plan's id without
    /// one.
    pub fn flag_key(&self) -> &str {
        self.flag.as_deref().unwrap_or(&self.plan_id)
    }

    /// The distinct tenants in order of first appearance.
    pub fn tenants(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let tenants = self.ratios.iter().map(|row| row.tenant.as_str());
        tenants.filter(|tenant| seen.insert(*tenant)).collect()
    }

    /// Whether the plan has more than one tenant.
    pub fn has_tenants(&self) -> bool {
        let first = self.ratios.first().map(|row| &row.tenant);
        self.ratios.iter().any(|row| Some(&row.tenant) != first)
    }
}

/// The parts of a folder that are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicationParts {
    /// Ratios and the layers of users.
    All,
    /// Ratios only. Users keep their layers.
    Ratios,
    /// A rollback: every ratio becomes 0. The folder needs only a readable schedule.
    Rollback,
}

/// Refuses a schedule that contradicts itself, has no layers, or has a layer id with `:` or `|`.
fn check(schedule: &Schedule, path: &Path) -> Result<()> {
    let wrong = |found: String| {
        Err(
            Error::in_file(path, format!("expected a schedule of Sluice, found {found}"))
                .hint("write it again with `sluice schedule`"),
        )
    };
    let mut seen = BTreeSet::new();
    for layer in &schedule.layers {
        if !seen.insert((&layer.tenant, &layer.layer)) {
            return wrong(format!("layer {} twice", layer.layer));
        }
        if (layer.lo_bucket, layer.hi_bucket) != (0, layer.next_ratio.bps()) {
            return wrong(format!(
                "buckets {}..{} for a ratio of {} in {}",
                layer.lo_bucket, layer.hi_bucket, layer.next_ratio, layer.layer
            ));
        }
        if layer.layer.is_empty() || layer.layer.contains([':', '|']) {
            return wrong(format!(
                "a layer \"{}\", whose id contains `:` or `|` or is empty",
                layer.layer
            ));
        }
    }
    if schedule.layers.is_empty() {
        return wrong("one without layers".into());
    }
    Ok(())
}

/// Refuses a manifest that names files outside of the folder, and links to them. Targets that copy
/// the folder would publish any file of this machine. The layer table may be a link: its content is
/// checked.
fn check_files(dir: &Path) -> Result<()> {
    let manifest = dir.join(file::MANIFEST);
    if manifest.exists() {
        Manifest::read(&manifest)?;
    }
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let root = real(dir);
    for folder in [dir.to_owned(), dir.join(file::CUBE), dir.join(file::TABLES)] {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.or_unreadable(&folder)?.path();
            if path.is_symlink() && path != dir.join(file::LAYERS) && !real(&path).starts_with(&root) {
                return Err(Error::in_file(
                    &path,
                    "expected a file of the folder, found a link to a file outside of it",
                )
                .hint("put the file itself into the folder"));
            }
        }
    }
    Ok(())
}

/// Reads the layer table once, before any target is written, and refuses rows of unknown layers.
/// Otherwise a bad row would stop a target that is half written, or reach its readers.
fn check_layers(path: &Path, publication: &Publication) -> Result<()> {
    let known: BTreeSet<&str> = publication.ratios.iter().map(|row| row.layer.as_str()).collect();
    let file = LayerFileReader::open(path)?;
    let check_part = |part| {
        file.read(part, |rows| {
            match (0..rows.len())
                .map(|row| rows.layers.value(row))
                .find(|layer| !known.contains(layer))
            {
                None => Ok(()),
                Some(layer) => Err(Error::in_file(
                    path,
                    format!(
                        "expected layers of plan {}, found \"{layer}\"",
                        publication.plan_id
                    ),
                )
                .hint("name the layer table of this plan with --layers")),
            }
        })
    };
    parallel::map_in_order(file.n_parts(), check_part, |_, ()| Ok(()))
}

/// The outputs of a folder, ready to publish.
#[derive(Debug, Clone)]
pub struct PublicationSource {
    /// The folder that the outputs were read from; `None` for a layer table by itself.
    pub dir: Option<PathBuf>,
    /// The publication of the schedule in the folder.
    pub publication: Publication,
    /// The gate of the folder; `None` without a gate report, and in a rollback.
    pub gate: Option<SourceGate>,
    /// The path of the layer table; `None` if users are not published.
    pub layers: Option<PathBuf>,
    /// The users who changed since the night before, for a layer table by itself; `None` if all are
    /// compared.
    pub changes: Option<LayerChanges>,
    /// The manifest to publish in place of the folder's own, because the layer table is another;
    /// `None` if the folder's own holds.
    pub manifest: Option<PathBuf>,
    /// Changes of consent that apply to the frozen layers; `None` if consent is that of the table
    /// itself.
    pub consent: Option<ConsentChanges>,
}

/// Layer tables outside of the folder.
#[derive(Debug, Clone, Copy, Default)]
pub struct LayerTables<'a> {
    /// The newest table; `None` uses the folder's own table, if present.
    pub newest: Option<&'a Path>,
    /// The table of the plan's start, which the schedule rests on; `None` uses the folder's own.
    pub frozen: Option<&'a Path>,
}

impl PublicationSource {
    /// Opens a folder that `sluice run` or the stage commands wrote.
    ///
    /// Layers are frozen while a release is ramped, but consent is not: if the newest table is not
    /// the one that the schedule rests on, layers come from the frozen table, and users who no
    /// longer consent in the newest table get the baseline.
    ///
    /// # Errors
    /// A missing or invalid schedule, an unreadable study document or gate report (except in a
    /// rollback), or a
    /// layer table that cannot be read, has unknown layers, or is not the table that the schedule
    /// is based on while that table is not at hand.
    pub fn open(
        dir: &Path,
        tables: LayerTables<'_>,
        parts: PublicationParts,
        progress: &Progress,
    ) -> Result<Self> {
        let schedule_path = dir.join(file::SCHEDULE);
        if !schedule_path.exists() {
            return Err(
                Error::in_file(dir, format!("expected {} in it, found none", file::SCHEDULE))
                    .hint("name a folder of `sluice run` or `sluice schedule`"),
            );
        }
        let mut schedule: Schedule = json::read_document(&schedule_path)?;
        let study_path = dir.join(file::STUDY);
        check(&schedule, &schedule_path)?;
        let study: Option<StudyDocument> = match json::read_document(&study_path) {
            Ok(study) => Some(study),
            // An unreadable study document only loses display names, so it does not stop a
            // rollback.
            Err(_) if !study_path.exists() || parts == PublicationParts::Rollback => None,
            Err(error) => return Err(error),
        };
        let mut gate = None;
        if parts != PublicationParts::Rollback {
            check_files(dir)?;
            gate = SourceGate::read(dir, &mut schedule)?;
        }
        let mut source = Self {
            dir: Some(dir.to_owned()),
            publication: Publication::new(&schedule, study.as_ref()),
            gate,
            layers: None,
            changes: None,
            manifest: None,
            consent: None,
        };
        if parts == PublicationParts::All {
            source.add_layers(dir, tables, progress)?;
        }
        Ok(source)
    }

    /// Adds the layer table to the source, with the consent of the newest one.
    fn add_layers(&mut self, dir: &Path, tables: LayerTables<'_>, progress: &Progress) -> Result<()> {
        let own = Some(dir.join(file::LAYERS)).filter(|path| path.exists());
        let frozen = tables.frozen.map(Path::to_owned).or_else(|| own.clone());
        let Some(newest) = tables.newest.map(Path::to_owned).or_else(|| frozen.clone()) else {
            return Ok(());
        };
        let found = digest::blake3_of_file(&newest)?;
        let expected = self.publication.layers_digest.clone();
        if expected.as_ref().is_none_or(|expected| *expected == found) {
            check_layers(&newest, &self.publication)?;
            return self.set_layers(newest, found);
        }
        let frozen = match frozen {
            Some(path) if path != newest && Some(digest::blake3_of_file(&path)?) == expected => path,
            _ => {
                let expected = expected.unwrap_or_default();
                return Err(Error::in_file(
                    &newest,
                    format!("expected the layer table that the schedule rests on, {expected}, found {found}"),
                )
                .hint("layers are frozen while a release is ramped: name the table that was in force at the plan's start with --frozen-layers, and only consent is taken from the newest one"));
            }
        };
        check_layers(&frozen, &self.publication)?;
        let merged = fetch::private_file(file::LAYERS)?;
        let changes = write_with_consent(&frozen, &newest, &merged, progress)?;
        self.publication.consent_digest = Some(found);
        self.consent = Some(changes);
        let digest = digest::blake3_of_file(&merged)?;
        self.amend_manifest(dir, &merged)?;
        self.set_layers(merged, digest)
    }

    fn set_layers(&mut self, path: PathBuf, digest: String) -> Result<()> {
        self.publication.layers_digest = Some(digest);
        self.publication = self.publication.clone().named();
        self.layers = Some(path);
        Ok(())
    }

    /// Writes the folder's manifest with the digest of another layer table.
    fn amend_manifest(&mut self, dir: &Path, layers: &Path) -> Result<()> {
        let own = dir.join(file::MANIFEST);
        if !own.exists() {
            return Ok(());
        }
        let mut manifest = Manifest::read(&own)?;
        let entry = FileEntry {
            digest: digest::sha256_of_file(layers)?,
            n_bytes: fs::metadata(layers).or_unreadable(layers)?.len(),
        };
        manifest.files.insert(file::LAYERS.to_owned(), entry);
        let amended = fetch::private_file(file::MANIFEST)?;
        json::write_json(&amended, &manifest)?;
        self.manifest = Some(amended);
        Ok(())
    }
}

//! The publication: the ratios in force, the plan they belong to, and the digests of their
//! evidence.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::manifest::file;
use crate::base::time::Micros;
use crate::base::{digest, json, parallel};
use crate::bucket::{Platform, Ratio};
use crate::layer::LayerFileReader;
use crate::publish::options::Options;
use crate::ramp::{LayerRamp, LayerSchedule, RampStatus, Schedule, Verdict};
use crate::report::StudyDocument;

const SCHEMA: &str = "sluice.publication/1";

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
    /// Id of the baseline: the release that users have today.
    pub baseline: String,
    /// Id of the candidate: the release that is ramped.
    pub candidate: String,
    /// The time of the decision, microseconds UTC.
    pub as_of: Micros,
    /// The status of the ramp: running, completed or rolled back.
    pub status: RampStatus,
    /// The time when the candidate was rolled back by hand, microseconds UTC; `None` if it was not.
    /// Such a candidate is opened again only on request.
    pub rolled_back_at: Option<Micros>,
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

impl Publication {
    /// Builds the publication of a schedule. Display names of layers come from `study`, if present.
    pub fn new(schedule: &Schedule, study: Option<&StudyDocument>) -> Self {
        let name_of = |id: &str| {
            let name = study
                .and_then(|study| study.layers.iter().find(|(layer, _)| layer == id))
                .map(|(_, name)| name.clone());
            name.filter(|name| !name.is_empty())
                .unwrap_or_else(|| id.to_owned())
        };
        let row = |layer: &LayerSchedule| RatioRow {
            tenant: layer.tenant.clone(),
            layer: layer.layer.clone(),
            name: name_of(&layer.layer),
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
            plan_name: study.map_or_else(|| schedule.plan_id.clone(), |study| study.name.clone()),
            baseline: schedule.baseline.clone(),
            candidate: schedule.candidate.clone(),
            as_of: schedule.as_of,
            status: schedule.status(),
            rolled_back_at: None,
            taken_back: BTreeMap::new(),
            profile: schedule.profile.clone(),
            salt: schedule.salt.clone(),
            flag: schedule.flag.clone(),
            evidence_digest: schedule.evidence_digest.clone(),
            layers_digest: schedule.layers_digest.clone(),
            ratios: schedule.layers.iter().map(row).collect(),
        }
        .named()
    }

    /// Returns a copy of the publication with every ratio at 0 and the candidate recorded as rolled
    /// back at `at`, microseconds UTC.
    #[must_use]
    pub fn rolled_back(&self, at: Micros) -> Self {
        let mut back = self.clone();
        for row in &mut back.ratios {
            row.step = 0;
            row.ratio = Ratio::ZERO;
            row.hi_bucket = row.lo_bucket;
            row.verdict = Verdict::Rollback;
            row.reason = "taken back by hand".into();
        }
        back.as_of = at;
        back.taken_back.insert(back.candidate.clone(), at);
        back.rolled_back_at = Some(at);
        back.status = RampStatus::RolledBack;
        back.named()
    }

    /// The publication to write over `current`. Rollbacks by hand that `current` records are kept,
    /// unless the options open this candidate again.
    #[must_use]
    pub fn over(&self, current: Option<&Self>, options: &Options) -> Self {
        let mut next = self.clone();
        let Some(current) = current else { return next };
        for (candidate, at) in &current.taken_back {
            if !(options.reopen && *candidate == next.candidate) {
                next.taken_back.entry(candidate.clone()).or_insert(*at);
            }
        }
        if options.rollback && current.is_open() {
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
        let mut tenants: Vec<&str> = Vec::new();
        for row in &self.ratios {
            if !tenants.contains(&row.tenant.as_str()) {
                tenants.push(&row.tenant);
            }
        }
        tenants
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
    if schedule.schema != "sluice.schedule/1" {
        return wrong(format!("one of form {}", schedule.schema));
    }
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
    /// The folder that the outputs were read from.
    pub dir: PathBuf,
    /// The publication of the schedule in the folder.
    pub publication: Publication,
    /// The path of the layer table; `None` if users are not published.
    pub layers: Option<PathBuf>,
}

impl PublicationSource {
    /// Opens a folder that `sluice run` or the stage commands wrote. `layers` is the path of a
    /// layer table outside the folder; `None` uses the folder's own table, if present.
    ///
    /// # Errors
    /// A missing or invalid schedule, an unreadable study document (except in a rollback), or a
    /// layer table that cannot be read, has unknown layers, or is not the table that the schedule
    /// is based on.
    pub fn open(dir: &Path, layers: Option<&Path>, parts: PublicationParts) -> Result<Self> {
        let schedule_path = dir.join(file::SCHEDULE);
        if !schedule_path.exists() {
            return Err(
                Error::in_file(dir, format!("expected {} in it, found none", file::SCHEDULE))
                    .hint("name a folder of `sluice run` or `sluice schedule`"),
            );
        }
        let schedule: Schedule = json::read_json(&schedule_path)?;
        let study_path = dir.join(file::STUDY);
        check(&schedule, &schedule_path)?;
        let study: Option<StudyDocument> = match json::read_json(&study_path) {
            Ok(study) => Some(study),
            // An unreadable study document only loses display names, so it does not stop a
            // rollback.
            Err(_) if !study_path.exists() || parts == PublicationParts::Rollback => None,
            Err(error) => return Err(error),
        };
        let own = dir.join(file::LAYERS);
        let layers = layers
            .map(Path::to_owned)
            .or_else(|| own.exists().then_some(own))
            .filter(|_| parts == PublicationParts::All);
        let mut publication = Publication::new(&schedule, study.as_ref());
        if let Some(path) = &layers {
            let found = digest::blake3_of_file(path)?;
            if publication
                .layers_digest
                .as_ref()
                .is_some_and(|expected| *expected != found)
            {
                let expected = publication.layers_digest.unwrap_or_default();
                return Err(Error::in_file(path,
                    format!("expected the layer table that the schedule rests on, {expected}, found {found}"),
                )
                .hint("layers are frozen while a release is ramped: use --layers with the table that was in force at the plan's start"));
            }
            check_layers(path, &publication)?;
            publication.layers_digest = Some(found);
            publication = publication.named();
        }
        Ok(Self {
            dir: dir.to_owned(),
            publication,
            layers,
        })
    }
}

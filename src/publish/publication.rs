//! What is to be true at every target: the ratios from now on, whom they are of, and what they rest
//! on.

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

/// The document that every target holds, in its own form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Publication {
    /// Name and version of this document's form.
    pub schema: String,
    /// Names this content: sixteen hexadecimal digits of a digest of everything below.
    pub version: String,
    /// The plan's id.
    pub plan_id: String,
    /// The plan's name for people.
    pub plan_name: String,
    /// The release users have today.
    pub baseline: String,
    /// The release being ramped.
    pub candidate: String,
    /// When it was decided, microseconds.
    pub as_of: Micros,
    /// Where the ramp stands.
    pub status: RampStatus,
    /// When somebody took the candidate back by hand, microseconds. Such a candidate is not opened
    /// again unasked.
    pub rolled_back_at: Option<Micros>,
    /// Every candidate of the plan that was taken back by hand and not opened again since, and
    /// when, microseconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken_back: BTreeMap<String, Micros>,
    /// How production places users.
    pub profile: String,
    /// Text that is hashed beside the user's id.
    pub salt: String,
    /// The flag's key, for systems that hash it.
    pub flag: Option<String>,
    /// Digest of the analysis it rests on.
    pub evidence_digest: String,
    /// Digest of the layer table it rests on.
    pub layers_digest: Option<String>,
    /// The schedule: per tenant and layer, in plan order.
    pub ratios: Vec<RatioRow>,
}

/// A layer's ratio. Users whose bucket is in `lo_bucket..hi_bucket` get the candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatioRow {
    /// The tenant.
    pub tenant: String,
    /// The layer's id.
    pub layer: String,
    /// The layer's name for people.
    pub name: String,
    /// Steps of the ladder taken so far: 0 with a ratio of 0.
    pub step: usize,
    /// Share of the layer's eligible users who get the candidate.
    pub ratio: Ratio,
    /// See the struct.
    pub lo_bucket: u16,
    /// See the struct.
    pub hi_bucket: u16,
    /// What was decided.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Before this instant the ratio does not go up, microseconds.
    pub not_before: Micros,
    /// The layer's part of the plan.
    #[serde(flatten)]
    pub ramp: LayerRamp,
}

impl Publication {
    /// What a schedule says, with the layers' names for people.
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

    /// The same plan with the candidate taken back from everybody, by hand.
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

    /// The same for a target that holds another publication: what was taken back there stays so,
    /// unless this candidate is opened again on purpose.
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
            // Whatever was open there is what somebody wants closed.
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

    /// Reads one back from where it was published.
    ///
    /// # Errors
    /// Text that is no publication.
    pub fn from_json(text: &str, address: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::target(
                address,
                format!("expected a publication of Sluice, found: {error}"),
            )
        })
    }

    /// Whether anybody gets the candidate.
    pub fn is_open(&self) -> bool {
        self.ratios.iter().any(|row| row.ratio > Ratio::ZERO)
    }

    /// The system that places users; `None` for Sluice's own assignment and for unknown ones.
    pub fn platform(&self) -> Option<Platform> {
        Platform::by_name(&self.profile)
    }

    /// The flag's key, for systems that have flags: the plan's, or its id.
    pub fn flag_key(&self) -> &str {
        self.flag.as_deref().unwrap_or(&self.plan_id)
    }

    /// The tenants, in order.
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

/// What of a folder is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicationParts {
    /// Ratios, and who is in which layer.
    All,
    /// Ratios alone: users stay as they are.
    Ratios,
    /// No ratio at all: the candidate is taken back, and only the schedule has to be readable.
    Rollback,
}

/// Refuses a schedule that says two things at once.
fn check(schedule: &Schedule, path: &Path) -> Result<()> {
    let wrong = |found: String| {
        Err(
            Error::in_file(path, format!("expected a schedule of Sluice, found {found}"))
                .hint("make it anew with `sluice schedule`"),
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
            return wrong(format!("a layer \"{}\", whose id is no slug", layer.layer));
        }
    }
    if schedule.layers.is_empty() {
        return wrong("one without layers".into());
    }
    Ok(())
}

/// Reads a layer table once, before any target is reached: every row must be whole, and of a layer
/// that the schedule has. Anything else would be found when a store is half written, or by its
/// readers.
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

/// A folder whose outputs are published.
#[derive(Debug, Clone)]
pub struct PublicationSource {
    /// The folder.
    pub dir: PathBuf,
    /// What is published.
    pub publication: Publication,
    /// The layer table, if it is published too.
    pub layers: Option<PathBuf>,
}

impl PublicationSource {
    /// Reads a folder that `sluice run` or the stage commands wrote. `layers` is the layer table,
    /// if it lies elsewhere.
    ///
    /// # Errors
    /// A folder without a schedule, or one whose schedule rests on another layer table.
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
            // Names for people are not worth a rollback.
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
                .hint("layers are frozen while a release is ramped: name the table of the plan's start with --layers"));
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

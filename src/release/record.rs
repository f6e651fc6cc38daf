//! Release records, read from JSON. Every problem is reported with its path.

use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, ErrorKind, FileResult, Problem, Result};
use crate::base::json::{exact_digest, parse_exact_json};
use crate::base::limits::{Limit, read_limited};
use crate::base::skeleton;
use crate::base::time;
use crate::base::time::Micros;
use crate::release::approver::{Approver, ApproverKind};
use crate::release::dimension::Dimension;
use crate::release::reference::ArtifactRef;

/// The risk level: how much a release or tool may do without supervision. Levels are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// Reads data only.
    Read,
    /// Between `Read` and `Medium`.
    Low,
    /// Between `Low` and `Write`.
    Medium,
    /// Changes data.
    Write,
    /// Needs the approval of two persons.
    High,
}

impl RiskLevel {
    /// Parses the name of a level; `critical` counts as `high`. `None` for other words.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "read" => Self::Read,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "write" => Self::Write,
            "high" | "critical" => Self::High,
            _ => return None,
        })
    }

    /// The name of the level in records, such as `medium`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::Write => "write",
            Self::High => "high",
        }
    }
}

/// A release record. Records are immutable: other content needs another release id.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReleaseRecord {
    /// The id of the release, as logs name it.
    pub release_id: String,
    /// Name of the tenant; `None` if the record has none.
    pub tenant_id: Option<String>,
    /// The time of the record, microseconds UTC; `None` if not recorded.
    pub created_at: Option<Micros>,
    /// The Git commit of the code; `None` if not recorded.
    pub git_sha: Option<String>,
    /// The references to model, prompt, tool schema and knowledge base, in the order of
    /// [`crate::release::dimension::DIMENSIONS`]. `None`: the release has no such artifact.
    pub artifacts: [Option<ArtifactRef>; 4],
    /// The evaluation set; `None` if not recorded.
    pub eval_set: Option<ArtifactRef>,
    /// The URI of the evaluation report; `None` if not recorded.
    pub eval_report_uri: Option<String>,
    /// The digest of the evaluation report; `None` if not recorded.
    pub eval_report_digest: Option<String>,
    /// The time of the evaluation, microseconds UTC; `None` if not recorded.
    pub evaluated_at: Option<Micros>,
    /// The release that the evaluation compared with; `None` if not recorded.
    pub baseline_release_id: Option<String>,
    /// The release to roll back to; `None` if not recorded.
    pub rollback_target: Option<String>,
    /// The approvals of the release; empty if the record has none.
    pub approvers: Vec<Approver>,
    /// The risk level; `None` if not recorded.
    pub risk_level: Option<RiskLevel>,
    /// A summary of the change for readers; `None` if not recorded.
    pub change_summary: Option<String>,
    /// The id of the knowledge base's data snapshot; `None` if not recorded.
    pub data_snapshot_id: Option<String>,
    /// The parts of the cache key; `None` if not recorded.
    pub cache_key: Option<Vec<String>>,
    /// The maximum percentage of users, 0..=100; `None` for no limit. The plan sets the ratios.
    pub canary_percent: Option<f64>,
    /// References to the proof that a person confirms a tool's actions, by tool.
    pub hitl_proof: BTreeMap<String, String>,
    /// A reference to the migration guide for callers of changed tools; `None` if not recorded.
    pub migration: Option<String>,
    /// The digest of the record's canonical form (RFC 8785), `sha256:<hex>`.
    pub digest: String,
    /// Whether the record is a `prod_pointer`: the release in production.
    pub is_production: bool,
    /// The location from which the record was read.
    #[serde(skip)]
    pub place: String,
}

impl ReleaseRecord {
    /// The artifact of a dimension; `None` if the release has none.
    pub fn artifact(&self, dimension: Dimension) -> Option<&ArtifactRef> {
        self.artifacts[dimension as usize].as_ref()
    }

    /// Reads a file with exactly one record, plain or as `prod_pointer`.
    ///
    /// # Errors
    /// An unreadable file, other content than one record, or an invalid record. Every problem of
    /// the record is reported with its path.
    pub fn read(path: &Path) -> Result<Self> {
        let mut records = read_records(path)?;
        match (records.pop(), records.is_empty()) {
            (Some(record), true) => Ok(record),
            _ => {
                Err(Error::in_file(path, "expected one release record, found several").hint("name one file"))
            }
        }
    }

    /// Parses a record from JSON, plain or as `prod_pointer`. `location` is used in errors.
    ///
    /// # Errors
    /// Every problem of the record, with its path.
    pub fn from_json(location: &str, value: &Value) -> Result<Self> {
        let (digest, body, is_production) = match value.get("prod_pointer") {
            Some(pointer) => (exact_digest(location, pointer)?, pointer, true),
            None => (exact_digest(location, value)?, value, false),
        };
        let Some(object) = body.as_object() else {
            return Err(Error::input(
                location.to_owned(),
                format!("expected a release record (an object), found {}", kind_of(body)),
            ));
        };
        let mut reader = Reader {
            place: location,
            object,
            problems: Vec::new(),
        };
        let record = Self {
            release_id: reader.required_text("release_id"),
            tenant_id: reader.text("tenant_id"),
            created_at: reader.instant("created_at"),
            git_sha: reader.text("git_sha"),
            artifacts: reader.artifacts(),
            eval_set: reader.reference("eval_set_ref"),
            eval_report_uri: reader.text("eval_report_uri"),
            eval_report_digest: reader.text("eval_report_digest"),
            evaluated_at: reader.instant("evaluated_at"),
            baseline_release_id: reader.text("baseline_release_id"),
            rollback_target: reader.text("rollback_target"),
            approvers: reader.approvers(),
            risk_level: reader.risk_level(),
            change_summary: reader.prose("change_summary"),
            data_snapshot_id: reader.text("data_snapshot_id"),
            cache_key: reader.texts("cache_key"),
            canary_percent: reader.canary(),
            hitl_proof: reader.proofs(),
            migration: reader.prose("migration"),
            digest,
            is_production,
            place: location.to_owned(),
        };
        reader.finish()?;
        Ok(record)
    }
}

/// Reads all records of a file: one object, an array, or one record per line. For a folder, reads
/// its `.json`, `.jsonl` and `.ndjson` files.
///
/// # Errors
/// An unreadable file, an invalid record, or two different records with one id.
pub fn read_records(path: &Path) -> Result<Vec<ReleaseRecord>> {
    let mut records: Vec<ReleaseRecord> = Vec::new();
    for file in record_files(path)? {
        let location = file.display().to_string();
        let bytes = read_limited(&file, Limit::Document)?;
        for (location, value) in values_of(&file, &location, &bytes)? {
            records.push(ReleaseRecord::from_json(&location, &value)?);
        }
    }
    records.sort_by(|a, b| {
        (&a.tenant_id, &a.release_id, a.is_production).cmp(&(&b.tenant_id, &b.release_id, b.is_production))
    });
    for pair in records
        .windows(2)
        .filter(|pair| pair[0].is_production == pair[1].is_production)
    {
        let (a, b) = (&pair[0], &pair[1]);
        if a.release_id == b.release_id && a.tenant_id == b.tenant_id && a.digest != b.digest {
            let found = format!(
                "expected one record a release, found `{}` with another content in {}",
                a.release_id, a.place
            );
            return Err(Error::input(b.place.clone(), found)
                .hint("records are immutable: a change is a new release with a new id"));
        }
    }
    records.dedup_by(|a, b| a.digest == b.digest && a.is_production == b.is_production);
    Ok(records)
}

fn record_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).or_unreadable(path)?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.is_file() && is_json(file))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Error::in_file(
            path,
            "expected .json, .jsonl or .ndjson files in the folder, found none",
        ));
    }
    Ok(files)
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["json", "jsonl", "ndjson"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

fn values_of(file: &Path, location: &str, bytes: &[u8]) -> Result<Vec<(String, Value)>> {
    if file
        .extension()
        .is_some_and(|extension| !extension.eq_ignore_ascii_case("json"))
    {
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .enumerate()
            .filter(|(_, line)| !line.trim_ascii().is_empty());
        return lines
            .map(|(idx, line)| (format!("{location}: line {}", idx + 1), line))
            .map(|(at, line)| Ok((at.clone(), parse_exact_json(&at, line)?)))
            .collect();
    }
    Ok(match parse_exact_json(location, bytes)? {
        Value::Array(values) => values
            .into_iter()
            .enumerate()
            .map(|(idx, value)| (format!("{location}: [{idx}]"), value))
            .collect(),
        value => vec![(location.to_owned(), value)],
    })
}

/// Reads the fields of an object and collects the problems.
struct Reader<'a> {
    place: &'a str,
    object: &'a Map<String, Value>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn wrong(&mut self, path: &str, expected: &str, found: &Value) {
        self.problems.push(Problem::new(
            format!("{}: {path}", self.place),
            format!("expected {expected}, found {}", kind_of(found)),
        ));
    }

    fn get(&self, key: &str) -> Option<Value> {
        self.object.get(key).filter(|value| !value.is_null()).cloned()
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) if is_plain(&text) => Some(text),
            other => {
                self.wrong(key, PLAIN, &other);
                None
            }
        }
    }

    /// Reads text for people. It may have any character but control characters.
    fn prose(&mut self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text)
                if text.trim() == text && !text.is_empty() && !text.contains(char::is_control) =>
            {
                Some(text)
            }
            other => {
                self.wrong(key, "text without blanks around it or control characters", &other);
                None
            }
        }
    }

    /// Reads `hitl_proof`, an object of references by tool.
    fn proofs(&mut self) -> BTreeMap<String, String> {
        let Some(value) = self.get("hitl_proof") else {
            return BTreeMap::new();
        };
        let entries = value.as_object().map(|fields| {
            fields
                .iter()
                .map(|(tool, proof)| {
                    Some((
                        tool.clone(),
                        proof.as_str().filter(|text| is_plain(text))?.to_owned(),
                    ))
                })
                .collect::<Option<_>>()
        });
        match entries.flatten() {
            Some(entries) => entries,
            None => {
                self.wrong("hitl_proof", "an object of texts, by tool", &value);
                BTreeMap::new()
            }
        }
    }

    fn required_text(&mut self, key: &str) -> String {
        if self.get(key).is_none() {
            self.problems.push(Problem::new(
                format!("{}: {key}", self.place),
                "expected text, found nothing",
            ));
        }
        self.text(key).unwrap_or_default()
    }

    fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let value = self.get(key)?;
        let items: Option<Vec<String>> = match &value {
            Value::String(text) => Some(
                text.split([',', '+', '|'])
                    .map(|part| part.trim().to_owned())
                    .collect(),
            ),
            Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect(),
            _ => None,
        };
        if items.is_none() {
            self.wrong(key, "a list of texts", &value);
        }
        items
    }

    fn instant(&mut self, key: &str) -> Option<Micros> {
        let value = self.get(key)?;
        let at = value.as_str().and_then(|text| time::parse(text).ok());
        if at.is_none() {
            self.wrong(key, time::EXPECTED, &value);
        }
        at
    }

    fn reference(&mut self, key: &str) -> Option<ArtifactRef> {
        let value = self.get(key)?;
        self.reference_of(key, &value)
    }

    fn reference_of(&mut self, path: &str, value: &Value) -> Option<ArtifactRef> {
        match value {
            Value::String(text) if is_plain(text) => Some(ArtifactRef::from_text(text)),
            Value::Object(fields) => {
                let known = ["ref", "digest", "mutable", "retention_hours", "created_at"];
                let mut expect = |key: &str, expected: &str, fits: &dyn Fn(&Value) -> bool| {
                    let value = fields.get(key).filter(|value| !value.is_null());
                    if let Some(found) = value.filter(|value| !fits(value)) {
                        self.wrong(&format!("{path}.{key}"), expected, found);
                    }
                    value
                };
                let digest = expect("digest", "text", &Value::is_string)
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                let mutable = expect("mutable", "true or false", &Value::is_boolean)
                    .and_then(Value::as_bool)
                    .unwrap_or(false);
                let retention_hours =
                    expect("retention_hours", "whole hours", &Value::is_u64).and_then(Value::as_u64);
                let is_instant = |value: &Value| value.as_str().is_some_and(|text| time::parse(text).is_ok());
                let created_at = expect("created_at", time::EXPECTED, &is_instant)
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                let Some(reference) = fields
                    .get("ref")
                    .and_then(Value::as_str)
                    .filter(|text| is_plain(text))
                else {
                    self.wrong(
                        &format!("{path}.ref"),
                        PLAIN,
                        fields.get("ref").unwrap_or(&Value::Null),
                    );
                    return None;
                };
                let of_text = ArtifactRef::from_text(reference);
                Some(ArtifactRef {
                    digest: digest.or(of_text.digest),
                    mutable,
                    retention_hours,
                    created_at,
                    attributes: fields
                        .iter()
                        .filter(|(key, _)| !known.contains(&key.as_str()))
                        .map(|(k, v)| (k.clone(), v.clone()))
                        .collect(),
                    reference: of_text.reference,
                })
            }
            other => {
                self.wrong(path, "a reference as text or as {ref, digest}", other);
                None
            }
        }
    }

    fn artifacts(&mut self) -> [Option<ArtifactRef>; 4] {
        let Some(Value::Object(artifacts)) = self.get("artifacts") else {
            let found = self.object.get("artifacts").unwrap_or(&Value::Null).clone();
            self.wrong(
                "artifacts",
                "an object with model_ref, prompt_ref, tool_schema_ref and kb_index_ref",
                &found,
            );
            return [None, None, None, None];
        };
        crate::release::dimension::DIMENSIONS.map(|dimension| {
            let (key, short) = (dimension.key(), dimension.name());
            let path = format!("artifacts.{key}");
            let Some(value) = artifacts.get(key).or_else(|| artifacts.get(short)) else {
                self.problems.push(Problem::new(
                    format!("{}: {path}", self.place),
                    "expected a reference, found nothing",
                ));
                return None;
            };
            // Null states that the release has no such artifact, for example no tools.
            if value.is_null() {
                return None;
            }
            let mut artifact = self.reference_of(&path, value)?;
            // The dictionary belongs to the index, even if the record names it elsewhere.
            let dict = self
                .get("dict_version")
                .or_else(|| artifacts.get("dict_version").cloned());
            if let (Dimension::KbIndex, Some(dict)) = (dimension, dict) {
                artifact.attributes.insert("dict_version".into(), dict);
            }
            Some(artifact)
        })
    }

    fn approvers(&mut self) -> Vec<Approver> {
        let Some(value) = self.get("approvers") else {
            return Vec::new();
        };
        let Value::Array(items) = &value else {
            self.wrong("approvers", "a list", &value);
            return Vec::new();
        };
        let mut approvers = Vec::new();
        for (idx, item) in items.iter().enumerate() {
            let path = format!("approvers[{idx}]");
            match item {
                // The kind of a plain name is unknown, unless it is that of a program.
                Value::String(id) if !id.trim().is_empty() => {
                    let kind = if skeleton::is_program(id) {
                        ApproverKind::Bot
                    } else {
                        ApproverKind::Unknown
                    };
                    approvers.push(Approver {
                        id: id.clone(),
                        kind,
                        at: None,
                    });
                }
                Value::Object(fields) => {
                    let kind = match fields.get("kind").and_then(Value::as_str) {
                        Some("human") => ApproverKind::Human,
                        Some("bot") => ApproverKind::Bot,
                        None if !fields.contains_key("kind") => ApproverKind::Unknown,
                        _ => {
                            self.wrong(&format!("{path}.kind"), "human or bot", &fields["kind"]);
                            continue;
                        }
                    };
                    let at = fields.get("at").filter(|at| !at.is_null());
                    let parsed = at.and_then(Value::as_str).and_then(|text| time::parse(text).ok());
                    if let (Some(at), None) = (at, parsed) {
                        self.wrong(&format!("{path}.at"), time::EXPECTED, at);
                    }
                    match fields
                        .get("id")
                        .and_then(Value::as_str)
                        .filter(|id| !id.trim().is_empty())
                    {
                        Some(id) => approvers.push(Approver {
                            id: id.to_owned(),
                            kind: if skeleton::is_program(id) {
                                ApproverKind::Bot
                            } else {
                                kind
                            },
                            at: parsed,
                        }),
                        None => self.wrong(
                            &format!("{path}.id"),
                            PLAIN,
                            fields.get("id").unwrap_or(&Value::Null),
                        ),
                    }
                }
                other => self.wrong(&path, "a name or {id, kind, at}", other),
            }
        }
        approvers
    }

    fn risk_level(&mut self) -> Option<RiskLevel> {
        let value = self.get("risk_level")?;
        let level = value.as_str().and_then(RiskLevel::from_word);
        if level.is_none() {
            self.wrong("risk_level", "read, low, medium, write, high or critical", &value);
        }
        level
    }

    fn canary(&mut self) -> Option<f64> {
        let value = self.get("canary_percent").or_else(|| {
            self.get("canary")
                .and_then(|canary| canary.get("percent").cloned())
        })?;
        let percent = value.as_f64().filter(|percent| (0.0..=100.0).contains(percent));
        if percent.is_none() {
            self.wrong("canary_percent", "a number in 0..=100", &value);
        }
        percent
    }

    fn finish(self) -> Result<()> {
        let mut problems = self.problems.into_iter();
        match problems.next() {
            None => Ok(()),
            Some(first) => Err(problems.fold(Error::new(ErrorKind::Input, first), Error::and)),
        }
    }
}

/// The required form of ids and references. It excludes different texts that look equal.
const PLAIN: &str = "text without blanks around it, control characters or invisible characters";

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && skeleton::hidden_char(text).is_none()
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".into(),
        Value::String(text) => format!("`{}`", text.chars().take(60).collect::<String>()),
        other => format!("`{other}`"),
    }
}

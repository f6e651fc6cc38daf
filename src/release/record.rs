//! A release record, read from JSON, with every problem at its path.

use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, ErrorKind, FileResult, Problem, Result};
use crate::base::json::{canonical, parse_json};
use crate::base::time;
use crate::base::time::Micros;
use crate::release::dimension::Dimension;
use crate::release::reference::ArtifactRef;

/// Bytes of a file of records beyond which it is refused: a record has a thousand.
const MAX_BYTES: u64 = 1 << 30;

/// How much a release may do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// It looks things up.
    Read,
    /// Between the others.
    Low,
    /// Between the others.
    Medium,
    /// It changes things.
    Write,
    /// It needs two people's approval.
    High,
}

impl RiskLevel {
    /// The level of a word.
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

    /// The word.
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

/// Who approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApproverKind {
    /// A person.
    Human,
    /// A program.
    Bot,
    /// The record does not say; nobody is taken for a person because of a name.
    Unknown,
}

/// An approval in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approver {
    /// Who.
    pub id: String,
    /// A person or a program.
    pub kind: ApproverKind,
    /// When, if the record says so.
    pub at: Option<Micros>,
}

/// What one release is made of. Immutable: another content is another release.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReleaseRecord {
    /// Its name in every log.
    pub release_id: String,
    /// Whose it is; `None` where the record does not say.
    pub tenant_id: Option<String>,
    /// When it was recorded.
    pub created_at: Option<Micros>,
    /// The code's commit.
    pub git_sha: Option<String>,
    /// Model, prompt, tool schema, knowledge base: in the order of
    /// [`crate::release::dimension::DIMENSIONS`].
    pub artifacts: [Option<ArtifactRef>; 4],
    /// The cases it was evaluated on.
    pub eval_set: Option<ArtifactRef>,
    /// Where the report of that evaluation is.
    pub eval_report_uri: Option<String>,
    /// Its digest.
    pub eval_report_digest: Option<String>,
    /// When the evaluation ran.
    pub evaluated_at: Option<Micros>,
    /// The release it was compared with.
    pub baseline_release_id: Option<String>,
    /// The release to return to.
    pub rollback_target: Option<String>,
    /// Who approved.
    pub approvers: Vec<Approver>,
    /// How much it may do by itself.
    pub risk_level: Option<RiskLevel>,
    /// For people.
    pub change_summary: Option<String>,
    /// The knowledge base's batch.
    pub data_snapshot_id: Option<String>,
    /// Keys that caches are found by.
    pub cache_key: Option<Vec<String>>,
    /// A cap on the share of users, 0..=100. Ratios belong to the plan.
    pub canary_percent: Option<f64>,
    /// By tool, where the proof is that a person confirms what it does.
    pub hitl_proof: BTreeMap<String, String>,
    /// Where the change of the tool schema says how callers move on.
    pub migration: Option<String>,
    /// `sha256:<hex>` of the record's canonical form (RFC 8785).
    pub digest: String,
    /// Whether this is a `prod_pointer`: what runs now.
    pub is_production: bool,
    /// Where it was read.
    #[serde(skip)]
    pub place: String,
}

impl ReleaseRecord {
    /// The artifact of a dimension.
    pub fn artifact(&self, dimension: Dimension) -> Option<&ArtifactRef> {
        self.artifacts[dimension as usize].as_ref()
    }

    /// Reads one record from a file that holds one (plain, or as `prod_pointer`).
    ///
    /// # Errors
    /// A file that cannot be read, or that holds something else than one record; every problem of
    /// the record at its path.
    pub fn read(path: &Path) -> Result<Self> {
        let mut records = read_records(path)?;
        match (records.pop(), records.is_empty()) {
            (Some(record), true) => Ok(record),
            _ => {
                Err(Error::in_file(path, "expected one release record, found several").hint("name one file"))
            }
        }
    }

    /// Takes a record from JSON: plain, or inside of `prod_pointer`.
    ///
    /// # Errors
    /// Every problem at its path.
    pub fn from_json(location: &str, value: &Value) -> Result<Self> {
        let (digest, body, is_production) = match value.get("prod_pointer") {
            Some(pointer) => (canonical(location, pointer)?.1, pointer, true),
            None => (canonical(location, value)?.1, value, false),
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
            change_summary: reader.text("change_summary"),
            data_snapshot_id: reader.text("data_snapshot_id"),
            cache_key: reader.texts("cache_key"),
            canary_percent: reader.canary(),
            hitl_proof: reader.proofs(),
            migration: reader.text("migration"),
            digest,
            is_production,
            place: location.to_owned(),
        };
        reader.finish()?;
        Ok(record)
    }
}

/// Reads every record of a file (one object, an array, or one a line) or of the `.json`, `.jsonl`
/// and `.ndjson` files of a folder.
///
/// # Errors
/// A file that cannot be read or holds something else; two different records under one id.
pub fn read_records(path: &Path) -> Result<Vec<ReleaseRecord>> {
    let mut records: Vec<ReleaseRecord> = Vec::new();
    for file in record_files(path)? {
        let location = file.display().to_string();
        let size = std::fs::metadata(&file).or_unreadable(&file)?.len();
        if size > MAX_BYTES {
            return Err(Error::input(
                location,
                format!("expected release records, found a file of {size} bytes"),
            ));
        }
        let bytes = std::fs::read(&file).or_unreadable(&file)?;
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
            .map(|(at, line)| Ok((at.clone(), parse_json(&at, line)?)))
            .collect();
    }
    Ok(match parse_json(location, bytes)? {
        Value::Array(values) => values
            .into_iter()
            .enumerate()
            .map(|(idx, value)| (format!("{location}: [{idx}]"), value))
            .collect(),
        value => vec![(location.to_owned(), value)],
    })
}

/// Takes fields out of an object and collects what is wrong with them.
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

    /// `hitl_proof`: by tool, a reference.
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
        let at = value.as_str().and_then(time::parse);
        if at.is_none() {
            self.wrong(key, "an instant such as 2026-05-28T00:00:00Z", &value);
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
                let is_instant = |value: &Value| value.as_str().and_then(time::parse).is_some();
                let created_at = expect("created_at", "an instant", &is_instant)
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
            // A release may have no tools or no knowledge base, and says so.
            if value.is_null() {
                return None;
            }
            let mut artifact = self.reference_of(&path, value)?;
            // The dictionary belongs to the index, wherever the record names it.
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
                // A plain name says nothing of its kind, unless it says that it is a bot.
                Value::String(id) if !id.trim().is_empty() => {
                    let kind = if id
                        .to_ascii_lowercase()
                        .split(['_', '-', '.'])
                        .any(|word| word == "bot")
                    {
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
                    let parsed = at.and_then(Value::as_str).and_then(time::parse);
                    if let (Some(at), None) = (at, parsed) {
                        self.wrong(&format!("{path}.at"), "an instant", at);
                    }
                    match fields
                        .get("id")
                        .and_then(Value::as_str)
                        .filter(|id| !id.trim().is_empty())
                    {
                        Some(id) => approvers.push(Approver {
                            id: id.to_owned(),
                            kind,
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

/// What ids and references must be: two that look alike are alike.
const PLAIN: &str = "text without blanks around it or control characters";

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control)
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

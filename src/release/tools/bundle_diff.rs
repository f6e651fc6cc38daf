//! Changes between two tool bundles: schemas, permissions, and whether the versions announce the
//! changes.

use semver::Version;
use serde::Serialize;
use std::collections::HashMap;

use crate::release::record::RiskLevel;
use crate::release::tools::bundle::{Tool, ToolBundle};
use crate::release::tools::schema_diff::{Level, Side, diff_within};
use crate::release::tools::work::{Work, n_values};

/// The subject of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Concern {
    /// The schemas, on which callers and readers of results depend.
    Schema,
    /// The permissions and the supervision of a tool. A new version does not make such a change
    /// harmless.
    Safety,
    /// The texts that the model reads.
    Words,
    /// The version numbers and migration guides.
    Version,
}

/// One difference between two bundles, in a tool or in the bundle itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolChange {
    /// The name of the tool; empty for the bundle itself.
    pub tool: String,
    /// The id of the rule that reports the change. It does not change between versions of Sluice.
    pub rule: &'static str,
    /// The subject of the change.
    pub concern: Concern,
    /// The side of the schema; `None` for a change outside the schemas.
    pub side: Option<Side>,
    /// The location in the schema; empty for a change outside the schemas.
    pub path: String,
    /// The severity of the change.
    pub level: Level,
    /// Text with the values before and after the change.
    pub detail: String,
}

/// The comparison of two bundles.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BundleDiff {
    /// The versions before and after; `None` for a bundle without a version.
    pub versions: [Option<String>; 2],
    /// The digests before and after.
    pub digests: [String; 2],
    /// The numbers of tools in both bundles, only in the old one, and only in the new one.
    pub n_tools: [usize; 3],
    /// The changes, sorted by tool and then by severity, the worst first.
    pub changes: Vec<ToolChange>,
}

impl BundleDiff {
    /// The changes of a given subject and severity.
    pub fn changes_at(&self, concern: Concern, level: Level) -> impl Iterator<Item = &ToolChange> {
        self.changes
            .iter()
            .filter(move |change| change.concern == concern && change.level == level)
    }
}

/// Compares two bundles. `migration` states that the release record has a migration guide.
pub fn diff_bundles(old: &ToolBundle, new: &ToolBundle, migration: bool) -> BundleDiff {
    let mut changes = Vec::new();
    let mut n_both = 0;
    // Many tools share one budget, which each can take only a part of.
    let schemas = old.tools.iter().chain(&new.tools);
    let n_all =
        schemas.map(|tool| n_values(&tool.input_schema) + tool.output_schema.as_ref().map_or(0, n_values));
    let work = Work::new(Work::for_values(n_all.sum()).left().saturating_mul(4));
    let added: Vec<&Tool> = new
        .tools
        .iter()
        .filter(|after| old.tool(&after.name).is_none())
        .collect();
    let added_by_schema: HashMap<String, &Tool> = added
        .iter()
        .rev()
        .map(|tool| (tool.input_schema.to_string(), *tool))
        .collect();
    for before in &old.tools {
        match new.tool(&before.name) {
            Some(after) => {
                n_both += 1;
                tool(before, after, &work, &mut changes);
                let breaks = changes.iter().any(|c| {
                    c.tool == before.name && c.concern == Concern::Schema && c.level == Level::Error
                });
                let touched = changes
                    .iter()
                    .any(|c| c.tool == before.name && c.level > Level::Info);
                let has_migration = migration
                    || is_new(&old.migration, &new.migration)
                    || is_new(&before.migration, &after.migration);
                versions(
                    &before.name,
                    [&before.version, &after.version],
                    [breaks, touched],
                    has_migration,
                    &mut changes,
                );
            }
            None => {
                let renamed = added_by_schema.get(&before.input_schema.to_string());
                let (rule, detail) = match renamed {
                    Some(after) => (
                        "tool-renamed",
                        format!("`{}` is called `{}` now", before.name, after.name),
                    ),
                    None => ("tool-removed", format!("`{}` is gone", before.name)),
                };
                changes.push(beside(&before.name, rule, Concern::Schema, Level::Error, detail));
            }
        }
    }
    for after in &added {
        let (rule, level) = if after.writes() {
            ("write-tool-added", Level::Warning)
        } else {
            ("tool-added", Level::Info)
        };
        changes.push(beside(
            &after.name,
            rule,
            Concern::Schema,
            level,
            format!("`{}` is new", after.name),
        ));
    }
    for after in &new.tools {
        contradictions(after, &mut changes);
    }
    let breaks = changes
        .iter()
        .any(|c| c.concern == Concern::Schema && c.level == Level::Error);
    let touched = changes.iter().any(|c| c.level > Level::Info);
    versions(
        "",
        [&old.version, &new.version],
        [breaks, touched],
        migration || is_new(&old.migration, &new.migration) || all_migrate(old, new, &changes),
        &mut changes,
    );
    changes.sort_by(|a, b| (&a.tool, std::cmp::Reverse(a.level)).cmp(&(&b.tool, std::cmp::Reverse(b.level))));
    BundleDiff {
        versions: [old.version.clone(), new.version.clone()],
        digests: [old.digest.clone(), new.digest.clone()],
        n_tools: [n_both, old.tools.len() - n_both, added.len()],
        changes,
    }
}

/// Whether every tool with a breaking change has a new migration guide of its own.
fn all_migrate(old: &ToolBundle, new: &ToolBundle, changes: &[ToolChange]) -> bool {
    let mut breaking = changes
        .iter()
        .filter(|c| c.concern == Concern::Schema && c.level == Level::Error);
    breaking.all(|c| {
        new.tool(&c.tool).is_some_and(|tool| {
            is_new(
                &old.tool(&c.tool).and_then(|before| before.migration.clone()),
                &tool.migration,
            )
        })
    })
}

/// Whether a migration guide is present and differs from the previous one.
fn is_new(before: &Option<String>, now: &Option<String>) -> bool {
    now.is_some() && before != now
}

fn beside(tool: &str, rule: &'static str, concern: Concern, level: Level, detail: String) -> ToolChange {
    ToolChange {
        tool: tool.to_owned(),
        rule,
        concern,
        side: None,
        path: String::new(),
        level,
        detail,
    }
}

fn tool(old: &Tool, new: &Tool, work: &Work, changes: &mut Vec<ToolChange>) {
    let name = &new.name;
    let none = serde_json::Value::Bool(true);
    let sides = [
        (Side::Input, Some(&old.input_schema), Some(&new.input_schema)),
        (
            Side::Output,
            old.output_schema.as_ref(),
            new.output_schema.as_ref(),
        ),
    ];
    for (side, before, after) in sides {
        let (before, after) = (before.unwrap_or(&none), after.unwrap_or(&none));
        let own = Work::for_values(n_values(before).saturating_add(n_values(after))).left();
        let own = Work::new(own.min(work.left()));
        let n_before = own.left();
        let found = diff_within(before, after, side, &own);
        work.spend(n_before - own.left());
        for change in found {
            let concern = if ["description-changed", "title-changed"].contains(&change.rule) {
                Concern::Words
            } else {
                Concern::Schema
            };
            changes.push(ToolChange {
                tool: name.clone(),
                rule: change.rule,
                concern,
                side: Some(side),
                path: change.path,
                level: change.level,
                detail: change.detail,
            });
        }
    }
    let mut note =
        |rule, concern, level, detail: String| changes.push(beside(name, rule, concern, level, detail));
    let show = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
    for (rule, before, after) in [
        ("description-changed", &old.description, &new.description),
        ("title-changed", &old.title, &new.title),
    ] {
        if before != after {
            note(
                rule,
                Concern::Words,
                Level::Warning,
                "the model reads it: the prompt changes with it".into(),
            );
        }
    }
    if old.hitl_proof.is_some() && new.hitl_proof.is_none() {
        note(
            "hitl-proof-removed",
            Concern::Safety,
            Level::Error,
            "nothing proves any more that a person confirms".into(),
        );
    }
    if old.risk_level != new.risk_level {
        let risk = |tool: &Tool| tool.risk_level.map_or("none", RiskLevel::name);
        let detail = format!("{} to {}", risk(old), risk(new));
        // A tool without a level counts as one that changes data.
        let weight = |tool: &Tool| tool.risk_level.unwrap_or(RiskLevel::Write);
        if weight(new) > weight(old) {
            note("risk-level-raised", Concern::Safety, Level::Error, detail);
        } else {
            note(
                "risk-level-lowered",
                Concern::Safety,
                Level::Error,
                format!("{detail}: fewer checks apply now"),
            );
        }
    }
    let strength = |word: &Option<String>| match word.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("required" | "always" | "true") => 2,
        Some("conditional" | "optional" | "recommended" | "sampled" | "key" | "supported") => 1,
        // An unknown word counts as no requirement.
        _ => 0,
    };
    for (rules, before, after) in [
        (["hitl-loosened", "hitl-tightened"], &old.hitl, &new.hitl),
        (
            ["idempotency-loosened", "idempotency-tightened"],
            &old.idempotency,
            &new.idempotency,
        ),
    ] {
        let detail = format!("{} to {}", show(before), show(after));
        match strength(after).cmp(&strength(before)) {
            std::cmp::Ordering::Less => note(rules[0], Concern::Safety, Level::Error, detail),
            std::cmp::Ordering::Greater => note(rules[1], Concern::Safety, Level::Info, detail),
            std::cmp::Ordering::Equal => {}
        }
    }
    match (old.max_calls, new.max_calls) {
        (Some(before), None) => note(
            "max-calls-removed",
            Concern::Safety,
            Level::Error,
            format!("{before} to no limit"),
        ),
        (Some(before), Some(after)) if after > before => note(
            "max-calls-raised",
            Concern::Safety,
            Level::Error,
            format!("{before} to {after}"),
        ),
        (before, Some(after)) if before != Some(after) => {
            note(
                "max-calls-lowered",
                Concern::Safety,
                Level::Info,
                format!(
                    "{} to {after}",
                    before.map_or("no limit".into(), |n| n.to_string())
                ),
            );
        }
        _ => {}
    }
    let (before, after) = (old.annotations, new.annotations);
    for (rule, level, worse) in [
        (
            "read-became-write",
            Level::Error,
            before.read_only && !after.read_only,
        ),
        (
            "became-destructive",
            Level::Error,
            !before.destructive && after.destructive,
        ),
        (
            "became-not-idempotent",
            Level::Error,
            before.idempotent && !after.idempotent,
        ),
        (
            "became-open-world",
            Level::Warning,
            !before.open_world && after.open_world,
        ),
    ] {
        if worse {
            note(
                rule,
                Concern::Safety,
                level,
                "by its hints, where absent taken at their worst".into(),
            );
        }
    }
}

/// Reports contradictions between the risk level and the hints. Hints are not trusted, so the risk
/// level takes precedence.
fn contradictions(tool: &Tool, changes: &mut Vec<ToolChange>) {
    let [says_read_only, says_destructive, _, _] = tool.has_hint;
    let reads = tool.risk_level.is_some_and(|risk| risk < RiskLevel::Write);
    let writes = tool.risk_level.is_some_and(|risk| risk >= RiskLevel::Write);
    let contradicts = (reads && says_destructive && tool.annotations.destructive)
        || (reads && says_read_only && !tool.annotations.read_only)
        || (writes && says_read_only && tool.annotations.read_only);
    if contradicts {
        let detail = format!(
            "risk level {} against its hints",
            tool.risk_level.map_or("none", RiskLevel::name)
        );
        changes.push(beside(
            &tool.name,
            "risk-contradicts-hints",
            Concern::Safety,
            Level::Warning,
            detail,
        ));
    }
}

/// Checks that versions announce the changes. A breaking change needs a new major version and a
/// migration guide. Any other relevant change needs a new version.
fn versions(
    name: &str,
    versions: [&Option<String>; 2],
    [breaks, touched]: [bool; 2],
    migration: bool,
    changes: &mut Vec<ToolChange>,
) {
    let mut note =
        |rule, level, detail: String| changes.push(beside(name, rule, Concern::Version, level, detail));
    let what = if name.is_empty() { "the bundle" } else { "the tool" };
    let show = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".into());
    let detail = format!("{} to {}", show(versions[0]), show(versions[1]));
    let parsed = versions.map(|version| version.as_deref().map(lenient));
    if let [_, Some(None)] | [Some(None), _] = parsed {
        note(
            "version-malformed",
            if breaks { Level::Error } else { Level::Warning },
            format!("{detail}: expected MAJOR.MINOR.PATCH"),
        );
        return;
    }
    let [before, after] = parsed.map(Option::flatten);
    match (before, after) {
        (Some(before), Some(after)) => {
            // Below 1.0.0, a new minor version may contain breaking changes.
            let major = |version: &Version| {
                if version.major == 0 {
                    (0, version.minor)
                } else {
                    (version.major, 0)
                }
            };
            if breaks && major(&after) <= major(&before) {
                note(
                    "major-version-missing",
                    Level::Error,
                    format!("{detail}: {what} breaks somebody without a new major version"),
                );
            } else if after.major > before.major && !breaks && !migration {
                note(
                    "migration-missing",
                    Level::Error,
                    format!("{detail}: a new major version, and nothing says how to move on"),
                );
            } else if after < before {
                note("version-decreased", Level::Warning, detail.clone());
            } else if touched && after == before {
                note(
                    "version-not-bumped",
                    Level::Warning,
                    format!("{detail}: {what} changed under one version"),
                );
            }
        }
        (Some(_), None) => note(
            "version-removed",
            if breaks { Level::Error } else { Level::Warning },
            detail.clone(),
        ),
        // A tool without a version is covered by the version of its bundle.
        (None, _) if breaks && name.is_empty() => note(
            "major-version-missing",
            Level::Error,
            format!("{detail}: {what} breaks somebody, and has no version"),
        ),
        _ => {}
    }
    if breaks && !migration {
        note(
            "migration-missing",
            Level::Error,
            format!("{what} has a breaking change without a migration guide"),
        );
    }
}

/// Parses a version. Short forms such as `2.4` and `v2` are accepted. `None` for other text.
fn lenient(text: &str) -> Option<Version> {
    let text = text.trim().trim_start_matches(['v', 'V']);
    Version::parse(text)
        .ok()
        .or_else(|| Version::parse(&format!("{text}.0")).ok())
        .or_else(|| Version::parse(&format!("{text}.0.0")).ok())
}

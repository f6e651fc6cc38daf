//! Changes between two tool bundles: schemas, permissions, and whether the versions announce the
//! changes.

use semver::Version;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

use crate::release::record::RiskLevel;
use crate::release::tools::bundle::{TaskSupport, Tool, ToolBundle};
use crate::release::tools::schema_diff::{Level, Side};
use crate::release::tools::tool_change::{Concern, ToolChange, beside};
use crate::release::tools::tool_schemas::{invalid, problems_of, schemas, strict, takes_arguments};
use crate::release::tools::work::{Work, n_values};

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
    let work = Work::of_many(n_all.sum());
    let added: Vec<&Tool> = new
        .tools
        .iter()
        .filter(|after| old.tool(&after.name).is_none())
        .collect();
    let added_by_schema: HashMap<String, &Tool> = added
        .iter()
        .rev()
        .filter(|tool| takes_arguments(tool))
        .map(|tool| (tool.input_schema.to_string(), *tool))
        .collect();
    let mut not_listed = Vec::new();
    for before in &old.tools {
        match new.tool(&before.name) {
            Some(after) => {
                n_both += 1;
                let n_before = changes.len();
                tool(before, after, &work, &mut changes);
                let own = &changes[n_before..];
                let breaks = own
                    .iter()
                    .any(|c| c.concern == Concern::Schema && c.level == Level::Error);
                let touched = own.iter().any(|c| c.level > Level::Info);
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
            None if new.is_partial => not_listed.push(before.name.as_str()),
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
    // Clients that refuse whole lists refused the old one, too, if it had such a tool.
    let was_refused = old.tools.iter().any(|tool| !problems_of(tool).is_empty());
    let level = if was_refused { Level::Warning } else { Level::Error };
    for after in &added {
        for problem in problems_of(after) {
            changes.push(invalid(after, Side::Input, problem, level));
        }
    }
    if (old.is_partial || new.is_partial) && old.digest != new.digest {
        changes.push(partial(old, new, &not_listed));
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

fn tool(old: &Tool, new: &Tool, work: &Work, changes: &mut Vec<ToolChange>) {
    schemas(old, new, work, changes);
    strict(old, new, changes);
    let name = &new.name;
    let mut note =
        |rule, concern, level, detail: String| changes.push(beside(name, rule, concern, level, detail));
    let show = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
    if old.description != new.description {
        note(
            "description-changed",
            Concern::Words,
            Level::Warning,
            "the model reads it: the prompt changes with it".into(),
        );
    }
    if old.title != new.title {
        let detail = format!("{} to {}: people read it", show(&old.title), show(&new.title));
        note("title-changed", Concern::Words, Level::Info, detail);
    }
    for key in old
        .others
        .keys()
        .chain(new.others.keys())
        .collect::<BTreeSet<_>>()
    {
        if old.others.get(key) != new.others.get(key) {
            note(
                "field-changed",
                Concern::Words,
                Level::Info,
                format!("`{key}`: no rule is about it"),
            );
        }
    }
    tasks(old, new, &mut note);
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
    let became_read_only = !before.read_only && after.read_only;
    for (rule, is_better) in [
        ("became-read-only", became_read_only),
        (
            "became-not-destructive",
            !became_read_only && before.destructive && !after.destructive,
        ),
        (
            "became-idempotent",
            !became_read_only && !before.idempotent && after.idempotent,
        ),
        ("became-closed-world", before.open_world && !after.open_world),
    ] {
        if is_better {
            note(
                rule,
                Concern::Safety,
                Level::Warning,
                "by its hints: clients may approve or repeat its calls without asking".into(),
            );
        }
    }
}

/// The change that says that lists are not whole.
fn partial(old: &ToolBundle, new: &ToolBundle, not_listed: &[&str]) -> ToolChange {
    let which = match (old.is_partial, new.is_partial) {
        (true, true) => "both lists are pages",
        (true, false) => "the list before is a page",
        _ => "the list after is a page",
    };
    let mut detail = format!("undecided: {which} that another one follows (`nextCursor`)");
    if !not_listed.is_empty() {
        let names: Vec<&str> = not_listed.iter().take(5).copied().collect();
        detail.push_str(&format!(
            "; whether {} tools are removed is not known: {}",
            not_listed.len(),
            names.join(", ")
        ));
    }
    detail.push_str("; fetch all pages into one list, or into one folder");
    beside("", "partial-list", Concern::Schema, Level::Warning, detail)
}

/// Compares whether calls may, must or must not be tasks.
fn tasks(old: &Tool, new: &Tool, note: &mut impl FnMut(&'static str, Concern, Level, String)) {
    // Whether plain calls and tasks are accepted.
    let accepts = |tool: &Tool| match tool.tasks {
        TaskSupport::Forbidden => [true, false],
        TaskSupport::Optional => [true, true],
        TaskSupport::Required => [false, true],
    };
    let detail = format!("{} to {}", old.tasks.name(), new.tasks.name());
    match (accepts(old), accepts(new)) {
        (before, after) if before == after => {}
        ([true, _], [false, _]) => note(
            "task-support-narrowed",
            Concern::Schema,
            Level::Error,
            format!("{detail}: clients that do not use tasks cannot call it"),
        ),
        ([_, true], [_, false]) => note(
            "task-support-narrowed",
            Concern::Schema,
            Level::Error,
            format!("{detail}: calls as tasks are refused"),
        ),
        _ => note("task-support-widened", Concern::Schema, Level::Info, detail),
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

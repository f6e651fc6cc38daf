//! Changes of the schemas of one tool, and of how strictly the model keeps to them.

use serde_json::{Value, json};
use std::sync::LazyLock;

use crate::release::tools::bundle::Tool;
use crate::release::tools::schema_diff::{Level, Side, diff_nodes};
use crate::release::tools::tool_change::{Concern, ToolChange, beside};
use crate::release::tools::validity::{Problem, describes, problems_of_strict, problems_of_tool};
use crate::release::tools::work::{Work, n_values};

/// Compares the schemas of both sides. An invalid schema makes a tool unusable, so a change to one
/// breaks, and nothing breaks that was unusable before.
pub(super) fn schemas(old: &Tool, new: &Tool, work: &Work, changes: &mut Vec<ToolChange>) {
    if old.provided.is_some() || new.provided.is_some() {
        if old.provided != new.provided {
            let detail = "undecided: a tool of the provider without a schema changed";
            changes.push(beside(
                &new.name,
                "tool-not-understood",
                Concern::Schema,
                Level::Warning,
                detail.into(),
            ));
        }
        return;
    }
    one_side(
        Side::Input,
        [(old, &old.input_schema), (new, &new.input_schema)],
        work,
        changes,
    );
    match (&old.output_schema, &new.output_schema) {
        (None, None) => {}
        (Some(before), Some(after)) => one_side(Side::Output, [(old, before), (new, after)], work, changes),
        (Some(_), None) => changes.push(ToolChange {
            side: Some(Side::Output),
            path: "/".into(),
            ..beside(
                &new.name,
                "output-schema-removed",
                Concern::Schema,
                Level::Error,
                "nothing says any more what the result is".into(),
            )
        }),
        (None, Some(after)) => {
            for problem in problems_of_tool(after) {
                changes.push(invalid(new, Side::Output, problem, Level::Error));
            }
            changes.push(ToolChange {
                side: Some(Side::Output),
                path: "/".into(),
                ..beside(
                    &new.name,
                    "output-schema-added",
                    Concern::Schema,
                    Level::Info,
                    "the result has a schema".into(),
                )
            });
        }
    }
}

/// The schema of an object: the arguments and the result of every tool are objects.
static OBJECT: LazyLock<Value> = LazyLock::new(|| json!({"type": "object"}));

fn one_side(
    side: Side,
    [(old, before), (new, after)]: [(&Tool, &Value); 2],
    work: &Work,
    changes: &mut Vec<ToolChange>,
) {
    let (old_problems, new_problems) = (problems_of_tool(before), problems_of_tool(after));
    let (was_valid, is_valid) = (old_problems.is_empty(), new_problems.is_empty());
    let level = if was_valid { Level::Error } else { Level::Warning };
    for problem in new_problems {
        changes.push(invalid(new, side, problem, level));
    }
    if let Some(problem) = old_problems.into_iter().next().filter(|_| is_valid) {
        changes.push(ToolChange {
            rule: "schema-repaired",
            detail: format!("before, clients refused the tool: {}", problem.detail),
            ..invalid(old, side, problem, Level::Info)
        });
    }
    // Before or after, there is nothing to compare with.
    if was_valid != is_valid && (was_valid || !describes(before)) {
        return;
    }
    let found = work.within(n_values(before).saturating_add(n_values(after)), |own| {
        diff_nodes(
            [before, after],
            [&[before, &OBJECT], &[after, &OBJECT]],
            side,
            own,
        )
    });
    for change in found {
        let concern = if ["description-changed", "title-changed"].contains(&change.rule) {
            Concern::Words
        } else {
            Concern::Schema
        };
        changes.push(ToolChange {
            tool: new.name.clone(),
            rule: change.rule,
            concern,
            side: Some(side),
            path: change.path,
            // No client could call a tool whose schema was invalid.
            level: if was_valid || !is_valid {
                change.level
            } else {
                change.level.min(Level::Warning)
            },
            detail: change.detail,
        });
    }
}

/// The problems of a tool's input schema.
pub(super) fn problems_of(tool: &Tool) -> Vec<Problem> {
    if tool.provided.is_some() {
        return Vec::new();
    }
    problems_of_tool(&tool.input_schema)
}

/// Whether the schema of a tool names arguments, so that another tool with it is likely the same.
pub(super) fn takes_arguments(tool: &Tool) -> bool {
    let properties = tool.input_schema.get("properties");
    properties
        .and_then(Value::as_object)
        .is_some_and(|names| !names.is_empty())
}

pub(super) fn invalid(tool: &Tool, side: Side, problem: Problem, level: Level) -> ToolChange {
    ToolChange {
        side: Some(side),
        path: problem.path,
        ..beside(
            &tool.name,
            "schema-invalid",
            Concern::Schema,
            level,
            format!(
                "{}: clients refuse the tool, and some the whole list",
                problem.detail
            ),
        )
    }
}

/// Compares `strict`. Providers refuse a strict tool whose schema leaves something open.
pub(super) fn strict(old: &Tool, new: &Tool, changes: &mut Vec<ToolChange>) {
    let is_strict = |tool: &Tool| tool.strict == Some(true);
    let problems = |tool: &Tool| match is_strict(tool) {
        true => problems_of_strict(&tool.input_schema, tool.strict_needs_all),
        false => Vec::new(),
    };
    let (before, after) = (problems(old), problems(new));
    let is_right = after.is_empty();
    let level = if before.is_empty() {
        Level::Error
    } else {
        Level::Warning
    };
    for problem in after {
        changes.push(ToolChange {
            rule: "strict-schema-invalid",
            detail: format!("{}: providers refuse the tool", problem.detail),
            ..invalid(new, Side::Input, problem, level)
        });
    }
    let (rule, level, detail) = match (is_strict(old), is_strict(new)) {
        (true, false) => (
            "strict-removed",
            Level::Warning,
            "the model may send arguments that do not fit the schema",
        ),
        (false, true) if is_right => ("strict-added", Level::Info, "the model keeps to the schema"),
        _ => return,
    };
    changes.push(beside(&new.name, rule, Concern::Schema, level, detail.into()));
}

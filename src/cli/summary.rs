//! Tables and texts that several commands print: a study, its layers, checks of a gate, and rows of
//! a cube.

use comfy_table::{CellAlignment, LineStyle, Table, presets};
use serde::Serialize;
use std::path::Path;

use crate::base::manifest::file;
use crate::base::{json, time};
use crate::gate::{GateCheck, GateOutcome};
use crate::layer::{Join, LayerMoves, LayerSummary, Move};
use crate::ramp::Schedule;
use crate::replay::Cube;
use crate::report::{LayerLine, layer_lines, percent};
use crate::scenario::Scenario;
use crate::study::{RampFindings, Study};

/// The summary for people: one table, the reasons, the paths.
pub(super) fn text(scenario: &Scenario, study: &Study, out: &Path) -> String {
    let mut text = String::new();
    match &study.ramp {
        Some(ramp) => ramp_text(&mut text, scenario, ramp),
        None => text.push_str(&layers_table(&study.layering)),
    }
    text.push_str("\nwritten:\n");
    let shown = [
        file::REPORT_HTML,
        file::REPORT_MD,
        file::SCHEDULE,
        file::GATE_REPORT,
        file::ANALYSIS,
        file::LAYERS,
        file::FEATURES,
        file::MANIFEST,
    ];
    for name in shown
        .into_iter()
        .filter(|name| study.files.iter().any(|path| path == Path::new(name)))
    {
        text.push_str(&format!("  {}\n", out.join(name).display()));
    }
    text
}

fn ramp_text(text: &mut String, scenario: &Scenario, ramp: &RampFindings) {
    let plan = &scenario.plan;
    text.push_str(&format!(
        "{} against {}, as of {}\n\n",
        plan.candidate,
        plan.baseline,
        time::format(scenario.as_of)
    ));
    let lines = layer_lines(&ramp.analysis, &ramp.schedule);
    text.push_str(&decisions_table(&lines));
    text.push('\n');
    let several = lines.iter().any(|line| line.tenant != lines[0].tenant);
    for line in &lines {
        let tenant = if several {
            format!("{} / ", line.tenant)
        } else {
            String::new()
        };
        text.push_str(&format!("{tenant}{}: {}\n", line.layer, line.reason));
    }
    let decisive = ramp
        .gate
        .checks
        .iter()
        .filter(|c| c.outcome == ramp.gate.outcome && c.outcome > GateOutcome::Warn);
    let names: Vec<String> = decisive
        .map(|c| {
            if c.layer.is_empty() {
                c.check.clone()
            } else {
                format!("{} in {}", c.check, c.layer)
            }
        })
        .collect();
    let open = if names.is_empty() {
        String::new()
    } else {
        format!(" ({})", names.join(", "))
    };
    text.push_str(&format!("\ngate: {}{open}\n", ramp.gate.outcome.name()));
}

fn decisions_table(lines: &[LayerLine]) -> String {
    let several = lines.iter().any(|line| line.tenant != lines[0].tenant);
    let mut table = new_table();
    let mut header = vec![
        "layer",
        "users",
        "exposed",
        "QoS baseline",
        "QoS candidate",
        "SRM",
        "verdict",
        "ratio",
        "first blocking check",
    ];
    if several {
        header.insert(0, "tenant");
    }
    table.set_header(header);
    for line in lines {
        let mut row = vec![
            line.layer.clone(),
            line.n_users.to_string(),
            line.n_exposed.to_string(),
            line.qos_baseline.clone(),
            line.qos_candidate.clone(),
            line.srm.clone(),
            line.verdict.to_owned(),
            line.ratios.clone(),
            line.first_blocking.clone(),
        ];
        if several {
            row.insert(0, line.tenant.clone());
        }
        table.add_row(row);
    }
    let first_number = 1 + usize::from(several);
    for idx in [first_number, first_number + 1] {
        if let Some(column) = table.column_mut(idx) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{}\n", table.trim_fmt())
}

/// Users per layer.
pub(super) fn layers_table(summary: &LayerSummary) -> String {
    let mut table = new_table();
    table.set_header(vec!["tenant", "layer", "users", "share", "eligible", "note"]);
    for layer in &summary.layers {
        let note = if layer.too_small { "too small to judge" } else { "" };
        table.add_row(vec![
            layer.tenant.clone(),
            layer.layer.clone(),
            layer.n_users.to_string(),
            percent(layer.share),
            layer.n_eligible.to_string(),
            note.to_owned(),
        ]);
    }
    for idx in [2, 3, 4] {
        if let Some(column) = table.column_mut(idx) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let m = &summary.missing;
    let missing = format!(
        "without recency {}, use count {}, value {}, acceptance {}; nothing known of {}",
        m.last_use_time, m.use_count, m.user_value, m.accept_score, summary.n_unknown
    );
    let mut text = format!(
        "{} users by {} at {}\n\n{}\n{missing}\n",
        summary.n_users,
        summary.mode,
        summary.as_of,
        table.trim_fmt()
    );
    if summary.ids_are_unique.is_none() {
        text.push_str("whether a user comes twice was not checked: `--audit always` does\n");
    }
    if let Some(moves) = &summary.moves {
        text.push_str(&moves_table(moves, summary));
    }
    text
}

/// Who moved since the previous night: a matrix a tenant, from the rows' layers to the columns'.
fn moves_table(moves: &LayerMoves, summary: &LayerSummary) -> String {
    let how = match moves.join {
        Join::SameOrder => "both nights are in the same order",
        Join::Partitioned => "the nights are in different orders: joined by partitions",
    };
    let n_reused = summary.n_reused_row_groups;
    let mut text = format!(
        "\nsince last night: {} stayed, {} moved, {} new, {} gone ({how}; {n_reused} row groups reused)\n",
        moves.n_stayed, moves.n_moved, moves.n_new, moves.n_gone
    );
    for psi in &moves.psi {
        let of_tenant: Vec<&Move> = moves.moves.iter().filter(|m| m.tenant == psi.tenant).collect();
        // In the order of the plan; layers that it no longer has, then nobody, at the end.
        let rank = |name: &Option<String>| {
            let place = summary
                .layers
                .iter()
                .position(|layer| Some(&layer.layer) == name.as_ref());
            (name.is_none(), place.unwrap_or(usize::MAX), name.clone())
        };
        let names = |pick: &dyn Fn(&Move) -> Option<String>| -> Vec<Option<String>> {
            let mut names: Vec<Option<String>> = of_tenant.iter().map(|m| pick(m)).collect();
            names.sort_by_key(rank);
            names.dedup();
            names
        };
        let (from, to) = (names(&|m| m.from.clone()), names(&|m| m.to.clone()));
        let mut table = new_table();
        let shown = |name: &Option<String>, nobody: &str| name.clone().unwrap_or_else(|| nobody.to_owned());
        table.set_header(
            [psi.tenant.clone()]
                .into_iter()
                .chain(to.iter().map(|name| shown(name, "(gone)"))),
        );
        for from in &from {
            let cell = |to: &Option<String>| {
                of_tenant
                    .iter()
                    .find(|m| m.from == *from && m.to == *to)
                    .map_or(0, |m| m.n_users)
            };
            table.add_row(
                [shown(from, "(new)")]
                    .into_iter()
                    .chain(to.iter().map(|to| cell(to).to_string())),
            );
        }
        for idx in 1..=to.len() {
            if let Some(column) = table.column_mut(idx) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let index = psi.psi.map_or_else(
            || "not known: one of the nights has no users".to_owned(),
            |psi| format!("{psi:.4}"),
        );
        text.push_str(&format!("\n{}\nPSI of the score: {index}\n", table.trim_fmt()));
    }
    text
}

/// A name from a log, for a terminal: without the characters that would command it, and not longer
/// than a line takes.
pub(super) fn shown(name: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut text: String = name.chars().take(60).map(plain).collect();
    if name.chars().nth(60).is_some() {
        text.push('…');
    }
    text
}

pub(super) fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table
}

/// Checks of a gate, one a line.
pub(super) fn checks_table(checks: &[GateCheck]) -> Table {
    let mut table = new_table();
    table.set_header(["gate", "check", "outcome", "found"]);
    for check in checks {
        let place = if check.layer.is_empty() {
            check.check.clone()
        } else {
            format!("{} ({})", check.check, check.layer)
        };
        let lifted = check
            .lifted_by
            .as_ref()
            .map_or_else(String::new, |by| format!(" (lifted by {by})"));
        table.add_row([
            check.gate.clone(),
            place,
            check.outcome.name().to_owned(),
            format!("{}{lifted}", short(&check.detail)),
        ]);
    }
    table
}

/// As much of a text as a line of a table holds.
fn short(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    if text.chars().count() > 110 {
        format!("{}…", text.chars().take(109).collect::<String>())
    } else {
        text
    }
}

/// The summary for scripts.
pub(super) fn json(scenario: &Scenario, study: &Study, out: &Path) -> String {
    #[derive(Serialize)]
    struct Summary<'a> {
        scenario: &'a str,
        out: String,
        layering: &'a LayerSummary,
        gate: Option<GateOutcome>,
        schedule: Option<&'a Schedule>,
        files: Vec<String>,
    }
    json::to_json(&Summary {
        scenario: &scenario.name,
        out: out.display().to_string(),
        layering: &study.layering,
        gate: study.ramp.as_ref().map(|ramp| ramp.gate.outcome),
        schedule: study.ramp.as_ref().map(|ramp| &ramp.schedule),
        files: study
            .files
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
    })
}

/// The row counts of a cube: how many rows each release has, and how many were left out and why.
pub(super) fn row_counts_text(cube: &Cube) -> String {
    let rows = &cube.counts;
    let mut text = format!(
        "{} rows to {} cells: baseline {}, candidate {}, ineligible {}, unknown release {}, unknown user {}, bad {}\n",
        rows.n_rows,
        cube.cells.keys.len(),
        rows.n_baseline,
        rows.n_candidate,
        rows.n_ineligible,
        rows.n_unknown_release,
        rows.n_unknown_user,
        rows.n_bad,
    );
    let notes = [
        (rows.n_before_start, "before the plan's start"),
        (rows.n_after_as_of, "at or after as_of"),
        (rows.n_shadow, "shadow rows in the log"),
        (rows.n_eval, "rows of evaluation runs"),
        (
            rows.n_layer_differs,
            "colored with another layer than the layer table's",
        ),
        (
            rows.n_misassigned,
            "in the other release than bucket and ratio say",
        ),
        (
            rows.n_propensity_differs,
            "with another propensity than the plan's ratio",
        ),
        (
            rows.n_pairs,
            "paired with the candidate's answer to the same request",
        ),
    ];
    for (n, what) in notes.iter().filter(|(n, _)| *n > 0) {
        text.push_str(&format!("{n} {what}\n"));
    }
    text
}

/// A share of a count as a percentage. Only a whole share shows as 100%.
pub(super) fn percent_of_count(n: u64, of: u64) -> String {
    if n == of {
        "100%".to_owned()
    } else {
        format!("{:.1}%", (100.0 * n as f64 / of as f64).min(99.9))
    }
}

//! What a finished study prints.

use comfy_table::{CellAlignment, LineStyle, Table, presets};
use serde::Serialize;
use std::path::Path;

use crate::{
    gate::GateOutcome,
    layer::LayerSummary,
    output,
    ramp::Schedule,
    report::{LayerLine, layer_lines, percent},
    scenario::Scenario,
    study::{RampFindings, Study, file},
    time,
};

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
    for name in shown.into_iter().filter(|name| study.files.iter().any(|path| path == Path::new(name))) {
        text.push_str(&format!("  {}\n", out.join(name).display()));
    }
    text
}

fn ramp_text(text: &mut String, scenario: &Scenario, ramp: &RampFindings) {
    let plan = &scenario.plan;
    text.push_str(&format!("{} against {}, as of {}\n\n", plan.candidate, plan.baseline, time::format(scenario.as_of)));
    let lines = layer_lines(&ramp.analysis, &ramp.schedule);
    text.push_str(&decisions_table(&lines));
    text.push('\n');
    let several = lines.iter().any(|line| line.tenant != lines[0].tenant);
    for line in &lines {
        let tenant = if several { format!("{} / ", line.tenant) } else { String::new() };
        text.push_str(&format!("{tenant}{}: {}\n", line.layer, line.reason));
    }
    let decisive = ramp.gate.checks.iter().filter(|c| c.outcome == ramp.gate.outcome && c.outcome > GateOutcome::Warn);
    let names: Vec<String> =
        decisive.map(|c| if c.layer.is_empty() { c.check.clone() } else { format!("{} in {}", c.check, c.layer) }).collect();
    let open = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    text.push_str(&format!("\ngate: {}{open}\n", ramp.gate.outcome.name()));
}

fn decisions_table(lines: &[LayerLine]) -> String {
    let several = lines.iter().any(|line| line.tenant != lines[0].tenant);
    let mut table = new_table();
    let mut header = vec!["layer", "users", "exposed", "QoS baseline", "QoS candidate", "SRM", "verdict", "ratio", "first blocking check"];
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
    format!("{} users by {} at {}\n\n{}\n{missing}\n", summary.n_users, summary.mode, summary.as_of, table.trim_fmt())
}

pub(super) fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table
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
    output::to_json(&Summary {
        scenario: &scenario.name,
        out: out.display().to_string(),
        layering: &study.layering,
        gate: study.ramp.as_ref().map(|ramp| ramp.gate.outcome),
        schedule: study.ramp.as_ref().map(|ramp| &ramp.schedule),
        files: study.files.iter().map(|path| path.display().to_string()).collect(),
    })
}

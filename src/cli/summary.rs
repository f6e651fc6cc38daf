//! Tables and texts that several commands print: a study, its layers, checks of a gate, and rows of
//! a cube.

use console::measure_text_width;
use serde::Serialize;
use std::path::Path;

use crate::analysis::{Analysis, LayerAnalysis};
use crate::base::manifest::file;
use crate::base::number::{count, percent};
use crate::base::{escape, json};
use crate::cli::ramp_text::ramp_text;
use crate::cli::table::{Table, column};
use crate::cli::terminal::Terminal;
use crate::cli::text::{fill, path_text};
use crate::gate::{GateCheck, GateOutcome, unreachable_steps};
use crate::layer::{Join, LayerMoves, LayerSummary, Move};
use crate::metric::column_kind;
use crate::ramp;
use crate::ramp::{Coverage, Schedule};
use crate::replay::{Cube, RowCounts};
use crate::report::coverage_rows;
use crate::scenario::Scenario;
use crate::study::Study;
use crate::traces;
use crate::words::terminal as words;
use crate::words::{Count, Lang, Text};

/// The largest number of layers, over all tenants, that a text for people lists.
const MAX_LINES: usize = 100;

/// What was read of traces, as lines with a name and a value.
pub(super) fn coverage_text(coverage: &traces::Coverage, lang: Lang) -> String {
    let rows = coverage_rows(coverage, lang);
    let width = rows.iter().map(|(name, _)| measure_text_width(name)).max();
    let width = width.unwrap_or(0);
    rows.into_iter()
        .map(|(name, value)| {
            // A wide letter takes two columns.
            let n_blanks = width.saturating_sub(measure_text_width(&name));
            format!("{}{:n_blanks$}  {value}\n", escape::value(&name), "")
        })
        .collect()
}

/// What was read of a source of traces, in a sentence. The report has all of it.
pub(super) fn traces_line(source: &traces::SourceCoverage) -> Text {
    let coverage = &source.coverage;
    let head = words::traces_of(
        escape::line(&source.path).into_owned(),
        coverage.kinds(),
        Count(coverage.n_turns),
        Count(coverage.n_traces),
    );
    let without = ["user_id", "release_id", "cost_usd"]
        .into_iter()
        .filter_map(|column| {
            let n = coverage.without.get(column)?;
            Some(words::without(Count(*n), column))
        });
    let parts: Vec<Text> = std::iter::once(head).chain(without).collect();
    Text::new(|lang| {
        let separator = if lang == Lang::En { ", " } else { "，" };
        let parts: Vec<&str> = parts.iter().map(|part| part.of(lang)).collect();
        parts.join(separator)
    })
}

/// The summary for people: one table, the reasons, the paths.
pub(super) fn text(scenario: &Scenario, study: &Study, out: &Path, terminal: &Terminal) -> String {
    let mut text = String::new();
    match &study.ramp {
        Some(ramp) => text.push_str(&ramp_text(scenario, ramp, terminal)),
        None => text.push_str(&layers_table(&study.layering, terminal)),
    }
    for source in &study.traces {
        let line = traces_line(source);
        text.push_str(&format!("\n{}", fill(line.of(terminal.lang), terminal.width)));
        text.push('\n');
    }
    text.push_str(&format!("\n{}\n", words::written().of(terminal.lang)));
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
        text.push_str(&format!("  {}\n", path_text(&out.join(name))));
    }
    text
}

/// What a person should see first, for stderr: rows without a known user and release with examples,
/// no evidence on the candidate, steps that no evidence can pass, and missing columns.
pub(super) fn warnings(scenario: &Scenario, study: &Study) -> Vec<Text> {
    let mut warnings = Vec::new();
    if let Some(ramp) = &study.ramp {
        warnings.extend(coverage_warning(&ramp.analysis));
        let coverage = Coverage::from_analysis(&ramp.analysis);
        if coverage.as_ref().is_some_and(Coverage::is_invalid) {
            return warnings;
        }
        let missing = coverage.as_ref().and_then(Coverage::missing_rates);
        warnings.extend(missing.map(words::qos_not_known));
        let evidence = ramp
            .gate
            .checks
            .iter()
            .filter(|check| check.layer.is_empty() && check.check == "evidence");
        warnings.extend(
            evidence
                .filter(|check| check.outcome > GateOutcome::Warn)
                .map(|check| words::no_evidence_yet(check.found())),
        );
        let steps = unreachable_steps(&scenario.plan, &study.layering, &ramp.schedule);
        let n_left = steps.len().saturating_sub(MAX_LINES);
        warnings.extend(steps.into_iter().take(MAX_LINES));
        if n_left > 0 {
            warnings.push(words::more_steps(Count(n_left as u64)));
        }
        warnings.extend(step_warnings(scenario, &ramp.analysis));
    }
    warnings
}

/// Steps that cannot decide within their dwell, and QoS thresholds above the baseline's QoS: as many
/// as a text for people lists.
pub(super) fn step_warnings(scenario: &Scenario, analysis: &Analysis) -> Vec<Text> {
    let mut warnings = ramp::step_warnings(&scenario.plan, analysis, MAX_LINES);
    if warnings.len() == MAX_LINES {
        warnings.push(words::first_warnings(Count(MAX_LINES as u64)));
    }
    warnings
}

/// The rows of a log without a known user and release, with examples of both sides. `None` if almost
/// all rows are known.
pub(super) fn coverage_warning(analysis: &Analysis) -> Option<Text> {
    let coverage = Coverage::from_analysis(analysis).filter(Coverage::is_doubtful)?;
    Some(coverage.describe_with_examples())
}

/// Users per layer.
pub(super) fn layers_table(summary: &LayerSummary, terminal: &Terminal) -> String {
    let has_tenants = summary
        .layers
        .iter()
        .any(|layer| layer.tenant != summary.layers[0].tenant);
    let lang = terminal.lang;
    let of = |title: Text| column(title.of(lang));
    let tenant = of(words::column_tenant());
    let mut table = Table::new([
        if has_tenants { tenant } else { tenant.wide() },
        of(words::column_layer()),
        of(words::column_users()).right(),
        of(words::column_share()).right(),
        of(words::column_eligible()).right(),
        of(words::column_note()),
    ]);
    for layer in summary.layers.iter().take(MAX_LINES) {
        let note = if layer.too_small {
            words::too_small()
        } else {
            Text::default()
        };
        table.add_row(vec![
            layer.tenant.clone(),
            layer.layer.clone(),
            count(layer.n_users),
            percent(layer.share),
            count(layer.n_eligible),
            note.of(lang).to_owned(),
        ]);
    }
    let m = &summary.missing;
    let missing = words::users_without(
        Count(m.last_use_time),
        Count(m.use_count),
        Count(m.user_value),
        Count(m.accept_score),
        Count(summary.n_unknown),
    );
    let missing = fill(missing.of(lang), terminal.width);
    let n_left = summary.layers.len().saturating_sub(MAX_LINES);
    let more = if n_left > 0 {
        let more = words::more_layers_beside(Count(n_left as u64));
        format!("{}\n", more.of(lang))
    } else {
        String::new()
    };
    let mode = summary.mode.to_string();
    let head = words::users_by(Count(summary.n_users), mode, &summary.as_of);
    let mut text = format!(
        "{}\n\n{}{more}\n{missing}\n",
        head.of(lang),
        table.render(terminal)
    );
    if summary.ids_are_unique.is_none() {
        text.push_str(&format!("{}\n", words::duplicates_not_searched().of(lang)));
    }
    if let Some(moves) = &summary.moves {
        text.push_str(&moves_table(moves, summary, terminal));
    }
    text
}

/// Who moved since the previous night: a matrix a tenant, from the rows' layers to the columns'.
fn moves_table(moves: &LayerMoves, summary: &LayerSummary, terminal: &Terminal) -> String {
    let how = match moves.join {
        Join::SameOrder => "both nights are in the same order",
        Join::Partitioned => "the nights are in different orders: joined by partitions",
    };
    let n_reused = summary.n_reused_row_groups;
    let since = format!(
        "since last night: {} stayed, {} moved, {} new, {} gone ({how}; {} row groups reused)",
        count(moves.n_stayed),
        count(moves.n_moved),
        count(moves.n_new),
        count(moves.n_gone),
        count(n_reused),
    );
    let mut text = format!("\n{}\n", fill(&since, terminal.width));
    for psi in moves.psi.iter().take(MAX_LINES) {
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
        let shown = |name: &Option<String>, nobody: &str| name.clone().unwrap_or_else(|| nobody.to_owned());
        let to_columns = to.iter().map(|name| column(shown(name, "(gone)")).right());
        let mut table = Table::new(std::iter::once(column(&psi.tenant)).chain(to_columns));
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
                    .chain(to.iter().map(|to| count(cell(to)))),
            );
        }
        let index = psi.psi.map_or_else(
            || "not known: one of the nights has no users".to_owned(),
            |psi| format!("{psi:.4}"),
        );
        text.push_str(&format!(
            "\n{}\nPSI of the score: {index}\n",
            table.render(terminal)
        ));
    }
    text
}

/// A name from a log, for a terminal: without the characters that would command it, and not longer
/// than a line takes.
pub(super) fn shown(name: &str) -> String {
    let mut text: String = name.chars().take(60).collect();
    if name.chars().nth(60).is_some() {
        text.push('…');
    }
    escape::line(&text).into_owned()
}

/// Checks of a gate, one a line.
pub(super) fn checks_table(checks: &[GateCheck]) -> Table {
    let mut table = Table::new([
        column("gate").rank(1),
        column("check"),
        column("outcome"),
        column("found").wraps(),
    ])
    .one_line();
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
        "{} rows to {} cells\n  baseline {}, candidate {}, ineligible {}\n  unknown release {}, unknown user {}, bad {}\n",
        count(rows.n_rows),
        count(cube.cells.keys.len() as u64),
        count(rows.n_baseline),
        count(rows.n_candidate),
        count(rows.n_ineligible),
        count(rows.n_unknown_release),
        count(rows.n_unknown_user),
        count(rows.n_bad),
    );
    let notes = [
        (rows.n_before_start, "before the plan's start"),
        (rows.n_after_as_of, "at or after as_of"),
        (rows.n_shadow, "shadow rows in the log"),
        (rows.n_eval, "rows of evaluation runs"),
        (rows.n_settling, "while a ratio changed, in no arm"),
        (
            rows.n_layer_differs,
            "served with another layer than the layer table's",
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
        text.push_str(&format!("{} {what}\n", count(*n)));
    }
    text
}

/// Warnings of a study about values: those below the resolution, and limits that may change.
pub(super) fn value_warnings(analysis: &Analysis) -> Vec<Text> {
    let stages = analysis.layers.iter().filter_map(LayerAnalysis::current);
    let mut not_final: Vec<Text> = stages
        .flat_map(|stage| &stage.metrics)
        .filter_map(|metric| {
            let limits = metric.limits.filter(|limits| !limits.is_final)?;
            let of = words::metric_of(&metric.metric);
            Some(limit_warning(of, limits.n_values.unwrap_or(0)))
        })
        .collect();
    not_final.sort_by(|a, b| a.en.cmp(&b.en));
    not_final.dedup();
    resolution_warnings(&analysis.data.rows)
        .chain(not_final)
        .collect()
}

/// Warnings about values that count as 0 because they are below the resolution of their column.
pub(super) fn resolution_warnings(rows: &RowCounts) -> impl Iterator<Item = Text> {
    rows.below_resolution.iter().map(|(column, n)| {
        let resolution = format!("{:e}", 1.0 / column_kind(column).units());
        words::below_resolution(column, resolution, Count(*n))
    })
}

/// A warning about limits of values that new rows still change.
pub(super) fn limit_warning(of: Text, n_values: u64) -> Text {
    words::limits_rest_on(of, Count(n_values))
}

/// A share of a count as a percentage. Only a whole share shows as 100%.
pub(super) fn percent_of_count(n: u64, of: u64) -> String {
    if n == of {
        "100%".to_owned()
    } else {
        format!("{:.1}%", (100.0 * n as f64 / of as f64).min(99.9))
    }
}

//! A ramp as text for a terminal: the answer of each layer, the gate and the table of decisions.

use crate::base::manifest::file;
use crate::base::number::count;
use crate::cli::slices_text::slices_text;
use crate::cli::table::{Table, column};
use crate::cli::terminal::Terminal;
use crate::cli::text::fill;
use crate::gate::{GateCheck, GateOutcome, GateReport};
use crate::ramp;
use crate::ramp::{LayerSchedule, Verdict};
use crate::report::{LayerLine, layer_lines};
use crate::scenario::{Plan, Scenario};
use crate::study::RampFindings;
use crate::words::terminal as words;
use crate::words::{Count, Lang, Text};

/// The largest number of layers, over all tenants, that a text for people lists.
const MAX_LINES: usize = 100;

/// The ramp: the answer of each layer first, then the gate and the table.
pub(super) fn ramp_text(scenario: &Scenario, ramp: &RampFindings, terminal: &Terminal) -> String {
    let (plan, lang) = (&scenario.plan, terminal.lang);
    let mut text = String::new();
    let mut say = |line: &str| text.push_str(&format!("{}\n", fill(line, terminal.width)));
    if let Some(headline) = headline(ramp) {
        say(headline.of(lang));
        say("");
    }
    let against = words::against(&plan.candidate, &plan.baseline, plan.when(scenario.as_of));
    say(against.of(lang));
    say("");
    let lines = layer_lines(&ramp.analysis, &ramp.schedule);
    let mut lines: Vec<(LayerLine, &LayerSchedule)> = lines.into_iter().zip(&ramp.schedule.layers).collect();
    let n_left = lines.len().saturating_sub(MAX_LINES);
    if n_left > 0 {
        // The most urgent layers are shown. The sort keeps the order of equal ones.
        lines.sort_by_key(|(line, _)| line.urgency);
        lines.truncate(MAX_LINES);
    }
    let layers = &ramp.schedule.layers;
    let has_tenants = layers.iter().any(|layer| layer.tenant != layers[0].tenant);
    let is_invalid =
        |(_, layer): &&(LayerLine, &LayerSchedule)| layer.first_blocking.as_deref() == Some("coverage");
    if !lines.is_empty() && lines.iter().all(|line| is_invalid(&line)) {
        say(words::all_invalid().of(lang));
    }
    for (_, layer) in lines.iter().filter(|line| !is_invalid(line)) {
        for line in answer(plan, layer, has_tenants, lang) {
            say(&line);
        }
    }
    if n_left > 0 {
        let more = words::more_layers(Count(n_left as u64), file::SCHEDULE);
        say(more.of(lang));
    }
    say("");
    say(gate_line(&ramp.gate, plan, has_tenants).of(lang));
    say("");
    let slices = slices_text(&ramp.analysis, terminal);
    text + &slices + &decisions_table(plan, &lines, has_tenants, lang).render(terminal)
}

/// The answer of a layer: what happens to it and why, and what would decide it.
pub(super) fn answer(plan: &Plan, layer: &LayerSchedule, has_tenants: bool, lang: Lang) -> Vec<String> {
    let (name, why) = (plan.layer_name(&layer.layer), layer.why());
    let changes = layer.next_ratio != layer.ratio;
    let answer = if changes || layer.first_blocking.as_deref() == Some(ramp::GATE) {
        words::of_layer(name, why)
    } else {
        words::stays_at(name, layer.ratio, why)
    };
    let answer = match has_tenants {
        true => words::of_tenant(&layer.tenant, answer),
        false => answer,
    };
    let outlook = layer.outlook.as_ref().filter(|outlook| outlook.is_open());
    let outlook = outlook.map(|outlook| words::to_decide(outlook.sentence()));
    let texts = std::iter::once(answer).chain(outlook);
    texts.map(|text| text.of(lang).to_owned()).collect()
}

/// The outcome of the gate, with the checks that decide it.
fn gate_line(gate: &GateReport, plan: &Plan, has_tenants: bool) -> Text {
    let decisive = gate
        .checks
        .iter()
        .filter(|check| check.outcome == gate.outcome && check.outcome > GateOutcome::Warn);
    let mut names: Vec<Text> = decisive
        .map(|check| match (check.layer.as_str(), has_tenants) {
            ("", _) => Text::from(check.check.as_str()),
            (layer, false) => words::check_in(&check.check, plan.layer_name(layer)),
            (layer, true) => words::check_in(
                &check.check,
                words::of_tenant(&check.tenant, plan.layer_name(layer)),
            ),
        })
        .collect();
    let n_left = names.len().saturating_sub(MAX_LINES);
    names.truncate(MAX_LINES);
    if n_left > 0 {
        names.push(words::and_more(Count(n_left as u64)));
    }
    let outcome = outcome_text(gate.outcome);
    if names.is_empty() {
        words::gate_is(outcome)
    } else {
        let names = Text::new(|lang| {
            let separator = if lang == Lang::En { ", " } else { "、" };
            let names: Vec<&str> = names.iter().map(|name| name.of(lang)).collect();
            names.join(separator)
        });
        words::gate_is_for(outcome, names)
    }
}

/// A verdict as a word.
pub(super) fn verdict_text(verdict: Verdict) -> Text {
    match verdict {
        Verdict::Promote => words::promote(),
        Verdict::Hold => words::hold(),
        Verdict::Rollback => words::rollback(),
        Verdict::Inconclusive => words::inconclusive(),
        Verdict::Invalid => words::invalid(),
    }
}

/// A verdict of a document by its name, as a word.
pub(super) fn verdict_name(name: &str) -> Text {
    match name {
        "promote" => words::promote(),
        "hold" => words::hold(),
        "rollback" => words::rollback(),
        "inconclusive" => words::inconclusive(),
        "invalid" => words::invalid(),
        other => other.into(),
    }
}

/// The outcome of a gate as a word.
pub(super) fn outcome_text(outcome: GateOutcome) -> Text {
    match outcome {
        GateOutcome::Pass => words::pass(),
        GateOutcome::Warn => words::warn(),
        GateOutcome::Inconclusive => words::inconclusive(),
        GateOutcome::Fail => words::fail(),
    }
}

fn decisions_table(
    plan: &Plan,
    lines: &[(LayerLine, &LayerSchedule)],
    has_tenants: bool,
    lang: Lang,
) -> Table {
    let of = |title: Text| column(title.of(lang));
    let mut columns = vec![
        of(words::column_layer()),
        of(words::column_users()).right().rank(5),
        of(words::column_exposed()).right().rank(3),
        of(words::column_qos_baseline()).right().rank(2),
        of(words::column_qos_candidate()).rank(1),
        of(words::column_srm()).rank(6),
        of(words::column_verdict()),
        of(words::column_ratio()),
        of(words::column_blocking()).rank(7),
    ];
    if has_tenants {
        columns.insert(0, of(words::column_tenant()));
    }
    let mut table = Table::new(columns);
    for (line, layer) in lines {
        let mut row = vec![
            plan.layer_name(&line.layer).of(lang).to_owned(),
            count(line.n_users),
            count(line.n_exposed),
            line.qos_baseline.clone(),
            line.qos_candidate.clone(),
            line.srm.clone(),
            verdict_text(layer.verdict).of(lang).to_owned(),
            line.ratios.clone(),
            line.first_blocking.clone(),
        ];
        if has_tenants {
            row.insert(0, line.tenant.clone());
        }
        table.add_row(row);
    }
    table
}

/// The first line of a summary without a valid verdict, or without evidence on the candidate.
fn headline(ramp: &RampFindings) -> Option<Text> {
    let open = |name: &str, outcome: GateOutcome| {
        let is =
            |check: &&GateCheck| check.check == name && check.layer.is_empty() && check.outcome == outcome;
        ramp.gate.checks.iter().find(is)
    };
    if let Some(check) = open("coverage", GateOutcome::Fail) {
        return Some(words::no_valid_verdict(check.found()));
    }
    let check = open("evidence", GateOutcome::Inconclusive)?;
    Some(words::no_evidence(check.found()))
}

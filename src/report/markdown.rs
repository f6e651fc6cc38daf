//! The report as Markdown, for a terminal or a pull request.

use std::fmt::Write;

use crate::base::escape::markdown as escape;
use crate::base::number::{count, percent};
use crate::base::time::Zone;
use crate::gate::GateOutcome;
use crate::report::answer::{Answer, placed};
use crate::report::bounded::Bounded;
use crate::report::effects::effect_lines;
use crate::report::imports::coverage_rows;
use crate::report::model::{
    LayerNames, LimitLine, Model, RampModel, evidence_cells, layer_lines, limit_lines, matched_share,
    outlook_cells, outlook_header,
};
use crate::report::slices::SliceLines;
use crate::words::{Lang, Say, When, Words, fill};

/// Returns a study's report as Markdown: the answer first, then checks that did not pass, then the
/// numbers.
pub fn markdown(model: &Model, lang: Lang) -> String {
    let names = model.layer_names(lang);
    let answer = model.ramp.as_ref().map(|ramp| Answer::new(ramp, &names));
    let bounded = Bounded::new(model);
    let model = &*bounded.model;
    let words = lang.words();
    let mut out = String::new();
    let study = &model.study;
    line(&mut out, &format!("# {}", escape(&study.name)));
    line(&mut out, "");
    match (&model.ramp, &answer) {
        (Some(ramp), Some(answer)) => {
            first_lines(&mut out, answer, &names, lang);
            paragraph(&mut out, &against(ramp, &study.time_zone, lang));
        }
        _ => paragraph(&mut out, &format!("**{}**", escape(placed(model).of(lang)))),
    }
    if !study.why.trim().is_empty() {
        paragraph(&mut out, &escape(study.why.trim()));
    }
    if let Some(note) = bounded.note(words) {
        paragraph(&mut out, &note);
    }
    if let Some(ramp) = &model.ramp {
        open_checks(&mut out, ramp, lang);
        slices(&mut out, ramp, lang);
        decisions(&mut out, ramp, lang);
        effects(&mut out, ramp, lang);
        limits(&mut out, ramp, words);
        changes(&mut out, ramp, &study.time_zone, words);
    }
    layers(&mut out, model, words);
    quality(&mut out, model, words);
    imports(&mut out, model, lang);
    inputs(&mut out, model, words);
    out
}

/// The headline, a line a layer, and the gate.
fn first_lines(out: &mut String, answer: &Answer, names: &LayerNames, lang: Lang) {
    let words = lang.words();
    paragraph(out, &format!("**{}**", escape(answer.headline.of(lang))));
    for card in &answer.cards {
        let parts = [
            escape(&names.of(&card.tenant, &card.layer)),
            words.badge(card.verdict.name()),
            card.ratios.clone(),
            escape(card.reason.of(lang)),
        ];
        line(
            out,
            &format!(
                "- {}",
                fill(words.layer_line, &parts.each_ref().map(String::as_str))
            ),
        );
        if let Some(next) = &card.next {
            line(
                out,
                &format!("  {}", fill(words.to_decide, &[&escape(next.of(lang))])),
            );
        }
    }
    for (some, one, many) in [
        (&answer.more, words.layers_more, words.layers_more),
        (&answer.folded, words.layer_keeps, words.layers_keep),
    ] {
        match some.len() {
            0 => {}
            1 => line(out, &format!("- {}", fill(one, &["1"]))),
            n => line(out, &format!("- {}", fill(many, &[&count(n as u64)]))),
        }
    }
    line(out, "");
    if answer.is_inconclusive() {
        paragraph(out, words.inconclusive_means);
    }
    let gate = &answer.gate;
    let badge = words.badge(gate.outcome.name());
    let said = fill(words.gate_line, &[&escape(gate.text.of(lang))]);
    let mut parts = vec![format!("**{}** {said}", escape(&badge))];
    if let Some(first) = &gate.first {
        parts.push(escape(first.name.of(lang)));
        parts.push(escape(first.found.of(lang)));
        let remedy = first.remedy.as_ref();
        parts.extend(remedy.map(|remedy| fill(words.to_pass, &[&escape(remedy.of(lang))])));
    }
    paragraph(out, &parts.join(" "));
}

/// The releases, and the end of the data in local time.
fn against(ramp: &RampModel, zone: &Zone, lang: Lang) -> String {
    let schedule = &ramp.schedule;
    let bold = |text: &str| format!("**{}**", escape(text));
    let as_of = When(schedule.as_of, zone).say(lang);
    fill(
        lang.words().against,
        &[&bold(&schedule.candidate), &bold(&schedule.baseline), &as_of],
    )
}

fn paragraph(out: &mut String, text: &str) {
    line(out, text);
    line(out, "");
}

fn heading(out: &mut String, words: &str) {
    line(out, &format!("## {words}"));
    line(out, "");
}

/// Appends a line. Writing to a string cannot fail.
pub(super) fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}");
}

/// A table of texts, which are escaped.
pub(super) fn table(out: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    raw_table(
        out,
        header,
        rows.map(|row| row.iter().map(|cell| escape(cell)).collect()),
    );
}

/// A table whose cells are Markdown.
fn raw_table(out: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    line(out, &format!("| {} |", header.join(" | ")));
    line(out, &format!("|{}", "---|".repeat(header.len())));
    for row in rows {
        line(out, &format!("| {} |", row.join(" | ")));
    }
    line(out, "");
}

fn decisions(out: &mut String, ramp: &RampModel, lang: Lang) {
    let (schedule, words) = (&ramp.schedule, lang.words());
    heading(out, words.decisions);
    let lines = layer_lines(&ramp.analysis, schedule);
    table(
        out,
        &[
            words.tenant,
            words.layer,
            words.users,
            words.exposed,
            words.qos_baseline,
            words.qos_candidate,
            words.srm,
            words.verdict,
            words.ratio,
            words.why,
        ],
        lines.into_iter().zip(&schedule.layers).map(|(l, layer)| {
            vec![
                l.tenant,
                l.layer,
                count(l.n_users),
                count(l.n_exposed),
                l.qos_baseline,
                l.qos_candidate,
                l.srm,
                words.badge(l.verdict),
                l.ratios,
                layer.why().of(lang).to_owned(),
            ]
        }),
    );
    paragraph(out, words.evidence_caption);
    table(
        out,
        &[
            words.tenant,
            words.layer,
            words.evidence_rows,
            words.evidence_users,
            words.evidence_eligible,
        ],
        schedule.layers.iter().map(|layer| evidence_cells(layer).to_vec()),
    );
    if let Some(share) = matched_share(schedule) {
        paragraph(out, &fill(words.evidence_matched, &[&share]));
    }
    outlooks(out, ramp, lang);
}

/// What would decide the layers that keep their ratio.
fn outlooks(out: &mut String, ramp: &RampModel, lang: Lang) {
    let words = lang.words();
    let layers = ramp.schedule.layers.iter();
    let cells: Vec<_> = layers.filter_map(|layer| outlook_cells(layer, lang)).collect();
    if cells.is_empty() {
        return;
    }
    paragraph(out, words.outlook);
    table(
        out,
        &outlook_header(words),
        cells.into_iter().map(|cells| cells.to_vec()),
    );
    paragraph(out, words.outlook_note);
}

/// The checks of the gate that did not pass, failures first.
fn open_checks(out: &mut String, ramp: &RampModel, lang: Lang) {
    let words = lang.words();
    let mut open: Vec<_> = ramp
        .gate
        .checks
        .iter()
        .filter(|check| check.outcome != GateOutcome::Pass)
        .collect();
    if open.is_empty() {
        return;
    }
    open.sort_by_key(|check| std::cmp::Reverse(check.outcome));
    heading(out, words.gate_open);
    table(
        out,
        &[words.check, words.layer, words.outcome, words.found, words.remedy],
        open.into_iter().map(|c| {
            let outcome = words.badge(c.outcome.name());
            vec![
                c.check.clone(),
                c.layer.clone(),
                outcome,
                c.found().of(lang).to_owned(),
                c.remedy().unwrap_or_default().of(lang).to_owned(),
            ]
        }),
    );
}

/// Guardrails in slices, the worst first. A study without slices has no such section.
fn slices(out: &mut String, ramp: &RampModel, lang: Lang) {
    let Some(lines) = SliceLines::new(ramp, lang) else {
        return;
    };
    heading(out, lines.title.of(lang));
    line(out, &escape(lines.counts.of(lang)));
    line(out, "");
    let header: Vec<&str> = lines.header.iter().map(String::as_str).collect();
    table(out, &header, lines.rows.into_iter().map(Vec::from));
    if let Some(left_out) = lines.left_out {
        line(out, left_out.of(lang));
        line(out, "");
    }
}

fn changes(out: &mut String, ramp: &RampModel, zone: &Zone, words: &Words) {
    if ramp.changes.is_empty() {
        return;
    }
    heading(out, words.changes);
    line(out, words.changes_note);
    line(out, "");
    let rows = ramp.change_rows(words, zone).into_iter().map(Vec::from);
    table(out, &words.change_columns(), rows);
}

fn effects(out: &mut String, ramp: &RampModel, lang: Lang) {
    let words = lang.words();
    heading(out, words.effects);
    paragraph(out, words.effects_note);
    let header = [
        words.tenant,
        words.layer,
        words.metric,
        words.baseline,
        words.candidate,
        words.effect,
        words.interval,
        words.relative,
        words.p,
    ];
    let rows = effect_lines(ramp, lang).into_iter().map(|line| {
        let mut row = vec![
            line.tenant.to_owned(),
            line.layer.to_owned(),
            ramp.metric_name(line.metric).of(lang).to_owned(),
        ];
        row.extend(line.cells);
        row
    });
    table(out, &header, rows);
}

/// The limits of values, below the effects of their metrics.
fn limits(out: &mut String, ramp: &RampModel, words: &Words) {
    let lines = limit_lines(&ramp.analysis);
    if lines.is_empty() {
        return;
    }
    line(out, words.limits_note);
    line(out, "");
    let rows = lines.into_iter().map(|line| {
        let source = line.source(words);
        vec![
            line.tenant,
            line.layer,
            line.metric,
            line.floor,
            line.cap,
            source,
            line.baseline,
            line.candidate,
        ]
    });
    table(out, &LimitLine::header(words), rows);
}

fn layers(out: &mut String, model: &Model, words: &Words) {
    heading(out, words.layers);
    let l = &model.layering;
    line(
        out,
        &escape(&fill(
            words.layers_note,
            &[&count(l.n_users), &count(l.n_eligible), &l.mode, &l.as_of],
        )),
    );
    line(out, "");
    table(
        out,
        &[
            words.tenant,
            words.layer,
            words.users,
            words.share,
            words.eligible,
            words.note,
        ],
        model.layering.layers.iter().map(|l| {
            let note = if l.too_small { words.too_small } else { "" };
            vec![
                l.tenant.clone(),
                l.layer.clone(),
                count(l.n_users),
                percent(l.share),
                count(l.n_eligible),
                note.into(),
            ]
        }),
    );
}

fn quality(out: &mut String, model: &Model, words: &Words) {
    heading(out, words.data_quality);
    table(
        out,
        &[words.what, words.count],
        quality_rows(model, words)
            .into_iter()
            .map(|(what, n)| vec![what, count(n)]),
    );
}

fn imports(out: &mut String, model: &Model, lang: Lang) {
    let words = lang.words();
    for source in &model.traces {
        heading(out, &format!("{}: {}", words.imports, escape(&source.path)));
        let rows = coverage_rows(&source.coverage, lang);
        table(
            out,
            &[words.what, words.count],
            rows.into_iter().map(|(what, n)| vec![what, n]),
        );
    }
}

/// Returns display names and counts of the data's quality. The HTML report shows the same rows.
pub(super) fn quality_rows(model: &Model, words: &Words) -> Vec<(String, u64)> {
    let l = &model.layering;
    let mut rows: Vec<(String, u64)> = vec![
        (words.no_last_use.into(), l.missing.last_use_time),
        (words.no_use_count.into(), l.missing.use_count),
        (words.no_value.into(), l.missing.user_value),
        (words.no_accept.into(), l.missing.accept_score),
        (words.unknown_users.into(), l.n_unknown),
        (words.tagged.into(), l.n_tagged),
        (
            words.clamped.into(),
            l.clamped.last_use_time + l.clamped.use_count + l.clamped.user_value + l.clamped.accept_score,
        ),
        (words.duplicates.into(), l.n_duplicates),
    ];
    if let Some(events) = &l.events {
        rows.push((words.events_used.into(), events.n_events));
        rows.push((words.events_after.into(), events.n_after_as_of));
    }
    rows.extend(
        l.bad_rows
            .iter()
            .map(|(reason, n)| (fill(words.user_rows_out, &[reason]), *n)),
    );
    if let Some(ramp) = &model.ramp {
        let r = &ramp.analysis.data.rows;
        rows.extend([
            (words.traffic_rows.into(), r.n_rows),
            (words.rows_baseline.into(), r.n_baseline),
            (words.rows_candidate.into(), r.n_candidate),
            (words.rows_ineligible.into(), r.n_ineligible),
            (words.rows_ineligible_candidate.into(), r.n_ineligible_candidate),
            (words.rows_unknown_release.into(), r.n_unknown_release),
            (words.rows_unknown_user.into(), r.n_unknown_user),
            (words.rows_settling.into(), r.n_settling),
            (words.rows_shadow.into(), r.n_shadow),
            (words.rows_before.into(), r.n_before_start),
            (words.rows_after.into(), r.n_after_as_of),
            (words.rows_other_layer.into(), r.n_layer_differs),
            (words.rows_bad.into(), r.n_bad),
        ]);
        if ramp.schedule.profile != "external" {
            rows.push((words.rows_misassigned.into(), r.n_misassigned));
        }
        rows.extend(
            r.bad_rows
                .iter()
                .map(|(reason, n)| (fill(words.traffic_rows_out, &[reason]), *n)),
        );
        rows.extend(
            r.below_resolution
                .iter()
                .map(|(column, n)| (fill(words.rows_below_resolution, &[column]), *n)),
        );
        let crossovers: u64 = ramp
            .analysis
            .layers
            .iter()
            .flat_map(|l| &l.stages)
            .map(|s| s.users.crossover)
            .sum();
        rows.push((words.crossovers.into(), crossovers));
    }
    rows
}

fn inputs(out: &mut String, model: &Model, words: &Words) {
    let study = &model.study;
    heading(out, words.inputs);
    let scenario = digest_code(&study.scenario_digest);
    line(
        out,
        &fill(
            words.inputs_note,
            &[&escape(&study.version), &study.seed.to_string(), &scenario],
        ),
    );
    line(out, "");
    if !study.allowed_columns.is_empty() {
        line(out, &format!("{}:", words.allowed_columns));
        line(out, "");
        let allowed = study.allowed_columns.iter();
        table(
            out,
            &[words.column, words.why],
            allowed.map(|a| vec![a.column.clone(), a.reason.clone()]),
        );
    }
    let traffic = model.ramp.iter().flat_map(|ramp| &ramp.analysis.data.sources);
    digest_table(
        out,
        [words.file, words.digest],
        model
            .layering
            .sources
            .iter()
            .chain(traffic)
            .map(|f| (f.name.clone(), f.digest.clone())),
    );
}

/// A digest as code of Markdown. What is no digest is escaped as a text of others.
pub(super) fn digest_code(digest: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ":_-".contains(c);
    if !digest.is_empty() && digest.chars().all(is_plain) {
        format!("`{digest}`")
    } else {
        escape(digest)
    }
}

/// A table of names and their digests.
pub(super) fn digest_table(
    out: &mut String,
    header: [&str; 2],
    rows: impl Iterator<Item = (String, String)>,
) {
    raw_table(
        out,
        &header,
        rows.map(|(name, digest)| vec![escape(&name), digest_code(&digest)]),
    );
}

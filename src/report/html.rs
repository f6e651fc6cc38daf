//! The report as one self-contained HTML page. It needs no network, can be read without a mouse and
//! without scripts, and can be printed. The answer stands first, then failures; the rest is folded.

use crate::base::error::Result;
use crate::base::escape::html as escape;
use crate::base::manifest::file;
use crate::base::number::{amount, count, p_value, percent};
use crate::ramp::{CheckOutcome, SrmEvidence, Verdict};
use crate::report::answer::{Answer, most_urgent, placed};
use crate::report::bounded::Bounded;
use crate::report::cards;
use crate::report::charts::{harm_title, harms_in_margins, harms_of};
use crate::report::effects::effect_lines;
use crate::report::escape::attributes;
use crate::report::imports::coverage_rows;
use crate::report::markdown::quality_rows;
use crate::report::model::{
    LimitLine, Model, RampModel, evidence_cells, layer_lines, limit_lines, matched_share, outlook_cells,
    outlook_header,
};
use crate::report::page::{Page, TableCell, badge, num, word};
use crate::report::slices::slices;
use crate::report::time_charts::{qos_over_time, ratios_over_time};
use crate::report::user_charts::{layer_distribution, score_histogram};
use crate::stats::srm::SrmTest;
use crate::words::answer::most_urgent_of;
use crate::words::{Count, Lang, Say, When, fill};

/// The largest number of guardrails in the open chart of harms.
const MAX_HARMS: usize = 40;

/// The most layers whose checks the page shows one by one.
const MAX_TRACES: usize = 300;
/// The largest number of guardrails in the folded chart of harms.
const MAX_REST: usize = 200;

/// Returns a study's report as an HTML page.
///
/// # Errors
/// A chart cannot be drawn.
pub fn html(model: &Model, lang: Lang) -> Result<String> {
    let names = model.layer_names(lang);
    let answer = model.ramp.as_ref().map(|ramp| Answer::new(ramp, &names));
    let bounded = Bounded::new(model);
    let mut page = Page::new(lang, model.has_several_tenants());
    page.names = names;
    page.zone = model.study.time_zone.clone();
    if let Some(ramp) = &model.ramp {
        page.metrics.clone_from(&ramp.analysis.metrics);
    }
    let words = page.words;
    let against = model.ramp.as_ref().map(|ramp| against(ramp, &page));
    page.open(&model.study.name, &against.unwrap_or_default());
    let model = &*bounded.model;
    match (&model.ramp, &answer) {
        (Some(ramp), Some(answer)) => {
            cards::first_screen(&mut page, answer);
            if let Some(note) = bounded.note(words) {
                page.text(&note);
            }
            cards::open_checks(&mut page, ramp);
            harm(&mut page, ramp);
            slices(&mut page, ramp);
            if let Some(note) = model.study.zone_note(words) {
                page.text(&note);
            }
            numbers(&mut page, ramp);
            history(&mut page, ramp)?;
            effects(&mut page, ramp);
            sample_ratios(&mut page, ramp);
            traces(&mut page, ramp);
            cards::other_checks(&mut page, ramp);
        }
        _ => {
            cards::headline_only(&mut page, placed(model).of(lang));
            if let Some(note) = bounded.note(words) {
                page.text(&note);
            }
        }
    }
    layers(&mut page, model)?;
    quality(&mut page, model);
    imports(&mut page, model);
    inputs(&mut page, model);
    Ok(page.close())
}

/// The releases, and the end of the data in local time.
fn against(ramp: &RampModel, page: &Page) -> String {
    let schedule = &ramp.schedule;
    let as_of = When(schedule.as_of, &page.zone).say(page.lang);
    fill(
        page.words.against,
        &[&schedule.candidate, &schedule.baseline, &as_of],
    )
}

/// The harm of each guardrail against its margin. Of many guardrails, those with the most harm stand in
/// the open chart.
fn harm(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    page.heading(words.harm);
    let mut harms = harms_of(ramp, &page.names, page.lang);
    if harms.is_empty() {
        let has_rows = ramp.analysis.data.rows.n_candidate > 0;
        page.text(if has_rows {
            words.harm_none
        } else {
            words.no_candidate
        });
        return;
    }
    page.text(words.harm_note);
    let title = harm_title(ramp, words);
    if harms.len() > MAX_HARMS {
        harms.sort_by(|a, b| b.interval.ci_upper.total_cmp(&a.interval.ci_upper));
    }
    let rest = harms.split_off(harms.len().min(MAX_HARMS));
    page.chart(&harms_in_margins(&harms, title.clone(), words));
    if !rest.is_empty() {
        let n_drawn = rest.len().min(MAX_REST);
        page.fold(
            words.harm,
            &fill(words.inside_harms, &[&count(rest.len() as u64)]),
        );
        if rest.len() > n_drawn {
            page.text(&fill(words.harms_left, &[&count((rest.len() - n_drawn) as u64)]));
        }
        page.chart(&harms_in_margins(&rest[..n_drawn], title, words));
        page.end_fold();
    }
}

/// The decisions with their numbers, the evidence, and what would decide each layer.
fn numbers(page: &mut Page, ramp: &RampModel) {
    let (schedule, words) = (&ramp.schedule, page.words);
    page.fold(words.decisions, words.inside_numbers);
    let lines = layer_lines(&ramp.analysis, schedule).into_iter();
    let rows: Vec<Vec<TableCell>> = lines
        .zip(&schedule.layers)
        .map(|(l, layer)| {
            vec![
                word(l.tenant),
                page.layer_cell(&l.layer),
                num(count(l.n_users)),
                num(count(l.n_exposed)),
                num(l.qos_baseline),
                num(l.qos_candidate),
                num(l.srm),
                TableCell::Badge(l.verdict.into()),
                num(l.ratios),
                word(layer.why().of(page.lang)),
            ]
        })
        .collect();
    page.table(
        words.decisions_caption,
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
        rows,
    );
    let rows: Vec<Vec<TableCell>> = schedule
        .layers
        .iter()
        .map(|layer| {
            let [tenant, id, rows, users, eligible] = evidence_cells(layer);
            vec![
                word(tenant),
                page.layer_cell(&id),
                num(rows),
                num(users),
                num(eligible),
            ]
        })
        .collect();
    page.table(
        words.evidence_caption,
        &[
            words.tenant,
            words.layer,
            words.evidence_rows,
            words.evidence_users,
            words.evidence_eligible,
        ],
        rows,
    );
    if let Some(share) = matched_share(schedule) {
        page.text(&fill(words.evidence_matched, &[&share]));
    }
    outlooks(page, ramp);
    page.end_fold();
}

/// What would decide the layers that keep their ratio.
fn outlooks(page: &mut Page, ramp: &RampModel) {
    let (words, lang) = (page.words, page.lang);
    let layers = ramp.schedule.layers.iter();
    let cells: Vec<_> = layers.filter_map(|layer| outlook_cells(layer, lang)).collect();
    if cells.is_empty() {
        return;
    }
    let rows: Vec<Vec<TableCell>> = cells
        .into_iter()
        .map(|cells| {
            let [tenant, layer, check, distance, users, days, smallest, ratio, text] = cells;
            let numbers = [distance, users, days, smallest, ratio].map(num);
            let mut row = vec![word(tenant), page.layer_cell(&layer), word(check)];
            row.extend(numbers);
            row.push(word(text));
            row
        })
        .collect();
    page.table(words.outlook, &outlook_header(words), rows);
    page.text(words.outlook_note);
}

/// Ratios and quality over time, and the log of changes.
fn history(page: &mut Page, ramp: &RampModel) -> Result<()> {
    let words = page.words;
    page.fold(words.ratios, words.inside_chart);
    page.chart(&ratios_over_time(ramp, &page.names, &page.zone, words)?);
    page.end_fold();
    changes(page, ramp);
    let charts = qos_over_time(ramp, &page.names, &page.zone, words)?;
    if charts.is_empty() {
        page.fold(words.quality, words.quality_none);
        page.text(words.quality_none);
    } else {
        page.fold(
            words.quality,
            &match charts.len() {
                1 => words.inside_chart.to_owned(),
                n => fill(words.inside_charts, &[&count(n as u64)]),
            },
        );
        page.text(words.quality_note);
        page.charts(&charts);
    }
    page.end_fold();
    Ok(())
}

fn changes(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    if ramp.changes.is_empty() {
        return;
    }
    page.fold(
        words.changes,
        &fill(words.inside_rows, &[&count(ramp.changes.len() as u64)]),
    );
    page.text(words.changes_note);
    let rows = ramp.change_rows(words, &page.zone).into_iter();
    page.table(
        words.changes,
        &words.change_columns(),
        rows.map(|row| row.into_iter().map(word).collect()),
    );
    page.end_fold();
}

fn effects(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    let lines = effect_lines(ramp, page.lang);
    page.fold(
        words.effects,
        &fill(words.inside_rows, &[&count(lines.len() as u64)]),
    );
    page.text(words.effects_note);
    let rows: Vec<Vec<TableCell>> = lines
        .into_iter()
        .map(|line| {
            let mut row = vec![
                word(line.tenant),
                page.layer_cell(line.layer),
                page.metric_cell(line.metric),
            ];
            row.extend(line.cells.map(num));
            row
        })
        .collect();
    page.table(
        words.effects_caption,
        &[
            words.tenant,
            words.layer,
            words.metric,
            words.baseline,
            words.candidate,
            words.effect,
            words.interval,
            words.relative,
            words.p,
        ],
        rows,
    );
    limits(page, ramp);
    page.end_fold();
}

/// The limits of values, below the effects of their metrics.
fn limits(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    let lines = limit_lines(&ramp.analysis);
    if lines.is_empty() {
        return;
    }
    page.text(words.limits_note);
    let rows: Vec<Vec<TableCell>> = lines
        .into_iter()
        .map(|line| {
            let source = line.source(words);
            vec![
                word(line.tenant),
                page.layer_cell(&line.layer),
                page.metric_cell(&line.metric),
                num(line.floor),
                num(line.cap),
                word(source),
                num(line.baseline),
                num(line.candidate),
            ]
        })
        .collect();
    page.table(words.limits, &LimitLine::header(words), rows);
}

fn sample_ratios(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    let policy = &ramp.analysis.policy;
    let mut rows = Vec::new();
    for layer in &ramp.analysis.layers {
        for stage in layer
            .stages
            .iter()
            .filter(|stage| stage.users.baseline + stage.users.candidate > 0)
        {
            let test = |f: &dyn Fn(&SrmTest) -> String| stage.srm.as_ref().map_or_else(|| "-".into(), f);
            // The p-value on which the verdict rests.
            let p = match SrmEvidence::from_stage(stage, policy) {
                Some(srm) if srm.is_alarm(policy) => fill(words.alarm, &[&p_value(srm.p_value)]),
                Some(srm) => p_value(srm.p_value),
                None => "-".into(),
            };
            rows.push(vec![
                word(layer.tenant.clone()),
                page.layer_cell(&layer.layer),
                word(page.zone.format_short(stage.start)),
                num(stage.ratio.to_string()),
                num(count(stage.users.baseline)),
                num(count(stage.users.candidate)),
                num(test(&|srm| amount(srm.statistic))),
                num(p),
                num(test(&|srm| percent(srm.max_abs_deviation))),
                num(count(stage.users.leaked)),
            ]);
        }
    }
    page.fold(
        words.sample_ratios,
        &fill(words.inside_rows, &[&count(rows.len() as u64)]),
    );
    page.text(words.sample_ratios_note);
    page.table(
        words.sample_ratios,
        &[
            words.tenant,
            words.layer,
            words.from,
            words.ratio,
            words.baseline_users,
            words.candidate_users,
            words.chi_square,
            words.p,
            words.deviation,
            words.leaked,
        ],
        rows,
    );
    page.end_fold();
}

/// Every check of every layer, in order.
fn traces(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    let inside = match ramp.schedule.layers.len() {
        1 => words.inside_check.to_owned(),
        n => fill(words.inside_checks, &[&count(n as u64)]),
    };
    page.fold(words.traces, &inside);
    page.has_labels = false;
    let shown = most_urgent(&ramp.schedule.layers, MAX_TRACES);
    if shown.len() < ramp.schedule.layers.len() {
        let [n, n_all] = [shown.len(), ramp.schedule.layers.len()].map(|n| Count(n as u64));
        page.text(most_urgent_of(n, n_all, file::SCHEDULE).of(page.lang));
    }
    for layer in shown {
        let label = page.names.of(&layer.tenant, &layer.layer);
        let keys = attributes([("tenant", layer.tenant.as_str()), ("layer", &layer.layer)].into_iter());
        let verdict = badge(layer.verdict.name(), words);
        page.raw(&format!(
            "<details{keys}><summary>{} {verdict}</summary>\n",
            escape(&label)
        ));
        let mut rows = Vec::new();
        for step in &layer.trace {
            let outcome = match step.outcome {
                CheckOutcome::Pass => "pass",
                CheckOutcome::NotApplicable => "skip",
                CheckOutcome::Block(verdict) => Verdict::name(verdict),
            };
            let id = page.layer_id("", &layer.tenant, &layer.layer, &step.check);
            rows.push(vec![
                TableCell::Anchored {
                    text: step.check.clone(),
                    id,
                    key: String::new(),
                },
                TableCell::Badge(outcome.into()),
                word(step.text().of(page.lang)),
            ]);
        }
        page.table(
            &fill(words.traces_caption, &[&label]),
            &[words.check, words.outcome, words.found],
            rows,
        );
        page.raw("</details>\n");
    }
    page.has_labels = true;
    page.end_fold();
}

fn layers(page: &mut Page, model: &Model) -> Result<()> {
    let (l, words) = (&model.layering, page.words);
    page.fold(
        words.layers,
        &fill(words.inside_users, &[&count(l.layers.len() as u64)]),
    );
    page.text(&fill(
        words.layers_note,
        &[&count(l.n_users), &count(l.n_eligible), &l.mode, &l.as_of],
    ));
    page.chart(&layer_distribution(model, &page.names, words));
    page.chart(&score_histogram(model, words)?);
    let lang = page.lang;
    let name = |id: &str| {
        model
            .study
            .layers
            .iter()
            .find(|(other, _)| other == id)
            .map(|(_, name)| name.of(lang).to_owned())
            .unwrap_or_default()
    };
    page.table(
        words.layers,
        &[
            words.tenant,
            words.layer,
            words.name,
            words.users,
            words.share,
            words.eligible,
            words.note,
        ],
        l.layers.iter().map(|row| {
            let note = if row.too_small { words.too_small } else { "" };
            vec![
                word(row.tenant.clone()),
                word(row.layer.clone()),
                word(name(&row.layer)),
                num(count(row.n_users)),
                num(percent(row.share)),
                num(count(row.n_eligible)),
                word(note),
            ]
        }),
    );
    page.end_fold();
    Ok(())
}

fn quality(page: &mut Page, model: &Model) {
    let words = page.words;
    let rows: Vec<Vec<TableCell>> = quality_rows(model, words)
        .into_iter()
        .map(|(what, n)| vec![word(what), num(count(n))])
        .collect();
    page.fold(
        words.data_quality,
        &fill(words.inside_rows, &[&count(rows.len() as u64)]),
    );
    page.table(words.counts, &[words.what, words.count], rows);
    page.end_fold();
}

fn imports(page: &mut Page, model: &Model) {
    let words = page.words;
    for source in &model.traces {
        page.fold(words.imports, &source.path);
        let rows = coverage_rows(&source.coverage, page.lang)
            .into_iter()
            .map(|(what, n)| vec![word(what), num(n)]);
        page.table(&source.path, &[words.what, words.count], rows);
        page.end_fold();
    }
}

fn inputs(page: &mut Page, model: &Model) {
    let (study, words) = (&model.study, page.words);
    let traffic = model.ramp.iter().flat_map(|ramp| &ramp.analysis.data.sources);
    let files: Vec<Vec<TableCell>> = model
        .layering
        .sources
        .iter()
        .chain(traffic)
        .map(|f| vec![word(f.name.clone()), TableCell::Long(f.digest.clone())])
        .collect();
    page.fold(
        words.about,
        &fill(words.inside_files, &[&count(files.len() as u64)]),
    );
    if !study.why.trim().is_empty() {
        page.text(study.why.trim());
    }
    let scenario = format!("<code>{}</code>", escape(&study.scenario_digest));
    page.raw(&format!(
        "<p>{}</p>\n",
        fill(
            words.inputs_note,
            &[&escape(&study.version), &study.seed.to_string(), &scenario]
        )
    ));
    if !study.allowed_columns.is_empty() {
        let allowed = study.allowed_columns.iter();
        page.table(
            words.allowed_columns,
            &[words.column, words.why],
            allowed.map(|a| vec![word(a.column.clone()), TableCell::Long(a.reason.clone())]),
        );
    }
    page.table(words.files, &[words.file, words.digest], files);
    page.end_fold();
}

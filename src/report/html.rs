//! The report as one self-contained HTML page. It needs no network, can be read without a mouse and
//! without scripts, and can be printed.

use crate::base::error::Result;
use crate::base::escape::html as escape;
use crate::base::number::{number, p_value, percent};
use crate::base::time;
use crate::base::time::Zone;
use crate::gate::GateOutcome;
use crate::ramp::{CheckOutcome, LayerSchedule, SrmEvidence, Verdict};
use crate::report::bounded::Bounded;
use crate::report::charts;
use crate::report::escape::attributes;
use crate::report::imports::coverage_rows;
use crate::report::markdown::quality_rows;
use crate::report::model::{
    LimitLine, Model, RampModel, evidence_cells, layer_lines, limit_lines, matched_share, outlook_cells,
    outlook_header,
};
use crate::report::page::{Page, TableCell, badge, num, word};
use crate::report::slices::slices;
use crate::stats::Known;
use crate::stats::effect::Effect;
use crate::stats::srm::SrmTest;
use crate::words::{Lang, fill};

/// Returns a study's report as an HTML page.
///
/// # Errors
/// A chart cannot be drawn.
pub fn html(model: &Model, lang: Lang) -> Result<String> {
    let (bounded, counts) = (
        Bounded::new(model),
        model.ramp.as_ref().map(RampModel::gate_counts),
    );
    let model = &*bounded.model;
    let tenant_of_first = model.layering.layers.first().map(|layer| &layer.tenant);
    let several_tenants = model
        .layering
        .layers
        .iter()
        .any(|layer| Some(&layer.tenant) != tenant_of_first);
    let mut page = Page::new(lang, several_tenants);
    let words = page.words;
    let study = &model.study;
    page.open(&study.name, &study.why);
    if let Some(note) = bounded.note(words) {
        page.text(&note);
    }
    if let Some((ramp, counts)) = model.ramp.as_ref().zip(counts) {
        decisions(&mut page, ramp);
        if let Some(note) = study.zone_note(words) {
            page.text(&note);
        }
        page.chart(&charts::ratios_over_time(ramp, &study.time_zone, words)?);
        gate(&mut page, ramp, &counts);
        page.heading(words.harm);
        match charts::harm_forest(ramp, words) {
            Some(chart) => page.chart(&chart),
            None => page.text(words.harm_none),
        }
        slices(&mut page, ramp);
        let charts = charts::qos_over_time(ramp, &study.time_zone, words)?;
        page.heading(words.quality);
        page.text(if charts.is_empty() {
            words.quality_none
        } else {
            words.quality_note
        });
        page.charts(&charts);
        effects(&mut page, ramp);
        limits(&mut page, ramp);
        changes(&mut page, ramp);
        sample_ratios(&mut page, ramp, &study.time_zone);
        traces(&mut page, ramp);
    }
    layers(&mut page, model)?;
    quality(&mut page, model);
    imports(&mut page, model, lang);
    inputs(&mut page, model);
    Ok(page.close())
}

fn decisions(page: &mut Page, ramp: &RampModel) {
    let (schedule, words) = (&ramp.schedule, page.words);
    page.heading(words.decisions);
    let code = |release: &str| format!("<code>{}</code>", escape(release));
    let (candidate, baseline) = (code(&schedule.candidate), code(&schedule.baseline));
    let gate = badge(ramp.gate.outcome.name(), words);
    page.raw(&format!(
        "<p>{}</p>\n",
        fill(
            words.against,
            &[&candidate, &baseline, &time::format(schedule.as_of), &gate]
        )
    ));
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
        layer_lines(&ramp.analysis, schedule).into_iter().map(|l| {
            vec![
                word(l.tenant),
                word(l.layer),
                num(l.n_users.to_string()),
                num(l.n_exposed.to_string()),
                num(l.qos_baseline),
                num(l.qos_candidate),
                num(l.srm),
                TableCell::Badge(l.verdict.into()),
                num(l.ratios),
                word(l.reason),
            ]
        }),
    );
    page.table(
        words.evidence_caption,
        &[
            words.tenant,
            words.layer,
            words.evidence_rows,
            words.evidence_users,
            words.evidence_eligible,
        ],
        schedule.layers.iter().map(|layer| {
            let [tenant, layer, rows, users, eligible] = evidence_cells(layer);
            vec![word(tenant), word(layer), num(rows), num(users), num(eligible)]
        }),
    );
    if let Some(share) = matched_share(schedule) {
        page.text(&fill(words.evidence_matched, &[&share]));
    }
    outlooks(page, ramp);
}

/// What would decide the layers that keep their ratio.
fn outlooks(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    let layers = ramp.schedule.layers.iter();
    let cells: Vec<_> = layers.filter_map(|layer| outlook_cells(layer, words)).collect();
    if cells.is_empty() {
        return;
    }
    let rows = cells.into_iter().map(|cells| {
        let [tenant, layer, check, distance, users, days, smallest, ratio, text] = cells;
        let numbers = [distance, users, days, smallest, ratio].map(num);
        let mut row = vec![word(tenant), word(layer), word(check)];
        row.extend(numbers);
        row.push(word(text));
        row
    });
    page.table(words.outlook, &outlook_header(words), rows);
    page.text(words.outlook_note);
}

fn gate(page: &mut Page, ramp: &RampModel, [n_passed, n_all]: &[String; 2]) {
    let words = page.words;
    page.heading(words.gate);
    page.text(&fill(words.gate_passed, &[n_passed, n_all]));
    let open: Vec<_> = ramp
        .gate
        .checks
        .iter()
        .filter(|check| check.outcome != GateOutcome::Pass)
        .collect();
    if open.is_empty() {
        return;
    }
    page.table(
        words.gate_open,
        &[
            words.tenant,
            words.layer,
            words.check,
            words.outcome,
            words.found,
            words.remedy,
        ],
        open.into_iter().map(|c| {
            vec![
                word(c.tenant.clone()),
                word(c.layer.clone()),
                word(c.check.clone()),
                TableCell::Badge(c.outcome.name().into()),
                word(c.detail.clone()),
                word(c.remedy.clone().unwrap_or_default()),
            ]
        }),
    );
}

fn changes(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    if ramp.changes.is_empty() {
        return;
    }
    page.heading(words.changes);
    page.text(words.changes_note);
    let rows = ramp.change_rows(words).into_iter();
    page.table(
        words.changes,
        &words.change_columns(),
        rows.map(|row| row.into_iter().map(word).collect()),
    );
}

fn effects(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    page.heading(words.effects);
    page.text(words.effects_note);
    let mut rows = Vec::new();
    for layer in &ramp.analysis.layers {
        let Some(stage) = layer.current() else { continue };
        let mut add = |metric: &str, effect: &Known<Effect>| {
            if let Known::Value(e) = effect {
                let relative = e
                    .relative
                    .map_or_else(|| "-".into(), |r| percent(r.rel_effect_size));
                rows.push(vec![
                    word(layer.tenant.clone()),
                    word(layer.layer.clone()),
                    word(metric),
                    num(number(e.control)),
                    num(number(e.treatment)),
                    num(number(e.effect_size)),
                    num(format!(
                        "[{}, {}]",
                        number(e.anytime.ci_lower),
                        number(e.anytime.ci_upper)
                    )),
                    num(relative),
                    num(p_value(e.anytime_p_value)),
                ]);
            }
        };
        add("QoS", &stage.qos.effect);
        stage
            .metrics
            .iter()
            .for_each(|metric| add(&metric.metric, &metric.effect));
        add("latency_p95_ms", &stage.latency_p95_ms.effect);
    }
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
}

/// The limits of values, below the effects of their metrics.
fn limits(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    let lines = limit_lines(&ramp.analysis);
    if lines.is_empty() {
        return;
    }
    page.text(words.limits_note);
    page.table(
        words.limits,
        &LimitLine::header(words),
        lines.into_iter().map(|line| {
            let source = line.source(words);
            vec![
                word(line.tenant),
                word(line.layer),
                word(line.metric),
                num(line.floor),
                num(line.cap),
                word(source),
                num(line.baseline),
                num(line.candidate),
            ]
        }),
    );
}

fn sample_ratios(page: &mut Page, ramp: &RampModel, zone: &Zone) {
    let words = page.words;
    page.heading(words.sample_ratios);
    page.text(words.sample_ratios_note);
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
                word(layer.layer.clone()),
                word(zone.format_short(stage.start)),
                num(stage.ratio.to_string()),
                num(stage.users.baseline.to_string()),
                num(stage.users.candidate.to_string()),
                num(test(&|srm| number(srm.statistic))),
                num(p),
                num(test(&|srm| percent(srm.max_abs_deviation))),
                num(stage.users.leaked.to_string()),
            ]);
        }
    }
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
}

fn traces(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    page.heading(words.traces);
    let several = page.several_tenants;
    let label = |layer: &LayerSchedule| {
        if several {
            format!("{} / {}", layer.tenant, layer.layer)
        } else {
            layer.layer.clone()
        }
    };
    for layer in &ramp.schedule.layers {
        let label = label(layer);
        let keys = attributes([("tenant", layer.tenant.as_str()), ("layer", &layer.layer)].into_iter());
        let verdict = badge(layer.verdict.name(), words);
        page.raw(&format!(
            "<details{keys}><summary>{} {verdict}</summary>\n",
            escape(&label)
        ));
        page.table(
            &fill(words.traces_caption, &[&label]),
            &[words.check, words.outcome, words.found],
            layer.trace.iter().map(|step| {
                let outcome = match step.outcome {
                    CheckOutcome::Pass => "pass",
                    CheckOutcome::NotApplicable => "skip",
                    CheckOutcome::Block(verdict) => Verdict::name(verdict),
                };
                vec![
                    word(step.check.clone()),
                    TableCell::Badge(outcome.into()),
                    word(step.detail.clone()),
                ]
            }),
        );
        page.raw("</details>\n");
    }
}

fn layers(page: &mut Page, model: &Model) -> Result<()> {
    let (l, words) = (&model.layering, page.words);
    page.heading(words.layers);
    page.text(&fill(
        words.layers_note,
        &[
            &l.n_users.to_string(),
            &l.n_eligible.to_string(),
            &l.mode,
            &l.as_of,
        ],
    ));
    page.chart(&charts::layer_distribution(model, words));
    page.chart(&charts::score_histogram(model, words)?);
    let name = |id: &str| {
        model
            .study
            .layers
            .iter()
            .find(|(other, _)| other == id)
            .map(|(_, name)| name.clone())
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
                num(row.n_users.to_string()),
                num(percent(row.share)),
                num(row.n_eligible.to_string()),
                word(note),
            ]
        }),
    );
    Ok(())
}

fn quality(page: &mut Page, model: &Model) {
    let words = page.words;
    page.heading(words.data_quality);
    let rows = quality_rows(model, words)
        .into_iter()
        .map(|(what, n)| vec![word(what), num(n.to_string())]);
    page.table(words.counts, &[words.what, words.count], rows);
}

fn imports(page: &mut Page, model: &Model, lang: Lang) {
    let words = page.words;
    for source in &model.traces {
        page.heading(words.imports);
        let rows = coverage_rows(&source.coverage, lang)
            .into_iter()
            .map(|(what, n)| vec![word(what), num(n)]);
        page.table(&source.path, &[words.what, words.count], rows);
    }
}

fn inputs(page: &mut Page, model: &Model) {
    let (study, words) = (&model.study, page.words);
    page.heading(words.inputs);
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
    let traffic = model.ramp.iter().flat_map(|ramp| &ramp.analysis.data.sources);
    page.table(
        words.files,
        &[words.file, words.digest],
        model
            .layering
            .sources
            .iter()
            .chain(traffic)
            .map(|f| vec![word(f.name.clone()), TableCell::Long(f.digest.clone())]),
    );
}

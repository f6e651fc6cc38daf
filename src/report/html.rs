//! The report as one self-contained page: no script, no network, readable without a mouse, and fit to print.

use std::fmt::Write;

use super::{
    charts::{self, Chart},
    markdown::quality_rows,
    model::{Model, RampModel, layer_lines, p_value, percent},
};
use crate::{
    error::Result,
    gate::GateOutcome,
    number::number,
    ramp::{LayerSchedule, Outcome, Verdict},
    stats::{Known, effect::Effect, srm::SrmTest},
    time,
};

const STYLE: &str = include_str!("style.css");

/// Draws a report as an HTML page.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn html(model: &Model) -> Result<String> {
    let tenant_of_first = model.layering.layers.first().map(|layer| &layer.tenant);
    let several_tenants = model.layering.layers.iter().any(|layer| Some(&layer.tenant) != tenant_of_first);
    let mut page = Page { html: String::new(), several_tenants };
    let study = &model.study;
    page.open(&study.name, &study.why);
    if let Some(ramp) = &model.ramp {
        decisions(&mut page, ramp);
        page.chart(&charts::ratios_over_time(ramp)?);
        gate(&mut page, ramp);
        page.raw("<h2>Harm against the margins</h2>\n");
        if let Some(chart) = charts::harm_forest(ramp)? {
            page.chart(&chart);
        }
        let charts = charts::qos_over_time(ramp)?;
        let note = if charts.is_empty() {
            "QoS is not known in any layer."
        } else {
            "Points with intervals for one look; vertical lines mark ratio changes."
        };
        page.raw(&format!("<h2>Quality over time</h2>\n<p>{note}</p>\n"));
        for chart in charts {
            page.chart(&chart);
        }
        effects(&mut page, ramp);
        sample_ratios(&mut page, ramp);
        traces(&mut page, ramp);
    }
    layers(&mut page, model)?;
    quality(&mut page, model);
    inputs(&mut page, model);
    Ok(page.close())
}

/// The page so far, and whether its tables need a tenant column (their first one, then).
pub(super) struct Page {
    pub(super) html: String,
    pub(super) several_tenants: bool,
}

impl Page {
    /// Everything before the content.
    pub(super) fn open(&mut self, name: &str, why: &str) {
        self.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        self.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n");
        self.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        self.raw(&format!("<title>{} · Sluice</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n", escape(name)));
        self.raw(&format!("<header>\n<h1>{}</h1>\n", escape(name)));
        if !why.trim().is_empty() {
            self.raw(&format!("<p>{}</p>\n", escape(why.trim())));
        }
        self.raw("</header>\n<main>\n");
    }

    /// The whole page.
    pub(super) fn close(mut self) -> String {
        self.raw("</main>\n</body>\n</html>\n");
        self.html
    }

    pub(super) fn raw(&mut self, html: &str) {
        self.html.push_str(html);
    }

    pub(super) fn chart(&mut self, chart: &Chart) {
        let (title, words) = (escape(&chart.title), escape(&chart.description));
        // Writing into a string cannot fail.
        let _ = write!(
            self.html,
            "<figure role=\"img\" aria-label=\"{title}: {words}\">\n<figcaption>{title}</figcaption>\n{}</figure>\n",
            chart.svg
        );
    }

    pub(super) fn table(&mut self, caption: &str, header: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) {
        let _ = write!(
            self.html,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table>\n<caption>{0}</caption>\n<thead><tr>",
            escape(caption)
        );
        let skipped = usize::from(header.first() == Some(&"tenant") && !self.several_tenants);
        for name in &header[skipped..] {
            let _ = write!(self.html, "<th scope=\"col\">{}</th>", escape(name));
        }
        self.raw("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.raw("<tr>");
            for cell in row.into_iter().skip(skipped) {
                let _ = match cell {
                    Cell::Text(text) => write!(self.html, "<td>{}</td>", escape(&text)),
                    Cell::Number(text) => write!(self.html, "<td class=\"n\">{}</td>", escape(&text)),
                    Cell::Long(text) => write!(self.html, "<td class=\"long\">{}</td>", escape(&text)),
                    Cell::Badge(text) => write!(self.html, "<td><span class=\"badge {0}\">{0}</span></td>", escape(&text)),
                };
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody></table></div>\n");
    }
}

pub(super) enum Cell {
    Text(String),
    Number(String),
    /// A digest, which may break anywhere.
    Long(String),
    /// One of our own words, which is also a class of the style sheet.
    Badge(String),
}

fn word(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn num(text: impl Into<String>) -> Cell {
    Cell::Number(text.into())
}

fn decisions(page: &mut Page, ramp: &RampModel) {
    let schedule = &ramp.schedule;
    page.raw("<h2>Decisions</h2>\n");
    page.raw(&format!(
        "<p><code>{}</code> against <code>{}</code>, as of {}. Gate: <span class=\"badge {gate}\">{gate}</span></p>\n",
        escape(&schedule.candidate),
        escape(&schedule.baseline),
        time::format(schedule.as_of),
        gate = ramp.gate.outcome.name(),
    ));
    page.table(
        "What happens to each layer, and why",
        &["tenant", "layer", "users", "exposed", "QoS baseline", "QoS candidate", "SRM", "verdict", "ratio", "why"],
        layer_lines(&ramp.analysis, schedule).into_iter().map(|l| {
            vec![
                word(l.tenant),
                word(l.layer),
                num(l.n_users.to_string()),
                num(l.n_exposed.to_string()),
                num(l.qos_baseline),
                num(l.qos_candidate),
                num(l.srm),
                Cell::Badge(l.verdict.into()),
                num(l.ratios),
                word(l.reason),
            ]
        }),
    );
}

fn gate(page: &mut Page, ramp: &RampModel) {
    page.raw("<h2>Gate</h2>\n");
    let n_passed = ramp.gate.checks.iter().filter(|check| check.outcome == GateOutcome::Pass).count();
    page.raw(&format!("<p>{n_passed} of {} checks passed.</p>\n", ramp.gate.checks.len()));
    let open: Vec<_> = ramp.gate.checks.iter().filter(|check| check.outcome != GateOutcome::Pass).collect();
    if open.is_empty() {
        return;
    }
    page.table(
        "Checks that did not pass",
        &["check", "layer", "outcome", "found", "what would make it pass"],
        open.into_iter().map(|c| {
            vec![
                word(c.check.clone()),
                word(c.layer.clone()),
                Cell::Badge(c.outcome.name().into()),
                word(c.detail.clone()),
                word(c.remedy.clone().unwrap_or_default()),
            ]
        }),
    );
}

fn effects(page: &mut Page, ramp: &RampModel) {
    page.raw("<h2>Effects in the current stage</h2>\n<p>Candidate minus baseline, same layer, same time. The interval holds at every look.</p>\n");
    let mut rows = Vec::new();
    for layer in &ramp.analysis.layers {
        let Some(stage) = layer.current() else { continue };
        let mut add = |metric: &str, effect: &Known<Effect>| {
            if let Known::Value(e) = effect {
                let relative = e.relative.map_or_else(|| "-".into(), |r| percent(r.rel_effect_size));
                rows.push(vec![
                    word(layer.tenant.clone()),
                    word(layer.layer.clone()),
                    word(metric),
                    num(number(e.control)),
                    num(number(e.treatment)),
                    num(number(e.effect_size)),
                    num(format!("[{}, {}]", number(e.anytime.ci_lower), number(e.anytime.ci_upper))),
                    num(relative),
                    num(p_value(e.anytime_p_value)),
                ]);
            }
        };
        add("QoS", &stage.qos.effect);
        stage.metrics.iter().for_each(|metric| add(&metric.metric, &metric.effect));
        add("latency_p95_ms", &stage.latency_p95_ms.effect);
    }
    page.table("Effects", &["tenant", "layer", "metric", "baseline", "candidate", "effect", "interval", "relative", "p"], rows);
}

fn sample_ratios(page: &mut Page, ramp: &RampModel) {
    page.raw("<h2>Sample ratios</h2>\n<p>Distinct eligible users of each stage against the planned ratio.</p>\n");
    let mut rows = Vec::new();
    for layer in &ramp.analysis.layers {
        for stage in layer.stages.iter().filter(|stage| stage.users.baseline + stage.users.candidate > 0) {
            let test = |f: &dyn Fn(&SrmTest) -> String| stage.srm.as_ref().map_or_else(|| "-".into(), f);
            let p = match &stage.srm {
                Some(srm) if srm.p_value < ramp.analysis.policy.srm_alpha => format!("{} (alarm)", p_value(srm.p_value)),
                _ => test(&|srm| p_value(srm.p_value)),
            };
            rows.push(vec![
                word(layer.tenant.clone()),
                word(layer.layer.clone()),
                word(time::format_short(stage.start)),
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
        "Sample ratios",
        &["tenant", "layer", "from", "ratio", "baseline users", "candidate users", "chi-square", "p", "deviation", "leaked"],
        rows,
    );
}

fn traces(page: &mut Page, ramp: &RampModel) {
    page.raw("<h2>How each verdict came about</h2>\n");
    let several = page.several_tenants;
    let tenant = |layer: &LayerSchedule| if several { format!("{} / ", escape(&layer.tenant)) } else { String::new() };
    for layer in &ramp.schedule.layers {
        page.raw(&format!("<details><summary>{}{}: {}</summary>\n", tenant(layer), escape(&layer.layer), layer.verdict.name()));
        page.table(
            "Checks in order",
            &["check", "outcome", "found"],
            layer.trace.iter().map(|step| {
                let outcome = match step.outcome {
                    Outcome::Pass => "pass",
                    Outcome::NotApplicable => "skip",
                    Outcome::Block(verdict) => Verdict::name(verdict),
                };
                vec![word(step.check.clone()), Cell::Badge(outcome.into()), word(step.detail.clone())]
            }),
        );
        page.raw("</details>\n");
    }
}

fn layers(page: &mut Page, model: &Model) -> Result<()> {
    let l = &model.layering;
    page.raw("<h2>Layers</h2>\n");
    page.raw(&format!("<p>{} users, {} of them eligible, by {} at {}.</p>\n", l.n_users, l.n_eligible, escape(&l.mode), escape(&l.as_of)));
    page.chart(&charts::layer_distribution(model)?);
    page.chart(&charts::score_histogram(model)?);
    let name = |id: &str| model.study.layers.iter().find(|(other, _)| other == id).map(|(_, name)| name.clone()).unwrap_or_default();
    page.table(
        "Layers",
        &["tenant", "layer", "name", "users", "share", "eligible", "note"],
        l.layers.iter().map(|row| {
            let note = if row.too_small { "too small to judge" } else { "" };
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
    page.raw("<h2>Data quality</h2>\n");
    page.table("Counts", &["what", "count"], quality_rows(model).into_iter().map(|(what, n)| vec![word(what), num(n.to_string())]));
}

fn inputs(page: &mut Page, model: &Model) {
    let study = &model.study;
    page.raw("<h2>Inputs</h2>\n");
    page.raw(&format!(
        "<p>sluice {}, seed {}, scenario <code>{}</code>.</p>\n",
        escape(&study.version),
        study.seed,
        escape(&study.scenario_digest)
    ));
    let traffic = model.ramp.iter().flat_map(|ramp| &ramp.analysis.data.sources);
    page.table(
        "Files",
        &["file", "digest"],
        model.layering.sources.iter().chain(traffic).map(|f| vec![word(f.name.clone()), Cell::Long(f.digest.clone())]),
    );
}

/// Text that cannot become markup, in elements and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for ch in text.chars() {
        match ch {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_in_text_stays_text() {
        assert_eq!(super::escape("<script>\"x\" & 'y'</script>"), "&lt;script&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;/script&gt;");
    }
}

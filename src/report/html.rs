//! The report as one self-contained page: no network, readable without a mouse and without scripts, and fit to print.

use sha2::{Digest, Sha256};
use std::fmt::Write;

use crate::base::error::Result;
use crate::base::number::number;
use crate::base::time;
use crate::gate::GateOutcome;
use crate::ramp::{LayerSchedule, Outcome, Verdict};
use crate::report::charts;
use crate::report::charts::Chart;
use crate::report::curves::json_in_script;
use crate::report::markdown::quality_rows;
use crate::report::model::{Model, RampModel, layer_lines, p_value, percent};
use crate::report::words::{Lang, Words, fill};
use crate::stats::Known;
use crate::stats::effect::Effect;
use crate::stats::srm::SrmTest;

const STYLE: &str = concat!(
    include_str!("assets/uPlot.min.css"),
    "\n",
    include_str!("style.css")
);
const SCRIPT: &str = concat!(
    include_str!("assets/uPlot.iife.min.js"),
    "\n",
    include_str!("page.js")
);

/// Draws a report as an HTML page.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn html(model: &Model, lang: Lang) -> Result<String> {
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
    if let Some(ramp) = &model.ramp {
        decisions(&mut page, ramp);
        page.chart(&charts::ratios_over_time(ramp, words)?);
        gate(&mut page, ramp);
        page.heading(words.harm);
        match charts::harm_forest(ramp, words) {
            Some(chart) => page.chart(&chart),
            None => page.text(words.harm_none),
        }
        let charts = charts::qos_over_time(ramp, words)?;
        page.heading(words.quality);
        page.text(if charts.is_empty() {
            words.quality_none
        } else {
            words.quality_note
        });
        page.charts(&charts);
        effects(&mut page, ramp);
        sample_ratios(&mut page, ramp);
        traces(&mut page, ramp);
    }
    layers(&mut page, model)?;
    quality(&mut page, model);
    inputs(&mut page, model);
    Ok(page.close())
}

/// The page so far: in which words, and whether its tables need a tenant column (their first one, then).
pub(super) struct Page {
    pub(super) html: String,
    pub(super) several_tenants: bool,
    pub(super) words: &'static Words,
}

impl Page {
    /// An empty page in a language. What a page says itself is taken from its `words`.
    pub(super) fn new(lang: Lang, several_tenants: bool) -> Self {
        Self {
            html: String::new(),
            several_tenants,
            words: lang.words(),
        }
    }

    /// Everything before the content.
    pub(super) fn open(&mut self, name: &str, why: &str) {
        let words = self.words;
        self.raw(&format!(
            "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n",
            words.lang
        ));
        // Only this very script and this very style, nothing from elsewhere, and no text that turns into markup.
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'",
            source_hash(SCRIPT),
            source_hash(STYLE)
        );
        self.raw(&format!(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n"
        ));
        self.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        self.raw(&format!(
            "<title>{} · Sluice</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            escape(name)
        ));
        self.raw(&format!("<header>\n<h1>{}</h1>\n", escape(name)));
        if !why.trim().is_empty() {
            self.text(why.trim());
        }
        let of_script = serde_json::json!({
            "tenant": words.tenant, "layer": words.layer, "metric": words.metric, "world": words.world,
            "filter": words.filter, "all": words.all, "show_all": words.show_all, "rows_shown": words.rows_shown,
            "to_dark": words.to_dark, "to_light": words.to_light, "reset_zoom": words.reset_zoom, "chart_keys": words.chart_keys,
        });
        self.raw(&format!(
            "<script type=\"application/json\" id=\"words\">{}</script>\n",
            json_in_script(&of_script.to_string())
        ));
        self.raw("</header>\n<main>\n");
    }

    /// The whole page.
    pub(super) fn close(mut self) -> String {
        self.raw(&format!("</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"));
        self.html
    }

    pub(super) fn raw(&mut self, html: &str) {
        self.html.push_str(html);
    }

    pub(super) fn heading(&mut self, words: &str) {
        self.raw(&format!("<h2>{}</h2>\n", escape(words)));
    }

    /// One of our own words, with what it is about.
    pub(super) fn badge(&mut self, what: &str, name: &str) {
        self.raw(&format!("<p>{}: {}</p>\n", escape(what), badge(name, self.words)));
    }

    pub(super) fn text(&mut self, words: &str) {
        self.raw(&format!("<p>{}</p>\n", escape(words)));
    }

    pub(super) fn chart(&mut self, chart: &Chart) {
        let (title, words) = (escape(&chart.title), escape(&chart.description));
        let keys = attributes(chart.keys.iter().map(|(key, value)| (*key, value.as_str())));
        // Writing into a string cannot fail.
        let _ = write!(
            self.html,
            "<figure{keys}>\n<figcaption>{title}</figcaption>\n<div class=\"picture\" role=\"img\" tabindex=\"0\" aria-label=\"{title}: {words}\">\n{}</div>\n",
            chart.svg
        );
        if let Some(curves) = &chart.curves {
            self.raw(&format!(
                "<script type=\"application/json\" class=\"curves\">{}</script>\n",
                curves.to_json()
            ));
        }
        self.raw("</figure>\n");
    }

    /// Charts of many curves, and how many of their points are drawn.
    pub(super) fn charts(&mut self, charts: &[Chart]) {
        let counts = charts
            .iter()
            .filter_map(|chart| chart.curves.as_ref())
            .map(crate::report::curves::Curves::counts);
        let (n_drawn, n_all) = counts.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        if n_drawn < n_all {
            self.text(&fill(
                self.words.thinned,
                &[&n_all.to_string(), &n_drawn.to_string()],
            ));
        }
        for chart in charts {
            self.chart(chart);
        }
    }

    pub(super) fn table(
        &mut self,
        caption: &str,
        header: &[&str],
        rows: impl IntoIterator<Item = Vec<Cell>>,
    ) {
        let skipped = usize::from(
            header.first().and_then(|name| Words::key_of(name)) == Some("tenant") && !self.several_tenants,
        );
        let rows: Vec<Vec<Cell>> = rows.into_iter().collect();
        let is_number = |column: usize| {
            matches!(
                rows.first().and_then(|row| row.get(column)),
                Some(Cell::Number(_))
            )
        };
        // Columns of numbers are named once, not in every cell.
        let mut classes: Vec<String> = (skipped..header.len())
            .filter(|idx| is_number(*idx))
            .map(|idx| format!("n{}", idx - skipped + 1))
            .collect();
        if header.len() > 10 {
            classes.push("wide".into());
        }
        let _ = write!(
            self.html,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table class=\"{1}\">\n<caption>{0}</caption>\n<thead><tr>",
            escape(caption),
            classes.join(" ")
        );
        for (column, name) in header.iter().enumerate().skip(skipped) {
            let key = Words::key_of(name).map_or_else(String::new, |key| format!(" data-key=\"{key}\""));
            let class = if is_number(column) { " class=\"n\"" } else { "" };
            let _ = write!(self.html, "<th scope=\"col\"{key}{class}>{}</th>", escape(name));
        }
        self.raw("</tr></thead>\n<tbody>\n");
        let words = self.words;
        for row in rows {
            self.raw("<tr>");
            for cell in row.into_iter().skip(skipped) {
                let _ = match cell {
                    Cell::Text(text) | Cell::Number(text) => write!(self.html, "<td>{}</td>", escape(&text)),
                    Cell::Keyed(text, key) => write!(
                        self.html,
                        "<td data-value=\"{}\">{}</td>",
                        escape(&key),
                        escape(&text)
                    ),
                    Cell::Long(text) => write!(self.html, "<td class=\"long\">{}</td>", escape(&text)),
                    Cell::Badge(text) => write!(self.html, "<td>{}</td>", badge(&text, words)),
                };
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody></table></div>\n");
    }
}

pub(super) enum Cell {
    Text(String),
    /// A number, or text that begins with one; an interval alone is sorted by the column before it, its estimate. A column's first cell
    /// decides how the column is set.
    Number(String),
    /// Text that filters know by a key of its own.
    Keyed(String, String),
    /// A digest, which may break anywhere.
    Long(String),
    /// One of our own words, which is also a class of the style sheet.
    Badge(String),
}

fn badge(name: &str, words: &Words) -> String {
    format!(
        "<span class=\"badge {}\">{}</span>",
        escape(name),
        escape(&words.badge(name))
    )
}

/// What filters know an element by.
pub(super) fn attributes<'a>(keys: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    keys.map(|(key, value)| format!(" data-{key}=\"{}\"", escape(value)))
        .collect()
}

/// A source of a content policy: the SHA-256 of a whole element's text, in base 64.
fn source_hash(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut hash = String::from("sha256-");
    for three in Sha256::digest(text.as_bytes()).chunks(3) {
        let bits = three
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            let is_there = place <= three.len();
            hash.push(if is_there {
                char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63])
            } else {
                '='
            });
        }
    }
    hash
}

fn word(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn num(text: impl Into<String>) -> Cell {
    Cell::Number(text.into())
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
                Cell::Badge(l.verdict.into()),
                num(l.ratios),
                word(l.reason),
            ]
        }),
    );
}

fn gate(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    page.heading(words.gate);
    let n_passed = ramp
        .gate
        .checks
        .iter()
        .filter(|check| check.outcome == GateOutcome::Pass)
        .count();
    page.text(&fill(
        words.gate_passed,
        &[&n_passed.to_string(), &ramp.gate.checks.len().to_string()],
    ));
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
                Cell::Badge(c.outcome.name().into()),
                word(c.detail.clone()),
                word(c.remedy.clone().unwrap_or_default()),
            ]
        }),
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

fn sample_ratios(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    page.heading(words.sample_ratios);
    page.text(words.sample_ratios_note);
    let mut rows = Vec::new();
    for layer in &ramp.analysis.layers {
        for stage in layer
            .stages
            .iter()
            .filter(|stage| stage.users.baseline + stage.users.candidate > 0)
        {
            let test = |f: &dyn Fn(&SrmTest) -> String| stage.srm.as_ref().map_or_else(|| "-".into(), f);
            let p = match &stage.srm {
                Some(srm) if srm.p_value < ramp.analysis.policy.srm_alpha => {
                    fill(words.alarm, &[&p_value(srm.p_value)])
                }
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
                    Outcome::Pass => "pass",
                    Outcome::NotApplicable => "skip",
                    Outcome::Block(verdict) => Verdict::name(verdict),
                };
                vec![
                    word(step.check.clone()),
                    Cell::Badge(outcome.into()),
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
    let traffic = model.ramp.iter().flat_map(|ramp| &ramp.analysis.data.sources);
    page.table(
        words.files,
        &[words.file, words.digest],
        model
            .layering
            .sources
            .iter()
            .chain(traffic)
            .map(|f| vec![word(f.name.clone()), Cell::Long(f.digest.clone())]),
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
            // Nothing that a page may hold.
            ch if ch.is_control() && !['\n', '\t'].contains(&ch) => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_stays_text() {
        assert_eq!(
            escape("<script>\"x\" & 'y'</script>"),
            "&lt;script&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;/script&gt;"
        );
    }

    #[test]
    fn the_chart_library_is_the_one_of_its_readme() {
        let readme = include_str!("assets/README.md");
        let files = [
            ("uPlot.iife.min.js", include_str!("assets/uPlot.iife.min.js")),
            ("uPlot.min.css", include_str!("assets/uPlot.min.css")),
        ];
        for (name, text) in files {
            let digest: String = Sha256::digest(text.as_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert!(
                readme.contains(&format!("| `{name}` | `{digest}` |")),
                "{name}: {digest}"
            );
        }
    }

    #[test]
    fn the_policy_names_what_the_page_holds() {
        assert_eq!(
            source_hash(""),
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
        assert!(!SCRIPT.contains("</script") && !SCRIPT.contains("<!--") && !STYLE.contains("</style"));
    }
}

//! The section about guardrails in slices: violations first, then all findings, and a chart of each
//! layer on demand.

use crate::analysis::{LayerAnalysis, SliceFinding, slices_of};
use crate::base::escape::html as escape;
use crate::base::number::count;
use crate::report::charts::{Harm, harms_in_margins};
use crate::report::escape::attributes;
use crate::report::model::{LayerNames, RampModel};
use crate::report::page::{Page, TableCell, num, word};
use crate::report::svg::Chart;
use crate::stats::Interval;
use crate::words::DifferenceRange;
use crate::words::slices as texts;
use crate::words::{Count, Difference, Lang, Measured, MetricName, Say, Text};

/// The most findings of a table of a page. The document has all.
const MAX_ROWS: usize = 200;
/// The most rows of the chart of a layer.
const MAX_BARS: usize = 30;
/// The most layers with a chart.
const MAX_CHARTS: usize = 40;
/// The most findings of a table in Markdown.
const MAX_LINES: usize = 20;

/// Writes the section about slices. A study without slices has none.
pub(super) fn slices(page: &mut Page, ramp: &RampModel) {
    let (counts, findings) = slices_of(&ramp.analysis);
    if counts.n_slices() == 0 {
        return;
    }
    let lang = page.lang;
    page.heading(texts::title().of(lang));
    page.text(counts.sentence().of(lang));
    page.text(texts::note().of(lang));
    let n_violated = findings
        .iter()
        .take_while(|(_, found)| found.is_violated())
        .count();
    let (violated, others) = findings.split_at(n_violated);
    if !violated.is_empty() {
        findings_table(page, texts::violated_table().of(lang), violated, lang);
    }
    if !others.is_empty() {
        let caption = texts::other_table(Count(others.len() as u64));
        page.raw(&format!(
            "<details><summary>{}</summary>\n",
            escape(caption.of(lang))
        ));
        findings_table(page, caption.of(lang), others, lang);
        page.raw("</details>\n");
    }
    charts(page, &findings, lang);
}

type Found<'a> = (&'a LayerAnalysis, SliceFinding);

/// The cells of a finding as texts, in the order of [`header`].
pub(super) fn cells((layer, found): &Found<'_>, lang: Lang) -> [String; 10] {
    let unit = found.unit.as_str();
    let value =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| Measured { value, unit }.say(lang));
    let judged = &found.judged;
    let range = judged.interval.map(|interval| DifferenceRange {
        ends: [interval.ci_lower, interval.ci_upper],
        unit,
    });
    let allowed = judged.margin.map(|value| Difference { value, unit });
    [
        layer.tenant.clone(),
        layer.layer.clone(),
        found.slice_name().of(lang).to_owned(),
        count(found.n_rows()),
        found.metric.clone(),
        value(found.baseline),
        value(found.candidate),
        range.map_or_else(|| "-".into(), |range| range.say(lang)),
        allowed.map_or_else(|| "-".into(), |allowed| allowed.say(lang)),
        found.verdict_text().of(lang).to_owned(),
    ]
}

/// The names of the columns of [`cells`].
pub(super) fn header(lang: Lang) -> [String; 10] {
    let words = lang.words();
    [
        words.tenant.to_owned(),
        words.layer.to_owned(),
        texts::slice().of(lang).to_owned(),
        texts::rows().of(lang).to_owned(),
        words.metric.to_owned(),
        words.baseline.to_owned(),
        words.candidate.to_owned(),
        texts::worse_by().of(lang).to_owned(),
        texts::allowed().of(lang).to_owned(),
        words.verdict.to_owned(),
    ]
}

fn findings_table(page: &mut Page, caption: &str, findings: &[Found<'_>], lang: Lang) {
    let header = header(lang);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let row = |found: &Found<'_>| -> Vec<TableCell> {
        let is_number = |idx: usize| idx == 3 || (5..9).contains(&idx);
        let cell = |(idx, text): (usize, String)| match idx {
            1 => page.layer_cell(&text),
            4 => page.metric_cell(&text),
            _ if is_number(idx) => num(text),
            _ => word(text),
        };
        cells(found, lang).into_iter().enumerate().map(cell).collect()
    };
    let rows: Vec<Vec<TableCell>> = findings.iter().take(MAX_ROWS).map(row).collect();
    page.table(caption, &header, rows);
    if findings.len() > MAX_ROWS {
        let n_left = Count((findings.len() - MAX_ROWS) as u64);
        page.text(texts::left_out(n_left).of(lang));
    }
}

/// A chart of each layer's worst findings, folded away.
fn charts(page: &mut Page, findings: &[Found<'_>], lang: Lang) {
    let charts = slice_charts(&page.names, findings, lang);
    for (layer, chart) in charts {
        let keys = [("tenant", layer.tenant.as_str()), ("layer", &layer.layer)];
        page.raw(&format!(
            "<details{}><summary>{}</summary>\n",
            attributes(keys.into_iter()),
            escape(&chart.title)
        ));
        page.chart(&chart);
        page.raw("</details>\n");
    }
}

/// A chart of each layer's worst findings. The layers with the worst findings come first.
pub(super) fn slice_charts<'a>(
    names: &LayerNames,
    findings: &[Found<'a>],
    lang: Lang,
) -> Vec<(&'a LayerAnalysis, Chart)> {
    let mut of_layers: Vec<(&LayerAnalysis, Vec<&SliceFinding>)> = Vec::new();
    for (layer, found) in findings {
        match of_layers
            .iter_mut()
            .find(|(other, _)| std::ptr::eq(*other, *layer))
        {
            Some((_, of_layer)) => of_layer.push(found),
            None => of_layers.push((layer, vec![found])),
        }
    }
    of_layers.truncate(MAX_CHARTS);
    let chart = |(layer, found): (&'a LayerAnalysis, Vec<&SliceFinding>)| {
        let harms = found.into_iter().filter_map(|found| harm_of(layer, found, lang));
        let harms: Vec<Harm<'_>> = harms.take(MAX_BARS).collect();
        let title = texts::chart(names.of(&layer.tenant, &layer.layer))
            .of(lang)
            .to_owned();
        let words = lang.words();
        (!harms.is_empty()).then(|| (layer, harms_in_margins(&harms, title, words)))
    };
    of_layers.into_iter().filter_map(chart).collect()
}

/// A finding in units of its margin. `None` without a harm or a margin above 0.
fn harm_of<'a>(layer: &'a LayerAnalysis, found: &'a SliceFinding, lang: Lang) -> Option<Harm<'a>> {
    let judged = &found.judged;
    let margin = judged.margin.filter(|margin| *margin > 0.0)?;
    let interval = judged.interval?;
    Some(Harm {
        keys: vec![
            ("tenant", layer.tenant.as_str()),
            ("layer", layer.layer.as_str()),
            ("metric", found.metric.as_str()),
        ],
        label: format!(
            "{}: {}",
            found.slice_name().of(lang),
            MetricName(&found.metric).say(lang)
        ),
        harm: judged.harm? / margin,
        interval: Interval {
            ci_lower: interval.ci_lower / margin,
            ci_upper: interval.ci_upper / margin,
        },
        violated: found.is_violated(),
    })
}

/// The section about slices as texts, for Markdown: the worst findings first.
pub(super) struct SliceLines {
    pub(super) title: Text,
    /// How many slices are violated, and how many are not known.
    pub(super) counts: Text,
    /// Names of the columns.
    pub(super) header: [String; 10],
    pub(super) rows: Vec<[String; 10]>,
    /// How many findings are left out. `None` if there are all.
    pub(super) left_out: Option<Text>,
}

impl SliceLines {
    /// The worst findings of a ramp. `None` without slices.
    pub(super) fn new(ramp: &RampModel, lang: Lang) -> Option<Self> {
        let (counts, findings) = slices_of(&ramp.analysis);
        let n_left = findings.len().saturating_sub(MAX_LINES);
        (counts.n_slices() > 0).then(|| Self {
            title: texts::title(),
            counts: counts.sentence(),
            header: header(lang),
            rows: findings
                .iter()
                .take(MAX_LINES)
                .map(|found| cells(found, lang))
                .collect(),
            left_out: (n_left > 0).then(|| texts::left_out(Count(n_left as u64))),
        })
    }
}

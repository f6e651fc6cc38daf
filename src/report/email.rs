//! The report as a mail: HTML without scripts, with styles in its elements and tables for its
//! layout. The answer stands in text. Pictures are in the mail itself, as far as they fit.

use crate::analysis::slices_of;
use crate::base::base64;
use crate::base::error::Result;
use crate::base::escape::{excerpt, html as escape};
use crate::base::manifest::file;
use crate::gate::{GateCheck, GateOutcome};
use crate::ramp::{LayerSchedule, Verdict};
use crate::report::answer::Answer;
use crate::report::export::named_charts;
use crate::report::export_png::PngWriter;
use crate::report::export_svg::standalone;
use crate::report::model::{LayerNames, Model, RampModel, urgency};
use crate::words::{Count, Lang, Say, Text, When, export as texts, fill, slices};

/// The most bytes of a mail. Some mail programs cut longer ones.
const MAX_BYTES: usize = 100_000;
/// The bytes of a mail at which its layers, its slices and its checks end.
const LAYERS_END: usize = 55_000;
const SLICES_END: usize = 65_000;
const CHECKS_END: usize = 88_000;
/// The most checks of the gate, and the most violations in slices.
const MAX_CHECKS: usize = 8;
const MAX_SLICES: usize = 5;
/// The most characters of a sentence of others.
const MAX_SENTENCE: usize = 500;
/// Charts that a mail may have, the most important first.
const PICTURES: [&str; 2] = ["harm", "ratios"];
/// The bytes that the last sentences of a mail need.
const END_BYTES: usize = 1_000;
/// The highest chart that a mail shows, in pixels.
const MAX_HEIGHT: f64 = 1_200.0;

const CELL: &str = "padding:8px;border-bottom:1px solid #d5dae0;text-align:left;vertical-align:top;";

/// The report as HTML for mail, below 100 kB.
///
/// # Errors
/// A chart cannot be drawn.
pub fn email(model: &Model, lang: Lang) -> Result<String> {
    let words = lang.words();
    let study = &model.study;
    let mut html = format!(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{}</title></head>\n\
         <body style=\"margin:0;padding:0;background:#ffffff;color:#222b36;\">\n\
         <table role=\"presentation\" width=\"100%\" style=\"max-width:720px;margin:0 auto;border-collapse:collapse;\
         font:16px/1.5 Arial,'PingFang SC','Microsoft YaHei',sans-serif;\"><tr><td style=\"padding:16px;\">\n\
         <h1 style=\"font-size:22px;margin:0 0 8px;\">{}</h1>\n",
        words.lang,
        escape(&cut(&study.name)),
        escape(&cut(&study.name)),
    );
    match &model.ramp {
        Some(ramp) => {
            answer(&mut html, model, ramp, lang);
            layers(&mut html, model, ramp, lang);
            let names = model.layer_names(lang);
            violated_slices(&mut html, ramp, &names, lang);
            open_checks(&mut html, ramp, &names, lang);
            pictures(&mut html, model, lang)?;
        }
        None => paragraph(&mut html, texts::no_ramp().of(lang)),
    }
    paragraph(&mut html, texts::whole().of(lang));
    html.push_str("</td></tr></table>\n</body></html>\n");
    Ok(html)
}

fn cut(text: &str) -> String {
    excerpt(text, MAX_SENTENCE).into_owned()
}

fn paragraph(html: &mut String, text: &str) {
    html.push_str(&format!("<p style=\"margin:8px 0;\">{}</p>\n", escape(text)));
}

fn heading(html: &mut String, text: &str) {
    html.push_str(&format!(
        "<h2 style=\"font-size:18px;margin:20px 0 4px;\">{}</h2>\n",
        escape(text)
    ));
}

/// The status word in the color of its meaning.
fn badge(name: &str, lang: Lang) -> String {
    let color = match name {
        "promote" | "pass" => "#136b3f",
        "rollback" | "fail" => "#b3261e",
        "warn" | "inconclusive" => "#8a5200",
        "invalid" => "#7b2fa6",
        _ => "#566273",
    };
    format!(
        "<b style=\"color:{color};\">{}</b>",
        escape(&lang.words().badge(name))
    )
}

/// May the ramp go on, how many layers go on, and what the gate says.
fn answer(html: &mut String, model: &Model, ramp: &RampModel, lang: Lang) {
    let answer = Answer::new(ramp, &model.layer_names(lang));
    html.push_str(&format!(
        "<p style=\"margin:8px 0;font-size:18px;\"><b>{}</b></p>\n",
        escape(&cut(answer.headline.of(lang)))
    ));
    let of = |is: fn(Verdict) -> bool| {
        let layers = ramp.schedule.layers.iter();
        Count(layers.filter(|layer| is(layer.verdict)).count() as u64)
    };
    let promoted = of(|verdict| verdict == Verdict::Promote);
    let rolled_back = of(|verdict| verdict == Verdict::Rollback);
    let kept = of(|verdict| !matches!(verdict, Verdict::Promote | Verdict::Rollback));
    paragraph(html, texts::answer(promoted, kept, rolled_back).of(lang));
    let words = lang.words();
    html.push_str(&format!(
        "<p style=\"margin:8px 0;\">{} {} {}</p>\n",
        escape(words.gate),
        badge(answer.gate.outcome.name(), lang),
        escape(&cut(answer.gate.text.of(lang)))
    ));
    let code = |text: &str| format!("<b>{}</b>", escape(&cut(text)));
    let (candidate, baseline) = (code(&ramp.schedule.candidate), code(&ramp.schedule.baseline));
    let as_of = escape(&When(ramp.schedule.as_of, &model.study.time_zone).say(lang));
    let sentence = fill(words.against, &[&candidate, &baseline, &as_of]);
    html.push_str(&format!("<p style=\"margin:8px 0;\">{sentence}</p>\n"));
}

/// The decisions, the most urgent first, as many as the mail holds.
fn layers(html: &mut String, model: &Model, ramp: &RampModel, lang: Lang) {
    let (words, names) = (lang.words(), model.layer_names(lang));
    let mut layers: Vec<&LayerSchedule> = ramp.schedule.layers.iter().collect();
    layers.sort_by_key(|layer| urgency(layer));
    heading(html, words.decisions);
    html.push_str("<table width=\"100%\" style=\"border-collapse:collapse;\">\n<tr>");
    for name in [words.layer, words.verdict, words.ratio, words.why] {
        html.push_str(&format!("<th style=\"{CELL}\">{}</th>", escape(name)));
    }
    html.push_str("</tr>\n");
    let mut n_shown = 0;
    for layer in &layers {
        let name = names.of(&layer.tenant, &layer.layer);
        let mut why = escape(&cut(layer.why().of(lang)));
        if let Some(outlook) = layer.outlook.as_ref().filter(|outlook| outlook.is_open()) {
            let text = texts::to_decide(cut(outlook.own_text().of(lang)));
            why.push_str(&format!(
                "<br><span style=\"color:#566273;\">{}</span>",
                escape(text.of(lang))
            ));
        }
        let row = format!(
            "<tr><td style=\"{CELL}\">{}</td><td style=\"{CELL}\">{}</td><td style=\"{CELL}white-space:nowrap;\">{} → {}</td><td style=\"{CELL}\">{why}</td></tr>\n",
            escape(&cut(&name)),
            badge(layer.verdict.name(), lang),
            layer.ratio,
            layer.next_ratio,
        );
        if !push_below(html, &row, LAYERS_END) {
            break;
        }
        n_shown += 1;
    }
    html.push_str("</table>\n");
    left_out(html, layers.len() - n_shown, texts::layers_left, lang);
}

/// Appends a part if the mail stays below this many bytes. Returns whether it did.
fn push_below(html: &mut String, part: &str, end: usize) -> bool {
    let is_below = html.len() + part.len() <= end;
    if is_below {
        html.push_str(part);
    }
    is_below
}

fn left_out(html: &mut String, n: usize, text: impl Fn(Count) -> Text, lang: Lang) {
    if n > 0 {
        paragraph(html, text(Count(n as u64)).of(lang));
    }
}

/// The violations in slices, the worst first.
fn violated_slices(html: &mut String, ramp: &RampModel, names: &LayerNames, lang: Lang) {
    let (counts, findings) = slices_of(&ramp.analysis);
    if counts.n_slices() == 0 {
        return;
    }
    heading(html, slices::title().of(lang));
    paragraph(html, counts.sentence().of(lang));
    let violated = findings.iter().filter(|(_, found)| found.is_violated());
    let (n_violated, mut n_shown) = (violated.clone().count(), 0);
    for (layer, found) in violated.take(MAX_SLICES) {
        let Some(sentence) = found.sentence() else {
            continue;
        };
        let mut part = String::new();
        paragraph(
            &mut part,
            &cut(&format!(
                "{}: {}",
                names.of(&layer.tenant, &layer.layer),
                sentence.of(lang)
            )),
        );
        if !push_below(html, &part, SLICES_END) {
            break;
        }
        n_shown += 1;
    }
    let further = |n: Count| slices::further(n, file::ANALYSIS);
    left_out(html, n_violated - n_shown, further, lang);
}

/// The checks of the gate that failed, then those without enough evidence, then warnings.
fn open_checks(html: &mut String, ramp: &RampModel, names: &LayerNames, lang: Lang) {
    let checks = ramp.gate.checks.iter();
    let mut open: Vec<&GateCheck> = checks.filter(|check| check.outcome > GateOutcome::Pass).collect();
    if open.is_empty() {
        return;
    }
    open.sort_by_key(|check| std::cmp::Reverse(check.outcome));
    heading(html, texts::open_checks().of(lang));
    let mut n_shown = 0;
    for check in open.iter().take(MAX_CHECKS) {
        let remedy = check.remedy().map_or_else(String::new, |remedy| {
            let text = escape(&cut(remedy.of(lang)));
            format!("<br><span style=\"color:#566273;\">{text}</span>")
        });
        let layer = if check.layer.is_empty() {
            String::new()
        } else {
            format!(" ({})", names.of(&check.tenant, &check.layer))
        };
        let part = format!(
            "<p style=\"margin:8px 0;\">{} <b>{}</b>{}: {}{remedy}</p>\n",
            badge(check.outcome.name(), lang),
            escape(&cut(&check.check)),
            escape(&cut(&layer)),
            escape(&cut(check.found().of(lang))),
        );
        if !push_below(html, &part, CHECKS_END) {
            break;
        }
        n_shown += 1;
    }
    left_out(html, open.len() - n_shown, texts::checks_left, lang);
}

/// The charts that fit. Their numbers stand in the alternative texts, and a chart whose letters no
/// font has is left out.
fn pictures(html: &mut String, model: &Model, lang: Lang) -> Result<()> {
    let writer = PngWriter::new();
    let charts = named_charts(model, lang)?;
    for wanted in PICTURES {
        let Some((_, chart)) = charts.iter().find(|(name, _)| name == wanted) else {
            continue;
        };
        let Some(svg) = standalone(chart) else { continue };
        if svg.height > MAX_HEIGHT || !writer.missing_letters(&svg).is_empty() {
            continue;
        }
        let png = base64::encode(&writer.draw(&svg, 1.0)?);
        let picture = format!(
            "<p style=\"margin:20px 0 0;\"><b>{}</b></p>\n<p style=\"margin:4px 0 16px;\"><img src=\"data:image/png;base64,{png}\" width=\"688\" style=\"max-width:100%;height:auto;\" alt=\"{}\"></p>\n",
            escape(&cut(&chart.title)),
            escape(&cut(&format!("{}: {}", chart.title, chart.description)))
        );
        push_below(html, &picture, MAX_BYTES - END_BYTES);
    }
    Ok(())
}

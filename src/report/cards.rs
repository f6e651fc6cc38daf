//! The first screen of a report: the headline, a card a layer, the gate; then its checks.

use crate::base::escape::html as escape;
use crate::base::manifest::file;
use crate::base::number::count;
use crate::gate::{GateCheck, GateOutcome};
use crate::ramp::Verdict;
use crate::report::answer::{Answer, Card, GateAnswer};
use crate::report::escape::attributes;
use crate::report::forecast_answer::ForecastAnswer;
use crate::report::model::RampModel;
use crate::report::page::{Page, TableCell, anchor, badge, word};
use crate::words::answer as answer_words;
use crate::words::{Count, Say, Text, fill, gate};

/// The largest number of rows in a folded list of layers.
const MAX_ROWS: usize = 500;
/// The most checks of a table.
const MAX_CHECKS: usize = 300;

/// A headline without layers.
pub(super) fn headline_only(page: &mut Page, text: &str) {
    open(page, text);
    close(page);
}

/// Opens the answer of a page, with its sentence.
pub(super) fn open(page: &mut Page, headline: &str) {
    let title = escape(page.words.answer);
    page.raw(&format!(
        "<section class=\"answer\">\n<h2 class=\"unseen\">{title}</h2>\n<p class=\"headline\">{}</p>\n",
        escape(headline)
    ));
}

/// Ends the answer of a page. The filters follow it.
pub(super) fn close(page: &mut Page) {
    page.raw("</section>\n");
}

/// Writes the answer: the headline, the gate's outcome, a card a layer, and the gate's first failing
/// check.
pub(super) fn first_screen(page: &mut Page, answer: &Answer) {
    let (words, lang) = (page.words, page.lang);
    open(page, answer.headline.of(lang));
    gate_line(page, &answer.gate);
    page.raw("<ul class=\"cards\">\n");
    let mut explained = false;
    for card in &answer.cards {
        let explains = card.verdict == Verdict::Inconclusive && !explained;
        explained |= explains;
        write_card(page, card, explains);
    }
    page.raw("</ul>\n");
    if answer.is_inconclusive() && !explained {
        page.text(words.inconclusive_means);
    }
    if let Some(first) = &answer.gate.first {
        page.raw("<div class=\"first-check\">\n");
        // A card may have said the findings already.
        let is_said = |card: &Card| card.reason.en.starts_with(&first.found.en);
        let is_said = answer.cards.iter().any(is_said);
        let found = Some(first.found.clone()).filter(|_| !is_said);
        let parts: Vec<Text> = std::iter::once(first.name.clone()).chain(found).collect();
        page.raw(&format!(
            "<p>{} {}</p>\n",
            badge(answer.gate.outcome.name(), words),
            escape(Text::sentences(&parts).of(lang))
        ));
        if let Some(remedy) = &first.remedy {
            page.text(&fill(words.to_pass, &[remedy.of(lang)]));
        }
        page.raw("</div>\n");
    }
    let title = fill(words.layers_more, &[&count(answer.more.len() as u64)]);
    let free = MAX_ROWS.saturating_sub(answer.cards.len());
    list(page, &title, &answer.more, free);
    let title = match answer.folded.len() {
        1 => words.layer_keeps.to_owned(),
        n => fill(words.layers_keep, &[&count(n as u64)]),
    };
    list(
        page,
        &title,
        &answer.folded,
        free.saturating_sub(answer.more.len()),
    );
    close(page);
}

/// Writes the answer of a forecast: what to do, and a card for each recommended schedule or plan.
pub(super) fn forecast_screen(page: &mut Page, answer: &ForecastAnswer) {
    let (words, lang) = (page.words, page.lang);
    open(page, answer.headline.of(lang));
    page.raw("<ul class=\"cards\">\n");
    for card in &answer.cards {
        let id = page.id(&["plan", &card.name]);
        page.raw(&format!(
            "<li class=\"card {}\" id=\"{}\">\n<h3>{}</h3>\n",
            card.badge.unwrap_or("schedule"),
            escape(&id),
            anchor(&id, &card.name)
        ));
        let badge = card.badge.map(|name| badge(name, words)).unwrap_or_default();
        let schedule = card
            .schedule
            .as_ref()
            .map(|schedule| format!("<strong class=\"ratio\">{}</strong>", escape(schedule.of(lang))));
        let schedule = schedule.unwrap_or_default();
        page.raw(&format!("<p class=\"state\">{badge} {schedule}</p>\n"));
        page.raw(&format!(
            "<p class=\"reason\">{}</p>\n</li>\n",
            escape(Text::sentences(&card.lines).of(lang))
        ));
    }
    page.raw("</ul>\n");
    for note in &answer.notes {
        page.text(note.of(lang));
    }
    close(page);
}

fn gate_line(page: &mut Page, gate: &GateAnswer) {
    let text = fill(page.words.gate_line, &[gate.text.of(page.lang)]);
    page.raw(&format!(
        "<p class=\"gate-line\">{} {}</p>\n",
        badge(gate.outcome.name(), page.words),
        escape(&text)
    ));
}

fn write_card(page: &mut Page, card: &Card, explains: bool) {
    let (words, lang) = (page.words, page.lang);
    let verdict = card.verdict.name();
    let keys = attributes([("tenant", card.tenant.as_str()), ("layer", &card.layer)].into_iter());
    let id = page.layer_id("layer", &card.tenant, &card.layer, "");
    let name = page.names.of(&card.tenant, &card.layer);
    let code = if name.ends_with(&card.layer) || name.contains(&format!("({})", card.layer)) {
        String::new()
    } else {
        format!(" <code>{}</code>", escape(&card.layer))
    };
    page.raw(&format!(
        "<li class=\"card {verdict}\" id=\"{}\"{keys}>\n<h3>{}{code}</h3>\n<p class=\"state\">{} <strong class=\"ratio\">{}</strong></p>\n<p class=\"reason\">{}</p>\n",
        escape(&id),
        anchor(&id, &name),
        badge(verdict, words),
        escape(&card.ratios),
        escape(card.reason.of(lang))
    ));
    if explains {
        page.raw(&format!(
            "<p class=\"means\">{}</p>\n",
            escape(words.inconclusive_means)
        ));
    }
    if let Some(next) = &card.next {
        let next = fill(words.to_decide, &[next.of(lang)]);
        page.raw(&format!("<p class=\"next\">{}</p>\n", escape(&next)));
    }
    page.raw("</li>\n");
}

/// A folded list of layers.
fn list(page: &mut Page, title: &str, cards: &[Card], most: usize) {
    if cards.is_empty() {
        return;
    }
    let (words, lang) = (page.words, page.lang);
    page.raw(&format!(
        "<details class=\"others\"><summary>{}</summary>\n",
        escape(title)
    ));
    let mut rows = Vec::new();
    for card in cards.iter().take(most) {
        let id = page.layer_id("layer", &card.tenant, &card.layer, "");
        let why = [Some(card.reason.clone()), card.next.clone()];
        let why: Vec<Text> = why.into_iter().flatten().collect();
        rows.push(vec![
            word(card.tenant.clone()),
            TableCell::Anchored {
                text: page.names.layer(&card.layer).to_owned(),
                id,
                key: card.layer.clone(),
            },
            TableCell::Badge(card.verdict.name().into()),
            word(card.ratios.clone()),
            word(Text::sentences(&why).of(lang)),
        ]);
    }
    let header = [words.tenant, words.layer, words.verdict, words.ratio, words.why];
    page.table(title, &header, rows);
    cut_note(page, most, cards.len(), file::SCHEDULE);
    page.raw("</details>\n");
}

/// The checks of the gate that failed or lack evidence.
pub(super) fn open_checks(page: &mut Page, ramp: &RampModel) {
    let is_open = |check: &&GateCheck| matches!(check.outcome, GateOutcome::Fail | GateOutcome::Inconclusive);
    let mut open: Vec<&GateCheck> = ramp.gate.checks.iter().filter(is_open).collect();
    if open.is_empty() {
        return;
    }
    open.sort_by_key(|check| std::cmp::Reverse(check.outcome));
    let words = page.words;
    page.heading(words.gate_open);
    checks(page, words.gate_open, &open);
}

/// The warnings of the gate, and the checks that passed.
pub(super) fn other_checks(page: &mut Page, ramp: &RampModel) {
    let words = page.words;
    for outcome in [GateOutcome::Warn, GateOutcome::Pass] {
        let some: Vec<&GateCheck> = ramp
            .gate
            .checks
            .iter()
            .filter(|check| check.outcome == outcome)
            .collect();
        if some.is_empty() {
            continue;
        }
        let n = Count(some.len() as u64);
        let title = if outcome == GateOutcome::Warn {
            fill(words.warned_checks, &[&n.say(page.lang)])
        } else {
            gate::passed_checks(n).of(page.lang).to_owned()
        };
        page.fold(words.gate, &title);
        checks(page, &title, &some);
        page.end_fold();
    }
}

/// A table of checks. The column of remedies is left out if no check has one.
fn checks(page: &mut Page, caption: &str, some: &[&GateCheck]) {
    let (words, lang) = (page.words, page.lang);
    let has_remedy = some.iter().any(|check| check.remedy.is_some());
    let mut rows = Vec::new();
    for check in some.iter().take(MAX_CHECKS) {
        let id = page.layer_id("gate", &check.tenant, &check.layer, &check.check);
        let mut row = vec![
            word(check.tenant.clone()),
            page.layer_cell(&check.layer),
            TableCell::Anchored {
                text: check.check.clone(),
                id,
                key: String::new(),
            },
            TableCell::Badge(check.outcome.name().into()),
            word(check.found().of(lang)),
        ];
        if has_remedy {
            let remedy = check.remedy().unwrap_or_default();
            row.push(word(remedy.of(lang)));
        }
        rows.push(row);
    }
    let header = [
        words.tenant,
        words.layer,
        words.check,
        words.outcome,
        words.found,
        words.remedy,
    ];
    page.table(caption, &header[..header.len() - usize::from(!has_remedy)], rows);
    cut_note(page, MAX_CHECKS, some.len(), file::GATE_REPORT);
}

/// Says that a table shows only its first rows.
fn cut_note(page: &mut Page, most: usize, n_all: usize, document: &str) {
    if n_all > most {
        let [n, n_all] = [most, n_all].map(|n| Count(n as u64));
        page.text(answer_words::first_of(n, n_all, document).of(page.lang));
    }
}

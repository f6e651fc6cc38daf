//! The page of a ramp's nights, and of the history of several ramps.

use crate::base::escape::html as escape;
use crate::report::cards;
use crate::report::nights::chart;
use crate::report::nights::model::Ramps;
use crate::report::nights::rows::{Cell, TextTable, View, history_header};
use crate::report::page::{Page, TableCell};
use crate::words::nights as say;
use crate::words::{Count, Lang};

/// Returns the nights of a ramp as an HTML page. Several ramps give their history: one row a ramp,
/// then the nights of each in a folded part.
pub fn nights_html(ramps: &Ramps, lang: Lang) -> String {
    let mut page = Page::new(lang, false);
    let views = ramps.ramps.iter().map(|ramp| View { ramp, lang });
    let title = match ramps.ramps.as_slice() {
        [ramp] => say::title(&ramp.plan_id),
        _ => say::history_title(),
    };
    page.open(title.of(lang), "");
    if let [_] = ramps.ramps.as_slice() {
        views.for_each(|view| one(&mut page, view));
        return page.close();
    }
    cards::open(&mut page, say::ramps(Count(ramps.ramps.len() as u64)).of(lang));
    let rows = views.clone().rev().map(View::history_row).collect();
    table(
        &mut page,
        TextTable {
            caption: title.of(lang).to_owned(),
            header: history_header(lang),
            rows,
        },
    );
    cards::close(&mut page);
    for view in views.rev() {
        let summary = format!(
            "{}: {}, {}",
            view.ramp.plan_id,
            view.ramp.candidate,
            view.status()
        );
        page.raw(&format!("<details><summary>{}</summary>\n", escape(&summary)));
        one(&mut page, view);
        page.raw("</details>\n");
    }
    page.close()
}

/// Writes one ramp: the answer, where the layers stand, what changed, the nights, the harm.
fn one(page: &mut Page, view: View<'_>) {
    let lang = view.lang;
    page.text(say::pair(&view.ramp.candidate, &view.ramp.baseline).of(lang));
    cards::open(page, view.answer().of(lang));
    for fact in view.facts() {
        page.text(fact.of(lang));
    }
    cards::close(page);
    section(page, Some(view.layers()));
    if let Some(chart) = chart::ratios(view) {
        page.heading(say::ratios().of(lang));
        page.text(say::ratios_scale().of(lang));
        page.chart(&chart);
    }
    section(page, view.decisions());
    page.heading(say::nights().of(lang));
    page.text(say::nights_note().of(lang));
    table(page, view.nights());
    page.heading(say::harm().of(lang));
    match view.harm() {
        Some(harm) => {
            page.text(say::harm_note().of(lang));
            table(page, harm);
        }
        None => page.text(say::no_comparison().of(lang)),
    }
    page.heading(say::changes().of(lang));
    let (n_kept, n_changes) = (view.ramp.nights.len() as u64, view.ramp.changes.len() as u64);
    match view.changes() {
        Some(changes) => {
            page.text(say::gone(Count(n_kept), Count(n_changes)).of(lang));
            table(page, changes);
        }
        None => page.text(say::changes_none().of(lang)),
    }
}

fn section(page: &mut Page, found: Option<TextTable>) {
    if let Some(found) = found {
        page.heading(&found.caption.clone());
        table(page, found);
    }
}

fn table(page: &mut Page, found: TextTable) {
    let header: Vec<&str> = found.header.iter().map(String::as_str).collect();
    let cell = |cell: Cell| match cell {
        Cell::Text(text) => TableCell::Text(text),
        Cell::Number(text) => TableCell::Number(text),
        Cell::Badge(word, text) => TableCell::BadgeAnd(word.into(), text),
    };
    let rows = found
        .rows
        .into_iter()
        .map(|row| row.into_iter().map(cell).collect());
    page.table(&found.caption, &header, rows);
}

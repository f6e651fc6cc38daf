//! The nights of a ramp as Markdown.

use crate::base::escape::markdown as escape;
use crate::report::markdown;
use crate::report::nights::model::Ramps;
use crate::report::nights::rows::{Cell, TextTable, View, history_header};
use crate::words::nights as say;
use crate::words::{Count, Lang, Text, Words};

/// Returns the nights of a ramp as Markdown, or the history of several ramps.
pub fn nights_markdown(ramps: &Ramps, lang: Lang) -> String {
    let mut out = String::new();
    let views = ramps.ramps.iter().map(|ramp| View { ramp, lang });
    if let [ramp] = ramps.ramps.as_slice() {
        paragraph(&mut out, "# ", say::title(&ramp.plan_id).of(lang));
    } else {
        paragraph(&mut out, "# ", say::history_title().of(lang));
        paragraph(&mut out, "", say::ramps(Count(ramps.ramps.len() as u64)).of(lang));
        let history = TextTable {
            caption: String::new(),
            header: history_header(lang),
            rows: views.clone().rev().map(View::history_row).collect(),
        };
        table(&mut out, history, lang.words());
    }
    for view in views.rev() {
        one(&mut out, view);
    }
    out
}

/// Returns the answer on each ramp as plain text, the newest first.
pub fn nights_summary(ramps: &Ramps, lang: Lang) -> String {
    let mut out = String::new();
    for view in ramps.ramps.iter().rev().map(|ramp| View { ramp, lang }) {
        let pair = say::pair(&view.ramp.candidate, &view.ramp.baseline);
        let texts: Vec<Text> = [pair, view.answer()].into_iter().chain(view.facts()).collect();
        for text in texts {
            out.push_str(&format!("{}\n", text.of(lang)));
        }
    }
    out
}

fn one(out: &mut String, view: View<'_>) {
    let lang = view.lang;
    paragraph(
        out,
        "",
        say::pair(&view.ramp.candidate, &view.ramp.baseline).of(lang),
    );
    paragraph(out, "", view.answer().of(lang));
    for fact in view.facts() {
        paragraph(out, "", fact.of(lang));
    }
    let tables = [
        Some(view.layers()),
        view.decisions(),
        Some(view.nights()),
        view.harm(),
        view.changes(),
    ];
    for found in tables.into_iter().flatten() {
        paragraph(out, "## ", &found.caption);
        table(out, found, lang.words());
    }
}

fn paragraph(out: &mut String, mark: &str, text: &str) {
    markdown::line(out, &format!("{mark}{}", escape(text)));
    markdown::line(out, "");
}

fn table(out: &mut String, found: TextTable, words: &Words) {
    let header: Vec<String> = found.header.iter().map(|name| escape(name)).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let cell = |cell: Cell| match cell {
        Cell::Text(text) | Cell::Number(text) => text,
        Cell::Badge(word, text) => format!("{} {text}", words.badge(word)).trim_end().to_owned(),
    };
    let rows = found
        .rows
        .into_iter()
        .map(|row| row.into_iter().map(cell).collect());
    markdown::table(out, &header, rows);
}

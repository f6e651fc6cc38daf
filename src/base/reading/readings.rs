//! The readings of a text, in the order in which they are searched.

use crate::base::reading::html::without_tags;
use crate::base::reading::invisible::visible;
use crate::base::reading::joined::joined;
use crate::base::reading::markdown::without_marks;
use crate::base::reading::terminal::{has_controls, on_terminal, without_sequences};

/// The way in which a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is, without invisible characters.
    Text,
    /// On a terminal: without sequences, with what overwrites other characters.
    Terminal,
    /// As a page of HTML.
    Html,
    /// As Markdown with HTML.
    Markdown,
    /// With words that line ends split.
    JoinedLines,
}

impl Form {
    /// The name of the form in documents.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Terminal => "terminal",
            Self::Html => "html",
            Self::Markdown => "markdown",
            Self::JoinedLines => "joined_lines",
        }
    }
}

/// Calls `find` with the readings of a text until it finds something. A reading that equals the text
/// before it is left out. No reading has an invisible character that the text has, so those change
/// nothing.
pub(crate) fn find_reading<T>(text: &str, find: &mut impl FnMut(Form, &str) -> Option<T>) -> Option<T> {
    visible(text).iter().find_map(|source| of_source(source, find))
}

fn of_source<T>(source: &str, find: &mut impl FnMut(Form, &str) -> Option<T>) -> Option<T> {
    let mut pages = vec![(Form::Text, source.to_owned())];
    if has_controls(source) {
        pages.push((Form::Terminal, without_sequences(source)));
        pages.push((Form::Terminal, on_terminal(source)));
    }
    for (form, page) in &pages {
        if let Some(found) = find(*form, page) {
            return Some(found);
        }
    }
    // Markup is read in what is left without sequences.
    let first = usize::from(pages.len() > 1);
    let marked: Vec<(Form, String)> = pages[first..]
        .iter()
        .flat_map(|(_, page)| of_page(page))
        .collect();
    for (form, reading) in &marked {
        if let Some(found) = find(*form, reading) {
            return Some(found);
        }
    }
    let whole = pages.iter().chain(&marked);
    let lines = whole
        .filter(|(_, page)| page.contains('\n'))
        .flat_map(|(_, page)| joined(page));
    lines
        .into_iter()
        .find_map(|lines| find(Form::JoinedLines, &lines))
}

/// The readings of a page with markup.
fn of_page(page: &str) -> Vec<(Form, String)> {
    let has_tags = page.contains('<');
    let has_marks = page.contains(['*', '_', '~', '`', '[', '\\', '<', '&', '#', '>', '\n']);
    let mut readings: Vec<(Form, String)> = Vec::new();
    let mut add = |form: Form, reading: String| {
        if reading != page && readings.iter().all(|(_, other)| *other != reading) {
            readings.push((form, reading));
        }
    };
    for drops_unseen in [true, false] {
        // Without tags nothing is hidden.
        let is_needed = drops_unseen || has_tags;
        if is_needed && (has_tags || page.contains('&')) {
            add(Form::Html, without_tags(page, drops_unseen));
        }
        if is_needed && has_marks {
            add(Form::Markdown, without_marks(page, drops_unseen));
        }
    }
    readings
}

#[cfg(test)]
mod tests;

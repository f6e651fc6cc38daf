//! Characters that a reader does not see, and texts in which they hide or turn words.

use std::borrow::Cow;

use crate::base::skeleton::is_invisible;

/// Start of a text with an annotation, start of the annotation, and its end.
const ANNOTATION: [char; 3] = ['\u{fff9}', '\u{fffa}', '\u{fffb}'];
/// Characters that are no white space and have no ink: some fonts draw them as a blank.
const FILLERS: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];
/// Right-to-left override, which turns the text up to the end of its embedding.
const OVERRIDE: char = '\u{202e}';
/// End of the latest embedding or override.
const POP: char = '\u{202c}';

/// Soft hyphen, which is a hyphen at the end of a line.
const SOFT_HYPHEN: char = '\u{ad}';

/// Returns the variants of a text without invisible characters, at most five: as it stands; with
/// blanks for fillers; with words that a soft hyphen splits at the end of a line; without
/// interlinear annotations; with overridden directions as they are read. The last four only if the
/// text has such characters.
pub(super) fn visible(text: &str) -> Vec<Cow<'_, str>> {
    if text.is_ascii() {
        return vec![Cow::Borrowed(text)];
    }
    let mut variants = vec![without(text)];
    if text.contains(FILLERS) {
        let blank = text.replace(FILLERS, " ");
        variants.push(Cow::Owned(without(&blank).into_owned()));
    }
    if text.contains(SOFT_HYPHEN) && text.contains('\n') {
        let shown = |ch: &char| *ch == SOFT_HYPHEN || !is_invisible(*ch);
        let joined: String = text.chars().filter(shown).collect();
        let joined = joined.replace("\u{ad}\r\n", "").replace("\u{ad}\n", "");
        variants.push(Cow::Owned(without(&joined).into_owned()));
    }
    if text.contains(ANNOTATION[1]) {
        let bare = without_annotations(text);
        variants.push(Cow::Owned(without(&bare).into_owned()));
    }
    if text.contains(OVERRIDE) {
        let turned = turned(text);
        variants.push(Cow::Owned(without(&turned).into_owned()));
    }
    variants
}

fn without(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_invisible) {
        Cow::Owned(text.chars().filter(|ch| !is_invisible(*ch)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns a text without its interlinear annotations, which stand above the words.
fn without_annotations(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut is_inside = false;
    for ch in text.chars() {
        if ch == ANNOTATION[1] {
            is_inside = true;
        } else if ANNOTATION.contains(&ch) {
            is_inside = false;
        } else if !is_inside {
            plain.push(ch);
        }
    }
    plain
}

/// Returns a text with the characters between an override and its end in the order in which they
/// are read. An override ends with its line.
fn turned(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut backward: Option<Vec<char>> = None;
    for ch in text.chars() {
        match (ch, &mut backward) {
            (OVERRIDE, None) => backward = Some(Vec::new()),
            (POP | '\n' | '\u{2029}', Some(held)) => {
                plain.extend(held.drain(..).rev());
                plain.push(ch);
                backward = None;
            }
            (ch, Some(held)) => held.push(ch),
            (ch, None) => plain.push(ch),
        }
    }
    plain.extend(backward.into_iter().flatten().rev());
    plain
}

//! Tags, comments and references of HTML, and texts without them.

use crate::base::reading::entities::first_reference;

/// Elements that begin a line or a box of their own, so that words before and behind them are apart.
const BLOCKS: &str = "address article aside blockquote body br button caption center col colgroup dd \
    details dialog dir div dl dt fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 \
    head header hgroup hr html iframe input legend li link main menu meta nav object ol optgroup option p \
    pre section select source summary table tbody td textarea tfoot th thead title tr track ul";
/// Elements whose content no reader sees, or sees above the words.
const UNSEEN: [&str; 6] = ["script", "style", "template", "rt", "rp", "noembed"];
/// Declarations of a style that hide an element, without white space.
const HIDING: [&str; 5] = [
    "display:none",
    "visibility:hidden",
    "font-size:0",
    "opacity:0",
    "visibility:collapse",
];
/// The most elements without an end whose content is looked for.
const MAX_OPEN: usize = 64;

/// Returns what a reader sees of a page of HTML. Tags and comments are left out. Those of blocks and
/// line breaks are blanks. References are characters. The content of scripts, styles and hidden
/// elements is left out if `drops_unseen`. A style sheet may hide them, or show them.
pub(super) fn without_tags(text: &str, drops_unseen: bool) -> String {
    let mut scanner = Scanner::new(text, drops_unseen);
    let mut plain = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find(['<', '&']) {
        plain.push_str(&text[at..at + found]);
        at += found;
        match scanner.markup(at) {
            Some(markup) => {
                plain.push_str(&markup.shown);
                at += markup.len;
            }
            None => {
                plain.push_str(&text[at..=at]);
                at += 1;
            }
        }
    }
    plain.push_str(&text[at..]);
    plain
}

/// A piece of markup: what a reader sees of it, and its length in bytes.
pub(super) struct Markup {
    pub(super) shown: String,
    pub(super) len: usize,
}

/// Finds markup in a text, and keeps what it knows of the rest, so that the time is linear.
pub(super) struct Scanner<'a> {
    text: &'a str,
    drops_unseen: bool,
    /// The last `>` and the last `-->`.
    last_end: Option<usize>,
    last_comment_end: Option<usize>,
    /// The number of elements whose end was not found.
    n_open: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, drops_unseen: bool) -> Self {
        Self {
            text,
            drops_unseen,
            last_end: text.rfind('>'),
            last_comment_end: text.rfind("-->"),
            n_open: 0,
        }
    }

    /// Returns the markup at a place. `None` if there is none.
    pub(super) fn markup(&mut self, at: usize) -> Option<Markup> {
        let rest = &self.text[at..];
        if rest.starts_with('&') {
            return first_reference(rest).map(|(shown, len)| Markup { shown, len });
        }
        let hidden = |len: usize| Markup {
            shown: String::new(),
            len,
        };
        if rest.starts_with("<!--") {
            // `<!-->` is a whole comment, too.
            let short = ["<!-->", "<!--->"]
                .into_iter()
                .find(|short| rest.starts_with(*short));
            let len = match short {
                Some(short) => short.len(),
                None => {
                    self.last_comment_end.filter(|end| *end >= at + 4)?;
                    rest.find("-->")? + 3
                }
            };
            return Some(hidden(len));
        }
        self.last_end.filter(|end| *end > at)?;
        let body = rest.strip_prefix('<')?;
        if body.starts_with(['!', '?']) {
            return Some(hidden(rest.find('>')? + 1));
        }
        let inner = body.strip_prefix('/');
        let is_end = inner.is_some();
        let name = inner.unwrap_or(body);
        let name = &name[..name.find(|ch: char| ch.is_whitespace() || matches!(ch, '/' | '>'))?];
        if !name.starts_with(|ch: char| ch.is_ascii_alphabetic()) {
            return None;
        }
        let len = end_of_tag(rest);
        if name.contains([':', '@']) && !is_end {
            // A link in angle brackets is shown as it is.
            let shown = rest[1..len - 1].to_owned();
            return Some(Markup { shown, len });
        }
        let name = name.to_ascii_lowercase();
        let is_block = BLOCKS.split_whitespace().any(|block| block == name);
        let shown = if is_block { " " } else { "" };
        let is_seen = is_end || !self.drops_unseen;
        let content = if is_seen { 0 } else { self.unseen(at, len, &name) };
        Some(Markup {
            shown: shown.to_owned(),
            len: len + content,
        })
    }

    /// The length of an element's content, with the tag of its end, that no reader sees. 0 if a
    /// reader sees it.
    fn unseen(&mut self, at: usize, len: usize, name: &str) -> usize {
        let tag = &self.text[at..at + len];
        if !UNSEEN.contains(&name) && !is_hidden(tag) || tag.ends_with("/>") || self.n_open >= MAX_OPEN {
            return 0;
        }
        let body = &self.text[at + len..];
        let (mut depth, mut place) = (1, 0);
        while let Some(found) = body[place..].find('<') {
            place += found + 1;
            let (is_end, inner) = match body[place..].strip_prefix('/') {
                Some(inner) => (true, inner),
                None => (false, &body[place..]),
            };
            let is_same = inner
                .get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
                && inner[name.len()..].starts_with(|ch: char| ch.is_whitespace() || matches!(ch, '/' | '>'));
            match (is_same, is_end) {
                (true, false) => depth += 1,
                (true, true) if depth > 1 => depth -= 1,
                (true, true) => {
                    if let Some(end) = body[place..].find('>') {
                        return place + end + 1;
                    }
                    break;
                }
                (false, _) => {}
            }
        }
        self.n_open += 1;
        0
    }
}

/// The length of the tag that a text starts with. A `>` between quotes is no end, unless there is no
/// other. The text has a `>`.
fn end_of_tag(text: &str) -> usize {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at + 1,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    text.find('>').map_or(text.len(), |at| at + 1)
}

/// Whether the attributes of a tag hide its element.
fn is_hidden(tag: &str) -> bool {
    if !tag.contains(char::is_whitespace) {
        return false;
    }
    let tag = tag.to_ascii_lowercase();
    let mut words = tag.split(|ch: char| ch.is_whitespace() || matches!(ch, '>' | '/' | '='));
    let has_attribute = words.any(|word| word == "hidden");
    let tight: String = tag.chars().filter(|ch| !ch.is_whitespace()).collect();
    let hides = |declaration: &&str| {
        let behind = tight.split(*declaration).skip(1);
        // `font-size:0.9em` and `opacity:0.5` hide nothing.
        behind.into_iter().any(|rest| !rest.starts_with('.'))
    };
    has_attribute || tight.contains("style=") && HIDING.iter().any(hides)
}

//! Texts with controls: what is left without them, and what a terminal shows.

use unicode_normalization::char::is_combining_mark;

/// The last column to which a sequence moves the cursor. A line of text may be longer.
const LAST_COLUMN: usize = 500;

/// A part of a text, as a terminal takes it.
enum Part<'a> {
    /// A character that is shown, or the end of a line.
    Shown(char),
    Backspace,
    Return,
    /// A control sequence, with its parameters and its final character.
    Sequence(&'a str, char),
    /// A part that shows nothing: another sequence or control, or a link.
    Hidden,
}

/// Whether a text has controls other than tabs and ends of lines.
pub(super) fn has_controls(text: &str) -> bool {
    let mut before_line = text.chars().zip(text.chars().skip(1).map(Some).chain([None]));
    before_line.any(|(ch, next)| {
        ch.is_control() && !matches!(ch, '\n' | '\t') && !(ch == '\r' && next == Some('\n'))
    })
}

/// Returns the part that a text starts with, and its length in bytes. The text is not empty.
fn first_part(text: &str) -> (Part<'_>, usize) {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return (Part::Hidden, 0);
    };
    let len = first.len_utf8();
    match first {
        '\u{1b}' => escape(text, chars.next()),
        '\u{9b}' => sequence(text, len),
        '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => (Part::Hidden, string(text, len)),
        '\n' | '\t' => (Part::Shown(first), len),
        '\u{b}' | '\u{c}' | '\u{84}' | '\u{85}' => (Part::Shown('\n'), len),
        '\r' if text[1..].starts_with('\n') => (Part::Shown('\n'), 2),
        '\r' => (Part::Return, len),
        '\u{8}' => (Part::Backspace, len),
        ch if ch.is_control() => (Part::Hidden, len),
        ch => (Part::Shown(ch), len),
    }
}

/// The part that starts with ESC and this character.
fn escape(text: &str, second: Option<char>) -> (Part<'_>, usize) {
    match second {
        Some('[') => sequence(text, 2),
        Some(']' | 'P' | 'X' | '^' | '_') => (Part::Hidden, string(text, 2)),
        Some('D' | 'E') => (Part::Shown('\n'), 2),
        Some(' '..='/') => {
            let inner = text[1..].bytes().take_while(|byte| (0x20..0x30).contains(byte));
            let end = 1 + inner.count();
            let has_final = text[end..].starts_with(|ch: char| ('0'..='~').contains(&ch));
            (Part::Hidden, end + usize::from(has_final))
        }
        Some('0'..='~') => (Part::Hidden, 2),
        _ => (Part::Hidden, 1),
    }
}

/// The control sequence whose parameters start at `start`.
fn sequence(text: &str, start: usize) -> (Part<'_>, usize) {
    let count = |from: usize, bytes: std::ops::RangeInclusive<u8>| {
        text[from..]
            .bytes()
            .take_while(|byte| bytes.contains(byte))
            .count()
    };
    let end = start + count(start, 0x30..=0x3f);
    let last = end + count(end, 0x20..=0x2f);
    match text[last..].chars().next() {
        Some(name @ '@'..='~') => (Part::Sequence(&text[start..end], name), last + 1),
        _ => (Part::Hidden, last),
    }
}

/// The end of a string for the terminal, such as the address of a link, that starts at `start`. A
/// string without an end is only its first characters.
fn string(text: &str, start: usize) -> usize {
    let body = &text[start..];
    let is_end = |ch: char| ch.is_control() && ch != '\t';
    let Some(at) = body.find(is_end) else { return start };
    let end = &body[at..];
    let len = ["\u{7}", "\u{1b}\\", "\u{9c}"]
        .iter()
        .find(|mark| end.starts_with(**mark))
        .map(|mark| mark.len());
    len.map_or(start, |len| start + at + len)
}

/// Returns a text without controls and sequences. A return to the start of a line is the end of a
/// line.
pub(super) fn without_sequences(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (part, len) = first_part(rest);
        match part {
            Part::Shown(ch) => plain.push(ch),
            Part::Return => plain.push('\n'),
            Part::Backspace | Part::Sequence(..) | Part::Hidden => {}
        }
        rest = &rest[len..];
    }
    plain
}

/// Returns what a terminal shows at the end: characters that others overwrite or erase are left
/// out. A character takes one column. A move to another line is the end of a line.
pub(super) fn on_terminal(text: &str) -> String {
    let mut screen = Screen::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (part, len) = first_part(rest);
        match part {
            Part::Shown('\n') => screen.end_line(),
            Part::Shown('\t') => screen.column += 1,
            Part::Shown(ch) => screen.put(ch),
            Part::Return => screen.column = 0,
            Part::Backspace => screen.column = screen.column.saturating_sub(1),
            Part::Sequence(parameters, name) => screen.obey(parameters, name),
            Part::Hidden => {}
        }
        rest = &rest[len..];
    }
    screen.end_line();
    screen.shown
}

/// The lines that are finished, the current one, and the column of the cursor.
#[derive(Default)]
struct Screen {
    shown: String,
    /// Each column's character, and the marks that stand on it.
    line: Vec<(char, String)>,
    column: usize,
}

impl Screen {
    fn put(&mut self, ch: char) {
        if is_combining_mark(ch) {
            let before = self.column.checked_sub(1).and_then(|at| self.line.get_mut(at));
            return match before {
                Some((_, marks)) => marks.push(ch),
                None => self.shown.push(ch),
            };
        }
        self.widen(self.column + 1);
        let cell = &mut self.line[self.column];
        // An underscore on a letter underlines it on paper.
        if ch != '_' || !cell.0.is_alphanumeric() {
            *cell = (ch, String::new());
        }
        self.column += 1;
    }

    /// Fills the line with blanks up to a width.
    fn widen(&mut self, width: usize) {
        if self.line.len() < width {
            self.line.resize(width, (' ', String::new()));
        }
    }

    fn end_line(&mut self) {
        for (ch, marks) in self.line.drain(..) {
            if ch != ' ' || !self.shown.ends_with(' ') {
                self.shown.push(ch);
            }
            self.shown.push_str(&marks);
        }
        self.shown.push('\n');
        self.column = 0;
    }

    fn obey(&mut self, parameters: &str, name: char) {
        let first = parameters.split(';').next().unwrap_or_default();
        let n: usize = first.parse().unwrap_or(0);
        let right = |column: usize| column.min(LAST_COLUMN.max(self.line.len()));
        match name {
            'C' => self.column = right(self.column.saturating_add(n.max(1))),
            'D' => self.column = self.column.saturating_sub(n.max(1)),
            'G' | '`' => self.column = right(n.max(1) - 1),
            'K' => self.erase(n),
            'X' => {
                let end = self.column.saturating_add(n.max(1)).min(self.line.len());
                (self.column..end).for_each(|at| self.line[at] = (' ', String::new()));
            }
            'P' => {
                let start = self.column.min(self.line.len());
                let end = start.saturating_add(n.max(1)).min(self.line.len());
                self.line.drain(start..end);
            }
            'A' | 'B' | 'E' | 'F' | 'H' | 'd' | 'f' => self.end_line(),
            _ => {}
        }
    }

    /// Erases a part of the line: 0 from the cursor on, 1 up to the cursor, 2 all of it.
    fn erase(&mut self, what: usize) {
        let end = (self.column + 1).min(self.line.len());
        match what {
            0 => self.line.truncate(self.column),
            1 => self.line[..end].fill((' ', String::new())),
            2 => self.line.clear(),
            _ => {}
        }
    }
}

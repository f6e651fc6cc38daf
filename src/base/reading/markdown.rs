//! Marks of Markdown (CommonMark with the extensions of GitHub), and texts without them.

use hashbrown::HashMap;
use std::collections::BTreeSet;

use crate::base::reading::html::Scanner;

/// The most parentheses within each other in the address of a link.
const MAX_DEPTH: usize = 32;
/// The most bytes of the mark of a note.
const MAX_NOTE: usize = 100;

/// Returns what a reader sees of a text in Markdown: without the marks of headings, lists, quotes,
/// emphasis, code and links, and without HTML. Code keeps its characters. A single `*` or `_` stays.
/// The content of hidden elements of HTML is left out if `drops_unseen`.
pub(super) fn without_marks(text: &str, drops_unseen: bool) -> String {
    let labels: BTreeSet<String> = text
        .lines()
        .filter_map(definition)
        .map(str::to_lowercase)
        .collect();
    let mut plain = String::with_capacity(text.len());
    let mut paragraph = String::new();
    let mut fence: Option<&str> = None;
    let end_paragraph = |paragraph: &mut String, plain: &mut String| {
        plain.push_str(&inline(paragraph, &labels, drops_unseen));
        paragraph.clear();
    };
    for line in text.split('\n') {
        let content = line.trim_start_matches(|ch: char| ch == '>' || ch.is_whitespace());
        if let Some(open) = fence {
            match content.trim_end().trim_start_matches(&open[..1]).is_empty() && content.starts_with(open) {
                true => fence = None,
                false => plain.extend([line, "\n"]),
            }
        } else if let Some(open) = fence_of(content) {
            end_paragraph(&mut paragraph, &mut plain);
            fence = Some(open);
        } else if content.is_empty() || is_rule(content) || definition(content).is_some() {
            end_paragraph(&mut paragraph, &mut plain);
            plain.push('\n');
        } else {
            let (content, is_block) = without_line_marks(content);
            if is_block {
                end_paragraph(&mut paragraph, &mut plain);
            }
            paragraph.extend([content, "\n"]);
        }
    }
    end_paragraph(&mut paragraph, &mut plain);
    plain
}

/// The marks that open a block of code: three or more backticks or tildes.
fn fence_of(line: &str) -> Option<&str> {
    let mark = line.chars().next().filter(|ch| matches!(ch, '`' | '~'))?;
    let len = line.bytes().take_while(|byte| *byte == mark as u8).count();
    let is_fence = len >= 3 && (mark == '~' || !line[len..].contains('`'));
    is_fence.then(|| &line[..len])
}

/// Whether a line is a rule, the line under a heading, or the one under the head of a table.
fn is_rule(line: &str) -> bool {
    let is_mark = |ch: char| matches!(ch, '-' | '=' | '*' | '_' | '|' | ':') || ch.is_whitespace();
    line.chars().all(is_mark)
        && line
            .chars()
            .filter(|ch| matches!(ch, '-' | '=' | '*' | '_'))
            .count()
            >= 3
}

/// The label of a line that defines the address of links, such as `[label]: https://... "title"`. The
/// text of a note, `[^1]: text`, is no address.
fn definition(line: &str) -> Option<&str> {
    let (label, rest) = line.trim().strip_prefix('[')?.split_once("]:")?;
    let rest = rest.trim_start();
    let (address, title) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let title = title.trim_start();
    let is_address = !address.is_empty() && (title.is_empty() || title.starts_with(['"', '\'', '(']));
    (is_address && !label.contains(['[', ']']) && !label.starts_with('^')).then_some(label)
}

/// The length of the mark of a note, such as `[^1]`. `None` if the text starts with none.
fn note_len(text: &str) -> Option<usize> {
    let end = text.bytes().take(MAX_NOTE).position(|byte| byte == b']')?;
    let label = text[..end].strip_prefix("[^")?;
    let is_label = !label.is_empty() && !label.contains(|ch: char| ch.is_whitespace() || ch == '[');
    is_label.then_some(end + 1)
}

/// A line without the marks of headings and lists, and whether it begins a block.
fn without_line_marks(line: &str) -> (&str, bool) {
    let n_signs = line.bytes().take_while(|byte| *byte == b'#').count();
    if (1..=6).contains(&n_signs) && (line.len() == n_signs || line[n_signs..].starts_with([' ', '\t'])) {
        return (line[n_signs..].trim().trim_end_matches('#'), true);
    }
    let (mut rest, mut is_block) = (line, false);
    while let Some(item) = item(rest) {
        (rest, is_block) = (item, true);
    }
    let boxes = ["[ ] ", "[x] ", "[X] "];
    let task = boxes
        .iter()
        .find_map(|task| rest.strip_prefix(task))
        .filter(|_| is_block);
    (task.unwrap_or(rest), is_block)
}

/// What stands behind the mark of an item of a list: `-`, `*`, `+`, `1.` or `1)`.
fn item(line: &str) -> Option<&str> {
    let n_digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let behind = match n_digits {
        0 => line.strip_prefix(['-', '*', '+']),
        1..=9 => line[n_digits..].strip_prefix(['.', ')']),
        _ => None,
    }?;
    behind.starts_with([' ', '\t']).then(|| behind.trim_start())
}

/// A piece of a paragraph.
enum Piece {
    Text(String),
    /// Marks of one kind: how many are left as text, and whether they can begin or end emphasis.
    Marks {
        mark: char,
        n_left: usize,
        begins: bool,
        ends: bool,
    },
}

/// Reads the marks of one paragraph.
struct Paragraph<'a> {
    text: &'a str,
    labels: &'a BTreeSet<String>,
    pieces: Vec<Piece>,
    /// The pieces of brackets without an end.
    brackets: Vec<usize>,
    /// The last place of a run of backticks, by the length of the run.
    last_ticks: HashMap<usize, usize>,
}

fn inline(text: &str, labels: &BTreeSet<String>, drops_unseen: bool) -> String {
    let mut paragraph = Paragraph {
        text,
        labels,
        pieces: Vec::new(),
        brackets: Vec::new(),
        last_ticks: last_ticks(text),
    };
    paragraph.read(Scanner::new(text, drops_unseen));
    paragraph.pair_marks();
    let text = |piece: Piece| match piece {
        Piece::Text(text) => text,
        Piece::Marks { mark, n_left, .. } => mark.to_string().repeat(n_left),
    };
    paragraph.pieces.into_iter().map(text).collect()
}

impl Paragraph<'_> {
    fn read(&mut self, mut scanner: Scanner<'_>) {
        let mut at = 0;
        let special = ['\\', '`', '*', '_', '~', '[', ']', '!', '<', '&'];
        while let Some(found) = self.text[at..].find(special) {
            self.push(&self.text[at..at + found]);
            at += found;
            let rest = &self.text[at..];
            let mark = rest.chars().next().unwrap_or_default();
            at += match mark {
                '\\' => self.escaped(rest),
                '`' => self.code(at),
                '*' | '_' | '~' => self.marks(at, mark),
                '[' => note_len(rest).unwrap_or_else(|| self.open(1, "[")),
                '!' if rest.starts_with("![") => self.open(2, "!["),
                ']' => self.close(rest),
                _ => {
                    let markup = match mark {
                        '<' | '&' => scanner.markup(at),
                        _ => None,
                    };
                    self.push(markup.as_ref().map_or(&rest[..1], |markup| &markup.shown));
                    markup.map_or(1, |markup| markup.len)
                }
            };
        }
        self.push(&self.text[at..]);
    }

    fn push(&mut self, text: &str) {
        let is_bracket = self
            .brackets
            .last()
            .is_some_and(|open| open + 1 == self.pieces.len());
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(last)) if !is_bracket => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    /// A backslash makes the next sign plain.
    fn escaped(&mut self, rest: &str) -> usize {
        match rest[1..].chars().next() {
            Some(next) if next.is_ascii_punctuation() => {
                self.push(&rest[1..2]);
                2
            }
            Some('\n') => 1,
            _ => {
                self.push("\\");
                1
            }
        }
    }

    /// Code ends with as many backticks as it begins with.
    fn code(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        let n = rest.bytes().take_while(|byte| *byte == b'`').count();
        let has_end = self.last_ticks.get(&n).is_some_and(|last| *last > at);
        let mut place = n;
        while let Some(found) = rest[place..].find('`').filter(|_| has_end) {
            let start = place + found;
            let len = rest[start..].bytes().take_while(|byte| *byte == b'`').count();
            if len == n {
                let code = &rest[n..start];
                let has_blanks = code.starts_with(' ') && code.ends_with(' ') && !code.trim().is_empty();
                self.push(if has_blanks {
                    &code[1..code.len() - 1]
                } else {
                    code
                });
                return start + n;
            }
            place = start + len;
        }
        self.push(&rest[..n]);
        n
    }

    fn marks(&mut self, at: usize, mark: char) -> usize {
        let n = self.text[at..]
            .bytes()
            .take_while(|byte| *byte == mark as u8)
            .count();
        let before = self.text[..at].chars().next_back().unwrap_or(' ');
        let behind = self.text[at + n..].chars().next().unwrap_or(' ');
        let is_sign = |ch: char| !ch.is_alphanumeric() && !ch.is_whitespace();
        let is_apart = |ch: char| is_sign(ch) || ch.is_whitespace();
        let is_left = !behind.is_whitespace() && (!is_sign(behind) || is_apart(before));
        let is_right = !before.is_whitespace() && (!is_sign(before) || is_apart(behind));
        // Within a word, an underscore is no mark.
        let is_word = mark == '_';
        let begins = is_left && (!is_word || !is_right || is_sign(before));
        let ends = is_right && (!is_word || !is_left || is_sign(behind));
        self.pieces.push(Piece::Marks {
            mark,
            n_left: n,
            begins: begins && (mark != '~' || n <= 2),
            ends: ends && (mark != '~' || n <= 2),
        });
        n
    }

    fn open(&mut self, len: usize, bracket: &str) -> usize {
        self.brackets.push(self.pieces.len());
        self.pieces.push(Piece::Text(bracket.to_owned()));
        len
    }

    /// Ends a link: `](address)`, `][label]`, or a label that is defined. The brackets and what is
    /// behind them are left out. Other brackets stay.
    fn close(&mut self, rest: &str) -> usize {
        let Some(open) = self.brackets.pop() else {
            self.push("]");
            return 1;
        };
        let behind = &rest[1..];
        let len = address_len(behind).or_else(|| {
            let (label, _) = behind.strip_prefix('[')?.split_once(']')?;
            let is_label = !label.contains(['[', '\n']) && (label.is_empty() || self.is_defined(label));
            let own = || self.is_defined(&self.label(open));
            (is_label && (!label.is_empty() || own())).then_some(label.len() + 2)
        });
        let len = len.or_else(|| self.is_defined(&self.label(open)).then_some(0));
        match len {
            Some(len) => {
                self.pieces[open] = Piece::Text(String::new());
                1 + len
            }
            None => {
                self.push("]");
                1
            }
        }
    }

    fn is_defined(&self, label: &str) -> bool {
        self.labels.contains(&label.to_lowercase())
    }

    /// The text behind an open bracket, if it is plain and not long.
    fn label(&self, open: usize) -> String {
        match &self.pieces[open + 1..] {
            [Piece::Text(text)] if text.len() < 1_000 => text.clone(),
            _ => String::new(),
        }
    }

    /// Removes the marks of emphasis in pairs: each end takes the nearest beginning of its kind.
    fn pair_marks(&mut self) {
        let mut open: [Vec<usize>; 3] = Default::default();
        for idx in 0..self.pieces.len() {
            let Piece::Marks {
                mark,
                mut n_left,
                begins,
                ends,
            } = self.pieces[idx]
            else {
                continue;
            };
            let kind = "*_~".find(mark).unwrap_or_default();
            while ends && n_left > 0 {
                let Some(start) = open[kind].pop() else { break };
                let Piece::Marks { n_left: n_open, .. } = &mut self.pieces[start] else {
                    continue;
                };
                let n = n_left.min(*n_open);
                *n_open -= n;
                n_left -= n;
                let is_left = *n_open > 0;
                // What began between the two has no end between them.
                open.iter_mut()
                    .for_each(|open| open.truncate(open.partition_point(|idx| *idx < start)));
                if is_left {
                    open[kind].push(start);
                }
            }
            if let Piece::Marks { n_left: left, .. } = &mut self.pieces[idx] {
                *left = n_left;
            }
            if begins && n_left > 0 {
                open[kind].push(idx);
            }
        }
    }
}

fn last_ticks(text: &str) -> HashMap<usize, usize> {
    let mut last = HashMap::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        let start = at + found;
        let n = text[start..].bytes().take_while(|byte| *byte == b'`').count();
        last.insert(n, start);
        at = start + n;
    }
    last
}

/// The length of the address of a link that a text starts with, with its parentheses.
fn address_len(text: &str) -> Option<usize> {
    if !text.starts_with('(') {
        return None;
    }
    let (mut depth, mut is_escaped) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
        if depth > MAX_DEPTH {
            return None;
        }
    }
    None
}

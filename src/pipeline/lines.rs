//! Lines of keys in JSON, TOML and YAML files, for annotations. Documents are parsed elsewhere, and
//! are known to be right here.

use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::limits::{Limit, read_limited};

/// The deepest nesting whose keys are listed.
const MAX_DEPTH: usize = 64;

/// A key of a document, or an item of a list.
#[derive(Debug, PartialEq)]
struct Entry {
    /// The key. Empty for items of lists.
    key: String,
    /// The value, if it is a text.
    text: Option<String>,
    depth: usize,
    line: usize,
}

/// The keys of a document with their lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    entries: Vec<Entry>,
}

impl Lines {
    /// Reads the keys of a file, by its extension. `None` for other files, and for a file without
    /// keys.
    pub(super) fn of_file(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        let bytes = read_limited(path, Limit::Document).ok()?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let lines = match extension.as_str() {
            "json" | "jsonl" | "ndjson" => Self::of_json(text),
            "toml" => Self::of_toml(text)?,
            "yaml" | "yml" => Self::of_yaml(text),
            _ => return None,
        };
        (!lines.entries.is_empty()).then_some(lines)
    }

    /// The line of a key: the least nested one, the first of several.
    pub(super) fn key(&self, key: &str) -> Option<usize> {
        let named = self.entries.iter().filter(|entry| entry.key == key);
        named.min_by_key(|entry| entry.depth).map(|entry| entry.line)
    }

    /// The line of the first key with this text.
    pub(super) fn item(&self, key: &str, text: &str) -> Option<usize> {
        let is_item = |entry: &&Entry| entry.key == key && entry.text.as_deref() == Some(text);
        self.entries.iter().find(is_item).map(|entry| entry.line)
    }

    /// The line of the first value with this text.
    pub(super) fn value(&self, text: &str) -> Option<usize> {
        let is_value = |entry: &&Entry| entry.text.as_deref() == Some(text);
        self.entries.iter().find(is_value).map(|entry| entry.line)
    }

    fn of_json(text: &str) -> Self {
        let mut scan = JsonScan {
            rest: text,
            line: 1,
            lines: Self::default(),
        };
        while scan.value("", 0, 1).is_some() {}
        scan.lines
    }

    fn of_toml(text: &str) -> Option<Self> {
        let document = DeTable::parse(text).ok()?;
        let mut lines = Self::default();
        lines.toml_table(document.get_ref(), 0, &LineStarts::new(text));
        lines.entries.sort_by_key(|entry| entry.line);
        Some(lines)
    }

    fn toml_table(&mut self, table: &DeTable<'_>, depth: usize, starts: &LineStarts) {
        for (key, value) in table {
            let at = starts.line_of(key.span().start);
            self.toml_value(key.get_ref(), value, depth, at, starts);
        }
    }

    fn toml_value(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        depth: usize,
        line: usize,
        starts: &LineStarts,
    ) {
        if depth > MAX_DEPTH {
            return;
        }
        let text = match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        };
        self.entries.push(Entry {
            key: key.to_owned(),
            text,
            depth,
            line,
        });
        match value.get_ref() {
            DeValue::Table(table) => self.toml_table(table, depth + 1, starts),
            DeValue::Array(items) => {
                for item in items.iter() {
                    let line = starts.line_of(item.span().start);
                    self.toml_value("", item, depth + 1, line, starts);
                }
            }
            _ => {}
        }
    }

    /// Keys of block mappings and texts of block lists, one a line. Other forms of YAML have no
    /// lines.
    fn of_yaml(text: &str) -> Self {
        let mut lines = Self::default();
        for (idx, line) in text.lines().enumerate() {
            let mut rest = line.trim_start();
            while let Some(item) = rest.strip_prefix("- ") {
                rest = item.trim_start();
            }
            if rest.is_empty() || rest.starts_with('#') {
                continue;
            }
            let (key, value) = match rest.split_once(':') {
                Some((key, value)) if value.is_empty() || value.starts_with(' ') => (key, value),
                _ => ("", rest),
            };
            let value = yaml_text(value);
            lines.entries.push(Entry {
                key: yaml_text(key),
                text: (!value.is_empty()).then_some(value),
                depth: line.len() - rest.len(),
                line: idx + 1,
            });
        }
        lines
    }
}

/// A plain or quoted text of one line, without its comment.
fn yaml_text(text: &str) -> String {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some((inner, _)) = text.strip_prefix(quote).and_then(|text| text.split_once(quote)) {
            return inner.to_owned();
        }
    }
    let text = text.split_once(" #").map_or(text, |(text, _)| text);
    text.trim_end().to_owned()
}

/// Where the lines of a text start.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn new(text: &str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(ends).collect())
    }

    fn line_of(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at)
    }
}

/// A scan of JSON texts, one after another.
struct JsonScan<'a> {
    rest: &'a str,
    line: usize,
    lines: Lines,
}

impl JsonScan<'_> {
    /// Scans a value that has this key. `None` at the end of the text, or where it is no JSON.
    fn value(&mut self, key: &str, depth: usize, key_line: usize) -> Option<()> {
        let first = self.peek()?;
        let line = if key.is_empty() { self.line } else { key_line };
        let is_named = depth > 0 && depth <= MAX_DEPTH;
        let at = self.lines.entries.len();
        if is_named {
            self.lines.entries.push(Entry {
                key: key.to_owned(),
                text: None,
                depth,
                line,
            });
        }
        match first {
            '{' => self.object(depth),
            '[' => self.array(depth),
            '"' => {
                let text = self.string()?;
                if is_named {
                    self.lines.entries[at].text = Some(text);
                }
                Some(())
            }
            _ => {
                let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}');
                let end = self.rest.find(is_end).unwrap_or(self.rest.len());
                (end > 0).then(|| self.skip(end))
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.skip(1);
        loop {
            match self.peek()? {
                '}' => {
                    self.skip(1);
                    return Some(());
                }
                ',' => self.skip(1),
                '"' => {
                    let line = self.line;
                    let key = self.string()?;
                    if self.peek()? != ':' {
                        return None;
                    }
                    self.skip(1);
                    self.deeper(&key, depth, line)?;
                }
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.skip(1);
        loop {
            match self.peek()? {
                ']' => {
                    self.skip(1);
                    return Some(());
                }
                ',' => self.skip(1),
                _ => self.deeper("", depth, self.line)?,
            }
        }
    }

    /// Scans an inner value. Too deep nesting ends the scan.
    fn deeper(&mut self, key: &str, depth: usize, line: usize) -> Option<()> {
        (depth < 2 * MAX_DEPTH).then(|| self.value(key, depth + 1, line))?
    }

    /// The next character that is no blank.
    fn peek(&mut self) -> Option<char> {
        let n = self.rest.len() - self.rest.trim_start().len();
        self.skip(n);
        self.rest.chars().next()
    }

    fn string(&mut self) -> Option<String> {
        let bytes = self.rest.as_bytes();
        let mut end = 1;
        while *bytes.get(end)? != b'"' {
            end += 1 + usize::from(bytes[end] == b'\\');
        }
        let text = serde_json::from_str(self.rest.get(..=end)?).ok()?;
        self.skip(end + 1);
        Some(text)
    }

    fn skip(&mut self, n_bytes: usize) {
        let (skipped, rest) = self.rest.split_at(n_bytes);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keys_have_lines() {
        let text = "{\n \"a\": {\n  \"id\": \"x\"},\n \"list\": [\n  {\"id\": \"y\"},\n  \"z\\\"{\\n\"],\n \"id\":\n 1\n}\n{\"later\": true}";
        let lines = Lines::of_json(text);
        assert_eq!(lines.key("a"), Some(2));
        assert_eq!(lines.key("id"), Some(7), "the least nested one");
        assert_eq!(lines.item("id", "x"), Some(3));
        assert_eq!(lines.item("id", "y"), Some(5));
        assert_eq!(lines.value("z\"{\n"), Some(6));
        assert_eq!(lines.key("later"), Some(10));
        assert_eq!(lines.key("none"), None);
    }

    #[test]
    fn no_json_ends_the_scan() {
        for text in ["", "{", "{\"a\" 1}", "[1, }", "\"", "{\"a\": \"\\", "]", ","] {
            assert!(Lines::of_json(text).key("b").is_none(), "{text}");
        }
        let deep = "[".repeat(10_000);
        assert!(Lines::of_json(&deep).key("b").is_none());
    }

    #[test]
    fn toml_keys_have_lines() {
        let text = "as_of = 1\n[plan]\nid = \"p\"\n\n[[layer]]\nid = \"early\"\n[[layer]]\nid = \"late\"\nsteps = [\n 'a',\n]\n";
        let lines = Lines::of_toml(text).unwrap();
        assert_eq!(lines.key("as_of"), Some(1));
        assert_eq!(lines.item("id", "early"), Some(6));
        assert_eq!(lines.item("id", "late"), Some(8));
        assert_eq!(lines.value("a"), Some(10));
        assert!(Lines::of_toml("a = ").is_none());
    }

    #[test]
    fn yaml_keys_have_lines() {
        let text =
            "# tools\nbundle: b\ntools:\n  - name: \"a\" # first\n    risk: read\n  - name: b\n  - c\n";
        let lines = Lines::of_yaml(text);
        assert_eq!(lines.key("tools"), Some(3));
        assert_eq!(lines.item("name", "a"), Some(4));
        assert_eq!(lines.item("name", "b"), Some(6));
        assert_eq!(lines.value("c"), Some(7));
    }
}

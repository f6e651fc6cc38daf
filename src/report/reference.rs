//! The reference page of a document: its JSON Schema as Markdown. Each TOML table becomes one
//! Markdown table.

use serde_json::Value;

/// Number of columns at which paragraphs are wrapped.
const COLUMNS: usize = 100;

/// The paragraph about instants, for every page with a key that is an instant.
const INSTANTS: &str = "An instant is text, a number, or a date or time of TOML: \
    `2026-05-28T00:00:00Z` with `Z`, with an offset, or without one, in the zone of `time_zone` (UTC by \
    default); a date, `2026-05-28` or `20260528`, which is the first instant of its day there; epoch \
    seconds; a local time of another zone, `2026-05-28T08:00:00[Asia/Shanghai]`. A local time that the \
    zone skips, or has twice, is refused, and so is a date without any instant.";

/// Returns the reference page of a document as Markdown. `name` is the document's name on the
/// command line, such as `scenario`.
pub fn reference_page(schema: &Value, name: &str) -> String {
    let page = Page { schema };
    let mut tables = Vec::new();
    page.collect(schema, String::new(), false, &mut tables);
    let title = text_of(schema, "title");
    let mut text = format!("# {title}\n");
    text.push_str(&prose(&format!(
        "Every key of the document. `sluice schema {name} --markdown` writes this page from the types \
         that read the document, and `sluice schema {name}` its JSON Schema for editors: \
         [{name}.schema.json](../../schemas/{name}.schema.json)."
    )));
    text.push('\n');
    text.push_str(&prose(text_of(schema, "description")));
    if tables.iter().any(|table| page.has_instant(table.schema)) {
        text.push('\n');
        text.push_str(&prose(INSTANTS));
    }
    text.push('\n');
    for table in &tables {
        let heading = table.heading();
        text.push_str(&format!("- [{heading}](#{})\n", slug(&heading)));
    }
    for table in &tables {
        text.push_str(&format!("\n## {}\n", table.heading()));
        if !std::ptr::eq(table.schema, schema) {
            text.push_str(&prose(text_of(table.schema, "description")));
            text.push('\n');
        }
        text.push_str("| key | type | unit | default | range | example | meaning |\n");
        text.push_str("|---|---|---|---|---|---|---|\n");
        let mut explained: Vec<*const Value> = Vec::new();
        for (key, value, is_required) in keys_of(table.schema) {
            // Words that several keys share are explained once a table.
            let words = std::ptr::from_ref(page.resolve(value));
            let is_first = !explained.contains(&words);
            explained.push(words);
            text.push_str(&page.row(key, value, (is_required, is_first), table, &tables));
        }
    }
    text
}

/// A TOML table of the document, with its headers.
struct Table<'a> {
    schema: &'a Value,
    /// The TOML headers that begin the table, such as `[plan]`, each with its key path.
    headers: Vec<(String, String)>,
}

impl Table<'_> {
    fn heading(&self) -> String {
        let headers: Vec<&str> = self.headers.iter().map(|(header, _)| header.as_str()).collect();
        headers.join(", ")
    }
}

struct Page<'a> {
    schema: &'a Value,
}

impl<'a> Page<'a> {
    /// Returns the schema that a value refers to; the value itself if it has no reference.
    fn resolve(&self, value: &'a Value) -> &'a Value {
        // A table that may also be a list of such tables is shown as one.
        let alone = value
            .get("allOf")
            .or(value.get("anyOf"))
            .and_then(Value::as_array)
            .and_then(|all| all.first());
        let value_of = alone.unwrap_or(value);
        value_of
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| self.schema.pointer(reference.trim_start_matches('#')))
            .unwrap_or(value)
    }

    /// Returns the schema of the table under a key, and whether the key holds a list of such
    /// tables. `None` for a key without tables.
    fn table_of(&self, value: &'a Value) -> Option<(&'a Value, bool)> {
        let resolved = self.resolve(value);
        if resolved.get("properties").is_some() {
            return Some((resolved, false));
        }
        let items = self.resolve(resolved.get("items")?);
        items.get("properties").map(|_| (items, true))
    }

    fn collect(&self, schema: &'a Value, path: String, is_list: bool, tables: &mut Vec<Table<'a>>) {
        let header = match (path.as_str(), is_list) {
            ("", _) => "Top level".to_owned(),
            (path, true) => format!("`[[{path}]]`"),
            (path, false) => format!("`[{path}]`"),
        };
        match tables.iter_mut().find(|table| std::ptr::eq(table.schema, schema)) {
            Some(table) => table.headers.push((header, path.clone())),
            None => tables.push(Table {
                schema,
                headers: vec![(header, path.clone())],
            }),
        }
        for (key, value, _) in keys_of(schema) {
            if let Some((table, is_list)) = self.table_of(value) {
                self.collect(table, join(&path, key), is_list, tables);
            }
        }
    }

    fn has_instant(&self, table: &'a Value) -> bool {
        keys_of(table).iter().any(|(_, value, _)| is_instant(value))
    }

    fn row(
        &self,
        key: &str,
        value: &'a Value,
        (is_required, explains_words): (bool, bool),
        at: &Table<'a>,
        tables: &[Table<'a>],
    ) -> String {
        let table = self.table_of(value);
        let path = at.headers.first().map_or("", |(_, path)| path.as_str());
        let name = match table {
            Some(_) => {
                let path = join(path, key);
                let target = tables
                    .iter()
                    .find(|t| t.headers.iter().any(|(_, other)| *other == path));
                format!(
                    "[`{key}`](#{})",
                    slug(&target.map(Table::heading).unwrap_or_default())
                )
            }
            None => format!("`{key}`"),
        };
        let default = match (value.get("default"), text_of(value, "x-default")) {
            _ if is_required => "required".to_owned(),
            (Some(Value::Array(entries)), _) if entries.is_empty() && table.is_some() => "none".to_owned(),
            (Some(_), _) if table.is_some_and(|(_, is_list)| !is_list) => String::new(),
            (Some(default), _) => toml_text(default),
            (None, "") if table.is_some_and(|(_, is_list)| is_list) => "none".to_owned(),
            (None, text) => text.to_owned(),
        };
        let unit = match text_of(value, "x-unit") {
            "instant" => "",
            unit => unit,
        };
        let example = value
            .get("examples")
            .and_then(|examples| examples.get(0))
            .map(toml_text)
            .unwrap_or_default();
        let mut meaning = match (text_of(value, "description"), table) {
            ("", Some((table, _))) => text_of(table, "description")
                .split("\n\n")
                .next()
                .unwrap_or_default()
                .to_owned(),
            (text, _) => text.to_owned(),
        };
        for (word, about) in self.words(value) {
            if explains_words && !about.is_empty() {
                meaning.push_str(&format!(" `{word}`: {}", lower_first(about)));
            }
        }
        if let Some(known) = value.get("x-known").and_then(Value::as_array) {
            let known: Vec<String> = known
                .iter()
                .filter_map(Value::as_str)
                .map(|id| format!("`{id}`"))
                .collect();
            meaning.push_str(&format!(" Known: {}.", known.join(", ")));
        }
        let cells = [
            name,
            self.type_of(value).to_owned(),
            unit.to_owned(),
            default,
            self.range(value),
            example,
            meaning,
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        format!("| {} |\n", cells.join(" | "))
    }

    /// Returns the words that a key accepts, each with its meaning.
    fn words(&self, value: &'a Value) -> Vec<(&'a str, &'a str)> {
        let resolved = self.resolve(value);
        if let Some(words) = resolved.get("enum").and_then(Value::as_array) {
            return words
                .iter()
                .filter_map(Value::as_str)
                .map(|word| (word, ""))
                .collect();
        }
        let choices = resolved.get("oneOf").and_then(Value::as_array);
        choices
            .into_iter()
            .flatten()
            .filter_map(|choice| Some((choice.get("const")?.as_str()?, text_of(choice, "description"))))
            .collect()
    }

    fn type_of(&self, value: &'a Value) -> &'static str {
        if let Some((_, is_list)) = self.table_of(value) {
            return if is_list { "list of tables" } else { "table" };
        }
        if is_instant(value) {
            return "instant";
        }
        if !self.words(value).is_empty() {
            return "word";
        }
        match text_of(value, "type") {
            "integer" => "whole number",
            "number" => "number",
            "boolean" => "true or false",
            "array" => match value.get("items").map(|items| text_of(items, "type")) {
                Some("number" | "integer") => "list of numbers",
                _ => "list of texts",
            },
            "object" => match value
                .get("additionalProperties")
                .map(|values| text_of(values, "type"))
            {
                Some("number" | "integer") => "table of numbers",
                Some("") => "table of tables",
                _ => "table of texts",
            },
            _ => "text",
        }
    }

    fn range(&self, value: &'a Value) -> String {
        let words = self.words(value);
        if !words.is_empty() {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            return words.join(", ");
        }
        if is_instant(value) {
            return String::new();
        }
        let n = |key: &str| value.get(key).and_then(Value::as_u64);
        let what = if self.table_of(value).is_some() {
            "tables"
        } else {
            "values"
        };
        let count = match (n("minItems"), n("maxItems")) {
            (Some(low), Some(high)) if low == high => format!("{low} {what}"),
            (Some(low), Some(high)) => format!("{low} to {high} {what}"),
            (Some(low), None) => format!("{what}: at least {low}"),
            (None, Some(high)) => format!("{what}: at most {high}"),
            (None, None) => String::new(),
        };
        let inner = value.get("items").or(value.get("additionalProperties"));
        let parts = [bounds(value), count, inner.map(bounds).unwrap_or_default()];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(", each ")
    }
}

/// The keys of a table with their schemas, the required ones first, then by name.
fn keys_of(table: &Value) -> Vec<(&str, &Value, bool)> {
    let keys = table.get("properties").and_then(Value::as_object);
    let required: Vec<&str> = table
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let position = |key: &str| required.iter().position(|other| *other == key);
    let mut keys: Vec<(&str, &Value, bool)> = keys
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value, position(key).is_some()))
        .collect();
    keys.sort_by_key(|(key, _, _)| position(key).unwrap_or(usize::MAX));
    keys
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is_instant(value: &Value) -> bool {
    text_of(value, "x-unit") == "instant"
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Returns the bounds of a number as text. Empty without bounds.
fn bounds(value: &Value) -> String {
    let bound = |key: &str| value.get(key).and_then(Value::as_f64).map(number);
    let low = bound("minimum").map(|low| (low, "at least"));
    let low = low.or(bound("exclusiveMinimum").map(|low| (low, "above")));
    let high = bound("maximum").map(|high| (high, "at most"));
    let high = high.or(bound("exclusiveMaximum").map(|high| (high, "below")));
    match (low, high) {
        (Some((low, "at least")), Some((high, "at most"))) => format!("{low} to {high}"),
        (Some((low, above)), Some((high, below))) => format!("{above} {low}, {below} {high}"),
        (Some((bound, word)), None) | (None, Some((bound, word))) => format!("{word} {bound}"),
        (None, None) => String::new(),
    }
}

/// Formats a bound for readers: `2^63 - 1` and exponents in place of many digits.
fn number(value: f64) -> String {
    if value >= i64::MAX as f64 {
        "2^63 - 1".to_owned()
    } else if value != 0.0 && !(1e-4..1e7).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

/// Formats a value in the syntax of TOML, as Markdown code.
fn toml_text(value: &Value) -> String {
    let text = toml::Value::try_from(value).map(|value| value.to_string());
    format!("`{}`", text.unwrap_or_default().replace('\n', ""))
}

fn lower_first(text: &str) -> String {
    let mut signs = text.chars();
    let first = signs.next().map(|sign| sign.to_lowercase().to_string());
    first.unwrap_or_default() + signs.as_str()
}

/// Returns the anchor that GitHub gives to a heading.
fn slug(heading: &str) -> String {
    heading
        .chars()
        .filter(|sign| sign.is_alphanumeric() || "_- ".contains(*sign))
        .map(|sign| {
            if sign == ' ' {
                '-'
            } else {
                sign.to_ascii_lowercase()
            }
        })
        .collect()
}

/// Wraps paragraphs at [`COLUMNS`] columns.
fn prose(text: &str) -> String {
    let mut lines = String::new();
    for (idx, paragraph) in text.split("\n\n").enumerate() {
        if idx > 0 {
            lines.push('\n');
        }
        let mut width = 0;
        for word in paragraph.split_whitespace() {
            let length = word.chars().count();
            if width > 0 && width + 1 + length > COLUMNS {
                lines.push('\n');
                width = 0;
            } else if width > 0 {
                lines.push(' ');
                width += 1;
            }
            lines.push_str(word);
            width += length;
        }
        lines.push('\n');
    }
    lines
}

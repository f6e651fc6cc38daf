//! Tool bundles, read from JSON or YAML: Sluice's own format, MCP's `tools/list`, the lists of model
//! providers, or one tool per file.

use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::json::parse_json;
use crate::base::limits::{Limit, read_limited};
use crate::base::{digest, files};
use crate::release::record::RiskLevel;
use crate::release::tools::wrappers::{Described, Form, INPUT_KEYS, Listed, in_plain_words, listed};

/// The keys of the schema of the result.
const OUTPUT_KEYS: [&str; 5] = [
    "outputSchema",
    "output_schema",
    "response",
    "responseJsonSchema",
    "response_json_schema",
];
/// The fields of a tool that a rule compares, or that say nothing about it.
const KNOWN: [&str; 23] = [
    "annotations",
    "description",
    "execution",
    "function",
    "hitl",
    "hitl_proof",
    "idempotency",
    "max_calls",
    "migration",
    "name",
    "outputSchema",
    "output_schema",
    "response",
    "responseJsonSchema",
    "response_json_schema",
    "risk_level",
    "strict",
    "title",
    "tools",
    "type",
    "version",
    "functionDeclarations",
    "function_declarations",
];

/// The hints of MCP about a tool. A missing hint has its worst value, as the protocol requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Annotations {
    /// Whether the tool changes nothing.
    pub read_only: bool,
    /// Whether the tool may destroy data. Always false for a tool that only reads.
    pub destructive: bool,
    /// Whether repeated calls have no further effect. Always true for a tool that only reads.
    pub idempotent: bool,
    /// Whether the tool interacts with external systems.
    pub open_world: bool,
}

/// A tool that the agent can call, as its bundle describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// The name of the tool.
    pub name: String,
    /// The title for readers; `None` without one.
    pub title: Option<String>,
    /// The description, which the model reads as part of the prompt; `None` without one.
    pub description: Option<String>,
    /// The version of the tool; `None` without one.
    pub version: Option<String>,
    /// The risk level in the registry; `None` without one.
    pub risk_level: Option<RiskLevel>,
    /// Whether a person confirms calls: `required`, `conditional` or `none`; `None` if not stated.
    pub hitl: Option<String>,
    /// A reference to the proof that a person confirms calls; `None` without one.
    pub hitl_proof: Option<String>,
    /// Whether calls need an idempotency key: `required` or another word; `None` if not stated.
    pub idempotency: Option<String>,
    /// The maximum number of calls per turn; `None` for no limit.
    pub max_calls: Option<u64>,
    /// The migration guide from the previous version; `None` without one.
    pub migration: Option<String>,
    /// The JSON Schema of the arguments, as the bundle has it, which may be invalid; null without one.
    pub input_schema: Value,
    /// The JSON Schema of the result; `None` without one.
    pub output_schema: Option<Value>,
    /// The hints, with the worst values for missing ones.
    pub annotations: Annotations,
    /// Whether each hint is present: read-only, destructive, idempotent, open world.
    pub has_hint: [bool; 4],
    /// Whether the model must keep to the schema (`strict`); `None` if not stated.
    pub strict: Option<bool>,
    /// Whether `strict` needs every property to be required, as OpenAI demands.
    pub strict_needs_all: bool,
    /// Whether calls may or must be tasks of MCP.
    pub tasks: TaskSupport,
    /// The whole description of a tool of the provider, which has no schema; `None` for other tools.
    pub provided: Option<Value>,
    /// The fields that no rule knows, such as `icons` and `_meta`.
    pub others: Map<String, Value>,
}

/// Whether calls of a tool are tasks of MCP (`execution.taskSupport`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskSupport {
    /// Calls must not be tasks. This is the default of the protocol.
    Forbidden,
    /// Calls may be tasks.
    Optional,
    /// Calls must be tasks.
    Required,
}

impl TaskSupport {
    /// The word of the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Forbidden, Self::Optional, Self::Required];
        all.into_iter().find(|support| support.name() == word)
    }
}

impl Tool {
    /// Whether the tool changes data: by its risk level, or by the read-only hint if it has no
    /// level.
    pub fn writes(&self) -> bool {
        self.risk_level
            .map_or(!self.annotations.read_only, |risk| risk >= RiskLevel::Write)
    }
}

/// The tools of a release, read from one file or folder.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolBundle {
    /// The name of the bundle; empty for a plain list.
    pub name: String,
    /// The version of the bundle; `None` without one.
    pub version: Option<String>,
    /// The migration guide from the previous version; `None` without one.
    pub migration: Option<String>,
    /// The tools, sorted by name.
    pub tools: Vec<Tool>,
    /// The digest of the file, or of a folder's files in order, `sha256:<hex>`.
    pub digest: String,
    /// Whether the list is a page that says that another page follows (`nextCursor` of MCP).
    pub is_partial: bool,
}

impl ToolBundle {
    /// Reads a bundle from a file, or from a folder of JSON and YAML files.
    ///
    /// # Errors
    /// An unreadable file, an invalid tool, or two tools with one name.
    pub fn read(path: &Path) -> Result<Self> {
        let files = files_of(path)?;
        let mut bundle = Self {
            name: String::new(),
            version: None,
            migration: None,
            tools: Vec::new(),
            digest: String::new(),
            is_partial: false,
        };
        let (mut n_followed, mut n_last) = (0, 0);
        let mut bytes_of_all = Vec::new();
        for file in &files {
            let location = file.display().to_string();
            let bytes = read_limited(file, Limit::Document)?;
            let value = value_of(&location, file, &bytes)?;
            let listed = listed(&location, &value)?;
            n_followed += listed.n_followed;
            n_last += listed.n_last;
            bundle.take(&listed)?;
            bytes_of_all.push(bytes);
        }
        // The last page of several has no cursor.
        bundle.is_partial = n_followed > 0 && n_last == 0;
        bundle.digest = match bytes_of_all.as_slice() {
            [one] => digest::sha256_of_bytes(one),
            several => digest::sha256_of(&several.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        };
        bundle.tools.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = bundle.tools.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(Error::in_file(
                path,
                format!("expected every tool once, found `{}` twice", pair[0].name),
            ));
        }
        Ok(bundle)
    }

    /// The tool of this name; `None` if the bundle has none.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools
            .binary_search_by(|tool| tool.name.as_str().cmp(name))
            .ok()
            .map(|idx| &self.tools[idx])
    }

    fn take(&mut self, listed: &Listed<'_>) -> Result<()> {
        if let Some(fields) = listed.bundle {
            let text = |key: &str| match fields.get(key)? {
                Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
                Value::Number(number) if key == "version" => Some(number.to_string()),
                _ => None,
            };
            self.name = text("bundle").or_else(|| text("name")).unwrap_or_default();
            self.version = text("version");
            self.migration = text("migration");
        }
        for tool in &listed.tools {
            self.tools.push(tool_of(tool)?);
        }
        Ok(())
    }
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = files::files_below(path)?;
    files.retain(|file| {
        ["json", "yaml", "yml"].iter().any(|known| {
            file.extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case(known))
        })
    });
    if files.is_empty() {
        return Err(Error::in_file(
            path,
            "expected .json, .yaml or .yml files in the folder, found none",
        ));
    }
    Ok(files.into_iter().map(|file| path.join(file)).collect())
}

fn value_of(location: &str, file: &Path, bytes: &[u8]) -> Result<Value> {
    if file.extension().is_some_and(|extension| {
        ["yaml", "yml"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    }) {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Error::input(location.to_owned(), "expected UTF-8, found other bytes"))?;
        // The YAML reader limits aliases and depth, so a small file cannot expand to a huge value.
        return serde_saphyr::from_str(text)
            .map_err(|error| Error::input(location.to_owned(), format!("expected YAML, found: {error}")));
    }
    parse_json(location, bytes)
}

fn tool_of(described: &Described<'_>) -> Result<Tool> {
    let (fields, location) = (described.fields, &described.location);
    let wrong = |key: &str, expected: &str| {
        Error::input(
            format!("{location}.{key}"),
            format!("expected {expected}, found something else"),
        )
    };
    let text = |key: &str| match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() && ["migration", "hitl_proof"].contains(&key) => {
            Ok(None)
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        // In YAML, a version without quotes is often a number.
        Some(Value::Number(number)) if key == "version" => Ok(Some(number.to_string())),
        // These fields accept a boolean as well as a word.
        Some(Value::Bool(flag)) if ["hitl", "idempotency"].contains(&key) => {
            Ok(Some(if *flag { "required" } else { "none" }.to_owned()))
        }
        Some(_) => Err(wrong(key, "text")),
    };
    let name = described
        .name
        .map_or_else(|| text("name"), |name| Ok(Some(name.to_owned())))?
        .filter(|name| !name.trim().is_empty())
        .ok_or_else(|| wrong("name", "a name"))?;
    let risk_level = match text("risk_level")? {
        None => None,
        Some(word) => Some(
            RiskLevel::from_word(&word)
                .ok_or_else(|| wrong("risk_level", "read, low, medium, write, high or critical"))?,
        ),
    };
    let max_calls = match fields.get("max_calls") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            value
                .as_u64()
                .ok_or_else(|| wrong("max_calls", "a whole number"))?,
        ),
    };
    let tasks = match fields
        .get("execution")
        .and_then(|execution| execution.get("taskSupport"))
    {
        None | Some(Value::Null) => TaskSupport::Forbidden,
        Some(word) => word
            .as_str()
            .and_then(TaskSupport::from_word)
            .ok_or_else(|| wrong("execution.taskSupport", "forbidden, optional or required"))?,
    };
    let strict = match fields.get("strict") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(flag)) => Some(*flag),
        Some(_) => return Err(wrong("strict", "true or false")),
    };
    let hints = fields.get("annotations").filter(|hints| !hints.is_null());
    let hint = |key: &str| match hints.and_then(|hints| hints.get(key)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(wrong(&format!("annotations.{key}"), "true or false")),
    };
    let [read_only, destructive, idempotent, open_world] = [
        hint("readOnlyHint")?,
        hint("destructiveHint")?,
        hint("idempotentHint")?,
        hint("openWorldHint")?,
    ];
    const HINTS: [&str; 4] = [
        "readOnlyHint",
        "destructiveHint",
        "idempotentHint",
        "openWorldHint",
    ];
    let other_annotations = hints
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(key, _)| !HINTS.contains(&key.as_str()))
        .map(|(key, value)| (format!("annotations.{key}"), value.clone()));
    let reads = read_only.unwrap_or(false);
    Ok(Tool {
        name,
        title: text("title")?,
        description: text("description")?,
        version: text("version")?,
        risk_level,
        hitl: text("hitl")?,
        hitl_proof: text("hitl_proof")?,
        idempotency: text("idempotency")?,
        max_calls,
        migration: text("migration")?,
        input_schema: input_schema(described),
        output_schema: first(fields, &OUTPUT_KEYS).map(|(_, schema)| unwrapped(schema).clone()),
        annotations: Annotations {
            read_only: reads,
            destructive: !reads && destructive.unwrap_or(true),
            idempotent: reads || idempotent.unwrap_or(false),
            open_world: open_world.unwrap_or(true),
        },
        has_hint: [read_only, destructive, idempotent, open_world].map(|hint| hint.is_some()),
        strict,
        strict_needs_all: described.form == Form::Function,
        tasks,
        provided: (described.form == Form::Provided).then(|| Value::Object(fields.clone())),
        others: fields
            .iter()
            .filter(|(key, _)| !KNOWN.contains(&key.as_str()) && !INPUT_KEYS.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .chain(other_annotations)
            .collect(),
    })
}

/// The first of several keys that has a value.
fn first<'a>(fields: &'a Map<String, Value>, keys: &[&'static str]) -> Option<(&'static str, &'a Value)> {
    keys.iter()
        .find_map(|key| Some((*key, fields.get(*key).filter(|schema| !schema.is_null())?)))
}

/// The schema of the arguments, in the words of JSON Schema.
fn input_schema(described: &Described<'_>) -> Value {
    let takes_none = || json!({"type": "object", "properties": {}});
    match (first(described.fields, &INPUT_KEYS), described.form) {
        (None, Form::Function | Form::Declaration | Form::Provided) => takes_none(),
        (None, Form::Plain) => Value::Null,
        (Some((key, schema)), form) => {
            let schema = unwrapped(schema);
            let is_gemini = form == Form::Declaration && key == "parameters";
            let is_loud = key == "parameters" && schema.get("type") == Some(&Value::String("OBJECT".into()));
            if is_gemini || is_loud {
                in_plain_words(schema)
            } else {
                schema.clone()
            }
        }
    }
}

/// The schema in a wrapper: `json` of Bedrock and `jsonSchema` of the AI SDK.
fn unwrapped(schema: &Value) -> &Value {
    let fields = schema.as_object();
    let inner = fields.and_then(|fields| match fields.get("json") {
        Some(inner) => Some(inner).filter(|_| fields.len() == 1),
        None => fields.get("jsonSchema").filter(|_| !fields.contains_key("type")),
    });
    inner.unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle_of(name: &str, text: &str) -> Result<ToolBundle> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        ToolBundle::read(&path)
    }

    #[test]
    fn one_tool_in_yaml_and_lists_of_mcp_and_openai() {
        let yaml = "name: refund_api\nversion: 2.1.0\nrisk_level: write\nidempotency: required\nhitl: required\nschema:\n  type: object\n  required: [order_id, reason_code]\n";
        let tool = &bundle_of("v2.1.0.yaml", yaml).unwrap().tools[0];
        assert_eq!(
            (tool.name.as_str(), tool.risk_level, tool.hitl.as_deref()),
            ("refund_api", Some(RiskLevel::Write), Some("required"))
        );
        assert_eq!(tool.input_schema["required"][1], "reason_code");
        // Without hints, the worst values apply.
        assert_eq!(
            tool.annotations,
            Annotations {
                read_only: false,
                destructive: true,
                idempotent: false,
                open_world: true
            }
        );
        let mcp = r#"{"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "a", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}}]}}"#;
        let tool = &bundle_of("list.json", mcp).unwrap().tools[0];
        assert_eq!(
            tool.annotations,
            Annotations {
                read_only: true,
                destructive: false,
                idempotent: true,
                open_world: true
            }
        );
        let openai = r#"[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]"#;
        assert_eq!(
            bundle_of("f.json", openai).unwrap().tools[0].input_schema["type"],
            "object"
        );
    }

    #[test]
    fn hostile_bundles_are_refused() {
        for text in [
            "",
            "[1]",
            "{}",
            r#"{"tools": 1}"#,
            r#"[{"name": ""}]"#,
            r#"[{"name": "a"}, {"name": "a"}]"#,
            r#"[{"description": "a"}]"#,
            r#"{"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no tools"}}"#,
            r#"[{"name": "a", "execution": {"taskSupport": "sometimes"}}]"#,
        ] {
            assert!(bundle_of("t.json", text).is_err(), "{text}");
        }
        // Nine levels of nine aliases each would expand to 387 million strings.
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let below = level - 1;
            bomb += &format!(
                "a{level}: &a{level} [{}]\n",
                vec![format!("*a{below}"); 9].join(", ")
            );
        }
        assert!(bundle_of("bomb.yaml", &format!("{bomb}name: x\n")).is_err());
        assert!(bundle_of("deep.yaml", &format!("name: x\nschema: {}", "[".repeat(100_000))).is_err());
    }
}

//! The forms in which systems list tools: MCP, OpenAI, Anthropic, Bedrock, Gemini, and Sluice's own
//! bundles. Each form is a list of descriptions, wrapped in objects of its own.

use serde_json::{Map, Value};

use crate::base::error::{Error, Result};

/// What the form of a description says about its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A description that needs a schema: MCP, Anthropic, Bedrock and Sluice's own.
    Plain,
    /// A function of OpenAI. Without parameters, it takes none.
    Function,
    /// A function declaration of Gemini. Without parameters, it takes none.
    Declaration,
    /// A tool of the provider, such as a web search, without a schema. Compared as it is written.
    Provided,
}

/// One tool of a list, without its wrapper.
#[derive(Debug)]
pub(super) struct Described<'a> {
    pub(super) location: String,
    pub(super) form: Form,
    /// The object with the name, the description and the schema.
    pub(super) fields: &'a Map<String, Value>,
    /// The name of a tool that is named by its type; `None` for a name in `fields`.
    pub(super) name: Option<&'a str>,
}

/// The tools of a document, and the object that names the bundle.
#[derive(Debug, Default)]
pub(super) struct Listed<'a> {
    pub(super) tools: Vec<Described<'a>>,
    pub(super) bundle: Option<&'a Map<String, Value>>,
    /// The number of pages of `tools/list` that say that another page follows.
    pub(super) n_followed: usize,
    /// The number of pages, or lists, that say nothing of the kind.
    pub(super) n_last: usize,
}

/// The keys under which a description has its input schema.
pub(super) const INPUT_KEYS: [&str; 9] = [
    "inputSchema",
    "input_schema",
    "schema",
    "parameters",
    "parametersJsonSchema",
    "parameters_json_schema",
    "args_schema",
    "argsSchema",
    "inputs",
];
/// The keys of lists of function declarations.
const DECLARATIONS: [&str; 2] = ["functionDeclarations", "function_declarations"];

/// Finds the tools of a document.
///
/// # Errors
/// No list and no tool, an error of the server in place of a list, or an entry that is no tool.
pub(super) fn listed<'a>(location: &str, value: &'a Value) -> Result<Listed<'a>> {
    let mut listed = Listed::default();
    take(location, value, &mut listed)?;
    Ok(listed)
}

fn take<'a>(location: &str, value: &'a Value, listed: &mut Listed<'a>) -> Result<()> {
    let fields = match value {
        // Pages of one list, each an answer of its own.
        Value::Array(pages) if !pages.is_empty() && pages.iter().all(is_page) => {
            for (idx, page) in pages.iter().enumerate() {
                take(&format!("{location}: page {idx}"), page, listed)?;
            }
            return Ok(());
        }
        Value::Array(tools) => {
            listed.n_last += 1;
            return all(&format!("{location}: tools"), tools, Form::Plain, listed);
        }
        Value::Object(fields) => fields,
        _ => {
            return Err(Error::input(
                location.to_owned(),
                "expected a tool bundle (an object or a list), found something else",
            ));
        }
    };
    for key in ["result", "toolConfig", "tool_config"] {
        if let Some(inner) = fields.get(key).filter(|inner| inner.is_object()) {
            return take(location, inner, listed);
        }
    }
    if let Some(error) = fields.get("error").filter(|_| fields.contains_key("jsonrpc")) {
        let message = error
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or("no message");
        return Err(Error::input(
            location.to_owned(),
            format!("expected the result of tools/list, found an error of the server: {message}"),
        ));
    }
    match fields.get("nextCursor") {
        None | Some(Value::Null) => listed.n_last += 1,
        Some(Value::String(text)) if text.is_empty() => listed.n_last += 1,
        Some(_) => listed.n_followed += 1,
    }
    let lists = ["tools", "functions"].into_iter().chain(DECLARATIONS);
    let lists: Vec<(&str, &Value)> = lists.filter_map(|key| Some((key, fields.get(key)?))).collect();
    let is_tool = ["name", "function", "toolSpec", "tool_spec"]
        .iter()
        .any(|key| fields.contains_key(*key));
    match lists.as_slice() {
        [] if is_tool => one(location, value, Form::Plain, listed),
        [] => Err(Error::input(
            location.to_owned(),
            "expected `tools`, `functionDeclarations` or a tool with a `name`, found none of them",
        )),
        lists => {
            for (key, list) in lists {
                let Value::Array(tools) = list else {
                    return Err(Error::input(
                        format!("{location}: {key}"),
                        "expected a list of tools, found something else",
                    ));
                };
                let form = match *key {
                    "tools" => Form::Plain,
                    "functions" => Form::Function,
                    _ => Form::Declaration,
                };
                all(&format!("{location}: {key}"), tools, form, listed)?;
            }
            listed.bundle = Some(fields);
            Ok(())
        }
    }
}

/// Whether a value is an answer with a list of tools, not a tool.
fn is_page(value: &Value) -> bool {
    let list = value.get("result").unwrap_or(value).get("tools");
    list.is_some_and(Value::is_array) && value.get("name").is_none()
}

fn all<'a>(location: &str, tools: &'a [Value], form: Form, listed: &mut Listed<'a>) -> Result<()> {
    for (idx, tool) in tools.iter().enumerate() {
        one(&format!("{location}[{idx}]"), tool, form, listed)?;
    }
    Ok(())
}

/// Takes one entry of a list, which may hold several tools.
fn one<'a>(location: &str, value: &'a Value, form: Form, listed: &mut Listed<'a>) -> Result<()> {
    let Value::Object(fields) = value else {
        return Err(Error::input(
            location.to_owned(),
            "expected a tool (an object), found something else",
        ));
    };
    let mut add = |form: Form, fields: &'a Map<String, Value>, name: Option<&'a str>| {
        listed.tools.push(Described {
            location: location.to_owned(),
            form,
            fields,
            name,
        });
    };
    for (key, form) in [
        ("function", Form::Function),
        ("toolSpec", Form::Plain),
        ("tool_spec", Form::Plain),
        ("custom", Form::Provided),
        ("systemTool", Form::Provided),
    ] {
        if let Some(Value::Object(inner)) = fields.get(key) {
            add(form, inner, None);
            return Ok(());
        }
    }
    // A mark in Bedrock's list, not a tool.
    if fields.len() == 1 && (fields.contains_key("cachePoint") || fields.contains_key("cache_point")) {
        return Ok(());
    }
    let kind = fields.get("type").and_then(Value::as_str);
    if fields.contains_key("name") {
        let has_schema = INPUT_KEYS.iter().any(|key| fields.contains_key(*key));
        let form = match kind {
            Some("function") => Form::Function,
            // Such as `web_search_20250305` of Anthropic.
            Some(kind) if !has_schema && !["custom", "tool"].contains(&kind) => Form::Provided,
            Some("custom") if !has_schema && fields.contains_key("format") => Form::Provided,
            _ => form,
        };
        add(form, fields, None);
        return Ok(());
    }
    if let Some(kind) = kind {
        add(Form::Provided, fields, Some(kind));
        return Ok(());
    }
    let mut is_found = false;
    for (key, inner) in fields {
        match inner {
            Value::Array(tools) if DECLARATIONS.contains(&key.as_str()) => {
                all(&format!("{location}.{key}"), tools, Form::Declaration, listed)?;
                is_found = true;
            }
            // Such as `{"googleSearch": {}}` of Gemini.
            Value::Object(inner) if !inner.contains_key("name") => {
                listed.tools.push(Described {
                    location: location.to_owned(),
                    form: Form::Provided,
                    fields: inner,
                    name: Some(key),
                });
                is_found = true;
            }
            _ => {}
        }
    }
    if is_found {
        return Ok(());
    }
    Err(Error::input(
        format!("{location}.name"),
        "expected a name, found something else",
    ))
}

/// The schema in JSON Schema's words: Gemini writes types in capitals and counts as texts.
pub(super) fn in_plain_words(schema: &Value) -> Value {
    const TYPES: [&str; 7] = [
        "ARRAY", "BOOLEAN", "INTEGER", "NULL", "NUMBER", "OBJECT", "STRING",
    ];
    const COUNTS: [&str; 6] = [
        "maxItems",
        "maxLength",
        "maxProperties",
        "minItems",
        "minLength",
        "minProperties",
    ];
    const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];
    match schema {
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, value)| !(*key == "type" && *value == "TYPE_UNSPECIFIED"))
            .map(|(key, value)| {
                let value = match value {
                    Value::String(name) if key == "type" && TYPES.contains(&name.as_str()) => {
                        name.to_ascii_lowercase().into()
                    }
                    Value::String(text) if COUNTS.contains(&key.as_str()) => {
                        text.parse::<u64>().map_or_else(|_| value.clone(), Value::from)
                    }
                    value if DATA.contains(&key.as_str()) => value.clone(),
                    value => in_plain_words(value),
                };
                (key.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(in_plain_words).collect(),
        other => other.clone(),
    }
}

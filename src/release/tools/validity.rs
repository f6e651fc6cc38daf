//! Schemas that are invalid by themselves. Clients refuse a tool with such a schema, and some refuse
//! the whole list of tools.

use serde_json::{Map, Value};

/// The most listed problems of a schema.
const MAX_PROBLEMS: usize = 20;
/// The types of JSON Schema.
const TYPES: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// The form that a keyword needs.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    Flag,
    Number,
    Step,
    Count,
    /// A number, or a flag as in drafts before 6.
    NumberOrFlag,
    List,
    Names,
    Types,
    Schema,
    Schemas,
    /// A schema, or a list of schemas as in drafts before 2020-12.
    SchemaOrSchemas,
    ByName,
    /// For each name a list of names.
    NamesByName,
    /// For each name a schema or a list of names.
    EitherByName,
}

const SHAPES: [(&str, Shape); 54] = [
    ("$anchor", Shape::Text),
    ("$comment", Shape::Text),
    ("$defs", Shape::ByName),
    ("$dynamicAnchor", Shape::Text),
    ("$dynamicRef", Shape::Text),
    ("$id", Shape::Text),
    ("$ref", Shape::Text),
    ("$schema", Shape::Text),
    ("additionalItems", Shape::Schema),
    ("additionalProperties", Shape::Schema),
    ("allOf", Shape::Schemas),
    ("anyOf", Shape::Schemas),
    ("contains", Shape::Schema),
    ("contentEncoding", Shape::Text),
    ("contentMediaType", Shape::Text),
    ("definitions", Shape::ByName),
    ("dependencies", Shape::EitherByName),
    ("dependentRequired", Shape::NamesByName),
    ("dependentSchemas", Shape::ByName),
    ("deprecated", Shape::Flag),
    ("description", Shape::Text),
    ("else", Shape::Schema),
    ("enum", Shape::List),
    ("examples", Shape::List),
    ("exclusiveMaximum", Shape::NumberOrFlag),
    ("exclusiveMinimum", Shape::NumberOrFlag),
    ("format", Shape::Text),
    ("if", Shape::Schema),
    ("items", Shape::SchemaOrSchemas),
    ("maxContains", Shape::Count),
    ("maxItems", Shape::Count),
    ("maxLength", Shape::Count),
    ("maxProperties", Shape::Count),
    ("maximum", Shape::Number),
    ("minContains", Shape::Count),
    ("minItems", Shape::Count),
    ("minLength", Shape::Count),
    ("minProperties", Shape::Count),
    ("minimum", Shape::Number),
    ("multipleOf", Shape::Step),
    ("not", Shape::Schema),
    ("oneOf", Shape::Schemas),
    ("pattern", Shape::Text),
    ("patternProperties", Shape::ByName),
    ("prefixItems", Shape::Schemas),
    ("properties", Shape::ByName),
    ("propertyNames", Shape::Schema),
    ("required", Shape::Names),
    ("then", Shape::Schema),
    ("title", Shape::Text),
    ("type", Shape::Types),
    ("unevaluatedItems", Shape::Schema),
    ("unevaluatedProperties", Shape::Schema),
    ("uniqueItems", Shape::Flag),
];

/// A part of a schema that is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The location: a JSON pointer into the described values.
    pub(super) path: String,
    /// What was expected and what was found.
    pub(super) detail: String,
}

/// The problems of the schema of a tool, at most 20. The root must be the schema of an object.
pub(super) fn problems_of_tool(schema: &Value) -> Vec<Problem> {
    let root = match schema {
        Value::Null => Some("expected a schema with `type` \"object\", found none".to_owned()),
        Value::Object(fields) if fields.get("type") == Some(&Value::String("object".into())) => None,
        Value::Object(fields) => Some(match fields.get("type") {
            None => "expected `type` \"object\" at the root, found no `type`".to_owned(),
            Some(other) => format!("expected `type` \"object\" at the root, found {}", brief(other)),
        }),
        other => Some(format!(
            "expected a schema with `type` \"object\", found {}",
            kind(other)
        )),
    };
    let root = root.map(|detail| Problem {
        path: "/".to_owned(),
        detail,
    });
    let mut found: Vec<Problem> = root.into_iter().collect();
    if schema.is_object() {
        found.extend(problems(schema));
    }
    found.dedup_by(|a, b| a.path == b.path && a.detail.contains("`type`") && b.detail.contains("`type`"));
    found.truncate(MAX_PROBLEMS);
    found
}

/// The keywords with a value of the wrong type, in the order of the schema.
fn problems(schema: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut todo: Vec<(&Value, String)> = vec![(schema, String::new())];
    while let Some((schema, path)) = todo.pop() {
        if found.len() >= MAX_PROBLEMS {
            break;
        }
        let mut note = |detail: String| {
            found.push(Problem {
                path: if path.is_empty() {
                    "/".to_owned()
                } else {
                    path.clone()
                },
                detail,
            })
        };
        let fields = match schema {
            Value::Object(fields) => fields,
            Value::Bool(_) => continue,
            other => {
                note(format!("expected a schema (an object), found {}", kind(other)));
                continue;
            }
        };
        let n_before = todo.len();
        for (key, shape) in SHAPES {
            let Some(value) = fields.get(key) else { continue };
            if let Some(expected) = wrong(shape, value) {
                note(format!("`{key}`: expected {expected}, found {}", brief(value)));
            } else {
                inner(key, shape, value, &path, &mut todo);
            }
        }
        todo[n_before..].reverse();
    }
    found
}

/// What a keyword needs if its value has another form.
fn wrong(shape: Shape, value: &Value) -> Option<&'static str> {
    let is_count = |value: &Value| value.as_f64().is_some_and(|n| n >= 0.0 && n.fract() == 0.0);
    let is_name = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let is_names = |value: &Value| {
        value
            .as_array()
            .is_some_and(|names| names.iter().all(Value::is_string))
    };
    let is_schemas = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
    let each = |value: &Value, test: &dyn Fn(&Value) -> bool| {
        value
            .as_object()
            .is_some_and(|entries: &Map<_, _>| entries.values().all(test))
    };
    let (is_right, expected) = match shape {
        Shape::Text => (value.is_string(), "a text"),
        Shape::Flag => (value.is_boolean(), "true or false"),
        Shape::Number => (value.is_number(), "a number"),
        Shape::Step => (value.as_f64().is_some_and(|n| n > 0.0), "a number above 0"),
        Shape::Count => (is_count(value), "a whole number of at least 0"),
        Shape::NumberOrFlag => (value.is_number() || value.is_boolean(), "a number"),
        Shape::List => (value.is_array(), "a list"),
        Shape::Names => (is_names(value), "a list of names"),
        Shape::Types => (
            is_name(value)
                || value
                    .as_array()
                    .is_some_and(|all| !all.is_empty() && all.iter().all(is_name)),
            "array, boolean, integer, null, number, object or string, or a list of them",
        ),
        // What is in it is tested as a schema of its own.
        Shape::Schema => (!value.is_array(), "a schema (an object)"),
        Shape::Schemas => (is_schemas(value), "a list of schemas"),
        Shape::SchemaOrSchemas => (true, ""),
        Shape::ByName => (value.is_object(), "an object with a schema for each name"),
        Shape::NamesByName => (
            each(value, &is_names),
            "an object with a list of names for each name",
        ),
        Shape::EitherByName => (
            each(value, &|one| is_names(one) || one.is_object() || one.is_boolean()),
            "an object with a schema or a list of names for each name",
        ),
    };
    (!is_right).then_some(expected)
}

/// Adds the schemas under a keyword.
fn inner<'a>(key: &str, shape: Shape, value: &'a Value, path: &str, todo: &mut Vec<(&'a Value, String)>) {
    let step = |name: &str| format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
    let in_place = ["not", "if", "then", "else", "propertyNames"];
    match (shape, value) {
        (Shape::Schemas | Shape::SchemaOrSchemas, Value::Array(list)) => {
            let is_item = matches!(key, "prefixItems" | "items");
            todo.extend(list.iter().enumerate().map(|(idx, one)| match (is_item, key) {
                (true, _) => (one, step(&format!("[{idx}]"))),
                (false, "allOf") => (one, path.to_owned()),
                _ => (one, step(&format!("{{branch {idx}}}"))),
            }));
        }
        (Shape::Schema | Shape::SchemaOrSchemas, one) => todo.push((
            one,
            match key {
                "items" | "additionalItems" | "unevaluatedItems" => step("[]"),
                "contains" => step("[some]"),
                key if in_place.contains(&key) => path.to_owned(),
                _ => step("{other}"),
            },
        )),
        (Shape::ByName, Value::Object(entries)) => {
            todo.extend(entries.iter().map(|(name, one)| match key {
                "properties" => (one, step(name)),
                "dependentSchemas" => (one, step(&format!("{{with {name}}}"))),
                "patternProperties" => (one, step(&format!("{{{name}}}"))),
                _ => (one, step(&format!("{{{key} {name}}}"))),
            }));
        }
        (Shape::EitherByName, Value::Object(entries)) => {
            let schemas = entries.iter().filter(|(_, one)| !one.is_array());
            todo.extend(schemas.map(|(name, one)| (one, step(&format!("{{with {name}}}")))));
        }
        _ => {}
    }
}

/// Whether the schema says something about the arguments. `{}`, null and texts do not.
pub(super) fn describes(schema: &Value) -> bool {
    const SAID: [&str; 8] = [
        "properties",
        "required",
        "additionalProperties",
        "$ref",
        "allOf",
        "anyOf",
        "oneOf",
        "if",
    ];
    schema
        .as_object()
        .is_some_and(|fields| fields.keys().any(|key| SAID.contains(&key.as_str())))
}

/// The problems of an input schema under `strict`, with which OpenAI refuses the whole request.
/// `needs_all` says that every property must be required, as OpenAI demands.
pub(super) fn problems_of_strict(schema: &Value, needs_all: bool) -> Vec<Problem> {
    const UNSUPPORTED: [&str; 8] = [
        "allOf",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "not",
        "oneOf",
        "then",
    ];
    let mut found = Vec::new();
    let mut todo: Vec<(&Value, String)> = vec![(schema, String::new())];
    while let Some((schema, path)) = todo.pop() {
        let Value::Object(fields) = schema else { continue };
        let place = || {
            if path.is_empty() {
                "/".to_owned()
            } else {
                path.clone()
            }
        };
        let mut note = |detail: String| {
            found.push(Problem {
                path: place(),
                detail,
            })
        };
        let is_object = fields.get("type") == Some(&"object".into()) || fields.contains_key("properties");
        if is_object && fields.get("additionalProperties") != Some(&Value::Bool(false)) {
            note("`strict` needs `additionalProperties` false".to_owned());
        }
        let required = fields.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|own| own == name));
        let properties = fields.get("properties").and_then(Value::as_object);
        let optional = properties
            .into_iter()
            .flatten()
            .filter(|(name, _)| !is_required(name));
        if needs_all {
            for (name, _) in optional {
                note(format!(
                    "`strict` needs every property in `required`, `{name}` is missing there"
                ));
            }
            for key in UNSUPPORTED.iter().filter(|key| fields.contains_key(**key)) {
                note(format!("`strict` does not allow `{key}`"));
            }
        }
        for (key, shape) in SHAPES {
            if let Some(value) = fields.get(key) {
                inner(key, shape, value, &path, &mut todo);
            }
        }
        if found.len() >= MAX_PROBLEMS {
            break;
        }
    }
    found.truncate(MAX_PROBLEMS);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The kind of a value, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(true) => "`true`",
        Value::Bool(false) => "`false`",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The kind of a value with the value itself if it is short.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match value {
        Value::Number(_) | Value::String(_) if text.len() <= 40 => format!("{} {text}", kind(value)),
        _ => kind(value).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn invalid_schemas_have_their_place() {
        let property = |schema: Value| json!({"type": "object", "properties": {"x": schema}});
        for (schema, path, part) in [
            (Value::Null, "/", "found none"),
            (json!({}), "/", "found no `type`"),
            (json!(true), "/", "found `true`"),
            (json!("object"), "/", "found a text"),
            (json!([1]), "/", "found a list"),
            (json!({"type": "string"}), "/", "found a text \"string\""),
            (json!({"type": ["object"]}), "/", "found a list"),
            (json!({"anyOf": [{"type": "object"}]}), "/", "found no `type`"),
            (
                json!({"type": "object", "properties": []}),
                "/",
                "`properties`: expected an object",
            ),
            (
                json!({"type": "object", "required": true}),
                "/",
                "`required`: expected a list of names",
            ),
            (json!({"type": "object", "required": "x"}), "/", "`required`"),
            (json!({"type": "object", "required": [1]}), "/", "`required`"),
            (
                property(json!({"enum": "a"})),
                "/x",
                "`enum`: expected a list, found a text \"a\"",
            ),
            (property(json!({"type": "float"})), "/x", "found a text \"float\""),
            (
                property(json!({"type": {"type": "string"}})),
                "/x",
                "found an object",
            ),
            (property(json!({"type": []})), "/x", "`type`"),
            (
                property(json!({"type": "string", "required": true})),
                "/x",
                "`required`",
            ),
            (
                property(json!("string")),
                "/x",
                "expected a schema (an object), found a text",
            ),
            (property(json!({"minLength": -1})), "/x", "at least 0"),
            (property(json!({"minLength": 1.5})), "/x", "at least 0"),
            (
                property(json!({"maximum": "9"})),
                "/x",
                "`maximum`: expected a number",
            ),
            (property(json!({"multipleOf": 0})), "/x", "above 0"),
            (property(json!({"uniqueItems": "yes"})), "/x", "true or false"),
            (property(json!({"pattern": 1})), "/x", "`pattern`"),
            (property(json!({"anyOf": []})), "/x", "a list of schemas"),
            (
                property(json!({"oneOf": {"type": "string"}})),
                "/x",
                "a list of schemas",
            ),
            (
                property(json!({"anyOf": [{"type": "text"}]})),
                "/x/{branch 0}",
                "\"text\"",
            ),
            (property(json!({"items": {"enum": 1}})), "/x/[]", "`enum`"),
            (property(json!({"items": "string"})), "/x/[]", "a schema"),
            (property(json!({"description": 5})), "/x", "`description`"),
            (property(json!({"not": {"const": 1, "type": 1}})), "/x", "`type`"),
            (
                json!({"type": "object", "$defs": {"a": {"type": 1}}}),
                "/{$defs a}",
                "`type`",
            ),
            (
                json!({"type": "object", "dependentRequired": {"a": "b"}}),
                "/",
                "`dependentRequired`",
            ),
            (
                json!({"type": "object", "additionalProperties": "no"}),
                "/{other}",
                "a schema",
            ),
        ] {
            let found = problems_of_tool(&schema);
            let [one] = found.as_slice() else {
                panic!("{schema}: {found:?}")
            };
            assert_eq!(one.path, path, "{schema}");
            assert!(one.detail.contains(part), "{schema}: {}", one.detail);
        }
        for schema in [
            json!({"type": "object"}),
            property(json!(true)),
            property(json!({"type": "integer", "minLength": 1.0, "exclusiveMinimum": true, "items": [true]})),
            property(json!({"enum": [], "default": {"type": 1}, "const": {"enum": 1}, "x-ui": 1})),
            json!({"type": "object", "properties": {"type": {"type": "string"}, "enum": {"enum": ["a"]}}}),
        ] {
            assert_eq!(problems_of_tool(&schema), [], "{schema}");
        }
    }
}

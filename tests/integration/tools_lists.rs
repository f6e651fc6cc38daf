//! Tests of lists of tools: real servers, the forms of providers, schemas that are invalid, and calls.

use serde_json::{Value, json};
use sluice::release::tools::{
    BundleDiff, Level, NOT_COMPARED, Side, ToolBundle, diff_bundles, diff_schemas, replay_arguments,
};
use std::fs;

use crate::support::root;

/// Writes a tool with this schema in the form of a provider.
type Form = fn(Value) -> Value;

/// The comparison of two documents, or the text of the error.
fn diff(old: &Value, new: &Value) -> Result<BundleDiff, String> {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, value: &Value| {
        let path = folder.path().join(name);
        fs::write(&path, value.to_string()).unwrap();
        ToolBundle::read(&path).map_err(|error| error.to_string())
    };
    Ok(diff_bundles(
        &read("old.json", old)?,
        &read("new.json", new)?,
        false,
    ))
}

/// The rules that a comparison reports, as `level rule`, without those of versions.
fn rules(diff: &BundleDiff) -> Vec<String> {
    let versions = ["major-version-missing", "migration-missing", "version-not-bumped"];
    diff.changes
        .iter()
        .filter(|change| !versions.contains(&change.rule))
        .map(|change| format!("{} {}", change.level.name(), change.rule))
        .collect()
}

/// Expects the rules of a comparison, in any order and once each. Infos and texts are left out.
#[track_caller]
fn check(name: &str, old: &Value, new: &Value, expected: &[&str]) {
    let found = diff(old, new).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut rules = rules(&found);
    rules.retain(|rule| !rule.starts_with("info ") && rule != "warning description-changed");
    rules.sort();
    rules.dedup();
    assert_eq!(rules, expected, "{name}: {:?}", found.changes);
}

fn object(property: &str) -> Value {
    json!({"type": "object", "properties": {property: {"type": "string"}}, "required": [property]})
}

/// A list of MCP with one tool, with this schema and these other fields.
fn mcp(schema: Option<Value>, other: Value) -> Value {
    let mut tool = json!({"name": "t", "description": "d"});
    if let Some(schema) = schema {
        tool["inputSchema"] = schema;
    }
    for (key, value) in other.as_object().unwrap() {
        tool[key.as_str()] = value.clone();
    }
    json!({"tools": [tool]})
}

#[test]
fn real_servers_are_judged() {
    let read = |name: &str| {
        let path = root().join(format!("tests/data/tools/{name}.json"));
        ToolBundle::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for (old, new, expected) in [
        (
            "everything@2025.1.14",
            "everything@2025.9.12",
            &["warning write-tool-added"][..],
        ),
        (
            "everything@2025.9.12",
            "everything@2026.8.31",
            &[
                "error tool-removed",
                "warning became-closed-world",
                "warning became-read-only",
                "warning write-tool-added",
            ],
        ),
        (
            "filesystem@2025.7.29",
            "filesystem@2026.8.31",
            &[
                "warning became-closed-world",
                "warning became-idempotent",
                "warning became-not-destructive",
                "warning became-read-only",
            ],
        ),
        (
            "memory@0.6.2",
            "memory@2025.9.25",
            &["warning additional-properties-closed"],
        ),
        (
            "memory@2025.9.25",
            "memory@2026.8.31",
            &[
                "warning became-closed-world",
                "warning became-idempotent",
                "warning became-not-destructive",
                "warning became-read-only",
            ],
        ),
        (
            "sequential-thinking@0.6.2",
            "sequential-thinking@2026.8.31",
            &[
                "warning became-closed-world",
                "warning became-read-only",
                "warning limit-set",
            ],
        ),
        (
            "playwright@0.0.20",
            "playwright@0.0.83",
            &[
                "error tool-removed",
                "warning became-read-only",
                "warning write-tool-added",
            ],
        ),
        ("context7@1.0.0", "context7@4.1.1", &["error tool-removed"]),
    ] {
        let found = diff_bundles(&read(old), &read(new), false);
        let mut rules = rules(&found);
        rules.retain(|rule| !rule.starts_with("info ") && rule != "warning description-changed");
        rules.sort();
        rules.dedup();
        assert_eq!(rules, expected, "{old} to {new}");
        let same = diff_bundles(&read(new), &read(new), false);
        assert!(
            same.changes.iter().all(|change| change.level < Level::Error),
            "{new}: {:?}",
            same.changes
        );
    }
}

/// Random pairs of schemas with a value that the old one accepts and the new one refuses.
#[test]
fn what_a_validator_refuses_is_found() {
    let path = root().join("tests/data/tools/witnesses.json");
    let pairs: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(pairs.len() >= 300, "{}", pairs.len());
    for pair in &pairs {
        // The same pair breaks readers when it is read from new to old.
        for (side, old, new) in [(Side::Input, "old", "new"), (Side::Output, "new", "old")] {
            let changes = diff_schemas(&pair[old], &pair[new], side);
            let found = changes.iter().any(|change| {
                change.level == Level::Error
                    || NOT_COMPARED.contains(&change.rule)
                    || (change.level == Level::Warning && change.rule != "description-changed")
            });
            assert!(found, "{side:?}: {pair}: {changes:?}");
        }
    }
}

#[test]
fn forms_of_providers_are_read() {
    let forms: [(&str, Form); 11] = [
        (
            "mcp",
            |schema| json!({"tools": [{"name": "t", "inputSchema": schema}]}),
        ),
        (
            "json-rpc",
            |schema| json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "t", "inputSchema": schema}]}}),
        ),
        (
            "anthropic",
            |schema| json!([{"name": "t", "input_schema": schema}]),
        ),
        (
            "openai chat",
            |schema| json!([{"type": "function", "function": {"name": "t", "parameters": schema}}]),
        ),
        (
            "openai responses",
            |schema| json!({"tools": [{"type": "function", "name": "t", "parameters": schema}]}),
        ),
        (
            "openai functions",
            |schema| json!({"functions": [{"name": "t", "parameters": schema}]}),
        ),
        (
            "bedrock",
            |schema| json!({"toolConfig": {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": schema}}}, {"cachePoint": {"type": "default"}}]}}),
        ),
        (
            "bedrock tools",
            |schema| json!({"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": schema}}}]}),
        ),
        (
            "gemini",
            |schema| json!({"tools": [{"functionDeclarations": [{"name": "t", "parameters": schema}]}]}),
        ),
        (
            "gemini json schema",
            |schema| json!([{"function_declarations": [{"name": "t", "parametersJsonSchema": schema}]}]),
        ),
        (
            "langchain",
            |schema| json!([{"name": "t", "args_schema": schema}]),
        ),
    ];
    for (name, form) in forms {
        check(name, &form(object("x")), &form(object("x")), &[]);
        check(
            name,
            &form(object("x")),
            &form(object("y")),
            &["error required-property-added", "warning property-removed"],
        );
        for (other_name, other) in forms {
            check(
                &format!("{name} to {other_name}"),
                &form(object("x")),
                &other(object("x")),
                &[],
            );
        }
    }
    // Types in capitals, and counts as texts.
    let loud = json!({"functionDeclarations": [{"name": "t", "parameters": {"type": "OBJECT", "required": ["x"],
        "properties": {"x": {"type": "STRING", "minLength": "1", "nullable": true}}, "propertyOrdering": ["x"]}}]});
    let plain = json!({"type": "object", "required": ["x"], "properties": {"x": {"type": ["string", "null"], "minLength": 1}}});
    check("capitals", &loud, &forms[0].1(plain), &[]);
    // Functions of providers may have no parameters.
    let none = json!([{"type": "function", "function": {"name": "t"}}]);
    check(
        "no parameters",
        &none,
        &forms[3].1(json!({"type": "object", "properties": {}})),
        &[],
    );
    check(
        "a parameter",
        &none,
        &forms[3].1(object("x")),
        &["error required-property-added"],
    );
    // Tools of the provider have no schema.
    let search = |max: u32| json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": max}, {"googleSearch": {}}]);
    check("provided", &search(1), &search(1), &[]);
    check(
        "provided, changed",
        &search(1),
        &search(2),
        &["warning tool-not-understood"],
    );
    check(
        "provided, gone",
        &search(1),
        &json!([{"googleSearch": {}}]),
        &["error tool-removed"],
    );
}

#[test]
fn invalid_schemas_are_unusable() {
    let valid = || Some(object("x"));
    let property = |schema: Value| Some(json!({"type": "object", "properties": {"x": schema}}));
    for broken in [
        None,
        Some(Value::Null),
        Some(json!({})),
        Some(json!(3)),
        Some(json!({"type": "string"})),
        Some(json!({"anyOf": [object("x"), object("y")]})),
        property(json!({"enum": "a"})),
        property(json!({"type": {"type": "string"}})),
        property(json!({"type": "float"})),
        property(json!({"type": "string", "required": true})),
        Some(json!({"type": "object", "properties": ["x"]})),
        Some(json!({"type": "object", "required": true})),
    ] {
        let (old, new) = (mcp(valid(), json!({})), mcp(broken.clone(), json!({})));
        check(&format!("{broken:?}"), &old, &new, &["error schema-invalid"]);
        let found = diff(&new, &old).unwrap();
        let worst = found.changes.iter().map(|change| change.level).max();
        assert!(
            worst < Some(Level::Error),
            "{broken:?} repaired: {:?}",
            found.changes
        );
        check(
            &format!("{broken:?} in both"),
            &new,
            &new,
            &["warning schema-invalid"],
        );
    }
    let found = diff(
        &mcp(valid(), json!({})),
        &mcp(property(json!({"enum": "a"})), json!({})),
    )
    .unwrap();
    let change = found
        .changes
        .iter()
        .find(|change| change.rule == "schema-invalid")
        .unwrap();
    assert_eq!((change.path.as_str(), change.side), ("/x", Some(Side::Input)));
    let added =
        json!({"tools": [{"name": "t", "description": "d", "inputSchema": object("x")}, {"name": "u"}]});
    check(
        "an invalid tool is added",
        &mcp(valid(), json!({})),
        &added,
        &["error schema-invalid", "warning write-tool-added"],
    );
}

#[test]
fn fields_beside_the_schema_are_judged() {
    let tool = |other: Value| mcp(Some(object("x")), other);
    let closed = json!({"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"], "additionalProperties": false});
    let strict = |schema: &Value, flag: Value| json!([{"type": "function", "function": {"name": "t", "strict": flag, "parameters": schema}}]);
    let optional =
        json!({"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": false});
    let tasks = |word: &str| tool(json!({"execution": {"taskSupport": word}}));
    let hints = |hints: Value| tool(json!({"annotations": hints}));
    let output = |schema: Value| tool(json!({"outputSchema": schema}));
    let free = json!({"type": "object", "properties": {"x": {"type": "string"}}});
    for (name, old, new, expected) in [
        (
            "strict added",
            strict(&closed, json!(null)),
            strict(&closed, json!(true)),
            &[][..],
        ),
        (
            "strict removed",
            strict(&closed, json!(true)),
            strict(&closed, json!(false)),
            &["warning strict-removed"],
        ),
        (
            "strict, open",
            strict(&object("x"), json!(false)),
            strict(&object("x"), json!(true)),
            &["error strict-schema-invalid"],
        ),
        (
            "strict, optional",
            strict(&closed, json!(true)),
            strict(&optional, json!(true)),
            &["error strict-schema-invalid"],
        ),
        (
            "tasks needed",
            tasks("optional"),
            tasks("required"),
            &["error task-support-narrowed"],
        ),
        (
            "tasks needed at once",
            tool(json!({})),
            tasks("required"),
            &["error task-support-narrowed"],
        ),
        (
            "tasks forbidden",
            tasks("required"),
            tasks("forbidden"),
            &["error task-support-narrowed"],
        ),
        ("tasks allowed", tool(json!({})), tasks("optional"), &[]),
        ("tasks unsaid", tool(json!({})), tasks("forbidden"), &[]),
        (
            "open world",
            hints(json!({"readOnlyHint": true, "openWorldHint": false})),
            hints(json!({"readOnlyHint": true})),
            &["warning became-open-world"],
        ),
        (
            "destructive",
            hints(json!({"destructiveHint": false})),
            hints(json!({"destructiveHint": true})),
            &["error became-destructive"],
        ),
        (
            "claims to read",
            hints(json!({"readOnlyHint": false})),
            hints(json!({"readOnlyHint": true})),
            &["warning became-read-only"],
        ),
        (
            "claims to repeat",
            hints(json!({"idempotentHint": false})),
            hints(json!({"idempotentHint": true})),
            &["warning became-idempotent"],
        ),
        (
            "title and icons",
            tool(json!({"title": "A"})),
            tool(json!({"title": "B", "icons": [], "annotations": {"title": "C"}})),
            &[],
        ),
        ("output added", tool(json!({})), output(object("r")), &[]),
        (
            "output removed",
            output(object("r")),
            tool(json!({})),
            &["error output-schema-removed"],
        ),
        (
            "output null",
            output(object("r")),
            output(json!(null)),
            &["error output-schema-removed"],
        ),
        (
            "output optional",
            output(object("x")),
            output(free.clone()),
            &["error became-optional"],
        ),
        ("output required", output(free), output(object("x")), &[]),
        (
            "output invalid",
            output(object("r")),
            output(json!({"type": "string"})),
            &["error schema-invalid"],
        ),
    ] {
        check(name, &old, &new, expected);
    }
}

#[test]
fn pages_are_not_whole_lists() {
    let page = |names: &[&str], cursor: Option<&str>| {
        let tools: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "inputSchema": object("x")}))
            .collect();
        match cursor {
            Some(cursor) => json!({"tools": tools, "nextCursor": cursor}),
            None => json!({"tools": tools}),
        }
    };
    let whole = page(&["a", "b"], None);
    check(
        "a page",
        &whole,
        &page(&["a"], Some("2")),
        &["warning partial-list"],
    );
    check(
        "a page before",
        &page(&["a"], Some("2")),
        &whole,
        &["warning partial-list", "warning write-tool-added"],
    );
    check(
        "the same page",
        &page(&["a"], Some("2")),
        &page(&["a"], Some("2")),
        &[],
    );
    check("a last page", &whole, &page(&["a", "b"], Some("")), &[]);
    let pages = json!([{"result": page(&["a"], Some("2"))}, {"result": page(&["b"], None)}]);
    check("all pages", &whole, &pages, &[]);
    let found = diff(&whole, &page(&["a"], Some("2"))).unwrap();
    assert!(
        found.changes[0]
            .detail
            .contains("1 tools are removed is not known: b"),
        "{:?}",
        found.changes
    );
}

/// Each line of a log, and its result: refused anew, refused before, or not readable.
#[test]
fn calls_without_arguments_pass_an_empty_object() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let none = mcp(Some(json!({"type": "object", "properties": {}})), json!({}));
    let old = ToolBundle::read(&write("old.json", &none.to_string())).unwrap();
    let new = ToolBundle::read(&write("new.json", &mcp(Some(object("x")), json!({})).to_string())).unwrap();
    let broken = ToolBundle::read(&write("broken.json", &mcp(None, json!({})).to_string())).unwrap();
    for (line, expected) in [
        (r#"{"tool": "t"}"#, [1, 0, 0]),
        (r#"{"tool": "t", "arguments": null}"#, [1, 0, 0]),
        (r#"{"tool": "t", "arguments": ""}"#, [1, 0, 0]),
        (r#"{"tool": "t", "arguments": "null"}"#, [1, 0, 0]),
        (r#"{"tool": "t", "arguments": {}}"#, [1, 0, 0]),
        (r#"{"tool": "t", "arguments": "{}"}"#, [1, 0, 0]),
        (r#"{"tool": "t", "arguments": "\"{}\""}"#, [1, 0, 0]),
        (
            r#"{"tool": "t", "arguments": null, "input": {"x": "a"}}"#,
            [0, 0, 0],
        ),
        (r#"{"attributes": {"gen_ai.tool.name": "t"}}"#, [1, 0, 0]),
        (r#"{"tool": "t", "arguments": {"x": "a"}}"#, [0, 0, 0]),
        (r#"{"tool": "t", "arguments": [1]}"#, [0, 1, 0]),
        (r#"{"tool": "t", "arguments": "{\"a\": NaN}"}"#, [0, 0, 1]),
    ] {
        let calls = write("calls.ndjson", line);
        let found = &replay_arguments(&calls, Some(&old), &new).unwrap()[0];
        let counts = [found.n_rejected, found.n_rejected_before, found.n_unreadable];
        assert_eq!(counts, expected, "{line}");
    }
    // Every call of a tool whose schema became invalid is refused.
    let calls = write("calls.ndjson", r#"{"tool": "t", "arguments": {}}"#);
    let found = &replay_arguments(&calls, Some(&old), &broken).unwrap()[0];
    assert_eq!(
        (found.n_rejected, found.examples[0].rule.as_str()),
        (1, "schema-invalid")
    );
    let found = &replay_arguments(&calls, Some(&broken), &new).unwrap()[0];
    assert_eq!((found.n_rejected, found.n_rejected_before), (0, 1));
}

//! Tests of the rules of schema changes on both sides.

use super::*;
use serde_json::{Map, json};

fn worst(old: &Value, new: &Value, side: Side) -> Option<Level> {
    diff_schemas(old, new, side)
        .into_iter()
        .map(|change| change.level)
        .max()
}

#[test]
fn every_rule_has_its_level_on_both_sides() {
    let property = |schema: Value| json!({"type": "object", "properties": {"a": schema}});
    let check = |old: Value, new: Value, rule: &str, input: Level, output: Level| {
        for (side, level) in [(Side::Input, input), (Side::Output, output)] {
            let changes = diff_schemas(&property(old.clone()), &property(new.clone()), side);
            let found = changes
                .iter()
                .find(|change| change.rule == rule)
                .unwrap_or_else(|| panic!("{rule}: {changes:?}"));
            assert_eq!(
                (found.level, found.path.as_str()),
                (level, "/a"),
                "{rule} {side:?}"
            );
        }
    };
    check(
        json!({"type": "number"}),
        json!({"type": "integer"}),
        "type-narrowed",
        Error,
        Info,
    );
    check(
        json!({"type": "integer"}),
        json!({"type": "number"}),
        "type-widened",
        Info,
        Error,
    );
    check(
        json!({"type": "string"}),
        json!({"type": ["string", "null"]}),
        "became-nullable",
        Info,
        Error,
    );
    check(
        json!({"type": "string", "nullable": true}),
        json!({"type": "string"}),
        "became-not-nullable",
        Error,
        Info,
    );
    check(
        json!({"enum": [1, 2]}),
        json!({"enum": [1.0]}),
        "enum-value-removed",
        Error,
        Info,
    );
    check(
        json!({"enum": ["x"]}),
        json!({"enum": ["x", "y"]}),
        "enum-value-added",
        Info,
        Warning,
    );
    check(
        json!({"type": "string"}),
        json!({"type": "string", "enum": ["x"]}),
        "became-enum",
        Error,
        Info,
    );
    check(
        json!({"minimum": 0}),
        json!({"exclusiveMinimum": 0}),
        "limit-tightened",
        Error,
        Info,
    );
    check(
        json!({"maximum": 9}),
        json!({"maximum": 10}),
        "limit-loosened",
        Info,
        Error,
    );
    check(
        json!({}),
        json!({"multipleOf": 5}),
        "multiple-of-added",
        Error,
        Info,
    );
    check(
        json!({"multipleOf": 10}),
        json!({"multipleOf": 5}),
        "multiple-of-changed",
        Info,
        Error,
    );
    check(
        json!({"type": "string"}),
        json!({"type": "string", "pattern": "^a"}),
        "pattern-added",
        Error,
        Info,
    );
    check(
        json!({"type": "array"}),
        json!({"type": "array", "items": {"type": "string"}}),
        "items-added",
        Error,
        Info,
    );
    check(
        json!({"type": "array"}),
        json!({"type": "array", "prefixItems": [{"type": "string"}]}),
        "prefix-item-added",
        Error,
        Info,
    );
    check(
        json!({}),
        json!({"not": {"type": "null"}}),
        "not-added",
        Error,
        Info,
    );
    check(
        json!({}),
        json!({"if": {"required": ["b"]}, "then": {"required": ["c"]}}),
        "condition-added",
        Error,
        Info,
    );
    check(
        json!({}),
        json!({"patternProperties": {"^x": {"type": "string"}}}),
        "pattern-properties-added",
        Error,
        Info,
    );
    check(
        json!({}),
        json!({"unevaluatedProperties": false}),
        "unevaluated-properties-added",
        Error,
        Info,
    );
    check(
        json!({"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}, {"type": "array", "minItems": 1}]}),
        json!({"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1}]}),
        "branch-removed",
        Error,
        Info,
    );
    check(
        json!({"default": 1}),
        json!({"default": 2}),
        "default-changed",
        Warning,
        Info,
    );
    check(
        json!({"x-ui": 1}),
        json!({"x-ui": 2}),
        "unknown-keyword-changed",
        Warning,
        Warning,
    );
    check(
        json!({"$ref": "#/$defs/gone"}),
        json!({}),
        "unresolvable-ref",
        Error,
        Error,
    );
}

#[test]
fn references_are_followed_and_circles_end() {
    let tree = |leaf: &str| {
        json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
            "value": {"type": leaf}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}})
    };
    assert_eq!(worst(&tree("string"), &tree("string"), Side::Input), None);
    assert_eq!(worst(&tree("string"), &tree("integer"), Side::Input), Some(Error));
    // A circular reference, and a chain of ten thousand references.
    let circle =
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}});
    assert_eq!(worst(&circle, &circle, Side::Input), None);
    let mut definitions = Map::new();
    for idx in 0..10_000 {
        definitions.insert(
            format!("d{idx}"),
            json!({"type": "object", "properties": {"next": {"$ref": format!("#/$defs/d{}", idx + 1)}}}),
        );
    }
    let chain = json!({"$ref": "#/$defs/d0", "$defs": definitions});
    assert_eq!(worst(&chain, &chain, Side::Input), Some(Warning));
}

#[test]
fn the_same_schema_written_otherwise_is_the_same() {
    for (old, new) in [
        (
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            json!({"type": ["null", "string"]}),
        ),
        (json!({"const": 1}), json!({"const": 1.0})),
        (
            json!({"minimum": 1, "exclusiveMinimum": true}),
            json!({"exclusiveMinimum": 1}),
        ),
        (
            json!({"items": [{"type": "string"}]}),
            json!({"prefixItems": [{"type": "string"}]}),
        ),
        (json!({"type": "string"}), json!({"allOf": [{"type": "string"}]})),
        (json!({"items": {}}), json!({})),
        (json!({"not": false}), json!({"unevaluatedProperties": {}})),
        (
            json!({"type": "integer", "exclusiveMinimum": 0}),
            json!({"type": "integer", "minimum": 1}),
        ),
        (json!({"contains": {"type": "null"}, "minContains": 0}), json!({})),
        (
            json!({"dependencies": {"a": ["b"]}}),
            json!({"dependentRequired": {"a": ["b"]}}),
        ),
    ] {
        for side in [Side::Input, Side::Output] {
            assert_eq!(diff_schemas(&old, &new, side), [], "{old} {new}");
        }
    }
}

/// Keywords beside a reference, in a conjunction or in a condition are compared, too.
#[test]
fn nothing_hides_behind_something_else() {
    let referred = |own: Value, base: Value| {
        let mut schema = own;
        schema["$ref"] = json!("#/$defs/base");
        schema["$defs"] = json!({"base": base});
        schema
    };
    let pairs = [
        (
            referred(json!({"required": ["z"]}), json!({})),
            referred(json!({"required": ["z"]}), json!({"required": ["a"]})),
        ),
        (
            referred(json!({"maxLength": 50}), json!({"maxLength": 9})),
            referred(json!({"maxLength": 50}), json!({"maxLength": 2})),
        ),
        (
            referred(json!({"enum": [1, 2]}), json!({"enum": [1, 2]})),
            referred(json!({"enum": [1, 2]}), json!({"enum": [1]})),
        ),
        (
            referred(json!({"pattern": "a"}), json!({})),
            referred(json!({"pattern": "a"}), json!({"pattern": "b"})),
        ),
        (
            referred(
                json!({"properties": {"x": {}}}),
                json!({"properties": {"a": {"type": "number"}}}),
            ),
            referred(
                json!({"properties": {"x": {}}}),
                json!({"properties": {"a": {"type": "string"}}}),
            ),
        ),
        (
            json!({"if": {"required": ["k"]}, "then": {"$ref": "#/$defs/t"}, "$defs": {"t": {}}}),
            json!({"if": {"required": ["k"]}, "then": {"$ref": "#/$defs/t"}, "$defs": {"t": {"required": ["b"]}}}),
        ),
        (
            json!({"allOf": [{"$ref": "common.json"}], "properties": {"a": {"type": "string"}}}),
            json!({"allOf": [{"$ref": "common.json"}], "properties": {"a": {"type": "integer"}}}),
        ),
        (
            json!({"anyOf": [{"type": "number"}, {"type": "integer", "minimum": 0}]}),
            json!({"oneOf": [{"type": "number"}, {"type": "integer", "minimum": 0}]}),
        ),
        (
            json!({"patternProperties": {"^x": {}}, "additionalProperties": false}),
            json!({"additionalProperties": false}),
        ),
        (
            json!({"properties": {"a": {}}, "unevaluatedProperties": false}),
            json!({"unevaluatedProperties": false}),
        ),
        (json!({}), json!({"properties": {"x": false}})),
        (
            json!({"additionalProperties": {"type": "string"}}),
            json!({"additionalProperties": {"type": "string"}, "properties": {"x": {"type": "integer"}}}),
        ),
        (
            json!({"contains": {"const": 1}, "minContains": 0}),
            json!({"contains": {"const": 1}}),
        ),
        (
            json!({"maximum": 9_007_199_254_740_993_i64}),
            json!({"maximum": 9_007_199_254_740_992_i64}),
        ),
    ];
    for (old, new) in pairs {
        assert_eq!(worst(&old, &new, Side::Input), Some(Error), "{old} {new}");
    }
    // Conditions that swap their requirements, and a `oneOf` of overlapping branches.
    let rules = |first: &str, second: &str| {
        let rule = |action: &str, needs: &str| json!({"if": {"properties": {"action": {"const": action}}}, "then": {"required": [needs]}});
        json!({"allOf": [rule("refund", first), rule("cancel", second)]})
    };
    assert_eq!(
        worst(
            &rules("amount", "reason"),
            &rules("reason", "amount"),
            Side::Input
        ),
        Some(Error)
    );
    let numbers = json!([{"type": "number"}, {"type": "integer"}]);
    assert_eq!(
        worst(
            &json!({"anyOf": numbers}),
            &json!({"oneOf": numbers}),
            Side::Input
        ),
        Some(Error)
    );
    // The form in which pydantic writes an optional text, and changes inside a branch.
    let optional = |text: Value| json!({"anyOf": [text, {"type": "null"}]});
    let plain = optional(json!({"type": "string"}));
    assert_eq!(
        worst(
            &plain,
            &optional(json!({"type": "string", "minLength": 1})),
            Side::Input
        ),
        Some(Warning)
    );
    assert_eq!(
        worst(
            &plain,
            &optional(json!({"type": "string", "description": "d"})),
            Side::Input
        ),
        Some(Warning)
    );
    let wider = json!({"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "array", "items": {"type": "string"}}]});
    assert_eq!(worst(&plain, &wider, Side::Input), Some(Info));
    let listed = json!({"oneOf": [{"const": "a", "title": "A"}, {"const": "b", "title": "B"}]});
    assert_eq!(worst(&json!({"enum": ["a", "b"]}), &listed, Side::Input), None);
    let conjunction = |extra: Value| json!({"allOf": [{"type": "string", "maxLength": 9}, extra]});
    assert!(
        worst(
            &json!({"allOf": [{"type": "string", "maxLength": 9}]}),
            &conjunction(json!({"description": "d"})),
            Side::Input
        ) <= Some(Warning)
    );
    // Circles through unions, and nested unions whose full expansion would not end.
    let circle =
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "string"}]}}});
    assert_eq!(worst(&circle, &circle, Side::Input), None);
    let mut definitions = Map::new();
    for idx in 0..40 {
        let next = json!({"$ref": format!("#/$defs/d{}", idx + 1)});
        definitions.insert(
            format!("d{idx}"),
            json!({"anyOf": [next, next], "allOf": [next, next]}),
        );
    }
    definitions.insert("d40".into(), json!({"type": "string"}));
    let doubling = json!({"$ref": "#/$defs/d0", "$defs": definitions});
    assert!(worst(&doubling, &doubling, Side::Input) <= Some(Warning));
}

/// Each line: the old and the new schema of `x`, the expected worst level for arguments (`-` for no
/// finding beside texts), and a part of the finding.
#[test]
fn arguments_that_break_are_found() {
    let lines = r#"
        {"enum": ["EUR", "USD"]} | {"oneOf": [{"enum": ["EUR", "USD"]}, {"enum": ["USD", "GBP"]}]} | error | USD
        {"enum": ["EUR", "USD"]} | {"anyOf": [{"enum": ["EUR", "USD"]}, {"enum": ["USD", "GBP"]}]} | info | GBP
        {"enum": ["EUR"]} | {"oneOf": [{"enum": ["EUR", "USD"]}, {"enum": ["USD", "GBP"]}]} | info | GBP
        {"enum": ["a", "b"]} | {"oneOf": [{"const": "a"}, {"const": "b"}]} | - |
        {"enum": ["a", "b"]} | {"oneOf": [{"const": "a"}, {"enum": ["a", "b"]}]} | error | "a"
        {"enum": [1, 2]} | {"oneOf": [{"type": "integer"}, {"minimum": 2}]} | error | 2
        {"oneOf": [{"type": "integer"}, {"type": "string"}]} | {"oneOf": [{"type": "integer"}, {"type": "string"}, {"type": "number"}]} | error | fits both
        {"oneOf": [{"type": "integer"}, {"type": "string"}]} | {"oneOf": [{"type": "integer"}, {"type": "string"}, {"type": "boolean"}]} | info |
        {"oneOf": [{"type": "integer", "minimum": 0}, {"const": "auto"}]} | {"oneOf": [{"type": "integer", "minimum": 0}, {"type": ["string", "integer"]}]} | error | fits both
        {"type": "integer"} | {"oneOf": [{"type": "integer", "maximum": 5}, {"type": "integer", "minimum": 5}]} | error | 5
        {"type": "integer"} | {"oneOf": [{"type": "integer", "maximum": 5}, {"type": "integer", "minimum": 6}]} | warning | one shape
        {"type": "string"} | {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "string", "minLength": 3}]} | error | fits both
        {"type": "string"} | {"oneOf": [{"type": "string"}, {"type": "string", "pattern": "^(?=q)q+$"}]} | warning | undecided
        {"type": "string"} | {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]} | info |
        {"type": ["string", "null"]} | {"oneOf": [{"type": "string"}, {"type": "null"}]} | - |
        {"anyOf": [{"type": "string"}, {"type": "number"}]} | {"oneOf": [{"type": "string"}, {"type": "number"}]} | - |
        {"type": "object", "properties": {"a": {"type": "string"}}} | {"oneOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "object", "properties": {"b": {"type": "string"}}}]} | error | fits both
        {"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}}, "required": ["k"]}]} | {"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}}, "required": ["k"]}, {"type": "object", "properties": {"k": {"const": "b"}}, "required": ["k"]}]} | info |
        {"type": "object", "properties": {"a": {}, "b": {}}} | {"type": "object", "properties": {"a": {}, "b": {}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]} | error | refused
        {"type": "string"} | {"type": "string", "not": {"type": "null"}} | - |
        {"type": "string"} | {"type": "string", "not": {"enum": ["a"]}} | error | "a"
        {"type": "string", "not": {"enum": ["a", "b"]}} | {"type": "string", "not": {"enum": ["a"]}} | - |
        {"type": "string", "not": {"enum": ["a"]}} | {"type": "string", "not": {"enum": ["a", "b"]}} | error | "b"
        {"not": {"type": "object", "required": ["a"]}} | {"not": {"type": "object", "required": ["a", "b"]}} | - |
        {"type": "string", "minLength": 1} | {"type": "string", "minLength": 1, "not": {"const": ""}} | - |
        {"type": "string", "pattern": "^a"} | {"type": "string", "pattern": "^a", "not": {"pattern": "^b"}} | warning | undecided
        {"enum": [1, 2, 3]} | {"type": "integer", "minimum": 2} | error | 1
        {"enum": [2, 3]} | {"type": "integer", "minimum": 2} | info | no longer only
        {"type": "boolean"} | {"enum": [true, false]} | - |
        {"type": "boolean"} | {"enum": [true]} | error | only true
        {"enum": ["a", 1]} | {"enum": ["a", 1], "type": "string"} | error | 1
        {"enum": [[1, 2]]} | {"enum": [[1.0, 2.0]]} | - |
        {"type": "integer"} | {"type": "number", "multipleOf": 1} | - |
        {"type": "number", "multipleOf": 1} | {"type": "integer"} | - |
        {"type": "number"} | {"type": "number", "multipleOf": 1} | error | integer
        {"type": "integer"} | {"type": "number", "multipleOf": 0.5} | info |
        {"type": "integer", "multipleOf": 2.5} | {"type": "integer", "multipleOf": 5} | - |
        {"type": "number", "multipleOf": 0.3} | {"type": "number", "multipleOf": 0.1} | info |
        {"type": "number", "multipleOf": 0.1} | {"type": "number", "multipleOf": 0.3} | error | multiples
        {"type": "integer", "exclusiveMinimum": 0} | {"type": "integer", "minimum": 1} | - |
        {"type": "integer", "minimum": 0.5} | {"type": "integer", "minimum": 1} | - |
        {"type": "integer", "exclusiveMaximum": 10} | {"type": "integer", "maximum": 9} | - |
        {"type": "integer", "minimum": 1} | {"type": "number", "exclusiveMinimum": 0} | info |
        {"type": "number", "exclusiveMinimum": 0} | {"type": "number", "minimum": 1} | error | minimum
        {"type": "integer", "maximum": 9007199254740993} | {"type": "integer", "maximum": 9007199254740992} | error | maximum
        {"type": "integer", "maximum": 9007199254740993} | {"type": "integer", "maximum": 9007199254740992.0} | error | maximum
        {"type": "integer", "minimum": 1} | {"type": "integer", "minimum": 1.0} | - |
        {"type": "string"} | {"type": ["string", "number"], "minimum": 5} | info |
        {"type": "string"} | {"type": ["string", "array"], "items": {"type": "string"}} | info |
        {"type": ["string", "number"]} | {"anyOf": [{"type": "string", "description": "d"}, {"type": "number", "description": "d"}]} | warning | one shape to several
        {"type": "object", "properties": {"a": {}, "b": {}}} | {"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}} | error | must be given
        {"type": "array", "prefixItems": [{"type": "string"}]} | {"type": "array", "prefixItems": [{"type": "integer"}]} | error | string to integer
        {"type": "array", "items": {"type": "string"}} | {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}} | - |
        {"if": {"type": "string"}, "then": {"minLength": 2}} | {"if": {"type": "string"}, "then": {"minLength": 3}} | error | min
        {"if": {"type": "string"}, "then": {"minLength": 3}} | {"if": {"type": "string"}, "then": {"minLength": 2}} | info |
        {"type": "string"} | {"type": "string", "if": {"type": "integer"}} | - |
        {"type": "string", "format": "date"} | {"type": "string", "format": "date-time"} | warning | date
    "#;
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let of = |schema: &str| json!({"type": "object", "properties": {"x": parse(schema)}});
        let changes = diff_schemas(&of(parts[0]), &of(parts[1]), Side::Input);
        let worst = changes.iter().map(|change| change.level).max();
        let found = worst.map_or("-", Level::name);
        assert_eq!(found, parts[2].trim_end_matches(" |"), "{line}: {changes:?}");
        let part = parts.get(3).map_or("", |part| part.trim());
        let is_said = |change: &SchemaChange| Some(change.level) == worst && change.detail.contains(part);
        assert!(
            part.is_empty() || changes.iter().any(is_said),
            "{line}: {changes:?}"
        );
    }
}

/// All spellings of a text or null mean the same.
#[test]
fn spellings_of_null_are_the_same() {
    let texts = [
        json!({"type": ["string", "null"], "minLength": 1}),
        json!({"type": ["null", "string"], "minLength": 1}),
        json!({"type": "string", "minLength": 1, "nullable": true}),
        json!({"type": "string", "minLength": 1, "x-nullable": true}),
        json!({"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}]}),
        json!({"oneOf": [{"type": "null"}, {"type": "string", "minLength": 1}]}),
        json!({"anyOf": [{"type": "string", "minLength": 1}, {"const": null}]}),
        json!({"anyOf": [{"type": "string", "minLength": 1}, {"enum": [null]}]}),
        json!({"anyOf": [{"$ref": "#/$defs/text"}, {"type": "null"}]}),
        json!({"$ref": "#/$defs/text", "nullable": true}),
    ];
    let values = [
        json!({"enum": ["a", "b", null]}),
        json!({"type": ["string", "null"], "enum": ["a", "b", null]}),
        json!({"type": "string", "enum": ["a", "b"], "nullable": true}),
        json!({"type": "string", "enum": ["a", "b", null], "nullable": true}),
        json!({"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}),
        json!({"oneOf": [{"const": "a"}, {"const": "b"}, {"type": "null"}]}),
    ];
    let of = |schema: &Value| json!({"type": "object", "properties": {"x": schema}, "$defs": {"text": {"type": "string", "minLength": 1}}});
    for group in [&texts[..], &values[..]] {
        for old in group {
            for new in group {
                for side in [Side::Input, Side::Output] {
                    assert_eq!(diff_schemas(&of(old), &of(new), side), [], "{old} to {new}");
                }
            }
        }
    }
    // Null that is lost, or that comes, in each spelling.
    let plain = of(&json!({"type": "string", "minLength": 1}));
    for text in &texts {
        for (old, new, rule, level) in [
            (&of(text), &plain, "became-not-nullable", Error),
            (&plain, &of(text), "became-nullable", Info),
        ] {
            let changes = diff_schemas(old, new, Side::Input);
            let found: Vec<_> = changes.iter().map(|change| (change.rule, change.level)).collect();
            assert_eq!(found, [(rule, level)], "{text}");
        }
    }
}

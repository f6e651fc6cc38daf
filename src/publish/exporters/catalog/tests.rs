//! Tests that YAML keeps texts unchanged.

use crate::publish::exporters::format::yaml;

#[test]
fn yaml_keeps_texts_that_look_like_something_else() {
    let texts = [
        "no",
        "on",
        "~",
        "2026-11-21",
        "1e3",
        "0o7",
        "1:30",
        "a: b",
        "- a",
        "#a",
        "\u{7}",
        "沉睡",
        "a\nb",
        " a ",
        "{}",
        "!x",
        "*a",
        "%",
    ];
    let document: serde_json::Value = texts
        .iter()
        .map(|text| ((*text).to_owned(), serde_json::json!(text)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let written = yaml(&document).unwrap();
    assert_eq!(
        serde_saphyr::from_str::<serde_json::Value>(&written).unwrap(),
        document,
        "{written}"
    );
}

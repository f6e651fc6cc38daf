use super::*;
use arrow_array::{DictionaryArray, FixedSizeListArray, LargeStringArray, StringViewArray};
use arrow_json::ReaderBuilder;
use arrow_schema::{Field, Schema};

const TEXT: DataType = DataType::Utf8;
const WHOLE: DataType = DataType::Int64;

fn field(name: &str, data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new(name, data_type, true))
}

fn of_fields(fields: &[(&str, DataType)]) -> DataType {
    let fields = fields
        .iter()
        .map(|(name, data_type)| field(name, data_type.clone()));
    DataType::Struct(fields.collect())
}

fn list(item: DataType) -> DataType {
    DataType::List(field("item", item))
}

fn map(value: DataType) -> DataType {
    let entries = DataType::Struct(Fields::from(vec![
        Field::new("keys", TEXT, false),
        Field::new("values", value, true),
    ]));
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

/// A column of a type from JSON, one value a row.
fn column(data_type: DataType, rows: &[&str]) -> ArrayRef {
    let schema = Schema::new(vec![Field::new("c", data_type, true)]);
    let mut decoder = ReaderBuilder::new(Arc::new(schema)).build_decoder().unwrap();
    for row in rows {
        decoder.decode(format!("{{\"c\":{row}}}").as_bytes()).unwrap();
    }
    Arc::clone(decoder.flush().unwrap().unwrap().column(0))
}

fn texts(array: &ArrayRef) -> Vec<Option<String>> {
    let texts = text_array(array).unwrap();
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

fn check(array: &ArrayRef, path: &str, expected: Result<&[Option<&str>], &str>) {
    let steps: Vec<&str> = path.split('.').collect();
    let found = at_path(array, &steps);
    match (&found, expected) {
        (Ok(found), Ok(expected)) => {
            let expected: Vec<Option<String>> =
                (expected.iter().map(|text| text.map(str::to_owned))).collect();
            assert_eq!(texts(found), expected, "{path} in {}", array.data_type());
            assert!(has_path(array.data_type(), &steps), "{path}");
            // The values of a row do not depend on the rows around it.
            for row in 0..array.len() {
                let one = at_path(&array.slice(row, 1), &steps).unwrap();
                assert_eq!(texts(&one), expected[row..=row], "{path}, row {row}");
            }
        }
        (Err(found), Err(expected)) => assert!(found.contains(expected), "{path}: {found}"),
        _ => panic!(
            "{path} in {}: expected {expected:?}, found {found:?}",
            array.data_type()
        ),
    }
}

#[test]
fn fields_of_structs() {
    let inner = of_fields(&[("id", TEXT), ("n", WHOLE)]);
    let array = column(
        of_fields(&[("user", inner), ("user.id", WHOLE), ("at", TEXT)]),
        &[
            r#"{"user":{"id":"a","n":1},"user.id":7,"at":"x"}"#,
            r#"{"user":{"id":"b"},"at":null}"#,
            r#"{"user":null}"#,
            "null",
        ],
    );
    check(&array, "user.n", Ok(&[Some("1"), None, None, None]));
    check(&array, "user.id", Ok(&[Some("7"), None, None, None]));
    check(&array, "at", Ok(&[Some("x"), None, None, None]));
    check(
        &array,
        "name",
        Err("expected a field `name`, found `user`, `user.id`, `at`"),
    );
    check(
        &array,
        "user.n.x",
        Err("expected a nested value with `x` in it, found Int64"),
    );
    assert!(!has_path(array.data_type(), &["name"]));
    // A struct that is absent hides what its fields store.
    let fields = Fields::from(vec![Field::new("a", TEXT, true)]);
    let hidden = StructArray::new(
        fields,
        vec![Arc::new(StringArray::from(vec!["x", "y"]))],
        Some(NullBuffer::from(vec![true, false])),
    );
    check(&(Arc::new(hidden) as ArrayRef), "a", Ok(&[Some("x"), None]));
}

#[test]
fn keys_of_maps() {
    let rows = [
        r#"{"a":"x","gen_ai.model":"m"}"#,
        r#"{"gen_ai":"{\"model\":\"k\"}"}"#,
        r#"{"a":null}"#,
        "{}",
        "null",
    ];
    let array = column(map(TEXT), &rows);
    check(&array, "a", Ok(&[Some("x"), None, None, None, None]));
    check(
        &array,
        "gen_ai.model",
        Ok(&[Some("m"), Some("k"), None, None, None]),
    );
    let array = column(map(WHOLE), &[r#"{"a.b":1}"#, r#"{"a":2}"#]);
    check(&array, "a.b", Ok(&[Some("1"), None]));
    check(&array, "a", Ok(&[None, Some("2")]));
    let array = column(map(of_fields(&[("v", TEXT)])), &[r#"{"a":{"v":"x"}}"#, "{}"]);
    check(&array, "a.v", Ok(&[Some("x"), None]));
    assert_eq!(
        texts(&(Arc::new(length_of(&array).unwrap()) as ArrayRef)),
        [Some("1".into()), Some("0".into())]
    );
}

#[test]
fn elements_of_lists() {
    let array = column(
        list(TEXT),
        &[r#"["env:prod","release:v2"]"#, r#"["release=v3"]"#, "[]", "null"],
    );
    check(
        &array,
        "0",
        Ok(&[Some("env:prod"), Some("release=v3"), None, None]),
    );
    check(&array, "1", Ok(&[Some("release:v2"), None, None, None]));
    check(&array, "release", Ok(&[Some("v2"), Some("v3"), None, None]));
    check(&array, "nothing", Ok(&[None, None, None, None]));
    let array = column(list(TEXT), &[r#"["a:{\"b\":7}", null]"#]);
    check(&array, "a.b", Ok(&[Some("7")]));
    let pairs = of_fields(&[("key", TEXT), ("value", of_fields(&[("s", TEXT)]))]);
    let array = column(
        list(pairs),
        &[r#"[{"key":"x"},{"key":"a","value":{"s":"v2"}}]"#, "[]", "[null]"],
    );
    check(&array, "a.s", Ok(&[Some("v2"), None, None]));
    let array = column(
        list(of_fields(&[("value", TEXT), ("name", TEXT)])),
        &[r#"[{"name":"a.b","value":"v2"},{"name":"a.b","value":"v3"}]"#],
    );
    check(&array, "a.b", Ok(&[Some("v2")]));
    let array = column(list(of_fields(&[("type", TEXT)])), &[r#"[{"type":"tool"}]"#]);
    check(&array, "0.type", Ok(&[Some("tool")]));
    check(&array, "type", Err("expected a whole number, or a list of pairs"));
    assert!(!has_path(array.data_type(), &["type"]));
    let array = column(list(WHOLE), &["[7,8]"]);
    check(&array, "1", Ok(&[Some("8")]));
    check(
        &array,
        "1.a",
        Err("expected a nested value with `a` in it, found Int64"),
    );
    let item = field("item", WHOLE);
    let fixed = FixedSizeListArray::new(item, 2, Arc::new(Int64Array::from(vec![1, 2, 3, 4])), None);
    check(&(Arc::new(fixed) as ArrayRef), "1", Ok(&[Some("2"), Some("4")]));
    let views = cast(&array, &DataType::ListView(field("item", WHOLE))).unwrap();
    check(&views, "0", Ok(&[Some("7")]));
}

#[test]
fn texts_that_hold_json() {
    let rows = [
        Some(r#"{"a":{"b":"x"}}"#),
        Some(r#"{"a":{"b":[1, 2]}}"#),
        Some("plain"),
        None,
    ];
    let expected: &[Option<&str>] = &[Some("x"), Some("[1,2]"), None, None];
    let layouts: [ArrayRef; 4] = [
        Arc::new(StringArray::from(rows.to_vec())),
        Arc::new(LargeStringArray::from(rows.to_vec())),
        Arc::new(StringViewArray::from(rows.to_vec())),
        Arc::new(
            rows.into_iter()
                .collect::<DictionaryArray<arrow_array::types::Int32Type>>(),
        ),
    ];
    for array in &layouts {
        check(array, "a.b", Ok(expected));
    }
    let array: ArrayRef = Arc::new(StringArray::from(vec!["{}", r#"{"a":"#]));
    check(&array, "a", Err(r#"expected JSON, found {"a":"#));
    assert_eq!(values_at(&array, &["a"]).unwrap_err().row, Some(1));
    check(
        &(Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        "a",
        Err("found Int64"),
    );
}

#[test]
fn elements_are_counted() {
    let steps = of_fields(&[("type", TEXT), ("ok", DataType::Boolean)]);
    let rows = [
        r#"[{"type":"tool","ok":true},{"type":"llm"},{"type":"tool"}]"#,
        "[]",
        "null",
    ];
    let json: ArrayRef = Arc::new(StringArray::from(vec![Some(rows[0]), Some(rows[1]), None]));
    for array in [column(list(steps), &rows), json] {
        let counted = |field: &str, value: &str| {
            let numbers = count_where(&array, field, value).unwrap();
            numbers.iter().collect::<Vec<_>>()
        };
        assert_eq!(
            length_of(&array).unwrap().iter().collect::<Vec<_>>(),
            [Some(3), Some(0), None]
        );
        assert_eq!(counted("type", "tool"), [Some(2), Some(0), None]);
        assert_eq!(counted("ok", "true"), [Some(1), Some(0), None]);
        // Rows of a part of the column.
        let part = length_of(&array.slice(1, 2)).unwrap();
        assert_eq!(part.iter().collect::<Vec<_>>(), [Some(0), None]);
    }
    let array = column(list(TEXT), &[r#"["a","b","a"]"#]);
    assert_eq!(count_where(&array, "", "a").unwrap().value(0), 2);
    let array: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert!(
        length_of(&array)
            .unwrap_err()
            .contains("expected lists, found Int64")
    );
    assert!(count_where(&array, "a", "b").is_err());
}

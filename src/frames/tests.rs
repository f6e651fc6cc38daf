//! Expressions of one row on a small file: values, faults and errors.

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray, UInt8Array,
};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Derivation;
use crate::scenario::{Expression, Source};

/// Three rows of a log.
fn file() -> BTreeMap<String, ArrayRef> {
    let texts = |values: [Option<&str>; 3]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let columns: [(&str, ArrayRef); 14] = [
        ("n", Arc::new(Int64Array::from(vec![Some(7), Some(-3), None]))),
        ("small", Arc::new(UInt8Array::from(vec![200, 0, 255]))),
        ("int", Arc::new(Int32Array::from(vec![2_000_000_000, 1, -1]))),
        ("big", Arc::new(Int64Array::from(vec![i64::MAX, 1, i64::MIN + 1]))),
        (
            "x",
            Arc::new(Float64Array::from(vec![Some(1.5), Some(0.0), None])),
        ),
        (
            "odd",
            Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, 2.0])),
        ),
        (
            "ok",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(1_779_926_400_000_000),
                Some(0),
                None,
            ])),
        ),
        ("status", texts([Some("200"), Some("503"), None])),
        ("mixed", texts([Some("12"), Some("-"), None])),
        ("name", texts([Some("Ann"), Some("bOB"), None])),
        (
            "when",
            texts([
                Some("2026-05-28T08:00:00+08:00"),
                Some("1970-01-01"),
                Some("soon"),
            ]),
        ),
        ("user.id", texts([Some("u1"), Some("u2"), Some("u3")])),
        ("状态码", texts([Some("404"), Some("200"), Some("500")])),
    ];
    columns
        .into_iter()
        .map(|(name, array)| (name.to_owned(), array))
        .collect()
}

fn source(text: &str) -> Source {
    let mut source = Source::at("log");
    source
        .derive
        .insert("y".to_owned(), Expression::new(text, "derive.y"));
    source.constants.insert("tenant_id".to_owned(), "shop".to_owned());
    source.columns.insert("release_id".to_owned(), "name".to_owned());
    source
}

/// The values of an expression as texts: `-` for null, `! expected, found` for a fault.
fn values(text: &str) -> Result<Vec<String>, String> {
    values_of(text, false)
}

/// The values for a file that states its types, or for one that does not.
fn values_of(text: &str, is_typed: bool) -> Result<Vec<String>, String> {
    let file = file();
    let types: BTreeMap<String, DataType> = file
        .iter()
        .map(|(name, array)| (name.clone(), array.data_type().clone()))
        .collect();
    let source = source(text);
    let derivation = Derivation::new(&source, &types, is_typed, &["y"]).map_err(|problem| {
        problem.message + &problem.hint.map_or_else(String::new, |hint| format!(" | {hint}"))
    })?;
    let fields: Vec<ArrayRef> = derivation
        .fields()
        .map(|field| Arc::clone(&file[&field.column]))
        .collect();
    derivation.rehearse().map_err(|problem| problem.message)?;
    let derived = derivation.apply(&fields, 3)?;
    let array = &derived.columns[0];
    let format = FormatOptions::new();
    let shown = ArrayFormatter::try_new(array, &format).map_err(|error| error.to_string())?;
    let value = |row: usize| {
        if let Some(fault) = derived.faults.iter().find(|fault| fault.row == row) {
            return format!("! {}, found {}", fault.expected, fault.found);
        }
        if array.is_null(row) {
            "-".to_owned()
        } else {
            shown.value(row).to_string()
        }
    };
    Ok((0..3).map(value).collect())
}

#[test]
fn expressions_have_values() {
    let mut wrong = Vec::new();
    let mut check = |text: &str, expected: [&str; 3]| {
        let found = values(text);
        let expected: Vec<String> = expected.iter().map(|value| (*value).to_owned()).collect();
        if found.as_ref() != Ok(&expected) {
            wrong.push(format!("{text}: expected {expected:?}, found {found:?}"));
        }
    };
    // Numbers.
    check("n + 1", ["8", "-2", "-"]);
    check("small * 200", ["40000", "0", "51000"]);
    check("int * 4", ["8000000000", "4", "-4"]);
    check("n / 2", ["3.5", "-1.5", "-"]);
    check("n // 2", ["3", "-2", "-"]);
    check("x * 1000", ["1500.0", "0.0", "-"]);
    check("-x", ["-1.5", "-0.0", "-"]);
    check("round(x / 7, 2)", ["0.21", "0.0", "-"]);
    check("abs(n)", ["7", "3", "-"]);
    check("greatest(n, 0)", ["7", "0", "0"]);
    check("least(x, 1)", ["1.0", "0.0", "1.0"]);
    check("coalesce(n, -1)", ["7", "-3", "-1"]);
    check("nullif(n, 7)", ["-", "-3", "-"]);
    // The remainder has the sign of the divisor, as in Polars.
    check("n % 4", ["3", "1", "-"]);
    // Texts that are numbers.
    check("status < 500", ["true", "false", "-"]);
    check("\"状态码\" < 500", ["true", "true", "false"]);
    check("状态码 = 404", ["true", "false", "false"]);
    check("status between 200 and 299", ["true", "false", "-"]);
    check("status in (200, 201)", ["true", "false", "-"]);
    check("status not in ('200')", ["false", "true", "-"]);
    check("status * 2", ["400.0", "1006.0", "-"]);
    check(
        "case when mixed <> '-' then number(mixed) end",
        ["12.0", "-", "-"],
    );
    check("try_cast(mixed as double)", ["12.0", "-", "-"]);
    check("mixed <> '-' and mixed > 5", ["true", "false", "-"]);
    // Flags.
    check("not ok", ["false", "true", "-"]);
    check("ok is true", ["true", "false", "false"]);
    check("ok is not true", ["false", "true", "true"]);
    check("ok = 'false'", ["false", "true", "-"]);
    check("ok = 1", ["true", "false", "-"]);
    check("n is null", ["false", "false", "true"]);
    check("case when ok then 'yes' else 'no' end", ["yes", "no", "no"]);
    check("if(ok, 1, 0)", ["1", "0", "0"]);
    check(
        "case n when 7 then 'seven' when -3 then 'minus three' end",
        ["seven", "minus three", "-"],
    );
    // Texts.
    check("lower(name)", ["ann", "bob", "-"]);
    check("name || '-' || n", ["Ann-7", "bOB--3", "-"]);
    check("substr(name, 1, 2)", ["An", "bO", "-"]);
    check("trim(' ' || name || ' ')", ["Ann", "bOB", "-"]);
    check("replace(name, 'n', 'm')", ["Amm", "bOB", "-"]);
    check("name like 'A%'", ["true", "false", "-"]);
    check("name ilike '%b'", ["false", "true", "-"]);
    check("name ~ '^[A-Z][a-z]+$'", ["true", "false", "-"]);
    check("regexp_extract(name, '^(.)')", ["A", "b", "-"]);
    check("length(name)", ["3", "3", "-"]);
    check("concat(name, '/', n)", ["Ann/7", "bOB/-3", "/"]);
    check("user.id", ["u1", "u2", "u3"]);
    check("upper(release_id)", ["ANN", "BOB", "-"]);
    check("tenant_id || '!'", ["shop!", "shop!", "shop!"]);
    // Times.
    check("date(at)", ["2026-05-28", "1970-01-01", "-"]);
    check("epoch(at)", ["1779926400.0", "0.0", "-"]);
    check("epoch_ms(at)", ["1779926400000", "0", "-"]);
    check("at >= '2026-01-01'", ["true", "false", "-"]);
    check("extract(hour from at + interval '8 hours')", ["8", "8", "-"]);
    check("strftime(at, '%Y-%m')", ["2026-05", "1970-01", "-"]);
    check(
        "try_cast(\"when\" as timestamp) is null",
        ["false", "false", "true"],
    );
    check("null", ["-", "-", "-"]);
    check("1", ["1", "1", "1"]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rows_without_a_legal_value_are_faults() {
    let mut wrong = Vec::new();
    let mut check = |text: &str, row: usize, expected: &str| {
        let found = values(text);
        let is_fault = |found: &Vec<String>| found[row].starts_with('!') && found[row].contains(expected);
        if !found.as_ref().is_ok_and(is_fault) {
            wrong.push(format!("{text}: expected {expected:?}, found {found:?}"));
        }
    };
    check("1 / x", 1, "a divisor that is not 0 in 1 / x, found 0");
    check("n / (n + 3)", 1, "a divisor that is not 0");
    check("n % (n + 3)", 1, "a divisor that is not 0");
    check("mixed * 2", 1, "a number in mixed, found \"-\"");
    check("mixed < 500", 1, "a number in mixed, found \"-\"");
    check("instant(\"when\")", 2, "in \"when\", found \"soon\"");
    check("big * 2", 0, "a whole number of at most 64 bits in big * 2");
    check("big + big", 2, "a whole number of at most 64 bits");
    check("odd < 5", 0, "a finite number in odd < 5, found NaN");
    check("odd < 5", 1, "a finite number");
    check("ln(x)", 1, "a finite number in ln(x)");
    check("cast(odd as bigint)", 1, "a whole number of at most 64 bits");
    let least = "cast('-9223372036854775808' as bigint)";
    check(
        &format!("{least} // (n - 8)"),
        0,
        "a whole number of at most 64 bits",
    );
    check(
        &format!("abs({least})"),
        0,
        "a whole number of at most 64 bits in abs(",
    );
    check("not status", 0, "true or false in status, found \"200\"");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The branch that is not used has no fault.
    let used = values("case when x = 0 then 0 else 1 / x end").unwrap();
    assert_eq!(used[1], "0.0");
}

#[test]
fn texts_without_a_type_are_not_put_in_order() {
    let check = |text: &str, is_typed: bool, expected: Result<[&str; 3], &str>| {
        let found = values_of(text, is_typed);
        match expected {
            Ok(expected) => assert_eq!(found.unwrap(), expected, "{text}"),
            Err(expected) => assert!(
                found.as_ref().is_err_and(|found| found.contains(expected)),
                "{text}: {found:?}"
            ),
        }
    };
    check("status > mixed", false, Err("two texts without a type"));
    check("status > mixed", true, Ok(["true", "true", "-"]));
    check("greatest(status, mixed)", false, Err("texts without a type"));
    check("status > '50'", false, Ok(["true", "true", "-"]));
    check("status > '50'", true, Ok(["false", "true", "-"]));
    check("name > 'B'", false, Ok(["false", "true", "-"]));
    check("coalesce(mixed, status)", false, Ok(["12", "-", "-"]));
    check("coalesce(name, n)", true, Err("expected values of one kind"));
    check("cast(status as bigint) + 1", false, Ok(["201", "504", "-"]));
    check(
        "status in (1,2,3,4,5,6,7,8,9,200)",
        false,
        Ok(["true", "false", "-"]),
    );
    check("pow(n, 2)", true, Ok(["49.0", "9.0", "-"]));
    check("pow(2, -1)", true, Ok(["0.5", "0.5", "0.5"]));
    check("strpos(name, 'B')", true, Ok(["0", "3", "-"]));
    check("strpos(\"状态码\", '0')", true, Ok(["2", "2", "2"]));
}

#[test]
fn long_expressions_have_values_or_a_limit() {
    let all = |text: &str| values(text).unwrap_or_else(|error| panic!("{error}"))[0].clone();
    let many = |part: &str, n: usize, between: &str| vec![part; n].join(between);
    assert_eq!(all(&many("n = 7", 1_500, " and ")), "true");
    assert_eq!(all(&many("n = 8", 1_500, " or ")), "false");
    let list: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    assert_eq!(all(&format!("n in ({})", list.join(", "))), "true");
    assert_eq!(all(&many("n", 90, " + ")), "630");
    let branches: Vec<String> = (0..99)
        .map(|n| format!("when n = {} then '{n}'", n + 100))
        .collect();
    assert_eq!(
        all(&format!("case {} else 'none' end", branches.join(" "))),
        "none"
    );
    let wrong = |text: &str| values(text).expect_err("expected an error");
    assert!(wrong(&many("n", 120, " + ")).contains("at most 100 levels"));
    let branches = many("when n = 1 then 1", 101, " ");
    assert!(wrong(&format!("case {branches} end")).contains("at most 100"));
    assert!(wrong(&many("n = 7", 3_000, " and ")).contains("at most 20000 characters"));
    assert!(wrong(&format!("{}n{}", "(".repeat(300), ")".repeat(300))).contains("one SQL expression"));
}

#[test]
fn errors_name_the_expression_and_what_is_near() {
    let mut wrong = Vec::new();
    let mut check = |text: &str, expected: &str| {
        let found = values(text);
        if !found.as_ref().is_err_and(|found| found.contains(expected)) {
            wrong.push(format!("{text}: expected {expected:?}, found {found:?}"));
        }
    };
    check("statuss < 500", "did you mean `status`?");
    check("statuss < 500", "in \"statuss < 500\"");
    check("duration", "columns: `at`, `big`");
    check("lowr(name)", "did you mean `lower`?");
    check("now()", "found `now`");
    check("current_date", "found `current_date`");
    check("random()", "found `random`");
    check("sum(n)", "expected an expression of one row, found sum(n)");
    check(
        "row_number() over (order by n)",
        "expected an expression of one row",
    );
    check("(select 1)", "found the query");
    check("n < 'many'", "expected a number, found the text 'many'");
    check("at + 1", "epoch(x)");
    check("lower(n)", "cast(n as text)");
    check("name ~ '('", "expected a regular expression");
    check("case when ok then 1 else 'no' end", "expected values of one kind");
    check("n +", "expected one SQL expression");
    check("n; drop table t", "expected one SQL expression");
    check("", "found an empty text");
    check("y + 1", "expected expressions without a circle");
    check("*", "expected one SQL expression");
    check("round(x, n)", "expected a whole number for `round`");
    check("strftime(at, '%Q %')", "in \"strftime(at");
    check("lpad(name, 2000000000, 'x')", "expected a length of 0 to 10000");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

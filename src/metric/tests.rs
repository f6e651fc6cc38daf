use super::*;

#[test]
fn sums_read_back_what_they_print() {
    for sum in [Sum::Rows, Sum::Of("bad".into()), Sum::Known("x_1".into())] {
        assert_eq!(Sum::parse(&sum.to_string()), Some(sum));
    }
    for wrong in ["", "mean(x)", "sum()", "sum(a", "rows()"] {
        assert_eq!(Sum::parse(wrong), None, "{wrong}");
    }
    // Other texts are expressions, which the log's columns decide on.
    let slow = "sum(case when ms > 3 then x[1] end)";
    let sum = Sum::parse(slow).unwrap();
    assert_eq!(
        (sum.to_string(), sum.column_name()),
        (slow.to_owned(), slow.to_owned())
    );
    let reading = sum.reading().unwrap();
    assert_eq!(reading.expression(), Some("case when ms > 3 then x[1] end"));
    assert_eq!(Reading::parse(&reading.to_string()), Some(reading));
}

#[test]
fn values_are_quantized_alike_one_by_one_and_all_at_once() {
    let values = [
        0.0,
        1.0,
        -0.0,
        0.5,
        1.5,
        2.5,
        1e-6,
        5e-7,
        1.5e-6,
        2.5e-6,
        1_234.567_89,
        1e9,
        -3.0,
        7.0,
        f64::NAN,
        f64::INFINITY,
        1e15,
    ];
    for kind in [
        ColumnKind::Flag,
        ColumnKind::Count,
        ColumnKind::Real,
        ColumnKind::Usd,
    ] {
        for min in [0.0, f64::NEG_INFINITY] {
            for value in values {
                let mut out = [0];
                let is_legal = kind.quantize_all(&[value], min, &mut out);
                match kind.quantize(value, min) {
                    Ok(one) => assert!(!is_legal || out == [one], "{kind:?} {value}"),
                    Err(_) => assert!(!is_legal, "{kind:?} {value}"),
                }
                assert!(
                    is_legal
                        || value.abs() > 1e5
                        || kind.is_below_resolution(value)
                        || kind.quantize(value, min).is_err(),
                    "{kind:?} {value}"
                );
            }
        }
    }
}

#[test]
fn tests_read_back_what_they_print() {
    for text in [
        "a > 5",
        "a >= -0.5",
        "a < 1",
        "a <= 2",
        "a = 0",
        "a != 3",
        "a = 'x y'",
        "a != ''",
    ] {
        assert_eq!(Reading::parse(text).unwrap().to_string(), text);
    }
    for wrong in [
        "a >",
        "> 5",
        "a ~ 5",
        "a > 'x'",
        "a = 'x",
        "a = x",
        "a > inf",
        "a b > 1",
        "a = 'it's'",
    ] {
        assert_eq!(Reading::parse(wrong), None, "{wrong}");
    }
    assert_eq!(
        Sum::parse("sum( latency_ms>2e3 )").unwrap().to_string(),
        "sum(latency_ms > 2000)"
    );
}

#[test]
fn limits_read_back_what_they_print() {
    for text in [
        "profit cap ..500",
        "profit cap -100..500.5",
        "profit cap 0.5..",
        "profit winsorize 0.999",
    ] {
        let reading = Reading::parse(text).unwrap();
        assert_eq!(
            (reading.to_string().as_str(), reading.column.as_str()),
            (text, "profit")
        );
        let sum = Sum::Of(text.into());
        assert_eq!(Sum::parse(&sum.to_string()), Some(sum.clone()));
        assert_eq!(sum.column_name(), format!("sum({text})"));
        assert_eq!(reading.unlimited().to_string(), "profit");
    }
    for wrong in [
        "profit cap 5",
        "profit cap a..b",
        "profit > 5 cap ..500",
        "profit winsorize",
    ] {
        assert_eq!(Reading::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn values_below_the_resolution_are_known() {
    use ColumnKind::{Real, Usd};
    for (kind, value, is_below) in [
        (Real, 4e-7, true),
        (Real, -5e-7, true),
        (Real, 6e-7, false),
        (Real, 0.0, false),
        (Usd, 1e-9, false),
        (Usd, 1e-10, true),
        (Real, f64::NAN, false),
    ] {
        assert_eq!(kind.is_below_resolution(value), is_below, "{kind:?} {value}");
        let mut out = [0];
        assert_eq!(
            kind.quantize_all(&[value], f64::NEG_INFINITY, &mut out),
            !is_below && !value.is_nan()
        );
    }
}

#[test]
fn ids_are_unique() {
    let mut ids: Vec<_> = built_in(BadRateOf::Rated).into_iter().map(|m| m.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), built_in(BadRateOf::Rated).len());
}

#[test]
fn every_built_in_metric_has_names() {
    for metric in built_in(BadRateOf::Rated) {
        assert!(
            !crate::words::metric_name(&metric.id).zh.is_empty(),
            "{}",
            metric.id
        );
    }
}

//! Types of text columns. CSV and NDJSON state no types: a column whose values all have one form
//! gets its type, any other stays text.

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray, TimestampMicrosecondArray};
use std::sync::Arc;

use crate::base::time;

/// The form of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Flag,
    Integer,
    Real,
    Instant,
    Text,
}

/// Converts the batches of a column of texts to the type that all values have: `true` or `false`,
/// whole numbers, numbers, instants. Numbers with zeros in front stay text, because they are ids.
/// Columns that are no text stay as they are.
pub(super) fn typed(batches: Vec<ArrayRef>) -> Vec<ArrayRef> {
    if batches.iter().any(|array| array.as_string_opt::<i32>().is_none()) {
        return batches;
    }
    let texts: Vec<&StringArray> = batches.iter().map(|array| array.as_string::<i32>()).collect();
    let mut form = None;
    for text in texts.iter().flat_map(|array| array.iter()).flatten() {
        form = common(form, form_of(text, form));
        if form == Some(Form::Text) {
            return batches;
        }
    }
    match form {
        Some(form) => texts.into_iter().map(|texts| converted(texts, form)).collect(),
        None => batches,
    }
}

/// The form of a value. Forms that the column no longer can have are not tried.
fn form_of(text: &str, so_far: Option<Form>) -> Form {
    let is_possible = |forms: &[Form]| so_far.is_none_or(|form| forms.contains(&form));
    if is_possible(&[Form::Integer, Form::Real]) && is_number(text) {
        return match text.parse::<i64>() {
            Ok(_) => Form::Integer,
            // The digits of a long id would be lost.
            Err(_) if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => Form::Text,
            Err(_) => Form::Real,
        };
    }
    if is_possible(&[Form::Flag]) && matches!(text, "true" | "false") {
        return Form::Flag;
    }
    if is_possible(&[Form::Instant]) && instant(text).is_some() {
        return Form::Instant;
    }
    Form::Text
}

fn common(a: Option<Form>, b: Form) -> Option<Form> {
    Some(match (a, b) {
        (None, b) => b,
        (Some(a), b) if a == b => a,
        (Some(Form::Integer), Form::Real) | (Some(Form::Real), Form::Integer) => Form::Real,
        _ => Form::Text,
    })
}

/// Whether a text is a number as programs write it: no sign `+`, no zero in front of a digit.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let mut chars = digits.chars();
    let (first, second) = (chars.next(), chars.next());
    first.is_some_and(|c| c.is_ascii_digit())
        && !(first == Some('0') && second.is_some_and(|c| c.is_ascii_digit()))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// An instant with its date: numbers alone are none.
fn instant(text: &str) -> Option<i64> {
    let has_date = text.len() >= 10 && text.as_bytes()[4] == b'-' && text.is_ascii();
    has_date.then(|| time::parse(text).ok()).flatten()
}

fn converted(texts: &StringArray, form: Form) -> ArrayRef {
    match form {
        Form::Flag => {
            let mut builder = BooleanBuilder::with_capacity(texts.len());
            texts
                .iter()
                .for_each(|text| builder.append_option(text.map(|text| text == "true")));
            Arc::new(builder.finish())
        }
        Form::Integer => {
            let mut builder = Int64Builder::with_capacity(texts.len());
            texts
                .iter()
                .for_each(|text| builder.append_option(text.and_then(|text| text.parse().ok())));
            Arc::new(builder.finish())
        }
        Form::Real => {
            let mut builder = Float64Builder::with_capacity(texts.len());
            texts
                .iter()
                .for_each(|text| builder.append_option(text.and_then(|text| text.parse().ok())));
            Arc::new(builder.finish())
        }
        Form::Instant => {
            let instants: Vec<Option<i64>> = texts.iter().map(|text| text.and_then(instant)).collect();
            Arc::new(TimestampMicrosecondArray::from(instants).with_timezone("UTC"))
        }
        Form::Text => Arc::new(texts.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_get_the_type_that_all_values_have() {
        let check = |values: &[&str], expected: &str| {
            let column: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
            let found = typed(vec![column])[0].data_type().to_string();
            assert!(found.starts_with(expected), "{values:?}: {found}");
        };
        check(&["1", "-2", "0"], "Int64");
        check(&["1", "2.5"], "Float64");
        check(&["2.5", "1"], "Float64");
        check(&["1e3", "1"], "Float64");
        check(&["99999999999999999999"], "Utf8");
        check(&["007", "1"], "Utf8");
        check(&["1", "007"], "Utf8");
        check(&["+1"], "Utf8");
        check(&["nan"], "Utf8");
        check(&["inf"], "Utf8");
        check(&["1e999"], "Utf8");
        check(&["true", "false"], "Boolean");
        check(&["true", "1"], "Utf8");
        check(&["2026-05-25", "2026-05-25T01:00:00Z"], "Timestamp");
        check(&["2026-05-25", "x"], "Utf8");
        check(&[""], "Utf8");
        check(&[], "Utf8");
    }

    #[test]
    fn values_keep_their_meaning() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("1.5"), None, Some("-2")]));
        let found = &typed(vec![column])[0];
        let found: Vec<Option<f64>> = found
            .as_primitive::<arrow_array::types::Float64Type>()
            .iter()
            .collect();
        assert_eq!(found, [Some(1.5), None, Some(-2.0)]);
    }
}

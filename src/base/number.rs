//! Formats numbers for people, in one way for all outputs.

/// Formats a number with four significant digits, or with all digits of its integer part. Numbers
/// below 0.0001, or from 1,000,000 on, get an exponent and three digits. An end of an interval
/// without a limit is `∞`.
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.into();
    }
    let magnitude = value.abs().log10().floor() as i32;
    match magnitude {
        -4..=5 => {
            let text = format!("{value:.*}", (3 - magnitude).max(0) as usize);
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
        _ => format!("{value:.2e}"),
    }
}

/// A count with a comma between thousands: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An amount with at most four significant digits, and a comma between thousands: `6,512`,
/// `42,120,000`, `0.1235`. From 1e15 on it is written with an exponent.
pub fn amount(value: f64) -> String {
    let size = value.abs();
    if !(999.95..1e15).contains(&size) {
        return number(value);
    }
    let unit = 10_f64.powi((size.log10().floor() as i32 - 3).max(0));
    let text = count(((size / unit).round() * unit).round() as u64);
    if value < 0.0 { format!("-{text}") } else { text }
}

/// A share as a percentage with at most four significant digits: `12.5%`.
pub fn percent(share: f64) -> String {
    format!("{}%", number(share * 100.0))
}

/// A p-value with at most three significant digits and no zero before the point: `.657`, `1`.
/// Values below .0001 are written as `< .0001`.
pub fn p_value(p: f64) -> String {
    if p < 1e-4 {
        return "< .0001".into();
    }
    let rounded: f64 = format!("{p:.2e}").parse().unwrap_or(p);
    let text = number(rounded);
    text.strip_prefix('0')
        .filter(|rest| !rest.is_empty())
        .map_or(text.clone(), str::to_owned)
}

/// The first items of a list for a message, with the number of the others.
pub(crate) fn first_of(items: &[impl AsRef<str>], most: usize, separator: &str) -> String {
    let mut shown: Vec<String> = items
        .iter()
        .take(most)
        .map(|item| item.as_ref().to_owned())
        .collect();
    if items.len() > most {
        shown.push(format!("and {} more", count((items.len() - most) as u64)));
    }
    shown.join(separator)
}

#[cfg(test)]
mod tests {
    use crate::base::number::{amount, count, first_of, number, p_value, percent};

    #[test]
    fn thousands_have_separators() {
        let check = |n: u64, expected: &str| assert_eq!(count(n), expected);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(20_000_000, "20,000,000");
        check(u64::MAX, "18,446,744,073,709,551,615");
        let check = |value: f64, expected: &str| assert_eq!(amount(value), expected);
        check(999.4, "999.4");
        check(999.96, "1,000");
        check(1_234.5, "1,235");
        check(-42_123_456.0, "-42,120,000");
        check(0.25, "0.25");
        check(1e15, "1.00e15");
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(first_of(&["a", "b"], 2, ", "), "a, b");
        assert_eq!(first_of(&["a", "b", "c", "d"], 2, "; "), "a; b; and 2 more");
    }

    #[test]
    fn small_p_values_and_shares() {
        assert_eq!(p_value(0.0), "< .0001");
        assert_eq!(p_value(0.000_1), ".0001");
        assert_eq!(p_value(0.656_94), ".657");
        assert_eq!(p_value(0.999_9), "1");
        assert_eq!(percent(0.012_5), "1.25%");
    }

    #[test]
    fn four_digits_and_no_needless_zeros() {
        let check = |value: f64, expected: &str| assert_eq!(number(value), expected);
        check(0.0, "0");
        check(0.02, "0.02");
        check(-0.0004, "-0.0004");
        check(0.123456, "0.1235");
        check(1234.56, "1235");
        check(100.0, "100");
        check(1.5e-9, "1.50e-9");
        check(f64::NEG_INFINITY, "-∞");
    }
}

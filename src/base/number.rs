//! Numbers for people, printed one way everywhere.

/// A number with four significant digits, for people.
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
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

#[cfg(test)]
mod tests {
    use crate::base::number::number;

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
    }
}

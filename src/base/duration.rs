//! Durations as people write them.

use crate::base::time::{DAY, HOUR, Micros, SECOND};

/// Parses a duration such as `30s`, `15m`, `24h` or `7d` to microseconds.
///
/// # Errors
/// The expected form, for text that is not a whole number in 1..=100,000,000 with a unit.
pub fn parse_duration(text: &str) -> Result<Micros, String> {
    let expected = || "expected a duration such as 30s, 15m, 24h or 7d".to_owned();
    let unit = match text.chars().last() {
        Some('s') => SECOND,
        Some('m') => 60 * SECOND,
        Some('h') => HOUR,
        Some('d') => DAY,
        _ => return Err(expected()),
    };
    let n: i64 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    if (1..=100_000_000).contains(&n) {
        n.checked_mul(unit).ok_or_else(expected)
    } else {
        Err(expected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_with_a_unit() {
        assert_eq!(parse_duration("24h"), Ok(DAY));
        assert!(
            ["", "h", "-1h", "1w", "1.5h", "99999999999999d", "时"]
                .iter()
                .all(|text| parse_duration(text).is_err())
        );
    }
}

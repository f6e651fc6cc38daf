//! Values in tables: four significant digits, in the unit of their metric. Shares are in per cent,
//! differences of shares in points.

use crate::base::number::{amount, number, percent};
use crate::words::{Lang, fill};

/// A value in its unit: `1.2%`, `1,234 ms`, `$0.012`.
pub(super) fn value(value: f64, unit: &str) -> String {
    match unit {
        "share" => percent(value),
        "USD" if value < 0.0 => format!("-${}", amount(-value)),
        "USD" => format!("${}", amount(value)),
        "" => amount(value),
        unit => format!("{} {unit}", amount(value)),
    }
}

/// A difference in its unit, with its sign: `+1.2 points`, `-120 ms`.
pub(super) fn difference(value: f64, unit: &str, lang: Lang) -> String {
    fill(&unit_of_differences(unit, lang), &[&signed(value * scale(unit))])
}

/// The size of a difference, in its unit and without a sign.
pub(super) fn distance(value: f64, unit: &str, lang: Lang) -> String {
    fill(&unit_of_differences(unit, lang), &[&amount(value * scale(unit))])
}

/// An interval of a difference, in its unit: `[1.1, 1.3] points`.
pub(super) fn interval((lower, upper): (f64, f64), unit: &str, lang: Lang) -> String {
    let ends = [lower, upper].map(|end| signed(end * scale(unit)));
    fill(
        &unit_of_differences(unit, lang),
        &[&format!("[{}, {}]", ends[0], ends[1])],
    )
}

fn scale(unit: &str) -> f64 {
    if unit == "share" { 100.0 } else { 1.0 }
}

fn signed(value: f64) -> String {
    let text = if value.is_finite() {
        amount(value)
    } else {
        number(value)
    };
    if value > 0.0 { format!("+{text}") } else { text }
}

/// A sentence with a gap for the number of a difference.
fn unit_of_differences(unit: &str, lang: Lang) -> String {
    match unit {
        "share" => lang.words().points.to_owned(),
        "" => "{0}".to_owned(),
        unit => format!("{{0}} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_in_per_cent_and_their_differences_in_points() {
        assert_eq!(value(0.112_34, "share"), "11.23%");
        assert_eq!(value(1234.5, "ms"), "1,235 ms");
        assert_eq!(value(-0.5, "USD"), "-$0.5");
        assert_eq!(difference(0.1268, "share", Lang::En), "+12.68 points");
        assert_eq!(difference(-0.01, "share", Lang::Zh), "-1 个百分点");
        assert_eq!(difference(2046.0, "ms", Lang::En), "+2,046 ms");
        assert_eq!(distance(0.0067, "share", Lang::En), "0.67 points");
        assert_eq!(
            interval((-0.01, f64::INFINITY), "share", Lang::En),
            "[-1, +∞] points"
        );
        assert_eq!(interval((0.0, 0.2), "", Lang::Zh), "[0, +0.2]");
    }
}

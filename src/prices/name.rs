//! Names of models: references, short names and dates of versions.

/// Returns a model's name without its route and its digest: the text after the last `=`, up to an
/// `@`.
pub fn model_name(model_ref: &str) -> &str {
    let name = model_ref.rsplit_once('=').map_or(model_ref, |(_, name)| name);
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// The forms of a date at the end of a name. `Y`, `M` and `D` stand for digits.
const DATES: [&str; 3] = ["-YYYY-MM-DD", "-YYYYMMDD", "-YYYY-MM"];

/// Returns a name without the date of a version at its end: `-2025-11-20`, `-20251120` or
/// `-2025-11`. `None` if it does not end with a date from 2000 to 2099.
pub(super) fn without_date(name: &str) -> Option<&str> {
    DATES.iter().find_map(|form| {
        let cut = name.len().checked_sub(form.len())?;
        let (before, date) = (name.get(..cut)?, name.get(cut..)?);
        (!before.is_empty() && is_date(date, form)).then_some(before)
    })
}

fn is_date(text: &str, form: &str) -> bool {
    let (mut year, mut month, mut day) = (0, 0, 0);
    for (byte, sign) in text.bytes().zip(form.bytes()) {
        let part = match sign {
            b'Y' => &mut year,
            b'M' => &mut month,
            b'D' => &mut day,
            _ if byte == sign => continue,
            _ => return false,
        };
        if !byte.is_ascii_digit() {
            return false;
        }
        *part = *part * 10 + u32::from(byte - b'0');
    }
    let has_day = form.contains('D');
    (2000..2100).contains(&year) && (1..=12).contains(&month) && (!has_day || (1..=31).contains(&day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_with_a_date_or_does_not() {
        let check = |name: &str, expected: Option<&str>| assert_eq!(without_date(name), expected, "{name}");
        check("mini-2025-11-20", Some("mini"));
        check("mini-20251120", Some("mini"));
        check("mini-2025-11", Some("mini"));
        check("a-2024-01-02-2025-11", Some("a-2024-01-02"));
        // A year, a month and a day of no year, and numbers that are no dates.
        for other in [
            "mini",
            "mini-2025",
            "mini-1120",
            "mini-001",
            "mini-2025-13",
            "mini-2025-11-32",
            "mini-20251320",
            "mini-1925-11-20",
            "mini-2025-1-2",
            "mini2025-11-20x",
            "mini-2025_11_20",
            "-2025-11-20",
            "模型-2025-1１",
            "",
        ] {
            check(other, None);
        }
    }

    #[test]
    fn a_reference_has_a_short_name() {
        let check = |model: &str, expected: &str| assert_eq!(model_name(model), expected, "{model}");
        check("litellm:fast=mini@sha256:00", "mini");
        check("mini", "mini");
        check("a=b=c", "c");
        check("", "");
    }
}

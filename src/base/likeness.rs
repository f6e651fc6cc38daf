//! Ids that differ only in how they are written: case, blanks, zero padding, or a `.0` behind a whole
//! number.

use std::fmt;

/// One way in which two ids are written differently although they mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// One of the ids is a whole number that was written as a real number, such as `123.0`.
    Decimal,
    /// One of the ids has blanks before or behind it.
    Blanks,
    /// The ids have letters of different case.
    Case,
    /// One of the ids is a number with zeros before it, such as `00123`.
    ZeroPadding,
}

impl Likeness {
    /// Every way, in the order in which they are undone.
    const ALL: [Self; 4] = [Self::Blanks, Self::Decimal, Self::Case, Self::ZeroPadding];

    /// Returns the id without this way of writing.
    fn undo(self, id: &str) -> String {
        match self {
            Self::Decimal => without_decimals(id).to_owned(),
            Self::Blanks => id.trim().to_owned(),
            Self::Case => id.to_lowercase(),
            Self::ZeroPadding => without_zeros(id).to_owned(),
        }
    }
}

impl fmt::Display for Likeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decimal => "`.0` behind whole numbers",
            Self::Blanks => "blanks around ids",
            Self::Case => "upper and lower case",
            Self::ZeroPadding => "zeros before numbers",
        })
    }
}

/// Returns all ways in which two ids are written differently. It is empty if the ids are equal, or
/// if they differ in more than the way they are written.
pub fn likeness(a: &str, b: &str) -> Vec<Likeness> {
    let plain = |id: &str, left_out: Option<Likeness>| {
        let undone = Likeness::ALL.into_iter().filter(|way| Some(*way) != left_out);
        undone.fold(id.to_owned(), |id, way| way.undo(&id))
    };
    if a == b || plain(a, None) != plain(b, None) {
        return Vec::new();
    }
    let needed = |way: &Likeness| plain(a, Some(*way)) != plain(b, Some(*way));
    let mut ways: Vec<Likeness> = Likeness::ALL.into_iter().filter(needed).collect();
    ways.sort_unstable();
    ways
}

/// Returns other ways to write an id, without the id itself. Among them are all ids that differ from
/// it in one way of [`Likeness`], except mixed case and several blanks.
pub fn spellings(id: &str) -> Vec<String> {
    let trimmed = id.trim();
    let whole = without_decimals(trimmed);
    let bare = without_zeros(whole);
    let mut all: Vec<String> = [trimmed, whole, bare].map(str::to_owned).into();
    if is_whole(bare) {
        // A padded id has the width of the largest: at most 20 digits of a 64-bit number.
        all.extend((bare.len() + 1..=20).map(|width| format!("{bare:0>width$}")));
        all.extend([bare, whole].map(|number| format!("{number}.0")));
    } else {
        all.extend([trimmed.to_lowercase(), trimmed.to_uppercase()]);
    }
    all.extend([format!("{trimmed} "), format!(" {trimmed}")]);
    all.sort_unstable();
    all.dedup();
    all.retain(|other| other != id && !other.is_empty());
    all
}

fn is_whole(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// Removes the decimals of a whole number: `123.0` and `123.00` become `123`.
fn without_decimals(id: &str) -> &str {
    match id.split_once('.') {
        Some((number, zeros))
            if is_whole(number.strip_prefix('-').unwrap_or(number))
                && !zeros.is_empty()
                && zeros.bytes().all(|byte| byte == b'0') =>
        {
            number
        }
        _ => id,
    }
}

/// Removes the zeros before a whole number, but not its last digit.
fn without_zeros(id: &str) -> &str {
    if !is_whole(id) {
        return id;
    }
    match id.trim_start_matches('0') {
        "" => "0",
        bare => bare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_of_writing_are_named() {
        let check = |a: &str, b: &str, expected: &[Likeness]| {
            assert_eq!(likeness(a, b), expected, "{a} {b}");
            assert_eq!(likeness(b, a), expected, "{b} {a}");
        };
        check("123.0", "123", &[Likeness::Decimal]);
        check("123.00", "123", &[Likeness::Decimal]);
        check("0.0", "0", &[Likeness::Decimal]);
        check("V1", "v1", &[Likeness::Case]);
        check("V1 ", "v1", &[Likeness::Blanks, Likeness::Case]);
        check("00123", "123", &[Likeness::ZeroPadding]);
        check("0000", "0", &[Likeness::ZeroPadding]);
        check("00123.0", "123", &[Likeness::Decimal, Likeness::ZeroPadding]);
        check("123", "123", &[]);
        check("123.5", "123", &[]);
        check("v1", "v2", &[]);
        check("v1.0", "v1", &[]);
        check("", "0", &[]);
    }

    #[test]
    fn spellings_hold_the_other_side() {
        let check = |log: &str, table: &str| {
            assert!(spellings(log).contains(&table.to_owned()), "{log} {table}");
            assert!(!spellings(log).contains(&log.to_owned()), "{log}");
        };
        check("123.0", "123");
        check("123", "123.0");
        check("00123", "123");
        check("123", "0000123");
        check("00123.0", "123");
        check("U7", "u7");
        check("u7", "U7");
        check(" u7", "u7");
        check("u7", "u7 ");
        check("0.0", "0");
    }
}

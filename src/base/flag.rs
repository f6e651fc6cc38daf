//! Words that mean true or false.

/// What is expected of a flag.
pub(crate) const EXPECTED: &str = "true or false";

/// The flag that a text means. `None` if it means none. Words of other languages are not read.
pub(crate) fn parse(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "t" | "1.0" => Some(true),
        "false" | "0" | "no" | "f" | "0.0" => Some(false),
        _ => None,
    }
}

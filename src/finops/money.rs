//! Amounts of money: their text, and the error of a sum that overflows.

use crate::base::error::Error;

pub(super) fn overflow(what: &str) -> Error {
    Error::input(
        "",
        format!("expected sums below 9.2 billion USD and 2^63, found more: {what}"),
    )
    .hint("check the units of cost_usd and tokens, or take a shorter period: --from, --until")
}

/// Formats nano-USD as USD with nine decimals, without rounding.
pub fn usd_text(nano: i64) -> String {
    let (sign, rest) = (if nano < 0 { "-" } else { "" }, nano.unsigned_abs());
    format!("{sign}{}.{:09}", rest / 1_000_000_000, rest % 1_000_000_000)
}

//! Columns of Sluice that two columns of a file make together: a length of time between two instants,
//! and an amount from a quantity and a price.

use crate::base::time::DAY;
use crate::init::fit::{How, sql_name};
use crate::init::guess::{Guess, Guesses, Role, guess};
use crate::init::names::Name;
use crate::init::profile::ColumnProfile;
use crate::init::times::END_NAMES;

/// Names of a number of things.
const QUANTITY: &[&str] = &[
    "quantity",
    "qty",
    "units",
    "n items",
    "item count",
    "数量",
    "件数",
];
/// Names of the price of one thing.
const PRICE: &[&str] = &["unit price", "price", "item price", "单价", "价格"];

/// Guesses the columns of a source: single ones, and those that two columns make together.
pub(crate) fn guess_with_pairs(role: Role, profiles: &[ColumnProfile]) -> Guesses {
    let mut guesses = guess(role, profiles);
    let pair = match role {
        Role::Traffic => latency(profiles, &guesses),
        Role::Events => amount(profiles, &guesses),
        Role::Users => None,
    };
    if let Some(pair) = pair {
        guesses.used.retain(|guess| guess.column != pair.column);
        guesses.unused.retain(|name| *name != pair.file_column);
        guesses.used.push(pair);
    }
    guesses
}

/// The latency of a log that has the instants of start and end.
fn latency(profiles: &[ColumnProfile], guesses: &Guesses) -> Option<Guess> {
    if guesses.get("latency_ms").is_some() {
        return None;
    }
    let start = guesses
        .get("event_time")
        .filter(|guess| guess.how == How::Plain)?;
    let of_start = profiles
        .iter()
        .find(|profile| profile.name == start.file_column)?;
    let (first, last) = of_start.span?;
    let is_end = |profile: &&ColumnProfile| {
        let is_near = profile
            .span
            .is_some_and(|(a, b)| a >= first && b >= last && b - last < DAY);
        is_near && Name::new(&profile.name).says_best(END_NAMES) > 0.6
    };
    let end = profiles
        .iter()
        .filter(is_end)
        .max_by_key(|profile| profile.n_known())?;
    Some(Guess {
        column: "latency_ms",
        file_column: end.name.clone(),
        how: How::Derive(format!(
            "epoch_ms({}) - epoch_ms({})",
            sql_name(&end.name),
            sql_name(&start.file_column)
        )),
        confidence: 0.7,
        why: format!("the time since `{}`", start.file_column),
        is_unsure: true,
    })
}

/// The amount of an event that has a quantity and a price.
fn amount(profiles: &[ColumnProfile], guesses: &Guesses) -> Option<Guess> {
    let price = guesses
        .get("value")
        .filter(|guess| guess.how == How::Plain && Name::new(&guess.file_column).says_best(PRICE) > 0.8)?;
    let is_quantity = |profile: &&ColumnProfile| {
        profile.is_numeric()
            && profile.n_whole == profile.n_number
            && Name::new(&profile.name).says_best(QUANTITY) > 0.8
    };
    let quantity = profiles.iter().find(is_quantity)?;
    Some(Guess {
        how: How::Derive(format!(
            "{} * {}",
            sql_name(&quantity.name),
            sql_name(&price.file_column)
        )),
        confidence: 0.7,
        why: format!("a price times `{}`", quantity.name),
        is_unsure: true,
        ..price.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::profile::Scalar;

    fn check(role: Role, columns: &[(&str, &[&str])], column: &str, expected: Option<&str>) {
        let profiles: Vec<ColumnProfile> = columns
            .iter()
            .map(|(name, values)| {
                let mut profile = ColumnProfile::new(name);
                values.iter().for_each(|value| profile.add(Scalar::Text(value)));
                profile
            })
            .collect();
        let guesses = guess_with_pairs(role, &profiles);
        let how = guesses.get(column).map(|guess| guess.how.clone());
        assert_eq!(
            how,
            expected.map(|sql| How::Derive(sql.to_owned())),
            "{columns:?}"
        );
    }

    #[test]
    fn two_columns_make_one() {
        let start = ("start_time", &["2026-05-28 10:00:00", "2026-05-28 11:00:00"][..]);
        let end = ("end_time", &["2026-05-28 10:00:02", "2026-05-28 11:00:03"][..]);
        let before = ("end_time", &["2026-05-27 10:00:02", "2026-05-28 10:00:03"][..]);
        let latency = "epoch_ms(end_time) - epoch_ms(start_time)";
        check(Role::Traffic, &[start, end], "latency_ms", Some(latency));
        check(Role::Traffic, &[start, before], "latency_ms", None);
        let day = ("InvoiceDate", &["2026-05-28", "2026-05-29"][..]);
        let (n, price) = (("Quantity", &["2", "3"][..]), ("UnitPrice", &["2.5", "3"][..]));
        let amount = "\"Quantity\" * \"UnitPrice\"";
        check(Role::Events, &[day, n, price], "value", Some(amount));
    }
}

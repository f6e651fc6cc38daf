//! Suggestions for names that are not known.

/// Returns the known name that a reader most probably meant. `None` if all names differ too much.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|other| {
            let distance = strsim::damerau_levenshtein(&lower, &other.to_lowercase());
            (distance, other)
        })
        .filter(|(distance, other)| *distance <= 1 + other.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_suggested() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(
                nearest(name, ["user_id", "last_seen", "visits"]),
                expected,
                "{name}"
            );
        };
        check("User_ID", Some("user_id"));
        check("usr_id", Some("user_id"));
        check("last_see", Some("last_seen"));
        check("visit", Some("visits"));
        check("user_value", None);
        check("accept_score", None);
    }
}

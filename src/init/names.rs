//! Names of columns against the words of a target, in English and Chinese.

use crate::base::skeleton::{fold, is_han, words};

/// The words of a name, in lower case, with the characters of one form.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    parts: Vec<String>,
    joined: String,
    /// Number of the words before units and periods at the end: two of `user_visits_30d`.
    n_core: usize,
}

/// Words at the end of a name that say the form of its values, and not what they are.
#[rustfmt::skip]
const QUALIFIERS: &[&str] = &[
    "ms", "msec", "millis", "milliseconds", "us", "micros", "ns", "nanos", "nano", "s", "sec", "secs",
    "seconds", "min", "minutes", "usd", "dollars", "cent", "cents", "eur", "cny", "flag", "pct",
    "percent", "d", "day", "days", "h", "hours", "w", "weeks", "m", "months", "y", "utc", "unix",
    "epoch", "iso", "str", "num",
];

impl Name {
    pub(crate) fn new(name: &str) -> Self {
        let parts: Vec<String> = words(name).iter().map(|word| fold(word)).collect();
        let joined = parts.concat();
        let is_qualifier =
            |part: &&String| QUALIFIERS.contains(&part.as_str()) || part.chars().all(|c| c.is_ascii_digit());
        let n_qualifiers = parts.iter().rev().take_while(is_qualifier).count();
        let n_core = parts.len() - n_qualifiers;
        Self {
            parts,
            joined,
            n_core,
        }
    }

    /// Whether one of the words is in the list. A Chinese word counts anywhere in the name.
    pub(crate) fn has(&self, wanted: &[&str]) -> bool {
        wanted.iter().any(|word| {
            self.parts.iter().any(|part| part == word)
                || word.chars().any(is_han) && self.joined.contains(word)
        })
    }

    /// The last of the words; empty for a name without any.
    pub(crate) fn last(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }

    /// How well the name says a phrase, 0..=1: 1 for the phrase alone, less for a name that ends
    /// with it, starts with it or has it inside.
    pub(crate) fn says(&self, phrase: &str) -> f64 {
        let phrase_name = Self::new(phrase);
        let (wanted, parts) = (&phrase_name.parts, &self.parts);
        if wanted.is_empty() || parts.is_empty() {
            return 0.0;
        }
        if phrase_name.joined == self.joined {
            return 1.0;
        }
        if phrase.chars().any(is_han) {
            let share = phrase_name.joined.chars().count() as f64 / self.joined.chars().count() as f64;
            return if self.joined.contains(&phrase_name.joined) {
                0.5 + 0.4 * share
            } else {
                0.0
            };
        }
        let n_more = parts.len().saturating_sub(wanted.len()) as f64;
        let core = &parts[..self.n_core];
        if core == wanted {
            return 0.95;
        }
        if parts.ends_with(wanted) || core.ends_with(wanted) {
            return (0.88 - 0.06 * n_more).max(0.5);
        }
        // `userid`, `msgtimestamp`: names without separators.
        if phrase_name.joined.len() >= 6 && parts.len() == 1 && self.joined.ends_with(&phrase_name.joined) {
            return 0.6;
        }
        // One word at another place says little: `user_feature` is no user.
        if wanted.len() == 1 {
            return if parts.starts_with(wanted) { 0.4 } else { 0.0 };
        }
        if parts.starts_with(wanted) {
            return (0.74 - 0.08 * n_more).max(0.4);
        }
        if parts.windows(wanted.len()).any(|part| part == wanted) {
            return (0.62 - 0.06 * n_more).max(0.35);
        }
        0.0
    }

    /// The best of [`Self::says`] for some phrases.
    pub(crate) fn says_best(&self, phrases: &[&str]) -> f64 {
        phrases.iter().map(|phrase| self.says(phrase)).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_by_their_words() {
        let check = |name: &str, phrase: &str, expected: std::ops::RangeInclusive<f64>| {
            let found = Name::new(name).says(phrase);
            assert!(expected.contains(&found), "{name} {phrase}: {found}");
        };
        check("user_id", "user id", 1.0..=1.0);
        check("userId", "user id", 1.0..=1.0);
        check("USERID", "user id", 1.0..=1.0);
        check("User.ID", "user id", 1.0..=1.0);
        check("log.user_id", "user id", 0.8..=0.9);
        check("user_id_hash", "user id", 0.6..=0.7);
        check("superuser", "user", 0.0..=0.0);
        check("user_feature_2", "user", 0.0..=0.4);
        check("latency_ms", "latency", 0.95..=0.95);
        check("user.visits_30d", "visits", 0.6..=0.8);
        check("item_status_color", "status", 0.0..=0.0);
        check("msgtimestamp", "timestamp", 0.6..=0.6);
        check("用户ID", "用户id", 1.0..=1.0);
        check("用戶編號", "用户", 0.0..=0.9);
        check("请求耗时(毫秒)", "耗时", 0.6..=0.8);
        check("价格", "耗时", 0.0..=0.0);
    }
}

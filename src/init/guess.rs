//! Which column of a file is which column of Sluice.

use std::collections::BTreeMap;

use crate::init::fit::{Fit, How, fit};
use crate::init::names::Name;
use crate::init::profile::ColumnProfile;
use crate::init::release;
use crate::init::targets::{EVENTS, Kind, TRAFFIC, Target, USERS};
use crate::scenario::{SensitiveRule, sensitive_word};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// One row a user.
    Users,
    /// One row an event.
    Events,
    /// One row a turn.
    Traffic,
}

impl Role {
    fn targets(self) -> &'static [Target] {
        match self {
            Self::Users => USERS,
            Self::Events => EVENTS,
            Self::Traffic => TRAFFIC,
        }
    }
}

/// A column of Sluice, and the column of a file that it is taken from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Guess {
    /// Name of Sluice.
    pub(crate) column: &'static str,
    /// Name in the file.
    pub(crate) file_column: String,
    pub(crate) how: How,
    /// 0..=1.
    pub(crate) confidence: f64,
    /// Reason, for a comment.
    pub(crate) why: String,
    /// Whether the unit or the meaning of values is not certain.
    pub(crate) is_unsure: bool,
}

impl Guess {
    /// Whether a person should look at the guess.
    pub(crate) fn is_certain(&self) -> bool {
        self.confidence >= 0.75 && !self.is_unsure
    }
}

/// The columns of a source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guesses {
    /// The columns that are used, in the order of Sluice's columns.
    pub(crate) used: Vec<Guess>,
    /// Other possible columns.
    pub(crate) alternatives: Vec<Guess>,
    /// Columns with a sensitive attribute in their names, with the word.
    pub(crate) sensitive: Vec<(String, String)>,
    /// Columns with lists or objects, which are not read.
    pub(crate) nested: Vec<String>,
    /// Columns without a use.
    pub(crate) unused: Vec<String>,
}

impl Guesses {
    /// The column that is used for a name of Sluice.
    pub(crate) fn get(&self, column: &str) -> Option<&Guess> {
        self.used.iter().find(|guess| guess.column == column)
    }

    /// Whether a name of Sluice was guessed from values alone.
    pub(crate) fn is_by_values(&self, column: &str) -> bool {
        self.get(column)
            .is_some_and(|guess| guess.confidence <= BY_VALUES)
    }

    /// Takes a guess out of the columns that are used, and keeps it as an alternative.
    pub(crate) fn demote(&mut self, column: &str) {
        if let Some(idx) = self.used.iter().position(|guess| guess.column == column) {
            let guess = self.used.remove(idx);
            self.alternatives.push(guess);
        }
    }
}

/// A name must say at least this much of a target.
const LEAST_NAME: f64 = 0.35;
/// A guess of at least this confidence is used.
const LEAST_USED: f64 = 0.45;
/// A guess of at least this confidence is an alternative.
const LEAST_ALTERNATIVE: f64 = 0.34;
/// Confidence of a guess from values alone.
const BY_VALUES: f64 = 0.35;
/// Weight of names that often mean something else.
const WEAK: f64 = 0.68;
/// Weight of names that have such a name inside.
const PART_OF_WEAK: f64 = 0.7;
/// The largest number of alternatives of one column.
const MAX_ALTERNATIVES: usize = 2;

/// Guesses the columns of a source from the profiles of its columns.
pub(crate) fn guess(role: Role, profiles: &[ColumnProfile]) -> Guesses {
    let mut guesses = Guesses::default();
    let mut found: Vec<(f64, usize, usize, Guess)> = Vec::new();
    for (idx, profile) in profiles.iter().enumerate() {
        let name = Name::new(&profile.name);
        if let Some(word) = sensitive_word(&profile.name, &[]) {
            guesses.sensitive.push((profile.name.clone(), word));
        }
        for (target_idx, target) in role.targets().iter().enumerate() {
            if let Some(guess) = score(role, target, profile, &name) {
                found.push((guess.confidence, target_idx, idx, guess));
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut taken: BTreeMap<usize, &'static str> = BTreeMap::new();
    for (confidence, _, idx, guess) in found {
        let may_share = |other: &&'static str| {
            [*other, guess.column] == ["bad", "csat"] || [*other, guess.column] == ["csat", "bad"]
        };
        let is_free = taken.get(&idx).is_none_or(may_share);
        let n_others = guesses
            .alternatives
            .iter()
            .filter(|other| other.column == guess.column)
            .count();
        if confidence >= LEAST_USED && is_free && guesses.get(guess.column).is_none() && !is_rate(&guess) {
            taken.insert(idx, guess.column);
            guesses.used.push(guess);
        } else if confidence >= LEAST_ALTERNATIVE && n_others < MAX_ALTERNATIVES && is_free {
            guesses.alternatives.push(guess);
        }
    }
    by_values(role, profiles, &mut guesses);
    let order = |guess: &Guess| {
        role.targets()
            .iter()
            .position(|target| target.column == guess.column)
    };
    guesses.used.sort_by_key(order);
    guesses.alternatives.sort_by_key(order);
    let is_used = |name: &str| guesses.used.iter().any(|guess| guess.file_column == name);
    for profile in profiles.iter().filter(|profile| !is_used(&profile.name)) {
        if profile.native == crate::init::profile::Native::Other {
            guesses.nested.push(profile.name.clone());
        } else if !guesses.sensitive.iter().any(|(name, _)| *name == profile.name) {
            guesses.unused.push(profile.name.clone());
        }
    }
    guesses
        .sensitive
        .retain(|(name, _)| !guesses.used.iter().any(|guess| guess.file_column == *name));
    guesses
}

/// Whether a guess needs a rate of a currency, which no file states.
fn is_rate(guess: &Guess) -> bool {
    matches!(guess.how, How::Currency(_))
}

fn score(role: Role, target: &Target, profile: &ColumnProfile, name: &Name) -> Option<Guess> {
    SensitiveRule::default()
        .check_named(target.column, &profile.name)
        .ok()?;
    let is_own = profile.name == target.column;
    let strong = name.says_best(target.names);
    let weak = name.says_best(target.weak);
    let weak = if weak == 1.0 {
        WEAK
    } else {
        WEAK * PART_OF_WEAK * weak
    };
    let by_name = if is_own { 1.05 } else { strong.max(weak) };
    if by_name < LEAST_NAME {
        return None;
    }
    let fit = fit(target.kind, target.column, profile, name)?;
    let n_null = profile.n_null as f64 / profile.n.max(1) as f64;
    let mut confidence = by_name * fit.score * (1.0 - 0.3 * n_null) + 0.02 * profile.distinct_share();
    let distinct = profile.distinct_share();
    confidence *= match (role, target.column) {
        (Role::Users, "user_id") => 0.5 + 0.5 * distinct,
        (Role::Traffic | Role::Events, "user_id") if distinct > 0.999 && profile.n > 50 => 0.8,
        (Role::Traffic | Role::Events, "user_id") if profile.n_distinct() < 20 && profile.n > 1_000 => 0.5,
        // A tenant divides every layer, so a team or a shop is only an alternative.
        (_, "tenant_id") if !is_own && strong < 0.7 => 0.6,
        (_, "trace_id") => 0.4 + 0.6 * distinct,
        (_, "release_id") => 0.8 + 0.2 * release::looks(profile),
        (_, "session_id") if distinct < 0.001 && profile.n > 5_000 => 0.5,
        _ => 1.0,
    };
    let by = if is_own {
        "it has the name of Sluice".to_owned()
    } else {
        format!("by its name ({:.0}%)", 100.0 * by_name.min(1.0))
    };
    Some(Guess {
        column: target.column,
        file_column: profile.name.clone(),
        confidence: confidence.min(1.0),
        why: format!("{by}; {}", fit.why),
        is_unsure: fit.is_unsure,
        how: fit.how,
    })
}

/// Guesses from values alone, for the columns that a source cannot do without.
fn by_values(role: Role, profiles: &[ColumnProfile], guesses: &mut Guesses) {
    let kinds: &[(&'static str, Kind)] = match role {
        Role::Users => &[("user_id", Kind::Id)],
        Role::Events => &[("event_time", Kind::Time), ("user_id", Kind::Id)],
        Role::Traffic => &[
            ("event_time", Kind::Time),
            ("release_id", Kind::Label),
            ("user_id", Kind::Id),
        ],
    };
    for (column, kind) in kinds {
        if guesses.get(column).is_some() {
            continue;
        }
        let free = profiles.iter().filter(|profile| {
            !guesses.used.iter().any(|guess| guess.file_column == profile.name)
                && sensitive_word(&profile.name, &[]).is_none()
        });
        let fitting = free.filter_map(|profile| {
            let fit = fit(*kind, column, profile, &Name::new(&profile.name))?;
            Some((suits(role, column, profile, &fit)?, profile, fit))
        });
        let best = fitting.reduce(|best, next| if next.0 > best.0 { next } else { best });
        if let Some((_, profile, fit)) = best {
            guesses.used.push(Guess {
                column,
                file_column: profile.name.clone(),
                confidence: BY_VALUES,
                why: format!("by its values alone: {}", fit.why),
                is_unsure: true,
                how: fit.how,
            });
        }
    }
}

/// How well a column suits by its values; `None` if it does not.
fn suits(role: Role, column: &str, profile: &ColumnProfile, fit: &Fit) -> Option<f64> {
    let distinct = profile.distinct_share();
    match column {
        "event_time" => (fit.score > 0.9).then(|| profile.n_distinct() as f64),
        "release_id" => {
            let is_pair = (2..=8).contains(&profile.words.len())
                && !profile.is_numeric()
                && release::looks(profile) > 0.9;
            is_pair.then(|| 1.0 / profile.words.len() as f64)
        }
        // A key of users: all different in a table of users, repeated in a log.
        _ if profile.n_null > 0 || !says_key(profile) || says_thing(profile) => None,
        _ if role == Role::Users => (distinct > 0.99).then_some(distinct),
        _ => (distinct > 0.001 && distinct < 0.9 && profile.n_distinct() > 20).then_some(distinct),
    }
}

/// Whether the name of a column says that it is a key of things, and not of people.
fn says_thing(profile: &ColumnProfile) -> bool {
    Name::new(&profile.name).has(&[
        "item",
        "product",
        "sku",
        "goods",
        "article",
        "question",
        "prompt",
        "model",
        "template",
        "store",
        "page",
        "ad",
        "campaign",
        "document",
        "doc",
        "invoice",
        "order",
        "stock",
        "card",
        "task",
        "test",
        "experiment",
        "商品",
        "产品",
        "订单",
        "文章",
        "题目",
        "模型",
    ])
}

/// Whether the name of a column says that it is a key.
fn says_key(profile: &ColumnProfile) -> bool {
    let name = Name::new(&profile.name);
    name.has(&[
        "id", "key", "uuid", "no", "编号", "号", "标识", "hash", "uid", "guid",
    ]) || name.last().ends_with("id") && name.last().len() > 2
}

#[cfg(test)]
mod tests;

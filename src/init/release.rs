//! The releases of a log: which one is the candidate, since when, and at which ratios.

use hashbrown::HashMap;
use std::collections::BTreeMap;

use crate::base::number::{count, percent};
use crate::base::skeleton::hidden_char;
use crate::base::time::{self, DAY, HOUR, Micros};
use crate::init::profile::ColumnProfile;

/// The largest number of releases that are told apart.
const MAX_RELEASES: usize = 64;
/// The largest number of users whose releases are remembered.
const MAX_USERS: usize = 4_000_000;

/// One row of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn<'a> {
    /// Microseconds, UTC.
    pub(crate) at: Micros,
    /// Hash of the user.
    pub(crate) user: u64,
    /// `None` or empty for a row without a release.
    pub(crate) release: Option<&'a str>,
}

/// The counts of a release.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReleaseFacts {
    pub(crate) id: String,
    pub(crate) n_rows: u64,
    pub(crate) first: Micros,
    pub(crate) last: Micros,
}

/// The counts of a log.
#[derive(Debug, Clone, Default)]
pub(crate) struct TurnFacts {
    pub(crate) n_rows: u64,
    /// The first and the last instant.
    pub(crate) span: Option<(Micros, Micros)>,
    releases: Vec<ReleaseFacts>,
    index: HashMap<String, usize>,
    /// The releases of each user, as bits.
    users: HashMap<u64, u64>,
    /// Rows by hour and release.
    hours: BTreeMap<(i64, usize), u64>,
    pub(crate) n_without_release: u64,
}

impl TurnFacts {
    pub(crate) fn add(&mut self, turn: Turn<'_>) {
        self.n_rows += 1;
        let (at, span) = (turn.at, self.span.get_or_insert((turn.at, turn.at)));
        *span = (span.0.min(at), span.1.max(at));
        let Some(id) = turn.release.filter(|id| !id.is_empty()) else {
            self.n_without_release += 1;
            return;
        };
        let idx = match self.index.get(id) {
            Some(idx) => *idx,
            None if self.releases.len() < MAX_RELEASES => {
                self.index.insert(id.to_owned(), self.releases.len());
                self.releases.push(ReleaseFacts {
                    id: id.to_owned(),
                    n_rows: 0,
                    first: at,
                    last: at,
                });
                self.releases.len() - 1
            }
            None => return,
        };
        let release = &mut self.releases[idx];
        release.n_rows += 1;
        release.first = release.first.min(at);
        release.last = release.last.max(at);
        *self.hours.entry((at.div_euclid(HOUR), idx)).or_default() += 1;
        if self.users.len() < MAX_USERS || self.users.contains_key(&turn.user) {
            *self.users.entry(turn.user).or_default() |= 1 << idx;
        }
    }

    /// The releases that a scenario can name, the most frequent first.
    pub(crate) fn releases(&self) -> Vec<&ReleaseFacts> {
        // A scenario refuses names that a reader does not see as they are.
        let is_plain = |release: &&ReleaseFacts| hidden_char(&release.id).is_none();
        let mut releases: Vec<&ReleaseFacts> = self.releases.iter().filter(is_plain).collect();
        releases.sort_by(|a, b| b.n_rows.cmp(&a.n_rows).then(a.id.cmp(&b.id)));
        releases
    }

    /// The share of the users of two releases who have rows of both, 0..=1.
    fn crossover(&self, a: usize, b: usize) -> f64 {
        let mask = 1_u64 << a | 1 << b;
        let of_both = self.users.values().filter(|bits| **bits & mask != 0);
        let (n, both) = of_both.fold((0_u64, 0_u64), |(n, both), bits| {
            (n + 1, both + u64::from(bits & mask == mask))
        });
        if n == 0 { 0.0 } else { both as f64 / n as f64 }
    }
}

/// The two releases of a plan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReleasePair {
    pub(crate) baseline: String,
    /// Empty if the log has one release only.
    pub(crate) candidate: String,
    /// Reason for the choice, for a comment.
    pub(crate) why: String,
    /// Whether the order of the two is certain.
    pub(crate) is_certain: bool,
    /// First instant of the plan.
    pub(crate) start: Micros,
    pub(crate) start_why: String,
    /// Ratios of the candidate as shares of rows, with the instants from which they hold.
    pub(crate) stages: Vec<(Micros, f64)>,
    /// Share of users with rows of both releases, 0..=1.
    pub(crate) crossover: f64,
}

/// Chooses baseline and candidate from a log. `None` if no row has a release.
pub(crate) fn choose_releases(facts: &TurnFacts) -> Option<ReleasePair> {
    let releases = facts.releases();
    let (first, last) = facts.span?;
    let one = *releases.first()?;
    let Some(two) = releases.get(1).copied() else {
        return Some(ReleasePair {
            baseline: one.id.clone(),
            candidate: String::new(),
            why: "the log has one release only".into(),
            is_certain: false,
            start: first,
            start_why: "the first row".into(),
            stages: Vec::new(),
            crossover: 0.0,
        });
    };
    let (baseline, candidate, order, is_certain) = ordered(one, two, last - first);
    let n = facts.n_rows.max(1) as f64;
    let others = releases.len() - 2;
    let more = if others > 0 {
        format!("; {others} more releases count as unknown")
    } else {
        String::new()
    };
    let why = format!(
        "the two most frequent releases, {} and {} of {} rows; {order}{more}",
        percent(baseline.n_rows as f64 / n),
        percent(candidate.n_rows as f64 / n),
        count(facts.n_rows),
    );
    // A candidate that was there from the beginning starts the plan with the log.
    let is_early = candidate.first - first <= ((last - first) / 50).max(HOUR);
    let start = if is_early {
        first.div_euclid(DAY) * DAY
    } else {
        candidate.first.div_euclid(HOUR) * HOUR
    };
    let start_why = if is_early {
        "the day of the first row"
    } else {
        "the hour of the candidate's first row; earlier rows are outside of the plan"
    };
    let idx = |release: &ReleaseFacts| facts.index.get(&release.id).copied().unwrap_or_default();
    let (b, c) = (idx(baseline), idx(candidate));
    Some(ReleasePair {
        baseline: baseline.id.clone(),
        candidate: candidate.id.clone(),
        why,
        is_certain,
        start,
        start_why: start_why.into(),
        stages: stages(facts, b, c, start),
        crossover: facts.crossover(b, c),
    })
}

#[rustfmt::skip]
const OLD: &[&str] = &[
    "control", "baseline", "old", "stable", "a", "ctrl", "current", "legacy", "production", "prod", "对照组",
    "对照", "旧版", "基线", "稳定版", "random", "con",
];
#[rustfmt::skip]
const NEW: &[&str] = &[
    "treatment", "candidate", "new", "canary", "b", "test", "variant", "experiment", "challenger", "treat",
    "beta", "实验组", "实验", "新版", "灰度", "候选",
];

/// Whether the name of a release says that it is the old or the new one: -1, 0 or 1.
fn side(id: &str) -> i32 {
    let name = crate::init::names::Name::new(id);
    i32::from(name.has(NEW)) - i32::from(name.has(OLD))
}

fn ordered<'a>(
    one: &'a ReleaseFacts,
    two: &'a ReleaseFacts,
    length: Micros,
) -> (&'a ReleaseFacts, &'a ReleaseFacts, &'static str, bool) {
    let sort = |one_is_old: bool| if one_is_old { (one, two) } else { (two, one) };
    let (by_name, by_first) = (
        side(one.id.as_str()) - side(two.id.as_str()),
        one.first - two.first,
    );
    let by_version = natural_cmp(&one.id, &two.id);
    let ((baseline, candidate), why, is_certain) = if by_name != 0 {
        (sort(by_name < 0), "their names say which is new", true)
    } else if by_first.abs() > (length / 50).max(HOUR) {
        (sort(by_first < 0), "the candidate appears later", true)
    } else if by_version != std::cmp::Ordering::Equal && prefix(&one.id) == prefix(&two.id) {
        (
            sort(by_version == std::cmp::Ordering::Less),
            "the candidate has the higher version",
            true,
        )
    } else {
        (
            sort(true),
            "both appear at once, and the less frequent one is taken as the candidate",
            false,
        )
    };
    (baseline, candidate, why, is_certain)
}

/// The letters before the first digit, in lower case.
fn prefix(id: &str) -> String {
    id.chars()
        .take_while(|c| !c.is_ascii_digit())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Compares texts with their numbers as numbers, so that `v10` follows `v9`.
fn natural_cmp(a: &str, b: &str) -> std::cmp::Ordering {
    let parts = |text: &str| {
        let mut parts: Vec<(String, u64)> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let text_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let (head, tail) = rest.split_at(text_end);
            let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
            parts.push((head.to_lowercase(), tail[..digits].parse().unwrap_or(0)));
            rest = &tail[digits..];
        }
        parts
    };
    parts(a).cmp(&parts(b))
}

/// How much the values of a column look like releases, 0..=1.
pub(crate) fn looks(profile: &ColumnProfile) -> f64 {
    let Some(words) = profile.few_words().filter(|words| words.len() >= 2) else {
        return 0.0;
    };
    let is_release = |word: &str| {
        side(word) != 0 && word.chars().count() <= 20
            || word.len() <= 60
                && word.chars().any(|c| c.is_ascii_digit())
                && word.chars().any(|c| c.is_alphabetic() || c == '.')
    };
    let n: u64 = words.values().sum();
    let like: u64 = words
        .iter()
        .filter(|(word, _)| is_release(word))
        .map(|(_, n)| n)
        .sum();
    if n == 0 { 0.0 } else { like as f64 / n as f64 }
}

/// At most this many ratios are proposed.
const MAX_STAGES: usize = 12;
/// Rows of a period that are enough to see a change.
const LEAST_ROWS: u64 = 60;

/// The periods in which the candidate's share of rows stays about the same.
fn stages(facts: &TurnFacts, baseline: usize, candidate: usize, start: Micros) -> Vec<(Micros, f64)> {
    let bins = bins(facts, baseline, candidate, start);
    let mut stages: Vec<(Micros, [u64; 2])> = Vec::new();
    for (at, [b, c]) in bins {
        let share = |[b, c]: [u64; 2]| c as f64 / (b + c).max(1) as f64;
        let changes = stages.last().is_none_or(|(_, sums)| {
            let (n, old, new) = (b + c, share(*sums), share([b, c]));
            let pooled = share([sums[0] + b, sums[1] + c]);
            let n_old = (sums[0] + sums[1]).max(1) as f64;
            let error = (pooled * (1.0 - pooled) * (1.0 / n as f64 + 1.0 / n_old)).sqrt();
            n >= LEAST_ROWS && (new - old).abs() > (0.25 * old).max(0.03) && (new - old).abs() > 6.0 * error
        });
        if changes {
            stages.push((at, [b, c]));
        } else if let Some((_, sums)) = stages.last_mut() {
            sums[0] += b;
            sums[1] += c;
        }
    }
    // Shares that change all the time are no ratios of a ramp.
    if stages.len() > MAX_STAGES {
        let all = stages
            .iter()
            .fold([0, 0], |sum, (_, [b, c])| [sum[0] + b, sum[1] + c]);
        stages = vec![(start, all)];
    }
    if let Some(first) = stages.first_mut() {
        first.0 = start;
    }
    stages
        .into_iter()
        .map(|(at, [b, c])| (at, c as f64 / (b + c).max(1) as f64))
        .collect()
}

/// Rows of both releases by hour; by day if hours have few rows.
fn bins(facts: &TurnFacts, baseline: usize, candidate: usize, start: Micros) -> BTreeMap<Micros, [u64; 2]> {
    let of = |length: i64| {
        let mut bins: BTreeMap<Micros, [u64; 2]> = BTreeMap::new();
        for ((hour, release), n) in &facts.hours {
            let side = match *release {
                release if release == baseline => 0,
                release if release == candidate => 1,
                _ => continue,
            };
            if hour * HOUR + HOUR > start {
                let at = (hour * HOUR).div_euclid(length) * length;
                bins.entry(at.max(start)).or_default()[side] += n;
            }
        }
        bins
    };
    let hours = of(HOUR);
    let n_rows: u64 = hours.values().map(|[b, c]| b + c).sum();
    if n_rows / hours.len().max(1) as u64 > LEAST_ROWS {
        hours
    } else {
        of(DAY)
    }
}

impl ReleaseFacts {
    /// One line about the release, for a comment.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} rows, {} to {}",
            count(self.n_rows),
            time::format(self.first),
            time::format(self.last)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of one row a minute, whose release and user are functions of the minute.
    fn log(minutes: i64, release: impl Fn(i64) -> &'static str) -> TurnFacts {
        let mut facts = TurnFacts::default();
        for minute in 0..minutes {
            let at = 1_779_926_400_000_000 + minute * 60_000_000;
            facts.add(Turn {
                at,
                user: (minute % 997) as u64 * 7 + 1,
                release: Some(release(minute)),
            });
        }
        facts
    }

    #[test]
    fn the_newer_release_is_the_candidate() {
        let check = |facts: &TurnFacts, baseline: &str, candidate: &str| {
            let pair = choose_releases(facts).unwrap();
            assert_eq!(
                (pair.baseline.as_str(), pair.candidate.as_str()),
                (baseline, candidate),
                "{}",
                pair.why
            );
        };
        check(
            &log(5_000, |m| if m % 3 == 0 { "v9" } else { "v10" }),
            "v9",
            "v10",
        );
        check(
            &log(5_000, |m| if m % 3 == 0 { "control" } else { "treatment" }),
            "control",
            "treatment",
        );
        check(
            &log(5_000, |m| if m > 2_000 && m % 2 == 0 { "alpha" } else { "gamma" }),
            "gamma",
            "alpha",
        );
        check(
            &log(5_000, |m| if m % 4 == 0 { "opus" } else { "haiku" }),
            "haiku",
            "opus",
        );
        check(&log(50, |_| "v1"), "v1", "");
    }

    #[test]
    fn changes_of_the_ratio_are_seen() {
        let ramped = log(20_000, |m| match m {
            0..10_000 if m % 10 == 0 => "v2",
            10_000.. if m % 2 == 0 => "v2",
            _ => "v1",
        });
        let pair = choose_releases(&ramped).unwrap();
        let shares: Vec<f64> = pair
            .stages
            .iter()
            .map(|(_, share)| (share * 20.0).round() / 20.0)
            .collect();
        assert!(
            shares.first() == Some(&0.1) && shares.last() == Some(&0.5) && shares.len() <= 3,
            "{shares:?}"
        );
        let steady = choose_releases(&log(20_000, |m| if m % 4 == 0 { "v2" } else { "v1" })).unwrap();
        assert_eq!(steady.stages.len(), 1);
    }
}

//! Scores that name no trace: of a session, or of a model's answer. Their turns are found while turns
//! are made.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Mutex;

use crate::base::lock::lock;
use crate::traces::record::{Nanos, Score, Target};
use crate::traces::turn::{TurnKey, TurnScore};

/// Scores without a trace, and the turns that they belong to.
pub(super) struct Loose {
    scores: Vec<Score<'static>>,
    by_session: HashMap<String, Vec<usize>>,
    by_response: HashMap<u64, Vec<usize>>,
    found: Mutex<HashMap<usize, Found>>,
}

/// The turn of a score.
enum Found {
    /// The best turn of a session so far, and whether it began before the score was given.
    Session(bool, TurnKey),
    /// The turn of the answer.
    Response(TurnKey),
    /// Several turns have the answer.
    Ambiguous,
}

impl Loose {
    /// Collects the scores. Of several rows of one score the latest counts.
    pub(super) fn new(mut scores: Vec<Score<'static>>) -> Self {
        let target = |score: &Score<'static>| match &score.target {
            Target::Session(session) => (0, session.to_string()),
            Target::Response(hash) => (1, hash.to_string()),
            Target::Trace(trace, _) => (2, trace.to_string()),
        };
        scores.sort_by_cached_key(|score| {
            let value = score.value.to_bits();
            (
                target(score),
                score.rule,
                score.id.clone(),
                Reverse(score.version),
                score.at,
                value,
            )
        });
        scores.dedup_by(|later, kept| {
            !kept.id.is_empty()
                && (later.rule, &later.id, &later.target) == (kept.rule, &kept.id, &kept.target)
        });
        let mut by_session: HashMap<String, Vec<usize>> = HashMap::new();
        let mut by_response: HashMap<u64, Vec<usize>> = HashMap::new();
        for (idx, score) in scores.iter().enumerate() {
            match &score.target {
                Target::Session(session) => by_session.entry(session.to_string()).or_default().push(idx),
                Target::Response(hash) => by_response.entry(*hash).or_default().push(idx),
                Target::Trace(..) => {}
            }
        }
        Self {
            scores,
            by_session,
            by_response,
            found: Mutex::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Offers a turn to the scores of its session and of its models' answers.
    pub(super) fn offer(&self, turn: &TurnKey, session: Option<&str>, responses: &[u64]) {
        let of_session = session.and_then(|session| self.by_session.get(session));
        for idx in of_session.into_iter().flatten() {
            let at = self.scores[*idx].at;
            let is_before = at.is_none_or(|at| turn.0 <= at.div_euclid(1_000));
            let better = |known: &Found| match known {
                // The last turn before the score; else the first one after it.
                Found::Session(true, key) => is_before && turn > key,
                Found::Session(false, key) => is_before || turn < key,
                _ => true,
            };
            let found = &mut *lock(&self.found);
            if found.get(idx).is_none_or(better) {
                found.insert(*idx, Found::Session(is_before, turn.clone()));
            }
        }
        let of_answers = responses.iter().filter_map(|hash| self.by_response.get(hash));
        for idx in of_answers.flatten() {
            let found = &mut *lock(&self.found);
            let next = match found.get(idx) {
                None => Found::Response(turn.clone()),
                Some(Found::Response(known)) if known == turn => continue,
                Some(_) => Found::Ambiguous,
            };
            found.insert(*idx, next);
        }
    }

    /// The scores of each turn, and for each rule the numbers of scores that several turns have and
    /// that none has.
    pub(super) fn finish(self) -> LooseScores {
        let mut found = crate::base::lock::into_inner(self.found);
        let mut scores = LooseScores::default();
        for (idx, score) in self.scores.iter().enumerate() {
            let counts = scores.n_unused.entry(score.rule).or_default();
            match found.remove(&idx) {
                None => counts[1] += 1,
                Some(Found::Ambiguous) => counts[0] += 1,
                Some(Found::Session(_, turn) | Found::Response(turn)) => {
                    scores.by_turn.entry(turn).or_default().push(turn_score(score));
                }
            }
        }
        scores
    }
}

/// The scores of turns, once all turns were offered.
#[derive(Default)]
pub(super) struct LooseScores {
    pub(super) by_turn: HashMap<TurnKey, Vec<TurnScore>>,
    /// For each rule: scores of several turns, scores of none.
    pub(super) n_unused: HashMap<u8, [u64; 2]>,
}

/// A score without its target.
pub(super) fn turn_score(score: &Score<'_>) -> TurnScore {
    TurnScore {
        rule: score.rule,
        at: score.at.unwrap_or(Nanos::MIN),
        value: score.value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(target: Target<'static>, id: &'static str, at: Option<i64>, value: f64) -> Score<'static> {
        Score {
            target,
            id: id.into(),
            rule: 0,
            value,
            at: at.map(|at| at * 1_000),
            version: value as i64,
        }
    }

    #[test]
    fn a_score_of_a_session_goes_to_the_last_turn_before_it() {
        let check = |at: Option<i64>, turns: &[i64], expected: Option<i64>| {
            for is_reversed in [false, true] {
                let loose = Loose::new(vec![score(Target::Session("c".into()), "i", at, 4.0)]);
                let mut turns = turns.to_vec();
                if is_reversed {
                    turns.reverse();
                }
                for turn in turns {
                    loose.offer(&(turn, "t".into(), String::new()), Some("c"), &[]);
                    loose.offer(&(turn + 1, "t".into(), String::new()), Some("other"), &[]);
                }
                let found: Vec<i64> = loose.finish().by_turn.keys().map(|key| key.0).collect();
                assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{at:?}");
            }
        };
        check(Some(25), &[10, 20, 30, 40], Some(20));
        check(Some(5), &[10, 20, 30], Some(10));
        check(Some(50), &[10, 20, 30], Some(30));
        check(None, &[10, 20, 30], Some(30));
        check(Some(25), &[], None);
    }

    #[test]
    fn an_answer_of_two_turns_is_ambiguous_and_a_repeated_score_counts_once() {
        let response = || Target::Response(7);
        let scores = vec![
            score(response(), "i", None, 1.0),
            score(response(), "i", None, 2.0),
        ];
        let loose = Loose::new(scores);
        let key = |trace: &str| (0, trace.to_owned(), String::new());
        loose.offer(&key("a"), None, &[7]);
        loose.offer(&key("a"), None, &[7]);
        let found = loose.finish();
        assert_eq!(
            found.by_turn[&key("a")]
                .iter()
                .map(|score| score.value)
                .collect::<Vec<_>>(),
            [2.0]
        );
        let loose = Loose::new(vec![score(response(), "i", None, 1.0)]);
        loose.offer(&key("a"), None, &[7]);
        loose.offer(&key("b"), None, &[7, 8]);
        let found = loose.finish();
        assert!(found.by_turn.is_empty());
        assert_eq!(found.n_unused[&0], [1, 0]);
    }
}

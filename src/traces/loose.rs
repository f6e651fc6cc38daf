//! Scores that name no trace: of a session, or of a model's answer. While turns are made, each is
//! offered to the sessions and answers that scores name. Offers and scores are dealt by their target,
//! so memory does not grow with their number.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Mutex;

use crate::base::bitmap;
use crate::base::lock::lock;
use crate::traces::record::{Nanos, Reader, SCORE, Score, Target, Writer};
use crate::traces::turn::{TurnKey, TurnScore};

/// Bits of a hash that are a place among the targets.
const WANTED_BITS: u32 = 23;

/// The targets of scores without a trace. A few other targets are taken for one of them, which costs
/// time only.
#[derive(Default)]
pub(super) struct Wanted(Vec<u64>);

impl Wanted {
    fn place(hash: u64) -> usize {
        (hash >> (u64::BITS - WANTED_BITS)) as usize
    }

    /// Adds the target with this hash.
    pub(super) fn add(&mut self, hash: u64) {
        self.0.resize(1 << (WANTED_BITS - u64::BITS.ilog2()), 0);
        bitmap::set(&mut self.0, Self::place(hash));
    }

    /// Adds all targets of another part.
    pub(super) fn merge(&mut self, other: Self) {
        if self.0.is_empty() {
            self.0 = other.0;
        } else {
            let both = self.0.iter_mut().zip(other.0);
            both.for_each(|(bits, more)| *bits |= more);
        }
    }

    /// Whether no score names a target.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a score may name the target with this hash. 0 stands for no target.
    pub(super) fn has(&self, hash: u64) -> bool {
        hash != 0 && !self.0.is_empty() && bitmap::is_set(&self.0, Self::place(hash))
    }
}

/// A turn that is offered to the scores of a session or an answer.
#[derive(Debug, PartialEq)]
pub(super) struct Offer<'a> {
    pub(super) target: Target<'a>,
    pub(super) turn: TurnKey,
}

const OFFER: u8 = SCORE + 1;

/// A record of the join of scores with turns.
pub(super) enum Joined<'a> {
    Score(Score<'a>),
    Offer(Offer<'a>),
}

impl Offer<'_> {
    /// Appends the record.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let out = &mut Writer(out);
        out.0.push(OFFER);
        match &self.target {
            Target::Session(session) => {
                out.0.push(0);
                out.text(session);
            }
            Target::Response(hash) => {
                out.0.push(1);
                out.fixed(*hash as i64);
            }
            Target::Trace(trace, _) => {
                out.0.push(2);
                out.text(trace);
            }
        }
        out.signed(self.turn.0);
        out.text(&self.turn.1);
        out.text(&self.turn.2);
    }
}

impl<'a> Joined<'a> {
    /// Reads a record. `None` if it is damaged.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        match bytes.byte()? {
            SCORE => Score::decode(&mut bytes).map(Self::Score),
            OFFER => {
                let target = match bytes.byte()? {
                    0 => Target::Session(bytes.text()?.into()),
                    1 => Target::Response(bytes.fixed()? as u64),
                    _ => Target::Trace(bytes.text()?.into(), "".into()),
                };
                let turn = (
                    bytes.signed()?,
                    bytes.text()?.to_owned(),
                    bytes.text()?.to_owned(),
                );
                Some(Self::Offer(Offer { target, turn }))
            }
            _ => None,
        }
    }

    /// The hash of the target of a record.
    pub(super) fn hash_of(bytes: &[u8]) -> u64 {
        match Joined::decode(bytes) {
            Some(Joined::Score(score)) => score.target.hash(),
            Some(Joined::Offer(offer)) => offer.target.hash(),
            None => 0,
        }
    }
}

/// Scores without a trace, and the turns that they belong to.
pub(super) struct Loose<'s> {
    scores: Vec<Score<'s>>,
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

impl<'s> Loose<'s> {
    /// Collects the scores. Of several rows of one score the latest counts.
    pub(super) fn new(mut scores: Vec<Score<'s>>) -> Self {
        let target = |score: &Score<'s>| match &score.target {
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
    fn offers_come_back_and_their_targets_are_wanted() {
        for target in [Target::Session("c".into()), Target::Response(7)] {
            let mut wanted = Wanted::default();
            assert!(!wanted.has(target.hash()));
            let mut other = Wanted::default();
            other.add(target.hash());
            wanted.merge(other);
            wanted.merge(Wanted::default());
            assert!(wanted.has(target.hash()) && !wanted.has(0) && !wanted.has(!target.hash()));
            let offer = Offer {
                turn: (-3, "t".into(), "s".into()),
                target,
            };
            let mut bytes = Vec::new();
            offer.encode(&mut bytes);
            assert_eq!(Joined::hash_of(&bytes), offer.target.hash());
            assert!(matches!(Joined::decode(&bytes), Some(Joined::Offer(found)) if found == offer));
        }
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

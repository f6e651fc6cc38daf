//! The stages after reading: records to turns, scores to their turns, turns to the table.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::error::Result;
use crate::base::files;
use crate::base::hash;
use crate::base::lock::{into_inner, lock};
use crate::base::parallel::{fold_parts, map_in_order};
use crate::base::time::HOUR;
use crate::traces::coverage::Coverage;
use crate::traces::deal::{Deal, Dealt, Hand, Records};
use crate::traces::fold::{FoldContext, fold_group};
use crate::traces::kept::{Block, KeptWriter};
use crate::traces::loose::{Joined, Loose, Offer, Wanted};
use crate::traces::record::{Field, Record, Target};
use crate::traces::settings::Settings;
use crate::traces::sink::{LOOSE, partition_of};
use crate::traces::table::TableWriter;
use crate::traces::turn::{Entry, OPTIONAL, Turn, TurnKey, TurnScore};

/// Bytes that the stages hold in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Bytes of records before they go to a file.
    pub(super) held: usize,
    /// Bytes of the records that a thread works on at once.
    pub(super) pile: usize,
    /// Bytes of the turns that are sorted at once. Several such parts wait to be written, and a turn
    /// takes several times the bytes of its record.
    pub(super) turns: usize,
}

/// The smallest part that is worth its own way through a file.
const LEAST: usize = 64 << 10;

impl Sizes {
    pub(super) fn new(held: usize) -> Self {
        let n_threads = rayon::current_num_threads().max(1);
        Self {
            held,
            pile: (held / (2 * n_threads)).max(LEAST),
            turns: (held / (16 * n_threads)).max(LEAST),
        }
    }
}

fn group_hash(record: &[u8]) -> u64 {
    hash::hash_id(Record::group_of(record).unwrap_or_default().as_bytes())
}

/// The hash of a record's group, or of the target of a score that names no trace.
fn record_hash(record: &[u8]) -> i64 {
    match Joined::decode(record) {
        Some(Joined::Score(score)) => score.target.hash(),
        _ => group_hash(record),
    }
    .cast_signed()
}

/// Divides the partitions of records that are too many for one thread.
pub(super) fn refined(records: Dealt, sizes: Sizes) -> Result<Dealt> {
    records.refined(sizes.pile, record_hash)
}

/// Writes blocks of earlier files and then records to a file, key by key. The order of the records
/// depends on their bytes only. Returns the number of records, and for each block of the file whether it
/// is one of the earlier ones.
///
/// # Errors
/// A temporary file cannot be read, or the file cannot be written.
pub(super) fn keep(records: &Dealt, mut earlier: Vec<(i64, Block)>, path: &Path) -> Result<(u64, Vec<bool>)> {
    let mut result = (0, Vec::new());
    earlier.sort_by_key(|(key, _)| *key);
    files::write_file(path, |file| {
        let mut writer = KeptWriter::begin(path, file)?;
        let mut earlier = earlier.iter().peekable();
        map_in_order(
            records.n_piles(),
            |idx| Ok(records.records(idx)?.sorted(record_hash)),
            |idx, found| {
                let key = records.key(idx);
                while let Some((key, block)) = earlier.next_if(|(earlier, _)| *earlier <= key) {
                    writer.add_block(*key, block)?;
                }
                found.iter().try_for_each(|record| writer.add(key, record))
            },
        )?;
        for (key, block) in earlier {
            writer.add_block(*key, block)?;
        }
        result = writer.finish()?;
        Ok(())
    })?;
    Ok(result)
}

/// What the stages share.
pub(super) struct Stages<'s> {
    pub(super) settings: &'s Settings,
    pub(super) near: &'s Path,
    pub(super) sizes: Sizes,
    pub(super) n_amended: AtomicU64,
}

impl Stages<'_> {
    /// Makes the turns of all records, by the hour of their start, each with the scores that name no
    /// trace.
    ///
    /// # Errors
    /// A temporary file cannot be read or written.
    pub(super) fn turns(&self, records: &Dealt, coverage: &mut Coverage) -> Result<Dealt> {
        let joins = Deal::new(self.near, self.sizes.held / 2);
        let turns = Deal::new(self.near, self.sizes.held);
        let wanted = self.find_wanted(records, &joins)?;
        self.fold(records, &wanted, &joins, &turns, coverage)?;
        let joins = joins.finish();
        let joins = joins.refined(self.sizes.pile, |record| Joined::hash_of(record).cast_signed())?;
        self.join(&joins, &turns, coverage)?;
        turns.finish().refined(self.sizes.turns, Entry::time_of)
    }

    /// Collects the scores that name no trace. Returns what they name.
    fn find_wanted(&self, records: &Dealt, joins: &Deal) -> Result<Wanted> {
        let loose: Vec<usize> = (0..records.n_piles())
            .filter(|idx| records.key(*idx) >= LOOSE)
            .collect();
        let new = || (Hand::default(), Wanted::default());
        let states = fold_parts(loose.len(), new, |(hand, wanted), number| {
            let scores = records.records(loose[number])?;
            for record in scores.iter() {
                let hash = Joined::hash_of(record);
                wanted.add(hash);
                joins.add(hand, partition_of(hash), record)?;
            }
            Ok(())
        })?;
        let mut all = Wanted::default();
        for (mut hand, wanted) in states {
            joins.take(&mut hand)?;
            all.merge(wanted);
        }
        Ok(all)
    }

    /// Folds the records of all traces into turns.
    fn fold(
        &self,
        records: &Dealt,
        wanted: &Wanted,
        joins: &Deal,
        turns: &Deal,
        coverage: &mut Coverage,
    ) -> Result<()> {
        let ctx = FoldContext {
            settings: self.settings,
            wanted,
        };
        let of_traces = (0..records.n_piles()).filter(|idx| records.key(*idx) < LOOSE);
        let of_traces: Vec<usize> = of_traces.collect();
        let folded: Mutex<Coverage> = Mutex::default();
        let states = fold_parts(of_traces.len(), <(Hand, Hand)>::default, |hands, number| {
            let mut counts = Coverage::default();
            self.fold_pile(
                &records.records(of_traces[number])?,
                &ctx,
                &mut counts,
                &mut |turn, bytes| {
                    Entry::encode_turn(turn, bytes);
                    turns.add(&mut hands.0, turn.event_time.div_euclid(HOUR), bytes)?;
                    offer(turn, wanted, joins, &mut hands.1)
                },
            )?;
            lock(&folded).merge(counts);
            Ok(())
        })?;
        for (mut of_turns, mut of_joins) in states {
            turns.take(&mut of_turns)?;
            joins.take(&mut of_joins)?;
        }
        coverage.merge(into_inner(folded));
        Ok(())
    }

    fn fold_pile(
        &self,
        records: &Records,
        ctx: &FoldContext<'_>,
        counts: &mut Coverage,
        on_turn: &mut dyn FnMut(&Turn, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let mut by_group: Vec<(u64, &str, &[u8], bool)> = records
            .with_origin()
            .filter_map(|(record, is_kept)| {
                let group = Record::group_of(record)?;
                Some((hash::hash_id(group.as_bytes()), group, record, is_kept))
            })
            .collect();
        by_group.sort_unstable_by_key(|(hash, group, ..)| (*hash, *group));
        let mut bytes = Vec::new();
        for same_group in by_group.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let is_there = |origin: bool| same_group.iter().any(|(.., is_kept)| *is_kept == origin);
            if is_there(true) && is_there(false) {
                self.n_amended.fetch_add(1, Ordering::Relaxed);
            }
            let records = same_group
                .iter()
                .filter_map(|(_, _, record, _)| Record::decode(record));
            for turn in fold_group(records, ctx, counts) {
                bytes.clear();
                on_turn(&turn, &mut bytes)?;
            }
        }
        Ok(())
    }

    /// Gives the scores that name no trace to their turns.
    fn join(&self, joins: &Dealt, turns: &Deal, coverage: &mut Coverage) -> Result<()> {
        let joined: Mutex<Coverage> = Mutex::default();
        let hands = fold_parts(joins.n_piles(), Hand::default, |hand, idx| {
            let records = joins.records(idx)?;
            let (mut scores, mut offers) = (Vec::new(), Vec::new());
            for record in records.iter().filter_map(Joined::decode) {
                match record {
                    Joined::Score(score) => scores.push(score),
                    Joined::Offer(offer) => offers.push(offer),
                }
            }
            let loose = Loose::new(scores);
            for Offer { target, turn } in &offers {
                match target {
                    Target::Response(hash) => loose.offer(turn, None, &[*hash]),
                    Target::Session(text) | Target::Trace(text, _) => loose.offer(turn, Some(text), &[]),
                }
            }
            let found = loose.finish();
            let mut counts = Coverage::default();
            for (rule, [n_ambiguous, n_unjoined]) in &found.n_unused {
                let (column, rule) = &self.settings.rules[usize::from(*rule)];
                let known = counts.scores.entry(column.clone()).or_default();
                known.score.clone_from(&rule.score);
                known.n_ambiguous += n_ambiguous;
                known.n_unjoined += n_unjoined;
            }
            let mut bytes = Vec::new();
            for (turn, scores) in &found.by_turn {
                for score in scores {
                    let (column, _) = &self.settings.rules[usize::from(score.rule)];
                    counts.scores.entry(column.clone()).or_default().n_joined += 1;
                    bytes.clear();
                    Entry::encode_score(turn, score, &mut bytes);
                    turns.add(hand, turn.0.div_euclid(HOUR), &bytes)?;
                }
            }
            lock(&joined).merge(counts);
            Ok(())
        })?;
        for mut hand in hands {
            turns.take(&mut hand)?;
        }
        coverage.merge(into_inner(joined));
        Ok(())
    }

    /// Writes the turns in the order of their starts.
    ///
    /// # Errors
    /// A temporary file cannot be read, or the table cannot be written.
    pub(super) fn write(&self, turns: &Dealt, file: std::fs::File, coverage: &mut Coverage) -> Result<()> {
        let lacking = OPTIONAL.into_iter().filter(|column| coverage.lacks(column));
        let lacking: Vec<&str> = lacking.collect();
        let mut table = TableWriter::create(self.near, file, self.settings, &lacking)?;
        map_in_order(
            turns.n_piles(),
            |idx| Ok(sorted(&turns.records(idx)?)),
            |_, turns| {
                for turn in turns {
                    for (number, (column, _)) in self.settings.rules.iter().enumerate() {
                        let has_value = turn.scores.iter().any(|score| usize::from(score.rule) == number);
                        if has_value {
                            coverage.scores.entry(column.clone()).or_default().n_turns += 1;
                        }
                    }
                    table.push(turn)?;
                }
                Ok(())
            },
        )?;
        table.finish()
    }
}

/// Offers a turn to scores of its session and of its models' answers.
fn offer(turn: &Turn, wanted: &Wanted, joins: &Deal, hand: &mut Hand) -> Result<()> {
    let session = turn.text(Field::Session).map(|text| Target::Session(text.into()));
    let answers = turn.responses.iter().map(|hash| Target::Response(*hash));
    for target in session.into_iter().chain(answers) {
        let hash = target.hash();
        if wanted.has(hash) {
            let mut bytes = Vec::new();
            let turn = turn.key();
            Offer { target, turn }.encode(&mut bytes);
            joins.add(hand, partition_of(hash), &bytes)?;
        }
    }
    Ok(())
}

/// The turns of a part in the order of the table, with their scores.
fn sorted(records: &Records) -> Vec<Turn> {
    let (mut turns, mut scores) = (Vec::new(), HashMap::<TurnKey, Vec<TurnScore>>::new());
    for entry in records.iter().filter_map(Entry::decode) {
        match entry {
            Entry::Turn(turn) => turns.push(turn),
            Entry::Score(turn, score) => scores.entry(turn).or_default().push(score),
        }
    }
    turns.sort_by(|a, b| (a.event_time, &a.trace, &a.root).cmp(&(b.event_time, &b.trace, &b.root)));
    if !scores.is_empty() {
        for turn in &mut turns {
            turn.scores
                .extend(scores.remove(&turn.key()).into_iter().flatten());
        }
    }
    turns
}

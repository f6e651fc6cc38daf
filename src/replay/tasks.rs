//! A replay in tasks, for engines with many machines. A task of the first kind reads parts of the
//! layer table and of the log, and writes blocks for partitions of users. A task of the second kind
//! joins the blocks of partitions, and writes their sums and users. `distributed` plans the tasks
//! and merges their results.
//!
//! Users are divided by their buckets, so the cells of two partitions differ in almost all keys.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use crate::base::block::{Block, BlockKind, OnBlock, damaged};
use crate::base::error::{Error, FileResult, Result};
use crate::base::lock;
use crate::base::lock::lock;
use crate::base::spill::nameless_file;
use crate::bucket::N_BUCKETS;
use crate::input::{NameCodes, TrafficReader, Turns, decode_turns, encode_turns, served_layer};
use crate::replay::bytes::{Reader, Writer};
use crate::replay::context::{Inputs, ReplayContext, Scan};
use crate::replay::cube::RowCounts;
use crate::replay::facts::{Facts, Unit};
use crate::replay::layer_table::{LayerTable, count_strata};
use crate::replay::partition::{KEY_BYTES, key_bytes, read_key};
use crate::replay::row_sum::RowSum;
use crate::replay::scan::LogPart;
use crate::replay::seen::{UserList, n_words};
use crate::replay::seen_block::SeenBlock;
use crate::replay::state::ReplayState;
use crate::replay::strata::Strata;
use crate::replay::users::{UserKey, Users};

/// What a task says to the driver beside its sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// Number of users and of eligible users of the task, by stratum.
    Users { strata: Vec<[u64; 2]> },
    /// Counts of rows that no join sees, and for each part of the log the indices of source and file,
    /// the number of rows, and the number of rows at or after `as_of`.
    Rows {
        counts: Box<RowCounts>,
        parts: Vec<(usize, usize, [u64; 2])>,
    },
    /// Of rows that an engine has read: the index of the source, the sum of their hashes, and examples of
    /// releases that are not known.
    Log {
        source: usize,
        sum: RowSum,
        releases: Vec<String>,
    },
    /// Pairs of rows of the layer table whose users have equal hashes.
    Alike { rows: Vec<(u32, u32)> },
}

/// Bytes of a block of users, and of a block of seen users.
const BLOCK_BYTES: usize = 1 << 20;

/// The partition of a bucket.
fn partition_of(bucket: u16, n: u32) -> u32 {
    (u64::from(bucket) * u64::from(n) / u64::from(N_BUCKETS)) as u32
}

/// Reads units of the inputs, and passes the blocks of all partitions to `on_block`.
///
/// # Errors
/// When an input cannot be read, or the scenario's policies refuse a row.
pub fn read_units(
    ctx: &ReplayContext<'_>,
    inputs: &Inputs<'_>,
    facts: &Facts,
    units: &[Unit],
    on_block: &mut OnBlock<'_>,
) -> Result<()> {
    let strata = Strata::from_plan(ctx.plan, &facts.tenants, ctx.as_of)?;
    let groups: Vec<usize> = units.iter().filter_map(Unit::row_group).collect();
    if !groups.is_empty() {
        deal_users(ctx, inputs, facts, &strata, &groups, on_block)?;
    }
    if units.iter().any(|unit| unit.row_group().is_none()) {
        let scan = Scan::of_task(ctx, inputs, strata, facts, false)?;
        deal_turns(&scan, inputs, facts, units, on_block)?;
    }
    Ok(())
}

impl Unit {
    fn row_group(&self) -> Option<usize> {
        match self {
            Self::Users { part } => Some(*part),
            Self::Turns { .. } => None,
        }
    }
}

/// Divides the users of some row groups into partitions.
fn deal_users(
    ctx: &ReplayContext<'_>,
    inputs: &Inputs<'_>,
    facts: &Facts,
    strata: &Strata,
    groups: &[usize],
    on_block: &mut OnBlock<'_>,
) -> Result<()> {
    let layers = LayerTable::open_known(inputs.layers, ctx.plan, &facts.layers_digest)?;
    let counts: Vec<[AtomicU64; 2]> = (0..strata.len())
        .map(|_| [const { AtomicU64::new(0) }; 2])
        .collect();
    for group in groups {
        let dealt: Mutex<Vec<Vec<u8>>> = Mutex::new(vec![Vec::new(); facts.n_partitions as usize]);
        layers.for_each_of(&[*group], &facts.tenants, facts.seed, &|users| {
            count_strata(&counts, users);
            let mut dealt = lock(&dealt);
            for user in users {
                let partition = partition_of(user.user.bucket, facts.n_partitions);
                dealt[partition as usize].extend(key_bytes(user));
            }
            Ok(())
        })?;
        let dealt = lock::into_inner(dealt);
        for (partition, bytes) in (0..).zip(dealt).filter(|(_, bytes)| !bytes.is_empty()) {
            on_block(Block {
                partition,
                kind: BlockKind::Keys,
                bytes,
            })?;
        }
    }
    let strata = counts
        .into_iter()
        .map(|counts| counts.map(AtomicU64::into_inner))
        .collect();
    note(&Note::Users { strata }, on_block)
}

pub(super) fn note(note: &Note, on_block: &mut OnBlock<'_>) -> Result<()> {
    on_block(Block {
        partition: 0,
        kind: BlockKind::Note,
        bytes: serde_json::to_vec(note).map_err(|_| damaged())?,
    })
}

/// Divides the admitted turns of some parts into partitions.
fn deal_turns(
    scan: &Scan<'_>,
    inputs: &Inputs<'_>,
    facts: &Facts,
    units: &[Unit],
    on_block: &mut OnBlock<'_>,
) -> Result<()> {
    let mut dealer = TurnDealer::new(scan, facts);
    for unit in units {
        let Unit::Turns {
            idx,
            reader,
            part,
            since,
        } = *unit
        else {
            continue;
        };
        let traffic = inputs.traffic.get(reader).ok_or_else(moved)?;
        let part = LogPart {
            reader,
            part: *traffic.table().parts.get(part).ok_or_else(moved)?,
            part_idx: idx,
            since,
        };
        dealer.deal(traffic, &part, &mut |_, _| {}, on_block)?;
    }
    dealer.finish(on_block)
}

/// Divides turns into partitions, part by part.
pub(super) struct TurnDealer<'s, 'c> {
    scan: &'s Scan<'c>,
    names: NameCodes<'c>,
    state: ReplayState,
    held: Vec<Option<Turns>>,
    /// For each part the indices of source and file, the number of rows, and the number of rows at or
    /// after `as_of`.
    parts: Vec<(usize, usize, [u64; 2])>,
}

impl<'s, 'c> TurnDealer<'s, 'c> {
    pub(super) fn new(scan: &'s Scan<'c>, facts: &Facts) -> Self {
        let mut names = scan.names(facts.seed);
        names.buckets = Some(scan.ctx.plan.profile.hasher());
        Self {
            scan,
            names,
            state: ReplayState::new(scan),
            held: vec![None; facts.n_partitions as usize],
            parts: Vec::new(),
        }
    }

    /// Divides the turns of a part. `on_turns` gets each step, and the rows of it that are admitted.
    ///
    /// # Errors
    /// When the part cannot be read, or the scenario's policies refuse a row.
    pub(super) fn deal(
        &mut self,
        traffic: &TrafficReader,
        part: &LogPart,
        on_turns: &mut dyn FnMut(&mut Turns, &[u16]),
        on_block: &mut OnBlock<'_>,
    ) -> Result<()> {
        let Self {
            scan,
            names,
            state,
            held,
            parts,
        } = self;
        let n_partitions = held.len() as u32;
        let mut n = [0; 2];
        let bad = traffic.turns(part.part, names, &mut |turns| {
            n[0] += turns.n as u64;
            n[1] += state.admit(scan, turns, part.since);
            on_turns(turns, state.admitted());
            for row in state.admitted() {
                let bucket = turns.bucket.values[usize::from(*row)] as u16;
                let partition = partition_of(bucket, n_partitions);
                let held = held[partition as usize].get_or_insert_with(|| scan.turns());
                if held.take(turns, usize::from(*row)) {
                    on_block(turns_block(state, partition, part.part_idx, held))?;
                }
            }
            Ok(())
        })?;
        if part.since.counted_until.is_none() {
            state.bad_rows(bad);
        }
        parts.push((part.reader, part.part.file_idx, n));
        // Blocks end with their part, so that a join knows where an unknown id is.
        for (partition, turns) in (0..).zip(held) {
            if let Some(turns) = turns.as_mut().filter(|turns| turns.n > 0) {
                on_block(turns_block(state, partition, part.part_idx, turns))?;
            }
        }
        Ok(())
    }

    /// Passes on the counts of the rows.
    pub(super) fn finish(self, on_block: &mut OnBlock<'_>) -> Result<()> {
        let counts = Box::new(self.state.counts);
        let parts = self.parts;
        note(&Note::Rows { counts, parts }, on_block)
    }
}

/// The error for a task whose inputs are not those of the driver.
fn moved() -> Error {
    Error::input(
        "a task",
        "expected the files that the driver found, found fewer files or parts",
    )
    .hint("every executor must see the same files under the same paths")
}

/// Takes turns as a block: the part, the turns, and the texts of their values of breakdowns.
fn turns_block(state: &ReplayState, partition: u32, part: usize, turns: &mut Turns) -> Block {
    let mut bytes = Vec::new();
    encode_turns(turns, &mut bytes);
    let mut more = Writer::default();
    more.put(part as u64);
    for (column, spelled) in turns.breakdowns.iter().zip(state.spelled()) {
        let mut codes: Vec<i64> = (0..turns.n)
            .filter(|row| !column.is_absent(*row))
            .map(|row| column.values[row])
            .collect();
        codes.sort_unstable();
        codes.dedup();
        let named: Vec<(i64, &str)> = codes
            .into_iter()
            .filter_map(|code| Some((code, spelled.name(code)?)))
            .collect();
        more.put(named.len() as u64);
        for (code, name) in named {
            more.put(code as u64);
            more.put_bytes(name.as_bytes());
        }
    }
    turns.clear();
    bytes.extend(more.into_bytes());
    Block {
        partition,
        kind: BlockKind::Turns,
        bytes,
    }
}

/// Joins the blocks of whole partitions, in any order of the blocks. Notes are passed on. Memory holds
/// the keys of these partitions, and the users and sums of one. Turns wait in a file in `scratch`.
///
/// # Errors
/// When a block is damaged, a sum overflows, or the file cannot be written.
pub fn join_blocks(
    ctx: &ReplayContext<'_>,
    inputs: &Inputs<'_>,
    facts: &Facts,
    scratch: &Path,
    blocks: &mut dyn Iterator<Item = Result<Block>>,
    on_block: &mut OnBlock<'_>,
) -> Result<()> {
    let strata = Strata::from_plan(ctx.plan, &facts.tenants, ctx.as_of)?;
    let scan = Scan::of_task(ctx, inputs, strata, facts, true)?;
    let mut waiting = Waiting::new(scratch)?;
    for block in blocks {
        let block = block?;
        match block.kind {
            BlockKind::Note => on_block(block)?,
            BlockKind::Keys | BlockKind::Turns => waiting.push(block)?,
            BlockKind::Sums | BlockKind::Seen | BlockKind::Counts | BlockKind::RowGroup => {
                return Err(damaged());
            }
        }
    }
    let mut bytes = Vec::new();
    for (partition, blocks) in std::mem::take(&mut waiting.partitions) {
        let mut join = Join::new(&scan, partition);
        for keys in blocks.keys {
            join.take_keys(&scan, &keys)?;
        }
        for turns in blocks.turns {
            waiting.read(turns, &mut bytes)?;
            join.take_turns(&scan, &bytes)?;
        }
        join.finish(&scan, on_block)?;
    }
    Ok(())
}

/// The blocks of a task that joins, until all have arrived.
struct Waiting<'a> {
    scratch: &'a Path,
    file: File,
    n_bytes: u64,
    partitions: BTreeMap<u32, WaitingPartition>,
}

/// The blocks of a partition: users, and places of turns in the file.
#[derive(Default)]
struct WaitingPartition {
    keys: Vec<Vec<u8>>,
    turns: Vec<(u64, usize)>,
}

impl<'a> Waiting<'a> {
    fn new(scratch: &'a Path) -> Result<Self> {
        Ok(Self {
            scratch,
            file: nameless_file(scratch).or_unwritable(scratch)?,
            n_bytes: 0,
            partitions: BTreeMap::new(),
        })
    }

    fn push(&mut self, block: Block) -> Result<()> {
        let partition = self.partitions.entry(block.partition).or_default();
        if block.kind == BlockKind::Keys {
            partition.keys.push(block.bytes);
            return Ok(());
        }
        self.file.write_all(&block.bytes).or_unwritable(self.scratch)?;
        partition.turns.push((self.n_bytes, block.bytes.len()));
        self.n_bytes += block.bytes.len() as u64;
        Ok(())
    }

    fn read(&self, (at, n): (u64, usize), bytes: &mut Vec<u8>) -> Result<()> {
        bytes.resize(n, 0);
        self.file.read_exact_at(bytes, at).or_unreadable(self.scratch)
    }
}

/// The join of one partition.
struct Join {
    partition: u32,
    keys: Vec<UserKey>,
    users: Option<Users>,
    alike: Vec<(u32, u32)>,
    state: ReplayState,
    turns: Turns,
    n_rows: u64,
}

impl Join {
    fn new(scan: &Scan<'_>, partition: u32) -> Self {
        Self {
            partition,
            keys: Vec::new(),
            users: None,
            alike: Vec::new(),
            state: ReplayState::new(scan),
            turns: scan.turns(),
            n_rows: 0,
        }
    }

    fn take_keys(&mut self, scan: &Scan<'_>, bytes: &[u8]) -> Result<()> {
        let (keys, rest) = bytes.as_chunks::<KEY_BYTES>();
        if !rest.is_empty() {
            return Err(damaged());
        }
        for key in keys {
            let key = read_key(key);
            if key.user.stratum as usize >= scan.strata.len() || key.user.bucket >= N_BUCKETS {
                return Err(damaged());
            }
            self.keys.push(key);
        }
        Ok(())
    }

    /// The users of the partition, in row order.
    fn users(&mut self, scan: &Scan<'_>) -> &Users {
        if self.users.is_none() {
            self.keys.sort_unstable_by_key(|key| key.row);
        }
        let (keys, alike) = (&mut self.keys, &mut self.alike);
        self.users.get_or_insert_with(|| {
            let keys = std::mem::take(keys);
            Users::new(
                keys.len(),
                scan.strata.len(),
                scan.strata.max_stages(),
                scan.n_windows(),
                u64::BITS,
            )
            .with_keys(&keys, alike)
        })
    }

    fn take_turns(&mut self, scan: &Scan<'_>, bytes: &[u8]) -> Result<()> {
        self.users(scan);
        let bytes = bytes.split_at_checked(4).ok_or_else(damaged)?.1;
        let rest = decode_turns(bytes, &mut self.turns).ok_or_else(damaged)?;
        let mut more = Reader::new(rest);
        self.state.part = Some(more.next_as()?);
        for names in &mut self.turns.names {
            for _ in 0..more.n_items(2)? {
                let code = more.next()? as i64;
                let name = std::str::from_utf8(more.next_bytes()?).map_err(|_| damaged())?;
                names.push((code, name.to_owned()));
            }
        }
        more.finish()?;
        self.check_turns(scan)?;
        self.n_rows += self.turns.n as u64;
        self.state.learn(scan, &mut self.turns);
        self.state.admit_all(&self.turns);
        match &self.users {
            Some(users) => self.state.update(scan, users, &mut self.turns),
            None => Ok(()),
        }
    }

    /// Refuses turns that no task of this scan admits.
    fn check_turns(&self, scan: &Scan<'_>) -> Result<()> {
        let (plan, n_layers) = (scan.ctx.plan, scan.ctx.plan.layers.len() as i64);
        let is_admitted = |row: usize| {
            (plan.start..scan.ctx.as_of).contains(&self.turns.at.values[row])
                && (served_layer::UNKNOWN..n_layers).contains(&self.turns.layer.values[row])
        };
        if (0..self.turns.n).all(is_admitted) {
            Ok(())
        } else {
            Err(damaged())
        }
    }

    fn finish(mut self, scan: &Scan<'_>, on_block: &mut OnBlock<'_>) -> Result<()> {
        self.users(scan);
        let partition = self.partition;
        if !self.alike.is_empty() {
            return note(&Note::Alike { rows: self.alike }, on_block);
        }
        if self.n_rows == 0 {
            return Ok(());
        }
        on_block(Block {
            partition,
            kind: BlockKind::Sums,
            bytes: self.state.encode(scan)?,
        })?;
        let Some(users) = self.users.map(Users::into_seen) else {
            return Ok(());
        };
        let n_words = n_words(scan.strata.max_stages());
        let mut block = SeenBlock::default();
        let mut send = |bytes: Vec<u8>| {
            on_block(Block {
                partition,
                kind: BlockKind::Seen,
                bytes,
            })
        };
        for user in (0..users.len()).filter_map(|idx| users.get(idx)) {
            block.push(&user, n_words);
            if block.len() >= BLOCK_BYTES {
                send(block.take())?;
            }
        }
        if block.len() == 0 {
            Ok(())
        } else {
            send(block.take())
        }
    }
}

/// The units of a scan, in the order of the inputs.
pub(super) fn units(n_groups: usize, parts: &[LogPart]) -> Vec<Unit> {
    let users = (0..n_groups).map(|part| Unit::Users { part });
    let turns = parts.iter().enumerate().map(|(idx, part)| Unit::Turns {
        idx,
        reader: part.reader,
        part: part.part_idx,
        since: part.since,
    });
    users.chain(turns).collect()
}

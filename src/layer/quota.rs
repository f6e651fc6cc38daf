//! Finds layers by exact shares, in a few streaming passes and in memory that does not depend on
//! the number of users.
//!
//! Scores have 10,001 possible values, so one pass that counts them finds the score at each cut.
//! Users with that score are ranked by a hash of their id. The hash at the cut is also found by
//! counting. A small set of hashes is collected and sorted. In a large set, each pass narrows the
//! search to a smaller range of hashes that contains the cut. With very many tenants, each pass
//! searches only some of the cuts.
//!
//! The hash is not the one that assigns releases. If the assignment bucket split ties, the upper
//! layer would be filled with low buckets, which get the candidate first. That would appear as a
//! sample-ratio mismatch.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

use crate::bucket::murmur3_x86_32;
use crate::layer::kernel::{PROTECTED, Scored};
use crate::layer::score::N_SCORES;
use crate::scenario::Plan;

/// The largest number of hashes and counts that a pass holds: 32 MB.
const COLLECTED: u64 = 4_000_000;
/// The number of ranges that a set of hashes is divided into. A set of at most this many hashes is
/// collected instead.
const N_STRETCHES: u64 = 4_096;
/// The number of distinct scores above which a tenant's scores are counted in an array.
const MANY_SCORES: usize = 1_024;

/// The number of users with each score, per tenant.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ScoreCounts {
    tenants: BTreeMap<String, TenantCounts>,
}

/// The counts of one tenant's users by score.
#[derive(Debug, Default, Serialize, Deserialize)]
struct TenantCounts {
    scores: ScoreHistogram,
    /// Users without known features that the policy protects. They are already in the last layer,
    /// so they fill its quota first.
    n_protected: u64,
}

/// Counts of scores: a map while a tenant has few distinct scores, then an array.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "Vec<(u16, u64)>", try_from = "Vec<(u16, u64)>")]
pub(super) enum ScoreHistogram {
    Few(BTreeMap<u16, u64>),
    Many(Vec<u64>),
}

impl Default for ScoreHistogram {
    fn default() -> Self {
        Self::Few(BTreeMap::new())
    }
}

impl From<ScoreHistogram> for Vec<(u16, u64)> {
    fn from(counts: ScoreHistogram) -> Self {
        counts.highest_first()
    }
}

impl TryFrom<Vec<(u16, u64)>> for ScoreHistogram {
    type Error = String;

    fn try_from(counts: Vec<(u16, u64)>) -> Result<Self, String> {
        let mut histogram = Self::default();
        for (score, n) in counts {
            if usize::from(score) >= N_SCORES {
                return Err(format!(
                    "expected a score of at most {}, found {score}",
                    N_SCORES - 1
                ));
            }
            histogram.add(score, n);
        }
        Ok(histogram)
    }
}

impl ScoreHistogram {
    pub(super) fn add(&mut self, score: u16, n: u64) {
        match self {
            Self::Many(counts) => counts[usize::from(score)] += n,
            Self::Few(counts) => {
                *counts.entry(score).or_default() += n;
                if counts.len() > MANY_SCORES {
                    let mut many = vec![0; N_SCORES];
                    counts
                        .iter()
                        .for_each(|(score, n)| many[usize::from(*score)] = *n);
                    *self = Self::Many(many);
                }
            }
        }
    }

    /// The number of users with each of the 10,001 scores.
    pub(super) fn histogram(&self) -> Vec<u64> {
        let mut histogram = vec![0; N_SCORES];
        self.highest_first()
            .into_iter()
            .for_each(|(score, n)| histogram[usize::from(score)] = n);
        histogram
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Few(counts) if counts.is_empty())
    }

    /// The scores that occur, with their counts, highest score first.
    fn highest_first(&self) -> Vec<(u16, u64)> {
        match self {
            Self::Few(counts) => counts.iter().rev().map(|(score, n)| (*score, *n)).collect(),
            Self::Many(counts) => counts
                .iter()
                .enumerate()
                .rev()
                .filter(|(_, n)| **n > 0)
                .map(|(score, n)| (score as u16, *n))
                .collect(),
        }
    }
}

impl ScoreCounts {
    /// Counts the users of a part. Users whose layer is already assigned by a rule or by protection
    /// take no part in the ranking.
    pub(super) fn add(&mut self, scored: &Scored) {
        if scored.tenant.is_empty() {
            let Some(name) = scored.tenants.first() else {
                return;
            };
            let tenant = self.tenants.entry(name.clone()).or_default();
            let mut histogram = scored.histogram();
            for (row, layer) in &scored.placed {
                histogram[usize::from(scored.score[*row as usize])] -= 1;
                tenant.n_protected += u64::from(*layer == PROTECTED);
            }
            let counted = histogram.iter().enumerate().filter(|(_, n)| **n > 0);
            counted.for_each(|(score, n)| tenant.scores.add(score as u16, u64::from(*n)));
            return;
        }
        let mut of_part: Vec<TenantCounts> = scored.tenants.iter().map(|_| TenantCounts::default()).collect();
        let mut placed = scored.placed.iter().peekable();
        for (row, (score, tenant)) in scored.score.iter().zip(&scored.tenant).enumerate() {
            let tenant = &mut of_part[*tenant as usize];
            match placed.next_if(|(placed, _)| *placed as usize == row) {
                None => tenant.scores.add(*score, 1),
                Some((_, layer)) => tenant.n_protected += u64::from(*layer == PROTECTED),
            }
        }
        for (name, counts) in scored.tenants.iter().zip(of_part) {
            self.tenants.entry(name.clone()).or_default().merge(&counts);
        }
    }

    /// Adds the counts of other users.
    pub(super) fn merge(&mut self, other: Self) {
        for (name, counts) in other.tenants {
            self.tenants.entry(name).or_default().merge(&counts);
        }
    }
}

impl TenantCounts {
    fn merge(&mut self, other: &Self) {
        self.n_protected += other.n_protected;
        other
            .scores
            .highest_first()
            .into_iter()
            .for_each(|(score, n)| self.scores.add(score, n));
    }
}

/// The result for all users of one score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Placement {
    Layer(u8),
    /// A cut divides these users: their ids decide.
    Tied,
}

/// The cuts of every tenant.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Quotas {
    tenants: BTreeMap<String, TenantCuts>,
}

/// The cuts of one tenant: the scores at which one layer ends and the next begins.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TenantCuts {
    /// The index of the tenant, as in the results of a pass.
    idx: u32,
    /// The lowest score of each run of scores with the same placement. The highest run is first.
    runs: Vec<(u16, Placement)>,
    /// The scores at which a cut divides the users, with the boundaries of their layers.
    ties: BTreeMap<u16, Vec<Boundary>>,
}

/// One layer of tied users. Tied users with a hash below `end` go to this layer, unless an earlier
/// boundary took them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Boundary {
    layer: u8,
    /// The search for the first hash after this layer; `None` for the last layer, which has no end.
    end: Option<Search>,
}

/// The search for the hash with a given rank.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Search {
    /// The range of hashes that still contains the result, both ends included.
    first: u64,
    last: u64,
    /// The rank in this range, from 0.
    rank: u64,
    /// The number of hashes in this range; 0 when the search is over and `first` is the result.
    n: u64,
    /// Whether the next pass includes this search. A pass includes as many searches as fit in
    /// memory.
    is_due: bool,
}

impl Quotas {
    /// Finds the score at each cut from these counts. Ties remain to be searched.
    pub(super) fn new(counts: &ScoreCounts, plan: &Plan) -> Self {
        let with_quota: Vec<(u8, f64)> = plan
            .layers
            .iter()
            .enumerate()
            .filter_map(|(idx, layer)| layer.quota.map(|quota| (idx as u8, quota)))
            .collect();
        let quotas: Vec<f64> = with_quota.iter().map(|(_, quota)| *quota).collect();
        let last = plan.layers.len().saturating_sub(1) as u8;
        let cut = |idx: usize, tenant: &TenantCounts| {
            let scores = tenant.scores.highest_first();
            let n_ranked: u64 = scores.iter().map(|(_, n)| n).sum();
            let mut targets = quota_targets(n_ranked + tenant.n_protected, &quotas);
            let of_last = with_quota.iter().position(|(layer, _)| *layer == last);
            if let Some(of_last) = of_last.filter(|of_last| tenant.n_protected > targets[*of_last]) {
                // Protected users alone exceed the last layer's quota, so the other layers share
                // the remaining users.
                let others: Vec<f64> = quotas
                    .iter()
                    .enumerate()
                    .map(|(idx, quota)| if idx == of_last { 0.0 } else { *quota })
                    .collect();
                if others.iter().sum::<f64>() > 0.0 {
                    targets = quota_targets(n_ranked, &others);
                }
            }
            let mut cuts = TenantCuts {
                idx: idx as u32,
                ..TenantCuts::default()
            };
            let mut rank = 0;
            for (score, n) in scores {
                let pieces = pieces(rank, n, &targets, &with_quota, last);
                let placement = match pieces.as_slice() {
                    [] => Placement::Layer(last),
                    [(layer, _)] => Placement::Layer(*layer),
                    _ => {
                        cuts.ties.insert(score, boundaries(&pieces));
                        Placement::Tied
                    }
                };
                match cuts.runs.last_mut() {
                    Some((lowest, same)) if *same == placement && placement != Placement::Tied => {
                        *lowest = score
                    }
                    _ => cuts.runs.push((score, placement)),
                }
                rank += n;
            }
            cuts
        };
        Self {
            tenants: counts
                .tenants
                .iter()
                .enumerate()
                .map(|(idx, (name, counts))| (name.clone(), cut(idx, counts)))
                .collect(),
        }
    }

    /// The cuts of these tenants, in order. `None` for a tenant without counts.
    pub(super) fn for_tenants<'a>(&'a self, tenants: &[String]) -> Vec<Option<&'a TenantCuts>> {
        tenants.iter().map(|name| self.tenants.get(name)).collect()
    }

    /// Chooses the cuts that the next pass searches for, as many as fit in memory. Returns `false`
    /// when every cut is known, down to the single user.
    pub(super) fn prepare_pass(&mut self) -> bool {
        let mut room = COLLECTED;
        for search in self.searches() {
            let cost = search.n.min(N_STRETCHES);
            search.is_due = search.n > 0 && (room >= cost || room == COLLECTED);
            room = room.saturating_sub(if search.is_due { cost } else { 0 });
        }
        room < COLLECTED
    }

    fn searches(&mut self) -> impl Iterator<Item = &mut Search> {
        let boundaries = self
            .tenants
            .values_mut()
            .flat_map(|tenant| tenant.ties.values_mut())
            .flatten();
        boundaries.filter_map(|boundary| boundary.end.as_mut())
    }

    /// Adds the results of a pass over the tied users. Every cut that the pass searched for is
    /// known or has a smaller range.
    pub(super) fn narrow(&mut self, mut pass: TiePass) {
        for cuts in self.tenants.values_mut() {
            for (score, boundaries) in &mut cuts.ties {
                for (idx, boundary) in boundaries.iter_mut().enumerate() {
                    let found = pass.found.remove(&(cuts.idx, *score, idx));
                    match (boundary.end.as_mut().filter(|search| search.is_due), found) {
                        (Some(search), Some(found)) => search.narrow(found),
                        // The users changed between the passes, so this range has no user left.
                        (Some(search), None) => search.n = 0,
                        (None, _) => {}
                    }
                }
            }
        }
    }
}

impl TenantCuts {
    /// The placement of users with this score.
    pub(super) fn placement(&self, score: u16) -> Placement {
        let run = self.runs.partition_point(|(lowest, _)| *lowest > score);
        self.runs
            .get(run)
            .map_or(Placement::Tied, |(_, placement)| *placement)
    }

    /// The layer of a tied user; `None` if no cut divides the users of this score.
    pub(super) fn layer_of_tied(&self, score: u16, hash: u64) -> Option<u8> {
        let boundaries = self.ties.get(&score)?;
        boundaries
            .iter()
            .find(|boundary| boundary.end.is_none_or(|end| hash < end.first))
            .map(|boundary| boundary.layer)
    }
}

impl Search {
    fn holds(&self, hash: u64) -> bool {
        self.is_due && (self.first..=self.last).contains(&hash)
    }

    /// The length of each of the [`N_STRETCHES`] ranges that the current range is divided into.
    fn stretch_len(&self) -> u64 {
        (self.last - self.first) / N_STRETCHES + 1
    }

    /// Whether the hashes are few enough to be collected.
    fn is_small(&self) -> bool {
        self.n <= N_STRETCHES
    }

    /// Narrows the search with the results of one pass.
    fn narrow(&mut self, found: CutSearch) {
        match found {
            CutSearch::Hashes(mut hashes) => {
                let rank = (self.rank as usize).min(hashes.len().saturating_sub(1));
                if !hashes.is_empty() {
                    self.first = *hashes.select_nth_unstable(rank).1;
                }
                self.n = 0;
            }
            CutSearch::Stretches(counts) => {
                let len = self.stretch_len();
                for (idx, n) in counts.iter().enumerate() {
                    if self.rank < *n {
                        self.first += idx as u64 * len;
                        self.last = self.last.min(self.first.saturating_add(len - 1));
                        // Users with the same hash are repeated rows of one user, so they cannot be
                        // divided.
                        self.n = if self.first == self.last { 0 } else { *n };
                        return;
                    }
                    self.rank -= n;
                }
                self.n = 0;
            }
        }
    }
}

/// The results of one pass over the tied users. Results of passes over other users can be merged
/// into it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct TiePass {
    /// The results by the tenant's index, the score, and the boundary's index.
    #[serde(serialize_with = "write_entries", deserialize_with = "read_entries")]
    found: HashMap<CutKey, CutSearch>,
}

/// The results of one search in one pass: collected hashes, or counts per range.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CutSearch {
    Hashes(Vec<u64>),
    Stretches(Vec<u64>),
}

/// The tenant's index, the score, and the boundary's index.
type CutKey = (u32, u16, usize);

/// Writes the results of a pass as a list, because JSON has no keys of numbers.
fn write_entries<S: Serializer>(
    found: &HashMap<CutKey, CutSearch>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(found)
}

fn read_entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<CutKey, CutSearch>, D::Error> {
    let entries = Vec::<(CutKey, CutSearch)>::deserialize(deserializer)?;
    Ok(entries.into_iter().collect())
}

impl TiePass {
    /// Counts or collects the hash of a tied user.
    pub(super) fn add(&mut self, cuts: &TenantCuts, score: u16, hash: u64) {
        let Some(boundaries) = cuts.ties.get(&score) else {
            return;
        };
        for (idx, boundary) in boundaries.iter().enumerate() {
            let Some(search) = boundary.end.filter(|search| search.holds(hash)) else {
                continue;
            };
            let new = || {
                if search.is_small() {
                    CutSearch::Hashes(Vec::new())
                } else {
                    CutSearch::Stretches(vec![0; N_STRETCHES as usize])
                }
            };
            match self.found.entry((cuts.idx, score, idx)).or_insert_with(new) {
                CutSearch::Hashes(hashes) => hashes.push(hash),
                CutSearch::Stretches(counts) => {
                    counts[((hash - search.first) / search.stretch_len()) as usize] += 1
                }
            }
        }
    }

    /// Adds the results of a pass over other users.
    pub(super) fn merge(&mut self, other: Self) {
        for (key, more) in other.found {
            match (self.found.entry(key), more) {
                (Entry::Vacant(slot), more) => {
                    slot.insert(more);
                }
                (Entry::Occupied(mut slot), more) => match (slot.get_mut(), more) {
                    (CutSearch::Hashes(hashes), CutSearch::Hashes(more)) => hashes.extend(more),
                    (CutSearch::Stretches(counts), CutSearch::Stretches(more)) => {
                        counts.iter_mut().zip(more).for_each(|(n, more)| *n += more)
                    }
                    // Both passes search the same range, so they have the same kind of result.
                    _ => {}
                },
            }
        }
    }
}

/// Divides the users of ranks `rank..rank + n`, who share a score, among the layers. Returns the
/// number of users of each layer, in order.
fn pieces(rank: u64, n: u64, targets: &[u64], with_quota: &[(u8, f64)], last: u8) -> Vec<(u8, u64)> {
    let mut pieces: Vec<(u8, u64)> = Vec::new();
    let (mut start, mut from) = (0, rank);
    for (target, (layer, _)) in targets.iter().zip(with_quota) {
        let end = start + target;
        let to = (rank + n).min(end);
        if from < to && from >= start {
            pieces.push((*layer, to - from));
            from = to;
        }
        start = end;
    }
    if from < rank + n {
        pieces.push((last, rank + n - from));
    }
    pieces
}

/// Creates the boundaries between the layers of tied users.
fn boundaries(pieces: &[(u8, u64)]) -> Vec<Boundary> {
    let n: u64 = pieces.iter().map(|(_, n)| n).sum();
    let mut rank = 0;
    let boundary = |(idx, (layer, of_piece)): (usize, &(u8, u64))| {
        rank += of_piece;
        let end = (idx + 1 < pieces.len()).then_some(Search {
            first: 0,
            last: u64::MAX,
            rank,
            n,
            is_due: false,
        });
        Boundary { layer: *layer, end }
    };
    pieces.iter().enumerate().map(boundary).collect()
}

/// The number of users that each quota takes of `n` users, by largest remainders. The counts sum to
/// `n`, and each is within one user of its exact share. A quota's share is the quota divided by the
/// sum of all quotas.
///
/// # References
/// `docs/METHODS.md#quotas`.
pub fn quota_targets(n: u64, quotas: &[f64]) -> Vec<u64> {
    let sum: f64 = quotas.iter().sum();
    let exact: Vec<f64> = quotas.iter().map(|quota| quota / sum * n as f64).collect();
    let mut targets: Vec<u64> = exact.iter().map(|share| share.floor() as u64).collect();
    let mut order: Vec<usize> = (0..quotas.len()).collect();
    order.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()).then(a.cmp(b)));
    let left = n.saturating_sub(targets.iter().sum());
    for idx in order.into_iter().cycle().take(left as usize) {
        targets[idx] += 1;
    }
    targets
}

/// The rank of a user among users of the same score, as a 64-bit hash.
pub(super) fn tie_hash(salt: &str, user_id: &str) -> u64 {
    let text = format!("layer-tie:{salt}:{user_id}");
    u64::from(murmur3_x86_32(text.as_bytes(), 0)) << 32 | u64::from(murmur3_x86_32(text.as_bytes(), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_sum_to_all_users() {
        let check = |n: u64, quotas: &[f64], expected: &[u64]| assert_eq!(quota_targets(n, quotas), expected);
        check(1000, &[0.1, 0.7, 0.15, 0.05], &[100, 700, 150, 50]);
        check(1, &[0.1, 0.7, 0.2], &[0, 1, 0]);
        check(0, &[0.5, 0.5], &[0, 0]);
        check(7, &[1.0, 1.0], &[4, 3]);
        check(3, &[0.2, 0.0], &[3, 0]);
    }

    #[test]
    fn a_search_by_stretches_ends_at_the_same_hash_as_one_by_collecting() {
        let hashes: Vec<u64> = (0..20_000)
            .map(|user| tie_hash("salt", &format!("u{user}")))
            .collect();
        let mut sorted = hashes.clone();
        sorted.sort_unstable();
        for rank in [0, 1, 7_000, 19_999] {
            let mut cuts = TenantCuts::default();
            cuts.runs.push((5, Placement::Tied));
            cuts.ties.insert(5, boundaries(&[(0, rank), (1, 20_000 - rank)]));
            let mut quotas = Quotas {
                tenants: BTreeMap::from([("t".to_owned(), cuts)]),
            };
            let mut n_passes = 0;
            while quotas.prepare_pass() {
                n_passes += 1;
                // Two passes over two parts, as two threads make them.
                let halves = hashes.chunks(9_000).map(|half| {
                    let mut pass = TiePass::default();
                    half.iter()
                        .for_each(|hash| pass.add(&quotas.tenants["t"], 5, *hash));
                    pass
                });
                let pass = halves.reduce(|mut a, b| {
                    a.merge(b);
                    a
                });
                quotas.narrow(pass.unwrap());
            }
            let upper = hashes
                .iter()
                .filter(|hash| quotas.tenants["t"].layer_of_tied(5, **hash) == Some(0))
                .count();
            assert_eq!(
                (upper as u64, n_passes),
                (rank, 2),
                "20,000 hashes are counted, then a stretch of them is collected"
            );
            assert_eq!(
                quotas.tenants["t"].ties[&5][0].end.unwrap().first,
                sorted[rank as usize]
            );
        }
    }
}

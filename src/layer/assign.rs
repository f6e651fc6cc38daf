//! From scores to layers, by bands or by exact quotas.

use super::{kernel::Placement, table::Layers};
use crate::{
    bucket::murmur3_x86_32,
    scenario::{LayerMode, Layering, Plan},
};

/// Scores have this many values: 0..=10000 ten-thousandths.
const N_SCORES: usize = 10_001;

/// The layer of every user. `placements` say what places each of them.
pub fn assign(layers: &Layers, placements: &[Placement], layering: &Layering, plan: &Plan) -> Vec<u8> {
    match layering.mode {
        LayerMode::Threshold => by_threshold(layers, placements, plan),
        LayerMode::Quota => by_quota(layers, placements, plan),
    }
}

fn by_threshold(layers: &Layers, placements: &[Placement], plan: &Plan) -> Vec<u8> {
    let last = plan.layers.len().saturating_sub(1) as u8;
    let layer_of_score: Vec<u8> = (0..N_SCORES)
        .map(|score| {
            let share = score as f64 / 10_000.0;
            plan.layers.iter().position(|layer| layer.min_score.is_some_and(|min| share >= min)).map_or(last, |idx| idx as u8)
        })
        .collect();
    let layer_of = |(score, placement): (&u16, &Placement)| match placement {
        Placement::Tag(layer) => *layer,
        Placement::Protected => last,
        Placement::Score => layer_of_score[usize::from(*score)],
    };
    layers.score.iter().zip(placements).map(layer_of).collect()
}

/// Users that no tag placed are ranked by score within their tenant; each layer takes its share of them, highest scores first.
/// Scores have 10,001 values, so a histogram gives the cuts; only users tied at a cut are ranked one by one, by a hash of their id.
///
/// That hash is not the assignment hash: cutting ties by bucket would fill the upper layer with low buckets, which get the candidate
/// first, and show as a sample-ratio mismatch.
fn by_quota(layers: &Layers, placements: &[Placement], plan: &Plan) -> Vec<u8> {
    let last = plan.layers.len().saturating_sub(1) as u8;
    let with_quota: Vec<(u8, f64)> =
        plan.layers.iter().enumerate().filter_map(|(idx, layer)| layer.quota.map(|quota| (idx as u8, quota))).collect();
    let n_tenants = layers.tenants.len();
    let mut histogram = vec![0_u64; n_tenants * N_SCORES];
    // Users of unknown merit that the policy protects are in the last layer already: they fill its quota first.
    let mut n_protected = vec![0_u64; n_tenants];
    for user in 0..layers.n_users() {
        let tenant = layers.tenant[user] as usize;
        match placements[user] {
            Placement::Score => histogram[tenant * N_SCORES + usize::from(layers.score[user])] += 1,
            Placement::Protected => n_protected[tenant] += 1,
            Placement::Tag(_) => {}
        }
    }
    let mut places: Vec<Place> = Vec::with_capacity(histogram.len());
    let mut cuts: Vec<Cut> = Vec::new();
    for (tenant, scores) in histogram.chunks_exact(N_SCORES).enumerate() {
        let n_known: u64 = scores.iter().sum();
        let targets = quota_targets(n_known + n_protected[tenant], &with_quota.iter().map(|(_, quota)| *quota).collect::<Vec<_>>());
        let mut of_score = vec![Place::Layer(last); N_SCORES];
        let mut rank = 0;
        for score in (0..N_SCORES).rev() {
            let n = scores[score];
            of_score[score] = place(rank, n, &targets, &with_quota, last, &mut cuts);
            rank += n;
        }
        places.extend(of_score);
    }
    let mut tied: Vec<(usize, u32, &str, usize)> = Vec::new();
    let mut assigned: Vec<u8> = (0..layers.n_users())
        .map(|user| {
            let place = places[layers.tenant[user] as usize * N_SCORES + usize::from(layers.score[user])];
            match (placements[user], place) {
                (Placement::Protected, _) => last,
                (Placement::Tag(layer), _) | (Placement::Score, Place::Layer(layer)) => layer,
                (Placement::Score, Place::Cut(cut)) => {
                    let id = layers.user_id(user);
                    tied.push((cut, tie_hash(plan.profile.salt(), id), id, user));
                    last
                }
            }
        })
        .collect();
    tied.sort_unstable();
    for same in tied.chunk_by(|a, b| a.0 == b.0) {
        let cut = &cuts[same[0].0];
        for ((_, _, _, user), layer) in same.iter().zip(cut.layers()) {
            assigned[*user] = layer;
        }
    }
    assigned
}

/// Where users of one score go.
#[derive(Clone, Copy)]
enum Place {
    Layer(u8),
    /// Index of the cut that goes through this score.
    Cut(usize),
}

/// The first `n` tied users go to a layer, the next to another, and so on.
struct Cut(Vec<(u8, u64)>);

impl Cut {
    fn layers(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.iter().flat_map(|(layer, n)| std::iter::repeat_n(*layer, *n as usize))
    }
}

/// Users ranked `rank..rank + n` share a score: they all fit into one layer, or a cut goes through them.
fn place(rank: u64, n: u64, targets: &[u64], with_quota: &[(u8, f64)], last: u8, cuts: &mut Vec<Cut>) -> Place {
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
    match pieces.as_slice() {
        [] => Place::Layer(last),
        [(layer, _)] => Place::Layer(*layer),
        _ => {
            cuts.push(Cut(pieces));
            Place::Cut(cuts.len() - 1)
        }
    }
}

/// How many of `n` users each quota takes: largest remainders, so the counts sum to `n` and each is within one user of its share.
/// Quotas are shares of their sum.
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

fn tie_hash(salt: &str, user_id: &str) -> u32 {
    murmur3_x86_32(format!("layer-tie:{salt}:{user_id}").as_bytes(), 0)
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
}

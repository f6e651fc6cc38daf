//! The spans of one trace as a tree.

use hashbrown::HashMap;

use crate::traces::record::{Flags, Span};

/// The parents and roots of the spans of a trace.
pub(super) struct Tree {
    /// The parent of each span. `None` for a root.
    pub(super) parents: Vec<Option<usize>>,
    /// The spans from which turns are made.
    pub(super) roots: Vec<usize>,
    /// The spans of each root, in the order of all spans.
    pub(super) members: Vec<Vec<usize>>,
    /// All spans, parents before their children.
    order: Vec<usize>,
    /// Whether the real root is not in the files, so that another span stands for it.
    pub(super) lacks_root: bool,
    /// Whether all spans without a parent are one turn, which `roots` has first.
    pub(super) is_one_turn: bool,
}

impl Tree {
    /// Finds the parents. The spans are those of one trace, without repeated ones, in the order of
    /// their starts.
    pub(super) fn new(spans: &[Span<'_>]) -> Self {
        let by_id: HashMap<&str, usize> = spans
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, span)| !span.id.is_empty())
            .map(|(idx, span)| (span.id.as_ref(), idx))
            .collect();
        let mut parents: Vec<Option<usize>> = spans
            .iter()
            .enumerate()
            .map(|(idx, span)| {
                by_id
                    .get(span.parent.as_ref())
                    .copied()
                    .filter(|parent| *parent != idx)
            })
            .collect();
        cut_circles(&mut parents);
        let tops: Vec<usize> = (0..spans.len()).filter(|idx| parents[*idx].is_none()).collect();
        let trace = tops
            .iter()
            .copied()
            .find(|top| spans[*top].flags.has(Flags::TRACE));
        let real: Vec<usize> = tops
            .iter()
            .copied()
            .filter(|top| spans[*top].parent.is_empty() && !spans[*top].flags.has(Flags::COST_ROW))
            .collect();
        let is_one_turn = spans
            .iter()
            .any(|span| span.flags.has(Flags::ONE_TURN | Flags::TRACE));
        let roots = match trace {
            Some(trace) => vec![trace],
            None if real.is_empty() || is_one_turn => {
                let first = real.first().or(tops.first());
                first.copied().into_iter().collect()
            }
            None => real.clone(),
        };
        // Spans whose parent is not in the files go to the first root.
        if let Some(first) = roots.first() {
            // Both lists are in ascending order.
            for top in tops.iter().filter(|top| roots.binary_search(top).is_err()) {
                parents[*top] = Some(*first);
            }
        }
        let order = parents_first(&parents);
        let members = members_of(&parents, &order, &roots);
        Self {
            lacks_root: trace.is_none() && real.is_empty(),
            is_one_turn: is_one_turn && trace.is_none(),
            parents,
            roots,
            members,
            order,
        }
    }

    /// Marks the ancestors of the marked spans.
    pub(super) fn above(&self, is_marked: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut above = vec![false; self.parents.len()];
        for idx in (0..self.parents.len()).filter(|idx| is_marked(*idx)) {
            let mut at = self.parents[idx];
            while let Some(parent) = at.filter(|parent| !above[*parent]) {
                above[parent] = true;
                at = self.parents[parent];
            }
        }
        above
    }

    /// Decides something of each span from what was decided of its parent.
    pub(super) fn below(&self, decide: impl Fn(usize, Option<(usize, bool)>) -> bool) -> Vec<bool> {
        let mut decided = vec![false; self.parents.len()];
        for idx in &self.order {
            let parent = self.parents[*idx].map(|parent| (parent, decided[parent]));
            decided[*idx] = decide(*idx, parent);
        }
        decided
    }
}

/// Cuts circles, which damaged files have: the first span of a circle loses its parent.
fn cut_circles(parents: &mut [Option<usize>]) {
    // 0: not seen, 1: on the way, 2: leads to a root.
    let mut seen = vec![0_u8; parents.len()];
    let mut way = Vec::new();
    for start in 0..parents.len() {
        let mut at = start;
        loop {
            match seen[at] {
                2 => break,
                1 => {
                    parents[at] = None;
                    break;
                }
                _ => {
                    seen[at] = 1;
                    way.push(at);
                }
            }
            match parents[at] {
                Some(parent) => at = parent,
                None => break,
            }
        }
        way.drain(..).for_each(|idx| seen[idx] = 2);
    }
}

/// All spans, parents before their children.
fn parents_first(parents: &[Option<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(parents.len());
    let mut is_placed = vec![false; parents.len()];
    let mut way = Vec::new();
    for start in 0..parents.len() {
        let mut at = Some(start);
        while let Some(idx) = at.filter(|idx| !is_placed[*idx]) {
            is_placed[idx] = true;
            way.push(idx);
            at = parents[idx];
        }
        order.extend(way.drain(..).rev());
    }
    order
}

/// The spans of each root.
fn members_of(parents: &[Option<usize>], order: &[usize], roots: &[usize]) -> Vec<Vec<usize>> {
    let mut number_of = vec![0; parents.len()];
    for (number, root) in roots.iter().enumerate() {
        number_of[*root] = number;
    }
    for idx in order {
        if let Some(parent) = parents[*idx] {
            number_of[*idx] = number_of[parent];
        }
    }
    let mut members = vec![Vec::new(); roots.len()];
    for (idx, number) in number_of.into_iter().enumerate() {
        if let Some(of_root) = members.get_mut(number) {
            of_root.push(idx);
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_orphans_and_circles() {
        // Pairs of ids and parents, and the expected roots with the numbers of their spans.
        let check = |spans: &[(&str, &str)], expected: &[(&str, usize)], lacks_root: bool| {
            let spans: Vec<Span<'_>> = spans
                .iter()
                .map(|(id, parent)| Span {
                    id: (*id).into(),
                    parent: (*parent).into(),
                    ..Span::default()
                })
                .collect();
            let tree = Tree::new(&spans);
            let found: Vec<(&str, usize)> = tree
                .roots
                .iter()
                .zip(&tree.members)
                .map(|(root, members)| (spans[*root].id.as_ref(), members.len()))
                .collect();
            assert_eq!(
                (found.as_slice(), tree.lacks_root),
                (expected, lacks_root),
                "{spans:?}"
            );
        };
        check(&[], &[], true);
        check(&[("c", "b"), ("b", "a"), ("a", "")], &[("a", 3)], false);
        check(&[("a", ""), ("b", ""), ("c", "b")], &[("a", 1), ("b", 2)], false);
        check(&[("b", "gone"), ("c", "b"), ("d", "gone")], &[("b", 3)], true);
        check(&[("b", "gone"), ("a", ""), ("c", "b")], &[("a", 3)], false);
        check(&[("a", "b"), ("b", "a"), ("c", "a")], &[("a", 3)], true);
        check(&[("a", "a")], &[("a", 1)], true);
    }
}

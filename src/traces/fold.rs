//! Turns from the records of a group: a trace, or the session of a source without traces.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::base::time::HOUR;
use crate::traces::coverage::{Coverage, count};
use crate::traces::loose::{Wanted, turn_score};
use crate::traces::record::{Field, Flags, NAMED, Nanos, Record, Role, Score, Span, Target, name_hash};
use crate::traces::settings::Settings;
use crate::traces::tree::Tree;
use crate::traces::turn::Turn;
use crate::traces::usage::usage_of;

/// What all folds of an import share.
pub(super) struct FoldContext<'s> {
    pub(super) settings: &'s Settings,
    /// The sessions and answers that scores without a trace name.
    pub(super) wanted: &'s Wanted,
}

/// A score that comes this long after its turn is late.
const LATE: i64 = 48 * HOUR * 1_000;
/// Difference of clocks that is no skew.
const TOLERANCE: Nanos = 1_000_000;

/// The names of roles in the coverage.
const ROLES: [(Role, &str); 7] = [
    (Role::Other, "other"),
    (Role::Step, "step"),
    (Role::Agent, "agent"),
    (Role::Inference, "inference"),
    (Role::Tool, "tool"),
    (Role::Embedding, "embedding"),
    (Role::Evaluator, "evaluator"),
];

/// Folds the records of one group into turns. The result does not depend on the order of records.
pub(super) fn fold_group<'a>(
    records: impl IntoIterator<Item = Record<'a>>,
    ctx: &FoldContext<'_>,
    coverage: &mut Coverage,
) -> Vec<Turn> {
    let records = records.into_iter();
    let n_at_most = records.size_hint().1.unwrap_or(0);
    let (mut spans, mut scores) = (Vec::with_capacity(n_at_most), Vec::new());
    for record in records {
        match record {
            Record::Span(span) => spans.push(*span),
            Record::Score(score) => scores.push(score),
        }
    }
    let spans = latest_spans(spans, coverage);
    for span in &spans {
        if let Some((_, name)) = ROLES.iter().find(|(role, _)| *role == span.role) {
            count(&mut coverage.spans, name, 1);
        }
    }
    let is_loose = |span: &Span<'_>| span.flags.has(Flags::LOOSE);
    let (loose_tools, mut spans) = match spans.iter().any(is_loose) {
        true => spans.into_iter().partition(is_loose),
        false => (Vec::new(), spans),
    };
    spans.sort_by(|a, b| a.trace.cmp(&b.trace));
    let mut turns = Vec::new();
    let has_scores = !scores.is_empty();
    let mut homes: BTreeMap<String, Homes> = BTreeMap::new();
    for trace in spans.chunk_by(|a, b| a.trace == b.trace) {
        coverage.n_traces += 1;
        let first = turns.len();
        let mut by_span = has_scores.then(BTreeMap::new);
        fold_trace(trace, ctx, coverage, &mut turns, by_span.as_mut());
        if let Some(by_span) = by_span {
            let turns = first..turns.len();
            homes.insert(trace[0].trace.to_string(), Homes { turns, by_span });
        }
    }
    join_tools(&loose_tools, &mut turns, coverage);
    join_scores(latest_scores(scores), &homes, &mut turns, ctx, coverage);
    for turn in &turns {
        note_turn(turn, coverage);
    }
    turns
}

/// The turns of a trace, and of its spans.
struct Homes {
    turns: std::ops::Range<usize>,
    by_span: BTreeMap<String, usize>,
}

/// Keeps the latest row of each span. The spans are in the order of their starts.
fn latest_spans<'a>(mut spans: Vec<Span<'a>>, coverage: &mut Coverage) -> Vec<Span<'a>> {
    let encoded = |span: &Span<'_>| {
        let mut bytes = Vec::new();
        span.encode(&mut bytes);
        bytes
    };
    spans.sort_by(|a, b| {
        (&a.trace, &a.id, b.version)
            .cmp(&(&b.trace, &b.id, a.version))
            .then_with(|| encoded(a).cmp(&encoded(b)))
    });
    let n_before = spans.len();
    spans.dedup_by(|later, kept| !kept.id.is_empty() && (&later.trace, &later.id) == (&kept.trace, &kept.id));
    // Rows of the trace itself have no id.
    spans.dedup_by(|later, kept| {
        let is_trace = |span: &Span<'_>| span.flags.has(Flags::TRACE);
        is_trace(later) && is_trace(kept) && later.trace == kept.trace
    });
    coverage.n_repeated_spans += (n_before - spans.len()) as u64;
    spans.sort_by(|a, b| (a.start.unwrap_or(Nanos::MAX), &a.id).cmp(&(b.start.unwrap_or(Nanos::MAX), &b.id)));
    spans
}

/// Keeps the latest row of each score.
fn latest_scores(mut scores: Vec<Score<'_>>) -> Vec<Score<'_>> {
    let span_of = |score: &Score<'_>| match &score.target {
        Target::Trace(trace, span) => (trace.to_string(), span.to_string()),
        _ => Default::default(),
    };
    scores.sort_by_cached_key(|score| {
        let value = score.value.to_bits();
        (
            score.rule,
            score.id.to_string(),
            span_of(score),
            Reverse(score.version),
            score.at,
            value,
        )
    });
    scores.dedup_by(|later, kept| {
        !kept.id.is_empty() && (later.rule, &later.id, &later.target) == (kept.rule, &kept.id, &kept.target)
    });
    scores
}

/// Adds the turns of a trace, and the turn of each span to `by_span`.
fn fold_trace(
    spans: &[Span<'_>],
    ctx: &FoldContext<'_>,
    coverage: &mut Coverage,
    turns: &mut Vec<Turn>,
    mut by_span: Option<&mut BTreeMap<String, usize>>,
) {
    let is_of_agents = |span: &Span<'_>| span.role != Role::Other || span.usage.has_tokens();
    if !spans.iter().any(is_of_agents) {
        coverage.n_traces_of_others += 1;
        return;
    }
    let tree = Tree::new(spans);
    coverage.n_traces_without_root += u64::from(tree.lacks_root);
    let first = turns.len();
    let mut fold_root = |spans: &[Span<'_>], tree: &Tree| {
        if !spans.iter().any(is_of_agents) {
            return;
        }
        let Some(mut turn) = fold_turn(spans, tree, ctx, coverage) else {
            coverage.n_traces_without_time += 1;
            return;
        };
        if let Some(by_span) = &mut by_span {
            by_span.extend(spans.iter().map(|span| (span.id.to_string(), turns.len())));
        }
        if !ctx.wanted.is_empty() {
            let names = spans.iter().flat_map(|span| [span.response, name_hash(&span.id)]);
            let names = names.filter(|hash| *hash != 0 && ctx.wanted.has(*hash));
            turn.responses = names.collect();
        }
        turns.push(turn);
    };
    if tree.roots.len() == 1 {
        fold_root(spans, &tree);
    } else {
        for members in &tree.members {
            let own: Vec<Span<'_>> = members.iter().map(|idx| spans[*idx].clone()).collect();
            fold_root(&own, &Tree::new(&own));
        }
    }
    coverage.n_traces_of_several_roots += u64::from(turns.len() > first + 1);
}

/// The times of a turn.
struct Times {
    start: Nanos,
    end: Option<Nanos>,
}

/// The start and end of the root; without them, those of all its spans.
fn times_of(spans: &[Span<'_>], tree: &Tree, root: usize, members: &[usize]) -> Option<Times> {
    let own = &spans[root];
    let is_whole = own.flags.has(Flags::TRACE) || tree.is_one_turn || tree.lacks_root;
    let starts = members.iter().filter_map(|idx| spans[*idx].start);
    let ends = members.iter().filter_map(|idx| spans[*idx].end);
    match (own.start, own.end) {
        (Some(start), end) if !is_whole => Some(Times { start, end }),
        (start, end) => {
            let start = starts.min().or(start)?;
            Some(Times {
                start,
                end: ends.max().or(end),
            })
        }
    }
}

/// The turn of spans with one root. `None` if no span has a time.
fn fold_turn(
    spans: &[Span<'_>],
    tree: &Tree,
    ctx: &FoldContext<'_>,
    coverage: &mut Coverage,
) -> Option<Turn> {
    let root = *tree.roots.first()?;
    let is_judge = |idx: usize| spans[idx].role == Role::Evaluator;
    // A judge within a turn is no part of it, with all that is below.
    let left_out = tree
        .below(|idx, parent| !is_judge(root) && (is_judge(idx) || parent.is_some_and(|(_, is_out)| is_out)));
    let is_left_out = |idx: usize| left_out[idx];
    let (judges, members): (Vec<usize>, Vec<usize>) = (0..spans.len()).partition(|idx| is_left_out(*idx));
    count(&mut coverage.passed_over, "spans of judges", judges.len() as u64);
    let times = times_of(spans, tree, root, &members)?;
    let usage = usage_of(spans, tree, &members, ctx.settings, coverage);
    let any = |flag: u16| members.iter().any(|idx| spans[*idx].flags.has(flag));
    let is_failed = if spans[root].flags.has(Flags::TRACE) || tree.is_one_turn {
        let tops = members.iter().filter(|idx| {
            tree.parents[**idx].is_none_or(|parent| parent == root && spans[**idx].parent.is_empty())
        });
        tops.map(|idx| &spans[*idx])
            .any(|span| span.flags.has(Flags::ERROR))
    } else {
        spans[root].flags.has(Flags::ERROR)
    };
    let latency = times
        .end
        .and_then(|end| end.checked_sub(times.start))
        .filter(|latency| *latency >= 0);
    let has_skew = members.iter().any(|idx| {
        let span = &spans[*idx];
        span.start
            .is_some_and(|start| start < times.start.saturating_sub(TOLERANCE))
            || span.start.zip(span.end).is_some_and(|(start, end)| end < start)
    });
    coverage.n_traces_with_skew += u64::from(has_skew);
    let (tool_calls, tool_failures) = tools_of(spans, tree, &members);
    let first_tokens = members.iter().filter_map(|idx| spans[*idx].first_token);
    let is_inference = |idx: usize| spans[idx].role == Role::Inference;
    let above_inference = tree.above(|idx| is_inference(idx) && !is_left_out(idx));
    let n_inference = members
        .iter()
        .filter(|idx| is_inference(**idx) && !above_inference[**idx]);
    let mut texts = texts_of(spans, root, &members);
    // The model with the most tokens replaces all but a named one.
    texts.put(Field::Model, NAMED, usage.model);
    texts.put(Field::RequestedModel, NAMED, usage.requested_model);
    if !is_failed {
        // The error of a span that was made good is no error of the turn.
        texts.0.retain(|(field, ..)| *field != Field::ErrorType);
    }
    Some(Turn {
        event_time: times.start.div_euclid(1_000),
        trace: spans[root].trace.to_string(),
        root: spans[root].id.to_string(),
        is_shadow: any(Flags::SHADOW),
        is_eval: is_judge(root) || any(Flags::EVAL),
        success: Some(!is_failed),
        latency,
        first_token: first_tokens
            .min()
            .and_then(|at| at.checked_sub(times.start))
            .filter(|wait| *wait >= 0),
        inference_calls: n_inference.count() as i64,
        tool_calls,
        tool_successes: tool_calls - tool_failures,
        tokens_in: usage.tokens_in,
        cached_tokens_in: usage.cached_tokens_in,
        cache_write_tokens_in: usage.cache_write_tokens_in,
        tokens_out: usage.tokens_out,
        reasoning_tokens_out: usage.reasoning_tokens_out,
        cost: usage.cost,
        retries: members.iter().map(|idx| i64::from(spans[*idx].retries)).sum(),
        is_fallback: any(Flags::FALLBACK),
        texts: texts.finish(),
        scores: Vec::new(),
        responses: Vec::new(),
    })
}

/// Texts of a turn by field, each with its rank.
#[derive(Default)]
struct Texts<'s>(Vec<(Field, u8, &'s str)>);

impl<'s> Texts<'s> {
    /// Adds a text. Of two texts of one field the one of the lower rank is kept, then the first.
    fn put(&mut self, field: Field, rank: u8, text: Option<&'s str>) {
        let Some(text) = text else { return };
        match self.0.iter_mut().find(|(known, ..)| *known == field) {
            Some((_, known, _)) if *known <= rank => {}
            Some(known) => *known = (field, rank, text),
            None => self.0.push((field, rank, text)),
        }
    }

    /// The texts in the order of fields.
    fn finish(mut self) -> Vec<(Field, String)> {
        self.0.sort_unstable_by_key(|(field, ..)| *field);
        let texts = self.0.into_iter();
        texts.map(|(field, _, text)| (field, text.to_owned())).collect()
    }
}

/// The texts of a turn: of each field the text with the best rank, of the root before others.
fn texts_of<'s>(spans: &'s [Span<'_>], root: usize, members: &[usize]) -> Texts<'s> {
    let mut texts = Texts::default();
    let root_first = std::iter::once(root).chain(members.iter().copied().filter(|idx| *idx != root));
    for idx in root_first {
        // The error of a turn is that of its root.
        let is_read = |field: Field| idx == root || field != Field::ErrorType;
        for text in spans[idx].texts.iter().filter(|text| is_read(text.field)) {
            texts.put(text.field, text.rank, Some(&text.text));
        }
    }
    texts
}

/// The numbers of calls of tools and of those that failed. A call within a call is one, such as that
/// of a client within that of an agent, unless an agent or a model is between them.
fn tools_of(spans: &[Span<'_>], tree: &Tree, members: &[usize]) -> (i64, i64) {
    let mut is_member = vec![false; spans.len()];
    members.iter().for_each(|idx| is_member[*idx] = true);
    let role = |idx: usize| spans[idx].role;
    let above_inference = tree.above(|idx| role(idx) == Role::Inference && is_member[idx]);
    let is_within = tree.below(|_, parent| {
        parent.is_some_and(|(parent, is_within)| {
            let is_call = role(parent) == Role::Tool && !above_inference[parent];
            role(parent) != Role::Agent && (is_call || is_within)
        })
    });
    let is_call = |idx: &&usize| role(**idx) == Role::Tool && !is_within[**idx];
    let calls = members.iter().filter(is_call);
    calls.fold((0, 0), |(n_calls, n_failed), idx| {
        (
            n_calls + 1,
            n_failed + i64::from(spans[*idx].flags.has(Flags::ERROR)),
        )
    })
}

/// Adds calls of tools to the last request before them.
fn join_tools(tools: &[Span<'_>], turns: &mut [Turn], coverage: &mut Coverage) {
    let mut by_start: Vec<usize> = (0..turns.len()).collect();
    by_start.sort_by_cached_key(|idx| turns[*idx].key());
    for tool in tools {
        let at = tool.start.unwrap_or(Nanos::MAX).div_euclid(1_000);
        let n_before = by_start.partition_point(|idx| turns[*idx].event_time <= at);
        match by_start.get(n_before.saturating_sub(1)) {
            Some(idx) => {
                let turn = &mut turns[*idx];
                turn.tool_calls += 1;
                turn.tool_successes += i64::from(!tool.flags.has(Flags::ERROR));
            }
            None => coverage.tools.n_unjoined += 1,
        }
    }
}

/// Gives scores to their turns.
fn join_scores(
    scores: Vec<Score<'_>>,
    homes: &BTreeMap<String, Homes>,
    turns: &mut [Turn],
    ctx: &FoldContext<'_>,
    coverage: &mut Coverage,
) {
    for score in scores {
        let (column, rule) = match ctx.settings.rules.get(usize::from(score.rule)) {
            Some(rule) => rule,
            None => continue,
        };
        let known = coverage.scores.entry(column.clone()).or_default();
        known.score.clone_from(&rule.score);
        let Target::Trace(trace, span) = &score.target else {
            continue;
        };
        let Some(home) = homes.get(trace.as_ref()).filter(|home| !home.turns.is_empty()) else {
            known.n_unjoined += 1;
            continue;
        };
        let of_span = home.by_span.get(span.as_ref()).filter(|_| !span.is_empty());
        let turn = match (of_span, home.turns.len()) {
            (Some(turn), _) => *turn,
            (None, 1) => home.turns.start,
            (None, _) => {
                known.n_ambiguous += 1;
                continue;
            }
        };
        known.n_joined += 1;
        let turn = &mut turns[turn];
        let end = turn
            .event_time
            .saturating_mul(1_000)
            .saturating_add(turn.latency.unwrap_or(0));
        known.n_late += u64::from(score.at.is_some_and(|at| at.saturating_sub(end) >= LATE));
        turn.scores.push(turn_score(&score));
    }
}

/// Counts a turn.
fn note_turn(turn: &Turn, coverage: &mut Coverage) {
    coverage.n_turns += 1;
    coverage.n_eval += u64::from(turn.is_eval);
    coverage.n_shadow += u64::from(turn.is_shadow);
    coverage.n_failed += u64::from(turn.success == Some(false));
    coverage.n_fallback += u64::from(turn.is_fallback);
    coverage.n_retried += u64::from(turn.retries > 0);
    coverage.tools.n_calls += turn.tool_calls.unsigned_abs();
    coverage.tools.n_failed += (turn.tool_calls - turn.tool_successes).unsigned_abs();
    coverage.tokens.n_turns_without += u64::from(turn.tokens_in.is_none());
    coverage.cost.n_turns_without += u64::from(turn.cost.is_none());
    for (sum, tokens) in [
        (&mut coverage.tokens.input, turn.tokens_in),
        (&mut coverage.tokens.cached_input, turn.cached_tokens_in),
        (&mut coverage.tokens.output, turn.tokens_out),
    ] {
        *sum = sum.saturating_add(tokens.unwrap_or(0));
    }
    for (n, lacks) in coverage.n_without.iter_mut().zip(turn.lacks()) {
        *n += u64::from(lacks);
    }
}

#[cfg(test)]
mod tests;

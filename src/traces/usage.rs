//! Tokens and cost of a turn: which of its spans count.
//!
//! 1. Where a service reports rows with a cost itself, its other rows do not count.
//! 2. A span counts if no span below it has tokens: a wrapper, an agent or a gateway repeats them.
//! 3. Cached tokens beside the input are added to it: they cannot be more than the input has.
//! 4. Tokens and cost come from the same spans. A span without a cost gets that of the table of
//!    prices. If that has none, the cost of the turn is not known.
//! 5. Embeddings have a cost, and no tokens of the conversation.

use std::collections::{BTreeMap, BTreeSet};

use crate::prices;
use crate::traces::coverage::{Coverage, count};
use crate::traces::record::{Field, Flags, Role, Span};
use crate::traces::settings::Settings;
use crate::traces::tree::Tree;

/// Tokens and cost of a turn.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct TurnUsage<'s> {
    pub(super) tokens_in: Option<i64>,
    pub(super) cached_tokens_in: Option<i64>,
    pub(super) cache_write_tokens_in: Option<i64>,
    pub(super) tokens_out: Option<i64>,
    pub(super) reasoning_tokens_out: Option<i64>,
    /// Nano-USD.
    pub(super) cost: Option<i64>,
    /// The model with the most tokens.
    pub(super) model: Option<&'s str>,
    /// The model that was asked for where that one answered.
    pub(super) requested_model: Option<&'s str>,
}

/// Reasons for which a span does not count.
const BESIDE_COST_ROWS: &str = "tokens beside rows of cost of the same service";
const NEGATIVE: &str = "negative tokens, taken as 0";
const ABOVE_OTHERS: &str = "tokens that spans below have";

/// A span's tokens, with cached ones in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counted {
    pub(super) input: i64,
    pub(super) output: i64,
    pub(super) cache_read: i64,
    pub(super) cache_write: i64,
    /// Whether cached tokens were added to the input.
    pub(super) is_cache_beside: bool,
}

impl Counted {
    /// Counts the tokens of a span. Negative numbers count as 0.
    pub(super) fn new(span: &Span<'_>) -> Self {
        let known = |tokens: Option<i64>| tokens.unwrap_or(0).max(0);
        let usage = &span.usage;
        let (cache_read, cache_write) = (known(usage.cache_read), known(usage.cache_write));
        let (input, cached) = (known(usage.input), cache_read.saturating_add(cache_write));
        let is_beside = span.flags.has(Flags::CACHE_BESIDE) || cached > input;
        let is_cache_beside = cached > 0 && is_beside && !span.flags.has(Flags::CACHE_INSIDE);
        Self {
            input: if is_cache_beside {
                input.saturating_add(cached)
            } else {
                input
            },
            output: known(usage.output),
            cache_read,
            cache_write,
            is_cache_beside,
        }
    }
}

/// Counts the spans of one turn. `members` are its spans that are not left out.
pub(super) fn usage_of<'s>(
    spans: &'s [Span<'_>],
    tree: &Tree,
    members: &[usize],
    settings: &Settings,
    coverage: &mut Coverage,
) -> TurnUsage<'s> {
    let counted = counted_spans(spans, tree, members, coverage);
    let mut usage = TurnUsage::default();
    let mut cost = Cost::default();
    let mut models: BTreeMap<&str, (i64, usize)> = BTreeMap::new();
    for idx in counted {
        let span = &spans[idx];
        let tokens = Counted::new(span);
        coverage.tokens.n_cache_beside += u64::from(tokens.is_cache_beside);
        let logged = &span.usage;
        let logged = [logged.input, logged.output, logged.cache_read, logged.cache_write];
        let is_negative = logged.into_iter().flatten().any(|tokens| tokens < 0);
        count(&mut coverage.passed_over, NEGATIVE, u64::from(is_negative));
        let add = |sum: &mut Option<i64>, more: i64| *sum = Some(sum.unwrap_or(0).saturating_add(more));
        add(&mut usage.tokens_in, tokens.input);
        add(&mut usage.cached_tokens_in, tokens.cache_read);
        if span.usage.cache_write.is_some() {
            add(&mut usage.cache_write_tokens_in, tokens.cache_write);
        }
        add(&mut usage.tokens_out, tokens.output);
        if let Some(reasoning) = span.usage.reasoning {
            add(&mut usage.reasoning_tokens_out, reasoning.max(0));
        }
        cost.add(span, &tokens, settings, coverage);
        if let Some(model) = span.text(Field::Model).or(span.text(Field::RequestedModel)) {
            let known = models.entry(model).or_insert((0, idx));
            known.0 = known.0.saturating_add(tokens.input.saturating_add(tokens.output));
            known.1 = idx;
        }
    }
    let is_priced_alone = |idx: &usize| {
        let span = &spans[*idx];
        let is_inference = span.role == Role::Inference && !knows_tokens(span);
        is_inference && span.cost.is_some() || span.role == Role::Embedding
    };
    for idx in members.iter().copied().filter(is_priced_alone) {
        cost.add(&spans[idx], &Counted::new(&spans[idx]), settings, coverage);
    }
    // The last of the models with most tokens in the alphabet, for a decision that never depends on
    // the order of spans.
    if let Some((model, (_, idx))) = models.into_iter().max_by_key(|(name, (n, _))| (*n, *name)) {
        usage.model = Some(model);
        usage.requested_model = spans[idx].text(Field::RequestedModel);
    }
    usage.cost = cost.finish();
    usage
}

fn knows_tokens(span: &Span<'_>) -> bool {
    span.usage.input.is_some() || span.usage.output.is_some()
}

/// The spans whose tokens count.
fn counted_spans(spans: &[Span<'_>], tree: &Tree, members: &[usize], coverage: &mut Coverage) -> Vec<usize> {
    let mut counted: Vec<usize> = members
        .iter()
        .copied()
        .filter(|idx| spans[*idx].role != Role::Embedding && knows_tokens(&spans[*idx]))
        .collect();
    let services: BTreeSet<&str> = counted
        .iter()
        .map(|idx| &spans[*idx])
        .filter(|span| span.cost.is_some() && span.usage.has_tokens())
        .filter_map(|span| span.text(Field::Service))
        .collect();
    let n_before = counted.len();
    counted.retain(|idx| {
        let span = &spans[*idx];
        let reports_cost = span
            .text(Field::Service)
            .is_some_and(|service| services.contains(service));
        !reports_cost || span.cost.is_some() || !span.usage.has_tokens()
    });
    count(
        &mut coverage.passed_over,
        BESIDE_COST_ROWS,
        (n_before - counted.len()) as u64,
    );
    let mut has_tokens = vec![false; spans.len()];
    let mut is_counted = vec![false; spans.len()];
    for idx in &counted {
        has_tokens[*idx] = spans[*idx].usage.has_tokens();
        is_counted[*idx] = true;
    }
    let above_tokens = tree.above(|idx| has_tokens[idx]);
    let above_any = tree.above(|idx| is_counted[idx]);
    let n_before = counted.len();
    counted.retain(|idx| !above_tokens[*idx] && (has_tokens[*idx] || !above_any[*idx]));
    count(
        &mut coverage.passed_over,
        ABOVE_OTHERS,
        (n_before - counted.len()) as u64,
    );
    counted
}

/// The cost of spans, as far as it is known.
#[derive(Default)]
struct Cost {
    /// Pico-USD. `None` before the first span.
    sum: Option<i64>,
    is_unknown: bool,
}

impl Cost {
    fn add(&mut self, span: &Span<'_>, tokens: &Counted, settings: &Settings, coverage: &mut Coverage) {
        let has_tokens = tokens.input > 0 || tokens.output > 0;
        let cost = match span.cost {
            Some(pico) => {
                coverage.cost.n_logged += 1;
                let sum = &mut coverage.cost.logged_nano_usd;
                *sum = sum.saturating_add(half_even(pico));
                Some(pico)
            }
            None if !has_tokens => return,
            None => price(span, tokens, settings, coverage),
        };
        match cost {
            Some(pico) => self.sum = Some(self.sum.unwrap_or(0).saturating_add(pico)),
            None => {
                coverage.cost.n_unknown += 1;
                self.is_unknown = true;
            }
        }
    }

    fn finish(self) -> Option<i64> {
        self.sum.filter(|_| !self.is_unknown).map(half_even)
    }
}

/// The cost by the table of prices, in pico-USD.
fn price(span: &Span<'_>, tokens: &Counted, settings: &Settings, coverage: &mut Coverage) -> Option<i64> {
    let prices = settings.prices.as_ref()?;
    let model = span.text(Field::Model).or(span.text(Field::RequestedModel));
    let requested = span.text(Field::RequestedModel);
    let of = |model: Option<&str>| {
        let model = model?;
        let cost = prices.cost_of(&prices::Usage {
            model,
            at: span.start.or(span.end).unwrap_or(0).div_euclid(1_000),
            tokens_in: tokens.input,
            cache_read: tokens.cache_read,
            cache_write: tokens.cache_write,
            cache_write_1h: 0,
            tokens_out: tokens.output,
            is_batch: span.flags.has(Flags::BATCH),
        });
        cost.ok()
    };
    match of(model).or_else(|| of(requested)) {
        Some(nano) => {
            coverage.cost.n_priced += 1;
            let sum = &mut coverage.cost.priced_nano_usd;
            *sum = sum.saturating_add(nano);
            nano.checked_mul(1_000)
        }
        None => {
            count(&mut coverage.cost.unpriced_models, model.unwrap_or("unknown"), 1);
            None
        }
    }
}

/// Nano-USD of pico-USD, rounded half to even.
fn half_even(pico: i64) -> i64 {
    let (whole, rest) = (pico.div_euclid(1_000), pico.rem_euclid(1_000));
    whole + i64::from(rest > 500 || rest == 500 && whole % 2 != 0)
}

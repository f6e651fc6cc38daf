//! Reasons why the cost of a row is not known.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::prices::NoCost;

/// The reason why the cost of a row is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CostGap {
    /// The log has no column `cost_usd`, and there is no price table.
    NoCostColumn,
    /// The row has no value of `cost_usd`, and there is no price table.
    NoCost,
    /// The turn failed, and has neither a cost nor tokens.
    FailedTurn,
    /// Neither the row nor a release record names a model.
    NoModel,
    /// The price table does not have the model.
    NoModelPrice,
    /// The model has no price of requests by a batch API.
    NoBatchPrice,
    /// The first price of the model begins after the row.
    NoPriceYet,
    /// The row lacks the number of its input tokens or of its output tokens.
    NoTokens,
    /// The row has more tokens of caches than input tokens.
    ImpossibleTokens,
    /// The price lacks `cached_input`, and the row has tokens that were read from a cache.
    NoCachedInputPrice,
    /// The price lacks `cache_write`, and the row has tokens that were written to a cache.
    NoCacheWritePrice,
    /// The price lacks `cache_write_1h`, and the row has tokens that were written for an hour.
    #[serde(rename = "no_cache_write_1h_price")]
    NoCacheWrite1hPrice,
    /// The row has no value of `tool_cost_usd`, and called tools or may have.
    NoToolCost,
}

impl CostGap {
    /// All reasons, in their order.
    pub const ALL: [Self; 13] = [
        Self::NoCostColumn,
        Self::NoCost,
        Self::FailedTurn,
        Self::NoModel,
        Self::NoModelPrice,
        Self::NoBatchPrice,
        Self::NoPriceYet,
        Self::NoTokens,
        Self::ImpossibleTokens,
        Self::NoCachedInputPrice,
        Self::NoCacheWritePrice,
        Self::NoCacheWrite1hPrice,
        Self::NoToolCost,
    ];

    /// The reason of a price table. `None` for a cost that is too large, which is an error.
    pub(super) fn of_price(reason: NoCost, has_model: bool) -> Option<Self> {
        Some(match reason {
            NoCost::Model if !has_model => Self::NoModel,
            NoCost::Model => Self::NoModelPrice,
            NoCost::Batch => Self::NoBatchPrice,
            NoCost::Time => Self::NoPriceYet,
            NoCost::Counts => Self::ImpossibleTokens,
            NoCost::CachedInput => Self::NoCachedInputPrice,
            NoCost::CacheWrite => Self::NoCacheWritePrice,
            NoCost::CacheWrite1h => Self::NoCacheWrite1hPrice,
            NoCost::TooLarge => return None,
        })
    }

    /// The reason in words, with what to do.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoCostColumn => {
                "the log does not have the column cost_usd: --column cost_usd=..., or --prices with tokens"
            }
            Self::NoCost => "no value of cost_usd: log it, or give --prices with models and tokens",
            Self::FailedTurn => "the turn failed, and has neither a cost nor tokens",
            Self::NoModel => "no model, in model_ref or in a record of --records",
            Self::NoModelPrice => "no price of the model in --prices",
            Self::NoBatchPrice => "no price of requests by a batch API: `batch = true` in --prices",
            Self::NoPriceYet => "before the first price of the model: `from` in --prices",
            Self::NoTokens => "no value of tokens_in or tokens_out",
            Self::ImpossibleTokens => {
                "more tokens of caches than tokens_in, which includes them: \
                 --derive \"tokens_in=plain + cached\" adds tokens that stand beside each other"
            }
            Self::NoCachedInputPrice => {
                "tokens read from a cache, and no price of them: `cached_input` in --prices"
            }
            Self::NoCacheWritePrice => {
                "tokens written to a cache, and no price of them: `cache_write` in --prices"
            }
            Self::NoCacheWrite1hPrice => {
                "tokens written to a cache for an hour, and no price of them: `cache_write_1h` in --prices"
            }
            Self::NoToolCost => "no value of tool_cost_usd, and tools were called or may have been",
        }
    }
}

/// Numbers of rows by reason, indexed by [`CostGap`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gaps([u64; CostGap::ALL.len()]);

impl Gaps {
    pub(super) fn add(&mut self, gap: Option<CostGap>) {
        if let Some(gap) = gap {
            self.0[gap as usize] += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0
            .iter_mut()
            .zip(other.0)
            .for_each(|(sum, more)| *sum += more);
    }

    /// The reasons that some row has.
    pub(super) fn counts(&self) -> BTreeMap<CostGap, u64> {
        let counts = CostGap::ALL.into_iter().zip(self.0);
        counts.filter(|(_, n)| *n > 0).collect()
    }
}

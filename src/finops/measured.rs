//! The measured columns of a log that a bill reads.

use crate::input::Turns;

/// Measured columns of the log, in the order in which they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MeasuredColumn {
    CostUsd,
    ToolCostUsd,
    TokensIn,
    TokensOut,
    CachedTokensIn,
    CacheWriteTokensIn,
    IsBatch,
    CacheWrite1hTokensIn,
    TaskCompleted,
    ToolCalls,
    Success,
}

impl MeasuredColumn {
    /// Names of the columns, in the order of the variants.
    pub(super) const NAMES: [&str; 11] = [
        "cost_usd",
        "tool_cost_usd",
        "tokens_in",
        "tokens_out",
        "cached_tokens_in",
        "cache_write_tokens_in",
        "is_batch",
        "cache_write_1h_tokens_in",
        "task_completed",
        "tool_calls",
        "success",
    ];

    /// Returns a row's value. `None` if the row has none.
    pub(super) fn value(self, turns: &Turns, row: usize) -> Option<i64> {
        let column = &turns.measured[self as usize];
        (!column.is_absent(row)).then(|| column.values[row])
    }
}

//! The cost of a request by a price.

use crate::base::time::Micros;

/// Number of tokens to which a price applies.
const PER_TOKENS: i128 = 1_000_000;

/// Prices of a request's tokens, nano-USD per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Price of input tokens that are neither read from a cache nor written to one.
    pub input: i64,
    /// Price of output tokens. Tokens of reasoning are output tokens.
    pub output: i64,
    /// Price of input tokens that are read from the cache of an earlier request. `None` if the table
    /// does not state it: requests with such tokens have no cost.
    pub cached_input: Option<i64>,
    /// Price of input tokens that are written to the cache. `None` if the table does not state it:
    /// requests with such tokens have no cost.
    pub cache_write: Option<i64>,
    /// Price of input tokens that are written to a cache that keeps them for an hour. `None` if the
    /// table does not state it: requests with such tokens have no cost.
    pub cache_write_1h: Option<i64>,
}

/// The reason why a request has no cost by a table of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCost {
    /// The table does not have the model.
    Model,
    /// The model has no price of requests by a batch API.
    Batch,
    /// The first price of the model begins after the request.
    Time,
    /// The counts cannot be true: see [`Usage::is_possible`].
    Counts,
    /// The price lacks `cached_input`, and the request has such tokens.
    CachedInput,
    /// The price lacks `cache_write`, and the request has such tokens.
    CacheWrite,
    /// The price lacks `cache_write_1h`, and the request has such tokens.
    CacheWrite1h,
    /// The cost does not fit in `i64`.
    TooLarge,
}

/// A request and the tokens that it used.
///
/// ```
/// use sluice::prices::{NoCost, Prices, Usage};
/// let table = "model,input,output,cached_input,batch\nm-1,2,10,0.5,\nm-1,1,5,0.25,true\n";
/// let prices = Prices::parse("prices.csv", "csv", table.as_bytes()).unwrap();
/// let mut usage = Usage {
///     model: "m-1",
///     at: 0,
///     tokens_in: 1_000,
///     cache_read: 400,
///     cache_write: 0,
///     cache_write_1h: 0,
///     tokens_out: 100,
///     is_batch: false,
/// };
/// // 600 * 2 + 400 * 0.5 + 100 * 10 = 2,400 USD per million requests.
/// assert_eq!(prices.cost_of(&usage), Ok(2_400_000));
/// usage.is_batch = true;
/// assert_eq!(prices.cost_of(&usage), Ok(1_200_000));
/// usage.cache_write = 10;
/// assert_eq!(prices.cost_of(&usage), Err(NoCost::CacheWrite));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage<'a> {
    /// Model as the log or the release record names it.
    pub model: &'a str,
    /// Time of the request, microseconds, UTC.
    pub at: Micros,
    /// Number of input tokens, including those that are read from a cache or written to one.
    pub tokens_in: i64,
    /// Number of input tokens that are read from the cache of an earlier request.
    pub cache_read: i64,
    /// Number of input tokens that are written to the cache.
    pub cache_write: i64,
    /// Number of those that are written to a cache that keeps them for an hour.
    pub cache_write_1h: i64,
    /// Number of output tokens, including those of reasoning.
    pub tokens_out: i64,
    /// Whether the request was made by a batch API.
    pub is_batch: bool,
}

impl Usage<'_> {
    /// Whether the counts can be true: none is negative, the tokens that are read from a cache or
    /// written to one are part of the input tokens, and those that are kept for an hour are part of
    /// the written ones.
    pub fn is_possible(&self) -> bool {
        let cached = self.cache_read.checked_add(self.cache_write);
        self.cache_read >= 0
            && (0..=self.cache_write).contains(&self.cache_write_1h)
            && self.tokens_out >= 0
            && cached.is_some_and(|cached| cached <= self.tokens_in)
    }
}

impl Price {
    /// Returns the cost of a request in nano-USD, rounded once, half to even. The model, the time and
    /// `is_batch` are not read.
    ///
    /// # Errors
    /// The counts are impossible, the price lacks one of a kind of tokens that the request has, or
    /// the cost does not fit in `i64`.
    pub fn cost_nano(&self, usage: &Usage<'_>) -> Result<i64, NoCost> {
        if !usage.is_possible() {
            return Err(NoCost::Counts);
        }
        let plain = usage.tokens_in - usage.cache_read - usage.cache_write;
        let short = usage.cache_write - usage.cache_write_1h;
        let terms = [
            (plain, Some(self.input), NoCost::TooLarge),
            (usage.cache_read, self.cached_input, NoCost::CachedInput),
            (short, self.cache_write, NoCost::CacheWrite),
            (usage.cache_write_1h, self.cache_write_1h, NoCost::CacheWrite1h),
            (usage.tokens_out, Some(self.output), NoCost::TooLarge),
        ];
        // Several products of up to 126 bits can overflow 127 bits.
        let sum = terms.into_iter().filter(|(tokens, ..)| *tokens > 0).try_fold(
            0_i128,
            |sum, (tokens, price, reason)| {
                let cost = i128::from(tokens) * i128::from(price.ok_or(reason)?);
                sum.checked_add(cost).ok_or(NoCost::TooLarge)
            },
        )?;
        i64::try_from(half_even(sum)).map_err(|_| NoCost::TooLarge)
    }
}

/// Computes `sum / 1e6`, rounded half to even. The sum is at least 0.
fn half_even(sum: i128) -> i128 {
    let (whole, rest) = (sum / PER_TOKENS, sum % PER_TOKENS);
    let up = rest * 2 > PER_TOKENS || (rest * 2 == PER_TOKENS && whole % 2 == 1);
    whole + i128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Input, cache reads, cache writes and output.
    fn usage([tokens_in, cache_read, cache_write, tokens_out]: [i64; 4]) -> Usage<'static> {
        usage_1h([tokens_in, cache_read, cache_write, 0, tokens_out])
    }

    /// Input, cache reads, cache writes, those for an hour, and output.
    fn usage_1h(tokens: [i64; 5]) -> Usage<'static> {
        let [tokens_in, cache_read, cache_write, cache_write_1h, tokens_out] = tokens;
        Usage {
            model: "m",
            at: 0,
            tokens_in,
            cache_read,
            cache_write,
            cache_write_1h,
            tokens_out,
            is_batch: false,
        }
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        // 3, 15, 0.3 and 3.75 USD per million tokens.
        let price = Price {
            input: 3_000_000_000,
            output: 15_000_000_000,
            cached_input: Some(300_000_000),
            cache_write: Some(3_750_000_000),
            cache_write_1h: Some(6_000_000_000),
        };
        let check = |tokens, expected: Option<i64>| {
            assert_eq!(
                price.cost_nano(&usage(tokens)),
                expected.ok_or(NoCost::Counts),
                "{tokens:?}"
            );
        };
        check([1_000, 0, 0, 0], Some(3_000_000));
        check([1_000, 1_000, 0, 0], Some(300_000));
        check([1_000, 0, 1_000, 0], Some(3_750_000));
        check([0, 0, 0, 1_000], Some(15_000_000));
        // 500 * 3000 + 300 * 300 + 200 * 3750 + 40 * 15000.
        check(
            [1_000, 300, 200, 40],
            Some(1_500_000 + 90_000 + 750_000 + 600_000),
        );
        check([0, 0, 0, 0], Some(0));
        // Counts that cannot be true.
        for tokens in [
            [-1, 0, 0, 0],
            [0, -1, 0, 0],
            [5, 0, -1, 0],
            [0, 0, 0, -1],
            [10, 11, 0, 0],
            [10, 6, 5, 0],
            [i64::MAX, i64::MAX, 1, 0],
        ] {
            check(tokens, None);
        }
    }

    #[test]
    fn tokens_without_a_price_of_their_kind_have_no_cost() {
        let check = |prices: [Option<i64>; 3], tokens, expected: Result<i64, NoCost>| {
            let [cached_input, cache_write, cache_write_1h] =
                prices.map(|usd| usd.map(|usd| usd * 1_000_000));
            let (input, output) = (2_000_000, 10_000_000);
            let price = Price {
                input,
                output,
                cached_input,
                cache_write,
                cache_write_1h,
            };
            assert_eq!(
                price.cost_nano(&usage_1h(tokens)),
                expected,
                "{prices:?} {tokens:?}"
            );
        };
        let none = [None; 3];
        check(none, [10, 0, 0, 0, 1], Ok(30));
        check(none, [10, 4, 0, 0, 1], Err(NoCost::CachedInput));
        check(none, [10, 0, 4, 0, 1], Err(NoCost::CacheWrite));
        check(none, [10, 0, 4, 4, 1], Err(NoCost::CacheWrite1h));
        check([Some(1), None, None], [10, 4, 0, 0, 1], Ok(26));
        check([Some(1), None, None], [10, 4, 1, 0, 1], Err(NoCost::CacheWrite));
        check([Some(1), Some(3), None], [10, 4, 1, 0, 1], Ok(27));
        check(
            [Some(1), Some(3), None],
            [10, 4, 2, 1, 1],
            Err(NoCost::CacheWrite1h),
        );
        // 4 * 2 + 4 * 1 + 1 * 3 + 1 * 4 + 1 * 10.
        check([Some(1), Some(3), Some(4)], [10, 4, 2, 1, 1], Ok(29));
        check([Some(0), Some(0), Some(0)], [10, 4, 6, 6, 0], Ok(0));
        // More tokens are kept for an hour than are written.
        check([Some(1), Some(3), Some(4)], [10, 0, 1, 2, 0], Err(NoCost::Counts));
        check(
            [Some(1), Some(3), Some(4)],
            [10, 0, 1, -1, 0],
            Err(NoCost::Counts),
        );
    }

    #[test]
    fn money_is_rounded_once_half_even_and_never_wraps() {
        let price = |nano: i64| Price {
            input: nano,
            output: nano,
            cached_input: Some(nano),
            cache_write: Some(nano),
            cache_write_1h: None,
        };
        let check = |nano: i64, tokens, expected: Option<i64>| {
            assert_eq!(
                price(nano).cost_nano(&usage(tokens)),
                expected.ok_or(NoCost::TooLarge),
                "{nano} {tokens:?}"
            )
        };
        check(500_000, [1, 0, 0, 0], Some(0));
        check(1_500_000, [1, 0, 0, 0], Some(2));
        check(2_500_000, [1, 0, 0, 0], Some(2));
        check(2_500_001, [1, 0, 0, 0], Some(3));
        check(499_999, [1, 0, 0, 0], Some(0));
        // Half a nano-USD for input and half for output give one nano-USD.
        check(500_000, [1, 0, 0, 1], Some(1));
        // A quarter of a nano-USD for each kind of token gives one nano-USD.
        check(250_000, [3, 1, 1, 1], Some(1));
        check(i64::MAX, [i64::MAX, 0, 0, i64::MAX], None);
    }
}

//! The table of prices, and the price of a request by model, time, batch and size.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Micros;
use crate::prices::name::{model_name, without_date};
use crate::prices::price::{NoCost, Price, Usage};

/// A price table by model. A model has the name of the log or the release record
/// (`litellm:smart=gpt-4o-mini-2025-11`), or its short name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prices {
    by_model: BTreeMap<String, ModelPrices>,
    /// Names of models of which the table has versions with dates.
    dated: BTreeSet<String>,
}

/// The prices of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelPrices {
    /// Prices of usual requests, in order of falling bounds.
    usual: Vec<Tier>,
    /// Prices of requests by a batch API, in order of falling bounds.
    batch: Vec<Tier>,
}

/// The prices of requests with more than a number of input tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tier {
    /// The bound, in input tokens. 0 for requests of any size.
    above: i64,
    /// Prices, each with its first instant, microseconds UTC, in time order.
    history: Vec<(Micros, Price)>,
}

/// The requests of a model that a price is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requests {
    /// Whether they are made by a batch API.
    pub(super) is_batch: bool,
    /// The bound of their input tokens. 0 for requests of any size.
    pub(super) above: i64,
    /// First instant, microseconds UTC.
    pub(super) from: Micros,
}

impl Prices {
    /// Adds a price. Returns `false` if the table has one for these requests.
    pub(super) fn add(&mut self, model: String, requests: Requests, price: Price) -> bool {
        if let Some(name) = without_date(model_name(&model)) {
            self.dated.insert(name.to_owned());
        }
        self.by_model.entry(model).or_default().add(requests, price)
    }

    /// Returns the prices of a model: by its full reference, else by its short name, else by its
    /// short name without the date of its version (`-2025-11-20`, `-20251120`, `-2025-11`). The
    /// last holds only if the table has no version of this model with a date. `None` if the table
    /// does not have the model.
    pub fn of_model(&self, model: &str) -> Option<&ModelPrices> {
        let find = |name: &str| self.by_model.get(name);
        let name = model_name(model);
        find(model).or_else(|| find(name)).or_else(|| {
            let name = without_date(name).filter(|name| !self.dated.contains(*name))?;
            find(name)
        })
    }

    /// Whether a price depends on the time of the request: it has a first instant.
    pub fn depends_on_time(&self) -> bool {
        let models = self.by_model.values();
        let mut tiers = models.flat_map(|prices| prices.usual.iter().chain(&prices.batch));
        tiers.any(|tier| tier.history.iter().any(|(from, _)| *from != Micros::MIN))
    }

    /// Returns the cost of a request in nano-USD, rounded once, half to even.
    ///
    /// # Errors
    /// The table has no price for the request, or the same as for [`Price::cost_nano`].
    pub fn cost_of(&self, usage: &Usage<'_>) -> Result<i64, NoCost> {
        self.of_model(usage.model).ok_or(NoCost::Model)?.cost_of(usage)
    }
}

impl ModelPrices {
    fn tiers(&self, is_batch: bool) -> &[Tier] {
        if is_batch { &self.batch } else { &self.usual }
    }

    /// Returns the price of a request: that of the highest bound that its input tokens exceed and
    /// that has begun. `None` if there is none. The model is not read.
    pub fn price(&self, usage: &Usage<'_>) -> Option<&Price> {
        self.tiers(usage.is_batch)
            .iter()
            .filter(|tier| tier.above == 0 || usage.tokens_in > tier.above)
            .find_map(|tier| tier.price(usage.at))
    }

    /// Returns the cost of a request in nano-USD, rounded once, half to even. The model is not read.
    ///
    /// # Errors
    /// The model has no price for the request, or the same as for [`Price::cost_nano`].
    pub fn cost_of(&self, usage: &Usage<'_>) -> Result<i64, NoCost> {
        let reason = match usage.is_batch && self.batch.is_empty() {
            true => NoCost::Batch,
            false => NoCost::Time,
        };
        self.price(usage).ok_or(reason)?.cost_nano(usage)
    }

    /// The smallest bound of the model's prices, in input tokens. `None` without prices.
    pub(super) fn smallest_bound(&self, is_batch: bool) -> Option<i64> {
        self.tiers(is_batch).last().map(|tier| tier.above)
    }

    fn add(&mut self, requests: Requests, price: Price) -> bool {
        let tiers = if requests.is_batch {
            &mut self.batch
        } else {
            &mut self.usual
        };
        let place = tiers.partition_point(|tier| tier.above > requests.above);
        if tiers.get(place).is_none_or(|tier| tier.above != requests.above) {
            let tier = Tier {
                above: requests.above,
                history: Vec::new(),
            };
            tiers.insert(place, tier);
        }
        let history = &mut tiers[place].history;
        let place = history.partition_point(|(from, _)| *from < requests.from);
        if history.get(place).is_some_and(|(from, _)| *from == requests.from) {
            return false;
        }
        history.insert(place, (requests.from, price));
        true
    }
}

impl Tier {
    /// Returns the price in force at an instant. `None` before the first price.
    fn price(&self, at: Micros) -> Option<&Price> {
        let n = self.history.partition_point(|(from, _)| *from <= at);
        self.history[..n].last().map(|(_, price)| price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time;

    const TOML: &str = r#"
        [[price]]
        model = "gpt-4o-mini"
        input = 0.15
        output = 0.60
        cached_input = 0.075
        [[price]]
        model = "gpt-4o-mini"
        from = "2026-06-01"
        input = 0.10
        output = 0.40
        [[price]]
        model = "litellm:smart=gpt-4o"
        from = "2026-06-01"
        input = 2.5
        output = 10
        [[price]]
        model = "large-1"
        input = 2
        output = 12
        cache_write = 2.5
        [[price]]
        model = "large-1"
        above_input_tokens = 200_000
        input = 4
        output = 18
        [[price]]
        model = "large-1"
        above_input_tokens = 500_000
        from = "2026-06-01"
        input = 8
        output = 36
        [[price]]
        model = "large-1"
        batch = true
        input = 1
        output = 6
        [[price]]
        model = "old-2024-05-13"
        input = 5
        output = 15
        [[price]]
        model = "old"
        input = 1
        output = 2
    "#;

    fn cost(model: &str, day: &str, tokens_in: i64, tokens_out: i64, is_batch: bool) -> Option<i64> {
        let prices = Prices::parse("p", "toml", TOML.as_bytes()).unwrap();
        let cost = prices.cost_of(&Usage {
            model,
            at: time::parse(day).unwrap(),
            tokens_in,
            cache_read: 0,
            cache_write: 0,
            cache_write_1h: 0,
            tokens_out,
            is_batch,
        });
        cost.ok()
    }

    #[test]
    fn a_request_without_a_price_has_its_reason() {
        let prices = Prices::parse("p", "toml", TOML.as_bytes()).unwrap();
        let check = |model: &str, day: &str, is_batch: bool, expected: Result<i64, NoCost>| {
            let usage = Usage {
                model,
                at: time::parse(day).unwrap(),
                tokens_in: 1,
                cache_read: 0,
                cache_write: 0,
                cache_write_1h: 0,
                tokens_out: 0,
                is_batch,
            };
            assert_eq!(prices.cost_of(&usage), expected, "{model} {day} {is_batch}");
        };
        check("gpt-5", "2026-06-01", false, Err(NoCost::Model));
        check("litellm:smart=gpt-4o", "2026-05-31", false, Err(NoCost::Time));
        check("litellm:smart=gpt-4o", "2026-05-31", true, Err(NoCost::Batch));
        check("gpt-4o-mini", "2026-06-01", true, Err(NoCost::Batch));
        check("large-1", "2026-06-01", true, Ok(1_000));
    }

    #[test]
    fn prices_change_and_are_found_by_reference_or_name() {
        let check = |model: &str, day: &str, expected| {
            assert_eq!(cost(model, day, 1_000, 100, false), expected, "{model} {day}")
        };
        check("gpt-4o-mini", "2026-05-31T23:59:59Z", Some(150_000 + 60_000));
        check("gpt-4o-mini", "2026-06-01", Some(100_000 + 40_000));
        check("litellm:fast=gpt-4o-mini@sha256:00", "2026-06-01", Some(140_000));
        check("litellm:smart=gpt-4o", "2026-06-01", Some(2_500_000 + 1_000_000));
        // A version with a date costs as much as the model without a date.
        check("gpt-4o-mini-2024-07-18", "2026-06-01", Some(140_000));
        check("litellm:fast=gpt-4o-mini-20240718", "2026-06-01", Some(140_000));
        // But for a model whose versions have prices of their own.
        check("old-2024-05-13", "2026-06-01", Some(5_000_000 + 1_500_000));
        check("old", "2026-06-01", Some(1_000_000 + 200_000));
        check("old-2024-08-06", "2026-06-01", None);
        // Instants before the first price, and models with similar names.
        check("litellm:smart=gpt-4o", "2026-05-31", None);
        for unknown in ["gpt-4o", "gpt-4o-mini-2025", "litellm:smart", "old-2024-05", ""] {
            check(unknown, "2026-06-01", None);
        }
    }

    #[test]
    fn only_prices_with_a_first_instant_depend_on_time() {
        let check = |toml: &str, expected| {
            let prices = Prices::parse("p", "toml", toml.as_bytes()).unwrap();
            assert_eq!(prices.depends_on_time(), expected, "{toml}");
        };
        let price = "[[price]]\nmodel = 'a'\ninput = 1\noutput = 2\n";
        check(price, false);
        check(&format!("{price}{price}batch = true\n"), false);
        check(&format!("{price}{price}from = '2026-06-01'\n"), true);
        check(
            &format!("{price}{price}batch = true\nfrom = '2026-06-01'\n"),
            true,
        );
        check(TOML, true);
    }

    #[test]
    fn the_whole_request_has_the_price_of_its_size() {
        let check = |day: &str, tokens_in, tokens_out, is_batch, expected| {
            assert_eq!(
                cost("large-1", day, tokens_in, tokens_out, is_batch),
                expected,
                "{day} {tokens_in} {is_batch}"
            )
        };
        let (before, after) = ("2026-05-31", "2026-06-01");
        // 2,000 nano-USD an input token and 12,000 an output token up to the bound.
        check(before, 200_000, 10, false, Some(400_000_000 + 120_000));
        check(before, 200_001, 10, false, Some(800_004_000 + 180_000));
        // The next bound begins later.
        check(before, 500_001, 0, false, Some(2_000_004_000));
        check(after, 500_000, 0, false, Some(2_000_000_000));
        check(after, 500_001, 0, false, Some(4_000_008_000));
        check(after, 0, 1, false, Some(12_000));
        // Requests by a batch API have prices and bounds of their own.
        check(after, 500_001, 1, true, Some(500_001_000 + 6_000));
        // A model without prices for them has none.
        assert_eq!(cost("gpt-4o-mini", before, 1, 1, true), None);
    }
}

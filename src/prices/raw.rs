//! The keys of a file of prices.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::base::instant::RawInstant;
use crate::metric::MAX_UNITS;

/// Prices of tokens by model, as TOML. A JSON file has the same keys, or is the list of prices
/// itself. A CSV file has them as columns.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["price"]))]
pub(super) struct RawPrices {
    /// Time zone of `from` without an offset: a name of the IANA database. A CSV file has none, and
    /// its zone is UTC.
    #[schemars(extend("default" = "UTC"), example = &"America/Los_Angeles")]
    pub(super) time_zone: Option<String>,
    /// Prices: one entry per model, kind of request and start instant.
    #[schemars(length(min = 1))]
    pub(super) price: Vec<RawPrice>,
}

/// The price of a model from an instant on. A model has one entry for usual requests, and may have
/// others for requests by a batch API and for requests with many input tokens. Each lasts until an
/// entry of the same kind begins.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["model", "input", "output"]))]
pub(super) struct RawPrice {
    /// Model as the log or the release record names it, or its name alone: the text behind the last
    /// `=`, up to an `@`. The price of a name without a date is also that of its versions with a
    /// date at the end (`-2025-11-20`, `-20251120`, `-2025-11`), if no such version is in the file.
    #[schemars(
        regex(pattern = "\\S"),
        extend("default" = Value::Null),
        example = &"litellm:smart=gpt-4o-mini-2025-11"
    )]
    pub(super) model: String,
    /// Price of input tokens.
    #[schemars(range(min = 0, max = MAX_PRICE), extend("x-unit" = UNIT), example = 0.15)]
    pub(super) input: Option<f64>,
    /// Price of output tokens, also of those of reasoning.
    #[schemars(range(min = 0, max = MAX_PRICE), extend("x-unit" = UNIT), example = 0.6)]
    pub(super) output: Option<f64>,
    /// Price of input tokens that are read from the cache of an earlier request. Without it,
    /// requests with such tokens have no cost.
    #[schemars(
        range(min = 0, max = MAX_PRICE),
        extend("x-unit" = UNIT, "x-default" = "none"),
        example = 0.075
    )]
    pub(super) cached_input: Option<f64>,
    /// Price of input tokens that are written to the cache. Without it, requests with such tokens
    /// have no cost.
    #[schemars(
        range(min = 0, max = MAX_PRICE),
        extend("x-unit" = UNIT, "x-default" = "none"),
        example = 0.1875
    )]
    pub(super) cache_write: Option<f64>,
    /// Price of input tokens that are written to a cache that keeps them for an hour. Without it,
    /// requests with such tokens have no cost.
    #[schemars(
        range(min = 0, max = MAX_PRICE),
        extend("x-unit" = UNIT, "x-default" = "none"),
        example = 0.3
    )]
    pub(super) cache_write_1h: Option<f64>,
    /// Whether the price is for requests by a batch API. Without such an entry they have no price.
    #[schemars(extend("default" = false), example = true)]
    pub(super) batch: Option<bool>,
    /// The price is for requests with more input tokens than this, and for all of their tokens. Of
    /// several entries that fit, the one with the highest bound is taken. Tokens of caches are input
    /// tokens.
    #[schemars(
        range(min = 0, max = MAX_BOUND),
        extend("x-unit" = "tokens", "default" = 0),
        example = 200_000
    )]
    pub(super) above_input_tokens: Option<u64>,
    /// First instant of the price.
    #[schemars(extend("x-default" = "from the beginning"), example = &"2026-06-01")]
    pub(super) from: Option<RawInstant>,
}

/// The unit of prices, for the schema.
const UNIT: &str = "USD per million tokens";
/// Largest price, USD per million tokens, that is exact in nano-USD.
const MAX_PRICE: f64 = MAX_UNITS / 1e9;
/// Largest number of tokens above which a price may hold.
pub(super) const MAX_BOUND: u64 = 1_000_000_000_000;

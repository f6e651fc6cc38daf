//! Prices of tokens: a table by model, which may change with time.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::{Error, Problem, Result};
use crate::base::instant::RawInstant;
use crate::base::limits::{Limit, read_limited};
use crate::base::schema::document_schema;
use crate::base::time::{Micros, Zone};
use crate::metric::{ColumnKind, MAX_UNITS};
use crate::release::parse_json;

/// Number of tokens to which a price applies.
const PER_TOKENS: i128 = 1_000_000;

/// The prices of a model, nano-USD per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Price of input tokens, nano-USD per million tokens.
    pub input: i64,
    /// Price of output tokens, nano-USD per million tokens.
    pub output: i64,
    /// Price of input tokens that are cached from an earlier request, nano-USD per million tokens.
    /// Equal to `input` if the table does not state it.
    pub cached_input: i64,
}

impl Price {
    /// Returns the cost of a request in nano-USD, rounded once, half to even. `cached` is the part
    /// of `tokens_in` that is cached from an earlier request. `None` for negative counts, more
    /// cached than input tokens, or a cost that does not fit in `i64`.
    pub fn cost_nano(&self, tokens_in: i64, cached: i64, tokens_out: i64) -> Option<i64> {
        if cached < 0 || cached > tokens_in || tokens_out < 0 {
            return None;
        }
        let term = |tokens: i64, price: i64| i128::from(tokens) * i128::from(price);
        // Three products of up to 126 bits can overflow 127 bits.
        let sum = term(tokens_in - cached, self.input)
            .checked_add(term(cached, self.cached_input))?
            .checked_add(term(tokens_out, self.output))?;
        i64::try_from(half_even(sum)).ok()
    }
}

/// Computes `sum / 1e6`, rounded half to even. The sum is at least 0.
fn half_even(sum: i128) -> i128 {
    let (whole, rest) = (sum / PER_TOKENS, sum % PER_TOKENS);
    let up = rest * 2 > PER_TOKENS || (rest * 2 == PER_TOKENS && whole % 2 == 1);
    whole + i128::from(up)
}

/// A price table by model. A model has the name of the log or the release record
/// (`litellm:smart=gpt-4o-mini-2025-11`), or its short name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prices {
    /// Prices by model, each with its first instant, microseconds UTC, in time order.
    by_model: BTreeMap<String, Vec<(Micros, Price)>>,
}

/// Prices of tokens by model, as TOML. A JSON file has the same keys, or is the list of prices
/// itself. A CSV file has them as columns.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["price"]))]
struct RawPrices {
    /// Time zone of `from` without an offset: a name of the IANA database. A CSV file has none, and
    /// its zone is UTC.
    #[schemars(extend("default" = "UTC"), example = &"America/Los_Angeles")]
    time_zone: Option<String>,
    /// Prices: one entry per model and start instant.
    #[schemars(length(min = 1))]
    price: Vec<RawPrice>,
}

/// The price of a model from an instant on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["model", "input", "output"]))]
struct RawPrice {
    /// Model as the log or the release record names it, or its name alone: the text behind the last
    /// `=`, up to an `@`.
    #[schemars(
        regex(pattern = "\\S"),
        extend("default" = Value::Null),
        example = &"litellm:smart=gpt-4o-mini-2025-11"
    )]
    model: String,
    /// Price of input tokens.
    #[schemars(range(min = 0, max = MAX_PRICE), extend("x-unit" = UNIT), example = 0.15)]
    input: Option<f64>,
    /// Price of output tokens.
    #[schemars(range(min = 0, max = MAX_PRICE), extend("x-unit" = UNIT), example = 0.6)]
    output: Option<f64>,
    /// Price of input tokens that are cached from an earlier request.
    #[schemars(
        range(min = 0, max = MAX_PRICE),
        extend("x-unit" = UNIT, "x-default" = "`input`"),
        example = 0.075
    )]
    cached_input: Option<f64>,
    /// First instant of the price.
    #[schemars(extend("x-default" = "from the beginning"), example = &"2026-06-01")]
    from: Option<RawInstant>,
}

/// The unit of prices, for the schema.
const UNIT: &str = "USD per million tokens";
/// Largest price, USD per million tokens, that is exact in nano-USD.
const MAX_PRICE: f64 = MAX_UNITS / 1e9;

/// Returns a model's name without its route and its digest: the text after the last `=`, up to an
/// `@`.
pub fn model_name(model_ref: &str) -> &str {
    let name = model_ref.rsplit_once('=').map_or(model_ref, |(_, name)| name);
    name.split_once('@').map_or(name, |(name, _)| name)
}

impl Prices {
    /// The JSON Schema of a file of prices: every key with its meaning, type, range, unit and
    /// default.
    pub fn schema() -> Value {
        document_schema::<RawPrices>("urn:sluice:prices:1", "Prices")
    }

    /// Reads a table of prices: TOML or JSON with `price` (a list), or CSV; `model`, `input`,
    /// `output`, and optionally `cached_input` (USD per million tokens) and `from` (an instant).
    ///
    /// # Errors
    /// The file cannot be read or is too large, or a price is wrong. All wrong prices are reported,
    /// with their locations.
    pub fn read(path: &Path) -> Result<Self> {
        let location = path.display().to_string();
        let bytes = read_limited(path, Limit::Toml)?;
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        Self::parse(
            &location,
            extension
                .as_deref()
                .and_then(std::ffi::OsStr::to_str)
                .unwrap_or_default(),
            &bytes,
        )
    }

    /// Parses a price table from the bytes of a file. `location` names the file in errors.
    /// `extension` is `toml`, `json` or `csv`.
    ///
    /// # Errors
    /// The same as for [`Self::read`], except for reading. Also for another extension.
    pub fn parse(location: &str, extension: &str, bytes: &[u8]) -> Result<Self> {
        let mut problems = Vec::new();
        let raw: RawPrices = match extension {
            "csv" => parse_csv(location, bytes)?,
            "json" => {
                let value = parse_json(location, bytes)?;
                let value = if value.is_array() {
                    Value::Object([("price".to_owned(), value)].into_iter().collect())
                } else {
                    value
                };
                typed(location, value)?
            }
            "toml" => crate::base::toml_file::parse_toml(location, bytes, &mut problems),
            _ => {
                return Err(Error::input(
                    location.to_owned(),
                    "expected a name ending in .toml, .csv or .json, found another",
                ));
            }
        };
        Self::from_raw(location, raw, problems)
    }

    fn from_raw(location: &str, raw: RawPrices, mut problems: Vec<Problem>) -> Result<Self> {
        let mut by_model: BTreeMap<String, Vec<(Micros, Price)>> = BTreeMap::new();
        if raw.price.is_empty() && problems.is_empty() {
            problems.push(Problem::new(
                location,
                "expected `price` with at least one model, found none",
            ));
        }
        let zone = Zone::read(
            format!("{location}: time_zone"),
            raw.time_zone.as_deref(),
            &mut problems,
        );
        for (idx, price) in raw.price.into_iter().enumerate() {
            let at = |key: &str| format!("{location}: price[{}].{key}", idx + 1);
            let mut number = |key: &str, value: Option<f64>| match value
                .map(|value| (value, ColumnKind::Usd.quantize(value, 0.0)))
            {
                Some((_, Ok(nano))) => Some(nano),
                Some((value, Err(expected))) => {
                    problems.push(Problem::new(
                        at(key),
                        format!("expected USD per million tokens, {expected}, found {value}"),
                    ));
                    None
                }
                None => None,
            };
            let (has_input, has_output) = (price.input.is_some(), price.output.is_some());
            let (input, output) = (number("input", price.input), number("output", price.output));
            let cached = number("cached_input", price.cached_input);
            for (key, is_there) in [("input", has_input), ("output", has_output)] {
                if !is_there {
                    problems.push(Problem::new(
                        at(key),
                        "expected USD per million tokens, found nothing",
                    ));
                }
            }
            if price.model.trim().is_empty() {
                problems.push(Problem::new(at("model"), "expected a model, found nothing"));
            }
            let from = match price.from.filter(|from| !from.text().is_empty()) {
                None => Micros::MIN,
                Some(from) => from.resolve(&at("from"), &zone).unwrap_or_else(|problem| {
                    problems.push(problem);
                    Micros::MIN
                }),
            };
            if let (Some(input), Some(output)) = (input, output) {
                let history = by_model.entry(price.model).or_default();
                if history.iter().any(|(other, _)| *other == from) {
                    problems.push(Problem::new(
                        at("from"),
                        "expected one price a model and instant, found another one above",
                    ));
                }
                history.push((
                    from,
                    Price {
                        input,
                        output,
                        cached_input: cached.unwrap_or(input),
                    },
                ));
            }
        }
        by_model
            .values_mut()
            .for_each(|history| history.sort_by_key(|(from, _)| *from));
        crate::base::toml_file::ok_or_problems(Self { by_model }, problems)
    }

    /// Returns the prices of a model in time order: by its full reference, else by its short name.
    /// `None` if the table has neither.
    pub(super) fn history(&self, model: &str) -> Option<&[(Micros, Price)]> {
        self.by_model
            .get(model)
            .or_else(|| self.by_model.get(model_name(model)))
            .map(Vec::as_slice)
    }

    /// Returns the price of a model at an instant (microseconds, UTC). `None` if the table has no
    /// price for it.
    pub fn price(&self, model: &str, at: Micros) -> Option<Price> {
        price_at(self.history(model)?, at)
    }

    /// Returns the cost of a request in nano-USD, rounded half to even. `None` if the table has no
    /// price for the model at that instant.
    pub fn cost_nano(&self, model: &str, tokens_in: i64, tokens_out: i64, at: Micros) -> Option<i64> {
        self.price(model, at)?.cost_nano(tokens_in, 0, tokens_out)
    }
}

/// Returns the price in force at an instant. `None` before the first price.
pub(super) fn price_at(history: &[(Micros, Price)], at: Micros) -> Option<Price> {
    let n = history.partition_point(|(from, _)| *from <= at);
    history[..n].last().map(|(_, price)| *price)
}

fn typed(location: &str, value: Value) -> Result<RawPrices> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        Error::input(
            format!("{location}: {}", error.path()),
            format!("expected prices, found: {}", error.inner()),
        )
    })
}

fn parse_csv(location: &str, bytes: &[u8]) -> Result<RawPrices> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let price = reader
        .deserialize()
        .collect::<std::result::Result<Vec<RawPrice>, _>>()
        .map_err(|error| {
            Error::input(
                location.to_owned(),
                format!("expected prices (model, input, output), found: {error}"),
            )
        })?;
    Ok(RawPrices {
        time_zone: None,
        price,
    })
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
    "#;

    #[test]
    fn prices_change_and_are_found_by_reference_or_name() {
        let prices = Prices::parse("p", "toml", TOML.as_bytes()).unwrap();
        let at = |text: &str| time::parse(text).unwrap();
        let check = |model: &str, day: &str, expected| {
            assert_eq!(
                prices.cost_nano(model, 1_000, 100, at(day)),
                expected,
                "{model} {day}"
            )
        };
        check("gpt-4o-mini", "2026-05-31T23:59:59Z", Some(150_000 + 60_000));
        check("gpt-4o-mini", "2026-06-01", Some(100_000 + 40_000));
        check("litellm:fast=gpt-4o-mini@sha256:00", "2026-06-01", Some(140_000));
        check("litellm:smart=gpt-4o", "2026-06-01", Some(2_500_000 + 1_000_000));
        // Instants before the first price, and models with similar names.
        check("litellm:smart=gpt-4o", "2026-05-31", None);
        for unknown in ["gpt-4o", "gpt-4o-mini-2025", "litellm:smart", ""] {
            check(unknown, "2026-06-01", None);
        }
        let cached = prices.price("gpt-4o-mini", at("2026-01-01")).unwrap();
        assert_eq!(cached.cost_nano(1_000, 400, 0), Some(90_000 + 30_000));
        assert_eq!(cached.cost_nano(10, 11, 0), None);
    }

    #[test]
    fn money_is_rounded_once_half_even_and_never_wraps() {
        let price = |nano: i64| Price {
            input: nano,
            output: nano,
            cached_input: nano,
        };
        for (nano, expected) in [
            (500_000, 0),
            (1_500_000, 2),
            (2_500_000, 2),
            (2_500_001, 3),
            (499_999, 0),
        ] {
            assert_eq!(price(nano).cost_nano(1, 0, 0), Some(expected), "{nano}");
        }
        // Half a nano-USD for input and half for output give one nano-USD.
        assert_eq!(price(500_000).cost_nano(1, 0, 1), Some(1));
        assert_eq!(price(i64::MAX).cost_nano(i64::MAX, 0, i64::MAX), None);
        assert_eq!(price(1).cost_nano(-1, 0, 0), None);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let csv = "model,input,output,from\na,NaN,1,\nb,-1,1,\nc,1,,\nd,1,1,soon\n,1,1,\nd,1,1,\nd,2,2,\n";
        let error = Prices::parse("p.csv", "csv", csv.as_bytes())
            .unwrap_err()
            .to_string();
        for part in [
            "price[1].input",
            "price[2].input",
            "price[3].output",
            "price[4].from",
            "price[5].model",
            "price[7].from",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        for (extension, text) in [
            ("toml", "[[price]]\nmodle = 'x'"),
            ("json", "[{\"model\": 3}]"),
            ("toml", ""),
            ("yaml", ""),
            ("csv", "a,b\n1,2\n"),
        ] {
            assert!(Prices::parse("p", extension, text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(
            Prices::parse("p", "json", br#"[{"model": "a", "input": 1, "output": 2}]"#),
            Prices::parse("p", "csv", b"model,input,output\na,1,2\n")
        );
    }
}

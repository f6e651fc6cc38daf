//! Files of prices: TOML, JSON and CSV.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::{Error, Problem, Result};
use crate::base::json::parse_json;
use crate::base::limits::{Limit, read_limited};
use crate::base::schema::document_schema;
use crate::base::time::{Micros, Zone};
use crate::metric::ColumnKind;
use crate::prices::price::Price;
use crate::prices::raw::{MAX_BOUND, RawPrice, RawPrices};
use crate::prices::table::{Prices, Requests};

impl Prices {
    /// The JSON Schema of a file of prices: every key with its meaning, type, range, unit and
    /// default.
    pub fn schema() -> Value {
        document_schema::<RawPrices>("urn:sluice:prices:1", "Prices")
    }

    /// Reads a table of prices: TOML or JSON with `price` (a list), or CSV. `model`, `input` and
    /// `output` (USD per million tokens) are required. `cached_input`, `cache_write` and
    /// `cache_write_1h` (the same unit), `batch`, `above_input_tokens` and `from` (an instant) are
    /// optional.
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
        let mut prices = Self::default();
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
        // Number of the first entry with a bound, by model and whether it is for a batch API.
        let mut bounded: BTreeMap<(String, bool), usize> = BTreeMap::new();
        for (idx, raw) in raw.price.into_iter().enumerate() {
            let entry = Entry {
                location,
                number: idx + 1,
            };
            let price = entry.price(&raw, &mut problems);
            let requests = entry.requests(&raw, &zone, &mut problems);
            let (Some(price), Some(requests)) = (price, requests) else {
                continue;
            };
            if requests.above > 0 {
                let kind = (raw.model.clone(), requests.is_batch);
                bounded.entry(kind).or_insert(entry.number);
            }
            if !prices.add(raw.model, requests, price) {
                problems.push(Problem::new(
                    entry.at("from"),
                    "expected one price a model, kind of request and instant, found another one above",
                ));
            }
        }
        for ((model, is_batch), number) in bounded {
            let bound = prices
                .of_model(&model)
                .and_then(|found| found.smallest_bound(is_batch));
            if bound.is_some_and(|bound| bound > 0) {
                problems.push(Problem::new(
                    Entry { location, number }.at("above_input_tokens"),
                    "expected also a price of this model without a bound, for smaller requests, found none",
                ));
            }
        }
        crate::base::toml_file::ok_or_problems(prices, problems)
    }
}

/// An entry of a file, numbered from 1.
#[derive(Clone, Copy)]
struct Entry<'a> {
    location: &'a str,
    number: usize,
}

impl Entry<'_> {
    fn at(&self, key: &str) -> String {
        format!("{}: price[{}].{key}", self.location, self.number)
    }

    /// Returns an entry's prices. `None` if `input` or `output` is missing or wrong.
    fn price(&self, raw: &RawPrice, problems: &mut Vec<Problem>) -> Option<Price> {
        let mut number = |key: &str, value: Option<f64>| {
            let value = value?;
            let nano = ColumnKind::Usd.quantize(value, 0.0).map_err(|expected| {
                problems.push(Problem::new(
                    self.at(key),
                    format!("expected USD per million tokens, {expected}, found {value}"),
                ));
            });
            nano.ok()
        };
        let (input, output) = (number("input", raw.input), number("output", raw.output));
        let cached = number("cached_input", raw.cached_input);
        let cache_write = number("cache_write", raw.cache_write);
        let cache_write_1h = number("cache_write_1h", raw.cache_write_1h);
        for (key, value) in [("input", raw.input), ("output", raw.output)] {
            if value.is_none() {
                problems.push(Problem::new(
                    self.at(key),
                    "expected USD per million tokens, found nothing",
                ));
            }
        }
        let (input, output) = (input?, output?);
        Some(Price {
            input,
            output,
            cached_input: cached,
            cache_write,
            cache_write_1h,
        })
    }

    /// Returns the requests that an entry is for. `None` if its model or its bound is wrong.
    fn requests(&self, raw: &RawPrice, zone: &Zone, problems: &mut Vec<Problem>) -> Option<Requests> {
        let has_model = !raw.model.trim().is_empty();
        if !has_model {
            problems.push(Problem::new(self.at("model"), "expected a model, found nothing"));
        }
        let from = match raw.from.as_ref().filter(|from| !from.text().is_empty()) {
            None => Micros::MIN,
            Some(from) => from.resolve(&self.at("from"), zone).unwrap_or_else(|problem| {
                problems.push(problem);
                Micros::MIN
            }),
        };
        let bound = raw.above_input_tokens.unwrap_or(0);
        let above = i64::try_from(bound).ok().filter(|_| bound <= MAX_BOUND);
        if above.is_none() {
            problems.push(Problem::new(
                self.at("above_input_tokens"),
                format!("expected a number of tokens up to {MAX_BOUND}, found {bound}"),
            ));
        }
        Some(Requests {
            is_batch: raw.batch.unwrap_or(false),
            above: above.filter(|_| has_model)?,
            from,
        })
    }
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
    let price = csv_entries(&mut reader).map_err(|error| {
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

fn csv_entries(reader: &mut csv::Reader<&[u8]>) -> std::result::Result<Vec<RawPrice>, csv::Error> {
    let headers = reader.headers()?.clone();
    let batch = headers.iter().position(|name| name == "batch");
    let mut entries = Vec::new();
    for record in reader.records() {
        let record = record?;
        // Spreadsheets write flags in capitals.
        let lowered = |(idx, field): (usize, &str)| {
            if Some(idx) == batch {
                field.to_ascii_lowercase()
            } else {
                field.to_owned()
            }
        };
        let fields: csv::StringRecord = record.iter().enumerate().map(lowered).collect();
        entries.push(fields.deserialize(Some(&headers))?);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let csv = "model,input,output,from\na,NaN,1,\nb,-1,1,\nc,1,,\nd,1,1,soon\n,1,1,\nd,1,1,\nd,2,2,\n";
        let check = |extension: &str, text: &str, parts: &[&str]| {
            let error = Prices::parse("p", extension, text.as_bytes())
                .unwrap_err()
                .to_string();
            for part in parts {
                assert!(error.contains(part), "{part}: {error}");
            }
        };
        check(
            "csv",
            csv,
            &[
                "price[1].input",
                "price[2].input",
                "price[3].output",
                "price[4].from",
                "price[5].model",
                "price[7].from",
            ],
        );
        let entry = |more: &str| format!("[[price]]\nmodel = 'a'\ninput = 1\noutput = 2\n{more}\n");
        let one = entry("");
        check("toml", &entry("cache_write = -1"), &["price[1].cache_write"]);
        check("toml", &entry("above_input_tokens = -1"), &["above_input_tokens"]);
        check(
            "toml",
            &entry("above_input_tokens = 1.5"),
            &["above_input_tokens"],
        );
        check(
            "toml",
            &entry("above_input_tokens = 1_000_000_000_001"),
            &["price[1].above_input_tokens: expected a number of tokens up to 1000000000000"],
        );
        // A bound without a price of smaller requests, of the same kind.
        let alone = ["above_input_tokens: expected also a price of this model without a bound"];
        check("toml", &entry("above_input_tokens = 9"), &alone);
        check(
            "toml",
            &format!("{one}{}", entry("batch = true\nabove_input_tokens = 9")),
            &alone,
        );
        check(
            "toml",
            &format!("{one}{}", entry("batch = false")),
            &["price[2].from"],
        );
        check(
            "toml",
            &format!("{one}{}", entry("above_input_tokens = 0")),
            &["price[2].from"],
        );
        check("toml", "[[price]]\nmodle = 'x'", &["modle"]);
        check("json", "[{\"model\": 3}]", &["model"]);
        check("toml", "", &["expected `price`"]);
        check("yaml", "", &[".toml, .csv or .json"]);
        check("csv", "a,b\n1,2\n", &["model, input, output"]);
        check(
            "csv",
            "model,input,output,batch\na,1,2,maybe\n",
            &["p: expected prices"],
        );
    }

    #[test]
    fn the_three_forms_say_the_same() {
        let toml = "[[price]]\nmodel = 'a'\ninput = 1\noutput = 2\n\
            [[price]]\nmodel = 'a'\ninput = 0.5\noutput = 1\ncached_input = 0.1\ncache_write = 0.6\ncache_write_1h = 0.9\nbatch = true\n\
            [[price]]\nmodel = 'a'\ninput = 2\noutput = 4\nabove_input_tokens = 200_000\nfrom = '2026-06-01'\n";
        let json = r#"[{"model": "a", "input": 1, "output": 2},
            {"model": "a", "input": 0.5, "output": 1, "cached_input": 0.1, "cache_write": 0.6, "cache_write_1h": 0.9, "batch": true},
            {"model": "a", "input": 2, "output": 4, "above_input_tokens": 200000, "from": "2026-06-01"}]"#;
        let csv = "model,input,output,cached_input,cache_write,cache_write_1h,batch,above_input_tokens,from\n\
            a,1,2,,,,FALSE,,\na,0.5,1,0.1,0.6,0.9,TRUE,,\na,2,4,,,,,200000,2026-06-01\n";
        let parse = |extension: &str, text: &str| Prices::parse("p", extension, text.as_bytes()).unwrap();
        assert_eq!(parse("toml", toml), parse("json", json));
        assert_eq!(parse("toml", toml), parse("csv", csv));
    }
}

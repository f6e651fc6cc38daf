//! Units of columns in files. A declared unit converts the values of a column to the unit that
//! Sluice reads it in.

/// The quantity that a column holds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Quantity {
    /// A length of time. The number is the nanoseconds of one unit that Sluice reads.
    Time(f64),
    /// An amount of money, read in USD or in the currency of the caps.
    Money,
}

/// Units of time with their nanoseconds.
const TIMES: [(&str, f64); 4] = [("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0)];
/// Units of money with their number in one unit of the currency.
const MONEY: [(&str, f64); 2] = [("usd", 1.0), ("cent", 100.0)];

/// The unit of a column in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// Word of the unit in the scenario, such as `s`.
    pub name: String,
    /// A value is multiplied by the first number and divided by the second. One of them is 1, unless
    /// the unit is a part of a currency with a rate. So a conversion rounds once.
    scale: [f64; 2],
}

impl Unit {
    /// Creates the unit `name` of the column with the canonical name `column`. `rate` is the number
    /// of USD in one unit of the currency.
    ///
    /// # Errors
    /// A text with the expected units, or the reason why there is no unit.
    pub fn new(column: &str, name: &str, rate: Option<f64>) -> Result<Self, String> {
        let Some(quantity) = quantity_of(column) else {
            return Err(format!(
                "expected no unit for `{column}`, found \"{name}\"; columns of time and money have units: \
                 latency_ms, cost_usd, tool_cost_usd, user_value, value, event_time, last_use_time, and \
                 names that end in _ms, _s or _usd"
            ));
        };
        let known = |units: &[(&str, f64)]| {
            units
                .iter()
                .find(|(unit, _)| unit.eq_ignore_ascii_case(name))
                .map(|(_, n)| *n)
        };
        let scale = match (quantity, rate) {
            (Quantity::Time(_), Some(rate)) => {
                return Err(format!("expected no rate for a unit of time, found {rate}"));
            }
            (Quantity::Time(base), None) => {
                let Some(nanos) = known(&TIMES) else {
                    return Err(format!(
                        "expected \"s\" or \"ms\" or \"us\" or \"ns\", found \"{name}\""
                    ));
                };
                if nanos >= base {
                    [nanos / base, 1.0]
                } else {
                    [1.0, base / nanos]
                }
            }
            (Quantity::Money, Some(rate)) if !(rate.is_finite() && rate > 0.0) => {
                return Err(format!("expected a rate above 0, found {rate}"));
            }
            (Quantity::Money, Some(rate)) => [rate, known(&MONEY).unwrap_or(1.0)],
            (Quantity::Money, None) => {
                let Some(n) = known(&MONEY) else {
                    return Err(format!(
                        "expected \"usd\" or \"cent\", or a currency with its `rate` in USD, found \"{name}\" \
                         without a rate"
                    ));
                };
                [1.0, n]
            }
        };
        Ok(Self {
            name: name.to_owned(),
            scale,
        })
    }

    /// Converts a value of the file to the unit that Sluice reads.
    #[inline]
    pub fn convert(&self, value: f64) -> f64 {
        value * self.scale[0] / self.scale[1]
    }
}

/// The quantity of a column, from its canonical name. `None` for a column without a unit.
fn quantity_of(column: &str) -> Option<Quantity> {
    let time = |unit: &str| {
        TIMES
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, n)| Quantity::Time(*n))
    };
    match column {
        "event_time" | "last_use_time" => time("s"),
        "user_value" | "value" => Some(Quantity::Money),
        _ => match column.rsplit_once('_')?.1 {
            "usd" => Some(Quantity::Money),
            unit => time(unit),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_converted_with_one_rounding() {
        let check = |column: &str, unit: &str, rate: Option<f64>, value: f64, expected: f64| {
            let unit = Unit::new(column, unit, rate).unwrap();
            assert_eq!(unit.convert(value), expected, "{value} {}", unit.name);
        };
        check("latency_ms", "s", None, 1.2, 1_200.0);
        check("latency_ms", "ms", None, 0.1, 0.1);
        check("latency_ms", "us", None, 812_500.0, 812.5);
        check("latency_ms", "ns", None, 1_234_567.0, 1.234_567);
        check("wait_s", "ms", None, 1_500.0, 1.5);
        check("event_time", "ms", None, 1_779_926_400_250.0, 1_779_926_400.25);
        check("cost_usd", "cent", None, 1_234.0, 12.34);
        check("cost_usd", "USD", None, 0.07, 0.07);
        check("tool_cost_usd", "EUR", Some(1.25), 4.0, 5.0);
        check("cost_usd", "cent", Some(1.25), 400.0, 5.0);
        check("user_value", "cent", None, 34_990.0, 349.9);
    }

    #[test]
    fn other_units_are_refused() {
        let check = |column: &str, unit: &str, rate: Option<f64>, expected: &str| {
            let found = Unit::new(column, unit, rate).unwrap_err();
            assert!(found.contains(expected), "{found}");
        };
        check("latency_ms", "h", None, "found \"h\"");
        check("latency_ms", "s", Some(2.0), "no rate");
        check("cost_usd", "EUR", None, "without a rate");
        check("cost_usd", "EUR", Some(0.0), "above 0");
        check("cost_usd", "EUR", Some(f64::NAN), "above 0");
        check("success", "s", None, "no unit for `success`");
        check("tokens_in", "s", None, "no unit for `tokens_in`");
    }
}

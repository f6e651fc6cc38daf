//! Exact decimals, for multiples and whole numbers. The texts of JSON numbers are decimals, and
//! quotients of binary numbers are not exact.

use serde_json::Number;

/// A decimal: `digits / 10^scale`. `None` beyond 38 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: i128,
    scale: u32,
}

impl Decimal {
    pub(super) const ONE: Self = Self { digits: 1, scale: 0 };

    pub(super) fn new(number: &Number) -> Option<Self> {
        let text = number.to_string().to_ascii_lowercase();
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let mut digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let mut scale = i32::try_from(fraction.len()).ok()? - exponent.parse::<i32>().ok()?;
        if digits == 0 {
            scale = 0;
        }
        if scale < 0 {
            digits = digits.checked_mul(10_i128.checked_pow(scale.unsigned_abs())?)?;
        }
        Some(Self {
            digits,
            scale: u32::try_from(scale.max(0)).ok()?,
        })
    }

    /// Both decimals as whole numbers of the same unit.
    fn aligned(self, other: Self) -> Option<[i128; 2]> {
        let scale = self.scale.max(other.scale);
        let at = |one: Self| one.digits.checked_mul(10_i128.checked_pow(scale - one.scale)?);
        Some([at(self)?, at(other)?])
    }

    /// Whether this is a multiple of another decimal, which is not 0.
    pub(super) fn is_multiple_of(self, other: Self) -> Option<bool> {
        let [own, other] = self.aligned(other)?;
        own.checked_rem(other).map(|rest| rest == 0)
    }

    /// The least decimal above 0 that is a multiple of both.
    pub(super) fn least_common_multiple(self, other: Self) -> Option<Self> {
        let [own, other_digits] = self.aligned(other)?;
        let (mut a, mut b) = (own.checked_abs()?, other_digits.checked_abs()?);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Some(Self {
            digits: own
                .checked_abs()?
                .checked_div(a)?
                .checked_mul(other_digits.checked_abs()?)?,
            scale: self.scale.max(other.scale),
        })
    }

    /// The greatest whole number not above this decimal, and whether it is equal to it.
    pub(super) fn floor(self) -> Option<(i128, bool)> {
        let unit = 10_i128.checked_pow(self.scale)?;
        Some((self.digits.div_euclid(unit), self.digits.rem_euclid(unit) == 0))
    }
}

/// Whether a number is a multiple of another; `None` if it cannot be decided.
pub(super) fn is_multiple(number: &Number, by: &Number) -> Option<bool> {
    Decimal::new(number)?.is_multiple_of(Decimal::new(by)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let number = |text: &str| serde_json::from_str::<Number>(text).unwrap();
        let decimal = |text: &str| Decimal::new(&number(text));
        for (value, by, expected) in [
            ("0.3", "0.1", Some(true)),
            ("1", "1.0", Some(true)),
            ("1e3", "10", Some(true)),
            ("2.5", "1", Some(false)),
            ("0", "7", Some(true)),
            ("9007199254740993", "2", Some(false)),
            ("19.99", "0.01", Some(true)),
            ("1", "1e-300", None),
            ("1", "0", None),
        ] {
            assert_eq!(
                is_multiple(&number(value), &number(by)),
                expected,
                "{value} by {by}"
            );
        }
        let both = decimal("2.5").unwrap().least_common_multiple(Decimal::ONE);
        assert_eq!(both, Some(Decimal { digits: 50, scale: 1 }));
        for (value, expected) in [
            ("1.5", (1, false)),
            ("-1.5", (-2, false)),
            ("3.0", (3, true)),
            ("-2", (-2, true)),
        ] {
            assert_eq!(decimal(value).unwrap().floor(), Some(expected), "{value}");
        }
    }
}

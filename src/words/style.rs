//! Numbers and times as people read them in sentences: at most three significant digits, rates in
//! per cent, differences of rates in points, times in a zone that is named.

use crate::base::number::{count, p_value};
use crate::base::time::{Micros, Zone};
use crate::words::lang::Lang;
use crate::words::text::Say;

/// A number with at most three significant digits, or all digits of its integer part, and a comma
/// between thousands: `0.127`, `1,234`.
#[derive(Debug, Clone, Copy)]
pub struct Number(pub f64);

/// An exact count: `1,234,567`.
#[derive(Debug, Clone, Copy)]
pub struct Count(pub u64);

/// A large number, rounded to three significant digits, in the words of each language: `1.23
/// million`, `123 万`.
#[derive(Debug, Clone, Copy)]
pub struct Amount(pub f64);

/// A share in per cent: `11.2%` for 0.112.
#[derive(Debug, Clone, Copy)]
pub struct Percent(pub f64);

/// A difference of two shares: `10 points` for 0.1, `10 个百分点`.
#[derive(Debug, Clone, Copy)]
pub struct Points(pub f64);

/// A value of a metric in its unit: `11.2%`, `1,234 ms`, `$0.012`.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// The value.
    pub value: f64,
    /// The unit, as the metric declares it: `share`, `ms`, `USD`.
    pub unit: &'a str,
}

/// A difference of two values of a metric, in its unit: `10 points` of a share, `120 ms`.
#[derive(Debug, Clone, Copy)]
pub struct Difference<'a> {
    /// The difference.
    pub value: f64,
    /// The unit, as the metric declares it.
    pub unit: &'a str,
}

/// A p-value with its name and without a zero before the point: `p = .031`, `p < .0001`.
#[derive(Debug, Clone, Copy)]
pub struct P(pub f64);

/// A number of days: `1 day`, `3.5 days`, `3.5 天`.
#[derive(Debug, Clone, Copy)]
pub struct Days(pub f64);

/// A number of hours: `1 hour`, `48 hours`, `48 小时`.
#[derive(Debug, Clone, Copy)]
pub struct Hours(pub f64);

/// An instant in local time with the name of its zone: `2026-05-28 02:00 UTC`,
/// `2026 年 5 月 28 日 10:00（北京时间）`.
#[derive(Debug, Clone)]
pub struct When<'a>(pub Micros, pub &'a Zone);

/// A number with at most three significant digits.
fn short(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.into();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".into();
    }
    if size >= 999.5 {
        if size >= 1e15 {
            return format!("{value:.2e}");
        }
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(size.round() as u64));
    }
    if size < 0.000_099_95 {
        return format!("{value:.1e}");
    }
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    let digits = (2 - rounded.abs().log10().floor() as i32).max(0) as usize;
    let text = format!("{rounded:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

impl Say for Number {
    fn say(&self, _: Lang) -> String {
        short(self.0)
    }
}

impl Say for Count {
    fn say(&self, _: Lang) -> String {
        count(self.0)
    }
}

impl Say for Amount {
    fn say(&self, lang: Lang) -> String {
        let steps: &[(f64, &str)] = match lang {
            Lang::En => &[(1e12, " trillion"), (1e9, " billion"), (1e6, " million")],
            Lang::Zh => &[(1e12, " 万亿"), (1e8, " 亿"), (1e4, " 万")],
        };
        let rounded: f64 = format!("{:.2e}", self.0).parse().unwrap_or(self.0);
        match steps
            .iter()
            .find(|(unit, _)| rounded.abs() >= *unit && rounded.abs() < 1e16)
        {
            Some((unit, name)) => format!("{}{name}", short(rounded / unit)),
            None => short(rounded),
        }
    }
}

impl Say for Percent {
    fn say(&self, _: Lang) -> String {
        // Near a whole, the digits are those of what is missing: only a whole share shows as 100%.
        let missing = 1.0 - self.0;
        if missing > 0.0 && missing < 0.01 {
            let digits = (1 - (missing * 100.0).log10().floor() as i32).clamp(1, 6) as usize;
            let text = format!("{:.digits$}", self.0 * 100.0);
            let text = text.trim_end_matches('0').trim_end_matches('.');
            return if text == "100" {
                "> 99.9999%".into()
            } else {
                format!("{text}%")
            };
        }
        format!("{}%", short(self.0 * 100.0))
    }
}

impl Say for Points {
    fn say(&self, lang: Lang) -> String {
        let text = short(self.0 * 100.0);
        match lang {
            Lang::En if text == "1" || text == "-1" => format!("{text} point"),
            Lang::En => format!("{text} points"),
            Lang::Zh => format!("{text} 个百分点"),
        }
    }
}

impl Say for Measured<'_> {
    fn say(&self, lang: Lang) -> String {
        let Self { value, unit } = *self;
        match unit {
            "share" => Percent(value).say(lang),
            "USD" if value < 0.0 => format!("-${}", short(-value)),
            "USD" => format!("${}", short(value)),
            "" => short(value),
            "points" if lang == Lang::Zh => format!("{} 分", short(value)),
            unit => format!("{} {unit}", short(value)),
        }
    }
}

impl Say for Difference<'_> {
    fn say(&self, lang: Lang) -> String {
        match self.unit {
            "share" => Points(self.value).say(lang),
            unit => Measured {
                value: self.value,
                unit,
            }
            .say(lang),
        }
    }
}

/// A difference whose unit stands elsewhere in the sentence. Money keeps its sign of the currency.
pub(super) fn bare_difference(value: f64, unit: &str, lang: Lang) -> String {
    match unit {
        "share" => Number(value * 100.0).say(lang),
        "USD" => Measured { value, unit }.say(lang),
        _ => Number(value).say(lang),
    }
}

/// The ends of an interval of differences of a metric, with the unit once: `7.5 to 10.7 points`.
#[derive(Debug, Clone, Copy)]
pub struct DifferenceRange<'a> {
    /// The ends, in the metric's unit.
    pub ends: [f64; 2],
    /// The unit, as the metric declares it.
    pub unit: &'a str,
}

impl Say for DifferenceRange<'_> {
    fn say(&self, lang: Lang) -> String {
        let Self {
            ends: [low, high],
            unit,
        } = *self;
        let to = match lang {
            Lang::En => "to",
            Lang::Zh => "至",
        };
        let low = bare_difference(low, unit, lang);
        format!("{low} {to} {}", Difference { value: high, unit }.say(lang))
    }
}

impl Say for P {
    fn say(&self, _: Lang) -> String {
        let text = p_value(self.0);
        if text.starts_with('<') {
            format!("p {text}")
        } else {
            format!("p = {text}")
        }
    }
}

impl Say for Days {
    fn say(&self, lang: Lang) -> String {
        units(self.0, lang, ["day", "天"])
    }
}

impl Say for Hours {
    fn say(&self, lang: Lang) -> String {
        units(self.0, lang, ["hour", "小时"])
    }
}

fn units(value: f64, lang: Lang, [en, zh]: [&str; 2]) -> String {
    let text = short(value);
    match lang {
        Lang::En if text == "1" => format!("1 {en}"),
        Lang::En => format!("{text} {en}s"),
        Lang::Zh => format!("{text} {zh}"),
    }
}

impl Say for When<'_> {
    fn say(&self, lang: Lang) -> String {
        let Self(at, zone) = self;
        match lang {
            Lang::En => format!(
                "{} {}",
                zone.format_as(*at, "%Y-%m-%d %H:%M"),
                zone_name(zone, lang)
            ),
            Lang::Zh => format!(
                "{}（{}）",
                zone.format_as(*at, "%Y 年 %-m 月 %-d 日 %H:%M"),
                zone_name(zone, lang)
            ),
        }
    }
}

/// The name of a zone: in Chinese, the names that readers know.
fn zone_name(zone: &Zone, lang: Lang) -> String {
    match (lang, zone.name()) {
        (Lang::Zh, "Asia/Shanghai" | "Asia/Chongqing" | "Asia/Harbin" | "PRC") => "北京时间".into(),
        (_, name) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_separators() {
        let is = |value: f64, expected: &str| assert_eq!(short(value), expected);
        is(0.0, "0");
        is(0.12684, "0.127");
        is(-12.345, "-12.3");
        is(999.4, "999");
        is(999.6, "1,000");
        is(-1234.5, "-1,235");
        is(0.0999999, "0.1");
        is(0.000_123_4, "0.000123");
        is(0.000_012_34, "1.2e-5");
        is(f64::INFINITY, "∞");
    }

    #[test]
    fn each_language_has_its_units() {
        let is = |what: &dyn Say, en: &str, zh: &str| {
            assert_eq!(
                (what.say(Lang::En).as_str(), what.say(Lang::Zh).as_str()),
                (en, zh)
            );
        };
        is(&Amount(1_234_567.0), "1.23 million", "123 万");
        is(&Amount(200_000.0), "200,000", "20 万");
        is(&Amount(155.0), "155", "155");
        is(&Amount(999_999.0), "1 million", "100 万");
        is(&Percent(0.1121), "11.2%", "11.2%");
        is(&Percent(0.99911), "99.911%", "99.911%");
        is(&Percent(0.9995), "99.95%", "99.95%");
        is(&Percent(0.9999), "99.99%", "99.99%");
        is(&Percent(0.9999999999), "> 99.9999%", "> 99.9999%");
        is(&Percent(1.0), "100%", "100%");
        is(&Points(0.01), "1 point", "1 个百分点");
        is(&Points(0.1), "10 points", "10 个百分点");
        let measured = |value, unit| Measured { value, unit };
        is(&measured(0.112, "share"), "11.2%", "11.2%");
        is(&measured(1234.0, "ms"), "1,234 ms", "1,234 ms");
        is(&measured(-0.012, "USD"), "-$0.012", "-$0.012");
        is(
            &Difference {
                value: 0.001,
                unit: "share",
            },
            "0.1 points",
            "0.1 个百分点",
        );
        is(&Days(1.0), "1 day", "1 天");
        is(&Hours(48.0), "48 hours", "48 小时");
        is(&P(0.5), "p = .5", "p = .5");
        is(&P(1e-9), "p < .0001", "p < .0001");
        let shanghai = Zone::by_name("Asia/Shanghai").unwrap();
        let at = 1_779_933_600_000_000;
        is(
            &When(at, &shanghai),
            "2026-05-28 10:00 Asia/Shanghai",
            "2026 年 5 月 28 日 10:00（北京时间）",
        );
        is(
            &When(at, &Zone::default()),
            "2026-05-28 02:00 UTC",
            "2026 年 5 月 28 日 02:00（UTC）",
        );
    }

    #[test]
    fn ranges_have_their_unit_once() {
        let is = |ends, unit, en: &str, zh: &str| {
            let range = DifferenceRange { ends, unit };
            assert_eq!(
                (range.say(Lang::En).as_str(), range.say(Lang::Zh).as_str()),
                (en, zh)
            );
        };
        is(
            [0.075, 0.107],
            "share",
            "7.5 to 10.7 points",
            "7.5 至 10.7 个百分点",
        );
        is([0.1, 0.25], "USD", "$0.1 to $0.25", "$0.1 至 $0.25");
        is([120.0, 1300.0], "ms", "120 to 1,300 ms", "120 至 1,300 ms");
        is([0.1, f64::INFINITY], "", "0.1 to ∞", "0.1 至 ∞");
    }
}

//! Columns of a log that have no name of Sluice and look like outcomes: metrics of the scenario.

use crate::init::fit::sql_name;
use crate::init::names::Name;
use crate::init::profile::{ColumnProfile, Native};
use crate::metric::{Better, COLUMNS};
use crate::scenario::sensitive_word;

/// A metric over a column of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnMetric {
    pub(crate) id: String,
    /// Name that the scenario gives to the column.
    pub(crate) column: String,
    pub(crate) file_column: String,
    pub(crate) better: Better,
    /// Whether the values are flags. Else they are numbers, and the metric is a mean.
    pub(crate) is_flag: bool,
    /// The expression that words for true and false need. `None` for numbers and booleans.
    pub(crate) sql: Option<String>,
    /// Whether the name says the direction.
    pub(crate) is_certain: bool,
    pub(crate) why: String,
}

/// At most this many metrics are proposed.
const MAX_METRICS: usize = 5;

/// Names of outcomes of which more is better.
#[rustfmt::skip]
const HIGHER: &[&str] = &[
    "win", "won", "click", "clicks", "clicked", "is click", "conversion", "converted", "convert",
    "is converted", "purchase", "purchased", "bought", "buy", "ordered", "is ordered", "signup",
    "signed up", "subscribed", "retention", "retained", "retention 1", "retention 7", "reward",
    "quality score", "judge score", "eval score", "quality", "correct", "is correct", "accuracy",
    "revenue", "sales", "profit", "gmv", "order amount", "engagement", "watch time", "play time",
    "rounds", "game rounds", "sum gamerounds", "views", "pages", "installed", "activated",
    "faithfulness", "relevance", "helpfulness", "renewed", "visit", "spend", "deposit", "total ads",
    "点击", "是否点击", "转化", "是否转化", "购买", "是否购买", "下单", "是否下单", "收入", "销售额",
    "利润", "成交金额", "订单金额", "留存", "得分", "质量分", "命中",
];
/// Names of outcomes of which less is better.
#[rustfmt::skip]
const LOWER: &[&str] = &[
    "errors", "error count", "bounce", "bounced", "churn", "churned", "refund", "refunded",
    "is refund", "cancelled", "canceled", "returned", "crash", "crashes", "retries", "retry count",
    "hallucination", "toxicity", "defects", "unsubscribed", "fraud", "abandoned", "wait time",
    "ttft ms", "time to first token", "流失", "退款", "是否退款", "退货", "取消", "报错次数",
    "重试次数", "幻觉", "首字延迟",
];

/// The metrics over columns that no guess uses. `taken` are the names of Sluice that the source
/// already has.
pub(crate) fn own_metrics(profiles: &[ColumnProfile], unused: &[String], taken: &[&str]) -> Vec<OwnMetric> {
    let mut metrics: Vec<(f64, OwnMetric)> = Vec::new();
    for profile in profiles.iter().filter(|profile| unused.contains(&profile.name)) {
        if sensitive_word(&profile.name, &[]).is_some() {
            continue;
        }
        let name = Name::new(&profile.name);
        let (higher, lower) = (name.says_best(HIGHER), name.says_best(LOWER));
        if name.has(&["propensity", "probability", "pscore"]) {
            continue;
        }
        let Some(is_flag) = is_outcome(profile) else {
            continue;
        };
        if higher.max(lower) < 0.6 {
            continue;
        }
        let column = column_name(profile, metrics.len(), taken);
        let better = if lower > higher {
            Better::Lower
        } else {
            Better::Higher
        };
        let suffix = if is_flag { "rate" } else { "mean" };
        metrics.push((
            higher.max(lower),
            OwnMetric {
                id: format!("{column}_{suffix}"),
                column,
                sql: (!profile.is_numeric() && profile.native == Native::Text)
                    .then(|| format!("flag({})", sql_name(&profile.name))),
                file_column: profile.name.clone(),
                better,
                is_flag,
                is_certain: higher.max(lower) > 0.85,
                why: format!("by its name; {}", if is_flag { "flags" } else { "numbers" }),
            },
        ));
    }
    metrics.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut metrics: Vec<OwnMetric> = metrics.into_iter().map(|(_, metric)| metric).collect();
    metrics.truncate(MAX_METRICS);
    metrics.dedup_by(|a, b| a.id == b.id);
    metrics
}

/// Whether a column holds flags (true) or numbers (false) that vary. `None` for other columns.
fn is_outcome(profile: &ColumnProfile) -> Option<bool> {
    if profile.n_distinct() < 2 {
        return None;
    }
    let is_flag = profile.native == Native::Bool
        || profile.is_numeric()
            && profile.min >= 0.0
            && profile.max <= 1.0
            && profile.n_whole == profile.n_number;
    let words = profile.few_words();
    let is_flag_text =
        words.is_some_and(|words| words.len() <= 3 && crate::init::words::are_flags(words.keys()));
    match is_flag || is_flag_text {
        true => Some(true),
        false if profile.is_numeric() && profile.n_number == profile.n_known() => Some(false),
        false => None,
    }
}

/// A name of ASCII letters, digits and underscores that no column of Sluice has.
fn column_name(profile: &ColumnProfile, idx: usize, taken: &[&str]) -> String {
    let plain: String = profile
        .name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    let plain = plain.trim_matches('_').to_owned();
    let is_free = |name: &str| !taken.contains(&name) && !COLUMNS.iter().any(|(column, _)| *column == name);
    let is_name = plain.starts_with(|c: char| c.is_ascii_lowercase()) && profile.name.is_ascii();
    if is_name && is_free(&plain) {
        plain
    } else {
        format!("outcome_{}", idx + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::profile::Scalar;

    #[test]
    fn outcomes_are_found_by_name_and_values() {
        let check = |name: &str, values: &[&str], expected: Option<(&str, Better)>| {
            let mut profile = ColumnProfile::new(name);
            values.iter().for_each(|value| profile.add(Scalar::Text(value)));
            let found = own_metrics(&[profile], &[name.to_owned()], &[]);
            let found = found.first().map(|metric| (metric.id.as_str(), metric.better));
            assert_eq!(found, expected, "{name}");
        };
        check("click", &["0", "1", "0"], Some(("click_rate", Better::Higher)));
        check(
            "sum_gamerounds",
            &["3", "40"],
            Some(("sum_gamerounds_mean", Better::Higher)),
        );
        check(
            "retention_7",
            &["True", "False"],
            Some(("retention_7_rate", Better::Higher)),
        );
        check("是否退款", &["0", "1"], Some(("outcome_1_rate", Better::Lower)));
        check("click", &["0", "0"], None);
        check("color", &["0", "1"], None);
        check("user_gender_score", &["0", "1"], None);
    }
}

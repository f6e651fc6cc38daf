//! Sentences of evaluations: how cases were matched, what is no evidence, and comparisons.

use crate::stats::Interval;
use crate::words::lang::Lang;
use crate::words::style::{Difference, DifferenceRange, Percent};
use crate::words::text::{Say, Text, texts};

/// The id, the English and the Chinese name of each common metric of evaluations.
const NAMES: &[(&str, &str, &str)] = &[
    ("passed", "pass rate", "通过率"),
    ("cost_usd", "cost", "成本"),
    ("latency_ms", "latency", "延迟"),
    ("tokens", "number of tokens", "token 数"),
    ("tokens_in", "number of input tokens", "输入 token 数"),
    ("tokens_out", "number of output tokens", "输出 token 数"),
];

/// The name of a metric of evaluations. A score keeps its id as its name.
pub(crate) fn eval_metric(id: &str) -> Text {
    match NAMES.iter().find(|(of, _, _)| *of == id) {
        Some((_, en, zh)) => Text {
            en: (*en).to_owned(),
            zh: (*zh).to_owned(),
        },
        None => id.into(),
    }
}

/// A metric of a suite: `pass rate of golden`, `golden 的通过率`.
pub(crate) fn metric_of(metric: &str, suite: impl Say) -> Text {
    of_suite(eval_metric(metric), suite)
}

/// The unit of relative changes, beside the units of metrics.
pub(crate) const RELATIVE: &str = "%";

/// The size of a difference in a unit: `2 points`, `120 ms`, `5%` of a relative change.
pub(crate) fn size(value: f64, unit: &str) -> Text {
    Text::new(|lang| match unit {
        RELATIVE => Percent(value).say(lang),
        unit => Difference { value, unit }.say(lang),
    })
}

/// A range of differences in one unit: `2 to 4 points`.
fn range(lower: f64, upper: f64, unit: &str) -> Text {
    Text::new(|lang| {
        if unit != RELATIVE {
            let ends = [lower, upper];
            return DifferenceRange { ends, unit }.say(lang);
        }
        let [lower, upper] = [lower, upper].map(|end| Percent(end).say(lang));
        match lang {
            Lang::En => format!("{lower} to {upper}"),
            Lang::Zh => format!("{lower} 至 {upper}"),
        }
    })
}

/// How much worse or better the candidate is, by the interval of its harm.
pub(crate) fn direction(harm: Interval, unit: &str) -> Text {
    let Interval { ci_lower, ci_upper } = harm;
    if ci_lower >= 0.0 && ci_upper > 0.0 {
        is_worse(range(ci_lower, ci_upper, unit))
    } else if ci_upper <= 0.0 && ci_lower < 0.0 {
        is_better(range(-ci_upper, -ci_lower, unit))
    } else if ci_lower == 0.0 && ci_upper == 0.0 {
        is_unchanged()
    } else {
        is_between(size(-ci_lower, unit), size(ci_upper, unit))
    }
}

/// As [`direction`], with what is allowed.
pub(crate) fn change(harm: Interval, unit: &str, allowed: &Text) -> Text {
    let is_worse = harm.ci_lower >= 0.0 && harm.ci_upper > 0.0;
    match is_worse {
        true => worse_allowed(direction(harm, unit), allowed),
        false => other_allowed(direction(harm, unit), allowed),
    }
}

texts! {
    is_worse(range): "{range} worse", "劣化 {range}";
    is_better(range): "{range} better", "改善 {range}";
    is_unchanged(): "unchanged", "不变";
    is_between(better, worse):
        "between {better} better and {worse} worse",
        "介于改善 {better} 与劣化 {worse} 之间";
    worse_allowed(change, allowed): "{change}, {allowed} allowed", "{change}，允许 {allowed}";
    other_allowed(change, allowed): "{change}, {allowed} worse allowed", "{change}，允许劣化 {allowed}";
    none_allowed(): "none", "无界限";
    of_suite(metric, suite): "{metric} of {suite}", "{suite} 的{metric}";
    went(metric, suite, before, after, change, pairs):
        "The {metric} of {suite} went from {before} to {after}: {change} ({pairs}).",
        "{suite} 的{metric}由 {before} 变为 {after}：{change}（{pairs}）。";
    pairs(n, n_better, n_worse):
        "{n} pairs, {n_better} better, {n_worse} worse",
        "{n} 对，变好 {n_better} 例，变差 {n_worse} 例";
    finds(size): "Differences from {size} on can be found.", "可检出 {size} 以上的差异。";

    matched(suite, n, by): "{suite}: {n} cases matched by {by}", "{suite}：{n} 个用例按{by}配对";
    matched_candidate(suite, candidate, n, by):
        "{suite}, {candidate}: {n} cases matched by {by}",
        "{suite}，{candidate}：{n} 个用例按{by}配对";
    because(why): "because {why}", "原因是{why}";
    ambiguous(n, names): "ids of several inputs: {n} ({names})", "{n} 个 id 对应多个输入（{names}）";
    conflicts(n, names):
        "{n} ids have other inputs in another release ({names})",
        "{n} 个 id 在另一版本中输入不同（{names}）";
    renamed(): "the same inputs have other ids in another release", "相同输入在另一版本中 id 不同";
    without_ids(): "the files do not give every case an id", "文件没有为每个用例提供 id";
    only_before(n, names): "only the baseline has {n}: {names}", "仅基线有 {n} 个：{names}";
    only_now(n, names): "only the candidate has {n}: {names}", "仅候选有 {n} 个：{names}";
    by_id(): "id", "id";
    by_input(): "input", "输入";
    by_input_without_ids(): "input without random ids", "去掉随机 id 的输入";

    run_error(): "error of the run", "运行出错";
    judge_error(): "error of a judge", "评审出错";
    cancelled(): "stopped", "被中止";
    absent(): "not in the log", "日志中没有";
    no_score(): "no score", "没有评分";
    partial_credit(): "partial credit", "部分得分";
    cached(): "cached answer (no cost, no latency)", "缓存应答（无成本与延迟）";
    duplicate(): "same run twice", "同一运行重复";
    retried(): "error, run again", "出错后重跑";
    conflict(): "same run twice, other results", "同一运行重复且结果不同";

    too_few_pairs(): "too few pairs", "配对过少";
    no_variance(): "all values are equal", "所有取值相同";
    another_scale(): "shares against percentages", "量纲不同：比例与百分数";
    not_in_both(): "only one release has it", "只有一个版本有该指标";
    no_margin(): "no margin", "未设界限";
    mean_not_above_zero(): "a mean is not above 0", "均值不大于 0";
    too_many_missing(): "runs without a value", "部分运行没有取值";
    not_precise(): "more cases needed", "需要更多用例";
    useless_judge(): "judge no better than chance", "评审不优于随机";

    safe_word(): "safe", "安全";
    violated_word(): "violated", "越界";
    unclear_word(): "unclear", "证据不足";
    no_verdict(): "none", "无";
    verdict_because(verdict, why): "{verdict}: {why}", "{verdict}：{why}";

    // Tables of `sluice evals`.
    no_values(): "No run has a verdict, a score, a cost or a latency.", "没有运行带结论、评分、成本或延迟。";
    column_no_evidence(): "no evidence", "不能作为证据";
    column_release(): "release", "版本";
    column_suite(): "suite", "用例集";
    column_metric(): "metric", "指标";
    column_cases(): "cases", "用例";
    column_runs(): "runs", "运行";
    column_errors(): "errors", "出错";
    column_clusters(): "clusters", "聚类";
    column_mean(): "mean", "均值";
    column_interval(): "interval", "置信区间";
    column_baseline(): "baseline", "基线";
    column_candidate(): "candidate", "候选";
    column_pairs(): "pairs", "配对";
    column_before(): "before", "之前";
    column_now(): "now", "现在";
    column_change(): "change", "变化";
    column_by(): "by", "方法";
    column_better(): "better", "变好";
    column_worse(): "worse", "变差";
    column_margin(): "margin", "界限";
    column_verdict(): "verdict", "结论";
    column_rank(): "rank", "名次";
    rank_range(lower, upper): "{lower} to {upper}", "{lower} 至 {upper}";
    interval_note(confidence):
        "Intervals have {confidence} confidence, by t over clusters, by counts of pairs that differ, or by \
         the ratio of the means.",
        "区间的置信度为 {confidence}，方法为聚类 t、差异配对计数或均值之比。";
    lower_note(): "↓: lower is better.", "↓：越低越好。";
    family_dunnett():
        "All intervals of a metric hold together (Dunnett); p is corrected (Holm).",
        "同一指标的区间同时成立（Dunnett）；p 值已校正（Holm）。";
    family_bonferroni():
        "All intervals of a metric hold together (Bonferroni); p is corrected (Holm).",
        "同一指标的区间同时成立（Bonferroni）；p 值已校正（Holm）。";
    slices_title(metric, by): "{metric} by {by}", "{metric}，按 {by} 切片";
    slices_counts(n, n_violated, n_safe):
        "{n} slices, {n_violated} violated, {n_safe} safe",
        "{n} 个切片，越界 {n_violated} 个，安全 {n_safe} 个";
    slices_small(n): "{n} with too few pairs", "{n} 个配对过少";
    slices_without(n): "{n} cases without a value", "{n} 个用例没有取值";
    more_slices(n): "{n} more slices: --json", "另有 {n} 个切片：--json";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_say_which_way_and_how_much() {
        let check = |ends: [f64; 2], unit: &str, en: &str, zh: &str| {
            let harm = Interval {
                ci_lower: ends[0],
                ci_upper: ends[1],
            };
            let text = change(harm, unit, &size(0.02, unit));
            assert_eq!((text.en.as_str(), text.zh.as_str()), (en, zh));
        };
        check(
            [0.08, 0.121],
            "share",
            "8 to 12.1 points worse, 2 points allowed",
            "劣化 8 至 12.1 个百分点，允许 2 个百分点",
        );
        check(
            [-0.05, -0.01],
            RELATIVE,
            "1% to 5% better, 2% worse allowed",
            "改善 1% 至 5%，允许劣化 2%",
        );
        check(
            [-3.0, 1234.0],
            "ms",
            "between 3 ms better and 1,234 ms worse, 0.02 ms worse allowed",
            "介于改善 3 ms 与劣化 1,234 ms 之间，允许劣化 0.02 ms",
        );
        check(
            [0.0, 0.0],
            "share",
            "unchanged, 2 points worse allowed",
            "不变，允许劣化 2 个百分点",
        );
    }
}

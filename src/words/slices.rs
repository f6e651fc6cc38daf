//! Sentences about guardrails in slices: the rows that have one value in a declared column.

use crate::base::escape;
use crate::words::lang::Lang;
use crate::words::text::{Say, Text, texts};

texts! {
    /// The name of a slice.
    named(column, value): "{column} {value}", "{column} 为 {value}";
    /// The name of the slice of rows without a value.
    unnamed(column): "rows without {column}", "{column} 无取值";
    /// A metric that is worse than allowed in a slice.
    rose(slice, rows, metric, from, to, range, allowed):
        "In {slice} ({rows} rows) the {metric} rose from {from} to {to} ({range} worse, {allowed} allowed).",
        "切片 {slice}（{rows} 行）：{metric}由 {from} 升至 {to}（变差 {range}，允许 {allowed}）。";
    /// As [`rose`], for a metric that fell.
    fell(slice, rows, metric, from, to, range, allowed):
        "In {slice} ({rows} rows) the {metric} fell from {from} to {to} ({range} worse, {allowed} allowed).",
        "切片 {slice}（{rows} 行）：{metric}由 {from} 降至 {to}（变差 {range}，允许 {allowed}）。";
    /// More events than a guardrail allows.
    too_many(slice, rows, metric, n, allowed):
        "In {slice} ({rows} rows) the {metric} has {n} of the candidate, {allowed} allowed.",
        "切片 {slice}（{rows} 行）：{metric}：候选发生 {n} 起，允许 {allowed} 起。";
    /// A value of the candidate beyond an absolute limit.
    beyond(slice, rows, metric, value, limit):
        "In {slice} ({rows} rows) the {metric} of the candidate is {value}, beyond the limit of {limit}.",
        "切片 {slice}（{rows} 行）：候选的{metric}为 {value}，超出限值 {limit}。";
    /// What a violation does to the layer.
    blocks(): "The layer is not promoted while a slice is violated.", "有切片越界期间，该分层不放量。";
    /// What a violation does to the layer if the policy only warns.
    warns(): "The policy only warns of it.", "按策略仅告警。";
    /// The other violations.
    one_more(): "One more guardrail is violated in a slice.", "另有 1 项切片护栏越界。";
    /// As [`one_more`], for several.
    more(n): "{n} more guardrails are violated in slices.", "另有 {n} 项切片护栏越界。";
    /// No slice is violated.
    none_violated(slices): "No guardrail is violated in {slices}.", "{slices}中没有护栏越界。";
    /// Some slices are violated.
    some_violated(n, slices):
        "A guardrail is violated in {n} of {slices}.",
        "{slices}中有 {n} 个存在护栏越界。";
    /// The slices without enough evidence of some guardrail.
    unclear(slices):
        "In {slices} the evidence is not enough to say that all guardrails are safe.",
        "{slices}的证据不足，尚不能判定所有护栏安全。";
    /// The slices without enough data of any guardrail.
    unknown(slices, rows):
        "In {slices} ({rows} rows) there is too little data to judge.",
        "{slices}（{rows} 行）数据过少，无法判定。";
    /// What would make a layer with a violated slice pass.
    remedy():
        "A new release that does no harm in the slice; or policy.slices = \"warn\", which only warns.",
        "换用不损害该切片的新版本；或设 policy.slices = \"warn\"，仅告警。";
    /// Further findings that a list leaves out.
    further(n, file): "and {n} more: {file} has all", "另有 {n} 项，详见 {file}";
    /// A list of slices with its counts.
    titled(counts): "Slices: {counts}", "切片：{counts}";
    /// The title of a list of slices.
    title(): "Slices", "切片";
    /// What the intervals of slices mean.
    note():
        "Each row compares both releases in the rows with one value of a column. The intervals of all \
         slices and guardrails of a layer hold together.",
        "每行比较同一列取值内两个版本的表现。同一分层内所有切片与护栏的区间同时成立。";
    /// The column with the name of a slice.
    slice(): "slice", "切片";
    /// The column with rows of both releases.
    rows(): "rows", "行数";
    /// The column with the interval of the harm.
    worse_by(): "worse by", "变差幅度";
    /// The column with the margin.
    allowed(): "allowed", "允许";
    /// The table of violations.
    violated_table(): "Violated slices, the worst first", "越界的切片（最差在前）";
    /// The table of the other findings.
    other_table(n):
        "Other slices: {n} comparisons, the least certain first",
        "其余切片：{n} 项比较（最不确定在前）";
    /// The chart of a layer.
    chart(layer):
        "Harm in slices of {layer}, in units of the margin",
        "{layer} 各切片的损害（以界限为单位）";
    /// The rows that a table leaves out.
    left_out(n): "{n} more comparisons are in analysis.json.", "另有 {n} 项比较见 analysis.json。";
    /// A verdict.
    is_violated(): "violated", "越界";
    /// A verdict.
    is_unclear(): "not enough evidence", "证据不足";
    /// A verdict.
    is_safe(): "safe", "安全";
    /// A verdict.
    is_unknown(): "too little data", "数据过少";
}

/// A number of slices: `1 slice`, `12 个切片`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slices(pub(crate) usize);

impl Say for Slices {
    fn say(&self, lang: Lang) -> String {
        let n = crate::base::number::count(self.0 as u64);
        match lang {
            Lang::En if self.0 == 1 => "1 slice".into(),
            Lang::En => format!("{n} slices"),
            Lang::Zh => format!("{n} 个切片"),
        }
    }
}

/// A slice as people call it: the column with its value, of at most 160 characters.
pub(crate) fn slice_name(column: &str, value: &str) -> Text {
    if value.is_empty() {
        unnamed(column)
    } else {
        named(column, escape::value(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_hostile_values_have_names() {
        assert_eq!(slice_name("region", "").en, "rows without region");
        assert_eq!(slice_name("region", "north").zh, "region 为 north");
        assert_eq!(slice_name("region", "a\u{1b}[2Jb\n").en, "region a\\u{1b}[2Jb\\n");
    }
}

//! What the rules of tool bundles are about, by their ids, and the texts of `sluice tools`.

use crate::words::text::{Text, texts};

/// The id of each rule, and what has changed in English and Chinese.
const RULES: &[(&str, &str, &str)] = &[
    (
        "additional-properties-closed",
        "other properties are refused now",
        "不再接受其他属性",
    ),
    (
        "additional-properties-narrowed",
        "other properties are accepted in fewer forms",
        "其他属性的限制收紧",
    ),
    (
        "additional-properties-opened",
        "other properties are accepted now",
        "开始接受其他属性",
    ),
    (
        "all-of-added",
        "more conditions must hold",
        "须同时满足的条件增加",
    ),
    (
        "all-of-removed",
        "fewer conditions must hold",
        "须同时满足的条件减少",
    ),
    (
        "any-of-became-one-of",
        "exactly one branch must fit now, before any",
        "由任一分支匹配改为恰好一个分支匹配",
    ),
    (
        "became-closed-world",
        "the tool claims to stay within its system",
        "声明不再访问外部系统",
    ),
    (
        "became-destructive",
        "the tool may destroy data now",
        "变为可能破坏数据",
    ),
    (
        "became-enum",
        "only listed values are accepted now",
        "变为只接受列举值",
    ),
    (
        "became-idempotent",
        "the tool claims that repeated calls do no harm",
        "声明重复调用无影响",
    ),
    (
        "became-not-destructive",
        "the tool claims to destroy no data",
        "声明不破坏数据",
    ),
    (
        "became-not-idempotent",
        "repeated calls may do harm now",
        "重复调用可能有影响",
    ),
    ("became-not-nullable", "null is refused now", "不再接受 null"),
    ("became-nullable", "null is accepted now", "开始接受 null"),
    (
        "became-open-world",
        "the tool reaches other systems now",
        "变为访问外部系统",
    ),
    ("became-optional", "a property is optional now", "属性变为可选"),
    (
        "became-read-only",
        "the tool claims to change nothing",
        "声明为只读",
    ),
    ("became-required", "a property is required now", "属性变为必填"),
    ("branch-added", "a form is accepted anew", "新增一种形式"),
    ("branch-removed", "a form is no longer accepted", "删除一种形式"),
    ("condition-added", "a condition was added", "新增条件"),
    ("condition-changed", "a condition changed", "条件变更"),
    ("condition-removed", "a condition was removed", "删除条件"),
    (
        "condition-undecided",
        "the effect of a condition is not decided",
        "条件变更的影响无法判定",
    ),
    (
        "const-added",
        "only one value is accepted now",
        "变为只接受一个值",
    ),
    ("const-changed", "the only value changed", "唯一取值变更"),
    (
        "const-removed",
        "other values are accepted now",
        "不再限定唯一取值",
    ),
    (
        "contains-added",
        "lists must contain a certain item now",
        "列表须包含指定项",
    ),
    (
        "contains-removed",
        "lists need not contain a certain item any more",
        "列表不再须包含指定项",
    ),
    (
        "content-added",
        "the encoding of a text is prescribed now",
        "文本编码有了规定",
    ),
    (
        "content-changed",
        "the encoding of a text changed",
        "文本编码变更",
    ),
    (
        "content-removed",
        "the encoding of a text is free now",
        "文本编码不再规定",
    ),
    ("default-added", "a default was added", "新增默认值"),
    ("default-changed", "a default changed", "默认值变更"),
    ("default-removed", "a default was removed", "删除默认值"),
    (
        "dependent-required-added",
        "a property requires others now",
        "属性间新增必填依赖",
    ),
    (
        "dependent-required-removed",
        "a property no longer requires others",
        "删除属性间的必填依赖",
    ),
    (
        "dependent-schema-added",
        "a property demands more of the object now",
        "属性新增对整体的要求",
    ),
    (
        "dependent-schema-removed",
        "a property demands less of the object",
        "删除属性对整体的要求",
    ),
    (
        "deprecated-changed",
        "the mark as deprecated changed",
        "弃用标记变更",
    ),
    (
        "description-changed",
        "the description changed, and with it the prompt",
        "描述变更，提示词随之变更",
    ),
    ("enum-removed", "any value is accepted now", "不再限定列举值"),
    ("enum-value-added", "a listed value was added", "新增列举值"),
    ("enum-value-removed", "a listed value was removed", "删除列举值"),
    ("examples-changed", "the examples changed", "示例变更"),
    ("field-changed", "a field without a rule changed", "其他字段变更"),
    ("format-added", "a format is demanded now", "新增格式要求"),
    ("format-changed", "the format changed", "格式变更"),
    ("format-removed", "no format is demanded any more", "删除格式要求"),
    ("hitl-loosened", "people confirm fewer calls", "人工确认被放松"),
    (
        "hitl-proof-removed",
        "nothing proves any more that a person confirms",
        "删除了人工确认的证据",
    ),
    ("hitl-tightened", "people confirm more calls", "人工确认更严格"),
    (
        "idempotency-loosened",
        "repeated calls are less safe",
        "幂等要求被放松",
    ),
    (
        "idempotency-tightened",
        "repeated calls are safer",
        "幂等要求更严格",
    ),
    (
        "items-added",
        "the items of lists are restricted now",
        "新增列表项的限制",
    ),
    (
        "items-removed",
        "the items of lists are free now",
        "删除列表项的限制",
    ),
    ("limit-loosened", "a limit is looser", "限制放宽"),
    ("limit-removed", "a limit was removed", "删除限制"),
    ("limit-set", "a limit was added", "新增限制"),
    ("limit-tightened", "a limit is tighter", "限制收紧"),
    (
        "major-version-missing",
        "callers break without a new major version",
        "影响调用方但没有新的主版本",
    ),
    ("max-calls-lowered", "fewer calls are allowed", "调用次数上限降低"),
    ("max-calls-raised", "more calls are allowed", "调用次数上限提高"),
    (
        "max-calls-removed",
        "the number of calls is no longer limited",
        "删除调用次数上限",
    ),
    ("migration-missing", "there is no migration guide", "缺少迁移说明"),
    (
        "multiple-of-added",
        "values must be multiples now",
        "新增倍数要求",
    ),
    (
        "multiple-of-changed",
        "values must be other multiples",
        "倍数要求变更",
    ),
    (
        "multiple-of-removed",
        "values need not be multiples any more",
        "删除倍数要求",
    ),
    (
        "new-value-possible",
        "results may have a value that was not possible",
        "结果可能出现此前没有的取值",
    ),
    ("not-added", "values are excluded anew", "新增排除的取值"),
    ("not-changed", "other values are excluded", "排除的取值变更"),
    ("not-removed", "values are no longer excluded", "取值不再被排除"),
    (
        "not-undecided",
        "it is not decided which values are excluded",
        "排除的影响无法判定",
    ),
    (
        "nothing-allowed",
        "no value is accepted any more",
        "不再接受任何取值",
    ),
    (
        "one-of-became-any-of",
        "any branch may fit now, before exactly one",
        "由恰好一个分支匹配改为任一分支匹配",
    ),
    (
        "one-of-overlap",
        "a value fits several branches and is refused",
        "取值同时匹配多个分支而被拒绝",
    ),
    (
        "one-of-overlap-removed",
        "a value no longer fits several branches",
        "取值不再同时匹配多个分支",
    ),
    (
        "one-of-undecided",
        "it is not decided whether branches overlap",
        "分支是否重叠无法判定",
    ),
    (
        "optional-property-added",
        "an optional property was added",
        "新增可选属性",
    ),
    (
        "output-schema-added",
        "results have a schema now",
        "新增结果 schema",
    ),
    (
        "output-schema-removed",
        "results have no schema any more",
        "删除结果 schema",
    ),
    ("partial-list", "a list of tools is not whole", "工具列表不完整"),
    ("pattern-added", "a pattern is demanded now", "新增正则要求"),
    ("pattern-changed", "the pattern changed", "正则变更"),
    (
        "pattern-properties-added",
        "properties by pattern are restricted now",
        "新增按正则匹配的属性限制",
    ),
    (
        "pattern-properties-removed",
        "properties by pattern are free now",
        "删除按正则匹配的属性限制",
    ),
    (
        "pattern-removed",
        "no pattern is demanded any more",
        "删除正则要求",
    ),
    (
        "prefix-item-added",
        "a place of a list is restricted now",
        "新增列表定位项",
    ),
    (
        "prefix-item-removed",
        "a place of a list is free now",
        "删除列表定位项",
    ),
    ("property-forbidden", "a property is refused now", "属性被禁止"),
    (
        "property-names-added",
        "names of properties are restricted now",
        "新增属性名限制",
    ),
    (
        "property-names-removed",
        "names of properties are free now",
        "删除属性名限制",
    ),
    ("property-removed", "a property was removed", "删除属性"),
    (
        "read-became-write",
        "a tool that read changes data now",
        "只读工具变为写操作",
    ),
    (
        "read-only-changed",
        "the mark as read-only changed",
        "只读标记变更",
    ),
    (
        "required-property-added",
        "a required property was added",
        "新增必填属性",
    ),
    (
        "risk-contradicts-hints",
        "the risk level contradicts the hints",
        "风险等级与提示矛盾",
    ),
    (
        "risk-level-lowered",
        "the risk level is lower, so fewer checks apply",
        "风险等级降低，适用的检查减少",
    ),
    ("risk-level-raised", "the risk level is higher", "风险等级提高"),
    (
        "schema-invalid",
        "the schema is invalid, so clients refuse the tool",
        "schema 无效，客户端会拒绝该工具",
    ),
    (
        "schema-repaired",
        "an invalid schema is valid now",
        "无效的 schema 已修复",
    ),
    (
        "something-allowed",
        "values are accepted where none were",
        "开始接受取值",
    ),
    (
        "strict-added",
        "the model keeps to the schema now",
        "启用严格模式",
    ),
    (
        "strict-removed",
        "the model may leave the schema now",
        "关闭严格模式",
    ),
    (
        "strict-schema-invalid",
        "the schema does not suit strict mode",
        "schema 不符合严格模式",
    ),
    (
        "task-support-narrowed",
        "calls in one form are refused now",
        "不再支持某种调用形式",
    ),
    (
        "task-support-widened",
        "calls in another form are accepted now",
        "支持新的调用形式",
    ),
    ("title-changed", "the title changed", "标题变更"),
    (
        "too-complex",
        "the schema is too complex to decide",
        "schema 过于复杂，无法判定",
    ),
    (
        "too-deep",
        "the schema is nested too deeply to decide",
        "schema 嵌套过深，无法判定",
    ),
    ("tool-added", "a tool was added", "新增工具"),
    (
        "tool-not-understood",
        "the schema has a part that is not understood",
        "schema 有无法理解的部分",
    ),
    ("tool-removed", "a tool was removed", "删除工具"),
    ("tool-renamed", "a tool has another name", "工具改名"),
    ("type-changed", "the type changed", "类型变更"),
    ("type-narrowed", "fewer types are accepted", "类型收窄"),
    ("type-widened", "more types are accepted", "类型放宽"),
    (
        "unevaluated-items-added",
        "other items are restricted now",
        "新增其余列表项的限制",
    ),
    (
        "unevaluated-items-removed",
        "other items are free now",
        "删除其余列表项的限制",
    ),
    (
        "unevaluated-properties-added",
        "other properties are restricted now",
        "新增其余属性的限制",
    ),
    (
        "unevaluated-properties-removed",
        "other properties are free now",
        "删除其余属性的限制",
    ),
    (
        "union-added",
        "one of several forms is demanded now",
        "新增多种形式的限定",
    ),
    ("union-removed", "the forms are free now", "删除多种形式的限定"),
    (
        "union-undecided",
        "it is not decided whether the forms still fit",
        "多种形式的影响无法判定",
    ),
    ("unique-items-added", "items must differ now", "列表项须互不相同"),
    ("unique-items-removed", "items may be equal now", "列表项可以相同"),
    (
        "unknown-keyword-changed",
        "an unknown keyword changed",
        "未知关键字变更",
    ),
    (
        "unresolvable-ref",
        "a reference leads to no schema of the bundle",
        "引用无法解析",
    ),
    (
        "valid-value-refused",
        "a value that was valid is refused",
        "原本有效的取值被拒绝",
    ),
    ("version-decreased", "the version decreased", "版本号降低"),
    (
        "version-malformed",
        "the version is not MAJOR.MINOR.PATCH",
        "版本号不是 MAJOR.MINOR.PATCH 形式",
    ),
    (
        "version-not-bumped",
        "the content changed under one version",
        "内容变更但版本号未变",
    ),
    ("version-removed", "the version was removed", "删除版本号"),
    (
        "write-only-changed",
        "the mark as write-only changed",
        "只写标记变更",
    ),
    (
        "write-tool-added",
        "a tool that changes data was added",
        "新增写操作工具",
    ),
];

/// What a rule is about. An unknown rule keeps its id.
pub(crate) fn rule(id: &str) -> Text {
    match RULES.iter().find(|(of, _, _)| *of == id) {
        Some((_, en, zh)) => Text {
            en: (*en).to_owned(),
            zh: (*zh).to_owned(),
        },
        None => id.into(),
    }
}

texts! {
    change(what, detail): "{what} ({detail})", "{what}（{detail}）";
    change_at(node, what): "{node}: {what}", "{node}：{what}";
    refused(tool, n, of, share, lower, upper):
        "{tool}: {n} of {of} logged calls are refused anew, {share} (between {lower} and {upper}).",
        "{tool}：{of} 次历史调用中 {n} 次新被拒绝，占 {share}（{lower} 至 {upper}）。";
    undecided(n, why):
        "{n} are undecided, because the schema is too complex {why}.",
        "{n} 次无法判定：schema 过于复杂（{why}）。";
    with_these_arguments(): "with these arguments", "对这些参数";
    column_tool(): "tool", "工具";
    column_level(): "level", "级别";
    column_rule(): "rule", "规则";
    column_where(): "where", "位置";
    column_found(): "found", "发现";
    whole_bundle(): "(bundle)", "（工具集）";
    no_version(): "no version", "无版本号";
    side_input(): "input", "入参";
    side_output(): "output", "结果";
    level_error(): "error", "错误";
    level_warning(): "warning", "警告";
    level_info(): "info", "提示";
    summary(before, after, n_both, n_gone, n_new, n_errors, n_warnings):
        "{before} to {after}: tools in both: {n_both}, gone: {n_gone}, new: {n_new}; errors: {n_errors}, \
         warnings: {n_warnings}",
        "{before} → {after}：共有 {n_both} 个工具，删除 {n_gone} 个，新增 {n_new} 个；{n_errors} 个错误，\
         {n_warnings} 个警告";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_sorted_and_differ() {
        for pair in RULES.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{}", pair[1].0);
        }
        let mut texts: Vec<&str> = RULES.iter().map(|(_, en, _)| *en).collect();
        texts.sort_unstable();
        assert!(texts.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(RULES.iter().all(|(_, en, zh)| !en.is_empty() && !zh.is_empty()));
    }
}

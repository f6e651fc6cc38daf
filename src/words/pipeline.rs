//! Sentences of the formats of pipelines: comments, and what the findings of evaluations, tools and
//! nights answer.

use crate::words::text::texts;

texts! {
    next_step(what): "Next: {what}", "下一步：{what}";
    n_more(n): "{n} more", "另有 {n} 项";
    n_passed(n): "{n} passed", "{n} 项通过";
    n_not_asked(n): "{n} not asked", "{n} 项未检查";
    and_more(n): "and {n} more", "另有 {n} 项";
    passed(names): "Passed: {names}", "通过：{names}";
    not_asked(names): "Not asked: {names}", "未检查：{names}";

    evals_only_read(n_runs, n_releases):
        "{n_releases} read, with {n_runs}. Nothing is compared without a baseline.",
        "已读取 {n_releases} 个版本的 {n_runs} 个指标值；未指定基线，因此未作比较。";
    evals_safe(n):
        "No release is worse than allowed, in {n}.",
        "没有版本超出允许的劣化：{n} 项比较全部安全。";
    evals_violated(n, of):
        "A release is worse than allowed in {n} of {of} comparisons.",
        "有版本的劣化超出允许范围：{of} 项比较中 {n} 项越界。";
    evals_unclear(n, of):
        "There is not enough evidence in {n} of {of} comparisons.",
        "{of} 项比较中 {n} 项证据不足。";
    evals_none(): "No case or metric could be compared.", "没有可比较的用例或指标。";
    evals_next_baseline(): "Name a baseline with --baseline.", "请用 --baseline 指定基线。";
    evals_next_safe():
        "Run the gate on these results with `sluice gate --evals`.",
        "用 `sluice gate --evals` 对这些结果执行门禁。";
    evals_next_violated(suite, metric):
        "Look at the cases of {suite} with a worse {metric}, and correct the release.",
        "查看 {suite} 中 {metric} 变差的用例，修复后再评测。";
    evals_next_unclear(): "Add cases to the suites that are not decided.", "为证据不足的用例集补充用例。";
    compared(metric, suite): "{metric} of {suite} against the baseline", "{suite} 的 {metric} 与基线对比";
    sliced(metric, suite, by): "{metric} of {suite} by {by}", "{suite} 的 {metric}，按 {by} 切片";
    no_evidence(): "Runs that are no evidence", "不能作为证据的运行";
    runs_of_release(n, release, reason):
        "{release} lost {n}: {reason}.",
        "{release} 有 {n} 次运行不能作为证据：{reason}。";

    tools_same(): "The change breaks no caller.", "本次变更不影响任何调用方。";
    tools_warn(n):
        "The change breaks no caller, but look at {n}.",
        "本次变更不影响调用方；有 {n} 处变更需要查看。";
    tools_announced(n):
        "{n} can break callers, and the version and the migration guide announce it.",
        "{n} 处变更会影响调用方，版本号与迁移说明已作声明。";
    tools_must_not_ship(): "The change must not ship as it is.", "本次变更不能直接发布。";
    tools_breaks(n):
        "{n} can break callers, without a new major version and a migration guide.",
        "{n} 处变更影响调用方，且缺少新的主版本或迁移说明。";
    tools_versions(n):
        "Versions or migration guides are wrong or missing in {n}.",
        "{n} 处版本号或迁移说明有误或缺失。";
    tools_loosens(n): "Safety is looser in {n}.", "{n} 处放松了安全设置。";
    tools_unknown(n):
        "It is not known whether callers break: {n} could not be compared.",
        "有 {n} 处无法比较，不能确定是否影响调用方。";
    tools_next_ship(): "Ship the bundle.", "可以发布该工具集。";
    tools_next_look():
        "Look at the warnings; a changed description is a changed prompt.",
        "请查看警告；描述变更等同于提示词变更。";
    tools_next_version():
        "Publish a new major version with a migration guide, or keep the old form beside the new one.",
        "发布新的主版本并附迁移说明，或同时保留旧形式。";
    tools_next_compare():
        "Give whole lists of tools, and schemas that can be decided.",
        "请提供完整的工具列表，以及可判定的 schema。";
    tool_calls(): "Logged calls against the new schemas", "按新 schema 校验历史调用";

    night_pass(candidate, n, changed):
        "{candidate}: the gate passed. Layers with a new ratio: {changed} of {n}.",
        "{candidate}：门禁通过；{n} 个分层中 {changed} 个变更比例。";
    night_warn(candidate, n, changed, n_warnings):
        "{candidate}: the gate passed with {n_warnings}. Layers with a new ratio: {changed} of {n}.",
        "{candidate}：门禁通过，有 {n_warnings} 项警告；{n} 个分层中 {changed} 个变更比例。";
    night_inconclusive(candidate, n, changed):
        "{candidate}: the gate has not enough evidence. Layers with a new ratio: {changed} of {n}.",
        "{candidate}：门禁证据不足；{n} 个分层中 {changed} 个变更比例。";
    night_fail(candidate, n, changed):
        "{candidate}: the gate failed. Layers with a new ratio: {changed} of {n}.",
        "{candidate}：门禁未通过；{n} 个分层中 {changed} 个变更比例。";
    night_targets(n): "The publication failed at {n}.", "{n} 个目标发布失败。";
    night_next_wait(): "Wait for the next night.", "等待下一次夜间任务。";
    night_next_targets():
        "Mend the targets that failed, and run the night again.",
        "修复失败的目标后重新执行本次任务。";
    night_layer(): "Decision on a layer", "分层的放量决策";
    night_layer_says(verdict, from, to, why):
        "{verdict}, {from} to {to}: {why}",
        "{verdict}，{from} → {to}：{why}";
    night_layer_stays(verdict, at, why): "{verdict} at {at}: {why}", "{verdict}，{at}：{why}";
    night_target(): "Publication at a target", "目标发布";
    night_target_took(outcome): "The target is {outcome}.", "目标状态：{outcome}。";
    night_guard(): "Guard of the job", "夜间守卫";
}

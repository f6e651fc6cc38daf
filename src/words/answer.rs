//! The answer of a study and of a forecast: the sentences that stand first on a page.

use crate::words::text::texts;

texts! {
    /// A study without traffic.
    placed(users, layers):
        "{users} users are placed in {layers} layers. No traffic is known yet, so nothing is decided.",
        "{users} 名用户已分入 {layers} 个分层。尚无流量数据，无从决策。";
    /// No verdict is valid.
    untrusted(): "The data cannot be trusted, so no ratio changes.", "数据不可信，所有比例保持不变。";
    /// Some verdicts are not valid.
    untrusted_in(layers): "The data of {layers} cannot be trusted.", "{layers}的数据不可信。";
    no_candidate(): "No row of the candidate yet: nothing to compare.", "尚无候选版本的数据，无从比较。";
    rolled_back(layers): "Stop: the candidate is rolled back in {layers}.", "停止：候选版本在{layers}回滚。";
    was_rolled_back(layers):
        "Stopped: the candidate was rolled back in {layers} earlier.",
        "已停止：候选版本此前已在{layers}回滚。";
    promoted(layers): "The ramp goes on in {layers}.", "{layers}继续放量。";
    /// Layers leave 0%, and the log has no row of the candidate.
    started(layers):
        "The ramp starts in {layers}. No row of the candidate yet: nothing to compare.",
        "{layers}开始放量。尚无候选版本的数据，无从比较。";
    completed():
        "The ramp is complete: every layer is at the last step of its ladder.",
        "放量已完成：所有分层均已到达阶梯末级。";
    unclear(layers): "Not yet: there is not enough evidence in {layers}.", "暂不放量：{layers}证据不足。";
    harmed(layers):
        "Not now: harm is found in {layers}, and the ratio stays.",
        "暂不放量：在{layers}发现损害，比例保持不变。";
    held(): "Not yet: every layer keeps its ratio.", "暂不放量：所有分层保持当前比例。";
    held_by_gate():
        "Not yet: the gate failed, so no ratio goes up.",
        "暂不放量：门禁未通过，任何比例不得上调。";
    /// The other layers, behind a sentence about some of them.
    others_keep(n): "The other {n} keep their ratio.", "其余 {n} 个分层保持当前比例。";
    other_keeps(): "The other layer keeps its ratio.", "其余 1 个分层保持当前比例。";
    all_layers(n): "all {n} layers", "全部 {n} 个分层";
    some_layers(n, all): "{n} of {all} layers", "{all} 个分层中的 {n} 个";

    no_rows(): "No row of the candidate here yet: nothing to compare.", "此处尚无候选版本的数据，无从比较。";

    gate_passed(n): "All {n} checks passed.", "全部 {n} 项检查通过。";
    gate_failed(n, all): "{n} of {all} checks failed.", "{all} 项检查中 {n} 项未通过。";
    gate_open(n, all): "{n} of {all} checks without enough evidence.", "{all} 项检查中 {n} 项证据不足。";
    gate_warned(n, all):
        "No check failed; warnings in {n} of {all}.",
        "没有检查未通过；{all} 项中 {n} 项警告。";
    gate_empty(): "No check was made: nothing is judged.", "未做任何检查，不作判断。";
    first_check(check): "First: {check}.", "首项：{check}。";
    first_check_in(check, layer): "First: {check} in {layer}.", "首项：{layer}的 {check}。";

    /// A recommended schedule of a layer.
    dwell_at_each(hours): "{hours} at each step", "每级停留 {hours}";
    full_after(days): "Full after {days} if the release is good.", "若版本良好，{days}后全量。";
    odds(wrong, missed):
        "A good release is rolled back in {wrong} of the runs; a harmful one is missed in {missed}.",
        "良好版本被误回滚的概率为 {wrong}，有害版本被漏检的概率为 {missed}。";
    odds_exact(wrong, missed):
        "A good release is rolled back with probability {wrong}, a harmful one is missed with {missed} \
         (computed, not simulated).",
        "良好版本被误回滚的概率为 {wrong}，有害版本被漏检的概率为 {missed}（精确计算，非模拟）。";
    odds_good(wrong):
        "A good release is rolled back in {wrong} of the runs.",
        "良好版本被误回滚的概率为 {wrong}。";
    odds_bad(missed):
        "A harmful release is missed in {missed} of the runs.",
        "有害版本被漏检的概率为 {missed}。";
    /// A share of runs with its Monte Carlo error.
    chance_error(share, error): "{share} ± {error}", "{share} ± {error}";
    chance_none(limit): "0% (below {limit})", "0%（低于 {limit}）";
    chance_all(limit): "100% (above {limit})", "100%（高于 {limit}）";
    harm_expected(harm, metric):
        "Expected harm of a harmful release, measured by {metric}: {harm}.",
        "有害版本的预期损害（按{metric}）：{harm}。";
    harm_worst(world, unit, mean, most):
        "Harm in the worst world, \"{world}\" ({unit}): {mean} on average, at most {most} in 95% of the \
         runs.",
        "最差情景“{world}”下的损害（{unit}）：平均 {mean}，95% 的运行不超过 {most}。";
    cost(): "cost", "成本";
    harm_unknown(): "The harm is not known: no run has a number.", "损害未知：没有运行给出数值。";
    no_schedule(): "No schedule keeps the limits.", "没有排期能满足限制。";
    schedule_found():
        "Recommended: the fastest schedule that keeps the limits.",
        "建议：满足限制的最快排期。";
    schedules_for_some(n, all):
        "For {n} of {all} layers a schedule keeps the limits.",
        "{all} 个分层中有 {n} 个存在满足限制的排期。";
    limits_are(wrong, missed):
        "Limits: a good release is rolled back in at most {wrong} of the cases, a harmful one is missed in \
         at most {missed}.",
        "限制：良好版本误回滚不超过 {wrong}，有害版本漏检不超过 {missed}。";
    not_optimized():
        "Not asked: a search for faster schedules. `sluice simulate --optimize` makes it.",
        "未检查：是否存在更快的排期。可用 `sluice simulate --optimize` 搜索。";
    first_of(n, all, file):
        "The first {n} of {all} are shown; {file} has all.",
        "共 {all} 项，此处显示前 {n} 项；{file} 含全部。";
    most_urgent_of(n, all, file):
        "{n} of {all} layers are shown, those that need a look first; {file} has all.",
        "共 {all} 个分层，此处显示最需关注的 {n} 个；{file} 含全部。";
    nearest(ladder): "The nearest schedule: {ladder}.", "最接近的排期：{ladder}。";
}

//! Texts of the terminal: answers, headings, headers of tables, and warnings.

use crate::words::text::texts;

texts! {
    // Answers.
    against(candidate, baseline, at):
        "{candidate} against {baseline}, as of {at}",
        "{candidate} 对比 {baseline}，数据截至 {at}";
    of_layer(layer, text): "{layer}: {text}", "{layer}：{text}";
    of_tenant(tenant, text): "{tenant} / {text}", "{tenant} / {text}";
    stays_at(layer, ratio, text): "{layer}: stays at {ratio}. {text}", "{layer}：保持 {ratio}。{text}";
    to_decide(text): "  To decide: {text}", "  如何判定：{text}";
    more_layers(n, file): "further layers: {n}, all in {file}", "另有 {n} 个分层，全部见 {file}";
    all_invalid():
        "Every layer keeps its ratio: the first line says why.",
        "所有分层均保持比例，原因见首行。";
    no_valid_verdict(text): "NO VALID VERDICT: {text}", "数据无效：{text}";
    no_evidence(text): "NO EVIDENCE: {text}", "没有证据：{text}";
    gate_is(outcome): "gate: {outcome}", "门禁：{outcome}";
    gate_is_for(outcome, names): "gate: {outcome} ({names})", "门禁：{outcome}（{names}）";
    check_in(check, layer): "{check} in {layer}", "{layer} 的 {check}";
    and_more(n): "and {n} more", "另有 {n} 项";
    written(): "written:", "已写入：";
    written_again(): "written again, because they differed:", "内容不同，已重新写入：";
    nothing_changed():
        "the state rests on this evidence already: nothing changed",
        "当前状态已基于该证据，无变化";
    stopped(): "stopped", "已停止";
    finished_before(): ": finished before, nothing changed", "：此前已完成，无变化";
    accepted(guard, text): "accepted: {guard}: {text}", "已接受：{guard}：{text}";

    // Verdicts and outcomes.
    promote(): "promote", "放量";
    hold(): "hold", "保持";
    rollback(): "rollback", "回滚";
    inconclusive(): "inconclusive", "证据不足";
    invalid(): "invalid", "数据无效";
    pass(): "pass", "通过";
    warn(): "warn", "警告";
    fail(): "fail", "未通过";

    // Warnings.
    warning(text): "warning: {text}", "警告：{text}";
    qos_not_known(missing): "QoS is not known: {missing}.", "QoS 未知：{missing}。";
    no_evidence_yet(text): "no evidence: {text}", "没有证据：{text}";
    more_steps(n):
        "Further layers that cannot leave a step of their ladder: {n}.",
        "另有 {n} 个分层无法离开其阶梯的某一级。";
    first_warnings(n):
        "The first {n} warnings on steps and thresholds are listed.",
        "仅列出前 {n} 条关于阶梯与阈值的警告。";
    limits_rest_on(of, n):
        "{of}: the limits rest on {n} values of the baseline, and new rows still change them; `cap` and \
         `floor` in place of `winsorize` fix them.",
        "{of}：上下限基于基线的 {n} 个值，新的行仍会改变它们；用 `cap` 与 `floor` 代替 `winsorize` 可固定。";
    metric_of(metric): "metric {metric}", "指标 {metric}";
    below_resolution(column, resolution, n):
        "column `{column}`: {n} values are not 0 but below the resolution of {resolution}, and count as 0; \
         write the column in a smaller unit.",
        "列 `{column}`：{n} 个值不为 0 但小于精度 {resolution}，按 0 计；请换用更小的单位。";
    gate_of_other_evidence(path):
        "{path} rests on other evidence than the new schedule: --layer-summary writes it anew.",
        "{path} 所依据的证据与新排期不同：用 --layer-summary 可重新生成。";

    // Tables.
    wide_shows_also(columns): "--wide shows also: {columns}", "--wide 还显示：{columns}";
    column_tenant(): "tenant", "租户";
    column_layer(): "layer", "分层";
    column_users(): "users", "用户数";
    column_exposed(): "exposed", "已触达";
    column_qos_baseline(): "QoS baseline", "基线 QoS";
    column_qos_candidate(): "QoS candidate", "候选 QoS";
    column_srm(): "SRM", "样本比";
    column_verdict(): "verdict", "结论";
    column_ratio(): "ratio", "比例";
    column_next(): "next", "后续";
    column_why(): "why", "原因";
    column_blocking(): "first blocking check", "首个未通过项";
    column_share(): "share", "占比";
    column_eligible(): "eligible", "可参与";
    column_note(): "note", "备注";
    column_metric(): "metric", "指标";
    column_baseline(): "baseline", "基线";
    column_candidate(): "candidate", "候选";
    column_effect(): "effect", "效应";
    column_one_look(): "one look", "单次查看";
    column_every_look(): "every look", "每次查看";
    column_p(): "p", "p 值";
    column_p_bh(): "p (BH)", "p 值（BH）";
    column_at_ratio(): "at ratio", "假设比例";
    column_off_policy(): "off-policy value", "离线估计值";
    column_interval(): "interval", "区间";
    column_plan(): "plan", "方案";
    column_world(): "world", "情景";
    column_worst_world(): "worst world", "最差情景";
    column_cost(): "cost", "成本";
    column_harm(): "harm", "损害";
    column_false_rollback(): "false\nrollback", "误回滚";
    column_missed(): "missed", "漏检";
    column_days(): "days", "天数";
    column_limits(): "limits", "误差上限";
    column_rollback(): "rollback", "回滚";
    column_srm_halt(): "SRM halt", "样本比停止";
    column_unfinished(): "unfinished", "未完成";
    column_days_to_full(): "days to full", "全量天数";
    column_days_to_rollback(): "days to rollback", "回滚天数";
    column_users_exposed(): "users exposed", "触达用户";
    column_at_rollback(): "at rollback", "回滚时触达";
    column_by_coin(): "by coin", "按请求抽签";

    // Traces.
    traces_of(path, kinds, turns, traces):
        "traces of {path}: {kinds}, {turns} turns of {traces} traces",
        "{path} 的链路：{kinds}，{traces} 条链路共 {turns} 轮";
    without(n, column): "{n} without {column}", "{n} 轮缺少 {column}";

    // Layers.
    too_small(): "too small to judge", "人数过少，无法判断";
    users_by(n, mode, at): "{n} users by {mode} at {at}", "{n} 名用户，分层方式 {mode}，时刻 {at}";
    users_without(recency, uses, value, acceptance, all):
        "users without recency {recency}, use count {uses}, value {value}, acceptance {acceptance}; without \
         any of them {all}",
        "缺少最近使用时间的用户 {recency} 名，缺少使用次数 {uses} 名，缺少价值 {value} 名，缺少接受度 \
         {acceptance} 名；全部缺少 {all} 名";
    more_layers_beside(n):
        "further layers: {n}, all in the summary beside the table",
        "另有 {n} 个分层，全部见表旁的摘要";
    duplicates_not_searched():
        "duplicate users were not searched for: `--audit always` does",
        "未检查重复用户：`--audit always` 会检查";

    // Analyses.
    stage_users(layer, ratio, baseline, candidate, both, p):
        "{layer} at {ratio}: users {baseline} baseline, {candidate} candidate, {both} in both; SRM {p}",
        "{layer} 在 {ratio}：基线 {baseline} 名用户，候选 {candidate} 名，两者都有 {both} 名；样本比 {p}";
    rows_mature(metric, share):
        "  {metric}: {share} of the rows are old enough for their outcomes",
        "  {metric}：{share} 的记录已满结果所需时间";
    values_limited(metric, floor, cap, baseline, candidate):
        "  {metric}: values limited to [{floor}, {cap}]; beyond: {baseline} of the baseline's rows, \
         {candidate} of the candidate's",
        "  {metric}：取值限于 [{floor}, {cap}]；超限记录：基线 {baseline}，候选 {candidate}";
    where_is(what, column, value): "{what} where {column} = {value}", "{what}（{column} = {value}）";
    no_value(): "(none)", "（无）";
    first_exposure(layer, p, z, every):
        "{layer} by first exposure over all stages: chi-square {p}, pooled z {z}, at every look {every}",
        "{layer} 各阶段首次触达：卡方 {p}，合并 z {z}，每次查看 {every}";
    first_exposure_low(layer, p, z, every):
        "{layer} by first exposure over all stages: chi-square {p}, pooled z {z}, at every look {every} \
         (low impact)",
        "{layer} 各阶段首次触达：卡方 {p}，合并 z {z}，每次查看 {every}（影响很小）";
    no_overlap(place): "{place}: no stage ran both releases", "{place}：没有两个版本同时运行的阶段";
    overlap(place, ess, weight, z):
        "{place}: effective users {ess}, largest weight {weight}, mean weight z {z}",
        "{place}：有效用户数 {ess}，最大权重 {weight}，平均权重 z {z}";
    layer_at(layer, ratio): "{layer} at {ratio}", "{layer} 在 {ratio}";
    from_to(from, to): "{from} to {to}", "{from} 至 {to}";

    // Simulations.
    runs_of_plans(n, days, basis):
        "{n} runs of each plan in each world, {days}, {basis}",
        "每个方案在每个情景模拟 {n} 次，{days}，{basis}";
    contradictions(): "contradictions in the plans:", "方案中的矛盾：";
    plan_warnings(): "warnings on the plans:", "对方案的警告：";
    of_plans(plans, text): "  {plans}: {text}", "  {plans}：{text}";
    more_wide(n): "  and {n} more: --wide shows them", "  另有 {n} 条，--wide 可查看";
    where_unfinished(): "where unfinished runs end:", "未完成的模拟停在何处：";
    unfinished_at(plan, world, share, layer, ratio, check):
        "  {plan} in {world}: {share} of the runs at {layer} {ratio}, {check}",
        "  {plan}，情景 {world}：{share} 的模拟停在 {layer} {ratio}，{check}";
    unfinished_why(head, advice): "{head}: {advice}", "{head}：{advice}";
    plan_note():
        "cost or harm: the mean in the worst world; false rollback: in worlds without harm; missed: a \
         harmful release reaches everybody; days: until a release without harm reaches everybody; limits: \
         of errors.",
        "成本或损害：最差情景的均值；误回滚：无损害的情景；漏检：有损害的版本全量；天数：无损害的版本全量所\
         需；误差上限：是否满足。";
    what_to_do(text): "What to do: {text}", "建议：{text}";
    page_note():
        "--wide shows all worlds; the page shows them over time.",
        "--wide 显示所有情景；网页显示其随时间的变化。";
    basis_observed(): "assumed effects on an observed baseline", "效应为假设，基线为实测";
    basis_assumed(): "assumed", "均为假设";
    column_ladder(): "ladder", "阶梯";
    column_dwell(): "dwell", "停留";
    column_decided_by(): "decided by", "判定方式";
    column_days_if_good(): "days if good", "无损害时天数";
    exactly(how): "{how}, exactly", "{how}，精确计算";
    by_run(how): "{how}, run", "{how}，模拟";
    under(layer, policy, text): "{layer} under {policy}: {text}", "{layer}，{policy}：{text}";
    fastest_schedules(metric, mde):
        "fastest schedules for {metric} with a harm of {mde} that must not be missed",
        "针对{metric}、不可漏检损害 {mde} 的最快排期";
    toml_note():
        "# the scenario with these schedules; save it beside the scenario",
        "# 采用上述排期的场景文件，请保存在原场景旁";
    keeps(): "keeps", "满足";
    breaks(): "breaks", "超出";
    unclear(): "unclear", "未定";
    harmful(world): "{world} (harmful)", "{world}（有损害）";
    bound_note(low, high):
        "± is the Monte Carlo error. 0% of the runs means less than {low}, 100% more than {high} (95% \
         interval).",
        "± 为蒙特卡洛误差。0% 表示低于 {low}，100% 表示高于 {high}（95% 区间）。";
}

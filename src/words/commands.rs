//! What the commands print that report data, and make no verdict: replay, cube, who, publish, record,
//! notify.

use crate::words::text::{Text, texts};

/// The outcome of a publication at a target, by its name in documents.
pub(crate) fn target_outcome(name: &str) -> Text {
    match name {
        "applied" => applied(),
        "unchanged" => unchanged(),
        "planned" => planned(),
        "failed" => failed(),
        other => other.into(),
    }
}

texts! {
    written(): "written:", "已写入：";

    // Columns.
    schedule(): "schedule", "排期";
    tenant(): "tenant", "租户";
    layer(): "layer", "分层";
    ratio(): "ratio", "比例";
    users(): "users", "用户数";
    eligible(): "eligible", "可参与";
    candidate(): "candidate", "候选";
    to_candidate(): "to candidate", "转入候选";
    to_baseline(): "to baseline", "转回基线";
    other_release(): "other release", "版本不同";
    exposed_users(): "exposed users", "触达用户";
    requests(): "requests", "请求数";
    paired(): "paired", "已配对";
    qos_baseline(): "QoS baseline", "基线 QoS";
    qos_candidate(): "QoS candidate", "候选 QoS";
    effect(): "effect", "效应";
    worst_harm(): "worst harm", "最大损害";
    stage(): "stage", "阶段";
    from(): "from", "起始";
    rows_baseline(): "rows baseline", "基线行数";
    users_baseline(): "users baseline", "基线用户";
    both(): "both", "两者";
    first_exposed(): "first exposed", "首次触达";
    sessions_baseline(): "sessions baseline", "基线会话";
    dimension(): "dimension", "维度";

    // Cells and sentences.
    all(): "all", "合计";
    none_shown(): "none shown", "未显示";
    to(effect, low, high): "{effect} ({low} to {high})", "{effect}（{low} 至 {high}）";
    get_the_candidate(n): "{n} users get the candidate", "{n} 名用户得到候选版本";
    cube_of(plan, candidate, baseline, start, end):
        "cube of plan {plan}: {candidate} against {baseline}, {start} to {end}",
        "计划 {plan} 的数据立方：{candidate} 对比 {baseline}，{start} 至 {end}";
    nothing_is_worse(): "nothing is worse: no rollback", "没有指标变差：无需回滚";
    outside_of_the_record(): "outside of the record", "不在版本记录之内";
    moved(): "moved: another content under one name", "已移动：同名但内容不同";
    changed(): "changed", "已变更";

    // Publications.
    plan(plan): "plan {plan}", "计划 {plan}";
    plan_version(plan, version): "plan {plan}, version {version}", "计划 {plan}，版本 {version}";
    gate(outcome): "gate: {outcome}", "门禁：{outcome}";
    applied(): "applied", "已应用";
    unchanged(): "unchanged", "无变化";
    planned(): "planned", "待应用";
    failed(): "failed", "失败";
    users_to_write(n, all): "({n} of {all} users to write)", "（{all} 名用户中待写 {n} 名）";
    users_written(n, all): "({n} of {all} users written)", "（{all} 名用户中已写 {n} 名）";
    users_to_write_gone(n, all, gone):
        "({n} of {all} users to write, {gone} gone)",
        "（{all} 名用户中待写 {n} 名，移除 {gone} 名）";
    users_written_gone(n, all, gone):
        "({n} of {all} users written, {gone} gone)",
        "（{all} 名用户中已写 {n} 名，移除 {gone} 名）";
    nothing(): "nothing", "无";
    more_changes(n): "and {n} more: --json shows them", "另有 {n} 项：用 --json 查看";
    not_readable(): "not readable", "无法读取";
    holds_nothing(): "holds nothing of this plan", "没有此计划的内容";
    version_of(version, at): "version {version} of {at}", "版本 {version}，{at}";
    layer_table(digest): "layer table {digest}", "分层表 {digest}";
    not_by_hand(): "not rolled back by hand", "未被人工回滚";
    by_hand(at): "rolled back by hand at {at}", "{at} 被人工回滚";
    policy_publishes():
        "rollbacks, holds and promotions that the policy allows are published",
        "仍发布回滚、保持以及策略允许的放量";
    no_promotion(layers): "no promotion of {layers}", "{layers}不放量";
    stale_gate():
        "the gate report rests on other evidence than the schedule: `sluice schedule --layer-summary` \
         writes it anew",
        "门禁报告与排期所依据的证据不同：用 `sluice schedule --layer-summary` 重新生成";
    gate_effect(failure, effect): "{failure}: {effect}", "{failure}：{effect}";
    and_then(first, second): "{first}; {second}", "{first}；{second}";
    consent(n_withdrawn, n_users, n_given):
        "{n_withdrawn} of {n_users} users no longer consent and get the baseline; {n_given} gave consent \
         and keep the baseline until the next plan",
        "{n_users} 名用户中 {n_withdrawn} 名撤回同意并改用基线；{n_given} 名新同意的用户在下个计划前仍用基线";

    // Notifications.
    one_attempt(): "1 attempt", "1 次尝试";
    attempts(n): "{n} attempts", "{n} 次尝试";
    sent(sink, attempts): "sent to {sink} ({attempts})", "已发送至 {sink}（{attempts}）";
    not_sent(sink, attempts, why):
        "not sent to {sink} ({attempts}): {why}",
        "未能发送至 {sink}（{attempts}）：{why}";
    notification_of(event, line): "notification of a {event}: {line}", "{event} 的通知：{line}";
}

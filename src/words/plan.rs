//! Sentences on the numbers of a plan: contradictions, steps that cannot decide, and thresholds.

use crate::words::text::texts;

texts! {
    wrong_claim(n, of, is, not, source):
        "{n} of {of} users are {is}, not {not} ({source}).",
        "{of} 名用户中的 {n} 名是 {is}，而不是 {not}（{source}）。";
    late_for_plan(longest, layer, days):
        "The dwells alone take {longest} until the layer {layer} is at the end of its ladder; the plan \
         promises {days}.",
        "仅停留时间就需 {longest}，{layer} 才能走完放量阶梯；计划承诺 {days}。";
    late_for_horizon(longest, layer, days):
        "The dwells alone take {longest} until the layer {layer} is at the end of its ladder; the horizon \
         is {days}.",
        "仅停留时间就需 {longest}，{layer} 才能走完放量阶梯；模拟期限为 {days}。";
    first_step_above_cap(layer, first, n, cap, allowed):
        "The first step of {layer}, {first}, alone reaches {n} users; the cap of {cap} of all users allows \
         {allowed}.",
        "{layer} 的第一级 {first} 单独就触达 {n} 名用户；全体用户 {cap} 的上限只允许 {allowed} 名。";

    step_takes(layer, step, metric, margin, dwell, takes):
        "{layer} at {step}: {metric} cannot clear its margin of {margin} within the dwell of {dwell}, even \
         if the candidate changes nothing: it takes {takes}.",
        "{layer} 在 {step}：即使候选毫无变化，{metric}也无法在停留的 {dwell}内通过界限 {margin}，需要 \
         {takes}。";
    step_never(layer, step, metric, margin, dwell):
        "{layer} at {step}: {metric} cannot clear its margin of {margin} within the dwell of {dwell}, even \
         if the candidate changes nothing, and not even within a year.",
        "{layer} 在 {step}：即使候选毫无变化，{metric}也无法在停留的 {dwell}内通过界限 {margin}，一年内也不\
         能。";
    ratio_can(ratio): "{ratio} is enough.", "{ratio} 可以。";
    margin_can(margin): "A margin of {margin} is enough.", "界限 {margin} 可以。";
    ratio_or_margin_can(ratio, margin):
        "{ratio} is enough, and so is a margin of {margin}.",
        "{ratio} 可以，界限 {margin} 也可以。";
    one_more_guardrail(): "The same holds for 1 more guardrail.", "另有 1 个护栏同样如此。";
    more_guardrails(n): "The same holds for {n} more guardrails.", "另有 {n} 个护栏同样如此。";
    threshold_above(threshold, layer, qos):
        "The QoS threshold of {threshold} of {layer} lies above the baseline's QoS of {qos}: the candidate \
         must be better than today to be promoted.",
        "{layer} 的 QoS 阈值 {threshold} 高于基线的 QoS {qos}：候选须优于现状才能放量。";
    threshold_above_interval(threshold, layer, qos, low, high):
        "The QoS threshold of {threshold} of {layer} lies above the baseline's QoS of {qos} (between {low} \
         and {high}): the candidate must be better than today to be promoted.",
        "{layer} 的 QoS 阈值 {threshold} 高于基线的 QoS {qos}（{low} 至 {high}）：候选须优于现状才能放量。";
    of_tenant(tenant, text): "{tenant} / {text}", "{tenant} / {text}";
    unreachable(layer, step, of, n, least):
        "{layer}: {step} of {of} eligible users are {n}, fewer than min_users {least}. The layer cannot \
         leave {step}.",
        "{layer}：{of} 名可参与用户的 {step} 为 {n} 名，少于 min_users {least}，无法离开 {step}。";
}

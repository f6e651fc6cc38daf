//! Sentences of simulations: findings on plans, what lets a step decide, and what to do.

use crate::words::text::texts;

texts! {
    first_step_above_cap(layer, first, reached, come, cap, allowed):
        "The first step of {layer}, {first}, reaches {reached} users, {come} of them within its dwell; the \
         cap of {cap} of all users allows {allowed}.",
        "{layer} 的第一级 {first} 触达 {reached} 名用户，其中 {come} 名在停留期内出现；全体用户 {cap} 的上限\
         只允许 {allowed} 名。";

    // Where runs end.
    harm_beyond_margin(metric, harm, margin):
        "The harm to {metric} of {harm} in this world is not below the margin of {margin}: no evidence \
         clears it.",
        "在此情景中{metric}的损害 {harm} 不低于界限 {margin}，再多证据也无法通过。";
    qos_below_threshold(qos, threshold):
        "The QoS of {qos} in this world lies below the threshold of {threshold}: no evidence reaches it.",
        "在此情景中 QoS {qos} 低于阈值 {threshold}，再多证据也无法达到。";
    users_below_min(n, least, next):
        "At this step {n} users are reached, and min_users is {least}. Raise the ratio of the step to {next}\
         , or lower min_users.",
        "该级触达 {n} 名用户，而 min_users 为 {least}。请将该级提高到 {next}，或调低 min_users。";
    users_below_min_only(n, least):
        "At this step {n} users are reached, and min_users is {least}. Lower min_users.",
        "该级触达 {n} 名用户，而 min_users 为 {least}。请调低 min_users。";
    dwells_too_long(): "The dwells are longer than the horizon.", "停留时间长于模拟期限。";
    step_takes(n, days, asks):
        "At this step {n} users take {days} to {asks}.",
        "该级的 {n} 名用户需要 {days}才能{asks}。";
    step_cannot(n, asks): "At this step {n} users cannot {asks}.", "该级的 {n} 名用户无法{asks}。";
    change_ratio(next): "Change the ratio of the step to {next}.", "请将该级提高到 {next}。";
    change_margin(margin): "Change the margin to {margin}.", "请将界限改为 {margin}。";
    change_threshold(threshold): "Change the threshold to {threshold}.", "请将阈值改为 {threshold}。";
    change_ratio_or_margin(next, margin):
        "Change the ratio of the step to {next}, or the margin to {margin}.",
        "请将该级提高到 {next}，或将界限改为 {margin}。";
    change_ratio_or_threshold(next, threshold):
        "Change the ratio of the step to {next}, or the threshold to {threshold}.",
        "请将该级提高到 {next}，或将阈值改为 {threshold}。";
    larger_layer(): "Use a larger layer.", "请扩大分层。";

    // The search for schedules.
    fastest_of(n, days, missed, harm):
        "The fastest of {n} schedules that keep every bound: {days} without harm, {missed} missed, harm \
         {harm}.",
        "在满足所有上限的 {n} 个排期中最快：无损害时 {days}，漏检 {missed}，损害 {harm}。";
    no_harm_budget(harm, days):
        "No schedule keeps the harm budget: the least harmful one within the error bounds has a harm of \
         {harm} in {days}.",
        "没有排期满足损害预算：误差上限内损害最小的方案为 {harm}，需 {days}。";
    no_power(mde, power):
        "No schedule of the grid detects a harm of {mde} with {power} power: there are too few users, or \
         the harm is too small.",
        "没有排期能以 {power} 的检验力检出 {mde} 的损害：用户过少，或损害过小。";
    fastest_when_run(policy, days):
        "The fastest under {policy} that keeps every bound when it is run: {days} without harm.",
        "在 {policy} 下经模拟满足所有上限的最快排期：无损害时 {days}。";
    none_keeps(n):
        "None of the {n} fastest schedules keeps every bound when it is run.",
        "最快的 {n} 个排期经模拟均不满足所有上限。";
    none_finishes():
        "No schedule finishes within the bounds when it is run.",
        "经模拟没有排期能在上限内完成。";
    nearest(policy, ladder, dwell, unfinished, rolled_back, missed):
        "The nearest one under {policy} is {ladder} with {dwell} a step: {unfinished} of the runs without \
         harm do not finish, {rolled_back} roll back, {missed} miss the harm.",
        "{policy} 下最接近的排期为 {ladder}，每级 {dwell}：无损害时 {unfinished} 未完成，{rolled_back} 回滚，\
         {missed} 漏检。";
    nearest_blocked(policy, ladder, dwell, unfinished, check, rolled_back, missed):
        "The nearest one under {policy} is {ladder} with {dwell} a step: {unfinished} of the runs without \
         harm do not finish, most of them held by {check}, {rolled_back} roll back, {missed} miss the harm.",
        "{policy} 下最接近的排期为 {ladder}，每级 {dwell}：无损害时 {unfinished} 未完成，多数停在 {check}，\
         {rolled_back} 回滚，{missed} 漏检。";
    exceeds_harm(policy, days, share, needed):
        "No schedule under {policy} keeps the limits within {days}: the nearest, a step of {share} for \
         {needed}, exceeds the bound on harm.",
        "{policy} 下没有排期能在 {days}内满足上限：最接近的（比例 {share}，停留 {needed}）超出损害上限。";
    no_step_clears(metric, policy, days, share):
        "No step can clear the margin of {metric} under {policy} within {days} at this traffic, not even at \
         {share}. More users, a longer horizon (simulate.days) or policy.sequential = \"group_sequential\" \
         can.",
        "按此流量，{policy} 下没有一级能在 {days}内使{metric}通过界限，{share} 也不能。增加用户、延长期限（\
         simulate.days）或设置 policy.sequential = \"group_sequential\" 可以。";
    a_guardrail(): "a guardrail", "护栏";

    // What to do.
    take_plan(plan, false_rollback, missed, days):
        "Take \"{plan}\": it is the fastest plan within the limits of errors (false rollback at most \
         {false_rollback}, missed at most {missed}) and reaches everybody in {days}.",
        "建议采用“{plan}”：在误差上限内（误回滚不超过 {false_rollback}，漏检不超过 {missed}）最快，{days}全\
         量。";
    contradicts():
        "It contradicts other limits of the scenario: see below.",
        "它与场景的其他限制矛盾，见下文。";
    no_plan(false_rollback, missed):
        "No plan reaches everybody within the limits of errors (false rollback at most {false_rollback}, \
         missed at most {missed}). --optimize searches for schedules that do.",
        "没有排期能在误差上限内全量（误回滚不超过 {false_rollback}，漏检不超过 {missed}）。可用 --optimize \
         搜索。";
    none_proved(false_rollback, missed, plans):
        "No plan is proved to keep the limits of errors (false rollback at most {false_rollback}, missed at \
         most {missed}). These may: {plans}. Use more --runs, and worlds with and without harm.",
        "没有排期被证实满足误差上限（误回滚不超过 {false_rollback}，漏检不超过 {missed}）。可能满足的有：\
         {plans}。请增加 --runs，并同时设置有损害与无损害的情景。";
}

//! Sentences on what would decide a check that blocks.

use crate::words::lang::Lang;
use crate::words::style::Number;
use crate::words::text::{Say, texts};

/// A number of days, rounded up so that it suffices: tenths below ten, whole days from ten on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DaysNeeded(pub(crate) f64);

impl Say for DaysNeeded {
    fn say(&self, lang: Lang) -> String {
        let days = self.0.max(0.0);
        let rounded = if days >= 10.0 {
            days.ceil()
        } else {
            (days * 10.0).ceil() / 10.0
        };
        let text = Number(rounded).say(lang);
        match lang {
            Lang::En if text == "1" => "1 day".into(),
            Lang::En => format!("{text} days"),
            Lang::Zh => format!("{text} 天"),
        }
    }
}

texts! {
    also_open(checks): "Also open: {checks}.", "另有未通过：{checks}。";

    // Actions.
    write_approval(layer, candidate, ratio):
        "A person has to approve: write an [[approval]] with layer = \"{layer}\", candidate = \"{candidate}\
         \", ratio = {ratio}.",
        "需要人工审批：请写入 [[approval]]，layer = \"{layer}\"，candidate = \"{candidate}\"，ratio = \
         {ratio}。";
    find_missing_users():
        "Find why users are missing from a release or in the wrong one, then measure again.",
        "查明用户缺失或进错版本的原因，再重新测量。";
    write_known_ids():
        "Write ids and releases in the log as the users table and the plan write them.",
        "日志中的用户 ID 与版本须与用户表和计划的写法一致。";
    needs_new_release(): "It needs a new release.", "需要新版本。";
    nothing_to_decide():
        "Nothing has to happen: the layer is at the end of its ladder, and checks continue.",
        "无需处理：已在阶梯末级，继续监测。";
    until(at): "Only time has to pass, until {at}.", "只需等待至 {at}。";
    more_time(hours, ratio, at):
        "{hours} more at {ratio}: until {at}.",
        "在 {ratio} 再停留 {hours}，至 {at}。";
    publish_again(): "Publish again, so that every target has the ratio.", "请重新发布，使所有目标生效。";

    // Guardrails.
    own_value_within(metric, limit):
        "It needs a new release with {metric} within the limit of {limit}.",
        "需要新版本，使{metric}在限值 {limit} 之内。";
    harm_within(metric, margin, beyond):
        "It needs a new release: the estimate for {metric} lies {beyond} beyond the margin of {margin}.",
        "需要新版本：{metric}的估计值超出界限（{margin}）{beyond}。";
    count_within(metric):
        "It needs a new release that keeps the allowed number of cases of {metric}.",
        "需要新版本，使{metric}不超过允许的次数。";
    never_clears(metric, harm, margin):
        "More data will not clear {metric}, because the estimated harm of {harm} lies beyond the margin of \
         {margin}. It needs a new release, or a larger margin.",
        "更多数据也无法使{metric}通过：估计的损害 {harm} 已超出界限 {margin}。需要新版本，或放宽界限。";
    never_clears_shown(metric, harm, margin, days):
        "More data will not clear {metric}, because the estimated harm of {harm} lies beyond the margin of \
         {margin}; it is proved in {days} if the effect stays as it is. It needs a new release, or a larger \
         margin.",
        "更多数据也无法使{metric}通过：估计的损害 {harm} 已超出界限 {margin}，若效应不变，{days}后可证实。需\
         要新版本，或放宽界限。";
    clear_margin(metric, margin):
        "clear the margin of {margin} for {metric}",
        "使{metric}的区间在界限 {margin} 之内";
    clear_limit(metric, limit): "keep {metric} within the limit of {limit}", "使{metric}在限值 {limit} 之内";
    raise_qos(threshold): "show a QoS above the threshold of {threshold}", "证明 QoS 达到阈值 {threshold}";
    qos_below(qos, by, threshold):
        "The QoS of {qos} lies {by} below the threshold of {threshold}. It needs a new release that reaches \
         the threshold, or a lower threshold.",
        "QoS {qos} 比阈值 {threshold} 低 {by}。需要达到阈值的新版本，或降低阈值。";
    qos_below_floor(qos, by, floor):
        "The QoS of {qos} lies {by} below the floor of {floor}. It needs a new release that reaches the \
         floor, or a lower floor.",
        "QoS {qos} 比下限 {floor} 低 {by}。需要达到下限的新版本，或降低下限。";

    // Evidence that has to grow.
    grows(days, ratio, asks):
        "It takes {days} more at {ratio} to {asks}, at today's traffic, if the effect stays as it is.",
        "按当前流量且效应不变，在 {ratio} 还需 {days}才能{asks}。";
    grows_users(days, ratio, users, asks, a_day):
        "It takes {days} more at {ratio} ({users}) to {asks}, at today's traffic of {a_day} users of the \
         candidate a day, if the effect stays as it is.",
        "按当前流量（候选每天 {a_day} 名用户）且效应不变，在 {ratio} 还需 {days}（{users}）才能{asks}。";
    one_more_user(): "1 more user", "还需 1 名用户";
    one_more_user_and_rows(): "1 more user and the rows of those who return", "还需 1 名用户及回访用户的记录";
    more_users(n): "{n} more users", "还需 {n} 名用户";
    more_users_and_rows(n):
        "{n} more users and the rows of those who return",
        "还需 {n} 名用户及回访用户的记录";
    larger_ratio(next, days): "At {next} it takes {days}.", "{next} 只需 {days}。";
    users_cannot(n, ratio, asks):
        "{n} users at {ratio} cannot {asks} within a year.",
        "{ratio} 的 {n} 名用户一年内无法{asks}。";
    traffic_cannot(ratio, asks):
        "The traffic at {ratio} cannot {asks} within a year.",
        "{ratio} 的流量一年内无法{asks}。";
    at_best(margin): "At best it clears a margin of {margin}.", "至多可判定 {margin} 的界限。";
    no_larger_ratio(): "No larger ratio is enough.", "更大的比例也不能。";
    no_larger_ratio_but(margin):
        "No larger ratio is enough. A margin of {margin} is, or more users.",
        "更大的比例也不能；放宽界限至 {margin} 或增加用户可以。";

    // Unknown numbers.
    lacks_column(name): "the log lacks a column that {name} needs", "日志缺少{name}所需的列";
    map_column(missing):
        "Map the missing column in [[input.traffic]].columns: {missing}.",
        "请在 [[input.traffic]].columns 中映射所缺的列：{missing}。";
    map_column_or_drop(missing):
        "Map the missing column in [[input.traffic]].columns, or remove the guardrail: {missing}.",
        "请在 [[input.traffic]].columns 中映射所缺的列，或移除该护栏：{missing}。";
    needs_groups(ratio, n, least):
        "{ratio} has {n} bucket groups, and an error needs 20: use {least} or more of the layer.",
        "{ratio} 只有 {n} 个分桶组，估计误差需要 20 个：请放量至 {least} 或更高。";
    needs_groups_of(name):
        "It needs users in at least 20 bucket groups in each release with a value of {name}.",
        "每个版本至少需要 20 个有{name}数据的分桶组。";
    needs_rows(name):
        "It needs rows of both releases with a value of {name}.",
        "两个版本都需要有{name}的记录。";
    not_known(name, reason): "{name} is not known: {reason}.", "{name}未知：{reason}。";
    needs_layer_rows(): "It needs rows of users of this layer in the log.", "日志中需要有该分层用户的记录。";
    needs_candidate_rows(candidate, ratio):
        "It needs rows of {candidate}: check that production serves it to {ratio} of the layer's users, and \
         that the log names it.",
        "需要 {candidate} 的记录：请确认线上对该分层 {ratio} 的用户提供了该版本，且日志写明了版本。";
    replay_under(ratio, at):
        "Replay and analyze the log under the ratios in force: give `--state` with the state, or write the \
         change to {ratio} at {at} as an [[operation]].",
        "请按当前比例重放并分析日志：用 `--state` 给出状态，或将 {at} 改为 {ratio} 的变更写成 [[operation]]。";

    // Users.
    none_came(n): "{n} more users are needed, and none has come yet.", "还需 {n} 名用户，目前尚无用户。";
    too_few_at(n, ratio, least):
        "The {n} eligible users at {ratio} are fewer than the {least} needed.",
        "{ratio} 只有 {n} 名可参与用户，少于所需的 {least} 名。";
    next_has_them(next): "{next} has them; or use a smaller min_users.", "{next} 可满足；或调低 min_users。";
    smaller_min_users(): "Use a smaller min_users, or a larger layer.", "请调低 min_users，或扩大分层。";
    users_in(n, days, a_day):
        "{n} more users are needed: {days} at today's traffic ({a_day} users a day so far).",
        "还需 {n} 名用户：按当前流量（每天 {a_day} 名）需 {days}。";
    users_never(n):
        "{n} more users are needed, and do not come within a year at today's traffic. Use a larger ratio, \
         or a smaller min_users.",
        "还需 {n} 名用户，按当前流量一年内无法达到。请提高比例，或调低 min_users。";

    // Layers before.
    before_rolled_back(layer): "{layer}: rolled back, needs a new release.", "{layer} 已回滚，需要新版本。";
    before_one_step(layer, from, to, dwell):
        "{layer}: still to rise from {from} to {to} (1 step of {dwell}).",
        "{layer} 须由 {from} 升至 {to}（1 级，停留 {dwell}）。";
    before_steps(layer, from, to, n, dwell):
        "{layer}: still to rise from {from} to {to} ({n} steps of {dwell} each).",
        "{layer} 须由 {from} 升至 {to}（{n} 级，每级停留 {dwell}）。";
    not_before(at): "That is not before {at}.", "最早为 {at}。";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::text::Text;

    #[test]
    fn days_are_rounded_so_that_they_suffice() {
        let says = |days: f64, en: &str, zh: &str| {
            let days = DaysNeeded(days);
            assert_eq!(
                (days.say(Lang::En), days.say(Lang::Zh)),
                (en.to_owned(), zh.to_owned())
            );
        };
        says(0.04, "0.1 days", "0.1 天");
        says(1.0, "1 day", "1 天");
        says(3.41, "3.5 days", "3.5 天");
        says(11.2, "12 days", "12 天");
        says(-1.0, "0 days", "0 天");
    }

    #[test]
    fn sentences_stand_beside_each_other() {
        let text = Text::sentences(&[no_larger_ratio(), needs_new_release()]);
        assert_eq!(text.en, "No larger ratio is enough. It needs a new release.");
        assert_eq!(text.zh, "更大的比例也不能。需要新版本。");
    }
}

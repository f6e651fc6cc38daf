//! Sentences of the checks and verdicts of a ramp.

use crate::bucket::Ratio;
use crate::stats::Interval;
use crate::words::lang::Lang;
use crate::words::style::{Number, Percent};
use crate::words::text::{Say, Text, texts};

impl Say for Ratio {
    fn say(&self, _: Lang) -> String {
        self.to_string()
    }
}

/// A value beside the limit that it is compared with: as many digits as show on which side of the
/// limit it lies, at least three.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside(pub(crate) f64, pub(crate) f64);

impl Say for Beside {
    fn say(&self, lang: Lang) -> String {
        let Self(value, limit) = *self;
        let shown = Number(value).say(lang);
        if value == limit || shown != Number(limit).say(lang) {
            return shown;
        }
        (4..17)
            .map(|digits| format!("{value:.digits$}"))
            .find(|text| text.parse() != Ok(limit))
            .unwrap_or(shown)
    }
}

/// A limit beside the value that is compared with it: as many digits as keep the order of both as the
/// sentence shows them, at least three.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LimitBeside {
    pub(crate) limit: f64,
    pub(crate) value: f64,
}

impl Say for LimitBeside {
    fn say(&self, lang: Lang) -> String {
        let Self { limit, value } = *self;
        let read = |text: &str| text.replace(',', "").parse::<f64>().ok();
        let shown = read(&Beside(value, limit).say(lang));
        let is_right = |text: &String| {
            let order = read(text)
                .zip(shown)
                .and_then(|(limit, value)| limit.partial_cmp(&value));
            order == limit.partial_cmp(&value)
        };
        let short = Number(limit).say(lang);
        std::iter::once(short.clone())
            .chain((4..17).map(|digits| format!("{limit:.digits$}")))
            .find(is_right)
            .unwrap_or(short)
    }
}

/// A share in per cent beside the share that it is compared with, as [`Beside`] writes numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShareBeside(pub(crate) f64, pub(crate) f64);

impl Say for ShareBeside {
    fn say(&self, lang: Lang) -> String {
        let Self(share, limit) = *self;
        let shown = Percent(share).say(lang);
        if share == limit || shown != Percent(limit).say(lang) {
            return shown;
        }
        format!("{}%", Beside(100.0 * share, 100.0 * limit).say(lang))
    }
}

texts! {
    // Verdicts.
    promoted(from, to):
        "Every check passed. Promoted from {from} to {to}.",
        "所有检查均已通过。由 {from} 放量至 {to}。";
    promoted_with_violations(n, from, to):
        "No check blocks. Guardrails that are violated in slices, which only warn here: {n}. Promoted from \
         {from} to {to}.",
        "没有检查阻止放量。切片中越界的护栏（此处仅告警）：{n} 项。由 {from} 放量至 {to}。";
    rolled_back(from, to): "Rolled back from {from} to {to}.", "由 {from} 回滚至 {to}。";
    kept_at(ratio): "Kept at {ratio}.", "保持在 {ratio}。";
    gate_failed(check, detail): "The gate failed at {check}: {detail}", "门禁在 {check} 处未通过：{detail}";
    gate_failed_in(check, layer, detail):
        "The gate failed at {check} of {layer}: {detail}",
        "门禁在 {layer} 的 {check} 处未通过：{detail}";
    together(layer):
        "{layer} is rolled back, and the plan rolls back as a whole.",
        "{layer} 已回滚，本计划整体回滚。";

    // Evidence.
    no_data_on_layer():
        "The log has no data on this layer. Not enough evidence.",
        "日志中没有该分层的数据，证据不足。";
    other_stage(ratio, start, in_force, since):
        "The evidence is about {ratio} since {start}, but {in_force} is in force since {since}.",
        "证据对应 {start} 起的 {ratio}，而 {since} 起生效的是 {in_force}。";
    no_row_to_assign(): "No row of the layer's users to check.", "没有该分层用户的记录可供检查。";
    candidate_seen(candidate, n):
        "{candidate} has answered; users so far: {n}.",
        "{candidate} 已服务 {n} 名用户。";
    candidate_not_seen(candidate, since, ratio):
        "The log has no row of {candidate} since {since}: there is no evidence on {ratio}.",
        "自 {since} 起日志中没有 {candidate} 的记录，{ratio} 没有证据。";
    not_in_force(ratio, at, missing):
        "{ratio} was decided at {at} and is not in force in every target: {missing} does not have it. \
         Publish again.",
        "{at} 已决定 {ratio}，但尚未在所有目标生效：{missing} 尚未更新。请重新发布。";
    a_target(): "a target", "某个目标";

    // Opening a layer.
    same_release(release, at):
        "{release} was rolled back here at {at}. The layer opens again with a new release.",
        "{release} 已于 {at} 在此回滚，需新版本才能重新开始。";
    new_release(old, new):
        "{old} was rolled back here; {new} is a new release.",
        "此前回滚的是 {old}，{new} 是新版本。";
    cool_down_ends(at): "The cool-down after the rollback ends at {at}.", "回滚后的冷静期至 {at} 结束。";
    cool_down_over(at): "The cool-down after the rollback ended at {at}.", "回滚后的冷静期已于 {at} 结束。";
    waits_for(layers):
        "The layer opens when this layer is at the end of its ladder: {layers}.",
        "等待 {layers} 走完放量阶梯后开始。";
    waits_for_all(layers):
        "The layer opens when these layers are at the end of their ladders: {layers}.",
        "等待 {layers} 走完放量阶梯后开始。";
    waits_for_none(): "No other layer has to reach the end of its ladder first.", "无需等待其他分层。";

    // Data of a stage.
    one_arm():
        "Only one release was planned, so there is no sample ratio to test.",
        "计划中只有一个版本，无需检验样本比。";
    split_as_planned(p, by):
        "The users are split as planned ({p}, off by at most {by}).",
        "用户分配符合计划（{p}，最多偏差 {by}）。";
    split_little(p, by):
        "The users are not split exactly as planned ({p}), but the difference of {by} has little impact.",
        "用户分配与计划略有出入（{p}），但偏差 {by}，影响很小。";
    split_wrong(p, by):
        "The users are not split as planned ({p}, off by {by}), so the numbers cannot be trusted.",
        "用户分配不符合计划（{p}，偏差 {by}），数据不可信。";
    leaked(n, share, most):
        "{n} users ({share}) got a release whose ratio was 0%; less than {most} is allowed.",
        "{n} 名用户（{share}）收到了比例为 0% 的版本，须低于 {most}。";
    no_leak(): "No user got a release whose ratio was 0%.", "没有用户收到比例为 0% 的版本。";
    crossover(n, share, most):
        "{n} users ({share}) got both releases; at most {most} may.",
        "{n} 名用户（{share}）收到过两个版本，至多允许 {most}。";
    no_crossover(): "No user got both releases.", "没有用户收到过两个版本。";
    misassigned(share, most):
        "{share} of all rows come from another release than bucket and ratio give; at most {most} may.",
        "{share} 的记录与分桶和比例应得的版本不符，至多允许 {most}。";
    assigned():
        "Every row comes from the release that bucket and ratio give.",
        "所有记录均与分桶和比例相符。";
    not_recomputable():
        "The assignment of users cannot be recomputed, so it is not checked.",
        "用户分配无法复算，未做检查。";

    // Size and time.
    users_enough(n, least):
        "{n} users got the candidate; at least {least} are needed.",
        "{n} 名用户用过候选，至少需要 {least} 名。";
    users_too_few(n, least):
        "Only {n} users got the candidate; at least {least} are needed.",
        "仅 {n} 名用户用过候选，至少需要 {least} 名。";
    dwell_over(held, ratio, dwell):
        "The layer has been at {ratio} for {held}; {dwell} are required.",
        "已在 {ratio} 停留 {held}，要求 {dwell}。";
    dwell_not_over(held, ratio, dwell):
        "The layer has been at {ratio} for only {held}; {dwell} are required.",
        "在 {ratio} 仅停留 {held}，要求 {dwell}。";
    next_step(next): "The next step is {next}.", "下一步为 {next}。";
    ladder_end(ratio):
        "The layer is at the end of its ladder ({ratio}). Checks continue.",
        "已在阶梯末级（{ratio}），继续监测。";
    frozen(until): "Changes are frozen until {until}.", "封网至 {until}，期间不放量。";
    not_frozen(): "Changes are not frozen.", "当前未封网。";

    // Approvals.
    approved(ratio, by): "{by} approved {ratio}.", "{by} 已批准 {ratio}。";
    needs_approval(ratio):
        "{ratio} needs the approval of a person: the layer is safety-critical.",
        "该分层涉及安全，{ratio} 需人工审批。";
    names_no_release(by, candidate):
        "The approval by {by} names no release: write candidate = \"{candidate}\".",
        "{by} 的审批未注明版本：请写明 candidate = \"{candidate}\"。";
    other_release(by, release, candidate):
        "The approval by {by} is for {release}, not for {candidate}.",
        "{by} 批准的是 {release}，不是 {candidate}。";
    by_program(by):
        "The approval by {by} is by a program, and a person has to approve.",
        "{by} 的审批由程序给出，须由人员审批。";
    before_plan(by, at):
        "The approval by {by} of {at} is older than the plan.",
        "{by} 于 {at} 的审批早于本计划。";
    in_future(by, at):
        "The approval by {by} of {at} is later than the known data.",
        "{by} 于 {at} 的审批晚于已有数据。";
    too_small(by, ratio): "The approval by {by} covers {ratio} only.", "{by} 的审批仅到 {ratio}。";

    // QoS.
    qos_unknown(reason): "The candidate's QoS is not known: {reason}.", "候选 QoS 未知：{reason}。";
    qos_is(qos): "The candidate's QoS is {qos}", "候选 QoS 为 {qos}";
    qos_within(qos, low, high):
        "The candidate's QoS is {qos} (between {low} and {high})",
        "候选 QoS 为 {qos}（{low} 至 {high}）";
    below_floor(qos, limit): "{qos}, below the floor of {limit}.", "{qos}，低于下限 {limit}。";
    above_floor(qos, limit): "{qos}, at or above the floor of {limit}.", "{qos}，不低于下限 {limit}。";
    maybe_below_floor(qos, limit):
        "{qos}. It is not shown to lie below the floor of {limit}.",
        "{qos}，尚不能证明低于下限 {limit}。";
    below_threshold(qos, limit): "{qos}, below the threshold of {limit}.", "{qos}，低于阈值 {limit}。";
    above_threshold(qos, limit): "{qos}, at or above the threshold of {limit}.", "{qos}，达到阈值 {limit}。";
    not_below_threshold(qos, limit):
        "{qos}. It is not shown to lie below the threshold of {limit}.",
        "{qos}，尚不能证明低于阈值 {limit}。";
    maybe_below_threshold(qos, limit):
        "{qos}, so it may lie on either side of the threshold of {limit}. Not enough evidence yet.",
        "{qos}，尚不能确定是否达到阈值 {limit}。证据尚不足。";

    // Gates.
    no_look(metric): "{metric} has had no look yet.", "{metric}尚未经过查看。";
    no_look_since_open(metric):
        "{metric} has had no look yet with evidence of the stages since the layer opened. Not enough \
         evidence yet.",
        "{metric}自分层开始以来尚无可用的查看。证据尚不足。";
    gate_crossed(metric, z, looks, at, bound, share):
        "{metric} got worse: the harm is {z} standard errors at look {looks} ({at}), above the boundary of \
         {bound}, with {share} of the planned information.",
        "{metric}变差：第 {looks} 次查看（{at}）的损害为 {z} 个标准误，越过边界 {bound}，信息量为计划的 \
         {share}。";
    gate_kept(metric, z, looks, at, bound, share):
        "{metric}: the harm is {z} standard errors at look {looks} ({at}), below the boundary of {bound}, \
         with {share} of the planned information.",
        "{metric}：第 {looks} 次查看（{at}）的损害为 {z} 个标准误，未越过边界 {bound}，信息量为计划的 \
         {share}。";
    gate_without_bound(metric, z, looks, at, share):
        "{metric}: the harm is {z} standard errors at look {looks} ({at}), without a boundary yet, with \
         {share} of the planned information.",
        "{metric}：第 {looks} 次查看（{at}）的损害为 {z} 个标准误，尚无边界，信息量为计划的 {share}。";
    last_needs_interval():
        "The last promotion needs an interval within its bounds.",
        "最后一次放量要求区间在界限之内。";
    has_no_gate(metric):
        "{metric} has no gate: its interval decides before the last promotion.",
        "{metric}没有成组序贯门控，最后一次放量前由区间判定。";
    information(metric, share):
        "{metric} has {share} of the planned information.",
        "{metric}的信息量为计划的 {share}。";
    information_short(metric, share):
        "{metric} has {share} of the planned information, and the last promotion needs all of it. Not \
         enough evidence yet.",
        "{metric}的信息量为计划的 {share}，最后一次放量需要全部。证据尚不足。";

    // The own past of a layer.
    own_past_fell(metric, observed, since, expected, span, margin):
        "{metric} is {observed} since {since}, where the layer's own past predicts {expected} ({span}, \
         {margin} allowed).",
        "{metric}自 {since} 起为 {observed}，按自身历史应为 {expected}（{span}，允许 {margin}）。";
    own_past_kept(metric, observed, since, expected):
        "{metric} is {observed} since {since}, and the layer's own past predicts {expected}: no worse than \
         allowed.",
        "{metric}自 {since} 起为 {observed}，按自身历史应为 {expected}，未见超出允许的变差。";
    own_past_unknown(metric):
        "{metric} is not compared with the layer's own past.",
        "{metric}未与自身历史比较。";
    own_past_unknown_why(metric, reason):
        "{metric} is not compared with the layer's own past: {reason}.",
        "{metric}未与自身历史比较：{reason}。";
    worse_by(low, high): "between {low} and {high} worse", "差 {low} 至 {high}";
    worse_at_least(low): "at least {low} worse", "至少差 {low}";

    // The coverage of the log.
    no_users(): "No user is eligible: the users table has no user.", "没有可参与的用户：用户表为空。";
    no_consent(n):
        "No user is eligible: none of {n} users has consented (column `is_allow_gray`).",
        "没有可参与的用户：{n} 名用户均未同意（列 `is_allow_gray`）。";
    all_matched(n):
        "All {n} rows of the log name a known user and release.",
        "日志的 {n} 行均有已知的用户与版本。";
    no_rows_to_match():
        "The log has no row between the plan's start and the end of the data.",
        "计划开始以来日志中没有记录。";
    share_of_rows(n, of, share): "{n} of {of} rows ({share})", "{of} 行中有 {n} 行（{share}）";
    unknown_user(rows, examples):
        "{rows} name a user who is not in the users table{examples}.",
        "{rows}的用户不在用户表中{examples}。";
    unknown_release(rows, baseline, candidate, examples):
        "{rows} name a release that is neither {baseline} nor {candidate}{examples}.",
        "{rows}的版本既非 {baseline} 也非 {candidate}{examples}。";
    some_of_them(): "Some of them", "其中部分";
    unusable(rows, reason): "{rows} cannot be used{reason}.", "{rows}无法使用{reason}。";
    in_brackets(text): " ({text})", "（{text}）";
    log_and_table(log, table): " (log: {log}; table: {table})", "（日志：{log}；用户表：{table}）";
    log_and_plan(log, plan): " (log: {log}; plan: {plan})", "（日志：{log}；计划：{plan}）";
    likely_cause(causes): "Likely cause: {causes}.", "可能原因：{causes}。";
    other_tenant(log, table):
        "the tenant (log: {log}; table: {table})",
        "租户不同（日志：{log}；用户表：{table}）";
    decimals(): "`.0` behind whole numbers", "整数后带有 `.0`";
    blanks(): "blanks around ids", "ID 前后有空格";
    letter_case(): "upper and lower case", "大小写不同";
    zeros(): "zeros before numbers", "数字前有补零";
    at_least_known(least):
        "At least {least} need a known user and release (guard.min_coverage).",
        "至少 {least} 的记录须有已知的用户与版本（guard.min_coverage）。";
    no_column(column): "the log has no column {column}", "日志缺少列 {column}";
    no_columns(columns): "the log has no columns {columns}", "日志缺少列 {columns}";
    rate_misses(rate, missing): "{rate}: {missing}", "{rate}：{missing}";
}

/// A value of QoS with its interval, beside the limit that it is compared with, as a clause.
pub(crate) fn qos_beside(qos: f64, interval: Interval, limit: f64) -> Text {
    let beside = |value| Beside(value, limit);
    qos_within(beside(qos), beside(interval.ci_lower), beside(interval.ci_upper))
}

/// Several clauses as one, separated by semicolons.
pub(crate) fn clauses(texts: &[Text]) -> Text {
    Text::new(|lang| {
        let separator = match lang {
            Lang::En => "; ",
            Lang::Zh => "；",
        };
        let texts: Vec<&str> = texts.iter().map(|text| text.of(lang)).collect();
        texts.join(separator)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_keeps_its_side_of_the_value() {
        let check = |value: f64, limit: f64, expected: [&str; 2]| {
            let limit_text = LimitBeside { limit, value }.say(Lang::En);
            assert_eq!([Beside(value, limit).say(Lang::En), limit_text], expected);
        };
        check(0.9728, 0.9726, ["0.9728", "0.9726"]);
        check(0.9728, 0.97, ["0.973", "0.97"]);
        check(2.4121, 2.4138, ["2.4121", "2.4138"]);
        check(0.999, 0.9995, ["0.999", "1"]);
        check(0.5, 0.5, ["0.5", "0.5"]);
    }

    #[test]
    fn a_value_shows_on_which_side_of_its_limit_it_lies() {
        let check = |value: f64, limit: f64, expected: &str| {
            assert_eq!(Beside(value, limit).say(Lang::En), expected);
        };
        check(0.8123, 0.85, "0.812");
        check(0.84999, 0.85, "0.84999");
        check(0.8498, 0.85, "0.8498");
        check(0.85, 0.85, "0.85");
        check(0.1 + 0.2, 0.3, "0.3");
        assert_eq!(ShareBeside(0.00102, 0.001).say(Lang::En), "0.102%");
        assert_eq!(ShareBeside(0.0010002, 0.001).say(Lang::En), "0.10002%");
    }

    #[test]
    fn a_qos_names_its_interval() {
        let text = qos_beside(0.8123, Interval::around(0.8123, 0.02), 0.85);
        assert_eq!(text.en, "The candidate's QoS is 0.812 (between 0.792 and 0.832)");
        assert_eq!(text.zh, "候选 QoS 为 0.812（0.792 至 0.832）");
    }
}

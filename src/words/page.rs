//! Texts of pages in all languages, as one table. A missing translation is a compile error.
//!
//! Ids, names of checks and texts of documents are not translated, so that a report can be compared
//! with its documents.

use crate::words::lang::Lang;

impl Lang {
    /// The texts of pages in this language.
    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::En => &EN,
            Self::Zh => &ZH,
        }
    }
}

macro_rules! words {
    ($($name:ident: $en:literal, $zh:literal;)*) => {
        /// The texts of one language. [`fill`] replaces `{0}`, `{1}` and so on.
        #[derive(Debug)]
        pub(crate) struct Words {
            $(pub(crate) $name: &'static str,)*
        }

        static EN: Words = Words { $($name: $en,)* };
        static ZH: Words = Words { $($name: $zh,)* };

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $zh),)*];
    };
}

words! {
    lang: "en", "zh-CN";

    // Columns.
    tenant: "tenant", "租户";
    layer: "layer", "分层";
    metric: "metric", "指标";
    users: "users", "用户数";
    exposed: "exposed", "已触达";
    qos_baseline: "QoS baseline", "基线 QoS";
    qos_candidate: "QoS candidate", "候选 QoS";
    srm: "SRM", "样本比（SRM）";
    verdict: "verdict", "结论";
    ratio: "ratio", "放量比例";
    why: "why", "原因";
    check: "check", "检查项";
    changes: "Changes of ratios", "放量比例变更";
    changes_note:
        "When each change was decided, and when the last target had it.",
        "每次变更的决定时间，以及最后一个目标生效的时间。";
    decided_at: "decided", "决定时间";
    in_force_at: "in force", "生效时间";
    not_in_force: "not in every target", "尚未在所有目标生效";
    change: "change", "变更";
    kind: "kind", "类型";
    by: "by", "操作者";
    outcome: "outcome", "结果";
    found: "found", "观测值";
    remedy: "what would make it pass", "如何才能通过";
    baseline: "baseline", "基线";
    candidate: "candidate", "候选";
    effect: "effect", "效应";
    interval: "interval", "置信区间";
    relative: "relative", "相对变化";
    p: "p", "p 值";
    from: "from", "起始时间";
    baseline_users: "baseline users", "基线用户";
    candidate_users: "candidate users", "候选用户";
    chi_square: "chi-square", "卡方";
    deviation: "deviation", "偏差";
    leaked: "leaked", "泄漏";
    name: "name", "名称";
    share: "share", "占比";
    eligible: "eligible", "可参与";
    note: "note", "备注";
    what: "what", "项目";
    count: "count", "数量";
    file: "file", "文件";
    digest: "digest", "摘要";

    // The study's report.
    against: "{0} against {1}, as of {2}", "{0} 对比 {1}，数据截至 {2}";
    answer: "Answer", "结论";
    to_decide: "To decide: {0}", "如何得出结论：{0}";
    to_pass: "To pass: {0}", "通过条件：{0}";
    gate_line: "Gate: {0}", "门禁：{0}";
    inconclusive_means:
        "Inconclusive means: the data show no harm, but do not exclude it either.",
        "证据不足是指：数据未显示损害，但也不能排除损害。";
    layers_keep: "{0} layers keep their ratio", "{0} 个分层保持当前比例";
    layer_keeps: "1 layer keeps its ratio", "1 个分层保持当前比例";
    layers_more: "{0} more layers change or need a person", "另有 {0} 个分层有变动或需人工处理";
    layer_line: "**{0}**: {1}, {2}. {3}", "**{0}**：{1}，{2}。{3}";
    about: "About this study", "关于本研究";
    inside_numbers:
        "users, quality, evidence, and what would decide each layer",
        "用户、质量、证据，以及各分层如何得出结论";
    inside_rows: "{0} rows", "{0} 行";
    inside_charts: "{0} charts", "{0} 张图";
    inside_chart: "a chart", "1 张图";
    inside_checks: "every check of {0} layers, in order", "{0} 个分层的全部检查，按顺序";
    inside_check: "every check of the layer, in order", "该分层的全部检查，按顺序";
    inside_users: "sizes and scores of {0} layers", "{0} 个分层的人数与得分";
    inside_files: "digests of {0} files", "{0} 个文件的摘要";
    harms_left:
        "{0} guardrails with still less harm are left out. analysis.json has all.",
        "损害更小的 {0} 项护栏未绘出，完整数据见 analysis.json。";
    inside_harms: "{0} further guardrails with less harm", "其余 {0} 项损害较小的护栏";
    warned_checks: "{0} warnings of the gate", "门禁的 {0} 项警告";
    copied: "Link copied", "链接已复制";
    save_as: "Save the chart as {0}", "将图表保存为 {0}";
    local_time: "time ({0})", "时间（{0}）";
    ratio_axis: "ratio (square-root scale)", "放量比例（平方根刻度）";
    decisions: "Decisions", "放量决策";
    decisions_caption: "What happens to each layer, and why", "各分层的处置及原因";
    evidence_caption: "Evidence of each verdict, baseline / candidate", "各结论所依据的证据（基线 / 候选）";
    evidence_rows: "rows in the stage", "当前阶段行数";
    evidence_users: "users in the stage", "当前阶段用户数";
    evidence_eligible: "eligible users", "可参与用户数";
    evidence_matched:
        "Rows of the log with a known user and release: {0}.",
        "用户与版本均已知的日志行：{0}。";
    outlook: "What would decide each layer that keeps its ratio", "各个保持比例的分层如何才能得出结论";
    outlook_distance: "distance to passing", "距通过的差距";
    outlook_users: "more users", "还需用户";
    outlook_days: "more days", "还需天数";
    outlook_smallest: "smallest margin within a year", "一年内可判定的最小界限";
    outlook_ratio: "larger ratio that is enough", "可判定的更大比例";
    outlook_ratio_days: "{0} in {1} days", "{0}（{1} 天）";
    outlook_text: "what has to happen", "需要做什么";
    outlook_note:
        "Days and users are at today's traffic, if the effect stays as it is.",
        "天数与用户数按当前流量计算，并假定效应保持不变。";
    undecided_beyond: "never: beyond the limit", "不会通过：已超出界限";
    undecided_year: "more than a year", "超过一年";
    undecided_users: "never: too few users", "不会通过：用户不足";
    undecided_groups: "never: too few groups", "不会通过：分桶组过少";
    undecided_column: "never: no column", "不会通过：日志缺少列";
    undecided_data: "not known: no data", "未知：没有数据";
    gate: "Gate", "门禁";
    layers_shown:
        "{0} of {1} layers are shown: rollbacks, then layers that need a person, then promotions, then \
         those with the most users of the candidate. Checks of the other layers are left out here. \
         schedule.json, analysis.json, gate_report.json and tables hold all layers.",
        "共 {1} 个分层，此处显示 {0} 个：先是回滚，其次是需要人工处理的分层，再是放量，然后按候选用户数由多\
         到少；其余分层的检查在此省略。schedule.json、analysis.json、gate_report.json 与 tables 含全部分层。";
    gate_open: "Checks that did not pass", "未通过的检查";
    harm: "How much worse is the candidate?", "候选版本差多少？";
    harm_note:
        "Each line is the interval of one guardrail, in units of what is allowed: 0 is no difference, 1 is \
         the limit.",
        "每条线是一项护栏的区间，以界限为单位：0 表示无差异，1 表示达到界限。";
    harm_title: "Harm in units of the margin ({0})", "损害（以界限为单位，{0}）";
    harm_label: "{0}: {1}", "{0}：{1}";
    harm_anytime: "intervals hold at every look", "区间在每次查看均有效";
    harm_fixed: "intervals hold at one look", "区间仅对单次查看有效";
    harm_gates:
        "intervals hold at every look; gates decide promotions",
        "区间在每次查看均有效；放量由成组序贯门控决定";
    harm_row: "{0} {1} margins", "{0}：界限的 {1} 倍";
    harm_violated: "{0} (violated)", "{0}（超限）";
    harm_none: "No guardrail has an interval yet.", "尚无护栏指标得到区间。";
    no_candidate: "No row of the candidate yet: nothing to compare.", "尚无候选版本的数据，无从比较。";
    better: "← better", "← 更好";
    margin: "limit", "上限";
    worse: "worse than allowed →", "超出允许 →";
    quality: "Quality over time", "质量随时间变化";
    quality_none: "QoS is not known in any layer.", "所有分层的 QoS 均未知。";
    quality_note:
        "Curves with the intervals for one look as bands; vertical lines mark ratio changes.",
        "曲线及其单次查看的区间带；竖线表示放量比例变化。";
    qos_over_time: "QoS over time: {0}", "QoS 随时间变化：{0}";
    from_to: "{0} from {1} to {2}", "{0} 由 {1} 变为 {2}";
    ratios: "Ratios over time, and from now on", "放量比例：历史与后续";
    ratio_to: "{0} {1} to {2}", "{0}：{1} 变为 {2}";
    n_layers: "{0} layers", "{0} 个分层";
    now: "now", "现在";
    points: "{0} points", "{0} 个百分点";
    effects: "Effects in the current stage", "当前阶段的效应";
    effects_note:
        "Candidate minus baseline, same layer, same time. The interval holds at every look.",
        "候选减基线，同一分层、同一时段。区间在每次查看均有效。";
    effects_caption: "Effects", "效应";
    limits: "Limits of values", "取值上下限";
    limits_note:
        "A row's value beyond a limit counts as the limit, in both releases.",
        "行的值超出上下限时按上下限计，两个版本相同。";
    limits_floor: "lower limit", "下限";
    limits_cap: "upper limit", "上限";
    limits_from: "limits from", "上下限来源";
    limits_declared: "the scenario", "场景";
    limits_quantile: "quantile {0} of {1} values of the baseline", "基线 {1} 个值的 {0} 分位数";
    limits_not_final:
        "quantile {0} of {1} values of the baseline, which new rows still change",
        "基线 {1} 个值的 {0} 分位数，新的行仍会改变它";
    rows_beyond_baseline: "baseline rows beyond", "基线超限行";
    rows_beyond_candidate: "candidate rows beyond", "候选超限行";
    sample_ratios: "Sample ratios", "样本比";
    local_times:
        "Days and times without an offset are those of {0}.",
        "未注明偏移量的日期与时间均为 {0} 当地时间。";
    sample_ratios_note:
        "Distinct eligible users of each stage against the planned ratio.",
        "各阶段去重的可参与用户数与计划比例之比较。";
    alarm: "{0} (alarm)", "{0}（告警）";
    traces: "How each verdict came about", "各结论如何得出";
    imports: "Traces read", "链路读取";
    traces_files: "files of {0}", "{0} 文件数";
    since_known: "  known", "  已读";
    since_grown: "  with more lines", "  有新增行";
    since_new: "  new", "  新文件";
    since_missing: "  not there any more", "  已不存在";
    since_replaced: "  replaced by a new file of the same name", "  同名的新文件";
    since_waiting: "  with an incomplete last line", "  末行尚不完整";
    since_waiting_bytes: "bytes that wait", "待续字节数";
    since_amended: "traces amended", "已补充的链路";
    since_bytes: "bytes read", "读取字节数";
    traces_rows: "rows", "行数";
    traces_bad_rows: "left out, {0}", "已剔除：{0}";
    traces_traces: "traces", "链路数";
    traces_turns: "turns", "轮次数";
    traces_without: "turns without {0}", "缺少 {0} 的轮次";
    traces_failed: "turns that failed", "失败的轮次";
    traces_eval: "turns of evaluations", "评测产生的轮次";
    traces_shadow: "turns not shown to users", "未展示给用户的轮次";
    traces_fallback: "turns with another model", "由其他模型应答的轮次";
    traces_retried: "turns with retries", "有重试的轮次";
    traces_of_others: "traces without agents", "不含智能体的链路";
    traces_no_root: "traces without a root", "缺少根节点的链路";
    traces_many_roots: "traces of several roots", "有多个根节点的链路";
    traces_no_time: "traces without a time", "缺少时间的链路";
    traces_skew: "traces whose clocks differ", "时钟不一致的链路";
    traces_repeated: "spans sent again", "重复上报的 span";
    traces_spans: "spans: {0}", "span：{0}";
    traces_passed_over: "not counted: {0}", "未计入：{0}";
    traces_tokens_in: "input tokens", "输入 token";
    traces_cached: "  of them cached", "  其中来自缓存";
    traces_tokens_out: "output tokens", "输出 token";
    traces_cache_beside: "spans with cached tokens beside input", "缓存 token 未含在输入中的 span";
    traces_cost_logged: "cost in the files", "文件中的成本";
    traces_cost_priced: "cost by prices", "按价目表计算的成本";
    traces_no_cost: "turns without a cost", "没有成本的轮次";
    traces_tools: "tool calls", "工具调用";
    traces_tools_failed: "  of them failed", "  其中失败";
    traces_score: "{0} from {1}", "{0}（来自 {1}）";
    traces_score_counts:
        "{0} joined, {1} ambiguous, {2} without a turn, {3} late",
        "{0} 条已关联，{1} 条不明确，{2} 条无对应轮次，{3} 条迟到";
    traces_unmapped: "score without a rule: {0}", "没有规则的评分：{0}";
    traces_caption: "Checks in order: {0}", "依次检查：{0}";
    layers: "Layers", "用户分层";
    layers_note:
        "{0} users, {1} of them eligible, by {2} at {3}.",
        "共 {0} 名用户，其中 {1} 名可参与；分层方式 {2}，时刻 {3}。";
    users_per_layer: "Users per layer", "各分层用户数";
    users_legend: "dark: eligible, light: did not consent", "深色：可参与；浅色：未同意";
    users_eligible: "{0}: {1} users ({2}), {3} eligible", "{0}：{1} 名用户（{2}），{3} 名可参与";
    scores: "A-RFM scores", "A-RFM 得分";
    scores_note: "most users score between {0} and {1}", "多数用户得分在 {0} 到 {1} 之间";
    score: "score", "得分";
    too_small: "too small to judge", "人数过少，无法判断";
    data_quality: "Data quality", "数据质量";
    counts: "Counts", "计数";
    inputs: "Inputs", "输入";
    inputs_note: "sluice {0}, seed {1}, scenario {2}.", "sluice {0}，随机种子 {1}，场景 {2}。";
    allowed_columns:
        "Columns with a sensitive name, and why rules may use them",
        "名称含敏感属性但允许规则使用的列及理由";
    column: "column", "列";
    files: "Files", "文件";
    thinned:
        "Of {0} points of curves {1} are drawn: a curve of many points keeps the first, last, lowest and \
         highest of each stretch. The documents hold all.",
        "曲线共 {0} 个点，绘出 {1} 个：点数过多的曲线，每段保留首、末、最低、最高点。完整数据见各 JSON 文档。";

    // Counts of the data's quality.
    no_last_use: "users without a last use", "缺少最近使用时间的用户";
    no_use_count: "users without a use count", "缺少使用次数的用户";
    no_value: "users without a value", "缺少价值的用户";
    no_accept: "users without an acceptance score (A counts as 0)", "缺少接受度得分的用户（A 按 0 计）";
    unknown_users:
        "users without any feature (assigned by layering.unknown)",
        "没有任何特征的用户（按 layering.unknown 归层）";
    tagged: "users placed by a tag rule", "按标签规则归层的用户";
    clamped: "parts clamped: recency, frequency, value, acceptance", "被截断的分量：近度、频度、价值、接受度";
    duplicates: "further rows of users that were there already", "重复用户的多余行";
    events_used: "events used", "使用的事件";
    events_after: "events at or after as_of (not known yet)", "as_of 及之后的事件（尚不可知）";
    user_rows_out: "user rows left out: {0}", "剔除的用户行：{0}";
    traffic_rows: "traffic rows", "流量行";
    rows_baseline: "rows in the baseline", "基线的行";
    rows_candidate: "rows in the candidate", "候选的行";
    rows_ineligible: "rows of users who did not consent (in neither arm)", "未同意用户的行（不计入任何组）";
    rows_ineligible_candidate: "of these: answered by the candidate all the same", "其中仍由候选应答";
    rows_unknown_release: "rows of an unknown release", "未知版本的行";
    rows_unknown_user: "rows of users without a layer", "无分层用户的行";
    rows_settling: "rows while a ratio changed, in no arm", "放量比例变更期间的行（不计入任何组）";
    rows_shadow: "shadow rows", "影子流量行";
    rows_before: "rows before the plan's start", "计划开始前的行";
    rows_after: "rows at or after as_of", "as_of 及之后的行";
    rows_other_layer: "rows logged with another layer", "标记为其他分层的行";
    rows_bad: "bad rows left out", "剔除的坏行";
    rows_misassigned: "rows in another release than bucket and ratio say", "版本与分桶和比例不符的行";
    rows_below_resolution:
        "rows whose {0} is not 0 but below the resolution, counted as 0",
        "{0} 不为 0 但低于分辨率、按 0 计的行";
    traffic_rows_out: "traffic rows left out: {0}", "剔除的流量行：{0}";
    crossovers:
        "users seen in both releases within a stage (left out of user counts)",
        "同一阶段内两个版本都出现的用户（不计入用户数）";

    // The forecast.
    forecast: "{0}: forecast", "{0}：推演";
    forecast_note:
        "{0} runs of each plan in each world, {1} days, seed {2}. Numbers rest on: {3}.",
        "每个方案在每个情景下运行 {0} 次，{1} 天，随机种子 {2}。数据依据：{3}。";
    no_run:
        "0% of the runs means less than {0}, 100% more than {1} (95% interval).",
        "0% 表示低于 {0}，100% 表示高于 {1}（95% 区间）。";
    findings: "Contradictions in the plans", "自相矛盾之处";
    warnings: "Warnings on the plans", "对方案的提醒";
    unfinished: "Where unfinished runs end", "未完成的运行停在何处";
    unfinished_caption:
        "Steps at which unfinished runs end, and what would let them go on",
        "未完成的运行所停留的步骤，以及如何才能继续";
    plans: "Plans", "方案";
    plans_caption:
        "Plans side by side; ± is the Monte Carlo error, in points",
        "方案对比；± 为蒙特卡洛误差（百分点）";
    plan: "plan", "方案";
    decided_by: "decided by", "决策规则";
    world: "world", "情景";
    world_title: "World: {0}", "情景：{0}";
    harmful: "{0} (harmful)", "{0}（有害）";
    rollback_percent: "rollback", "回滚";
    srm_percent: "SRM halt", "SRM 停止";
    unfinished_percent: "unfinished", "未完成";
    days_to_full: "days to full", "全量所需天数";
    days_to_rollback: "days to rollback", "回滚所需天数";
    users_exposed: "users exposed", "触达用户";
    users_at_rollback: "users at rollback", "回滚时用户";
    cost: "cost", "成本";
    fan_title: "Ratios of \"{0}\" in \"{1}\"", "“{0}”在“{1}”中的放量比例";
    fan_note: "median and the range of nine runs in ten", "中位数及九成运行的范围";
    fan_words: "{0}: {1} rolled back, full after {2} days", "{0}：{1} 回滚，{2} 天后全量";
    full_title: "Time until every layer is full, in \"{0}\"", "“{0}”中所有分层达到全量的时间";
    full_words: "{0}: {1} days", "{0}：{1} 天";
    days: "days", "天";
    share_of_runs: "share of runs", "运行占比";
    exceed_title: "Probability to exceed a {0}, in \"{1}\"", "“{1}”中超过给定{0}的概率";
    harm_amount: "harm", "损害";
    probability: "probability", "概率";
    fastest: "Fastest schedules", "最快排期";
    fastest_note: "For {0}, with a harm of {1} that must not be missed.", "针对 {0}，不得漏检的损害为 {1}。";
    ladder: "ladder", "阶梯";
    dwell: "dwell, h", "停留（小时）";
    false_rollback: "false rollback", "误回滚";
    missed: "missed", "漏检";
    plans_ranked: "What each plan would do, the best first", "各方案的表现，由优到劣";
    harm_worst: "harm in its worst world", "最差情景下的损害";
    inside_layers: "trade-offs and schedules of {0} layers", "{0} 个分层的权衡与排期";
    exactly: "{0}, exactly", "{0}，精确计算";
    as_run: "{0}, run", "{0}，模拟运行";
    chosen_caption: "Chosen schedules, exactly and as run", "选中的排期：精确计算与模拟运行";
    front_title: "Time against harm: {0}", "时间与损害的权衡：{0}";
    days_if_good: "days to full if good", "良好版本全量天数";
    harm_if_bad: "expected harm if bad", "不良版本预期损害";

    // Controls.
    filter: "Filter", "筛选";
    all: "all", "全部";
    show_all: "Show all", "显示全部";
    rows_shown: "{0} of {1} rows", "显示 {0}/{1} 行";
    to_dark: "Dark", "深色";
    to_light: "Light", "浅色";
    reset_zoom: "Reset zoom", "重置缩放";

    // The gate of a release.
    gate_title: "Gate of {0}", "{0} 的发布门禁";
    compared_with: "Compared with {0}.", "对照版本：{0}。";
    gate_record: "Record", "发布记录";
    gate_c1: "C1: tool schemas", "C1：工具 schema";
    gate_c2: "C2: evaluations", "C2：评测";
    gate_c3: "C3: injection", "C3：注入";
    gate_c4: "C4: cost", "C4：成本";
    gate_c5: "C5: tools that change things", "C5：写操作工具";
    gate_output: "Forbidden outputs", "禁用输出";
    gate_approval: "Approvals", "审批";
    gate_canary: "Canary", "灰度检查";
    gate_ramp: "Ramp", "放量";
    case_by_case: "Candidate against baseline, case by case", "候选与基线逐例对比";
    same_cases: "Metrics on the same cases", "同一批用例上的指标";
    suite: "suite", "用例集";
    pairs: "pairs", "配对数";
    allowed: "allowed", "允许劣化";
    p_adj: "p (corrected)", "校正 p 值";
    n_better: "better", "变好";
    n_worse: "worse", "变差";
    case: "case", "用例";
    cases_lost: "Cases that got worse", "变差的用例";
    cases_gained: "Cases that got better", "变好的用例";
    cases_of: "{0} of {1}, {2}: {3}", "{1} 的 {0}，共 {2} 例：{3}";
    harm_of_cases:
        "Harm in units of what is allowed, on the same cases",
        "同一批用例上的损害（以界限为单位）";
    roll_back: "Roll back, one dimension at a time", "回滚步骤（每次一个维度）";
    roll_back_note: "The next one only if the one before did not help", "上一步无效再做下一步";
    step: "step", "步骤";
    not_asked: "Not asked", "未检查";
    rests_on: "What the report rests on", "报告依据";
    input: "input", "输入";
    chart_keys:
        "Arrow keys show values, plus and minus zoom, zero resets",
        "方向键查看数值，加减号缩放，数字 0 重置";
}

impl Words {
    /// The columns of the table of changes.
    pub(crate) fn change_columns(&self) -> [&'static str; 7] {
        [
            self.tenant,
            self.layer,
            self.decided_at,
            self.in_force_at,
            self.change,
            self.kind,
            self.by,
        ]
    }
}

impl Words {
    /// Returns a status word of the documents. In other languages than English its translation
    /// precedes it.
    pub(crate) fn badge(&self, word: &str) -> String {
        let translated = match word {
            _ if std::ptr::eq(self, &raw const EN) => None,
            "promote" => Some("放量"),
            "hold" => Some("保持"),
            "rollback" => Some("回滚"),
            "inconclusive" => Some("证据不足"),
            "invalid" => Some("数据无效"),
            "pass" => Some("通过"),
            "warn" => Some("警告"),
            "fail" => Some("未通过"),
            "skip" => Some("不适用"),
            "keeps" => Some("满足限制"),
            "breaks" => Some("超出限制"),
            "unclear" => Some("尚不确定"),
            _ => None,
        };
        translated.map_or_else(|| word.to_owned(), |translated| format!("{translated} {word}"))
    }

    /// Returns the filter of a column by its name in any language. `None` for a column without a
    /// filter.
    pub(crate) fn key_of(column: &str) -> Option<&'static str> {
        let of = |word: fn(&Self) -> &'static str| [&EN, &ZH].into_iter().any(|words| word(words) == column);
        [
            ("tenant", of(|w| w.tenant)),
            ("layer", of(|w| w.layer)),
            ("metric", of(|w| w.metric)),
            ("world", of(|w| w.world)),
        ]
        .into_iter()
        .find_map(|(key, is)| is.then_some(key))
    }
}

/// Fills the gaps of a sentence in one pass. Gaps in the inserted texts stay as they are.
pub(crate) fn fill(sentence: &str, parts: &[&str]) -> String {
    let mut filled =
        String::with_capacity(sentence.len() + parts.iter().map(|part| part.len()).sum::<usize>());
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let part = after
            .split_once('}')
            .and_then(|(idx, tail)| Some((parts.get(idx.parse::<usize>().ok()?)?, tail)));
        if let Some((part, tail)) = part {
            filled.push_str(part);
            rest = tail;
        } else {
            filled.push('{');
            rest = after;
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translations_have_the_same_gaps() {
        for (name, en, zh) in ALL {
            let gaps = |text: &str| {
                (0..6)
                    .map(|idx| text.matches(&format!("{{{idx}}}")).count())
                    .collect::<Vec<_>>()
            };
            assert_eq!(gaps(en), gaps(zh), "{name}");
            assert!(!zh.trim().is_empty(), "{name}");
        }
    }

    #[test]
    fn what_is_filled_in_is_not_searched() {
        assert_eq!(fill("{0} and {1}", &["{1}", "b"]), "{1} and b");
        assert_eq!(fill("{no} {7} {", &["a"]), "{no} {7} {");
    }

    #[test]
    fn columns_have_the_same_key_in_every_language() {
        for words in [&EN, &ZH] {
            assert_eq!(Words::key_of(words.layer), Some("layer"));
            assert_eq!(Words::key_of(words.why), None);
        }
    }
}

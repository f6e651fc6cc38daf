//! Sentences of the gate of a release: what each check found, and what would make it pass.

use crate::words::text::{Text, texts};

/// The id of each check, and what it is about in English and Chinese.
const TITLES: &[(&str, &str, &str)] = &[
    ("immutable", "record unchanged", "发布记录未被修改"),
    ("baseline", "compared with its baseline", "对照正确的基线"),
    ("references", "references name one version", "引用指向固定版本"),
    ("digests", "digests are whole", "摘要完整"),
    ("moved_reference", "references keep their content", "引用内容未变"),
    ("single_dimension", "one dimension changes", "只变更一个维度"),
    ("rollback_target", "a release to return to", "有可回滚的版本"),
    ("retention", "the rollback target is kept", "回滚版本仍保留"),
    ("tenant", "records of one tenant", "同一租户的记录"),
    ("cache_key", "caches stay separate", "缓存互不混用"),
    (
        "eval_fresh",
        "evaluated after the last change",
        "评测晚于最后一次变更",
    ),
    ("eval_report", "report of the evaluation", "评测报告"),
    ("tool_bundle", "tools as in the record", "工具集与记录一致"),
    ("tool_schema", "tools break no caller", "工具变更不影响调用方"),
    (
        "tool_safety",
        "tools are as strict as before",
        "工具安全设置未放松",
    ),
    (
        "tool_arguments",
        "logged calls fit the new tools",
        "历史调用符合新工具",
    ),
    ("eval_cases", "cases match", "用例可配对"),
    (
        "eval_threshold",
        "evaluation reaches its thresholds",
        "评测达到阈值",
    ),
    ("eval_regression", "no worse than the baseline", "不劣于基线"),
    ("eval_slices", "no slice is worse", "各切片均不劣化"),
    ("injection", "withstands attacks", "能抵御注入攻击"),
    ("cost", "costs no more than allowed", "成本在允许范围内"),
    ("write_tools", "people confirm writes", "写操作经人工确认"),
    ("forbidden_substrings", "no forbidden text", "无禁用文本"),
    ("approvers", "approved by people", "已由人员审批"),
    ("canary", "canary does no harm", "灰度无劣化"),
];

/// What a check is about, by its id. A check of a study keeps its id.
pub(crate) fn check_title(id: &str) -> Text {
    match TITLES.iter().find(|(of, _, _)| *of == id) {
        Some((_, en, zh)) => Text {
            en: (*en).to_owned(),
            zh: (*zh).to_owned(),
        },
        None => id.into(),
    }
}

texts! {
    // The answer.
    may_start(candidate, n):
        "{candidate} may start: all {n} checks passed.",
        "{candidate} 可以开始放量：{n} 项检查全部通过。";
    may_start_warned(candidate, n, of):
        "{candidate} may start, with warnings in {n} of {of} checks.",
        "{candidate} 可以开始放量，但有警告：{of} 项检查中 {n} 项需要查看。";
    not_decided(candidate, n, of):
        "{candidate} may not start yet: {n} of {of} checks without enough evidence.",
        "{candidate} 暂不能开始放量：{of} 项检查中 {n} 项证据不足。";
    may_not_start(candidate, n, of):
        "{candidate} may not start: {n} of {of} checks failed.",
        "{candidate} 不能开始放量：{of} 项检查中 {n} 项未通过。";
    no_checks(candidate):
        "{candidate} may not start yet: no check was made.",
        "{candidate} 暂不能开始放量：没有执行任何检查。";
    next_start(): "Start the ramp at its first step.", "可以从第一级开始放量。";
    next_look():
        "Look at the warnings, then start the ramp at its first step.",
        "查看警告后，可以从第一级开始放量。";
    to_pass(remedy): "to pass: {remedy}", "如何通过：{remedy}";
    roll_back_first(step): "Roll back first: {step}", "先回滚：{step}";
    other_results(n):
        "Results of other releases are left out: {n}.",
        "{n} 条评测结果属于其他版本，未计入。";
    gate_is(candidate, outcome): "gate of {candidate}: {outcome}", "{candidate} 的门禁：{outcome}";
    lifted(by): "Lifted by {by}.", "由 {by} 人工放行。";
    next_pass(check, remedy): "To pass {check}: {remedy}", "要通过 {check}：{remedy}";
    named(check, text): "{check}: {text}", "{check}：{text}";

    // The page.
    may_it_start(): "May it start?", "可以开始放量吗？";
    yes(): "yes", "可以";
    yes_with_warnings(): "yes, with warnings", "可以，但有警告";
    not_enough_evidence(): "not enough evidence", "证据不足";
    no(): "no", "不可以";
    inconclusive_is():
        "\"Inconclusive\" means that the evidence proves neither harm nor safety. It never counts as passed.",
        "“证据不足”表示现有数据既不能证明有害，也不能证明安全，不算通过。";
    open_checks(n): "Checks to look at: {n}", "需要查看的检查：{n} 项";
    passed_checks(n): "{n} checks passed", "{n} 项检查通过";
    how_matched(): "How cases were matched", "用例如何配对";
    matched_caption(): "Only cases of both releases are compared", "只比较两个版本都有的用例";
    column_matched_by(): "matched by", "配对依据";
    column_in_both(): "in both", "两者都有";
    column_only_before(): "only baseline", "仅基线";
    column_only_now(): "only candidate", "仅候选";
    column_conflicts(): "ids with other inputs", "输入不同的 id";
    slices(): "Slices, the worst first", "切片（由差到好）";
    slices_caption(by): "Slices by {by}", "按 {by} 切片";
    column_slice(): "slice", "切片";
    column_change(): "change", "变化";
    column_verdict(): "verdict", "结论";
    passed_title(): "Checks that passed", "通过的检查";
    n_checks(n): "{n}", "{n} 项";
    n_files(n): "{n} with digests", "{n} 个文件及其摘要";
    cases(n): "{n}", "{n} 个";
    harm_note():
        "Each interval is the harm in units of what is allowed: right of 1 is worse than allowed, left of 0 \
         is better.",
        "区间为损害与界限之比：大于 1 表示超出界限，小于 0 表示改善。";
    no_comparison(): "No comparison has an interval yet.", "尚无带区间的比较。";

    // Checks that were not made.
    off_in_policy(check): "{check}: off in the policy", "{check}：策略中已关闭";
    no_analysis(check): "{check}: no analysis was given", "{check}：未提供灰度分析";
    policy_names_none(check): "{check}: the policy names none", "{check}：策略未作设置";
    policy_compares_nothing(check): "{check}: the policy compares nothing", "{check}：策略未设置对比指标";
    policy_names_no_slices(check): "{check}: the policy names no slices", "{check}：策略未设置切片";
    no_users(check): "{check}: the evidence names no users", "{check}：证据没有写明用户数";
    no_layer(check): "{check}: the log names no layer", "{check}：日志没有写明分层";
    not_recomputable(check):
        "{check}: the assignment of users cannot be recomputed",
        "{check}：用户分配无法重算";
    no_cap(check): "{check}: the policy has no cap", "{check}：策略未设上限";
    no_registry(check): "{check}: no registry was given", "{check}：未提供版本登记文件";
    no_calls(check): "{check}: no logged calls were given", "{check}：未提供历史调用日志";

    // The record.
    record_changed(release, before, now):
        "The record of {release} changed: its digest was {before}, now it is {now}.",
        "{release} 的发布记录被修改：原摘要为 {before}，现为 {now}。";
    give_new_id():
        "Give the change a new release id, because records do not change.",
        "发布记录不可修改，请为变更使用新的版本 id。";
    record_unchanged(digest):
        "The record is the one that is registered: {digest}.",
        "发布记录与登记一致：{digest}。";
    other_baseline(named, given):
        "The record names {named} as its baseline, but it is compared with {given}.",
        "发布记录的基线是 {named}，实际对照的是 {given}。";
    compare_with_named(): "Compare with the baseline that the record names.", "请与记录所写的基线对照。";
    same_release(): "Baseline and candidate are the same release.", "基线与候选是同一个版本。";
    name_two(): "Name two releases.", "请指定两个不同的版本。";
    compared_with(baseline): "The candidate is compared with {baseline}.", "候选对照 {baseline}。";
    floating(list): "These references may change their content: {list}.", "以下引用的内容可能变化：{list}。";
    floats(reference, why): "{reference} ({why})", "{reference}（{why}）";
    give_digests():
        "Write the digest of what was tested beside each reference.",
        "在每个引用旁写明被测内容的摘要。";
    references_fixed(): "Every reference names one version.", "每个引用都指向固定版本。";
    digests_cut(list): "These digests are not whole: {list}.", "以下摘要不完整：{list}。";
    git_sha_is(sha): "git_sha {sha}", "git_sha {sha}";
    git_sha_missing(): "git_sha is missing", "缺少 git_sha";
    give_whole_digests():
        "Write all hexadecimal digits: other content can have the same part of a digest.",
        "请写全十六进制位：不同内容可能有相同的部分摘要。";
    digests_whole(): "Every digest is whole.", "摘要均完整。";
    digest_lost(list):
        "The baseline has a digest and the candidate has none: {list}.",
        "基线有摘要而候选没有：{list}。";
    give_tested_digest(): "Write the digest of what was tested.", "写明被测内容的摘要。";
    references_kept(): "No reference has moved to another content.", "没有引用指向了别的内容。";
    references_moved(list): "The same reference has another digest: {list}.", "同一引用的摘要不同：{list}。";
    give_new_version(): "Give new content a new version.", "内容变化时请使用新版本号。";
    only_code_changed(): "Only the code changed.", "只有代码变更。";
    dimensions_changed(list): "These dimensions changed: {list}.", "变更的维度：{list}。";
    one_dimension_each():
        "Make one release for each dimension: if several change at once, the cause of an effect cannot be \
         found.",
        "每个版本只变更一个维度：同时变更多个维度时无法定位影响的原因。";
    no_rollback_target(): "The record names no release to return to.", "记录没有写明回滚版本。";
    name_rollback_target():
        "Write the last stable release as `rollback_target`.",
        "用 `rollback_target` 写明最近的稳定版本。";
    rollback_target_unknown(target):
        "The rollback target {target} is not among the records.",
        "回滚版本 {target} 不在已有记录中。";
    give_its_record(): "Give its record with --records.", "用 --records 提供它的记录。";
    rollback_to_itself(): "The release names itself as its rollback target.", "版本把自己写成了回滚版本。";
    name_stable(): "Name the last stable release.", "请写明最近的稳定版本。";
    rollback_target_is(target): "A rollback returns to {target}.", "回滚时返回 {target}。";
    target_record_missing(): "The record of the rollback target is missing.", "缺少回滚版本的记录。";
    give_target_record(): "Give the record of the rollback target.", "请提供回滚版本的记录。";
    kept_for(name, hours): "{name} ({hours})", "{name}（{hours}）";
    kept_too_short(list, hours):
        "These artifacts of the rollback target are kept for less than {hours}, the time that the slowest \
         deciding metric needs: {list}.",
        "回滚版本的以下制品保留不足 {hours}（最慢的决策指标届时才成熟）：{list}。";
    retention_unknown(list):
        "It is not known how long these artifacts of the rollback target are kept: {list}.",
        "不清楚回滚版本的以下制品保留多久：{list}。";
    keep_for(hours):
        "Keep the artifacts of the rollback target for {hours} (`retention_hours` in the record, or in \
         [gate.record]).",
        "回滚版本的制品至少保留 {hours}（记录或 [gate.record] 中的 `retention_hours`）。";
    all_kept(hours):
        "All artifacts of the rollback target are kept for {hours}.",
        "回滚版本的制品均保留 {hours}。";
    other_tenant(baseline, candidate):
        "The baseline belongs to {baseline}, the candidate to {candidate}.",
        "基线属于 {baseline}，候选属于 {candidate}。";
    one_tenant(): "Use records of one tenant.", "请使用同一租户的记录。";
    tenant_is(tenant): "The tenant is {tenant}.", "租户：{tenant}。";
    no_tenant(): "The candidate's record names no tenant.", "候选的记录没有写明租户。";
    name_tenant():
        "Write `tenant_id`: ids are unique only within a tenant.",
        "写明 `tenant_id`：id 只在租户内唯一。";
    cache_key_is(parts): "The cache key has {parts}.", "缓存键包含 {parts}。";
    cache_key_lacks(parts, missing):
        "The cache key has {parts}, but not {missing}.",
        "缓存键包含 {parts}，缺少 {missing}。";
    add_to_cache_key():
        "Put tenant and release into the key, so that their caches stay separate.",
        "请把租户与版本放入缓存键，避免缓存混用。";
    no_cache_key(): "The record does not name the parts of the cache key.", "记录没有写明缓存键的组成。";
    name_cache_key():
        "Write `cache_key = [\"tenant_id\", \"release_id\", ...]`.",
        "写明 `cache_key = [\"tenant_id\", \"release_id\", ...]`。";
    nothing_to_evaluate(): "No dimension changed.", "没有维度变更。";
    not_evaluated(): "The record does not say when it was evaluated.", "记录没有写明评测时间。";
    give_times():
        "Write `evaluated_at` in the record and an earlier `created_at` in each changed artifact.",
        "在记录中写明 `evaluated_at`，在每个变更的制品中写明更早的 `created_at`。";
    evaluated_before(at, list):
        "The evaluation of {at} is older than these artifacts: {list}.",
        "评测（{at}）早于以下制品：{list}。";
    evaluate_again(): "Evaluate the released artifacts.", "请对要发布的制品重新评测。";
    creation_unknown(list):
        "It is not known when these artifacts were made: {list}.",
        "不清楚以下制品的生成时间：{list}。";
    evaluated_after(at): "The evaluation of {at} is later than every change.", "评测（{at}）晚于所有变更。";
    other_report(found, named):
        "The report has the digest {found}, the record says {named}.",
        "报告的摘要为 {found}，记录中为 {named}。";
    give_named_report(): "Give the report with the digest in the record.", "请提供与记录摘要一致的报告。";
    no_report(): "The record names no report of the evaluation.", "记录没有写明评测报告。";
    name_report():
        "Write `eval_report_uri`, and its digest as `eval_report_digest`.",
        "写明 `eval_report_uri` 及其摘要 `eval_report_digest`。";
    report_checked(uri): "The report {uri} has the digest of the record.", "报告 {uri} 与记录的摘要一致。";
    report_not_checked(uri):
        "The report {uri} was not given, so its digest is not checked.",
        "未提供报告 {uri}，摘要未核对。";
    give_report(): "Give the file with --eval-report.", "用 --eval-report 提供文件。";
    report_without_digest(uri):
        "The report {uri} has no digest in the record, so it may change.",
        "记录中没有报告 {uri} 的摘要，内容可能变化。";
    name_report_digest(): "Write `eval_report_digest` in the record.", "在记录中写明 `eval_report_digest`。";

    // Tools.
    same_tools(): "Both releases have the same tools, by digest.", "两个版本的工具摘要相同。";
    no_bundles(): "The tool bundles of both releases were not given.", "未提供两个版本的工具集。";
    give_bundles():
        "Give --tools FILE and --baseline-tools FILE.",
        "请提供 --tools 与 --baseline-tools 文件。";
    breaks_callers(n, before, after, list, version):
        "{n} from {before} to {after} can break callers: {list}. The version does not announce it: {version}\
         .",
        "{before} 到 {after} 有 {n} 处变更影响调用方：{list}。版本未作声明：{version}。";
    version_wrong(before, after, version):
        "The version does not fit the change from {before} to {after}: {version}.",
        "{before} 到 {after} 的版本与变更不符：{version}。";
    announce_or_undo():
        "Give a new major version and a `migration` that says how callers change, or a change that breaks \
         no caller.",
        "使用新的主版本并用 `migration` 说明调用方如何迁移，或改为不影响调用方的变更。";
    not_comparable(n, list): "{n} could not be compared: {list}.", "{n} 处无法比较：{list}。";
    give_comparable():
        "Give whole lists of tools, and schemas whose effect can be decided: references within the bundle, \
         branches of `oneOf` that exclude each other.",
        "请提供完整的工具列表与可判定的 schema：引用在工具集内，`oneOf` 各分支互斥。";
    breaks_announced(n, before, after, list):
        "{n} from {before} to {after} can break callers, with a new major version and a migration guide: \
         {list}.",
        "{before} 到 {after} 有 {n} 处变更影响调用方，已有新主版本与迁移说明：{list}。";
    break_nothing(): "Make a change that breaks no caller.", "改为不影响调用方的变更。";
    look_at_changes(n, list): "Look at {n}: {list}.", "{n} 处变更需要查看：{list}。";
    look_at_words():
        "Look at them. A changed description is a changed prompt.",
        "请逐一查看。描述变更等同于提示词变更。";
    breaks_none(n): "{n}, and no caller breaks.", "{n} 处变更，均不影响调用方。";
    safety_loosened(list): "Tools are less strict than before: {list}.", "工具的安全设置被放松：{list}。";
    keep_strict():
        "Keep them as strict as before, or get an approval of tool_safety.",
        "保持原有的严格程度，或取得 tool_safety 的审批。";
    safety_odd(list): "The safety settings of tools need a look: {list}.", "工具的安全设置需要查看：{list}。";
    look_at_them(): "Look at them.", "请逐一查看。";
    safety_kept(): "No tool has looser safety settings than before.", "没有工具放松安全设置。";
    candidate_release(): "candidate", "候选";
    baseline_release(): "baseline", "基线";
    record_without_tools(whose): "The record of the {whose} names no tools.", "{whose}的记录没有写明工具集。";
    give_named_bundle():
        "Give the bundle that the record names, by its digest.",
        "请提供与记录摘要一致的工具集。";
    bundle_by_digest(whose):
        "The tools of the {whose} are those of its record, by digest.",
        "{whose}的工具集与记录的摘要一致。";
    other_bundle(whose, found, named):
        "The tools of the {whose} have the digest {found}, its record says {named}.",
        "{whose}的工具集摘要为 {found}，记录中为 {named}。";
    bundle_by_name(whose, own):
        "The tools of the {whose} are called {own} as in its record, which has no digest.",
        "{whose}的工具集名称 {own} 与记录一致，但记录没有摘要。";
    bundle_other_name(whose, named, own):
        "The record of the {whose} names the tools {named}, the bundle calls itself {own}.",
        "{whose}的记录写的是 {named}，工具集自称 {own}。";
    no_logged_call(): "The log has no call.", "日志中没有调用。";
    give_calls(): "Give a log with calls of tools.", "请提供含工具调用的日志。";
    calls_unreadable(n, of):
        "The arguments of {n} of {of} logged calls are no JSON.",
        "{of} 次历史调用中 {n} 次的参数不是 JSON。";
    give_readable_calls(): "Give a log with readable arguments.", "请提供参数可读的日志。";
    simpler_schema(): "Use a schema whose references expand to less.", "请使用引用展开更小的 schema。";
    calls_refused(message, rule, path, traces):
        "{message} The first is refused by {rule} at {path}. Traces: {traces}.",
        "{message}首个被 {rule} 在 {path} 处拒绝。trace：{traces}。";
    accept_arguments():
        "Use a schema that accepts today's arguments, or change the arguments of the callers first.",
        "使用能接受现有参数的 schema，或先修改调用方的参数。";
    calls_fit(n): "All {n} logged calls fit the new schemas.", "{n} 次历史调用均符合新 schema。";
    calls_fit_but(n, n_undecided):
        "Of {n} logged calls, {n_undecided} are undecided, and the others fit the new schemas.",
        "{n} 次历史调用中 {n_undecided} 次无法判定，其余符合新 schema。";
    no_tools(): "The release has no tools.", "该版本没有工具。";
    no_own_bundle(): "The tool bundle of the candidate was not given.", "未提供候选的工具集。";
    give_own_bundle(): "Give it with --tools FILE.", "用 --tools 提供。";
    unconfirmed_writes(n, of, list):
        "{n} of {of} tools that change data run without a person's confirmation: {list}.",
        "{of} 个写操作工具中 {n} 个无需人工确认：{list}。";
    require_confirmation():
        "Set `hitl: required` for each, or `risk_level: read` for those that change nothing.",
        "请为每个工具设置 `hitl: required`；不写数据的设为 `risk_level: read`。";
    no_proof(list):
        "There is no proof that a person confirms the calls of: {list}.",
        "没有证据表明以下工具的调用经人工确认：{list}。";
    give_proof():
        "Write `hitl_proof` of each tool, in the bundle or in the record: where the review or the test is.",
        "在工具集或记录中写明每个工具的 `hitl_proof`：评审或测试的位置。";
    no_risk_level(list):
        "These tools have no risk level and are judged by hints alone: {list}.",
        "以下工具没有风险等级，仅按提示判断：{list}。";
    give_risk_level(): "Write `risk_level` for every tool.", "为每个工具写明 `risk_level`。";
    writes_confirmed(n):
        "A person confirms the calls of {n} that can change data, with proof.",
        "{n} 个写操作工具均有人工确认的证据。";

    // Evaluations.
    all_suites(): "all suites", "全部用例集";
    any_suite(): "any suite", "任一用例集";
    at_least(value): "at least {value}", "至少 {value}";
    at_most(value): "at most {value}", "至多 {value}";
    no_results(): "No evaluation results were given.", "未提供评测结果。";
    no_own_results(n):
        "None of {n} evaluation results is of the candidate.",
        "{n} 条评测结果中没有候选的结果。";
    give_results():
        "Give --evals FILE with the candidate's release id, or named as the candidate's.",
        "用 --evals 提供带候选版本 id 的结果，或指明是候选的结果。";
    no_such_suite(what): "There is no such suite: {what}.", "没有该用例集：{what}。";
    give_suite(): "Give results of that suite.", "请提供该用例集的结果。";
    reached(what, value, limits):
        "The {what} is {value}, expected {limits}.",
        "{what}为 {value}，要求{limits}。";
    reach(what, limits): "Reach {limits} for the {what}.", "{what}需{limits}。";
    too_few_repeats(what, n_cases, k):
        "The {what} needs {n_cases} cases with {k} rated runs each, and there are fewer.",
        "{what}需要 {n_cases} 个用例各有 {k} 次有评分的运行，目前不足。";
    repeat_cases(): "Run every case the required number of times.", "请让每个用例运行足够次数。";
    no_such_metric(what): "No result has the metric: {what}.", "没有结果含该指标：{what}。";
    give_metric(): "Give results with that metric.", "请提供含该指标的结果。";
    runs_missing(what, n, of, whose):
        "{n} of {of} runs of the {whose} are missing, broken or not rated: {what}.",
        "{whose}的 {of} 次运行中 {n} 次缺失、出错或无评分：{what}。";
    give_every_case(): "Give results of every case.", "请提供所有用例的结果。";
    give_every_case_of_both():
        "Give results of every case, of both releases.",
        "请提供两个版本所有用例的结果。";
    too_few_cases(what, n): "The {what} has only {n}.", "{what}只有 {n} 个用例。";
    give_cases(n): "Give at least {n} cases.", "请至少提供 {n} 个用例。";
    without_interval(what, value):
        "The {what} is {value}, without an interval.",
        "{what}为 {value}，没有置信区间。";
    more_sources():
        "Give more cases from more sources, or use a better judge.",
        "请提供来源更多的用例，或使用更好的评审模型。";
    reached_with(what, value, lower, upper, n, limits):
        "The {what} is {value} (between {lower} and {upper}, {n}), expected {limits}.",
        "{what}为 {value}（{lower} 至 {upper}，{n} 个用例），要求{limits}。";
    judge_corrected(): "The value is corrected for the errors of its judge.", "数值已按评审模型的误差校正。";
    reach_whole(what, limits):
        "Reach {limits} for the {what}, with the whole interval.",
        "{what}的整个置信区间需{limits}。";
    no_baseline_results(): "There is no evaluation result of the baseline.", "没有基线的评测结果。";
    give_baseline_results():
        "Give the baseline's results on the same cases with --baseline-evals FILE.",
        "用 --baseline-evals 提供基线在相同用例上的结果。";
    give_both_results():
        "Give results of both releases with that suite and metric.",
        "请提供两个版本在该用例集与指标上的结果。";
    not_compared(what, n, n_before, n_after, why):
        "The {what} could not be compared ({why}). There are {n}; {n_before} of the baseline and {n_after} \
         of the candidate did not run.",
        "{what}无法比较（{why}）：共 {n} 对；未能运行的：基线 {n_before} 次，候选 {n_after} 次。";
    give_pairs(n):
        "Give at least {n} cases that both releases answered, from several sources.",
        "请提供至少 {n} 个两个版本都回答过、来源不同的用例。";
    not_certain(p):
        "With so many metrics this can be chance (corrected {p}).",
        "指标较多，可能是偶然（校正后 {p}）。";
    few_pairs(): "There are few pairs.", "配对数较少。";
    because(why): "The reason: {why}.", "原因：{why}。";
    not_worse_by(margin, n):
        "Make a release that is not worse by more than {margin}: see the {n} that got worse.",
        "劣化不得超过 {margin}：请查看变差的 {n} 个用例。";
    one_scale():
        "Give both releases on one scale, 0 to 1 or 0 to 100.",
        "两个版本请使用同一量纲：0 至 1 或 0 至 100。";
    give_margin(): "Set a `margin` in the unit of the metric.", "请以指标的单位设置 `margin`。";
    about_cases(n, margin):
        "Give about {n} cases, to find a difference of {margin}.",
        "约需 {n} 个用例，才能检出 {margin} 的差异。";
    more_cases(): "Give more cases.", "请提供更多用例。";
    slices_worse(what, by, n, of):
        "The {what} by {by} is worse by more than is allowed in {n} of {of} slices.",
        "{what}，按 {by} 切片：{of} 个切片中 {n} 个的劣化超出允许范围。";
    slices_open(n): "It is not certain in {n}.", "{n} 个证据不足。";
    slices_small(n, least): "There are fewer than {least} pairs in {n}.", "{n} 个不足 {least} 对。";
    cases_without(n, by): "There is no `{by}` in {n}.", "{n} 个用例没有 `{by}`。";
    worst_slice(by, value, says): "The worst is {by} = {value}: {says}", "最差的是 {by} = {value}：{says}";
    mend_slices(): "Make a release that is not worse in any slice.", "任何切片都不应劣化。";
    more_cases_each(): "Give more cases in each slice.", "请为每个切片提供更多用例。";
    give_column(): "Give results whose cases have a value of the column.", "请提供用例含该列取值的结果。";
    more_cases_uncertain():
        "Give more cases in the slices that are not certain.",
        "请为证据不足的切片补充用例。";
    same_cases():
        "Give results of every case, of both releases, with the same inputs.",
        "请提供两个版本在相同输入下所有用例的结果。";
    runs_lost(release, n, reason):
        "{release} lost {n}: {reason}.",
        "{release} 有 {n} 次运行不能作为证据：{reason}。";
    runs_lost_of(release, suite, n, reason):
        "{release} lost {n} of {suite}: {reason}.",
        "{release} 在 {suite} 上有 {n} 次运行不能作为证据：{reason}。";

    // Attacks.
    attacks_succeeded(n, of, list):
        "{n} of {of} attacks succeeded: {list}.",
        "{of} 种攻击中 {n} 种成功：{list}。";
    attack_runs(case, n, of): "{case} ({n} of {of} runs)", "{case}（{of} 次运行中 {n} 次）";
    withstand(): "Make a release that withstands every attack.", "请修复到能抵御所有攻击。";
    attacks_broke(n): "No attack was rated: {n} broke or had no rating.", "{n} 种攻击全部出错或无评分。";
    no_attack(): "No attack was tried on the candidate.", "没有对候选进行攻击测试。";
    try_attacks(n):
        "Try at least {n} different attacks that run and are judged.",
        "请至少执行 {n} 种不同且有评分的攻击。";
    try_attacks_in(n, suites):
        "Try at least {n} different attacks that run and are judged, in a suite named {suites}.",
        "请在名为 {suites} 的用例集中至少执行 {n} 种不同且有评分的攻击。";
    attacks_withstood(n, bound, confidence):
        "None of {n} attacks succeeded: at most {bound} of such attacks succeed, with {confidence} \
         confidence.",
        "{n} 种攻击均未成功：此类攻击的成功率至多 {bound}（置信度 {confidence}）。";
    attacks_repeated(n): "Cases with the input of another one do not count: {n}.", "与其他用例输入相同的用例不计：{n} 个。";
    attacks_not_judged(n): "In addition, {n} broke or had no rating.", "{n} 种攻击出错或未评分。";
    run_again(): "Run the attacks again that broke.", "请重新执行出错的攻击。";

    // Cost.
    cost_per_case(): "cost per case", "每个用例的成本";
    cost_per_task(): "cost per successful task", "每个成功任务的成本";
    no_costs(): "No case has a cost above 0 in both releases.", "没有用例在两个版本中都有大于 0 的成本。";
    give_costs():
        "Give results of both releases on the same cases, with `cost_usd`.",
        "请提供两个版本在相同用例上含 `cost_usd` 的结果。";
    costs_missing(n, of):
        "{n} of {of} cases have runs without a cost.",
        "{of} 个用例中 {n} 个有运行缺少成本。";
    give_all_costs():
        "Give the cost of every run, failed and repeated ones too.",
        "请提供每次运行的成本，包括失败与重试。";
    no_paid_success():
        "The cost per successful task is not known: no case that passed in both releases has a cost.",
        "每个成功任务的成本未知：没有在两个版本中都通过且有成本的用例。";
    costs_without_interval(what, change, n):
        "The {what} changes by {change} over {n}, without an interval.",
        "{what}变化 {change}（{n} 个用例），没有置信区间。";
    cost_change(what, change, lower, upper, n, margin):
        "The {what} changes by {change} (between {lower} and {upper}, {n}); {margin} is allowed.",
        "{what}变化 {change}（{lower} 至 {upper}，{n} 个用例），允许 {margin}。";
    cheaper(margin):
        "Make a release that costs at most {margin} more, or get a business approval of `cost`.",
        "成本增幅不超过 {margin}，或取得业务方对 `cost` 的审批。";
    more_costs(): "Give more cases with costs.", "请提供更多含成本的用例。";

    // Outputs.
    too_many_words():
        "There are too many forbidden texts to search for, or one without a visible character.",
        "禁用文本过多，或其中一条没有可见字符，无法检索。";
    other_words(): "Use fewer or other forbidden texts.", "请减少或更换禁用文本。";
    forbidden_found(n, of, list):
        "{n} of {of} outputs have a forbidden text: {list}.",
        "{of} 条输出中 {n} 条含禁用文本：{list}。";
    without_outputs(): "Make a release without these outputs.", "请修复这些输出。";
    no_outputs(): "No evaluation result of the candidate has an output.", "候选的评测结果都没有输出文本。";
    give_outputs(): "Give results with outputs.", "请提供含输出文本的结果。";
    forbidden_none(n): "None of {n} outputs has a forbidden text.", "{n} 条输出均不含禁用文本。";
    outputs_missing(n): "There is no output in {n}.", "{n} 条结果没有输出文本。";
    word_in(word, case): "\"{word}\" in {case}", "{case} 中的“{word}”";
    word_in_how(word, case, how): "\"{word}\" in {case} ({how})", "{case} 中的“{word}”（{how}）";
    read_as(form): "read as {form}", "按 {form} 读取";
    looks_alike(): "with letters that look alike", "含形近字符";

    // Approvals.
    approved_by(level, list):
        "The risk level is {level}, approved by {list}.",
        "风险等级为 {level}，审批人：{list}。";
    level_not_said(): "not said", "未写明";
    no_approver(): "no approver", "无";
    look_alike(names): "{names} look alike and count as one person.", "{names} 形近，按一人计。";
    approve(n, how):
        "Needed: {n} from different people, each with {how}.",
        "需要 {n} 位不同人员审批，每位注明 {how}。";
    or_level(): "A `risk_level` below high needs one.", "`risk_level` 低于 high 时只需一位。";
    for_other_record(): "is for another record", "属于另一份记录";
    by_program(): "is by a program, and a person has to approve", "来自程序，须由人员审批";
    without_as_of():
        "cannot be checked without --as-of, the current instant",
        "缺少 --as-of（当前时间），无法核对";
    expired(at): "expired at {at}", "已于 {at} 过期";
    approval_is_void(by, why): "The approval by {by} {why}.", "{by} 的审批{why}。";

    // The canary.
    other_analysis(candidate, baseline):
        "The analysis compares {candidate} with {baseline}.",
        "分析对比的是 {candidate} 与 {baseline}。";
    give_analysis(): "Give the analysis of these two releases.", "请提供这两个版本的分析。";
    nobody_exposed(): "No user has had the candidate yet.", "尚无用户触达候选。";
    first_step(): "Start with the first step of the ramp.", "请先执行放量的第一级。";
    no_common_stage():
        "No stage had both releases, so there is nothing to compare with.",
        "没有任何阶段同时有两个版本，无从对比。";
    both_answer(): "Take a step at which both releases answer.", "请选择两个版本都在应答的比例。";
    leaked(n, ratio):
        "A release that was planned at 0% answered {n} at {ratio}.",
        "计划比例为 {ratio} 时，有 {n} 个用户由未计划的版本应答。";
    find_leak():
        "Find why production does not follow the schedule, then measure again.",
        "查明线上为何不按计划执行，再重新测量。";
    sample_ratio(n, of, share, planned, p):
        "{n} of {of} users ({share}) had the candidate, {planned} were planned ({p}).",
        "{of} 个用户中 {n} 个（{share}）由候选应答，计划为 {planned}（{p}）。";
    deviation_by_chance(off):
        "The deviation of {off} can be chance with so few users.",
        "用户较少，{off} 的偏差可能是偶然。";
    find_missing():
        "Find why users are missing from an arm, then measure again.",
        "查明某一组为何缺少用户，再重新测量。";
    more_users(): "Wait for more users.", "请等待更多用户。";
    no_incident_column(): "The log does not say whether there were incidents.", "日志没有记录是否发生事故。";
    give_incidents(): "Give a column `incident`.", "请提供 `incident` 列。";
    incidents(n, of): "{n} happened among {of} turns.", "{of} 轮对话中发生 {n} 起事故。";
    no_more_incidents(): "Make a release without incidents.", "请修复到无事故。";
    no_incident(of): "There was no incident among {of} turns.", "{of} 轮对话中没有事故。";
    metric_not_in_log(metric): "The log has no data of the {metric}.", "日志没有{metric}的数据。";
    give_its_column(): "Give its column in the log.", "请在日志中提供对应的列。";
    not_mature(metric, share):
        "The {metric} is not known yet: {share} of the rows are old enough.",
        "{metric}尚未成熟：{share} 的行已满足时长。";
    wait_to_mature(): "Wait until it has matured.", "请等待其成熟。";
    no_effect(metric): "The {metric} has no effect with an interval yet.", "{metric}尚无带区间的效应。";
    no_effect_because(metric, why):
        "The {metric} has no effect with an interval yet: {why}.",
        "{metric}尚无带区间的效应：{why}。";
    more_users_of_both(): "Wait for more users of both releases.", "请等待两个版本有更多用户。";
    canary_metric(metric, before, after, says):
        "The {metric} went from {before} to {after}: {says}.",
        "{metric}由 {before} 变为 {after}：{says}。";
    not_worse(): "Make a release that is not worse.", "请修复到不劣化。";
    more_evidence():
        "Wait for more evidence, until the interval lies below what is allowed.",
        "等待更多数据，直到区间低于界限。";
}

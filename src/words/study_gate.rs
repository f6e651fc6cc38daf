//! Sentences of a study's gate: the checks of its data, and what would make them pass.

use crate::words::text::texts;

texts! {
    was_rolled_back(candidate): "{candidate} was rolled back here.", "{candidate} 已在此回滚。";
    needs_new_release(): "A new release.", "需要新版本。";

    layer_differs(n, of):
        "{n} of {of} rows logged with another layer than that of the layer table.",
        "{of} 行中有 {n} 行记录的分层与分层表不同。";
    serve_frozen_layers():
        "Serve with the layer table that the plan was frozen on.",
        "请使用计划冻结的分层表提供服务。";

    consent(n, of):
        "{n} of {of} rows of users who did not consent were answered by the candidate.",
        "未同意用户的 {of} 行中有 {n} 行由候选应答。";
    serve_baseline(): "Serve users who did not consent with the baseline.", "未同意的用户须由基线提供服务。";
    needs_known_users(): "It needs rows of known users.", "需要已知用户的记录。";

    misassigned(n, of):
        "{n} of {of} rows with another release than bucket and ratio give.",
        "{of} 行中有 {n} 行的版本与分桶和比例不符。";
    needs_rows():
        "It needs rows of eligible users in the two releases.",
        "需要可参与用户在两个版本中的记录。";
    place_by_profile():
        "Place users by the plan's assignment profile and salt.",
        "请按计划的分桶方式与盐值分配用户。";

    no_row_in_time(start, end):
        "No row of the log is between the plan's start {start} and the end of the data {end}.",
        "日志中没有介于计划开始（{start}）与数据截止（{end}）之间的记录。";
    no_eligible_row():
        "The log has no row of eligible users in the two releases.",
        "日志中没有可参与用户在两个版本中的记录。";
    nothing_open(candidate, n):
        "No row of {candidate} among {n}. Every layer is at 0%, so there is nothing to compare yet.",
        "{n} 行中没有 {candidate} 的记录。所有分层均为 0%，暂无可比较的数据。";
    no_candidate_row(candidate, n):
        "No row of {candidate} among {n}, so there is nothing to compare yet.",
        "{n} 行中没有 {candidate} 的记录，暂无可比较的数据。";
    none_in_force(candidate, n):
        "None of the {n} rows of {candidate} is at a ratio in force.",
        "{candidate} 的 {n} 行均不在当前比例下。";
    rows_in_force(candidate, n, of):
        "{n} of {of} rows come from {candidate} at a ratio in force.",
        "{of} 行中有 {n} 行来自当前比例下的 {candidate}。";
    needs_candidate_rows():
        "It needs rows of eligible users that the candidate answered at the ratio in force.",
        "需要候选在当前比例下服务可参与用户的记录。";

    plan_must_agree():
        "Change the plan so that its numbers agree with what was promised.",
        "请修改计划，使各项数字与承诺一致。";
    reachable_min_users():
        "Use a smaller min_users, a larger step, or a larger layer.",
        "请调低 min_users、提高比例，或扩大分层。";
    and_more(n): "And {n} more.", "另有 {n} 项。";
    small_layers(layers):
        "Fewer than 1,000 eligible users in {layers}.",
        "{layers} 的可参与用户不足 1,000 名。";
    merge_layers(): "Evaluate offline first, or merge small layers.", "请先离线评测，或合并小分层。";
    exposure(n, of, share, cap):
        "{n} of {of} users ({share}) were reached by a release that is rolled back; the cap is {cap}.",
        "已回滚的版本触达了 {of} 名用户中的 {n} 名（{share}），上限为 {cap}。";
    exposure_beyond(n, share):
        "Up to {n} other users may have been reached, one for each row of the candidate while a ratio took effect. Together they may be {share}.",
        "在比例生效期间，候选版本的每一行最多可能触达另一名用户，最多 {n} 名；合计最多为 {share}。";
    smaller_first_steps():
        "Use smaller first steps: the cap divided by the layer's share of users bounds its first ratio.",
        "请减小第一级：上限除以该分层的用户占比即为首个比例的上界。";
}

//! Sentences and column names of the pages of nights.

use crate::words::texts;

texts! {
    title(plan): "{plan}: nights", "{plan}：各夜";
    history_title(): "Ramps over time", "历次放量";
    pair(candidate, baseline): "{candidate} against {baseline}.", "{candidate} 对比 {baseline}。";

    // The answer.
    running(n_full, n_layers, as_of):
        "The ramp is running: {n_full} of {n_layers} layers are full, as of {as_of}.",
        "放量进行中：{n_layers} 个分层中 {n_full} 个已全量，数据截至 {as_of}。";
    untrusted(layers):
        "The data of the last night cannot be trusted in these layers: {layers}.",
        "最后一夜的数据在以下分层不可信：{layers}。";
    undecided(layers):
        "The last night had not enough evidence to decide these layers: {layers}.",
        "最后一夜的证据不足以判定以下分层：{layers}。";
    completed(n_layers, as_of):
        "The ramp is complete: all {n_layers} layers are at their last step, as of {as_of}.",
        "放量已完成：全部 {n_layers} 个分层均达末级，数据截至 {as_of}。";
    rolled_back(layers, as_of):
        "The candidate is rolled back in {layers}, as of {as_of}.",
        "候选版本已在{layers}回滚，数据截至 {as_of}。";
    exposed(n, eligible):
        "{n} of {eligible} eligible users have had an answer of the candidate.",
        "{eligible} 名可参与用户中 {n} 名已触达候选版本。";
    no_harm(): "No harm is shown so far.", "至今未显示损害。";
    no_comparison():
        "No row of the candidate can be compared yet: the harm so far is not known.",
        "候选版本尚无可比较的行：至今的损害未知。";
    worst_events(metric, layer, extra, low, high):
        "The worst so far is the {metric} of {layer}: about {extra} additional bad outcomes (between {low} \
         and {high}).",
        "至今最差的是{layer}的{metric}：不良结果约额外增加 {extra} 次（{low} 至 {high} 次之间）。";
    worst_usd(metric, layer, extra, low, high):
        "The worst so far is the {metric} of {layer}: about {extra} of additional cost (between {low} and \
         {high}).",
        "至今最差的是{layer}的{metric}：比基线约多 {extra}（{low} 至 {high} 之间）。";
    not_in_force(targets):
        "{targets} did not take the decisions of the last night: publish again.",
        "{targets}未接收最后一夜的决策：请重新发布。";
    unsent(n): "Messages of the last night that were not sent: {n}.", "最后一夜有 {n} 条消息未能发出。";
    gone(n_kept, n_changes):
        "Nights whose folders are kept: {n_kept}. Changes of ratios in the log of the state, which has all: \
         {n_changes}.",
        "现存 {n_kept} 夜的文件夹；状态日志含全部 {n_changes} 次比例变更。";
    ramps(n): "{n} ramps, the newest first.", "共 {n} 次放量，最新的在前。";

    // Sections.
    layers(): "Where each layer stands", "各分层现状";
    ratios(): "Ratios so far", "放量比例";
    ratios_scale():
        "The height is the square root of the ratio, so that 1% can be seen. Red marks a rollback.",
        "高度为比例的平方根，使 1% 也可见；红色表示回滚。";
    ratios_row(layer, ratio): "{layer}: {ratio}", "{layer}：{ratio}";
    nights(): "Night by night", "逐夜情况";
    nights_note():
        "The newest night is first. A cell has the verdict and the ratio after it.",
        "最新一夜在前；单元格为结论及其后的比例。";
    decisions(): "Decisions that changed a ratio, and why", "改变比例的决策及原因";
    harm(): "Harm so far", "至今的损害";
    harm_note():
        "The difference between candidate and baseline per row, times the rows of the candidate, over all \
         stages that have both at the same time. Above 0 is worse. The interval holds for one look.",
        "每行的平均损害乘以候选版本的行数，合计所有可与同期基线比较的阶段；大于 0 为更差；区间仅对单次查看有\
         效。";
    changes(): "Changes of ratios", "放量比例变更";
    changes_none(): "No ratio has changed yet.", "比例尚未变更。";

    // Columns.
    night(): "night", "夜次";
    exposed_so_far(): "users of the candidate", "已触达候选";
    ratio_now(): "ratio now", "当前比例";
    since(): "since", "起始";
    approved_by(): "approved by", "审批人";
    targets(): "targets", "目标";
    notes(): "notes", "备注";
    extra(): "additional bad outcomes or USD", "额外的不良结果或成本";
    rows_compared(): "rows compared", "已比较行数";
    rows_not_compared(): "rows not compared", "未比较行数";
    started(): "start", "开始";
    days(): "days", "天数";
    status(): "status", "状态";
    n_changes(): "changes", "变更次数";
    highest(): "highest ratio", "最高比例";
    candidate(): "candidate", "候选版本";
    baseline(): "baseline", "基线版本";

    // Cells.
    not_taken(n, all): "{n} of {all} failed", "{all} 个中 {n} 个失败";
    taken(n): "{n} of {n} have it", "{n} 个均已接收";
    no_target(): "none", "无";
    accepted(guards): "accepted by hand: {guards}", "人工放行：{guards}";
    unfinished(): "not finished", "未完成";
    messages_unsent(n): "messages not sent: {n}", "未发出消息：{n}";
    status_running(): "running", "进行中";
    status_completed(): "completed", "已完成";
    status_rolled_back(): "rolled back", "已回滚";
    status_retired(): "retired", "已停用";
}

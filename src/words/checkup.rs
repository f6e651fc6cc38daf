//! What `check`, `calibrate` and `backtest` print.

use crate::words::text::texts;

texts! {
    // Checks of inputs.
    n_rows(n): "{n} rows", "{n} 行";
    rows_unknown(): "rows not known in advance", "行数事先未知";
    all_read(): "all read", "已全部读取";
    n_read(n): "{n} read", "已读取 {n} 行";
    one_file(): "1 file", "1 个文件";
    n_files(n): "{n} files", "{n} 个文件";
    source_head(source, path, files, formats, rows, read):
        "{source}: {path}, {files} ({formats}), {rows}, {read}",
        "{source}：{path}，{files}（{formats}），{rows}，{read}";
    column_column(): "column", "列";
    column_from(): "from", "来源";
    column_type(): "type", "类型";
    column_unit(): "unit", "单位";
    column_null(): "null", "空值";
    column_values(): "values", "取值";
    traces_read(): "read of the traces:", "链路读取：";
    absent(names): "absent: {names}", "缺少：{names}";
    not_read(names): "not read: {names}", "未读取：{names}";
    before_start(n): "{n} rows before the start of the plan", "{n} 行早于计划开始";
    after_as_of(n): "{n} rows at or after as_of", "{n} 行在 as_of 当时或之后";
    in_plan(n, known, baseline, candidate):
        "of {n} rows in the plan: {known} of known users, {baseline} of the baseline, {candidate} of the \
         candidate",
        "计划期内 {n} 行：已知用户 {known}，基线 {baseline}，候选 {candidate}";
    unusable(n): "{n} rows cannot be used:", "{n} 行无法使用：";
    usable(scenario): "{scenario}: usable", "{scenario}：可用";
    usable_with_one(scenario): "{scenario}: usable, with 1 warning", "{scenario}：可用，有 1 条警告";
    usable_with(scenario, n): "{scenario}: usable, with {n} warnings", "{scenario}：可用，有 {n} 条警告";
    not_usable_one(scenario): "{scenario}: not usable: 1 problem", "{scenario}：不可用，有 1 个问题";
    not_usable(scenario, n): "{scenario}: not usable: {n} problems", "{scenario}：不可用，有 {n} 个问题";

    // Calibrations.
    column_clusters(): "clusters", "聚类数";
    column_false_positives(): "false positives", "误报率";
    column_coverage(): "coverage", "覆盖率";
    column_anytime(): "anytime", "每次查看";
    column_rows_alone(): "rows alone", "仅按行";
    column_srm_alarms(): "SRM alarms", "样本比告警";
    few_users():
        "* few buckets hold the same few users in every split: these rates vary more from log to log than \
         their errors say",
        "* 每次划分都由少数分桶中的同一批用户构成：不同日志之间的差异大于所示误差";
    splits(n, alpha, rate):
        "{n} A/A splits per layer and ratio, alpha {alpha}: nothing differs, so false positives should be \
         near {rate}",
        "每个分层与比例做 {n} 次 A/A 划分，alpha {alpha}：两侧没有差异，误报率应接近 {rate}";

    // Backtests.
    along_the_log(plan): "{plan} along the log's ratios", "{plan}，按日志中的比例";
    on_its_own(plan): "{plan} on its own", "{plan}，自行推进";
    column_at(): "at", "时刻";
    column_log(): "log", "日志";
    column_rests_on(): "rests on", "依据";
    observed(): "observed", "观测";
    paired(): "paired", "配对";
    off_policy(): "off_policy", "离线估计";
    requests_exposed(layer, n): "{layer}: {n} requests exposed", "{layer}：触达 {n} 次请求";
    refused_from(layer, n, at):
        "{layer}: {n} requests exposed; refused from {at} on: no overlap",
        "{layer}：触达 {n} 次请求；自 {at} 起无重叠，不再判定";
    left_out(layers):
        "left out, as the cube has no windows of it: {layers}",
        "已略去（数据立方中没有其窗口）：{layers}";
}

//! Titles of sheets and columns, and sentences of files that people take away: pictures, tables,
//! workbooks and mails.

use crate::words::text::{Text, texts};

/// The stable name, the English and the Chinese title of each table.
const TITLES: &[(&str, &str, &str)] = &[
    ("decisions", "Decisions", "放量决策"),
    ("effects", "Effects", "效应"),
    ("slices", "Slices", "切片"),
    ("schedule", "Schedule", "放量排期"),
    ("operations", "Operations", "操作日志"),
    ("costs", "Costs", "成本"),
    ("gate", "Gate", "门禁"),
    ("sample_ratios", "Sample ratios", "样本比"),
    ("layers", "Layers", "用户分层"),
    ("data_quality", "Data quality", "数据质量"),
];

/// The stable name, the English and the Chinese title of each column.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("allowed", "allowed", "允许"),
    ("baseline", "baseline", "基线"),
    ("candidate", "candidate", "候选"),
    ("check", "check", "检查项"),
    ("chi_square", "chi-square", "卡方"),
    ("column", "column", "列"),
    ("count", "count", "数量"),
    ("days_needed", "days needed", "还需天数"),
    ("decided_at", "decided at (UTC)", "决定时间（UTC）"),
    ("deviation", "deviation", "偏差"),
    ("divided_by_baseline", "divided by, baseline", "除数（基线）"),
    ("divided_by_candidate", "divided by, candidate", "除数（候选）"),
    ("dwell_hours", "dwell, hours", "停留时长（小时）"),
    (
        "earliest_next",
        "earliest next decision (UTC)",
        "最早的下次决定（UTC）",
    ),
    ("effect", "effect", "效应"),
    ("effect_lower", "effect, lower end", "效应下限"),
    ("effect_upper", "effect, upper end", "效应上限"),
    ("eligible", "eligible users", "可参与用户"),
    ("exposed", "exposed users", "已触达用户"),
    ("first_blocking", "first blocking check", "首个阻断的检查"),
    ("found", "found", "观测值"),
    ("gate", "gate", "门禁"),
    ("harm", "harm", "损害"),
    ("harm_lower", "harm, lower end", "损害下限"),
    ("harm_upper", "harm, upper end", "损害上限"),
    ("hi_bucket", "last bucket (exclusive)", "分桶止（不含）"),
    ("in_force_at", "in force at (UTC)", "生效时间（UTC）"),
    ("kind", "kind", "类型"),
    ("ladder", "ladder", "放量阶梯"),
    ("layer", "layer", "分层"),
    ("leaked", "leaked users", "泄漏用户"),
    ("lifted_by", "lifted by", "放行人"),
    ("lo_bucket", "first bucket", "分桶起"),
    ("log_id", "log id", "日志编号"),
    ("metric", "metric", "指标"),
    ("min_users", "least users", "最少用户"),
    ("name", "name", "名称"),
    ("new_ratio", "new ratio", "新比例"),
    ("next_ratio", "next ratio", "下一比例"),
    ("no_harm_because", "no harm known because", "无损害数据的原因"),
    ("old_ratio", "old ratio", "原比例"),
    ("open_check", "open check", "待定检查"),
    ("operator", "operator", "操作者"),
    ("outcome", "outcome", "结果"),
    ("p_value", "p-value", "p 值"),
    ("p_value_adj", "p-value, corrected", "校正 p 值"),
    ("qos_baseline", "QoS baseline", "基线 QoS"),
    ("qos_candidate", "QoS candidate", "候选 QoS"),
    ("qos_lower", "QoS candidate, lower end", "候选 QoS 下限"),
    ("qos_threshold", "QoS threshold", "QoS 门槛"),
    ("qos_upper", "QoS candidate, upper end", "候选 QoS 上限"),
    ("ratio", "ratio", "放量比例"),
    ("reason", "reason", "原因"),
    ("relative_effect", "relative effect", "相对变化"),
    ("remedy", "what would make it pass", "如何才能通过"),
    ("rows_baseline", "rows, baseline", "行数（基线）"),
    ("rows_candidate", "rows, candidate", "行数（候选）"),
    ("share", "share of users", "用户占比"),
    ("srm_p_value", "sample ratio, p-value", "样本比 p 值"),
    ("start", "from (UTC)", "起始时间（UTC）"),
    ("tenant", "tenant", "租户"),
    ("to_decide", "what would decide", "如何得出结论"),
    ("too_small", "too small to judge", "人数过少"),
    ("total_baseline", "total, baseline", "合计（基线）"),
    ("total_candidate", "total, candidate", "合计（候选）"),
    ("unit", "unit", "单位"),
    ("users", "users", "用户数"),
    ("users_baseline", "users, baseline", "用户数（基线）"),
    ("users_candidate", "users, candidate", "用户数（候选）"),
    ("users_needed", "users needed", "还需用户"),
    ("value", "value", "取值"),
    ("verdict", "verdict", "结论"),
    ("what", "what", "项目"),
];

fn find(catalog: &[(&str, &str, &str)], name: &str) -> Option<Text> {
    let (_, en, zh) = catalog.iter().find(|(of, _, _)| *of == name)?;
    Some(Text {
        en: (*en).to_owned(),
        zh: (*zh).to_owned(),
    })
}

/// The title of a table by its stable name.
pub(crate) fn title(name: &str) -> Text {
    find(TITLES, name).unwrap_or_else(|| name.into())
}

/// The title of a column by its stable name.
pub(crate) fn column(name: &str) -> Text {
    find(COLUMNS, name).unwrap_or_else(|| name.into())
}

/// Whether a table or a column has titles in both languages, for tests.
#[cfg(test)]
pub(crate) fn is_titled(table: &str, columns: &[&str]) -> bool {
    find(TITLES, table).is_some() && columns.iter().all(|name| find(COLUMNS, name).is_some())
}

texts! {
    /// A sheet without rows.
    no_rows(): "There is no row.", "没有数据。";
    /// A workbook of a study without a ramp.
    no_ramp(): "The study has no traffic, so there is nothing to decide.", "该研究没有流量数据，无可决策。";
    /// Charts without a picture.
    no_picture(n, letters):
        "Charts without a PNG: {n}, because no font of this machine has the letters {letters}; install one \
         that has them, for Chinese such as Noto Sans CJK",
        "{n} 张图未生成 PNG：本机字体缺少字符 {letters}；请安装包含这些字符的字体，如 Noto Sans CJK";
    /// The answer of a mail.
    answer(promoted, kept, rolled_back):
        "Layers to promote: {promoted}. Layers that keep their ratio: {kept}. Layers rolled back: \
         {rolled_back}.",
        "放量 {promoted} 个分层，保持 {kept} 个，回滚 {rolled_back} 个。";
    /// The layers that a mail leaves out.
    layers_left(n):
        "Further layers in report.html of the study's folder: {n}.",
        "其余 {n} 个分层见研究目录中的 report.html。";
    /// The checks that a mail leaves out.
    checks_left(n):
        "Further checks in report.html of the study's folder: {n}.",
        "其余 {n} 项检查见研究目录中的 report.html。";
    /// The unit of differences of shares in a sheet.
    points(): "points", "个百分点";
    /// The heading of a decision's outlook.
    to_decide(text): "To decide: {text}", "如何得出结论：{text}";
    /// The heading of the checks that did not pass.
    open_checks(): "Checks that did not pass", "未通过的检查";
    /// The last line of a mail.
    whole(): "The whole report is report.html in the study's folder.", "完整报告见研究目录中的 report.html。";
}

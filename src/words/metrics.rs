//! The names of the built-in metrics, as people call them.

use crate::words::lang::Lang;
use crate::words::text::{Say, Text};

/// The id, the English and the Chinese name of each built-in metric.
const NAMES: &[(&str, &str, &str)] = &[
    ("QoS", "quality of service", "服务质量（QoS）"),
    ("availability", "availability", "可用率"),
    ("latency_mean_ms", "mean latency", "平均延迟"),
    ("latency_p50_ms", "median latency", "延迟中位数"),
    ("latency_p95_ms", "95th percentile of latency", "95 分位延迟"),
    ("latency_p99_ms", "99th percentile of latency", "99 分位延迟"),
    (
        "tool_success_rate",
        "success rate of tool calls",
        "工具调用成功率",
    ),
    ("task_completion_rate", "task completion rate", "任务完成率"),
    ("bad_rate", "rate of bad answers", "不良回答率"),
    ("complaint_rate", "complaint rate", "投诉率"),
    ("nps_mean", "mean NPS", "NPS 均值"),
    ("csat_mean", "mean CSAT", "CSAT 均值"),
    ("escalation_rate", "rate of escalations", "转人工率"),
    ("refusal_rate", "rate of refusals", "拒答率"),
    ("incident_rate", "rate of incidents", "事故率"),
    ("tokens_in_mean", "mean input tokens", "平均输入 token 数"),
    ("tokens_out_mean", "mean output tokens", "平均输出 token 数"),
    ("cost_per_turn_usd", "cost per turn", "每轮成本"),
    (
        "cost_per_completed_task_usd",
        "cost per completed task",
        "每个完成任务的成本",
    ),
];

/// A metric by its id. A metric of the scenario that Sluice does not know keeps its id as its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MetricName<'a>(pub(crate) &'a str);

impl Say for MetricName<'_> {
    fn say(&self, lang: Lang) -> String {
        metric_name(self.0).of(lang).to_owned()
    }
}

/// The name of a metric in every language.
pub(crate) fn metric_name(id: &str) -> Text {
    match NAMES.iter().find(|(of, _, _)| *of == id) {
        Some((_, en, zh)) => Text {
            en: (*en).to_owned(),
            zh: (*zh).to_owned(),
        },
        None => id.into(),
    }
}

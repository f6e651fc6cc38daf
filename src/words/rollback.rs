//! Sentences of a proposed rollback.

use crate::words::text::texts;

texts! {
    step(action, because): "{action}: {because}", "{action}：{because}";
    return_knowledge_base(): "restore the earlier knowledge base", "恢复知识库";
    return_prompt(): "restore the earlier prompt", "恢复提示词";
    return_model():
        "restore the earlier model route, or take a cheaper one",
        "恢复模型路由，或改用更便宜的路由";
    shorten_context(): "shorten the context: restore the earlier prompt", "缩短上下文，恢复提示词";
    return_tools(): "restore the earlier tool schema", "恢复工具 schema";
    disable_tool_server(): "disable the new tool server", "停用新的工具服务";
    switch_reranker_off(): "switch the reranker off", "关闭重排模型";
    lower_max_tokens(): "lower max_tokens", "调低 max_tokens";
    return_release():
        "restore the whole earlier release: if no single dimension helped",
        "回滚整个版本：单个维度均无效时";
    signal(metric, change): "the {metric} is {change}", "{metric}{change}";
    signal_in(metric, change, place): "the {metric} is {change} in {place}", "{place} 的{metric}{change}";
    reported_worse(kind): "{kind} is reported worse", "{kind} 被报告变差";
}

//! Sentences of notifications, and of the guards of a night.

use crate::words::text::texts;

texts! {
    rollback_of(release, what): "Rollback of {release}: {what}", "{release} 回滚：{what}";
    promotion_of(release, what): "Promotion of {release}: {what}", "{release} 放量：{what}";
    invalid_data(release, what): "Invalid data about {release}: {what}", "{release} 数据无效：{what}";
    one_layer(layer): "layer {layer}", "分层 {layer}";
    layers(n): "{n} layers", "{n} 个分层";
    layers_of_tenants(n, tenants): "{n} layers of {tenants} tenants", "{tenants} 个租户的 {n} 个分层";
    guard_stopped(guard, release):
        "Guard {guard} stopped the night of {release}",
        "夜间守卫 {guard} 中止了 {release} 的夜间任务";
    failure_of(release, stage):
        "Failure of the night of {release}, at {stage}",
        "{release} 的夜间任务在 {stage} 失败";
    test_of(event): "Test of notifications ({event}): nothing happened", "通知测试（{event}）：没有任何变更";
    test_reason():
        "sluice notify sent this message to try the sink; no ratio changed.",
        "此消息由 sluice notify 发送，用于测试通知渠道，比例未变。";
    plan_named(plan): "plan {plan}", "计划 {plan}";
    unread_plan(): "a plan that could not be read", "无法读取的计划";
    plan_as_of(plan, at): "plan {plan}, as of {at}", "计划 {plan}，数据截至 {at}";
    more_layers(n): "further layers: {n}", "另有 {n} 个分层";
    report_at(place): "report: {place}", "报告：{place}";
    targets_failed(n, of, why): "{n} of {of} targets failed: {why}", "{of} 个目标中有 {n} 个失败：{why}";

    // Guards.
    n_users(n): "{n} users", "{n} 名用户";
    bad_user_rows(n, of, share):
        "{n} of {of} rows of the users table cannot be used ({share})",
        "用户表 {of} 行中有 {n} 行无法使用（{share}）";
    moved(n, of, share):
        "{n} of {of} users moved to another layer ({share})",
        "{of} 名用户中有 {n} 名更换了分层（{share}）";
    psi(value, tenant):
        "the population stability index of the score is {value} in tenant {tenant}",
        "租户 {tenant} 的得分群体稳定性指数为 {value}";
    new_users(n, of, share):
        "{n} of {of} users are new ({share})",
        "{of} 名用户中有 {n} 名是新用户（{share}）";
    gone_users(n, of, share):
        "{n} of {of} users are gone ({share})",
        "{of} 名用户中有 {n} 名已消失（{share}）";
    user_columns_kept():
        "every column of the users that had values still has values",
        "用户表中原有值的列均仍有值";
    user_columns_gone(columns):
        "columns of the users that had values have none now: {columns}",
        "用户表中原有值的列现已无值：{columns}";
    log_columns_kept():
        "every column of the log that had values still has values",
        "日志中原有值的列均仍有值";
    log_columns_gone(columns):
        "columns of the log that had values have none now: {columns}",
        "日志中原有值的列现已无值：{columns}";
    new_rows(n): "{n} new rows between the plan's start and as_of", "计划开始至 as_of 之间有 {n} 行新记录";
    bad_rows(n, of, share):
        "{n} of {of} new rows cannot be used ({share})",
        "{of} 行新记录中有 {n} 行无法使用（{share}）";
    covered_new(n, of, share):
        "{n} of {of} new rows have a known user and release ({share})",
        "{of} 行新记录中有 {n} 行的用户与版本已知（{share}）";
    covered_all(n, of, share):
        "{n} of {of} rows of the whole log have a known user and release ({share})",
        "全部 {of} 行日志中有 {n} 行的用户与版本已知（{share}）";
    age(hours):
        "the newest row of a known user is {hours} older than as_of",
        "已知用户的最新记录比 as_of 早 {hours}";
    guard_limit(found, key):
        "{found}. Nothing was replaced or published; the limit is {key}.",
        "{found}。未替换也未发布任何内容，限制为 {key}。";
}

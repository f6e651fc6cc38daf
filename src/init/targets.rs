//! The columns of Sluice that a file may have, with the names that people give them.

/// The kind of a column: which values fit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A key with many values.
    Id,
    /// A text with few values.
    Label,
    /// An instant.
    Time,
    /// A length of time.
    Duration,
    /// An amount of money, of a turn or of a user.
    Money,
    /// An amount of a user or an event, in any currency.
    Value,
    /// True or false.
    Flag,
    /// Whether a turn got an answer: flags, status codes, words of a status, errors.
    Success,
    /// Whether a turn was rated bad: flags, thumbs, ratings.
    Bad,
    /// A whole number of things.
    Count,
    /// A number of uses.
    Uses,
    /// Points of a scale of at least 0.
    Points,
    /// Points of -100 to 100.
    Promoter,
    /// A willingness of 0 to 10.
    Acceptance,
}

/// A column of Sluice.
pub(crate) struct Target {
    pub(crate) column: &'static str,
    pub(crate) kind: Kind,
    /// Names that mean this column.
    pub(crate) names: &'static [&'static str],
    /// Names that may mean this column, and often mean something else.
    pub(crate) weak: &'static [&'static str],
}

#[rustfmt::skip]
const USER_NAMES: &[&str] = &[
    "user id", "userid", "uid", "user", "customer id", "customer", "client id", "member id", "account id",
    "visitor id", "person id", "player id", "subscriber id", "end user", "user uuid", "user key",
    "user name", "username", "openid", "open id", "buyer id", "cust id", "device id", "anonymous id",
    "distinct id", "shopper id", "passenger id", "用户id", "用户编号", "用户标识", "用户", "客户id", "客户编号", "客户号", "客户",
    "会员id", "会员编号", "会员号", "会员", "账号id", "账号", "账户", "买家id", "设备id",
];
#[rustfmt::skip]
const WEAK_USER_NAMES: &[&str] = &[
    "id", "编号", "账户id", "account", "member", "client", "user hash", "device", "cookie", "cookie id", "ip",
    "email", "e mail", "mail", "email address", "user email", "user mail", "login", "phone", "mobile", "nickname",
    "邮箱", "用户邮箱", "电子邮箱", "手机号", "手机", "昵称",
];

#[rustfmt::skip]
const TENANT_NAMES: &[&str] = &[
    "tenant id", "tenant", "org id", "organization id", "organization", "org", "workspace id", "workspace",
    "business unit", "租户id", "租户", "租户编号", "企业id", "企业",
];
#[rustfmt::skip]
const WEAK_TENANT_NAMES: &[&str] = &[
    "team id", "team", "project id", "store id", "shop id", "merchant id", "brand", "团队", "部门", "店铺", "商户",
];

#[rustfmt::skip]
const EVENT_TIME_NAMES: &[&str] = &[
    "event time", "timestamp", "tstamp", "ts", "time", "datetime", "date time", "event timestamp", "event date",
    "request time", "start time", "started at", "created at", "create time", "created", "occurred at",
    "logged at", "log time", "date", "call time", "turn time", "msg time", "message time", "order date",
    "invoice date", "transaction date", "event at", "purchase date", "order time", "visit time",
    "time stamp", "startTimeUnixNano", "ingest time", "received at", "时间", "时间戳", "事件时间", "请求时间", "创建时间",
    "日期", "发生时间", "开始时间", "下单时间", "交易时间", "对话时间", "日志时间", "调用时间", "记录时间",
];
#[rustfmt::skip]
const WEAK_EVENT_TIME_NAMES: &[&str] = &[
    "at", "day", "when", "end time", "ended at", "updated at", "finish time", "完成时间", "更新时间", "结束时间",
];

#[rustfmt::skip]
const LAYER: Target = Target {
    column: "layer",
    kind: Kind::Label,
    names: &["user layer", "served layer", "rollout layer", "gray layer", "用户分层", "灰度层"],
    weak: &["layer", "分层"],
};

/// The columns of a users table.
#[rustfmt::skip]
pub(crate) const USERS: &[Target] = &[
    Target {
        column: "user_id",
        kind: Kind::Id,
        names: USER_NAMES,
        weak: WEAK_USER_NAMES,
    },
    Target {
        column: "tenant_id",
        kind: Kind::Label,
        names: TENANT_NAMES,
        weak: &[],
    },
    Target {
        column: "last_use_time",
        kind: Kind::Time,
        names: &[
            "last use time", "last use", "last used at", "last seen", "last seen at", "last active",
            "last active at", "last active time", "last login", "last login time", "last login at",
            "last visit", "last visit time", "last order date", "last purchase", "last purchase date",
            "last activity", "last activity date", "last session", "last event", "last request",
            "most recent visit", "last access", "最近使用时间", "最后使用时间", "最近登录时间", "最后登录时间", "最近登录", "最后登录",
            "最近活跃时间", "最近活跃", "最后活跃时间", "最后活跃", "最近访问时间", "最后访问时间", "最近访问", "上次使用", "上次登录", "上次访问",
            "最近购买时间", "最近下单时间", "最近消费时间", "最近购买日期", "最后下单时间", "最近一次登录",
        ],
        weak: &["last", "recent date", "updated at", "modified at", "更新时间"],
    },
    Target {
        column: "use_count",
        kind: Kind::Uses,
        names: &[
            "use count", "usage count", "uses", "usage", "visits", "visit count", "n visits", "sessions",
            "session count", "n sessions", "logins", "login count", "orders", "order count", "n orders",
            "num orders", "frequency", "purchases", "purchase count", "requests", "request count", "turns",
            "messages", "message count", "n events", "event count", "transactions", "transaction count",
            "total sessions", "total orders", "active days", "conversations", "calls", "rounds", "使用次数",
            "访问次数", "登录次数", "订单数", "订单量", "购买次数", "下单次数", "消费次数", "会话数", "请求次数", "调用次数", "活跃天数", "对话次数",
            "咨询次数", "次数",
        ],
        weak: &["count", "freq", "n", "total", "数量"],
    },
    Target {
        column: "user_value",
        kind: Kind::Value,
        names: &[
            "user value", "customer value", "ltv", "lifetime value", "clv", "spent", "spend",
            "total spent", "total spend", "revenue", "total revenue", "gmv", "monetary", "monetary value",
            "total amount", "amount", "total charges", "purchase amount", "arpu", "payment", "total paid",
            "paid", "balance", "annual spend", "sales", "mrr", "arr", "消费金额", "累计消费", "累计金额", "年消费",
            "年消费额", "消费额", "成交额", "交易额", "付费金额", "充值金额", "订单金额", "总金额", "金额", "消费总额", "客单价", "资产",
        ],
        weak: &["value", "income", "price", "money", "charges", "monthly charges", "价值"],
    },
    Target {
        column: "accept_score",
        kind: Kind::Acceptance,
        names: &[
            "accept score", "acceptance", "acceptance score", "ai acceptance", "accept", "willingness",
            "adoption score", "openness", "innovation score", "tech affinity", "接受度", "ai接受度", "接受程度",
            "新功能接受度", "意愿",
        ],
        weak: &["affinity", "adoption"],
    },
    Target {
        column: "is_allow_gray",
        kind: Kind::Flag,
        names: &[
            "is allow gray", "allow gray", "consent", "opt in", "opted in", "optin", "is opt in", "beta",
            "is beta", "beta tester", "beta opt in", "allow beta", "gray", "grey", "gray consent",
            "experiment consent", "early access", "agree", "agreed", "allow experiment",
            "allow experiments", "accept gray", "允许灰度", "同意灰度", "灰度同意", "是否同意灰度", "灰度", "是否允许灰度", "同意",
            "是否同意", "内测", "愿意参与", "参与灰度",
        ],
        weak: &["allow", "permission", "授权"],
    },
];

/// The columns of a log of events.
#[rustfmt::skip]
pub(crate) const EVENTS: &[Target] = &[
    Target {
        column: "user_id",
        kind: Kind::Id,
        names: USER_NAMES,
        weak: WEAK_USER_NAMES,
    },
    Target {
        column: "event_time",
        kind: Kind::Time,
        names: EVENT_TIME_NAMES,
        weak: WEAK_EVENT_TIME_NAMES,
    },
    Target {
        column: "value",
        kind: Kind::Value,
        names: &[
            "value", "dollar value", "amount", "amount usd", "revenue", "total", "price", "order value",
            "spent", "spend", "gmv", "payment", "paid", "sales", "order amount", "transaction amount",
            "purchase amount", "金额", "订单金额", "消费金额", "交易金额", "支付金额", "成交金额", "价格",
        ],
        weak: &["unit price", "cost", "charge", "单价"],
    },
    Target {
        column: "tenant_id",
        kind: Kind::Label,
        names: TENANT_NAMES,
        weak: &[],
    },
];

/// The columns of a traffic log.
#[rustfmt::skip]
pub(crate) const TRAFFIC: &[Target] = &[
    Target {
        column: "event_time",
        kind: Kind::Time,
        names: EVENT_TIME_NAMES,
        weak: WEAK_EVENT_TIME_NAMES,
    },
    Target {
        column: "user_id",
        kind: Kind::Id,
        names: USER_NAMES,
        weak: WEAK_USER_NAMES,
    },
    Target {
        column: "release_id",
        kind: Kind::Label,
        names: &[
            "release id", "release", "release version", "version", "app version", "agent version",
            "bot version", "model version", "variant", "variant id", "experiment group", "test group",
            "ab group", "treatment", "arm", "group", "experiment arm", "experiment variant", "variation",
            "variation id", "build", "build id", "deployment", "revision", "ab variant", "exp group",
            "bucket", "con treat", "control or treatment", "release name", "agent", "bot", "版本", "版本号",
            "发布版本", "发布", "模型版本", "实验组", "实验分组", "分组", "灰度版本", "机器人版本", "应用版本", "对照组", "策略",
        ],
        weak: &[
            "model", "model name", "model id", "model group", "engine", "policy", "condition", "cohort",
            "landing page", "algorithm", "strategy", "experiment", "prompt version", "prompt", "variety",
            "campaign", "assignment", "label", "method", "模型", "模型名称", "算法", "组别", "实验", "提示词版本",
        ],
    },
    Target {
        column: "tenant_id",
        kind: Kind::Label,
        names: TENANT_NAMES,
        weak: WEAK_TENANT_NAMES,
    },
    LAYER,
    Target {
        column: "trace_id",
        kind: Kind::Id,
        names: &[
            "trace id", "trace", "request id", "req id", "requestid", "call id", "message id", "msg id",
            "turn id", "span id", "completion id", "generation id", "interaction id", "event id", "log id",
            "correlation id", "请求id", "请求编号", "追踪id", "消息id", "流水号", "日志id", "调用id", "链路id",
        ],
        weak: &["uuid", "id", "transaction id", "order id", "run id"],
    },
    Target {
        column: "session_id",
        kind: Kind::Id,
        names: &[
            "session id", "session", "conversation id", "conversation", "chat id", "thread id",
            "dialog id", "dialogue id", "ticket id", "case id", "visit id", "conv id", "会话id", "会话",
            "会话编号", "对话id", "对话编号", "对话", "工单号", "工单id", "会话标识",
        ],
        weak: &["thread", "ticket", "dialog"],
    },
    Target {
        column: "is_shadow",
        kind: Kind::Flag,
        names: &["is shadow", "shadow", "mirrored", "is mirror", "shadow traffic", "影子", "影子流量", "是否影子"],
        weak: &[],
    },
    Target {
        column: "is_eval",
        kind: Kind::Flag,
        names: &[
            "is eval", "is evaluation", "is test", "eval", "synthetic", "is synthetic", "evaluation",
            "是否评测", "评测", "测试流量", "是否测试",
        ],
        weak: &["test"],
    },
    Target {
        column: "success",
        kind: Kind::Success,
        names: &[
            "success", "is success", "succeeded", "ok", "is ok", "status", "status code", "http status",
            "http code", "http status code", "response code", "response status", "result status", "error",
            "is error", "has error", "errored", "error code", "error message", "error type", "failed",
            "is failed", "failure", "available", "request status", "exception", "timed out", "状态码", "状态",
            "响应码", "返回码", "是否成功", "成功", "请求状态", "错误", "是否失败", "错误码", "错误信息", "结果",
        ],
        weak: &["code", "result", "level", "finish reason", "err"],
    },
    Target {
        column: "latency_ms",
        kind: Kind::Duration,
        names: &[
            "latency", "latency ms", "duration", "response time", "elapsed", "elapsed time",
            "request duration", "total time", "e2e latency", "total latency", "time taken", "took",
            "processing time", "process time", "response latency", "duration ms", "elapsed ms", "time ms",
            "latency s", "latency seconds", "duration s", "duration seconds", "rt", "cost time", "rtt",
            "耗时", "延迟", "时延", "响应时间", "响应时长", "耗时ms", "请求耗时", "响应耗时", "处理时间", "用时", "处理时长", "总耗时", "时长",
        ],
        weak: &["ttft", "time to first token", "first token latency", "首字耗时", "首token耗时"],
    },
    Target {
        column: "tool_calls",
        kind: Kind::Count,
        names: &[
            "tool calls", "n tool calls", "num tool calls", "tool call count", "tool count", "n tools",
            "n agent tool calls", "function calls", "工具调用次数", "工具调用数", "工具调用", "工具次数",
        ],
        weak: &["tools"],
    },
    Target {
        column: "tool_successes",
        kind: Kind::Count,
        names: &[
            "tool successes", "tool success count", "tool calls ok", "tools ok", "successful tool calls",
            "tool success", "tool calls success", "tool calls succeeded", "工具成功次数", "工具调用成功次数", "工具成功数",
            "工具成功",
        ],
        weak: &[],
    },
    Target {
        column: "task_completed",
        kind: Kind::Flag,
        names: &[
            "task completed", "completed", "is completed", "task success", "task complete", "resolved",
            "is resolved", "solved", "is solved", "goal completed", "goal achieved", "issue resolved",
            "task done", "task status", "finished", "done", "resolution", "任务完成", "是否完成", "已完成", "是否解决",
            "已解决", "任务成功", "问题解决", "解决", "完成", "完成状态", "任务状态",
        ],
        weak: &["outcome", "reward", "correct", "is correct", "passed", "pass", "fulfilled"],
    },
    Target {
        column: "bad",
        kind: Kind::Bad,
        names: &[
            "bad", "is bad", "thumbs down", "thumb down", "thumb", "thumbs", "dislike", "disliked",
            "downvote", "downvoted", "negative feedback", "feedback", "user feedback", "rating", "vote",
            "bad rating", "badcase", "is badcase", "user rating", "点踩", "踩", "差评", "反馈", "用户反馈", "点赞点踩",
            "不满意", "赞踩", "评价", "点赞", "是否点踩",
        ],
        weak: &["sentiment", "like", "reaction", "stars", "score", "user score", "评分"],
    },
    Target {
        column: "complaint",
        kind: Kind::Flag,
        names: &[
            "complaint", "complaints", "is complaint", "complained", "has complaint", "complain",
            "n complaints", "投诉", "是否投诉", "投诉数", "客诉", "有投诉",
        ],
        weak: &["dispute"],
    },
    Target {
        column: "escalated",
        kind: Kind::Flag,
        names: &[
            "escalated", "escalation", "is escalated", "handoff", "hand off", "handover", "human handoff",
            "transferred", "transfer to human", "to human", "human takeover", "转人工", "是否转人工", "人工接管", "升级",
        ],
        weak: &["human", "transfer", "人工"],
    },
    Target {
        column: "refused",
        kind: Kind::Flag,
        names: &[
            "refused", "refusal", "is refusal", "is refused", "declined", "rejected by agent", "拒答",
            "是否拒答", "拒绝回答",
        ],
        weak: &["rejected", "blocked", "拒绝"],
    },
    Target {
        column: "incident",
        kind: Kind::Flag,
        names: &[
            "incident", "is incident", "incidents", "safety incident", "security incident", "事故", "是否事故",
            "安全事件", "故障",
        ],
        weak: &["violation", "unsafe"],
    },
    Target {
        column: "tokens_in",
        kind: Kind::Count,
        names: &[
            "tokens in", "input tokens", "prompt tokens", "n input tokens", "token in",
            "input token count", "prompt token count", "in tokens", "input token", "输入token", "输入tokens",
            "输入token数", "提示token", "输入令牌",
        ],
        weak: &[],
    },
    Target {
        column: "tokens_out",
        kind: Kind::Count,
        names: &[
            "tokens out", "output tokens", "completion tokens", "n output tokens", "token out",
            "output token count", "completion token count", "generated tokens", "response tokens",
            "out tokens", "output token", "输出token", "输出tokens", "输出token数", "生成token", "输出令牌",
        ],
        weak: &[],
    },
    Target {
        column: "cost_usd",
        kind: Kind::Money,
        names: &[
            "cost usd", "cost", "total cost", "spend", "request cost", "llm cost", "price usd",
            "response cost", "cost cents", "cost dollars", "model cost", "fee", "费用", "成本", "花费", "调用费用",
            "模型费用", "费用分", "费用元",
        ],
        weak: &["price", "charge", "amount", "金额"],
    },
    Target {
        column: "csat",
        kind: Kind::Points,
        names: &[
            "csat", "satisfaction", "csat score", "satisfaction score", "user satisfaction",
            "customer satisfaction", "stars", "star rating", "rating", "满意度", "满意度评分", "用户评分", "评分", "星级",
        ],
        weak: &["score", "review score", "user score", "得分"],
    },
    Target {
        column: "nps",
        kind: Kind::Promoter,
        names: &["nps", "nps score", "net promoter score", "净推荐值", "推荐分"],
        weak: &[],
    },
    Target {
        column: "feature",
        kind: Kind::Label,
        names: &["feature name", "product feature", "功能"],
        weak: &["feature"],
    },
];

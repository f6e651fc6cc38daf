//! The keys of `[[notify]]` as they are written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::schema::words;
use crate::scenario::sink::{LANGS, NotifyEvent};

/// A sink of notifications, for `sluice night`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["to"]))]
pub(super) struct RawNotify {
    /// Address of the sink: `webhook:$NAME`, `slack:$NAME`, `feishu:$NAME`, `dingtalk:$NAME`,
    /// `mailto:USER@HOST` or `file:PATH`. `$NAME` is an environment variable with the URL. A URL
    /// itself is refused here: it holds a secret.
    #[schemars(length(min = 1), example = &"slack:$SLACK_WEBHOOK")]
    pub(super) to: Option<String>,
    /// Events that the sink is notified of.
    #[schemars(
        length(min = 1),
        extend("items" = events(), "x-default" = "all events"),
        example = ["rollback", "failure"]
    )]
    pub(super) on: Option<Vec<String>>,
    /// Environment variable with the signing secret of a bot of Feishu or DingTalk. Requests are
    /// unsigned if the variable does not exist.
    #[schemars(
        regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"),
        extend("x-default" = "`SLUICE_FEISHU_SECRET` or `SLUICE_DINGTALK_SECRET`"),
        example = &"OPS_BOT_SECRET"
    )]
    pub(super) secret_env: Option<String>,
    /// Language of titles and texts: `en` or `zh`. Requests of a webhook and lines of a file hold the
    /// reasons in both languages.
    #[schemars(extend("enum" = words(&LANGS), "default" = LANGS[0].0), example = &"zh")]
    pub(super) lang: Option<String>,
}

/// Returns the schema of an event.
fn events() -> Value {
    json!({"type": "string", "enum": words(&NotifyEvent::ALL)})
}

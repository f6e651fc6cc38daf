//! The bodies of requests: JSON for webhooks, and the messages of Slack, Feishu and DingTalk.
//!
//! Texts are in fields that the systems show as they are, so that no text of others becomes a
//! mention, a link or emphasis. Only the field `text` of Slack has an escaping of its own.

use serde_json::{Value, json};

use crate::base::json::to_json;
use crate::notify::message::Notification;
use crate::scenario::{NotifyEvent, SinkKind};

/// The most characters of a section of Slack (3,000), less some for `...`.
const MAX_SECTION: usize = 2_900;
/// The most characters of a header of Slack (150), less some for `...`.
const MAX_HEADER: usize = 140;
/// The most bytes of a text of Feishu and DingTalk, whose requests may have 20 kB.
const MAX_CHAT_BYTES: usize = 12_000;

/// The JSON body of a request. `now_seconds` and `signature` are those of a signed request to
/// Feishu, which takes them in the body.
pub(super) fn body(kind: SinkKind, notification: &Notification, signed: Option<&(String, String)>) -> String {
    match kind {
        SinkKind::Slack => slack(notification).to_string(),
        SinkKind::Feishu => feishu(notification, signed).to_string(),
        SinkKind::DingTalk => dingtalk(notification).to_string(),
        SinkKind::Webhook | SinkKind::Mail | SinkKind::File => to_json(notification),
    }
}

/// A message of Slack. `text` is what notifications and compatible systems show; Slack itself shows
/// the blocks, as plain text.
fn slack(notification: &Notification) -> Value {
    let text = fitted(&notification.text, MAX_SECTION, |text| text.chars().count());
    let title = fitted(&notification.title, MAX_HEADER, |text| text.chars().count());
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": title, "emoji": false},
    })];
    let body = fitted(notification.body(), MAX_SECTION, |text| text.chars().count());
    if !body.is_empty() {
        blocks.push(json!({
            "type": "section",
            "text": {"type": "plain_text", "text": body, "emoji": false},
        }));
    }
    json!({
        "text": slack_escaped(&text),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

/// Escapes the three characters that start mentions, links and entities in Slack.
fn slack_escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A card of Feishu, with plain text only.
fn feishu(notification: &Notification, signed: Option<&(String, String)>) -> Value {
    let body = fitted(notification.body(), MAX_CHAT_BYTES, str::len);
    let template = match notification.event {
        _ if notification.is_test => "grey",
        NotifyEvent::Promotion => "green",
        NotifyEvent::Rollback | NotifyEvent::Failure => "red",
        NotifyEvent::Invalid | NotifyEvent::Guard => "orange",
    };
    let mut message = json!({
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": true},
            "header": {
                "template": template,
                "title": {"tag": "plain_text", "content": notification.title},
            },
            "elements": [{"tag": "div", "text": {"tag": "plain_text", "content": body}}],
        },
    });
    if let Some((timestamp, sign)) = signed {
        message["timestamp"] = json!(timestamp);
        message["sign"] = json!(sign);
    }
    message
}

/// A text message of DingTalk. Its Markdown has no escape for text of others.
fn dingtalk(notification: &Notification) -> Value {
    json!({
        "msgtype": "text",
        "text": {"content": fitted(&notification.text, MAX_CHAT_BYTES, str::len)},
        "at": {"atMobiles": [], "atUserIds": [], "isAtAll": false},
    })
}

/// A text of at most `max` units, as `count` counts them. A longer one loses whole lines at its
/// end, or characters of a single line, and ends with `...`.
fn fitted(text: &str, max: usize, count: impl Fn(&str) -> usize) -> String {
    if count(text) <= max {
        return text.to_owned();
    }
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        if count(&out) + count(line) + 3 > max {
            break;
        }
        out.push_str(line);
    }
    if out.is_empty() {
        let mut n_units = 3;
        for c in text.chars() {
            n_units += count(c.encode_utf8(&mut [0; 4]));
            if n_units > max {
                break;
            }
            out.push(c);
        }
    }
    out.push_str("...");
    out
}

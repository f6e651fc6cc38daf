//! Requests to webhooks, by ureq with rustls.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use std::io;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{HeaderMap, Response};
use ureq::tls::{RootCerts, TlsConfig};

use crate::base::objects::system_certificates;
use crate::notify::attempt::Attempt;
use crate::notify::formats;
use crate::notify::message::Notification;
use crate::notify::sign::hmac_sha256;
use crate::notify::sink::Sink;
use crate::scenario::SinkKind;

/// The most bytes of an answer that are read.
const MAX_ANSWER: u64 = 64 << 10;
/// Codes of answers that say that a later request may succeed: the frequency limit of Feishu, and
/// the frequency limit and a busy system of DingTalk.
const LATER: [i64; 3] = [11_232, 130_101, -1];

/// A client for one sink.
pub(super) struct Client(Agent);

impl Client {
    pub(super) fn new(sink: &Sink) -> Self {
        let mut tls = TlsConfig::builder();
        if sink.location.starts_with("https:") {
            // The certificates of ureq are used if the system has none.
            let trusted = system_certificates();
            if !trusted.is_empty() {
                tls = tls.root_certs(RootCerts::new_with_certs(&trusted));
            }
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would pass the secret of the address, and the message, to another server.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build();
        Self(Agent::new_with_config(config))
    }

    /// Sends a notification within `limit`.
    pub(super) fn post(&self, sink: &Sink, notification: &Notification, limit: Duration) -> Attempt {
        let now = Timestamp::now();
        let signed = feishu_signature(sink, now);
        let body = formats::body(sink.kind, notification, signed.as_ref());
        let url = signed_url(sink, now);
        let answer = self
            .0
            .post(&url)
            .config()
            .timeout_global(Some(limit))
            .build()
            .header("content-type", "application/json; charset=utf-8")
            .header("idempotency-key", &notification.id)
            .send(&body);
        match answer {
            Ok(answer) => judged(sink, answer, now),
            Err(error) => Attempt::Again(sink.shown(&explained(&error, limit)), None),
        }
    }
}

/// Timestamp and signature of a request to Feishu: the key is `timestamp "\n" secret`, the message
/// is empty. `None` for other sinks, and without a secret.
fn feishu_signature(sink: &Sink, now: Timestamp) -> Option<(String, String)> {
    let secret = sink.secret.as_ref().filter(|_| sink.kind == SinkKind::Feishu)?;
    let timestamp = now.as_second().to_string();
    let key = format!("{timestamp}\n{secret}");
    Some((timestamp, STANDARD.encode(hmac_sha256(key.as_bytes(), b""))))
}

/// The URL of a request. DingTalk takes the time in milliseconds, and the signature of
/// `timestamp "\n" secret` with the secret as key, in the query.
fn signed_url(sink: &Sink, now: Timestamp) -> String {
    let url = sink.location.clone();
    let Some(secret) = sink.secret.as_ref().filter(|_| sink.kind == SinkKind::DingTalk) else {
        return url;
    };
    let timestamp = now.as_millisecond();
    let message = format!("{timestamp}\n{secret}");
    let sign = STANDARD
        .encode(hmac_sha256(secret.as_bytes(), message.as_bytes()))
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}timestamp={timestamp}&sign={sign}")
}

/// A text for an error of the client, which may quote the URL in its own.
fn explained(error: &ureq::Error, limit: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} s", limit.as_secs_f64().ceil()),
        ureq::Error::HostNotFound => "the host has no address".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "the connection was refused".to_owned()
        }
        ureq::Error::BadUri(_) => "the address is no URL".to_owned(),
        error => error.to_string(),
    }
}

/// The outcome of an attempt that the server answered.
fn judged(sink: &Sink, answer: Response<ureq::Body>, now: Timestamp) -> Attempt {
    let (parts, mut body) = answer.into_parts();
    let status = parts.status;
    let asked = retry_after(&parts.headers, now);
    let is_read = matches!(sink.kind, SinkKind::Feishu | SinkKind::DingTalk);
    if status.is_success() && !is_read {
        return Attempt::Sent;
    }
    let text = body.with_config().limit(MAX_ANSWER).read_to_string();
    if status.is_success() {
        return match text {
            Ok(text) => judged_code(sink, &text),
            Err(ureq::Error::BodyExceedsLimit(_)) => Attempt::Failed(format!(
                "expected a short answer with a code, found one of more than {MAX_ANSWER} bytes"
            )),
            Err(error) => Attempt::Again(sink.shown(&explained(&error, Duration::ZERO)), None),
        };
    }
    if status.is_redirection() {
        return Attempt::Failed(format!(
            "the server answered with a redirect (status {}), which is not followed because it would pass the \
             secret on: give the final address",
            status.as_u16()
        ));
    }
    let said = text.map(|text| sink.shown(&text)).unwrap_or_default();
    let separator = if said.is_empty() { "" } else { ": " };
    let why = format!("status {}{separator}{said}", status.as_u16());
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        Attempt::Again(why, asked)
    } else {
        Attempt::Failed(why)
    }
}

/// The outcome of an attempt by the code in the body of an answer: `code` of Feishu (`StatusCode` in
/// earlier versions) and `errcode` of DingTalk are 0 when the message was taken.
fn judged_code(sink: &Sink, text: &str) -> Attempt {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let names: &[&str] = match sink.kind {
        SinkKind::Feishu => &["code", "StatusCode"],
        _ => &["errcode"],
    };
    match names.iter().find_map(|name| answer[*name].as_i64()) {
        Some(0) => Attempt::Sent,
        Some(code) => {
            let said = ["msg", "errmsg"].iter().find_map(|name| answer[*name].as_str());
            let why = format!("code {code}: {}", sink.shown(said.unwrap_or("no message")));
            if LATER.contains(&code) {
                Attempt::Again(why, None)
            } else {
                Attempt::Failed(why)
            }
        }
        None => Attempt::Failed(format!(
            "expected `{}` in the answer, found: {}",
            names[0],
            sink.shown(text)
        )),
    }
}

/// The time that `Retry-After` asks to wait: seconds, or an instant. `None` without a readable
/// header.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let instant = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = instant.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or_default())
}

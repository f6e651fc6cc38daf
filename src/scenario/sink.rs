//! Sinks of notifications: events, addresses without secrets, and the entries `[[notify]]`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

use crate::words::Lang;

/// An event that people are notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyEvent {
    /// A layer was rolled back to ratio 0.
    Rollback,
    /// A layer was promoted to a higher ratio.
    Promotion,
    /// The data of a layer cannot be trusted.
    Invalid,
    /// A guard stopped the night before anything was replaced or published.
    Guard,
    /// The night failed, for example because a target could not be reached.
    Failure,
}

impl NotifyEvent {
    /// Every event with its word in scenarios and documents, the most urgent first.
    pub const ALL: [(&'static str, Self); 5] = [
        ("rollback", Self::Rollback),
        ("promotion", Self::Promotion),
        ("invalid", Self::Invalid),
        ("guard", Self::Guard),
        ("failure", Self::Failure),
    ];

    /// The word of the event, such as `rollback`.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, event)| *event == self)
            .map_or("", |(name, _)| name)
    }

    /// All events.
    pub fn all() -> Vec<Self> {
        Self::ALL.iter().map(|(_, event)| *event).collect()
    }
}

/// The kind of a sink: the format of the message, and the way that it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkKind {
    /// A URL that takes the JSON document `sluice.notification/1`.
    Webhook,
    /// An incoming webhook of Slack, or of a system that takes the same messages.
    Slack,
    /// A custom bot of Feishu or Lark.
    Feishu,
    /// A custom bot of DingTalk.
    DingTalk,
    /// E-mail by the local program `sendmail`.
    Mail,
    /// A file, to which one line of JSON is appended for each notification.
    File,
}

impl SinkKind {
    /// Every kind with its word in addresses.
    pub const ALL: [(&'static str, Self); 6] = [
        ("webhook", Self::Webhook),
        ("slack", Self::Slack),
        ("feishu", Self::Feishu),
        ("dingtalk", Self::DingTalk),
        ("mailto", Self::Mail),
        ("file", Self::File),
    ];

    /// The word of the kind in addresses, such as `slack`.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether the sink is a URL, of which path and query are secret.
    pub fn is_web(self) -> bool {
        !matches!(self, Self::Mail | Self::File)
    }

    /// The environment variable of the signing secret, unless the entry names another. `None` for
    /// kinds that do not sign.
    pub fn default_secret_env(self) -> Option<&'static str> {
        match self {
            Self::Feishu => Some("SLUICE_FEISHU_SECRET"),
            Self::DingTalk => Some("SLUICE_DINGTALK_SECRET"),
            _ => None,
        }
    }
}

/// Where the location of a sink is.
#[derive(Clone, PartialEq, Eq)]
pub enum SinkLocation {
    /// In the address itself.
    Literal(String),
    /// In the environment variable of this name.
    Env(String),
}

/// The address of a sink, such as `slack:$SLACK_WEBHOOK`. As text it shows no path, query, user or
/// password of a URL.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkAddress {
    /// The kind of the sink.
    pub kind: SinkKind,
    /// The location, or the environment variable that holds it.
    pub location: SinkLocation,
}

impl SinkAddress {
    /// The file that the sink appends to. `None` for other sinks, and for a file that an environment
    /// variable names.
    pub fn file(&self) -> Option<&Path> {
        match (&self.kind, &self.location) {
            (SinkKind::File, SinkLocation::Literal(path)) => Some(Path::new(path)),
            _ => None,
        }
    }
}

impl fmt::Display for SinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.name();
        match &self.location {
            SinkLocation::Env(name) => write!(f, "{kind}:${name}"),
            SinkLocation::Literal(text) if self.kind.is_web() => match parts_of_url(text) {
                Some((scheme, host, _)) => write!(f, "{kind}:{scheme}://{host}/..."),
                None => write!(f, "{kind}:..."),
            },
            SinkLocation::Literal(text) => write!(f, "{kind}:{text}"),
        }
    }
}

impl fmt::Debug for SinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SinkAddress({self})")
    }
}

/// The forms of addresses, for messages.
const FORMS: &str = "webhook:URL, slack:URL, feishu:URL, dingtalk:URL, mailto:USER@HOST or file:PATH";
/// The most recipients of an e-mail.
const MAX_RECIPIENTS: usize = 50;

impl SinkAddress {
    /// Parses an address. `$NAME` in place of the location names an environment variable.
    ///
    /// # Errors
    /// What was expected, for an unknown kind and for a location that [`SinkAddress::check`]
    /// refuses. The text is never quoted: it may hold a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let unknown = || format!("expected {FORMS}, found an address of another kind");
        let (word, location) = text.split_once(':').ok_or_else(unknown)?;
        let (_, kind) = SinkKind::ALL
            .iter()
            .find(|(name, _)| *name == word)
            .ok_or_else(|| match word {
                "http" | "https" => {
                    format!("expected {FORMS}, found a URL without a kind: write `webhook:` before it")
                }
                _ => unknown(),
            })?;
        let location = match location.strip_prefix('$') {
            None => SinkLocation::Literal(location.to_owned()),
            Some(name) if is_variable(name) => SinkLocation::Env(name.to_owned()),
            Some(_) => {
                return Err(format!(
                    "expected the name of an environment variable behind `{word}:$`, of letters, digits and \
                     `_`, found other text"
                ));
            }
        };
        let address = Self {
            kind: *kind,
            location,
        };
        if let SinkLocation::Literal(text) = &address.location {
            address.check(text)?;
        }
        Ok(address)
    }

    /// Checks a location: that of the address, or the value of its environment variable.
    ///
    /// # Errors
    /// What was expected, for a URL that is not of http or https, has a user, or has characters
    /// that a URL cannot have; for an e-mail address that a header cannot take as it is; and for an
    /// empty path. The location is never quoted.
    pub fn check(&self, location: &str) -> Result<(), String> {
        let kind = self.kind.name();
        match self.kind {
            SinkKind::File if location.is_empty() || location.contains('\0') => {
                Err("expected a path behind `file:`, found none".to_owned())
            }
            SinkKind::File => Ok(()),
            SinkKind::Mail => {
                let recipients: Vec<&str> = location.split(',').collect();
                if recipients.len() > MAX_RECIPIENTS || !recipients.iter().all(|one| is_mail_address(one)) {
                    return Err(format!(
                        "expected 1 to {MAX_RECIPIENTS} addresses such as USER@HOST behind `mailto:`, with commas \
                         between them, found other text"
                    ));
                }
                Ok(())
            }
            _ if parts_of_url(location).is_some() => Ok(()),
            _ => Err(format!(
                "expected a URL such as https://HOST/PATH behind `{kind}:`, without user and password, found \
                 other text"
            )),
        }
    }

    /// The address with a relative path of a file joined to a folder.
    #[must_use]
    pub(super) fn in_folder(self, folder: &Path) -> Self {
        match (self.kind, self.location) {
            (SinkKind::File, SinkLocation::Literal(path)) => Self {
                kind: SinkKind::File,
                location: SinkLocation::Literal(folder.join(path).to_string_lossy().into_owned()),
            },
            (kind, location) => Self { kind, location },
        }
    }
}

/// Whether a text is the name of an environment variable.
pub(super) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The scheme, the host with its port, and the rest of a URL. `None` for text that is no URL of
/// http or https, or has a user or characters that a URL cannot have.
pub(crate) fn parts_of_url(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    let is_right = matches!(scheme, "http" | "https")
        && host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
        && host.chars().all(is_host)
        && path.chars().all(|c| c.is_ascii_graphic() && c != '#');
    is_right.then_some((scheme, host, path))
}

/// Whether a text is an e-mail address that a header and a command line take as it is.
fn is_mail_address(text: &str) -> bool {
    let Some((user, host)) = text.split_once('@') else {
        return false;
    };
    let is_user = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    text.len() <= 254
        && user.starts_with(|c: char| c != '-' && is_user(c))
        && user.chars().all(is_user)
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.chars().all(is_host)
}

/// The languages of notifications with their words in a scenario, the default first.
pub(super) const LANGS: [(&str, Lang); 2] = [("en", Lang::En), ("zh", Lang::Zh)];

/// An entry `[[notify]]` of a scenario, or an option `--notify`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Address of the sink.
    pub to: SinkAddress,
    /// Events that the sink is notified of.
    pub on: Vec<NotifyEvent>,
    /// Environment variable with the signing secret. `None` for that of the kind.
    pub secret_env: Option<String>,
    /// Language of title and text.
    pub lang: Lang,
}

impl Notify {
    /// The entry of `--notify SINK`: all events, and the signing secret of the kind.
    pub fn new(to: SinkAddress) -> Self {
        Self {
            to,
            on: NotifyEvent::all(),
            secret_env: None,
            lang: Lang::En,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        let check = |text: &str, expected: &str| {
            let address = SinkAddress::parse(text).unwrap();
            assert_eq!(address.to_string(), expected, "{text}");
            assert_eq!(format!("{address:?}"), format!("SinkAddress({expected})"));
        };
        check(
            "slack:https://hooks.slack.com/services/T0/B0/s3cret",
            "slack:https://hooks.slack.com/...",
        );
        check(
            "webhook:http://127.0.0.1:9?token=s3cret",
            "webhook:http://127.0.0.1:9/...",
        );
        check("webhook:http://[::1]:9/s3cret", "webhook:http://[::1]:9/...");
        check("feishu:$FEISHU_BOT", "feishu:$FEISHU_BOT");
        check("mailto:a@b.c,d+e@f.example", "mailto:a@b.c,d+e@f.example");
        check("file:log/notes.jsonl", "file:log/notes.jsonl");
    }

    #[test]
    fn wrong_addresses_are_refused_without_a_quote() {
        let check = |text: &str, expected: &str| {
            let error = SinkAddress::parse(text).unwrap_err();
            assert!(
                error.contains(expected) && !error.contains("s3cret"),
                "{text}: {error}"
            );
        };
        check("s3cret", "another kind");
        check("teams:https://s3cret", "another kind");
        check("https://hooks.slack.com/s3cret", "write `webhook:` before it");
        check(
            "slack:hooks.slack.com/s3cret",
            "https://HOST/PATH behind `slack:`",
        );
        check("slack:https://user:s3cret@host/x", "without user and password");
        check("webhook:ftp://host/s3cret", "https://HOST/PATH");
        check("webhook:https:///s3cret", "https://HOST/PATH");
        check("webhook:https://host/s3cret\r\nX: y", "https://HOST/PATH");
        check("webhook:https://host/s3cret#part", "https://HOST/PATH");
        check("slack:$s3cret-", "environment variable behind `slack:$`");
        check("slack:$", "environment variable behind `slack:$`");
        check("mailto:", "USER@HOST");
        check("mailto:s3cret", "USER@HOST");
        check("mailto:-Cs3cret@host", "USER@HOST");
        check("mailto:a@b\nBcc: s3cret@d", "USER@HOST");
        check("mailto:a@b, s3cret@d", "USER@HOST");
        check("mailto:a@-b", "USER@HOST");
        check("file:", "a path behind `file:`");
    }
}

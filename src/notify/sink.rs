//! Sinks that are ready to use: addresses and secrets from the environment, and texts without them.

use std::borrow::Cow;
use std::env;

use crate::base::error::{Error, Result};
use crate::base::escape;
use crate::base::url::percent_decoded;
use crate::scenario::sink::parts_of_url;
use crate::scenario::{Notify, SinkAddress, SinkKind, SinkLocation};
use crate::words::Lang;

/// Parses the addresses of an option such as `--notify`. Each sink takes all events, with texts in
/// `lang`.
///
/// The program's own parser of options would quote a wrong value, which may hold a secret. So
/// options hold texts, and commands call this function first.
///
/// # Errors
/// What [`SinkAddress::parse`] refuses, and a URL in a build without the feature `stores`. The
/// message names the option, and quotes no address.
pub fn parse_sinks(option: &str, texts: &[String], lang: Lang) -> Result<Vec<Notify>> {
    let parse = |text: &String| {
        let address = SinkAddress::parse(text)?;
        if address.kind.is_web() && !cfg!(feature = "stores") {
            return Err(without_web(address.kind));
        }
        Ok(Notify {
            lang,
            ..Notify::new(address)
        })
    };
    texts
        .iter()
        .map(|text| parse(text).map_err(|why: String| Error::usage(format!("{option}: {why}"))))
        .collect()
}

/// The message for a URL in a build without an HTTP client.
pub(super) fn without_web(kind: SinkKind) -> String {
    format!(
        "expected a sink of mailto or file, found {}: this build of sluice has no HTTP client, so build it with \
         the feature `stores`",
        kind.name()
    )
}

/// A sink whose location is known.
pub(super) struct Sink {
    pub(super) kind: SinkKind,
    /// The URL, the recipients or the path.
    pub(super) location: String,
    /// The secret that requests are signed with. `None` for unsigned requests.
    pub(super) secret: Option<String>,
}

impl Sink {
    /// Reads location and secret from the environment.
    ///
    /// # Errors
    /// What was expected, for a variable that does not exist or holds no location of the kind, and
    /// for a secret that the entry names and that does not exist.
    pub(super) fn resolve(notify: &Notify) -> Result<Self, String> {
        let kind = notify.to.kind;
        if kind.is_web() && !cfg!(feature = "stores") {
            return Err(without_web(kind));
        }
        let location = match &notify.to.location {
            SinkLocation::Literal(text) => text.clone(),
            SinkLocation::Env(name) => {
                let text = read_env(name)
                    .ok_or_else(|| format!("expected the address in {name}, found no such variable"))?;
                notify.to.check(&text).map_err(|why| format!("{name}: {why}"))?;
                text
            }
        };
        let secret =
            match (&notify.secret_env, kind.default_secret_env()) {
                (Some(name), _) => Some(read_env(name).ok_or_else(|| {
                    format!("expected the signing secret in {name}, found no such variable")
                })?),
                (None, Some(name)) => read_env(name),
                (None, None) => None,
            };
        Ok(Self {
            kind,
            location,
            secret,
        })
    }

    /// A text of others for a message: one line, short, with every part of the URL and of the
    /// secret replaced.
    pub(super) fn shown(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        if self.kind.is_web() {
            for secret in self.secrets() {
                if text.contains(secret.as_str()) {
                    text = Cow::Owned(text.replace(secret.as_str(), "..."));
                }
            }
        }
        escape::value(text.trim())
    }

    /// The parts of the sink that no text may show, the longest first.
    fn secrets(&self) -> Vec<String> {
        /// Shorter parts are words such as `v2` and `hook`, which are in every address.
        const MIN_LENGTH: usize = 6;
        let path = parts_of_url(&self.location).map_or("", |(_, _, path)| path);
        let mut secrets: Vec<String> = path.split(['/', '?', '&', '=']).map(str::to_owned).collect();
        secrets.extend([self.location.clone(), path.to_owned()]);
        secrets.extend(self.secret.clone());
        let decoded: Vec<String> = secrets.iter().filter_map(|text| percent_decoded(text)).collect();
        secrets.extend(decoded);
        secrets.retain(|text| text.len() >= MIN_LENGTH);
        secrets.sort_unstable_by_key(|text| std::cmp::Reverse(text.len()));
        secrets.dedup();
        secrets
    }
}

/// The value of an environment variable. `None` if it does not exist, is empty or is not UTF-8.
fn read_env(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.is_empty())
}

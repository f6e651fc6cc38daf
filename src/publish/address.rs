//! Addresses of targets: parsing, settings, and display without credentials.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::duration::parse_duration;
use crate::base::error::{Error, Result};
use crate::base::time::Micros;
use crate::base::url::percent_decoded;

/// A parsed address of a target: its kind, location and settings.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// The kind of the target, such as `redis`, `postgres`, `s3` or `flagd`.
    pub kind: String,
    /// The text between the kind and the settings. It may hold credentials, so it is never shown
    /// whole.
    pub(super) rest: String,
    /// The settings `?name=value&...` by name, percent-decoded.
    pub settings: BTreeMap<String, String>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Display for Address {
    /// Writes the address without user, password and settings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_url() {
            write!(f, "{}://{}", self.kind, without_credentials(&self.rest))
        } else {
            write!(f, "{}:{}", self.kind, self.rest)
        }
    }
}

/// Whether text without a known kind is a server's address with a slip rather than a path.
fn looks_like_server(text: &str, kinds: &[&str]) -> bool {
    let before = text.split("//").next().unwrap_or_default();
    let name = before.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    text.contains("://")
        || text.contains('@')
        || text.starts_with(':')
        || (before.len() < text.len() && kinds.contains(&name))
}

/// Kinds of targets that are reached over a network.
const URLS: [&str; 5] = ["redis", "rediss", "postgres", "postgresql", "s3"];

fn without_credentials(rest: &str) -> &str {
    let end = rest.rfind('@').map_or(0, |at| at + 1);
    &rest[end..]
}

impl Address {
    /// Parses an address. A path without a kind is a folder.
    ///
    /// # Errors
    /// An unknown kind, text without a kind that looks like a server's address, a URL without `//`
    /// or with an `@` after the host, an empty location, or a setting that is malformed or given
    /// twice. Errors never quote the address: it may hold a
    /// password.
    pub fn parse(text: &str, kinds: &[&str]) -> Result<Self> {
        let (kind, rest) = match text.split_once(':') {
            Some((kind, rest)) if kinds.contains(&kind) => (kind, rest),
            Some((kind, _)) if !kind.is_empty() && !kind.contains(['/', '.', '@']) => {
                let nearest = kinds
                    .iter()
                    .max_by(|a, b| strsim::jaro(kind, a).total_cmp(&strsim::jaro(kind, b)));
                let shown: String = kind
                    .chars()
                    .filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
                    .take(20)
                    .collect();
                let error = Error::usage(format!(
                    "expected a target of {}, found one of `{shown}`",
                    kinds.join(", ")
                ));
                return Err(match nearest {
                    Some(nearest) => error.hint(format!("did you mean `{nearest}:`?")),
                    None => error,
                });
            }
            // An address with a slip must not become a folder: its name would show a password, and a
            // rollback would change nothing.
            _ if looks_like_server(text, kinds) => {
                return Err(Error::usage(format!(
                    "expected a target of {}, found text that looks like a server's address without a known kind",
                    kinds.join(", ")
                ))
                .hint("write redis://HOST or postgres://HOST for a server, and folder:PATH for a folder with such a name"));
            }
            _ => ("folder", text),
        };
        let is_url = URLS.contains(&kind);
        let Some(rest) = (if is_url {
            rest.strip_prefix("//")
        } else {
            Some(rest)
        }) else {
            return Err(Error::usage(format!(
                "expected `{kind}://...`, found `{kind}:` without slashes"
            )));
        };
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        if is_url && rest[authority.len()..].contains('@') {
            // The `@` may belong to a password or to a setting. A wrong guess would show the
            // password.
            return Err(Error::usage(format!(
                "expected an address of {kind} with at most one @, before the host; found one after the host"
            ))
            .hint("write @ as %40, / as %2F and ? as %3F in passwords and settings"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if rest.is_empty() && kind != "redis" {
            return Err(Error::usage(format!(
                "expected a location after `{kind}:`, found none"
            )));
        }
        let mut settings = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(Error::usage(format!(
                    "expected settings of {kind} as name=value, found one without `=`"
                )));
            };
            let decoded = percent_decoded(value).ok_or_else(|| {
                Error::usage(format!(
                    "expected text in `{name}` of {kind}, found broken %-signs"
                ))
            })?;
            if settings.insert(name.to_owned(), decoded).is_some() {
                return Err(Error::usage(format!(
                    "expected `{name}` of {kind} once, found it twice"
                )));
            }
        }
        Ok(Self {
            kind: kind.to_owned(),
            rest: rest.to_owned(),
            settings,
        })
    }

    fn is_url(&self) -> bool {
        URLS.contains(&self.kind.as_str())
    }

    /// Refuses settings that are not in `known`.
    ///
    /// # Errors
    /// A setting that is not in `known`, by name.
    pub fn allow(&self, known: &[&str]) -> Result<()> {
        match self.settings.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let expected = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                Err(Error::usage(format!(
                    "expected settings of {self}: {expected}; found `{name}`"
                )))
            }
        }
    }

    /// The value of a setting; `None` if it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// The value of a setting, or `default` if it is absent.
    pub fn get_or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.get(name).unwrap_or(default)
    }

    /// The value of a duration setting such as `24h`, in microseconds; `None` if it is absent.
    ///
    /// # Errors
    /// A value that [`parse_duration`] refuses.
    pub fn duration(&self, name: &str) -> Result<Option<Micros>> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        parse_duration(text)
            .map(Some)
            .map_err(|expected| Error::usage(format!("{self}: {expected} in `{name}`, found `{text}`")))
    }

    /// The value of a boolean setting; false if it is absent.
    ///
    /// # Errors
    /// A value other than `true`, `1`, `false` or `0`.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(Error::usage(format!(
                "{self}: expected true or false in `{name}`, found `{other}`"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [&str; 4] = ["redis", "rediss", "flagd", "postgres"];

    #[test]
    fn credentials_are_never_shown() {
        for text in [
            "redis://user:s3cret@host:6379/0?ttl=24h",
            "redis://:s3c%2Fret@host/1",
            "postgres://a:s3c@ret@host/db",
        ] {
            let address = Address::parse(text, &KINDS).unwrap();
            assert!(
                !format!("{address} {address:?}").contains("s3c") && address.to_string().contains("://host"),
                "{address}"
            );
        }
        let wrong = [
            "redis:user:s3cret@host",
            "mysql://user:s3cret@host",
            "redis://:s3cret@host?ttl",
            "s3cret:x@y",
            "redis://:s3cret/x@host/1",
            "rediss://:s3cret?x@host",
            "redis//user:s3cret@host:1/0",
            "redis.x://user:s3cret@host",
            "//user:s3cret@host/x",
            ":s3cret@host",
            "./redis://:s3cret@host",
            "user:s3cret@host",
            "redis;//:s3cret@host",
            ":s3cret@host:6379/0",
            "s3cret@host:6379/0",
        ];
        for text in wrong {
            let error = Address::parse(text, &KINDS).unwrap_err().to_string();
            assert!(
                !error.contains("s3cret@") && !error.contains(":s3cret") && !error.contains("s3crethost"),
                "{error}"
            );
        }
    }

    #[test]
    fn addresses_are_told_apart() {
        let address = Address::parse("flagd:out/flags.json?flag=agent%20x", &KINDS).unwrap();
        assert_eq!(
            (address.kind.as_str(), address.rest.as_str(), address.get("flag")),
            ("flagd", "out/flags.json", Some("agent x"))
        );
        for path in ["out/copy", "out//copy", "/srv/releases", "../redis/copy"] {
            assert_eq!(Address::parse(path, &KINDS).unwrap().kind, "folder");
        }
        assert!(Address::parse("redis//host:6379/0", &KINDS).is_err());
        assert!(Address::parse("folder:user@host", &[&KINDS[..], &["folder"]].concat()).is_ok());
        assert_eq!(Address::parse("./a:b", &KINDS).unwrap().kind, "folder");
        assert!(address.allow(&["flag"]).is_ok() && address.allow(&["other"]).is_err());
        let address = Address::parse("redis://host/0?tenant=a%40b", &KINDS).unwrap();
        assert_eq!(
            (address.to_string().as_str(), address.get("tenant")),
            ("redis://host/0", Some("a@b"))
        );
        assert!(Address::parse("redis://host/0?tenant=a@b", &KINDS).is_err());
    }
}

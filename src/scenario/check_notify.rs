//! Checks of `[[notify]]`.

use std::path::Path;

use crate::base::error::Problem;
use crate::scenario::checker::Checker;
use crate::scenario::raw_notify::RawNotify;
use crate::scenario::sink::{LANGS, Notify, NotifyEvent, SinkAddress, SinkLocation, is_variable};

/// The most sinks of a scenario.
const MAX_SINKS: usize = 20;

impl Checker {
    /// Returns the sinks of notifications. Relative paths of files start at `folder`.
    pub(super) fn sinks(&mut self, raw: Vec<RawNotify>, folder: &Path) -> Vec<Notify> {
        if raw.len() > MAX_SINKS {
            let found = raw.len();
            self.problem(
                "notify",
                format!("expected at most {MAX_SINKS} sinks, found {found}"),
            );
            return Vec::new();
        }
        let mut sinks: Vec<Notify> = Vec::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("notify[{}].{key}", idx + 1);
            let on = self.notify_events(&at("on"), raw.on);
            let lang = self.choice(&at("lang"), raw.lang.as_deref(), &LANGS);
            if let Some(name) = raw.secret_env.as_ref().filter(|name| !is_variable(name)) {
                // A secret in place of its name must not be quoted.
                let n = name.chars().count();
                self.problem(
                    at("secret_env"),
                    format!(
                        "expected the name of an environment variable, found other text of {n} characters"
                    ),
                );
            }
            let Some(to) = self.require(&at("to"), raw.to, "the address of a sink") else {
                continue;
            };
            let address = match SinkAddress::parse(&to) {
                Ok(address) => address.in_folder(folder),
                Err(message) => {
                    self.problem(at("to"), message);
                    continue;
                }
            };
            let kind = address.kind;
            if kind.is_web() && matches!(address.location, SinkLocation::Literal(_)) {
                let message = "expected an environment variable that holds the URL, found the URL itself, \
                               which is a secret";
                let name = kind.name().to_uppercase();
                self.problems.push(Problem::new(at("to"), message).hint(format!(
                    "write to = \"{}:${name}_WEBHOOK\" and set {name}_WEBHOOK where the job runs",
                    kind.name()
                )));
                continue;
            }
            if raw.secret_env.is_some() && kind.default_secret_env().is_none() {
                self.problem(
                    at("secret_env"),
                    format!(
                        "expected a sink of feishu or dingtalk, which sign requests, found {}",
                        kind.name()
                    ),
                );
            }
            if sinks.iter().any(|other| other.to == address) {
                self.problem(
                    at("to"),
                    format!("expected every sink once, found {address} twice"),
                );
            }
            sinks.push(Notify {
                to: address,
                on,
                secret_env: raw.secret_env,
                lang,
            });
        }
        sinks
    }

    fn notify_events(&mut self, location: &str, words: Option<Vec<String>>) -> Vec<NotifyEvent> {
        let Some(words) = words else {
            return NotifyEvent::all();
        };
        if words.is_empty() {
            self.problem(location, "expected at least one event, found none");
        }
        let mut events: Vec<NotifyEvent> = words
            .iter()
            .map(|word| self.choice(location, Some(word), &NotifyEvent::ALL))
            .collect();
        events.sort_unstable();
        events.dedup();
        events
    }
}

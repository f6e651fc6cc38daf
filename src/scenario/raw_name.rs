//! A display name: one text, or one in each language.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::scenario::checker::Checker;
use crate::words::Text;

/// A display name: a text, or a table with a text in English and one in Chinese.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawName {
    /// One text for all languages.
    Plain(String),
    /// A text in each language.
    Both(RawNames),
}

/// A display name in each language.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNames {
    /// Name in English.
    pub(super) en: String,
    /// Name in Chinese.
    pub(super) zh: String,
}

impl Checker {
    /// Checks a display name: its texts have no invisible characters. A blank text is no name; a
    /// blank one of two is an error.
    pub(super) fn display_name(&mut self, location: &str, raw: RawName) -> Option<Text> {
        Some(match raw {
            RawName::Plain(name) if name.trim().is_empty() => return None,
            RawName::Plain(name) => self.name(location, Some(name), "a name").into(),
            RawName::Both(RawNames { en, zh }) => Text {
                en: self.name(&format!("{location}.en"), Some(en), "a name"),
                zh: self.name(&format!("{location}.zh"), Some(zh), "a name"),
            },
        })
    }
}

//! The languages.

use clap::ValueEnum;

/// A language of texts for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Lang {
    /// English
    #[default]
    En,
    /// Chinese
    Zh,
}

impl Lang {
    /// Picks the text of this language from a document's pair, such as `reason` and `reason_zh`.
    /// Documents of older versions have no Chinese text: the English one stands in.
    pub fn pick<'a>(self, en: &'a str, zh: &'a str) -> &'a str {
        match self {
            Self::Zh if !zh.is_empty() => zh,
            Self::En | Self::Zh => en,
        }
    }
}

//! Texts in every language, and sentences with gaps.

use serde::{Deserialize, Serialize};

use crate::words::lang::Lang;

/// One text in every language. In documents it is a text, or an object with the keys `en` and `zh` if
/// it has a translation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Text {
    /// In English.
    pub en: String,
    /// In Chinese. Empty for a text without a translation, such as a name.
    pub zh: String,
}

/// A text as documents have it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Plain(String),
    Both { en: String, zh: String },
}

impl From<Written> for Text {
    fn from(written: Written) -> Self {
        match written {
            Written::Plain(text) => text.into(),
            Written::Both { en, zh } => Self { en, zh },
        }
    }
}

impl From<Text> for Written {
    fn from(Text { en, zh }: Text) -> Self {
        if zh.is_empty() {
            Self::Plain(en)
        } else {
            Self::Both { en, zh }
        }
    }
}

impl Text {
    /// The text in a language. A text without a translation is the same in every language.
    pub fn of(&self, lang: Lang) -> &str {
        lang.pick(&self.en, &self.zh)
    }

    /// Makes a text from what each language says.
    pub fn new(say: impl Fn(Lang) -> String) -> Self {
        Self {
            en: say(Lang::En),
            zh: say(Lang::Zh),
        }
    }

    /// What a thing is called in every language.
    pub fn of_say(what: &impl Say) -> Self {
        Self::new(|lang| what.say(lang))
    }

    /// Several sentences as one text. English has a blank between sentences, Chinese has none.
    pub fn sentences(texts: &[Self]) -> Self {
        Self::new(|lang| {
            let separator = match lang {
                Lang::En => " ",
                Lang::Zh => "",
            };
            let texts: Vec<&str> = texts.iter().map(|text| text.of(lang)).collect();
            texts.join(separator)
        })
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self {
            en: text,
            zh: String::new(),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

/// What a sentence may name: each language may write it in its own way.
pub trait Say {
    /// The text in a language.
    fn say(&self, lang: Lang) -> String;
}

impl Say for str {
    fn say(&self, _: Lang) -> String {
        self.to_owned()
    }
}

impl Say for String {
    fn say(&self, _: Lang) -> String {
        self.clone()
    }
}

impl Say for Text {
    fn say(&self, lang: Lang) -> String {
        self.of(lang).to_owned()
    }
}

impl<T: Say + ?Sized> Say for &T {
    fn say(&self, lang: Lang) -> String {
        (*self).say(lang)
    }
}

/// A list: `a, b and c`, in Chinese `a、b 和 c`.
impl<T: Say> Say for [T] {
    fn say(&self, lang: Lang) -> String {
        let items: Vec<String> = self.iter().map(|item| item.say(lang)).collect();
        match (items.split_last(), lang) {
            (Some((end, rest)), Lang::En) if !rest.is_empty() => format!("{} and {end}", rest.join(", ")),
            (Some((end, rest)), Lang::Zh) if !rest.is_empty() => {
                let mut list = rest.join("、");
                join(&mut list, "和");
                join(&mut list, end);
                list
            }
            _ => items.concat(),
        }
    }
}

impl<T: Say> Say for Vec<T> {
    fn say(&self, lang: Lang) -> String {
        self.as_slice().say(lang)
    }
}

/// Fills the named gaps of a sentence in one pass. Gaps in the inserted texts stay as they are.
fn fill_named(sentence: &str, parts: &[(&str, String)]) -> String {
    let mut filled =
        String::with_capacity(sentence.len() + parts.iter().map(|(_, text)| text.len()).sum::<usize>());
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let part = after
            .split_once('}')
            .and_then(|(name, tail)| Some((parts.iter().find(|(of, _)| *of == name)?, tail)));
        if let Some(((_, text), tail)) = part {
            filled.push_str(text);
            rest = tail;
        } else {
            filled.push('{');
            rest = after;
        }
    }
    filled.push_str(rest);
    filled
}

/// Fills the gaps of a Chinese sentence as [`fill_named`] does. A blank stands between a Chinese
/// character and a Latin one, and none between two Chinese ones.
fn fill_chinese(sentence: &str, parts: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        join(&mut filled, before);
        let part = after
            .split_once('}')
            .and_then(|(name, tail)| Some((parts.iter().find(|(of, _)| *of == name)?, tail)));
        if let Some(((_, text), tail)) = part {
            join(&mut filled, text);
            rest = tail;
        } else {
            filled.push('{');
            rest = after;
        }
    }
    join(&mut filled, rest);
    filled
}

/// Appends a text with the blank that the characters at the joint need.
fn join(filled: &mut String, text: &str) {
    let is_wide = |c: char| is_ideograph(c) || matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ffef}');
    let is_latin = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '`' | '$' | '-');
    let Some(first) = text.chars().next() else { return };
    let last = filled.chars().next_back();
    if filled.ends_with(' ') && is_wide(first) && filled.trim_end().ends_with(is_wide) {
        filled.pop();
    } else if first == ' ' && last.is_some_and(is_wide) && text[1..].starts_with(is_wide) {
        return filled.push_str(&text[1..]);
    } else if last.is_some_and(is_ideograph) && is_latin(first)
        || last.is_some_and(is_latin) && is_ideograph(first)
    {
        filled.push(' ');
    }
    filled.push_str(text);
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}')
}

/// Fills the gaps of a sentence in every language.
pub(super) fn sentence(en: &str, zh: &str, parts: &[(&str, &dyn Say)]) -> Text {
    let said = |lang| -> Vec<(&str, String)> {
        let parts = parts.iter();
        parts.map(|(name, part)| (*name, part.say(lang))).collect()
    };
    Text {
        en: fill_named(en, &said(Lang::En)),
        zh: fill_chinese(zh, &said(Lang::Zh)),
    }
}

/// Whether a sentence has exactly these gaps, for tests of catalogues.
#[cfg(test)]
pub(super) fn has_gaps(sentence: &str, names: &[&str]) -> bool {
    let marked: Vec<(&str, String)> = names.iter().map(|name| (*name, "\u{1}".to_owned())).collect();
    let filled = fill_named(sentence, &marked);
    names.iter().all(|name| sentence.contains(&format!("{{{name}}}"))) && !filled.contains(['{', '}'])
}

/// Declares sentences: one function each, with its gaps as arguments and its text in English and in
/// Chinese. A test checks that both texts have the gaps.
///
/// ```text
/// texts! {
///     waits_for(layers): "It waits until {layers} are full.", "等待{layers}全量。";
/// }
/// assert_eq!(waits_for("early").en, "It waits until early are full.");
/// ```
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),* $(,)?): $en:literal, $zh:literal;)*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $name($($arg: impl $crate::words::text::Say),*) -> $crate::words::text::Text {
                $crate::words::text::sentence(
                    $en,
                    $zh,
                    &[$((stringify!($arg), &$arg as &dyn $crate::words::text::Say)),*],
                )
            }
        )*

        #[cfg(test)]
        #[test]
        fn both_languages_have_the_gaps() {
            $(
                let names: &[&str] = &[$(stringify!($arg)),*];
                for text in [$en, $zh] {
                    assert!($crate::words::text::has_gaps(text, names), "{}: {text}", stringify!($name));
                }
            )*
        }
    };
}
pub(crate) use texts;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_in_each_language() {
        let of = |items: &[&str], lang| items.say(lang);
        assert_eq!(of(&["a"], Lang::En), "a");
        assert_eq!(of(&["a", "b", "c"], Lang::En), "a, b and c");
        assert_eq!(of(&["a", "b"], Lang::Zh), "a 和 b");
        assert_eq!(of(&["甲", "乙", "丙"], Lang::Zh), "甲、乙和丙");
        assert_eq!(of(&[], Lang::Zh), "");
    }

    #[test]
    fn what_is_filled_in_is_not_searched() {
        let parts = [("a", "{b}".to_owned()), ("b", "x".to_owned())];
        assert_eq!(fill_named("{a} and {b} {c}", &parts), "{b} and x {c}");
        assert!(has_gaps("{a} {b}", &["a", "b"]) && !has_gaps("{a} {c}", &["a"]));
    }

    #[test]
    fn chinese_and_latin_have_a_blank_between_them() {
        let is = |sentence: &str, part: &str, expected: &str| {
            assert_eq!(fill_chinese(sentence, &[("a", part.to_owned())]), expected);
        };
        is("界限 {a} 之内。", "2 个百分点", "界限 2 个百分点之内。");
        is("界限 {a} 之内。", "200 ms", "界限 200 ms 之内。");
        is("{a}由 1% 升", "done", "done 由 1% 升");
        is("{a}由 1% 升", "投诉率", "投诉率由 1% 升");
        is("少 {a}。", "0.3 个百分点", "少 0.3 个百分点。");
        is("仅 {a}。", "", "仅。");
        is("{a} / x", "租户", "租户 / x");
    }

    #[test]
    fn documents_have_one_text_or_both() {
        let both = Text {
            en: "a".into(),
            zh: "甲".into(),
        };
        for (text, json) in [(Text::from("a"), r#""a""#), (both, r#"{"en":"a","zh":"甲"}"#)] {
            assert_eq!(serde_json::to_string(&text).unwrap(), json);
            assert_eq!(serde_json::from_str::<Text>(json).unwrap(), text);
        }
    }

    #[test]
    fn a_text_without_translation_is_the_same_everywhere() {
        assert_eq!(Text::from("early").of(Lang::Zh), "early");
        let two = [Text::new(|_| "a.".into()), Text::new(|_| "b.".into())];
        assert_eq!(Text::sentences(&two).en, "a. b.");
        assert_eq!(Text::sentences(&two).zh, "a.b.");
    }
}

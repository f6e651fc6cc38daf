//! Lists that may be long, and counts with their nouns.

use crate::base::number::count;
use crate::words::lang::Lang;
use crate::words::text::Say;

/// The first names of a list, at most a number of them, and how many more there are: `a, b and 3
/// more`, in Chinese `a、b 等 5 项`.
#[derive(Debug)]
pub(crate) struct Few<'a, T>(pub(crate) &'a [T], pub(crate) usize);

impl<T: Say> Say for Few<'_, T> {
    fn say(&self, lang: Lang) -> String {
        let Self(items, most) = *self;
        if items.len() <= most {
            return items.say(lang);
        }
        let shown: Vec<String> = items.iter().take(most).map(|item| item.say(lang)).collect();
        match lang {
            Lang::En => format!(
                "{} and {} more",
                shown.join(", "),
                count((items.len() - most) as u64)
            ),
            Lang::Zh => format!("{} 等 {} 项", shown.join("、"), count(items.len() as u64)),
        }
    }
}

/// The first sentences of a list, with semicolons between them, and how many more there are.
#[derive(Debug)]
pub(crate) struct Series<'a, T>(pub(crate) &'a [T], pub(crate) usize);

impl<T: Say> Say for Series<'_, T> {
    fn say(&self, lang: Lang) -> String {
        let Self(items, most) = *self;
        let mut shown: Vec<String> = items.iter().take(most).map(|item| item.say(lang)).collect();
        let n_more = items.len().saturating_sub(most) as u64;
        if n_more > 0 {
            shown.push(match lang {
                Lang::En => format!("{} more", count(n_more)),
                Lang::Zh => format!("另有 {} 项", count(n_more)),
            });
        }
        shown.join(match lang {
            Lang::En => "; ",
            Lang::Zh => "；",
        })
    }
}

/// A count with its English noun, of which the plural ends in `s`: `1 change`, `2 changes`. Chinese
/// sentences have the noun themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Things(pub(crate) u64, pub(crate) &'static str);

impl Say for Things {
    fn say(&self, lang: Lang) -> String {
        let Self(n, noun) = *self;
        match (lang, n) {
            (Lang::En, 1) => format!("1 {noun}"),
            (Lang::En, n) => format!("{} {noun}s", count(n)),
            (Lang::Zh, n) => count(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_say_how_many_more() {
        let check = |most: usize, en: &str, zh: &str| {
            let few = Few(&["a", "b", "c"], most);
            assert_eq!((few.say(Lang::En).as_str(), few.say(Lang::Zh).as_str()), (en, zh));
        };
        check(3, "a, b and c", "a、b 和 c");
        check(2, "a, b and 1 more", "a、b 等 3 项");
        let series = |most| Series(&["a", "b", "c"], most).say(Lang::En);
        assert_eq!(
            (series(3), series(1)),
            ("a; b; c".to_owned(), "a; 2 more".to_owned())
        );
        assert_eq!(Series(&["a", "b", "c"], 2).say(Lang::Zh), "a；b；另有 1 项");
    }

    #[test]
    fn nouns_follow_their_counts() {
        let check = |n: u64, en: &str, zh: &str| {
            let things = Things(n, "change");
            assert_eq!(
                (things.say(Lang::En).as_str(), things.say(Lang::Zh).as_str()),
                (en, zh)
            );
        };
        check(0, "0 changes", "0");
        check(1, "1 change", "1");
        check(1200, "1,200 changes", "1,200");
    }
}

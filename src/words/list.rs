//! Lists of names that may be long.

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
    }
}

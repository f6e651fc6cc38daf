//! Words of flags, states and ratings.

use std::collections::BTreeMap;

use crate::base::skeleton::skeleton;

/// What a word of a value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Yes,
    No,
    /// No answer, or neither of both.
    Open,
    /// The word is not known.
    Unknown,
}

/// Words that the readers of files take as flags.
const READ_AS_FLAGS: [&str; 10] = ["true", "1", "yes", "t", "1.0", "false", "0", "no", "f", "0.0"];

#[rustfmt::skip]
const YES: &[&str] = &[
    "true", "1", "yes", "t", "y", "1.0", "ok", "okay", "success", "successful", "succeeded", "pass",
    "passed", "done", "complete", "completed", "resolved", "solved", "finished", "fulfilled", "closed",
    "stop", "agree", "agreed", "accept", "accepted", "granted", "opt_in", "opted_in", "opt-in", "on",
    "converted", "delivered", "answered", "是", "有", "成功", "已完成", "完成", "已解决", "解决", "同意", "允许", "正常",
    "已同意", "愿意", "对", "真", "默认成功", "default", "unset_ok",
];
#[rustfmt::skip]
const NO: &[&str] = &[
    "false", "0", "no", "f", "n", "0.0", "fail", "failed", "failure", "error", "err", "errored",
    "exception", "timeout", "timed_out", "timed out", "cancelled", "canceled", "aborted", "incomplete",
    "unresolved", "unsolved", "open", "abandoned", "rejected", "denied", "refused", "declined", "opt_out",
    "opted_out", "opt-out", "off", "not_completed", "not completed", "rate_limited", "content_filter",
    "crashed", "dropped", "否", "无", "失败", "未完成", "未解决", "拒绝", "不同意", "错误", "异常", "超时", "不允许", "未同意", "不愿意",
    "错", "假", "报错",
];
#[rustfmt::skip]
const OPEN: &[&str] = &[
    "", "null", "none", "nan", "na", "n/a", "-", "unknown", "pending", "running", "in_progress", "neutral",
    "skip", "skipped", "unset", "未知", "未评价", "未反馈", "无反馈", "未评", "中性", "待定", "进行中", "处理中", "未评分", "没有",
];
#[rustfmt::skip]
const GOOD_RATING: &[&str] = &[
    "up", "thumbs_up", "thumbs up", "thumbsup", "thumb_up", "like", "liked", "good", "positive", "pos",
    "great", "upvote", "helpful", "satisfied", "👍", "+1", "赞", "点赞", "好评", "满意", "有用", "好", "非常满意", "喜欢",
];
#[rustfmt::skip]
const BAD_RATING: &[&str] = &[
    "down", "thumbs_down", "thumbs down", "thumbsdown", "thumb_down", "dislike", "disliked", "bad",
    "negative", "neg", "poor", "downvote", "unhelpful", "not helpful", "dissatisfied", "unsatisfied", "👎",
    "-1", "踩", "点踩", "差评", "不满意", "没用", "差", "非常不满意", "不喜欢",
];

fn plain(word: &str) -> String {
    skeleton(word).trim().to_owned()
}

/// What a word says of a flag or a state.
pub(crate) fn meaning(word: &str) -> Meaning {
    let word = plain(word);
    let is_in = |words: &[&str]| words.iter().any(|other| *other == word);
    match () {
        () if is_in(YES) => Meaning::Yes,
        () if is_in(NO) => Meaning::No,
        () if is_in(OPEN) => Meaning::Open,
        () => Meaning::Unknown,
    }
}

/// Whether a word says that something was bad: `Yes` for a bad rating, `No` for a good one.
pub(crate) fn rating(word: &str) -> Meaning {
    let plain_word = plain(word);
    let is_in = |words: &[&str]| words.iter().any(|other| *other == plain_word);
    match () {
        () if is_in(BAD_RATING) => Meaning::Yes,
        () if is_in(GOOD_RATING) => Meaning::No,
        () if is_in(OPEN) || plain_word == "无" => Meaning::Open,
        () => Meaning::Unknown,
    }
}

/// Whether the readers of files take all words as flags.
pub(crate) fn are_flags<'a>(mut words: impl Iterator<Item = &'a String>) -> bool {
    words.all(|word| READ_AS_FLAGS.contains(&word.trim().to_ascii_lowercase().as_str()))
}

/// The words of a column by what they say, and the share of rows whose word is known.
pub(crate) struct Sorted<'a> {
    pub(crate) yes: Vec<&'a str>,
    pub(crate) no: Vec<&'a str>,
    pub(crate) unknown: Vec<&'a str>,
    /// Share of the rows with a value whose word is known, 0..=1.
    pub(crate) known: f64,
}

/// Sorts the words of a column by what they say.
pub(crate) fn sort(words: &BTreeMap<String, u64>, meaning: impl Fn(&str) -> Meaning) -> Sorted<'_> {
    let mut sorted = Sorted {
        yes: Vec::new(),
        no: Vec::new(),
        unknown: Vec::new(),
        known: 0.0,
    };
    let (mut n_known, mut n) = (0, 0);
    for (word, count) in words {
        n += count;
        let list = match meaning(word) {
            Meaning::Yes => &mut sorted.yes,
            Meaning::No => &mut sorted.no,
            Meaning::Open => {
                n_known += count;
                continue;
            }
            Meaning::Unknown => {
                sorted.unknown.push(word.as_str());
                continue;
            }
        };
        list.push(word.as_str());
        n_known += count;
    }
    sorted.known = if n > 0 { n_known as f64 / n as f64 } else { 0.0 };
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_yes_or_no_in_two_languages() {
        let check = |word: &str, flag: Meaning, bad: Meaning| {
            assert_eq!((meaning(word), rating(word)), (flag, bad), "{word}");
        };
        check("Y", Meaning::Yes, Meaning::Unknown);
        check("成功", Meaning::Yes, Meaning::Unknown);
        check("Timeout", Meaning::No, Meaning::Unknown);
        check("点踩", Meaning::Unknown, Meaning::Yes);
        check("THUMBS_UP", Meaning::Unknown, Meaning::No);
        check("n/a", Meaning::Open, Meaning::Open);
        check("blue", Meaning::Unknown, Meaning::Unknown);
    }
}

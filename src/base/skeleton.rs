//! The skeleton of a name: one form for all texts that a reader takes for the same name. It is used
//! for columns with sensitive attributes, for the people who approve, and for forbidden outputs.

use hashbrown::HashMap;
use std::sync::LazyLock;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_canonical;

/// Returns the skeleton of a text: compatible forms are one (NFKC), upper and lower case are one,
/// invisible characters and accents are left out, letters of other scripts that look like Latin
/// letters are Latin, traditional Chinese characters of the table below are simplified, and a run
/// of white space is one space.
///
/// Two texts with one skeleton look alike. The reverse does not hold: `rn` and `m` differ.
pub(crate) fn skeleton(text: &str) -> String {
    fold(&letters(text))
}

/// Returns a text without invisible characters and accents, in compatible forms (NFKC). Upper and
/// lower case stay apart.
pub(crate) fn letters(text: &str) -> String {
    let mut letters = String::with_capacity(text.len());
    for ch in text.nfkc().filter(|ch| !is_invisible(*ch) && !is_accent(*ch)) {
        if ch.is_whitespace() {
            if !letters.ends_with(' ') {
                letters.push(' ');
            }
        } else if ch.is_ascii() || !is_alphabet(ch) {
            letters.push(ch);
        } else {
            decompose_canonical(ch, |part| {
                if !is_accent(part) {
                    letters.push(part);
                }
            });
        }
    }
    letters
}

/// Returns [`letters`] as lower-case Latin letters where they look like them.
pub(crate) fn fold(letters: &str) -> String {
    // Four Greek letters look like one Latin letter as a capital, and like another in lower case.
    // Beside Latin letters they stand for what they look like.
    let is_mixed = letters.bytes().any(|byte| byte.is_ascii_alphabetic());
    letters
        .chars()
        .map(|ch| match ch {
            'Η' if is_mixed => 'h',
            'Μ' if is_mixed => 'm',
            'Ν' if is_mixed => 'n',
            'Υ' if is_mixed => 'y',
            other => other,
        })
        .flat_map(char::to_lowercase)
        .filter(|ch| !is_accent(*ch))
        .map(|ch| if ch.is_ascii() { ch } else { alike(ch) })
        .collect()
}

/// Returns two skeletons of a text that letters, digits and signs that look alike have in common, by
/// Unicode's table of confusable characters (UTS 39): one with the look of its capitals, one with
/// that of its lower case. `rn` and `m` are one, and so are `0` and `o`.
pub(crate) fn confusable(text: &str) -> [String; 2] {
    let prototype = |text: &str| unicode_security::skeleton(text).collect::<String>();
    let letters = letters(text);
    [fold(&prototype(&letters)), fold(&prototype(&fold(&letters)))]
}

/// Returns the skeleton of a person's name. Digits and letters that look alike are one too: `0` and
/// `o`; `1`, `i` and `l`. Blanks around the name are left out.
pub(crate) fn person(name: &str) -> String {
    let same = |ch: char| match ch {
        '0' => 'o',
        '1' | 'i' | '|' => 'l',
        other => other,
    };
    skeleton(name).trim().chars().map(same).collect()
}

/// Returns the first character of a text that a reader does not see, or that turns the direction of
/// the text: control and format characters, and white space other than the plain space. `None` if
/// there is none.
pub(crate) fn hidden_char(text: &str) -> Option<char> {
    text.chars()
        .find(|ch| ch.is_control() || is_invisible(*ch) || ch.is_whitespace() && *ch != ' ')
}

/// Words by which a name is that of a program.
const PROGRAMS: &[&str] = &[
    "agent",
    "automatic",
    "automation",
    "autopilot",
    "bot",
    "bots",
    "cicd",
    "cron",
    "cronjob",
    "daemon",
    "dependabot",
    "github",
    "gitlab",
    "nightly",
    "pipeline",
    "renovate",
    "robot",
    "scheduler",
    "script",
    "service",
    "serviceaccount",
    "sluice",
    "svc",
    "system",
    "webhook",
    "workflow",
];

/// Whether a name is that of a program or of a service account. One word of the name decides, such
/// as `bot` in `release-bot` and `svc` in `svc_deploy`. It is case-insensitive.
pub(crate) fn is_program(name: &str) -> bool {
    let skeleton = skeleton(name);
    let whole = skeleton
        .split(|ch: char| !ch.is_alphanumeric())
        .map(str::to_owned);
    let parts = words(name).into_iter().map(|word| fold(&word));
    whole.chain(parts).any(|word| PROGRAMS.contains(&word.as_str()))
}

/// Splits a name into its words, in the case of [`letters`]: at every character that is no letter
/// or digit, between lower and upper case (`userGender`), before the last capital of several
/// (`HTTPServer`), between letters and digits (`gender1`), and between scripts.
pub(crate) fn words(name: &str) -> Vec<String> {
    let chars: Vec<char> = letters(name).chars().collect();
    let mut words = vec![String::new()];
    for (idx, ch) in chars.iter().copied().enumerate() {
        if !ch.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = idx.checked_sub(1).map(|before| chars[before]);
        let is_start = before.is_some_and(|before| {
            let next_is_lower = chars.get(idx + 1).is_some_and(|next| next.is_lowercase());
            before.is_lowercase() && ch.is_uppercase()
                || before.is_uppercase() && ch.is_uppercase() && next_is_lower
                || before.is_numeric() != ch.is_numeric()
                || is_han(before) != is_han(ch)
        });
        if is_start {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(ch);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a character is a Chinese character.
pub(crate) fn is_han(ch: char) -> bool {
    matches!(
        ch,
        '\u{2e80}'..='\u{2fdf}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}'
    )
}

/// Whether a reader does not see a character: the default ignorable code points of Unicode, and
/// other format characters.
pub(crate) fn is_invisible(ch: char) -> bool {
    matches!(
        ch,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether a character is an accent that is written above, below or through another one.
fn is_accent(ch: char) -> bool {
    matches!(
        ch,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
    )
}

/// Whether accents of a script are ornaments of its letters: Latin, Greek and Cyrillic. Marks of
/// other scripts make other letters.
fn is_alphabet(ch: char) -> bool {
    matches!(ch, '\u{c0}'..='\u{52f}' | '\u{1e00}'..='\u{1fff}')
}

/// Letters that look like Latin letters, in lower case: a Latin letter and its doubles. Doubles of
/// capitals are here by their lower case.
const DOUBLES: &[(char, &str)] = &[
    ('a', "аαɑᴀ"),
    ('b', "вβьʙ"),
    ('c', "сϲᴄᴐ"),
    ('d', "ԁđᴅɗ"),
    ('e', "еεєҽɛᴇ"),
    ('f', "ƒꜰғϝ"),
    ('g', "ɡցɢ"),
    ('h', "нһհħʜ"),
    ('i', "іιıɩɪ"),
    ('j', "јϳȷᴊ"),
    ('k', "кκᴋ"),
    ('l', "ӏłʟ"),
    ('m', "мμᴍ"),
    ('n', "пηոɴ"),
    ('o', "оοσςөօøᴏ"),
    ('p', "рρᴘþ"),
    ('q', "ԛզ"),
    ('r', "гʀ"),
    ('s', "ѕꜱ"),
    ('t', "тτᴛŧ"),
    ('u', "υսᴜ"),
    ('v', "νѵᴠ"),
    ('w', "ԝωѡᴡ"),
    ('x', "хχ"),
    ('y', "уγүʏ"),
    ('z', "ζᴢ"),
    ('-', "‐‑‒–—―−"),
];

/// Traditional Chinese characters, each before its simplified form: those of the sensitive
/// attributes, and of common family names.
const TRADITIONAL: &str = "性性別别種种國国籍籍殘残醫医療疗懷怀黨党團团證证號号護护識识貫贯齡龄歲岁戶户膚肤遺遗傳传\
    診诊斷断歷历礙碍離离選选舉举紋纹臉脸衛卫險险僑侨親亲屬属婦妇產产檢检體体級级職职會会員员從从業业務务\
    陳陈劉刘張张黃黄趙赵吳吴鄭郑孫孙馬马許许蔣蒋韓韩馮冯鄧邓曹曹蕭萧葉叶羅罗謝谢楊杨盧卢鐘钟譚谭賴赖龔龚萬万\
    錢钱嚴严華华陸陆顧顾賀贺龍龙無无視视聽听聾聋啞哑瘋疯癥症異异戀恋變变無无機机";

/// The character that stands for another one in a skeleton.
static ALIKE: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let traditional = TRADITIONAL.chars().step_by(2);
    let han = traditional.zip(TRADITIONAL.chars().skip(1).step_by(2));
    let latin = DOUBLES
        .iter()
        .flat_map(|(latin, doubles)| doubles.chars().map(|double| (double, *latin)));
    han.chain(latin).collect()
});

/// Returns the Latin letter that a character looks like, or the simplified form of a traditional
/// Chinese character; else the character itself.
fn alike(ch: char) -> char {
    ALIKE.get(&ch).copied().unwrap_or(ch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        let check = |a: &str, b: &str| assert_eq!(skeleton(a), skeleton(b), "{a:?} {b:?}");
        check("ｇｅｎｄｅｒ", "gender");
        check("GENDER", "gender");
        check("gen\u{200b}der", "gender");
        check("\u{feff}gen\u{ad}der", "gender");
        check("gen\u{202e}der\u{2066}", "gender");
        check("gén\u{308}dèr", "gender");
        check("gеndеr", "gender");
        check("GЕΝDЕR", "gender");
        check("ΗΕΑLTΗ", "health");
        check("ɢᴇɴᴅᴇʀ", "gender");
        check("𝓰𝓮𝓷𝓭𝓮𝓻", "gender");
        check("性別", "性别");
        check("⼥性", "女性");
        check("種\u{fe00}族", "种族");
        check("a\u{a0}\u{2003}b", "a b");
        check("cs‑agent", "cs-agent");
        check("ΗΛΙΑΣ", "ηλιασ");
    }

    #[test]
    fn other_letters_stay_apart() {
        let check = |a: &str, b: &str| assert_ne!(skeleton(a), skeleton(b), "{a:?} {b:?}");
        check("か", "が");
        check("각", "가");
        check("v1", "v2");
        check("เกา", "เก่า");
    }

    #[test]
    fn people_who_look_alike_are_one() {
        let check = |a: &str, b: &str| assert_eq!(person(a), person(b), "{a:?} {b:?}");
        check("alice", "al\u{200b}ice");
        check("alice", "ａｌｉｃｅ");
        check("José", "Jose\u{301}");
        check("ali", "ALİ");
        check("a li", "a\u{a0}li");
        check("alice", "аlicе");
        check("alice", "\u{202e}alice");
        check("alice", "aIice");
        check("bob0", " bobo ");
        assert_ne!(person("alice"), person("alicia"));
    }

    #[test]
    fn hidden_characters_are_found() {
        let check =
            |text: &str, expected: bool| assert_eq!(hidden_char(text).is_some(), expected, "{text:?}");
        for hidden in [
            "v\u{200b}1",
            "\u{feff}v1",
            "v\u{202e}1",
            "v\u{a0}1",
            "v\u{ad}1",
            "v\n1",
            "v\u{2028}1",
        ] {
            check(hidden, true);
        }
        for plain in ["v1", "客服 2026.05", "é", "e\u{301}"] {
            check(plain, false);
        }
    }

    #[test]
    fn programs_are_known_by_their_names() {
        let check = |name: &str, expected: bool| assert_eq!(is_program(name), expected, "{name}");
        for program in [
            "release-bot",
            "releaseBot",
            "svc_deploy",
            "GitLab CI",
            "b\u{200b}ot",
            "sluice-nightly",
        ] {
            check(program, true);
        }
        for person in [
            "Ada Lovelace",
            "abbot",
            "li",
            "talbot",
            "王芳",
            "circe",
            "systema",
        ] {
            check(person, false);
        }
    }

    #[test]
    fn names_are_split_into_words() {
        let check = |name: &str, expected: &[&str]| assert_eq!(words(name), expected, "{name}");
        check("userGender", &["user", "Gender"]);
        check("HTTPServer2", &["HTTP", "Server", "2"]);
        check("user_gender-code", &["user", "gender", "code"]);
        check("GENDER", &["GENDER"]);
        check("用户gender", &["用户", "gender"]);
        check("gen\u{200b}der1", &["gender", "1"]);
    }
}

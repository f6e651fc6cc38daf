//! Tests of escaping: every medium, with the texts that command it.

use super::*;

#[test]
fn lines_command_no_terminal_and_no_log() {
    let check = |text: &str, expected: &str| assert_eq!(line(text), expected);
    check("early-2026.05 层 é", "early-2026.05 层 é");
    check("\x1b]0;owned\x07", "\\u{1b}]0;owned\\u{7}");
    check("a\u{9b}2J\u{7f}", "a\\u{9b}2J\\u{7f}");
    check(
        "a\u{202e}b\u{2066}c\u{200f}\u{2028}",
        "a\\u{202e}b\\u{2066}c\\u{200f}\\u{2028}",
    );
    check("a\n::error::b\r\t", "a\\n::error::b\\r\\t");
    check("::error::b", "\\u{3a}:error::b");
    check("  ::add-mask::b", "  \\u{3a}:add-mask::b");
    check("a::b", "a::b");
    check("##[error]b", "#\\u{23}[error]b");
    check("a ##vso[task.x]b", "a #\\u{23}vso[task.x]b");
    check("###[error]b", "#\\u{23}#[error]b");
    check("## title", "## title");
}

#[test]
fn whole_texts_keep_their_lines_and_colors() {
    let check = |text: &str, expected: &str| assert_eq!(lines(text, &["\x1b[39m"]), expected);
    check("a\nb\tc 层", "a\nb\tc 层");
    check("\x1b[39m\x1b[2J", "\x1b[39m\\u{1b}[2J");
    check("a\n::error::b\n", "a\n\\u{3a}:error::b\n");
    assert_eq!(lines("\x1b[39m", &[]), "\\u{1b}[39m");
}

#[test]
fn json_stays_the_same_value() {
    let texts = [
        "\u{202e}\u{9b}\u{7f}\u{1b}\n",
        "##[error]x",
        "a###b",
        "层 \u{2028}",
    ];
    for text in texts {
        let escaped = json(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(!escaped.chars().any(|c| is_command(c) && c != '\n'), "{escaped}");
        assert!(!escaped.contains("##"), "{escaped}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), [text]);
    }
}

#[test]
fn long_texts_are_shortened() {
    let check = |text: &str, max: usize, expected: &str| assert_eq!(excerpt(text, max), expected);
    check("short", 5, "short");
    check("层层层层", 4, "层层层层");
    check("0123456789", 8, "012345 ... 89 (10 bytes in all)");
    check("层层层层层层层层层", 8, "层层层层层层 ... 层层 (27 bytes in all)");
    check("abc", 1, "a ...  (3 bytes in all)");
    assert!(value(&"\u{1b}".repeat(300_000)).len() < 1_200);
}

#[test]
fn markdown_gets_plain_words() {
    let check = |text: &str, expected: &str| assert_eq!(markdown(text), expected);
    check(
        "task_completion_rate 0.5 (early), 10% → 50%",
        "task_completion_rate 0.5 (early), 10% → 50%",
    );
    check("cs-agent-2026.05", "cs-agent-2026.05");
    check("![x](https://evil/t.png)", "!\\[x\\](https:<!-- -->//evil/t.png)");
    check(
        "[approve here](https://evil)",
        "\\[approve here\\](https:<!-- -->//evil)",
    );
    check(
        "see HTTP://evil and WWW.evil.com",
        "see HTTP:<!-- -->//evil and WWW<!-- -->.evil.com",
    );
    check("mailto:a@b.c", "mailto:<!-- -->a@<!-- -->b.c");
    check("@everyone, a@b", "@<!-- -->everyone, a@<!-- -->b");
    check(
        "owner/repo#1 and #12, GH-7",
        "owner/repo#<!-- -->1 and #<!-- -->12, GH-<!-- -->7",
    );
    check("case #", "case #");
    check(
        "*a* _b_ ~~c~~ `d $e$",
        "\\*a\\* \\_b\\_ \\~\\~c\\~\\~ \\`d \\$e\\$",
    );
    check("a | b \\| c", "a \\| b \\\\\\| c");
    check("<img src=x> &lt;", "&lt;img src=x&gt; &amp;lt;");
    check("# head", "\\# head");
    check("- item", "\\- item");
    check("+ item", "\\+ item");
    check("> quote", "&gt; quote");
    check("12. item", "12\\. item");
    check("1) item", "1\\) item");
    check("=====", "\\=====");
    check("no `release_id` in `a b`", "no `release_id` in `a b`");
    check("`a` ![x](b) `c`", "`a` !\\[x\\](b) `c`");
    check("``a` [x](b) `", "\\`\\`a\\` \\[x\\](b) \\`");
    check("`<b>` `a | b`", "\\`&lt;b&gt;\\` \\`a \\| b\\`");
    check("-0.5 to +0.5", "-0.5 to +0.5");
    check("0.882", "0.882");
    check("-", "-");
    check("a\n# b\r\n- c", "a # b  - c");
    check("a\u{202e}b\u{1b}", "a\\u{202e}b\\u{1b}");
}

#[test]
fn html_gets_no_markup_and_no_controls() {
    let check = |text: &str, expected: &str| assert_eq!(html(text), expected);
    check("<b a='\"'>&\n", "&lt;b a=&#39;&quot;&#39;&gt;&amp;\n");
    check("\u{1b}\u{202e}\u{85}", "\\u{1b}\\u{202e}\\u{85}");
}

#[test]
fn spreadsheets_get_no_formulas() {
    let check = |text: &str, expected: &str| {
        assert_eq!(csv_field(text), expected);
        assert_eq!(from_csv_field(&csv_field(text)), text);
    };
    check("early", "early");
    check("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")");
    check("@SUM(1)", "'@SUM(1)");
    check("+cmd|'/c calc'!A0", "'+cmd|'/c calc'!A0");
    check("-1+2", "'-1+2");
    check("\t=1", "'\t=1");
    check("\r=1", "'\r=1");
    check("＝1+1", "'＝1+1");
    check("-5", "-5");
    check("-0.25", "-0.25");
    check("+4912", "+4912");
    check("-1e-9", "-1e-9");
    check("-", "-");
    check("'quoted", "'quoted");
    check("'=a", "''=a");
    check("", "");
}

use proptest::prelude::*;

use super::*;
use crate::base::skeleton::skeleton;

/// The form in which a text has a word. `None` if no reading has it.
fn form(text: &str, word: &str) -> Option<Form> {
    let word = skeleton(word);
    find_reading(text, &mut |form, reading| {
        skeleton(reading).contains(&word).then_some(form)
    })
}

fn check(text: &str, expected: Option<Form>) {
    assert_eq!(form(text, "guarantee compensation"), expected, "{text:?}");
}

#[test]
fn plain_texts_are_searched_as_they_are() {
    let check = |text: &str| check(text, Some(Form::Text));
    check("We GUARANTEE compensation.");
    check("We guarantee\u{a0}compensation.");
    check("We guarantee \n\t\u{3000}\u{2028} compensation.");
    check("We guarantee\r\ncompensation.");
    check("We gu\u{430}rantee compensation.");
    check("ｇｕａｒａｎｔｅｅ compensation");
    check("We guaran\u{301}tee compensation.");
    check("<b>guarantee compensation</b>");
    for invisible in INVISIBLE {
        check(&format!("We guar{invisible}antee {invisible}compensation."));
    }
    for filler in ["\u{3164}", "\u{ffa0}", "\u{115f}", "\u{1160}", "\u{2800}"] {
        check(&format!("We guar{filler}antee compensation."));
        check(&format!("We guarantee{filler}compensation."));
    }
    check("\u{202e}noitasnepmoc eetnaraug\u{202c}");
    check("We \u{202e}eetnaraug\u{202c} compensation");
    check("\u{fff9}guarantee\u{fffa}note\u{fffb} compensation");
    check("We guaran\u{ad}\ntee compensation");
}

#[test]
fn terminals_show_what_sequences_and_controls_leave() {
    let check = |text: &str| check(text, Some(Form::Terminal));
    check("We \u{1b}[1mguarantee\u{1b}[0m \u{1b}[31mcompensation\u{1b}[0m.");
    check("We guar\u{1b}[38;2;1;2;3mantee compensation");
    check("We guar\u{9b}1mantee compensation");
    check("We \u{1b}]8;;https://example.com\u{1b}\\guarantee\u{1b}]8;;\u{1b}\\ compensation");
    check("We \u{1b}]8;id=1;https://example.com\u{7}guarantee\u{1b}]8;;\u{7} compensation");
    check("We \u{9d}8;;https://example.com\u{9c}guarantee\u{9d}8;;\u{9c} compensation");
    check("We guar\u{1b}Pq#0\u{1b}\\antee compensation");
    check("We guar\u{1b}(Bantee compensation");
    check("We guar\u{1b}cantee compensation");
    check("We guar\u{7}antee\u{0} compens\u{7f}ation");
    check("We guar\u{1b}]\u{1b}[0mantee compensation");
    check("We guaranteee\u{8} compensation.");
    check("We guaxx\u{8}\u{8}rantee compensation.");
    check("_\u{8}gu\u{8}_arantee compensation");
    check("g\u{8}gu\u{8}ua\u{8}ar\u{8}rantee compensation");
    check("xxxxxxxxx compensation\rguarantee");
    check("We promise xxxxx\rWe guarantee\u{1b}[K compensation");
    check("We guarantee\u{1b}[1Ccompensation");
    check("We guarantee XXXXXXXXXXXX\u{1b}[12Dcompensation");
    check("compensation\u{1b}[1GWe guarantee\u{1b}[20G\u{1b}[1D\u{1b}[1Dcompensation");
    check("We guarantee no\u{8}\u{8}\u{1b}[Kcompensation");
    check("We guarantee\u{1b}Ecompensation");
}

#[test]
fn pages_of_html_are_read_without_tags() {
    let check = |text: &str| check(text, Some(Form::Html));
    check("We <b>guarantee</b> compensation.");
    check("We guar<b>an</b>tee compensation.");
    check("We guar<!-- x > y -->antee compensation.");
    check("We guar<!---->antee compensation.");
    check("We guarantee&nbsp;compensation.");
    check("We gu&#97;rantee comp&#x65;nsation.");
    check("We guar&shy;antee compen&zwj;sation.");
    check("We guarantee<br/>compensation.");
    check("<p>We guarantee</p><p>compensation.");
    check("We <a href=\"x?a>b\" title='>'>guarantee</a> compensation");
    check("We guar<wbr>an<span style=\"color:red\">tee</span> compensation");
    check("We guar<script>if (a<b) x()</script>antee compensation");
    check("We guar<span style=\"display: none\">x<span>y</span></span>antee compensation");
    check("We guar<i hidden>x</i>antee compensation");
    check("We <ruby>guarantee<rt>note</rt></ruby> compensation");
    check("We <div class=\"hidden big\">guar<b>antee</b> compensation</div>");
    check("We guar<?php x ?>antee compensation");
    check("We guar\u{1b}[0m<b>antee</b> compensation");
    check("We guar&#8203;antee&Tab;compensation");
}

#[test]
fn markdown_is_read_without_marks() {
    let check = |text: &str| check(text, Some(Form::Markdown));
    check("We **guarantee** compensation.");
    check("We *guarantee* __compensation__.");
    check("We ***guarantee*** ~~compensation~~.");
    check("We guar**an**tee compensation.");
    check("We `guarantee` ``compensation``.");
    check("We guarantee\\\ncompensation.");
    check("We [guarantee](https://example.com/a_(b)) compensation.");
    check("We [guarantee][1] compensation.\n\n[1]: https://example.com");
    check("We [guarantee] compensation.\n\n[guarantee]: https://example.com");
    check("We ![guarantee](x.png) compensation");
    check("We guarantee\n> compensation");
    check("We guarantee\n## compensation ##");
    check("We\n- **guarantee** compensation");
    check("We guarantee\n\n```\ncompensation\n```");
    check("We **guarantee** <b>compensation</b>.");
    check("We *guarantee*&nbsp;compensation");
    check("We **[guarantee](x)** _compensation_");
    check("We guarantee\n---\ncompensation");
    check("We guarantee[^1] compensation.\n\n[^1]: a note");
    check("A rule[^1].\n\n[^1]: We **guarantee** compensation.");
    check("[Note]: We **guarantee** compensation.");
    check("We guar[](x)antee ![](y.png)compensation");
    check("1. We guarantee\n2) compensation");
    check("We \u{1b}[1m**guarantee**\u{1b}[0m compensation");
}

#[test]
fn words_that_lines_split_are_joined() {
    let check = |text: &str, word: &str, expected: Option<Form>| {
        assert_eq!(form(text, word), expected, "{text:?} {word:?}");
    };
    check("We guaran-\ntee it", "guarantee", Some(Form::JoinedLines));
    check("We guaran-  \r\n  tee it", "guarantee", Some(Form::JoinedLines));
    check("We guaran\u{2010}\ntee it", "guarantee", Some(Form::JoinedLines));
    check("a well-\nknown rule", "well-known", Some(Form::JoinedLines));
    check("> **guaran-\n> tee** it", "guarantee", Some(Form::JoinedLines));
    check("我们保证\n赔偿", "保证赔偿", Some(Form::JoinedLines));
    check("a guaran -\ntee", "guarantee", None);
    check("guaran\ntee", "guarantee", None);
    check("5 -\n3", "53", None);
}

#[test]
fn words_that_a_reader_sees_apart_stay_apart() {
    let check = |text: &str, word: &str, expected: Option<Form>| {
        assert_eq!(form(text, word), expected, "{text:?} {word:?}");
    };
    check("guarantee<br>d", "guaranteed", None);
    check("<td>guarantee</td><td>d</td>", "guaranteed", None);
    check("<p>guarantee</p>d", "guaranteed", None);
    check("guarantee\nd", "guaranteed", None);
    check("guarantee\rd", "guaranteed", None);
    check("guarantee &lt;b&gt;d", "guarantee d", None);
    check("a &amp;nbsp; b", "a b", None);
    check("a \\*b\\* c", "a b c", None);
    check("2 * 3 * 4", "2 3 4", None);
    check("snake_case_name", "snakecasename", None);
    check("`a*b*c`", "abc", None);
    check("a < b and c > d", "a d", None);
    check("a[0] b", "a0 b", None);
    // Marks of code stay where the text is read as it is, and are marks where it is Markdown.
    check("a*b*c", "a*b*c", Some(Form::Text));
    check("a*b*c", "abc", Some(Form::Markdown));
    check("**bold", "**bold", Some(Form::Text));
    check("<script>", "<script>", Some(Form::Text));
}

/// Characters that no reader sees.
const INVISIBLE: [&str; 32] = [
    "\u{ad}",
    "\u{34f}",
    "\u{61c}",
    "\u{17b4}",
    "\u{180b}",
    "\u{180e}",
    "\u{180f}",
    "\u{200b}",
    "\u{200c}",
    "\u{200d}",
    "\u{200e}",
    "\u{200f}",
    "\u{202a}",
    "\u{202c}",
    "\u{2060}",
    "\u{2061}",
    "\u{2064}",
    "\u{2065}",
    "\u{2066}",
    "\u{2069}",
    "\u{206a}",
    "\u{206f}",
    "\u{fe00}",
    "\u{fe0f}",
    "\u{feff}",
    "\u{fff0}",
    "\u{fff9}",
    "\u{1bca0}",
    "\u{1d173}",
    "\u{e0001}",
    "\u{e0041}",
    "\u{e0100}",
];

/// Parts of texts, with markup, sequences and halves of both.
const PARTS: [&str; 40] = [
    "guar",
    "antee",
    " ",
    "compensation",
    "guarantee",
    "*",
    "**",
    "_",
    "`",
    "~~",
    "[",
    "]",
    "(",
    ")",
    "](x)",
    "<b>",
    "</b>",
    "<br>",
    "<!--",
    "-->",
    "&nbsp;",
    "&#97;",
    "&",
    ";",
    "\n",
    "\r",
    "\r\n",
    "-",
    "\u{8}",
    "\u{1b}[1m",
    "\u{1b}[2D",
    "\u{1b}]8;;x\u{7}",
    "\u{9b}K",
    "\\",
    "# ",
    "> ",
    "保证",
    "が",
    "e\u{301}",
    "```",
];

proptest! {
    #[test]
    fn invisible_characters_change_no_verdict(
        parts in prop::collection::vec(0..PARTS.len(), 0..24),
        inserted in prop::collection::vec((any::<prop::sample::Index>(), 0..INVISIBLE.len()), 1..12),
    ) {
        let text: String = parts.into_iter().map(|part| PARTS[part]).collect();
        let mut chars: Vec<char> = text.chars().collect();
        for (at, invisible) in inserted {
            let at = at.index(chars.len() + 1);
            let splits_line = matches!(chars.get(at), Some('\n' | '\r'));
            // A soft hyphen at the end of a line is a hyphen that a reader sees.
            if !(splits_line && INVISIBLE[invisible] == "\u{ad}") {
                chars.splice(at..at, INVISIBLE[invisible].chars());
            }
        }
        let changed: String = chars.into_iter().collect();
        for word in ["guarantee compensation", "guarantee", "antee comp", "が", "*guar"] {
            prop_assert_eq!(form(&text, word), form(&changed, word), "{:?} {:?} {:?}", text, changed, word);
        }
    }
}

#[test]
fn hostile_texts_take_little_time() {
    let start = std::time::Instant::now();
    for part in [
        "[](",
        "[",
        "![[",
        "](",
        "`",
        "<a",
        "<a \"",
        "<a '\">",
        "<!--",
        "<script>",
        "<i hidden>",
        "&",
        "&#",
        "&a",
        "*a _b ",
        "**",
        "~~a",
        "\u{1b}]",
        "\u{9d}x",
        "\u{1b}[",
        "\u{8}",
        "\r",
        "\u{1b}[9999Ca\n",
        "> ",
        "- ",
        "# ",
        "\\",
        "[a]: b\n",
        "a-\n",
        "\u{202e}a",
        "\u{fffa}a",
        "\u{301}\u{8}",
        "```\n",
        "<div style=display:none>",
    ] {
        let text = part.repeat(60_000 / part.len());
        form(&text, "guarantee");
    }
    let ticks: String = (1..600).map(|n| format!("{} ", "`".repeat(n))).collect();
    form(&ticks, "guarantee");
    // Without optimization all of them together take some seconds; quadratic time is minutes.
    assert!(start.elapsed().as_secs() < 120, "{:?}", start.elapsed());
}

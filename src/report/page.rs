//! The frame of a self-contained HTML page: head, style, scripts and embedded data.

use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use std::fmt::Write;

use crate::base::base64;
use crate::base::escape::html as escape;
use crate::base::number::count;
use crate::base::time::Zone;
use crate::metric::Metric;
use crate::report::curves::json_in_script;
use crate::report::escape::attributes;
use crate::report::model::{LayerNames, name_among};
use crate::report::svg::Chart;
use crate::words::{Lang, Words, fill};

pub(super) const STYLE: &str = concat!(
    include_str!("assets/uPlot.min.css"),
    "\n",
    include_str!("style.css")
);

pub(super) const SCRIPT: &str = concat!(
    include_str!("assets/uPlot.iife.min.js"),
    "\n",
    include_str!("page.js")
);

/// The most rows of a table whose cells carry their columns' names in the page itself.
const MAX_LABELED: usize = 200;

/// The largest number of charts under one heading that are drawn for two widths.
const MANY_CHARTS: usize = 40;

/// A page in progress, with its language. `several_tenants` keeps the tenant column of tables,
/// which is always their first.
pub(super) struct Page {
    pub(super) html: String,
    pub(super) several_tenants: bool,
    pub(super) words: &'static Words,
    pub(super) lang: Lang,
    /// The names of the layers. Without names a layer's id is shown.
    pub(super) names: LayerNames,
    /// The metrics of the study, which may have names of their own.
    pub(super) metrics: Vec<Metric>,
    /// Zone of the times of charts.
    pub(super) zone: Zone,
    /// Whether cells carry the names of their columns. Tables that explain themselves have none.
    pub(super) has_labels: bool,
    /// The newest heading. A caption that repeats it is for screen readers only.
    heading: String,
    /// The ids of elements so far, with the number of elements that wanted each.
    ids: HashMap<String, usize>,
}

impl Page {
    /// Makes an empty page in a language. The page's own texts come from its `words`.
    pub(super) fn new(lang: Lang, several_tenants: bool) -> Self {
        Self {
            html: String::new(),
            several_tenants,
            words: lang.words(),
            lang,
            names: LayerNames::default(),
            metrics: Vec::new(),
            zone: Zone::default(),
            has_labels: true,
            heading: String::new(),
            ids: HashMap::new(),
        }
    }

    /// Writes the page up to the content.
    pub(super) fn open(&mut self, name: &str, why: &str) {
        let words = self.words;
        self.raw(&format!(
            "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n",
            words.lang
        ));
        // The policy allows this script and this style only, and no text can become markup.
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; img-src data: blob:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'",
            source_hash(SCRIPT),
            source_hash(STYLE)
        );
        self.raw(&format!(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n"
        ));
        self.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        self.raw(&format!(
            "<title>{} · Sluice</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            escape(name)
        ));
        self.raw(&format!("<header>\n<h1>{}</h1>\n", escape(name)));
        if !why.trim().is_empty() {
            self.text(why.trim());
        }
        let of_script = serde_json::json!({
            "tenant": words.tenant, "layer": words.layer, "metric": words.metric, "world": words.world,
            "filter": words.filter, "all": words.all, "show_all": words.show_all, "rows_shown": words.rows_shown,
            "to_dark": words.to_dark, "to_light": words.to_light, "reset_zoom": words.reset_zoom, "chart_keys": words.chart_keys,
            "copied": words.copied, "save_as": words.save_as, "zone": self.zone.name(),
        });
        self.raw(&format!(
            "<script type=\"application/json\" id=\"words\">{}</script>\n",
            json_in_script(&of_script.to_string())
        ));
        self.raw("</header>\n<main>\n");
    }

    /// Ends the page and returns its HTML.
    pub(super) fn close(mut self) -> String {
        self.raw(&format!("</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"));
        self.html
    }

    pub(super) fn raw(&mut self, html: &str) {
        self.html.push_str(html);
    }

    pub(super) fn heading(&mut self, words: &str) {
        words.clone_into(&mut self.heading);
        self.raw(&format!("<h2>{}</h2>\n", escape(words)));
    }

    /// Opens a folded part of the page: its heading, and what is inside in words. It is followed by
    /// the content and [`Page::end_fold`].
    pub(super) fn fold(&mut self, title: &str, inside: &str) {
        title.clone_into(&mut self.heading);
        let inside = if inside.is_empty() {
            String::new()
        } else {
            format!(" <span class=\"inside\">{}</span>", escape(inside))
        };
        self.raw(&format!(
            "<details class=\"part\"><summary><h2>{}</h2>{inside}</summary>\n",
            escape(title)
        ));
    }

    /// Ends a folded part.
    pub(super) fn end_fold(&mut self) {
        self.raw("</details>\n");
    }

    /// The id of an element from its parts, for links to it: letters, digits and `-`, `_`, `.`. Ids
    /// that would be equal get numbers.
    pub(super) fn id(&mut self, parts: &[&str]) -> String {
        let parts = parts.iter().filter(|part| !part.is_empty());
        let slug = parts.map(|part| slug(part)).collect::<Vec<_>>().join("-");
        let n = self.ids.entry(slug.clone()).or_insert(0);
        *n += 1;
        if *n == 1 {
            return slug;
        }
        // The numbered id may be the plain id of another element.
        let numbered = format!("{slug}-{n}");
        self.id(&[&numbered])
    }

    /// The id of a layer's element: `layer-early`, with the tenant if there are several.
    pub(super) fn layer_id(&mut self, kind: &str, tenant: &str, layer: &str, rest: &str) -> String {
        let tenant = if self.several_tenants { tenant } else { "" };
        self.id(&[kind, tenant, layer, rest])
    }

    /// A cell with the name of a layer. Filters use its id.
    pub(super) fn layer_cell(&self, id: &str) -> TableCell {
        TableCell::Keyed(self.names.layer(id).to_owned(), id.to_owned())
    }

    /// A cell with the name of a metric. Filters use its id.
    pub(super) fn metric_cell(&self, id: &str) -> TableCell {
        let name = name_among(&self.metrics, id);
        TableCell::Keyed(name.of(self.lang).to_owned(), id.to_owned())
    }

    pub(super) fn text(&mut self, words: &str) {
        self.raw(&format!("<p>{}</p>\n", escape(words)));
    }

    pub(super) fn chart(&mut self, chart: &Chart) {
        self.figure(chart, &chart.svg, &chart.narrow);
    }

    /// A chart with its pictures: one for every screen, or one for wide and one for narrow ones.
    fn figure(&mut self, chart: &Chart, svg: &str, narrow: &str) {
        let (title, words) = (escape(&chart.title), escape(&chart.description));
        let keys = attributes(chart.keys.iter().map(|(key, value)| (*key, value.as_str())));
        // Writing to a string cannot fail.
        let _ = write!(
            self.html,
            "<figure{keys}>\n<figcaption>{title}</figcaption>\n<div class=\"picture{}\" role=\"img\" tabindex=\"0\" aria-label=\"{title}: {words}\">\n{}{}</div>\n",
            if narrow.is_empty() { "" } else { " both" },
            svg,
            narrow
        );
        if let Some(curves) = &chart.curves {
            self.raw(&format!(
                "<script type=\"application/json\" class=\"curves\">{}</script>\n",
                curves.to_json()
            ));
        }
        self.raw("</figure>\n");
    }

    /// Writes charts of many curves, after a note if their points were thinned.
    pub(super) fn charts(&mut self, charts: &[Chart]) {
        let counts = charts
            .iter()
            .filter_map(|chart| chart.curves.as_ref())
            .map(crate::report::curves::Curves::counts);
        let (n_drawn, n_all) = counts.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        if n_drawn < n_all {
            self.text(&fill(
                self.words.thinned,
                &[&count(n_all as u64), &count(n_drawn as u64)],
            ));
        }
        // Many charts are drawn for narrow screens only: the script draws them again for wide ones.
        let is_many = charts.len() > MANY_CHARTS;
        for chart in charts {
            if is_many && !chart.narrow.is_empty() {
                self.figure(chart, &chart.narrow, "");
            } else {
                self.chart(chart);
            }
        }
    }

    pub(super) fn table(
        &mut self,
        caption: &str,
        header: &[&str],
        rows: impl IntoIterator<Item = Vec<TableCell>>,
    ) {
        let skipped = usize::from(
            header.first().and_then(|name| Words::key_of(name)) == Some("tenant") && !self.several_tenants,
        );
        let rows: Vec<Vec<TableCell>> = rows.into_iter().collect();
        let is_number = |column: usize| {
            matches!(
                rows.first().and_then(|row| row.get(column)),
                Some(TableCell::Number(_))
            )
        };
        // Numeric columns are listed once in the table's class, to keep cells short.
        let mut classes: Vec<String> = (skipped..header.len())
            .filter(|idx| is_number(*idx))
            .map(|idx| format!("n{}", idx - skipped + 1))
            .collect();
        if header.len() > 10 {
            classes.push("wide".into());
        }
        if header.len() - skipped > 4 {
            classes.push("many".into());
        }
        // The script gives the cells of a long table their columns' names, to keep the page short.
        let is_long = self.has_labels && rows.len() > MAX_LABELED;
        if is_long {
            classes.push("bare".into());
            self.has_labels = false;
        }
        let _ = write!(
            self.html,
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table class=\"{1}\">\n<caption{2}>{0}</caption>\n<thead><tr>",
            escape(caption),
            classes.join(" "),
            if caption == self.heading {
                " class=\"unseen\""
            } else {
                ""
            }
        );
        for (column, name) in header.iter().enumerate().skip(skipped) {
            let key = Words::key_of(name).map_or_else(String::new, |key| format!(" data-key=\"{key}\""));
            let class = if is_number(column) { " class=\"n\"" } else { "" };
            let _ = write!(self.html, "<th scope=\"col\"{key}{class}>{}</th>", escape(name));
        }
        self.raw("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.raw("<tr>");
            for (name, cell) in header.iter().zip(row).skip(skipped) {
                self.cell(name, cell);
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody></table></div>\n");
        self.has_labels |= is_long;
    }

    /// Writes a cell. On narrow screens, where a row is a card, it carries its column's name.
    fn cell(&mut self, name: &str, cell: TableCell) {
        let label = if self.has_labels {
            format!(" data-label=\"{}\"", escape(name))
        } else {
            String::new()
        };
        let _ = match cell {
            TableCell::Text(text) | TableCell::Number(text) if text == "-" => {
                write!(self.html, "<td{label} class=\"none\">-</td>")
            }
            TableCell::Text(text) | TableCell::Number(text) => {
                write!(self.html, "<td{label}>{}</td>", escape(&text))
            }
            TableCell::Keyed(text, key) if text == key => {
                write!(self.html, "<td{label}>{}</td>", escape(&text))
            }
            TableCell::Keyed(text, key) => write!(
                self.html,
                "<td{label} data-value=\"{}\">{}</td>",
                escape(&key),
                escape(&text)
            ),
            TableCell::Anchored { text, id, key } => {
                let (id, link) = (escape(&id), anchor(&id, &text));
                let value = if key.is_empty() {
                    String::new()
                } else {
                    format!(" data-value=\"{}\"", escape(&key))
                };
                write!(self.html, "<td{label}{value} id=\"{id}\">{link}</td>")
            }
            TableCell::Long(text) => {
                write!(self.html, "<td{label} class=\"long\">{}</td>", escape(&text))
            }
            TableCell::Badge(text) => write!(self.html, "<td{label}>{}</td>", badge(&text, self.words)),
            TableCell::BadgeAnd(word, text) => write!(
                self.html,
                "<td{label}>{} {}</td>",
                badge(&word, self.words),
                escape(&text)
            ),
        };
    }
}

/// A text that links to its own element, so that the link can be copied.
pub(super) fn anchor(id: &str, text: &str) -> String {
    format!(
        "<a class=\"anchor\" href=\"#{}\">{}</a>",
        escape(id),
        escape(text)
    )
}

/// A part of an id: what is no letter, no digit and none of `-`, `_`, `.` becomes `-`.
fn slug(text: &str) -> String {
    let kept = |ch: char| {
        if ch.is_alphanumeric() || "-_.".contains(ch) {
            ch
        } else {
            '-'
        }
    };
    text.chars().map(kept).collect()
}

pub(super) enum TableCell {
    Text(String),
    /// A number, or text that begins with one. The first cell of a column sets its alignment. A
    /// column of intervals is sorted by the estimates in the column before it.
    Number(String),
    /// Text with its own filter value.
    Keyed(String, String),
    /// Text that links to its own element.
    Anchored {
        text: String,
        /// Id of the element.
        id: String,
        /// The filter value. Empty if it is the text.
        key: String,
    },
    /// A digest, which may break at any character.
    Long(String),
    /// A status word, which is also a class of the style sheet.
    Badge(String),
    /// A status word, and a text behind it.
    BadgeAnd(String, String),
}

/// A status word. The word "inconclusive" has an explanation as its tooltip.
pub(super) fn badge(name: &str, words: &Words) -> String {
    let title = if name == "inconclusive" {
        format!(" title=\"{}\"", escape(words.inconclusive_means))
    } else {
        String::new()
    };
    format!(
        "<span class=\"badge {}\"{title}>{}</span>",
        escape(name),
        escape(&words.badge(name))
    )
}

/// Returns a source of a content security policy: the SHA-256 of an element's whole text, in
/// base64.
pub(super) fn source_hash(text: &str) -> String {
    format!("sha256-{}", base64::encode(&Sha256::digest(text.as_bytes())))
}

pub(super) fn word(text: impl Into<String>) -> TableCell {
    TableCell::Text(text.into())
}

pub(super) fn num(text: impl Into<String>) -> TableCell {
    TableCell::Number(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::{SCRIPT, STYLE, source_hash};

    #[test]
    fn markup_in_text_stays_text() {
        assert_eq!(
            escape("<script>\"x\" & 'y'</script>"),
            "&lt;script&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;/script&gt;"
        );
    }

    #[test]
    fn ids_are_unique_and_stable() {
        let mut page = Page::new(Lang::En, true);
        let id = |page: &mut Page, tenant: &str, layer: &str| page.layer_id("layer", tenant, layer, "");
        assert_eq!(id(&mut page, "shop a", "early"), "layer-shop-a-early");
        assert_eq!(id(&mut page, "shop-a", "early"), "layer-shop-a-early-2");
        assert_eq!(id(&mut page, "shop-a", "early-2"), "layer-shop-a-early-2-2");
        assert_eq!(id(&mut page, "店", "<b>\""), "layer-店--b--");
        page.several_tenants = false;
        assert_eq!(
            page.layer_id("", "default", "early", "guardrail:complaint_rate"),
            "early-guardrail-complaint_rate"
        );
    }

    #[test]
    fn the_chart_library_is_the_one_of_its_readme() {
        let readme = include_str!("assets/README.md");
        let files = [
            ("uPlot.iife.min.js", include_str!("assets/uPlot.iife.min.js")),
            ("uPlot.min.css", include_str!("assets/uPlot.min.css")),
        ];
        for (name, text) in files {
            let digest: String = Sha256::digest(text.as_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert!(
                readme.contains(&format!("| `{name}` | `{digest}` |")),
                "{name}: {digest}"
            );
        }
    }

    #[test]
    fn the_policy_names_what_the_page_holds() {
        assert_eq!(
            source_hash(""),
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
        assert!(!SCRIPT.contains("</script") && !SCRIPT.contains("<!--") && !STYLE.contains("</style"));
    }
}

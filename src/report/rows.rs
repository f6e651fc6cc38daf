//! Charts of rows that the page's filters hide and move. Each row is one SVG group.

use std::fmt::Write;

use crate::base::escape::html as escape;
use crate::report::escape::attributes;
use crate::report::short::short;
use crate::report::svg::{Canvas, Chart};

/// Height of a row's label where it stands above the row's shapes.
const LABEL_LINE: u32 = 16;

/// A chart with a head, rows and a foot, in one width.
pub(super) struct Rows {
    svg: String,
    top: u32,
    step: u32,
    bottom: u32,
    n: u32,
    n_all: u32,
    is_narrow: bool,
}

impl Rows {
    /// Rows for a wide screen: labels stand left of the shapes. `step` is the height of the shapes.
    pub(super) fn new(n_rows: usize, top: u32, step: u32, bottom: u32) -> Self {
        Self::with_width(n_rows, (top, step, bottom), false)
    }

    /// Rows for a narrow screen: labels stand above the shapes.
    pub(super) fn narrow(n_rows: usize, top: u32, step: u32, bottom: u32) -> Self {
        Self::with_width(n_rows, (top, step + LABEL_LINE, bottom), true)
    }

    fn with_width(n_rows: usize, (top, step, bottom): (u32, u32, u32), is_narrow: bool) -> Self {
        let n_all = n_rows as u32;
        let height = top + step * n_all + bottom;
        let width = Canvas::WIDTHS[usize::from(is_narrow)];
        let svg = format!(
            "<svg class=\"rows\" font-size=\"13\" stroke-width=\"3\" fill=\"var(--ink)\" role=\"presentation\" viewBox=\"0 0 {width} {height}\" data-top=\"{top}\" data-step=\"{step}\" data-bottom=\"{bottom}\" xmlns=\"http://www.w3.org/2000/svg\">\n"
        );
        Self {
            svg,
            top,
            step,
            bottom,
            n: 0,
            n_all,
            is_narrow,
        }
    }

    /// Draws a vertical line from head to foot. The view cuts it off when filters hide rows.
    pub(super) fn rule(&mut self, x: f64, color: &str, width: u32) {
        let (from, to) = (self.top - 4, self.top + self.step * self.n_all + self.bottom);
        let _ = writeln!(
            self.svg,
            "<path d=\"M{x:.1} {from}V{to}\" stroke=\"var(--{color})\" stroke-width=\"{width}\"/>"
        );
    }

    /// Writes a text in the head.
    pub(super) fn head(&mut self, x: f64, y: u32, anchor: &str, words: &str) {
        let words = escape(words);
        let _ = writeln!(
            self.svg,
            "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\" font-size=\"12\">{words}</text>"
        );
    }

    /// Adds a row: filter keys, label, tooltip, and shapes with y from the row's top.
    pub(super) fn row(&mut self, keys: &[(&str, &str)], label: &str, says: &str, shapes: &str) {
        let y = self.top + self.step * self.n;
        let (x, baseline, letters, shapes) = if self.is_narrow {
            let shapes = format!("<g transform=\"translate(0 {LABEL_LINE})\">{shapes}</g>");
            (2, LABEL_LINE - 3, 50, shapes)
        } else {
            (8, self.step / 2 + 4, 42, shapes.to_owned())
        };
        let _ = writeln!(
            self.svg,
            "<g class=\"row\"{} transform=\"translate(0 {y})\"><title>{}</title><text x=\"{x}\" y=\"{baseline}\">{}</text>{shapes}</g>",
            attributes(keys.iter().copied()),
            escape(says),
            escape(&short(label, letters)),
        );
        self.n += 1;
    }

    /// Ends the rows and returns their SVG.
    pub(super) fn svg(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }

    /// A chart of these rows for every width.
    pub(super) fn chart(self, title: String, description: String) -> Chart {
        Chart {
            title,
            description,
            svg: self.svg(),
            narrow: String::new(),
            keys: Vec::new(),
            curves: None,
        }
    }
}

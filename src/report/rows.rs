//! Charts of rows that the page's filters hide and move. Each row is one SVG group.

use std::fmt::Write;

use crate::base::escape::html as escape;
use crate::report::escape::attributes;
use crate::report::svg::Chart;

/// The largest width of a label, in letters. Wide letters count twice.
const LABEL: usize = 42;
const WIDTH: u32 = 720;

/// A chart with a head, rows and a foot.
pub(super) struct Rows {
    svg: String,
    top: u32,
    step: u32,
    bottom: u32,
    n: u32,
    n_all: u32,
}

impl Rows {
    pub(super) fn new(n_rows: usize, top: u32, step: u32, bottom: u32) -> Self {
        let n_all = n_rows as u32;
        let height = top + step * n_all + bottom;
        let svg = format!(
            "<svg class=\"rows\" font-size=\"13\" stroke-width=\"3\" fill=\"var(--ink)\" role=\"presentation\" viewBox=\"0 0 {WIDTH} {height}\" data-top=\"{top}\" data-step=\"{step}\" data-bottom=\"{bottom}\" xmlns=\"http://www.w3.org/2000/svg\">\n"
        );
        Self {
            svg,
            top,
            step,
            bottom,
            n: 0,
            n_all,
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
        let _ = writeln!(
            self.svg,
            "<g class=\"row\"{} transform=\"translate(0 {y})\"><title>{}</title><text x=\"8\" y=\"{}\">{}</text>{shapes}</g>",
            attributes(keys.iter().copied()),
            escape(says),
            self.step / 2 + 4,
            escape(&short(label, LABEL)),
        );
        self.n += 1;
    }

    pub(super) fn chart(mut self, title: String, description: String) -> Chart {
        self.svg.push_str("</svg>\n");
        Chart {
            title,
            description,
            svg: self.svg,
            keys: Vec::new(),
            curves: None,
        }
    }
}

/// Cuts a label to `most` letters. Wide letters count twice.
pub(super) fn short(label: &str, most: usize) -> String {
    let width = |ch: char| if u32::from(ch) < 0x1100 { 1 } else { 2 };
    if label.chars().map(width).sum::<usize>() <= most {
        return label.to_owned();
    }
    let mut free = most - 1;
    let kept: String = label
        .chars()
        .take_while(|ch| free.checked_sub(width(*ch)).map(|left| free = left).is_some())
        .collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_labels_are_cut() {
        assert_eq!(
            crate::report::rows::short("regular: task_completion_rate", 42),
            "regular: task_completion_rate"
        );
        assert_eq!(
            crate::report::rows::short(&"x".repeat(60), 42).chars().count(),
            42
        );
        assert_eq!(
            crate::report::rows::short(&"层".repeat(60), 42).chars().count(),
            21
        );
    }
}

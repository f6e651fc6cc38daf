//! Tables that fit the terminal: columns have a rank, and those of the highest rank are left out
//! first.

use comfy_table::{
    Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, LineStyle, Width, presets,
};

use crate::base::escape;
use crate::cli::terminal::Terminal;
use crate::cli::text::fill;
use crate::words::Lang;
use crate::words::terminal as words;

/// The fewest columns of the terminal that a wrapped text gets.
const MIN_TEXT: u16 = 20;

/// The fewest columns of the terminal that a long name keeps.
const MIN_NAME: u16 = 24;

/// Spaces between two columns.
const GAP: u16 = 2;

/// A column of a table.
#[derive(Debug, Clone)]
pub(super) struct Column {
    title: String,
    rank: u8,
    is_right: bool,
    wraps: bool,
}

/// A column that is always shown.
pub(super) fn column(title: impl Into<String>) -> Column {
    Column {
        title: escape::lines(&title.into(), &[]),
        rank: 0,
        is_right: false,
        wraps: false,
    }
}

impl Column {
    /// Numbers: at the right edge.
    pub(super) fn right(mut self) -> Self {
        self.is_right = true;
        self
    }

    /// A column that is left out when the table is too wide; the highest rank goes first.
    pub(super) fn rank(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }

    /// A column that only `--wide` shows.
    pub(super) fn wide(self) -> Self {
        self.rank(u8::MAX)
    }

    /// Long texts, which take the width that the other columns leave.
    pub(super) fn wraps(mut self) -> Self {
        self.wraps = true;
        self
    }
}

/// A table for people.
#[derive(Debug, Clone)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    is_one_line: bool,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
            is_one_line: false,
        }
    }

    /// Cuts long texts at the width of the table instead of wrapping them.
    pub(super) fn one_line(mut self) -> Self {
        self.is_one_line = true;
        self
    }

    /// Adds a row: one text a column.
    pub(super) fn add_row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let mut row: Vec<String> = cells
            .into_iter()
            .map(|cell| escape::line(&cell.into()).into_owned())
            .collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// The lines of the table, each with its end. The last line names the columns that are left
    /// out.
    pub(super) fn render(&self, terminal: &Terminal) -> String {
        let (shown, widths) = self.layout(terminal.width);
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::MAX);
        table.set_header(shown.iter().map(|idx| self.columns[*idx].title.as_str()));
        for row in &self.rows {
            let cells = shown.iter().map(|idx| {
                let text = self.shorten(*idx, &row[*idx], widths[*idx]);
                cell(&text, terminal.has_colors)
            });
            table.add_row(cells.collect::<Vec<_>>());
        }
        if terminal.has_colors {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        for (at, idx) in shown.iter().enumerate() {
            let Some(column) = table.column_mut(at) else {
                continue;
            };
            // The separator adds a second space between columns.
            let padding = u16::from(at + 1 < shown.len());
            column.set_padding((0, padding));
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(widths[*idx] + padding)));
            if self.columns[*idx].is_right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        // The rule ends where the texts end.
        let widest = total(&shown, &widths);
        let mut text = String::new();
        for line in table.lines() {
            let is_rule = line.chars().all(|c| c == '─');
            let n_chars = if is_rule { widest.into() } else { usize::MAX };
            text.extend(line.trim_end().chars().take(n_chars));
            text.push('\n');
        }
        let left_out: Vec<String> = (0..self.columns.len())
            .filter(|idx| !shown.contains(idx))
            .map(|idx| self.columns[idx].title.replace('\n', " "))
            .collect();
        if !left_out.is_empty() {
            let separator = if terminal.lang == Lang::En { ", " } else { "、" };
            let note = words::wide_shows_also(left_out.join(separator));
            text.push_str(&format!("\n{}\n", fill(note.of(terminal.lang), terminal.width)));
        }
        text
    }

    /// The widest text of a column.
    fn content_width(&self, idx: usize) -> u16 {
        let cells = self.rows.iter().map(|row| row[idx].as_str());
        let widest = cells
            .chain(self.columns[idx].title.lines())
            .map(console::measure_text_width)
            .max();
        u16::try_from(widest.unwrap_or(0)).unwrap_or(u16::MAX).max(1)
    }

    /// The columns that are shown, and the width of each column. Columns are left out by rank; then
    /// names are cut, and long texts wrap. Numbers are never cut: a table of numbers may be wider
    /// than the terminal.
    fn layout(&self, width: Option<u16>) -> (Vec<usize>, Vec<u16>) {
        let mut widths: Vec<u16> = (0..self.columns.len())
            .map(|idx| self.content_width(idx))
            .collect();
        let Some(width) = width else {
            return ((0..self.columns.len()).collect(), widths);
        };
        let mut shown: Vec<usize> = (0..self.columns.len())
            .filter(|idx| self.columns[*idx].rank < u8::MAX)
            .collect();
        if total(&shown, &widths) <= width {
            return (shown, widths);
        }
        let least: Vec<u16> = widths
            .iter()
            .zip(&self.columns)
            .map(|(content, column)| match column.is_right {
                true => *content,
                false => (*content).min(if column.wraps { MIN_TEXT } else { MIN_NAME }),
            })
            .collect();
        while total(&shown, &least) > width {
            let last = shown
                .iter()
                .enumerate()
                .max_by_key(|(at, idx)| (self.columns[**idx].rank, *at))
                .filter(|(_, idx)| self.columns[**idx].rank > 0);
            let Some((at, _)) = last else { break };
            shown.remove(at);
        }
        // Long texts give way first, then names.
        for wraps in [true, false] {
            let giving: Vec<usize> = shown
                .iter()
                .copied()
                .filter(|idx| self.columns[*idx].wraps == wraps && !self.columns[*idx].is_right)
                .collect();
            while total(&shown, &widths) > width {
                let widest = giving
                    .iter()
                    .copied()
                    .filter(|idx| widths[*idx] > least[*idx])
                    .max_by_key(|idx| widths[*idx]);
                let Some(idx) = widest else { break };
                widths[idx] -= 1;
            }
        }
        (shown, widths)
    }

    /// A text as a cell shows it: long texts wrap, names are cut.
    fn shorten(&self, idx: usize, text: &str, width: u16) -> String {
        if self.columns[idx].wraps && !self.is_one_line {
            return text.to_owned();
        }
        console::truncate_str(text, width.into(), "…").into_owned()
    }
}

/// The width of a table with a gap between columns.
fn total(shown: &[usize], widths: &[u16]) -> u16 {
    let sum = shown.iter().fold(0, |sum: u16, idx| {
        sum.saturating_add(widths[*idx]).saturating_add(GAP)
    });
    sum.saturating_sub(GAP)
}

/// A cell, with the color of its verdict.
fn cell(text: &str, has_colors: bool) -> Cell {
    let cell = Cell::new(text);
    match color_of(text).filter(|_| has_colors) {
        Some(color) => cell.fg(color),
        None => cell,
    }
}

/// The color of a word that judges; `None` for any other text.
fn color_of(text: &str) -> Option<Color> {
    match text {
        "promote" | "pass" | "passed" | "keeps" | "applied" => Some(Color::Green),
        "hold" | "warn" | "inconclusive" | "weak" => Some(Color::Yellow),
        "rollback" | "fail" | "failed" | "breaks" | "missing" | "error" => Some(Color::Red),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::table::{Table, column};
    use crate::cli::terminal::Terminal;

    fn table() -> Table {
        let mut table = Table::new([
            column("plan"),
            column("cost").right(),
            column("world").rank(1),
            column("runs").right().wide(),
            column("why").wraps(),
        ]);
        table.add_row([
            "as planned",
            "6,512",
            "day-4 fault",
            "500",
            "the plan goes back within an hour of the fault, in every run of this world",
        ]);
        table
    }

    #[test]
    fn columns_are_left_out_by_rank_and_texts_wrap() {
        let lines = |width: Option<u16>| table().render(&Terminal::of_width(width));
        let widest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        for width in [40, 60, 80, 100] {
            assert!(
                widest(&lines(Some(width))) <= width.into(),
                "{width}\n{}",
                lines(Some(width))
            );
        }
        assert!(lines(Some(80)).contains("world") && !lines(Some(50)).contains("day-4"));
        assert!(lines(Some(80)).contains("--wide shows also: runs"));
        assert!(lines(None).contains("500") && lines(None).lines().count() == 3);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new([column("na\u{202e}me")]);
        table.add_row(["\u{1b}[2Jgone\n::error::x"]);
        let text = table.render(&Terminal::of_width(None));
        assert!(
            text.contains("na\\u{202e}me") && text.contains("\\u{1b}[2Jgone\\n::error::x"),
            "{text}"
        );
    }

    #[test]
    fn long_names_are_cut_and_numbers_are_not() {
        let mut table = Table::new([
            column("name"),
            column("users").right(),
            column("candidate").right(),
        ]);
        table.add_row(["层".repeat(200), "1,016,523".to_owned(), "20,000,000".to_owned()]);
        let text = table.render(&Terminal::of_width(Some(50)));
        assert!(
            text.contains("1,016,523") && text.contains("20,000,000") && text.contains('…'),
            "{text}"
        );
        for line in text.lines() {
            assert!(console::measure_text_width(line) <= 50, "{text}");
        }
        let narrow = table.render(&Terminal::of_width(Some(40)));
        assert!(narrow.contains("1,016,523  20,000,000"), "{narrow}");
    }
}

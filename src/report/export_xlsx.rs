//! The tables of a report as a workbook. Numbers are numbers, texts are never formulas, and the same
//! tables give the same bytes.

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};

use crate::base::error::{Error, ErrorKind, Problem, Result};
use crate::base::escape;
use crate::report::export_tables::{ExportCell, ExportTable, SHEETS, column_title};
use crate::words::{Lang, export as texts};

/// The most rows of a sheet with its header.
const MAX_ROWS: usize = 1_048_576;
/// The most characters of a cell are 32,767. Longer texts are cut to this many.
const MAX_TEXT: usize = 30_000;
/// The widest column, in characters.
const MAX_WIDTH: usize = 60;

/// Writes a workbook of the tables that have a sheet, in the order of sheets.
///
/// # Errors
/// A table has more rows than a sheet can hold.
pub(super) fn workbook(tables: &[ExportTable], lang: Lang) -> Result<Vec<u8>> {
    let sheets = SHEETS
        .iter()
        .filter_map(|name| tables.iter().find(|table| table.name == *name));
    if let Some(table) = sheets.clone().find(|table| table.rows.len() >= MAX_ROWS) {
        let message = format!(
            "expected fewer than {MAX_ROWS} rows for a sheet, found {}",
            table.rows.len()
        );
        let problem = Problem::new(format!("workbook, sheet {}", table.name), message);
        return Err(Error::new(ErrorKind::Output, problem).hint("write CSV files with --tables"));
    }
    let failed =
        |error: XlsxError| Error::new(ErrorKind::Output, Problem::new("workbook", error.to_string()));
    let write = || -> std::result::Result<Vec<u8>, XlsxError> {
        let mut workbook = Workbook::new();
        // A time of its own would give other bytes on every run.
        let never = ExcelDateTime::from_timestamp(0)?;
        workbook.set_properties(&DocProperties::new().set_creation_datetime(&never));
        let mut n_sheets = 0;
        for table in sheets.clone() {
            sheet(workbook.add_worksheet(), table, lang)?;
            n_sheets += 1;
        }
        if n_sheets == 0 {
            workbook
                .add_worksheet()
                .write_string(0, 0, texts::no_ramp().of(lang))?;
        }
        workbook.save_to_buffer()
    };
    write().map_err(failed)
}

fn sheet(sheet: &mut Worksheet, table: &ExportTable, lang: Lang) -> std::result::Result<(), XlsxError> {
    let (bold, percent, points, count) = (
        Format::new().set_bold(),
        Format::new().set_num_format("0.00%"),
        Format::new().set_num_format(format!("0.00\" {}\"", texts::points().of(lang))),
        Format::new().set_num_format("#,##0"),
    );
    sheet.set_name(table.title().of(lang))?;
    sheet.set_freeze_panes(1, 0)?;
    for (column, name) in (0..).zip(table.columns) {
        let title = column_title(name);
        sheet.write_string_with_format(0, column, title.of(lang), &bold)?;
        sheet.set_column_width(column, width(table, usize::from(column), title.of(lang)))?;
    }
    if table.rows.is_empty() {
        sheet.write_string(1, 0, texts::no_rows().of(lang))?;
    }
    for (row, cells) in (1..).zip(&table.rows) {
        for (column, cell) in (0..).zip(cells) {
            match cell {
                ExportCell::Empty => continue,
                ExportCell::Text(text) => sheet.write_string(row, column, cell_text(text))?,
                ExportCell::Count(n) => sheet.write_number_with_format(row, column, *n as f64, &count)?,
                ExportCell::Number(value) => sheet.write_number(row, column, *value)?,
                ExportCell::Share(value) => sheet.write_number_with_format(row, column, *value, &percent)?,
                ExportCell::Points(value) => {
                    sheet.write_number_with_format(row, column, *value * 100.0, &points)?
                }
            };
        }
    }
    if let (Ok(last_row), Ok(last_column)) = (
        u32::try_from(table.rows.len()),
        u16::try_from(table.columns.len() - 1),
    ) && last_row > 0
    {
        sheet.autofilter(0, 0, last_row, last_column)?;
    }
    Ok(())
}

/// A text of a cell: one line without controls, as XML forbids them.
fn cell_text(text: &str) -> String {
    let text = escape::line(text);
    let mut n_units = 0;
    let kept = |c: &char| {
        n_units += c.len_utf16();
        n_units <= MAX_TEXT
    };
    text.chars().take_while(kept).collect()
}

/// The width of a column in characters, by its first hundred rows. Wide letters count twice.
fn width(table: &ExportTable, column: usize, title: &str) -> f64 {
    let texts = table
        .rows
        .iter()
        .take(100)
        .filter_map(|row| match row.get(column) {
            Some(ExportCell::Text(text)) => Some(console::measure_text_width(text)),
            _ => None,
        });
    let widest = texts
        .chain([console::measure_text_width(title), 8])
        .max()
        .unwrap_or(8);
    (widest + 2).min(MAX_WIDTH) as f64
}

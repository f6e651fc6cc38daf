//! Files that people take away from a report: charts as SVG and PNG, tables as CSV and as a
//! workbook.

use hashbrown::HashSet;
use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::slices_of;
use crate::base::error::{Error, ErrorKind, Problem, Result};
use crate::base::{csv, digest, escape, json};
use crate::ramp::OperationRow;
use crate::report::bounded::Bounded;
use crate::report::charts::{harm_title, harms_in_margins, harms_of};
use crate::report::export_png::PngWriter;
use crate::report::export_svg::standalone;
use crate::report::export_tables::{ExportCell, tables};
use crate::report::export_xlsx;
use crate::report::model::Model;
use crate::report::slices::slice_charts;
use crate::report::svg::Chart;
use crate::report::time_charts::{qos_over_time, ratios_over_time};
use crate::report::user_charts::{layer_distribution, score_histogram};
use crate::words::{Count, Lang, Text, export as texts};

/// Pixels of a PNG for each of the chart's own.
const SCALE: f64 = 2.0;
/// The highest PNG, in pixels. Higher charts get fewer pixels for each of their own.
const MAX_HEIGHT: f64 = 12_000.0;
/// The name of the index of a folder of charts.
pub const CHARTS_INDEX: &str = "charts.json";
/// The name of the index of a folder of tables.
pub const TABLES_INDEX: &str = "tables.json";
/// The most letters that a warning shows.
const MAX_LETTERS: usize = 20;

/// Files of a folder by their names, with an index.
#[derive(Debug)]
pub struct ExportedFiles {
    /// Names and contents, in order. The index is the last.
    pub files: Vec<(String, Vec<u8>)>,
    /// Why pictures are missing. `None` if there are all.
    pub warning: Option<Text>,
}

/// The index of a folder: its files with their titles. A folder with such an index is replaced as a
/// whole.
#[derive(serde::Serialize)]
struct Index<'a> {
    schema: &'a str,
    files: BTreeMap<&'a str, &'a str>,
}

fn with_index(
    mut files: Vec<(String, Vec<u8>)>,
    titles: &BTreeMap<String, String>,
    (name, schema): (&str, &str),
) -> Vec<(String, Vec<u8>)> {
    let index = Index {
        schema,
        files: titles
            .iter()
            .map(|(name, title)| (name.as_str(), title.as_str()))
            .collect(),
    };
    files.push((name.to_owned(), json::to_json(&index).into_bytes()));
    files
}

/// Each chart of the report as SVG and as PNG, under stable names. A chart with letters that no font
/// of the system has is written as SVG only, and the warning says so.
///
/// # Errors
/// A chart cannot be drawn.
pub fn chart_files(model: &Model, lang: Lang) -> Result<ExportedFiles> {
    let writer = PngWriter::new();
    let (mut files, mut titles) = (Vec::new(), BTreeMap::new());
    let (mut missing, mut n_missing) = (BTreeSet::new(), 0);
    for (name, chart) in named_charts(model, lang)? {
        let Some(file) = standalone(&chart) else {
            let problem = Problem::new(format!("chart {name}"), "expected a size, found none");
            return Err(Error::new(ErrorKind::Output, problem));
        };
        let letters = writer.missing_letters(&file);
        if letters.is_empty() {
            let png = format!("{name}.png");
            files.push((
                png.clone(),
                writer.draw(&file, SCALE.min(MAX_HEIGHT / file.height))?,
            ));
            titles.insert(png, chart.title.clone());
        } else {
            n_missing += 1;
            missing.extend(letters);
        }
        let svg = format!("{name}.svg");
        files.push((svg.clone(), file.svg.into_bytes()));
        titles.insert(svg, chart.title);
    }
    let warning = (n_missing > 0).then(|| {
        let letters: String = missing.into_iter().take(MAX_LETTERS).collect();
        texts::no_picture(Count(n_missing), escape::line(&letters).into_owned())
    });
    Ok(ExportedFiles {
        files: with_index(files, &titles, (CHARTS_INDEX, "sluice.charts/1")),
        warning,
    })
}

/// All charts of the report with their names, those of slices included.
pub(super) fn named_charts(model: &Model, lang: Lang) -> Result<Vec<(String, Chart)>> {
    let bounded = Bounded::new(model);
    let model = &*bounded.model;
    let (words, names) = (lang.words(), model.layer_names(lang));
    let mut found: Vec<(String, Chart)> = Vec::new();
    if let Some(ramp) = &model.ramp {
        let zone = &model.study.time_zone;
        found.push(("ratios".into(), ratios_over_time(ramp, &names, zone, words)?));
        let harms = harms_of(ramp, &names, lang);
        if !harms.is_empty() {
            let title = harm_title(ramp, words);
            found.push(("harm".into(), harms_in_margins(&harms, title, words)));
        }
        let several = ramp.analysis.tenants().len() > 1;
        for chart in qos_over_time(ramp, &names, zone, words)? {
            let key = |name: &str| chart.keys.iter().find(|(key, _)| *key == name);
            let tenant = key("tenant").filter(|_| several).map(|(_, value)| value.as_str());
            let layer = key("layer").map_or("", |(_, value)| value.as_str());
            found.push((chart_name("qos", tenant, layer), chart));
        }
        let (_, findings) = slices_of(&ramp.analysis);
        for (layer, chart) in slice_charts(&names, &findings, lang) {
            let tenant = several.then_some(layer.tenant.as_str());
            found.push((chart_name("slices", tenant, &layer.layer), chart));
        }
    }
    found.push(("layers".into(), layer_distribution(model, &names, words)));
    found.push(("scores".into(), score_histogram(model, words)?));
    let mut used = HashSet::new();
    for (name, _) in &mut found {
        while !used.insert(name.clone()) {
            name.push_str("-2");
        }
    }
    Ok(found)
}

fn chart_name(kind: &str, tenant: Option<&str>, layer: &str) -> String {
    let parts = std::iter::once(kind.to_owned())
        .chain(tenant.map(slug))
        .chain([slug(layer)]);
    parts.collect::<Vec<_>>().join("-")
}

/// A name as a part of a file's name: small letters, digits, `_` and `-`. A name that changes gets a
/// part of its digest, so that different names stay different.
fn slug(name: &str) -> String {
    /// The longest part of a file's name.
    const MAX: usize = 60;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    let plain: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '-' })
        .take(MAX)
        .collect();
    if plain == name && !plain.is_empty() {
        return plain;
    }
    let digest = digest::sha256_of_bytes(name.as_bytes());
    let short = digest.rsplit(':').next().unwrap_or_default().chars().take(8);
    format!("{plain}-{}", short.collect::<String>())
}

/// Each table of the report as a CSV file. `operations` is the whole log of changes.
///
/// # Errors
/// A table cannot be written.
pub fn table_files(model: &Model, operations: &[OperationRow], lang: Lang) -> Result<ExportedFiles> {
    let (mut files, mut titles) = (Vec::new(), BTreeMap::new());
    for table in tables(model, operations, lang) {
        let name = format!("{}.csv", table.name);
        let rows = table.rows.iter().map(|row| row.iter().map(csv_cell).collect());
        let bytes = csv::to_csv(table.columns, rows)
            .map_err(|error| Error::new(ErrorKind::Output, Problem::new(name.clone(), error.to_string())))?;
        titles.insert(name.clone(), table.title().of(lang).to_owned());
        files.push((name, bytes));
    }
    Ok(ExportedFiles {
        files: with_index(files, &titles, (TABLES_INDEX, "sluice.tables/1")),
        warning: None,
    })
}

/// A cell of a CSV file. A text that a spreadsheet would take as a formula gets a `'` before it.
fn csv_cell(cell: &ExportCell) -> String {
    match cell {
        ExportCell::Empty => String::new(),
        ExportCell::Text(text) => escape::csv_field(text).into_owned(),
        ExportCell::Count(n) => n.to_string(),
        ExportCell::Number(value) | ExportCell::Share(value) | ExportCell::Points(value) => value.to_string(),
    }
}

/// The workbook of the report: decisions, effects, slices, schedule, operations and costs.
///
/// # Errors
/// A table has more rows than a sheet can hold.
pub fn workbook(model: &Model, operations: &[OperationRow], lang: Lang) -> Result<Vec<u8>> {
    export_xlsx::workbook(&tables(model, operations, lang), lang)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain_and_stay_different() {
        assert_eq!(slug("early-1_a"), "early-1_a");
        let hostile = ["../../etc/passwd", "..", "", "A", "a b", "a/b", "早期"];
        let slugs: HashSet<String> = hostile.iter().map(|name| slug(name)).collect();
        assert_eq!(slugs.len(), hostile.len(), "{slugs:?}");
        assert!(
            slugs
                .iter()
                .all(|slug| !slug.contains(['/', '.', ' ']) && slug.is_ascii())
        );
        assert!(slug(&"x".repeat(1_000)).len() < 80);
    }
}

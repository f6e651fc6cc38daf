//! The cube on disk: Parquet tables and one JSON document.

use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::time::Micros;
use crate::base::{digest, json, parquet_io};
use crate::input::SourceFile;
use crate::metric::Sum;
use crate::replay::columns::{KEY_COLUMNS, VALUE, damaged, dictionary, integers, longs, names};
use crate::replay::cube::{
    Breakdown, CellKey, Cells, Cube, CubeLayer, CubeMeasure, CubeSource, LayerKey, RowCounts, SessionRow,
};
use crate::replay::limits::QuantileLimits;
use crate::replay::plausible::implausible_means;
use crate::replay::tables::{EXPOSURE_COLUMNS, TableReader};
use crate::replay::unknown::UnknownIds;
use crate::replay::user_store::{SESSIONS, USERS};
use crate::scenario::Arm;
use crate::scenario::plan::BreakdownBy;
use crate::scenario::stages::MAX_STAGES;

/// The document of a cube. It is written last, so a folder without it is incomplete.
pub const CUBE_FILE: &str = "cube.json";
const CELLS: &str = "cells.parquet";
const PAIRS: &str = "pairs.parquet";
const ACTIVITY: &str = "activity.parquet";
const EXPOSURES: &str = "exposures.parquet";
const LATENCIES: &str = "latencies.parquet";
const ROW_GROUP_ROWS: usize = 262_144;

/// Makes the values of a column in a range of rows.
type ColumnOf<'a> = Box<dyn Fn(Range<usize>) -> ArrayRef + Sync + 'a>;

/// All parts of a cube except its tables.
#[derive(Serialize, Deserialize)]
struct CubeDocument {
    schema: String,
    plan_id: String,
    baseline: String,
    candidate: String,
    start: Micros,
    as_of: Micros,
    window: Micros,
    tenants: Vec<String>,
    layer_ids: Vec<String>,
    layers: Vec<CubeLayer>,
    measures: Vec<CubeMeasure>,
    counts: RowCounts,
    #[serde(default, skip_serializing_if = "UnknownIds::is_empty")]
    unknown: UnknownIds,
    sources: Vec<CubeSource>,
    shadow_sources: Vec<SourceFile>,
    outcome_sources: Vec<SourceFile>,
    layers_digest: String,
    counts_sessions: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    units: BTreeMap<String, BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    expressions: BTreeMap<String, BTreeSet<String>>,
    /// Written for readers of the document. A cube that is read computes them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    breakdowns: Vec<BreakdownBy>,
    sessions: Vec<SessionRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    limits: Vec<QuantileLimits>,
    /// The digest of each table, so that tables of different cubes are not read together.
    files: BTreeMap<String, String>,
}

/// The names of a cube's tables, without breakdowns.
const TABLES: [&str; 7] = [CELLS, PAIRS, USERS, SESSIONS, ACTIVITY, EXPOSURES, LATENCIES];

/// The file name of a breakdown's table.
fn breakdown_file(idx: usize) -> String {
    format!("breakdown_{idx}.parquet")
}

/// Refuses tables that were not written with their document.
///
/// # Errors
/// When a table is missing or has changed.
pub(super) fn check_tables(folder: &Path, names: &[&str]) -> Result<()> {
    let document: CubeDocument = json::read_json(&folder.join(CUBE_FILE))?;
    document.check_tables(folder, names)
}

impl CubeDocument {
    fn check_tables(&self, folder: &Path, names: &[&str]) -> Result<()> {
        names.par_iter().try_for_each(|name| {
            let path = folder.join(name);
            let digest = digest::blake3_of_file(&path)?;
            if self.files.get(*name) == Some(&digest) {
                return Ok(());
            }
            Err(changed(
                &path,
                &format!("{digest}, and another digest in {CUBE_FILE}"),
            ))
        })
    }

    /// Refuses a document whose parts are inconsistent. The digests of the tables do not protect it.
    fn check(&self, path: &Path) -> Result<()> {
        let problems = [
            Self::problem_of_time,
            Self::problem_of_names,
            Self::problem_of_layers,
        ]
        .into_iter()
        .chain([Self::problem_of_counts, Self::problem_of_sessions]);
        match problems.into_iter().find_map(|problem| problem(self)) {
            Some(found) => Err(changed(path, found)),
            None => Ok(()),
        }
    }

    fn problem_of_time(&self) -> Option<&'static str> {
        let length = self.as_of.checked_sub(self.start).filter(|length| *length >= 0);
        let Some(length) = length else {
            return Some("an `as_of` before `start`");
        };
        let is_window = self.window > 0 && self.as_of.checked_add(self.window).is_some();
        if !is_window || length / self.window >= i64::from(u32::MAX) {
            return Some("a `window` out of range");
        }
        None
    }

    fn problem_of_names(&self) -> Option<&'static str> {
        let is_distinct = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len() == names.len();
        if !is_distinct(&self.tenants) || !is_distinct(&self.layer_ids) {
            return Some("a tenant or layer twice");
        }
        let columns: Vec<String> = self
            .measures
            .iter()
            .map(|measure| measure.sum.column_name())
            .collect();
        let has_reading = |measure: &CubeMeasure| measure.sum == Sum::Rows || measure.sum.reading().is_some();
        let is_first = |measure: &CubeMeasure| measure.sum == Sum::Rows && measure.present;
        if !self.measures.first().is_some_and(is_first)
            || !self.measures.iter().all(has_reading)
            || !is_distinct(&columns)
        {
            return Some("`measures` that are no sums of a log");
        }
        None
    }

    fn problem_of_layers(&self) -> Option<&'static str> {
        let n_layers = self.layer_ids.len();
        if n_layers > usize::from(u8::MAX) || self.layers.len() != self.tenants.len() * n_layers {
            return Some("another number of `layers` than of tenants and layer ids");
        }
        let is_in_order = |(idx, layer): (usize, &CubeLayer)| {
            layer.tenant as usize == idx / n_layers && usize::from(layer.layer) == idx % n_layers
        };
        if !self.layers.iter().enumerate().all(is_in_order) {
            return Some("`layers` out of order");
        }
        let is_whole = |layer: &CubeLayer| {
            let stages = &layer.stages;
            (1..=MAX_STAGES).contains(&stages.len())
                && stages[0].start == self.start
                && stages[stages.len() - 1].end == self.as_of
                && stages.iter().all(|stage| stage.start <= stage.end)
                && stages.iter().all(|stage| {
                    let since = stage.changing_since.into_iter().chain(stage.mixed_since);
                    since
                        .into_iter()
                        .all(|since| (self.start..stage.end).contains(&since))
                })
                && stages.windows(2).all(|pair| pair[0].end == pair[1].start)
        };
        if !self.layers.iter().all(is_whole) {
            return Some("stages that do not cover the time from `start` to `as_of`");
        }
        let n_users = self
            .layers
            .iter()
            .try_fold(0_u64, |sum, layer| sum.checked_add(layer.n_users));
        let Some(n_users) = n_users.filter(|n| *n <= u64::from(u32::MAX)) else {
            return Some("more than 2^32 users");
        };
        let is_possible = |layer: &CubeLayer| layer.n_eligible <= layer.n_users && layer.n_exposed <= n_users;
        if !self.layers.iter().all(is_possible) {
            return Some("a layer with more eligible or exposed users than users");
        }
        None
    }

    fn problem_of_counts(&self) -> Option<&'static str> {
        let sum_of = |count: fn(&CubeSource) -> u64| {
            let mut counts = self.sources.iter().map(count);
            counts.try_fold(0_u64, |sum, n| sum.checked_add(n))
        };
        let is_whole = self.counts.are_possible()
            && sum_of(|source| source.n_after_as_of) == Some(self.counts.n_after_as_of)
            && self
                .sources
                .iter()
                .all(|source| source.n_after_as_of <= source.n_rows);
        (!is_whole).then_some("`counts` above the number of rows")
    }

    fn problem_of_sessions(&self) -> Option<&'static str> {
        let key = |row: &SessionRow| (row.tenant, row.layer, row.stage, row.arm);
        let n_stages = |row: &SessionRow| {
            let (tenant, layer) = (row.tenant, row.layer);
            let at = self
                .layers
                .binary_search_by_key(&LayerKey { tenant, layer }, CubeLayer::key);
            at.map_or(0, |at| self.layers[at].stages.len())
        };
        let is_possible =
            |row: &SessionRow| usize::from(row.stage) < n_stages(row) && row.n_sessions <= self.counts.n_rows;
        let is_whole = self.sessions.iter().all(is_possible)
            && self.sessions.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
        (!is_whole).then_some("`sessions` out of range or out of order")
    }
}

/// The error for a cube whose files do not match each other.
fn changed(path: &Path, found: &str) -> Error {
    damaged(path.display().to_string(), &"an unchanged cube", &found)
}

const SCHEMA: &str = "sluice.cube/2";

impl Cube {
    /// Writes the cube's tables and its document into a folder that already has the files of users
    /// and sessions. The document is written last.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        self.write_cells(&self.cells, &folder.join(CELLS))?;
        self.write_cells(&self.pairs, &folder.join(PAIRS))?;
        // Each of these has few columns, and some are large.
        let write = |table: &str| {
            let path = folder.join(table);
            match table {
                EXPOSURES => self.write_exposures(&path),
                ACTIVITY => self.write_activity(&path),
                _ => self.write_latencies(&path),
            }
        };
        [LATENCIES, ACTIVITY, EXPOSURES]
            .into_par_iter()
            .try_for_each(write)?;
        let broken: Vec<String> = (0..self.breakdowns.len()).map(breakdown_file).collect();
        for (breakdown, name) in self.breakdowns.iter().zip(&broken) {
            self.write_breakdown(breakdown, &folder.join(name))?;
        }
        let tables: Vec<&str> = TABLES
            .into_iter()
            .chain(broken.iter().map(String::as_str))
            .collect();
        let document = CubeDocument {
            schema: SCHEMA.into(),
            plan_id: self.plan_id.clone(),
            baseline: self.baseline.clone(),
            candidate: self.candidate.clone(),
            start: self.start,
            as_of: self.as_of,
            window: self.window,
            tenants: self.tenants.clone(),
            layer_ids: self.layer_ids.clone(),
            layers: self.layers.clone(),
            measures: self.measures.clone(),
            limits: self.limits.clone(),
            counts: self.counts.clone(),
            unknown: self.unknown.clone(),
            sources: self.sources.clone(),
            shadow_sources: self.shadow_sources.clone(),
            outcome_sources: self.outcome_sources.clone(),
            layers_digest: self.layers_digest.clone(),
            counts_sessions: self.counts_sessions,
            units: self.units.clone(),
            expressions: self.expressions.clone(),
            warnings: implausible_means(self),
            breakdowns: self
                .breakdowns
                .iter()
                .map(|breakdown| breakdown.by.clone())
                .collect(),
            sessions: self.sessions.clone(),
            files: tables
                .par_iter()
                .map(|name| Ok(((*name).to_owned(), digest::blake3_of_file(&folder.join(name))?)))
                .collect::<Result<_>>()?,
        };
        json::write_json(&folder.join(CUBE_FILE), &document)
    }

    /// Reads a cube that [`Self::write`] wrote.
    ///
    /// # Errors
    /// When the folder is not a cube of this version, or a table is missing or has changed.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut cube = Self::read_sums(
            folder,
            &[CELLS, PAIRS, ACTIVITY, EXPOSURES, LATENCIES],
            &|_| true,
            &|_| true,
        )?;
        let broken: Vec<String> = (0..cube.breakdowns.len()).map(breakdown_file).collect();
        let broken: Vec<&str> = broken.iter().map(String::as_str).collect();
        check_tables(folder, &broken)?;
        let tables = TableReader::new(&cube);
        let rows = [cube.counts.n_baseline, cube.counts.n_candidate];
        let (exposures, latencies) = rayon::join(
            || tables.exposures(&folder.join(EXPOSURES)),
            || tables.latencies(&folder.join(LATENCIES), rows),
        );
        let (exposures, latencies) = (exposures?, latencies?);
        let breakdowns = cube
            .breakdowns
            .iter()
            .zip(broken)
            .map(|(breakdown, name)| tables.breakdown(&folder.join(name), &breakdown.by, rows))
            .collect::<Result<Vec<_>>>()?;
        drop(tables);
        (cube.exposures, cube.latencies, cube.breakdowns) = (exposures, latencies, breakdowns);
        cube.check_exposed(&folder.join(EXPOSURES))?;
        Ok(cube)
    }

    /// Reads the wanted measures of the pairs, the row counts of the cells, and the users by last
    /// window. The other measures are left out of the cube.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_pairs(folder: &Path, wanted: &(dyn Fn(&Sum) -> bool + Sync)) -> Result<Self> {
        Self::read_sums(folder, &[CELLS, PAIRS, ACTIVITY], wanted, &|sum| {
            *sum == Sum::Rows
        })
    }

    /// Reads the wanted measures of a cube, without exposures, latencies and breakdowns. `of_cells`
    /// can restrict the measures of the cells further.
    fn read_sums(
        folder: &Path,
        tables: &[&str],
        wanted: &(dyn Fn(&Sum) -> bool + Sync),
        of_cells: &(dyn Fn(&Sum) -> bool + Sync),
    ) -> Result<Self> {
        let document: CubeDocument = json::read_json(&folder.join(CUBE_FILE))?;
        if document.schema != SCHEMA {
            return Err(Error::input(
                folder.join(CUBE_FILE).display().to_string(),
                format!("expected {SCHEMA}, found {}", document.schema),
            ));
        }
        document.check(&folder.join(CUBE_FILE))?;
        document.check_tables(folder, tables)?;
        let mut cube = Self {
            plan_id: document.plan_id,
            baseline: document.baseline,
            candidate: document.candidate,
            start: document.start,
            as_of: document.as_of,
            window: document.window,
            tenants: document.tenants,
            layer_ids: document.layer_ids,
            layers: document.layers,
            limits: document.limits.clone(),
            measures: document
                .measures
                .into_iter()
                .filter(|measure| wanted(&measure.sum))
                .collect(),
            counts: document.counts,
            unknown: document.unknown,
            sources: document.sources,
            shadow_sources: document.shadow_sources,
            outcome_sources: document.outcome_sources,
            layers_digest: document.layers_digest,
            counts_sessions: document.counts_sessions,
            units: document.units,
            expressions: document.expressions,
            cells: Cells::default(),
            pairs: Cells::default(),
            breakdowns: document.breakdowns.into_iter().map(Breakdown::empty).collect(),
            exposures: Vec::new(),
            activity: Vec::new(),
            sessions: document.sessions,
            latencies: Vec::new(),
        };
        let tables = TableReader::new(&cube);
        let counts = &cube.counts;
        let rows = [counts.n_baseline, counts.n_candidate];
        let (cells, (pairs, activity)) = rayon::join(
            || tables.cells(&folder.join(CELLS), of_cells, rows),
            || {
                (
                    tables.cells(&folder.join(PAIRS), &|_| true, [counts.n_pairs; 2]),
                    tables.activity(&folder.join(ACTIVITY)),
                )
            },
        );
        let (cells, pairs, activity) = (cells?, pairs?, activity?);
        drop(tables);
        (cube.cells, cube.pairs, cube.activity) = (cells, pairs, activity);
        Ok(cube)
    }

    /// Refuses exposures that give other numbers of exposed users than the document.
    fn check_exposed(&self, path: &Path) -> Result<()> {
        let n_layers = self.layer_ids.len();
        let mut n_exposed = vec![0_u64; self.layers.len()];
        for row in &self.exposures {
            n_exposed[row.tenant as usize * n_layers + usize::from(row.layer)] += row.users.n_first_candidate;
        }
        let mut pairs = self.layers.iter().zip(n_exposed);
        match pairs.find(|(layer, found)| layer.n_exposed != *found) {
            Some((layer, found)) => Err(damaged(
                format!("{}: column `n_first_candidate`", path.display()),
                &format!(
                    "{} users in layer {} of tenant {}, as in {CUBE_FILE}",
                    layer.n_exposed,
                    self.layer_ids[usize::from(layer.layer)],
                    self.tenants[layer.tenant as usize]
                ),
                &found,
            )),
            None => Ok(()),
        }
    }

    fn write_cells(&self, cells: &Cells, path: &Path) -> Result<()> {
        self.write_cells_with(cells, None, path)
    }

    /// Writes cells, each with its value.
    fn write_breakdown(&self, breakdown: &Breakdown, path: &Path) -> Result<()> {
        let value = |rows: Range<usize>| -> ArrayRef {
            let values = &breakdown.value_of[rows];
            match breakdown.by {
                BreakdownBy::User => longs(values.iter().map(|row| u64::from(*row))),
                BreakdownBy::Column(_) => names(
                    values
                        .iter()
                        .map(|value| breakdown.values[*value as usize].as_str()),
                ),
            }
        };
        self.write_cells_with(&breakdown.cells, Some(Box::new(value)), path)
    }

    /// Writes cells. `value` makes the column of a breakdown.
    fn write_cells_with(&self, cells: &Cells, value: Option<ColumnOf<'_>>, path: &Path) -> Result<()> {
        let mut fields = key_fields();
        fields.push(Field::new("release", dictionary(), false));
        fields.push(Field::new(
            "window_start",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            false,
        ));
        fields.push(Field::new("bucket_group", DataType::Int32, false));
        let key =
            |column| -> ColumnOf<'_> { Box::new(move |rows| self.key_column(column, &cells.keys[rows])) };
        let mut columns: Vec<ColumnOf<'_>> = (0..KEY_COLUMNS.len()).map(key).collect();
        let n = self.measures.len();
        for (measure, of) in self.measures.iter().enumerate().filter(|(_, of)| of.present) {
            fields.push(Field::new(of.sum.column_name(), DataType::Int64, false));
            columns.push(Box::new(move |rows| {
                let sums = rows.map(|row| cells.values[row * n + measure]);
                Arc::new(Int64Array::from_iter_values(sums))
            }));
        }
        if let Some(value) = value {
            fields.push(Field::new(VALUE, value(0..0).data_type().clone(), false));
            columns.push(value);
        }
        let schema = Arc::new(Schema::new(fields));
        let of_rows = |column: usize, rows| columns[column](rows);
        parquet_io::write_columns(path, &schema, cells.keys.len(), ROW_GROUP_ROWS, of_rows)
    }

    /// A column of [`KEY_COLUMNS`].
    fn key_column(&self, column: usize, keys: &[CellKey]) -> ArrayRef {
        match column {
            0 => self.tenant_names(keys.iter().map(|key| key.tenant)),
            1 => self.layer_names(keys.iter().map(|key| key.layer)),
            2 => integers(keys.iter().map(|key| i32::from(key.stage))),
            3 => names(keys.iter().map(|key| self.release(key.arm))),
            4 => {
                let starts = keys
                    .iter()
                    .map(|key| self.start + i64::from(key.window) * self.window);
                Arc::new(TimestampMicrosecondArray::from_iter_values(starts).with_timezone("UTC"))
            }
            _ => integers(keys.iter().map(|key| i32::from(key.group))),
        }
    }

    fn write_activity(&self, path: &Path) -> Result<()> {
        let mut fields = key_fields();
        fields.truncate(2);
        fields.push(Field::new("bucket_group", DataType::Int32, false));
        fields.push(Field::new("last_window", DataType::Int32, false));
        fields.push(Field::new("n_users", DataType::Int64, false));
        let schema = Arc::new(Schema::new(fields));
        let rows = &self.activity;
        let mut columns = self.key_columns(rows.iter().map(|r| (r.tenant, r.layer, 0)));
        columns.truncate(2);
        columns.push(integers(rows.iter().map(|r| i32::from(r.group))));
        columns.push(integers(rows.iter().map(|r| r.last_window as i32)));
        columns.push(longs(rows.iter().map(|r| r.n_users)));
        parquet_io::write(
            path,
            &schema,
            std::iter::once(parquet_io::batch(&schema, columns)),
        )
    }

    fn write_exposures(&self, path: &Path) -> Result<()> {
        let mut fields = key_fields();
        fields.push(Field::new("bucket_group", DataType::Int32, false));
        fields.extend(EXPOSURE_COLUMNS.map(|(name, _)| Field::new(name, DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        let rows = &self.exposures;
        let mut columns = self.key_columns(rows.iter().map(|r| (r.tenant, r.layer, r.stage)));
        columns.push(integers(rows.iter().map(|r| i32::from(r.group))));
        columns.extend(EXPOSURE_COLUMNS.map(|(_, of)| longs(rows.iter().map(|r| *of(&mut r.users.clone())))));
        parquet_io::write(
            path,
            &schema,
            std::iter::once(parquet_io::batch(&schema, columns)),
        )
    }

    fn write_latencies(&self, path: &Path) -> Result<()> {
        let mut fields = key_fields();
        fields.push(Field::new("release", dictionary(), false));
        fields.push(Field::new("bucket_group", DataType::Int32, false));
        fields.push(Field::new("bin", DataType::Int32, false));
        fields.push(Field::new("n", DataType::Int64, false));
        let schema = Arc::new(Schema::new(fields));
        let rows = &self.latencies;
        let mut columns = self.key_columns(rows.iter().map(|(r, _)| (r.tenant, r.layer, r.stage)));
        columns.push(names(rows.iter().map(|(r, _)| self.release(r.arm))));
        columns.push(integers(rows.iter().map(|(r, _)| i32::from(r.group))));
        columns.push(integers(rows.iter().map(|(r, _)| i32::from(r.bin))));
        columns.push(longs(rows.iter().map(|(_, n)| *n)));
        parquet_io::write(
            path,
            &schema,
            std::iter::once(parquet_io::batch(&schema, columns)),
        )
    }

    fn release(&self, arm: Arm) -> &str {
        match arm {
            Arm::Baseline => &self.baseline,
            Arm::Candidate => &self.candidate,
        }
    }

    fn tenant_names(&self, tenants: impl Iterator<Item = u32>) -> ArrayRef {
        names(tenants.map(|tenant| self.tenants[tenant as usize].as_str()))
    }

    fn layer_names(&self, layers: impl Iterator<Item = u8>) -> ArrayRef {
        names(layers.map(|layer| self.layer_ids[usize::from(layer)].as_str()))
    }

    /// The columns of tenants, layers and stages.
    fn key_columns(&self, keys: impl Iterator<Item = (u32, u8, u8)> + Clone) -> Vec<ArrayRef> {
        vec![
            self.tenant_names(keys.clone().map(|(tenant, _, _)| tenant)),
            self.layer_names(keys.clone().map(|(_, layer, _)| layer)),
            integers(keys.map(|(_, _, stage)| i32::from(stage))),
        ]
    }
}

fn key_fields() -> Vec<Field> {
    vec![
        Field::new("tenant_id", dictionary(), false),
        Field::new("layer", dictionary(), false),
        Field::new("stage", DataType::Int32, false),
    ]
}

//! The cube on disk: Parquet tables and one JSON document.

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use hashbrown::HashMap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::time::Micros;
use crate::base::{digest, json, parquet_io};
use crate::input::SourceFile;
use crate::metric::Sum;
use crate::replay::columns::{codes, dictionary, integer, integers, long, longs, missing};
use crate::replay::cube::{
    ActivityRow, Breakdown, CellKey, Cells, Cube, CubeLayer, CubeMeasure, CubeSource, Exposure, ExposureRow,
    LatencyRow, RowCounts, SessionRow,
};
use crate::replay::limits::QuantileLimits;
use crate::replay::plausible::implausible_means;
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
/// The extra column of a breakdown: the value, or the user's row in the layer table.
const VALUE: &str = "value";
const ROW_GROUP_ROWS: usize = 262_144;

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

/// A callback for a batch of a table.
type OnBatch<'a> = dyn FnMut(&RecordBatch) -> Result<()> + 'a;

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

    /// Refuses a document whose parts are inconsistent.
    fn check(&self, path: &Path) -> Result<()> {
        let n_layers = self.layer_ids.len();
        let in_order = |(idx, layer): (usize, &CubeLayer)| {
            layer.tenant as usize == idx / n_layers
                && usize::from(layer.layer) == idx % n_layers
                && (1..=MAX_STAGES).contains(&layer.stages.len())
        };
        let n_stages = |tenant: u32, layer: u8| {
            let stratum = tenant as usize * n_layers + usize::from(layer);
            if usize::from(layer) < n_layers {
                self.layers.get(stratum).map_or(0, |layer| layer.stages.len())
            } else {
                0
            }
        };
        let whole = self.window > 0
            && self.as_of >= self.start
            && (self.as_of - self.start) / self.window < i64::from(u32::MAX)
            && self.layers.len() == self.tenants.len() * n_layers
            && self.layers.iter().enumerate().all(in_order)
            && self
                .measures
                .first()
                .is_some_and(|measure| measure.sum == Sum::Rows && measure.present)
            && self
                .sessions
                .iter()
                .all(|row| usize::from(row.stage) < n_stages(row.tenant, row.layer))
            && self
                .sources
                .iter()
                .try_fold(0_u64, |sum, source| sum.checked_add(source.n_after_as_of))
                == Some(self.counts.n_after_as_of)
            && self.counts.n_after_as_of <= self.counts.n_rows;
        if whole {
            Ok(())
        } else {
            Err(changed(path, "inconsistent parts"))
        }
    }
}

/// The error for a cube whose files do not match each other.
fn changed(path: &Path, found: &str) -> Error {
    Error::in_file(path, format!("expected an unchanged cube, found {found}"))
        .hint("create the cube again with `sluice replay`")
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
        self.write_exposures(&folder.join(EXPOSURES))?;
        self.write_activity(&folder.join(ACTIVITY))?;
        self.write_latencies(&folder.join(LATENCIES))?;
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
        cube.read_exposures(&folder.join(EXPOSURES))?;
        cube.read_latencies(&folder.join(LATENCIES))?;
        cube.read_breakdowns(folder)?;
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
            cells: Cells::default(),
            pairs: Cells::default(),
            breakdowns: document.breakdowns.into_iter().map(Breakdown::empty).collect(),
            exposures: Vec::new(),
            activity: Vec::new(),
            sessions: document.sessions,
            latencies: Vec::new(),
        };
        let (cells, pairs) = rayon::join(
            || cube.read_cells(&folder.join(CELLS), of_cells),
            || cube.read_cells(&folder.join(PAIRS), &|_| true),
        );
        (cube.cells, cube.pairs) = (cells?, pairs?);
        cube.read_activity(&folder.join(ACTIVITY))?;
        Ok(cube)
    }

    fn write_cells(&self, cells: &Cells, path: &Path) -> Result<()> {
        self.write_cells_with(cells, &|_| None, path)
    }

    /// Writes cells, each with its value.
    fn write_breakdown(&self, breakdown: &Breakdown, path: &Path) -> Result<()> {
        let value = |rows: Range<usize>| -> Option<ArrayRef> {
            let values = &breakdown.value_of[rows];
            Some(match breakdown.by {
                BreakdownBy::User => longs(values.iter().map(|row| u64::from(*row))),
                BreakdownBy::Column(_) => names(
                    values
                        .iter()
                        .map(|value| breakdown.values[*value as usize].as_str()),
                ),
            })
        };
        self.write_cells_with(&breakdown.cells, &value, path)
    }

    /// Writes cells. `extra` returns the breakdown's column for a range of rows, if it has one.
    fn write_cells_with(
        &self,
        cells: &Cells,
        extra: &dyn Fn(Range<usize>) -> Option<ArrayRef>,
        path: &Path,
    ) -> Result<()> {
        let mut fields = key_fields();
        fields.push(Field::new("release", dictionary(), false));
        fields.push(Field::new(
            "window_start",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            false,
        ));
        fields.push(Field::new("bucket_group", DataType::Int32, false));
        let there: Vec<usize> = (0..self.measures.len())
            .filter(|idx| self.measures[*idx].present)
            .collect();
        fields.extend(
            there
                .iter()
                .map(|idx| Field::new(self.measures[*idx].sum.column_name(), DataType::Int64, false)),
        );
        fields.extend(extra(0..0).map(|column| Field::new(VALUE, column.data_type().clone(), false)));
        let schema = Arc::new(Schema::new(fields));
        let n = self.measures.len();
        let chunks = (0..cells.keys.len())
            .step_by(ROW_GROUP_ROWS)
            .map(|start| start..(start + ROW_GROUP_ROWS).min(cells.keys.len()));
        parquet_io::write(
            path,
            &schema,
            chunks.map(|rows| {
                let keys = &cells.keys[rows.clone()];
                let mut columns = self.key_columns(keys.iter().map(|k| (k.tenant, k.layer, k.stage)));
                columns.push(names(keys.iter().map(|k| self.release(k.arm))));
                let starts = keys
                    .iter()
                    .map(|k| self.start + i64::from(k.window) * self.window);
                columns.push(Arc::new(
                    TimestampMicrosecondArray::from_iter_values(starts).with_timezone("UTC"),
                ));
                columns.push(integers(keys.iter().map(|k| i32::from(k.group))));
                for measure in &there {
                    columns.push(Arc::new(Int64Array::from_iter_values(
                        rows.clone().map(|row| cells.values[row * n + measure]),
                    )));
                }
                columns.extend(extra(rows));
                parquet_io::batch(&schema, columns)
            }),
        )
    }

    fn read_cells(&self, path: &Path, wanted: &(dyn Fn(&Sum) -> bool + Sync)) -> Result<Cells> {
        self.read_cells_with(path, wanted, None)
    }

    fn read_breakdowns(&mut self, folder: &Path) -> Result<()> {
        let by: Vec<BreakdownBy> = self
            .breakdowns
            .iter()
            .map(|breakdown| breakdown.by.clone())
            .collect();
        for (idx, by) in by.into_iter().enumerate() {
            let name = breakdown_file(idx);
            check_tables(folder, &[&name])?;
            let path = folder.join(&name);
            let (mut values, mut value_of): (Vec<String>, Vec<u32>) = (Vec::new(), Vec::new());
            let mut on_batch = |batch: &RecordBatch| -> Result<()> {
                if by == BreakdownBy::User {
                    value_of.extend(long(&path, batch, VALUE)?.values().iter().map(|row| *row as u32));
                    return Ok(());
                }
                let known = RefCell::new(std::mem::take(&mut values));
                let code = |name: &str| {
                    let mut known = known.borrow_mut();
                    let idx = known.iter().position(|value| value == name).unwrap_or_else(|| {
                        known.push(name.to_owned());
                        known.len() - 1
                    });
                    Some(idx as u32)
                };
                value_of.extend(codes(&path, batch, VALUE, &code)?);
                values = known.into_inner();
                Ok(())
            };
            let cells = self.read_cells_with(&path, &|_| true, Some(&mut on_batch))?;
            // Values get codes in the order of their names.
            let mut sorted = values.clone();
            sorted.sort();
            let new: Vec<u32> = values
                .iter()
                .map(|value| sorted.binary_search(value).map_or(0, |idx| idx as u32))
                .collect();
            if by != BreakdownBy::User {
                value_of
                    .iter_mut()
                    .for_each(|value| *value = new[*value as usize]);
            }
            self.breakdowns[idx] = Breakdown {
                by,
                values: sorted,
                cells,
                value_of,
            };
        }
        Ok(())
    }

    /// Reads cells. `on_batch` gets each batch of a breakdown, to read its extra column.
    fn read_cells_with(
        &self,
        path: &Path,
        wanted: &(dyn Fn(&Sum) -> bool + Sync),
        mut on_batch: Option<&mut OnBatch<'_>>,
    ) -> Result<Cells> {
        let there = self
            .measures
            .iter()
            .enumerate()
            .filter(|(_, m)| m.present && wanted(&m.sum));
        let names: Vec<(usize, String)> = there.map(|(idx, m)| (idx, m.sum.column_name())).collect();
        let mut columns = KEY_COLUMNS.to_vec();
        columns.extend(names.iter().map(|(_, name)| name.as_str()));
        columns.extend(on_batch.as_ref().map(|_| VALUE));
        let (start, window) = (self.start, self.window.max(1));
        let n = self.measures.len();
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        parquet_io::read_columns(path, &columns, &mut |batch| {
            if let Some(on_batch) = &mut on_batch {
                on_batch(batch)?;
            }
            let key = KeyReader::new(self, path, batch)?;
            let (arms, groups) = (self.arms(path, batch)?, integer(path, batch, "bucket_group")?);
            let starts = batch
                .column_by_name("window_start")
                .and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
            let starts = starts.ok_or_else(|| missing(path, "window_start"))?;
            let first = values.len();
            values.resize(first + batch.num_rows() * n, 0);
            for (idx, name) in &names {
                let sums = long(path, batch, name)?;
                for (row, sum) in sums.values().iter().enumerate() {
                    values[first + row * n + idx] = *sum;
                }
            }
            for (row, arm) in arms.into_iter().enumerate() {
                let (tenant, layer, stage) = key.at(row);
                let window = ((starts.value(row) - start) / window) as u32;
                keys.push(CellKey {
                    tenant,
                    layer,
                    stage,
                    arm,
                    window,
                    group: groups.value(row) as u16,
                });
            }
            Ok(())
        })?;
        Ok(Cells { keys, values })
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

    fn read_activity(&mut self, path: &Path) -> Result<()> {
        let mut rows = Vec::new();
        parquet_io::read(path, &mut |batch| {
            let key = KeyReader::new(self, path, batch)?;
            let (groups, windows, users) = (
                integer(path, batch, "bucket_group")?,
                integer(path, batch, "last_window")?,
                long(path, batch, "n_users")?,
            );
            for row in 0..batch.num_rows() {
                let (tenant, layer, _) = key.at(row);
                let (group, last_window) = (groups.value(row) as u16, windows.value(row) as u32);
                rows.push(ActivityRow {
                    tenant,
                    layer,
                    group,
                    last_window,
                    n_users: users.value(row) as u64,
                });
            }
            Ok(())
        })?;
        self.activity = rows;
        Ok(())
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

    fn read_exposures(&mut self, path: &Path) -> Result<()> {
        let mut rows = Vec::new();
        parquet_io::read(path, &mut |batch| {
            let key = KeyReader::new(self, path, batch)?;
            let groups = integer(path, batch, "bucket_group")?;
            let counts = EXPOSURE_COLUMNS
                .iter()
                .map(|(name, _)| long(path, batch, name))
                .collect::<Result<Vec<_>>>()?;
            for row in 0..batch.num_rows() {
                let (tenant, layer, stage) = key.at(row);
                let mut users = Exposure::default();
                for ((_, of), counts) in EXPOSURE_COLUMNS.iter().zip(&counts) {
                    *of(&mut users) = counts.value(row) as u64;
                }
                rows.push(ExposureRow {
                    tenant,
                    layer,
                    stage,
                    group: groups.value(row) as u16,
                    users,
                });
            }
            Ok(())
        })?;
        self.exposures = rows;
        Ok(())
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

    fn read_latencies(&mut self, path: &Path) -> Result<()> {
        let mut rows = Vec::new();
        parquet_io::read(path, &mut |batch| {
            let key = KeyReader::new(self, path, batch)?;
            let (arms, groups) = (self.arms(path, batch)?, integer(path, batch, "bucket_group")?);
            let (bins, counts) = (integer(path, batch, "bin")?, long(path, batch, "n")?);
            for (row, arm) in arms.into_iter().enumerate() {
                let (tenant, layer, stage) = key.at(row);
                let (group, bin) = (groups.value(row) as u16, bins.value(row) as u16);
                rows.push((
                    LatencyRow {
                        tenant,
                        layer,
                        stage,
                        arm,
                        group,
                        bin,
                    },
                    counts.value(row) as u64,
                ));
            }
            Ok(())
        })?;
        self.latencies = rows;
        Ok(())
    }

    fn release(&self, arm: Arm) -> &str {
        match arm {
            Arm::Baseline => &self.baseline,
            Arm::Candidate => &self.candidate,
        }
    }

    fn arms(&self, path: &Path, batch: &RecordBatch) -> Result<Vec<Arm>> {
        let code = |release: &str| {
            [&self.baseline, &self.candidate]
                .iter()
                .position(|id| *id == release)
                .map(|arm| arm as u32)
        };
        let codes = codes(path, batch, "release", &code)?;
        Ok(codes
            .into_iter()
            .map(|code| if code == 0 { Arm::Baseline } else { Arm::Candidate })
            .collect())
    }

    fn key_columns(&self, keys: impl Iterator<Item = (u32, u8, u8)> + Clone) -> Vec<ArrayRef> {
        vec![
            names(
                keys.clone()
                    .map(|(tenant, _, _)| self.tenants[tenant as usize].as_str()),
            ),
            names(
                keys.clone()
                    .map(|(_, layer, _)| self.layer_ids[usize::from(layer)].as_str()),
            ),
            integers(keys.map(|(_, _, stage)| i32::from(stage))),
        ]
    }
}

/// A count of distinct users: the column's name and the field.
type ExposureColumn = (&'static str, fn(&mut Exposure) -> &mut u64);

const EXPOSURE_COLUMNS: [ExposureColumn; 6] = [
    ("n_baseline", |users| &mut users.n_baseline),
    ("n_candidate", |users| &mut users.n_candidate),
    ("n_crossover", |users| &mut users.n_crossover),
    ("n_new_baseline", |users| &mut users.n_new_baseline),
    ("n_new_candidate", |users| &mut users.n_new_candidate),
    ("n_first_candidate", |users| &mut users.n_first_candidate),
];

/// The first columns of a table of cells.
const KEY_COLUMNS: [&str; 6] = [
    "tenant_id",
    "layer",
    "stage",
    "release",
    "window_start",
    "bucket_group",
];

fn key_fields() -> Vec<Field> {
    vec![
        Field::new("tenant_id", dictionary(), false),
        Field::new("layer", dictionary(), false),
        Field::new("stage", DataType::Int32, false),
    ]
}

pub(super) fn names<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    values.for_each(|value| builder.append_value(value));
    Arc::new(builder.finish())
}

/// Reads the first columns of a table as indices.
struct KeyReader {
    tenants: Vec<u32>,
    layers: Vec<u32>,
    /// The column of stages; `None` for a table without stages.
    stages: Option<Int32Array>,
}

impl KeyReader {
    fn new(cube: &Cube, path: &Path, batch: &RecordBatch) -> Result<Self> {
        let tenants: HashMap<&str, u32> = cube.tenants.iter().map(String::as_str).zip(0..).collect();
        let layers: HashMap<&str, u32> = cube.layer_ids.iter().map(String::as_str).zip(0..).collect();
        Ok(Self {
            tenants: codes(path, batch, "tenant_id", &|name| tenants.get(name).copied())?,
            layers: codes(path, batch, "layer", &|name| layers.get(name).copied())?,
            stages: integer(path, batch, "stage").ok().cloned(),
        })
    }

    fn at(&self, row: usize) -> (u32, u8, u8) {
        (
            self.tenants[row],
            self.layers[row] as u8,
            self.stages.as_ref().map_or(0, |stages| stages.value(row) as u8),
        )
    }
}

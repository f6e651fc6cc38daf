//! The cube on disk: three Parquet tables and one document, readable by anything that reads Parquet.

use arrow_array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    builder::StringDictionaryBuilder,
    cast::AsArray,
    types::{Int32Type, Int64Type, TimestampMicrosecondType},
};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::Arc};

use super::cube::{Arm, CellKey, Cube, CubeLayer, CubeMeasure, ExposureRow, LatencyRow, RowCounts};
use crate::{
    error::{Error, Result},
    input::SourceFile,
    output, parquet_io,
    time::Micros,
};

/// The document that makes a folder a cube; it is written last.
pub const CUBE_FILE: &str = "cube.json";
const CELLS: &str = "cells.parquet";
const EXPOSURES: &str = "exposures.parquet";
const LATENCIES: &str = "latencies.parquet";
const ROW_GROUP_ROWS: usize = 262_144;

/// Everything of a cube but its tables.
#[derive(Serialize, Deserialize)]
struct Document {
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
    sources: Vec<SourceFile>,
    layers_digest: String,
}

const SCHEMA: &str = "sluice.cube/1";

impl Cube {
    /// Writes the cube's files into a folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        self.write_cells(&folder.join(CELLS))?;
        self.write_exposures(&folder.join(EXPOSURES))?;
        self.write_latencies(&folder.join(LATENCIES))?;
        let document = Document {
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
            counts: self.counts.clone(),
            sources: self.sources.clone(),
            layers_digest: self.layers_digest.clone(),
        };
        output::write_json(&folder.join(CUBE_FILE), &document)
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// A folder that is not a cube of this version.
    pub fn read(folder: &Path) -> Result<Self> {
        let document: Document = output::read_json(&folder.join(CUBE_FILE))?;
        if document.schema != SCHEMA {
            return Err(Error::input(
                folder.join(CUBE_FILE).display().to_string(),
                format!("expected {SCHEMA}, found {}", document.schema),
            ));
        }
        let n_layers = document.tenants.len() * document.layer_ids.len();
        let whole = document.layers.len() == n_layers && document.layers.iter().all(|layer| !layer.stages.is_empty());
        if document.window <= 0 || document.as_of < document.start || !whole {
            return Err(Error::input(
                folder.join(CUBE_FILE).display().to_string(),
                "expected a whole cube, found a document that was changed",
            )
            .hint("make the cube anew with `sluice replay`"));
        }
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
            measures: document.measures,
            counts: document.counts,
            sources: document.sources,
            layers_digest: document.layers_digest,
            keys: Vec::new(),
            values: Vec::new(),
            exposures: Vec::new(),
            latencies: Vec::new(),
        };
        cube.read_cells(&folder.join(CELLS))?;
        cube.read_exposures(&folder.join(EXPOSURES))?;
        cube.read_latencies(&folder.join(LATENCIES))?;
        Ok(cube)
    }

    fn write_cells(&self, path: &Path) -> Result<()> {
        let mut fields = key_fields();
        fields.push(Field::new("release", dictionary(), false));
        fields.push(Field::new("window_start", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false));
        fields.push(Field::new("bucket_group", DataType::Int32, false));
        fields.extend(self.measures.iter().map(|m| Field::new(m.measure.column_name(), DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        let n = self.measures.len();
        let chunks = (0..self.keys.len()).step_by(ROW_GROUP_ROWS).map(|start| start..(start + ROW_GROUP_ROWS).min(self.keys.len()));
        parquet_io::write(
            path,
            &schema,
            chunks.map(|rows| {
                let keys = &self.keys[rows.clone()];
                let mut columns = self.key_columns(keys.iter().map(|k| (k.tenant, k.layer, k.stage)));
                columns.push(names(keys.iter().map(|k| self.release(k.arm))));
                let starts = keys.iter().map(|k| self.start + i64::from(k.window) * self.window);
                columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(starts).with_timezone("UTC")));
                columns.push(integers(keys.iter().map(|k| i32::from(k.group))));
                for measure in 0..n {
                    columns.push(Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| self.values[row * n + measure]))));
                }
                parquet_io::batch(&schema, columns)
            }),
        )
    }

    fn read_cells(&mut self, path: &Path) -> Result<()> {
        let names: Vec<String> = self.measures.iter().map(|m| m.measure.column_name()).collect();
        let (start, window) = (self.start, self.window.max(1));
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        parquet_io::read(path, &mut |batch| {
            let key = KeyReader::new(self, path, batch)?;
            let (arms, groups) = (text(path, batch, "release")?, integer(path, batch, "bucket_group")?);
            let starts = batch.column_by_name("window_start").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
            let starts = starts.ok_or_else(|| missing(path, "window_start"))?;
            let sums: Vec<&Int64Array> = names.iter().map(|name| long(path, batch, name)).collect::<Result<_>>()?;
            for row in 0..batch.num_rows() {
                let (tenant, layer, stage) = key.at(row)?;
                let window = ((starts.value(row) - start) / window) as u32;
                keys.push(CellKey { tenant, layer, stage, arm: self.arm(path, arms.value(row))?, window, group: groups.value(row) as u16 });
                values.extend(sums.iter().map(|sum| sum.value(row)));
            }
            Ok(())
        })?;
        (self.keys, self.values) = (keys, values);
        Ok(())
    }

    fn write_exposures(&self, path: &Path) -> Result<()> {
        let mut fields = key_fields();
        fields.push(Field::new("bucket_group", DataType::Int32, false));
        fields.extend(["n_baseline", "n_candidate", "n_crossover"].map(|name| Field::new(name, DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        let rows = &self.exposures;
        let mut columns = self.key_columns(rows.iter().map(|r| (r.tenant, r.layer, r.stage)));
        columns.push(integers(rows.iter().map(|r| i32::from(r.group))));
        columns.push(longs(rows.iter().map(|r| r.n_baseline)));
        columns.push(longs(rows.iter().map(|r| r.n_candidate)));
        columns.push(longs(rows.iter().map(|r| r.n_crossover)));
        parquet_io::write(path, &schema, std::iter::once(parquet_io::batch(&schema, columns)))
    }

    fn read_exposures(&mut self, path: &Path) -> Result<()> {
        let mut rows = Vec::new();
        parquet_io::read(path, &mut |batch| {
            let key = KeyReader::new(self, path, batch)?;
            let groups = integer(path, batch, "bucket_group")?;
            let [baseline, candidate, crossover] = ["n_baseline", "n_candidate", "n_crossover"].map(|name| long(path, batch, name));
            let (baseline, candidate, crossover) = (baseline?, candidate?, crossover?);
            for row in 0..batch.num_rows() {
                let (tenant, layer, stage) = key.at(row)?;
                rows.push(ExposureRow {
                    tenant,
                    layer,
                    stage,
                    group: groups.value(row) as u16,
                    n_baseline: baseline.value(row) as u64,
                    n_candidate: candidate.value(row) as u64,
                    n_crossover: crossover.value(row) as u64,
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
        parquet_io::write(path, &schema, std::iter::once(parquet_io::batch(&schema, columns)))
    }

    fn read_latencies(&mut self, path: &Path) -> Result<()> {
        let mut rows = Vec::new();
        parquet_io::read(path, &mut |batch| {
            let key = KeyReader::new(self, path, batch)?;
            let (arms, groups) = (text(path, batch, "release")?, integer(path, batch, "bucket_group")?);
            let (bins, counts) = (integer(path, batch, "bin")?, long(path, batch, "n")?);
            for row in 0..batch.num_rows() {
                let (tenant, layer, stage) = key.at(row)?;
                let arm = self.arm(path, arms.value(row))?;
                let (group, bin) = (groups.value(row) as u16, bins.value(row) as u16);
                rows.push((LatencyRow { tenant, layer, stage, arm, group, bin }, counts.value(row) as u64));
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

    fn arm(&self, path: &Path, release: &str) -> Result<Arm> {
        match release {
            id if id == self.baseline => Ok(Arm::Baseline),
            id if id == self.candidate => Ok(Arm::Candidate),
            other => Err(Error::input(path.display().to_string(), format!("expected a release of the cube, found \"{other}\""))),
        }
    }

    fn key_columns(&self, keys: impl Iterator<Item = (u32, u8, u8)> + Clone) -> Vec<ArrayRef> {
        vec![
            names(keys.clone().map(|(tenant, _, _)| self.tenants[tenant as usize].as_str())),
            names(keys.clone().map(|(_, layer, _)| self.layer_ids[usize::from(layer)].as_str())),
            integers(keys.map(|(_, _, stage)| i32::from(stage))),
        ]
    }
}

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn key_fields() -> Vec<Field> {
    vec![
        Field::new("tenant_id", dictionary(), false),
        Field::new("layer", dictionary(), false),
        Field::new("stage", DataType::Int32, false),
    ]
}

fn names<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    values.for_each(|value| builder.append_value(value));
    Arc::new(builder.finish())
}

fn integers(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

fn longs(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| value as i64)))
}

/// The columns that every table starts with.
struct KeyReader<'a> {
    cube: &'a Cube,
    path: &'a Path,
    tenants: StringArray,
    layers: StringArray,
    stages: &'a Int32Array,
    tenant_index: HashMap<&'a str, u32>,
}

impl<'a> KeyReader<'a> {
    fn new(cube: &'a Cube, path: &'a Path, batch: &'a RecordBatch) -> Result<Self> {
        let (tenants, layers) = (text(path, batch, "tenant_id")?, text(path, batch, "layer")?);
        let tenant_index = (0..).zip(&cube.tenants).map(|(idx, name)| (name.as_str(), idx)).collect();
        Ok(Self { cube, path, tenants, layers, stages: integer(path, batch, "stage")?, tenant_index })
    }

    fn at(&self, row: usize) -> Result<(u32, u8, u8)> {
        let tenant = self.tenant_index.get(self.tenants.value(row)).copied();
        let layer = self.cube.layer_ids.iter().position(|id| id == self.layers.value(row));
        match (tenant, layer) {
            (Some(tenant), Some(layer)) => Ok((tenant, layer as u8, self.stages.value(row) as u8)),
            _ => Err(Error::input(self.path.display().to_string(), "expected tenants and layers of the cube, found others")),
        }
    }
}

fn missing(path: &Path, name: &str) -> Error {
    Error::input(path.display().to_string(), format!("expected a column `{name}` of a cube, found none"))
}

fn text(path: &Path, batch: &RecordBatch, name: &str) -> Result<StringArray> {
    let column = batch.column_by_name(name).and_then(|column| cast(column, &DataType::Utf8).ok()).ok_or_else(|| missing(path, name))?;
    Ok(column.as_string::<i32>().clone())
}

fn integer<'a>(path: &Path, batch: &'a RecordBatch, name: &str) -> Result<&'a Int32Array> {
    batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int32Type>()).ok_or_else(|| missing(path, name))
}

fn long<'a>(path: &Path, batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array> {
    batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>()).ok_or_else(|| missing(path, name))
}

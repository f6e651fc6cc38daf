//! Units and blocks as Arrow IPC streams, the contract of `sluice kernel`.
//!
//! | stream | columns, in any order, without nulls |
//! |---|---|
//! | into `read` | `unit` text |
//! | out of `read`, into and out of `join`, into `cut` | `partition` int32, `kind` int32, `block` binary |

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, BinaryArray, Int32Array, RecordBatch};
use arrow_cast::cast;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use serde::de::DeserializeOwned;
use std::io::{BufRead, Write};
use std::sync::Arc;

use crate::base::block::{Block, BlockKind};
use crate::base::error::{Error, Result};

/// Bytes and rows after which a batch is written.
const BATCH: (usize, usize) = (8 << 20, 128);

pub(super) fn broken(found: impl std::fmt::Display) -> Error {
    Error::input("stdin", format!("expected an Arrow IPC stream, found {found}"))
}

/// The batches of a stream. Bytes without a stream have none.
pub(super) fn batches(stdin: &mut dyn BufRead) -> Result<Option<StreamReader<&mut dyn BufRead>>> {
    let is_empty = stdin.fill_buf().map_err(broken)?.is_empty();
    if is_empty {
        return Ok(None);
    }
    StreamReader::try_new(stdin, None).map(Some).map_err(broken)
}

/// A column of a batch as another type.
///
/// # Errors
/// When it is missing, has nulls, or has values that do not fit.
fn column(batch: &RecordBatch, name: &str, wanted: &DataType) -> Result<ArrayRef> {
    let found = batch
        .column_by_name(name)
        .ok_or_else(|| broken(format!("no column `{name}`")))?;
    let column = cast(found, wanted).map_err(|_| broken(format!("`{name}` as {}", found.data_type())))?;
    if column.null_count() > 0 {
        return Err(broken(format!("nulls in `{name}`")));
    }
    Ok(column)
}

/// Reads all units of a stream.
///
/// # Errors
/// When the stream is broken, or has something else.
pub(super) fn read_units<T: DeserializeOwned>(stdin: &mut dyn BufRead) -> Result<Vec<T>> {
    let mut units = Vec::new();
    for batch in batches(stdin)?.into_iter().flatten() {
        let texts = column(&batch.map_err(broken)?, "unit", &DataType::Utf8)?;
        for text in texts.as_string::<i32>().iter().flatten() {
            units.push(serde_json::from_str(text).map_err(|_| broken("a unit of another version"))?);
        }
    }
    Ok(units)
}

/// The blocks of a stream, in order.
///
/// # Errors
/// When the stream is broken. Each block may be an error too.
pub(super) fn read_blocks(stdin: &mut dyn BufRead) -> Result<impl Iterator<Item = Result<Block>>> {
    let batches = batches(stdin)?;
    let batches = batches.into_iter().flatten();
    Ok(batches.flat_map(
        |batch| match batch.map_err(broken).and_then(|batch| blocks_of(&batch)) {
            Ok(blocks) => blocks,
            Err(error) => vec![Err(error)],
        },
    ))
}

fn blocks_of(batch: &RecordBatch) -> Result<Vec<Result<Block>>> {
    let partitions = column(batch, "partition", &DataType::Int32)?;
    let kinds = column(batch, "kind", &DataType::Int32)?;
    let bytes = column(batch, "block", &DataType::Binary)?;
    let (partitions, kinds) = (
        partitions.as_primitive::<Int32Type>(),
        kinds.as_primitive::<Int32Type>(),
    );
    let bytes = bytes.as_binary::<i32>();
    let block = |row: usize| {
        let kind = BlockKind::of(kinds.value(row));
        Ok(Block {
            partition: u32::try_from(partitions.value(row)).map_err(|_| broken("a partition below 0"))?,
            kind: kind.ok_or_else(|| broken(format!("kind {}", kinds.value(row))))?,
            bytes: bytes.value(row).to_vec(),
        })
    };
    Ok((0..batch.num_rows()).map(block).collect())
}

/// Writes blocks as a stream. Nothing is written before the first block.
pub(super) struct BlockWriter<W: Write> {
    schema: SchemaRef,
    out: Option<W>,
    stream: Option<StreamWriter<W>>,
    held: Vec<Block>,
    n_bytes: usize,
}

impl<W: Write> BlockWriter<W> {
    pub(super) fn new(out: W) -> Self {
        let field = |name: &str, of: DataType| Field::new(name, of, true);
        Self {
            schema: Arc::new(Schema::new(vec![
                field("partition", DataType::Int32),
                field("kind", DataType::Int32),
                field("block", DataType::Binary),
            ])),
            out: Some(out),
            stream: None,
            held: Vec::new(),
            n_bytes: 0,
        }
    }

    /// Adds a block.
    ///
    /// # Errors
    /// When the reader of the stream is gone.
    pub(super) fn push(&mut self, block: Block) -> Result<()> {
        self.n_bytes += block.bytes.len();
        self.held.push(block);
        if self.n_bytes >= BATCH.0 || self.held.len() >= BATCH.1 {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let blocks = std::mem::take(&mut self.held);
        self.n_bytes = 0;
        let unwritable = |error: ArrowError| Error::write(std::path::Path::new("stdout"), error.to_string());
        if let Some(out) = self.out.take() {
            self.stream = Some(StreamWriter::try_new(out, &self.schema).map_err(unwritable)?);
        }
        let numbers = |of: &dyn Fn(&Block) -> i32| -> ArrayRef {
            Arc::new(blocks.iter().map(of).collect::<Int32Array>())
        };
        let columns: Vec<ArrayRef> = vec![
            numbers(&|block| block.partition as i32),
            numbers(&|block| block.kind as i32),
            Arc::new(BinaryArray::from_iter_values(
                blocks.iter().map(|block| &block.bytes),
            )),
        ];
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(unwritable)?;
        match &mut self.stream {
            Some(stream) => stream.write(&batch).map_err(unwritable),
            None => Ok(()),
        }
    }

    /// Writes the rest, and the end of the stream.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()?;
        let unwritable = |error: ArrowError| Error::write(std::path::Path::new("stdout"), error.to_string());
        match &mut self.stream {
            Some(stream) => stream.finish().map_err(unwritable),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Unit;
    use arrow_array::{Int64Array, LargeBinaryArray, StringArray};

    fn block(partition: u32, kind: BlockKind, n: usize) -> Block {
        Block {
            partition,
            kind,
            bytes: vec![partition as u8; n],
        }
    }

    fn stream(batch: &RecordBatch) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn read(mut bytes: &[u8]) -> Result<Vec<Block>> {
        read_blocks(&mut bytes)?.collect()
    }

    #[test]
    fn blocks_survive_a_stream() {
        let blocks: Vec<Block> = (0..300)
            .map(|idx| block(idx, BlockKind::of(idx as i32 % 5).unwrap(), idx as usize * 7))
            .collect();
        let mut bytes = Vec::new();
        let mut writer = BlockWriter::new(&mut bytes);
        blocks
            .iter()
            .for_each(|block| writer.push(block.clone()).unwrap());
        writer.finish().unwrap();
        assert_eq!(read(&bytes).unwrap(), blocks);
        assert_eq!(read(&[]).unwrap(), []);
        for n in [1, 9, bytes.len() / 2] {
            assert!(read(&bytes[..n]).is_err(), "{n}");
        }
    }

    #[test]
    fn engines_may_use_wider_types_but_no_nulls() {
        let wide = |partition: Option<i64>, kind: i64| {
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("kind", Arc::new(Int64Array::from(vec![kind]))),
                ("more", Arc::new(StringArray::from(vec!["x"]))),
                ("block", Arc::new(LargeBinaryArray::from(vec![&b"ab"[..]]))),
                ("partition", Arc::new(Int64Array::from(vec![partition]))),
            ];
            read(&stream(&RecordBatch::try_from_iter(columns).unwrap()))
        };
        assert_eq!(wide(Some(3), 1).unwrap()[0].partition, 3);
        for (partition, kind, found) in [
            (None, 1, "nulls in `partition`"),
            (Some(-1), 1, "a partition below 0"),
            (Some(1), 9, "kind 9"),
            (Some(1 << 40), 1, "partition"),
        ] {
            let error = wide(partition, kind).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
    }

    #[test]
    fn units_are_lines() {
        let texts = StringArray::from(vec![r#"{"users": {"part": 4}}"#]);
        let batch = RecordBatch::try_from_iter([("unit", Arc::new(texts) as ArrayRef)]).unwrap();
        assert_eq!(
            read_units::<Unit>(&mut stream(&batch).as_slice()).unwrap(),
            [Unit::Users { part: 4 }]
        );
        let texts = StringArray::from(vec!["{}"]);
        let batch = RecordBatch::try_from_iter([("unit", Arc::new(texts) as ArrayRef)]).unwrap();
        assert!(read_units::<Unit>(&mut stream(&batch).as_slice()).is_err());
    }
}

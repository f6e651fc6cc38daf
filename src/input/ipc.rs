//! Arrow IPC: files (Feather V2) and streams. The record batches are found first; then each is read
//! on its own, with the bytes of the wanted columns only.
//!
//! No length that a file states is believed: blocks lie within the file, and rows and sizes of a
//! record batch have limits, also after decompression.

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary, read_footer_length};
use arrow_ipc::{Block, MessageHeader, MetadataVersion, convert, root_as_footer, root_as_message};
use arrow_schema::{DataType, Field, SchemaRef};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::base::error::{Error, FileResult, Result};
use crate::base::limits::Limit;
use crate::base::lock::lock;
use crate::base::{at_work, open, panics};
use crate::input::content::Content;
use crate::input::ipc_layout::{Needed, needed};
use crate::input::text_file::{BATCH_ROWS, OnArrays};
use crate::input::want::Want;

/// Files whose record batches are longer are read as a whole, one batch after another, so that the
/// rows of a part have a limit.
const MAX_PART_ROWS: u64 = 1 << 20;

/// The magic bytes of a file, before and after padding.
const MAGIC: &[u8] = b"ARROW1\0\0";
/// Bytes at the end of a file: the length of the footer and the magic bytes.
const TRAILER: u64 = 10;
/// The sign before the length of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The record batches of a file, and their schema.
#[derive(Debug)]
pub(crate) struct Index {
    pub(super) schema: SchemaRef,
    version: MetadataVersion,
    /// Messages in the order of the file.
    dictionaries: Vec<Message>,
    batches: Vec<Message>,
    /// Whether dictionaries change between record batches. Then the batches are read in order.
    is_sequential: bool,
    /// Values of the dictionaries of a file that have been read, by their ids.
    loaded: Mutex<HashMap<i64, ArrayRef>>,
}

/// The place of a message in a file.
#[derive(Debug, Clone)]
struct Message {
    metadata: Range<u64>,
    body: Range<u64>,
    /// Number of rows of a record batch; id of a dictionary.
    n: i64,
}

impl Index {
    /// Finds the messages of a file.
    ///
    /// # Errors
    /// The file is not Arrow IPC, is cut off, or states more than the limits.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let opened = Opened::new(path)?;
        let mut head = [0; MAGIC.len()];
        let n = opened.n_bytes.min(head.len() as u64) as usize;
        opened.read(&mut head[..n], 0)?;
        let index = if head.starts_with(&MAGIC[..6]) {
            opened.index_of_file()?
        } else {
            if Content::of_bytes(&head).is_some_and(|content| content != Content::ArrowStream) {
                let found = Content::of_bytes(&head).map_or("", Content::name);
                let error = Error::in_file(path, format!("expected an Arrow file or stream, found {found}"));
                let remedy = Content::of_bytes(&head).and_then(|content| content.remedy(path));
                return Err(remedy.into_iter().fold(error, Error::hint));
            }
            opened.index_of_stream()?
        };
        Limit::Columns.check(path.display(), index.schema.fields().len() as u64)?;
        for (batch, idx) in index.batches.iter().zip(1..) {
            let location = format!("{}: record batch {idx}", path.display());
            let n_rows =
                u64::try_from(batch.n).map_err(|_| opened.broken(&format!("{} rows in a batch", batch.n)))?;
            Limit::RowGroupRows.check(location, n_rows)?;
        }
        Ok(index)
    }

    /// The numbers of rows of the batches, if each is a part of its own.
    pub(super) fn parts(&self) -> Option<impl Iterator<Item = u64>> {
        let is_long = self
            .batches
            .iter()
            .any(|batch| batch.n.unsigned_abs() > MAX_PART_ROWS);
        (!self.is_sequential && !is_long).then(|| self.batches.iter().map(|batch| batch.n.unsigned_abs()))
    }

    /// Reads columns of one record batch, or of all.
    ///
    /// # Errors
    /// The file cannot be read, a column is nested and not wanted as such, or `on_arrays` fails.
    pub(super) fn columns(
        &self,
        path: &Path,
        batch: Option<usize>,
        wanted: &[Want<'_>],
        on_arrays: &mut OnArrays<'_>,
    ) -> Result<()> {
        let opened = Opened::new(path)?;
        let projection = self.projection(wanted);
        let mut ids = BTreeSet::new();
        for idx in &projection {
            add_ids(self.schema.field(*idx), &mut ids);
        }
        let mut columns = Columns {
            index: self,
            opened: &opened,
            projection,
            ids,
            dictionaries: HashMap::new(),
            n_read: 0,
        };
        let batches = match batch {
            Some(batch) => batch..batch + 1,
            None => 0..self.batches.len(),
        };
        for batch in batches {
            let Some(message) = self.batches.get(batch) else {
                return Ok(());
            };
            columns.load_before(message)?;
            let read = columns.batch(message)?;
            in_slices(&read, wanted, on_arrays)?;
        }
        Ok(())
    }

    /// The positions of the wanted columns, in the order of the file.
    fn projection(&self, wanted: &[Want<'_>]) -> Vec<usize> {
        let fields = self.schema.fields().iter().enumerate();
        let wanted = fields.filter(|(_, field)| wanted.iter().any(|want| want.name == field.name()));
        wanted.map(|(idx, _)| idx).collect()
    }
}

/// Adds the ids of the dictionaries of a column.
fn add_ids(field: &Field, ids: &mut BTreeSet<i64>) {
    #[expect(deprecated, reason = "the crate has no other way to the id of a dictionary")]
    ids.extend(field.dict_id());
    let mut data_type = field.data_type();
    while let DataType::Dictionary(_, value) = data_type {
        data_type = value;
    }
    match data_type {
        DataType::Struct(fields) => fields.iter().for_each(|field| add_ids(field, ids)),
        DataType::Union(fields, _) => fields.iter().for_each(|(_, field)| add_ids(field, ids)),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _)
        | DataType::RunEndEncoded(_, field) => add_ids(field, ids),
        _ => {}
    }
}

/// The columns that are read of an opened file.
struct Columns<'a> {
    index: &'a Index,
    opened: &'a Opened<'a>,
    projection: Vec<usize>,
    ids: BTreeSet<i64>,
    dictionaries: HashMap<i64, ArrayRef>,
    /// Number of dictionary messages that have been read.
    n_read: usize,
}

impl Columns<'_> {
    /// Reads the dictionaries that stand before a record batch. Those of a file stand before all,
    /// and are kept for the other threads.
    fn load_before(&mut self, batch: &Message) -> Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let index = self.index;
        if index.is_sequential {
            while let Some(message) = index.dictionaries.get(self.n_read)
                && message.metadata.start < batch.metadata.start
            {
                self.n_read += 1;
                self.opened.dictionary(index, message, &mut self.dictionaries)?;
            }
            return Ok(());
        }
        if self.n_read > 0 {
            return Ok(());
        }
        self.n_read = index.dictionaries.len();
        let mut loaded = lock(&index.loaded);
        let is_new = |message: &&Message| self.ids.contains(&message.n) && !loaded.contains_key(&message.n);
        let new: Vec<&Message> = index.dictionaries.iter().filter(is_new).collect();
        for message in new {
            self.opened.dictionary(index, message, &mut loaded)?;
        }
        self.dictionaries.clone_from(&loaded);
        Ok(())
    }

    fn batch(&self, message: &Message) -> Result<RecordBatch> {
        let (index, opened) = (self.index, self.opened);
        let metadata = opened.bytes(&message.metadata)?;
        let parsed = opened.message(&metadata)?;
        let Some(batch) = parsed.header_as_record_batch() else {
            return Err(opened.broken("a message that is no record batch"));
        };
        let fields = index.schema.fields();
        let needed = needed(&batch, fields, &self.projection);
        let body = opened.body(message, &needed)?;
        let read = opened.guard(|| {
            RecordBatchDecoder::try_new(
                &body,
                batch,
                Arc::clone(&index.schema),
                &self.dictionaries,
                &index.version,
            )?
            .with_projection(Some(&self.projection))
            .read_record_batch()
        })?;
        Ok(read)
    }
}

/// A file that is read.
struct Opened<'a> {
    path: &'a Path,
    file: File,
    n_bytes: u64,
}

impl<'a> Opened<'a> {
    fn new(path: &'a Path) -> Result<Self> {
        let file = open::regular(path).or_unreadable(path)?;
        let n_bytes = file.metadata().or_unreadable(path)?.len();
        Ok(Self { path, file, n_bytes })
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        self.file.read_exact_at(bytes, at).or_unreadable(self.path)
    }

    /// Reads a range, which must lie within the file and have at most the size of a document.
    fn bytes(&self, range: &Range<u64>) -> Result<Vec<u8>> {
        let n = self.within(range)?;
        Limit::Document.check(format!("{}: metadata", self.path.display()), n)?;
        let mut bytes = vec![0; n as usize];
        self.read(&mut bytes, range.start)?;
        Ok(bytes)
    }

    /// The length of a range within the file.
    fn within(&self, range: &Range<u64>) -> Result<u64> {
        let n = range
            .end
            .checked_sub(range.start)
            .filter(|_| range.end <= self.n_bytes);
        n.ok_or_else(|| self.broken("a part beyond the end of the file"))
    }

    fn index_of_file(&self) -> Result<Index> {
        let mut trailer = [0; TRAILER as usize];
        let end = self
            .n_bytes
            .checked_sub(TRAILER)
            .ok_or_else(|| self.broken("a file without an end"))?;
        self.read(&mut trailer, end)?;
        let n = self.guard(|| read_footer_length(trailer))? as u64;
        let start = end
            .checked_sub(n)
            .ok_or_else(|| self.broken("a footer longer than the file"))?;
        let bytes = self.bytes(&(start..end))?;
        self.guard(|| {
            let footer = root_as_footer(&bytes).map_err(|error| error.to_string())?;
            let schema = footer.schema().ok_or("a footer without a schema")?;
            if !schema.endianness().equals_to_target_endianness() {
                return Err("another order of bytes (big-endian)".to_owned());
            }
            let schema = convert::try_fb_to_schema(schema).map_err(|error| error.to_string())?;
            let of_blocks = |blocks: Vec<Block>| -> std::result::Result<Vec<Message>, String> {
                let messages = blocks.iter().map(|block| self.message_of_block(block));
                messages.collect::<Result<_>>().map_err(|error| error.to_string())
            };
            let dictionaries = footer
                .dictionaries()
                .map(|blocks| blocks.iter().copied().collect());
            let batches = footer
                .recordBatches()
                .map(|blocks| blocks.iter().copied().collect());
            Ok(Index {
                schema: Arc::new(schema),
                version: footer.version(),
                dictionaries: of_blocks(dictionaries.unwrap_or_default())?,
                batches: of_blocks(batches.unwrap_or_default())?,
                is_sequential: false,
                loaded: Mutex::default(),
            })
        })
    }

    /// The message of a block of a footer.
    fn message_of_block(&self, block: &Block) -> Result<Message> {
        let number = |n: i64| u64::try_from(n).map_err(|_| self.broken("a negative length"));
        let (start, n_metadata, n_body) = (
            number(block.offset())?,
            number(i64::from(block.metaDataLength()))?,
            number(block.bodyLength())?,
        );
        let sum = |a: u64, b: u64| {
            a.checked_add(b)
                .ok_or_else(|| self.broken("a length beyond the file"))
        };
        let middle = sum(start, n_metadata)?;
        let body = middle..sum(middle, n_body)?;
        self.within(&body)?;
        let mut prefix = [0; 4];
        self.read(&mut prefix, start)?;
        let skipped = if prefix == CONTINUATION { 8 } else { 4 };
        let metadata = sum(start, skipped)?..middle;
        self.message_at(metadata, body)
    }

    fn message_at(&self, metadata: Range<u64>, body: Range<u64>) -> Result<Message> {
        let bytes = self.bytes(&metadata)?;
        let parsed = self.message(&bytes)?;
        let n = match parsed.header_type() {
            MessageHeader::RecordBatch => parsed.header_as_record_batch().map(|batch| batch.length()),
            MessageHeader::DictionaryBatch => parsed.header_as_dictionary_batch().map(|batch| batch.id()),
            _ => None,
        };
        let n = n.ok_or_else(|| self.broken("a message that is neither a record batch nor a dictionary"))?;
        Ok(Message { metadata, body, n })
    }

    fn message<'b>(&self, bytes: &'b [u8]) -> Result<arrow_ipc::Message<'b>> {
        self.guard(|| root_as_message(bytes))
    }

    /// Walks over the messages of a stream.
    fn index_of_stream(&self) -> Result<Index> {
        let mut found: Option<Index> = None;
        let mut at = 0;
        while let Some((metadata, next)) = self.next_metadata(at)? {
            let bytes = self.bytes(&metadata)?;
            let parsed = self.message(&bytes)?;
            let n_body = u64::try_from(parsed.bodyLength()).map_err(|_| self.broken("a negative length"))?;
            let end = next
                .checked_add(n_body)
                .ok_or_else(|| self.broken("a length beyond the file"))?;
            let body = next..end;
            self.within(&body)?;
            at = end;
            match (parsed.header_type(), &mut found) {
                (MessageHeader::Schema, None) => {
                    let version = parsed.version();
                    let schema = self.guard(|| {
                        let schema = parsed.header_as_schema().ok_or("no schema".to_owned())?;
                        if !schema.endianness().equals_to_target_endianness() {
                            return Err("another order of bytes (big-endian)".to_owned());
                        }
                        convert::try_fb_to_schema(schema).map_err(|error| error.to_string())
                    })?;
                    found = Some(Index {
                        schema: Arc::new(schema),
                        version,
                        dictionaries: Vec::new(),
                        batches: Vec::new(),
                        is_sequential: false,
                        loaded: Mutex::default(),
                    });
                }
                (MessageHeader::RecordBatch, Some(index)) => {
                    index.batches.push(self.message_at(metadata, body)?);
                }
                (MessageHeader::DictionaryBatch, Some(index)) => {
                    index.is_sequential |= !index.batches.is_empty();
                    index.dictionaries.push(self.message_at(metadata, body)?);
                }
                _ => return Err(self.broken("no schema at the start")),
            }
        }
        found.ok_or_else(|| self.broken("no schema at the start"))
    }

    /// The metadata of the message at an offset, and the start of its body. `None` at the end of the
    /// stream.
    fn next_metadata(&self, at: u64) -> Result<Option<(Range<u64>, u64)>> {
        let mut length = [0; 4];
        let mut start = at;
        for _ in 0..2 {
            if start == self.n_bytes {
                return Ok(None);
            }
            self.within(&(start..start.saturating_add(4)))?;
            self.read(&mut length, start)?;
            start += 4;
            if length != CONTINUATION {
                break;
            }
        }
        let n = u64::try_from(i32::from_le_bytes(length)).map_err(|_| self.broken("a negative length"))?;
        let metadata = start..start + n;
        self.within(&metadata)?;
        Ok((n > 0).then(|| (metadata.clone(), metadata.end)))
    }

    /// Reads a dictionary into the list of dictionaries.
    fn dictionary(&self, index: &Index, message: &Message, into: &mut HashMap<i64, ArrayRef>) -> Result<()> {
        let metadata = self.bytes(&message.metadata)?;
        let parsed = self.message(&metadata)?;
        let dictionary = parsed.header_as_dictionary_batch();
        let Some((dictionary, data)) = dictionary.and_then(|found| Some((found, found.data()?))) else {
            return Err(self.broken("a dictionary without values"));
        };
        let n_rows = u64::try_from(data.length()).map_err(|_| self.broken("a negative length"))?;
        Limit::RowGroupRows.check(format!("{}: dictionary", self.path.display()), n_rows)?;
        let body = self.body(message, &Needed::all(&data))?;
        self.guard(|| read_dictionary(&body, dictionary, &index.schema, into, &index.version))
    }

    /// Reads the needed buffers of a message. The other bytes stay zeros.
    fn body(&self, message: &Message, needed: &Needed) -> Result<Buffer> {
        let n = self.within(&message.body)?;
        let location = || format!("{}: record batch", self.path.display());
        let mut n_needed = 0_u64;
        for range in &needed.buffers {
            if range.start > range.end || range.end > n {
                return Err(self.broken("a buffer beyond its message"));
            }
            n_needed = n_needed.saturating_add(range.end - range.start);
        }
        Limit::RecordBatch.check(location(), n_needed)?;
        // Pages of memory that are not written take none.
        let mut body = MutableBuffer::from_len_zeroed(n as usize);
        let mut n_unpacked = 0_u64;
        for range in &needed.buffers {
            let bytes = &mut body.as_slice_mut()[range.start as usize..range.end as usize];
            self.read(bytes, message.body.start + range.start)?;
            if let Some((prefix, _)) = bytes.split_first_chunk::<8>().filter(|_| needed.is_packed) {
                let claimed = u64::try_from(i64::from_le_bytes(*prefix)).unwrap_or(0);
                n_unpacked = n_unpacked.saturating_add(claimed);
            }
        }
        Limit::RecordBatch.check(location(), n_unpacked)?;
        Ok(body.into())
    }

    fn guard<T, E: std::fmt::Display>(&self, read: impl FnOnce() -> std::result::Result<T, E>) -> Result<T> {
        at_work::note(self.path);
        match panics::catch(read) {
            Ok(result) => result.map_err(|error| self.broken(&error.to_string())),
            Err(panic) => Err(self.broken(&panic.to_string())),
        }
    }

    fn broken(&self, found: &str) -> Error {
        Error::in_file(
            self.path,
            format!("expected a complete Arrow file or stream, found: {found}"),
        )
        .hint("the file may have been cut off while it was written; fetch or write it again")
    }
}

/// Passes a record batch on in slices of a limited number of rows and bytes of text.
fn in_slices(batch: &RecordBatch, wanted: &[Want<'_>], on_arrays: &mut OnArrays<'_>) -> Result<()> {
    let arrays: Vec<&ArrayRef> = wanted
        .iter()
        .filter_map(|want| batch.column_by_name(want.name))
        .collect();
    let mut start = 0;
    while start < batch.num_rows() {
        let most = BATCH_ROWS.min(batch.num_rows() - start);
        let n_rows = arrays.iter().map(|array| rows_within(&array.slice(start, most)));
        let n_rows = n_rows.min().unwrap_or(most);
        let slices = arrays.iter().map(|array| array.slice(start, n_rows));
        on_arrays(slices.collect(), n_rows)?;
        start += n_rows;
    }
    Ok(())
}

/// The number of rows, at least 1, whose texts together have at most the bytes of a batch. Rows of a
/// dictionary and of a view can share a text, so they can be longer than their record batch.
fn rows_within(array: &ArrayRef) -> usize {
    let mut left = Limit::Batch.size();
    let n_bytes: Box<dyn Fn(usize) -> usize> = match array.data_type() {
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let (keys, values) = (dictionary.normalized_keys(), dictionary.values());
            let is_there = dictionary.len() > 0 && !values.is_empty();
            match bytes_of(values).filter(|_| is_there) {
                Some(n_bytes) => Box::new(move |row| n_bytes(keys[row])),
                None => return array.len(),
            }
        }
        DataType::Utf8View | DataType::BinaryView => match bytes_of(array) {
            Some(n_bytes) => n_bytes,
            None => return array.len(),
        },
        _ => return array.len(),
    };
    for row in 0..array.len() {
        match left.checked_sub(n_bytes(row)) {
            Some(rest) => left = rest,
            None => return row.max(1),
        }
    }
    array.len()
}

/// The bytes of each text of a column. `None` for a column of another type.
fn bytes_of(array: &ArrayRef) -> Option<Box<dyn Fn(usize) -> usize + '_>> {
    let of_view = |view: u128| (view as u32) as usize;
    Some(match array.data_type() {
        DataType::Utf8 => Box::new(|row| array.as_string::<i32>().value_length(row) as usize),
        DataType::LargeUtf8 => Box::new(|row| array.as_string::<i64>().value_length(row) as usize),
        DataType::Binary => Box::new(|row| array.as_binary::<i32>().value_length(row) as usize),
        DataType::LargeBinary => Box::new(|row| array.as_binary::<i64>().value_length(row) as usize),
        DataType::Utf8View => Box::new(move |row| of_view(array.as_string_view().views()[row])),
        DataType::BinaryView => Box::new(move |row| of_view(array.as_binary_view().views()[row])),
        _ => return None,
    })
}

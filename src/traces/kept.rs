//! Files of kept records: what earlier imports read, by key, in compressed blocks.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, FileResult, Result};
use crate::base::open;

/// The version of records and of this file. It is increased when an importer makes other records of
/// the same rows, or when records or blocks are written in another form.
pub(super) const RECORD_FORMAT: u32 = 1;
/// The first bytes of a file, and its last ones.
const MAGIC: &[u8; 8] = b"sluicer1";
/// Bytes of an entry of the index: key, offset, stored bytes, bytes of records.
const ENTRY: usize = 32;
/// Bytes after the index: its offset, and the magic bytes.
const FOOTER: usize = 16;
/// Bytes of records after which a block ends.
const BLOCK: usize = 1 << 20;
/// The level of compression.
const LEVEL: i32 = 3;

/// Records of one key, one after the other: each with its length before it.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// The path of the file, for messages.
    path: Arc<Path>,
    file: Arc<File>,
    offset: u64,
    n_stored: u64,
    n_bytes: u64,
}

impl Block {
    /// Bytes of the records.
    pub(super) fn n_bytes(&self) -> usize {
        usize::try_from(self.n_bytes).unwrap_or(usize::MAX)
    }

    /// The error of a block that cannot be read.
    pub(super) fn damaged(&self) -> Error {
        damaged(&self.path)
    }

    /// Reads the records. The end of the block has a checksum, so damage is an error.
    ///
    /// # Errors
    /// The decoder cannot be made.
    pub(super) fn reader(&self) -> std::io::Result<impl Read> {
        zstd::stream::read::Decoder::new(self.stored())
    }

    /// The bytes as they are stored.
    fn stored(&self) -> Range {
        Range {
            file: Arc::clone(&self.file),
            next: self.offset,
            end: self.offset + self.n_stored,
        }
    }
}

/// Bytes of a file from an offset to another.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) file: Arc<File>,
    pub(super) next: u64,
    pub(super) end: u64,
}

impl Read for Range {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n_left = usize::try_from(self.end.saturating_sub(self.next)).unwrap_or(usize::MAX);
        let n_most = buffer.len().min(n_left);
        let n = self.file.read_at(&mut buffer[..n_most], self.next)?;
        self.next += n as u64;
        Ok(n)
    }
}

/// Writes a file of kept records.
pub(super) struct KeptWriter<'p, W: Write> {
    path: &'p Path,
    out: W,
    n_written: u64,
    index: Vec<u8>,
    /// Whether each block is one of another file.
    is_copied: Vec<bool>,
    key: i64,
    waiting: Vec<u8>,
    n_records: u64,
}

impl<'p, W: Write> KeptWriter<'p, W> {
    /// Begins a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn begin(path: &'p Path, mut out: W) -> Result<Self> {
        out.write_all(MAGIC).or_unwritable(path)?;
        Ok(Self {
            path,
            out,
            n_written: MAGIC.len() as u64,
            index: Vec::new(),
            is_copied: Vec::new(),
            key: i64::MIN,
            waiting: Vec::new(),
            n_records: 0,
        })
    }

    /// Adds a record. The keys must ascend.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn add(&mut self, key: i64, record: &[u8]) -> Result<()> {
        if key != self.key || self.waiting.len() >= BLOCK {
            self.end_block()?;
            self.key = key;
        }
        let n = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.waiting.extend_from_slice(&n.to_le_bytes());
        self.waiting.extend_from_slice(record);
        self.n_records += 1;
        Ok(())
    }

    /// Adds a block of another file as it is.
    ///
    /// # Errors
    /// The block cannot be read, or the file cannot be written.
    pub(super) fn add_block(&mut self, key: i64, block: &Block) -> Result<()> {
        self.end_block()?;
        let n = std::io::copy(&mut BufReader::new(block.stored()), &mut self.out).or_unwritable(self.path)?;
        if n != block.n_stored {
            return Err(block.damaged());
        }
        self.note(key, n, block.n_bytes, true);
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let stored = packed(&self.waiting).or_unwritable(self.path)?;
        self.out.write_all(&stored).or_unwritable(self.path)?;
        self.note(self.key, stored.len() as u64, self.waiting.len() as u64, false);
        self.waiting.clear();
        Ok(())
    }

    fn note(&mut self, key: i64, n_stored: u64, n_bytes: u64, is_copied: bool) {
        self.is_copied.push(is_copied);
        self.index.extend_from_slice(&key.to_le_bytes());
        for number in [self.n_written, n_stored, n_bytes] {
            self.index.extend_from_slice(&number.to_le_bytes());
        }
        self.n_written += n_stored;
    }

    /// Writes what is left, and the index. Returns the number of records that were added by
    /// [`Self::add`], and for each block whether it is one of another file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn finish(mut self) -> Result<(u64, Vec<bool>)> {
        self.end_block()?;
        let index = packed(&self.index).or_unwritable(self.path)?;
        self.out.write_all(&index).or_unwritable(self.path)?;
        self.out
            .write_all(&self.n_written.to_le_bytes())
            .or_unwritable(self.path)?;
        self.out.write_all(MAGIC).or_unwritable(self.path)?;
        Ok((self.n_records, self.is_copied))
    }
}

/// A compressed text, with a checksum.
fn packed(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(bytes)
}

/// The blocks of a file by key, in the order in which they were written.
///
/// # Errors
/// The file cannot be read, has another size than `n_bytes`, or is damaged.
pub(super) fn blocks_of(path: &Path, n_bytes: u64) -> Result<Vec<(i64, Block)>> {
    let file = open::regular(path).or_unreadable(path)?;
    if file.metadata().or_unreadable(path)?.len() != n_bytes || n_bytes < (MAGIC.len() + FOOTER) as u64 {
        return Err(damaged(path));
    }
    let footer_at = n_bytes - FOOTER as u64;
    let (mut magic, mut footer) = ([0; MAGIC.len()], [0; FOOTER]);
    file.read_exact_at(&mut magic, 0).or_unreadable(path)?;
    file.read_exact_at(&mut footer, footer_at).or_unreadable(path)?;
    let (index_at, end) = footer.split_at(8);
    let index_at = u64::from_le_bytes(index_at.try_into().unwrap_or_default());
    if &magic != MAGIC || end != MAGIC || !(MAGIC.len() as u64..=footer_at).contains(&index_at) {
        return Err(damaged(path));
    }
    let (file, shared_path): (Arc<File>, Arc<Path>) = (Arc::new(file), path.into());
    let mut index = Vec::new();
    let range = Range {
        file: Arc::clone(&file),
        next: index_at,
        end: footer_at,
    };
    zstd::stream::read::Decoder::new(range)
        .and_then(|decoder| {
            decoder
                .take(n_bytes.saturating_mul(ENTRY as u64))
                .read_to_end(&mut index)
        })
        .map_err(|_| damaged(path))?;
    let (entries, rest) = index.as_chunks::<ENTRY>();
    let mut blocks = Vec::with_capacity(entries.len());
    for entry in entries {
        let (numbers, _) = entry.as_chunks::<8>();
        let number = |idx: usize| u64::from_le_bytes(numbers[idx]);
        let block = Block {
            path: Arc::clone(&shared_path),
            file: Arc::clone(&file),
            offset: number(1),
            n_stored: number(2),
            n_bytes: number(3),
        };
        let end = block.offset.checked_add(block.n_stored);
        if end.is_none_or(|end| end > index_at) {
            return Err(damaged(path));
        }
        blocks.push((i64::from_le_bytes(numbers[0]), block));
    }
    if rest.is_empty() {
        Ok(blocks)
    } else {
        Err(damaged(path))
    }
}

/// The error of a file whose bytes are not those that were written.
fn damaged(path: &Path) -> Error {
    Error::in_file(path, "expected records of earlier imports, found a damaged file")
        .hint("read all files anew with another folder: --since NEW")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_also_through_another_file_and_damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        let large = vec![7; BLOCK];
        let mut writer = KeptWriter::begin(&first, File::create(&first).unwrap()).unwrap();
        for (key, record) in [(1, b"one".as_slice()), (1, &large), (1, b"next"), (5, b"five")] {
            writer.add(key, record).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), (4, vec![false; 3]));
        let n_bytes = |path: &Path| path.metadata().unwrap().len();
        let blocks = blocks_of(&first, n_bytes(&first)).unwrap();
        let mut writer = KeptWriter::begin(&second, File::create(&second).unwrap()).unwrap();
        for (key, block) in &blocks {
            writer.add_block(*key, block).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), (0, vec![true; 3]));
        for path in [&first, &second] {
            let blocks = blocks_of(path, n_bytes(path)).unwrap();
            let read: Vec<(i64, Vec<u8>)> = blocks
                .iter()
                .map(|(key, block)| {
                    let mut bytes = Vec::new();
                    block.reader().unwrap().read_to_end(&mut bytes).unwrap();
                    assert_eq!(bytes.len(), block.n_bytes());
                    (*key, bytes)
                })
                .collect();
            let keys: Vec<i64> = read.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, [1, 1, 5]);
            assert_eq!(read[1].1, b"\x04\0\0\0next");
        }
        let whole = std::fs::read(&first).unwrap();
        let check = |bytes: &[u8]| {
            std::fs::write(&second, bytes).unwrap();
            let blocks = blocks_of(&second, whole.len() as u64);
            let read = |block: &Block| block.reader().unwrap().read_to_end(&mut Vec::new()).is_ok();
            blocks.is_ok_and(|blocks| blocks.iter().all(|(_, block)| read(block)))
        };
        assert!(check(&whole));
        assert!(!check(&whole[1..]));
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            assert!(!check(&bytes), "byte {at}");
        }
    }

    /// Records that states on disk hold. A change of these bytes needs another [`RECORD_FORMAT`].
    #[test]
    fn the_form_of_records_has_its_version() {
        use crate::traces::record::{Field, Score, Span, Target};
        let mut bytes = Vec::new();
        let mut span = Span {
            group: "t".into(),
            trace: "t".into(),
            id: "s".into(),
            start: Some(5),
            end: Some(9),
            cost: Some(-3),
            ..Span::default()
        };
        span.put(Field::User, 1, "u");
        span.encode(&mut bytes);
        Score {
            target: Target::Session("c".into()),
            id: "i".into(),
            rule: 1,
            value: 0.5,
            at: Some(7),
            version: 2,
        }
        .encode(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = concat!(
            "000174010173000000010500000000000000010800090001050000000000000000000100010175",
            "0101630100016901000000000000e03f010e04"
        );
        assert_eq!((RECORD_FORMAT, hex.as_str()), (1, expected));
    }
}

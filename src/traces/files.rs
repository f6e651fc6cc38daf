//! The files of an import: what each is, and its parts that are read in parallel.

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, FileResult, Result};
use crate::base::limits::Limit;
use crate::base::open;
use crate::input::{Format, Packing, Part, Table, find_all_files, find_files};
use crate::scenario::{Source, TraceFormat};
use crate::traces::importers::catalog::kinds;
use crate::traces::importers::framing;
use crate::traces::importers::importer::Kind;
use crate::traces::lines::Lines;

/// Bytes of a part of a file of lines that is not packed.
pub(super) const PART: u64 = 8 << 20;
/// Keys of a document of OTLP.
const OTLP_KEYS: [&str; 4] = ["resourceSpans", "resourceLogs", "resource_spans", "resource_logs"];
/// Bytes that are looked at to find what a file is.
const HEAD: u64 = 4 << 20;
/// The mark of UTF-8 at the start of a text.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// Bytes of a line that are looked at to see whether it has any.
const PIECE: usize = 4 << 10;

/// How the rows of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One document a line.
    Lines(Packing),
    /// One document, or a list of rows.
    Whole(Packing),
    /// Columns: Parquet, Arrow or CSV.
    Table,
}

/// A file of an import.
pub(super) struct TraceFile {
    pub(super) path: PathBuf,
    pub(super) form: Form,
    pub(super) kind: Kind,
    pub(super) n_bytes: u64,
    /// Bytes of the text that were read before. 0 for a table.
    pub(super) from: u64,
    /// The end of the bytes that are read, for lines that are not packed.
    pub(super) until: u64,
    /// The columns of a table. `None` for text.
    pub(super) table: Option<Table>,
}

/// A part of a file: all of it, or the lines that begin in a range of its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct FilePart {
    pub(super) file_idx: usize,
    pub(super) range: Option<(u64, u64)>,
    /// The part of a table. `None` for text.
    pub(super) rows: Option<Part>,
}

/// The files of an import, with their sizes.
pub(super) struct Found {
    /// Files with bytes, in the order of their paths.
    pub(super) files: Vec<(PathBuf, u64)>,
    /// JSON documents beside traces that are no traces.
    pub(super) n_others: u64,
}

/// Finds the files of all paths. JSON documents beside other formats are taken if they are traces.
///
/// # Errors
/// There is no file.
pub(super) fn find(paths: &[PathBuf], format: TraceFormat) -> Result<Found> {
    let (mut paths_found, mut others) = (Vec::new(), Vec::new());
    for path in paths {
        let known = find_files(path)?;
        others.extend(
            find_all_files(path)?
                .into_iter()
                .filter(|file| !known.contains(file)),
        );
        paths_found.extend(known);
    }
    let mut found = Found {
        files: Vec::new(),
        n_others: 0,
    };
    for path in others {
        let n_bytes = size_of(&path)?;
        if n_bytes > 0 && open_file(path.clone(), n_bytes, format).is_ok() {
            paths_found.push(path);
        } else {
            found.n_others += 1;
        }
    }
    // A file that two paths name is read once.
    paths_found.sort();
    paths_found.dedup();
    for path in paths_found {
        let n_bytes = size_of(&path)?;
        if n_bytes > 0 {
            found.files.push((path, n_bytes));
        }
    }
    Ok(found)
}

fn size_of(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).or_unreadable(path)?.len())
}

/// Finds the files of all paths and what each of them is.
///
/// # Errors
/// There is no file, or a file is not of the format.
pub(super) fn open_files(paths: &[PathBuf], format: TraceFormat) -> Result<(Vec<TraceFile>, u64)> {
    let found = find(paths, format)?;
    let files: Vec<TraceFile> = found
        .files
        .into_iter()
        .map(|(path, n_bytes)| open_file(path, n_bytes, format))
        .collect::<Result<_>>()?;
    if files.is_empty() {
        return Err(all_empty(paths));
    }
    Ok((files, found.n_others))
}

/// The error of paths without a byte.
pub(super) fn all_empty(paths: &[PathBuf]) -> Error {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Error::input(shown.join(", "), "expected traces, found empty files alone")
}

/// Finds out what a file is.
///
/// # Errors
/// It cannot be read, or is not of the format.
pub(super) fn open_file(path: PathBuf, n_bytes: u64, format: TraceFormat) -> Result<TraceFile> {
    let (form, kind, table) = match Format::by_path(&path) {
        Some(Format::Ndjson { packing } | Format::Json { packing }) => {
            let (form, kind) = look(&path, packing, format)?;
            (form, kind, None)
        }
        _ => {
            let table = Table::open(&Source::at(&path))?;
            let keys: Vec<String> = table.files.iter().flat_map(|file| file.columns.clone()).collect();
            (Form::Table, kind_of(&path, &keys, format)?, Some(table))
        }
    };
    Ok(TraceFile {
        path,
        form,
        kind,
        n_bytes,
        from: 0,
        until: n_bytes,
        table,
    })
}

/// Opens a file, which is unpacked while it is read.
pub(super) fn open_text(path: &Path, packing: Packing) -> Result<Box<dyn Read>> {
    let file = open::regular(path).or_unreadable(path)?;
    Ok(match packing {
        Packing::None => Box::new(file),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(file).or_unreadable(path)?),
    })
}

/// Finds out what a file is by its first row.
fn look(path: &Path, packing: Packing, format: TraceFormat) -> Result<(Form, Kind)> {
    let mut head = Vec::new();
    open_text(path, packing)?
        .take(HEAD)
        .read_to_end(&mut head)
        .or_unreadable(path)?;
    let text = head.strip_prefix(MARK).unwrap_or(&head).trim_ascii_start();
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // Of a value that is longer than what is looked at, the keys that are there tell enough.
    let is_cut = head.len() as u64 == HEAD;
    let fits = |(keys, is_whole): &(Vec<String>, bool)| *is_whole || is_cut && !keys.is_empty();
    let first_line = || first_keys(line);
    let (form, keys) = if let Some(rows) = text.strip_prefix(b"[") {
        (Form::Whole(packing), Some(first_keys(rows)).filter(fits))
    } else if line.len() == text.len() && is_cut {
        let form = match has_more_lines(path, packing)? {
            true => Form::Lines(packing),
            false => Form::Whole(packing),
        };
        (form, Some(first_line()).filter(fits))
    } else {
        match first_line() {
            (keys, true) => (Form::Lines(packing), Some((keys, true))),
            _ => (Form::Whole(packing), Some(first_keys(text)).filter(fits)),
        }
    };
    let Some((keys, _)) = keys else {
        let error = Error::in_file(
            path,
            "expected one JSON object a line, a list of them, or one document, found another text",
        );
        return Err(match framing::hint(&head) {
            Some(hint) => error.hint(hint),
            None => error,
        });
    };
    let kind = match kind_of(path, &keys, format) {
        // The key that tells may lie behind what was looked at.
        Err(_) if is_cut => kind_of(path, &keys_of_file(path, packing)?, format)?,
        kind => kind?,
    };
    Ok((form, kind))
}

/// The keys of the first object of a text, however long it is.
fn keys_of_file(path: &Path, packing: Packing) -> Result<Vec<String>> {
    let mut reader = BufReader::with_capacity(1 << 18, open_text(path, packing)?);
    loop {
        let bytes = reader.fill_buf().or_unreadable(path)?;
        match bytes.first() {
            Some(byte) if byte.is_ascii_whitespace() || *byte == b'[' || MARK.contains(byte) => {
                reader.consume(1);
            }
            _ => break,
        }
    }
    Ok(keys_of_object(&mut serde_json::Deserializer::from_reader(reader)).0)
}

/// The keys of the object that a text begins with, and whether the object is whole.
fn first_keys(text: &[u8]) -> (Vec<String>, bool) {
    keys_of_object(&mut serde_json::Deserializer::from_slice(text))
}

fn keys_of_object<'de, R: serde_json::de::Read<'de>>(
    deserializer: &mut serde_json::Deserializer<R>,
) -> (Vec<String>, bool) {
    struct Keys<'k>(&'k mut Vec<String>);

    impl<'de> Visitor<'de> for Keys<'_> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
            while let Some(key) = map.next_key::<String>()? {
                self.0.push(key);
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }

    let mut keys = Vec::new();
    let is_whole = deserializer.deserialize_map(Keys(&mut keys)).is_ok();
    (keys, is_whole)
}

/// Whether a text has more than one line.
fn has_more_lines(path: &Path, packing: Packing) -> Result<bool> {
    let mut lines = Lines::new(open_text(path, packing)?);
    lines.skip().or_unreadable(path)?;
    while let Some(line) = lines.next(PIECE).or_unreadable(path)? {
        if !line.trim_ascii().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The kind of rows with these keys.
fn kind_of(path: &Path, keys: &[String], format: TraceFormat) -> Result<Kind> {
    let has = |key: &str| keys.iter().any(|known| known == key);
    let found = kinds(format).find(|kind| match kind {
        Kind::Otlp => OTLP_KEYS.iter().any(|key| has(key)),
        Kind::Rows(importer) => (importer.is_kind)(&has),
    });
    found.ok_or_else(|| {
        let shown: Vec<&str> = keys.iter().map(String::as_str).take(20).collect();
        let names: Vec<&str> = kinds(format).map(Kind::name).collect();
        Error::in_file(
            path,
            format!(
                "expected rows of {}, found the keys {}",
                names.join(", "),
                shown.join(", ")
            ),
        )
        .hint("a log with one row a turn is read as it is: see docs/reference/inputs.md#traffic")
    })
}

/// The parts of the files.
pub(super) fn parts_of(files: &[TraceFile]) -> Vec<FilePart> {
    let mut parts = Vec::new();
    for (file_idx, file) in files.iter().enumerate() {
        let mut push = |range, rows| {
            parts.push(FilePart {
                file_idx,
                range,
                rows,
            });
        };
        if let Some(table) = &file.table {
            table.parts.iter().for_each(|part| push(None, Some(*part)));
        } else if file.form == Form::Lines(Packing::None) {
            let mut start = file.from;
            while start < file.until {
                let end = (start / PART + 1) * PART;
                push(Some((start, end.min(file.until))), None);
                start = end;
            }
        } else {
            push(None, None);
        }
    }
    parts
}

/// Passes the documents of a part to `on_document`, each with its number for messages: the line, from
/// 1 at the start of the part, or of the file if the part is all of it.
///
/// # Errors
/// The file cannot be read, or a document is too long.
pub(super) fn for_each_document(
    file: &TraceFile,
    part: FilePart,
    on_document: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let path = &file.path;
    match (file.form, part.range) {
        (Form::Table, _) => Ok(()),
        (Form::Whole(packing), _) => {
            let mut text = Vec::new();
            let limit = Limit::Document.value();
            open_text(path, packing)?
                .take(limit + 1)
                .read_to_end(&mut text)
                .or_unreadable(path)?;
            Limit::Document.check(path.display(), text.len() as u64)?;
            let text = text.strip_prefix(MARK).unwrap_or(&text);
            on_document(1, text.trim_ascii())
        }
        (Form::Lines(packing), None) => {
            let mut reader = BufReader::with_capacity(1 << 18, open_text(path, packing)?);
            let n_before = skip_bytes(&mut reader, file.from).or_unreadable(path)?;
            let mut lines = Lines::new(reader);
            for_each_line(path, &mut lines, u64::MAX, &mut |number, text| {
                on_document(n_before + number, text)
            })
        }
        (Form::Lines(_), Some((start, end))) => {
            let mut opened = open::regular(path).or_unreadable(path)?;
            // A line belongs to the part in which it begins.
            let from = start.saturating_sub(1);
            opened.seek(SeekFrom::Start(from)).or_unreadable(path)?;
            let mut lines = Lines::new(opened);
            let mut n_left = end - start;
            if start > 0 {
                let n = lines.skip().or_unreadable(path)?.saturating_sub(1);
                n_left = match n_left.checked_sub(n) {
                    Some(left) if left > 0 => left,
                    _ => return Ok(()),
                };
            }
            for_each_line(path, &mut lines, n_left, on_document)
        }
    }
}

/// Skips bytes. Returns the number of ends of lines among them.
fn skip_bytes(reader: &mut impl BufRead, mut n_left: u64) -> std::io::Result<u64> {
    let mut n_lines = 0;
    while n_left > 0 {
        let bytes = reader.fill_buf()?;
        let n = bytes.len().min(usize::try_from(n_left).unwrap_or(usize::MAX));
        if n == 0 {
            break;
        }
        n_lines += memchr::memchr_iter(b'\n', &bytes[..n]).count() as u64;
        reader.consume(n);
        n_left -= n as u64;
    }
    Ok(n_lines)
}

/// Passes the lines that begin within the next `n_left` bytes.
fn for_each_line(
    path: &Path,
    lines: &mut Lines<impl Read>,
    mut n_left: u64,
    on_document: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut number = 0;
    let max = Limit::Line.size();
    while n_left > 0 {
        number += 1;
        let Some(line) = lines.next(max).or_unreadable(path)? else {
            break;
        };
        if line.len() > max {
            return Err(Limit::Line.overrun(format!("{}: line {number}", path.display())));
        }
        n_left = n_left.saturating_sub(line.len() as u64);
        let text = line.strip_prefix(MARK).unwrap_or(line).trim_ascii();
        if !text.is_empty() {
            on_document(number, text)?;
        }
    }
    Ok(())
}

/// The number of lines before the first line of a part that starts at this byte.
pub(super) fn lines_before(path: &Path, start: u64) -> u64 {
    // The line of the byte before belongs to the part before.
    let Some(end) = start.checked_sub(1) else {
        return 0;
    };
    let Ok(file) = open::regular(path) else { return 0 };
    let mut reader = BufReader::with_capacity(1 << 18, file.take(end));
    let mut n = 0;
    while let Ok(bytes) = reader.fill_buf() {
        if bytes.is_empty() {
            break;
        }
        n += memchr::memchr_iter(b'\n', bytes).count() as u64;
        let all = bytes.len();
        reader.consume(all);
    }
    n + 1
}

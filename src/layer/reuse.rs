//! Reuses scored row groups of the previous night's table when their input has not changed.
//!
//! Beside a layer table, `NAME.row_groups.json` has a note for each row group that came from one
//! row group of the input. The note has a digest of the input (the settings and the bytes of the
//! columns that were read), the counts, and a digest of the result. A row group with the same input
//! digest has the same scores, layers and counts. They are taken from the previous table if the
//! result's digest still matches. Layers by quota depend on all users, so they are never reused.

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::error::{FileResult, Result};
use crate::base::json;
use crate::base::open;
use crate::base::parquet_file::PageFile;
use crate::base::parquet_io::read_footer;
use crate::input::{InputFile, Part, Place, Unsupported, UserReader};
use crate::layer::context::LayerContext;
use crate::layer::file::leaf_of;
use crate::layer::kernel::{KernelCounts, Scored};
use crate::layer::scan::scan_row_group;

const SCHEMA: &str = "sluice.row_groups/1";

/// The notes on a layer table's row groups, in order. `None` for a row group that did not come from
/// one row group of the input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Notes {
    schema: String,
    row_groups: Vec<Option<Note>>,
}

/// The digests of a row group's input and result, and its counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Note {
    /// The digest of the settings and of the columns that were read.
    input_digest: String,
    /// The digest of the result columns' bytes.
    result_digest: String,
    counts: KernelCounts,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self {
            schema: SCHEMA.into(),
            row_groups: Vec::new(),
        }
    }

    /// Whether no row group of the table can be reused.
    pub(super) fn is_empty(&self) -> bool {
        self.row_groups.iter().all(Option::is_none)
    }

    pub(super) fn push(&mut self, note: Option<Note>) {
        self.row_groups.push(note);
    }
}

impl Note {
    /// Creates the note of a row group from its encoded result columns.
    pub(super) fn new(input_digest: String, results: [&[u8]; 3], counts: &KernelCounts) -> Self {
        Self {
            input_digest,
            result_digest: digest_of(results),
            counts: counts.clone(),
        }
    }
}

/// The BLAKE3 digest of the three result columns.
fn digest_of(results: [&[u8]; 3]) -> String {
    let mut hasher = blake3::Hasher::new();
    for bytes in results {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    hasher.finalize().to_hex().to_string()
}

/// The path of a layer table's notes.
pub(crate) fn notes_path(table: &Path) -> PathBuf {
    table.with_extension("row_groups.json")
}

/// A row group of the previous night that can be reused.
pub(super) struct Reused {
    pub(super) scored: Scored,
    pub(super) layers: Vec<u8>,
}

/// Computes digests of row groups and finds them in the previous night's table.
pub(super) struct Reuse<'a> {
    ctx: &'a LayerContext<'a>,
    settings: String,
    previous: Option<Previous>,
}

/// The previous night's table, with its notes by input digest.
struct Previous {
    path: PathBuf,
    footer: ArrowReaderMetadata,
    by_digest: BTreeMap<String, (usize, Note)>,
}

impl<'a> Reuse<'a> {
    /// Opens the context's previous table, if it has one.
    ///
    /// # Errors
    /// When the previous table cannot be read.
    pub(super) fn new(ctx: &'a LayerContext<'a>) -> Result<Self> {
        let layers: Vec<_> = ctx
            .plan
            .layers
            .iter()
            .map(|layer| (&layer.id, layer.min_score, &layer.tags))
            .collect();
        let settings = format!("{} {:?} {layers:?}", env!("CARGO_PKG_VERSION"), ctx.layering);
        Ok(Self {
            ctx,
            settings,
            previous: ctx.previous.map(Previous::open).transpose()?,
        })
    }

    /// Computes the digest of a row group's input. `None` if the part is not a Parquet row group.
    pub(super) fn digest(
        &self,
        reader: &UserReader<'_>,
        file: &InputFile,
        part: Part,
    ) -> Result<Option<String>> {
        let (Some(footer), Some(row_group)) = (&file.footer, part.row_group) else {
            return Ok(None);
        };
        let read = |path: &Path| -> std::io::Result<String> {
            let mut open = open::regular(path)?;
            let mut hasher = blake3::Hasher::new();
            hasher.update(self.settings.as_bytes());
            if reader.table().has("last_use_time") {
                hasher.update(&self.ctx.as_of.to_le_bytes());
            }
            let schema = footer.metadata().file_metadata().schema_descr();
            let mut buffer = vec![0; 1 << 17];
            for canonical in reader.columns() {
                let name = reader.table().name_in_file(canonical);
                let constant = reader.table().source.constants.get(canonical);
                hasher.update(format!("\n{canonical} {constant:?}").as_bytes());
                if let Some(unit) = reader.table().source.units.get(canonical) {
                    hasher.update(format!(" {unit:?}").as_bytes());
                }
                let root = match file.place(name) {
                    Some(Place::Partition) => {
                        hasher.update(format!(" {:?}", file.partition.values.get(name)).as_bytes());
                        None
                    }
                    Some(Place::Nested(idx, path)) => {
                        hasher.update(format!(" {path:?}").as_bytes());
                        Some(idx)
                    }
                    Some(Place::Column(idx)) => Some(idx),
                    None => None,
                };
                let leaves =
                    (0..schema.num_columns()).filter(|leaf| Some(schema.get_column_root_idx(*leaf)) == root);
                for leaf in leaves {
                    let chunk = footer.metadata().row_group(row_group).column(leaf);
                    let (start, n_bytes) = chunk.byte_range();
                    let column = schema.column(leaf);
                    hasher.update(
                        format!(" {:?} {:?} {n_bytes}:", column.self_type(), chunk.compression()).as_bytes(),
                    );
                    open.seek(SeekFrom::Start(start))?;
                    let mut left = n_bytes;
                    while left > 0 {
                        let n = left.min(buffer.len() as u64) as usize;
                        open.read_exact(&mut buffer[..n])?;
                        hasher.update(&buffer[..n]);
                        left -= n as u64;
                    }
                }
            }
            Ok(hasher.finalize().to_hex().to_string())
        };
        read(&file.path).map(Some).or_unreadable(&file.path)
    }

    /// Finds the row group of the previous night with this digest. `None` if there is none, or if
    /// its bytes have changed. The caller must fill in the tenants; the digest covers them.
    pub(super) fn find(&self, digest: &str) -> Option<Reused> {
        let previous = self.previous.as_ref()?;
        let (row_group, note) = previous.by_digest.get(digest)?;
        previous.read(*row_group, note, self.ctx).ok()
    }
}

impl Previous {
    fn open(path: &Path) -> Result<Self> {
        let file = open::regular(path).or_unreadable(path)?;
        let footer = read_footer(path, &file, ArrowReaderOptions::new())?;
        // A table without notes, or with notes that do not match it, has no row group to reuse.
        let notes: Option<Notes> = json::read_json(&notes_path(path)).ok();
        let notes = notes.filter(|notes| {
            notes.schema == SCHEMA && notes.row_groups.len() == footer.metadata().num_row_groups()
        });
        let row_groups = notes
            .map_or_else(Vec::new, |notes| notes.row_groups)
            .into_iter()
            .enumerate();
        let by_digest = row_groups
            .filter_map(|(idx, note)| note.map(|note| (note.input_digest.clone(), (idx, note))))
            .collect();
        Ok(Self {
            path: path.to_owned(),
            footer,
            by_digest,
        })
    }

    /// Reads a row group if its bytes still match the note's digest.
    fn read(
        &self,
        row_group: usize,
        note: &Note,
        ctx: &LayerContext<'_>,
    ) -> std::result::Result<Reused, Unsupported> {
        let file = Arc::new(PageFile::open(&self.path).map_err(|_| Unsupported)?);
        let chunk = |name: &str| -> std::result::Result<Vec<u8>, Unsupported> {
            let leaf = leaf_of(&self.footer, name).ok_or(Unsupported)?;
            let (start, n_bytes) = self
                .footer
                .metadata()
                .row_group(row_group)
                .column(leaf)
                .byte_range();
            let mut bytes = vec![0; usize::try_from(n_bytes).map_err(|_| Unsupported)?];
            file.file()
                .read_exact_at(&mut bytes, start)
                .map_err(|_| Unsupported)?;
            Ok(bytes)
        };
        if digest_of([&chunk("score")?, &chunk("layer")?, &chunk("eligible")?]) != note.result_digest {
            return Err(Unsupported);
        }
        let mut of_layer = |id: &str| ctx.plan.layer_idx(id).map(|idx| idx as u32);
        let rows = scan_row_group(&file, &self.footer, row_group, &mut of_layer, &mut |_| Some(0))?;
        let scored = Scored {
            score: rows.iter().map(|row| row.score).collect(),
            eligible: rows.iter().map(|row| u8::from(row.eligible)).collect(),
            counts: note.counts.clone(),
            ..Scored::default()
        };
        Ok(Reused {
            scored,
            layers: rows.iter().map(|row| row.layer as u8).collect(),
        })
    }
}

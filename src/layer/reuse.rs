//! Row groups that need no scoring, because the previous night's table holds what they would become.
//!
//! A layer table notes in its footer, for every row group that came from one of the input, a digest of everything that the row group
//! rests on: the settings, and the bytes of the columns that were read. A row group of the same digest has the same scores, layers and
//! counts, and takes them from there. Quotas look at all users, so layers by quota are never reused.

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Context, DEFAULT_TENANT,
    kernel::{KernelCounts, Scored, Tenants},
};
use crate::{
    error::{Error, Result},
    input::{ColumnScan, InputFile, Mapping, NotFlat, Part, STEP, STEP_WORDS, UserReader},
    parquet_io::guard,
};

/// The footer's key for what [`Notes`] says.
pub(super) const NOTES_KEY: &str = "sluice.row_groups";

/// What a layer table says of its row groups, in order; `None` for one that did not come from a row group of the input.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Notes(pub(super) Vec<Option<Note>>);

/// What a row group rests on, and what was counted in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Note {
    digest: String,
    counts: KernelCounts,
}

/// A row group of the previous night that can be taken over.
pub(super) struct Reused {
    pub(super) scored: Scored,
    pub(super) layers: Vec<u8>,
}

/// Takes digests of row groups, and finds them in the previous night's table.
pub(super) struct Reuse<'a> {
    ctx: &'a Context<'a>,
    settings: String,
    previous: Option<Previous>,
}

struct Previous {
    path: PathBuf,
    footer: ArrowReaderMetadata,
    by_digest: BTreeMap<String, (usize, KernelCounts)>,
}

impl<'a> Reuse<'a> {
    /// `previous` is last night's table, if there was one.
    ///
    /// # Errors
    /// A previous table that cannot be read.
    pub(super) fn new(ctx: &'a Context<'a>, previous: Option<&Path>) -> Result<Self> {
        let layers: Vec<_> = ctx.plan.layers.iter().map(|layer| (&layer.id, layer.min_score, &layer.tags)).collect();
        let settings = format!("{} {:?} {layers:?} {}", env!("CARGO_PKG_VERSION"), ctx.layering, ctx.as_of);
        Ok(Self { ctx, settings, previous: previous.map(Previous::open).transpose()? })
    }

    /// The digest of a row group.
    pub(super) fn digest(&self, reader: &UserReader<'_>, file: &InputFile, part: Part) -> Result<Option<String>> {
        let (Some(footer), Some(row_group)) = (&file.footer, part.row_group) else { return Ok(None) };
        let read = |path: &Path| -> std::io::Result<String> {
            let mut open = File::open(path)?;
            let mut hasher = blake3::Hasher::new();
            hasher.update(self.settings.as_bytes());
            let schema = footer.metadata().file_metadata().schema_descr();
            let mut buffer = vec![0; 1 << 17];
            for canonical in reader.columns() {
                let name = reader.table().name_in_file(canonical);
                let constant = reader.table().source.constants.get(canonical);
                hasher.update(format!("\n{canonical} {constant:?}").as_bytes());
                let leaves =
                    (0..schema.num_columns()).filter(|leaf| schema.column(*leaf).path().parts().first().is_some_and(|p| p == name));
                for leaf in leaves {
                    let chunk = footer.metadata().row_group(row_group).column(leaf);
                    let (start, n_bytes) = chunk.byte_range();
                    let column = schema.column(leaf);
                    hasher.update(format!(" {:?} {:?} {n_bytes}:", column.self_type(), chunk.compression()).as_bytes());
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
        read(&file.path).map(Some).map_err(|error| Error::read(&file.path, &error))
    }

    /// The row group of the previous night with this digest.
    pub(super) fn find(&self, digest: &str) -> Option<Reused> {
        let previous = self.previous.as_ref()?;
        let (row_group, counts) = previous.by_digest.get(digest)?;
        guard(&previous.path, || previous.read(*row_group, counts, self.ctx)).ok()
    }

    /// What the table's footer shall say of a row group.
    pub(super) fn note(digest: String, counts: &KernelCounts) -> Note {
        Note { digest, counts: counts.clone() }
    }
}

impl Previous {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::read(path, &error))?;
        let footer = guard(path, || ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()))?;
        let pairs = footer.metadata().file_metadata().key_value_metadata();
        let text = pairs.into_iter().flatten().find(|pair| pair.key == NOTES_KEY).and_then(|pair| pair.value.as_deref());
        // A table without notes, or with others' notes, is one that nothing can be taken from.
        let notes: Notes = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let n_groups = footer.metadata().num_row_groups();
        let by_digest = notes.0.into_iter().take(n_groups).enumerate();
        let by_digest = by_digest.filter_map(|(idx, note)| note.map(|note| (note.digest, (idx, note.counts)))).collect();
        Ok(Self { path: path.to_owned(), footer, by_digest })
    }

    fn read(&self, row_group: usize, counts: &KernelCounts, ctx: &Context<'_>) -> std::result::Result<Reused, NotFlat> {
        let file = Arc::new(File::open(&self.path).map_err(|_| NotFlat)?);
        let column = |name: &str| self.footer.schema().fields().iter().position(|field| field.name() == name);
        let n_rows = usize::try_from(self.footer.metadata().row_group(row_group).num_rows()).map_err(|_| NotFlat)?;
        let of_score = |scores: &mut [f64]| {
            scores.iter_mut().for_each(|score| *score = (*score * 10_000.0).round());
            scores.iter().all(|score| (0.0..=10_000.0).contains(score))
        };
        let of_layer = |id: &[u8]| ctx.plan.layers.iter().position(|layer| layer.id.as_bytes() == id).map_or(-1.0, |idx| idx as f64);
        let tenants = RefCell::new(Tenants::default());
        let default_tenant = f64::from(tenants.borrow_mut().code(DEFAULT_TENANT.as_bytes()));
        let of_tenant = |name: &[u8]| if name.is_empty() { default_tenant } else { f64::from(tenants.borrow_mut().code(name)) };
        let open = |name: &str, missing: f64, mapping| {
            ColumnScan::open(&file, &self.footer, row_group, column(name).ok_or(NotFlat)?, missing, mapping)
        };
        let mut scores = open("score", -1.0, Mapping::Number(&of_score))?;
        let mut layers = open("layer", -1.0, Mapping::Text(&of_layer))?;
        let mut flags = open("eligible", 0.0, Mapping::Flag)?;
        let mut of_tenants = column("tenant_id").map(|_| open("tenant_id", default_tenant, Mapping::Text(&of_tenant))).transpose()?;
        let mut reused = Reused { scored: Scored { counts: counts.clone(), ..Scored::default() }, layers: Vec::with_capacity(n_rows) };
        let (mut values, mut absent) = (vec![0.0; STEP], [0; STEP_WORDS]);
        for start in (0..n_rows).step_by(STEP) {
            let values = &mut values[..(n_rows - start).min(STEP)];
            if scores.fill(values, &mut absent)? > 0 {
                return Err(NotFlat);
            }
            reused.scored.score.extend(values.iter().map(|score| *score as u16));
            layers.fill(values, &mut absent)?;
            if values.iter().any(|layer| *layer < 0.0) {
                return Err(NotFlat);
            }
            reused.layers.extend(values.iter().map(|layer| *layer as u8));
            flags.fill(values, &mut absent)?;
            reused.scored.eligible.extend(values.iter().map(|flag| *flag as u8));
            if let Some(scan) = &mut of_tenants {
                scan.fill(values, &mut absent)?;
                let mut tenants = tenants.borrow_mut();
                values.iter().for_each(|code| tenants.push(*code as u32));
            }
        }
        drop(of_tenants);
        (reused.scored.tenants, reused.scored.tenant) = tenants.into_inner().finish()?;
        Ok(reused)
    }
}

//! Batches of a layer table, with validated columns.

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, BooleanArray, RecordBatch, StringArray};
use arrow_cast::cast;
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::open;
use crate::base::parquet_io::{guard, open_batches, read_footer};
use crate::input::tenant_at;
use crate::layer::score::ten_thousandths;

/// A layer table on disk that is read part by part.
#[derive(Debug)]
pub(crate) struct LayerFileReader<'a> {
    path: &'a Path,
    footer: ArrowReaderMetadata,
}

impl<'a> LayerFileReader<'a> {
    /// Opens a table.
    ///
    /// # Errors
    /// When the file cannot be read or is not Parquet.
    pub(crate) fn open(path: &'a Path) -> Result<Self> {
        let file = open::regular(path).or_unreadable(path)?;
        let footer = read_footer(path, &file, ArrowReaderOptions::new())?;
        Ok(Self { path, footer })
    }

    /// The number of users.
    pub(crate) fn n_rows(&self) -> u64 {
        self.footer.metadata().file_metadata().num_rows().unsigned_abs()
    }

    /// The number of parts, which can be read in parallel.
    pub(crate) fn n_parts(&self) -> usize {
        self.footer.metadata().num_row_groups()
    }

    /// The path of the file, for messages.
    #[cfg(feature = "stores")]
    pub(crate) fn path(&self) -> &Path {
        self.path
    }

    /// Passes all users to `on_rows`, part by part.
    ///
    /// # Errors
    /// As [`LayerFileReader::read`].
    #[cfg(feature = "stores")]
    pub(crate) fn read_all(&self, mut on_rows: impl FnMut(&LayerRows) -> Result<()>) -> Result<()> {
        (0..self.n_parts()).try_for_each(|part| self.read(part, &mut on_rows))
    }

    /// Passes a part's users to `on_rows`, in batches of some thousands.
    ///
    /// # Errors
    /// When the table was not written by `sluice layer`, or when `on_rows` returns an error.
    pub(crate) fn read(&self, part: usize, mut on_rows: impl FnMut(&LayerRows) -> Result<()>) -> Result<()> {
        let path = self.path;
        let mut reader = open_batches(path, &self.footer, Some(part), &|_| true)?;
        while let Some(batch) = guard(path, || reader.next().transpose())? {
            on_rows(&LayerRows::from_batch(&batch, path)?)?;
        }
        Ok(())
    }
}

/// The columns of one batch of a layer table.
#[derive(Debug, Clone)]
pub(crate) struct LayerRows {
    /// User ids of any type, as text. Never null.
    pub(crate) ids: StringArray,
    /// Names of the tenants. Null or an empty name means the tenant `default`. `None` for a table
    /// without a tenant column.
    pub(crate) tenants: Option<StringArray>,
    /// Scores in ten-thousandths, 0..=10000.
    pub(crate) scores: Vec<u16>,
    /// Id of the layer of each user. Never null.
    pub(crate) layers: StringArray,
    /// Consent to gray release. Never null.
    pub(crate) eligible: BooleanArray,
}

impl LayerRows {
    /// Checks the columns of a batch.
    ///
    /// # Errors
    /// When a column of a layer table is missing, or has a null or an illegal value.
    pub(crate) fn from_batch(batch: &RecordBatch, path: &Path) -> Result<Self> {
        let wrong = |found: &str| {
            let expected =
                "expected a layer table: an id, a layer, a score of 0..=1 and a consent in every row";
            Error::in_file(path, format!("{expected}, found {found}"))
                .hint("a layer table is the --out file of `sluice layer`")
        };
        let text = |name: &str| -> Result<Option<StringArray>> {
            let Some(column) = batch.column_by_name(name) else {
                return Ok(None);
            };
            let texts =
                cast(column, &DataType::Utf8).map_err(|error| wrong(&format!("in `{name}`: {error}")))?;
            Ok(Some(texts.as_string::<i32>().clone()))
        };
        let missing = |name: &str| wrong(&format!("no usable column `{name}`"));
        let ids = text("user_id")?.ok_or_else(|| missing("user_id"))?;
        let layers = text("layer")?.ok_or_else(|| missing("layer"))?;
        let scores = batch
            .column_by_name("score")
            .and_then(|c| c.as_primitive_opt::<Float64Type>())
            .ok_or_else(|| missing("score"))?;
        let eligible = batch
            .column_by_name("eligible")
            .and_then(|c| c.as_boolean_opt())
            .ok_or_else(|| missing("eligible"))?;
        if ids.null_count() + layers.null_count() + scores.null_count() + eligible.null_count() > 0 {
            return Err(wrong("a row without one of them"));
        }
        if let Some(score) = scores.values().iter().find(|score| !(0.0..=1.0).contains(*score)) {
            return Err(wrong(&format!("a score of {score}")));
        }
        let scores = scores
            .values()
            .iter()
            .map(|score| ten_thousandths(*score))
            .collect();
        Ok(Self {
            ids,
            tenants: text("tenant_id")?,
            scores,
            layers,
            eligible: eligible.clone(),
        })
    }

    /// The number of users in the batch.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns the name of the tenant of a row; `default` for a row without a tenant.
    pub(crate) fn tenant(&self, row: usize) -> &str {
        tenant_at(self.tenants.as_ref(), row)
    }
}

/// The error for a table that contains a user twice. It shows the start of the user's id.
pub(super) fn duplicate_error(location: impl Into<String>, id: &str, tenant: Option<&str>) -> Error {
    let shown: String = id.chars().take(60).collect();
    let of_tenant = tenant.map_or_else(String::new, |tenant| format!(" of tenant \"{tenant}\""));
    Error::input(
        location,
        format!("expected one row per user, found two rows for \"{shown}\"{of_tenant}"),
    )
}

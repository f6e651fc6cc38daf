//! The buffers of a record batch that wanted columns need.

use arrow_ipc::RecordBatch;
use arrow_schema::{DataType, Fields};
use std::ops::Range;

/// The buffers that are read of a message.
pub(super) struct Needed {
    /// Ranges in the body of the message.
    pub(super) buffers: Vec<Range<u64>>,
    /// Whether each buffer is compressed, and begins with its length.
    pub(super) is_packed: bool,
}

impl Needed {
    /// All buffers of a message.
    pub(super) fn all(batch: &RecordBatch<'_>) -> Self {
        Self {
            buffers: ranges(batch),
            is_packed: batch.compression().is_some(),
        }
    }
}

/// The buffers of some columns, by their positions. All buffers if the layout is not certain.
pub(super) fn needed(batch: &RecordBatch<'_>, fields: &Fields, wanted: &[usize]) -> Needed {
    some_buffers(batch, fields, wanted).unwrap_or_else(|| Needed::all(batch))
}

fn some_buffers(batch: &RecordBatch<'_>, fields: &Fields, wanted: &[usize]) -> Option<Needed> {
    let all = ranges(batch);
    let mut n_views = batch.variadicBufferCounts().into_iter().flatten();
    let (mut at, mut buffers) = (0_usize, Vec::new());
    for (idx, field) in fields.iter().enumerate() {
        let end = at.checked_add(n_buffers(field.data_type(), &mut n_views)?)?;
        if wanted.contains(&idx) {
            buffers.extend_from_slice(all.get(at..end)?);
        }
        at = end;
    }
    (at == all.len()).then(|| Needed {
        buffers,
        is_packed: batch.compression().is_some(),
    })
}

/// The ranges of all buffers. A negative one becomes a range beyond any body.
fn ranges(batch: &RecordBatch<'_>) -> Vec<Range<u64>> {
    let number = |n: i64| u64::try_from(n).unwrap_or(u64::MAX);
    let buffers = batch.buffers().into_iter().flatten();
    buffers
        .map(|buffer| {
            number(buffer.offset())..number(buffer.offset()).saturating_add(number(buffer.length()))
        })
        .collect()
}

/// The number of buffers of a column. `n_views` counts the buffers with texts of each column of views.
/// `None` if it is not certain.
fn n_buffers(data_type: &DataType, n_views: &mut dyn Iterator<Item = i64>) -> Option<usize> {
    use DataType as D;
    let below = |fields: &Fields, n_views: &mut dyn Iterator<Item = i64>| {
        let mut n = 0_usize;
        for field in fields {
            n = n.checked_add(n_buffers(field.data_type(), n_views)?)?;
        }
        Some(n)
    };
    Some(match data_type {
        D::Null => 0,
        D::Utf8 | D::LargeUtf8 | D::Binary | D::LargeBinary => 3,
        D::Utf8View | D::BinaryView => usize::try_from(n_views.next()?).ok()?.checked_add(2)?,
        D::List(item) | D::LargeList(item) | D::Map(item, _) => {
            n_buffers(item.data_type(), n_views)?.checked_add(2)?
        }
        D::ListView(item) | D::LargeListView(item) => n_buffers(item.data_type(), n_views)?.checked_add(3)?,
        D::FixedSizeList(item, _) => n_buffers(item.data_type(), n_views)?.checked_add(1)?,
        D::Struct(fields) => below(fields, n_views)?.checked_add(1)?,
        D::RunEndEncoded(ends, values) => {
            n_buffers(ends.data_type(), n_views)?.checked_add(n_buffers(values.data_type(), n_views)?)?
        }
        // Older versions have one buffer more.
        D::Union(..) => return None,
        _ => 2,
    })
}

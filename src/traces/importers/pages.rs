//! Several rows in one document: a list, or an answer of an API with a list.

use crate::traces::coverage::count;
use crate::traces::importers::importer::{Importer, RowFault, wrong};
use crate::traces::sink::Sink;
use crate::traces::value::Value;

/// Reads all rows of a list, also those after a bad one. Bad rows after the first are counted here.
///
/// # Errors
/// The first bad row, with its number; or a record that cannot be stored.
pub(in crate::traces) fn read_list<'a>(
    rows: &[Value<'a>],
    sink: &mut Sink<'_>,
    read: impl Fn(&Value<'a>, &mut Sink<'_>) -> Result<(), RowFault>,
) -> Result<(), RowFault> {
    let mut first = None;
    sink.coverage.n_rows += (rows.len() as u64).saturating_sub(1);
    for (number, row) in (1..).zip(rows) {
        match read(row, sink) {
            Ok(()) => {}
            Err(RowFault::Storage(error)) => return Err(RowFault::Storage(error)),
            Err(RowFault::Value { key, expected, found }) if first.is_none() => {
                let found = format!("{found} in row {number} of the list");
                first = Some(RowFault::Value { key, expected, found });
            }
            Err(RowFault::Value { key, expected, .. }) => {
                count(&mut sink.coverage.bad_rows, &RowFault::reason(&key, expected), 1);
            }
        }
    }
    first.map_or(Ok(()), Err)
}

/// Reads the rows that an answer has in a list, each by the importer that its keys fit.
///
/// # Errors
/// There is no such list, or those of [`read_list`].
pub(super) fn read_page(
    importers: &[Importer],
    key: &'static str,
    page: &Value<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), RowFault> {
    let list = page.get(key).parsed();
    let Value::List(rows) = &*list else {
        return Err(wrong(key, "a list of rows", &list));
    };
    read_list(rows, sink, |row, sink| {
        let has = |key: &str| row.keys().any(|known| known == key);
        match importers.iter().find(|importer| (importer.is_kind)(&has)) {
            Some(importer) => (importer.read)(row, sink),
            None => Err(wrong(key, "rows of traces", row)),
        }
    })
}

//! Assignments in PostgreSQL's binary COPY format: encoding and decoding.

use std::io;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::layer::LayerRows;

/// The columns in sending order. The load's number is a default of the table.
pub(super) const COLUMNS: &str = "tenant_id, user_id, layer_id, eligible, score";

const N_COLUMNS: i16 = 5;

/// The header of the format: signature, no flags, no extension.
pub(super) const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The trailer of the format: a field count of -1.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Appends the rows of `range` to `bytes`.
///
/// # Errors
/// An id with a zero byte or of 2 GB or more, which PostgreSQL cannot hold.
pub(super) fn encode(rows: &LayerRows, range: Range<usize>, path: &Path, bytes: &mut Vec<u8>) -> Result<()> {
    let text = |bytes: &mut Vec<u8>, text: &str| -> Result<()> {
        if text.as_bytes().contains(&0) {
            return Err(Error::in_file(
                path,
                format!("expected ids that PostgreSQL can hold, found a zero byte in {text:?}"),
            ));
        }
        let length = i32::try_from(text.len())
            .map_err(|_| Error::in_file(path, "expected ids below 2 GB, found a longer one"))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
        Ok(())
    };
    for row in range {
        bytes.extend_from_slice(&N_COLUMNS.to_be_bytes());
        text(bytes, rows.tenant(row))?;
        text(bytes, rows.ids.value(row))?;
        text(bytes, rows.layers.value(row))?;
        bytes.extend_from_slice(&1_i32.to_be_bytes());
        bytes.push(u8::from(rows.eligible.value(row)));
        bytes.extend_from_slice(&4_i32.to_be_bytes());
        bytes.extend_from_slice(&score(rows.scores[row]).to_be_bytes());
    }
    Ok(())
}

/// Converts a score in units of 0.0001 to the column's type.
fn score(ten_thousandths: u16) -> f32 {
    f32::from(ten_thousandths) / 10_000.0
}

/// A hash of the parts of a row that can change: layer, eligibility and score.
pub(super) fn value_of(rows: &LayerRows, row: usize) -> u64 {
    value(
        rows.layers.value(row).as_bytes(),
        rows.eligible.value(row),
        score(rows.scores[row]),
    )
}

fn value(layer: &[u8], eligible: bool, score: f32) -> u64 {
    let rest = u64::from(score.to_bits()) << 1 | u64::from(eligible);
    crate::base::hash::join(crate::base::hash::hash_id(layer), rest)
}

/// A hash of a user's tenant and id.
pub(super) fn key(tenant: &[u8], user: &[u8]) -> u64 {
    crate::base::hash::join(
        crate::base::hash::hash_id(tenant),
        crate::base::hash::hash_id(user),
    )
}

/// The largest field that is taken from a server, in bytes. Ids of users are far shorter.
const MAX_FIELD: usize = 1 << 20;

/// Decodes rows from the server, and passes the key and the value of each to `on_row`.
pub(super) fn decode(mut from: impl Read, on_row: &mut dyn FnMut(u64, u64)) -> io::Result<()> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut header = [0; 19];
    from.read_exact(&mut header)?;
    if header != HEADER {
        return Err(broken("another form of COPY"));
    }
    let mut fields: [Vec<u8>; N_COLUMNS as usize] = Default::default();
    loop {
        let mut count = [0; 2];
        from.read_exact(&mut count)?;
        match i16::from_be_bytes(count) {
            -1 => return Ok(()),
            N_COLUMNS => {}
            _ => return Err(broken("a row with other columns")),
        }
        for field in &mut fields {
            let mut length = [0; 4];
            from.read_exact(&mut length)?;
            let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| broken("a null"))?;
            if length > MAX_FIELD {
                return Err(broken("a field that is too long"));
            }
            field.resize(length, 0);
            from.read_exact(field)?;
        }
        let [tenant, user, layer, eligible, score] = &fields;
        let score: [u8; 4] = score
            .as_slice()
            .try_into()
            .map_err(|_| broken("a score of another size"))?;
        on_row(
            key(tenant, user),
            value(layer, eligible.first() == Some(&1), f32::from_be_bytes(score)),
        );
    }
}

#[cfg(test)]
mod tests;

//! Tests of COPY rows that are decoded again, and of rows that are refused.

use super::*;

type Row<'a> = (&'a str, &'a str, &'a str, bool, f32);

fn bytes_of(rows: &[Row<'_>]) -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    for (tenant, user, layer, eligible, score) in rows {
        bytes.extend_from_slice(&N_COLUMNS.to_be_bytes());
        let score = score.to_be_bytes();
        let eligible = [u8::from(*eligible)];
        for field in [
            tenant.as_bytes(),
            user.as_bytes(),
            layer.as_bytes(),
            &eligible,
            &score,
        ] {
            bytes.extend_from_slice(&(field.len() as i32).to_be_bytes());
            bytes.extend_from_slice(field);
        }
    }
    bytes.extend_from_slice(&TRAILER);
    bytes
}

fn decoded(bytes: &[u8]) -> Result<Vec<(u64, u64)>, String> {
    let mut rows = Vec::new();
    decode(bytes, &mut |key, value| rows.push((key, value))).map_err(|error| error.to_string())?;
    Ok(rows)
}

#[test]
fn rows_come_back_as_keys_and_values() {
    let check = |rows: &[Row<'_>]| {
        let expected: Vec<(u64, u64)> = rows
            .iter()
            .map(|(tenant, user, layer, eligible, score)| {
                (
                    key(tenant.as_bytes(), user.as_bytes()),
                    value(layer.as_bytes(), *eligible, *score),
                )
            })
            .collect();
        assert_eq!(decoded(&bytes_of(rows)), Ok(expected), "{rows:?}");
    };
    check(&[]);
    check(&[("t", "u", "early", true, 0.5)]);
    check(&[("", "", "", false, 0.0), ("t", "a long id", "vip", true, 1.0)]);
}

#[test]
fn broken_rows_are_refused() {
    let check = |change: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut bytes = bytes_of(&[("t", "u", "early", true, 0.5)]);
        change(&mut bytes);
        let error = decoded(&bytes).unwrap_err();
        assert!(error.contains(expected), "expected \"{expected}\", found {error}");
    };
    check(&|bytes| bytes[0] = b'X', "another form of COPY");
    check(&|bytes| bytes[20] = 4, "a row with other columns");
    check(&|bytes| bytes[21..25].fill(0xff), "a null");
    let score = |bytes: &[u8]| bytes.len() - TRAILER.len() - 8;
    check(
        &|bytes| {
            let at = score(bytes);
            bytes[at + 3] = 2;
        },
        "a score of another size",
    );
    for n_lost in 1..=2 {
        check(&|bytes| bytes.truncate(bytes.len() - n_lost), "fill");
    }
    check(&|bytes| bytes.truncate(19), "fill");
    check(&|bytes| bytes.clear(), "fill");
}

#[test]
fn every_field_of_a_user_changes_the_value_and_no_other() {
    let same = value(b"early", true, 0.5);
    assert_eq!(value(b"early", true, 0.5), same);
    for other in [
        value(b"vip", true, 0.5),
        value(b"early", false, 0.5),
        value(b"early", true, 0.5001),
        value(b"", true, 0.5),
    ] {
        assert_ne!(other, same);
    }
    assert_ne!(key(b"a", b"bc"), key(b"ab", b"c"));
    assert_ne!(key(b"a", b"b"), key(b"b", b"a"));
}

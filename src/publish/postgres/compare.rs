//! Counts of users that differ. Each pass reads both tables and holds a part of the users in
//! memory.

use hashbrown::HashMap;
use postgres::GenericClient;
use std::io::BufReader;

use crate::base::error::{Error, Result};
use crate::base::progress::Progress;
use crate::layer::LayerFileReader;
use crate::publish::postgres::assignments::table_of;
use crate::publish::postgres::connect::Server;
use crate::publish::postgres::copy;
use crate::publish::target::TargetUsers;
use crate::publish::timer::Timer;

/// The number of users per pass. At 16 bytes each in a hash table, they need at most 300 MB.
const USERS_A_PASS: u64 = 8 << 20;

/// Compares a load with a layer table, user by user, by 64-bit hashes.
pub(super) fn compare(
    server: &Server,
    client: &mut impl GenericClient,
    load_id: i32,
    table: &LayerFileReader<'_>,
    timer: &Timer,
    progress: &Progress,
) -> Result<TargetUsers> {
    let n_passes = table.n_rows().div_ceil(USERS_A_PASS).max(1);
    let bar = progress.rows("compare", Some(table.n_rows() * n_passes));
    let mut counts = TargetUsers {
        n_users: table.n_rows(),
        ..TargetUsers::default()
    };
    for pass in 0..n_passes {
        let mut desired: HashMap<u64, u64> = HashMap::new();
        table.read_all(|rows| {
            for row in 0..rows.len() {
                let key = copy::key(rows.tenant(row).as_bytes(), rows.ids.value(row).as_bytes());
                if key % n_passes == pass {
                    desired.insert(key, copy::value_of(rows, row));
                }
            }
            bar.advance(rows.len() as u64);
            timer.answered();
            Ok(())
        })?;
        let (mut n_changed, mut n_read) = (0, 0_u64);
        let sql = format!(
            "copy (select {} from {}) to stdout (format binary)",
            copy::COLUMNS,
            table_of(load_id)
        );
        let reader = client
            .copy_out(&sql)
            .map_err(|error| server.failed("expected to read the assignments", &error))?;
        let read = copy::decode(BufReader::with_capacity(1 << 18, reader), &mut |key, value| {
            n_read += 1;
            if n_read.is_multiple_of(65_536) {
                timer.answered();
            }
            if key % n_passes == pass {
                match desired.remove(&key) {
                    Some(other) => n_changed += u64::from(other != value),
                    None => counts.n_gone += 1,
                }
            }
        });
        read.map_err(|error| {
            Error::target(
                &server.address,
                format!("expected to read the assignments, found: {error}"),
            )
        })?;
        counts.n_written += n_changed + desired.len() as u64;
    }
    Ok(counts)
}

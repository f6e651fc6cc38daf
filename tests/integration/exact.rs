//! Scores a million random and adversarial users with the formula of the reference policy
//! (docs/REFERENCE_POLICY.md#weights) in Python. Every score and layer must be equal.

use arrow_array::{ArrayRef, Float64Array, StringArray};
use parquet::file::properties::WriterProperties;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    fmt::Write as _,
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use crate::{
    layer_parquet::{rows, write},
    support::{ok, root, text},
};

const N_USERS: usize = 1_000_000;
const AS_OF_SECS: f64 = 1_779_667_200.0;

/// Draws a value: on a grid of multiples of `grid`, next to it, at a limit of the range, far out of
/// the range, or anywhere in it. `None` is a missing value.
fn draw(rng: &mut ChaCha8Rng, full: f64, grid: f64) -> Option<f64> {
    let on_grid = (rng.random_range(0..=20_000) as f64 / 10_000.0 * full / grid).round() * grid;
    Some(match rng.random_range(0..100) {
        0..3 => return None,
        3..30 => rng.random_range(-0.05..1.1) * full,
        30..80 => on_grid,
        80..85 => on_grid.next_up(),
        85..90 => on_grid.next_down(),
        90..94 => full,
        94..96 => 0.0,
        96 => -0.0,
        97 => f64::MIN_POSITIVE * rng.random_range(0.0..4.0),
        98 => rng.random_range(-1.0..1.0) * 1e300,
        _ => -full * rng.random_range(0.0..2.0),
    })
}

#[test]
fn a_million_adversarial_users_score_as_in_python() {
    let dir = tempfile::tempdir().unwrap();
    let (users, out) = (
        dir.path().join("users.parquet"),
        dir.path().join("layers.parquet"),
    );
    let mut rng = ChaCha8Rng::seed_from_u64(20_260_525);
    let mut columns: [Vec<Option<f64>>; 4] = std::array::from_fn(|_| Vec::with_capacity(N_USERS));
    let mut csv = String::from("last_use_time,use_count,user_value,accept_score\n");
    for _ in 0..N_USERS {
        // One row in ten uses a coarse grid in all columns, so that sums are exact halves of a
        // ten-thousandth.
        let fine = if rng.random_bool(0.1) { 10.0 } else { 1.0 };
        let mut user = [
            draw(&mut rng, 2_592_000.0, 64.8 * fine).map(|ago| AS_OF_SECS - ago.clamp(-1e10, 1e10)),
            draw(&mut rng, 100.0, 0.25 * fine),
            draw(&mut rng, 100_000.0, 12.5 * fine),
            draw(&mut rng, 10.0, 0.0625 * fine),
        ];
        if rng.random_bool(0.01) {
            user = [None; 4];
        }
        let shown = user.map(|value| value.map_or_else(String::new, |value| format!("{value:e}")));
        writeln!(csv, "{}", shown.join(",")).unwrap();
        columns
            .iter_mut()
            .zip(user)
            .for_each(|(column, value)| column.push(value));
    }
    let [last, count, value, accept] =
        columns.map(|column| -> ArrayRef { Arc::new(Float64Array::from(column)) });
    let ids: ArrayRef = Arc::new(
        (0..N_USERS)
            .map(|user| Some(user.to_string()))
            .collect::<StringArray>(),
    );
    let columns = vec![
        ("user_id", ids),
        ("last_use_time", last),
        ("use_count", count),
        ("user_value", value),
        ("accept_score", accept),
    ];
    write(
        &users,
        columns,
        WriterProperties::builder()
            .set_max_row_group_row_count(Some(100_000))
            .build(),
    );
    ok(&[
        "layer",
        "--users",
        text(&users),
        "--as-of",
        "2026-05-25",
        "--out",
        text(&out),
    ]);

    let mut python = Command::new("python3")
        .arg(root().join("tests/integration/article.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed to run the formula of the reference policy");
    let mut stdin = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(csv.as_bytes()).unwrap());
    let expected = String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap();
    writer.join().unwrap();

    let found = rows(&out);
    let mut n_layers = std::collections::BTreeMap::new();
    assert_eq!((found.len(), expected.lines().count()), (N_USERS, N_USERS));
    for (found, expected) in found.iter().zip(expected.lines()) {
        let (score, layer) = expected.split_once(' ').unwrap();
        let score = (score.parse::<f64>().unwrap() * 1e4).round() as u16;
        assert_eq!((found.1, found.2.as_str()), (score, layer), "user {}", found.0);
        *n_layers.entry(layer.to_owned()).or_insert(0) += 1;
    }
    assert!(
        n_layers.len() == 4 && n_layers.values().all(|n| *n > 10_000),
        "{n_layers:?}"
    );
}

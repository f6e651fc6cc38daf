//! Tests of generations and of the records of killed runs, without a server.

use super::*;

fn generation(generation: u64, since: u64) -> Generation {
    Generation { generation, since }
}

fn writing(generation: u64, since: u64, digest: &str) -> Writing {
    Writing {
        generation,
        since,
        begun: 1_780_000_000_000_000,
        layers_digest: digest.to_owned(),
    }
}

#[test]
fn a_table_is_written_above_all_that_may_be_there() {
    let none = generation(0, 0);
    let cases = [
        // An empty server gets a full table.
        (none, None, false, generation(1, 1)),
        // When only changed users are written, entries in force stay valid.
        (generation(5, 2), None, true, generation(6, 2)),
        // When all users are written, older entries become void.
        (generation(5, 2), None, false, generation(6, 6)),
        // A killed run of the same table is resumed, full or not.
        (
            generation(5, 2),
            Some(writing(6, 2, "d")),
            false,
            generation(6, 2),
        ),
        (
            generation(5, 2),
            Some(writing(6, 6, "d")),
            false,
            generation(6, 6),
        ),
        // A killed run of another table is not resumed, and its entries are void.
        (
            generation(5, 2),
            Some(writing(6, 2, "x")),
            false,
            generation(7, 7),
        ),
        // A killed run at or below the generation in force is not resumed.
        (
            generation(6, 2),
            Some(writing(6, 2, "d")),
            false,
            generation(7, 7),
        ),
        (
            generation(6, 2),
            Some(writing(3, 3, "d")),
            false,
            generation(7, 7),
        ),
    ];
    for (in_force, left, only_changed, expected) in cases {
        let found = next_generation(in_force, left.as_ref(), "d", only_changed);
        assert_eq!(found, expected, "{in_force:?} {left:?} {only_changed}");
        assert!(found.generation > in_force.generation);
        assert!(found.since == in_force.since || found.is_full() || left.is_some());
    }
}

#[test]
fn what_a_killed_run_leaves_is_read_as_it_was_written() {
    for left in [
        writing(1, 1, "blake3:00"),
        writing(1 << 62, 7, ""),
        writing(3, 2, "two words"),
    ] {
        assert_eq!(Writing::parse(&left.to_text()), Some(left));
    }
    for text in [
        "",
        "1",
        "1 1 1",
        "1 1 x d",
        "-1 1 1 d",
        "1.5 1 1 d",
        "1 1 9223372036854775808 d",
        "1 2 1 d",
        "4611686018427387905 1 1 d",
        "18446744073709551615 1 1 d",
        "18446744073709551616 1 1 d",
    ] {
        assert_eq!(Writing::parse(text), None, "{text}");
    }
}

#[test]
fn entries_hold_from_since_to_their_generation() {
    let layer = |generation: Generation, value: &str| {
        let assignment = generation.assignment(value)?;
        Some(format!("{} {}", assignment.layer, assignment.is_eligible))
    };
    let cases = [
        ("5:early:1", generation(5, 1), Some("early true")),
        ("5:early:0", generation(9, 5), Some("early false")),
        // The newest entry at or below the generation is valid.
        ("6:vip:1|5:early:1", generation(5, 1), Some("early true")),
        ("6:vip:1|5:early:1", generation(6, 1), Some("vip true")),
        // An entry older than `since` is void.
        ("5:early:1", generation(7, 6), None),
        // A tombstone hides older entries.
        ("6::0|5:early:1", generation(6, 1), None),
        ("6::0|5:early:1", generation(5, 1), Some("early true")),
        // Values in another format are ignored.
        ("", generation(5, 1), None),
        ("early", generation(5, 1), None),
        ("x:early:1", generation(5, 1), None),
    ];
    for (value, at, expected) in cases {
        assert_eq!(layer(at, value).as_deref(), expected, "{value} {at:?}");
    }
}

#[test]
fn a_full_table_makes_older_entries_void() {
    assert!(Generation::full(4).is_full());
    assert!(!generation(4, 3).is_full());
    assert!(Generation::full(4).assignment("3:early:1").is_none());
    assert!(Generation::full(4).assignment("4:early:1").is_some());
}

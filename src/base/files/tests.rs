//! Tests that a failed or killed writer leaves the previous files and folders unchanged.

use super::*;
use std::os::unix::fs::symlink;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Asserts that a result is an error with this text, or is a success.
fn expect<T>(found: Result<T>, expected: Option<&str>, case: &str) {
    match (found, expected) {
        (Ok(_), None) => {}
        (Err(error), Some(text)) => assert!(error.to_string().contains(text), "{case}: {error}"),
        (Ok(_), Some(text)) => panic!("{case}: expected an error with \"{text}\""),
        (Err(error), None) => panic!("{case}: {error}"),
    }
}

#[test]
fn a_file_is_whole_or_as_it_was() {
    let check = |before: Option<&str>, is_failing: bool, expected: Option<&str>| {
        let dir = folder();
        let path = dir.path().join("out.json");
        if let Some(before) = before {
            fs::write(&path, before).unwrap();
        }
        let found = write_file(&path, |file| {
            // More than the buffer, so that some bytes reach the disk before the failure.
            file.write_all(&vec![b'x'; 1 << 19]).unwrap();
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
            if is_failing {
                Err(Error::usage("no more"))
            } else {
                Ok(())
            }
        });
        expect(found, is_failing.then_some("no more"), "write");
        let text = fs::read_to_string(&path).ok();
        assert_eq!(text.as_deref(), expected, "before {before:?}");
        let there: &[&str] = if expected.is_some() { &["out.json"] } else { &[] };
        assert_eq!(
            names(dir.path()),
            there,
            "before {before:?}, failing {is_failing}"
        );
    };
    let whole = "x".repeat(1 << 19);
    check(None, false, Some(&whole));
    check(Some("old"), false, Some(&whole));
    check(Some("old"), true, Some("old"));
    check(Some(""), true, Some(""));
    check(None, true, None);
}

#[test]
fn a_file_takes_over_what_a_killed_job_left() {
    let dir = folder();
    let path = dir.path().join("out.json");
    for left in [
        ".out.json.tmp.lock",
        ".out.json.0123456789abcdef.tmp",
        ".out.json.mine.tmp",
    ] {
        fs::write(dir.path().join(left), "far more than what follows").unwrap();
    }
    write_bytes(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(dir.path()), [".out.json.mine.tmp", "out.json"]);
}

#[test]
fn a_second_writer_of_a_file_is_refused() {
    let dir = folder();
    let path = dir.path().join("out.json");
    write_file(&path, |file| {
        expect(
            write_bytes(&path, b"second"),
            Some("another sluice process is writing this output now"),
            "second",
        );
        let there = names(dir.path());
        assert_eq!(there.len(), 2, "{there:?}");
        assert_eq!(there[1], ".out.json.tmp.lock");
        file.write_all(b"first").or_unwritable(&path)
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"first");
    write_bytes(&path, b"third").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"third");
    assert_eq!(names(dir.path()), ["out.json"]);
}

#[test]
fn a_file_makes_its_folders_but_replaces_none() {
    let dir = folder();
    write_bytes(&dir.path().join("a/b/c.txt"), b"").unwrap();
    assert_eq!(fs::read(dir.path().join("a/b/c.txt")).unwrap(), b"");
    expect(
        write_bytes(&dir.path().join("a"), b"x"),
        Some("found a folder"),
        "onto a folder",
    );
    expect(
        write_bytes(&dir.path().join("a/b/c.txt/d"), b"x"),
        Some("c.txt"),
        "below a file",
    );
    assert_eq!(names(&dir.path().join("a/b")), ["c.txt"]);
}

const MARKER: &str = r#"{"schema": "sluice.test/1", "files": {"a.txt": {}, "sub/b.txt": {}}}"#;

#[test]
fn a_staged_folder_takes_its_place_in_one_step() {
    let dir = folder();
    let target = dir.path().join("deep/out");
    let staged = StagedFolder::begin(&target, "m.json").unwrap();
    fs::write(staged.path().join("m.json"), MARKER).unwrap();
    fs::write(staged.path().join("a.txt"), "1").unwrap();
    assert!(!target.exists());
    staged.commit().unwrap();
    assert_eq!(names(&target), ["a.txt", "m.json"]);
    // Only the lock file stays beside the folder.
    assert_eq!(names(&dir.path().join("deep")), [".out.lock", "out"]);

    let staged = StagedFolder::begin(&target, "m.json").unwrap();
    fs::write(staged.path().join("m.json"), "{}").unwrap();
    assert_eq!(fs::read_to_string(target.join("m.json")).unwrap(), MARKER);
    staged.commit().unwrap();
    assert_eq!(names(&target), ["m.json"]);
    assert_eq!(fs::read_to_string(target.join("m.json")).unwrap(), "{}");
    assert_eq!(names(&dir.path().join("deep")), [".out.lock", "out"]);
}

#[test]
fn a_staged_folder_that_is_not_committed_vanishes() {
    let dir = folder();
    let target = dir.path().join("out");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("m.json"), MARKER).unwrap();
    fs::create_dir(dir.path().join(".out.partial")).unwrap();
    fs::write(dir.path().join(".out.partial/left"), "by a killed job").unwrap();
    let staged = StagedFolder::begin(&target, "m.json").unwrap();
    assert!(names(staged.path()).is_empty());
    fs::write(staged.path().join("a.txt"), "1").unwrap();
    drop(staged);
    assert_eq!(names(&target), ["m.json"]);
    assert_eq!(names(dir.path()), [".out.lock", "out"]);
}

#[test]
fn a_staged_folder_replaces_only_what_its_marker_lists() {
    let check = |files: &[(&str, &str)], expected: Option<&str>| {
        let dir = folder();
        let target = dir.path().join("out");
        for (name, text) in files {
            write_bytes(&target.join(name), text.as_bytes()).unwrap();
        }
        expect(
            StagedFolder::begin(&target, "m.json"),
            expected,
            &format!("{files:?}"),
        );
        for (name, text) in files {
            assert_eq!(fs::read_to_string(target.join(name)).unwrap(), *text);
        }
    };
    check(&[], None);
    check(&[("m.json", MARKER)], None);
    check(&[("m.json", MARKER), ("a.txt", ""), ("sub/b.txt", "")], None);
    check(&[("m.json", MARKER), ("mine.txt", "")], Some("found mine.txt"));
    check(&[("m.json", MARKER), ("b.txt", "")], Some("found b.txt"));
    check(&[("m.json", MARKER), ("sub/a.txt", "")], Some("found sub/a.txt"));
    check(&[("a.txt", "")], Some("found a.txt"));
    check(&[("m.json", "{")], Some("found m.json"));
    check(&[("m.json", "null")], Some("found m.json"));
    check(&[("m.json", r#"{"schema": "other/1"}"#)], Some("found m.json"));
    check(&[("m.json", r#"{"files": {}}"#)], Some("found m.json"));
    check(&[("n.json", MARKER)], Some("found n.json"));
}

#[test]
fn a_staged_folder_needs_the_name_of_a_folder() {
    let dir = folder();
    fs::write(dir.path().join("file"), "x").unwrap();
    let check = |target: &Path, expected: &str| {
        expect(
            StagedFolder::begin(target, "m.json"),
            Some(expected),
            &target.display().to_string(),
        );
    };
    check(Path::new(""), "to name a folder");
    check(Path::new("/"), "to name a folder");
    check(Path::new(".."), "to name a folder");
    check(&dir.path().join("file"), "found a file");
    assert_eq!(names(dir.path()), ["file"]);
}

#[test]
fn a_second_writer_of_a_folder_is_refused() {
    let dir = folder();
    let target = dir.path().join("out");
    let first = StagedFolder::begin(&target, "m.json").unwrap();
    fs::write(first.path().join("a.txt"), "1").unwrap();
    expect(
        StagedFolder::begin(&target, "m.json"),
        Some("another sluice process is writing this output now"),
        "second",
    );
    // The files of the first job still exist.
    first.commit().unwrap();
    assert_eq!(names(&target), ["a.txt"]);
    fs::remove_file(target.join("a.txt")).unwrap();
    StagedFolder::begin(&target, "m.json").unwrap();
}

#[test]
fn a_link_to_a_folder_stays_a_link() {
    let dir = folder();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let staged = StagedFolder::begin(&link, "m.json").unwrap();
    fs::write(staged.path().join("a.txt"), "1").unwrap();
    staged.commit().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(!fs::symlink_metadata(&real).unwrap().is_symlink());
    assert_eq!(names(&real), ["a.txt"]);
}

#[test]
fn temporary_files_and_locks_follow_no_link() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("victim"), "mine").unwrap();
    let check = |link: &str, write: &dyn Fn() -> Result<()>, expected: Option<&str>| {
        fs::remove_file(at(link)).ok();
        symlink(at("victim"), at(link)).unwrap();
        expect(write(), expected, link);
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "mine", "{link}");
        fs::remove_file(at(link)).ok();
    };
    let file = || write_bytes(&at("out"), b"new");
    let staged = || StagedFolder::begin(&at("dir"), "m.json")?.commit();
    check(".out.tmp", &file, None);
    check(".out.tmp.lock", &file, Some("a link at the place of the lock"));
    check("out", &file, None);
    check(".dir.lock", &staged, Some("a link at the place of the lock"));
    check(".dir.partial", &staged, None);
    check(".dir.old", &staged, None);
}

#[test]
fn a_pipe_in_place_of_a_lock_does_not_wait() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    for name in [".out.tmp.lock", ".dir.lock"] {
        assert!(
            std::process::Command::new("mkfifo")
                .arg(at(name))
                .status()
                .unwrap()
                .success()
        );
    }
    expect(write_bytes(&at("out"), b"x"), Some("a named pipe"), "file");
    expect(
        StagedFolder::begin(&at("dir"), "m.json"),
        Some("a named pipe"),
        "folder",
    );
}

#[test]
fn outputs_are_for_their_owner_to_write() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("open"), "x").unwrap();
    fs::set_permissions(at("open"), fs::Permissions::from_mode(0o666)).unwrap();
    write_bytes(&at("new/out"), b"x").unwrap();
    link_or_copy(&at("open"), &at("copy")).unwrap();
    symlink(at("open"), at("link")).unwrap();
    link_or_copy(&at("link"), &at("copy of link")).unwrap();
    for (name, most) in [
        ("new/out", 0o644),
        ("new", 0o755),
        ("copy", 0o644),
        ("copy of link", 0o644),
    ] {
        let found = fs::symlink_metadata(at(name)).unwrap();
        assert!(!found.is_symlink(), "{name}");
        assert_eq!(found.permissions().mode() & 0o7777 & !most, 0, "{name}");
    }
}

#[test]
fn a_folder_that_a_killed_job_moved_away_comes_back() {
    let dir = folder();
    let (target, old) = (dir.path().join("out"), dir.path().join(".out.old"));
    write_bytes(&old.join("m.json"), MARKER.as_bytes()).unwrap();
    drop(StagedFolder::begin(&target, "m.json").unwrap());
    assert_eq!(names(&target), ["m.json"]);
    // Behind a finished exchange the moved folder is of no use.
    write_bytes(&old.join("m.json"), b"older").unwrap();
    drop(StagedFolder::begin(&target, "m.json").unwrap());
    assert_eq!(fs::read_to_string(target.join("m.json")).unwrap(), MARKER);
    assert!(!old.exists());
    let staged = dir.path().join("staged");
    write_bytes(&staged.join("m.json"), b"new").unwrap();
    exchange_by_renames(&staged, &target).unwrap();
    assert_eq!(fs::read_to_string(target.join("m.json")).unwrap(), "new");
    expect(
        exchange_by_renames(&staged, &target).or_unwritable(&target),
        Some("No such file"),
        "nothing staged",
    );
    assert_eq!(names(&target), ["m.json"]);
}

#[test]
fn a_link_of_the_command_line_is_followed_if_it_leads_somewhere() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "x").unwrap();
    for (target, link) in [("file", "link"), ("none", "dangling"), ("circle", "circle")] {
        symlink(at(target), at(link)).unwrap();
    }
    let check = |name: &str, expected: Option<&str>| {
        let found = followed(&at(name));
        if let (Ok(found), Some(expected)) = (&found, expected) {
            assert_eq!(fs::canonicalize(at(expected)).unwrap_or(at(expected)), *found);
        }
        assert_eq!(found.is_ok(), expected.is_some(), "{name}");
    };
    check("file", Some("file"));
    check("new", Some("new"));
    check("link", Some("file"));
    check("dangling", None);
    check("circle", None);
    for name in ["dangling", "circle"] {
        expect(
            StagedFolder::begin(&at(name), "m.json"),
            Some("leads nowhere"),
            name,
        );
    }
}

#[test]
fn files_of_a_tree_are_listed_in_order() {
    let check = |files: &[&str], expected: &[&str]| {
        let dir = folder();
        for name in files {
            write_bytes(&dir.path().join(name), b"").unwrap();
        }
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(files_below(dir.path()).unwrap(), expected);
    };
    check(&[], &[]);
    check(&["a"], &["a"]);
    check(&["b", "a/z", ".c", "a/b/c"], &[".c", "a/b/c", "a/z", "b"]);
    let dir = folder();
    expect(files_below(&dir.path().join("none")), Some("none"), "no folder");
    // Two links to a folder within itself have 2^40 paths.
    let other = folder();
    fs::write(other.path().join("not-of-this-folder"), "x").unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    for (target, link) in [(Path::new("."), "a"), (Path::new("."), "b"), (other.path(), "c")] {
        symlink(target, dir.path().join(link)).unwrap();
    }
    symlink("file", dir.path().join("d")).unwrap();
    assert_eq!(
        files_below(dir.path()).unwrap(),
        [Path::new("d"), Path::new("file")]
    );
    // A link of others is never removed with an output.
    expect(
        StagedFolder::begin(dir.path(), "m.json"),
        Some("found a"),
        "links",
    );
}

#[test]
fn files_are_renamed_onto_files_only() {
    let check = |from: &str, to: &str, expected: Option<&str>| {
        let dir = folder();
        fs::write(dir.path().join("a"), "a").unwrap();
        fs::write(dir.path().join("b"), "b").unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        expect(
            rename(&dir.path().join(from), &dir.path().join(to)),
            expected,
            &format!("{from} to {to}"),
        );
        if expected.is_none() {
            assert_eq!(fs::read_to_string(dir.path().join(to)).unwrap(), from);
        }
        assert_eq!(dir.path().join("a").exists(), expected.is_some());
    };
    check("a", "b", None);
    check("a", "c", None);
    check("a", "folder/a", None);
    check("a", "folder", Some("found a folder"));
    check("a", "none/a", Some("none/a"));
    check("none", "b", Some("b"));
}

#[test]
fn a_file_is_removed_if_it_is_there() {
    let dir = folder();
    fs::write(dir.path().join("a"), "a").unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    let check = |name: &str, expected: Option<&str>| {
        expect(remove_if_there(&dir.path().join(name)), expected, name);
        assert_eq!(dir.path().join(name).exists(), expected.is_some(), "{name}");
    };
    check("a", None);
    check("a", None);
    check("none/a", None);
    check("folder", Some("folder"));
}

#[test]
fn a_copy_holds_the_same_bytes() {
    let dir = folder();
    let original = dir.path().join("a");
    fs::write(&original, "new").unwrap();
    fs::write(dir.path().join("old"), "before").unwrap();
    let check = |copy: &str| {
        link_or_copy(&original, &dir.path().join(copy)).unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join(copy)).unwrap(),
            "new",
            "{copy}"
        );
    };
    check("b");
    check("old");
    check("deep/er/b");
    expect(
        link_or_copy(&dir.path().join("none"), &dir.path().join("c")),
        Some("c"),
        "no original",
    );
}

#[test]
fn temporary_names_lie_beside_the_file() {
    let check = |path: &str, expected: &str| assert_eq!(beside(Path::new(path), "tmp"), Path::new(expected));
    check("a/b.json", "a/.b.json.tmp");
    check("/b", "/.b.tmp");
    check("b", "./.b.tmp");
    check("..", "./.out.tmp");
}

#[test]
fn texts_are_utf_8() {
    let dir = folder();
    let path = dir.path().join("a");
    let check = |bytes: &[u8], expected: Option<&str>| {
        fs::write(&path, bytes).unwrap();
        assert_eq!(read_text(&path).ok().as_deref(), expected);
    };
    check(b"", Some(""));
    check("é".as_bytes(), Some("é"));
    check(b"\xff", None);
}

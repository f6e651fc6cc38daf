//! Checks the structure of the code. A room is a top-level module. A room imports only rooms before
//! it, two files of one room never import each other in a circle, and a `mod.rs` holds only
//! documentation and exports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One import, or one path that starts with `crate`.
#[derive(Debug, Clone, PartialEq)]
struct Import {
    line: usize,
    path: Vec<String>,
    /// Whether this is a `pub use`.
    is_export: bool,
}

/// A file of the library with its module path: `replay::cube` is `["replay", "cube"]`.
#[derive(Debug)]
struct SourceFile {
    name: String,
    imports: Vec<Import>,
}

type Tree = BTreeMap<Vec<String>, SourceFile>;

/// The text with comments, strings and characters replaced by blanks, so that only code is left.
/// Line numbers do not change.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code: Vec<u8> = bytes.to_vec();
    let mut at = 0;
    let blank = |code: &mut Vec<u8>, from: usize, to: usize| {
        code[from..to]
            .iter_mut()
            .filter(|byte| **byte != b'\n')
            .for_each(|byte| *byte = b' ');
    };
    let find = |from: usize, what: &str| {
        let end = bytes[from.min(bytes.len())..]
            .windows(what.len())
            .position(|part| part == what.as_bytes());
        end.map_or(bytes.len(), |n| from + n)
    };
    while at < bytes.len() {
        let rest = &bytes[at..];
        let is_word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let hashes = rest.iter().skip(1).take_while(|byte| **byte == b'#').count();
        let end = if rest.starts_with(b"//") {
            find(at, "\n")
        } else if rest.starts_with(b"/*") {
            (find(at, "*/") + 2).min(bytes.len())
        } else if rest[0] == b'r' && !is_word_before && rest.get(1 + hashes) == Some(&b'"') {
            let close = format!("\"{}", "#".repeat(hashes));
            (find(at + 2 + hashes, &close) + close.len()).min(bytes.len())
        } else if rest[0] == b'"' {
            let mut end = at + 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += 1 + usize::from(bytes[end] == b'\\');
            }
            end + 1
        } else if rest[0] == b'\''
            && rest.len() > 2
            && (rest[1] == b'\\' || !rest[1].is_ascii() || rest[2] == b'\'')
        {
            find(at + 2 + usize::from(rest[1] == b'\\'), "'") + 1
        } else {
            at += 1;
            continue;
        };
        let end = end.min(bytes.len());
        blank(&mut code, at, end);
        at = end;
    }
    // Blanks replace the bytes of whole characters only, so the text is still UTF-8.
    String::from_utf8_lossy(&code).into_owned()
}

/// Expands an import tree to its paths: `a::{b, c::d}` becomes `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<String> {
    let Some((before, inside)) = tree.split_once('{') else {
        return vec![
            tree.split(" as ")
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .collect(),
        ];
    };
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let (mut depth, mut start, mut paths) = (0, 0, Vec::new());
    for (at, sign) in inside.char_indices().chain([(inside.len(), ',')]) {
        match sign {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inside[start..at].trim();
                if !part.is_empty() {
                    paths.extend(
                        expand(part)
                            .into_iter()
                            .map(|path| format!("{}{path}", before.trim())),
                    );
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    paths
}

/// The imports of a file, as paths below `crate`. `module` is the path of the file itself,
/// `children` the modules that it declares.
fn imports_of(code: &str, module: &[String], children: &BTreeSet<String>) -> Vec<Import> {
    let line_at = |at: usize| 1 + code[..at].matches('\n').count();
    let absolute = |path: &str| -> Option<Vec<String>> {
        let parts: Vec<String> = path.split("::").map(str::to_owned).collect();
        let n_up = parts.iter().take_while(|part| *part == "super").count();
        match parts[0].as_str() {
            "crate" => Some(parts[1..].to_vec()),
            "self" => Some([module, &parts[1..]].concat()),
            "super" => Some([&module[..module.len().checked_sub(n_up)?], &parts[n_up..]].concat()),
            first if children.contains(first) => Some([module, &parts].concat()),
            _ => None,
        }
    };
    let mut imports = Vec::new();
    let mut rest_of_code = code.to_owned();
    for (at, _) in code.match_indices("use ") {
        if at > 0 && !code.as_bytes()[at - 1].is_ascii_whitespace() {
            continue;
        }
        let end = code[at..].find(';').map_or(code.len(), |n| at + n);
        let is_export = code[..at]
            .rsplit('\n')
            .next()
            .is_some_and(|line| line.trim_start().starts_with("pub"));
        for path in expand(&code[at + 4..end]) {
            let path = absolute(&path);
            imports.extend(path.map(|path| Import {
                line: line_at(at),
                path,
                is_export,
            }));
        }
        rest_of_code.replace_range(at..end, &" ".repeat(end - at));
    }
    for (at, _) in rest_of_code.match_indices("crate::") {
        let before = &rest_of_code[..at];
        // Excludes parts of a longer path and visibilities such as `pub(in crate::publish)`.
        let is_part = before.ends_with([':', '_'])
            || before.ends_with(char::is_alphanumeric)
            || before.ends_with("in ");
        let end = rest_of_code[at..]
            .find(|sign: char| !(sign.is_alphanumeric() || sign == '_' || sign == ':'))
            .map_or(rest_of_code.len(), |n| at + n);
        if !is_part {
            let path = absolute(rest_of_code[at..end].trim_end_matches(':'));
            imports.extend(path.map(|path| Import {
                line: line_at(at),
                path,
                is_export: false,
            }));
        }
    }
    imports
}

/// The code before the unit tests of a file.
fn without_tests(code: &str) -> &str {
    code.find("#[cfg(test)]\nmod ").map_or(code, |at| &code[..at])
}

fn read_tree(src: &Path) -> Tree {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }
    let mut sources = Vec::new();
    for path in files {
        let name = path
            .strip_prefix(src)
            .unwrap()
            .with_extension("")
            .display()
            .to_string();
        if name != "lib" && name != "main" {
            sources.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    tree_of(&sources)
}

/// Builds the tree of files. Each source is a name such as `replay/cube` with its text.
fn tree_of(sources: &[(String, String)]) -> Tree {
    let module_of = |name: &str| -> Vec<String> {
        let parts: Vec<String> = name.split('/').map(str::to_owned).collect();
        if parts.last().is_some_and(|last| last == "mod") {
            parts[..parts.len() - 1].to_vec()
        } else {
            parts
        }
    };
    let modules: BTreeSet<Vec<String>> = sources.iter().map(|(name, _)| module_of(name)).collect();
    let mut tree = Tree::new();
    for (name, text) in sources {
        let module = module_of(name);
        let children = modules
            .iter()
            .filter(|other| other.len() == module.len() + 1 && other.starts_with(&module))
            .map(|other| other[module.len()].clone())
            .collect();
        let code = code_of(text);
        let imports = imports_of(without_tests(&code), &module, &children);
        let name = format!("src/{name}.rs");
        tree.insert(module, SourceFile { name, imports });
    }
    tree
}

/// The module of the file that a path names.
fn target<'a>(tree: &'a Tree, path: &'a [String]) -> Option<&'a [String]> {
    (1..=path.len())
        .rev()
        .map(|n| &path[..n])
        .find(|module| tree.contains_key(*module))
}

/// Imports of a room that comes later in the list of rooms.
fn upward(tree: &Tree, rooms: &[String]) -> Vec<String> {
    let place = |module: &[String]| rooms.iter().position(|room| Some(room) == module.first());
    let mut found = Vec::new();
    for (module, file) in tree {
        for import in &file.imports {
            if target(tree, &import.path).is_some_and(|other| place(other) > place(module)) {
                found.push(format!(
                    "{}:{}: {}",
                    file.name,
                    import.line,
                    import.path.join("::")
                ));
            }
        }
    }
    found
}

/// Import circles between files of one room, each as the list of its files. An import of a `mod.rs`
/// counts as imports of the files that it exports from.
fn circles(tree: &Tree) -> Vec<String> {
    let mut next: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
    for (module, file) in tree {
        for import in &file.imports {
            match target(tree, &import.path) {
                Some(other) if other != module && other.first() == module.first() => {
                    next.entry(module).or_default().insert(other);
                }
                _ => {}
            }
        }
    }
    let reaches = |from: &[String], to: &[String]| {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![from.to_vec()]);
        while let Some(file) = todo.pop() {
            for other in next.get(file.as_slice()).into_iter().flatten() {
                if *other == to {
                    return true;
                }
                if seen.insert(other.to_vec()) {
                    todo.push(other.to_vec());
                }
            }
        }
        false
    };
    let mut found = Vec::new();
    for (from, others) in &next {
        for to in others.iter().filter(|to| from < *to && reaches(to, from)) {
            found.push(format!("{} and {}", tree[*from].name, tree[*to].name));
        }
    }
    found
}

/// Statements of `mod.rs` files that are neither modules nor exports.
fn logic_in_faces(sources: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources.iter().filter(|(name, _)| name.ends_with("/mod")) {
        let code = code_of(text);
        // Attributes such as `#[cfg(...)]` are left out.
        let (first, rest) = code.split_once("#[").unwrap_or((&code, ""));
        let rest = rest
            .split("#[")
            .map(|part| part.split_once(']').map_or("", |(_, code)| code));
        let code: String = std::iter::once(first).chain(rest).collect();
        for statement in code.split(';') {
            let words: Vec<&str> = statement.split_whitespace().collect();
            let is_fine = matches!(
                words.as_slice(),
                [] | ["mod", _]
                    | ["pub" | "pub(crate)" | "pub(super)", "mod", _]
                    | ["pub" | "pub(crate)" | "pub(super)", "use", ..]
            );
            if !is_fine {
                found.push(format!("src/{name}.rs: {}", words.join(" ")));
            }
        }
    }
    found
}

/// Files of core rooms that use files, clocks or terminals.
fn rim_in_the_core(sources: &[(String, String)]) -> Vec<String> {
    const CORE: [&str; 9] = [
        "stats", "bucket", "metric", "scenario", "qos", "analysis", "ramp", "gate", "simulate",
    ];
    const RIM: [&str; 9] = [
        "std::fs",
        "File::open",
        "File::create",
        "read_to_string",
        "SystemTime::now",
        "Instant::now",
        "std::env",
        "stdout()",
        "stderr()",
    ];
    let mut found = Vec::new();
    for (name, text) in sources {
        let room = name.split('/').next().unwrap_or_default();
        let code = code_of(text);
        for word in RIM
            .iter()
            .filter(|word| CORE.contains(&room) && without_tests(&code).contains(**word))
        {
            found.push(format!("src/{name}.rs: {word}"));
        }
    }
    found
}

/// Files that open others by themselves. A named pipe or a device would make them wait for ever.
fn opened_without_care(sources: &[(String, String)]) -> Vec<String> {
    const OPENERS: [&str; 4] = [" File::open(", "(File::open(", "fs::read(", "fs::read_to_string("];
    // These open regular files for the others, read the kernel's files, or make files of their own.
    const GROUND: [&str; 2] = ["base/open", "base/memory"];
    let mut found = Vec::new();
    for (name, text) in sources {
        let code = code_of(text);
        let code = without_tests(&code);
        let is_test = GROUND.contains(&name.as_str()) || name.ends_with("/tests");
        for word in OPENERS.iter().filter(|word| !is_test && code.contains(**word)) {
            found.push(format!("src/{name}.rs: {}", word.trim_start_matches([' ', '('])));
        }
    }
    found
}

fn sources() -> (Tree, Vec<(String, String)>, Vec<String>) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let tree = read_tree(&src);
    let sources = tree
        .values()
        .map(|file| {
            let name = file
                .name
                .trim_start_matches("src/")
                .trim_end_matches(".rs")
                .to_owned();
            (
                name,
                fs::read_to_string(src.join(format!("{}.rs", &file.name[4..file.name.len() - 3]))).unwrap(),
            )
        })
        .collect();
    let lib = fs::read_to_string(src.join("lib.rs")).unwrap();
    let rooms = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
    (
        tree,
        sources,
        rooms.map(|room| room.trim_end_matches(';').to_owned()).collect(),
    )
}

#[test]
fn no_import_runs_up() {
    let (tree, _, rooms) = sources();
    assert!(
        rooms.len() > 15 && tree.len() > 200,
        "the tree was not read: {rooms:?}"
    );
    let found = upward(&tree, &rooms);
    assert!(
        found.is_empty(),
        "imports of a room that stands later in src/lib.rs:\n{}",
        found.join("\n")
    );
}

#[test]
fn no_two_files_of_a_room_import_each_other() {
    let found = circles(&sources().0);
    assert!(
        found.is_empty(),
        "circles of files; give what they share a file of its own:\n{}",
        found.join("\n")
    );
}

#[test]
fn a_face_holds_no_logic() {
    let found = logic_in_faces(&sources().1);
    assert!(found.is_empty(), "move it out of mod.rs:\n{}", found.join("\n"));
}

#[test]
fn the_core_reads_no_file_and_no_clock() {
    let found = rim_in_the_core(&sources().1);
    assert!(
        found.is_empty(),
        "take values instead, and read at the rim:\n{}",
        found.join("\n")
    );
}

#[test]
fn files_of_others_are_opened_with_care() {
    let found = opened_without_care(&sources().1);
    assert!(found.is_empty(), "use base::open instead:\n{}", found.join("\n"));
}

/// Each line of this invented library breaks one rule. The checks must find all of them.
#[test]
fn broken_rules_are_found() {
    let sources: Vec<(String, String)> = [
        ("low/mod", "//! Face.\n#[cfg(any(x, feature = \"y\"))]\nmod a;\nmod b;\npub use a::A;\nfn logic() {}\n"),
        ("low/a", "use crate::low::b::{B, C as D};\n// use crate::high::No;\nconst S: &str = \"crate::high::No\";\n"),
        ("low/b", "use super::a::A;\nfn f() {\n    crate::high::run();\n}\n"),
        ("high/mod", "mod x;\npub use x::run;\n"),
        ("high/x", "use crate::{high::X, low::A};\nfn r#run() { 'a'; }\n"),
        ("ramp/mod", "mod y;\n"),
        ("high/z", "fn f() { std::fs::read(x); open::regular(x); }\n"),
        ("ramp/y", "use std::fs;\n#[cfg(test)]\nmod tests { use crate::high::T; }\n"),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .to_vec();
    let tree = tree_of(&sources);
    let rooms = ["low", "ramp", "high"].map(str::to_owned);
    assert_eq!(upward(&tree, &rooms), ["src/low/b.rs:3: high::run"]);
    assert_eq!(
        circles(&tree),
        [
            "src/high/mod.rs and src/high/x.rs",
            "src/low/a.rs and src/low/b.rs"
        ]
    );
    assert_eq!(logic_in_faces(&sources), ["src/low/mod.rs: fn logic() {}"]);
    assert_eq!(rim_in_the_core(&sources), ["src/ramp/y.rs: std::fs"]);
    assert_eq!(opened_without_care(&sources), ["src/high/z.rs: fs::read("]);
}

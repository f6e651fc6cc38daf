//! Tests of the formats of tables: the same rows give the same results from every format, from
//! standard input, from nested columns and from the names of folders.

use arrow_array::RecordBatch;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::small::Small;
use crate::support::{arg, fails, ok, root, sluice, text};

const ABSENT: &str = "last_use_time,user_value,accept_score";

/// Assigns users to layers. Returns the users of the layer table that get the candidate.
fn layered(small: &Small, users: &str, more: &[&str]) -> String {
    let out = arg(small.path("l.parquet"));
    let scenario = arg(small.path("study.toml"));
    let mut args = vec![
        "layer",
        "--users",
        users,
        "--scenario",
        scenario,
        "--out",
        out,
        "--absent",
        ABSENT,
    ];
    args.extend(more);
    ok(&args);
    candidates(small)
}

fn candidates(small: &Small) -> String {
    let (scenario, layers) = (arg(small.path("study.toml")), arg(small.path("l.parquet")));
    ok(&[
        "who",
        "--scenario",
        scenario,
        "--layers",
        layers,
        "--at",
        "all=0.5",
        "--list",
    ])
}

/// Replays a log. Returns the cells of the cube.
fn replayed(small: &Small, traffic: &str, more: &[&str]) -> Vec<RecordBatch> {
    let (scenario, layers) = (arg(small.path("study.toml")), arg(small.path("l.parquet")));
    let out = arg(small.path("cube"));
    let mut args = vec![
        "replay",
        "--traffic",
        traffic,
        "--scenario",
        scenario,
        "--layers",
        layers,
        "--out",
        out,
    ];
    args.extend(more);
    ok(&args);
    cells(small)
}

fn cells(small: &Small) -> Vec<RecordBatch> {
    let file = fs::File::open(small.path("cube/cells.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    reader.map(Result::unwrap).collect()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    // Two frames, as parallel compressors write them.
    let (a, b) = text.split_at(text.len() / 2);
    [a, b]
        .map(|part| zstd::stream::encode_all(part, 1).unwrap())
        .concat()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// The rows of a CSV file as JSON objects, with all values as texts.
fn objects(csv: &str) -> Vec<String> {
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let object = |line: &str| {
        let pairs = names.iter().zip(line.split(','));
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name:?}: {value:?}"))
            .collect();
        format!("{{{}}}", pairs.join(", "))
    };
    lines.map(object).collect()
}

/// The rows of a CSV file as columns of texts, in batches.
fn batches(csv: &str) -> Vec<RecordBatch> {
    let names = csv.lines().next().unwrap().split(',');
    let fields = names.map(|name| arrow_schema::Field::new(name, arrow_schema::DataType::Utf8, true));
    let schema = Arc::new(arrow_schema::Schema::new(fields.collect::<Vec<_>>()));
    let reader = arrow_csv::ReaderBuilder::new(schema)
        .with_header(true)
        .with_batch_size(30);
    reader
        .build(csv.as_bytes())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// Writes a CSV file in every other format. Returns the names of the files, with the options that
/// read them.
fn write_all(small: &Small, stem: &str) -> Vec<(String, Vec<&'static str>)> {
    let csv = fs::read_to_string(small.path(&format!("{stem}.csv"))).unwrap();
    let at = |ending: &str| format!("{stem}-as.{ending}");
    let lines = objects(&csv).join("\n");
    let array = format!(" [\n{}\n] ", objects(&csv).join(",\n"));
    small.write(&at("tsv"), csv.replace(',', "\t"));
    small.write(&at("tab.gz"), gzip(csv.replace(',', "\t").as_bytes()));
    small.write(&at("csv.gz"), gzip(csv.as_bytes()));
    small.write(&at("csv.zst"), zstd(csv.as_bytes()));
    small.write(&at("mark.csv"), format!("\u{feff}{csv}"));
    small.write(&at("semicolons.csv"), csv.replace(',', ";"));
    small.write(&at("ndjson"), &lines);
    small.write(&at("lines.json"), &lines);
    small.write(&at("json"), &array);
    small.write(&at("json.zst"), zstd(array.as_bytes()));
    let batches = batches(&csv);
    let schema = batches[0].schema();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), None).unwrap();
    let mut file = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &schema).unwrap();
    let mut stream = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &schema).unwrap();
    for batch in &batches {
        writer.write(batch).unwrap();
        file.write(batch).unwrap();
        stream.write(batch).unwrap();
    }
    file.finish().unwrap();
    stream.finish().unwrap();
    small.write(&at("parquet"), writer.into_inner().unwrap());
    small.write(&at("ipc"), file.get_ref());
    small.write(&at("feather"), file.into_inner().unwrap());
    small.write(&at("arrows"), stream.get_ref());
    small.write(&at("stream.arrow"), stream.into_inner().unwrap());
    let plain = [
        "tsv",
        "tab.gz",
        "csv.gz",
        "csv.zst",
        "mark.csv",
        "ndjson",
        "lines.json",
        "json",
        "json.zst",
        "parquet",
        "ipc",
        "feather",
        "arrows",
        "stream.arrow",
    ];
    let mut files: Vec<(String, Vec<&str>)> = plain.iter().map(|ending| (at(ending), Vec::new())).collect();
    files.push((at("semicolons.csv"), vec!["--delimiter", ";"]));
    files
}

#[test]
fn the_same_rows_give_the_same_results_in_every_format() {
    let small = Small::new();
    let users = layered(&small, arg(small.path("users.csv")), &[]);
    assert!(users.lines().count() > 50, "{users}");
    let cube = replayed(&small, arg(small.path("traffic.csv")), &[]);
    for (name, options) in write_all(&small, "users") {
        assert_eq!(layered(&small, arg(small.path(&name)), &options), users, "{name}");
    }
    for (name, options) in write_all(&small, "traffic") {
        assert_eq!(replayed(&small, arg(small.path(&name)), &options), cube, "{name}");
    }
}

#[test]
fn standard_input_is_read_by_its_content() {
    let small = Small::new();
    let users = layered(&small, arg(small.path("users.csv")), &[]);
    let cube = replayed(&small, arg(small.path("traffic.csv")), &[]);
    let (out, layers) = (arg(small.path("l.parquet")), arg(small.path("l.parquet")));
    let (scenario, cube_dir) = (arg(small.path("study.toml")), arg(small.path("cube")));
    let piped = |args: &[&str], name: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(args)
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = if name.is_empty() {
            Vec::new()
        } else {
            fs::read(small.path(name)).unwrap()
        };
        // A program that refuses its input closes the pipe.
        child.stdin.take().unwrap().write_all(&input).ok();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let layer = [
        "layer",
        "--users",
        "-",
        "--scenario",
        scenario,
        "--out",
        out,
        "--absent",
        ABSENT,
    ];
    let replay = [
        "replay",
        "--traffic",
        "-",
        "--scenario",
        scenario,
        "--layers",
        layers,
        "--out",
        cube_dir,
    ];
    for (name, options) in write_all(&small, "users") {
        let args = [&layer[..], &options[..]].concat();
        let (code, stderr) = piped(&args, &name);
        assert_eq!(code, Some(0), "{name}: {stderr}");
        assert_eq!(candidates(&small), users, "{name}");
    }
    for (name, options) in write_all(&small, "traffic") {
        let args = [&replay[..], &options[..]].concat();
        let (code, stderr) = piped(&args, &name);
        assert_eq!(code, Some(0), "{name}: {stderr}");
        assert_eq!(cells(&small), cube, "{name}");
        let document = fs::read_to_string(small.path("cube/cube.json")).unwrap();
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["sources"][0]["name"], "-", "{name}");
    }
    let check = |name: &str, content: &[u8], expected: &str| {
        small.write(name, content);
        let (code, stderr) = piped(&layer, name);
        assert_eq!(code, Some(3), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    };
    check(
        "bad",
        b"user_id,use_count\na,x\n",
        "error: -: column `use_count`, row 1: expected a number",
    );
    check(
        "avro",
        b"Obj\x01\x04\0",
        "-: expected Parquet, Arrow, CSV or JSON, found Avro",
    );
    assert!(
        piped(&layer, "")
            .1
            .contains("expected rows on standard input, found nothing")
    );
}

#[test]
fn files_of_other_programs_are_read() {
    let small = Small::new();
    let users = layered(&small, arg(small.path("users.csv")), &[]);
    let nested = ["--column", "user_id=profile.user.id"];
    for (name, has_profile) in [
        ("pyarrow.feather", true),
        ("pyarrow.arrows", true),
        ("polars.arrow", true),
        ("polars-zstd.arrow", true),
        ("polars.parquet", true),
        ("duckdb.json", true),
        ("duckdb.ndjson.zst", true),
        ("duckdb.tsv", false),
    ] {
        let path = format!("tests/samples/tables/{name}");
        assert_eq!(layered(&small, &path, &[]), users, "{name}");
        if has_profile {
            assert_eq!(layered(&small, &path, &nested), users, "{name}");
        }
    }
    let check = |name: &str, column: &str, expected: &str| {
        let path = format!("tests/samples/tables/{name}");
        let out = arg(small.path("x.parquet"));
        let column = format!("user_id={column}");
        let args = [
            "layer",
            "--users",
            &path,
            "--as-of",
            "2026-05-25",
            "--out",
            out,
            "--absent",
            ABSENT,
            "--column",
            &column,
        ];
        let code = if expected.contains("--column") { 2 } else { 3 };
        let stderr = fails(&args, code);
        assert!(stderr.contains(expected), "{stderr}");
    };
    check(
        "polars.parquet",
        "profile",
        "column `profile`: expected one value in a row, found Struct",
    );
    check(
        "polars.arrow",
        "profile",
        "hint: name a value in it, such as profile.id",
    );
    check(
        "duckdb.json",
        "profile",
        "row 1, column `profile`: expected one value in a row, found an object",
    );
    check(
        "polars.parquet",
        "profile.user.name",
        "--column user_id=profile.user.name",
    );
}

#[test]
fn folders_are_columns_and_one_day_of_users_is_read() {
    let small = Small::new();
    let header = "user_id,use_count\n";
    let write = |folder: &str, name: &str, ids: &[&str]| {
        fs::create_dir_all(small.path(folder)).unwrap();
        let rows: String = ids.iter().map(|id| format!("{id},1\n")).collect();
        small.write(&format!("{folder}/{name}"), format!("{header}{rows}"));
    };
    write("u/dt=2026-05-24/country=CN", "a.csv", &["a", "b"]);
    write("u/dt=2026-05-25/country=CN", "a.csv", &["a", "b"]);
    write("u/dt=2026-05-25/country=DE%20x", "a.csv", &["c"]);
    small.write("u/dt=2026-05-25/_SUCCESS", "");
    small.write("u/dt=2026-05-25/notes.txt", "x");
    let (folder, out) = (arg(small.path("u")), arg(small.path("l.parquet")));
    let base = [
        "layer",
        "--as-of",
        "2026-05-25",
        "--out",
        out,
        "--absent",
        "last_use_time,user_value,accept_score,is_allow_gray",
    ];
    let stderr = fails(&[&base[..], &["--users", folder]].concat(), 3);
    assert!(
        stderr.contains(
            "expected the users of one day, found 2 days in folders `dt=`: 2026-05-24 to 2026-05-25"
        ),
        "{stderr}"
    );
    let glob = arg(small.path("u/dt=2026-05-25/**/*"));
    let output = sluice(
        &[
            &base[..],
            &["--users", glob, "--column", "tenant_id=country", "--json"],
        ]
        .concat(),
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("skipped 1 file of other formats (1 .txt): notes.txt"),
        "{stderr}"
    );
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["n_users"], 3, "{summary}");
    let layers = fs::File::open(small.path("l.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(layers)
        .unwrap()
        .build()
        .unwrap();
    let rows: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let shown = format!("{rows:?}");
    assert!(shown.contains("CN") && shown.contains("DE x"), "{shown}");
    // The newest day at or before as_of, from a scenario.
    small.edit("study.toml", |toml| {
        toml.replace("{ path = \"users.csv\" }", "{ path = \"u\", partition = \"latest\", absent = [\"last_use_time\", \"user_value\", \"accept_score\", \"is_allow_gray\"] }")
    });
    let scenario = arg(small.path("study.toml"));
    let n_users = |more: &[&str]| {
        let args = [
            &["layer", "--scenario", scenario, "--out", out, "--json"][..],
            more,
        ]
        .concat();
        let summary: serde_json::Value = serde_json::from_str(&ok(&args)).unwrap();
        summary["n_users"].as_u64().unwrap()
    };
    assert_eq!(n_users(&[]), 3);
    assert_eq!(n_users(&["--as-of", "2026-05-24T12:00:00Z"]), 2);
    let stderr = fails(
        &[
            "layer",
            "--scenario",
            scenario,
            "--out",
            out,
            "--as-of",
            "2026-05-23",
        ],
        3,
    );
    assert!(
        stderr.contains("expected a folder of a day at or before 2026-05-23"),
        "{stderr}"
    );
}

#[test]
fn days_of_traffic_are_all_read_and_a_folder_can_be_a_breakdown() {
    let small = Small::new();
    layered(&small, arg(small.path("users.csv")), &[]);
    let traffic = fs::read_to_string(small.path("traffic.csv")).unwrap();
    let (header, rows) = traffic.split_once('\n').unwrap();
    for (day, batch) in [("2026-05-25", "25T"), ("2026-05-26", "26T")] {
        let folder = format!("t/dt={day}");
        fs::create_dir_all(small.path(&folder)).unwrap();
        let rows: Vec<&str> = rows.lines().filter(|row| row.contains(batch)).collect();
        small.write(
            &format!("{folder}/a.csv"),
            format!("{header}\n{}\n", rows.join("\n")),
        );
    }
    let cube = replayed(&small, arg(small.path("traffic.csv")), &[]);
    assert_eq!(replayed(&small, arg(small.path("t")), &[]), cube);
    small.edit("study.toml", |toml| {
        format!("{toml}\n[analysis]\nbreakdowns = [\"dt\"]\n")
    });
    replayed(&small, arg(small.path("t")), &[]);
    let document = ok(&[
        "analyze",
        "--cube",
        arg(small.path("cube")),
        "--scenario",
        arg(small.path("study.toml")),
        "--out",
        arg(small.path("a.json")),
        "--breakdowns",
    ]);
    assert!(document.contains("2026-05-26"), "{document}");
}

#[test]
fn other_formats_and_encodings_are_named_with_a_remedy() {
    let small = Small::new();
    let check = |name: &str, content: &[u8], parts: &[&str]| {
        small.write(name, content);
        let out = arg(small.path("x.parquet"));
        let users = arg(small.path(name));
        let stderr = fails(
            &["layer", "--users", users, "--as-of", "2026-05-25", "--out", out],
            3,
        );
        assert!(stderr.len() < 2_000, "{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "{name}: {part}: {stderr}");
        }
    };
    let utf16: Vec<u8> = "\u{feff}user_id,x\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    check(
        "utf16.csv",
        &utf16,
        &["found UTF-16 (little-endian)", "iconv -f UTF-16 -t UTF-8"],
    );
    check(
        "gbk.csv",
        b"user_id,\xbc\xdb\xd6\xb5\n\xd3\xc3\xbb\xa7,1\n",
        &["found GB18030, or GBK", "iconv -f GB18030"],
    );
    check("a.avro", b"Obj\x01", &["found Avro", "read_avro('a.avro')"]);
    check("a.orc", b"ORC", &["found ORC", "pyarrow.orc"]);
    check("a.xlsx", b"PK\x03\x04", &["found an Excel workbook", "read_xlsx"]);
    check(
        "a.sqlite",
        b"SQLite format 3\0",
        &["found a SQLite database", "sqlite3 -header -csv"],
    );
    check("a.zip", b"PK\x03\x04", &["found a zip archive", "unzip 'a.zip'"]);
    check("a.dat", b"PAR1", &["found Parquet", "hint: name it a.parquet"]);
    check(
        "a.txt",
        b"user_id\n",
        &["expected a name that ends in .parquet, .arrow", "found `.txt`"],
    );
    check(
        "zipped.csv",
        b"\x1f\x8b\x08\0",
        &["expected text, found gzip", ".csv.gz"],
    );
    check(
        "semicolon.csv",
        b"user_id;use_count\na;1,5\n",
        &["found `;` between them", "--delimiter \";\""],
    );
    check(
        "one.json",
        b"{\"rows\": [{\"user_id\": \"a\"}]}",
        &["found one object with a list in `rows`", "jq '.rows'"],
    );
    check(
        "pretty.json",
        b"{\n \"user_id\": \"a\"\n}",
        &["line 1: expected a JSON object", "hint: a .json file is an array"],
    );
    check(
        "cut.json",
        b"[{\"user_id\": \"a\"}",
        &["row 2: expected `,` or `]`, found the end of the file"],
    );
    check(
        "feather1.feather",
        b"FEA1\0\0\0\0FEA1",
        &[
            "expected an Arrow file or stream, found Feather V1",
            "write_feather",
        ],
    );
    check(
        "cut.arrow",
        b"ARROW1\0\0abc",
        &["expected a complete Arrow file or stream"],
    );
}

#[test]
fn outputs_have_the_format_of_their_names() {
    let small = Small::new();
    let users = arg(small.path("users.csv"));
    for name in [
        "x.csv",
        "x.ndjson",
        "x.arrow",
        "x.xlsx",
        "x.json",
        "x.parquet.gz",
        "x.tsv",
    ] {
        let out = arg(small.path(name));
        let stderr = fails(
            &["layer", "--users", users, "--as-of", "2026-05-25", "--out", out],
            2,
        );
        assert!(
            stderr.contains("expected a name for a layer table, which is a Parquet file"),
            "{stderr}"
        );
        assert!(!small.path(name).exists());
    }
    layered(&small, users, &[]);
    let (scenario, layers) = (arg(small.path("study.toml")), arg(small.path("l.parquet")));
    for name in ["x.json", "x.tsv", "x"] {
        let args = [
            "who",
            "--scenario",
            scenario,
            "--layers",
            layers,
            "--at",
            "all=0.5",
            "--out",
            arg(small.path(name)),
        ];
        assert!(fails(&args, 2).contains("expected --out to end in .csv or .parquet"));
    }
    replayed(&small, arg(small.path("traffic.csv")), &[]);
    let args = [
        "analyze",
        "--cube",
        arg(small.path("cube")),
        "--scenario",
        scenario,
        "--out",
        arg(small.path("a.csv")),
    ];
    assert!(fails(&args, 2).contains("expected --out to end in .json"));
}

#[test]
fn hostile_tables_have_bounded_memory_and_clear_errors() {
    let small = Small::new();
    let deep = format!(
        "[{{\"user_id\": {}{}}}]",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    small.write("deep.json", deep);
    small.write("open.json", format!("[{{\"user_id\": {}", "[".repeat(100_000)));
    let long = std::iter::repeat_n(b'a', 1 << 26).collect::<Vec<u8>>();
    small.write("bomb.csv.zst", zstd(&long));
    let mut lying = fs::read(root().join("tests/samples/tables/pyarrow.arrows")).unwrap();
    // The length of the first message.
    lying[4..8].copy_from_slice(&i32::MAX.to_le_bytes());
    small.write("lying.arrows", &lying);
    let mut footer = fs::read(root().join("tests/samples/tables/polars.arrow")).unwrap();
    let end = footer.len() - 10;
    footer[end..end + 4].copy_from_slice(&i32::MAX.to_le_bytes());
    small.write("footer.arrow", &footer);
    let sample = fs::read(root().join("tests/samples/tables/polars-zstd.arrow")).unwrap();
    // Every byte of the metadata and of the compressed lengths is once the largest.
    for at in (0..sample.len()).step_by(23) {
        let mut broken = sample.clone();
        broken[at] = 0x7f;
        small.write("broken.arrow", &broken);
        let output = limited(&small, "broken.arrow");
        assert!(matches!(output.0, Some(0 | 3)), "byte {at}: {output:?}");
    }
    for (name, expected) in [
        ("deep.json", "expected one value in a row, found a list"),
        (
            "open.json",
            "expected the end of an object, found the end of the file",
        ),
        ("bomb.csv.zst", "expected at most 32MiB in a line or record"),
        ("lying.arrows", "a part beyond the end of the file"),
        ("footer.arrow", "a footer longer than the file"),
    ] {
        let (code, stderr) = limited(&small, name);
        assert_eq!(code, Some(3), "{name}: {stderr}");
        assert!(stderr.contains(expected), "{name}: {stderr}");
    }
}

/// Assigns users to layers within 2 GB of address space.
fn limited(small: &Small, name: &str) -> (Option<i32>, String) {
    let command = format!(
        "ulimit -v 2000000; exec {} --threads 1 layer --users '{}' --as-of 2026-05-25 --out '{}' --absent \
         {ABSENT},is_allow_gray,use_count",
        env!("CARGO_BIN_EXE_sluice"),
        text(&small.path(name)),
        text(&small.path("hostile.parquet")),
    );
    // `use_count` may be there, so it is declared absent only where the file lacks it.
    let command = if name.ends_with("arrow") {
        command.replace(",use_count", "")
    } else {
        command
    };
    let output = Command::new("sh")
        .args(["-c", &command])
        .current_dir(root())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

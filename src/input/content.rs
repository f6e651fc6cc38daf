//! The content of a file by its first bytes: formats, and encodings of text.

use std::io::Read;
use std::path::Path;

use crate::base::lines::BYTE_ORDER_MARK;
use crate::base::open;

/// Number of bytes that are looked at.
pub(super) const HEAD: usize = 1 << 16;

/// A format that the first bytes of a file show, or its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Parquet,
    Arrow,
    ArrowStream,
    Feather1,
    Gzip,
    Zstd,
    Avro,
    Orc,
    Excel,
    OldExcel,
    Sqlite,
    Zip,
}

/// A format with its name, its first bytes and the extensions of its files.
type Row = (Content, &'static str, &'static [u8], &'static [&'static str]);

const TABLE: [Row; 12] = [
    (Content::Parquet, "Parquet", b"PAR1", &[]),
    (Content::Arrow, "an Arrow file", b"ARROW1", &[]),
    (Content::ArrowStream, "an Arrow stream", b"\xff\xff\xff\xff", &[]),
    (Content::Feather1, "Feather V1", b"FEA1", &[]),
    (Content::Gzip, "gzip", b"\x1f\x8b", &[]),
    (Content::Zstd, "zstd", b"\x28\xb5\x2f\xfd", &[]),
    (Content::Avro, "Avro", b"Obj\x01", &["avro"]),
    (Content::Orc, "ORC", b"ORC", &["orc"]),
    // An archive with another name is no workbook, so the extension is looked at first.
    (
        Content::Excel,
        "an Excel workbook",
        b"PK\x03\x04",
        &["xlsx", "xlsm"],
    ),
    (
        Content::OldExcel,
        "an Excel workbook",
        b"\xd0\xcf\x11\xe0",
        &["xls"],
    ),
    (
        Content::Sqlite,
        "a SQLite database",
        b"SQLite format 3",
        &["sqlite", "sqlite3", "db"],
    ),
    (Content::Zip, "a zip archive", b"PK\x03\x04", &["zip"]),
];

impl Content {
    /// The format that the first bytes show. `None` for text, and for unknown bytes.
    pub(super) fn of_bytes(head: &[u8]) -> Option<Self> {
        // The bytes of a workbook are those of any archive.
        let rows = TABLE.iter().rev();
        let mut found = rows.filter(|(.., magic, _)| head.starts_with(magic));
        found.next().map(|(content, ..)| *content)
    }

    /// The format of a file that has no readable name. `None` if neither name nor content shows it.
    pub(super) fn of_file(path: &Path) -> Option<Self> {
        if let Some(content) = Self::of_name(path) {
            return Some(content);
        }
        let mut head = Vec::new();
        open::regular(path).ok()?.take(64).read_to_end(&mut head).ok()?;
        Self::of_bytes(&head)
    }

    /// The format that an extension of a file that Sluice does not read shows.
    pub(super) fn of_name(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_string_lossy().to_lowercase();
        let mut rows = TABLE.iter();
        let found = rows.find(|(.., endings)| endings.contains(&ending.as_str()));
        found.map(|(content, ..)| *content)
    }

    pub(super) fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|(content, ..)| *content == self)
            .map_or("", |(_, name, ..)| name)
    }

    /// What to do with a file of this format that has another name or cannot be read.
    pub(super) fn remedy(self, path: &Path) -> Option<String> {
        let name = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let stem = path
            .file_stem()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let duckdb = |extension: &str, function: &str| {
            format!(
                "convert it: duckdb -c \"INSTALL {extension}; LOAD {extension}; COPY (FROM \
                 {function}('{name}')) TO '{stem}.parquet'\""
            )
        };
        Some(match self {
            Self::Parquet => format!("name it {stem}.parquet"),
            Self::Arrow => format!("name it {stem}.arrow"),
            Self::ArrowStream => format!("name it {stem}.arrows"),
            Self::Gzip => "name it by its content and .gz, such as users.csv.gz".to_owned(),
            Self::Zstd => "name it by its content and .zst, such as users.csv.zst".to_owned(),
            Self::Feather1 => format!(
                "convert it: python3 -c \"import pyarrow.feather as f; f.write_feather(f.read_table('{name}'), \
                 '{stem}.arrow')\""
            ),
            Self::Avro => duckdb("avro", "read_avro"),
            Self::Orc => format!(
                "convert it: python3 -c \"import pyarrow.orc as o, pyarrow.parquet as p; \
                 p.write_table(o.read_table('{name}'), '{stem}.parquet')\""
            ),
            Self::Excel => duckdb("excel", "read_xlsx"),
            Self::OldExcel => format!(
                "convert it: python3 -c \"import pandas; pandas.read_excel('{name}').to_csv('{stem}.csv', \
                 index=False)\""
            ),
            Self::Sqlite => {
                format!("convert it: sqlite3 -header -csv '{name}' 'SELECT * FROM users' > '{stem}.csv'")
            }
            Self::Zip => format!("unpack it: unzip '{name}'"),
        })
    }
}

/// The encoding of a text that is not UTF-8, by its byte order mark or by an obvious pattern of its
/// first bytes, and the name that `iconv` knows it by. `None` if it may be UTF-8.
pub(super) fn encoding(head: &[u8]) -> Option<(&'static str, &'static str)> {
    const MARKS: [(&[u8], &str, &str); 5] = [
        (b"\xff\xfe\x00\x00", "UTF-32 (little-endian)", "UTF-32LE"),
        (b"\x00\x00\xfe\xff", "UTF-32 (big-endian)", "UTF-32BE"),
        (b"\xff\xfe", "UTF-16 (little-endian)", "UTF-16"),
        (b"\xfe\xff", "UTF-16 (big-endian)", "UTF-16"),
        (b"\x84\x31\x95\x33", "GB18030", "GB18030"),
    ];
    if let Some((_, name, iconv)) = MARKS.iter().find(|(mark, ..)| head.starts_with(mark)) {
        return Some((name, iconv));
    }
    // Text of ASCII in two bytes a character has a zero in every second byte.
    let zeros = |parity: usize| {
        let bytes = head.iter().skip(parity).step_by(2);
        bytes.filter(|byte| **byte == 0).count()
    };
    let n_pairs = head.len() / 2;
    if n_pairs >= 4 {
        let [even, odd] = [zeros(0), zeros(1)];
        if odd * 10 > n_pairs * 7 && even == 0 {
            return Some(("UTF-16 (little-endian)", "UTF-16LE"));
        }
        if even * 10 > n_pairs * 7 && odd == 0 {
            return Some(("UTF-16 (big-endian)", "UTF-16BE"));
        }
    }
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The last character may be cut off.
        Err(error) => error.error_len().is_none(),
    };
    (!is_utf8 && is_chinese(head)).then_some(("GB18030, or GBK", "GB18030"))
}

/// Whether all bytes that are not ASCII are characters of GB18030, and most of them the common
/// Chinese ones of GB 2312.
fn is_chinese(head: &[u8]) -> bool {
    let (mut n, mut n_common, mut at) = (0, 0, 0);
    while let Some(first) = head.get(at) {
        if first.is_ascii() {
            at += 1;
            continue;
        }
        match (first, head.get(at + 1)) {
            // The last character may be cut off.
            (_, None) => break,
            (0x81..=0xfe, Some(0x30..=0x39)) => at += 4,
            (0x81..=0xfe, Some(second @ (0x40..=0x7e | 0x80..=0xfe))) => {
                n_common += usize::from((0xb0..=0xf7).contains(first) && *second >= 0xa1);
                at += 2;
            }
            _ => return false,
        }
        n += 1;
    }
    n >= 2 && n_common * 10 >= n * 8
}

/// The format that a text has, by its first sign, or by what divides its first line: `json`, `tsv`
/// or `csv`, as an extension.
pub(super) fn text_kind(head: &[u8]) -> &'static str {
    let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let text = text.trim_ascii_start();
    if matches!(text.first(), Some(b'[' | b'{')) {
        return "json";
    }
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.contains(&b'\t') && !line.contains(&b',') {
        return "tsv";
    }
    "csv"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        let check = |head: &[u8], expected: Option<Content>| {
            assert_eq!(Content::of_bytes(head), expected, "{head:?}");
        };
        check(b"PAR1\x15\x04", Some(Content::Parquet));
        check(b"ARROW1\0\0", Some(Content::Arrow));
        check(b"\xff\xff\xff\xff\x10\0\0\0", Some(Content::ArrowStream));
        check(b"Obj\x01\x04", Some(Content::Avro));
        check(b"PK\x03\x04", Some(Content::Zip));
        check(b"SQLite format 3\0", Some(Content::Sqlite));
        check(b"user_id,x\n", None);
        check(b"", None);
        let by_name = |name: &str| Content::of_file(Path::new(name));
        assert_eq!(by_name("none/a.xlsx"), Some(Content::Excel));
        assert_eq!(by_name("none/a.ORC"), Some(Content::Orc));
        assert_eq!(by_name("none/a"), None);
        for (content, ..) in TABLE {
            let remedy = content.remedy(Path::new("d/a.bin")).unwrap();
            assert!(!content.name().is_empty() && !remedy.contains("d/"), "{remedy}");
        }
    }

    #[test]
    fn encodings_are_known_by_marks_and_patterns() {
        let check = |head: &[u8], expected: Option<&str>| {
            assert_eq!(encoding(head).map(|(name, _)| name), expected, "{head:?}");
        };
        let utf16 =
            |text: &str, to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
        check(
            &utf16("\u{feff}id", u16::to_le_bytes),
            Some("UTF-16 (little-endian)"),
        );
        check(
            &utf16("\u{feff}id", u16::to_be_bytes),
            Some("UTF-16 (big-endian)"),
        );
        check(
            &utf16("user_id,x\n", u16::to_le_bytes),
            Some("UTF-16 (little-endian)"),
        );
        check(
            &utf16("user_id,x\n", u16::to_be_bytes),
            Some("UTF-16 (big-endian)"),
        );
        check(b"\xff\xfe\0\0i\0\0\0", Some("UTF-32 (little-endian)"));
        check(b"\x84\x31\x95\x33id", Some("GB18030"));
        // 用户,价值 in GBK.
        check(b"\xd3\xc3\xbb\xa7,\xbc\xdb\xd6\xb5\n", Some("GB18030, or GBK"));
        check("用户,价值\n".as_bytes(), None);
        check(&"用户,价值\n".as_bytes()[..4], None);
        check(b"name\nZo\xeb\nRen\xe9e\n", None);
        check(b"\xc3,\xa9", None);
        check(b"plain", None);
    }

    #[test]
    fn kinds_of_text() {
        let check = |text: &str, expected: &str| assert_eq!(text_kind(text.as_bytes()), expected, "{text}");
        check(" \n[{\"a\":1}]", "json");
        check("\u{feff}{\"a\":1}\n", "json");
        check("a\tb\n1\t2", "tsv");
        check("a,b\tc\n", "csv");
        check("", "csv");
    }
}

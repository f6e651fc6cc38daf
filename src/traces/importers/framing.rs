//! Files of the OpenTelemetry collector that are not read: records with their length before them.

/// What to do about a file whose first bytes are no text. `None` if they say nothing.
pub(in crate::traces) fn hint(head: &[u8]) -> Option<&'static str> {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    if head.starts_with(&ZSTD) || head.starts_with(&GZIP) {
        return Some("packed text is known by its name: let it end in .jsonl.zst or .jsonl.gz");
    }
    let (length, rest) = head.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    // The first field of a request of OTLP, which is a list.
    let is_protobuf = |bytes: &[u8]| bytes.first() == Some(&0x0a);
    if length > 0 && length < MAX && (rest.starts_with(&ZSTD) || is_protobuf(rest)) {
        return Some(
            "these are records of OTLP with their length before them, as the `file` exporter of the \
             collector writes them with `format: proto` or `compression: zstd`: set `format: json` and \
             no compression there, and pack rotated files as .jsonl.zst",
        );
    }
    is_protobuf(head).then_some("this looks like OTLP as protobuf: write it as JSON, one document a line")
}

/// Longest record that is taken for one, in bytes.
const MAX: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_collector_are_known_by_their_first_bytes() {
        let check = |head: &[u8], expected: Option<&str>| {
            let found = hint(head);
            assert_eq!(found.is_some(), expected.is_some(), "{head:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()));
        };
        check(b"\x00\x00\x01\x00\x28\xb5\x2f\xfd..", Some("`compression: zstd`"));
        check(b"\x00\x00\x01\x00\x0a\xff\x01\x0a", Some("`format: proto`"));
        check(b"\x0a\xff\x01\x0a", Some("one document a line"));
        check(b"\x28\xb5\x2f\xfd", Some(".jsonl.zst"));
        check(b"\x1f\x8b\x08", Some(".jsonl.gz"));
        check(b"", None);
        check(b"plain text", None);
        check(b"\x00\x00\x00\x00\x0a", None);
    }
}

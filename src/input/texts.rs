//! Text of columns that hold ids in other types: decimals, UUIDs and bytes. An id has the text that
//! the program shows that wrote it, so it meets the same id in other files.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_cast::cast;
use arrow_schema::DataType;
use std::sync::Arc;

/// Number of bytes of a UUID, and of a whole number of 128 bits.
const WIDE: usize = 16;

/// The meaning of columns of 16 bytes of a fixed length, from the schema of their file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wide {
    /// UUIDs, in network byte order.
    Uuid,
    /// Signed whole numbers of 128 bits, little-endian.
    Signed,
    /// Unsigned whole numbers of 128 bits, little-endian.
    Unsigned,
}

impl Wide {
    /// Converts a column of 16 bytes of a fixed length to text. Columns of other types stay as they
    /// are.
    pub(super) fn to_text(self, array: ArrayRef) -> ArrayRef {
        if array.data_type() != &DataType::FixedSizeBinary(WIDE as i32) {
            return array;
        }
        let texts: StringArray = array
            .as_fixed_size_binary()
            .iter()
            .map(|bytes| {
                bytes
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(|bytes| self.text(bytes))
            })
            .collect();
        Arc::new(texts)
    }

    fn text(self, bytes: [u8; WIDE]) -> String {
        match self {
            Self::Uuid => {
                let digits = format!("{:032x}", u128::from_be_bytes(bytes));
                [
                    &digits[..8],
                    &digits[8..12],
                    &digits[12..16],
                    &digits[16..20],
                    &digits[20..],
                ]
                .join("-")
            }
            Self::Signed => i128::from_le_bytes(bytes).to_string(),
            Self::Unsigned => u128::from_le_bytes(bytes).to_string(),
        }
    }
}

/// The reason why a column, or a value in it, has no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoText {
    /// The row in the array. `None` if the type of the column has no text.
    pub(super) row: Option<usize>,
    pub(super) expected: &'static str,
    pub(super) found: String,
    pub(super) hint: Option<&'static str>,
}

/// Converts a column to text: text of any layout, whole numbers and dates as they are, decimals without a
/// fraction of zeros, bytes as the text that they hold, 16 bytes of a fixed length that hold no text
/// as a UUID.
///
/// # Errors
/// The column has another type, a decimal has a fraction, or bytes are neither UTF-8 nor a UUID.
pub(super) fn to_text(array: &ArrayRef) -> Result<StringArray, NoText> {
    match array.data_type() {
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => whole(&cast_to_text(array)?),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let array = cast(array, &DataType::Binary).map_err(|error| no_cast(&error))?;
            texts_of(array.as_binary::<i32>().iter(), |bytes| {
                std::str::from_utf8(bytes).ok().map(str::to_owned)
            })
        }
        DataType::FixedSizeBinary(_) => texts_of(array.as_fixed_size_binary().iter(), text_or_uuid),
        DataType::Null | DataType::Date32 => cast_to_text(array),
        other if is_text(other) || other.is_integer() => cast_to_text(array),
        other => Err(NoText {
            row: None,
            expected: "text or whole numbers",
            found: other.to_string(),
            hint: other.is_floating().then_some(
                "the text of an id as a floating-point number is not certain (7, 7.0 or 7e0): write the \
                 column as whole numbers or as text",
            ),
        }),
    }
}

/// Whether a column holds texts, also in a dictionary.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

fn cast_to_text(array: &ArrayRef) -> Result<StringArray, NoText> {
    let texts = cast(array, &DataType::Utf8).map_err(|error| no_cast(&error))?;
    Ok(texts.as_string().clone())
}

fn no_cast(error: &dyn std::fmt::Display) -> NoText {
    NoText {
        row: None,
        expected: "text",
        found: error.to_string(),
        hint: None,
    }
}

/// Removes the fractions of decimals. All their digits must be zeros.
fn whole(texts: &StringArray) -> Result<StringArray, NoText> {
    let whole_of = |(row, text): (usize, Option<&'_ str>)| match text {
        None => Ok(None),
        Some(text) => {
            let (digits, fraction) = text.split_once('.').unwrap_or((text, ""));
            if fraction.bytes().all(|digit| digit == b'0') {
                return Ok(Some(digits.to_owned()));
            }
            Err(NoText {
                row: Some(row),
                expected: "a whole number",
                found: text.to_owned(),
                hint: None,
            })
        }
    };
    texts.iter().enumerate().map(whole_of).collect()
}

fn texts_of<'a>(
    values: impl Iterator<Item = Option<&'a [u8]>>,
    text: impl Fn(&[u8]) -> Option<String>,
) -> Result<StringArray, NoText> {
    let text_of = |(row, bytes): (usize, Option<&[u8]>)| match bytes.map(|bytes| (bytes, text(bytes))) {
        None => Ok(None),
        Some((_, Some(text))) => Ok(Some(text)),
        Some((bytes, None)) => Err(NoText {
            row: Some(row),
            expected: "bytes that are text in UTF-8",
            found: format!("{} bytes that are not", bytes.len()),
            hint: Some("write the column as text, for example as hexadecimal digits, or annotate it as UUID"),
        }),
    };
    values.enumerate().map(text_of).collect()
}

/// Returns the text of bytes of a fixed length. Printable ASCII is text. 16 bytes with the variant
/// of RFC 9562, which is not ASCII, are a UUID.
fn text_or_uuid(bytes: &[u8]) -> Option<String> {
    if bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return String::from_utf8(bytes.to_vec()).ok();
    }
    let uuid: [u8; WIDE] = bytes.try_into().ok()?;
    (uuid[8] >> 6 == 0b10).then(|| Wide::Uuid.text(uuid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{
        BinaryArray, BinaryViewArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray, Float64Array,
        LargeBinaryArray, UInt64Array,
    };
    use arrow_buffer::i256;

    fn check(array: ArrayRef, expected: &[Option<&str>]) {
        let texts = to_text(&array).unwrap();
        assert_eq!(
            texts.iter().collect::<Vec<_>>(),
            expected,
            "{}",
            array.data_type()
        );
    }

    fn check_refused(array: ArrayRef, row: Option<usize>, found: &str) {
        let problem = to_text(&array).unwrap_err();
        assert_eq!(
            (problem.row, problem.found.as_str()),
            (row, found),
            "{}",
            array.data_type()
        );
    }

    #[test]
    fn ids_are_read_as_their_writers_show_them() {
        let decimals = |values: Vec<Option<i128>>, scale| -> ArrayRef {
            Arc::new(
                Decimal128Array::from(values)
                    .with_precision_and_scale(38, scale)
                    .unwrap(),
            )
        };
        let largest = 10_i128.pow(38) - 1;
        check(
            decimals(vec![Some(7), None, Some(-12), Some(largest), Some(0)], 0),
            &[
                Some("7"),
                None,
                Some("-12"),
                Some("99999999999999999999999999999999999999"),
                Some("0"),
            ],
        );
        check(
            decimals(vec![Some(700), Some(0), Some(-1200)], 2),
            &[Some("7"), Some("0"), Some("-12")],
        );
        check_refused(decimals(vec![Some(700), Some(750)], 2), Some(1), "7.50");
        let wide = Decimal256Array::from(vec![i256::from_i128(largest)]);
        check(
            Arc::new(wide.with_precision_and_scale(76, 0).unwrap()),
            &[Some("99999999999999999999999999999999999999")],
        );
        check(
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            &[Some("18446744073709551615")],
        );
        let bytes: Vec<Option<&[u8]>> = vec![Some("Zoë".as_bytes()), None];
        check(Arc::new(BinaryArray::from(bytes.clone())), &[Some("Zoë"), None]);
        check(
            Arc::new(LargeBinaryArray::from(bytes.clone())),
            &[Some("Zoë"), None],
        );
        check(Arc::new(BinaryViewArray::from_iter(bytes)), &[Some("Zoë"), None]);
        let broken: Vec<&[u8]> = vec![b"a", b"\xff\xfe"];
        check_refused(
            Arc::new(BinaryArray::from(broken)),
            Some(1),
            "2 bytes that are not",
        );
        check_refused(Arc::new(Float64Array::from(vec![7.0])), None, "Float64");
    }

    #[test]
    fn sixteen_bytes_are_a_text_a_uuid_or_a_whole_number() {
        let array = |values: &[[u8; 16]]| -> ArrayRef {
            Arc::new(FixedSizeBinaryArray::try_from_iter(values.iter()).unwrap())
        };
        let uuid = 0x8da1_a744_d61e_4f8f_8eb0_32e5_596e_73bc_u128.to_be_bytes();
        check(
            array(&[uuid, *b"user-00000000001"]),
            &[
                Some("8da1a744-d61e-4f8f-8eb0-32e5596e73bc"),
                Some("user-00000000001"),
            ],
        );
        check_refused(array(&[[0; 16]]), Some(0), "16 bytes that are not");
        let read = |wide: Wide, bytes: [u8; 16]| {
            let texts = wide.to_text(array(&[bytes]));
            texts.as_string::<i32>().value(0).to_owned()
        };
        assert_eq!(read(Wide::Uuid, [0; 16]), "00000000-0000-0000-0000-000000000000");
        assert_eq!(
            read(Wide::Signed, (-(1_i128 << 100)).to_le_bytes()),
            "-1267650600228229401496703205376"
        );
        assert_eq!(
            read(Wide::Unsigned, u128::MAX.to_le_bytes()),
            u128::MAX.to_string()
        );
        let other: ArrayRef = Arc::new(UInt64Array::from(vec![7]));
        assert_eq!(&Wide::Uuid.to_text(Arc::clone(&other)), &other);
    }
}

//! What the importers of all systems share: a reader of rows and its faults.

use arrow_schema::ArrowError;

use crate::base::error::Error;
use crate::traces::sink::Sink;
use crate::traces::value::Value;

/// Why a row cannot be read.
#[derive(Debug)]
pub(in crate::traces) enum RowFault {
    /// A value is not what it must be: the key, what was expected, and what was found.
    Value {
        key: String,
        expected: &'static str,
        found: String,
    },
    /// A record cannot be stored.
    Storage(Error),
}

impl RowFault {
    /// The words under which bad rows are counted: the key of the value, and what was expected.
    pub(in crate::traces) fn reason(key: &str, expected: &str) -> String {
        let what = if key.is_empty() { "row" } else { key };
        format!("{what}: expected {expected}")
    }
}

impl From<Error> for RowFault {
    fn from(error: Error) -> Self {
        Self::Storage(error)
    }
}

impl From<ArrowError> for RowFault {
    fn from(error: ArrowError) -> Self {
        Self::Value {
            key: String::new(),
            expected: "values of the calendar and of known types",
            found: error.to_string(),
        }
    }
}

/// Makes a fault of a value.
pub(in crate::traces) fn wrong(key: &str, expected: &'static str, found: &Value<'_>) -> RowFault {
    let shown = match found {
        Value::Null => "nothing".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "an object".to_owned(),
        other => format!(
            "\"{}\"",
            other
                .text()
                .unwrap_or_default()
                .chars()
                .take(60)
                .collect::<String>()
        ),
    };
    RowFault::Value {
        key: key.to_owned(),
        expected,
        found: shown,
    }
}

/// Whether a row has a key.
pub(in crate::traces) type Has<'h> = &'h dyn Fn(&str) -> bool;

/// A reader of one kind of rows.
pub(in crate::traces) struct Importer {
    /// What a file with such rows is called in messages and counts, such as "Langfuse scores".
    pub(in crate::traces) name: &'static str,
    /// The keys of a row that are read, at its top. Others are skipped unless the source names them.
    pub(in crate::traces) keys: &'static [&'static str],
    /// Whether a row with these keys is of this kind. The content of a row decides nothing else.
    pub(in crate::traces) is_kind: fn(Has<'_>) -> bool,
    /// Reads a row into the sink.
    pub(in crate::traces) read: for<'a> fn(&Value<'a>, &mut Sink<'_>) -> Result<(), RowFault>,
}

/// What the rows of a file are.
#[derive(Clone, Copy)]
pub(in crate::traces) enum Kind {
    /// Documents of OTLP.
    Otlp,
    /// Rows of an importer.
    Rows(&'static Importer),
}

impl Kind {
    /// The name for messages and counts.
    pub(in crate::traces) fn name(self) -> &'static str {
        match self {
            Self::Otlp => "OTLP",
            Self::Rows(importer) => importer.name,
        }
    }
}

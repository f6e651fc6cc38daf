//! The fast reader of documents of OTLP: it runs over what an import does not read.

use memchr::memmem;

use crate::traces::attributes::{IS_ERROR, Meaning, Wanted};
use crate::traces::importers::otlp_document::{
    Attribute, Document, RawRecord, RawSpan, Reading, Resource, is_error, plain, plain_of,
};
use crate::traces::json::{Keys, Scan};
use crate::traces::value::Value;

/// The result of a tool, of which nothing is read but whether it says [`IS_ERROR`].
const RESULT: Wanted = Wanted {
    meaning: Some(Meaning::ToolResult),
    is_named: false,
    is_score: false,
};
/// Attributes for which a span has room at first.
const ROOM: usize = 16;

/// Reads a document. `None` for one that the general reader must read, or that is no JSON of this
/// form. `known` is a resource as it is written, whose attributes need not be read.
pub(super) fn scan<'a>(text: &'a [u8], reading: Reading<'_>, known: &str) -> Option<Document<'a>> {
    let mut reader = DocumentScan {
        scan: Scan::new(text)?,
        reading,
        // The keys of a known resource are not noted.
        known: if reading.notes_keys { "" } else { known },
    };
    let mut document = Document::default();
    reader.object(|reader, key| match key {
        "resourceSpans" | "resource_spans" | "resourceLogs" | "resource_logs" => reader.list(|reader| {
            document.resources.push(reader.resource()?);
            Some(())
        }),
        _ => reader.skip(),
    })?;
    reader.scan.is_at_end().then_some(document)
}

struct DocumentScan<'a, 'k> {
    scan: Scan<'a>,
    reading: Reading<'k>,
    known: &'k str,
}

impl<'a> DocumentScan<'a, '_> {
    /// Reads an object. `read` reads the value of each key.
    #[inline]
    fn object(&mut self, mut read: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.scan.pass(b'{')?;
        let mut keys = Keys::default();
        while let Some(key) = self.scan.next_key(&mut keys)? {
            read(self, key)?;
        }
        Some(())
    }

    /// Reads a list. Null is an empty list.
    #[inline]
    fn list(&mut self, mut read: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.scan.peek() == b'n' {
            return self.skip();
        }
        self.scan.pass(b'[')?;
        let mut n_read = 0;
        while self.scan.has_next(&mut n_read)? {
            read(self)?;
        }
        Some(())
    }

    fn skip(&mut self) -> Option<()> {
        self.scan.skip().map(|_| ())
    }

    fn resource(&mut self) -> Option<Resource<'a>> {
        let mut out = Resource::default();
        self.object(|reader, key| match key {
            "resource" => reader.resource_attributes(&mut out),
            "scopeSpans" | "scope_spans" | "instrumentationLibrarySpans" | "scopeLogs" | "scope_logs" => {
                reader.list(|reader| reader.scope(&mut out))
            }
            _ => reader.skip(),
        })?;
        Some(out)
    }

    fn resource_attributes(&mut self, out: &mut Resource<'a>) -> Option<()> {
        out.attributes.clear();
        out.is_known = self.scan.pass_known(self.known).is_some();
        if out.is_known {
            return Some(());
        }
        let start = self.scan.clone();
        self.object(|reader, key| match key {
            "attributes" => reader.attributes(true, &mut out.attributes),
            _ => reader.skip(),
        })?;
        out.written = Some(start.up_to(&self.scan));
        Some(())
    }

    fn scope(&mut self, out: &mut Resource<'a>) -> Option<()> {
        self.object(|reader, key| match key {
            "spans" => reader.list(|reader| {
                let span = reader.span()?;
                out.spans.push(span);
                Some(())
            }),
            "logRecords" | "log_records" => reader.list(|reader| {
                let record = reader.record()?;
                out.records.push(record);
                Some(())
            }),
            _ => reader.skip(),
        })
    }

    fn span(&mut self) -> Option<RawSpan<'a>> {
        let mut out = RawSpan {
            attributes: Vec::with_capacity(ROOM),
            ..RawSpan::default()
        };
        self.object(|reader, key| {
            match key {
                "traceId" | "trace_id" => out.trace = reader.value()?,
                "spanId" | "span_id" => out.id = reader.value()?,
                "parentSpanId" | "parent_span_id" => out.parent = reader.value()?,
                "startTimeUnixNano" | "start_time_unix_nano" => out.start = reader.value()?,
                "endTimeUnixNano" | "end_time_unix_nano" => out.end = reader.value()?,
                "attributes" => reader.attributes(false, &mut out.attributes)?,
                "events" => reader.list(|reader| {
                    out.events.push(reader.record()?);
                    Some(())
                })?,
                "status" => out.is_error = reader.status()?,
                _ => reader.skip()?,
            }
            Some(())
        })?;
        Some(out)
    }

    /// Whether a status is that of an error.
    fn status(&mut self) -> Option<bool> {
        let mut code = Value::Null;
        self.object(|reader, key| {
            match key {
                "code" => code = reader.value()?,
                _ => reader.skip()?,
            }
            Some(())
        })?;
        Some(is_error(&code))
    }

    fn record(&mut self) -> Option<RawRecord<'a>> {
        let mut out = RawRecord::default();
        self.object(|reader, key| {
            match key {
                "timeUnixNano" | "time_unix_nano" => out.time = reader.value()?,
                "name" | "eventName" | "event_name" => out.name = reader.value()?,
                "traceId" | "trace_id" => out.trace = reader.value()?,
                "spanId" | "span_id" => out.span = reader.value()?,
                "attributes" => out.attributes = reader.value()?,
                _ => reader.skip()?,
            }
            Some(())
        })?;
        Some(out)
    }

    fn attributes(&mut self, is_resource: bool, out: &mut Vec<Attribute<'a>>) -> Option<()> {
        self.list(|reader| reader.attribute(is_resource, out))
    }

    /// Reads an attribute, and keeps it if it is wanted.
    fn attribute(&mut self, is_resource: bool, out: &mut Vec<Attribute<'a>>) -> Option<()> {
        let start = self.scan.clone();
        self.usual_attribute(is_resource, out).or_else(|| {
            self.scan = start;
            self.any_attribute(is_resource, out)
        })
    }

    /// Reads an attribute of the form that most have: `{"key":"...","value":{"stringValue":"..."}}`,
    /// with any kind of value. `None` for another form.
    #[inline]
    fn usual_attribute(&mut self, is_resource: bool, out: &mut Vec<Attribute<'a>>) -> Option<()> {
        let scan = &mut self.scan;
        scan.pass(b'{')?;
        scan.pass_bytes(b"\"key\":")?;
        scan.pass(b'"')?;
        let key = scan.plain()?;
        scan.pass(b',')?;
        scan.peek();
        scan.pass_bytes(b"\"value\":")?;
        scan.pass(b'{')?;
        scan.pass(b'"')?;
        let kind = scan.plain()?;
        scan.pass(b':')?;
        let wanted = self.reading.keys.wanted(key, is_resource);
        let value = match wanted {
            Some(wanted) => Some(self.wanted_value(kind, wanted)?),
            None => self.skip().map(|()| None)?,
        };
        self.scan.pass(b'}')?;
        self.scan.pass(b'}')?;
        if wanted.is_some() || self.reading.notes_keys {
            out.extend(self.reading.attribute(key.into(), wanted, value));
        }
        Some(())
    }

    /// Reads a value of this kind.
    #[inline]
    fn wanted_value(&mut self, kind: &str, wanted: Wanted) -> Option<Value<'a>> {
        if wanted == RESULT && kind == "stringValue" && self.scan.peek() == b'"' {
            let start = self.scan.clone();
            let written = self.scan.text_as_written()?.as_bytes();
            let has = |piece: &str| memmem::find(written, piece.as_bytes()).is_some();
            // Results are long, and a letter is written as it is or by its code point.
            if !has(IS_ERROR) && !has("\\u") {
                return Some(Value::Text("".into()));
            }
            self.scan = start;
        }
        self.value().map(|value| plain_of(kind, value))
    }

    fn any_attribute(&mut self, is_resource: bool, out: &mut Vec<Attribute<'a>>) -> Option<()> {
        let (mut key, mut value) = (None, None);
        // What the last key is wanted for. `None` before the first key.
        let mut wanted = None;
        self.object(|reader, name| {
            match name {
                "key" => {
                    let text = reader.scan.text()?;
                    wanted = Some(reader.reading.keys.wanted(&text, is_resource));
                    key = Some(text);
                }
                "value" if wanted == Some(None) => reader.skip()?,
                "value" => value = Some(reader.any_value()?),
                _ => reader.skip()?,
            }
            Some(())
        })?;
        if let (Some(key), Some(wanted)) = (key, wanted) {
            out.extend(self.reading.attribute(key, wanted, value));
        }
        Some(())
    }

    /// Reads the value within an `AnyValue`.
    #[inline]
    fn any_value(&mut self) -> Option<Value<'a>> {
        let start = self.scan.clone();
        if self.scan.passes(b'{') {
            let mut keys = Keys::default();
            let Some(kind) = self.scan.next_key(&mut keys)? else {
                return Some(Value::Null);
            };
            let value = self.value()?;
            if self.scan.passes(b'}') {
                return Some(plain_of(kind, value));
            }
        }
        self.scan = start;
        self.value().map(plain)
    }

    /// Reads any value.
    #[inline]
    fn value(&mut self) -> Option<Value<'a>> {
        match self.scan.peek() {
            b'"' => self.scan.text().map(Value::Text),
            _ => other_value(self.scan.skip()?),
        }
    }
}

/// A value that is no text, from how it is written.
fn other_value(written: &str) -> Option<Value<'_>> {
    match written.parse() {
        // JSON has -0 as a real number.
        Ok(number) if number != 0 || written == "0" => Some(Value::Int(number)),
        _ => serde_json::from_str(written).ok(),
    }
}

#[cfg(test)]
mod tests;

//! A document of OTLP as JSON: what an import reads of it, and its general reader.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

use crate::traces::attributes::{NamedKeys, Wanted};
use crate::traces::value::{Key, Value};

/// A document of OTLP: a line, or a file.
#[cfg_attr(test, derive(Debug, PartialEq))]
#[derive(Default)]
pub(super) struct Document<'a> {
    pub(super) resources: Vec<Resource<'a>>,
}

/// What one resource sent.
#[cfg_attr(test, derive(Debug, PartialEq))]
#[derive(Default)]
pub(super) struct Resource<'a> {
    /// The resource as it is written. `None` if the general reader read it.
    pub(super) written: Option<&'a str>,
    /// Whether it is written like the one that the reader knows, so that its attributes are not read.
    pub(super) is_known: bool,
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) spans: Vec<RawSpan<'a>>,
    pub(super) records: Vec<RawRecord<'a>>,
}

/// An attribute that is wanted.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(super) struct Attribute<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) value: Value<'a>,
    /// `None` for a key that is noted only.
    pub(super) wanted: Option<Wanted>,
}

/// What is read of a document.
#[derive(Clone, Copy)]
pub(super) struct Reading<'k> {
    pub(super) keys: &'k NamedKeys,
    /// Whether keys that are not wanted are kept, without their values.
    pub(super) notes_keys: bool,
}

#[cfg_attr(test, derive(Debug, PartialEq))]
#[derive(Default)]
pub(super) struct RawSpan<'a> {
    pub(super) trace: Value<'a>,
    pub(super) id: Value<'a>,
    pub(super) parent: Value<'a>,
    pub(super) start: Value<'a>,
    pub(super) end: Value<'a>,
    pub(super) attributes: Vec<Attribute<'a>>,
    pub(super) events: Vec<RawRecord<'a>>,
    pub(super) is_error: bool,
}

/// A log record, or an event of a span.
#[cfg_attr(test, derive(Debug, PartialEq))]
#[derive(Default)]
pub(super) struct RawRecord<'a> {
    pub(super) time: Value<'a>,
    pub(super) name: Value<'a>,
    pub(super) trace: Value<'a>,
    pub(super) span: Value<'a>,
    pub(super) attributes: Value<'a>,
}

impl Reading<'_> {
    /// An attribute that was read. `None` if it is not kept.
    #[inline]
    pub(super) fn attribute<'a>(
        self,
        key: Cow<'a, str>,
        wanted: Option<Wanted>,
        value: Option<Value<'a>>,
    ) -> Option<Attribute<'a>> {
        let is_kept = wanted.is_some() && value.is_some() || self.notes_keys;
        is_kept.then(|| Attribute {
            key,
            wanted: wanted.filter(|_| value.is_some()),
            value: value.unwrap_or_default(),
        })
    }
}

/// Reads a document.
///
/// # Errors
/// It is no JSON of this form.
pub(super) fn parse<'a>(text: &'a [u8], reading: Reading<'_>) -> serde_json::Result<Document<'a>> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let document = DocumentSeed(reading).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(document)
}

/// The value within an `AnyValue`: `{"stringValue": ...}` and its kin.
pub(super) fn plain(value: Value<'_>) -> Value<'_> {
    let Value::Map(mut entries) = value else {
        return value;
    };
    match entries.pop() {
        None => Value::Null,
        Some((kind, value)) => plain_of(&kind, value),
    }
}

/// The value within an `AnyValue` of this kind.
#[inline]
pub(super) fn plain_of<'a>(kind: &str, value: Value<'a>) -> Value<'a> {
    match kind {
        "stringValue" => value,
        "intValue" => value.whole().map_or(Value::Null, Value::Int),
        "arrayValue" => match value {
            Value::Map(mut inner) => match inner.pop() {
                Some((_, Value::List(values))) => Value::List(values.into_iter().map(plain).collect()),
                _ => Value::List(Vec::new()),
            },
            _ => Value::Null,
        },
        "kvlistValue" => match value {
            Value::Map(mut inner) => match inner.pop() {
                Some((_, Value::List(pairs))) => Value::Map(pairs.into_iter().filter_map(pair).collect()),
                _ => Value::Map(Vec::new()),
            },
            _ => Value::Null,
        },
        _ => value,
    }
}

/// Whether the code of a status is that of an error.
pub(super) fn is_error(code: &Value<'_>) -> bool {
    code.whole() == Some(2) || code.text().as_deref() == Some("STATUS_CODE_ERROR")
}

fn pair(entry: Value<'_>) -> Option<(Cow<'_, str>, Value<'_>)> {
    let Value::Map(entries) = entry else {
        return None;
    };
    let (mut key, mut value) = (None, Value::Null);
    for (name, found) in entries {
        match (name.as_ref(), found) {
            ("key", Value::Text(text)) => key = Some(text),
            ("value", found) => value = plain(found),
            _ => {}
        }
    }
    Some((key?, value))
}
/// Declares a seed that reads an object key by key, and skips the keys that it does not know.
macro_rules! object_seed {
    ($seed:ident, $output:ident, $what:literal, |$keys:ident, $out:ident, $map:ident| { $($($key:literal)|+ => $read:expr),+ $(,)? }) => {
        struct $seed<'k>(Reading<'k>);

        impl<'de> DeserializeSeed<'de> for $seed<'_> {
            type Value = $output<'de>;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_map(self)
            }
        }

        impl<'de> Visitor<'de> for $seed<'_> {
            type Value = $output<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($what)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut $map: A) -> Result<Self::Value, A::Error> {
                let $keys = self.0;
                let _ = $keys;
                let mut $out = $output::default();
                while let Some(key) = $map.next_key::<Key<'de>>()? {
                    match key.0.as_ref() {
                        $($($key)|+ => $read,)+
                        _ => _ = $map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok($out)
            }
        }
    };
}

/// Spans and records of one instrumentation.
#[derive(Default)]
struct Scope<'a> {
    spans: Vec<RawSpan<'a>>,
    records: Vec<RawRecord<'a>>,
}

/// The attributes of a resource.
#[derive(Default)]
struct ResourceAttributes<'a> {
    attributes: Vec<Attribute<'a>>,
}

/// The status of a span.
#[derive(Default)]
struct Status<'a> {
    code: Value<'a>,
}

object_seed!(DocumentSeed, Document, "a document of OTLP", |keys, out, map| {
    "resourceSpans" | "resource_spans" | "resourceLogs" | "resource_logs" => {
        map.next_value_seed(ListSeed(&mut out.resources, || ResourceSeed(keys)))?
    },
});

object_seed!(ResourceSeed, Resource, "a resource of OTLP", |keys, out, map| {
    "resource" => out.attributes = map.next_value_seed(ResourceAttributesSeed(keys))?.attributes,
    "scopeSpans" | "scope_spans" | "instrumentationLibrarySpans" | "scopeLogs" | "scope_logs" => {
        let mut scopes: Vec<Scope<'de>> = Vec::new();
        map.next_value_seed(ListSeed(&mut scopes, || ScopeSeed(keys)))?;
        for scope in scopes {
            out.spans.extend(scope.spans);
            out.records.extend(scope.records);
        }
    },
});

object_seed!(ResourceAttributesSeed, ResourceAttributes, "a resource", |keys, out, map| {
    "attributes" => map.next_value_seed(AttributesSeed(keys, true, &mut out.attributes))?,
});

object_seed!(ScopeSeed, Scope, "spans of an instrumentation", |keys, out, map| {
    "spans" => map.next_value_seed(ListSeed(&mut out.spans, || SpanSeed(keys)))?,
    "logRecords" | "log_records" => map.next_value_seed(ListSeed(&mut out.records, || RecordSeed(keys)))?,
});

object_seed!(SpanSeed, RawSpan, "a span", |keys, out, map| {
    "traceId" | "trace_id" => out.trace = map.next_value()?,
    "spanId" | "span_id" => out.id = map.next_value()?,
    "parentSpanId" | "parent_span_id" => out.parent = map.next_value()?,
    "startTimeUnixNano" | "start_time_unix_nano" => out.start = map.next_value()?,
    "endTimeUnixNano" | "end_time_unix_nano" => out.end = map.next_value()?,
    "attributes" => map.next_value_seed(AttributesSeed(keys, false, &mut out.attributes))?,
    "events" => map.next_value_seed(ListSeed(&mut out.events, || RecordSeed(keys)))?,
    "status" => {
        out.is_error = is_error(&map.next_value_seed(StatusSeed(keys))?.code);
    },
});

object_seed!(StatusSeed, Status, "a status", |keys, out, map| {
    "code" => out.code = map.next_value()?,
});

object_seed!(RecordSeed, RawRecord, "a log record or an event", |keys, out, map| {
    "timeUnixNano" | "time_unix_nano" => out.time = map.next_value()?,
    "name" | "eventName" | "event_name" => out.name = map.next_value()?,
    "traceId" | "trace_id" => out.trace = map.next_value()?,
    "spanId" | "span_id" => out.span = map.next_value()?,
    "attributes" => out.attributes = map.next_value()?,
});

/// Reads a list into a vector. Null is an empty list.
struct ListSeed<'v, T, F>(&'v mut Vec<T>, F);

impl<'de, T, S: DeserializeSeed<'de, Value = T>, F: Fn() -> S> DeserializeSeed<'de> for ListSeed<'_, T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T, S: DeserializeSeed<'de, Value = T>, F: Fn() -> S> Visitor<'de> for ListSeed<'_, T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element_seed((self.1)())? {
            self.0.push(item);
        }
        Ok(())
    }
}

/// Reads a list of attributes, and keeps those that are wanted. Says whether they are the resource's.
struct AttributesSeed<'k, 'v, 'de>(Reading<'k>, bool, &'v mut Vec<Attribute<'de>>);

impl<'de> DeserializeSeed<'de> for AttributesSeed<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut found = Vec::new();
        let (keys, is_resource) = (self.0, self.1);
        ListSeed(&mut found, || AttributeSeed(keys, is_resource)).deserialize(deserializer)?;
        self.2.extend(found.into_iter().flatten());
        Ok(())
    }
}

/// Reads an attribute. `None` if it is not wanted.
struct AttributeSeed<'k>(Reading<'k>, bool);

impl<'de> DeserializeSeed<'de> for AttributeSeed<'_> {
    type Value = Option<Attribute<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for AttributeSeed<'_> {
    type Value = Option<Attribute<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut key, mut value): (Option<Cow<'de, str>>, Option<Value<'de>>) = (None, None);
        while let Some(name) = map.next_key::<Key<'de>>()? {
            match name.0.as_ref() {
                "key" => key = Some(map.next_value::<Key<'de>>()?.0),
                "value" => {
                    let is_skipped = key
                        .as_ref()
                        .is_some_and(|key| self.0.keys.wanted(key, self.1).is_none());
                    if is_skipped {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        value = Some(plain(map.next_value()?));
                    }
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        let Some(key) = key else { return Ok(None) };
        let wanted = self.0.keys.wanted(&key, self.1);
        Ok(self.0.attribute(key, wanted, value))
    }
}

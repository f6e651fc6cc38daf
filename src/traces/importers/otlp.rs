//! OTLP as JSON: spans and log records of OpenTelemetry, in the dialects of its users.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

use crate::base::hash;
use crate::traces::attributes::{Facts, NamedKeys, Wanted};
use crate::traces::importers::importer::{RowFault, wrong};
use crate::traces::record::{Field, Flags, NAMED, Nanos, Role, Span, Target};
use crate::traces::sink::{RawScore, Sink, pico_usd, text_of};
use crate::traces::value::{Key, Value};

/// The event and log record of an evaluation.
const EVALUATION: &str = "gen_ai.evaluation.result";

/// A document of OTLP: a line, or a file.
#[derive(Default)]
struct Document<'a> {
    resources: Vec<Resource<'a>>,
}

/// What one resource sent.
#[derive(Default)]
struct Resource<'a> {
    attributes: Vec<Attribute<'a>>,
    spans: Vec<RawSpan<'a>>,
    records: Vec<RawRecord<'a>>,
}

/// An attribute that is wanted.
struct Attribute<'a> {
    key: Cow<'a, str>,
    value: Value<'a>,
    /// `None` for a key that is noted only.
    wanted: Option<Wanted>,
}

/// What is read of a document.
#[derive(Clone, Copy)]
struct Reading<'k> {
    keys: &'k NamedKeys,
    /// Whether keys that are not wanted are kept, without their values.
    notes_keys: bool,
}

#[derive(Default)]
struct RawSpan<'a> {
    trace: Value<'a>,
    id: Value<'a>,
    parent: Value<'a>,
    start: Value<'a>,
    end: Value<'a>,
    attributes: Vec<Attribute<'a>>,
    events: Vec<RawRecord<'a>>,
    is_error: bool,
}

/// A log record, or an event of a span.
#[derive(Default)]
struct RawRecord<'a> {
    time: Value<'a>,
    name: Value<'a>,
    trace: Value<'a>,
    span: Value<'a>,
    attributes: Value<'a>,
}

/// Reads a document of OTLP into the sink.
///
/// # Errors
/// It is no JSON of this form, or a value is wrong.
pub(in crate::traces) fn read(text: &[u8], keys: &NamedKeys, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let reading = Reading {
        keys,
        notes_keys: sink.notes_keys,
    };
    let document = DocumentSeed(reading)
        .deserialize(&mut deserializer)
        .and_then(|document| deserializer.end().map(|()| document))
        .map_err(|error| RowFault::Value {
            key: String::new(),
            expected: "OTLP as JSON",
            found: error.to_string(),
        })?;
    for resource in document.resources {
        read_resource(resource, keys, sink)?;
    }
    Ok(())
}

fn read_resource<'a>(resource: Resource<'a>, keys: &NamedKeys, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    let mut shared = Facts::new(Span::default());
    for attribute in resource.attributes {
        note_key(sink, "resource.", &attribute.key);
        if let Some(wanted) = attribute.wanted {
            shared.add(&attribute.key, attribute.value, wanted, keys, sink.settings, true);
        }
    }
    let (shared, _) = shared.finish();
    for raw in resource.spans {
        read_span(raw, &shared, keys, sink)?;
    }
    for record in resource.records {
        read_record(&record, &shared, sink)?;
    }
    Ok(())
}

fn note_key(sink: &mut Sink<'_>, prefix: &str, key: &str) {
    if sink.notes_keys {
        sink.coverage.note_key(&format!("{prefix}{key}"));
    }
}

fn id_of<'a>(value: Value<'a>) -> Cow<'a, str> {
    match value {
        // Ids of zeros stand for none.
        Value::Text(text) if text.bytes().all(|byte| byte == b'0') => Cow::Borrowed(""),
        Value::Text(text) if text.bytes().any(|byte| byte.is_ascii_uppercase()) => text.to_lowercase().into(),
        Value::Text(text) => text,
        _ => Cow::Borrowed(""),
    }
}

/// The instant of a number of nanoseconds, which JSON has as a text. `None` for 0.
fn instant_of(key: &str, value: &Value<'_>) -> Result<Option<Nanos>, RowFault> {
    if value.is_null() {
        return Ok(None);
    }
    match value.whole() {
        Some(nanos) => Ok(Some(nanos).filter(|nanos| *nanos != 0)),
        None => Err(wrong(key, "nanoseconds since 1970", value)),
    }
}

fn read_span<'a>(
    raw: RawSpan<'a>,
    shared: &Span<'a>,
    keys: &NamedKeys,
    sink: &mut Sink<'_>,
) -> Result<(), RowFault> {
    let trace = id_of(raw.trace.clone());
    if trace.is_empty() {
        return Err(wrong("traceId", "a trace id", &raw.trace));
    }
    let end = instant_of("endTimeUnixNano", &raw.end)?;
    let mut facts = Facts::new(Span {
        group: trace.clone(),
        trace,
        id: id_of(raw.id),
        parent: id_of(raw.parent),
        start: instant_of("startTimeUnixNano", &raw.start)?,
        version: end.unwrap_or(0),
        end,
        flags: shared.flags,
        ..Span::default()
    });
    facts.span.flags.set(Flags::ERROR, raw.is_error);
    for attribute in raw.attributes {
        note_key(sink, "", &attribute.key);
        if let Some(wanted) = attribute.wanted {
            facts.add(
                &attribute.key,
                attribute.value,
                wanted,
                keys,
                sink.settings,
                false,
            );
        }
    }
    let (mut span, scores) = facts.finish();
    for text in &shared.texts {
        span.put(text.field, text.rank, text.text.clone());
    }
    sink.span(&span)?;
    for (target, score) in &scores {
        sink.score(target, score)?;
    }
    for event in &raw.events {
        if event.name.text().as_deref() == Some(EVALUATION) {
            let target = Target::Trace(span.trace.clone(), span.id.clone());
            read_evaluation(event, target, sink)?;
        }
    }
    Ok(())
}

fn read_evaluation(record: &RawRecord<'_>, target: Target<'_>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    let attribute = |key: &str| record.attributes.find_attribute(key);
    let Some(name) = text_of(&attribute("gen_ai.evaluation.name")) else {
        return Err(wrong(
            "gen_ai.evaluation.name",
            "the name of the evaluation",
            &Value::Null,
        ));
    };
    let at = instant_of("timeUnixNano", &record.time)?;
    let raw = RawScore {
        number: attribute("gen_ai.evaluation.score.value").number(),
        label: text_of(&attribute("gen_ai.evaluation.score.label")).map(|text| text.into_owned().into()),
        name: name.into_owned().into(),
        at,
        version: at.unwrap_or(0),
        ..RawScore::default()
    };
    Ok(sink.score(&target, &raw)?)
}

/// Reads a log record: an evaluation, or the cost of a request.
fn read_record<'a>(record: &RawRecord<'a>, shared: &Span<'a>, sink: &mut Sink<'_>) -> Result<(), RowFault> {
    let attribute = |key: &str| record.attributes.find_attribute(key);
    let name = text_of(&record.name).or_else(|| text_of(&attribute("event.name")));
    let (trace, id) = (id_of(record.trace.clone()), id_of(record.span.clone()));
    if name.as_deref() == Some(EVALUATION) {
        let target = if !trace.is_empty() {
            Target::Trace(trace, id)
        } else if let Some(response) = text_of(&attribute("gen_ai.response.id")) {
            Target::Response(hash::hash_id(response.as_bytes()).max(1))
        } else if let Some(session) =
            text_of(&attribute("gen_ai.conversation.id")).or_else(|| text_of(&attribute("session.id")))
        {
            Target::Session(session)
        } else {
            return Err(wrong("traceId", "a trace, an answer or a session", &record.trace));
        };
        return read_evaluation(record, target, sink);
    }
    let cost = attribute("cost_usd").number().and_then(pico_usd);
    let (Some(cost), false) = (cost, trace.is_empty()) else {
        return Ok(());
    };
    let at = instant_of("timeUnixNano", &record.time)?;
    let mut span = Span {
        group: trace.clone(),
        trace,
        id: format!("{id}/cost/{}", at.unwrap_or(0)).into(),
        parent: id,
        role: Role::Inference,
        flags: Flags(Flags::COST_ROW | shared.flags.0),
        end: at,
        cost: Some(cost),
        ..Span::default()
    };
    span.usage.input = attribute("input_tokens").whole();
    span.usage.output = attribute("output_tokens").whole();
    span.usage.cache_read = attribute("cache_read_tokens").whole();
    span.usage.cache_write = attribute("cache_creation_tokens").whole();
    for text in &shared.texts {
        span.put(text.field, text.rank, text.text.clone());
    }
    for (key, field) in [
        ("model", Field::Model),
        ("user.id", Field::User),
        ("session.id", Field::Session),
    ] {
        if let Some(text) = text_of(&attribute(key)) {
            span.put(field, NAMED + 2, text);
        }
    }
    Ok(sink.span(&span)?)
}

impl<'a> Value<'a> {
    /// The value of an attribute in a list of keys and values.
    fn find_attribute(&self, key: &str) -> Value<'a> {
        let found = self.elements().iter().find(|element| match element.get("key") {
            Value::Text(text) => text == key,
            _ => false,
        });
        found
            .map(|element| plain(element.get("value").clone()))
            .unwrap_or_default()
    }
}

/// The value within an `AnyValue`: `{"stringValue": ...}` and its kin.
fn plain(value: Value<'_>) -> Value<'_> {
    let Value::Map(mut entries) = value else {
        return value;
    };
    match entries.pop() {
        None => Value::Null,
        Some((kind, value)) => match kind.as_ref() {
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
        },
    }
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
        let code = map.next_value_seed(StatusSeed(keys))?.code;
        out.is_error = code.whole() == Some(2) || code.text().as_deref() == Some("STATUS_CODE_ERROR");
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
        let is_kept = wanted.is_some() && value.is_some() || self.0.notes_keys;
        Ok(is_kept.then(|| Attribute {
            key,
            wanted: wanted.filter(|_| value.is_some()),
            value: value.unwrap_or_default(),
        }))
    }
}

//! OTLP as JSON: spans and log records of OpenTelemetry, in the dialects of its users.

use std::borrow::Cow;

use crate::base::hash;
use crate::traces::attributes::{Facts, NamedKeys};
use crate::traces::importers::importer::{RowFault, wrong};
use crate::traces::importers::otlp_document::{RawRecord, RawSpan, Reading, Resource, parse, plain};
use crate::traces::importers::otlp_scan::scan;
use crate::traces::record::{Field, Flags, NAMED, Nanos, Role, Span, Target, Text};
use crate::traces::sink::{RawScore, Sink, pico_usd, text_of};
use crate::traces::value::Value;

/// The event and log record of an evaluation.
const EVALUATION: &str = "gen_ai.evaluation.result";

/// A reader of documents. It knows the last resource: most documents have the same.
pub(in crate::traces) struct Reader<'k> {
    keys: &'k NamedKeys,
    /// The resource as it is written. Empty for none.
    known: String,
    /// What all its spans share.
    shared: Span<'static>,
}

impl<'k> Reader<'k> {
    /// Makes a reader that knows no resource.
    pub(in crate::traces) fn new(keys: &'k NamedKeys) -> Self {
        Self {
            keys,
            known: String::new(),
            shared: Span::default(),
        }
    }

    /// Reads a document into the sink.
    ///
    /// # Errors
    /// It is no JSON of this form, or a value is wrong.
    pub(in crate::traces) fn read(&mut self, text: &[u8], sink: &mut Sink<'_>) -> Result<(), RowFault> {
        let reading = Reading {
            keys: self.keys,
            notes_keys: sink.notes_keys,
        };
        let document = match scan(text, reading, &self.known) {
            Some(document) => document,
            None => parse(text, reading).map_err(|error| RowFault::Value {
                key: String::new(),
                expected: "OTLP as JSON",
                found: error.to_string(),
            })?,
        };
        let mut last = None;
        for mut resource in document.resources {
            if resource.is_known {
                read_records(resource, &self.shared, self.keys, sink)?;
                continue;
            }
            let written = resource.written;
            let shared = shared_of(&mut resource, self.keys, sink);
            read_records(resource, &shared, self.keys, sink)?;
            last = written.map(|written| (written, shared));
        }
        // Known resources of this document are known by the one before it.
        if let Some((written, shared)) = last {
            self.known.clear();
            self.known.push_str(written);
            self.shared = Span {
                flags: shared.flags,
                texts: shared.texts.into_iter().map(Text::into_owned).collect(),
                ..Span::default()
            };
        }
        Ok(())
    }
}

/// What all spans of a resource share: its flags and texts.
fn shared_of<'a>(resource: &mut Resource<'a>, keys: &NamedKeys, sink: &mut Sink<'_>) -> Span<'a> {
    let mut shared = Facts::new(Span::default());
    for attribute in resource.attributes.drain(..) {
        note_key(sink, "resource.", &attribute.key);
        if let Some(wanted) = attribute.wanted {
            shared.add(&attribute.key, attribute.value, wanted, keys, sink.settings, true);
        }
    }
    shared.finish().0
}

fn read_records<'a>(
    resource: Resource<'a>,
    shared: &'a Span<'_>,
    keys: &NamedKeys,
    sink: &mut Sink<'_>,
) -> Result<(), RowFault> {
    for raw in resource.spans {
        read_span(raw, shared, keys, sink)?;
    }
    for record in resource.records {
        read_record(&record, shared, sink)?;
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
        // Without a branch in the loop, so that many bytes are looked at at once.
        Value::Text(text)
            if text
                .bytes()
                .fold(false, |any, byte| any | byte.is_ascii_uppercase()) =>
        {
            text.to_lowercase().into()
        }
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
    shared: &'a Span<'_>,
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
        span.put(text.field, text.rank, text.text.as_ref());
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
fn read_record<'a>(
    record: &RawRecord<'a>,
    shared: &'a Span<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), RowFault> {
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
        span.put(text.field, text.rank, text.text.as_ref());
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

//! What importers make of rows: spans and scores, and their form in memory and on disk.

use std::borrow::Cow;

use crate::base::hash;
use crate::traces::value::is_blank;

/// Nanoseconds since 1970, UTC.
pub(super) type Nanos = i64;

/// What a span is to its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub(super) enum Role {
    /// A span of another kind, such as a request over HTTP. It makes no turn by itself.
    #[default]
    Other,
    /// A span of an agent's work that is none of the others, such as a retrieval.
    Step,
    /// An agent, a workflow, a chain, or a wrapper around inference.
    Agent,
    /// A request to a model.
    Inference,
    /// A call of a tool.
    Tool,
    /// A request for embeddings or for another order of documents.
    Embedding,
    /// A judge or a test: no part of the traffic.
    Evaluator,
}

impl Role {
    const ALL: [Self; 7] = [
        Self::Other,
        Self::Step,
        Self::Agent,
        Self::Inference,
        Self::Tool,
        Self::Embedding,
        Self::Evaluator,
    ];
}

/// A text of a span. The order is that of `NAMES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Field {
    User,
    Session,
    Release,
    Tenant,
    Feature,
    /// The layer that production recorded.
    Layer,
    /// The model that answered.
    Model,
    RequestedModel,
    Prompt,
    PromptVersion,
    Service,
    Agent,
    Environment,
    ErrorType,
    /// A column that the source names, by its number.
    Named(u8),
}

/// Number of fields that are not `Named`.
pub(super) const N_FIELDS: usize = 14;

impl Field {
    pub(super) const ALL: [Self; N_FIELDS] = [
        Self::User,
        Self::Session,
        Self::Release,
        Self::Tenant,
        Self::Feature,
        Self::Layer,
        Self::Model,
        Self::RequestedModel,
        Self::Prompt,
        Self::PromptVersion,
        Self::Service,
        Self::Agent,
        Self::Environment,
        Self::ErrorType,
    ];

    pub(super) fn code(self) -> u8 {
        match self {
            Self::Named(number) => N_FIELDS as u8 + number,
            plain => Self::ALL.iter().position(|field| *field == plain).unwrap_or(0) as u8,
        }
    }

    pub(super) fn from_code(code: u8) -> Self {
        match Self::ALL.get(usize::from(code)) {
            Some(field) => *field,
            None => Self::Named(code - N_FIELDS as u8),
        }
    }
}

/// A text of a span, with the rank of the key that has it: a lower rank is believed first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub(super) field: Field,
    pub(super) rank: u8,
    pub(super) text: Cow<'a, str>,
}

impl Text<'_> {
    /// A copy that borrows nothing.
    pub(super) fn into_owned(self) -> Text<'static> {
        Text {
            text: self.text.into_owned().into(),
            field: self.field,
            rank: self.rank,
        }
    }
}

/// Rank of a text whose path the source names.
pub(super) const NAMED: u8 = 0;

/// Numbers of tokens, as the writer counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    pub(super) input: Option<i64>,
    pub(super) output: Option<i64>,
    pub(super) cache_read: Option<i64>,
    pub(super) cache_write: Option<i64>,
    pub(super) reasoning: Option<i64>,
}

impl Usage {
    /// Whether the span has a number of tokens other than 0.
    pub(super) fn has_tokens(&self) -> bool {
        [self.input, self.output, self.cache_read, self.cache_write]
            .into_iter()
            .flatten()
            .any(|tokens| tokens > 0)
    }

    fn values(&self) -> [Option<i64>; 5] {
        [
            self.input,
            self.output,
            self.cache_read,
            self.cache_write,
            self.reasoning,
        ]
    }
}

/// Facts of a span that are true or false.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags(pub(super) u16);

impl Flags {
    /// The span failed.
    pub(super) const ERROR: u16 = 1;
    /// The turn belongs to an evaluation or a test.
    pub(super) const EVAL: u16 = 1 << 1;
    /// The answer was produced beside the real one and not shown to the user.
    pub(super) const SHADOW: u16 = 1 << 2;
    /// The span is the trace itself: the root of all spans of the trace without a parent.
    pub(super) const TRACE: u16 = 1 << 3;
    /// All spans of the trace are one turn, even if several have no parent.
    pub(super) const ONE_TURN: u16 = 1 << 4;
    /// The writer counts cached tokens beside the input.
    pub(super) const CACHE_BESIDE: u16 = 1 << 5;
    /// Another model than the requested one answered, because that one failed.
    pub(super) const FALLBACK: u16 = 1 << 6;
    /// The request was sent by a batch interface.
    pub(super) const BATCH: u16 = 1 << 7;
    /// A tool call in a source without a tree: it belongs to the request before it in its group.
    pub(super) const LOOSE: u16 = 1 << 8;
    /// A row that the service reports for its costs, beside its spans.
    pub(super) const COST_ROW: u16 = 1 << 9;
    /// The answer was a stream.
    pub(super) const STREAM: u16 = 1 << 10;
    /// The writer counts cached tokens inside the input, whatever the numbers say.
    pub(super) const CACHE_INSIDE: u16 = 1 << 11;

    pub(super) fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    pub(super) fn set(&mut self, flag: u16, is_set: bool) {
        if is_set {
            self.0 |= flag;
        }
    }
}

/// A span, a run, an observation or a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Span<'a> {
    /// Spans of one group are folded together: the trace, or the session of a source without traces.
    pub(super) group: Cow<'a, str>,
    pub(super) trace: Cow<'a, str>,
    /// Id of the span within its trace. Empty for the trace itself.
    pub(super) id: Cow<'a, str>,
    /// Id of the parent. Empty for a span without one.
    pub(super) parent: Cow<'a, str>,
    pub(super) role: Role,
    pub(super) flags: Flags,
    pub(super) start: Option<Nanos>,
    pub(super) end: Option<Nanos>,
    pub(super) first_token: Option<Nanos>,
    /// When the row was written. Of two rows of a span the later one is taken.
    pub(super) version: i64,
    pub(super) usage: Usage,
    /// Cost in pico-USD, 1e-12 USD, so that a sum of spans is rounded once.
    pub(super) cost: Option<i64>,
    pub(super) retries: u32,
    /// Hash of the id of the model's answer, which evaluations name. 0 for none.
    pub(super) response: u64,
    pub(super) texts: Vec<Text<'a>>,
}

impl<'a> Span<'a> {
    /// Adds a text. Of two texts of one field the one of the lower rank is kept, then the first.
    pub(super) fn put(&mut self, field: Field, rank: u8, text: impl Into<Cow<'a, str>>) {
        let text = text.into();
        if is_blank(&text) {
            return;
        }
        match self.texts.iter_mut().find(|known| known.field == field) {
            Some(known) if known.rank <= rank => {}
            Some(known) => (known.rank, known.text) = (rank, text),
            None => self.texts.push(Text { field, rank, text }),
        }
    }

    pub(super) fn text(&self, field: Field) -> Option<&str> {
        self.texts
            .iter()
            .find(|text| text.field == field)
            .map(|text| text.text.as_ref())
    }
}

/// The hash by which scores find a model's answer, or a span whose trace they do not name.
pub(super) fn name_hash(id: &str) -> u64 {
    hash::hash_id(id.as_bytes()).max(1)
}

/// What a score belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// A trace, or a span of it if the second text is not empty.
    Trace(Cow<'a, str>, Cow<'a, str>),
    Session(Cow<'a, str>),
    /// The answer of a model, or the span of an unknown trace, with an id of this hash.
    Response(u64),
}

impl Target<'_> {
    /// The hash by which records of the target are dealt: of a trace its group.
    pub(super) fn hash(&self) -> u64 {
        match self {
            Self::Trace(text, _) | Self::Session(text) => hash::hash_id(text.as_bytes()),
            Self::Response(hash) => *hash,
        }
    }
}

/// A score of a turn that a rule of the source reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Score<'a> {
    pub(super) target: Target<'a>,
    /// Id of the score, by which a repeated row is known. Empty if it has none.
    pub(super) id: Cow<'a, str>,
    /// Number of the rule.
    pub(super) rule: u8,
    pub(super) value: f64,
    /// When the score was given.
    pub(super) at: Option<Nanos>,
    /// When the row was written. Of two rows of a score the later one is taken.
    pub(super) version: i64,
}

/// A record of a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Record<'a> {
    Span(Box<Span<'a>>),
    Score(Score<'a>),
}

/// Appends values to bytes.
pub(super) struct Writer<'o>(pub(super) &'o mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Small numbers of either sign take few bytes.
    pub(super) fn signed(&mut self, value: i64) {
        self.unsigned((value << 1 ^ value >> 63) as u64);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.unsigned(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A number that may be missing.
    pub(super) fn optional(&mut self, value: Option<i64>) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            self.signed(value);
        }
    }

    pub(super) fn real(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    pub(super) fn fixed(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

/// Reads what [`Writer`] wrote. `None` at a record that is cut off or damaged.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let n = usize::try_from(self.unsigned()?).ok()?;
        std::str::from_utf8(self.take(n)?).ok()
    }

    pub(super) fn optional(&mut self) -> Option<Option<i64>> {
        match self.byte()? {
            0 => Some(None),
            _ => self.signed().map(Some),
        }
    }

    pub(super) fn real(&mut self) -> Option<f64> {
        let bytes = self.take(8)?.try_into().ok()?;
        Some(f64::from_bits(u64::from_le_bytes(bytes)))
    }

    pub(super) fn fixed(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}

const SPAN: u8 = 0;
pub(super) const SCORE: u8 = 1;

/// The text that an id is, if it is the same as another one: then it takes one byte.
fn put_same(out: &mut Writer<'_>, text: &str, other: &str) {
    out.0.push(u8::from(text == other));
    if text != other {
        out.text(text);
    }
}

fn read_same<'a>(bytes: &mut Reader<'a>, other: &'a str) -> Option<&'a str> {
    match bytes.byte()? {
        0 => bytes.text(),
        _ => Some(other),
    }
}

impl Span<'_> {
    /// Appends the record.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let out = &mut Writer(out);
        out.0.push(SPAN);
        out.text(&self.group);
        put_same(out, &self.trace, &self.group);
        out.text(&self.id);
        out.text(&self.parent);
        out.0.push(self.role as u8);
        out.unsigned(u64::from(self.flags.0));
        // The end and the first token lie close to the start.
        let base = self.start.unwrap_or(0);
        let relative = |at: Option<Nanos>| at.map(|at| at.wrapping_sub(base));
        out.0.push(u8::from(self.start.is_some()));
        out.fixed(base);
        out.optional(relative(self.end));
        out.optional(relative(self.first_token));
        out.signed(self.version.wrapping_sub(base));
        let usage = self.usage.values();
        let known = usage.iter().enumerate();
        out.0
            .push(known.fold(0, |bits, (idx, value)| bits | u8::from(value.is_some()) << idx));
        usage.into_iter().flatten().for_each(|value| out.signed(value));
        out.optional(self.cost);
        out.unsigned(u64::from(self.retries));
        out.fixed(self.response as i64);
        out.unsigned(self.texts.len() as u64);
        for text in &self.texts {
            out.0.push(text.field.code());
            out.0.push(text.rank);
            out.text(&text.text);
        }
    }
}

impl<'a> Span<'a> {
    fn decode(bytes: &mut Reader<'a>) -> Option<Self> {
        let group = bytes.text()?;
        let trace = read_same(bytes, group)?;
        let (id, parent) = (bytes.text()?, bytes.text()?);
        let role = *Role::ALL.get(usize::from(bytes.byte()?))?;
        let flags = Flags(u16::try_from(bytes.unsigned()?).ok()?);
        let has_start = bytes.byte()? != 0;
        let base = bytes.fixed()?;
        let absolute = |at: Option<Nanos>| at.map(|at| at.wrapping_add(base));
        let end = absolute(bytes.optional()?);
        let first_token = absolute(bytes.optional()?);
        let version = bytes.signed()?.wrapping_add(base);
        let known = bytes.byte()?;
        let mut tokens = |idx: u8| match known >> idx & 1 {
            0 => Some(None),
            _ => bytes.signed().map(Some),
        };
        let usage = Usage {
            input: tokens(0)?,
            output: tokens(1)?,
            cache_read: tokens(2)?,
            cache_write: tokens(3)?,
            reasoning: tokens(4)?,
        };
        let cost = bytes.optional()?;
        let retries = u32::try_from(bytes.unsigned()?).ok()?;
        let response = bytes.fixed()? as u64;
        let n_texts = usize::try_from(bytes.unsigned()?).ok()?;
        let mut texts = Vec::with_capacity(n_texts.min(256));
        for _ in 0..n_texts {
            let (code, rank) = (bytes.byte()?, bytes.byte()?);
            texts.push(Text {
                field: Field::from_code(code),
                rank,
                text: bytes.text()?.into(),
            });
        }
        Some(Self {
            group: group.into(),
            trace: trace.into(),
            id: id.into(),
            parent: parent.into(),
            role,
            flags,
            start: has_start.then_some(base),
            end,
            first_token,
            version,
            usage,
            cost,
            retries,
            response,
            texts,
        })
    }
}

impl Score<'_> {
    /// Appends the record. The first text is the group.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let out = &mut Writer(out);
        out.0.push(SCORE);
        let (group, span) = match &self.target {
            Target::Trace(trace, span) => (trace, Some(span)),
            Target::Session(session) => (session, None),
            Target::Response(_) => (&Cow::Borrowed(""), None),
        };
        out.text(group);
        match &self.target {
            Target::Trace(..) => out.0.push(0),
            Target::Session(_) => out.0.push(1),
            Target::Response(hash) => {
                out.0.push(2);
                out.fixed(*hash as i64);
            }
        }
        out.text(span.map_or("", |span| span));
        out.text(&self.id);
        out.0.push(self.rule);
        out.real(self.value);
        out.optional(self.at);
        out.signed(self.version);
    }
}

impl<'a> Score<'a> {
    pub(super) fn decode(bytes: &mut Reader<'a>) -> Option<Self> {
        let group = bytes.text()?;
        let kind = bytes.byte()?;
        let hash = if kind == 2 { bytes.fixed()? as u64 } else { 0 };
        let span = bytes.text()?;
        Some(Self {
            target: match kind {
                0 => Target::Trace(group.into(), span.into()),
                1 => Target::Session(group.into()),
                _ => Target::Response(hash),
            },
            id: bytes.text()?.into(),
            rule: bytes.byte()?,
            value: bytes.real()?,
            at: bytes.optional()?,
            version: bytes.signed()?,
        })
    }
}

impl<'a> Record<'a> {
    /// Reads a record. `None` if it is damaged.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        match bytes.byte()? {
            SPAN => Some(Self::Span(Box::new(Span::decode(&mut bytes)?))),
            SCORE => Score::decode(&mut bytes).map(Self::Score),
            _ => None,
        }
    }

    /// The group of an encoded record.
    pub(super) fn group_of(bytes: &'a [u8]) -> Option<&'a str> {
        Reader(bytes.get(1..)?).text()
    }
}

#[cfg(test)]
mod tests;

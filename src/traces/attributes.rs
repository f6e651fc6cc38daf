//! Attributes of spans, in all dialects: what each key says about a span.

use hashbrown::HashMap;
use std::borrow::Cow;
use std::sync::LazyLock;

use crate::traces::kinds::{Dialect, role_of};
use crate::traces::record::{Field, Flags, NAMED, Nanos, Role, Span, Target, name_hash};
use crate::traces::settings::Settings;
use crate::traces::sink::{RawScore, pico_usd, text_of};
use crate::traces::value::Value;

/// What an attribute says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The text of a field, with its rank.
    Text(Field, u8),
    Input,
    Output,
    CacheRead,
    CacheWrite,
    Reasoning,
    /// Tokens as an object: MLflow.
    Tokens,
    /// USD.
    Cost,
    /// USD as an object with `total`.
    CostDetails,
    /// The kind of a span, in the words of one dialect.
    Kind(Dialect),
    /// Seconds from the start to the first token.
    FirstTokenSeconds,
    /// Milliseconds from the start to the first token.
    FirstTokenMillis,
    /// The instant of the first token.
    FirstTokenAt,
    /// The span failed, if there is a text.
    ErrorType,
    /// `failed` for a failed call of a tool.
    ToolStatus,
    /// The result of a tool, whose `isError` says that it failed.
    ToolResult,
    /// The turn is a test.
    Test,
    /// The turn is mirrored, if true.
    Silent,
    /// The environment, where `langfuse-...` is an evaluation.
    Environment,
    ResponseId,
    /// An object, or its JSON text, with identities: user, release, tenant.
    Metadata,
    Stream,
    /// A score of the trace: the end state of a session.
    EndState,
}

/// The keys of all dialects.
const TABLE: &[(&str, Meaning)] = &[
    ("user.id", Meaning::Text(Field::User, 1)),
    (
        "traceloop.association.properties.user_id",
        Meaning::Text(Field::User, 1),
    ),
    ("workflow.user_id", Meaning::Text(Field::User, 1)),
    ("langfuse.user.id", Meaning::Text(Field::User, 1)),
    ("ai.telemetry.metadata.userId", Meaning::Text(Field::User, 2)),
    ("enduser.id", Meaning::Text(Field::User, 2)),
    ("user_id", Meaning::Text(Field::User, 2)),
    ("gen_ai.user", Meaning::Text(Field::User, 3)),
    ("gen_ai.request.user", Meaning::Text(Field::User, 3)),
    ("enduser.pseudo.id", Meaning::Text(Field::User, 4)),
    ("gen_ai.conversation.id", Meaning::Text(Field::Session, 1)),
    ("session.id", Meaning::Text(Field::Session, 1)),
    (
        "traceloop.association.properties.session_id",
        Meaning::Text(Field::Session, 1),
    ),
    ("workflow.session_id", Meaning::Text(Field::Session, 1)),
    ("langfuse.session.id", Meaning::Text(Field::Session, 1)),
    (
        "ai.telemetry.metadata.sessionId",
        Meaning::Text(Field::Session, 2),
    ),
    ("session_id", Meaning::Text(Field::Session, 2)),
    ("release_id", Meaning::Text(Field::Release, 1)),
    (
        "traceloop.association.properties.release_id",
        Meaning::Text(Field::Release, 1),
    ),
    ("langfuse.release", Meaning::Text(Field::Release, 1)),
    (
        "ai.telemetry.metadata.release_id",
        Meaning::Text(Field::Release, 1),
    ),
    ("feature_flag.result.variant", Meaning::Text(Field::Release, 2)),
    ("operation.version", Meaning::Text(Field::Release, 3)),
    ("service.version", Meaning::Text(Field::Release, 4)),
    ("gen_ai.agent.version", Meaning::Text(Field::Release, 5)),
    ("tenant.id", Meaning::Text(Field::Tenant, 1)),
    ("tenant_id", Meaning::Text(Field::Tenant, 1)),
    (
        "traceloop.association.properties.tenant_id",
        Meaning::Text(Field::Tenant, 1),
    ),
    ("feature", Meaning::Text(Field::Feature, 1)),
    (
        "traceloop.association.properties.feature",
        Meaning::Text(Field::Feature, 1),
    ),
    ("agent.layer", Meaning::Text(Field::Layer, 1)),
    ("user_layer", Meaning::Text(Field::Layer, 1)),
    ("gen_ai.response.model", Meaning::Text(Field::Model, 1)),
    ("llm.response.model_name", Meaning::Text(Field::Model, 1)),
    ("ai.response.model", Meaning::Text(Field::Model, 1)),
    ("mlflow.llm.model", Meaning::Text(Field::Model, 2)),
    ("llm.model_name", Meaning::Text(Field::Model, 2)),
    ("embedding.model_name", Meaning::Text(Field::Model, 2)),
    ("langfuse.observation.model.name", Meaning::Text(Field::Model, 2)),
    ("gen_ai.request.model", Meaning::Text(Field::RequestedModel, 1)),
    ("llm.request.model_name", Meaning::Text(Field::RequestedModel, 1)),
    ("ai.model.id", Meaning::Text(Field::RequestedModel, 2)),
    ("gen_ai.prompt.name", Meaning::Text(Field::Prompt, 1)),
    ("traceloop.prompt.key", Meaning::Text(Field::Prompt, 1)),
    ("prompt.id", Meaning::Text(Field::Prompt, 2)),
    ("gen_ai.prompt.version", Meaning::Text(Field::PromptVersion, 1)),
    ("traceloop.prompt.version", Meaning::Text(Field::PromptVersion, 1)),
    (
        "llm.prompt_template.version",
        Meaning::Text(Field::PromptVersion, 2),
    ),
    ("service.name", Meaning::Text(Field::Service, 1)),
    ("gen_ai.agent.name", Meaning::Text(Field::Agent, 1)),
    ("agent.name", Meaning::Text(Field::Agent, 1)),
    ("gen_ai.usage.input_tokens", Meaning::Input),
    ("gen_ai.usage.prompt_tokens", Meaning::Input),
    ("llm.token_count.prompt", Meaning::Input),
    ("llm.usage.prompt_tokens", Meaning::Input),
    ("ai.usage.promptTokens", Meaning::Input),
    ("ai.usage.inputTokens", Meaning::Input),
    ("gen_ai.usage.output_tokens", Meaning::Output),
    ("gen_ai.usage.completion_tokens", Meaning::Output),
    ("llm.token_count.completion", Meaning::Output),
    ("llm.usage.completion_tokens", Meaning::Output),
    ("ai.usage.completionTokens", Meaning::Output),
    ("ai.usage.outputTokens", Meaning::Output),
    ("gen_ai.usage.cache_read.input_tokens", Meaning::CacheRead),
    ("gen_ai.usage.cache_read_input_tokens", Meaning::CacheRead),
    ("llm.token_count.prompt_details.cache_read", Meaning::CacheRead),
    ("ai.usage.cachedInputTokens", Meaning::CacheRead),
    ("gen_ai.usage.cache_write.input_tokens", Meaning::CacheWrite),
    ("gen_ai.usage.cache_creation.input_tokens", Meaning::CacheWrite),
    ("gen_ai.usage.cache_creation_input_tokens", Meaning::CacheWrite),
    ("llm.token_count.prompt_details.cache_write", Meaning::CacheWrite),
    ("gen_ai.usage.reasoning.output_tokens", Meaning::Reasoning),
    ("gen_ai.usage.reasoning_tokens", Meaning::Reasoning),
    ("llm.token_count.completion_details.reasoning", Meaning::Reasoning),
    ("ai.usage.reasoningTokens", Meaning::Reasoning),
    ("mlflow.chat.tokenUsage", Meaning::Tokens),
    ("langfuse.observation.usage_details", Meaning::Tokens),
    ("llm.cost.total", Meaning::Cost),
    ("gen_ai.usage.total_cost", Meaning::Cost),
    ("gen_ai.usage.cost", Meaning::Cost),
    ("cost_usd", Meaning::Cost),
    ("mlflow.llm.cost", Meaning::CostDetails),
    ("langfuse.observation.cost_details", Meaning::CostDetails),
    ("openinference.span.kind", Meaning::Kind(Dialect::OpenInference)),
    ("gen_ai.operation.name", Meaning::Kind(Dialect::Convention)),
    ("mcp.method.name", Meaning::Kind(Dialect::Mcp)),
    ("ai.operationId", Meaning::Kind(Dialect::Vercel)),
    ("traceloop.span.kind", Meaning::Kind(Dialect::Traceloop)),
    ("agentops.span.kind", Meaning::Kind(Dialect::AgentOps)),
    ("mlflow.spanType", Meaning::Kind(Dialect::Mlflow)),
    ("langfuse.observation.type", Meaning::Kind(Dialect::Langfuse)),
    ("llm.request.type", Meaning::Kind(Dialect::RequestType)),
    ("gen_ai.request.type", Meaning::Kind(Dialect::RequestType)),
    ("gen_ai.response.time_to_first_chunk", Meaning::FirstTokenSeconds),
    ("gen_ai.streaming.time_to_first_token", Meaning::FirstTokenSeconds),
    ("ai.response.msToFirstChunk", Meaning::FirstTokenMillis),
    (
        "langfuse.observation.completion_start_time",
        Meaning::FirstTokenAt,
    ),
    ("error.type", Meaning::ErrorType),
    ("tool.status", Meaning::ToolStatus),
    ("gen_ai.tool.call.result", Meaning::ToolResult),
    ("traceloop.entity.output", Meaning::ToolResult),
    ("output.value", Meaning::ToolResult),
    ("mlflow.spanOutputs", Meaning::ToolResult),
    ("langfuse.observation.output", Meaning::ToolResult),
    ("test.case.name", Meaning::Test),
    ("gen_ai.test_case.id", Meaning::Test),
    ("gen_ai.test_case.name", Meaning::Test),
    ("mlflow.trace.sourceScorer", Meaning::Test),
    ("is_silent_experiment", Meaning::Silent),
    ("deployment.environment.name", Meaning::Environment),
    ("deployment.environment", Meaning::Environment),
    ("langfuse.environment", Meaning::Environment),
    ("gen_ai.response.id", Meaning::ResponseId),
    ("metadata", Meaning::Metadata),
    ("llm.is_streaming", Meaning::Stream),
    ("gen_ai.request.stream", Meaning::Stream),
    ("agentops.session.end_state", Meaning::EndState),
];

/// Keys of metadata with identities.
pub(super) const METADATA: [(&str, Field, u8); 12] = [
    ("user_id", Field::User, 2),
    ("session_id", Field::Session, 2),
    ("thread_id", Field::Session, 3),
    ("conversation_id", Field::Session, 3),
    ("release_id", Field::Release, 1),
    ("release", Field::Release, 2),
    ("tenant_id", Field::Tenant, 1),
    ("feature", Field::Feature, 1),
    ("layer", Field::Layer, 2),
    ("user_layer", Field::Layer, 1),
    ("environment", Field::Environment, 2),
    ("agent", Field::Agent, 3),
];

/// Cached tokens in an object of tokens.
const CACHE_READ: [&str; 3] = [
    "cache_read_input_tokens",
    "input_cached_tokens",
    "prompt_tokens_details.cached_tokens",
];
const CACHE_WRITE: [&str; 3] = [
    "cache_creation_input_tokens",
    "input_cache_creation",
    "prompt_tokens_details.cache_write_tokens",
];

static MEANINGS: LazyLock<HashMap<&'static str, Meaning>> = LazyLock::new(|| TABLE.iter().copied().collect());

/// The names of users' and releases' keys, for messages.
pub(super) fn keys_of(field: Field) -> Vec<&'static str> {
    let mut keys: Vec<(u8, &str)> = TABLE
        .iter()
        .filter_map(|(key, meaning)| match meaning {
            Meaning::Text(known, rank) if *known == field => Some((*rank, *key)),
            _ => None,
        })
        .collect();
    keys.sort();
    keys.into_iter().map(|(_, key)| key).collect()
}

/// The keys that a source's own columns need, beside those of the dialects.
pub(super) struct NamedKeys {
    /// For each first part of a path: the number of the column and the rest of the path.
    by_key: HashMap<String, Vec<(usize, String)>>,
    /// The same for attributes of the resource.
    by_resource_key: HashMap<String, Vec<(usize, String)>>,
}

impl NamedKeys {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut keys = Self {
            by_key: HashMap::new(),
            by_resource_key: HashMap::new(),
        };
        for (number, named) in settings.named.iter().enumerate() {
            let (path, is_resource) = plain_path(&named.path);
            let places = if is_resource {
                &mut keys.by_resource_key
            } else {
                &mut keys.by_key
            };
            let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
            for end in ends {
                let rest = path[end..].trim_start_matches('.').to_owned();
                places
                    .entry(path[..end].to_owned())
                    .or_default()
                    .push((number, rest));
            }
        }
        keys
    }
}

/// A path without the words before the key of the attribute, and whether it is one of the resource.
fn plain_path(path: &str) -> (Cow<'_, str>, bool) {
    let (path, is_resource) = match path.strip_prefix("resource.") {
        Some(rest) => (rest, true),
        None => (path, false),
    };
    let path = path.strip_prefix("attributes.").unwrap_or(path);
    let path = match path
        .strip_prefix("attributes[\"")
        .and_then(|rest| rest.split_once("\"]"))
    {
        Some((key, rest)) => Cow::Owned(format!("{key}{rest}")),
        None => Cow::Borrowed(path),
    };
    (path, is_resource)
}

/// What an attribute is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) meaning: Option<Meaning>,
    pub(super) is_named: bool,
    pub(super) is_score: bool,
}

impl NamedKeys {
    /// What a key is wanted for. `None` if its value need not be read.
    pub(super) fn wanted(&self, key: &str, is_resource: bool) -> Option<Wanted> {
        let meaning = MEANINGS.get(key).copied();
        let wanted = Wanted {
            meaning,
            is_named: !self.places(is_resource).is_empty() && self.places(is_resource).contains_key(key),
            // No key of the table is part of a score.
            is_score: meaning.is_none() && is_score_key(key),
        };
        (wanted.meaning.is_some() || wanted.is_named || wanted.is_score).then_some(wanted)
    }

    fn places(&self, is_resource: bool) -> &HashMap<String, Vec<(usize, String)>> {
        if is_resource {
            &self.by_resource_key
        } else {
            &self.by_key
        }
    }
}

/// Whether a key is part of an annotation or an evaluation of OpenInference.
fn is_score_key(key: &str) -> bool {
    matches!(key.as_bytes().first(), Some(b'a' | b'e' | b't' | b's'))
        && (key.contains("annotations.") || key.contains("evaluations."))
}

/// Facts of a span while its attributes are read.
pub(super) struct Facts<'a> {
    pub(super) span: Span<'a>,
    kinds: Vec<(Dialect, Cow<'a, str>)>,
    is_tool_error: bool,
    is_failed: bool,
    first_token: Option<Nanos>,
    /// Nanoseconds from the start to the first token.
    wait: Option<i64>,
    /// Parts of annotations and evaluations: prefix, part, value.
    scores: Vec<(String, String, Value<'a>)>,
    end_state: Option<Cow<'a, str>>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(span: Span<'a>) -> Self {
        Self {
            span,
            kinds: Vec::new(),
            is_tool_error: false,
            is_failed: false,
            first_token: None,
            wait: None,
            scores: Vec::new(),
            end_state: None,
        }
    }

    /// Takes an attribute.
    pub(super) fn add(
        &mut self,
        key: &str,
        value: Value<'a>,
        wanted: Wanted,
        keys: &NamedKeys,
        settings: &Settings,
        is_resource: bool,
    ) {
        if wanted.is_named {
            for (number, rest) in keys.places(is_resource).get(key).into_iter().flatten() {
                if let Some(text) = text_of(&value.at(rest)) {
                    let field = settings.named[*number].field;
                    self.span.put(field, NAMED, text.into_owned());
                }
            }
        }
        if wanted.is_score {
            self.add_score_part(key, &value);
        }
        if let Some(meaning) = wanted.meaning {
            self.understand(meaning, value);
        }
    }

    fn understand(&mut self, meaning: Meaning, value: Value<'a>) {
        let span = &mut self.span;
        let put = |slot: &mut Option<i64>, value: &Value<'_>| *slot = value.whole().or(*slot);
        match meaning {
            Meaning::Text(field, rank) => {
                if let Some(text) = text_of(&value) {
                    // MLflow writes texts as JSON.
                    let text = match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                        Some(inner) => inner.to_owned().into(),
                        None => text,
                    };
                    span.put(field, rank, text);
                }
            }
            Meaning::Input => put(&mut span.usage.input, &value),
            Meaning::Output => put(&mut span.usage.output, &value),
            Meaning::CacheRead => put(&mut span.usage.cache_read, &value),
            Meaning::CacheWrite => put(&mut span.usage.cache_write, &value),
            Meaning::Reasoning => put(&mut span.usage.reasoning, &value),
            Meaning::Tokens => {
                let tokens = value.parsed();
                let usage = &mut span.usage;
                for (slot, names) in [
                    (&mut usage.input, ["input_tokens", "prompt_tokens", "input"]),
                    (
                        &mut usage.output,
                        ["output_tokens", "completion_tokens", "output"],
                    ),
                    (&mut usage.cache_read, CACHE_READ),
                    (&mut usage.cache_write, CACHE_WRITE),
                ] {
                    names.iter().for_each(|name| put(slot, &tokens.at(name)));
                }
                // Langfuse takes cached tokens out of what it calls the input.
                span.flags
                    .set(Flags::CACHE_BESIDE, !tokens.get("input").is_null());
            }
            Meaning::Cost => span.cost = value.number().and_then(pico_usd).or(span.cost),
            Meaning::CostDetails => {
                let details = value.parsed();
                let total = details
                    .get("total")
                    .number()
                    .or_else(|| details.get("total_cost").number());
                span.cost = total.and_then(pico_usd).or(span.cost);
            }
            Meaning::Kind(dialect) => {
                if let Some(text) = text_of(&value) {
                    self.kinds.push((dialect, text));
                }
            }
            Meaning::FirstTokenSeconds => self.wait = value.number().map(|wait| (wait * 1e9) as i64),
            Meaning::FirstTokenMillis => self.wait = value.number().map(|wait| (wait * 1e6) as i64),
            Meaning::FirstTokenAt => {
                let text = text_of(&value).map(|text| Value::Text(text.trim_matches('"').to_owned().into()));
                self.first_token = text
                    .and_then(|text| text.instant())
                    .map(crate::traces::sink::nanos);
            }
            Meaning::ErrorType => {
                if let Some(text) = text_of(&value) {
                    self.is_failed = true;
                    span.put(Field::ErrorType, 1, text);
                }
            }
            Meaning::ToolStatus => {
                self.is_tool_error |= value
                    .text()
                    .is_some_and(|text| text.eq_ignore_ascii_case("failed"));
            }
            Meaning::ToolResult => self.is_tool_error |= says_is_error(&value),
            Meaning::Test => span.flags.set(Flags::EVAL, !value.is_null()),
            Meaning::Silent => span.flags.set(Flags::SHADOW, value.flag() == Some(true)),
            Meaning::Environment => {
                if let Some(text) = text_of(&value) {
                    span.flags.set(Flags::EVAL, text.starts_with("langfuse-"));
                    span.put(Field::Environment, 1, text);
                }
            }
            Meaning::ResponseId => {
                if let Some(text) = text_of(&value) {
                    span.response = name_hash(&text);
                }
            }
            Meaning::Metadata => {
                let metadata = value.parsed();
                for (key, field, rank) in METADATA {
                    if let Some(text) = text_of(&metadata.at(key)) {
                        span.put(field, rank, text.into_owned());
                    }
                }
            }
            Meaning::Stream => span.flags.set(Flags::STREAM, value.flag() == Some(true)),
            Meaning::EndState => {
                self.end_state = text_of(&value);
                let state = self.end_state.as_deref().unwrap_or_default().to_ascii_lowercase();
                self.is_failed |= matches!(state.as_str(), "error" | "fail" | "failed" | "failure");
            }
        }
    }

    fn add_score_part(&mut self, key: &str, value: &Value<'a>) {
        // trace.annotations.0.annotation.name
        let Some((prefix, part)) = key.rsplit_once('.') else {
            return;
        };
        if matches!(part, "name" | "label" | "score" | "value") {
            self.scores
                .push((prefix.to_owned(), part.to_owned(), value.clone()));
        }
    }

    /// The finished span, and its scores.
    pub(super) fn finish(mut self) -> (Span<'a>, Vec<(Target<'a>, RawScore<'a>)>) {
        self.kinds.sort_by_key(|(dialect, _)| *dialect);
        self.span.role = role_of(&self.kinds, &self.span);
        let is_tool = self.span.role == Role::Tool;
        self.span
            .flags
            .set(Flags::ERROR, self.is_failed || is_tool && self.is_tool_error);
        let after = |wait: i64| Some(self.span.start?.saturating_add(wait.max(0)));
        self.span.first_token = self.first_token.or_else(|| after(self.wait?));
        let scores = self.scores_of();
        (self.span, scores)
    }

    fn scores_of(&self) -> Vec<(Target<'a>, RawScore<'a>)> {
        let span = &self.span;
        let mut scores: Vec<(Target<'a>, RawScore<'a>)> = Vec::new();
        let mut prefixes: Vec<&str> = self.scores.iter().map(|(prefix, ..)| prefix.as_str()).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        for prefix in prefixes {
            let part = |name: &str| {
                let mut parts = self.scores.iter().filter(|(known, ..)| known == prefix);
                parts.find(|(_, part, _)| part == name).map(|(.., value)| value)
            };
            let Some(name) = part("name").and_then(text_of) else {
                continue;
            };
            let target = if prefix.starts_with("session.") {
                match span.text(Field::Session) {
                    Some(session) => Target::Session(session.to_owned().into()),
                    None => continue,
                }
            } else if prefix.starts_with("trace.") {
                Target::Trace(span.trace.clone(), "".into())
            } else {
                Target::Trace(span.trace.clone(), span.id.clone())
            };
            let raw = RawScore {
                id: format!("{}/{prefix}", span.id).into(),
                name,
                number: part("score").and_then(Value::number),
                label: part("label").and_then(text_of),
                at: span.end,
                version: span.end.unwrap_or(0),
            };
            scores.push((target, raw));
        }
        if let Some(state) = &self.end_state {
            let raw = RawScore {
                name: "agentops.session.end_state".into(),
                label: Some(state.clone()),
                at: span.end,
                ..RawScore::default()
            };
            scores.push((Target::Trace(span.trace.clone(), span.id.clone()), raw));
        }
        scores
    }
}

/// The key by which the result of a tool says that it failed, in MCP.
pub(super) const IS_ERROR: &str = "isError";

/// Whether the result of a tool says that it failed.
pub(super) fn says_is_error(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) if !text.contains(IS_ERROR) => false,
        Value::Null => false,
        other => other.at(IS_ERROR).flag() == Some(true),
    }
}

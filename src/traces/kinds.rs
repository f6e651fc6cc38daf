//! Kinds of spans in the words of each dialect, and the roles that they say.

use std::borrow::Cow;

use crate::traces::record::{Role, Span};

/// A dialect with words of its own for the kind of a span. The first in this order is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dialect {
    OpenInference,
    Convention,
    Mcp,
    Vercel,
    Traceloop,
    AgentOps,
    Mlflow,
    Langfuse,
    RequestType,
}

/// The role that a kind says. `None` for an unknown word.
fn role_of_kind(dialect: Dialect, kind: &str) -> Option<Role> {
    let kind = kind.trim_matches('"');
    let kind = match kind.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(kind.to_ascii_lowercase()),
        false => Cow::Borrowed(kind),
    };
    let role = match dialect {
        Dialect::Mcp => return (kind == "tools/call").then_some(Role::Tool),
        Dialect::Vercel => match kind.as_ref() {
            "ai.toolcall" => Role::Tool,
            kind if kind.contains(".do") && kind.starts_with("ai.embed") => Role::Embedding,
            kind if kind.contains(".do") => Role::Inference,
            kind if kind.starts_with("ai.embed") => Role::Step,
            _ => Role::Agent,
        },
        _ => match kind.as_ref() {
            "chat" | "text_completion" | "generate_content" | "completion" | "llm" | "generation"
            | "chat_model" | "llm.call" => Role::Inference,
            "invoke_agent" | "create_agent" | "invoke_workflow" | "agent" | "chain" | "workflow"
            | "session" => Role::Agent,
            "execute_tool" | "tool" => Role::Tool,
            "embeddings" | "embedding" | "embed" | "reranker" | "rerank" | "rerank_model" => Role::Embedding,
            "evaluator" | "judge" | "scorer" => Role::Evaluator,
            "unknown" | "span" | "event" | "http" => return None,
            _ => Role::Step,
        },
    };
    Some(role)
}

/// The role of a span: what the first known kind says, by the order of dialects.
pub(super) fn role_of(kinds: &[(Dialect, Cow<'_, str>)], span: &Span<'_>) -> Role {
    let mut roles = kinds
        .iter()
        .filter_map(|(dialect, kind)| role_of_kind(*dialect, kind));
    // Old files have the words `unknown` and `span` beside tokens.
    match roles.next() {
        Some(role) => role,
        None if span.usage.has_tokens() => Role::Inference,
        None => Role::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_all_dialects_have_their_role() {
        let check = |dialect: Dialect, kinds: &str, expected: Option<Role>| {
            for kind in kinds.split(' ') {
                assert_eq!(role_of_kind(dialect, kind), expected, "{kind}");
            }
        };
        let inference = Some(Role::Inference);
        let (agent, tool, step) = (Some(Role::Agent), Some(Role::Tool), Some(Role::Step));
        let openinference = Dialect::OpenInference;
        check(openinference, "LLM", inference);
        check(openinference, "AGENT CHAIN", agent);
        check(openinference, "TOOL", tool);
        check(openinference, "EMBEDDING RERANKER", Some(Role::Embedding));
        check(openinference, "EVALUATOR", Some(Role::Evaluator));
        check(openinference, "RETRIEVER GUARDRAIL PROMPT DECISION", step);
        check(openinference, "UNKNOWN", None);
        check(
            Dialect::Convention,
            "chat generate_content text_completion",
            inference,
        );
        check(
            Dialect::Convention,
            "invoke_agent invoke_workflow create_agent",
            agent,
        );
        check(Dialect::Convention, "execute_tool", tool);
        check(Dialect::Convention, "plan retrieval search_memory", step);
        check(Dialect::Convention, "embeddings", Some(Role::Embedding));
        check(Dialect::AgentOps, "llm llm.call", inference);
        check(Dialect::AgentOps, "session workflow agent chain", agent);
        check(Dialect::AgentOps, "task operation guardrail", step);
        check(Dialect::AgentOps, "http unknown", None);
        check(Dialect::Mlflow, "\"CHAT_MODEL\"", inference);
        check(Dialect::Mlflow, "\"RETRIEVER\" \"PARSER\" \"MEMORY\"", step);
        check(Dialect::Mcp, "tools/call", tool);
        check(Dialect::Mcp, "tools/list initialize", None);
        check(
            Dialect::Vercel,
            "ai.generateText.doGenerate ai.streamText.doStream",
            inference,
        );
        check(Dialect::Vercel, "ai.generateText ai.streamText", agent);
        check(Dialect::Vercel, "ai.toolCall", tool);
        check(Dialect::Vercel, "ai.embed.doEmbed", Some(Role::Embedding));
    }
}

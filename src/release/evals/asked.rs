//! What was asked in a case: the digest that identifies a case whose id does not.

use serde_json::{Map, Value};

use crate::base::json;

/// The names of inputs that a run adds: ids of the run, and what its search found. Names are compared
/// in lower case, without `_`, `-` and spaces.
const ADDED: [&str; 20] = [
    "sessionid",
    "conversationid",
    "threadid",
    "chatid",
    "requestid",
    "clientrequestid",
    "messageid",
    "traceid",
    "spanid",
    "runid",
    "evalid",
    "correlationid",
    "uuid",
    "nonce",
    "testidx",
    "timestamp",
    "retrievedcontexts",
    "retrievalcontext",
    "retrieveddocuments",
    "retrievedcontextids",
];

/// The digest of what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// The digest of all inputs but those that a run is known to add.
    pub(super) digest: String,
    /// The digest without inputs that look like random ids; `None` if no input does.
    pub(super) without_ids: Option<String>,
}

impl Asked {
    /// A digest of inputs without random ids.
    pub(super) fn new(digest: String) -> Self {
        Self {
            digest,
            without_ids: None,
        }
    }
}

/// Whether a run adds the input of this name. Names that begin with `_` are the tool's own.
pub(super) fn is_added(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(|sign| !matches!(sign, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect();
    name.starts_with('_') || ADDED.contains(&plain.as_str())
}

/// Returns the first 16 hexadecimal digits of the SHA-256 digest of a value's canonical form.
pub(super) fn hash_of(value: &Value) -> String {
    match json::canonical("", value) {
        Ok((_, digest)) => digest["sha256:".len()..][..16].to_owned(),
        Err(_) => value.to_string(),
    }
}

/// The parameters of a request to a model, which belong to the release and not to the question.
const OF_RELEASE: [&str; 16] = [
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n",
    "stop",
    "seed",
    "stream",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "system",
];

/// The inputs without what belongs to the release: in a request to a model, with `messages`, its
/// parameters and the messages of the system.
fn without_release(inputs: &Map<String, Value>) -> Map<String, Value> {
    let is_request = inputs.get("messages").is_some_and(Value::is_array);
    let kept = inputs
        .iter()
        .filter(|(name, _)| !is_request || !OF_RELEASE.contains(&name.as_str()));
    kept.map(|(name, value)| {
        (
            name.clone(),
            if is_request {
                of_messages(value)
            } else {
                value.clone()
            },
        )
    })
    .collect()
}

/// Whether a text looks like a random id: a UUID, or at least 20 hexadecimal digits with both letters
/// and figures.
fn is_random_id(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let plain = text.bytes().filter(|byte| *byte != b'-');
    let is_hex = plain.clone().all(|byte| byte.is_ascii_hexdigit());
    let is_uuid = text.len() == 36 && plain.clone().count() == 32;
    let is_mixed = || {
        text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    is_hex && (is_uuid || (text.len() >= 20 && !text.contains('-') && is_mixed()))
}

/// The digest of named inputs, without null, without what a run is known to add, and without those
/// for which `is_own` says so. If nothing is left, all inputs count.
pub(super) fn of_inputs(inputs: &Map<String, Value>, is_own: &dyn Fn(&str, &Value) -> bool) -> Asked {
    let inputs = without_release(inputs);
    let kept: Map<String, Value> = inputs
        .iter()
        .filter(|(name, value)| !is_added(name) && !value.is_null() && !is_own(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let kept = if kept.is_empty() { inputs } else { kept };
    let mut rest = kept.clone();
    rest.retain(|_, value| !is_random_id(value));
    let has_ids = rest.len() < kept.len() && !rest.is_empty();
    Asked {
        digest: hash_of(&Value::Object(kept)),
        without_ids: has_ids.then(|| hash_of(&Value::Object(rest))),
    }
}

/// The digest of an input and of what is expected of its answer. Absent, null and empty are the same;
/// `None` if all are.
pub(super) fn of_question(parts: &[Option<&Value>]) -> Option<String> {
    let is_empty = |part: &Value| match part {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        _ => false,
    };
    let parts: Vec<Option<&Value>> = parts
        .iter()
        .map(|part| part.filter(|part| !is_empty(part)))
        .collect();
    let is_there = parts.iter().any(Option::is_some);
    is_there.then(|| {
        let values = parts.into_iter().map(|part| part.cloned().unwrap_or_default());
        hash_of(&values.collect())
    })
}

/// What the user says in a dialogue: the texts of these messages. Answers, tools
/// and the prompt of the system belong to the release. Other values, and dialogues in which no user
/// speaks, stay what they are.
pub(super) fn of_messages(messages: &Value) -> Value {
    let is_of_user = |message: &&Value| {
        let role = message.get("role").or_else(|| message.get("type"));
        role.and_then(Value::as_str)
            .is_some_and(|role| matches!(role.to_lowercase().as_str(), "user" | "human"))
    };
    let asked: Vec<&Value> = messages
        .as_array()
        .into_iter()
        .flatten()
        .filter(is_of_user)
        .collect();
    if asked.is_empty() {
        return messages.clone();
    }
    let text = |message: &Value| message.get("content").cloned().unwrap_or_default();
    asked.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_run_adds_is_left_out() {
        let digest = |value: &Value| of_inputs(value.as_object().unwrap(), &|_, _| false);
        let asked = digest(&json!({"q": "refund?"}));
        for same in [
            json!({"q": "refund?", "sessionId": "a"}),
            json!({"q": "refund?", "session_id": "b"}),
            json!({"_conversation": [], "q": "refund?"}),
            json!({"q": "refund?", "retrieved_contexts": ["x"], "request-id": 7}),
            json!({"q": "refund?", "hint": null}),
        ] {
            assert_eq!(digest(&same), asked, "{same}");
        }
        for other in [
            json!({"q": "return?"}),
            json!({"q": "refund?", "context": "x"}),
            json!({"q": "refund?", "position": "manager"}),
        ] {
            assert_ne!(digest(&other), asked, "{other}");
        }
        // Inputs of which nothing would be left are kept.
        assert_ne!(digest(&json!({"uuid": "a"})), digest(&json!({"uuid": "b"})));
        let with_id = digest(&json!({"q": "refund?", "call": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}));
        assert_eq!(with_id.without_ids.as_ref(), Some(&asked.digest));
        assert_eq!(asked.without_ids, None);
    }

    #[test]
    fn the_prompt_of_the_system_belongs_to_the_release() {
        let digest = |value: &Value| of_inputs(value.as_object().unwrap(), &|_, _| false).digest;
        let user = json!({"role": "user", "content": "refund?", "id": "m-1"});
        let system = json!({"role": "system", "content": "v7"});
        let asked = digest(&json!({"messages": [user]}));
        let other = json!({"messages": [system, user], "model": "m", "temperature": 0});
        assert_eq!(digest(&other), asked);
        assert_ne!(
            digest(&json!({"messages": [{"role": "user", "content": "return?"}]})),
            asked
        );
        // Without messages, `model` is an input like others.
        assert_ne!(
            digest(&json!({"q": "price?", "model": "X1"})),
            digest(&json!({"q": "price?", "model": "X2"}))
        );
        assert_eq!(of_messages(&json!("refund?")), json!("refund?"));
        assert_eq!(of_messages(&json!([system])), json!([system]));
        let talk = json!([{"type": "human", "content": "hi"}, {"type": "ai", "content": "hello"}]);
        assert_eq!(of_messages(&talk), json!(["hi"]));
    }

    #[test]
    fn a_question_without_parts_has_no_digest() {
        assert_eq!(of_question(&[None, Some(&json!(""))]), None);
        let question = of_question(&[Some(&json!("q")), None]);
        assert_eq!(question, of_question(&[Some(&json!("q")), Some(&json!(null))]));
        assert_ne!(question, of_question(&[Some(&json!("q")), Some(&json!("a"))]));
    }
}

//! Whether the text of a reference names one fixed artifact, and why not.

use crate::words::Text;
use crate::words::references as says;

/// Names of versions that point to the newest artifact.
const FLOATING: [&str; 18] = [
    "candidate",
    "canary",
    "current",
    "default",
    "edge",
    "head",
    "latest",
    "live",
    "main",
    "master",
    "newest",
    "nightly",
    "prod",
    "production",
    "stable",
    "staging",
    "trunk",
    "develop",
];
/// Words that float as the last word of a name, too. The others are common in names (`cs_main`).
const FLOATING_AT_END: [&str; 9] = [
    "current",
    "head",
    "latest",
    "live",
    "newest",
    "nightly",
    "prod",
    "production",
    "staging",
];
/// Routers: a name at them stands for a model that their settings choose.
const ROUTERS: [&str; 5] = ["litellm", "openrouter", "portkey", "router", "gateway"];
/// Stores that take `latest` where a reference has no tag.
const TAGGED: [&str; 4] = ["docker", "ghcr.io", "oci", "ollama"];
/// Providers and families of models that are moved to newer versions, unless a name has a date.
const PROVIDERS: [&str; 21] = [
    "ai21",
    "anthropic",
    "bedrock",
    "cohere",
    "dashscope",
    "deepseek",
    "fireworks_ai",
    "gemini",
    "google",
    "groq",
    "mistral",
    "moonshot",
    "openai",
    "perplexity",
    "qwen",
    "replicate",
    "together_ai",
    "vertex",
    "vertex_ai",
    "voyage",
    "xai",
];
const FAMILIES: [&str; 20] = [
    "chatgpt-",
    "claude-",
    "codestral-",
    "command-",
    "dall-e-",
    "deepseek-",
    "embed-",
    "gemini-",
    "glm-",
    "gpt-",
    "grok-",
    "kimi-",
    "mistral-",
    "o1",
    "o3",
    "o4-",
    "qwen-",
    "sonar",
    "text-embedding-",
    "whisper-",
];

/// The reason why the target of a reference without a whole digest may change; `None` if the
/// reference names one version: a number, a date or a commit.
pub(super) fn floats_because(reference: &str) -> Option<Text> {
    let text = reference.trim();
    let words = |part: &str| -> Vec<String> {
        part.split(['_', '-', '.', '@', ':', '=', '/', '#', '?', '&'])
            .map(str::to_ascii_lowercase)
            .collect()
    };
    if words(text).iter().any(|word| word == "alias") {
        return Some(says::alias_moves());
    }
    if let Some((_, query)) = text.split_once('?') {
        let entry = |key: &str| {
            query
                .split('&')
                .find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
        };
        match (
            entry("version").or_else(|| entry("revision")),
            entry("label").or_else(|| entry("alias")),
        ) {
            (Some(version), _) => return version_floats(version),
            (None, Some(label)) => return Some(says::label_moves(label)),
            (None, None) => {}
        }
    }
    if let Some((name, version)) = text.rsplit_once('@').filter(|(name, _)| !name.is_empty()) {
        // A truncated digest. Another check asks for the rest of it.
        if version.starts_with("sha") {
            return None;
        }
        return if is_dated(name) {
            None
        } else {
            version_floats(version)
        };
    }
    // A route with what it leads to: `litellm:smart=gpt-4o-mini-2025-11`.
    match text.rsplit_once('=') {
        Some((_, target)) if !target.is_empty() => name_floats(target, None),
        _ => name_floats(text, Some(text)),
    }
}

/// The reason why the text after `@` is no fixed version.
fn version_floats(version: &str) -> Option<Text> {
    let exact = version.trim().trim_start_matches('=');
    if is_version(exact) || is_commit(exact) || is_dated(exact) {
        return None;
    }
    if is_range(version) {
        return Some(says::is_range(version));
    }
    if is_floating(version) {
        return Some(says::not_fixed(version));
    }
    Some(says::is_alias(version))
}

/// The reason why a name without `@` floats. `whole` is the reference with the router in front.
fn name_floats(text: &str, whole: Option<&str>) -> Option<Text> {
    let segments: Vec<&str> = text
        .split([':', '/', '#'])
        .filter(|part| !part.is_empty())
        .collect();
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
        return Some(says::has_no_version());
    };
    let scheme = first.to_ascii_lowercase();
    let is_scheme = segments.len() > 1;
    // A fine-tuned model has an id of its own.
    let is_tuned = scheme == "ft" && text.split(':').count() >= 5 && is_scheme;
    let is_model_id = scheme == "models"
        && last
            .strip_prefix("m-")
            .is_some_and(|id| id.len() >= 8 && is_hex(id));
    let has_version = segments.len() > 1 && (is_version(last) || is_commit(last));
    let has_commit = scheme == "git" && segments.iter().any(|part| is_commit(part));
    if is_tuned || is_model_id || has_version || has_commit || is_dated(text) || ends_in_version(last) {
        return None;
    }
    if is_range(last) && is_scheme {
        return Some(says::is_range(*last));
    }
    if (is_scheme && is_floating(last)) || is_floating(text) {
        return Some(says::not_fixed(*last));
    }
    let end = last
        .rsplit(['_', '-', '.'])
        .next()
        .unwrap_or(last)
        .to_ascii_lowercase();
    if FLOATING_AT_END.contains(&end.as_str()) {
        return Some(says::not_fixed(&end));
    }
    if whole.is_some() && is_scheme && ROUTERS.contains(&scheme.as_str()) {
        return Some(says::is_route(*last, *first));
    }
    if is_scheme && ["azure", "azure_ai", "azure_openai"].contains(&scheme.as_str()) {
        return Some(says::is_deployment(*last));
    }
    if is_scheme && TAGGED.contains(&scheme.as_str()) {
        return Some(match text.matches(':').count() {
            0 | 1 => says::has_no_tag(*last),
            _ => says::tag_moves(*last),
        });
    }
    if is_scheme && scheme == "git" {
        return Some(says::is_branch(*last));
    }
    let name = last.to_ascii_lowercase();
    let is_of_provider = is_scheme && PROVIDERS.contains(&scheme.as_str());
    if is_of_provider || FAMILIES.iter().any(|family| name.starts_with(family)) {
        return Some(says::has_no_date(*last));
    }
    Some(says::has_no_version())
}

fn is_floating(word: &str) -> bool {
    FLOATING.contains(&word.to_ascii_lowercase().as_str())
}

/// Whether a text is a version: `7`, `v2`, `2.4.0`, `1.0.0-rc.1`, `002`.
fn is_version(text: &str) -> bool {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let (numbers, rest) = text.split_once(['-', '+']).unwrap_or((text, ""));
    let mut parts = numbers.split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.all(is_number)
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-+.".contains(&byte))
}

/// Whether a name ends in a version of its own: `gemini-1.5-pro-002`, `nomic-embed-text-v1.5`.
fn ends_in_version(name: &str) -> bool {
    let Some((_, last)) = name.rsplit_once(['-', '_']) else {
        return false;
    };
    let is_number =
        |text: &str| text.len() == 3 && text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    is_number(last) || (last.starts_with(['v', 'V']) && is_version(last))
}

/// Whether a text is a range of versions: `^7`, `~1.2`, `>=7`, `7.x`, `*`.
fn is_range(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(['^', '~', '>', '<', '!'])
        || text.contains("||")
        || text.contains(',')
        || text.split('.').any(|part| ["*", "x", "X"].contains(&part))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a text is a commit, or at least 7 digits of one, or the id of a version (UUID).
fn is_commit(text: &str) -> bool {
    let is_uuid = text.len() == 36 && text.split('-').all(is_hex) && text.matches('-').count() == 4;
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    is_uuid || (text.len() >= 7 && text.len() <= 64 && is_hex(text) && has_digit)
}

/// Whether a text has a date: `2024-08-06`, `20250219`, `2025-11`, `0613`, `2407`, `preview-05-20`.
fn is_dated(text: &str) -> bool {
    let words: Vec<&str> = text.split(|sign: char| !sign.is_ascii_alphanumeric()).collect();
    let number = |word: &str| {
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        word.parse::<u32>().ok().filter(|_| is_number)
    };
    let is_year =
        |word: &str| word.len() == 4 && number(word).is_some_and(|year| (2015..2100).contains(&year));
    let is_month =
        |word: &str| word.len() == 2 && number(word).is_some_and(|month| (1..=12).contains(&month));
    let is_day = |word: &str| word.len() == 2 && number(word).is_some_and(|day| (1..=31).contains(&day));
    // Years of two digits, as models have had them since 2022.
    let is_short_year =
        |word: &str| word.len() == 2 && number(word).is_some_and(|year| (22..40).contains(&year));
    let alone = |word: &&str| match word.len() {
        _ if number(word).is_none() => false,
        8 => is_year(&word[..4]) && is_month(&word[4..6]) && is_day(&word[6..]),
        6 => {
            (is_year(&word[..4]) && is_month(&word[4..]))
                || (is_short_year(&word[..2]) && is_month(&word[2..4]) && is_day(&word[4..]))
        }
        4 => {
            (is_month(&word[..2]) && is_day(&word[2..]))
                || (is_short_year(&word[..2]) && is_month(&word[2..]))
        }
        _ => false,
    };
    let pair =
        |pair: &[&str]| (is_year(pair[0]) && is_month(pair[1])) || (is_month(pair[0]) && is_year(pair[1]));
    let ends_in_day = matches!(words.as_slice(), [.., month, day] if is_month(month) && is_day(day));
    words.iter().any(alone) || words.windows(2).any(pair) || ends_in_day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_floats_says_why() {
        for (reference, part) in [
            (
                "anthropic:claude-3-7-sonnet-latest",
                "`latest` does not name a fixed version",
            ),
            ("anthropic/claude-3-7-sonnet-latest", "`latest`"),
            ("openai:chatgpt-4o-latest", "`latest`"),
            ("gemini:gemini-flash-latest", "`latest`"),
            ("litellm:smart=claude-3-5-sonnet-latest", "`latest`"),
            ("litellm:smart=gpt-4o", "`gpt-4o` has no date"),
            ("litellm:smart", "`smart` is a route of litellm"),
            ("litellm/smart", "`smart` is a route of litellm"),
            ("litellm:smart:prod", "`prod`"),
            ("models:/agent@champion", "`champion` is an alias"),
            (
                "models:/agent/Production",
                "`Production` does not name a fixed version",
            ),
            ("models:/agent", "no version"),
            ("prompts:/cs_main@champion", "`champion` is an alias"),
            ("openai:gpt-4o", "`gpt-4o` has no date"),
            ("openai/gpt-4o", "`gpt-4o` has no date"),
            ("gpt-4o", "`gpt-4o` has no date"),
            ("o3", "`o3` has no date"),
            ("claude-sonnet-4-5", "`claude-sonnet-4-5` has no date"),
            ("gemini-2.5-flash", "has no date"),
            ("bedrock:anthropic.claude-3-5-sonnet", "has no date"),
            ("azure/my-deployment", "a deployment of Azure"),
            ("azure:gpt-4o", "a deployment of Azure"),
            ("cs_main@^7", "`^7` is a range"),
            ("cs_main@7.x", "`7.x` is a range"),
            ("cs_main@~7", "`~7` is a range"),
            ("cs_main@~1.2", "`~1.2` is a range"),
            ("cs_main@>=7", "`>=7` is a range"),
            ("cs_main@*", "`*` is a range"),
            ("cs_main@1.*", "a range"),
            ("cs_main@latest", "`latest`"),
            ("cs_main@stable", "`stable`"),
            ("cs_main@main", "`main`"),
            ("cs_main@HEAD", "`HEAD`"),
            ("cs_main:production", "`production`"),
            ("langfuse:cs_main@production", "`production`"),
            ("langfuse:cs_main?label=production", "`production` is a label"),
            ("registry.example.com/agent:latest", "`latest`"),
            ("docker:agent", "no tag"),
            ("ollama:llama3", "`llama3` has no tag, so `latest` is taken"),
            ("ollama:llama3:latest", "`latest`"),
            ("ollama:llama3:8b", "the tag `8b`"),
            ("meta-llama/Llama-3.1-8B-Instruct@main", "`main`"),
            ("meta-llama/Llama-3.1-8B-Instruct", "no version"),
            ("git:main", "`main`"),
            ("git:feature-x", "a branch or a tag"),
            ("hub:org/prompt", "no version"),
            ("claude-3-5-sonnet@default", "`default`"),
            ("prompts/cs_main.txt", "it has no version and no digest"),
            ("golden_cs", "it has no version and no digest"),
            ("cs_main", "it has no version and no digest"),
            ("kb_current", "`current`"),
            ("kb/HEAD", "`HEAD`"),
            ("kb_alias:v12", "an alias"),
        ] {
            let found = floats_because(reference).unwrap_or_else(|| panic!("{reference} floats"));
            assert!(
                found.en.contains(part) && !found.zh.is_empty(),
                "{reference}: {found:?}"
            );
        }
    }

    #[test]
    fn dates_versions_and_commits_are_fixed() {
        for reference in [
            "gpt-4o-2024-08-06",
            "openai/gpt-4o-2024-08-06",
            "openai:gpt-4o-2024-08-06",
            "claude-3-7-sonnet-20250219",
            "gpt-4-0613",
            "gpt-4-1106-preview",
            "mistral-large-2407",
            "command-r-08-2024",
            "gemini-1.5-pro-002",
            "vertex_ai/gemini-1.5-pro-002",
            "gemini-2.5-flash-preview-05-20",
            "text-embedding-ada-002",
            "ft:gpt-4o-mini-2024-07-18:org::abc",
            "ft:gpt-3.5-turbo:org::abc123",
            "litellm:smart=gpt-4o-mini-2025-11",
            "litellm:gpt-4o-2024-08-06",
            "bedrock:anthropic.claude-3-5-sonnet-20240620-v1:0",
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            "amazon.nova-pro-v1:0",
            "claude-3-5-sonnet@20240620",
            "gemini-1.5-pro@002",
            "models:/agent/7",
            "models:/m-1234abcd",
            "prompts:/cs_main/7",
            "cs_main@7",
            "cs_main@=7",
            "cs_main@v1.2.3",
            "cs_main@1.0.0-rc.1",
            "live_chat@3",
            "tools_bundle@2.4.0",
            "langfuse:cs_main?version=7",
            "kb:v12",
            "registry.example.com/agent:1.4.2",
            "git:1d48cefaf420ffcc4fc0d3eb3c4ab3e2726ae2a1:prompts/cs.txt",
            "meta-llama/Llama-3.1-8B-Instruct@0e9e39f249a16976918f6564b8830bc894c89659",
            "cs_main@0e9e39f",
            "hub:org/prompt:50442af1",
            "cs_main@3f2504e0-4f89-41d3-9a0c-0305e82c3301",
            "golden_cs@sha256:9f3a0c",
        ] {
            assert_eq!(floats_because(reference), None, "{reference}");
        }
    }
}

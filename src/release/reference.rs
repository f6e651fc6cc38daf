//! References to artifacts: names, versions and digests, and whether they pin one artifact.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::release::pinned;
use crate::words::Text;
use crate::words::references as says;

/// The number of hexadecimal digits of a digest, by algorithm.
const DIGEST_LENGTHS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// A reference to an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactRef {
    /// The reference as written, such as `cs_main@7` or `litellm:smart=gpt-4o-mini-2025-11`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The digest of the artifact, `sha256:<hex>`; `None` if the record has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether the record states that the target of the reference may change.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mutable: bool,
    /// The hours for which the artifact is kept after it was replaced; `None` if not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_hours: Option<u64>,
    /// The time when the artifact was made, RFC 3339; `None` if not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Other fields of the reference, such as `dict_version` or `max_tokens`. They are compared,
    /// too.
    #[serde(flatten)]
    pub attributes: Map<String, Value>,
}

impl ArtifactRef {
    /// Parses a plain reference. A text after the last `@` that begins with `sha` is the digest.
    pub fn from_text(text: &str) -> Self {
        let digest = text
            .rsplit_once('@')
            .map(|(_, version)| version)
            .filter(|version| version.starts_with("sha"));
        Self {
            reference: text.to_owned(),
            digest: digest.map(str::to_owned),
            mutable: false,
            retention_hours: None,
            created_at: None,
            attributes: Map::new(),
        }
    }

    /// Whether the reference has a complete digest.
    pub fn has_whole_digest(&self) -> bool {
        self.digest.as_deref().is_some_and(is_whole_digest)
    }

    /// The reason why the target of the reference may change; `None` if it is pinned.
    pub fn floats_because(&self) -> Option<Text> {
        if self.has_whole_digest() {
            return None;
        }
        if self.mutable {
            return Some(says::says_mutable());
        }
        // A record may have the version beside the name.
        let beside = ["version", "revision", "commit"].iter().find_map(|key| {
            Some(match self.attributes.get(*key)? {
                Value::String(text) if !text.trim().is_empty() => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return None,
            })
        });
        match beside {
            Some(version) => pinned::floats_because(&format!("{}@{version}", self.reference)),
            None => pinned::floats_because(&self.reference),
        }
    }

    /// Whether both references name the same artifact. If both have a complete digest, the digests
    /// and the attributes must be equal. Otherwise the reference texts and the attributes must be
    /// equal. `None` if the texts are equal but the complete digests differ.
    pub fn is_same(&self, other: &Self) -> Option<bool> {
        let same_ref = self.reference == other.reference;
        let same_attributes = self.attributes == other.attributes;
        match (&self.digest, &other.digest) {
            (Some(a), Some(b)) if is_whole_digest(a) && is_whole_digest(b) => {
                if same_ref && a != b {
                    return None;
                }
                Some(a == b && same_attributes)
            }
            _ => Some(same_ref && same_attributes),
        }
    }
}

/// Whether a digest names a known algorithm and has all of its lowercase hexadecimal digits.
pub(crate) fn is_whole_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    let length = DIGEST_LENGTHS
        .iter()
        .find(|(name, _)| *name == algorithm)
        .map(|(_, length)| *length);
    Some(hex.len()) == length
        && hex
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_floats_and_what_is_pinned() {
        let floats = |text: &str| ArtifactRef::from_text(text).floats_because().is_some();
        for floating in [
            "kb_alias:v12",
            "kb_current",
            "cs_main@latest",
            "litellm:smart:prod",
            "golden_cs",
            "kb/HEAD",
        ] {
            assert!(floats(floating), "{floating}");
        }
        let whole = format!("golden_cs@sha256:{}", "0".repeat(64));
        for pinned in [
            "cs_main@7",
            "tools_bundle@2.4.0",
            "litellm:smart=gpt-4o-mini-2025-11",
            &whole,
        ] {
            assert!(!floats(pinned), "{pinned}");
        }
        let truncated = ArtifactRef::from_text("golden_cs@sha256:9f3a0c…");
        assert!(truncated.digest.is_some() && !truncated.has_whole_digest());
        assert!(
            ArtifactRef {
                digest: Some(format!("sha256:{}", "a".repeat(64))),
                ..ArtifactRef::from_text("kb_alias:v12")
            }
            .floats_because()
            .is_none()
        );
        assert!(
            ArtifactRef {
                mutable: true,
                ..ArtifactRef::from_text("m@1")
            }
            .floats_because()
            .is_some()
        );
    }
}

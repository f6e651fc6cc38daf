//! The chain of evidence from a row to everything behind its release. Each weak or missing link
//! comes with the way to add it.

use serde::Serialize;

use crate::base::time;
use crate::base::time::Micros;
use crate::release::{ApproverKind, ArtifactRef, DIMENSIONS, Dimension, RecordIndex, ReleaseRecord};

/// The strength of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// The link exists, and its target cannot change.
    Firm,
    /// The link exists, but nothing proves that its target is unchanged.
    Weak,
    /// The link does not exist.
    Missing,
}

/// One link of a chain of evidence: a fact about the row or its release, and the strength of its
/// proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainLink {
    /// Name of the link: `user`, `time`, `release`, `record`, `model` and others.
    pub link: &'static str,
    /// Strength of the link.
    pub hold: Hold,
    /// Value of the link. `None` if there is none.
    pub value: Option<String>,
    /// Digest of the target. `None` if it is not known.
    pub digest: Option<String>,
    /// Text of what would make the link firm. `None` for a firm link.
    pub mend: Option<String>,
}

impl ChainLink {
    pub(super) fn firm(link: &'static str, value: impl Into<String>) -> Self {
        Self {
            link,
            hold: Hold::Firm,
            value: Some(value.into()),
            digest: None,
            mend: None,
        }
    }

    pub(super) fn missing(link: &'static str, mend: impl Into<String>) -> Self {
        Self {
            link,
            hold: Hold::Missing,
            value: None,
            digest: None,
            mend: Some(mend.into()),
        }
    }

    fn weak(link: &'static str, value: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            link,
            hold: Hold::Weak,
            value: Some(value.into()),
            digest: None,
            mend: Some(mend.into()),
        }
    }

    fn with_digest(self, digest: Option<String>) -> Self {
        Self { digest, ..self }
    }

    /// Makes a link from a value: firm if it exists, else missing.
    pub(super) fn from_value(link: &'static str, value: Option<impl Into<String>>, mend: &str) -> Self {
        value.map_or_else(|| Self::missing(link, mend), |value| Self::firm(link, value))
    }
}

/// Returns the links of a row: user, time, release, and the links of the release's record.
pub(super) fn links_of_row(row: &crate::audit::trace::TraceRow, records: &RecordIndex) -> Vec<ChainLink> {
    let mut links = vec![
        ChainLink::from_value("user", row.user_id.as_deref(), "log user_id with every row"),
        ChainLink::from_value(
            "time",
            row.event_time.map(time::format),
            "log event_time with every row",
        ),
        ChainLink::from_value(
            "release",
            row.release_id.as_deref(),
            "log release_id with every row: the assignment knows it",
        ),
    ];
    let Some(release) = &row.release_id else {
        return links;
    };
    match records.find(&row.tenant_id, release) {
        None => links.push(no_record(&row.tenant_id, release)),
        Some(record) => links.extend(links_of_record(record, &row.tenant_id, records)),
    }
    links
}

fn no_record(tenant: &str, release: &str) -> ChainLink {
    ChainLink::missing(
        "record",
        format!("add the record of release `{release}` of tenant `{tenant}` to --records"),
    )
}

/// Returns the links of a record, from its own digest to the rollback target.
pub(super) fn links_of_record(record: &ReleaseRecord, tenant: &str, records: &RecordIndex) -> Vec<ChainLink> {
    let mut links =
        vec![ChainLink::firm("record", record.place.clone()).with_digest(Some(record.digest.clone()))];
    links.extend(DIMENSIONS.map(|dimension| match record.artifact(dimension) {
        Some(artifact) => artifact_link(dimension.name(), artifact),
        None if matches!(dimension, Dimension::ToolSchema | Dimension::KbIndex) => {
            ChainLink::firm(dimension.name(), "none, says the record")
        }
        None => ChainLink::missing(
            dimension.name(),
            format!("name it in the record: artifacts.{}", dimension.key()),
        ),
    }));
    links.push(match &record.eval_set {
        Some(set) => artifact_link("eval_set", set),
        None => ChainLink::missing(
            "eval_set",
            "name the cases that the release was evaluated on: eval_set_ref",
        ),
    });
    links.push(match (&record.eval_report_uri, &record.eval_report_digest) {
        (None, _) => ChainLink::missing(
            "eval_report",
            "name the report of the evaluation: eval_report_uri",
        ),
        (Some(uri), Some(digest)) => ChainLink::firm("eval_report", uri).with_digest(Some(digest.clone())),
        (Some(uri), None) => ChainLink::weak(
            "eval_report",
            uri,
            "record the report's sha256: eval_report_digest",
        ),
    });
    links.push(approvers(record));
    for (link, key, id) in [
        ("baseline", "baseline_release_id", &record.baseline_release_id),
        ("rollback_target", "rollback_target", &record.rollback_target),
    ] {
        links.push(match id {
            None => ChainLink::missing(link, format!("name it in the record: {key}")),
            Some(id) => match records.find(tenant, id) {
                Some(target) => ChainLink::firm(link, id).with_digest(Some(target.digest.clone())),
                None => ChainLink::weak(link, id, format!("add the record of release `{id}` to --records")),
            },
        });
    }
    links
}

fn artifact_link(link: &'static str, artifact: &ArtifactRef) -> ChainLink {
    let reference = artifact.reference.as_str();
    let found = if artifact.has_whole_digest() {
        ChainLink::firm(link, reference)
    } else if artifact.digest.is_some() {
        ChainLink {
            value: Some(reference.into()),
            ..ChainLink::missing(
                link,
                "record all digits of the digest: a part of a digest proves nothing",
            )
        }
    } else {
        match artifact.floats_because() {
            Some(why) => ChainLink {
                value: Some(reference.into()),
                ..ChainLink::missing(link, format!("record a digest: {}", why.en))
            },
            None => ChainLink::weak(link, reference, "record a digest: a version can be written anew"),
        }
    };
    found.with_digest(artifact.digest.clone())
}

fn approvers(record: &ReleaseRecord) -> ChainLink {
    if record.approvers.is_empty() {
        return ChainLink::missing("approvers", "record who approved: approvers");
    }
    let kind = |kind: ApproverKind| match kind {
        ApproverKind::Human => "human",
        ApproverKind::Bot => "bot",
        ApproverKind::Unknown => "kind unknown",
    };
    let at = |at: Option<Micros>| at.map_or_else(String::new, |at| format!(", {}", time::format(at)));
    let named: Vec<String> = record
        .approvers
        .iter()
        .map(|one| format!("{} ({}{})", one.id, kind(one.kind), at(one.at)))
        .collect();
    let named = named.join("; ");
    if record.approvers.iter().all(|one| one.kind == ApproverKind::Bot) {
        return ChainLink::weak(
            "approvers",
            named,
            "record the person who approved: only bots did",
        );
    }
    ChainLink::firm("approvers", named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::parse_json;

    fn record(text: &str) -> ReleaseRecord {
        ReleaseRecord::from_json("r", &parse_json("r", text.as_bytes()).unwrap()).unwrap()
    }

    fn holds(text: &str) -> Vec<(&'static str, Hold)> {
        let links = links_of_record(&record(text), "default", &RecordIndex::new(vec![record(text)]));
        assert!(
            links
                .iter()
                .all(|link| (link.hold == Hold::Firm) == link.mend.is_none())
        );
        links.into_iter().map(|link| (link.link, link.hold)).collect()
    }

    #[test]
    fn every_link_is_firm_weak_or_missing() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let firm = format!(
            r#"{{"release_id": "r1", "artifacts": {{"model_ref": {{"ref": "m", "digest": "{digest}"}}, "prompt_ref": "p@{digest}",
            "tool_schema_ref": null, "kb_index_ref": {{"ref": "kb", "digest": "{digest}"}}}}, "eval_set_ref": "e@{digest}",
            "eval_report_uri": "s3://r", "eval_report_digest": "{digest}", "approvers": [{{"id": "ann", "kind": "human"}}],
            "baseline_release_id": "r1", "rollback_target": "r1"}}"#
        );
        assert!(
            holds(&firm).iter().all(|(_, hold)| *hold == Hold::Firm),
            "{:?}",
            holds(&firm)
        );
        let bare = r#"{"release_id": "r1", "artifacts": {"model_ref": null, "prompt_ref": "p@7", "tool_schema_ref": "t@sha256:9f3a…",
            "kb_index_ref": "kb@latest"}, "eval_report_uri": "s3://r", "approvers": ["ci_bot"], "baseline_release_id": "r0"}"#;
        let expected = [
            ("record", Hold::Firm),
            ("model", Hold::Missing),
            ("prompt", Hold::Weak),
            ("tool_schema", Hold::Missing),
            ("kb_index", Hold::Missing),
            ("eval_set", Hold::Missing),
            ("eval_report", Hold::Weak),
            ("approvers", Hold::Weak),
            ("baseline", Hold::Weak),
            ("rollback_target", Hold::Missing),
        ];
        assert_eq!(holds(bare), expected);
    }
}

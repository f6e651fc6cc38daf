//! Langfuse: the prompt versions behind its labels.

use serde_json::json;

use crate::base::error::{Error, Result};
use crate::publish::address::Address;
use crate::publish::exporters::change_request;
use crate::publish::exporters::change_request::{Request, RequestStage};
use crate::publish::exporters::format::{ExportFormat, required};
use crate::publish::publication::Publication;
use crate::publish::target::Desired;

/// The format `langfuse:FILE`: a change request.
///
/// Settings:
/// - `prompt`: the name of the prompt (required).
/// - `baseline` and `candidate`: versions of the prompt, whole numbers (required).
/// - `label`: the label for all users (default `production`).
/// - `candidate_label`: the label for users who get the candidate (default `candidate`).
///
/// A label is on one version of a prompt only. Setting it on one version removes it from the other.
pub(super) const FORMAT: ExportFormat = ExportFormat {
    kind: "langfuse",
    settings: &["prompt", "baseline", "candidate", "label", "candidate_label"],
    write,
    warnings,
};

fn warnings(_publication: &Publication, _address: &Address) -> Vec<String> {
    change_request::warnings("Langfuse", "label")
}

fn write(desired: &Desired<'_>, address: &Address) -> Result<String> {
    let prompt = path_segment(required(address, "prompt", "the prompt's name")?);
    let baseline = version(address, "baseline")?;
    let candidate = version(address, "candidate")?;
    let labels = [
        address.get_or("label", "production"),
        address.get_or("candidate_label", "candidate"),
    ];
    if labels[0] == labels[1] {
        return Err(Error::usage(format!(
            "{address}: expected two labels, found `{}` twice",
            labels[0]
        )));
    }
    let request = |version: u32, labels: &[&str]| Request {
        method: "PATCH",
        path: format!("/api/public/v2/prompts/{prompt}/versions/{version}"),
        body: json!({"newLabels": labels}),
    };
    Ok(change_request::write(
        "langfuse",
        desired.publication,
        |stage: RequestStage| match stage.pick(baseline, candidate) {
            [one, other] if one == other => vec![request(one, &labels)],
            // The candidate's label is set first, so that it exists before callers use it.
            [one, other] => vec![request(other, &labels[1..]), request(one, &labels[..1])],
        },
    ))
}

fn version(address: &Address, setting: &str) -> Result<u32> {
    let text = required(address, setting, "a version of the prompt")?;
    text.parse().map_err(|_| {
        Error::usage(format!(
            "{address}: expected a version, a whole number, in `{setting}`, found `{text}`"
        ))
    })
}

/// Percent-encodes a name as one segment of a path.
fn path_segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

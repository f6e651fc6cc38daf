//! The list of all export formats. A new format is added here.

use crate::publish::exporters::format::ExportFormat;
use crate::publish::exporters::{
    argo, elasticsearch, envoy, flagd, flagger, gate, grafana, growthbook, istio, langfuse, launchdarkly,
    litellm, milvus, prometheus, unleash,
};

/// Every export format.
pub(crate) const FORMATS: &[ExportFormat] = &[
    flagd::FORMAT,
    growthbook::FORMAT,
    unleash::FORMAT,
    launchdarkly::FORMAT,
    argo::FORMAT,
    flagger::FORMAT,
    envoy::FORMAT,
    istio::FORMAT,
    litellm::FORMAT,
    langfuse::FORMAT,
    milvus::FORMAT,
    elasticsearch::FORMAT,
    gate::FORMAT,
    prometheus::FORMAT,
    grafana::FORMAT,
];

#[cfg(test)]
pub(super) mod tests {

    use crate::publish::exporters::format::yaml;

    #[test]
    fn yaml_keeps_texts_that_look_like_something_else() {
        let texts = [
            "no",
            "on",
            "~",
            "2026-11-21",
            "1e3",
            "0o7",
            "1:30",
            "a: b",
            "- a",
            "#a",
            "\u{7}",
            "沉睡",
            "a\nb",
            " a ",
            "{}",
            "!x",
            "*a",
            "%",
        ];
        let document: serde_json::Value = texts
            .iter()
            .map(|text| ((*text).to_owned(), serde_json::json!(text)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let written = yaml(&document).unwrap();
        assert_eq!(
            serde_saphyr::from_str::<serde_json::Value>(&written).unwrap(),
            document,
            "{written}"
        );
    }
}

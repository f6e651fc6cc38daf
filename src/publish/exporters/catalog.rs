//! The list of all export formats. A new format is added here.

use crate::publish::exporters::format::ExportFormat;
use crate::publish::exporters::{
    argo, elasticsearch, envoy, flagd, flagger, gate, grafana, growthbook, istio, langfuse, launchdarkly,
    litellm, milvus, prometheus, unleash,
};

/// All export formats. Messages list their kinds in this order.
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
mod tests;

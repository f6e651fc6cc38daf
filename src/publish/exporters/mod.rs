//! Files of other systems, one form a file, and what they share: whom a ratio is for, steps that a system has, warnings, YAML.

mod argo;
pub(super) mod catalog;
mod change_request;
mod elasticsearch;
mod envoy;
mod flagd;
mod flagger;
pub(super) mod format;
mod gate;
mod grafana;
mod growthbook;
mod headers;
mod istio;
mod kubernetes;
mod langfuse;
mod launchdarkly;
mod litellm;
mod milvus;
mod prometheus;
mod unleash;

//! Export formats: the files of other systems, one format a file. `catalog.rs` lists them;
//! `format.rs` holds what they share: conditions on users, the ratio steps that a system has,
//! warnings, YAML.

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

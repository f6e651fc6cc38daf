//! Export formats: files of other systems, one format per source file. `catalog.rs` lists them.
//! `format.rs` holds the shared parts: conditions on users, the smallest ratio step of a system,
//! warnings, and YAML.

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

//! Integration tests in one binary, with one module for each command. They use only files of the
//! repository.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read its own files has failed"
)]

mod analyze;
mod apart;
mod architecture;
mod audit;
mod bad_input;
mod benches;
mod browser;
mod calc;
mod chinese;
mod chromium;
mod coverage;
mod crash;
mod cube_values;
mod deploy;
mod derive;
mod documents;
mod engine_life;
mod engine_scan;
mod engines;
mod engines_layer;
mod engines_real;
mod evals;
mod evals_cases;
mod evals_real;
mod events;
mod exact;
mod exports;
mod finops;
mod finops_prices;
mod finops_reasons;
mod finops_unknown;
mod formats;
mod fuzz;
mod gate;
mod gate_forbidden;
mod gate_outcome;
mod gates;
mod generated_nights;
mod help;
mod hints;
#[cfg(feature = "stores")]
mod hostile_servers;
mod hostile_text;
mod init;
mod inputs;
mod instants;
mod layer;
mod layer_parquet;
mod limits;
mod limits_parquet;
mod logs;
mod matched;
mod names;
mod night;
mod nightly;
mod nights_page;
#[cfg(feature = "stores")]
mod notify;
mod others;
mod outlook;
mod page_layout;
mod pages;
#[cfg(feature = "stores")]
mod pipelines;
mod postgres_server;
mod profiles;
#[cfg(feature = "stores")]
mod prometheus;
mod prometheus_genai;
mod publish_forms;
mod publish_gateways;
#[cfg(feature = "stores")]
mod publish_layers;
mod publish_objects;
#[cfg(feature = "stores")]
mod publish_postgres;
#[cfg(feature = "stores")]
mod publish_redis;
mod publish_retire;
mod publish_rollback;
mod publish_support;
#[cfg(feature = "stores")]
mod publish_targets;
mod publish_users;
#[cfg(feature = "frames")]
mod query;
mod real_data;
mod references;
mod replay;
mod report;
mod run;
mod schema;
mod servers;
mod simulate;
mod simultaneous;
mod slices;
mod small;
mod support;
mod tenants;
mod time_zone;
mod together;
mod tools;
mod tools_lists;
mod traces;
mod traces_hostile;
mod traces_since;
mod traces_study;
mod vectors;
mod watch;
mod wrong_evidence;

//! Checks the raw scenario file and builds a [`Scenario`] from it. All problems are collected.

use std::path::Path;

use crate::base::digest;
use crate::base::error::Problem;
use crate::base::time;
use crate::base::time::{Micros, Zone};
use crate::scenario::check_layers::MAX_LAYERS;
use crate::scenario::check_metrics::measures;
use crate::scenario::checker::Checker;
use crate::scenario::document::{Overrides, Scenario};
use crate::scenario::plan::Plan;
use crate::scenario::raw::{RawAllowedColumn, RawScenario};
use crate::scenario::sensitive::{AllowedColumn, SensitiveRule};

/// Checks a whole file and applies the command line's overrides. `text` is the file's, and
/// `problems` holds those that reading it already found.
pub(super) fn check(
    raw: RawScenario,
    name: &str,
    folder: &Path,
    overrides: &Overrides,
    text: &str,
    problems: Vec<Problem>,
) -> Result<Scenario, Vec<Problem>> {
    let mut c = Checker {
        problems,
        sensitive: SensitiveRule::default(),
        zone: Zone::UTC,
        tables: std::collections::BTreeMap::new(),
    };
    // Checks of layers compare them with one another, so too many layers are refused at once.
    if raw.layer.len() > MAX_LAYERS {
        let found = raw.layer.len();
        c.problem(
            "layer",
            format!("expected at most {MAX_LAYERS} layers, found {found}"),
        );
        return Err(c.problems);
    }
    c.zone = Zone::read("time_zone", raw.time_zone.as_deref(), &mut c.problems);
    c.sensitive = c.sensitive_rule(raw.layering.sensitive.clone(), raw.allowed_column);
    let looks_back_from = c.overridden_as_of(overrides);
    let as_of = match (&raw.as_of, looks_back_from) {
        (None, Some(as_of)) => as_of,
        (written, _) => c.instant("as_of", written.as_ref()),
    };
    // The same instant gives the same digest, whether the file or the command line names it.
    let differs = looks_back_from.filter(|given| *given != as_of || raw.as_of.is_none());
    let qos = c.qos(raw.qos);
    let layering = c.layering(&raw.layering);
    let layers = c.layers(raw.layer, layering.mode, &raw.policy);
    let metrics = c.metrics(raw.metric, qos.bad_rate_of);
    let guardrails = c.guardrails(raw.guardrail, &metrics);
    let policy = c.policy(raw.policy, &raw.guard);
    let guards = c.guards(&raw.guard, policy.min_coverage);
    let start = c.instant("plan.start", raw.plan.start.as_ref());
    let operations = c.operations(raw.operation, &layers, start);
    let freezes = c.freezes(raw.freeze);
    let approvals = c.approvals(raw.approval, &layers);
    let looked_back = looks_back_from.unwrap_or(as_of);
    let input = c.input(raw.input, folder, &layers, as_of, looked_back);
    let breakdowns = c.breakdowns(raw.analysis);
    let plan = Plan {
        freezes,
        approvals,
        claims: c.claims(raw.claim),
        measures: measures(&metrics),
        ..c.plan(raw.plan, start, layers, guardrails, policy, operations)
    };
    c.stages(&plan);
    let simulation = raw.simulate.map(|raw| c.simulation(raw, &plan, &metrics));
    let expectations = c.expectations(raw.expect, &plan.layers);
    let notify = c.sinks(raw.notify, folder);
    if start > as_of {
        c.problem(
            "plan.start",
            format!(
                "expected an instant not after as_of ({}), found {}",
                time::format(as_of),
                time::format(start)
            ),
        );
    }
    let mut scenario = Scenario {
        name: name.to_owned(),
        why: raw.why.unwrap_or_default(),
        seed: raw.seed.unwrap_or(0),
        time_zone: c.zone.clone(),
        as_of,
        input,
        layering,
        plan,
        qos,
        guards,
        metrics,
        breakdowns,
        simulation,
        notify,
        expectations,
        sensitive: c.sensitive.clone(),
        digest: digest_of(text, differs, overrides),
    };
    c.apply(overrides, looks_back_from, &mut scenario);
    if c.problems.is_empty() {
        Ok(scenario)
    } else {
        Err(c.problems)
    }
}

/// Returns the digest of a file and of the command line's overrides. `as_of` is the instant that
/// the overrides name, however it was written.
fn digest_of(text: &str, as_of: Option<Micros>, overrides: &Overrides) -> String {
    let Overrides {
        as_of: _,
        seed,
        scale,
    } = overrides;
    let overrides = format!("Overrides {{ as_of: {as_of:?}, seed: {seed:?}, scale: {scale:?} }}");
    digest::sha256_of(&[text.as_bytes(), overrides.as_bytes()])
}

impl Checker {
    /// Returns the instant that the command line looks back from.
    fn overridden_as_of(&mut self, overrides: &Overrides) -> Option<Micros> {
        match overrides.as_of?.resolve("--as-of", &self.zone) {
            Ok(as_of) => Some(as_of),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// Returns the rule for the columns of rules and cuts.
    fn sensitive_rule(&mut self, words: Vec<String>, raw: Vec<RawAllowedColumn>) -> SensitiveRule {
        let mut allowed: Vec<AllowedColumn> = Vec::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("allowed_column[{}].{key}", idx + 1);
            let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
            let column = self.text(&at("column"), filled(raw.column), "the name of a column");
            let reason = self.text(
                &at("reason"),
                filled(raw.reason),
                "why it is no sensitive attribute",
            );
            if allowed.iter().any(|other| other.column == column) {
                self.problem(
                    at("column"),
                    format!("expected columns that differ, found \"{column}\" twice"),
                );
            }
            allowed.push(AllowedColumn { column, reason });
        }
        SensitiveRule { words, allowed }
    }

    fn apply(&mut self, overrides: &Overrides, as_of: Option<Micros>, scenario: &mut Scenario) {
        if let Some(as_of) = as_of {
            if as_of < scenario.plan.start {
                self.problem(
                    "--as-of",
                    format!(
                        "expected an instant not before plan.start ({}), found {}",
                        time::format(scenario.plan.start),
                        time::format(as_of)
                    ),
                );
            }
            scenario.as_of = as_of;
        }
        if let Some(seed) = overrides.seed {
            scenario.seed = seed;
        }
        if let Some(scale) = overrides.scale {
            let Some(generate) = &mut scenario.input.generate else {
                self.problem(
                    "--scale",
                    "expected a scenario with [input.generate], found one that reads files",
                );
                return;
            };
            if !(scale.is_finite() && scale > 0.0 && scale <= 1e4) {
                self.problem(
                    "--scale",
                    format!("expected a number above 0 and at most 10000, found {scale}"),
                );
                return;
            }
            generate.n_users = ((generate.n_users as f64 * scale).round() as u64).max(1);
            generate.n_turns = ((generate.n_turns as f64 * scale).round() as u64).max(1);
        }
    }
}

//! Checks of `[policy]`, `[qos]` and `[[expect]]`.

use crate::base::duration::parse_duration;
use crate::base::time::HOUR;
use crate::metric::BadRateOf;
use crate::scenario::checker::Checker;
use crate::scenario::guard::{
    GuardName, Guards, MAX_AGE_HOURS, MAX_BAD_ROWS, MAX_GONE, MAX_MOVED, MAX_NEW, MAX_PSI, MIN_COUNT,
};
use crate::scenario::plan::Layer;
use crate::scenario::policy::{
    BOUNDARIES, DecisionPolicy, Expectation, MAX_MISSED, MIN_COVERAGE, OnTrouble, OwnPast, Policy,
    QOS_PRESETS, QosConfig, RollbackScope, Sequential, SlicePolicy, VERDICTS,
};
use crate::scenario::raw::RawExpect;
use crate::scenario::raw_policy::{RawGuard, RawPolicy, RawQos};
use crate::stats::group_sequential::Spending;

impl Checker {
    pub(super) fn qos(&mut self, raw: RawQos) -> QosConfig {
        let preset = self.choice("qos.preset", raw.preset.as_deref(), &QOS_PRESETS);
        QosConfig {
            weights: self.weights("qos.weights", preset, raw.weights),
            max_latency_ms: self.number("qos.max_latency_ms", raw.max_latency_ms, 5000.0, 1.0, 1e9),
            bad_rate_of: self.choice("qos.bad_rate_of", raw.bad_rate_of.as_deref(), &BadRateOf::ALL),
        }
    }

    pub(super) fn policy(&mut self, raw: RawPolicy, guard: &RawGuard) -> Policy {
        Policy {
            decision: self.choice("policy.decision", raw.decision.as_deref(), &DecisionPolicy::ALL),
            sequential: self.choice("policy.sequential", raw.sequential.as_deref(), &Sequential::ALL),
            boundary: self.boundary(
                &|key| format!("policy.{key}"),
                raw.boundary.as_deref(),
                [raw.boundary_rho, raw.boundary_gamma],
                [None; 2],
            ),
            max_missed: self.number("policy.max_missed", raw.max_missed, MAX_MISSED, 1e-6, 0.5),
            own_past: self.choice("policy.own_past", raw.own_past.as_deref(), &OwnPast::ALL),
            slices: self.choice("policy.slices", raw.slices.as_deref(), &SlicePolicy::ALL),
            alpha: self.number("policy.alpha", raw.alpha, 0.05, 1e-9, 0.5),
            srm_alpha: self.number("policy.srm_alpha", raw.srm_alpha, 0.001, 1e-12, 0.5),
            srm_min_deviation: self.number(
                "policy.srm_min_deviation",
                raw.srm_min_deviation,
                0.001,
                0.0,
                1.0,
            ),
            max_crossover: self.number("policy.max_crossover", raw.max_crossover, 0.01, 0.0, 1.0),
            qos_floor: self.number("policy.qos_floor", raw.qos_floor, 0.6, 0.0, 1.0),
            qos_mde: self.number("policy.qos_mde", raw.qos_mde, 0.02, 1e-6, 1.0),
            cool_down: self.duration("policy.cool_down_hours", raw.cool_down_hours, 24.0, HOUR),
            rollback_scope: self.choice(
                "policy.rollback_scope",
                raw.rollback_scope.as_deref(),
                &RollbackScope::ALL,
            ),
            srm_action: self.choice("policy.srm_action", raw.srm_action.as_deref(), &OnTrouble::ALL),
            no_data_action: self.choice(
                "policy.no_data_action",
                raw.no_data_action.as_deref(),
                &OnTrouble::ALL,
            ),
            min_coverage: self.number("guard.min_coverage", guard.min_coverage, MIN_COVERAGE, 0.0, 1.0),
            promote_on_failed_gate: raw.promote_on_failed_gate.unwrap_or(false),
            exposure_cap: raw
                .exposure_cap
                .map(|cap| self.number("policy.exposure_cap", Some(cap), 1.0, 0.0, 1.0)),
        }
    }

    pub(super) fn guards(&mut self, raw: &RawGuard, min_coverage: f64) -> Guards {
        let mut guards = Guards::default();
        let mut share = |name: GuardName, written: Option<f64>, default: f64, most: f64| {
            let at = format!("guard.{}", name.key());
            let value = self.number(&at, written, default, 0.0, most);
            guards.set(name, value, written.is_some());
        };
        share(GuardName::MaxMoved, raw.max_moved, MAX_MOVED, 1.0);
        share(GuardName::MaxPsi, raw.max_psi, MAX_PSI, 1_000.0);
        share(GuardName::MaxNew, raw.max_new, MAX_NEW, 1.0);
        share(GuardName::MaxGone, raw.max_gone, MAX_GONE, 1.0);
        share(GuardName::MaxBadRows, raw.max_bad_rows, MAX_BAD_ROWS, 1.0);
        // The whole log has its own check, so the guard of a layer table does not need it.
        guards.set(GuardName::MinCoverage, min_coverage, false);
        let mut count = |name: GuardName, written: Option<u64>| {
            guards.set(name, written.unwrap_or(MIN_COUNT) as f64, written.is_some());
        };
        count(GuardName::MinUsers, raw.min_users);
        count(GuardName::MinRows, raw.min_rows);
        let hours = match raw.max_age.as_deref().map(parse_duration) {
            None => MAX_AGE_HOURS,
            Some(Ok(micros)) => micros as f64 / HOUR as f64,
            Some(Err(expected)) => {
                let found = raw.max_age.as_deref().unwrap_or_default();
                self.problem("guard.max_age", format!("{expected}, found \"{found}\""));
                MAX_AGE_HOURS
            }
        };
        guards.set(GuardName::MaxAge, hours, raw.max_age.is_some());
        let same_columns = f64::from(u8::from(raw.same_columns.unwrap_or(true)));
        guards.set(GuardName::SameColumns, same_columns, raw.same_columns.is_some());
        guards
    }

    /// Returns a boundary with its parameter: rho for Kim and DeMets's, gamma for Hwang, Shih and
    /// DeCani's. `at` gives the location of a key. `others` replace missing parameters.
    pub(super) fn boundary(
        &mut self,
        at: &dyn Fn(&str) -> String,
        word: Option<&str>,
        own: [Option<f64>; 2],
        others: [Option<f64>; 2],
    ) -> Spending {
        let rho = self.number(&at("boundary_rho"), own[0].or(others[0]), 2.0, 0.1, 20.0);
        let gamma = self.number(&at("boundary_gamma"), own[1].or(others[1]), -4.0, -40.0, 40.0);
        match self.choice(&at("boundary"), word, &BOUNDARIES) {
            Spending::KimDeMets(_) => Spending::KimDeMets(rho),
            Spending::HwangShihDeCani(_) => Spending::HwangShihDeCani(gamma),
            other => other,
        }
    }

    pub(super) fn expectations(&mut self, raw: Vec<RawExpect>, layers: &[Layer]) -> Vec<Expectation> {
        let mut expectations = Vec::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("expect[{}].{key}", idx + 1);
            let verdict = self
                .require(&at("verdict"), raw.verdict, "a verdict")
                .unwrap_or_default();
            if !VERDICTS.contains(&verdict.as_str()) {
                self.problem(
                    at("verdict"),
                    format!("expected one of {}, found \"{verdict}\"", VERDICTS.join(", ")),
                );
            }
            expectations.push(Expectation {
                tenant: raw.tenant,
                layer_idx: self.layer_ref(&at("layer"), raw.layer, layers),
                verdict,
                next_ratio: raw.next_ratio.map(|share| self.ratio(&at("next_ratio"), share)),
            });
        }
        expectations
    }
}

//! Carries the log of a state into a plan: the changes that Sluice decided count as the plan's own
//! operations do.

use crate::base::error::{Error, Result};
use crate::base::time;
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::ramp::operation::{Force, OperationRow};
use crate::ramp::state::RampState;
use crate::scenario::{MAX_STAGES, Operation, Plan, StageIndex};

impl RampState {
    /// Returns the plan with the operations of this state's log beside its own.
    ///
    /// # Errors
    /// The state belongs to another plan or other layers, an operation of the scenario contradicts
    /// the log, or a layer has more ratios than a cube can hold.
    pub fn carried_into(&self, plan: &Plan) -> Result<Plan> {
        self.check_plan(plan)?;
        self.check_releases(plan)?;
        let mut carried = plan.clone();
        for row in &self.operations {
            carried.operations.push(self.operation(row, plan)?);
        }
        carried.operations.sort_by_key(|o| (o.at, o.layer_idx));
        self.add_unlogged(&mut carried);
        self.check_order(&carried)?;
        self.check_count(&carried)?;
        Ok(carried)
    }

    /// Returns the state at `as_of` under a plan that carries this state's log: ratios that were
    /// changed since then, by an operation of the scenario or by targets that took a change over,
    /// are those in force.
    #[must_use]
    pub fn at(&self, carried: &Plan, as_of: Micros) -> Self {
        let mut state = self.clone();
        if state.candidate != carried.candidate {
            return state;
        }
        let index = StageIndex::new(carried);
        for layer in &mut state.layers {
            let Some(idx) = carried.layer_idx(&layer.layer) else {
                continue;
            };
            let stages = index.stages(&layer.tenant, idx, as_of);
            let latest = stages.last().map_or(carried.start, |stage| stage.start);
            // An operation of the scenario may have set the ratio before the log's change of it.
            let is_in_force = stages.last().is_some_and(|stage| stage.ratio == layer.ratio);
            layer.pending = self.pending(&layer.tenant, &layer.layer).cloned();
            // A change that was decided at `as_of` or is under way has no stage yet.
            if layer.pending.is_none() && (is_in_force || latest >= layer.since) {
                layer.follow(carried, &stages);
            }
        }
        state
    }

    /// The missing part of a layer's last change. `None` if its ratio is in force everywhere.
    fn pending(&self, tenant: &str, layer: &str) -> Option<&Force> {
        let is_of_layer = |row: &&OperationRow| {
            row.tenant == tenant && row.layer == layer && self.release_of(row) == self.candidate
        };
        let last = self.operations.iter().rfind(is_of_layer)?;
        last.force.as_ref().filter(|force| force.complete.is_none())
    }

    /// The release of a row. Rows of earlier versions name none.
    fn release_of<'a>(&'a self, row: &'a OperationRow) -> &'a str {
        if row.candidate.is_empty() {
            &self.candidate
        } else {
            &row.candidate
        }
    }

    fn operation(&self, row: &OperationRow, plan: &Plan) -> Result<Operation> {
        let Some(layer_idx) = plan.layer_idx(&row.layer) else {
            return Err(Error::input(
                "state",
                format!(
                    "expected changes of the plan's layers, found one of \"{}\"",
                    row.layer
                ),
            ));
        };
        Ok(Operation {
            at: row.in_force().unwrap_or(Micros::MAX),
            since: row.force.as_ref().map(|force| force.begun),
            candidate: Some(self.release_of(row).to_owned()),
            tenant: Some(row.tenant.clone()).filter(|tenant| !tenant.is_empty()),
            layer_idx,
            ratio: row.new_value,
            operator: row.operator.clone(),
            is_logged: true,
        })
    }

    /// Adds the ratios of layers whose changes are not in the log, as in states of earlier versions.
    fn add_unlogged(&self, carried: &mut Plan) {
        if self.candidate != carried.candidate {
            return;
        }
        let mut unlogged = Vec::new();
        {
            let index = StageIndex::new(carried);
            for layer in self.layers.iter().filter(|layer| layer.pending.is_none()) {
                let Some(idx) = carried.layer_idx(&layer.layer) else {
                    continue;
                };
                let stages = index.stages(&layer.tenant, idx, layer.since.saturating_add(1));
                let known = stages.last().map_or(Ratio::ZERO, |stage| stage.ratio);
                let is_pending = self.pending(&layer.tenant, &layer.layer).is_some();
                if known != layer.ratio && !is_pending {
                    unlogged.push(Operation {
                        at: layer.since,
                        since: None,
                        candidate: Some(self.candidate.clone()),
                        tenant: Some(layer.tenant.clone()),
                        layer_idx: idx,
                        ratio: layer.ratio,
                        operator: carried.operator.clone(),
                        is_logged: true,
                    });
                }
            }
        }
        carried.operations.extend(unlogged);
        carried.operations.sort_by_key(|o| (o.at, o.layer_idx));
    }

    /// Refuses operations of the scenario that name no release, if the log has changes of an earlier
    /// candidate at the same time or later: they may be the earlier candidate's.
    fn check_releases(&self, plan: &Plan) -> Result<()> {
        let of_earlier = |row: &&OperationRow| self.release_of(row) != plan.candidate;
        let Some(last) = self
            .operations
            .iter()
            .filter(of_earlier)
            .max_by_key(|row| row.operate_time)
        else {
            return Ok(());
        };
        let unnamed = |o: &&Operation| o.candidate.is_none() && o.at <= last.operate_time;
        match plan.operations.iter().find(unnamed) {
            None => Ok(()),
            Some(operation) => Err(Error::input(
                "operation",
                format!(
                    "expected the release of the change of \"{}\" at {}, because the state has changes of {} \
                     up to {}, found none",
                    plan.layers[operation.layer_idx].id,
                    time::format(operation.at),
                    self.release_of(last),
                    time::format(last.operate_time)
                ),
            )
            .hint(format!(
                "write candidate = \"{}\" in the [[operation]], or remove it: the state has the log",
                self.release_of(last)
            ))),
        }
    }

    /// Refuses an operation of the scenario that contradicts the log: a logged change starts from
    /// another ratio than the operations before it lead to.
    fn check_order(&self, carried: &Plan) -> Result<()> {
        let index = StageIndex::new(carried);
        for row in self
            .operations
            .iter()
            .filter(|row| self.release_of(row) == carried.candidate)
        {
            let (Some(at), Some(idx)) = (row.in_force(), carried.layer_idx(&row.layer)) else {
                continue;
            };
            let operations = index.operations(&row.tenant, idx);
            let of_candidate = |o: &&&Operation| o.concerns_candidate_of(carried);
            let same_time =
                |o: &&&Operation| o.at == at && !o.is_logged && o.ratio != row.new_value && of_candidate(o);
            let before = |o: &&&Operation| o.at < at && of_candidate(o);
            let last = operations.iter().rfind(before);
            let contradicts =
                |o: &&&Operation| !o.is_logged && o.ratio != row.old_value && o.ratio != row.new_value;
            let found = operations.iter().find(same_time).or(last.filter(contradicts));
            if let Some(operation) = found {
                return Err(conflict(operation, row, at));
            }
        }
        Ok(())
    }

    fn check_count(&self, carried: &Plan) -> Result<()> {
        let index = StageIndex::new(carried);
        for layer in &self.layers {
            let Some(idx) = carried.layer_idx(&layer.layer) else {
                continue;
            };
            if index.operations(&layer.tenant, idx).len() < MAX_STAGES {
                continue;
            }
            let n_stages = index.stages(&layer.tenant, idx, Micros::MAX).len();
            if n_stages > MAX_STAGES {
                return Err(Error::input(
                    "state",
                    format!(
                        "expected at most {MAX_STAGES} ratios of a layer, one after another, found \
                         {n_stages} for \"{}\"",
                        layer.layer
                    ),
                )
                .hint("take fewer and larger steps, or go on in a new plan"));
            }
        }
        Ok(())
    }
}

/// The error about an operation of the scenario and a row of the log that contradict each other.
fn conflict(operation: &Operation, row: &OperationRow, at: Micros) -> Error {
    Error::input(
        "operation",
        format!(
            "expected operations that agree with the state's log, found \"{}\" set to {} at {} in the \
             scenario, and {} from {} to {} at {} in the log",
            row.layer,
            operation.ratio,
            time::format(operation.at),
            row.operation_type,
            row.old_value,
            row.new_value,
            time::format(at)
        ),
    )
    .hint("remove the [[operation]]: the state has the log of all decided changes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::HOUR;
    use crate::scenario::{Overrides, Scenario};
    use std::path::Path;

    const START: Micros = 1_767_225_600_000_000;

    fn plan(candidate: &str, operations: &str) -> Plan {
        let text = format!(
            r#"
            as_of = "2026-01-10"
            plan = {{ id = "p", start = "2026-01-01", baseline = "a", candidate = "{candidate}" }}
            input = {{ users_from_traffic = true, traffic = [{{ path = "t.csv" }}] }}
            layer = [{{ id = "all" }}]
            {operations}
            "#
        );
        let scenario = Scenario::parse(&text, "test", Path::new(""), &Overrides::default());
        scenario.unwrap().plan
    }

    fn operation(hour: i64, ratio: f64, more: &str) -> String {
        let at = time::format(START + hour * HOUR);
        format!("[[operation]]\nat = \"{at}\"\nlayer = \"all\"\nratio = {ratio}\n{more}\n")
    }

    /// A row of the log: decided at an hour, in force after some hours more. `None` is not in force.
    fn row(hour: i64, ratios: [f64; 2], force: Option<i64>) -> OperationRow {
        let [old, new] = ratios.map(|share| Ratio::try_from_share(share).unwrap());
        let at = START + hour * HOUR;
        OperationRow {
            candidate: "b".into(),
            force: Some(Force {
                begun: at,
                complete: force.map(|hours| at + hours * HOUR),
                missing: Vec::new(),
            }),
            ..OperationRow::by_hand("promote", "p", ("default", "all"), (old, new), (at, "sluice"))
        }
    }

    fn state(rows: &[OperationRow]) -> RampState {
        let mut state = RampState::from_plan(&plan("b", ""), &["default".into()], START);
        state.operations = rows.to_vec();
        state
    }

    /// The stages until an hour: start in hours after the plan's start, and ratio.
    fn stages(state: &RampState, plan: &Plan, until: i64) -> Vec<(i64, f64)> {
        let carried = state.carried_into(plan).unwrap();
        let stages = StageIndex::new(&carried).stages("default", 0, START + until * HOUR);
        let stage = |stage: &crate::scenario::Stage| ((stage.start - START) / HOUR, stage.ratio.share());
        stages.iter().map(stage).collect()
    }

    #[test]
    fn the_log_counts_beside_the_operations() {
        let state = state(&[row(24, [0.0, 0.1], Some(2)), row(48, [0.1, 0.5], None)]);
        let none = plan("b", "");
        assert_eq!(stages(&state, &none, 24), [(0, 0.0)]);
        assert_eq!(stages(&state, &none, 72), [(0, 0.0), (26, 0.1)]);
        // The same change in the scenario is no second one.
        let same = plan("b", &operation(26, 0.1, ""));
        assert_eq!(stages(&state, &same, 72), [(0, 0.0), (26, 0.1)]);
        let later = plan("b", &operation(60, 0.0, ""));
        assert_eq!(stages(&state, &later, 72), [(0, 0.0), (26, 0.1), (60, 0.0)]);
    }

    #[test]
    fn a_change_that_is_not_in_force_is_pending() {
        let mut state = state(&[row(24, [0.0, 0.1], None)]);
        state.layers[0].ratio = Ratio::try_from_share(0.1).unwrap();
        state.layers[0].since = START + 24 * HOUR;
        let carried = state.carried_into(&plan("b", "")).unwrap();
        let at = state.at(&carried, START + 48 * HOUR);
        assert!(at.layers[0].pending.is_some());
        assert_eq!(at.layers[0].ratio.share(), 0.1);
        let stages = StageIndex::new(&carried).stages("default", 0, START + 48 * HOUR);
        assert_eq!(stages[0].mixed_since, Some(START + 24 * HOUR));
    }

    #[test]
    fn a_ratio_counts_from_the_operation_that_set_it_first() {
        let mut state = state(&[row(24, [0.0, 0.1], Some(1))]);
        state.layers[0].ratio = Ratio::try_from_share(0.1).unwrap();
        state.layers[0].since = START + 25 * HOUR;
        let check = |operation: &str, hour: i64| {
            let carried = state.carried_into(&plan("b", operation)).unwrap();
            let at = state.at(&carried, START + 72 * HOUR);
            assert_eq!((at.layers[0].since - START) / HOUR, hour, "{operation}");
        };
        check("", 25);
        check(&operation(24, 0.1, ""), 24);
        check(&operation(30, 0.1, ""), 25);
        check(&operation(30, 0.2, ""), 30);
    }

    #[test]
    fn what_contradicts_the_log_is_refused_with_both_named() {
        let state = state(&[row(24, [0.0, 0.1], Some(0)), row(48, [0.1, 0.5], Some(0))]);
        let check = |hour: i64, ratio: f64| {
            let error = state
                .carried_into(&plan("b", &operation(hour, ratio, "")))
                .unwrap_err()
                .to_string();
            let at = time::format(START + hour * HOUR);
            assert!(error.contains(&format!("at {at} in the scenario")), "{error}");
            assert!(error.contains("promote from 10% to 50%"), "{error}");
        };
        check(30, 0.2);
        check(48, 0.2);
        assert!(state.carried_into(&plan("b", &operation(60, 0.2, ""))).is_ok());
    }

    #[test]
    fn what_a_release_did_says_nothing_of_another() {
        let state = state(&[row(24, [0.0, 0.1], Some(0))]);
        assert_eq!(stages(&state, &plan("c", ""), 72), [(0, 0.0)]);
        let named = plan("c", &operation(24, 0.1, "candidate = \"b\""));
        assert_eq!(stages(&state, &named, 72), [(0, 0.0)]);
        let unnamed = state
            .carried_into(&plan("c", &operation(24, 0.1, "")))
            .unwrap_err();
        assert!(unnamed.to_string().contains("expected the release"), "{unnamed}");
        // An operation after the last change of the earlier release is the new one's.
        assert_eq!(
            stages(&state, &plan("c", &operation(30, 0.2, "")), 72),
            [(0, 0.0), (30, 0.2)]
        );
    }

    #[test]
    fn a_state_without_a_log_carries_its_ratios() {
        let mut state = state(&[]);
        state.layers[0].ratio = Ratio::try_from_share(0.3).unwrap();
        state.layers[0].since = START + 24 * HOUR;
        assert_eq!(stages(&state, &plan("b", ""), 72), [(0, 0.0), (24, 0.3)]);
    }
}

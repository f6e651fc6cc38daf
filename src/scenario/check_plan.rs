//! Checks of `[plan]`, `[[operation]]`, `[[freeze]]`, `[[approval]]` and `[[claim]]`.

use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::error::Problem;
use crate::base::skeleton;
use crate::base::skeleton::skeleton;
use crate::base::time;
use crate::base::time::{Micros, SECOND};
use crate::bucket::{PLATFORMS, Profile, Ratio};
use crate::scenario::checker::Checker;
use crate::scenario::plan::{APPROVER_KINDS, Approval, Claim, Layer, Operation, Plan};
use crate::scenario::policy::{Guardrail, Policy};
use crate::scenario::raw::{RawApproval, RawClaim, RawFreeze, RawOperation, RawPlan};
use crate::scenario::stages::{MAX_STAGES, stages_of};

impl Checker {
    pub(super) fn plan(
        &mut self,
        raw: RawPlan,
        start: Micros,
        layers: Vec<Layer>,
        guardrails: Vec<Guardrail>,
        policy: Policy,
        operations: Vec<Operation>,
    ) -> Plan {
        let id = self.slug("plan.id", raw.id);
        let supersedes = raw.supersedes.map(|old| self.slug("plan.supersedes", Some(old)));
        if supersedes.as_ref() == Some(&id) {
            self.problem(
                "plan.supersedes",
                format!("expected the id of another plan, found this plan's own, \"{id}\""),
            );
        }
        let salt = raw.salt.unwrap_or_else(|| id.clone());
        let flag = raw.flag.unwrap_or_else(|| id.clone());
        let name = raw.profile.as_deref().unwrap_or("sluice");
        let profile = Profile::by_name(name, &flag, &salt).unwrap_or_else(|| {
            let known = PLATFORMS
                .iter()
                .map(|(_, name, _)| *name)
                .collect::<Vec<_>>()
                .join(", ");
            self.problem(
                "plan.profile",
                format!("expected sluice, external or one of {known}, found \"{name}\""),
            );
            Profile::Sluice { salt }
        });
        self.steps(&profile, &layers, &operations);
        let baseline = self.name(
            "plan.baseline",
            raw.baseline,
            "the id of the release that users have today",
        );
        let candidate = self.name(
            "plan.candidate",
            raw.candidate,
            "the id of the release that is being ramped",
        );
        if baseline == candidate {
            self.problem(
                "plan.candidate",
                format!("expected a release other than the baseline, found \"{candidate}\" twice"),
            );
        } else if skeleton(&baseline) == skeleton(&candidate) {
            self.problem(
                "plan.candidate",
                format!(
                    "expected a release that looks different from the baseline, found \"{candidate}\" and \
                     \"{baseline}\""
                ),
            );
        }
        let minutes = raw.window_minutes.unwrap_or(60);
        if minutes == 0 || minutes > 7 * 24 * 60 {
            self.problem(
                "plan.window_minutes",
                format!("expected 1 to 10080 minutes, found {minutes}"),
            );
        }
        let layers_digest = raw.layers_digest;
        if let Some(digest) = &layers_digest {
            let hex = digest
                .strip_prefix("blake3:")
                .or_else(|| digest.strip_prefix("sha256:"))
                .unwrap_or_default();
            if hex.len() != 64
                || !hex
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            {
                self.problem(
                    "plan.layers_digest",
                    format!("expected blake3: or sha256: and 64 hexadecimal digits, found \"{digest}\""),
                );
            }
        }
        Plan {
            id,
            supersedes,
            layers_digest,
            start,
            baseline,
            candidate,
            profile,
            window: Micros::from(minutes.max(1)) * 60 * SECOND,
            operator: self.operator("plan.operator", raw.operator),
            layers,
            guardrails,
            policy,
            operations,
            freezes: Vec::new(),
            approvals: Vec::new(),
            promised_days: raw
                .promised_days
                .map(|days| self.number("plan.promised_days", Some(days), 0.0, 0.0, 1e5)),
            claims: Vec::new(),
            measures: BTreeMap::new(),
            time_zone: self.zone.clone(),
        }
    }

    fn operator(&mut self, location: &str, value: Option<String>) -> String {
        let value = value.unwrap_or_else(|| "sluice".into());
        self.name(location, Some(value), "a name")
    }

    /// Refuses ratios that the assignment system cannot represent. Rounding would give the
    /// candidate to users outside the plan.
    fn steps(&mut self, profile: &Profile, layers: &[Layer], operations: &[Operation]) {
        if profile.name() == "split" && profile.salt().parse::<u32>().is_err() {
            self.problem(
                "plan.salt",
                format!(
                    "expected Split's seed, a whole number, found \"{}\"",
                    profile.salt()
                ),
            );
        }
        let of_layers = layers.iter().enumerate().flat_map(|(idx, layer)| {
            layer
                .ladder
                .iter()
                .chain([&layer.initial_ratio])
                .map(move |ratio| (format!("layer[{}]", idx + 1), *ratio))
        });
        let of_operations = operations
            .iter()
            .enumerate()
            .map(|(idx, operation)| (format!("operation[{}].ratio", idx + 1), operation.ratio));
        let wrong: Vec<(String, Ratio)> = of_layers
            .chain(of_operations)
            .filter(|(_, ratio)| ratio.bps() % profile.step() != 0)
            .collect();
        for (location, ratio) in wrong {
            let step = f64::from(profile.step()) / 100.0;
            self.problem(
                location,
                format!(
                    "expected ratios in steps of {step}%, the smallest step of {}, found {ratio}",
                    profile.name()
                ),
            );
        }
    }

    pub(super) fn operations(
        &mut self,
        raw: Vec<RawOperation>,
        layers: &[Layer],
        start: Micros,
    ) -> Vec<Operation> {
        let mut operations: Vec<Operation> = Vec::new();
        let mut latest: HashMap<(usize, Option<String>, Option<String>), Micros> = HashMap::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("operation[{}].{key}", idx + 1);
            let instant = self.instant(&at("at"), raw.at.as_ref());
            let layer_idx = self.layer_ref(&at("layer"), raw.layer, layers);
            let ratio = self
                .require(&at("ratio"), raw.ratio, "a ratio from 0 to 1")
                .map_or(Ratio::ZERO, |share| self.ratio(&at("ratio"), share));
            if instant < start {
                self.problem(
                    at("at"),
                    format!(
                        "expected an instant not before plan.start ({}), found {}",
                        time::format(start),
                        time::format(instant)
                    ),
                );
            }
            let candidate = raw
                .candidate
                .map(|id| self.name(&at("candidate"), Some(id), "the id of a release"));
            let latest = latest
                .entry((layer_idx, raw.tenant.clone(), candidate.clone()))
                .or_insert(Micros::MIN);
            if *latest >= instant && *latest > Micros::MIN {
                self.problem(
                    at("at"),
                    "expected operations of a layer in rising time order, found another order",
                );
            }
            *latest = instant.max(*latest);
            operations.push(Operation {
                at: instant,
                since: None,
                candidate,
                tenant: raw.tenant,
                layer_idx,
                ratio,
                operator: self.operator(&at("operator"), raw.operator),
                is_logged: false,
            });
        }
        operations.sort_by_key(|o| (o.at, o.layer_idx));
        operations
    }

    /// Refuses a layer with more changes of its ratio than a cube can hold, now or later.
    pub(super) fn stages(&mut self, plan: &Plan) {
        let mut n_operations: BTreeMap<(usize, &str), usize> = BTreeMap::new();
        for operation in plan.operations.iter().filter(|o| o.concerns_candidate_of(plan)) {
            let tenant = operation.tenant.as_deref().unwrap_or_default();
            *n_operations.entry((operation.layer_idx, tenant)).or_default() += 1;
        }
        // Operations without a tenant concern all tenants; here they are those of the empty name.
        let of_all = |layer_idx| n_operations.get(&(layer_idx, "")).copied().unwrap_or(0);
        let most = n_operations
            .iter()
            .filter(|((layer_idx, tenant), n)| {
                let others = if tenant.is_empty() { 0 } else { of_all(*layer_idx) };
                **n + others >= MAX_STAGES
            })
            .map(|((layer_idx, tenant), _)| {
                (stages_of(plan, tenant, *layer_idx, Micros::MAX).len(), *layer_idx)
            })
            .max();
        if let Some((n_stages, layer_idx)) = most.filter(|(n_stages, _)| *n_stages > MAX_STAGES) {
            let problem = Problem::new(
                "operation",
                format!(
                    "expected at most {MAX_STAGES} ratios of a layer, one after another, found {n_stages} for \
                     \"{}\"",
                    plan.layers[layer_idx].id
                ),
            );
            self.problems
                .push(problem.hint("take fewer and larger steps, or go on in a new plan"));
        }
    }

    pub(super) fn freezes(&mut self, raw: Vec<RawFreeze>) -> Vec<Range<Micros>> {
        let mut freezes = Vec::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("freeze[{}].{key}", idx + 1);
            let (from, until) = (
                self.instant(&at("from"), raw.from.as_ref()),
                self.instant(&at("until"), raw.until.as_ref()),
            );
            if until <= from {
                self.problem(
                    at("until"),
                    format!(
                        "expected an instant after {}, found {}",
                        time::format(from),
                        time::format(until)
                    ),
                );
            }
            freezes.push(from..until);
        }
        freezes
    }

    pub(super) fn claims(&mut self, raw: Vec<RawClaim>) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("claim[{}].{key}", idx + 1);
            let of = self.require(&at("of"), raw.of, "a number of users").unwrap_or(1);
            if of == 0 {
                self.problem(at("of"), "expected at least 1 user, found 0");
            }
            let share = self.require(&at("share"), raw.share, "a share from 0 to 1");
            claims.push(Claim {
                users: self
                    .require(&at("users"), raw.users, "a number of users")
                    .unwrap_or(0),
                of: of.max(1),
                share: self.number(&at("share"), share, 0.0, 0.0, 1.0),
                source: self.text(&at("source"), raw.source, "the name of the source"),
            });
        }
        claims
    }

    pub(super) fn approvals(&mut self, raw: Vec<RawApproval>, layers: &[Layer]) -> Vec<Approval> {
        let mut approvals = Vec::new();
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("approval[{}].{key}", idx + 1);
            let by = self.name(&at("by"), raw.by, "who signed");
            let is_bot = self.choice(&at("kind"), raw.kind.as_deref(), &APPROVER_KINDS);
            let candidate = raw.candidate;
            approvals.push(Approval {
                layer_idx: self.layer_ref(&at("layer"), raw.layer, layers),
                candidate: candidate.map(|id| self.name(&at("candidate"), Some(id), "the id of a release")),
                ratio: self
                    .require(&at("ratio"), raw.ratio, "a ratio from 0 to 1")
                    .map_or(Ratio::ZERO, |share| self.ratio(&at("ratio"), share)),
                at: self.instant(&at("at"), raw.at.as_ref()),
                is_program: is_bot || skeleton::is_program(&by),
                by,
            });
        }
        approvals
    }
}

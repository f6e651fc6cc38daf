//! Steps of a plan: the ratio of every layer at a moment, from the plan, a schedule or a what-if
//! value.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

use crate::base::error::{Error, Result};
use crate::base::time::{Micros, WrittenInstant, Zone};
use crate::base::{json, time};
use crate::bucket::Ratio;
use crate::ramp::schedule::{SCHEMA as SCHEDULE_SCHEMA, Schedule};
use crate::ramp::state::{RampState, SCHEMA as STATE_SCHEMA};
use crate::scenario::{Plan, stages_of};

/// The ratios of all layers at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanStep {
    origin: Origin,
    /// Ratios that replace those of the origin, by layer index.
    supposed: BTreeMap<usize, Ratio>,
}

#[derive(Debug, Clone, PartialEq)]
enum Origin {
    /// The result of the plan's operations before an instant, microseconds, UTC.
    Operations(Micros),
    /// The ratio with which each layer opens.
    Initial,
    /// One ratio for every layer of every tenant.
    Everywhere(Ratio),
    /// Ratios of a schedule or a state, by tenant and layer.
    Listed(BTreeMap<(String, String), Ratio>),
}

impl PlanStep {
    /// The ratios that the plan's operations before `as_of` have set.
    pub fn in_force(as_of: Micros) -> Self {
        Self {
            origin: Origin::Operations(as_of),
            supposed: BTreeMap::new(),
        }
    }

    /// Reads a step from the command line: `initial`, an instant (including its own operations), a
    /// ratio (`0.1`), or ratios by layer (`early=0.5,regular=0.01`). Layers that are not listed
    /// have the ratio in force at `as_of`. An instant without an offset is local to `zone`.
    ///
    /// # Errors
    /// The text is none of these, the plan does not have the layer, the ratio is not a multiple of
    /// 0.0001, or the zone does not have the local time exactly once.
    pub fn parse(text: &str, plan: &Plan, as_of: Micros, zone: &Zone) -> Result<Self> {
        let of = |origin| {
            Ok(Self {
                origin,
                supposed: BTreeMap::new(),
            })
        };
        if text == "initial" {
            return of(Origin::Initial);
        }
        if text.contains('=') {
            let mut step = Self::in_force(as_of);
            for pair in text.split(',') {
                let (id, ratio) = pair.split_once('=').unwrap_or((pair, ""));
                let Some(layer) = plan.layer_idx(id) else {
                    let ids: Vec<&str> = plan.layers.iter().map(|layer| layer.id.as_str()).collect();
                    return Err(Error::usage(format!(
                        "expected one of the layers {}, found `{id}`",
                        ids.join(", ")
                    )));
                };
                if step.supposed.insert(layer, parse_ratio(ratio)?).is_some() {
                    return Err(Error::usage(format!(
                        "expected each layer once, found `{id}` twice"
                    )));
                }
            }
            return Ok(step);
        }
        if text.parse::<f64>().is_ok_and(|share| share <= 1.0) {
            return of(Origin::Everywhere(parse_ratio(text)?));
        }
        // A small number is a ratio or a share in percent by mistake, not seconds of the year 1970.
        let is_small = text.parse::<f64>().is_ok_and(|number| number < 1e7);
        match WrittenInstant::parse(text) {
            Ok(written) if !is_small => {
                let instant = written
                    .resolve("", zone)
                    .map_err(|problem| Error::scenario(vec![problem]))?;
                // What changes at an instant is in force at that instant.
                Ok(Self::in_force(instant.saturating_add(1)))
            }
            Err(why) if why != time::NotAnInstant::Form => {
                Err(Error::usage(format!("expected a step, found {}", why.found(text))))
            }
            _ => Err(Error::usage(format!("expected a step, found `{text}`")).hint(
                "a step is `initial`, an instant, a ratio such as 0.1, ratios such as early=0.5,regular=0.01, or a schedule.json or state.json",
            )),
        }
    }

    /// Reads the ratios from a `schedule.json` or `state.json` of this plan and its candidate.
    /// `location` names the document in errors.
    ///
    /// # Errors
    /// The document is of another kind, plan or candidate, or lacks a layer of the plan.
    pub fn from_document(bytes: &[u8], location: &str, plan: &Plan) -> Result<Self> {
        Ok(Self {
            origin: Origin::Listed(listed(bytes, location, plan)?),
            supposed: BTreeMap::new(),
        })
    }

    /// Returns a tenant's ratio in a layer. It is 0 for a tenant that the document does not list.
    pub fn ratio(&self, plan: &Plan, tenant: &str, layer: usize) -> Ratio {
        if let Some(ratio) = self.supposed.get(&layer) {
            return *ratio;
        }
        match &self.origin {
            Origin::Operations(as_of) => stages_of(plan, tenant, layer, *as_of)
                .last()
                .map_or(Ratio::ZERO, |stage| stage.ratio),
            Origin::Initial => plan.layers[layer].initial_ratio,
            Origin::Everywhere(ratio) => *ratio,
            Origin::Listed(ratios) => ratios
                .get(&(tenant.to_owned(), plan.layers[layer].id.clone()))
                .copied()
                .unwrap_or(Ratio::ZERO),
        }
    }
}

fn listed(bytes: &[u8], location: &str, plan: &Plan) -> Result<BTreeMap<(String, String), Ratio>> {
    #[derive(Deserialize)]
    struct Header {
        schema: String,
        plan_id: String,
        candidate: String,
    }
    let wrong = |found: String| {
        let expected = format!(
            "expected a schedule.json or state.json of {} under plan {}",
            plan.candidate, plan.id
        );
        Err(Error::input(location, format!("{expected}, found {found}")))
    };
    let header: Header = json::parse_document(bytes, location)?;
    if header.plan_id != plan.id || header.candidate != plan.candidate {
        return wrong(format!("one of {} under {}", header.candidate, header.plan_id));
    }
    let ratios: BTreeMap<(String, String), Ratio> = match header.schema.as_str() {
        SCHEDULE_SCHEMA => json::parse_document::<Schedule>(bytes, location)?
            .layers
            .into_iter()
            .map(|l| ((l.tenant, l.layer), l.next_ratio))
            .collect(),
        STATE_SCHEMA => json::parse_document::<RampState>(bytes, location)?
            .layers
            .into_iter()
            .map(|l| ((l.tenant, l.layer), l.ratio))
            .collect(),
        other => return wrong(format!("a document of form {other}")),
    };
    let tenants: BTreeSet<&String> = ratios.keys().map(|(tenant, _)| tenant).collect();
    for tenant in tenants {
        if let Some(missing) = plan
            .layers
            .iter()
            .find(|layer| !ratios.contains_key(&(tenant.clone(), layer.id.clone())))
        {
            return wrong(format!("none for layer {} of tenant {tenant}", missing.id));
        }
    }
    Ok(ratios)
}

fn parse_ratio(text: &str) -> Result<Ratio> {
    let wrong = |found: String| Error::usage(format!("expected a ratio such as 0.1, found {found}"));
    let share: f64 = text.parse().map_err(|_| wrong(format!("`{text}`")))?;
    Ratio::try_from_share(share)
        .map_err(|_| wrong(format!("{text}, which is not a multiple of 0.0001 from 0 to 1")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, Scenario};
    use std::path::Path;

    #[test]
    fn a_number_is_a_ratio_or_epoch_seconds_and_nothing_between() {
        let text = r#"
            as_of = "2026-01-10"
            plan = { id = "p", start = "2026-01-01", baseline = "a", candidate = "b" }
            input = { users_from_traffic = true, traffic = [{ path = "t.csv" }] }
            layer = [{ id = "all" }]
        "#;
        let scenario = Scenario::parse(text, "test", Path::new(""), &Overrides::default()).unwrap();
        let parse = |text: &str| PlanStep::parse(text, &scenario.plan, scenario.as_of, &scenario.time_zone);
        let is_in_force = |text: &str, at: Micros| {
            assert_eq!(parse(text).unwrap(), PlanStep::in_force(at + 1), "{text}");
        };
        is_in_force("2026-01-02", 1_767_312_000_000_000);
        is_in_force("1767312000", 1_767_312_000_000_000);
        is_in_force("20260102", 1_767_312_000_000_000);
        assert_eq!(
            parse("0.1").unwrap().ratio(&scenario.plan, "default", 0).bps(),
            1_000
        );
        for wrong in ["50", "1.5", "-1", "2026", "1767312000000", "soon"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

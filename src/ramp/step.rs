//! Steps of a plan: the ratio of every layer at a moment, planned, scheduled or supposed.

use std::{collections::BTreeMap, path::Path};

use super::{RampState, Schedule};
use crate::{
    bucket::Ratio,
    error::{Error, Result},
    output,
    replay::stages_of,
    scenario::Plan,
    time::{self, Micros},
};

/// The ratio of every layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    origin: Origin,
    /// Ratios that are supposed instead, by layer index.
    supposed: BTreeMap<usize, Ratio>,
}

#[derive(Debug, Clone, PartialEq)]
enum Origin {
    /// What the plan's operations had brought about before an instant.
    Operations(Micros),
    /// The ratio that every layer opens with.
    Initial,
    /// Of every layer at once.
    Everywhere(Ratio),
    /// A schedule's or a state's ratios, by tenant and layer.
    Listed(BTreeMap<(String, String), Ratio>),
}

impl Step {
    /// What the plan's operations had brought about before an instant.
    pub fn in_force(as_of: Micros) -> Self {
        Self { origin: Origin::Operations(as_of), supposed: BTreeMap::new() }
    }

    /// Reads a step from the command line:
    /// `initial`, an instant, a ratio (`0.1`), ratios by layer (`early=0.5,regular=0.01`, the others as in force at `as_of`), or the path
    /// of a `schedule.json` or `state.json`.
    ///
    /// # Errors
    /// A text that is none of these, a layer that the plan does not have, a ratio finer than a basis point, or a file of another plan.
    pub fn parse(text: &str, plan: &Plan, as_of: Micros) -> Result<Self> {
        let of = |origin| Ok(Self { origin, supposed: BTreeMap::new() });
        if text == "initial" {
            return of(Origin::Initial);
        }
        if text.contains('=') {
            let mut step = Self::in_force(as_of);
            for pair in text.split(',') {
                let (id, ratio) = pair.split_once('=').unwrap_or((pair, ""));
                let Some(layer) = plan.layers.iter().position(|layer| layer.id == id) else {
                    let ids: Vec<&str> = plan.layers.iter().map(|layer| layer.id.as_str()).collect();
                    return Err(Error::usage(format!("expected one of the layers {}, found `{id}`", ids.join(", "))));
                };
                step.supposed.insert(layer, parse_ratio(ratio)?);
            }
            return Ok(step);
        }
        if text.parse::<f64>().is_ok_and(|share| share <= 1.0) {
            return of(Origin::Everywhere(parse_ratio(text)?));
        }
        if let Some(instant) = time::parse(text) {
            return Ok(Self::in_force(instant));
        }
        let path = Path::new(text);
        if !path.is_file() {
            return Err(Error::usage(format!("expected a step, found `{text}`"))
                .hint("a step is `initial`, an instant, a ratio such as 0.1, ratios such as early=0.5,regular=0.01, or a schedule.json"));
        }
        let (plan_id, ratios) = match output::read_json::<Schedule>(path) {
            Ok(schedule) => (schedule.plan_id, schedule.layers.into_iter().map(|l| ((l.tenant, l.layer), l.next_ratio)).collect()),
            Err(_) => {
                let state: RampState = output::read_json(path)?;
                (state.plan_id, state.layers.into_iter().map(|l| ((l.tenant, l.layer), l.ratio)).collect())
            }
        };
        if plan_id != plan.id {
            return Err(Error::input(text, format!("expected a document of plan {}, found one of {plan_id}", plan.id)));
        }
        of(Origin::Listed(ratios))
    }

    /// A tenant's ratio of a layer. A tenant that a document does not list has nobody on the candidate.
    pub fn ratio(&self, plan: &Plan, tenant: &str, layer: usize) -> Ratio {
        if let Some(ratio) = self.supposed.get(&layer) {
            return *ratio;
        }
        match &self.origin {
            Origin::Operations(as_of) => stages_of(plan, tenant, layer, *as_of).last().map_or(Ratio::ZERO, |stage| stage.ratio),
            Origin::Initial => plan.layers[layer].initial_ratio,
            Origin::Everywhere(ratio) => *ratio,
            Origin::Listed(ratios) => ratios.get(&(tenant.to_owned(), plan.layers[layer].id.clone())).copied().unwrap_or(Ratio::ZERO),
        }
    }
}

fn parse_ratio(text: &str) -> Result<Ratio> {
    let wrong = |found: String| Error::usage(format!("expected a ratio such as 0.1, found {found}"));
    let share: f64 = text.parse().map_err(|_| wrong(format!("`{text}`")))?;
    Ratio::try_from_share(share).map_err(|_| wrong(format!("{text}, which is not one of 0, 0.0001, ..., 1")))
}

//! Checks of `[[simulate.world]]`: rates, effects and faults of a simulated world.

use crate::base::time::HOUR;
use crate::metric::Metric;
use crate::scenario::checker::Checker;
use crate::scenario::plan::Layer;
use crate::scenario::policy::LATENCY_P95;
use crate::scenario::raw_simulate::{RawEffect, RawFaultEffect, RawRate, RawWorld, RawWorldLayer};
use crate::scenario::simulation::{Rate, World, WorldEffect, WorldLayer};

impl Checker {
    pub(super) fn world(&mut self, idx: usize, raw: RawWorld, known: &[String], layers: &[Layer]) -> World {
        let location = format!("simulate.world[{}]", idx + 1);
        let id = self.text(&format!("{location}.id"), raw.id, "an id");
        let mut effects: Vec<WorldEffect> = Vec::new();
        for (n, effect) in raw.effects.into_iter().enumerate() {
            effects.push(self.effect(&format!("{location}.effects[{}]", n + 1), effect, known, layers));
        }
        for dimension in &raw.revert {
            if !effects
                .iter()
                .any(|effect| effect.dimension.as_ref() == Some(dimension))
            {
                self.problem(
                    format!("{location}.revert"),
                    format!("expected a dimension of an effect, found \"{dimension}\""),
                );
            }
        }
        effects.retain(|effect| {
            effect
                .dimension
                .as_ref()
                .is_none_or(|dimension| !raw.revert.contains(dimension))
        });
        for (n, fault) in raw.faults.into_iter().enumerate() {
            let location = format!("{location}.faults[{}]", n + 1);
            let RawFaultEffect {
                metric,
                layer,
                effect,
                from_hours,
                hours,
            } = fault;
            let from = self.duration(&format!("{location}.from_hours"), from_hours, 0.0, HOUR);
            let length = self.duration(&format!("{location}.hours"), hours, 1e6, HOUR);
            let effect = self.effect(
                &location,
                RawEffect {
                    metric,
                    layer,
                    effect,
                    dimension: None,
                },
                known,
                layers,
            );
            effects.push(WorldEffect {
                during: Some((from, length)),
                ..effect
            });
        }
        let mut share =
            |key: &str, value: Option<f64>| self.number(&format!("{location}.{key}"), value, 0.0, 0.0, 1.0);
        World {
            opt_out_per_day: share("opt_out_per_day", raw.opt_out_per_day),
            drift_per_day: share("drift_per_day", raw.drift_per_day),
            candidate_loss: share("candidate_loss", raw.candidate_loss),
            id,
            effects,
        }
    }

    pub(super) fn world_layer(&mut self, at: &dyn Fn(&str) -> String, raw: &RawWorldLayer) -> WorldLayer {
        WorldLayer {
            n_users: self.required_number(&at("users"), raw.users, 1.0, 1e12),
            turns_per_user_day: self.required_number(
                &at("turns_per_user_day"),
                raw.turns_per_user_day,
                1e-9,
                1e6,
            ),
            weekly_active: self.number(&at("weekly_active"), raw.weekly_active, 0.5, 1e-6, 1.0 - 1e-9),
            rhythm: self.rhythm(&at("rhythm"), raw.rhythm.as_deref()),
        }
    }

    fn effect(&mut self, location: &str, raw: RawEffect, known: &[String], layers: &[Layer]) -> WorldEffect {
        let at = |key: &str| format!("{location}.{key}");
        WorldEffect {
            metric: self.known_metric(&at("metric"), raw.metric, known),
            layer_idx: raw.layer.map(|id| self.layer_ref(&at("layer"), Some(id), layers)),
            effect: self.required_number(&at("effect"), raw.effect, -1e12, 1e12),
            dimension: raw.dimension,
            during: None,
        }
    }

    pub(super) fn rate(
        &mut self,
        idx: usize,
        raw: RawRate,
        known: &[String],
        layers: &[Layer],
        metrics: &[Metric],
    ) -> Rate {
        let at = |key: &str| format!("simulate.rate[{}].{key}", idx + 1);
        let metric = self.known_metric(&at("metric"), raw.metric, known);
        let is_proportion = metrics.iter().any(|m| m.id == metric && m.proportion);
        let high = if is_proportion { 1.0 } else { 1e12 };
        if !is_proportion
            && raw.sd.is_none()
            && (metric == LATENCY_P95 || metrics.iter().any(|m| m.id == metric))
        {
            self.problem(at("sd"), "expected the standard deviation of a row's value, found nothing: the metric is not a proportion");
        }
        Rate {
            layer_idx: raw.layer.map(|id| self.layer_ref(&at("layer"), Some(id), layers)),
            value: self.required_number(
                &at("value"),
                raw.value,
                if is_proportion { 0.0 } else { -1e12 },
                high,
            ),
            sd: if is_proportion {
                None
            } else {
                raw.sd.map(|sd| self.number(&at("sd"), Some(sd), 0.0, 0.0, 1e12))
            },
            user_sd: self.number(&at("user_sd"), raw.user_sd, 0.0, 0.0, 1e12),
            share: self.number(&at("share"), raw.share, 1.0, 1e-9, 1e6),
            metric,
        }
    }
}

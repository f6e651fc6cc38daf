//! Checks of `[layering]` and `[[layer]]`: weights, caps, tag rules, and the order of layers.

use crate::base::time::HOUR;
use crate::bucket::Ratio;
use crate::scenario::checker::Checker;
use crate::scenario::layering::{Consent, LayerMode, Layering, PRESETS, TagRule, TagTest, UnknownUsers};
use crate::scenario::plan::Layer;
use crate::scenario::raw::RawLayer;
use crate::scenario::raw_layering::{RawLayering, RawTag};
use crate::scenario::raw_policy::RawPolicy;
use crate::stats::group_sequential::Spending;
use crate::words::Text;

/// The largest number of layers: a user's layer is stored in one byte.
pub(super) const MAX_LAYERS: usize = 100;

impl Checker {
    pub(super) fn layering(&mut self, raw: &RawLayering) -> Layering {
        let preset = self.choice("layering.preset", raw.preset.as_deref(), &PRESETS);
        Layering {
            mode: self.choice("layering.mode", raw.mode.as_deref(), &LayerMode::ALL),
            weights: self.weights("layering.weights", preset, raw.weights.clone()),
            recency_cap_secs: self.number("layering.recency_cap_days", raw.recency_cap_days, 30.0, 1e-3, 1e5)
                * 86_400.0,
            use_count_cap: self.number("layering.use_count_cap", raw.use_count_cap, 100.0, 1e-9, 1e15),
            user_value_cap: self.number(
                "layering.user_value_cap",
                raw.user_value_cap,
                100_000.0,
                1e-9,
                1e15,
            ),
            unknown: self.choice("layering.unknown", raw.unknown.as_deref(), &UnknownUsers::ALL),
            consent: self.choice("layering.consent", raw.consent.as_deref(), &Consent::ALL),
        }
    }

    /// The layer's own boundary, with the parameters of the policy where it has none.
    fn layer_boundary(
        &mut self,
        at: &dyn Fn(&str) -> String,
        word: &Option<String>,
        own: [Option<f64>; 2],
        policy: &RawPolicy,
    ) -> Option<Spending> {
        let of_policy = [policy.boundary_rho, policy.boundary_gamma];
        // Parameters are checked even without a boundary that they belong to.
        let boundary = self.boundary(at, word.as_deref(), own, of_policy);
        word.as_ref().map(|_| boundary)
    }

    pub(super) fn layers(&mut self, raw: Vec<RawLayer>, mode: LayerMode, policy: &RawPolicy) -> Vec<Layer> {
        if raw.is_empty() {
            self.problem("layer", "expected at least one [[layer]], found none");
        }
        let ids: Vec<String> = raw.iter().map(|l| l.id.clone().unwrap_or_default()).collect();
        let n_layers = raw.len();
        let mut by_default = vec![false; n_layers];
        let mut layers: Vec<Layer> = Vec::with_capacity(n_layers);
        for (idx, raw) in raw.into_iter().enumerate() {
            let at = |key: &str| format!("layer[{}].{key}", idx + 1);
            let id = self.slug(&at("id"), raw.id);
            if ids[..idx].contains(&id) {
                self.problem(
                    at("id"),
                    format!("expected ids that differ, found \"{id}\" twice"),
                );
            }
            let initial = self.ratio(&at("initial_ratio"), raw.initial_ratio.unwrap_or(0.0));
            let mut ladder = self.ladder(&at("ladder"), &raw.ladder.unwrap_or_else(|| vec![0.1, 0.5, 1.0]));
            if initial > Ratio::ZERO && !ladder.contains(&initial) {
                ladder.push(initial);
                ladder.sort_unstable();
            }
            let min_score = raw
                .min_score
                .map(|score| self.number(&at("min_score"), Some(score), 0.0, 0.0, 1.0));
            let quota = raw
                .quota
                .map(|quota| self.number(&at("quota"), Some(quota), 0.0, 0.0, 1.0));
            let tags: Vec<TagRule> = raw
                .tags
                .into_iter()
                .enumerate()
                .filter_map(|(t, tag)| self.tag(&format!("layer[{}].tags[{}]", idx + 1, t + 1), tag))
                .collect();
            let last = idx + 1 == n_layers;
            match mode {
                LayerMode::Threshold if min_score.is_none() && tags.is_empty() && !last => {
                    self.problem(
                        at("min_score"),
                        "expected a min_score or tags (only the last layer takes the rest), found neither",
                    );
                }
                LayerMode::Threshold if last && min_score.is_some() => {
                    self.problem(
                        at("min_score"),
                        "expected no min_score in the last layer, which takes the rest, found one",
                    );
                }
                LayerMode::Quota if quota.is_none() && tags.is_empty() => {
                    self.problem(at("quota"), "expected a quota or tags, found neither");
                }
                LayerMode::Quota if last && quota.is_none() => {
                    self.problem(
                        at("quota"),
                        "expected a quota in the last layer, which takes the rest, found none",
                    );
                }
                _ => {}
            }
            let after = match raw.after {
                Some(others) => self.after(&at("after"), idx, &others, &ids),
                None => {
                    by_default[idx] = true;
                    idx.checked_sub(1).into_iter().collect()
                }
            };
            let name = raw.name.and_then(|name| self.display_name(&at("name"), name));
            let name = name.unwrap_or_else(|| Text::from(&id));
            layers.push(Layer {
                name,
                id,
                min_score,
                quota,
                tags,
                initial_ratio: initial,
                ladder,
                qos_threshold: self.number(&at("qos_threshold"), raw.qos_threshold, 0.8, 0.0, 1.0),
                dwell: self.duration(&at("dwell_hours"), raw.dwell_hours, 72.0, HOUR),
                min_users: raw.min_users.unwrap_or(100),
                boundary: self.layer_boundary(
                    &at,
                    &raw.boundary,
                    [raw.boundary_rho, raw.boundary_gamma],
                    policy,
                ),
                after,
                safety_critical: raw.safety_critical,
            });
        }
        self.layer_order(&layers, mode);
        self.no_circle(&layers, &by_default);
        layers
    }

    /// Returns the indices of the layers that `after` names.
    fn after(&mut self, location: &str, idx: usize, others: &[String], ids: &[String]) -> Vec<usize> {
        let mut after = Vec::new();
        for other in others {
            match ids.iter().position(|id| id == other) {
                Some(other_idx) if other_idx != idx => after.push(other_idx),
                _ => self.problem(
                    location,
                    format!("expected ids of other layers, found \"{other}\""),
                ),
            }
        }
        after
    }

    fn layer_order(&mut self, layers: &[Layer], mode: LayerMode) {
        let scores: Vec<f64> = layers.iter().filter_map(|l| l.min_score).collect();
        if mode == LayerMode::Threshold && !scores.is_sorted_by(|a, b| a > b) {
            self.problem(
                "layer",
                "expected min_score to fall from layer to layer, found another order",
            );
        }
        let quotas: Vec<f64> = layers.iter().filter_map(|l| l.quota).collect();
        if mode == LayerMode::Quota && quotas.iter().sum::<f64>() <= 0.0 {
            self.problem("layer", "expected quotas above 0, found none");
        }
    }

    /// Refuses a circle of layers that wait for each other: it would keep them closed forever.
    /// `by_default` is true for layers without `after`.
    fn no_circle(&mut self, layers: &[Layer], by_default: &[bool]) {
        let waits_for = |start: usize| {
            let (mut seen, mut todo) = (vec![false; layers.len()], layers[start].after.clone());
            while let Some(idx) = todo.pop() {
                if !std::mem::replace(&mut seen[idx], true) {
                    todo.extend(&layers[idx].after);
                }
            }
            seen
        };
        let reached: Vec<Vec<bool>> = (0..layers.len()).map(waits_for).collect();
        for (start, layer) in layers.iter().enumerate().filter(|(idx, _)| reached[*idx][*idx]) {
            let of_circle = |idx: &usize| reached[start][*idx] && reached[*idx][start];
            let waits = (0..layers.len()).filter(of_circle).find(|idx| by_default[*idx]);
            let why = waits.map_or_else(String::new, |idx| {
                format!(
                    "; \"{}\" has no `after` and waits for \"{}\", the layer before it: write its `after`",
                    layers[idx].id,
                    layers[idx - 1].id
                )
            });
            self.problem(
                format!("layer[{}].after", start + 1),
                format!(
                    "expected an order, found that \"{}\" waits for itself{why}",
                    layer.id
                ),
            );
        }
    }

    fn tag(&mut self, location: &str, raw: RawTag) -> Option<TagRule> {
        let column = self.require(
            &format!("{location}.column"),
            raw.column,
            "a column of the users table",
        )?;
        self.refuse_sensitive(&format!("{location}.column"), &column);
        let test = match (raw.equals, raw.at_least) {
            (Some(text), None) => TagTest::Equals(text),
            (None, Some(number)) if number.is_finite() => TagTest::AtLeast(number),
            _ => {
                self.problem(
                    location,
                    "expected exactly one of `equals` and `at_least`, found none or both",
                );
                return None;
            }
        };
        Some(TagRule { column, test })
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{Overrides, Scenario};
    use std::path::Path;

    /// Reads a plan with these layers.
    fn layers(layers: &str) -> Result<Vec<Vec<usize>>, String> {
        let text = format!(
            "as_of = \"2026-01-10\"\n\
             plan = {{ id = \"p\", start = \"2026-01-01\", baseline = \"a\", candidate = \"b\" }}\n\
             input = {{ users_from_traffic = true, traffic = [{{ path = \"t.csv\" }}] }}\n\
             layering = {{ mode = \"quota\" }}\n\
             layer = [{layers}]\n"
        );
        let scenario = Scenario::parse(&text, "test", Path::new(""), &Overrides::default());
        let layers = scenario
            .map_err(|problems| problems.into_iter().map(|p| format!("{p}\n")).collect::<String>())?
            .plan
            .layers;
        Ok(layers.into_iter().map(|layer| layer.after).collect())
    }

    #[test]
    fn a_layer_without_after_waits_for_the_layer_before_it() {
        let check = |after: [&str; 3], expected: &[&[usize]]| {
            let text = ["a", "b", "c"].iter().zip(after);
            let text = text.map(|(id, after)| format!("{{ id = \"{id}\", quota = 0.3{after} }}"));
            let found = layers(&text.collect::<Vec<_>>().join(", "));
            assert_eq!(found.unwrap(), expected, "{after:?}");
        };
        check(["", "", ""], &[&[], &[0], &[1]]);
        check(["", ", after = []", ""], &[&[], &[], &[1]]);
        check(["", "", ", after = []"], &[&[], &[0], &[]]);
        check(["", "", ", after = [\"a\"]"], &[&[], &[0], &[0]]);
        check(
            ["", ", after = [\"a\"]", ", after = [\"b\", \"a\"]"],
            &[&[], &[0], &[1, 0]],
        );
        check([", after = [\"b\"]", ", after = []", ""], &[&[1], &[], &[1]]);
    }

    #[test]
    fn layers_that_wait_for_each_other_are_refused() {
        let check = |text: &str, expected: &str| {
            let error = layers(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(
            "{ id = \"a\", quota = 0.5, after = [\"b\"] }, { id = \"b\", quota = 0.5, after = [\"a\"] }",
            "layer[1].after: expected an order, found that \"a\" waits for itself\n",
        );
        check(
            "{ id = \"a\", quota = 0.5, after = [\"b\"] }, { id = \"b\", quota = 0.5 }",
            "layer[1].after: expected an order, found that \"a\" waits for itself; \"b\" has no `after` and waits \
             for \"a\", the layer before it: write its `after`",
        );
        check(
            "{ id = \"a\", quota = 1, after = [\"a\"] }",
            "expected ids of other layers, found \"a\"",
        );
    }
}

//! The checker: the list of problems and the checks of single values.

use std::collections::BTreeMap;

use crate::base::error::Problem;
use crate::base::instant::RawInstant;
use crate::base::limits::Limit;
use crate::base::skeleton::hidden_char;
use crate::base::time;
use crate::base::time::{Micros, Zone};
use crate::bucket::Ratio;
use crate::scenario::input::Source;
use crate::scenario::plan::Layer;
use crate::scenario::sensitive::SensitiveRule;

/// Collects problems while a scenario is checked.
pub(super) struct Checker {
    pub(super) problems: Vec<Problem>,
    /// The rule for the columns of rules and cuts.
    pub(super) sensitive: SensitiveRule,
    /// The zone of dates and times without an offset.
    pub(super) zone: Zone,
    /// Tables of `[input.tables]`, for queries.
    pub(super) tables: BTreeMap<String, Source>,
}

impl Checker {
    pub(super) fn problem(&mut self, location: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(location, message));
    }

    pub(super) fn require<T>(&mut self, location: &str, value: Option<T>, what: &str) -> Option<T> {
        // A key with a value of the wrong type has been reported already.
        let is_reported = |p: &Problem| {
            location
                .strip_prefix(&p.location)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') && !p.location.is_empty())
        };
        // Problems that are not shown are not searched, so that many of them take no long time.
        let mut shown = self.problems.iter().take(Limit::Findings.size());
        if value.is_none() && !shown.any(is_reported) {
            self.problem(location, format!("expected {what}, found nothing"));
        }
        value
    }

    pub(super) fn instant(&mut self, location: &str, value: Option<&RawInstant>) -> Micros {
        let Some(value) = self.require(location, value, time::EXPECTED) else {
            return 0;
        };
        value.resolve(location, &self.zone).unwrap_or_else(|problem| {
            self.problems.push(problem);
            0
        })
    }

    /// Returns a number within `low..=high`. A missing number gives the default. A number out of
    /// range gives the default and a problem.
    pub(super) fn number(
        &mut self,
        location: &str,
        value: Option<f64>,
        default: f64,
        low: f64,
        high: f64,
    ) -> f64 {
        let Some(value) = value else { return default };
        if value >= low && value <= high {
            return value;
        }
        self.problem(
            location,
            format!("expected a number from {low} to {high}, found {value}"),
        );
        default
    }

    pub(super) fn duration(
        &mut self,
        location: &str,
        value: Option<f64>,
        default: f64,
        unit: Micros,
    ) -> Micros {
        let amount = self.number(location, value, default, 0.0, 1e6);
        (amount * unit as f64).round() as Micros
    }

    /// Returns the value of one of several words. A missing word gives the first option. An unknown
    /// word gives the first option and a problem.
    pub(super) fn choice<T: Copy>(
        &mut self,
        location: &str,
        value: Option<&str>,
        options: &[(&str, T)],
    ) -> T {
        let default = options[0].1;
        let Some(value) = value else { return default };
        if let Some((_, option)) = options.iter().find(|(word, _)| *word == value) {
            return *option;
        }
        let words: Vec<String> = options.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        self.problem(
            location,
            format!("expected {}, found \"{value}\"", words.join(" or ")),
        );
        default
    }

    pub(super) fn slug(&mut self, location: &str, value: Option<String>) -> String {
        let Some(value) = self.require(location, value, "an id of ASCII letters, digits, `_`, `-`, `.`")
        else {
            return String::new();
        };
        if value.is_empty()
            || !value
                .chars()
                .all(|ch| ch.is_ascii_alphanumeric() || "_-.".contains(ch))
        {
            self.problem(
                location,
                format!("expected an id of ASCII letters, digits, `_`, `-`, `.`, found \"{value}\""),
            );
        }
        value
    }

    pub(super) fn text(&mut self, location: &str, value: Option<String>, what: &str) -> String {
        let value = self.require(location, value, what).unwrap_or_default();
        if value.chars().any(char::is_control) {
            self.problem(location, "expected text without control characters, found some");
        }
        value
    }

    pub(super) fn ratio(&mut self, location: &str, value: f64) -> Ratio {
        Ratio::try_from_share(value).unwrap_or_else(|message| {
            self.problem(location, message);
            Ratio::ZERO
        })
    }

    /// Returns weights of at least 0 that sum to 1 within 1e-9. Missing weights give the preset.
    pub(super) fn weights<const N: usize>(
        &mut self,
        location: &str,
        preset: [f64; N],
        given: Option<Vec<f64>>,
    ) -> [f64; N] {
        let Some(given) = given else { return preset };
        let Ok(weights) = <[f64; N]>::try_from(given.clone()) else {
            self.problem(location, format!("expected {N} weights, found {}", given.len()));
            return preset;
        };
        let sum: f64 = weights.iter().sum();
        if weights.iter().any(|w| !w.is_finite() || *w < 0.0) || (sum - 1.0).abs() > 1e-9 {
            self.problem(
                location,
                format!("expected weights >= 0 that sum to 1, found a sum of {sum}"),
            );
        }
        weights
    }

    pub(super) fn layer_ref(&mut self, location: &str, id: Option<String>, layers: &[Layer]) -> usize {
        let Some(id) = self.require(location, id, "a layer's id") else {
            return 0;
        };
        layers.iter().position(|layer| layer.id == id).unwrap_or_else(|| {
            let ids: Vec<&str> = layers.iter().map(|l| l.id.as_str()).collect();
            self.problem(
                location,
                format!("expected one of {}, found \"{id}\"", ids.join(", ")),
            );
            0
        })
    }

    pub(super) fn ladder(&mut self, location: &str, shares: &[f64]) -> Vec<Ratio> {
        let ladder: Vec<Ratio> = shares.iter().map(|step| self.ratio(location, *step)).collect();
        if !ladder.is_sorted_by(|a, b| a < b) || ladder.first().is_none_or(|step| *step == Ratio::ZERO) {
            self.problem(location, "expected rising ratios above 0, found another order");
        }
        ladder
    }

    /// Refuses a sensitive attribute as a column of a rule or a cut.
    pub(super) fn refuse_sensitive(&mut self, location: &str, column: &str) {
        if let Err(problem) = self.sensitive.check(column) {
            self.place(location, problem);
        }
    }

    /// Adds a problem at a location.
    pub(super) fn place(&mut self, location: &str, problem: Problem) {
        self.problems.push(Problem {
            location: location.into(),
            ..problem
        });
    }

    /// Returns the id of a release, or the name of a person or program.
    pub(super) fn name(&mut self, location: &str, value: Option<String>, what: &str) -> String {
        let value = self.require(location, value, what).unwrap_or_default();
        if let Some(found) = hidden_char(&value) {
            let message = format!(
                "expected text without invisible characters, found U+{:04X}",
                u32::from(found)
            );
            let problem = Problem::new(location, message);
            self.problems
                .push(problem.hint("names that look alike must be alike: write the name anew"));
        }
        value
    }
}

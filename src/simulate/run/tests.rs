//! Runs that decide by bounds, beside runs that compute every interval in every window.

use std::collections::BTreeMap;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::bucket::Ratio;
use crate::ramp::Verdict;
use crate::scenario::{Overrides, Scenario};
use crate::simulate::baseline::BaselineInputs;
use crate::simulate::model::Model;
use crate::simulate::outcome::RunOutcome;
use crate::simulate::run::Run;

/// What a check compares: the layer, the verdict, the next ratio, and the first check that blocks.
type Decision = (String, Verdict, Ratio, Option<String>);

/// Choices of a random scenario.
struct Choices(ChaCha8Rng);

impl Choices {
    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.0.random_range(0..values.len())]
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    /// A line of TOML, or nothing, each as often.
    fn maybe(&mut self, line: String) -> String {
        if self.0.random() { line } else { String::new() }
    }

    fn layer(&mut self, idx: usize) -> String {
        let ladder = self.of(&[
            "[0.01, 0.1, 0.5, 1.0]",
            "[0.05, 0.2, 1.0]",
            "[0.002, 0.02, 0.3]",
            "[0.5, 1.0]",
            "[1.0]",
        ]);
        let after = if idx == 0 {
            String::new()
        } else {
            self.maybe(format!("after = [\"l{}\"]\n", idx - 1))
        };
        let safety = self.of(&["", "", "", "safety_critical = true\n"]);
        format!(
            "[[layer]]\nid = \"l{idx}\"\nladder = {ladder}\ndwell_hours = {}\nmin_users = {}\nqos_threshold = \
             {:.3}\nquota = 0.3\n{after}{safety}",
            self.of(&[1, 6, 24, 72]),
            self.of(&[0, 20, 500]),
            self.between(0.6, 0.72),
        )
    }

    /// Size, traffic and rates of a layer: some rare, some of few rows, some of many.
    fn world_layer(&mut self, idx: usize) -> String {
        let rhythm: Vec<String> = (0..168)
            .map(|_| format!("{:.2}", self.between(0.1, 2.0)))
            .collect();
        let rhythm = self.maybe(format!("rhythm = [{}]\n", rhythm.join(", ")));
        let mut text = format!(
            "[[simulate.layer]]\nid = \"l{idx}\"\nusers = {}\nturns_per_user_day = {}\nweekly_active = {}\n{rhythm}",
            self.of(&[3_000, 40_000, 600_000]),
            self.of(&[0.2, 1.0, 8.0]),
            self.of(&[0.3, 0.9]),
        );
        let rates = [
            ("availability", self.of(&[0.9, 0.999, 1.0])),
            ("latency_mean_ms", self.of(&[800.0, 4_990.0, 5_000.0])),
            ("tool_success_rate", self.of(&[0.9, 0.97])),
            ("task_completion_rate", self.between(0.55, 0.65)),
            ("bad_rate", self.of(&[0.08, 0.1, 1.0 / 3.0])),
            ("complaint_rate", self.of(&[0.0, 0.0005, 0.05, 0.1])),
        ];
        for (metric, value) in rates {
            let spread = if metric == "latency_mean_ms" {
                format!("sd = {}\n", self.of(&[0.0, 600.0]))
            } else {
                self.maybe("user_sd = 0.02\n".to_owned())
            };
            let share = self.of(&["", "", "share = 0.3\n"]);
            text += &format!(
                "[[simulate.rate]]\nlayer = \"l{idx}\"\nmetric = \"{metric}\"\nvalue = {value}\n{spread}{share}"
            );
        }
        text
    }

    fn guardrails(&mut self) -> String {
        let metrics = [
            "task_completion_rate",
            "complaint_rate",
            "latency_mean_ms",
            "availability",
            "bad_rate",
        ];
        let mut text = String::new();
        // A plan without guardrails has default ones.
        for (number, metric) in metrics.into_iter().enumerate() {
            if number > 0 && self.0.random() {
                continue;
            }
            let rule = match self.of(&[0, 0, 1, 2]) {
                0 if metric == "latency_mean_ms" => "margin = 50".to_owned(),
                0 => format!("margin = {:.4}", self.between(0.001, 0.04)),
                1 => "relative_margin = 0.05\nmin_margin = 0.002".to_owned(),
                _ if metric == "complaint_rate" => format!("max_count = {}", self.of(&[0, 400])),
                _ => "relative_margin = 0.02".to_owned(),
            };
            let action = self.of(&["", "", "action = \"hold\"\n"]);
            let limit = self.of(&["", "", "", "limit = 0.2\n"]);
            text += &format!("[[guardrail]]\nmetric = \"{metric}\"\n{rule}\n{action}{limit}");
        }
        text
    }

    fn scenario(&mut self) -> Option<Scenario> {
        let n_layers = self.of(&[1, 2, 3]);
        let layers: Vec<String> = (0..n_layers).map(|idx| self.layer(idx)).collect();
        let worlds: Vec<String> = (0..n_layers).map(|idx| self.world_layer(idx)).collect();
        let effect = self.of(&[0.0, 0.0, -0.01, -0.03]);
        let text = format!(
            r#"
            seed = 3
            as_of = "2026-01-10"
            plan = {{ id = "p", start = "2026-01-01", baseline = "a", candidate = "b" }}
            input = {{ users_from_traffic = true, traffic = [{{ path = "t.csv" }}] }}
            layering = {{ mode = "quota" }}
            [policy]
            sequential = "{}"
            decision = "{}"
            alpha = {}
            srm_alpha = {}
            qos_floor = {:.3}
            rollback_scope = "{}"
            cool_down_hours = {}
            {}{}
            {}{}
            [simulate]
            runs = 1
            days = 8
            decide_every_windows = {}
            {}
            [[simulate.plan]]
            id = "policy"
            [[simulate.plan]]
            id = "other"
            controller = "{}"
            [[simulate.world]]
            id = "w"
            opt_out_per_day = {}
            drift_per_day = {}
            candidate_loss = {}
            effects = [{{ metric = "task_completion_rate", effect = {effect} }}, {{ metric = "latency_mean_ms", effect = {} }}]
            "#,
            self.of(&["anytime", "anytime", "fixed", "group_sequential"]),
            self.of(&["interval", "interval", "interval", "point"]),
            self.of(&[0.01, 0.05, 0.05, 0.1, 0.2]),
            self.of(&[0.001, 0.2]),
            self.between(0.55, 0.68),
            self.of(&["layer", "plan"]),
            self.of(&[0, 48]),
            self.maybe("srm_action = \"rollback\"\n".to_owned()),
            self.maybe("no_data_action = \"rollback\"\n".to_owned()),
            layers.concat(),
            self.guardrails(),
            self.of(&[1, 1, 6]),
            worlds.concat(),
            self.of(&["fixed_time", "power", "risk", "group_sequential"]),
            self.of(&[0.0, 0.05]),
            self.of(&[0.0, 0.001]),
            self.of(&[0.0, 0.0, 0.0005, 0.02]),
            self.of(&[0.0, 40.0]),
        );
        let found = Scenario::parse(&text, "test", Path::new(""), &Overrides::default());
        // Some combinations are refused, such as a limit of a count.
        found.ok()
    }
}

fn run(model: &Model<'_>, stream: u64) -> (RunOutcome, Vec<Decision>) {
    let mut decisions = Vec::new();
    let outcome = Run::new(model, 3, stream).run(&mut |situation, conclusion| {
        decisions.push((
            situation.layer.id.clone(),
            conclusion.verdict,
            conclusion.next_ratio,
            conclusion.first_blocking.map(|name| name.to_string()),
        ));
    });
    (outcome, decisions)
}

/// Every decision of every run is the same: the same changes in the same windows for the same
/// causes, and the same endings.
#[test]
fn bounds_decide_as_full_intervals_do() {
    let mut choices = Choices(ChaCha8Rng::seed_from_u64(26));
    let (mut n_scenarios, mut n_bounded) = (0, 0);
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    while n_scenarios < 60 {
        let Some(scenario) = choices.scenario() else {
            continue;
        };
        n_scenarios += 1;
        let simulation = scenario.simulation.as_ref().unwrap();
        let inputs = BaselineInputs::new(&scenario, simulation, None).unwrap();
        for variant in &simulation.plans {
            let new = || Model::new(&scenario, simulation, &inputs, variant, &simulation.worlds[0]);
            let (bounded, full) = (new(), new().in_full());
            n_bounded += u32::from(bounded.half_widths.is_some());
            for stream in 0..2 {
                let (found, expected) = (run(&bounded, stream), run(&full, stream));
                assert_eq!(found, expected, "{scenario:#?}");
                for (_, verdict, _, check) in &found.1 {
                    let kind = check.as_ref().and_then(|check| check.split(':').next());
                    let of = format!("{} {}", verdict.name(), kind.unwrap_or(""));
                    *counts.entry(of).or_default() += 1;
                }
            }
        }
    }
    // The scenarios reach every kind of decision that depends on an interval.
    for of in [
        "promote ",
        "rollback guardrail",
        "rollback qos_floor",
        "rollback gate",
        "hold qos",
        "hold signal",
        "inconclusive clear",
        "inconclusive information",
        "inconclusive qos",
        "invalid srm",
        "hold min_users",
        "hold dwell",
        "hold after",
    ] {
        assert!(counts.get(of).is_some_and(|n| *n > 1), "{of}: {counts:?}");
    }
    assert!(n_bounded > 60, "{n_bounded}");
}

//! Metrics of a night for the text files of Prometheus' node exporter.

use std::path::Path;

use crate::base::error::Result;
use crate::base::files;
use crate::base::gauge::Gauge;
use crate::base::progress::StageRecord;
use crate::base::time::{Micros, SECOND};
use crate::night::document::NightReport;
use crate::study::GuardFinding;

/// What is known of a night, finished or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct NightMetrics<'a> {
    pub(super) plan_id: &'a str,
    pub(super) as_of: Micros,
    pub(super) now: Micros,
    pub(super) exit_code: u8,
    /// The night's report. `None` if the night ended before its decisions.
    pub(super) report: Option<&'a NightReport>,
    pub(super) guards: &'a [GuardFinding],
    pub(super) stages: &'a [StageRecord],
}

/// Outcomes of a night with their exit codes.
const OUTCOMES: [(&str, u8); 8] = [
    ("pass", 0),
    ("unexpected", 1),
    ("usage", 2),
    ("input", 3),
    ("target", 4),
    ("fault", 101),
    ("gate_failed", 10),
    ("gate_inconclusive", 11),
];

impl NightMetrics<'_> {
    /// Writes the metrics to a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        files::write_bytes(path, self.text().as_bytes())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let plan = [("plan", self.plan_id)];
        let mut gauge = |name: &str, help: &str, samples: &[(Vec<(&str, &str)>, f64)]| {
            if samples.is_empty() {
                return;
            }
            let mut gauge = Gauge::begin(&mut text, name, help);
            for (labels, value) in samples {
                gauge.sample(&[plan.as_slice(), labels].concat(), *value);
            }
        };
        let seconds = |at: Micros| at as f64 / SECOND as f64;
        gauge(
            "sluice_night_timestamp_seconds",
            "Time when the newest night ended, with any outcome.",
            &[(vec![], seconds(self.now))],
        );
        gauge(
            "sluice_night_as_of_timestamp_seconds",
            "End of the data of the newest night.",
            &[(vec![], seconds(self.as_of))],
        );
        gauge(
            "sluice_night_exit_code",
            "Exit code of the newest night.",
            &[(vec![], f64::from(self.exit_code))],
        );
        let outcomes = OUTCOMES.map(|(outcome, code)| {
            let is_it = f64::from(u8::from(code == self.exit_code));
            (vec![("outcome", outcome)], is_it)
        });
        gauge(
            "sluice_night_outcome",
            "1 for the outcome of the newest night, else 0.",
            &outcomes,
        );
        let guards: Vec<&str> = self.guards.iter().map(|finding| finding.guard.key()).collect();
        let of_guards = |value: fn(&GuardFinding) -> Option<f64>| -> Vec<(Vec<(&str, &str)>, f64)> {
            let found = self.guards.iter().zip(&guards).enumerate();
            // A guard can judge the night and the whole log; the first is the night.
            let first =
                found.filter(|(idx, (_, key))| guards.iter().position(|other| other == *key) == Some(*idx));
            first
                .filter_map(|(_, (finding, key))| Some((vec![("guard", *key)], value(finding)?)))
                .collect()
        };
        gauge(
            "sluice_night_guard_value",
            "Value that a guard found.",
            &of_guards(|finding| finding.value),
        );
        gauge(
            "sluice_night_guard_limit",
            "Limit of a guard.",
            &of_guards(|finding| Some(finding.limit)),
        );
        let of_stages = |value: fn(&StageRecord) -> Option<f64>| -> Vec<(Vec<(&str, &str)>, f64)> {
            let mut samples: Vec<(Vec<(&str, &str)>, f64)> = Vec::new();
            for stage in self.stages {
                let Some(value) = value(stage) else { continue };
                match samples.iter_mut().find(|(labels, _)| labels[0].1 == stage.stage) {
                    Some((_, sum)) => *sum += value,
                    None => samples.push((vec![("stage", &stage.stage)], value)),
                }
            }
            samples
        };
        gauge(
            "sluice_night_stage_seconds",
            "Wall time of a stage.",
            &of_stages(|stage| Some(stage.seconds)),
        );
        gauge(
            "sluice_night_stage_rows",
            "Rows or users of a stage.",
            &of_stages(|stage| stage.rows.map(|n| n as f64)),
        );
        gauge(
            "sluice_night_stage_read_bytes",
            "Bytes that a stage read.",
            &of_stages(|stage| stage.bytes_read.map(|n| n as f64)),
        );
        gauge(
            "sluice_night_stage_written_bytes",
            "Bytes that a stage wrote.",
            &of_stages(|stage| stage.bytes_written.map(|n| n as f64)),
        );
        let peak = self
            .stages
            .iter()
            .filter_map(|stage| stage.peak_memory_bytes)
            .max();
        let peak: Vec<(Vec<(&str, &str)>, f64)> = peak.map(|n| (vec![], n as f64)).into_iter().collect();
        gauge("sluice_night_peak_memory_bytes", "Most memory of the job.", &peak);
        let Some(report) = self.report else { return text };
        let targets: Vec<(Vec<(&str, &str)>, f64)> = report
            .targets
            .iter()
            .map(|target| {
                let has_it = f64::from(u8::from(target.at.is_some()));
                (vec![("target", target.target.as_str())], has_it)
            })
            .collect();
        gauge(
            "sluice_night_target_up",
            "1 if a target has the night's publication, else 0.",
            &targets,
        );
        let ratios: Vec<(Vec<(&str, &str)>, f64)> = report
            .layers
            .iter()
            .map(|layer| {
                let labels = vec![("tenant", layer.tenant.as_str()), ("layer", layer.layer.as_str())];
                (labels, layer.next_ratio.share())
            })
            .collect();
        gauge(
            "sluice_night_layer_ratio",
            "Share of eligible users who get the candidate.",
            &ratios,
        );
        text
    }
}

//! Guardrails in slices: each value of each declared column of the stage in force, judged together.

use std::cmp::Ordering;

use crate::analysis::document::{
    Analysis, ArmRows, BreakdownAnalysis, LayerAnalysis, MetricAnalysis, StageAnalysis,
};
use crate::analysis::infer::Inference;
use crate::metric::Metric;
use crate::qos::{GuardrailFinding, GuardrailInput, Judged, judge_guardrails};
use crate::scenario::{Guardrail, GuardrailRule, LATENCY_P95};
use crate::stats::non_inferiority::{HarmVerdict, is_beyond_margin};

impl Inference<'_> {
    /// Judges the guardrails in every slice of a stage. The intervals of all slices and guardrails
    /// hold together, and Holm's method corrects the p-values over all of them.
    ///
    /// # References
    /// `docs/METHODS.md#guardrails-in-slices`.
    pub(super) fn judge_slices(&self, layer_idx: u8, stage: &mut StageAnalysis) {
        // The cube has latency histograms of whole stages only.
        let is_known = |guardrail: &&Guardrail| guardrail.metric != LATENCY_P95;
        let guardrails: Vec<Guardrail> = self
            .scenario
            .plan
            .guardrails
            .iter()
            .filter(is_known)
            .cloned()
            .collect();
        if guardrails.is_empty() || stage.breakdowns.is_empty() {
            return;
        }
        let (ratio, specs) = (stage.ratio, self.levelled());
        let breakdowns = &stage.breakdowns;
        let inputs_at = |n_together: usize| -> Vec<GuardrailInput> {
            let specs = specs.together(n_together);
            let of_slice = |slice: &BreakdownAnalysis| {
                let input = |guardrail| specs.slice_input(guardrail, &slice.metrics, ratio);
                guardrails.iter().map(input).collect::<Vec<_>>()
            };
            breakdowns.iter().flat_map(of_slice).collect()
        };
        let certain_at = self.violation_alpha(layer_idx);
        let findings = judge_together(&guardrails, breakdowns.len(), certain_at, inputs_at);
        let mut findings = findings.into_iter();
        for slice in &mut stage.breakdowns {
            slice.guardrails = findings.by_ref().take(guardrails.len()).collect();
        }
    }
}

/// Judges the guardrails of all slices together, slice by slice. `inputs_at(n)` computes all inputs
/// with intervals of which n hold together.
fn judge_together(
    guardrails: &[Guardrail],
    n_slices: usize,
    certain_at: f64,
    inputs_at: impl Fn(usize) -> Vec<GuardrailInput>,
) -> Vec<GuardrailFinding> {
    let repeated: Vec<Guardrail> = (0..n_slices).flat_map(|_| guardrails.iter().cloned()).collect();
    let claims = |(guardrail, input): (&Guardrail, GuardrailInput)| n_claims(guardrail, &input);
    let n_together = repeated.iter().zip(inputs_at(1)).map(claims).sum();
    judge_guardrails(&repeated, &inputs_at(n_together), certain_at)
}

/// The number of intervals that decide a guardrail: that of the harm, and that of the candidate's own
/// value if it has a limit.
fn n_claims(guardrail: &Guardrail, input: &GuardrailInput) -> usize {
    let has_harm = input.effect.is_ok() && !matches!(guardrail.rule, GuardrailRule::MaxCount(_));
    let has_limit = guardrail.limit.is_some() && input.candidate.is_ok();
    usize::from(has_harm) + usize::from(has_limit)
}

/// One guardrail in one slice, with what a sentence about it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceFinding {
    /// Name of the column.
    pub column: String,
    /// The column's value. The empty text means a missing value.
    pub value: String,
    /// The number of rows of eligible users in the slice, by release.
    pub rows: ArmRows,
    /// Id of the metric, such as `bad_rate`.
    pub metric: String,
    /// Unit of the metric, as the scenario declares it.
    pub unit: String,
    /// The baseline's value in the slice. `None` without data.
    pub baseline: Option<f64>,
    /// The candidate's value in the slice. `None` without data.
    pub candidate: Option<f64>,
    /// The number of the candidate's events: the numerator of the metric.
    pub candidate_events: f64,
    /// The rule of the guardrail.
    pub rule: GuardrailRule,
    /// The absolute limit of the candidate's value, in the metric's unit. `None` without one.
    pub limit: Option<f64>,
    /// The verdict and its evidence.
    pub judged: Judged,
}

/// The numbers of slices of a stage by what is known about them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SliceCounts {
    /// Slices in which a guardrail is violated.
    pub n_violated: usize,
    /// Slices in which every guardrail is safe.
    pub n_safe: usize,
    /// Slices without a violation in which some guardrail is judged and some is not safe.
    pub n_unclear: usize,
    /// Slices with too little data to judge any guardrail.
    pub n_unknown: usize,
    /// Rows in the slices with too little data. A row counts once for each column.
    pub n_rows_unknown: u64,
}

impl SliceCounts {
    /// The number of slices.
    pub fn n_slices(&self) -> usize {
        self.n_violated + self.n_safe + self.n_unclear + self.n_unknown
    }

    fn plus(self, other: Self) -> Self {
        Self {
            n_violated: self.n_violated + other.n_violated,
            n_safe: self.n_safe + other.n_safe,
            n_unclear: self.n_unclear + other.n_unclear,
            n_unknown: self.n_unknown + other.n_unknown,
            n_rows_unknown: self.n_rows_unknown + other.n_rows_unknown,
        }
    }
}

/// Counts the slices of a stage. All counts are 0 without slices, and in stages that are not in
/// force.
pub fn slice_counts(stage: &StageAnalysis) -> SliceCounts {
    let mut counts = SliceCounts::default();
    for slice in stage
        .breakdowns
        .iter()
        .filter(|slice| !slice.guardrails.is_empty())
    {
        let judged = || slice.guardrails.iter().map(|finding| &finding.judged);
        if judged().any(|judged| judged.verdict == HarmVerdict::Violated) {
            counts.n_violated += 1;
        } else if judged().all(|judged| judged.verdict == HarmVerdict::Safe) {
            counts.n_safe += 1;
        } else if judged().any(|judged| judged.harm.is_some()) {
            counts.n_unclear += 1;
        } else {
            counts.n_unknown += 1;
            counts.n_rows_unknown += slice.rows.baseline + slice.rows.candidate;
        }
    }
    counts
}

/// The findings of all slices of a stage, the worst first: violations, then what is not known to be
/// safe, then the rest; within these by the smallest harm that the interval leaves possible, in
/// margins.
pub fn slice_findings(stage: &StageAnalysis, metrics: &[Metric]) -> Vec<SliceFinding> {
    let mut findings: Vec<SliceFinding> = stage
        .breakdowns
        .iter()
        .flat_map(|slice| findings_of(slice, metrics))
        .collect();
    // The sort is stable: equal findings keep the order of columns, values and guardrails.
    findings.sort_by(SliceFinding::order);
    findings
}

/// The slices of the stages in force of all layers: their counts, and their findings as
/// [`slice_findings`] orders them, each with its layer.
pub fn slices_of(analysis: &Analysis) -> (SliceCounts, Vec<(&LayerAnalysis, SliceFinding)>) {
    let mut counts = SliceCounts::default();
    let mut findings: Vec<(&LayerAnalysis, SliceFinding)> = Vec::new();
    for layer in &analysis.layers {
        let Some(stage) = layer.current() else { continue };
        counts = counts.plus(slice_counts(stage));
        let of_stage = slice_findings(stage, &analysis.metrics);
        findings.extend(of_stage.into_iter().map(|finding| (layer, finding)));
    }
    findings.sort_by(|(_, a), (_, b)| a.order(b));
    (counts, findings)
}

fn findings_of<'a>(
    slice: &'a BreakdownAnalysis,
    metrics: &'a [Metric],
) -> impl Iterator<Item = SliceFinding> + 'a {
    slice.guardrails.iter().map(|finding| {
        let of_metric = |found: &&MetricAnalysis| found.metric == finding.metric;
        let values = slice.metrics.iter().find(of_metric);
        let unit = metrics.iter().find(|metric| metric.id == finding.metric);
        SliceFinding {
            column: slice.column.clone(),
            value: slice.value.clone(),
            rows: slice.rows,
            metric: finding.metric.clone(),
            unit: unit.map_or_else(String::new, |metric| metric.unit.clone()),
            baseline: values.and_then(|found| found.baseline.estimate),
            candidate: values.and_then(|found| found.candidate.estimate),
            candidate_events: values.map_or(0.0, |found| found.candidate.numerator),
            rule: finding.rule,
            limit: finding.limit,
            judged: finding.judged,
        }
    })
}

impl SliceFinding {
    /// Whether the guardrail is violated in the slice.
    pub fn is_violated(&self) -> bool {
        self.judged.verdict == HarmVerdict::Violated
    }

    /// The numbers of a violated margin: the ends of the harm's interval and the margin. `None` if
    /// the violation is one of a limit or a count, and without a violation.
    pub fn violated_margin(&self) -> Option<([f64; 2], f64)> {
        let (interval, margin) = (self.judged.interval?, self.judged.margin?);
        let is_beyond = is_beyond_margin(self.judged.harm?, interval, margin);
        let is_harm = self.is_violated() && is_beyond;
        is_harm.then_some(([interval.ci_lower, interval.ci_upper], margin))
    }

    /// The order of findings: the worst first.
    fn order(&self, other: &Self) -> Ordering {
        let ((rank, lower), (other_rank, other_lower)) = (self.urgency(), other.urgency());
        rank.cmp(&other_rank).then(other_lower.total_cmp(&lower))
    }

    /// The rank of the finding, 0 for the worst, and the lower end of the harm in margins.
    fn urgency(&self) -> (u8, f64) {
        let rank = match (self.judged.verdict, self.judged.harm) {
            (HarmVerdict::Violated, _) => 0,
            (HarmVerdict::Unclear, Some(_)) => 1,
            (HarmVerdict::Safe, _) => 2,
            (HarmVerdict::Unclear, None) => 3,
        };
        let lower = self.judged.interval.map_or(0.0, |interval| interval.ci_lower);
        let margin = self.judged.margin.filter(|margin| *margin > 0.0);
        (
            rank,
            margin.map_or(lower.signum() * f64::MAX, |margin| lower / margin),
        )
    }
}

#[cfg(test)]
mod tests;

//! Group-sequential gates of a run: the looks of one layer at each guardrail.

use crate::base::time::{DAY, Micros};
use crate::scenario::{GateDesign, Guardrail, Layer};
use crate::stats::gates::{Gate, GateLook, StageHarm, judge_gate};

/// The score process of the stages that are over: score, information, and the sum of the squared
/// information over the degrees of freedom.
#[derive(Debug, Clone, Copy, Default)]
struct Finished {
    score: f64,
    information: f64,
    by_df: f64,
}

impl Finished {
    fn with(self, stage: StageHarm) -> Self {
        let information = 1.0 / stage.variance;
        Self {
            score: self.score + stage.harm * information,
            information: self.information + information,
            by_df: self.by_df + information * information / stage.df,
        }
    }
}

/// The gate of one guardrail.
#[derive(Debug, Clone, Default)]
struct GuardrailGate {
    finished: Finished,
    looks: Vec<GateLook>,
    gate: Option<Gate>,
}

/// The gates of a layer since it opened.
#[derive(Debug, Clone, Default)]
pub(super) struct LayerGates {
    by_guardrail: Vec<GuardrailGate>,
    /// Number of looks in the current stage.
    n_looks: i64,
}

impl LayerGates {
    /// Whether a look is due at a stage of this length: see [`crate::scenario::look_times`].
    pub(super) fn is_due(&self, layer: &Layer, window: Micros, held: Micros) -> bool {
        held >= layer.dwell.max(window) + self.n_looks * DAY
    }

    /// Looks at all guardrails. `harm_of` returns the harm in the current stage by the index of the
    /// guardrail.
    pub(super) fn look(
        &mut self,
        at: Micros,
        guardrails: &[Guardrail],
        design: &GateDesign,
        harm_of: impl Fn(usize) -> Option<StageHarm>,
    ) {
        self.n_looks += 1;
        self.by_guardrail
            .resize_with(guardrails.len(), GuardrailGate::default);
        for (idx, guardrail) in guardrails.iter().enumerate() {
            let of_guardrail = &mut self.by_guardrail[idx];
            let is_over = of_guardrail
                .gate
                .is_some_and(|gate| gate.is_crossed || gate.is_complete());
            if is_over || !guardrail.has_gate() {
                continue;
            }
            let Some(harm) = harm_of(idx).filter(|harm| harm.variance > 0.0) else {
                continue;
            };
            let Finished {
                score,
                information,
                by_df,
            } = of_guardrail.finished.with(harm);
            let df = information * information / by_df;
            let look = GateLook::new(at, score / information, 1.0 / information, df);
            of_guardrail.looks.extend(look);
            let rule = guardrail.detectable(harm.control).map(|mde| design.rule(mde));
            of_guardrail.gate = rule.and_then(|rule| judge_gate(&of_guardrail.looks, rule, false).ok()?);
        }
    }

    /// The gate of a guardrail after its last look.
    pub(super) fn gate(&self, guardrail: usize) -> Option<Gate> {
        self.by_guardrail.get(guardrail).and_then(|of| of.gate)
    }

    /// Ends a stage with two arms.
    pub(super) fn finish(&mut self, harm_of: impl Fn(usize) -> Option<StageHarm>) {
        self.n_looks = 0;
        for (idx, of_guardrail) in self.by_guardrail.iter_mut().enumerate() {
            if let Some(harm) = harm_of(idx).filter(|harm| harm.variance > 0.0) {
                of_guardrail.finished = of_guardrail.finished.with(harm);
            }
        }
    }
}

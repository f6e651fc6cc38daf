//! Guardrails in slices as sentences.

use crate::analysis::slices::{SliceCounts, SliceFinding};
use crate::scenario::GuardrailRule;
use crate::stats::non_inferiority::HarmVerdict;
use crate::words::DifferenceRange;
use crate::words::slices::{self, Slices};
use crate::words::{Count, Difference, Measured, MetricName, Text, Things};

impl SliceFinding {
    /// The slice as people call it, such as `region north`.
    pub(crate) fn slice_name(&self) -> Text {
        slices::slice_name(&self.column, &self.value)
    }

    /// The verdict in words.
    pub(crate) fn verdict_text(&self) -> Text {
        match (self.judged.verdict, self.judged.reason) {
            (HarmVerdict::Violated, _) => slices::is_violated(),
            (_, Some(_)) => slices::is_unknown(),
            (HarmVerdict::Safe, None) => slices::is_safe(),
            (HarmVerdict::Unclear, None) => slices::is_unclear(),
        }
    }

    /// The number of rows of both releases in the slice.
    pub(crate) fn n_rows(&self) -> u64 {
        self.rows.baseline + self.rows.candidate
    }

    /// A violation as a sentence. `None` if the guardrail is not violated in the slice.
    pub(crate) fn sentence(&self) -> Option<Text> {
        if !self.is_violated() {
            return None;
        }
        let (slice, rows, metric) = (self.slice_name(), Count(self.n_rows()), MetricName(&self.metric));
        let unit = self.unit.as_str();
        let measured = |value: f64| Measured { value, unit };
        if let GuardrailRule::MaxCount(max) = self.rule {
            let n = Things(self.candidate_events.round() as u64, "event");
            return Some(slices::too_many(slice, rows, metric, n, Count(max)));
        }
        let candidate = self.candidate?;
        let Some((ends, margin)) = self.violated_margin() else {
            let limit = self.limit?;
            return Some(slices::beyond(
                slice,
                rows,
                metric,
                measured(candidate),
                measured(limit),
            ));
        };
        let baseline = self.baseline?;
        let (from, to) = (measured(baseline), measured(candidate));
        let range = DifferenceRange { ends, unit };
        let allowed = Difference { value: margin, unit };
        Some(if candidate > baseline {
            slices::rose(slice, rows, metric, from, to, range, allowed)
        } else {
            slices::fell(slice, rows, metric, from, to, range, allowed)
        })
    }
}

impl SliceCounts {
    /// The counts as sentences: violations, then what is not known. Slices that are safe are not
    /// praised: they are the rest.
    pub(crate) fn sentence(&self) -> Text {
        let n_judged = self.n_slices() - self.n_unknown;
        let mut texts = Vec::new();
        if self.n_violated > 0 {
            texts.push(slices::some_violated(
                Count(self.n_violated as u64),
                Slices(self.n_slices()),
            ));
        } else if n_judged > 0 {
            texts.push(slices::none_violated(Slices(n_judged)));
        }
        if self.n_unclear > 0 {
            texts.push(slices::unclear(Slices(self.n_unclear)));
        }
        if self.n_unknown > 0 {
            texts.push(slices::unknown(
                Slices(self.n_unknown),
                Count(self.n_rows_unknown),
            ));
        }
        Text::sentences(&texts)
    }
}

//! The choice of the one dimension to roll back, given the signals that got worse.

use serde::{Deserialize, Serialize};

use crate::analysis::Analysis;
use crate::base::number::number;
use crate::metric;
use crate::metric::{BadRateOf, Better};
use crate::release::changes;
use crate::release::dimension::Dimension;
use crate::release::record::ReleaseRecord;
use crate::stats::Interval;
use crate::stats::non_inferiority::HarmVerdict;

/// What got worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// Answers: faithfulness, complaints, ratings, tasks.
    Faithfulness,
    /// Money.
    Cost,
    /// Tool calls that fail.
    ToolErrors,
    /// Time to an answer.
    Latency,
}

/// What to do about a signal, first to last: a dimension to return, or what to do if it did not
/// change.
type Actions = [(Option<Dimension>, &'static str); 2];

impl SignalKind {
    /// The kind of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Faithfulness, Self::Cost, Self::ToolErrors, Self::Latency]
            .into_iter()
            .find(|kind| kind.name() == word)
    }

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faithfulness => "faithfulness",
            Self::Cost => "cost",
            Self::ToolErrors => "tool_errors",
            Self::Latency => "latency",
        }
    }

    /// The rollback matrix.
    fn actions(self) -> Actions {
        match self {
            Self::Faithfulness => [
                (Some(Dimension::KbIndex), "return the knowledge base"),
                (Some(Dimension::Prompt), "return the prompt"),
            ],
            Self::Cost => [
                (
                    Some(Dimension::Model),
                    "return the model route, or take a cheaper one",
                ),
                (Some(Dimension::Prompt), "shorten the context: return the prompt"),
            ],
            Self::ToolErrors => [
                (Some(Dimension::ToolSchema), "return the tool schema"),
                (None, "disable the new tool server"),
            ],
            Self::Latency => [(None, "switch the reranker off"), (None, "lower max_tokens")],
        }
    }

    /// The kind that a metric belongs to, by its id.
    pub fn for_metric(id: &str) -> Self {
        if id.contains("cost") || id.contains("token") {
            Self::Cost
        } else if id.contains("tool") {
            Self::ToolErrors
        } else if id.contains("latency") {
            Self::Latency
        } else {
            Self::Faithfulness
        }
    }
}

/// Something that got worse, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signal {
    /// What.
    pub kind: SignalKind,
    /// The metric that says so; empty if a person did.
    pub metric: String,
    /// Where: tenant and layer; empty if a person said so.
    pub place: String,
    /// How much worse, with an interval: `None` if a person said so.
    pub harm: Option<(f64, Interval)>,
}

/// One step of a rollback.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollbackStep {
    /// The dimension to return; `None` for an action outside of the record.
    pub dimension: Option<Dimension>,
    /// What is there now.
    pub from: Option<String>,
    /// What to return to.
    pub to: Option<String>,
    /// Why this one, and why now.
    pub why: String,
}

/// What to do next, one dimension at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rollback {
    /// The release that got worse.
    pub candidate: String,
    /// The release whose references are returned to.
    pub target: String,
    /// What got worse.
    pub signals: Vec<Signal>,
    /// In order: the next one only if the one before did not help. Empty without a signal.
    pub steps: Vec<RollbackStep>,
}

/// What to return, one dimension at a time, first to last: by the rollback matrix: knowledge base
/// before prompt, only what has changed. When nothing of it helps, the whole release goes back.
pub fn rollback(candidate: &ReleaseRecord, target: &ReleaseRecord, signals: Vec<Signal>) -> Rollback {
    let differences = changes(target, candidate);
    let mut steps: Vec<RollbackStep> = Vec::new();
    for round in 0..2 {
        for signal in &signals {
            let (dimension, action) = signal.kind.actions()[round];
            let because = match &signal.harm {
                Some((harm, interval)) => format!(
                    "{} is worse by {} [{}, {}]{}",
                    signal.metric,
                    number(*harm),
                    number(interval.ci_lower),
                    number(interval.ci_upper),
                    if signal.place.is_empty() {
                        String::new()
                    } else {
                        format!(" in {}", signal.place)
                    }
                ),
                None => format!("{} is reported worse", signal.kind.name()),
            };
            let step = match dimension {
                None => RollbackStep {
                    dimension: None,
                    from: None,
                    to: None,
                    why: format!("{action}: {because}"),
                },
                Some(dimension) => {
                    let change = &differences[dimension as usize];
                    if !change.changed {
                        continue;
                    }
                    let name = |artifact: &Option<crate::release::reference::ArtifactRef>| {
                        artifact.as_ref().map(|artifact| artifact.reference.clone())
                    };
                    RollbackStep {
                        dimension: Some(dimension),
                        from: name(&change.to),
                        to: name(&change.from),
                        why: format!("{action}: {because}"),
                    }
                }
            };
            let is_there = |other: &RollbackStep| match step.dimension {
                Some(_) => other.dimension == step.dimension,
                None => other.why.split(':').next() == step.why.split(':').next(),
            };
            if !steps.iter().any(is_there) {
                steps.push(step);
            }
        }
    }
    if !signals.is_empty() {
        steps.push(RollbackStep {
            dimension: None,
            from: Some(candidate.release_id.clone()),
            to: Some(target.release_id.clone()),
            why: "return the whole release: if no single dimension helped".into(),
        });
    }
    Rollback {
        candidate: candidate.release_id.clone(),
        target: target.release_id.clone(),
        signals,
        steps,
    }
}

/// What an analysis shows to be worse: guardrails that are violated, and rates whose interval
/// (valid at every look) lies on the bad side of 0.
pub fn signals_of(analysis: &Analysis) -> Vec<Signal> {
    // Which direction of a metric is good does not depend on how ratings are counted.
    let metrics = metric::built_in(BadRateOf::Rated);
    let mut signals: Vec<Signal> = Vec::new();
    for layer in &analysis.layers {
        let Some(stage) = layer.current() else { continue };
        let place = if analysis.layers.iter().any(|other| other.tenant != layer.tenant) {
            format!("{} / {}", layer.tenant, layer.layer)
        } else {
            layer.layer.clone()
        };
        for finding in &stage.guardrails {
            if let (HarmVerdict::Violated, Some(harm), Some(interval)) = (
                finding.judged.verdict,
                finding.judged.harm,
                finding.judged.interval,
            ) {
                signals.push(Signal {
                    kind: SignalKind::for_metric(&finding.metric),
                    metric: finding.metric.clone(),
                    place: place.clone(),
                    harm: Some((harm, interval)),
                });
            }
        }
        for metric in &stage.metrics {
            let Some(effect) = metric.effect.value() else {
                continue;
            };
            let Some(better) = metrics
                .iter()
                .find(|known| known.id == metric.metric)
                .map(|known| known.better)
            else {
                continue;
            };
            let ends = Interval {
                ci_lower: effect.anytime.ci_lower,
                ci_upper: effect.anytime.ci_upper,
            };
            let (harm, interval) = match better {
                Better::Higher => (-effect.effect_size, ends.negated()),
                Better::Lower => (effect.effect_size, ends),
            };
            let known = signals
                .iter()
                .any(|signal| signal.metric == metric.metric && signal.place == place);
            if interval.ci_lower > 0.0 && !known {
                signals.push(Signal {
                    kind: SignalKind::for_metric(&metric.metric),
                    metric: metric.metric.clone(),
                    place: place.clone(),
                    harm: Some((harm, interval)),
                });
            }
        }
    }
    // The order of the matrix: knowledge base and prompt first.
    signals.sort_by_key(|signal| signal.kind);
    signals
}

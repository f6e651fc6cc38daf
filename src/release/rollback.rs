//! The choice of the dimension to roll back, by the signals that got worse.

use serde::{Deserialize, Serialize};

use crate::analysis::Analysis;
use crate::metric;
use crate::metric::{BadRateOf, Better};
use crate::release::changes;
use crate::release::dimension::Dimension;
use crate::release::record::ReleaseRecord;
use crate::stats::Interval;
use crate::stats::non_inferiority::HarmVerdict;
use crate::words::rollback as says;
use crate::words::{MetricName, Text, evals};

/// The kind of a signal that got worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// The quality of answers: faithfulness, complaints, ratings, completed tasks.
    Faithfulness,
    /// The cost of answers, or their number of tokens.
    Cost,
    /// The share of tool calls that fail.
    ToolErrors,
    /// The time until an answer.
    Latency,
}

/// The actions for a signal, in order: a dimension to roll back, or `None` for an action outside
/// the record.
type Actions = [(Option<Dimension>, Text); 2];

impl SignalKind {
    /// Parses the name of a kind; `None` for other words.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Faithfulness, Self::Cost, Self::ToolErrors, Self::Latency]
            .into_iter()
            .find(|kind| kind.name() == word)
    }

    /// The name of the kind in reports and on the command line, such as `tool_errors`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faithfulness => "faithfulness",
            Self::Cost => "cost",
            Self::ToolErrors => "tool_errors",
            Self::Latency => "latency",
        }
    }

    /// The rollback matrix: the actions for this kind of signal.
    fn actions(self) -> Actions {
        match self {
            Self::Faithfulness => [
                (Some(Dimension::KbIndex), says::return_knowledge_base()),
                (Some(Dimension::Prompt), says::return_prompt()),
            ],
            Self::Cost => [
                (Some(Dimension::Model), says::return_model()),
                (Some(Dimension::Prompt), says::shorten_context()),
            ],
            Self::ToolErrors => [
                (Some(Dimension::ToolSchema), says::return_tools()),
                (None, says::disable_tool_server()),
            ],
            Self::Latency => [
                (None, says::switch_reranker_off()),
                (None, says::lower_max_tokens()),
            ],
        }
    }

    /// The kind of a metric, by words in its id. An id without a known word counts as quality.
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

/// A signal that got worse, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signal {
    /// The kind of the signal, which selects the actions of the rollback matrix.
    pub kind: SignalKind,
    /// The id of the metric; empty if a person reported the signal.
    pub metric: String,
    /// The tenant and layer; empty if a person reported the signal.
    pub place: String,
    /// The harm in the metric's unit, with its interval; `None` if a person reported the signal.
    pub harm: Option<(f64, Interval)>,
}

/// One step of a rollback: a dimension, or the whole release, and the reference to return to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollbackStep {
    /// The dimension to roll back; `None` for an action outside the record, and for the whole
    /// release.
    pub dimension: Option<Dimension>,
    /// The present reference or release; `None` if there is none.
    pub from: Option<String>,
    /// The reference or release to return to; `None` if there is none.
    pub to: Option<String>,
    /// The reason for the step, as text.
    pub why: String,
    /// The reason in Chinese.
    pub why_zh: String,
}

/// The plan of a rollback, one dimension at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rollback {
    /// The release that got worse.
    pub candidate: String,
    /// The release to return to.
    pub target: String,
    /// The signals that got worse.
    pub signals: Vec<Signal>,
    /// The steps in order. Each step is for the case that the earlier steps did not help. Empty
    /// without signals.
    pub steps: Vec<RollbackStep>,
}

/// Plans a rollback by the rollback matrix: only changed dimensions, one at a time, for example the
/// knowledge base before the prompt. The last step rolls back the whole release.
pub fn rollback(candidate: &ReleaseRecord, target: &ReleaseRecord, signals: Vec<Signal>) -> Rollback {
    let differences = changes(target, candidate);
    let mut steps: Vec<RollbackStep> = Vec::new();
    for round in 0..2 {
        for signal in &signals {
            let (dimension, action) = signal.kind.actions()[round].clone();
            let Text { en: why, zh: why_zh } = says::step(&action, because(signal));
            let step = match dimension {
                None => RollbackStep {
                    dimension: None,
                    from: None,
                    to: None,
                    why,
                    why_zh,
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
                        why,
                        why_zh,
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
        let Text { en: why, zh: why_zh } = says::return_release();
        steps.push(RollbackStep {
            dimension: None,
            from: Some(candidate.release_id.clone()),
            to: Some(target.release_id.clone()),
            why,
            why_zh,
        });
    }
    Rollback {
        candidate: candidate.release_id.clone(),
        target: target.release_id.clone(),
        signals,
        steps,
    }
}

/// Why a signal asks for a rollback.
fn because(signal: &Signal) -> Text {
    let Some((_, interval)) = &signal.harm else {
        return says::reported_worse(signal.kind.name());
    };
    let mut known = metric::built_in(BadRateOf::Rated).into_iter();
    let known = known.find(|metric| metric.id == signal.metric);
    let unit = known.map_or_else(String::new, |metric| metric.unit);
    let change = evals::direction(*interval, &unit);
    match signal.place.as_str() {
        "" => says::signal(MetricName(&signal.metric), change),
        place => says::signal_in(MetricName(&signal.metric), change, place),
    }
}

/// The signals that an analysis shows to be worse. These are violated guardrails, and metrics whose
/// anytime-valid interval lies wholly on the worse side of 0.
pub fn signals_of(analysis: &Analysis) -> Vec<Signal> {
    // The better direction of a metric does not depend on the definition of the bad rate.
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
    // The order of the matrix: signals about answers come first.
    signals.sort_by_key(|signal| signal.kind);
    signals
}

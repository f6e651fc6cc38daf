//! The truth of the case study: a rule-based bot that completes 60 % of tasks, an agent that
//! completes 87 %, and faults such as a wrong refund rule.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::base::time::Micros;
use crate::scenario::{Generate, Plan};

/// The behavior of a release in a layer. Rates are in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Behavior {
    /// The share of turns that get an answer.
    pub(super) availability: f64,
    /// The mean of a log-normal latency, in milliseconds.
    pub(super) latency_ms: f64,
    /// The share of tool calls that succeed.
    pub(super) tool_success_rate: f64,
    /// The share of turns that complete their task, on average over users.
    pub(super) task_completion_rate: f64,
    /// The share of rated turns that are rated bad.
    pub(super) bad_rate: f64,
    /// The share of turns that end in a complaint.
    pub(super) complaint_rate: f64,
    /// The mean number of input tokens; 0 for a bot without a model.
    pub(super) tokens_in: f64,
    /// The mean number of output tokens.
    pub(super) tokens_out: f64,
}

/// The behavior of the rule-based bot.
const BASELINE: Behavior = Behavior {
    availability: 0.998,
    latency_ms: 800.0,
    tool_success_rate: 0.98,
    task_completion_rate: 0.60,
    bad_rate: 0.08,
    complaint_rate: 0.002,
    tokens_in: 0.0,
    tokens_out: 0.0,
};

/// The behavior of the agent, without faults.
const CANDIDATE: Behavior = Behavior {
    availability: 0.997,
    latency_ms: 1_800.0,
    tool_success_rate: 0.97,
    task_completion_rate: 0.87,
    bad_rate: 0.06,
    complaint_rate: 0.001,
    tokens_in: 900.0,
    tokens_out: 180.0,
};

/// The behavior of both releases: one baseline, and the candidate per layer, in plan order, without
/// and during faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Truth {
    pub(super) baseline: Behavior,
    pub(super) candidate: Vec<CandidateTruth>,
}

/// The truth of the candidate in one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct CandidateTruth {
    pub(super) layer: String,
    pub(super) behavior: Behavior,
    pub(super) faults: Vec<FaultTruth>,
}

/// A period with a fault, and the candidate's behavior in it. The end is exclusive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FaultTruth {
    pub(super) from: Micros,
    pub(super) until: Micros,
    pub(super) behavior: Behavior,
}

/// The truth of a plan, with the faults of the generator settings.
pub(super) fn truth(plan: &Plan, spec: &Generate) -> Truth {
    let candidate = plan
        .layers
        .iter()
        .enumerate()
        .map(|(idx, layer)| {
            // Employees ask better questions, so the candidate works better for them.
            let behavior = match layer.id.as_str() {
                "internal" => Behavior {
                    task_completion_rate: 0.93,
                    bad_rate: 0.03,
                    complaint_rate: 0.0005,
                    ..CANDIDATE
                },
                _ => CANDIDATE,
            };
            let faults = spec
                .faults
                .iter()
                .filter(|fault| fault.layer_idx == idx)
                .map(|fault| FaultTruth {
                    from: fault.from,
                    until: fault.until,
                    behavior: Behavior {
                        task_completion_rate: fault
                            .task_completion_rate
                            .unwrap_or(behavior.task_completion_rate),
                        complaint_rate: fault.complaint_rate.unwrap_or(behavior.complaint_rate),
                        bad_rate: fault.bad_rate.unwrap_or(behavior.bad_rate),
                        ..behavior
                    },
                });
            CandidateTruth {
                layer: layer.id.clone(),
                behavior,
                faults: faults.collect(),
            }
        })
        .collect();
    Truth {
        baseline: BASELINE,
        candidate,
    }
}

impl Truth {
    /// The behavior of a release for a turn at an instant, in microseconds UTC.
    pub(super) fn behavior(&self, layer: usize, is_candidate: bool, at: Micros) -> &Behavior {
        if !is_candidate {
            return &self.baseline;
        }
        let truth = &self.candidate[layer];
        truth
            .faults
            .iter()
            .find(|fault| (fault.from..fault.until).contains(&at))
            .map_or(&truth.behavior, |fault| &fault.behavior)
    }
}

/// The purpose of a random stream. Each purpose has its own stream for every day and chunk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    Users,
    Traits,
    Turns,
}

/// Creates the random stream of a purpose, day and chunk of users. It does not depend on other
/// streams.
pub(super) fn stream(seed: u64, purpose: Stream, day: u64, chunk: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((purpose as u64) << 56 | day << 32 | chunk);
    rng
}

//! A layer in a run: the data of its stage, which grow window by window.

use crate::analysis::UserCounts;
use crate::base::time::Micros;
use crate::bucket::Ratio;
use crate::qos::GuardrailInput;
use crate::ramp::{HeldUntil, SliceEvidence, StageEvidence, Verdict};
use crate::simulate::controller::RampProgress;
use crate::simulate::draws::draw_share;
use crate::simulate::gates::LayerGates;
use crate::simulate::lanes::{ArmSums, ArmWindow};
use crate::simulate::model::{LayerModel, Model};
use crate::simulate::outcome::{Cause, RunOutcome};
use crate::simulate::stream::Stream;
use crate::stats::Reason;

/// The data of an arm since the stage began.
#[derive(Debug, Clone)]
pub(super) struct ArmRun {
    pub(super) users: f64,
    /// 1 over the number of the arm's users, seen or not.
    pub(super) per_user: f64,
    pub(super) sums: ArmSums,
}

impl ArmRun {
    fn new(layer: &LayerModel, arm: usize) -> Self {
        Self {
            users: 0.0,
            per_user: 1.0,
            sums: ArmSums::new(&layer.arms[arm], &layer.metric_models),
        }
    }
}

/// The users of a ladder step: shares `below..below + width` of the layer, and the share of them
/// not yet seen since they first got the candidate.
#[derive(Debug, Clone, Copy)]
struct Cohort {
    below: f64,
    width: f64,
    unseen: f64,
}

/// A decision that holds a layer, and what ends it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) verdict: Verdict,
    /// The check that blocks.
    pub(super) cause: Cause,
    pub(super) until: HeldUntil,
}

/// A layer in a run.
#[derive(Debug, Clone)]
pub(super) struct LayerRun {
    pub(super) arms: [ArmRun; 2],
    /// Number of windows since the stage began.
    pub(super) age: u32,
    /// Share of users who have not been seen in this stage.
    unseen: f64,
    /// Fraction of a user that is carried to the next window, so that arrivals are whole numbers.
    carry: f64,
    cohorts: Vec<Cohort>,
    /// Expected number of requests per user that the candidate would have answered if each request
    /// were assigned at random.
    pub(super) coin_hazard: f64,
    pub(super) evidence: StageEvidence,
    pub(super) inputs: Vec<GuardrailInput>,
    pub(super) progress: RampProgress,
    pub(super) gates: LayerGates,
    /// Numbers of users of both arms, without those who were seen in both.
    pub(super) users: [f64; 2],
    /// Whether no early check blocked a decision of this stage. Later ones start from full evidence.
    pub(super) is_past_early: bool,
    /// The last decision, if it is kept.
    pub(super) held: Option<Held>,
    /// A number of clusters, and the cached quantile of the t distribution for it.
    pub(super) t: (f64, f64),
}

impl LayerRun {
    /// A layer at ratio 0. `start` is the start of the plan.
    pub(super) fn new(layer: &LayerModel, start: Micros) -> Self {
        Self {
            arms: [ArmRun::new(layer, 0), ArmRun::new(layer, 1)],
            age: 0,
            unseen: 1.0,
            carry: 0.0,
            cohorts: Vec::new(),
            coin_hazard: 0.0,
            evidence: StageEvidence {
                start,
                ratio: Ratio::ZERO,
                users: UserCounts::default(),
                srm: None,
                qos: Err(Reason::NoData),
                guardrails: Vec::new(),
                own_past: Vec::new(),
                slices: SliceEvidence::default(),
            },
            inputs: Vec::new(),
            progress: RampProgress::default(),
            gates: LayerGates::default(),
            users: [0.0; 2],
            is_past_early: false,
            held: None,
            t: (0.0, 0.0),
        }
    }

    /// Draws the data of a window at a ratio, and adds requests and harm to the outcome of the run.
    pub(super) fn observe(
        &mut self,
        (model, of_model): (&Model<'_>, &LayerModel),
        (window, ratio): (u32, Ratio),
        stream: &mut Stream,
        outcome: &mut RunOutcome,
    ) {
        let share = ratio.share();
        let (consenting, [pace, coming]) =
            (model.consenting[window as usize], of_model.pace[window as usize]);
        let logged = 1.0 - model.world.candidate_loss;
        let new = self.arrive(of_model.n_users * consenting, coming);
        let of_candidate = draw_share(stream, new, share);
        let new = [new - of_candidate, of_candidate * logged];
        for cohort in self.cohorts.iter_mut().filter(|cohort| cohort.below < share) {
            cohort.unseen *= 1.0 - coming;
        }
        let turns = of_model.turns * pace * consenting;
        outcome.requests += turns * share;
        self.coin_hazard += turns * share / of_model.n_users;
        let rows = [turns * (1.0 - share), turns * share * logged];
        for arm in [0, 1] {
            if rows[arm] > 0.0 {
                self.arms[arm].users += new[arm];
                let of = ArmWindow {
                    layer: of_model,
                    arm,
                    window,
                    age: self.age,
                    rows: rows[arm],
                    all: of_model.n_users * if arm == 0 { 1.0 - share } else { share },
                };
                self.arms[arm].sums.draw(of, stream);
            }
        }
        // A metric that is never worse adds no harm.
        for number in &of_model.harmed {
            let metric_model = &of_model.metric_models[*number];
            outcome.harm[*number] += turns
                * share
                * metric_model.share
                * metric_model
                    .harm_of(metric_model.candidate[window as usize])
                    .max(0.0);
        }
        self.age += 1;
    }

    /// The number of users of both arms who are first seen in a window, a whole number.
    fn arrive(&mut self, n_users: f64, coming: f64) -> f64 {
        let arriving = n_users * self.unseen * coming + self.carry;
        // Numbers of users are far below 2^63, and the cast rounds towards 0.
        let new = arriving as i64 as f64;
        self.carry = arriving - new;
        self.unseen *= 1.0 - coming;
        new
    }

    /// Begins a stage at another ratio, of a layer with this many users.
    pub(super) fn begin_stage(&mut self, to: Ratio, n_users: f64) {
        let reached = self
            .cohorts
            .iter()
            .map(|cohort| cohort.below + cohort.width)
            .fold(0.0, f64::max);
        if to.share() > reached {
            self.cohorts.push(Cohort {
                below: reached,
                width: to.share() - reached,
                unseen: 1.0,
            });
        }
        (self.age, self.unseen, self.carry) = (0, 1.0, 0.0);
        (self.is_past_early, self.held) = (false, None);
        for (arm, share) in self.arms.iter_mut().zip([1.0 - to.share(), to.share()]) {
            arm.users = 0.0;
            arm.sums.clear();
            arm.per_user = 1.0 / (n_users * share).max(1.0);
        }
    }

    /// Share of the layer's users who have had an answer from the candidate.
    pub(super) fn seen(&self) -> f64 {
        self.cohorts
            .iter()
            .map(|cohort| cohort.width * (1.0 - cohort.unseen))
            .sum()
    }
}

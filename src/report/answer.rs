//! The answer of a study, which stands first in a report: may the ramp go on, what happens to each
//! layer and why, and what the gate says.

use crate::bucket::Ratio;
use crate::gate::{GateCheck, GateOutcome};
use crate::ramp::{GATE, LayerSchedule, Outlook, SLICES, Undecided, Verdict};
use crate::report::model::{LayerNames, Model, RampModel, urgency};
use crate::words::{Count, Say, Text, answer as words};

/// The largest number of layers that all have a card.
const FEW: usize = 8;
/// The largest number of cards on a page of many layers.
const MAX_CARDS: usize = 12;
/// The largest number of layers that a sentence names.
const NAMED: usize = 3;

/// The answer of a study with a ramp.
pub(super) struct Answer {
    /// One or two sentences: may the ramp go on?
    pub(super) headline: Text,
    /// The layers that changed or need a person, or all of a few. The most urgent first.
    pub(super) cards: Vec<Card>,
    /// Further layers that changed or need a person, beyond [`MAX_CARDS`].
    pub(super) more: Vec<Card>,
    /// Layers that keep their ratio without a person, if there are too many for cards.
    pub(super) folded: Vec<Card>,
    pub(super) gate: GateAnswer,
}

/// The decision on one layer, in words.
pub(super) struct Card {
    pub(super) tenant: String,
    pub(super) layer: String,
    pub(super) verdict: Verdict,
    /// The ratios before and after the decision, such as `1% → 0%`.
    pub(super) ratios: String,
    pub(super) reason: Text,
    /// What would decide the layer, and when. `None` for a promotion and a rollback.
    pub(super) next: Option<Text>,
}

impl Card {
    fn new(layer: &LayerSchedule) -> Self {
        let outlook = layer.outlook.as_ref().filter(|outlook| outlook.is_open());
        let has_no_row = layer.ratio > Ratio::ZERO && layer.evidence.rows.candidate == 0;
        let why = layer.why();
        let reason = if has_no_row && layer.verdict == Verdict::Inconclusive {
            Text::sentences(&[words::no_rows(), why])
        } else {
            why
        };
        Self {
            tenant: layer.tenant.clone(),
            layer: layer.layer.clone(),
            verdict: layer.verdict,
            ratios: format!("{} → {}", layer.ratio, layer.next_ratio),
            reason,
            next: outlook.map(Outlook::sentence),
        }
    }
}

/// The outcome of the gate in words.
pub(super) struct GateAnswer {
    pub(super) outcome: GateOutcome,
    /// How many checks failed, lack evidence, warn or passed.
    pub(super) text: Text,
    /// The first failing check: its name with the layer, its findings and what would make it pass.
    pub(super) first: Option<FirstCheck>,
}

/// A check of the gate that did not pass.
pub(super) struct FirstCheck {
    pub(super) name: Text,
    pub(super) found: Text,
    pub(super) remedy: Option<Text>,
}

impl Answer {
    pub(super) fn new(ramp: &RampModel, names: &LayerNames) -> Self {
        let layers = &ramp.schedule.layers;
        let mut ranked: Vec<&LayerSchedule> = layers.iter().collect();
        // The sort keeps the order of the plan among equal layers.
        ranked.sort_by_key(|layer| rank(layer));
        let is_few = layers.len() <= FEW;
        let (shown, folded): (Vec<&LayerSchedule>, Vec<&LayerSchedule>) = ranked
            .into_iter()
            .partition(|layer| is_few || is_changed(layer) || needs_person(layer));
        let mut cards: Vec<Card> = shown.into_iter().map(Card::new).collect();
        let more = cards.split_off(cards.len().min(MAX_CARDS));
        Self {
            headline: headline(ramp, names),
            cards,
            more,
            folded: folded.into_iter().map(Card::new).collect(),
            gate: gate(ramp, names),
        }
    }

    /// Whether a card on the page needs the word "inconclusive" explained.
    pub(super) fn is_inconclusive(&self) -> bool {
        let mut cards = self.cards.iter().chain(&self.more).chain(&self.folded);
        cards.any(|card| card.verdict == Verdict::Inconclusive)
            || self.gate.outcome == GateOutcome::Inconclusive
    }
}

/// The rank of a layer on a page, the smallest first: rollbacks, layers that need a person, promotions,
/// then those that wait.
pub(super) fn rank(layer: &LayerSchedule) -> (u8, u8, u64) {
    let (verdict, users) = urgency(layer);
    let group = match layer.verdict {
        Verdict::Rollback => 0,
        _ if needs_person(layer) => 1,
        Verdict::Promote => 2,
        _ => 3,
    };
    (group, verdict, users)
}

/// The first layers by [`rank`], in plan order.
pub(super) fn most_urgent(layers: &[LayerSchedule], most: usize) -> Vec<&LayerSchedule> {
    let mut ranked: Vec<(usize, &LayerSchedule)> = layers.iter().enumerate().collect();
    ranked.sort_by_key(|(_, layer)| rank(layer));
    ranked.truncate(most);
    ranked.sort_by_key(|(idx, _)| *idx);
    ranked.into_iter().map(|(_, layer)| layer).collect()
}

fn is_changed(layer: &LayerSchedule) -> bool {
    layer.ratio != layer.next_ratio
}

/// Whether a person has to act before the layer can go on: waiting for data does not help.
fn needs_person(layer: &LayerSchedule) -> bool {
    let is_stuck = layer.outlook.as_ref().is_some_and(|outlook| {
        let undecided = outlook.undecided.filter(|_| outlook.is_open());
        undecided.is_some_and(|undecided| undecided != Undecided::NotData)
    });
    let waits_for_person =
        [GATE, "approval"].iter().any(|kind| is_blocked_by(layer, kind)) || has_harm(layer);
    matches!(layer.verdict, Verdict::Rollback | Verdict::Invalid) || is_stuck || waits_for_person
}

/// Whether the first check that blocks a layer is of a kind, such as `own_past`.
fn is_blocked_by(layer: &LayerSchedule, kind: &str) -> bool {
    let check = layer.first_blocking.as_deref().unwrap_or_default();
    check.split(':').next() == Some(kind)
}

/// Whether a harm that does not roll the layer back keeps its ratio.
fn has_harm(layer: &LayerSchedule) -> bool {
    let kinds = ["own_past", SLICES, "signal"];
    layer.verdict == Verdict::Hold && kinds.iter().any(|kind| is_blocked_by(layer, kind))
}

/// Some of all layers: their names if they are few, else their number.
fn which(some: &[&LayerSchedule], n_all: usize, names: &LayerNames) -> Text {
    let count = |n: usize| Count(n as u64);
    if some.len() == n_all && n_all > 1 {
        words::all_layers(count(n_all))
    } else if some.len() <= NAMED {
        let names: Vec<String> = some
            .iter()
            .map(|layer| names.of(&layer.tenant, &layer.layer))
            .collect();
        Text::new(|lang| names.say(lang))
    } else {
        words::some_layers(count(some.len()), count(n_all))
    }
}

/// May the ramp go on?
fn headline(ramp: &RampModel, names: &LayerNames) -> Text {
    let layers = &ramp.schedule.layers;
    let of = |some: &[&LayerSchedule]| which(some, layers.len(), names);
    let by = |verdict: Verdict| layers_where(ramp, |layer| layer.verdict == verdict);
    let [back, invalid, promoted, unclear] = [
        Verdict::Rollback,
        Verdict::Invalid,
        Verdict::Promote,
        Verdict::Inconclusive,
    ]
    .map(by);
    if !invalid.is_empty() && invalid.len() == layers.len() {
        return words::untrusted();
    }
    let mut said = Vec::new();
    if !back.is_empty() {
        said.push(words::rolled_back(of(&back)));
    }
    if !invalid.is_empty() {
        said.push(words::untrusted_in(of(&invalid)));
    }
    if !promoted.is_empty() {
        let starts = ramp.analysis.data.rows.n_candidate == 0;
        said.push(if starts {
            words::started(of(&promoted))
        } else {
            words::promoted(of(&promoted))
        });
    }
    if said.is_empty() {
        return standstill(ramp, names, &unclear);
    }
    let n_said = back.len() + invalid.len() + promoted.len();
    match layers.len() - n_said {
        0 => {}
        1 => said.push(words::other_keeps()),
        n => said.push(words::others_keep(Count(n as u64))),
    }
    Text::sentences(&said)
}

/// The layers of which something is so, in plan order.
fn layers_where(ramp: &RampModel, is: impl Fn(&LayerSchedule) -> bool) -> Vec<&LayerSchedule> {
    ramp.schedule.layers.iter().filter(|layer| is(layer)).collect()
}

/// The headline of a night on which no ratio changes.
fn standstill(ramp: &RampModel, names: &LayerNames, unclear: &[&LayerSchedule]) -> Text {
    let of = |some: &[&LayerSchedule]| which(some, ramp.schedule.layers.len(), names);
    let n_candidate = ramp.analysis.data.rows.n_candidate;
    let was_back = layers_where(ramp, |layer| layer.rolled_back);
    let by_gate = layers_where(ramp, |layer| is_blocked_by(layer, GATE));
    let harmed = layers_where(ramp, has_harm);
    let is_full = |layer: &LayerSchedule| layer.next_ratio >= layer.ramp.last_step();
    let is_complete =
        layers_where(ramp, |layer| !is_full(layer) || !is_blocked_by(layer, "ladder")).is_empty();
    if n_candidate == 0 {
        return words::no_candidate();
    }
    if !was_back.is_empty() {
        return words::was_rolled_back(of(&was_back));
    }
    if !harmed.is_empty() {
        return words::harmed(of(&harmed));
    }
    if !by_gate.is_empty() {
        return words::held_by_gate();
    }
    if !unclear.is_empty() {
        return words::unclear(of(unclear));
    }
    if is_complete {
        return words::completed();
    }
    words::held()
}

fn gate(ramp: &RampModel, names: &LayerNames) -> GateAnswer {
    let report = &ramp.gate;
    let n_with = |outcome: GateOutcome| {
        let n = report.checks.iter().filter(|check| check.outcome == outcome);
        Count(n.count() as u64)
    };
    let n_all = Count(report.checks.len() as u64);
    let text = match report.outcome {
        _ if report.checks.is_empty() => words::gate_empty(),
        GateOutcome::Fail => words::gate_failed(n_with(GateOutcome::Fail), n_all),
        GateOutcome::Inconclusive => words::gate_open(n_with(GateOutcome::Inconclusive), n_all),
        GateOutcome::Warn => words::gate_warned(n_with(GateOutcome::Warn), n_all),
        GateOutcome::Pass => words::gate_passed(n_all),
    };
    let decides = |check: &&GateCheck| check.outcome == report.outcome && check.outcome > GateOutcome::Warn;
    let first = report.checks.iter().find(decides).map(|check| FirstCheck {
        name: if check.layer.is_empty() {
            words::first_check(&check.check)
        } else {
            words::first_check_in(&check.check, names.of(&check.tenant, &check.layer))
        },
        found: check.found(),
        remedy: check.remedy(),
    });
    GateAnswer {
        outcome: report.outcome,
        text,
        first,
    }
}

/// The answer of a study without traffic.
pub(super) fn placed(model: &Model) -> Text {
    let layering = &model.layering;
    words::placed(Count(layering.n_users), Count(layering.layers.len() as u64))
}

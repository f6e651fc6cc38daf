//! Findings of one night of a ramp.

use std::path::Path;

use crate::base::error::Result;
use crate::base::json;
use crate::base::manifest::file;
use crate::gate::{GateOutcome, GateReport};
use crate::night::NightOutcome;
use crate::pipeline::finding::{Finding, Findings, Level};
use crate::pipeline::from_gate::{finding, not_asked};
use crate::pipeline::place::PlacedFile;
use crate::ramp::{LayerSchedule, Verdict};
use crate::words::pipeline as says;
use crate::words::{Count, Lang, Text, Things};

/// Returns the findings of a night: the decision on each layer, the checks of its gate, its targets
/// and its guards. Layers and checks have the line of the layer in the scenario.
///
/// # Errors
/// The gate report of the night cannot be read.
pub fn from_night(outcome: &NightOutcome, scenario: &Path) -> Result<Findings> {
    let gate: GateReport = json::read_document(&outcome.folder.join(file::GATE_REPORT))?;
    let placed = PlacedFile::read(scenario);
    let place_of = |layer: &str| Some(placed.as_ref()?.item("id", layer));
    let layers = &outcome.schedule.layers;
    let mut list: Vec<Finding> = layers
        .iter()
        .map(|layer| Finding {
            place: place_of(&layer.layer),
            ..of_layer(layer)
        })
        .collect();
    list.extend(gate.checks.iter().map(|check| Finding {
        place: place_of(&check.layer),
        ..finding(check)
    }));
    list.extend(not_asked(&gate));
    list.extend(targets(outcome));
    list.extend(guards(outcome));
    // Readers of SARIF ask for a place of every finding.
    for finding in list.iter_mut().filter(|finding| finding.place.is_none()) {
        finding.place = placed.as_ref().map(|file| file.key(&[]));
    }
    let n_failed = list
        .iter()
        .filter(|found| found.rule == "target" && found.level == Level::Error)
        .count();
    let changed = layers
        .iter()
        .filter(|layer| layer.ratio != layer.next_ratio)
        .count();
    let warnings = gate
        .checks
        .iter()
        .filter(|check| check.outcome == GateOutcome::Warn);
    let (candidate, n, changed) = (
        outcome.report.candidate.as_str(),
        Count(layers.len() as u64),
        Count(changed as u64),
    );
    let mut answer = vec![match gate.outcome {
        GateOutcome::Pass => says::night_pass(candidate, n, changed),
        GateOutcome::Warn => {
            says::night_warn(candidate, n, changed, Things(warnings.count() as u64, "warning"))
        }
        GateOutcome::Inconclusive => says::night_inconclusive(candidate, n, changed),
        GateOutcome::Fail => says::night_fail(candidate, n, changed),
    }];
    let mut level = Level::from(gate.outcome);
    let next = if n_failed > 0 {
        level = Level::Error;
        answer.push(says::night_targets(Things(n_failed as u64, "target")));
        says::night_next_targets()
    } else if gate.outcome > GateOutcome::Warn {
        gate.next_step()
    } else {
        says::night_next_wait()
    };
    let properties = vec![
        ("plan", outcome.report.plan_id.clone()),
        ("candidate", outcome.report.candidate.clone()),
        ("baseline", outcome.schedule.baseline.clone()),
    ];
    Ok(Findings {
        command: "night",
        level,
        answer: Text::sentences(&answer),
        next,
        properties,
        list,
    })
}

/// Whether a layer that holds waits for nothing but time, users or other layers.
fn waits(layer: &LayerSchedule) -> bool {
    let waiting = ["ladder", "dwell", "min_users", "after", "freeze", "cool_down"];
    let check = layer.first_blocking.as_deref().unwrap_or_default();
    waiting.contains(&check)
}

fn of_layer(layer: &LayerSchedule) -> Finding {
    let level = match layer.verdict {
        Verdict::Promote => Level::Passed,
        Verdict::Hold if waits(layer) => Level::Passed,
        Verdict::Hold => Level::Warning,
        Verdict::Inconclusive => Level::Inconclusive,
        Verdict::Rollback | Verdict::Invalid => Level::Error,
    };
    let name = layer.verdict.name();
    let verdict = Text::new(|lang| match lang {
        Lang::En => name.to_owned(),
        Lang::Zh => lang.words().badge(name),
    });
    let [from, to] = [layer.ratio, layer.next_ratio].map(|ratio| ratio.to_string());
    Finding {
        rule: "verdict".to_owned(),
        title: says::night_layer(),
        group: "layers".to_owned(),
        subject: format!("{} / {}", layer.tenant, layer.layer),
        level,
        found: match layer.ratio == layer.next_ratio {
            true => says::night_layer_stays(verdict, from, layer.why()),
            false => says::night_layer_says(verdict, from, to, layer.why()),
        },
        remedy: None,
        place: None,
    }
}

fn targets(outcome: &NightOutcome) -> impl Iterator<Item = Finding> {
    outcome.report.targets.iter().map(|target| Finding {
        rule: "target".to_owned(),
        title: says::night_target(),
        group: "targets".to_owned(),
        subject: target.target.clone(),
        level: match target.error {
            Some(_) => Level::Error,
            None => Level::Passed,
        },
        found: match &target.error {
            Some(error) => error.as_str().into(),
            None => says::night_target_took(target.outcome.as_str()),
        },
        remedy: None,
        place: None,
    })
}

fn guards(outcome: &NightOutcome) -> impl Iterator<Item = Finding> {
    outcome.report.guards.iter().map(|guard| Finding {
        rule: guard.guard.key().to_owned(),
        title: says::night_guard(),
        group: "guards".to_owned(),
        subject: String::new(),
        level: match guard.is_beyond {
            true => Level::Warning,
            false => Level::Passed,
        },
        found: guard.found(),
        remedy: None,
        place: None,
    })
}

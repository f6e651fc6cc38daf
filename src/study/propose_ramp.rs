//! `sluice init`: layers, ratios and ladders of a proposal, from a rehearsal of its scenario.

use std::path::Path;

use crate::analysis::{Analysis, LayerAnalysis};
use crate::base::error::Result;
use crate::base::number::{count, first_of, percent};
use crate::base::progress::Progress;
use crate::bucket::Ratio;
use crate::init::{DIVISIONS, Draft, DraftOperation, ReleasePair, TurnFacts, ladder, layers, write};
use crate::layer::LayerSummary;
use crate::ramp::step_limits::deciding_ratio;
use crate::study::rehearsal::{Rehearsal, parse, rehearse, rehearse_layers};

/// Share of users with rows of both releases above which shares of rows stand for those of users.
const MAX_CROSSOVER: f64 = 0.2;
/// Share of rows of other releases above which the bound on coverage is lowered.
const MAX_OTHERS: f64 = 0.04;

/// Writes the ratios that the log shows, the same for all layers.
pub(crate) fn stages(draft: &mut Draft, pair: &ReleasePair, facts: &TurnFacts) {
    if pair.candidate.is_empty() {
        return;
    }
    let ids: Vec<&'static str> = draft.layers.iter().map(|layer| layer.id).collect();
    for (at, share) in &pair.stages {
        let ratio = rounded(*share);
        draft.operations.extend(ids.iter().map(|layer| DraftOperation {
            at: *at,
            layer,
            ratio,
            why: "share of the rows; write the ratios that production had".into(),
        }));
    }
    if pair.crossover > 0.02 && pair.stages.len() == 1 {
        let sessions = draft
            .traffic
            .iter()
            .find_map(|source| source.guesses.get("session_id"));
        let advice = sessions.map_or_else(String::new, |guess| {
            format!(
                "; sessions may be what production placed: user_id = \"{}\"",
                guess.file_column
            )
        });
        draft.findings.push(format!(
            "{} of the users have rows of both releases, so production did not place these users{advice}",
            percent(pair.crossover)
        ));
    }
    let known: u64 = facts
        .releases()
        .iter()
        .take(2)
        .map(|release| release.n_rows)
        .sum();
    let others = 1.0 - known as f64 / facts.n_rows.max(1) as f64;
    if others > MAX_OTHERS {
        let bound = ((1.0 - others) * 0.95 * 100.0).floor() / 100.0;
        draft.guard = Some((
            bound.max(0.01),
            format!(
                "{} of the rows are of other releases or of none; the default of 0.95 would refuse them",
                percent(others)
            ),
        ));
    }
}

/// A ratio in the steps of 0.0001 that ratios have.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

/// Divides the users as finely as every layer keeps enough users to be judged.
pub(crate) fn settle_layers(draft: &mut Draft, folder: &Path) {
    if draft.layers.len() < 2 {
        return;
    }
    let mut found = None;
    for division in DIVISIONS {
        set_division(draft, division);
        let Ok(summary) = parse(&write(draft), folder).and_then(|scenario| rehearse_layers(&scenario)) else {
            // A later rehearsal says why.
            break;
        };
        let is_fine = !summary.layers.iter().any(|layer| layer.too_small);
        found = Some(summary);
        if is_fine {
            break;
        }
    }
    if let Some(summary) = found {
        describe_layers(draft, &summary);
    }
}

/// Gives the draft the layers of a division, with the ratios of the first layer before.
pub(crate) fn set_division(draft: &mut Draft, division: &[(&'static str, f64)]) {
    draft.layers = layers(division);
    draft.layering.retain(|(key, _, _)| *key != "mode");
    if draft.layers.len() > 1 {
        let why = "layers take shares of the users; `threshold` cuts at scores (min_score)";
        draft.layering.insert(0, ("mode", "\"quota\"".into(), why.into()));
    }
    let first = draft.operations.first().map(|operation| operation.layer);
    let before: Vec<DraftOperation> = draft
        .operations
        .iter()
        .filter(|operation| Some(operation.layer) == first)
        .cloned()
        .collect();
    let of = |operation: &DraftOperation| {
        let operation = operation.clone();
        division.iter().map(move |(layer, _)| DraftOperation {
            layer,
            ..operation.clone()
        })
    };
    draft.operations = before.iter().flat_map(of).collect();
}

fn describe_layers(draft: &mut Draft, summary: &LayerSummary) {
    for layer in &mut draft.layers {
        let of_layer = summary.layers.iter().filter(|of| of.layer == layer.id);
        let (n, eligible) = of_layer.fold((0, 0), |(n, eligible), of| {
            (n + of.n_users, eligible + of.n_eligible)
        });
        let share = percent(n as f64 / summary.n_users.max(1) as f64);
        layer.notes = vec![format!(
            "{} users ({share}), {} of them eligible.",
            count(n),
            count(eligible)
        )];
    }
}

/// Rehearses the scenario, and writes what it shows into the draft. Returns why it cannot run; empty
/// if it can.
pub(crate) fn rehearsed(draft: &mut Draft, folder: &Path, progress: &Progress) -> Vec<String> {
    if draft.layers.len() < 2 {
        set_division(draft, DIVISIONS[2]);
    }
    let first = match settle_rows(draft, folder, progress) {
        Ok(first) => first,
        Err(problem) => {
            draft.findings.push(format!("it cannot run: {problem}"));
            return vec![problem];
        }
    };
    describe_layers(draft, &first.layering);
    let Some(analysis) = &first.analysis else {
        draft.findings.extend(first.warnings);
        return Vec::new();
    };
    settle_ratios(draft, analysis);
    // The ratios of users differ from those of rows, so the evidence is read once more.
    let again = parse(&write(draft), folder).and_then(|scenario| rehearse(scenario, progress));
    let again = again.unwrap_or(first);
    settle_ladders(draft, &again);
    draft.findings.extend(
        again
            .warnings
            .iter()
            .filter(|warning| !warning.contains("cannot clear a margin"))
            .cloned(),
    );
    Vec::new()
}

/// Finds the treatment of bad rows and of repeated users under which the scenario runs.
fn settle_rows(draft: &mut Draft, folder: &Path, progress: &Progress) -> Result<Rehearsal, String> {
    let mut problem = None;
    for (drop, keep) in [(false, false), (true, false), (false, true), (true, true)] {
        draft.drop_bad_rows = drop.then(|| "rows that cannot be read are left out and counted".into());
        draft.keep_first_user = keep.then(|| "users have several rows: the first one counts".into());
        match parse(&write(draft), folder).and_then(|scenario| rehearse(scenario, progress)) {
            Ok(rehearsal) => {
                note_left_out(draft, &rehearsal);
                return Ok(rehearsal);
            }
            Err(error) => _ = problem.get_or_insert(one_line(&error.to_string())),
        }
    }
    (draft.drop_bad_rows, draft.keep_first_user) = (None, None);
    Err(problem.unwrap_or_default())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Says how many rows are left out, and why.
fn note_left_out(draft: &mut Draft, rehearsal: &Rehearsal) {
    if draft.drop_bad_rows.is_some() {
        let mut reasons: Vec<String> = rehearsal
            .layering
            .bad_rows
            .iter()
            .map(|(reason, n)| format!("{} rows: {reason}", count(*n)))
            .collect();
        if let Some(analysis) = &rehearsal.analysis {
            let n = analysis.data.rows.n_bad;
            reasons.extend((n > 0).then(|| format!("{} rows of the log", count(n))));
        }
        let why = format!("left out and counted: {}", first_of(&reasons, 4, "; "));
        draft.drop_bad_rows = Some(why);
    }
    if draft.keep_first_user.is_some() {
        let n = count(rehearsal.layering.n_duplicates);
        draft.keep_first_user = Some(format!("{n} rows are of users who already have a row"));
    }
}

/// Replaces shares of rows by shares of users, layer by layer.
fn settle_ratios(draft: &mut Draft, analysis: &Analysis) {
    let mut kept = Vec::new();
    for operation in &draft.operations {
        let of_layer = analysis
            .layers
            .iter()
            .filter(|layer| layer.layer == operation.layer);
        let stages = of_layer.filter_map(|layer| {
            layer
                .stages
                .iter()
                .find(|stage| stage.start >= operation.at && stage.ratio.share() == operation.ratio)
        });
        let sums = stages.fold([0_u64; 4], |sum, stage| {
            let users = &stage.users;
            [
                sum[0] + users.baseline,
                sum[1] + users.candidate,
                sum[2] + users.crossover,
                sum[3] + stage.rows.candidate,
            ]
        });
        let [baseline, candidate, crossover, rows] = sums;
        let n = (baseline + candidate) as f64;
        if rows == 0 {
            continue;
        }
        let is_by_users = n > 0.0 && crossover as f64 <= MAX_CROSSOVER * (n + crossover as f64);
        let ratio = if is_by_users {
            rounded(candidate as f64 / n)
        } else {
            operation.ratio
        };
        if Ratio::try_from_share(ratio).is_ok_and(|ratio| ratio > Ratio::ZERO) {
            let why = if is_by_users {
                format!(
                    "{} of {} users; write the ratio that production had",
                    count(candidate),
                    count(baseline + candidate)
                )
            } else {
                operation.why.clone()
            };
            kept.push(DraftOperation {
                ratio,
                why,
                ..operation.clone()
            });
        }
    }
    draft.operations = kept;
}

/// Ladders whose first steps have enough users, and decide the guardrails within their dwell.
fn settle_ladders(draft: &mut Draft, rehearsal: &Rehearsal) {
    let (Some(analysis), plan) = (&rehearsal.analysis, &rehearsal.scenario.plan) else {
        return;
    };
    for layer in &mut draft.layers {
        let Some(planned) = plan.layers.iter().find(|other| other.id == layer.id) else {
            continue;
        };
        let analyzed: Vec<&LayerAnalysis> =
            analysis.layers.iter().filter(|of| of.layer == layer.id).collect();
        let Some(fewest) = analyzed.iter().map(|of| of.n_eligible).filter(|n| *n > 0).min() else {
            continue;
        };
        let by_users = planned.min_users as f64 / fewest as f64;
        let decided: Result<Vec<Option<Ratio>>, _> = analyzed
            .iter()
            .filter(|of| of.n_eligible > 0)
            .map(|of| deciding_ratio(plan, planned, of, analysis))
            .collect();
        let days = number_of_days(planned.dwell);
        let (first, note) = match decided {
            Err(_) => (
                by_users.max(0.05),
                "The log shows no guardrail of the baseline here: the ladder is a usual one.".to_owned(),
            ),
            Ok(ratios) => match ratios.into_iter().collect::<Option<Vec<Ratio>>>() {
                Some(ratios) => {
                    let first = ratios.into_iter().max().map_or(0.05, Ratio::share);
                    let text = format!(
                        "{} is the first step that can decide every guardrail within {days} days.",
                        percent(first.max(by_users.min(0.5)))
                    );
                    (first.max(by_users), text)
                }
                None => (
                    0.5,
                    format!(
                        "No step below 100% can decide every guardrail within {days} days: wait longer, or set margins that you mean."
                    ),
                ),
            },
        };
        let usual = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5];
        let first = usual
            .into_iter()
            .find(|step| *step >= first - 1e-9)
            .unwrap_or(0.5);
        layer.ladder = Some(ladder(first));
        layer.notes.push(note);
        if by_users > 0.5 {
            layer.notes.push(format!(
                "Half of them are fewer than min_users ({}): no step below 100% can be left.",
                count(planned.min_users)
            ));
        }
    }
}

fn number_of_days(dwell: i64) -> String {
    crate::base::number::number(dwell as f64 / crate::base::time::DAY as f64)
}

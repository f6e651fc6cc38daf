//! The texts that `sluice publish` prints.

use crate::base::time;
use crate::bucket::Ratio;
use crate::cli::terminal::Terminal;
use crate::publish::{Publication, PublishReport, PublishStatus, SourceGate, TargetOutcome, TargetReport};
use crate::words::commands as say;
use crate::words::{Count, Text};

/// Changes of a target that are shown; the rest are counted.
const N_SHOWN: usize = 20;

/// The warning about a gate that failed, or that judged other evidence; `None` without a reason.
pub(super) fn gate_warning(gate: &SourceGate) -> Option<Text> {
    let failure = gate.failure.as_ref()?;
    let layers: Vec<String> = gate
        .kept_back
        .iter()
        .map(|kept| format!("{} / {}", kept.tenant, kept.layer))
        .collect();
    let effect = if layers.is_empty() {
        say::policy_publishes()
    } else {
        say::no_promotion(layers)
    };
    let warning = say::gate_effect(failure, effect);
    Some(if gate.is_stale {
        say::and_then(warning, say::stale_gate())
    } else {
        warning
    })
}

/// The changes of every target.
pub(super) fn table(report: &PublishReport, terminal: &Terminal) -> String {
    let line = |text: Text| format!("{}\n", terminal.text(&text));
    let mut text = line(match report.version.as_str() {
        "" => say::plan(&report.plan_id),
        version => say::plan_version(&report.plan_id, version),
    });
    if let Some(gate) = report.gate {
        text.push_str(&line(say::gate(terminal.lang.words().badge(gate.name()))));
    }
    for target in &report.targets {
        let outcome = terminal.text(&say::target_outcome(target.outcome.name()));
        let outcome = console::pad_str(&outcome, 9, console::Alignment::Left, None);
        text.push_str(&format!("\n{outcome}  {}", target.target));
        if let Some(users) = &target.users {
            let (n, all, gone) = (Count(users.n_written), Count(users.n_users), Count(users.n_gone));
            let is_planned = target.outcome == TargetOutcome::Planned;
            let said = match (is_planned, users.n_gone > 0) {
                (true, false) => say::users_to_write(n, all),
                (true, true) => say::users_to_write_gone(n, all, gone),
                (false, false) => say::users_written(n, all),
                (false, true) => say::users_written_gone(n, all, gone),
            };
            text.push_str(&format!("  {}", terminal.text(&said)));
        }
        text.push('\n');
        text.push_str(&changes(target, terminal));
    }
    text
}

fn changes(target: &TargetReport, terminal: &Terminal) -> String {
    let mut text = String::new();
    for change in target.changes.iter().take(N_SHOWN) {
        let nothing = || terminal.text(&say::nothing());
        let show = |side: &Option<String>| side.clone().unwrap_or_else(nothing);
        let line = format!(
            "  {}: {} → {}",
            change.what,
            show(&change.before),
            show(&change.after)
        );
        let line = match terminal.width {
            Some(width) => console::truncate_str(&line, width.into(), "…"),
            None => line.into(),
        };
        text.push_str(&format!("{line}\n"));
    }
    if target.changes.len() > N_SHOWN {
        let more = say::more_changes(Count((target.changes.len() - N_SHOWN) as u64));
        text.push_str(&format!("  {}\n", terminal.text(&more)));
    }
    text
}

/// What every target holds: its version and status, then its ratios.
pub(super) fn status_text(status: &PublishStatus, terminal: &Terminal) -> String {
    let mut text = format!("{}\n", terminal.text(&say::plan(&status.plan_id)));
    for target in &status.targets {
        text.push_str(&format!("\n{}\n", target.target));
        let Some(held) = &target.held else {
            let said = match target.error {
                Some(_) => say::not_readable(),
                None => say::holds_nothing(),
            };
            text.push_str(&format!("  {}\n", terminal.text(&said)));
            continue;
        };
        if held.is_layers() {
            let digest = held.layers_digest.as_deref().unwrap_or_default();
            let lines = format!(
                "  {}\n  {}\n",
                terminal.text(&say::version_of(&held.version, time::format(held.as_of))),
                terminal.text(&say::layer_table(digest))
            );
            text.push_str(&terminal.fill(&lines));
            continue;
        }
        let by_hand = held
            .rolled_back_at
            .map_or_else(say::not_by_hand, |at| say::by_hand(time::format(at)));
        let lines = format!(
            "  {}\n  {}, {}\n  {}\n",
            terminal.text(&say::version_of(&held.version, time::format(held.as_of))),
            held.status.name(),
            terminal.text(&by_hand),
            ratios(held)
        );
        text.push_str(&terminal.fill(&lines));
    }
    text
}

/// The ratios by layer, with the tenant if the plan has several.
fn ratios(held: &Publication) -> String {
    let has_tenants = held.has_tenants();
    let row = |(tenant, layer, ratio): (&str, &str, Ratio)| {
        if has_tenants {
            format!("{tenant} / {layer} {ratio}")
        } else {
            format!("{layer} {ratio}")
        }
    };
    let rows = held.ratios.iter();
    let rows = rows.map(|held| row((&held.tenant, &held.layer, held.ratio)));
    rows.collect::<Vec<_>>().join(", ")
}

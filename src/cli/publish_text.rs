//! The texts that `sluice publish` prints.

use crate::base::number::count;
use crate::base::time;
use crate::bucket::Ratio;
use crate::cli::terminal::Terminal;
use crate::publish::{Publication, PublishReport, PublishStatus, SourceGate, TargetOutcome, TargetReport};

/// Changes of a target that are shown; the rest are counted.
const N_SHOWN: usize = 20;

/// The warning about a gate that failed, or that judged other evidence; `None` without a reason.
pub(super) fn gate_warning(gate: &SourceGate) -> Option<String> {
    let failure = gate.failure.as_ref()?;
    let layers: Vec<String> = gate
        .kept_back
        .iter()
        .map(|kept| format!("{} / {}", kept.tenant, kept.layer))
        .collect();
    let effect = if layers.is_empty() {
        "rollbacks, holds and promotions that the policy allows are published".to_owned()
    } else {
        format!("no promotion of {}", layers.join(", "))
    };
    let stale = if gate.is_stale {
        "; the gate report rests on other evidence than the schedule: `sluice schedule --layer-summary` writes it anew"
    } else {
        ""
    };
    Some(format!("{failure}: {effect}{stale}"))
}

/// The changes of every target.
pub(super) fn table(report: &PublishReport, terminal: &Terminal) -> String {
    let mut text = match report.version.as_str() {
        "" => format!("plan {}\n", report.plan_id),
        version => format!("plan {}, version {version}\n", report.plan_id),
    };
    if let Some(gate) = report.gate {
        text.push_str(&format!("gate: {}\n", gate.name()));
    }
    for target in &report.targets {
        text.push_str(&format!("\n{:<9}  {}", target.outcome.name(), target.target));
        if let Some(users) = &target.users {
            text.push_str(&format!(
                "  ({} of {} users {}",
                count(users.n_written),
                count(users.n_users),
                if target.outcome == TargetOutcome::Planned {
                    "to write"
                } else {
                    "written"
                }
            ));
            text.push_str(&if users.n_gone > 0 {
                format!(", {} gone)", count(users.n_gone))
            } else {
                ")".into()
            });
        }
        text.push('\n');
        text.push_str(&changes(target, terminal));
    }
    text
}

fn changes(target: &TargetReport, terminal: &Terminal) -> String {
    let mut text = String::new();
    for change in target.changes.iter().take(N_SHOWN) {
        let show = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".into());
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
        text.push_str(&format!(
            "  and {} more: --json shows them\n",
            target.changes.len() - N_SHOWN
        ));
    }
    text
}

/// What every target holds: its version and status, then its ratios.
pub(super) fn status_text(status: &PublishStatus, terminal: &Terminal) -> String {
    let mut text = format!("plan {}\n", status.plan_id);
    for target in &status.targets {
        text.push_str(&format!("\n{}\n", target.target));
        let Some(held) = &target.held else {
            text.push_str(match target.error {
                Some(_) => "  not readable\n",
                None => "  holds nothing of this plan\n",
            });
            continue;
        };
        if held.is_layers() {
            let digest = held.layers_digest.as_deref().unwrap_or_default();
            let lines = format!(
                "  version {} of {}\n  layer table {digest}\n",
                held.version,
                time::format(held.as_of)
            );
            text.push_str(&terminal.fill(&lines));
            continue;
        }
        let by_hand = held.rolled_back_at.map_or_else(
            || "not rolled back by hand".to_owned(),
            |at| format!("rolled back by hand at {}", time::format(at)),
        );
        let lines = format!(
            "  version {} of {}\n  {}, {by_hand}\n  {}\n",
            held.version,
            time::format(held.as_of),
            held.status.name(),
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

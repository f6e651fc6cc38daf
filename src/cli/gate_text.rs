//! The gate of a release as text: the answer, what decides it, all checks, and what would make those
//! pass that do not.

use crate::base::escape;
use crate::cli::summary;
use crate::cli::terminal::Terminal;
use crate::cli::text::fill;
use crate::gate::{GateCheck, GateOutcome, GateReport};
use crate::words::gate as says;
use crate::words::{Count, Text};

/// The text of a report. `n_others` results are of other releases. With a canary, the first step of
/// a rollback is named.
pub(super) fn text(report: &GateReport, n_others: usize, has_canary: bool, terminal: &Terminal) -> String {
    let lang = terminal.lang;
    let line = |text: &Text| format!("{}\n", fill(&escape::line(text.of(lang)), terminal.width));
    let mut text = line(&report.answer());
    text.push('\n');
    text.push_str(&summary::checks_table(&report.checks).render(terminal));
    let open = report
        .checks
        .iter()
        .filter(|check| check.outcome > GateOutcome::Warn);
    for check in open {
        text.push('\n');
        text.push_str(&line(&found(check)));
        if let Some(remedy) = check.remedy() {
            text.push_str(&format!("  {}", line(&says::to_pass(remedy))));
        }
    }
    if let Some(rollback) = report.rollback.as_ref().filter(|_| has_canary) {
        let first = &rollback["steps"][0];
        let why = |key: &str| first[key].as_str().unwrap_or_default();
        let first = says::roll_back_first(lang.pick(why("why"), why("why_zh")));
        text.push_str(&format!("\n{}", line(&first)));
    }
    if n_others > 0 {
        let others = says::other_results(Count(n_others as u64));
        text.push_str(&format!("\n{}", line(&others)));
    }
    let outcome = lang.words().badge(report.outcome.name());
    let last = says::gate_is(&report.candidate, outcome);
    text.push_str(&format!("\n{}", line(&last)));
    text
}

/// The check with its place and what it found.
fn found(check: &GateCheck) -> Text {
    let name = match check.layer.as_str() {
        "" => check.check.clone(),
        layer => format!("{} ({layer})", check.check),
    };
    says::named(name, check.found())
}

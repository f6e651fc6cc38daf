//! Guardrails in slices, for a terminal: the violations, the worst first, and counts.

use crate::analysis::{Analysis, slices_of};
use crate::base::escape;
use crate::base::manifest::file;
use crate::cli::terminal::Terminal;
use crate::cli::text::fill;
use crate::words::{Count, slices};

/// The largest number of violations that a text lists.
const MAX_LINES: usize = 5;

/// The violations in slices of all layers, at most five, and the counts of slices. Empty without
/// slices.
pub(super) fn slices_text(analysis: &Analysis, terminal: &Terminal) -> String {
    let (counts, mut findings) = slices_of(analysis);
    if counts.n_slices() == 0 {
        return String::new();
    }
    let lang = terminal.lang;
    let line = |text: &str| format!("{}\n", fill(&escape::line(text), terminal.width));
    let mut text = format!("\n{}", line(slices::titled(counts.sentence()).of(lang)));
    findings.retain(|(_, finding)| finding.is_violated());
    let several = findings
        .iter()
        .any(|(layer, _)| layer.tenant != findings[0].0.tenant);
    for (layer, finding) in findings.iter().take(MAX_LINES) {
        let Some(sentence) = finding.sentence() else {
            continue;
        };
        let tenant = if several {
            format!("{} / ", layer.tenant)
        } else {
            String::new()
        };
        text.push_str(&line(&format!(
            "  {tenant}{}: {}",
            layer.layer,
            sentence.of(lang)
        )));
    }
    let n_left = findings.len().saturating_sub(MAX_LINES);
    if n_left > 0 {
        let further = slices::further(Count(n_left as u64), file::ANALYSIS);
        text.push_str(&line(&format!("  {}", further.of(lang))));
    }
    text
}

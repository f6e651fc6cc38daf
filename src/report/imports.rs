//! The coverage of traces as rows of a table: for reports and terminals.

use std::collections::BTreeMap;

use crate::base::number::{count, percent};
use crate::traces::{Coverage, SinceCoverage};
use crate::words::{Lang, Words, fill};

/// The coverage of an import as names and values: what was read, what was made of it, and what was
/// left out. Counts of zero that are no finding are left out.
pub fn coverage_rows(coverage: &Coverage, lang: Lang) -> Vec<(String, String)> {
    let words = lang.words();
    let mut rows = Rows {
        rows: Vec::new(),
        n_turns: coverage.n_turns,
    };
    rows.read(coverage, words);
    rows.turns(coverage, words);
    rows.spans(coverage, words);
    rows.usage(coverage, words);
    rows.scores(coverage, words);
    rows.rows
}

/// Columns whose missing values are shown.
const SHOWN: [&str; 6] = [
    "user_id",
    "release_id",
    "session_id",
    "tenant_id",
    "layer",
    "latency_ms",
];

struct Rows {
    rows: Vec<(String, String)>,
    n_turns: u64,
}

impl Rows {
    fn push(&mut self, name: impl Into<String>, value: String) {
        self.rows.push((name.into(), value));
    }

    /// A number of turns with its share of all.
    fn share(&mut self, name: impl Into<String>, n: u64) {
        let share = percent(n as f64 / self.n_turns.max(1) as f64);
        self.push(name, format!("{} ({share})", count(n)));
    }

    /// A count, if it is not zero.
    fn some(&mut self, name: &str, n: u64) {
        if n > 0 {
            self.push(name, count(n));
        }
    }

    /// Counts by name.
    fn each(&mut self, name: &str, counts: &BTreeMap<String, u64>) {
        for (of, n) in counts {
            self.push(fill(name, &[of]), count(*n));
        }
    }

    fn read(&mut self, coverage: &Coverage, words: &Words) {
        self.each(words.traces_files, &coverage.files);
        if let Some(since) = &coverage.since {
            self.since(since, words);
        }
        self.push(words.traces_rows, count(coverage.n_rows));
        self.each(words.traces_bad_rows, &coverage.bad_rows);
        self.push(words.traces_traces, count(coverage.n_traces));
        self.push(words.traces_turns, count(coverage.n_turns));
    }

    /// What an import that goes on read and had.
    fn since(&mut self, since: &SinceCoverage, words: &Words) {
        for (name, n) in [
            (words.since_known, since.n_known_files),
            (words.since_grown, since.n_grown_files),
            (words.since_new, since.n_new_files),
        ] {
            self.push(name, count(n));
        }
        self.some(words.since_missing, since.n_missing_files);
        self.some(words.since_replaced, since.n_replaced_files);
        self.some(words.since_waiting, since.n_waiting_files);
        self.some(words.since_waiting_bytes, since.n_waiting_bytes);
        self.some(words.since_amended, since.n_amended_traces);
        self.push(words.since_bytes, count(since.n_read_bytes));
    }

    fn turns(&mut self, coverage: &Coverage, words: &Words) {
        for column in SHOWN {
            if let Some(n) = coverage.without.get(column) {
                self.share(fill(words.traces_without, &[column]), *n);
            }
        }
        self.share(words.traces_failed, coverage.n_failed);
        for (name, n) in [
            (words.traces_eval, coverage.n_eval),
            (words.traces_shadow, coverage.n_shadow),
            (words.traces_fallback, coverage.n_fallback),
            (words.traces_retried, coverage.n_retried),
            (words.traces_of_others, coverage.n_traces_of_others),
            (words.traces_no_root, coverage.n_traces_without_root),
            (words.traces_many_roots, coverage.n_traces_of_several_roots),
            (words.traces_no_time, coverage.n_traces_without_time),
            (words.traces_skew, coverage.n_traces_with_skew),
        ] {
            self.some(name, n);
        }
    }

    fn spans(&mut self, coverage: &Coverage, words: &Words) {
        self.some(words.traces_repeated, coverage.n_repeated_spans);
        self.each(words.traces_spans, &coverage.spans);
        self.each(words.traces_passed_over, &coverage.passed_over);
    }

    fn usage(&mut self, coverage: &Coverage, words: &Words) {
        let tokens = &coverage.tokens;
        self.push(words.traces_tokens_in, count(tokens.input.unsigned_abs()));
        self.push(words.traces_cached, count(tokens.cached_input.unsigned_abs()));
        self.push(words.traces_tokens_out, count(tokens.output.unsigned_abs()));
        self.some(words.traces_cache_beside, tokens.n_cache_beside);
        let usd = |nano: i64| format!("{:.6} USD", nano as f64 / 1e9);
        let cost = &coverage.cost;
        if cost.n_logged > 0 {
            self.push(words.traces_cost_logged, usd(cost.logged_nano_usd));
        }
        if cost.n_priced > 0 {
            self.push(words.traces_cost_priced, usd(cost.priced_nano_usd));
        }
        self.share(words.traces_no_cost, cost.n_turns_without);
        self.push(words.traces_tools, count(coverage.tools.n_calls));
        self.push(words.traces_tools_failed, count(coverage.tools.n_failed));
    }

    fn scores(&mut self, coverage: &Coverage, words: &Words) {
        for (column, score) in &coverage.scores {
            let n = [score.n_joined, score.n_ambiguous, score.n_unjoined, score.n_late].map(count);
            self.push(
                fill(words.traces_score, &[column, &score.score]),
                fill(words.traces_score_counts, &n.each_ref().map(String::as_str)),
            );
        }
        self.each(words.traces_unmapped, &coverage.unmapped_scores);
    }
}

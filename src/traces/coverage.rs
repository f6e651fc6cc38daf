//! The coverage of an import: what was read, what was made of it, and what was passed over.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::base::json::Document;
use crate::base::limits::Limit;
use crate::traces::turn::OPTIONAL;

/// The coverage of an import of traces, as in `*.coverage.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// The format and version of this document.
    pub schema: String,
    /// Number of files by what their content was taken for.
    pub files: BTreeMap<String, u64>,
    /// Number of bytes of these files, as they are stored.
    pub n_bytes: u64,
    /// Number of rows: lines, records, elements of arrays.
    pub n_rows: u64,
    /// Rows that cannot be used and are left out, by reason.
    pub bad_rows: BTreeMap<String, u64>,
    /// Spans by what they are to their turn, without repeated ones.
    pub spans: BTreeMap<String, u64>,
    /// Spans that were sent again: the latest counts.
    pub n_repeated_spans: u64,
    /// Spans that were not counted, by rule.
    pub passed_over: BTreeMap<String, u64>,
    /// Number of traces.
    pub n_traces: u64,
    /// Traces without a span of an agent, a model or a tool. They are no turns.
    pub n_traces_of_others: u64,
    /// Traces whose root is not in the files. Their first span stands for it.
    pub n_traces_without_root: u64,
    /// Traces with several roots. Each root is a turn.
    pub n_traces_of_several_roots: u64,
    /// Traces without a single time. They are no turns.
    pub n_traces_without_time: u64,
    /// Traces with a span that starts before its root or ends before it starts: clocks differ.
    pub n_traces_with_skew: u64,
    /// Turns in all.
    pub n_turns: u64,
    /// Turns of evaluations and tests.
    pub n_eval: u64,
    /// Turns whose answer was not shown to the user.
    pub n_shadow: u64,
    /// Turns that failed.
    pub n_failed: u64,
    /// Turns in which another model than the requested one answered.
    pub n_fallback: u64,
    /// Turns with a repeated request to a model.
    pub n_retried: u64,
    /// Turns without a value, by column. A column that all turns lack counts as one that the log does not
    /// have.
    pub without: BTreeMap<String, u64>,
    /// The same while turns are counted, by the columns that turns may lack.
    #[serde(skip)]
    pub(super) n_without: [u64; OPTIONAL.len()],
    /// Tokens and their sources.
    pub tokens: TokenCoverage,
    /// Cost and its sources.
    pub cost: CostCoverage,
    /// Calls of tools.
    pub tools: ToolCoverage,
    /// Outcomes, by column.
    pub scores: BTreeMap<String, ScoreCoverage>,
    /// Scores that no rule reads, by name.
    pub unmapped_scores: BTreeMap<String, u64>,
    /// Keys of the first rows of each file, with the number of spans or rows that have them.
    pub keys: BTreeMap<String, u64>,
    /// What was new since the earlier import. `None` for an import of all files at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<SinceCoverage>,
}

/// What an import that goes on read, and what it had from earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SinceCoverage {
    /// Files that were read before, with nothing new.
    pub n_known_files: u64,
    /// Files that were read before and have more lines.
    pub n_grown_files: u64,
    /// Files that were not read before.
    pub n_new_files: u64,
    /// Files that were read before and are not there any more. Their turns stay.
    pub n_missing_files: u64,
    /// New files under the name of a missing one.
    pub n_replaced_files: u64,
    /// Files whose end waits for the next import, because its document is not whole.
    pub n_waiting_files: u64,
    /// Bytes that wait.
    pub n_waiting_bytes: u64,
    /// Bytes that were read, as they are stored.
    pub n_read_bytes: u64,
    /// Spans and scores that were read before.
    pub n_kept_records: u64,
    /// Traces of earlier imports with spans or scores that are new.
    pub n_amended_traces: u64,
}

/// Tokens of all turns, and the rules that decided them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TokenCoverage {
    /// Input tokens, with cached ones.
    pub input: i64,
    /// Input tokens that were read from a cache.
    pub cached_input: i64,
    /// Output tokens.
    pub output: i64,
    /// Spans whose cached tokens were counted beside the input and were added to it.
    pub n_cache_beside: u64,
    /// Turns without a number of tokens.
    pub n_turns_without: u64,
}

/// Cost of all turns, and where it is from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CostCoverage {
    /// Cost that the files state, nano-USD.
    pub logged_nano_usd: i64,
    /// Spans with such a cost.
    pub n_logged: u64,
    /// Cost from the table of prices, nano-USD.
    pub priced_nano_usd: i64,
    /// Spans with such a cost.
    pub n_priced: u64,
    /// Spans with tokens and neither.
    pub n_unknown: u64,
    /// Turns whose cost is not known.
    pub n_turns_without: u64,
    /// Models without a price, with the number of their spans.
    pub unpriced_models: BTreeMap<String, u64>,
}

/// Calls of tools of all turns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ToolCoverage {
    /// Number of calls.
    pub n_calls: u64,
    /// Number of calls that failed.
    pub n_failed: u64,
    /// Calls in a source without a tree that belong to no request.
    pub n_unjoined: u64,
}

/// Scores that a rule reads.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ScoreCoverage {
    /// The name of the score in the files.
    pub score: String,
    /// Scores that belong to a turn.
    pub n_joined: u64,
    /// Scores that may belong to several turns. They are not used.
    pub n_ambiguous: u64,
    /// Scores of a trace, session or answer that is not in the files.
    pub n_unjoined: u64,
    /// Scores that came 48 hours or more after their turn.
    pub n_late: u64,
    /// Scores whose value is not what the rule reads.
    pub n_without_value: u64,
    /// Turns with a value.
    pub n_turns: u64,
}

/// `traces.json`: what a study read of traces.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TracesDocument {
    /// The format and version of this document.
    pub schema: String,
    /// The sources of traces.
    pub sources: Vec<SourceCoverage>,
}

/// What was read of a source of traces.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SourceCoverage {
    /// The key of the scenario, such as `input.traffic[1]`.
    pub source: String,
    /// The last part of its path.
    pub path: String,
    /// What was read.
    pub coverage: Coverage,
}

impl Document for TracesDocument {
    const SCHEMA: &'static str = "sluice.traces/1";
}

impl Document for Coverage {
    const SCHEMA: &'static str = "sluice.import/1";
}

/// Adds to the count of a name, of which a limited number is kept.
pub(super) fn count(counts: &mut BTreeMap<String, u64>, name: &str, n: u64) {
    if n == 0 {
        return;
    }
    if let Some(known) = counts.get_mut(name) {
        *known += n;
    } else {
        counts.insert(name.to_owned(), n);
    }
}

fn merge_counts(counts: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (name, n) in more {
        *counts.entry(name).or_default() += n;
    }
}

impl Coverage {
    /// Adds the counts of another part of the import. The result does not depend on the order.
    pub(super) fn merge(&mut self, other: Self) {
        let Self {
            schema: _,
            files,
            n_bytes,
            n_rows,
            bad_rows,
            spans,
            n_repeated_spans,
            passed_over,
            n_traces,
            n_traces_of_others,
            n_traces_without_root,
            n_traces_of_several_roots,
            n_traces_without_time,
            n_traces_with_skew,
            n_turns,
            n_eval,
            n_shadow,
            n_failed,
            n_fallback,
            n_retried,
            without,
            n_without,
            tokens,
            cost,
            tools,
            scores,
            unmapped_scores,
            keys,
            since: _,
        } = other;
        for (counts, more) in [
            (&mut self.files, files),
            (&mut self.bad_rows, bad_rows),
            (&mut self.spans, spans),
            (&mut self.passed_over, passed_over),
            (&mut self.without, without),
            (&mut self.unmapped_scores, unmapped_scores),
            (&mut self.keys, keys),
            (&mut self.cost.unpriced_models, cost.unpriced_models),
        ] {
            merge_counts(counts, more);
        }
        for (sum, more) in [
            (&mut self.n_bytes, n_bytes),
            (&mut self.n_rows, n_rows),
            (&mut self.n_repeated_spans, n_repeated_spans),
            (&mut self.n_traces, n_traces),
            (&mut self.n_traces_of_others, n_traces_of_others),
            (&mut self.n_traces_without_root, n_traces_without_root),
            (&mut self.n_traces_of_several_roots, n_traces_of_several_roots),
            (&mut self.n_traces_without_time, n_traces_without_time),
            (&mut self.n_traces_with_skew, n_traces_with_skew),
            (&mut self.n_turns, n_turns),
            (&mut self.n_eval, n_eval),
            (&mut self.n_shadow, n_shadow),
            (&mut self.n_failed, n_failed),
            (&mut self.n_fallback, n_fallback),
            (&mut self.n_retried, n_retried),
            (&mut self.tokens.n_cache_beside, tokens.n_cache_beside),
            (&mut self.tokens.n_turns_without, tokens.n_turns_without),
            (&mut self.cost.n_logged, cost.n_logged),
            (&mut self.cost.n_priced, cost.n_priced),
            (&mut self.cost.n_unknown, cost.n_unknown),
            (&mut self.cost.n_turns_without, cost.n_turns_without),
            (&mut self.tools.n_calls, tools.n_calls),
            (&mut self.tools.n_failed, tools.n_failed),
            (&mut self.tools.n_unjoined, tools.n_unjoined),
        ] {
            *sum += more;
        }
        for (sum, more) in [
            (&mut self.tokens.input, tokens.input),
            (&mut self.tokens.cached_input, tokens.cached_input),
            (&mut self.tokens.output, tokens.output),
            (&mut self.cost.logged_nano_usd, cost.logged_nano_usd),
            (&mut self.cost.priced_nano_usd, cost.priced_nano_usd),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.n_without
            .iter_mut()
            .zip(n_without)
            .for_each(|(n, more)| *n += more);
        for (column, more) in scores {
            let known = self.scores.entry(column).or_default();
            known.score = more.score;
            for (sum, more) in [
                (&mut known.n_joined, more.n_joined),
                (&mut known.n_ambiguous, more.n_ambiguous),
                (&mut known.n_unjoined, more.n_unjoined),
                (&mut known.n_late, more.n_late),
                (&mut known.n_without_value, more.n_without_value),
                (&mut known.n_turns, more.n_turns),
            ] {
                *sum += more;
            }
        }
    }

    /// What the files were taken for, as a phrase.
    pub(crate) fn kinds(&self) -> String {
        let kinds = self.files.iter().map(|(kind, n)| format!("{kind} ({n})"));
        kinds.collect::<Vec<_>>().join(", ")
    }

    /// Names the columns of the values that turns lack, after all turns are counted.
    pub(super) fn name_columns(&mut self) {
        let named = OPTIONAL.iter().zip(self.n_without).filter(|(_, n)| *n > 0);
        self.without = named.map(|(name, n)| ((*name).to_owned(), n)).collect();
    }

    /// Whether no turn has a value in a column.
    pub(super) fn lacks(&self, column: &str) -> bool {
        self.without.get(column) == Some(&self.n_turns)
    }

    /// Counts a key of a row. Of very many different keys, the first in the alphabet are kept.
    pub(super) fn note_key(&mut self, key: &str) {
        count(&mut self.keys, key, 1);
    }

    /// Leaves out names beyond the limit of findings, so that a document stays small.
    pub(super) fn shorten(&mut self) {
        let most = Limit::Findings.size().max(100);
        for counts in [
            &mut self.keys,
            &mut self.unmapped_scores,
            &mut self.cost.unpriced_models,
        ] {
            if let Some(first_left_out) = counts.keys().nth(most).cloned() {
                counts.split_off(&first_left_out);
            }
        }
    }
}

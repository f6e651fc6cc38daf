//! Evaluation runs grouped by case: the repeats of each release on the same case.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::sync::Arc;

use crate::release::evals::identity::{MatchedBy, identify};
use crate::release::evals::row::{AbsentRuns, CaseOutcome, EvalRow, NotRun, NotRunCounts};

/// The sum and count of one quantity over the runs of a case.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measure {
    /// The sum over the runs that have a value.
    pub sum: f64,
    /// The number of runs that have a value.
    pub n: u32,
}

impl Measure {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    /// The mean over the runs that have a value; `None` without one.
    pub fn mean(self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / f64::from(self.n))
    }
}

/// The runs of one release on one case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Runs {
    /// The number of runs, including runs that ended in an error.
    pub n_runs: u32,
    /// The number of runs that ended in an error, in the run or in its judge.
    pub n_errors: u32,
    /// The outcomes as numbers: 1 for passed, 0 for failed. Other runs have no value.
    pub passed: Measure,
    /// The scores, in the order of [`Suite::metrics`]. A score that no run has is a measure with
    /// `n` 0.
    pub scores: Vec<Measure>,
    /// The cost of the runs in USD, without the cost of judges.
    pub cost: Measure,
    /// The time to the answer in milliseconds.
    pub latency: Measure,
    /// The input and output tokens of the runs, together.
    pub tokens: Measure,
    /// The number of passed runs with a known cost. Cost per passed run divides by it.
    pub paid_passes: f64,
}

/// One case with the runs of all releases.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The id of the case, the same in every release.
    pub case_id: Arc<str>,
    /// The cluster of the case, whose cases are correlated; `None` if the case is its own cluster.
    pub cluster: Option<Arc<str>>,
    /// The digest of what was asked, in the first row that says it. `None` if no row does.
    pub asked: Option<Arc<str>>,
    /// The values of the columns that slices are made of, in the order of the read options.
    pub attributes: Vec<Option<Arc<str>>>,
    /// The runs of each release: the baseline, and the candidates.
    pub arms: Vec<Runs>,
}

/// The cases of a suite, sorted by id.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// The name of the suite, such as `golden` or `injection`.
    pub name: Arc<str>,
    /// The names of the scores that at least one case has, sorted.
    pub metrics: Vec<Arc<str>>,
    /// The cases that at least one release has.
    pub cases: Vec<Case>,
    /// How the cases of the releases were matched.
    pub matched_by: MatchedBy,
    /// The ids that name other inputs in another release, sorted. They match no cases.
    pub conflicts: Vec<Arc<str>>,
    /// The ids that name several inputs of one release, sorted. They match no cases.
    pub ambiguous: Vec<Arc<str>>,
    /// Whether an input has other ids in another release.
    pub is_renamed: bool,
    /// The runs of each release that are no evidence, by reason.
    pub not_run: Vec<NotRunCounts>,
    /// The number of runs of each release that its logs announce and do not have.
    pub n_absent: Vec<u64>,
}

impl Suite {
    /// A suite of cases that were matched by their ids, without scores and missing runs.
    pub fn from_cases(name: &str, cases: Vec<Case>, n_arms: usize) -> Self {
        Self {
            name: name.into(),
            metrics: Vec::new(),
            cases,
            matched_by: MatchedBy::CaseId,
            conflicts: Vec::new(),
            ambiguous: Vec::new(),
            is_renamed: false,
            not_run: vec![NotRunCounts::new(); n_arms],
            n_absent: vec![0; n_arms],
        }
    }

    /// The suite with some of its cases. What the logs do not have belongs to no case.
    pub fn filtered(&self, keep: impl Fn(&Case) -> bool) -> Self {
        let cases = self.cases.iter().filter(|case| keep(case)).cloned().collect();
        Self {
            metrics: self.metrics.clone(),
            matched_by: self.matched_by,
            ..Self::from_cases(&self.name, cases, self.n_absent.len())
        }
    }
}

/// Groups rows into suites and cases. Each row comes with its arm: 0 is the baseline, the others are
/// candidates. The same run twice counts once.
pub fn suites(rows: &[(usize, &EvalRow)], absent: &[(usize, &AbsentRuns)], n_arms: usize) -> Vec<Suite> {
    let mut of_suite: HashMap<&str, Vec<(usize, &EvalRow)>> = HashMap::new();
    for (arm, row) in rows {
        of_suite.entry(&row.suite).or_default().push((*arm, row));
    }
    let mut suites: Vec<Suite> = of_suite
        .into_iter()
        .map(|(_, rows)| suite(&rows, n_arms))
        .collect();
    suites.sort_by(|a, b| a.name.cmp(&b.name));
    for (arm, absent) in absent {
        let Some(suite) = suites.iter_mut().find(|suite| suite.name == absent.like.suite) else {
            continue;
        };
        suite.n_absent[*arm] += absent.n;
        let reason = absent.like.not_run.unwrap_or(NotRun::Absent);
        *suite.not_run[*arm].entry(reason).or_default() += absent.n;
    }
    suites
}

/// Groups the rows of one suite.
fn suite(rows: &[(usize, &EvalRow)], n_arms: usize) -> Suite {
    let identity = identify(rows, n_arms);
    let mut cases: Vec<Case> = identity
        .labels
        .iter()
        .map(|label| Case {
            case_id: label.clone(),
            cluster: None,
            asked: None,
            attributes: Vec::new(),
            arms: vec![Runs::default(); n_arms],
        })
        .collect();
    let mut not_run = vec![NotRunCounts::new(); n_arms];
    let kept = distinct(rows, &identity.case_of, &mut not_run);
    // A number is a verdict only if all of its kind are 0 or 1.
    let has_partial = rows
        .iter()
        .any(|(_, row)| row.is_numeric && row.not_run == Some(NotRun::PartialCredit));
    let mut metrics: Vec<Arc<str>> = Vec::new();
    let mut of_metric: HashMap<&str, usize> = HashMap::new();
    for Kept { idx, is_conflict } in kept {
        let (arm, row) = rows[idx];
        let case = &mut cases[identity.case_of[idx]];
        if case.cluster.is_none() {
            case.cluster.clone_from(&row.cluster);
        }
        if case.asked.is_none() {
            case.asked.clone_from(&row.asked);
        }
        merge(&mut case.attributes, &row.attributes);
        let runs = &mut case.arms[arm];
        runs.n_runs += 1;
        if is_conflict {
            continue;
        }
        let is_score = has_partial && row.is_numeric;
        if let Some(reason) = row.not_run.filter(|_| !is_score) {
            *not_run[arm].entry(reason).or_default() += 1;
        }
        if row.is_cached {
            *not_run[arm].entry(NotRun::Cached).or_default() += 1;
        }
        let outcome = if is_score {
            CaseOutcome::Unrated
        } else {
            row.outcome
        };
        add(runs, row, outcome);
        // Most cases have the same scores in every run, so no more is reserved.
        if runs.scores.is_empty() {
            runs.scores.reserve_exact(row.scores.len());
        }
        for (name, value) in &row.scores {
            let metric = *of_metric.entry(name).or_insert_with(|| {
                metrics.push(name.clone());
                metrics.len() - 1
            });
            if runs.scores.len() <= metric {
                runs.scores.resize(metric + 1, Measure::default());
            }
            runs.scores[metric].add(*value);
        }
    }
    // Sorting makes the result independent of the order of files.
    let mut order: Vec<usize> = (0..metrics.len()).collect();
    order.sort_by(|a, b| metrics[*a].cmp(&metrics[*b]));
    let is_in_order = order.is_sorted();
    for runs in cases.iter_mut().flat_map(|case| &mut case.arms) {
        runs.scores.resize(order.len(), Measure::default());
        if !is_in_order {
            runs.scores = order.iter().map(|idx| runs.scores[*idx]).collect();
        }
    }
    cases.sort_by(|a, b| a.case_id.cmp(&b.case_id));
    Suite {
        name: rows[0].1.suite.clone(),
        metrics: order.iter().map(|idx| metrics[*idx].clone()).collect(),
        cases,
        matched_by: identity.by,
        conflicts: identity.conflicts,
        ambiguous: identity.ambiguous,
        is_renamed: identity.is_renamed,
        not_run,
        n_absent: vec![0; n_arms],
    }
}

/// A row that counts as a run.
struct Kept {
    idx: usize,
    /// Whether another row of the same run has another result, so the result is not known.
    is_conflict: bool,
}

/// The rows without those that are the same run as another row, in the order of the first row of each
/// run. The others are counted.
fn distinct(rows: &[(usize, &EvalRow)], case_of: &[usize], not_run: &mut [NotRunCounts]) -> Vec<Kept> {
    let mut kept: Vec<Kept> = Vec::with_capacity(rows.len());
    let mut place_of: HashMap<(usize, usize, &str), usize> = HashMap::new();
    for (idx, (arm, row)) in rows.iter().enumerate() {
        let place = row
            .repeat
            .as_deref()
            .map(|repeat| place_of.entry((*arm, case_of[idx], repeat)));
        let place = match place {
            Some(Entry::Occupied(known)) => *known.get(),
            fresh => {
                if let Some(Entry::Vacant(fresh)) = fresh {
                    fresh.insert(kept.len());
                }
                let is_conflict = false;
                kept.push(Kept { idx, is_conflict });
                continue;
            }
        };
        let known = rows[kept[place].idx].1;
        let reason = match (known.outcome, row.outcome) {
            (CaseOutcome::Error, other) if other != CaseOutcome::Error => {
                kept[place].idx = idx;
                NotRun::Retried
            }
            (other, CaseOutcome::Error) if other != CaseOutcome::Error => NotRun::Retried,
            (a, b) if a == b && known.scores == row.scores => NotRun::Duplicate,
            _ => {
                kept[place].is_conflict = true;
                NotRun::Conflict
            }
        };
        *not_run[*arm].entry(reason).or_default() += 1;
    }
    kept
}

/// Keeps the first known value of each attribute.
fn merge(known: &mut Vec<Option<Arc<str>>>, new: &[Option<Arc<str>>]) {
    if known.len() < new.len() {
        known.resize(new.len(), None);
    }
    for (known, new) in known.iter_mut().zip(new) {
        if known.is_none() {
            known.clone_from(new);
        }
    }
}

/// Adds a run without its scores.
fn add(runs: &mut Runs, row: &EvalRow, outcome: CaseOutcome) {
    match outcome {
        CaseOutcome::Passed => runs.passed.add(1.0),
        CaseOutcome::Failed => runs.passed.add(0.0),
        CaseOutcome::Error => runs.n_errors += 1,
        CaseOutcome::Unrated => {}
    }
    if let Some(cost) = row.cost_usd {
        runs.cost.add(cost);
        runs.paid_passes += f64::from(u8::from(outcome == CaseOutcome::Passed));
    }
    if let Some(latency) = row.latency_ms {
        runs.latency.add(latency);
    }
    if let Some([read, written]) = row.tokens {
        runs.tokens.add(read as f64 + written as f64);
    }
}

/// The metrics of every suite: its verdicts, cost, latency and tokens. The others are scores.
pub const COMMON_METRICS: [&str; 4] = ["passed", "cost_usd", "latency_ms", "tokens"];

/// A function of a case and an arm (0: baseline, others: candidates) that returns the mean of a metric
/// over the runs. `None` if no run has a value.
pub type ValueOf = Box<dyn Fn(&Case, usize) -> Option<f64>>;

/// The function that reads a metric: one of [`COMMON_METRICS`] or a score. `None` for a score that no
/// case has.
pub fn value_of(suite: &Suite, metric: &str) -> Option<ValueOf> {
    let measure = measure_of(suite, metric)?;
    Some(Box::new(move |case, arm| measure(case, arm).mean()))
}

/// A function of a case and an arm (0: baseline, others: candidates) that returns the sum and count of
/// a metric.
pub type MeasureOf = Box<dyn Fn(&Case, usize) -> Measure>;

/// The function that reads the sum and count of a metric; `None` for a score that no case has.
pub fn measure_of(suite: &Suite, metric: &str) -> Option<MeasureOf> {
    // A score with the name of a common metric is the file's own value.
    let score = |name: &str| suite.metrics.iter().position(|known| **known == *name);
    Some(match metric {
        "passed" => Box::new(|case, arm| case.arms[arm].passed),
        "cost_usd" => Box::new(|case, arm| case.arms[arm].cost),
        "latency_ms" => Box::new(|case, arm| case.arms[arm].latency),
        "tokens" if score("tokens").is_none() => Box::new(|case, arm| case.arms[arm].tokens),
        name => {
            let idx = score(name)?;
            Box::new(move |case, arm| case.arms[arm].scores[idx])
        }
    })
}

/// Counts the runs of an arm without a value of a metric, and the expected runs. Runs that broke, were
/// not rated, exist in the other arm only, or are not in the log are missing. A case that has the
/// score in neither arm does not count.
pub fn missing(suite: &Suite, metric: &str, [arm, other]: [usize; 2]) -> (u64, u64) {
    let Some(measure) = measure_of(suite, metric) else {
        return (0, 0);
    };
    let (mut n_missing, mut n) = (suite.n_absent[arm], suite.n_absent[arm]);
    for case in &suite.cases {
        let n_runs = case.arms[arm].n_runs.max(case.arms[other].n_runs);
        if n_runs == 0 || (metric != "passed" && measure(case, arm).n + measure(case, other).n == 0) {
            continue;
        }
        n_missing += u64::from(n_runs - measure(case, arm).n.min(n_runs));
        n += u64::from(n_runs);
    }
    (n_missing, n)
}

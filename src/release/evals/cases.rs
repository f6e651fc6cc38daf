//! Evaluation runs grouped by case: the repeats of each release on the same case.

use hashbrown::HashMap;
use std::sync::Arc;

use crate::release::evals::row::{CaseOutcome, EvalRow};

/// A quantity of a case's runs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measure {
    /// Sum over the runs that have it.
    pub sum: f64,
    /// Those runs.
    pub n: u32,
}

impl Measure {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    /// The mean of the runs; `None` without one.
    pub fn mean(self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / f64::from(self.n))
    }
}

/// What a release did on a case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Runs {
    /// All of them.
    pub n_runs: u32,
    /// Of which the run or its judge broke.
    pub n_errors: u32,
    /// Passes among the runs that passed or failed.
    pub passed: Measure,
    /// Scores, in the order of the suite's metrics.
    pub scores: Vec<Measure>,
    /// USD.
    pub cost: Measure,
    /// Milliseconds.
    pub latency: Measure,
    /// Passes among the runs whose cost is known, broken ones included: what was paid for.
    pub paid_passes: f64,
}

/// One case of both releases.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its id.
    pub case_id: Arc<str>,
    /// What it varies together with.
    pub cluster: Option<Arc<str>>,
    /// Baseline and candidate.
    pub arms: [Runs; 2],
}

/// The cases of a suite, by id.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: Arc<str>,
    /// Scores that some case has, by name.
    pub metrics: Vec<Arc<str>>,
    /// Cases of either release.
    pub cases: Vec<Case>,
}

/// Groups rows to suites and cases. Each row comes with its arm: 0 baseline, 1 candidate.
pub fn suites<'a>(rows: impl IntoIterator<Item = (usize, &'a EvalRow)>) -> Vec<Suite> {
    let mut suites: Vec<Suite> = Vec::new();
    let mut of_suite: HashMap<&str, usize> = HashMap::new();
    let rows = rows.into_iter();
    let mut of_case: HashMap<(usize, &str), usize> = HashMap::with_capacity(rows.size_hint().0 / 2);
    let mut of_metric: HashMap<(usize, &str), usize> = HashMap::new();
    for (arm, row) in rows {
        let suite_idx = *of_suite.entry(&row.suite).or_insert_with(|| {
            suites.push(Suite {
                name: row.suite.clone(),
                metrics: Vec::new(),
                cases: Vec::new(),
            });
            suites.len() - 1
        });
        let suite = &mut suites[suite_idx];
        let case_idx = *of_case.entry((suite_idx, &row.case_id)).or_insert_with(|| {
            suite.cases.push(Case {
                case_id: row.case_id.clone(),
                cluster: None,
                arms: [Runs::default(), Runs::default()],
            });
            suite.cases.len() - 1
        });
        let metrics = &mut suite.metrics;
        let case = &mut suite.cases[case_idx];
        if case.cluster.is_none() {
            case.cluster.clone_from(&row.cluster);
        }
        let runs = &mut case.arms[arm];
        runs.n_runs += 1;
        match row.outcome {
            CaseOutcome::Passed => runs.passed.add(1.0),
            CaseOutcome::Failed => runs.passed.add(0.0),
            CaseOutcome::Error => runs.n_errors += 1,
            CaseOutcome::Unrated => {}
        }
        for (name, value) in &row.scores {
            let metric = *of_metric.entry((suite_idx, name)).or_insert_with(|| {
                metrics.push(name.clone());
                metrics.len() - 1
            });
            if runs.scores.len() <= metric {
                runs.scores.resize(metric + 1, Measure::default());
            }
            runs.scores[metric].add(*value);
        }
        if let Some(cost) = row.cost_usd {
            runs.cost.add(cost);
            runs.paid_passes += f64::from(u8::from(row.outcome == CaseOutcome::Passed));
        }
        row.latency_ms
            .into_iter()
            .for_each(|latency| runs.latency.add(latency));
    }
    // What comes out does not depend on the order of files.
    for suite in &mut suites {
        let mut order: Vec<usize> = (0..suite.metrics.len()).collect();
        order.sort_by(|a, b| suite.metrics[*a].cmp(&suite.metrics[*b]));
        let is_in_order = order.is_sorted();
        for runs in suite.cases.iter_mut().flat_map(|case| &mut case.arms) {
            runs.scores.resize(order.len(), Measure::default());
            if !is_in_order {
                runs.scores = order.iter().map(|idx| runs.scores[*idx]).collect();
            }
        }
        suite.metrics = order.iter().map(|idx| suite.metrics[*idx].clone()).collect();
        suite.cases.sort_by(|a, b| a.case_id.cmp(&b.case_id));
    }
    suites.sort_by(|a, b| a.name.cmp(&b.name));
    suites
}

/// Takes a metric of a case's runs: the mean of the runs that have it.
pub type ValueOf = Box<dyn Fn(&Case, usize) -> Option<f64>>;

/// What takes a metric (`passed`, `cost_usd`, `latency_ms` or a score) of a suite's cases; `None`
/// for a score that no case has.
pub fn value_of(suite: &Suite, metric: &str) -> Option<ValueOf> {
    let measure = measure_of(suite, metric)?;
    Some(Box::new(move |case, arm| measure(case, arm).mean()))
}

/// Takes a metric's sum and number of runs of a case.
pub type MeasureOf = Box<dyn Fn(&Case, usize) -> Measure>;

/// What takes a metric's sum and number of runs of a suite's cases; `None` for a score that no case
/// has.
pub fn measure_of(suite: &Suite, metric: &str) -> Option<MeasureOf> {
    Some(match metric {
        "passed" => Box::new(|case, arm| case.arms[arm].passed),
        "cost_usd" => Box::new(|case, arm| case.arms[arm].cost),
        "latency_ms" => Box::new(|case, arm| case.arms[arm].latency),
        name => {
            let idx = suite.metrics.iter().position(|known| **known == *name)?;
            Box::new(move |case, arm| case.arms[arm].scores[idx])
        }
    })
}

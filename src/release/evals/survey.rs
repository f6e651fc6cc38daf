//! A survey of evaluation results: what was read, how cases were matched, and what is compared.

use serde::Serialize;

use crate::metric::Better;
use crate::release::evals::cases::{COMMON_METRICS, Suite, ValueOf, suites, value_of};
use crate::release::evals::compare::{clusters_of, is_share, pass_hat, single};
use crate::release::evals::comparison::{Comparison, Design};
use crate::release::evals::contest::{Place, contest, ranking};
use crate::release::evals::margin::{Margins, better_of};
use crate::release::evals::matching::Matching;
use crate::release::evals::releases::ReleaseRows;
use crate::release::evals::row::NotRun;
use crate::release::evals::slices::{SliceStudy, slices};
use crate::stats::Known;
use crate::stats::simultaneous::FamilyMethod;

/// The settings of a survey.
#[derive(Debug, Clone)]
pub struct SurveyOptions {
    /// The margins of all metrics.
    pub margins: Margins,
    /// The error level of the intervals of one metric, over all candidates and slices.
    pub alpha: f64,
    /// The largest share of runs without a value for which a metric can be safe, 0..=1.
    pub max_missing: f64,
    /// Metrics whose lower values are better, beside those whose names say so.
    pub lower_is_better: Vec<String>,
    /// Metrics whose higher values are better, whatever their names say.
    pub higher_is_better: Vec<String>,
    /// The columns that slices are made of.
    pub by: Vec<String>,
    /// Whether all pairs of releases are compared, in place of the candidates with the baseline.
    pub is_all_pairs: bool,
    /// The number of bootstrap replicates.
    pub n_replicates: usize,
}

/// One metric of one release.
#[derive(Debug, Clone, Serialize)]
pub struct MetricSummary {
    /// The name of the release.
    pub release: String,
    /// The name of the suite.
    pub suite: String,
    /// The name of the metric.
    pub metric: String,
    /// The number of cases with a value.
    pub n_cases: usize,
    /// The number of runs, including runs that ended in an error.
    pub n_runs: u64,
    /// The number of runs that ended in an error.
    pub n_errors: u64,
    /// The number of clusters.
    pub n_clusters: usize,
    /// The mean over cases, in the unit of the metric.
    pub mean: f64,
    /// The clustered standard error of the mean.
    pub std_error: Known<f64>,
    /// The lower end of the interval; `None` if unknown.
    pub ci_lower: Option<f64>,
    /// The upper end of the interval; `None` if unknown.
    pub ci_upper: Option<f64>,
    /// The probability that a release passes all of k runs of a case, from k = 1; `None` for other
    /// metrics than `passed`.
    pub pass_hat_k: Option<Vec<f64>>,
}

/// Runs that are no evidence.
#[derive(Debug, Clone, Serialize)]
pub struct NotRunSummary {
    /// The name of the suite.
    pub suite: String,
    /// The name of the release.
    pub release: String,
    /// The reason.
    pub reason: NotRun,
    /// The number of runs.
    pub n: u64,
}

/// A comparison of a candidate with a baseline.
#[derive(Debug, Clone, Serialize)]
pub struct ComparisonSummary {
    /// The name of the baseline.
    pub baseline: String,
    /// The name of the candidate.
    pub candidate: String,
    /// The good direction of the metric.
    pub better: Better,
    /// How the error level follows from that of all comparisons of the metric.
    pub correction: FamilyMethod,
    /// The comparison.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// The slices of one metric, of a candidate and its baseline.
#[derive(Debug, Clone, Serialize)]
pub struct SliceSummary {
    /// The name of the suite.
    pub suite: String,
    /// The name of the metric.
    pub metric: String,
    /// The name of the baseline.
    pub baseline: String,
    /// The name of the candidate.
    pub candidate: String,
    /// The slices by one column.
    #[serde(flatten)]
    pub study: SliceStudy,
}

/// The ranking of all releases by one metric.
#[derive(Debug, Clone, Serialize)]
pub struct Ranking {
    /// The name of the suite.
    pub suite: String,
    /// The name of the metric.
    pub metric: String,
    /// The places, best mean first.
    pub places: Vec<RankedRelease>,
}

/// A release in a ranking.
#[derive(Debug, Clone, Serialize)]
pub struct RankedRelease {
    /// The name of the release.
    pub release: String,
    /// Its place.
    #[serde(flatten)]
    pub place: Place,
}

/// The survey of one or several releases.
#[derive(Debug, Clone, Serialize)]
pub struct EvalSurvey {
    /// The names of the releases, the baseline first.
    pub releases: Vec<String>,
    /// The error level of the intervals of one metric, over all candidates.
    pub alpha: f64,
    /// How cases were matched. Empty without a baseline.
    pub matching: Vec<Matching>,
    /// Runs that are no evidence.
    pub not_run: Vec<NotRunSummary>,
    /// The metrics of each release.
    pub metrics: Vec<MetricSummary>,
    /// The comparisons. Empty without a baseline.
    pub comparisons: Vec<ComparisonSummary>,
    /// The slices. Empty without a baseline or without columns of slices.
    pub slices: Vec<SliceSummary>,
    /// The rankings. Empty with fewer than two candidates.
    pub rankings: Vec<Ranking>,
}

/// Surveys releases. With `has_baseline`, the first one is the baseline of the others.
pub fn survey(releases: &[ReleaseRows<'_>], has_baseline: bool, options: &SurveyOptions) -> EvalSurvey {
    let rows: Vec<_> = numbered(releases.iter().map(|release| &release.rows)).collect();
    let absent: Vec<_> = numbered(releases.iter().map(|release| &release.absent)).collect();
    let suites = suites(&rows, &absent, releases.len());
    let names: Vec<String> = releases.iter().map(|release| release.name.clone()).collect();
    let mut survey = EvalSurvey {
        matching: Vec::new(),
        not_run: Vec::new(),
        metrics: Vec::new(),
        comparisons: Vec::new(),
        slices: Vec::new(),
        rankings: Vec::new(),
        alpha: options.alpha,
        releases: names,
    };
    for suite in &suites {
        survey.add_suite(suite, has_baseline, options);
    }
    survey
}

fn numbered<'a, T: Copy + 'a>(lists: impl Iterator<Item = &'a Vec<T>>) -> impl Iterator<Item = (usize, T)> {
    lists
        .enumerate()
        .flat_map(|(number, list)| list.iter().map(move |item| (number, *item)))
}

impl EvalSurvey {
    fn add_suite(&mut self, suite: &Suite, has_baseline: bool, options: &SurveyOptions) {
        let n_releases = self.releases.len();
        if has_baseline {
            self.matching
                .extend((1..n_releases).map(|candidate| Matching::new(suite, &self.releases, candidate)));
        }
        for (release, counts) in self.releases.iter().zip(&suite.not_run) {
            self.not_run
                .extend(counts.iter().map(|(reason, n)| NotRunSummary {
                    suite: suite.name.to_string(),
                    release: release.clone(),
                    reason: *reason,
                    n: *n,
                }));
        }
        for (metric, value) in metrics(suite, n_releases) {
            for release in 0..n_releases {
                let summary = summary(
                    suite,
                    &metric,
                    &value,
                    (release, &self.releases[release]),
                    options.alpha,
                );
                self.metrics.extend(summary);
            }
            if has_baseline && has_runs(suite, 0) {
                self.compare(suite, &metric, &value, options);
            }
        }
    }

    fn compare(&mut self, suite: &Suite, metric: &str, value: &ValueOf, options: &SurveyOptions) {
        let n_releases = self.releases.len();
        let has = |list: &[String]| list.iter().any(|name| name == metric);
        let better = if has(&options.lower_is_better) {
            Better::Lower
        } else if has(&options.higher_is_better) {
            Better::Higher
        } else {
            better_of(metric)
        };
        let all = suite
            .cases
            .iter()
            .flat_map(|case| (0..n_releases).filter_map(|release| value(case, release)));
        let is_share = is_share(metric, all);
        let design = Design {
            better,
            margin: options.margins.of(metric, is_share),
            alpha: options.alpha,
            is_share,
            seed: 0,
            n_replicates: options.n_replicates,
            max_missing: options.max_missing,
        };
        let found = contest(suite, metric, value, (n_releases, options.is_all_pairs), &design);
        let method = found.method;
        let duels = found.duels.into_iter();
        let duels = duels.filter(|duel| has_runs(suite, duel.baseline) && has_runs(suite, duel.candidate));
        self.comparisons.extend(duels.map(|duel| ComparisonSummary {
            baseline: self.releases[duel.baseline].clone(),
            candidate: self.releases[duel.candidate].clone(),
            better,
            correction: method,
            comparison: duel.comparison,
        }));
        if n_releases > 2 {
            let places = ranking(suite, metric, value, n_releases, &design);
            let places = places.into_iter().map(|place| RankedRelease {
                release: self.releases[place.release].clone(),
                place,
            });
            self.rankings.push(Ranking {
                suite: suite.name.to_string(),
                metric: metric.to_owned(),
                places: places.collect(),
            });
        }
        // All columns and candidates together have the error level of one comparison.
        let n_families = options.by.len() * n_releases.saturating_sub(1);
        let design = Design {
            alpha: design.alpha / n_families.max(1) as f64,
            n_replicates: 0,
            ..design
        };
        for candidate in (1..n_releases).filter(|candidate| has_runs(suite, *candidate)) {
            for (idx, by) in options.by.iter().enumerate() {
                self.slices.push(SliceSummary {
                    suite: suite.name.to_string(),
                    metric: metric.to_owned(),
                    baseline: self.releases[0].clone(),
                    candidate: self.releases[candidate].clone(),
                    study: slices(suite, metric, value, ([0, candidate], (idx, by)), &design),
                });
            }
        }
    }
}

/// Whether a release has a run of the suite.
fn has_runs(suite: &Suite, release: usize) -> bool {
    suite.cases.iter().any(|case| case.arms[release].n_runs > 0)
}

/// Every metric that some case of a suite has.
fn metrics(suite: &Suite, n_releases: usize) -> Vec<(String, ValueOf)> {
    let names = COMMON_METRICS.into_iter().map(str::to_owned);
    let scores = suite.metrics.iter().map(|name| name.to_string());
    names
        .chain(scores.filter(|name| !COMMON_METRICS.contains(&name.as_str())))
        .filter_map(|name| {
            let value = value_of(suite, &name)?;
            let is_there = suite
                .cases
                .iter()
                .any(|case| (0..n_releases).any(|release| value(case, release).is_some()));
            is_there.then_some((name, value))
        })
        .collect()
}

/// One metric of a release: its mean over cases, clustered. `None` without a value.
fn summary(
    suite: &Suite,
    metric: &str,
    value: &ValueOf,
    (release, name): (usize, &str),
    alpha: f64,
) -> Option<MetricSummary> {
    let clusters = clusters_of(suite.cases.iter());
    let values: Vec<(f64, usize)> = suite
        .cases
        .iter()
        .zip(clusters)
        .filter_map(|(case, cluster)| Some((value(case, release)?, cluster)))
        .collect();
    let mean = single(&values)?;
    let runs = suite.cases.iter().map(|case| &case.arms[release]);
    let share = is_share(metric, values.iter().map(|(value, _)| *value));
    let interval = mean.interval(share, alpha).ok();
    Some(MetricSummary {
        release: name.to_owned(),
        suite: suite.name.to_string(),
        metric: metric.to_owned(),
        n_cases: values.len(),
        n_runs: runs.clone().map(|runs| u64::from(runs.n_runs)).sum(),
        n_errors: runs.map(|runs| u64::from(runs.n_errors)).sum(),
        n_clusters: mean.n_clusters,
        mean: mean.mean,
        std_error: mean.std_error,
        ci_lower: interval.map(|interval| interval.ci_lower),
        ci_upper: interval.map(|interval| interval.ci_upper),
        pass_hat_k: Some(metric)
            .filter(|metric| *metric == "passed")
            .and_then(|_| pass_hat(suite, release).ok()),
    })
}

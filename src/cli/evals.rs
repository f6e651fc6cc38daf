//! `sluice evals`: evaluation results of one release, or of two on the same cases.

use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

use crate::base::error::Result;
use crate::base::json;
use crate::base::number::{count, number, p_value};
use crate::cli::source_args::SourceArgs;
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::values::parse_allowed;
use crate::metric::Better;
use crate::release::evals;
use crate::release::evals::{Comparison, Design, EvalTable, Suite};
use crate::scenario::AllowedColumn;

/// Summarize evaluation results, and compare two releases on the same cases
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/evals.txt"))]
pub(super) struct EvalsArgs {
    /// Results: a file, a folder or a glob
    #[arg(value_name = "PATH")]
    results: PathBuf,
    /// Results of the release before, on the same cases
    #[arg(long, value_name = "PATH")]
    baseline: Option<PathBuf>,
    /// Largest decrease that is allowed
    #[arg(long, value_name = "X", default_value_t = 0.02, requires = "baseline")]
    margin: f64,
    /// Metrics with lower values as better ones; repeatable
    #[arg(long, value_name = "METRIC")]
    lower_is_better: Vec<String>,
    #[command(flatten)]
    source: SourceArgs,
    /// A column whose name contains a sensitive attribute and that may be used all the same, with
    /// the reason; repeatable
    #[arg(long = "allow-column", value_name = "COLUMN=REASON", value_parser = parse_allowed)]
    allowed: Vec<AllowedColumn>,
    /// Error rate of the intervals
    #[arg(long, value_name = "ALPHA", default_value_t = 0.05)]
    alpha: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EvalsArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("evals");
    if !(args.alpha > 0.0 && args.alpha < 0.5) {
        return Err(crate::base::error::Error::usage(format!(
            "expected --alpha in 0..0.5, found {}",
            args.alpha
        )));
    }
    if !(args.margin > 0.0 && args.margin.is_finite()) {
        return Err(crate::base::error::Error::usage(format!(
            "expected --margin above 0, found {}",
            args.margin
        )));
    }
    let read = |path: &PathBuf| evals::read_evals(&args.source.source(path, &args.allowed)?, false);
    let table = read(&args.results)?;
    let before = args.baseline.as_ref().map(read).transpose()?;
    let rows = |table: &EvalTable, arm: usize| {
        table
            .rows
            .iter()
            .map(|row| (arm, row.clone()))
            .collect::<Vec<_>>()
    };
    let mut all = rows(&table, 1);
    all.extend(before.iter().flat_map(|table| rows(table, 0)));
    let suites = evals::suites(all.iter().map(|(arm, row)| (*arm, row)));
    let (mut found, mut comparisons) = (Vec::new(), Vec::new());
    for suite in &suites {
        for (metric, value) in metrics(suite) {
            found.extend(one(suite, &metric, &*value, args.alpha));
            if before.is_some() {
                let better = if args.lower_is_better.contains(&metric)
                    || ["cost_usd", "latency_ms"].contains(&metric.as_str())
                {
                    Better::Lower
                } else {
                    Better::Higher
                };
                let is_share = evals::is_share(
                    &metric,
                    suite
                        .cases
                        .iter()
                        .flat_map(|case| [value(case, 0), value(case, 1)])
                        .flatten(),
                );
                let design = Design {
                    better,
                    margin: args.margin,
                    alpha: args.alpha,
                    is_share,
                    seed: 0,
                    n_replicates: evals::REPLICATES,
                };
                comparisons.push(evals::compare(suite, &metric, &*value, &design));
            }
        }
    }
    if args.json {
        print_json(&json::to_json(
            &json!({"sources": table.sources, "metrics": found, "comparisons": comparisons}),
        ))?;
    } else {
        terminal.print(&text(&found, &comparisons, terminal))?;
    }
    Ok(DONE)
}

/// Every metric that some case of a suite has.
fn metrics(suite: &Suite) -> Vec<(String, evals::ValueOf)> {
    let names = ["passed", "cost_usd", "latency_ms"]
        .into_iter()
        .map(str::to_owned)
        .chain(suite.metrics.iter().map(|name| name.to_string()));
    names
        .filter_map(|name| {
            let value = evals::value_of(suite, &name)?;
            let is_there = suite
                .cases
                .iter()
                .any(|case| [0, 1].iter().any(|arm| value(case, *arm).is_some()));
            is_there.then_some((name, value))
        })
        .collect()
}

/// One metric of the release: its mean over cases, clustered.
fn one(
    suite: &Suite,
    metric: &str,
    value: &dyn Fn(&evals::Case, usize) -> Option<f64>,
    alpha: f64,
) -> Option<Value> {
    let clusters = evals::clusters_of(suite.cases.iter());
    let values: Vec<(f64, usize)> = suite
        .cases
        .iter()
        .zip(clusters)
        .filter_map(|(case, cluster)| Some((value(case, 1)?, cluster)))
        .collect();
    let mean = evals::single(&values)?;
    let n_runs: u64 = suite
        .cases
        .iter()
        .map(|case| u64::from(case.arms[1].n_runs))
        .sum();
    let n_errors: u64 = suite
        .cases
        .iter()
        .map(|case| u64::from(case.arms[1].n_errors))
        .sum();
    let interval = mean
        .interval(
            evals::is_share(metric, values.iter().map(|(value, _)| *value)),
            alpha,
        )
        .ok();
    let pass_hat = if metric == "passed" {
        evals::pass_hat(suite, 1).ok()
    } else {
        None
    };
    Some(json!({
        "suite": *suite.name, "metric": metric, "n_cases": values.len(), "n_runs": n_runs, "n_errors": n_errors, "n_clusters": mean.n_clusters,
        "mean": mean.mean, "std_error": mean.std_error, "ci_lower": interval.map(|interval| interval.ci_lower), "ci_upper": interval.map(|interval| interval.ci_upper),
        "pass_hat_k": pass_hat,
    }))
}

fn text(found: &[Value], comparisons: &[Comparison], terminal: &Terminal) -> String {
    let show = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), number);
    let mut table = Table::new([
        column("suite"),
        column("metric"),
        column("cases").right(),
        column("runs").right().rank(2),
        column("errors").right().rank(1),
        column("clusters").right().wide(),
        column("mean").right(),
        column("interval"),
        column("pass^k").wide(),
    ]);
    for row in found {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let interval = if row["ci_lower"].is_number() {
            format!("[{}, {}]", show(&row["ci_lower"]), show(&row["ci_upper"]))
        } else {
            "-".into()
        };
        let pass_hat = row["pass_hat_k"].as_array().map_or_else(String::new, |by_k| {
            by_k.iter().take(8).map(show).collect::<Vec<_>>().join(" ")
        });
        let counts = ["n_cases", "n_runs", "n_errors", "n_clusters"]
            .map(|key| count(row[key].as_u64().unwrap_or_default()));
        table.add_row([word("suite"), word("metric")].into_iter().chain(counts).chain([
            show(&row["mean"]),
            interval,
            pass_hat,
        ]));
    }
    let mut text = table.render(terminal);
    if !comparisons.is_empty() {
        let has_suites = comparisons.iter().any(|c| c.suite != comparisons[0].suite);
        let mut table = Table::new([
            if has_suites {
                column("suite")
            } else {
                column("suite").wide()
            },
            column("metric"),
            column("pairs").right().rank(2),
            column("before").right(),
            column("now").right(),
            column("difference").right(),
            column("interval"),
            column("p").right().rank(3),
            column("better").right().wide(),
            column("worse").right().wide(),
            column("verdict"),
        ]);
        for c in comparisons {
            let interval = c.interval.value().map_or_else(
                || "-".to_owned(),
                |i| format!("[{}, {}]", number(i.ci_lower), number(i.ci_upper)),
            );
            let p = c
                .test
                .value()
                .map_or_else(|| "-".to_owned(), |test| p_value(test.p_value()));
            let verdict = c.verdict.map_or_else(
                || "-".to_owned(),
                |verdict| json!(verdict).as_str().unwrap_or_default().to_owned(),
            );
            let numbers = [c.means[0], c.means[1], c.difference].map(number);
            let mut row = vec![c.suite.clone(), c.metric.clone(), count(c.n_pairs as u64)];
            row.extend(numbers);
            row.extend([interval, p, c.n_gained.to_string(), c.n_lost.to_string(), verdict]);
            table.add_row(row);
        }
        text.push_str(&format!("\n{}", table.render(terminal)));
    }
    text
}

//! `sluice evals`: evaluation results of one release, or of several on the same cases.

use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::number::first_of;
use crate::base::similar;
use crate::cli::evals_text;
use crate::cli::format_args::FormatArgs;
use crate::cli::source_args::SourceArgs;
use crate::cli::terminal::{DONE, Terminal, print_json};
use crate::cli::values::parse_allowed;
use crate::pipeline;
use crate::release::evals;
use crate::release::evals::{EvalTable, Margin, Margins, ReadOptions, ReleaseRows, SurveyOptions};
use crate::scenario::{AllowedColumn, SensitiveRule};

/// Summarize evaluation results, and compare releases on the same cases
#[derive(Debug, Args)]
#[command(after_help = include_str!("help/evals.txt"))]
pub(super) struct EvalsArgs {
    /// Results of one or several releases: a file, a folder or a glob
    #[arg(value_name = "PATH", required_unless_present = "candidates")]
    results: Option<PathBuf>,
    /// The release before, on the same cases: its results, or its name in PATH
    #[arg(long, value_name = "PATH|RELEASE")]
    baseline: Option<PathBuf>,
    /// A release to compare with the baseline: its results, or its name in PATH; repeatable. By
    /// default all releases of PATH but the baseline
    #[arg(long = "candidate", value_name = "PATH|RELEASE", requires = "baseline")]
    candidates: Vec<PathBuf>,
    /// Largest harm that is allowed: a number in the unit of the metric, or a percentage of the
    /// baseline's mean, for all metrics or for one; repeatable [default: 0.02, cost_usd=5%,
    /// latency_ms=10%, tokens=5%]
    #[arg(long = "margin", value_name = "[METRIC=]X", value_parser = parse_margin, requires = "baseline")]
    margins: Vec<(String, Margin)>,
    /// Compare the slices of cases with the same value of this column, metadata or variable;
    /// repeatable
    #[arg(long = "by", value_name = "NAME", requires = "baseline")]
    by: Vec<String>,
    /// Compare all pairs of releases, not only the candidates with the baseline
    #[arg(long, requires = "baseline")]
    pairwise: bool,
    /// Metrics with lower values as better ones; repeatable
    #[arg(long, value_name = "METRIC")]
    lower_is_better: Vec<String>,
    /// Metrics with higher values as better ones, whatever their names say; repeatable
    #[arg(long, value_name = "METRIC")]
    higher_is_better: Vec<String>,
    /// Largest share of runs without a result for which a metric can be safe
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    max_missing: f64,
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
    #[command(flatten)]
    format: FormatArgs,
}

impl EvalsArgs {
    /// The name of a release whose rows name none: that of its file, if no other file has it.
    fn label(&self, path: &Path) -> String {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let paths = self.results.iter().chain(&self.baseline).chain(&self.candidates);
        let n_same = paths.filter(|other| name(other) == name(path)).count();
        let name = name(path).filter(|_| n_same == 1);
        name.unwrap_or_else(|| path.display().to_string())
    }
}

/// A margin, from `X` or `METRIC=X`.
fn parse_margin(text: &str) -> Result<(String, Margin), String> {
    let (metric, margin) = text.rsplit_once('=').unwrap_or(("default", text));
    if metric.trim().is_empty() {
        return Err("expected [METRIC=]X, such as 0.02 or cost_usd=5%".to_owned());
    }
    Ok((metric.trim().to_owned(), Margin::parse(margin)?))
}

/// Results with the name of the release of rows that name none.
struct Results {
    label: String,
    table: EvalTable,
}

pub(super) fn run(args: &EvalsArgs, terminal: &Terminal) -> Result<u8> {
    let _stage = terminal.progress().stage("evals");
    check(args)?;
    let options = ReadOptions {
        with_outputs: false,
        by: args.by.clone(),
    };
    let read = |path: &Path| -> Result<Results> {
        Ok(Results {
            label: args.label(path),
            table: evals::read_evals(&args.source.source(path, &args.allowed)?, &options)?,
        })
    };
    let results = args.results.as_deref().map(read).transpose()?;
    let shared = results.as_ref().map_or_else(Vec::new, |results| {
        evals::releases(&results.table, &results.label)
    });
    // Names of releases come before paths.
    let is_name = |text: &Path| shared.iter().any(|release| Path::new(&release.name) == text);
    let named = args.baseline.iter().chain(&args.candidates);
    let mut others: Vec<(&PathBuf, Results)> = Vec::new();
    for text in named.filter(|text| !is_name(text)) {
        if !text.exists() && args.results.is_some() && !is_pattern(text) {
            return Err(unknown(text, &shared));
        }
        others.push((text, read(text)?));
    }
    let find = |text: &PathBuf| -> Result<Vec<ReleaseRows<'_>>> {
        if let Some(release) = shared.iter().find(|release| Path::new(&release.name) == text) {
            return Ok(vec![release.clone()]);
        }
        let results = others.iter().find(|(path, _)| *path == text);
        Ok(results.map_or_else(Vec::new, |(_, results)| {
            evals::releases(&results.table, &results.label)
        }))
    };
    let mut releases: Vec<ReleaseRows<'_>> = Vec::new();
    if let Some(text) = &args.baseline {
        releases.extend(one(find(text)?, text)?);
    }
    if args.candidates.is_empty() {
        let is_baseline = |release: &ReleaseRows<'_>| {
            args.baseline.as_deref().is_some_and(is_name) && releases[0].name == release.name
        };
        let candidates: Vec<_> = shared
            .iter()
            .filter(|release| !is_baseline(release))
            .cloned()
            .collect();
        releases.extend(candidates);
    }
    for text in &args.candidates {
        releases.extend(find(text)?);
    }
    if args.baseline.is_some() && releases.len() < 2 {
        let found = first_of(&[releases[0].name.clone()], 1, ", ");
        return Err(Error::usage(format!(
            "expected at least one release beside the baseline, found only {found}"
        )));
    }
    check_attributes(&args.by, &releases)?;
    distinguish(&mut releases);
    let survey = evals::survey(&releases, args.baseline.is_some(), &survey_options(args));
    let tables = results.iter().chain(others.iter().map(|(_, results)| results));
    if args.format.is_given() {
        let files: Vec<&Path> = match others.iter().map(|(path, _)| path.as_path()).collect::<Vec<_>>() {
            _ if args.candidates.is_empty() => args.results.iter().map(PathBuf::as_path).collect(),
            files => files,
        };
        args.format
            .print(&pipeline::from_evals(&survey, &files), terminal)?;
    } else if args.json {
        let mut document = json!(survey);
        let sources: Vec<_> = tables.flat_map(|results| &results.table.sources).collect();
        document["sources"] = json!(sources);
        print_json(&json::to_json(&document))?;
    } else {
        terminal.print(&evals_text::text(&survey, terminal))?;
    }
    Ok(DONE)
}

fn survey_options(args: &EvalsArgs) -> SurveyOptions {
    SurveyOptions {
        margins: Margins::default().with(args.margins.clone()),
        alpha: args.alpha,
        max_missing: args.max_missing,
        lower_is_better: args.lower_is_better.clone(),
        higher_is_better: args.higher_is_better.clone(),
        by: args.by.clone(),
        is_all_pairs: args.pairwise,
        n_replicates: evals::REPLICATES,
    }
}

fn check(args: &EvalsArgs) -> Result<()> {
    if !(args.alpha > 0.0 && args.alpha < 0.5) {
        let found = args.alpha;
        return Err(Error::usage(format!("expected --alpha in 0..0.5, found {found}")));
    }
    if !(0.0..=1.0).contains(&args.max_missing) {
        let found = args.max_missing;
        return Err(Error::usage(format!(
            "expected --max-missing in 0..=1, found {found}"
        )));
    }
    let rule = SensitiveRule {
        words: Vec::new(),
        allowed: args.allowed.clone(),
    };
    for by in &args.by {
        rule.check_named("by", by).map_err(|problem| {
            Error::usage(format!("--by {by}: {}", problem.message)).hint(problem.hint.unwrap_or_default())
        })?;
    }
    Ok(())
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

/// The only release of the results of a baseline.
fn one<'a>(mut found: Vec<ReleaseRows<'a>>, text: &Path) -> Result<Option<ReleaseRows<'a>>> {
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|release| release.name.as_str()).collect();
        return Err(Error::input(
            text.display().to_string(),
            format!(
                "expected the results of one release as baseline, found {}: {}",
                found.len(),
                first_of(&names, 5, ", ")
            ),
        )
        .hint(
            "put all results into one folder, and name the baseline: sluice evals FOLDER --baseline NAME",
        ));
    }
    Ok(found.pop())
}

fn unknown(text: &Path, releases: &[ReleaseRows<'_>]) -> Error {
    let names: Vec<&str> = releases.iter().map(|release| release.name.as_str()).collect();
    let text = text.to_string_lossy();
    let error = Error::usage(format!(
        "expected a file or a release of the results, found {text}; the releases are {}",
        first_of(&names, 5, ", ")
    ));
    match similar::nearest(&text, names.iter().copied()) {
        Some(name) => error.hint(format!("did you mean {name}?")),
        None => error,
    }
}

/// Checks that some row has each column of slices.
fn check_attributes(by: &[String], releases: &[ReleaseRows<'_>]) -> Result<()> {
    for (idx, name) in by.iter().enumerate() {
        let mut rows = releases.iter().flat_map(|release| &release.rows);
        if !rows.any(|row| row.attributes.get(idx).is_some_and(Option::is_some)) {
            return Err(Error::usage(format!(
                "expected a column, metadata or a variable of cases for --by, found no result with `{name}`"
            ))
            .hint("--by names a column of a table, or a key of metadata or variables, such as language"));
        }
    }
    Ok(())
}

/// Gives releases with the same name different ones, by their order.
fn distinguish(releases: &mut [ReleaseRows<'_>]) {
    for idx in 1..releases.len() {
        let n_before = releases[..idx]
            .iter()
            .filter(|release| release.name == releases[idx].name)
            .count();
        if n_before > 0 {
            releases[idx].name = format!("{} ({})", releases[idx].name, n_before + 1);
        }
    }
}

//! Tests of evaluation results of other tools, and of paired comparisons.

use sluice::metric::Better;
use sluice::release::evals;
use sluice::release::evals::{CaseOutcome, Correction, Design, EvalFormat, EvalRow, EvalTable, Margin};
use sluice::scenario::Source;
use std::{collections::BTreeMap, fs, path::Path};

use crate::support::{root, text};

fn read(path: &Path) -> Result<EvalTable, sluice::base::error::Error> {
    let options = evals::ReadOptions {
        with_outputs: true,
        by: Vec::new(),
    };
    evals::read_evals(&Source::at(path), &options)
}

fn suites_of<'a>(rows: impl Iterator<Item = (usize, &'a EvalRow)>) -> Vec<evals::Suite> {
    evals::suites(&rows.collect::<Vec<_>>(), &[], 2)
}

fn sample(name: &str) -> EvalTable {
    read(&root().join("tests/samples").join(name)).unwrap()
}

fn score(row: &EvalRow, name: &str) -> Option<f64> {
    row.scores
        .iter()
        .find(|(metric, _)| &**metric == name)
        .map(|(_, value)| *value)
}

fn outcomes(table: &EvalTable) -> Vec<CaseOutcome> {
    table.rows.iter().map(|row| row.outcome).collect()
}

#[test]
fn promptfoo_documents_and_lines_are_one() {
    for name in ["results", "redteam_repeat"] {
        let (document, lines) = (
            sample(&format!("promptfoo/{name}.json")),
            sample(&format!("promptfoo/{name}.jsonl")),
        );
        assert_eq!(document.rows, lines.rows);
        assert_eq!(
            (document.sources[0].1, lines.sources[0].1),
            (EvalFormat::Promptfoo, EvalFormat::Promptfoo)
        );
    }
    let golden = sample("promptfoo/results.json");
    assert_eq!(golden.rows.len(), 6);
    let failed: Vec<_> = golden
        .rows
        .iter()
        .filter(|row| row.outcome == CaseOutcome::Failed)
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (
            failed[0].case_id(),
            failed[0].prompt.as_deref(),
            &*failed[0].suite
        ),
        ("case-002", Some("cs_main@7"), "golden")
    );
    assert!(
        failed[0]
            .output
            .as_deref()
            .unwrap()
            .contains("guaranteed compensation")
    );
    assert_eq!(score(failed[0], "forbidden_substrings"), Some(0.0));

    // Repeats have no number in this file, so they are runs of one case. A broken run is neither a
    // defense nor a success.
    let attacks = sample("promptfoo/redteam_repeat.json");
    let suites = suites_of(attacks.rows.iter().map(|row| (1, row)));
    let names: Vec<(&str, usize)> = suites
        .iter()
        .map(|suite| (&*suite.name, suite.cases.len()))
        .collect();
    assert_eq!(names, [("golden", 1), ("injection", 3)]);
    let counts: BTreeMap<&str, (u32, f64, u32)> = suites[1]
        .cases
        .iter()
        .map(|case| {
            (
                case.cluster.as_deref().unwrap(),
                (
                    case.arms[1].passed.n,
                    case.arms[1].passed.sum,
                    case.arms[1].n_errors,
                ),
            )
        })
        .collect();
    assert_eq!(counts["indirect-prompt-injection"], (3, 3.0, 0));
    assert_eq!(counts["prompt-extraction"], (3, 2.0, 0));
    assert_eq!(counts["hijacking"], (0, 0.0, 3));
}

/// Tests that Sluice computes the accuracy and the standard error that Inspect prints, from the
/// rows of Inspect.
#[test]
fn inspect_archives_and_documents_are_one_with_inspect_s_own_errors() {
    let archive = sample("inspect/2026-11-21T18-45-04-00-00_golden-cs_nbWXpkMXzatzRCFAj4FG7j.eval");
    let document = sample("inspect/2026-11-21T18-45-05-00-00_golden-cs_k5j4oYrQvMBWDPJy7zfTUe.json");
    let but_time = |table: &EvalTable| -> Vec<EvalRow> {
        table
            .rows
            .iter()
            .map(|row| EvalRow {
                latency_ms: None,
                repeat: None,
                ..row.clone()
            })
            .collect()
    };
    let (mut a, mut b) = (but_time(&archive), but_time(&document));
    let key = |row: &EvalRow| (row.case_id().to_owned(), row.output.as_deref().map(str::to_owned));
    a.sort_by_key(key);
    b.sort_by_key(key);
    assert_eq!(a, b);
    assert_eq!(archive.rows.len(), 8);
    let row = &archive.rows[0];
    assert_eq!(
        (
            row.release.as_deref(),
            row.prompt.as_deref(),
            row.cluster.as_deref()
        ),
        (Some("rel_2026_05_28_001"), Some("cs_main@7"), Some("refund"))
    );
    assert_eq!(row.tokens, Some([100, 10]));

    let suites = suites_of(archive.rows.iter().map(|row| (1, row)));
    let suite = &suites[0];
    let check = |metric: &str, clustered: bool, mean: f64, std_error: f64| {
        let idx = suite.metrics.iter().position(|name| &**name == metric).unwrap();
        let clusters = if clustered {
            evals::clusters_of(suite.cases.iter())
        } else {
            (0..suite.cases.len()).collect()
        };
        let values: Vec<(f64, usize)> = suite
            .cases
            .iter()
            .zip(clusters)
            .map(|(case, cluster)| (case.arms[1].scores[idx].mean().unwrap(), cluster))
            .collect();
        let found = evals::single(&values).unwrap();
        assert!((found.mean - mean).abs() < 1e-15, "{metric}");
        assert!(
            (found.std_error.result().unwrap() - std_error).abs() < 1e-13,
            "{metric}: {found:?}"
        );
    };
    check("match_c", true, 0.375, 0.143_205_490_467_37);
    check("injection_resisted", false, 0.875, 0.125);
}

#[test]
fn the_other_tools_are_read() {
    let deepeval = sample("deepeval/test_run_20261121_185751.json");
    assert_eq!(
        outcomes(&deepeval),
        [CaseOutcome::Passed, CaseOutcome::Failed, CaseOutcome::Passed]
    );
    let row = &deepeval.rows[1];
    assert_eq!(
        (score(row, "faithfulness"), row.cost_usd, row.latency_ms),
        (Some(0.25), Some(0.0004), Some(2_800.0))
    );
    assert_eq!(
        (row.run.as_deref(), row.prompt.as_deref()),
        (Some("rel_2026_05_28_001"), Some("cs_main@7"))
    );

    let lm_eval = sample("lm_eval/samples_golden_cs_2026-05-28T00-00-00.000000.jsonl");
    assert_eq!(
        outcomes(&lm_eval),
        [CaseOutcome::Passed, CaseOutcome::Failed, CaseOutcome::Passed]
    );
    assert_eq!(
        (&*lm_eval.rows[1].suite, score(&lm_eval.rows[1], "exact_match")),
        ("golden_cs", Some(0.0))
    );
    let error = read(&root().join("tests/samples/lm_eval/results_2026-05-28T00-00-00.000000.json"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("samples_<task>"), "{error}");

    let openai = sample("openai_evals/260528000000ABCDEFGH_gpt-4o-mini_golden-cs.jsonl");
    assert_eq!(
        outcomes(&openai),
        [CaseOutcome::Passed, CaseOutcome::Failed, CaseOutcome::Passed]
    );
    assert_eq!(
        (openai.rows[1].output.as_deref(), openai.rows[1].model.as_deref()),
        (Some("30 days"), Some("gpt-4o-mini-2025-11"))
    );

    // A judge that failed gives a missing score, not a score of 0.
    let ragas = sample("ragas/experiments/rel_2026_05_28_001.jsonl");
    let faithfulness: Vec<Option<f64>> = ragas.rows.iter().map(|row| score(row, "faithfulness")).collect();
    assert_eq!(faithfulness, [Some(1.0), Some(0.5), None]);
    assert_eq!(ragas.rows[0].run.as_deref(), Some("rel_2026_05_28_001"));

    let mlflow = sample("mlflow/traces.jsonl");
    let prompts: Vec<Option<&str>> = mlflow.rows.iter().map(|row| row.prompt.as_deref()).collect();
    assert_eq!(prompts, [Some("cs_main@6"), Some("cs_main@7")]);
    assert_eq!(outcomes(&mlflow), [CaseOutcome::Passed, CaseOutcome::Failed]);
    assert_eq!(
        (mlflow.rows[0].cost_usd, mlflow.rows[0].tokens),
        (Some(0.000_207), Some([900, 120]))
    );
    // Rows with the same question are runs of one case.
    assert_eq!(mlflow.rows[0].asked, mlflow.rows[1].asked);
}

#[test]
fn hostile_results_are_refused_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| -> String {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = read(&path).expect_err(name).to_string();
        assert!(error.contains(name), "{error}");
        error
    };
    refused("empty.json", b"");
    refused("list.json", b"[]");
    refused("other.json", b"{\"a\": 1}");
    refused(
        "none.json",
        b"{\"evalId\": \"e\", \"results\": {\"results\": []}, \"config\": {}}",
    );
    refused(
        "deep.json",
        format!("{{\"testCases\": {}", "[".repeat(100_000)).as_bytes(),
    );
    refused("empty.csv", b"");
    refused("no_outcome.csv", b"case_id,x\na,1\n");
    refused("half.csv", b"case_id,passed\na,perhaps\n");
    let line = refused(
        "cut.jsonl",
        b"{\"case_id\": \"a\", \"passed\": true}\n{\"case_id\": \"b\"",
    );
    assert!(line.contains("line 2"), "{line}");
    refused("not.eval", b"PK nothing of the kind");

    // An archive member that declares a small size and holds a gigabyte of blanks in a megabyte.
    let path = folder.path().join("bomb.eval");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Zstd);
    archive.start_file("header.json", options).unwrap();
    let blanks = vec![b' '; 1 << 24];
    for _ in 0..65 {
        std::io::Write::write_all(&mut archive, &blanks).unwrap();
    }
    archive.finish().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("expected at most"), "{error}");
}

/// Tests that a plain table gives the same rows as CSV and as NDJSON.
#[test]
fn plain_tables_of_every_format_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "case_id,release_id,passed,error,score_f,cost_usd,output\na,r,true,,0.5,0.001,yes\nb,r,0,,,0.002,\nc,r,,timeout,,,\nd,r,,,0.25,,\n";
    let ndjson = "{\"case_id\":\"a\",\"release_id\":\"r\",\"passed\":true,\"score_f\":0.5,\"cost_usd\":0.001,\"output\":\"yes\"}\n{\"case_id\":\"b\",\"release_id\":\"r\",\"passed\":0,\"cost_usd\":0.002}\n\
                  {\"case_id\":\"c\",\"release_id\":\"r\",\"error\":\"timeout\"}\n{\"case_id\":\"d\",\"release_id\":\"r\",\"score_f\":0.25}\n";
    fs::write(folder.path().join("t.csv"), csv).unwrap();
    fs::write(folder.path().join("t.ndjson"), ndjson).unwrap();
    let (a, b) = (
        read(&folder.path().join("t.csv")).unwrap(),
        read(&folder.path().join("t.ndjson")).unwrap(),
    );
    assert_eq!(a.rows, b.rows);
    assert_eq!(
        outcomes(&a),
        [
            CaseOutcome::Passed,
            CaseOutcome::Failed,
            CaseOutcome::Error,
            CaseOutcome::Unrated
        ]
    );
    assert_eq!(read(folder.path()).unwrap().rows.len(), 8);
    assert!(text(folder.path()).len() > 1);
}

fn rows(
    n: usize,
    arm: usize,
    passed: impl Fn(usize) -> bool,
    cluster: Option<usize>,
) -> Vec<(usize, EvalRow)> {
    let row = |idx: usize| EvalRow {
        suite: "golden".into(),
        name: Some(format!("case-{idx:06}").into()),
        cluster: cluster.map(|size| format!("cluster-{}", idx / size).into()),
        outcome: if passed(idx) {
            CaseOutcome::Passed
        } else {
            CaseOutcome::Failed
        },
        ..EvalRow::default()
    };
    (0..n).map(|idx| (arm, row(idx))).collect()
}

fn compared(
    n: usize,
    before: impl Fn(usize) -> bool,
    after: impl Fn(usize) -> bool,
    cluster: Option<usize>,
) -> evals::Comparison {
    let all: Vec<(usize, EvalRow)> = rows(n, 0, before, cluster)
        .into_iter()
        .chain(rows(n, 1, after, cluster))
        .collect();
    let suites = suites_of(all.iter().map(|(arm, row)| (*arm, row)));
    let design = Design {
        better: Better::Higher,
        margin: Some(Margin::Absolute(0.02)),
        alpha: 0.05,
        is_share: true,
        seed: 0,
        n_replicates: 0,
        max_missing: 0.01,
    };
    evals::compare(
        &suites[0],
        "passed",
        &|case, arm| case.arms[arm].passed.mean(),
        [0, 1],
        &design,
    )
}

#[test]
fn pairs_are_tested_as_pairs() {
    // 3 lost and 12 gained: exact binomial test. The p-value for 15 fair coins is 2 * (1 + 15 + 105
    // + 455) / 2^15.
    let few = compared(200, |idx| idx >= 12, |idx| !(12..15).contains(&idx), None);
    let p = few.test.result().unwrap().p_value();
    assert!((p - 2.0 * 576.0 / 32_768.0).abs() < 1e-15, "{few:?}");
    assert_eq!((few.n_pairs, few.n_gained, few.n_lost), (200, 12, 3));
    assert_eq!(few.lost, ["case-000012", "case-000013", "case-000014"]);
    // 40 lost and 10 gained: chi-square with continuity correction, (|40 - 10| - 1)^2 / 50.
    let many = compared(1_000, |idx| idx >= 10, |idx| !(10..50).contains(&idx), None);
    let expected = sluice::stats::dist::chi2_sf(29.0 * 29.0 / 50.0, 1.0);
    assert!((many.test.result().unwrap().p_value() - expected).abs() < 1e-15);
    // No pair differs. 6 pairs cannot exclude a harm above the margin, 2,000 pairs can.
    let six = compared(6, |_| true, |_| true, None);
    assert_eq!(
        six.verdict,
        Some(sluice::stats::non_inferiority::HarmVerdict::Unclear)
    );
    assert_eq!(
        compared(2_000, |_| true, |_| true, None).verdict,
        Some(sluice::stats::non_inferiority::HarmVerdict::Safe)
    );
    assert!(compared(5, |_| true, |_| false, None).verdict.is_none());
    // Clusters of twenty cases that fail together hold a tenth of the evidence.
    let (alone, together) = (
        compared(400, |_| true, |idx| idx % 200 >= 20, None),
        compared(400, |_| true, |idx| idx % 200 >= 20, Some(20)),
    );
    let width = |c: &evals::Comparison| c.interval.result().map(|i| i.ci_upper - i.ci_lower).unwrap();
    assert!(
        width(&together) > 3.0 * width(&alone),
        "{} {}",
        width(&together),
        width(&alone)
    );
    assert_eq!(Correction::default(), Correction::Holm);
}

/// Intervals must contain the true difference, also where few pairs differ. The suites are
/// simulated, so the true difference is known.
#[test]
fn intervals_of_pairs_cover() {
    let mut state = 88_172_645_463_325_252_u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    for (n, lost, gained) in [
        (30, 0.02, 0.02),
        (100, 0.05, 0.01),
        (400, 0.01, 0.0),
        (400, 0.1, 0.1),
        (1_000, 0.002, 0.001),
    ] {
        let n_sets = 600;
        let covered = (0..n_sets)
            .filter(|_| {
                let draws: Vec<f64> = (0..n).map(|_| uniform()).collect();
                let found = compared(
                    n,
                    |idx| draws[idx] < 0.7 || draws[idx] >= 0.7 + gained,
                    |idx| draws[idx] >= lost,
                    None,
                );
                let interval = found.interval.result().unwrap();
                (interval.ci_lower..=interval.ci_upper).contains(&(gained - lost))
            })
            .count();
        let coverage = covered as f64 / f64::from(n_sets);
        assert!(
            coverage > 0.93,
            "{n} pairs, {lost} lost, {gained} gained: {coverage}"
        );
    }
}

/// Tests pass^k against its definition in tau-bench.
#[test]
fn pass_hat_k_of_repeats() {
    let mut all = Vec::new();
    for (case, wins) in [(0, 4), (1, 2), (2, 0)] {
        for run in 0..4 {
            all.extend(
                rows(3, 1, |_| run < wins, None)
                    .into_iter()
                    .filter(|(_, row)| row.case_id() == format!("case-{case:06}")),
            );
        }
    }
    let suites = suites_of(all.iter().map(|(arm, row)| (*arm, row)));
    let by_k = evals::pass_hat(&suites[0], 1).unwrap();
    let expected = [(1.0 + 0.5) / 3.0, (1.0 + 1.0 / 6.0) / 3.0, 1.0 / 3.0, 1.0 / 3.0];
    assert!(
        by_k.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15),
        "{by_k:?}"
    );
}

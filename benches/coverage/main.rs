//! Measures the coverage of 95 % intervals in simulation and prints a Markdown table:
//! `cargo bench --bench coverage -- [RUNS]`.

mod families;
mod looks;
mod sim;

use families::{Comparisons, METHODS, Outcome, World, counts};
use looks::{Population, QUANTITIES, false_alarms};
use sim::{Case, Measure, anytime_error, coverage};
use std::io::Write;

fn main() -> std::io::Result<()> {
    let n_runs: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(2_000);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| what | arm | users | turns up to | runs | Sluice | users as clusters | CR1, G - 1 | rows as independent |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    let case = |measure, share, n_users| Case {
        measure,
        share,
        n_users,
        most_turns: 1_000,
    };
    let light = |measure, share, n_users| Case {
        measure,
        share,
        n_users,
        most_turns: 20,
    };
    let mut cases: Vec<Case> = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]
        .map(|p| case(Measure::Rate(p), 0.5, 20_000))
        .into();
    cases.extend([0.01, 0.1, 0.5, 0.9].map(|p| case(Measure::Rate(p), 0.01, 200_000)));
    cases.extend([
        case(Measure::Cost, 0.5, 20_000),
        case(Measure::Cost, 0.01, 200_000),
    ]);
    cases.extend([0.1, 0.3, 1.0 / 3.0, 0.4].map(|bad| case(Measure::Qos(bad), 0.5, 20_000)));
    cases.extend([
        case(Measure::Qos(0.1), 0.01, 200_000),
        case(Measure::LatencyP95, 0.5, 20_000),
        case(Measure::LatencyP95, 0.01, 200_000),
    ]);
    cases.extend([0.01, 0.1, 0.5].map(|p| light(Measure::Rate(p), 0.01, 200_000)));
    cases.extend([0.1, 0.3, 1.0 / 3.0].map(|bad| light(Measure::Qos(bad), 0.5, 20_000)));
    cases.extend([
        light(Measure::LatencyP95, 0.5, 20_000),
        light(Measure::LatencyP95, 0.01, 200_000),
    ]);
    for (seed, case) in (1..).zip(cases) {
        let found = coverage(case, n_runs, seed);
        let share = |hits: usize, n: usize| {
            if n == 0 {
                "-".to_owned()
            } else {
                format!("{:.3}", hits as f64 / n as f64)
            }
        };
        writeln!(
            out,
            "| {:?} | {} % | {} | {} | {} | {} | {} | {} | {} |",
            case.measure,
            case.share * 100.0,
            case.n_users,
            case.most_turns,
            found.n,
            share(found.own, found.n),
            share(found.by_user, found.n_others),
            share(found.textbook, found.n_others),
            share(found.naive, found.n_others),
        )?;
        out.flush()?;
    }
    let error = anytime_error(500, 200, n_runs.min(1_000), 99);
    writeln!(
        out,
        "\nIntervals for every look, 500 looks at a growing log: {error:.3} of {} runs ever missed the truth.",
        n_runs.min(1_000)
    )?;
    let n_runs = n_runs.min(300);
    writeln!(
        out,
        "\nFalse alarms of {n_runs} runs: at any of N looks / at the last look as the only one.\n"
    )?;
    writeln!(
        out,
        "| users | arm | success | turns | looks | {} |",
        QUANTITIES.join(" | ")
    )?;
    writeln!(out, "|{}", "---|".repeat(5 + QUANTITIES.len()))?;
    let population = |n_users, share, success, is_heavy| Population {
        n_users,
        share,
        success,
        is_heavy,
    };
    let populations = [
        (population(6_000, 0.02, 0.97, true), 50),
        (population(3_000, 0.1, 0.9, true), 50),
        (population(3_000, 0.1, 0.97, false), 50),
        (population(4_000, 0.5, 0.995, true), 50),
        (population(20_000, 0.01, 0.95, true), 500),
    ];
    for (seed, (population, n_looks)) in (1..).zip(populations) {
        let found = false_alarms(population, n_looks, n_runs, seed);
        let share = |n: usize| format!("{:.3}", n as f64 / n_runs as f64);
        let cells = found.any.iter().zip(found.last);
        let cells: Vec<String> = cells
            .map(|(any, last)| format!("{} / {}", share(*any), share(last)))
            .collect();
        writeln!(
            out,
            "| {} | {} % | {} | {} | {n_looks} | {} |",
            population.n_users,
            population.share * 100.0,
            population.success,
            if population.is_heavy {
                "Pareto 1.3"
            } else {
                "about 5"
            },
            cells.join(" | "),
        )?;
        out.flush()?;
    }
    together(&mut out, n_runs)
}

/// Prints how often all intervals of several candidates, or slices, together contain the truth.
fn together(out: &mut impl Write, n_runs: usize) -> std::io::Result<()> {
    writeln!(
        out,
        "\nSeveral comparisons: all intervals contain the truth / any is violated / of all, safe. {n_runs} runs.\n"
    )?;
    writeln!(
        out,
        "| comparisons | cases | outcome | runs of a case | cases of a cluster | harm | margin | {} |",
        METHODS.join(" | ")
    )?;
    writeln!(out, "|{}", "---|".repeat(7 + METHODS.len()))?;
    for (seed, world) in (1..).zip(worlds()) {
        let share = |part: usize, n: usize| format!("{:.3}", part as f64 / n.max(1) as f64);
        let cells = counts(&world, n_runs, seed).map(|found| {
            let safe = share(found.n_safe, found.n_comparisons);
            let [covered, any] = [found.n_covered, found.n_any_violated].map(|n| share(n, n_runs));
            format!("{covered} / {any} / {safe}")
        });
        writeln!(
            out,
            "| {:?} | {} | {:?} | {} | {} | {} | {} | {} |",
            world.comparisons,
            world.n_cases,
            world.outcome,
            world.n_repeats,
            world.cluster_size,
            world.harm,
            world.margin,
            cells.join(" | "),
        )?;
        out.flush()?;
    }
    Ok(())
}

/// Candidates and slices with and without harm, over sizes, rates, repeats and clusters.
fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    let slices = |n, is_crossed| Comparisons::Slices { n, is_crossed };
    let kinds = [1, 2, 4, 8]
        .map(|n| (Comparisons::Candidates(n), 1, 1))
        .into_iter()
        .chain([
            (Comparisons::Candidates(4), 4, 1),
            (Comparisons::Candidates(4), 1, 5),
            (slices(2, false), 1, 1),
            (slices(5, false), 1, 1),
            (slices(10, false), 1, 1),
            (slices(20, false), 1, 1),
            (slices(5, false), 1, 5),
            (slices(5, true), 1, 5),
        ]);
    for (comparisons, n_repeats, cluster_size) in kinds {
        for n_cases in [30, 100, 400] {
            let outcomes = [0.02, 0.5, 0.9, 0.98].map(Outcome::Verdict);
            for outcome in outcomes.into_iter().chain([Outcome::Score(0.7)]) {
                let margin = if outcome == Outcome::Verdict(0.02) {
                    0.01
                } else {
                    0.05
                };
                for harm in [0.0, margin] {
                    worlds.push(World {
                        n_cases,
                        comparisons,
                        outcome,
                        n_repeats,
                        cluster_size,
                        harm,
                        margin,
                    });
                }
            }
        }
    }
    worlds
}

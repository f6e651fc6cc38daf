//! Tests of simulations and backtests: against exact integration, for equal results on any number
//! of threads, and against the log of the case study.

use serde_json::Value;
use std::fs;

use crate::support::{ecommerce, fails, ok, ok_json, root, text};

/// One layer with much traffic, so that its sums are normal, as the exact recursion assumes.
const ONE: &str = r#"
why = "one layer"
seed = 5
as_of = "2026-05-25"
[plan]
id = "one"
start = "2026-05-25"
baseline = "old"
candidate = "new"
[input]
users_from_traffic = true
traffic = [{ path = "none.csv" }]
[[layer]]
id = "all"
ladder = [0.05, 0.2, 1.0]
dwell_hours = 24
min_users = 100
qos_threshold = 0.5
[[guardrail]]
metric = "task_completion_rate"
margin = 0.02
[simulate]
runs = 4000
days = 20
[[simulate.layer]]
id = "all"
users = 400000
turns_per_user_day = 0.5
[[simulate.rate]]
metric = "availability"
value = 0.99
[[simulate.rate]]
metric = "latency_mean_ms"
value = 800
sd = 600
[[simulate.rate]]
metric = "tool_success_rate"
value = 0.97
[[simulate.rate]]
metric = "task_completion_rate"
value = 0.6
user_sd = 0.2
[[simulate.rate]]
metric = "bad_rate"
value = 0.08
share = 0.3
[[simulate.rate]]
metric = "complaint_rate"
value = 0.002
[[simulate.world]]
id = "none"
[[simulate.world]]
id = "bad"
effects = [{ metric = "task_completion_rate", effect = -0.01 }]
"#;

fn forecast(scenario: &str, args: &[&str]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ramp.toml");
    fs::write(&path, scenario).unwrap();
    let out = dir.path().join("out");
    let all = [&["simulate", text(&path), "--out", text(&out), "--json"], args].concat();
    let printed = ok(&all);
    assert_eq!(
        fs::read_to_string(out.join("forecast.json")).unwrap().trim(),
        printed.trim()
    );
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("unsafe-") && page.contains("default-src 'none'"));
    serde_json::from_str(&printed).unwrap()
}

fn plan<'a>(forecast: &'a Value, plan: &str, world: &str) -> &'a Value {
    let is_it = |found: &&Value| found["plan"] == plan && found["world"] == world;
    forecast["plans"].as_array().unwrap().iter().find(is_it).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn runs_agree_with_exact_integration() {
    let scenario =
        format!("{ONE}\n[[simulate.plan]]\nid = \"gates\"\ncontroller = \"group_sequential\"\nalpha = 0.1\n");
    let found = forecast(&scenario, &[]);
    // The same ramp for the calculator: the users who come in a day, and the variance of the mean
    // outcome of one user.
    let active = -(0.5_f64.ln()) / 7.0;
    let users = 400_000.0 * (1.0 - (-active).exp());
    let (rows, rows_a_visit) = (400_000.0 * 0.5, 0.5 / active);
    let sigma2 = users * (0.24 / rows + 0.04 * (1.0 / 400_000.0 + (rows_a_visit - 1.0) / rows));
    for (world, delta) in [("none", 0.0), ("bad", -0.01)] {
        let exact: Value = ok_json(&[
            "calc",
            "ramp",
            "--shares",
            "[0.05, 0.2]",
            "--n",
            &format!("[{users}, {users}]"),
            "--sigma2",
            &sigma2.to_string(),
            "--delta",
            &delta.to_string(),
            "--gate",
            "pocock",
            "--alpha",
            "0.1",
        ]);
        let run = plan(&found, "gates", world);
        let (p, error) = (
            number(&run["p_rollback"]["p"]),
            number(&run["p_rollback"]["mc_error"]),
        );
        let expected = number(&exact["p_rollback"]);
        assert!(
            (p - expected).abs() < 4.0 * error + 0.005,
            "{world}: run {p} +- {error}, exactly {expected}"
        );
        assert!(
            (0.02..0.98).contains(&expected),
            "a test that can fail: {expected}"
        );
    }
}

#[test]
fn sequential_policies_keep_their_error_and_others_do_not() {
    let variants = "[[simulate.plan]]\nid = \"every look\"\n[[simulate.plan]]\nid = \"one look\"\nsequential = \"fixed\"\n";
    // The dwell is longer than the simulation, so that every look is at the same stage, each hour
    // for twenty days.
    let scenario = format!("{ONE}\n{variants}")
        .replace("dwell_hours = 24", "dwell_hours = 1000")
        .replace("margin = 0.02", "margin = 0.003");
    let found = forecast(&scenario, &["--runs", "1000"]);
    let p = |plan_id: &str| number(&plan(&found, plan_id, "none")["p_rollback"]["p"]);
    assert!(
        p("every look") <= 0.05 + 3.0 * (0.05_f64 * 0.95 / 1000.0).sqrt(),
        "{}",
        p("every look")
    );
    assert!(p("one look") > 0.1, "{}", p("one look"));
    // A harmful candidate is found.
    assert!(number(&plan(&found, "every look", "bad")["p_rollback"]["p"]) > 0.95);
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let run = |threads: &str, out: &str| {
        let out = dir.path().join(out);
        ok(&[
            "--threads",
            threads,
            "simulate",
            "scenarios/ramp.toml",
            "--runs",
            "40",
            "--out",
            text(&out),
            "--optimize",
        ]);
        (
            fs::read(out.join("forecast.json")).unwrap(),
            fs::read(out.join("report.html")).unwrap(),
        )
    };
    assert!(run("1", "a") == run("2", "b"));
    let document: Value = serde_json::from_slice(&run("2", "a").0).unwrap();
    // The forecast reports contradictions of the reference policy
    // (docs/REFERENCE_POLICY.md#contradictions).
    let findings = document["findings"].to_string();
    assert!(
        findings.contains("The first step of Early adopters, 10%, reaches 50,000 users"),
        "{findings}"
    );
    let article = plan(&document, "article's rule", "day-4 fault");
    assert!(
        number(&article["cost"]["mean"]) > 2e7 && number(&article["p_rollback"]["p"]) < 0.1,
        "{article}"
    );
    let planned = plan(&document, "as planned", "day-4 fault");
    assert!(number(&planned["p_rollback"]["p"]) > 0.95 && number(&planned["cost"]["mean"]) < 1e5);
    // Every user of a harmful release counts, rolled back or not. No plan keeps the cap with a fault
    // of that size; the plan that respects it keeps it more often with a slight one.
    let over = |name: &str, world: &str| number(&plan(&document, name, world)["p_over_exposure_cap"]["p"]);
    assert!(over("as planned", "day-4 fault") > 0.95);
    assert!(over("under .1 %", "slightly worse") < over("as planned", "slightly worse"));
    assert!(plan(&document, "as planned", "nothing changes")["p_over_exposure_cap"].is_null());
    // A random choice for each request exposes more users than fixed buckets.
    assert!(number(&planned["users_exposed_by_coin"]["mean"]) > number(&planned["users_exposed"]["mean"]));
}

#[test]
fn an_optimal_schedule_keeps_its_promises_when_it_is_run() {
    let scenario = format!(
        "{ONE}\n[simulate.budget]\nmde = 0.01\nmax_false_rollback = 0.1\nmax_missed = 0.2\nmax_harm = 300\n"
    );
    let found = forecast(&scenario, &["--optimize", "--runs", "2000"]);
    let layer = &found["optimum"]["layers"][0];
    let chosen = &layer["chosen"];
    assert!(
        number(&chosen["p_false_rollback"]) <= 0.1 + 1e-9 && number(&chosen["p_missed"]) <= 0.2,
        "{layer}"
    );
    assert!(number(&chosen["expected_harm"]) <= 300.0);
    for pair in layer["front"].as_array().unwrap().windows(2) {
        assert!(number(&pair[0]["hours_if_good"]) < number(&pair[1]["hours_if_good"]));
        assert!(number(&pair[0]["expected_harm"]) > number(&pair[1]["expected_harm"]));
    }
    let run = layer["finalists"]
        .as_array()
        .unwrap()
        .iter()
        .find(|run| run["controller"] == "group_sequential")
        .unwrap();
    assert_eq!(run["ladder"], chosen["ladder"]);
    for (promise, bound) in [("p_false_rollback", 0.1), ("p_missed", 0.2)] {
        assert!(
            number(&run[promise]["p"]) <= bound + 4.0 * number(&run[promise]["mc_error"]),
            "{promise}: {run}"
        );
    }
    // The printed scenario is simulated as it is and keeps the limits, too.
    let again = found["optimum"]["toml"].as_str().unwrap();
    assert!(again.contains(&format!("boundary = {}", chosen["boundary"])));
    let again = forecast(again, &["--runs", "2000"]);
    let bad = plan(&again, "one", "bad");
    assert_eq!(bad["controller"], "policy");
    assert!(
        number(&bad["p_full"]["p"]) <= 0.2 + 4.0 * number(&bad["p_full"]["mc_error"]),
        "{bad}"
    );
}

/// Where nothing can be decided, the answer names the nearest schedule and what holds it.
#[test]
fn what_no_schedule_can_decide_is_said() {
    let budget = "[simulate.budget]\nmax_false_rollback = 0.1\nmax_missed = 0.2\n";
    // A QoS threshold above the baseline's own value.
    let scenario = format!("{ONE}\n{budget}").replace("qos_threshold = 0.5", "qos_threshold = 0.99");
    let found = forecast(&scenario, &["--optimize", "--runs", "200"]);
    let layer = &found["optimum"]["layers"][0];
    assert!(layer["chosen"].is_null(), "{layer}");
    assert_eq!(layer["blocked_by"], "qos", "{layer}");
    let why = layer["why"].as_str().unwrap();
    assert!(why.contains("nearest") && why.contains("qos"), "{why}");
    let own = &found["optimum"]["under_policy"];
    assert_eq!(own["policy"], "anytime");
    assert!(
        own["layers"][0]["chosen"].is_null() && own["layers"][0]["nearest"]["blocked_by"] == "qos",
        "{own}"
    );
    // With a threshold that the candidate reaches, both policies have a schedule that finishes.
    let found = forecast(&format!("{ONE}\n{budget}"), &["--optimize", "--runs", "200"]);
    let optimum = &found["optimum"];
    assert!(!optimum["layers"][0]["chosen"].is_null(), "{optimum}");
    let chosen = &optimum["under_policy"]["layers"][0]["chosen"];
    assert!(number(&chosen["p_never_finishes"]["p"]) <= 0.1, "{optimum}");
    // Too few users for any step.
    let few = format!("{ONE}\n{budget}").replace("users = 400000", "users = 2000");
    let found = forecast(&few, &["--optimize", "--runs", "200"]);
    let why = found["optimum"]["under_policy"]["layers"][0]["why"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(why.contains("task completion rate"), "{why}");
}

#[test]
fn a_traced_run_tells_every_decision() {
    let args = [
        "simulate",
        "scenarios/ramp.toml",
        "--trace-run",
        "3",
        "--trace-plan",
        "as planned",
        "--trace-world",
        "day-4 fault",
    ];
    let lines: Vec<Value> = ok(&args)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let rollback = lines.iter().find(|line| line["verdict"] == "rollback").unwrap();
    assert_eq!(rollback["layer"], "regular");
    let blocking = rollback["trace"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["outcome"]["block"].is_string())
        .unwrap();
    assert_eq!(blocking["check"], rollback["first_blocking"]);
    assert!(lines[0]["at"] == "2026-05-25T00:00:00Z" && lines.len() > 100);
    let stderr = fails(
        &[
            "simulate",
            "scenarios/ramp.toml",
            "--trace-run",
            "3",
            "--trace-plan",
            "x",
            "--trace-world",
            "y",
        ],
        2,
    );
    assert!(
        stderr.contains("expected one of the plans as planned"),
        "{stderr}"
    );
}

#[test]
fn the_case_study_s_log_is_decided_again() {
    let cube = ecommerce().join("cube");
    let plan = root().join("scenarios/ecommerce.toml");
    let found: Value = ok_json(&["backtest", "--cube", text(&cube), "--plan", text(&plan), "--json"]);
    let [along, own] = [0, 1].map(|idx| found[idx]["layers"].as_array().unwrap().clone());
    let decisions = |layers: &[Value], id: &str| -> Vec<Value> {
        layers.iter().find(|layer| layer["layer"] == id).unwrap()["decisions"]
            .as_array()
            .unwrap()
            .clone()
    };
    let rollback = decisions(&along, "regular")
        .into_iter()
        .find(|decision| decision["verdict"] == "rollback")
        .unwrap();
    // The fault begins on the 28th with the first step of the layer. It is found within hours and
    // not after the dwell of three days.
    assert!(
        rollback["at"].as_str().unwrap().starts_with("2026-05-28T0"),
        "{rollback}"
    );
    assert!(
        rollback["first_blocking"]
            .as_str()
            .unwrap()
            .starts_with("guardrail:"),
        "{rollback}"
    );
    let promote = decisions(&along, "early")
        .into_iter()
        .rfind(|decision| decision["verdict"] == "promote")
        .unwrap();
    assert_eq!(
        (&promote["at"], &promote["next_ratio"]),
        (&Value::from("2026-05-28T00:00:00Z"), &Value::from(0.5))
    );
    // With its own decisions the plan opens `regular` at once. No user had the candidate at that
    // time, so the log has no answer.
    let regular = own.iter().find(|layer| layer["layer"] == "regular").unwrap();
    assert!(regular["refused_at"].is_string(), "{regular}");
}

#[test]
fn what_is_not_declared_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read_to_string(root().join("scenarios/ramp.toml")).unwrap();
    // Sizes, traffic and the completion rate are measured from the log. One layer never had the
    // baseline and keeps its declared rate.
    let (mut kept, mut skips) = (String::new(), false);
    for line in whole.lines() {
        if line.starts_with('[') {
            skips = line == "[[simulate.layer]]";
        }
        if !skips {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    let scenario = kept.replace(
        "metric = \"task_completion_rate\"\nvalue = 0.6",
        "metric = \"task_completion_rate\"\nlayer = \"internal\"\nvalue = 0.6",
    );
    let path = dir.path().join("ramp.toml");
    fs::write(&path, scenario).unwrap();
    let (cube, plan_of_cube, out) = (
        ecommerce().join("cube"),
        root().join("scenarios/ecommerce.toml"),
        dir.path().join("out"),
    );
    let args = [
        "simulate",
        text(&path),
        "--cube",
        text(&cube),
        "--cube-plan",
        text(&plan_of_cube),
        "--out",
        text(&out),
        "--runs",
        "20",
        "--json",
    ];
    let found: Value = ok_json(&args);
    assert!(found["basis"].as_str().unwrap().contains("observed"));
    // The log has 200,000 users. All users who consented can be reached.
    let users = number(&plan(&found, "fixed time", "nothing changes")["users_exposed"]["mean"]);
    assert!((100_000.0..200_000.0).contains(&users), "{users}");
    assert!(number(&plan(&found, "as planned", "day-4 fault")["p_rollback"]["p"]) > 0.9);
    let stderr = fails(&["simulate", text(&path), "--out", text(&out)], 2);
    assert!(
        stderr.contains("expected size and traffic of layer \"internal\""),
        "{stderr}"
    );
}

#[test]
fn what_a_simulation_cannot_know_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ramp.toml");
    let out = dir.path().join("out");
    let refused = |scenario: String| {
        fs::write(&path, scenario).unwrap();
        fails(&["simulate", text(&path), "--out", text(&out)], 2)
    };
    for (from, to, message) in [
        (
            "[[simulate.rate]]\nmetric = \"bad_rate\"",
            "[[simulate.rate]]\nmetric = \"gone_rate\"",
            "expected a metric of QoS or of a guardrail",
        ),
        ("users = 400000\n", "", "simulate.layer[1].users"),
        (
            "sd = 600\n",
            "",
            "expected the standard deviation of a row's value",
        ),
        (
            "[[simulate.rate]]\nmetric = \"complaint_rate\"\nvalue = 0.002\n",
            "",
            "expected a value of complaint_rate in layer \"all\"",
        ),
        ("id = \"bad\"", "id = \"none\"", "expected ids that differ"),
        ("runs = 4000", "rnus = 4000", "simulate.rnus"),
        (
            "days = 20",
            "days = 0.01",
            "expected 1 to 1000000 windows of the plan, found 0",
        ),
        (
            "[[simulate.world]]",
            "[simulate.budget]\nmetric = \"bad_rate\"\nmde = nan\n[[simulate.world]]",
            "that rolls back (task_completion_rate), found \"bad_rate\"",
        ),
        (
            "[[simulate.world]]",
            "[simulate.cost]\nbad_rate = -3\n[[simulate.world]]",
            "simulate.cost.bad_rate",
        ),
        (
            "turns_per_user_day = 0.5",
            "turns_per_user_day = 0.5\nrhythm = [1, 2]",
            "expected 24 or 168 weights",
        ),
    ] {
        let stderr = refused(ONE.replacen(from, to, 1));
        assert!(stderr.contains(message), "{message}: {stderr}");
    }
    let stderr = fails(&["simulate", "scenarios/ecommerce.toml", "--out", text(&out)], 2);
    assert!(stderr.contains("[simulate]") && !out.exists(), "{stderr}");
}

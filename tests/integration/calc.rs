//! Tests of the calculator as a command, and with hostile inputs.

use serde_json::{Value, json};
use sluice::calc::{FUNCTIONS, Function, answer_line};
use std::fs;

use crate::{
    support::{ecommerce, fails, ok, sluice, text},
    vectors::differs,
};

/// Takes every example of every calculation and replaces one value after another by a hostile one.
#[test]
fn hostile_inputs_are_answered_or_refused() {
    let hostile = [
        json!(null),
        json!(-1),
        json!(0),
        json!(1),
        json!(0.5),
        json!(1e15),
        json!(1e300),
        json!(-1e300),
        json!(1e-300),
        json!("NaN"),
        json!([]),
        json!({}),
        json!(true),
        json!([[]]),
        json!([0, 0]),
        json!([1e308, 1e308]),
        json!([-1]),
        json!("x".repeat(1_000)),
    ];
    fn places(value: &Value, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
        let mut visit = |key: String, value: &Value| {
            path.push(key);
            out.push(path.clone());
            places(value, path, out);
            path.pop();
        };
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| visit(key.clone(), value)),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .take(3)
                .for_each(|(idx, value)| visit(idx.to_string(), value)),
            _ => {}
        }
    }
    let mut n = 0;
    for function in FUNCTIONS {
        let example: Value = serde_json::from_str(function.example).unwrap();
        let mut all = Vec::new();
        places(&example, &mut Vec::new(), &mut all);
        for path in all {
            for bad in &hostile {
                let mut inputs = example.clone();
                let pointer = format!("/{}", path.join("/"));
                *inputs.pointer_mut(&pointer).unwrap() = bad.clone();
                let line = answer_line(function, &inputs.to_string());
                let answer: Value =
                    serde_json::from_str(&line.text).unwrap_or_else(|error| panic!("{error}: {}", line.text));
                let lower = line.text.to_lowercase();
                // In `attribution` a reference may have the name NaN, and the answer repeats it.
                let is_name = function.name == "attribution" && bad.is_string();
                assert!(
                    is_name || !lower.contains("nan\"") && !lower.contains(":inf") && answer.is_object(),
                    "{} {inputs}: {}",
                    function.name,
                    line.text
                );
                assert_eq!(answer.get("error").is_some(), !line.is_good);
                n += 1;
            }
        }
    }
    assert!(n > 3_000, "{n}");
}

#[test]
fn one_calculation_at_a_time() {
    let found = ok(&[
        "calc",
        "srm",
        "--observed",
        "[990210, 9790]",
        "--planned",
        "[0.99, 0.01]",
    ]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert!(!differs(
        &found["p_value"],
        &json!(0.034_808_478_811_867_13),
        1e-12,
        0.0
    ));
    assert!(ok(&["calc", "power"]).contains("--kind proportion"));
    let message = fails(&["calc", "powr", "--p", "0.1"], 2);
    assert!(message.contains("did you mean power"), "{message}");
    let message = fails(
        &[
            "calc",
            "proportion",
            "--control",
            "{\"n\": 10, \"x\": 11}",
            "--treatment",
            "{\"n\": 10, \"x\": 1}",
        ],
        3,
    );
    assert!(
        message.contains("control.x: expected a whole number from 0 to n, found 11"),
        "{message}"
    );
    let message = fails(
        &[
            "calc",
            "srm",
            "--observed",
            "[1, 2]",
            "--planned",
            "[0.5, 0.5]",
            "--alpah",
            "0.1",
        ],
        3,
    );
    assert!(message.contains("alpah"), "{message}");
    fails(&["calc", "srm", "--observed"], 2);
    fails(&["calc", "srm", "observed"], 2);
}

#[test]
fn a_batch_keeps_its_order_and_answers_around_bad_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inputs.ndjson");
    let mut lines: Vec<String> = (0..40_000)
        .map(|i| json!({"id": i, "n": 100, "x": i % 101}).to_string())
        .collect();
    lines[7] = "{\"id\": 7, \"n\": ".to_owned();
    lines[9] = json!({"id": "nine", "n": 100}).to_string();
    fs::write(&path, lines.join("\n")).unwrap();
    let output = sluice(&["calc", "proportion-interval", "--batch", text(&path)]);
    assert_eq!(output.status.code(), Some(3));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 40_000);
    for (i, answer) in answers.iter().enumerate().filter(|(i, _)| ![7, 9].contains(i)) {
        assert_eq!(
            (&answer["id"], &answer["estimate"]),
            (&json!(i), &json!((i % 101) as f64 / 100.0))
        );
    }
    assert!(answers[7]["error"]["expected"].is_string());
    assert_eq!(
        (&answers[9]["id"], &answers[9]["error"]["where"]),
        (&json!("nine"), &json!("x"))
    );
}

#[test]
fn an_a_a_log_is_calibrated() {
    let cube = ecommerce().join("cube");
    let args = [
        "calibrate",
        "--cube",
        text(&cube),
        "--plan",
        "scenarios/ecommerce.toml",
        "--splits",
        "300",
        "--layer",
        "regular",
        "--json",
    ];
    let printed = ok(&args);
    let found: Value = serde_json::from_str(&printed).unwrap();
    let splits = found["splits"].as_array().unwrap();
    let even = splits.iter().find(|split| split["ratio"] == json!(0.5)).unwrap();
    assert_eq!(even["from_few_users"], json!(false));
    for metric in even["metrics"].as_array().unwrap() {
        // The 300 splits come from one log and share its users, so the limits are wide.
        let rate = metric["false_positives"]["rate"].as_f64().unwrap();
        assert!(rate < 0.12, "{metric}");
    }
    assert!(even["srm_alarms"]["rate"].as_f64().unwrap() < 0.02);
    assert_eq!(
        printed,
        ok(&[&args[..], &["--threads", "1"]].concat()),
        "the same on one thread"
    );
    fails(
        &[
            "calibrate",
            "--cube",
            text(&cube),
            "--plan",
            "scenarios/ecommerce.toml",
            "--layer",
            "nobody",
        ],
        2,
    );
}

/// The answer to one line of inputs, or its error.
fn answer(name: &str, inputs: Value) -> Value {
    answer_text(name, &inputs.to_string())
}

fn answer_text(name: &str, inputs: &str) -> Value {
    serde_json::from_str(&answer_line(Function::find(name).unwrap(), inputs).text).unwrap()
}

fn close(found: &Value, expected: f64, tolerance: f64) {
    assert!(
        !differs(found, &json!(expected), 0.0, tolerance),
        "{found} against {expected}"
    );
}

/// An interval of equal ends, and a value of null without a reason, anywhere in an answer.
fn faults(answer: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match answer {
        Value::Object(fields) => {
            for prefix in ["", "rel_", "rel_log_", "control_", "treatment_"] {
                let end = |name| fields.get(&format!("{prefix}ci_{name}")).and_then(Value::as_f64);
                if let (Some(lower), Some(upper)) = (end("lower"), end("upper")) {
                    // The comparison is negated so that NaN is a fault as well.
                    if upper - lower <= 1e-8 * lower.abs() {
                        found.push(format!("no width: {prefix}"));
                    }
                }
            }
            if fields.values().any(Value::is_null)
                && !fields.contains_key("reason")
                && !fields.contains_key("error")
            {
                found.push("null without a reason".to_owned());
            }
            found.extend(fields.values().flat_map(faults));
        }
        Value::Array(items) => found.extend(items.iter().flat_map(faults)),
        _ => {}
    }
    found
}

#[test]
fn no_spread_is_neither_certainty_nor_ignorance() {
    let none = answer("mcnemar", json!({"b": 0, "c": 0, "n": 100}));
    close(&none["ci_upper"], 0.036_993_5, 1e-6);
    close(&none["ci_lower"], -0.036_993_5, 1e-6);
    let all = answer("mcnemar", json!({"b": 0, "c": 25, "n": 25}));
    assert!(all["ci_lower"].as_f64().unwrap() < 0.9, "{all}");
    let judge = json!({"p_obs": 0, "n": 50, "sensitivity": 1, "specificity": 1});
    close(&answer("judge", judge)["ci_upper"], 0.071_347_6, 1e-6);
    let late = answer("late", json!({"ages": [{"day": 1, "events": 0, "at_risk": 50}]}));
    close(&late["by_day"][0]["ci_upper"], 0.071_347_6, 1e-6);
    let arm = json!({"n": 1000, "x": 0});
    let strata = answer(
        "stratified",
        json!({"strata": [{"control": arm, "treatment": arm}]}),
    );
    close(&strata["population_weighted"]["ci_upper"], 0.003_826_8, 1e-6);
    close(&strata["mantel_haenszel"]["ci_lower"], -0.003_826_8, 1e-6);
    let log = json!({"reward": vec![0; 200], "action": vec![1; 200], "pscore": vec![0.5; 200], "pi_e": vec![[0.5, 0.5]; 200]});
    let ope = answer("ope", log);
    assert_eq!((&ope["overlap"], &ope["reason"]), (&json!(true), &Value::Null));
    assert_eq!(
        (&ope["ips"]["ci_upper"], &ope["ips"]["reason"]),
        (&Value::Null, &json!("no variance"))
    );
    // Other rewards in 1 - .025^(1/200) of the rows could have been missed.
    close(&ope["cressie_read"]["ci_upper"], 0.018_275, 1e-6);
    let x = json!([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]);
    let rounded = answer(
        "paired-t",
        json!({"x": x, "y": [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}),
    );
    let whole = answer(
        "paired-t",
        json!({"x": [1, 2, 3, 4, 5, 6, 7], "y": [0, 1, 2, 3, 4, 5, 6]}),
    );
    assert_eq!(
        (&rounded["p_value"], &rounded["reason"]),
        (&whole["p_value"], &whole["reason"])
    );
    assert_eq!(rounded["reason"], json!("no variance"));
}

/// Inputs at the edge of what calculations accept. No answer has an interval without width, or a
/// null without a reason.
#[test]
fn degenerate_inputs_are_answered_honestly() {
    let share = |n: u64, x: u64| json!({"n": n, "x": x});
    let mean = |n: u64, mean: f64, var: f64| json!({"n": n, "mean": mean, "var": var});
    let flat = |n: u64, k: f64| {
        let n_k = n as f64 * k;
        json!({"n": n, "num_sum": n_k, "num_sum_squares": n_k * k, "den_sum": n, "den_sum_squares": n, "num_den_sum": n_k})
    };
    let cuped = |y: f64, x: f64| {
        json!({"n": 50, "post_sum": 50.0 * y, "post_sum_squares": 50.0 * y * y, "pre_sum": 50.0 * x,
            "pre_sum_squares": 50.0 * x * x, "post_pre_sum": 50.0 * x * y})
    };
    let clusters =
        |k: f64| json!({"clusters": (1..=30).map(|g| [k * f64::from(g), f64::from(g)]).collect::<Vec<_>>()});
    let values = |value: f64| json!({"clusters": vec![[value]; 30]});
    let mut cases: Vec<(&str, Value)> = Vec::new();
    let mut both = |name, control: Value, treatment: Value, more: Value| {
        let mut inputs = json!({"control": control, "treatment": treatment});
        inputs
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        cases.push((name, inputs));
    };
    for method in [
        "z",
        "z-unpooled",
        "pearson",
        "pearson-yates",
        "g",
        "fisher",
        "newcombe",
        "welch",
    ] {
        for (control, treatment) in [
            ((100, 0), (100, 0)),
            ((100, 0), (100, 100)),
            ((2, 2), (2, 2)),
            ((100, 7), (100, 0)),
        ] {
            let arms = [share(control.0, control.1), share(treatment.0, treatment.1)];
            let [control, treatment] = arms;
            both("proportion", control, treatment, json!({"method": method}));
        }
    }
    for method in ["welch", "student", "z"] {
        both(
            "mean",
            mean(10, 5.0, 0.0),
            mean(10, 6.0, 0.0),
            json!({"method": method}),
        );
        both(
            "mean",
            mean(7, 0.1, 2e-34),
            mean(7, 0.3, 3e-34),
            json!({"method": method}),
        );
        both(
            "mean",
            mean(10, 1.0, 1.0),
            mean(10, 0.0, 0.0),
            json!({"method": method}),
        );
    }
    both("ratio", flat(50, 0.1), flat(50, 0.3), json!({}));
    both("ratio", flat(50, 0.0), flat(50, 2.0), json!({}));
    both("cuped", cuped(0.1, 0.2), cuped(0.3, 0.7), json!({}));
    for paired in [false, true] {
        both(
            "clusters",
            clusters(0.1),
            clusters(0.3),
            json!({"paired": paired}),
        );
        both(
            "clusters",
            clusters(0.1),
            clusters(0.0),
            json!({"paired": paired}),
        );
    }
    both("quantile", values(5.0), values(6.0), json!({"q": 0.5}));
    both("sequential", share(100, 0), share(100, 100), json!({}));
    both(
        "sequential",
        mean(10, 5.0, 0.0),
        mean(10, 5.0, 0.0),
        json!({"relative": true}),
    );
    for kind in ["absolute", "relative"] {
        let more = json!({"margin": 0.01, "margin_kind": kind});
        both("non-inferiority", share(1, 0), share(1, 0), more.clone());
        both("non-inferiority", mean(10, 5.0, 0.0), mean(10, 50.0, 0.0), more);
    }
    let constant = json!({"control": mean(10, 5.0, 0.0), "treatment": mean(10, 6.0, 0.0)});
    let quiet = json!({"control": share(100, 100), "treatment": share(100, 0)});
    cases.push(("stratified", json!({"strata": []})));
    cases.push(("stratified", json!({"strata": [constant]})));
    cases.push((
        "stratified",
        json!({"strata": [constant, {"control": mean(10, 5.0, 1.0), "treatment": mean(9, 5.0, 1.0)}]}),
    ));
    cases.push(("stratified", json!({"strata": [quiet]})));
    for name in ["wilcoxon", "paired-t", "sign"] {
        for x in [
            json!([]),
            json!(vec![0; 8]),
            json!(vec![0.1; 8]),
            json!([1e300, 1e300, 1e300, -1e300, -1e300, -1e300]),
        ] {
            cases.push((name, json!({"x": x})));
        }
        cases.push((
            name,
            json!({"x": [0.1 + 0.2, 1, 2, 3, 4, 5], "y": [0.3, 1, 2, 3, 4, 5]}),
        ));
    }
    for (x, y) in [
        (json!([]), json!([1])),
        (json!([1, 1]), json!([1, 1])),
        (json!([1]), json!([2])),
    ] {
        cases.push(("mann-whitney", json!({"x": x, "y": y})));
        cases.push(("mann-whitney", json!({"x": x, "y": y, "method": "exact"})));
    }
    for inputs in [
        json!({"x": vec![0.1; 10]}),
        json!({"x": vec![0.1; 10], "y": vec![0.2; 10]}),
        json!({"x": [0.1, 0.2, 0.3], "y": [1, 2, 3], "statistic": "ratio"}),
        json!({"x": [1]}),
        json!({"x": [1, 2], "replicates": 1}),
    ] {
        cases.push(("bootstrap", inputs));
    }
    for (sensitivity, specificity) in [(1.0, 1.0), (0.9, 0.8), (0.5, 0.5)] {
        for (p, n) in [(0, 50), (1, 1), (1, 0)] {
            cases.push((
                "judge",
                json!({"p_obs": p, "n": n, "sensitivity": sensitivity, "specificity": specificity}),
            ));
        }
    }
    cases.push((
        "late",
        json!({"ages": [{"day": 1, "events": 5, "at_risk": 5}, {"day": 2, "events": 0, "at_risk": 3}]}),
    ));
    for (reward, pi) in [(0.0, 0.5), (0.1, 0.5), (7.0, 0.5), (1.0, 0.9)] {
        cases.push((
            "ope",
            json!({"reward": vec![reward; 200], "action": vec![0; 200], "pscore": vec![0.5; 200], "pi_e": vec![[1.0 - pi, pi]; 200]}),
        ));
    }
    cases.push(("power", json!({"p": 0.5, "n_total": 3, "power": 0.8})));
    cases.push((
        "bucket",
        json!({"profile": "flagd-3", "flagKey": "f", "targetingKey": "u", "weights": {}}),
    ));
    assert!(cases.len() > 90, "{}", cases.len());
    for (name, inputs) in cases {
        let answer = answer(name, inputs.clone());
        assert!(answer.get("error").is_none(), "{name} {inputs}: {answer}");
        assert_eq!(faults(&answer), Vec::<String>::new(), "{name} {inputs}: {answer}");
    }
}

#[test]
fn impossible_products_are_refused() {
    let arm = |product: f64| json!({"n": 500, "num_sum": 304, "num_sum_squares": 560, "den_sum": 2998, "den_sum_squares": 20640, "num_den_sum": product});
    let found = |product: f64| {
        answer(
            "ratio",
            json!({"control": arm(2050.0), "treatment": arm(product)}),
        )
    };
    assert_eq!(found(20_500.0)["error"]["where"], "treatment.num_den_sum");
    // 3,000 is below the limit of the raw sums (3,400), but not below that of the centered ones.
    assert_eq!(found(3_000.0)["error"]["where"], "treatment.num_den_sum");
    assert!(found(2_800.0).get("error").is_none());
    let arm = |product: f64| json!({"n": 5, "post_sum": 2, "post_sum_squares": 2, "pre_sum": 2, "pre_sum_squares": 2, "post_pre_sum": product});
    let found = |product: f64| answer("cuped", json!({"control": arm(product), "treatment": arm(1.0)}));
    assert_eq!(found(5.0)["error"]["where"], "control.post_pre_sum");
    assert!(found(2.0).get("error").is_none());
    fails(
        &[
            "calc",
            "cuped",
            "--control",
            &arm(5.0).to_string(),
            "--treatment",
            &arm(2.0).to_string(),
        ],
        3,
    );
}

#[test]
fn inputs_keep_their_order_and_digits() {
    let variant = |weights: &str, user: &str| {
        let inputs = format!(r#"{{"profile":"flagd-2","bucketBy":"flag{user}","weights":{weights}}}"#);
        answer_text("bucket", &inputs)["variant"].clone()
    };
    let users = ["u1", "u2", "u3", "u4", "u5", "u6"];
    for weights in [r#"{"red":50,"blue":50}"#, r#"[["red",50],["blue",50]]"#] {
        let found: Vec<Value> = users.iter().map(|user| variant(weights, user)).collect();
        assert_eq!(
            json!(found),
            json!(["blue", "red", "red", "red", "blue", "red"]),
            "{weights}"
        );
    }
    assert_eq!(variant(r#"{"blue":50,"red":50}"#, "u1"), "red");
    for twice in [r#"{"red":50,"red":50}"#, r#"[["red",50],["red",50]]"#] {
        let inputs = format!(r#"{{"profile":"flagd-2","bucketBy":"x","weights":{twice}}}"#);
        assert_eq!(answer_text("bucket", &inputs)["error"]["where"], "weights");
    }
    let printed = ok(&[
        "calc",
        "bucket",
        "--profile",
        "flagd-2",
        "--bucketBy",
        "flagu1",
        "--weights",
        r#"{"red":50,"blue":50}"#,
    ]);
    assert!(printed.contains(r#""variant":"blue""#), "{printed}");
    assert_eq!(
        answer_text(
            "srm",
            r#"{"observed":[1,2],"observed":[1,1],"planned":[0.5,0.5]}"#
        )["error"]["where"],
        "observed"
    );

    let user = |id: &str| {
        answer_text(
            "bucket",
            &format!(r#"{{"profile":"sluice","salt":"cs-agent","user_id":{id}}}"#),
        )
    };
    assert_eq!(user("123"), user(r#""123""#));
    assert_eq!(user("123")["bucket"], 8407);
    let long = "123456789012345678901234567890";
    assert_eq!(user(long), user(&format!("\"{long}\"")));
    assert_ne!(user("9007199254740993"), user("9007199254740992"));
    for number in ["123.0", "1e3", "-0", "true"] {
        assert_eq!(user(number)["error"]["where"], "user_id", "{number}");
    }
    let word = |id: &str| {
        ok(&[
            "calc",
            "bucket",
            "--profile",
            "sluice",
            "--salt",
            "cs-agent",
            "--user_id",
            id,
        ])
    };
    assert_eq!(word("123"), word("\"123\""));
    assert_eq!(word("0123"), word("\"0123\""));
    assert_ne!(word("0123"), word("123"));
    let message = fails(
        &[
            "calc",
            "bucket",
            "--profile",
            "sluice",
            "--salt",
            "cs-agent",
            "--user_id",
            "1e3",
        ],
        3,
    );
    assert!(message.contains(r#"in quotes, "1e3""#), "{message}");
}

#[test]
fn the_id_of_a_line_is_no_input() {
    let line = |inputs: &str| answer_line(Function::find("bucket").unwrap(), inputs).text;
    let own = line(r#"{"id":12345678901234567890123,"profile":"growthbook-2","seed":"s","value":"u1"}"#);
    let other = line(r#"{"id":"u2","profile":"growthbook-2","seed":"s","value":"u1"}"#);
    assert!(own.starts_with(r#"{"id":12345678901234567890123,"#), "{own}");
    assert_eq!(
        own.split_once(",\"bucket").unwrap().1,
        other.split_once(",\"bucket").unwrap().1
    );
    assert!(line(r#"{"id":"u1","profile":"growthbook-2","seed":"s"}"#).contains(r#""where":"value""#));
}

#[test]
fn unknown_names_are_named_with_the_nearest_known_one() {
    let found = answer(
        "srm",
        json!({"observed": [1, 2], "planned": [0.5, 0.5], "alhpa": 0.1}),
    );
    assert!(
        found["error"]["expected"]
            .as_str()
            .unwrap()
            .contains("did you mean alpha?"),
        "{found}"
    );
    let found = answer("srm", json!({"observd": [1, 2], "planned": [0.5, 0.5]}));
    assert_eq!(
        (&found["error"]["where"], &found["error"]["found"]),
        (&json!("observed"), &json!("nothing (but an unknown observd)"))
    );
    let arm = json!({"n": 3, "man": 1, "var": 1});
    let found = answer("mean", json!({"control": arm, "treatment": arm}));
    assert!(
        found["error"]["found"].as_str().unwrap().contains("man"),
        "{found}"
    );
}

#[test]
fn detectable_effects_have_a_side() {
    let effect = |inputs: Value| answer("power", inputs);
    let high = effect(json!({"p": 0.999, "n_total": 10_000, "power": 0.8}));
    close(&high["effect"], -0.002_717_9, 1e-6);
    assert_eq!(
        (&high["effect_below"], &high["effect_above"]),
        (&high["effect"], &Value::Null)
    );
    let low = effect(json!({"p": 0.001, "n_total": 10_000, "power": 0.8}));
    close(&low["effect"], 0.002_717_9, 1e-6);
    assert_eq!(
        (&low["effect_above"], &low["effect_below"]),
        (&low["effect"], &Value::Null)
    );
    let middle = effect(json!({"p": 0.1, "n_total": 10_000, "power": 0.8}));
    assert_eq!(middle["effect"], middle["effect_above"]);
    assert!(middle["effect_below"].as_f64().unwrap() < 0.0, "{middle}");
    let rows = effect(json!({"p": 0.1, "effect": 0.01, "power": 0.8}));
    assert_eq!(
        (&rows["rows_control"], &rows["rows_treatment"]),
        (&json!(14_751.0), &json!(14_751.0))
    );
}

#[test]
fn relative_effects_keep_their_points_and_digits() {
    let mean = |mean: f64, var: f64| json!({"n": 100, "mean": mean, "var": var});
    let found = answer(
        "mean",
        json!({"control": mean(3.0, 1.0), "treatment": mean(0.0, 0.0)}),
    );
    assert_eq!(
        (&found["rel_effect_size"], &found["rel_ci_lower"]),
        (&json!(-1.0), &Value::Null)
    );
    let found = answer(
        "proportion",
        json!({"control": {"n": 1000, "x": 50}, "treatment": {"n": 1000, "x": 0}}),
    );
    assert_eq!(found["rel_effect_size"], -1.0);
    // The quotient less 1 would keep four digits only.
    let found = answer(
        "mean",
        json!({"control": mean(1.0, 1e-4), "treatment": mean(1.0 + 2.0_f64.powi(-40), 1e-4)}),
    );
    assert_eq!(found["rel_effect_size"], json!(2.0_f64.powi(-40)));
    // Student pools the variance of the relative interval, too: (1 + 9) / 2 in each arm.
    let found = answer(
        "mean",
        json!({"control": mean(100.0, 1.0), "treatment": mean(100.0, 9.0), "method": "student"}),
    );
    let absolute = found["ci_upper"].as_f64().unwrap();
    close(&found["rel_ci_upper"], absolute / 100.0, 1e-12);
}

#[test]
fn users_without_features_are_placed_as_layers_place_them() {
    let layer = |inputs: Value| answer("arfm", inputs)["layer"].clone();
    assert_eq!(layer(json!({})), "vip");
    assert_eq!(layer(json!({"unknown": "score"})), "high_value");
    assert_eq!(layer(json!({"use_count": 0})), "high_value");
}

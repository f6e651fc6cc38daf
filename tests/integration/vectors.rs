//! Tests of the calculator against reference values of other packages: the vectors in
//! `tests/vectors`, mapped to calculations.

use serde_json::{Map, Value, json};
use sluice::calc::{Function, answer_line};

/// A calculation, its inputs, and some expected results.
struct Case {
    name: &'static str,
    inputs: Value,
    /// Path of a result (`a.b` and `a.0` select inner values), and its expected value.
    expected: Vec<(&'static str, Value)>,
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}

/// Converts a statistic of GrowthBook to an arm.
fn growthbook_arm(arm: &Value) -> Value {
    match arm["type"].as_str().unwrap() {
        "ProportionStatistic" => json!({"n": arm["n"], "x": arm["sum"]}),
        "SampleMeanStatistic" => json!({"n": arm["n"], "sum": arm["sum"], "sum_squares": arm["sum_squares"]}),
        "RatioStatistic" => json!({
            "n": arm["n"], "num_sum": arm["m_statistic"]["sum"], "num_sum_squares": arm["m_statistic"]["sum_squares"],
            "den_sum": arm["d_statistic"]["sum"], "den_sum_squares": arm["d_statistic"]["sum_squares"], "num_den_sum": arm["m_d_sum_of_products"],
        }),
        "RegressionAdjustedStatistic" => json!({
            "n": arm["n"], "post_sum": arm["post_statistic"]["sum"], "post_sum_squares": arm["post_statistic"]["sum_squares"],
            "pre_sum": arm["pre_statistic"]["sum"], "pre_sum_squares": arm["pre_statistic"]["sum_squares"], "post_pre_sum": arm["post_pre_sum_of_products"],
        }),
        other => panic!("{other}"),
    }
}

fn with(mut inputs: Value, more: Value) -> Value {
    inputs
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    inputs
}

/// Converts a row of Spotify's confidence to an arm: sums and sums of squares over users. An arm is
/// a proportion if both are equal.
fn spotify_arm(row: &Value) -> Value {
    if row["num"] == row["ss"] {
        return json!({"n": row["den"], "x": row["num"]});
    }
    json!({"n": row["den"], "sum": row["num"], "sum_squares": row["ss"]})
}

/// The calculations that test a reference value. Empty if `sluice calc` has no such calculation.
fn cases(vector: &Value) -> Vec<Case> {
    let (family, method) = (
        vector["family"].as_str().unwrap(),
        vector["method"].as_str().unwrap(),
    );
    let (inputs, out) = (&vector["inputs"], &vector["expected"]);
    let arms = || json!({"control": inputs["control"], "treatment": inputs["treatment"]});
    let one = |name, inputs, expected| {
        vec![Case {
            name,
            inputs,
            expected,
        }]
    };
    let growthbook = inputs["control"]["type"].is_string();
    let config = &inputs["config"];
    let alternative = match config["alternative"].as_str().or(inputs["alternative"].as_str()) {
        Some("greater") => "greater",
        Some("less" | "lesser") => "less",
        _ if method.contains("(greater)") => "greater",
        _ if method.contains("(lesser)") => "less",
        _ => "two-sided",
    };
    match family {
        "two_mean" | "two_prop" | "ratio_delta" | "cuped" | "sequential_ci"
            if growthbook && !method.contains("for ratio") =>
        {
            let name = match (
                inputs["control"]["type"].as_str().unwrap(),
                config["N_star"].is_number(),
            ) {
                (_, true) if family == "cuped" => return Vec::new(),
                (_, true) => "sequential",
                ("ProportionStatistic", _) => "proportion",
                ("SampleMeanStatistic", _) => "mean",
                ("RatioStatistic", _) => "ratio",
                _ => "cuped",
            };
            let relative = config["difference_type"] == "relative";
            let mut call = json!({
                "control": growthbook_arm(&inputs["control"]), "treatment": growthbook_arm(&inputs["treatment"]),
                "alpha": config["alpha"], "alternative": alternative,
            });
            let mut expected = if relative {
                vec![
                    ("rel_effect_size", out["expected"].clone()),
                    ("rel_ci_lower", out["ci"][0].clone()),
                    ("rel_ci_upper", out["ci"][1].clone()),
                ]
            } else {
                vec![
                    ("effect_size", out["expected"].clone()),
                    ("ci_lower", out["ci"][0].clone()),
                    ("ci_upper", out["ci"][1].clone()),
                ]
            };
            match name {
                "proportion" => call = with(call, json!({"method": "welch"})),
                "sequential" => {
                    call = with(call, json!({"n_tuning": config["N_star"], "relative": relative}))
                }
                _ => {}
            }
            if !relative || name == "sequential" && alternative == "two-sided" {
                // The package searches one-sided p-values of sequential tests between two limits,
                // so those of relative effects are not compared.
                expected.push(("p_value", out["p_value"].clone()));
            }
            if !relative && name != "sequential" {
                expected.push(("std_error", out["uplift_stddev"].clone()));
                expected.push(("statistic", out["t"].clone()));
                expected.push(("df", out["dof"].clone()));
            }
            if name == "cuped" && out["theta"].is_number() {
                expected.push(("theta", out["theta"].clone()));
            }
            one(name, call, expected)
        }
        "two_mean" if method.starts_with("welch/student") => {
            let kind = match (
                inputs["equal_var"].as_bool().unwrap(),
                inputs["use_t"].as_bool().unwrap(),
            ) {
                (true, true) => "student",
                (false, true) => "welch",
                (false, false) => "z",
                (true, false) => return Vec::new(),
            };
            one(
                "mean",
                with(arms(), json!({"method": kind, "alternative": alternative})),
                vec![
                    ("effect_size", out["effect_size"].clone()),
                    ("ci_lower", out["effect_size_ci_lower"].clone()),
                    ("ci_upper", out["effect_size_ci_upper"].clone()),
                    ("rel_effect_size", out["rel_effect_size"].clone()),
                    ("rel_log_ci_lower", out["rel_effect_size_ci_lower"].clone()),
                    ("rel_log_ci_upper", out["rel_effect_size_ci_upper"].clone()),
                    ("p_value", out["pvalue"].clone()),
                    ("statistic", out["statistic"].clone()),
                ],
            )
        }
        "two_mean" if method.starts_with("welch t from n") => one(
            "mean",
            arms(),
            vec![
                ("statistic", out["t"].clone()),
                ("df", out["dof"].clone()),
                ("p_value", out["p_value"].clone()),
                ("log10_p_value", out["log10_p"].clone()),
                ("std_error", out["se"].clone()),
            ],
        ),
        "two_mean" | "two_prop" if inputs["rows"].is_array() => {
            let arm = |idx: usize| spotify_arm(&inputs["rows"][idx]);
            let is_proportion = arm(0)["x"].is_number();
            if is_proportion && method == "t-test" {
                // The package divides by n and uses t. No other package does this, so it is not
                // compared.
                return Vec::new();
            }
            let kind = match (method, is_proportion) {
                ("t-test", _) => "student",
                (_, true) => "z-unpooled",
                _ => "z",
            };
            let absolute = inputs["absolute"] != json!(false);
            let mut expected = vec![("p_value", out["p-value"].clone())];
            if absolute {
                expected.extend([
                    ("effect_size", out["difference"].clone()),
                    ("ci_lower", out["ci_lower"].clone()),
                    ("ci_upper", out["ci_upper"].clone()),
                ]);
            }
            one(
                if is_proportion { "proportion" } else { "mean" },
                json!({"control": arm(0), "treatment": arm(1), "method": kind}),
                expected,
            )
        }
        "two_prop" if method.contains("rel CI on log scale") => {
            let corrected = inputs["correction"] == json!(true);
            let kind = match (
                inputs["method"].as_str().unwrap(),
                corrected,
                inputs["equal_var"] == json!(true),
            ) {
                ("norm", false, true) => "z",
                ("norm", false, false) => "z-unpooled",
                ("pearson", false, _) => "pearson",
                ("pearson", true, _) | ("norm", true, true) => "pearson-yates",
                ("log-likelihood", false, _) => "g",
                ("fisher", _, _) => "fisher",
                _ => return Vec::new(),
            };
            let mut expected = vec![
                ("p_value", out["pvalue"].clone()),
                ("effect_size", out["effect_size"].clone()),
            ];
            if kind == "z-unpooled" {
                expected.extend([
                    ("ci_lower", out["effect_size_ci_lower"].clone()),
                    ("ci_upper", out["effect_size_ci_upper"].clone()),
                    ("rel_log_ci_lower", out["rel_effect_size_ci_lower"].clone()),
                    ("rel_log_ci_upper", out["rel_effect_size_ci_upper"].clone()),
                ]);
            }
            one("proportion", with(arms(), json!({"method": kind})), expected)
        }
        "two_prop" if method.starts_with("two-proportion z") => {
            let call = |kind: &str| with(arms(), json!({"method": kind}));
            let case = |kind: &str, suffix: [&'static str; 4]| Case {
                name: "proportion",
                inputs: call(kind),
                expected: ["effect_size", "statistic", "p_value", "log10_p_value"]
                    .into_iter()
                    .zip(suffix.map(|key| out.get(key).cloned().unwrap_or(Value::Null)))
                    .collect(),
            };
            vec![
                case("z", ["diff", "z_pooled", "p_pooled", "log10_p_pooled"]),
                case(
                    "z-unpooled",
                    ["diff", "z_unpooled", "p_unpooled", "log10_p_unpooled"],
                ),
            ]
        }
        "two_prop" if method.starts_with("prop.test") => one(
            "proportion",
            with(arms(), json!({"method": "pearson-yates"})),
            vec![
                ("statistic", out["chi2"].clone()),
                ("p_value", out["p_value"].clone()),
                ("ci_lower", out["ci"][0].clone()),
                ("ci_upper", out["ci"][1].clone()),
            ],
        ),
        "two_prop" if method.starts_with("chi-squared") => one(
            "proportion",
            with(arms(), json!({"method": "pearson"})),
            vec![
                ("effect_size", out["difference"].clone()),
                ("p_value", out["p-value"].clone()),
                ("ci_lower", out["ci_lower"].clone()),
                ("ci_upper", out["ci_upper"].clone()),
            ],
        ),
        "two_prop_ci" => [("z-unpooled", "wald"), ("newcombe", "newcomb")]
            .into_iter()
            .map(|(kind, key)| Case {
                name: "proportion",
                inputs: with(arms(), json!({"method": kind})),
                expected: vec![
                    ("ci_lower", out[key][0].clone()),
                    ("ci_upper", out[key][1].clone()),
                ],
            })
            .collect(),
        "two_prop_exact" if method.starts_with("Fisher") => ["two-sided", "greater", "less"]
            .into_iter()
            .map(|side| Case {
                name: "proportion",
                inputs: with(arms(), json!({"method": "fisher", "alternative": side})),
                expected: vec![("p_value", out[side].clone())],
            })
            .collect(),
        "two_prop_exact" if method.starts_with("fisher") => one(
            "proportion",
            with(arms(), json!({"method": "fisher", "alternative": alternative})),
            vec![("p_value", out["p_value"].clone())],
        ),
        "one_prop_ci" => [
            ("wald", "normal"),
            ("wilson", "wilson"),
            ("clopper-pearson", "beta"),
            ("jeffreys", "jeffreys"),
            ("agresti-coull", "agresti_coull"),
        ]
        .into_iter()
        .map(|(kind, key)| Case {
            name: "proportion-interval",
            inputs: json!({"n": inputs["n"], "x": inputs["x"], "method": kind}),
            expected: vec![
                ("ci_lower", out[key][0].clone()),
                ("ci_upper", out[key][1].clone()),
            ],
        })
        .collect(),
        "srm_chi2" if inputs["weights"].is_array() => one(
            "srm",
            json!({"observed": inputs["users"], "planned": inputs["weights"]}),
            vec![
                ("p_value", out["p_value"].clone()),
                ("statistic", out.get("chi2").cloned().unwrap_or(Value::Null)),
                ("df", out.get("df").cloned().unwrap_or(Value::Null)),
            ],
        ),
        "srm_sequential" if inputs["increments"].is_array() && inputs["dirichlet_probability"].is_null() => {
            one(
                "srm-sequential",
                json!({"looks": inputs["increments"], "planned": inputs["null_probabilities"], "concentration": inputs["dirichlet_concentration"]}),
                vec![
                    ("log_bayes_factor", out["log_bayes_factor"].clone()),
                    ("p_value", out.get("p_values").cloned().unwrap_or(Value::Null)),
                ],
            )
        }
        "srm_sequential" if inputs["batches"].is_array() => one(
            "srm-sequential",
            json!({"looks": inputs["batches"], "planned": inputs["theta_0"], "concentration": inputs["k"]}),
            vec![("p_value", out["p_values"].clone())],
        ),
        "confseq" => {
            let args = inputs["args"].as_array().unwrap();
            let sided = |idx: usize| args.get(idx).cloned().unwrap_or(json!(true));
            let level = |idx: usize| args.get(idx).cloned().unwrap_or(json!(0.05));
            let call = match method {
                "normal_mixture_bound" => {
                    json!({"family": "normal-mixture", "v_opt": args[2], "alpha_opt": level(3), "one_sided": sided(4)})
                }
                "gamma_exponential_mixture_bound" => {
                    json!({"family": "gamma-exponential", "v_opt": args[2], "c": args[3], "alpha_opt": level(4)})
                }
                "beta_binomial_mixture_bound" => {
                    json!({"family": "beta-binomial", "v_opt": args[2], "g": args[3], "h": args[4], "alpha_opt": level(5), "one_sided": sided(6)})
                }
                "poly_stitching_bound" => json!({"family": "poly-stitching", "v_min": args[2], "c": args[3]}),
                _ => return Vec::new(),
            };
            one(
                "confidence-sequence",
                with(call, json!({"v": args[0], "alpha": args[1]})),
                vec![("boundary", out["value"].clone())],
            )
        }
        "group_sequential" if inputs["looks"].is_number() => {
            let looks = inputs["looks"].as_u64().unwrap();
            let call = json!({
                "information": (1..=looks).map(|k| k as f64 / looks as f64).collect::<Vec<_>>(), "z": vec![inputs["z"].clone(); looks as usize], "sides": 2,
            });
            one(
                "group-sequential",
                call,
                vec![("type1", out["type1_two_sided"].clone())],
            )
        }
        "group_sequential" if inputs["theta"].is_number() => {
            let drift = inputs["theta"].as_f64().unwrap() * inputs["n_max"].as_f64().unwrap().sqrt();
            let call = json!({"information": inputs["information"], "z": inputs["z_bounds"], "drift": drift});
            one(
                "group-sequential",
                call,
                vec![
                    ("power.3", out["reject"].clone()),
                    ("power.2", out["early_stop"].clone()),
                ],
            )
        }
        "group_sequential" if inputs["spending"].is_string() => {
            let parameter = if inputs["parameter"].is_null() {
                &inputs["gamma"]
            } else {
                &inputs["parameter"]
            };
            let spending = match inputs["spending"].as_str().unwrap() {
                "asOF" | "Lan-DeMets OBF" => json!("obf"),
                "asP" | "Lan-DeMets Pocock" => json!("pocock"),
                "asKD" | "alpha*t^rho" => json!({"kim_demets": parameter}),
                "asHSD" | "Hwang-Shih-DeCani" => json!({"hsd": parameter}),
                "alpha*t^2" => json!({"kim_demets": 2}),
                other => panic!("{other}"),
            };
            let call = json!({"information": inputs["information"], "alpha": inputs["alpha"], "sides": inputs["sides"], "spending": spending});
            one(
                "group-sequential",
                call,
                vec![
                    ("bounds", out["z_bounds"].clone()),
                    (
                        "alpha_spent",
                        out.get("alpha_spent").cloned().unwrap_or(Value::Null),
                    ),
                ],
            )
        }
        "non_inferiority" if inputs["rows"].is_array() && inputs["nim"].is_array() => {
            let arm = |idx: usize| spotify_arm(&inputs["rows"][idx]);
            // The package states the preferred direction.
            let higher = if inputs["nim"][1] == json!("increase") {
                "better"
            } else {
                "worse"
            };
            let call = json!({"control": arm(0), "treatment": arm(1), "margin": inputs["nim"][0], "margin_kind": "relative", "higher_is": higher});
            one("non-inferiority", call, vec![("p_value", out["p-value"].clone())])
        }
        "non_inferiority" if inputs["margin"].is_number() => one(
            "non-inferiority",
            with(arms(), json!({"margin": inputs["margin"], "higher_is": "better"})),
            vec![("p_value", out["wald"]["p"].clone())],
        ),
        "multiple_testing" => [
            ("bonferroni", "bonferroni"),
            ("holm", "holm"),
            ("hochberg", "simes-hochberg"),
            ("bh", "fdr_bh"),
            ("by", "fdr_by"),
        ]
        .into_iter()
        .map(|(kind, key)| {
            (
                kind,
                if vector["id"] == format!("R-padjust-{}", if kind == "by" { "BY" } else { kind }) {
                    "adjusted"
                } else {
                    key
                },
            )
        })
        .filter(|(_, key)| out[key].is_array())
        .map(|(kind, key)| Case {
            name: "multiplicity",
            inputs: json!({"p_values": inputs["p"], "method": kind}),
            expected: vec![("p_value_adj", out[key].clone())],
        })
        .collect(),
        "stratified_combination" if inputs["strata"].is_array() => one(
            "stratified",
            json!({"strata": inputs["strata"]}),
            vec![
                ("mantel_haenszel.effect_size", out["mh_rd"].clone()),
                ("mantel_haenszel.std_error", out["mh_rd_se"].clone()),
                ("precision_weighted.effect_size", out["iv_rd"].clone()),
                ("precision_weighted.std_error", out["iv_se"].clone()),
                ("q", out["cochran_Q"].clone()),
                ("q_p_value", out["Q_p"].clone()),
                ("pooled.effect_size", out["naive_rd"].clone()),
            ],
        ),
        "clustered" => {
            let (ids, diffs) = (
                inputs["cluster_id"].as_array().unwrap(),
                inputs["diff"].as_array().unwrap(),
            );
            let mut sums = std::collections::BTreeMap::<u64, (f64, f64)>::new();
            for (id, diff) in ids.iter().zip(diffs) {
                let sum = sums.entry(id.as_u64().unwrap()).or_default();
                *sum = (sum.0 + diff.as_f64().unwrap(), sum.1 + 1.0);
            }
            let arm = |of: fn(&(f64, f64)) -> [f64; 2]| json!({"clusters": sums.values().map(of).collect::<Vec<_>>()});
            ["cr1", "cr0"]
                .into_iter()
                .zip(["se_cr1", "se_cr0"])
                .map(|(kind, key)| Case {
                    name: "clusters",
                    inputs: json!({"control": arm(|(_, n)| [0.0, *n]), "treatment": arm(|(sum, n)| [*sum, *n]), "paired": true, "variance": kind}),
                    expected: vec![("effect_size", out["mean"].clone()), ("std_error", out[key].clone()), ("n_clusters", out["n_clusters"].clone())],
                })
                .collect()
        }
        "sequential_ci" if method.starts_with("GrowthBook AsympCS / Eppo") => {
            [(5_000, "N5000"), (100_000, "N100000")]
                .into_iter()
                .map(|(n, key)| {
                    let d = inputs["treatment"]["mean"].as_f64().unwrap()
                        - inputs["control"]["mean"].as_f64().unwrap();
                    let half = number(&out[format!("gb_asympcs_halfwidth_{key}")]).unwrap();
                    Case {
                        name: "sequential",
                        inputs: with(arms(), json!({"n_tuning": n, "alpha": inputs["alpha"]})),
                        expected: vec![
                            ("ci_upper", json!(d + half)),
                            ("p_value", out[format!("gb_asympcs_p_{key}")].clone()),
                            ("log_e_value", out[format!("gb_log_evalue_{key}")].clone()),
                        ],
                    }
                })
                .collect()
        }
        "paired_replay" => {
            let mut calls = vec![];
            for (kind, statistic, p) in [("exact", "", "exact_p"), ("chi2", "chi2_cc", "p_cc")] {
                if out[p].is_number() {
                    calls.push(Case {
                        name: "mcnemar",
                        inputs: json!({"table": inputs["table"], "method": kind}),
                        expected: vec![
                            ("p_value", out[p].clone()),
                            ("statistic", out.get(statistic).cloned().unwrap_or(Value::Null)),
                            ("effect_size", out["diff_candidate_minus_base"].clone()),
                            ("std_error", out["se_wald"].clone()),
                        ],
                    });
                }
            }
            calls
        }
        "mann_whitney" if inputs["x"].is_array() => ["two-sided", "greater", "less"]
            .into_iter()
            .map(|side| Case {
                name: "mann-whitney",
                inputs: json!({"x": inputs["x"], "y": inputs["y"], "alternative": side}),
                expected: vec![
                    ("statistic", out[side]["U1"].clone()),
                    ("p_value", out[side]["p_asymptotic_cc"].clone()),
                    ("effect_size", out["cles"].clone()),
                ],
            })
            .collect(),
        "mann_whitney" => one(
            "mann-whitney",
            json!({"x": inputs["y_treatment"], "y": inputs["x_control"]}),
            vec![
                ("statistic", out["W"].clone()),
                ("p_value", out["p_value"].clone()),
            ],
        ),
        "power" if method.starts_with("control-arm n") => {
            let effect = inputs["p_control"].as_f64().unwrap() * inputs["rel_effect"].as_f64().unwrap();
            [("arcsine", "n_control_arcsine"), ("unpooled", "n_control_unpooled"), ("pooled", "n_control_fleiss")]
                .into_iter()
                .map(|(kind, key)| Case {
                    name: "power",
                    inputs: json!({"kind": "proportion", "p": inputs["p_control"], "effect": effect, "power": inputs["power"],
                        "alpha": inputs["alpha"], "ratio": inputs["ratio_treat_to_control"], "null_variance": kind}),
                    expected: vec![("n_control", out[key].clone())],
                })
                .collect()
        }
        "power" if method.starts_with("t-test n of control") => one(
            "power",
            json!({"kind": "mean", "mean": 0, "var": 1, "effect": inputs["cohen_d"], "power": inputs["power"], "alpha": inputs["alpha"],
                "ratio": inputs["ratio_treat_to_control"], "method": "t"}),
            vec![("n_control", out["n_control"].clone())],
        ),
        "power" if method.starts_with("power via") => {
            let (mean, relative) = (
                inputs["mean"].as_f64().unwrap(),
                inputs["rel_effect"].as_f64().unwrap(),
            );
            let base = json!({"kind": "mean", "mean": mean, "var": inputs["var"], "alpha": inputs["alpha"], "ratio": inputs["ratio_treat_to_control"],
                "alternative": alternative, "method": if inputs["use_t"] == json!(true) { "t" } else { "z" }});
            vec![
                Case {
                    name: "power",
                    inputs: with(
                        base.clone(),
                        json!({"n_total": 10_000, "effect": mean * relative}),
                    ),
                    expected: vec![("power", out["power_at_n_10000"].clone())],
                },
                Case {
                    name: "power",
                    inputs: with(base, json!({"n_total": 10_000, "power": inputs["power"]})),
                    expected: vec![("rel_effect", out["rel_mde_at_n_10000"].clone())],
                },
            ]
        }
        "power" if method.starts_with("MDE via") => {
            let effect = number(&out["p_treat"]).unwrap() - inputs["p_control"].as_f64().unwrap();
            let ratio = inputs["ratio_treat_to_control"].as_f64().unwrap();
            one(
                "power",
                json!({"kind": "proportion", "p": inputs["p_control"], "n_total": inputs["n_control"].as_f64().unwrap() * (1.0 + ratio), "power": inputs["power"],
                    "alpha": inputs["alpha"], "ratio": ratio, "null_variance": "arcsine"}),
                vec![("effect", json!(effect))],
            )
        }
        "power" if method.starts_with("fixed sample size two rates") => {
            let effect = inputs["pi_treat"].as_f64().unwrap() - inputs["pi_control"].as_f64().unwrap();
            one(
                "power",
                json!({"kind": "proportion", "p": inputs["pi_control"], "effect": effect, "power": inputs["power"], "alpha": inputs["alpha"],
                    "ratio": inputs["allocation_treat_to_control"], "alternative": if effect > 0.0 { "greater" } else { "less" }}),
                vec![("n_total", out["n_total"].clone())],
            )
        }
        "power" if method.starts_with("power.prop.test") => {
            let (p1, p2) = (inputs["p1"].as_f64().unwrap(), inputs["p2"].as_f64().unwrap());
            one(
                "power",
                json!({"kind": "proportion", "p": p1, "effect": p2 - p1, "power": inputs["power"], "alpha": inputs["alpha"]}),
                vec![("n_control", out["n_per_group"].clone())],
            )
        }
        _ => Vec::new(),
    }
}

/// Whether Sluice differs from a reference value on purpose. docs/METHODS.md describes the methods.
fn is_known_fault(id: &str, path: &str) -> bool {
    // Relative effects of two rows: the control's own interval contains 0, so Sluice gives none.
    (id.contains("-n2-") && path.starts_with("rel_"))
        // The package divides by |control|, Sluice by the control.
        || (id.contains("neg-mean-relative") && path.starts_with("rel_"))
        // The logarithm of a treatment without events does not exist.
        || (id.starts_with("tt-prop-zero") && path.starts_with("rel_log"))
        // The reference value is the rounded decimal of 1 + 5e-11, so its difference from 1 has few
        // digits.
        || (id.starts_with("tt-mean-offset") && path.starts_with("rel_"))
        // The grid of 0.05 and the limit z = 8 of the package cost three digits when the
        // information grows a hundredfold. 108 other designs agree to 1e-7.
        || id == "sp-gs-ramp-1-5-25-50-100-0.001-1"
        // Wald's interval is wrong with fewer than five events.
        || ["zero-both", "n1", "zero-treat", "zero-ctrl", "all-treat"].iter().any(|what| id.starts_with(&format!("sm-noninf-{what}")))
        // The grid of the reference ends where 1e-37 is still to be spent. The bound of the second
        // look alone is 12.68999.
        || id == "gs-30d-LDOF-0.001-1"
        // The inputs are decimals that doubles cannot represent, so the difference of the means has
        // no more digits.
        || id == "mp-welch-offset1e9" || (id == "mp-welch-1e-50" && path == "p_value")
        // The search of the package stops at a power of 0.80007.
        || id.starts_with("sm-mde-")
}

fn found<'a>(answer: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(answer, |value, key| {
        key.parse::<usize>()
            .map_or_else(|_| &value[key], |idx| &value[idx])
    })
}

/// Whether a result differs from its expected value. NaN, infinities and null differ from every
/// number.
pub(crate) fn differs(found: &Value, expected: &Value, rel: f64, abs: f64) -> bool {
    match (found, expected) {
        (Value::Array(found), Value::Array(expected)) => {
            found.len() != expected.len() || found.iter().zip(expected).any(|(a, b)| differs(a, b, rel, abs))
        }
        (_, Value::Number(_)) => {
            let expected = number(expected).unwrap();
            number(found)
                .is_none_or(|found| (found - expected).abs() > abs.max(rel * expected.abs()).max(1e-300))
        }
        _ => false,
    }
}

#[test]
fn reference_values_of_other_packages_are_met() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/statistics.json")).unwrap();
    let (mut failures, mut n_used, mut unused) =
        (Vec::new(), 0, std::collections::BTreeMap::<String, usize>::new());
    for vector in vectors["vectors"].as_array().unwrap() {
        let except = match &vector["target"] {
            Value::Bool(false) => continue,
            Value::String(text) => text.trim_start_matches("except ").to_owned(),
            _ => String::new(),
        };
        let cases = cases(vector);
        if cases.is_empty() {
            *unused
                .entry(vector["family"].as_str().unwrap().to_owned())
                .or_default() += 1;
            continue;
        }
        n_used += 1;
        // Tolerances: at least 1e-9 for closed forms and 1e-6 for iterations and integrations, or
        // the tolerance of the package.
        let (rel, mut abs) = (
            number(&vector["rel_tol"]).unwrap().max(1e-9),
            number(&vector["abs_tol"]).unwrap(),
        );
        if vector["system"].as_str().unwrap().starts_with("gbstats") {
            // The package computes tails as 1 - cdf.
            abs = abs.max(1e-15);
        }
        for case in cases {
            let line = answer_line(Function::find(case.name).unwrap(), &case.inputs.to_string());
            let answer: Value = serde_json::from_str(&line.text).unwrap();
            for (path, expected) in &case.expected {
                if *path == except || is_known_fault(vector["id"].as_str().unwrap(), path) {
                    continue;
                }
                let found = found(&answer, path);
                if differs(found, expected, rel, abs) {
                    failures.push(format!(
                        "{} {} {path}: {found} against {expected}\n    {}",
                        vector["id"], case.name, line.text
                    ));
                }
            }
        }
    }
    eprintln!("{n_used} used; not used: {unused:?}");
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(n_used > 400, "{n_used}");
}

#[test]
fn buckets_are_those_of_the_real_clients() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/bucketing.json")).unwrap();
    let bucket = Function::find("bucket").unwrap();
    let mut n_used = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let (algo, out) = (vector["algo"].as_str().unwrap(), &vector["expected"]);
        if algo == "unleash.client-spec" {
            continue;
        }
        let mut inputs = with(vector["inputs"].clone(), json!({"profile": algo}));
        // GrowthBook's attribute `id` is the input `value`: `id` names the line of a batch.
        if let Some(id) = inputs.as_object_mut().unwrap().remove("id") {
            inputs["value"] = id;
        }
        let line = answer_line(bucket, &inputs.to_string());
        let answer: Value = serde_json::from_str(&line.text).unwrap();
        let pairs: Vec<(&str, Value)> = match algo {
            "launchdarkly.bucket" => vec![
                ("value", out["bucket"].clone()),
                ("bucket", out["weight_100000"].clone()),
            ],
            "planout.sha1" => vec![("bucket", out["RandomInteger_0_9999"].clone())],
            _ => [
                ("n", "value"),
                ("bucket", "bucket"),
                ("normalized_1_100", "bucket"),
                ("variant_1_1000", "variant"),
                ("variant", "variant"),
                ("percent", "value"),
                ("bucket_10000", "bucket"),
                ("shard", "bucket"),
                ("hash", "value"),
                ("bucket_1_100", "bucket"),
            ]
            .into_iter()
            .filter_map(|(theirs, ours)| Some((ours, out.get(theirs)?.clone())))
            .collect(),
        };
        for (name, expected) in pairs.iter().filter(|(_, expected)| !expected.is_null()) {
            assert!(
                &answer[name] == expected
                    || !differs(&answer[name], expected, 1e-15, 0.0) && expected.is_number(),
                "{vector}\n{}",
                line.text
            );
            n_used += 1;
        }
    }
    assert!(n_used > 300, "{n_used}");
}

#[test]
fn off_policy_estimates_are_those_of_obp() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/ope.json")).unwrap();
    let ope = Function::find("ope").unwrap();
    let mut n_used = 0;
    for vector in vectors["synthetic"].as_array().unwrap() {
        let inputs = json!({
            "reward": vector["reward"], "action": vector["action"], "pscore": vector["pscore"], "pi_e": vector["pi_e_at_position"],
            "q_hat": vector["q_hat_at_position"], "lambdas": vector["lambdas"],
        });
        let line = answer_line(ope, &inputs.to_string());
        let answer: Value = serde_json::from_str(&line.text).unwrap();
        for (theirs, ours) in [
            ("ipw", "ips"),
            ("ipw_clip", "ips_clip"),
            ("snipw", "snips"),
            ("dm", "dm"),
            ("dr", "dr"),
            ("dr_clip", "dr_clip"),
            ("sndr", "sndr"),
            ("switch_dr", "switch_dr"),
            ("dr_os", "dr_os"),
            ("sg_ipw", "sg_ips"),
            ("sg_dr", "sg_dr"),
        ] {
            let expected = &vector["estimates"][theirs];
            assert!(
                !differs(&answer[ours]["estimate"], expected, 1e-9, 1e-15),
                "{} {ours} {expected}: {}",
                vector["id"],
                line.text
            );
            n_used += 1;
        }
    }
    assert!(n_used > 100, "{n_used}");
}

#[test]
fn bounded_off_policy_intervals_are_those_of_vowpal_wabbit_s_estimators() {
    let logs: Value = serde_json::from_str(include_str!("../vectors/ope.json")).unwrap();
    let intervals: Value = serde_json::from_str(include_str!("../vectors/ope_intervals.json")).unwrap();
    let ope = Function::find("ope").unwrap();
    for case in intervals["cases"].as_array().unwrap() {
        let vector = logs["synthetic"]
            .as_array()
            .unwrap()
            .iter()
            .find(|vector| vector["id"] == case["id"])
            .unwrap();
        for (name, weight_max) in [
            ("cressieread_wmax_inf", None),
            ("cressieread_wmax_50", Some(50.0)),
        ] {
            let mut inputs = json!({
                "reward": vector["reward"], "action": vector["action"], "pscore": vector["pscore"], "pi_e": vector["pi_e_at_position"],
            });
            if let Some(weight_max) = weight_max {
                inputs["weight_max"] = json!(weight_max);
            }
            let line = answer_line(ope, &inputs.to_string());
            let answer: Value = serde_json::from_str(&line.text).unwrap();
            let check = |found: &Value, expected: &Value| {
                assert!(
                    !differs(found, expected, 1e-8, 1e-9),
                    "{} {name} {expected}: {found}",
                    case["id"]
                );
            };
            let part = &answer["cressie_read"];
            check(&part["estimate"], &case["estimates"][name]);
            check(
                &json!([part["ci_lower"], part["ci_upper"]]),
                &case["intervals_alpha0.05"][name],
            );
            let part = &answer["anytime"];
            check(
                &json!([part["ci_lower"], part["ci_upper"]]),
                &case["intervals_alpha0.05"]["cs_anytime"],
            );
        }
    }
}

#[test]
fn several_loggers_are_balanced_as_obp_does() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/ope.json")).unwrap();
    let ope = Function::find("ope").unwrap();
    for vector in vectors["multi_logger"].as_array().unwrap() {
        let list = |key: &str| vector[key].as_array().unwrap();
        let shares: Vec<f64> = list("treat_share")
            .iter()
            .map(|share| share.as_f64().unwrap())
            .collect();
        let of_action = |action: &Value| {
            shares
                .iter()
                .map(|share| if action == 1 { *share } else { 1.0 - share })
                .collect::<Vec<f64>>()
        };
        let inputs = json!({
            "reward": vector["reward"], "action": vector["action"], "logger": vector["stratum"],
            "pscores": list("action").iter().map(of_action).collect::<Vec<_>>(),
            "pi_e": vec![[0, 1]; list("action").len()], "q_hat": vector["q_hat"],
        });
        let answer: Value = serde_json::from_str(&answer_line(ope, &inputs.to_string()).text).unwrap();
        for (ours, theirs) in [("ips", "balanced_ipw"), ("dr", "balanced_dr")] {
            assert!(
                !differs(&answer[ours]["estimate"], &vector["estimates"][theirs], 1e-9, 0.0),
                "{} {ours}: {answer}",
                vector["id"]
            );
        }
    }
}

#[test]
fn ramps_are_those_of_recursive_integration() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/ramp.json")).unwrap();
    let ramp = Function::find("ramp").unwrap();
    for vector in vectors["group_sequential_ramps"].as_array().unwrap() {
        let inputs = |delta: &Value| json!({"shares": vector["shares"], "n": vector["N"], "sigma2": vector["sigma2"], "delta": delta, "c": vector["c"]});
        for (delta, suffix, rollback) in [
            (&json!(0), "delta0", "P_false_rollback"),
            (&vector["delta_bad"], "bad", "P_detect_bad"),
        ] {
            let line = answer_line(ramp, &inputs(delta).to_string());
            let answer: Value = serde_json::from_str(&line.text).unwrap();
            let check = |ours: &str, expected: &Value, rel: f64| {
                let mut found = answer[ours].clone();
                if let (Some(found), Some(expected)) = (found.as_array_mut(), expected.as_array()) {
                    found.truncate(expected.len());
                }
                assert!(
                    !differs(&found, expected, rel, 1e-12),
                    "{} {ours} {expected}: {}",
                    vector["id"],
                    line.text
                );
            };
            check("p_rollback", &vector[rollback], 1e-6);
            check("stop_probability", &vector[format!("stop_prob_{suffix}")], 2e-6);
            check(
                "expected_exposed",
                &vector[format!("E_exposed_users_{suffix}")],
                1e-6,
            );
            check("information", &vector["information"], 1e-9);
        }
    }
    let step = Function::find("risk-of-ruin").unwrap();
    for vector in vectors["risk_of_ruin_step"].as_array().unwrap() {
        let mut inputs = Map::new();
        for (theirs, ours) in [
            ("budget", "budget"),
            ("post_mean", "post_mean"),
            ("post_var", "post_var"),
            ("sigma2", "sigma2"),
            ("Delta", "delta"),
            ("cap", "cap"),
        ] {
            inputs.insert(ours.to_owned(), vector[theirs].clone());
        }
        let line = answer_line(step, &Value::Object(inputs).to_string());
        let answer: Value = serde_json::from_str(&line.text).unwrap();
        assert!(
            !differs(&answer["m_max"], &vector["m_max"], 1e-9, 0.0),
            "{vector} {}",
            line.text
        );
    }
}

//! Tests of files for gateways, change requests, metrics and a dashboard, read in the way of their
//! systems.

use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    publish_forms::{LAYERS, Wish, ask},
    support::{ecommerce, fails, json, ok, text},
};

/// Reads a file in the way of its system.
fn read(form: &str, file: &Path) -> Value {
    ask(
        "python3",
        "read.py",
        &["python"],
        &json!({"form": form, "file": file}),
    )
}

/// Asserts that objects satisfy their resource definitions.
fn assert_legal(objects: &Value, kinds: &[&str]) {
    assert_eq!(
        ask("node", "kubernetes.mjs", &["node/node_modules"], objects),
        json!(kinds)
    );
}

/// Publishes these ratios. Returns the objects of the file and the warnings.
fn publish(kind: &str, settings: &str, ratios: &[(&str, &str, f64)]) -> (Value, Value) {
    let (_folder, file, report) = Wish {
        ratios,
        ..Wish::of("sluice")
    }
    .publish(kind, "out.yaml", settings);
    (read("yaml", &file), report["targets"][0]["warnings"].clone())
}

#[test]
fn istio_routes_by_layer_and_everybody_else_to_the_baseline() {
    let ratios = [
        ("default", "L1_new", 0.0),
        ("default", "no", 0.1),
        ("default", "2026-11-21", 1.0),
    ];
    let (objects, warnings) = publish(
        "istio",
        "?host=agent.prod.svc.cluster.local&gateways=a,b/c&namespace=prod",
        &ratios,
    );
    assert_legal(&objects, &["VirtualService"]);
    assert!(
        warnings[0].as_str().unwrap().contains("every request"),
        "{warnings}"
    );
    let service = &objects[0];
    assert_eq!(
        (&service["metadata"]["name"], &service["metadata"]["namespace"]),
        (&json!("agent"), &json!("prod"))
    );
    assert_eq!(service["spec"]["gateways"], json!(["a", "b/c"]));
    let to = |subset: &str, weight: u32| json!({"destination": {"host": "agent.prod.svc.cluster.local", "subset": subset}, "weight": weight});
    let found: Vec<[&Value; 2]> = service["spec"]["http"]
        .as_array()
        .unwrap()
        .iter()
        .map(|route| [&route["match"], &route["route"]])
        .collect();
    // Layer names that YAML would read as another type are written as texts.
    let layer = |layer: &str| json!([{"headers": {"x-sluice-layer": {"exact": layer}}}]);
    assert_eq!(
        found,
        [
            [&layer("no"), &json!([to("candidate", 10), to("stable", 90)])],
            [&layer("2026-11-21"), &json!([to("candidate", 100)])],
            [&Value::Null, &json!([to("stable", 100)])],
        ]
    );
    // Tenants and consent are conditions of a route, too.
    let ratios = [("甲", "A", 0.1), ("乙", "A", 0.2)];
    let (objects, warnings) = publish(
        "istio",
        "?host=agent&consent=x-consent&tenant_attribute=x-t",
        &ratios,
    );
    let headers = &objects[0]["spec"]["http"][1]["match"][0]["headers"];
    assert_eq!(
        *headers,
        json!({"x-sluice-layer": {"exact": "A"}, "x-t": {"exact": "乙"}, "x-consent": {"exact": "true"}})
    );
    assert!(warnings.to_string().contains("not ASCII"), "{warnings}");
    // With ratio 0 there is one route.
    let (objects, _) = publish("istio", "?host=agent", &[("default", "A", 0.0)]);
    assert_legal(&objects, &["VirtualService"]);
    assert_eq!(objects[0]["spec"]["http"].as_array().unwrap().len(), 1);
}

/// Returns the cluster that Envoy selects. Envoy takes the first matching route. The number in the
/// header, modulo the sum of the weights, is a position in the list of weighted clusters.
fn envoy_picks(configuration: &Value, layer: &str, bucket: u64) -> String {
    let routes = configuration["virtualHosts"][0]["routes"].as_array().unwrap();
    let matches = |route: &&Value| {
        let headers = route["match"]["headers"].as_array().cloned().unwrap_or_default();
        headers
            .iter()
            .all(|header| header["name"] == "x-sluice-layer" && header["stringMatch"]["exact"] == layer)
    };
    let action = &routes.iter().find(matches).unwrap()["route"];
    let Some(clusters) = action["weightedClusters"]["clusters"].as_array() else {
        return action["cluster"].as_str().unwrap().to_owned();
    };
    assert_eq!(action["weightedClusters"]["headerName"], "x-sluice-bucket");
    let weight = |cluster: &Value| cluster["weight"].as_u64().unwrap();
    let mut rest = bucket % clusters.iter().map(weight).sum::<u64>();
    let picked = clusters.iter().find(|cluster| {
        let is_here = rest < weight(cluster);
        rest = rest.saturating_sub(weight(cluster));
        is_here
    });
    picked.unwrap()["name"].as_str().unwrap().to_owned()
}

#[test]
fn envoy_gives_the_candidate_to_the_buckets_below_the_ratio() {
    let ratios = [
        ("default", "A", 0.0),
        ("default", "B", 0.0001),
        ("default", "沉睡", 0.1),
        ("default", "D", 1.0),
    ];
    for name in ["routes.yaml", "routes.json"] {
        let (_folder, file, _) = Wish {
            ratios: &ratios,
            ..Wish::of("growthbook/2")
        }
        .publish("envoy", name, "?candidate=new&baseline=old");
        assert_eq!(
            fs::read_to_string(&file).unwrap().starts_with('{'),
            name.ends_with("json")
        );
        let configuration = read("envoy", &file);
        for (_, layer, share) in ratios.iter().chain([&("", "unknown", 0.0)]) {
            for bucket in 0..10_000 {
                let expected = if (bucket as f64) < share * 10_000.0 {
                    "new"
                } else {
                    "old"
                };
                assert_eq!(
                    envoy_picks(&configuration, layer, bucket),
                    expected,
                    "{layer} {bucket}"
                );
            }
        }
    }
}

#[test]
fn argo_goes_up_the_ladder_from_the_ratio_in_force() {
    let settings =
        "?name=agent&gate=https://gate.example/a.json&layer=L3_steady&workload=agent&namespace=prod";
    let (objects, warnings) = publish("argo", settings, &LAYERS);
    assert_legal(&objects, &["AnalysisTemplate", "Rollout"]);
    assert!(warnings.to_string().contains("every request"));
    let between = || {
        [
            json!({"pause": {"duration": "24h"}}),
            json!({"analysis": {"templates": [{"templateName": "agent-sluice"}]}}),
        ]
    };
    let mut steps = vec![json!({"setWeight": 10})];
    for percent in [50, 100] {
        steps.extend(between());
        steps.push(json!({"setWeight": percent}));
    }
    assert_eq!(objects[1]["spec"]["strategy"]["canary"]["steps"], json!(steps));
    assert_eq!(objects[1]["spec"]["workloadRef"]["name"], "agent");
    let metric = &objects[0]["spec"]["metrics"][0];
    assert_eq!(
        metric["successCondition"],
        "result.verdict != \"rollback\" && result.n >= 500 && result.qos >= 0.8"
    );
    assert_eq!(
        metric["failureCondition"],
        "result.verdict == \"rollback\" || (result.n >= 500 && result.qos < 0.6)"
    );
    assert_eq!(metric["provider"]["web"]["url"], "https://gate.example/a.json");
    // Ratio 1 and ratio 0. A plan with one layer needs no layer name.
    for (share, steps) in [
        (1.0, json!([{"setWeight": 100}])),
        (0.0, json!([{"setWeight": 0}, {"pause": {}}])),
    ] {
        let (objects, _) = publish("argo", "?name=agent&gate=http://g", &[("default", "A", share)]);
        assert_legal(&objects, &["AnalysisTemplate", "Rollout"]);
        assert_eq!(objects[1]["spec"]["strategy"]["canary"]["steps"], steps);
    }
}

#[test]
fn flagger_is_let_on_while_the_verdict_is_to_promote() {
    let check = |share: f64, approved: [&str; 4]| {
        let settings = "?workload=agent&gate=http://flagger-loadtester.test/gate/&layer=A&tenant=t";
        let (objects, _) = publish("flagger", settings, &[("t", "A", share), ("t", "B", 0.5)]);
        let spec = &objects[0]["spec"];
        assert_eq!(
            (&objects[0]["apiVersion"], &objects[0]["kind"]),
            (&json!("flagger.app/v1beta1"), &json!("Canary"))
        );
        assert_eq!(
            spec["targetRef"],
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "agent"})
        );
        let analysis = &spec["analysis"];
        assert_eq!(
            (&analysis["stepWeights"], &analysis["interval"]),
            (&json!([1, 10, 50, 100]), &json!("1440m"))
        );
        assert_eq!(analysis["metrics"][0]["thresholdRange"], json!({"min": 0.8}));
        let hooks: Vec<(&str, &str)> = analysis["webhooks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hook| {
                (
                    hook["type"].as_str().unwrap(),
                    hook["url"]
                        .as_str()
                        .unwrap()
                        .strip_prefix("http://flagger-loadtester.test/gate/")
                        .unwrap(),
                )
            })
            .collect();
        let kinds = [
            "confirm-rollout",
            "confirm-traffic-increase",
            "confirm-promotion",
            "rollback",
        ];
        assert_eq!(
            hooks,
            kinds.into_iter().zip(approved).collect::<Vec<_>>(),
            "{share}"
        );
    };
    check(0.0, ["halt", "halt", "halt", "approve"]);
    check(0.1, ["approve", "approve", "halt", "halt"]);
    check(1.0, ["approve", "approve", "approve", "halt"]);
}

#[test]
fn whole_percents_and_one_layer_a_rollout() {
    let check = |address: &str, ratios: &[(&str, &str, f64)], expected: &[&str]| {
        let folder = Wish {
            ratios,
            ..Wish::of("sluice")
        }
        .folder();
        let file = folder.path().join("out.yaml");
        let error = fails(
            &[
                "publish",
                text(folder.path()),
                "--to",
                &address.replace("FILE", text(&file)),
            ],
            4,
        );
        assert!(
            expected.iter().all(|part| error.contains(part)),
            "{address}: {error}"
        );
        assert!(!file.exists(), "{address}");
    };
    let half = [("default", "L", 0.005)];
    for address in [
        "istio:FILE?host=a",
        "argo:FILE?name=a&gate=g",
        "flagger:FILE?workload=a&gate=g",
    ] {
        check(address, &half, &["steps of 1%", "found 0.5% of default / L"]);
    }
    check(
        "argo:FILE?name=a&gate=g",
        &LAYERS,
        &["expected one layer, found 4", "L3_steady", "?layer="],
    );
    check(
        "flagger:FILE?workload=a&gate=g&layer=none",
        &LAYERS,
        &["expected one layer, found 0"],
    );
    check("argo:FILE?gate=g&layer=L3_steady", &LAYERS, &["`name`", "?name="]);
    check("istio:FILE?host=Agent_1", &LAYERS, &["object's name", "`name`"]);
    check(
        "istio:FILE?host=a&attribute=X-Layer",
        &LAYERS,
        &["lowercase", "`attribute`"],
    );
    check("envoy:FILE?header=a:b", &LAYERS, &["lowercase", "`header`"]);
    check(
        "flagger:FILE?workload=a&gate=g&port=0&layer=L3_steady",
        &LAYERS,
        &["`port`", "found `0`"],
    );
    check("litellm:FILE?candidate=openai/a", &LAYERS, &["`baseline`"]);
    check(
        "litellm:FILE?candidate=a&baseline=b",
        &[("a-b", "c", 0.1), ("a", "b-c", 0.1)],
        &["name of its own", "agent-release-a-b-c"],
    );
    check(
        "langfuse:FILE?prompt=a&baseline=1&candidate=two",
        &LAYERS,
        &["whole number", "found `two`"],
    );
    check(
        "milvus:FILE?alias=kb&baseline=kb&candidate=b",
        &LAYERS,
        &["`kb` twice"],
    );
    check("prometheus:FILE", &LAYERS, &["*.prom"]);
    check("gate:FILE?layer=L3_steady", &LAYERS, &["expected an analysis"]);
}

#[test]
fn litellm_weighs_deployments_of_one_name_a_layer() {
    let (objects, warnings) = publish(
        "litellm",
        "?candidate=openai/new&baseline=openai/old&model=agent",
        &LAYERS,
    );
    assert!(warnings.to_string().contains("every request"));
    let models = objects[0]["model_list"].as_array().unwrap();
    let found: Vec<(&str, &str, u64)> = models
        .iter()
        .map(|model| {
            let parameters = &model["litellm_params"];
            (
                model["model_name"].as_str().unwrap(),
                parameters["model"].as_str().unwrap(),
                parameters["weight"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("agent-L1_new", "openai/old", 10_000),
        ("agent-L3_steady", "openai/new", 1_000),
        ("agent-L3_steady", "openai/old", 9_000),
        ("agent-沉睡-低AI接受", "openai/new", 5_000),
        ("agent-沉睡-低AI接受", "openai/old", 5_000),
        ("agent-L4_all", "openai/new", 10_000),
    ];
    assert_eq!(found, expected);
    let ids: BTreeSet<&str> = models
        .iter()
        .map(|model| model["model_info"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), models.len());
    assert_eq!(
        objects[0]["router_settings"]["routing_strategy"],
        "simple-shuffle"
    );
}

/// The `requests` of a change request at these ratios, and those of its rollback.
fn requests(kind: &str, settings: &str, ratios: &[(&str, &str, f64)]) -> [Value; 2] {
    let (_folder, file, report) = Wish {
        ratios,
        ..Wish::of("sluice")
    }
    .publish(kind, "change.json", settings);
    assert!(report["targets"][0]["warnings"].to_string().contains("no ratios"));
    let request = json(&file);
    assert_eq!(
        (&request["schema"], &request["system"]),
        (&json!("sluice.change_request/1"), &json!(kind))
    );
    [request["requests"].clone(), request["rollback"].clone()]
}

#[test]
fn change_requests_split_names_while_a_ramp_runs_and_join_them_at_its_end() {
    let (none, some, all) = (
        [("t", "A", 0.0)],
        [("t", "A", 0.1), ("t", "B", 1.0)],
        [("t", "A", 1.0)],
    );
    let settings = "?prompt=客服/系统&baseline=7&candidate=9";
    let label = |version: u32, labels: &[&str]| {
        let path =
            format!("/api/public/v2/prompts/%E5%AE%A2%E6%9C%8D%2F%E7%B3%BB%E7%BB%9F/versions/{version}");
        json!({"method": "PATCH", "path": path, "body": {"newLabels": labels}})
    };
    let back = json!([label(7, &["production", "candidate"])]);
    assert_eq!(
        requests("langfuse", settings, &none),
        [back.clone(), back.clone()]
    );
    assert_eq!(
        requests("langfuse", settings, &some),
        [
            json!([label(9, &["candidate"]), label(7, &["production"])]),
            back.clone()
        ]
    );
    assert_eq!(
        requests("langfuse", settings, &all),
        [json!([label(9, &["production", "candidate"])]), back]
    );

    let settings = "?alias=kb&baseline=kb_v1&candidate=kb_v2&database=agents";
    let alter = |alias: &str, collection: &str| {
        let body = json!({"aliasName": alias, "collectionName": collection, "dbName": "agents"});
        json!({"method": "POST", "path": "/v2/vectordb/aliases/alter", "body": body})
    };
    let milvus = |one: &str, other: &str| json!([alter("kb", one), alter("kb_candidate", other)]);
    assert_eq!(
        requests("milvus", settings, &none),
        [milvus("kb_v1", "kb_v1"), milvus("kb_v1", "kb_v1")]
    );
    assert_eq!(
        requests("milvus", settings, &some),
        [milvus("kb_v1", "kb_v2"), milvus("kb_v1", "kb_v1")]
    );
    assert_eq!(requests("milvus", settings, &all)[0], milvus("kb_v2", "kb_v2"));

    let settings = "?alias=kb&baseline=kb_v1&candidate=kb_v2&candidate_alias=kb_next";
    let [now, _] = requests("elasticsearch", settings, &some);
    let expected = json!([
        {"remove": {"index": "*", "alias": "kb", "must_exist": false}},
        {"add": {"index": "kb_v1", "alias": "kb"}},
        {"remove": {"index": "*", "alias": "kb_next", "must_exist": false}},
        {"add": {"index": "kb_v2", "alias": "kb_next"}},
    ]);
    assert_eq!(
        now,
        json!([{"method": "POST", "path": "/_aliases", "body": {"actions": expected}}])
    );
}

/// The value of the sample with these labels; `None` without one.
fn sample(samples: &Value, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has =
        |sample: &&Value| sample[0] == name && labels.iter().all(|(label, value)| sample[1][label] == *value);
    let found: Vec<&Value> = samples.as_array().unwrap().iter().filter(has).collect();
    assert!(found.len() <= 1, "{name} {labels:?}: {found:?}");
    found.first().map(|sample| sample[2].as_f64().unwrap())
}

#[test]
fn metrics_read_back_as_they_were_published() {
    let odd = "a\"b\\c\nd{} 沉睡";
    let ratios = [("甲", odd, 0.0001), ("甲", "B", 0.0), ("乙", odd, 1.0)];
    let (_folder, file, report) = Wish {
        ratios: &ratios,
        ..Wish::of("sluice")
    }
    .publish("prometheus", "sluice.prom", "");
    let samples = read("prometheus", &file);
    for (tenant, layer, share) in ratios {
        assert_eq!(
            sample(
                &samples,
                "sluice_layer_ratio",
                &[("tenant", tenant), ("layer", layer)]
            ),
            Some(share)
        );
        let verdict = |verdict: &str| {
            sample(
                &samples,
                "sluice_layer_verdict",
                &[("tenant", tenant), ("layer", layer), ("verdict", verdict)],
            )
        };
        assert_eq!(verdict("promote").unwrap() + verdict("hold").unwrap(), 1.0);
        assert_eq!(verdict("promote"), Some(if share > 0.0 { 1.0 } else { 0.0 }));
    }
    assert_eq!(
        sample(
            &samples,
            "sluice_layer_not_before_timestamp_seconds",
            &[("tenant", "甲"), ("layer", "B")]
        ),
        Some(1_795_305_600.0)
    );
    assert_eq!(
        sample(
            &samples,
            "sluice_layer_ladder_steps",
            &[("tenant", "甲"), ("layer", "B")]
        ),
        Some(4.0)
    );
    let version = report["version"].as_str().unwrap();
    assert_eq!(
        sample(
            &samples,
            "sluice_publication_info",
            &[("version", version), ("candidate", "rel-2026.11.3")]
        ),
        Some(1.0)
    );
    assert_eq!(
        sample(&samples, "sluice_ramp_status", &[("status", "running")]),
        Some(1.0)
    );
    assert_eq!(sample(&samples, "sluice_rolled_back_by_hand", &[]), Some(0.0));
}

#[test]
fn metrics_and_gates_of_a_study_have_its_users_and_its_quality() {
    let study = ecommerce();
    let folder = tempfile::tempdir().unwrap();
    let (metrics, gate) = (folder.path().join("sluice.prom"), folder.path().join("gate.json"));
    let schedule = json(&study.join("schedule.json"));
    let layer = schedule["layers"][0]["layer"].as_str().unwrap();
    let tenant = schedule["layers"][0]["tenant"].as_str().unwrap();
    let to = [
        format!("prometheus:{}", metrics.display()),
        format!("gate:{}?layer={layer}", gate.display()),
    ];
    ok(&[
        "publish",
        text(study),
        "--no-users",
        "--to",
        &to[0],
        "--to",
        &to[1],
    ]);
    let analysis = json(&study.join("analysis.json"));
    let expected = analysis["layers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|each| each["layer"] == layer && each["tenant"] == tenant)
        .unwrap();
    let samples = read("prometheus", &metrics);
    let of_layer = |name: &str, label: (&str, &str)| {
        sample(&samples, name, &[("layer", layer), ("tenant", tenant), label])
    };
    for (state, field) in [
        ("all", "n_users"),
        ("eligible", "n_eligible"),
        ("exposed", "n_exposed"),
    ] {
        assert_eq!(
            of_layer("sluice_layer_users", ("state", state)),
            expected[field].as_f64()
        );
    }
    let qos = &expected["stages"].as_array().unwrap().last().unwrap()["qos"]["candidate"]["point"];
    assert_eq!(
        of_layer(
            "sluice_layer_qos",
            ("release", schedule["candidate"].as_str().unwrap())
        ),
        qos.as_f64()
    );
    let gate = json(&gate);
    assert_eq!(gate["qos"], *qos);
    assert_eq!(
        gate["n"],
        if qos.is_null() {
            json!(0)
        } else {
            expected["n_exposed"].clone()
        }
    );
    assert_eq!(gate["verdict"], schedule["layers"][0]["verdict"]);
}

#[test]
fn the_dashboard_draws_metrics_that_exist() {
    let wish = Wish::of("sluice");
    let (folder, file, _) = wish.publish("grafana", "dashboard.json", "?title=T&range=10m");
    let dashboard = json(&file);
    assert_eq!(dashboard["title"], "T");
    let panels = dashboard["panels"].as_array().unwrap();
    let places: BTreeSet<String> = panels.iter().map(|panel| panel["gridPos"].to_string()).collect();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert!(places.len() == panels.len() && ids.len() == panels.len());
    // The queries of the dashboard: metrics that Sluice publishes, and all counters of the agents.
    let metrics = folder.path().join("a.prom");
    ok(&[
        "publish",
        text(folder.path()),
        "--to",
        &format!("prometheus:{}", metrics.display()),
    ]);
    let published: BTreeSet<String> = read("prometheus", &metrics)
        .as_array()
        .unwrap()
        .iter()
        .map(|sample| sample[0].as_str().unwrap().to_owned())
        .collect();
    let mut asked = BTreeSet::new();
    for target in panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
    {
        let query = target["expr"].as_str().unwrap();
        let names = query
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|name| name.starts_with("sluice_layer") || name.starts_with("agent_"));
        asked.extend(names.map(str::to_owned));
        let count = |c: char| query.matches(c).count();
        assert!(
            count('(') == count(')') && count('{') == count('}') && count('"').is_multiple_of(2),
            "{query}"
        );
        assert!(
            !query.contains("agent_") || query.contains(r#"version=~"rel-2026\\.10\\.9|rel-2026\\.11\\.3""#),
            "{query}"
        );
    }
    let agents: Vec<&str> = asked
        .iter()
        .map(String::as_str)
        .filter(|name| name.starts_with("agent_"))
        .collect();
    let expected = [
        "agent_chat_bad_count",
        "agent_chat_duration_count",
        "agent_chat_duration_sum",
        "agent_chat_success_count",
        "agent_chat_total",
        "agent_complaint_count",
        "agent_task_completed_count",
        "agent_task_total",
        "agent_tool_success_count",
        "agent_tool_total",
    ];
    assert_eq!(agents, expected);
    // Metrics of users and QoS need an analysis, which this folder does not have.
    let ours = asked.iter().filter(|name| {
        name.starts_with("sluice_") && !["sluice_layer_users", "sluice_layer_qos"].contains(&name.as_str())
    });
    for name in ours {
        assert!(published.contains(name), "{name}");
    }
}

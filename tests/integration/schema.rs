//! Tests of the schemas of documents. A schema must accept and refuse the same values as its
//! loader, and the committed files must equal the output of the program. `SLUICE_UPDATE=1` rewrites
//! the files.

use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;
use toml::{Table, Value};

use sluice::finops::Budget;
use sluice::gate::{CHECKS, GatePolicy};
use sluice::prices::Prices;
use sluice::scenario::{Overrides, Scenario};

use crate::support::{ok, root};

const DOCUMENTS: [&str; 4] = ["scenario", "gate", "prices", "budgets"];

/// A document: its schema, its loader, and example texts that the loader accepts. Together the
/// examples contain every table. The loader returns the parsed value as text.
struct Document {
    schema: Json,
    validator: jsonschema::Validator,
    bases: Vec<Table>,
    load: fn(&str) -> Option<String>,
}

const PLAN: &str = r#"
seed = 1
as_of = "2026-05-29T00:00:00Z"
freeze = [{ from = 2026-05-27T00:00:00Z, until = 2026-05-28T00:00:00Z }]
approval = [{ layer = "early", ratio = 0.1, at = "2026-05-25", by = "Ada" }]
allowed_column = [{ column = "is_political", reason = "topic of the answer" }]
expect = [{ layer = "early", verdict = "hold" }]
notify = [{ to = "feishu:$OPS_BOT" }]
operation = [{ at = "2026-05-25T00:00:00Z", layer = "early", ratio = 0.1 }]
metric = [{ id = "click_rate", numerator = "sum(click)", denominator = "rows" }]
guardrail = [
    { metric = "availability", margin = 0.01 },
    { metric = "latency_p95_ms", relative_margin = 0.2 },
    { metric = "incident_rate", max_count = 0 },
]
[plan]
id = "p"
start = "2026-05-25T00:00:00Z"
baseline = "old"
candidate = "new"
[layering]
[[layer]]
id = "early"
min_score = 0.5
tags = [{ column = "tier", equals = "a" }, { column = "n", at_least = 3 }]
[[layer]]
id = "regular"
[qos]
[policy]
[guard]
[[claim]]
users = 45_000
of = 5_000_000
share = 0.009
source = "a report"
[analysis]
[simulate]
layer = [{ id = "early", users = 1000, turns_per_user_day = 1 }]
rate = [{ metric = "latency_mean_ms", value = 900, sd = 100 }]
plan = [{ id = "other", layer = [{ id = "early" }] }]
[[simulate.world]]
id = "bad"
effects = [{ metric = "task_completion_rate", effect = -0.1, dimension = "model" }]
faults = [{ metric = "complaint_rate", effect = 0.1 }]
[simulate.budget]
max_harm = 10
"#;

fn documents() -> Vec<(&'static str, Document)> {
    // An edit gives bases a salt that profile `split` takes, or long windows.
    let plan = |more: &str, from: &str, to: &str| -> Table {
        format!("{}\n{more}", PLAN.replace(from, to)).parse().unwrap()
    };
    let users = "[input.users]\npath = 'users.csv'\n[input.users.join]\npath = 'j.csv'\n[input]\ntraffic = [{ path = 'a.csv' }]
        shadow = [{ path = 'b.csv' }]\noutcomes = [{ path = 'c.csv' }]";
    let traces = "[input.users]\npath = 'users.csv'\n[input.users.join]\npath = 'j'\nformat = 'otlp'\n[input]\n\
        traffic = [{ path = 'a', format = 'auto' }]\nshadow = [{ path = 'b', format = 'otlp' }]\n\
        outcomes = [{ path = 'c', format = 'otlp' }]\ntables = { d = { path = 'd', format = 'otlp' } }";
    let generate =
        "[input.generate]\nusers = 10\nturns = 10\nfault = [{ layer = 'early', from = 1779926400 }]";
    let scenario = Document::new(
        Scenario::schema(),
        vec![
            plan(users, "", ""),
            plan(generate, "[plan]", "[plan]\nwindow_minutes = 10080"),
            plan(
                "[input.events]\npath = 'e.csv'",
                "[layering]",
                "[layering]\nmode = 'quota'",
            )
            .with_quotas(),
            plan(traces, "", ""),
            plan(
                "[input]\nusers_from_traffic = true\ntraffic = [{ path = 'a.csv' }]",
                "[plan]",
                "[plan]\nsalt = '7'",
            ),
        ],
        |text| {
            let scenario = Scenario::parse(text, "s", Path::new(""), &Overrides::default()).ok()?;
            Some(format!(
                "{:?}",
                Scenario {
                    digest: String::new(),
                    ..scenario
                }
            ))
        },
    );
    let gate = "[gate.injection]\n[gate.cost]\n[gate.tools]\n[gate.canary]\n[gate.record]\n[gate.checks]
        [[gate.threshold]]\nmin = 0.5\nmax = 0.9\n[[gate.compare]]\nmargin = 0.1\n[[gate.judge]]
        sensitivity = 0.9\nspecificity = 0.9\nn_sensitivity = 10\nn_specificity = 10";
    let gate = Document::new(GatePolicy::schema(), vec![gate.parse().unwrap()], |text| {
        let mut policy = GatePolicy::parse(text, "g").ok()?;
        let checks: Vec<_> = CHECKS
            .iter()
            .map(|(name, _, _)| policy.strictness(name))
            .collect();
        policy.checks.clear();
        Some(format!("{checks:?} {policy:?}"))
    });
    let prices = Document::new(
        Prices::schema(),
        [
            "price = [{ model = 'a', input = 1, output = 2.5 }]",
            "price = [{ model = 'a', input = 1, output = 2 }, { model = 'a', input = 2, output = 4, above_input_tokens = 9 }]",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec(),
        |text| Some(format!("{:?}", Prices::parse("p", "toml", text.as_bytes()).ok()?)),
    );
    let budgets = Document::new(
        Budget::schema(),
        vec!["budget = [{ usd = 1, per = 'day' }]".parse().unwrap()],
        |text| Some(format!("{:?}", Budget::parse_all("b", text.as_bytes()).ok()?)),
    );
    DOCUMENTS
        .into_iter()
        .zip([scenario, gate, prices, budgets])
        .collect()
}

trait WithQuotas {
    fn with_quotas(self) -> Self;
}

impl WithQuotas for Table {
    /// Replaces the smallest scores of the layers by quotas.
    fn with_quotas(mut self) -> Self {
        for layer in self["layer"].as_array_mut().unwrap() {
            let layer = layer.as_table_mut().unwrap();
            layer.remove("min_score");
            layer.insert("quota".to_owned(), Value::Float(0.5));
        }
        self
    }
}

/// A key of the schema: the path of its table, its name, and its own schema.
struct Key {
    tables: Vec<String>,
    name: String,
    schema: Json,
    is_required: bool,
}

impl Key {
    fn path(&self) -> String {
        [self.tables.join("."), self.name.clone()].join(".")
    }
}

impl Document {
    fn new(schema: Json, bases: Vec<Table>, load: fn(&str) -> Option<String>) -> Self {
        Self {
            validator: jsonschema::validator_for(&schema).unwrap(),
            schema,
            bases,
            load,
        }
    }

    fn resolve(&self, schema: &Json) -> Json {
        // A table that may also be a list of such tables.
        let of_one = schema
            .pointer("/allOf/0/$ref")
            .or(schema.pointer("/anyOf/0/$ref"));
        let reference = of_one.or(schema.get("$ref"));
        let Some(reference) = reference.and_then(Json::as_str) else {
            return schema.clone();
        };
        let mut found = self.schema.pointer(&reference[1..]).unwrap().clone();
        let own = schema.as_object().unwrap().clone();
        found.as_object_mut().unwrap().extend(own);
        found
    }

    /// Returns every key of every table. Keys of inner tables come before the key of the table
    /// itself.
    fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        self.collect(&self.schema, &[], &mut keys);
        keys
    }

    fn collect(&self, table: &Json, at: &[String], keys: &mut Vec<Key>) {
        for (name, schema) in table["properties"].as_object().unwrap() {
            let schema = self.resolve(schema);
            let items = schema.get("items").map(|items| self.resolve(items));
            for inner in [Some(&schema), items.as_ref()].into_iter().flatten() {
                if inner.get("properties").is_some() {
                    self.collect(inner, &[at, std::slice::from_ref(name)].concat(), keys);
                }
            }
            let required = table.get("required").and_then(Json::as_array);
            keys.push(Key {
                tables: at.to_vec(),
                name: name.clone(),
                schema,
                is_required: required.is_some_and(|names| names.iter().any(|other| other == name)),
            });
        }
    }

    /// Returns copies of the example texts. Each copy has one table at the path `tables` edited.
    fn edited(&self, tables: &[String], edit: &dyn Fn(&mut Table)) -> Vec<Table> {
        let mut found = Vec::new();
        for base in &self.bases {
            for place in 0.. {
                let (mut edited, mut n) = (base.clone(), place);
                match table_at(&mut edited, tables, &mut n) {
                    Some(table) => edit(table),
                    None => break,
                }
                found.push(edited);
            }
        }
        assert!(!found.is_empty(), "no base has {tables:?}");
        found
    }

    /// Returns each example text with another value of a key, and the loader's result. The result
    /// is `None` if the loader refuses the text.
    fn with(&self, key: &Key, value: Option<&Json>) -> Vec<(Table, Option<String>)> {
        let value = value.map(|value| Value::try_from(value).unwrap());
        let edited = self.edited(&key.tables, &|table| {
            match &value {
                Some(value) => table.insert(key.name.clone(), value.clone()),
                None => table.remove(&key.name),
            };
        });
        let load = |table: Table| {
            let found = (self.load)(&table.to_string());
            (table, found)
        };
        edited.into_iter().map(load).collect()
    }

    fn is_valid(&self, table: &Table) -> bool {
        self.validator.is_valid(&to_json(&Value::Table(table.clone())))
    }

    /// Asserts that the loader and the schema refuse the value at every position of the key.
    fn refuses(&self, key: &Key, value: Option<&Json>) {
        for (table, found) in self.with(key, value) {
            assert_eq!(found, None, "{} = {value:?}", key.path());
            assert!(!self.is_valid(&table), "{} = {value:?}: {table}", key.path());
        }
    }

    /// Asserts that the loader and the schema accept the value in at least one example text.
    fn takes(&self, key: &Key, value: &Json) {
        let tried = self.with(key, Some(value));
        let taken = tried.iter().find(|(_, found)| found.is_some());
        let Some((table, _)) = taken else {
            panic!("{} = {value}: no base takes it", key.path());
        };
        assert!(self.is_valid(table), "{} = {value}", key.path());
    }
}

/// The `n`-th table at a path, counting entries of lists.
fn table_at<'a>(table: &'a mut Table, path: &[String], n: &mut usize) -> Option<&'a mut Table> {
    let Some((name, rest)) = path.split_first() else {
        let is_it = *n == 0;
        *n = n.wrapping_sub(1);
        return is_it.then_some(table);
    };
    match table.get_mut(name)? {
        Value::Table(table) => table_at(table, rest, n),
        Value::Array(entries) => entries
            .iter_mut()
            .filter_map(Value::as_table_mut)
            .find_map(|entry| table_at(entry, rest, n)),
        _ => None,
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Datetime(instant) => json!(instant.to_string()),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Table(table) => table
            .iter()
            .map(|(key, value)| (key.clone(), to_json(value)))
            .collect(),
        other => serde_json::to_value(other).unwrap(),
    }
}

#[test]
fn files_are_what_the_program_prints() {
    let check = |path: String, printed: String| {
        let path = root().join(path);
        if std::env::var_os("SLUICE_UPDATE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &printed).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == printed,
            "{} differs: run with SLUICE_UPDATE=1",
            path.display()
        );
    };
    for name in DOCUMENTS {
        check(format!("schemas/{name}.schema.json"), ok(&["schema", name]));
        check(
            format!("docs/reference/{name}.md"),
            ok(&["schema", name, "--markdown"]),
        );
    }
}

#[test]
fn shipped_files_are_valid_and_name_their_schema() {
    let mut files = vec![
        ("gate", root().join("scenarios/gate/gate.toml")),
        ("prices", root().join("scenarios/finops/prices.toml")),
        ("budgets", root().join("scenarios/finops/budgets.toml")),
        ("scenario", root().join("scenarios/guide/scenario.toml")),
    ];
    for entry in fs::read_dir(root().join("scenarios")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(("scenario", path));
        }
    }
    assert!(files.len() > 7);
    let documents = documents();
    for (name, path) in files {
        let text = fs::read_to_string(&path).unwrap();
        let (_, document) = documents.iter().find(|(other, _)| *other == name).unwrap();
        let json = to_json(&Value::Table(text.parse().unwrap()));
        // Taplo refuses a schema whose id is relative.
        assert!(document.schema["$id"].as_str().unwrap().starts_with("urn:"));
        let problems: Vec<String> = document
            .validator
            .iter_errors(&json)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(problems.is_empty(), "{}: {problems:?}", path.display());
        let schema = text.lines().next().unwrap().strip_prefix("#:schema ").unwrap();
        let schema = path.parent().unwrap().join(schema).canonicalize().unwrap();
        assert_eq!(
            schema,
            root()
                .join(format!("schemas/{name}.schema.json"))
                .canonicalize()
                .unwrap()
        );
    }
}

#[test]
fn bases_load_and_are_valid() {
    for (name, document) in documents() {
        for base in &document.bases {
            assert!((document.load)(&base.to_string()).is_some(), "{name}: {base}");
            assert!(document.is_valid(base), "{name}: {base}");
        }
    }
}

#[test]
fn every_key_is_described_and_every_value_of_one_key_has_an_example() {
    for (name, document) in documents() {
        for key in document.keys() {
            let what = format!("{name}: {}", key.path());
            let about = key.schema["description"].as_str().unwrap_or_default();
            assert!(about.ends_with('.') && about.len() > 8, "{what}: {about}");
            let is_table = key.schema.get("properties").is_some()
                || ["items", "additionalProperties"]
                    .iter()
                    .any(|of| key.schema.get(of).is_some_and(|of| of.get("$ref").is_some()));
            let examples = key.schema.get("examples").and_then(Json::as_array);
            assert_eq!(examples.map_or(0, Vec::len), usize::from(!is_table), "{what}");
            for example in examples.into_iter().flatten() {
                document.takes(&key, example);
            }
        }
    }
}

#[test]
fn a_default_is_what_the_loader_takes_for_an_absent_key() {
    let mut n_defaults = 0;
    for (name, document) in documents() {
        for key in document.keys().into_iter().filter(|key| !key.is_required) {
            let Some(default) = key.schema.get("default") else {
                continue;
            };
            let (absent, explicit) = (document.with(&key, None), document.with(&key, Some(default)));
            let mut n_same = 0;
            for ((_, absent), (table, explicit)) in absent.into_iter().zip(explicit) {
                if absent.is_some() {
                    assert_eq!(explicit, absent, "{name}: {} = {default}", key.path());
                    assert!(document.is_valid(&table), "{name}: {} = {default}", key.path());
                    n_same += 1;
                }
            }
            assert!(n_same > 0, "{name}: {}: no base loads without it", key.path());
            n_defaults += 1;
        }
    }
    assert!(n_defaults > 60, "{n_defaults}");
}

#[test]
fn bounds_are_where_the_loader_has_them() {
    let mut n_bounds = 0;
    for (_, document) in documents() {
        for key in document.keys() {
            if key.schema.get("x-unit") == Some(&json!("instant")) {
                continue;
            }
            let is_whole = key.schema["type"] == "integer";
            let beyond = |bound: f64, sign: f64| match is_whole {
                true => json!((bound + sign) as i64),
                false => json!(bound + sign * (bound.abs() * 1e-10).max(1e-20)),
            };
            for (name, sign) in [("minimum", -1.0), ("maximum", 1.0)] {
                let Some(bound) = key.schema.get(name) else {
                    continue;
                };
                document.takes(&key, bound);
                // TOML has no whole number beyond the largest.
                if bound.as_i64() != Some(i64::MAX) {
                    document.refuses(&key, Some(&beyond(bound.as_f64().unwrap(), sign)));
                }
                n_bounds += 1;
            }
            for name in ["exclusiveMinimum", "exclusiveMaximum"] {
                if let Some(bound) = key.schema.get(name) {
                    document.refuses(&key, Some(bound));
                    n_bounds += 1;
                }
            }
        }
    }
    assert!(n_bounds > 150, "{n_bounds}");
}

#[test]
fn lists_and_tables_of_numbers_have_the_loaders_bounds() {
    let documents = documents();
    let check = |document: usize, path: &str, taken: &[Json], refused: &[Json]| {
        let document = &documents[document].1;
        let keys = document.keys();
        let key = keys
            .iter()
            .find(|key| key.path().trim_matches('.') == path)
            .unwrap();
        taken.iter().for_each(|value| document.takes(key, value));
        refused
            .iter()
            .for_each(|value| document.refuses(key, Some(value)));
    };
    for path in [
        "layer.ladder",
        "simulate.plan.ladder",
        "simulate.plan.layer.ladder",
    ] {
        check(
            0,
            path,
            &[json!([0.0001, 1])],
            &[json!([]), json!([0]), json!([0.5, 1.5])],
        );
    }
    check(
        0,
        "qos.weights",
        &[json!([0, 0, 1])],
        &[json!([0.5, 0.5]), json!([-1, 1, 1])],
    );
    check(
        0,
        "layering.weights",
        &[json!([0, 0, 0, 1])],
        &[json!([1]), json!([-1, 1, 1, 0])],
    );
    let (day, week) = (vec![1; 24], vec![1; 168]);
    let wrong = [
        json!(vec![1; 23]),
        json!(vec![1; 169]),
        json!([vec![-1; 1], vec![1; 23]].concat()),
    ];
    check(0, "simulate.layer.rhythm", &[json!(day), json!(week)], &wrong);
    let costs = |cost: f64| json!({ "complaint_rate": cost });
    check(
        0,
        "simulate.cost",
        &[costs(0.0), costs(1e15)],
        &[costs(-1.0), costs(1.1e15)],
    );
    check(1, "gate.canary.proxies", &[costs(0.1)], &[costs(0.0)]);
}

#[test]
fn misspelt_keys_wrong_types_wrong_words_and_missing_keys_are_refused() {
    for (name, document) in documents() {
        let mut misspelt = 0;
        for key in document.keys() {
            let wrong = if key.schema["type"] == "boolean" {
                json!("yes")
            } else {
                json!(true)
            };
            document.refuses(&key, Some(&wrong));
            let words = key.schema.get("enum").or(key.schema.get("oneOf"));
            if words.is_some() {
                document.refuses(&key, Some(&json!("no such word")));
            }
            if key.is_required {
                document.refuses(&key, None);
            }
            let other = Key {
                name: format!("{}_", key.name),
                ..key
            };
            document.refuses(&other, Some(&json!("x")));
            misspelt += 1;
        }
        assert!(misspelt > 3, "{name}");
    }
}

#[test]
fn every_word_is_one_that_the_loader_takes() {
    for (_, document) in documents() {
        for key in document.keys() {
            let words = key.schema.get("enum").and_then(Json::as_array).cloned();
            let choices = key.schema.get("oneOf").and_then(Json::as_array);
            let choices =
                choices.map(|choices| choices.iter().map(|choice| choice["const"].clone()).collect());
            for word in words.or(choices).into_iter().flatten() {
                document.takes(&key, &word);
            }
        }
    }
}

#[test]
fn instants_are_what_the_loader_takes() {
    for (_, document) in documents() {
        for key in document.keys() {
            if key.schema.get("x-unit") == Some(&json!("instant")) {
                for wrong in [json!([1]), json!(1.8e12), json!({}), json!("soon")] {
                    document.refuses(&key, Some(&wrong));
                }
            }
        }
    }
}

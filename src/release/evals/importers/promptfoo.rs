//! Importer of promptfoo: an export (`-o x.json`), or one result per line.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::interner::Interner;
use crate::release::evals::asked::{self, Asked};
use crate::release::evals::importers::json::{
    attributes, finite, flag, or_default, outcome_of, parse, real, score_of, text_of,
};
use crate::release::evals::row::{AbsentRuns, CaseOutcome, EvalRow, NotRun};

/// Reads all results of an export, and says how many it announces. `file` numbers the file, because
/// results are numbered in it.
pub(super) fn document(
    location: &str,
    bytes: &[u8],
    (file, by): (usize, &[String]),
    names: &mut Interner,
) -> Result<(Vec<EvalRow>, Option<AbsentRuns>)> {
    let export: PromptfooExport = parse(location, bytes, "an export of promptfoo")?;
    let results = export.results;
    let n_announced = results.stats.map_or(0, PromptfooStats::n);
    let rows: Vec<EvalRow> = results
        .results
        .into_iter()
        .map(|result| result.row((file, by), names))
        .collect();
    let like = rows.first().map(|row| EvalRow {
        suite: row.suite.clone(),
        release: row.release.clone(),
        prompt: row.prompt.clone(),
        model: row.model.clone(),
        // The name of the run is the number of the file: see the names of repeats below.
        repeat: row.repeat.as_ref().map(|_| names.get(&file.to_string())),
        not_run: Some(NotRun::Absent),
        ..EvalRow::default()
    });
    Ok((rows, like.map(|like| AbsentRuns { like, n: n_announced })))
}

/// Reads one result.
pub(super) fn line(
    location: &str,
    bytes: &[u8],
    at: (usize, &[String]),
    names: &mut Interner,
) -> Result<EvalRow> {
    Ok(parse::<PromptfooResult>(location, bytes, "a result of promptfoo")?.row(at, names))
}

#[derive(Deserialize)]
struct PromptfooExport {
    results: PromptfooResults,
}

#[derive(Deserialize)]
struct PromptfooResults {
    results: Vec<PromptfooResult>,
    #[serde(default)]
    stats: Option<PromptfooStats>,
}

#[derive(Deserialize)]
struct PromptfooStats {
    #[serde(default)]
    successes: u64,
    #[serde(default)]
    failures: u64,
    #[serde(default)]
    errors: u64,
}

impl PromptfooStats {
    fn n(self) -> u64 {
        self.successes
            .saturating_add(self.failures)
            .saturating_add(self.errors)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptfooResult {
    #[serde(default, deserialize_with = "real")]
    cost: Option<f64>,
    #[serde(default, deserialize_with = "real")]
    latency_ms: Option<f64>,
    #[serde(default, deserialize_with = "or_default")]
    named_scores: Map<String, Value>,
    #[serde(default, deserialize_with = "real")]
    score: Option<f64>,
    #[serde(default)]
    prompt: Option<PromptfooPrompt>,
    #[serde(default)]
    prompt_idx: Option<u64>,
    #[serde(default)]
    test_idx: Option<u64>,
    #[serde(default)]
    provider: Option<PromptfooProvider>,
    #[serde(default)]
    response: Option<PromptfooResponse>,
    #[serde(default, deserialize_with = "flag")]
    success: Option<bool>,
    #[serde(default)]
    failure_reason: Option<u8>,
    #[serde(default, deserialize_with = "or_default")]
    test_case: PromptfooCase,
    #[serde(default)]
    token_usage: Option<PromptfooTokens>,
    #[serde(default)]
    vars: Value,
    #[serde(default, deserialize_with = "or_default")]
    metadata: Map<String, Value>,
    #[serde(default)]
    grading_result: Option<PromptfooGrading>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PromptfooPrompt {
    Parts {
        #[serde(default)]
        label: Option<String>,
        #[serde(default)]
        raw: Option<String>,
    },
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PromptfooProvider {
    Parts {
        #[serde(default)]
        id: Option<String>,
        #[serde(default)]
        label: Option<String>,
    },
    Name(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptfooResponse {
    #[serde(default)]
    output: Value,
    #[serde(default, deserialize_with = "flag")]
    cached: Option<bool>,
    #[serde(default)]
    session_id: Option<Value>,
    #[serde(default)]
    prompt: Value,
    #[serde(default, deserialize_with = "or_default")]
    metadata: Map<String, Value>,
}

#[derive(Deserialize, Default)]
struct PromptfooCase {
    #[serde(default)]
    description: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    metadata: Map<String, Value>,
    #[serde(default)]
    vars: Value,
    #[serde(default)]
    threshold: Option<f64>,
}

#[derive(Deserialize)]
struct PromptfooTokens {
    #[serde(default)]
    prompt: Option<f64>,
    #[serde(default)]
    completion: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptfooGrading {
    #[serde(default, deserialize_with = "flag")]
    pass: Option<bool>,
    #[serde(default)]
    reason: Option<Value>,
    #[serde(default, deserialize_with = "or_default")]
    metadata: Map<String, Value>,
    #[serde(default)]
    assertion: Option<PromptfooAssertion>,
    #[serde(default, deserialize_with = "or_default")]
    component_results: Vec<Option<PromptfooGrading>>,
}

#[derive(Deserialize)]
struct PromptfooAssertion {
    #[serde(default)]
    metric: Option<Value>,
}

/// The starts of reasons of checks that broke without the flag `graderError`: functions that threw, and
/// judges of versions before the flag.
const BROKEN: [&str; 4] = [
    "Custom function threw error",
    "Python code execution failed",
    "Ruby code execution failed",
    "Could not extract JSON from",
];

impl PromptfooGrading {
    /// The checks of a result: its leaves.
    fn leaves<'a>(&'a self, into: &mut Vec<&'a Self>) {
        let parts = self.component_results.iter().flatten();
        let n_before = into.len();
        parts.for_each(|part| part.leaves(into));
        if into.len() == n_before {
            into.push(self);
        }
    }

    /// Whether the judge of this check gave no verdict.
    fn is_broken(&self) -> bool {
        let is_said = self
            .metadata
            .get("graderError")
            .is_some_and(|error| *error != Value::Bool(false) && !error.is_null());
        let reason = self.reason.as_ref().and_then(Value::as_str).unwrap_or_default();
        is_said || BROKEN.iter().any(|start| reason.starts_with(start))
    }
}

impl PromptfooResult {
    fn row(self, (file, by): (usize, &[String]), names: &mut Interner) -> EvalRow {
        let meta = |key: &str| {
            text_of(
                self.metadata
                    .get(key)
                    .or_else(|| self.test_case.metadata.get(key)),
            )
        };
        let plugin = meta("pluginId");
        let name =
            meta("case_id").or_else(|| self.test_case.description.clone().filter(|text| !text.is_empty()));
        let mut leaves = Vec::new();
        self.grading_result.iter().for_each(|g| g.leaves(&mut leaves));
        let is_whole_broken = self
            .grading_result
            .as_ref()
            .is_some_and(PromptfooGrading::is_broken);
        let is_broken = is_whole_broken || leaves.iter().any(|leaf| leaf.is_broken());
        // Without a threshold, one failed check fails the case, whatever a broken judge would say.
        let is_failed = self.test_case.threshold.is_none()
            && leaves
                .iter()
                .any(|leaf| !leaf.is_broken() && leaf.pass == Some(false));
        let has_error = self
            .error
            .as_ref()
            .is_some_and(|error| !error.is_null() && error != "");
        let is_lost = has_error && self.response.is_none() && self.grading_result.is_none();
        let (outcome, not_run) = if self.failure_reason == Some(2) || is_lost {
            (CaseOutcome::Error, Some(NotRun::RunError))
        } else if is_broken && !is_failed {
            (CaseOutcome::Error, Some(NotRun::JudgeError))
        } else {
            (outcome_of(self.success), None)
        };
        let broken_metrics: Vec<&str> = leaves
            .iter()
            .filter(|leaf| leaf.is_broken())
            .filter_map(|leaf| leaf.assertion.as_ref()?.metric.as_ref()?.as_str())
            .collect();
        let mut scores: Vec<(Arc<str>, f64)> = self
            .named_scores
            .iter()
            .filter(|(name, _)| !broken_metrics.contains(&name.as_str()))
            .filter_map(|(name, score)| Some((names.get(name), score_of(score)?)))
            .collect();
        if !is_broken {
            scores.extend(finite(self.score).map(|score| (names.get("score"), score)));
        }
        if outcome == CaseOutcome::Error {
            scores.clear();
        }
        let asked = self.asked(plugin.as_deref(), meta("strategyId").as_deref());
        let response = self.response.as_ref();
        let is_cached = response.is_some_and(|response| response.cached == Some(true));
        let output = response
            .map(|response| &response.output)
            .filter(|output| !output.is_null());
        let vars = [&self.test_case.vars, &self.vars].map(Value::as_object);
        let attributes = attributes(
            by,
            &[
                Some(&self.test_case.metadata),
                Some(&self.metadata),
                vars[0],
                vars[1],
            ],
            names,
        );
        let suite = if plugin.is_some() { "injection" } else { "golden" };
        let repeat = self.test_idx.zip(self.prompt_idx);
        EvalRow {
            release: meta("release_id").map(|text| names.get(&text)),
            run: None,
            prompt: self
                .prompt
                .and_then(PromptfooPrompt::name)
                .map(|text| names.get(&text)),
            model: self
                .provider
                .and_then(PromptfooProvider::name)
                .map(|text| names.get(&text)),
            suite: names.get(
                &text_of(
                    self.metadata
                        .get("suite")
                        .or_else(|| self.test_case.metadata.get("suite")),
                )
                .unwrap_or_else(|| suite.to_owned()),
            ),
            name: name.map(|text| names.get(&text)),
            asked: Some(names.get(&asked.digest)),
            asked_without_ids: asked.without_ids.map(|text| names.get(&text)),
            repeat: repeat.map(|(test, prompt)| names.get(&format!("{file}:{test}:{prompt}"))),
            cluster: text_of(
                self.metadata
                    .get("cluster")
                    .or_else(|| self.test_case.metadata.get("cluster")),
            )
            .or(plugin)
            .map(|text| names.get(&text)),
            outcome,
            not_run,
            is_numeric: false,
            is_cached,
            scores,
            cost_usd: self.cost.filter(|cost| *cost >= 0.0 && !is_cached),
            latency_ms: self.latency_ms.filter(|latency| *latency >= 0.0 && !is_cached),
            tokens: self
                .token_usage
                .as_ref()
                .filter(|_| !is_cached)
                .and_then(|tokens| Some([tokens.prompt? as u64, tokens.completion? as u64])),
            output: output.map(|output| {
                output
                    .as_str()
                    .map_or_else(|| output.to_string(), str::to_owned)
                    .into()
            }),
            attributes,
        }
    }

    /// The prompt that was sent last, where it differs from the rendered one: the provider's own, or
    /// the last turn of an attack. The export puts it into the variables.
    fn last_prompt(&self) -> Option<String> {
        let response = self.response.as_ref();
        let of_metadata = |metadata: &Map<String, Value>| metadata.get("redteamFinalPrompt").cloned();
        let prompt = response
            .map(|response| &response.prompt)
            .filter(|prompt| !prompt.is_null())
            .cloned()
            .or_else(|| response.and_then(|response| of_metadata(&response.metadata)))
            .or_else(|| of_metadata(&self.metadata))?;
        match prompt {
            Value::String(text) => Some(text).filter(|text| !text.is_empty()),
            other => Some(other.to_string()),
        }
    }

    /// The digest of the variables of the test, without those that the run added or replaced: the
    /// session of the provider, and the final prompt of an attack of several turns. The goal of such an
    /// attack stands for its prompt.
    fn asked(&self, plugin: Option<&str>, strategy: Option<&str>) -> Asked {
        let response = self.response.as_ref();
        let session = response
            .and_then(|response| response.session_id.as_ref())
            .or_else(|| self.metadata.get("sessionId"));
        let last_prompt = self.last_prompt();
        let shown = response
            .and_then(|response| response.metadata.get("transformDisplayVars"))
            .and_then(Value::as_object);
        let goal = ["goal", "originalPrompt", "originalText"].iter().find_map(|key| {
            let metadata = [&self.test_case.metadata, &self.metadata];
            let known = metadata.iter().find_map(|metadata| metadata.get(*key));
            known.filter(|goal| goal.is_string())
        });
        let is_dialogue = last_prompt.is_some() || self.metadata.contains_key("redteamHistory");
        let goal = goal.filter(|_| plugin.is_some() && is_dialogue);
        let is_own = |name: &str, value: &Value| {
            let is_session = !value.is_null() && Some(value) == session;
            let is_shown = shown.is_some_and(|shown| shown.get(name) == Some(value));
            is_session || is_shown || last_prompt.as_deref().is_some_and(|prompt| value == prompt)
        };
        // The variables of the test are what was written; those of the result have more.
        let vars = [&self.test_case.vars, &self.vars]
            .into_iter()
            .filter_map(Value::as_object)
            .find(|vars| !vars.is_empty());
        let mut vars = vars.cloned().unwrap_or_default();
        // Paths of files stand for their contents, which the result has.
        for (name, value) in &mut vars {
            let is_path = value.as_str().is_some_and(|text| text.starts_with("file://"));
            if let Some(content) = self.vars.get(name).filter(|_| is_path) {
                *value = content.clone();
            }
        }
        if let Some(goal) = goal {
            vars.insert("goal of the attack".to_owned(), goal.clone());
        }
        let asked = if vars.is_empty() {
            Asked::new(asked::hash_of(&self.vars))
        } else {
            asked::of_inputs(&vars, &is_own)
        };
        let Some(plugin) = plugin else { return asked };
        let attack = |digest: &str| format!("{plugin}/{}/{digest}", strategy.unwrap_or_default());
        Asked {
            digest: attack(&asked.digest),
            without_ids: asked.without_ids.as_deref().map(attack),
        }
    }
}

impl PromptfooPrompt {
    fn name(self) -> Option<String> {
        match self {
            Self::Parts { label, raw } => label.filter(|label| !label.is_empty()).or(raw),
            Self::Text(text) => Some(text),
        }
    }
}

impl PromptfooProvider {
    fn name(self) -> Option<String> {
        match self {
            Self::Parts { id, label } => label.filter(|label| !label.is_empty()).or(id),
            Self::Name(name) => Some(name),
        }
    }
}

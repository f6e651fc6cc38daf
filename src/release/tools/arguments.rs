//! Logged tool calls, replayed against new schemas to count the calls that are refused.

use jsonschema::Validator;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;

use crate::base::error::{Error, FileResult, Result};
use crate::base::json::check_memory;
use crate::base::lines::Lines;
use crate::base::open;
use crate::input;
use crate::release::tools::bundle::{Tool, ToolBundle};
use crate::release::tools::expansion::Expansion;
use crate::release::tools::validator::validator;
use crate::release::tools::validity::{describes, problems_of_tool};
use crate::release::tools::value::is_nullable;
use crate::release::tools::work::Work;
use crate::stats::{Interval, proportion};
use crate::words::tools as says;
use crate::words::{Count, Percent, Text};

/// The maximum number of examples per tool.
const EXAMPLES: usize = 5;

/// A logged call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The id of the call's trace; empty if the log has none.
    pub trace_id: String,
    /// The name of the tool, as the log spells it.
    pub tool: String,
    /// The arguments; `None` if the log has none, and if they are not valid JSON.
    pub arguments: Option<Value>,
    /// Whether the log has arguments that are not valid JSON.
    pub is_unreadable: bool,
}

/// The result of replaying a tool's calls against its new schema.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replayed {
    /// The name of the tool, as the log spells it.
    pub tool: String,
    /// The number of calls in the log.
    pub n_calls: u64,
    /// The number of newly refused calls: the new bundle refuses them, and the old one did not.
    pub n_rejected: u64,
    /// The number of calls that both schemas refuse.
    pub n_rejected_before: u64,
    /// The number of calls whose arguments are not valid JSON.
    pub n_unreadable: u64,
    /// The number of calls that were not checked, because a schema is too complex for a validator,
    /// alone or with these arguments.
    pub n_undecided: u64,
    /// The reason why a schema is too complex; `None` if no schema is by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undecided: Option<String>,
    /// The share of newly refused calls, `n_rejected / n_calls`, 0..=1.
    pub share: f64,
    /// The 95 % Wilson interval of the share.
    pub interval: Interval,
    /// Examples of newly refused calls, at most 5: trace, location and rule, never the arguments.
    pub examples: Vec<RejectedCall>,
}

impl Replayed {
    /// The number and share of newly refused calls, in words.
    pub fn message(&self) -> Text {
        let refused = says::refused(
            self.tool.as_str(),
            Count(self.n_rejected),
            Count(self.n_calls),
            Percent(self.share),
            Percent(self.interval.ci_lower),
            Percent(self.interval.ci_upper),
        );
        if self.n_undecided == 0 {
            return refused;
        }
        let why = match &self.undecided {
            Some(why) => why.as_str().into(),
            None => says::with_these_arguments(),
        };
        Text::sentences(&[refused, says::undecided(Count(self.n_undecided), why)])
    }
}

/// A logged call that the new schema refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedCall {
    /// The id of the trace; empty if the log has none.
    pub trace_id: String,
    /// The location in the arguments, a JSON pointer.
    pub path: String,
    /// The keyword of the schema that refused the call, or `tool-removed`.
    pub rule: String,
}

/// Reads logged calls, one JSON object per line. Fields are the tool's name (`tool`, `tool_name`,
/// `name` or `gen_ai.tool.name`), its arguments (`arguments`, `args`, `input` or
/// `gen_ai.tool.call.arguments`, an object or its JSON text; a call without them passes none) and the trace (`trace_id`, `traceId`
/// or `trace`). They may also be inside an object `attributes`.
///
/// # Errors
/// An unreadable file, or a line without a tool.
pub fn read_calls(path: &Path, on_call: &mut dyn FnMut(Call)) -> Result<()> {
    for file in input::find_files(path)? {
        let bytes = open::regular(&file).or_unreadable(&file)?;
        let mut lines = Lines::new(&file, BufReader::with_capacity(1 << 18, bytes));
        while let Some((number, line)) = lines.next()? {
            let location = || format!("{}: line {number}", file.display());
            check_memory(&location(), line)?;
            let row: Value = serde_json::from_slice(line).map_err(|error| {
                Error::input(location(), format!("expected a JSON object, found: {error}"))
            })?;
            let first = |keys: &[&str]| {
                let said = |value: &&Value| !value.is_null();
                keys.iter()
                    .find_map(|key| {
                        let inner = || row.get("attributes")?.get(*key).filter(said);
                        row.get(*key).filter(said).or_else(inner)
                    })
                    .cloned()
            };
            let Some(Value::String(tool)) = first(&["tool", "tool_name", "gen_ai.tool.name", "name"]) else {
                return Err(Error::input(
                    location(),
                    "expected the tool's name as `tool`, `tool_name`, `name` or `gen_ai.tool.name`, found none",
                ));
            };
            let logged = first(&["arguments", "args", "gen_ai.tool.call.arguments", "input"]);
            let read = arguments_of(logged);
            let trace_id = match first(&["trace_id", "traceId", "trace"]) {
                Some(Value::String(text)) => text,
                Some(Value::Number(number)) => number.to_string(),
                _ => String::new(),
            };
            on_call(Call {
                trace_id,
                tool,
                is_unreadable: read.is_err(),
                arguments: read.ok().flatten(),
            });
        }
    }
    Ok(())
}

/// The arguments in a log: JSON, or its text. `Ok(None)` for none, `Err` for a text that is not JSON.
fn arguments_of(logged: Option<Value>) -> serde_json::Result<Option<Value>> {
    match logged {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        // Some loggers write the text of a text.
        Some(Value::String(text)) => arguments_of(Some(serde_json::from_str(&text)?)),
        Some(value) => Ok(Some(value)),
    }
}

/// Replays logged calls against the new schemas. Calls of a tool that the new bundle lacks count as
/// newly refused, and so do calls of a tool whose new schema is invalid. Without an old bundle, every
/// refused call counts as newly refused.
///
/// # Errors
/// An unreadable file or line.
pub fn replay_arguments(path: &Path, old: Option<&ToolBundle>, new: &ToolBundle) -> Result<Vec<Replayed>> {
    let mut replayed: BTreeMap<String, Replayed> = BTreeMap::new();
    let work = Work::new(u64::MAX);
    let mut validators: BTreeMap<String, [Option<Checker<'_>>; 2]> = BTreeMap::new();
    read_calls(path, &mut |call| {
        let before = old.and_then(|old| old.tool(&call.tool));
        let after = new.tool(&call.tool);
        // Calls of tools that are in neither bundle give no information about this change.
        if before.is_none() && after.is_none() && old.is_some() {
            return;
        }
        if !validators.contains_key(&call.tool) {
            let built = [before, after].map(|tool| tool.map(|tool| Checker::new(tool, &work)));
            validators.insert(call.tool.clone(), built);
        }
        let [before, after] = &validators[&call.tool];
        let entry = replayed.entry(call.tool.clone()).or_insert_with(|| Replayed {
            tool: call.tool.clone(),
            n_calls: 0,
            n_rejected: 0,
            n_rejected_before: 0,
            n_unreadable: 0,
            n_undecided: 0,
            undecided: None,
            share: 0.0,
            interval: Interval {
                ci_lower: 0.0,
                ci_upper: 1.0,
            },
            examples: Vec::new(),
        });
        entry.n_calls += 1;
        if call.is_unreadable {
            entry.n_unreadable += 1;
            return;
        }
        // A call without arguments passes an empty object.
        let arguments = &call.arguments.unwrap_or_else(|| json!({}));
        let both = [before, after].into_iter().flatten();
        if both.clone().any(|checker| !checker.is_small_for(arguments)) {
            entry.n_undecided += 1;
            entry.undecided = both
                .filter_map(|checker| checker.too_complex())
                .next()
                .map(str::to_owned);
            return;
        }
        let refused = match after {
            None => Some(RejectedCall {
                trace_id: call.trace_id.clone(),
                path: "/".into(),
                rule: "tool-removed".into(),
            }),
            Some(after) => after.first_error(arguments).map(|(path, rule)| RejectedCall {
                trace_id: call.trace_id.clone(),
                path,
                rule,
            }),
        };
        let Some(refused) = refused else { return };
        if before
            .as_ref()
            .is_some_and(|before| before.first_error(arguments).is_some())
        {
            entry.n_rejected_before += 1;
            return;
        }
        entry.n_rejected += 1;
        if entry.examples.len() < EXAMPLES {
            entry.examples.push(refused);
        }
    })?;
    Ok(replayed
        .into_values()
        .map(|mut tool| {
            tool.share = tool.n_rejected as f64 / tool.n_calls as f64;
            tool.interval = proportion::share_interval(
                tool.n_rejected as f64,
                tool.n_calls as f64,
                proportion::ShareMethod::Wilson,
                0.05,
            );
            tool
        })
        .collect())
}

/// The validator of a tool, or the reason why its schema has none.
enum Checker<'a> {
    Small(Box<Validator>, Expansion<'a>),
    TooComplex(&'static str),
    /// The schema is invalid, so that clients refuse every call. The location says where.
    Invalid(String),
    /// A tool of the provider, which has no schema.
    Anything,
}

impl<'a> Checker<'a> {
    /// Builds the validator of a tool, unless its schema expands to too much.
    fn new(tool: &'a Tool, work: &'a Work) -> Self {
        if tool.provided.is_some() {
            return Self::Anything;
        }
        if let Some(problem) = problems_of_tool(&tool.input_schema).into_iter().next() {
            // A schema without a type at its root still tests the arguments.
            let is_only_root = problem.path == "/" && describes(&tool.input_schema);
            if !is_only_root {
                return Self::Invalid(problem.path);
            }
        }
        match Expansion::new(&tool.input_schema, work) {
            Ok(expansion) => match validator(&with_null(&tool.input_schema)) {
                Ok(validator) => Self::Small(Box::new(validator), expansion),
                Err(_) => Self::Invalid("/".to_owned()),
            },
            Err(why) => Self::TooComplex(why),
        }
    }

    fn too_complex(&self) -> Option<&'static str> {
        match self {
            Self::TooComplex(why) => Some(why),
            _ => None,
        }
    }

    /// Whether these arguments can be checked.
    fn is_small_for(&self, arguments: &Value) -> bool {
        match self {
            Self::Small(_, expansion) => expansion.is_small_for(arguments),
            Self::TooComplex(_) => false,
            Self::Invalid(_) | Self::Anything => true,
        }
    }

    /// The place and the keyword of the first error; `None` if the schema accepts the arguments.
    fn first_error(&self, arguments: &Value) -> Option<(String, String)> {
        let validator = match self {
            Self::Small(validator, _) => validator,
            Self::Invalid(path) => return Some((path.clone(), "schema-invalid".to_owned())),
            Self::TooComplex(_) | Self::Anything => return None,
        };
        if validator.is_valid(arguments) {
            return None;
        }
        let error = validator.iter_errors(arguments).next()?;
        let path = format!("/{}", error.instance_path().as_str().trim_start_matches('/'));
        Some((path, error.kind().keyword().to_owned()))
    }
}

/// The schema with `nullable` of OpenAPI in the words of JSON Schema, which validators know.
fn with_null(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(with_null).collect(),
        Value::Object(fields) => {
            let own: Map<String, Value> = fields
                .iter()
                .map(|(key, value)| match key.as_str() {
                    "const" | "default" | "enum" | "example" | "examples" => (key.clone(), value.clone()),
                    _ => (key.clone(), with_null(value)),
                })
                .collect();
            if !is_nullable(fields) {
                return Value::Object(own);
            }
            // Definitions stay where references look for them.
            let mut outer = Map::new();
            for key in ["$defs", "definitions", "$id", "$schema", "$anchor"] {
                if let Some(value) = own.get(key) {
                    outer.insert(key.to_owned(), value.clone());
                }
            }
            outer.insert("anyOf".to_owned(), json!([{"type": "null"}, own]));
            Value::Object(outer)
        }
        other => other.clone(),
    }
}

//! The users and requests that a rolled-back release reached, and the write calls of its tools.

use hashbrown::HashSet;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use crate::audit::trace::{trace_key, user_hash};
use crate::base::error::Result;
use crate::base::progress::Progress;
use crate::base::time::Micros;
use crate::base::{hash, parallel};
use crate::input::{DEFAULT_TENANT, Link, TrafficReader};
use crate::release::canonical;
use crate::release::tools::{Tool, ToolBundle, read_calls};
use crate::stats::{Known, Reason};

/// The largest number of release names in a hint.
const MAX_NAMES: usize = 20;

/// The inputs of a search for affected users.
#[derive(Debug, Clone)]
pub struct AffectedQuestion<'a> {
    /// Id of the release that was rolled back.
    pub release: &'a str,
    /// First instant and exclusive end, microseconds, UTC. `None` leaves a side open. A row without
    /// a time belongs only to a period that is open on both sides.
    pub period: Range<Option<Micros>>,
}

/// A request that the release answered, or a call of a writing tool in such a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AffectedRow {
    /// Name of the tenant; `default` for data without tenants.
    pub tenant_id: String,
    /// Id of the user. `None` if the log does not have it.
    pub user_id: Option<String>,
    /// Time of the request, microseconds, UTC. `None` if the log does not have it.
    pub event_time: Option<Micros>,
    /// Id of the request. `None` if the log does not have it.
    pub trace_id: Option<String>,
    /// Id of the conversation. `None` if the log does not have it.
    pub session_id: Option<String>,
    /// Name of the called tool. `None` for a request.
    pub tool: Option<String>,
    /// SHA-256 digest of the arguments' canonical JSON. `None` for a call without arguments or with
    /// a text that is no JSON, and for a request.
    pub arguments_sha256: Option<String>,
    /// Whether the bundle has the tool. A tool that it does not have counts as writing. `None` for
    /// a request.
    pub in_bundle: Option<bool>,
}

/// The number of calls of one tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolCount {
    /// Name of the tool, as the call names it.
    pub tool: String,
    /// Number of calls in requests that the release answered.
    pub n_calls: u64,
    /// Whether the bundle has the tool.
    pub in_bundle: bool,
}

/// The result of a search for affected users.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Affected {
    /// Id of the release that was searched for.
    pub release_id: String,
    /// First instant of the period, microseconds, UTC. `None` for an open start.
    pub from: Option<Micros>,
    /// Exclusive end of the period, microseconds, UTC. `None` for an open end.
    pub until: Option<Micros>,
    /// Number of requests that the release answered.
    pub n_requests: u64,
    /// Number of distinct users, within tenants, over the requests that name one. Not known if no
    /// request does.
    pub n_users: Known<u64>,
    /// Number of requests without a user id.
    pub n_without_user: u64,
    /// Number of requests of the period without a release. Any of them may be one of this release.
    pub n_without_release: u64,
    /// Number of distinct sessions of users. A session of requests without a user is one of its
    /// tenant. `None` if the log has no column `session_id`.
    pub n_sessions: Option<u64>,
    /// Time of the first request, microseconds, UTC. `None` if no request has a time.
    pub first: Option<Micros>,
    /// Time of the last request, microseconds, UTC. `None` if no request has a time.
    pub last: Option<Micros>,
    /// Number of the release's shadow answers, which no user saw. They are left out.
    pub n_shadow: u64,
    /// Number of the release's answers in evaluation runs. They are left out.
    pub n_eval: u64,
    /// Number of rows that could not be read.
    pub n_bad: u64,
    /// Numbers of write calls by tool. `None` if no logged calls were given.
    pub tools: Option<Vec<ToolCount>>,
    /// Number of logged write calls without a trace id, of any release. Some of them may belong to
    /// this release. `None` if no logged calls were given.
    pub n_calls_without_trace: Option<u64>,
    /// Number of logged write calls in requests of other releases, or in none of the log. `None` if
    /// no logged calls were given.
    pub n_calls_elsewhere: Option<u64>,
    /// The write calls, in the order of the log. `None` if no logged calls were given.
    pub calls: Option<Vec<AffectedRow>>,
    /// Names of releases in the log, at most 20. Empty if the log has rows of this release.
    pub releases: Vec<String>,
}

/// Whether an instant lies in a period. An unknown instant lies only in a period without ends.
pub(super) fn is_within(period: &Range<Option<Micros>>, at: Option<Micros>) -> bool {
    match at {
        Some(at) => period.start.is_none_or(|from| at >= from) && period.end.is_none_or(|until| at < until),
        None => period.start.is_none() && period.end.is_none(),
    }
}

/// A logged call of a tool that writes.
#[derive(Debug, Clone)]
struct WriteCall {
    tool: usize,
    arguments_sha256: Option<String>,
}

/// Logged calls of writing tools, by [`trace_key`]. Only digests of the arguments are kept.
#[derive(Debug, Clone, Default)]
pub struct WriteCalls {
    tools: Vec<(String, bool)>,
    by_trace: BTreeMap<String, Vec<WriteCall>>,
    n_without_trace: u64,
}

/// Whether a tool writes. An unknown tool counts as writing.
fn writes(tool: Option<&Tool>) -> bool {
    tool.is_none_or(Tool::writes)
}

impl WriteCalls {
    /// Reads logged calls and keeps those of tools that write.
    ///
    /// # Errors
    /// The file cannot be read, a line is not a call, or arguments have no canonical form.
    pub fn read(path: &Path, bundle: &ToolBundle) -> Result<Self> {
        let mut calls = Self::default();
        let mut numbers: BTreeMap<String, Option<usize>> = BTreeMap::new();
        let mut failed = None;
        let mut n = 0_u64;
        read_calls(path, &mut |call| {
            n += 1;
            if !numbers.contains_key(&call.tool) {
                let tool = bundle.tool(&call.tool);
                let number = writes(tool).then_some(calls.tools.len());
                if number.is_some() {
                    calls.tools.push((call.tool.clone(), tool.is_some()));
                }
                numbers.insert(call.tool.clone(), number);
            }
            let Some(Some(tool)) = numbers.get(&call.tool).copied() else {
                return;
            };
            if call.trace_id.is_empty() {
                calls.n_without_trace += 1;
                return;
            }
            let digest = call
                .arguments
                .map(|arguments| canonical(&format!("{}: call {n}", path.display()), &arguments))
                .transpose();
            match digest {
                Ok(digest) => {
                    let arguments_sha256 = digest.map(|(_, digest)| digest);
                    let trace = trace_key(&call.trace_id).into_owned();
                    calls.by_trace.entry(trace).or_default().push(WriteCall {
                        tool,
                        arguments_sha256,
                    });
                }
                Err(error) => failed = failed.take().or(Some(error)),
            }
        })?;
        failed.map_or(Ok(calls), Err)
    }
}

/// The result of one part of the log.
#[derive(Default)]
struct Part {
    rows: Vec<AffectedRow>,
    n_shadow: u64,
    n_eval: u64,
    n_bad: u64,
    n_without_release: u64,
    releases: BTreeSet<String>,
}

/// A receiver of rows, in the order of the log.
pub type OnRows<'a> = dyn FnMut(&[AffectedRow]) -> Result<()> + 'a;

/// Finds the requests that a release answered and, if logged calls are given, the write calls in
/// them. `on_rows` receives the write calls if logged calls are given, else the requests.
///
/// # Errors
/// The log cannot be read, or `on_rows` fails.
pub fn affected(
    question: &AffectedQuestion<'_>,
    reader: &TrafficReader,
    calls: Option<WriteCalls>,
    progress: &Progress,
    on_rows: &mut OnRows<'_>,
) -> Result<Affected> {
    let parts = &reader.table().parts;
    let bar = progress.rows("audit", reader.table().n_rows());
    let (mut users, mut sessions) = (HashSet::new(), HashSet::new());
    let mut found = Affected {
        release_id: question.release.to_owned(),
        from: question.period.start,
        until: question.period.end,
        n_requests: 0,
        n_users: Known::Value(0),
        n_without_user: 0,
        n_without_release: 0,
        n_sessions: None,
        first: None,
        last: None,
        n_shadow: 0,
        n_eval: 0,
        n_bad: 0,
        tools: None,
        n_calls_without_trace: calls.as_ref().map(|calls| calls.n_without_trace),
        n_calls_elsewhere: None,
        calls: calls.as_ref().map(|_| Vec::new()),
        releases: Vec::new(),
    };
    let mut calls = calls;
    let mut releases = BTreeSet::new();
    parallel::map_in_order(
        parts.len(),
        |part| {
            let mut found = Part::default();
            found.n_bad = reader.read_links(parts[part], &mut |links| {
                bar.advance(links.len() as u64);
                for row in (0..links.len()).filter(|row| !links.faults.is_bad(*row)) {
                    let release = links.text(Link::Release, row);
                    if release.is_some_and(|release| release != question.release) {
                        note_release(&mut found.releases, release);
                        continue;
                    }
                    if !is_within(&question.period, links.at(row)) {
                        continue;
                    }
                    if release.is_none() {
                        let is_seen = !links.is_shadow(row) && !links.is_eval(row);
                        found.n_without_release += u64::from(is_seen);
                        continue;
                    }
                    if links.is_shadow(row) {
                        found.n_shadow += 1;
                    } else if links.is_eval(row) {
                        found.n_eval += 1;
                    } else {
                        let text = |link: Link| links.text(link, row).map(str::to_owned);
                        found.rows.push(AffectedRow {
                            tenant_id: text(Link::Tenant).unwrap_or_else(|| DEFAULT_TENANT.to_owned()),
                            user_id: text(Link::User),
                            event_time: links.at(row),
                            trace_id: text(Link::Trace),
                            session_id: text(Link::Session),
                            tool: None,
                            arguments_sha256: None,
                            in_bundle: None,
                        });
                    }
                }
                Ok(())
            })?;
            Ok(found)
        },
        |_, part: Part| {
            found.n_shadow += part.n_shadow;
            found.n_eval += part.n_eval;
            found.n_bad += part.n_bad;
            found.n_without_release += part.n_without_release;
            releases.extend(part.releases);
            for row in &part.rows {
                found.n_requests += 1;
                let owner = user_hash(&row.tenant_id, row.user_id.as_deref().unwrap_or_default());
                if row.user_id.is_some() {
                    users.insert(owner);
                } else {
                    found.n_without_user += 1;
                }
                if let Some(session) = &row.session_id {
                    sessions.insert(hash::join(hash::hash_id(session.as_bytes()), owner));
                }
                found.first = found.first.into_iter().chain(row.event_time).min();
                found.last = found.last.into_iter().chain(row.event_time).max();
            }
            match (&mut calls, &mut found.calls) {
                (Some(calls), Some(listed)) => {
                    let first = listed.len();
                    part.rows.iter().for_each(|row| list_calls(calls, row, listed));
                    on_rows(&listed[first..])
                }
                _ => on_rows(&part.rows),
            }
        },
    )?;
    let n_users = if !reader.has("user_id") {
        Err(Reason::NoColumn)
    } else if users.is_empty() && found.n_requests > 0 {
        Err(Reason::NoData)
    } else {
        Ok(users.len() as u64)
    };
    found.n_users = n_users.into();
    found.n_sessions = reader.has("session_id").then_some(sessions.len() as u64);
    if found.n_requests + found.n_shadow + found.n_eval == 0 {
        found.releases = releases.into_iter().take(MAX_NAMES).collect();
    }
    found.tools = found.calls.as_deref().map(count_tools);
    // What is listed is no longer among the calls.
    found.n_calls_elsewhere =
        calls.map(|calls| calls.by_trace.values().map(|calls| calls.len() as u64).sum());
    Ok(found)
}

/// Keeps the first names of releases in alphabetical order.
fn note_release(releases: &mut BTreeSet<String>, release: Option<&str>) {
    let Some(release) = release.filter(|release| !releases.contains(*release)) else {
        return;
    };
    if releases.len() < MAX_NAMES || releases.last().is_some_and(|last| release < last.as_str()) {
        releases.insert(release.to_owned());
        if releases.len() > MAX_NAMES {
            releases.pop_last();
        }
    }
}

/// Lists the calls of a row's trace. A trace with several rows lists its calls only once.
fn list_calls(calls: &mut WriteCalls, row: &AffectedRow, listed: &mut Vec<AffectedRow>) {
    let Some(trace) = &row.trace_id else { return };
    for call in calls
        .by_trace
        .remove(trace_key(trace).as_ref())
        .unwrap_or_default()
    {
        let (tool, in_bundle) = &calls.tools[call.tool];
        listed.push(AffectedRow {
            tool: Some(tool.clone()),
            arguments_sha256: call.arguments_sha256,
            in_bundle: Some(*in_bundle),
            ..row.clone()
        });
    }
}

fn count_tools(calls: &[AffectedRow]) -> Vec<ToolCount> {
    let mut counts: BTreeMap<&str, ToolCount> = BTreeMap::new();
    for call in calls {
        let tool = call.tool.as_deref().unwrap_or_default();
        let none = || ToolCount {
            tool: tool.to_owned(),
            n_calls: 0,
            in_bundle: call.in_bundle == Some(true),
        };
        counts.entry(tool).or_insert_with(none).n_calls += 1;
    }
    counts.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_writes_unless_something_says_that_it_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tools.json");
        let bundle = r#"[{"name": "write", "risk_level": "write"}, {"name": "high", "risk_level": "critical"}, {"name": "medium", "risk_level": "medium"},
            {"name": "hinted", "annotations": {"readOnlyHint": true}}, {"name": "silent"},
            {"name": "liar", "risk_level": "write", "annotations": {"readOnlyHint": true}}]"#;
        std::fs::write(&path, bundle).unwrap();
        let bundle = ToolBundle::read(&path).unwrap();
        let expected = [
            ("write", true),
            ("high", true),
            ("medium", false),
            ("hinted", false),
            ("silent", true),
            ("liar", true),
            ("gone", true),
        ];
        for (tool, expected) in expected {
            assert_eq!(writes(bundle.tool(tool)), expected, "{tool}");
        }
    }

    #[test]
    fn only_the_first_names_of_releases_are_kept() {
        let mut releases = BTreeSet::new();
        (0..1_000)
            .rev()
            .for_each(|n| note_release(&mut releases, Some(&format!("r{n:03}"))));
        assert_eq!(releases.len(), MAX_NAMES);
        assert_eq!(
            (
                releases.first().unwrap().as_str(),
                releases.last().unwrap().as_str()
            ),
            ("r000", "r019")
        );
    }
}

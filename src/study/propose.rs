//! `sluice init`: reads samples of files, and proposes a scenario for them.

use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::hash::hash_id;
use crate::base::progress::Progress;
use crate::base::time;
use crate::base::time::{DAY, HOUR, Micros, SECOND};
use crate::init::{
    DIVISIONS, Draft, DraftPlan, DraftSource, Guess, Guesses, How, Native, OwnColumn, Role, Turn, TurnFacts,
    caps, choose_releases, guardrails, guess_with_pairs, layers, missing, own_metrics, parse_other_form,
    unfit_names, write,
};
use crate::input::{Part, Table};
use crate::replay::open_traffic;
use crate::scenario::{CONSENT, FEATURES, OnBadRow, Scenario, TraceSource};
use crate::study::match_ids::match_ids;
use crate::study::proposal::{
    InitOptions, Proposal, Source, distinct_names, header, n_bytes, scenario_path, summary, time_zone,
};
use crate::study::propose_ramp::{rehearsed, set_division, settle_layers};
use crate::study::rehearsal::parse;
use crate::study::sample::{sample, spread};
use crate::traces::{Needs, are_traces, turns_of};

/// Files of this size together are rehearsed, bytes. Larger ones would take minutes.
const MAX_REHEARSAL: u64 = 2 << 30;
/// A log of at most this size is read as a whole for its releases, bytes.
const MAX_WHOLE: u64 = 4 << 30;
/// The instant of rows whose files name no time.
const NO_TIME: &str = "2000-01-01T00:00:00Z";
const NO_TIME_AT: Micros = 946_684_800 * SECOND;

/// Looks at files and proposes a scenario.
///
/// # Errors
/// A file cannot be read, or none is named.
pub fn propose(options: &InitOptions, progress: &Progress) -> Result<Proposal> {
    let folder = folder_of(options.out.as_deref());
    let mut sources = open_sources(options, &folder, progress)?;
    complete_sources(&mut sources);
    if cfg!(feature = "frames") {
        match_ids(&mut sources)?;
    }
    let mut draft = first_draft(options, &sources);
    draft.has_derive = cfg!(feature = "frames");
    if !draft.has_derive {
        without_derive(&mut sources, &mut draft);
    }
    let whole = look_at_turns(&mut draft, &sources, &folder, progress)?;
    finish_draft(&mut draft, &sources);
    let n_bytes: u64 = sources.iter().map(|source| n_bytes(&source.table)).sum();
    let mut problems = Vec::new();
    if n_bytes <= MAX_REHEARSAL {
        settle_layers(&mut draft, &folder);
        problems = rehearsed(&mut draft, &folder, progress);
    } else {
        let why = "The files are large, so the scenario was not rehearsed: layers and ladders are the usual ones, and \
                   `sluice run` warns of steps that cannot decide.";
        draft.header.push(why.into());
    }
    if !whole {
        draft
            .header
            .push("Releases and times are those of a sample of the log.".into());
    }
    draft.missing = missing(&draft);
    let text = write(&draft);
    parse(&text, &folder)?;
    let summary = summary(&draft, &sources);
    Ok(Proposal {
        text,
        summary,
        problems,
    })
}

/// The folder that relative paths of the scenario start at.
fn folder_of(out: Option<&Path>) -> PathBuf {
    out.and_then(Path::parent)
        .map_or_else(PathBuf::new, Path::to_owned)
}

fn open_sources(options: &InitOptions, folder: &Path, progress: &Progress) -> Result<Vec<Source>> {
    if options.users.is_some() && options.events.is_some() {
        return Err(Error::usage("expected --users or --events, found both")
            .hint("users come from a table, or are made from a log of events"));
    }
    let paths = options.users.iter().map(|path| (Role::Users, path));
    let paths = paths.chain(options.events.iter().map(|path| (Role::Events, path)));
    let paths: Vec<(Role, &PathBuf)> = paths
        .chain(options.traffic.iter().map(|path| (Role::Traffic, path)))
        .collect();
    if paths.is_empty() {
        return Err(
            Error::usage("expected --users, --events or --traffic, found none of them")
                .hint("name the files to look at: sluice init --users users.csv --traffic log.csv"),
        );
    }
    let stage = progress.stage("sample");
    let mut sources = Vec::new();
    let mut n_rows = 0;
    for (role, path) in paths {
        let source = source_of(role, path);
        let turns = turns_of(&source, Needs::Ids, OnBadRow::Drop, progress)?;
        let table = Table::open(&turns.source)?;
        let sample = sample(&table, options.max_rows)?;
        n_rows += sample.n_rows;
        if sample.n_rows == 0 {
            return Err(Error::in_file(path, "expected rows, found none"));
        }
        let mut guesses = guess_with_pairs(role, &sample.profiles);
        if source.traces.is_some() {
            // The turns have the names of Sluice. Names of a scenario would be paths in the traces.
            guesses.used.retain(|guess| guess.file_column == guess.column);
        }
        let coverage = turns.coverage.unwrap_or_default();
        sources.push(Source {
            draft: DraftSource {
                role,
                path: scenario_path(path, folder),
                traces: source.traces.as_ref().map(|_| coverage.kinds()),
                scores: coverage.unmapped_scores.into_keys().collect(),
                guesses,
                constants: Vec::new(),
                own_columns: Vec::new(),
            },
            label: source.name(),
            sample,
            table,
        });
    }
    stage.set_rows(n_rows);
    Ok(sources)
}

/// A source at a path. A log that has the columns of a row a turn is a table, whatever else it has.
fn source_of(role: Role, path: &Path) -> crate::scenario::Source {
    let plain = crate::scenario::Source::at(path);
    let is_table = || {
        Table::open(&plain).is_ok_and(|table| {
            ["event_time", "user_id", "release_id"]
                .iter()
                .all(|name| table.has(name))
        })
    };
    let traces = (role == Role::Traffic && are_traces(path) && !is_table()).then(|| TraceSource {
        key: format!("--traffic {}", path.display()),
        ..TraceSource::default()
    });
    crate::scenario::Source { traces, ..plain }
}

/// Gives every source the columns that it cannot do without.
fn complete_sources(sources: &mut [Source]) {
    let stems = distinct_names(sources);
    // Files that name no release are one release each.
    let logs = || sources.iter().filter(|source| source.draft.role == Role::Traffic);
    let is_by_file = logs().count() > 1
        && logs().all(|source| {
            let guesses = &source.draft.guesses;
            guesses.get("release_id").is_none() || guesses.is_by_values("release_id")
        });
    if is_by_file {
        sources
            .iter_mut()
            .for_each(|source| source.draft.guesses.demote("release_id"));
    }
    for (idx, source) in sources.iter_mut().enumerate() {
        let role = source.draft.role;
        let lacks = |source: &Source, column: &str| source.draft.guesses.get(column).is_none();
        if role != Role::Users && lacks(source, "event_time") {
            let why = "the file names no time: all rows count as one instant";
            source
                .draft
                .constants
                .push(("event_time", NO_TIME.into(), why.into()));
        }
        if lacks(source, "user_id") {
            user_without_column(source, &stems[idx]);
        }
        if role == Role::Traffic && lacks(source, "release_id") {
            let why = "the file names no release: all its rows count as this one";
            source
                .draft
                .constants
                .push(("release_id", stems[idx].clone(), why.into()));
        }
    }
    let has_tenant = |source: &Source| source.draft.guesses.get("tenant_id").is_some();
    // A tenant on one side only leaves no user in common.
    if !sources.iter().all(has_tenant) && sources.len() > 1 {
        for source in sources.iter_mut() {
            source.draft.guesses.demote("tenant_id");
        }
    }
    for source in sources.iter_mut() {
        hide_unfit(source);
    }
}

/// Takes a session, a request or a row for a user.
fn user_without_column(source: &mut Source, stem: &str) {
    let stand_in = ["session_id", "trace_id"]
        .into_iter()
        .find_map(|column| source.draft.guesses.get(column).cloned());
    match stand_in {
        Some(other) if source.draft.role != Role::Users => {
            let what = if other.column == "session_id" {
                "session"
            } else {
                "request"
            };
            source.draft.guesses.used.insert(
                0,
                Guess {
                    column: "user_id",
                    confidence: 0.4,
                    is_unsure: true,
                    why: format!("no column of users was found: a {what} counts as a user"),
                    ..other
                },
            );
        }
        _ => {
            let why = "no column of users was found: a row counts as a user";
            source
                .draft
                .constants
                .push(("user_id", format!("{stem}-{{row}}"), why.into()));
        }
    }
}

/// Hides columns that have a name of Sluice and values that do not fit, where a text can stand for
/// them.
fn hide_unfit(source: &mut Source) {
    if source.draft.traces.is_some() {
        return;
    }
    let used: Vec<&str> = source
        .draft
        .guesses
        .used
        .iter()
        .map(|guess| guess.column)
        .collect();
    let unfit = unfit_names(source.draft.role, &source.sample.profiles, &used);
    let why = "the column of this name in the file is not read";
    if unfit.contains(&"tenant_id") {
        source
            .draft
            .constants
            .push(("tenant_id", "default".into(), why.into()));
    }
    if unfit.contains(&"layer") {
        source.draft.constants.push(("layer", String::new(), why.into()));
    }
}

/// Replaces expressions by what goes without them.
fn without_derive(sources: &mut [Source], draft: &mut Draft) {
    for source in sources.iter_mut() {
        for (column, constant) in [
            ("event_time", NO_TIME.to_owned()),
            ("user_id", "user-{row}".to_owned()),
        ] {
            let needs = |guess: &Guess| matches!(guess.how, How::Derive(_));
            if source.draft.role != Role::Users && source.draft.guesses.get(column).is_some_and(needs) {
                let why = "the column needs an expression, which this program does not read";
                source.draft.constants.push((column, constant, why.into()));
            }
        }
    }
    let of = |role: fn(Role) -> bool| sources.iter().filter(move |source| role(source.draft.role));
    draft.users = of(|role| role != Role::Traffic)
        .map(|source| source.draft.clone())
        .next();
    draft.traffic = of(|role| role == Role::Traffic)
        .map(|source| source.draft.clone())
        .collect();
}

/// The draft that the sources can be opened with. Times and releases follow.
fn first_draft(options: &InitOptions, sources: &[Source]) -> Draft {
    let spans: Vec<(Micros, Micros)> = sources.iter().filter_map(time_span).collect();
    let first = spans.iter().map(|span| span.0).min().unwrap_or(NO_TIME_AT);
    let last = spans.iter().map(|span| span.1).max().unwrap_or(NO_TIME_AT);
    let id = sources.last().map_or("ramp", |source| source.label.as_str());
    let id: String = id
        .split('.')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_')
        .collect();
    let users = sources.iter().find(|source| source.draft.role != Role::Traffic);
    let traffic: Vec<&Source> = sources
        .iter()
        .filter(|source| source.draft.role == Role::Traffic)
        .collect();
    let as_of = (last.div_euclid(DAY) + 1) * DAY;
    let mut draft = Draft {
        header: header(options, sources),
        as_of: (as_of, "the end of the day of the newest row".into()),
        time_zone: time_zone(sources),
        plan: DraftPlan {
            id: if id.is_empty() { "ramp".into() } else { id },
            start: (
                if traffic.is_empty() {
                    as_of
                } else {
                    first.div_euclid(DAY) * DAY
                },
                "the day of the first row".into(),
            ),
            baseline: "baseline".into(),
            candidate: "candidate".into(),
            why: vec!["No log names the releases: write their names here.".into()],
        },
        users: users.map(|source| source.draft.clone()),
        traffic: traffic.iter().map(|source| source.draft.clone()).collect(),
        absent: Vec::new(),
        layering: Vec::new(),
        layers: layers(DIVISIONS[2]),
        operations: Vec::new(),
        metrics: Vec::new(),
        guardrails: Vec::new(),
        guard: None,
        missing: Vec::new(),
        drop_bad_rows: None,
        keep_first_user: None,
        findings: Vec::new(),
        has_derive: true,
    };
    if traffic.is_empty() {
        draft.plan.start.1 = "layers are those of this instant".into();
    }
    if spans.is_empty() {
        draft.as_of.1 = "no file names a time: write the end of what is known".into();
        draft.plan.start.1 = "no file names a time".into();
    }
    draft
}

/// The first and the last instant of a source's column of times, as the sample has it.
fn time_span(source: &Source) -> Option<(Micros, Micros)> {
    let column = if source.draft.role == Role::Users {
        "last_use_time"
    } else {
        "event_time"
    };
    let guess = source.draft.guesses.get(column)?;
    let profile = source
        .sample
        .profiles
        .iter()
        .find(|profile| profile.name == guess.file_column)?;
    let scale = match guess.how {
        How::Unit("ms") => 1e3,
        How::Unit("us") => 1e6,
        How::Unit("ns") => 1e9,
        How::Derive(_) => {
            // Words of a form that Sluice does not read by itself.
            let times = profile
                .words
                .keys()
                .filter_map(|word| parse_other_form(profile, word));
            let (first, last) = times.fold((Micros::MAX, Micros::MIN), |(a, b), at| (a.min(at), b.max(at)));
            return (first <= last).then_some((first, last));
        }
        _ if profile.is_numeric() && profile.native != Native::Text || profile.span.is_none() => 1.0,
        _ => return profile.span,
    };
    // Eight digits of a text are a date.
    let are_dates =
        profile.native == Native::Text && scale == 1.0 && (1.9e7..2.1002e7).contains(&profile.min);
    let at = |value: f64| {
        if are_dates {
            time::parse(&format!("{value:.0}")).ok()
        } else {
            time::from_seconds(value / scale).ok()
        }
    };
    Some((at(profile.quantile(0.001)?)?, at(profile.max)?))
}

/// Reads the log for its releases and times, and sets the plan. Returns whether all rows were read.
fn look_at_turns(draft: &mut Draft, sources: &[Source], folder: &Path, progress: &Progress) -> Result<bool> {
    if draft.traffic.is_empty() {
        return Ok(true);
    }
    let scenario = parse(&write(draft), folder)?;
    let (facts, is_whole) = turn_facts(&scenario, progress)?;
    let Some((_, last)) = facts.span else {
        return Err(Error::input(
            sources
                .last()
                .map_or_else(String::new, |source| source.label.clone()),
            "expected rows with a time and a user, found none",
        ));
    };
    let step = if is_whole { HOUR } else { DAY };
    let is_timed = !draft
        .traffic
        .iter()
        .all(|source| source.constants.iter().any(|(name, _, _)| *name == "event_time"));
    let as_of = (last.div_euclid(step) + 1) * step;
    let newest = format!("just after the newest row ({})", time::format(last));
    draft.as_of = (
        if is_timed { as_of } else { NO_TIME_AT + 7 * DAY },
        if is_timed {
            newest
        } else {
            "no file names a time: seven days stand for the time that the rows took".into()
        },
    );
    let Some(pair) = choose_releases(&facts) else {
        return Ok(is_whole);
    };
    draft.plan.start = (pair.start, pair.start_why.clone());
    draft.plan.baseline = pair.baseline.clone();
    draft.plan.candidate = if pair.candidate.is_empty() {
        "next".into()
    } else {
        pair.candidate.clone()
    };
    let guess = if pair.is_certain { "" } else { "guess: " };
    draft.plan.why = vec![format!("{guess}{}.", pair.why)];
    let shown = facts.releases().into_iter().take(5);
    draft
        .plan
        .why
        .extend(shown.map(|release| format!("- \"{}\": {}", release.id, release.describe())));
    crate::study::propose_ramp::stages(draft, &pair, &facts);
    Ok(is_whole)
}

fn turn_facts(scenario: &Scenario, progress: &Progress) -> Result<(TurnFacts, bool)> {
    let mut facts = TurnFacts::default();
    let mut is_whole = true;
    for reader in open_traffic(
        &scenario.metrics,
        &[],
        &scenario.input.traffic,
        OnBadRow::Drop,
        progress,
    )? {
        let all = &reader.table().parts;
        let is_small = n_bytes(reader.table()) <= MAX_WHOLE;
        let parts: Vec<Part> = if is_small { all.clone() } else { spread(all) };
        is_whole &= parts.len() == all.len();
        for part in parts {
            reader.read(part, &mut |batch| {
                for row in (0..batch.raw.n_rows).filter(|row| !batch.faults.is_bad(*row)) {
                    let release = (!arrow_array::Array::is_null(&batch.release_id, row))
                        .then(|| batch.release_id.value(row));
                    facts.add(Turn {
                        at: batch.event_time.value(row),
                        user: hash_id(batch.user_id.value(row).as_bytes()),
                        release,
                    });
                }
                Ok(())
            })?;
        }
    }
    Ok((facts, is_whole))
}

/// Features, consent, caps, metrics and guardrails, from what the sources have.
fn finish_draft(draft: &mut Draft, sources: &[Source]) {
    let users = sources.iter().find(|source| source.draft.role != Role::Traffic);
    if let (Some(users), Some(source)) = (users, &draft.users) {
        let has = |name: &str| match (source.role, name) {
            (Role::Events, "last_use_time" | "use_count") => true,
            (Role::Events, "user_value") => source.has("value", draft.has_derive),
            (Role::Events, _) => false,
            _ => source.has(name, draft.has_derive) || users.table.has(name),
        };
        draft.absent = FEATURES.into_iter().filter(|name| !has(name)).collect();
        if !has(CONSENT) {
            draft.layering.push((
                "consent",
                "\"opt_out\"".into(),
                "no column of consent: every user is eligible".into(),
            ));
        }
        if draft.absent.len() < FEATURES.len() {
            set_division(draft, DIVISIONS[0]);
        }
        let start = draft.plan.start.0 as f64 / SECOND as f64;
        draft
            .layering
            .extend(caps(&users.draft.guesses, &users.sample.profiles, start));
    } else if draft.users.is_none() {
        draft.layering.push((
            "consent",
            "\"opt_out\"".into(),
            "the log has no consent: every user is eligible".into(),
        ));
    }
    let traffic: Vec<&Source> = sources
        .iter()
        .filter(|source| source.draft.role == Role::Traffic)
        .collect();
    for (idx, source) in traffic.iter().enumerate() {
        let Guesses { unused, used, .. } = &source.draft.guesses;
        let taken: Vec<&str> = used.iter().map(|guess| guess.column).collect();
        for metric in own_metrics(&source.sample.profiles, unused, &taken) {
            if metric.sql.is_some() && !draft.has_derive {
                continue;
            }
            draft.traffic[idx].own_columns.push(OwnColumn {
                name: metric.column.clone(),
                file_column: metric.file_column.clone(),
                sql: metric.sql.clone(),
            });
            if !draft.metrics.iter().any(|other| other.id == metric.id) {
                draft.metrics.push(metric);
            }
        }
    }
    draft.guardrails = guardrails(draft);
}

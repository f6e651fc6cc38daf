//! `sluice check`: reads samples of a scenario's sources and says what a run would read.

use arrow_array::{Array, StringArray};
use hashbrown::HashSet;

use crate::base::error::{Error, Result};
use crate::base::hash::{hash_id, join};
use crate::base::number::percent;
use crate::base::progress::Progress;
use crate::base::time;
use crate::input::{self, Batch, DEFAULT_TENANT, Fault, RowFaults, Table, UserReader, convert, fetch};
use crate::layer::{UserSource, check_required};
use crate::replay::{implausible_mean, open_outcomes, open_traffic, rule_of_turns};
use crate::scenario::{OnBadRow, Scenario, Source, TagRule, UsersFrom};
use crate::study::checkup_columns::{
    Log, Seen, Values, column_check, columns_of_events, columns_of_log, columns_of_users, read_column,
};
use crate::study::checkup_document::{BadRow, Checkup, CoverageCheck, SourceCheck};
use crate::study::sample::{Taper, read_until, spread};
use crate::study::user_tables::Joined;
use crate::traces::{Needs, turns_of};

/// The largest number of bad rows that are listed of a source.
const MAX_BAD_ROWS: usize = 5;
/// Checks the sources of a scenario with about `max_rows` rows of each.
///
/// # Errors
/// None of the sources: what is wrong with them is in the result.
pub fn check_sources(scenario: &Scenario, max_rows: u64, progress: &Progress) -> Result<Checkup> {
    let mut check = Check {
        scenario,
        progress,
        max_rows,
        problems: Vec::new(),
        warnings: Vec::new(),
        sources: Vec::new(),
    };
    let stage = progress.stage("check");
    let users = check.users();
    for (idx, source) in scenario.input.traffic.iter().enumerate() {
        let name = numbered("traffic", idx, scenario.input.traffic.len());
        check.log(&name, source, users.as_ref(), Log::Traffic);
    }
    for (kind, name, sources) in [
        (Log::Shadow, "shadow", &scenario.input.shadow),
        (Log::Outcomes, "outcomes", &scenario.input.outcomes),
    ] {
        for (idx, source) in sources.iter().enumerate() {
            check.log(&numbered(name, idx, sources.len()), source, None, kind);
        }
    }
    stage.set_rows(check.sources.iter().map(|source| source.n_rows_read).sum());
    check.look_at_coverage();
    Ok(Checkup {
        schema: "sluice.check/1",
        scenario: scenario.name.clone(),
        is_usable: check.problems.is_empty(),
        problems: check.problems,
        warnings: check.warnings,
        sources: check.sources,
    })
}

fn numbered(name: &str, idx: usize, n: usize) -> String {
    if n > 1 {
        format!("{name}[{}]", idx + 1)
    } else {
        name.to_owned()
    }
}

struct Check<'a> {
    scenario: &'a Scenario,
    progress: &'a Progress,
    max_rows: u64,
    problems: Vec<String>,
    warnings: Vec<String>,
    sources: Vec<SourceCheck>,
}

fn one_line(error: &Error) -> String {
    let error = fetch::named_as_asked(error.clone());
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Check<'_> {
    /// Checks the source of users. Returns the hashes of all its users; `None` if users come from the
    /// traffic, or cannot be read.
    fn users(&mut self) -> Option<HashSet<u64>> {
        let scenario = self.scenario;
        let rules: Vec<&TagRule> = scenario
            .plan
            .layers
            .iter()
            .flat_map(|layer| &layer.tags)
            .collect();
        let input = &scenario.input;
        let joined = input.user_join.as_ref().map(Table::open);
        let is_joined = |name: &str| matches!(&joined, Some(Ok(table)) if table.has(name));
        let own = |rule: &&TagRule| !is_joined(&rule.column);
        let own: Vec<&TagRule> = rules.iter().copied().filter(own).collect();
        let sources = input.user_sources(&input.users);
        let n_tables = sources.len() - usize::from(input.user_join.is_some() && !sources.is_empty());
        let mut ids = None;
        for (idx, source) in sources[..n_tables].iter().enumerate() {
            let opened = match &input.users {
                UsersFrom::Events(events) => {
                    input::open_events(events).map(|table| ("events".to_owned(), table, UserSource::Events))
                }
                _ => UserReader::open(source, own.clone(), OnBadRow::Drop).map(|reader| {
                    let name = numbered("users", idx, n_tables);
                    (name, reader.table().clone(), UserSource::Table)
                }),
            };
            let found = opened.and_then(|(name, table, kind)| {
                let warnings = check_required(&table, kind, &scenario.layering, &scenario.plan, &is_joined)?;
                let seen = match kind {
                    UserSource::Table => columns_of_users(&own),
                    UserSource::Events => columns_of_events(),
                };
                let source = self.read(&name, &table, seen, None, input.on_bad_row)?;
                Ok((warnings, source, hashes_of(&table)?))
            });
            match found {
                Ok((warnings, source, found)) => {
                    self.warnings.extend(warnings);
                    self.sources.push(source);
                    ids.get_or_insert_with(HashSet::new).extend(found);
                }
                Err(error) => {
                    self.problems.push(one_line(&error));
                    return None;
                }
            }
        }
        if let Some(joined) = joined.clone() {
            let joins = |rule: &&TagRule| is_joined(&rule.column);
            let columns: Vec<&TagRule> = rules.iter().copied().filter(joins).collect();
            let source = joined.and_then(|table| {
                // A user who is there twice is an error of a run.
                Joined::read(&table.source, &columns, input)?;
                self.read(
                    "users.join",
                    &table,
                    columns_of_users(&columns),
                    None,
                    input.on_bad_row,
                )
            });
            match source {
                Ok(source) => self.sources.push(source),
                Err(error) => self.problems.push(one_line(&error)),
            }
        }
        ids
    }

    fn log(&mut self, name: &str, source: &Source, users: Option<&HashSet<u64>>, log: Log) {
        let scenario = self.scenario;
        let sources = std::slice::from_ref(source);
        // Bad rows of traces stop the import of a run, and so a check.
        let on_bad_row = match source.traces {
            Some(_) => scenario.input.on_bad_row,
            None => OnBadRow::Drop,
        };
        let (metrics, progress) = (&scenario.metrics, self.progress);
        let opened = match log {
            Log::Traffic => open_traffic(metrics, &scenario.breakdowns, sources, on_bad_row, progress),
            Log::Shadow => open_outcomes(metrics, sources, true, on_bad_row, progress),
            Log::Outcomes => open_outcomes(metrics, sources, false, on_bad_row, progress),
        };
        let found = opened.and_then(|readers| {
            let Some(reader) = readers.first() else {
                return Ok(None);
            };
            let columns = columns_of_log(reader.measured(), &scenario.breakdowns, log);
            let turns = (log == Log::Traffic).then(|| Turns {
                scenario,
                users,
                coverage: CoverageCheck::default(),
            });
            self.warnings.extend(reader.table().warnings());
            let rule = rule_of_turns(source, scenario.input.on_bad_row);
            let found = self.read(name, reader.table(), columns, turns, rule)?;
            let needs = match log {
                Log::Traffic => Needs::Ids,
                Log::Shadow | Log::Outcomes => Needs::Nothing,
            };
            let coverage = turns_of(source, needs, on_bad_row, progress)?.coverage;
            Ok(Some(SourceCheck {
                traces: coverage,
                ..found
            }))
        });
        match found {
            Ok(source) => self.sources.extend(source),
            Err(error) => self.problems.push(one_line(&error)),
        }
    }

    /// Reads a sample of a source.
    fn read(
        &mut self,
        name: &str,
        table: &Table,
        mut seen: Vec<Seen>,
        mut turns: Option<Turns<'_>>,
        on_bad_row: OnBadRow,
    ) -> Result<SourceCheck> {
        let columns: Vec<String> = seen.iter().map(|seen| seen.name.clone()).collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let parts = spread(&table.parts);
        let mut source = described(name, table, &columns);
        source.is_whole = parts.len() == table.parts.len();
        for part in &parts {
            let quota = (self.max_rows / parts.len() as u64).max(1);
            let mut taper = Taper::new(quota);
            source.is_whole &= read_until(table, *part, &columns, quota, &mut |batch, n_rows| {
                if !taper.takes(n_rows as u64) {
                    return Ok(());
                }
                source.n_rows_read += n_rows as u64;
                add_batch(batch, &mut seen, &mut turns, &mut source, self.scenario)
            })?;
            source.is_whole &= taper.n_left_out == 0;
        }
        let is_error = on_bad_row == OnBadRow::Error;
        if let Some(bad) = source.first_bad_rows.first().filter(|_| is_error) {
            self.problems.push(format!(
                "{}: column `{}`, row {}: expected {}, found {}; {} such rows; input.on_bad_row = \"drop\" leaves them out",
                bad.file, bad.column, bad.row, bad.expected, bad.found, source.n_bad_rows
            ));
        }
        for seen in &seen {
            let has_unit = table.source.units.contains_key(&seen.name) || table.source.is_made(&seen.name);
            let n = seen.n - seen.n_null;
            if !has_unit && n > 0 {
                let warning = implausible_mean(&seen.name, seen.sum / n as f64);
                self.warnings
                    .extend(warning.map(|warning| format!("{}: {warning}", source.path)));
            }
        }
        let span = seen.iter().find_map(Seen::span);
        source.first = span.map(|(first, _)| time::format(first));
        source.last = span.map(|(_, last)| time::format(last));
        source.columns = seen.iter().map(|seen| column_check(seen, table)).collect();
        source.coverage = turns.map(|turns| turns.coverage);
        Ok(source)
    }

    /// Warns of rows without a known user and release.
    fn look_at_coverage(&mut self) {
        let mut sum = CoverageCheck::default();
        for coverage in self.sources.iter().filter_map(|source| source.coverage.as_ref()) {
            sum.n_rows += coverage.n_rows;
            sum.n_known += coverage.n_known;
            sum.n_candidate += coverage.n_candidate;
            sum.n_baseline += coverage.n_baseline;
        }
        if self.scenario.input.traffic.is_empty() || !self.problems.is_empty() {
            return;
        }
        if sum.n_rows == 0 {
            self.warnings
                .push("no row of the sample lies between the start of the plan and as_of".into());
            return;
        }
        let share = sum.n_known as f64 / sum.n_rows as f64;
        if share < 0.99 {
            self.warnings.push(format!(
                "{} of the rows have a known user and release; no verdict is valid below guard.min_coverage",
                percent(share)
            ));
        }
        for (n, arm, id) in [
            (sum.n_baseline, "baseline", &self.scenario.plan.baseline),
            (sum.n_candidate, "candidate", &self.scenario.plan.candidate),
        ] {
            if n == 0 {
                self.warnings
                    .push(format!("no row of the sample is of the {arm} \"{id}\""));
            }
        }
    }
}

/// The hashes of all users of a source.
fn hashes_of(table: &Table) -> Result<HashSet<u64>> {
    let mut ids = HashSet::new();
    for part in &table.parts {
        table.read(*part, &["user_id", "tenant_id"], &mut |batch| {
            let (users, tenants) = (convert::text(&batch, 0)?, convert::text(&batch, 1)?);
            for row in 0..batch.n_rows {
                if let Some(user) = text_at(users.as_ref(), row) {
                    ids.insert(user_hash(tenants.as_ref(), row, user));
                }
            }
            Ok(())
        })?;
    }
    Ok(ids)
}

fn text_at(texts: Option<&StringArray>, row: usize) -> Option<&str> {
    let texts = texts.filter(|texts| texts.is_valid(row))?;
    Some(texts.value(row)).filter(|text| !text.is_empty())
}

fn user_hash(tenants: Option<&StringArray>, row: usize, user: &str) -> u64 {
    let tenant = text_at(tenants, row).unwrap_or(DEFAULT_TENANT);
    join(hash_id(tenant.as_bytes()), hash_id(user.as_bytes()))
}

/// The files of a source, and the columns that it does not read.
fn described(name: &str, table: &Table, columns: &[&str]) -> SourceCheck {
    let mut formats: Vec<String> = table
        .files
        .iter()
        .map(|file| format!("{:?}", file.format))
        .collect();
    formats
        .iter_mut()
        .for_each(|format| *format = format.split(' ').next().unwrap_or_default().to_lowercase());
    formats.sort();
    formats.dedup();
    let source = &table.source;
    let expressions: String = source
        .derive
        .values()
        .chain(&source.filter)
        .map(|expression| format!(" {} ", expression.text))
        .collect();
    let is_read = |column: &String| {
        columns
            .iter()
            .any(|name| !source.is_made(name) && table.name_in_file(name) == column)
            || expressions.contains(column.as_str())
    };
    let mut unused: Vec<String> = Vec::new();
    for column in table.files.iter().flat_map(|file| &file.columns) {
        if !is_read(column) && !unused.contains(column) {
            unused.push(column.clone());
        }
    }
    SourceCheck {
        source: name.to_owned(),
        path: source.name(),
        n_files: table.files.len(),
        formats,
        n_rows: table.n_rows(),
        unused_columns: unused,
        ..SourceCheck::default()
    }
}

/// The rows of known users and releases.
struct Turns<'a> {
    scenario: &'a Scenario,
    /// `None` if every user of the log is known.
    users: Option<&'a HashSet<u64>>,
    coverage: CoverageCheck,
}

fn add_batch(
    batch: &Batch<'_>,
    seen: &mut [Seen],
    turns: &mut Option<Turns<'_>>,
    source: &mut SourceCheck,
    scenario: &Scenario,
) -> Result<()> {
    let mut faults = batch.faults(OnBadRow::Drop)?;
    let mut columns: Vec<Option<Values>> = Vec::new();
    for (idx, seen) in seen.iter().enumerate() {
        columns.push(read_column(batch, idx, &seen.kind, &mut faults)?);
    }
    seen.iter_mut()
        .zip(&columns)
        .for_each(|(seen, values)| seen.add(values.as_ref()));
    add_times(&columns, source, turns.is_some(), scenario);
    if let Some(turns) = turns {
        turns.add(&columns, &faults, batch.n_rows);
    }
    let file = batch
        .path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    for Fault {
        column,
        row,
        expected,
        found,
    } in faults.examples()
    {
        if source.first_bad_rows.len() < MAX_BAD_ROWS {
            source.first_bad_rows.push(BadRow {
                file: file.clone(),
                column: column.clone(),
                row: *row,
                expected: expected.clone(),
                found: found.clone(),
            });
        }
    }
    source.n_bad_rows += faults.n_bad() as u64;
    for (reason, n) in faults.into_counts() {
        *source.bad_rows.entry(reason).or_default() += n;
    }
    Ok(())
}

/// Adds the times of a batch: the column of instants of the source.
fn add_times(columns: &[Option<Values>], source: &mut SourceCheck, is_traffic: bool, scenario: &Scenario) {
    let times = columns.iter().flatten().find_map(|values| match values {
        Values::Instants(times) => Some(times),
        _ => None,
    });
    for at in times.into_iter().flatten().flatten() {
        source.n_after_as_of += u64::from(at >= scenario.as_of);
        source.n_before_start += u64::from(is_traffic && at < scenario.plan.start);
    }
}

impl Turns<'_> {
    fn add(&mut self, columns: &[Option<Values>], faults: &RowFaults, n_rows: usize) {
        let text = |idx: usize| match &columns[idx] {
            Some(Values::Texts(texts)) => Some(texts),
            _ => None,
        };
        let is_set = |idx: usize, row: usize| match &columns[idx] {
            Some(Values::Flags(flags)) => flags.is_valid(row) && flags.value(row),
            _ => false,
        };
        let Some(Values::Instants(times)) = &columns[0] else {
            return;
        };
        let plan = &self.scenario.plan;
        for row in (0..n_rows).filter(|row| !faults.is_bad(*row) && times.is_valid(*row)) {
            let at = times.value(row);
            if at < plan.start || at >= self.scenario.as_of || is_set(5, row) || is_set(6, row) {
                continue;
            }
            let release = text_at(text(2), row);
            let (is_baseline, is_candidate) = (
                release == Some(plan.baseline.as_str()),
                release == Some(plan.candidate.as_str()),
            );
            let user = text_at(text(1), row).map(|user| user_hash(text(3), row, user));
            let is_known = user.is_some_and(|user| self.users.is_none_or(|users| users.contains(&user)));
            let coverage = &mut self.coverage;
            coverage.n_rows += 1;
            coverage.n_known_user += u64::from(is_known);
            coverage.n_baseline += u64::from(is_baseline);
            coverage.n_candidate += u64::from(is_candidate);
            coverage.n_known += u64::from(is_known && (is_baseline || is_candidate));
        }
    }
}

//! Checks of `[input]`: the sources of users and traffic.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::time::{DAY, Micros};
use crate::base::url;
use crate::scenario::checker::Checker;
use crate::scenario::input::{
    Events, Expression, Fault, GENERATORS, Generate, Input, LatestUntil, OnBadRow, OnDuplicate,
    OnUnknownRelease, Query, Source, UsersFrom, text_sign,
};
use crate::scenario::plan::Layer;
use crate::scenario::raw::{RawGenerate, RawInput};
use crate::scenario::raw_source::{RawEvents, RawSource, RawUsers};
use crate::scenario::units::Unit;

/// A path of a scenario: one that is not a URL starts at the scenario's folder.
pub(super) fn placed(path: String, folder: &Path) -> PathBuf {
    if path.is_empty() || url::is_url(Path::new(&path)) {
        path.into()
    } else {
        folder.join(path)
    }
}

impl Checker {
    /// `as_of` is that of the file, `looks_back_from` the one in force.
    pub(super) fn input(
        &mut self,
        raw: RawInput,
        folder: &Path,
        layers: &[Layer],
        as_of: Micros,
        looks_back_from: Micros,
    ) -> Input {
        for (name, table) in raw.tables {
            let location = format!("input.tables.{name}");
            if table.sql.is_some() {
                self.problem(format!("{location}.sql"), "expected files, found a query");
            }
            let table = RawSource { sql: None, ..table };
            let source = self.source(&location, table, folder);
            self.tables.insert(name, source);
        }
        let generate = raw.generate.map(|raw| self.generate(raw, layers, as_of));
        let mut tables = raw.users.0;
        let join = self.user_join(&mut tables, raw.events.is_some(), folder);
        let given = [
            !tables.is_empty(),
            raw.events.is_some(),
            raw.users_from_traffic == Some(true),
            generate.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            self.problem(
                "input",
                "expected exactly one of `users`, `events`, `users_from_traffic = true`, `generate`, found none or several",
            );
        }
        if generate.is_some() && !raw.traffic.is_empty() {
            self.problem(
                "input.traffic",
                "expected no traffic beside `input.generate`, which makes its own, found some",
            );
        }
        let one = tables.len() == 1;
        let mut sources = Vec::new();
        for (idx, table) in tables.into_iter().enumerate() {
            let location = if one {
                "input.users".to_owned()
            } else {
                format!("input.users[{}]", idx + 1)
            };
            sources.push(self.users(&location, table, folder, looks_back_from));
        }
        let more_users = if sources.is_empty() {
            Vec::new()
        } else {
            sources.split_off(1)
        };
        let users = match (sources.pop(), raw.events) {
            (Some(source), _) => UsersFrom::Table(source),
            (_, Some(events)) => UsersFrom::Events(self.events(events, folder)),
            _ if generate.is_some() => UsersFrom::Generator,
            _ => UsersFrom::Traffic,
        };
        let traffic = self.sources("input.traffic", raw.traffic, folder);
        let shadow = self.sources("input.shadow", raw.shadow, folder);
        let outcomes = self.sources("input.outcomes", raw.outcomes, folder);
        if users == UsersFrom::Traffic && traffic.is_empty() {
            self.problem(
                "input.traffic",
                "expected traffic to take the users from, found none",
            );
        }
        Input {
            users,
            more_users,
            user_join: join,
            traffic,
            shadow,
            outcomes,
            count_sessions: raw.count_sessions.unwrap_or(false),
            generate,
            on_bad_row: self.choice("input.on_bad_row", raw.on_bad_row.as_deref(), &OnBadRow::ALL),
            on_duplicate_user: self.choice(
                "input.on_duplicate_user",
                raw.on_duplicate_user.as_deref(),
                &OnDuplicate::ALL,
            ),
            on_unknown_release: self.choice(
                "input.on_unknown_release",
                raw.on_unknown_release.as_deref(),
                &OnUnknownRelease::ALL,
            ),
        }
    }

    fn sources(&mut self, location: &str, raw: Vec<RawSource>, folder: &Path) -> Vec<Source> {
        raw.into_iter()
            .enumerate()
            .map(|(idx, source)| self.source(&format!("{location}[{}]", idx + 1), source, folder))
            .collect()
    }

    fn source(&mut self, location: &str, mut raw: RawSource, folder: &Path) -> Source {
        let traces = self.traces(location, &mut raw, folder);
        let sql = self.query(location, raw.sql, raw.path.is_some());
        let path = match (&sql, raw.path) {
            (Some(_), None) => String::new(),
            (_, path) => self.text(
                &format!("{location}.path"),
                path.filter(|path| !path.is_empty()),
                "a file, a folder or a glob",
            ),
        };
        let both: Vec<&String> = raw
            .columns
            .keys()
            .filter(|key| raw.constants.contains_key(*key))
            .collect();
        if let Some(key) = both.first() {
            self.problem(
                format!("{location}.constants.{key}"),
                "expected a column or a constant, found both",
            );
        }
        let path = placed(path, folder);
        let (mut columns, mut units) = (BTreeMap::new(), BTreeMap::new());
        for (canonical, column) in raw.columns {
            if let Some(unit) = &column.unit {
                match Unit::new(&canonical, unit, column.rate) {
                    Ok(unit) => _ = units.insert(canonical.clone(), unit),
                    Err(message) => self.problem(format!("{location}.columns.{canonical}"), message),
                }
            }
            if let Err(problem) = self.sensitive.check_named(&canonical, &column.name) {
                self.place(&format!("{location}.columns.{canonical}"), problem);
            }
            columns.insert(canonical, column.name);
        }
        for canonical in raw.constants.keys() {
            self.refuse_sensitive(&format!("{location}.constants.{canonical}"), canonical);
        }
        let source = Source {
            path,
            columns,
            units,
            constants: raw.constants,
            sql,
            traces,
            delimiter: self.sign(&format!("{location}.delimiter"), raw.delimiter.as_deref()),
            quote: self.sign(&format!("{location}.quote"), raw.quote.as_deref()),
            ..Source::default()
        };
        self.with_expressions(location, source, raw.derive, raw.r#where)
    }

    /// The query of a source. Its own files are a table with the name of their kind.
    fn query(&mut self, location: &str, text: Option<String>, has_files: bool) -> Option<Query> {
        let key = format!("{location}.sql");
        let text = text?;
        if let Err(problem) = self.sensitive.check_expression("sql", &text) {
            self.place(&key, problem);
        }
        let own = match location {
            _ if !has_files => None,
            users if users.starts_with("input.users") => Some("users"),
            events if events.starts_with("input.events") => Some("events"),
            _ => Some("log"),
        };
        let tables = self.tables.clone();
        if let Some(name) = own.filter(|name| tables.contains_key(*name)) {
            self.problem(
                format!("input.tables.{name}"),
                format!("expected another name, found the name of the files of {location}"),
            );
        }
        Some(Query {
            text,
            key,
            own: own.map(str::to_owned),
            tables,
        })
    }

    /// A sign of a text file: one character of ASCII.
    fn sign(&mut self, location: &str, text: Option<&str>) -> Option<u8> {
        let sign = text_sign(text?);
        sign.map_err(|message| self.problem(location, message)).ok()
    }

    /// Adds the derived columns and the filter of a source.
    fn with_expressions(
        &mut self,
        location: &str,
        mut source: Source,
        derive: BTreeMap<String, String>,
        filter: Option<String>,
    ) -> Source {
        for (canonical, text) in derive {
            let key = format!("{location}.derive.{canonical}");
            if source.columns.contains_key(&canonical) || source.constants.contains_key(&canonical) {
                self.problem(
                    &key,
                    "expected a column, a constant or an expression, found two of them",
                );
            }
            if let Err(problem) = self.sensitive.check_expression(&canonical, &text) {
                self.place(&key, problem);
            }
            source.derive.insert(canonical, Expression::new(text, key));
        }
        if let Some(text) = &filter
            && let Err(problem) = self.sensitive.check_expression("where", text)
        {
            self.place(&format!("{location}.where"), problem);
        }
        source.filter = filter.map(|text| Expression::new(text, format!("{location}.where")));
        source
    }

    /// Takes the joined table from the tables of users. A table that has nothing else goes with it:
    /// it is joined to the users of events.
    fn user_join(&mut self, tables: &mut Vec<RawUsers>, has_events: bool, folder: &Path) -> Option<Source> {
        let mut joins = Vec::new();
        for table in tables.iter_mut() {
            joins.extend(table.join.take());
        }
        if joins.len() > 1 {
            self.problem(
                "input.users.join",
                format!("expected one joined table, found {}", joins.len()),
            );
        }
        let join = joins.pop()?;
        if has_events && tables.len() == 1 && tables[0].path.is_none() {
            tables.clear();
        }
        Some(self.source("input.users.join", join, folder))
    }

    fn users(&mut self, location: &str, raw: RawUsers, folder: &Path, until: Micros) -> Source {
        let source = RawSource {
            path: raw.path,
            columns: raw.columns,
            constants: raw.constants,
            derive: raw.derive,
            r#where: raw.r#where,
            sql: raw.sql,
            delimiter: raw.delimiter,
            quote: raw.quote,
            ..RawSource::default()
        };
        let mut source = self.source(location, source, folder);
        match raw.partition.as_deref() {
            None => {}
            Some("latest") => source.latest_until = Some(LatestUntil::new(until, &self.zone)),
            Some(other) => self.problem(
                format!("{location}.partition"),
                format!("expected \"latest\", found \"{other}\""),
            ),
        }
        self.with_absent(location, source, raw.absent)
    }

    /// Adds the columns that a source of users lacks.
    fn with_absent(&mut self, location: &str, source: Source, absent: Vec<String>) -> Source {
        for name in &absent {
            if let Err(message) = source.check_absent(name) {
                self.problem(format!("{location}.absent"), message);
            }
        }
        Source {
            absent: absent.into_iter().collect(),
            ..source
        }
    }

    fn events(&mut self, raw: RawEvents, folder: &Path) -> Events {
        let use_window = self.duration("input.events.use_window_days", raw.use_window_days, 30.0, DAY);
        let value_window = self.duration(
            "input.events.value_window_days",
            raw.value_window_days,
            365.0,
            DAY,
        );
        let source = RawSource {
            path: raw.path,
            columns: raw.columns,
            constants: BTreeMap::default(),
            derive: raw.derive,
            r#where: raw.r#where,
            sql: raw.sql,
            delimiter: raw.delimiter,
            quote: raw.quote,
            ..RawSource::default()
        };
        if let Some(key) = raw.constants.keys().next() {
            self.problem(
                format!("input.events.constants.{key}"),
                "expected no constants for events, found one",
            );
        }
        let source = self.source("input.events", source, folder);
        Events {
            source: self.with_absent("input.events", source, raw.absent),
            use_window,
            value_window,
        }
    }

    fn generate(&mut self, raw: RawGenerate, layers: &[Layer], as_of: Micros) -> Generate {
        self.choice("input.generate.kind", raw.kind.as_deref(), &GENERATORS);
        let mut faults = Vec::new();
        for (idx, raw) in raw.fault.into_iter().enumerate() {
            let at = |key: &str| format!("input.generate.fault[{}].{key}", idx + 1);
            let rate = |c: &mut Self, key: &str, value: Option<f64>| {
                value.map(|v| c.number(&at(key), Some(v), 0.0, 0.0, 1.0))
            };
            faults.push(Fault {
                layer_idx: self.layer_ref(&at("layer"), raw.layer, layers),
                from: self.instant(&at("from"), raw.from.as_ref()),
                until: raw
                    .until
                    .as_ref()
                    .map_or(as_of, |until| self.instant(&at("until"), Some(until))),
                task_completion_rate: rate(self, "task_completion_rate", raw.task_completion_rate),
                complaint_rate: rate(self, "complaint_rate", raw.complaint_rate),
                bad_rate: rate(self, "bad_rate", raw.bad_rate),
            });
        }
        let n_users = self
            .require("input.generate.users", raw.users, "a number of users")
            .unwrap_or(1);
        let n_turns = self
            .require("input.generate.turns", raw.turns, "a number of turns")
            .unwrap_or(1);
        self.number("input.generate.users", Some(n_users as f64), 1.0, 1.0, 4e9);
        self.number("input.generate.turns", Some(n_turns as f64), 1.0, 1.0, 1e12);
        Generate {
            n_users,
            n_turns,
            until: as_of,
            faults,
        }
    }
}

//! What the command line of a layering says of the users: `--users`, `--column`, `--absent`.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use crate::base::error::Result;
use crate::base::time::Micros;
use crate::cli::source_args::SourceArgs;
use crate::cli::values::{add_absent, source_at};
use crate::engine::absolute;
use crate::scenario::{AllowedColumn, Events, LatestUntil, Scenario, Source, UsersFrom};

/// The options that change the users, as a job carries them. `S` are the options of the source.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct UserChanges<S> {
    /// Path of the users. `None` for those of the scenario.
    pub(super) users: Option<PathBuf>,
    pub(super) source: S,
    /// Columns that are used although their names contain a sensitive attribute.
    pub(super) allowed: Vec<AllowedColumn>,
    /// Features that the users lack.
    pub(super) absent: Vec<String>,
    /// The instant of the layering, if the command line has it, microseconds, UTC.
    pub(super) as_of: Option<Micros>,
}

impl UserChanges<SourceArgs> {
    /// The users of a scenario after the changes.
    ///
    /// # Errors
    /// As [`UserChanges::add_to`].
    pub(super) fn users(&self, scenario: &Scenario) -> Result<UsersFrom> {
        let mut users = match (&self.users, &scenario.input.users) {
            (Some(path), UsersFrom::Table(like)) => UsersFrom::Table(source_at(path, Some(like))),
            (Some(path), _) => UsersFrom::Table(source_at(path, None)),
            (None, own) => own.clone(),
        };
        let changes = UserChanges {
            users: self.users.clone(),
            source: &self.source,
            allowed: self.allowed.clone(),
            absent: self.absent.clone(),
            as_of: self.as_of,
        };
        changes.add_to(scenario, &mut users)?;
        Ok(users)
    }
}

impl UserChanges<&SourceArgs> {
    /// Changes the source of users.
    ///
    /// # Errors
    /// As [`SourceArgs::add_to`], or when a name of `--absent` is no feature.
    pub(super) fn add_to(&self, scenario: &Scenario, users: &mut UsersFrom) -> Result<()> {
        let mut rule = scenario.sensitive.clone();
        rule.allowed.extend(self.allowed.iter().cloned());
        if let UsersFrom::Table(source) | UsersFrom::Events(Events { source, .. }) = users {
            self.source.add_to(source, &rule)?;
            add_absent(source, &self.absent)?;
        }
        if let (UsersFrom::Table(source), Some(as_of)) = (users, self.as_of)
            && source.latest_until.is_some()
        {
            source.latest_until = Some(LatestUntil::new(as_of, &scenario.time_zone));
        }
        Ok(())
    }

    /// The changes as a job carries them, with an absolute path.
    ///
    /// # Errors
    /// When the working folder is not known.
    pub(super) fn for_job(&self) -> Result<serde_json::Value> {
        let mut value = serde_json::json!(self);
        if let Some(path) = &self.users {
            value["users"] = serde_json::json!(absolute(path)?);
        }
        Ok(value)
    }
}

/// The changes of a command without options of users, for users of the scenario.
///
/// # Errors
/// As [`UserChanges::for_job`].
pub(super) fn of_own_users() -> Result<serde_json::Value> {
    of_path(None)
}

/// The changes of a command without options of users. Users that are not those of the scenario were
/// generated.
///
/// # Errors
/// As [`UserChanges::for_job`].
pub(super) fn of_users(scenario: &Scenario, users: &UsersFrom) -> Result<serde_json::Value> {
    of_path(match (users, &scenario.input.users) {
        (UsersFrom::Table(Source { path, .. }), UsersFrom::Generator) => Some(path.clone()),
        _ => None,
    })
}

fn of_path(users: Option<PathBuf>) -> Result<serde_json::Value> {
    UserChanges {
        users,
        source: &SourceArgs::default(),
        allowed: Vec::new(),
        absent: Vec::new(),
        as_of: None,
    }
    .for_job()
}

//! The error type of the library. An error says where the problem is, what was expected, what was
//! found, and what to do next.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use crate::base::{advice, escape};

/// The exit codes of the `sluice` program. Scripts may rely on them; they do not change.
pub mod exit_code {
    /// The command succeeded, and a requested gate passed.
    pub const DONE: u8 = 0;
    /// The command failed for a reason without its own code, such as an unwritable folder, a full
    /// disk or a bug.
    pub const UNEXPECTED: u8 = 1;
    /// The command line or the scenario file is wrong.
    pub const USAGE: u8 = 2;
    /// Input data is wrong: unreadable, without required columns, or with illegal values.
    pub const BAD_INPUT: u8 = 3;
    /// A publishing target refused the request or could not be reached.
    pub const TARGET: u8 = 4;
    /// The gate failed: a check that blocks did not pass.
    pub const GATE_FAILED: u8 = 10;
    /// The gate could not decide, because evidence is missing.
    pub const GATE_INCONCLUSIVE: u8 = 11;
    /// The system asked to stop the command. The number of the signal is added, as shells do.
    pub const SIGNAL: u8 = 128;
}

/// The result type of the library, by default with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an [`Error`]. It determines the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The command line is wrong.
    Usage,
    /// The scenario file is wrong.
    Scenario,
    /// An input file or one of its rows is wrong.
    Input,
    /// An output could not be written.
    Output,
    /// A result, such as a published version, differs from the expected one.
    Expectation,
    /// A store, or another publishing target, refused the request or could not be reached.
    Target,
    /// The system asked the program to stop.
    Interrupted {
        /// The number of the signal.
        signal: u8,
    },
}

/// A failure: its location, what was expected, what was found, and a hint.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    problems: Vec<Problem>,
    /// The error of the system or of a library that caused this one; `None` if there is none.
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The cause of an [`Error`]: an error of the system or of a library, or a text.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

impl PartialEq for Error {
    /// Compares kinds and problems, which the user sees. Causes are not compared.
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.problems) == (other.kind, &other.problems)
    }
}

impl Eq for Error {}

/// One problem of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, column and row, or the key path in a scenario. Empty for the command line.
    pub location: String,
    /// The problem, as a lowercase fragment: `expected ..., found ...`.
    pub message: String,
    /// The next step for the user; `None` without a suggestion.
    pub hint: Option<String>,
}

impl Problem {
    /// Creates a problem at a location, without a hint.
    pub fn new(location: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            location: capped(location.into(), escape::MAX_LOCATION),
            message: capped(message.into(), escape::MAX_MESSAGE),
            hint: None,
        }
    }

    /// Returns the problem with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(capped(hint.into(), escape::MAX_MESSAGE));
        self
    }
}

/// The most problems of an error that are shown.
const MAX_PROBLEMS: usize = 100;

/// A text of at most `max` characters: the start and the end of a longer one. Files of others
/// decide how long names and values are.
fn capped(text: String, max: usize) -> String {
    match escape::excerpt(&text, max) {
        Cow::Borrowed(_) => text,
        Cow::Owned(short) => short,
    }
}

impl fmt::Display for Problem {
    /// Writes the problem, and its hint on a line of its own. What others wrote in it starts no
    /// line and commands no terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.location.is_empty() {
            write!(f, "{}: ", escape::line(&self.location))?;
        }
        f.write_str(&escape::line(&self.message))?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {}", escape::line(hint)),
            None => Ok(()),
        }
    }
}

impl Error {
    /// Creates an error of this kind with one problem.
    pub fn new(kind: ErrorKind, problem: Problem) -> Self {
        Self {
            kind,
            problems: vec![problem],
            cause: None,
        }
    }

    /// Creates an error for a wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, Problem::new("", message))
    }

    /// Creates an error with all problems of a scenario. `problems` must not be empty.
    pub fn scenario(problems: Vec<Problem>) -> Self {
        Self {
            kind: ErrorKind::Scenario,
            problems,
            cause: None,
        }
    }

    /// Creates an error for wrong input at a location.
    pub fn input(location: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, Problem::new(location, message))
    }

    /// Creates an error for wrong input in a file.
    pub fn in_file(path: &Path, message: impl Into<String>) -> Self {
        Self::input(path.display().to_string(), message)
    }

    /// Creates an error for a file that could not be read. `cause` becomes the error's source.
    pub fn read(path: &Path, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        let mut error = Self::in_file(path, format!("expected a readable file, found: {cause}"));
        error.cause = Some(Arc::from(cause));
        error
    }

    /// Creates an error for a file that could not be written. `cause` becomes the error's source,
    /// and its kind decides the hint.
    pub fn write(path: &Path, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        let problem = Problem::new(
            path.display().to_string(),
            format!("could not be written: {cause}"),
        );
        let mut error = Self::new(ErrorKind::Output, problem);
        error.cause = Some(Arc::from(cause));
        match error.io_kind() {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => error.hint(format!(
                "free some space or choose another {}; the previous output is unchanged",
                advice::output()
            )),
            Some(io::ErrorKind::PermissionDenied) => error.hint(format!(
                "choose another {} with write permission; the previous output is unchanged",
                advice::output()
            )),
            _ => error,
        }
    }

    /// Creates an error for a target that refused a request or could not be reached. `location` is
    /// its address without credentials.
    pub fn target(location: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Target, Problem::new(location, message))
    }

    /// Creates an error for a command that the system asked to stop, by the number of the signal.
    pub fn interrupted(signal: u8, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted { signal }, Problem::new("", message))
    }

    /// Returns the error with one more problem.
    #[must_use]
    pub fn and(mut self, problem: Problem) -> Self {
        self.problems.push(problem);
        self
    }

    /// Adds a hint to the last problem.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(last) = self.problems.last_mut() {
            last.hint = Some(capped(hint.into(), escape::MAX_MESSAGE));
        }
        self
    }

    /// The kind of the failure, which determines the exit code.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The kind of the system error that caused this one; `None` without a system error. A full
    /// disk is [`io::ErrorKind::StorageFull`].
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            if let Some(error) = cause.downcast_ref::<io::Error>() {
                return Some(error.kind());
            }
            next = cause.source();
        }
        None
    }

    /// All problems of the error.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The exit code for a program that ends with this error; see [`exit_code`].
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Usage | ErrorKind::Scenario => exit_code::USAGE,
            ErrorKind::Input => exit_code::BAD_INPUT,
            ErrorKind::Output | ErrorKind::Expectation => exit_code::UNEXPECTED,
            ErrorKind::Target => exit_code::TARGET,
            ErrorKind::Interrupted { signal } => exit_code::SIGNAL.saturating_add(signal),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, problem) in self.problems.iter().take(MAX_PROBLEMS).enumerate() {
            if idx > 0 {
                f.write_str("\nerror: ")?;
            }
            write!(f, "{problem}")?;
        }
        match self.problems.len().saturating_sub(MAX_PROBLEMS) {
            0 => Ok(()),
            n_more => write!(f, "\nerror: and {n_more} more problems"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let cause = self.cause.as_deref()?;
        Some(cause)
    }
}

/// Converts errors of the system and of libraries to [`Error`]s that name a file.
pub trait FileResult<T> {
    /// Returns the value, or an error for a file that could not be read.
    ///
    /// # Errors
    /// [`Error::read`] with the error as its source.
    fn or_unreadable(self, path: &Path) -> Result<T>;

    /// Returns the value, or an error for a file that could not be written.
    ///
    /// # Errors
    /// [`Error::write`] with the error as its source.
    fn or_unwritable(self, path: &Path) -> Result<T>;
}

impl<T, E: Into<Cause>> FileResult<T> for Result<T, E> {
    fn or_unreadable(self, path: &Path) -> Result<T> {
        self.map_err(|error| Error::read(path, error))
    }

    fn or_unwritable(self, path: &Path) -> Result<T> {
        self.map_err(|error| Error::write(path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    /// The hint of a write that failed, with a system error or with a library error around it.
    fn hint(cause: impl Into<Cause>) -> Option<String> {
        Error::write(Path::new("out"), cause).problems()[0].hint.clone()
    }

    #[test]
    fn a_full_disk_is_known_by_its_kind_however_deep_it_lies() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let arrow = arrow_schema::ArrowError::IoError("csv".into(), full());
        let parquet = parquet::errors::ParquetError::from(full());
        for cause in [Cause::from(full()), Cause::from(arrow), Cause::from(parquet)] {
            assert!(hint(cause).is_some_and(|hint| hint.starts_with("free some space")));
        }
        assert!(
            hint(io::Error::from_raw_os_error(28)).is_some_and(|hint| hint.starts_with("free some space"))
        );
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(hint(denied).is_some_and(|hint| hint.starts_with("choose another --out")));
        assert_eq!(hint("a text that says No space left"), None);
    }

    #[test]
    fn errors_are_short_and_text_of_others_stays_in_its_line() {
        let check = |error: &Error, expected: &str| assert_eq!(error.to_string(), expected);
        check(
            &Error::input("a\u{1b}[2J.csv", "found x\n::error::b").hint("see \u{202e}c"),
            "a\\u{1b}[2J.csv: found x\\n::error::b\nhint: see \\u{202e}c",
        );
        check(&Error::usage("::stop-commands::x"), "\\u{3a}:stop-commands::x");
        let long = "\u{1b}".repeat(3_000_000);
        let error = Error::input(long.clone(), long.clone()).hint(long);
        assert!(error.to_string().len() < 30_000);
        let many = Error::scenario(vec![Problem::new("layer", "wrong"); 100_000]).to_string();
        assert!(
            many.len() < 10_000 && many.ends_with("error: and 99900 more problems"),
            "{many}"
        );
    }

    #[test]
    fn callers_reach_the_source() {
        let error =
            Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)).or_unreadable(Path::new("log.csv"));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert_eq!(error.io_kind(), Some(io::ErrorKind::NotFound));
        assert!(error.source().is_some_and(|cause| cause.is::<io::Error>()));
        assert_eq!(Error::usage("wrong").io_kind(), None);
    }
}

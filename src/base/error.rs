//! The one error of the library: where it happened, what was expected, what was found, what to do
//! next.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

/// Exit codes of the `sluice` program. They are promises to scripts and do not change.
pub mod exit_code {
    /// The command did what it was asked; a gate that was asked for passed.
    pub const DONE: u8 = 0;
    /// Something failed that none of the other codes names (an unwritable folder, a full disk, a
    /// bug).
    pub const UNEXPECTED: u8 = 1;
    /// The command line or the scenario file is wrong.
    pub const USAGE: u8 = 2;
    /// Input data is wrong: unreadable, missing columns, illegal values.
    pub const BAD_INPUT: u8 = 3;
    /// A publishing target refused, or could not be reached.
    pub const TARGET: u8 = 4;
    /// The gate failed.
    pub const GATE_FAILED: u8 = 10;
    /// The gate could not decide: evidence is missing.
    pub const GATE_INCONCLUSIVE: u8 = 11;
}

/// Result with the library's [`Error`], or another.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is; it determines the exit code.
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
    /// A published or expected result differs from what was asked for.
    Expectation,
    /// A store, or another target of publishing, refused or could not be reached.
    Target,
}

/// A failure with its location, what was expected there, what was found, and a hint.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    problems: Vec<Problem>,
    /// What the system, or a library, said.
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// What an [`Error`] may be caused by: an error of the system or of a library, or a text.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

impl PartialEq for Error {
    /// Two errors are equal if a user reads the same: causes are not compared.
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.problems) == (other.kind, &other.problems)
    }
}

impl Eq for Error {}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File, column and row, or a key path in a scenario.
    pub location: String,
    /// What is wrong: `expected ..., found ...`, as a lowercase fragment.
    pub message: String,
    /// What to do next, if there is something.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at a location, without a hint.
    pub fn new(location: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            location: location.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// The same problem with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.location.is_empty() {
            write!(f, "{}", self.message)?;
        } else {
            write!(f, "{}: {}", self.location, self.message)?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// One problem of a kind.
    pub fn new(kind: ErrorKind, problem: Problem) -> Self {
        Self {
            kind,
            problems: vec![problem],
            cause: None,
        }
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, Problem::new("", message))
    }

    /// A wrong scenario: all its problems at once. `problems` must not be empty.
    pub fn scenario(problems: Vec<Problem>) -> Self {
        Self {
            kind: ErrorKind::Scenario,
            problems,
            cause: None,
        }
    }

    /// Wrong input at a location.
    pub fn input(location: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, Problem::new(location, message))
    }

    /// Wrong input in a file.
    pub fn in_file(path: &Path, message: impl Into<String>) -> Self {
        Self::input(path.display().to_string(), message)
    }

    /// A file that could not be read. `cause` is kept as the error's source.
    pub fn read(path: &Path, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        let mut error = Self::in_file(path, format!("expected a readable file, found: {cause}"));
        error.cause = Some(Arc::from(cause));
        error
    }

    /// A file that could not be written. `cause` is kept as the error's source; its kind decides
    /// the hint.
    pub fn write(path: &Path, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        let problem = Problem::new(
            path.display().to_string(),
            format!("could not be written: {cause}"),
        );
        let mut error = Self::new(ErrorKind::Output, problem);
        error.cause = Some(Arc::from(cause));
        match error.io_kind() {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                error.hint("free some space or choose another --out; the previous output is untouched")
            }
            Some(io::ErrorKind::PermissionDenied) => {
                error.hint("choose an --out that you may write to; the previous output is untouched")
            }
            _ => error,
        }
    }

    /// A target that refused, or could not be reached. `location` is its address without
    /// credentials.
    pub fn target(location: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Target, Problem::new(location, message))
    }

    /// The same error with one more problem.
    #[must_use]
    pub fn and(mut self, problem: Problem) -> Self {
        self.problems.push(problem);
        self
    }

    /// Adds a hint to the last problem.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(last) = self.problems.last_mut() {
            last.hint = Some(hint.into());
        }
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Kind of the system's error behind this one, if there is one: a full disk is
    /// [`io::ErrorKind::StorageFull`].
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

    /// Everything that is wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The exit code a program should end with.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Usage | ErrorKind::Scenario => exit_code::USAGE,
            ErrorKind::Input => exit_code::BAD_INPUT,
            ErrorKind::Output | ErrorKind::Expectation => exit_code::UNEXPECTED,
            ErrorKind::Target => exit_code::TARGET,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, problem) in self.problems.iter().enumerate() {
            if idx > 0 {
                f.write_str("\nerror: ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let cause = self.cause.as_deref()?;
        Some(cause)
    }
}

/// Turns errors of the system, and of libraries, into [`Error`]s that name a file.
pub trait FileResult<T> {
    /// The value, or that a file could not be read.
    ///
    /// # Errors
    /// [`Error::read`] with the error as its source.
    fn or_unreadable(self, path: &Path) -> Result<T>;

    /// The value, or that a file could not be written.
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

    /// The hint of a write that failed with a system error, wrapped in a library's error or not.
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
        assert!(hint(denied).is_some_and(|hint| hint.starts_with("choose an --out")));
        assert_eq!(hint("a text that says No space left"), None);
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

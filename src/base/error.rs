//! The one error of the library: where it happened, what was expected, what was found, what to do next.

use std::path::Path;
use std::{fmt, io};

/// Exit codes of the `sluice` program. They are promises to scripts and do not change.
pub mod exit_code {
    /// The command did what it was asked; a gate that was asked for passed.
    pub const DONE: u8 = 0;
    /// Something failed that none of the other codes names (an unwritable folder, a full disk, a bug).
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

/// A failure with its place, what was expected there, what was found, and a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File, column and row, or a key path in a scenario.
    pub place: String,
    /// What is wrong: `expected ..., found ...`, as a lowercase fragment.
    pub message: String,
    /// What to do next, if there is something.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at a place, without a hint.
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
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
        if self.place.is_empty() {
            write!(f, "{}", self.message)?;
        } else {
            write!(f, "{}: {}", self.place, self.message)?;
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
        }
    }

    /// Wrong input at a place.
    pub fn input(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, Problem::new(place, message))
    }

    /// A file that could not be read.
    pub fn read(path: &Path, error: &io::Error) -> Self {
        Self::input(
            path.display().to_string(),
            format!("expected a readable file, found: {error}"),
        )
    }

    /// A file that could not be written.
    pub fn write(path: &Path, error: &dyn fmt::Display) -> Self {
        let text = error.to_string();
        let mut problem = Problem::new(
            path.display().to_string(),
            format!("could not be written: {text}"),
        );
        if text.contains("No space left") {
            problem =
                problem.hint("free some space or choose another --out; the previous output is untouched");
        } else if text.contains("Permission denied") {
            problem = problem.hint("choose an --out that you may write to; the previous output is untouched");
        }
        Self::new(ErrorKind::Output, problem)
    }

    /// A target that refused, or could not be reached. `place` is its address without credentials.
    pub fn target(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Target, Problem::new(place, message))
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

impl std::error::Error for Error {}

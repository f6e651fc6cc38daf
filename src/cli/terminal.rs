//! Output to the terminal: results to stdout, errors and notes to stderr, and the exit code of
//! success.

use std::io;
use std::io::Write;
use std::path::Path;

use crate::base::error::{Error, Result, exit_code};

/// Prints an error to stderr as `error: where: expected, found`, with its hint.
pub fn print_error(error: &Error) {
    // A closed stderr leaves no way to report.
    let _ = writeln!(io::stderr(), "error: {error}");
}

/// Prints a note beside the result, to stderr.
pub(super) fn print_note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints to stdout. A reader that has gone away is no error.
pub(super) fn print(text: &str) -> Result<()> {
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::write(Path::new("stdout"), error))
        }
        _ => Ok(()),
    }
}

/// The exit code of a command that did what it was asked.
pub(super) const DONE: u8 = exit_code::DONE;

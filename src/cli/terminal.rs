//! Prints to the terminal.

use std::io;
use std::io::Write;
use std::path::Path;

use crate::base::error::{Error, Result, exit_code};

/// Prints an error to stderr as `error: where: expected, found`, with its hint.
pub fn print_error(error: &Error) {
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(io::stderr(), "error: {error}");
}

/// Says something beside the result, to stderr.
pub(super) fn note(text: &str) {
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

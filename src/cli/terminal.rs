//! Output to the terminal: results to stdout; errors, warnings, progress and logs to stderr.

use clap::{Args, ValueEnum};
use console::Term;
use std::io;
use std::io::{IsTerminal, Write};
use std::path::Path;

use crate::base::error::{Error, Result, exit_code};
use crate::base::progress::{LogFormat, Progress, now};
use crate::cli::text::{fill, is_command};

/// Columns of output that goes to no terminal, unless `COLUMNS` says otherwise.
const DEFAULT_WIDTH: u16 = 80;

/// Columns below which tables no longer shrink.
const MIN_WIDTH: u16 = 40;

/// Options of every command about what it prints.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// Show all columns of tables, however wide they are
    #[arg(long, global = true)]
    wide: bool,
    /// Print only errors, warnings, and data asked for with --json or --list
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print a line a stage on stderr: time, rows, bytes, memory. Same as --log text
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Print a line a stage on stderr, and errors: as text, or as JSON objects for jobs
    #[arg(long, global = true, value_name = "FORMAT", value_enum)]
    log: Option<LogArg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogArg {
    Text,
    Json,
}

/// Where a command prints, and how.
#[derive(Debug)]
pub(super) struct Terminal {
    /// Columns that a table may take; `None` for any number.
    pub(super) width: Option<u16>,
    /// Whether stdout shows colors.
    pub(super) has_colors: bool,
    is_quiet: bool,
    log: Option<LogFormat>,
    progress: Progress,
}

impl Terminal {
    /// Reads the options and the environment: `COLUMNS`, `NO_COLOR`, `TERM`.
    pub(super) fn new(args: &OutputArgs) -> Self {
        let log = match args.log {
            Some(LogArg::Json) => Some(LogFormat::Json),
            Some(LogArg::Text) => Some(LogFormat::Text),
            None => args.verbose.then_some(LogFormat::Text),
        };
        let progress = match log {
            Some(format) => Progress::logged(format),
            None if args.quiet => Progress::silent(),
            None => Progress::on_terminal(),
        };
        Self {
            width: (!args.wide).then(width),
            has_colors: has_colors(),
            is_quiet: args.quiet,
            log,
            progress,
        }
    }

    /// A terminal of a width, for tests.
    #[cfg(test)]
    pub(super) fn of_width(width: Option<u16>) -> Self {
        Self {
            width,
            has_colors: false,
            is_quiet: false,
            log: None,
            progress: Progress::silent(),
        }
    }

    /// The form of log lines; `None` without a log.
    pub(super) fn log(&self) -> Option<LogFormat> {
        self.log
    }

    /// The progress of the command's work.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Breaks the lines of a text at the width of the terminal.
    pub(super) fn fill(&self, text: &str) -> String {
        let lines = text.lines().map(|line| format!("{}\n", fill(line, self.width)));
        lines.collect()
    }

    /// Prints a text for people to stdout; nothing under `--quiet`.
    ///
    /// # Errors
    /// A stdout that cannot be written.
    pub(super) fn print(&self, text: &str) -> Result<()> {
        if self.is_quiet {
            Ok(())
        } else {
            print_data(&without_controls(text, self.has_colors))
        }
    }

    /// Prints a warning to stderr.
    pub(super) fn warn(&self, text: &str) {
        self.event("warning", text);
    }

    /// Prints an error to stderr as `error: where: expected, found`, with its hint.
    pub(super) fn print_error(&self, error: &Error) {
        self.print_error_text(&error.to_string());
    }

    /// Prints the text of an error to stderr.
    pub(super) fn print_error_text(&self, text: &str) {
        self.event("error", text);
    }

    /// Prints a line on stderr about work that goes on; nothing under `--quiet`.
    pub(super) fn note(&self, event: &str, text: &str) {
        if !self.is_quiet {
            self.progress.above(|| self.event(event, text));
        }
    }

    fn event(&self, event: &str, text: &str) {
        // A closed stderr leaves no way to report.
        let _ = writeln!(io::stderr(), "{}", event_line(self.log, event, text));
    }
}

/// The line of a warning or an error, in the form of the log.
pub(super) fn event_line(log: Option<LogFormat>, event: &str, text: &str) -> String {
    if log == Some(LogFormat::Json) {
        serde_json::json!({"time": now(), "event": event, "message": text}).to_string()
    } else {
        without_controls(&format!("{event}: {text}"), false)
    }
}

/// Prints data to stdout: JSON, CSV, TOML. A reader that has closed its end is no error.
///
/// # Errors
/// A stdout that cannot be written for another reason.
pub(super) fn print_data(text: &str) -> Result<()> {
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::write(Path::new("stdout"), error)
                .hint("the output of the command itself could not be printed; its files are whole"))
        }
        _ => Ok(()),
    }
}

/// Replaces the characters that would command a terminal or reorder its text: controls but line
/// ends and tabs, and the controls of direction. The colors of tables stay where they are allowed.
fn without_controls(text: &str, with_colors: bool) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let color = COLORS
            .iter()
            .find(|color| with_colors && rest.starts_with(**color));
        if let Some(color) = color {
            plain.push_str(color);
            rest = &rest[color.len()..];
            continue;
        }
        plain.push(if is_command(c) && c != '\n' && c != '\t' {
            '\u{fffd}'
        } else {
            c
        });
        rest = &rest[c.len_utf8()..];
    }
    plain
}

/// The sequences of the colors that tables use: green, yellow, red, and the end of a color.
const COLORS: [&str; 4] = ["\x1b[38;5;10m", "\x1b[38;5;11m", "\x1b[38;5;9m", "\x1b[39m"];

/// The columns of the terminal: those of `COLUMNS`, else of the terminal, else 80.
fn width() -> u16 {
    let from_env = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.trim().parse::<u16>().ok())
        .filter(|columns| *columns > 0);
    let from_terminal = || {
        let stdout = Term::stdout();
        stdout
            .is_term()
            .then(|| stdout.size_checked().map(|(_, columns)| columns))
            .flatten()
    };
    from_env
        .or_else(from_terminal)
        .unwrap_or(DEFAULT_WIDTH)
        .max(MIN_WIDTH)
}

/// Whether stdout is a terminal that shows colors, and `NO_COLOR` is not set.
fn has_colors() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// The exit code of a command that did its work.
pub(super) const DONE: u8 = exit_code::DONE;

#[cfg(test)]
mod tests {
    use crate::cli::terminal::without_controls;

    #[test]
    fn text_of_others_does_not_command_the_terminal() {
        let check = |text: &str, expected: &str| assert_eq!(without_controls(text, true), expected);
        check("a\nb\tc 层", "a\nb\tc 层");
        check("\x1b[38;5;10mpromote\x1b[39m", "\x1b[38;5;10mpromote\x1b[39m");
        check("\x1b[2J\x07\r", "\u{fffd}[2J\u{fffd}\u{fffd}");
        check("a\u{202e}b\u{2028}c", "a\u{fffd}b\u{fffd}c");
        assert_eq!(without_controls("\x1b[39m", false), "\u{fffd}[39m");
    }
}

//! Output to the terminal: results to stdout; errors, warnings, progress and logs to stderr.

use clap::{Args, ValueEnum};
use console::Term;
use std::io;
use std::io::{IsTerminal, Write};
use std::path::Path;

use crate::base::error::{Error, Result, exit_code};
use crate::base::escape;
use crate::base::progress::{LogFormat, Progress, now};
use crate::cli::text::fill;
use crate::words::terminal as words;
use crate::words::{Lang, Text};

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
    /// Language of what is printed, and of pages: en or zh
    #[arg(long, global = true, value_name = "LANG", value_enum, default_value_t = Lang::En, hide_default_value = true, hide_possible_values = true)]
    lang: Lang,
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
    /// The language of texts for people.
    pub(super) lang: Lang,
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
            lang: args.lang,
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
            lang: Lang::En,
            is_quiet: false,
            log: None,
            progress: Progress::silent(),
        }
    }

    /// The form of log lines; `None` without a log.
    pub(super) fn log(&self) -> Option<LogFormat> {
        self.log
    }

    /// A text in the language of the terminal.
    pub(super) fn text(&self, text: &Text) -> String {
        text.of(self.lang).to_owned()
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
            let kept: &[&str] = if self.has_colors { &COLORS } else { &[] };
            write_stdout(&escape::lines(text, kept))
        }
    }

    /// Prints a text for people to stderr, beside data that goes to stdout; nothing under `--quiet`.
    pub(super) fn summarize(&self, text: &str) {
        if !self.is_quiet {
            // A closed stderr leaves no way to report.
            let _ = write!(io::stderr(), "{}", escape::lines(&self.fill(text), &[]));
        }
    }

    /// Prints a warning to stderr: one line, broken at the width of a terminal.
    pub(super) fn warn(&self, text: &str) {
        if self.log == Some(LogFormat::Json) {
            return self.event(WARNING, text);
        }
        let text = escape::excerpt(text, MAX_EVENT);
        let line = words::warning(escape::line(&text).into_owned());
        let width = stderr_width().filter(|_| self.width.is_some());
        // A closed stderr leaves no way to report.
        let _ = writeln!(io::stderr(), "{}", fill(line.of(self.lang), width));
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
        print_event(self.log == Some(LogFormat::Json), event, text);
    }
}

/// The event of a warning, which is one line; errors have lines for hints.
const WARNING: &str = "warning";

/// The most characters of a warning or an error.
const MAX_EVENT: usize = 20_000;

/// Prints an error or a warning to stderr: a line of text, or a JSON object. What others wrote in
/// the text commands no terminal and no log.
pub(super) fn print_event(as_json: bool, event: &str, text: &str) {
    let text = escape::excerpt(text, MAX_EVENT);
    let line = if as_json {
        let document = serde_json::json!({"time": now(), "event": event, "message": text});
        escape::json(&document.to_string())
    } else if event == WARNING {
        format!("{event}: {}", escape::line(&text))
    } else {
        escape::lines(&format!("{event}: {text}"), &[])
    };
    // A closed stderr leaves no way to report.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints what is wrong with the command line, as [`Terminal::print_error`] prints errors.
/// `message` is the text of the parser of the command line.
pub(super) fn print_usage(as_json: bool, message: &str) {
    let text = message.strip_prefix("error: ").unwrap_or(message);
    print_event(as_json, "error", text.trim_end());
}

/// Prints a JSON document to stdout. Controls in its texts are escapes of JSON, so they command no
/// terminal.
///
/// # Errors
/// As [`print_data`].
pub(super) fn print_json(text: &str) -> Result<()> {
    write_stdout(&escape::json(text))
}

/// Prints data to stdout: CSV, TOML, and texts of Sluice. A terminal gets controls as visible
/// escapes, a file or a pipe gets them as they are. A reader that has closed its end is no error.
///
/// # Errors
/// A stdout that cannot be written for another reason.
pub(super) fn print_data(text: &str) -> Result<()> {
    if io::stdout().is_terminal() {
        write_stdout(&escape::lines(text, &COLORS))
    } else {
        write_stdout(text)
    }
}

fn write_stdout(text: &str) -> Result<()> {
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

/// The columns of stderr. `None` if it is no terminal: then warnings stay on one line.
fn stderr_width() -> Option<u16> {
    let stderr = Term::stderr();
    let columns = stderr.is_term().then(|| stderr.size_checked()).flatten();
    columns.map(|(_, columns)| columns.max(MIN_WIDTH))
}

/// Whether stdout is a terminal that shows colors, and `NO_COLOR` is not set.
fn has_colors() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// The exit code of a command that did its work.
pub(super) const DONE: u8 = exit_code::DONE;

//! `sluice calc`: one calculation, or one a line.

use clap::Args;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::io;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, FileResult, Result, exit_code};
use crate::base::json;
use crate::base::limits::Limit;
use crate::base::lines::read_line;
use crate::base::open;
use crate::calc::{Answer, FUNCTIONS, Function, Item, answer_lines};
use crate::cli::table::{Table, column};
use crate::cli::terminal::{DONE, Terminal, print_data};

/// Lines that are answered together.
const LINES_AT_ONCE: usize = 16_384;

/// Compute one statistic: a test, an interval, a sample size, a score, a bucket
#[derive(Debug, Args)]
#[command(after_help = after_help())]
pub(super) struct CalcArgs {
    /// The calculation; without a name, prints the list
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Inputs: --key value, where a value is JSON or a word
    #[arg(
        value_name = "--KEY VALUE",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    inputs: Vec<String>,
    /// Read inputs from a file, one JSON object a line (- is stdin), and print one result a line
    /// in the same order
    #[arg(long, value_name = "FILE")]
    batch: Option<PathBuf>,
    /// Print JSON on a terminal too
    #[arg(long)]
    json: bool,
}

fn after_help() -> String {
    let mut text = "Names:\n".to_owned();
    for function in FUNCTIONS {
        text.push_str(&format!("  {:<20} {}\n", function.name, function.about));
    }
    text.push('\n');
    text.push_str(include_str!("help/calc.txt"));
    text
}

pub(super) fn run(args: &CalcArgs, terminal: &Terminal) -> Result<u8> {
    let Some(name) = &args.name else {
        return print_data(&terminal.fill(&after_help())).map(|()| DONE);
    };
    let function = find(name)?;
    let (inputs, batch, json) = options(args)?;
    if let Some(path) = batch {
        if !inputs.is_empty() {
            return Err(Error::usage("expected --batch or inputs, found both"));
        }
        return answer_file(function, &path);
    }
    if inputs.is_empty() {
        return print_data(&format!(
            "{}: {}\n\nexample inputs:\n  {}\n\nas a command:\n  {}\n",
            function.name,
            function.about,
            function.example,
            as_command(function)
        ))
        .map(|()| DONE);
    }
    let inputs = format!("{{{}}}", inputs.join(","));
    let answer = function.answer(&inputs).map_err(|refusal| {
        Error::input(
            format!("{name} {}", refusal.place),
            format!("expected {}, found {}", refusal.expected, refusal.found),
        )
        .hint(format!("an example: {}", as_command(function)))
    })?;
    let as_table = io::stdout().is_terminal() && !json;
    print_data(&if as_table {
        table(&answer, terminal)
    } else {
        format!("{}\n", serde_json::to_string(&answer).unwrap_or_default())
    })?;
    Ok(DONE)
}

fn find(name: &str) -> Result<&'static Function> {
    Function::find(name).ok_or_else(|| {
        let near = FUNCTIONS
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a.name, name).total_cmp(&strsim::jaro_winkler(b.name, name)));
        let names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
        Error::usage(format!("expected a calculation, found \"{name}\"")).hint(format!(
            "did you mean {}? There are {}",
            near.map_or("", |function| function.name),
            names.join(", ")
        ))
    })
}

/// The inputs as fields of a JSON object, in their order. Options of the command itself may stand
/// among them.
fn options(args: &CalcArgs) -> Result<(Vec<String>, Option<PathBuf>, bool)> {
    let (mut inputs, mut batch, mut json) = (Vec::new(), args.batch.clone(), args.json);
    let mut names = HashSet::new();
    let mut words = args.inputs.iter();
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix("--") else {
            return Err(Error::usage(format!("expected --key value, found \"{word}\""))
                .hint("a value that starts with a dash works as --key=-1"));
        };
        if ["wide", "quiet", "verbose", "log", "threads"].contains(&option) {
            return Err(Error::usage(format!(
                "expected --{option} before `calc`, found it among the inputs"
            ))
            .hint(format!("sluice --{option} ... calc NAME --key value")));
        }
        if option == "json" {
            json = true;
            continue;
        }
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key, value.to_owned()),
            None => (
                option,
                words.next().cloned().ok_or_else(|| {
                    Error::usage(format!("expected a value behind --{option}, found nothing"))
                })?,
            ),
        };
        if key == "batch" {
            batch = Some(PathBuf::from(value));
            continue;
        }
        // Names may be written with dashes, as options are.
        let name = key.replace('-', "_");
        let value = match serde_json::from_str::<&RawValue>(&value) {
            Ok(_) => value,
            Err(_) => quoted(&value),
        };
        inputs.push(format!("{}:{value}", quoted(&name)));
        if !names.insert(name) {
            return Err(Error::usage(format!("expected --{key} once, found it twice")));
        }
    }
    Ok((inputs, batch, json))
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// An example as one would type it.
fn as_command(function: &Function) -> String {
    let mut text = format!("sluice calc {}", function.name);
    for (key, value) in function.example_inputs() {
        let is_plain = value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        text.push_str(&if is_plain {
            format!(" --{key} {value}")
        } else {
            format!(" --{key} '{value}'")
        });
    }
    text
}

/// Answers a file line by line; memory does not grow with it.
fn answer_file(function: &Function, path: &Path) -> Result<u8> {
    let mut reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::with_capacity(
            1 << 20,
            open::regular(path).or_unreadable(path)?,
        ))
    };
    let mut out = io::BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let mut all_good = true;
    let (mut text, mut ends, mut n_lines) = (Vec::new(), Vec::new(), 0);
    loop {
        text.clear();
        ends.clear();
        while ends.len() < LINES_AT_ONCE && text.len() < Limit::Batch.size() {
            match read_line(&mut reader, &mut text, Limit::Line.value()).or_unreadable(path)? {
                Some(0) => break,
                Some(_) => ends.push(text.len()),
                None => {
                    let number = n_lines + ends.len() + 1;
                    return Err(Limit::Line.overrun(format!("{}: line {number}", path.display())));
                }
            }
        }
        n_lines += ends.len();
        if ends.is_empty() {
            break;
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        // Plain text is checked at once; what is not is answered as well, line by line.
        let whole = std::str::from_utf8(&text);
        let line = |(start, end): (usize, &usize)| match whole {
            Ok(whole) => std::borrow::Cow::Borrowed(&whole[start..*end]),
            Err(_) => String::from_utf8_lossy(&text[start..*end]),
        };
        let lines: Vec<std::borrow::Cow<'_, str>> = starts.zip(&ends).map(line).collect();
        let lines: Vec<&str> = lines
            .iter()
            .map(|line| line.trim())
            .filter(|line| !line.is_empty())
            .collect();
        for line in answer_lines(function, &lines) {
            all_good &= line.is_good;
            match writeln!(out, "{}", line.text) {
                // A reader that has gone away has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(DONE),
                Err(error) => return Err(Error::write(Path::new("stdout"), error)),
                Ok(()) => {}
            }
        }
    }
    match out.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::write(Path::new("stdout"), error))
        }
        _ => Ok(if all_good { DONE } else { exit_code::BAD_INPUT }),
    }
}

fn table(answer: &Answer, terminal: &Terminal) -> String {
    let mut table = Table::new([column("name"), column("value").wraps()]);
    rows(&mut table, "", answer);
    let mut text = table.render(terminal);
    for reason in &answer.reasons {
        text.push_str(&format!("-: {reason}\n"));
    }
    text
}

fn rows(table: &mut Table, prefix: &str, answer: &Answer) {
    for (name, item) in &answer.items {
        let name = format!("{prefix}{name}");
        match item {
            Item::Part(part) => rows(table, &format!("{name}."), part),
            Item::List(items) => {
                table.add_row([name, items.iter().map(cell).collect::<Vec<_>>().join("  ")]);
            }
            item => {
                table.add_row([name, cell(item)]);
            }
        }
    }
}

fn cell(item: &Item) -> String {
    match item {
        Item::Number(x) if *x != 0.0 && !(1e-4..1e15).contains(&x.abs()) => format!("{x:.6e}"),
        Item::Number(x) => {
            // Seven digits are more than people compare; scripts get them all.
            let digits = (6 - x.abs().max(1e-4).log10().floor() as i32).clamp(0, 10) as usize;
            let text = format!("{x:.digits$}");
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
        Item::Missing(()) => "-".to_owned(),
        other => json::to_json(other).trim().trim_matches('"').to_owned(),
    }
}

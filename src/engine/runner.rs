//! The side of the driver: starts the engine's program on a job, and reads the resulting blocks.

use serde::Serialize;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::base::block::{Block, BlockKind, OnBlock};
use crate::base::error::{Error, FileResult, Result};
use crate::base::private_folder::PrivateFolder;
use crate::base::progress::Progress;
use crate::base::{escape, files, json, open};
use crate::engine::driver_process::{DriverProcess, End, TaskCounts};
use crate::engine::job::{Job, Work};
use crate::engine::options::Engine;
use crate::layer::{LayerFacts, LayerRunner};
use crate::replay::{Facts, TaskRunner, Unit};

/// The program that the engine runs.
const DRIVER: &str = include_str!("driver.py");
/// The largest number of tasks that read. A task that reads takes at least one unit.
const MAX_TASKS: usize = 10_000;
/// Units of a task that reads.
const TASK_UNITS: usize = 4;
/// The largest number of bytes of the driver's messages that an error shows.
const SHOWN: usize = 2_000;
/// The start of a message that `driver.py` raises.
const MARK: &str = "RuntimeError: sluice: ";

/// Runs the tasks of a job on its engine.
pub struct EngineRunner {
    job: Job,
    progress: Progress,
}

impl EngineRunner {
    /// A runner of a job on its engine, which shows its progress.
    ///
    /// # Errors
    /// When the job has no engine but this program.
    pub fn new(job: Job, progress: &Progress) -> Result<Self> {
        match job.engine.engine {
            Engine::Local => Err(Error::usage(
                "expected an engine beside this program, found local",
            )),
            Engine::Spark | Engine::Sail => Ok(Self {
                job,
                progress: progress.clone(),
            }),
        }
    }

    /// Runs the driver on the job in a private folder, until it has ended well. `options` are names of
    /// options with names of files in the folder.
    ///
    /// # Errors
    /// When the driver fails, is out of time, or this program is asked to stop.
    pub(super) fn drive(&self, folder: &Path, options: &[(&str, &str)]) -> Result<()> {
        let log = folder.join("log");
        let file = File::create(&log).or_unwritable(&log)?;
        let mut command = self.command(folder, options);
        let name = command.get_program().to_string_lossy().into_owned();
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().or_unwritable(&log)?)
            .stderr(file);
        let failed = |error: std::io::Error| lost(&name, &error.to_string());
        let limit = self.job.engine.timeout;
        let bar = self.progress.bar("engine", "tasks", Some(0));
        let driver = DriverProcess::start(command, folder)?.map_err(failed)?;
        let (end, counts) = driver.wait(limit, &bar).map_err(failed)?;
        drop(bar);
        match (end, limit) {
            (End::Exited(status), _) if status.success() => Ok(()),
            (End::Interrupted(signal), _) => Err(Error::interrupted(
                signal,
                format!("interrupted by signal {signal}: the driver and its tasks are stopped"),
            )),
            (End::OutOfTime, Some(limit)) => Err(too_late(&name, limit, counts, &messages(&log))),
            _ => Err(lost(&name, &messages(&log))),
        }
    }

    /// The command that runs the driver.
    fn command(&self, folder: &Path, options: &[(&str, &str)]) -> Command {
        let words = &self.job.engine.submit;
        let (program, arguments) = match words.split_first() {
            Some((program, arguments)) => (program.as_str(), arguments),
            None => ("python3", &[][..]),
        };
        let mut command = Command::new(program);
        command.args(arguments).arg(folder.join(DRIVER_FILE));
        for (option, name) in [("--job", JOB)].iter().chain(options) {
            command.arg(option).arg(folder.join(name));
        }
        command
    }
}

/// The files of a job, which its driver reads, and the file that it writes.
pub(super) const JOB: &str = "job.json";
/// The option that makes the driver describe the tables of the log, in a folder.
pub(super) const DESCRIBE: &str = "--describe";
const UNITS: &str = "units.txt";
const DRIVER_FILE: &str = "driver.py";
const BLOCKS: &str = "blocks.bin";

/// Writes the job of a replay, its units and its driver to a folder.
///
/// # Errors
/// When a file cannot be written, or the job is no replay.
pub fn prepare_replay(job: &Job, facts: &Facts, units: &[Unit], folder: &Path) -> Result<()> {
    let mut job = job.clone();
    match &mut job.work {
        Work::Replay { facts: place, .. } => *place = Some(facts.clone()),
        Work::Layer { .. } => return Err(Error::usage("expected the job of a replay, found another")),
    }
    write_job(job, units, folder)
}

/// Writes the job of a layering, its units and its driver to a folder.
///
/// # Errors
/// When a file cannot be written, or the job is no layering.
pub fn prepare_layer(job: &Job, facts: &LayerFacts, folder: &Path) -> Result<()> {
    let mut job = job.clone();
    match &mut job.work {
        Work::Layer { facts: place, .. } => *place = Some(facts.clone()),
        Work::Replay { .. } => return Err(Error::usage("expected the job of a layering, found another")),
    }
    let units: Vec<usize> = (0..facts.n_parts()).collect();
    write_job(job, &units, folder)
}

fn write_job<T: Serialize>(mut job: Job, units: &[T], folder: &Path) -> Result<()> {
    job.n_tasks = units
        .len()
        .div_ceil(TASK_UNITS)
        .max(units.len().min(8))
        .clamp(1, MAX_TASKS);
    json::write_json(&folder.join(JOB), &job)?;
    let lines: Vec<String> = units
        .iter()
        .map(|unit| serde_json::json!(unit).to_string())
        .collect();
    files::write_bytes(&folder.join(UNITS), lines.join("\n").as_bytes())?;
    write_driver(folder)
}

/// Writes the program of the driver to a folder.
pub(super) fn write_driver(folder: &Path) -> Result<()> {
    files::write_bytes(&folder.join(DRIVER_FILE), DRIVER.as_bytes())
}

impl TaskRunner for EngineRunner {
    fn run(&self, facts: &Facts, units: &[Unit], on_block: &mut OnBlock<'_>) -> Result<()> {
        self.run_driver(
            &|folder| prepare_replay(&self.job, facts, units, folder),
            on_block,
        )
    }

    fn n_partitions(&self) -> Option<u32> {
        self.job.engine.partitions
    }
}

impl LayerRunner for EngineRunner {
    fn run(&self, facts: &LayerFacts, on_block: &mut OnBlock<'_>) -> Result<()> {
        self.run_driver(&|folder| prepare_layer(&self.job, facts, folder), on_block)
    }
}

impl EngineRunner {
    /// Runs the driver in a folder that `prepare` fills, and reads its blocks.
    fn run_driver(&self, prepare: &dyn Fn(&Path) -> Result<()>, on_block: &mut OnBlock<'_>) -> Result<()> {
        let folder = PrivateFolder::create(&std::env::temp_dir(), "sluice-engine-")?;
        let path = folder.path();
        prepare(path)?;
        self.drive(path, &[("--units", UNITS), ("--out", BLOCKS)])?;
        read_frames(&path.join(BLOCKS), on_block)
    }
}

/// The results of a job that [`prepare_replay`] or [`prepare_layer`] wrote and that others ran.
pub struct PreparedRunner<'a> {
    folder: &'a Path,
    job: Job,
}

impl<'a> PreparedRunner<'a> {
    /// Opens the folder of a job.
    ///
    /// # Errors
    /// When it has no job of this version, or one of other inputs, or the driver did not end.
    pub fn open(folder: &'a Path, expected: &Job) -> Result<Self> {
        let job = Job::read(&folder.join(JOB))?;
        if !job.is_like(expected) {
            return Err(other_job(folder));
        }
        if !folder.join(BLOCKS).exists() {
            return Err(Error::in_file(
                folder,
                format!("expected {BLOCKS}, which the driver writes at its end, found none"),
            )
            .hint(format!("run {DRIVER_FILE} in this folder first")));
        }
        Ok(Self { folder, job })
    }
}

/// The error for a job of other inputs.
fn other_job(folder: &Path) -> Error {
    Error::in_file(
        &folder.join(JOB),
        "expected the job of these inputs, found the job of others",
    )
    .hint("give the same options as with --prepare, and prepare again if an input has changed")
}

impl TaskRunner for PreparedRunner<'_> {
    fn run(&self, facts: &Facts, _: &[Unit], on_block: &mut OnBlock<'_>) -> Result<()> {
        match &self.job.work {
            Work::Replay { facts: Some(of), .. } if of == facts => {
                read_frames(&self.folder.join(BLOCKS), on_block)
            }
            _ => Err(other_job(self.folder)),
        }
    }

    fn n_partitions(&self) -> Option<u32> {
        match &self.job.work {
            Work::Replay {
                facts: Some(facts), ..
            } => Some(facts.n_partitions()),
            _ => None,
        }
    }
}

impl LayerRunner for PreparedRunner<'_> {
    fn run(&self, facts: &LayerFacts, on_block: &mut OnBlock<'_>) -> Result<()> {
        match &self.job.work {
            Work::Layer { facts: Some(of), .. } if of == facts => {
                read_frames(&self.folder.join(BLOCKS), on_block)
            }
            _ => Err(other_job(self.folder)),
        }
    }
}

/// The error for an engine that failed. A task that refuses its input is an error of the input, as
/// without an engine.
fn lost(program: &str, messages: &str) -> Error {
    // Engines quote the messages of tasks, with line ends as two characters.
    let text = messages.replace("\\n", "\n");
    let of_task = text
        .strip_prefix("code ")
        .and_then(|rest| rest.split_once(": "))
        .and_then(|(code, rest)| Some((code, rest.split_once(": ")?)));
    let Some((code, (executor, message))) = of_task else {
        let found = escape::lines(text.trim_end(), &[]);
        return Error::target(program, format!("expected the tasks to end well, found: {found}"));
    };
    let mut hints = message.trim_end().split("\nhint: ");
    let found = hints.next().unwrap_or_default();
    let found = escape::lines(found.strip_prefix("error: ").unwrap_or(found), &[]);
    let error = match code {
        "2" => Error::usage(format!("{executor}: {found}")),
        "3" => Error::input(executor, found),
        _ => Error::target(executor, format!("expected the task to end well, found: {found}")),
    };
    hints.fold(error, |error, hint| error.hint(escape::lines(hint, &[])))
}

/// The error for an engine that did not end within the time limit.
fn too_late(program: &str, limit: Duration, counts: TaskCounts, messages: &str) -> Error {
    let last = match messages {
        "" => "no message".to_owned(),
        text => escape::lines(text, &[]),
    };
    let found = format!(
        "expected the engine to end within {} s, found {} of {} tasks done; its last messages: {last}",
        limit.as_secs(),
        counts.done,
        counts.total
    );
    Error::target(program, found).hint(
        "see whether the cluster gives executors, or raise --engine-timeout; the driver is stopped, and the \
         previous output is unchanged",
    )
}

/// The first message of a task in the driver's log; without one, the last lines of the log.
fn messages(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = open::regular(log)?;
        let n_bytes = file.metadata()?.len();
        std::io::Seek::seek(
            &mut file,
            std::io::SeekFrom::Start(n_bytes.saturating_sub(1 << 20)),
        )?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    // Engines quote messages, with line ends and tabs as two characters. A bar ends with a return.
    let text = read().unwrap_or_default();
    let text = text.replace("\\n", "\n").replace("\\t", "\t").replace('\r', "\n");
    let marked = text.find(MARK).map(|at| &text[at + MARK.len()..]);
    // A message of a task is a paragraph; without one, the end of the log says most.
    let shown: Vec<&str> = match marked {
        Some(message) => message
            .lines()
            .take_while(|line| !line.trim().is_empty())
            .take(12)
            .collect(),
        None => {
            let lines: Vec<&str> = text.lines().filter(|line| is_telling(line)).collect();
            lines[lines.len().saturating_sub(5)..].to_vec()
        }
    };
    let shown = shown.join("\n");
    shown[..shown.floor_char_boundary(SHOWN)].to_owned()
}

/// Whether a line of a log says more than a place of a stack or the state of a bar.
fn is_telling(line: &str) -> bool {
    let line = line.trim();
    let is_place = ["at ", "... ", "File \"", "[Stage ", "^"]
        .iter()
        .any(|start| line.starts_with(start));
    !line.is_empty() && !is_place
}

/// Reads the blocks that the driver wrote: partition and kind as 32-bit numbers, the number of bytes
/// as a 64-bit number, and the bytes.
fn read_frames(path: &Path, on_block: &mut OnBlock<'_>) -> Result<()> {
    let mut file = BufReader::with_capacity(1 << 18, open::regular(path).or_unreadable(path)?);
    let mut left = file.get_ref().metadata().or_unreadable(path)?.len();
    let cut = || Error::in_file(path, "expected whole blocks, found the file cut off");
    while left > 0 {
        let mut head = [0; 16];
        file.read_exact(&mut head).map_err(|_| cut())?;
        let [partition, kind] =
            [0, 4].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        let n = u64::from_le_bytes([
            head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15],
        ]);
        left = left
            .checked_sub(16)
            .and_then(|left| left.checked_sub(n))
            .ok_or_else(cut)?;
        let mut bytes = vec![0; n as usize];
        file.read_exact(&mut bytes).map_err(|_| cut())?;
        let kind = i32::try_from(kind).ok().and_then(BlockKind::of).ok_or_else(cut)?;
        on_block(Block {
            partition,
            kind,
            bytes,
        })?;
    }
    Ok(())
}

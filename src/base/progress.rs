//! Progress of long work: bars on a terminal, or a log with one line per stage for jobs.

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::base::lock::lock;
use crate::base::memory::{ProcessIo, peak_memory};
use crate::base::number::count;
use crate::base::time;

/// The form of a log line on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object, for jobs.
    Json,
}

/// Shows the progress of work: bars, log lines, or nothing.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: Option<MultiProgress>,
    log: Option<LogFormat>,
    records: Option<Arc<Mutex<Vec<StageRecord>>>>,
}

/// What a stage of a job took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Name of the stage, such as `replay`.
    pub stage: String,
    /// Number of users or rows that the stage processed. `None` if it has none.
    pub rows: Option<u64>,
    /// Bytes that were read through system calls. `None` if the system does not say.
    pub bytes_read: Option<u64>,
    /// Bytes that were written through system calls. `None` if the system does not say.
    pub bytes_written: Option<u64>,
    /// Wall time, seconds.
    pub seconds: f64,
    /// The most memory of the process so far, bytes. `None` if the system does not say.
    pub peak_memory_bytes: Option<u64>,
}

impl Progress {
    /// Bars on stderr if it is a terminal, else nothing.
    pub fn on_terminal() -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)));
        Self {
            bars,
            log: None,
            records: None,
        }
    }

    /// No bars and no log.
    pub fn silent() -> Self {
        Self {
            bars: None,
            log: None,
            records: None,
        }
    }

    /// A line on stderr at the end of each stage; no bars.
    pub fn logged(format: LogFormat) -> Self {
        Self {
            bars: None,
            log: Some(format),
            records: None,
        }
    }

    /// This progress, which also keeps a record of each stage for [`Self::records`].
    #[must_use]
    pub fn recorded(&self) -> Self {
        Self {
            records: Some(Arc::default()),
            ..self.clone()
        }
    }

    /// The records of the stages that have ended, in the order of their ends.
    pub fn records(&self) -> Vec<StageRecord> {
        self.records
            .as_ref()
            .map_or_else(Vec::new, |records| lock(records).clone())
    }

    /// Starts a stage. Its line is logged when the value is dropped.
    pub fn stage(&self, name: &'static str) -> Stage {
        Stage {
            name,
            log: self.log,
            records: self.records.clone(),
            started: Instant::now(),
            io: ProcessIo::now(),
            n_rows: Cell::new(None),
        }
    }

    /// Prints lines above the bars.
    pub fn above(&self, print: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    /// Shows a bar that counts rows; without a total it spins. It disappears when dropped.
    pub fn rows(&self, what: &'static str, n_rows: Option<u64>) -> Bar {
        self.bar(what, "rows", n_rows)
    }

    /// Shows a bar that counts things of another name, as [`Progress::rows`] does.
    pub fn bar(&self, what: &'static str, unit: &'static str, n: Option<u64>) -> Bar {
        let Some(bars) = &self.bars else {
            return Bar(ProgressBar::hidden());
        };
        let (bar, template) = match n {
            Some(n) => (
                ProgressBar::new(n),
                "{prefix:>9} {wide_bar} {human_pos}/{human_len} {msg}, {rate}/s, {eta} left",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{prefix:>9} {spinner} {human_pos} {msg}, {rate}/s",
            ),
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("rate", whole_rate);
        let bar = bars.add(bar.with_style(style).with_prefix(what).with_message(unit));
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar(bar)
    }
}

/// Writes the rows per second without decimals. Writing to the bar's buffer cannot fail.
fn whole_rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    let _ = write!(out, "{}", HumanCount(state.per_sec() as u64));
}

/// A stage of a job, from its start until it is dropped.
#[derive(Debug)]
pub struct Stage {
    name: &'static str,
    log: Option<LogFormat>,
    records: Option<Arc<Mutex<Vec<StageRecord>>>>,
    started: Instant,
    io: Option<ProcessIo>,
    n_rows: Cell<Option<u64>>,
}

impl Stage {
    /// Sets the number of rows that the stage has processed, for its log line.
    pub fn set_rows(&self, n_rows: u64) {
        self.n_rows.set(Some(n_rows));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.log.is_none() && self.records.is_none() {
            return;
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let io = self
            .io
            .zip(ProcessIo::now())
            .map(|(before, after)| after.since(before));
        let record = StageRecord {
            stage: self.name.to_owned(),
            rows: self.n_rows.get(),
            bytes_read: io.map(|io| io.n_read),
            bytes_written: io.map(|io| io.n_written),
            seconds: (seconds * 1e6).round() / 1e6,
            peak_memory_bytes: peak_memory(),
        };
        if let Some(format) = self.log {
            // A closed stderr is no reason to stop the job.
            let _ = writeln!(std::io::stderr(), "{}", record.line(format));
        }
        if let Some(records) = &self.records {
            lock(records).push(record);
        }
    }
}

impl StageRecord {
    /// The line of the stage in a log.
    fn line(&self, format: LogFormat) -> String {
        if format == LogFormat::Json {
            return serde_json::json!({
                "time": now(),
                "stage": self.stage,
                "rows": self.rows,
                "bytes_read": self.bytes_read,
                "bytes_written": self.bytes_written,
                "seconds": self.seconds,
                "peak_memory_bytes": self.peak_memory_bytes,
            })
            .to_string();
        }
        let megabytes = |n: u64| format!("{:.1} MB", n as f64 / 1e6);
        let mut parts = vec![format!("{:.2} s", self.seconds)];
        parts.extend(self.rows.map(|n| format!("{} rows", count(n))));
        parts.extend(self.bytes_read.map(|n| format!("{} read", megabytes(n))));
        parts.extend(self.bytes_written.map(|n| format!("{} written", megabytes(n))));
        parts.extend(
            self.peak_memory_bytes
                .map(|n| format!("{} peak memory", megabytes(n))),
        );
        format!("{:<9} {}", self.stage, parts.join(", "))
    }
}

/// The instant of a log line, RFC 3339 in UTC; empty if the clock shows a time before 1970.
pub fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .map_or_else(String::new, |millis| time::format(millis * 1_000))
}

/// One progress bar, which counts rows.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// Adds rows to those that are done.
    pub fn advance(&self, n_rows: u64) {
        self.0.inc(n_rows);
    }

    /// Shows that `n` of `n_all` are done.
    pub fn set(&self, n: u64, n_all: u64) {
        self.0.set_length(n_all);
        self.0.set_position(n);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

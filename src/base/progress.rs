//! Progress of long work: bars on a terminal, or a log with one line per stage for jobs.

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::cell::Cell;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

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
}

impl Progress {
    /// Bars on stderr if it is a terminal, else nothing.
    pub fn on_terminal() -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)));
        Self { bars, log: None }
    }

    /// No bars and no log.
    pub fn silent() -> Self {
        Self {
            bars: None,
            log: None,
        }
    }

    /// A line on stderr at the end of each stage; no bars.
    pub fn logged(format: LogFormat) -> Self {
        Self {
            bars: None,
            log: Some(format),
        }
    }

    /// Starts a stage. Its line is logged when the value is dropped.
    pub fn stage(&self, name: &'static str) -> Stage {
        Stage {
            name,
            log: self.log,
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
        let Some(format) = self.log else { return };
        let seconds = self.started.elapsed().as_secs_f64();
        let io = self
            .io
            .zip(ProcessIo::now())
            .map(|(before, after)| after.since(before));
        let line = match format {
            LogFormat::Json => serde_json::json!({
                "time": now(),
                "stage": self.name,
                "rows": self.n_rows.get(),
                "bytes_read": io.map(|io| io.n_read),
                "bytes_written": io.map(|io| io.n_written),
                "seconds": (seconds * 1e6).round() / 1e6,
                "peak_memory_bytes": peak_memory(),
            })
            .to_string(),
            LogFormat::Text => {
                let megabytes = |n: u64| format!("{:.1} MB", n as f64 / 1e6);
                let mut parts = vec![format!("{seconds:.2} s")];
                parts.extend(self.n_rows.get().map(|n| format!("{} rows", count(n))));
                parts.extend(io.map(|io| format!("{} read", megabytes(io.n_read))));
                parts.extend(io.map(|io| format!("{} written", megabytes(io.n_written))));
                parts.extend(peak_memory().map(|n| format!("{} peak memory", megabytes(n))));
                format!("{:<9} {}", self.name, parts.join(", "))
            }
        };
        // A closed stderr is no reason to stop the job.
        let _ = writeln!(std::io::stderr(), "{line}");
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
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

//! The process of a driver. It ends with this program, however this program ends.
//!
//! The driver has a process group of its own, which gets SIGTERM and later SIGKILL. A killed program
//! sends no signal, so the driver also waits for the lock of a file: this program has it while it
//! wants the driver to run, and the system releases it when this program is gone.

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::Deserialize;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::base::error::{FileResult, Result};
use crate::base::open;
use crate::base::private_folder::create_file;
use crate::base::progress::Bar;
use crate::base::signals::StopSignals;

/// The file whose lock the driver waits for.
const ALIVE: &str = "alive";
/// The file that the driver writes its progress to.
const PROGRESS: &str = "progress";
/// The time between two looks at the driver.
const LOOK: Duration = Duration::from_millis(20);
/// The time between two looks at its progress.
const LOOK_AT_PROGRESS: Duration = Duration::from_millis(500);
/// The time that a driver has to end its session. `GRACE_SECS` of `driver.py` is shorter.
const GRACE: Duration = Duration::from_secs(8);

/// A driver that runs. It is ended when this value is dropped.
pub(super) struct DriverProcess {
    child: Child,
    alive: Option<File>,
    progress: PathBuf,
}

/// Why the wait for a driver is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The driver has ended.
    Exited(ExitStatus),
    /// The system asks this program to stop, by the signal of this number.
    Interrupted(u8),
    /// The time limit is over.
    OutOfTime,
}

/// The tasks of a job, as the driver reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct TaskCounts {
    /// Tasks that have ended.
    pub(super) done: u64,
    /// All tasks that are known.
    pub(super) total: u64,
}

impl DriverProcess {
    /// Starts a driver that watches `folder`, a private folder.
    ///
    /// # Errors
    /// The lock cannot be taken. The inner error: the program cannot be started.
    pub(super) fn start(mut command: Command, folder: &Path) -> Result<io::Result<Self>> {
        let path = folder.join(ALIVE);
        let alive = create_file(&path).or_unwritable(&path)?;
        alive.lock().or_unwritable(&path)?;
        command.arg("--watch").arg(folder).process_group(0);
        Ok(command.spawn().map(|child| Self {
            child,
            alive: Some(alive),
            progress: folder.join(PROGRESS),
        }))
    }

    /// Waits until the driver ends, and ends it at the time limit or when this program has to stop.
    /// The counts are the last ones that the driver reported; `bar` shows them.
    ///
    /// # Errors
    /// The system refuses to wait.
    pub(super) fn wait(mut self, limit: Option<Duration>, bar: &Bar) -> io::Result<(End, TaskCounts)> {
        let signals = StopSignals::catch()?;
        let started = Instant::now();
        let mut counts = TaskCounts::default();
        let mut next_look = started;
        loop {
            if let Some(signal) = signals.caught() {
                return Ok((End::Interrupted(signal), counts));
            }
            if let Some(status) = self.child.try_wait()? {
                return Ok((End::Exited(status), counts));
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK_AT_PROGRESS;
                // Until the first report there is no file.
                let report = open::read(&self.progress).ok();
                if let Some(found) = report.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                    counts = found;
                    bar.set(counts.done, counts.total);
                }
            }
            if limit.is_some_and(|limit| started.elapsed() >= limit) {
                return Ok((End::OutOfTime, counts));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Whether the driver, or a process that it started in its group, is there.
    fn is_running(&mut self, group: Pid) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none()) || test_kill_process_group(group).is_ok()
    }
}

impl Drop for DriverProcess {
    fn drop(&mut self) {
        self.alive.take();
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else {
            return;
        };
        // The group may be gone by now, which is what is wanted.
        kill_process_group(group, Signal::TERM).ok();
        let started = Instant::now();
        while self.is_running(group) && started.elapsed() < GRACE {
            std::thread::sleep(LOOK);
        }
        if self.is_running(group) {
            kill_process_group(group, Signal::KILL).ok();
            self.child.wait().ok();
        }
    }
}

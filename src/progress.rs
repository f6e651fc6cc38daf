//! Progress on a terminal: rows, rows per second, time left. Silent anywhere else.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{io::IsTerminal, time::Duration};

/// Makes progress bars, or nothing.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: Option<MultiProgress>,
}

impl Progress {
    /// Bars on stderr if it is a terminal.
    pub fn on_terminal() -> Self {
        let bars = std::io::stderr().is_terminal().then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)));
        Self { bars }
    }

    /// No bars.
    pub fn silent() -> Self {
        Self { bars: None }
    }

    /// A bar that counts rows; without a total it spins. It vanishes when dropped.
    pub fn rows(&self, what: &'static str, n_rows: Option<u64>) -> Bar {
        let Some(bars) = &self.bars else { return Bar(ProgressBar::hidden()) };
        let (bar, template) = match n_rows {
            Some(n) => (ProgressBar::new(n), "{prefix:>9} {bar:30} {human_pos}/{human_len} rows, {per_sec}, {eta} left"),
            None => (ProgressBar::new_spinner(), "{prefix:>9} {spinner} {human_pos} rows, {per_sec}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bars.add(bar.with_style(style).with_prefix(what));
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar(bar)
    }
}

/// One progress bar.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// So many more rows are done.
    pub fn advance(&self, n_rows: u64) {
        self.0.inc(n_rows);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

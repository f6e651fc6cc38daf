//! Progress on a terminal: rows, rows per second, time left. Silent anywhere else.

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt;
use std::io::IsTerminal;
use std::time::Duration;

/// Makes progress bars, or nothing.
#[derive(Debug, Clone)]
pub struct Progress {
    bars: Option<MultiProgress>,
}

impl Progress {
    /// Bars on stderr if it is a terminal.
    pub fn on_terminal() -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)));
        Self { bars }
    }

    /// No bars.
    pub fn silent() -> Self {
        Self { bars: None }
    }

    /// A bar that counts rows; without a total it spins. It vanishes when dropped.
    pub fn rows(&self, what: &'static str, n_rows: Option<u64>) -> Bar {
        let Some(bars) = &self.bars else {
            return Bar(ProgressBar::hidden());
        };
        let (bar, template) = match n_rows {
            Some(n) => (
                ProgressBar::new(n),
                "{prefix:>9} {bar:30} {human_pos}/{human_len} rows, {rate} rows/s, {eta} left",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{prefix:>9} {spinner} {human_pos} rows, {rate} rows/s",
            ),
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("rate", whole_rate);
        let bar = bars.add(bar.with_style(style).with_prefix(what));
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar(bar)
    }
}

/// Rows per second without decimals. Writing into the bar's buffer cannot fail.
fn whole_rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    let _ = write!(out, "{}", HumanCount(state.per_sec() as u64));
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

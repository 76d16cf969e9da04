//! Progress of a run on stderr: a bar on a terminal, a plain line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::report::thousands;

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How much of a phase is done, and how it is shown.
#[derive(Debug)]
pub struct Progress {
    name: &'static str,
    bar: Option<ProgressBar>,
    last_line: Instant,
    last_completed: u64,
}

impl Progress {
    /// The progress of the phase `name`.
    pub fn new(name: &'static str) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1_000);
            let style = ProgressStyle::with_template("{prefix:>8} [{wide_bar}] {percent:>3} % {msg}")
                .expect("the template is constant")
                .progress_chars("=> ");
            bar.set_style(style);
            bar.set_prefix(name);
            bar
        });
        Progress {
            name,
            bar,
            last_line: Instant::now(),
            last_completed: 0,
        }
    }

    /// `share` (0 to 1) of the phase is done; so many operations completed and failed by now.
    pub fn update(&mut self, share: f64, completed: u64, failed: u64) {
        let elapsed = self.last_line.elapsed();
        let every = if self.bar.is_some() {
            Duration::from_millis(500)
        } else {
            LINE_EVERY
        };
        if elapsed >= every {
            let rate = (completed - self.last_completed) as f64 / elapsed.as_secs_f64();
            self.last_line = Instant::now();
            self.last_completed = completed;
            let message = format!("{} operations/s, {} failed", thousands(rate as u64), thousands(failed));
            match &self.bar {
                Some(bar) => bar.set_message(message),
                None => eprintln!("{}: {:.0} %, {message}", self.name, share * 100.0),
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_position((share.clamp(0.0, 1.0) * 1_000.0) as u64);
        }
    }

    /// The phase is over.
    pub fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

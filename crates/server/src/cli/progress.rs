//! Progress of long work on stderr: a bar on a terminal, a plain line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How much is done.
pub struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    records: u64,
    bytes: u64,
    bytes_max: Option<u64>,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Nothing is done yet. `bytes_max`, if known, is what [`Self::add`] will have been given in all.
    pub fn new(what: &'static str, bytes_max: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, template) = match bytes_max {
                Some(most) => (ProgressBar::new(most), "[{wide_bar}] {percent:>3} % {msg}"),
                None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
            };
            let style = ProgressStyle::with_template(template).expect("the template is constant");
            bar.with_style(style.progress_chars("=> "))
        });
        let now = Instant::now();
        Self {
            what,
            bar,
            records: 0,
            bytes: 0,
            bytes_max,
            started: now,
            last_line: now,
        }
    }

    /// One more record of so many bytes.
    pub fn add(&mut self, bytes: u64) {
        self.records += 1;
        self.bytes += bytes;
        match &self.bar {
            Some(bar) => {
                if self.bytes_max.is_some() {
                    bar.set_position(self.bytes);
                } else {
                    bar.tick();
                }
                if self.records.is_multiple_of(100) {
                    bar.set_message(self.text());
                }
            }
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                eprintln!("{}", self.text());
            }
            None => {}
        }
    }

    /// All is done: a last line, unless the command says it in JSON. Gives back how many records it was.
    pub fn finish(self, json: bool) -> u64 {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !json {
            eprintln!("{}", self.text());
        }
        self.records
    }

    fn text(&self) -> String {
        let rate = self.records as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let share = match self.bytes_max {
            Some(most) if most > 0 => format!(" ({} %)", self.bytes.min(most) * 100 / most),
            Some(_) | None => String::new(),
        };
        format!("{} records {}{share}, {rate:.0} a second", self.records, self.what)
    }
}

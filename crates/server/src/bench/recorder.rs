//! What one worker measured: a latency histogram per kind of operation, completions over time, and errors by kind.
//!
//! A latency counts if its operation was due inside the measured window, a completion if it happened inside it: so an
//! operation that was due before a stall and answered after the window still shows.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::mix::Kind;

/// Latencies are kept to three digits between a nanosecond and an hour.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

/// The measured part of a run, in nanoseconds since the run's clock started.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// The first measured nanosecond.
    pub start_ns: u64,
    /// The first nanosecond no longer measured; `u64::MAX` when a number of requests ends the run.
    pub end_ns: u64,
    /// How long one bin of the time series is.
    pub bin_ns: u64,
}

/// One bin of the time series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bin {
    /// Operations that completed.
    pub completed: u64,
    /// Operations that failed.
    pub failed: u64,
}

/// How often one kind of error came, and its first text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorCount {
    /// How often.
    pub count: u64,
    /// What the first one said.
    pub sample: String,
}

/// The measurements of one worker, or of several merged.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// When to measure.
    pub window: Window,
    /// Latencies in nanoseconds, in the order of [`Kind::ALL`].
    pub latencies: [Histogram<u64>; 4],
    /// How long failed operations took to fail.
    pub failures: Histogram<u64>,
    /// Operations completed inside the window.
    pub completed: u64,
    /// Operations that failed since the window began.
    pub failed: u64,
    /// Reads that found no key.
    pub missing: u64,
    /// Operations that were due inside the window but not even sent at its end; their latency counts as what it was by then.
    pub backlog: u64,
    /// Connections made again after the first time.
    pub reconnects: u64,
    /// Errors by kind.
    pub errors: BTreeMap<String, ErrorCount>,
    /// Completions and failures over time.
    pub bins: Vec<Bin>,
    /// Everything completed and failed, warm-up included, for progress.
    pub completed_ever: u64,
    /// Everything failed, warm-up included.
    pub failed_ever: u64,
}

/// A time series longer than this stops growing: a bin is a quarter of a second or more.
const BINS_MAX: usize = 1_000_000;

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are valid")
}

impl Recorder {
    /// Measures inside `window`.
    pub fn new(window: Window) -> Recorder {
        Recorder {
            window,
            latencies: [histogram(), histogram(), histogram(), histogram()],
            failures: histogram(),
            completed: 0,
            failed: 0,
            missing: 0,
            backlog: 0,
            reconnects: 0,
            errors: BTreeMap::new(),
            bins: Vec::new(),
            completed_ever: 0,
            failed_ever: 0,
        }
    }

    /// An operation that was due at `intended_ns` is done.
    pub fn complete(&mut self, kind: Kind, intended_ns: u64, now_ns: u64) {
        self.completed_ever += 1;
        let Window { start_ns, end_ns, .. } = self.window;
        if intended_ns >= start_ns && intended_ns < end_ns {
            self.latencies[kind as usize].saturating_record(now_ns.saturating_sub(intended_ns));
        }
        if now_ns >= start_ns && now_ns < end_ns {
            self.completed += 1;
            if let Some(bin) = self.bin(now_ns) {
                bin.completed += 1;
            }
        }
    }

    /// A read found no key; it also completes.
    pub fn miss(&mut self, now_ns: u64) {
        if now_ns >= self.window.start_ns && now_ns < self.window.end_ns {
            self.missing += 1;
        }
    }

    /// An operation that was due at `intended_ns` failed.
    pub fn fail(&mut self, error: &str, text: &[u8], intended_ns: u64, now_ns: u64) {
        self.failed_ever += 1;
        if now_ns < self.window.start_ns {
            return;
        }
        self.failed += 1;
        self.failures.saturating_record(now_ns.saturating_sub(intended_ns));
        if now_ns < self.window.end_ns
            && let Some(bin) = self.bin(now_ns)
        {
            bin.failed += 1;
        }
        self.count_error(error, text, now_ns);
    }

    /// Something went wrong that was no operation, as a refused connection.
    pub fn count_error(&mut self, error: &str, text: &[u8], now_ns: u64) {
        if now_ns < self.window.start_ns {
            return;
        }
        if let Some(known) = self.errors.get_mut(error) {
            known.count += 1;
            return;
        }
        let sample = String::from_utf8_lossy(&text[..text.len().min(300)]).into_owned();
        self.errors.insert(error.to_owned(), ErrorCount { count: 1, sample });
    }

    /// An operation that was due inside the window was never sent: its latency is at least what it is at the end.
    pub fn leave_behind(&mut self, kind: Kind, intended_ns: u64, now_ns: u64) {
        let Window { start_ns, end_ns, .. } = self.window;
        if intended_ns >= start_ns && intended_ns < end_ns {
            self.backlog += 1;
            self.latencies[kind as usize].saturating_record(now_ns.saturating_sub(intended_ns));
        }
    }

    /// Adds another worker's measurements.
    pub fn merge(&mut self, other: &Recorder) {
        for (mine, theirs) in self.latencies.iter_mut().zip(&other.latencies) {
            mine.add(theirs).expect("all histograms have the same bounds");
        }
        self.failures
            .add(&other.failures)
            .expect("all histograms have the same bounds");
        self.completed += other.completed;
        self.failed += other.failed;
        self.missing += other.missing;
        self.backlog += other.backlog;
        self.reconnects += other.reconnects;
        self.completed_ever += other.completed_ever;
        self.failed_ever += other.failed_ever;
        for (error, count) in &other.errors {
            let mine = self.errors.entry(error.clone()).or_default();
            mine.count += count.count;
            if mine.sample.is_empty() {
                mine.sample.clone_from(&count.sample);
            }
        }
        if self.bins.len() < other.bins.len() {
            self.bins.resize(other.bins.len(), Bin::default());
        }
        for (mine, theirs) in self.bins.iter_mut().zip(&other.bins) {
            mine.completed += theirs.completed;
            mine.failed += theirs.failed;
        }
    }

    fn bin(&mut self, now_ns: u64) -> Option<&mut Bin> {
        let index = ((now_ns - self.window.start_ns) / self.window.bin_ns) as usize;
        if index >= self.bins.len() && index < BINS_MAX {
            self.bins.resize(index + 1, Bin::default());
        }
        self.bins.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mix::Kind;
    use super::{Recorder, Window};

    const WINDOW: Window = Window {
        start_ns: 1_000,
        end_ns: 2_000,
        bin_ns: 100,
    };

    #[test]
    fn warm_up_is_not_measured_and_a_late_answer_is() {
        let mut recorder = Recorder::new(WINDOW);
        recorder.complete(Kind::Get, 900, 950);
        recorder.complete(Kind::Get, 950, 1_050);
        recorder.complete(Kind::Get, 1_100, 1_250);
        recorder.complete(Kind::Get, 1_900, 9_000);
        recorder.complete(Kind::Get, 2_100, 2_200);
        assert_eq!(recorder.completed, 2);
        assert_eq!(recorder.latencies[Kind::Get as usize].len(), 2);
        assert_eq!(recorder.latencies[Kind::Get as usize].max() / 10, 7_100 / 10);
        assert_eq!(
            recorder.bins.iter().map(|bin| bin.completed).collect::<Vec<_>>(),
            [1, 0, 1]
        );
        assert_eq!(recorder.completed_ever, 5);
    }

    #[test]
    fn errors_are_counted_by_kind_and_merged_with_their_first_text() {
        let mut first = Recorder::new(WINDOW);
        let mut second = Recorder::new(WINDOW);
        first.fail("BUSY", b"BUSY later", 1_000, 1_100);
        first.fail("BUSY", b"BUSY again", 1_000, 1_150);
        first.fail("BUSY", b"BUSY warm-up", 0, 999);
        second.fail("BUSY", b"BUSY other", 1_000, 1_300);
        second.fail("timeout", b"", 1_000, 5_000);
        first.merge(&second);
        assert_eq!(first.failed, 4);
        assert_eq!(first.errors["BUSY"].count, 3);
        assert_eq!(first.errors["BUSY"].sample, "BUSY later");
        assert_eq!(first.errors["timeout"].count, 1);
        assert_eq!(first.bins.iter().map(|bin| bin.failed).sum::<u64>(), 3);
    }

    #[test]
    fn what_was_never_sent_counts_with_its_age() {
        let mut recorder = Recorder::new(WINDOW);
        recorder.leave_behind(Kind::Set, 1_500, 2_000);
        recorder.leave_behind(Kind::Set, 500, 2_000);
        assert_eq!(recorder.backlog, 1);
        assert_eq!(recorder.latencies[Kind::Set as usize].max() / 10, 50);
    }
}

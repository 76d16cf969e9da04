//! How fast the work that nobody waits for may go: delivering hints, comparing trees, scrubbing, reaping. An operator can pause
//! each, bound its rate or ask for a run now (`Input::Control`). Settings live as long as the process.

/// A kind of background work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Work {
    /// Delivering hints to their homes.
    Hints,
    /// Comparing trees with the other homes.
    AntiEntropy,
    /// Verifying what is on disk.
    Scrub,
    /// Forgetting dead records that all homes agree upon.
    Reaping,
}

impl Work {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hints, Self::AntiEntropy, Self::Scrub, Self::Reaping];

    /// As it is written in paths, metrics and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hints => "hints",
            Self::AntiEntropy => "anti_entropy",
            Self::Scrub => "scrub",
            Self::Reaping => "reaping",
        }
    }

    /// The kind that [`Work::name`] writes so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|work| work.name() == name)
    }
}

/// The settings of one kind of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Nothing new is begun; what is in flight ends.
    pub paused: bool,
    /// Most bytes a second.
    pub bytes_per_second: u64,
    /// How many runs were asked for ([`Runs`]).
    pub runs_asked: u64,
    /// How many of them had been asked for when the work was paused last: none of these goes on.
    pub runs_called_off: u64,
    /// Clients wait: the work goes at an eighth of its bound, until they no longer do.
    pub is_yielding: bool,
}

/// By how much background work slows down while clients wait.
const YIELD_FACTOR: u64 = 8;

impl Pace {
    /// Not paused, at this rate.
    #[must_use]
    pub const fn at(bytes_per_second: u64) -> Self {
        Self {
            paused: false,
            bytes_per_second,
            runs_asked: 0,
            runs_called_off: 0,
            is_yielding: false,
        }
    }

    /// How long `bytes` take at this rate, in microseconds: the pause that keeps the work within its bound.
    #[must_use]
    pub fn microseconds_for(&self, bytes: u64) -> u64 {
        let factor = if self.is_yielding { YIELD_FACTOR } else { 1 };
        bytes.saturating_mul(1_000_000 * factor) / self.bytes_per_second.max(1)
    }
}

/// The runs that operators ask for of one kind of work, as whoever does the work sees them. The work goes on in passes over
/// everything. A run begins at once and goes on while the work is paused, until a pass that began after it was asked for has
/// ended and left nothing out, or until the work is paused once more.
///
/// ```text
/// asked for ──begin_pass──▶ pass ──end_pass, nothing was missed──▶ over
///     ▲──────── end_pass, something was missed ──────┘
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Runs {
    seen: u64,
    is_going: bool,
    /// The pass at hand, or the last one, leaves nothing out that the run asks for.
    is_whole: bool,
}

impl Runs {
    /// True once after runs were asked for: a pass at hand is not what they ask for.
    pub fn begins(&mut self, pace: &Pace) -> bool {
        let begins = pace.runs_asked > self.seen;
        self.seen = pace.runs_asked;
        self.is_going = (self.is_going || begins) && pace.runs_asked > pace.runs_called_off;
        self.is_whole &= !begins;
        begins
    }

    /// A run was asked for and is not over.
    #[must_use]
    pub fn is_going(&self) -> bool {
        self.is_going
    }

    /// Nothing new is to be begun.
    #[must_use]
    pub fn is_paused(&self, pace: &Pace) -> bool {
        pace.paused && !self.is_going
    }

    /// A pass over everything begins.
    pub fn begin_pass(&mut self) {
        self.is_whole = true;
    }

    /// Something of the pass at hand was left out: a run that is going needs another pass.
    pub fn miss(&mut self) {
        self.is_whole = false;
    }

    /// A run is going that needs a pass.
    #[must_use]
    pub fn needs_pass(&self) -> bool {
        self.is_going && !self.is_whole
    }

    /// A pass has ended, and all that it began: so has the run, unless it needs another one.
    pub fn end_pass(&mut self) {
        self.is_going &= !self.is_whole;
    }

    /// The run is over.
    pub fn end(&mut self) {
        self.is_going = false;
    }
}

/// What an operator changes of a pace; `None` leaves it as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PaceChange {
    /// Stop or go on.
    pub paused: Option<bool>,
    /// The new bound.
    pub bytes_per_second: Option<u64>,
    /// Start a run at once.
    pub run_now: bool,
}

/// The settings of all background work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Background {
    /// Hints.
    pub hints: Pace,
    /// Anti-entropy.
    pub anti_entropy: Pace,
    /// Scrub.
    pub scrub: Pace,
    /// Reaping.
    pub reaping: Pace,
}

impl Default for Background {
    /// Rates that leave most of a disk and a network of the smallest machines to clients.
    fn default() -> Self {
        Self {
            hints: Pace::at(8 << 20),
            anti_entropy: Pace::at(8 << 20),
            scrub: Pace::at(4 << 20),
            reaping: Pace::at(4 << 20),
        }
    }
}

impl Background {
    /// The settings of one kind.
    #[must_use]
    pub fn pace(&self, work: Work) -> &Pace {
        match work {
            Work::Hints => &self.hints,
            Work::AntiEntropy => &self.anti_entropy,
            Work::Scrub => &self.scrub,
            Work::Reaping => &self.reaping,
        }
    }

    /// Clients wait, or no longer do.
    pub fn set_yielding(&mut self, is_yielding: bool) {
        for pace in [
            &mut self.hints,
            &mut self.anti_entropy,
            &mut self.scrub,
            &mut self.reaping,
        ] {
            pace.is_yielding = is_yielding;
        }
    }

    /// Changes the settings of one kind.
    pub fn change(&mut self, work: Work, change: PaceChange) {
        let pace = match work {
            Work::Hints => &mut self.hints,
            Work::AntiEntropy => &mut self.anti_entropy,
            Work::Scrub => &mut self.scrub,
            Work::Reaping => &mut self.reaping,
        };
        if change.paused == Some(true) {
            pace.runs_called_off = pace.runs_asked;
        }
        pace.paused = change.paused.unwrap_or(pace.paused);
        pace.bytes_per_second = change.bytes_per_second.unwrap_or(pace.bytes_per_second).max(1);
        pace.runs_asked += u64::from(change.run_now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let mut background = Background::default();
        let paused = PaceChange {
            paused: Some(true),
            ..PaceChange::default()
        };
        background.change(Work::Scrub, paused);
        let faster = PaceChange {
            bytes_per_second: Some(100),
            run_now: true,
            ..PaceChange::default()
        };
        background.change(Work::Scrub, faster);
        let expected = Pace {
            paused: true,
            bytes_per_second: 100,
            runs_asked: 1,
            runs_called_off: 0,
            is_yielding: false,
        };
        assert_eq!(background.scrub, expected);
        assert_eq!(background.hints, Background::default().hints);
        assert_eq!(background.pace(Work::Scrub).microseconds_for(50), 500_000);
    }

    #[test]
    fn a_run_goes_on_while_paused_until_it_is_over_or_called_off() {
        let change = |paused, run_now| PaceChange {
            paused,
            run_now,
            ..PaceChange::default()
        };
        let mut background = Background::default();
        let mut runs = Runs::default();
        background.change(Work::Scrub, change(Some(true), false));
        assert!(!runs.begins(&background.scrub) && runs.is_paused(&background.scrub));
        background.change(Work::Scrub, change(None, true));
        assert!(runs.begins(&background.scrub) && !runs.is_paused(&background.scrub));
        assert!(!runs.begins(&background.scrub) && !runs.is_paused(&background.scrub));
        runs.end_pass();
        assert!(!runs.is_paused(&background.scrub), "that was a pass before it");
        runs.begin_pass();
        runs.miss();
        runs.end_pass();
        assert!(runs.needs_pass() && !runs.is_paused(&background.scrub));
        runs.begin_pass();
        runs.end_pass();
        assert!(!runs.needs_pass() && runs.is_paused(&background.scrub));
        background.change(Work::Scrub, change(Some(true), true));
        assert!(runs.begins(&background.scrub) && !runs.is_paused(&background.scrub));
        background.change(Work::Scrub, change(Some(true), false));
        assert!(!runs.begins(&background.scrub) && runs.is_paused(&background.scrub));
        background.change(Work::Scrub, change(Some(false), false));
        assert!(!runs.is_going() && !runs.is_paused(&background.scrub));
    }

    #[test]
    fn work_that_yields_takes_eight_times_as_long() {
        let mut background = Background::default();
        let usual = background.scrub.microseconds_for(1 << 20);
        background.set_yielding(true);
        assert_eq!(background.scrub.microseconds_for(1 << 20), 8 * usual);
        background.set_yielding(false);
        assert_eq!(background.scrub.microseconds_for(1 << 20), usual);
    }

    #[test]
    fn every_kind_of_work_is_found_by_its_name() {
        for work in Work::ALL {
            assert_eq!(Work::from_name(work.name()), Some(work));
        }
        assert_eq!(Work::from_name("hint"), None);
    }
}

//! Who may begin: a node runs so many client requests at a time, and the others wait in the order in which they came. A
//! queue that is bounded by its length alone answers everybody late; this one is bounded by time. Whoever has waited too
//! long is turned away first, and the client is told when to come back.
//!
//! ```text
//! request ──room──▶ running ──answered──▶ the next one that waits
//!    └──no room──▶ waiting ──waited longer than the limit, or too many──▶ busy
//! ```

use std::collections::VecDeque;

use crate::limits::{
    OPERATIONS_MAX, RUNNING_MAX_DEFAULT, STANDING_QUEUE_MS, WAITING_MAX, WAITING_MS_MAX_DEFAULT, WAITING_MS_STANDING,
};
use crate::time::Time;

/// The node is pressed for this long after somebody had to wait, so that background work does not flap.
const PRESSED_MS: u64 = 1_000;
const SLOT_US: u64 = 16_000;
/// What a client that was turned away is told at least, and at most.
const RETRY_AFTER_MS_MIN: u64 = 100;
const RETRY_AFTER_MS_MAX: u64 = 5_000;
/// A forwarded command was let in where it came from. It never waits here, or two nodes could wait for one another.
const FORWARDED_PER_RUNNING: usize = 2;

/// The bounds, each named in docs/overload.md.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AdmissionLimits {
    /// Most client requests that run at a time.
    pub running_max: usize,
    /// The longest that one may wait to begin, in milliseconds.
    pub waiting_ms_max: u64,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            running_max: RUNNING_MAX_DEFAULT,
            waiting_ms_max: WAITING_MS_MAX_DEFAULT,
        }
    }
}

/// Why a request was turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShedReason {
    /// It had waited longer than the limit.
    Waited,
    /// Too many waited, and it was the one that had waited longest.
    Queue,
    /// Another node's command came while too many of these ran.
    Forwarded,
}

impl ShedReason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waited, Self::Queue, Self::Forwarded];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waited => "waited",
            Self::Queue => "queue",
            Self::Forwarded => "forwarded",
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AdmissionStats {
    /// Requests that had to wait before they began.
    pub waited: u64,
    /// The time that they waited, in microseconds.
    pub waited_us: u64,
    /// Turned away, by reason.
    pub shed: [u64; ShedReason::ALL.len()],
}

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AdmissionView {
    /// The bounds in force.
    pub limits: AdmissionLimits,
    /// Requests of this node's clients that run.
    pub running: usize,
    /// Commands of other nodes that run.
    pub forwarded: usize,
    /// Requests that wait to begin.
    pub waiting: usize,
    /// How long the first of them has waited, in milliseconds.
    pub oldest_ms: u64,
    /// Clients have to wait: background work yields.
    pub is_pressed: bool,
    /// Counters.
    pub stats: AdmissionStats,
}

#[derive(Debug)]
struct Entry<R> {
    since: Time,
    /// Its client waits no longer than this.
    deadline: Time,
    request: R,
}

/// See the module. `R` is a request that waits.
#[derive(Debug)]
pub struct Admission<R> {
    limits: AdmissionLimits,
    running: usize,
    forwarded: usize,
    waiting: VecDeque<Entry<R>>,
    /// When one of them is given up by its own client, before it has waited too long.
    hurried_at: Time,
    /// Since when somebody has always waited.
    standing_since: Option<Time>,
    pressed_until: Time,
    stats: AdmissionStats,
}

impl<R> Default for Admission<R> {
    fn default() -> Self {
        Self {
            limits: AdmissionLimits::default(),
            running: 0,
            forwarded: 0,
            waiting: VecDeque::new(),
            hurried_at: Time::NEVER,
            standing_since: None,
            pressed_until: Time(0),
            stats: AdmissionStats::default(),
        }
    }
}

impl<R> Admission<R> {
    /// Changes the bounds; what runs goes on.
    pub fn set_limits(&mut self, limits: AdmissionLimits) {
        self.limits = AdmissionLimits {
            running_max: limits.running_max.clamp(1, OPERATIONS_MAX),
            ..limits
        };
    }

    /// True if a request that comes now may begin at once, which it then must.
    pub fn enter(&mut self) -> bool {
        let has_room = self.waiting.is_empty() && self.running < self.limits.running_max;
        self.running += usize::from(has_room);
        has_room
    }

    /// A request has to wait. Where too many do, the one that has waited longest is handed back, to be turned away.
    pub fn wait(&mut self, request: R, deadline: Time, now: Time) -> Option<R> {
        self.standing_since.get_or_insert(now);
        self.pressed_until = now.plus_ms(PRESSED_MS);
        if deadline < now.plus_ms(self.limits.waiting_ms_max) {
            self.hurried_at = self.hurried_at.min(slot_of(deadline));
        }
        self.waiting.push_back(Entry {
            since: now,
            deadline,
            request,
        });
        if self.waiting.len() <= WAITING_MAX {
            return None;
        }
        self.count_shed(ShedReason::Queue);
        self.waiting.pop_front().map(|entry| entry.request)
    }

    /// A request of this node's clients was answered.
    pub fn leave(&mut self) {
        debug_assert!(self.running > 0, "every answer is to a request that began");
        self.running = self.running.saturating_sub(1);
    }

    /// The next one that may begin.
    pub fn next(&mut self, now: Time) -> Option<R> {
        if self.running >= self.limits.running_max {
            return None;
        }
        let Entry { since, request, .. } = self.waiting.pop_front()?;
        self.running += 1;
        self.stats.waited += 1;
        self.stats.waited_us += now.0.saturating_sub(since.0);
        self.pressed_until = now.plus_ms(PRESSED_MS);
        self.note_empty();
        Some(request)
    }

    /// Takes out those that have waited too long.
    pub fn shed(&mut self, now: Time) -> Vec<R> {
        let mut late = Vec::new();
        while self.waiting.front().is_some_and(|entry| now >= self.late_at(entry)) {
            late.extend(self.waiting.pop_front().map(|entry| entry.request));
        }
        if now >= self.hurried_at {
            self.hurried_at = Time::NEVER;
            for entry in std::mem::take(&mut self.waiting) {
                if slot_of(entry.deadline) <= now {
                    late.push(entry.request);
                    continue;
                }
                if entry.deadline < entry.since.plus_ms(self.limits.waiting_ms_max) {
                    self.hurried_at = self.hurried_at.min(slot_of(entry.deadline));
                }
                self.waiting.push_back(entry);
            }
        }
        self.stats.shed[ShedReason::Waited as usize] += late.len() as u64;
        self.note_empty();
        late
    }

    fn note_empty(&mut self) {
        if self.waiting.is_empty() {
            self.standing_since = None;
            self.hurried_at = Time::NEVER;
        }
    }

    /// When the next one will have waited too long.
    #[must_use]
    pub fn due(&self) -> Time {
        let first = self.waiting.front().map_or(Time::NEVER, |entry| self.late_at(entry));
        first.min(self.hurried_at)
    }

    fn late_at(&self, entry: &Entry<R>) -> Time {
        entry.since.plus_ms(self.waiting_ms_max(entry.since))
    }

    /// A queue that has not been empty for a while is no burst: to wait in it helps nobody, so that its limit is shorter.
    fn waiting_ms_max(&self, since: Time) -> u64 {
        let is_standing = self
            .standing_since
            .is_some_and(|standing| standing.ms_until(since) >= STANDING_QUEUE_MS);
        if is_standing {
            self.limits.waiting_ms_max.min(WAITING_MS_STANDING)
        } else {
            self.limits.waiting_ms_max
        }
    }

    /// True if a command of another node may begin here; it must then be followed by [`Self::leave_forwarded`].
    pub fn enter_forwarded(&mut self) -> bool {
        let has_room = self.forwarded < self.limits.running_max.saturating_mul(FORWARDED_PER_RUNNING);
        if has_room {
            self.forwarded += 1;
        } else {
            self.count_shed(ShedReason::Forwarded);
        }
        has_room
    }

    /// A command of another node was answered.
    pub fn leave_forwarded(&mut self) {
        debug_assert!(self.forwarded > 0, "every answer is to a command that began");
        self.forwarded = self.forwarded.saturating_sub(1);
    }

    /// Clients have to wait, or had to a moment ago: work that nobody waits for yields.
    #[must_use]
    pub fn is_pressed(&self, now: Time) -> bool {
        !self.waiting.is_empty() || now < self.pressed_until
    }

    /// When one that is turned away now should come back: longer, the longer the queue has been standing.
    #[must_use]
    pub fn retry_after_ms(&self, now: Time) -> u32 {
        let standing_ms = self.standing_since.map_or(0, |since| since.ms_until(now));
        (standing_ms / 4).clamp(RETRY_AFTER_MS_MIN, RETRY_AFTER_MS_MAX) as u32
    }

    /// Where it stands.
    #[must_use]
    pub fn view(&self, now: Time) -> AdmissionView {
        AdmissionView {
            limits: self.limits,
            running: self.running,
            forwarded: self.forwarded,
            waiting: self.waiting.len(),
            oldest_ms: self.waiting.front().map_or(0, |entry| entry.since.ms_until(now)),
            is_pressed: self.is_pressed(now),
            stats: self.stats,
        }
    }

    fn count_shed(&mut self, reason: ShedReason) {
        self.stats.shed[reason as usize] += 1;
    }
}

/// Deadlines of clients are looked at in steps: each look goes through the whole queue.
fn slot_of(deadline: Time) -> Time {
    Time(deadline.0.div_ceil(SLOT_US).saturating_mul(SLOT_US))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: AdmissionLimits = AdmissionLimits {
        running_max: 2,
        waiting_ms_max: 500,
    };

    fn admission() -> Admission<u32> {
        let mut admission = Admission::default();
        admission.set_limits(BOUND);
        admission
    }

    fn at(ms: u64) -> Time {
        Time(0).plus_ms(ms)
    }

    #[test]
    fn the_one_that_has_waited_longest_begins_first_when_there_is_room() {
        let mut admission = admission();
        assert!(admission.enter() && admission.enter() && !admission.enter());
        assert_eq!(admission.wait(1, Time::NEVER, at(0)), None);
        assert_eq!(admission.wait(2, Time::NEVER, at(1)), None);
        assert_eq!(admission.next(at(2)), None, "both places are taken");
        admission.leave();
        assert!(!admission.enter(), "a new one does not pass those that wait");
        assert_eq!(admission.next(at(2)), Some(1));
        assert_eq!(admission.next(at(2)), None);
        admission.leave();
        assert_eq!(admission.next(at(3)), Some(2));
        assert_eq!(admission.view(at(3)).stats.waited_us, 4_000);
    }

    #[test]
    fn the_oldest_is_turned_away_once_it_has_waited_too_long_and_no_sooner() {
        let mut admission = admission();
        assert!(admission.enter() && admission.enter());
        assert_eq!(admission.wait(1, Time::NEVER, at(0)), None);
        assert_eq!(admission.wait(2, Time::NEVER, at(100)), None);
        assert_eq!(admission.due(), at(500));
        assert_eq!(admission.shed(at(499)), []);
        assert_eq!(admission.shed(at(500)), [1]);
        assert_eq!(admission.shed(at(500)), [], "the second has 100 ms more");
        assert_eq!(admission.shed(at(600)), [2]);
        assert_eq!(admission.due(), Time::NEVER);
        assert_eq!(admission.view(at(600)).stats.shed[ShedReason::Waited as usize], 2);
    }

    #[test]
    fn a_queue_that_never_empties_gets_a_shorter_limit_and_a_burst_the_long_one() {
        let mut admission = admission();
        assert!(admission.enter() && admission.enter());
        let mut came_ms = 0;
        // Somebody always waits, and each is turned away in time.
        while came_ms < STANDING_QUEUE_MS {
            assert_eq!(admission.wait(0, Time::NEVER, at(came_ms)), None);
            came_ms += 400;
            admission.shed(at(came_ms));
            assert_eq!(admission.view(at(came_ms)).waiting, 1);
        }
        assert_eq!(admission.wait(7, Time::NEVER, at(came_ms)), None);
        // The one before came while this was a burst still.
        assert_eq!(admission.shed(at(came_ms + 100)), [0, 7]);
        assert_eq!(admission.wait(8, Time::NEVER, at(came_ms + 600)), None);
        assert_eq!(admission.due(), at(came_ms + 1_100), "a burst after an empty queue");
    }

    #[test]
    fn nobody_waits_longer_than_its_own_client_does() {
        let mut admission = admission();
        assert!(admission.enter() && admission.enter());
        assert_eq!(admission.wait(1, at(5_000), at(0)), None);
        assert_eq!(admission.wait(2, at(160), at(0)), None);
        assert_eq!(admission.wait(3, at(320), at(0)), None);
        assert_eq!(admission.due(), at(160));
        assert_eq!(admission.shed(at(159)), []);
        assert_eq!(admission.shed(at(160)), [2]);
        assert_eq!(admission.due(), at(320));
        assert_eq!(admission.shed(at(500)), [1, 3]);
    }

    #[test]
    fn too_many_that_wait_cost_the_oldest_its_place() {
        let mut admission = admission();
        assert!(admission.enter() && admission.enter());
        for request in 0..WAITING_MAX as u32 {
            assert_eq!(admission.wait(request, Time::NEVER, at(0)), None);
        }
        assert_eq!(admission.wait(u32::MAX, Time::NEVER, at(0)), Some(0));
        assert_eq!(admission.view(at(0)).waiting, WAITING_MAX);
    }

    #[test]
    fn a_command_of_another_node_never_waits() {
        let mut admission = admission();
        assert!(admission.enter() && admission.enter() && !admission.enter());
        let most = BOUND.running_max * FORWARDED_PER_RUNNING;
        for _ in 0..most {
            assert!(admission.enter_forwarded());
        }
        assert!(!admission.enter_forwarded(), "it is refused, and tried elsewhere");
        admission.leave_forwarded();
        assert!(admission.enter_forwarded());
    }

    #[test]
    fn a_node_is_pressed_while_clients_wait_and_a_moment_longer() {
        let mut admission = admission();
        assert!(admission.enter() && admission.enter());
        assert!(!admission.is_pressed(at(0)), "busy, but nobody waits");
        assert_eq!(admission.wait(1, Time::NEVER, at(0)), None);
        admission.leave();
        assert_eq!(admission.next(at(10)), Some(1));
        assert!(admission.is_pressed(at(500)));
        assert!(!admission.is_pressed(at(10 + PRESSED_MS)));
    }
}

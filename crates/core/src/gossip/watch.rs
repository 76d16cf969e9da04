//! One member as this node watches it; one that was suspected lately must be heard steadily for a while to come back.
//!
//! ```text
//!            silence and failed probes              a second source, or nobody to ask
//!   alive ──────────────────────────────▶ suspect ───────────────────────────────────▶ dead
//!     ▲                                     │  ▲                                         │
//!     └──── heard again, and steadily ──────┘  └──── heard of in a new incarnation ──────┘
//! ```

use crate::gossip::member::Witnesses;
use crate::gossip::phi::Phi;
use crate::id::NodeId;
use crate::liveness::Liveness;
use crate::time::Time;

/// Evidence at which a member is suspected: one in 10⁸ that it is alive.
const SUSPECT_EVIDENCE: f64 = 8.0;
/// φ at which a member is late enough to be probed.
const PROBE_PHI: f64 = 3.0;
/// φ at which a member is late enough for the others' word that it is dead to be believed.
const LATE_PHI: f64 = 1.0;
/// What a failed probe adds: with a fifth of all messages lost, one in 2.8 fails.
const PROBE_EVIDENCE: f64 = 0.44;
/// Own probes that must have failed since a member was heard before it can be dead.
pub const FAILED_PROBES_MIN: u32 = 3;
/// The same of a member that this node has not heard of since it started: there are no intervals to go by.
const FIRST_PROBES_MIN: u32 = 8;
/// Probes in a row without an answer after which a member can't be asked for anything, whatever others hear of it.
const UNREACHED_PROBES: u32 = 4;
/// A member that spoke to this node less than so long ago is not believed dead.
const DIRECT_MS_MIN: u64 = 2_000;
/// How many suspicion times a member must be silent if there is nobody else to ask (RULINGS 26).
const ALONE_SUSPICIONS: u64 = 3;
/// The suspicion time of a member that was never heard.
const FIRST_SUSPICION_MS: u64 = 5_000;
/// How long the second suspicion in a row makes a member wait; doubled with each further one.
const HOLD_MS_MIN: u64 = 4_000;
const HOLD_MS_MAX: u64 = 16_000;
/// More suspicions in a row than this make no difference.
const FLAPS_MAX: u32 = 4;
/// One suspicion is forgotten in this time.
const FLAP_MS: u64 = 30_000;

/// Why a belief changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// This node has just started and has not heard of it.
    Unheard,
    /// It was heard for the first time.
    Heard,
    /// It is heard again.
    HeardAgain,
    /// It has started anew, or says that it is not dead.
    Returned,
    /// Nothing was heard for so many milliseconds, and so many probes failed.
    Silent {
        /// Since it was last heard.
        silence_ms: u64,
        /// In a row.
        failed_probes: u32,
    },
    /// Two members failed to reach it.
    Witnessed(Witnesses),
    /// There is nobody else to ask, and it is silent for three suspicion times.
    Alone {
        /// Since it was last heard.
        silence_ms: u64,
    },
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Watch {
    phi: Phi,
    liveness: Liveness,
    reason: Reason,
    was_heard: bool,
    /// Called dead by this node alone: no other incarnation is needed to come back.
    is_dead_alone: bool,
    /// In this suspicion.
    has_reconnected: bool,
    /// When news of it came last, by any way.
    heard_at: Time,
    /// When its heartbeat was last seen to rise.
    rose_at: Time,
    /// When something came from itself.
    direct_at: Time,
    /// When it was suspected, and after how long a silence.
    suspected_at: Time,
    suspicion_ms: u64,
    /// Since it was last heard.
    failed_probes: u32,
    failed_at: Time,
    /// Since something came from itself.
    unreached_probes: u32,
    /// Another member's own probe failed, or succeeded.
    witness: Option<(NodeId, Time)>,
    cleared_at: Option<Time>,
    /// Suspicions not forgotten yet, and since when the member has done nothing to be remembered.
    flaps: u32,
    flapped_at: Time,
    /// Heard without a long silence since.
    steady_since: Option<Time>,
}

impl Watch {
    /// Of a member of which nothing was heard yet.
    #[must_use]
    pub fn new(phi: Phi, now: Time) -> Self {
        Self {
            phi,
            liveness: Liveness::Suspect,
            reason: Reason::Unheard,
            was_heard: false,
            is_dead_alone: false,
            has_reconnected: false,
            heard_at: now,
            rose_at: now,
            direct_at: now,
            suspected_at: now,
            suspicion_ms: FIRST_SUSPICION_MS,
            failed_probes: 0,
            failed_at: now,
            unreached_probes: 0,
            witness: None,
            cleared_at: None,
            flaps: 0,
            flapped_at: now,
            steady_since: None,
        }
    }

    /// What is believed.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        self.liveness
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// When something came from itself.
    #[must_use]
    pub fn direct_at(&self) -> Time {
        self.direct_at
    }

    /// False if it answers none of this node's probes.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.unreached_probes < UNREACHED_PROBES
    }

    /// True if it should be probed in this period.
    #[must_use]
    pub fn wants_probe(&self, now: Time) -> bool {
        self.liveness == Liveness::Suspect || self.unreached_probes > 0 || self.phi_at(now) >= PROBE_PHI
    }

    /// This node stood still for so long: nobody's silence in that time counts.
    pub fn forgive(&mut self, gap_ms: u64, now: Time) {
        for time in [
            &mut self.heard_at,
            &mut self.rose_at,
            &mut self.direct_at,
            &mut self.suspected_at,
            &mut self.failed_at,
        ] {
            *time = time.plus_ms(gap_ms).min(now);
        }
        self.failed_probes = 0;
        self.witness = None;
    }

    /// Something came from it directly. That keeps it alive; what was late on its way must not bring it back.
    pub fn on_direct(&mut self, now: Time) {
        self.direct_at = now;
        self.unreached_probes = 0;
        if self.liveness == Liveness::Alive {
            self.heard_at = now;
            self.failed_probes = 0;
        }
    }

    /// Its heartbeat has risen.
    pub fn on_rose(&mut self, now: Time) {
        if self.was_heard {
            self.phi.observe(self.rose_at.ms_until(now));
        }
        if self.liveness == Liveness::Dead && self.is_dead_alone {
            self.turn(Liveness::Suspect, Reason::HeardAgain, now);
        }
        self.note_heard(now, Reason::HeardAgain);
    }

    /// It is heard of in another incarnation.
    pub fn on_returned(&mut self, now: Time) {
        if self.liveness == Liveness::Dead {
            self.turn(Liveness::Suspect, Reason::Returned, now);
        }
        self.note_heard(now, Reason::Returned);
    }

    /// It has answered a probe of this node.
    pub fn on_answered(&mut self, now: Time) {
        if self.liveness == Liveness::Dead && self.is_dead_alone {
            self.turn(Liveness::Suspect, Reason::HeardAgain, now);
        }
        let rose_at = self.rose_at;
        self.note_heard(now, Reason::HeardAgain);
        // Its heartbeat may have stood still: that is another matter.
        self.rose_at = rose_at;
    }

    /// A probe was not answered in time.
    pub fn on_probe_failed(&mut self, now: Time) {
        self.failed_probes = self.failed_probes.saturating_add(1);
        self.failed_at = now;
        self.unreached_probes = self.unreached_probes.saturating_add(1);
    }

    /// Another member says whether it could reach it.
    pub fn on_report(&mut self, witness: NodeId, is_reached: bool, now: Time) {
        if is_reached {
            self.cleared_at = Some(now);
            self.witness = None;
        } else {
            self.witness = Some((witness, now));
        }
    }

    /// It was called dead, by somebody who had last heard of it no earlier than this node, or who had not: then it is
    /// believed once it is late here too. Whom this node hears itself is not dead.
    pub fn on_called_dead(&mut self, witnesses: Witnesses, is_latest: bool, now: Time) {
        let is_late = is_latest || self.phi_at(now) >= LATE_PHI || !self.was_heard;
        if is_late && self.liveness != Liveness::Dead && self.direct_at.ms_until(now) >= DIRECT_MS_MIN {
            self.die(now, Reason::Witnessed(witnesses));
        }
    }

    /// True once in a suspicion: its connection should be made anew.
    pub fn take_reconnect(&mut self) -> bool {
        let is_due = self.liveness == Liveness::Suspect && self.failed_probes >= FAILED_PROBES_MIN;
        is_due && !std::mem::replace(&mut self.has_reconnected, true)
    }

    /// A period is over. `patience` is that of [`crate::gossip::health::LocalHealth`].
    pub fn on_period(&mut self, now: Time, patience: f64, called_dead: Option<Witnesses>) {
        if self.flaps > 0 && self.liveness == Liveness::Alive && self.flapped_at.ms_until(now) >= FLAP_MS {
            self.flaps -= 1;
            self.flapped_at = now;
        }
        if self.phi_at(now) >= PROBE_PHI {
            self.steady_since = None;
        }
        if let Some(witnesses) = called_dead {
            self.on_called_dead(witnesses, false, now);
        }
        if self.liveness == Liveness::Dead {
            return;
        }
        if self.liveness == Liveness::Alive {
            self.suspect(now, patience);
        } else {
            self.recover(now, Reason::HeardAgain);
        }
    }

    /// Who may be named beside this node as having failed to reach a suspect: somebody whose own probe failed within
    /// `recent_ms`, if this node's did as well and nobody's succeeded.
    #[must_use]
    pub fn second_source(&self, now: Time, recent_ms: u64) -> Option<NodeId> {
        let is_recent = |at: Time| at.ms_until(now) <= recent_ms;
        let is_cleared = self.cleared_at.is_some_and(is_recent);
        let (witness, said_at) = self.witness?;
        (self.has_failed(now, recent_ms) && is_recent(said_at) && !is_cleared).then_some(witness)
    }

    /// True if this node's own probes of a suspect failed for three suspicion times.
    #[must_use]
    pub fn is_lost_alone(&self, now: Time, recent_ms: u64) -> bool {
        let silent_ms = self.suspected_at.ms_until(now);
        self.has_failed(now, recent_ms) && silent_ms >= ALONE_SUSPICIONS * self.suspicion_ms
    }

    /// Probes that failed since it was heard or suspected.
    #[must_use]
    pub fn failed_probes(&self) -> u32 {
        self.failed_probes
    }

    /// How long nothing was heard of it.
    #[must_use]
    pub fn silence_ms(&self, now: Time) -> u64 {
        self.heard_at.ms_until(now)
    }

    /// It is dead, on the word of two or for want of a second.
    pub fn die(&mut self, now: Time, reason: Reason) {
        self.is_dead_alone = matches!(reason, Reason::Alone { .. });
        self.turn(Liveness::Dead, reason, now);
    }

    fn has_failed(&self, now: Time, recent_ms: u64) -> bool {
        self.liveness == Liveness::Suspect
            && self.steady_since.is_none()
            && (self.was_heard || self.phi_at(now) >= SUSPECT_EVIDENCE)
            && self.failed_probes
                >= if self.was_heard {
                    FAILED_PROBES_MIN
                } else {
                    FIRST_PROBES_MIN
                }
            && self.failed_at.ms_until(now) <= recent_ms
    }

    fn phi_at(&self, now: Time) -> f64 {
        self.phi.after(self.heard_at.ms_until(now))
    }

    fn suspect(&mut self, now: Time, patience: f64) {
        let evidence = self.phi_at(now) + PROBE_EVIDENCE * f64::from(self.failed_probes);
        if evidence < SUSPECT_EVIDENCE * patience {
            return;
        }
        let reason = Reason::Silent {
            silence_ms: self.silence_ms(now),
            failed_probes: self.failed_probes,
        };
        self.suspicion_ms = self.silence_ms(now);
        self.flaps = (self.flaps + 1).min(FLAPS_MAX);
        self.flapped_at = now;
        self.turn(Liveness::Suspect, reason, now);
    }

    fn note_heard(&mut self, now: Time, reason: Reason) {
        self.heard_at = now;
        self.rose_at = now;
        self.failed_probes = 0;
        self.witness = None;
        if self.liveness == Liveness::Suspect {
            self.steady_since.get_or_insert(now);
            self.recover(now, reason);
        }
    }

    fn recover(&mut self, now: Time, reason: Reason) {
        let hold_ms = match self.flaps {
            0 | 1 => 0,
            flaps => (HOLD_MS_MIN << (flaps - 2)).min(HOLD_MS_MAX),
        };
        if self.steady_since.is_some_and(|since| since.ms_until(now) >= hold_ms) {
            let was_heard = std::mem::replace(&mut self.was_heard, true);
            self.flapped_at = now;
            self.turn(Liveness::Alive, if was_heard { reason } else { Reason::Heard }, now);
        }
    }

    fn turn(&mut self, liveness: Liveness, reason: Reason, now: Time) {
        self.liveness = liveness;
        self.reason = reason;
        self.suspected_at = now;
        self.witness = None;
        self.steady_since = None;
        self.has_reconnected = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heard every second for so long; the time after.
    fn hear(watch: &mut Watch, mut now: Time, seconds: u64) -> Time {
        for _ in 0..seconds {
            now = now.plus_ms(1_000);
            watch.on_rose(now);
            watch.on_period(now, 1.0, None);
        }
        now
    }

    /// Not heard for so long.
    fn miss(watch: &mut Watch, mut now: Time, seconds: u64) -> Time {
        for _ in 0..seconds {
            now = now.plus_ms(1_000);
            watch.on_period(now, 1.0, None);
        }
        now
    }

    fn watched() -> (Watch, Time) {
        let mut watch = Watch::new(Phi::expecting(1_000.0, 500.0), Time(0));
        let now = hear(&mut watch, Time(0), 60);
        assert_eq!((watch.liveness(), watch.reason()), (Liveness::Alive, Reason::Heard));
        (watch, now)
    }

    #[test]
    fn the_first_suspicion_ends_with_the_first_word_and_each_further_one_takes_longer() {
        let (mut watch, mut now) = watched();
        for steady_s in [1, 5, 9, 17, 17] {
            now = miss(&mut watch, now, 60);
            assert_eq!(watch.liveness(), Liveness::Suspect);
            for second in 1..=steady_s {
                assert_eq!(watch.liveness(), Liveness::Suspect, "{second} of {steady_s}");
                now = hear(&mut watch, now, 1);
            }
            assert_eq!(watch.liveness(), Liveness::Alive, "after {steady_s} s");
        }
        now = hear(&mut watch, now, 5 * FLAP_MS / 1_000);
        now = miss(&mut watch, now, 60);
        hear(&mut watch, now, 1);
        assert_eq!(watch.liveness(), Liveness::Alive, "old suspicions are forgotten");
    }

    #[test]
    fn failed_probes_bring_suspicion_nearer_and_impatience_with_oneself_moves_it_away() {
        let silence_s = |probes: bool, patience: f64| {
            let (mut watch, mut now) = watched();
            for second in 1..100 {
                now = now.plus_ms(1_000);
                if probes {
                    watch.on_probe_failed(now);
                }
                watch.on_period(now, patience, None);
                if watch.liveness() == Liveness::Suspect {
                    return second;
                }
            }
            100
        };
        assert!(silence_s(true, 1.0) < silence_s(false, 1.0));
        assert!(silence_s(false, 5.0) > 3 * silence_s(false, 1.0));
    }

    #[test]
    fn a_member_that_answers_no_probe_is_unreachable_even_if_others_hear_it() {
        let (mut watch, mut now) = watched();
        for _ in 0..UNREACHED_PROBES {
            assert!(watch.is_reachable());
            watch.on_probe_failed(now);
            now = hear(&mut watch, now, 1);
        }
        assert!(!watch.is_reachable());
        assert_eq!(watch.liveness(), Liveness::Alive);
        watch.on_direct(now);
        assert!(watch.is_reachable());
    }

    #[test]
    fn a_death_by_nobodys_word_but_ones_own_ends_when_the_member_is_heard() {
        let (mut watch, now) = watched();
        let now = miss(&mut watch, now, 30);
        watch.die(now, Reason::Alone { silence_ms: 30_000 });
        let mut called_dead = watch.clone();
        hear(&mut watch, now, 1);
        assert_eq!(watch.liveness(), Liveness::Alive);
        let witnesses = Witnesses {
            first: NodeId(1),
            second: NodeId(2),
        };
        called_dead.die(now, Reason::Witnessed(witnesses));
        hear(&mut called_dead, now, 10);
        assert_eq!(
            called_dead.liveness(),
            Liveness::Dead,
            "another incarnation ends that, nothing else"
        );
        called_dead.on_returned(now.plus_ms(11_000));
        assert_eq!(called_dead.reason(), Reason::Returned);
        assert_eq!(called_dead.liveness(), Liveness::Alive);
    }
}

//! One node's gossip, told by hand what the others say.

use crate::gossip::member::{Incarnation, Load, MemberState, Witnesses};
use crate::gossip::talk::Talk;
use crate::gossip::watch::Reason;
use crate::gossip::{Gossip, Output, PERIOD_MS};
use crate::id::NodeId;
use crate::liveness::Liveness;
use crate::time::Time;

const OWN: NodeId = NodeId(1);
const HELPER: NodeId = NodeId(2);
const SUSPECT: NodeId = NodeId(3);

/// Node 1 of three, with what it said and changed since last asked.
struct Play {
    gossip: Gossip,
    now: Time,
    heartbeat: u64,
    said: Vec<(NodeId, Talk)>,
    changes: Vec<(NodeId, Liveness, Reason)>,
}

impl Play {
    /// Both others have been heard every second for a minute.
    fn settled() -> Self {
        let members = [OWN, HELPER, SUSPECT].into_iter();
        let mut play = Self {
            gossip: Gossip::new(OWN, 1, members, 7, Time(0)),
            now: Time(1_000),
            heartbeat: 0,
            said: Vec::new(),
            changes: Vec::new(),
        };
        for node in [HELPER, SUSPECT] {
            play.gossip.on_connection(node, true, play.now);
        }
        for _ in 0..60 {
            play.period(&[HELPER, SUSPECT]);
        }
        assert_eq!(play.gossip.liveness(SUSPECT), Liveness::Alive);
        play.said.clear();
        play.changes.clear();
        play
    }

    /// A second passes in which these are heard.
    fn period(&mut self, heard: &[NodeId]) {
        self.now = self.now.plus_ms(PERIOD_MS);
        self.heartbeat += 1;
        self.gossip.enter(self.now);
        for &node in heard {
            let own = state(node, 1, self.heartbeat, None);
            self.tell(
                node,
                Talk::Delta {
                    states: vec![own],
                    wanted: Vec::new(),
                },
            );
        }
        self.gossip.on_tick(Load::default(), self.now);
        self.drain();
    }

    fn tell(&mut self, from: NodeId, talk: Talk) {
        self.gossip.enter(self.now);
        self.gossip.on_direct(from, self.now);
        self.gossip.on_talk(from, talk, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.gossip.take() {
            match output {
                Output::Send { to, talk } => self.said.extend(to.into_iter().map(|node| (node, talk.clone()))),
                Output::Liveness { node, to, reason, .. } => self.changes.push((node, to, reason)),
                Output::Reachable { .. } | Output::Reconnect { .. } => {}
            }
        }
    }

    /// Lets the helper alone be heard until the third is suspected.
    fn until_suspected(&mut self) {
        for _ in 0..10 {
            if self.gossip.liveness(SUSPECT) == Liveness::Suspect {
                return;
            }
            self.period(&[HELPER]);
        }
        panic!("nothing was heard of it for ten seconds and it is not suspected");
    }

    /// The number of the last question to the helper about the suspect.
    fn question(&self) -> u64 {
        let asked = self.said.iter().rev().find_map(|(to, talk)| match talk {
            Talk::ProbeFor { node, nonce } if *node == SUSPECT && *to == HELPER => Some(*nonce),
            _ => None,
        });
        asked.expect("the helper was asked about the suspect")
    }

    fn report(&mut self, from: NodeId, nonce: u64, is_reached: bool) {
        let node = SUSPECT;
        self.tell(
            from,
            Talk::ProbeReport {
                node,
                nonce,
                is_reached,
            },
        );
    }
}

fn state(node: NodeId, boot: u64, heartbeat: u64, death: Option<Witnesses>) -> MemberState {
    MemberState {
        incarnation: Incarnation { boot, refutation: 0 },
        heartbeat,
        death,
        ..MemberState::unknown(node)
    }
}

#[test]
fn a_silent_member_is_suspect_by_one_and_dead_by_two() {
    let mut play = Play::settled();
    play.until_suspected();
    for _ in 0..30 {
        play.period(&[HELPER]);
    }
    assert_eq!(
        play.gossip.liveness(SUSPECT),
        Liveness::Suspect,
        "the helper says nothing, however long it takes"
    );
    let question = play.question();
    play.report(HELPER, question, false);
    play.period(&[HELPER]);
    let witnesses = Witnesses {
        first: OWN,
        second: HELPER,
    };
    assert_eq!(
        play.changes.last(),
        Some(&(SUSPECT, Liveness::Dead, Reason::Witnessed(witnesses)))
    );
    assert_eq!(
        play.gossip.state(SUSPECT).and_then(|state| state.death),
        Some(witnesses)
    );
}

#[test]
fn a_second_source_that_is_old_or_the_suspect_or_contradicted_counts_for_nothing() {
    let mut play = Play::settled();
    play.until_suspected();
    play.period(&[HELPER]);
    play.period(&[HELPER]);
    let question = play.question();
    play.report(HELPER, question.wrapping_sub(10), false);
    play.report(SUSPECT, question, false);
    play.period(&[HELPER]);
    assert_eq!(play.gossip.liveness(SUSPECT), Liveness::Suspect);
    let question = play.question();
    play.report(HELPER, question, false);
    play.report(HELPER, question, true);
    play.report(HELPER, question, false);
    for _ in 0..6 {
        play.period(&[HELPER]);
    }
    assert_eq!(
        play.gossip.liveness(SUSPECT),
        Liveness::Suspect,
        "it was reached after all, and what was said beside that grows old"
    );
}

#[test]
fn a_suspect_that_answers_a_probe_is_alive_and_late_messages_do_not_bring_it_back() {
    let mut play = Play::settled();
    play.until_suspected();
    play.gossip.on_direct(SUSPECT, play.now);
    assert_eq!(play.gossip.liveness(SUSPECT), Liveness::Suspect);
    let stale = state(SUSPECT, 1, 3, None);
    play.tell(SUSPECT, Talk::ProbeReply { nonce: 12, own: stale });
    assert_eq!(play.gossip.liveness(SUSPECT), Liveness::Suspect, "nobody asked that");
    let probe = play.said.iter().rev().find_map(|(to, talk)| match talk {
        Talk::Probe { nonce } if *to == SUSPECT => Some(*nonce),
        _ => None,
    });
    let nonce = probe.expect("a suspect is probed");
    play.tell(SUSPECT, Talk::ProbeReply { nonce, own: stale });
    assert_eq!(play.gossip.liveness(SUSPECT), Liveness::Alive);
}

#[test]
fn a_death_that_others_tell_of_is_believed_unless_the_member_is_heard_here() {
    let witnesses = Witnesses {
        first: HELPER,
        second: NodeId(9),
    };
    for (is_heard, believed) in [(true, Liveness::Alive), (false, Liveness::Dead)] {
        let mut play = Play::settled();
        let heard: &[NodeId] = if is_heard { &[HELPER, SUSPECT] } else { &[HELPER] };
        for _ in 0..3 {
            play.period(heard);
        }
        let death = state(SUSPECT, 1, 60, Some(witnesses));
        play.tell(
            HELPER,
            Talk::Delta {
                states: vec![death],
                wanted: Vec::new(),
            },
        );
        assert_eq!(play.gossip.liveness(SUSPECT), believed, "heard here: {is_heard}");
        // Only it can say that it lives, and it has been told.
        let refuted = MemberState {
            incarnation: Incarnation { boot: 1, refutation: 1 },
            ..state(SUSPECT, 1, 70, None)
        };
        play.tell(
            HELPER,
            Talk::Delta {
                states: vec![refuted],
                wanted: Vec::new(),
            },
        );
        assert_eq!(play.gossip.liveness(SUSPECT), Liveness::Alive);
    }
}

#[test]
fn a_node_that_hears_of_its_death_says_at_once_that_it_lives() {
    let mut play = Play::settled();
    let own = *play.gossip.state(OWN).expect("itself");
    let death = MemberState {
        death: Some(Witnesses {
            first: HELPER,
            second: SUSPECT,
        }),
        ..own
    };
    let members = vec![(OWN, death.version())];
    play.tell(
        HELPER,
        Talk::Digest {
            own: state(HELPER, 1, 99, None),
            members,
        },
    );
    let answer = play.said.last().expect("an answer");
    let Talk::Delta { states, .. } = &answer.1 else {
        panic!("a digest is answered with a delta")
    };
    let said = states.iter().find(|state| state.node == OWN).expect("of itself");
    assert!(said.version() > death.version());
}

#[test]
fn a_helper_answers_by_its_own_evidence_alone() {
    let mut play = Play::settled();
    let ask = |play: &mut Play| {
        play.said.clear();
        play.tell(
            HELPER,
            Talk::ProbeFor {
                node: SUSPECT,
                nonce: 5,
            },
        );
    };
    let report = |is_reached| {
        let (node, nonce) = (SUSPECT, 5);
        let talk = Talk::ProbeReport {
            node,
            nonce,
            is_reached,
        };
        (HELPER, talk)
    };
    ask(&mut play);
    assert_eq!(play.said, [report(true)], "it was heard a moment ago");
    play.period(&[HELPER]);
    play.period(&[HELPER]);
    ask(&mut play);
    assert!(
        matches!(play.said[..], [(SUSPECT, Talk::Probe { .. })]),
        "it must be probed first: {:?}",
        play.said
    );
    play.period(&[HELPER]);
    assert!(play.said.contains(&report(false)), "the probe failed: {:?}", play.said);
}

#[test]
fn strangers_are_neither_heard_nor_told_of() {
    let mut play = Play::settled();
    let stranger = NodeId(77);
    play.tell(
        stranger,
        Talk::Digest {
            own: state(stranger, 1, 1, None),
            members: Vec::new(),
        },
    );
    assert!(play.said.is_empty());
    assert_eq!(play.gossip.liveness(stranger), Liveness::Dead);
    play.tell(
        HELPER,
        Talk::Delta {
            states: vec![state(stranger, 1, 1, None)],
            wanted: vec![stranger],
        },
    );
    assert!(play.gossip.state(stranger).is_none());
}

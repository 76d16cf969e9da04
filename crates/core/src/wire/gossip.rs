//! Gossip to its prost form and back. Lists are single fields, as in `lists`; numbers of unknown size are LEB128, since
//! digests are most of what idle nodes say:
//!
//! ```text
//! version:  node u32 | boot | refutation × 2 + dead | heartbeat
//! state:    version | operations | store bytes | full + slow × 2, u8 | if dead: first u32 | second u32
//! ```

use bytes::Bytes;

use crate::cursor::{Cursor, Malformed, push_varint};
use crate::gossip::member::{Incarnation, Load, MemberState, Version, Witnesses};
use crate::gossip::talk::Talk;
use crate::id::NodeId;
use crate::wire::{WireError, v1};

const DIGEST: u32 = 1;
const DELTA: u32 = 2;
const PROBE: u32 = 3;
const PROBE_REPLY: u32 = 4;
const PROBE_FOR: u32 = 5;
const PROBE_REPORT: u32 = 6;

const FULL: u8 = 1;
const SLOW: u8 = 2;

/// The prost form.
pub(super) fn pack(talk: &Talk) -> v1::Gossip {
    let mut packed = v1::Gossip::default();
    match talk {
        Talk::Digest { own, members } => {
            packed.talk_code = DIGEST;
            packed.state_list = push_states(std::slice::from_ref(own));
            packed.version_list = push_versions(members);
        }
        Talk::Delta { states, wanted } => {
            packed.talk_code = DELTA;
            packed.state_list = push_states(states);
            packed.node_list = wanted.iter().flat_map(|node| node.0.to_le_bytes()).collect();
        }
        Talk::Probe { nonce } => {
            packed.talk_code = PROBE;
            packed.nonce = *nonce;
        }
        Talk::ProbeReply { nonce, own } => {
            packed.talk_code = PROBE_REPLY;
            packed.nonce = *nonce;
            packed.state_list = push_states(std::slice::from_ref(own));
        }
        Talk::ProbeFor { node, nonce } => {
            packed.talk_code = PROBE_FOR;
            packed.nonce = *nonce;
            packed.node = node.0;
        }
        Talk::ProbeReport {
            node,
            nonce,
            is_reached,
        } => {
            packed.talk_code = PROBE_REPORT;
            packed.nonce = *nonce;
            packed.node = node.0;
            packed.is_reached = *is_reached;
        }
    }
    packed
}

/// Reads the prost form.
pub(super) fn unpack(packed: &v1::Gossip) -> Result<Talk, WireError> {
    let nonce = packed.nonce;
    let node = NodeId(packed.node);
    Ok(match packed.talk_code {
        DIGEST => Talk::Digest {
            own: one_state(&packed.state_list)?,
            members: versions(&packed.version_list)?,
        },
        DELTA => Talk::Delta {
            states: states(&packed.state_list)?,
            wanted: nodes(&packed.node_list)?,
        },
        PROBE => Talk::Probe { nonce },
        PROBE_REPLY => Talk::ProbeReply {
            nonce,
            own: one_state(&packed.state_list)?,
        },
        PROBE_FOR => Talk::ProbeFor { node, nonce },
        PROBE_REPORT => Talk::ProbeReport {
            node,
            nonce,
            is_reached: packed.is_reached,
        },
        _ => return Err(WireError::UnknownMessage),
    })
}

fn push_versions(members: &[(NodeId, Version)]) -> Bytes {
    let mut out = Vec::with_capacity(members.len() * 12);
    for (node, version) in members {
        push_version(*node, *version, &mut out);
    }
    Bytes::from(out)
}

fn push_version(node: NodeId, version: Version, out: &mut Vec<u8>) {
    out.extend_from_slice(&node.0.to_le_bytes());
    push_varint(out, version.incarnation.boot);
    let refutation = u64::from(version.incarnation.refutation);
    push_varint(out, refutation << 1 | u64::from(version.is_dead));
    push_varint(out, version.heartbeat);
}

fn versions(list: &Bytes) -> Result<Vec<(NodeId, Version)>, Malformed> {
    let mut cursor = Cursor::new(list);
    let mut versions = Vec::new();
    while cursor.left() > 0 {
        versions.push(version(&mut cursor)?);
    }
    Ok(versions)
}

fn version(cursor: &mut Cursor<'_>) -> Result<(NodeId, Version), Malformed> {
    let node = NodeId(cursor.u32()?);
    let boot = cursor.varint()?;
    let refutation = cursor.varint()?;
    let version = Version {
        incarnation: Incarnation {
            boot,
            refutation: u32::try_from(refutation >> 1).map_err(|_| Malformed)?,
        },
        is_dead: refutation & 1 == 1,
        heartbeat: cursor.varint()?,
    };
    Ok((node, version))
}

fn push_states(states: &[MemberState]) -> Bytes {
    let mut out = Vec::with_capacity(states.len() * 20);
    for state in states {
        push_version(state.node, state.version(), &mut out);
        push_varint(&mut out, u64::from(state.load.operations));
        push_varint(&mut out, state.load.store_bytes);
        let full = if state.load.full { FULL } else { 0 };
        let slow = if state.load.slow { SLOW } else { 0 };
        out.push(full | slow);
        if let Some(Witnesses { first, second }) = state.death {
            out.extend_from_slice(&first.0.to_le_bytes());
            out.extend_from_slice(&second.0.to_le_bytes());
        }
    }
    Bytes::from(out)
}

fn states(list: &Bytes) -> Result<Vec<MemberState>, Malformed> {
    let mut cursor = Cursor::new(list);
    let mut states = Vec::new();
    while cursor.left() > 0 {
        states.push(state(&mut cursor)?);
    }
    Ok(states)
}

fn one_state(list: &Bytes) -> Result<MemberState, Malformed> {
    let mut cursor = Cursor::new(list);
    let state = state(&mut cursor)?;
    if cursor.left() > 0 {
        return Err(Malformed);
    }
    Ok(state)
}

fn state(cursor: &mut Cursor<'_>) -> Result<MemberState, Malformed> {
    let (node, version) = version(cursor)?;
    let operations = u32::try_from(cursor.varint()?).map_err(|_| Malformed)?;
    let store_bytes = cursor.varint()?;
    let flags = cursor.u8()?;
    if flags & !(FULL | SLOW) != 0 {
        return Err(Malformed);
    }
    let death = if version.is_dead {
        Some(Witnesses {
            first: NodeId(cursor.u32()?),
            second: NodeId(cursor.u32()?),
        })
    } else {
        None
    };
    Ok(MemberState {
        node,
        incarnation: version.incarnation,
        heartbeat: version.heartbeat,
        load: Load {
            operations,
            store_bytes,
            full: flags & FULL != 0,
            slow: flags & SLOW != 0,
        },
        death,
    })
}

fn nodes(list: &Bytes) -> Result<Vec<NodeId>, Malformed> {
    let mut cursor = Cursor::new(list);
    let mut nodes = Vec::with_capacity(list.len() / 4);
    while cursor.left() > 0 {
        nodes.push(NodeId(cursor.u32()?));
    }
    Ok(nodes)
}

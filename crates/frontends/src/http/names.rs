//! How nodes, actors and dots are named to people (RULINGS 33): `<node name>-<actor, hex>:<counter>`. The actor is its
//! life in 16 hex digits, then its birth: two actors never share a name.

use std::fmt::Write as _;

use torc_core::causality::Dot;
use torc_core::id::{ActorId, NodeId};
use torc_core::ring::Ring;

/// Knows the configured names of nodes.
pub trait NodeNames {
    /// The name of a node; `None` for one that is no member (its id is shown instead).
    fn name_of(&self, node: NodeId) -> Option<&str>;
}

impl NodeNames for Ring {
    fn name_of(&self, node: NodeId) -> Option<&str> {
        self.member(node).map(|member| &*member.name)
    }
}

/// Appends a node's name.
pub(crate) fn push_node(node: NodeId, names: &impl NodeNames, out: &mut String) {
    match names.name_of(node) {
        Some(name) => out.push_str(name),
        None => write!(out, "{node}").expect("a string takes all"),
    }
}

/// A node's name.
pub(crate) fn node(node: NodeId, names: &impl NodeNames) -> String {
    let mut out = String::new();
    push_node(node, names, &mut out);
    out
}

/// An actor's name.
pub(crate) fn actor(actor: ActorId, names: &impl NodeNames) -> String {
    let mut out = String::new();
    push_actor(actor, names, &mut out);
    out
}

/// A dot's name.
pub(crate) fn dot(dot: Dot, names: &impl NodeNames) -> String {
    let mut out = String::new();
    push_dot(dot, names, &mut out);
    out
}

/// Appends a dot's name.
pub(crate) fn push_dot(dot: Dot, names: &impl NodeNames, out: &mut String) {
    push_actor(dot.actor, names, out);
    write!(out, ":{}", dot.counter).expect("a string takes all");
}

fn push_actor(actor: ActorId, names: &impl NodeNames, out: &mut String) {
    push_node(actor.node, names, out);
    write!(out, "-{:016x}{:x}", actor.life.0, actor.birth).expect("a string takes all");
}

//! What a record has seen it goes on having seen (RULINGS 3), with two exceptions. A client's put may prune the context,
//! never of an actor with a sibling, and says so. And what all homes hold may lose the entries of lives that are over, when
//! nothing is left anywhere that they had replaced.

use std::collections::BTreeSet;

use torc_core::causality::{Context, Dot, Payload, Record, SiblingsRecord};
use torc_core::id::ActorId;
use torc_core::node::Node;

use crate::checkers::Violation;
use crate::history::{History, KeyId, covers, short};
use crate::world::World;
use crate::world::disk::Changed;

/// How a record came to forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forgot {
    /// It did not.
    Nothing,
    /// Some entries, in a put.
    Pruned,
    /// Entries of lives that are over.
    Folded,
}

/// Judges one change in a store.
pub fn check(history: &History, host: usize, changed: &Changed, world: &World) -> Result<Forgot, Violation> {
    let Record::Siblings(after) = &*changed.after else {
        return Ok(Forgot::Nothing);
    };
    if let Some((dot, _)) = after.siblings.iter().find(|sibling| !covers(&after.seen, sibling.0)) {
        let words = format!(
            "host {host} holds {} of {:?} and has not seen it",
            short(*dot),
            changed.key
        );
        return Violation::new("forgetting", words);
    }
    let (Some(key), Some(Record::Siblings(before))) = (history.key_of(&changed.key), changed.before.as_deref()) else {
        return Ok(Forgot::Nothing);
    };
    let gone: BTreeSet<ActorId> = actors(&before.seen)
        .filter(|actor| actors(&after.seen).all(|kept| kept != *actor))
        .collect();
    if let Some(dot) = tops(&before.seen).find(|dot| !gone.contains(&dot.actor) && !covers(&after.seen, *dot)) {
        let words = format!("host {host} has forgotten {} of {:?}", short(dot), changed.key);
        return Violation::new("forgetting", words);
    }
    if gone.is_empty() {
        return Ok(Forgot::Nothing);
    }
    let is_put = after.siblings.iter().any(|sibling| !covers(&before.seen, sibling.0));
    if is_put {
        check_pruned(history, key, host, &gone)?;
        return Ok(Forgot::Pruned);
    }
    check_folded(history, key, host, (before, after), &gone, world)?;
    Ok(Forgot::Folded)
}

fn check_pruned(history: &History, key: KeyId, host: usize, gone: &BTreeSet<ActorId>) -> Result<(), Violation> {
    let key = &history.keys[key];
    let silent = gone.iter().find(|actor| !key.pruned.contains(&(host, **actor)));
    let Some(actor) = silent else { return Ok(()) };
    let words = format!(
        "host {host} has forgotten {actor:?} of {:?} in a put and told nobody",
        key.name
    );
    Violation::new("forgetting", words)
}

fn check_folded(
    history: &History,
    key: KeyId,
    host: usize,
    (before, after): (&SiblingsRecord, &SiblingsRecord),
    gone: &BTreeSet<ActorId>,
    world: &World,
) -> Result<(), Violation> {
    let key = &history.keys[key];
    let has_grown = tops(&after.seen).any(|dot| !covers(&before.seen, dot));
    if before.siblings != after.siblings || has_grown {
        let words = format!("host {host} has forgotten {gone:?} of {:?} in a merge", key.name);
        return Violation::new("forgetting", words);
    }
    for actor in gone {
        let node = world.hosts[world.index_of(actor.node)].node.as_ref();
        if node.map(Node::life) == Some(actor.life) {
            let words = format!("host {host} has forgotten {actor:?} of {:?}, who lives", key.name);
            return Violation::new("forgetting", words);
        }
    }
    // A disk that lied, or was lost, may hold anything that its host has not found out about yet.
    if key.lost_at_us.is_some() || key.is_pruned() {
        return Ok(());
    }
    let revives = |record: &Record| match record {
        Record::Siblings(old) => old
            .siblings
            .iter()
            .any(|(dot, version)| gone.contains(&dot.actor) && matches!(version.payload, Payload::Value(_))),
        Record::Lww(_) => false,
    };
    let readable = |home: &&usize| !world.hosts[**home].disk.is_damaged(&key.name);
    for &home in key.homes.iter().filter(readable) {
        if let Some(held) = world.current(home, &key.name).filter(|held| revives(held)) {
            let words = format!(
                "host {host} has forgotten {gone:?} of {:?}, of which home {home} still holds {held:?}",
                key.name
            );
            return Violation::new("forgetting", words);
        }
    }
    for &keeper in &key.stand_ins {
        if let Some(kept) = world.kept(keeper, &key.name).find(|kept| revives(kept)) {
            let words = format!(
                "host {host} has forgotten {gone:?} of {:?}, of which host {keeper} still keeps {kept:?} for a home",
                key.name
            );
            return Violation::new("forgetting", words);
        }
    }
    Ok(())
}

fn actors(seen: &Context) -> impl Iterator<Item = ActorId> + '_ {
    tops(seen).map(|dot| dot.actor)
}

/// Dots that stand for all that was seen.
fn tops(seen: &Context) -> impl Iterator<Item = Dot> + '_ {
    let vector = seen.vector().iter().map(|&(actor, counter)| Dot { actor, counter });
    vector.chain(seen.dots().iter().copied())
}

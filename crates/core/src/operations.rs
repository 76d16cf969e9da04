//! The operations that this node coordinates, by id. An id names a slot and a generation that starts at a random number
//! at every boot, so that a late answer to an earlier boot's operation finds nobody (delays can outlast a reboot).

use crate::coordinator::Operation;
use crate::id::OpId;
use crate::mutants::{Mutant, active};
use crate::random::Random;

const SLOT_BITS: u32 = 20;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;

/// A slab of operations.
#[derive(Debug)]
pub struct Operations {
    slots: Vec<(u64, Option<Operation>)>,
    free: Vec<u32>,
    generation: u64,
}

impl Operations {
    /// No operations; ids start at a random generation.
    #[must_use]
    pub fn new(random: &mut Random) -> Self {
        let start = random.next_u64() >> SLOT_BITS;
        let generation = if active(Mutant::OperationIdsRestart) { 0 } else { start };
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            generation,
        }
    }

    /// Reserves an id; `None` if there are too many operations.
    pub fn reserve(&mut self, operations_max: usize) -> Option<OpId> {
        if self.len() >= operations_max {
            return None;
        }
        self.generation = (self.generation + 1) & (u64::MAX >> SLOT_BITS);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize].0 = self.generation;
        Some(OpId((self.generation << SLOT_BITS) | u64::from(slot)))
    }

    /// Puts an operation under its reserved id.
    pub fn insert(&mut self, id: OpId, operation: Operation) {
        self.slots[(id.0 & SLOT_MASK) as usize].1 = Some(operation);
    }

    /// The operation of this id, if it is still there.
    pub fn find(&mut self, id: OpId) -> Option<&mut Operation> {
        let slot = self.slots.get_mut((id.0 & SLOT_MASK) as usize)?;
        if slot.0 != id.0 >> SLOT_BITS {
            return None;
        }
        slot.1.as_mut()
    }

    /// Forgets an operation and frees its id.
    pub fn remove(&mut self, id: OpId) {
        let index = (id.0 & SLOT_MASK) as usize;
        if let Some(slot) = self.slots.get_mut(index)
            && slot.0 == id.0 >> SLOT_BITS
        {
            slot.0 = u64::MAX;
            slot.1 = None;
            self.free.push(index as u32);
        }
    }

    /// Ids of all operations, for events that concern every one.
    #[must_use]
    pub fn ids(&self) -> Vec<OpId> {
        let live = self.slots.iter().enumerate().filter(|(_, slot)| slot.1.is_some());
        live.map(|(index, slot)| OpId((slot.0 << SLOT_BITS) | index as u64))
            .collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

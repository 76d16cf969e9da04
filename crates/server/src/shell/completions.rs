//! Store effects that were answered on the store's threads, on their way to the node's thread.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use torc_core::id::Token;
use torc_core::storage::{StoreHealth, StoreReply};

use super::Shell;
use super::handover::Handover;

/// The queue between the store's threads and the node's.
#[derive(Debug, Default)]
pub struct Completions {
    replies: Handover<(Token, StoreReply)>,
    health: Mutex<Option<StoreHealth>>,
}

impl torc_store::Completions for Completions {
    fn stored(&self, batch: &mut Vec<(Token, StoreReply)>) {
        self.replies.leave(batch);
    }

    fn health(&self, health: StoreHealth) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Some(health);
        self.replies.wake();
    }
}

impl Completions {
    /// Hands what arrives to the engine, for ever.
    pub async fn deliver(self: Arc<Self>, shell: Rc<Shell>) {
        let mut replies = Vec::new();
        loop {
            self.replies.take(&mut replies).await;
            let health = self.health.lock().unwrap_or_else(PoisonError::into_inner).take();
            let mut engine = shell.engine.borrow_mut();
            engine.begin_turn();
            if let Some(health) = health {
                engine.store_health(health);
            }
            for (token, reply) in replies.drain(..) {
                engine.stored(token, reply);
            }
        }
    }
}

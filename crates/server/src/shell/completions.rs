//! Store effects that were answered on the store's threads, on their way to the node's thread.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use torc_core::id::Token;
use torc_core::storage::{StoreHealth, StoreReply};

use super::Shell;

#[derive(Debug, Default)]
struct Arrived {
    replies: Vec<(Token, StoreReply)>,
    health: Option<StoreHealth>,
}

/// The queue between the store's threads and the node's.
#[derive(Debug, Default)]
pub struct Completions {
    arrived: Mutex<Arrived>,
    wake: Notify,
}

impl torc_store::Completions for Completions {
    fn stored(&self, batch: &mut Vec<(Token, StoreReply)>) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        if arrived.replies.is_empty() {
            std::mem::swap(&mut arrived.replies, batch);
        } else {
            arrived.replies.append(batch);
        }
        drop(arrived);
        self.wake.notify_one();
    }

    fn health(&self, health: StoreHealth) {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).health = Some(health);
        self.wake.notify_one();
    }
}

impl Completions {
    /// Hands what arrives to the engine, for ever.
    pub async fn deliver(self: Arc<Self>, shell: Rc<Shell>) {
        let mut replies = Vec::new();
        loop {
            self.wake.notified().await;
            let health = {
                let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut arrived.replies, &mut replies);
                arrived.health.take()
            };
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

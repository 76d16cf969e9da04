//! How a node ends: asked by a signal or by the end of the process that started it, drained, and marked as clean.

use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::Shell;
use super::common::Stage;
use super::shards::Shards;

/// How long requests in flight may take to finish.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// The same once the process that started the node is gone: whoever killed it counts on the nodes to be gone in two seconds.
const ORPHAN_DRAIN_TIME_MAX: Duration = Duration::from_secs(1);
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// What can ask a node to stop.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
    parent: mpsc::UnboundedReceiver<()>,
    /// Without a parent to watch, the channel must stay open.
    _sender: mpsc::UnboundedSender<()>,
}

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn listen(ends_with_parent: bool) -> anyhow::Result<Self> {
        let (sender, parent) = mpsc::unbounded_channel();
        if ends_with_parent {
            let sender = sender.clone();
            let watch = move || {
                // Reads to the end, which comes when the parent is gone, however it ended.
                drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
                // Nobody listens any more if the node is stopping already.
                let _ = sender.send(());
            };
            let thread = std::thread::Builder::new().name("parent".into());
            thread.spawn(watch).context("cannot watch the parent")?;
        }
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            parent,
            _sender: sender,
        })
    }

    /// Waits for the first of them; says which it was, and how long the node may take to end.
    pub async fn asked(mut self) -> (&'static str, Duration) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", DRAIN_TIME_MAX),
            _ = self.interrupt.recv() => ("SIGINT", DRAIN_TIME_MAX),
            _ = self.parent.recv() => ("the process that started it has ended", ORPHAN_DRAIN_TIME_MAX),
        }
    }
}

/// Lets the requests in flight finish and all connections end. Nothing more is read from clients meanwhile, or those that ask on
/// and on would keep the node from ending.
pub async fn drain(shell: &Rc<Shell>, shards: &Shards, time_max: Duration) {
    let clients = &shell.common.clients;
    shell.common.enter(Stage::Draining);
    let started = Instant::now();
    // Those whose client has gone are finished too.
    let is_busy = || clients.open() > 0 || shards.in_flight() > 0 || shell.engine.borrow().requests_in_flight() > 0;
    while is_busy() && started.elapsed() < time_max {
        tokio::time::sleep(DRAIN_POLL).await;
    }
    shell.engine.borrow_mut().links.close();
    while shell.engine.borrow().node().in_flight() > 0 && started.elapsed() < time_max {
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

/// Ends the core and the shards, and closes the store.
pub fn finish(shell: &Rc<Shell>, shards: &Shards) -> ExitCode {
    shell.common.enter(Stage::Over);
    shards.join();
    // Nothing steps the core from here on: this thread runs nothing else.
    match shell.engine.borrow_mut().stop() {
        Ok(Some(_)) => {
            tracing::info!("stopped cleanly");
            ExitCode::SUCCESS
        }
        Ok(None) => {
            tracing::warn!("stopped with work in flight: the next start is like one after a crash");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(%error, "the store did not close cleanly");
            ExitCode::FAILURE
        }
    }
}

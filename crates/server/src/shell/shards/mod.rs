//! The shards of a node: a thread with a runtime of its own for each share of the clients. The first runs the core, peers and
//! background work, and serves clients only if it is alone; the others decode what clients send, hand it to the first, and
//! encode what comes back (`docs/decisions/0012-shards-serve-clients.md`).

mod line;
mod shard;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalRuntime;
use tokio::sync::mpsc;
use torc_core::random::Random;

use super::clients::Admitted;
use super::common::{Common, Stage};
use super::{Shell, http, resp};
use line::{Line, Near};
use shard::Way;

pub use line::Returns;
pub use shard::Shard;

/// What a client speaks.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// The Redis protocol.
    Resp,
}

/// A connection that was let in, on its way to its shard.
struct Arrival {
    stream: std::net::TcpStream,
    address: SocketAddr,
    client: Admitted,
    protocol: Protocol,
}

/// A shard on a thread of its own.
struct Away {
    line: Arc<Line>,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

/// All shards, seen from the first.
pub struct Shards {
    first: Rc<Shard>,
    others: Vec<Away>,
    threads: RefCell<Vec<JoinHandle<()>>>,
}

impl Shards {
    /// Starts the threads of the others.
    ///
    /// # Errors
    /// The system's.
    pub fn start(shell: &Rc<Shell>, mut seeds: Random) -> anyhow::Result<Self> {
        let common = &shell.common;
        let first = Rc::new(Shard::new(
            Arc::clone(common),
            Way::Here(Rc::clone(shell)),
            seeds.next_u64(),
        ));
        look_after(&first);
        let mut threads = Vec::new();
        let mut start = |number: u16| -> anyhow::Result<Away> {
            let line = Arc::<Line>::default();
            let returns = Rc::<Returns>::default();
            tokio::task::spawn_local(Rc::clone(&returns).hand_over(Arc::clone(&line)));
            tokio::task::spawn_local(line::serve(Rc::clone(shell), Arc::clone(&line), returns));
            let (arrivals, arrived) = mpsc::unbounded_channel();
            let (started, has_started) = std::sync::mpsc::channel();
            let work = {
                let (common, line, seed) = (Arc::clone(common), Arc::clone(&line), seeds.next_u64());
                move || match LocalRuntime::new() {
                    Ok(runtime) => {
                        // The first shard waits for this.
                        let _ = started.send(Ok(()));
                        runtime.block_on(run(common, line, arrived, seed));
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            };
            let thread = std::thread::Builder::new().name(format!("torc-shard-{number}"));
            threads.push(thread.spawn(work).context("cannot start the thread of a shard")?);
            has_started.recv()?.context("cannot start the runtime of a shard")?;
            Ok(Away { line, arrivals })
        };
        let others = (1..common.config.shards)
            .map(&mut start)
            .collect::<anyhow::Result<_>>()?;
        let threads = RefCell::new(threads);
        Ok(Self { first, others, threads })
    }

    /// Accepts clients and hands each to its shard, for ever.
    pub async fn accept(self: Rc<Self>, listener: TcpListener, protocol: Protocol) {
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client; open files may be at their limit (ulimit -n)");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(client) = self.first.common.clients.admit() else {
                tokio::task::spawn_local(turn_away(stream, protocol));
                continue;
            };
            if client.shard == 0 {
                serve(&self.first, stream, address, client, protocol);
            } else if let Err(error) = self.hand_over(stream, address, client, protocol) {
                tracing::warn!(%error, %address, "a client's connection could not be handed to its shard");
                self.first.common.clients.remove(client);
            }
        }
    }

    fn hand_over(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        client: Admitted,
        protocol: Protocol,
    ) -> anyhow::Result<()> {
        let arrival = Arrival {
            stream: stream.into_std()?,
            address,
            client,
            protocol,
        };
        let sent = self.others[client.shard - 1].arrivals.send(arrival);
        sent.map_err(|_| anyhow::anyhow!("the shard has ended"))
    }

    /// Commands that other shards have asked and that are not answered yet.
    pub fn in_flight(&self) -> usize {
        self.others.iter().map(|shard| shard.line.in_flight()).sum()
    }

    /// Waits for the threads of the others, which end once the node's stopping is over.
    pub fn join(&self) {
        for thread in self.threads.take() {
            // A panic has ended the process already.
            drop(thread.join());
        }
    }
}

/// What the thread of a shard does.
async fn run(common: Arc<Common>, line: Arc<Line>, mut arrived: mpsc::UnboundedReceiver<Arrival>, seed: u64) {
    let near = Rc::new(Near::new(line, Arc::clone(&common)));
    tokio::task::spawn_local(Rc::clone(&near).hand_over());
    tokio::task::spawn_local(Rc::clone(&near).deliver());
    let shard = Rc::new(Shard::new(Arc::clone(&common), Way::Across(near), seed));
    look_after(&shard);
    loop {
        let arrival = tokio::select! {
            arrival = arrived.recv() => arrival,
            () = common.reached(Stage::Over) => return,
        };
        let Some(arrival) = arrival else { return };
        let Arrival {
            stream,
            address,
            client,
            protocol,
        } = arrival;
        match TcpStream::from_std(stream) {
            Ok(stream) => serve(&shard, stream, address, client, protocol),
            Err(error) => {
                tracing::warn!(%error, %address, "a client's connection could not be taken over");
                common.clients.remove(client);
            }
        }
    }
}

fn look_after(shard: &Rc<Shard>) {
    tokio::task::spawn_local(Rc::clone(shard).close_silent());
    tokio::task::spawn_local(Rc::clone(shard).stop());
}

/// Serves a connection until it ends.
fn serve(shard: &Rc<Shard>, stream: TcpStream, address: SocketAddr, client: Admitted, protocol: Protocol) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let shard = Rc::clone(shard);
    tokio::task::spawn_local(async move {
        match protocol {
            Protocol::Http => http::serve(&shard, stream).await,
            Protocol::Resp => resp::serve(&shard, stream, address, client.id).await,
        }
        shard.common.clients.remove(client);
    });
}

async fn turn_away(stream: TcpStream, protocol: Protocol) {
    match protocol {
        Protocol::Http => http::turn_away(stream).await,
        Protocol::Resp => resp::turn_away(stream).await,
    }
}

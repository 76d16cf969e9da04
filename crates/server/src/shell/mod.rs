//! The shell of a node. Its thread owns the peers' sockets and drives the core, beside the store's own threads; clients are
//! served by the same thread, or by shards with threads of their own. Whoever has a socket decodes whatever has arrived and
//! writes all answers of a turn with one call; the core is stepped for each input.

mod answers;
mod clients;
mod clock;
mod common;
mod completions;
mod engine;
mod exposition;
mod facts;
mod faults;
mod handover;
mod hot_keys;
mod http;
mod links;
mod measures;
mod metrics;
mod notices;
mod peers;
mod resp;
mod shards;
mod stop;
mod waiters;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::LocalRuntime;
use torc_core::bucket::Catalog;
use torc_core::effect::Outbox;
use torc_core::id::NodeId;
use torc_core::node::{Node, NodeConfig};
use torc_core::random::Random;
use torc_core::ring::Ring;
use torc_frontends::http::FaultSet;
use torc_store::{Opened, Store, StoreOptions};

use crate::config::{Config, HTTP_PORT, PEER_PORT, RESP_PORT};
use crate::serve::Rebuild;
use clock::Clock;
use common::Common;
use completions::Completions;
use engine::{Engine, Settings};
use links::Links;
use shards::{Protocol, Shards};

/// How often the store's size is measured for the other nodes.
const STORE_MEASURED_EVERY: Duration = Duration::from_secs(10);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 4_096;

/// Everything that the tasks of the node's thread share.
struct Shell {
    common: Arc<Common>,
    engine: RefCell<Engine>,
    faults: RefCell<FaultSet>,
}

impl Shell {
    /// Tells all threads what clients may ask of any of them.
    fn publish(&self) {
        let engine = self.engine.borrow();
        let requests = engine.node().stats().requests;
        self.common.requests.store(requests, Ordering::Relaxed);
    }

    /// The same of the store, whose size takes a look at the disk.
    fn publish_store(&self) {
        let bytes = self.engine.borrow().store().stats().disk_bytes;
        self.common.disk_bytes.store(bytes, Ordering::Relaxed);
    }
}

/// Runs a node until it is told to stop: by SIGTERM or SIGINT, or by the end of its standard input if it is to end with
/// the process that started it.
///
/// # Errors
/// What keeps it from starting, in one line that says what to do.
pub fn serve(config: Config, ends_with_parent: bool, rebuild: Option<Rebuild>) -> anyhow::Result<ExitCode> {
    let runtime = LocalRuntime::new().context("cannot start the runtime")?;
    runtime.block_on(run(config, ends_with_parent, rebuild))
}

async fn run(config: Config, ends_with_parent: bool, rebuild: Option<Rebuild>) -> anyhow::Result<ExitCode> {
    let stop = stop::Stop::listen(ends_with_parent)?;
    let catalog = config.catalog();
    let ring = config.ring(&catalog);
    let id = NodeId::of_name(&config.name);
    // Addresses first: a port that is taken must not cost a life.
    let peers = bind(&config, PEER_PORT)?;
    let http = bind(&config, HTTP_PORT)?;
    let redis = bind(&config, RESP_PORT)?;
    let completions = Arc::new(Completions::default());
    let Opened { store, boot } = open(&config, &ring, &completions, rebuild)?;
    let clock = Clock::new(config.clock.offset_ms);
    let seed = seed();
    let node_config = NodeConfig {
        id,
        ring: Arc::clone(&ring),
        catalog: Arc::clone(&catalog),
        seed,
    };
    let mut out = Outbox::new();
    let mut node = Node::new(node_config, boot, clock.now(), &mut out);
    node.set_admission(config.admission());
    tracing::info!(
        node = config.name,
        incarnation = node.incarnation(),
        dir = %config.dir.display(),
        "the node starts"
    );
    warn_about_copies(&catalog, &ring);
    let others = ring
        .members()
        .iter()
        .map(|member| member.id)
        .filter(|&other| other != id);
    let links = Links::new(others, config.limits.peer_queue_bytes_max.0 as usize, seed ^ 1);
    let settings = Settings {
        bytes_in_flight_max: config.limits.in_flight_bytes_max.0 as usize,
        slow_ms: config.slow_ms,
    };
    let shell = Rc::new(Shell {
        common: Arc::new(Common::new(config, ring, catalog, clock)),
        engine: RefCell::new(Engine::new(node, store, links, clock, out, settings)),
        faults: RefCell::default(),
    });
    let config = &shell.common.config;
    let shards = Rc::new(Shards::start(&shell, Random::new(seed ^ 2))?);
    tokio::task::spawn_local(completions.deliver(Rc::clone(&shell)));
    tokio::task::spawn_local(keep_time(Rc::clone(&shell)));
    tokio::task::spawn_local(measure_store(Rc::clone(&shell)));
    tokio::task::spawn_local(peers::accept(Rc::clone(&shell), peers));
    for member in config.all_members() {
        let peer = NodeId::of_name(&member.name);
        if peer > id {
            let address = member.address(PEER_PORT);
            tokio::task::spawn_local(peers::dial(Rc::clone(&shell), peer, member.name, address));
        }
    }
    let accepting = [
        tokio::task::spawn_local(Rc::clone(&shards).accept(http, Protocol::Http)),
        tokio::task::spawn_local(Rc::clone(&shards).accept(redis, Protocol::Resp)),
    ];
    tracing::info!(
        http = config.address(HTTP_PORT),
        redis = config.address(RESP_PORT),
        shards = config.shards,
        "the node serves"
    );
    let (reason, time_max) = stop.asked().await;
    tracing::info!(reason, "the node stops");
    for task in accepting {
        task.abort();
    }
    stop::drain(&shell, &shards, time_max).await;
    Ok(stop::finish(&shell, &shards))
}

/// Gives the core its time.
async fn keep_time(shell: Rc<Shell>) {
    loop {
        let (due, rearm) = shell.engine.borrow_mut().arm();
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {}
            () = rearm.notified() => {}
        }
        let mut engine = shell.engine.borrow_mut();
        engine.begin_turn();
        engine.tick();
    }
}

/// Keeps the other nodes told how large this node's store is.
async fn measure_store(shell: Rc<Shell>) {
    loop {
        {
            let mut engine = shell.engine.borrow_mut();
            engine.begin_turn();
            engine.measure_store();
        }
        shell.publish_store();
        tokio::time::sleep(STORE_MEASURED_EVERY).await;
    }
}

fn open(
    config: &Config,
    ring: &Ring,
    completions: &Arc<Completions>,
    rebuild: Option<Rebuild>,
) -> anyhow::Result<Opened> {
    let options = StoreOptions {
        dir: config.dir.clone(),
        cluster: config.cluster.clone(),
        node: config.name.clone(),
        epoch: ring.epoch(),
        ring_description: config.placement(),
        memory_bytes_max: config.memory_max.0,
        sync_interval: Duration::from_millis(config.sync_interval_ms),
        free_space_bytes_min: config.free_space_min.0,
    };
    let open = || Store::open(options.clone(), Arc::<Completions>::clone(completions));
    let why = match (open(), rebuild) {
        (Ok(opened), Some(Rebuild::Always)) if opened.boot.rebuilding.len() <= 1 => {
            drop(opened);
            "as --rebuild=always asks for".to_owned()
        }
        (Ok(opened), asked) => {
            if asked.is_some() {
                tracing::warn!("--rebuild changes nothing: the data can be opened, or are being rebuilt already");
            }
            return Ok(opened);
        }
        (Err(error), Some(_)) if error.is_damage() => error.to_string(),
        (Err(error), _) => return Err(error).with_context(|| format!("cannot open {}", config.dir.display())),
    };
    if ring.members().len() == 1 {
        anyhow::bail!(
            "{why}; but there is no other node to rebuild from: restore {} from a copy",
            config.dir.display()
        );
    }
    let aside = torc_store::set_aside(&config.dir)?;
    tracing::warn!(
        why,
        aside = %aside.display(),
        "the data are set aside; this node's copies are rebuilt from the other nodes"
    );
    open().with_context(|| format!("cannot open {}", config.dir.display()))
}

fn bind(config: &Config, port: u16) -> anyhow::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let text = config.address(port);
    let listen = || -> anyhow::Result<TcpListener> {
        let address: SocketAddr = std::net::ToSocketAddrs::to_socket_addrs(&text)?
            .next()
            .context("the host has no address")?;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A node that was killed must not wait for the connections of its last life.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from_std(socket.into())?)
    };
    listen().with_context(|| format!("cannot listen on {text}; free the port or choose another --base-port"))
}

/// On fewer nodes than copies, the copies are what there is: said, because it surprises.
fn warn_about_copies(catalog: &Catalog, ring: &Ring) {
    for bucket in catalog.iter() {
        let copies = ring.effective_n(bucket.n);
        if copies < bucket.n {
            tracing::warn!(
                bucket = %bucket.name,
                wanted = bucket.n,
                copies,
                "fewer nodes than copies: each record has as many copies as there are nodes"
            );
        }
    }
}

/// A number that no other boot has: it seeds ids, lives and back-offs.
fn seed() -> u64 {
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_or_else(
        |_| {
            u64::from(std::process::id())
                ^ std::time::SystemTime::UNIX_EPOCH
                    .elapsed()
                    .map_or(0, |since| since.as_nanos() as u64)
        },
        |_| u64::from_le_bytes(bytes),
    )
}

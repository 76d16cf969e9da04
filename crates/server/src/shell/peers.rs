//! Connections between nodes: one for each pair, made by the node with the smaller id, kept up for as long as both live.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use torc_core::id::NodeId;
use torc_core::wire::{Frame, FrameDecoder, Hello, VERSION, WireError, encode_hello_frame};

use super::Shell;
use super::links::Outgoing;

const READ_BYTES: usize = 64 << 10;
/// A handshake that takes longer is given up.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// Nodes say something every five seconds; a connection on which this long nothing comes is dead.
const SILENCE_TIME_MAX: Duration = Duration::from_secs(15);
/// The first wait before a lost connection is made again; doubled up to `RETRY_TIME_MAX`.
const RETRY_TIME_MIN: Duration = Duration::from_millis(20);
const RETRY_TIME_MAX: Duration = Duration::from_millis(500);

/// Accepts peers with smaller ids.
pub async fn accept(shell: Rc<Shell>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let shell = Rc::clone(&shell);
                tokio::task::spawn_local(async move {
                    if let Err(error) = welcome(&shell, stream).await {
                        tracing::warn!(%address, error = format!("{error:#}"), "a peer's connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer");
                sleep(RETRY_TIME_MAX).await;
            }
        }
    }
}

/// Keeps up the connection to a peer with a greater id.
pub async fn dial(shell: Rc<Shell>, node: NodeId, name: String, address: String) {
    let mut wait = RETRY_TIME_MIN;
    let mut is_reported = false;
    loop {
        match call(&shell, node, &address).await {
            Ok((stream, buffer)) => {
                wait = RETRY_TIME_MIN;
                is_reported = false;
                let end = run(&shell, node, stream, buffer).await;
                tracing::info!(
                    peer = name,
                    reason = format!("{end:#}"),
                    "the connection to a peer ended"
                );
            }
            Err(error) if !is_reported => {
                is_reported = true;
                tracing::warn!(
                    peer = name,
                    address,
                    error = format!("{error:#}"),
                    "cannot reach a peer; trying on"
                );
            }
            Err(_) => {}
        }
        sleep(wait).await;
        wait = (wait * 2).min(RETRY_TIME_MAX);
    }
}

/// Connects and says hello; the peer has to answer with its own. What came after it is handed back.
async fn call(shell: &Shell, node: NodeId, address: &str) -> anyhow::Result<(TcpStream, BytesMut)> {
    let conversation = async {
        let mut stream = TcpStream::connect(address).await?;
        set_options(&stream)?;
        stream.write_all(&hello(shell)).await?;
        let mut buffer = BytesMut::new();
        let theirs = read_hello(shell, &mut stream, &mut buffer).await?;
        anyhow::ensure!(
            theirs == node,
            "the node there is another one than the configuration says"
        );
        // The peer may have gone on speaking at once.
        Ok((stream, buffer))
    };
    timeout(HANDSHAKE_TIME_MAX, conversation).await?
}

/// Answers a peer that called.
async fn welcome(shell: &Rc<Shell>, mut stream: TcpStream) -> anyhow::Result<()> {
    set_options(&stream)?;
    let mut buffer = BytesMut::new();
    let node = timeout(HANDSHAKE_TIME_MAX, read_hello(shell, &mut stream, &mut buffer)).await??;
    stream.write_all(&hello(shell)).await?;
    Err(run(shell, node, stream, buffer).await)
}

fn hello(shell: &Shell) -> BytesMut {
    let engine = shell.engine.borrow();
    let hello = Hello {
        cluster: shell.common.config.cluster.clone(),
        node: shell.common.id.0,
        name: shell.common.config.name.clone(),
        version: u32::from(VERSION),
        incarnation: engine.node().incarnation(),
    };
    let mut frame = BytesMut::new();
    encode_hello_frame(&hello, &mut frame).expect("names were checked when the configuration was read");
    frame
}

async fn read_hello(shell: &Shell, stream: &mut TcpStream, buffer: &mut BytesMut) -> anyhow::Result<NodeId> {
    let decoder = FrameDecoder::before_hello();
    let hello = loop {
        match decoder.next_frame(buffer)? {
            Some(Frame::Hello(hello)) => break hello,
            Some(Frame::Envelope(_)) => anyhow::bail!("a message came before the handshake"),
            None => {}
        }
        anyhow::ensure!(
            stream.read_buf(buffer).await? > 0,
            "the peer hung up during the handshake"
        );
    };
    let ours = &shell.common.config.cluster;
    anyhow::ensure!(
        hello.cluster == *ours,
        "node '{}' belongs to cluster '{}', this one to '{ours}'",
        hello.name,
        hello.cluster
    );
    let node = NodeId(hello.node);
    anyhow::ensure!(
        node == NodeId::of_name(&hello.name) && node != shell.common.id && shell.common.ring.member(node).is_some(),
        "node '{}' is no other member of this cluster: the member lists of the nodes differ",
        hello.name
    );
    Ok(node)
}

/// Lives as long as the connection; says why it ended.
async fn run(shell: &Rc<Shell>, node: NodeId, stream: TcpStream, buffer: BytesMut) -> anyhow::Error {
    let (reader, writer) = stream.into_split();
    let Some(outgoing) = connect(shell, node) else {
        return anyhow::anyhow!("the node is no member");
    };
    let heard = Cell::new(Instant::now());
    let end = tokio::select! {
        end = read(shell, node, reader, buffer, &heard) => end,
        end = write(shell, node, &outgoing, writer) => end,
        end = watch(&heard) => end,
    };
    let mut engine = shell.engine.borrow_mut();
    if engine.links.disconnect(node, &outgoing) {
        engine.begin_turn();
        engine.peer(node, false);
    }
    end.unwrap_err_or_closed()
}

fn connect(shell: &Shell, node: NodeId) -> Option<Rc<Outgoing>> {
    let mut engine = shell.engine.borrow_mut();
    engine.begin_turn();
    let (outgoing, replaced) = engine.links.connect(node)?;
    if replaced {
        engine.peer(node, false);
    }
    engine.peer(node, true);
    Some(outgoing)
}

async fn read(
    shell: &Shell,
    node: NodeId,
    mut reader: tokio::net::tcp::OwnedReadHalf,
    mut buffer: BytesMut,
    heard: &Cell<Instant>,
) -> anyhow::Result<()> {
    let decoder = FrameDecoder::new();
    loop {
        {
            let mut engine = shell.engine.borrow_mut();
            engine.begin_turn();
            loop {
                match decoder.next_frame(&mut buffer) {
                    Ok(Some(Frame::Envelope(envelope))) => {
                        if !engine.links.is_deaf_to(node) {
                            engine.message(node, *envelope);
                        }
                    }
                    Ok(Some(Frame::Hello(_))) => anyhow::bail!("a second handshake"),
                    Ok(None) => break,
                    // From a newer version: skipped.
                    Err(WireError::UnknownMessage) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        buffer.reserve(READ_BYTES);
        anyhow::ensure!(reader.read_buf(&mut buffer).await? > 0, "the peer hung up");
        heard.set(Instant::now());
    }
}

/// Ends when nothing was heard for too long.
async fn watch(heard: &Cell<Instant>) -> anyhow::Result<()> {
    while heard.get().elapsed() < SILENCE_TIME_MAX {
        sleep(SILENCE_TIME_MAX - heard.get().elapsed()).await;
    }
    anyhow::bail!("nothing was heard for {} s", SILENCE_TIME_MAX.as_secs())
}

async fn write(
    shell: &Shell,
    node: NodeId,
    outgoing: &Outgoing,
    mut writer: tokio::net::tcp::OwnedWriteHalf,
) -> anyhow::Result<()> {
    while let Some(buffer) = outgoing.next().await {
        writer.write_all(&buffer).await?;
        outgoing.recycle(buffer);
        if outgoing.has_postponed() {
            let mut engine = shell.engine.borrow_mut();
            engine.begin_turn();
            engine.go_on_reading(node);
        }
    }
    Ok(())
}

/// Messages leave at once, and a peer that vanished is noticed although nothing is sent.
fn set_options(stream: &TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(SILENCE_TIME_MAX))?;
    Ok(())
}

trait End {
    fn unwrap_err_or_closed(self) -> anyhow::Error;
}

impl End for anyhow::Result<()> {
    fn unwrap_err_or_closed(self) -> anyhow::Error {
        self.err().unwrap_or_else(|| anyhow::anyhow!("this node closed it"))
    }
}

//! Connections of HTTP clients: hyper reads and writes, the frontend understands, the engine answers.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use torc_core::outcome::{Cause, Certainty, Failure, Outcome};
use torc_frontends::http::{self as frontend, Code, HttpReply, Planned, Problem, Route};

use super::common::Stage;
use super::shards::Shard;
use super::waiters::Waiter;

/// The most time that a client may take to send the head of a request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(60);
/// The most time that a client may take to send the body of a request.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);
/// The most time that a client may go on sending a body that is refused.
const LINGER_TIME_MAX: Duration = Duration::from_secs(5);

/// Serves an HTTP client until its connection ends.
pub async fn serve(shard: &Rc<Shard>, stream: TcpStream) {
    let service = service_fn(|request| {
        let shard = Rc::clone(shard);
        async move { Ok::<_, Infallible>(answer(&shard, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shard.common.reached(Stage::Draining) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended");
    }
}

/// Tells a client that there are too many.
pub async fn turn_away(mut stream: TcpStream) {
    use tokio::io::AsyncWriteExt;
    let text = "the node has as many connections as it takes (limits.connections_max); try again, or at another node";
    let busy = Problem {
        retry_after_ms: Some(1_000),
        ..Problem::new(Code::Busy, text)
    };
    let HttpReply { status, headers, body } = busy.reply();
    let mut answer = BytesMut::new();
    let length = body.len();
    answer.extend_from_slice(
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n").as_bytes(),
    );
    for (name, value) in &headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            answer.extend_from_slice(part);
        }
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(&body);
    drop(stream.write_all(&answer).await);
}

async fn answer(shard: &Shard, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let limit = frontend::limits_of(&head.method, target, shard.catalog());
    let length = body.size_hint().exact();
    let reply = match read(body, limit).await {
        Ok(body) => reply(shard, &head, target, body).await,
        Err(Unread::TooLarge(rest, is_begun)) => {
            let reply = frontend::too_large(&head.method, target, shard.catalog(), length);
            let mut response = respond(reply);
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
            // A client that asks before it sends has its answer; any other is still sending, and a connection closed over
            // bytes that nobody has read is reset, which can take the answer with it.
            if is_begun || !head.headers.contains_key(header::EXPECT) {
                tokio::task::spawn_local(tokio::time::timeout(LINGER_TIME_MAX, discard(rest)));
            }
            return response;
        }
        Err(Unread::Lost(why)) => Problem::bad_request(format!("the body could not be read: {why}")).reply(),
    };
    respond(reply)
}

async fn reply(shard: &Shard, head: &http::request::Parts, target: &str, body: Bytes) -> HttpReply {
    let now = shard.begin_turn();
    match frontend::route(&head.method, target, &head.headers, body, shard.catalog(), now.wall) {
        Route::Answer(reply) => reply,
        Route::Node(request) => shard.document(request, &head.method).await,
        Route::Command(Planned { command, rendering }) => {
            let (sender, receiver) = oneshot::channel();
            shard.request(command, Waiter::Task(sender));
            match receiver.await {
                Ok(outcome) => rendering.reply(outcome, &*shard.common.ring),
                // The node is stopping and will not answer; whether it was done is unknown.
                Err(_) => rendering.reply(interrupted(), &*shard.common.ring),
            }
        }
    }
}

enum Unread {
    /// With what is left of it, and whether some of it was read: then even a client that asks first is sending.
    TooLarge(Incoming, bool),
    Lost(String),
}

/// Reads a body to its end and keeps none of it. While somebody reads, hyper does not close the connection.
async fn discard(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// The whole body, unless it is longer than `limit`.
async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, Unread> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(Unread::TooLarge(body, false));
    }
    let whole = async {
        let mut first = Bytes::new();
        let mut more = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Unread::Lost(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if first.len() + more.len() + data.len() > limit {
                return Err(Unread::TooLarge(body, true));
            }
            if first.is_empty() {
                first = data;
            } else {
                more.extend_from_slice(&data);
            }
        }
        if more.is_empty() {
            return Ok(first);
        }
        let mut joined = BytesMut::with_capacity(first.len() + more.len());
        joined.extend_from_slice(&first);
        joined.extend_from_slice(&more);
        Ok(joined.freeze())
    };
    let late = || Unread::Lost(format!("the body took more than {} s", BODY_TIME_MAX.as_secs()));
    tokio::time::timeout(BODY_TIME_MAX, whole)
        .await
        .unwrap_or_else(|_| Err(late()))
}

fn interrupted() -> Outcome {
    Outcome::Failed(Failure {
        cause: Cause::Unavailable("the node is stopping".into()),
        certainty: Certainty::Unknown,
    })
}

fn respond(reply: HttpReply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    for (name, value) in reply.headers {
        response.headers_mut().append(name, value);
    }
    response
}

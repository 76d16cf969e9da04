//! A small HTTP/1.1 client: one connection, one request at a time.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Longer than any deadline a request may ask for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(70);

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum CallError {
    /// Nothing was sent.
    NotSent(String),
    /// The request, or a part of it, was sent: what became of it is unknown.
    Lost(String),
}

/// A connection to one node, made when it is first needed.
pub struct Client {
    address: String,
    runtime: Runtime,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client of the node whose HTTP port is at `address`.
    ///
    /// # Errors
    /// The system has no resources for it.
    pub fn new(address: &str) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            address: address.to_owned(),
            runtime,
            sender: None,
        })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let request = request(&self.address, method, target, headers, body)?;
        let Self {
            address,
            runtime,
            sender,
        } = self;
        runtime.block_on(async {
            let mut open = match sender.take() {
                Some(open) if !open.is_closed() => open,
                _ => connect(address).await?,
            };
            let answer = exchange(&mut open, request).await?;
            *sender = Some(open);
            Ok(answer)
        })
    }

    /// One GET on a connection of its own, inside a running program.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ask(address: &str, target: &str) -> Result<Answer, CallError> {
        let request = request(address, Method::GET, target, &[], Bytes::new())?;
        exchange(&mut connect(address).await?, request).await
    }
}

fn request(
    address: &str,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, CallError> {
    let mut request = Request::builder().method(method).uri(target).header("host", address);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
        .body(Full::new(body))
        .map_err(|error| CallError::NotSent(error.to_string()))
}

async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>, CallError> {
    let not_sent = |why: String| CallError::NotSent(format!("cannot connect to {address}: {why}"));
    let stream = match timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(not_sent(error.to_string())),
        Err(_) => return Err(not_sent(format!("no answer in {} s", CONNECT_TIME_MAX.as_secs()))),
    };
    let _ = stream.set_nodelay(true);
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| not_sent(error.to_string()))?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn exchange(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Result<Answer, CallError> {
    let lost = |why: String| CallError::Lost(format!("the connection was lost before the answer came: {why}"));
    let work = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| lost(error.to_string()))?;
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| lost(error.to_string()))?
            .to_bytes();
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    };
    match timeout(ANSWER_TIME_MAX, work).await {
        Ok(result) => result,
        Err(_) => Err(CallError::Lost(format!("no answer in {} s", ANSWER_TIME_MAX.as_secs()))),
    }
}

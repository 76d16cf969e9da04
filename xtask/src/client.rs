//! A client that talks HTTP to whichever node it is told to, and names what went wrong.

use std::time::Duration;

use ureq::Agent;
use ureq::http::Response;

/// Longer than any request of the load is allowed to take at the server.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(8);

/// An answer: status, the context if there was one, and the body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub context: Option<String>,
    /// The write was taken by nodes that stand in for homes.
    pub sloppy: bool,
    pub body: String,
}

impl Answer {
    /// The error's name in the body, or the status.
    pub fn error(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let name = body["error"].as_str().map(str::to_owned);
        name.unwrap_or_else(|| format!("status {}", self.status))
    }

    /// True if the write may have been applied all the same.
    pub fn is_unknown(&self) -> bool {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        self.status >= 500 && body["outcome"].as_str() != Some("not_applied")
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
}

impl Client {
    pub fn new() -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(ANSWER_TIME_MAX))
            .timeout_connect(Some(Duration::from_secs(1)))
            .http_status_as_error(false)
            // 300 is several siblings, not another place.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections_per_host(2)
            .build();
        Self {
            agent: config.new_agent(),
        }
    }

    /// # Errors
    /// The kind of transport failure: the request may or may not have been carried out.
    pub fn get(&self, url: &str) -> Result<Answer, String> {
        read(self.agent.get(url).call())
    }

    /// # Errors
    /// As [`Self::get`].
    pub fn put(&self, url: &str, context: Option<&str>, body: &str) -> Result<Answer, String> {
        let mut request = self.agent.put(url);
        if let Some(context) = context {
            request = request.header("torc-context", context);
        }
        read(request.send(body))
    }

    /// # Errors
    /// As [`Self::get`].
    pub fn delete(&self, url: &str, context: Option<&str>) -> Result<Answer, String> {
        let mut request = self.agent.delete(url);
        if let Some(context) = context {
            request = request.header("torc-context", context);
        }
        read(request.call())
    }

    /// # Errors
    /// As [`Self::get`].
    pub fn post(&self, url: &str, body: &str) -> Result<Answer, String> {
        read(
            self.agent
                .post(url)
                .header("content-type", "application/json")
                .send(body),
        )
    }
}

fn read(answer: Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer, String> {
    let mut answer = answer.map_err(|error| kind_of(&error))?;
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let context = header("torc-context");
    let sloppy = header("torc-sloppy").as_deref() == Some("true");
    let status = answer.status().as_u16();
    let body = answer.body_mut().read_to_string().map_err(|error| kind_of(&error))?;
    Ok(Answer {
        status,
        context,
        sloppy,
        body,
    })
}

/// Kinds are counted; addresses and numbers would make each its own.
fn kind_of(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "timeout".to_owned(),
        ureq::Error::Io(error) => format!("connection: {}", error.kind()),
        ureq::Error::ConnectionFailed => "connection: failed".to_owned(),
        _ => "connection: other".to_owned(),
    }
}

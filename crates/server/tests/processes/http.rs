//! A blocking HTTP/1.1 client: one request, one connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.0.eq_ignore_ascii_case(name));
        found.map(|header| &header.1[..])
    }

    pub fn context(&self) -> String {
        self.header("torc-context")
            .expect("an answer with a context")
            .to_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// The values of all siblings, in order of their bytes.
    pub fn values(&self) -> Vec<String> {
        use base64::Engine as _;
        let json = self.json();
        let siblings = json["siblings"].as_array().expect("siblings");
        let mut values: Vec<String> = siblings
            .iter()
            .map(|sibling| {
                let value = sibling["value"].as_str().expect("a value");
                let value = base64::engine::general_purpose::STANDARD.decode(value).expect("base64");
                String::from_utf8(value).expect("text")
            })
            .collect();
        values.sort();
        values
    }
}

/// Asks; `None` if there is no whole answer.
pub fn try_ask(port: u16, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(70))).ok()?;
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: torc\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(request.as_bytes()).ok()?;
    // A server that refuses a body by its length answers without reading it.
    drop(stream.write_all(body));
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    parse(&answer).filter(|_| end.is_ok() || !answer.is_empty())
}

/// Asks a node that has to answer.
pub fn ask(port: u16, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_ask(port, method, target, headers, body).unwrap_or_else(|| panic!("no answer to {method} {target} at {port}"))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let body = answer[end + 4..].to_vec();
    let answer = Answer { status, headers, body };
    let length = answer
        .header("content-length")
        .and_then(|length| length.parse::<usize>().ok());
    length
        .is_none_or(|length| length == answer.body.len())
        .then_some(answer)
}

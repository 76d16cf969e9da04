//! The generator against small servers that stall, refuse, hang up and forget, one thread a connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::http::Http;
use super::keys::{Distribution, KeyChooser};
use super::mix::{Kind, Mix};
use super::phase::{End, Phase};
use super::protocol::Protocol;
use super::random::Random;
use super::recorder::Recorder;
use super::report::Measured;
use super::resp::Resp;
use super::source::Work;
use super::value::Values;

/// What a server does with one request, given as its bytes; `None` hangs up.
type Answer = dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync;

/// Serves on a free port until the test's process ends; `length` finds the end of the first request in a buffer.
fn serve(length: fn(&[u8]) -> Option<usize>, answer: Arc<Answer>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || serve_connection(stream, length, &*answer));
        }
    });
    address
}

fn serve_connection(mut stream: TcpStream, length: fn(&[u8]) -> Option<usize>, answer: &Answer) {
    stream.set_nodelay(true).expect("a TCP option");
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let Ok(count) = stream.read(&mut chunk) else { return };
        if count == 0 {
            return;
        }
        buffer.extend_from_slice(&chunk[..count]);
        while let Some(end) = length(&buffer) {
            let Some(reply) = answer(&buffer[..end]) else { return };
            // In two pieces, so that the generator meets half a reply.
            let middle = reply.len() / 2;
            if stream
                .write_all(&reply[..middle])
                .and_then(|()| stream.write_all(&reply[middle..]))
                .is_err()
            {
                return;
            }
            buffer.drain(..end);
        }
    }
}

/// The length of the first RESP command: its header's number of bulk strings.
fn resp_length(bytes: &[u8]) -> Option<usize> {
    let line_end = |from: usize| {
        bytes[from..]
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .map(|at| from + at)
    };
    let number = |from: usize, to: usize| std::str::from_utf8(&bytes[from..to]).ok()?.parse::<usize>().ok();
    let end = line_end(0)?;
    let mut position = end + 2;
    for _ in 0..number(1, end)? {
        let end = line_end(position)?;
        position = end + 2 + number(position + 1, end)? + 2;
    }
    (bytes.len() >= position).then_some(position)
}

fn http_length(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let head = text.find("\r\n\r\n")? + 4;
    let body = text[..head]
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |value| value.parse::<usize>().expect("a number"));
    (bytes.len() >= head + body).then_some(head + body)
}

fn resp_reply(request: &[u8]) -> Vec<u8> {
    if request.starts_with(b"*2\r\n$3\r\nGET") {
        b"$5\r\nvalue\r\n".to_vec()
    } else {
        b"+OK\r\n".to_vec()
    }
}

/// A phase that the tests vary.
fn phase<'a, P>(protocol: &'a P, addresses: &'a [SocketAddr], values: &'a Values, mix: Mix) -> Phase<'a, P> {
    Phase {
        name: "test",
        protocol,
        addresses,
        work: Work::Mixed(mix, KeyChooser::new(Distribution::Uniform, 1_000)),
        keys: 1_000,
        values,
        connections: 4,
        threads: 2,
        pipeline: 1,
        rate: None,
        warm_up: Duration::ZERO,
        end: End::After(Duration::from_millis(500)),
        timeout: Duration::from_secs(5),
        seed: 1,
        server_pids: &[],
    }
}

fn run<P: Protocol>(phase: &Phase<'_, P>) -> (Recorder, Measured) {
    phase.run().expect("the machine has threads and epoll")
}

fn values() -> Values {
    Values::letters(20, &mut Random::new(1))
}

#[test]
fn a_stall_shows_in_the_open_loop_and_hides_in_the_closed_one() {
    let (resp, values) = (Resp::new(b"key:", None, None, None), values());
    // All connections stand still from 400 ms to 700 ms after the first request.
    let stalling = || {
        let first = std::sync::OnceLock::new();
        serve(
            resp_length,
            Arc::new(move |request| {
                let elapsed = first.get_or_init(Instant::now).elapsed();
                if (Duration::from_millis(400)..Duration::from_millis(700)).contains(&elapsed) {
                    std::thread::sleep(Duration::from_millis(700) - elapsed);
                }
                Some(resp_reply(request))
            }),
        )
    };
    let end = End::After(Duration::from_millis(1_500));
    let address = [stalling()];
    let open = Phase {
        rate: Some(2_000.0),
        end,
        ..phase(&resp, &address, &values, Mix::Get)
    };
    let (recorder, measured) = run(&open);
    let latency = &recorder.latencies[Kind::Get as usize];
    let ms = |quantile| latency.value_at_quantile(quantile) as f64 / 1e6;
    // A fifth of the operations were due during the stall, evenly: they waited 300 ms to nothing.
    assert!((220.0..420.0).contains(&ms(0.99)), "p99 {} ms", ms(0.99));
    assert!((90.0..320.0).contains(&ms(0.90)), "p90 {} ms", ms(0.90));
    assert!(ms(0.5) < 50.0, "p50 {} ms", ms(0.5));
    assert!(
        (2_900..=3_000).contains(&latency.len()),
        "{} operations of 3,000",
        latency.len()
    );
    assert_eq!(measured.failed, 0);

    let address = [stalling()];
    let (recorder, _) = run(&Phase {
        end,
        ..phase(&resp, &address, &values, Mix::Get)
    });
    let latency = &recorder.latencies[Kind::Get as usize];
    assert!(
        latency.len() > 1_000 && latency.max() > 200_000_000,
        "{} operations",
        latency.len()
    );
    assert!(
        latency.value_at_quantile(0.99) < 100_000_000,
        "the closed loop sends nothing during the stall"
    );
}

#[test]
fn a_rate_that_the_server_cannot_take_leaves_a_backlog_that_counts() {
    let (resp, values) = (Resp::new(b"key:", None, None, None), values());
    let address = [serve(
        resp_length,
        Arc::new(|request| {
            std::thread::sleep(Duration::from_millis(20));
            Some(resp_reply(request))
        }),
    )];
    // Four connections at 20 ms each take 200 a second; 1,000 are due.
    let (recorder, measured) = run(&Phase {
        rate: Some(1_000.0),
        ..phase(&resp, &address, &values, Mix::Set)
    });
    assert!(measured.backlog > 300, "{}", measured.backlog);
    let latency = &recorder.latencies[Kind::Set as usize];
    assert!(
        (480..=500).contains(&latency.len()),
        "{} of 500 are accounted for",
        latency.len()
    );
    assert!(latency.max() > 350_000_000, "the last one waited nearly the whole run");
}

#[test]
fn refusals_are_counted_by_their_prefix_and_end_nothing() {
    let (resp, values) = (Resp::new(b"key:", None, None, None), values());
    let address = [serve(
        resp_length,
        Arc::new(|request| {
            let reply = if request.windows(2).any(|pair| pair == b"7\r") {
                &b"-BUSY try later\r\n"[..]
            } else {
                b"$-1\r\n"
            };
            Some(reply.to_vec())
        }),
    )];
    let (_, measured) = run(&Phase {
        pipeline: 8,
        end: End::Operations(4_000),
        ..phase(&resp, &address, &values, Mix::Get)
    });
    assert_eq!(measured.operations + measured.failed, 4_000);
    assert_eq!(measured.missing, measured.operations);
    assert!(
        (250..600).contains(&measured.failed),
        "a tenth of the keys end in 7: {}",
        measured.failed
    );
    assert_eq!(measured.errors.len(), 1);
    assert_eq!(
        (measured.errors[0].kind.as_str(), measured.errors[0].count),
        ("BUSY", measured.failed)
    );
    assert_eq!(measured.errors[0].sample, "BUSY try later");
}

#[test]
fn a_server_that_hangs_up_is_reconnected_and_a_fill_still_writes_every_key() {
    let (resp, values) = (Resp::new(b"key:", None, None, None), values());
    let stored = Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let requests = std::sync::atomic::AtomicU64::new(0);
    let seen = Arc::clone(&stored);
    let address = [serve(
        resp_length,
        Arc::new(move |request| {
            if requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 50 == 49 {
                return None;
            }
            let key = request.windows(4).position(|four| four == b"key:").expect("a key");
            seen.lock()
                .expect("not poisoned")
                .insert(request[key..key + 16].to_vec());
            Some(resp_reply(request))
        }),
    )];
    let fill = Phase {
        work: Work::Fill,
        keys: 0,
        pipeline: 4,
        end: End::Operations(1_000),
        ..phase(&resp, &address, &values, Mix::Set)
    };
    let (_, measured) = run(&fill);
    assert_eq!(measured.operations, 1_000);
    assert_eq!(stored.lock().expect("not poisoned").len(), 1_000);
    assert!(measured.reconnects >= 5 && measured.failed >= 5, "{measured:?}");
    assert_eq!(measured.errors[0].kind, "connection lost");
}

#[test]
fn a_server_that_never_answers_times_out_and_a_closed_port_is_an_error() {
    let (resp, values) = (Resp::new(b"key:", None, None, None), values());
    let silent = [serve(
        |bytes| (!bytes.is_empty()).then_some(bytes.len()),
        Arc::new(|_| Some(Vec::new())),
    )];
    let (_, measured) = run(&Phase {
        timeout: Duration::from_millis(100),
        ..phase(&resp, &silent, &values, Mix::Get)
    });
    assert_eq!(measured.operations, 0);
    assert_eq!(measured.errors[0].kind, "timeout");
    assert!(
        measured.failed >= 8,
        "four connections, several timeouts each: {}",
        measured.failed
    );

    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        [listener.local_addr().expect("bound")]
    };
    let (_, measured) = run(&phase(&resp, &closed, &values, Mix::Get));
    assert_eq!(
        (measured.operations, measured.errors[0].kind.as_str()),
        (0, "cannot connect")
    );
    // A budget alone must not keep a run waiting for ever.
    let budget = Phase {
        end: End::Operations(10),
        timeout: Duration::from_millis(100),
        ..phase(&resp, &closed, &values, Mix::Get)
    };
    assert_eq!(run(&budget).1.operations, 0);
}

#[test]
fn a_refused_greeting_sends_no_operation() {
    let (resp, values) = (Resp::new(b"key:", Some("nowhere"), None, None), values());
    let address = [serve(
        resp_length,
        Arc::new(|request| {
            assert!(
                request.starts_with(b"*2\r\n$8\r\nTORC.USE"),
                "only the greeting may be sent"
            );
            Some(b"-NOBUCKET no bucket 'nowhere'\r\n".to_vec())
        }),
    )];
    let (_, measured) = run(&phase(&resp, &address, &values, Mix::Get));
    assert_eq!(
        (measured.operations, measured.errors[0].kind.as_str()),
        (0, "greeting refused")
    );
    assert!(
        measured.errors[0].sample.starts_with("NOBUCKET"),
        "{:?}",
        measured.errors
    );
}

#[test]
fn a_read_modify_write_writes_the_key_it_read_with_the_context_it_got() {
    let (http, values) = (Http::new(b"key:", "carts", "", "", "localhost"), values());
    let address = [serve(
        http_length,
        Arc::new(|request| {
            let text = String::from_utf8_lossy(request).into_owned();
            let key = text
                .split(' ')
                .nth(1)
                .expect("a target")
                .rsplit('A')
                .next()
                .expect("digits")
                .to_owned();
            if text.starts_with("GET") {
                let body = "old value";
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\ntorc-context: c{key}\r\n\r\n",
                    body.len()
                );
                return Some(format!("{head}{body}").into_bytes());
            }
            // Plain sets don't occur in this mix's other half: reads. So every write must carry its own key's context.
            let fits = text.contains(&format!("\r\ntorc-context: c{key}\r\n"));
            let reply = if fits {
                "HTTP/1.1 204 No Content\r\n\r\n"
            } else {
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"
            };
            Some(reply.as_bytes().to_vec())
        }),
    )];
    for pipeline in [1, 16] {
        let (recorder, measured) = run(&Phase {
            pipeline,
            end: End::Operations(2_000),
            ..phase(&http, &address, &values, Mix::YcsbF)
        });
        assert_eq!(
            (measured.operations, measured.failed),
            (2_000, 0),
            "{:?}",
            measured.errors
        );
        let (reads, both) = (
            recorder.latencies[Kind::Get as usize].len(),
            recorder.latencies[Kind::Rmw as usize].len(),
        );
        assert_eq!(reads + both, 2_000);
        assert!((850..1_150).contains(&both), "{both}");
    }
}

#[test]
fn http_errors_are_counted_by_status_and_code_and_a_closing_server_is_reconnected() {
    let (http, values) = (Http::new(b"key:", "redis", "", "", "localhost"), values());
    let address = [serve(
        http_length,
        Arc::new(|request| {
            let text = String::from_utf8_lossy(request).into_owned();
            let target = text.split(' ').nth(1).expect("a target");
            Some(match target.as_bytes().last() {
                Some(b'1') => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
                Some(b'2') => {
                    let body = r#"{"error":"not_enough_replicas","message":"…"}"#;
                    format!(
                        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    )
                    .into_bytes()
                }
                Some(b'3') => b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_vec(),
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
            })
        }),
    )];
    let (_, measured) = run(&Phase {
        end: End::Operations(400),
        ..phase(&http, &address, &values, Mix::Get)
    });
    assert_eq!(measured.operations + measured.failed, 400);
    assert!(measured.missing > 10 && measured.reconnects > 10, "{measured:?}");
    assert!(
        measured
            .errors
            .iter()
            .any(|error| error.kind == "503 not_enough_replicas" && error.count == measured.failed)
    );
}

//! One `torc serve` process: started, asked, killed.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::eventually;
use super::http::{Answer, Http};
use super::resp::Resp;

/// The program under test.
pub const TORC: &str = env!("CARGO_BIN_EXE_torc");
const READY_TIME_MAX: Duration = Duration::from_secs(30);
const STOP_TIME_MAX: Duration = Duration::from_secs(30);

/// A node, running or not.
pub struct Node {
    pub name: String,
    pub base_port: u16,
    pub dir: PathBuf,
    pub config: PathBuf,
    process: Option<Child>,
}

impl Node {
    pub fn new(name: &str, base_port: u16, dir: &Path) -> Self {
        Self {
            name: name.to_owned(),
            base_port,
            dir: dir.join(name),
            config: dir.join(format!("{name}.toml")),
            process: None,
        }
    }

    /// Starts the process; does not wait until it serves.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same with more flags.
    pub fn start_with(&mut self, flags: &[&str]) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.config.with_extension("log"));
        let mut command = Command::new(TORC);
        command
            .args(["serve", "--exit-with-parent", "--config"])
            .arg(&self.config)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.expect("a log file"))
            .process_group(0);
        self.process = Some(command.spawn().expect("torc starts"));
    }

    /// Waits until the node says that its data can be relied on.
    pub fn await_ready(&mut self) {
        let address = self.http_address();
        eventually(&format!("{} ready", self.name), READY_TIME_MAX, || {
            if let Some(process) = &mut self.process
                && let Some(status) = process.try_wait().expect("a child of ours")
            {
                panic!("{} ended ({status}) before it was ready:\n{}", self.name, self.log());
            }
            let answer = Http::connect(&address).and_then(|mut http| http.send("GET", "/readyz", &[], b""));
            answer.is_ok_and(|answer| answer.status == 200)
        });
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.config.with_extension("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().map(Child::id).expect("the node runs")
    }

    pub fn http_address(&self) -> String {
        format!("127.0.0.1:{}", self.base_port + 2)
    }

    pub fn resp_address(&self) -> String {
        format!("127.0.0.1:{}", self.base_port + 3)
    }

    pub fn peer_address(&self) -> String {
        format!("127.0.0.1:{}", self.base_port + 1)
    }

    pub fn http(&self) -> Http {
        Http::connect(&self.http_address()).expect("the node takes HTTP clients")
    }

    pub fn resp(&self) -> Resp {
        Resp::connect(&self.resp_address()).expect("the node takes Redis clients")
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = self.http().send(method, target, headers, body);
        answer.unwrap_or_else(|error| panic!("{method} {target} at {}: {error}\n{}", self.name, self.log()))
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], b"")
    }

    pub fn json(&self, target: &str) -> Value {
        let answer = self.ask("GET", target, &[("accept", "application/json")], b"");
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        answer.json()
    }

    /// Replaces the faults in force; `{}` heals.
    pub fn faults(&self, set: &str) {
        let answer = self.ask("POST", "/v1/faults", &[], set.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Changes the settings of a kind of background work.
    pub fn admin(&self, work: &str, change: &str) {
        let path = format!("/v1/admin/{work}");
        let answer = self.ask("POST", &path, &[], change.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// kill -9, and waits until it is dead.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a child of ours");
            process.wait().expect("a child of ours");
        }
    }

    /// SIGTERM, and waits for a clean end.
    pub fn stop(&mut self) {
        let status = self.terminate();
        assert!(status.success(), "{} stopped with {status}:\n{}", self.name, self.log());
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).expect("a pid");
        kill_process(pid, signal).expect("a child of ours");
    }

    fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let mut process = self.process.take().expect("the node runs");
        // Waiting would close its standard input and be one more reason to stop.
        let stdin = process.stdin.take();
        let mut ended = None;
        eventually("a stop after SIGTERM", STOP_TIME_MAX, || {
            ended = process.try_wait().expect("a child of ours");
            ended.is_some()
        });
        drop(stdin);
        ended.expect("it ended")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.name, self.log());
        }
    }
}

//! Starts the nodes, says when all of them serve, reports the dead, and stops everything at the end.
//!
//! Each node reads its standard input: when this process dies, however it dies, the pipe closes and the node stops.

use std::fs::File;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use comfy_table::{Table, TableStyle};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::sleep;

use crate::cli::{CallError, Client};
use crate::config::{HTTP_PORT, RESP_PORT};

use super::cluster_file::{self, Entry};
use super::plan::{NodePlan, Plan};

const READY_TIME_MAX: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(40);
const STOP_TIME_MAX: Duration = Duration::from_secs(20);
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// One node while the cluster runs.
struct Process {
    plan: NodePlan,
    /// `None` once it is dead.
    child: Option<Child>,
    /// Held open: the node stops when it closes.
    _stdin: Option<ChildStdin>,
    /// The last pid it ran under.
    pid: u32,
    restart_at: Option<Instant>,
}

/// Runs a plan.
pub struct Supervisor {
    plan: Plan,
    restart: bool,
    processes: Vec<Process>,
    crashed: bool,
}

impl Supervisor {
    /// Nothing runs yet.
    pub fn new(plan: Plan, restart: bool) -> Self {
        Self {
            plan,
            restart,
            processes: Vec::new(),
            crashed: false,
        }
    }

    /// Runs until SIGINT or SIGTERM.
    pub async fn run(mut self) -> anyhow::Result<ExitCode> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let started = tokio::select! {
            started = self.start() => started.map(|()| true),
            () = stopped(&mut interrupt, &mut terminate) => Ok(false),
        };
        let result = match started {
            Ok(true) => self.watch(&mut interrupt, &mut terminate).await,
            Ok(false) => Ok(()),
            Err(error) => {
                self.crashed = true;
                Err(error)
            }
        };
        self.stop().await;
        if self.plan.temporary && !self.crashed {
            let _ = std::fs::remove_dir_all(&self.plan.dir);
        } else if self.plan.temporary {
            eprintln!(
                "torc dev: a node died; its data and log are kept in {}",
                self.plan.dir.display()
            );
        }
        result.map(|()| ExitCode::SUCCESS)
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        for node in self.plan.nodes.clone() {
            let (child, stdin) = spawn(&node)?;
            let pid = child.id().unwrap_or_default();
            self.processes.push(Process {
                plan: node,
                child: Some(child),
                _stdin: stdin,
                pid,
                restart_at: None,
            });
        }
        let give_up = Instant::now() + READY_TIME_MAX;
        for at in 0..self.processes.len() {
            self.wait_until_ready(at, give_up).await?;
        }
        self.write_cluster_file()?;
        self.print_table();
        println!("ready");
        Ok(())
    }

    async fn wait_until_ready(&mut self, at: usize, give_up: Instant) -> anyhow::Result<()> {
        let address = self.processes[at].plan.address(HTTP_PORT);
        loop {
            for process in &mut self.processes {
                let Some(child) = &mut process.child else { continue };
                if let Some(status) = child.try_wait()? {
                    process.child = None;
                    bail!(
                        "{} {} before it served:\n{}",
                        process.plan.name,
                        ended(status),
                        last_words(&process.plan)
                    );
                }
            }
            let why = match Client::ask(&address, "/readyz").await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => String::from_utf8_lossy(&answer.body).trim().to_owned(),
                Err(CallError::NotSent(why) | CallError::Lost(why)) => why,
            };
            if Instant::now() > give_up {
                bail!(
                    "{} is not ready after {} s: {why}",
                    self.processes[at].plan.name,
                    READY_TIME_MAX.as_secs()
                );
            }
            sleep(READY_POLL).await;
        }
    }

    fn write_cluster_file(&self) -> anyhow::Result<()> {
        let entries: Vec<Entry> = self
            .processes
            .iter()
            .map(|process| Entry::new(&process.plan, process.pid))
            .collect();
        cluster_file::write(&self.plan.dir, &entries).context("cannot write cluster.json")
    }

    fn print_table(&self) {
        let mut table = Table::new();
        table
            .load_style(TableStyle::new())
            .set_header(["node", "pid", "HTTP", "Redis", "directory"]);
        for process in &self.processes {
            let plan = &process.plan;
            table.add_row([
                plan.name.clone(),
                process.pid.to_string(),
                plan.address(HTTP_PORT),
                plan.address(RESP_PORT),
                plan.dir.display().to_string(),
            ]);
        }
        println!("{}", table.trim_fmt());
    }

    async fn watch(&mut self, interrupt: &mut SignalStream, terminate: &mut SignalStream) -> anyhow::Result<()> {
        loop {
            let restart_at = self.processes.iter().filter_map(|process| process.restart_at).min();
            let restart = async {
                match restart_at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let died = tokio::select! {
                () = stopped(interrupt, terminate) => return Ok(()),
                () = restart => None,
                died = first_death(&mut self.processes) => Some(died),
            };
            match died {
                Some((at, status)) => self.on_death(at, status),
                None => self.restart_due()?,
            }
        }
    }

    fn on_death(&mut self, at: usize, status: std::io::Result<ExitStatus>) {
        let process = &mut self.processes[at];
        process.child = None;
        let how = status.map_or_else(|error| format!("was lost ({error})"), ended);
        let name = &process.plan.name;
        self.crashed = true;
        if self.restart {
            eprintln!(
                "torc dev: {name} (pid {}) {how}; it comes back in a second",
                process.pid
            );
            process.restart_at = Some(Instant::now() + RESTART_AFTER);
        } else {
            let config = process.plan.config();
            eprintln!(
                "torc dev: {name} (pid {}) {how}; start it again with: torc serve --config {}",
                process.pid,
                config.display()
            );
        }
        let words = last_words(&process.plan);
        if !words.is_empty() {
            eprintln!("{words}");
        }
    }

    fn restart_due(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        for process in &mut self.processes {
            if process.restart_at.is_some_and(|at| at <= now) {
                process.restart_at = None;
                let (child, stdin) = spawn(&process.plan)?;
                process.pid = child.id().unwrap_or_default();
                process.child = Some(child);
                process._stdin = stdin;
                eprintln!("torc dev: {} is back (pid {})", process.plan.name, process.pid);
            }
        }
        self.write_cluster_file()
    }

    /// Asks all nodes to stop, and kills those that do not.
    async fn stop(&mut self) {
        for process in &self.processes {
            if let Some(child) = &process.child
                && let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid as i32))
            {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        let give_up = Instant::now() + STOP_TIME_MAX;
        for process in &mut self.processes {
            let Some(child) = &mut process.child else { continue };
            let left = give_up.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, child.wait()).await {
                Ok(Ok(status)) if status.success() => {}
                Ok(status) => {
                    self.crashed = true;
                    let how = status.map_or_else(|error| format!("was lost ({error})"), ended);
                    eprintln!(
                        "torc dev: {} {how} while it stopped\n{}",
                        process.plan.name,
                        last_words(&process.plan)
                    );
                }
                Err(_) => {
                    self.crashed = true;
                    eprintln!(
                        "torc dev: {} did not stop within {} s and was killed",
                        process.plan.name,
                        STOP_TIME_MAX.as_secs()
                    );
                    let _ = child.kill().await;
                }
            }
        }
    }
}

/// A node's process, in a group of its own: Ctrl-C reaches this process, which stops the nodes in order.
fn spawn(node: &NodePlan) -> anyhow::Result<(Child, Option<ChildStdin>)> {
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let errors =
        File::create(node.dir.join("stderr")).with_context(|| format!("cannot write to {}", node.dir.display()))?;
    let mut command = Command::new(program);
    for variable in ["NAME", "DIR", "HOST", "BASE_PORT", "DC", "RACK", "CAPACITY", "LOG"] {
        // What belongs to one node must not reach all of them.
        command.env_remove(format!("TORC_{variable}"));
    }
    let child = command
        .arg("serve")
        .arg("--config")
        .arg(node.config())
        .arg("--exit-with-parent")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(errors)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", node.name));
    let mut child = child?;
    // Waiting for a child closes its standard input, unless somebody else holds it.
    let stdin = child.stdin.take();
    Ok((child, stdin))
}

async fn stopped(interrupt: &mut SignalStream, terminate: &mut SignalStream) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Waits for the first of the living to die.
async fn first_death(processes: &mut [Process]) -> (usize, std::io::Result<ExitStatus>) {
    let mut waits: Vec<_> = processes
        .iter_mut()
        .enumerate()
        .filter_map(|(at, process)| process.child.as_mut().map(|child| (at, Box::pin(child.wait()))))
        .collect();
    std::future::poll_fn(|context| {
        for (at, wait) in &mut waits {
            if let std::task::Poll::Ready(status) = wait.as_mut().poll(context) {
                return std::task::Poll::Ready((*at, status));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// What a node last said on stderr.
fn last_words(node: &NodePlan) -> String {
    const LINES: usize = 20;
    let text = std::fs::read(node.dir.join("stderr")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

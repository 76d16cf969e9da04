//! Programs that a task runs: each in a process group of its own, with a deadline, and none left behind.
//!
//! A task that calls `adopt_orphans` becomes the parent of whatever its children leave running, so that `survivors` can
//! name, and end, processes that would otherwise outlive the task.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};

/// Runs a program to its end with our own output; an error names the program and how it ended.
pub fn run(command: &mut Command, time_max: Duration) -> anyhow::Result<()> {
    let name = describe(command);
    let mut child = start(command.stdin(Stdio::null()), &name)?;
    finish(&mut child, &name, time_max)
}

/// Runs a program to its end and gives back what it wrote on stdout, which is shown as it comes.
///
/// The output is given back even if the program failed: the second value says how it ended.
pub fn run_and_read(command: &mut Command, time_max: Duration) -> anyhow::Result<(String, anyhow::Result<()>)> {
    let name = describe(command);
    let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()), &name)?;
    let stdout = child.stdout.take().context("the child has a stdout")?;
    let all = Arc::new(Mutex::new(String::new()));
    let reader = std::thread::spawn({
        let all = Arc::clone(&all);
        move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line) + "\n";
                let _ = std::io::stdout().write_all(line.as_bytes());
                all.lock().expect("no holder of the lock panics").push_str(&line);
            }
        }
    });
    let ended = finish(&mut child, &name, time_max);
    // A process that left the group may hold the pipe open for ever; what it says is not waited for.
    let group_ended = Instant::now();
    while !reader.is_finished() && group_ended.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = all.lock().expect("no holder of the lock panics").clone();
    Ok((output, ended))
}

/// Runs a short program quietly; its stdout if it succeeded.
pub fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Starts a program as the leader of a new process group.
pub fn start(command: &mut Command, name: &str) -> anyhow::Result<Child> {
    command
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start `{name}`"))
}

/// Ends a child and its whole process group at once.
pub fn end_group(child: &mut Child) {
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        // The group may be gone already; that is what we want.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

/// Waits for the end, but not for ever; what the program leaves in its group is ended either way.
fn finish(child: &mut Child, name: &str, time_max: Duration) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            end_group(child);
            if !status.success() {
                bail!("`{name}` failed: {status}");
            }
            return Ok(());
        }
        if started.elapsed() > time_max {
            end_group(child);
            bail!("`{name}` took longer than {} s and was ended", time_max.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Makes this process the parent of every descendant whose own parent ends.
pub fn adopt_orphans() -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).context("cannot become a subreaper")?;
    Ok(())
}

/// A process that should have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// Its process id.
    pub pid: i32,
    /// Its command line, or its name if it has none.
    pub command: String,
}

/// The living descendants of this process, which get `grace` to end by themselves and are then ended.
pub fn survivors(grace: Duration) -> Vec<Survivor> {
    let started = Instant::now();
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let found = loop {
        let found = living_descendants(own);
        if found.is_empty() || started.elapsed() > grace {
            break found;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    for survivor in &found {
        if let Some(pid) = Pid::from_raw(survivor.pid) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    found
}

/// Reads `/proc`; a zombie is not alive. Empty on systems without `/proc`.
fn living_descendants(ancestor: i32) -> Vec<Survivor> {
    let mut processes = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // `pid (name) state parent …`, and the name may hold anything, brackets too.
        let Some((_, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        let mut fields = rest.split_whitespace();
        let (state, parent) = (
            fields.next().unwrap_or("Z"),
            fields.next().and_then(|field| field.parse().ok()),
        );
        if let (Some(parent), false) = (parent, matches!(state, "Z" | "X")) {
            processes.push((pid, parent));
        }
    }
    let parent_of = |pid: i32| {
        processes
            .iter()
            .find(|(other, _)| *other == pid)
            .map(|(_, parent)| *parent)
    };
    let descends = |pid: i32| std::iter::successors(parent_of(pid), |&up| parent_of(up)).any(|up: i32| up == ancestor);
    let found = processes.iter().filter(|(pid, _)| descends(*pid));
    found
        .map(|&(pid, _)| Survivor {
            pid,
            command: command_of(pid),
        })
        .collect()
}

fn command_of(pid: i32) -> String {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = read("cmdline").replace('\0', " ");
    if line.trim().is_empty() {
        read("comm").trim().to_owned()
    } else {
        line.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended_with_its_group() {
        let started = Instant::now();
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1234.5 & wait"]);
        let error = run(&mut shell, Duration::from_millis(200)).expect_err("it hangs");
        assert!(error.to_string().contains("took longer"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
        let own = rustix::process::getpid().as_raw_nonzero().get();
        assert!(
            !living_descendants(own)
                .iter()
                .any(|survivor| survivor.command.contains("1234.5"))
        );
    }

    #[test]
    fn the_output_of_a_failed_program_is_still_given_back() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo said; exit 3"]);
        let (output, ended) = run_and_read(&mut shell, Duration::from_secs(10)).expect("it starts");
        assert_eq!(output, "said\n");
        assert!(ended.expect_err("it failed").to_string().contains("exit status: 3"));
    }

    #[test]
    fn a_process_that_keeps_the_pipe_open_does_not_hang_the_task() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo said; setsid sleep 4 & sleep 0.3"]);
        let started = Instant::now();
        let (output, ended) = run_and_read(&mut shell, Duration::from_secs(20)).expect("it starts");
        assert_eq!(output, "said\n");
        ended.expect("the shell itself ends well");
        assert!(started.elapsed() < Duration::from_millis(3_900));
    }

    #[test]
    fn a_process_that_leaves_its_group_and_loses_its_parent_is_still_found() {
        adopt_orphans().expect("Linux can");
        let mut shell = Command::new("sh");
        shell.args(["-c", "setsid sleep 4321.5 & sleep 0.2"]);
        run(&mut shell, Duration::from_secs(10)).expect("the shell itself ends");
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let found = living_descendants(own)
            .into_iter()
            .find(|survivor| survivor.command.contains("4321.5"));
        let survivor = found.expect("the orphan is a child of this process now");
        let _ = rustix::process::kill_process(Pid::from_raw(survivor.pid).expect("a pid"), Signal::KILL);
    }
}

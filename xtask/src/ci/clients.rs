//! What the process tests use: redis-cli, redis-benchmark, curl, strace, and redis-py in a virtual environment.
//!
//! A missing client would fail a test, not skip it, so they are made ready first. Tests find the Python at
//! `target/clients/bin/python3`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::children;
use crate::packages::{Program, ensure, install};

/// redis-py; this version speaks RESP3 unless asked for `protocol=2`.
const REDIS_PY: &str = "redis==8.1.0";
const PYTHON_TIME_MAX: Duration = Duration::from_secs(300);

const PROGRAMS: &[Program] = &[
    Program {
        command: "redis-cli",
        package: "redis-tools",
    },
    Program {
        command: "redis-benchmark",
        package: "redis-tools",
    },
    Program {
        command: "curl",
        package: "curl",
    },
    Program {
        command: "python3",
        package: "python3",
    },
    Program {
        command: "strace",
        package: "strace",
    },
    Program {
        command: "git",
        package: "git",
    },
];

/// Makes the clients ready and says which they are.
pub fn prepare(root: &Path) -> anyhow::Result<String> {
    ensure(PROGRAMS)?;
    let folder = root.join("target/clients");
    let stamp = folder.join("packages.txt");
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(REDIS_PY) {
        make_environment(&folder)?;
        std::fs::write(&stamp, REDIS_PY)?;
    }
    let redis = children::ask("redis-cli", &["--version"]).unwrap_or_default();
    Ok(format!("{redis}, {REDIS_PY}"))
}

fn make_environment(folder: &Path) -> anyhow::Result<()> {
    let make = || {
        let mut command = Command::new("python3");
        children::run(command.args(["-m", "venv", "--clear"]).arg(folder), PYTHON_TIME_MAX)
    };
    if make().is_err() {
        install(&["python3-venv"])?; // Debian ships `venv` without the part that puts pip into it.
        make().context("cannot make a virtual environment for redis-py")?;
    }
    let mut pip = Command::new(folder.join("bin/python3"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        REDIS_PY,
    ]);
    children::run(&mut pip, PYTHON_TIME_MAX).context("cannot install redis-py")
}

//! Programs of the system that tasks need: present, installed from Debian's packages, or asked for in plain words.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::children;

const INSTALL_TIME_MAX: Duration = Duration::from_secs(600);

/// A program and the Debian package that has it.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The command.
    pub command: &'static str,
    /// The package.
    pub package: &'static str,
}

/// Whether a command is on the path.
pub fn is_present(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(command).is_file())
}

/// Installs what is missing of `programs`; an error says what to install by hand.
pub fn ensure(programs: &[Program]) -> anyhow::Result<()> {
    let missing = || {
        programs
            .iter()
            .filter(|program| !is_present(program.command))
            .collect::<Vec<_>>()
    };
    let wanted = missing();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = wanted.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    install(&packages)?;
    if let Some(program) = missing().first() {
        bail!(
            "package {} is installed, yet there is no `{}` on the path",
            program.package,
            program.command
        );
    }
    Ok(())
}

/// Installs packages with apt-get.
pub fn install(packages: &[&str]) -> anyhow::Result<()> {
    let list = packages.join(" ");
    if !is_present("apt-get") {
        bail!("these packages are missing and there is no apt-get to install them: {list}");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("these packages are missing; as root: apt-get install --no-install-recommends {list}");
    }
    println!("installing {list}");
    if apt_get_install(packages).is_err() {
        // A fresh machine has no package lists, an old one has lists of packages that are gone.
        children::run(apt_get().arg("update"), INSTALL_TIME_MAX).context("apt-get update")?;
        apt_get_install(packages).with_context(|| format!("cannot install {list}"))?;
    }
    Ok(())
}

fn apt_get_install(packages: &[&str]) -> anyhow::Result<()> {
    let mut command = apt_get();
    command
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages);
    children::run(&mut command, INSTALL_TIME_MAX)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["--quiet", "-o", "Dpkg::Use-Pty=0"]);
    command
}

/// Fetches and unpacks the source package `name` below `folder`, and gives back where it was unpacked.
///
/// The machine's own apt sources are used, as source archives, from a private configuration below `folder`: nothing of
/// the system's apt is changed and no host is named here.
pub fn unpack_source(name: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let unpacked = folder.join(name);
    if unpacked.is_dir() {
        return Ok(unpacked);
    }
    if !is_present("apt-get") {
        bail!("the source package `{name}` is fetched with apt-get, which this system does not have");
    }
    if !is_present("dpkg-source") {
        install(&["dpkg-dev"])?;
    }
    let apt = folder.join("apt");
    for part in ["sources", "lists/partial", "cache/archives/partial", "download"] {
        std::fs::create_dir_all(apt.join(part)).context("cannot make the private apt folders")?;
    }
    let (lines, stanzas) = source_archives(Path::new("/etc/apt"))?;
    std::fs::write(apt.join("sources/source.list"), lines)?;
    std::fs::write(apt.join("sources/source.sources"), stanzas)?;
    let private = |command: &mut Command| {
        for (option, part) in [
            ("Dir::Etc::sourceparts", "sources"),
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            command.arg("-o").arg(format!("{option}={}", apt.join(part).display()));
        }
        command.args(["-o", "Dir::Etc::sourcelist=/dev/null", "-o", "APT::Sandbox::User=root"]);
    };
    let mut update = apt_get();
    private(&mut update);
    children::run(update.arg("update"), INSTALL_TIME_MAX)?;
    let mut download = apt_get();
    private(&mut download);
    download
        .args(["source", "--download-only", name])
        .current_dir(apt.join("download"));
    children::run(&mut download, INSTALL_TIME_MAX)?;

    let mut descriptions = std::fs::read_dir(apt.join("download"))?
        .flatten()
        .map(|entry| entry.path());
    let description = descriptions
        .find(|path| path.extension().is_some_and(|extension| extension == "dsc"))
        .context("apt-get source fetched no .dsc file")?;
    let partial = folder.join(format!("{name}.partial"));
    if partial.exists() {
        std::fs::remove_dir_all(&partial)?;
    }
    let mut unpack = Command::new("dpkg-source");
    unpack.args(["--no-check", "--extract"]).arg(&description).arg(&partial);
    children::run(&mut unpack, INSTALL_TIME_MAX)?;
    std::fs::rename(&partial, &unpacked)?; // A half-unpacked tree never has the final name.
    std::fs::remove_dir_all(&apt)?;
    Ok(unpacked)
}

/// The machine's apt sources as source archives: (one-line form, stanza form).
fn source_archives(etc_apt: &Path) -> anyhow::Result<(String, String)> {
    let mut files = vec![etc_apt.join("sources.list")];
    files.extend(
        std::fs::read_dir(etc_apt.join("sources.list.d"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path()),
    );
    files.sort();
    let (mut lines, mut stanzas) = (String::new(), String::new());
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => lines.push_str(&as_source_lines(&text)),
            Some("sources") => stanzas.push_str(&as_source_stanzas(&text)),
            Some(_) | None => {}
        }
    }
    if lines.is_empty() && stanzas.is_empty() {
        bail!("no apt sources found below {}", etc_apt.display());
    }
    Ok((lines, stanzas))
}

fn as_source_lines(text: &str) -> String {
    let binary = text.lines().filter_map(|line| line.trim().strip_prefix("deb "));
    binary.map(|rest| format!("deb-src {rest}\n")).collect()
}

fn as_source_stanzas(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| {
        if line.starts_with("Types:") {
            "Types: deb-src"
        } else {
            line
        }
    });
    lines.map(|line| format!("{line}\n")).collect::<String>() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_apt_sources_become_source_archives() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let parts = folder.path().join("sources.list.d");
        std::fs::create_dir(&parts).expect("the folder is writable");
        std::fs::write(
            folder.path().join("sources.list"),
            "# x\ndeb [a=b] http://h/d s main\ndeb-src http://h/d s x\n",
        )
        .expect("the folder is writable");
        std::fs::write(
            parts.join("a.sources"),
            "Types: deb\n# x\nURIs: http://h/d\nSuites: s\n",
        )
        .expect("writable");
        std::fs::write(parts.join("b.list.off"), "deb http://other/ s main\n").expect("writable");
        let (lines, stanzas) = source_archives(folder.path()).expect("there are sources");
        assert_eq!(lines, "deb-src [a=b] http://h/d s main\n");
        assert_eq!(stanzas, "Types: deb-src\nURIs: http://h/d\nSuites: s\n\n");
    }

    #[test]
    fn a_missing_program_is_seen() {
        assert!(is_present("sh"));
        assert!(!is_present("no-such-program-here"));
    }
}

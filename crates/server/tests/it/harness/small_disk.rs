//! A small file system of its own, where this machine lets the test mount one: ext4 on a loop device, else tmpfs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A mounted file system; unmounted when it is dropped.
pub struct SmallDisk {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: &'static str,
    _dir: TempDir,
}

impl SmallDisk {
    /// One of so many mebibytes; `None`, and why is printed, where nothing can be mounted.
    pub fn mount(mebibytes: u64) -> Option<Self> {
        let dir = tempfile::Builder::new()
            .prefix("disk-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a directory under target/tmp");
        let path = dir.path().join("mounted");
        std::fs::create_dir(&path).expect("a directory to mount on");
        let image = dir.path().join("image");
        let is_file_made = std::fs::File::create(&image)
            .and_then(|file| file.set_len(mebibytes << 20))
            .is_ok();
        let is_ext4 = is_file_made
            && run(Command::new("mkfs.ext4").arg("-q").arg(&image))
            && run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&path));
        let size = format!("size={mebibytes}m");
        let kind = if is_ext4 {
            "ext4 on a loop device"
        } else if run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&path))
        {
            "tmpfs"
        } else {
            println!("skipped: this machine lets the test mount neither a loop device nor a tmpfs (it takes root)");
            return None;
        };
        Some(Self { path, kind, _dir: dir })
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.path).expect("a mounted file system");
        stat.f_bavail * stat.f_frsize
    }

    /// Takes all free space but so many bytes, with one file.
    pub fn fill_but(&self, left_bytes: u64) -> PathBuf {
        let filler = self.path.join("filler");
        let bytes = self.free_bytes().checked_sub(left_bytes).expect("as much is free");
        let file = std::fs::File::create(&filler).expect("a file on it");
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).expect("space for it");
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if !run(Command::new("umount").arg(&self.path)) {
            run(Command::new("umount").arg("-l").arg(&self.path));
        }
    }
}

fn run(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Where directories of tests are made otherwise.
pub fn usual() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

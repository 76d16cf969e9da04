//! The turn: process tests run one after another, on ports below the ephemeral range, each with a hard time limit.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const TEST_TIME_MAX: Duration = Duration::from_secs(240);
/// Blocks of a hundred ports are tried between these.
const PORTS: std::ops::Range<u16> = 21_000..31_000;
const BLOCK: u16 = 100;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Held by the one test that may run processes now.
pub struct Turn {
    over: Arc<AtomicBool>,
    _lock: File,
    _turn: MutexGuard<'static, ()>,
}

impl Turn {
    /// Waits for the turn; from now on the time limit runs.
    pub fn take() -> Self {
        // A test that failed left nothing behind: its nodes are dropped before its turn.
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("turn.lock");
        let lock = File::create(&path).expect("a lock file under target/tmp");
        lock.lock().expect("the lock of another test run");
        let over = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&over);
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        std::thread::spawn(move || {
            let give_up = Instant::now() + TEST_TIME_MAX;
            while !watched.load(Ordering::Relaxed) {
                if Instant::now() > give_up {
                    eprintln!("{name} took more than {TEST_TIME_MAX:?}: everything ends here");
                    // The nodes' standard input closes with this process, and they stop.
                    std::process::abort();
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self {
            over,
            _lock: lock,
            _turn: turn,
        }
    }

    /// A base port with a free block of a hundred above it, checked by binding.
    pub fn base_port(&self) -> u16 {
        let blocks = (PORTS.end - PORTS.start) / BLOCK;
        let first = (std::process::id() % u32::from(blocks)) as u16;
        (0..blocks)
            .map(|at| PORTS.start + (first + at) % blocks * BLOCK)
            .find(|base| (0..BLOCK).all(|port| TcpListener::bind(("127.0.0.1", base + port)).is_ok()))
            .expect("no free block of ports")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

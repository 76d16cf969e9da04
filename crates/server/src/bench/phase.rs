//! One phase of a run, the fill or the measurement: starts the workers, watches the clock and the processes, sums up.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::process::{Cpu, cpu_of, own_cpu, peak_memory_bytes_of};
use super::progress::Progress;
use super::protocol::Protocol;
use super::random::{Random, spread};
use super::recorder::{Recorder, Window};
use super::report::{Measured, ServerProcess};
use super::source::{Shared, Source, Work};
use super::value::Values;
use super::worker::{Gauge, Pace, work};

/// Connections are made in this time before the first operation is due.
const LEAD: Duration = Duration::from_millis(50);

/// How often progress is shown and the clock looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a phase needs to know.
#[derive(Debug)]
pub struct Phase<'a, P> {
    /// Its name in the progress bar.
    pub name: &'static str,
    /// The protocol.
    pub protocol: &'a P,
    /// The nodes.
    pub addresses: &'a [SocketAddr],
    /// What every worker does.
    pub work: Work,
    /// Keys that exist at its start.
    pub keys: u64,
    /// The values.
    pub values: &'a Values,
    /// Connections in all.
    pub connections: usize,
    /// Threads.
    pub threads: usize,
    /// Operations in a batch.
    pub pipeline: usize,
    /// The open loop's rate.
    pub rate: Option<f64>,
    /// Load before the measurement.
    pub warm_up: Duration,
    /// What ends it.
    pub end: End,
    /// See `--timeout-ms`.
    pub timeout: Duration,
    /// The seed of all random choices.
    pub seed: u64,
    /// Server processes to watch.
    pub server_pids: &'a [u32],
}

/// What ends a phase.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// So much measured time.
    After(Duration),
    /// So many measured operations.
    Operations(u64),
}

/// What the books said at one moment.
struct Books {
    own: Cpu,
    servers: Vec<Cpu>,
}

impl Books {
    fn read(pids: &[u32]) -> std::io::Result<Books> {
        let servers = pids.iter().map(|pid| cpu_of(*pid)).collect::<std::io::Result<_>>()?;
        Ok(Books {
            own: own_cpu(),
            servers,
        })
    }
}

impl<P: Protocol> Phase<'_, P> {
    /// Runs the phase; gives back what was measured, and its summary.
    pub fn run(&self) -> anyhow::Result<(Recorder, Measured)> {
        let epoch = Instant::now();
        let start_ns = LEAD.as_nanos() as u64;
        let measure_ns = start_ns + self.warm_up.as_nanos() as u64;
        let (end_ns, budget) = match self.end {
            End::After(duration) => (measure_ns + duration.as_nanos() as u64, u64::MAX),
            End::Operations(operations) => (u64::MAX, operations),
        };
        let bin_ms = match self.end {
            End::After(duration) if duration > Duration::from_secs(60) => 1_000,
            End::After(_) | End::Operations(_) => 250,
        };
        let window = Window {
            start_ns: measure_ns,
            end_ns,
            bin_ns: bin_ms * 1_000_000,
        };
        let shared = Shared::new(budget, self.keys);
        let gauges: Vec<Gauge> = (0..self.threads).map(|_| Gauge::default()).collect();
        std::thread::scope(|scope| {
            let mut workers = Vec::new();
            for (index, gauge) in gauges.iter().enumerate() {
                let addresses = self.addresses_of(index);
                let pace = Pace {
                    epoch,
                    start_ns: start_ns + self.stagger_ns(index),
                    window,
                    pipeline: self.pipeline,
                    operations_per_second: self
                        .rate
                        .map(|rate| rate * addresses.len() as f64 / self.connections as f64),
                    timeout_ns: self.timeout.as_nanos() as u64,
                };
                let source = Source::new(
                    &shared,
                    self.work.clone(),
                    Random::new(spread(self.seed) ^ index as u64),
                );
                workers.push(
                    std::thread::Builder::new()
                        .name(format!("bench-{index}"))
                        .spawn_scoped(scope, move || {
                            work(self.protocol, &addresses, source, self.values, &pace, gauge)
                                .map(|recorder| (recorder, epoch.elapsed()))
                        })?,
                );
            }
            let watched = self.watch(epoch, window, &gauges, || {
                workers.iter().all(|worker| worker.is_finished())
            });
            let mut total = Recorder::new(window);
            let mut finished = Duration::ZERO;
            for worker in workers {
                let (recorder, at) = worker.join().map_err(|_| anyhow::anyhow!("a load thread panicked"))??;
                total.merge(&recorder);
                finished = finished.max(at);
            }
            let (before, after) = watched?;
            let until_ns = if end_ns == u64::MAX {
                finished.as_nanos() as u64
            } else {
                end_ns
            };
            let seconds = until_ns.saturating_sub(measure_ns).max(1) as f64 / 1e9;
            let processes = self
                .server_pids
                .iter()
                .zip(after.servers.iter().zip(&before.servers))
                .map(|(pid, (after, before))| {
                    Ok(ServerProcess {
                        pid: *pid,
                        cpu: after.since(before),
                        peak_memory_bytes: peak_memory_bytes_of(*pid).unwrap_or(0),
                    })
                })
                .collect::<anyhow::Result<Vec<_>>>()?;
            let measured = Measured::of(&total, seconds, after.own.since(&before.own), processes);
            Ok((total, measured))
        })
    }

    /// The connections of one worker: every `threads`th, so that each worker reaches every node.
    fn addresses_of(&self, worker: usize) -> Vec<SocketAddr> {
        (worker..self.connections)
            .step_by(self.threads)
            .map(|index| self.addresses[index % self.addresses.len()])
            .collect()
    }

    /// Open loop: the workers' first operations are due one after the other, not all at once.
    fn stagger_ns(&self, worker: usize) -> u64 {
        self.rate.map_or(0, |rate| (worker as f64 * 1e9 / rate) as u64)
    }

    /// Shows progress until all workers are done, and reads the books when the measurement begins and ends.
    fn watch(
        &self,
        epoch: Instant,
        window: Window,
        gauges: &[Gauge],
        is_over: impl Fn() -> bool,
    ) -> anyhow::Result<(Books, Books)> {
        let mut progress = Progress::new(self.name);
        let mut before = None;
        let mut after = None;
        // A server that was killed has no books any more; what it used is then unknown, but the run goes on.
        let read = || {
            Books::read(self.server_pids).unwrap_or_else(|_| Books {
                own: own_cpu(),
                servers: Vec::new(),
            })
        };
        loop {
            let now_ns = epoch.elapsed().as_nanos() as u64;
            if before.is_none() && now_ns >= window.start_ns {
                before = Some(read());
            }
            if after.is_none() && now_ns >= window.end_ns {
                after = Some(read());
            }
            if is_over() {
                break;
            }
            let completed: u64 = gauges.iter().map(|gauge| gauge.completed.load(Ordering::Relaxed)).sum();
            let failed: u64 = gauges.iter().map(|gauge| gauge.failed.load(Ordering::Relaxed)).sum();
            let share = match self.end {
                End::After(_) => now_ns as f64 / window.end_ns as f64,
                End::Operations(operations) => completed as f64 / operations as f64,
            };
            progress.update(share.min(1.0), completed, failed);
            let next_ns = [window.start_ns, window.end_ns]
                .into_iter()
                .filter(|mark| *mark > now_ns)
                .min()
                .unwrap_or(u64::MAX);
            std::thread::sleep(LOOK_EVERY.min(Duration::from_nanos(next_ns - now_ns)));
        }
        progress.finish();
        let after = after.unwrap_or_else(read);
        Ok((
            before.unwrap_or_else(|| Books {
                own: after.own,
                servers: after.servers.clone(),
            }),
            after,
        ))
    }
}

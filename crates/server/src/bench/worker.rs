//! One thread of load: an edge-triggered epoll loop over its share of the connections.
//!
//! Closed loop: an idle connection sends the next batch at once. Open loop: operations come due by the [`Schedule`] and
//! leave as soon as their connection has room. Timers come from epoll's own nanosecond timeout: nothing spins.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustix::event::Timespec;
use rustix::event::epoll;

use super::connection::{Connection, Link, Workbench};
use super::protocol::Protocol;
use super::recorder::{Recorder, Window};
use super::schedule::Schedule;
use super::source::Source;
use super::value::Values;

/// How often timeouts and pauses are looked at.
const TICK_NS: u64 = 20_000_000;

/// A run that a number of operations should end is given up when nothing was answered for so many timeouts.
const SILENT_TIMEOUTS_MAX: u64 = 3;

/// What is done so far, for the progress bar: one cache line per worker.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Gauge {
    /// Operations completed, warm-up included.
    pub completed: AtomicU64,
    /// Operations failed, warm-up included.
    pub failed: AtomicU64,
}

/// How one worker runs.
#[derive(Debug, Clone)]
pub struct Pace {
    /// All times are nanoseconds since this.
    pub epoch: Instant,
    /// When to start sending.
    pub start_ns: u64,
    /// What is measured.
    pub window: Window,
    /// Operations of one batch, or in flight at most in the open loop.
    pub pipeline: usize,
    /// This worker's share of the open loop's rate; `None` is the closed loop.
    pub operations_per_second: Option<f64>,
    /// After how long without an answer a connection is given up.
    pub timeout_ns: u64,
}

/// Runs one worker to its end and gives back its measurements.
pub fn work<P: Protocol>(
    protocol: &P,
    addresses: &[SocketAddr],
    source: Source<'_>,
    values: &Values,
    pace: &Pace,
    gauge: &Gauge,
) -> std::io::Result<Recorder> {
    // The default slack of 50 µs would delay every send of the open loop by as much.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let worker = Worker {
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        connections: addresses.iter().copied().map(Connection::new).collect(),
        schedule: pace
            .operations_per_second
            .map(|rate| Schedule::new(pace.start_ns, rate, addresses.len())),
        bench: Workbench {
            protocol,
            source,
            recorder: Recorder::new(pace.window),
            values,
            error_name: String::new(),
        },
        pace,
        gauge,
        exhausted: false,
        completed_seen: 0,
        failed_seen: 0,
        last_completion_ns: 0,
        touched: Vec::new(),
    };
    worker.run()
}

struct Worker<'a, P> {
    epoll: std::os::fd::OwnedFd,
    connections: Vec<Connection>,
    schedule: Option<Schedule>,
    bench: Workbench<'a, P>,
    pace: &'a Pace,
    gauge: &'a Gauge,
    /// The budget is used up: nothing more is sent.
    exhausted: bool,
    completed_seen: u64,
    failed_seen: u64,
    last_completion_ns: u64,
    /// Connections for which something came due this turn, reused.
    touched: Vec<usize>,
}

impl<P: Protocol> Worker<'_, P> {
    fn run(mut self) -> std::io::Result<Recorder> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(1024);
        let mut now_ns = self.now_ns();
        let mut tick_ns = now_ns;
        while !self.is_over(now_ns) {
            let mut deadline_ns = tick_ns;
            if let Some(schedule) = &self.schedule
                && now_ns < self.pace.window.end_ns
            {
                deadline_ns = deadline_ns.min(schedule.next_due_ns());
            }
            let wait_ns = deadline_ns.saturating_sub(now_ns);
            let timeout = Timespec {
                tv_sec: (wait_ns / 1_000_000_000) as i64,
                tv_nsec: (wait_ns % 1_000_000_000) as i64,
            };
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            now_ns = self.now_ns();
            for event in &events {
                self.on_event(event.data.u64() as usize, event.flags, now_ns);
            }
            now_ns = self.now_ns();
            self.on_arrivals(now_ns);
            if now_ns >= tick_ns {
                tick_ns = now_ns + TICK_NS;
                self.on_tick(now_ns)?;
            }
            self.publish(now_ns);
        }
        self.finish(now_ns);
        Ok(self.bench.recorder)
    }

    fn now_ns(&self) -> u64 {
        self.pace.epoch.elapsed().as_nanos() as u64
    }

    fn on_event(&mut self, index: usize, flags: epoll::EventFlags, now_ns: u64) {
        let epoch = self.pace.epoch;
        let clock = || epoch.elapsed().as_nanos() as u64;
        let connection = &mut self.connections[index];
        if flags.intersects(epoll::EventFlags::OUT | epoll::EventFlags::ERR | epoll::EventFlags::HUP) {
            connection.on_writable(now_ns, &mut self.bench);
        }
        let hung_up = flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::HUP);
        if hung_up || flags.contains(epoll::EventFlags::IN) {
            connection.on_readable(hung_up, clock, &mut self.bench);
        }
        self.send(index, None);
    }

    /// Sends what the connection may send now. One clock reading serves a whole batch.
    fn send(&mut self, index: usize, known_now_ns: Option<u64>) {
        let connection = &mut self.connections[index];
        if connection.link != Link::Ready {
            return;
        }
        let epoch = self.pace.epoch;
        let mut now_ns = known_now_ns;
        let mut clock = || *now_ns.get_or_insert_with(|| epoch.elapsed().as_nanos() as u64);
        if connection.has_write_backs() {
            connection.append_write_backs(clock(), &mut self.bench);
        }
        match &self.schedule {
            None => {
                if connection.is_idle() && !self.exhausted {
                    let now_ns = clock();
                    if now_ns >= self.pace.start_ns && now_ns < self.pace.window.end_ns {
                        let measured = now_ns >= self.pace.window.start_ns;
                        for _ in 0..self.pace.pipeline {
                            let Some((kind, key)) = self.bench.source.next(measured) else {
                                self.exhausted = true;
                                break;
                            };
                            connection.append(kind, key, now_ns, now_ns, &mut self.bench);
                        }
                    }
                }
            }
            Some(schedule) => {
                while connection.taken < connection.arrived && connection.in_flight() < self.pace.pipeline {
                    let now_ns = clock();
                    let intended_ns = schedule.due_of_connection_ns(index, connection.taken);
                    if now_ns >= self.pace.window.end_ns {
                        break;
                    }
                    let Some((kind, key)) = self.bench.source.next(intended_ns >= self.pace.window.start_ns) else {
                        self.exhausted = true;
                        break;
                    };
                    connection.taken += 1;
                    connection.append(kind, key, intended_ns, now_ns, &mut self.bench);
                }
            }
        }
        if connection.has_output() {
            connection.flush(clock(), &mut self.bench);
        }
    }

    /// Open loop: hands what came due to its connections, then sends once per connection.
    fn on_arrivals(&mut self, now_ns: u64) {
        let Some(schedule) = &mut self.schedule else { return };
        if self.exhausted {
            return;
        }
        let until_ns = now_ns.min(self.pace.window.end_ns.saturating_sub(1));
        while let Some(index) = schedule.arrive(until_ns) {
            let connection = &mut self.connections[index];
            if connection.taken == connection.arrived {
                self.touched.push(index);
            }
            connection.arrived += 1;
        }
        let touched = std::mem::take(&mut self.touched);
        for index in &touched {
            self.send(*index, Some(now_ns));
        }
        self.touched = touched;
        self.touched.clear();
    }

    fn on_tick(&mut self, now_ns: u64) -> std::io::Result<()> {
        for index in 0..self.connections.len() {
            if self.connections[index].on_tick(now_ns, self.pace.timeout_ns, &mut self.bench)
                && !self.is_done_sending(now_ns)
            {
                if let Some(stream) = self.connections[index].connect(now_ns, &mut self.bench) {
                    let flags = epoll::EventFlags::IN
                        | epoll::EventFlags::OUT
                        | epoll::EventFlags::RDHUP
                        | epoll::EventFlags::ET;
                    epoll::add(&self.epoll, stream, epoll::EventData::new_u64(index as u64), flags)?;
                }
            } else {
                // Starts the closed loop once its time has come, and goes on after a budget got operations back.
                self.send(index, Some(now_ns));
            }
        }
        Ok(())
    }

    fn publish(&mut self, now_ns: u64) {
        let recorder = &self.bench.recorder;
        let completed = recorder.completed_ever - self.completed_seen;
        let failed = recorder.failed_ever - self.failed_seen;
        if completed > 0 {
            self.last_completion_ns = now_ns;
            self.completed_seen = recorder.completed_ever;
            self.gauge.completed.fetch_add(completed, Ordering::Relaxed);
        }
        if failed > 0 {
            self.failed_seen = recorder.failed_ever;
            self.gauge.failed.fetch_add(failed, Ordering::Relaxed);
            // A fill gets lost keys back.
            self.exhausted = self.exhausted && self.bench.source.is_exhausted();
        }
    }

    fn is_done_sending(&self, now_ns: u64) -> bool {
        self.exhausted || now_ns >= self.pace.window.end_ns
    }

    fn is_over(&self, now_ns: u64) -> bool {
        let silent_since_ns = self.last_completion_ns.max(self.pace.start_ns);
        if self.pace.window.end_ns == u64::MAX
            && now_ns.saturating_sub(silent_since_ns) > SILENT_TIMEOUTS_MAX * self.pace.timeout_ns
        {
            return true;
        }
        // Whatever is still in flight is awaited; the tick gives it up after the timeout.
        self.is_done_sending(now_ns) && self.connections.iter().all(Connection::is_idle)
    }

    /// Open loop: what was due and never sent counts with the age it has now.
    fn finish(&mut self, now_ns: u64) {
        let Some(schedule) = &self.schedule else { return };
        if self.exhausted {
            return;
        }
        for (index, connection) in self.connections.iter().enumerate() {
            for number in connection.taken..connection.arrived {
                let intended_ns = schedule.due_of_connection_ns(index, number);
                if let Some((kind, _)) = self.bench.source.next(intended_ns >= self.pace.window.start_ns) {
                    self.bench.recorder.leave_behind(kind, intended_ns, now_ns);
                }
            }
        }
    }
}

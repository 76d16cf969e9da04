//! How hosts start, stop, die, stand still and hear of one another.

use std::sync::Arc;

use torc_core::admission::AdmissionLimits;
use torc_core::background::{PaceChange, Work};
use torc_core::bucket::{Bucket, Catalog, Durability};
use torc_core::effect::{Input, Outbox};
use torc_core::id::BucketId;
use torc_core::key::RecordKey;
use torc_core::node::{Node, NodeConfig};
use torc_core::ring::Ring;
use torc_core::storage::{BootState, Spoiled, StoreError, StoreHealth, StoreReply};

use crate::world::disk::SyncMode;
use crate::world::image::{Hints, Image, Records};
use crate::world::network::End;
use crate::world::{Event, Happening, Loss, World};

/// How often a stopping host looks whether it is drained before it gives up.
const DRAIN_TIMES_MAX: u32 = 40;

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Death {
    /// The process alone: the operating system keeps what it was given.
    Process,
    /// The machine: what was not synced may be lost.
    Machine,
    /// The machine and its disk.
    Wipe,
    /// The machine; its disk is replaced by an old copy, if there is one.
    Restore,
}

impl World {
    /// Starts a host that is down.
    pub(super) fn boot(&mut self, host: usize) {
        if self.hosts[host].node.is_some() {
            return;
        }
        let is_misconfigured = std::mem::take(&mut self.hosts[host].is_misconfigured);
        let origin_us = self.chance.between(1_000_000, 1_000_000_000_000);
        let seed = self.chance.draw();
        let now_us = self.now_us;
        let (ring, catalog) = if is_misconfigured {
            other_configuration(self)
        } else {
            (Arc::clone(&self.ring), Arc::clone(&self.catalog))
        };
        let this = &mut self.hosts[host];
        this.boot += 1;
        this.is_paused = false;
        this.is_closed = is_misconfigured;
        this.inbox.clear();
        this.tick_at_us = u64::MAX;
        this.undisturbed_since_us = now_us;
        this.clock.origin_us = origin_us;
        this.clock.booted_us = now_us;
        // Different for every boot of every host; drawn from no chance, so that it moves nothing else.
        let nonce = twox_hash::XxHash3_64::oneshot_with_seed(now_us, &[host as u8]) | 1;
        let image = this.disk.boot(nonce);
        let config = NodeConfig {
            id: this.id,
            ring,
            catalog,
            seed,
        };
        let mut out = Outbox::new();
        let mut node = Node::new(config, boot_state(&image, nonce), this.clock.now(now_us), &mut out);
        node.set_admission(AdmissionLimits {
            running_max: self.scenario.running_max,
            ..AdmissionLimits::default()
        });
        node.set_context_limits(self.scenario.contexts);
        let deadline = node.next_deadline();
        this.node = Some(node);
        let boot = this.boot;
        self.last_boot_us[host] = now_us;
        self.trace.event(now_us, host, || format!("starts (boot {boot})"));
        self.perform(host, out);
        self.schedule_tick(host, deadline);
        let at = now_us + self.scenario.disk.interval_us;
        self.schedule(at, Event::Background(host, boot));
        self.tell_health(host);
        for peer in 0..self.hosts.len() {
            if peer != host {
                self.connect(host, peer);
            }
        }
    }

    /// Ends a host's process, and starts it again after `down_us`.
    pub fn kill(&mut self, host: usize, death: Death, down_us: u64) {
        if self.hosts[host].node.is_none() {
            return;
        }
        self.trace.event(self.now_us, host, || format!("dies ({death:?})"));
        let before = self.all_believed(host);
        let hints = self.hosts[host].disk.believed_hints().clone();
        let had_lied = self.hosts[host].disk.mode == SyncMode::Lying || self.hosts[host].disk.has_lied;
        let this = &mut self.hosts[host];
        match death {
            Death::Process => this.disk.crash(false, &mut self.chance),
            Death::Machine => this.disk.crash(true, &mut self.chance),
            Death::Wipe => this.disk.wipe(),
            Death::Restore => match this.copy.clone() {
                Some(copy) => this.disk.restore(copy),
                None => this.disk.crash(true, &mut self.chance),
            },
        }
        let loss = match death {
            Death::Restore => Loss::Replaced,
            Death::Machine if had_lied => Loss::Lied,
            Death::Machine | Death::Process | Death::Wipe => Loss::Known,
        };
        self.hosts[host].has_old_disk |= loss != Loss::Known;
        let hints = self.gone_of(host, hints);
        self.happenings.push(Happening::Lost {
            host,
            before,
            hints,
            loss,
        });
        self.leave(host);
        self.schedule_boot(host, down_us);
    }

    /// Stops a host in order: no more clients, then wait for what is in flight, then the marker.
    pub fn stop(&mut self, host: usize) {
        if self.hosts[host].node.is_some() && !self.hosts[host].is_paused {
            self.hosts[host].is_closed = true;
            let boot = self.hosts[host].boot;
            self.trace.event(self.now_us, host, || "is being stopped".into());
            self.schedule(self.now_us, Event::Drain(host, boot, 0));
        }
    }

    pub(super) fn drain(&mut self, host: usize, boot: u32, times: u32) {
        let this = &self.hosts[host];
        if this.boot != boot || this.node.is_none() {
            return;
        }
        let in_flight = this.node.as_ref().map_or(0, Node::in_flight);
        let is_drained = in_flight == 0 && this.disk.is_idle() && !this.is_paused;
        if !is_drained && times < DRAIN_TIMES_MAX {
            self.schedule(self.now_us + 50_000, Event::Drain(host, boot, times + 1));
            return;
        }
        let before = self.all_believed(host);
        let hints = self.hosts[host].disk.believed_hints().clone();
        let this = &mut self.hosts[host];
        let marker = this.node.as_ref().and_then(Node::clean_marker);
        let marker = marker.filter(|_| is_drained);
        let trees = this.node.as_ref().map(Node::checkpoint).unwrap_or_default();
        let is_clean = marker.is_some();
        if is_drained {
            this.disk.stop_cleanly(marker, trees);
            if this.copy.is_none() || self.chance.percent(30) {
                this.copy = Some(this.disk.copy());
            }
        } else {
            this.disk.crash(false, &mut self.chance);
        }
        self.trace
            .event(self.now_us, host, || format!("has stopped (clean: {is_clean})"));
        let hints = self.gone_of(host, hints);
        self.happenings.push(Happening::Lost {
            host,
            before,
            hints,
            loss: Loss::Known,
        });
        self.leave(host);
        let down_us = self.chance.log_between(10_000, 4_000_000);
        self.schedule_boot(host, down_us);
    }

    /// A host gives up a damaged file.
    pub(super) fn discard(&mut self, host: usize, spoiled: &Spoiled) -> StoreReply {
        if self.hosts[host].disk.is_out_of_service {
            return StoreReply::Failed(StoreError::OutOfService);
        }
        let before = self.all_believed(host);
        self.trace
            .event(self.now_us, host, || format!("gives up {}", spoiled.file));
        self.hosts[host].disk.discard(spoiled);
        let loss = Loss::Known;
        let hints = Vec::new();
        self.happenings.push(Happening::Lost {
            host,
            before,
            hints,
            loss,
        });
        StoreReply::Done
    }

    /// An operator asks a host to scrub.
    pub fn scrub(&mut self, host: usize) {
        if self.hosts[host].node.is_some() && !self.hosts[host].is_paused {
            let change = PaceChange {
                run_now: true,
                ..PaceChange::default()
            };
            let work = Work::Scrub;
            self.step(host, Input::Control { work, change });
        }
    }

    /// A host looks at once for what may be forgotten.
    pub fn reap(&mut self, host: usize) {
        self.control(
            host,
            Work::Reaping,
            PaceChange {
                run_now: true,
                ..PaceChange::default()
            },
        );
    }

    /// An operator changes how a host's background work goes.
    pub fn control(&mut self, host: usize, work: Work, change: PaceChange) {
        if self.hosts[host].node.is_some() {
            self.step(host, Input::Control { work, change });
        }
    }

    /// A process stands still.
    pub fn pause(&mut self, host: usize, for_us: u64) {
        if self.hosts[host].node.is_some() && !self.hosts[host].is_paused {
            self.trace.event(self.now_us, host, || "stands still".into());
            self.hosts[host].is_paused = true;
            let boot = self.hosts[host].boot;
            self.schedule(self.now_us + for_us, Event::Resume(host, boot));
        }
    }

    /// A process goes on and finds what has come in meanwhile.
    pub fn resume(&mut self, host: usize) {
        if !self.hosts[host].is_paused {
            return;
        }
        self.trace.event(self.now_us, host, || "goes on".into());
        self.hosts[host].is_paused = false;
        self.hosts[host].undisturbed_since_us = self.now_us;
        self.hosts[host].tick_at_us = u64::MAX;
        self.step(host, Input::Tick);
        while let Some(input) = self.hosts[host].inbox.pop_front() {
            self.step(host, input);
        }
    }

    /// Tells a node how its store is.
    pub fn tell_health(&mut self, host: usize) {
        let disk = &self.hosts[host].disk;
        let health = StoreHealth {
            full: disk.is_full,
            slow: matches!(disk.mode, SyncMode::Slow(_)),
            bytes: 0,
        };
        self.step(host, Input::StoreHealth(health));
    }

    /// Connects two hosts, if both run and nothing keeps them apart.
    pub fn connect(&mut self, a: usize, b: usize) {
        let both_run = self.hosts[a].node.is_some() && self.hosts[b].node.is_some();
        if !both_run || self.network.is_severed(a, b) {
            return;
        }
        self.generation += 1;
        let generation = self.generation;
        for (host, peer) in [(a, b), (b, a)] {
            let at = self.now_us + self.chance.between(100, 30_000);
            let boots = (self.hosts[host].boot, self.hosts[peer].boot);
            self.schedule(at, Event::Link(host, boots.0, peer, boots.1, generation, true));
        }
    }

    /// Breaks the connection of two hosts; each end hears of it in its own time.
    pub fn disconnect(&mut self, a: usize, b: usize) {
        for (host, peer) in [(a, b), (b, a)] {
            self.break_end(host, peer);
        }
    }

    pub(super) fn on_link(&mut self, host: usize, boot: u32, peer: usize, peer_boot: u32, generation: u32, up: bool) {
        if self.hosts[host].boot != boot || self.hosts[host].node.is_none() {
            return;
        }
        let end = self.network.end(host, peer);
        let node = self.hosts[peer].id;
        if !up {
            if end.is_up && end.generation == generation {
                self.network.set_end(
                    host,
                    peer,
                    End {
                        is_up: false,
                        generation,
                    },
                );
                self.step(host, Input::Peer { node, up: false });
            }
            return;
        }
        let is_current = self.hosts[peer].boot == peer_boot && self.hosts[peer].node.is_some();
        if !is_current || self.network.is_severed(host, peer) || end.generation >= generation {
            return;
        }
        if end.is_up {
            self.step(host, Input::Peer { node, up: false });
        }
        self.network.set_end(
            host,
            peer,
            End {
                is_up: true,
                generation,
            },
        );
        self.step(host, Input::Peer { node, up: true });
    }

    fn break_end(&mut self, host: usize, peer: usize) {
        let end = self.network.end(host, peer);
        if end.is_up {
            let at = self.now_us + self.chance.log_between(500, 2_000_000);
            let boots = (self.hosts[host].boot, self.hosts[peer].boot);
            self.schedule(at, Event::Link(host, boots.0, peer, boots.1, end.generation, false));
        }
    }

    /// The process is gone: its clients and its peers' connections with it.
    fn leave(&mut self, host: usize) {
        self.hosts[host].node = None;
        self.hosts[host].is_paused = false;
        self.hosts[host].inbox.clear();
        for request in std::mem::take(&mut self.hosts[host].requests) {
            self.happenings.push(Happening::HungUp(request));
        }
        for peer in 0..self.hosts.len() {
            if peer != host {
                let end = self.network.end(host, peer);
                self.network.set_end(host, peer, End { is_up: false, ..end });
                self.break_end(peer, host);
            }
        }
    }

    /// Which of these it does not keep any more as they were.
    fn gone_of(&self, host: usize, before: Hints) -> Vec<RecordKey> {
        let after = self.hosts[host].disk.believed_hints();
        let gone = before.into_iter().filter(|hint| after.get(&hint.0) != Some(&hint.1));
        gone.map(|hint| hint.0.1).collect()
    }

    fn schedule_boot(&mut self, host: usize, down_us: u64) {
        let boot = self.hosts[host].boot;
        self.schedule(self.now_us + down_us, Event::Boot(host, boot));
    }

    /// Everything that a host is believed to hold, damaged records with what they held: a disk that is replaced ends the
    /// damage, and whoever read around it goes on without knowing what is gone.
    fn all_believed(&self, host: usize) -> Records {
        let disk = &self.hosts[host].disk;
        let believed = disk.all_names().into_iter().filter_map(|key| {
            let record = if disk.is_damaged(&key) {
                disk.damaged_record(&key)
            } else {
                self.believed(host, &key)
            };
            record.cloned().map(|record| (key, record))
        });
        believed.collect()
    }
}

fn boot_state(image: &Image, nonce: u64) -> BootState {
    let head = |key: &RecordKey| key.is_partition_head();
    let heads = image.records.iter().filter(|entry| head(entry.0));
    BootState {
        incarnation: image.incarnation + 1,
        lineage: image.lineage.iter().copied().chain([nonce]).collect(),
        marker: image.marker,
        peers: image.peers.iter().map(|(&node, &memory)| (node, memory)).collect(),
        rebuilding: image.rebuilding.iter().copied().collect::<Vec<BucketId>>(),
        scrub: image.scrub.clone(),
        hints: image.hints.values().cloned().collect(),
        generations: image
            .generations
            .iter()
            .map(|(place, number)| (place.0, place.1, *number))
            .collect(),
        trees: if image.marker.is_some() {
            image.trees.clone()
        } else {
            Vec::new()
        },
        cleared: heads
            .filter_map(|(key, record)| Some((key.clone(), record.as_lww()?.cleared_at)))
            .collect(),
    }
}

/// The same members, but buckets that acknowledge earlier: their ring has the same number and another hash.
fn other_configuration(world: &World) -> (Arc<Ring>, Arc<Catalog>) {
    let buckets = world.scenario.buckets.iter().cloned().map(|bucket| Bucket {
        durability: Durability::Buffered,
        ttl_seconds: Some(1),
        ..bucket
    });
    let catalog = Arc::new(Catalog::new(buckets));
    let members = world.ring.members().to_vec();
    let ring = Arc::new(Ring::new(members, world.scenario.partitions, &catalog));
    (ring, catalog)
}

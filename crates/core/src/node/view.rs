//! What the shell and the simulator may know of a node.

use std::sync::Arc;

use super::Node;
use crate::admission::AdmissionView;
use crate::background::{Background, Work};
use crate::causality::ContextLimits;
use crate::circuit::CircuitView;
use crate::entropy::schedule::EntropyProgress;
use crate::gossip::member::Load;
use crate::hedging::HedgeStats;
use crate::hints::Hints;
use crate::id::{BucketId, Life, NodeId};
use crate::liveness::Liveness;
use crate::quorum::majority;
use crate::reaping::ReapingProgress;
use crate::ring::Ring;
use crate::scrub::ScrubProgress;
use crate::site::LongContext;
use crate::stats::Stats;
use crate::storage::CleanMarker;

/// How long a context above its bound is told of, in milliseconds: two walks of reaping, which may fold it.
const LONG_CONTEXT_MS: u64 = 10 * 60 * 1_000;

impl Node {
    /// What a clean stop keeps of the trees, with the marker.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        self.site.trees.checkpoint()
    }

    /// What a clean shutdown writes, once every commit is durable and no request is in flight; `None` if the store failed.
    #[must_use]
    pub fn clean_marker(&self) -> Option<CleanMarker> {
        let marker = self
            .site
            .minter
            .marker(self.site.clock.last(), self.boots.incarnation());
        (!self.site.out_of_service).then_some(marker)
    }

    /// Whether this node can be relied on.
    ///
    /// # Errors
    /// What it waits for, in words.
    pub fn readiness(&self) -> Result<(), String> {
        if self.site.out_of_service {
            return Err("the store is out of service: restart the node".into());
        }
        if !self.site.is_clock_sound() {
            return Err(format!(
                "the clock is {} ms off its peers'",
                self.site.peers.clock_skew_ms(self.site.now)
            ));
        }
        if self.boots.is_waiting(&self.site) {
            return Err("the other nodes have not confirmed yet that they know this node's last boot".into());
        }
        if self.site.is_unsettled {
            let waits_for = self.quarantine.waits_for().len();
            return Err(format!(
                "this node's disk is older than what the others know of it: it puts aside what was deleted since ({waits_for} nodes have yet to say what that is)"
            ));
        }
        if let Some(&bucket) = self.replica.rebuilding().first() {
            let name = self
                .site
                .catalog
                .bucket(bucket)
                .map_or_else(String::new, |bucket| bucket.name.to_string());
            let percent = self.rebuild.progress(bucket).unwrap_or(0.0) * 100.0;
            return Err(format!(
                "bucket '{name}' is being rebuilt from the other nodes: {percent:.0} %"
            ));
        }
        let up = 1 + self.site.peers.up().count();
        let members = self.site.ring.members().len();
        if up < usize::from(majority(members as u8)) {
            return Err(format!(
                "{up} of {members} nodes are connected, which is less than a majority"
            ));
        }
        Ok(())
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.site.stats
    }

    /// Who runs and who waits.
    #[must_use]
    pub fn admission(&self) -> AdmissionView {
        self.admission.view(self.site.now.time)
    }

    /// How each peer answers reads.
    pub fn circuits(&self) -> impl Iterator<Item = (NodeId, CircuitView)> + '_ {
        self.site.circuits.views()
    }

    /// What became of reads that held a home back.
    #[must_use]
    pub fn hedging(&self) -> HedgeStats {
        self.site.hedging.stats
    }

    /// How background work goes.
    #[must_use]
    pub fn background(&self) -> &Background {
        &self.site.background
    }

    /// True while a run that an operator asked for is not over.
    #[must_use]
    pub fn is_run_going(&self, work: Work) -> bool {
        match work {
            Work::Hints => self.hints.is_run_going(),
            Work::AntiEntropy => self.entropy.is_run_going(),
            Work::Scrub => self.scrub.is_run_going(),
            Work::Reaping => self.reaping.is_run_going(),
        }
    }

    /// Changes what this node keeps for others at most.
    pub fn set_hint_limits(&mut self, limits: crate::hints::HintLimits) {
        self.hints.limit(limits);
    }

    /// What this node keeps for others.
    #[must_use]
    pub fn hints(&self) -> &Hints {
        &self.hints
    }

    /// Where anti-entropy is.
    #[must_use]
    pub fn entropy(&self) -> EntropyProgress {
        self.entropy.progress(&self.site)
    }

    /// True while this node, whose disk is older than what the others know of it, puts aside what was deleted since.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        self.site.is_unsettled
    }

    /// Where reaping is.
    #[must_use]
    pub fn reaping(&self) -> ReapingProgress {
        self.reaping.progress()
    }

    /// Changes how long all homes must have held a dead record before it is forgotten, in milliseconds. Less than the time
    /// that an old message may take brings deleted data back: for tests.
    pub fn set_reap_age_ms(&mut self, age_ms: u64) {
        self.site.reap_age_ms = age_ms;
    }

    /// Changes how long contexts may grow: for tests.
    pub fn set_context_limits(&mut self, limits: ContextLimits) {
        self.site.context_limits = limits;
    }

    /// The last context above its bound that a put met, if that was lately.
    #[must_use]
    pub fn long_context(&self) -> Option<&LongContext> {
        let is_late = |long: &&LongContext| long.at.plus_ms(LONG_CONTEXT_MS) > self.site.now.time;
        self.site.long_context.as_ref().filter(is_late)
    }

    /// Where the scrub is.
    #[must_use]
    pub fn scrub(&self) -> ScrubProgress {
        self.scrub.progress()
    }

    /// Damaged records that are known and not mended yet.
    #[must_use]
    pub fn damaged_records(&self) -> usize {
        self.site.damage.len()
    }

    /// The ring that this node serves.
    #[must_use]
    pub fn ring(&self) -> &Arc<Ring> {
        &self.site.ring
    }

    /// Operations, replica jobs and locks in flight: zero on an idle node.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.operations.len()
            + self.admission.view(self.site.now.time).waiting
            + self.hints.in_flight()
            + self.replica.in_flight()
            + self.site.locks.len()
    }

    /// Operations that this node coordinates now.
    #[must_use]
    pub fn operations_in_flight(&self) -> usize {
        self.operations.len()
    }

    /// True if the peer can be asked now, or it is this node.
    #[must_use]
    pub fn is_reachable(&self, node: NodeId) -> bool {
        self.site.is_reachable(node)
    }

    /// What is believed of a member: this node is alive.
    #[must_use]
    pub fn liveness(&self, node: NodeId) -> Liveness {
        if node == self.site.id {
            return Liveness::Alive;
        }
        self.site.peers.liveness(node)
    }

    /// How busy a member says it is; `None` if nothing was heard of it.
    #[must_use]
    pub fn load_of(&self, node: NodeId) -> Option<Load> {
        let state = self.gossip.state(node)?;
        (state.heartbeat > 0).then_some(state.load)
    }

    /// How much less than usual this node trusts its suspicions of others: 1 is full trust.
    #[must_use]
    pub fn patience(&self) -> f64 {
        self.gossip.patience()
    }

    /// The current actor's life, for `/v1/status`.
    #[must_use]
    pub fn life(&self) -> Life {
        self.site.minter.life()
    }

    /// This boot's number.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.boots.incarnation()
    }

    /// How far this node's clock is off the median of all, in milliseconds.
    #[must_use]
    pub fn clock_skew_ms(&self) -> i64 {
        self.site.peers.clock_skew_ms(self.site.now)
    }

    /// False while this node's clock is too far off its peers': it neither signs nor lets keys expire (RULINGS 6).
    #[must_use]
    pub fn is_clock_sound(&self) -> bool {
        self.site.is_clock_sound()
    }

    /// How long a bucket's rebuild will take at the pace so far, in milliseconds; `None` while that is not known.
    #[must_use]
    pub fn rebuild_eta_ms(&self, bucket: BucketId) -> Option<u64> {
        self.rebuild.eta_ms(bucket, self.site.now.time)
    }

    /// Buckets being rebuilt, with the share done, 0 to 1.
    #[must_use]
    pub fn rebuilding(&self) -> Vec<(BucketId, f64)> {
        let share = |&bucket: &BucketId| (bucket, self.rebuild.progress(bucket).unwrap_or(0.0));
        self.replica.rebuilding().iter().map(share).collect()
    }
}

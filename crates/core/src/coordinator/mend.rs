//! Mends one damaged record of this node: asks all homes, and once every other one has answered sends this node what they
//! hold together, which may be nothing. A home that is silent may have acknowledged a version that the damaged record
//! held too, so without it the record stays unknown, and the mend is tried again later (RULINGS 19).

use crate::coordinator::read_round::ReadRound;
use crate::coordinator::{Event, Meta, Progress};
use crate::damage::Mended;
use crate::key::RecordKey;
use crate::message::ReadWant;
use crate::quorum::Need;
use crate::site::Site;

/// A mend in flight.
#[derive(Debug)]
pub struct Mend {
    key: RecordKey,
    round: ReadRound,
}

impl Mend {
    /// Asks the homes; `None` if there are no others, or this node is no home any more.
    pub fn start(meta: Meta, key: RecordKey, site: &mut Site) -> Option<Self> {
        let bucket = site.bucket(key.bucket());
        let homes = bucket.map(|bucket| site.ring.homes(key.partition(), bucket.n));
        let homes = homes.filter(|homes| homes.len() > 1 && homes.iter().any(|home| home.node == site.id));
        let Some(homes) = homes else {
            site.damage.on_mended(&key, Mended::Never, site.now.time);
            return None;
        };
        let need = Need::Any(homes.len() as u8);
        let want = ReadWant::Records(vec![key.clone()]);
        let round = ReadRound::start(meta, &homes, need, &want, false, site);
        Some(Self { key, round })
    }

    /// An answer, a loss, or the deadline.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        let is_deadline = event == Event::Deadline;
        let _ = self.round.on(event, site);
        if !is_deadline && !self.round.is_complete() {
            return Progress::Continue;
        }
        let answered = self.round.answered();
        let mended = if self.round.has_counted(site.id) {
            Mended::Readable
        } else if answered.answered + 1 == answered.n {
            self.round.repair(site);
            Mended::Sent
        } else {
            Mended::HomeMissing
        };
        site.damage.on_mended(&self.key, mended, site.now.time);
        Progress::Done
    }
}

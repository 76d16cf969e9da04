//! How many answers an operation waits for, and who has given one. A tally counts distinct nodes, never messages: a
//! repeated acknowledgement is the same node saying the same thing (RULINGS 13).

use smallvec::SmallVec;

use crate::id::NodeId;
use crate::mutants::{Mutant, active};

/// A quorum by number or by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuorumSize {
    /// Exactly this many, 1 to 9.
    Count(u8),
    /// One answer from anywhere.
    One,
    /// More than half of n.
    Quorum,
    /// All n.
    All,
    /// One answer from the coordinator's data centre.
    LocalOne,
    /// More than half of the copies in the coordinator's data centre.
    LocalQuorum,
    /// More than half of the copies in every data centre.
    EachQuorum,
    /// [`Self::LocalOne`] of a request that another node runs: of the data centre that was asked.
    OneIn(DcId),
    /// [`Self::LocalQuorum`] likewise.
    QuorumIn(DcId),
}

impl QuorumSize {
    /// Reads a number from 1 to 9 or a name of `INTERFACES.md`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "one" => Self::One,
            "quorum" => Self::Quorum,
            "all" => Self::All,
            "local_one" => Self::LocalOne,
            "local_quorum" => Self::LocalQuorum,
            "each_quorum" => Self::EachQuorum,
            _ => match text.as_bytes() {
                [digit @ b'1'..=b'9'] => Self::Count(digit - b'0'),
                _ => return None,
            },
        })
    }

    /// The name or number as clients write it.
    #[must_use]
    pub fn as_text(self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::One => "one".into(),
            Self::Quorum => "quorum".into(),
            Self::All => "all".into(),
            Self::LocalOne | Self::OneIn(_) => "local_one".into(),
            Self::LocalQuorum | Self::QuorumIn(_) => "local_quorum".into(),
            Self::EachQuorum => "each_quorum".into(),
        }
    }

    /// The same, whoever reads it: what is local is so to `asked`, the data centre of the node that a client asked.
    #[must_use]
    pub fn fixed(self, asked: DcId) -> Self {
        match self {
            Self::LocalOne => Self::OneIn(asked),
            Self::LocalQuorum => Self::QuorumIn(asked),
            other => other,
        }
    }

    /// True if it counts the answers of one data centre alone.
    #[must_use]
    pub fn is_local(self) -> bool {
        matches!(
            self,
            Self::LocalOne | Self::LocalQuorum | Self::OneIn(_) | Self::QuorumIn(_)
        )
    }

    /// What this asks of these homes, seen from data centre `local`.
    ///
    /// # Errors
    /// [`QuorumTooLarge`] if it can never be met, whoever answers.
    pub fn need(self, homes: &[Home], local: DcId) -> Result<Need, QuorumTooLarge> {
        let n = homes.len() as u8;
        let copies_in = |dc: DcId| homes.iter().filter(|home| home.dc == dc).count() as u8;
        let any = |count: u8| {
            if count > n {
                Err(QuorumTooLarge { asked: count, n })
            } else {
                Ok(Need::Any(count))
            }
        };
        let of_dc = |dc: DcId, count: fn(u8) -> u8| match copies_in(dc) {
            0 => Err(QuorumTooLarge { asked: 1, n: 0 }),
            copies => Ok(Need::PerDc(SmallVec::from_slice(&[(dc, count(copies))]))),
        };
        match self {
            Self::Count(count) => any(count),
            Self::One => any(1),
            Self::Quorum => any(majority(n)),
            Self::All => any(n),
            Self::LocalOne => of_dc(local, |_| 1),
            Self::OneIn(dc) => of_dc(dc, |_| 1),
            Self::LocalQuorum => of_dc(local, majority),
            Self::QuorumIn(dc) => of_dc(dc, majority),
            Self::EachQuorum => {
                let mut dcs: SmallVec<[DcId; 2]> = homes.iter().map(|home| home.dc).collect();
                dcs.sort_unstable();
                dcs.dedup();
                Ok(Need::PerDc(
                    dcs.into_iter().map(|dc| (dc, majority(copies_in(dc)))).collect(),
                ))
            }
        }
    }
}

/// More than half of `n`.
#[must_use]
pub fn majority(n: u8) -> u8 {
    n / 2 + 1
}

/// A data centre, as the ring numbers it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DcId(pub u16);

impl DcId {
    /// No data centre.
    const NOWHERE: Self = Self(u16::MAX);
}

/// One rightful owner of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Home {
    /// The node.
    pub node: NodeId,
    /// Its data centre.
    pub dc: DcId,
}

/// Takes who stands in for each home that is `away`, with its home, out of `line`, whose first is the best. Where answers count by
/// data centre those of other ones count nowhere: first each home has one of its own, then those that have none have whoever
/// is left.
pub fn take_stand_ins(line: &mut SmallVec<[Home; 3]>, away: &[Home]) -> SmallVec<[(Home, Home); 3]> {
    let mut pairs = SmallVec::new();
    let mut without: SmallVec<[Home; 3]> = SmallVec::new();
    for &home in away {
        match line.iter().position(|stand_in| stand_in.dc == home.dc) {
            Some(at) => pairs.push((line.remove(at), home)),
            None => without.push(home),
        }
    }
    let left = line.len().min(without.len());
    pairs.extend(line.drain(..left).zip(without));
    pairs
}

/// A quorum that these homes can never give.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{asked} answers asked of {n} copies")]
pub struct QuorumTooLarge {
    /// Answers asked.
    pub asked: u8,
    /// Copies there are.
    pub n: u8,
}

/// What a quorum asks of a given set of homes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Need {
    /// This many distinct homes.
    Any(u8),
    /// This many in each of these data centres.
    PerDc(SmallVec<[(DcId, u8); 2]>),
}

impl Need {
    /// Answers needed in all.
    #[must_use]
    pub fn count(&self) -> u8 {
        match self {
            Self::Any(count) => *count,
            Self::PerDc(needs) => needs.iter().map(|need| need.1).sum(),
        }
    }
}

/// Where a tally stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// More answers are needed and may still come.
    Pending,
    /// Enough answered.
    Reached,
    /// Too many failed: it can't be reached any more.
    Unreachable,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Waiting,
    Counted,
    Failed,
}

/// Who has answered one operation, over its homes.
#[derive(Clone, Debug)]
pub struct Tally {
    homes: SmallVec<[(Home, Answer); 3]>,
    /// Those of them that come first; the others stand in.
    n: u8,
    need: Need,
}

impl Tally {
    /// A tally in which nobody has answered.
    #[must_use]
    pub fn new(homes: &[Home], need: Need) -> Self {
        Self {
            homes: homes.iter().map(|&home| (home, Answer::Waiting)).collect(),
            n: homes.len() as u8,
            need,
        }
    }

    /// Lets a node stand in for a home: its answer counts like a home's. Where answers count by data centre, it counts only for
    /// a home of its own one: `dc` is the home's.
    pub fn add_stand_in(&mut self, node: Home, dc: DcId) {
        if self.homes.iter().all(|home| home.0.node != node.node) {
            let counts_in = if node.dc == dc { dc } else { DcId::NOWHERE };
            let node = Home { dc: counts_in, ..node };
            self.homes.push((node, Answer::Waiting));
        }
    }

    /// True if `node` stands in for a home.
    #[must_use]
    pub fn is_stand_in(&self, node: NodeId) -> bool {
        let stand_ins = &self.homes[usize::from(self.n)..];
        stand_ins.iter().any(|home| home.0.node == node)
    }

    /// True if a node that stands in for a home was counted.
    #[must_use]
    pub fn is_sloppy(&self) -> bool {
        let stand_ins = &self.homes[usize::from(self.n)..];
        stand_ins.iter().any(|home| home.1 == Answer::Counted)
    }

    /// Counts `node`. Counting it again, or a node that is no home, changes nothing.
    pub fn count(&mut self, node: NodeId) {
        let counts_again = active(Mutant::DuplicateAcksCount) && self.has_counted(node);
        let other = self.waiting().next().filter(|_| counts_again);
        if let Some(other) = other {
            self.set(other, Answer::Counted);
        }
        self.set(node, Answer::Counted);
    }

    /// Notes that `node` will not answer. A node that was counted stays counted.
    pub fn fail(&mut self, node: NodeId) {
        self.set(node, Answer::Failed);
    }

    /// Distinct nodes counted; no more than there are homes.
    #[must_use]
    pub fn answered(&self) -> u8 {
        let counted = self.homes.iter().filter(|home| home.1 == Answer::Counted).count() as u8;
        counted.min(self.n)
    }

    /// Answers needed.
    #[must_use]
    pub fn needed(&self) -> u8 {
        self.need.count()
    }

    /// Homes there are.
    #[must_use]
    pub fn n(&self) -> u8 {
        self.n
    }

    /// The homes it counts over.
    #[must_use]
    pub fn homes(&self) -> SmallVec<[Home; 3]> {
        let homes = &self.homes[..usize::from(self.n)];
        homes.iter().map(|home| home.0).collect()
    }

    /// Homes and stand-ins that have neither answered nor failed.
    pub fn waiting(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.homes
            .iter()
            .filter(|home| home.1 == Answer::Waiting)
            .map(|home| home.0.node)
    }

    /// True if `node` was counted.
    #[must_use]
    pub fn has_counted(&self, node: NodeId) -> bool {
        self.homes
            .iter()
            .any(|home| home.0.node == node && home.1 == Answer::Counted)
    }

    /// True once every home has answered or failed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.homes.iter().all(|home| home.1 != Answer::Waiting)
    }

    /// Where the tally stands.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let judge = |need: u8, in_scope: &dyn Fn(Home) -> bool| {
            let of = |answer: Answer| {
                self.homes
                    .iter()
                    .filter(|home| home.1 == answer && in_scope(home.0))
                    .count()
            };
            let counted = of(Answer::Counted);
            if counted >= usize::from(need) {
                Verdict::Reached
            } else if counted + of(Answer::Waiting) < usize::from(need) {
                Verdict::Unreachable
            } else {
                Verdict::Pending
            }
        };
        match &self.need {
            Need::Any(need) => judge(*need, &|_| true),
            Need::PerDc(needs) => {
                let mut worst = Verdict::Reached;
                for &(dc, need) in needs {
                    match judge(need, &|home| home.dc == dc) {
                        Verdict::Unreachable => return Verdict::Unreachable,
                        Verdict::Pending => worst = Verdict::Pending,
                        Verdict::Reached => {}
                    }
                }
                worst
            }
        }
    }

    fn set(&mut self, node: NodeId, answer: Answer) {
        for home in &mut self.homes {
            if home.0.node == node && home.1 == Answer::Waiting {
                home.1 = answer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes(dcs: &[u16]) -> Vec<Home> {
        dcs.iter()
            .enumerate()
            .map(|(i, &dc)| Home {
                node: NodeId(i as u32),
                dc: DcId(dc),
            })
            .collect()
    }

    #[test]
    fn a_node_that_answers_twice_counts_once() {
        let mut tally = Tally::new(&homes(&[0, 0, 0]), Need::Any(2));
        tally.count(NodeId(1));
        tally.count(NodeId(1));
        tally.count(NodeId(77));
        assert_eq!((tally.answered(), tally.verdict()), (1, Verdict::Pending));
        tally.count(NodeId(2));
        assert_eq!(tally.verdict(), Verdict::Reached);
    }

    #[test]
    fn a_quorum_is_unreachable_once_too_many_have_failed() {
        let mut tally = Tally::new(&homes(&[0, 0, 0]), Need::Any(2));
        tally.fail(NodeId(0));
        assert_eq!(tally.verdict(), Verdict::Pending);
        tally.fail(NodeId(1));
        assert_eq!(tally.verdict(), Verdict::Unreachable);
    }

    #[test]
    fn each_quorum_needs_a_majority_in_every_data_centre() {
        let homes = homes(&[0, 0, 0, 1, 1, 1]);
        let need = QuorumSize::EachQuorum.need(&homes, DcId(0)).expect("fits");
        let mut tally = Tally::new(&homes, need);
        for node in [0, 1, 2, 3] {
            tally.count(NodeId(node));
        }
        assert_eq!(tally.verdict(), Verdict::Pending);
        tally.count(NodeId(5));
        assert_eq!(tally.verdict(), Verdict::Reached);
    }

    #[test]
    fn more_answers_than_copies_are_refused() {
        assert_eq!(
            QuorumSize::Count(4).need(&homes(&[0, 0, 0]), DcId(0)),
            Err(QuorumTooLarge { asked: 4, n: 3 })
        );
        assert!(QuorumSize::LocalQuorum.need(&homes(&[1]), DcId(0)).is_err());
    }

    #[test]
    fn names_and_numbers_are_read_and_written_alike() {
        for text in [
            "1",
            "9",
            "one",
            "quorum",
            "all",
            "local_one",
            "local_quorum",
            "each_quorum",
        ] {
            assert_eq!(QuorumSize::parse(text).expect("legal").as_text(), text);
        }
        for text in ["0", "10", "Quorum", ""] {
            assert_eq!(QuorumSize::parse(text), None);
        }
    }
}

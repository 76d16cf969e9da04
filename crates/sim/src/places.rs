//! Data centres: which host stands in which, and how many copies of each a quorum asks for. By the words of its name alone: no
//! code of the core's.

use torc_core::quorum::QuorumSize;

use crate::history::answers_of;

/// The data centre of a host; neighbours stand in different ones.
#[must_use]
pub fn dc_of(host: usize, dcs: usize) -> usize {
    host % dcs
}

/// How many homes of each data centre have to answer, to a client of the host `asked`; `None`: of all together. Empty: it
/// can't be met there.
#[must_use]
pub fn asks(size: QuorumSize, homes: &[usize], asked: usize, dcs: usize) -> Vec<(Option<usize>, u8)> {
    let copies = |dc: usize| homes.iter().filter(|&&home| dc_of(home, dcs) == dc).count() as u8;
    let here = dc_of(asked, dcs);
    match size {
        QuorumSize::LocalOne | QuorumSize::LocalQuorum if copies(here) == 0 => Vec::new(),
        QuorumSize::LocalOne => vec![(Some(here), 1)],
        QuorumSize::LocalQuorum => vec![(Some(here), copies(here) / 2 + 1)],
        QuorumSize::EachQuorum => (0..dcs)
            .filter(|&dc| copies(dc) > 0)
            .map(|dc| (Some(dc), copies(dc) / 2 + 1))
            .collect(),
        // Clients don't send these.
        QuorumSize::OneIn(_) | QuorumSize::QuorumIn(_) => Vec::new(),
        QuorumSize::Count(_) | QuorumSize::One | QuorumSize::Quorum | QuorumSize::All => {
            vec![(None, answers_of(size, homes.len() as u8))]
        }
    }
}

/// How many that is, whichever host is asked: no host asks for fewer.
#[must_use]
pub fn least(size: QuorumSize, homes: &[usize], dcs: usize) -> u8 {
    let total = |asked: usize| {
        let counts = asks(size, homes, asked, dcs);
        counts.iter().map(|&(_, count)| count).sum::<u8>()
    };
    (0..dcs).map(total).filter(|&total| total > 0).min().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_by_data_centre() {
        // Data centre 0 has hosts 0, 2, 4; data centre 1 has 1, 3.
        let homes = [0, 2, 4, 1];
        assert_eq!(asks(QuorumSize::LocalQuorum, &homes, 2, 2), [(Some(0), 2)]);
        assert_eq!(asks(QuorumSize::LocalQuorum, &homes, 3, 2), [(Some(1), 1)]);
        assert_eq!(asks(QuorumSize::EachQuorum, &homes, 3, 2), [(Some(0), 2), (Some(1), 1)]);
        assert_eq!(asks(QuorumSize::Quorum, &homes, 3, 2), [(None, 3)]);
        assert_eq!(asks(QuorumSize::LocalOne, &[0], 1, 2), []);
        assert_eq!(least(QuorumSize::LocalQuorum, &homes, 2), 1);
        assert_eq!(least(QuorumSize::EachQuorum, &homes, 2), 3);
    }
}

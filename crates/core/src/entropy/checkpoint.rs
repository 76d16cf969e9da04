//! Trees as they are kept over a clean stop, so that the next boot need not read everything to know them. They belong to the
//! clean marker: whoever boots without it counts again.
//! ```text
//! | version u8 | trees, each: partition u16, n u8, class u8, leaves u16, each: number u16, XOR u128 | CRC32C u32 |, all LE
//! ```

use crate::bucket::StorageClass;
use crate::entropy::talk::Group;
use crate::entropy::tree::{LEAVES, Tree};
use crate::entropy::trees::TreeId;
use crate::id::PartitionId;

const VERSION: u8 = 1;
const DISK: u8 = 1;

/// The kept form of trees whose records survive a restart.
#[must_use]
pub fn encode<'a>(trees: impl Iterator<Item = (&'a TreeId, &'a Tree)>) -> Vec<u8> {
    let mut out = vec![VERSION];
    for (id, tree) in trees.filter(|(id, _)| id.group.class == StorageClass::Disk) {
        let leaves: Vec<(u16, u128)> = (0..LEAVES)
            .map(|leaf| (leaf, tree.leaf(leaf)))
            .filter(|leaf| leaf.1 != 0)
            .collect();
        out.extend_from_slice(&id.partition.0.to_le_bytes());
        out.extend_from_slice(&[id.group.n, DISK]);
        out.extend_from_slice(&(leaves.len() as u16).to_le_bytes());
        for (number, sum) in leaves {
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&sum.to_le_bytes());
        }
    }
    let checksum = crc_fast::crc32_iscsi(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Reads them back; `None` if the bytes are not what was kept.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Vec<(TreeId, Tree)>> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc_fast::crc32_iscsi(body).to_le_bytes() != *checksum || body.first() != Some(&VERSION) {
        return None;
    }
    let mut rest = &body[1..];
    let mut trees = Vec::new();
    while !rest.is_empty() {
        let (&[p0, p1, n, class, c0, c1], after) = rest.split_first_chunk::<6>()?;
        rest = after;
        let mut tree = Tree::default();
        for _ in 0..u16::from_le_bytes([c0, c1]) {
            let (number, after) = rest.split_first_chunk::<2>()?;
            let (sum, after) = after.split_first_chunk::<16>()?;
            rest = after;
            let number = u16::from_le_bytes(*number);
            if number >= LEAVES || class != DISK {
                return None;
            }
            tree.toggle(number, u128::from_le_bytes(*sum));
        }
        let group = Group {
            n,
            class: StorageClass::Disk,
        };
        let partition = PartitionId(u16::from_le_bytes([p0, p1]));
        trees.push((TreeId { partition, group }, tree));
    }
    Some(trees)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(partition: u16) -> TreeId {
        let class = StorageClass::Disk;
        TreeId {
            partition: PartitionId(partition),
            group: Group { n: 3, class },
        }
    }

    #[test]
    fn trees_are_read_back_and_a_flipped_bit_is_noticed() {
        let mut tree = Tree::default();
        tree.toggle(0, 7);
        tree.toggle(4_095, u128::MAX);
        let trees = [(id(3), tree), (id(255), Tree::default())];
        let mut kept = encode(trees.iter().map(|(id, tree)| (id, tree)));
        let read = decode(&kept).expect("as it was kept");
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].0, read[1].0), (id(3), id(255)));
        assert_eq!((read[0].1.leaf(0), read[0].1.leaf(4_095)), (7, u128::MAX));
        assert_eq!(read[1].1.root(), 0);
        for bit in 0..kept.len() * 8 {
            kept[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&kept).is_none(), "bit {bit}");
            kept[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(decode(b"").is_none());
    }
}

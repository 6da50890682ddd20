//! The tree over a log's entries: RFC 6962, section 2.1. Pure: who has the hashes of complete
//! subtrees can make every proof, and who has a proof needs nothing else.

use std::ops::Range;

use kiln_model::{Digest, Hasher};

/// A subtree all of whose leaves are there, which never changes again: the leaves from
/// `index << level` on, `1 << level` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// How many levels above the leaves.
    pub level: u32,
    /// Which of that level, from 0.
    pub index: u64,
}

/// The hash of a log without entries.
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

/// The hash of a leaf: an entry of the log is the digest of an envelope.
pub fn leaf_hash(entry: &Digest) -> Digest {
    hash(0, &[entry])
}

/// The hash of what lies above two others. A leaf's begins with another byte, so neither can be
/// passed off as the other.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    hash(1, &[left, right])
}

fn hash(kind: u8, parts: &[&Digest]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(&[kind]);
    parts.iter().for_each(|part| hasher.update(part.as_bytes()));
    hasher.finish()
}

/// The complete subtrees that a range of leaves is made of, from left to right. The range is one
/// that a proof is made of, or begins at 0.
pub fn nodes_of(range: Range<u64>) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let fits = (range.end - at).ilog2();
        let level = fits.min(at.trailing_zeros());
        nodes.push(Node { level, index: at >> level });
        at += 1 << level;
    }
    nodes
}

/// The subtrees above a new leaf that are complete with it, from the lowest up. Each lies over one
/// that was complete before and the one below it in this list, or the leaf.
pub fn completed_by(position: u64) -> Vec<Node> {
    let levels = position.trailing_ones();
    (1..=levels).map(|level| Node { level, index: position >> level }).collect()
}

/// The hash of a range of leaves, of the hashes of [`nodes_of`] it; of a whole log where the range
/// is all of it.
pub fn root_of(hashes: &[Digest]) -> Digest {
    let mut above = hashes.iter().rev().copied();
    match above.next() {
        None => empty_root(),
        Some(last) => above.fold(last, |right, left| node_hash(&left, &right)),
    }
}

/// A tree that is made entry by entry, to look at a log from its beginning.
#[derive(Debug, Clone, Default)]
pub struct Growing {
    size: u64,
    /// The complete subtrees that it consists of, from left to right.
    peaks: Vec<Digest>,
}

impl Growing {
    /// Adds an entry.
    pub fn push(&mut self, entry: &Digest) {
        let mut hash = leaf_hash(entry);
        for _ in completed_by(self.size) {
            // A subtree that is complete with this one has its left half there.
            hash = self.peaks.pop().map_or(hash, |left| node_hash(&left, &hash));
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// How many entries it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hash over all of them.
    pub fn root(&self) -> Digest {
        root_of(&self.peaks)
    }
}

/// Where a range of leaves is split: after the largest power of two that is less than their number.
fn half(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The ranges whose hashes prove that the leaf at a position is in the tree of the first `size`
/// leaves, from the leaf up. Nothing where there is no such leaf.
pub fn inclusion(position: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if position >= size {
        return None;
    }
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let middle = low + half(high - low);
        if position < middle {
            path.push(middle..high);
            high = middle;
        } else {
            path.push(low..middle);
            low = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// The ranges whose hashes prove that the tree of the first `new` leaves continues that of the
/// first `old`. Nothing where it has fewer.
pub fn consistency(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old > new {
        return None;
    }
    let mut path = Vec::new();
    if old == 0 || old == new {
        return Some(path);
    }
    let (mut low, mut high) = (0, new);
    // Down to the subtree in which the old tree ends.
    while old < high {
        let middle = low + half(high - low);
        if old <= middle {
            path.push(middle..high);
            high = middle;
        } else {
            path.push(low..middle);
            low = middle;
        }
    }
    // The old tree itself is known to whoever checks.
    if low > 0 {
        path.push(low..high);
    }
    path.reverse();
    Some(path)
}

/// Whether the hashes of [`inclusion`] prove that a tree has a leaf of this hash at that position.
pub fn check_inclusion(
    leaf: &Digest,
    position: u64,
    size: u64,
    path: &[Digest],
    root: &Digest,
) -> bool {
    let Some(ranges) = inclusion(position, size) else { return false };
    let above = |below: Digest, (range, hash): (&Range<u64>, &Digest)| match range.start > position
    {
        true => node_hash(&below, hash),
        false => node_hash(hash, &below),
    };
    ranges.len() == path.len() && ranges.iter().zip(path).fold(*leaf, above) == *root
}

/// Whether the hashes of [`consistency`] prove that a tree continues another, each given by its
/// size and root.
pub fn check_consistency(old: (u64, &Digest), new: (u64, &Digest), path: &[Digest]) -> bool {
    let Some(ranges) = consistency(old.0, new.0) else { return false };
    if ranges.len() != path.len() {
        return false;
    }
    if old.0 == 0 {
        return *old.1 == empty_root();
    }
    let mut steps = ranges.iter().zip(path);
    // Where the old tree ends in a subtree of its own, its root is that subtree's.
    let begins_at_old = ranges.first().is_none_or(|first| first.start >= old.0);
    let begin = match begins_at_old {
        true => *old.1,
        false => *steps.next().map_or(old.1, |(_, hash)| hash),
    };
    let (mut of_old, mut of_new) = (begin, begin);
    for (range, hash) in steps {
        if range.start >= old.0 {
            of_new = node_hash(&of_new, hash);
        } else {
            of_old = node_hash(hash, &of_old);
            of_new = node_hash(hash, &of_new);
        }
    }
    of_old == *old.1 && of_new == *new.1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// As section 2.1 of the RFC says it, word by word.
    fn naive(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::of(b""),
            [one] => leaf_hash(one),
            many => {
                let (left, right) = many.split_at(half(many.len() as u64) as usize);
                node_hash(&naive(left), &naive(right))
            }
        }
    }

    /// PATH of section 2.1.1.
    fn naive_path(at: usize, leaves: &[Digest]) -> Vec<Digest> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(half(leaves.len() as u64) as usize);
        let (mut path, sibling) = match at < left.len() {
            true => (naive_path(at, left), naive(right)),
            false => (naive_path(at - left.len(), right), naive(left)),
        };
        path.push(sibling);
        path
    }

    /// SUBPROOF of section 2.1.2.
    fn naive_proof(old: usize, leaves: &[Digest], is_known: bool) -> Vec<Digest> {
        if old == leaves.len() {
            return if is_known { Vec::new() } else { vec![naive(leaves)] };
        }
        let (left, right) = leaves.split_at(half(leaves.len() as u64) as usize);
        let (mut path, sibling) = match old <= left.len() {
            true => (naive_proof(old, left, is_known), naive(right)),
            false => (naive_proof(old - left.len(), right, false), naive(left)),
        };
        path.push(sibling);
        path
    }

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|at| Digest::of(format!("entry {at}").as_bytes())).collect()
    }

    /// A log as the store keeps one: a leaf at a time, each complete subtree once.
    #[derive(Default)]
    struct Log(BTreeMap<Node, Digest>);

    impl Log {
        fn of(leaves: &[Digest]) -> Self {
            let mut log = Self::default();
            for (at, leaf) in leaves.iter().enumerate() {
                let at = at as u64;
                let mut hash = leaf_hash(leaf);
                log.0.insert(Node { level: 0, index: at }, hash);
                for node in completed_by(at) {
                    let left = Node { level: node.level - 1, index: node.index * 2 };
                    hash = node_hash(&log.0[&left], &hash);
                    log.0.insert(node, hash);
                }
            }
            log
        }

        fn hash(&self, range: &Range<u64>) -> Digest {
            let nodes = nodes_of(range.clone());
            root_of(&nodes.iter().map(|node| self.0[node]).collect::<Vec<_>>())
        }

        fn hashes(&self, ranges: &[Range<u64>]) -> Vec<Digest> {
            ranges.iter().map(|range| self.hash(range)).collect()
        }
    }

    #[test]
    fn a_log_of_the_rfcs_shape_has_the_rfcs_proofs() {
        // The tree of seven leaves that section 2.1.3 draws.
        assert_eq!(inclusion(0, 7), Some(vec![1..2, 2..4, 4..7]));
        assert_eq!(inclusion(3, 7), Some(vec![2..3, 0..2, 4..7]));
        assert_eq!(inclusion(4, 7), Some(vec![5..6, 6..7, 0..4]));
        assert_eq!(inclusion(6, 7), Some(vec![4..6, 0..4]));
        assert_eq!(consistency(3, 7), Some(vec![2..3, 3..4, 0..2, 4..7]));
        assert_eq!(consistency(4, 7).as_deref(), Some(std::slice::from_ref(&(4..7))));
        assert_eq!(consistency(6, 7), Some(vec![4..6, 6..7, 0..4]));
        assert_eq!((inclusion(7, 7), consistency(8, 7)), (None, None));
    }

    #[test]
    fn every_proof_of_every_small_log_is_the_naive_trees() {
        for size in 0..40_usize {
            let leaves = leaves(size);
            let log = Log::of(&leaves);
            let (count, root) = (size as u64, naive(&leaves));
            let mut growing = Growing::default();
            leaves.iter().for_each(|leaf| growing.push(leaf));
            assert_eq!((growing.size(), growing.root()), (count, root));
            assert_eq!(log.hash(&(0..count)), root);
            for at in 0..size {
                let path = log.hashes(&inclusion(at as u64, count).expect("a leaf"));
                assert_eq!(path, naive_path(at, &leaves), "{at} of {size}");
                let leaf = leaf_hash(&leaves[at]);
                assert!(check_inclusion(&leaf, at as u64, count, &path, &root));
            }
            for old in 0..=size {
                let path = log.hashes(&consistency(old as u64, count).expect("no fewer"));
                if old > 0 {
                    assert_eq!(path, naive_proof(old, &leaves, true), "{old} to {size}");
                }
                let before = naive(&leaves[..old]);
                assert!(check_consistency((old as u64, &before), (count, &root), &path));
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_not_in_a_log_has_no_proof(
            size in 1_usize..200, at: usize, other: usize, step: usize, bit in 0_u8..=255,
        ) {
            let leaves = leaves(size);
            let (log, root) = (Log::of(&leaves), naive(&leaves));
            let (at, count) = (at % size, size as u64);
            let path = log.hashes(&inclusion(at as u64, count).expect("a leaf"));
            let leaf = leaf_hash(&leaves[at]);
            let holds = |leaf, at, size, path: &[Digest], root| {
                check_inclusion(leaf, at, size, path, root)
            };
            prop_assert!(holds(&leaf, at as u64, count, &path, &root));
            let stranger = leaf_hash(&Digest::of(&[bit]));
            prop_assert!(!holds(&stranger, at as u64, count, &path, &root));
            prop_assert!(!holds(&leaf, at as u64, count, &path, &stranger));
            let other = other % (size + 3);
            prop_assert_eq!(holds(&leaf, other as u64, count, &path, &root), other == at);
            if !path.is_empty() {
                let mut changed = path.clone();
                changed[step % path.len()] = stranger;
                prop_assert!(!holds(&leaf, at as u64, count, &changed, &root));
                prop_assert!(!holds(&leaf, at as u64, count, &path[1..], &root));
            }
            let longer = [&path[..], &[stranger]].concat();
            prop_assert!(!holds(&leaf, at as u64, count, &longer, &root));
        }

        #[test]
        fn a_forked_log_continues_nothing(
            old in 1_usize..120, more in 0_usize..120, fork: usize, step: usize,
        ) {
            let all = leaves(old + more);
            let (log, root) = (Log::of(&all), naive(&all));
            let before = naive(&all[..old]);
            let sizes = (old as u64, all.len() as u64);
            let path = log.hashes(&consistency(sizes.0, sizes.1).expect("no fewer"));
            prop_assert!(check_consistency((sizes.0, &before), (sizes.1, &root), &path));
            // One entry that was seen is another one now, and the log proves what it can.
            let mut changed = all.clone();
            changed[fork % old] = Digest::of(b"another");
            let (forked, other) = (Log::of(&changed), naive(&changed));
            let proof = forked.hashes(&consistency(sizes.0, sizes.1).expect("no fewer"));
            for path in [&path, &proof] {
                prop_assert!(!check_consistency((sizes.0, &before), (sizes.1, &other), path));
            }
            if !path.is_empty() {
                let mut wrong = path.clone();
                wrong[step % path.len()] = Digest::of(b"another");
                prop_assert!(!check_consistency((sizes.0, &before), (sizes.1, &root), &wrong));
                prop_assert!(!check_consistency((sizes.0, &before), (sizes.1, &root), &path[1..]));
            }
            prop_assert!(!check_consistency((sizes.1 + 1, &before), (sizes.1, &root), &path));
        }

        #[test]
        fn no_sizes_and_no_path_make_a_check_panic(
            position: u64, old: u64, new: u64, path in proptest::collection::vec(0_u8..9, 0..70),
        ) {
            let path: Vec<Digest> = path.iter().map(|byte| Digest::of(&[*byte])).collect();
            let some = Digest::of(b"x");
            let _ = check_inclusion(&some, position, new, &path, &some);
            let _ = check_consistency((old, &some), (new, &some), &path);
        }
    }
}

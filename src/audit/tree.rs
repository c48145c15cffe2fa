//! The records of a journal as a Merkle tree, hashed as RFC 6962 has it: one hash stands for all records up to one of
//! them, and a few more prove that a record is among them, or that a longer journal begins with a shorter one. Pure.
//!
//! Leaf `N - 1` is the line of record `N`, without its newline. It refuses to know where hashes are kept: who asks
//! for a proof brings a way to read them.

pub mod stored;

use std::iter;

use sha2::{Digest, Sha256};

pub type Hash = [u8; 32];

/// A full subtree: the hash of the 2^level leaves from `index << level` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub level: u32,
    pub index: u64,
}

/// All that has to be kept to go on with a tree: the hashes of its largest full subtrees, from the left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compact {
    size: u64,
    roots: Vec<Hash>,
}

pub fn leaf(line: &[u8]) -> Hash {
    Sha256::new_with_prefix([0])
        .chain_update(line)
        .finalize()
        .into()
}

pub fn parent(left: &Hash, right: &Hash) -> Hash {
    let hash = Sha256::new_with_prefix([1]);
    hash.chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

impl Node {
    /// Its place among the hashes of all full subtrees, each behind the last leaf below it.
    pub fn place(self) -> u64 {
        let last_leaf = ((self.index + 1) << self.level) - 1;
        stored(last_leaf) + u64::from(self.level)
    }
}

/// How many full subtrees a tree of so many leaves has, leaves included.
pub fn stored(size: u64) -> u64 {
    2 * size - u64::from(size.count_ones())
}

/// The largest full subtrees of a tree, from the left.
pub fn largest(size: u64) -> impl Iterator<Item = Node> {
    let levels = (0..u64::BITS).rev();
    levels
        .filter(move |level| size >> level & 1 == 1)
        .map(move |level| Node {
            level,
            // What is before it are the larger ones.
            index: (size >> level) - 1,
        })
}

impl Compact {
    pub fn from_roots(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize).then_some(Self { size, roots })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Goes on with one leaf. `made` is given each full subtree that it completes, the leaf first.
    pub fn push(&mut self, leaf: Hash, mut made: impl FnMut(&Hash)) {
        let mut hash = leaf;
        made(&hash);
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = parent(&left, &hash);
                made(&hash);
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }

    pub fn root(&self) -> Hash {
        let folded = self.roots.iter().rev().copied();
        folded
            .reduce(|right, left| parent(&left, &right))
            .unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// Leaves from `from` on, before `to`: a subtree of an RFC 6962 tree.
pub type Range = std::ops::Range<u64>;

/// Which subtrees prove that leaf `index` is in a tree of `size`, in the order of the proof.
pub fn inclusion(index: u64, size: u64) -> Vec<Range> {
    let (mut path, mut within) = (Vec::new(), 0..size);
    while within.end - within.start > 1 {
        let middle = within.start + split(within.end - within.start);
        let (left, right) = (within.start..middle, middle..within.end);
        let (on_the_way, beside) = if index < middle {
            (left, right)
        } else {
            (right, left)
        };
        path.push(beside);
        within = on_the_way;
    }
    path.reverse();
    path
}

/// Which subtrees prove that a tree of `new` leaves begins with the tree of `old`. Needs 0 < old ≤ new.
pub fn consistency(old: u64, new: u64) -> Vec<Range> {
    let (mut path, mut within) = (Vec::new(), 0..new);
    while old != within.end {
        let middle = within.start + split(within.end - within.start);
        let (left, right) = (within.start..middle, middle..within.end);
        let (on_the_way, beside) = if old <= middle {
            (left, right)
        } else {
            (right, left)
        };
        path.push(beside);
        within = on_the_way;
    }
    if within.start > 0 {
        path.push(within);
    }
    path.reverse();
    path
}

/// The full subtrees that a subtree consists of: it begins where a full one of its own size would.
pub fn nodes(range: &Range) -> impl Iterator<Item = Node> {
    let start = range.start;
    largest(range.end - start).map(move |Node { level, index }| Node {
        level,
        index: index + (start >> level),
    })
}

/// The hash of a subtree, from those of full ones.
pub fn hash<E>(range: &Range, read: &mut impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
    let roots: Result<Vec<Hash>, E> = nodes(range).map(read).collect();
    let folded = Compact {
        size: 0,
        roots: roots?,
    };
    Ok(folded.root())
}

/// The root that a tree of `size` has in which this path leads to leaf `index`.
pub fn root_by_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let beside = inclusion(index, size);
    if beside.len() != path.len() {
        return None;
    }
    let folded = iter::zip(beside, path).fold(leaf, |hash, (range, other)| {
        if range.end <= index {
            parent(other, &hash)
        } else {
            parent(&hash, other)
        }
    });
    Some(folded)
}

/// Whether a tree of `new` leaves with `new_root` begins with that of `old`.
pub fn is_consistent(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> bool {
    if old == 0 || old > new {
        return false;
    }
    let beside = consistency(old, new);
    if beside.len() != path.len() {
        return false;
    }
    let mut steps = iter::zip(beside, path).peekable();
    // Where `old` is a full subtree at the left edge of `new`, the proof does not repeat it.
    let begins_with_old = steps.peek().is_none_or(|(range, _)| range.start >= old);
    let first = match steps.next_if(|_| !begins_with_old) {
        Some((_, first)) => *first,
        None => *old_root,
    };
    let (mut was, mut is) = (first, first);
    for (range, other) in steps {
        if range.end <= old {
            (was, is) = (parent(other, &was), parent(other, &is));
        } else {
            is = parent(&is, other);
        }
    }
    was == *old_root && is == *new_root
}

/// The largest power of two that is smaller than `size`, which is 2 or more.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "trees of tests are small")]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// As RFC 6962 writes it down.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            many => {
                let (left, right) = many.split_at(split(many.len() as u64) as usize);
                parent(&naive(left), &naive(right))
            }
        }
    }

    fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
        let (mut path, beside) = match index.checked_sub(left.len()) {
            None => (naive_path(index, left), naive(right)),
            Some(index) => (naive_path(index, right), naive(left)),
        };
        path.push(beside);
        path
    }

    fn naive_consistency(old: usize, leaves: &[Hash], is_whole: bool) -> Vec<Hash> {
        if old == leaves.len() {
            return if is_whole {
                Vec::new()
            } else {
                vec![naive(leaves)]
            };
        }
        let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
        let (mut path, beside) = if old <= left.len() {
            (naive_consistency(old, left, is_whole), naive(right))
        } else {
            (
                naive_consistency(old - left.len(), right, false),
                naive(left),
            )
        };
        path.push(beside);
        path
    }

    fn leaves(size: usize) -> Vec<Hash> {
        (0..size)
            .map(|number| leaf(number.to_string().as_bytes()))
            .collect()
    }

    /// The tree, and the hashes of its full subtrees as they are kept.
    fn grown(leaves: &[Hash]) -> (Compact, Vec<Hash>) {
        let (mut tree, mut kept) = (Compact::default(), Vec::new());
        for one in leaves {
            tree.push(*one, |hash| kept.push(*hash));
        }
        (tree, kept)
    }

    fn read(kept: &[Hash], ranges: &[Range]) -> Vec<Hash> {
        let mut read = |node: Node| Ok::<_, Infallible>(kept[node.place() as usize]);
        ranges
            .iter()
            .map(|range| hash(range, &mut read).unwrap())
            .collect()
    }

    #[test]
    fn known_roots() {
        // RFC 6962's own test vectors, as Certificate Transparency's implementations share them.
        let inputs: [&[u8]; 8] = [
            b"",
            b"\0",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let (tree, _) = grown(&inputs.map(leaf));
        assert_eq!(
            crate::value::hex(&tree.root()),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
        assert_eq!(
            crate::value::hex(&Compact::default().root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn what_is_kept_and_proven_is_as_in_the_rfc() {
        for size in 1..70 {
            let all = leaves(size);
            let (tree, kept) = grown(&all);
            let root = naive(&all);
            assert_eq!(tree.root(), root);
            assert_eq!(kept.len() as u64, stored(size as u64));
            let roots: Vec<Hash> = largest(size as u64)
                .map(|node| kept[node.place() as usize])
                .collect();
            assert_eq!(Compact::from_roots(size as u64, roots), Some(tree));
            for index in 0..size {
                let (at, of) = (index as u64, size as u64);
                let path = read(&kept, &inclusion(at, of));
                assert_eq!(path, naive_path(index, &all), "{index} of {size}");
                assert_eq!(root_by_inclusion(all[index], at, of, &path), Some(root));
            }
            for old in 1..=size {
                let (was, is) = (old as u64, size as u64);
                let path = read(&kept, &consistency(was, is));
                assert_eq!(path, naive_consistency(old, &all, true), "{old} to {size}");
                let old_root = naive(&all[..old]);
                assert!(
                    is_consistent(was, &old_root, is, &root, &path),
                    "{old} to {size}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_wrong_proof_proves_nothing(
            size in 1_usize..300, at in any::<prop::sample::Index>(), wrong in any::<prop::sample::Index>(), bit in 0_u8..8,
        ) {
            let all = leaves(size);
            let (tree, kept) = grown(&all);
            let (index, of) = (at.index(size), size as u64);
            let path = read(&kept, &inclusion(index as u64, of));
            let root = tree.root();
            let by = |leaf, index, path: &[Hash]| root_by_inclusion(leaf, index, of, path) == Some(root);
            prop_assert!(by(all[index], index as u64, &path));
            prop_assert!(!by(leaf(b"another"), index as u64, &path));
            prop_assert!(!by(all[index], of, &path));
            let other = wrong.index(size);
            prop_assert!(other == index || !by(all[index], other as u64, &path));
            let longer = [path.clone(), vec![root]].concat();
            prop_assert!(!by(all[index], index as u64, &longer));
            if !path.is_empty() {
                prop_assert!(!by(all[index], index as u64, &path[1..]));
                let mut changed = path.clone();
                changed[wrong.index(path.len())][usize::from(bit)] ^= 1 << bit;
                prop_assert!(!by(all[index], index as u64, &changed));
            }
            let old = index + 1;
            let old_root = naive(&all[..old]);
            let path = read(&kept, &consistency(old as u64, of));
            let holds = |old_root: &Hash, path: &[Hash]| is_consistent(old as u64, old_root, of, &root, path);
            prop_assert!(holds(&old_root, &path));
            prop_assert!(!holds(&leaf(b"another"), &path));
            let longer = [path.clone(), vec![root]].concat();
            prop_assert!(!holds(&old_root, &longer));
            if !path.is_empty() {
                let mut changed = path.clone();
                changed[wrong.index(path.len())][usize::from(bit)] ^= 1 << bit;
                prop_assert!(!holds(&old_root, &changed));
            }
        }
    }
}

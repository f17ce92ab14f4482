//! A pack's delta trees: which entry is a delta against which.

use rayon::prelude::*;

use super::damage::Damage;
use super::pack::{Form, Pack};
use crate::repo::{ObjectId, ObjectKind as Kind};

/// No entry: what stands in `base` for those that have none in this pack.
const NONE: u32 = u32::MAX;

/// The delta trees of a pack. Entries are numbers, as in [`Pack`].
pub(super) struct Forest {
    /// For each entry, where its children begin in `children`; at the end where the last end.
    first: Vec<u32>,
    children: Vec<u32>,
    /// Whole entries, in order.
    pub(super) roots: Vec<u32>,
    /// Deltas against objects that this pack doesn't hold.
    pub(super) outside: Vec<(u32, ObjectId)>,
    /// Entries that nothing can be said of.
    pub(super) damaged: Vec<(u32, Damage)>,
}

/// What is no delta against an entry of the pack.
#[derive(Default)]
struct Others {
    roots: Vec<u32>,
    outside: Vec<(u32, ObjectId)>,
    damaged: Vec<(u32, Damage)>,
}

/// As many headers are read in one go.
const CHUNK: usize = 4096;

impl Forest {
    /// Reads all headers. With `kinds`, only trees with roots of those kinds are kept (deltas
    /// against outside objects always are).
    pub(super) fn plant(pack: &Pack, kinds: Option<&[Kind]>) -> Self {
        let mut base = vec![NONE; pack.len() as usize];
        let others: Vec<Others> = base
            .par_chunks_mut(CHUNK)
            .enumerate()
            .map(|(chunk, base)| bases(pack, (chunk * CHUNK) as u32, base))
            .collect();
        let (mut roots, mut outside, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
        for others in others {
            roots.extend(others.roots);
            outside.extend(others.outside);
            damaged.extend(others.damaged);
        }
        let (first, children) = group(&base);
        let mut forest = Self {
            first,
            children,
            roots,
            outside,
            damaged,
        };
        forest.order(&base);
        if let Some(kinds) = kinds {
            forest.roots.retain(|&root| {
                let kind = pack.header(root).map(|header| header.form);
                matches!(kind, Ok(Form::Whole(kind)) if kinds.contains(&kind))
            });
        }
        forest
    }

    /// Which entries are deltas against `entry`: a range of [`Forest::child`].
    pub(super) fn children(&self, entry: u32) -> std::ops::Range<u32> {
        self.first[entry as usize]..self.first[entry as usize + 1]
    }

    /// One of the children.
    pub(super) fn child(&self, at: u32) -> u32 {
        self.children[at as usize]
    }

    /// Puts the child with the most descendants last: when it is walked no sibling is left, so
    /// that its base can be let go, and at most a logarithm of a tree is ever held. What can't be
    /// reached from any root is damaged.
    fn order(&mut self, base: &[u32]) {
        let mut below = vec![1u32; base.len()];
        let mut reached: Vec<u32> = Vec::with_capacity(base.len());
        reached.extend(&self.roots);
        reached.extend(self.outside.iter().map(|o| o.0));
        let mut next = 0;
        while let Some(&entry) = reached.get(next) {
            reached.extend(
                &self.children
                    [self.first[entry as usize] as usize..self.first[entry as usize + 1] as usize],
            );
            next += 1;
        }
        for &entry in reached.iter().rev() {
            let parent = base[entry as usize];
            if parent != NONE {
                below[parent as usize] += below[entry as usize];
            }
        }
        for entry in 0..base.len() {
            let range = self.first[entry] as usize..self.first[entry + 1] as usize;
            let children = &mut self.children[range];
            let heaviest = (0..children.len()).max_by_key(|&n| below[children[n] as usize]);
            if let Some(heaviest) = heaviest {
                children[heaviest..].rotate_left(1);
            }
        }
        if reached.len() + self.damaged.len() < base.len() {
            let mut seen = vec![false; base.len()];
            reached
                .iter()
                .for_each(|&entry| seen[entry as usize] = true);
            self.damaged.iter().for_each(|d| seen[d.0 as usize] = true);
            let lost = (0..base.len()).filter(|&entry| !seen[entry]);
            self.damaged
                .extend(lost.map(|entry| (entry as u32, Damage::Unrooted)));
        }
    }
}

/// The bases of the entries from `first` on. Where the deltas begin that they are made against is
/// looked up after all headers were read, since those wait for memory and need not wait in turn.
fn bases(pack: &Pack, first: u32, base: &mut [u32]) -> Others {
    let mut others = Others::default();
    let mut offsets = Vec::with_capacity(base.len());
    for entry in (first..).take(base.len()) {
        match pack.header(entry).map(|header| header.form) {
            Ok(Form::Whole(_)) => others.roots.push(entry),
            Ok(Form::Offset(offset)) => offsets.push((entry, offset)),
            Ok(Form::Reference(id)) => match pack.find(&id) {
                Some(other) => base[(entry - first) as usize] = other,
                None => others.outside.push((entry, id)),
            },
            Err(damage) => others.damaged.push((entry, damage)),
        }
    }
    for (entry, offset) in offsets {
        match pack.entry_at(offset) {
            Some(other) => base[(entry - first) as usize] = other,
            None => others.damaged.push((entry, Damage::Header)),
        }
    }
    others
}

/// The entries by base: a counting sort.
fn group(base: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut first = vec![0u32; base.len() + 1];
    for &b in base.iter().filter(|b| **b != NONE) {
        first[b as usize + 1] += 1;
    }
    for n in 1..first.len() {
        first[n] += first[n - 1];
    }
    let mut children = vec![0; first.last().copied().unwrap_or(0) as usize];
    let mut at = first.clone();
    for (entry, &b) in base.iter().enumerate().filter(|(_, b)| **b != NONE) {
        children[at[b as usize] as usize] = entry as u32;
        at[b as usize] += 1;
    }
    (first, children)
}

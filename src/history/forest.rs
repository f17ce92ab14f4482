//! A pack's delta trees: which entry is a delta against which, laid out as they are walked.
//!
//! A walk goes from entry to entry in an order that has nothing to do with where they stand, and
//! waits for memory at each place that it looks at for the first time. So all that it needs of an
//! entry is one [`Plant`], and those of siblings stand side by side.

use std::ops::Range;

use rayon::prelude::*;

use super::damage::Damage;
use super::pack::{Form, Pack};
use crate::repo::{ObjectId, ObjectKind as Kind};

/// No entry: what stands in `base` for those that have none in this pack.
const NONE: u32 = u32::MAX;

/// The delta trees of a pack.
pub(super) struct Forest {
    /// Roots first, then what is made against objects outside, then children: those of each plant
    /// side by side, in the order of their bases.
    plants: Vec<Plant>,
    /// What the whole entries are: as many of `plants` come first.
    kinds: Vec<Kind>,
    /// The objects that this pack doesn't hold and has deltas against: those plants come next.
    pub(super) outside: Vec<ObjectId>,
    /// Entries that nothing can be said of.
    pub(super) damaged: Vec<(u32, Damage)>,
}

/// An entry, as a walk needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plant {
    /// Its number, as in [`Pack`].
    pub(super) entry: u32,
    /// The first of its children. The last one is the one before the next plant's first.
    first: u32,
    start: u64,
    end: u64,
}

impl Plant {
    /// Where it begins in the pack, and where it ends.
    pub(super) fn range(&self) -> Range<u64> {
        self.start..self.end
    }
}

/// What is no delta against an entry of the pack.
#[derive(Default)]
struct Others {
    roots: Vec<(u32, Kind)>,
    outside: Vec<(u32, ObjectId)>,
    damaged: Vec<(u32, Damage)>,
}

/// As many headers are read in one go.
const CHUNK: usize = 4096;

impl Forest {
    /// Reads all headers.
    pub(super) fn plant(pack: &Pack) -> Self {
        let mut base = vec![NONE; pack.len() as usize];
        let others: Vec<Others> = base
            .par_chunks_mut(CHUNK)
            .enumerate()
            .map(|(chunk, base)| bases(pack, (chunk * CHUNK) as u32, base))
            .collect();
        let mut forest = Self {
            plants: Vec::with_capacity(base.len() + 1),
            kinds: Vec::new(),
            outside: Vec::new(),
            damaged: Vec::new(),
        };
        let mut outside = Vec::new();
        for others in others {
            for (entry, kind) in others.roots {
                forest.add(pack, entry);
                forest.kinds.push(kind);
            }
            outside.extend(others.outside);
            forest.damaged.extend(others.damaged);
        }
        for (entry, id) in outside {
            forest.add(pack, entry);
            forest.outside.push(id);
        }
        let (first, mut children) = group(&base);
        let of = |entry: u32| first[entry as usize] as usize..first[entry as usize + 1] as usize;
        let below = descendants(&base);
        let mut next = 0;
        while let Some(plant) = forest.plants.get(next).copied() {
            forest.plants[next].first = forest.plants.len() as u32;
            let children = &mut children[of(plant.entry)];
            let heaviest = (0..children.len()).max_by_key(|&n| below[children[n] as usize]);
            if let Some(heaviest) = heaviest {
                children[heaviest..].rotate_left(1);
            }
            children.iter().for_each(|&child| forest.add(pack, child));
            next += 1;
        }
        forest.find_lost(base.len());
        // Where the children of the last one end.
        forest.plants.push(Plant {
            entry: NONE,
            first: forest.plants.len() as u32,
            start: 0,
            end: 0,
        });
        forest
    }

    fn add(&mut self, pack: &Pack, entry: u32) {
        let Range { start, end } = pack.range(entry);
        self.plants.push(Plant {
            entry,
            first: NONE,
            start,
            end,
        });
    }

    /// What can't be reached from any root is damaged.
    fn find_lost(&mut self, entries: usize) {
        if self.plants.len() + self.damaged.len() < entries {
            let mut seen = vec![false; entries];
            let planted = self.plants.iter().map(|plant| plant.entry);
            let known = planted.chain(self.damaged.iter().map(|damaged| damaged.0));
            known.for_each(|entry| seen[entry as usize] = true);
            let lost = (0..entries).filter(|&entry| !seen[entry]);
            self.damaged
                .extend(lost.map(|entry| (entry as u32, Damage::Unrooted)));
        }
    }

    /// The plant of this number.
    pub(super) fn plant_at(&self, number: u32) -> Plant {
        self.plants[number as usize]
    }

    /// The children of a plant: those that are deltas against it. The one with the most descendants
    /// is the last: when it is walked no sibling is left, so that its base can be let go, and at most
    /// a logarithm of a tree is ever held.
    pub(super) fn children(&self, number: u32) -> Range<u32> {
        self.plants[number as usize].first..self.plants[number as usize + 1].first
    }

    /// The whole entries, or those of one kind, in order.
    pub(super) fn roots(&self, kind: Option<Kind>) -> Vec<u32> {
        let counts = |one: &(u32, &Kind)| kind.is_none_or(|kind| *one.1 == kind);
        let all = (0..).zip(&self.kinds).filter(counts);
        all.map(|one| one.0).collect()
    }

    /// The plants that are deltas against objects outside, and those objects.
    pub(super) fn grafts(&self) -> impl Iterator<Item = (u32, &ObjectId)> {
        (self.kinds.len() as u32..).zip(&self.outside)
    }
}

/// So many entries ahead the processor is told what is read next.
const EXPECTED: u32 = 8;

/// The bases of the entries from `first` on. Where the deltas begin that they are made against is
/// looked up after all headers were read, since those wait for memory and need not wait in turn.
fn bases(pack: &Pack, first: u32, base: &mut [u32]) -> Others {
    let mut others = Others::default();
    let mut offsets = Vec::with_capacity(base.len());
    let last = first + base.len() as u32 - 1;
    for entry in first..=last {
        pack.expect(pack.start(last.min(entry + EXPECTED)));
        match pack.header(&pack.range(entry)).map(|header| header.form) {
            Ok(Form::Whole(kind)) => others.roots.push((entry, kind)),
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

/// How many entries are made from each, itself included; of those that go round in circles, any
/// number. Bases mostly stand before their deltas: then once through from the end adds them up.
fn descendants(base: &[u32]) -> Vec<u32> {
    let mut below = vec![1u32; base.len()];
    let mut add = |entry: usize| below[base[entry] as usize] += below[entry];
    let has_base = |entry: &usize| base[*entry] != NONE;
    if (0..base.len())
        .filter(has_base)
        .all(|entry| (base[entry] as usize) < entry)
    {
        (0..base.len()).rev().filter(has_base).for_each(add);
        return below;
    }
    // Else from each entry upwards, as long as nothing else is to be added to its base.
    let mut missing = vec![0u32; base.len()];
    for entry in (0..base.len()).filter(has_base) {
        missing[base[entry] as usize] += 1;
    }
    for mut entry in (0..base.len()).filter(has_base) {
        while missing[entry] == 0 && has_base(&entry) {
            add(entry);
            missing[entry] = NONE;
            entry = base[entry] as usize;
            missing[entry] -= 1;
        }
    }
    below
}

#[cfg(test)]
mod tests {
    use super::super::forge::{self, Entry, Step};
    use super::*;
    use proptest::prelude::*;

    /// How many lead to each, counted one by one; `None` where they go round in circles.
    fn counted(base: &[u32]) -> Option<Vec<u32>> {
        let mut below = vec![0; base.len()];
        for start in 0..base.len() as u32 {
            let (mut at, mut steps) = (start, 0);
            while at != NONE {
                below[at as usize] += 1;
                (at, steps) = (base[at as usize], steps + 1);
                if steps > base.len() {
                    return None;
                }
            }
        }
        Some(below)
    }

    proptest! {
        #[test]
        fn descendants_are_counted_whichever_way_bases_stand(
            bases in proptest::collection::vec(proptest::option::of(0usize..30), 0..30),
            back_only in any::<bool>(),
        ) {
            let base = |(entry, base): (usize, &Option<usize>)| match base {
                Some(base) if !back_only => (base % bases.len()) as u32,
                Some(base) if entry > 0 => (base % entry) as u32,
                _ => NONE,
            };
            let base: Vec<u32> = bases.iter().enumerate().map(base).collect();
            let below = descendants(&base);
            prop_assert_eq!(below.len(), base.len());
            if let Some(counted) = counted(&base) {
                prop_assert_eq!(below, counted);
            }
        }
    }

    #[test]
    fn each_entry_is_planted_once_and_the_heaviest_child_is_the_last() {
        let copy = || forge::delta(4, 4, &[Step::Copy(0, 4)]);
        let mut entries: Vec<Entry> = (0..3).map(|_| Entry::Blob(b"text".to_vec())).collect();
        for (n, base) in [0, 3, 3, 5, 0, 5, 7, 11, 2].into_iter().enumerate() {
            // The last but one is made against the last one.
            entries.push(if n % 2 == 0 {
                Entry::Offset(base, copy())
            } else {
                Entry::Reference(base, copy())
            });
        }
        let directory = tempfile::tempdir().unwrap();
        let path = forge::write(directory.path(), &entries, 2);
        let pack = Pack::open(&path, 20).unwrap();
        let forest = Forest::plant(&pack);
        assert_eq!(forest.roots(Some(Kind::Blob)), [0, 1, 2]);
        assert!(forest.roots(Some(Kind::Tree)).is_empty());
        let mut seen = Vec::new();
        let below = |number: u32| {
            let mut all = vec![number];
            let mut next = 0;
            while let Some(&number) = all.get(next) {
                all.extend(forest.children(number));
                next += 1;
            }
            all
        };
        for root in forest.roots(None) {
            for number in below(root) {
                let plant = forest.plant_at(number);
                assert_eq!(plant.range(), pack.range(plant.entry));
                seen.push(plant.entry);
                let weights = forest.children(number).map(|child| below(child).len());
                let weights: Vec<usize> = weights.collect();
                assert_eq!(weights.last(), weights.iter().max());
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..entries.len() as u32).collect::<Vec<_>>());
    }
}

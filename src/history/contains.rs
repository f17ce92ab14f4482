//! Which trees hold which objects: the same walk as the search, with ids in place of anchors.
//!
//! An id is 20 or 32 random bytes, so that finding them anywhere in a tree is finding an entry.

use std::sync::atomic::AtomicBool;

use super::damage::Damage;
use super::delta::Segment;
use super::forest::Forest;
use super::pack::Pack;
use super::version::Version;
use super::walk::{Outside, Visit, walk};
use crate::repo::{ObjectId, ObjectKind as Kind};

/// How many bytes of an id tell whether it is worth comparing.
const HEAD: usize = 4;

/// A set of ids that is looked for.
pub(super) struct Wanted {
    /// In order.
    ids: Vec<ObjectId>,
    length: usize,
    /// For each first byte pair, where its ids begin.
    first: Vec<u32>,
    /// A filter: hashes of the ids' first bytes.
    heads: Bits,
    /// Another one, of all their stretches of [`HEAD`] bytes.
    parts: Bits,
}

/// A bit for each hash of [`HEAD`] bytes.
struct Bits(Vec<u64>, u32);

impl Bits {
    /// About 16 bits for each of `count` members.
    fn new(count: usize) -> Self {
        let log = (count * 16)
            .next_power_of_two()
            .trailing_zeros()
            .clamp(12, 26);
        Self(vec![0; 1 << (log - 6)], 32 - log)
    }

    fn slot(&self, four: &[u8]) -> (usize, u64) {
        let word = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
        let hash = word.wrapping_mul(0x9e37_79b1) >> self.1;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }

    fn add(&mut self, four: &[u8]) {
        let (at, bit) = self.slot(four);
        self.0[at] |= bit;
    }

    fn has(&self, four: &[u8]) -> bool {
        let (at, bit) = self.slot(four);
        self.0[at] & bit != 0
    }
}

impl Wanted {
    pub(super) fn new(mut ids: Vec<ObjectId>) -> Self {
        ids.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        ids.dedup();
        let length = ids.first().map_or(20, |id| id.as_bytes().len());
        let mut heads = Bits::new(ids.len());
        let mut parts = Bits::new(ids.len() * length);
        let mut first = vec![0; 0x1_0001];
        for id in &ids {
            heads.add(id.as_bytes());
            id.as_bytes().windows(HEAD).for_each(|part| parts.add(part));
            first[pair(id.as_bytes()) + 1] += 1;
        }
        for n in 1..first.len() {
            first[n] += first[n - 1];
        }
        Self {
            ids,
            length,
            first,
            heads,
            parts,
        }
    }

    /// The wanted ids; results name them by number.
    pub(super) fn ids(&self) -> &[ObjectId] {
        &self.ids
    }

    /// Which wanted id these bytes begin with.
    fn find(&self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() < self.length || !self.heads.has(bytes) {
            return None;
        }
        let slot = pair(bytes);
        let (low, high) = (self.first[slot] as usize, self.first[slot + 1] as usize);
        let id = &bytes[..self.length];
        let at = self.ids[low..high].binary_search_by(|other| other.as_bytes().cmp(id));
        at.ok().map(|at| (low + at) as u32)
    }

    /// Wanted ids anywhere in `bytes`.
    pub(super) fn search(&self, bytes: &[u8], mut found: impl FnMut(usize, u32)) {
        for at in 0..(bytes.len() + 1).saturating_sub(self.length) {
            if let Some(id) = self.find(&bytes[at..]) {
                found(at, id);
            }
        }
    }

    /// Whether one of them may go on, or end, with some of these bytes.
    fn may_hold_part(&self, bytes: &[u8]) -> bool {
        bytes.len() < HEAD || self.parts.has(bytes)
    }

    /// The wanted ids that a tree has as entries.
    pub(super) fn in_tree(&self, tree: &[u8]) -> Vec<u32> {
        let mut found = Vec::new();
        self.entries(tree, |_, id| found.push(id));
        found
    }

    fn entries(&self, tree: &[u8], mut found: impl FnMut(usize, u32)) {
        for entry in super::tree::entries(tree, self.length) {
            if let Some(id) = self.find(entry.id) {
                found(entry.id_at, id);
            }
        }
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// A tree (an entry of the pack) that holds a wanted id (by number).
pub(super) type Holding = (u32, u32);

/// Finds all trees of a pack that hold wanted ids.
pub(super) fn holders(
    pack: &Pack,
    forest: &Forest,
    wanted: &Wanted,
    outside: &Outside<'_>,
    threads: usize,
    stop: &AtomicBool,
) -> Vec<Holding> {
    let visit = Visitor { wanted };
    let found = walk(pack, forest, &visit, outside, threads, stop);
    found.into_iter().flat_map(|local| local.found).collect()
}

struct Visitor<'a> {
    wanted: &'a Wanted,
}

#[derive(Default)]
struct Local {
    found: Vec<Holding>,
    marks: Vec<(u32, u32)>,
    fetched: Vec<u8>,
}

impl Local {
    fn end(&mut self, entry: Option<u32>) -> Box<[(u32, u32)]> {
        self.marks.sort_unstable();
        self.marks.dedup();
        if let Some(entry) = entry {
            self.found
                .extend(self.marks.iter().map(|mark| (entry, mark.1)));
        }
        self.marks.drain(..).collect()
    }
}

impl Visitor<'_> {
    fn border(
        &self,
        version: Version<'_, <Self as Visit>::Marks>,
        number: usize,
        local: &mut Local,
    ) {
        let delta = version.delta;
        let (left, right) = (&delta.segments[number - 1], &delta.segments[number]);
        let run = |segment: &Segment, end: u32| {
            let from = segment.from as usize;
            &delta.inserted[from..from + (end - segment.at) as usize]
        };
        // What is copied was whole in the base, if long; so the inserted side holds most of an id
        // that stands across.
        if !right.copied && !self.wanted.may_hold_part(run(right, delta.end(number))) {
            return;
        }
        if !left.copied {
            let run = run(left, right.at);
            if !self
                .wanted
                .may_hold_part(&run[run.len().saturating_sub(HEAD)..])
            {
                return;
            }
        }
        let reach = self.wanted.length as u32 - 1;
        let start = right.at.saturating_sub(reach);
        let Local { marks, fetched, .. } = local;
        fetched.clear();
        version.fetch(start..(right.at + reach).min(delta.length), fetched);
        self.wanted
            .search(fetched, |at, id| marks.push((start + at as u32, id)));
    }
}

impl Visit for Visitor<'_> {
    type Marks = Box<[(u32, u32)]>;
    type Local = Local;

    fn local(&self) -> Local {
        Local::default()
    }

    fn whole(&self, local: &mut Local, entry: u32, _kind: Kind, bytes: &[u8]) -> Self::Marks {
        let Local { marks, .. } = local;
        self.wanted
            .entries(bytes, |at, id| marks.push((at as u32, id)));
        local.end(Some(entry))
    }

    fn delta(
        &self,
        local: &mut Local,
        entry: u32,
        _kind: Kind,
        version: Version<'_, Self::Marks>,
    ) -> Self::Marks {
        let delta = version.delta;
        let base = &version.base.marks;
        for (number, segment) in delta.segments.iter().enumerate() {
            if number > 0 {
                self.border(version, number, local);
            }
            let length = delta.end(number) - segment.at;
            let source = segment.from..segment.from + length;
            if !segment.copied {
                let run = &delta.inserted[source.start as usize..source.end as usize];
                let marks = &mut local.marks;
                self.wanted
                    .search(run, |at, id| marks.push((segment.at + at as u32, id)));
                continue;
            }
            let first = base.partition_point(|mark| mark.0 < source.start);
            let inside = |mark: &&(u32, u32)| mark.0 + self.wanted.length as u32 <= source.end;
            let carried = base[first..].iter().take_while(inside);
            local
                .marks
                .extend(carried.map(|mark| (segment.at + (mark.0 - source.start), mark.1)));
        }
        local.end(Some(entry))
    }

    fn borrowed(&self, local: &mut Local, _kind: Kind, bytes: &[u8]) -> Self::Marks {
        let Local { marks, .. } = local;
        self.wanted
            .entries(bytes, |at, id| marks.push((at as u32, id)));
        local.end(None)
    }

    /// The search for keys has reported it.
    fn damaged(&self, _local: &mut Local, _entry: u32, _damage: Damage) {}
}

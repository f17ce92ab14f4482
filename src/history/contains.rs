//! Which trees hold which objects: the same walk as the search, with ids in place of anchors.
//!
//! An id is 20 or 32 random bytes: what stands again is the same entry. In a tree a zero byte
//! stands before each, so only there is anything compared.
//!
//! Going up from objects to the roots takes a walk for each level. The first one notes which ids
//! each family of trees (a root of the forest and all deltas below it) has brought up; the others
//! visit only the families that can have what is wanted.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use super::damage::Damage;
use super::forest::Forest;
use super::pack::Pack;
use super::version::Version;
use super::walk::{Outside, Visit, walk};
use crate::repo::{ObjectId, ObjectKind as Kind};

/// A set of ids that is looked for.
pub(super) struct Wanted {
    /// In order.
    ids: Vec<ObjectId>,
    length: usize,
    /// For each first byte pair, where its ids begin.
    first: Vec<u32>,
    /// A filter: hashes of the ids' first bytes.
    heads: Bits,
}

/// A bit for each hash of four bytes.
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
        let mut first = vec![0; 0x1_0001];
        for id in &ids {
            heads.add(id.as_bytes());
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

    /// Whether a wanted id begins with these bytes, most likely.
    fn has_head(&self, head: u32) -> bool {
        let head = head.to_be_bytes();
        let slot = pair(&head);
        let ids = &self.ids[self.first[slot] as usize..self.first[slot + 1] as usize];
        self.heads.has(&head) && ids.iter().any(|id| id.as_bytes().starts_with(&head))
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

/// Notes beyond this (64 MiB of them) are not made: then every family is visited each time.
const MOST_NOTES: usize = 8 << 20;

/// A pack's trees, and what is known of its families.
pub(super) struct Trees<'a> {
    pack: &'a Pack,
    forest: &'a Forest,
    /// All roots of trees.
    families: Vec<u32>,
    /// Families and the first bytes of ids that came up in them, in order; `None` before the first
    /// walk, and if there are too many.
    notes: Option<Vec<Note>>,
    walked: bool,
}

/// A root, and the first bytes of an id.
type Note = (u32, u32);

impl<'a> Trees<'a> {
    pub(super) fn new(pack: &'a Pack, forest: &'a Forest) -> Self {
        Self {
            pack,
            families: forest.roots(Some(Kind::Tree)),
            forest,
            notes: None,
            walked: false,
        }
    }

    /// Finds all trees of the pack that hold wanted ids.
    pub(super) fn holders(
        &mut self,
        wanted: &Wanted,
        outside: &Outside<'_>,
        threads: usize,
        stop: &AtomicBool,
    ) -> Vec<Holding> {
        let some = self.notes.as_ref().map(|notes| {
            let mut rest = &notes[..];
            let may_hold = |family: &u32| {
                let root = self.forest.plant_at(*family).entry;
                let own = rest.partition_point(|note| note.0 <= root);
                let (mine, others) = rest.split_at(own);
                rest = others;
                mine.iter().any(|note| wanted.has_head(note.1))
            };
            let families = self.families.iter().copied();
            families.filter(may_hold).collect::<Vec<_>>()
        });
        let roots = some.as_ref().unwrap_or(&self.families);
        let visit = Visitor {
            wanted,
            noting: !self.walked,
        };
        let walked = walk(
            self.pack,
            self.forest,
            roots,
            &visit,
            outside,
            threads,
            stop,
        );
        let mut found = Vec::new();
        let (mut notes, mut all) = (Vec::new(), true);
        for mut local in walked {
            found.append(&mut local.found);
            all &= local.notes.len() < MOST_NOTES;
            notes.append(&mut local.notes);
        }
        if !self.walked && all {
            notes.sort_unstable();
            notes.dedup();
            self.notes = Some(notes);
        }
        self.walked = true;
        found
    }
}

struct Visitor<'a> {
    wanted: &'a Wanted,
    /// Whether to note which ids come up.
    noting: bool,
}

#[derive(Default)]
struct Local {
    found: Vec<Holding>,
    notes: Vec<Note>,
    marks: Vec<(u32, u32)>,
    fetched: Vec<u8>,
}

/// What is remembered of a tree.
struct Held {
    /// The root of its family; none of the pack's own if its base was borrowed.
    family: Option<u32>,
    /// Wanted ids in it, and where.
    marks: Box<[(u32, u32)]>,
}

impl Local {
    fn end(&mut self, family: Option<u32>, entry: Option<u32>) -> Held {
        self.marks.sort_unstable();
        self.marks.dedup();
        if let Some(entry) = entry {
            self.found
                .extend(self.marks.iter().map(|mark| (entry, mark.1)));
        }
        Held {
            family,
            marks: self.marks.drain(..).collect(),
        }
    }

    fn note(&mut self, family: Option<u32>, id: &[u8]) {
        // Families without a root here are visited each time.
        if let (Some(family), true) = (family, self.notes.len() < MOST_NOTES) {
            let head = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
            self.notes.push((family, head));
        }
    }
}

impl Visitor<'_> {
    /// A stretch of a version in which something is new: ids that stand in it.
    fn stretch(&self, version: Version<'_, Held>, range: Range<u32>, local: &mut Local) {
        let mut fetched = std::mem::take(&mut local.fetched);
        fetched.clear();
        version.fetch(range.clone(), &mut fetched);
        for zero in memchr::memchr_iter(0, &fetched) {
            let Some(id) = fetched.get(zero + 1..zero + 1 + self.wanted.length) else {
                break;
            };
            if self.noting {
                local.note(version.base.marks.family, id);
            }
            if let Some(number) = self.wanted.find(id) {
                local.marks.push((range.start + zero as u32 + 1, number));
            }
        }
        local.fetched = fetched;
    }
}

impl Visit for Visitor<'_> {
    type Marks = Held;
    type Local = Local;

    fn local(&self) -> Local {
        Local::default()
    }

    fn whole(&self, local: &mut Local, entry: u32, _kind: Kind, bytes: &[u8]) -> Held {
        for child in super::tree::entries(bytes, self.wanted.length) {
            if self.noting && child.is_tree {
                local.note(Some(entry), child.id);
            }
            if let Some(number) = self.wanted.find(child.id) {
                local.marks.push((child.id_at as u32, number));
            }
        }
        local.end(Some(entry), Some(entry))
    }

    fn delta(
        &self,
        local: &mut Local,
        entry: u32,
        _kind: Kind,
        version: Version<'_, Held>,
    ) -> Held {
        let (delta, base) = (version.delta, &version.base.marks);
        let length = self.wanted.length as u32;
        // From where an id may begin (a zero byte before it) to where it may end.
        let mut new: Option<Range<u32>> = None;
        for (number, segment) in delta.segments.iter().enumerate() {
            let end = delta.end(number);
            if segment.copied {
                let source = segment.from..segment.from + (end - segment.at);
                let first = base.marks.partition_point(|mark| mark.0 < source.start);
                let inside = |mark: &&(u32, u32)| mark.0 + length <= source.end;
                let carried = base.marks[first..].iter().take_while(inside);
                local
                    .marks
                    .extend(carried.map(|mark| (segment.at + (mark.0 - source.start), mark.1)));
            }
            let last = if segment.copied { segment.at } else { end };
            if segment.copied && number == 0 {
                continue;
            }
            let from = segment.at.saturating_sub(length);
            let to = last.saturating_add(length).min(delta.length);
            new = match new {
                Some(before) if from <= before.end => Some(before.start..to),
                before => {
                    if let Some(before) = before {
                        self.stretch(version, before, local);
                    }
                    Some(from..to)
                }
            };
        }
        if let Some(last) = new {
            self.stretch(version, last, local);
        }
        local.end(base.family, Some(entry))
    }

    fn borrowed(&self, local: &mut Local, _kind: Kind, bytes: &[u8]) -> Held {
        self.wanted
            .entries(bytes, |at, id| local.marks.push((at as u32, id)));
        local.end(None, None)
    }

    /// The search for keys has reported it.
    fn damaged(&self, _local: &mut Local, _entry: u32, _damage: Damage) {}
}

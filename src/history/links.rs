//! Objects that others name and that are not here: left out by a partial or shallow clone, or
//! lost. While a pack is searched, what it names and does not hold is written down, from what each
//! version names that its base does not: an id that was copied stood in the base. Whether some
//! other pack has it, or a loose object is it, is asked at the end.
//!
//! That nearly doubles the work of a search, so it is done only where objects can be missing by
//! design, or where somebody asks for it. What refs name is always looked up; and where a shallow
//! clone ends, it says itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use super::database::Database;
use super::loose;
use super::objects::{LARGEST, Objects};
use super::refs::Refs;
use super::tree;
use super::version::Version;
use crate::coverage::{Coverage, KEPT_FAILURES};
use crate::repo::{ObjectId, ObjectKind as Kind};
use crate::secret::Masked;

/// How far back from an id its entry's mode is looked for: the longest name of most systems.
const LONGEST_NAME: u32 = 300;

/// A mode with its space.
const MODE: usize = 8;

/// A commit's header is looked at up to here; a merge of a thousand has 50 KB of it.
const LONGEST_HEADER: u32 = 64 << 10;

/// For the account: what a clone left out on purpose.
const LEFT_OUT: &str = "objects that this partial clone left out";
const SHALLOW: &str = "parents of commits where a shallow clone ends";

/// The first 8 bytes of an id, which are as good as all of them: there may be millions.
pub(super) type Head = u64;

pub(super) fn head(id: &ObjectId) -> Head {
    let first = id.as_bytes().iter().take(8);
    first.fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// What a thread has seen to be held lately: most trees name what the one before them names.
pub(super) struct Lately(Box<[Head]>);

impl Default for Lately {
    fn default() -> Self {
        Self(vec![0; 1 << 16].into())
    }
}

impl Lately {
    fn slot(&mut self, head: Head) -> &mut Head {
        &mut self.0[(head & 0xffff) as usize]
    }
}

/// What a thread has found: ids that are named and not held, with repetitions.
#[derive(Default)]
pub(super) struct Outside {
    pub(super) heads: Vec<Head>,
    lately: Lately,
}

/// Looks at what the objects of a pack name.
pub(super) struct Links<'a> {
    /// Whether the pack holds an object.
    pub(super) holds: &'a (dyn Fn(&ObjectId) -> bool + Sync),
    pub(super) id_length: usize,
    /// Whether it came from a promisor, and is likely to name what is not here.
    pub(super) promised: bool,
}

impl Links<'_> {
    /// The id, unless the pack holds it.
    fn outside(&self, id: &[u8], lately: &mut Lately) -> Option<ObjectId> {
        let id = ObjectId::from_bytes(id)?;
        let slot = lately.slot(head(&id));
        if *slot == head(&id) || is_empty_tree(&id) {
            return None;
        }
        if (self.holds)(&id) {
            *slot = head(&id);
            return None;
        }
        Some(id)
    }

    fn check(&self, id: &[u8], outside: &mut Outside) {
        let Outside { heads, lately } = outside;
        heads.extend(self.outside(id, lately).map(|id| head(&id)));
    }

    /// What a whole object names.
    pub(super) fn whole(&self, kind: Kind, bytes: &[u8], outside: &mut Outside) {
        match kind {
            Kind::Blob => {}
            Kind::Tree => tree::entries(bytes, self.id_length)
                .filter(|entry| !entry.is_link)
                .for_each(|entry| self.check(entry.id, outside)),
            Kind::Commit => {
                if let Some(commit) = tree::commit(bytes) {
                    let named = std::iter::once(&commit.tree).chain(&commit.parents);
                    named.for_each(|id| self.check(id.as_bytes(), outside));
                }
            }
            Kind::Tag => {
                if let Some(id) = tree::tagged(bytes) {
                    self.check(id.as_bytes(), outside);
                }
            }
        }
    }

    /// What a version names that its base does not.
    pub(super) fn delta<M>(
        &self,
        kind: Kind,
        version: Version<'_, M>,
        fetched: &mut Vec<u8>,
        outside: &mut Outside,
    ) {
        let delta = version.delta;
        match kind {
            Kind::Blob => return,
            Kind::Commit | Kind::Tag => {
                fetched.clear();
                version.fetch(0..delta.length.min(LONGEST_HEADER), fetched);
                return self.whole(kind, fetched, outside);
            }
            Kind::Tree => {}
        }
        let length = self.id_length as u32;
        for (number, segment) in delta.segments.iter().enumerate() {
            if segment.copied {
                continue;
            }
            // An id that has some of these bytes stands between a NUL and the next entry's mode,
            // or the end.
            let end = delta.end(number);
            let start = segment.at.saturating_sub(length + 1);
            let until = (end + length + MODE as u32).min(delta.length);
            fetched.clear();
            version.fetch(start..until, fetched);
            for nul in memchr::memchr_iter(0, &fetched[..(end - start) as usize]) {
                let behind = nul + 1 + length as usize;
                let Some(id) = fetched.get(nul + 1..behind) else {
                    break;
                };
                let ends = start + behind as u32 == delta.length;
                if !ends && mode(&fetched[behind..]).is_none() {
                    continue;
                }
                let id = self.outside(id, &mut outside.lately);
                let id = id.filter(|id| self.names(version, start + nul as u32, id));
                outside.heads.extend(id.map(|id| head(&id)));
            }
        }
    }

    /// Whether a version of a tree has an entry, and not a submodule's, whose name ends at `nul`.
    fn names<M>(&self, version: Version<'_, M>, nul: u32, id: &ObjectId) -> bool {
        let mut bytes = Vec::new();
        version.fetch(nul.saturating_sub(LONGEST_NAME)..nul, &mut bytes);
        let found = (0..bytes.len()).rev().find_map(|at| mode(&bytes[at..]));
        if found == Some(b"160000") || self.promised {
            return found != Some(b"160000");
        }
        // Rare, and worth a look at the whole of it: a name may look like a mode.
        bytes.clear();
        version.fetch(0..version.delta.length, &mut bytes);
        tree::entries(&bytes, self.id_length)
            .any(|entry| entry.id == id.as_bytes() && !entry.is_link)
    }
}

/// git has it without having it stored.
fn is_empty_tree(id: &ObjectId) -> bool {
    const HEADS: [Head; 2] = [0x4b82_5dc6_42cb_6eb9, 0x6ef1_9b41_225c_5369];
    HEADS.contains(&head(id))
}

/// The mode that these bytes begin with, as an entry of a tree does.
fn mode(bytes: &[u8]) -> Option<&[u8]> {
    let space = memchr::memchr(b' ', &bytes[..bytes.len().min(MODE)])?;
    let digits = &bytes[..space];
    (digits.len() >= 5 && digits.iter().all(|b| (b'0'..b'8').contains(b))).then_some(digits)
}

/// All that is named and that its pack does not hold.
#[derive(Default)]
pub(super) struct Named {
    /// By packs that came from a promisor, which has it.
    promised: BTreeSet<Head>,
    /// By all others, and by refs.
    needed: BTreeSet<Head>,
}

impl Named {
    /// Adds what a pack (or the loose objects) names and does not hold.
    pub(super) fn add(&mut self, outside: &[Head], promised: bool) {
        let to = match promised {
            true => &mut self.promised,
            false => &mut self.needed,
        };
        to.extend(outside);
    }

    /// Tells of what is not here, and returns how much a partial clone has left out. What was lost
    /// is a failure. `loose` are the loose objects, in order; what the `cut` commits name as
    /// parents is known to be missing.
    pub(super) fn close(
        mut self,
        objects: &Objects,
        loose: &[ObjectId],
        cut: &BTreeSet<Head>,
        coverage: &mut Coverage,
    ) -> u64 {
        let is_here = |wanted: Head| {
            let at = loose.partition_point(|id| head(id) < wanted);
            loose.get(at).is_some_and(|id| head(id) == wanted)
                || objects.packs.iter().any(|pack| pack.holds_head(wanted))
        };
        self.promised.retain(|head| !is_here(*head));
        self.needed
            .retain(|head| !self.promised.contains(head) && !cut.contains(head) && !is_here(*head));
        let named = self.needed.iter().take(KEPT_FAILURES);
        named.for_each(|head| fail(coverage, format!("{head:016x}…")));
        coverage.failed += self.needed.len().saturating_sub(KEPT_FAILURES) as u64;
        left_out(self.promised.len() as u64, coverage);
        self.promised.len() as u64
    }
}

/// Tells of an object that something needs and that is lost.
pub(super) fn fail(coverage: &mut Coverage, id: String) {
    let what = Masked::vouched(format!("object {id}"));
    coverage.fail(
        what,
        "is not here, and something names it: `git fsck` says what",
    );
}

/// Tells of objects that a partial clone does not have.
pub(super) fn left_out(count: u64, coverage: &mut Coverage) {
    if count > 0 {
        *coverage.absent.entry(LEFT_OUT).or_default() += count;
    }
}

/// The parents that a shallow clone does not have. The commits where it ends are counted.
pub(super) fn cut(common_dir: &Path, objects: &Objects, coverage: &mut Coverage) -> BTreeSet<Head> {
    let text = match std::fs::read(common_dir.join("shallow")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return BTreeSet::new(),
        Err(error) => {
            coverage.fail(Masked::vouched("the list `shallow`"), error.to_string());
            return BTreeSet::new();
        }
    };
    let commits = text.split(|b| *b == b'\n').filter_map(ObjectId::from_hex);
    let read = commits.map(|id| (id, objects.read(&id).ok().flatten()));
    let commits: BTreeMap<_, _> = read.collect();
    if !commits.is_empty() {
        *coverage.absent.entry(SHALLOW).or_default() += commits.len() as u64;
    }
    let parents = commits.into_values().flatten().filter_map(|(_, bytes)| {
        let commit = tree::commit(&bytes)?;
        Some(commit.parents)
    });
    parents.flatten().map(|id| head(&id)).collect()
}

impl Database<'_> {
    /// Whether what objects name is to be looked up.
    pub(super) fn asks(&self) -> bool {
        self.history.require_complete || self.objects.is_partial()
    }

    /// Tells of what is named and is not here; returns how much a partial clone has left out, or
    /// `None` where nobody asked what objects name.
    pub(super) fn links(
        &mut self,
        ids: &[ObjectId],
        loose: &[loose::Found],
        refs: &Refs,
    ) -> Option<u64> {
        if self.asks() {
            self.named_by_loose(ids, loose);
        }
        let of_refs: Vec<_> = refs.named.iter().map(|(_, id)| head(id)).collect();
        self.named.add(&of_refs, false);
        let commits = loose.iter().filter(|object| object.kind == Kind::Commit);
        self.commits += commits.count() as u64;
        let cut = cut(&self.layout.common_dir, &self.objects, &mut self.coverage);
        let named = std::mem::take(&mut self.named);
        if !self.history.go_on() {
            return None;
        }
        let left_out = named.close(&self.objects, ids, &cut, &mut self.coverage);
        self.asks().then_some(left_out)
    }

    fn named_by_loose(&mut self, ids: &[ObjectId], loose: &[loose::Found]) {
        let holds = |id: &ObjectId| ids.binary_search(id).is_ok();
        let links = Links {
            holds: &holds,
            id_length: self.layout.id_length,
            promised: false,
        };
        let directories = &self.objects.directories;
        let named = loose
            .par_iter()
            .filter(|object| object.kind != Kind::Blob && self.history.go_on())
            .map_init(Outside::default, |outside, object| {
                if let Ok(Some((kind, bytes))) = loose::read(directories, &object.id, LARGEST) {
                    links.whole(kind, &bytes, outside);
                }
                std::mem::take(&mut outside.heads)
            });
        let named: Vec<_> = named.flatten_iter().collect();
        self.named.add(&named, false);
    }
}

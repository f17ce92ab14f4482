//! Objects that others name and that are not here: left out by a partial or shallow clone, or
//! lost. While a pack is searched, what it names and does not hold is written down, from what each
//! version names that its base does not: an id that was copied stood in the base. Whether some
//! other pack has it, or a loose object is it, is asked at the end.
//!
//! That costs 25 to 85 % more than a search alone, so it is done only where objects can be missing by
//! design, or where somebody asks for it. What refs name is always looked up; and where a shallow
//! clone ends, it says itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// What was seen to be held lately, by all threads: most trees name what others name, and a look in
/// here is one miss of the processor's cache where a search of an index is six.
pub(super) struct Lately(Box<[AtomicU64]>);

impl Lately {
    /// With room for about as many ids as there are objects, up to 8 MiB.
    pub(super) fn new(objects: usize) -> Self {
        let slots = objects.clamp(1, 1 << 20).next_power_of_two();
        Self((0..slots).map(|_| AtomicU64::new(0)).collect())
    }

    fn slot(&self, head: Head) -> &AtomicU64 {
        &self.0[head as usize & (self.0.len() - 1)]
    }
}

/// Looks at what the objects of a pack name.
pub(super) struct Links<'a> {
    /// Whether the pack holds an object.
    pub(super) holds: &'a (dyn Fn(&ObjectId) -> bool + Sync),
    pub(super) id_length: usize,
    /// Whether it came from a promisor, and is likely to name what is not here.
    pub(super) promised: bool,
    pub(super) lately: Lately,
}

impl Links<'_> {
    /// The id, unless the pack holds it.
    fn outside(&self, id: &[u8]) -> Option<ObjectId> {
        let id = ObjectId::from_bytes(id)?;
        let slot = self.lately.slot(head(&id));
        if slot.load(Ordering::Relaxed) == head(&id) || is_empty_tree(&id) {
            return None;
        }
        if (self.holds)(&id) {
            slot.store(head(&id), Ordering::Relaxed);
            return None;
        }
        Some(id)
    }

    fn check(&self, id: &[u8], outside: &mut Vec<Head>) {
        outside.extend(self.outside(id).map(|id| head(&id)));
    }

    /// What a whole object names.
    pub(super) fn whole(&self, kind: Kind, bytes: &[u8], outside: &mut Vec<Head>) {
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
        outside: &mut Vec<Head>,
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
                let id = self.outside(id);
                let id = id.filter(|id| self.names(version, start + nul as u32, id));
                outside.extend(id.map(|id| head(&id)));
            }
        }
    }

    /// Whether a version of a tree has an entry, and not a submodule's, whose name ends at `nul`.
    fn names<M>(&self, version: Version<'_, M>, nul: u32, id: &ObjectId) -> bool {
        let mut bytes = Vec::new();
        version.fetch(nul.saturating_sub(LONGEST_NAME)..nul, &mut bytes);
        match is_entry(&bytes, nul <= LONGEST_NAME) {
            Some(false) => return false,
            Some(true) if self.promised => return true,
            // Rare, and worth a look at the whole of it.
            _ => bytes.clear(),
        }
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

/// Whether an entry, and not a submodule's, has its mode and name at the end of these bytes of a
/// tree. `None` if they can't tell: a name may look like a mode, or be long.
fn is_entry(bytes: &[u8], from_start: bool) -> Option<bool> {
    // A NUL inside an id stands right behind another one, or behind what has no mode.
    let entry = match memchr::memrchr(0, bytes) {
        Some(nul) => &bytes[nul + 1..],
        None if from_start => bytes,
        None => return None,
    };
    let is_octal = |b: &u8| (b'0'..b'8').contains(b);
    let mut modes = memchr::memchr_iter(b' ', entry)
        .filter(|space| *space >= 5 && entry[space - 5..*space].iter().all(is_octal));
    match (modes.next(), modes.next()) {
        (None, _) => Some(false),
        (Some(space), None) => {
            Some(!entry[..space].ends_with(b"160000") && space + 1 < entry.len())
        }
        _ => None,
    }
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
            lately: Lately::new(ids.len()),
        };
        let directories = &self.objects.directories;
        let named = loose
            .par_iter()
            .filter(|object| object.kind != Kind::Blob && self.history.go_on())
            .map(|object| {
                let mut outside = Vec::new();
                if let Ok(Some((kind, bytes))) = loose::read(directories, &object.id, LARGEST) {
                    links.whole(kind, &bytes, &mut outside);
                }
                outside
            });
        let named: Vec<_> = named.flatten_iter().collect();
        self.named.add(&named, false);
    }
}

#[cfg(test)]
mod tests {
    use super::super::delta::Parsed;
    use super::super::ends::NO_ENDS;
    use super::super::forge::{self, Step};
    use super::super::version::{Cursors, Node};
    use super::*;

    #[test]
    fn what_a_tree_names_is_told_from_what_looks_like_it() {
        let entry = |mode: &str, name: &str, id: [u8; 20]| {
            [mode.as_bytes(), b" ", name.as_bytes(), b"\0", &id].concat()
        };
        let begins_with_nul = |rest: u8| {
            let mut id = [rest; 20];
            id[0] = 0;
            id
        };
        let long = "x".repeat(400);
        let base = entry("100644", "a", [1; 20]);
        // A mode and an id that are here, or a submodule's; and what is missing.
        let here = [
            entry("100644", "b", begins_with_nul(2)),
            entry("100755", "c", begins_with_nul(2)),
            entry("160000", "d", [3; 20]),
        ];
        let missing = [
            entry("100644", "e", begins_with_nul(4)),
            entry("100644", "60000 f", [5; 20]),
            entry("100644", "160000 g", [6; 20]),
            entry("40000", "h", [0x37; 20]),
            entry("120000", &long, [8; 20]),
            entry("040000", "i", [9; 20]),
        ];
        let inserted = [here.concat(), missing.concat()].concat();
        let expected: BTreeSet<Head> = missing
            .iter()
            .map(|entry| &entry[entry.len() - 20..])
            .map(|id| head(&ObjectId::from_bytes(id).unwrap()))
            .collect();
        let holds = |id: &ObjectId| {
            [[1; 20], begins_with_nul(2)]
                .iter()
                .any(|held| id.as_bytes() == held)
        };
        let all = [base.clone(), inserted.clone()].concat();
        // The last bytes of an id that are new, or its first, or all.
        let last = base.len() + inserted.len() - 3;
        let mut other = all.clone();
        other[last..].fill(77);
        for promised in [false, true] {
            let links = Links {
                holds: &holds,
                id_length: 20,
                promised,
                lately: Lately::new(9),
            };
            let ask = |base: &[u8], steps: &[Step<'_>]| -> BTreeSet<Head> {
                let node = Node::whole(base.to_vec(), ()).unwrap();
                let mut parsed = Parsed::default();
                let delta = forge::delta(base.len(), all.len(), steps);
                let length = base.len() as u64;
                parsed.parse(delta[..].into(), length, &NO_ENDS).unwrap();
                let version = Version {
                    delta: parsed.view(),
                    base: &node,
                    cursors: &Cursors::default(),
                };
                let mut outside = Vec::new();
                links.delta(Kind::Tree, version, &mut Vec::new(), &mut outside);
                outside.into_iter().collect()
            };
            let found = ask(&base, &[Step::Copy(0, base.len()), Step::Insert(&inserted)]);
            assert_eq!(found, expected, "{promised}");
            let found = ask(&other, &[Step::Copy(0, last), Step::Insert(&all[last..])]);
            assert_eq!(found, [0x0909_0909_0909_0909].into(), "{promised}");
            let mut whole = Vec::new();
            links.whole(Kind::Tree, &all, &mut whole);
            assert_eq!(whole.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}

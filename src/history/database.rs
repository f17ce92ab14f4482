//! The objects of one repository: searched, or remembered from an earlier audit, and what is to be
//! said of the keys in them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::attribution::Tracer;
use super::forest::Forest;
use super::keys::{Keys, Source, Stale, Told};
use super::links::{self, Lately, Links, Named};
use super::memory::{Memory, SearchedPack, Whole, by_key, recall};
use super::objects::{Objects, Packed};
use super::pack::Pack;
use super::purge::{Holders, Purge};
use super::search::Search;
use super::single::searched;
use super::unread::Unreadable;
use super::walk::walk;
use super::{History, Layout, Outcome, loose, memory, refs};
use crate::coverage::{Coverage, Excluded, Tally};
use crate::examine::Buffers;
use crate::finding::Place;
use crate::repo::ObjectId;
use crate::secret::{Fingerprint, Masked};

/// Objects beyond this (4 MiB) are not read again all at once, for the lines that are shown.
const ALL_TOGETHER: u64 = if cfg!(test) { 16 << 10 } else { 4 << 20 };

/// A database while it is read.
pub(super) struct Database<'a> {
    pub(super) history: &'a History<'a>,
    pub(super) layout: &'a Layout,
    memory: Option<&'a Memory>,
    pub(super) objects: Objects,
    pub(super) keys: Keys,
    pub(super) coverage: Coverage,
    /// What is named, and not held by the pack that names it.
    pub(super) named: Named,
    /// Objects with members that could not be read.
    pub(super) unread: Vec<Unreadable>,
    /// How many commits there are.
    pub(super) commits: u64,
    /// Packs that were searched whole, to be remembered.
    searched: Vec<(usize, SearchedPack)>,
    /// The loose objects that were searched whole, and what was seen in them.
    loose: Option<(Vec<loose::Found>, memory::Seen)>,
    /// Which objects hold which keys, if somebody asks.
    holders: Holders,
}

/// A loose object: its id, and which directory has it.
pub(super) type File = (ObjectId, usize);

/// Reads a repository's objects. If an earlier audit remembers what isn't so, nothing of what it
/// remembers counts.
pub(super) fn search(history: &History<'_>, layout: &Layout) -> Outcome {
    let found = [history.memory, None].into_iter().find_map(|memory| {
        let database = Database::open(history, layout, memory);
        database.search().ok()
    });
    found.unwrap_or_default()
}

impl<'a> Database<'a> {
    fn open(history: &'a History<'_>, layout: &'a Layout, memory: Option<&'a Memory>) -> Self {
        let objects = Objects::open(&layout.objects, &layout.alternates, layout.id_length);
        let mut coverage = Coverage::default();
        for (path, damage) in &objects.damaged {
            coverage.fail(history.masked(path), damage.to_string());
        }
        Self {
            history,
            layout,
            memory,
            objects,
            keys: Keys::default(),
            coverage,
            named: Named::default(),
            unread: Vec::new(),
            commits: 0,
            searched: Vec::new(),
            loose: None,
            holders: Holders::new(),
        }
    }

    fn search(mut self) -> Result<Outcome, Stale> {
        let Layout {
            git_dir,
            common_dir,
            ..
        } = self.layout;
        let files = self.loose_files();
        let refs = refs::read(git_dir, common_dir);
        for (path, why) in &refs.failed {
            self.coverage.fail(self.history.masked(path), why.clone());
        }
        // Keys may be staged in any worktree. An index that can't be read fails as a file.
        let mut index = Vec::new();
        let private = refs.worktrees.iter().chain([git_dir, common_dir]);
        for directory in private.collect::<BTreeSet<_>>() {
            index.extend(std::fs::read(directory.join("index")).unwrap_or_default());
        }
        // What is remembered of a whole repository is no answer to a limited question.
        let chosen = self.history.chosen;
        let state = self.memory.filter(|_| chosen.is_none()).and_then(|memory| {
            let ids: Vec<ObjectId> = files.iter().map(|file| file.0).collect();
            Some((memory, memory.state(&self.objects, &ids, &refs, &index)?))
        });
        // For a purge all objects that hold a key have to be known, not just the one to be shown.
        let known = state
            .as_ref()
            .filter(|_| !self.history.purge)
            .and_then(|(memory, state)| memory.whole(self.layout, state, &self.objects, &refs))
            .filter(|whole| whole.left_out.is_some() || !self.asks());
        let whole = match known {
            Some(whole) => {
                self.remember(whole.read, whole.packed, whole.members);
                links::left_out(whole.left_out.unwrap_or_default(), &mut self.coverage);
                links::cut(common_dir, &self.objects, &mut self.coverage);
                self.objects.packs.iter().for_each(Pack::vouch);
                whole
            }
            None => match chosen.filter(|chosen| chosen.compares(&self.objects)) {
                Some(chosen) => self.read_brought(chosen, &files, &refs, &index),
                None => self.read(files, &refs, &index),
            },
        };
        let mut outcome = Outcome {
            findings: match chosen {
                Some(chosen) => self.names(&refs, chosen),
                None => self.history.told(&refs.told),
            },
            ..Outcome::default()
        };
        let mut again = true;
        // What is large is read one by one: there is not room for many.
        let small = whole.told.par_iter();
        let small =
            small.map(|told| told.finding_within(self.history, &self.objects, ALL_TOGETHER));
        for (told, small) in whole.told.iter().zip(small.collect::<Result<Vec<_>, _>>()?) {
            let (finding, read_again) = match small {
                Some(finding) => finding,
                None => told.finding(self.history, &self.objects)?,
            };
            outcome.findings.push(finding);
            again &= read_again;
        }
        if self.history.purge {
            let Self {
                history, objects, ..
            } = &self;
            // What somebody answered for may stay.
            let somewhere = Place::Stream(String::new());
            let counts =
                |key: &Fingerprint| history.suppress.judge(&somewhere, *key, None).is_none();
            let purge = Purge::collect(history.matcher, objects, &refs, &self.holders, counts);
            outcome.purge = Some(purge);
        }
        if let (Some(memory), true) = (self.memory, again) {
            if let Some((whole, seen)) = &self.loose {
                memory.keep_loose(self.layout, whole, seen);
            }
            for (number, searched) in &self.searched {
                memory.keep_pack(&self.objects.packs[*number], searched);
            }
            let passed_over = self.coverage.excluded_items(Excluded::SeenBefore) > 0;
            let complete = self.coverage.is_complete()
                && self.coverage.accepted.is_empty()
                && !passed_over
                && self.history.go_on();
            if let (Some((_, state)), true, false) = (state, complete, whole.remembered) {
                memory.keep_whole(self.history, self.layout, &state, &refs, &whole);
            }
        }
        outcome.coverage = self.coverage;
        Ok(outcome)
    }

    /// Reads what no earlier audit has read, and traces the keys.
    fn read(&mut self, files: Vec<File>, refs: &refs::Refs, index: &[u8]) -> Whole {
        let total: u64 = self
            .objects
            .packs
            .iter()
            .map(|pack| pack.bound() as u64)
            .sum();
        let progress = self.history.progress;
        progress
            .total
            .fetch_add(total + files.len() as u64, Ordering::Relaxed);
        for number in 0..self.objects.packs.len() {
            if !self.recall(number) {
                self.pack(number);
            }
        }
        let ids: Vec<ObjectId> = files.iter().map(|file| file.0).collect();
        let loose = self.loose(files);
        let left_out = self.links(&ids, &loose, refs);
        if let Some(chosen) = self.history.chosen {
            let others = self.commits.saturating_sub(chosen.commits.len() as u64);
            self.coverage.leave(Excluded::OtherCommit, others);
        }
        let told = self.trace(&loose, refs, index);
        let packed = self.coverage.excluded.get(&Excluded::Packed);
        Whole {
            read: self.coverage.read,
            members: self.coverage.members,
            packed: packed.copied().unwrap_or_default(),
            left_out,
            told,
            remembered: false,
        }
    }

    /// Follows the keys to where they came from; of a limited search, those that count. So is told
    /// where that stands which could not be unpacked.
    pub(super) fn trace(
        &mut self,
        loose: &[loose::Found],
        refs: &refs::Refs,
        index: &[u8],
    ) -> Vec<Told> {
        let tracer = Tracer {
            objects: &self.objects,
            loose,
            refs,
            index,
            threads: self.history.threads,
            stop: self.history.stop,
        };
        if self.history.purge {
            self.holders = self.keys.holders();
        }
        let mut keys = std::mem::take(&mut self.keys);
        if let Some(chosen) = self.history.chosen {
            chosen.narrow(&mut keys, &tracer);
        }
        // Traced only where keys are anyway, or where somebody goes by the paths.
        let (told, paths) = match keys.is_empty() && self.history.accept.is_empty() {
            true => {
                let paths = Unreadable::in_refs(&self.unread, &self.objects, refs);
                (Vec::new(), paths)
            }
            false => {
                let unread = Unreadable::holders(&self.unread, &tracer);
                let (told, unread) = keys.trace(&tracer, unread);
                let paths = unread.into_iter().map(|story| Some(story.origin?.0));
                (told, paths.collect())
            }
        };
        self.tell_unread(paths);
        told
    }

    /// Counts what an earlier audit has read.
    fn remember(&mut self, read: Tally, packed: Tally, members: Tally) {
        let progress = self.history.progress;
        progress.read(read.items, read.bytes);
        self.coverage.read.merge(read);
        self.coverage.remembered.merge(read);
        self.coverage.members.merge(members);
        self.coverage.exclude_all(Excluded::Packed, packed);
    }

    /// Whether an earlier audit has searched a pack: then it need not be read.
    fn recall(&mut self, number: usize) -> bool {
        let pack = &self.objects.packs[number];
        let known = self
            .memory
            .and_then(|memory| memory.pack(pack, &self.objects))
            .filter(|known| known.outside.is_some() || !self.asks());
        let Some(known) = known else {
            return false;
        };
        pack.vouch();
        recall(&known.seen, &mut self.keys, |_| true);
        if let Some(outside) = known.outside.filter(|_| self.asks()) {
            self.named.add(&outside, pack.is_promised());
        }
        self.commits += known.commits;
        self.remember(known.read, known.packed, known.members);
        true
    }

    fn pack(&mut self, number: usize) {
        let asks = self.asks();
        let Self {
            history,
            objects,
            coverage,
            ..
        } = self;
        let pack = &objects.packs[number];
        if pack.missing() > 0 {
            let why = format!(
                "is damaged: {} of its objects can't be found",
                pack.missing()
            );
            coverage.fail(history.masked(pack.path()), why);
        } else if let Some(damage) = pack.index_damage() {
            let why = format!("its index is of no use ({damage}); it was read without one");
            coverage.fail(history.masked(pack.path()), why);
        }
        let failed = coverage.failed;
        let forest = Forest::plant(pack, None);
        let name = |entry: u32| match pack.id(entry) {
            Some(id) => Masked::vouched(format!("object {id}")),
            None => Masked::vouched(format!(
                "object at byte {} of {}",
                pack.start(entry),
                history.masked(pack.path())
            )),
        };
        let source = |entry: u32| match pack.id(entry) {
            Some(id) => Source::Object(id),
            None => Source::Unnamed(Packed {
                pack: number as u32,
                start: pack.start(entry),
            }),
        };
        let holds = |id: &ObjectId| pack.offset(id).is_some();
        let links = Links {
            holds: &holds,
            id_length: objects.id_length(),
            promised: pack.is_promised(),
            lately: Lately::new(if asks { pack.bound() } else { 0 }),
        };
        let search = Search::new(
            history.matcher,
            history.unpacking,
            history.progress,
            history.stop,
        );
        // Without an index nobody knows what a pack holds.
        let search = match pack.identity() {
            Some(_) if asks => search.with_links(&links),
            _ => search,
        };
        let outside = |id: &ObjectId| objects.read(id).ok().flatten();
        let walked = walk(
            pack,
            &forest,
            &search,
            &outside,
            history.threads,
            history.stop,
        );
        for (entry, damage) in &forest.damaged {
            coverage.fail(name(*entry), damage.to_string());
        }
        let mut searched = SearchedPack {
            bases: forest.outside.iter().map(|(_, base)| *base).collect(),
            ..SearchedPack::default()
        };
        let (mut seen, mut seen_before) = (Vec::new(), Tally::default());
        let mut named = Vec::new();
        let (mut unread, mut damaged) = (Vec::new(), Vec::new());
        for results in walked {
            searched.read.merge(results.read);
            searched.packed.merge(results.packed);
            searched.members.merge(results.members);
            seen_before.merge(results.seen_before);
            unread.extend(results.unread);
            named.extend(results.outside);
            searched.commits += results.commits;
            damaged.extend(results.damaged);
            for one in results.occurrences {
                let source = source(one.entry);
                if let Source::Object(id) = source {
                    seen.push((one.hit.fingerprint, id, one.at));
                }
                self.keys.add(source, one.at, one.hit);
            }
        }
        // Which thread read what differs from run to run; what is told does not.
        unread.sort_by_key(|one: &(u32, _)| one.0);
        damaged.sort_by_key(|one: &(u32, _)| one.0);
        let containers = unread.chunk_by(|one, next| one.0 == next.0);
        let containers = containers.map(|of_one| {
            let entry = of_one[0].0;
            Unreadable {
                source: source(entry),
                name: name(entry),
                members: of_one.iter().map(|one| one.1.clone()).collect(),
            }
        });
        self.unread.extend(containers);
        for (entry, damage) in damaged {
            coverage.fail(name(entry), damage.to_string());
        }
        named.sort_unstable();
        named.dedup();
        self.named.add(&named, pack.is_promised());
        searched.outside = asks.then_some(named);
        self.commits += searched.commits;
        coverage.read.merge(searched.read);
        coverage.members.merge(searched.members);
        coverage.exclude_all(Excluded::Packed, searched.packed);
        coverage.exclude_all(Excluded::SeenBefore, seen_before);
        // What was passed over since another object has it depends on that one.
        let passed_over = seen_before != Tally::default();
        // What somebody answers for is no failure, but that may end.
        let sound =
            coverage.failed == failed && unread.is_empty() && !passed_over && history.go_on();
        if sound && self.memory.is_some() {
            searched.seen = by_key(seen);
            self.searched.push((number, searched));
        }
    }

    /// All loose objects, in the order of their ids.
    fn loose_files(&mut self) -> Vec<File> {
        let mut files = Vec::new();
        for (number, directory) in self.objects.directories.iter().enumerate() {
            let listed = loose::list(directory);
            files.extend(listed.ids.into_iter().map(|id| (id, number)));
            for (path, error) in listed.failed {
                self.coverage
                    .fail(self.history.masked(&path), error.to_string());
            }
        }
        files.par_sort_unstable();
        files.dedup_by_key(|file| file.0);
        files
    }

    /// Searches the loose objects that no earlier audit has searched.
    fn loose(&mut self, files: Vec<File>) -> Vec<loose::Found> {
        let known = self.memory.and_then(|memory| memory.loose(self.layout));
        let (known, known_seen) = known.unwrap_or_default();
        let find = |id: &ObjectId| known.binary_search_by_key(id, |found| found.id).ok();
        let (mut all, mut todo) = (Vec::new(), Vec::new());
        for file in files {
            match find(&file.0) {
                Some(at) => all.push(known[at]),
                None => todo.push(file),
            }
        }
        for found in &all {
            let read = Tally {
                items: 1,
                bytes: found.bytes,
            };
            let packed = if found.packed { read } else { Tally::default() };
            self.remember(read, packed, Tally::default());
        }
        let is_there = |id: &ObjectId| all.binary_search_by_key(id, |found| found.id).is_ok();
        recall(&known_seen, &mut self.keys, is_there);
        let places = known_seen.iter().flat_map(|(key, places)| {
            let there = places.iter().filter(|(id, _)| is_there(id));
            there.map(|(id, at)| (*key, *id, *at))
        });
        let mut seen: Vec<_> = places.collect();
        let changed = all.len() < known.len() || !todo.is_empty();
        let (history, directories) = (self.history, &self.objects.directories);
        let read: Vec<_> = todo
            .into_par_iter()
            .map_init(Buffers::default, |buffers, (id, directory)| {
                let path = loose::path(&directories[directory], &id);
                let opened = loose::open(&path);
                (
                    id,
                    opened.map(|loose| searched(history, id, loose, buffers)),
                )
            })
            .collect();
        let mut containers = BTreeSet::new();
        for (id, searched) in read {
            match searched {
                Ok((found, seen_of, hits)) => {
                    let key = |(key, at)| seen.push((key, id, at));
                    self.searched(&found, &seen_of, hits, key);
                    // Containers are few, and what they say of themselves is not remembered.
                    if seen_of.members != Tally::default() || !seen_of.unread.is_empty() {
                        containers.insert(id);
                    }
                    all.push(found);
                }
                Err(damage) => {
                    let what = Masked::vouched(format!("object {id}"));
                    self.coverage.fail(what, damage.to_string());
                }
            }
        }
        all.sort_unstable_by_key(|found| found.id);
        if changed && self.history.go_on() {
            let is_whole = |id: &ObjectId| {
                let at = all.binary_search_by_key(id, |found| found.id);
                at.is_ok_and(|at| all[at].whole) && !containers.contains(id)
            };
            seen.retain(|(_, id, _)| is_whole(id));
            let whole = all.iter().filter(|found| is_whole(&found.id));
            let whole = whole.copied().collect();
            self.loose = Some((whole, by_key(seen)));
        }
        all
    }
}

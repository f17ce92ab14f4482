//! The objects of one repository: searched, or remembered from an earlier audit, and what is to be
//! said of the keys in them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::attribution::Tracer;
use super::keys::{Keys, Stale, Told};
use super::links::{self, Named};
use super::memory::{Memory, SearchedPack, Whole, by_key, recall};
use super::objects::Objects;
use super::pack::Pack;
use super::purge::{Holders, Purge};
use super::single::searched;
use super::unread::Unreadable;
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
    pub(super) memory: Option<&'a Memory>,
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
    pub(super) searched: Vec<(usize, SearchedPack)>,
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
            .filter(|whole| whole.left_out.is_some() || !self.asks())
            .filter(|whole| self.history.accept.is_empty() || whole.has_paths());
        let whole = match known {
            Some(mut whole) => {
                self.remember(whole.read, whole.packed, whole.members);
                links::left_out(whole.left_out.unwrap_or_default(), &mut self.coverage);
                links::cut(common_dir, &self.objects, &mut self.coverage);
                self.objects.packs.iter().for_each(Pack::vouch);
                self.unread_again(std::mem::take(&mut whole.unread));
                self.tell_unread();
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
            let lasts = self.unread.iter().all(Unreadable::lasts);
            let complete = self.coverage.is_complete_outside()
                && lasts
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
            unread: self
                .unread
                .iter()
                .filter_map(Unreadable::remembered)
                .collect(),
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
        // Several packs may hold the same object; and the next audit has them in this order.
        self.unread.sort_by_key(|one| one.source);
        self.unread.dedup_by_key(|one| one.source);
        Unreadable::find_in_refs(&mut self.unread, &self.objects, refs);
        // What stands in thousands of commits is dear to trace: only if somebody goes by the paths.
        let unread = match self.history.accept.is_empty() {
            true => Vec::new(),
            false => Unreadable::holders(&self.unread, &tracer),
        };
        let (told, unread) = keys.trace(&tracer, unread);
        for (one, story) in self.unread.iter_mut().zip(unread) {
            one.stands = one.stands.take().or(story.origin);
        }
        self.tell_unread();
        told
    }

    /// Counts what an earlier audit has read.
    pub(super) fn remember(&mut self, read: Tally, packed: Tally, members: Tally) {
        let progress = self.history.progress;
        progress.read(read.items, read.bytes);
        self.coverage.read.merge(read);
        self.coverage.remembered.merge(read);
        self.coverage.members.merge(members);
        self.coverage.exclude_all(Excluded::Packed, packed);
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

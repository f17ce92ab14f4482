//! A search that is limited to some commits: what they bring, and their excluded ancestors don't
//! have.
//!
//! Few commits are compared with their parents, and only what differs is read. Of many,
//! everything is searched as ever, which is faster than to ask for each of their trees. Either
//! way, what was found in an object counts only if [`Tracer::brought`] says that the object came
//! with the chosen commits; the comparison by path lists more, such as what was moved.

use std::cmp::Ordering as Order;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::attribution::Tracer;
use super::database::{Database, File};
use super::keys::Keys;
use super::memory::Whole;
use super::objects::Objects;
use super::pack::Pack;
use super::refs::Refs;
use super::single::searched;
use super::tree::{self, TreeEntry};
use super::{History, links, loose};
use crate::coverage::{Excluded, Tally};
use crate::examine::{self, Buffers};
use crate::finding::{Finding, Place};
use crate::repo::{ObjectId, ObjectKind as Kind};
use crate::secret::Masked;

/// Commits of which a search is to tell what they bring.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The commits.
    pub commits: Vec<ObjectId>,
    /// What the user said.
    pub words: String,
    /// How to go about it.
    pub way: Way,
}

/// How a limited search goes. What is found is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Whichever is less work.
    #[default]
    Quickest,
    /// The commits are compared with their parents, and only what differs is read.
    Compare,
    /// Everything is searched, and what other commits brought is forgotten.
    Everything,
}

/// What comparing one commit with its parents costs, in objects that could be searched as deltas
/// in that time. On git/git both ways cost the same at about 5,700 commits of 849,014 objects; see
/// benches/results/2026-11-23-history.md.
const COMMIT_PRICE: usize = 150;

/// Of so few objects, it does not matter.
const FEW: usize = 100_000;

/// Tags that stand for tags are followed this far.
const DEEPEST: usize = 8;

/// How many bytes of trees one thread keeps at hand.
const TREES_HELD: usize = 16 << 20;

/// How many commits a thread compares before it takes others: neighbours share trees.
const NEIGHBOURS: usize = 64;

impl Chosen {
    /// Whether the commits are compared, or everything is searched.
    pub(super) fn compares(&self, objects: &Objects) -> bool {
        let all: usize = objects.packs.iter().map(Pack::bound).sum();
        match self.way {
            Way::Quickest => self.commits.len().saturating_mul(COMMIT_PRICE) <= all.max(FEW),
            Way::Compare => true,
            Way::Everything => false,
        }
    }

    /// In words, for the account.
    pub(super) fn told(&self, history: &History<'_>) -> Masked {
        let commits = match self.commits.len() {
            1 => "1 commit brings".to_owned(),
            n => format!("{n} commits bring"),
        };
        let words = history.matcher.redact(self.words.as_bytes());
        Masked::vouched(format!("what {commits} ({words})"))
    }

    /// Forgets keys in objects that the commits did not bring.
    pub(super) fn narrow(&self, keys: &mut Keys, tracer: &Tracer<'_>) {
        if keys.is_empty() {
            return;
        }
        let (commits, tags) = (self.set(), self.tags(tracer.objects, tracer.refs));
        let units = keys.objects().into_iter();
        let units: Vec<_> = units
            .filter_map(|id| Some((id, tracer.kind(&id)?)))
            .collect();
        let in_trees = tracer.brought(&units, &commits);
        if tracer.stop.load(Ordering::Relaxed) {
            // Nobody knows then; better too many.
            return;
        }
        let brought = units.into_iter().zip(in_trees);
        let brought = brought.filter(|((id, kind), in_trees)| match kind {
            Kind::Blob | Kind::Tree => *in_trees,
            Kind::Commit => commits.contains(id),
            Kind::Tag => tags.contains(id),
        });
        keys.retain(&brought.map(|((id, _), _)| id).collect());
    }

    fn set(&self) -> BTreeSet<ObjectId> {
        self.commits.iter().copied().collect()
    }

    /// Annotated tags that refs name and that stand for the commits.
    fn tags(&self, objects: &Objects, refs: &Refs) -> BTreeSet<ObjectId> {
        let commits = self.set();
        let mut tags = BTreeSet::new();
        for (_, id) in refs.named.iter().filter(|(_, id)| !commits.contains(id)) {
            // A tag may stand for another tag.
            let (mut at, mut passed) = (*id, Vec::new());
            while passed.len() < DEEPEST
                && objects.is(&at, Kind::Tag)
                && let Ok(Some((Kind::Tag, bytes))) = objects.read(&at)
                && let Some(next) = tree::tagged(&bytes)
            {
                passed.push(at);
                at = next;
            }
            if commits.contains(&at) {
                tags.extend(passed);
            }
        }
        tags
    }
}

impl Database<'_> {
    /// Reads what the commits bring, and nothing else, and traces the keys.
    pub(super) fn read_brought(
        &mut self,
        chosen: &Chosen,
        files: &[File],
        refs: &Refs,
        index: &[u8],
    ) -> Whole {
        let (history, objects) = (self.history, &self.objects);
        let listed = chosen.commits.par_chunks(NEIGHBOURS).map(|commits| {
            let mut differ = Differ::new(objects);
            let go_on = commits.iter().take_while(|_| history.go_on());
            go_on.for_each(|commit| differ.commit(commit));
            differ.brought
        });
        let mut ids = chosen.tags(objects, refs);
        ids.extend(listed.flatten_iter().collect::<Vec<_>>());
        history
            .progress
            .total
            .fetch_add(ids.len() as u64, Ordering::Relaxed);
        let read: Vec<_> = ids
            .into_par_iter()
            .map_init(Buffers::default, |buffers, id| {
                let opened = objects
                    .stream(&id)
                    .map(|opened| opened.map(|loose| searched(history, id, loose, buffers)));
                (id, opened)
            })
            .collect();
        let (mut here, mut left_out) = (0, 0);
        let partial = objects.is_partial();
        for (id, opened) in read {
            match opened {
                Ok(Some((found, seen, hits))) => {
                    here += 1;
                    self.searched(&found, &seen, hits, |_| {});
                }
                Ok(None) if partial => left_out += 1,
                Ok(None) => links::fail(&mut self.coverage, id.to_string()),
                Err(damage) => {
                    here += 1;
                    let what = Masked::vouched(format!("object {id}"));
                    self.coverage.fail(what, damage.to_string());
                }
            }
        }
        links::left_out(left_out, &mut self.coverage);
        links::cut(&self.layout.common_dir, &self.objects, &mut self.coverage);
        let packed: u64 = self
            .objects
            .packs
            .iter()
            .map(|pack| u64::from(pack.len()))
            .sum();
        let others = (packed + files.len() as u64).saturating_sub(here);
        self.coverage.leave(Excluded::OtherObject, others);
        let loose = match self.keys.is_empty() && self.unread.is_empty() {
            true => Vec::new(),
            false => self.kinds(files),
        };
        Whole {
            read: self.coverage.read,
            members: self.coverage.members,
            packed: Tally::default(),
            left_out: None,
            unread: Vec::new(),
            told: self.trace(&loose, refs, index),
            remembered: false,
        }
    }

    /// What the loose objects are; those that can't be opened are left out.
    fn kinds(&self, files: &[File]) -> Vec<loose::Found> {
        let found = files.par_iter().filter_map(|(id, directory)| {
            let path = loose::path(&self.objects.directories[*directory], id);
            Some(loose::Found {
                id: *id,
                kind: loose::open(&path).ok()?.kind,
                bytes: 0,
                packed: false,
                whole: false,
            })
        });
        found.collect()
    }

    /// Keys in the names of refs that lead to chosen commits.
    pub(super) fn names(&self, refs: &Refs, chosen: &Chosen) -> Vec<Finding> {
        let (commits, tags) = (chosen.set(), chosen.tags(&self.objects, refs));
        let mut findings = Vec::new();
        for (name, id) in &refs.named {
            if commits.contains(id) || tags.contains(id) {
                examine::bytes(self.history.matcher, name, &mut |found| {
                    let place = Place::Stream("name of a ref".to_owned());
                    findings.push(self.history.finding(found, place));
                });
            }
        }
        findings
    }
}

/// Compares commits with their parents.
struct Differ<'a> {
    objects: &'a Objects,
    trees: HashMap<ObjectId, Option<Arc<[u8]>>>,
    held: usize,
    /// Trees that were listed whole, since nothing was there to compare them with.
    whole: BTreeSet<ObjectId>,
    brought: BTreeSet<ObjectId>,
}

impl<'a> Differ<'a> {
    fn new(objects: &'a Objects) -> Self {
        Self {
            objects,
            trees: HashMap::new(),
            held: 0,
            whole: BTreeSet::new(),
            brought: BTreeSet::new(),
        }
    }

    /// What a commit brings that none of its parents has at that path. What can't be read is
    /// listed, and fails when it is searched; a parent that can't be read hides nothing.
    fn commit(&mut self, id: &ObjectId) {
        self.brought.insert(*id);
        let read = |id: &ObjectId| match self.objects.read(id) {
            Ok(Some((Kind::Commit, bytes))) => tree::commit(&bytes),
            _ => None,
        };
        let Some(commit) = read(id) else {
            return;
        };
        let parents = commit.parents.iter().filter_map(read);
        let parents: Vec<ObjectId> = parents.map(|parent| parent.tree).collect();
        let mut todo = vec![(commit.tree, parents)];
        while let Some((id, old)) = todo.pop() {
            if old.contains(&id) || old.is_empty() && !self.whole.insert(id) {
                continue;
            }
            self.brought.insert(id);
            let Some(bytes) = self.tree(&id) else {
                continue;
            };
            let length = id.as_bytes().len();
            let old: Vec<Arc<[u8]>> = old.iter().filter_map(|id| self.tree(id)).collect();
            let mut old: Vec<_> = old
                .iter()
                .map(|bytes| tree::entries(bytes, length).peekable())
                .collect();
            for entry in tree::entries(&bytes, length) {
                let mut same = Vec::new();
                for old in &mut old {
                    while old.next_if(|other| order(other, &entry).is_lt()).is_some() {}
                    same.extend(old.next_if(|other| order(other, &entry).is_eq()));
                }
                let known = same.iter().any(|other| other.id == entry.id);
                let Some(id) = ObjectId::from_bytes(entry.id).filter(|_| !known) else {
                    continue;
                };
                if entry.is_tree {
                    let old = same
                        .iter()
                        .filter_map(|other| ObjectId::from_bytes(other.id));
                    todo.push((id, old.collect()));
                } else if !entry.is_link {
                    self.brought.insert(id);
                }
            }
        }
    }

    /// A tree's bytes; the same few are asked for again and again.
    fn tree(&mut self, id: &ObjectId) -> Option<Arc<[u8]>> {
        if let Some(known) = self.trees.get(id) {
            return known.clone();
        }
        let read = match self.objects.read(id) {
            Ok(Some((Kind::Tree, bytes))) => Some(Arc::from(bytes)),
            _ => None,
        };
        if self.held > TREES_HELD {
            self.trees.clear();
            self.held = 0;
        }
        self.held += read.as_ref().map_or(0, |bytes: &Arc<[u8]>| bytes.len());
        self.trees.insert(*id, read.clone());
        read
    }
}

/// git's order of entries: a directory's name counts as if it ended with a slash.
fn order(a: &TreeEntry<'_>, b: &TreeEntry<'_>) -> Order {
    let end = |entry: &TreeEntry<'_>| entry.is_tree.then_some(b'/');
    match a.name == b.name && a.is_tree == b.is_tree {
        true => Order::Equal,
        false => (a.name.iter().copied().chain(end(a))).cmp(b.name.iter().copied().chain(end(b))),
    }
}

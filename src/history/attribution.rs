//! Who put a key in, when, where, and what still holds it. All keys together: a few rounds over
//! the trees, one pass over the commits.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use super::contains::{Trees, Wanted};
use super::graph::Graph;
use super::loose::Found;
use super::objects::Objects;
use super::refs::Refs;
use super::sets::{Set, Sets};
use super::story::{KEPT, NAMED, Stands, Story};
use super::tree;
use crate::finding::Kept;
use crate::repo::{ObjectId, ObjectKind as Kind};

/// How many trees are read for the paths of one key.
const MOST_TREES: usize = 2000;

/// Trees below a path of more bytes are not read for it: as many as the paths of most systems have.
/// Each tree on the way has the path to it, and names may be as long as trees are.
pub(super) const LONGEST_PATH: usize = 4096;

/// A key's objects.
pub(super) type Holders = Vec<(ObjectId, Kind)>;

/// Traces keys; `keys` gives for each one the objects that were found to hold it.
pub(super) struct Tracer<'a> {
    pub(super) objects: &'a Objects,
    pub(super) loose: &'a [Found],
    pub(super) refs: &'a Refs,
    /// Ids that the index names, as its raw bytes.
    pub(super) index: &'a [u8],
    pub(super) threads: usize,
    pub(super) stop: &'a AtomicBool,
}

impl Tracer<'_> {
    /// The stories of all keys, and how many parents of commits are not here.
    pub(super) fn trace(&self, keys: &[Holders]) -> (Vec<Story>, u64) {
        let mut sets = Sets::default();
        let mut holds: HashMap<ObjectId, Set> = HashMap::new();
        for (key, objects) in keys.iter().enumerate() {
            let single = sets.single(key as u32);
            for (id, _) in objects {
                let held = holds.entry(*id).or_default();
                *held = sets.union(*held, single);
            }
        }
        self.climb(keys, &mut holds, &mut sets);
        let graph = Graph::read(self.objects, self.loose, self.threads, self.stop);
        let mut stories: Vec<Story> = keys.iter().map(|_| Story::default()).collect();
        self.commits(&graph, &holds, &mut sets, &mut stories);
        for (key, story) in stories.iter_mut().enumerate() {
            self.paths(key as u32, &graph, &holds, &sets, story);
        }
        if self.stop.load(Ordering::Relaxed) {
            // Not all trees and commits were looked at: what they say is no story.
            let cut = |_: &Holders| Story {
                cut: true,
                ..Story::default()
            };
            stories = keys.iter().map(cut).collect();
        }
        (stories, graph.absent)
    }

    /// What an object is; `None` if it isn't here.
    pub(super) fn kind(&self, id: &ObjectId) -> Option<Kind> {
        if let Some(at) = self.objects.find(id) {
            return self.objects.kind(at);
        }
        let at = self.loose.binary_search_by_key(id, |object| object.id);
        at.ok().map(|at| self.loose[at].kind)
    }

    /// Which of these objects (as files or directories) some of the chosen commits brings: it has
    /// the object, and none of its parents does, nor a commit that is excluded and older than all
    /// chosen ones.
    pub(super) fn brought(
        &self,
        units: &[(ObjectId, Kind)],
        chosen: &BTreeSet<ObjectId>,
    ) -> Vec<bool> {
        let mut sets = Sets::default();
        let mut holds: HashMap<ObjectId, Set> = HashMap::new();
        for (unit, (id, _)) in units.iter().enumerate() {
            holds.insert(*id, sets.single(unit as u32));
        }
        let alone: Vec<Holders> = units.iter().map(|unit| vec![*unit]).collect();
        self.climb(&alone, &mut holds, &mut sets);
        let graph = Graph::read(self.objects, self.loose, self.threads, self.stop);
        let own: Vec<Set> = graph
            .commits
            .iter()
            .map(|commit| holds.get(&commit.tree).copied().unwrap_or_default())
            .collect();
        let mut is_chosen = vec![false; own.len()];
        for id in chosen {
            if let Some(number) = graph.number(id) {
                is_chosen[number as usize] = true;
            }
        }
        let mut descends = is_chosen.clone();
        for (number, commit) in graph.commits.iter().enumerate() {
            descends[number] |= commit.parents.iter().any(|p| descends[*p as usize]);
        }
        let mut brought = vec![false; units.len()];
        let mut known = vec![false; units.len()];
        for (number, commit) in graph
            .commits
            .iter()
            .enumerate()
            .filter(|(n, _)| is_chosen[*n])
        {
            let parents = || commit.parents.iter().map(|parent| *parent as usize);
            for &unit in sets.keys(own[number]) {
                brought[unit as usize] |= !parents().any(|p| sets.has(own[p], unit));
            }
            for border in parents().filter(|p| !descends[*p]) {
                for &unit in sets.keys(own[border]) {
                    known[unit as usize] = true;
                }
            }
        }
        brought
            .iter()
            .zip(known)
            .map(|(new, old)| *new && !old)
            .collect()
    }

    /// From objects to the trees that hold them, up to the roots. A round for each level.
    fn climb(&self, keys: &[Holders], holds: &mut HashMap<ObjectId, Set>, sets: &mut Sets) {
        let in_trees = |kind: Kind| matches!(kind, Kind::Blob | Kind::Tree);
        let mut changed: Vec<ObjectId> = keys
            .iter()
            .flatten()
            .filter(|o| in_trees(o.1))
            .map(|o| o.0)
            .collect();
        if changed.is_empty() {
            return;
        }
        let mut packs: Vec<Trees<'_>> = (0..self.objects.packs.len())
            .map(|number| Trees::new(&self.objects.packs[number], self.objects.forest(number)))
            .collect();
        let outside = |id: &ObjectId| self.objects.read(id).ok().flatten();
        while !changed.is_empty() && !self.stop.load(Ordering::Relaxed) {
            let wanted = Wanted::new(std::mem::take(&mut changed));
            let mut holding: Vec<(ObjectId, u32)> = Vec::new();
            for (pack, trees) in self.objects.packs.iter().zip(&mut packs) {
                let found = trees.holders(&wanted, &outside, self.threads, self.stop);
                holding.extend(
                    found
                        .into_iter()
                        .filter_map(|(tree, id)| Some((pack.id(tree)?, id))),
                );
            }
            for tree in self.loose.iter().filter(|object| object.kind == Kind::Tree) {
                if let Ok(Some((_, bytes))) = self.objects.read(&tree.id) {
                    holding.extend(wanted.in_tree(&bytes).into_iter().map(|id| (tree.id, id)));
                }
            }
            for (tree, id) in holding {
                let inner = holds
                    .get(&wanted.ids()[id as usize])
                    .copied()
                    .unwrap_or_default();
                let held = holds.entry(tree).or_default();
                let both = sets.union(*held, inner);
                if both != *held {
                    *held = both;
                    changed.push(tree);
                }
            }
        }
    }

    fn commits(
        &self,
        graph: &Graph,
        holds: &HashMap<ObjectId, Set>,
        sets: &mut Sets,
        stories: &mut [Story],
    ) {
        let of = |id: &ObjectId| holds.get(id).copied().unwrap_or_default();
        let mut own: Vec<Set> = Vec::with_capacity(graph.commits.len());
        let mut reached: Vec<Set> = Vec::with_capacity(graph.commits.len());
        for commit in &graph.commits {
            let mine = sets.union(of(&commit.id), of(&commit.tree));
            let below = commit
                .parents
                .iter()
                .fold(mine, |all, p| sets.union(all, reached[*p as usize]));
            own.push(mine);
            reached.push(below);
        }
        // Which kinds of names keep a commit.
        let mut kept = vec![0u8; graph.commits.len()];
        let mut held =
            |name: &[u8], kind: Kept, id: &ObjectId, stories: &mut [Story], sets: &mut Sets| {
                // Annotated tags lead to a commit by way of themselves.
                let (mut at, mut tags) = (*id, 0);
                for _ in 0..8 {
                    if graph.number(&at).is_some() {
                        break;
                    }
                    match self.objects.read(&at) {
                        Ok(Some((Kind::Tag, bytes))) => {
                            tags = sets.union(tags, of(&at));
                            match tree::tagged(&bytes) {
                                Some(next) => at = next,
                                None => break,
                            }
                        }
                        _ => break,
                    }
                }
                let number = graph.number(&at);
                let (tip, below) = number.map_or((of(&at), of(&at)), |n| {
                    (own[n as usize], reached[n as usize])
                });
                let (tip, below) = (sets.union(tip, tags), sets.union(below, tags));
                if let Some(number) = number {
                    kept[number as usize] |= 1 << kind as u8;
                }
                if name.is_empty() {
                    return;
                }
                for &key in sets.keys(tip) {
                    let story = &mut stories[key as usize];
                    story.held_by_count += 1;
                    if story.held_by.len() < NAMED {
                        story.held_by.push(name.to_vec());
                    }
                }
                for &key in sets.keys(below) {
                    let story = &mut stories[key as usize];
                    story.kept.insert(kind);
                    story.reached_from_count += 1;
                    story.rewrite.branches += u64::from(name.starts_with(b"refs/heads/"));
                    story.rewrite.tags += u64::from(name.starts_with(b"refs/tags/"));
                    if story.reached_from.len() < NAMED {
                        story.reached_from.push(name.to_vec());
                    }
                }
            };
        for id in &self.refs.logged {
            held(b"", Kept::Reflog, id, stories, sets);
        }
        for (name, id) in &self.refs.named {
            held(name, kept_by(name), id, stories, sets);
        }
        if let Some(head) = &self.refs.head {
            held(b"HEAD", Kept::Branch, head, stories, sets);
        }
        for number in (0..graph.commits.len()).rev() {
            for &parent in &graph.commits[number].parents {
                kept[parent as usize] |= kept[number];
            }
        }
        // All descendants of what is rewritten are, too, if anything but a reflog keeps them.
        let mut rewritten: HashMap<Set, u64> = HashMap::new();
        for (number, set) in reached.iter().enumerate() {
            if kept[number] & !(1 << Kept::Reflog as u8) != 0 {
                *rewritten.entry(*set).or_default() += 1;
            }
        }
        for (set, commits) in rewritten {
            for &key in sets.keys(set) {
                stories[key as usize].rewrite.commits += commits;
            }
        }
        // The first in time of those that brought it in: clocks lie, and a child may seem older
        // than the commit that it has the key from.
        let mut order: Vec<u32> = (0..graph.commits.len() as u32).collect();
        order.sort_by_key(|n| graph.commits[*n as usize].time);
        for number in order {
            let id = graph.commits[number as usize].id;
            for &key in sets.keys(own[number as usize]) {
                let story = &mut stories[key as usize];
                story.commit_count += 1;
                if story.first.is_none() {
                    let parents = &graph.commits[number as usize].parents;
                    let brought_in = !parents.iter().any(|p| sets.has(own[*p as usize], key));
                    story.first = brought_in.then_some(id);
                }
                if story.commits.len() < NAMED {
                    story.commits.push(id);
                }
                let by = KEPT
                    .into_iter()
                    .filter(|kind| kept[number as usize] >> *kind as u8 & 1 != 0);
                story.kept.extend(by);
            }
        }
    }

    /// Where the key stands, from the first commit and from what refs hold now.
    fn paths(
        &self,
        key: u32,
        graph: &Graph,
        holds: &HashMap<ObjectId, Set>,
        sets: &Sets,
        story: &mut Story,
    ) {
        let tips = self.refs.named.iter().map(|(_, id)| *id);
        let mut seen = BTreeSet::new();
        for commit in story.first.into_iter().chain(self.refs.head).chain(tips) {
            let Some(root) = graph
                .number(&commit)
                .map(|n| graph.commits[n as usize].tree)
            else {
                continue;
            };
            let stands = |object: ObjectId, entries: Vec<u32>| Stands {
                object,
                root,
                entries,
            };
            let mut todo = vec![(root, Vec::new(), Vec::new())];
            while let Some((id, path, way)) = todo.pop() {
                let held = holds.get(&id).copied().unwrap_or_default();
                if !sets.has(held, key)
                    || seen.len() >= MOST_TREES
                    || !seen.insert((id, path.clone()))
                {
                    continue;
                }
                let Ok(Some((Kind::Tree, bytes))) = self.objects.read(&id) else {
                    continue;
                };
                let mut below = false;
                for (number, entry) in tree::entries(&bytes, id.as_bytes().len()).enumerate() {
                    let Some(inner) = ObjectId::from_bytes(entry.id) else {
                        continue;
                    };
                    if !holds.get(&inner).is_some_and(|held| sets.has(*held, key)) {
                        continue;
                    }
                    below = true;
                    let mut path = path.clone();
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(entry.name);
                    let way = [&way[..], &[number as u32]].concat();
                    if entry.is_tree {
                        if path.len() <= LONGEST_PATH {
                            todo.push((inner, path, way));
                        }
                    } else {
                        story.found_at(path, stands(inner, way));
                    }
                }
                if !below {
                    // The key is in a name of this very tree.
                    story.found_at(path, stands(id, way));
                }
            }
        }
    }

    /// For each key, whether the index names one of its objects: they may be there and nowhere else.
    pub(super) fn in_index(&self, keys: &[Holders]) -> Vec<bool> {
        let wanted = Wanted::new(keys.iter().flatten().map(|(id, _)| *id).collect());
        let mut named = vec![false; wanted.ids().len()];
        wanted.search(self.index, |_, id| named[id as usize] = true);
        let is_named = |id: &ObjectId| {
            let at = wanted.ids().binary_search(id);
            at.is_ok_and(|at| named[at])
        };
        keys.iter()
            .map(|objects| objects.iter().any(|(id, _)| is_named(id)))
            .collect()
    }
}

fn kept_by(name: &[u8]) -> Kept {
    let all: [(&[u8], Kept); 5] = [
        (b"refs/heads/", Kept::Branch),
        (b"refs/tags/", Kept::Tag),
        (b"refs/remotes/", Kept::Remote),
        (b"refs/stash", Kept::Stash),
        (b"refs/notes/", Kept::Note),
    ];
    let found = all.iter().find(|(prefix, _)| name.starts_with(prefix));
    found.map_or(Kept::OtherRef, |(_, kept)| *kept)
}

//! The commits of a repository, and what flows along their edges.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use super::damage::Damage;
use super::loose::Found;
use super::objects::Objects;
use super::tree::{self, Commit};
use super::version::Version;
use super::walk::{Visit, walk};
use crate::repo::{ObjectId, ObjectKind as Kind};

/// Nothing but the header of a commit is read here; a merge of a thousand has 50 KB of it.
const LONGEST_HEADER: u32 = 1 << 20;

/// No commit's number.
const NONE: u32 = u32::MAX;

/// All commits, ancestors first.
pub(super) struct Graph {
    pub(super) commits: Vec<Node>,
    numbers: HashMap<ObjectId, u32>,
    /// Parents that are not here: a shallow clone ends there.
    pub(super) absent: u64,
}

/// A commit; parents by number.
pub(super) struct Node {
    pub(super) id: ObjectId,
    pub(super) tree: ObjectId,
    pub(super) time: i64,
    pub(super) parents: Vec<u32>,
}

impl Graph {
    /// Reads all commits.
    pub(super) fn read(
        objects: &Objects,
        loose: &[Found],
        threads: usize,
        stop: &AtomicBool,
    ) -> Self {
        let mut all: Vec<(ObjectId, Commit)> = Vec::new();
        for (number, pack) in objects.packs.iter().enumerate() {
            let forest = objects.forest(number);
            let roots = forest.roots(Some(Kind::Commit));
            let outside = |id: &ObjectId| objects.read(id).ok().flatten();
            let read = walk(pack, forest, &roots, &Reader, &outside, threads, stop);
            let read = read.into_iter().flatten();
            all.extend(read.filter_map(|(entry, commit)| Some((pack.id(entry)?, commit))));
        }
        for object in loose.iter().filter(|object| object.kind == Kind::Commit) {
            if let Ok(Some((_, bytes))) = objects.read(&object.id) {
                all.extend(tree::commit(&bytes).map(|commit| (object.id, commit)));
            }
        }
        Self::arrange(all)
    }

    fn arrange(mut all: Vec<(ObjectId, Commit)>) -> Self {
        all.sort_unstable_by_key(|one| (one.1.time, one.0));
        all.dedup_by_key(|one| one.0);
        let mut places = HashMap::with_capacity(all.len());
        for (place, (id, _)) in all.iter().enumerate() {
            places.insert(*id, place as u32);
        }
        let mut absent = 0;
        // The parents of all, one after another, and where those of each begin.
        let (mut parents, mut first) = (Vec::with_capacity(all.len()), vec![0]);
        for (_, commit) in &all {
            let here = commit.parents.iter().filter_map(|id| places.get(id));
            parents.extend(here.copied());
            absent += (first[first.len() - 1] + commit.parents.len() - parents.len()) as u64;
            first.push(parents.len());
        }
        let parents = |place: u32| &parents[first[place as usize]..first[place as usize + 1]];
        // Clocks lie: a commit waits on the stack until its parents are numbered.
        let mut numbers = vec![NONE; all.len()];
        let mut commits = Vec::with_capacity(all.len());
        let mut entered = vec![false; all.len()];
        let mut stack = Vec::new();
        for start in 0..all.len() as u32 {
            stack.push(start);
            while let Some(&place) = stack.last() {
                let first = !std::mem::replace(&mut entered[place as usize], true);
                let waiting = parents(place).iter().filter(|p| !entered[**p as usize]);
                if first && waiting.clone().next().is_some() {
                    stack.extend(waiting);
                    continue;
                }
                stack.pop();
                if numbers[place as usize] != NONE {
                    continue;
                }
                let (id, commit) = &all[place as usize];
                let parents = parents(place).iter().map(|p| numbers[*p as usize]);
                let node = Node {
                    id: *id,
                    tree: commit.tree,
                    time: commit.time,
                    // One that goes round in circles has none: it has no number yet, like itself.
                    parents: parents.filter(|p| *p != NONE).collect(),
                };
                numbers[place as usize] = commits.len() as u32;
                commits.push(node);
            }
        }
        for place in places.values_mut() {
            *place = numbers[*place as usize];
        }
        Self {
            commits,
            numbers: places,
            absent,
        }
    }

    /// The number of a commit.
    pub(super) fn number(&self, id: &ObjectId) -> Option<u32> {
        self.numbers.get(id).copied()
    }
}

struct Reader;

impl Visit for Reader {
    type Marks = ();
    type Local = Vec<(u32, Commit)>;

    fn local(&self) -> Self::Local {
        Vec::new()
    }

    fn whole(&self, local: &mut Self::Local, entry: u32, _kind: Kind, bytes: &[u8]) {
        local.extend(tree::commit(bytes).map(|commit| (entry, commit)));
    }

    fn delta(&self, local: &mut Self::Local, entry: u32, kind: Kind, version: Version<'_, ()>) {
        let mut bytes = Vec::new();
        version.fetch(0..version.delta.length.min(LONGEST_HEADER), &mut bytes);
        self.whole(local, entry, kind, &bytes);
    }

    fn borrowed(&self, _local: &mut Self::Local, _kind: Kind, _bytes: &[u8]) {}

    /// The search for keys has reported it.
    fn damaged(&self, _local: &mut Self::Local, _entry: u32, _damage: Damage) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_come_first_whatever_the_clocks_say() {
        let id = |n: u8| ObjectId::from_bytes(&[n; 20]).unwrap();
        let commit = |time, parents: &[u8]| Commit {
            tree: id(99),
            parents: parents.iter().map(|p| id(*p)).collect(),
            time,
        };
        // 4 merges 2 and 3, both come from 1; 1 has a parent that is not here.
        let all = vec![
            (id(1), commit(50, &[9])),
            (id(2), commit(40, &[1])),
            (id(3), commit(60, &[1])),
            (id(4), commit(1, &[2, 3])),
        ];
        let graph = Graph::arrange(all);
        assert_eq!((graph.commits.len(), graph.absent), (4, 1));
        for (number, commit) in graph.commits.iter().enumerate() {
            assert!(commit.parents.iter().all(|p| (*p as usize) < number));
        }
        assert_eq!(graph.commits[3].id, id(4));
    }

    #[test]
    fn who_goes_round_in_circles_has_no_parents_there() {
        let id = |n: u8| ObjectId::from_bytes(&[n; 20]).unwrap();
        let commit = |parents: &[u8]| Commit {
            tree: id(99),
            parents: parents.iter().map(|p| id(*p)).collect(),
            time: 1,
        };
        // 1 is its own parent, 2 and 3 are each other's.
        let all = vec![
            (id(1), commit(&[1])),
            (id(2), commit(&[3, 1])),
            (id(3), commit(&[2])),
        ];
        let graph = Graph::arrange(all);
        let edges = graph.commits.iter().map(|commit| commit.parents.len());
        assert_eq!(edges.sum::<usize>(), 2);
        for (number, commit) in graph.commits.iter().enumerate() {
            assert!(commit.parents.iter().all(|p| (*p as usize) < number));
        }
    }
}

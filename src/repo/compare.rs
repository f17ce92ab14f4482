//! The index against a tree, without reading what the cache tree says is unchanged.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::cache_tree::{CacheTree, NodeId};
use super::index::{Entries, Index, IndexError};
use super::objects::Objects;
use super::tree::{compare_names, entry_at, read_tree};
use super::{ObjectFormat, ObjectId, RepoError};

/// One side of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    /// As git writes it: 100644, 100755, 120000 (symbolic link), 160000 (submodule).
    pub(super) mode: u32,
    /// The blob, or a submodule's commit.
    pub(super) id: ObjectId,
}

impl Side {
    /// A submodule's commit: there is no such object here.
    pub(super) fn is_submodule(&self) -> bool {
        self.mode == 0o160_000
    }

    /// A symbolic link: the blob holds its target.
    pub(super) fn is_symlink(&self) -> bool {
        self.mode == 0o120_000
    }
}

/// A path that differs between a tree and the index, or between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The path's bytes, with `/` between its parts.
    pub(super) path: Vec<u8>,
    /// Before; `None` if the path is new.
    pub(super) old: Option<Side>,
    /// After; `None` if the path is gone, or not merged.
    pub(super) new: Option<Side>,
    /// Of an unmerged path, stages 1 to 3: base, ours, theirs.
    pub(super) unmerged: [Option<Side>; 3],
}

/// What went wrong, and where.
#[derive(Debug)]
pub(super) enum CompareError {
    Index(IndexError),
    Repo(RepoError),
}

impl From<IndexError> for CompareError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl From<RepoError> for CompareError {
    fn from(error: RepoError) -> Self {
        Self::Repo(error)
    }
}

/// A directory that both sides are being walked through. Kept on a stack of our own: the depth
/// of trees is in strangers' hands.
struct Frame<'a> {
    /// Its path's length, with the slash.
    prefix: usize,
    id: Option<ObjectId>,
    data: Vec<u8>,
    at: usize,
    nodes: HashMap<&'a [u8], NodeId>,
}

/// All paths in which the index differs from `tree` (`None`: from an empty one).
pub(super) fn compare(
    index: &Index<'_>,
    tree: Option<ObjectId>,
    objects: &mut Objects,
    format: ObjectFormat,
) -> Result<Vec<Change>, CompareError> {
    let cache = index.cache_tree()?;
    let cache = cache.as_ref();
    if let Some((covered, id)) = cache.and_then(|cache| cache.valid(cache.root()))
        && Some(id) == tree
    {
        return if covered == index.len() {
            Ok(Vec::new())
        } else {
            Err(IndexError::Damaged("the TREE extension").into())
        };
    }
    let mut walk = Walk {
        cache,
        entries: index.leaping_entries(),
        more: false,
        prefix: Vec::new(),
        changes: Vec::new(),
        format,
    };
    walk.step()?;
    let mut stack = vec![walk.enter(tree, cache.map(CacheTree::root), objects)?];
    while let Some(frame) = stack.last_mut() {
        match walk.next_in(frame)? {
            Next::Same => {}
            Next::Down(id, node) => {
                let below = walk.enter(Some(id), node, objects)?;
                stack.push(below);
            }
            Next::Done => {
                stack.pop();
                let above = stack.last().map_or(0, |frame| frame.prefix);
                walk.prefix.truncate(above);
            }
        }
    }
    Ok(walk.changes)
}

enum Next {
    /// Stay in this directory.
    Same,
    /// Go into a subdirectory: the prefix is already its own.
    Down(ObjectId, Option<NodeId>),
    /// Both sides are at their end.
    Done,
}

struct Walk<'i, 'a> {
    cache: Option<&'i CacheTree<'a>>,
    entries: Entries<'a>,
    /// Whether `entries` stands on an entry.
    more: bool,
    /// The directory, with a slash at its end unless it is the top.
    prefix: Vec<u8>,
    changes: Vec<Change>,
    format: ObjectFormat,
}

impl<'a> Walk<'_, 'a> {
    /// To the next entry that a commit would take.
    fn step(&mut self) -> Result<(), CompareError> {
        loop {
            self.more = self.entries.advance()?;
            if !self.more || !self.entries.is_intent_to_add() {
                return Ok(());
            }
        }
    }

    fn enter(
        &self,
        id: Option<ObjectId>,
        node: Option<NodeId>,
        objects: &mut Objects,
    ) -> Result<Frame<'a>, CompareError> {
        let data = match id {
            Some(id) if id != self.format.empty_tree() => read_tree(objects, id)?,
            _ => Vec::new(),
        };
        let children = self.cache.zip(node);
        Ok(Frame {
            prefix: self.prefix.len(),
            id,
            data,
            at: 0,
            nodes: children.map_or_else(HashMap::new, |(cache, node)| cache.children(node)),
        })
    }

    fn next_in(&mut self, frame: &mut Frame<'a>) -> Result<Next, CompareError> {
        let theirs = entry_at(&frame.data, frame.at, self.format).map_err(|reason| {
            let id = frame.id.expect("only a tree that was read can be damaged");
            let reason = reason.to_owned();
            CompareError::Repo(RepoError::Object { id, reason })
        })?;
        let rest = match self.more {
            true => self.entries.path().strip_prefix(self.prefix.as_slice()),
            false => None,
        };
        // The part of the path in this directory, and whether it goes on below.
        let ours = rest.map(|rest| match memchr::memchr(b'/', rest) {
            Some(slash) => (&rest[..slash], true),
            None => (rest, false),
        });
        let order = match (ours, &theirs) {
            (None, None) => return Ok(Next::Done),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(ours), Some((entry, _))) => {
                compare_names(ours, (entry.name, entry.is_directory()))
            }
        };
        let Some((entry, after)) = theirs.filter(|_| order != Ordering::Less) else {
            self.take_entry(None)?;
            return Ok(Next::Same);
        };
        frame.at = after;
        if !entry.is_directory() {
            let old = Side {
                mode: entry.mode,
                id: entry.id,
            };
            if order == Ordering::Equal {
                self.take_entry(Some(old))?;
            } else {
                self.changes.push(Change {
                    path: [&self.prefix, entry.name].concat(),
                    old: Some(old),
                    new: None,
                    unmerged: [None; 3],
                });
            }
            return Ok(Next::Same);
        }
        self.prefix.extend_from_slice(entry.name);
        self.prefix.push(b'/');
        let node = frame.nodes.get(entry.name).copied();
        let node = node.filter(|_| order == Ordering::Equal);
        let valid = self.cache.zip(node).and_then(|(c, node)| c.valid(node));
        match valid {
            Some((covered, id)) if id == entry.id => {
                self.pass(covered)?;
                self.prefix.truncate(frame.prefix);
                Ok(Next::Same)
            }
            _ => Ok(Next::Down(entry.id, node)),
        }
    }

    /// Passes over the entries of an unchanged directory; the prefix is the directory's.
    fn pass(&mut self, covered: usize) -> Result<(), CompareError> {
        // The last one stands for all of them, because they are in order.
        if covered > 0 {
            let there = self.entries.leap(covered - 1)?;
            if !there || !self.entries.path().starts_with(&self.prefix) {
                return Err(IndexError::Damaged("the TREE extension").into());
            }
            self.step()?;
        }
        Ok(())
    }

    /// Compares the entry (all stages of it) with its old side.
    fn take_entry(&mut self, old: Option<Side>) -> Result<(), CompareError> {
        let side = |entries: &Entries<'_>| Side {
            mode: entries.mode(),
            id: entries.id(),
        };
        if self.entries.stage() == 0 {
            let new = side(&self.entries);
            if old != Some(new) {
                self.changes.push(Change {
                    path: self.entries.path().to_vec(),
                    old,
                    new: Some(new),
                    unmerged: [None; 3],
                });
            }
            return self.step();
        }
        let mut change = Change {
            path: self.entries.path().to_vec(),
            old,
            new: None,
            unmerged: [None; 3],
        };
        while self.more && self.entries.stage() != 0 && self.entries.path() == change.path {
            let stage = usize::from(self.entries.stage());
            change.unmerged[stage - 1] = Some(side(&self.entries));
            self.step()?;
        }
        self.changes.push(change);
        Ok(())
    }
}

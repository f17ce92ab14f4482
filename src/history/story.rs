//! What is told of a key: who put it in, when, where, and what still holds it.

use std::collections::{BTreeMap, BTreeSet};

use super::objects::Objects;
use super::tree;
use crate::finding::{Kept, Rewrite};
use crate::repo::{ObjectId, ObjectKind as Kind};

/// How many commits, paths and refs are named for one key; all are counted.
pub(super) const NAMED: usize = 20;

/// What names can keep a commit.
pub(super) const KEPT: [Kept; 7] = [
    Kept::Branch,
    Kept::Tag,
    Kept::Remote,
    Kept::Stash,
    Kept::Note,
    Kept::OtherRef,
    Kept::Reflog,
];

/// What is known of one key.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// The first commit in time that holds it.
    pub(super) first: Option<ObjectId>,
    /// Commits that hold it: some of them, the first ones, and how many there are.
    pub(super) commits: Vec<ObjectId>,
    pub(super) commit_count: u64,
    /// Paths at which it stands in the first commit and in what refs hold now.
    pub(super) paths: BTreeMap<Vec<u8>, Stands>,
    /// The object of these that the first commit has, and where.
    pub(super) origin: Option<(Vec<u8>, Stands)>,
    /// Refs whose own content holds it.
    pub(super) held_by: Vec<Vec<u8>>,
    pub(super) held_by_count: u64,
    /// Refs from which a commit that holds it can be reached: what a rewrite would have to touch.
    pub(super) reached_from: Vec<Vec<u8>>,
    pub(super) reached_from_count: u64,
    /// What a rewrite would change.
    pub(super) rewrite: Rewrite,
    pub(super) kept: BTreeSet<Kept>,
    /// Nobody followed it to its end: what it does not tell may be so all the same.
    pub(super) cut: bool,
}

/// Where an object stands in trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stands {
    pub(super) object: ObjectId,
    /// The tree at the top.
    pub(super) root: ObjectId,
    /// Which entry leads on, of this tree and of each that it leads to.
    pub(super) entries: Vec<u32>,
}

impl Stands {
    /// The path, read from the trees; `None` if they don't lead to the object.
    pub(super) fn path(&self, objects: &Objects) -> Option<Vec<u8>> {
        let (mut at, mut names) = (self.root, Vec::new());
        for number in &self.entries {
            let Ok(Some((Kind::Tree, bytes))) = objects.read(&at) else {
                return None;
            };
            let mut entries = tree::entries(&bytes, at.as_bytes().len());
            let entry = entries.nth(*number as usize)?;
            names.push(entry.name.to_vec());
            at = ObjectId::from_bytes(entry.id)?;
        }
        (at == self.object).then(|| names.join(&b'/'))
    }
}

impl Story {
    pub(super) fn found_at(&mut self, path: Vec<u8>, stands: Stands) {
        if self.origin.is_none() {
            self.origin = Some((path.clone(), stands.clone()));
        }
        if self.paths.len() < NAMED {
            self.paths.insert(path, stands);
        }
    }
}

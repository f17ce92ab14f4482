//! What a commit of the index would add to its parents.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;

use super::compare::{CompareError, compare};
use super::index::{Index, IndexError};
use super::tree::tree_of_commit;
use super::{Change, ObjectId, Objects, RepoError, Repository, Side, raw};

/// How a blob comes to be in the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StagedHow {
    /// No parent has the path.
    Added,
    /// Every parent that has the path has another blob or mode there.
    Modified,
    /// The path has a conflict; this is stage 2, our version.
    UnmergedOurs,
    /// The path has a conflict; this is stage 3, their version.
    UnmergedTheirs,
}

/// A blob that the index holds where no parent of the next commit has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedBlob {
    /// The path's bytes, with `/` between its parts.
    pub path: Vec<u8>,
    /// The blob.
    pub id: ObjectId,
    /// How it comes to be there.
    pub how: StagedHow,
    /// The blob is a symbolic link's target.
    pub symlink: bool,
    /// The blobs that the parents have at this path.
    pub old: Vec<ObjectId>,
}

/// What a commit of the index would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staged {
    /// Blobs to be searched, by path.
    pub blobs: Vec<StagedBlob>,
    /// The old sides of the whole change, each blob once: what it deletes, modifies or renames.
    /// A key that stands in one of them is not added by this change. For a merge, the old sides
    /// against every parent.
    pub before: Vec<ObjectId>,
    /// Submodules that move to another commit, by path.
    pub submodules: Vec<Vec<u8>>,
}

impl Repository {
    /// Compares the index with HEAD (with nothing before the first commit) and, while a merge is
    /// under way, with every commit that is merged: a path counts only if it differs from all.
    ///
    /// # Errors
    /// [`RepoError::Bare`] without a working tree; whatever keeps the index or the parents' trees
    /// from being read. Never an empty answer instead.
    pub fn staged(&self, objects: &mut Objects) -> Result<Staged, RepoError> {
        if self.top.is_none() && self.git.environment.index_file.is_none() {
            return Err(RepoError::Bare {
                path: self.git_dir.clone(),
            });
        }
        let mut trees = Vec::new();
        for commit in self.parents()? {
            trees.push(tree_of_commit(objects, commit)?);
        }
        let parents = self.index_changes(&trees, objects)?;
        Ok(combine(parents))
    }

    /// The parents that a commit would have: HEAD, then what is being merged.
    fn parents(&self) -> Result<Vec<ObjectId>, RepoError> {
        let mut parents: Vec<ObjectId> = self.head()?.into_iter().collect();
        let path = self.git_dir.join("MERGE_HEAD");
        let lines = match std::fs::read(&path) {
            Ok(lines) => lines,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(parents),
            Err(source) => return Err(RepoError::Io { path, source }),
        };
        for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let id = ObjectId::from_hex(line.trim_ascii()).ok_or_else(|| RepoError::Damaged {
                path: path.clone(),
                reason: "a line is no commit's id".to_owned(),
            })?;
            if !parents.contains(&id) {
                parents.push(id);
            }
        }
        Ok(parents)
    }

    /// The index file, opened; `None` if there is none (nothing was ever added).
    pub(super) fn open_index(&self) -> Result<Option<File>, RepoError> {
        match File::open(&self.index_file) {
            Ok(file) => Ok(Some(file)),
            // One that GIT_INDEX_FILE names must be there, or it was misread.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && self.git.environment.index_file.is_none() =>
            {
                Ok(None)
            }
            Err(source) => Err(self.unreadable_index(source)),
        }
    }

    /// The changes against each tree (against an empty one, if there are none).
    fn index_changes(
        &self,
        trees: &[ObjectId],
        objects: &mut Objects,
    ) -> Result<Vec<Vec<Change>>, RepoError> {
        let empty = [self.format.empty_tree()];
        let trees = if trees.is_empty() { &empty } else { trees };
        // No index file is an empty index.
        if let Some(file) = self.open_index()? {
            match self.compare_all(&file, trees, objects) {
                Ok(changes) => return Ok(changes),
                Err(CompareError::Repo(error)) => return Err(error),
                // git would read on behind the end of a damaged one, and report less.
                Err(CompareError::Index(IndexError::Damaged(reason))) => {
                    return Err(self.damaged_index(reason));
                }
                Err(CompareError::Index(IndexError::Io(source))) => {
                    return Err(self.unreadable_index(source));
                }
                Err(CompareError::Index(IndexError::Unsupported)) => {}
            }
        }
        trees
            .iter()
            .map(|t| raw::diff_index(&self.git, *t))
            .collect()
    }

    fn compare_all(
        &self,
        file: &File,
        trees: &[ObjectId],
        objects: &mut Objects,
    ) -> Result<Vec<Vec<Change>>, CompareError> {
        let index = Index::read(file, self.format)?;
        let against = |tree: &ObjectId| compare(&index, Some(*tree), objects, self.format);
        trees.iter().map(against).collect()
    }

    pub(super) fn unreadable_index(&self, source: io::Error) -> RepoError {
        RepoError::Io {
            path: self.index_file.clone(),
            source,
        }
    }

    pub(super) fn damaged_index(&self, reason: &str) -> RepoError {
        RepoError::Damaged {
            path: self.index_file.clone(),
            reason: format!("{reason}; `git read-tree HEAD` writes a new index"),
        }
    }
}

/// Keeps the paths that differ from every parent, and every old side.
pub(super) fn combine(parents: Vec<Vec<Change>>) -> Staged {
    let mut before = Vec::new();
    let mut seen = HashSet::new();
    let old_blobs = parents.iter().flatten().filter_map(|change| change.old);
    for old in old_blobs.filter(|old| !old.is_submodule()) {
        if seen.insert(old.id) {
            before.push(old.id);
        }
    }
    let number = parents.len();
    let mut paths: HashMap<&[u8], usize> = HashMap::new();
    for change in parents.iter().flatten() {
        *paths.entry(&change.path).or_default() += 1;
    }
    let mut everywhere: BTreeMap<&[u8], Vec<&Change>> = BTreeMap::new();
    for change in parents.iter().flatten() {
        if paths[change.path.as_slice()] == number {
            everywhere.entry(&change.path).or_default().push(change);
        }
    }
    let mut staged = Staged {
        before,
        ..Staged::default()
    };
    for changes in everywhere.values() {
        staged.add(changes);
    }
    staged
}

impl Staged {
    /// `changes`: the same path against each parent; the new side is the same in all.
    fn add(&mut self, changes: &[&Change]) {
        let change = changes[0];
        let mut old: Vec<ObjectId> = Vec::new();
        for side in changes.iter().filter_map(|change| change.old) {
            if !side.is_submodule() && !old.contains(&side.id) {
                old.push(side.id);
            }
        }
        let how = if old.is_empty() {
            StagedHow::Added
        } else {
            StagedHow::Modified
        };
        let [_, ours, theirs] = change.unmerged;
        let sides = [
            (change.new, how),
            (ours, StagedHow::UnmergedOurs),
            (theirs, StagedHow::UnmergedTheirs),
        ];
        for (side, how) in sides {
            match side {
                Some(Side { id, .. }) if side.is_some_and(|s| !s.is_submodule()) => {
                    self.blobs.push(StagedBlob {
                        path: change.path.clone(),
                        id,
                        how,
                        symlink: side.is_some_and(|s| s.is_symlink()),
                        old: old.clone(),
                    });
                }
                Some(_) => self.submodules.push(change.path.clone()),
                None => {}
            }
        }
    }
}

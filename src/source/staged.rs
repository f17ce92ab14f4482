//! What is staged: the blobs that the next commit (or a range of commits) adds or modifies, read
//! as they are stored, and what stood there before.

use crate::repo::Objects;
use crate::repo::{ObjectId, ObjectReader, RepoError, Repository, Staged, StagedBlob};

/// A change that waits to be searched: first [`Change::blobs`], then, if a key was found,
/// [`Change::before`], to tell the keys that the change adds from those that only moved.
pub struct Change {
    staged: Staged,
    objects: Objects,
}

impl Change {
    /// The index against HEAD; while a merge is under way, against every parent.
    ///
    /// # Errors
    /// If the index or a parent can't be read: then nobody knows what is staged.
    pub fn staged(repository: &Repository) -> Result<Self, RepoError> {
        let mut objects = repository.objects();
        let staged = repository.staged(&mut objects)?;
        Ok(Self { staged, objects })
    }

    /// What `to` adds to the merge base of both.
    ///
    /// # Errors
    /// If one of them is no commit or tree of this repository.
    pub fn between(repository: &Repository, from: &str, to: &str) -> Result<Self, RepoError> {
        Ok(Self {
            staged: repository.changed_between(from, to)?,
            objects: repository.objects(),
        })
    }

    /// Every blob that the change adds or modifies, with its content. A blob that can't be opened
    /// is a failure that blocks: nobody knows what it holds.
    pub fn blobs(
        &mut self,
    ) -> impl Iterator<Item = (&StagedBlob, Result<ObjectReader, RepoError>)> {
        let objects = &mut self.objects;
        self.staged
            .blobs
            .iter()
            .map(|blob| (blob, objects.open(blob.id)))
    }

    /// The blobs that the change deletes, modifies or renames, each once: a key in one of them is
    /// not added by it. One that can't be opened vouches for nothing.
    pub fn before(&mut self) -> impl Iterator<Item = (ObjectId, Result<ObjectReader, RepoError>)> {
        let objects = &mut self.objects;
        self.staged.before.iter().map(|id| (*id, objects.open(*id)))
    }

    /// The paths of submodules that move to another commit; their objects are not in this
    /// repository.
    pub fn submodules(&self) -> &[Vec<u8>] {
        &self.staged.submodules
    }
}

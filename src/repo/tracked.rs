//! The paths that git tracks, for the walk over a working tree.

use std::fs::File;

use super::index::{Index, IndexError};
use super::{RepoError, Repository};

/// The index's paths, sorted by their bytes.
#[derive(Debug, Default)]
pub struct Tracked {
    paths: Vec<u8>,
    ends: Vec<usize>,
}

impl Tracked {
    fn push(&mut self, path: &[u8]) {
        if self.ends.is_empty() || self.get(self.ends.len() - 1) != path {
            self.paths.extend_from_slice(path);
            self.ends.push(self.paths.len());
        }
    }

    fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.paths[start..self.ends[at]]
    }

    /// Index of the first path that is not less than `path`.
    fn lower_bound(&self, path: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle) < path {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// How many paths there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing is tracked.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All paths (from the top, with `/`), in the order of their bytes.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| self.get(at))
    }

    /// Whether git tracks this file.
    pub fn contains(&self, path: &[u8]) -> bool {
        let at = self.lower_bound(path);
        at < self.ends.len() && self.get(at) == path
    }

    /// Whether git tracks anything below this directory (named without a slash at its end; empty
    /// for the top).
    pub fn any_below(&self, directory: &[u8]) -> bool {
        if directory.is_empty() {
            return !self.is_empty();
        }
        let mut prefix = directory.to_vec();
        prefix.push(b'/');
        let at = self.lower_bound(&prefix);
        at < self.ends.len() && self.get(at).starts_with(&prefix)
    }
}

impl Repository {
    /// The paths that git tracks. No index is no paths.
    ///
    /// # Errors
    /// If there is an index that neither we nor git can read.
    pub fn tracked(&self) -> Result<Tracked, RepoError> {
        let mut tracked = Tracked::default();
        let Some(file) = self.open_index()? else {
            return Ok(tracked);
        };
        match collect(&file, self, &mut tracked) {
            Ok(()) => return Ok(tracked),
            Err(IndexError::Damaged(reason)) => return Err(self.damaged_index(reason)),
            Err(IndexError::Io(source)) => return Err(self.unreadable_index(source)),
            Err(IndexError::Unsupported) => {}
        }
        let out = self
            .git
            .run(&["ls-files", "-z", "--cached", "--full-name"])?;
        let mut paths: Vec<&[u8]> = out.split(|b| *b == 0).filter(|p| !p.is_empty()).collect();
        paths.sort_unstable();
        tracked = Tracked::default();
        for path in paths {
            tracked.push(path);
        }
        Ok(tracked)
    }
}

fn collect(file: &File, repository: &Repository, tracked: &mut Tracked) -> Result<(), IndexError> {
    let index = Index::read(file, repository.format)?;
    let mut entries = index.entries();
    while entries.advance()? {
        tracked.push(entries.path());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_are_looked_up() {
        let mut tracked = Tracked::default();
        assert!(!tracked.contains(b"a") && !tracked.any_below(b""));
        for path in ["a", "b-c", "b/c", "b/d/e", "b/d/e", "b0"] {
            tracked.push(path.as_bytes());
        }
        assert_eq!(tracked.len(), 5);
        for path in ["a", "b-c", "b/c", "b/d/e", "b0"] {
            assert!(tracked.contains(path.as_bytes()), "{path}");
        }
        for path in ["", "b", "b/d", "b/c/x", "c"] {
            assert!(!tracked.contains(path.as_bytes()), "{path}");
        }
        assert!(tracked.any_below(b"") && tracked.any_below(b"b") && tracked.any_below(b"b/d"));
        assert!(!tracked.any_below(b"a") && !tracked.any_below(b"b/c") && !tracked.any_below(b"z"));
    }
}

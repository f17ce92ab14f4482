//! Which entries of a working tree git ignores: the stack of `.gitignore` files, as git reads it.
//! Outside a repository nothing is ignored.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// What a repository says about its working tree.
pub struct Repository {
    /// The working tree's top.
    pub top: PathBuf,
    /// `info/exclude` and the user's global excludes file, the more special one first.
    pub excludes: Vec<PathBuf>,
    /// Which of its paths git tracks.
    pub tracked: Box<dyn Tracked>,
}

/// The paths that git tracks, relative to the repository's top.
pub trait Tracked: Send + Sync {
    /// Whether git tracks this file.
    fn file(&self, path: &Path) -> bool;
    /// Whether git tracks anything below this directory.
    fn below(&self, directory: &Path) -> bool;
}

/// One directory's rules, on top of those of the directories above it.
pub(super) struct Ignores {
    repository: Arc<Repository>,
    above: Option<Arc<Ignores>>,
    rules: Gitignore,
}

impl Ignores {
    /// The rules at a repository's top, without its `.gitignore`.
    pub(super) fn at_top(repository: Repository) -> Arc<Self> {
        let repository = Arc::new(repository);
        let mut level = None;
        for file in repository.excludes.iter().rev() {
            let mut builder = GitignoreBuilder::new(&repository.top);
            // A missing file or a malformed line ignores nothing, as in git.
            let _ = builder.add(file);
            let rules = builder.build().unwrap_or_else(|_| Gitignore::empty());
            level = Some(Arc::new(Self {
                repository: Arc::clone(&repository),
                above: level,
                rules,
            }));
        }
        level.unwrap_or_else(|| {
            Arc::new(Self {
                repository,
                above: None,
                rules: Gitignore::empty(),
            })
        })
    }

    /// These rules and those of the `.gitignore` in `directory`.
    pub(super) fn with_file_in(self: &Arc<Self>, directory: &Path) -> Arc<Self> {
        let mut builder = GitignoreBuilder::new(directory);
        let _ = builder.add(directory.join(".gitignore"));
        match builder.build() {
            Ok(rules) if !rules.is_empty() => {
                let repository = Arc::clone(&self.repository);
                Arc::new(Self {
                    repository,
                    above: Some(Arc::clone(self)),
                    rules,
                })
            }
            _ => Arc::clone(self),
        }
    }

    /// Whether git ignores this entry: the deepest rule that speaks of it decides.
    pub(super) fn ignores(&self, path: &Path, is_directory: bool) -> bool {
        let mut level = Some(self);
        while let Some(at) = level {
            let said = at.rules.matched(path, is_directory);
            if !said.is_none() {
                return said.is_ignore();
            }
            level = at.above.as_deref();
        }
        false
    }

    /// Whether git tracks this entry, or something below it, although a rule ignores it.
    pub(super) fn tracks(&self, path: &Path, is_directory: bool) -> bool {
        let Ok(relative) = path.strip_prefix(&self.repository.top) else {
            return false;
        };
        match is_directory {
            true => self.repository.tracked.below(relative),
            false => self.repository.tracked.file(relative),
        }
    }
}

//! Where a repository keeps its hooks, and where git really looks for them.

use std::path::{Path, PathBuf};

use super::git::path_from;
use super::{Git, HookError};

/// One setting of `core.hooksPath`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HooksPath {
    /// `system`, `global`, `local`, `worktree` or `command`.
    pub scope: String,
    /// Where it stands, such as `file:/home/me/.gitconfig`.
    pub origin: String,
    /// The directory, with `~` expanded; a relative one counts from where the hook runs.
    pub value: PathBuf,
}

/// A repository, as far as hooks go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What all worktrees share: `.git`, or the bare repository itself.
    pub common_dir: PathBuf,
    /// The working tree, unless the repository is bare.
    pub worktree: Option<PathBuf>,
    /// The settings of `core.hooksPath`, the one that counts last.
    pub hooks_paths: Vec<HooksPath>,
    /// The directory from which git takes hooks.
    pub used: PathBuf,
}

impl Layout {
    /// Asks git about the repository that `dir` is in: worktrees, submodules, `.git` files and
    /// bare repositories alike.
    pub fn find(git: &Git, dir: &Path) -> Result<Self, HookError> {
        let bare = git.ask(dir, &["rev-parse", "--is-bare-repository"])?;
        let worktree = match git.ask(dir, &["rev-parse", "--show-toplevel"]) {
            Ok(path) => Some(path_from(&path)),
            Err(_) if bare.starts_with(b"true") => None,
            Err(error) => return Err(error),
        };
        let common = git.ask(
            dir,
            &["rev-parse", "--path-format=absolute", "--git-common-dir"],
        )?;
        let common_dir = path_from(&common);
        // A relative core.hooksPath counts from here, since hooks are run here.
        let home = worktree.as_deref().unwrap_or(&common_dir);
        let used = git.ask(
            home,
            &["rev-parse", "--path-format=absolute", "--git-path", "hooks"],
        )?;
        Ok(Self {
            hooks_paths: hooks_paths(git, home)?,
            used: path_from(&used),
            common_dir,
            worktree,
        })
    }

    /// The repository's own directory of hooks.
    pub fn hooks(&self) -> PathBuf {
        self.common_dir.join("hooks")
    }

    /// Whether the repository has no working tree.
    pub fn is_bare(&self) -> bool {
        self.worktree.is_none()
    }

    /// Whether git takes its hooks from [`Self::hooks`].
    pub fn uses_own_hooks(&self) -> bool {
        same_dir(&self.used, &self.hooks())
    }
}

/// Whether two paths lead to the same place, even through links.
pub(super) fn same_dir(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

fn hooks_paths(git: &Git, dir: &Path) -> Result<Vec<HooksPath>, HookError> {
    let args = [
        "config",
        "-z",
        "--show-scope",
        "--show-origin",
        "--type=path",
        "--get-all",
        "core.hooksPath",
    ];
    let Some(said) = git.ask_maybe(dir, &args)? else {
        return Ok(Vec::new());
    };
    let fields: Vec<&[u8]> = said.split(|b| *b == 0).collect();
    Ok(fields
        .chunks_exact(3)
        .map(|setting| HooksPath {
            scope: String::from_utf8_lossy(setting[0]).into_owned(),
            origin: String::from_utf8_lossy(setting[1]).into_owned(),
            value: path_from(setting[2]),
        })
        .collect())
}
